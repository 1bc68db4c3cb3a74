//! Compares what instructions refer to at a distance that the assembler knew.
//!
//! Such a distance changes when a function between the two grows, and may stay the same when
//! another function takes the place of the one that was meant.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::Comparer;
use super::pair::Pair;
use super::questions::{OpenQuestions, Question};
use super::realigned::realigned_at;
use super::spans::Spans;
use crate::arch::Reach;
use crate::diff::pair::twins::Twins;
use crate::diff::reason::{Leads, Reason, ReasonKind, Sides};
use crate::elf::ids::{Marks, Orig, Patched, SectionId, Side, SymbolId};
use crate::kernel::assembler_resolved::{Unrelocated, leaving, meant};
use crate::kernel::layout::{Class, Layout};

/// The sections of code in which things are not where their twins are.
pub fn shifted(
    orig: &Layout<'_, Orig>,
    patched: &Layout<'_, Patched>,
    twins: &Twins,
) -> Marks<SectionId<Patched>> {
    Marks::from_fn(patched.object.section_count(), |p| {
        if patched.class(p) != Class::Text {
            return false;
        }
        let (o, count) = (twins.orig_section(p), patched.entity_count(p));
        let Some(o) = o.filter(|&o| orig.entity_count(o) == count) else {
            return true;
        };
        (0..count).any(|i| {
            let (a, b) = (orig.entity(o, i), patched.entity(p, i));
            let alike = match (a.symbol, b.symbol) {
                (Some(a), Some(b)) => twins.are_twins(a, b),
                // Code without a name may change behind the back of what leads there.
                (None, None) => orig.is_padding(&a) && patched.is_padding(&b),
                _ => false,
            };
            a.start != b.start || !alike
        })
    })
}

/// Whether the same distances may mean something else, and others the same.
pub(in crate::diff) fn is_shifted(comparer: &Comparer<'_>, spans: &Spans) -> bool {
    comparer.shifted.has(spans.p) || comparer.twins.orig_section(spans.p) != Some(spans.o)
}

/// The first difference between what two stretches of code lead to without relocations.
/// Where something is no code nothing is known of distances: the bytes tell.
pub(super) fn leads_elsewhere(
    comparer: &Comparer<'_>,
    spans: &Spans,
    open: &mut OpenQuestions,
) -> Option<Reason> {
    if !is_shifted(comparer, spans) {
        return None;
    }
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let o_leaving = leaving(orig, spans.o, spans.o_start, spans.o_end).ok()?;
    let p_leaving = leaving(patched, spans.p, spans.p_start, spans.p_end).ok()?;
    let mut alike = |(o, p): &(Option<&Unrelocated>, Option<&Unrelocated>)| {
        let (&Some(o), &Some(p)) = (o, p) else { return false };
        o.at - spans.o_start == p.at - spans.p_start && lead_alike(comparer, spans, o, p, open)
    };
    let count = o_leaving.len().max(p_leaving.len());
    let mut pairs = (0..count).map(|i| (o_leaving.get(i), p_leaving.get(i)));
    let (o, p) = pairs.find(|pair| !alike(pair))?;
    let at = p.map(|p| p.at - spans.p_start).or(o.map(|o| o.at - spans.o_start));
    let before = o.map(|o| leads(orig, spans.o, o));
    let after = p.map(|p| leads(patched, spans.p, p));
    let kind = ReasonKind::Leads(Sides { before, after });
    Some(Reason { kind, offset: at.map(|at| at as i64) })
}

/// Whether two instructions lead out of two stretches of code to the same thing.
pub(super) fn lead_alike(
    comparer: &Comparer<'_>,
    spans: &Spans,
    o: &Unrelocated,
    p: &Unrelocated,
    open: &mut OpenQuestions,
) -> bool {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    match (meant(orig, spans.o, o), meant(patched, spans.p, p)) {
        (Some((s, before)), Some((t, after))) => {
            let (from, to) = ((spans.o, o.reach.target), (spans.p, p.reach.target));
            let same = match realigned_at(comparer, from, to) {
                Some(realigned) => realigned.meets(from.1, to.1),
                None => before == after,
            };
            same && have_one_place(comparer, s, t)
        }
        (None, None) => lead_to_nameless(comparer, spans, (o.reach.target, p.reach.target), open),
        _ => false,
    }
}

