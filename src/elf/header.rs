//! The parts of a file that say where all else is: header, name tables, extended indexes.

use object::elf::{ELFMAG, FileHeader64, SectionHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, U32};

use super::abi;
use super::search::position;
use super::unpack::packer;
use crate::diag::{Code, Error, Result};

/// Header fields that two objects must share to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// e_ident.
    pub ident: [u8; 16],
    /// e_type.
    pub kind: u16,
    /// e_machine.
    pub machine: u16,
    /// e_version.
    pub version: u32,
    /// e_entry.
    pub entry: u64,
    /// e_phoff.
    pub phoff: u64,
    /// e_flags.
    pub flags: u32,
    /// e_ehsize.
    pub ehsize: u16,
    /// e_phentsize.
    pub phentsize: u16,
    /// e_shentsize.
    pub shentsize: u16,
    /// e_phnum.
    pub phnum: u16,
}

impl Header {
    /// The first field that is another one in `other`, with both values.
    pub fn first_difference(&self, other: &Header) -> Option<(&'static str, String, String)> {
        let fields = |header: &Header| {
            let bytes = header.ident.map(|byte| format!("{byte:02x}")).join(" ");
            let hex = |value: u64| format!("{value:#x}");
            [
                ("e_ident", bytes),
                ("e_type", hex(header.kind.into())),
                ("e_machine", hex(header.machine.into())),
                ("e_version", hex(header.version.into())),
                ("e_entry", hex(header.entry)),
                ("e_phoff", hex(header.phoff)),
                ("e_flags", hex(header.flags.into())),
                ("e_ehsize", hex(header.ehsize.into())),
                ("e_phentsize", hex(header.phentsize.into())),
                ("e_shentsize", hex(header.shentsize.into())),
                ("e_phnum", hex(header.phnum.into())),
            ]
        };
        let pairs = fields(self).into_iter().zip(fields(other));
        pairs.map(|((name, before), (_, after))| (name, before, after)).find(|(_, b, a)| b != a)
    }
}

/// Types of linked files, from the ELF specification.
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const ET_CORE: u16 = 4;

pub(super) fn bad(message: impl Into<String>) -> Error {
    Error::broken(Code::MalformedElf, message)
}

/// The string starting at `offset` in a table that ends with NUL.
#[inline]
pub(super) fn cstr(table: &str, offset: usize) -> Option<&str> {
    let rest = table.get(offset..)?;
    rest.get(..position(0, rest.as_bytes())?)
}

/// Whether [`cstr`] finds a string at `offset` of a table that ends with NUL.
#[inline]
pub(super) fn holds(table: &str, offset: usize) -> bool {
    offset < table.len() && table.is_char_boundary(offset)
}

pub(super) fn string_table<'d>(
    shdr: &SectionHeader64<Endianness>,
    endian: Endianness,
    data: &'d [u8],
    what: &str,
) -> Result<&'d str> {
    let bytes = shdr
        .data(endian, data)
        .map_err(|_| bad(format!("the table of {what} lies outside the file")))?;
    if bytes.last() != Some(&0) {
        return Err(bad(format!("the table of {what} does not end with NUL")));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        bad(format!("the table of {what} is not UTF-8")).at_offset(e.valid_up_to() as u64)
    })
}

/// Largest alignment of a section that is believed: the kernel's sections have a huge page's, at
/// most, and what is written with one takes as much room.
const MOST_ALIGNED: u64 = 1 << 24;

/// The names of the sections of an object, which are checked with all that their headers say of the file.
pub(super) fn read_names<'d>(
    header: &Header,
    shdrs: &[SectionHeader64<Endianness>],
    shstrndx: usize,
    endian: Endianness,
    data: &'d [u8],
) -> Result<&'d str> {
    check_kind(header)?;
    let header = shdrs
        .get(shstrndx)
        .filter(|_| shstrndx != 0)
        .ok_or_else(|| bad("e_shstrndx does not name a section: the file has no section names"))?;
    let names = string_table(header, endian, data, "section names")?;
    check_sections(shdrs, endian, data, names)?;
    Ok(names)
}

