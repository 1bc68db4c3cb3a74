//! One patch of many objects: two folders of them, which are compared with which, what each of
//! them patches, and how their outputs refer to each other.

#![deny(clippy::indexing_slicing)]

pub(crate) mod builds;
pub(crate) mod candidates;
pub(crate) mod context;
pub(crate) mod members;
pub(crate) mod owners;
mod referrers;
pub(crate) mod same_kernel;
