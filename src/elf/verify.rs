//! Checks written bytes against the model they were written from.
//!
//! Reads with the `elf` crate, which shares no code with the writer, and compares meanings:
//! indexes are resolved to the things they name before they are compared. The rules of the
//! format that readers rely on (locals first, links between tables, alignment, no overlap)
//! are checked as well.

use std::ops::Range;

use elf::ElfBytes;
use elf::endian::AnyEndian;
use elf::file::Class;
use elf::parse::ParsingTable;
use elf::relocation::RelaIterator;
use elf::section::{SectionHeader, SectionHeaderTable};
use elf::string_table::StringTable;
use elf::symbol::Symbol;
use rayon::prelude::*;

use super::abi;
use super::out::{Model, OutHome, OutObject, OutReloc, OutSymbol, OutSymbolIndex};
use crate::diag::{Code, Error, Result};

/// Compares `bytes` with the model.
///
/// Any difference is an error of class [`crate::diag::Class::Broken`], code
/// `verify-failed`, that names it; it means a bug in the writer or a damaged file.
pub fn verify(model: &dyn Model, bytes: &[u8]) -> Result<()> {
    let object = model.object();
    let written = Written::parse(bytes)?;
    written.check_header(object)?;
    let tasks = written.tasks();
    let sections = written.sections(model, &tasks)?;
    written.check_places(&sections)?;
    let symbols = written.check_symbols(object, &sections)?;
    written.check_relocs(model, &tasks, &sections, &symbols)
}

fn differs(what: impl Into<String>) -> Error {
    Error::broken(Code::VerifyFailed, format!("the written file differs: {}", what.into()))
        .advise("this is a bug or a damaged disk; please report it")
}

/// Checks everything that the tasks have by number; of several errors it is that of the first.
fn in_parallel(
    tasks: &[Range<usize>],
    check: impl Fn(usize) -> Result<()> + Sync + Send,
) -> Result<()> {
    let checks = tasks.par_iter().map(|task| task.clone().try_for_each(&check));
    checks.find_map_first(Result::err).map_or(Ok(()), Err)
}

/// How much work a section or a symbol is beside its bytes.
const OVERHEAD: u64 = 64;

/// Cuts a list into tasks, by how much work each thing is.
#[expect(clippy::arithmetic_side_effects, reason = "counts and places of what is in memory")]
fn tasks(work: impl Iterator<Item = u64>) -> Vec<Range<usize>> {
    const ENOUGH: u64 = 256 * 1024;
    let mut tasks = Vec::new();
    let (mut start, mut end, mut sum) = (0, 0, 0u64);
    for (i, work) in work.enumerate() {
        sum = sum.saturating_add(work);
        if sum >= ENOUGH {
            tasks.push(start..i + 1);
            (start, sum) = (i + 1, 0);
        }
        end = i + 1;
    }
    tasks.push(start..end);
    tasks
}

/// Compares one field.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, model: T, written: T) -> Result<()> {
    if model == written {
        return Ok(());
    }
    Err(differs(format!("{what} is {written:?} instead of {model:?}")))
}

/// What a header index of the file means.
#[derive(Clone, Copy)]
enum Role {
    /// The null section.
    Null,
    /// A section of the model, by its place there.
    Section(usize),
    /// Relocation table of a model section: (its place, which of its tables).
    Relocs(usize, usize),
    /// `.symtab`, `.symtab_shndx`, `.strtab` or `.shstrtab`.
    Table,
}

/// The tables of a written file.
struct Written<'b> {
    bytes: &'b [u8],
    file: ElfBytes<'b, AnyEndian>,
    shdrs: SectionHeaderTable<'b, AnyEndian>,
    section_names: StringTable<'b>,
    shstrndx: usize,
    symtab: usize,
    strtab: usize,
    shndx: Option<usize>,
}

