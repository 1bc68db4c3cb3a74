//! Resolves what the patch refers to, and checks that the kernel has it.

use super::Notes;
use super::compare::Evidence;
use super::job::Job;
use super::select::Selected;
use crate::diag::Result;
use crate::diff::refuse::check;
use crate::elf::ids::{Patched, SymbolId};
use crate::patch::build::Builder;
use crate::patch::entries::Entries;
use crate::patch::freed::check_freed;
use crate::patch::redirect::{check_folded, untraced};
use crate::patch::resolve::decide::{Carried, Resolution, decide};
use crate::patch::resolve::lookup::Lookup;
use crate::patch::resolve::objects::{self, unknown};
use crate::patch::resolve::replaced::{Replaced, replaced};
use crate::patch::sealed::check_pointers;
use crate::patch::short::check_short;
use crate::report::explain::klp::{KlpFact, facts};

/// What there is to tell of the output, also when it cannot be made.
#[derive(Default)]
pub struct ResolveFindings {
    /// What the user should look at.
    pub notes: Notes,
    /// Names that another object of the patch must define.
    pub needs: Vec<String>,
    /// What livepatch resolves, when it is wanted.
    pub klp: Vec<KlpFact>,
}

/// What the output is made of.
pub struct Resolved<'a> {
    pub(super) builder: Builder<'a>,
    pub(super) entries: Entries,
    pub(super) replaced: Vec<Replaced<'a>>,
    pub(super) resolution: Resolution<'a>,
}

/// What other objects of the patch may call things of this one, where these are asked for it.
pub fn offers(job: &Job<'_>, lookup: Option<&Lookup<'_>>) -> Vec<(String, u32)> {
    let asked = lookup.filter(|_| job.context.peers.is_some());
    asked.map(objects::offers).unwrap_or_default()
}

/// Finds what the patch refers to; the kernel must have it.
pub fn resolve<'a>(
    evidence: &Evidence<'a>,
    selected: &'a Selected,
    lookup: &Lookup<'a>,
) -> (ResolveFindings, Result<Resolved<'a>>) {
    let mut findings = ResolveFindings::default();
    let resolved = evidence.resolve(selected, lookup, &mut findings);
    (findings, resolved)
}

impl<'a> Evidence<'a> {
    fn resolve(
        &self,
        Selected { statuses, selection }: &'a Selected,
        lookup: &Lookup<'a>,
        findings: &mut ResolveFindings,
    ) -> Result<Resolved<'a>> {
        let Evidence { job, comparer, .. } = *self;
        let builder = Builder::new(comparer, statuses, selection, job.context.remade)?;
        let redirected = check::redirected(comparer, statuses, selection);
        let (entries, replaced) =
            rayon::join(|| builder.entries(), || replaced(lookup, &redirected));
        let (entries, replaced) = (entries?, replaced?);
        let carried = Carried { comparer, statuses, selection, entries: &entries };
        let resolution = decide(lookup, &carried)?;
        findings.needs = unknown(lookup, &carried, &resolution)?;
        if job.wanted.klp {
            findings.klp = facts(comparer, &resolution);
        }
        if job.policy.refuses_unsafe {
            check_freed(lookup, &resolution)?;
            check_short(lookup, &carried, &resolution)?;
            let named = resolution.relocs.iter().map(|klp| klp.meant);
            let touched = redirected.iter().copied().chain(named);
            self.check_image(lookup, touched, &replaced, &mut findings.notes)?;
            let pointers = job.parent.map(|files| files.pointers).unwrap_or_default();
            check_pointers(lookup, &carried, &resolution, &pointers)?;
        }
        Ok(Resolved { builder, entries, replaced, resolution })
    }

    /// Whether the image, if there is one, has what is `touched` as the original has it.
    fn check_image(
        &self,
        lookup: &Lookup<'_>,
        touched: impl Iterator<Item = SymbolId<Patched>>,
        replaced: &[Replaced<'_>],
        notes: &mut Notes,
    ) -> Result<()> {
        let Lookup { pair, running } = *lookup;
        let live = running.live.as_ref();
        if let Some(live) = live {
            let strict = self.job.parent.is_some_and(|files| files.strict);
            let touched = touched.filter_map(|id| self.paired.twins.orig_symbol(id));
            let orig = self.paired.orig.layout.object;
            notes.warnings.extend(live.check_original(orig, touched, strict)?);
            notes.warnings.extend(untraced(live.image, replaced));
        }
        check_folded(pair, running.parent, live.map(|l| l.image), replaced)
    }
}
