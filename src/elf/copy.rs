//! The whole of an input object as an output model, for tools that edit it.
//!
//! What the writer makes itself (symbol, string and relocation tables) is left out; all
//! else must be expressible in the model, or the object is refused.

use super::abi;
use super::group;
use super::ids::{Id as _, IdVec, SectionId, Side};
use super::object::{Home, Object, Relocs};
use super::out::{OutHome, OutObject, OutReloc, OutRelocs, OutSection, OutSymbol, OutSymbolIndex};
use crate::diag::{Code, Error, Result};

/// LLVM's list of address-significant symbols, by symbol table index. A tool that renumbers
/// symbols says so by setting sh_link to 0; linkers then ignore the list.
const SHT_LLVM_ADDRSIG: u32 = 0x6fff_4c03;

impl OutObject {
    /// A copy of `object`: sections and symbols in file order, section symbols included,
    /// relocations by ascending offset.
    ///
    /// Fails with [`crate::diag::Class::Broken`], code `unsupported-object`, on section
    /// groups of loaded sections, relocations without addends, program headers, and on
    /// sections that refer to the symbol table in a way that is not understood.
    pub fn from_object<S: Side>(object: &Object<'_, S>) -> Result<OutObject> {
        Self::without(object, |_| false)
    }

    /// [`OutObject::from_object`] without sections that are not loaded, whose relocations have
    /// no addends, and whose name `droppable` is true of: the hints of profiles, which name
    /// the symbols that they are about by relocations.
    pub fn without<S: Side>(
        object: &Object<'_, S>,
        droppable: impl Fn(&str) -> bool,
    ) -> Result<OutObject> {
        copy(object, &droppable).map_err(|e| e.in_file(object.file()))
    }
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::broken(Code::UnsupportedObject, message)
}

fn copy<S: Side>(object: &Object<'_, S>, droppable: &dyn Fn(&str) -> bool) -> Result<OutObject> {
    let header = object.header();
    if header.kind != abi::ET_REL || header.phnum != 0 {
        return Err(unsupported("not a relocatable object")
            .advise("give the .o or .ko file as the linker wrote it with -r"));
    }
    check_total(object)?;
    let places = places(object, droppable)?;
    let mut sections = Vec::new();
    for id in object.sections() {
        if places[id].is_some() {
            sections.push(section(object, id, &places)?);
        }
    }
    let mut symbols = Vec::with_capacity(object.symbol_count());
    for id in object.symbols().skip(1) {
        let symbol = object.symbol(id);
        let home = match symbol.home {
            Home::Undefined => OutHome::Undefined,
            Home::Absolute => OutHome::Reserved(abi::SHN_ABS),
            Home::Common => OutHome::Reserved(abi::SHN_COMMON),
            Home::Reserved(index) => OutHome::Reserved(index),
            // The name of a group that is dissolved.
            Home::Section(section) if object.section_kind(section) == abi::SHT_GROUP => {
                OutHome::Reserved(abi::SHN_ABS)
            }
            Home::Section(section) => OutHome::Section(places[section].ok_or_else(|| {
                unsupported("a symbol is defined in a symbol, string or relocation table")
                    .in_section(object.section_name(section))
                    .at_symbol(symbol.name)
            })?),
        };
        symbols.push(OutSymbol {
            name: symbol.name.to_owned(),
            kind: symbol.kind,
            bind: symbol.bind,
            other: symbol.other,
            home,
            value: symbol.value,
            size: symbol.size,
        });
    }
    Ok(OutObject {
        big_endian: object.endian() == object::Endianness::Big,
        kind: header.kind,
        machine: header.machine,
        flags: header.flags,
        sections,
        symbols,
    })
}

/// Sections of a sane file do not overlap. In a hostile one each of many thousands can be the
/// whole file, and the copy would not fit in memory.
fn check_total<S: Side>(object: &Object<'_, S>) -> Result<()> {
    let mut total = 0u64;
    for id in object.sections() {
        let section = object.section(id);
        total = total.saturating_add(section.data.len() as u64);
        if total > object.file_size() {
            return Err(unsupported("the contents of sections overlap").in_section(section.name));
        }
    }
    Ok(())
}

