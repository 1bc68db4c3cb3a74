//! What is known of the kernel that runs: images, symbol tables, where distributions put them.

#![deny(clippy::indexing_slicing)]

pub mod blocks;
pub(crate) mod by_name;
pub mod dead_ends;
pub mod entries;
pub mod image;
pub mod image_match;
pub(crate) mod image_place;
pub mod indirect_targets;
pub mod installed;
pub mod kallsyms;
pub mod owner;
pub mod parent;
pub(crate) mod readelf;
pub mod symtab;
pub mod symvers;
pub(crate) mod sysmap;
pub mod versions;
