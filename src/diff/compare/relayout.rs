//! Tells whether a function is the same but for where its blocks are.
//!
//! A profile moves blocks: what is likely comes first, conditions are turned round, the rest
//! goes to a part of its own. That is proven here, not guessed: both functions are walked side
//! by side from the entry, through every branch, and wherever they are at the same time they
//! must do the same: equal instructions, references that mean the same, equal rows in the
//! kernel's tables. Jumps and padding are stepped over, and a condition may be the opposite
//! when its two ways are exchanged, too. Whatever is not understood ends the walk without a
//! result.

#![expect(
    clippy::indexing_slicing,
    reason = "rows have the number of their table; parts have the numbers of their places"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB; rows are within tables"
)]

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::comparer::Comparer;
use super::counterpart::same_kind;
use super::entry::bodies;
use super::pair::Indexed;
use super::questions::OpenQuestions;
use super::targets::same_reference;
use crate::arch::{Flow, Step, step};
use crate::diag::Result;
use crate::diff::reason::{Blocks, Reason, ReasonKind, Sides};
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::noreturn::never_returns;
use crate::kernel::knowledge::{sections, symbols};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::{Refs, RelocIn};
use crate::kernel::rows::Row;

/// A byte of a section.
type Place<S> = (SectionId<S>, u64);

/// How many jumps in a row are followed: jumps that go round in a circle have no end.
const MOST_JUMPS: usize = 32;

/// How many pairs of places there may be for each byte of code. One place of the one function
/// is several of the other where the compiler copied or merged blocks.
const MOST_PAIRS: u64 = 4;

/// What the kernel does behind a trap depends on this bit of a `__bug_table` row's flags,
/// `BUGFLAG_WARNING` (include/asm-generic/bug.h).
const BUG_WARNING: u16 = 1;

/// The reason why a function and its twin differ, when they only differ in where their
/// blocks are.
pub(super) fn relayout(
    comparer: &Comparer<'_>,
    id: SymbolId<Patched>,
    open: &mut OpenQuestions,
) -> Result<Option<Reason>> {
    let Some(twin) = comparer.twins.orig_symbol(id) else { return Ok(None) };
    let orig = Code::new(comparer.orig, twin);
    let patched = Code::new(comparer.patched, id);
    let (Some(orig), Some(patched)) = (orig, patched) else { return Ok(None) };
    let blocks = Sides::new(orig.blocks(), patched.blocks());
    let reason = Reason::of_all(ReasonKind::Profile(blocks));
    let mut walk = Walk {
        comparer,
        limit: (orig.size() + patched.size()) * MOST_PAIRS,
        orig,
        patched,
        pending: Vec::new(),
        seen: IndexSet::default(),
        tables: false,
        through_thunk: false,
        open,
    };
    Ok(walk.run()?.then_some(reason))
}

/// The code of a function with its parts.
struct Code<'a, S> {
    side: &'a Indexed<'a, S>,
    /// Section, first byte and byte behind the last of each part; the function is first.
    parts: Vec<(SectionId<S>, u64, u64)>,
    /// The function's symbol is there.
    entry: Place<S>,
    /// Which parts were walked through.
    visited: Vec<bool>,
    /// Places that have rows in the kernel's tables and were walked through.
    rowed: IndexSet<Place<S>, RandomState>,
}

/// An instruction and what it refers to.
struct Instruction<'a, S> {
    at: Place<S>,
    step: Step,
    bytes: &'a [u8],
    relocs: Vec<Reloc<S>>,
}

impl<S> Instruction<'_, S> {
    fn next(&self) -> Place<S>
    where
        S: Copy,
    {
        (self.at.0, self.at.1 + self.step.len)
    }
}