/// The place in the model of each section; `None` for those the writer makes.
#[expect(clippy::arithmetic_side_effects, reason = "counted up to the number of sections")]
fn places<S: Side>(
    object: &Object<'_, S>,
    droppable: &dyn Fn(&str) -> bool,
) -> Result<IdVec<SectionId<S>, Option<usize>>> {
    // Sections with relocations without addends that may go.
    let mut dropped = IdVec::filled(false, object.section_count());
    for id in object.sections().filter(|&id| object.section_kind(id) == abi::SHT_REL) {
        let base = SectionId::new(object.section(id).info as usize);
        let loaded = object.section_flags(base) & abi::SHF_ALLOC != 0;
        if !loaded && droppable(object.section_name(base)) {
            (dropped[id], dropped[base]) = (true, true);
        }
    }
    let mut places = IdVec::filled(None, object.section_count());
    let made = [
        object.symtab().index(),
        object.section(object.symtab()).link as usize,
        object.section_name_table().index(),
    ];
    let mut next = 0;
    for id in object.sections() {
        let section = object.section(id);
        let refuse = |what: &str| Err(unsupported(what).in_section(section.name));
        match section.kind {
            _ if made.contains(&id.index()) || dropped[id] => continue,
            abi::SHT_SYMTAB_SHNDX => continue,
            abi::SHT_RELA => {
                if section.link as usize != object.symtab().index() {
                    return refuse("a relocation section refers to another symbol table");
                }
                continue;
            }
            abi::SHT_REL => {
                return refuse("relocations without addends (SHT_REL) are not supported")
                    .map_err(|e| e.advise("remove the section with objcopy -R"));
            }
            // Debug information of one type or macro file: nothing counts on its being once.
            abi::SHT_GROUP if !holds_loaded(object, id) => continue,
            abi::SHT_GROUP => {
                return refuse("groups of sections that are loaded (COMDAT) are not supported")
                    .map_err(|e| {
                        e.advise("dissolve them: ld -r --force-group-allocation OBJECT -o NEW")
                    });
            }
            abi::SHT_NULL => return refuse("a section of type SHT_NULL is not supported"),
            _ => {}
        }
        places[id] = Some(next);
        next += 1;
    }
    Ok(places)
}

/// Whether a section group has a member that is loaded, or one that is no section.
fn holds_loaded<S: Side>(object: &Object<'_, S>, id: SectionId<S>) -> bool {
    let is_loaded = |id| object.section_flags(id) & abi::SHF_ALLOC != 0;
    let members = group::group(object, id).map_or(Vec::new(), |group| group.members);
    is_loaded(id)
        || members.into_iter().any(|member| {
            !(1..object.section_count()).contains(&member) || is_loaded(SectionId::new(member))
        })
}

fn section<S: Side>(
    object: &Object<'_, S>,
    id: SectionId<S>,
    places: &IdVec<SectionId<S>, Option<usize>>,
) -> Result<OutSection> {
    let section = object.section(id);
    let refuse = |what: &str| Err(unsupported(what).in_section(section.name));
    let link = match section.link as usize {
        0 => None,
        link if link >= object.section_count() => {
            return refuse("sh_link refers to a section that does not exist");
        }
        link => match places[SectionId::new(link)] {
            Some(place) => Some(place),
            None if section.kind == SHT_LLVM_ADDRSIG => None,
            None => return refuse("sh_link refers to a symbol, string or relocation table"),
        },
    };
    if section.info != 0 {
        return refuse("the meaning of sh_info is not known for this type of section");
    }
    let tables = object.rela_section(id).into_iter().chain(object.livepatch_tables(id));
    let relocs = tables.map(|rela| {
        let header = object.section(rela);
        OutRelocs {
            name: header.name.to_owned(),
            flags: header.flags & !abi::SHF_GROUP,
            entries: entries(object.table_relocs(rela)),
        }
    });
    Ok(OutSection {
        name: section.name.to_owned(),
        kind: section.kind,
        flags: section.flags & !abi::SHF_GROUP,
        align: section.align,
        entsize: section.entsize,
        data: section.data.to_vec(),
        size: section.size,
        link,
        relocs: relocs.collect(),
    })
}

fn entries<S: Side>(relocs: Relocs<'_, S>) -> Vec<OutReloc> {
    relocs
        .iter()
        .map(|reloc| OutReloc {
            offset: reloc.offset,
            kind: reloc.kind,
            // Symbol 0 is implied in the model.
            symbol: reloc.symbol.index().checked_sub(1).map(OutSymbolIndex::new),
            addend: reloc.addend,
        })
        .collect()
}
