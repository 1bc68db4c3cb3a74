//! Chooses what the patch must carry: what changed, and what that needs.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "counts of what is in memory, and places within sections"
)]

use std::collections::BTreeSet;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::ignore::Ignored;
use super::status::{Status, Statuses, is_shared};
use crate::diag::{Code, Error, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::selection::{Effect, Selection};
use crate::diff::spans::Parts;
use crate::elf::abi;
use crate::elf::ids::{IdVec, Patched, SectionId, SymbolId};
use crate::elf::object::{Object, Reloc};
use crate::kernel::assembler_resolved::{leaving, meant};
use crate::kernel::knowledge::boot::runs_until;
use crate::kernel::knowledge::macros;
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::sections;
use crate::kernel::knowledge::tables::{self, StructSizes};
use crate::kernel::knowledge::thunks;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;
use crate::kernel::rows::TableNumber;

/// What decides about table rows, beyond the objects themselves.
pub struct Destination<'a> {
    /// kpatch's `--klp-arch`: the kernel applies `.klp.arch` sections.
    pub klp_arch: bool,
    /// Whether a key lives in another object than vmlinux.
    pub in_module: &'a (dyn Fn(SymbolId<Patched>) -> Result<bool> + Sync),
    /// Sizes of kernel structs.
    pub sizes: &'a StructSizes,
    /// objtool makes its tables anew on the linked module.
    pub remade: bool,
    /// The object that is patched, where an output is made.
    pub object: Option<&'a str>,
}

/// A section, or a span of bytes of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Included {
    pub section: SectionId<Patched>,
    pub span: Option<(u64, u64)>,
}

/// Selects what goes into the patch.
pub fn select(
    comparer: &Comparer<'_>,
    statuses: &Statuses,
    ignored: &Ignored,
    destination: &Destination<'_>,
) -> Result<Selection> {
    let object = comparer.patched.layout.object;
    let mut selector = Selector {
        comparer,
        layout: comparer.patched.layout,
        statuses,
        destination,
        selection: Selection {
            sections: IdVec::filled(false, object.section_count()),
            parts: Parts::default(),
            boot_only: Vec::new(),
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
        referred: BTreeSet::new(),
        unsupported: IndexMap::default(),
    };
    selector.standard()?;
    selector.changed_functions()?;
    selector.macros(ignored)?;
    selector.new_globals()?;
    selector.debug()?;
    selector.rows()?;
    selector.unwind()?;
    selector.files();
    Ok(selector.selection)
}

pub(super) struct Selector<'a> {
    pub comparer: &'a Comparer<'a>,
    pub layout: &'a Layout<'a, Patched>,
    pub statuses: &'a Statuses,
    pub destination: &'a Destination<'a>,
    pub selection: Selection,
    /// What was included and whose relocations are still to be followed.
    pub pending: Vec<Included>,
    /// Included code whose rows are still to be collected.
    pub text: Vec<Included>,
    /// Rows that are kept: (table, row).
    pub kept: BTreeSet<(TableNumber, u32)>,
    /// Rows that were looked at.
    pub judged: BTreeSet<(TableNumber, u32)>,
    /// Rows that code or data of the patch refers to.
    pub referred: BTreeSet<(TableNumber, u32)>,
    /// Number of rows that cannot be carried, by table.
    pub unsupported: IndexMap<TableNumber, (usize, Vec<String>), RandomState>,
}

