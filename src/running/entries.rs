//! The symbols of a parent, one by one: read from an image, or left in the text that lists
//! them.
//!
//! Of a text only the places of the names are kept, and what look-ups ask for most: a kernel
//! has hundreds of thousands of rows, and few of them are ever looked at as a whole.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use std::ops::Range;

use memchr::memrchr;

use crate::elf::abi::{STB_LOCAL, STB_WEAK, STT_FUNC};
use crate::elf::search::position;

/// One defined symbol of the parent; never a FILE or SECTION symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry<'t> {
    /// Name; empty when the row has none.
    pub name: &'t str,
    /// The Value column: an address in a linked kernel, an offset in a module.
    pub addr: u64,
    /// The Size column in bytes.
    pub size: u64,
    /// STT_NOTYPE, STT_OBJECT or STT_FUNC.
    pub kind: u8,
    /// STB_LOCAL, STB_GLOBAL or STB_WEAK.
    pub bind: u8,
    /// STV_HIDDEN or STV_INTERNAL.
    pub hidden: bool,
}

impl Entry<'_> {
    /// See [`Traits::is_demoted`].
    pub fn is_demoted(&self) -> bool {
        Traits::of(self).is_demoted()
    }
}

/// Type, binding and visibility of an entry in one byte.
#[derive(Clone, Copy, Debug)]
pub struct Traits(u8);

impl Traits {
    const HIDDEN: u8 = 1 << 7;
    /// Types take three bits, bindings two.
    const _FIT: () = assert!(STT_FUNC < 8 && STB_WEAK < 4, "they fit");

    fn of(entry: &Entry<'_>) -> Self {
        Traits(entry.kind | entry.bind << 3 | if entry.hidden { Self::HIDDEN } else { 0 })
    }

    /// STT_NOTYPE, STT_OBJECT or STT_FUNC.
    pub fn kind(self) -> u8 {
        self.0 & 7
    }

    /// STB_LOCAL, STB_GLOBAL or STB_WEAK.
    pub fn bind(self) -> u8 {
        self.0 >> 3 & 3
    }

    /// Whether this was a global symbol until the final link. lld makes hidden globals,
    /// which is all of them in an LTO kernel, LOCAL and lists them behind the locals of
    /// the last file, so they look like part of its block but belong to none.
    pub fn is_demoted(self) -> bool {
        self.0 & Self::HIDDEN != 0 && self.bind() == STB_LOCAL
    }
}

/// How the rows of a kind of text are read.
#[derive(Debug)]
pub(crate) struct Format {
    /// The entry of one line.
    pub row: for<'t> fn(line: &'t str) -> Option<Entry<'t>>,
    /// The Value column of one line.
    pub addr: for<'t> fn(line: &'t str) -> u64,
    /// The name at the beginning of a line's rest.
    pub name: for<'t> fn(rest: &'t str) -> &'t str,
}

/// Where the entries of a piece of text are.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Where each name begins in the whole text.
    names: Vec<u32>,
    traits: Vec<Traits>,
}

impl Places {
    /// Adds an entry whose name begins at byte `at` of the whole text.
    pub fn push(&mut self, at: u32, entry: &Entry<'_>) {
        self.names.push(at);
        self.traits.push(Traits::of(entry));
    }

    /// Adds some entries of another piece.
    #[expect(clippy::indexing_slicing, reason = "the range is one of the other piece")]
    pub fn extend(&mut self, other: &Places, range: Range<usize>) {
        self.names.extend_from_slice(&other.names[range.clone()]);
        self.traits.extend_from_slice(&other.traits[range]);
    }

    /// For `len` entries.
    pub fn with_capacity(len: usize) -> Self {
        Places { names: Vec::with_capacity(len), traits: Vec::with_capacity(len) }
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }
}

/// The symbols of a parent, in the order of its table.
#[derive(Debug)]
pub struct Entries<'t>(Store<'t>);

#[derive(Debug)]
enum Store<'t> {
    Read(Vec<Entry<'t>>),
    Text { text: &'t str, format: &'static Format, places: Places },
}

impl<'t> From<Vec<Entry<'t>>> for Entries<'t> {
    fn from(entries: Vec<Entry<'t>>) -> Self {
        Entries(Store::Read(entries))
    }
}

impl<'t> Entries<'t> {
    /// The entries at some places of a text.
    pub(super) fn of_text(text: &'t str, format: &'static Format, places: Places) -> Self {
        Entries(Store::Text { text, format, places })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Store::Read(entries) => entries.len(),
            Store::Text { places, .. } => places.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entry `index`, when there are that many.
    pub fn get(&self, index: u32) -> Option<Entry<'t>> {
        match &self.0 {
            Store::Read(entries) => entries.get(index as usize).copied(),
            Store::Text { text, format, places } => {
                (format.row)(line(text, *places.names.get(index as usize)?))
            }
        }
    }

    /// Entry `index`; one without a name where there are fewer.
    pub fn at(&self, index: u32) -> Entry<'t> {
        self.get(index).unwrap_or_default()
    }

    /// Name of entry `index`.
    #[expect(
        clippy::indexing_slicing,
        reason = "callers ask for entries that there are, and names begin in the text"
    )]
    pub fn name(&self, index: u32) -> &'t str {
        match &self.0 {
            Store::Read(entries) => entries[index as usize].name,
            Store::Text { text, format, places } => {
                let rest = &text[places.names[index as usize] as usize..];
                let end = position(b'\n', rest.as_bytes()).unwrap_or(rest.len());
                (format.name)(&rest[..end])
            }
        }
    }

    /// Type, binding and visibility of entry `index`.
    #[expect(
        clippy::indexing_slicing,
        reason = "callers ask for entries that there are, and names begin in the text"
    )]
    pub fn traits(&self, index: u32) -> Traits {
        match &self.0 {
            Store::Read(entries) => Traits::of(&entries[index as usize]),
            Store::Text { places, .. } => places.traits[index as usize],
        }
    }

    /// The Value column of entry `index`.
    #[expect(
        clippy::indexing_slicing,
        reason = "callers ask for entries that there are, and names begin in the text"
    )]
    pub fn addr(&self, index: u32) -> u64 {
        match &self.0 {
            Store::Read(entries) => entries[index as usize].addr,
            Store::Text { text, format, places } => {
                (format.addr)(line(text, places.names[index as usize]))
            }
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'t>> + '_ {
        (0..self.len() as u32).map(|i| self.at(i))
    }
}

/// The line that holds byte `at` of a text.
fn line(text: &str, at: u32) -> &str {
    let (before, rest) = text.split_at(at as usize);
    let start = memrchr(b'\n', before.as_bytes()).map_or(0, |newline| newline + 1);
    let end = position(b'\n', rest.as_bytes()).unwrap_or(rest.len());
    &text[start..before.len() + end]
}
