//! Which bytes of some sections are meant, as disjoint spans.

use std::collections::BTreeMap;

use crate::elf::ids::{Patched, SectionId};

/// Disjoint spans of bytes of sections; spans that overlap are merged.
///
/// All are in one tree: where much changed there are many sections with one span each.
#[derive(Clone, Debug, Default)]
pub struct Parts(BTreeMap<(SectionId<Patched>, u64), u64>);

impl Parts {
    /// Adds a section, for now with no byte of it.
    pub fn add(&mut self, section: SectionId<Patched>) {
        if self.upto(section, u64::MAX).is_none() {
            self.0.insert((section, 0), 0);
        }
    }

    /// Adds `start..end` of a section; false when all of it was there already.
    pub fn insert(&mut self, section: SectionId<Patched>, start: u64, end: u64) -> bool {
        let (mut start, mut end) = (start, end);
        if let Some((s, e)) = self.upto(section, start) {
            if e >= end {
                return false;
            }
            if e > start {
                start = s;
            }
        }
        while let Some((&key, &e)) = self.0.range((section, start)..(section, end)).next() {
            end = end.max(e);
            self.0.remove(&key);
        }
        self.0.insert((section, start), end);
        true
    }

    /// Whether byte `at` of a section is meant; `None` for a section that was not added.
    pub fn contains(&self, section: SectionId<Patched>, at: u64) -> Option<bool> {
        match self.upto(section, at) {
            Some((_, end)) => Some(at < end),
            None => self.upto(section, u64::MAX).map(|_| false),
        }
    }

    /// The spans of a section, ascending.
    pub fn of(&self, section: SectionId<Patched>) -> impl Iterator<Item = (u64, u64)> + '_ {
        let spans = self.0.range((section, 0)..=(section, u64::MAX));
        spans.map(|(key, &end)| (key.1, end)).filter(|(start, end)| start < end)
    }

    /// The sections, ascending.
    pub fn sections(&self) -> impl Iterator<Item = SectionId<Patched>> + '_ {
        let mut last = None;
        let sections = self.0.keys().map(|key| key.0);
        sections.filter(move |&section| last.replace(section) != Some(section))
    }

    /// The last span that begins at or before `at`.
    fn upto(&self, section: SectionId<Patched>, at: u64) -> Option<(u64, u64)> {
        let (key, &end) = self.0.range((section, 0)..=(section, at)).next_back()?;
        Some((key.1, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::ids::Id;

    #[test]
    fn overlapping_spans_merge() {
        let mut parts = Parts::default();
        let [other, section, empty, absent] = [2, 3, 4, 5].map(SectionId::new);
        parts.add(section);
        parts.add(empty);
        assert!(parts.insert(section, 10, 20));
        assert!(!parts.insert(section, 12, 20));
        assert!(parts.insert(other, 12, 21));
        assert!(parts.insert(section, 30, 40));
        assert!(parts.insert(section, 15, 35));
        assert!(parts.insert(section, 2, 5));
        assert!(parts.insert(section, 40, 41));
        assert_eq!(parts.of(section).collect::<Vec<_>>(), [(2, 5), (10, 40), (40, 41)]);
        assert_eq!(parts.of(other).collect::<Vec<_>>(), [(12, 21)]);
        assert_eq!(parts.of(empty).count(), 0);
        assert_eq!(parts.sections().collect::<Vec<_>>(), [other, section, empty]);
        let inside = [(0, false), (2, true), (5, false), (39, true), (40, true), (41, false)];
        for (at, inside) in inside {
            assert_eq!(parts.contains(section, at), Some(inside), "{at}");
        }
        assert_eq!([empty, absent].map(|section| parts.contains(section, 0)), [Some(false), None]);
    }
}
