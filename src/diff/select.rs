//! Chooses what the patch must carry: what changed, and what that needs (spec sections 16
//! and 17).

use std::collections::BTreeSet;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::compare::Comparer;
use super::ignore::Ignored;
use super::status::{Status, Statuses};
use crate::elf::abi;
use crate::elf::ids::{IdVec, Patched, SectionId, SymbolId};
use crate::error::{Error, Result};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::macros;
use crate::kernel::names;
use crate::kernel::refs::Refs;
use crate::kernel::rows::TableNumber;
use crate::kernel::tables::{self, Filter, StructSizes};

/// What decides about table rows, beyond the objects themselves.
pub struct Policy<'a> {
    /// kpatch's `--klp-arch`: the kernel applies `.klp.arch` sections.
    pub klp_arch: bool,
    /// Behave as the drop-in where the two differ.
    pub drop_in: bool,
    /// Whether a key lives in another object than vmlinux.
    pub in_module: &'a dyn Fn(SymbolId<Patched>) -> Result<bool>,
    /// Sizes of kernel structs.
    pub sizes: &'a StructSizes,
}

/// The part of the patched object that goes into the patch.
pub struct Selection {
    /// Sections, each with its section symbol and its relocations.
    pub sections: IdVec<SectionId<Patched>, bool>,
    /// Symbols.
    pub symbols: IdVec<SymbolId<Patched>, bool>,
    /// Rows that are kept, by position in [`crate::kernel::rows::Rows::tables`], ascending.
    /// Tables that are included but not here are kept whole.
    pub rows: IndexMap<TableNumber, Vec<u32>, RandomState>,
    /// Unwind entries that are kept.
    pub unwind: Option<Unwind>,
    /// Number of changed functions and of new global symbols; callbacks are there.
    pub effect: Effect,
    /// Lines for the user, in order.
    pub messages: Vec<String>,
    /// Which symbol brought a symbol in first.
    pub via: IndexMap<SymbolId<Patched>, SymbolId<Patched>, RandomState>,
}

/// What makes a patch worth applying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Functions that changed, split-off parts included.
    pub changed_functions: usize,
    /// Global symbols that are new.
    pub new_globals: usize,
    /// There is a section with callbacks.
    pub callbacks: bool,
}

impl Effect {
    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        *self == Effect::default()
    }
}

/// The ORC entries of included functions.
pub struct Unwind {
    /// `.orc_unwind`.
    pub entries: SectionId<Patched>,
    /// `.orc_unwind_ip`.
    pub places: SectionId<Patched>,
    /// Bytes per entry in `.orc_unwind`.
    pub size: u64,
    /// Entries that are kept, ascending.
    pub kept: Vec<u32>,
}

/// Selects what goes into the patch.
pub fn select(
    comparer: &Comparer<'_, '_, '_, '_>,
    statuses: &Statuses,
    ignored: &Ignored,
    policy: &Policy<'_>,
) -> Result<Selection> {
    let object = comparer.patched.layout.object;
    let mut selector = Selector {
        comparer,
        layout: comparer.patched.layout,
        statuses,
        policy,
        selection: Selection {
            sections: IdVec::filled(false, object.section_count()),
            symbols: IdVec::filled(false, object.symbol_count()),
            rows: IndexMap::default(),
            unwind: None,
            effect: Effect::default(),
            messages: Vec::new(),
            via: IndexMap::default(),
        },
        pending: Vec::new(),
        text: Vec::new(),
        kept: BTreeSet::new(),
        judged: BTreeSet::new(),
        unsupported: IndexMap::default(),
    };
    selector.standard()?;
    selector.changed_functions()?;
    selector.macros(ignored)?;
    selector.new_globals()?;
    selector.debug()?;
    selector.rows()?;
    selector.unwind()?;
    Ok(selector.selection)
}

struct Selector<'a, 'l, 'o, 'd> {
    comparer: &'a Comparer<'a, 'l, 'o, 'd>,
    layout: &'l Layout<'o, 'd, Patched>,
    statuses: &'a Statuses,
    policy: &'a Policy<'a>,
    selection: Selection,
    /// Sections whose relocations are still to be followed.
    pending: Vec<SectionId<Patched>>,
    /// Included sections of code whose rows are still to be collected.
    text: Vec<SectionId<Patched>>,
    /// Rows that are kept: (table, row).
    kept: BTreeSet<(TableNumber, u32)>,
    /// Rows that were looked at.
    judged: BTreeSet<(TableNumber, u32)>,
    /// Number of rows that cannot be carried, by table.
    unsupported: IndexMap<TableNumber, (usize, Vec<String>), RandomState>,
}

