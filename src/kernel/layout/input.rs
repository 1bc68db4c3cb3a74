//! What no input may be, whatever is in it.

use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{IdVec, SectionId, Side};
use crate::elf::object::Object;
use crate::kernel::classes::{Class, Packed};
use crate::kernel::knowledge::macros;

/// Fails for a finished livepatch.
pub(super) fn check_unfinished<S: Side>(object: &Object<'_, S>) -> Result<()> {
    if !object.is_livepatch() {
        return Ok(());
    }
    Err(Error::broken(
        Code::FinishedLivepatch,
        "the object has relocations that livepatch applies (SHF_RELA_LIVEPATCH)",
    )
    .advise("the klp flavour is final: give the objects that the compiler made"))
}

/// Fails for what only an output has: it is no input, and there cannot be two of them.
pub(super) fn check_output_sections<S: Side>(object: &Object<'_, S>) -> Result<()> {
    let found = object.sections().find(|&s| macros::OUTPUT.contains(&object.section_name(s)));
    let Some(section) = found else { return Ok(()) };
    let name = object.section_name(section);
    Err(Error::refused(
        Code::OutputSection,
        format!("the object has a section {name}, which only livepatches have"),
    )
    .in_section(name)
    .advise("give the objects that the compiler made; a section of that name cannot be carried"))
}

/// Fails for code, strings and tables without contents.
pub(super) fn check_contents<S: Side>(
    object: &Object<'_, S>,
    class: &IdVec<SectionId<S>, Packed>,
) -> Result<()> {
    let is_empty = |&s: &SectionId<S>| {
        object.section_kind(s) == abi::SHT_NOBITS
            && object.section_size(s) > 0
            && matches!(
                class[s].class(),
                Class::Text | Class::Strings | Class::Table(_) | Class::Unwind
            )
    };
    let Some(section) = object.sections().find(is_empty) else { return Ok(()) };
    let name = object.section_name(section);
    Err(Error::broken(Code::NoContents, format!("{name} has a size, but no contents (SHT_NOBITS)"))
        .in_section(name)
        .advise("is this a file that holds debug information only? Give the object itself"))
}
