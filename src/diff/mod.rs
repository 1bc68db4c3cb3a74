//! What changed: pairs the two objects, compares what entities mean, selects what a patch
//! must carry, and checks that it can be applied.

pub mod account;
pub mod check;
mod closest;
pub mod compare;
mod compare_rows;
mod content;
pub mod correlate;
mod entry;
mod explain;
pub mod explained;
mod files;
mod filler;
pub mod identity;
pub mod ignore;
pub mod inlining;
pub mod instrumented;
mod labels;
mod lines;
pub mod near;
pub mod overrides;
pub mod parts;
mod referrers;
pub mod relayout;
mod reordered;
pub mod select;
mod select_rows;
pub mod spans;
mod stamp;
pub mod states;
pub mod statics;
pub mod status;
mod strays;
pub mod toc;
pub mod twins;
pub mod unsettled;
pub mod verdict;
