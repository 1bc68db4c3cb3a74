//! What differs first between two things, in words: bytes, instructions, constants, contents.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::Comparer;
use super::counterpart::same_kind;
use super::meaning::{describe, meaning};
use super::pair::Pair;
use super::questions::OpenQuestions;
use super::spans::Spans;
use super::targets::same_reference;
use crate::arch::{Arch, instruction_text};
use crate::diff::pair::locals::is_constant;
use crate::diff::reason::{Content, OtherTwin, Reason, ReasonKind, Shown, Sides, eight};
use crate::elf::abi;
use crate::elf::ids::{Id as _, Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::names;
use crate::kernel::layout::Layout;
use crate::kernel::refs::{Refs, RelocIn};

/// How many constants a reason names, from the one that code reads to what differs in it.
const LONGEST: usize = 8;

/// Two constants of one name.
type Both = (SymbolId<Orig>, SymbolId<Patched>);

/// What differs first in them: where, how it was and how it is, and the constants that a
/// pointer there leads to.
type First = (Option<u64>, Sides<Content>, Option<Both>);

/// Why code that reads a constant differs, when the constants of one name do: the chain of
/// them down to the size, bytes or target that differ.
pub(super) fn other_constant(
    comparer: &Comparer<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
    spans: &Spans,
) -> Option<Reason> {
    let mut both = (o_refs.resolve(o).ok()?.symbol, p_refs.resolve(p).ok()?.symbol);
    let mut path = Vec::new();
    loop {
        let (at, sides, next) = first_in_constants(comparer, both)?;
        path.push((comparer.output_name(both.1).to_owned(), at));
        match next.filter(|_| path.len() < LONGEST) {
            Some(next) => both = next,
            None => {
                let kind = ReasonKind::Chain { path, sides };
                return Some(Reason::at((p.offset - spans.p_start) as i64, kind));
            }
        }
    }
}

fn first_in_constants(comparer: &Comparer<'_>, (a, b): Both) -> Option<First> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let (before, after) = (orig.object.symbol(a), patched.object.symbol(b));
    let (o, p) = (orig.object.section_of(a)?, patched.object.section_of(b)?);
    if comparer.twins.are_twins(a, b)
        || !names::same(before.name, after.name)
        || after.kind != abi::STT_OBJECT
        || !is_constant(orig, a)
    {
        return None;
    }
    if before.size != after.size {
        let [before, after] = [before.size, after.size].map(Content::Size);
        return Some((None, Sides { before, after }, None));
    }
    let end = |value: u64| value.saturating_add(before.size);
    let (o_end, p_end) = (end(before.value), end(after.value));
    let x = orig.object.contents(o).get(before.value as usize..o_end as usize)?;
    let y = patched.object.contents(p).get(after.value as usize..p_end as usize)?;
    if let Some(first) = x.iter().zip(y).position(|(x, y)| x != y) {
        let [before, after] = [x, y].map(|bytes| Content::Bytes(eight(bytes, first)));
        return Some((Some(first as u64), Sides { before, after }, None));
    }
    let (o_refs, p_refs) = (Refs::new(orig, o), Refs::new(patched, p));
    let o_relocs = orig.object.relocs(o).within(before.value, o_end);
    let p_relocs = patched.object.relocs(p).within(after.value, p_end);
    let start = after.value;
    let differs = |(o, p): &(Reloc<Orig>, Reloc<Patched>)| {
        o.offset - before.value != p.offset - after.value
            || !same_kind(comparer, o, p)
            || !same_reference(comparer, (&o_refs, o), (&p_refs, p), &mut OpenQuestions::new())
                .unwrap_or(false)
    };
    let (o, p) = o_relocs.zip(p_relocs).find(differs)?;
    let meant = [meaning(orig, &o_refs, &o), meaning(patched, &p_refs, &p)];
    let [before, after] = meant.map(Content::Reference);
    let next = (o_refs.resolve(&o).ok()?.symbol, p_refs.resolve(&p).ok()?.symbol);
    let leads = comparer.twins.replaced.was(next.1) == Some(next.0);
    let at = p.offset - start;
    Some((Some(at), Sides { before, after }, Some(next).filter(|_| leads)))
}

/// A whole instruction of a machine whose instructions are not put in words here, as its manuals
/// write it: a little-endian machine's as one number, others' as their bytes.
fn word(arch: &Arch, code: &[u8], at: usize) -> Option<String> {
    let rest = code.get(at..).filter(|_| arch.ends_instruction.is_none())?;
    let bytes = rest.get(..(arch.instruction_len)(rest)?)?;
    if let (false, &[a, b, c, d]) = (arch.big_endian, bytes) {
        return Some(format!("{:08x}", u32::from_le_bytes([a, b, c, d])));
    }
    Some(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Where what two spans are of begins: the symbols, behind what precedes them in their entities.
pub(super) fn starts_of(pair: &Pair<'_>, spans: &Spans) -> (u64, u64) {
    (
        start(pair.orig.layout, spans.o, spans.o_start),
        start(pair.patched.layout, spans.p, spans.p_start),
    )
}

/// How the contents of two spans differ first: instructions where they can be read, with
/// the names of their operands, else bytes.
pub(super) fn bytes_apart(
    pair: &Pair<'_>,
    spans: &Spans,
    text: bool,
    a: &[u8],
    b: &[u8],
    first: usize,
) -> Reason {
    let arch = pair.patched.layout.arch;
    let mut kind = if text { ReasonKind::Code } else { ReasonKind::Data };
    let mut start = 0;
    while text && start < first {
        let rest = a.get(start..).unwrap_or(&[]);
        let Some(length) = (arch.instruction_len)(rest).filter(|&l| l > 0) else {
            break;
        };
        if start + length > first {
            break;
        }
        start += length;
    }
    let checks = |bytes: &[u8]| bytes.get(start..).and_then(arch.checks_type).is_some();
    if text && checks(a) && checks(b) {
        kind = ReasonKind::CheckedType;
    }
    let at = start as u64;
    let (o_from, p_from) = starts_of(pair, spans);
    let shown = |bytes: &[u8], at: u64, named: &dyn Fn(u64) -> Option<String>| {
        instruction_text(arch, bytes.get(start..)?, at, named)
    };
    let orig = Refs::new(pair.orig.layout, spans.o);
    let patched = Refs::new(pair.patched.layout, spans.p);
    let of_orig =
        |field| operand(pair.orig.layout, &orig, (spans.o_start, spans.o_end), at + field);
    let of_patched =
        |field| operand(pair.patched.layout, &patched, (spans.p_start, spans.p_end), at + field);
    let (before, after) = (
        shown(a, (spans.o_start + at).wrapping_sub(o_from), &of_orig),
        shown(b, (spans.p_start + at).wrapping_sub(p_from), &of_patched),
    );
    if let (true, Some(before), Some(after)) = (text, before, after)
        && before != after
    {
        let sides = Sides::new(Shown::Instruction(before), Shown::Instruction(after));
        return Reason::at(at as i64, kind(sides));
    }
    if let (true, Some(before), Some(after)) = (text, word(arch, a, start), word(arch, b, start))
        && before != after
    {
        let sides = Sides::new(Shown::Instruction(before), Shown::Instruction(after));
        return Reason::at(at as i64, kind(sides));
    }
    let sides = Sides::new(Shown::bytes(a, first), Shown::bytes(b, first));
    Reason::at(first as i64, kind(sides))
}

/// How what two references of one name lead to differs: the first bytes, or the first
/// reference, that are not the same.
pub(super) fn contents_apart(
    pair: &Pair<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
) -> Option<Sides<(Content, u64)>> {
    let (orig, patched) = (pair.orig.layout, pair.patched.layout);
    let (o_place, p_place) = (o_refs.place(o).ok()??, p_refs.place(p).ok()??);
    places_apart(orig, o_place, patched, p_place, 0)
}

/// What a thing is in the original whose name there is another thing's.
pub(super) fn other_twin(
    pair: &Pair<'_>,
    refs: &Refs<'_, Patched>,
    reloc: &Reloc<Patched>,
) -> Option<OtherTwin> {
    let symbol = refs.resolve(reloc).ok()?.symbol;
    let name = pair.patched.layout.object.symbol_name(symbol);
    match pair.twins.orig_symbol(symbol) {
        None => Some(OtherTwin::None),
        Some(twin) => {
            let twin = pair.orig.layout.object.symbol_name(twin);
            (twin != name).then(|| OtherTwin::Called(twin.to_owned()))
        }
    }
}

fn places_apart(
    orig: &Layout<'_, Orig>,
    (o_section, o_at): (SectionId<Orig>, u64),
    patched: &Layout<'_, Patched>,
    (p_section, p_at): (SectionId<Patched>, u64),
    depth: usize,
) -> Option<Sides<(Content, u64)>> {
    fn rest(data: &[u8], at: u64) -> &[u8] {
        let rest = usize::try_from(at).ok().and_then(|at| data.get(at..)).unwrap_or(&[]);
        rest.get(..COMPARED).unwrap_or(rest)
    }
    let a = rest(orig.object.contents(o_section), o_at);
    let b = rest(patched.object.contents(p_section), p_at);
    let (o_refs, p_refs) = (Refs::new(orig, o_section), Refs::new(patched, p_section));
    let length = a.len().min(b.len()) as u64;
    let mut o_relocs =
        orig.object.relocs(o_section).within(o_at, o_at.saturating_add(length)).peekable();
    let mut p_relocs =
        patched.object.relocs(p_section).within(p_at, p_at.saturating_add(length)).peekable();
    let first = a.iter().zip(b).position(|(x, y)| x != y);
    let until = first.map_or(u64::MAX, |first| first as u64);
    // References in order of place, up to the first byte that differs.
    while let (Some(o), Some(p)) = (o_relocs.next(), p_relocs.next()) {
        let at = o.offset.saturating_sub(o_at);
        if at >= until || at != p.offset.saturating_sub(p_at) {
            break;
        }
        let (before, after) = (meaning(orig, &o_refs, &o), meaning(patched, &p_refs, &p));
        if before != after {
            let [before, after] = [before, after].map(|m| (Content::Reference(m), at));
            return Some(Sides { before, after });
        }
        let nameless = |id: SectionId<Patched>| patched.is_nameless(id);
        let inner = (o_refs.place(&o).ok().flatten(), p_refs.place(&p).ok().flatten());
        if let (Some(o), Some(p)) = inner
            && depth < DEPTH
            && nameless(p.0)
            && let Some(apart) = places_apart(orig, o, patched, p, depth + 1)
        {
            return Some(apart);
        }
    }
    let first = first?;
    let shown = |bytes: &[u8]| (Content::Bytes(eight(bytes, first)), first as u64);
    Some(Sides::new(shown(a), shown(b)))
}

/// Most bytes behind a reference that are looked at for words.
const COMPARED: usize = 4096;

/// How many references in a row are followed for words.
const DEPTH: usize = 4;

/// What the relocation at a place of a function stands for, as an operand; `None` when there is
/// none. A place in the function itself is told by its distance from the start.
fn operand<S: Side>(
    layout: &Layout<'_, S>,
    refs: &Refs<'_, S>,
    (start, end): (u64, u64),
    at: u64,
) -> Option<String> {
    let at = start.checked_add(at)?;
    let reloc = layout.object.relocs(refs.base()).within(at, at.checked_add(1)?).next()?;
    if let Ok(Some((section, place))) = refs.place(&reloc)
        && section == refs.base()
        && (start..end).contains(&place)
    {
        return Some(format!("+{:#x}", place - start));
    }
    (reloc.symbol.index() != 0).then(|| describe(layout, refs, &reloc))
}

pub(super) fn start<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, at: u64) -> u64 {
    let entity = layout.entity_at(section, at).map(|index| layout.entity(section, index));
    let symbol = entity.filter(|entity| entity.start == at).and_then(|entity| entity.symbol);
    symbol.map_or(at, |symbol| layout.object.symbol_value(symbol))
}
