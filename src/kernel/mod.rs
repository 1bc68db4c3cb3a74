//! What the kernel and its build mean by names, sections, tables and symbol tables.

#![deny(clippy::indexing_slicing)]

pub mod anonymous_data;
pub mod assembler_resolved;
pub mod boot;
pub mod btf;
pub mod bytecode;
pub mod classes;
pub mod constructors;
pub mod dwarf;
mod end_address;
pub mod endless;
pub mod entered;
pub mod fit;
pub mod follow;
pub mod forms;
pub mod knowledge;
pub mod layout;
pub mod lines;
pub mod macros;
pub mod names;
pub mod noise;
pub mod noreturn;
pub mod objtool;
pub mod padding;
pub mod panics;
pub mod refs;
pub mod relative;
pub mod rows;
pub mod tables;
pub mod thunks;
