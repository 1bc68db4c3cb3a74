//! A relocatable object to be written: owned, small, and order-preserving.
//!
//! Section 0 and symbol 0 are implied. Symbols may be pushed in any order; the
//! writer places local symbols first, as the gABI demands, and translates indexes.

use std::num::NonZeroU32;

use super::abi;
use crate::diag::Result;

/// Index of a section in [`OutObject::sections`].
pub type OutSectionIndex = usize;

/// Index of a symbol in [`OutObject::symbols`]. An optional one takes four bytes: there is one
/// in each relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutSymbolIndex(NonZeroU32);

impl OutSymbolIndex {
    /// Index `index`; beyond four bytes one of no symbol, since a file holds fewer.
    pub fn new(index: usize) -> Self {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        OutSymbolIndex(NonZeroU32::MIN.saturating_add(index))
    }

    /// The index.
    #[expect(clippy::arithmetic_side_effects, reason = "counts from one")]
    pub fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// An object file's content, free of file offsets and string table indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutObject {
    /// EI_DATA is big-endian.
    pub big_endian: bool,
    /// e_type.
    pub kind: u16,
    /// e_machine.
    pub machine: u16,
    /// e_flags.
    pub flags: u32,
    /// Sections with contents; relocation, symbol and string tables are made by the writer.
    pub sections: Vec<OutSection>,
    /// Symbols, without the null symbol.
    pub symbols: Vec<OutSymbol>,
}

impl OutObject {
    /// Adds a symbol behind all others.
    #[expect(clippy::arithmetic_side_effects, reason = "counts from one")]
    pub fn add_symbol(&mut self, symbol: OutSymbol) -> OutSymbolIndex {
        self.symbols.push(symbol);
        OutSymbolIndex::new(self.symbols.len() - 1)
    }

    /// A symbol; `None` where there are fewer.
    pub fn symbol(&self, index: OutSymbolIndex) -> Option<&OutSymbol> {
        self.symbols.get(index.index())
    }
}

/// What a file is written from: an object, or one that has some contents made only while they
/// are written, because there is much of them.
pub trait Model: Sync {
    /// The object. Only its sections' sizes count, and what follows says what they hold.
    fn object(&self) -> &OutObject;

    /// How many bytes a section stores in the file.
    #[expect(clippy::indexing_slicing, reason = "the writer asks for what the model has")]
    fn stored(&self, section: OutSectionIndex) -> u64 {
        self.object().sections[section].data.len() as u64
    }

    /// Gives `take` these bytes in pieces, until it fails.
    #[expect(clippy::indexing_slicing, reason = "the writer asks for what the model has")]
    fn contents(&self, section: OutSectionIndex, take: Take<'_, u8>) -> Result<()> {
        take(&self.object().sections[section].data)
    }

    /// How many entries relocation table `table` of a section has.
    #[expect(clippy::indexing_slicing, reason = "the writer asks for what the model has")]
    fn reloc_count(&self, section: OutSectionIndex, table: usize) -> usize {
        self.object().sections[section].relocs[table].entries.len()
    }

    /// Gives `take` these entries in pieces, until it fails.
    #[expect(clippy::indexing_slicing, reason = "the writer asks for what the model has")]
    fn relocs(
        &self,
        section: OutSectionIndex,
        table: usize,
        take: Take<'_, OutReloc>,
    ) -> Result<()> {
        take(&self.object().sections[section].relocs[table].entries)
    }
}

/// Takes one piece after the other.
pub type Take<'t, T> = &'t mut dyn FnMut(&[T]) -> Result<()>;

impl Model for OutObject {
    fn object(&self) -> &OutObject {
        self
    }
}

/// One section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutSection {
    /// Name.
    pub name: String,
    /// sh_type.
    pub kind: u32,
    /// sh_flags.
    pub flags: u64,
    /// sh_addralign.
    pub align: u64,
    /// sh_entsize.
    pub entsize: u64,
    /// Contents; empty for SHT_NOBITS.
    pub data: Vec<u8>,
    /// sh_size; equals `data.len()` except for SHT_NOBITS.
    pub size: u64,
    /// What sh_link refers to.
    pub link: Option<OutSectionIndex>,
    /// Relocation sections that apply to this one. A section has at most one ordinary
    /// table and, in the klp flavour, one more per patched object.
    pub relocs: Vec<OutRelocs>,
}

impl OutSection {
    /// A loaded table with the relocations that apply to it.
    pub fn table(
        name: &str,
        align: u64,
        entsize: u64,
        data: Vec<u8>,
        entries: Vec<OutReloc>,
    ) -> Self {
        let relocs = OutRelocs { name: format!(".rela{name}"), flags: abi::SHF_INFO_LINK, entries };
        OutSection { relocs: vec![relocs], ..Self::plain(name, align, entsize, data) }
    }

    /// A loaded section without relocations.
    pub fn plain(name: &str, align: u64, entsize: u64, data: Vec<u8>) -> Self {
        OutSection {
            name: name.to_owned(),
            kind: abi::SHT_PROGBITS,
            flags: abi::SHF_ALLOC,
            align,
            entsize,
            size: data.len() as u64,
            data,
            link: None,
            relocs: Vec::new(),
        }
    }
}

/// One relocation section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutRelocs {
    /// Name, `.rela` + section name for an ordinary table.
    pub name: String,
    /// sh_flags, SHF_INFO_LINK included.
    pub flags: u64,
    /// Entries in file order.
    pub entries: Vec<OutReloc>,
}

/// One relocation entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutReloc {
    /// Byte offset in the section.
    pub offset: u64,
    /// Machine-specific type.
    pub kind: u32,
    /// The symbol referred to; `None` is the null symbol.
    pub symbol: Option<OutSymbolIndex>,
    /// Addend.
    pub addend: i64,
}

// Where much changed there are millions.
const _: () = assert!(size_of::<OutReloc>() == 24);

/// Where an output symbol is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutHome {
    /// Not defined here.
    Undefined,
    /// In a section.
    Section(OutSectionIndex),
    /// A reserved section index, such as SHN_ABS or SHN_LIVEPATCH.
    Reserved(u16),
}

/// One symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutSymbol {
    /// Name; written as the empty name for a section symbol.
    pub name: String,
    /// STT_*.
    pub kind: u8,
    /// STB_*.
    pub bind: u8,
    /// st_other.
    pub other: u8,
    /// Where it is defined.
    pub home: OutHome,
    /// st_value.
    pub value: u64,
    /// st_size.
    pub size: u64,
}

impl OutSymbol {
    /// The symbol of a section.
    pub fn of_section(section: OutSectionIndex) -> Self {
        OutSymbol {
            kind: abi::STT_SECTION,
            bind: abi::STB_LOCAL,
            home: OutHome::Section(section),
            ..OutSymbol::undefined("")
        }
    }

    /// A global symbol that another object defines.
    pub fn undefined(name: impl Into<String>) -> Self {
        OutSymbol {
            name: name.into(),
            kind: abi::STT_NOTYPE,
            bind: abi::STB_GLOBAL,
            other: 0,
            home: OutHome::Undefined,
            value: 0,
            size: 0,
        }
    }
}
