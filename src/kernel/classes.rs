//! What each section is to the differ, by its header and name.

use super::{names, noise, tables};
use crate::arch::Arch;
use crate::elf::abi;
use crate::elf::object::Section;

/// What a section is to the differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Null section, symbol and string tables.
    Meta,
    /// SHT_RELA and the rare SHT_REL: looked at through its base.
    Relocations,
    /// SHT_GROUP.
    Group,
    /// Executable code.
    Text,
    /// Everything else that is compared as data.
    Data,
    /// String literals: compared through the references to them.
    Strings,
    /// Debug information: carried, never compared.
    Debug,
    /// A table of `kernel::tables`, by position.
    Table(u8),
    /// ORC unwind data: follows the code.
    Unwind,
    /// Never counts, by a rule of `kernel::noise`.
    Noise(&'static noise::Rule),
}

/// Sections that are looked up by name.
pub(super) fn is_looked_up(name: &str) -> bool {
    name.starts_with(".kpatch.")
        || name == tables::REPLACEMENTS
        || name.starts_with(".orc_unwind")
        || name == ".toc"
        || tables::NOT_WITH_KLP_ARCH.contains(&name)
}

pub(super) fn classify(section: &Section<'_>, arch: &Arch) -> Class {
    match section.kind {
        abi::SHT_NULL | abi::SHT_SYMTAB | abi::SHT_STRTAB | abi::SHT_SYMTAB_SHNDX => {
            return Class::Meta;
        }
        abi::SHT_RELA => return Class::Relocations,
        abi::SHT_GROUP => return Class::Group,
        _ => {}
    }
    if let Some(rule) = noise::rule(section.name, arch) {
        Class::Noise(rule)
    } else if names::is_debug_section(section.name) {
        Class::Debug
    } else if let Some(table) = tables::find(section.name, arch) {
        Class::Table(table as u8)
    } else if section.name.starts_with(".orc_") {
        Class::Unwind
    } else if section.is_text() {
        Class::Text
    } else if section.flags & abi::SHF_STRINGS != 0 {
        Class::Strings
    } else {
        Class::Data
    }
}

/// Whether bytes are filler: single-byte NOPs, traps or zeros.
pub fn is_padding(arch: &Arch, bytes: &[u8]) -> bool {
    let uniform = |b: u8| bytes.iter().all(|&x| x == b);
    bytes.is_empty()
        || uniform(0)
        || (arch.machine == abi::EM_X86_64 && (uniform(0x90) || uniform(0xcc)))
}

/// Sections that compilers make of variables, and those for data that is needed at boot only:
/// what nothing refers to in them, nothing finds. All others have a meaning of their own.
pub fn is_plain(section: &str) -> bool {
    const PLAIN: [&str; 12] = [
        ".data",
        ".bss",
        ".rodata",
        ".sdata",
        ".sbss",
        ".tdata",
        ".tbss",
        ".init.data",
        ".init.rodata",
        ".exit.data",
        ".meminit.data",
        ".ref.data",
    ];
    PLAIN.iter().any(|p| {
        section.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Sections that references keep naming: what is in them has no better name.
pub(super) fn keeps_section_symbol(name: &str) -> bool {
    names::is_ubsan(name)
        || matches!(
            name,
            ".toc" | ".fixup" | ".altinstr_replacement" | ".altinstr_aux" | ".text..refcount"
        )
        || name.starts_with("__ftr_alt_")
}
