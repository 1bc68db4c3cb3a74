//! What the kernel and its build mean by names, sections, tables and symbol tables.

pub mod blocks;
mod classes;
mod cover;
pub mod layout;
pub mod lines;
pub mod macros;
pub mod names;
pub mod noise;
pub mod parent;
pub mod pieces;
mod readelf;
pub mod refs;
pub mod relative;
pub mod rows;
pub mod symtab;
pub mod symvers;
pub mod tables;