impl<'a, S: Side> Code<'a, S> {
    /// `None` when there is no code.
    fn new(side: &'a Indexed<'a, S>, root: SymbolId<S>) -> Option<Self> {
        let layout = side.layout;
        let object = layout.object;
        let (mut parts, mut family, mut entry) = (Vec::new(), vec![root], None);
        while let Some(member) = family.pop() {
            family.extend(layout.children(member));
            let section = object.section_of(member)?;
            let value = object.symbol_value(member);
            let entity = layout.entity(section, layout.entity_at(section, value)?);
            if layout.class(section) != Class::Text {
                return None;
            }
            entry.get_or_insert((section, value));
            let part = (section, entity.start, entity.end);
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        let visited = vec![false; parts.len()];
        Some(Code { side, parts, entry: entry?, visited, rowed: IndexSet::default() })
    }

    fn layout(&self) -> &'a Layout<'a, S> {
        self.side.layout
    }

    fn size(&self) -> u64 {
        self.parts.iter().map(|p| p.2 - p.1).sum()
    }

    /// Where it is.
    fn blocks(&self) -> Blocks {
        let names = self.parts.iter().map(|p| self.layout().object.section_name(p.0).to_owned());
        let mut sections: Vec<String> = names.collect();
        sections.dedup();
        Blocks { bytes: self.size(), sections }
    }

    /// The part that holds a place.
    fn part(&self, place: Place<S>) -> Option<usize> {
        self.parts.iter().position(|p| p.0 == place.0 && p.1 <= place.1 && place.1 < p.2)
    }

    /// Whether a place is code of the function: in one of its parts, or in code without a name,
    /// which alternatives jump to.
    fn holds(&self, place: Place<S>) -> bool {
        let layout = self.layout();
        self.part(place).is_some()
            || layout.is_nameless(place.0) && layout.class(place.0) == Class::Text
    }

    /// The instruction at a place; `None` at the end of a part, and where it is unknown.
    fn at(&self, place: Place<S>) -> Option<Instruction<'a, S>> {
        let layout = self.layout();
        let data = layout.object.contents(place.0);
        let end = match self.part(place) {
            Some(part) => self.parts[part].2,
            None if self.holds(place) => data.len() as u64,
            None => return None,
        };
        let code = data.get(..end as usize)?;
        let step = step(layout.arch, code, place.1)?;
        let relocs = layout.object.relocs(place.0).within(place.1, place.1 + step.len).collect();
        let bytes = code.get(place.1 as usize..(place.1 + step.len) as usize)?;
        Some(Instruction { at: place, step, bytes, relocs })
    }

    /// The rows that count and describe a place.
    fn rows(&self, place: Place<S>) -> impl Iterator<Item = &'a Row> {
        let rows = &self.side.rows;
        let found = rows.of(place.0, place.1, place.1 + 1).iter();
        found.filter(|r| rows.tables[r.table as usize].table.verdict)
    }

    /// Where a branch leads: the place, when it is known.
    fn target(&self, branch: &Instruction<'_, S>, target: u64) -> Result<Option<Place<S>>> {
        match branch.relocs[..] {
            [] => Ok(Some((branch.at.0, target))),
            [reloc] => self.refs(branch.at, branch.step.len).place(&reloc),
            _ => Ok(None),
        }
    }

    /// A resolver that knows the instruction at a place.
    fn refs(&self, place: Place<S>, len: u64) -> Refs<'a, S> {
        let refs = Refs::new(self.layout(), place.0);
        refs.know(place.1, place.1 + len);
        refs
    }

    /// Steps over padding and jumps. `None` when there are too many.
    fn settle(&self, mut place: Place<S>) -> Result<Option<Place<S>>> {
        let mut jumps = 0;
        while let Some(found) = self.at(place) {
            if self.rows(place).next().is_some() {
                break;
            }
            match found.step.flow {
                Flow::Padding if found.relocs.is_empty() => place = found.next(),
                Flow::Jump { target } => match self.target(&found, target)? {
                    Some(target) if self.holds(target) => {
                        place = target;
                        jumps += 1;
                        if jumps > MOST_JUMPS {
                            return Ok(None);
                        }
                    }
                    _ => break,
                },
                _ => break,
            }
        }
        Ok(Some(place))
    }

    /// Notes that a place was walked through.
    fn visit(&mut self, place: Place<S>) {
        if let Some(part) = self.part(place) {
            self.visited[part] = true;
            if self.rows(place).next().is_some() {
                self.rowed.insert(place);
            }
        }
    }

    /// Whether all parts, and all places with rows, were walked through.
    fn is_covered(&self) -> bool {
        let places = |&(section, start, end): &(SectionId<S>, u64, u64)| {
            let rows = &self.side.rows;
            let counted = rows.of(section, start, end).iter();
            let counted = counted.filter(|r| rows.tables[r.table as usize].table.verdict);
            counted.map(move |r| (section, r.at()))
        };
        self.visited.iter().all(|&v| v)
            && self.parts.iter().flat_map(places).all(|place| self.rowed.contains(&place))
    }

    /// The symbol at whose start a place outside of the function is.
    fn start_of(&self, place: Place<S>) -> Option<SymbolId<S>> {
        let layout = self.layout();
        let entity = layout.entity(place.0, layout.entity_at(place.0, place.1)?);
        entity.symbol.filter(|&s| layout.object.symbol_value(s) == place.1)
    }
}

