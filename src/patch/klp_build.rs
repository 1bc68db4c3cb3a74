//! The form that the kernel's own `klp-build` links a livepatch module from (Linux
//! scripts/livepatch/klp-build, scripts/livepatch/init.c, include/linux/livepatch_external.h).
//!
//! Two tables say what is patched, `.init.klp_objects` and `.init.klp_funcs`. What livepatch
//! relocates has an ordinary relocation to a weak symbol that nobody defines, so that the build
//! of the module sees what the code refers to, and a row in `__klp_relocs.OBJECT`. When the
//! module is linked, `objtool klp post-link` makes `.klp.rela.OBJECT.SECTION` of these rows.

#![expect(
    clippy::indexing_slicing,
    reason = "sections and symbols of the output have the numbers they were given when they were added"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows and sections of what was built, which is in memory"
)]

use super::build::output::eight;
use super::convert::{Krela, Map, Tables, bad, remove_sections};
use super::format::klp::SymbolName;
use super::format::kpatch::FunctionRow;
use super::tables::Draft;
use crate::arch::Arch;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::out::{
    OutHome, OutObject, OutReloc, OutRelocs, OutSection, OutSectionIndex, OutSymbol, OutSymbolIndex,
};
use crate::kernel::knowledge::macros::{self, POINTER_NAMES, POINTERS, PREFIX};
use crate::kernel::knowledge::{klp_build, livepatch};

/// Makes an output in kpatch's form one in that of `klp-build`. `parent` is the object that is
/// patched. Fails with code `bad-kpatch-table`, and for what only kpatch's macros ask for.
pub fn to_klp_build(object: OutObject, parent: &str) -> Result<OutObject> {
    check_macros(&object)?;
    let tables = Tables::read(&object)?;
    with_tables(object, tables, parent)
}

/// [`to_klp_build`] of a draft: of what was resolved for it, without making tables of that first.
pub fn of_draft(draft: Draft, parent: &str) -> Result<OutObject> {
    check_macros(&draft.object)?;
    let tables = Tables::of(&draft)?;
    with_tables(draft.object, tables, parent)
}

fn check_macros(object: &OutObject) -> Result<()> {
    let forced = object.sections.iter().find(|s| is_of_macros(&s.name));
    if let Some(section) = forced {
        return Err(Error::refused(
            Code::UnknownCallback,
            format!("{} is of kpatch's macros, which klp-build does not know", section.name),
        )
        .in_section(&*section.name)
        .advise("use the macros of linux/livepatch_helpers.h"));
    }
    Ok(())
}

fn with_tables(mut object: OutObject, tables: Tables, parent: &str) -> Result<OutObject> {
    let functions = functions(&object)?;
    let mut removed: Vec<bool> =
        object.sections.iter().map(|s| s.name.starts_with(PREFIX)).collect();
    let mut made = Made {
        pointer: Arch::from_machine(object.machine)?.abs64,
        big: object.big_endian,
        strings: vec![0],
        named: section_symbols(&object),
    };
    made.relocations(&mut object, tables.relocations)?;
    made.tables(&mut object, &functions, parent)?;
    removed.resize(object.sections.len(), false);
    remove_sections(object, &removed)
}

/// Whether a section is of kpatch's macros, rather than of the tools.
fn is_of_macros(name: &str) -> bool {
    name.starts_with(livepatch::CALLBACK_PREFIX) || name == macros::FORCE
}

/// A function that is replaced.
struct Function {
    name: String,
    position: u64,
    new: OutSymbolIndex,
}

/// Reads `.kpatch.funcs`.
fn functions(object: &OutObject) -> Result<Vec<Function>> {
    let Some(table) = Tables::rows(object, &FunctionRow::LAYOUT)? else {
        return Ok(Vec::new());
    };
    let function = |row| {
        Ok(Function {
            name: table.string(row, FunctionRow::NAME)?.to_owned(),
            position: table.row(row, FunctionRow::decode)?.position,
            new: table.symbol(row, FunctionRow::NEW)?,
        })
    };
    (0..table.rows).map(function).collect()
}

