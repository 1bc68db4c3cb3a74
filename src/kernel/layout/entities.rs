//! The last stage: sections cut into entities.

use std::ops::Deref;

use rayon::prelude::*;

use super::spans::{Spans, check_size};
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Csr, Id, SectionId, Side, SymbolId};
use crate::kernel::classes::{Class, is_padding};
use crate::kernel::knowledge::names;

/// A piece of a section with one meaning.
#[derive(Clone, Copy, Debug)]
pub struct Entity<S> {
    /// The section.
    pub section: SectionId<S>,
    /// First byte in the section.
    pub start: u64,
    /// Byte behind the last in the section.
    pub end: u64,
    /// The symbol that names it; `None` for what has no name.
    pub symbol: Option<SymbolId<S>>,
}

/// The entities of all sections.
pub struct Entities<'a, S> {
    spans: Spans<'a, S>,
    /// Cut points of the sections that no symbol owns: starts and symbols of the entities.
    cuts: Csr<SectionId<S>, (u32, SymbolId<S>)>,
}

impl<'a, S> Deref for Entities<'a, S> {
    type Target = Spans<'a, S>;

    #[inline]
    fn deref(&self) -> &Spans<'a, S> {
        &self.spans
    }
}

/// Start, end and name of what may be an entity.
type CutPoint<S> = (u64, u64, SymbolId<S>);

/// Where an entity begins: its section, the offset, and the symbol that names it.
type Cut<S> = (SectionId<S>, u32, SymbolId<S>);

impl<'a, S: Side> Entities<'a, S> {
    /// Cuts all sections. Fails for those whose bytes cannot be counted.
    pub(super) fn new(spans: Spans<'a, S>) -> Result<Self> {
        let object = spans.object;
        let mut shared = Vec::new();
        for section in object.sections().filter(|&s| is_cut(spans.class(s))) {
            check_size(&spans, section)?;
            if spans.owner(section).is_none() {
                shared.push(section);
            }
        }
        let tasks = shared.par_chunks(64);
        let found: Vec<Vec<Cut<S>>> = tasks.map(|sections| cuts_of(&spans, sections)).collect();
        let found = || found.iter().flatten().map(|&(section, at, symbol)| (section, (at, symbol)));
        let cuts = Csr::build(object.section_count(), found);
        Ok(Entities { spans, cuts })
    }

    /// The cut points of a section that no symbol owns.
    #[inline]
    fn cuts(&self, section: SectionId<S>) -> &[(u32, SymbolId<S>)] {
        self.cuts.get(section)
    }

    /// Number of entities of a section.
    #[inline]
    pub fn entity_count(&self, section: SectionId<S>) -> usize {
        match self.owner(section) {
            Some(_) => usize::from(is_cut(self.class(section))),
            None => self.cuts(section).len(),
        }
    }

    /// Entity `index` of a section.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "callers ask for entities below `entity_count`")]
    #[expect(clippy::arithmetic_side_effects, reason = "places in a list that is in memory")]
    pub fn entity(&self, section: SectionId<S>, index: usize) -> Entity<S> {
        if let Some(owner) = self.owner(section) {
            let end = self.object.section_size(section);
            return Entity { section, start: 0, end, symbol: Some(owner) };
        }
        let cuts = self.cuts(section);
        let (start, symbol) = cuts[index];
        let end = cuts
            .get(index + 1)
            .map_or_else(|| self.object.section_size(section), |next| u64::from(next.0));
        Entity {
            section,
            start: u64::from(start),
            end,
            symbol: Some(symbol).filter(|s| s.index() != 0),
        }
    }

    /// Where the symbol that opens the entity at `start` ends.
    pub fn named_end(&self, section: SectionId<S>, start: u64) -> Option<u64> {
        let symbol = self.entity(section, self.entity_at(section, start)?).symbol?;
        let (value, size) = (self.object.symbol_value(symbol), self.object.symbol_size(symbol));
        Some(value.saturating_add(size).min(self.object.section_size(section)))
    }

    /// The label without a size that names the entity at `start` of a section of data.
    pub fn unsized_at(&self, section: SectionId<S>, start: u64) -> Option<SymbolId<S>> {
        let symbol = self.entity(section, self.entity_at(section, start)?).symbol?;
        let unsized_label = self.object.symbol_kind(symbol) == abi::STT_NOTYPE
            && self.object.symbol_size(symbol) == 0
            && self.class(section) == Class::Data;
        unsized_label.then_some(symbol)
    }

