//! The form that the kernel's `klp-build` links a module from, read and proved.
//!
//! What livepatch is asked for is a row of `__klp_relocs.OBJECT`, and an ordinary relocation of
//! the same place to what stands for it (`patch::klp_build`). Both must say the same; then they
//! are one reference like those of the other forms.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows and stretches are within sections, which are in memory"
)]

use super::differs;
use super::names::{ROW_ALIGN, is_own};
use super::walk::Walk;
use super::written::{Asked, Home, Symbol, To, Written};
use crate::diag::{Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Patched, SymbolId};
use crate::kernel::knowledge::klp_build;
use crate::kernel::knowledge::macros::{POINTER_NAMES, POINTERS};
use crate::patch::format::klp::SymbolName;

impl<'a> Written<'a> {
    /// Brings the rows of `__klp_relocs.OBJECT` into the form of the other references.
    pub(super) fn read_klp_build(&mut self) -> Result<()> {
        let tables = [klp_build::OBJECTS, klp_build::FUNCTIONS, klp_build::STRINGS];
        self.is_klp_build = self
            .sections
            .iter()
            .any(|s| tables.contains(&s.name) || s.name.starts_with(klp_build::RELOCATIONS));
        if !self.is_klp_build {
            return Ok(());
        }
        for home in 1..self.sections.len() as u32 {
            let section = self.section(home);
            let Some(object) = section.name.strip_prefix(klp_build::RELOCATIONS) else { continue };
            for at in (0..section.size).step_by(klp_build::RELOCATION_ROW as usize) {
                self.read_row(home, at, object)
                    .map_err(|e| e.in_section(section.name).at_offset(at))?;
            }
        }
        let stands = |r: &super::written::Reference| match r.to {
            To::Symbol(index) => {
                let symbol = self.symbols.get(index as usize);
                symbol.is_some_and(|s| s.name.starts_with(klp_build::TOMBSTONE))
            }
            To::Asked(_) => false,
        };
        match self.refs.iter().flatten().find(|r| stands(r)) {
            Some(left) => {
                Err(differs("livepatch is not asked for what this needs").at_offset(left.offset))
            }
            None => Ok(()),
        }
    }

    fn read_row(&mut self, home: u32, at: u64, patched: &'a str) -> Result<()> {
        let wrong = || differs("a row of what livepatch relocates is wrong");
        let empty = [at, at + 8].iter().all(|&at| self.number::<8>(home, at) == Some(0))
            && self.number::<4>(home, at + 20) == Some(0);
        let kind = self.number::<4>(home, at + 16).filter(|_| empty).ok_or_else(wrong)?;
        let [place, wanted] = self.within(home, at, at + klp_build::RELOCATION_ROW) else {
            return Err(wrong());
        };
        let (&place, &wanted) = (place, wanted);
        if (place.offset, wanted.offset) != (at, at + 8) || place.kind != wanted.kind {
            return Err(wrong());
        }
        if *self.pointer_kind.get_or_insert(place.kind) != place.kind {
            return Err(wrong());
        }
        let (To::Symbol(base), To::Symbol(symbol)) = (place.to, wanted.to) else {
            return Err(wrong());
        };
        let (base, offset) = self.place(base, place.addend)?.ok_or_else(wrong)?;
        let asked = asked(&self.symbol(symbol)?, patched).ok_or_else(wrong)?;
        let tombstone = format!("{}{}", klp_build::TOMBSTONE, asked.name);
        let refs = self.refs.get(base as usize).map_or(&[][..], |refs| refs);
        let stands = refs.iter().position(|r| {
            let To::Symbol(index) = r.to else { return false };
            let symbol = self.symbols.get(index as usize);
            r.offset.cast_signed() == offset
                && (u64::from(r.kind), r.addend) == (kind, wanted.addend)
                && symbol.is_some_and(|s| s.name == tombstone && is_weak(s, asked.kind))
        });
        let stands = stands.ok_or_else(|| {
            differs("the code does not say what livepatch is asked for").at_symbol(asked.name)
        })?;
        let to = To::Asked(self.asked.len() as u32);
        self.asked.push(asked);
        if let Some(reference) = self.refs.get_mut(base as usize).and_then(|r| r.get_mut(stands)) {
            reference.to = to;
        }
        Ok(())
    }
}

/// Whether a symbol is weak, and nobody defines it.
fn is_weak(symbol: &Symbol<'_>, kind: u8) -> bool {
    let all = (symbol.bind, symbol.kind, symbol.other, symbol.home);
    all == (abi::STB_WEAK, kind, 0, Home::Undefined) && (symbol.value, symbol.size) == (0, 0)
}

/// What a `.klp.sym.OBJECT.NAME,POSITION` asks for.
fn asked<'a>(symbol: &Symbol<'a>, patched: &'a str) -> Option<Asked<'a>> {
    let named = SymbolName::decode(symbol.name).filter(|_| is_weak(symbol, symbol.kind));
    let SymbolName { object, name, position } = named?;
    let Symbol { bind, kind, .. } = *symbol;
    Some(Asked { patched, object, name, position, bind, kind, more: None })
}

