//! What the kernel and its build mean by names, sections, tables and symbol tables.

#![deny(clippy::indexing_slicing)]

pub mod anonymous_data;
pub mod assembler_resolved;
pub mod btf;
pub mod bytecode;
pub mod classes;
pub mod constructors;
pub mod dwarf;
mod end_address;
pub mod entered;
pub mod fit;
pub mod follow;
pub mod knowledge;
pub mod layout;
pub mod objtool;
pub mod padding;
pub mod panics;
pub mod refs;
pub mod relative;
pub mod rows;
