//! Chooses the rows of the kernel's tables that a patch carries, and its unwind entries.

#![expect(clippy::indexing_slicing, reason = "rows have the number of their table")]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows are within tables and fields within rows, all below 4 GiB; places of references have 63 bits"
)]

use super::selector::{Included, Selector};
use crate::diag::{Code, Error, Result};
use crate::diff::selection::Unwind;
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::tables::{self, Filter};
use crate::kernel::knowledge::{sections, symbols};
use crate::kernel::layout::Class;
use crate::kernel::objtool;
use crate::kernel::refs::Refs;
use crate::kernel::rows::TableNumber;

impl Selector<'_> {
    /// Keeps the rows that describe included code, and what they need, until nothing is added.
    pub(in crate::diff) fn rows(&mut self) -> Result<()> {
        while let Some(code) = self.text.pop() {
            for row in self.rows_of(&code)? {
                if !self.is_left_out(row)
                    && self.judged.insert(row)
                    && (self.describes_nameless(&code)
                        || self.describes_function(row, code.section)?)
                    && self.accepts(row)?
                {
                    self.keep(row)?;
                }
            }
            self.settle()?;
            if self.text.is_empty() {
                self.replacements()?;
            }
        }
        self.check_referred()?;
        for (table, row) in std::mem::take(&mut self.kept) {
            self.selection.rows.entry(table).or_default().push(row);
        }
        self.report_unsupported()
    }

    /// What only objtool reads is not in the outputs of the C tool; what it makes anew is in no
    /// output that it will see.
    fn is_left_out(&self, row: (TableNumber, u32)) -> bool {
        let table = self.comparer.patched.rows.tables.get(row.0 as usize);
        !self.comparer.policy.carries_annotations
            && table.is_some_and(|t| t.table.dropped_by_drop_in)
            || self.destination.remade && table.is_some_and(|t| objtool::is_remade(t.table.section))
    }

    /// Whether rows that were found by a span of code describe code without a name: it goes
    /// along with what refers to it, and so do they.
    fn describes_nameless(&self, code: &Included) -> bool {
        let is_code = || {
            self.layout.class(code.section) == Class::Text
                && !self.layout.replacements().any(|section| section == code.section)
        };
        self.layout.is_nameless(code.section) && (code.span.is_some() || is_code())
    }

    /// Keeps the row of a table that a reference leads to.
    pub fn include_row(&mut self, refs: &Refs<'_, Patched>, reloc: &Reloc<Patched>) -> Result<()> {
        let home = self.layout.object.section_of(reloc.symbol);
        let Some(Class::Table(_)) = home.map(|s| self.layout.class(s)) else { return Ok(()) };
        if matches!(self.layout.class(refs.base()), Class::Table(_) | Class::Noise(_)) {
            return Ok(());
        }
        let rows = &self.comparer.patched.rows;
        let Some((section, at)) = refs.place(reloc)? else { return Ok(()) };
        let Some(table) = rows.number_of(section) else { return Ok(()) };
        let by_row = rows.tables.get(table as usize);
        if by_row.is_some_and(|t| t.table.row.is_by_exception_table()) {
            return Ok(());
        }
        let Some(row) = rows.row_at(self.layout, table, at) else { return Ok(()) };
        self.referred.insert((table, row));
        self.judged.insert((table, row));
        if !self.kept.contains(&(table, row)) && self.accepts((table, row))? {
            self.keep((table, row))?;
        }
        Ok(())
    }

    /// Fails where code of the patch refers to a row that does not come with it.
    fn check_referred(&self) -> Result<()> {
        let object = self.layout.object;
        for &row in &self.referred {
            let (section, start, _) = self.span(row);
            let code = start + self.comparer.patched.rows.tables[row.0 as usize].table.code;
            let refs = Refs::new(self.layout, section);
            let mut carried = self.kept.contains(&row);
            for reloc in object.relocs(section).within(code, code + 1) {
                let place = refs.place(&reloc)?;
                carried &= place.is_none_or(|(s, at)| self.selection.has(s, at));
            }
            if !carried {
                let name = object.section_name(section);
                return Err(Error::refused(
                    Code::RowOfOtherCode,
                    format!("the patch refers to a row of {name} that describes other code"),
                )
                .in_section(name)
                .at_offset(start)
                .advise("the running kernel's row cannot be reached from a livepatch: change the function that the row describes, too"));
            }
        }
        Ok(())
    }

    /// Rows that may describe newly included code.
    fn rows_of(&self, code: &Included) -> Result<Vec<(TableNumber, u32)>> {
        let rows = &self.comparer.patched.rows;
        let Some((start, end)) = code.span else {
            return Ok(rows.mentioning(code.section).collect());
        };
        Ok(rows.of(code.section, start, end).iter().map(|row| (row.table, row.row)).collect())
    }

    fn span(&self, (table, row): (TableNumber, u32)) -> (SectionId<Patched>, u64, u64) {
        let table = &self.comparer.patched.rows.tables[table as usize];
        let size = self.layout.object.section_size(table.section);
        let (start, end) = table.span(row as usize, size);
        (table.section, start, end)
    }

    /// Whether some field of a row refers to a function in an included section.
    fn describes_function(
        &self,
        row: (TableNumber, u32),
        text: SectionId<Patched>,
    ) -> Result<bool> {
        let object = self.layout.object;
        let (section, start, end) = self.span(row);
        let refs = Refs::new(self.layout, section);
        for reloc in object.relocs(section).within(start, end) {
            if object.section_of(reloc.symbol) != Some(text) {
                continue;
            }
            let symbol = refs.resolve(&reloc)?.symbol;
            if object.symbol_kind(symbol) == abi::STT_FUNC {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a row may be carried.
    fn accepts(&mut self, row: (TableNumber, u32)) -> Result<bool> {
        let (section, start, end) = self.span(row);
        let table = self.comparer.patched.rows.tables[row.0 as usize].table;
        let object = self.layout.object;
        let refs = Refs::new(self.layout, section);
        let mut fields = Vec::new();
        for reloc in object.relocs(section).within(start, end) {
            fields.push(refs.resolve(&reloc)?);
        }
        let (code, key) = match (table.filter, fields.as_slice()) {
            (Filter::None, _) => return Ok(true),
            (Filter::JumpLabel, [code, _, key]) | (Filter::StaticCall, [code, key]) => {
                (*code, *key)
            }
            _ => {
                return Err(Error::broken(
                    Code::UnexpectedRow,
                    format!("BUG: {} has an unexpected format", table.section),
                )
                .in_section(table.section)
                .at_offset(start)
                .advise(format!("is {} right for this kernel?", struct_name(table))));
            }
        };
        let name = object.symbol_name(key.symbol);
        let tracepoint = match table.filter {
            Filter::JumpLabel => name.starts_with(symbols::TRACEPOINT),
            _ => name.starts_with(symbols::TRACEPOINT_CALL_KEY),
        };
        let debug = table.filter == Filter::JumpLabel && self.is_dynamic_debug(key.symbol);
        let old_kernel = self.destination.klp_arch && table.filter == Filter::JumpLabel;
        if !old_kernel && !(self.destination.in_module)(key.symbol)? {
            if debug {
                self.include_symbol(key.symbol, Some(code.symbol));
            }
            return Ok(true);
        }
        if !(tracepoint || debug) {
            let place = format!(
                "{}()+{:#x}, using key {name}",
                object.symbol_name(code.symbol),
                code.addend
            );
            let line = match (table.filter, old_kernel) {
                (Filter::JumpLabel, true) => format!(
                    "Found a jump label at {place}.  Jump labels aren't supported with this kernel.  Use static_key_enabled() instead."
                ),
                (Filter::JumpLabel, false) => format!(
                    "Found a jump label at {place}, which is defined in a module.  Use static_key_enabled() instead."
                ),
                _ => format!(
                    "Found a static call at {place}, which is defined in a module.  Use KPATCH_STATIC_CALL() instead."
                ),
            };
            let entry = self.unsupported.entry(row.0).or_default();
            entry.0 += 1;
            entry.1.push(line);
        }
        Ok(false)
    }

    fn is_dynamic_debug(&self, key: SymbolId<Patched>) -> bool {
        let object = self.layout.object;
        let kind = object.symbol_kind(key);
        object
            .section_of(key)
            .is_some_and(|s| names::is_special_static_section(object.section_name(s)))
            && matches!(kind, abi::STT_OBJECT | abi::STT_SECTION)
    }

    fn keep(&mut self, row: (TableNumber, u32)) -> Result<()> {
        self.kept.insert(row);
        let (section, start, end) = self.span(row);
        let by_row = self.comparer.patched.rows.tables.get(row.0 as usize);
        if let Some(wrong) = by_row.and_then(|t| t.wrong.as_ref()) {
            return Err(Error::broken(Code::WrongStructSize, wrong.as_str())
                .in_section(self.layout.object.section_name(section))
                .advise("take the size from the debug information of the kernel that the object was built for, or unset it"));
        }
        self.marks(section, start)?;
        let (group, size) =
            by_row.map_or((1, 0), |t| (t.group, self.layout.object.section_size(t.section)));
        let rows = by_row.map_or(0, |t| t.len(size)) as u32;
        let first = row.1 - row.1 % group;
        for other in first..first.saturating_add(group).min(rows) {
            if !self.kept.contains(&(row.0, other)) {
                self.keep((row.0, other))?;
            }
        }
        self.selection.sections[section] = true;
        if let Some(symbol) = self.layout.object.section_symbol(section) {
            self.selection.symbols[symbol] = true;
        }
        let table = &self.comparer.patched.rows.tables[row.0 as usize];
        let extent = table.replacement().filter(|_| !self.comparer.policy.whole_sections);
        let Some(extent) = extent else { return self.follow(section, start, end) };
        let field = start + extent.field;
        self.follow(section, start, field)?;
        let object = self.layout.object;
        let refs = Refs::new(self.layout, section);
        for reloc in object.relocs(section).within(field, field + 1) {
            let target = refs.resolve(&reloc)?.symbol;
            self.include_symbol(target, None);
            let place = refs.place(&reloc)?.filter(|&(s, _)| self.layout.is_nameless(s));
            let length = object.contents(section).get((start + extent.length) as usize);
            if let Some((stretch, from)) = place {
                match length.copied().unwrap_or(0) {
                    // Its place says nothing, but it must lead somewhere.
                    0 => self.include_nothing(stretch),
                    length => self.include_span(stretch, from, from + u64::from(length)),
                }
            }
        }
        self.follow(section, field + 1, end)
    }

    /// Keeps the marks of a row that is kept.
    fn marks(&mut self, section: SectionId<Patched>, start: u64) -> Result<()> {
        if !self.comparer.policy.carries_annotations {
            return Ok(());
        }
        let rows = &self.comparer.patched.rows;
        let marks: Vec<(TableNumber, u32)> =
            rows.of(section, start, start + 1).iter().map(|mark| (mark.table, mark.row)).collect();
        for mark in marks {
            if !self.kept.contains(&mark) {
                self.keep(mark)?;
            }
        }
        Ok(())
    }

    /// Alternative instructions come with the rows that refer to them.
    fn replacements(&mut self) -> Result<()> {
        let object = self.layout.object;
        if !self.comparer.policy.whole_sections {
            return Ok(());
        }
        if !self
            .layout
            .section_named(sections::ALTERNATIVES)
            .is_some_and(|s| self.selection.sections[s])
        {
            return Ok(());
        }
        for id in self.layout.replacements() {
            if self.selection.sections[id] {
                continue;
            }
            self.include_section(id);
            for &member in object.members(id) {
                self.selection.symbols[member] = true;
            }
            self.follow(id, 0, u64::MAX)?;
        }
        self.settle()
    }

    fn report_unsupported(&mut self) -> Result<()> {
        let Some((&table, (count, lines))) = self.unsupported.first() else { return Ok(()) };
        let filter = self.comparer.patched.rows.tables[table as usize].table.filter;
        let message = match filter {
            Filter::StaticCall => format!(
                "Found {count} unsupported static call(s) in the patched code. Use KPATCH_STATIC_CALL() instead."
            ),
            _ => format!(
                "Found {count} unsupported jump label(s) in the patched code. Use static_key_enabled() instead."
            ),
        };
        Err(Error::broken(Code::KeyInModule, message).with_details(lines.clone()))
    }

    /// Keeps the unwind entries of included functions.
    pub(in crate::diff) fn unwind(&mut self) -> Result<()> {
        let given = self.destination.sizes.given("ORC_STRUCT_SIZE")?;
        let (Some(entries), Some(places)) = (
            self.layout.section_named(sections::ORC),
            self.layout.section_named(sections::ORC_PLACES),
        ) else {
            return Ok(());
        };
        if self.destination.remade {
            return Ok(());
        }
        let object = self.layout.object;
        let count = object.section_size(places) / 4;
        let total = object.section_size(entries);
        let size = given.or(total.checked_div(count)).unwrap_or(0);
        if size == 0 {
            return Ok(());
        }
        let fail = |what: &str| {
            Err(Error::broken(Code::OrcSize, what).in_section(sections::ORC).advise(format!(
                "{total} bytes do not go with {count} places and ORC_STRUCT_SIZE={size}"
            )))
        };
        if !total.is_multiple_of(size) {
            return fail("bad .orc_unwind size");
        }
        let relocs = object.relocs(places);
        if total / size != count || !object.section_size(places).is_multiple_of(4) {
            return fail(".orc_unwind/.orc_unwind_ip size mismatch");
        }
        let refs = Refs::new(self.layout, places);
        let mut kept = Vec::new();
        let mut described = Vec::new();
        for reloc in relocs.iter() {
            let Some(section) = object.section_of(reloc.symbol) else { continue };
            if !self.selection.sections[section] {
                continue;
            }
            let symbol = refs.resolve(&reloc)?.symbol;
            let place = object.symbol_value(reloc.symbol).wrapping_add_signed(reloc.addend);
            described.push((section, place));
            if object.symbol_kind(symbol) == abi::STT_FUNC
                && self.selection.has(section, object.symbol_value(symbol))
            {
                kept.push((reloc.offset / 4) as u32);
                self.selection.symbols[symbol] = true;
            }
        }
        described.sort_unstable();
        self.check_described(&described)?;
        if kept.is_empty() {
            return Ok(());
        }
        kept.dedup();
        self.selection.sections[entries] = true;
        self.selection.sections[places] = true;
        self.selection.unwind = Some(Unwind { entries, places, size, kept });
        Ok(())
    }
}

impl Selector<'_> {
    /// Fails when a carried function begins under a row of code that is not carried. objtool writes a row
    /// only where something changes, so that functions of one section that never move the stack pointer
    /// share one; most often the row of a prefix (`__cfi_f`, `__pfx_f`), which is carried along.
    fn check_described(&self, described: &[(SectionId<Patched>, u64)]) -> Result<()> {
        let object = self.layout.object;
        for section in self.selection.parts.sections() {
            let is_function = |&&id: &&SymbolId<Patched>| {
                object.symbol_kind(id) == abi::STT_FUNC
                    && !self.layout.is_prefix(id)
                    && self.selection.has(section, object.symbol_value(id))
            };
            for &id in object.members(section).iter().filter(is_function) {
                let at = object.symbol_value(id);
                let upto = described.partition_point(|row| *row <= (section, at));
                let row = upto.checked_sub(1).and_then(|row| described.get(row));
                let Some(&(_, place)) = row.filter(|row| row.0 == section) else { continue };
                // Between the two there is no other row, whatever of the code is carried.
                if !self.selection.has(section, place) {
                    let what = "the unwind row that holds for the function is one of what lies before it, which is \
                                not in the patch";
                    return Err(Error::refused(Code::SharedUnwindRow, what)
                        .in_section(object.section_name(section))
                        .at_symbol(object.symbol_name(id))
                        .at_offset(at)
                        .advise(
                            "give objects from before objtool, or those that were compiled with -ffunction-sections",
                        ));
                }
            }
        }
        Ok(())
    }
}

fn struct_name(table: &tables::Table) -> &'static str {
    match table.row {
        tables::RowSize::Forms(name, _) if !name.is_empty() => name,
        _ => "the row size",
    }
}
