//! What changed: pairs the two objects, compares what entities mean, selects what a patch
//! must carry, and checks that it can be applied.

pub mod account;
pub mod check;
pub mod compare;
mod compare_rows;
pub mod correlate;
mod entry;
mod explain;
pub mod identity;
pub mod ignore;
mod lines;
pub mod select;
mod select_rows;
pub mod spans;
pub mod states;
pub mod statics;
pub mod status;
pub mod toc;
pub mod twins;
pub mod verdict;
