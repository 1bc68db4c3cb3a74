//! A relocatable object, validated once and then read in place.
//!
//! Nothing is copied out of the file: sections, symbols and relocations are
//! decoded when looked at. [`Object::parse`] checks every index, name and range
//! the accessors later rely on, so they cannot fail. Format: System V gABI,
//! chapters 4 "Object Files" and "Symbol Table", and the SHT_SYMTAB_SHNDX rules.

use indexmap::IndexMap;
use object::elf::{Rela64, SectionHeader64, Sym64};
use object::read::elf::SectionHeader as _;
use object::{Endianness, U32, U64};
use rayon::prelude::*;

use super::abi::{self, SHN_LORESERVE, SHN_XINDEX};
use super::compressed;
pub use super::header::Header;
use super::header::{bad, cstr, holds, read_header, read_names, read_shndx, string_table};
use super::ids::{Csr, Id, SectionId, Side, Sparse, SymbolId};
pub use super::relocs::{Reloc, Relocs};
use crate::diag::{Error, Result};

/// Where a symbol is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home<S> {
    /// Not defined here.
    Undefined,
    /// In a section.
    Section(SectionId<S>),
    /// SHN_ABS.
    Absolute,
    /// SHN_COMMON.
    Common,
    /// Another reserved index, such as SHN_LIVEPATCH (0xff20).
    Reserved(u16),
}

/// A section header with its name and bytes resolved.
#[derive(Clone, Copy, Debug)]
pub struct Section<'d> {
    /// Name.
    pub name: &'d str,
    /// sh_type.
    pub kind: u32,
    /// sh_flags.
    pub flags: u64,
    /// sh_size in bytes; for SHT_NOBITS there are no bytes behind it.
    pub size: u64,
    /// sh_addralign.
    pub align: u64,
    /// sh_entsize.
    pub entsize: u64,
    /// sh_link, untranslated.
    pub link: u32,
    /// sh_info, untranslated.
    pub info: u32,
    /// Contents; empty for SHT_NOBITS.
    pub data: &'d [u8],
}

impl Section<'_> {
    /// SHT_PROGBITS with SHF_EXECINSTR.
    #[inline]
    pub fn is_text(&self) -> bool {
        self.kind == abi::SHT_PROGBITS && self.flags & abi::SHF_EXECINSTR != 0
    }
}

/// A symbol with its name and home resolved.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'d, S> {
    /// Name; a section symbol has the name of its section.
    pub name: &'d str,
    /// STT_*.
    pub kind: u8,
    /// STB_*.
    pub bind: u8,
    /// st_other: visibility and, on some machines, more.
    pub other: u8,
    /// Where it is defined.
    pub home: Home<S>,
    /// st_value.
    pub value: u64,
    /// st_size in bytes.
    pub size: u64,
}

/// A parsed relocatable object that borrows the file's bytes.
pub struct Object<'d, S> {
    file: String,
    endian: Endianness,
    header: Header,
    shdrs: &'d [SectionHeader64<Endianness>],
    syms: &'d [Sym64<Endianness>],
    shndx: &'d [U32<Endianness>],
    data: &'d [u8],
    section_names: &'d str,
    symbol_names: &'d str,
    symtab: SectionId<S>,
    shstrndx: usize,
    /// st_info of each symbol: what is asked for most, close together.
    infos: Vec<u8>,
    /// The relocation sections that do not follow what they apply to, by that.
    rela_of: Sparse<SectionId<S>, SectionId<S>>,
    section_symbol: Sparse<SectionId<S>, SymbolId<S>>,
    members: Csr<SectionId<S>, SymbolId<S>>,
    /// Sections with a relocation table, ascending.
    relocated: Vec<SectionId<S>>,
    /// (section, table) of the tables with SHF_RELA_LIVEPATCH, sorted.
    livepatch: Vec<(SectionId<S>, SectionId<S>)>,
    unsorted: IndexMap<SectionId<S>, Vec<u32>, foldhash::fast::RandomState>,
}

