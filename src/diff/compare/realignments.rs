//! Which places of two functions are the same, where what aligns their loops has another length:
//! what [`realigned`](super::realigned) found.

#![expect(clippy::arithmetic_side_effects, reason = "places of a stretch lie within it")]

use std::sync::{Arc, RwLock};

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::spans::Spans;
use crate::elf::ids::{Patched, SectionId};

/// So many bytes of both functions that are instruction by instruction the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) o: u64,
    pub(super) p: u64,
    pub(super) length: u64,
}

/// Which places of two functions are the same, where padding has another length.
#[derive(Debug)]
pub(in crate::diff) struct Realigned {
    pub(super) spans: Spans,
    /// Where both are entered, in front of a marker.
    pub(super) entry: (u64, u64),
    /// Ascending; padding that differs, and jumps of another length, lie between them.
    pub(super) stretches: Vec<Stretch>,
    /// Padding that differs: from where to where.
    pub(super) padding: Vec<((u64, u64), (u64, u64))>,
    /// Jumps have other lengths.
    pub(super) relaxed: bool,
}

impl Realigned {
    /// Whether two places are the same one.
    pub fn meets(&self, o_at: u64, p_at: u64) -> bool {
        if (o_at, p_at) == self.entry {
            return true;
        }
        // Padding may be absent on one side: what ends a stretch begins the next one there.
        let behind = self.stretches.partition_point(|s| s.p <= p_at);
        let unrelocated = self.stretches.get(behind.saturating_sub(2)..behind).unwrap_or(&[]);
        unrelocated.iter().any(|s| {
            let at = p_at - s.p;
            at <= s.length && o_at.checked_sub(s.o) == Some(at)
        })
    }
}

/// Functions that were read so far, by section and start of the patched one.
#[derive(Debug, Default)]
pub struct Realignments(pub(super) RwLock<Known>);

type Known = IndexMap<(SectionId<Patched>, u64), Option<Arc<Realigned>>, RandomState>;
