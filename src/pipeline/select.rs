//! Selects what the patch carries, and checks whether it can be applied.

use super::Notes;
use super::compare::Evidence;
use super::judge::{Judged, judge_with};
use crate::diag::Result;
use crate::diff::compare::constants;
use crate::diff::compare::labels::check_labels;
use crate::diff::compare::reasons::Differs;
use crate::diff::compare::uses::Uses;
use crate::diff::pair::statics::check_doubts;
use crate::diff::refuse::account;
use crate::diff::refuse::anchors::check_anchors;
use crate::diff::refuse::boot::{check_boot_only, check_lifetimes};
use crate::diff::refuse::check;
use crate::diff::refuse::crates::check_crates;
use crate::diff::refuse::endless;
use crate::diff::refuse::unsettled::check_unsettled;
use crate::diff::select::selector::{Destination, select as select_parts};
use crate::diff::select::status::Statuses;
use crate::diff::selection::{Effect, Selection};
use crate::elf::ids::{Patched, SymbolId};
use crate::patch::redirect::fixed;
use crate::patch::resolve::replaced::replaced;
use crate::report::Function;
use crate::report::describe::{functions, reasons};
use crate::report::edited::tell_edited;
use crate::report::explain::graph::{Graph, graph};
use crate::report::explain::refusal::complete;

/// What the patch carries.
pub struct Selected {
    /// What became of sections and symbols.
    pub statuses: Statuses,
    /// What is carried.
    pub selection: Selection,
}

/// What there is to tell of the decision, also when it is a refusal.
#[derive(Default)]
pub struct SelectFindings {
    /// Of what was judged, and of what is carried.
    pub notes: Notes,
    /// The functions of the patch.
    pub functions: Vec<Function>,
    /// Why each thing is carried, when it is wanted.
    pub graph: Option<Graph>,
    /// What makes the patch worth applying.
    pub effect: Effect,
}

/// Selects what the patch carries. What the image shows not to be redirected is carried for
/// its callers, where that can be: then everything is judged again.
pub fn select(evidence: &Evidence<'_>, judged: Judged) -> (SelectFindings, Result<Selected>) {
    let (findings, selected) = decide(evidence, judged);
    match selected {
        Err(error) if evidence.job.policy.tells_more => {
            (findings, Err(complete(evidence.comparer, error)))
        }
        selected => (findings, selected),
    }
}

fn decide(evidence: &Evidence<'_>, judged: Judged) -> (SelectFindings, Result<Selected>) {
    let mut forced: Vec<SymbolId<Patched>> = Vec::new();
    let (mut findings, selected) = evidence.attempt(judged);
    let mut found = match selected {
        Ok(found) => found,
        Err(error) => return (findings, Err(error)),
    };
    while let Some(more) = evidence.more_for_callers(&found, &forced) {
        forced.extend(more);
        let (again, selected) = evidence.attempt(judge_with(evidence, &forced));
        // What is wrong with the function itself says more.
        let Ok(selected) = selected else { break };
        (findings, found) = (again, selected);
    }
    (findings, Ok(found))
}

