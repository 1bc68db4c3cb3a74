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
    fn index(&self, id: I) -> &T {
        &self.items[id.index()]
    }
}

impl<I: Id, T> std::ops::IndexMut<I> for IdVec<I, T> {
    #[inline]
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.index()]
    }
}

/// Compressed rows: for each key a slice of values, in one allocation.
///
/// Two passes of a counting sort build it, so the cost is linear and the
/// values of one key keep the order in which they were given.
#[derive(Clone, Debug)]
pub struct Csr<I, T> {
    starts: Vec<u32>,
    items: Vec<T>,
    id: PhantomData<I>,
}

impl<I: Id, T: Copy> Csr<I, T> {
    /// Groups `pairs` by key; keys are below `keys`. The iterator runs twice.
    pub fn build<It>(keys: usize, pairs: impl Fn() -> It) -> Self
    where
        It: Iterator<Item = (I, T)>,
    {
        let mut starts = vec![0u32; keys + 1];
        let mut first = None;
        for (key, value) in pairs() {
            starts[key.index() + 1] += 1;
            first.get_or_insert(value);
        }
        for i in 0..keys {
            starts[i + 1] += starts[i];
        }
        let mut items = match first {
            Some(value) => vec![value; starts[keys] as usize],
            None => Vec::new(),
        };
        let mut next = starts.clone();
        for (key, value) in pairs() {
            let slot = &mut next[key.index()];
            items[*slot as usize] = value;
            *slot += 1;
        }
        Csr { starts, items, id: PhantomData }
    }

    /// The values of `key`, in insertion order.
    #[inline]
    pub fn get(&self, key: I) -> &[T] {
        let i = key.index();
        &self.items[self.starts[i] as usize..self.starts[i + 1] as usize]
    }
}
