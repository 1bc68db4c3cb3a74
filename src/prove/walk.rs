//! Follows the references of the output and of the patched object in step.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "stretches are checked to lie within the section"
)]

use std::borrow::Cow;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::places::Places;
use super::written::{Home, Reference, To, Written};
use super::{Prover, differs, names};
use crate::diag::{Error, Result};
use crate::diff::select::status::Status;
use crate::elf::abi;
use crate::elf::ids::{Id, Patched, SectionId, SymbolId};
use crate::elf::object::{Home as InputHome, Reloc};
use crate::kernel::assembler_resolved::{leaving, relocation};
use crate::kernel::knowledge::tables::TABLES;
use crate::kernel::layout::Class;
use crate::kernel::refs::{Ref, Refs};
use crate::running::parent::Found;

/// Bytes of the patched object, and where they should be in the output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub section: SectionId<Patched>,
    pub start: u64,
    pub end: u64,
    /// Section and offset of the output.
    pub to: (u32, u64),
}

/// A stretch of bytes of a section of the patched object.
type Stretch = (SectionId<Patched>, u64, u64);

/// A proof under way.
pub(super) struct Walk<'a> {
    pub prover: &'a Prover<'a>,
    pub written: &'a Written<'a>,
    pub places: Places,
    /// Where stretches of the patched object were found.
    pub known: IndexMap<Stretch, (u32, u64), RandomState>,
    pending: Vec<Item>,
    /// Places of tables, and ends of things: found where they should be once all is known.
    pub later: Vec<(SectionId<Patched>, u64, u32, u64)>,
    /// Pairs of sections whose headers were compared.
    pub paired: IndexSet<(u32, SectionId<Patched>), RandomState>,
    /// What the symbols of the output are.
    pub symbols: Vec<Option<SymbolId<Patched>>>,
    /// Those that a symbol of the output is.
    pub taken: IndexSet<SymbolId<Patched>, RandomState>,
    pub found: IndexMap<SymbolId<Patched>, Option<Found<'a>>, RandomState>,
    /// Symbols of the output that several of the patched object may be, and those.
    pub unmatched: Vec<usize>,
    pub candidates: IndexMap<String, Vec<SymbolId<Patched>>, RandomState>,
    /// Data that is asked of the kernel.
    pub foreign: Vec<(SymbolId<Patched>, Option<SectionId<Patched>>)>,
}

impl<'a> Walk<'a> {
    pub fn new(prover: &'a Prover<'a>, written: &'a Written<'a>) -> Self {
        Walk {
            prover,
            written,
            places: Places::default(),
            known: IndexMap::default(),
            pending: Vec::new(),
            later: Vec::new(),
            paired: IndexSet::default(),
            symbols: vec![None; written.symbols.len()],
            taken: IndexSet::default(),
            found: IndexMap::default(),
            unmatched: Vec::new(),
            candidates: IndexMap::default(),
            foreign: Vec::new(),
        }
    }

    /// Where byte `at` of a section of the patched object is, for errors.
    pub fn at(&self, error: Error, section: SectionId<Patched>, at: u64) -> Error {
        let layout = self.prover.layout();
        let entity = layout.entity_at(section, at).map(|i| layout.entity(section, i));
        let error = error.in_section(layout.object.section_name(section)).at_offset(at);
        // What the error itself names is nearer.
        match (error.place().symbol.is_some(), entity.and_then(|e| e.symbol)) {
            (false, Some(symbol)) => error.at_symbol(layout.object.symbol_name(symbol)),
            _ => error,
        }
    }

    /// Notes that a stretch should be at a place of the output.
    pub fn want(&mut self, item: Item) -> Result<()> {
        let Item { section, start, end, to } = item;
        match self.known.insert((section, start, end), to) {
            None => {
                self.places.add(to, section, start, end);
                self.pending.push(item);
                Ok(())
            }
            Some(before) if before == to => Ok(()),
            Some(before) => {
                let names =
                    [before, to].map(|(s, at)| format!("{}+{at:#x}", self.written.section(s).name));
                let text = format!("references lead to {} and to {}", names[0], names[1]);
                Err(self.at(differs(text), section, start))
            }
        }
    }

