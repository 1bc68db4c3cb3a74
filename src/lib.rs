//! Compares two relocatable kernel objects by what their functions *mean* and builds the
//! livepatch object from what changed.
//!
//! [`run`] is the whole pipeline: bytes -> model -> correlate -> compare -> select ->
//! resolve -> build -> prove; `elf::publish` writes the result. Each phase borrows what is
//! before it and returns a new value. Layers, lowest first: `diag` < `host` < `elf` < `arch` <
//! `kernel` < `diff` < `patch` < `prove` < `report` < `cli`; a test keeps the direction.

pub mod arch;
pub mod cli;
pub mod diag;
pub mod diff;
pub mod elf;
pub mod host;
pub mod kernel;
pub mod patch;
pub mod prove;
pub mod report;

use std::sync::Arc;

use diag::{Class, Code, Error, Result};
use diff::boot::{self, BootCode};
use diff::compare::{Comparer, Half};
use diff::constants::{self, take_apart};
use diff::correlate::{correlate, correlate_rows};
use diff::ignore::Ignored;
use diff::instrumented::check_instrumented;
use diff::labels::check_labels;
use diff::lift::{Blocked, Outside, lift};
use diff::locals::Doubt;
use diff::near::shifted;
use diff::open::Answers;
use diff::parts::left_behind;
use diff::select::{Policy, Selection, select};
use diff::states::States;
use diff::statics::{Doubts, borrow_names, check_doubts, correlate_statics};
use diff::status::{Statuses, check_headers};
use diff::twins::Twins;
use diff::unsettled::check_unsettled;
use diff::verdict::Verdicts;
use diff::{account, attributes, check, explained};
use elf::ids::{Orig, Patched, SymbolId};
use elf::object::Object;
use elf::out::OutObject;
use elf::publish::Proof;
use elf::write::write;
use kernel::blocks::match_blocks;
use kernel::bytecode::check_compiled;
use kernel::fit::settle;
use kernel::image::KernelImage;
use kernel::image_match::match_image;
use kernel::layout::Layout;
use kernel::objtool::check_same;
use kernel::parent::Parent;
use kernel::symtab::ParentTable;
use kernel::symvers::Symvers;
use kernel::tables::StructSizes;
use patch::build::Builder;
use patch::elsewhere::users_elsewhere;
use patch::freed::check_freed;
use patch::live::{Blocks, Live, check_folded, fixed, untraced};
use patch::resolve::{Peers, Resolver, Sympos, Target};
use patch::sealed::{Pointers, check_pointers};
use patch::short::check_short;
use patch::siblings::check_sibling_calls;
use patch::tables::Draft;
use prove::Prover;
use report::explain::graph::graph;
use report::explain::klp;
use report::progress::Step;
use report::told::{functions, reasons, told_data, unchanged};
use report::{Carriers, Report};

/// Prepares a program for what may happen to it from outside: signals, and input files that
/// are cut short while they are read. `program` is its name in messages.
pub fn prepare(program: &'static str) {
    elf::map::watch(program);
    // Without a thread for it, signals end the program as they do by default.
    let _ = host::cleanup::watch_signals();
}

/// A file's name, for messages, and its contents.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a, T> {
    /// Name for messages.
    pub name: &'a str,
    /// Contents.
    pub data: T,
}

/// The kernel or module that is patched, as text files describe it.
#[derive(Clone, Copy, Debug)]
pub struct ParentFiles<'a> {
    /// `vmlinux` or a module's name.
    pub name: &'a str,
    /// Output of `readelf -s --wide`, or a System.map; not read when there is an image.
    pub symtab: Input<'a, &'a str>,
    /// The linked kernel or module itself.
    pub image: Option<&'a KernelImage<'a>>,
    /// Refuse to patch functions that are not in the image as the original has them.
    pub strict: bool,
    /// Module.symvers; may be empty.
    pub symvers: Input<'a, &'a str>,
    /// What pointers to the kernel's functions are checked against beside the image.
    pub pointers: Pointers<'a>,
    /// What [`ParentFiles::read`] gave, when several pairs share it.
    pub known: Option<&'a Parent<'a>>,
}

