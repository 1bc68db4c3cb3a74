//! What the kernel, its compilers and kpatch mean by names, sections and tables: data, and how
//! to look it up. Nothing above this layer spells such a name, and nothing here knows of objects
//! more than what it is handed.

pub mod boot;
pub mod endless;
pub mod forms;
pub mod klp_build;
pub mod lines;
pub mod livepatch;
pub mod macros;
pub mod names;
pub mod noise;
pub mod noreturn;
pub mod sections;
pub mod symbols;
pub mod tables;
pub mod thunks;
pub mod tree;
