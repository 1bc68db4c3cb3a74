//! How variables and constants differ: by what they hold, not by bytes.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::{Field, Values};
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::fields_apart::references_apart;
use crate::diff::compare::meaning::describe;
use crate::elf::ids::{Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;

/// So many differing values are listed.
const LISTED: usize = 64;
/// Longest text of a value.
const LONGEST: usize = 256;

/// A variable in one object.
struct Variable<'a, S> {
    layout: &'a Layout<'a, S>,
    section: SectionId<S>,
    start: u64,
    size: u64,
    bytes: &'a [u8],
}

impl<'a, S: Side> Variable<'a, S> {
    fn new(layout: &'a Layout<'a, S>, id: SymbolId<S>) -> Option<Self> {
        let section = layout.object.section_of(id)?;
        let start = layout.object.symbol_value(id);
        let size = layout.object.symbol_size(id);
        let data = layout.object.contents(section);
        let end = start.saturating_add(size).min(data.len() as u64);
        let bytes = data.get(start as usize..end as usize).unwrap_or(&[]);
        Some(Variable { layout, section, start, size, bytes })
    }

    /// Places of references, from the start of the variable.
    fn relocs(&self) -> Vec<(u64, Reloc<S>)> {
        let relocs = self.layout.object.relocs(self.section);
        let within = relocs.within(self.start, self.start.saturating_add(self.size));
        within.map(|r| (r.offset - self.start, r)).collect()
    }

    fn words(&self, reloc: &Reloc<S>) -> String {
        describe(self.layout, &Refs::new(self.layout, self.section), reloc)
    }

    fn number(&self, at: u64, width: u64) -> Option<String> {
        let bytes = self.bytes.get(at as usize..(at + width) as usize)?;
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        let value = match self.layout.object.endian() {
            object::Endianness::Little => bytes.iter().rev().fold(0, fold),
            object::Endianness::Big => bytes.iter().fold(0, fold),
        };
        Some(if value < 10 { value.to_string() } else { format!("{value:#x}") })
    }

    /// The whole as text, when it is a string.
    fn string(&self) -> Option<String> {
        let end = self.bytes.iter().position(|&b| b == 0).unwrap_or(self.bytes.len());
        let (text, rest) = self.bytes.split_at_checked(end)?;
        let plain = |b: &u8| b.is_ascii_graphic() || b" \n\t\x01".contains(b);
        let fits = !text.is_empty() && text.iter().all(plain) && rest.iter().all(|&b| b == 0);
        let shown = text.get(..LONGEST).unwrap_or(text);
        (fits && !rest.is_empty()).then(|| format!("{:?}", String::from_utf8_lossy(shown)))
    }
}

/// How a patched variable differs from the original; `None` for what has no twin.
pub fn values(comparer: &Comparer<'_>, id: SymbolId<Patched>) -> Option<Values> {
    let twin = comparer.twins.orig_symbol(id).or_else(|| comparer.twins.replaced.was(id))?;
    let o = Variable::new(comparer.orig.layout, twin)?;
    let p = Variable::new(comparer.patched.layout, id)?;
    let mut found = Values {
        section: comparer.patched.layout.object.section_name(p.section).to_owned(),
        size: [o.size, p.size],
        ..Values::default()
    };
    let (o_relocs, p_relocs) = (o.relocs(), p.relocs());
    if o_relocs.is_empty()
        && p_relocs.is_empty()
        && let (Some(before), Some(after)) = (o.string(), p.string())
        && before != after
    {
        add(&mut found, 0, Some(before), Some(after));
        return Some(found);
    }
    let mut places: Vec<u64> =
        o_relocs.iter().map(|r| r.0).chain(p_relocs.iter().map(|r| r.0)).collect();
    places.sort_unstable();
    places.dedup();
    let mut at = 0;
    // A symbol may claim any size; what is compared is there.
    let end = o.bytes.len().max(p.bytes.len()) as u64;
    for place in places.into_iter().chain([end]) {
        numbers(&o, &p, (at, place), &mut found);
        if place >= end {
            break;
        }
        let before = at_place(&o_relocs, place);
        let after = at_place(&p_relocs, place);
        let apart = match (before, after) {
            (Some(o_reloc), Some(p_reloc)) => {
                references_apart(comparer, (o.section, o_reloc), (p.section, p_reloc))
            }
            _ => Some(String::new()),
        };
        let kind = after.or(None).map(|r| r.kind).or(before.map(|r| r.kind)).unwrap_or(0);
        let width = comparer.patched.layout.arch.reloc(kind).map_or(8, |k| u64::from(k.width));
        let width = width.max(1);
        if let Some(note) = apart {
            let (x, mut y) = (
                before.map(|r| o.words(r)).or_else(|| o.number(place, width)),
                after.map(|r| p.words(r)).or_else(|| p.number(place, width)),
            );
            if x == y
                && let Some(y) = &mut y
            {
                *y += &format!(" ({note})");
            }
            add(&mut found, place, x, y);
        }
        at = place + width;
    }
    Some(found)
}

fn at_place<S>(relocs: &[(u64, Reloc<S>)], place: u64) -> Option<&Reloc<S>> {
    let at = relocs.partition_point(|r| r.0 < place);
    relocs.get(at).filter(|r| r.0 == place).map(|r| &r.1)
}

fn add(found: &mut Values, at: u64, before: Option<String>, after: Option<String>) {
    match found.fields.len() < LISTED {
        true => {
            let name = format!("+{at:#x}");
            found.fields.push(Field { name, at: Some(at), before, after });
        }
        false => found.more += 1,
    }
}

/// Numbers that differ in `from..to`: of the width that holds what differs.
fn numbers<O: Side, P: Side>(
    o: &Variable<'_, O>,
    p: &Variable<'_, P>,
    (from, to): (u64, u64),
    found: &mut Values,
) {
    let mut at = from;
    while at < to {
        let width = (8 - at % 8).min(to - at);
        let of = |bytes: &[u8], at: u64| bytes.get(at as usize).copied();
        let differs = |at: u64| of(o.bytes, at) != of(p.bytes, at);
        let first = (at..at + width).find(|&n| differs(n));
        let last = (at..at + width).rev().find(|&n| differs(n));
        if let (Some(first), Some(last)) = (first, last) {
            // The smallest aligned number that holds all that differs here.
            let fits = |&w: &u64| first / w == last / w && w <= width.next_power_of_two();
            let w = [1, 2, 4, 8].into_iter().find(fits).unwrap_or(8).min(width);
            let start = (first / w * w).max(at);
            // Most numbers of the kernel have four bytes at least.
            let (start, w) = match at % 4 == 0 && width >= 4 && w < 4 {
                true => (first / 4 * 4, 4),
                false => (start, w),
            };
            add(found, start, o.number(start, w), p.number(start, w));
        }
        at += width;
    }
}
