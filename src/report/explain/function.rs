//! How a function differs, instruction by instruction and row by row.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

use std::collections::BTreeMap;

use super::align::matches;
use super::listing::{LABEL, Listed, Listing};
use super::{Body, Field, Hunk, Line, Mark, Pair, Part, RowFact};
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::fields_apart::fields_apart;
use crate::diff::compare::fields_apart::references_apart;
use crate::elf::ids::{Id as _, Orig, Patched, SectionId, Side, SymbolId};
use crate::kernel::layout::Layout;
use crate::kernel::rows::Rows;

/// Equal lines that are shown before and behind one that differs.
const CONTEXT: usize = 3;

/// A function's code in one object.
#[derive(Clone, Copy)]
struct Code<S> {
    section: SectionId<S>,
    start: u64,
    end: u64,
}

/// Positions in the listings of both sides.
type LinePair = (Option<usize>, Option<usize>);

/// How a patched function, with what was split off from it, differs from the original.
pub fn body(comparer: &Comparer<'_>, id: SymbolId<Patched>) -> Body {
    let layout = comparer.patched.layout;
    let mut family = vec![id];
    let mut parts = Vec::new();
    while let Some(member) = family.pop() {
        family.extend(layout.children(member));
        parts.extend(part(comparer, member));
    }
    Body { parts }
}

/// `None` when nothing differs.
fn part(comparer: &Comparer<'_>, id: SymbolId<Patched>) -> Option<Part> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let twin = comparer.twins.orig_symbol(id);
    let p = code(patched, id)?;
    let o = twin.and_then(|twin| code(orig, twin));
    let orig_name = |id: SymbolId<Orig>| Some(orig.object.symbol_name(id).to_owned());
    let twin_name = |id: SymbolId<Patched>| {
        let twin = comparer.twins.orig_symbol(id).or_else(|| comparer.twins.replaced.was(id))?;
        Some(orig.object.symbol_name(twin).to_owned())
    };
    let before = o.map(|o| Listing::new(orig, o.section, (o.start, o.end), &orig_name).lines());
    let before = before.unwrap_or_default();
    let after = Listing::new(patched, p.section, (p.start, p.end), &twin_name).lines();
    let both = Both { comparer, o, p, before: &before, after: &after };
    let rows = both.aligned();
    let labels = both.labels(&rows);
    let pairs: Vec<Pair> = rows.iter().map(|&row| both.pair(row, &labels)).collect();
    let hunks = hunks(pairs);
    let facts = both.rows(&rows);
    let name = patched.object.symbol_name(id);
    let was = twin.map(|twin| orig.object.symbol_name(twin)).filter(|was| *was != name);
    (!hunks.is_empty() || !facts.is_empty()).then(|| Part {
        name: name.to_owned(),
        was: was.map(str::to_owned),
        section: patched.object.section_name(p.section).to_owned(),
        lines: [before.len(), after.len()],
        hunks,
        rows: facts,
        places: [o.map(|o| (o.section.index(), o.start)), Some((p.section.index(), p.start))],
    })
}

/// Where the code of a function is.
fn code<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> Option<Code<S>> {
    let section = layout.object.section_of(id)?;
    let start = layout.object.symbol_value(id);
    let index = layout.entity_at(section, start)?;
    let entity = layout.entity(section, index);
    let end = match layout.object.symbol_size(id) {
        0 => entity.end,
        size => start.saturating_add(size).min(entity.end),
    };
    Some(Code { section, start, end })
}

/// The names of the places that something jumps to, by their distance from the start.
struct Labels {
    before: BTreeMap<u64, String>,
    after: BTreeMap<u64, String>,
}

/// Both listings of one function.
struct Both<'a> {
    comparer: &'a Comparer<'a>,
    o: Option<Code<Orig>>,
    p: Code<Patched>,
    before: &'a [Listed<Orig>],
    after: &'a [Listed<Patched>],
}

