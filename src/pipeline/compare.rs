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
use crate::elf::object::Symbol;
use crate::kernel::boot::is_of_module;
use crate::patch::elsewhere::readers_elsewhere;
use crate::patch::resolve::Target;
use crate::report::explain::Wanted;
use crate::report::told::{functions, told_data};
use crate::report::{Data, Function};

/// Compares everything. Constants that are told apart by their readers are no twins any more,
/// so this changes who is who.
pub fn compare(job: &Job<'_>, paired: &mut Paired<'_>) -> Result<(States, Verdicts)> {
    let Paired { orig, patched, twins, target, .. } = paired;
    let (before, after) = (orig.layout.object, patched.layout.object);
    let elsewhere = |o, p| read_elsewhere(job, target.as_ref(), before.symbol(o), after.symbol(p));
    let compare = |twins: &Twins| {
        let comparer = comparing(job, (orig, patched), twins);
        let verdicts = comparer.run()?;
        Ok((comparer.states, verdicts))
    };
    match job.policy.proves_noise {
        true => take_apart((orig.layout, patched.layout), twins, &elsewhere, compare),
        false => compare(twins),
    }
}

/// Who may read a constant beside its own object.
fn read_elsewhere(
    job: &Job<'_>,
    target: Option<&Target<'_>>,
    before: Symbol<'_, Orig>,
    after: Symbol<'_, Patched>,
) -> Result<Option<String>> {
    let among = job.among;
    match among.others {
        // Those that have not changed are in the image.
        Some(others) => {
            if let Some(path) = others.who_refers(after.name)? {
                return Ok(Some(format!("{path}, which is part of the patch, refers to it")));
            }
        }
        None if among.peers.is_some() || among.complete => {
            return Ok(Some("another object of the patch may read it".to_owned()));
        }
        None => {}
    }
    let Some(target) = target else {
        return Ok(Some("other objects may read it: an --image tells".to_owned()));
    };
    Ok(readers_elsewhere(target, before.name)?.unwrap_or_else(Some))
}

/// What answers questions about two objects that were compared.
pub fn comparer<'a>(job: &Job<'_>, paired: &'a Paired<'a>, states: States) -> Comparer<'a> {
    Comparer { states, ..comparing(job, (&paired.orig, &paired.patched), &paired.twins) }
}

fn comparing<'a>(
    job: &Job<'_>,
    (orig, patched): (&'a Half<'a, Orig>, &'a Half<'a, Patched>),
    twins: &'a Twins,
) -> Comparer<'a> {
    Comparer {
        pair: Pair {
            orig,
            patched,
            twins,
            policy: job.policy,
            in_module: job.among.module
                || job.parent.is_some_and(|p| p.name != "vmlinux")
                || job.policy.refuses_unsafe && is_of_module(orig.layout.object),
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
    comparer: &Comparer<'_>,
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
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    wanted: &Wanted,
) -> Result<Vec<Function>> {
    let differing = check::differing_functions(comparer, verdicts, job.among.boot);
    functions(comparer, differing, Vec::new(), |_| Vec::new(), wanted)
}
