//! The phases of a run, in the order of their files in `lib.rs`: each takes what those before
//! it returned, and returns a value. What a phase finds beside it, to be told also when the
//! phase fails, comes back in [`Notes`].

#![deny(clippy::indexing_slicing)]

pub mod build;
pub mod compare;
mod job;
pub mod judge;
pub mod load;
pub mod pair;

pub use job::{Among, Input, Job, Others, ParentFiles};

use crate::diag::Diagnostic;
use crate::report::Report;

/// What the user is told although nothing fails.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Lines, in order.
    pub messages: Vec<String>,
    /// Things to look at.
    pub warnings: Vec<Diagnostic>,
}

impl Notes {
    /// Adds them to a report.
    pub fn tell(self, report: &mut Report) {
        report.messages.extend(self.messages);
        report.warnings.extend(self.warnings);
    }
}
