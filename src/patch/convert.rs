//! From a linked module with kpatch's tables to a livepatch module (create-klp-module).
//!
//! The `.kpatch.symbols` and `.kpatch.relocations` tables list what the module loader must
//! not resolve, because it lives in an object that may be loaded later or is not exported.
//! They become the form the kernel understands itself (Linux
//! Documentation/livepatch/module-elf-format.rst): symbols `.klp.sym.OBJECT.NAME,POSITION`
//! with section index SHN_LIVEPATCH, and relocation tables `.klp.rela.OBJECT.SECTION` with
//! SHF_RELA_LIVEPATCH. Rows and names are read and written in `patch::format`.

#![expect(
    clippy::indexing_slicing,
    reason = "indexes are of sections and symbols of this object, which its reader has checked"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows are within their table, and places in joined sections are checked to have 32 bits"
)]

use indexmap::IndexMap;

use super::format::klp::{SymbolName, TABLE_FLAGS, table_name};
use super::format::kpatch::{ArchRow, Layout, RelocationRow, SymbolRow};
use super::tables::{Draft, Resolved};
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::Side;
use crate::elf::object::Object;
use crate::elf::out::{
    OutHome, OutObject, OutReloc, OutRelocs, OutSection, OutSectionIndex, OutSymbol, OutSymbolIndex,
};
use crate::kernel::knowledge::{livepatch, sections};

pub(super) type Map<K, V> = IndexMap<K, V, foldhash::fast::RandomState>;

/// Choices of the caller.
#[derive(Clone, Copy, Debug)]
pub struct ConvertOptions {
    /// Turn the sections that `.kpatch.arch` lists into `.klp.arch.OBJECT.SECTION`, which
    /// kernels before 5.8 apply when the object is loaded. Without it they stay as they are.
    pub klp_arch_sections: bool,
}

/// The livepatch module made of the kpatch module `object`.
///
/// `para_struct_size` is the size in bytes of one `.parainstructions` row; needed when
/// `.kpatch.arch` lists such a section. Fails with [`crate::diag::Class::Broken`], code
/// `bad-kpatch-table`, on tables that are missing, damaged or contradict each other, and
/// with the codes of [`OutObject::from_object`].
pub fn to_klp_module<S: Side>(
    object: &Object<'_, S>,
    options: &ConvertOptions,
    para_struct_size: Option<u64>,
) -> Result<OutObject> {
    OutObject::from_object(object)
        .and_then(|out| convert(out, options, para_struct_size))
        .map_err(|e| e.in_file(object.file()))
}

/// [`to_klp_module`] on a model: the klp flavour of what [`super::build`] makes.
///
/// The result is final. `ld -r` turns SHN_LIVEPATCH into SHN_ABS and drops
/// SHF_RELA_LIVEPATCH, so only the kpatch flavour can be linked.
pub fn convert(
    object: OutObject,
    options: &ConvertOptions,
    para_struct_size: Option<u64>,
) -> Result<OutObject> {
    let tables = Tables::read(&object)?;
    with_tables(object, tables, options, para_struct_size)
}

/// The klp flavour of a draft: of what was resolved for it, without making tables of that first.
pub fn of_draft(draft: Draft) -> Result<OutObject> {
    let tables = Tables::of(&draft)?;
    with_tables(draft.object, tables, &ConvertOptions { klp_arch_sections: false }, None)
}

fn with_tables(
    mut object: OutObject,
    tables: Tables,
    options: &ConvertOptions,
    para_struct_size: Option<u64>,
) -> Result<OutObject> {
    let mut removed = vec![false; object.sections.len()];
    for section in tables.sections {
        removed[section] = true;
    }
    if tables.relocations.iter().any(|r| removed[r.section]) {
        return Err(bad("a relocation applies to a section that is removed")
            .in_section(livepatch::RELOCATIONS));
    }
    let mut moved = Map::default();
    if options.klp_arch_sections {
        moved = move_arch_sections(&mut object, &tables.arch, para_struct_size)?;
        for &section in moved.keys() {
            removed[section] = true;
        }
    }
    add_klp_relocations(&mut object, tables.relocations, &moved)?;
    removed.resize(object.sections.len(), false);
    remove_sections(object, &removed)
}

