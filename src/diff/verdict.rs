//! What comparing two entities found.

#![expect(clippy::indexing_slicing, reason = "there is one verdict for each entity of the section")]

use indexmap::IndexMap;

use crate::elf::ids::{Id, IdVec, Patched, SectionId};

/// What differs between an entity and its twin; several may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict(u8);

impl Verdict {
    /// Nothing differs.
    pub const SAME: Verdict = Verdict(0);
    /// There is no twin.
    pub const NEW: Verdict = Verdict(1);
    /// Bytes differ.
    pub const BYTES: Verdict = Verdict(2);
    /// A relocation, or the meaning of its target, differs.
    pub const RELOCS: Verdict = Verdict(4);
    /// A row of a table that describes it differs.
    pub const ROWS: Verdict = Verdict(8);

    /// Whether nothing differs.
    #[inline]
    pub fn is_same(self) -> bool {
        self == Self::SAME
    }

    /// Whether all of `other` holds.
    #[inline]
    pub fn has(self, other: Verdict) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Verdict {
    type Output = Verdict;
    fn bitor(self, other: Verdict) -> Verdict {
        Verdict(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Verdict {
    fn bitor_assign(&mut self, other: Verdict) {
        *self = *self | other;
    }
}

/// The verdicts on all entities of the patched object.
#[derive(Clone, Debug)]
pub struct Verdicts {
    sections: IdVec<SectionId<Patched>, Verdict>,
    /// Sections with several entities: one verdict each.
    split: IndexMap<SectionId<Patched>, Vec<Verdict>, foldhash::fast::RandomState>,
}

impl Verdicts {
    /// Collects one verdict for each entity of each section, in order.
    pub(super) fn new(sections: usize, found: Vec<(SectionId<Patched>, Vec<Verdict>)>) -> Self {
        let mut summary = IdVec::filled(Verdict::SAME, sections);
        let mut split = IndexMap::default();
        for (section, entities) in found {
            summary[section] = entities.iter().fold(Verdict::SAME, |a, &b| a | b);
            if entities.len() > 1 {
                split.insert(section, entities);
            }
        }
        Verdicts { sections: summary, split }
    }

    /// Everything that differs somewhere in a section.
    #[inline]
    pub fn section(&self, section: SectionId<Patched>) -> Verdict {
        self.sections[section]
    }

    /// What differs in entity `index` of a section.
    #[inline]
    pub fn entity(&self, section: SectionId<Patched>, index: usize) -> Verdict {
        match self.split.get(&section) {
            Some(entities) => entities[index],
            None => self.sections[section],
        }
    }

    /// Number of sections.
    pub fn len(&self) -> usize {
        self.sections.len()
    }

    /// Whether there are no sections; [`Id`] 0 is always there, so this is never true.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Sections in which something differs, in order.
    pub fn differing(&self) -> impl Iterator<Item = (SectionId<Patched>, Verdict)> + '_ {
        self.sections
            .iter()
            .skip(1)
            .filter(|(id, v)| id.index() > 0 && !v.is_same())
            .map(|(id, v)| (id, *v))
    }
}
