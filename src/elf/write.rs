//! From the output model to the bytes of a relocatable object.
//!
//! Layout: the ELF header, the sections in the model's order with their relocation tables
//! directly behind each, `.symtab`, `.symtab_shndx` when a section index needs it, `.strtab`,
//! `.shstrtab`, and the section header table. All header indexes follow from the model alone
//! and are known before the first byte is written, so one pass writes everything.
//! Format: System V gABI, chapter 4, with the extended numbering of more than 0xfeff
//! sections (e_shnum 0, e_shstrndx SHN_XINDEX, st_shndx SHN_XINDEX).

#![expect(
    clippy::indexing_slicing,
    reason = "the plan has a place for all that the model has, which was checked"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "sizes of what is in memory, and numbers that were checked to be small"
)]

use std::io::{self, Cursor, Seek, Write};

use object::elf as e;
use object::pod::{bytes_of, bytes_of_slice};
use object::{Endianness, I64, U16, U32, U64};

use super::abi;
use super::compressed;
use super::out::{Model, OutHome, OutObject, OutReloc, OutSection, OutSectionIndex, OutSymbol};
use super::strings::Strings;
use crate::diag::{Code, Error, Result};

/// Largest alignment of a section's place in the file. sh_addralign speaks of addresses, so
/// a relocatable file need not honour it; without a bound one hostile value fills the disk.
const MAX_FILE_ALIGN: u64 = 4096;
/// What lies between sections.
static GAP: [u8; MAX_FILE_ALIGN as usize] = [0; MAX_FILE_ALIGN as usize];
/// Size of a symbol and of a relocation entry.
const SYMBOL_SIZE: u64 = 24;
const RELA_SIZE: u64 = 24;

type Shdr = e::SectionHeader64<Endianness>;

/// The bytes of a model.
///
/// Symbols are stably sorted: LOCAL file symbols, LOCAL functions, other LOCAL ones, the rest.
/// Of several files, each keeps its LOCAL symbols behind its own. Fails with
/// [`crate::diag::Class::Broken`], code `inconsistent-output`,
/// on a model that no valid file can express.
pub fn write(model: &dyn Model) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    write_to(model, &mut bytes)?;
    Ok(bytes.into_inner())
}

/// Writes these bytes to a file, in small pieces: wrap it in a buffer. The file header comes
/// last. Fails as [`write`](fn@write) before anything is written, and with code `unwritable`
/// when the file cannot take it.
pub fn write_to(model: &dyn Model, file: &mut (impl Write + Seek)) -> Result<()> {
    check(model)?;
    let object = model.object();
    let plan = Plan::new(object)?;
    let mut out = Writer {
        endian: plan.endian,
        file,
        size: 0,
        shdrs: vec![header(plan.endian, &SectionHeader::default(), 0, 0, 0)],
        names: Strings::of_elf(),
    };
    out.append(&[0; size_of::<e::FileHeader64<Endianness>>()])?;
    let mut entries = Vec::new();
    for (i, section) in object.sections.iter().enumerate() {
        out.section(section, &plan)?;
        model.contents(i, &mut |bytes| out.append(bytes))?;
        let base = plan.section_index[i];
        for (place, table) in section.relocs.iter().enumerate() {
            let header = SectionHeader {
                name: &table.name,
                kind: abi::SHT_RELA,
                flags: table.flags,
                link: plan.symtab,
                info: base,
                align: 8,
                entsize: RELA_SIZE,
            };
            out.open(header, model.reloc_count(i, place) as u64 * RELA_SIZE)?;
            model.relocs(i, place, &mut |relocs| {
                entries.clear();
                entries.extend(relocs.iter().map(|r| plan.rela(r)));
                out.append(bytes_of_slice(&entries))
            })?;
        }
    }
    symbol_tables(object, &plan, &mut out)?;
    out.finish(object)
}

fn failed(error: io::Error) -> Error {
    Error::broken(Code::Unwritable, format!("cannot write: {error}")).advise("is the disk full?")
}

fn inconsistent(message: impl Into<String>) -> Error {
    Error::broken(Code::InconsistentOutput, message)
}

fn too_many(what: &str) -> Error {
    inconsistent(format!("too many {what} for an ELF file"))
}