impl<'b> Written<'b> {
    fn parse(bytes: &'b [u8]) -> Result<Self> {
        let unreadable = |e: elf::ParseError| differs(format!("it cannot be read ({e})"));
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(unreadable)?;
        let (shdrs, names) = file.section_headers_with_strtab().map_err(unreadable)?;
        let shdrs = shdrs.ok_or_else(|| differs("no section headers"))?;
        let section_names = names.ok_or_else(|| differs("no section names"))?;
        let first = shdrs.get(0).map_err(unreadable)?;
        let shstrndx = match file.ehdr.e_shstrndx {
            abi::SHN_XINDEX => first.sh_link as usize,
            index => usize::from(index),
        };
        let mut symtab = None;
        let mut shndx = None;
        for (i, shdr) in shdrs.iter().enumerate() {
            let slot = match shdr.sh_type {
                abi::SHT_SYMTAB => &mut symtab,
                abi::SHT_SYMTAB_SHNDX => &mut shndx,
                _ => continue,
            };
            if slot.replace(i).is_some() {
                return Err(differs("a second symbol table"));
            }
        }
        let symtab = symtab.ok_or_else(|| differs("no symbol table"))?;
        let strtab = shdrs.get(symtab).map_err(unreadable)?.sh_link as usize;
        Ok(Written { bytes, file, shdrs, section_names, shstrndx, symtab, strtab, shndx })
    }

    fn check_header(&self, object: &OutObject) -> Result<()> {
        let header = &self.file.ehdr;
        // EI_VERSION to the end: the parser keeps what it understands only.
        let mut ident = [0; 10];
        ident[0] = 1;
        same("e_ident", Some(&ident[..]), self.bytes.get(6..16))?;
        same("the class", Class::ELF64, header.class)?;
        same("big endian", object.big_endian, header.endianness == AnyEndian::Big)?;
        same("e_type", object.kind, header.e_type)?;
        same("e_machine", object.machine, header.e_machine)?;
        same("e_version", 1, header.version)?;
        same("e_flags", object.flags, header.e_flags)?;
        same("e_entry", 0, header.e_entry)?;
        same("e_phoff", 0, header.e_phoff)?;
        same("e_phnum", 0, header.e_phnum)?;
        same("e_phentsize", 0, header.e_phentsize)?;
        same("e_ehsize", 64, header.e_ehsize)?;
        same("e_shentsize", 64, header.e_shentsize)
    }

    fn shdr(&self, index: usize) -> Result<SectionHeader> {
        self.shdrs.get(index).map_err(|_| differs(format!("there is no section {index}")))
    }