impl Selector<'_> {
    pub fn include_section(&mut self, id: SectionId<Patched>) {
        if !self.mark_section(id) {
            return;
        }
        let included = Included { section: id, span: None };
        if self.layout.class(id) == Class::Text {
            self.text.push(included);
        }
        self.pending.push(included);
    }

    /// Marks a section and its symbol; false when it was included before.
    fn mark_section(&mut self, id: SectionId<Patched>) -> bool {
        if std::mem::replace(&mut self.selection.sections[id], true) {
            return false;
        }
        if let Some(symbol) = self.layout.object.section_symbol(id) {
            self.selection.symbols[symbol] = true;
        }
        true
    }

    /// Includes part of a section that several things share.
    pub fn include_span(&mut self, section: SectionId<Patched>, start: u64, end: u64) {
        self.mark_section(section);
        let end = end.max(start.saturating_add(1)).min(self.layout.object.section_size(section));
        // Nothing is behind the end, but a table may refer to nothing there.
        if start >= end {
            self.selection.parts.add(section);
            return;
        }
        if !self.selection.parts.insert(section, start, end) {
            return;
        }
        let included = Included { section, span: Some((start, end)) };
        if self.layout.class(section) == Class::Text {
            self.text.push(included);
        }
        self.pending.push(included);
    }

    /// Includes a section that several things share, for now without anything of it.
    pub fn include_nothing(&mut self, section: SectionId<Patched>) {
        if self.is_shared(section) {
            self.mark_section(section);
            self.selection.parts.add(section);
        }
    }

    /// Includes a symbol; also what it names unless the running kernel has it already.
    pub fn include_symbol(&mut self, id: SymbolId<Patched>, via: Option<SymbolId<Patched>>) {
        if std::mem::replace(&mut self.selection.symbols[id], true) {
            return;
        }
        let object = self.layout.object;
        let Some(section) = object.section_of(id) else { return };
        let is_section = object.symbol_kind(id) == abi::STT_SECTION;
        if !is_section && self.statuses.symbols[id] == Status::Same {
            return;
        }
        if let Some(via) = via {
            self.selection.via.entry(id).or_insert(via);
        }
        if self.comes_in_rows(section) {
            return;
        }
        // objtool lists a function for the kernel's rewriting of indirect calls by the symbol
        // in front of it; a new function needs that as much as a changed one.
        if self.comparer.policy.carries_annotations
            && let Some(prefix) = self.layout.prefix_of(id)
        {
            self.selection.symbols[prefix] = true;
        }
        if !self.is_shared(section) {
            self.include_section(section);
        } else if !is_section
            && !self.layout.is_label(id)
            && let Some(index) = self.layout.entity_at(section, object.symbol_value(id))
        {
            let entity = self.layout.entity(section, index);
            self.include_span(section, entity.start, entity.end);
        }
    }

    /// Whether only parts of a section are included. The drop-in takes sections whole.
    fn is_shared(&self, section: SectionId<Patched>) -> bool {
        is_shared(self.comparer, section)
    }

    /// Tables are cut down to rows; they are never included because something refers to them.
    fn comes_in_rows(&self, section: SectionId<Patched>) -> bool {
        match self.layout.class(section) {
            Class::Table(_) => {
                let object = self.layout.object;
                object.section_size(section) > 0 && !object.relocs(section).is_empty()
            }
            Class::Unwind => true,
            _ => {
                self.comparer.policy.whole_sections
                    && self.layout.object.section_name(section) == tables::REPLACEMENTS
            }
        }
    }

    /// Follows the relocations of everything that was included.
    pub fn settle(&mut self) -> Result<()> {
        while let Some(Included { section, span }) = self.pending.pop() {
            if matches!(self.layout.class(section), Class::Debug) || self.comes_in_rows(section) {
                continue;
            }
            let (start, end) = span.unwrap_or((0, u64::MAX));
            self.follow(section, start, end)?;
        }
        Ok(())
    }

    pub fn follow(&mut self, section: SectionId<Patched>, start: u64, end: u64) -> Result<()> {
        let object = self.layout.object;
        let refs = Refs::new(self.layout, section);
        let index = self.layout.entity_at(section, start);
        let via = index.and_then(|i| self.layout.entity(section, i).symbol);
        for reloc in object.relocs(section).within(start, end) {
            let target = refs.resolve(&reloc)?;
            self.include_symbol(target.symbol, via);
            self.include_content(&refs, &reloc, target.symbol)?;
            self.include_row(&refs, &reloc)?;
        }
        if self.layout.class(section) == Class::Text && self.is_shared(section) {
            for unrelocated in leaving(self.layout, section, start, end)? {
                if let Some((symbol, _)) = meant(self.layout, section, &unrelocated) {
                    self.include_symbol(symbol, via);
                }
            }
        }
        Ok(())
    }

    /// Includes the string or nameless data that a reference means, where only parts of its
    /// section are included.
    pub fn include_content(
        &mut self,
        refs: &Refs<'_, Patched>,
        reloc: &Reloc<Patched>,
        symbol: SymbolId<Patched>,
    ) -> Result<()> {
        let object = self.layout.object;
        let Some(section) = object.section_of(symbol) else { return Ok(()) };
        let by_content =
            object.symbol_kind(symbol) == abi::STT_SECTION || self.layout.is_label(symbol);
        if !by_content || !self.is_shared(section) || self.comes_in_rows(section) {
            return Ok(());
        }
        let value = object.symbol_value(reloc.symbol) as i64;
        let at = refs.target_offset(reloc)?.wrapping_add(value);
        let at = u64::try_from(at).unwrap_or(0);
        if refs.leaves_string(reloc)? {
            return Err(among_strings(object, refs.base(), reloc));
        }
        let (start, end) = match refs.string(reloc)? {
            Some(string) => {
                // A label that is referred to with a distance must be there, too.
                let labelled = self.layout.is_label(reloc.symbol);
                let start = if labelled { at.min(value as u64) } else { at };
                (start, at + string.len() as u64 + object.string_element(section))
            }
            None if self.layout.is_nameless(section) => {
                self.comparer.patched.anonymous.extent(self.layout, section, at)
            }
            None => match self.layout.entity_at(section, at) {
                Some(index) => {
                    let entity = self.layout.entity(section, index);
                    (entity.start, entity.end)
                }
                None => (at, object.section_size(section)),
            },
        };
        self.include_span(section, start, end);
        Ok(())
    }

    fn standard(&mut self) -> Result<()> {
        let object = self.layout.object;
        for id in object.sections() {
            // Only the drop-in carries sections of constants as a whole.
            if !self.comparer.policy.whole_sections && self.layout.is_ordinary(id) {
                continue;
            }
            let name = object.section_name(id);
            let literals = self.comparer.policy.whole_sections
                && names::is_string_literal_section(name)
                && self.layout.class(id) != Class::Relocations;
            if literals
                || name == sections::TOC
                || self.comparer.policy.whole_sections
                    && matches!(name, sections::RODATA | sections::RODATA_STR)
            {
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
                abi::STT_FILE if self.comparer.policy.whole_sections => {
                    self.selection.symbols[id] = true
                }
                abi::STT_FUNC
                    if self.statuses.symbols[id] == Status::Changed
                        && !self.layout.is_prefix(id) =>
                {
                    if self.comparer.policy.leaves_boot_code && self.is_boot_only(id) {
                        self.selection.boot_only.push(id);
                        continue;
                    }
                    self.selection.effect.changed_functions += 1;
                    self.include_symbol(id, None);
                    if let Some(prefix) = self.layout.prefix_of(id) {
                        self.selection.symbols[prefix] = true;
                    }
                }
                // What is freed when the kernel has booted is of no use to what stays.
                abi::STT_OBJECT
                    if self.statuses.symbols[id] == Status::Changed
                        && self.comparer.policy.leaves_boot_code
                        && self.is_boot_only(id) =>
                {
                    self.selection.boot_only.push(id);
                }
                _ => {}
            }
        }
        self.settle()
    }

    /// Keeps the names of the files that local symbols of the patch come from.
    fn files(&mut self) {
        let object = self.layout.object;
        let mut file = None;
        for id in object.symbols().skip(1) {
            if object.symbol_kind(id) == abi::STT_FILE {
                file = Some(id);
            } else if self.selection.symbols[id]
                && object.symbol_bind(id) == abi::STB_LOCAL
                && object.symbol_kind(id) != abi::STT_SECTION
                && let Some(file) = file.take()
            {
                self.selection.symbols[file] = true;
            }
        }
    }

    /// Whether a function or variable is thrown away when the kernel has booted.
    fn is_boot_only(&self, id: SymbolId<Patched>) -> bool {
        let section = self.layout.object.section_of(id);
        let name = section.map_or("", |s| self.layout.object.section_name(s));
        runs_until(name, self.comparer.in_module).is_some()
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
        self.pointers_to_callbacks()?;
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
            if object.symbol_bind(id) == abi::STB_GLOBAL
                && self.statuses.symbols[id] == Status::New
                && object.section_of(id).is_some()
                && !self.layout.is_label(id)
                && (!self.comparer.policy.leaves_boot_code
                    || !self.is_boot_only(id) && !thunks::is_own(&object.symbol(id)))
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
}

/// A reference of which nothing says what of its section a patch has to carry.
fn among_strings(
    object: &Object<'_, Patched>,
    base: SectionId<Patched>,
    reloc: &Reloc<Patched>,
) -> Error {
    let name = object.section_name(base);
    let label = object.symbol_name(reloc.symbol);
    Error::refused(
        Code::LabelContent,
        format!("{name} refers to a place outside of the string that begins at {label}"),
    )
    .in_file(object.file())
    .in_section(name)
    .at_symbol(label)
    .at_offset(reloc.offset)
    .advise("give what is read there a name, a type and a size (in assembly .type and .size)")
}
