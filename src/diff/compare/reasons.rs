//! Why a function is in the patch: compares again, this time noting every difference.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::{Comparer, Sink, Spans};
use super::inlining::Question;
use super::meaning::{describe, meaning};
use super::questions::OpenQuestions;
use super::states::Uses;
use crate::arch::{Arch, instruction_text};
use crate::diag::{Finding, Result};
use crate::diff::reason::{Content, OtherTwin, Reason, ReasonKind, Shown, Sides, eight};
use crate::diff::words::placed;
use crate::elf::ids::{Id as _, Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;

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

/// How a function or variable differs from its twin.
#[derive(Debug, Default)]
pub struct Differs {
    /// Every difference, most telling first.
    pub reasons: Vec<Reason>,
    /// What other objects of the build must tell to know whether it was re-inlined.
    pub questions: Vec<Question>,
    /// The live state that it uses, behind what differs first, too.
    pub uses: Uses,
}

impl Comparer<'_> {
    /// Every difference between a patched function or variable, with its split-off parts,
    /// and its twin; and what other objects of the build must tell to know whether it was
    /// re-inlined. Empty for what is new.
    pub fn reasons(&self, id: SymbolId<Patched>) -> Result<Differs> {
        let (mut reasons, mut open) = (Vec::new(), OpenQuestions::new());
        let mut family = vec![id];
        let layout = self.patched.layout;
        while let Some(member) = family.pop() {
            family.extend(layout.children(member));
            let Some(section) = layout.object.section_of(member) else { continue };
            let Some(twin) = self.twins.orig_symbol(member) else { continue };
            let Some(orig) = self.orig.layout.object.section_of(twin) else { continue };
            let value = layout.object.symbol_value(member);
            let Some(index) = layout.entity_at(section, value) else { continue };
            let entity = layout.entity(section, index);
            if let Some(orig) = self.twin_entity(orig, &entity) {
                let known = reasons.len();
                self.entities(&orig, &entity, &mut Sink(Some(&mut reasons)), &mut open)?;
                let lead = value.wrapping_sub(entity.start) as i64;
                for offset in reasons.iter_mut().skip(known).filter_map(|r| r.offset.as_mut()) {
                    *offset -= lead;
                }
            }
        }
        reasons.sort_by_key(|r| r.kind.rank());
        let mut questions = Vec::new();
        if !reasons.is_empty() {
            // These explain the others.
            match self.relayout(id, &mut open)? {
                Some(reason) => reasons.insert(0, reason),
                None => {
                    let (inlined, asked) = self.inlining(id)?;
                    reasons.splice(0..0, inlined);
                    questions = asked;
                }
            }
        }
        // Most functions have one reason, where a list has room for four at first.
        reasons.shrink_to_fit();
        Ok(Differs { reasons, questions, uses: Uses::new(open.uses) })
    }

    /// Where what two spans are of begins: the symbols, behind what precedes them in their entities.
    pub(in crate::diff) fn starts(&self, spans: &Spans) -> (u64, u64) {
        (
            start(self.orig.layout, spans.o, spans.o_start),
            start(self.patched.layout, spans.p, spans.p_start),
        )
    }

    /// How the contents of two spans differ first: instructions where they can be read, with
    /// the names of their operands, else bytes.
    pub(in crate::diff) fn difference(
        &self,
        spans: &Spans,
        text: bool,
        a: &[u8],
        b: &[u8],
        first: usize,
    ) -> Reason {
        let arch = self.patched.layout.arch;
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
        let (o_from, p_from) = self.starts(spans);
        let shown = |bytes: &[u8], at: u64, named: &dyn Fn(u64) -> Option<String>| {
            instruction_text(arch, bytes.get(start..)?, at, named)
        };
        let orig = Refs::new(self.orig.layout, spans.o);
        let patched = Refs::new(self.patched.layout, spans.p);
        let of_orig =
            |field| operand(self.orig.layout, &orig, (spans.o_start, spans.o_end), at + field);
        let of_patched = |field| {
            operand(self.patched.layout, &patched, (spans.p_start, spans.p_end), at + field)
        };
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
        if let (true, Some(before), Some(after)) =
            (text, word(arch, a, start), word(arch, b, start))
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
        &self,
        (o_refs, o): (&Refs<'_, Orig>, &Reloc<Orig>),
        (p_refs, p): (&Refs<'_, Patched>, &Reloc<Patched>),
    ) -> Option<Sides<(Content, u64)>> {
        let (orig, patched) = (self.orig.layout, self.patched.layout);
        let (o_place, p_place) = (o_refs.place(o).ok()??, p_refs.place(p).ok()??);
        self.places_apart(orig, o_place, patched, p_place, 0)
    }

    /// What a thing is in the original whose name there is another thing's.
    pub(super) fn other_twin(
        &self,
        refs: &Refs<'_, Patched>,
        reloc: &Reloc<Patched>,
    ) -> Option<OtherTwin> {
        let symbol = refs.resolve(reloc).ok()?.symbol;
        let name = self.patched.layout.object.symbol_name(symbol);
        match self.twins.orig_symbol(symbol) {
            None => Some(OtherTwin::None),
            Some(twin) => {
                let twin = self.orig.layout.object.symbol_name(twin);
                (twin != name).then(|| OtherTwin::Called(twin.to_owned()))
            }
        }
    }

    /// How two references differ that read the same; `None` when they mean the same.
    pub fn references_apart(
        &self,
        (o_section, o): (SectionId<Orig>, &Reloc<Orig>),
        (p_section, p): (SectionId<Patched>, &Reloc<Patched>),
    ) -> Option<String> {
        let o_refs = Refs::new(self.orig.layout, o_section);
        let p_refs = Refs::new(self.patched.layout, p_section);
        if !self.same_kind(o, p) {
            let name = |kind| self.patched.layout.arch.reloc(kind).map_or("unknown", |t| t.name);
            return Some(format!("{} -> {}", name(o.kind), name(p.kind)));
        }
        match self.same_reference(&o_refs, o, &p_refs, p, &mut OpenQuestions::new()) {
            Ok(true) => return None,
            Ok(false) => {}
            Err(error) => return Some(error.message().to_owned()),
        }
        let reason = self.other_row((&o_refs, o), (&p_refs, p));
        let rows = reason.map(|kind| {
            let Sides { before, after } = kind.sides();
            format!("{}: {before} -> {after}", kind.name())
        });
        let content = || {
            let apart = self.contents_apart((&o_refs, o), (&p_refs, p))?;
            Some(format!("{} -> {}", placed(&apart.before), placed(&apart.after)))
        };
        let twin = || self.other_twin(&p_refs, p).map(|twin| twin.to_string());
        Some(rows.or_else(content).or_else(twin).unwrap_or_else(|| "not the same one".to_owned()))
    }

    fn places_apart(
        &self,
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
                && let Some(apart) = self.places_apart(orig, o, patched, p, depth + 1)
            {
                return Some(apart);
            }
        }
        let first = first?;
        let shown = |bytes: &[u8]| (Content::Bytes(eight(bytes, first)), first as u64);
        Some(Sides::new(shown(a), shown(b)))
    }
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

fn start<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, at: u64) -> u64 {
    let entity = layout.entity_at(section, at).map(|index| layout.entity(section, index));
    let symbol = entity.filter(|entity| entity.start == at).and_then(|entity| entity.symbol);
    symbol.map_or(at, |symbol| layout.object.symbol_value(symbol))
}

/// A finding about a symbol, with its place.
pub(in crate::diff) fn finding(
    comparer: &Comparer<'_>,
    id: SymbolId<Patched>,
    text: String,
) -> Finding {
    let object = comparer.patched.layout.object;
    let section = object.section_of(id).map_or("", |s| object.section_name(s));
    Finding::in_section(section, text)
        .at_symbol(comparer.output_name(id))
        .at_offset(object.symbol_value(id))
}