/// Two functions that are walked through side by side.
struct Walk<'a> {
    comparer: &'a Comparer<'a>,
    orig: Code<'a, Orig>,
    patched: Code<'a, Patched>,
    pending: Vec<(Place<Orig>, Place<Patched>)>,
    seen: IndexSet<(Place<Orig>, Place<Patched>), RandomState>,
    limit: u64,
    /// The code refers to data that refers to code, which may be a table of its own blocks.
    tables: bool,
    /// It jumps to wherever a register says.
    through_thunk: bool,
    open: &'a mut OpenQuestions,
}

/// What follows two instructions that do the same.
enum Onward {
    /// What is behind them.
    Behind,
    /// Nothing that is not pending.
    Nothing,
    /// They do not do the same, or it is not known.
    Different,
}

impl<'a> Walk<'a> {
    fn run(&mut self) -> Result<bool> {
        if !self.entries() {
            return Ok(false);
        }
        while let Some((o, p)) = self.pending.pop() {
            if !self.stretch(o, p)? {
                return Ok(false);
            }
        }
        // A table of blocks may have the same places, but other blocks there.
        let blind = self.tables && self.through_thunk;
        Ok(!blind && self.orig.is_covered() && self.patched.is_covered())
    }

    /// Where both are entered. False when they are of different types.
    fn entries(&mut self) -> bool {
        let (Some(&o), Some(&p)) = (self.orig.parts.first(), self.patched.parts.first()) else {
            return false;
        };
        let entity =
            |layout: &Layout<'_, Orig>| layout.entity_at(o.0, o.1).map(|i| layout.entity(o.0, i));
        let (orig, patched) = (self.orig.layout(), self.patched.layout());
        let twin = patched.entity_at(p.0, p.1).map(|i| patched.entity(p.0, i));
        let (Some(a), Some(b)) = (entity(orig), twin) else { return false };
        match bodies(self.comparer, &a, &b) {
            Some(bodies) if bodies.types.is_some() => return false,
            Some(bodies) => {
                let spans = bodies.spans;
                self.pending.push(((spans.o, spans.o_start), (spans.p, spans.p_start)));
            }
            None => {
                self.pending.push((self.orig.entry, self.patched.entry));
                self.pending.push(((o.0, o.1), (p.0, p.1)));
            }
        }
        true
    }