/// The output under construction.
struct Made {
    /// Type of relocation of a pointer.
    pointer: u32,
    big: bool,
    strings: Vec<u8>,
    /// The symbols of sections.
    named: Map<OutSectionIndex, OutSymbolIndex>,
}

impl Made {
    fn string(&mut self, text: &str) -> i64 {
        let at = self.strings.len() as i64;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn pointer(&self, offset: u64, symbol: OutSymbolIndex, addend: i64) -> OutReloc {
        OutReloc { offset, kind: self.pointer, symbol: Some(symbol), addend }
    }

    /// The symbol of a section; made when there is none.
    fn section_symbol(
        &mut self,
        object: &mut OutObject,
        section: OutSectionIndex,
    ) -> OutSymbolIndex {
        let make = || object.add_symbol(OutSymbol::of_section(section));
        *self.named.entry(section).or_insert_with(make)
    }

    /// Adds the rows of what livepatch relocates, and what stands for them until then.
    fn relocations(&mut self, object: &mut OutObject, relocations: Vec<Krela>) -> Result<()> {
        let mut undefined: Map<String, OutSymbolIndex> = Map::default();
        let mut rows: Map<String, (Vec<u8>, Vec<OutReloc>)> = Map::default();
        let mut bases: Map<OutSectionIndex, ()> = Map::default();
        for Krela { section, offset, kind, addend, object: owner, symbol } in relocations {
            if !SymbolName::is_readable(&symbol.name) {
                let what = format!("the kernel could not find a symbol '{}'", symbol.name);
                return Err(bad(what).in_section(livepatch::SYMBOLS));
            }
            let full = symbol.livepatch_name();
            let tombstone = format!("{}{}", klp_build::TOMBSTONE, symbol.name);
            let mut weak = |name: String| {
                *undefined.entry(name).or_insert_with_key(|name| {
                    object.add_symbol(OutSymbol {
                        kind: symbol.kind,
                        bind: abi::STB_WEAK,
                        ..OutSymbol::undefined(name.as_str())
                    })
                })
            };
            let (wanted, tombstone) = (weak(full), weak(tombstone));
            bases.insert(section, ());
            let base = self.section_symbol(object, section);
            // What the kernel itself has is there when the module is loaded, and the kernel refuses
            // to look for it later.
            let applied = if symbol.object == "vmlinux" { symbol.object } else { owner };
            let (data, pointers) = rows.entry(applied).or_default();
            let at = data.len() as u64;
            pointers.push(self.pointer(at, base, offset.cast_signed()));
            pointers.push(self.pointer(at + 8, wanted, addend));
            data.extend([0; 16]);
            data.extend(if self.big { kind.to_be_bytes() } else { kind.to_le_bytes() });
            data.extend([0; 4]);
            ordinary(&mut object.sections[section]).entries.push(OutReloc {
                offset,
                kind,
                symbol: Some(tombstone),
                addend,
            });
        }
        for &section in bases.keys() {
            ordinary(&mut object.sections[section]).entries.sort_by_key(|e| e.offset);
        }
        for (owner, (data, pointers)) in rows {
            let name = format!("{}{owner}", klp_build::RELOCATIONS);
            add(object, &name, 0, data, pointers);
        }
        Ok(())
    }

    /// Adds what says which functions of which object are patched.
    fn tables(
        &mut self,
        object: &mut OutObject,
        functions: &[Function],
        parent: &str,
    ) -> Result<()> {
        let callbacks = callbacks(object)?;
        let strings = add(object, klp_build::STRINGS, 1, Vec::new(), Vec::new());
        let strings_symbol = self.section_symbol(object, strings);
        let mut row = vec![0; klp_build::OBJECT_ROW as usize];
        let mut pointers = Vec::new();
        // The kernel itself is the object without a name.
        if parent != "vmlinux" {
            let name = self.string(parent);
            pointers.push(self.pointer(0, strings_symbol, name));
        }
        if !functions.is_empty() {
            let table = self.function_table(object, functions, strings_symbol);
            let table = self.section_symbol(object, table);
            pointers.push(self.pointer(8, table, 0));
        }
        for (place, callback) in (0..).zip(callbacks) {
            if let Some((symbol, addend)) = callback {
                pointers.push(self.pointer(16 + 8 * place, symbol, addend));
            }
        }
        let count = functions.len() as u32;
        let count = if self.big { count.to_be_bytes() } else { count.to_le_bytes() };
        row[klp_build::FUNCTION_COUNT as usize..][..4].copy_from_slice(&count);
        add(object, klp_build::OBJECTS, klp_build::OBJECT_ROW, row, pointers);
        let strings = &mut object.sections[strings];
        strings.align = 1;
        strings.flags |= abi::SHF_MERGE | abi::SHF_STRINGS;
        strings.data = std::mem::take(&mut self.strings);
        strings.size = strings.data.len() as u64;
        strings.relocs.clear();
        Ok(())
    }

    fn function_table(
        &mut self,
        object: &mut OutObject,
        functions: &[Function],
        strings: OutSymbolIndex,
    ) -> OutSectionIndex {
        let mut data = Vec::with_capacity(functions.len() * klp_build::FUNCTION_ROW as usize);
        let mut pointers = Vec::with_capacity(functions.len() * 2);
        for function in functions {
            let at = data.len() as u64;
            let name = self.string(&function.name);
            pointers.push(self.pointer(at, strings, name));
            pointers.push(self.pointer(at + 8, function.new, 0));
            data.extend([0; 16]);
            data.extend(eight(function.position, self.big));
        }
        add(object, klp_build::FUNCTIONS, klp_build::FUNCTION_ROW, data, pointers)
    }
}

/// Where each kind of callback is.
fn callbacks(object: &OutObject) -> Result<[Option<(OutSymbolIndex, i64)>; 4]> {
    let mut found = [None; 4];
    for symbol in &object.symbols {
        let OutHome::Section(home) = symbol.home else { continue };
        let section = &object.sections[home];
        let kind = POINTER_NAMES.iter().position(|prefix| symbol.name.starts_with(prefix));
        let Some(kind) = kind.filter(|_| section.name == POINTERS) else { continue };
        let mut entries = section.relocs.iter().flat_map(|t| &t.entries);
        let pointer = entries.find(|e| e.offset == symbol.value);
        let callback = pointer.and_then(|p| Some((p.symbol?, p.addend)));
        let fail = |what: &str| {
            Error::refused(Code::UnknownCallback, what)
                .in_section(POINTERS)
                .at_symbol(&*symbol.name)
                .advise("each object can have one callback of each kind")
        };
        let callback = callback.ok_or_else(|| fail("the callback has no function"))?;
        if let Some(slot) = found.get_mut(kind)
            && slot.replace(callback).is_some()
        {
            return Err(fail("there are two callbacks of this kind"));
        }
    }
    Ok(found)
}

/// The ordinary relocation table of a section; made when there is none.
fn ordinary(section: &mut OutSection) -> &mut OutRelocs {
    let name = format!(".rela{}", section.name);
    let place = section.relocs.iter().position(|t| t.flags & abi::SHF_RELA_LIVEPATCH == 0);
    let place = place.unwrap_or_else(|| {
        section.relocs.push(OutRelocs { name, flags: abi::SHF_INFO_LINK, entries: Vec::new() });
        section.relocs.len() - 1
    });
    &mut section.relocs[place]
}

/// The symbols that sections have.
fn section_symbols(object: &OutObject) -> Map<OutSectionIndex, OutSymbolIndex> {
    let all = object.symbols.iter().enumerate().filter(|(_, s)| s.kind == abi::STT_SECTION);
    let of = |(index, symbol): (usize, &OutSymbol)| match symbol.home {
        OutHome::Section(section) => Some((section, OutSymbolIndex::new(index))),
        _ => None,
    };
    all.filter_map(of).collect()
}

fn add(
    object: &mut OutObject,
    name: &str,
    entsize: u64,
    data: Vec<u8>,
    entries: Vec<OutReloc>,
) -> OutSectionIndex {
    object.sections.push(OutSection::table(name, 8, entsize, data, entries));
    object.sections.len() - 1
}
