//! Names that mean something to the kernel, its compilers, or kpatch: nothing above this
//! layer spells one.

pub mod klp_build;
pub mod livepatch;
pub mod sections;
pub mod symbols;
pub mod tree;
