//! Rows of the kernel's tables: those that describe what is carried, and no others.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows and stretches are within sections, which are in memory"
)]

use super::differs;
use super::walk::{Item, Walk};
use super::written::To;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId};
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::symbols;
use crate::kernel::knowledge::tables::Filter;
use crate::kernel::layout::Class;
use crate::kernel::objtool;
use crate::kernel::refs::Refs;
use crate::kernel::rows::{Row, TableRows};

impl<'a> Walk<'a> {
    /// The tables that are cut into rows in a section.
    pub(super) fn rows_of_section(
        &self,
        section: SectionId<Patched>,
    ) -> impl Iterator<Item = &'a TableRows<Patched>> + use<'a> {
        let tables = &self.prover.lookup.pair.patched.rows.tables;
        tables.iter().filter(move |t| t.section == section)
    }

    /// How much of the code is meant that a field of a table leads to, where its row says that.
    pub(super) fn replacement_length(&self, base: SectionId<Patched>, field: u64) -> Option<u64> {
        let layout = self.prover.layout();
        let size = layout.object.section_size(base);
        let table = self.rows_of_section(base).next()?;
        let extent = table.replacement()?;
        let (start, _) = table.span(table.at(field)?, size);
        let length = layout.object.contents(base).get((start + extent.length) as usize)?;
        (field - start == extent.field).then_some(u64::from(*length))
    }

    /// Finds out which rows those of the output are, as far as it is known what they describe;
    /// whether there were any.
    pub(super) fn match_rows(&mut self) -> Result<bool> {
        self.places.sort();
        let mut progress = false;
        for home in 1..self.written.sections.len() as u32 {
            let name = self.written.section(home).name;
            let tables = &self.prover.lookup.pair.patched.rows.tables;
            let Some(table) = tables.iter().find(|t| self.is_table(t, name)) else { continue };
            let size = self.prover.layout().object.section_size(table.section);
            let row = table.span(0, size).1;
            if table.table.row.is_by_exception_table() || row == 0 {
                continue;
            }
            progress |= self.match_table(home, row, name)?;
        }
        Ok(progress)
    }

    fn is_table(&self, table: &TableRows<Patched>, name: &str) -> bool {
        self.prover.lookup.pair.output_section_name(table.section) == name
    }

    fn match_table(&mut self, home: u32, row: u64, name: &str) -> Result<bool> {
        let size = self.written.section(home).size;
        let mut progress = false;
        let mut last = None;
        let starts = (0..size).step_by(row as usize);
        // All of them now: what is found below is not in order.
        let known: Vec<_> = starts.clone().map(|at| self.places.origin(home, at)).collect();
        for (start, origin) in starts.zip(known) {
            if let Some((section, at)) = origin {
                last = Some((section, at));
                continue;
            }
            let end = (start + row).min(size);
            let Some((section, from)) = self.row_like(home, (start, end), name, last) else {
                continue;
            };
            last = Some((section, from));
            self.want(Item { section, start: from, end: from + (end - start), to: (home, start) })?;
            progress = true;
        }
        Ok(progress)
    }

    /// The row of the patched object that describes the same code, in the same way, as a row of
    /// the output, and is not another row of it. Where a row describes nothing that is carried,
    /// it is the next after the row before.
    fn row_like(
        &self,
        home: u32,
        (start, end): (u64, u64),
        name: &str,
        last: Option<(SectionId<Patched>, u64)>,
    ) -> Option<(SectionId<Patched>, u64)> {
        let rows = &self.prover.lookup.pair.patched.rows;
        let object = self.prover.layout().object;
        let fits = |table: &TableRows<Patched>, row: usize| {
            let (from, to) = table.span(row, object.section_size(table.section));
            let free = !self.known.contains_key(&(table.section, from, to));
            (free
                && self.is_table(table, name)
                && self.looks_like(home, (start, end), table.section, (from, to)))
            .then_some((table.section, from))
        };
        let table = rows.tables.iter().find(|t| self.is_table(t, name))?.table;
        let code = table.code;
        let described = self.written.within(home, start + code, start + code + 1).first();
        let place = described.and_then(|reference| match reference.to {
            To::Symbol(index) => self.written.place(index, reference.addend).ok().flatten(),
            To::Asked(_) => None,
        });
        if let Some((section, at)) = place {
            let (section, at) = self.described(section, u64::try_from(at).ok()?)?;
            let at = at.checked_sub(u64::from(table.behind))?;
            let described = rows.of(section, at, at + 1).iter();
            let mut found = described.filter_map(|&Row { table, row, .. }| {
                fits(rows.tables.get(table as usize)?, row as usize)
            });
            if let Some(found) = found.next() {
                return Some(found);
            }
        }
        let tables = rows.tables.iter().filter(|t| self.is_table(t, name));
        let mut all = tables.flat_map(|table| {
            let size = object.section_size(table.section);
            let behind = move |&row: &usize| {
                last.is_none_or(|l| (table.section, table.span(row, size).0) > l)
            };
            (0..table.len(size)).filter(behind).filter_map(move |row| fits(table, row))
        });
        all.next()
    }