pub(super) fn bad(message: impl Into<String>) -> Error {
    Error::broken(Code::BadKpatchTable, message)
}

/// A symbol that is resolved when its object is patched.
#[derive(Clone)]
pub(super) struct Ksym {
    pub(super) object: String,
    pub(super) name: String,
    pub(super) position: u64,
    pub(super) bind: u8,
    pub(super) kind: u8,
}

impl Ksym {
    /// The name that the kernel finds it by.
    pub(super) fn livepatch_name(&self) -> String {
        let Ksym { object, name, position, .. } = self;
        SymbolName { object, name, position: *position }.encode()
    }
}

/// A relocation that is applied when its object is patched.
#[derive(Clone)]
pub(super) struct Krela {
    pub(super) section: OutSectionIndex,
    pub(super) offset: u64,
    pub(super) kind: u32,
    pub(super) addend: i64,
    pub(super) object: String,
    pub(super) symbol: Ksym,
}

/// A section that is applied when its object is patched.
struct Karch {
    section: OutSectionIndex,
    object: String,
}

/// What kpatch's tables say.
pub(super) struct Tables {
    pub(super) relocations: Vec<Krela>,
    arch: Vec<Karch>,
    /// The tables themselves; they are no part of the result.
    pub(super) sections: Vec<OutSectionIndex>,
}

impl Tables {
    pub(super) fn read(object: &OutObject) -> Result<Tables> {
        let names =
            [livepatch::STRINGS, livepatch::SYMBOLS, livepatch::RELOCATIONS, livepatch::ARCH];
        let mut found = [None; 4];
        for (i, section) in object.sections.iter().enumerate() {
            let Some(n) = names.iter().position(|&n| n == section.name) else { continue };
            if found[n].replace(i).is_some() {
                return Err(bad("there are two sections of this name").in_section(names[n]));
            }
        }
        let need = |n: usize| {
            found[n].ok_or_else(|| {
                bad(format!("missing {}", names[n]))
                    .advise("is this the output of a link with create-diff-object's output?")
            })
        };
        let strings = need(0)?;
        let symbols = KpatchTable::new(object, need(1)?, &SymbolRow::LAYOUT, strings)?;
        let relocations = KpatchTable::new(object, need(2)?, &RelocationRow::LAYOUT, strings)?;
        if symbols.rows != relocations.rows {
            return Err(bad("number of krelas and ksyms do not match"));
        }
        let arch = found[3]
            .map(|arch| KpatchTable::new(object, arch, &ArchRow::LAYOUT, strings))
            .transpose()?;
        let ksyms: Vec<Ksym> =
            (0..symbols.rows).map(|row| ksym(&symbols, row)).collect::<Result<_>>()?;
        Ok(Tables {
            relocations: (0..relocations.rows)
                .map(|row| krela(&relocations, row, symbols.index, &ksyms))
                .collect::<Result<_>>()?,
            arch: match &arch {
                Some(table) => {
                    (0..table.rows).map(|row| karch(table, row)).collect::<Result<_>>()?
                }
                None => Vec::new(),
            },
            sections: [Some(symbols.index), Some(relocations.index), arch.map(|a| a.index)]
                .into_iter()
                .flatten()
                .collect(),
        })
    }
}

