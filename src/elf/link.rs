//! Links relocatable objects into one, as `ld -r` does.
//!
//! Data sections of the same name, type and flags are laid behind each other, so that a
//! table stays one table. Code keeps its own sections: what to fill gaps with depends on the
//! machine, and nobody looks for code by section name. A section that refers to another by
//! `sh_link` stays by itself, too, since it can have one link only. Strings are not merged:
//! nothing may depend on that. Symbols of one name that are visible beyond their object
//! become one; definitions that give way to stronger ones keep a name of their own
//! ([`OVERRIDDEN`]).

use super::abi;
use super::out::{
    OutHome, OutObject, OutRelocs, OutSection, OutSectionIndex, OutSymbol, OutSymbolIndex,
};
pub use super::overridden::OVERRIDDEN;
use super::overridden::{Map, VISIBILITY, set_aside};
use crate::diag::{Code, Error, Result};

/// One object of several. `objects` are names for messages and contents, in link order: the
/// local symbols of each stay together, behind its FILE symbols.
///
/// Fails with [`crate::diag::Class::Refused`], code `duplicate-definition`, when two define
/// one name, and with [`crate::diag::Class::Broken`], code `unlinkable`, when they are not of
/// one machine, or are inconsistent.
pub fn link(mut objects: Vec<(String, OutObject)>) -> Result<OutObject> {
    set_aside(&mut objects);
    let mut linker = Linker::default();
    for (name, object) in objects {
        linker.add(object, &name).map_err(|e| e.in_file(name))?;
    }
    Ok(linker.result)
}

/// What sections have in common that become one. Of mergeable ones alignment and size of
/// rows count: they tell where rows begin.
type Key = (String, u32, u64, Option<(u64, u64)>, Vec<(String, u64)>);

/// Where something went: index, and offset in there.
type Place = (usize, u64);

#[derive(Default)]
struct Linker {
    result: OutObject,
    started: bool,
    places: Map<Key, OutSectionIndex>,
    /// The symbol of a global name, and the object that has it.
    globals: Map<String, (OutSymbolIndex, String)>,
    section_symbols: Map<OutSectionIndex, OutSymbolIndex>,
}

impl Linker {
    fn add(&mut self, object: OutObject, file: &str) -> Result<()> {
        let header = (object.big_endian, object.kind, object.machine, object.flags);
        let result = &mut self.result;
        if !self.started {
            (result.big_endian, result.kind, result.machine, result.flags) = header;
            self.started = true;
        } else if header != (result.big_endian, result.kind, result.machine, result.flags) {
            return Err(unlinkable("it is for another machine than the objects before it")
                .advise("give objects of one build"));
        }
        let mut sections: Vec<Place> = Vec::with_capacity(object.sections.len());
        let mut pieces = Vec::with_capacity(object.sections.len());
        for mut section in object.sections {
            let (relocs, link) = (std::mem::take(&mut section.relocs), section.link);
            sections.push(self.place(section, &relocs)?);
            pieces.push((relocs, link));
        }
        let mut symbols: Vec<(OutSymbolIndex, u64)> = Vec::with_capacity(object.symbols.len());
        for symbol in object.symbols {
            symbols.push(self.symbol(symbol, &sections, file)?);
        }
        for (&(home, start), (tables, link)) in sections.iter().zip(pieces) {
            let target = self.result.sections.get_mut(home).ok_or_else(inconsistent)?;
            if let Some(link) = link {
                target.link = Some(sections.get(link).ok_or_else(inconsistent)?.0);
            }
            for (table, all) in tables.into_iter().zip(&mut target.relocs) {
                for mut entry in table.entries {
                    entry.offset = entry.offset.checked_add(start).ok_or_else(inconsistent)?;
                    if let Some(old) = entry.symbol {
                        let &(symbol, shift) = symbols.get(old.index()).ok_or_else(inconsistent)?;
                        entry.symbol = Some(symbol);
                        entry.addend = entry.addend.wrapping_add_unsigned(shift);
                    }
                    all.entries.push(entry);
                }
            }
        }
        Ok(())
    }

