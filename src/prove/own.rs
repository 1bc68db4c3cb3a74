//! What the tools add for the kernel: tables of functions and of ftrace sites.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows and stretches are within sections, which are in memory"
)]

use indexmap::IndexSet;

use super::differs;
use super::names::{ARCH, CALLS, ENTRIES, FUNCTIONS, MODINFO, STRINGS, is_own};
use super::walk::Walk;
use super::written::{Section, To};
use crate::arch::SiteTable;
use crate::diag::{Error, Result};
use crate::diff::select::status::Status;
use crate::elf::abi;
use crate::elf::ids::{Patched, SymbolId};
use crate::kernel::knowledge::macros;
use crate::kernel::knowledge::tables::KLP_ARCH_SECTIONS;
use crate::patch::format::kpatch::{ArchRow, FunctionRow, Layout, RelocationRow, SymbolRow};
use crate::running::parent::Found;

impl<'a> Walk<'a> {
    /// Fails unless the tables that the tools add are right.
    pub(super) fn check_own(&mut self) -> Result<()> {
        if self.written.is_klp_build {
            self.check_klp_build()?;
        } else {
            self.check_tables()?;
            self.check_functions().map_err(|e| e.in_section(FUNCTIONS))?;
        }
        self.check_sites()?;
        self.check_callbacks()?;
        self.check_namespaces()?;
        self.check_arch()
    }

    /// A table of the tools, whose headers and size are right.
    fn own(&self, name: &str, entsize: u64) -> Result<Option<(u32, Section<'_>)>> {
        let Some(home) = self.written.only(name)? else { return Ok(None) };
        let section = self.written.section(home);
        let align = if name == STRINGS { 1 } else { 8 };
        let wanted = (abi::SHT_PROGBITS, abi::SHF_ALLOC, align, entsize);
        if wanted != (section.kind, section.flags, section.align, section.entsize)
            || !section.size.is_multiple_of(entsize)
            || !section.has_plain_relocs()
        {
            let what = "type, flags, alignment, size or size of entries are wrong";
            return Err(differs(what).in_section(name));
        }
        Ok(Some((home, section)))
    }

    /// Fails unless the headers of all tables of the tools are right, and fields that hold
    /// pointers have no other contents.
    fn check_tables(&self) -> Result<()> {
        self.own(STRINGS, 1)?.ok_or_else(|| differs("there are no names").in_section(STRINGS))?;
        for Layout { section: name, size, pointers, padding } in
            [RelocationRow::LAYOUT, SymbolRow::LAYOUT]
        {
            let Some((home, section)) = self.own(name, size)? else { continue };
            let pointer = self.prover.layout().arch.abs64;
            if self.written.pointer_kind.is_some_and(|kind| kind != pointer) {
                return Err(differs("pointers have another type").in_section(name));
            }
            for at in (0..section.size).step_by(size as usize) {
                let blank = |&field: &u64| self.written.number::<8>(home, at + field) == Some(0);
                let mut rest = padding.clone();
                let empty = |b| self.written.number::<1>(home, at + b) == Some(0);
                if !pointers.iter().all(blank) || !rest.all(empty) {
                    return Err(differs("a field is not empty").in_section(name).at_offset(at));
                }
            }
        }
        Ok(())
    }

    /// The text that a pointer in a table leads to.
    fn text(&self, home: u32, at: u64) -> Result<&str> {
        self.text_in(STRINGS, home, at)
    }

    /// The text of section `strings` that a pointer in a table leads to.
    pub(super) fn text_in(&self, strings: &str, home: u32, at: u64) -> Result<&str> {
        let strings = self.written.only(strings)?;
        let pointer = self.pointer(home, at)?;
        let text = pointer.and_then(|(symbol, addend)| {
            let (section, at) = self.written.place(symbol, addend).ok()??;
            let at = u64::try_from(at).ok().filter(|_| Some(section) == strings)?;
            self.written.string(section, at)
        });
        text.ok_or_else(|| differs("a pointer to a name is wrong").at_offset(at))
    }

    /// Symbol and addend of the only relocation of a pointer.
    pub(super) fn pointer(&self, home: u32, at: u64) -> Result<Option<(u32, i64)>> {
        let arch = self.prover.layout().arch;
        let own = is_own(self.written.section(home).name);
        if own && self.written.number::<8>(home, at) != Some(0) {
            return Err(differs("a field is not empty").at_offset(at));
        }
        match self.written.within(home, at, at + 8) {
            [] => Ok(None),
            [one] if one.offset == at && one.kind == arch.abs64 => match one.to {
                To::Symbol(symbol) => Ok(Some((symbol, one.addend))),
                To::Asked(_) => {
                    Err(differs("livepatch relocates a table of the tools").at_offset(at))
                }
            },
            _ => Err(differs("a pointer is wrong").at_offset(at)),
        }
    }