impl Tables {
    /// What the tables of a draft will say, checked as when they are read.
    pub(super) fn of(draft: &Draft) -> Result<Tables> {
        let symbol = |(row, resolved): (u64, &Resolved<'_>)| {
            let SymbolRow { position, bind, kind, .. } = resolved.symbol;
            check_kind(row, &resolved.symbol)?;
            let object = object_name(&SymbolRow::LAYOUT, row, SymbolRow::OBJECT, resolved.object)?;
            Ok(Ksym { object, name: resolved.name.to_owned(), position, bind, kind })
        };
        let resolved: Vec<Resolved<'_>> = draft.resolved().collect();
        let symbols = (0..).zip(&resolved).map(symbol).collect::<Result<Vec<Ksym>>>()?;
        let relocation = |(row, (resolved, symbol)): (u64, (Resolved<'_>, Ksym))| {
            let Resolved { home: section, offset, patched, relocation, .. } = resolved;
            check_place(&draft.object.sections[section], row, offset)?;
            let RelocationRow { kind, addend, .. } = relocation;
            let layout = &RelocationRow::LAYOUT;
            let object = object_name(layout, row, RelocationRow::OBJECT, patched)?;
            Ok(Krela { section, offset, kind, addend, object, symbol })
        };
        let relocations = (0..).zip(resolved.into_iter().zip(symbols)).map(relocation);
        Ok(Tables {
            relocations: relocations.collect::<Result<_>>()?,
            arch: Vec::new(),
            sections: draft.tables().to_vec(),
        })
    }

    /// Another of kpatch's tables, by its name.
    pub(super) fn rows<'o>(
        object: &'o OutObject,
        layout: &Layout,
    ) -> Result<Option<KpatchTable<'o>>> {
        let place = |name: &str| object.sections.iter().position(|s| s.name == name);
        let found = (place(layout.section), place(livepatch::STRINGS));
        let (Some(index), Some(strings)) = found else { return Ok(None) };
        KpatchTable::new(object, index, layout, strings).map(Some)
    }
}

/// What is wrong at a field of a row.
fn bad_field(layout: &Layout, row: u64, field: u64, message: impl Into<String>) -> Error {
    bad(message).in_section(layout.section).at_offset(row * layout.size + field)
}

/// Fails for a symbol that no symbol table can hold.
fn check_kind(row: u64, symbol: &SymbolRow) -> Result<()> {
    if symbol.bind > 15 || symbol.kind > 15 {
        let what = "the type or binding of a symbol is out of range";
        return Err(bad_field(&SymbolRow::LAYOUT, row, SymbolRow::BIND, what));
    }
    Ok(())
}

/// Fails for a relocation of what is not there.
fn check_place(base: &OutSection, row: u64, offset: u64) -> Result<()> {
    if offset >= base.size {
        let what = format!("the destination lies behind the end of {}", base.name);
        return Err(bad_field(&RelocationRow::LAYOUT, row, RelocationRow::PLACE, what));
    }
    Ok(())
}

/// The name of the kernel object that a field refers to. The kernel takes it from in between two
/// dots of a longer name.
fn object_name(layout: &Layout, row: u64, field: u64, name: &str) -> Result<String> {
    match name {
        "" => Err(bad_field(layout, row, field, "the name of an object is empty")),
        name if name.contains('.') => {
            let what = format!("the object name {name} contains a dot");
            Err(bad_field(layout, row, field, what).advise(
                "the kernel could not tell where it ends; give a module's name, not its file's",
            ))
        }
        name => Ok(name.to_owned()),
    }
}

fn ksym(table: &KpatchTable<'_>, row: u64) -> Result<Ksym> {
    let symbol = table.row(row, SymbolRow::decode)?;
    check_kind(row, &symbol)?;
    let SymbolRow { position, bind, kind, .. } = symbol;
    Ok(Ksym {
        object: table.object_name(row, SymbolRow::OBJECT)?,
        name: table.string(row, SymbolRow::NAME)?.to_owned(),
        position,
        bind,
        kind,
    })
}

fn krela(
    table: &KpatchTable<'_>,
    row: u64,
    symbols: OutSectionIndex,
    ksyms: &[Ksym],
) -> Result<Krela> {
    let (section, offset) = table.target(row, RelocationRow::PLACE)?;
    check_place(&table.object.sections[section], row, offset)?;
    let (home, at) = table.target(row, RelocationRow::SYMBOL)?;
    let size = SymbolRow::LAYOUT.size;
    let ksym = (home == symbols && at.is_multiple_of(size))
        .then(|| ksyms.get(usize::try_from(at / size).ok()?))
        .flatten()
        .ok_or_else(|| {
            table.bad(row, RelocationRow::SYMBOL, "the symbol is no row of .kpatch.symbols")
        })?;
    let RelocationRow { kind, addend, .. } = table.row(row, RelocationRow::decode)?;
    Ok(Krela {
        section,
        offset,
        kind,
        addend,
        object: table.object_name(row, RelocationRow::OBJECT)?,
        symbol: ksym.clone(),
    })
}

