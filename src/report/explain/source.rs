//! Where code is in the source, by the debug information of one object.
//!
//! Objects are not linked: each section of code is given addresses of its own, and the
//! references of the debug information are resolved with these. Where one of them is of a kind
//! that cannot be resolved so, nothing is known.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "sizes are bounded before they are added; a field has one byte to eight"
)]

use std::collections::BTreeMap;

use addr2line::Context;
use gimli::{AttributeValue, Dwarf, EndianSlice, RunTimeEndian};

use super::Frame;
use crate::arch::RelocClass;
use crate::elf::abi;
use crate::elf::ids::{IdVec, SectionId, Side};
use crate::elf::inflate;
use crate::elf::object::Object;
use crate::kernel::layout::{Class, Layout};

/// Addresses of sections are multiples of this.
const ALIGN: u64 = 4096;

/// What debug information is read from.
pub(super) type Slice<'s> = EndianSlice<'s, RunTimeEndian>;

/// The debug sections of one object with their references resolved, and where its code is put.
pub struct Sections<S> {
    endian: RunTimeEndian,
    contents: BTreeMap<String, Vec<u8>>,
    bases: IdVec<SectionId<S>, u64>,
}

impl<S: Side> Sections<S> {
    /// `None` where there is no debug information, or none that can be read.
    pub fn new(layout: &Layout<'_, S>) -> Option<Self> {
        let object = layout.object;
        let info = gimli::SectionId::DebugInfo.name();
        object.sections().find(|&id| object.section_name(id) == info)?;
        let mut bases = IdVec::filled(0, object.section_count());
        let mut next = ALIGN;
        for id in object.sections() {
            if object.section_flags(id) & abi::SHF_ALLOC != 0 {
                bases[id] = next;
                let size = object.section_size(id).min(u64::MAX >> 16);
                next = next.saturating_add(size.next_multiple_of(ALIGN) + ALIGN);
            }
        }
        let endian = match object.endian() {
            object::Endianness::Little => RunTimeEndian::Little,
            object::Endianness::Big => RunTimeEndian::Big,
        };
        let mut found = Sections { endian, contents: BTreeMap::new(), bases };
        for id in object.sections() {
            let name = object.section_name(id);
            // Of unwinding nothing is asked, and its distances have no place here.
            if layout.class(id) != Class::Debug || object.section_flags(id) & abi::SHF_ALLOC != 0 {
                continue;
            }
            let contents = found.resolved(layout, id)?;
            // Of groups there may be several of one name; the first one is that of all others.
            found.contents.entry(name.to_owned()).or_insert(contents);
        }
        Some(found)
    }

    /// The contents of a section, with its references resolved.
    fn resolved(&self, layout: &Layout<'_, S>, id: SectionId<S>) -> Option<Vec<u8>> {
        let object: &Object<'_, S> = layout.object;
        let mut contents = inflate::contents_of(object, id)?.into_owned();
        for reloc in object.relocs(id).iter() {
            let kind = layout.arch.reloc(reloc.kind).ok()?;
            match kind.class {
                RelocClass::None | RelocClass::Tls => continue,
                RelocClass::Absolute => {}
                _ => return None,
            }
            let base = object.section_of(reloc.symbol).map_or(0, |section| self.bases[section]);
            let value = base.wrapping_add(object.symbol_value(reloc.symbol));
            let value = value.wrapping_add_signed(reloc.addend);
            let width = usize::from(kind.width);
            let bytes = match (self.endian, width) {
                (_, 0 | 9..) => return None,
                (RunTimeEndian::Little, _) => value.to_le_bytes(),
                (RunTimeEndian::Big, _) => value.wrapping_shl(64 - 8 * width as u32).to_be_bytes(),
            };
            let at = usize::try_from(reloc.offset).ok()?;
            let field = contents.get_mut(at..at.checked_add(width)?)?;
            field.copy_from_slice(bytes.get(..width)?);
        }
        Some(contents)
    }

