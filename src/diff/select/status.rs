//! Section and symbol statuses in the sense of kpatch, derived from the verdicts ([`super::judge`]).
//!
//! The drop-in's output and its refusals are defined in terms of sections. The verdicts know more: they are about functions and variables.

use super::lifted::Lifted;
use crate::diag::{Code, Error, Result};
use crate::diff::compare::pair::Pair;
use crate::elf::abi;
use crate::elf::ids::{IdVec, Patched, SectionId, SymbolId};
use crate::kernel::knowledge::boot::lifetime;
use crate::kernel::knowledge::macros;
use crate::kernel::knowledge::sections;
use crate::kernel::layout::{Class, Layout};

/// How a section or symbol of the patched object relates to its twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// There is no twin.
    New,
    /// It differs from its twin.
    Changed,
    /// It equals its twin.
    Same,
}

/// The statuses of everything in the patched object. They are made once, and not edited.
#[derive(Clone)]
pub struct Statuses {
    /// Of sections, relocations excluded.
    pub sections: IdVec<SectionId<Patched>, Status>,
    /// Of the relocations that apply to a section.
    pub relocs: IdVec<SectionId<Patched>, Status>,
    /// Of symbols.
    pub symbols: IdVec<SymbolId<Patched>, Status>,
    /// Lines for the user.
    pub messages: Vec<String>,
    /// Functions that cannot be redirected, and are carried for their callers: new ones of the
    /// patch, although they have twins.
    pub lifted: Lifted,
}

impl Statuses {
    /// Whether bytes or relocations of a section changed.
    pub fn has_changed(&self, section: SectionId<Patched>) -> bool {
        [self.sections[section], self.relocs[section]].contains(&Status::Changed)
    }

    /// Whether the patch has its own definition of what the kernel has under that name: a changed
    /// function, or one that is carried for its callers.
    pub fn is_own_copy(&self, layout: &Layout<'_, Patched>, id: SymbolId<Patched>) -> bool {
        layout.object.symbol_kind(id) == abi::STT_FUNC
            && (self.symbols[id] == Status::Changed && layout.split_from(id).is_none()
                || self.lifted.carries(layout, id))
    }
}

/// Whether a section is shared by several functions or variables, or by strings and
/// constants, so that it is judged and carried in parts.
pub fn is_shared(pair: &Pair<'_>, section: SectionId<Patched>) -> bool {
    let layout = pair.patched.layout;
    !pair.policy.whole_sections
        && layout.owner(section).is_none()
        && matches!(layout.class(section), Class::Text | Class::Data | Class::Strings)
        && layout.object.section_name(section) != sections::TOC
        && !layout.object.section_name(section).starts_with(macros::PREFIX)
}

/// Whether what is in a section is freed before a patch is applied.
pub(super) fn is_past_in(
    layout: &Layout<'_, Patched>,
    id: SectionId<Patched>,
    module: bool,
) -> bool {
    lifetime(layout.object.section_name(id), module).is_some()
}

pub(super) fn size_mismatch(name: &str, (before, after): (u64, u64)) -> Error {
    Error::refused(Code::ObjectSizeMismatch, format!("object size mismatch: {name}"))
        .at_symbol(name)
        .advise(match after > before {
            true => format!("it has {after} bytes, but {before} in the original: existing data cannot grow; use a shadow variable"),
            false => format!("it has {after} bytes, but {before} in the original: existing data stays as large as it is; keep what was taken out, and leave it unused"),
        })
}

/// Checks that the two objects are of one kind.
pub fn check_headers(
    orig: &crate::elf::object::Header,
    patched: &crate::elf::object::Header,
) -> Result<()> {
    let (o, p) = (orig, patched);
    if o.machine != p.machine {
        return Err(Error::refused(Code::ElfHeadersDiffer, "ELF headers differ").advise(format!(
            "the objects are for different machines ({} and {})",
            o.machine, p.machine
        )));
    }
    let mut comparable = *p;
    comparable.phnum = o.phnum;
    if let Some((field, before, after)) = o.first_difference(&comparable) {
        return Err(Error::refused(Code::ElfHeadersDiffer, "ELF headers differ").advise(format!(
            "{field} is {before} in the original and {after} in the patched object: build both with the same \
             compiler and flags"
        )));
    }
    if o.phnum != 0 || p.phnum != 0 {
        return Err(Error::refused(Code::ProgramHeader, "ELF contains program header")
            .advise("give relocatable objects (.o), not linked files"));
    }
    Ok(())
}