impl Walk<'_> {
    /// Fails unless the tables of `klp-build` are right.
    pub(super) fn check_klp_build(&mut self) -> Result<()> {
        for section in &self.written.sections {
            let strings = section.name == klp_build::STRINGS;
            let relocations = section.name.starts_with(klp_build::RELOCATIONS);
            let row = match section.name {
                klp_build::OBJECTS => klp_build::OBJECT_ROW,
                klp_build::FUNCTIONS => klp_build::FUNCTION_ROW,
                klp_build::STRINGS => 1,
                _ if relocations => klp_build::RELOCATION_ROW,
                _ => continue,
            };
            let more = if strings { abi::SHF_MERGE | abi::SHF_STRINGS } else { 0 };
            let align = if strings { 1 } else { ROW_ALIGN };
            let entsize = if relocations { 0 } else { row };
            let wanted = (abi::SHT_PROGBITS, abi::SHF_ALLOC | more, align, entsize);
            if wanted != (section.kind, section.flags, section.align, section.entsize)
                || !section.size.is_multiple_of(row)
                || !section.has_plain_relocs()
                || strings && section.data.first() != Some(&0)
            {
                let what = "type, flags, alignment, size or size of entries are wrong";
                return Err(differs(what).in_section(section.name));
            }
        }
        let functions =
            self.check_klp_functions().map_err(|e| e.in_section(klp_build::FUNCTIONS))?;
        self.check_klp_object(functions).map_err(|e| e.in_section(klp_build::OBJECTS))
    }

    fn check_klp_functions(&mut self) -> Result<Vec<SymbolId<Patched>>> {
        let Some(home) = self.written.only(klp_build::FUNCTIONS)? else { return Ok(Vec::new()) };
        let size = self.written.section(home).size;
        let mut listed = Vec::new();
        for at in (0..size).step_by(klp_build::FUNCTION_ROW as usize) {
            let id = self.check_klp_function(home, at).map_err(|e| e.at_offset(at))?;
            listed.push(id);
        }
        Ok(listed)
    }

    fn check_klp_function(&mut self, home: u32, at: u64) -> Result<SymbolId<Patched>> {
        let (id, found) = self.listed_function(home, at + 8)?;
        let name = self.prover.layout().object.symbol_name(id);
        let fail = |what: &str| -> Error { differs(what).at_symbol(name) };
        let position = self.written.number::<8>(home, at + 16);
        let position = position.ok_or_else(|| fail("the row is cut short"))?;
        let parent = self.prover.lookup.running.parent.name();
        let text = self.klp_text(home, at)?;
        self.check_position(&found, (parent, text, position)).map_err(|e| e.at_symbol(name))?;
        Ok(id)
    }

    /// The row that says what object is patched, and how.
    fn check_klp_object(&mut self, functions: Vec<SymbolId<Patched>>) -> Result<()> {
        self.check_all_listed(&functions)?;
        let home = self.written.only(klp_build::OBJECTS)?;
        let home = home.ok_or_else(|| differs("there is no table of objects"))?;
        if self.written.section(home).size != klp_build::OBJECT_ROW {
            return Err(differs("there is not one object"));
        }
        let parent = self.prover.lookup.running.parent.name();
        let is_right = match self.pointer(home, 0)? {
            None => parent == "vmlinux",
            Some(_) => parent != "vmlinux" && self.klp_text(home, 0)? == parent,
        };
        if !is_right {
            return Err(differs("another object is patched"));
        }
        let table = self.pointer(home, 8)?.map(|(s, a)| self.written.place(s, a)).transpose()?;
        let wanted = self.written.only(klp_build::FUNCTIONS)?.map(|home| (home, 0));
        if table.flatten() != wanted {
            return Err(differs("the functions of the object are others"));
        }
        let count = self.written.number::<4>(home, klp_build::FUNCTION_COUNT);
        let rest = self.written.number::<4>(home, klp_build::FUNCTION_COUNT + 4);
        let flag = self.written.number::<8>(home, 48);
        if (count, rest, flag) != (Some(functions.len() as u64), Some(0), Some(0)) {
            return Err(differs("the number of functions is another"));
        }
        let refs = self.written.refs(home);
        if refs.iter().any(|r| r.offset % 8 != 0 || r.offset > 40) {
            return Err(differs("there is a pointer where none belongs"));
        }
        for (place, prefix) in (0..).zip(POINTER_NAMES) {
            self.check_klp_callback(home, 16 + 8 * place, prefix)?;
        }
        Ok(())
    }

    /// The callback of one kind must be that of the variable which the macro made.
    fn check_klp_callback(&self, home: u32, at: u64, prefix: &str) -> Result<()> {
        let there = self.pointer(home, at)?.map(|(s, a)| self.written.place(s, a)).transpose()?;
        let mut wanted = None;
        for symbol in self.written.symbols.iter().filter(|s| s.name.starts_with(prefix)) {
            let Home::Section(section) = symbol.home else { continue };
            if self.written.section(section).name != POINTERS {
                continue;
            }
            let pointer = self.pointer(section, symbol.value)?;
            let place = pointer.map(|(s, a)| self.written.place(s, a)).transpose()?.flatten();
            if wanted.replace(place).is_some() {
                return Err(differs("there are two callbacks of one kind").at_symbol(symbol.name));
            }
        }
        match there == wanted {
            true => Ok(()),
            false => Err(differs("a callback is another").at_offset(at)),
        }
    }

    fn klp_text(&self, home: u32, at: u64) -> Result<&str> {
        debug_assert!(is_own(self.written.section(home).name));
        self.text_in(klp_build::STRINGS, home, at)
    }
}
