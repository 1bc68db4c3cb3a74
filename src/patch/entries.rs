//! The relocations that the output carries, and how they are gone through in parallel.

use rayon::prelude::*;

use crate::elf::ids::{Id, Patched, SectionId};
use crate::elf::object::{Object, Reloc};
use crate::error::Result;

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
    count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Carried {
    section: SectionId<Patched>,
    /// Number of its first relocation.
    first: EntryId,
    len: u32,
    /// Where its places begin in [`Entries::kept`].
    kept: Option<u32>,
}

impl Entries {
    /// Adds all relocations of a section behind those that are there.
    pub fn push_whole(&mut self, section: SectionId<Patched>, len: usize) {
        self.push(section, len as u32, None);
    }

    /// Adds some relocations of a section, by their places in its list, ascending.
    pub fn push_some(&mut self, section: SectionId<Patched>, places: impl Iterator<Item = usize>) {
        let start = self.kept.len();
        self.kept.extend(places.map(|place| place as u32));
        self.push(section, (self.kept.len() - start) as u32, Some(start as u32));
    }

    fn push(&mut self, section: SectionId<Patched>, len: u32, kept: Option<u32>) {
        if len > 0 {
            self.sections.push(Carried { section, first: EntryId(self.count), len, kept });
            self.count += len;
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
        Chunks { sections: sections.iter(), kept: &self.kept }
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
}

impl<'e> Iterator for Chunks<'e> {
    type Item = Chunk<'e>;

    fn next(&mut self) -> Option<Chunk<'e>> {
        let &carried = self.sections.next()?;
        let places = carried.kept.map(|at| &self.kept[at as usize..][..carried.len as usize]);
        Some(Chunk { carried, places })
    }
}

/// The relocations of one section, of those that the output carries.
#[derive(Clone, Copy)]
pub struct Chunk<'e> {
    carried: Carried,
    /// Their places in the section's list, when there are more in it.
    places: Option<&'e [u32]>,
}

impl<'e> Chunk<'e> {
    /// Their section.
    pub fn section(&self) -> SectionId<Patched> {
        self.carried.section
    }

    /// Their numbers.
    pub fn ids(&self) -> impl Iterator<Item = EntryId> + use<> {
        let Carried { first, len, .. } = self.carried;
        (first.0..first.0 + len).map(EntryId)
    }

    /// The relocations by ascending offset, as they were in the input.
    pub fn relocs<'o>(
        self,
        object: &'o Object<'_, Patched>,
    ) -> impl Iterator<Item = (EntryId, Reloc<Patched>)> + use<'o, 'e> {
        let relocs = object.relocs(self.section());
        self.ids().zip(0..).map(move |(id, i)| {
            (id, relocs.get(self.places.map_or(i, |places| places[i] as usize)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relocations_are_numbered_across_sections() {
        let mut entries = Entries::default();
        entries.push_whole(SectionId::new(3), 2);
        entries.push_some(SectionId::new(5), [1, 4, 6].into_iter());
        entries.push_some(SectionId::new(6), [].into_iter());
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
