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

use super::counterpart::twin_entity;
use super::pair::Pair;
use super::spans::Spans;
use crate::arch::RelocClass;
use crate::diff::reason::{Reason, ReasonKind, Sides};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::layout::{Entity, Layout};

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

/// What is left to compare of two functions whose beginnings mean the same although
/// they differ, or differ in the type alone. `None` when they are equal, or of an
/// unknown form: then their bytes are compared.
pub(super) fn bodies(pair: &Pair<'_>, o: &Entity<Orig>, p: &Entity<Patched>) -> Option<Bodies> {
    let a = start(pair.orig.layout, o)?;
    let b = start(pair.patched.layout, p)?;
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
pub fn type_changed(pair: &Pair<'_>, id: SymbolId<Patched>) -> bool {
    let layout = pair.patched.layout;
    let value = layout.object.symbol_value(id);
    let entity = layout
        .object
        .section_of(id)
        .and_then(|s| Some(layout.entity(s, layout.entity_at(s, value)?)));
    let twin = pair.twins.orig_symbol(id).and_then(|t| pair.orig.layout.object.section_of(t));
    let both = entity.zip(twin).and_then(|(p, s)| Some((twin_entity(pair, s, &p)?, p)));
    both.and_then(|(o, p)| bodies(pair, &o, &p)).is_some_and(|b| b.types.is_some())
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
        None if layout.arch.fills(head) => None,
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
