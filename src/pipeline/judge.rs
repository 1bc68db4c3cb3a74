//! Judges every section and symbol: what became of it, and what is carried for its callers.

use super::Notes;
use super::compare::Evidence;
use crate::diag::Result;
use crate::diff::compare::constants;
use crate::diff::compare::instrumented::check_instrumented;
use crate::diff::refuse::{attributes, check};
use crate::diff::select::judge;
use crate::diff::select::lift::{Lifting, Outside, lift};
use crate::diff::select::lifted::names_of;
use crate::diff::select::parts::left_behind;
use crate::diff::select::status::Statuses;
use crate::elf::abi;
use crate::elf::ids::{Patched, SymbolId};
use crate::patch::elsewhere::users_elsewhere;

/// What became of everything.
pub struct Judged {
    /// What there is to tell of it, also when it is a refusal.
    pub notes: Notes,
    /// What became of sections and symbols.
    pub statuses: Result<Statuses>,
}

/// Judges by what differs.
pub fn judge(evidence: &Evidence<'_>) -> Judged {
    match evidence.check_differences() {
        Err(error) => Judged { notes: Notes::default(), statuses: Err(error) },
        Ok(()) => judge_with(evidence, &[]),
    }
}

/// [`judge`], with `forced` functions carried for their callers.
pub(super) fn judge_with(evidence: &Evidence<'_>, forced: &[SymbolId<Patched>]) -> Judged {
    let mut notes = Notes::default();
    let statuses = evidence.statuses(forced, &mut notes);
    Judged { notes, statuses }
}

impl Evidence<'_> {
    /// What is refused whatever is carried.
    fn check_differences(&self) -> Result<()> {
        let Evidence { job, comparer, verdicts, paired, .. } = *self;
        paired.doubts.refused.clone().map_or(Ok(()), Err)?;
        if job.policy.refuses_unsafe {
            constants::check_pointers(comparer)?;
            check_instrumented(comparer, verdicts)?;
            attributes::check(comparer)?;
        }
        Ok(())
    }

    /// Whether callers may be patched in place of what cannot be redirected.
    pub(super) fn lifts(&self) -> bool {
        self.job.policy.lifts_callers && !self.job.context.no_lift
    }

    /// What became of sections and symbols, where what cannot be redirected is carried for its
    /// callers.
    fn statuses(&self, forced: &[SymbolId<Patched>], notes: &mut Notes) -> Result<Statuses> {
        let Evidence { job, comparer, verdicts, paired, .. } = *self;
        let statuses = judge::judge(comparer, verdicts, &paired.ignored, job.context.complete)?;
        notes.messages.extend(statuses.messages.iter().cloned());
        if job.policy.whole_sections {
            notes.warnings.extend(left_behind(comparer, &statuses)?);
        }
        let lifting = match self.lifts() {
            false => Lifting::default(),
            true => {
                let users = |id| self.used_outside(id);
                let outside = Outside { forced, users: &users, boot: job.context.boot };
                lift(comparer, &statuses, &outside)?
            }
        };
        let Lifting { statuses: lifted, blocked } = lifting;
        let statuses = lifted.unwrap_or(statuses);
        check::check_entries(comparer, &statuses, job.context.boot, &blocked)?;
        Ok(statuses)
    }

    /// Who uses a function that other objects can name, beside its own object, or why that is not
    /// known.
    fn used_outside(&self, id: SymbolId<Patched>) -> Result<Option<String>> {
        let layout = self.comparer.patched.layout;
        let object = layout.object;
        let names = std::iter::once_with(|| names_of(layout, id)).flatten();
        let names = names.filter(|&name| object.symbol_bind(name) != abi::STB_LOCAL);
        let names = names.map(|name| object.symbol_name(name));
        match self.job.context.who_refers(names, "call")? {
            None => users_elsewhere(self.lookup().as_ref(), id),
            user => Ok(user),
        }
    }
}