    /// Walks on from two places until both were at the same places before.
    fn stretch(&mut self, mut o: Place<Orig>, mut p: Place<Patched>) -> Result<bool> {
        loop {
            let (Some(a), Some(b)) = (self.orig.settle(o)?, self.patched.settle(p)?) else {
                return Ok(false);
            };
            if !self.seen.insert((a, b)) {
                return Ok(true);
            }
            if self.seen.len() as u64 > self.limit {
                return Ok(false);
            }
            self.orig.visit(a);
            self.patched.visit(b);
            let at_ends = !self.orig.holds(a) && !self.patched.holds(b);
            let (a, b) = match (self.orig.at(a), self.patched.at(b)) {
                (Some(a), Some(b)) => (a, b),
                // Nothing is behind a call that does not return.
                (None, None) => return Ok(at_ends),
                _ => return Ok(false),
            };
            match self.instructions(&a, &b)? {
                Onward::Behind => (o, p) = (a.next(), b.next()),
                Onward::Nothing => return Ok(true),
                Onward::Different => return Ok(false),
            }
        }
    }

    fn instructions(
        &mut self,
        a: &Instruction<'_, Orig>,
        b: &Instruction<'_, Patched>,
    ) -> Result<Onward> {
        let has_rows = self.orig.rows(a.at).next().is_some();
        if !self.rows(a, b)? {
            return Ok(Onward::Different);
        }
        let behind = |same| if same { Onward::Behind } else { Onward::Different };
        match (a.step.flow, b.step.flow) {
            (
                Flow::Branch { condition: x, target: s },
                Flow::Branch { condition: y, target: t },
            ) => {
                let (s, t) = (self.orig.target(a, s)?, self.patched.target(b, t)?);
                let (Some(s), Some(t)) = (s, t) else {
                    return Ok(behind(x == y && self.same(a, b)?));
                };
                if !self.orig.holds(s) || !self.patched.holds(t) {
                    return Ok(behind(x == y && self.leaves_alike(a, b, s, t)?));
                }
                if x == y {
                    self.pending.push((s, t));
                    return Ok(Onward::Behind);
                }
                if x ^ 1 != y || has_rows {
                    return Ok(Onward::Different);
                }
                self.pending.extend([(s, b.next()), (a.next(), t)]);
                Ok(Onward::Nothing)
            }
            (Flow::Jump { target: s }, Flow::Jump { target: t }) => self.jumps(a, b, (s, t)),
            (Flow::Call { target: s }, Flow::Call { target: t }) => self.calls(a, b, (s, t)),
            (Flow::Trap, Flow::Trap) => Ok(match self.same(a, b)? {
                false => Onward::Different,
                true if has_rows && !self.is_bug(a) => Onward::Behind,
                true => Onward::Nothing,
            }),
            (Flow::Stop, Flow::Stop) => {
                Ok(if self.same(a, b)? { Onward::Nothing } else { Onward::Different })
            }
            (Flow::Next | Flow::Padding, Flow::Next | Flow::Padding) => {
                Ok(behind(self.same(a, b)?))
            }
            _ => Ok(Onward::Different),
        }
    }

    /// What follows two jumps to `s` and `t`.
    fn jumps(
        &mut self,
        a: &Instruction<'_, Orig>,
        b: &Instruction<'_, Patched>,
        (s, t): (u64, u64),
    ) -> Result<Onward> {
        let has_rows = self.orig.rows(a.at).next().is_some();
        let (s, t) = (self.orig.target(a, s)?, self.patched.target(b, t)?);
        let same = match (s, t) {
            (Some(s), Some(t)) => {
                let held = (self.orig.holds(s), self.patched.holds(t));
                match held {
                    (true, true) => {
                        self.pending.push((s, t));
                        a.bytes.len() == b.bytes.len()
                    }
                    (false, false) => self.leaves_alike(a, b, s, t)?,
                    _ => false,
                }
            }
            _ => self.same(a, b)?,
        };
        // What a row describes may be rewritten, and go on behind it.
        Ok(match (same, has_rows) {
            (false, _) => Onward::Different,
            (true, true) => Onward::Behind,
            (true, false) => Onward::Nothing,
        })
    }

