//! klp-diff
pub mod arch;
pub mod diff;
pub mod elf;
pub mod error;
pub mod kernel;