    /// The debug information.
    pub(super) fn dwarf(&self) -> Option<Dwarf<Slice<'_>>> {
        let load = |id: gimli::SectionId| -> Result<Slice<'_>, gimli::Error> {
            let contents = self.contents.get(id.name()).map_or(&[][..], Vec::as_slice);
            Ok(EndianSlice::new(contents, self.endian))
        };
        Dwarf::load(load).ok()
    }

    /// The address that stands for a byte of a section.
    pub(super) fn address(&self, section: SectionId<S>, at: u64) -> u64 {
        self.bases[section].wrapping_add(at)
    }

    /// What can be asked.
    pub fn source(&self) -> Option<Source<'_, S>> {
        let context = Context::from_dwarf(self.dwarf()?).ok()?;
        Some(Source { sections: self, context })
    }

    /// The functions of each source file, by line. Names in files of which anything cannot be
    /// read are left out.
    pub fn functions(&self) -> BTreeMap<String, BTreeMap<u64, String>> {
        let mut found = BTreeMap::new();
        if let Some(dwarf) = self.dwarf() {
            let mut units = dwarf.units();
            while let Ok(Some(header)) = units.next() {
                let _ = dwarf.unit(header).and_then(|unit| in_unit(&dwarf, &unit, &mut found));
            }
        }
        found
    }
}

/// Adds the functions of a unit.
fn in_unit(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
    found: &mut BTreeMap<String, BTreeMap<u64, String>>,
) -> Result<(), gimli::Error> {
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs()? {
        if entry.tag() != gimli::DW_TAG_subprogram || entry.attr(gimli::DW_AT_declaration).is_some()
        {
            continue;
        }
        let name = entry.attr_value(gimli::DW_AT_name);
        let line = entry.attr(gimli::DW_AT_decl_line).and_then(|a| a.udata_value());
        let file = entry.attr_value(gimli::DW_AT_decl_file);
        let (Some(name), Some(line), Some(AttributeValue::FileIndex(file))) = (name, line, file)
        else {
            continue;
        };
        let name = dwarf.attr_string(unit, name)?.to_string_lossy().into_owned();
        if let Some(path) = path(dwarf, unit, file)? {
            found.entry(path).or_default().insert(line, name);
        }
    }
    Ok(())
}

/// The path of a file of a unit's line table, as its folders are written there.
pub(super) fn path(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &gimli::Unit<Slice<'_>>,
    index: u64,
) -> Result<Option<String>, gimli::Error> {
    let Some(program) = &unit.line_program else { return Ok(None) };
    let Some(file) = program.header().file(index) else { return Ok(None) };
    let name = dwarf.attr_string(unit, file.path_name())?.to_string_lossy().into_owned();
    let folder = match file.directory(program.header()) {
        Some(folder) if file.directory_index() != 0 => {
            dwarf.attr_string(unit, folder)?.to_string_lossy().into_owned()
        }
        _ => String::new(),
    };
    Ok(Some(if folder.is_empty() || name.starts_with('/') {
        name
    } else {
        format!("{folder}/{name}")
    }))
}

/// Tells where code of one object is in the source.
pub struct Source<'s, S> {
    sections: &'s Sections<S>,
    context: Context<Slice<'s>>,
}

impl<S: Side> Source<'_, S> {
    /// The place of the code at a byte of a section: the innermost inlined function first.
    pub fn frames(&self, section: SectionId<S>, at: u64) -> Vec<Frame> {
        let address = self.sections.address(section, at);
        let Ok(mut frames) = self.context.find_frames(address).skip_all_loads() else {
            return Vec::new();
        };
        let folder = self.folder(address);
        let mut found = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.and_then(|f| f.raw_name().ok().map(|n| n.into_owned()));
            let (Some(function), Some(location)) = (name, frame.location) else { break };
            let (Some(file), Some(line)) = (location.file, location.line) else { break };
            let inner = folder.as_deref().and_then(|f| file.strip_prefix(f)?.strip_prefix('/'));
            let file = inner.unwrap_or(file).to_owned();
            found.push(Frame { function, file, folder: folder.clone(), line: line.into() });
        }
        found
    }

    /// The folder in which the compiler ran.
    fn folder(&self, address: u64) -> Option<String> {
        let found = self.context.find_dwarf_and_unit(address).skip_all_loads()?;
        Some(found.comp_dir?.to_string_lossy().into_owned())
    }
}
