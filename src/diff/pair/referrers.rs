//! Who refers to a symbol: evidence where its own name says too little.

#![expect(
    clippy::indexing_slicing,
    reason = "a run is not empty, and ranges are parts of the list"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use crate::elf::abi;
use crate::elf::ids::{Marks, SectionId, Side, SymbolId};
use crate::elf::object::Home;
use crate::kernel::knowledge::names;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;

/// For some symbols, hashes of the normal names of what refers to them; ascending, each once.
pub(super) struct Referrers<S> {
    by: Vec<u64>,
    ranges: IndexMap<SymbolId<S>, (usize, usize), RandomState>,
}

impl<S: Side> Referrers<S> {
    /// Of `wanted`, with all who refer to them.
    pub(super) fn of_all(
        layout: &Layout<'_, S>,
        wanted: &IndexSet<SymbolId<S>, RandomState>,
    ) -> Self {
        Self::collect(layout, wanted, false)
    }

    /// Of `wanted`, with the global functions and variables that refer to them.
    pub(super) fn of_globals(
        layout: &Layout<'_, S>,
        wanted: &IndexSet<SymbolId<S>, RandomState>,
    ) -> Self {
        Self::collect(layout, wanted, true)
    }

    /// Those of one symbol.
    pub(in crate::diff) fn of(&self, id: SymbolId<S>) -> &[u64] {
        self.ranges.get(&id).map_or(&[], |&(from, to)| &self.by[from..to])
    }

    /// A hash of all of them; `None` when there are none.
    pub(in crate::diff) fn print(&self, id: SymbolId<S>) -> Option<u64> {
        let by = self.of(id);
        (!by.is_empty()).then(|| FixedState::default().hash_one(by))
    }

    fn collect(
        layout: &Layout<'_, S>,
        wanted: &IndexSet<SymbolId<S>, RandomState>,
        globals: bool,
    ) -> Self {
        let object = layout.object;
        if wanted.is_empty() {
            return Referrers { by: Vec::new(), ranges: IndexMap::default() };
        }
        let homes = wanted.iter().filter_map(|&id| object.section_of(id));
        let homes = Marks::of(object.section_count(), homes);
        // Itself, or its section's symbol: what else is referred to is none of the wanted.
        let direct = Marks::of(object.symbol_count(), wanted.iter().copied());
        let handles = Marks::from_fn(object.symbol_count(), |id| {
            direct.has(id)
                || object.symbol_kind(id) == abi::STT_SECTION
                    && object.section_of(id).is_some_and(|home| homes.has(home))
        });
        let counts = |id: &&SectionId<S>| matches!(layout.class(**id), Class::Text | Class::Data);
        let mut found: Vec<(SymbolId<S>, u64)> = object
            .relocated()
            .par_iter()
            .with_min_len(256)
            .filter(counts)
            .flat_map_iter(|&section| from_section(layout, section, (&direct, &handles), globals))
            .collect();
        found.par_sort_unstable();
        found.dedup();
        let by = found.iter().map(|f| f.1).collect();
        let mut ranges = IndexMap::default();
        let mut from = 0;
        for run in found.chunk_by(|a, b| a.0 == b.0) {
            ranges.insert(run[0].0, (from, from + run.len()));
            from += run.len();
        }
        Referrers { by, ranges }
    }
}

/// What the code or data of one section refers to. A reference that cannot be understood
/// says nothing here; the comparison reports it.
fn from_section<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    (wanted, handles): (&Marks<SymbolId<S>>, &Marks<SymbolId<S>>),
    globals: bool,
) -> Vec<(SymbolId<S>, u64)> {
    let object = layout.object;
    let refs = Refs::new(layout, section);
    let mut found = Vec::new();
    let mut last = None;
    for reloc in object.relocs(section).iter() {
        if !handles.has(reloc.symbol) {
            continue;
        }
        let target = match object.home(reloc.symbol) {
            Home::Section(home) if object.symbol_kind(reloc.symbol) == abi::STT_SECTION => {
                match layout.owner(home) {
                    Some(owner) => owner,
                    None => match refs.resolve(&reloc) {
                        Ok(target) => target.symbol,
                        Err(_) => continue,
                    },
                }
            }
            _ => reloc.symbol,
        };
        if !wanted.has(target) {
            continue;
        }
        let entity = layout.entity_at(section, reloc.offset);
        let Some(by) = entity.and_then(|i| layout.entity(section, i).symbol) else { continue };
        if by == target || globals && object.symbol_bind(by) == abi::STB_LOCAL {
            continue;
        }
        // A function refers to many things in a row.
        let hash = match last {
            Some((of, hash)) if of == by => hash,
            _ => {
                let mut state = FixedState::default().build_hasher();
                names::hash_normal(object.symbol_name(by), &mut state);
                state.finish()
            }
        };
        last = Some((by, hash));
        found.push((target, hash));
    }
    found
}
