//! Leaves out what only fills the space between two entities of a section.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::Comparer;
use super::forgive::forgive_bytes;
use super::forgiven::{Field, proofs};
use super::pair::Pair;
use super::spans::{Spans, fixed};
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::kernel::layout::Layout;
use crate::kernel::padding::is_padding;

/// Whether nothing of a label's own file is at a place: its section ends there, or what a file
/// that was linked behind it has begins.
pub(super) fn ends_file<S: Side>(
    layout: &Layout<'_, S>,
    label: SymbolId<S>,
    (section, at): (SectionId<S>, u64),
) -> bool {
    let object = layout.object;
    let is_other = |&id: &SymbolId<S>| {
        object.symbol_value(id) == at
            && layout.is_local(id)
            && layout.file_of(id) > layout.file_of(label)
    };
    at == object.section_size(section)
        || layout.is_local(label) && object.members(section).iter().any(is_other)
}

/// Drops the padding behind entities that share their section with others, where it
/// differs.
pub(super) fn trim(comparer: &Comparer<'_>, spans: &mut Spans) {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    if orig.entity_count(spans.o) <= 1 && patched.entity_count(spans.p) <= 1 {
        return;
    }
    // Between the named constants of a pool lie others, which have no names.
    if patched.is_pool(spans.p) && orig.is_pool(spans.o) {
        trim_pooled(comparer, spans);
        return;
    }
    if let Some((o_end, p_end)) = without_padding(comparer, spans) {
        let field = Field {
            o: (spans.o, o_end),
            p: (spans.p, p_end),
            width: (spans.p_end - p_end).max(spans.o_end - o_end),
        };
        forgive_bytes(comparer, proofs::PADDING, field, || "behind the last symbol".into());
        (spans.o_end, spans.p_end) = (o_end, p_end);
    }
}

/// Where two things end without the padding behind them, where that differs.
pub(super) fn without_padding(pair: &Pair<'_>, spans: &Spans) -> Option<(u64, u64)> {
    let (orig, patched) = (pair.orig.layout, pair.patched.layout);
    if orig.entity_count(spans.o) <= 1 && patched.entity_count(spans.p) <= 1 {
        return None;
    }
    let o_end = padded_end(orig, spans.o, spans.o_start, spans.o_end);
    let p_end = padded_end(patched, spans.p, spans.p_start, spans.p_end);
    let (o_tail, p_tail) =
        (tail(orig, spans.o, o_end, spans.o_end), tail(patched, spans.p, p_end, spans.p_end));
    let equal = spans.o_end - spans.o_start == spans.p_end - spans.p_start
        && o_end - spans.o_start == p_end - spans.p_start
        && o_tail == p_tail;
    (!equal).then_some((o_end, p_end))
}

/// Drops what follows a constant of a pool: it is compared where something refers to it.
fn trim_pooled(pair: &Pair<'_>, spans: &mut Spans) {
    let (orig, patched) = (pair.orig.layout, pair.patched.layout);
    let labels =
        (orig.unsized_at(spans.o, spans.o_start), patched.unsized_at(spans.p, spans.p_start));
    // Behind a label that ends what its file has of the section lies what another file has
    // without names. What code reads there is compared where it does.
    let (from, to) = ((spans.o, spans.o_start), (spans.p, spans.p_start));
    if let (Some(o), Some(p)) = labels
        && ends_file(orig, o, from)
        && ends_file(patched, p, to)
    {
        (spans.o_end, spans.p_end) = (spans.o_start, spans.p_start);
        return;
    }
    if !matches!(labels, (Some(_), Some(_))) {
        spans.o_end = orig.named_end(spans.o, spans.o_start).unwrap_or(spans.o_end);
        spans.p_end = patched.named_end(spans.p, spans.p_start).unwrap_or(spans.p_end);
        return;
    }
    let whole = fixed(orig, spans.o, spans.o_start, spans.o_end);
    if whole.is_some() && whole == fixed(patched, spans.p, spans.p_start, spans.p_end) {
        return;
    }
    // A label has no size. What is up to the next place that anything refers to counts
    // as its own; what is behind that one is compared where it is referred to.
    let o_end = pair.orig.anonymous.end(orig, spans.o, spans.o_start).0;
    let p_end = pair.patched.anonymous.end(patched, spans.p, spans.p_start).0;
    (spans.o_end, spans.p_end) = (spans.o_end.min(o_end), spans.p_end.min(p_end));
}

/// Where the padding begins that ends the entity `start..end` of a section; its end when there
/// is none.
fn padded_end<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, start: u64, end: u64) -> u64 {
    let named = layout.named_end(section, start).filter(|&named| start < named && named < end);
    named.filter(|&named| is_padding(layout, section, named, end)).unwrap_or(end)
}

fn tail<'a, S: Side>(
    layout: &Layout<'a, S>,
    section: SectionId<S>,
    from: u64,
    to: u64,
) -> Option<&'a [u8]> {
    layout.object.contents(section).get(from as usize..to as usize)
}
