//! The written file as the second reader sees it, in either flavour.
//!
//! Reads with the `elf` crate. What livepatch is asked for is brought into one form: kpatch's
//! tables (`.kpatch.relocations`, `.kpatch.symbols`) and the kernel's own form
//! (`.klp.rela.OBJECT.SECTION`, `.klp.sym.OBJECT.NAME,POSITION`; Linux
//! Documentation/livepatch/module-elf-format.rst) become references like the others.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows and stretches are within sections, which are in memory"
)]

use elf::ElfBytes;
use elf::endian::AnyEndian;
use elf::file::Class;
use elf::relocation::{Rela, RelaIterator};
use elf::section::SectionHeader;
use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::{differs, names};
use crate::diag::Result;
use crate::elf::abi;
use crate::patch::format::klp::{SymbolName, TABLE_FLAGS, table_parts};
use crate::patch::format::kpatch::{RelocationRow, SymbolRow};

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    pub name: &'a str,
    pub kind: u32,
    pub flags: u64,
    pub align: u64,
    pub entsize: u64,
    pub link: u32,
    pub info: u32,
    pub size: u64,
    /// Contents; empty for SHT_NOBITS.
    pub data: &'a [u8],
    /// Flags of its ordinary relocation table.
    pub relocs: Option<u64>,
}

impl Section<'_> {
    /// Whether nothing but SHF_INFO_LINK is said of its relocations.
    pub fn has_plain_relocs(&self) -> bool {
        self.relocs.is_none_or(|flags| flags == abi::SHF_INFO_LINK)
    }
}

/// Where a symbol of the file is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Undefined,
    Section(u32),
    Reserved(u16),
}

/// A symbol of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol<'a> {
    pub name: &'a str,
    pub kind: u8,
    pub bind: u8,
    pub other: u8,
    pub home: Home,
    pub value: u64,
    pub size: u64,
}

/// Who a reference is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// A symbol of the file, by index.
    Symbol(u32),
    /// What livepatch is asked for, by place in [`Written::asked`].
    Asked(u32),
}

/// A relocation, whoever applies it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub offset: u64,
    pub kind: u32,
    pub to: To,
    pub addend: i64,
}

/// A symbol that livepatch is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The object that is patched when the relocation is applied.
    pub patched: &'a str,
    /// The object that has the symbol.
    pub object: &'a str,
    pub name: &'a str,
    pub position: u64,
    pub bind: u8,
    pub kind: u8,
    /// Of kpatch's tables: the address, and whether it is an export.
    pub more: Option<(u64, bool)>,
}

/// A written file.
pub(super) struct Written<'a> {
    pub big_endian: bool,
    pub kind: u16,
    pub machine: u16,
    pub flags: u32,
    pub sections: Vec<Section<'a>>,
    pub symbols: Vec<Symbol<'a>>,
    pub asked: Vec<Asked<'a>>,
    /// It is in the form of `klp-build`.
    pub is_klp_build: bool,
    /// The relocation type of all pointers in kpatch's tables of what livepatch resolves.
    pub pointer_kind: Option<u32>,
    /// Of each section, by offset.
    pub(super) refs: Vec<Vec<Reference>>,
    /// The section of a name; `None` where there are several.
    by_name: IndexMap<&'a str, Option<u32>, RandomState>,
}

fn by_name<'a>(sections: &[Section<'a>]) -> IndexMap<&'a str, Option<u32>, RandomState> {
    let mut found = IndexMap::with_capacity_and_hasher(sections.len(), RandomState::default());
    for (number, section) in (0..).zip(sections) {
        let twice = found.contains_key(section.name);
        found.insert(section.name, Some(number).filter(|_| !twice));
    }
    found
}

/// Bytes of a row of kpatch's tables of what livepatch resolves.
const ROW: u64 = RelocationRow::LAYOUT.size;
const _: () = assert!(ROW == SymbolRow::LAYOUT.size);

