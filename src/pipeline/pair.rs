//! Finds out what is what: twins in the two objects, the original in the parent, and the rows
//! of the kernel's tables.

use super::Notes;
use super::job::{Job, ParentFiles};
use super::load::Layouts;
use crate::diag::{Code, Diagnostic, Error, Result};
use crate::diff::compare::pair::Indexed;
use crate::diff::pair::correlate::{correlate, correlate_rows};
use crate::diff::pair::statics::{Doubts, borrow_names, correlate_statics};
use crate::diff::pair::twins::Twins;
use crate::diff::select::ignore::Ignored;
use crate::elf::ids::{Orig, Patched};
use crate::kernel::fit::settle;
use crate::kernel::layout::Layout;
use crate::patch::live::{Blocks, Live};
use crate::patch::resolve::lookup::{RunningKernel, Sympos};
use crate::running::blocks::match_blocks;
use crate::running::image_match::match_image;
use crate::running::parent::Parent;

/// Both objects, side by side.
pub struct Paired<'a> {
    /// The original with its rows.
    pub orig: Indexed<'a, Orig>,
    /// The patched object with its rows.
    pub patched: Indexed<'a, Patched>,
    /// Who is who.
    pub twins: Twins,
    /// What is wrong with static locals.
    pub doubts: Doubts,
    /// What the patch's author wants ignored.
    pub ignored: Ignored,
    /// The running kernel's side, when a parent was given.
    pub running: Option<RunningKernel<'a>>,
}

type BothIndexed<'a> = (Indexed<'a, Orig>, Indexed<'a, Patched>);

/// Pairs what is in the layouts, and finds the original in `parent`.
pub fn pair<'a>(
    job: &Job<'a>,
    layouts: &'a Layouts<'a>,
    parent: Option<&'a Parent<'a>>,
) -> (Notes, Result<Paired<'a>>) {
    let (orig, patched) = (&layouts.orig, &layouts.patched);
    let mut notes = Notes::default();
    // None of these needs another's result.
    let (objects, (pairing, found)) = rayon::join(
        || indexed(job, layouts),
        || {
            rayon::join(
                || pair_up(job, orig, patched),
                || {
                    let known = job.parent.zip(parent);
                    let found = known.map(|(files, p)| find_original(job, &files, p, orig));
                    found.transpose()
                },
            )
        },
    );
    let settle = || {
        let running = parent.zip(found?).map(|(parent, (blocks, live))| RunningKernel {
            parent,
            blocks,
            live,
            sympos: if job.policy.kpatch_sympos { Sympos::DropIn } else { Sympos::Kernel },
            klp_arch: job.klp_arch,
            peers: job.context.peers,
        });
        let (twins, doubts) = pairing?;
        if job.policy.pairs_by_order {
            doubts.refused.clone().map_or(Ok(()), Err)?;
        }
        let warning = doubts.uncorrelated.clone();
        notes
            .warnings
            .extend(warning.map(|w| Diagnostic::warning(Code::StaticLocalUncorrelated, w)));
        notes.warnings.extend(doubts.given_up.iter().cloned());
        let ignored = Ignored::new(patched)?;
        notes.messages.extend(ignored.messages.iter().cloned());
        let (orig, patched) = objects?;
        Ok(Paired { orig, patched, twins, doubts, ignored, running })
    };
    let paired = settle();
    (notes, paired)
}

/// Finds the layouts of rows, and reads them.
fn indexed<'a>(job: &Job<'_>, layouts: &'a Layouts<'a>) -> Result<BothIndexed<'a>> {
    let (orig, patched) = (&layouts.orig, &layouts.patched);
    let forms = settle(orig, patched, &job.sizes)?;
    let (o, p) = rayon::join(|| Indexed::new(orig, &forms), || Indexed::new(patched, &forms));
    Ok((o?, p?))
}

/// Pairs the symbols and sections of both objects; also what is wrong with static locals.
fn pair_up(
    job: &Job<'_>,
    orig: &Layout<'_, Orig>,
    patched: &Layout<'_, Patched>,
) -> Result<(Twins, Doubts)> {
    let (mut twins, files) = correlate(orig, patched);
    let doubts =
        correlate_statics((orig, patched), &files, job.policy, job.context.is_alone(), &mut twins)?;
    correlate_rows(orig, patched, &files, &mut twins);
    if job.policy.pairs_by_order {
        borrow_names(orig, patched, &mut twins);
    }
    Ok((twins, doubts))
}

/// Finds the original object in the parent.
fn find_original<'a>(
    job: &Job<'_>,
    files: &ParentFiles<'a>,
    parent: &Parent<'a>,
    orig: &Layout<'_, Orig>,
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
