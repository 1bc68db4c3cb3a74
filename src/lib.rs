//! klp-diff
pub mod elf;
pub mod error;
pub mod kernel;
pub mod report;
