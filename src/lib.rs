//! Compares two relocatable kernel objects by what their functions *mean* and builds the
//! livepatch object from what changed.
//!
//! [`run`] is the whole pipeline: load -> lay out -> pair -> compare -> judge -> select -> resolve ->
//! build -> prove; `elf::publish` writes the result. Each phase borrows what is before it and
//! returns a new value. Layers, lowest first: `diag` < `host` < `elf` < `arch` < `kernel` <
//! `running` < `diff` < `patch` < `prove` < `report` < `pipeline` < `build` < `folders` < `corpus` < `cli`;
//! a test keeps the direction.
//!
//! Which functions changed between two builds of an object:
//!
//! ```no_run
//! use klp_diff::{Input, Job, Outcome};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let [orig, patched] = [std::fs::read("orig.o")?, std::fs::read("patched.o")?];
//! let orig = Input { name: "orig.o", data: &*orig };
//! let patched = Input { name: "patched.o", data: &*patched };
//! let run = klp_diff::run(&Job::new(orig, patched));
//! for function in &run.report.functions {
//!     println!("{:?} {}", function.status, function.name);
//! }
//! if let Outcome::Refused(error) = run.outcome {
//!     println!("{error}");
//! }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod arch;
#[cfg(feature = "cli")]
pub mod build;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod corpus;
pub mod diag;
pub mod diff;
pub mod elf;
#[cfg(feature = "cli")]
mod folders;
pub mod host;
pub mod kernel;
pub mod patch;
pub mod pipeline;
pub mod prove;
pub mod report;
pub mod running;

use diag::{Class, Result};
pub use diff::policy::Policy;
use elf::publish::Proof;
use elf::write::write;
use patch::siblings::check_sibling_calls;
use patch::tables::Draft;
use pipeline::build::build;
use pipeline::compare::compare;
use pipeline::judge::judge;
use pipeline::load::{lay_out, load};
use pipeline::pair::pair;
use pipeline::resolve::{offers, resolve};
use pipeline::select::select;
use pipeline::tell::tell;
use pipeline::{Findings, keep};
pub use pipeline::{Input, Job, Others, Outcome, ParentFiles, PatchContext, Run};
use prove::Prover;
use report::progress::Step;

/// Prepares a program for what may happen to it: signals, input files that are cut short while
/// they are read, no memory, and faults of its own. `program` is its name in messages.
pub fn prepare(program: &'static str) {
    host::fault::announce(program);
    elf::map::watch(program);
    // Without a thread for it, signals end the program as they do by default.
    let _ = host::cleanup::watch_signals();
}

/// Compares a pair and builds the output.
///
/// What is returned is proved: it means what the patched object says ([`prove`]).
pub fn run(job: &Job<'_>) -> Run {
    proved(job, |draft, proof| {
        let object = draft.finish();
        proof(&write(&object)?)?;
        Ok(object)
    })
}

/// [`run`] with an output that can only be written, for a fraction of the memory; it is not
/// proved.
pub fn draft(job: &Job<'_>) -> Run<Draft> {
    proved(job, |draft, _| Ok(draft))
}

/// [`draft`], handed to `take` together with what proves the bytes that are written of it, in
/// either flavour, before they are published.
pub fn proved<T>(job: &Job<'_>, take: impl FnOnce(Draft, Proof<'_>) -> Result<T>) -> Run<T> {
    let mut findings = Findings::default();
    let outcome = phases(job, &mut findings, take).unwrap_or_else(|error| {
        Outcome::Refused(match error.class() {
            // A refusal is about the pair.
            Class::Refused => error,
            Class::Broken => error.in_file(job.patched.name),
        })
    });
    Run { report: findings.report(job.wanted.clone(), job.policy.tells_more), outcome }
}

/// All phases. What they find beside their results stays in `findings`, also when one fails.
fn phases<T>(
    job: &Job<'_>,
    findings: &mut Findings,
    take: impl FnOnce(Draft, Proof<'_>) -> Result<T>,
) -> Result<Outcome<T>> {
    job.progress.enter(Step::Read);
    let loaded = load(job)?;
    let layouts = lay_out(job, &loaded)?;
    let parent = loaded.parent(job)?;

    job.progress.enter(Step::Correlate);
    let paired = keep(&mut findings.paired, pair(job, &layouts, parent))?;

    job.progress.enter(Step::Compare);
    let compared = compare(job, paired)?;
    let comparer = compared.comparer(job);
    let evidence = compared.evidence(job, &comparer);

    job.progress.enter(Step::Select);
    let judged = judge(&evidence);
    let selected = keep(&mut findings.selected, select(&evidence, judged));
    findings.differences = Some(tell(&evidence, &findings.selected, selected.is_err())?);
    let selected = selected?;

    job.progress.enter(Step::Build);
    let lookup = evidence.lookup();
    findings.offers = offers(job, lookup.as_ref());
    if selected.selection.effect.is_empty() {
        return Ok(Outcome::Unchanged);
    }
    check_sibling_calls(&comparer, &selected.statuses)?;
    let patch = match lookup {
        Some(lookup) => {
            let resolved = resolve(&evidence, &selected, &lookup);
            let resolved = keep(&mut findings.resolved, resolved)?;
            let draft = build(lookup.running, resolved)?;
            let prover = Prover::new(lookup, &selected.statuses, job.context.remade);
            Some(take(draft, &|bytes| prover.prove(bytes))?)
        }
        None => None,
    };
    Ok(Outcome::Changed { selection: Box::new(selected.selection), patch })
}