/// Refuses everything that would make an invalid file.
fn check(model: &dyn Model) -> Result<()> {
    let object = model.object();
    for (i, section) in object.sections.iter().enumerate() {
        check_section(model, i).map_err(|e| e.in_section(&*section.name))?;
    }
    for symbol in &object.symbols {
        check_symbol(object, symbol).map_err(|e| e.at_symbol(&*symbol.name))?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if name.contains('\0') { Err(inconsistent("a name contains NUL")) } else { Ok(()) }
}

fn check_section(model: &dyn Model, index: OutSectionIndex) -> Result<()> {
    let object = model.object();
    let section = &object.sections[index];
    check_name(&section.name)?;
    match section.kind {
        abi::SHT_GROUP => return Err(inconsistent("section groups are not supported")),
        abi::SHT_NULL | abi::SHT_SYMTAB | abi::SHT_RELA | abi::SHT_REL | abi::SHT_SYMTAB_SHNDX => {
            return Err(inconsistent(format!(
                "a section of type {} cannot be written as contents",
                section.kind
            )));
        }
        _ => {}
    }
    if section.flags & abi::SHF_GROUP != 0 {
        return Err(inconsistent("SHF_GROUP is set, but section groups are not supported"));
    }
    if section.align != 0 && !section.align.is_power_of_two() {
        return Err(inconsistent(format!("alignment {} is no power of two", section.align)));
    }
    let stored = model.stored(index);
    let expected = if section.kind == abi::SHT_NOBITS { 0 } else { section.size };
    if stored != expected {
        return Err(inconsistent(format!(
            "there are {stored} bytes of contents where {expected} belong"
        )));
    }
    if section.link.is_some_and(|link| link >= object.sections.len()) {
        return Err(inconsistent("sh_link refers to a section that does not exist"));
    }
    for (place, table) in section.relocs.iter().enumerate() {
        check_name(&table.name)?;
        if table.flags & (abi::SHF_GROUP | abi::SHF_COMPRESSED) != 0 {
            return Err(inconsistent("a relocation section can be neither grouped nor compressed")
                .in_section(&*table.name));
        }
        model.relocs(index, place, &mut |entries| {
            entries.iter().try_for_each(|entry| {
                check_reloc(object, section, entry)
                    .map_err(|e| e.in_section(&*table.name).at_offset(entry.offset))
            })
        })?;
    }
    Ok(())
}

fn check_reloc(object: &OutObject, section: &OutSection, entry: &OutReloc) -> Result<()> {
    if entry.symbol.is_some_and(|symbol| object.symbol(symbol).is_none()) {
        return Err(inconsistent("a relocation refers to a symbol that does not exist"));
    }
    // Files that keep only debug information have empty NOBITS sections with relocations.
    let emptied = section.size == 0 && section.kind == abi::SHT_NOBITS;
    let size = match section.flags & abi::SHF_COMPRESSED {
        0 => section.size,
        _ => compressed::claimed_size(&section.data, object.big_endian).unwrap_or(0),
    };
    if entry.offset >= size && !emptied {
        return Err(inconsistent(format!("a relocation lies behind the end of {}", section.name)));
    }
    Ok(())
}

fn check_symbol(object: &OutObject, symbol: &OutSymbol) -> Result<()> {
    check_name(&symbol.name)?;
    if symbol.kind > 15 || symbol.bind > 15 {
        return Err(inconsistent("type and binding of a symbol must be below 16"));
    }
    match symbol.home {
        OutHome::Section(section) if section >= object.sections.len() => {
            Err(inconsistent("a symbol is in a section that does not exist"))
        }
        OutHome::Reserved(index) if index < abi::SHN_LORESERVE || index == abi::SHN_XINDEX => {
            Err(inconsistent(format!("{index:#x} is not a reserved section index")))
        }
        _ => Ok(()),
    }
}

/// Header and symbol indexes of everything in the model.
struct Plan {
    endian: Endianness,
    /// Header index of each section.
    section_index: Vec<u32>,
    /// Header index of `.symtab`.
    symtab: u32,
    /// The model's symbols in file order.
    order: Vec<u32>,
    /// Symbol table index of each of the model's symbols.
    symbol_index: Vec<u32>,
    /// LOCAL symbols, the null symbol included.
    locals: u32,
}

impl Plan {
    fn new(object: &OutObject) -> Result<Plan> {
        let endian = if object.big_endian { Endianness::Big } else { Endianness::Little };
        let mut section_index = Vec::with_capacity(object.sections.len());
        let mut next = 1usize;
        for section in &object.sections {
            section_index.push(next as u32);
            next += 1 + section.relocs.len();
        }
        // The tables behind the last section must have an index, too.
        if u32::try_from(next + 4).is_err() {
            return Err(too_many("sections"));
        }
        if u32::try_from(object.symbols.len() + 1).is_err() {
            return Err(too_many("symbols"));
        }
        let ranks = ranks(&object.symbols);
        let mut order: Vec<u32> = (0..object.symbols.len() as u32).collect();
        order.sort_by_key(|&i| ranks[i as usize]);
        let mut symbol_index = vec![0; order.len()];
        for (place, &i) in order.iter().enumerate() {
            symbol_index[i as usize] = place as u32 + 1;
        }
        let locals = object.symbols.iter().filter(|s| s.bind == abi::STB_LOCAL).count() as u32 + 1;
        Ok(Plan { endian, section_index, symtab: next as u32, order, symbol_index, locals })
    }

    fn rela(&self, entry: &OutReloc) -> e::Rela64<Endianness> {
        let symbol = entry.symbol.map_or(0, |symbol| self.symbol_index[symbol.index()]);
        e::Rela64 {
            r_offset: U64::new(self.endian, entry.offset),
            r_info: U64::new(self.endian, u64::from(symbol) << 32 | u64::from(entry.kind)),
            r_addend: I64::new(self.endian, entry.addend),
        }
    }

    /// st_shndx and the extended section index of a symbol.
    fn home(&self, home: OutHome) -> (u16, u32) {
        match home {
            OutHome::Undefined => (abi::SHN_UNDEF, 0),
            OutHome::Reserved(index) => (index, 0),
            OutHome::Section(section) => match self.section_index[section] {
                index if index < u32::from(abi::SHN_LORESERVE) => (index as u16, 0),
                index => (abi::SHN_XINDEX, index),
            },
        }
    }
}

/// Place of each symbol's group in the symbol table: the FILE block, and the place there. What
/// precedes the only FILE symbol is of that file; of several, it is of none.
fn ranks(symbols: &[OutSymbol]) -> Vec<(u32, u8)> {
    let is_file = |s: &&OutSymbol| s.bind == abi::STB_LOCAL && s.kind == abi::STT_FILE;
    let several = symbols.iter().filter(is_file).count() > 1;
    let mut file = 0;
    let rank = |symbol: &OutSymbol| {
        file += u32::from(several && is_file(&symbol));
        match (symbol.bind, symbol.kind) {
            (abi::STB_LOCAL, abi::STT_FILE) => (file, 0),
            (abi::STB_LOCAL, abi::STT_FUNC) => (file, 1),
            (abi::STB_LOCAL, _) => (file, 2),
            _ => (u32::MAX, 3),
        }
    };
    symbols.iter().map(rank).collect()
}

/// Writes `.symtab`, `.symtab_shndx` and `.strtab`.
fn symbol_tables<F: Write + Seek>(
    object: &OutObject,
    plan: &Plan,
    out: &mut Writer<'_, F>,
) -> Result<()> {
    let endian = plan.endian;
    let mut names = Strings::of_elf();
    let mut symbols = vec![e::Sym64::<Endianness>::default()];
    let mut extended = vec![U32::new(endian, 0)];
    for &i in &plan.order {
        let symbol = &object.symbols[i as usize];
        let name = if symbol.kind == abi::STT_SECTION { "" } else { symbol.name.as_str() };
        let (shndx, xindex) = plan.home(symbol.home);
        symbols.push(e::Sym64 {
            st_name: U32::new(endian, names.offset(name)),
            st_info: e::SymbolInfo(symbol.bind << 4 | symbol.kind),
            st_other: e::SymbolOther(symbol.other),
            st_shndx: U16::new(endian, e::SymbolSection(shndx)),
            st_value: U64::new(endian, symbol.value),
            st_size: U64::new(endian, symbol.size),
        });
        extended.push(U32::new(endian, xindex));
    }
    let needs_extended = object.symbols.iter().any(|s| plan.home(s.home).1 != 0);
    let symtab = SectionHeader {
        name: ".symtab",
        kind: abi::SHT_SYMTAB,
        flags: 0,
        link: plan.symtab + 1 + u32::from(needs_extended),
        info: plan.locals,
        align: 8,
        entsize: SYMBOL_SIZE,
    };
    out.table(symtab, bytes_of_slice(&symbols))?;
    if needs_extended {
        let shndx = SectionHeader {
            name: ".symtab_shndx",
            kind: abi::SHT_SYMTAB_SHNDX,
            flags: 0,
            link: plan.symtab,
            info: 0,
            align: 4,
            entsize: 4,
        };
        out.table(shndx, bytes_of_slice(&extended))?;
    }
    let names = names.into_bytes().ok_or_else(|| too_many("symbol names"))?;
    out.table(SectionHeader::strings(".strtab"), &names)
}

/// A section header without its place; by default the null section's.
#[derive(Default)]
struct SectionHeader<'t> {
    name: &'t str,
    kind: u32,
    flags: u64,
    link: u32,
    info: u32,
    align: u64,
    entsize: u64,
}