    /// What follows two calls of `s` and `t`.
    fn calls(
        &mut self,
        a: &Instruction<'_, Orig>,
        b: &Instruction<'_, Patched>,
        (s, t): (u64, u64),
    ) -> Result<Onward> {
        if a.relocs.is_empty() && b.relocs.is_empty() {
            let (s, t) = ((a.at.0, s), (b.at.0, t));
            let same = self.leaves_alike(a, b, s, t)?;
            return Ok(if same { Onward::Behind } else { Onward::Different });
        }
        let returns = !a
            .relocs
            .iter()
            .any(|r| never_returns(self.orig.layout().object.symbol_name(r.symbol)));
        Ok(match (self.same(a, b)?, returns) {
            (false, _) => Onward::Different,
            (true, true) => Onward::Behind,
            (true, false) => Onward::Nothing,
        })
    }

    /// Whether two branches to `s` and `t`, which are not both in the function, lead to the
    /// same place.
    fn leaves_alike(
        &mut self,
        a: &Instruction<'_, Orig>,
        b: &Instruction<'_, Patched>,
        s: Place<Orig>,
        t: Place<Patched>,
    ) -> Result<bool> {
        if !a.relocs.is_empty() && !b.relocs.is_empty() {
            return self.same(a, b);
        }
        match (self.orig.part(s), self.patched.part(t)) {
            (Some(_), Some(_)) => {
                self.pending.push((s, t));
                Ok(true)
            }
            (None, None) => {
                let ends = self.orig.start_of(s).zip(self.patched.start_of(t));
                Ok(ends.is_some_and(|(s, t)| self.comparer.twins.are_twins(s, t)))
            }
            _ => Ok(false),
        }
    }

