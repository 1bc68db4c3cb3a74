//! Livepatch relocations before and after the kernel's build of the module.
//!
//! kpatch's tables (`patch::tables`) stay in the object through the link; they say which
//! ordinary relocations are to become livepatch relocations afterwards.

#![expect(
    clippy::indexing_slicing,
    reason = "indexes are of sections of this object, which its reader has checked"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows and sections of what was built, which is in memory"
)]

use std::fmt;

use indexmap::IndexSet;

use crate::arch::Arch;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::out::{
    OutHome, OutObject, OutReloc, OutRelocs, OutSectionIndex, OutSymbol, OutSymbolIndex,
};
use crate::kernel::knowledge::macros;
use crate::kernel::knowledge::noreturn::{KNOWN_ENDS, never_returns};
use crate::kernel::knowledge::{livepatch, sections, symbols};
use crate::patch::convert::{
    Krela, Ksym, Map, Tables, add_klp_relocations, bad, remove_sections, renumber,
};

/// Tells of an object's function, both by name, whether it never returns.
pub type DeadEnd<'n> = &'n dyn Fn(&str, &str) -> bool;

/// What the link input must be like.
#[derive(Clone, Copy, Default)]
pub struct Prepare<'n> {
    /// Leave out `__mcount_loc`: objtool makes it from the linked module, but only if there
    /// is none yet.
    pub drop_sites: bool,
    /// Refer to places inside functions by section, as compilers do: objtool takes a jump to
    /// a function's symbol for a call of the function, whatever the addend.
    pub by_section: bool,
    /// Whether a function of an object, both by name, stays in the kernel and never returns:
    /// objtool, which does not see its code, is told.
    pub dead_end: Option<DeadEnd<'n>>,
}

impl fmt::Debug for Prepare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Prepare { drop_sites, by_section, .. } = self;
        f.debug_struct("Prepare")
            .field("drop_sites", drop_sites)
            .field("by_section", by_section)
            .finish_non_exhaustive()
    }
}

/// ftrace's list of functions it can hook.
const SITES: &str = sections::MCOUNT;

/// The relocation type that does nothing; 0 on all machines.
const NONE: u32 = 0;

/// An output of [`crate::run`] in the form in which the kernel's build links it: its livepatch
/// relocations are ordinary ones against undefined symbols again.
pub fn prepare(mut object: OutObject, options: Prepare<'_>) -> Result<OutObject> {
    let tables = Tables::read(&object)?;
    let defined: IndexSet<String, foldhash::fast::RandomState> = object
        .symbols
        .iter()
        .filter(|s| s.home != OutHome::Undefined)
        .map(|s| s.name.clone())
        .collect();
    let mut symbols: Map<String, OutSymbolIndex> = Map::default();
    for (i, symbol) in object.symbols.iter().enumerate() {
        if symbol.home == OutHome::Undefined && symbol.bind != abi::STB_LOCAL {
            symbols.entry(symbol.name.clone()).or_insert(OutSymbolIndex::new(i));
        }
    }
    let mut touched: IndexSet<OutSectionIndex, foldhash::fast::RandomState> = IndexSet::default();
    for row in tables.relocations {
        let name = match is_call(&object, &row) {
            true => end_name(&row.symbol, options, |name| defined.contains(name)),
            false => None,
        };
        let name = name.unwrap_or_else(|| link_name(&row.symbol, |name| defined.contains(name)));
        let symbol = *symbols
            .entry(name)
            .or_insert_with_key(|name| object.add_symbol(OutSymbol::undefined(name)));
        let base = &mut object.sections[row.section];
        if base.relocs.is_empty() {
            base.relocs.push(OutRelocs {
                name: format!(".rela{}", base.name),
                flags: abi::SHF_INFO_LINK,
                entries: Vec::new(),
            });
        }
        let Krela { offset, kind, addend, .. } = row;
        base.relocs[0].entries.push(OutReloc { offset, kind, symbol: Some(symbol), addend });
        touched.insert(row.section);
    }
    for section in touched {
        for table in &mut object.sections[section].relocs {
            table.entries.sort_by_key(|r| r.offset);
        }
    }
    // Where livepatch has nothing to apply, objtool of Linux 7 does not get over empty tables.
    for section in &mut object.sections {
        let is_table = section.name.starts_with(macros::PREFIX);
        section.relocs.retain(|table| !is_table || !table.entries.is_empty());
    }
    for section in tables.sections {
        // objtool looks for pointers to code in what is loaded.
        object.sections[section].flags &= !abi::SHF_ALLOC;
    }
    for section in &mut object.sections {
        // The link adds to tables what is no row; objtool refuses to write such a section.
        if section.flags & abi::SHF_MERGE == 0 {
            section.entsize = 0;
        }
    }
    if options.by_section {
        refer_by_section(&mut object);
    }
    if !options.drop_sites {
        return Ok(object);
    }
    let dropped: Vec<bool> = object.sections.iter().map(|s| s.name == SITES).collect();
    remove_sections(object, &dropped)
}