    fn check_functions(&mut self) -> Result<()> {
        let Some((home, section)) = self.own(FUNCTIONS, FunctionRow::LAYOUT.size)? else {
            return Err(differs("the table of functions is missing"));
        };
        let size = section.size;
        let mut listed = Vec::new();
        for at in (0..size).step_by(FunctionRow::LAYOUT.size as usize) {
            listed.push(self.check_function(home, at).map_err(|e| e.at_offset(at))?);
        }
        self.check_all_listed(&listed)
    }

    /// Fails unless all functions that are replaced are listed, each once.
    pub(super) fn check_all_listed(&self, functions: &[SymbolId<Patched>]) -> Result<()> {
        let listed: IndexSet<SymbolId<Patched>, foldhash::fast::RandomState> =
            functions.iter().copied().collect();
        if listed.len() != functions.len() {
            return Err(differs("a function is listed twice"));
        }
        let layout = self.prover.layout();
        let mut carried = self.symbols.iter().flatten();
        let lost = carried.find(|&&id| self.is_replaced(id) && !listed.contains(&id));
        match lost {
            None => Ok(()),
            Some(&id) => Err(differs("a changed function is not listed")
                .at_symbol(layout.object.symbol_name(id))),
        }
    }

    /// Whether the patch must redirect callers of a function to its own.
    pub(super) fn is_replaced(&self, id: SymbolId<Patched>) -> bool {
        let layout = self.prover.layout();
        layout.object.symbol_kind(id) == abi::STT_FUNC
            && self.prover.statuses.symbols[id] == Status::Changed
            && layout.split_from(id).is_none()
            && !layout.is_prefix(id)
    }

    /// Fails for what no patch redirects.
    fn check_listed_function(&self, id: SymbolId<Patched>) -> Result<()> {
        let is_function = self.prover.layout().object.symbol_kind(id) == abi::STT_FUNC;
        match is_function && self.prover.statuses.symbols[id] == Status::Changed {
            true => Ok(()),
            false => Err(differs("what did not change is listed")),
        }
    }

    /// The function of the patch that a row's pointer at `at` leads to, and the one that it
    /// replaces.
    pub(super) fn listed_function(
        &mut self,
        home: u32,
        at: u64,
    ) -> Result<(SymbolId<Patched>, Found<'a>)> {
        let symbol = self.pointer(home, at)?.filter(|&(_, addend)| addend == 0);
        let id = symbol.and_then(|(symbol, _)| *self.symbols.get(symbol as usize)?);
        let Some(id) = id else { return Err(differs("no function of the patch is listed")) };
        let name = self.prover.layout().object.symbol_name(id);
        self.check_listed_function(id).map_err(|e| e.at_symbol(name))?;
        let found = self.lookup(id)?;
        let found = found.ok_or_else(|| differs("the kernel does not have it").at_symbol(name))?;
        Ok((id, found))
    }

    fn check_function(&mut self, home: u32, at: u64) -> Result<SymbolId<Patched>> {
        let (id, found) = self.listed_function(home, at)?;
        let layout = self.prover.layout();
        let name = layout.object.symbol_name(id);
        let fail = |what: &str| -> Error { differs(what).at_symbol(name) };
        let row = self.written.row(home, at, FunctionRow::decode);
        let row = row.ok_or_else(|| fail("the row is cut short"))?;
        let object = self.text(home, at + FunctionRow::OBJECT)?;
        let texts = (object, self.text(home, at + FunctionRow::NAME)?, row.position);
        self.check_position(&found, texts).map_err(|e| e.at_symbol(name))?;
        let sizes = [layout.object.symbol_size(id), found.addr, found.size];
        if sizes != [row.new_size, row.old_address, row.old_size] {
            return Err(fail("size or address in its row is wrong"));
        }
        Ok(id)
    }

    /// Checks that ftrace finds the functions of the patch, and nothing else.
    fn check_sites(&self) -> Result<()> {
        let layout = self.prover.layout();
        let table = (layout.arch.site_table)(layout.has_pfe());
        let by_objtool = self.prover.remade && layout.section_named(table.section()).is_none();
        let (mut wanted, mut allowed) = (Vec::new(), Vec::new());
        for (symbol, id) in self.written.symbols.iter().zip(&self.symbols) {
            let (super::written::Home::Section(home), &Some(id)) = (symbol.home, id) else {
                continue;
            };
            let Some(section) = layout.object.section_of(id).filter(|_| layout.has_profiling(id))
            else {
                continue;
            };
            if by_objtool {
                break;
            }
            let site = self.site(id, section)?.offset;
            let distance = site.wrapping_sub(layout.object.symbol_value(id));
            let place = (home, symbol.value.wrapping_add(distance));
            if self.is_hooked(id) {
                wanted.push((place, id));
            }
            allowed.push(place);
        }
        allowed.sort_unstable();
        let mut listed = self.listed_sites(table)?;
        listed.sort_unstable();
        if let Some(&(place, id)) = wanted.iter().find(|w| listed.binary_search(&w.0).is_err()) {
            let what = format!("ftrace is not told of its entry (+{:#x})", place.1);
            return Err(differs(what).at_symbol(layout.object.symbol_name(id)));
        }
        let twice = listed.windows(2).find(|pair| {
            pair.first() == pair.last()
                && allowed.iter().filter(|&a| Some(a) == pair.first()).count() < 2
        });
        let strange = listed.iter().find(|l| allowed.binary_search(l).is_err());
        match strange.or(twice.and_then(|pair| pair.first())) {
            None => Ok(()),
            Some(&(home, at)) => Err(differs("ftrace is told of what is no entry")
                .in_section(self.written.section(home).name)
                .at_offset(at)),
        }
    }