/// Fails when a section's name or contents lie outside the file, or its alignment is none.
fn check_sections(
    shdrs: &[SectionHeader64<Endianness>],
    endian: Endianness,
    data: &[u8],
    names: &str,
) -> Result<()> {
    for (i, shdr) in shdrs.iter().enumerate() {
        let name = shdr.sh_name.get(endian) as usize;
        if !holds(names, name) {
            return Err(bad(format!("section {i} has a name outside the name table")));
        }
        let name = || cstr(names, name).unwrap_or("");
        let align = shdr.sh_addralign.get(endian);
        if align > MOST_ALIGNED || (align > 1 && !align.is_power_of_two()) {
            return Err(bad(format!(
                "the alignment {align:#x} is no power of two up to {MOST_ALIGNED:#x}"
            ))
            .in_section(name()));
        }
        if shdr.data(endian, data).is_err() {
            return Err(bad("the contents lie outside the file")
                .in_section(name())
                .at_offset(shdr.sh_offset.get(endian)));
        }
    }
    Ok(())
}

/// Fails on what a linker has finished.
fn check_kind(header: &Header) -> Result<()> {
    let what = match header.kind {
        abi::ET_REL => return Ok(()),
        ET_EXEC => "a linked program or kernel",
        ET_DYN => "a linked program or shared library",
        ET_CORE => "the memory of a program that crashed",
        _ => "of a type that is unknown here",
    };
    let message = format!("the file is no relocatable object: it is {what}");
    Err(Error::broken(Code::LinkedFile, message)
        .advise("give the objects (.o) that the compiler or ld -r wrote"))
}

pub(super) type RawHeader<'d> = (Endianness, Header, &'d [SectionHeader64<Endianness>], usize);

pub(super) fn read_header(data: &[u8]) -> Result<RawHeader<'_>> {
    if data.is_empty() {
        return Err(bad("the file is empty").advise("was the compiler interrupted?"));
    }
    if !data.starts_with(&ELFMAG) {
        let advice = if data.starts_with(b"BC\xc0\xde") || data.starts_with(b"\xde\xc0\x17\x0b") {
            "this is LLVM bitcode: give the native objects that ld.lld --lto-obj-path writes"
        } else if data.starts_with(b"!<arch>") || data.starts_with(b"!<thin>") {
            "this is an archive: give its members"
        } else if packer(data).is_some() {
            "the file is compressed: unpack it first"
        } else {
            "a relocatable object (.o) is needed"
        };
        return Err(bad("not an ELF file").advise(advice));
    }
    let raw = FileHeader64::<Endianness>::parse(data).map_err(|_| {
        bad("not a complete 64-bit ELF header").advise("32-bit objects are not supported")
    })?;
    let endian = raw.endian().map_err(|_| bad("unknown byte order"))?;
    let shdrs = raw.section_headers(endian, data).map_err(|_| {
        bad("the section header table lies outside the file").advise("is the file truncated?")
    })?;
    if shdrs.is_empty() {
        return Err(bad("the file has no sections"));
    }
    let shstrndx = raw.shstrndx(endian, data).map_err(|_| bad("e_shstrndx cannot be read"))?;
    let ident = *data.first_chunk().ok_or_else(|| bad("not a complete 64-bit ELF header"))?;
    let header = Header {
        ident,
        kind: raw.e_type.get(endian).0,
        machine: raw.e_machine.get(endian).0,
        version: raw.e_version.get(endian),
        entry: raw.e_entry.get(endian),
        phoff: raw.e_phoff.get(endian),
        flags: raw.e_flags.get(endian).0,
        ehsize: raw.e_ehsize.get(endian),
        phentsize: raw.e_phentsize.get(endian),
        shentsize: raw.e_shentsize.get(endian),
        phnum: raw.e_phnum.get(endian),
    };
    Ok((endian, header, shdrs, shstrndx as usize))
}

pub(super) fn read_shndx<'d>(
    shdrs: &'d [SectionHeader64<Endianness>],
    endian: Endianness,
    data: &'d [u8],
    symtab: usize,
    symbols: usize,
) -> Result<&'d [U32<Endianness>]> {
    let found = shdrs.iter().find(|s| {
        s.sh_type.get(endian).0 == abi::SHT_SYMTAB_SHNDX && s.sh_link.get(endian) as usize == symtab
    });
    let Some(shdr) = found else { return Ok(&[]) };
    let table: &[U32<Endianness>] = shdr
        .data_as_array(endian, data)
        .map_err(|_| bad("the table of extended section indexes has a wrong size"))?;
    if table.len() != symbols {
        return Err(bad(
            "the table of extended section indexes and the symbol table differ in length",
        ));
    }
    Ok(table)
}
