//! Recognises functions that differ only in what aligns their loops.
//!
//! A marker that came or went, or another place of the function in its section, moves all code
//! behind it. What assemblers put in front of an aligned place then has another length, and
//! distances to what is behind it follow. Both functions are read from front to back, in the
//! order in which they are: every instruction must be that of the other side, and only what
//! fills up to an aligned place may have another length. That gives which place of the one is
//! which of the other; then distances, references and rows of tables are compared by that.
//! What is not read ends it, and the functions differ.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use std::sync::{Arc, PoisonError};

use super::comparer::Comparer;
use super::entry::bodies;
use super::padding::without_padding;
use super::pair::{Indexed, Pair};
use super::realignments::{Realigned, Stretch};
use super::spans::{Spans, code_differs};
use crate::arch::{Does, Flow, step};
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side};
use crate::kernel::assembler_resolved::Unrelocated;
use crate::kernel::entered::Entered;
use crate::kernel::knowledge::lines::jumps_anywhere;
use crate::kernel::layout::{Entity, Layout};
use crate::kernel::refs::Refs;

/// The widest alignment that anything in code asks for: that of a line of the cache.
const WIDEST: u64 = 64;

/// How the places of two functions correspond whose padding differs; `None` when it does
/// not, or when something else does.
pub(super) fn realigned(
    comparer: &Comparer<'_>,
    o: &Entity<Orig>,
    p: &Entity<Patched>,
) -> Option<Arc<Realigned>> {
    let patched = comparer.patched.layout.object;
    if !comparer.policy.proves_noise || !patched.is_text(p.section) {
        return None;
    }
    let key = (p.section, p.start);
    let known = comparer.realignments.0.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(&key) {
        return found.clone();
    }
    drop(known);
    let found = read_both(comparer, o, p).map(Arc::new);
    let mut known = comparer.realignments.0.write().unwrap_or_else(PoisonError::into_inner);
    known.insert(key, found.clone());
    found
}

/// The same of the functions that two places are in, when these are twins.
pub(super) fn realigned_at(
    comparer: &Comparer<'_>,
    from: (SectionId<Orig>, u64),
    to: (SectionId<Patched>, u64),
) -> Option<Arc<Realigned>> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    if !patched.object.is_text(to.0) || !orig.object.is_text(from.0) {
        return None;
    }
    let o = orig.entity(from.0, orig.entity_at(from.0, from.1)?);
    let p = patched.entity(to.0, patched.entity_at(to.0, to.1)?);
    if !comparer.twins.are_twins(o.symbol?, p.symbol?) {
        return None;
    }
    realigned(comparer, &o, &p)
}

fn read_both(pair: &Pair<'_>, o: &Entity<Orig>, p: &Entity<Patched>) -> Option<Realigned> {
    let (orig, patched) = (pair.orig.layout, pair.patched.layout);
    let entry = (orig.object.symbol_value(o.symbol?), patched.object.symbol_value(p.symbol?));
    let mut spans = bodies(pair, o, p).map_or_else(|| Spans::of(o, p), |bodies| bodies.spans);
    if let Some((o_end, p_end)) = without_padding(pair, &spans) {
        (spans.o_end, spans.p_end) = (o_end, p_end);
    }
    if !code_differs(pair, &spans) {
        return None;
    }
    let first = Stretch { o: spans.o_start, p: spans.p_start, length: 0 };
    let mut found =
        Realigned { spans, entry, stretches: vec![first], padding: Vec::new(), relaxed: false };
    let complete = read_on(pair, &mut found)?;
    (complete && (found.relaxed || !found.padding.is_empty())).then_some(found)
}

