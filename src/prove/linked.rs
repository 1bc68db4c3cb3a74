//! Proves a linked module before it is published: it has what its parts have.
//!
//! The parts were proved when they were compared; since then the kernel's build linked them,
//! objtool wrote to the module, and livepatch relocations took their final form. Both are read
//! with the second reader. A part's section lies somewhere in a section of the module: where, is
//! known from its symbols, from references that lead to it, or from what its rows refer to. There it
//! must have its bytes, its relocations, which lead to what they lead to in the part, and nothing
//! besides.
//!
//! What objtool changes is a closed list (Linux tools/objtool/Documentation/objtool.txt): it puts
//! padding in the place of a call of `__fentry__` and of a jump that a static key opens, at places
//! which tables of the module list, and switches off their relocations; and it lets the symbols of prefixes reach
//! up to their functions.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::written::{Asked, Home, Reference, Symbol, To, Written};
use super::{differs, names};
use crate::arch::{Arch, Bias, RelocClass};
use crate::diag::{Error, Result};
use crate::elf::abi;
use crate::elf::out::OutObject;
use crate::elf::write::write;
use crate::kernel::knowledge::tables::TABLES;
use crate::kernel::knowledge::{livepatch, sections, symbols};

type Map<K, V> = IndexMap<K, V, RandomState>;

/// A place in the module.
type Place = (u32, u64);

/// A reference from part to part: what it leads to in the part, and in the module.
type Across = ((usize, u32, i64), (u32, i64));

/// What objtool writes over a jump or a call of two or five bytes.
const PADDING: [&[u8]; 2] = [&[0x66, 0x90], &[0x0f, 0x1f, 0x44, 0, 0]];

/// The relocation type that does nothing; 0 on all machines.
const NONE: u32 = 0;

/// Bytes of a row of `__jump_table`; the first field is the place of the jump.
const JUMP_ROW: u64 = 16;

/// A reference of a part to one of its sections, and where it leads in the module.
#[derive(Clone, Copy)]
struct Follow {
    section: u32,
    at: i64,
    home: u32,
    to: i64,
    bias: i64,
}

/// Fails, with code `unproved-output`, unless a module has what its parts have. `remade`: objtool
/// lists the sites of ftrace anew.
pub fn prove_linked(bytes: &[u8], parts: &[OutObject], remade: bool) -> Result<()> {
    let files = parts.iter().map(|part| write(part)).collect::<Result<Vec<_>>>()?;
    let module = Written::parse(bytes)?;
    let parts = files.iter().map(|file| Written::parse(file)).collect::<Result<Vec<_>>>()?;
    let header = |file: &Written<'_>| (file.kind, file.machine, file.flags, file.big_endian);
    if parts.iter().any(|part| header(part) != header(&module)) {
        return Err(differs(
            "the module is of another kind, for another machine or its flags differ",
        ));
    }
    let mut linked = Linked::new(&module, &parts, remade);
    linked.place_symbols()?;
    linked.settle()?;
    linked.place_tables()?;
    linked.check_across()?;
    linked.check_symbols()?;
    linked.check_rows()?;
    linked.check_asked()
}

struct Linked<'a> {
    module: &'a Written<'a>,
    parts: &'a [Written<'a>],
    remade: bool,
    /// Symbols of the module that are defined, by name.
    symbols: Map<&'a str, Vec<Symbol<'a>>>,
    /// What the parts define for each other: part, section, value.
    globals: Map<&'a str, (usize, u32, u64)>,
    /// Where each section of each part begins.
    placed: Vec<Vec<Option<Place>>>,
    used: IndexSet<Place, RandomState>,
    follows: Vec<(usize, Follow)>,
    /// References from part to part: what they lead to in the part, and in the module.
    across: Vec<Across>,
    /// Where the kernel rewrites calls and jumps.
    sites: IndexSet<Place, RandomState>,
}