/// Gives references to the inside of functions the form of [`Prepare::by_section`].
fn refer_by_section(object: &mut OutObject) {
    let mut symbols: Map<OutSectionIndex, OutSymbolIndex> = Map::default();
    for (i, symbol) in object.symbols.iter().enumerate() {
        if let (abi::STT_SECTION, OutHome::Section(home)) = (symbol.kind, symbol.home) {
            symbols.entry(home).or_insert(OutSymbolIndex::new(i));
        }
    }
    for section in &mut object.sections {
        // In code the addend counts from the end of the field.
        let start = if section.flags & abi::SHF_EXECINSTR == 0 { 0 } else { -4 };
        for entry in section.relocs.iter_mut().flat_map(|t| &mut t.entries) {
            let Some(symbol) = entry.symbol.and_then(|s| object.symbols.get(s.index())) else {
                continue;
            };
            let OutHome::Section(home) = symbol.home else { continue };
            if symbol.kind != abi::STT_FUNC || entry.addend <= start {
                continue;
            }
            entry.addend = entry.addend.wrapping_add_unsigned(symbol.value);
            entry.symbol = Some(*symbols.entry(home).or_insert_with(|| {
                object.symbols.push(OutSymbol::of_section(home));
                OutSymbolIndex::new(object.symbols.len() - 1)
            }));
        }
    }
}

/// What a symbol of the running kernel is called while the module is linked.
///
/// objtool knows some functions by name, such as those that never return, so functions keep
/// theirs. Not so trampolines of static calls: objtool would list their calls in
/// `.static_call_sites` without the key, which the kernel refuses when the key is not
/// exported; a call of the trampoline itself always works. Names that the link could mistake
/// for something else get one that nothing else has.
fn link_name(symbol: &Ksym, defined: impl Fn(&str) -> bool) -> String {
    let Ksym { object, name, position, kind, .. } = symbol;
    // A function of another object has no type here.
    let keeps = matches!(*kind, abi::STT_FUNC | abi::STT_NOTYPE)
        && object == "vmlinux"
        && !name.starts_with(symbols::STATIC_CALL_TRAMPOLINE)
        && !defined(name);
    if keeps { name.clone() } else { format!("{}{object}.{name},{position}", livepatch::STAND_IN) }
}

/// Whether a relocation is the target of a call or a jump.
fn is_call(object: &OutObject, row: &Krela) -> bool {
    let Some(section) = object.sections.get(row.section) else { return false };
    let branch = Arch::from_machine(object.machine).ok().and_then(|arch| arch.is_branch);
    section.flags & abi::SHF_EXECINSTR != 0
        && branch.is_some_and(|is_branch| is_branch(&section.data, row.offset, row.kind))
}

/// What a function that never returns is called while the module is linked: objtool must know
/// that, and of code that it does not see it does by name alone.
fn end_name(symbol: &Ksym, options: Prepare<'_>, defined: impl Fn(&str) -> bool) -> Option<String> {
    let Ksym { object, name, .. } = symbol;
    let known = object == "vmlinux" && never_returns(name);
    let dead_end = options.dead_end.filter(|_| !known)?;
    let free = KNOWN_ENDS.into_iter().find(|name| !defined(name))?;
    dead_end(object, name).then(|| free.to_owned())
}