impl<'a> Written<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let unreadable = |e: elf::ParseError| differs(format!("it cannot be read ({e})"));
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(unreadable)?;
        let (headers, names) = file.section_headers_with_strtab().map_err(unreadable)?;
        let (Some(headers), Some(names)) = (headers, names) else {
            return Err(differs("it has no sections"));
        };
        let mut sections = Vec::with_capacity(headers.len());
        for header in headers {
            let name = names.get(header.sh_name as usize).map_err(unreadable)?;
            sections.push(Section {
                name,
                kind: header.sh_type,
                flags: header.sh_flags,
                align: header.sh_addralign,
                entsize: header.sh_entsize,
                link: header.sh_link,
                info: header.sh_info,
                size: header.sh_size,
                data: contents(bytes, &header).map_err(|e| e.in_section(name))?,
                relocs: None,
            });
        }
        let mut written = Written {
            big_endian: file.ehdr.endianness == AnyEndian::Big,
            kind: file.ehdr.e_type,
            machine: file.ehdr.e_machine,
            flags: file.ehdr.e_flags,
            symbols: symbols(&file, &sections)?,
            refs: vec![Vec::new(); sections.len()],
            asked: Vec::new(),
            is_klp_build: false,
            pointer_kind: None,
            by_name: by_name(&sections),
            sections,
        };
        written.read_relocs(file.ehdr.endianness)?;
        Ok(written)
    }

    /// The references of a section, by offset.
    pub fn refs(&self, section: u32) -> &[Reference] {
        self.refs.get(section as usize).map_or(&[], |refs| refs)
    }

    /// The references of bytes `start..end` of a section.
    pub fn within(&self, section: u32, start: u64, end: u64) -> &[Reference] {
        let refs = self.refs(section);
        let place = |offset| refs.partition_point(|r| r.offset < offset);
        refs.get(place(start)..place(end)).unwrap_or_default()
    }

    /// A section; an empty one for a number that there is not.
    pub fn section(&self, section: u32) -> Section<'a> {
        const NONE: Section<'_> = Section {
            name: "",
            kind: abi::SHT_NULL,
            flags: 0,
            align: 0,
            entsize: 0,
            link: 0,
            info: 0,
            size: 0,
            data: &[],
            relocs: None,
        };
        self.sections.get(section as usize).copied().unwrap_or(NONE)
    }

    /// The only section of a name; `None` without one.
    pub fn only(&self, name: &str) -> Result<Option<u32>> {
        match self.by_name.get(name) {
            Some(Some(section)) => Ok(Some(*section)),
            Some(None) => Err(differs("there are two sections of this name").in_section(name)),
            None => Ok(None),
        }
    }

    /// The symbol of a reference.
    pub fn symbol(&self, index: u32) -> Result<Symbol<'a>> {
        let symbol = self.symbols.get(index as usize).copied();
        symbol.ok_or_else(|| differs("a relocation refers to a symbol that does not exist"))
    }

    /// The section and offset that a symbol and an addend mean.
    pub fn place(&self, index: u32, addend: i64) -> Result<Option<(u32, i64)>> {
        let symbol = self.symbol(index)?;
        let Home::Section(section) = symbol.home else { return Ok(None) };
        Ok(Some((section, (symbol.value.cast_signed()).wrapping_add(addend))))
    }

    /// The string at a place.
    pub fn string(&self, section: u32, at: u64) -> Option<&'a str> {
        let rest = self.section(section).data.get(usize::try_from(at).ok()?..)?;
        let end = memchr::memchr(0, rest)?;
        std::str::from_utf8(rest.get(..end)?).ok()
    }

    /// The number of four or eight bytes at a place.
    pub fn number<const N: usize>(&self, section: u32, at: u64) -> Option<u64> {
        let rest = self.section(section).data.get(usize::try_from(at).ok()?..)?;
        let bytes = rest.first_chunk::<N>()?;
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        Some(match self.big_endian {
            true => bytes.iter().fold(0, fold),
            false => bytes.iter().rev().fold(0, fold),
        })
    }

    /// What a row at a place says beside its pointers.
    pub fn row<T>(&self, section: u32, at: u64, decode: fn(&[u8], bool) -> Option<T>) -> Option<T> {
        decode(self.section(section).data.get(usize::try_from(at).ok()?..)?, self.big_endian)
    }

    fn read_relocs(&mut self, endian: AnyEndian) -> Result<()> {
        let tables: Vec<Section<'a>> =
            self.sections.iter().filter(|s| s.kind == abi::SHT_RELA).copied().collect();
        let mut known: IndexMap<(u32, &str), u32, RandomState> = IndexMap::default();
        let mut late = Vec::new();
        for table in tables {
            let base = self.section(table.info);
            let linked = self.section(table.link).kind == abi::SHT_SYMTAB;
            if base.kind == abi::SHT_NULL || !linked || table.flags & abi::SHF_INFO_LINK == 0 {
                let error = differs("a relocation table belongs to no section or symbol table");
                return Err(error.in_section(table.name));
            }
            let plain = table.flags & abi::SHF_RELA_LIVEPATCH == 0;
            if let Some(base) = self.sections.get_mut(table.info as usize)
                && plain
                && base.relocs.replace(table.flags).is_some()
            {
                return Err(differs("it has two relocation tables").in_section(base.name));
            }
            let entries = RelaIterator::new(endian, Class::ELF64, table.data);
            if names::RESOLVED.contains(&base.name) {
                late.push((table.info, entries));
                continue;
            }
            let patched = match table.flags & abi::SHF_RELA_LIVEPATCH {
                0 => None,
                _ => Some(patched_object(&table, base.name)?),
            };
            for entry in entries {
                let to = match patched {
                    None => To::Symbol(entry.r_sym),
                    Some(patched) => {
                        let next = self.asked.len() as u32;
                        let place = *known.entry((entry.r_sym, patched)).or_insert(next);
                        if place == next {
                            let asked = self.klp_symbol(entry.r_sym, patched)?;
                            self.asked.push(asked);
                        }
                        To::Asked(place)
                    }
                };
                self.add(table.info, &entry, to);
            }
        }
        self.read_tables(late)?;
        for refs in &mut self.refs {
            if !refs.is_sorted_by_key(|r| (r.offset, r.kind)) {
                refs.sort_by_key(|r| (r.offset, r.kind));
            }
        }
        self.read_klp_build()
    }

    fn add(&mut self, section: u32, entry: &Rela, to: To) {
        let &Rela { r_offset: offset, r_type: kind, r_addend: addend, .. } = entry;
        if let Some(refs) = self.refs.get_mut(section as usize) {
            refs.push(Reference { offset, kind, to, addend });
        }
    }

    /// What a `.klp.sym.OBJECT.NAME,POSITION` asks for.
    fn klp_symbol(&self, index: u32, patched: &'a str) -> Result<Asked<'a>> {
        let symbol = self.symbol(index)?;
        let parsed = SymbolName::decode(symbol.name);
        let livepatch = symbol.home == Home::Reserved(abi::SHN_LIVEPATCH)
            && (symbol.value, symbol.size, symbol.other) == (0, 0, 0);
        let Some(SymbolName { object, name, position }) = parsed.filter(|_| livepatch) else {
            return Err(differs("livepatch cannot find this symbol").at_symbol(symbol.name));
        };
        let Symbol { bind, kind, .. } = symbol;
        Ok(Asked { patched, object, name, position, bind, kind, more: None })
    }

    /// Reads kpatch's tables.
    fn read_tables(&mut self, tables: Vec<(u32, RelaIterator<'a, AnyEndian>)>) -> Result<()> {
        let [relocations, symbols] = names::RESOLVED;
        let (Some(relocations), Some(symbols)) = (self.only(relocations)?, self.only(symbols)?)
        else {
            return Ok(());
        };
        let strings = self.only(names::STRINGS)?;
        let rows = self.section(symbols).size / ROW;
        if [relocations, symbols].iter().any(|&s| self.section(s).size != rows * ROW) {
            return Err(differs("the tables have not one row each").in_section(names::RESOLVED[0]));
        }
        let pointers = self.read_pointers((relocations, symbols, strings), rows, tables)?;
        self.pointer_kind = pointers.kind;
        let mut found = Vec::with_capacity(rows as usize);
        for row in 0..rows {
            let asked = self.read_kpatch_row((relocations, symbols, strings), &pointers, row);
            let bad = || {
                let error = differs("a row is not complete").in_section(names::RESOLVED[0]);
                error.at_offset(row * ROW)
            };
            found.push(asked.ok_or_else(bad)?);
        }
        for ((asked, kind, addend), &(section, offset)) in found.into_iter().zip(&pointers.dests) {
            let to = To::Asked(self.asked.len() as u32);
            self.asked.push(asked);
            let entry = Rela { r_offset: offset, r_sym: 0, r_type: kind, r_addend: addend };
            self.add(section, &entry, to);
        }
        Ok(())
    }

    /// What the pointers of kpatch's tables refer to.
    fn read_pointers(
        &self,
        (relocations, symbols, strings): (u32, u32, Option<u32>),
        rows: u64,
        tables: Vec<(u32, RelaIterator<'a, AnyEndian>)>,
    ) -> Result<Pointers> {
        let none = || vec![None; rows as usize];
        let mut pointers = Pointers {
            dests: vec![(0, 0); rows as usize],
            owners: none(),
            meant: none(),
            names: none(),
            objects: none(),
            kind: None,
        };
        for (section, entries) in tables {
            for entry in entries {
                let (row, field) = ((entry.r_offset / ROW) as usize, entry.r_offset % ROW);
                let place = self.place(entry.r_sym, entry.r_addend)?;
                let place = place.and_then(|(s, at)| Some((s, u64::try_from(at).ok()?)));
                let bad = || {
                    differs("a pointer refers to nothing, or is there twice")
                        .in_section(self.section(section).name)
                        .at_offset(entry.r_offset)
                };
                let (home, at) = place.ok_or_else(bad)?;
                if *pointers.kind.get_or_insert(entry.r_type) != entry.r_type {
                    return Err(bad());
                }
                let in_strings = || Some(at).filter(|_| Some(home) == strings);
                let (slot, value) = match (section == relocations, field) {
                    (true, RelocationRow::PLACE) => {
                        let dests = &mut pointers.dests;
                        let slot = dests.get_mut(row).filter(|d| d.0 == 0).ok_or_else(bad)?;
                        *slot = (home, at);
                        continue;
                    }
                    (true, RelocationRow::OBJECT) => (pointers.owners.get_mut(row), in_strings()),
                    (true, RelocationRow::SYMBOL) => {
                        let is_row = home == symbols && at.is_multiple_of(ROW);
                        (pointers.meant.get_mut(row), Some(at / ROW).filter(|_| is_row))
                    }
                    (false, SymbolRow::NAME) => (pointers.names.get_mut(row), in_strings()),
                    (false, SymbolRow::OBJECT) => (pointers.objects.get_mut(row), in_strings()),
                    _ => return Err(bad()),
                };
                let slot = slot.filter(|s| s.is_none()).ok_or_else(bad)?;
                *slot = Some(value.ok_or_else(bad)?);
            }
        }
        Ok(pointers)
    }

    /// What a row asks for, with the type and the addend of the relocation; `None` when something
    /// of it is not there.
    fn read_kpatch_row(
        &self,
        (relocations, symbols, strings): (u32, u32, Option<u32>),
        pointers: &Pointers,
        row: u64,
    ) -> Option<(Asked<'a>, u32, i64)> {
        let text = |list: &[Option<u64>], row: u64| {
            let at = list.get(usize::try_from(row).ok()?).copied().flatten();
            self.string(strings?, at?)
        };
        let meant = pointers.meant.get(usize::try_from(row).ok()?).copied().flatten()?;
        let RelocationRow { kind, external, addend } =
            self.row(relocations, row * ROW, RelocationRow::decode)?;
        let symbol = self.row(symbols, meant * ROW, SymbolRow::decode)?;
        let asked = Asked {
            patched: text(&pointers.owners, row)?,
            object: text(&pointers.objects, meant)?,
            name: text(&pointers.names, meant)?,
            position: symbol.position,
            bind: symbol.bind,
            kind: symbol.kind,
            more: Some((symbol.address, external != 0)),
        };
        Some((asked, kind, addend))
    }
}

/// What the pointers of kpatch's tables refer to, by row.
struct Pointers {
    /// The place that a relocation applies to: section and offset.
    dests: Vec<(u32, u64)>,
    /// Of relocations: where the name of the patched object is among the strings.
    owners: Vec<Option<u64>>,
    /// Of relocations: the row of the symbol.
    meant: Vec<Option<u64>>,
    /// Of symbols: where the name is among the strings.
    names: Vec<Option<u64>>,
    /// Of symbols: where the name of the object that has it is.
    objects: Vec<Option<u64>>,
    /// The one relocation type of all of them.
    kind: Option<u32>,
}

/// The object whose patching applies a table: `.klp.rela.OBJECT.SECTION`.
fn patched_object<'a>(table: &Section<'a>, base: &str) -> Result<&'a str> {
    let rest = table_parts(table.name);
    let named =
        rest.filter(|(_, section)| *section == base || base.strip_prefix('.') == Some(section));
    match named {
        Some((object, section)) if section == base && table.flags == TABLE_FLAGS => Ok(object),
        _ => Err(differs("a table of livepatch has another name or flags").in_section(table.name)),
    }
}

