//! The entries of a parent's table by name.
//!
//! They are sorted by the hashes of their names, and it is known where each of as many buckets
//! begins as there are entries: a look-up reads few names, and building the index compares
//! none but equal ones.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use rayon::prelude::*;

use crate::elf::abi::STB_LOCAL;
use crate::running::entries::{Entries, Traits};

/// How far a name was visible before and after the final link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Only in its file.
    Local,
    /// See [`Traits::is_demoted`].
    Demoted,
    /// Everywhere.
    Global,
}

impl Class {
    fn of(entry: Traits) -> Self {
        match (entry.bind(), entry.is_demoted()) {
            (STB_LOCAL, false) => Class::Local,
            (STB_LOCAL, true) => Class::Demoted,
            _ => Class::Global,
        }
    }
}

/// Indexes of all entries by name.
#[derive(Debug)]
pub(super) struct ByName {
    /// How many bits of a hash tell the bucket.
    bits: u32,
    /// Where each bucket starts in `rows`, and where the last one ends.
    starts: Vec<u32>,
    /// Entries by (hash of the name, name, [`Class`], position): a group of equal names is one
    /// range.
    rows: Vec<u32>,
    /// The bits of each row's hash behind those of its bucket: they tell most other names of
    /// the bucket, which are anywhere in the text, without reading them.
    tags: Vec<u8>,
    shared: Shared,
}

/// The groups of entries that share their name, in another order.
#[derive(Debug, Default)]
struct Shared {
    /// Where each group starts in `rows`, ascending, and in the lists below.
    groups: Vec<(u32, u32)>,
    /// The entries of the groups, each by (address, position).
    by_addr: Vec<u32>,
    /// For each of them, the locals of its group up to and including it.
    locals: Vec<u32>,
}

impl Shared {
    #[expect(clippy::indexing_slicing, reason = "groups are parts of the list")]
    fn push(&mut self, entries: &Entries<'_>, start: usize, group: &[u32]) {
        let first = self.by_addr.len();
        self.groups.push((start as u32, first as u32));
        self.by_addr.extend_from_slice(group);
        self.by_addr[first..].sort_by_cached_key(|&i| (entries.addr(i), i));
        let mut count = 0;
        for &i in &self.by_addr[first..] {
            count += u32::from(entries.traits(i).bind() == STB_LOCAL);
            self.locals.push(count);
        }
    }

    /// The part of the lists that is the group of `len` entries at `start` in `rows`.
    #[expect(clippy::indexing_slicing, reason = "groups are parts of the list")]
    fn range(&self, start: usize, len: usize) -> Range<usize> {
        let found = self.groups.binary_search_by_key(&(start as u32), |g| g.0);
        let first = found.map_or(0, |i| self.groups[i].1 as usize);
        first..first + len
    }
}

/// The entries of one name.
#[derive(Clone, Copy)]
pub(crate) struct Group<'g> {
    rows: &'g [u32],
    by_addr: &'g [u32],
    locals: &'g [u32],
}

impl<'g> Group<'g> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.rows.len()
    }

    /// All, by (address, position).
    pub fn by_addr(self) -> &'g [u32] {
        self.by_addr
    }

    /// How many of the first `count`, by address, are LOCAL; for groups of several.
    #[expect(clippy::indexing_slicing, reason = "a group has no more locals than rows")]
    pub fn locals_among(self, count: usize) -> u32 {
        count.checked_sub(1).map_or(0, |last| self.locals[last])
    }

    /// Those of one class, in table order.
    #[expect(clippy::indexing_slicing, reason = "a partition point lies within the list")]
    pub fn of_class(self, entries: &Entries<'_>, class: Class) -> &'g [u32] {
        let of = |i: &u32| Class::of(entries.traits(*i));
        let from = self.rows.partition_point(|i| of(i) < class);
        let tail = &self.rows[from..];
        &tail[..tail.partition_point(|i| of(i) == class)]
    }
}

impl ByName {
    /// Sorts the entries by the hashes of their names.
    #[expect(
        clippy::indexing_slicing,
        reason = "a bucket is below their number, and the groups make up the list"
    )]
    pub fn new(entries: &Entries<'_>) -> Self {
        let indexes = (0..entries.len() as u32).into_par_iter().with_min_len(4096);
        let key = |i| u64::from(print(entries.name(i))) << 32 | u64::from(i);
        let mut keys: Vec<u64> = indexes.map(key).collect();
        keys.par_sort_unstable();
        let bits = entries.len().max(1).ilog2();
        let mut starts = vec![0; (1 << bits) + 1];
        for key in &keys {
            starts[bucket((key >> 32) as u32, bits) + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut rows: Vec<u32> = keys.iter().map(|&key| key as u32).collect();
        let tags = keys.iter().map(|&key| tag((key >> 32) as u32, bits)).collect();
        let mut shared = Shared::default();
        let mut from = 0;
        for alike in keys.chunk_by(|a, b| a >> 32 == b >> 32) {
            let rows = &mut rows[from..from + alike.len()];
            if rows.len() > 1 {
                let class = |i| Class::of(entries.traits(i));
                rows.sort_by_cached_key(|&i| (entries.name(i), class(i), i));
                let mut start = from;
                for group in rows.chunk_by(|&a, &b| entries.name(a) == entries.name(b)) {
                    if group.len() > 1 {
                        shared.push(entries, start, group);
                    }
                    start += group.len();
                }
            }
            from += alike.len();
        }
        ByName { bits, starts, rows, tags, shared }
    }

    /// The entries called `name`.
    #[expect(
        clippy::indexing_slicing,
        reason = "a bucket is below their number, and partition points lie within the lists"
    )]
    pub fn group(&self, entries: &Entries<'_>, name: &str) -> Group<'_> {
        let wanted = print(name);
        let bucket = bucket(wanted, self.bits);
        let (from, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        let tags = &self.tags[from..end];
        let wanted_tag = tag(wanted, self.bits);
        let from = from + tags.partition_point(|&t| t < wanted_tag);
        let end = from + self.tags[from..end].partition_point(|&t| t == wanted_tag);
        let rows = &self.rows[from..end];
        // Few names share a bucket and a tag, but an attacker can make many, and copies are equal.
        let cmp = |i: &u32| {
            let other = entries.name(*i);
            print(other).cmp(&wanted).then_with(|| other.cmp(name))
        };
        let start = rows.partition_point(|i| cmp(i) == Ordering::Less);
        let len = rows[start..].partition_point(|i| cmp(i) == Ordering::Equal);
        let rows = &rows[start..start + len];
        if len < 2 {
            return Group { rows, by_addr: rows, locals: &[] };
        }
        let range = self.shared.range(from + start, len);
        let shared = &self.shared;
        Group { rows, by_addr: &shared.by_addr[range.clone()], locals: &shared.locals[range] }
    }
}

fn print(name: &str) -> u32 {
    FixedState::default().hash_one(name) as u32
}

/// One of as many buckets as `bits` can tell apart, ascending with the hash.
fn bucket(print: u32, bits: u32) -> usize {
    (u64::from(print) << bits >> 32) as usize
}

/// The next eight bits, ascending with the hash in a bucket.
fn tag(print: u32, bits: u32) -> u8 {
    (u64::from(print) << bits >> 24) as u8
}
