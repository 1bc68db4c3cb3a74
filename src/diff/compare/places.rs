//! Whether references to one thing lead to the same place of it.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::Comparer;
use super::entry::marker_length;
use super::pair::Pair;
use super::realigned::realigned_at;
use crate::diag::Result;
use crate::elf::ids::{Orig, Patched, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::refs::{Ref, Refs};

/// Whether two references to twins lead to the same place: what lies behind a marker that
/// only one of two functions has is that much farther from its start.
pub(super) fn same_place(
    comparer: &Comparer<'_>,
    (o_refs, o, a): (&Refs<'_, Orig>, &Reloc<Orig>, Ref<Orig>),
    (refs, reloc, b): (&Refs<'_, Patched>, &Reloc<Patched>, Ref<Patched>),
) -> Result<bool> {
    if is_inside_code(comparer, b.symbol, b.addend)
        && let Some((from, to)) = o_refs.place(o)?.zip(refs.place(reloc)?)
        && let Some(realigned) = realigned_at(comparer, from, to)
    {
        return Ok(realigned.meets(from.1, to.1));
    }
    let equal = a.addend == b.addend;
    if !equal
        && a.addend.abs_diff(b.addend) != comparer.patched.layout.arch.indirect_target.len() as u64
    {
        return Ok(false);
    }
    if equal && !is_inside_code(comparer, b.symbol, b.addend) {
        return Ok(true);
    }
    let before = marker_length(comparer.orig.layout, a.symbol);
    let after = marker_length(comparer.patched.layout, b.symbol);
    if before == after {
        return Ok(equal);
    }
    let at = refs.target_offset(&Reloc { addend: b.addend, ..*reloc })?;
    if at <= 0 {
        return Ok(equal);
    }
    Ok(b.addend.wrapping_sub(a.addend) == after as i64 - before as i64)
}

/// Whether a reference may lead to the inside of a function. Calls, and pointers to
/// functions, lead to their start.
pub(super) fn is_inside_code(pair: &Pair<'_>, symbol: SymbolId<Patched>, addend: i64) -> bool {
    let object = pair.patched.layout.object;
    !matches!(addend, 0 | -4)
        && object.section_of(symbol).is_some_and(|s| object.section(s).is_text())
}
