//! The output under construction: sections, symbols and tables of structs with pointers.

use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, Sparse, SymbolId};
use crate::elf::out::{
    OutHome, OutObject, OutReloc, OutRelocs, OutSection, OutSectionIndex, OutSymbol, OutSymbolIndex,
};
use crate::elf::strings::Strings;
use crate::kernel::knowledge::{livepatch, sections};
use crate::patch::format::kpatch::Layout;

/// The output under construction.
pub(in crate::patch) struct Output {
    pub(in crate::patch) object: OutObject,
    pub(in crate::patch) strings: Strings,
    /// Symbol of `.kpatch.strings`.
    pub(in crate::patch) strings_symbol: OutSymbolIndex,
    /// Where the sections and symbols of the patched object are.
    pub(in crate::patch) sections: Sparse<SectionId<Patched>, u32>,
    pub(in crate::patch) symbols: Sparse<SymbolId<Patched>, OutSymbolIndex>,
    /// The symbol of each output section, as far as it has one.
    pub(in crate::patch) section_symbols: Vec<Option<OutSymbolIndex>>,
    pub(in crate::patch) pointer: u32,
    /// Where the parent's name is in `.kpatch.strings`.
    pub(in crate::patch) parent: i64,
}

impl Output {
    /// Appends an allocated PROGBITS section with its relocations, which may be empty.
    pub(in crate::patch) fn add_section(
        &mut self,
        name: &str,
        data: Vec<u8>,
        entsize: u64,
        relocs: Vec<OutReloc>,
    ) -> OutSectionIndex {
        self.object.sections.push(match name {
            livepatch::STRINGS | sections::MODINFO => OutSection::plain(name, 8, entsize, data),
            _ => OutSection::table(name, 8, entsize, data, relocs),
        });
        self.object.sections.len() - 1
    }

    /// Where a section of the patched object is.
    pub(in crate::patch) fn section(&self, section: SectionId<Patched>) -> Option<OutSectionIndex> {
        self.sections.get(section).map(|index| index as usize)
    }

    pub(in crate::patch) fn set_section_symbol(
        &mut self,
        section: OutSectionIndex,
        index: OutSymbolIndex,
    ) {
        let sections = self.object.sections.len();
        self.section_symbols.resize(sections, None);
        self.section_symbols[section] = Some(index);
    }

    /// The section symbol of an output section; made when there is none.
    pub(in crate::patch) fn section_symbol(&mut self, section: OutSectionIndex) -> OutSymbolIndex {
        if let Some(&Some(index)) = self.section_symbols.get(section) {
            return index;
        }
        let index = self.object.add_symbol(OutSymbol::of_section(section));
        self.set_section_symbol(section, index);
        index
    }

    pub(in crate::patch) fn set_relocs(
        &mut self,
        section: SectionId<Patched>,
        flags: u64,
        entries: Vec<OutReloc>,
    ) {
        let Some(index) = self.section(section) else { return };
        let section = &mut self.object.sections[index];
        let flags = (flags | abi::SHF_INFO_LINK) & !abi::SHF_GROUP;
        section.relocs = vec![OutRelocs { name: format!(".rela{}", section.name), flags, entries }];
    }

    pub(in crate::patch) fn finish_strings(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.strings).into_bytes().ok_or_else(|| {
            Error::broken(Code::TooManyNames, "the names that the patch needs take 4 GiB")
        })?;
        if let OutHome::Section(index) = self.object.symbols[self.strings_symbol.index()].home {
            self.object.sections[index].size = bytes.len() as u64;
            self.object.sections[index].data = bytes;
        }
        Ok(())
    }
}

/// The bytes of a field of eight.
pub(in crate::patch) fn eight(value: u64, big_endian: bool) -> [u8; 8] {
    if big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
}

/// A table of structs with pointers.
pub(in crate::patch) struct Table {
    data: Vec<u8>,
    start: usize,
    pointers: Vec<OutReloc>,
}

impl Table {
    /// Room for that many rows.
    pub(in crate::patch) fn with_capacity(rows: usize, layout: &Layout) -> Self {
        let pointers = Vec::with_capacity(rows.saturating_mul(layout.pointers.len()));
        let data = Vec::with_capacity(rows.saturating_mul(layout.size as usize));
        Table { data, start: 0, pointers }
    }

    pub(in crate::patch) fn row(&mut self, row: &[u8]) {
        self.start = self.data.len();
        self.data.extend_from_slice(row);
    }

    pub(in crate::patch) fn pointer(&mut self, at: u64, symbol: OutSymbolIndex, addend: i64) {
        let offset = self.start as u64 + at;
        self.pointers.push(OutReloc { offset, kind: 0, symbol: Some(symbol), addend });
    }

    pub(in crate::patch) fn finish(
        mut self,
        output: &mut Output,
        layout: &Layout,
    ) -> OutSectionIndex {
        self.pointers.iter_mut().for_each(|pointer| pointer.kind = output.pointer);
        output.add_section(layout.section, self.data, layout.size, self.pointers)
    }
}
