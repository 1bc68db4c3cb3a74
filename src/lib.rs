//! klp-diff
pub mod elf;
pub mod error;
pub mod patch;