    /// Appends a section's content; gives where it is now.
    fn place(&mut self, mut section: OutSection, relocs: &[OutRelocs]) -> Result<Place> {
        section.relocs =
            relocs.iter().map(|r| OutRelocs { entries: Vec::new(), ..r.clone() }).collect();
        let alone = section.flags & abi::SHF_EXECINSTR != 0 || section.link.is_some();
        let next = self.result.sections.len();
        if alone {
            section.link = None;
            self.result.sections.push(section);
            return Ok((next, 0));
        }
        let rows = section.flags & abi::SHF_MERGE != 0;
        let tables = section.relocs.iter().map(|r| (r.name.clone(), r.flags)).collect();
        let unit = rows.then_some((section.align, section.entsize));
        let key = (section.name.clone(), section.kind, section.flags, unit, tables);
        let home = *self.places.entry(key).or_insert(next);
        if home == next {
            self.result.sections.push(section);
            return Ok((next, 0));
        }
        let target = self.result.sections.get_mut(home).ok_or_else(inconsistent)?;
        if section.kind == abi::SHT_NOTE && section.data == target.data {
            return Ok((home, 0));
        }
        let start =
            target.size.checked_next_multiple_of(section.align.max(1)).ok_or_else(inconsistent)?;
        target.size = start.checked_add(section.size).ok_or_else(inconsistent)?;
        target.align = target.align.max(section.align);
        if target.entsize != section.entsize {
            target.entsize = 0;
        }
        if target.kind != abi::SHT_NOBITS {
            // What is as long as a section of a file fits in memory.
            target.data.resize(usize::try_from(start).map_err(|_| inconsistent())?, 0);
            target.data.extend_from_slice(&section.data);
        }
        Ok((home, start))
    }

    /// Adds a symbol; gives the one that now stands for it, and the distance from there.
    fn symbol(
        &mut self,
        mut symbol: OutSymbol,
        sections: &[Place],
        file: &str,
    ) -> Result<(OutSymbolIndex, u64)> {
        let next = OutSymbolIndex::new(self.result.symbols.len());
        if let OutHome::Section(old) = symbol.home {
            let &(home, start) = sections.get(old).ok_or_else(inconsistent)?;
            symbol.home = OutHome::Section(home);
            if symbol.kind == abi::STT_SECTION {
                let index = *self.section_symbols.entry(home).or_insert(next);
                if index == next {
                    self.result.symbols.push(symbol);
                }
                return Ok((index, start));
            }
            symbol.value = symbol.value.checked_add(start).ok_or_else(inconsistent)?;
        }
        if symbol.bind == abi::STB_LOCAL || symbol.name.is_empty() {
            self.result.symbols.push(symbol);
            return Ok((next, 0));
        }
        let Some((index, owner)) = self.globals.get_mut(&symbol.name) else {
            self.globals.insert(symbol.name.clone(), (next, file.to_owned()));
            self.result.symbols.push(symbol);
            return Ok((next, 0));
        };
        let known = self.result.symbols.get_mut(index.index()).ok_or_else(inconsistent)?;
        let defined = |s: &OutSymbol| s.home != OutHome::Undefined;
        let visibility = stricter(known.other & VISIBILITY, symbol.other & VISIBILITY);
        match (defined(known), defined(&symbol)) {
            (true, true) => {
                return Err(Error::refused(
                    Code::DuplicateDefinition,
                    format!("'{}' is also defined in {owner}", symbol.name),
                )
                .at_symbol(symbol.name)
                .advise("a kernel has one definition of a global name: give the objects of one build only"));
            }
            (false, true) => {
                *known = symbol;
                *owner = file.to_owned();
            }
            (true, false) => {}
            (false, false) => {
                if known.bind == abi::STB_WEAK {
                    known.bind = symbol.bind;
                }
            }
        }
        known.other = known.other & !VISIBILITY | visibility;
        Ok((*index, 0))
    }
}

/// The visibility of a symbol that has both: default gives way, and of the others (internal,
/// hidden, protected) the smaller number is the stricter one (gABI, symbol table).
fn stricter(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 { a.max(b) } else { a.min(b) }
}

fn unlinkable(message: &str) -> Error {
    Error::broken(Code::Unlinkable, message)
}

