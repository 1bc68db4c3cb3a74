//! Which things of the original and of the patched object are the same thing.

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use crate::elf::ids::{Id, IdVec, Orig, Patched, SectionId, SymbolId};

/// Constants that were taken for twins, and are none.
#[derive(Clone, Debug, Default)]
pub struct Replaced {
    /// What each patched one was in the original.
    pub(in crate::diff) was: IndexMap<SymbolId<Patched>, SymbolId<Orig>, RandomState>,
    pub(in crate::diff) gone: IndexSet<SymbolId<Orig>, RandomState>,
    /// Why others that differ were kept as twins: who else may read them.
    pub(in crate::diff) kept: IndexMap<SymbolId<Patched>, String, RandomState>,
}

impl Replaced {
    /// What a patched constant was in the original.
    pub fn was(&self, id: SymbolId<Patched>) -> Option<SymbolId<Orig>> {
        self.was.get(&id).copied()
    }

    /// Why a patched constant that differs is the twin of the one in the original.
    pub fn kept(&self, id: SymbolId<Patched>) -> Option<&str> {
        self.kept.get(&id).map(String::as_str)
    }

    /// Whether a constant of the original was replaced.
    pub fn holds(&self, id: SymbolId<Orig>) -> bool {
        self.gone.contains(&id)
    }
}

/// The one-to-one relation between symbols and between sections of the two objects.
/// Index 0, the null entry, stands for "none" and is its own twin.
#[derive(Clone, Debug)]
pub struct Twins {
    symbols: Relation<SymbolId<Orig>, SymbolId<Patched>>,
    sections: Relation<SectionId<Orig>, SectionId<Patched>>,
    /// Patched symbols whose pairing, or lack of one, no evidence supports: others have the
    /// same name, and they may be any of them.
    pub unsettled: IndexSet<SymbolId<Patched>, RandomState>,
    /// Constants of one name that differ, which are no twins for that.
    pub replaced: Replaced,
    /// Static locals of which nothing tells which is which: no reference to one is known to be
    /// what it was.
    pub doubted: IndexSet<SymbolId<Patched>, RandomState>,
    /// The same of the original.
    pub doubted_orig: IndexSet<SymbolId<Orig>, RandomState>,
    /// New static locals that the drop-in calls by another's name.
    pub borrowed_names: IndexMap<SymbolId<Patched>, SymbolId<Orig>, RandomState>,
}

#[derive(Clone, Debug)]
struct Relation<O, P> {
    patched_of: IdVec<O, P>,
    orig_of: IdVec<P, O>,
}

impl<O: Id, P: Id> Relation<O, P> {
    fn new(orig: usize, patched: usize) -> Self {
        Relation {
            patched_of: IdVec::filled(P::new(0), orig),
            orig_of: IdVec::filled(O::new(0), patched),
        }
    }

    fn pair(&mut self, o: O, p: P) {
        debug_assert!(self.patched_of[o].index() == 0 && self.orig_of[p].index() == 0);
        self.patched_of[o] = p;
        self.orig_of[p] = o;
    }

    fn part(&mut self, o: O, p: P) {
        debug_assert!(self.patched_of[o] == p && self.orig_of[p] == o);
        self.patched_of[o] = P::new(0);
        self.orig_of[p] = O::new(0);
    }
}

#[inline]
fn some<I: Id>(id: I) -> Option<I> {
    Some(id).filter(|i| i.index() != 0)
}

impl Twins {
    /// No twins yet, for objects with these numbers of symbols and sections.
    pub(in crate::diff) fn new(symbols: (usize, usize), sections: (usize, usize)) -> Self {
        Twins {
            symbols: Relation::new(symbols.0, symbols.1),
            sections: Relation::new(sections.0, sections.1),
            unsettled: IndexSet::default(),
            replaced: Replaced::default(),
            doubted: IndexSet::default(),
            doubted_orig: IndexSet::default(),
            borrowed_names: IndexMap::default(),
        }
    }

    pub(super) fn pair_symbols(&mut self, o: SymbolId<Orig>, p: SymbolId<Patched>) {
        self.symbols.pair(o, p);
    }

    pub(super) fn pair_sections(&mut self, o: SectionId<Orig>, p: SectionId<Patched>) {
        self.sections.pair(o, p);
    }

    /// Two that were taken for twins are none.
    pub(in crate::diff) fn part_symbols(&mut self, o: SymbolId<Orig>, p: SymbolId<Patched>) {
        self.symbols.part(o, p);
    }

    /// Two sections that were taken for twins are none.
    pub(in crate::diff) fn part_sections(&mut self, o: SectionId<Orig>, p: SectionId<Patched>) {
        self.sections.part(o, p);
    }

    /// The patched twin of an original symbol.
    #[inline]
    pub fn patched_symbol(&self, o: SymbolId<Orig>) -> Option<SymbolId<Patched>> {
        some(self.symbols.patched_of[o])
    }

    /// The original twin of a patched symbol.
    #[inline]
    pub fn orig_symbol(&self, p: SymbolId<Patched>) -> Option<SymbolId<Orig>> {
        some(self.symbols.orig_of[p])
    }

    /// The patched twin of an original section.
    #[inline]
    pub fn patched_section(&self, o: SectionId<Orig>) -> Option<SectionId<Patched>> {
        some(self.sections.patched_of[o])
    }

    /// The original twin of a patched section.
    #[inline]
    pub fn orig_section(&self, p: SectionId<Patched>) -> Option<SectionId<Orig>> {
        some(self.sections.orig_of[p])
    }

    /// The original symbol whose name a patched symbol has in the output.
    pub fn namesake(&self, p: SymbolId<Patched>) -> Option<SymbolId<Orig>> {
        self.orig_symbol(p).or_else(|| self.borrowed_names.get(&p).copied())
    }

    /// Whether two symbols are twins.
    #[inline]
    pub fn are_twins(&self, o: SymbolId<Orig>, p: SymbolId<Patched>) -> bool {
        o.index() != 0 && self.symbols.patched_of[o] == p || o.index() == 0 && p.index() == 0
    }
}
