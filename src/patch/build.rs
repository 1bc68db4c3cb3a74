//! Builds the output object: included sections and symbols, kpatch's tables, ftrace sites.

#![expect(
    clippy::indexing_slicing,
    reason = "sections and symbols of the output have the numbers they were given when they were added; parts lie within their section"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "parts of sections of less than 4 GiB, one behind the other; alignments are at most 16 MiB; rows and sections of what was built, which is in memory"
)]

pub(super) mod output;
mod sites;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use rayon::prelude::*;

use self::output::{Output, Table};
use super::entries::{Chunk, Entries, EntryId};
use super::format::kpatch::{ArchRow, FunctionRow};
use super::resolve::decide::Resolution;
use super::resolve::lookup::RunningKernel;
use super::resolve::replaced::Replaced;
use super::tables::{Draft, PendingTables};
use crate::arch::{Reach, RelocClass};
use crate::diag::{Code, Error, Result, distance};
use crate::diff::compare::comparer::Comparer;
use crate::diff::select::status::{Status, Statuses};
use crate::diff::selection::Selection;
use crate::elf::abi;
use crate::elf::ids::{Id, Patched, SectionId, Sparse, SymbolId};
use crate::elf::object::{Home, Reloc, Section};
use crate::elf::out::{
    OutHome, OutObject, OutReloc, OutSection, OutSectionIndex, OutSymbol, OutSymbolIndex,
};
use crate::elf::strings::Strings;
use crate::kernel::assembler_resolved::{Unrelocated, leaving, relocation};
use crate::kernel::knowledge::macros;
use crate::kernel::knowledge::tables::KLP_ARCH_SECTIONS;
use crate::kernel::knowledge::thunks;
use crate::kernel::knowledge::{livepatch, sections};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::{Ref, Refs};

/// More sections than the output has beside the input's.
const OWN_SECTIONS: usize = 16;

/// Where rows of a table that is cut down went: (old start, old end, new start), ascending.
type Moves = Vec<(u64, u64, u64)>;

/// The relocations of a section in the output.
struct SectionRelocs {
    section: SectionId<Patched>,
    relocs: Vec<OutReloc>,
    /// Which of them refer to the symbol of an output section that may have none yet.
    unnamed: Vec<(usize, OutSectionIndex)>,
}

/// What a symbol is in the output.
enum InOutput {
    None,
    Symbol(OutSymbolIndex),
    Section(OutSectionIndex),
}

/// Everything that the output is made from.
pub struct Builder<'a> {
    comparer: &'a Comparer<'a>,
    statuses: &'a Statuses,
    selection: &'a Selection,
    /// For sections that are not carried whole.
    moves: IndexMap<SectionId<Patched>, Moves, RandomState>,
    /// What leads out of the parts of such sections without a relocation.
    unrelocated: IndexMap<SectionId<Patched>, Vec<Unrelocated>, RandomState>,
    /// objtool makes its tables anew on the linked module.
    pub(super) remade: bool,
}

impl<'a> Builder<'a> {
    /// Prepares the output of a selection. Fails where code cannot be read.
    pub fn new(
        comparer: &'a Comparer<'a>,
        statuses: &'a Statuses,
        selection: &'a Selection,
        remade: bool,
    ) -> Result<Self> {
        let layout = comparer.patched.layout;
        let object = layout.object;
        let mut moves = IndexMap::default();
        let mut unrelocated = IndexMap::default();
        for (&table, rows) in &selection.rows {
            let table = &comparer.patched.rows.tables[table as usize];
            let size = object.section_size(table.section);
            let spans = rows.iter().map(|&row| table.span(row as usize, size));
            moves.insert(table.section, packed(spans));
        }
        for section in selection.parts.sections() {
            let parts = || selection.parts.of(section);
            moves.insert(section, aligned(parts(), object.section(section).align));
            if layout.class(section) == Class::Text {
                let parts = parts().map(|(start, end)| leaving(layout, section, start, end));
                let parts: Vec<Vec<Unrelocated>> = parts.collect::<Result<_>>()?;
                unrelocated.insert(section, parts.concat());
            }
        }
        if let Some(unwind) = &selection.unwind {
            let spans = |size: u64| {
                packed(
                    unwind
                        .kept
                        .iter()
                        .map(move |&i| (u64::from(i) * size, (u64::from(i) + 1) * size)),
                )
            };
            moves.insert(unwind.entries, spans(unwind.size));
            moves.insert(unwind.places, spans(4));
        }
        Ok(Builder { comparer, statuses, selection, moves, unrelocated, remade })
    }

