//! Notes uses of live state that may have changed: variables that the kernel's macros define once
//! per use, and that have no twin.

#![expect(clippy::arithmetic_side_effects, reason = "a constant place")]

use std::borrow::Cow;

use super::pair::Pair;
use super::questions::OpenQuestions;
use super::uses::Use;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::{Home, Object};
use crate::kernel::knowledge::names;

/// The line number in a descriptor of dynamic debugging (include/linux/dynamic_debug.h):
/// 18 bits behind four pointers.
const DEBUG_LINE: (usize, u32) = (32, (1 << 18) - 1);

/// Notes a variable without a twin whose content may differ from its counterpart's.
pub(super) fn note_state(
    pair: &Pair<'_>,
    (user, at): (SectionId<Patched>, u64),
    o: SymbolId<Orig>,
    p: SymbolId<Patched>,
    open: &mut OpenQuestions,
) {
    let (orig, patched) = (pair.orig.layout.object, pair.patched.layout.object);
    let (Home::Section(o_section), Home::Section(p_section)) = (orig.home(o), patched.home(p))
    else {
        return;
    };
    if patched.symbol_kind(p) != abi::STT_OBJECT
        || patched.section_flags(p_section) & abi::SHF_WRITE == 0
        // What UBSAN prints: file, line and type of a failed check.
        || names::is_ubsan(patched.section_name(p_section))
    {
        return;
    }
    let (a, b) = (orig.symbol(o), patched.symbol(p));
    let plain = orig.relocs(o_section).is_empty() && patched.relocs(p_section).is_empty();
    if !plain || a.size != b.size || content(orig, o, o_section) != content(patched, p, p_section) {
        open.uses.push(Use { orig: o, variable: p, user, at });
    }
}

/// The bytes of a variable, without what is noise in them.
pub(super) fn content<'d, S: Side>(
    object: &Object<'d, S>,
    id: SymbolId<S>,
    section: SectionId<S>,
) -> Cow<'d, [u8]> {
    let value = object.symbol_value(id);
    let end = value.saturating_add(object.symbol_size(id)) as usize;
    let bytes = object.contents(section).get(value as usize..end).unwrap_or(&[]);
    let mut bytes = Cow::Borrowed(bytes);
    if names::is_special_static_section(object.section_name(section)) {
        without_line(bytes.to_mut(), object.endian());
    }
    bytes
}

/// Clears the line number of a descriptor.
fn without_line(bytes: &mut [u8], endian: object::Endianness) {
    let (at, mask) = DEBUG_LINE;
    let Some(word) = bytes.get_mut(at..at + 4) else { return };
    let big = endian == object::Endianness::Big;
    let mut raw = [0; 4];
    raw.copy_from_slice(word);
    // Bit fields are filled from the low end on little-endian machines, from the high end on
    // big-endian ones.
    let cleared = if big {
        (u32::from_be_bytes(raw) & !(mask << 14)).to_be_bytes()
    } else {
        (u32::from_le_bytes(raw) & !mask).to_le_bytes()
    };
    word.copy_from_slice(&cleared);
}
