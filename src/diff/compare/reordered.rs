//! Tables that follow the link order, when files are linked in another order.
//!
//! A row has no name, but what it refers to has. A linker lays what files hold in one order of
//! the files: their rows, and what these lead to. So rows of different files stand in the order
//! of what they lead to, before and after; two of one file may not, but then both times.

#![expect(clippy::indexing_slicing, reason = "rows have the numbers of their places in the list")]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows of a section that is in memory, and counts"
)]

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};
use indexmap::IndexMap;

use super::comparer::Comparer;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Id, Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Home;
use crate::kernel::knowledge::sections;
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;

/// Whether a section of rows without names only differs in their order, and files are linked
/// in another order: the linker lays the rows of each file behind those of the file before.
/// Where the files keep their order, the order of rows counts, and so does it within a file.
pub(in crate::diff) fn rows(comparer: &Comparer<'_>, p: SectionId<Patched>) -> Result<bool> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let Some(o) = comparer.twins.orig_section(p) else { return Ok(false) };
    if !files_differ_in_order(orig, patched) {
        return Ok(false);
    }
    let twin = |id: SymbolId<Orig>| comparer.twins.patched_symbol(id).map(|id| id.index());
    let (Some(before), Some(after)) =
        (prints(orig, o, twin)?, prints(patched, p, |id| Some(id.index()))?)
    else {
        return Ok(false);
    };
    Ok(blocks(&before) == blocks(&after))
}

/// Whether FILE symbols that both objects have stand in another order.
fn files_differ_in_order(orig: &Layout<'_, Orig>, patched: &Layout<'_, Patched>) -> bool {
    fn names<'a, S: Side>(layout: &Layout<'a, S>) -> Vec<&'a str> {
        layout.files().iter().map(|&file| layout.object.symbol_name(file)).collect()
    }
    let (before, after) = (names(orig), names(patched));
    let mut counts: IndexMap<&str, (u32, u32), RandomState> = IndexMap::default();
    before.iter().for_each(|name| counts.entry(name).or_default().0 += 1);
    after.iter().for_each(|name| counts.entry(name).or_default().1 += 1);
    let common = |name: &&&str| counts.get(**name).is_some_and(|(a, b)| a == b);
    !before.iter().filter(common).eq(after.iter().filter(common))
}

/// Place of what a row leads to: section and offset.
type Place = (usize, u64);

/// For each row of a section where its first reference leads to, and a hash: of its bytes, and
/// of what it refers to, as numbered in the patched object. `None` where rows cannot be told, or
/// refer to what has no number or place.
fn prints<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    number: impl Fn(SymbolId<S>) -> Option<usize>,
) -> Result<Option<Vec<(Place, u64)>>> {
    let object = layout.object;
    let (data, relocs) = (object.contents(section), object.relocs(section));
    // Each row begins with a reference of the same kind, at the same distance.
    let first = relocs.iter().next();
    let name = object.section_name(section);
    let Some((first, unit)) = first.zip(unit(name, data.len() as u64, relocs.len() as u64)) else {
        return Ok(None);
    };
    let refs = Refs::new(layout, section);
    let mut found = Vec::new();
    for (row, bytes) in (0u64..).zip(data.chunks(unit as usize)) {
        let start = row * unit;
        let mut state = FixedState::default().build_hasher();
        state.write(bytes);
        let mut place = None;
        for reloc in relocs.within(start, start + unit) {
            let at = reloc.offset - start;
            if place.is_none() && (at, reloc.kind) != (first.offset, first.kind) {
                return Ok(None);
            }
            state.write_u64(at);
            state.write_u32(reloc.kind);
            if let Some(string) = refs.string(&reloc)? {
                state.write(string);
                continue;
            }
            let target = refs.resolve(&reloc)?;
            let Home::Section(home) = object.home(target.symbol) else { return Ok(None) };
            if object.symbol_kind(target.symbol) == abi::STT_SECTION {
                return Ok(None);
            }
            let Some(number) = number(target.symbol) else { return Ok(None) };
            place.get_or_insert((home.index(), object.symbol_value(target.symbol)));
            state.write_usize(number);
            state.write_i64(target.addend);
        }
        let Some(place) = place else { return Ok(None) };
        found.push((place, state.finish()));
    }
    Ok(Some(found))
}

/// Cuts rows into the shortest blocks that stand in the order of what they lead to: hashes of
/// these, sorted.
fn blocks(rows: &[(Place, u64)]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| rows[row].0);
    let mut found = Vec::new();
    let (mut state, mut last) = (FixedState::default().build_hasher(), 0);
    for (place, &row) in order.iter().enumerate() {
        last = last.max(row);
        state.write_u64(rows[place].1);
        state.write_u64(rows[row].1);
        if last == place {
            found.push(state.finish());
            state = FixedState::default().build_hasher();
        }
    }
    found.sort_unstable();
    found
}

/// Bytes of a row of `section`, when each has as many references.
fn unit(section: &str, size: u64, relocs: u64) -> Option<u64> {
    let count = if sections::PAIRS.contains(&section) { 2 } else { 1 };
    let rows = relocs / count;
    (rows > 0 && relocs.is_multiple_of(count) && size.is_multiple_of(rows)).then(|| size / rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_long_as_their_references_say() {
        assert_eq!(unit("__tracepoints_ptrs", 0x7c4, 497), Some(4));
        assert_eq!(unit(".pci_fixup_early", 0x630, 99), Some(16));
        assert_eq!(unit(".static_call_tramp_key", 0x30, 12), Some(8));
        assert_eq!(unit("odd", 33, 8), None);
        assert_eq!(unit("empty", 0, 0), None);
    }

    /// Rows that lead to sections, with these hashes.
    fn blocks_of(rows: &[(usize, u64)]) -> Vec<u64> {
        blocks(&rows.iter().map(|&(section, hash)| ((section, 0), hash)).collect::<Vec<_>>())
    }

    #[test]
    fn only_rows_of_different_files_may_change_places() {
        // The first file has rows 1 and 2, the second one 3 and 4, against their order.
        let forth = blocks_of(&[(5, 1), (6, 2), (8, 3), (7, 4)]);
        assert_eq!(forth.len(), 3);
        assert_eq!(forth, blocks_of(&[(2, 3), (1, 4), (3, 1), (4, 2)]));
        assert_ne!(forth, blocks_of(&[(2, 3), (1, 4), (4, 2), (3, 1)]), "rows 1 and 2");
        assert_ne!(forth, blocks_of(&[(1, 4), (2, 3), (3, 1), (4, 2)]), "rows 3 and 4");
        assert_ne!(forth, blocks_of(&[(2, 3), (1, 4), (3, 1), (4, 5)]), "another row");
        assert_ne!(forth, blocks_of(&[(2, 3), (1, 4), (3, 1)]), "a row less");
    }
}
