//! Chooses what a patch must carry.

pub mod boot_code;
pub(super) mod callbacks;
pub(super) mod hooks;
pub mod ignore;
pub mod lift;
pub mod lifted;
pub mod parts;
pub(super) mod rows;
pub mod selector;
pub mod status;
mod symbol_status;
