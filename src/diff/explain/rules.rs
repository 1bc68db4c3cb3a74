//! The rules by which whole sections are not compared where they lie.

#![expect(clippy::indexing_slicing, reason = "a class names a table by its place in the list")]

use crate::diff::refuse::account::is_runtime_constant;
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId};
use crate::kernel::knowledge::noise;
use crate::kernel::knowledge::tables::TABLES;
use crate::kernel::layout::{Class, Layout};

const FOLLOWS_CODE: (&str, &str) =
    ("follows-code", "the table is made anew from the code of the patch");
const DEBUG: (&str, &str) = ("debug-information", "debuggers read it, the kernel does not");
const UNWIND: (&str, &str) = ("unwind-follows-code", "unwind entries are carried with their code");
pub(super) const BY_REFERENCE: (&str, &str) =
    ("by-reference", "its content was compared wherever something refers to it");
pub(super) const RUNTIME: (&str, &str) =
    ("runtime-constants", "lists places in code; checked for the functions of the patch");
const NOT_LOADED: (&str, &str) = ("not-loaded", "it has no place in the running kernel");

/// The rules for sections that are never compared as such, but for those by name.
#[cfg(test)]
pub(in crate::diff) const SECTIONS: [(&str, &str); 6] =
    [FOLLOWS_CODE, DEBUG, UNWIND, BY_REFERENCE, RUNTIME, NOT_LOADED];

/// The rule by which the bytes of a section are not compared where they lie; `None` for those
/// that are.
pub(super) fn rule_of(
    layout: &Layout<'_, Patched>,
    id: SectionId<Patched>,
) -> Option<(&'static str, &'static str)> {
    let name = layout.object.section_name(id);
    let rule = match layout.class(id) {
        Class::Noise(rule) => return Some((rule.name, rule.reason)),
        // A table for objtool is dropped as its likes are.
        Class::Table(_) if let Some(rule) = noise::rule(name, layout.arch) => {
            return Some((rule.name, rule.reason));
        }
        Class::Debug => return Some(DEBUG),
        Class::Unwind => UNWIND,
        Class::Table(index) if !TABLES[usize::from(index)].verdict => FOLLOWS_CODE,
        Class::Strings => BY_REFERENCE,
        Class::Data if is_runtime_constant(name) => RUNTIME,
        Class::Data if layout.is_nameless(id) => BY_REFERENCE,
        _ => return None,
    };
    let loaded = layout.object.section_flags(id) & abi::SHF_ALLOC != 0;
    Some(if loaded { rule } else { NOT_LOADED })
}