    /// Compares all that is wanted, and what that leads to.
    pub fn drain(&mut self) -> Result<()> {
        while let Some(item) = self.pending.pop() {
            self.check_pair(item.to.0, item.section)?;
            self.compare(&item)?;
        }
        Ok(())
    }

    fn compare(&mut self, item: &Item) -> Result<()> {
        let layout = self.prover.layout();
        let object = layout.object;
        let &Item { section, start, end, to: (home, to) } = item;
        let written = self.written.section(home);
        let len = end - start;
        let align = object.section_align(section).max(1);
        let is_row = matches!(layout.class(section), Class::Table(_) | Class::Unwind);
        if !is_row
            && start % align != to % align
            && object.section_flags(section) & abi::SHF_STRINGS == 0
        {
            return Err(self.at(differs("it is not aligned as it was"), section, start));
        }
        if to.checked_add(len).is_none_or(|end| end > written.size) {
            return Err(self.at(differs("the end is missing"), section, start));
        }
        let mut relocs: Vec<Reloc<Patched>> = object.relocs(section).within(start, end).collect();
        if object.section_kind(section) != abi::SHT_NOBITS {
            let bytes = object.contents(section).get(start as usize..end as usize).unwrap_or(&[]);
            let expected = self.expected(item, bytes, &mut relocs)?;
            let stored = written.data.get(to as usize..(to + len) as usize).unwrap_or(&[]);
            if stored != &*expected {
                let first = stored.iter().zip(&*expected).position(|(a, b)| a != b);
                let at = start + first.unwrap_or(stored.len()) as u64;
                return Err(self.at(differs("a byte differs"), section, at));
            }
        }
        self.compare_refs(item, relocs)
    }

