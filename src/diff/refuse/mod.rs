//! Refuses what cannot be applied to a running kernel, or what nothing explains.

pub mod account;
pub mod anchors;
pub mod attributes;
pub mod boot;
pub mod check;
mod counted;
pub mod crates;
pub mod endless;
pub mod overrides;
pub mod toc;
mod unread;
pub(super) mod unreferenced;
pub mod unsettled;
pub(super) mod whole;
