//! References from tables whose rows count from the start of the table.
//!
//! Position-independent code keeps tables of 32-bit distances: `target - table`. In row `k` the
//! assembler writes that as a PC-relative relocation, which counts from the row, so its
//! addend is too big by the row's place in the table. Nothing in the object tells it from
//! `target + addend - .`, except what is at the two places: a string starts at one of them.

use super::layout::{Class, Layout};
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side};
use crate::elf::object::{Home, Reloc};

/// The distance from its symbol that a PC-relative `reloc` in the data section `base` means.
/// Other references than those to string literals mean what their addends say. Fails where
/// strings start at both places.
pub fn target_offset<S: Side>(
    layout: &Layout<'_, S>,
    base: SectionId<S>,
    reloc: &Reloc<S>,
) -> Result<i64> {
    let object = layout.object;
    let plain = reloc.addend;
    let Home::Section(target) = object.home(reloc.symbol) else { return Ok(plain) };
    if layout.class(base) != Class::Data || layout.class(target) != Class::Strings {
        return Ok(plain);
    }
    let start = layout
        .entity_at(base, reloc.offset)
        .map_or(reloc.offset, |index| layout.entity(base, index).start);
    let in_table = plain.wrapping_sub(reloc.offset.wrapping_sub(start) as i64);
    if in_table == plain {
        return Ok(plain);
    }
    let value = object.symbol_value(reloc.symbol) as i64;
    let starts = |addend: i64| object.starts_string(target, value.wrapping_add(addend));
    let names_string = object.symbol_kind(reloc.symbol) != abi::STT_SECTION;
    match (starts(plain), starts(in_table)) {
        (true, true) if names_string && plain == 0 => Ok(plain),
        (true, true) if names_string && in_table == 0 => Ok(in_table),
        (true, true) => Err(Error::broken(
            Code::AmbiguousReference,
            "a row of a table can mean two strings, depending on whether it counts from the table or from itself",
        )
        .in_file(object.file())
        .in_section(object.section_name(base))
        .at_symbol(object.symbol_name(reloc.symbol))
        .at_offset(reloc.offset)
        .advise("compile without relative tables: -fno-pic, or -fno-jump-tables")),
        (false, true) => Ok(in_table),
        _ => Ok(plain),
    }
}
