//! References from tables whose rows count from the start of the table.
//!
//! Position-independent code keeps tables of 32-bit distances: `target - table`. In row `k` the
//! assembler writes that as a PC-relative relocation, which counts from the row, so its
//! addend is too big by the row's place in the table. Nothing in the object tells it from
//! `target + addend - .`.

use super::layout::{Class, Layout};
use super::refs::Refs;
use crate::arch::RelocClass;
use crate::elf::ids::Side;
use crate::elf::object::{Home, Reloc};
use crate::error::Result;

/// The string literal that `reloc` refers to, as [`Refs::string`], but also where it stands
/// in a table of distances. The two differ where both readings lead to the start of a
/// string; comparing both is then on the safe side.
pub fn string<'d, S: Side>(
    layout: &Layout<'_, 'd, S>,
    refs: &Refs<'_, '_, 'd, S>,
    reloc: &Reloc<S>,
) -> Result<Option<[&'d [u8]; 2]>> {
    let twice = |found: Option<&'d [u8]>| found.map(|text| [text, text]);
    let base = refs.base();
    let start = (layout.class(base) == Class::Data)
        .then(|| layout.entity_at(base, reloc.offset))
        .flatten()
        .map_or(reloc.offset, |index| layout.entity(base, index).start);
    let relative =
        || layout.arch.reloc(reloc.kind).is_ok_and(|kind| kind.class == RelocClass::PcRelative);
    if start == reloc.offset || !relative() {
        return refs.string(reloc).map(twice);
    }
    let distance = reloc.offset.wrapping_sub(start) as i64;
    let in_table = Reloc { addend: reloc.addend.wrapping_sub(distance), ..*reloc };
    let found = match (leads_to_start(layout, reloc), leads_to_start(layout, &in_table)) {
        (true, true) => refs.string(reloc)?.zip(refs.string(&in_table)?),
        (false, true) => return refs.string(&in_table).map(twice),
        _ => return refs.string(reloc).map(twice),
    };
    Ok(found.map(|(a, b)| [a, b]))
}

/// Whether a string can start at the place that `reloc` names.
fn leads_to_start<S: Side>(layout: &Layout<'_, '_, S>, reloc: &Reloc<S>) -> bool {
    let object = layout.object;
    let Home::Section(target) = object.home(reloc.symbol) else { return false };
    let at = (object.symbol(reloc.symbol).value as i64).wrapping_add(reloc.addend);
    let data = object.section(target).data;
    let Ok(at) = usize::try_from(at) else { return false };
    at == 0 && !data.is_empty() || at < data.len() && data.get(at - 1) == Some(&0)
}