    /// Whether an entity is nothing but what aligns the next one.
    pub fn is_padding(&self, entity: &Entity<S>) -> bool {
        let object = self.object;
        let data = object.contents(entity.section);
        let bytes = data.get(entity.start as usize..entity.end as usize);
        let text = object.is_text(entity.section);
        object.relocs(entity.section).within(entity.start, entity.end).next().is_none()
            && bytes
                .is_some_and(|b| b.iter().all(|&b| b == 0 || text && is_padding(self.arch, &[b])))
    }

    /// Index of the entity that holds byte `offset` of a section.
    #[inline]
    pub fn entity_at(&self, section: SectionId<S>, offset: u64) -> Option<usize> {
        if self.owner(section).is_some() {
            return is_cut(self.class(section)).then_some(0);
        }
        let cuts = self.cuts(section);
        cuts.partition_point(|c| u64::from(c.0) <= offset).checked_sub(1)
    }
}

/// Whether sections of a class consist of entities.
#[inline]
fn is_cut(class: Class) -> bool {
    matches!(class, Class::Text | Class::Data | Class::Strings)
}

#[expect(clippy::arithmetic_side_effects, reason = "a section has less than 4 GiB")]
fn cuts_of<S: Side>(spans: &Spans<'_, S>, sections: &[SectionId<S>]) -> Vec<Cut<S>> {
    let mut cuts = Vec::new();
    let mut points: Vec<CutPoint<S>> = Vec::new();
    for &section in sections {
        points.clear();
        let members = spans.object.members(section).iter();
        points.extend(members.filter_map(|&m| cut_point(spans, m)));
        points.sort_unstable();
        points.dedup_by(|next, empty| {
            let hides = yields(spans, empty, next);
            if hides {
                *empty = *next;
            }
            hides
        });
        let mut covered = 0;
        if points.first().is_none_or(|p| p.0 > 0) {
            cuts.push((section, 0, SymbolId::new(0)));
        }
        for &(start, end, symbol) in &points {
            // Aliases and symbols inside another belong to the entity that is open.
            if start >= covered {
                cuts.push((section, start as u32, symbol));
            }
            covered = covered.max(end).max(start + 1);
        }
    }
    cuts
}

/// Whether a cut point names nothing, since another one is at the same place: an empty
/// variable takes no place from what begins where it is, nor does a label at the end of a
/// file from the file that was linked behind it.
fn yields<S: Side>(spans: &Spans<'_, S>, empty: &CutPoint<S>, next: &CutPoint<S>) -> bool {
    let &(at, end, symbol) = empty;
    let is_variable = |id| spans.object.symbol_kind(id) == abi::STT_OBJECT;
    let both_local = || spans.is_local(symbol) && spans.is_local(next.2);
    at == end
        && next.0 == at
        && (next.1 > at && is_variable(symbol)
            || names::is_end_label(spans.object.symbol_name(symbol))
            || both_local() && spans.file_of(next.2) > spans.file_of(symbol))
}

/// Start (prefix included) and end of the entity that `id` would open.
fn cut_point<S: Side>(spans: &Spans<'_, S>, id: SymbolId<S>) -> Option<CutPoint<S>> {
    let (value, size) = (spans.object.symbol_value(id), spans.object.symbol_size(id));
    let section = spans.object.section_of(id)?;
    let named = match spans.object.symbol_kind(id) {
        abi::STT_FUNC | abi::STT_OBJECT | abi::STT_TLS | abi::STT_GNU_IFUNC => true,
        // What assembly defines has a name, but often no size.
        abi::STT_NOTYPE => size > 0 || spans.class(section) == Class::Data && !spans.is_mapping(id),
        _ => false,
    };
    if !named
        || spans.is_label(id)
        || spans.is_prefix(id)
        || value >= spans.object.section_size(section).max(1)
    {
        return None;
    }
    let head = || spans.head_of(id, section);
    let start = spans.prefix_of(id).map_or_else(head, |p| spans.object.symbol_value(p));
    Some((start, value.saturating_add(size), id))
}
