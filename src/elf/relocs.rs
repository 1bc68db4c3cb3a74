//! The relocations of a section, decoded when looked at.

use object::Endianness;
use object::elf::Rela64;

use super::ids::{Id, Side, SymbolId};

/// One decoded relocation entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloc<S> {
    /// Byte offset of the relocated field in its section.
    pub offset: u64,
    /// Machine-specific type.
    pub kind: u32,
    /// The symbol referred to.
    pub symbol: SymbolId<S>,
    /// Addend.
    pub addend: i64,
}

/// The relocations of one section, by ascending offset.
#[derive(Clone, Copy)]
pub struct Relocs<'o, S> {
    pub(super) raw: &'o [Rela64<Endianness>],
    /// Permutation into `raw` when the file does not have them in order.
    pub(super) order: Option<&'o [u32]>,
    pub(super) endian: Endianness,
    pub(super) side: std::marker::PhantomData<S>,
}

impl<'o, S: Side> Relocs<'o, S> {
    /// Number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Entry `i` by offset.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "callers ask for entries below `len`, and the order is of these"
    )]
    pub fn get(&self, i: usize) -> Reloc<S> {
        let raw = &self.raw[self.order.map_or(i, |o| o[i] as usize)];
        let info = raw.r_info.get(self.endian);
        Reloc {
            offset: raw.r_offset.get(self.endian),
            kind: info as u32,
            symbol: SymbolId::new((info >> 32) as usize),
            addend: raw.r_addend.get(self.endian),
        }
    }

    /// All entries by ascending offset.
    #[inline]
    pub fn iter(self) -> impl ExactSizeIterator<Item = Reloc<S>> + 'o {
        (0..self.len()).map(move |i| self.get(i))
    }

    /// All entries in the order in which the file has them.
    pub fn in_file_order(self) -> impl ExactSizeIterator<Item = Reloc<S>> + 'o {
        Relocs { order: None, ..self }.iter()
    }

    /// Index of the first entry at or behind `offset`.
    #[inline]
    #[expect(clippy::arithmetic_side_effects, reason = "places among entries that are in memory")]
    pub fn lower_bound(&self, offset: u64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).offset < offset { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Byte behind the start of the last entry with `start <= offset < end`; 0 without one.
    #[expect(clippy::arithmetic_side_effects, reason = "places among entries that are in memory")]
    pub fn end(&self, start: u64, end: u64) -> u64 {
        let last = self.lower_bound(end).checked_sub(1).map(|i| self.get(i).offset);
        last.filter(|&l| l >= start).map_or(0, |l| l + 1)
    }

    /// The entries with `start <= offset < end`.
    #[inline]
    pub fn within(self, start: u64, end: u64) -> impl Iterator<Item = Reloc<S>> + 'o {
        let from = self.lower_bound(start);
        (from..self.len()).map(move |i| self.get(i)).take_while(move |r| r.offset < end)
    }
}
