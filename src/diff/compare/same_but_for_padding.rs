//! Compares two functions whose padding differs, by which place of the one is which of the other.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use std::borrow::Cow;

use super::address_parts::AddressParts;
use super::assembler_resolved::lead_alike;
use super::comparer::Comparer;
use super::counterpart::same_kind;
use super::forgive::{forgive_bytes, forgive_reference};
use super::forgiven::{Field, proofs};
use super::pair::Pair;
use super::questions::OpenQuestions;
use super::realigned::{Code, Instruction, realigned};
use super::realignments::Realigned;
use super::rows::same_rows_where;
use super::spans::Sink;
use super::targets::same_reference;
use crate::diag::Result;
use crate::elf::ids::{Orig, Patched};
use crate::kernel::assembler_resolved::Unrelocated;
use crate::kernel::layout::Entity;
use crate::kernel::refs::Refs;

/// Whether two functions are the same although padding in them differs.
pub(super) fn same_but_for_padding(
    comparer: &Comparer<'_>,
    o: &Entity<Orig>,
    p: &Entity<Patched>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let Some(found) = realigned(comparer, o, p) else { return Ok(false) };
    Ok(same_names_inside(comparer, &found, o, p)
        && same_distances(comparer, &found, open)?
        && same_references(comparer, &found, open)?
        && same_realigned_rows(comparer, &found, open)?
        && note_padding(comparer, &found))
}

/// Whether all names inside of the two functions are at the same places of them.
fn same_names_inside(
    pair: &Pair<'_>,
    found: &Realigned,
    o: &Entity<Orig>,
    p: &Entity<Patched>,
) -> bool {
    let (orig, patched) = (pair.orig.layout, pair.patched.layout);
    let inside = |value: u64, from: u64, to: u64| from < value && value < to;
    let before = orig.object.members(o.section).iter().filter(|&&id| {
        inside(orig.object.symbol_value(id), found.entry.0, o.end) && !orig.is_mapping(id)
    });
    let after = patched.object.members(p.section).iter().filter(|&&id| {
        inside(patched.object.symbol_value(id), found.entry.1, p.end) && !patched.is_mapping(id)
    });
    let mut places = after.clone();
    before.count() == after.count()
        && places.all(|&id| {
            pair.twins.orig_symbol(id).is_some_and(|twin| {
                orig.object.section_of(twin) == Some(o.section)
                    && found.meets(orig.object.symbol_value(twin), patched.object.symbol_value(id))
            })
        })
}

/// Whether what leads somewhere by a distance leads to the same on both sides.
fn same_distances(
    comparer: &Comparer<'_>,
    found: &Realigned,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let spans = &found.spans;
    let (orig, patched) = (Code::new(comparer.orig), Code::new(comparer.patched));
    let (mut o, mut p) = (spans.o_start, spans.p_start);
    let mut padding = found.padding.iter().peekable();
    let mut anywhere = false;
    while o < spans.o_end && p < spans.p_end {
        if let Some((before, after)) = padding.next_if(|f| f.0.0 == o && f.1.0 == p) {
            (o, p) = (before.1, after.1);
            continue;
        }
        let (Some(a), Some(b)) = (orig.at(spans.o, o), patched.at(spans.p, p)) else {
            return Ok(false);
        };
        anywhere |= a.anywhere || b.anywhere;
        let same = match (&a.unrelocated, &b.unrelocated) {
            (None, None) => true,
            (Some(x), Some(y)) => lead_to_one_place(comparer, found, (&a, x), (&b, y), open),
            _ => false,
        };
        if !same {
            return Ok(false);
        }
        (o, p) = (o + a.length, p + b.length);
    }
    Ok(!anywhere
        || orig.tells_all(spans.o, (spans.o_start, spans.o_end))?
            && patched.tells_all(spans.p, (spans.p_start, spans.p_end))?)
}

fn lead_to_one_place(
    comparer: &Comparer<'_>,
    found: &Realigned,
    (a, x): (&Instruction, &Unrelocated),
    (b, y): (&Instruction, &Unrelocated),
    open: &mut OpenQuestions,
) -> bool {
    let spans = &found.spans;
    let (from, to) = (x.reach.target, y.reach.target);
    let inside = (
        (found.entry.0.min(spans.o_start)..spans.o_end).contains(&from),
        (found.entry.1.min(spans.p_start)..spans.p_end).contains(&to),
    );
    let same = match inside {
        // What takes an address may read what is there, or count from it.
        (true, true) => {
            found.meets(from, to) && (a.branches && b.branches || (from, to) == found.entry)
        }
        (false, false) => open.at_once(|open| lead_alike(comparer, spans, x, y, open)),
        _ => false,
    };
    if same && from.wrapping_sub(x.at) != to.wrapping_sub(y.at) {
        let field = Field { o: (spans.o, x.at), p: (spans.p, y.at), width: b.length };
        forgive_bytes(comparer, proofs::DISTANCE, field, || {
            format!("leads to {to:#x}, the place of {from:#x} in the original").into()
        });
    }
    same
}

fn same_references(
    comparer: &Comparer<'_>,
    found: &Realigned,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let spans = &found.spans;
    let o_refs = Refs::new(comparer.orig.layout, spans.o);
    let p_refs = Refs::new(comparer.patched.layout, spans.p);
    let o = comparer.orig.layout.object.relocs(spans.o).within(spans.o_start, spans.o_end);
    let p = comparer.patched.layout.object.relocs(spans.p).within(spans.p_start, spans.p_end);
    let (mut o_relocs, mut p_relocs) = (o, p);
    let mut parts = AddressParts::default();
    loop {
        let (o, p) = match (o_relocs.next(), p_relocs.next()) {
            (None, None) => return Ok(true),
            (Some(o), Some(p)) => (o, p),
            _ => return Ok(false),
        };
        if !found.meets(o.offset, p.offset)
            || !same_kind(comparer, &o, &p)
            || !same_reference(comparer, (&o_refs, &o), (&p_refs, &p), open)?
            || !parts.agree(comparer.patched.layout.arch, &o, &p)
        {
            return Ok(false);
        }
        forgive_reference(comparer, (&o_refs, &o), (&p_refs, &p));
    }
}

fn same_realigned_rows(
    comparer: &Comparer<'_>,
    found: &Realigned,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let meets = |o: u64, p: u64| found.meets(o, p);
    same_rows_where(comparer, &found.spans, &meets, &mut Sink(None), open)
}

fn note_padding(comparer: &Comparer<'_>, found: &Realigned) -> bool {
    for (before, after) in &found.padding {
        let field = Field {
            o: (found.spans.o, before.0),
            p: (found.spans.p, after.0),
            width: (after.1 - after.0).max(before.1 - before.0),
        };
        let evidence = || -> Cow<'static, str> {
            let lengths = (before.1 - before.0, after.1 - after.0);
            format!("{} and {} bytes up to an aligned place", lengths.0, lengths.1).into()
        };
        forgive_bytes(comparer, proofs::ALIGNMENT, field, evidence);
    }
    true
}
