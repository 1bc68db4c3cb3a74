//! Finds the symbol that covers a byte in sections with many symbols.

use super::roles::Roles;
use crate::elf::ids::{Id, SectionId, Side, SymbolId};

/// Which symbol covers which bytes of a section with many symbols.
pub(super) struct Cover<S> {
    /// (first byte, first covering symbol in symbol order) by ascending first byte; the null
    /// symbol where none covers.
    spans: Vec<(u32, SymbolId<S>)>,
    /// Empty symbols: (value, symbol), sorted.
    empty: Vec<(u32, SymbolId<S>)>,
    /// Ends of local symbols, also of empty ones: (byte behind the last, symbol), sorted.
    ends: Vec<(u32, SymbolId<S>)>,
    /// The first symbol that ends where the section ends.
    pub(super) last: Option<SymbolId<S>>,
}

/// An offset in four bytes. Sections are smaller; what lies behind them is in one place.
fn short(at: u64) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl<S: Side> Cover<S> {
    /// One sweep over the sorted ends of all symbols; the open symbol that comes first in
    /// the symbol table wins.
    pub(super) fn new(roles: &Roles<'_, S>, section: SectionId<S>) -> Self {
        let (mut empty, mut ends) = (Vec::new(), Vec::new());
        let mut events = Vec::new();
        for &member in roles.object.members(section) {
            let span = roles.span(member).map(|(start, end)| (short(start), short(end)));
            if let Some((_, end)) = span
                && roles.is_local(member)
            {
                ends.push((end, member));
            }
            match span {
                Some((start, end)) if start == end => empty.push((start, member)),
                Some((start, end)) => {
                    events.push((start, true, member));
                    events.push((end, false, member));
                }
                None => {}
            }
        }
        empty.sort_unstable();
        ends.sort_unstable();
        events.sort_unstable();
        let mut open = std::collections::BTreeSet::new();
        let mut spans: Vec<(u32, SymbolId<S>)> = Vec::new();
        for (at, opens, member) in events {
            if opens {
                open.insert(member);
            } else {
                open.remove(&member);
            }
            let first = open.first().copied().unwrap_or(SymbolId::new(0));
            match spans.last_mut() {
                Some(last) if last.0 == at => last.1 = first,
                Some(last) if last.1 == first => {}
                _ => spans.push((at, first)),
            }
        }
        drop(open);
        spans.shrink_to_fit();
        ends.shrink_to_fit();
        let size = roles.object.section_size(section);
        let members = roles.object.members(section);
        let last = members.iter().copied().find(|&m| roles.ends_at(m, size));
        Cover { spans, empty, ends, last }
    }

    /// The covering symbol of all of `low..=high`, when it is the same for each.
    pub(super) fn over(&self, low: u64, high: u64) -> Option<Option<SymbolId<S>>> {
        let (from, to) = (short(low), short(high));
        let span = self.spans.partition_point(|s| s.0 <= from);
        let same_span = self.spans.get(span).is_none_or(|s| s.0 > to);
        let empty = self.empty.partition_point(|e| e.0 < from);
        let no_empty = self.empty.get(empty).is_none_or(|e| e.0 > to);
        (same_span && no_empty).then(|| self.at(low))
    }

    /// The local symbols that end at `at`.
    pub(super) fn ending(&self, at: u64) -> impl Iterator<Item = SymbolId<S>> {
        let at = short(at);
        let first = self.ends.partition_point(|e| e.0 < at);
        self.ends.iter().skip(first).take_while(move |e| e.0 == at).map(|e| e.1)
    }

    pub(super) fn at(&self, at: u64) -> Option<SymbolId<S>> {
        let at = short(at);
        let behind = self.spans.partition_point(|s| s.0 <= at);
        let covering = behind
            .checked_sub(1)
            .and_then(|i| self.spans.get(i))
            .map(|s| s.1)
            .filter(|s| s.index() != 0);
        let exact = self.empty.partition_point(|e| e.0 < at);
        let empty = self.empty.get(exact).filter(|e| e.0 == at).map(|e| e.1);
        match (covering, empty) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
