//! What the kernel and its build mean by names, sections, tables and symbol tables.

pub mod blocks;
pub mod btf;
mod children;
pub mod classes;
mod cover;
pub mod image;
pub mod image_match;
mod image_place;
pub mod kallsyms;
pub mod layout;
pub mod lines;
pub mod macros;
pub mod names;
pub mod noise;
pub mod parent;
pub mod pieces;
mod prefixes;
mod readelf;
pub mod refs;
pub mod relative;
mod roles;
pub mod rows;
pub mod symtab;
pub mod symvers;
mod sysmap;
pub mod tables;
