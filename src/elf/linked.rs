//! A linked ELF file (vmlinux) or a module, read by a second, independent reader.
//!
//! [`Linked::parse`] copies out what is looked at often, the section headers and the symbol
//! table; contents stay in the file. Format: System V gABI, chapters 4 and 5.

use std::sync::OnceLock;

use elf::ElfBytes;
use elf::endian::AnyEndian;
use rayon::prelude::*;

use super::abi;
use crate::diag::{Code, Error, Result};

/// ET_REL: addresses are offsets in sections.
const ET_REL: u16 = 1;
/// ET_EXEC and ET_DYN: what a linked kernel is.
const LINKED: [u16; 2] = [2, 3];

/// A section of a linked file.
#[derive(Clone, Copy, Debug)]
pub struct LinkedSection<'d> {
    /// Name.
    pub name: &'d str,
    /// SHT_*.
    pub kind: u32,
    /// SHF_*.
    pub flags: u64,
    /// sh_addr; 0 in a module.
    pub addr: u64,
    /// sh_size in bytes.
    pub size: u64,
    /// sh_addralign.
    pub align: u64,
    /// sh_info: of a relocation section, the section it is for.
    pub info: u32,
    /// Contents; empty for SHT_NOBITS.
    pub data: &'d [u8],
}

/// A symbol of a linked file.
#[derive(Clone, Copy, Debug)]
pub struct LinkedSymbol<'d> {
    /// Name.
    pub name: &'d str,
    /// st_value: an address; in a module an offset in its section.
    pub value: u64,
    /// st_size in bytes.
    pub size: u64,
    /// STT_*.
    pub kind: u8,
    /// STB_*.
    pub bind: u8,
    /// STV_*.
    pub visibility: u8,
    /// Section index, or one of the reserved ones such as SHN_ABS.
    pub section: u32,
}

/// A relocation that a module leaves to the loader.
#[derive(Clone, Copy, Debug)]
pub struct LinkedReloc {
    /// Section index of the relocated field.
    pub section: u32,
    /// Byte offset there.
    pub offset: u64,
    /// Machine-specific type.
    pub kind: u32,
    /// Symbol index.
    pub symbol: u32,
    /// Addend.
    pub addend: i64,
}

/// A linked file. Borrows its bytes.
pub struct Linked<'d> {
    file: String,
    /// e_machine.
    pub machine: u16,
    /// Integers in the file are little-endian.
    pub little_endian: bool,
    relocatable: bool,
    sections: Vec<LinkedSection<'d>>,
    symbols: Vec<LinkedSymbol<'d>>,
    /// Loaded sections with contents or room, by address.
    by_addr: Vec<u32>,
    /// Relocations of loaded sections by (section, offset); made when first asked for.
    relocs: OnceLock<Vec<LinkedReloc>>,
}

fn bad(message: impl Into<String>) -> Error {
    Error::broken(Code::MalformedElf, message)
}

fn malformed(error: elf::ParseError) -> Error {
    bad(format!("not a well-formed ELF file: {error}"))
}

/// Section number `index`, called `name`.
fn section<'d>(
    data: &'d [u8],
    index: usize,
    name: &'d str,
    header: &elf::section::SectionHeader,
) -> Result<LinkedSection<'d>> {
    let contents = if header.sh_type == abi::SHT_NOBITS || header.sh_type == abi::SHT_NULL {
        Some(&[][..])
    } else {
        usize::try_from(header.sh_offset)
            .ok()
            .zip(usize::try_from(header.sh_size).ok())
            .and_then(|(at, size)| data.get(at..at.checked_add(size)?))
    };
    let contents = contents.ok_or_else(|| {
        bad(format!("the contents of section {index} lie outside the file")).in_section(name)
    })?;
    if header.sh_addr.checked_add(header.sh_size).is_none() {
        return Err(bad("a section wraps around the address space").in_section(name));
    }
    Ok(LinkedSection {
        name,
        kind: header.sh_type,
        flags: header.sh_flags,
        addr: header.sh_addr,
        size: header.sh_size,
        align: header.sh_addralign,
        info: header.sh_info,
        data: contents,
    })
}

