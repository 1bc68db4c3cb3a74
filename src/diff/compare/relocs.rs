//! Compares the relocations of two stretches.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::address_parts::torn_apart;
use super::apart::{contents_apart, other_constant, other_twin, starts_of};
use super::comparer::Comparer;
use super::counterpart::same_kind;
use super::forgive::forgive_reference;
use super::meaning::{is_promotion, meaning};
use super::pair::Pair;
use super::questions::OpenQuestions;
use super::rows::other_row;
use super::spans::{Sink, Spans};
use super::targets::same_reference;
use crate::diag::Result;
use crate::diff::reason::{Meant, Reason, ReasonKind, Reference, Sides};
use crate::elf::ids::{Orig, Patched};
use crate::kernel::refs::{Refs, RelocIn};

/// Compares the relocations of two spans in order of place.
pub(super) fn same_relocs(
    comparer: &Comparer<'_>,
    spans: &Spans,
    sink: &mut Sink<'_>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let o_refs = Refs::new(comparer.orig.layout, spans.o);
    let p_refs = Refs::new(comparer.patched.layout, spans.p);
    let o_all = comparer.orig.layout.object.relocs(spans.o);
    let p_all = comparer.patched.layout.object.relocs(spans.p);
    if o_all.is_empty() && p_all.is_empty() {
        return Ok(true);
    }
    let mut o_relocs = o_all.within(spans.o_start, spans.o_end);
    let mut p_relocs = p_all.within(spans.p_start, spans.p_end);
    let (mut same, mut by_content) = (true, false);
    loop {
        let (o, p) = match (o_relocs.next(), p_relocs.next()) {
            (None, None) if same && by_content => {
                let torn = torn_apart(comparer, spans);
                if let Some((o, p)) = &torn {
                    sink.note(|| other_reference(comparer, (&o_refs, o), (&p_refs, p), spans));
                }
                return Ok(torn.is_none());
            }
            (None, None) => return Ok(same),
            (Some(o), Some(p)) => (o, p),
            (o, p) => {
                let at = |offset: u64, start: u64| offset.wrapping_sub(start) as i64;
                let offset = o.map(|o| at(o.offset, spans.o_start));
                let offset = offset.or(p.map(|p| at(p.offset, spans.p_start)));
                sink.note(|| {
                    let before =
                        o.map(|r| Reference::plain(meaning(comparer.orig.layout, &o_refs, &r)));
                    let after =
                        p.map(|r| Reference::plain(meaning(comparer.patched.layout, &p_refs, &r)));
                    Reason { kind: ReasonKind::Relocation(Sides { before, after }), offset }
                });
                return Ok(false);
            }
        };
        let aligned = o.offset - spans.o_start == p.offset - spans.p_start;
        let placed = aligned && same_kind(comparer, &o, &p);
        if placed && same_reference(comparer, (&o_refs, &o), (&p_refs, &p), open)? {
            forgive_reference(comparer, (&o_refs, &o), (&p_refs, &p));
            by_content |= o.addend != p.addend || !comparer.twins.are_twins(o.symbol, p.symbol);
            continue;
        }
        same = false;
        let stop = sink.note(|| other_reference(comparer, (&o_refs, &o), (&p_refs, &p), spans));
        // Behind a shifted relocation everything differs: one reason is enough.
        if stop || !aligned {
            return Ok(false);
        }
    }
}

fn other_reference(
    comparer: &Comparer<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
    spans: &Spans,
) -> Reason {
    let aligned = o.offset - spans.o_start == p.offset - spans.p_start;
    let placed = aligned && same_kind(comparer, o, p);
    if placed && let Some(reason) = other_constant(comparer, (o_refs, o), (p_refs, p), spans) {
        return reason;
    }
    if placed && let Some(kind) = other_row(comparer, (o_refs, o), (p_refs, p)) {
        return Reason::at((p.offset - spans.p_start) as i64, kind);
    }
    let mut before = Reference::plain(meaning(comparer.orig.layout, o_refs, o));
    let mut after = Reference::plain(meaning(comparer.patched.layout, p_refs, p));
    let strings = matches!((&before.meant, &after.meant), (Meant::String(_), Meant::String(_)));
    // Of content, the names of two equal sections say nothing.
    let content = before.meant == after.meant;
    if !aligned {
        let (o_start, p_start) = starts_of(comparer, spans);
        before.at = Some(o.offset.wrapping_sub(o_start) as i64);
        after.at = Some(p.offset.wrapping_sub(p_start) as i64);
    } else if content && let Some(apart) = contents_apart(comparer, (o_refs, o), (p_refs, p)) {
        (before.content, after.content) = (Some(apart.before), Some(apart.after));
    } else if content {
        after.twin = other_twin(comparer, p_refs, p);
    }
    if o.kind != p.kind {
        let arch = comparer.patched.layout.arch;
        let name = |kind| Some(arch.reloc(kind).map_or("unknown type", |t| t.name));
        (before.relocation, after.relocation) = (name(o.kind), name(p.kind));
    }
    let kind = match (strings && placed, content && placed) {
        (true, _) => ReasonKind::String(Sides::new(before, after)),
        (_, true) => ReasonKind::Constant(Sides::new(before, after)),
        _ if aligned && is_promoted(comparer, (o_refs, o), (p_refs, p)) => {
            ReasonKind::Promoted(Sides::new(before, after))
        }
        _ => ReasonKind::Relocation(Sides::new(Some(before), Some(after))),
    };
    Reason::at((p.offset - spans.p_start) as i64, kind)
}

/// Whether two references lead to the same place of one thing, but for its promotion.
pub(super) fn is_promoted(
    pair: &Pair<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
) -> bool {
    let (Ok(a), Ok(b)) = (o_refs.resolve(o), p_refs.resolve(p)) else { return false };
    let (orig, patched) = (pair.orig.layout.object, pair.patched.layout.object);
    same_kind(pair, o, p)
        && a.addend == b.addend
        && is_promotion(orig.symbol_name(a.symbol), patched.symbol_name(b.symbol))
}
