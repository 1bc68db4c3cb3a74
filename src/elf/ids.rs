//! Typed indexes. An id knows which object it came from: ids of the original
//! and of the patched object are different types and cannot be mixed up.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use rayon::prelude::*;

/// Marker for the object built from the unpatched source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Orig {}

/// Marker for the object built from the patched source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Patched {}

/// Which of the two inputs an id or an object belongs to.
pub trait Side: Copy + Eq + Ord + Hash + fmt::Debug + Send + Sync + Sized + 'static {
    /// Word used in messages.
    const NAME: &'static str;
}

impl Side for Orig {
    const NAME: &'static str = "original";
}
impl Side for Patched {
    const NAME: &'static str = "patched";
}

/// A dense index that can address an [`IdVec`].
pub trait Id: Copy + Eq + Ord + Hash + Send + Sync {
    /// The id for position `index`; positions fit u32 by the ELF format.
    fn new(index: usize) -> Self;
    /// Position in the table the id addresses.
    fn index(self) -> usize;
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $short:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name<S>(u32, PhantomData<S>);

        impl<S: Side> Id for $name<S> {
            #[inline]
            fn new(index: usize) -> Self {
                debug_assert!(u32::try_from(index).is_ok());
                $name(index as u32, PhantomData)
            }
            #[inline]
            fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl<S> fmt::Debug for $name<S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($short, "{}"), self.0)
            }
        }
    };
}

id!(
    /// Index into the section header table; 0 is the reserved null section.
    SectionId,
    "sec"
);
id!(
    /// Index into the symbol table; 0 is the reserved null symbol.
    SymbolId,
    "sym"
);

/// Rows that are not worth a task of their own.
const ROWS_PER_TASK: usize = 2048;

/// A vector addressed by a typed id: the shape of every side table.
#[derive(Clone, Debug)]
pub struct IdVec<I, T> {
    items: Vec<T>,
    id: PhantomData<I>,
}

impl<I: Id, T> IdVec<I, T> {
    /// A table whose row `i` is `items[i]`.
    pub fn from_vec(items: Vec<T>) -> Self {
        IdVec { items, id: PhantomData }
    }

    /// A table of `len` copies of `value`.
    pub fn filled(value: T, len: usize) -> Self
    where
        T: Clone,
    {
        Self::from_vec(vec![value; len])
    }

    /// A table of `len` rows, each made from its id, in parallel.
    pub fn from_fn(len: usize, row: impl Fn(I) -> T + Sync + Send) -> Self
    where
        T: Send,
    {
        let rows = (0..len).into_par_iter().with_min_len(ROWS_PER_TASK);
        Self::from_vec(rows.map(|i| row(I::new(i))).collect())
    }

    /// Number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// All ids in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = I> + use<I, T> {
        (0..self.items.len()).map(I::new)
    }

    /// All rows with their ids, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (I, &T)> {
        self.items.iter().enumerate().map(|(i, t)| (I::new(i), t))
    }

    /// The rows as a slice.
    pub fn as_slice(&self) -> &[T] {
        &self.items
    }
}

impl<I: Id, T> std::ops::Index<I> for IdVec<I, T> {
    type Output = T;
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "ids are made for one table and lie within it")]
    fn index(&self, id: I) -> &T {
        &self.items[id.index()]
    }
}

impl<I: Id, T> std::ops::IndexMut<I> for IdVec<I, T> {
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "ids are made for one table and lie within it")]
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.index()]
    }
}

/// A set of ids: a bit for each that there is.
#[derive(Clone, Debug)]
pub struct Marks<I> {
    words: Vec<u64>,
    id: PhantomData<I>,
}

impl<I: Id> Marks<I> {
    /// The ids below `ids` that `holds` is true of, asked in parallel.
    #[expect(clippy::arithmetic_side_effects, reason = "counts of rows, which are in memory")]
    pub fn from_fn(ids: usize, holds: impl Fn(I) -> bool + Sync + Send) -> Self {
        let word = |word: usize| {
            let bits = 64 * word..ids.min(64 * (word + 1));
            bits.fold(0, |set, i| set | u64::from(holds(I::new(i))) << (i % 64))
        };
        let words = (0..ids.div_ceil(64)).into_par_iter().with_min_len(ROWS_PER_TASK / 64);
        Marks { words: words.map(word).collect(), id: PhantomData }
    }

