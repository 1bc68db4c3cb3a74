//! What functions count to: the variables that lie where a number which an instruction adds leads
//! from an address that the function refers to.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within code, which has less than 4 GiB"
)]

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::arch::displacement;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::{Effective, Refs};

/// A variable: where it starts and ends.
type Extent<S> = (u64, u64, SymbolId<S>);

/// Where a reference leads: section, byte, and the symbol by which it says so.
type Reached<S> = (SectionId<S>, u64, SymbolId<S>);

/// Sections of data in which several variables lie.
#[derive(Debug)]
pub(super) struct Shared<S: Side> {
    /// The variables, by place.
    sections: IndexMap<SectionId<S>, Vec<Extent<S>>, RandomState>,
}

impl<S: Side> Shared<S> {
    pub fn new(layout: &Layout<'_, S>) -> Self {
        let object = layout.object;
        let is_variable = |id: SymbolId<S>| {
            object.symbol_kind(id) == abi::STT_OBJECT && object.symbol_size(id) > 0
        };
        let shared = object.sections().filter_map(|section| {
            let meant = layout.class(section) == Class::Data
                && layout.is_ordinary(section)
                && object.section_flags(section) & abi::SHF_ALLOC != 0
                && object.members(section).len() > 1;
            let variables = object.members(section).iter().filter(|&&id| meant && is_variable(id));
            let extent = |&id: &SymbolId<S>| {
                let start = object.symbol_value(id);
                (start, start.saturating_add(object.symbol_size(id)), id)
            };
            let mut variables: Vec<Extent<S>> = variables.map(extent).collect();
            variables.sort_unstable();
            (variables.len() > 1).then_some((section, variables))
        });
        Shared { sections: shared.collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    pub fn has(&self, section: SectionId<S>) -> bool {
        self.sections.contains_key(&section)
    }

    pub fn sections(&self) -> impl Iterator<Item = SectionId<S>> + '_ {
        self.sections.keys().copied()
    }

    pub fn variables(&self, section: SectionId<S>) -> impl Iterator<Item = SymbolId<S>> + '_ {
        self.sections.get(&section).into_iter().flatten().map(|v| v.2)
    }

    /// The variables of a section that hold a byte: of those that start last before it.
    pub fn covering(&self, section: SectionId<S>, at: u64) -> Vec<SymbolId<S>> {
        let variables = self.sections.get(&section).map_or(&[][..], Vec::as_slice);
        let before = variables.get(..variables.partition_point(|v| v.0 <= at)).unwrap_or(&[]);
        let start = before.last().map(|v| v.0);
        let last = before.iter().rev().take_while(|v| Some(v.0) == start);
        last.filter(|v| at < v.1).map(|v| v.2).collect()
    }

    /// Whether no variable of the same file starts before byte `at` of a section, in `id`.
    pub fn is_first(
        &self,
        layout: &Layout<'_, S>,
        section: SectionId<S>,
        id: SymbolId<S>,
        at: u64,
    ) -> bool {
        let file = unit(layout, id);
        let variables = self.sections.get(&section).map_or(&[][..], Vec::as_slice);
        let before = variables.get(..variables.partition_point(|v| v.0 < at)).unwrap_or(&[]);
        // Those of one file lie together.
        let known = |v: &&Extent<S>| layout.is_local(v.2) || !layout.is_linked();
        let near = before.iter().rev().find(known);
        near.is_none_or(|v| unit(layout, v.2) != file)
    }
}

/// The file that a variable of a linked object is of; `None` where it is not known, and in
/// objects of one file.
pub(super) fn unit<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> Option<usize> {
    (layout.is_linked() && layout.is_local(id)).then(|| layout.file_of(id))
}

/// Where a relocation leads, through a slot of the TOC as well, and the symbol by which it says so.
pub(super) fn reached<S: Side>(
    layout: &Layout<'_, S>,
    refs: &Refs<'_, S>,
    reloc: &Reloc<S>,
) -> Result<Option<Reached<S>>> {
    let Effective::Reloc(holder, meant) = refs.effective(reloc)? else { return Ok(None) };
    let place = match holder == refs.base() {
        true => refs.place(&meant)?,
        false => Refs::new(layout, holder).place(&meant)?,
    };
    Ok(place.map(|(section, at)| (section, at, meant.symbol)))
}

/// The numbers that the functions of a section of code add to registers.
pub(super) struct Counting<'a> {
    layout: &'a Layout<'a, Patched>,
    base: SectionId<Patched>,
    /// The function that was read last, and its numbers, ascending.
    entity: Option<usize>,
    added: Vec<i64>,
}

impl<'a> Counting<'a> {
    pub fn new(layout: &'a Layout<'a, Patched>, base: SectionId<Patched>) -> Self {
        Counting { layout, base, entity: None, added: Vec::new() }
    }

    /// Where the function that refers to byte `at` of a section, in variable `from`, at its byte
    /// `offset` may count to, and the variable there: one of the same file, or that others can
    /// name.
    pub fn leads<'s>(
        &'s mut self,
        shared: &'s Shared<Patched>,
        (section, from): (SectionId<Patched>, SymbolId<Patched>),
        (offset, at): (u64, u64),
    ) -> impl Iterator<Item = (u64, SymbolId<Patched>)> + 's {
        self.read(offset);
        let layout = self.layout;
        let start = layout.object.symbol_value(from);
        let end = start.saturating_add(layout.object.symbol_size(from));
        let file = unit(layout, from);
        let of_file = move |&id: &SymbolId<Patched>| {
            unit(layout, id).is_none_or(|other| file.is_none_or(|file| file == other))
        };
        let places = self.added.iter().filter_map(move |&n| at.checked_add_signed(n));
        let beyond = places.filter(move |to| !(start..end).contains(to));
        beyond.filter_map(move |to| {
            let meant = shared.covering(section, to).into_iter().find(of_file)?;
            Some((to, meant))
        })
    }

    /// Reads the function that byte `offset` is in, and what was split off it.
    fn read(&mut self, offset: u64) {
        let layout = self.layout;
        let entity = layout.entity_at(self.base, offset);
        if entity == self.entity && entity.is_some() {
            return;
        }
        self.entity = entity;
        self.added.clear();
        let Some(index) = entity else { return };
        self.add(self.base, index);
        let Some(symbol) = layout.entity(self.base, index).symbol else { return };
        let root = layout.root(symbol);
        let parts = std::iter::once(root).chain(layout.children(root)).filter(|&id| id != symbol);
        for part in parts {
            let Some(section) = layout.object.section_of(part) else { continue };
            let index = layout.entity_at(section, layout.object.symbol_value(part));
            if let Some(index) = index {
                self.add(section, index);
            }
        }
        self.added.sort_unstable();
        self.added.dedup();
    }

    /// Adds the numbers of one function or part.
    fn add(&mut self, section: SectionId<Patched>, index: usize) {
        let layout = self.layout;
        let object = layout.object;
        let entity = layout.entity(section, index);
        let code = object.contents(section);
        let code = code.get(..entity.end as usize).unwrap_or(code);
        let named = entity.symbol.map_or(entity.start, |id| object.symbol_value(id));
        let mut at = named.max(entity.start);
        while at < code.len() as u64 {
            let rest = code.get(at as usize..).unwrap_or(&[]);
            // Code that is not known is stepped over by what all instructions are aligned to.
            let length = (layout.arch.instruction_len)(rest).filter(|&length| length > 0);
            let length = length.unwrap_or(2) as u64;
            if object.relocs(section).within(at, at + length).next().is_none() {
                self.added.extend(displacement(layout.arch, code, at));
            }
            at += length;
        }
    }
}
