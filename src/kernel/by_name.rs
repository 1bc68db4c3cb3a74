//! The entries of a parent's table by name.
//!
//! They lie in buckets by the hashes of their names, as many as there are entries, so that a
//! look-up reads few names and building the index sorts none but those of one bucket.

use std::cmp::Ordering;
use std::hash::BuildHasher;
use std::ops::Range;

use foldhash::fast::FixedState;
use rayon::prelude::*;

use crate::elf::abi::STB_LOCAL;
use crate::kernel::entries::{Entries, Traits};

/// How far a name was visible before and after the final link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
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
    /// How far the hash of a name is shifted to tell its bucket.
    shift: u32,
    /// Where each bucket starts in `rows`, and where the last one ends.
    starts: Vec<u32>,
    /// Entries by (bucket, name, [`Class`], position): a group of equal names is one range.
    rows: Vec<u32>,
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
    fn range(&self, start: usize, len: usize) -> Range<usize> {
        let found = self.groups.binary_search_by_key(&(start as u32), |g| g.0);
        let first = found.map_or(0, |i| self.groups[i].1 as usize);
        first..first + len
    }
}

/// The entries of one name.
#[derive(Clone, Copy)]
pub(super) struct Group<'g> {
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
    pub fn locals_among(self, count: usize) -> u32 {
        count.checked_sub(1).map_or(0, |last| self.locals[last])
    }

    /// Those of one class, in table order.
    pub fn of_class(self, entries: &Entries<'_>, class: Class) -> &'g [u32] {
        let of = |i: &u32| Class::of(entries.traits(*i));
        let from = self.rows.partition_point(|i| of(i) < class);
        let tail = &self.rows[from..];
        &tail[..tail.partition_point(|i| of(i) == class)]
    }
}

impl ByName {
    /// Sorts the entries into buckets.
    pub fn new(entries: &Entries<'_>) -> Self {
        let (shift, starts, mut rows) = buckets(entries);
        let mut shared = Shared::default();
        for (start, end) in starts.windows(2).map(|b| (b[0] as usize, b[1] as usize)) {
            let bucket = &mut rows[start..end];
            if bucket.len() < 2 {
                continue;
            }
            bucket.sort_unstable_by(|&a, &b| {
                let class = |i| Class::of(entries.traits(i));
                (entries.name(a).cmp(entries.name(b)))
                    .then_with(|| class(a).cmp(&class(b)))
                    .then(a.cmp(&b))
            });
            let mut from = start;
            for group in bucket.chunk_by(|&a, &b| entries.name(a) == entries.name(b)) {
                if group.len() > 1 {
                    shared.push(entries, from, group);
                }
                from += group.len();
            }
        }
        ByName { shift, starts, rows, shared }
    }

    /// The entries called `name`.
    pub fn group(&self, entries: &Entries<'_>, name: &str) -> Group<'_> {
        let bucket = bucket_of(name, self.shift);
        let (from, end) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        let rows = &self.rows[from..end];
        // Few names share a bucket, but an attacker can make many, and copies are equal.
        let cmp = |i: &u32| entries.name(*i).cmp(name);
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

/// Names in a bucket, on average, at least.
const PER_BUCKET: usize = 1;

fn bucket_of(name: &str, shift: u32) -> usize {
    // One more bit than a shift may remove, for tables of one bucket.
    ((FixedState::default().hash_one(name) >> 1) >> shift) as usize
}

/// Sorts the entries by the hashes of their names, as far as their number asks for: the
/// shift that gives the bucket of a hash, where each bucket starts, and its entries in order.
fn buckets(entries: &Entries<'_>) -> (u32, Vec<u32>, Vec<u32>) {
    let bits = (entries.len() / PER_BUCKET).max(1).ilog2();
    let shift = 63 - bits;
    let indexes = (0..entries.len() as u32).into_par_iter().with_min_len(4096);
    let bucket: Vec<u32> = indexes.map(|i| bucket_of(entries.name(i), shift) as u32).collect();
    let mut starts = vec![0u32; (1 << bits) + 1];
    for &b in &bucket {
        starts[b as usize + 1] += 1;
    }
    for i in 1..starts.len() {
        starts[i] += starts[i - 1];
    }
    // Filled from the end, so that each start ends up where its bucket starts.
    let mut sorted = vec![0u32; entries.len()];
    for (i, &b) in bucket.iter().enumerate().rev() {
        let end = &mut starts[b as usize + 1];
        *end -= 1;
        sorted[*end as usize] = i as u32;
    }
    starts.remove(0);
    starts.push(entries.len() as u32);
    (shift, starts, sorted)
}
