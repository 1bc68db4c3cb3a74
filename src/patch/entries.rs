//! The relocations that the output carries, and how they are gone through in parallel.

#![expect(clippy::indexing_slicing, reason = "what is carried was counted from these lists")]
#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use rayon::prelude::*;

use crate::diag::Result;
use crate::elf::ids::{Id, Patched, SectionId};
use crate::elf::object::{Object, Reloc};

/// Number of a relocation among all that the output carries, in output order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(u32);

impl Id for EntryId {
    fn new(index: usize) -> Self {
        EntryId(index as u32)
    }
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The relocations that the output carries, by section. Nothing is kept for a single one where
/// all of a section are carried.
#[derive(Debug, Default)]
pub struct Entries {
    sections: Vec<Carried>,
    /// Places of the relocations of sections that are not carried whole.
    kept: Vec<u32>,
    /// Relocations that the input does not have.
    added: Vec<Reloc<Patched>>,
    count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Carried {
    section: SectionId<Patched>,
    /// Number of its first relocation.
    first: EntryId,
    /// Number of those in its list.
    len: u32,
    /// Where their places begin in [`Entries::kept`].
    kept: Option<u32>,
    /// Where those that are added begin in [`Entries::added`], and how many there are.
    added: (u32, u32),
}

impl Entries {
    /// Adds all relocations of a section behind those that are there.
    pub fn push_whole(&mut self, section: SectionId<Patched>, len: usize) {
        self.push(section, len as u32, None, &[]);
    }

    /// Adds some relocations of a section, by their places in its list, ascending, and others
    /// that it does not have there, by ascending offset.
    pub fn push_some(
        &mut self,
        section: SectionId<Patched>,
        places: impl Iterator<Item = usize>,
        added: &[Reloc<Patched>],
    ) {
        let start = self.kept.len();
        self.kept.extend(places.map(|place| place as u32));
        self.push(section, (self.kept.len() - start) as u32, Some(start as u32), added);
    }

    fn push(
        &mut self,
        section: SectionId<Patched>,
        len: u32,
        kept: Option<u32>,
        added: &[Reloc<Patched>],
    ) {
        let more = added.len() as u32;
        if len + more > 0 {
            let added_from = self.added.len() as u32;
            self.added.extend_from_slice(added);
            let (first, added) = (EntryId(self.count), (added_from, more));
            self.sections.push(Carried { section, first, len, kept, added });
            self.count += len + more;
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The sections that have some.
    pub fn chunks(&self) -> Chunks<'_> {
        self.part(&self.sections)
    }

    fn part<'e>(&'e self, sections: &'e [Carried]) -> Chunks<'e> {
        Chunks { sections: sections.iter(), kept: &self.kept, added: &self.added }
    }

    /// Calls `decide` for groups of sections in parallel, and returns what it says in their
    /// order. Of several errors it is the first.
    pub fn each<T: Send>(
        &self,
        decide: impl Fn(Chunks<'_>) -> Result<T> + Sync + Send,
    ) -> Result<Vec<T>> {
        let group = (self.sections.len() / (4 * rayon::current_num_threads())).max(64);
        let groups = self.sections.par_chunks(group);
        let found: Vec<Result<T>> = groups.map(|group| decide(self.part(group))).collect();
        found.into_iter().collect()
    }
}

/// Some sections, each with its relocations.
pub struct Chunks<'e> {
    sections: std::slice::Iter<'e, Carried>,
    kept: &'e [u32],
    added: &'e [Reloc<Patched>],
}

impl<'e> Iterator for Chunks<'e> {
    type Item = Chunk<'e>;

    fn next(&mut self) -> Option<Chunk<'e>> {
        let &carried = self.sections.next()?;
        let places = carried.kept.map(|at| &self.kept[at as usize..][..carried.len as usize]);
        let (from, count) = carried.added;
        let added = &self.added[from as usize..][..count as usize];
        Some(Chunk { carried, places, added })
    }
}

/// The relocations of one section, of those that the output carries.
#[derive(Clone, Copy)]
pub struct Chunk<'e> {
    carried: Carried,
    /// Their places in the section's list, when there are more in it.
    places: Option<&'e [u32]>,
    /// Those that it does not have.
    added: &'e [Reloc<Patched>],
}

impl<'e> Chunk<'e> {
    /// Their section.
    pub fn section(&self) -> SectionId<Patched> {
        self.carried.section
    }

    /// Their numbers.
    pub fn ids(&self) -> impl Iterator<Item = EntryId> + use<> {
        let Carried { first, len, added, .. } = self.carried;
        (first.0..first.0 + len + added.1).map(EntryId)
    }

    /// The relocations by ascending offset, with places in the input's section.
    pub fn relocs<'o>(
        self,
        object: &'o Object<'_, Patched>,
    ) -> impl Iterator<Item = (EntryId, Reloc<Patched>)> + use<'o, 'e> {
        let table = object.relocs(self.section());
        let place = move |i: u32| self.places.map_or(i, |places| places[i as usize]);
        let mut listed =
            (0..self.carried.len).map(move |i| table.get(place(i) as usize)).peekable();
        let mut added = self.added.iter().copied().peekable();
        let relocs = std::iter::from_fn(move || match (listed.peek(), added.peek()) {
            (Some(a), Some(b)) if b.offset < a.offset => added.next(),
            (None, _) => added.next(),
            _ => listed.next(),
        });
        self.ids().zip(relocs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relocations_are_numbered_across_sections() {
        let mut entries = Entries::default();
        entries.push_whole(SectionId::new(3), 2);
        entries.push_some(SectionId::new(5), [1, 4, 6].into_iter(), &[]);
        entries.push_some(SectionId::new(6), [].into_iter(), &[]);
        entries.push_whole(SectionId::new(9), 1);
        assert_eq!(entries.len(), 6);
        let shown: Vec<_> = entries
            .chunks()
            .map(|c| (c.section().index(), c.ids().map(Id::index).collect::<Vec<_>>(), c.places))
            .collect();
        let some: &[u32] = &[1, 4, 6];
        let wanted = [(3, vec![0, 1], None), (5, vec![2, 3, 4], Some(some)), (9, vec![5], None)];
        assert_eq!(shown, wanted);
        let groups = entries.each(|chunks| Ok(chunks.map(|c| c.ids().count()).sum::<usize>()));
        assert_eq!(groups.ok().map(|g| g.iter().sum()), Some(6));
    }
}