    fn listed_sites(&self, table: SiteTable) -> Result<Vec<(u32, u64)>> {
        let mut listed = Vec::new();
        let name = table.section();
        for home in 1..self.written.sections.len() as u32 {
            let section = self.written.section(home);
            if ![CALLS, ENTRIES].contains(&section.name) {
                continue;
            }
            let fail = |what: &str| differs(what).in_section(section.name);
            let headers = (section.kind, section.align, section.entsize, section.size % 8);
            if section.name != name
                || headers != (abi::SHT_PROGBITS, 8, 8, 0)
                || !section.has_plain_relocs()
            {
                return Err(fail("the table of ftrace's sites is another"));
            }
            for at in (0..section.size).step_by(8) {
                let pointer = self.pointer(home, at).map_err(|e| e.in_section(section.name))?;
                let place = pointer.and_then(|(s, a)| self.written.place(s, a).ok().flatten());
                let place = place.and_then(|(s, at)| Some((s, u64::try_from(at).ok()?)));
                let place = place.ok_or_else(|| fail("a site is nowhere").at_offset(at))?;
                listed.push(place);
                self.check_site_flags(&section, place.0).map_err(|e| e.in_section(section.name))?;
            }
        }
        Ok(listed)
    }

    fn check_site_flags(&self, section: &Section<'_>, home: u32) -> Result<()> {
        let mut wanted = abi::SHF_ALLOC;
        let mut link = 0;
        if section.name == ENTRIES {
            wanted |= abi::SHF_WRITE;
            link = home;
            if self.prover.layout().pfe_ordered() {
                wanted |= abi::SHF_LINK_ORDER;
            }
        }
        match (section.flags, section.link) == (wanted, link) {
            true => Ok(()),
            false => Err(differs("flags or the section that it belongs to are wrong")),
        }
    }

    /// Each callback must know which object it is for.
    fn check_callbacks(&self) -> Result<()> {
        for name in macros::CALLBACKS {
            let Some(home) = self.written.only(name)? else { continue };
            let object = self.text(home, 8).map_err(|e| e.in_section(name))?;
            if object != self.prover.lookup.running.parent.name() {
                return Err(differs("a callback is for another object").in_section(name));
            }
        }
        Ok(())
    }

    /// The patch imports the namespaces of symbols that the patched object does.
    fn check_namespaces(&self) -> Result<()> {
        let layout = self.prover.layout();
        let ours = layout.section_named(MODINFO).map_or(&[][..], |s| layout.object.contents(s));
        let theirs = self.written.only(MODINFO)?.map_or(&[][..], |s| self.written.section(s).data);
        match namespaces(ours) == namespaces(theirs) {
            true => Ok(()),
            false => Err(differs("namespaces of symbols are not imported").in_section(MODINFO)),
        }
    }

    /// Kernels before 5.8 apply these sections when the object is loaded.
    fn check_arch(&self) -> Result<()> {
        let parent = self.prover.lookup.running.parent.name();
        let Some((home, section)) = self.own(ARCH, ArchRow::LAYOUT.size)? else { return Ok(()) };
        let fail = |what: &str| differs(what).in_section(ARCH);
        let mut listed = Vec::new();
        for at in (0..section.size).step_by(ArchRow::LAYOUT.size as usize) {
            let place =
                self.pointer(home, at)?.map(|(s, a)| self.written.place(s, a)).transpose()?;
            match place.flatten() {
                Some((section, 0)) => listed.push(self.written.section(section).name),
                _ => return Err(fail("a row leads to no section")),
            }
            if self.text(home, at + ArchRow::OBJECT)? != parent {
                return Err(fail("a row is for another object"));
            }
        }
        for name in KLP_ARCH_SECTIONS {
            let there = self.written.only(name)?.is_some();
            if there != listed.contains(&name) {
                return Err(fail("a section is not listed").at_symbol(name));
            }
        }
        Ok(())
    }
}

/// The namespaces that a `.modinfo` section imports, sorted.
fn namespaces(data: &[u8]) -> Vec<&[u8]> {
    const KEY: &[u8] = b"import_ns=";
    let texts = data.split(|&b| b == 0);
    let mut all: Vec<&[u8]> = texts
        .filter_map(|text| text.get(text.windows(KEY.len()).position(|w| w == KEY)?..))
        .collect();
    all.sort_unstable();
    all
}
