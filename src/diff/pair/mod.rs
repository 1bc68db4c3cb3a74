//! Pairs the things of the two objects: who is whose twin.

pub(super) mod closest;
pub mod correlate;
pub(super) mod files;
mod fingerprint;
pub mod identity;
pub(super) mod keys;
pub(super) mod local_uses;
pub mod locals;
pub(super) mod moves;
pub(super) mod referrers;
pub mod statics;
pub(super) mod statics_drop_in;
pub mod twins;
pub mod units;