    /// What a row describes that leads to a byte of the output, or behind the end of something.
    fn described(&self, home: u32, at: u64) -> Option<(SectionId<Patched>, u64)> {
        let before = || self.places.origin(home, at.checked_sub(1)?);
        let end = || before().map(|(section, at)| (section, at + 1));
        self.places.origin(home, at).or_else(end)
    }

    /// Whether two rows have the same bytes, and relocations of the same types.
    fn looks_like(
        &self,
        home: u32,
        (start, end): (u64, u64),
        section: SectionId<Patched>,
        (from, to): (u64, u64),
    ) -> bool {
        let object = self.prover.layout().object;
        let ours = self.written.section(home).data.get(start as usize..end as usize);
        let theirs = object.contents(section).get(from as usize..to as usize);
        let refs = self.written.within(home, start, end);
        let relocs = object.relocs(section).within(from, to);
        let kinds = |(a, b): (&super::written::Reference, crate::elf::object::Reloc<Patched>)| {
            a.offset - start == b.offset - from && a.kind == b.kind
        };
        let mut relocs: Vec<_> = relocs.collect();
        relocs.sort_by_key(|r| (r.offset, r.kind));
        ours == theirs && refs.len() == relocs.len() && refs.iter().zip(relocs).all(kinds)
    }

    /// Fails unless all rows are there that describe what is carried.
    pub(super) fn check_rows(&self) -> Result<()> {
        let rows = &self.prover.lookup.pair.patched.rows;
        let layout = self.prover.layout();
        for (section, images) in self.places.carried() {
            if layout.class(section) != Class::Text {
                continue;
            }
            for image in images {
                for row in rows.of(section, image.start, image.end) {
                    let Some(table) = rows.tables.get(row.table as usize) else { continue };
                    let size = layout.object.section_size(table.section);
                    let (start, end) = table.span(row.row as usize, size);
                    if !self.places.has(table.section, start)
                        && !self.may_lack(table, (start, end))?
                    {
                        let name = table.table.section;
                        let what = differs(format!("a row of {name} is missing (+{start:#x})"));
                        return Err(self.at(what, section, row.at()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a row that describes carried code may be left out: tables that kpatch's tool
    /// leaves out, and keys of tracepoints and debug messages that are in modules.
    fn may_lack(&self, table: &TableRows<Patched>, (start, end): (u64, u64)) -> Result<bool> {
        let layout = self.prover.layout();
        let object = layout.object;
        let policy = self.prover.lookup.pair.policy;
        let remade = self.prover.remade && objtool::is_remade(table.table.section);
        if remade
            || !policy.carries_annotations && table.table.dropped_by_drop_in
            || table.table.row.is_by_exception_table()
        {
            return Ok(true);
        }
        let refs = Refs::new(layout, table.section);
        let mut targets = Vec::new();
        for reloc in object.relocs(table.section).within(start, end) {
            targets.push(refs.resolve(&reloc)?.symbol);
        }
        if policy.whole_sections && !targets.iter().any(|&t| object.symbol_kind(t) == abi::STT_FUNC)
        {
            return Ok(true);
        }
        let Some(&key) = targets.last() else { return Ok(false) };
        let name = object.symbol_name(key);
        let debug = object
            .section_of(key)
            .is_some_and(|s| names::is_special_static_section(object.section_name(s)));
        let optional = match table.table.filter {
            Filter::None => return Ok(false),
            Filter::JumpLabel => name.starts_with(symbols::TRACEPOINT) || debug,
            Filter::StaticCall => name.starts_with(symbols::TRACEPOINT_CALL_KEY),
        };
        let lookup = self.prover.lookup;
        Ok(optional && (lookup.running.klp_arch || lookup.in_module(key)?))
    }
}