    fn name(&self, shdr: &SectionHeader) -> Result<&'b str> {
        self.section_names
            .get(shdr.sh_name as usize)
            .map_err(|_| differs("a section name lies outside the name table"))
    }

    fn contents(&self, shdr: &SectionHeader) -> Result<&'b [u8]> {
        // Not `ElfBytes::section_data`, which hides the header of compressed sections.
        let range = usize::try_from(shdr.sh_offset).ok().zip(usize::try_from(shdr.sh_size).ok());
        range
            .and_then(|(start, size)| self.bytes.get(start..start.checked_add(size)?))
            .ok_or_else(|| differs("a section lies outside the file"))
    }

    /// The sections, those of much more than others apart.
    fn tasks(&self) -> Vec<Range<usize>> {
        tasks(self.shdrs.iter().map(|shdr| shdr.sh_size.saturating_add(OVERHEAD)))
    }

    /// Assigns the file's sections to the model's and compares the headers.
    #[expect(
        clippy::indexing_slicing,
        reason = "roles and places were made for the headers and the model that are compared"
    )]
    #[expect(clippy::arithmetic_side_effects, reason = "counts and places of what is in memory")]
    fn sections(&self, model: &dyn Model, tasks: &[Range<usize>]) -> Result<Vec<Role>> {
        let object = model.object();
        let mut roles = Vec::with_capacity(self.shdrs.len());
        // The model's sections that were seen, by header index.
        let mut homes: Vec<usize> = Vec::with_capacity(object.sections.len());
        let mut tables = vec![0usize; object.sections.len()];
        for (i, shdr) in self.shdrs.iter().enumerate() {
            let role = if i == 0 {
                Role::Null
            } else if [self.symtab, self.strtab, self.shstrndx].contains(&i)
                || self.shndx == Some(i)
            {
                Role::Table
            } else if shdr.sh_type == abi::SHT_RELA {
                // The base stands before its tables, so it is known by now.
                let Some(&Role::Section(base)) = roles.get(shdr.sh_info as usize) else {
                    let error = differs("a relocation table has no base");
                    return Err(error.in_section(self.name(&shdr)?));
                };
                let Some(count) = tables.get_mut(base) else {
                    return Err(differs("there are more sections"));
                };
                let table = *count;
                *count += 1;
                Role::Relocs(base, table)
            } else {
                homes.push(i);
                Role::Section(homes.len() - 1)
            };
            roles.push(role);
        }
        same("the number of sections", object.sections.len(), homes.len())?;
        for (section, &count) in object.sections.iter().zip(&tables) {
            same("the number of relocation tables", section.relocs.len(), count)
                .map_err(|e| e.in_section(&*section.name))?;
        }
        in_parallel(tasks, |i| {
            let shdr = self.shdr(i)?;
            let name = self.name(&shdr)?;
            self.check_section(model, &shdr, roles[i], name, &roles).map_err(|e| e.in_section(name))
        })?;
        Ok(roles)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "roles and places were made for the headers and the model that are compared"
    )]
    #[expect(clippy::arithmetic_side_effects, reason = "counts and places of what is in memory")]
    fn check_section(
        &self,
        model: &dyn Model,
        shdr: &SectionHeader,
        role: Role,
        name: &str,
        roles: &[Role],
    ) -> Result<()> {
        let object = model.object();
        same("sh_addr", 0, shdr.sh_addr)?;
        match role {
            Role::Null => self.check_null(shdr),
            Role::Table => self.check_table(shdr, name),
            Role::Section(place) => {
                let section = &object.sections[place];
                same("the name", section.name.as_str(), name)?;
                same("sh_type", section.kind, shdr.sh_type)?;
                same("sh_flags", section.flags, shdr.sh_flags)?;
                same("sh_addralign", section.align, shdr.sh_addralign)?;
                same("sh_entsize", section.entsize, shdr.sh_entsize)?;
                same("sh_size", section.size, shdr.sh_size)?;
                same("sh_info", 0, shdr.sh_info)?;
                let link = match roles.get(shdr.sh_link as usize) {
                    Some(Role::Null) => None,
                    Some(&Role::Section(link)) => Some(link),
                    _ => return Err(differs("sh_link refers to no section of the model")),
                };
                same("sh_link", section.link, link)?;
                let stored = match shdr.sh_type {
                    abi::SHT_NOBITS => &[],
                    _ => self.contents(shdr)?,
                };
                same("the size", model.stored(place), stored.len() as u64)?;
                let mut at = 0;
                model.contents(place, &mut |expected| {
                    let written = stored.get(at..at + expected.len()).unwrap_or(&[]);
                    if written != expected {
                        let first = written.iter().zip(expected).position(|(a, b)| a != b);
                        return Err(
                            differs("the contents").at_offset((at + first.unwrap_or(0)) as u64)
                        );
                    }
                    at += expected.len();
                    Ok(())
                })
            }
            Role::Relocs(base, table) => {
                let expected = &object.sections[base].relocs[table];
                same("the name", expected.name.as_str(), name)?;
                same("sh_flags", expected.flags, shdr.sh_flags)?;
                same("sh_addralign", 8, shdr.sh_addralign)?;
                same("sh_entsize", 24, shdr.sh_entsize)?;
                same("sh_link", self.symtab, shdr.sh_link as usize)
            }
        }
    }

    fn check_null(&self, shdr: &SectionHeader) -> Result<()> {
        let many = self.shdrs.len() >= usize::from(abi::SHN_LORESERVE);
        let expected = SectionHeader {
            sh_name: 0,
            sh_type: abi::SHT_NULL,
            sh_flags: 0,
            sh_addr: 0,
            sh_offset: 0,
            sh_size: if many { self.shdrs.len() as u64 } else { 0 },
            sh_link: if self.file.ehdr.e_shstrndx == abi::SHN_XINDEX {
                self.shstrndx as u32
            } else {
                0
            },
            sh_info: 0,
            sh_addralign: 0,
            sh_entsize: 0,
        };
        same("the null section", &expected, shdr)
    }

    fn check_table(&self, shdr: &SectionHeader, name: &str) -> Result<()> {
        let (wanted, align, entsize, link) = match shdr.sh_type {
            abi::SHT_SYMTAB => (".symtab", 8, 24, self.strtab),
            abi::SHT_SYMTAB_SHNDX => (".symtab_shndx", 4, 4, self.symtab),
            abi::SHT_STRTAB if self.shdr(self.shstrndx)? == *shdr => (".shstrtab", 1, 0, 0),
            abi::SHT_STRTAB => (".strtab", 1, 0, 0),
            kind => return Err(differs(format!("a string table has type {kind}"))),
        };
        same("the name", wanted, name)?;
        same("sh_flags", 0, shdr.sh_flags)?;
        same("sh_addralign", align, shdr.sh_addralign)?;
        same("sh_entsize", entsize, shdr.sh_entsize)?;
        same("sh_link", link, shdr.sh_link as usize)?;
        if shdr.sh_type != abi::SHT_SYMTAB {
            same("sh_info", 0, shdr.sh_info)?;
        }
        Ok(())
    }

    /// Contents follow each other in header order, aligned and apart; the header table is last.
    fn check_places(&self, roles: &[Role]) -> Result<()> {
        let mut end = 64;
        for (shdr, role) in self.shdrs.iter().zip(roles) {
            if matches!(role, Role::Null) {
                continue;
            }
            let size = if shdr.sh_type == abi::SHT_NOBITS { 0 } else { shdr.sh_size };
            let align = shdr.sh_addralign.clamp(1, 4096);
            let after = shdr.sh_offset.saturating_add(size);
            if shdr.sh_offset < end || !shdr.sh_offset.is_multiple_of(align) {
                return Err(differs("the contents overlap or are not aligned")
                    .in_section(self.name(&shdr)?));
            }
            end = after;
        }
        let shoff = self.file.ehdr.e_shoff;
        let shdrs = (self.shdrs.len() as u64).checked_mul(64);
        let total = shdrs.and_then(|s| shoff.checked_add(s));
        if shoff < end || !shoff.is_multiple_of(8) || total != Some(self.bytes.len() as u64) {
            return Err(differs("the section header table is not at the end"));
        }
        Ok(())
    }

    /// Compares the symbol table; returns for each symbol of the file its place in the model.
    #[expect(
        clippy::indexing_slicing,
        reason = "roles and places were made for the headers and the model that are compared"
    )]
    #[expect(clippy::arithmetic_side_effects, reason = "counts and places of what is in memory")]
    fn check_symbols(&self, object: &OutObject, roles: &[Role]) -> Result<Vec<Option<usize>>> {
        let header = self.shdr(self.symtab)?;
        let (symbols, names) = self
            .file
            .symbol_table()
            .map_err(|e| differs(format!("the symbol table cannot be read ({e})")))?
            .ok_or_else(|| differs("no symbol table"))?;
        same("the number of symbols", object.symbols.len() + 1, symbols.len())?;
        let extended = match self.shndx {
            Some(index) => {
                let data = self.contents(&self.shdr(index)?)?;
                let table =
                    ParsingTable::<_, u32>::new(self.file.ehdr.endianness, Class::ELF64, data);
                same("the size of .symtab_shndx", symbols.len(), table.len())?;
                Some(table)
            }
            None => None,
        };
        let local = |s: &OutSymbol| s.bind == abi::STB_LOCAL;
        let file = |s: &OutSymbol| s.kind == abi::STT_FILE;
        let function = |s: &OutSymbol| s.kind == abi::STT_FUNC;
        let all = || object.symbols.iter().enumerate();
        // Passes over the model, in the order in which symbols are written: over each file's part of the
        // LOCAL symbols, then over the others. A single file has all of them.
        let mut starts: Vec<usize> =
            all().filter(|(_, s)| local(s) && file(s)).map(|(i, _)| i).collect();
        if starts.len() < 2 {
            starts.clear();
        }
        let from = std::iter::once(0).chain(starts.iter().copied());
        let to = starts.iter().copied().chain([object.symbols.len()]);
        let mut expected: Vec<Option<usize>> = vec![None];
        for (from, to) in from.zip(to) {
            let part = || all().take(to).skip(from).filter(|(_, s)| local(s));
            let picks: [&dyn Fn(&OutSymbol) -> bool; 3] =
                [&file, &function, &|s: &OutSymbol| !file(s) && !function(s)];
            for pick in picks {
                expected.extend(part().filter(|(_, s)| pick(s)).map(|(i, _)| Some(i)));
            }
        }
        expected.extend(all().filter(|(_, s)| !local(s)).map(|(i, _)| Some(i)));
        let locals = object.symbols.iter().filter(|s| local(s)).count() + 1;
        same("the number of local symbols", locals, header.sh_info as usize)?;
        in_parallel(&tasks(expected.iter().map(|_| OVERHEAD)), |i| {
            let symbol = symbols.get(i).map_err(|_| differs("a symbol is missing"))?;
            let name = names
                .get(symbol.st_name as usize)
                .map_err(|_| differs("a symbol name lies outside the name table"))?;
            let xindex = match &extended {
                Some(table) => {
                    table.get(i).map_err(|_| differs("an extended section index is missing"))?
                }
                None => 0,
            };
            let written = written_symbol(&symbol, xindex, roles)?;
            let model = expected[i].map(|place| &object.symbols[place]);
            check_symbol(model, name, &written).map_err(|e| e.at_symbol(name))
        })?;
        Ok(expected)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "roles and places were made for the headers and the model that are compared"
    )]
    fn check_relocs(
        &self,
        model: &dyn Model,
        tasks: &[Range<usize>],
        roles: &[Role],
        symbols: &[Option<usize>],
    ) -> Result<()> {
        in_parallel(tasks, |i| {
            let Role::Relocs(base, table) = roles[i] else { return Ok(()) };
            self.check_table_entries(&self.shdr(i)?, model, (base, table), symbols)
                .map_err(|e| e.in_section(&*model.object().sections[base].relocs[table].name))
        })
    }

    #[expect(clippy::arithmetic_side_effects, reason = "counts and places of what is in memory")]
    fn check_table_entries(
        &self,
        shdr: &SectionHeader,
        model: &dyn Model,
        (base, table): (usize, usize),
        symbols: &[Option<usize>],
    ) -> Result<()> {
        let count = model.reloc_count(base, table);
        same("the size", count as u64 * 24, shdr.sh_size)?;
        // Not `ElfBytes::section_data_as_relas`, which takes damaged flags for a compression.
        let endian = self.file.ehdr.endianness;
        let mut entries = RelaIterator::new(endian, Class::ELF64, self.contents(shdr)?);
        let mut compared = 0;
        model.relocs(base, table, &mut |expected| {
            for expected in expected {
                let Some(written) = entries.next() else { break };
                let symbol = *symbols.get(written.r_sym as usize).ok_or_else(|| {
                    differs("a relocation refers to a symbol that does not exist")
                })?;
                let written = OutReloc {
                    offset: written.r_offset,
                    kind: written.r_type,
                    symbol: symbol.map(OutSymbolIndex::new),
                    addend: written.r_addend,
                };
                same("a relocation", expected, &written)
                    .map_err(|e| e.at_offset(expected.offset))?;
                compared += 1;
            }
            Ok(())
        })?;
        same("the number of relocations", count, compared)
    }
}