impl<'a> Linked<'a> {
    fn new(module: &'a Written<'a>, parts: &'a [Written<'a>], remade: bool) -> Self {
        let mut symbols: Map<&str, Vec<Symbol<'_>>> = Map::default();
        for symbol in module.symbols.iter().filter(|s| matches!(s.home, Home::Section(_))) {
            symbols.entry(symbol.name).or_default().push(*symbol);
        }
        let mut globals = Map::default();
        for (part, written) in parts.iter().enumerate() {
            for symbol in written.symbols.iter().filter(|s| s.bind != abi::STB_LOCAL) {
                if let Home::Section(section) = symbol.home {
                    globals.insert(symbol.name, (part, section, symbol.value));
                }
            }
        }
        let mut linked = Linked {
            module,
            parts,
            remade,
            symbols,
            globals,
            placed: parts.iter().map(|part| vec![None; part.sections.len()]).collect(),
            used: IndexSet::default(),
            follows: Vec::new(),
            across: Vec::new(),
            sites: IndexSet::default(),
        };
        linked.sites = linked.listed(sections::MCOUNT, 8);
        linked.sites.extend(linked.listed(sections::JUMP_TABLE, JUMP_ROW));
        linked
    }

    /// What the first fields of the rows of a table of the module lead to.
    fn listed(&self, table: &str, row: u64) -> IndexSet<Place, RandomState> {
        let tables = (0..self.module.sections.len() as u32)
            .filter(|&home| self.module.section(home).name == table);
        let refs = tables.flat_map(|home| self.module.refs(home));
        let fields = refs.filter(|r| r.offset.is_multiple_of(row));
        fields.filter_map(|r| self.leads(self.module, r)).collect()
    }

    fn leads(&self, file: &Written<'_>, reference: &Reference) -> Option<Place> {
        let To::Symbol(symbol) = reference.to else { return None };
        let (home, at) = file.place(symbol, reference.addend).ok()??;
        Some((home, u64::try_from(at).ok()?))
    }

    fn place_of(&self, part: usize, section: u32) -> Option<Place> {
        *self.placed.get(part)?.get(section as usize)?
    }

    /// Whether a follow leads to a section whose place is known, and to another place of it.
    fn contradicts(&self, part: usize, follow: &Follow) -> bool {
        let known = self.place_of(part, follow.section);
        known.is_some_and(|place| !leads_there(follow, place)) && !self.same_content(part, follow)
    }

    /// Whether both ends of a reference are equal elements of sections whose elements are merged.
    fn same_content(&self, part: usize, follow: &Follow) -> bool {
        let Some(file) = self.parts.get(part) else { return false };
        let section = file.section(follow.section);
        if section.flags & abi::SHF_MERGE == 0 {
            return false;
        }
        let home = self.module.section(follow.home);
        let bits = abi::SHF_ALLOC | abi::SHF_EXECINSTR;
        if section.kind != home.kind || (section.flags ^ home.flags) & bits != 0 {
            return false;
        }
        let place = |at: i64| u64::try_from(at.wrapping_add(follow.bias)).ok();
        let (Some(at), Some(to)) = (place(follow.at), place(follow.to)) else { return false };
        if section.flags & abi::SHF_STRINGS != 0 && section.entsize <= 1 {
            let ours = file.string(follow.section, at);
            return ours.is_some() && ours == self.module.string(follow.home, to);
        }
        let size = section.entsize.max(1);
        let element = |data: &'a [u8], at: u64| {
            data.get(usize::try_from(at).ok()?..usize::try_from(at.checked_add(size)?).ok()?)
        };
        let ours = element(section.data, at);
        ours.is_some() && ours == element(home.data, to)
    }

    /// How far before its target a reference of a section leads: where the processor counts from
    /// the end of the instruction, that is taken for the end of the field.
    fn bias(&self, file: &Written<'_>, section: u32, kind: u32) -> i64 {
        let code = file.section(section).flags & abi::SHF_EXECINSTR != 0;
        let from_end = Arch::from_machine(file.machine).is_ok_and(|arch| {
            matches!(arch.bias, Bias::InstructionEnd)
                && arch.reloc(kind).is_ok_and(|r| r.class == RelocClass::PcRelative)
        });
        if code && from_end { 4 } else { 0 }
    }

    /// What a section of a part leads to, if it may lie at a place of the module.
    fn fits(&self, part: usize, section: u32, place: Place) -> Result<Vec<Follow>> {
        let mut compared = Compared { follows: Vec::new(), across: Vec::new() };
        self.compare(part, section, place, &mut compared)?;
        match compared.follows.iter().find(|f| self.contradicts(part, f)) {
            None => Ok(compared.follows),
            Some(follow) => {
                let name = self.parts.get(part).map_or("", |p| p.section(follow.section).name);
                Err(differs(format!("a reference to {name} leads elsewhere in the module")))
            }
        }
    }

    fn place(&mut self, part: usize, section: u32, place: Place) -> Result<()> {
        let mut compared = Compared { follows: Vec::new(), across: Vec::new() };
        self.compare(part, section, place, &mut compared)?;
        let slot = self.placed.get_mut(part).and_then(|p| p.get_mut(section as usize));
        if let Some(slot) = slot {
            *slot = Some(place);
        }
        self.used.insert(place);
        self.follows.extend(compared.follows.into_iter().map(|follow| (part, follow)));
        self.across.extend(compared.across);
        Ok(())
    }

    /// Finds sections by the symbols that they define.
    fn place_symbols(&mut self) -> Result<()> {
        for (part, file) in self.parts.iter().enumerate() {
            for symbol in file.symbols.iter().filter(|s| is_thing(s)) {
                let Home::Section(section) = symbol.home else { continue };
                if self.place_of(part, section).is_some() || !is_linked(file, section) {
                    continue;
                }
                let mut reason = None;
                let place = self.candidates(symbol).find(|&place| {
                    let fits = self.fits(part, section, place);
                    reason = reason.take().or(fits.as_ref().err().cloned());
                    !self.used.contains(&place) && fits.is_ok()
                });
                let Some(place) = place else {
                    let error = reason.unwrap_or_else(|| differs("the link lost it"));
                    return Err(error.at_symbol(symbol.name));
                };
                self.place(part, section, place)?;
            }
        }
        Ok(())
    }

    /// Where the section of a part's symbol may begin in the module.
    fn candidates(&self, symbol: &Symbol<'a>) -> impl Iterator<Item = Place> + use<'a> {
        let mut named = self.symbols.get(symbol.name).cloned().unwrap_or_default();
        named.retain(|found| found.size == symbol.size || self.is_grown_prefix(found, symbol));
        let symbol = *symbol;
        named.into_iter().filter_map(move |found| {
            let Home::Section(home) = found.home else { return None };
            let traits = |s: &Symbol<'_>| (s.kind, s.bind, s.other);
            let same = traits(&found) == traits(&symbol);
            Some((home, found.value.checked_sub(symbol.value)?)).filter(|_| same)
        })
    }

    /// Whether objtool lets a prefix (`__cfi_f`) reach up to its function, where the compiler let it end with
    /// the hash of the type.
    fn is_grown_prefix(&self, found: &Symbol<'a>, symbol: &Symbol<'a>) -> bool {
        let arch = Arch::from_machine(self.module.machine).ok();
        let function = arch.and_then(|arch| arch.prefixed(symbol.name));
        let functions = function.and_then(|name| self.symbols.get(name)).into_iter().flatten();
        let end = found.value.checked_add(found.size);
        let mut starts = functions.filter(
            |f| matches!((f.home, found.home), (Home::Section(a), Home::Section(b)) if a == b),
        );
        found.size > symbol.size && starts.any(|f| Some(f.value) == end)
    }

    /// Follows references until nothing new is found.
    fn settle(&mut self) -> Result<()> {
        while let Some((part, follow)) = self.follows.pop() {
            let Some(file) = self.parts.get(part) else { continue };
            let name = file.section(follow.section).name;
            let wrong = || differs("a reference leads elsewhere in the module").in_section(name);
            if let Some(place) = self.place_of(part, follow.section) {
                if !leads_there(&follow, place) && !self.same_content(part, &follow) {
                    return Err(wrong().at_offset(follow.at.cast_unsigned()));
                }
                continue;
            }
            let start = follow.to.checked_sub(follow.at).and_then(|s| u64::try_from(s).ok());
            let place = start.map(|start| (follow.home, start)).ok_or_else(wrong);
            match place.and_then(|place| self.place(part, follow.section, place)) {
                Ok(()) => {}
                // The link merged equal elements: each is looked at where it is referred to.
                Err(_) if self.same_content(part, &follow) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finds what no name and no reference leads to: tables, whose rows lead to what is known.
    fn place_tables(&mut self) -> Result<()> {
        loop {
            let mut found = false;
            let mut lost = None;
            for (part, file) in self.parts.iter().enumerate() {
                for section in 1..file.sections.len() as u32 {
                    if self.place_of(part, section).is_some() || !is_linked(file, section) {
                        continue;
                    }
                    match self.search(part, section) {
                        Some(place) => {
                            self.place(part, section, place)?;
                            found = true;
                        }
                        None if self.remade && self.sites_are_listed(part, section) => {}
                        None if file.section(section).flags & abi::SHF_MERGE != 0 => {}
                        None => lost = Some(file.section(section).name),
                    }
                }
            }
            self.settle()?;
            match lost {
                Some(name) if !found => {
                    return Err(differs("the link lost rows, or changed them").in_section(name));
                }
                None => return Ok(()),
                Some(_) => {}
            }
        }
    }

    fn search(&self, part: usize, section: u32) -> Option<Place> {
        let input = self.parts.get(part)?.section(section);
        let [compiled, in_module] = sections::CFI_TRAPS;
        let linked = if input.name == compiled { in_module } else { input.name };
        let homes = (0..self.module.sections.len() as u32).filter(|&home| {
            let name = self.module.section(home).name;
            name == input.name || name == linked
        });
        let align = input.align.max(1);
        let places = homes.flat_map(|home| {
            let end = self.module.section(home).size.checked_sub(input.size);
            let starts = end.into_iter().flat_map(move |end| (0..=end).step_by(align as usize));
            starts.map(move |start| (home, start))
        });
        let mut free = places.filter(|place| !self.used.contains(place));
        free.find(|&place| self.fits(part, section, place).is_ok())
    }

    /// Whether a section lists entries of functions, and the table that objtool made lists all
    /// of them.
    fn sites_are_listed(&self, part: usize, section: u32) -> bool {
        let Some(file) = self.parts.get(part) else { return false };
        let refs = file.refs(section);
        file.section(section).name == sections::MCOUNT
            && refs.iter().all(|reference| {
                let place = self.leads(file, reference).and_then(|(section, at)| {
                    let (home, start) = self.place_of(part, section)?;
                    Some((home, start.checked_add(at)?))
                });
                place.is_some_and(|place| self.sites.contains(&place))
            })
    }

    /// Checks references from part to part.
    fn check_across(&self) -> Result<()> {
        for &((part, section, at), (home, to)) in &self.across {
            let place = self.place_of(part, section);
            let follow = Follow { section, at, home, to, bias: 0 };
            if !place.is_some_and(|place| leads_there(&follow, place)) {
                let name = self.parts.get(part).map_or("", |p| p.section(section).name);
                let error = differs("a reference of another object leads elsewhere in the module");
                return Err(error.in_section(name).at_offset(at.cast_unsigned()));
            }
        }
        Ok(())
    }

    /// Each symbol of a part is there, at its place.
    fn check_symbols(&self) -> Result<()> {
        for (part, file) in self.parts.iter().enumerate() {
            for symbol in file.symbols.iter().filter(|s| is_thing(s)) {
                let Home::Section(section) = symbol.home else { continue };
                let Some(place) = self.place_of(part, section) else { continue };
                if !self.candidates(symbol).any(|found| found == place) {
                    return Err(differs("it is not where its section is").at_symbol(symbol.name));
                }
            }
        }
        Ok(())
    }

    /// Tables have no rows about the code of a part but those of the part.
    fn check_rows(&self) -> Result<()> {
        let mut ranges: Vec<(Place, u64)> = Vec::new();
        for (part, file) in self.parts.iter().enumerate() {
            for section in 1..file.sections.len() as u32 {
                let size = file.section(section).size;
                ranges.extend(self.place_of(part, section).map(|place| (place, size)));
            }
        }
        ranges.sort_unstable();
        let covered = |(home, at): Place| {
            let upto = ranges.partition_point(|&((h, start), _)| (h, start) <= (home, at));
            upto.checked_sub(1)
                .and_then(|i| ranges.get(i))
                .is_some_and(|&((h, start), size)| h == home && at.wrapping_sub(start) < size)
        };
        let tables = TABLES.iter().map(|t| t.section).chain([livepatch::FUNCS, sections::MCOUNT]);
        for name in tables.collect::<IndexSet<_>>() {
            let has = |file: &Written<'_>| file.sections.iter().any(|s| s.name == name);
            // What no part has, objtool made.
            if !self.parts.iter().any(has) || self.remade && name == sections::MCOUNT {
                continue;
            }
            let homes = 1..self.module.sections.len() as u32;
            for home in homes.filter(|&home| self.module.section(home).name == name) {
                let mut rows = self.module.refs(home).iter().filter(|r| r.kind != NONE);
                let more = rows.find(|r| {
                    let place = self.leads(self.module, r);
                    !covered((home, r.offset)) && place.is_some_and(covered)
                });
                if let Some(more) = more {
                    let error = differs("there is a row that no object of the patch has");
                    return Err(error.in_section(name).at_offset(more.offset));
                }
            }
        }
        Ok(())
    }

    /// All that livepatch resolves belongs to a part, and nothing that a part asks for is lost.
    fn check_asked(&self) -> Result<()> {
        let is_asked = |r: &&Reference| matches!(r.to, To::Asked(_));
        let count = |refs: &[Reference]| refs.iter().filter(is_asked).count();
        let mut known = 0;
        for (part, file) in self.parts.iter().enumerate() {
            for section in 0..file.sections.len() as u32 {
                let asked = count(file.refs(section));
                match self.place_of(part, section) {
                    Some((home, start)) => {
                        let end = start.saturating_add(file.section(section).size);
                        known += count(self.module.within(home, start, end));
                    }
                    None if asked == 0 => {}
                    None => {
                        let error = differs("the link lost what livepatch would relocate");
                        return Err(error.in_section(file.section(section).name));
                    }
                }
            }
        }
        let all: usize = self.module.refs.iter().map(|refs| count(refs)).sum();
        match all == known {
            true => Ok(()),
            false => Err(differs("livepatch relocates what no object of the patch has")),
        }
    }
}

/// What a comparison leaves to be looked at.
struct Compared {
    follows: Vec<Follow>,
    across: Vec<Across>,
}

impl<'a> Linked<'a> {
    /// Compares a section of a part with the module's bytes at a place.
    fn compare(
        &self,
        part: usize,
        section: u32,
        place: Place,
        compared: &mut Compared,
    ) -> Result<()> {
        let Some(file) = self.parts.get(part) else { return Ok(()) };
        let name = file.section(section).name;
        self.compare_bytes(file, section, place).map_err(|e| e.in_section(name))?;
        let (home, start) = place;
        let end = start.saturating_add(file.section(section).size);
        let theirs = self.module.within(home, start, end);
        let mut theirs = theirs.iter().filter(|r| r.kind != NONE).peekable();
        for ours in file.refs(section).iter().filter(|r| r.kind != NONE) {
            let at = start.wrapping_add(ours.offset);
            let fail = |e: Error| e.in_section(name).at_offset(ours.offset);
            let same = theirs.next_if(|r| (r.offset, r.kind) == (at, ours.kind));
            match same {
                Some(theirs) => {
                    let bias = self.bias(file, section, ours.kind);
                    self.compare_targets((part, bias), ours, theirs, compared).map_err(fail)?;
                }
                None if self.is_off((home, at)) => {}
                None => return Err(fail(differs("the link lost a relocation"))),
            }
        }
        match theirs.next() {
            None => Ok(()),
            Some(more) => {
                let error = differs("there is a relocation that no object of the patch has");
                Err(error.in_section(name).at_offset(more.offset.wrapping_sub(start)))
            }
        }
    }

    fn compare_bytes(&self, file: &Written<'a>, section: u32, place: Place) -> Result<()> {
        let (home, start) = place;
        let (input, output) = (file.section(section), self.module.section(home));
        let end = start.checked_add(input.size).filter(|&end| end <= output.size);
        let end = end.ok_or_else(|| differs("it is cut short in the module"))?;
        if !start.is_multiple_of(input.align.max(1)) || output.align < input.align {
            return Err(differs("it is not aligned in the module"));
        }
        let kept = abi::SHF_ALLOC | abi::SHF_EXECINSTR;
        let lost = input.flags & abi::SHF_WRITE & !output.flags;
        if (input.flags ^ output.flags) & kept != 0 || lost != 0 {
            return Err(differs("its flags are others in the module"));
        }
        if output.relocs.is_some_and(|flags| flags & !abi::SHF_GROUP != abi::SHF_INFO_LINK) {
            return Err(differs("its relocation table has other flags"));
        }
        if input.kind != output.kind && input.kind != abi::SHT_NOBITS {
            return Err(differs("its type is another in the module"));
        }
        let theirs = output.data.get(start as usize..end as usize);
        let (ours, theirs) = match (input.kind, output.kind) {
            (abi::SHT_NOBITS, abi::SHT_NOBITS) => return Ok(()),
            (abi::SHT_NOBITS, _) => {
                let zeros = theirs.is_some_and(|bytes| bytes.iter().all(|&b| b == 0));
                return if zeros { Ok(()) } else { Err(differs("its bytes are not zero")) };
            }
            _ => (input.data, theirs.unwrap_or(&[])),
        };
        if ours.len() != theirs.len() {
            return Err(differs("it has no bytes in the module"));
        }
        let differ = ours.iter().zip(theirs).enumerate().filter(|(_, (a, b))| a != b);
        for (at, _) in differ {
            if !self.is_off((home, start.wrapping_add(at as u64))) {
                let error = differs("a byte is another in the module");
                return Err(error.at_offset(at as u64));
            }
        }
        Ok(())
    }

    /// Whether a byte is one of the padding that objtool puts in the place of a call or a jump
    /// that the kernel rewrites.
    fn is_off(&self, (home, at): Place) -> bool {
        let data = self.module.section(home).data;
        (0..5).filter_map(|back| at.checked_sub(back)).any(|site| {
            let rest = data.get(site as usize..).unwrap_or(&[]);
            let padding = PADDING.iter().find(|padding| rest.starts_with(padding));
            padding.is_some_and(|padding| at - site < padding.len() as u64)
                && self.sites.contains(&(home, site))
        })
    }

    /// Compares what a relocation of a part and that of the module lead to.
    fn compare_targets(
        &self,
        (part, bias): (usize, i64),
        ours: &Reference,
        theirs: &Reference,
        compared: &mut Compared,
    ) -> Result<()> {
        let Some(file) = self.parts.get(part) else { return Ok(()) };
        let (ours_to, theirs_to) = match (ours.to, theirs.to) {
            (To::Symbol(ours), To::Symbol(theirs)) => (ours, theirs),
            (To::Asked(a), To::Asked(b)) => return self.compare_asked(file, ours, theirs, (a, b)),
            _ => return Err(differs("the wrong side would apply a relocation")),
        };
        let (symbol, found) = (file.symbol(ours_to)?, self.module.symbol(theirs_to)?);
        let wrong = || Err(differs("a relocation leads elsewhere in the module"));
        let at = symbol.value.cast_signed().wrapping_add(ours.addend);
        let to = found.value.cast_signed().wrapping_add(theirs.addend);
        match (symbol.home, found.home) {
            (Home::Section(section), Home::Section(home)) => {
                compared.follows.push(Follow { section, at, home, to, bias });
            }
            (Home::Undefined, Home::Section(home)) if !symbol.name.is_empty() => {
                match self.globals.get(symbol.name) {
                    Some(&(part, section, value)) => {
                        let at = value.cast_signed().wrapping_add(ours.addend);
                        compared.across.push(((part, section, at), (home, to)));
                    }
                    // The build itself adds it.
                    None if symbol.name == symbols::THIS_MODULE
                        && (symbol.name, ours.addend) == (found.name, theirs.addend) => {}
                    None => return wrong(),
                }
            }
            (Home::Undefined, Home::Undefined) => {
                // A reference elsewhere may insist on it.
                let bind = found.bind == symbol.bind
                    || (symbol.bind, found.bind) == (abi::STB_WEAK, abi::STB_GLOBAL);
                if (symbol.name, ours.addend) != (found.name, theirs.addend) || !bind {
                    return wrong().map_err(|e: Error| e.at_symbol(symbol.name));
                }
            }
            (Home::Reserved(ours), Home::Reserved(theirs)) if (ours, at) == (theirs, to) => {}
            _ => return wrong().map_err(|e: Error| e.at_symbol(symbol.name)),
        }
        Ok(())
    }

    fn compare_asked(
        &self,
        file: &Written<'a>,
        ours: &Reference,
        theirs: &Reference,
        (a, b): (u32, u32),
    ) -> Result<()> {
        let asked = file.asked.get(a as usize).zip(self.module.asked.get(b as usize));
        let same = asked.is_some_and(|(a, b)| {
            // What the kernel itself has is there when the module is loaded.
            let patched = if a.object == "vmlinux" { "vmlinux" } else { a.patched };
            // Of what several parts ask for, the link has one symbol: its type is that of who
            // knows it, and it is weak when all of them are.
            let mut all = self.parts.iter().flat_map(|part| &part.asked);
            let known = |x: &Asked<'_>| {
                (x.object, x.name, x.position, x.kind) == (b.object, b.name, b.position, b.kind)
            };
            let kind = a.kind == b.kind || a.kind == abi::STT_NOTYPE && all.any(known);
            let bind = a.bind == b.bind || (a.bind, b.bind) == (abi::STB_WEAK, abi::STB_GLOBAL);
            kind && bind
                && (patched, a.object, a.name, a.position)
                    == (b.patched, b.object, b.name, b.position)
        });
        match same && ours.addend == theirs.addend {
            true => Ok(()),
            false => Err(differs("livepatch would resolve another symbol")),
        }
    }
}

/// Whether a reference leads to the byte of its section that it should, when that begins at `place`.
fn leads_there(follow: &Follow, (home, start): Place) -> bool {
    home == follow.home && follow.at.wrapping_add_unsigned(start) == follow.to
}

/// Whether a symbol is a function or a variable.
fn is_thing(symbol: &Symbol<'_>) -> bool {
    matches!(symbol.kind, abi::STT_FUNC | abi::STT_OBJECT) && !symbol.name.is_empty()
}

/// Whether the link puts a section into the module.
fn is_linked(file: &Written<'_>, section: u32) -> bool {
    let section = file.section(section);
    let name = section.name;
    let left_out = name.starts_with(sections::DISCARDED)
        || names::RESOLVED.contains(&name)
        || name == names::ARCH;
    section.flags & abi::SHF_ALLOC != 0 && section.size > 0 && !left_out
}