fn karch(table: &KpatchTable<'_>, row: u64) -> Result<Karch> {
    let (section, _) = table.target(row, ArchRow::SECTION)?;
    Ok(Karch { section, object: table.object_name(row, ArchRow::OBJECT)? })
}

/// A table of fixed-size rows whose pointers are relocations.
pub(super) struct KpatchTable<'o> {
    object: &'o OutObject,
    index: OutSectionIndex,
    section: &'o OutSection,
    layout: Layout,
    pub(super) rows: u64,
    strings: OutSectionIndex,
    /// Relocations by offset.
    pointers: Vec<OutReloc>,
}

impl<'o> KpatchTable<'o> {
    fn new(
        object: &'o OutObject,
        index: OutSectionIndex,
        layout: &Layout,
        strings: OutSectionIndex,
    ) -> Result<KpatchTable<'o>> {
        let (section, layout) = (&object.sections[index], layout.clone());
        let row_size = layout.size;
        let size = section.data.len() as u64;
        if section.kind == abi::SHT_NOBITS || !size.is_multiple_of(row_size) {
            return Err(
                bad(format!("the size is no multiple of {row_size}")).in_section(&*section.name)
            );
        }
        let mut pointers: Vec<OutReloc> =
            section.relocs.iter().flat_map(|r| &r.entries).copied().collect();
        pointers.sort_by_key(|r| r.offset);
        Ok(KpatchTable { object, index, section, layout, rows: size / row_size, strings, pointers })
    }

    fn bad(&self, row: u64, field: u64, message: impl Into<String>) -> Error {
        bad_field(&self.layout, row, field, message)
    }

    /// What a row says beside its pointers.
    pub(super) fn row<T>(&self, row: u64, decode: fn(&[u8], bool) -> Option<T>) -> Result<T> {
        let at = (row * self.layout.size) as usize;
        let data = self.section.data.get(at..);
        let found = data.and_then(|data| decode(data, self.object.big_endian));
        found.ok_or_else(|| self.bad(row, 0, "the row is cut short"))
    }

    /// The section and the offset in it that a pointer field refers to.
    fn target(&self, row: u64, field: u64) -> Result<(OutSectionIndex, u64)> {
        let at = row * self.layout.size + field;
        let first = self.pointers.partition_point(|r| r.offset < at);
        let pointer = match self.pointers.get(first) {
            Some(pointer) if pointer.offset == at => pointer,
            _ => return Err(self.bad(row, field, "a pointer has no relocation")),
        };
        if self.pointers.get(first + 1).is_some_and(|next| next.offset == at) {
            return Err(self.bad(row, field, "a pointer has two relocations"));
        }
        let symbol = pointer.symbol.and_then(|symbol| self.object.symbol(symbol));
        let Some(OutSymbol { home: OutHome::Section(section), value, name, .. }) = symbol else {
            let error = self.bad(row, field, "a pointer refers to nothing in this module");
            return Err(match symbol {
                Some(symbol) => error.at_symbol(&*symbol.name),
                None => error,
            });
        };
        value.checked_add_signed(pointer.addend).map(|offset| (*section, offset)).ok_or_else(|| {
            self.bad(row, field, "a pointer leads out of its section").at_symbol(&**name)
        })
    }

    /// The symbol that a pointer field refers to.
    pub(super) fn symbol(&self, row: u64, field: u64) -> Result<OutSymbolIndex> {
        let at = row * self.layout.size + field;
        let first = self.pointers.partition_point(|r| r.offset < at);
        let pointer = self.pointers.get(first).filter(|p| p.offset == at && p.addend == 0);
        let symbol = pointer.and_then(|p| p.symbol);
        symbol.ok_or_else(|| self.bad(row, field, "a pointer has no relocation"))
    }

    pub(super) fn string(&self, row: u64, field: u64) -> Result<&'o str> {
        let (section, offset) = self.target(row, field)?;
        if section != self.strings {
            return Err(self.bad(row, field, "a name is not in .kpatch.strings"));
        }
        let data = &self.object.sections[section].data;
        let rest = usize::try_from(offset).ok().and_then(|offset| data.get(offset..));
        let text = rest.and_then(|rest| Some(&rest[..rest.iter().position(|&b| b == 0)?]));
        let text =
            text.ok_or_else(|| self.bad(row, field, "a name lies outside .kpatch.strings"))?;
        std::str::from_utf8(text).map_err(|_| self.bad(row, field, "a name is not UTF-8"))
    }

    fn object_name(&self, row: u64, field: u64) -> Result<String> {
        object_name(&self.layout, row, field, self.string(row, field)?)
    }
}