/// Whether two places that have no name are in the same place of the same code.
fn lead_to_nameless(
    comparer: &Comparer<'_>,
    spans: &Spans,
    (o_at, p_at): (u64, u64),
    open: &mut OpenQuestions,
) -> bool {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let o = orig.entity_at(spans.o, o_at).map(|index| orig.entity(spans.o, index));
    let p = patched.entity_at(spans.p, p_at).map(|index| patched.entity(spans.p, index));
    let (Some(o), Some(p)) = (o, p) else { return false };
    let within = (o.start..o.end).contains(&o_at) && (p.start..p.end).contains(&p_at);
    let named = o.symbol.is_some() || p.symbol.is_some();
    let own = (o.start..o.end).contains(&spans.o_start);
    within
        && !named
        && !own
        && o_at - o.start == p_at - p.start
        && comparer.ask(Question::entities(&o, &p), open).is_ok_and(|same| same)
}

/// Whether a patched symbol is what the original has in the place of another: the symbol
/// itself, or an alias.
fn have_one_place(pair: &Pair<'_>, o: SymbolId<Orig>, p: SymbolId<Patched>) -> bool {
    let object = pair.orig.layout.object;
    let twin = pair.twins.orig_symbol(p);
    twin.is_some_and(|twin| {
        object.section_of(twin) == object.section_of(o)
            && object.symbol_value(twin) == object.symbol_value(o)
    })
}

/// Whether two instructions at byte `at` of two stretches of code differ only in the
/// distance to something outside: where that leads is [`leads_elsewhere`]'s to
/// say. Inside, the same distance leads to the same instruction, and another one does not.
pub(super) fn only_distance_differs(pair: &Pair<'_>, spans: &Spans, at: u64) -> bool {
    let (orig, patched) = (pair.orig.layout, pair.patched.layout);
    let o = instruction(orig, spans.o, spans.o_start + at);
    let p = instruction(patched, spans.p, spans.p_start + at);
    let (Some((o, before)), Some((p, after))) = (o, p) else { return false };
    o == p
        && !(spans.o_start..spans.o_end).contains(&before)
        && !(spans.p_start..spans.p_end).contains(&after)
}

/// Where the instruction at byte `at` of a stretch of patched code leads, in words.
pub(super) fn distance_evidence(pair: &Pair<'_>, spans: &Spans, at: u64) -> String {
    let layout = pair.patched.layout;
    let at = spans.p_start + at;
    let reach = (layout.arch.reach)(layout.object.contents(spans.p), at).and_then(|r| r.1);
    reach.map_or_else(String::new, |reach| {
        leads(layout, spans.p, &Unrelocated { at, reach }).to_string()
    })
}

/// Where an instruction leads.
fn leads<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    unrelocated: &Unrelocated,
) -> Leads {
    let place = meant(layout, section, unrelocated);
    Leads(place.map(|(symbol, by)| (layout.object.symbol_name(symbol).to_owned(), by)))
}

/// The bytes of an instruction that holds a distance, without it, and where it leads.
fn instruction<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    at: u64,
) -> Option<(Vec<u8>, u64)> {
    let code = layout.object.contents(section);
    let (len, reach) = (layout.arch.reach)(code, at)?;
    let (reach, start) = (reach?, at as usize);
    let mut bytes = code.get(start..start + len as usize)?.to_vec();
    let field = reach.field.checked_sub(at)?;
    Reach { field, ..reach }.clear(&mut bytes);
    Some((bytes, reach.target))
}