impl Selector<'_, '_, '_, '_> {
    fn include_section(&mut self, id: SectionId<Patched>) {
        if std::mem::replace(&mut self.selection.sections[id], true) {
            return;
        }
        if let Some(symbol) = self.layout.object.section_symbol(id) {
            self.selection.symbols[symbol] = true;
        }
        if self.layout.class(id) == Class::Text {
            self.text.push(id);
        }
        self.pending.push(id);
    }

    /// Includes a symbol; also its section unless the running kernel has it already.
    fn include_symbol(&mut self, id: SymbolId<Patched>, via: Option<SymbolId<Patched>>) {
        if std::mem::replace(&mut self.selection.symbols[id], true) {
            return;
        }
        if let Some(via) = via {
            self.selection.via.entry(id).or_insert(via);
        }
        let kind = self.layout.object.symbol_kind(id);
        if let Some(section) = self.layout.object.section_of(id)
            && (kind == abi::STT_SECTION || self.statuses.symbols[id] != Status::Same)
            && !self.comes_in_rows(section)
        {
            self.include_section(section);
        }
    }

    /// Tables are cut down to rows; they are never included because something refers to them.
    fn comes_in_rows(&self, section: SectionId<Patched>) -> bool {
        match self.layout.class(section) {
            Class::Table(_) => {
                let object = self.layout.object;
                object.section_size(section) > 0 && !object.relocs(section).is_empty()
            }
            Class::Unwind => true,
            _ => self.layout.object.section_name(section) == tables::REPLACEMENTS,
        }
    }

    /// Follows the relocations of everything that was included.
    fn settle(&mut self) -> Result<()> {
        while let Some(section) = self.pending.pop() {
            if matches!(self.layout.class(section), Class::Debug) || self.comes_in_rows(section) {
                continue;
            }
            self.follow(section, 0, u64::MAX)?;
        }
        Ok(())
    }

    fn follow(&mut self, section: SectionId<Patched>, start: u64, end: u64) -> Result<()> {
        let object = self.layout.object;
        let refs = Refs::new(self.layout, section);
        let via = self.layout.owner(section);
        for reloc in object.relocs(section).within(start, end) {
            let target = refs.resolve(&reloc)?;
            self.include_symbol(target.symbol, via);
        }
        Ok(())
    }

    fn standard(&mut self) -> Result<()> {
        let object = self.layout.object;
        for id in object.sections() {
            let name = object.section_name(id);
            let literals = names::is_string_literal_section(name)
                && self.layout.class(id) != Class::Relocations;
            if literals || matches!(name, ".toc" | ".rodata" | ".rodata.str") {
                self.include_section(id);
            }
            if literals {
                for &member in object.members(id) {
                    self.selection.symbols[member] |=
                        !self.layout.arch.local_labels || !self.layout.is_label(member);
                }
            }
        }
        self.settle()
    }

    fn changed_functions(&mut self) -> Result<()> {
        let object = self.layout.object;
        for id in object.symbols().skip(1) {
            match object.symbol_kind(id) {
                abi::STT_FILE => self.selection.symbols[id] = true,
                abi::STT_FUNC
                    if self.statuses.symbols[id] == Status::Changed
                        && !self.layout.is_prefix(id) =>
                {
                    self.selection.effect.changed_functions += 1;
                    self.include_symbol(id, None);
                    if let Some(prefix) = self.layout.prefix_of(id) {
                        self.selection.symbols[prefix] = true;
                    }
                }
                _ => {}
            }
        }
        self.settle()
    }

    /// Callbacks, forced functions and names of ignored sections.
    fn macros(&mut self, ignored: &Ignored) -> Result<()> {
        let object = self.layout.object;
        for name in macros::CALLBACKS {
            let Some(section) = self.layout.section_named(name) else { continue };
            self.selection.effect.callbacks = true;
            let refs = Refs::new(self.layout, section);
            if let Some(first) = object.relocs(section).iter().next() {
                let symbol = refs.resolve(&first)?.symbol;
                self.selection
                    .messages
                    .push(format!("found callback: {}", object.symbol_name(symbol)));
                self.include_symbol(symbol, None);
            }
            self.include_section(section);
            self.settle()?;
            for &member in object.members(section) {
                if object.symbol_kind(member) == abi::STT_OBJECT {
                    self.selection.symbols[member] = false;
                }
            }
        }
        if let Some(section) = self.layout.section_named(macros::FORCE) {
            let refs = Refs::new(self.layout, section);
            for reloc in object.relocs(section).iter() {
                let symbol = refs.resolve(&reloc)?.symbol;
                self.selection.messages.push(format!(
                    "function '{}' marked with KPATCH_FORCE_UNSAFE!",
                    object.symbol_name(symbol)
                ));
            }
            self.include_section(section);
            self.settle()?;
        }
        for &section in &ignored.name_sections {
            self.include_section(section);
        }
        self.settle()
    }

