//! Sizes of structs from DWARF (DWARF 5, section 5.7), for images without BTF.
//!
//! All entries are passed over once, whatever their nesting; only structs are looked at.

#![expect(clippy::arithmetic_side_effects, reason = "a field has at most eight bytes")]

use std::borrow::Cow;

use gimli::{AttributeValue, DebugInfoUnitHeadersIter, Dwarf, EndianSlice, RunTimeEndian};
use rayon::prelude::*;

use crate::arch::{Arch, RelocClass};
use crate::diag::{Code, Error, Result};
use crate::elf::inflate::contents;
use crate::elf::linked::Linked;
use crate::kernel::btf::STRUCTS;

type Slice<'s> = EndianSlice<'s, RunTimeEndian>;

/// The sizes in bytes of the structs of the kernel's tables, by the names of
/// [`crate::kernel::knowledge::tables::StructSizes`]; none where there is no DWARF, and none for a name that structs of different sizes have. Fails on malformed
/// DWARF.
pub fn struct_sizes(elf: &Linked<'_>, arch: &Arch) -> Result<Vec<(&'static str, u64)>> {
    let Some(info) = elf.section_named(".debug_info") else { return Ok(Vec::new()) };
    if info.data.is_empty() {
        return Ok(Vec::new());
    }
    let endian = if elf.little_endian { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let names = [
        ".debug_info",
        ".debug_abbrev",
        ".debug_str",
        // Not needed here, but a unit without the line table it names is malformed.
        ".debug_line",
        ".debug_line_str",
        ".debug_str_offsets",
        ".debug_addr",
        // Units begin with a reference to it.
        ".debug_line",
    ];
    let contents =
        names.iter().map(|name| relocated(elf, arch, name)).collect::<Result<Vec<_>>>()?;
    let load = |id: gimli::SectionId| -> std::result::Result<Slice<'_>, gimli::Error> {
        let mut all = names.iter().zip(&contents);
        let found = all.find(|(name, _)| **name == id.name());
        Ok(EndianSlice::new(found.map_or(&[][..], |(_, contents)| contents), endian))
    };
    read(&load).map_err(|e| {
        Error::broken(Code::MalformedDwarf, format!("the type information cannot be read: {e}"))
            .in_section(".debug_info")
    })
}

/// The contents of a section; those of a module with its own relocations done.
fn relocated<'d>(elf: &Linked<'d>, arch: &Arch, name: &str) -> Result<Cow<'d, [u8]>> {
    let Some(section) = elf.section_named(name) else {
        return Ok(Cow::Borrowed(&[]));
    };
    let mut contents = contents(elf, section)?;
    if !elf.is_relocatable() {
        return Ok(contents);
    }
    for reloc in elf.relocs_of(name) {
        let Ok(kind) = arch.reloc(reloc.kind) else { continue };
        let Some(symbol) = elf.symbols().get(reloc.symbol as usize) else { continue };
        let value = symbol.value.wrapping_add_signed(reloc.addend);
        let (width, at) = (usize::from(kind.width), reloc.offset as usize);
        if kind.class != RelocClass::Absolute || !matches!(width, 4 | 8) {
            continue;
        }
        let bytes = if elf.little_endian {
            value.to_le_bytes()
        } else {
            value.wrapping_shl(64 - 8 * width as u32).to_be_bytes()
        };
        let end = at.checked_add(width);
        if let Some(field) = end.and_then(|end| contents.to_mut().get_mut(at..end)) {
            field.iter_mut().zip(bytes).for_each(|(byte, new)| *byte = new);
        }
    }
    Ok(contents)
}

fn read<'s>(
    load: &(impl Fn(gimli::SectionId) -> std::result::Result<Slice<'s>, gimli::Error> + Sync),
) -> std::result::Result<Vec<(&'static str, u64)>, gimli::Error> {
    let dwarf = Dwarf::load(load)?;
    let mut headers = Vec::new();
    let mut units: DebugInfoUnitHeadersIter<Slice<'s>> = dwarf.units();
    while let Some(header) = units.next()? {
        headers.push(header);
    }
    let found: Vec<Vec<(&'static str, u64)>> = headers
        .into_par_iter()
        .map(|header| in_unit(&dwarf, header))
        .collect::<std::result::Result<_, gimli::Error>>()?;
    let mut sizes: Vec<(&'static str, u64)> = found.into_iter().flatten().collect();
    sizes.sort_unstable();
    sizes.dedup();
    let of_name = sizes.chunk_by(|a, b| a.0 == b.0);
    let only = |sizes: &[(&'static str, u64)]| match sizes {
        [size] => Some(*size),
        _ => None,
    };
    Ok(of_name.filter_map(only).collect())
}

fn in_unit<'s>(
    dwarf: &Dwarf<Slice<'s>>,
    header: gimli::UnitHeader<Slice<'s>>,
) -> std::result::Result<Vec<(&'static str, u64)>, gimli::Error> {
    let unit = dwarf.unit(header)?;
    let mut entries = unit.entries_raw(None)?;
    let mut sizes = Vec::new();
    while !entries.is_empty() {
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        if abbreviation.tag() != gimli::DW_TAG_structure_type {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        let (mut name, mut size) = (None, None);
        for &spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(spec)?;
            match attribute.name() {
                gimli::DW_AT_name => name = Some(attribute.value()),
                gimli::DW_AT_byte_size => size = attribute.udata_value(),
                _ => {}
            }
        }
        let (Some(name), Some(size)) = (name, size.filter(|&size| size > 0)) else { continue };
        let known = text(dwarf, &unit, name)?;
        if let Some(&(_, variable)) = STRUCTS.iter().find(|(n, _)| n.as_bytes() == known) {
            sizes.push((variable, size));
        }
    }
    Ok(sizes)
}

fn text<'s>(
    dwarf: &Dwarf<Slice<'s>>,
    unit: &gimli::Unit<Slice<'s>>,
    value: AttributeValue<Slice<'s>>,
) -> std::result::Result<&'s [u8], gimli::Error> {
    Ok(dwarf.attr_string(unit, value)?.slice())
}