    /// Those of `marked`; all ids are below `ids`.
    #[expect(clippy::indexing_slicing, reason = "ids are below the number the set was made for")]
    pub fn of(ids: usize, marked: impl Iterator<Item = I>) -> Self {
        let mut words = vec![0; ids.div_ceil(64)];
        for id in marked {
            words[id.index() / 64] |= 1 << (id.index() % 64);
        }
        Marks { words, id: PhantomData }
    }

    /// Whether `id` is in the set.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "ids are below the number the set was made for")]
    pub fn has(&self, id: I) -> bool {
        self.words[id.index() / 64] >> (id.index() % 64) & 1 != 0
    }

    /// Whether no id is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// The ids of the set, ascending.
    #[expect(clippy::arithmetic_side_effects, reason = "counts of rows, which are in memory")]
    pub fn iter(&self) -> impl Iterator<Item = I> + '_ {
        (0..64 * self.words.len()).map(I::new).filter(|&id| self.has(id))
    }
}

/// Which of many keys have something, and how many of those come before each: 2 bits of
/// memory for each key.
#[derive(Clone, Debug)]
struct Present<I> {
    /// For 64 keys each: a bit for each key, and how many keys before them are present.
    words: Vec<(u64, u32)>,
    count: usize,
    id: PhantomData<I>,
}

impl<I: Id> Present<I> {
    #[expect(clippy::indexing_slicing, reason = "keys are below the number the table was made for")]
    #[expect(clippy::arithmetic_side_effects, reason = "counts of rows, which are in memory")]
    fn new(keys: usize, present: impl Iterator<Item = I>) -> Self {
        let mut words = vec![(0u64, 0u32); keys.div_ceil(64)];
        for key in present {
            words[key.index() / 64].0 |= 1 << (key.index() % 64);
        }
        let mut count = 0;
        for (bits, before) in &mut words {
            *before = count;
            count += bits.count_ones();
        }
        Present { words, count: count as usize, id: PhantomData }
    }

    /// The place of `key` among the keys that are present.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "keys are below the number the table was made for")]
    #[expect(clippy::arithmetic_side_effects, reason = "counts of rows, which are in memory")]
    fn place(&self, key: I) -> Option<usize> {
        let (bits, before) = self.words[key.index() / 64];
        let below = (1u64 << (key.index() % 64)) - 1;
        (bits & (below + 1) != 0).then(|| before as usize + (bits & below).count_ones() as usize)
    }
}

/// A table in which few rows have a value.
#[derive(Clone, Debug)]
pub struct Sparse<I, T> {
    present: Present<I>,
    items: Vec<T>,
}

impl<I: Id, T: Copy> Sparse<I, T> {
    /// The last value given for each key; keys are below `keys`. The iterator runs twice.
    #[expect(clippy::indexing_slicing, reason = "keys are below the number the table was made for")]
    pub fn build<It>(keys: usize, pairs: impl Fn() -> It) -> Self
    where
        It: Iterator<Item = (I, T)>,
    {
        let present = Present::new(keys, pairs().map(|(key, _)| key));
        let mut items = Vec::new();
        for (key, value) in pairs() {
            if items.is_empty() {
                items = vec![value; present.count];
            }
            if let Some(place) = present.place(key) {
                items[place] = value;
            }
        }
        Sparse { present, items }
    }

    /// The value of `key`.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "keys are below the number the table was made for")]
    pub fn get(&self, key: I) -> Option<T> {
        self.place(key).map(|place| self.items[place])
    }

    /// The place of the value of `key` among [`Sparse::values`].
    #[inline]
    pub fn place(&self, key: I) -> Option<usize> {
        self.present.place(key)
    }