/// Reads both functions to their ends. `None` where they differ in more than padding.
fn read_on(pair: &Pair<'_>, found: &mut Realigned) -> Option<bool> {
    let spans = found.spans;
    let (o_code, p_code) = (Code::new(pair.orig), Code::new(pair.patched));
    let (mut o, mut p) = (spans.o_start, spans.p_start);
    while o < spans.o_end && p < spans.p_end {
        let o_to = o_code.behind_padding(spans.o, o, spans.o_end)?;
        let p_to = p_code.behind_padding(spans.p, p, spans.p_end)?;
        let (before, after) = ((o, o_to), (p, p_to));
        if o_code.bytes(spans.o, before)? != p_code.bytes(spans.p, after)? {
            let within = o_to < spans.o_end && p_to < spans.p_end;
            if !within || !aligns(pair, &spans, before, after) {
                return None;
            }
            found.padding.push((before, after));
            found.stretches.push(Stretch { o: o_to, p: p_to, length: 0 });
        } else if let Some(last) = found.stretches.last_mut() {
            last.length += o_to - o;
        }
        (o, p) = (o_to, p_to);
        if o >= spans.o_end || p >= spans.p_end {
            break;
        }
        let (a, b) = (o_code.at(spans.o, o)?, p_code.at(spans.p, p)?);
        let alike = a.bytes == b.bytes;
        let jumps = a.unrelocated.is_some() && b.unrelocated.is_some();
        let same = alike || jumps && is_other_length(&a, &b);
        if !same {
            return None;
        }
        let (o_next, p_next) = (o + a.length, p + b.length);
        found.relaxed |= !alike;
        match found.stretches.last_mut() {
            Some(last) if alike => last.length += a.length,
            _ => found.stretches.push(Stretch { o: o_next, p: p_next, length: 0 }),
        }
        (o, p) = (o_next, p_next);
    }
    Some((o, p) == (spans.o_end, spans.p_end))
}

/// Whether the lengths of two paddings are those that an alignment gives: each ends at a
/// place that is aligned, is shorter than that, and begins elsewhere than the other.
fn aligns(pair: &Pair<'_>, spans: &Spans, o: (u64, u64), p: (u64, u64)) -> bool {
    let orig = pair.orig.layout.object.section(spans.o).align;
    let patched = pair.patched.layout.object.section(spans.p).align;
    let (Some(a), Some(b)) = (alignment(o, orig), alignment(p, patched)) else {
        return false;
    };
    let widest = a.max(b);
    o.0 % widest != p.0 % widest
}

/// What the place behind padding is aligned to; 1 where there is no padding. `None` when the
/// padding is longer than that would need.
fn alignment((from, to): (u64, u64), of_section: u64) -> Option<u64> {
    if from == to {
        return Some(1);
    }
    let alignment = WIDEST.min(of_section).min(1 << to.trailing_zeros().min(63));
    (to - from < alignment).then_some(alignment)
}

/// Whether two instructions are the same jump, once in its short and once in its long form.
fn is_other_length(a: &Instruction, b: &Instruction) -> bool {
    match (a.flow, b.flow) {
        (Some(Flow::Jump { .. }), Some(Flow::Jump { .. })) => a.length != b.length,
        (Some(Flow::Branch { condition: x, .. }), Some(Flow::Branch { condition: y, .. })) => {
            a.length != b.length && x == y
        }
        _ => false,
    }
}

/// One instruction.
pub(super) struct Instruction {
    pub(super) length: u64,
    /// Its bytes, but for a distance that no relocation tells.
    bytes: Vec<u8>,
    /// Where such a distance leads.
    pub(super) unrelocated: Option<Unrelocated>,
    /// It jumps or branches there.
    pub(super) branches: bool,
    /// It may go on anywhere.
    pub(super) anywhere: bool,
    /// What it does, on machines where that is known.
    flow: Option<Flow>,
}

/// The code of one side.
pub(super) struct Code<'a, S> {
    layout: &'a Layout<'a, S>,
    entered: &'a Entered<'a, S>,
}

impl<'a, S: Side> Code<'a, S> {
    pub(super) fn new(object: &'a Indexed<'a, S>) -> Self {
        Code { layout: object.layout, entered: &object.entered }
    }

