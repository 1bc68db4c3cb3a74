//! klp-diff
pub mod arch;
pub mod elf;
pub mod error;
