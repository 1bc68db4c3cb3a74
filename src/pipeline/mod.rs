//! The phases of a run, a file for each, in the order in which `lib.rs` names them: each takes what
//! those before it returned, and returns a value. What a phase finds beside it, to be told also
//! when the phase fails, comes back next to its result; [`Findings`] makes one report of it.

#![deny(clippy::indexing_slicing)]

pub mod build;
pub mod compare;
mod job;
pub mod judge;
pub mod load;
mod outcome;
pub mod pair;
pub mod resolve;
pub mod select;
pub mod tell;

pub use job::{Input, Job, Others, ParentFiles, PatchContext};
pub use outcome::{Findings, Outcome, Run, keep};

use crate::diag::Diagnostic;

/// What the user is told although nothing fails.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Lines, in order.
    pub messages: Vec<String>,
    /// Things to look at.
    pub warnings: Vec<Diagnostic>,
}

impl Notes {
    /// Adds what was found later.
    fn extend(&mut self, later: Notes) {
        self.messages.extend(later.messages);
        self.warnings.extend(later.warnings);
    }
}