    /// Whether two instructions have the same bytes and refer to the same.
    fn same(&mut self, a: &Instruction<'_, Orig>, b: &Instruction<'_, Patched>) -> Result<bool> {
        let alike = a.bytes == b.bytes && a.relocs.len() == b.relocs.len();
        if !alike || a.step.is_relative && a.relocs.is_empty() {
            return Ok(false);
        }
        let o_refs = self.orig.refs(a.at, a.step.len);
        let p_refs = self.patched.refs(b.at, b.step.len);
        for (o, p) in a.relocs.iter().zip(&b.relocs) {
            let same_kind = same_kind(self.comparer, o, p);
            let placed = same_kind && o.offset - a.at.1 == p.offset - b.at.1;
            if !placed || !self.reference((&o_refs, o), (&p_refs, p))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether two references mean the same; those to the function's own code are walked from.
    fn reference(
        &mut self,
        (o_refs, o): RelocIn<'_, Orig>,
        (p_refs, p): RelocIn<'_, Patched>,
    ) -> Result<bool> {
        let (s, t) = (o_refs.place(o)?, p_refs.place(p)?);
        let own = (
            s.filter(|&s| self.orig.part(s).is_some()),
            t.filter(|&t| self.patched.part(t).is_some()),
        );
        match own {
            (Some(s), Some(t)) => {
                self.pending.push((s, t));
                return Ok(true);
            }
            (None, None) => {}
            _ => return Ok(false),
        }
        let (layout, object) = (self.patched.layout(), self.patched.layout().object);
        match t {
            Some((section, _)) => {
                self.tables |=
                    layout.class(section) == Class::Data && !object.relocs(section).is_empty();
            }
            None => {
                self.through_thunk |=
                    object.symbol_name(p.symbol).starts_with(symbols::X86_INDIRECT);
            }
        }
        same_reference(self.comparer, (o_refs, o), (p_refs, p), self.open)
    }

    /// Whether the kernel never goes on behind this trap, as its row says.
    fn is_bug(&self, trap: &Instruction<'_, Orig>) -> bool {
        let rows = &self.orig.side.rows;
        let object = self.orig.layout().object;
        self.orig.rows(trap.at).all(|row| {
            let table = &rows.tables[row.table as usize];
            let (start, _) = table.span(row.row as usize, object.section_size(table.section));
            let flags = table.named_field("flags").map(|field| (start + field.at) as usize);
            let flags = flags.and_then(|at| object.contents(table.section).get(at..at + 2));
            let flags = flags.and_then(|f| f.first_chunk::<2>()).map(|&f| match object.endian() {
                object::Endianness::Little => u16::from_le_bytes(f),
                object::Endianness::Big => u16::from_be_bytes(f),
            });
            table.table.section == sections::BUG_TABLE
                && flags.is_some_and(|f| f & BUG_WARNING == 0)
        })
    }

    /// Whether the rows that describe two instructions say the same.
    fn rows(&mut self, a: &Instruction<'_, Orig>, b: &Instruction<'_, Patched>) -> Result<bool> {
        let (o_rows, p_rows) = (self.orig.rows(a.at), self.patched.rows(b.at));
        let (o_rows, p_rows): (Vec<&Row>, Vec<&Row>) = (o_rows.collect(), p_rows.collect());
        if o_rows.len() != p_rows.len() {
            return Ok(false);
        }
        for (o, p) in o_rows.into_iter().zip(p_rows) {
            if !self.row(o, p)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn row(&mut self, o: &Row, p: &Row) -> Result<bool> {
        let o_table = &self.orig.side.rows.tables[o.table as usize];
        let p_table = &self.patched.side.rows.tables[p.table as usize];
        let (o_layout, p_layout) = (self.orig.layout(), self.patched.layout());
        let (orig, patched) = (o_layout.object, p_layout.object);
        let o_size = orig.section_size(o_table.section);
        let p_size = patched.section_size(p_table.section);
        let (o_start, o_end) = o_table.span(o.row as usize, o_size);
        let (p_start, p_end) = p_table.span(p.row as usize, p_size);
        let (table, size) = (p_table.table, p_end - p_start);
        if o_table.table.section != table.section || o_end - o_start != size {
            return Ok(false);
        }
        let is_noise = |at: u64| o_table.is_noise(at) && p_table.is_noise(at);
        let a = orig.contents(o_table.section).get(o_start as usize..o_end as usize);
        let b = patched.contents(p_table.section).get(p_start as usize..p_end as usize);
        let (Some(a), Some(b)) = (a, b) else { return Ok(false) };
        if a.iter().zip(b).enumerate().any(|(at, (x, y))| x != y && !is_noise(at as u64)) {
            return Ok(false);
        }
        let o_relocs = orig.relocs(o_table.section).within(o_start, o_end);
        let p_relocs = patched.relocs(p_table.section).within(p_start, p_end);
        let o_relocs: Vec<_> = o_relocs.filter(|r| !is_noise(r.offset - o_start)).collect();
        let p_relocs: Vec<_> = p_relocs.filter(|r| !is_noise(r.offset - p_start)).collect();
        if o_relocs.len() != p_relocs.len() {
            return Ok(false);
        }
        let o_refs = Refs::new(o_layout, o_table.section);
        let p_refs = Refs::new(p_layout, p_table.section);
        for (o, p) in o_relocs.iter().zip(&p_relocs) {
            let at = p.offset - p_start;
            if o.offset - o_start != at || o.kind != p.kind {
                return Ok(false);
            }
            if at == table.code {
                continue;
            }
            let field = p_table.replacement().filter(|r| r.field == at);
            let same = match field {
                Some(field) => {
                    let length = b.get(field.length as usize).copied().unwrap_or(0);
                    let places = o_refs.place(o)?.zip(p_refs.place(p)?);
                    places.map_or(Ok(false), |(s, t)| self.straight(s, t, length.into()))?
                }
                None => self.reference((&o_refs, o), (&p_refs, p))?,
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether `length` bytes of code do the same, wherever they lead.
    fn straight(&mut self, o: Place<Orig>, p: Place<Patched>, length: u64) -> Result<bool> {
        let mut done = 0;
        while done < length {
            let (o, p) = ((o.0, o.1 + done), (p.0, p.1 + done));
            let (Some(a), Some(b)) = (self.orig.at(o), self.patched.at(p)) else {
                return Ok(false);
            };
            if !self.same(&a, &b)? {
                return Ok(false);
            }
            done += a.step.len;
        }
        Ok(done == length)
    }
}