impl<'d, S: Side> Object<'d, S> {
    /// Reads `data`, which was loaded from `file`.
    ///
    /// Fails with [`crate::diag::Class::Broken`] on anything that is not a well-formed
    /// 64-bit ELF file with a symbol table.
    pub fn parse(file: &str, data: &'d [u8]) -> Result<Self> {
        Self::parse_inner(file, data).map_err(|e| e.in_file(file))
    }

    fn parse_inner(file: &str, data: &'d [u8]) -> Result<Self> {
        let (endian, header, shdrs, shstrndx) = read_header(data)?;

        let section_names = read_names(&header, shdrs, shstrndx, endian, data)?;
        let mut tables = shdrs
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, shdr)| shdr.sh_type.get(endian).0 == abi::SHT_SYMTAB);
        let (symtab, symhdr) = tables.next().ok_or_else(|| bad("missing symbol table"))?;
        if tables.next().is_some() {
            return Err(bad("more than one symbol table"));
        }
        if symhdr.sh_entsize.get(endian) != 24 {
            return Err(bad("symbol table entries must have 24 bytes").in_section(".symtab"));
        }
        let syms: &[Sym64<Endianness>] = symhdr.data_as_array(endian, data).map_err(|_| {
            bad("the symbol table's size is no multiple of 24").in_section(".symtab")
        })?;
        let symbol_names = shdrs
            .get(symhdr.sh_link.get(endian) as usize)
            .ok_or_else(|| bad("sh_link names no section").in_section(".symtab"))
            .and_then(|s| string_table(s, endian, data, "symbol names"))?;
        let shndx = read_shndx(shdrs, endian, data, symtab, syms.len())?;

        let mut object = Object {
            file: file.to_owned(),
            endian,
            header,
            shdrs,
            syms,
            shndx,
            data,
            section_names,
            symbol_names,
            symtab: SectionId::new(symtab),
            shstrndx,
            infos: Vec::new(),
            rela_of: Sparse::build(0, std::iter::empty),
            section_symbol: Sparse::build(0, std::iter::empty),
            members: Csr::build(0, std::iter::empty),
            relocated: Vec::new(),
            livepatch: Vec::new(),
            unsorted: IndexMap::default(),
        };
        object.index_symbols()?;
        object.index_relocations()?;
        Ok(object)
    }

    /// The header of a section that ids of this object name.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "ids of sections are checked when they are made")]
    fn shdr(&self, id: SectionId<S>) -> &'d SectionHeader64<Endianness> {
        &self.shdrs[id.index()]
    }

    /// The row of a symbol.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "ids of symbols are checked when they are made")]
    fn sym(&self, id: SymbolId<S>) -> &'d Sym64<Endianness> {
        &self.syms[id.index()]
    }

    /// st_info of a symbol.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "ids of symbols are checked when they are made")]
    fn info(&self, id: SymbolId<S>) -> u8 {
        self.infos[id.index()]
    }

    fn index_symbols(&mut self) -> Result<()> {
        for id in self.symbols() {
            let raw = self.sym(id);
            let at = |e: Error| e.at_symbol(format!("#{}", id.index()));
            if !holds(self.symbol_names, raw.st_name.get(self.endian) as usize) {
                return Err(at(bad("a symbol's name lies outside the name table")));
            }
            let index = raw.st_shndx.get(self.endian).0;
            if index == SHN_XINDEX && self.shndx.get(id.index()).is_none() {
                return Err(at(bad(
                    "a symbol has an extended section index but there is no table of them",
                )));
            }
            let section = self.raw_section(id);
            if section >= self.shdrs.len() {
                return Err(at(bad(format!(
                    "a symbol is in section {section}, which does not exist"
                ))));
            }
        }
        self.infos = self.syms.iter().map(|raw| raw.st_info.0).collect();
        self.symbols().skip(1).try_for_each(|id| self.check_symbol(id))?;
        let this = &*self;
        let placed = |section_symbols: bool| {
            let is_asked = move |info: u8| (info & 15 == abi::STT_SECTION) == section_symbols;
            let ids = this.infos.iter().enumerate().filter(move |(_, info)| is_asked(**info));
            let homes = ids.map(|(i, _)| (this.raw_section(SymbolId::new(i)), SymbolId::new(i)));
            homes.filter(|(home, _)| *home != 0).map(|(home, id)| (SectionId::new(home), id))
        };
        // The last symbol counts.
        let section_symbol = Sparse::build(self.shdrs.len(), || placed(true));
        let members = Csr::build(self.shdrs.len(), || placed(false));
        self.members = members;
        self.section_symbol = section_symbol;
        Ok(())
    }

    /// Section index of a symbol, 0 when it has none.
    #[inline]
    fn raw_section(&self, id: SymbolId<S>) -> usize {
        match self.sym(id).st_shndx.get(self.endian).0 {
            SHN_XINDEX => self.shndx.get(id.index()).map_or(0, |x| x.get(self.endian) as usize),
            reserved if reserved >= SHN_LORESERVE => 0,
            index => usize::from(index),
        }
    }

    fn index_relocations(&mut self) -> Result<()> {
        let mut tables = Vec::new();
        let mut elsewhere = Vec::new();
        for id in self.sections() {
            let kind = self.section_kind(id);
            if kind != abi::SHT_RELA && kind != abi::SHT_REL {
                continue;
            }
            let shdr = self.shdr(id);
            let name = || self.section_name(id);
            let base = shdr.sh_info.get(self.endian) as usize;
            if kind == abi::SHT_REL {
                if base >= self.shdrs.len() {
                    return Err(bad("sh_info names no section").in_section(name()));
                }
                if self.section_flags(SectionId::new(base)) & abi::SHF_ALLOC != 0 {
                    return Err(bad("relocations without addends (SHT_REL) are not supported")
                        .in_section(name()));
                }
                continue;
            }
            if base == 0 || base >= self.shdrs.len() {
                return Err(bad(format!("can't find base section for rela section {}", name())));
            }
            let base = SectionId::<S>::new(base);
            let entries =
                self.section_entsize(id) == 24 && self.section_size(id).is_multiple_of(24);
            if !entries {
                return Err(bad("relocation entries must have 24 bytes").in_section(name()));
            }
            tables.push(id);
            if self.section_flags(id) & abi::SHF_RELA_LIVEPATCH != 0 {
                self.livepatch.push((base, id));
                continue;
            }
            self.relocated.push(base);
            if self.next_table(base) != Some(id) {
                elsewhere.push((base, id));
            }
        }
        if !self.relocated.is_sorted() {
            self.relocated.sort_unstable();
        }
        self.relocated.shrink_to_fit();
        self.rela_of = Sparse::build(self.shdrs.len(), || elsewhere.iter().copied());
        for &(base, id) in &elsewhere {
            if self.next_table(base).is_some() || self.rela_of.get(base) != Some(id) {
                return Err(bad("two relocation sections for one section")
                    .in_section(self.section(base).name));
            }
        }
        drop(elsewhere);
        self.livepatch.sort_unstable();
        let this = &*self;
        // The first error counts, on any number of threads.
        let unsorted: Vec<Result<(SectionId<S>, Vec<u32>)>> = tables
            .par_iter()
            .with_min_len(256)
            .filter_map(|&id| this.check_relocations(id).transpose())
            .collect();
        self.unsorted = unsorted.into_iter().collect::<Result<_>>()?;
        Ok(())
    }

    /// Checks one relocation section; returns the order by offset when the file has another.
    #[expect(clippy::indexing_slicing, reason = "the order is of these entries")]
    fn check_relocations(&self, id: SectionId<S>) -> Result<Option<(SectionId<S>, Vec<u32>)>> {
        let base = SectionId::<S>::new(self.shdr(id).sh_info.get(self.endian) as usize);
        let size = self.extent(base).ok_or_else(|| {
            bad("the compressed section is cut short").in_section(self.section(base).name)
        })?;
        let emptied = size == 0 && self.section_kind(base) == abi::SHT_NOBITS;
        let raw = self.raw_relocs(id);
        let mut sorted = true;
        let mut last = 0;
        for entry in raw {
            let offset = entry.r_offset.get(self.endian);
            let symbol = (entry.r_info.get(self.endian) >> 32) as usize;
            if symbol >= self.syms.len() {
                return Err(bad("could not find rela entry symbol")
                    .in_section(self.section(id).name)
                    .at_offset(offset));
            }
            if offset >= size && !emptied {
                let base = self.section_name(base);
                return Err(bad(format!("a relocation lies behind the end of {base}"))
                    .in_section(self.section(id).name)
                    .at_offset(offset));
            }
            sorted &= last <= offset;
            last = offset;
        }
        if sorted {
            return Ok(None);
        }
        let mut order: Vec<u32> = (0..raw.len() as u32).collect();
        order.sort_by_key(|&i| raw[i as usize].r_offset.get(self.endian));
        Ok(Some((id, order)))
    }

    #[inline]
    fn raw_relocs(&self, id: SectionId<S>) -> &'d [Rela64<Endianness>] {
        // The size and alignment of the slice were checked when the table was indexed.
        self.shdr(id).data_as_array(self.endian, self.data).unwrap_or(&[])
    }

    /// Path the object was read from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Header fields.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Size of the file in bytes.
    pub fn file_size(&self) -> u64 {
        self.data.len() as u64
    }

    /// Byte order of all integers in the object.
    #[inline]
    pub fn endian(&self) -> Endianness {
        self.endian
    }

    /// Number of sections, the null section included.
    pub fn section_count(&self) -> usize {
        self.shdrs.len()
    }

    /// Number of symbols, the null symbol included.
    pub fn symbol_count(&self) -> usize {
        self.syms.len()
    }

    /// All sections but the null section, in file order.
    pub fn sections(&self) -> impl ExactSizeIterator<Item = SectionId<S>> + use<S> {
        (1..self.shdrs.len()).map(SectionId::new)
    }

    /// All symbols, the null symbol included, in file order.
    pub fn symbols(&self) -> impl ExactSizeIterator<Item = SymbolId<S>> + use<S> {
        (0..self.syms.len()).map(SymbolId::new)
    }

    /// The symbol table's section.
    pub fn symtab(&self) -> SectionId<S> {
        self.symtab
    }

    /// Whether section names share the symbol name table (as LLVM writes it).
    pub fn shares_string_table(&self) -> bool {
        self.shdr(self.symtab).sh_link.get(self.endian) as usize == self.shstrndx
    }

    /// The section that holds the section names.
    pub fn section_name_table(&self) -> SectionId<S> {
        SectionId::new(self.shstrndx)
    }

    /// Section `id`.
    #[inline]
    pub fn section(&self, id: SectionId<S>) -> Section<'d> {
        let raw = self.shdr(id);
        let e = self.endian;
        Section {
            name: self.section_name(id),
            kind: raw.sh_type.get(e).0,
            flags: raw.sh_flags.get(e).0,
            size: raw.sh_size.get(e),
            align: raw.sh_addralign.get(e),
            entsize: raw.sh_entsize.get(e),
            link: raw.sh_link.get(e),
            info: raw.sh_info.get(e),
            data: self.contents(id),
        }
    }

    /// sh_type of section `id`.
    #[inline]
    pub fn section_kind(&self, id: SectionId<S>) -> u32 {
        self.shdr(id).sh_type.get(self.endian).0
    }

    /// sh_entsize of section `id`.
    #[inline]
    pub fn section_entsize(&self, id: SectionId<S>) -> u64 {
        self.shdr(id).sh_entsize.get(self.endian)
    }

    /// sh_addralign of section `id`.
    #[inline]
    pub fn section_align(&self, id: SectionId<S>) -> u64 {
        self.shdr(id).sh_addralign.get(self.endian)
    }

    /// [`Section::is_text`] of section `id`.
    #[inline]
    pub fn is_text(&self, id: SectionId<S>) -> bool {
        self.section_kind(id) == abi::SHT_PROGBITS
            && self.section_flags(id) & abi::SHF_EXECINSTR != 0
    }

    /// sh_flags of section `id`.
    #[inline]
    pub fn section_flags(&self, id: SectionId<S>) -> u64 {
        self.shdr(id).sh_flags.get(self.endian).0
    }

    /// sh_size of section `id`.
    #[inline]
    pub fn section_size(&self, id: SectionId<S>) -> u64 {
        self.shdr(id).sh_size.get(self.endian)
    }

    /// Bytes that places in a section are of: sh_size, or what it claims to unpack to. `None`
    /// where it is compressed and cut short.
    pub fn extent(&self, id: SectionId<S>) -> Option<u64> {
        match self.section_flags(id) & abi::SHF_COMPRESSED {
            0 => Some(self.section_size(id)),
            _ => {
                compressed::claimed_size(self.contents(id), matches!(self.endian, Endianness::Big))
            }
        }
    }

    /// Contents of section `id`; empty for SHT_NOBITS.
    #[inline]
    pub fn contents(&self, id: SectionId<S>) -> &'d [u8] {
        // Ranges were checked by `parse`.
        self.shdr(id).data(self.endian, self.data).unwrap_or(&[])
    }

    /// st_value of symbol `id`.
    #[inline]
    pub fn symbol_value(&self, id: SymbolId<S>) -> u64 {
        self.sym(id).st_value.get(self.endian)
    }

    /// st_size of symbol `id` in bytes.
    #[inline]
    pub fn symbol_size(&self, id: SymbolId<S>) -> u64 {
        self.sym(id).st_size.get(self.endian)
    }

    /// st_other of symbol `id`.
    #[inline]
    pub fn symbol_other(&self, id: SymbolId<S>) -> u8 {
        self.sym(id).st_other.0
    }

    /// STB_* of symbol `id`.
    #[inline]
    pub fn symbol_bind(&self, id: SymbolId<S>) -> u8 {
        self.info(id) >> 4
    }

    /// Name of section `id`.
    #[inline]
    pub fn section_name(&self, id: SectionId<S>) -> &'d str {
        cstr(self.section_names, self.shdr(id).sh_name.get(self.endian) as usize).unwrap_or("")
    }

    /// The symbol `id`.
    #[inline]
    pub fn symbol(&self, id: SymbolId<S>) -> Symbol<'d, S> {
        let raw = self.sym(id);
        let e = self.endian;
        Symbol {
            name: self.symbol_name(id),
            kind: raw.st_type().0,
            bind: raw.st_bind().0,
            other: raw.st_other.0,
            home: self.home(id),
            value: raw.st_value.get(e),
            size: raw.st_size.get(e),
        }
    }

    /// Name of symbol `id`; a section symbol has the name of its section.
    #[inline]
    pub fn symbol_name(&self, id: SymbolId<S>) -> &'d str {
        let raw = self.sym(id);
        if self.symbol_kind(id) == abi::STT_SECTION
            && let Some(section) = self.section_of(id)
        {
            return self.section_name(section);
        }
        cstr(self.symbol_names, raw.st_name.get(self.endian) as usize).unwrap_or("")
    }

    /// STT_* of symbol `id`.
    #[inline]
    pub fn symbol_kind(&self, id: SymbolId<S>) -> u8 {
        self.info(id) & 15
    }

    /// Where symbol `id` is defined.
    #[inline]
    pub fn home(&self, id: SymbolId<S>) -> Home<S> {
        if let Some(section) = self.section_of(id) {
            return Home::Section(section);
        }
        match self.sym(id).st_shndx.get(self.endian).0 {
            0 | SHN_XINDEX => Home::Undefined,
            abi::SHN_ABS => Home::Absolute,
            abi::SHN_COMMON => Home::Common,
            n => Home::Reserved(n),
        }
    }

    /// The section symbol `id` is defined in.
    #[inline]
    pub fn section_of(&self, id: SymbolId<S>) -> Option<SectionId<S>> {
        let section = self.raw_section(id);
        (section != 0).then(|| SectionId::new(section))
    }

    /// The STT_SECTION symbol of a section.
    #[inline]
    pub fn section_symbol(&self, id: SectionId<S>) -> Option<SymbolId<S>> {
        self.section_symbol.get(id)
    }

    /// Symbols defined in a section, section symbols excluded, in symbol table order.
    #[inline]
    pub fn members(&self, id: SectionId<S>) -> &[SymbolId<S>] {
        self.members.get(id)
    }

    /// The SHT_RELA section that applies to `id`, [`Object::livepatch_tables`] aside.
    #[inline]
    pub fn rela_section(&self, id: SectionId<S>) -> Option<SectionId<S>> {
        self.rela_of.get(id).or_else(|| self.next_table(id))
    }

    /// The sections that have a [`Object::rela_section`], in file order.
    pub fn relocated(&self) -> &[SectionId<S>] {
        &self.relocated
    }

    /// The section behind `id`, when it is its ordinary relocation table: so all compilers and
    /// linkers order them.
    #[inline]
    #[expect(clippy::arithmetic_side_effects, reason = "there are fewer sections than numbers")]
    fn next_table(&self, id: SectionId<S>) -> Option<SectionId<S>> {
        let next = self.shdrs.get(id.index() + 1)?;
        let e = self.endian;
        (next.sh_type.get(e).0 == abi::SHT_RELA
            && next.sh_info.get(e) as usize == id.index()
            && next.sh_flags.get(e).0 & abi::SHF_RELA_LIVEPATCH == 0)
            .then(|| SectionId::new(id.index() + 1))
    }

    /// The section a SHT_RELA section applies to.
    pub fn rela_base(&self, id: SectionId<S>) -> Option<SectionId<S>> {
        let shdr = self.shdr(id);
        (shdr.sh_type.get(self.endian).0 == abi::SHT_RELA)
            .then(|| SectionId::new(shdr.sh_info.get(self.endian) as usize))
    }

    /// The tables of section `id` that the kernel applies when an object is patched
    /// (SHF_RELA_LIVEPATCH), in file order; there is one per object.
    #[expect(clippy::indexing_slicing, reason = "a partition point lies within the list")]
    pub fn livepatch_tables(&self, id: SectionId<S>) -> impl Iterator<Item = SectionId<S>> + '_ {
        let from = self.livepatch.partition_point(|t| t.0 < id);
        self.livepatch[from..].iter().take_while(move |t| t.0 == id).map(|t| t.1)
    }

    /// Whether the object is a finished livepatch module: it has SHF_RELA_LIVEPATCH tables.
    pub fn is_livepatch(&self) -> bool {
        !self.livepatch.is_empty()
    }

    /// The relocations that apply to section `id`, those of its [`Object::livepatch_tables`]
    /// excluded; empty when there are none.
    #[inline]
    pub fn relocs(&self, id: SectionId<S>) -> Relocs<'_, S> {
        self.table_relocs(self.rela_section(id).unwrap_or(SectionId::new(0)))
    }

    /// The relocations of one SHT_RELA section; empty for the null section.
    #[inline]
    pub fn table_relocs(&self, rela: SectionId<S>) -> Relocs<'_, S> {
        let raw = if rela.index() == 0 { &[][..] } else { self.raw_relocs(rela) };
        let order = if self.unsorted.is_empty() { None } else { self.unsorted.get(&rela) };
        Relocs {
            raw,
            order: order.map(Vec::as_slice),
            endian: self.endian,
            side: std::marker::PhantomData,
        }
    }
}

/// Reads an integer field of a section's contents in the object's byte order.
pub fn read_u32(data: &[u8], offset: usize, endian: Endianness) -> Option<u32> {
    let bytes = data.get(offset..offset.checked_add(4)?)?;
    Some(U32::<Endianness>::from_bytes(bytes.try_into().ok()?).get(endian))
}

/// Reads an integer field of a section's contents in the object's byte order.
pub fn read_u64(data: &[u8], offset: usize, endian: Endianness) -> Option<u64> {
    let bytes = data.get(offset..offset.checked_add(8)?)?;
    Some(U64::<Endianness>::from_bytes(bytes.try_into().ok()?).get(endian))
}