    /// The bytes that a stretch has in the output, and the relocations: instructions that led out
    /// of it without one have one, and what ftrace is to find is a call.
    fn expected(
        &mut self,
        item: &Item,
        bytes: &'a [u8],
        relocs: &mut Vec<Reloc<Patched>>,
    ) -> Result<Cow<'a, [u8]>> {
        let layout = self.prover.layout();
        let &Item { section, start, end, to: (home, to) } = item;
        let mut bytes = Cow::Borrowed(bytes);
        if layout.class(section) != Class::Text {
            return Ok(bytes);
        }
        for unrelocated in leaving(layout, section, start, end)? {
            let field = unrelocated.reach.field.wrapping_sub(start);
            let place = to.wrapping_add(field);
            if self.written.within(home, place, place + 1).is_empty() {
                // Both keep their distance.
                let to = place
                    .wrapping_add(unrelocated.reach.target.wrapping_sub(unrelocated.reach.field));
                self.later.push((section, unrelocated.reach.target, home, to));
                continue;
            }
            relocs.push(relocation(layout, section, &unrelocated)?);
            let mut reach = unrelocated.reach;
            reach.field = field;
            reach.clear(bytes.to_mut());
        }
        for &id in layout.object.members(section) {
            let value = layout.object.symbol_value(id);
            if !(start..end).contains(&value) || !self.is_hooked(id) {
                continue;
            }
            let site = self.site(id, section)?;
            let rewrite = site.rewrite.filter(|_| !self.prover.remade);
            let Some((call, kind)) = rewrite else { continue };
            let at = site.offset.wrapping_sub(start) as usize;
            if let Some(place) = bytes.to_mut().get_mut(at..at.saturating_add(call.len())) {
                place.copy_from_slice(call);
            }
            relocs.iter_mut().filter(|r| r.offset == site.offset + 1).for_each(|r| r.kind = kind);
        }
        Ok(bytes)
    }

    /// Whether a function of the patch has a site that ftrace must find.
    pub fn is_hooked(&self, id: SymbolId<Patched>) -> bool {
        self.prover.statuses.symbols[id] != Status::Same && self.prover.layout().has_profiling(id)
    }

    /// Where ftrace hooks a function.
    pub fn site(
        &self,
        id: SymbolId<Patched>,
        section: SectionId<Patched>,
    ) -> Result<crate::arch::FtraceSite> {
        let layout = self.prover.layout();
        let (view, mut relocs) = (layout.view(id, section), layout.entry_relocs(id, section));
        (layout.arch.ftrace_site)(&view, &mut relocs)
            .map_err(|what| self.at(differs(what), section, view.value))
    }

    fn compare_refs(&mut self, item: &Item, mut relocs: Vec<Reloc<Patched>>) -> Result<()> {
        let &Item { section, start, end, to: (home, to) } = item;
        let written = self.written;
        relocs.sort_by_key(|r| (r.offset, r.kind));
        let mut theirs = written.within(home, to, to + (end - start)).iter().peekable();
        let refs = Refs::new(self.prover.layout(), section);
        // Debug information of what is not in the patch leads nowhere.
        let debug = self.prover.layout().class(section) == Class::Debug;
        for reloc in &relocs {
            let same =
                |r: &&Reference| r.offset - to == reloc.offset - start && r.kind == reloc.kind;
            let Some(reference) = theirs.next_if(same) else {
                if debug {
                    continue;
                }
                let what = differs("a relocation is missing, or has another type");
                return Err(self.at(what, section, reloc.offset));
            };
            self.compare_ref(&refs, reloc, reference)
                .map_err(|e| self.at(e, section, reloc.offset))?;
        }
        match theirs.find(|r| !names::is_added(written.section(home).name, r.offset)) {
            Some(more) => {
                let what = differs("there is a relocation that the patched object does not have");
                Err(self.at(what, section, start + (more.offset - to)))
            }
            None => Ok(()),
        }
    }

    fn compare_ref(
        &mut self,
        refs: &Refs<'a, Patched>,
        reloc: &Reloc<Patched>,
        reference: &Reference,
    ) -> Result<()> {
        let object = self.prover.layout().object;
        let meant = refs.resolve(reloc)?;
        let index = match reference.to {
            To::Asked(place) => {
                let asked = self.written.asked.get(place as usize).copied();
                let asked = asked.ok_or_else(|| differs("nobody is asked for a symbol"))?;
                return self.check_asked(
                    (refs.base(), reloc.offset),
                    meant,
                    &asked,
                    reference.addend,
                );
            }
            To::Symbol(index) => index,
        };
        if index == 0 || reloc.symbol.index() == 0 {
            let same = index == 0 && reloc.symbol.index() == 0 && reference.addend == reloc.addend;
            return match same {
                true => Ok(()),
                false => Err(differs("a reference is to no symbol")),
            };
        }
        let symbol = self.written.symbol(index)?;
        let home = match symbol.home {
            Home::Section(home) => home,
            Home::Undefined => {
                return self.check_undefined(refs.base(), meant, &symbol, reference);
            }
            Home::Reserved(_) => return self.check_reserved(meant, index, reference),
        };
        if object.section_of(meant.symbol).is_none() {
            return Err(differs("a reference is to what is not in the patched object")
                .at_symbol(symbol.name));
        }
        let distance = refs.target_offset(reloc)?;
        let bias = distance.wrapping_sub(reloc.addend);
        let value = object.symbol_value(reloc.symbol).cast_signed();
        let from = value.wrapping_add(distance);
        let value = symbol.value.cast_signed();
        let to = value.wrapping_add(reference.addend).wrapping_add(bias);
        self.relate(refs, reloc, meant, from, (home, to))
    }

    /// A symbol that has a value and no section.
    fn check_reserved(
        &mut self,
        meant: Ref<Patched>,
        index: u32,
        reference: &Reference,
    ) -> Result<()> {
        let symbol = self.written.symbol(index)?;
        let input = self.prover.layout().object.symbol(meant.symbol);
        let same = symbol.home == Home::Reserved(abi::SHN_ABS)
            && input.home == InputHome::Absolute
            && (symbol.name, symbol.value) == (input.name, input.value)
            && reference.addend == meant.addend;
        match same {
            true => Ok(()),
            false => Err(differs("a reference is to another value").at_symbol(symbol.name)),
        }
    }

    /// Notes that a reference of the patched object, to byte `from` of the section of what it
    /// means, is one to a place of the output.
    fn relate(
        &mut self,
        refs: &Refs<'a, Patched>,
        reloc: &Reloc<Patched>,
        meant: Ref<Patched>,
        from: i64,
        (home, to): (u32, i64),
    ) -> Result<()> {
        let layout = self.prover.layout();
        let Some(section) = layout.object.section_of(meant.symbol) else {
            return Ok(());
        };
        // Debuggers and unwinders of user space read it, the kernel does not: it stays as it is
        // where only parts of the code are carried.
        if layout.class(refs.base()) == Class::Debug {
            return Ok(());
        }
        match self.stretch(refs, reloc, meant, (section, from))? {
            Meant::Nothing => Ok(()),
            Meant::Place => match (u64::try_from(from), u64::try_from(to)) {
                (Ok(from), Ok(to)) => {
                    self.later.push((section, from, home, to));
                    Ok(())
                }
                _ => Err(differs("a reference leads out of its section")),
            },
            Meant::Stretch(start, end) => {
                let start_to = to.wrapping_sub(from).wrapping_add(start.cast_signed());
                let Ok(to) = u64::try_from(start_to) else {
                    return Err(differs("a reference leads to another place"));
                };
                self.want(Item { section, start, end, to: (home, to) })
            }
        }
    }

    /// What must be in the output since a reference leads there.
    fn stretch(
        &self,
        refs: &Refs<'a, Patched>,
        reloc: &Reloc<Patched>,
        meant: Ref<Patched>,
        (section, from): (SectionId<Patched>, i64),
    ) -> Result<Meant> {
        let layout = self.prover.layout();
        let object = layout.object;
        if let Class::Table(index) = layout.class(section) {
            let by_jumps =
                TABLES.get(usize::from(index)).is_some_and(|t| t.row.is_by_exception_table());
            let is_cut = by_jumps || self.rows_of_section(section).next().is_some();
            if is_cut {
                return Ok(self.row_at(section, from));
            }
        }
        let at = u64::try_from(from).unwrap_or(0);
        if let Some(length) = self.replacement_length(refs.base(), reloc.offset) {
            return Ok(match length {
                0 => Meant::Nothing,
                _ => Meant::Stretch(at, at.saturating_add(length)),
            });
        }
        if refs.leaves_string(reloc)? {
            return Ok(Meant::Stretch(0, object.section_size(section)));
        }
        if let Some(string) = refs.string(reloc)? {
            return Ok(Meant::Stretch(at, at + string.len() as u64 + 1));
        }
        let by_content =
            object.symbol_kind(meant.symbol) == abi::STT_SECTION || layout.is_label(meant.symbol);
        let (start, end) = if by_content && layout.is_nameless(section) {
            self.prover.lookup.pair.patched.anonymous.extent(layout, section, at)
        } else {
            let named = object.symbol_value(meant.symbol);
            let at = if by_content { at } else { named };
            match layout.entity_at(section, at) {
                Some(index) => {
                    let entity = layout.entity(section, index);
                    (entity.start, entity.end)
                }
                None => (0, object.section_size(section)),
            }
        };
        let is_empty = object.section_size(section) == 0;
        Ok(if start < end || is_empty { Meant::Stretch(start, end) } else { Meant::Place })
    }

    /// The row of `.fixup` that a reference leads to; rows of other tables are found by the code
    /// they describe.
    fn row_at(&self, section: SectionId<Patched>, from: i64) -> Meant {
        let at = u64::try_from(from).unwrap_or(0);
        let size = self.prover.layout().object.section_size(section);
        for table in self.rows_of_section(section) {
            if !table.table.row.is_by_exception_table() {
                continue;
            }
            let mut spans = (0..table.len(size)).map(|i| table.span(i, size));
            if let Some((start, end)) = spans.find(|&(start, end)| (start..end).contains(&at)) {
                return Meant::Stretch(start, end);
            }
        }
        Meant::Place
    }

    /// The headers of two sections, one of the output.
    fn check_pair(&mut self, home: u32, section: SectionId<Patched>) -> Result<()> {
        if !self.paired.insert((home, section)) {
            return Ok(());
        }
        self.check_section(home, section)
            .map_err(|e| e.in_section(self.prover.section_name(section)))
    }
}

/// What a reference leads to.
enum Meant {
    /// Nothing that has to be there.
    Nothing,
    /// A place that is known once all is.
    Place,
    /// All of these bytes of the section.
    Stretch(u64, u64),
}