impl<'a> ParentFiles<'a> {
    /// Reads the symbol table and the exports.
    pub fn read(&self) -> Result<Parent<'a>> {
        let symvers = Symvers::parse(self.symvers.name, self.symvers.data)?;
        let table = match self.image {
            Some(image) => image.table()?,
            None => ParentTable::parse(self.symtab.name, self.symtab.data)?,
        };
        let neighbours = self.image.map_or(&[][..], |image| &image.neighbours);
        Ok(Parent::new(self.name, table, symvers).with_neighbours(neighbours))
    }
}

/// One pair of objects to compare.
pub struct Job<'a> {
    /// Built from the unpatched source.
    pub orig: Input<'a, &'a [u8]>,
    /// Built from the patched source.
    pub patched: Input<'a, &'a [u8]>,
    /// What to build the output against; without it there is no output.
    pub parent: Option<ParentFiles<'a>>,
    /// Sizes of kernel structs.
    pub sizes: StructSizes,
    /// Behave as kpatch's tool where the two differ.
    pub drop_in: bool,
    /// kpatch's `--klp-arch`.
    pub klp_arch: bool,
    /// What else is known of the patch that the pair is part of.
    pub among: Among<'a>,
}

/// What a pair has to do with the rest of a patch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Among<'a> {
    /// What to do about changed code that only runs at boot.
    pub boot: BootCode,
    /// A module is patched, whether or not it is described.
    pub module: bool,
    /// Where the other objects' symbols are; also asks for [`Report::offers`].
    pub peers: Option<&'a Peers>,
    /// Refuse changed functions that cannot be redirected, instead of patching their callers.
    pub no_lift: bool,
    /// All other objects were looked at: a weak definition that became an ordinary one, or
    /// back, is the one that counts in both builds.
    pub complete: bool,
    /// objtool sees the linked module, and makes its tables then: the output has none of them,
    /// and entries of functions as the compiler made them.
    pub remade: bool,
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
    let ((orig, patched), read) = rayon::join(
        || {
            rayon::join(
                || Object::<Orig>::parse(job.orig.name, job.orig.data),
                || Object::<Patched>::parse(job.patched.name, job.patched.data),
            )
        },
        || job.parent.filter(|files| files.known.is_none()).map(|files| files.read()),
    );
    let (orig, patched) = (orig?, patched?);
    check_headers(orig.header(), patched.header())?;
    let (orig, patched) = rayon::join(|| Layout::new(&orig), || Layout::new(&patched));
    let of_orig = |e: Error| e.in_file(job.orig.name);
    let (orig, patched) = (orig.map_err(of_orig)?, patched?);
    if !job.drop_in {
        check_compiled(&orig).map_err(of_orig)?;
        check_compiled(&patched)?;
        check_same(&orig, &patched).map_err(|e| e.in_file(job.patched.name))?;
    }
    let read = read.transpose()?;
    let parent = job.parent.and_then(|files| files.known.or(read.as_ref()));
    report.progress.enter(Step::Correlate);
    // None of these needs another's result.
    let (halves, (pairing, found)) = rayon::join(
        || {
            let forms = settle(&orig, &patched, &job.sizes)?;
            let (o, p) = rayon::join(|| Half::new(&orig, &forms), || Half::new(&patched, &forms));
            Ok((o?, p?))
        },
        || {
            rayon::join(
                || pair_up(job, &orig, &patched),
                || {
                    let known = job.parent.zip(parent);
                    known
                        .map(|(files, parent)| find_original(job, &files, parent, &orig))
                        .transpose()
                },
            )
        },
    );
    let target = parent.zip(found?).map(|(parent, (blocks, live))| Target {
        parent,
        blocks,
        live,
        sympos: if job.drop_in { Sympos::DropIn } else { Sympos::Kernel },
        klp_arch: job.klp_arch,
        peers: job.among.peers,
    });

    let (mut twins, doubts) = pairing?;
    if job.drop_in {
        doubts.refused.clone().map_or(Ok(()), Err)?;
    }
    let warning = doubts.uncorrelated.map(|w| Error::refused(Code::StaticLocalUncorrelated, w));
    report.warnings.extend(warning);
    let ignored = Ignored::new(&patched)?;
    report.messages.extend(ignored.messages.iter().cloned());

    let (orig, patched): (Half<'_, '_, '_, Orig>, Half<'_, '_, '_, Patched>) = halves?;
    report.progress.enter(Step::Compare);
    let compare = |twins: &Twins| {
        let comparer = comparer(job, (&orig, &patched), twins);
        let verdicts = comparer.run()?;
        Ok((comparer.states, verdicts))
    };
    let (states, verdicts) = match job.drop_in {
        true => compare(&twins)?,
        false => take_apart((orig.layout, patched.layout), &mut twins, compare)?,
    };
    let comparer = Comparer { states, ..comparer(job, (&orig, &patched), &twins) };
    report.progress.enter(Step::Select);
    if report.explain_noise {
        report.ignored = explained::noise(&comparer, &verdicts)?;
    }
    let ((removed, data), selected) = rayon::join(
        || {
            rayon::join(
                || check::removed_functions(&comparer),
                || check::data(&comparer, &verdicts),
            )
        },
        || match doubts.refused {
            Some(error) => Err(error),
            None => judge_live(
                job,
                &comparer,
                &verdicts,
                &ignored,
                &doubts.open,
                target.as_ref(),
                report,
            ),
        },
    );
    report.removed = removed;
    report.data.extend(told_data(&comparer, data, &report.wanted));
    if report.functions.is_empty() && selected.is_err() {
        let differing = check::differing_functions(&comparer, &verdicts, job.among.boot);
        let because = |_| Vec::new();
        report.functions = functions(&comparer, differing, Vec::new(), because, &report.wanted)?;
    }
    report.unchanged = unchanged(&comparer, &verdicts, &report.wanted)?;
    if !job.drop_in {
        report.tell_inlined_everywhere(&Carriers::default());
    }
    let (statuses, selection) = selected?;
    if let (Some(target), Some(_)) = (&target, job.among.peers) {
        let resolver = Resolver { comparer: &comparer, statuses: &statuses, target };
        report.offers = resolver.offers();
    }
    if selection.effect.is_empty() {
        return Ok(None);
    }

    report.progress.enter(Step::Build);
    check_sibling_calls(&comparer, &statuses)?;

    let resolver =
        target.as_ref().map(|target| Resolver { comparer: &comparer, statuses: &statuses, target });
    let Some(resolver) = resolver else { return Ok(None) };
    let builder = Builder::new(&comparer, &statuses, &selection, job.among.remade)?;
    let redirected = check::redirected(&comparer, &statuses, &selection);
    let (entries, replaced) = rayon::join(|| builder.entries(), || resolver.replaced(&redirected));
    let (entries, replaced) = (entries?, replaced?);
    let resolution = resolver.resolve(&selection, &entries)?;
    report.needs = resolver.unknown(&selection, &entries, &resolution)?;
    if report.wanted.klp {
        report.klp = klp::facts(&comparer, &resolution);
    }
    if !job.drop_in {
        check_freed(&resolver, &resolution)?;
        check_short(&resolver, &selection, &entries, &resolution)?;
        let live = resolver.target.live.as_ref();
        if let Some(live) = live {
            let strict = job.parent.is_some_and(|files| files.strict);
            let named = resolution.relocs.iter().map(|klp| klp.meant);
            let touched = redirected.iter().copied().chain(named);
            let touched = touched.filter_map(|id| twins.orig_symbol(id));
            let differing = live.check_original(orig.layout.object, touched, strict)?;
            report.warnings.extend(differing);
            report.warnings.extend(untraced(live.image, &replaced));
        }
        check_folded(&comparer, resolver.target.parent, live.map(|l| l.image), &replaced)?;
        let pointers = job.parent.map(|files| files.pointers).unwrap_or_default();
        check_pointers(&resolver, &selection, &entries, &resolution, &pointers)?;
    }
    let draft = builder.build(&resolver, &replaced, resolution, &entries)?;
    let prover = Prover::new(&resolver, job.among.remade);
    take(draft, &|bytes| prover.prove(bytes)).map(Some)
}