    /// The values, by ascending key.
    pub fn values(&self) -> &[T] {
        &self.items
    }
}

/// Compressed rows: for each key a slice of values, in one allocation.
///
/// Three passes of a counting sort build it, so the cost is linear and the
/// values of one key keep the order in which they were given. Keys without values
/// take 2 bits.
#[derive(Clone, Debug)]
pub struct Csr<I, T> {
    present: Present<I>,
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<I: Id, T: Copy> Csr<I, T> {
    /// Groups `pairs` by key; keys are below `keys`. The iterator runs three times.
    #[expect(
        clippy::indexing_slicing,
        reason = "keys are below the number the table was made for, and so are the sums of their counts"
    )]
    #[expect(clippy::arithmetic_side_effects, reason = "counts of rows, which are in memory")]
    pub fn build<It>(keys: usize, pairs: impl Fn() -> It) -> Self
    where
        It: Iterator<Item = (I, T)>,
    {
        let present = Present::new(keys, pairs().map(|(key, _)| key));
        // One row further on than in the end: what is filled in moves each start to its end.
        let mut starts = vec![0u32; present.count + 2];
        let mut first = None;
        let mut total = 0;
        for (key, value) in pairs() {
            if let Some(place) = present.place(key) {
                starts[place + 2] += 1;
                total += 1;
                first.get_or_insert(value);
            }
        }
        for i in 2..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut items = first.map_or(Vec::new(), |value| vec![value; total]);
        for (key, value) in pairs() {
            if let Some(place) = present.place(key) {
                let slot = &mut starts[place + 1];
                items[*slot as usize] = value;
                *slot += 1;
            }
        }
        Csr { present, starts, items }
    }

    /// The values of `key`, in insertion order.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "keys are below the number the table was made for, and so are the sums of their counts"
    )]
    #[expect(clippy::arithmetic_side_effects, reason = "counts of rows, which are in memory")]
    pub fn get(&self, key: I) -> &[T] {
        match self.present.place(key) {
            Some(i) => &self.items[self.starts[i] as usize..self.starts[i + 1] as usize],
            None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Section = SectionId<Orig>;

    #[test]
    fn marks_are_those_given() {
        let marked = [0, 63, 64, 130];
        let ids = || marked.iter().map(|&i| Section::new(i));
        let asked = Marks::from_fn(131, |id: Section| marked.contains(&id.index()));
        for marks in [Marks::of(131, ids()), asked] {
            let found: Vec<usize> = (0..131).filter(|&i| marks.has(Section::new(i))).collect();
            assert_eq!(found, marked);
            assert_eq!(marks.iter().map(Id::index).collect::<Vec<_>>(), marked);
            assert!(!marks.is_empty());
        }
        assert!(Marks::of(131, std::iter::empty::<Section>()).is_empty());
    }

    #[test]
    fn rows_of_few_keys_keep_their_order() {
        let pairs = [(130, 'a'), (0, 'b'), (130, 'c'), (63, 'd'), (64, 'e'), (0, 'f')];
        let pairs = || pairs.iter().map(|&(key, value)| (Section::new(key), value));
        let (rows, last) = (Csr::build(131, pairs), Sparse::build(131, pairs));
        let of = |key| rows.get(Section::new(key)).iter().collect::<String>();
        assert_eq!(
            [0, 1, 62, 63, 64, 65, 129, 130].map(of),
            ["bf", "", "", "d", "e", "", "", "ac"]
        );
        let of = |key| last.get(Section::new(key));
        assert_eq!([0, 1, 63, 130].map(of), [Some('f'), None, Some('d'), Some('c')]);
        assert_eq!(last.values(), ['f', 'd', 'e', 'c']);
        assert_eq!([0, 1, 63].map(|key| last.place(Section::new(key))), [Some(0), None, Some(1)]);
        let none: Csr<Section, u8> = Csr::build(70, std::iter::empty);
        assert_eq!(none.get(Section::new(69)), [0u8; 0]);
    }
}
