//! Makes the statuses of everything in stages: of sections, of symbols by these, of functions by
//! their parts and of parts by their functions. What the author of the patch wants ignored is
//! judged like all else, and left out last.

use rayon::prelude::*;

use super::ignore::Ignored;
use super::lifted::Lifted;
use super::section_status::section_status;
use super::spread::spread;
use super::status::{Status, Statuses};
use super::symbol_status::{Sections, SymbolJudge};
use crate::diag::Result;
use crate::diff::compare::comparer::Comparer;
use crate::diff::verdict::Verdicts;
use crate::elf::ids::{Id, IdVec};

/// Derives all statuses. But for the drop-in, entities of shared sections are judged one
/// by one. With `complete`, or in objects linked from several, a definition may become weak,
/// or cease to be. Fails, with class refused, on differences that no patch can express.
pub fn judge(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    ignored: &Ignored,
    complete: bool,
) -> Result<Statuses> {
    let object = comparer.patched.layout.object;
    let found = differing(object.section_count(), |id| {
        let found = section_status(comparer, verdicts, id)?;
        Ok((found != [Status::Same; 2]).then_some(found))
    })?;
    let bytes = filled(object.section_count(), found.iter().map(|&(id, [bytes, _])| (id, bytes)));
    let relocs =
        filled(object.section_count(), found.iter().map(|&(id, [_, relocs])| (id, relocs)));
    let sections = Sections { bytes, relocs };
    let judge = SymbolJudge { comparer, verdicts, ignored, sections: &sections, complete };
    let found = differing(object.symbol_count(), |id| {
        let status = judge.status(id)?;
        Ok((status != Status::Same).then_some(status))
    })?;
    let symbols = filled(object.symbol_count(), found.into_iter());
    let symbols = spread(comparer, |section| sections.has_changed(section), symbols);
    let messages = ignored.notices(object, &symbols);
    let left = &ignored.left;
    Ok(Statuses {
        sections: without(sections.bytes, left.sections.iter().copied()),
        relocs: without(sections.relocs, left.sections.iter().copied()),
        symbols: without(symbols, left.symbols.iter().copied()),
        messages,
        lifted: Lifted::default(),
    })
}

/// The entries that `status` says something of, in order. The first error counts, on any number
/// of threads.
fn differing<I: Id, T: Send>(
    entries: usize,
    status: impl Fn(I) -> Result<Option<T>> + Sync,
) -> Result<Vec<(I, T)>> {
    let of = |i: usize| Some(status(I::new(i)).transpose()?.map(|found| (I::new(i), found)));
    let found: Vec<Result<(I, T)>> =
        (1..entries).into_par_iter().with_min_len(1024).filter_map(of).collect();
    found.into_iter().collect()
}

/// The statuses of so many things, of which all but those found are the same.
fn filled<I: Id>(entries: usize, found: impl Iterator<Item = (I, Status)>) -> IdVec<I, Status> {
    let mut statuses = IdVec::filled(Status::Same, entries);
    found.for_each(|(id, status)| statuses[id] = status);
    statuses
}

/// Statuses where what is left out is the same.
fn without<I: Id>(
    mut statuses: IdVec<I, Status>,
    left: impl Iterator<Item = I>,
) -> IdVec<I, Status> {
    left.for_each(|id| statuses[id] = Status::Same);
    statuses
}