fn comparer<'a, 'l, 'o, 'd>(
    job: &Job<'_>,
    (orig, patched): (&'a Half<'l, 'o, 'd, Orig>, &'a Half<'l, 'o, 'd, Patched>),
    twins: &'a Twins,
) -> Comparer<'a, 'l, 'o, 'd> {
    Comparer {
        orig,
        patched,
        twins,
        drop_in: job.drop_in,
        in_module: job.among.module || job.parent.is_some_and(|p| p.name != "vmlinux"),
        shifted: Arc::new(shifted(orig.layout, patched.layout, twins)),
        states: States::default(),
        answers: Answers::default(),
        realignments: Arc::default(),
        ledger: None,
    }
}

/// The same as [`judge`]; what the image shows not to be redirected is carried for its callers,
/// where that can be.
fn judge_live(
    job: &Job<'_>,
    comparer: &Comparer<'_, '_, '_, '_>,
    verdicts: &Verdicts,
    ignored: &Ignored,
    doubts: &[Doubt],
    target: Option<&Target<'_>>,
    report: &mut Report,
) -> Result<(Statuses, Selection)> {
    let before = report.clone();
    let mut forced: Vec<SymbolId<Patched>> = Vec::new();
    let mut found = judge(job, comparer, verdicts, ignored, doubts, target, &forced, report)?;
    let live = target.and_then(|t| Some((t, t.live.as_ref()?.image)));
    let live = live.filter(|_| !job.drop_in && !job.among.no_lift);
    while let Some((target, image)) = live {
        let resolver = Resolver { comparer, statuses: &found.0, target };
        let redirected = check::redirected(comparer, &found.0, &found.1);
        // What cannot be found is told where it is needed.
        let Ok(replaced) = resolver.replaced(&redirected) else { break };
        let more = fixed(comparer, target.parent, image, &replaced);
        let known = forced.len();
        forced.extend(
            more.into_iter().filter(|id| !forced[..known].contains(id)).collect::<Vec<_>>(),
        );
        if forced.len() == known {
            break;
        }
        let mut again = before.clone();
        let judged =
            judge(job, comparer, verdicts, ignored, doubts, Some(target), &forced, &mut again);
        // What is wrong with the function itself says more.
        let Ok(judged) = judged else { break };
        (found, *report) = (judged, again);
    }
    Ok(found)
}