/// The module as the kernel's build made it, with its livepatch relocations in the form that
/// the kernel applies when the object they belong to is patched.
///
/// Fails with [`crate::diag::Class::Broken`], code `bad-kpatch-table`, when a table is
/// missing or damaged, and code `lost-relocation` when a relocation it lists is not there.
pub fn finish(mut object: OutObject) -> Result<OutObject> {
    let tables = Tables::read(&object)?;
    let mut rows: Map<(OutSectionIndex, u64), (Krela, bool)> = Map::default();
    for row in tables.relocations {
        if let Some((row, _)) = rows.insert((row.section, row.offset), (row, false)) {
            return Err(bad("two livepatch relocations apply to one place")
                .in_section(&*object.sections[row.section].name)
                .at_offset(row.offset));
        }
    }
    let mut off: IndexSet<(OutSectionIndex, u64), foldhash::fast::RandomState> =
        IndexSet::default();
    for (index, section) in object.sections.iter_mut().enumerate() {
        for table in &mut section.relocs {
            let mut wrong = None;
            table.entries.retain(|entry| {
                let place = (index, entry.offset);
                let Some((row, seen)) = rows.get_mut(&place) else { return true };
                let symbol = entry.symbol.and_then(|s| object.symbols.get(s.index()));
                match symbol {
                    Some(symbol) if is_same(row, entry, symbol) => {
                        if entry.kind == NONE {
                            // objtool switched the reference off.
                            off.insert(place);
                        }
                        if std::mem::replace(seen, true) {
                            wrong = Some(row.clone());
                        }
                        false
                    }
                    // Markers of objtool may share the place.
                    _ if entry.kind == NONE => true,
                    _ => {
                        wrong = Some(row.clone());
                        true
                    }
                }
            });
            if let Some(row) = wrong {
                return Err(lost(&row, &section.name, "is not what the table says"));
            }
        }
    }
    let mut moved = Vec::with_capacity(rows.len());
    for (place, (mut row, seen)) in rows {
        if !seen {
            return Err(lost(&row, &object.sections[row.section].name, "is gone"));
        }
        if off.contains(&place) {
            continue;
        }
        if row.symbol.object == "vmlinux" {
            // vmlinux is always there, and the kernel insists.
            "vmlinux".clone_into(&mut row.object);
        }
        moved.push(row);
    }
    add_klp_relocations(&mut object, moved, &Map::default())?;
    let mut removed = vec![false; object.sections.len()];
    for section in tables.sections {
        removed[section] = true;
    }
    let object = remove_sections(object, &removed)?;
    Ok(without_unused_symbols(object))
}

/// Whether an ordinary relocation is the one that a row of the table was made from.
fn is_same(row: &Krela, entry: &OutReloc, symbol: &OutSymbol) -> bool {
    let Ksym { object, name, position, .. } = &row.symbol;
    let named = symbol.name == *name
        || KNOWN_ENDS.contains(&symbol.name.as_str()) && symbol.home == OutHome::Undefined
        || symbol
            .name
            .strip_prefix(livepatch::STAND_IN)
            .is_some_and(|rest| rest == format!("{object}.{name},{position}"));
    named && entry.addend == row.addend && (entry.kind == row.kind || entry.kind == NONE)
}

fn lost(row: &Krela, section: &str, what: &str) -> Error {
    Error::broken(
        Code::LostRelocation,
        format!("the relocation that livepatch is to apply here {what} after the link"),
    )
    .in_section(section)
    .at_symbol(&*row.symbol.name)
    .at_offset(row.offset)
    .advise("the linker or objtool changed it; please report it with the objects")
}