/// All symbols of a file that has `sections`.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the section begins at or before the address; indexes times four lie within what is in memory"
)]
fn symbols<'d>(
    elf: &ElfBytes<'d, AnyEndian>,
    sections: &[LinkedSection<'d>],
) -> Result<Vec<LinkedSymbol<'d>>> {
    let (table, strings) = elf.symbol_table().map_err(malformed)?.ok_or_else(|| {
        bad("missing symbol table").advise(
            "the file was stripped: take the unstripped vmlinux or the one of the debug package",
        )
    })?;
    let extended = sections.iter().find(|s| s.kind == abi::SHT_SYMTAB_SHNDX).map(|s| s.data);
    let symbol = |i: usize| {
        let raw = table.get(i).map_err(malformed)?;
        let name = strings.get(raw.st_name as usize).map_err(|e| {
            bad(format!("the name of a symbol cannot be read: {e}")).at_symbol(format!("#{i}"))
        })?;
        let section = if raw.st_shndx == abi::SHN_XINDEX {
            let bytes = extended.and_then(|d| d.get(i * 4..)?.first_chunk::<4>());
            let bytes = bytes
                .ok_or_else(|| bad("a symbol's section index cannot be read").at_symbol(name))?;
            match elf.ehdr.endianness {
                AnyEndian::Little => u32::from_le_bytes(*bytes),
                AnyEndian::Big => u32::from_be_bytes(*bytes),
            }
        } else {
            u32::from(raw.st_shndx)
        };
        Ok(LinkedSymbol {
            name,
            value: raw.st_value,
            size: raw.st_size,
            kind: raw.st_symtype(),
            bind: raw.st_bind(),
            visibility: raw.st_vis(),
            section,
        })
    };
    (0..table.len()).into_par_iter().with_min_len(4096).map(symbol).collect()
}

impl<'d> Linked<'d> {
    /// Reads `data`, which was loaded from `file`. Fails on anything that is not a
    /// well-formed 64-bit ELF file with a symbol table.
    pub fn parse(file: &str, data: &'d [u8]) -> Result<Self> {
        Self::parse_inner(file, data).map_err(|e| e.in_file(file))
    }

