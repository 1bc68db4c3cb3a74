//! What a run comes to.

use super::{Notes, resolve, select, tell};
use crate::diag::{Error, Result};
use crate::diff::selection::Selection;
use crate::elf::out::OutObject;
use crate::report::explain::Wanted;
use crate::report::{Carriers, Report};

/// What came of a run, and all that there is to tell of it.
pub struct Run<T = OutObject> {
    /// What was found, as far as the run came: also of a pair that is refused.
    pub report: Report,
    /// What came of it.
    pub outcome: Outcome<T>,
}

/// What came of a run.
pub enum Outcome<T = OutObject> {
    /// There is nothing to apply.
    Unchanged,
    /// There is something to apply.
    Changed {
        /// What the patch carries.
        selection: Box<Selection>,
        /// What was built of it; nothing, where the job has no parent.
        patch: Option<T>,
    },
    /// The change cannot be applied, or an input cannot be read: the error's class says which.
    Refused(Error),
}

impl<T> Run<T> {
    /// A run that ended before anything was found. `wanted` is what was to be told.
    pub fn refused(error: Error, wanted: Wanted) -> Self {
        Run { report: Report { wanted, ..Report::default() }, outcome: Outcome::Refused(error) }
    }
}

impl<T> Outcome<T> {
    /// What was built, if anything was.
    pub fn patch(self) -> Result<Option<T>> {
        match self {
            Outcome::Unchanged => Ok(None),
            Outcome::Changed { patch, .. } => Ok(patch),
            Outcome::Refused(error) => Err(error),
        }
    }
}

/// What the phases found beside their results, as far as the run came.
#[derive(Default)]
pub struct Findings {
    /// While things were paired.
    pub paired: Notes,
    /// Of what the patch carries.
    pub selected: select::SelectFindings,
    /// Of what differs.
    pub differences: Option<tell::Differences>,
    /// What other objects may call.
    pub offers: Vec<(String, u32)>,
    /// Of the output.
    pub resolved: resolve::ResolveFindings,
}

impl Findings {
    /// Everything as one report. `tells_more` is as in the job's policy.
    pub fn report(self, wanted: Wanted, tells_more: bool) -> Report {
        let Findings { paired, selected, differences, offers, resolved } = self;
        let mut notes = paired;
        notes.extend(selected.notes);
        let mut report = Report {
            functions: selected.functions,
            messages: notes.messages,
            warnings: notes.warnings,
            effect: selected.effect,
            graph: selected.graph,
            needs: resolved.needs,
            klp: resolved.klp,
            offers,
            wanted,
            ..Report::default()
        };
        if let Some(described) = differences {
            report.functions.extend(described.functions);
            report.removed = described.removed;
            report.data = described.data;
            report.ignored = described.noise;
            report.unchanged = described.unchanged;
            if tells_more {
                report.tell_inlined_everywhere(&Carriers::default());
            }
        }
        report.messages.extend(resolved.notes.messages);
        report.warnings.extend(resolved.notes.warnings);
        report
    }
}

/// Keeps what a phase found in its place, and passes its result on.
pub fn keep<F, T>(place: &mut F, (found, result): (F, T)) -> T {
    *place = found;
    result
}
