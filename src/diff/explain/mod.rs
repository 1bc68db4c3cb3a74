//! Tells what was judged noise, and on what evidence.

pub mod clones;
pub(super) mod counts;
pub(super) mod fields;
pub mod found;
pub mod ignored;
pub(super) mod rules;