/// Where the contents of a moved section are now.
pub(super) struct Moved {
    section: OutSectionIndex,
    offset: u64,
}

/// Turns the sections in `.kpatch.arch` into `.klp.arch` ones; says where they went.
fn move_arch_sections(
    object: &mut OutObject,
    arch: &[Karch],
    para_struct_size: Option<u64>,
) -> Result<Map<OutSectionIndex, Moved>> {
    let mut moved: Map<OutSectionIndex, Moved> = Map::default();
    // The new section for each of their names.
    let mut made: Map<String, OutSectionIndex> = Map::default();
    for Karch { section: source, object: owner } in arch {
        let source_name = object.sections[*source].name.clone();
        let fail = |message: String| bad(message).in_section(&*source_name);
        let name = format!("{}{owner}.{source_name}", livepatch::KLP_ARCH);
        if let Some(Moved { section, .. }) = moved.get(source) {
            if object.sections[*section].name == name {
                // The linker joined what several objects had; it was taken as a whole.
                continue;
            }
            return Err(fail(format!("the section belongs to {owner} and to another object"))
                .advise("link with --unique=SECTION so that each object keeps its own"));
        }
        let step = match source_name.as_str() {
            sections::PARAVIRT => match para_struct_size {
                None => return Err(fail("PARA_STRUCT_SIZE not set".to_owned())),
                Some(size) if size.is_power_of_two() => size,
                Some(size) => {
                    return Err(fail(format!("PARA_STRUCT_SIZE {size} is no power of two")));
                }
            },
            sections::ALTERNATIVES => 1,
            _ => return Err(fail("this section cannot be made a .klp.arch section".to_owned())),
        };
        let place = *made.entry(name.clone()).or_insert_with(|| {
            object.sections.push(arch_section(name));
            object.sections.len() - 1
        });
        let source_section = &mut object.sections[*source];
        if source_section.kind != abi::SHT_PROGBITS {
            return Err(fail("the section has no contents".to_owned()));
        }
        let data = std::mem::take(&mut source_section.data);
        let relocs = std::mem::take(&mut source_section.relocs);
        let target = &mut object.sections[place];
        // The last row of the first section may lack its padding.
        let offset = target.size.checked_next_multiple_of(step);
        let offset = offset
            .filter(|&o| {
                o.checked_add(data.len() as u64).is_some_and(|end| end < u64::from(u32::MAX))
            })
            .ok_or_else(|| fail("the section would be too large".to_owned()))?;
        target.data.resize(offset as usize, 0);
        target.data.extend_from_slice(&data);
        target.size = target.data.len() as u64;
        append_relocs(target, relocs, offset);
        moved.insert(*source, Moved { section: place, offset });
    }
    Ok(moved)
}

fn arch_section(name: String) -> OutSection {
    OutSection {
        name,
        kind: abi::SHT_PROGBITS,
        flags: abi::SHF_ALLOC,
        align: 8,
        entsize: 1,
        ..OutSection::default()
    }
}

/// Adds relocations of contents that now begin at `offset` of `target`.
fn append_relocs(target: &mut OutSection, tables: Vec<OutRelocs>, offset: u64) {
    if tables.is_empty() {
        return;
    }
    if target.relocs.is_empty() {
        target.relocs.push(OutRelocs {
            name: format!(".rela{}", target.name),
            flags: abi::SHF_INFO_LINK,
            entries: Vec::new(),
        });
    }
    let entries = &mut target.relocs[0].entries;
    for entry in tables.into_iter().flat_map(|table| table.entries) {
        // Below the section's size, which was checked to fit.
        entries.push(OutReloc { offset: entry.offset + offset, ..entry });
    }
}