/// Decides what the patch carries, and whether it can be applied.
#[expect(clippy::too_many_arguments, reason = "one step of the pipeline, with all that is known")]
fn judge(
    job: &Job<'_>,
    comparer: &Comparer<'_, '_, '_, '_>,
    verdicts: &Verdicts,
    ignored: &Ignored,
    doubts: &[Doubt],
    target: Option<&Target<'_>>,
    forced: &[SymbolId<Patched>],
    report: &mut Report,
) -> Result<(Statuses, Selection)> {
    if !job.drop_in {
        constants::check_pointers(comparer)?;
        check_instrumented(comparer, verdicts)?;
        attributes::check(comparer)?;
    }
    let mut statuses = Statuses::new(comparer, verdicts, ignored, job.among.complete)?;
    report.messages.extend(statuses.messages.iter().cloned());
    if job.drop_in {
        report.warnings.extend(left_behind(comparer, &statuses)?);
    }
    let blocked = match job.drop_in || job.among.no_lift {
        true => Blocked::default(),
        false => {
            let users = |id| used_outside(job, comparer, &statuses, target, id);
            let outside = Outside { forced, users: &users, boot: job.among.boot };
            let mut lifted = statuses.clone();
            let blocked = lift(comparer, &mut lifted, &outside)?;
            statuses = if blocked.is_empty() { lifted } else { statuses };
            blocked
        }
    };
    check::check_entries(comparer, &statuses, job.among.boot, &blocked)?;
    let resolver = target.map(|target| Resolver { comparer, statuses: &statuses, target });
    let policy = Policy {
        klp_arch: job.klp_arch,
        in_module: &|key| resolver.as_ref().map_or(Ok(false), |r| r.in_module(key)),
        sizes: &job.sizes,
        remade: job.among.remade,
        object: job.parent.map(|parent| parent.name),
    };
    // Neither needs the other's result.
    let (selection, reasons) = rayon::join(
        || select(comparer, &statuses, ignored, &policy),
        || reasons(comparer, check::changed_functions(comparer, &statuses)),
    );
    let selection = selection?;

    report.messages.extend(selection.messages.iter().cloned());
    let listed = check::functions(comparer, &statuses, &selection);
    let because = |id| check::included_because(comparer, &selection, id);
    if report.wanted.graph {
        report.graph = Some(graph(comparer, &selection, &listed));
    }
    report.functions = functions(comparer, listed.clone(), reasons, because, &report.wanted)?;
    for (function, (id, _)) in report.functions.iter_mut().zip(listed) {
        function.reasons.extend(statuses.lifted.reason(comparer, id));
    }
    report.effect = selection.effect;
    if !job.drop_in {
        check_unsettled(comparer, &selection)?;
    }
    check_labels(comparer, &selection)?;
    constants::check_readers(comparer, &selection)?;
    check_doubts((comparer.orig.layout, comparer.patched.layout), doubts, &selection)?;
    report.warnings.extend(boot::check_boot_only(comparer, &selection, job.among.boot)?);
    if !job.drop_in {
        boot::check_lifetimes(comparer, &selection)?;
    }
    let (sections, (accounts, states)) = rayon::join(
        || check::check_sections(comparer, verdicts, &statuses, ignored, &selection),
        || {
            rayon::join(
                || warned(|w| account::check(comparer, verdicts, &selection, ignored, w)),
                || warned(|w| account::check_states(comparer, &selection, w)),
            )
        },
    );
    // The first error counts, and what comes behind it is not told.
    sections?;
    for (warnings, result) in [accounts, states] {
        report.warnings.extend(warnings);
        result?;
    }
    Ok((statuses, selection))
}

