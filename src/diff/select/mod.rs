//! Chooses what a patch must carry.

pub mod boot_code;
pub(super) mod callbacks;
pub(super) mod hooks;
pub mod ignore;
pub mod judge;
pub mod lift;
pub mod lifted;
pub mod parts;
pub(super) mod rows;
mod section_status;
pub mod selector;
mod spread;
pub mod status;
mod symbol_status;
