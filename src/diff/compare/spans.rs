//! The stretches of two objects that are compared, and where differences go.

use super::pair::Pair;
use crate::diff::reason::Reason;
use crate::elf::ids::{Orig, Patched, SectionId, Side};
use crate::kernel::layout::{Entity, Layout};

/// Where differences go: nowhere (the first one ends the comparison), or into a list.
pub(in crate::diff) struct Sink<'s>(pub Option<&'s mut Vec<Reason>>);

impl Sink<'_> {
    /// Notes a difference; true when the comparison may stop.
    pub fn note(&mut self, reason: impl FnOnce() -> Reason) -> bool {
        match &mut self.0 {
            Some(reasons) => {
                reasons.push(reason());
                false
            }
            None => true,
        }
    }
}

/// Two entities, or two pieces, that are compared.
#[derive(Clone, Copy, Debug)]
pub(in crate::diff) struct Spans {
    pub o: SectionId<Orig>,
    pub o_start: u64,
    pub o_end: u64,
    pub p: SectionId<Patched>,
    pub p_start: u64,
    pub p_end: u64,
}

impl Spans {
    /// All of two entities.
    pub fn of(o: &Entity<Orig>, p: &Entity<Patched>) -> Self {
        Spans {
            o: o.section,
            o_start: o.start,
            o_end: o.end,
            p: p.section,
            p_start: p.start,
            p_end: p.end,
        }
    }
}

/// Whether the bytes of two stretches of code differ.
pub(super) fn code_differs(pair: &Pair<'_>, spans: &Spans) -> bool {
    let (o, p) = (pair.orig.layout.object, pair.patched.layout.object);
    let a = o.contents(spans.o).get(spans.o_start as usize..spans.o_end as usize);
    let b = p.contents(spans.p).get(spans.p_start as usize..spans.p_end as usize);
    p.is_text(spans.p) && a != b
}

/// Bytes `start..end` of a section that no relocation changes.
pub(super) fn fixed<'a, S: Side>(
    layout: &Layout<'a, S>,
    section: SectionId<S>,
    start: u64,
    end: u64,
) -> Option<&'a [u8]> {
    let object = layout.object;
    let bytes = object.contents(section).get(start as usize..end as usize)?;
    object.relocs(section).within(start, end).next().is_none().then_some(bytes)
}