    fn layout(&self) -> &'a Layout<'a, Patched> {
        self.comparer.patched.layout
    }

    /// All relocations that the output carries, in output order.
    ///
    /// Fails with the codes of [`relocation`].
    pub fn entries(&self) -> Result<Entries> {
        let object = self.layout().object;
        let mut entries = Entries::default();
        for section in object.sections() {
            if !self.selection.sections[section] || self.is_dropped(section) {
                continue;
            }
            let relocs = object.relocs(section);
            let debug = self.layout().class(section) == Class::Debug;
            let moves = self.moves.get(&section);
            if !debug && moves.is_none() {
                entries.push_whole(section, relocs.len());
                continue;
            }
            let kept = relocs.iter().enumerate().filter(|(_, reloc)| {
                moves.is_none_or(|m| moved(m, reloc.offset).is_some())
                    && !(debug && self.is_dangling(reloc.symbol))
            });
            let unrelocated = self.unrelocated.get(&section).into_iter().flatten();
            let unrelocated =
                unrelocated.map(|unrelocated| relocation(self.layout(), section, unrelocated));
            let unrelocated: Vec<_> = unrelocated.collect::<Result<_>>()?;
            entries.push_some(section, kept.map(|(place, _)| place), &unrelocated);
        }
        Ok(entries)
    }

    /// Debug information about code that is not in the patch is dropped.
    fn is_dangling(&self, symbol: SymbolId<Patched>) -> bool {
        !self.selection.has_symbol(self.layout().object, symbol)
    }

    /// Sections that are in the selection but have no place in the output.
    fn is_dropped(&self, section: SectionId<Patched>) -> bool {
        match self.layout().class(section) {
            Class::Meta | Class::Relocations | Class::Group => true,
            Class::Noise(_) => self.layout().object.section_name(section) != macros::POINTERS,
            _ => false,
        }
    }