impl<'t> SectionHeader<'t> {
    fn strings(name: &'t str) -> SectionHeader<'t> {
        SectionHeader { name, kind: abi::SHT_STRTAB, align: 1, ..SectionHeader::default() }
    }
}

fn header(e: Endianness, table: &SectionHeader<'_>, name: u32, offset: u64, size: u64) -> Shdr {
    e::SectionHeader64 {
        sh_name: U32::new(e, name),
        sh_type: U32::new(e, e::SectionType(table.kind)),
        sh_flags: U64::new(e, e::SectionFlags(table.flags)),
        sh_addr: U64::new(e, 0),
        sh_offset: U64::new(e, offset),
        sh_size: U64::new(e, size),
        sh_link: U32::new(e, table.link),
        sh_info: U32::new(e, table.info),
        sh_addralign: U64::new(e, table.align),
        sh_entsize: U64::new(e, table.entsize),
    }
}

/// The file as far as it is written.
struct Writer<'f, F> {
    endian: Endianness,
    file: &'f mut F,
    /// Bytes written.
    size: u64,
    shdrs: Vec<Shdr>,
    names: Strings,
}

impl<F: Write + Seek> Writer<'_, F> {
    /// Adds the header of a section of the model, whose contents are appended next.
    fn section(&mut self, section: &OutSection, plan: &Plan) -> Result<()> {
        let table = SectionHeader {
            name: &section.name,
            kind: section.kind,
            flags: section.flags,
            link: section.link.map_or(0, |link| plan.section_index[link]),
            info: 0,
            align: section.align,
            entsize: section.entsize,
        };
        self.open(table, section.size)
    }

    fn table(&mut self, table: SectionHeader<'_>, data: &[u8]) -> Result<()> {
        self.open(table, data.len() as u64)?;
        self.append(data)
    }

    /// Adds the header of what is appended next. `size`: its sh_size.
    fn open(&mut self, table: SectionHeader<'_>, size: u64) -> Result<()> {
        let name = self.names.offset(table.name);
        self.align(table.align)?;
        self.shdrs.push(header(self.endian, &table, name, self.size, size));
        Ok(())
    }

    /// Goes on at the next multiple of `align`.
    #[expect(
        clippy::indexing_slicing,
        reason = "the next multiple is less than the longest gap away"
    )]
    fn align(&mut self, align: u64) -> Result<()> {
        let next = self.size.next_multiple_of(align.clamp(1, MAX_FILE_ALIGN));
        self.append(&GAP[..(next - self.size) as usize])
    }

    fn append(&mut self, data: &[u8]) -> Result<()> {
        self.size += data.len() as u64;
        self.file.write_all(data).map_err(failed)
    }

    /// Adds `.shstrtab`, the section header table and the file header.
    #[expect(clippy::indexing_slicing, reason = "the null section comes first")]
    fn finish(mut self, object: &OutObject) -> Result<()> {
        let e = self.endian;
        let own = ".shstrtab";
        // The table holds its own name, so its header is made before its contents are final.
        self.table(SectionHeader::strings(own), &[])?;
        let names = std::mem::take(&mut self.names).into_bytes();
        let names = names.ok_or_else(|| too_many("section names"))?;
        self.append(&names)?;
        if let Some(shdr) = self.shdrs.last_mut() {
            shdr.sh_size.set(e, names.len() as u64);
        }
        let count = self.shdrs.len() as u32;
        let shstrndx = count - 1;
        let reserve = u32::from(abi::SHN_LORESERVE);
        if count >= reserve {
            self.shdrs[0].sh_size.set(e, u64::from(count));
        }
        if shstrndx >= reserve {
            self.shdrs[0].sh_link.set(e, shstrndx);
        }
        let shdrs = std::mem::take(&mut self.shdrs);
        self.align(8)?;
        let shoff = self.size;
        self.append(bytes_of_slice(&shdrs))?;
        let header = e::FileHeader64 {
            e_ident: e::Ident {
                magic: e::ELFMAG,
                class: e::ELFCLASS64,
                data: if object.big_endian { e::ELFDATA2MSB } else { e::ELFDATA2LSB },
                version: e::EV_CURRENT,
                os_abi: e::OsAbi(0),
                abi_version: 0,
                padding: [0; 7],
            },
            e_type: U16::new(e, e::FileType(object.kind)),
            e_machine: U16::new(e, e::Machine(object.machine)),
            e_version: U32::new(e, 1),
            e_entry: U64::new(e, 0),
            e_phoff: U64::new(e, 0),
            e_shoff: U64::new(e, shoff),
            e_flags: U32::new(e, e::FileFlags(object.flags)),
            e_ehsize: U16::new(e, size_of::<e::FileHeader64<Endianness>>() as u16),
            e_phentsize: U16::new(e, 0),
            e_phnum: U16::new(e, 0),
            e_shentsize: U16::new(e, size_of::<Shdr>() as u16),
            e_shnum: U16::new(e, if count >= reserve { 0 } else { count as u16 }),
            e_shstrndx: U16::new(
                e,
                e::SymbolSection(if shstrndx >= reserve {
                    abi::SHN_XINDEX
                } else {
                    shstrndx as u16
                }),
            ),
        };
        self.file.rewind().map_err(failed)?;
        self.file.write_all(bytes_of(&header)).map_err(failed)?;
        self.file.flush().map_err(failed)
    }
}
