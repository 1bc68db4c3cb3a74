//! What changed: pairs the two objects, compares what entities mean, selects what a patch
//! must carry, and checks that it can be applied.

#![deny(clippy::indexing_slicing)]

pub mod compare;
mod definition;
pub mod explain;
pub mod pair;
pub mod policy;
pub mod reason;
pub mod refuse;
pub mod select;
pub mod selection;
pub mod spans;
pub mod verdict;
pub mod words;