    /// Builds the output in kpatch's form.
    pub fn build(
        &self,
        running: &RunningKernel<'_>,
        replaced: &[Replaced<'a>],
        resolution: Resolution<'a>,
        entries: &Entries,
    ) -> Result<Draft> {
        let object = self.layout().object;
        let header = object.header();
        let mut strings = Strings::default();
        let parent = strings.offset(running.parent.name()).into();
        let mut output = Output {
            object: OutObject {
                big_endian: matches!(object.endian(), object::Endianness::Big),
                kind: header.kind,
                machine: header.machine,
                flags: header.flags,
                ..OutObject::default()
            },
            strings,
            strings_symbol: OutSymbolIndex::new(0),
            sections: Sparse::build(0, std::iter::empty),
            symbols: Sparse::build(0, std::iter::empty),
            section_symbols: Vec::new(),
            pointer: self.layout().arch.abs64,
            parent,
        };
        self.copy_sections(&mut output)?;
        self.copy_symbols(&mut output, &resolution)?;
        self.copy_relocs(&mut output, &resolution, entries)?;
        self.namespaces(&mut output);
        let pending = self.tables(&mut output, running, replaced, resolution)?;
        sites::add(&mut output, self)?;
        output.finish_strings()?;
        Ok(Draft { object: output.object, pending })
    }

    fn copy_sections(&self, output: &mut Output) -> Result<()> {
        let object = self.layout().object;
        let carried =
            |&id: &SectionId<Patched>| self.selection.sections[id] && !self.is_dropped(id);
        let ids: Vec<SectionId<Patched>> = object.sections().filter(carried).collect();
        let copies = ids.par_iter().with_min_len(256).map(|&id| self.copy_section(id));
        output.object.sections = copies.collect();
        // Else the first table that is added doubles them.
        output.object.sections.reserve_exact(OWN_SECTIONS);
        output.sections = Sparse::build(object.section_count(), || ids.iter().copied().zip(0..));
        for (index, &id) in ids.iter().enumerate() {
            let section = object.section(id);
            if section.flags & abi::SHF_LINK_ORDER == 0 {
                continue;
            }
            let linked = SectionId::new(section.link as usize);
            let link = output.section(linked).ok_or_else(|| {
                Error::broken(
                    Code::LinkOrder,
                    format!("{} is ordered after a section that is not in the patch", section.name),
                )
                .in_section(section.name)
            })?;
            output.object.sections[index].link = Some(link);
        }
        Ok(())
    }

    fn copy_section(&self, id: SectionId<Patched>) -> OutSection {
        let section = self.layout().object.section(id);
        let (data, size) = match self.moves.get(&id) {
            Some(moves) => {
                let size = moves.last().map_or(0, |&(start, end, to)| to + (end - start));
                let mut data = self.assemble(&section, moves, size);
                // Relocations say it now, and the kernel insists on fields without contents.
                for Unrelocated { reach, .. } in self.unrelocated.get(&id).into_iter().flatten() {
                    let field = self.offset(id, reach.field);
                    Reach { field, ..*reach }.clear(&mut data);
                }
                (data, size)
            }
            None => (section.data.to_vec(), section.size),
        };
        OutSection {
            name: self.comparer.output_section_name(id).to_owned(),
            kind: section.kind,
            // Members of groups are refused unless unchanged; the copy is no member.
            flags: section.flags & !abi::SHF_GROUP,
            align: section.align,
            entsize: section.entsize,
            data,
            size,
            link: None,
            relocs: Vec::new(),
        }
    }

    /// The bytes of a section that is not carried whole, with padding between its parts.
    fn assemble(&self, section: &Section<'_>, moves: &Moves, size: u64) -> Vec<u8> {
        if section.kind == abi::SHT_NOBITS {
            return Vec::new();
        }
        let pattern = if section.is_text() { self.layout().arch.padding_pattern } else { &[0][..] };
        let mut data: Vec<u8> = (0..size as usize).map(|i| pattern[i % pattern.len()]).collect();
        for &(start, end, to) in moves {
            let bytes = &section.data[start as usize..end as usize];
            data[to as usize..to as usize + bytes.len()].copy_from_slice(bytes);
        }
        data
    }

    fn copy_symbols(&self, output: &mut Output, resolution: &Resolution<'_>) -> Result<()> {
        let layout = self.layout();
        let object = layout.object;
        let is_carried =
            |&id: &SymbolId<Patched>| self.selection.symbols[id] && !resolution.is_stripped(id);
        let ids = || object.symbols().skip(1).filter(is_carried);
        let count = ids().count();
        // Sections that have no symbol may need one.
        output.object.symbols.reserve_exact(count + count / 8 + OWN_SECTIONS);
        let mut carried = Vec::with_capacity(count);
        for id in ids() {
            let symbol = object.symbol(id);
            let home = match symbol.home {
                Home::Section(section) => match output.section(section) {
                    Some(index) if self.selection.has_symbol(object, id) => OutHome::Section(index),
                    _ => OutHome::Undefined,
                },
                Home::Absolute => OutHome::Reserved(abi::SHN_ABS),
                Home::Reserved(abi::SHN_LIVEPATCH) => OutHome::Reserved(abi::SHN_LIVEPATCH),
                Home::Undefined | Home::Common | Home::Reserved(_) => OutHome::Undefined,
            };
            let section_symbol = symbol.kind == abi::STT_SECTION;
            if section_symbol && home == OutHome::Undefined {
                continue;
            }
            let replaced = self.statuses.is_own_copy(layout, id);
            // Another object of the patch may bring the same along.
            let own = matches!(home, OutHome::Section(_))
                && self.comparer.policy.own_thunks
                && thunks::is_own(&symbol);
            let index = output.object.add_symbol(OutSymbol {
                name: if section_symbol {
                    String::new()
                } else {
                    self.comparer.output_name(id).to_owned()
                },
                kind: symbol.kind,
                bind: if replaced || own { abi::STB_LOCAL } else { symbol.bind },
                other: symbol.other,
                home,
                value: match symbol.home {
                    Home::Section(section) if !section_symbol => self.offset(section, symbol.value),
                    _ => symbol.value,
                },
                size: symbol.size,
            });
            carried.push((id, index));
            if let (true, OutHome::Section(section)) = (section_symbol, home) {
                output.set_section_symbol(section, index);
            }
        }
        output.symbols = Sparse::build(object.symbol_count(), || carried.iter().copied());
        Ok(())
    }

    fn copy_relocs(
        &self,
        output: &mut Output,
        resolution: &Resolution<'_>,
        entries: &Entries,
    ) -> Result<()> {
        let object = self.layout().object;
        let parts = entries.each(|chunks| {
            chunks.map(|chunk| self.section_relocs(output, resolution, chunk)).collect()
        })?;
        for part in parts {
            let part: Vec<SectionRelocs> = part;
            for SectionRelocs { section, mut relocs, unnamed } in part {
                for (at, home) in unnamed {
                    relocs[at].symbol = Some(output.section_symbol(home));
                }
                let flags = object
                    .rela_section(section)
                    .map_or(abi::SHF_INFO_LINK, |r| object.section_flags(r));
                output.set_relocs(section, flags, relocs);
            }
        }
        // A section whose relocations all went keeps an empty table, as the C tool's does.
        for section in object.sections() {
            let Some(index) = output.section(section) else { continue };
            if let Some(rela) = object.rela_section(section)
                && output.object.sections[index].relocs.is_empty()
            {
                output.set_relocs(section, object.section_flags(rela), Vec::new());
            }
        }
        Ok(())
    }

    /// The relocations of one section that the output carries.
    fn section_relocs(
        &self,
        output: &Output,
        resolution: &Resolution<'_>,
        chunk: Chunk<'_>,
    ) -> Result<SectionRelocs> {
        let section = chunk.section();
        let refs = Refs::new(self.layout(), section);
        let stays = |entry: &EntryId| !resolution.is_moved(*entry);
        let mut relocs = Vec::with_capacity(chunk.ids().filter(stays).count());
        let mut unnamed = Vec::new();
        for (entry, reloc) in chunk.relocs(self.layout().object) {
            if resolution.is_moved(entry) {
                continue;
            }
            let target = refs.resolve(&reloc)?;
            let addend = self.remap(&refs, &reloc, target)?;
            self.check_range(&refs, section, &reloc, target.symbol, target.addend)?;
            let symbol = match self.target(output, section, target.symbol)? {
                InOutput::None => None,
                InOutput::Symbol(index) => Some(index),
                InOutput::Section(home) => {
                    unnamed.push((relocs.len(), home));
                    None
                }
            };
            let offset = self.offset(section, reloc.offset);
            relocs.push(OutReloc { offset, kind: reloc.kind, symbol, addend });
        }
        Ok(SectionRelocs { section, relocs, unnamed })
    }

    /// What a symbol is in the output.
    fn target(
        &self,
        output: &Output,
        section: SectionId<Patched>,
        symbol: SymbolId<Patched>,
    ) -> Result<InOutput> {
        if symbol.index() == 0 {
            return Ok(InOutput::None);
        }
        if let Some(index) = output.symbols.get(symbol) {
            return Ok(InOutput::Symbol(index));
        }
        let object = self.layout().object;
        if object.symbol_kind(symbol) == abi::STT_SECTION
            && let Some(home) = object.section_of(symbol).and_then(|s| output.section(s))
        {
            return Ok(InOutput::Section(home));
        }
        Err(Error::broken(Code::DanglingReference, "a reference leads out of the patch")
            .in_section(object.section_name(section))
            .at_symbol(object.symbol_name(symbol))
            .advise("this is a defect of klp-diff; please report it with the objects"))
    }

    /// New place of byte `offset` of a section.
    pub(super) fn offset(&self, section: SectionId<Patched>, offset: u64) -> u64 {
        self.moves.get(&section).and_then(|m| moved(m, offset)).unwrap_or(offset)
    }

    /// References through its symbol into a section that is not carried whole follow the
    /// part they mean.
    fn remap(
        &self,
        refs: &Refs<'_, Patched>,
        reloc: &Reloc<Patched>,
        target: Ref<Patched>,
    ) -> Result<i64> {
        let object = self.layout().object;
        let moves = object.section_of(target.symbol).and_then(|t| self.moves.get(&t));
        let Some(moves) = moves.filter(|_| object.symbol_kind(target.symbol) == abi::STT_SECTION)
        else {
            return Ok(target.addend);
        };
        let at = refs.target_offset(&Reloc { addend: target.addend, ..*reloc })?;
        let to = u64::try_from(at).ok().and_then(|at| {
            let behind = || moved(moves, at.checked_sub(1)?).map(|to| to + 1);
            moved(moves, at).or_else(behind)
        });
        let is_table = |s| matches!(self.layout().class(s), Class::Table(_));
        if to.is_none() && object.section_of(target.symbol).is_some_and(is_table) {
            return Err(Error::broken(
                Code::DanglingReference,
                "a reference leads to a row of a table that is not in the patch",
            )
            .in_section(object.section_name(refs.base()))
            .at_symbol(object.symbol_name(target.symbol))
            .at_offset(reloc.offset)
            .advise("this is a defect of klp-diff; please report it with the objects"));
        }
        // What is not in the patch is empty: a replacement of no bytes.
        let to = to.unwrap_or(0);
        Ok(target.addend.wrapping_add(to as i64).wrapping_sub(at))
    }

    /// A reference must not leave the section it names.
    fn check_range(
        &self,
        refs: &Refs<'_, Patched>,
        section: SectionId<Patched>,
        reloc: &Reloc<Patched>,
        symbol: SymbolId<Patched>,
        addend: i64,
    ) -> Result<()> {
        let object = self.layout().object;
        let home = object.section_of(symbol).filter(|_| self.selection.has_symbol(object, symbol));
        let Some(home) = home else {
            return Ok(());
        };
        // A row of a jump table is relative to the table: the distance between the two is in
        // the addend.
        let class = self.layout().arch.reloc(reloc.kind)?.class;
        if class == RelocClass::PcRelative && !object.section(section).is_text() {
            return Ok(());
        }
        let relative = Reloc { addend, ..*reloc };
        let at = refs.target_offset(&relative)?.wrapping_add(object.symbol_value(symbol) as i64);
        if at >= 0 && at as u64 <= object.extent(home).unwrap_or(0) {
            return Ok(());
        }
        let base = object.section_name(section);
        Err(Error::broken(
            Code::OutOfRange,
            format!(
                "{base}+{:#x}: out-of-range relocation {}{}",
                reloc.offset,
                object.symbol_name(symbol),
                distance(addend)
            ),
        )
        .in_section(base)
        .at_symbol(object.symbol_name(symbol))
        .at_offset(reloc.offset))
    }

    /// Symbol namespaces that the patched object imports.
    fn namespaces(&self, output: &mut Output) {
        let object = self.layout().object;
        let mut data = Vec::new();
        if let Some(section) = self.layout().section_named(sections::MODINFO) {
            for text in object.contents(section).split(|&b| b == 0) {
                const KEY: &[u8] = b"import_ns=";
                if let Some(at) = text.windows(KEY.len()).position(|w| w == KEY) {
                    data.extend_from_slice(&text[at..]);
                    data.push(0);
                }
            }
        }
        if !data.is_empty() {
            let entsize = data.len() as u64;
            output.add_section(sections::MODINFO, data, entsize, Vec::new());
        }
    }

    /// `.kpatch.funcs`, `.kpatch.relocations`, `.kpatch.symbols`, `.kpatch.arch`.
    fn tables(
        &self,
        output: &mut Output,
        running: &RunningKernel<'_>,
        replaced: &[Replaced<'a>],
        resolution: Resolution<'a>,
    ) -> Result<PendingTables> {
        let strings = output.add_section(livepatch::STRINGS, Vec::new(), 1, Vec::new());
        output.object.sections[strings].align = 1;
        output.strings_symbol = output.section_symbol(strings);
        self.functions(output, replaced);
        let pending =
            PendingTables::new(output, resolution, |section, at| self.offset(section, at));
        if running.klp_arch {
            let mut arch = Table::with_capacity(0, &ArchRow::LAYOUT);
            for name in KLP_ARCH_SECTIONS {
                let found = self.layout().section_named(name);
                if let Some(index) = found.and_then(|s| output.section(s)) {
                    let symbol = output.section_symbol(index);
                    arch.row(&[0; ArchRow::LAYOUT.size as usize]);
                    arch.pointer(ArchRow::SECTION, symbol, 0);
                    arch.pointer(ArchRow::OBJECT, output.strings_symbol, output.parent);
                }
            }
            arch.finish(output, &ArchRow::LAYOUT);
        }
        self.callbacks(output);
        Ok(pending)
    }

    fn functions(&self, output: &mut Output, replaced: &[Replaced<'a>]) {
        let big = output.object.big_endian;
        let mut table = Table::with_capacity(replaced.len(), &FunctionRow::LAYOUT);
        for function in replaced {
            let symbol = self.layout().object.symbol(function.symbol);
            let Some(index) = output.symbols.get(function.symbol) else { continue };
            let row = FunctionRow {
                new_size: symbol.size,
                old_address: function.old_addr,
                old_size: function.old_size,
                position: function.sympos,
            };
            table.row(&row.encode(big));
            table.pointer(FunctionRow::NEW, index, 0);
            let name = output.strings.offset(function.name);
            table.pointer(FunctionRow::NAME, output.strings_symbol, name.into());
            table.pointer(FunctionRow::OBJECT, output.strings_symbol, output.parent);
        }
        table.finish(output, &FunctionRow::LAYOUT);
    }

    /// Each callback learns which object it belongs to.
    fn callbacks(&self, output: &mut Output) {
        for name in macros::CALLBACKS {
            let found = self.layout().section_named(name);
            let Some(index) = found.and_then(|s| output.section(s)) else { continue };
            let entry = OutReloc {
                offset: 8,
                kind: output.pointer,
                symbol: Some(output.strings_symbol),
                addend: output.parent,
            };
            if let Some(table) = output.object.sections[index].relocs.first_mut() {
                table.entries.push(entry);
            }
        }
    }

    /// Functions of the patch that ftrace must know, in symbol order, with their place in
    /// the output.
    pub(super) fn traced<'b>(
        &'b self,
        output: &'b Output,
    ) -> impl Iterator<
        Item = (SymbolId<Patched>, SectionId<Patched>, OutSymbolIndex, OutSectionIndex),
    > + 'b {
        let layout = self.layout();
        layout.object.symbols().filter_map(move |id| {
            let index = output.symbols.get(id)?;
            let section = layout.object.section_of(id)?;
            let home = output.section(section)?;
            let counts = self.statuses.symbols[id] != Status::Same && layout.has_profiling(id);
            counts.then_some((id, section, index, home))
        })
    }

    /// The patched object's layout.
    pub(super) fn patched(&self) -> &'a Layout<'a, Patched> {
        self.layout()
    }
}

/// Packs spans one behind the other.
fn packed(spans: impl Iterator<Item = (u64, u64)>) -> Moves {
    let mut next = 0;
    spans
        .map(|(start, end)| {
            let at = next;
            next += end - start;
            (start, end, at)
        })
        .collect()
}

/// Places parts of a section one behind the other, each as well aligned as it was.
fn aligned(parts: impl Iterator<Item = (u64, u64)>, align: u64) -> Moves {
    let align = align.max(1);
    let mut next: u64 = 0;
    let place = |(start, end): (u64, u64)| {
        // Same remainder, so that what was aligned inside the section still is.
        let to = next + (start % align + align - next % align) % align;
        next = to + (end - start);
        (start, end, to)
    };
    parts.map(place).collect()
}

/// New place of a byte of a packed section; `None` when it was dropped.
fn moved(moves: &Moves, offset: u64) -> Option<u64> {
    let i = moves.partition_point(|m| m.0 <= offset).checked_sub(1)?;
    let (start, end, to) = moves[i];
    (offset < end).then(|| to + (offset - start))
}
