//! Decides what the patch carries, and whether it can be applied.

use super::Notes;
use super::job::Job;
use super::pair::Paired;
use crate::diag::{Diagnostic, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::constants;
use crate::diff::compare::instrumented::check_instrumented;
use crate::diff::compare::labels::check_labels;
use crate::diff::pair::statics::check_doubts;
use crate::diff::refuse::account;
use crate::diff::refuse::anchors::check_anchors;
use crate::diff::refuse::attributes;
use crate::diff::refuse::boot::{check_boot_only, check_lifetimes};
use crate::diff::refuse::check;
use crate::diff::refuse::crates::check_crates;
use crate::diff::refuse::endless;
use crate::diff::refuse::unsettled::check_unsettled;
use crate::diff::select::lift::{Blocked, Outside, lift};
use crate::diff::select::lifted::names_of;
use crate::diff::select::parts::left_behind;
use crate::diff::select::selector::{Destination, select};
use crate::diff::select::status::Statuses;
use crate::diff::selection::{Effect, Selection};
use crate::diff::verdict::Verdicts;
use crate::elf::abi;
use crate::elf::ids::{Patched, SymbolId};
use crate::patch::elsewhere::users_elsewhere;
use crate::patch::live::fixed;
use crate::patch::resolve::Resolver;
use crate::report::edited::tell_edited;
use crate::report::explain::Wanted;
use crate::report::explain::graph::{Graph, graph};
use crate::report::explain::refusal::complete;
use crate::report::told::{Differs, functions, reasons};
use crate::report::{Function, Report};

/// What the patch carries.
pub struct Judged {
    /// What became of sections and symbols.
    pub statuses: Statuses,
    /// What is carried.
    pub selection: Selection,
}

/// What there is to tell of the decision, also when it is a refusal.
#[derive(Clone, Default)]
pub struct Told {
    notes: Notes,
    functions: Vec<Function>,
    graph: Option<Graph>,
    effect: Effect,
}

impl Told {
    /// Adds it to a report.
    pub fn tell(self, report: &mut Report) {
        self.notes.tell(report);
        report.functions = self.functions;
        report.graph = self.graph;
        report.effect = self.effect;
    }
}

/// What a decision is made on.
struct Judge<'a> {
    job: &'a Job<'a>,
    comparer: &'a Comparer<'a>,
    verdicts: &'a Verdicts,
    paired: &'a Paired<'a>,
    wanted: &'a Wanted,
}

/// Decides what the patch carries. What the image shows not to be redirected is carried for
/// its callers, where that can be.
pub fn judge<'a>(
    job: &Job<'_>,
    comparer: &Comparer<'a>,
    verdicts: &Verdicts,
    paired: &Paired<'a>,
    wanted: &Wanted,
) -> (Told, Result<Judged>) {
    let (told, judged) = decide(job, comparer, verdicts, paired, wanted);
    match judged {
        Err(error) if job.policy.tells_more => (told, Err(complete(comparer, error))),
        judged => (told, judged),
    }
}

fn decide<'a>(
    job: &Job<'_>,
    comparer: &Comparer<'a>,
    verdicts: &Verdicts,
    paired: &Paired<'a>,
    wanted: &Wanted,
) -> (Told, Result<Judged>) {
    let judge = Judge { job, comparer, verdicts, paired, wanted };
    if let Some(error) = &paired.doubts.refused {
        return (Told::default(), Err(error.clone()));
    }
    let mut forced: Vec<SymbolId<Patched>> = Vec::new();
    let (mut told, found) = judge.told(&forced);
    let mut found = match found {
        Ok(found) => found,
        Err(error) => return (told, Err(error)),
    };
    while let Some(more) = judge.more_for_callers(&found, &forced) {
        forced.extend(more);
        let (again, judged) = judge.told(&forced);
        // What is wrong with the function itself says more.
        let Ok(judged) = judged else { break };
        (told, found) = (again, judged);
    }
    (told, Ok(found))
}

impl<'a> Judge<'a> {
    /// Decides, with `forced` functions carried for their callers.
    fn told(&self, forced: &[SymbolId<Patched>]) -> (Told, Result<Judged>) {
        let mut told = Told::default();
        let judged = self.decide(forced, &mut told);
        (told, judged)
    }

    fn decide(&self, forced: &[SymbolId<Patched>], told: &mut Told) -> Result<Judged> {
        let Judge { job, comparer, verdicts, paired, .. } = *self;
        if job.policy.refuses_unsafe {
            constants::check_pointers(comparer)?;
            check_instrumented(comparer, verdicts)?;
            attributes::check(comparer)?;
        }
        let statuses = self.statuses(forced, told)?;
        let resolver = self.resolver(&statuses);
        let destination = Destination {
            klp_arch: job.klp_arch,
            in_module: &|key| resolver.as_ref().map_or(Ok(false), |r| r.in_module(key)),
            sizes: &job.sizes,
            remade: job.among.remade,
            object: job.parent.map(|parent| parent.name),
        };
        // Neither needs the other's result.
        let (selection, reasons) = rayon::join(
            || select(comparer, &statuses, &paired.ignored, &destination),
            || reasons(comparer, check::changed_functions(comparer, &statuses)),
        );
        let selection = selection?;
        self.tell(&statuses, &selection, reasons, told)?;
        let judged = Judged { statuses, selection };
        self.check(&judged, &mut told.notes)?;
        Ok(judged)
    }

    fn resolver<'s>(&'s self, statuses: &'s Statuses) -> Option<Resolver<'s>> {
        let target = self.paired.target.as_ref();
        target.map(|target| Resolver { comparer: self.comparer, statuses, target })
    }

