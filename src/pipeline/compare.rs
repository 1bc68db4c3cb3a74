//! Compares what was paired.

use std::sync::Arc;

use super::job::Job;
use super::pair::Paired;
use crate::diag::Result;
use crate::diff::compare::assembler_resolved::shifted;
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::constants::take_apart;
use crate::diff::compare::pair::{Half, Pair};
use crate::diff::compare::questions::Answers;
use crate::diff::compare::states::States;
use crate::diff::pair::twins::Twins;
use crate::diff::refuse::check;
use crate::diff::verdict::Verdicts;
use crate::elf::ids::{Orig, Patched};
use crate::report::explain::Wanted;
use crate::report::told::{functions, told_data};
use crate::report::{Data, Function};

/// Compares everything. Constants that are told apart by their readers are no twins any more,
/// so this changes who is who.
pub fn compare(job: &Job<'_>, paired: &mut Paired<'_, '_, '_>) -> Result<(States, Verdicts)> {
    let Paired { orig, patched, twins, .. } = paired;
    let compare = |twins: &Twins| {
        let comparer = comparing(job, (orig, patched), twins);
        let verdicts = comparer.run()?;
        Ok((comparer.states, verdicts))
    };
    match job.policy.proves_noise {
        true => take_apart((orig.layout, patched.layout), twins, compare),
        false => compare(twins),
    }
}

/// What answers questions about two objects that were compared.
pub fn comparer<'a, 'l, 'o, 'd>(
    job: &Job<'_>,
    paired: &'a Paired<'l, 'o, 'd>,
    states: States,
) -> Comparer<'a, 'l, 'o, 'd> {
    Comparer { states, ..comparing(job, (&paired.orig, &paired.patched), &paired.twins) }
}

fn comparing<'a, 'l, 'o, 'd>(
    job: &Job<'_>,
    (orig, patched): (&'a Half<'l, 'o, 'd, Orig>, &'a Half<'l, 'o, 'd, Patched>),
    twins: &'a Twins,
) -> Comparer<'a, 'l, 'o, 'd> {
    Comparer {
        pair: Pair {
            orig,
            patched,
            twins,
            policy: job.policy,
            in_module: job.among.module || job.parent.is_some_and(|p| p.name != "vmlinux"),
        },
        shifted: Arc::new(shifted(orig.layout, patched.layout, twins)),
        states: States::default(),
        answers: Answers::default(),
        realignments: Arc::default(),
        ledger: None,
    }
}

/// Functions that went away, and what became of data.
pub fn other_changes(
    comparer: &Comparer<'_, '_, '_, '_>,
    verdicts: &Verdicts,
    wanted: &Wanted,
) -> (Vec<String>, Vec<Data>) {
    let (removed, data) =
        rayon::join(|| check::removed_functions(comparer), || check::data(comparer, verdicts));
    (removed, told_data(comparer, data, wanted))
}

/// What differs, where it was not decided what the patch carries.
pub fn differing(
    job: &Job<'_>,
    comparer: &Comparer<'_, '_, '_, '_>,
    verdicts: &Verdicts,
    wanted: &Wanted,
) -> Result<Vec<Function>> {
    let differing = check::differing_functions(comparer, verdicts, job.among.boot);
    functions(comparer, differing, Vec::new(), |_| Vec::new(), wanted)
}