impl Evidence<'_> {
    /// Selects by what was judged.
    fn attempt(&self, Judged { notes, statuses }: Judged) -> (SelectFindings, Result<Selected>) {
        let mut findings = SelectFindings { notes, ..SelectFindings::default() };
        let selected = statuses.and_then(|statuses| self.select(statuses, &mut findings));
        (findings, selected)
    }

    fn select(&self, statuses: Statuses, findings: &mut SelectFindings) -> Result<Selected> {
        let Evidence { job, comparer, paired, .. } = *self;
        let lookup = self.lookup();
        let destination = Destination {
            klp_arch: job.klp_arch,
            in_module: &|key| lookup.map_or(Ok(false), |lookup| lookup.in_module(key)),
            sizes: &job.sizes,
            remade: job.context.remade,
            object: job.parent.map(|parent| parent.name),
        };
        // Neither needs the other's result.
        let (selection, reasons) = rayon::join(
            || select_parts(comparer, &statuses, &paired.ignored, &destination),
            || reasons(comparer, check::changed_functions(comparer, &statuses)),
        );
        let selection = selection?;
        let uses = reasons.iter().filter_map(|(_, differs)| Some(&differs.as_ref().ok()?.uses));
        let uses = self.uses.with(uses);
        self.tell(&statuses, &selection, reasons, findings)?;
        let selected = Selected { statuses, selection };
        self.check(&selected, &uses, &mut findings.notes)?;
        Ok(selected)
    }

    /// Lists what is carried, and why.
    fn tell(
        &self,
        statuses: &Statuses,
        selection: &Selection,
        reasons: Vec<(SymbolId<Patched>, Result<Differs>)>,
        findings: &mut SelectFindings,
    ) -> Result<()> {
        let comparer = self.comparer;
        findings.notes.messages.extend(selection.messages.iter().cloned());
        let listed = check::functions(comparer, statuses, selection);
        let because = |id| check::included_because(comparer, selection, id);
        if self.job.wanted.graph {
            findings.graph = Some(graph(comparer, selection, &listed));
        }
        findings.functions =
            functions(comparer, listed.clone(), reasons, because, &self.job.wanted)?;
        for (function, (id, _)) in findings.functions.iter_mut().zip(listed) {
            function.reasons.extend(statuses.lifted.reason(comparer, id));
        }
        tell_edited(&mut [&mut findings.functions]);
        findings.effect = selection.effect;
        if self.job.policy.tells_more {
            let redirected = check::redirected(comparer, statuses, selection);
            findings.notes.warnings.extend(endless::warnings(comparer, &redirected));
        }
        Ok(())
    }

    /// Whether what is carried can be applied.
    fn check(&self, selected: &Selected, uses: &Uses, notes: &mut Notes) -> Result<()> {
        let Evidence { job, comparer, verdicts, paired, .. } = *self;
        let Selected { statuses, selection } = selected;
        let (ignored, boot) = (&paired.ignored, job.context.boot);
        if job.policy.refuses_unsafe {
            check_unsettled(comparer, selection)?;
            check_crates(comparer)?;
        }
        check_labels(comparer, selection)?;
        check_anchors(comparer, verdicts, selection)?;
        let read = constants::check_readers(comparer, selection)?;
        check_doubts(
            (comparer.orig.layout, comparer.patched.layout),
            &paired.doubts.open,
            selection,
        )?;
        notes.warnings.extend(check_boot_only(comparer, selection, &read, boot)?);
        if job.policy.refuses_unsafe {
            check_lifetimes(comparer, selection)?;
        }
        let (sections, ((warnings, accounted), states)) = rayon::join(
            || check::check_sections(comparer, verdicts, statuses, ignored, selection),
            || {
                rayon::join(
                    || account::check(comparer, verdicts, selection, (ignored, boot)),
                    || account::check_states(comparer, uses, selection),
                )
            },
        );
        // The first error counts, and what comes behind it is not told.
        sections?;
        notes.warnings.extend(warnings);
        accounted?;
        notes.warnings.extend(states?);
        Ok(())
    }

    /// Functions that the image shows not to be redirected, beside those that are known.
    fn more_for_callers(
        &self,
        found: &Selected,
        forced: &[SymbolId<Patched>],
    ) -> Option<Vec<SymbolId<Patched>>> {
        let running = self.paired.running.as_ref()?;
        let image = running.live.as_ref()?.image;
        if !self.lifts() {
            return None;
        }
        let lookup = self.lookup()?;
        let redirected = check::redirected(self.comparer, &found.statuses, &found.selection);
        // What cannot be found is told where it is needed.
        let replaced = replaced(&lookup, &redirected).ok()?;
        let more = fixed(self.comparer, running.parent, image, &replaced);
        let more: Vec<_> = more.into_iter().filter(|id| !forced.contains(id)).collect();
        (!more.is_empty()).then_some(more)
    }
}