impl Both<'_> {
    /// The lines of both sides next to each other: those that read the same, and between them
    /// those that do the same thing with something else.
    fn aligned(&self) -> Vec<LinePair> {
        let a: Vec<&str> = self.before.iter().map(|l| l.key.as_str()).collect();
        let b: Vec<&str> = self.after.iter().map(|l| l.key.as_str()).collect();
        let mut rows = Vec::new();
        let mut from = (0, 0);
        for (i, j) in matches(&a, &b).into_iter().chain([(a.len(), b.len())]) {
            self.fill(from, (i, j), &mut rows);
            if i < a.len() && j < b.len() {
                rows.push((Some(i), Some(j)));
            }
            from = (i + 1, j + 1);
        }
        rows
    }

    /// Adds the lines between two that are the same.
    fn fill(&self, from: (usize, usize), to: (usize, usize), rows: &mut Vec<LinePair>) {
        let a: Vec<&str> = between(self.before, from.0, to.0).map(Listed::mnemonic).collect();
        let b: Vec<&str> = between(self.after, from.1, to.1).map(Listed::mnemonic).collect();
        let mut last = (0, 0);
        for (i, j) in matches(&a, &b).into_iter().chain([(a.len(), b.len())]) {
            let (left, right) = (i - last.0, j - last.1);
            for n in 0..left.max(right) {
                let of = |count, start: usize| (n < count).then_some(start + n);
                rows.push((of(left, from.0 + last.0), of(right, from.1 + last.1)));
            }
            if i < a.len() && j < b.len() {
                rows.push((Some(from.0 + i), Some(from.1 + j)));
            }
            last = (i + 1, j + 1);
        }
    }

    /// Names what something jumps to; lines next to each other have one name.
    fn labels(&self, rows: &[LinePair]) -> Labels {
        let targets = |mut all: Vec<u64>| {
            all.sort_unstable();
            all.dedup();
            all
        };
        let o = targets(self.before.iter().filter_map(|l| l.target).collect());
        let p = targets(self.after.iter().filter_map(|l| l.target).collect());
        let mut labels = Labels { before: BTreeMap::new(), after: BTreeMap::new() };
        let mut count = 0;
        for &(i, j) in rows {
            let before = i.and_then(|i| self.before.get(i)).map(|l| l.at);
            let after = j.and_then(|j| self.after.get(j)).map(|l| l.at);
            let is = |targets: &[u64], at: &u64| targets.binary_search(at).is_ok();
            if before.is_some_and(|at| is(&o, &at)) || after.is_some_and(|at| is(&p, &at)) {
                count += 1;
                labels.before.extend(before.map(|at| (at, format!("L{count}"))));
                labels.after.extend(after.map(|at| (at, format!("L{count}"))));
            }
        }
        labels
    }

    fn pair(&self, (i, j): LinePair, labels: &Labels) -> Pair {
        let o = i.and_then(|i| self.before.get(i));
        let p = j.and_then(|j| self.after.get(j));
        let before = o.map(|o| line(o, &labels.before));
        let after = p.map(|p| line(p, &labels.after));
        let mut note = None;
        let mark = match (o, p) {
            (Some(o), Some(p)) if o.key == p.key => {
                let name = |labels: &BTreeMap<u64, String>, to| labels.get(&to).cloned();
                let leads = o.target.map(|to| name(&labels.before, to).ok_or(to));
                let led = p.target.map(|to| name(&labels.after, to).ok_or(to));
                note = self.apart(o, p);
                if leads == led && note.is_none() { Mark::Same } else { Mark::Changed }
            }
            (Some(_), Some(_)) => Mark::Changed,
            (Some(_), None) => Mark::Removed,
            (None, _) => Mark::Added,
        };
        let same_text = before.as_ref().map(|l| &l.text) == after.as_ref().map(|l| &l.text);
        if mark == Mark::Changed && same_text && note.is_none() {
            note = Some("not the same one".to_owned());
        }
        Pair { mark, before, after, note }
    }

    /// How what two lines refer to differs, although they read the same.
    fn apart(&self, o: &Listed<Orig>, p: &Listed<Patched>) -> Option<String> {
        let home = self.o?.section;
        if o.refs.len() != p.refs.len() {
            return Some("not the same references".to_owned());
        }
        let mut pairs = o.refs.iter().zip(&p.refs);
        pairs.find_map(|(o, p)| references_apart(self.comparer, (home, o), (self.p.section, p)))
    }

    /// The rows of tables that describe the code and differ.
    fn rows(&self, aligned: &[LinePair]) -> Vec<RowFact> {
        // Position of the line that holds a place, so that rows of one line are compared.
        let lines = positions(aligned.iter().map(|r| r.0), self.before);
        let before = self.o.map(|o| rows_of(&self.comparer.orig.rows, o, &lines));
        let lines = positions(aligned.iter().map(|r| r.1), self.after);
        let after = rows_of(&self.comparer.patched.rows, self.p, &lines);
        let mut found: BTreeMap<RowKey, [Option<RowAt>; 2]> = BTreeMap::new();
        for (key, row) in before.into_iter().flatten() {
            found.entry(key).or_default()[0] = Some(row);
        }
        for (key, row) in after {
            found.entry(key).or_default()[1] = Some(row);
        }
        let facts = found.into_iter().filter_map(|((table, ..), sides)| {
            let (mark, at, fields) = match sides {
                [Some(o), Some(p)] => {
                    let fields = fields_apart(self.comparer, (o.table, o.row), (p.table, p.row));
                    let fields: Vec<Field> = fields.into_iter().map(field).collect();
                    (Mark::Changed, p.at, (!fields.is_empty()).then_some(fields)?)
                }
                [Some(o), None] => (Mark::Removed, o.at, Vec::new()),
                [None, Some(p)] => (Mark::Added, p.at, Vec::new()),
                [None, None] => return None,
            };
            Some(RowFact { table: table.to_owned(), mark, at, fields })
        });
        facts.collect()
    }
}