/// Who uses a function that other objects can name, beside its own object.
fn used_outside(
    job: &Job<'_>,
    comparer: &Comparer<'_, '_, '_, '_>,
    statuses: &Statuses,
    target: Option<&Target<'_>>,
    id: SymbolId<Patched>,
) -> Result<std::result::Result<Option<String>, String>> {
    if job.among.peers.is_some() || job.among.complete {
        return Ok(Err("another object of the patch may call it".to_owned()));
    }
    let Some(target) = target else {
        return Ok(Err("other objects may call it: an --image tells".to_owned()));
    };
    users_elsewhere(&Resolver { comparer, statuses, target }, id)
}

/// What a check warns of, and whether it passed.
fn warned(check: impl FnOnce(&mut Vec<Error>) -> Result<()>) -> (Vec<Error>, Result<()>) {
    let mut warnings = Vec::new();
    let result = check(&mut warnings);
    (warnings, result)
}

/// Pairs the symbols and sections of both objects; also what is wrong with static locals.
fn pair_up(
    job: &Job<'_>,
    orig: &Layout<'_, '_, Orig>,
    patched: &Layout<'_, '_, Patched>,
) -> Result<(Twins, Doubts)> {
    let (mut twins, files) = correlate(orig, patched);
    let doubts = correlate_statics(orig, patched, &files, job.drop_in, &mut twins)?;
    correlate_rows(orig, patched, &files, &mut twins);
    if job.drop_in {
        borrow_names(orig, patched, &mut twins);
    }
    Ok((twins, doubts))
}

/// Finds the original object in the parent.
fn find_original<'a>(
    job: &Job<'_>,
    files: &ParentFiles<'a>,
    parent: &Parent<'a>,
    orig: &Layout<'_, '_, Orig>,
) -> Result<(Blocks, Option<Live<'a>>)> {
    let named = |e: Error| e.in_file(job.orig.name);
    let matched = match_blocks(orig.object, parent.table());
    let Some(image) = files.image else { return Ok((matched.map_err(named)?, None)) };
    let (blocks, no_blocks) = match matched {
        Ok(blocks) => (blocks, None),
        // The code may tell what the FILE symbols do not.
        Err(error) => (Blocks::default(), Some(named(error))),
    };
    let matched = match_image(orig, image, parent.table())?;
    let live = Live { image, matched, no_blocks };
    Ok((blocks, Some(live)))
}
