//! What only fills the space between two things of a section.
//!
//! The one place that says so. Bytes are padding when all of this holds, and none of it is
//! guessed: something follows them in the section; they are fewer than the alignment of what
//! follows, and the NOPs that a function may have in front of it; no symbol covers any of them and no relocation changes them; and they are what
//! assemblers and linkers of the machine fill with. What ends a section is never padding.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within sections, which have less than 4 GiB, and alignments"
)]

use super::layout::Layout;
use crate::arch::{Flow, Step, step};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side};

/// Byte with which lld fills the gaps in code of x86_64 that it lays together: `int3`.
const TRAP: u8 = 0xcc;

/// So many NOPs may be in front of a function, which call padding, kCFI and FineIBT are written
/// into (arch/x86/Kconfig, FUNCTION_PADDING_CFI and FUNCTION_PADDING_BYTES).
const MOST_IN_FRONT: u64 = 16;

/// Whether bytes `from..to` of a section are padding; no bytes are.
pub fn is_padding<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    from: u64,
    to: u64,
) -> bool {
    if from >= to {
        return from == to;
    }
    let object = layout.object;
    to < object.section_size(section)
        && to - from < alignment_at(layout, section, to) + in_front(layout, section, to)
        && i64::try_from(to - 1)
            .is_ok_and(|last| layout.covering_all(section, from.cast_signed(), last) == Some(None))
        && object.relocs(section).within(from, to).next().is_none()
        && (object.section_kind(section) == abi::SHT_NOBITS || fills(layout, section, from, to))
}

/// The largest alignment that what starts at byte `at` of a section may have asked for, in
/// bytes.
fn alignment_at<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, at: u64) -> u64 {
    let of_section = layout.object.section(section).align.max(1);
    of_section.min(1 << at.trailing_zeros().min(63))
}

/// How many NOPs without a name may be in front of what starts at byte `at` of a section.
fn in_front<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, at: u64) -> u64 {
    let entity = layout.entity_at(section, at).map(|index| layout.entity(section, index));
    let function = entity.filter(|e| e.start == at).and_then(|e| e.symbol);
    let bare = function.is_some_and(|id| {
        let object = layout.object;
        object.symbol_kind(id) == abi::STT_FUNC && object.symbol_value(id) == at
    });
    if bare { MOST_IN_FRONT } else { 0 }
}

/// Whether bytes are what the machine's tools fill with.
fn fills<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, from: u64, to: u64) -> bool {
    let contents = layout.object.contents(section);
    let (Ok(start), Ok(end)) = (usize::try_from(from), usize::try_from(to)) else { return false };
    let Some(bytes) = contents.get(start..end) else { return false };
    let zeros = || bytes.iter().all(|&b| b == 0);
    if !layout.object.is_text(section) {
        return zeros();
    }
    // A linker that knows no better fills with zeros.
    layout.arch.fills(bytes)
        || layout.is_linked() && zeros()
        || is_nops(layout, contents.get(..end), from)
}

/// Whether code from byte `at` on consists of NOPs and traps, on machines that can be decoded.
fn is_nops<S: Side>(layout: &Layout<'_, S>, code: Option<&[u8]>, mut at: u64) -> bool {
    let Some(code) = code else { return false };
    while at < code.len() as u64 {
        at += match step(layout.arch, code, at) {
            Some(Step { flow: Flow::Padding, len, .. }) => len,
            Some(_) if code.get(at as usize) == Some(&TRAP) => 1,
            _ => return false,
        };
    }
    true
}
