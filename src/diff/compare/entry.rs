//! Compares how functions begin.
//!
//! Before a function lie padding and, with kCFI, the hash of its type; its first instruction
//! may be the marker on which indirect branches land. Compilers put hash and marker where the
//! address of the function escapes, so either comes or goes with a pointer somewhere else: the
//! function is the same. A hash that *changed* is another function type, which callers check.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::{Comparer, Spans};
use crate::arch::RelocClass;
use crate::diag::Result;
use crate::diff::reason::{Reason, ReasonKind, Sides};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::layout::{Entity, Layout};
use crate::kernel::refs::{Ref, Refs};

/// How a function begins.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Start<'a> {
    /// What lies before its symbol.
    head: &'a [u8],
    /// The hash of its type, in the head.
    hash: Option<&'a [u8]>,
    /// Offset of its first instruction but for the marker.
    body: u64,
    /// Bytes of the marker.
    marker: u64,
}

/// Two functions that begin differently.
pub(super) struct Bodies {
    /// What is left to compare.
    pub spans: Spans,
    /// The types, when both have one and they differ.
    pub types: Option<Reason>,
}

impl<'a> Comparer<'a> {
    /// What is left to compare of two functions whose beginnings mean the same although
    /// they differ, or differ in the type alone. `None` when they are equal, or of an
    /// unknown form: then their bytes are compared.
    pub(super) fn bodies(&self, o: &Entity<Orig>, p: &Entity<Patched>) -> Option<Bodies> {
        let a = start(self.orig.layout, o)?;
        let b = start(self.patched.layout, p)?;
        if a.head == b.head && a.marker == b.marker {
            return None;
        }
        let types = a
            .hash
            .zip(b.hash)
            .filter(|(x, y)| x != y)
            .map(|(x, y)| Reason::of_all(ReasonKind::Type(Sides::new(x.to_vec(), y.to_vec()))));
        let spans = Spans {
            o: o.section,
            o_start: a.body,
            o_end: o.end,
            p: p.section,
            p_start: b.body,
            p_end: p.end,
        };
        Some(Bodies { spans, types })
    }

    /// Whether callers of function `id` check for another type than callers of its twin.
    pub fn type_changed(&self, id: SymbolId<Patched>) -> bool {
        let layout = self.patched.layout;
        let value = layout.object.symbol_value(id);
        let entity = layout
            .object
            .section_of(id)
            .and_then(|s| Some(layout.entity(s, layout.entity_at(s, value)?)));
        let twin = self.twins.orig_symbol(id).and_then(|t| self.orig.layout.object.section_of(t));
        let pair = entity.zip(twin).and_then(|(p, s)| Some((self.twin_entity(s, &p)?, p)));
        pair.and_then(|(o, p)| self.bodies(&o, &p)).is_some_and(|b| b.types.is_some())
    }

    /// Whether two references to twins lead to the same place: what lies behind a marker that
    /// only one of two functions has is that much farther from its start.
    pub(super) fn same_place(
        &self,
        (o_refs, o, a): (&Refs<'a, Orig>, &Reloc<Orig>, Ref<Orig>),
        (refs, reloc, b): (&Refs<'a, Patched>, &Reloc<Patched>, Ref<Patched>),
    ) -> Result<bool> {
        if self.is_inside_code(b.symbol, b.addend)
            && let Some((from, to)) = o_refs.place(o)?.zip(refs.place(reloc)?)
            && let Some(realigned) = self.realigned_at(from, to)
        {
            return Ok(realigned.meets(from.1, to.1));
        }
        let equal = a.addend == b.addend;
        if !equal
            && a.addend.abs_diff(b.addend) != self.patched.layout.arch.indirect_target.len() as u64
        {
            return Ok(false);
        }
        if equal && !self.is_inside_code(b.symbol, b.addend) {
            return Ok(true);
        }
        let before = marker_length(self.orig.layout, a.symbol);
        let after = marker_length(self.patched.layout, b.symbol);
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
    pub(super) fn is_inside_code(&self, symbol: SymbolId<Patched>, addend: i64) -> bool {
        let object = self.patched.layout.object;
        !matches!(addend, 0 | -4)
            && object.section_of(symbol).is_some_and(|s| object.section(s).is_text())
    }
}

/// How the function of `entity` begins; `None` when it is none, or begins in a way that is
/// not known.
fn start<'a, S: Side>(layout: &Layout<'a, S>, entity: &Entity<S>) -> Option<Start<'a>> {
    let symbol = entity.symbol?;
    let object = layout.object;
    if layout.arch.indirect_target.is_empty() || object.symbol_kind(symbol) != abi::STT_FUNC {
        return None;
    }
    let value = object.symbol_value(symbol);
    let section = object.section(entity.section);
    let head = section.data.get(entity.start as usize..value as usize)?;
    let hash = match (layout.arch.type_hash)(head) {
        Some(hash) => Some(hash),
        None if is_padding(layout, head) => None,
        None => return None,
    };
    // A hash that the linker fills in is not known here.
    let written =
        |r: Reloc<S>| layout.arch.reloc(r.kind).map_or(true, |k| k.class != RelocClass::None);
    if object.relocs(entity.section).within(entity.start, value).any(written) {
        return None;
    }
    let marker = marker_length(layout, symbol);
    Some(Start { head, hash, body: value + marker, marker })
}

fn is_padding<S: Side>(layout: &Layout<'_, S>, bytes: &[u8]) -> bool {
    let pattern = layout.arch.padding_pattern;
    bytes.len().is_multiple_of(pattern.len()) && bytes.chunks(pattern.len()).all(|c| c == pattern)
}

/// Bytes of the marker at the start of a function; 0 when it has none.
pub(super) fn marker_length<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> u64 {
    let indirect_target = layout.arch.indirect_target;
    let object = layout.object;
    let Some(section) = object.section_of(id) else { return 0 };
    let code = object.symbol_kind(id) == abi::STT_FUNC && object.section(section).is_text();
    let at = usize::try_from(object.symbol_value(id)).ok();
    let bytes = at.filter(|_| code).and_then(|at| object.contents(section).get(at..));
    match bytes {
        Some(bytes) if bytes.starts_with(indirect_target) => indirect_target.len() as u64,
        _ => 0,
    }
}
