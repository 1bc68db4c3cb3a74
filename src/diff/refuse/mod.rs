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

use crate::diag::Finding;

/// Notes a section that differs without a reason.
fn unexplained(details: &mut Vec<Finding>, name: &str, what: &str) {
    let text = format!("section {name} {what} and nothing explains it");
    details.push(Finding::in_section(name, text));
}
