//! Resolves what the patch refers to, checks that it can be had, and builds the output.

use super::Notes;
use super::job::Job;
use super::judge::Judged;
use super::pair::Paired;
use crate::diag::Result;
use crate::diff::refuse::check;
use crate::elf::ids::{Patched, SymbolId};
use crate::patch::build::Builder;
use crate::patch::freed::check_freed;
use crate::patch::live::{check_folded, untraced};
use crate::patch::resolve::{Replaced, Resolver};
use crate::patch::sealed::check_pointers;
use crate::patch::short::check_short;
use crate::patch::tables::Draft;
use crate::report::Report;
use crate::report::explain::Wanted;
use crate::report::explain::klp::{KlpFact, facts};

/// What there is to tell of the output, also when it cannot be made.
#[derive(Default)]
pub struct Told {
    notes: Notes,
    needs: Vec<String>,
    klp: Vec<KlpFact>,
}

impl Told {
    /// Adds it to a report.
    pub fn tell(self, report: &mut Report) {
        self.notes.tell(report);
        report.needs = self.needs;
        report.klp = self.klp;
    }
}

/// What the patch has, as far as it is decided.
#[derive(Clone, Copy)]
pub struct Carried<'a> {
    /// The objects.
    pub paired: &'a Paired<'a>,
    /// What is carried.
    pub judged: &'a Judged,
    /// What finds things in the kernel.
    pub resolver: &'a Resolver<'a>,
}

/// Builds the output; the kernel must have what it refers to.
pub fn build(job: &Job<'_>, carried: &Carried<'_>, wanted: &Wanted) -> (Told, Result<Draft>) {
    let mut told = Told::default();
    let draft = carried.build(job, wanted, &mut told);
    (told, draft)
}

impl Carried<'_> {
    fn build(&self, job: &Job<'_>, wanted: &Wanted, told: &mut Told) -> Result<Draft> {
        let Judged { statuses, selection } = self.judged;
        let resolver = self.resolver;
        let comparer = resolver.comparer;
        let builder = Builder::new(comparer, statuses, selection, job.among.remade)?;
        let redirected = check::redirected(comparer, statuses, selection);
        let (entries, replaced) =
            rayon::join(|| builder.entries(), || resolver.replaced(&redirected));
        let (entries, replaced) = (entries?, replaced?);
        let resolution = resolver.resolve(selection, &entries)?;
        told.needs = resolver.unknown(selection, &entries, &resolution)?;
        if wanted.klp {
            told.klp = facts(comparer, &resolution);
        }
        if job.policy.refuses_unsafe {
            check_freed(resolver, &resolution)?;
            check_short(resolver, selection, &entries, &resolution)?;
            let named = resolution.relocs.iter().map(|klp| klp.meant);
            let touched = redirected.iter().copied().chain(named);
            self.check_image(job, touched, &replaced, &mut told.notes)?;
            let pointers = job.parent.map(|files| files.pointers).unwrap_or_default();
            check_pointers(resolver, selection, &entries, &resolution, &pointers)?;
        }
        builder.build(resolver, &replaced, resolution, &entries)
    }

    /// Whether the image, if there is one, has what is `touched` as the original has it.
    fn check_image(
        &self,
        job: &Job<'_>,
        touched: impl Iterator<Item = SymbolId<Patched>>,
        replaced: &[Replaced<'_>],
        notes: &mut Notes,
    ) -> Result<()> {
        let Resolver { comparer, target, .. } = self.resolver;
        let live = target.live.as_ref();
        if let Some(live) = live {
            let strict = job.parent.is_some_and(|files| files.strict);
            let touched = touched.filter_map(|id| self.paired.twins.orig_symbol(id));
            let orig = self.paired.orig.layout.object;
            notes.warnings.extend(live.check_original(orig, touched, strict)?);
            notes.warnings.extend(untraced(live.image, replaced));
        }
        check_folded(comparer, target.parent, live.map(|l| l.image), replaced)
    }
}