    /// Whether callers may be patched in place of what cannot be redirected.
    fn lifts(&self) -> bool {
        self.job.policy.lifts_callers && !self.job.among.no_lift
    }

    /// What became of sections and symbols, where what cannot be redirected is carried for its
    /// callers.
    fn statuses(&self, forced: &[SymbolId<Patched>], told: &mut Told) -> Result<Statuses> {
        let Judge { job, comparer, verdicts, paired, .. } = *self;
        let mut statuses = Statuses::new(comparer, verdicts, &paired.ignored, job.among.complete)?;
        told.notes.messages.extend(statuses.messages.iter().cloned());
        if job.policy.whole_sections {
            told.notes.warnings.extend(left_behind(comparer, &statuses)?);
        }
        let blocked = match self.lifts() {
            false => Blocked::default(),
            true => {
                let users = |id| self.used_outside(&statuses, id);
                let outside = Outside { forced, users: &users, boot: job.among.boot };
                let mut lifted = statuses.clone();
                let blocked = lift(comparer, &mut lifted, &outside)?;
                statuses = if blocked.is_empty() { lifted } else { statuses };
                blocked
            }
        };
        check::check_entries(comparer, &statuses, job.among.boot, &blocked)?;
        Ok(statuses)
    }

    /// Lists what is carried, and why.
    fn tell(
        &self,
        statuses: &Statuses,
        selection: &Selection,
        reasons: Vec<(SymbolId<Patched>, Differs)>,
        told: &mut Told,
    ) -> Result<()> {
        let comparer = self.comparer;
        told.notes.messages.extend(selection.messages.iter().cloned());
        let listed = check::functions(comparer, statuses, selection);
        let because = |id| check::included_because(comparer, selection, id);
        if self.wanted.graph {
            told.graph = Some(graph(comparer, selection, &listed));
        }
        told.functions = functions(comparer, listed.clone(), reasons, because, self.wanted)?;
        for (function, (id, _)) in told.functions.iter_mut().zip(listed) {
            function.reasons.extend(statuses.lifted.reason(comparer, id));
        }
        tell_edited(&mut [&mut told.functions]);
        told.effect = selection.effect;
        if self.job.policy.tells_more {
            let redirected = check::redirected(comparer, statuses, selection);
            told.notes.warnings.extend(endless::warnings(comparer, &redirected));
        }
        Ok(())
    }

    /// Whether what is carried can be applied.
    fn check(&self, judged: &Judged, notes: &mut Notes) -> Result<()> {
        let Judge { job, comparer, verdicts, paired, .. } = *self;
        let Judged { statuses, selection } = judged;
        let (ignored, boot) = (&paired.ignored, job.among.boot);
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
        let (sections, (accounts, states)) = rayon::join(
            || check::check_sections(comparer, verdicts, statuses, ignored, selection),
            || {
                rayon::join(
                    || {
                        warned(|w| {
                            account::check(comparer, verdicts, selection, (ignored, boot), w)
                        })
                    },
                    || warned(|w| account::check_states(comparer, selection, w)),
                )
            },
        );
        // The first error counts, and what comes behind it is not told.
        sections?;
        for (warnings, result) in [accounts, states] {
            notes.warnings.extend(warnings);
            result?;
        }
        Ok(())
    }

    /// Functions that the image shows not to be redirected, beside those that are known.
    fn more_for_callers(
        &self,
        found: &Judged,
        forced: &[SymbolId<Patched>],
    ) -> Option<Vec<SymbolId<Patched>>> {
        let target = self.paired.target.as_ref()?;
        let image = target.live.as_ref()?.image;
        if !self.lifts() {
            return None;
        }
        let resolver = self.resolver(&found.statuses)?;
        let redirected = check::redirected(self.comparer, &found.statuses, &found.selection);
        // What cannot be found is told where it is needed.
        let replaced = resolver.replaced(&redirected).ok()?;
        let more = fixed(self.comparer, target.parent, image, &replaced);
        let more: Vec<_> = more.into_iter().filter(|id| !forced.contains(id)).collect();
        (!more.is_empty()).then_some(more)
    }

    /// Who uses a function that other objects can name, beside its own object.
    fn used_outside(
        &self,
        statuses: &Statuses,
        id: SymbolId<Patched>,
    ) -> Result<std::result::Result<Option<String>, String>> {
        let among = self.job.among;
        match among.others {
            // Those that have not changed are in the image.
            Some(others) => {
                let layout = self.comparer.patched.layout;
                let object = layout.object;
                let names = names_of(layout, id)
                    .into_iter()
                    .filter(|&n| object.symbol_bind(n) != abi::STB_LOCAL);
                let names = names.map(|n| object.symbol_name(n));
                for name in names {
                    if let Some(path) = others.who_refers(name)? {
                        let text = format!("{path}, which is part of the patch, refers to it");
                        return Ok(Ok(Some(text)));
                    }
                }
            }
            None if among.peers.is_some() || among.complete => {
                return Ok(Err("another object of the patch may call it".to_owned()));
            }
            None => {}
        }
        let Some(resolver) = self.resolver(statuses) else {
            return Ok(Err("other objects may call it: an --image tells".to_owned()));
        };
        users_elsewhere(&resolver, id)
    }
}

/// What a check warns of, and whether it passed.
fn warned(check: impl FnOnce(&mut Vec<Diagnostic>) -> Result<()>) -> (Vec<Diagnostic>, Result<()>) {
    let mut warnings = Vec::new();
    let result = check(&mut warnings);
    (warnings, result)
}