/// The object without undefined symbols that nothing refers to: the kernel would look for
/// them all the same, and refuse the module.
fn without_unused_symbols(mut object: OutObject) -> OutObject {
    let mut used: Vec<bool> = object.symbols.iter().map(|s| s.home != OutHome::Undefined).collect();
    for entry in object.sections.iter().flat_map(|s| &s.relocs).flat_map(|t| &t.entries) {
        if let Some(used) = entry.symbol.and_then(|s| used.get_mut(s.index())) {
            *used = true;
        }
    }
    let places = renumber(used.iter().copied());
    for entry in object.sections.iter_mut().flat_map(|s| &mut s.relocs).flat_map(|t| &mut t.entries)
    {
        let place = entry.symbol.and_then(|s| places.get(s.index()).copied().flatten());
        entry.symbol = place.map(OutSymbolIndex::new);
    }
    let mut kept = used.into_iter();
    object.symbols.retain(|_| kept.next().unwrap_or(true));
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::out::OutSection;

    const STRINGS: usize = 0;
    const SYMBOLS: usize = 1;
    const RELOCATIONS: usize = 2;
    const TEXT: usize = 3;
    const PLT32: u32 = 4;

    /// An output with one function and one livepatch relocation, of `name` at 0x11.
    fn output(name: &str, kind: u8) -> OutObject {
        let mut object =
            OutObject { kind: abi::ET_REL, machine: abi::EM_X86_64, ..OutObject::default() };
        let strings = format!("vmlinux\0{name}\0");
        let pointers = |at: &[(u64, usize, i64)]| {
            let entry = |&(offset, symbol, addend): &(u64, usize, i64)| OutReloc {
                offset,
                kind: 1,
                symbol: Some(OutSymbolIndex::new(symbol)),
                addend,
            };
            at.iter().map(entry).collect::<Vec<_>>()
        };
        let mut symbol_row = vec![0; 40];
        symbol_row[8] = 2;
        symbol_row[17] = kind;
        let mut relocation_row = vec![0; 40];
        relocation_row[8] = PLT32 as u8;
        relocation_row[16..24].copy_from_slice(&(-4_i64).to_le_bytes());
        for (name, data, relocs) in [
            (".kpatch.strings", strings.into_bytes(), vec![]),
            (".kpatch.symbols", symbol_row, pointers(&[(24, STRINGS, 8), (32, STRINGS, 0)])),
            (
                ".kpatch.relocations",
                relocation_row,
                pointers(&[(0, TEXT, 0x11), (24, STRINGS, 0), (32, SYMBOLS, 0)]),
            ),
            (".text.f", vec![0x90; 64], vec![]),
            (SITES, vec![0; 8], pointers(&[(0, TEXT, 0)])),
        ] {
            let index = object.sections.len();
            object.sections.push(OutSection::table(name, 1, 40, data, relocs));
            object.symbols.push(OutSymbol::of_section(index));
        }
        object
    }

    fn target(object: &OutObject) -> (&OutSymbol, OutReloc) {
        let [entry] = object.sections[TEXT].relocs[0].entries[..] else {
            panic!("{:?}", object.sections[TEXT].relocs);
        };
        (object.symbol(entry.symbol.expect("a reference")).expect("a symbol"), entry)
    }

    #[test]
    fn relocations_are_ordinary_for_the_link_and_livepatch_s_afterwards() {
        let linked = prepare(output("panic", abi::STT_NOTYPE), Prepare::default()).expect("plain");
        let (symbol, entry) = target(&linked);
        assert_eq!((&*symbol.name, symbol.home), ("panic", OutHome::Undefined));
        assert_eq!((entry.offset, entry.kind, entry.addend), (0x11, PLT32, -4));
        assert_eq!(linked.sections[RELOCATIONS].flags & abi::SHF_ALLOC, 0);
        assert!(linked.sections.iter().all(|s| s.entsize == 0));

        let module = finish(linked).expect("module");
        let names: Vec<&str> = module.sections.iter().map(|s| &*s.name).collect();
        assert_eq!(names, [".kpatch.strings", ".text.f", SITES]);
        let [plain, klp] = &module.sections[1].relocs[..] else { panic!("two tables") };
        assert!(plain.entries.is_empty());
        assert_eq!(klp.name, ".klp.rela.vmlinux..text.f");
        let symbol = klp.entries[0].symbol.and_then(|s| module.symbol(s)).expect("a symbol");
        assert_eq!(symbol.name, ".klp.sym.vmlinux.panic,2");
        assert_eq!(symbol.home, OutHome::Reserved(abi::SHN_LIVEPATCH));
        assert!(module.symbols.iter().all(|s| s.home != OutHome::Undefined));
    }

    #[test]
    fn what_objtool_or_the_link_would_misread_gets_a_name_of_its_own() {
        for (name, kind, wanted) in [
            ("__SCT__tp_func_x", abi::STT_NOTYPE, ".klp_late.vmlinux.__SCT__tp_func_x,2"),
            ("some_data", abi::STT_OBJECT, ".klp_late.vmlinux.some_data,2"),
            ("do_exit", abi::STT_FUNC, "do_exit"),
        ] {
            let linked = prepare(output(name, kind), Prepare::default()).expect("plain");
            assert_eq!(target(&linked).0.name, wanted);
            assert!(finish(linked).is_ok());
        }
        let mut twice = output("f", abi::STT_FUNC);
        twice.symbols.push(OutSymbol { home: OutHome::Section(TEXT), ..OutSymbol::undefined("f") });
        let linked = prepare(twice, Prepare::default()).expect("plain");
        assert_eq!(target(&linked).0.name, ".klp_late.vmlinux.f,2");
    }

    #[test]
    fn objtool_is_told_what_never_returns() {
        let ends = |object: &str, name: &str| (object, name) == ("vmlinux", "stops");
        let options = Prepare { dead_end: Some(&ends), ..Prepare::default() };
        let output = |name| {
            let mut object = output(name, abi::STT_FUNC);
            object.sections[TEXT].data[0x10] = 0xe8;
            object.sections[TEXT].flags |= abi::SHF_EXECINSTR;
            object
        };
        let linked = prepare(output("stops"), options).expect("plain");
        assert_eq!(target(&linked).0.name, KNOWN_ENDS[0]);
        let module = finish(linked).expect("module");
        let klp = module.sections[1].relocs.last().expect("a table");
        let symbol = klp.entries[0].symbol.and_then(|s| module.symbol(s)).expect("a symbol");
        assert_eq!(symbol.name, ".klp.sym.vmlinux.stops,2");
        assert!(module.symbols.iter().all(|s| s.home != OutHome::Undefined));

        let named =
            |object, options| target(&prepare(object, options).expect("plain")).0.name.clone();
        // Who goes on is no dead end, and an address is no call.
        assert_eq!(named(output("goes_on"), options), "goes_on");
        let mut address = output("stops");
        address.sections[TEXT].data[0x10] = 0;
        assert_eq!(named(address, options), "stops");
        // The patch has a function of the name.
        let mut taken = output("stops");
        taken.symbols.push(OutSymbol {
            home: OutHome::Section(TEXT),
            ..OutSymbol::undefined(KNOWN_ENDS[0])
        });
        assert_eq!(named(taken, options), KNOWN_ENDS[1]);
    }

    #[test]
    fn a_relocation_that_the_link_lost_or_changed_is_an_error() {
        let linked = prepare(output("g", abi::STT_FUNC), Prepare::default()).expect("plain");
        let broken = |change: &dyn Fn(&mut OutObject)| {
            let mut object = linked.clone();
            change(&mut object);
            let error = finish(object).expect_err("noticed");
            assert_eq!(error.place().section.as_deref(), Some(".text.f"));
            error.code()
        };
        let text = |o: &mut OutObject, f: &dyn Fn(&mut Vec<OutReloc>)| {
            f(&mut o.sections[TEXT].relocs[0].entries);
        };
        assert_eq!(broken(&|o| text(o, &|e| e.clear())), Code::LostRelocation);
        assert_eq!(broken(&|o| text(o, &|e| e[0].addend = 0)), Code::LostRelocation);
        assert_eq!(broken(&|o| text(o, &|e| e[0].kind = 2)), Code::LostRelocation);
        assert_eq!(
            broken(&|o| text(o, &|e| e[0].symbol = Some(OutSymbolIndex::new(TEXT)))),
            Code::LostRelocation
        );
        assert_eq!(broken(&|o| text(o, &|e| e.push(e[0]))), Code::LostRelocation);
        // objtool switched the reference off: nothing is left to apply.
        let mut off = linked.clone();
        off.sections[TEXT].relocs[0].entries[0].kind = NONE;
        let module = finish(off).expect("module");
        assert_eq!(module.sections[1].relocs.len(), 1);
    }

    #[test]
    fn objtool_makes_the_sites_itself_and_wants_section_references() {
        let options = Prepare { drop_sites: true, by_section: true, dead_end: None };
        let mut object = output("g", abi::STT_FUNC);
        let function = object.add_symbol(OutSymbol {
            kind: abi::STT_FUNC,
            home: OutHome::Section(TEXT),
            value: 16,
            ..OutSymbol::undefined("f")
        });
        for (offset, addend) in [(0x20, 8), (0x30, 0)] {
            let entry = OutReloc { offset, kind: 2, symbol: Some(function), addend };
            object.sections[STRINGS].relocs[0].entries.push(entry);
        }
        let linked = prepare(object, options).expect("plain");
        assert!(linked.sections.iter().all(|s| s.name != SITES));
        let entries = &linked.sections[STRINGS].relocs[0].entries;
        assert_eq!((entries[0].symbol, entries[0].addend), (Some(OutSymbolIndex::new(TEXT)), 24));
        assert_eq!(entries[1].addend, 0);
        let named = entries[1].symbol.and_then(|s| linked.symbol(s)).expect("a symbol");
        assert_eq!(named.name, "f");
    }
}
