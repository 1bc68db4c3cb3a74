//! Compares what was paired.

use super::job::Job;
use super::pair::Paired;
use crate::diag::Result;
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::constants::take_apart;
use crate::diff::compare::pair::{Indexed, Pair};
use crate::diff::compare::uses::Uses;
use crate::diff::compare::verdicts::compare_all;
use crate::diff::compare::ways::comparer;
use crate::diff::pair::twins::Twins;
use crate::diff::verdict::Verdicts;
use crate::elf::ids::{Orig, Patched};
use crate::elf::object::Symbol;
use crate::kernel::knowledge::boot::is_of_module;
use crate::patch::elsewhere::readers_elsewhere;
use crate::patch::resolve::lookup::{Lookup, RunningKernel};

/// Both objects, compared.
pub struct Compared<'a> {
    /// The objects. Constants that are told apart by their readers are no twins any more.
    pub paired: Paired<'a>,
    /// What differs.
    pub verdicts: Verdicts,
    /// The live state that is used, and that may have changed.
    pub uses: Uses,
}

/// What everything is decided and told by.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// What is asked.
    pub job: &'a Job<'a>,
    /// The objects.
    pub paired: &'a Paired<'a>,
    /// What differs.
    pub verdicts: &'a Verdicts,
    /// The live state that is used, and that may have changed.
    pub uses: &'a Uses,
    /// Answers questions about both objects.
    pub comparer: &'a Comparer<'a>,
}

impl<'a> Evidence<'a> {
    /// What finds symbols in the kernel, where one is given.
    pub fn lookup(&self) -> Option<Lookup<'a>> {
        let running = self.paired.running.as_ref()?;
        Some(Lookup { pair: &self.comparer.pair, running })
    }
}

impl<'a> Compared<'a> {
    /// What answers questions about the objects.
    pub fn comparer(&'a self, job: &Job<'_>) -> Comparer<'a> {
        let Paired { orig, patched, twins, .. } = &self.paired;
        comparing(job, (orig, patched), twins)
    }

    /// What to decide by. `comparer` is [`Compared::comparer`].
    pub fn evidence(&'a self, job: &'a Job<'a>, comparer: &'a Comparer<'a>) -> Evidence<'a> {
        let Compared { paired, verdicts, uses } = self;
        Evidence { job, paired, verdicts, uses, comparer }
    }
}

/// Compares everything.
pub fn compare<'a>(job: &Job<'_>, mut paired: Paired<'a>) -> Result<Compared<'a>> {
    let Paired { orig, patched, twins, running, .. } = &mut paired;
    let (before, after) = (orig.layout.object, patched.layout.object);
    let elsewhere = |o, p| read_elsewhere(job, running.as_ref(), before.symbol(o), after.symbol(p));
    let compare = |twins: &Twins| compare_all(&comparing(job, (orig, patched), twins));
    let (verdicts, uses) = match job.policy.proves_noise {
        true => take_apart((orig.layout, patched.layout), twins, &elsewhere, compare),
        false => compare(twins),
    }?;
    Ok(Compared { paired, verdicts, uses })
}

/// Who may read a constant beside its own object.
fn read_elsewhere(
    job: &Job<'_>,
    running: Option<&RunningKernel<'_>>,
    before: Symbol<'_, Orig>,
    after: Symbol<'_, Patched>,
) -> Result<Option<String>> {
    match job.context.who_refers([after.name].into_iter(), "read")? {
        None => readers_elsewhere(running, before.name),
        user => Ok(user),
    }
}

fn comparing<'a>(
    job: &Job<'_>,
    (orig, patched): (&'a Indexed<'a, Orig>, &'a Indexed<'a, Patched>),
    twins: &'a Twins,
) -> Comparer<'a> {
    comparer(Pair {
        orig,
        patched,
        twins,
        policy: job.policy,
        in_module: job.context.module
            || job.parent.is_some_and(|p| p.name != "vmlinux")
            || job.policy.refuses_unsafe && is_of_module(orig.layout.object),
    })
}