fn contents<'a>(bytes: &'a [u8], header: &SectionHeader) -> Result<&'a [u8]> {
    if matches!(header.sh_type, abi::SHT_NOBITS | abi::SHT_NULL) {
        return Ok(&[]);
    }
    let range = usize::try_from(header.sh_offset).ok().zip(usize::try_from(header.sh_size).ok());
    range
        .and_then(|(start, size)| bytes.get(start..start.checked_add(size)?))
        .ok_or_else(|| differs("a section lies outside the file"))
}

fn symbols<'a>(
    file: &ElfBytes<'a, AnyEndian>,
    sections: &[Section<'a>],
) -> Result<Vec<Symbol<'a>>> {
    let unreadable = |e: elf::ParseError| differs(format!("it cannot be read ({e})"));
    let tables = file.symbol_table().map_err(unreadable)?;
    let (symbols, names) = tables.ok_or_else(|| differs("it has no symbol table"))?;
    let extended = sections.iter().find(|s| s.kind == abi::SHT_SYMTAB_SHNDX).map(|s| s.data);
    let big = file.ehdr.endianness == AnyEndian::Big;
    let mut found = Vec::with_capacity(symbols.len());
    for (i, symbol) in symbols.iter().enumerate() {
        let home = match symbol.st_shndx {
            abi::SHN_UNDEF => Home::Undefined,
            abi::SHN_XINDEX => {
                let bytes = extended.and_then(|d| d.get(i * 4..)?.first_chunk::<4>());
                let bytes = *bytes.ok_or_else(|| differs("a symbol has no section"))?;
                let index = if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
                Home::Section(index)
            }
            index if index >= abi::SHN_LORESERVE => Home::Reserved(index),
            index => Home::Section(index.into()),
        };
        found.push(Symbol {
            name: names.get(symbol.st_name as usize).map_err(unreadable)?,
            kind: symbol.st_symtype(),
            bind: symbol.st_bind(),
            other: symbol.st_other,
            home,
            value: symbol.st_value,
            size: symbol.st_size,
        });
    }
    Ok(found)
}