    fn new_globals(&mut self) -> Result<()> {
        let object = self.layout.object;
        for id in object.symbols().skip(1) {
            let symbol = object.symbol(id);
            if symbol.bind == abi::STB_GLOBAL
                && self.statuses.symbols[id] == Status::New
                && object.section_of(id).is_some()
            {
                self.selection.effect.new_globals += 1;
                self.include_symbol(id, None);
            }
        }
        self.settle()
    }

    fn debug(&mut self) -> Result<()> {
        for id in self.layout.object.sections() {
            if self.layout.class(id) == Class::Debug {
                self.include_section(id);
            }
        }
        self.settle()
    }

    /// Keeps the rows that describe included code, and what they need, until nothing is added.
    fn rows(&mut self) -> Result<()> {
        while let Some(section) = self.text.pop() {
            let mentioning: Vec<(TableNumber, u32)> =
                self.comparer.patched.rows.mentioning(section).collect();
            for row in mentioning {
                if self.judged.insert(row)
                    && self.describes_function(row, section)?
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
        for (table, row) in std::mem::take(&mut self.kept) {
            self.selection.rows.entry(table).or_default().push(row);
        }
        self.report_unsupported()
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

    /// Whether a row may be carried (spec sections 17.4 and 17.5).
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
                    "unexpected-row",
                    format!("BUG: {} has an unexpected format", table.section),
                )
                .in_section(table.section)
                .at_offset(start)
                .advise(format!("is {} right for this kernel?", struct_name(table))));
            }
        };
        let name = object.symbol_name(key.symbol);
        let tracepoint = match table.filter {
            Filter::JumpLabel => name.starts_with("__tracepoint_"),
            _ => name.starts_with("__SCK__tp_func_"),
        };
        let debug = table.filter == Filter::JumpLabel && self.is_dynamic_debug(key.symbol);
        let old_kernel = self.policy.klp_arch && table.filter == Filter::JumpLabel;
        if !old_kernel && !(self.policy.in_module)(key.symbol)? {
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
        self.selection.sections[section] = true;
        if let Some(symbol) = self.layout.object.section_symbol(section) {
            self.selection.symbols[symbol] = true;
        }
        self.follow(section, start, end)
    }

    /// Alternative instructions come with the rows that refer to them.
    fn replacements(&mut self) -> Result<()> {
        let object = self.layout.object;
        if !self
            .layout
            .section_named(".altinstructions")
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
        Err(Error::broken("key-in-module", message).with_details(lines.clone()))
    }

    /// Keeps the unwind entries of included functions (spec section 17.6).
    fn unwind(&mut self) -> Result<()> {
        let given = self.policy.sizes.given("ORC_STRUCT_SIZE")?;
        let (Some(entries), Some(places)) =
            (self.layout.section_named(".orc_unwind"), self.layout.section_named(".orc_unwind_ip"))
        else {
            return Ok(());
        };
        let object = self.layout.object;
        let count = object.section_size(places) / 4;
        let total = object.section_size(entries);
        let size = given.or(total.checked_div(count)).unwrap_or(0);
        if size == 0 {
            return Ok(());
        }
        let fail = |what: &str| {
            Err(Error::broken("orc-size", what).in_section(".orc_unwind").advise(format!(
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
        for reloc in relocs.iter() {
            let Some(section) = object.section_of(reloc.symbol) else { continue };
            if !self.selection.sections[section] {
                continue;
            }
            let symbol = refs.resolve(&reloc)?.symbol;
            if object.symbol_kind(symbol) == abi::STT_FUNC {
                kept.push((reloc.offset / 4) as u32);
                self.selection.symbols[symbol] = true;
            }
        }
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

fn struct_name(table: &tables::Table) -> &'static str {
    match table.row {
        tables::RowSize::Struct(name) => name,
        _ => "the row size",
    }
}