/// Which rows of both sides are compared: those of one table for one line, in order.
type RowKey = (&'static str, usize, usize);

/// A row of one side.
struct RowAt {
    table: u32,
    row: u32,
    /// The code that it describes, from the start of the function.
    at: u64,
}

/// The rows that describe code and are part of what it means.
fn rows_of<S: Side>(rows: &Rows<S>, code: Code<S>, lines: &[(u64, usize)]) -> Vec<(RowKey, RowAt)> {
    let mut counts: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    let mut found = Vec::new();
    for row in rows.of(code.section, code.start, code.end) {
        let Some(table) = rows.tables.get(row.table as usize).map(|t| t.table) else { continue };
        if !table.verdict {
            continue;
        }
        let at = row.at() - code.start;
        let line = position(lines, at);
        let count = counts.entry((table.section, line)).or_default();
        let row = RowAt { table: row.table, row: row.row, at };
        found.push(((table.section, line, *count), row));
        *count += 1;
    }
    found
}

fn field((name, before, after): (&'static str, String, String)) -> Field {
    Field { name: name.to_owned(), at: None, before: Some(before), after: Some(after) }
}

/// (place of a line, its position among all), ascending.
fn positions<S>(
    aligned: impl Iterator<Item = Option<usize>>,
    lines: &[Listed<S>],
) -> Vec<(u64, usize)> {
    let placed = aligned.enumerate().filter_map(|(n, i)| Some((lines.get(i?)?.at, n)));
    placed.collect()
}

/// The position of the line that holds byte `at`.
fn position(lines: &[(u64, usize)], at: u64) -> usize {
    let behind = lines.partition_point(|line| line.0 <= at);
    behind.checked_sub(1).and_then(|last| lines.get(last)).map_or(0, |line| line.1)
}

fn between<S>(lines: &[Listed<S>], from: usize, to: usize) -> impl Iterator<Item = &Listed<S>> {
    lines.get(from..to).unwrap_or(&[]).iter()
}

/// A line as it is shown: with the names of labels.
fn line<S>(listed: &Listed<S>, labels: &BTreeMap<u64, String>) -> Line {
    let text = match listed.target {
        None => listed.text.clone(),
        Some(to) => {
            let place = format!("+{to:#x}");
            let name = labels.get(&to).map(|name| format!("{name} ({place})")).unwrap_or(place);
            listed.text.replacen(LABEL, &name, 1)
        }
    };
    let label = labels.get(&listed.at).cloned();
    Line { at: listed.at, label, text, target: listed.target.is_some() }
}

/// What differs, with some lines around it.
fn hunks(pairs: Vec<Pair>) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    // Position behind the last line that is shown for sure.
    let mut until = 0;
    let differs: Vec<usize> =
        pairs.iter().enumerate().filter(|(_, p)| p.mark != Mark::Same).map(|(n, _)| n).collect();
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for n in differs {
        let (from, to) = (n.saturating_sub(CONTEXT), (n + 1 + CONTEXT).min(pairs.len()));
        match ranges.last_mut() {
            Some(last) if from <= until => last.1 = to,
            _ => ranges.push((from, to)),
        }
        until = to;
    }
    let mut all = pairs.into_iter().enumerate().peekable();
    for (from, to) in ranges {
        let mut lines = Vec::new();
        while let Some((_, pair)) = all.next_if(|(n, _)| *n < to) {
            lines.push(pair);
        }
        let surplus = lines.len().saturating_sub(to - from);
        lines.drain(..surplus);
        hunks.push(Hunk { source: Vec::new(), lines });
    }
    hunks
}
