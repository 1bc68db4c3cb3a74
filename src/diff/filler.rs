//! Leaves out what only fills the space between two entities of a section.

use super::compare::{Comparer, Spans};
use super::content::fixed;
use crate::arch::{Flow, Step, step};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side};
use crate::kernel::layout::Layout;
use crate::kernel::names;

impl Comparer<'_, '_, '_, '_> {
    /// Drops the filler behind an entity that shares its section with others.
    pub(super) fn trim(&self, spans: &mut Spans) {
        let (orig, patched) = (self.orig.layout, self.patched.layout);
        if orig.entity_count(spans.o) <= 1 && patched.entity_count(spans.p) <= 1 {
            return;
        }
        // Between the named constants of a pool lie others, which have no names.
        if patched.is_pool(spans.p) && orig.is_pool(spans.o) {
            let labels = (
                orig.unsized_at(spans.o, spans.o_start),
                patched.unsized_at(spans.p, spans.p_start),
            );
            let (Some(before), Some(after)) = labels else {
                spans.o_end = orig.named_end(spans.o, spans.o_start).unwrap_or(spans.o_end);
                spans.p_end = patched.named_end(spans.p, spans.p_start).unwrap_or(spans.p_end);
                return;
            };
            let is_end = names::is_end_label(orig.object.symbol_name(before))
                || names::is_end_label(patched.object.symbol_name(after));
            if is_end {
                (spans.o_end, spans.p_end) = (spans.o_start, spans.p_start);
                return;
            }
            let whole = fixed(orig, spans.o, spans.o_start, spans.o_end);
            if whole.is_some() && whole == fixed(patched, spans.p, spans.p_start, spans.p_end) {
                return;
            }
            // A label has no size. What is up to the next place that anything refers to counts
            // as its own; what is behind that one is compared where it is referred to.
            let o_end = self.orig.pieces.end(orig, spans.o, spans.o_start).0;
            let p_end = self.patched.pieces.end(patched, spans.p, spans.p_start).0;
            (spans.o_end, spans.p_end) = (spans.o_end.min(o_end), spans.p_end.min(p_end));
        }
        let (o, p) = (orig.object, patched.object);
        let (o_data, p_data) = (o.contents(spans.o), p.contents(spans.p));
        let text = o.is_text(spans.o);
        let filler = |b: u8| if text { matches!(b, 0x90 | 0xcc | 0) } else { b == 0 };
        let kept = |data: &[u8], start: u64, end: u64, relocated: u64| {
            let bytes = data.get(start as usize..end as usize).unwrap_or(&[]);
            let filled = bytes.iter().rposition(|&b| !filler(b)).map_or(0, |last| last as u64 + 1);
            (start + filled).max(relocated)
        };
        let stored = o.section_kind(spans.o) != abi::SHT_NOBITS
            && p.section_kind(spans.p) != abi::SHT_NOBITS;
        if stored {
            // A field that is still to be relocated holds zeros, but is no filler.
            let o_relocated = o.relocs(spans.o).end(spans.o_start, spans.o_end);
            let p_relocated = p.relocs(spans.p).end(spans.p_start, spans.p_end);
            spans.o_end = kept(o_data, spans.o_start, spans.o_end, o_relocated);
            spans.p_end = kept(p_data, spans.p_start, spans.p_end, p_relocated);
            if text && !self.drop_in && spans.o_end - spans.o_start != spans.p_end - spans.p_start {
                spans.o_end = without_nops(orig, spans.o, spans.o_start, spans.o_end);
                spans.p_end = without_nops(patched, spans.p, spans.p_start, spans.p_end);
            }
        } else if spans.o_end - spans.o_start != spans.p_end - spans.p_start {
            // Zeros: the symbols' sizes say what matters, and are compared with the symbols.
            let length = (spans.o_end - spans.o_start).min(spans.p_end - spans.p_start);
            spans.o_end = spans.o_start + length;
            spans.p_end = spans.p_start + length;
        }
    }
}

/// The end of a function without what fills the space behind its symbol.
fn without_nops<S: Side>(
    layout: &Layout<'_, '_, S>,
    section: SectionId<S>,
    start: u64,
    end: u64,
) -> u64 {
    let object = layout.object;
    let entity = layout.entity_at(section, start).map(|index| layout.entity(section, index));
    let Some((symbol, limit)) = entity.and_then(|e| Some((object.symbol(e.symbol?), e.end))) else {
        return end;
    };
    let named = symbol.value.saturating_add(symbol.size);
    let code = object.contents(section).get(..limit as usize).unwrap_or_default();
    let mut at = named;
    while at < limit {
        at += match step(layout.arch, code, at) {
            Some(Step { flow: Flow::Filler, len, .. }) => len,
            _ if matches!(code.get(at as usize), Some(0xcc | 0)) => 1,
            _ => return end,
        };
    }
    let relocated = object.relocs(section).within(named, limit).next().is_some();
    if symbol.size == 0 || relocated { end } else { named.min(end) }
}
