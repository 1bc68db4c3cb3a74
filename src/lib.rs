//! Compares two relocatable kernel objects by what their functions *mean* and builds the
//! livepatch object from what changed.
//!
//! [`run`] is the whole pipeline: bytes -> model -> correlate -> compare -> select ->
//! resolve -> build -> prove; `elf::publish` writes the result. Each phase borrows what is
//! before it and returns a new value. Layers, lowest first: `diag` < `host` < `elf` < `arch` <
//! `kernel` < `running` < `diff` < `patch` < `prove` < `report` < `pipeline` < `build` < `cli`; a test keeps the
//! direction.
//!
//! Which functions changed between two builds of an object:
//!
//! ```no_run
//! use klp_diff::report::Report;
//! use klp_diff::{Input, Job, Policy};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let [orig, patched] = [std::fs::read("orig.o")?, std::fs::read("patched.o")?];
//! let job = Job {
//!     orig: Input { name: "orig.o", data: &orig },
//!     patched: Input { name: "patched.o", data: &patched },
//!     // The kernel that is patched; without it nothing is built.
//!     parent: None,
//!     sizes: Default::default(),
//!     policy: Policy::NATIVE,
//!     klp_arch: false,
//!     among: Default::default(),
//! };
//! let mut report = Report::default();
//! klp_diff::run(&job, &mut report)?;
//! for function in &report.functions {
//!     println!("{:?} {}", function.status, function.name);
//! }
//! # Ok(())
//! # }
//! ```

pub mod arch;
#[cfg(feature = "cli")]
pub mod build;
#[cfg(feature = "cli")]
pub mod cli;
pub mod diag;
pub mod diff;
pub mod elf;
pub mod host;
pub mod kernel;
pub mod patch;
pub mod pipeline;
pub mod prove;
pub mod report;
pub mod running;

use diag::{Class, Result};
use diff::explain::ignored::noise;
pub use diff::policy::Policy;
use elf::out::OutObject;
use elf::publish::Proof;
use elf::write::write;
use patch::resolve::Resolver;
use patch::siblings::check_sibling_calls;
use patch::tables::Draft;
use pipeline::build::{Carried, build};
use pipeline::compare::{compare, comparer, differing, other_changes};
use pipeline::judge::{Judged, judge};
use pipeline::load::{lay_out, load};
use pipeline::pair::pair;
pub use pipeline::{Among, Input, Job, Others, ParentFiles};
use prove::Prover;
use report::progress::Step;
use report::told::unchanged;
use report::{Carriers, Report};

/// Prepares a program for what may happen to it from outside: signals, and input files that
/// are cut short while they are read. `program` is its name in messages.
pub fn prepare(program: &'static str) {
    elf::map::watch(program);
    // Without a thread for it, signals end the program as they do by default.
    let _ = host::cleanup::watch_signals();
}

/// Compares a pair and builds the output. `report` learns everything that is known, also
/// when the run then fails. `Ok(None)` means that there is nothing to write: nothing
/// changed (the report is empty), or no parent was given.
///
/// What is returned is proved: it means what the patched object says ([`prove`]).
pub fn run(job: &Job<'_>, report: &mut Report) -> Result<Option<OutObject>> {
    proved(job, report, |draft, proof| {
        let object = draft.finish();
        proof(&write(&object)?)?;
        Ok(object)
    })
}

/// [`run`] with an output that can only be written, for a fraction of the memory; it is not
/// proved.
pub fn draft(job: &Job<'_>, report: &mut Report) -> Result<Option<Draft>> {
    proved(job, report, |draft, _| Ok(draft))
}

/// [`draft`], handed to `take` together with what proves the bytes that are written of it, in
/// either flavour, before they are published.
pub fn proved<T>(
    job: &Job<'_>,
    report: &mut Report,
    take: impl FnOnce(Draft, Proof<'_>) -> Result<T>,
) -> Result<Option<T>> {
    compare_and_build(job, report, take).map_err(|error| match error.class() {
        // A refusal is about the pair.
        Class::Refused => error,
        Class::Broken => error.in_file(job.patched.name),
    })
}

fn compare_and_build<T>(
    job: &Job<'_>,
    report: &mut Report,
    take: impl FnOnce(Draft, Proof<'_>) -> Result<T>,
) -> Result<Option<T>> {
    report.progress.enter(Step::Read);
    let loaded = load(job)?;
    let layouts = lay_out(job, &loaded)?;
    let parent = loaded.parent(job)?;

    report.progress.enter(Step::Correlate);
    let (notes, paired) = pair(job, &layouts, parent);
    notes.tell(report);
    let mut paired = paired?;

    report.progress.enter(Step::Compare);
    let (states, verdicts) = compare(job, &mut paired)?;
    let comparer = comparer(job, &paired, states);

    report.progress.enter(Step::Select);
    if report.explain_noise {
        report.ignored = noise(&comparer, &verdicts)?;
    }
    let (told, judged) = judge(job, &comparer, &verdicts, &paired, &report.wanted);
    told.tell(report);
    let (removed, data) = other_changes(&comparer, &verdicts, &report.wanted);
    report.removed = removed;
    report.data.extend(data);
    if report.functions.is_empty() && judged.is_err() {
        report.functions = differing(job, &comparer, &verdicts, &report.wanted)?;
    }
    report.unchanged = unchanged(&comparer, &verdicts, &report.wanted)?;
    if job.policy.tells_more {
        report.tell_inlined_everywhere(&Carriers::default());
    }
    let judged = judged?;

    report.progress.enter(Step::Build);
    let Judged { statuses, selection } = &judged;
    let target = paired.target.as_ref();
    let resolver = target.map(|target| Resolver { comparer: &comparer, statuses, target });
    if let (Some(resolver), Some(_)) = (&resolver, job.among.peers) {
        report.offers = resolver.offers();
    }
    if selection.effect.is_empty() {
        return Ok(None);
    }
    check_sibling_calls(&comparer, statuses)?;
    let Some(resolver) = resolver else { return Ok(None) };
    let carried = Carried { paired: &paired, judged: &judged, resolver: &resolver };
    let (told, draft) = build(job, &carried, &report.wanted);
    told.tell(report);
    let prover = Prover::new(&resolver, job.among.remade);
    take(draft?, &|bytes| prover.prove(bytes)).map(Some)
}