/// Adds the livepatch symbols and relocation tables, each once, in order of first use.
pub(super) fn add_klp_relocations(
    object: &mut OutObject,
    relocations: Vec<Krela>,
    moved: &Map<OutSectionIndex, Moved>,
) -> Result<()> {
    let mut symbols: Map<String, OutSymbolIndex> = Map::default();
    // By section, not by its name: several can have the same.
    let mut tables: Map<(OutSectionIndex, String), usize> = Map::default();
    for Krela { mut section, mut offset, kind, addend, object: owner, symbol } in relocations {
        if let Some(new) = moved.get(&section) {
            section = new.section;
            // Both are offsets in sections that exist.
            offset += new.offset;
        }
        if !SymbolName::is_readable(&symbol.name) {
            return Err(bad(format!(
                "the kernel could not find a symbol of the name '{}'",
                symbol.name
            ))
            .in_section(livepatch::SYMBOLS));
        }
        let name = symbol.livepatch_name();
        let target = *symbols.entry(name).or_insert_with_key(|name| {
            object.add_symbol(OutSymbol {
                name: name.clone(),
                kind: symbol.kind,
                bind: symbol.bind,
                other: 0,
                home: OutHome::Reserved(abi::SHN_LIVEPATCH),
                value: 0,
                size: 0,
            })
        });
        let base = &mut object.sections[section];
        let table = *tables.entry((section, owner)).or_insert_with_key(|(_, owner)| {
            base.relocs.push(OutRelocs {
                name: table_name(owner, &base.name),
                flags: TABLE_FLAGS,
                entries: Vec::new(),
            });
            base.relocs.len() - 1
        });
        base.relocs[table].entries.push(OutReloc { offset, kind, symbol: Some(target), addend });
    }
    Ok(())
}

/// The object without the sections marked in `removed` and the symbols in them.
pub(super) fn remove_sections(object: OutObject, removed: &[bool]) -> Result<OutObject> {
    let section_places = renumber(removed.iter().map(|&gone| !gone));
    let symbol_places = renumber(object.symbols.iter().map(|symbol| match symbol.home {
        OutHome::Section(section) => section_places[section].is_some(),
        _ => true,
    }));
    let mut result = OutObject { sections: Vec::new(), symbols: Vec::new(), ..object };
    for (mut section, &gone) in object.sections.into_iter().zip(removed) {
        if gone {
            continue;
        }
        if let Some(link) = section.link {
            section.link = section_places[link];
            if section.link.is_none() {
                return Err(
                    bad("sh_link refers to a section that is removed").in_section(section.name)
                );
            }
        }
        for table in &mut section.relocs {
            for entry in &mut table.entries {
                let Some(symbol) = entry.symbol else { continue };
                entry.symbol = symbol_places[symbol.index()].map(OutSymbolIndex::new);
                if entry.symbol.is_none() {
                    return Err(bad("a relocation refers to a section that is removed")
                        .in_section(&*table.name)
                        .at_symbol(&*object.symbols[symbol.index()].name)
                        .at_offset(entry.offset));
                }
            }
        }
        result.sections.push(section);
    }
    for (mut symbol, place) in object.symbols.into_iter().zip(symbol_places) {
        if place.is_none() {
            continue;
        }
        if let OutHome::Section(section) = symbol.home
            && let Some(section) = section_places[section]
        {
            symbol.home = OutHome::Section(section);
        }
        result.symbols.push(symbol);
    }
    Ok(result)
}

/// New places of what is kept; `None` for the rest.
pub(super) fn renumber(kept: impl Iterator<Item = bool>) -> Vec<Option<usize>> {
    let mut next = 0;
    kept.map(|kept| {
        kept.then(|| {
            next += 1;
            next - 1
        })
    })
    .collect()
}