    fn bytes(&self, section: SectionId<S>, (from, to): (u64, u64)) -> Option<&'a [u8]> {
        self.layout.object.contents(section).get(from as usize..to as usize)
    }

    /// Where the padding ends that begins at byte `at`. Nothing refers to its inside, and no
    /// relocation is in it. `None` where that is not known.
    fn behind_padding(&self, section: SectionId<S>, at: u64, end: u64) -> Option<u64> {
        let layout = self.layout;
        let data = layout.object.contents(section).get(..end as usize)?;
        let padding = layout.arch.padding_pattern;
        let mut to = at;
        while to < end {
            let rest = data.get(to as usize..)?;
            let known = step(layout.arch, data, to);
            let length = match known {
                Some(found) if found.flow == Flow::Padding => found.len,
                Some(_) => break,
                None if rest.starts_with(padding) => padding.len() as u64,
                None => break,
            };
            if layout.object.relocs(section).within(to, to + length).next().is_some() {
                break;
            }
            to += length;
        }
        let inside = to > at && self.entered.places().ok()?.any(section, at + 1, to);
        (!inside).then_some(to)
    }

    pub(super) fn at(&self, section: SectionId<S>, at: u64) -> Option<Instruction> {
        let layout = self.layout;
        let data = layout.object.contents(section);
        let (length, reach) = (layout.arch.reach)(data, at).filter(|&(length, _)| length > 0)?;
        let mut bytes = self.bytes(section, (at, at.checked_add(length)?))?.to_vec();
        let mut relocs = layout.object.relocs(section).within(at, at + length).peekable();
        let unrelocated =
            reach.filter(|_| relocs.peek().is_none()).map(|reach| Unrelocated { at, reach });
        let unrelocated = match unrelocated {
            Some(unrelocated) => {
                let mut reach = unrelocated.reach;
                reach.field = reach.field.checked_sub(at)?;
                reach.clear(&mut bytes);
                Some(unrelocated)
            }
            None => None,
        };
        let flow = step(layout.arch, data, at).map(|found| found.flow);
        let does = (layout.arch.effect)(data, at).map(|effect| effect.does);
        let (branches, anywhere) = match flow {
            Some(flow) => {
                (matches!(flow, Flow::Jump { .. } | Flow::Branch { .. }), flow == Flow::Unknown)
            }
            None => (
                matches!(does, Some(Does::Jump | Does::Branch)),
                matches!(does, None | Some(Does::Anywhere)),
            ),
        };
        let thunk = |name: &str| branches && jumps_anywhere(name);
        let anywhere = anywhere || relocs.any(|r| thunk(layout.object.symbol_name(r.symbol)));
        Some(Instruction { length, bytes, unrelocated, branches, anywhere, flow })
    }

    /// Whether everything of code that may jump anywhere is known by relocations: it takes no
    /// address of its own, and reads no data that may hold distances between places of it.
    pub(super) fn tells_all(
        &self,
        section: SectionId<S>,
        (start, end): (u64, u64),
    ) -> Result<bool> {
        let layout = self.layout;
        let object = layout.object;
        let refs = Refs::new(layout, section);
        for reloc in object.relocs(section).within(start, end) {
            let Some((home, at)) = refs.place(&reloc)? else { continue };
            let flags = object.section_flags(home);
            let known = match () {
                () if home == section && (start..end).contains(&at) => {
                    layout.arch.is_branch.is_some_and(|is_branch| {
                        is_branch(object.contents(section), reloc.offset, reloc.kind)
                    })
                }
                () if flags & abi::SHF_EXECINSTR != 0 => true,
                () if flags & abi::SHF_STRINGS != 0 => true,
                () if object.section_kind(home) == abi::SHT_NOBITS => true,
                () => object.relocs(home).within(at, at.saturating_add(1)).next().is_some(),
            };
            if !known {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
