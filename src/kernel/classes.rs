//! What each section is to the differ, by its header and name.

use super::knowledge::{names, noise, tables};
use crate::arch::Arch;
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side};
use crate::elf::object::Object;

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
    /// A table of `kernel::knowledge::tables`, by position.
    Table(u8),
    /// ORC unwind data: follows the code.
    Unwind,
    /// Never counts, by a rule of `kernel::knowledge::noise`.
    Noise(&'static noise::Rule),
}

/// A [`Class`] in one byte: there is one for each section of both objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed(u8);

/// Codes from here on are positions in the list of tables, and in that of noise rules.
const TABLE: u8 = 0x40;
const NOISE: u8 = 0x80;

impl Packed {
    pub fn new(class: Class) -> Packed {
        Packed(match class {
            Class::Meta => 0,
            Class::Relocations => 1,
            Class::Group => 2,
            Class::Text => 3,
            Class::Data => 4,
            Class::Strings => 5,
            Class::Debug => 6,
            Class::Unwind => 7,
            Class::Table(index) => TABLE | index,
            Class::Noise(rule) => NOISE | noise::index(rule),
        })
    }

    #[inline]
    pub fn class(self) -> Class {
        match self.0 {
            1 => Class::Relocations,
            2 => Class::Group,
            3 => Class::Text,
            4 => Class::Data,
            5 => Class::Strings,
            6 => Class::Debug,
            7 => Class::Unwind,
            code if code & NOISE != 0 => Class::Noise(noise::at(code & !NOISE)),
            code if code & TABLE != 0 => Class::Table(code & !TABLE),
            _ => Class::Meta,
        }
    }
}

/// Sections of constants, or of alternative instructions.
fn holds_constants(name: &str) -> bool {
    name.starts_with(".rodata") || name.starts_with(".altinstr_") || names::is_ubsan(name)
}

/// Sections that are looked up by name.
pub(super) fn is_looked_up(name: &str) -> bool {
    name.starts_with(".kpatch.")
        || name == tables::REPLACEMENTS
        || name.starts_with(".orc_unwind")
        || name == ".toc"
        || tables::NOT_WITH_KLP_ARCH.contains(&name)
}

/// Names with which the sections of functions and variables begin, and no others. Most
/// sections of an object are such, and need not be looked up in the lists.
const ORDINARY: [&str; 4] = [".text", ".rodata", ".data", ".bss"];

pub(super) fn is_ordinary(section: &str) -> bool {
    ORDINARY.iter().any(|p| section.starts_with(p))
}

/// What the name of a section tells besides its class, as bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traits(u8);

impl Traits {
    /// References keep naming the section.
    pub const KEEPS: u8 = 1;
    /// clang made the section for data without a name.
    pub const UNNAMED: u8 = 2;
    /// Objects in the section are special statics.
    pub const SPECIAL: u8 = 4;
    /// Local objects in the section are special statics.
    pub const ONCE: u8 = 8;
    /// Its name says that the section holds constants, alternative instructions, or what
    /// UBSAN prints.
    pub const CONSTANTS: u8 = 16;
    /// Its name is none of [`ORDINARY`].
    pub const LISTED: u8 = 32;

    #[inline]
    pub fn has(self, other: u8) -> bool {
        self.0 & other != 0
    }

    fn add(&mut self, other: u8) {
        self.0 |= other;
    }

    fn of_name(name: &str) -> Traits {
        let mut traits = Traits::default();
        let answers = [
            (Self::KEEPS, keeps_section_symbol(name)),
            (Self::UNNAMED, names::is_clang_unnamed(name)),
            (Self::SPECIAL, names::is_special_static_section(name)),
            (Self::ONCE, names::is_once_section(name)),
            (Self::CONSTANTS, holds_constants(name)),
            (Self::LISTED, !is_ordinary(name)),
        ];
        for (bit, holds) in answers {
            if holds {
                traits.add(bit);
            }
        }
        traits
    }
}

/// Class and traits of a section, as far as its header and name tell.
pub(super) fn classify<S: Side>(
    object: &Object<'_, S>,
    id: SectionId<S>,
    arch: &Arch,
) -> (Packed, Traits) {
    let class = match object.section_kind(id) {
        abi::SHT_NULL | abi::SHT_SYMTAB | abi::SHT_STRTAB | abi::SHT_SYMTAB_SHNDX => Class::Meta,
        abi::SHT_RELA => Class::Relocations,
        abi::SHT_GROUP => Class::Group,
        _ => {
            let name = object.section_name(id);
            return (Packed::new(by_name(object, id, name, arch)), Traits::of_name(name));
        }
    };
    (Packed::new(class), Traits::default())
}

fn by_name<S: Side>(object: &Object<'_, S>, id: SectionId<S>, name: &str, arch: &Arch) -> Class {
    if !is_ordinary(name) {
        // What objtool reads of the sections that the linker drops are tables as others are.
        if let Some(table) = tables::find(name, arch) {
            return Class::Table(table as u8);
        }
        if let Some(rule) = noise::rule(name, arch) {
            return Class::Noise(rule);
        }
        if names::is_debug_section(name) {
            return Class::Debug;
        }
        if name.starts_with(".orc_") {
            return Class::Unwind;
        }
    }
    if object.is_text(id) {
        Class::Text
    } else if object.section_flags(id) & abi::SHF_STRINGS != 0 {
        Class::Strings
    } else {
        Class::Data
    }
}

/// Whether bytes are padding: one byte again and again, which is 0, a NOP or a trap.
pub fn is_padding(arch: &Arch, bytes: &[u8]) -> bool {
    let uniform = |b: u8| bytes.iter().all(|&x| x == b);
    bytes.is_empty() || uniform(0) || arch.padding_bytes.iter().any(|&b| uniform(b))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        let plain = [
            Class::Meta,
            Class::Relocations,
            Class::Group,
            Class::Text,
            Class::Data,
            Class::Strings,
            Class::Debug,
            Class::Unwind,
        ];
        let tables = (0..tables::TABLES.len() as u8).map(Class::Table);
        let rules = (0..noise::patterns().count() as u8).map(|i| Class::Noise(noise::at(i)));
        for class in plain.into_iter().chain(tables).chain(rules) {
            assert_eq!(Packed::new(class).class(), class);
        }
    }

    /// Otherwise a rule or table would not be found.
    #[test]
    fn ordinary_names_are_in_no_list() {
        let tables = tables::TABLES.iter().map(|t| t.section);
        let rules = noise::patterns();
        let looked_up = tables::NOT_WITH_KLP_ARCH.into_iter().chain([tables::REPLACEMENTS, ".toc"]);
        for name in tables.chain(rules).chain(looked_up) {
            assert!(!is_ordinary(name), "{name}");
            assert!(!ORDINARY.iter().any(|o| o.starts_with(name)), "{name}");
        }
    }
}
