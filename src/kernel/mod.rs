//! What the kernel and its build mean by names, sections and symbol tables.

pub mod blocks;
pub mod parent;
mod readelf;
pub mod symtab;
pub mod symvers;