fn inconsistent() -> Error {
    unlinkable("a section, symbol or offset is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::out::OutReloc;

    fn section(name: &str, flags: u64, data: &[u8], relocs: Vec<OutReloc>) -> OutSection {
        OutSection {
            name: name.into(),
            kind: abi::SHT_PROGBITS,
            flags,
            align: 4,
            size: data.len() as u64,
            data: data.to_vec(),
            relocs: vec![OutRelocs { name: format!(".rela{name}"), flags: 0, entries: relocs }],
            ..OutSection::default()
        }
    }

    fn symbol(name: &str, kind: u8, bind: u8, home: OutHome, value: u64) -> OutSymbol {
        OutSymbol { name: name.into(), kind, bind, other: 0, home, value, size: 0 }
    }

    fn to(offset: u64, symbol: usize, addend: i64) -> OutReloc {
        OutReloc { offset, kind: 1, symbol: Some(OutSymbolIndex::new(symbol)), addend }
    }

    /// A table with one row that refers to itself and to a global `name`.
    fn object(name: &str, home: OutHome) -> (String, OutObject) {
        let table = section("t", abi::SHF_ALLOC, &[1, 2, 3], vec![to(0, 0, 2), to(1, 1, 0)]);
        let code = section("c", abi::SHF_ALLOC | abi::SHF_EXECINSTR, &[9], vec![]);
        let symbols = vec![
            symbol("", abi::STT_SECTION, abi::STB_LOCAL, OutHome::Section(0), 0),
            symbol(name, abi::STT_FUNC, abi::STB_GLOBAL, home, 0),
        ];
        let object = OutObject { sections: vec![table, code], symbols, ..OutObject::default() };
        (format!("{home:?}"), object)
    }

    #[test]
    fn tables_are_joined_and_references_follow() {
        let all = vec![object("f", OutHome::Undefined), object("f", OutHome::Section(1))];
        let linked = link(all).unwrap();
        let names: Vec<&str> = linked.sections.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["t", "c", "c"]);
        assert_eq!(linked.sections[0].data, [1, 2, 3, 0, 1, 2, 3]);
        let entries = &linked.sections[0].relocs[0].entries;
        assert_eq!(entries[..], [to(0, 0, 2), to(1, 1, 0), to(4, 0, 6), to(5, 1, 0)]);
        assert_eq!(linked.symbols.len(), 2);
        assert_eq!(linked.symbols[1].home, OutHome::Section(2));
    }

    #[test]
    fn two_definitions_are_refused_unless_one_is_weak() {
        let two = || vec![object("f", OutHome::Section(1)), object("f", OutHome::Section(1))];
        let error = link(two()).unwrap_err();
        assert_eq!(error.code(), Code::DuplicateDefinition);
        let mut weak = two();
        weak[0].1.symbols[1].bind = abi::STB_WEAK;
        let linked = link(weak).unwrap();
        let named = |name: &str| linked.symbols.iter().find(|s| s.name == name).unwrap();
        assert_eq!(named("f").home, OutHome::Section(2), "the strong one");
        let weak = named("f@overridden");
        assert_eq!((weak.home, weak.bind), (OutHome::Section(1), abi::STB_LOCAL));
        let users: Vec<&str> = linked.sections[0].relocs[0]
            .entries
            .iter()
            .map(|r| linked.symbol(r.symbol.unwrap()).unwrap().name.as_str())
            .collect();
        assert_eq!(users, ["", "f", "", "f"], "who refers to it");
    }

    #[test]
    fn common_symbols_become_one_and_give_way() {
        let common = |size| {
            let mut part = object("f", OutHome::Reserved(abi::SHN_COMMON));
            part.1.symbols[1].size = size;
            part.1.symbols[1].value = size;
            part
        };
        let linked = link(vec![common(4), common(8)]).unwrap();
        let found = &linked.symbols[1];
        assert_eq!((linked.symbols.len(), found.size, found.value), (2, 8, 8));
        assert_eq!(found.home, OutHome::Reserved(abi::SHN_COMMON));
        let linked = link(vec![common(4), object("f", OutHome::Section(1))]).unwrap();
        assert_eq!(linked.symbols[1].home, OutHome::Section(2));
        assert_eq!(linked.symbols[1].size, 0);
    }

    #[test]
    fn hidden_stays_hidden() {
        let mut all = vec![object("f", OutHome::Undefined), object("f", OutHome::Section(1))];
        all[1].1.symbols[1].other = 2;
        assert_eq!(link(all).unwrap().symbols[1].other, 2);
        assert_eq!((stricter(2, 3), stricter(0, 3), stricter(1, 2)), (2, 3, 1));
    }

    /// The local symbols of a file are found behind its FILE symbol, also in what is written.
    #[test]
    fn files_keep_their_local_symbols() {
        let object = |file: &str, name: &str| {
            let code = section("c", abi::SHF_ALLOC | abi::SHF_EXECINSTR, &[9], vec![]);
            let local = |name, kind| symbol(name, kind, abi::STB_LOCAL, OutHome::Section(0), 0);
            let file =
                symbol(file, abi::STT_FILE, abi::STB_LOCAL, OutHome::Reserved(abi::SHN_ABS), 0);
            let symbols = vec![file, local("state", abi::STT_OBJECT), local(name, abi::STT_FUNC)];
            let sections = vec![code];
            let (kind, machine) = (abi::ET_REL, abi::EM_X86_64);
            (
                name.to_owned(),
                OutObject { kind, machine, sections, symbols, ..OutObject::default() },
            )
        };
        let linked = link(vec![object("a.c", "f"), object("b.c", "g")]).unwrap();
        let bytes = crate::elf::write::write(&linked).unwrap();
        let read = crate::elf::object::Object::<crate::elf::ids::Orig>::parse("x", &bytes).unwrap();
        let names: Vec<&str> = read.symbols().skip(1).map(|s| read.symbol_name(s)).collect();
        assert_eq!(names, ["a.c", "f", "state", "b.c", "g", "state"]);
        crate::elf::verify::verify(&linked, &bytes).unwrap();
    }

    #[test]
    fn other_machines_are_refused() {
        let mut all = vec![object("f", OutHome::Undefined), object("g", OutHome::Undefined)];
        all[1].1.machine = 1;
        assert_eq!(link(all).unwrap_err().code(), Code::Unlinkable);
    }
}