/// A symbol of the file in the model's terms.
///
/// Its name is left out.
fn written_symbol(symbol: &Symbol, xindex: u32, roles: &[Role]) -> Result<OutSymbol> {
    let index = match symbol.st_shndx {
        abi::SHN_XINDEX => Some(xindex as usize),
        _ if xindex != 0 => return Err(differs("an extended section index is not used")),
        index if index >= abi::SHN_LORESERVE => None,
        index => Some(usize::from(index)),
    };
    let home = match index {
        None => OutHome::Reserved(symbol.st_shndx),
        Some(index) => match roles.get(index) {
            Some(Role::Null) => OutHome::Undefined,
            Some(&Role::Section(place)) => OutHome::Section(place),
            _ => return Err(differs("a symbol is not in a section of the model")),
        },
    };
    Ok(OutSymbol {
        name: String::new(),
        kind: symbol.st_symtype(),
        bind: symbol.st_bind(),
        other: symbol.st_other,
        home,
        value: symbol.st_value,
        size: symbol.st_size,
    })
}

fn check_symbol(model: Option<&OutSymbol>, found: &str, written: &OutSymbol) -> Result<()> {
    let null = OutSymbol {
        name: String::new(),
        kind: abi::STT_NOTYPE,
        bind: abi::STB_LOCAL,
        other: 0,
        home: OutHome::Undefined,
        value: 0,
        size: 0,
    };
    let model = model.unwrap_or(&null);
    let name = if model.kind == abi::STT_SECTION { "" } else { model.name.as_str() };
    same("the name", name, found)?;
    same("the type", model.kind, written.kind)?;
    same("the binding", model.bind, written.bind)?;
    same("st_other", model.other, written.other)?;
    same("the section", model.home, written.home)?;
    same("st_value", model.value, written.value)?;
    same("st_size", model.size, written.size)
}