    fn parse_inner(file: &str, data: &'d [u8]) -> Result<Self> {
        if !abi::is_elf(data) {
            return Err(bad("not an ELF file")
                .advise("give the linked kernel (vmlinux) or module (NAME.ko) itself"));
        }
        let elf = ElfBytes::<AnyEndian>::minimal_parse(data).map_err(malformed)?;
        if elf.ehdr.class != elf::file::Class::ELF64 {
            return Err(bad("not a 64-bit ELF file"));
        }
        let relocatable = elf.ehdr.e_type == ET_REL;
        if !relocatable && !LINKED.contains(&elf.ehdr.e_type) {
            return Err(bad(format!(
                "neither a linked kernel nor a module: e_type is {}",
                elf.ehdr.e_type
            ))
            .advise(
                "give the vmlinux file of the kernel's build or of its debug package, or NAME.ko",
            ));
        }
        let (headers, names) = elf.section_headers_with_strtab().map_err(malformed)?;
        let (headers, names) = match (headers, names) {
            (Some(headers), Some(names)) => (headers, names),
            _ => return Err(bad("the file has no section headers")),
        };
        let sections = headers.iter().enumerate().map(|(i, header)| {
            let name = names.get(header.sh_name as usize).map_err(malformed)?;
            section(data, i, name, &header)
        });
        let sections = sections.collect::<Result<Vec<_>>>()?;
        let symbols = symbols(&elf, &sections)?;
        let loaded = |s: &LinkedSection<'_>| {
            s.flags & abi::SHF_ALLOC != 0 && s.flags & abi::SHF_TLS == 0 && s.size > 0
        };
        let mut by_addr: Vec<u32> =
            (0u32..).zip(&sections).filter(|(_, s)| loaded(s)).map(|(i, _)| i).collect();
        by_addr.sort_by_key(|&i| sections.get(i as usize).map(|s| s.addr));
        Ok(Linked {
            file: file.to_owned(),
            machine: elf.ehdr.e_machine,
            little_endian: matches!(elf.ehdr.endianness, AnyEndian::Little),
            relocatable,
            sections,
            symbols,
            by_addr,
            relocs: OnceLock::new(),
        })
    }

    /// The relocations that section `index` holds, in its order; none for other sections.
    fn relocs_in(&self, index: usize) -> impl Iterator<Item = LinkedReloc> + '_ {
        let section = self.sections.get(index).filter(|s| s.kind == abi::SHT_RELA);
        let (section, data) = section.map_or((0, &[][..]), |s| (s.info, s.data));
        data.as_chunks::<24>().0.iter().map(move |raw| {
            let info = self.integer(&raw[8..16]);
            LinkedReloc {
                section,
                offset: self.integer(&raw[..8]),
                kind: info as u32,
                symbol: (info >> 32) as u32,
                addend: self.integer(&raw[16..]) as i64,
            }
        })
    }

    /// The relocations of the section called `name`, in file order.
    pub fn relocs_of(&self, name: &str) -> Vec<LinkedReloc> {
        let of = |s: &LinkedSection<'_>| {
            let home = self.sections.get(s.info as usize);
            s.kind == abi::SHT_RELA && home.is_some_and(|home| home.name == name)
        };
        let found = self.sections.iter().enumerate().filter(|(_, s)| of(s));
        found.flat_map(|(i, _)| self.relocs_in(i)).collect()
    }

    /// The relocations of a loaded section of a module at one offset.
    pub fn relocs_at(&self, section: u32, offset: u64) -> &[LinkedReloc] {
        let all = self.relocs.get_or_init(|| {
            let loaded = |s: &LinkedSection<'_>| {
                let home = self.sections.get(s.info as usize);
                home.is_some_and(|home| home.flags & abi::SHF_ALLOC != 0)
            };
            let kept = self.sections.iter().enumerate().filter(|(_, s)| loaded(s));
            let mut all: Vec<LinkedReloc> = kept.flat_map(|(i, _)| self.relocs_in(i)).collect();
            all.par_sort_by_key(|r| (r.section, r.offset));
            all
        });
        let place = (section, offset);
        let from = all.partition_point(|r| (r.section, r.offset) < place);
        let behind = all.get(from..).unwrap_or_default();
        let count = behind.partition_point(|r| (r.section, r.offset) == place);
        behind.get(..count).unwrap_or_default()
    }

    /// Path the file was read from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether addresses are offsets in sections: a module.
    pub fn is_relocatable(&self) -> bool {
        self.relocatable
    }

    /// All sections, the null section first.
    pub fn sections(&self) -> &[LinkedSection<'d>] {
        &self.sections
    }

    /// The first section called `name`.
    pub fn section_named(&self, name: &str) -> Option<&LinkedSection<'d>> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// All symbols, the null symbol first.
    pub fn symbols(&self) -> &[LinkedSymbol<'d>] {
        &self.symbols
    }

    /// The contents from `addr` to the end of its section; in a module `addr` is an offset
    /// in section `section`. `None` where nothing is stored.
    pub fn bytes_from(&self, section: u32, addr: u64) -> Option<&'d [u8]> {
        let named = self.sections.get(section as usize).filter(|_| section != 0);
        let offset = |s: &LinkedSection<'d>| addr.checked_sub(s.addr).filter(|&o| o < s.size);
        let found = if self.relocatable {
            let data = named?.data;
            return data.get(usize::try_from(addr).ok()?..);
        } else {
            // A symbol at the end of its section belongs to the next one.
            named.filter(|s| offset(s).is_some()).or_else(|| self.section_at(addr))?
        };
        found.data.get(usize::try_from(offset(found)?).ok()?..)
    }

    /// The loaded section that holds address `addr` of a linked kernel.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "the section begins at or before the address; indexes times four lie within what is in memory"
    )]
    pub fn section_at(&self, addr: u64) -> Option<&LinkedSection<'d>> {
        if self.relocatable {
            return None;
        }
        let section = |i: u32| self.sections.get(i as usize);
        let behind = self.by_addr.partition_point(|&i| section(i).is_some_and(|s| s.addr <= addr));
        let section = self.by_addr.get(behind.checked_sub(1)?).and_then(|&i| section(i))?;
        (addr - section.addr < section.size).then_some(section)
    }

    /// Little- or big-endian integer of up to 8 bytes, as the file has them.
    pub fn integer(&self, bytes: &[u8]) -> u64 {
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        if self.little_endian {
            bytes.iter().rev().fold(0, fold)
        } else {
            bytes.iter().fold(0, fold)
        }
    }
}
