//! A set of bytes of a section, as disjoint spans.

use std::collections::BTreeMap;

/// Disjoint spans of bytes; spans that overlap or touch inside an entity are merged.
#[derive(Clone, Debug, Default)]
pub struct Spans(BTreeMap<u64, u64>);

impl Spans {
    /// Adds `start..end`; false when all of it was there already.
    pub fn insert(&mut self, start: u64, end: u64) -> bool {
        let (mut start, mut end) = (start, end);
        if let Some((&s, &e)) = self.0.range(..=start).next_back() {
            if e >= end {
                return false;
            }
            if e > start {
                start = s;
            }
        }
        while let Some((&s, &e)) = self.0.range(start..end).next() {
            end = end.max(e);
            self.0.remove(&s);
        }
        self.0.insert(start, end);
        true
    }

    /// Whether byte `at` is in the set.
    pub fn contains(&self, at: u64) -> bool {
        self.0.range(..=at).next_back().is_some_and(|(_, &end)| at < end)
    }

    /// The spans, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(&start, &end)| (start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_spans_merge() {
        let mut spans = Spans::default();
        assert!(spans.insert(10, 20));
        assert!(!spans.insert(12, 20));
        assert!(spans.insert(30, 40));
        assert!(spans.insert(15, 35));
        assert!(spans.insert(0, 5));
        assert!(spans.insert(40, 41));
        assert_eq!(spans.iter().collect::<Vec<_>>(), [(0, 5), (10, 40), (40, 41)]);
        for (at, inside) in [(0, true), (5, false), (39, true), (40, true), (41, false)] {
            assert_eq!(spans.contains(at), inside, "{at}");
        }
    }
}
