//! Refuses sibling calls that a livepatch cannot make.

use object::{Endianness, U32};

use crate::diag::{Code, Error, Finding, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::select::status::{Status, Statuses};
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId};
use crate::elf::object::Reloc;
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;

/// Fails when a changed function ends in a jump to another function, on machines where code
/// that runs after the call must restore the caller's state ([`crate::arch::Arch::sibling_call`]).
pub fn check_sibling_calls(comparer: &Comparer<'_>, statuses: &Statuses) -> Result<()> {
    let layout = comparer.patched.layout;
    let Some(jump) = layout.arch.sibling_call else { return Ok(()) };
    let object = layout.object;
    let mut details = Vec::new();
    for section in object.sections().filter(|&s| object.section(s).is_text()) {
        let data = object.section(section).data;
        let refs = Refs::new(layout, section);
        for reloc in object.relocs(section).iter() {
            if !is_word(data, reloc.offset, jump, object.endian()) {
                continue;
            }
            let function = layout
                .entity_at(section, reloc.offset)
                .and_then(|index| layout.entity(section, index).symbol);
            let Some(function) = function else { continue };
            let changed = object.symbol_kind(function) == abi::STT_FUNC
                && statuses.symbols[function] == Status::Changed;
            if !changed || is_own_part(layout, &refs, section, &reloc)? {
                continue;
            }
            let name = object.symbol_name(function);
            let offset = reloc.offset.saturating_sub(object.symbol(function).value);
            let text = format!(
                "Found an unsupported sibling call at {name}()+{offset:#x}.  Add __attribute__((optimize(\"-fno-optimize-sibling-calls\"))) to {name}() definition."
            );
            let place = Finding::in_section(object.section_name(section), text);
            details.push(place.at_symbol(name).at_offset(reloc.offset));
        }
    }
    if details.is_empty() {
        return Ok(());
    }
    let message =
        format!("Found {} unsupported sibling call(s) in the patched code.", details.len());
    let error = match comparer.policy.refuses_unsafe {
        true => Error::refused(Code::SiblingCall, message),
        false => Error::broken(Code::SiblingCall, message),
    };
    Err(error
        .in_file(object.file())
        .with_findings(details)
        .advise("compile with -fno-optimize-sibling-calls"))
}

fn is_word(data: &[u8], offset: u64, word: u32, endian: Endianness) -> bool {
    let bytes = usize::try_from(offset).ok().and_then(|at| data.get(at..)?.first_chunk::<4>());
    bytes.is_some_and(|&bytes| U32::<Endianness>::from_bytes(bytes).get(endian) == word)
}

/// Jumps between a function and the parts split off it are no calls.
fn is_own_part(
    layout: &Layout<'_, Patched>,
    refs: &Refs<'_, Patched>,
    section: SectionId<Patched>,
    reloc: &Reloc<Patched>,
) -> Result<bool> {
    let target = refs.resolve(reloc)?.symbol;
    let home = layout.object.section_of(target);
    let (from, to) = (layout.owner(section), home.and_then(|home| layout.owner(home)));
    Ok(from.zip(to).is_some_and(|(from, to)| layout.root(from) == layout.root(to)))
}
