//! From what was selected to the output model, in kpatch's and in the kernel's own form.

#![deny(clippy::indexing_slicing)]

pub mod build;
pub mod convert;
pub mod elsewhere;
pub mod entries;
pub mod format;
pub mod freed;
pub mod klp_build;
pub mod live;
pub mod module;
pub mod redirect;
pub mod resolve;
pub mod sealed;
pub mod short;
pub mod siblings;
pub mod tables;
