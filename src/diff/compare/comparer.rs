//! Compares what entities mean.
//!
//! Two entities are equal when their bytes are, when each relocation is of the same type at
//! the same place and *means* the same, and when the rows of the kernel's tables that
//! describe them are equal. A target with a name means what its twin means; a target without
//! one means its content, recursively. Noise is never subtracted: it is not looked at.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use std::ops::Deref;
use std::sync::Arc;

use rayon::prelude::*;

use super::forgiven::{Field, Forgiven, Ledger, proofs};
use super::meaning::{is_promotion, meaning};
use super::pair::Pair;
use super::questions::{Answers, OpenQuestions};
use super::realigned::Realignments;
use super::states::{Use, Uses};
use crate::arch::same_reloc;
use crate::diag::Result;
use crate::diff::reason::{Meant, Reason, ReasonKind, Reference, Sides, eight};
use crate::diff::verdict::{Verdict, Verdicts};
use crate::diff::words;
use crate::elf::abi;
use crate::elf::ids::{Marks, Orig, Patched, SectionId, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::layout::{Class, Entity};
use crate::kernel::names;
use crate::kernel::refs::Refs;

/// What comparing a section gave.
struct Compared {
    section: SectionId<Patched>,
    /// One for each entity.
    verdicts: Vec<Verdict>,
    uses: Vec<Use>,
}

impl Compared {
    /// Whether it says more than that nothing differs.
    fn tells(&self) -> bool {
        !self.uses.is_empty() || self.verdicts.iter().any(|verdict| !verdict.is_same())
    }
}

/// Compares entities of two objects whose twins are known.
pub struct Comparer<'a> {
    /// What is compared.
    pub pair: Pair<'a>,
    /// What [`shifted`] gave.
    ///
    /// [`shifted`]: super::assembler_resolved::shifted
    pub shifted: Arc<Marks<SectionId<Patched>>>,
    /// Which nameless things are equal, as far as it was asked.
    pub answers: Answers,
    /// Which functions differ in padding, as far as it was asked.
    pub realignments: Arc<Realignments>,
    /// Where to note what is forgiven, when somebody asks.
    pub ledger: Option<Ledger>,
}

impl<'a> Deref for Comparer<'a> {
    type Target = Pair<'a>;

    fn deref(&self) -> &Self::Target {
        &self.pair
    }
}

/// Where differences go: nowhere (the first one ends the comparison), or into a list.
pub(in crate::diff) struct Sink<'s>(pub Option<&'s mut Vec<Reason>>);

impl Sink<'_> {
    /// Notes a difference; true when the comparison may stop.
    pub fn note(&mut self, reason: impl FnOnce() -> Reason) -> bool {
        match &mut self.0 {
            Some(reasons) => {
                reasons.push(reason());
                false
            }
            None => true,
        }
    }
}

/// Two entities, or two pieces, that are compared.
#[derive(Clone, Copy, Debug)]
pub(in crate::diff) struct Spans {
    pub o: SectionId<Orig>,
    pub o_start: u64,
    pub o_end: u64,
    pub p: SectionId<Patched>,
    pub p_start: u64,
    pub p_end: u64,
}

impl Spans {
    /// All of two entities.
    pub fn of(o: &Entity<Orig>, p: &Entity<Patched>) -> Self {
        Spans {
            o: o.section,
            o_start: o.start,
            o_end: o.end,
            p: p.section,
            p_start: p.start,
            p_end: p.end,
        }
    }
}

impl<'a> Comparer<'a> {
    /// Compares every entity of the patched object with its twin. Also returns the live state
    /// that is used, and that may have changed.
    pub fn run(&self) -> Result<(Verdicts, Uses)> {
        let object = self.patched.layout.object;
        let sections: Vec<SectionId<Patched>> = object
            .sections()
            .filter(|&s| {
                matches!(
                    self.patched.layout.class(s),
                    Class::Text | Class::Data | Class::Strings | Class::Group
                )
            })
            .collect();
        // The first error counts, on any number of threads.
        let compared: Vec<Result<Compared>> = sections
            .into_par_iter()
            .with_min_len(64)
            .map(|section| {
                let mut open = OpenQuestions::new();
                let verdicts = self.section(section, &mut open)?;
                Ok(Compared { section, verdicts, uses: open.uses })
            })
            .filter(|found: &Result<Compared>| found.as_ref().map_or(true, Compared::tells))
            .collect();
        let (mut found, mut uses) = (Vec::new(), Vec::new());
        for compared in compared {
            let Compared { section, verdicts, uses: more } = compared?;
            found.push((section, verdicts));
            uses.extend(more);
        }
        Ok((Verdicts::new(object.section_count(), found), Uses::new(uses)))
    }

    /// One verdict for each entity of a section.
    fn section(&self, p: SectionId<Patched>, open: &mut OpenQuestions) -> Result<Vec<Verdict>> {
        let layout = self.patched.layout;
        let Some(o) = self.twins.orig_section(p) else {
            let moved = |i| Ok(self.moved(p, i, open)?.unwrap_or(Verdict::NEW));
            return match layout.entity_count(p) {
                0 => Ok(vec![Verdict::NEW]),
                count => (0..count).map(moved).collect(),
            };
        };
        if matches!(layout.class(p), Class::Group) {
            return Ok(vec![Verdict::SAME]);
        }
        (0..layout.entity_count(p)).map(|i| self.entity(o, p, i, open)).collect()
    }

    fn entity(
        &self,
        o: SectionId<Orig>,
        p: SectionId<Patched>,
        index: usize,
        open: &mut OpenQuestions,
    ) -> Result<Verdict> {
        let patched = self.patched.layout.entity(p, index);
        let Some(orig) = self.twin_entity(o, &patched) else {
            if let Some(verdict) = self.moved(p, index, open)? {
                return Ok(verdict);
            }
            let layout = self.patched.layout;
            let padding = patched.symbol.is_none()
                && layout.class(p) == Class::Text
                && layout.is_padding(&patched);
            return Ok(if padding { Verdict::SAME } else { Verdict::NEW });
        };
        let verdict = self.entities(&orig, &patched, &mut Sink(None), open)?;
        let registers = !verdict.is_same() && self.only_register(&orig, &patched);
        Ok(if registers { Verdict::SAME } else { verdict })
    }

    /// The same comparison, with nothing answered yet.
    pub fn asking(&self) -> Self {
        Comparer {
            shifted: Arc::clone(&self.shifted),
            realignments: Arc::clone(&self.realignments),
            answers: Answers::default(),
            ledger: None,
            ..*self
        }
    }

    /// What the comparison of an entity with its twin forgives.
    pub(in crate::diff) fn forgiven(&self, patched: &Entity<Patched>) -> Result<Vec<Forgiven>> {
        let twin = patched.symbol.and_then(|symbol| self.twins.orig_symbol(symbol));
        let home = twin.and_then(|twin| self.orig.layout.object.section_of(twin));
        let home = home.or_else(|| self.twins.orig_section(patched.section));
        let Some(orig) = home.and_then(|o| self.twin_entity(o, patched)) else {
            return Ok(Vec::new());
        };
        let asked = Comparer { ledger: Some(Ledger::default()), ..self.asking() };
        if !asked.entities(&orig, patched, &mut Sink(None), &mut OpenQuestions::new())?.is_same() {
            return Ok(self.registration(&orig, patched));
        }
        Ok(asked.ledger.map(Ledger::into_entries).unwrap_or_default())
    }

    /// The verdict on a function whose twin is in another section, when it is a matter of hot and cold
    /// which of these it is in; or on a variable that became constant and is equal.
    fn moved(
        &self,
        p: SectionId<Patched>,
        index: usize,
        open: &mut OpenQuestions,
    ) -> Result<Option<Verdict>> {
        if !self.policy.proves_noise {
            return Ok(None);
        }
        match self.patched.layout.class(p) {
            Class::Text => {}
            Class::Data => return self.became_constant(p, index, open),
            _ => return Ok(None),
        }
        let patched = self.patched.layout.entity(p, index);
        let orig = self.orig.layout.object;
        let twin = patched.symbol.and_then(|s| self.twins.orig_symbol(s));
        let Some(o) = twin.and_then(|twin| orig.section_of(twin)) else { return Ok(None) };
        let names = (orig.section_name(o), self.patched.layout.object.section_name(p));
        let name = patched.symbol.map_or("", |s| self.patched.layout.object.symbol_name(s));
        if !names::differ_in_hot_cold(name, [names.0, names.1]) {
            return Ok(None);
        }
        let Some(orig) = self.twin_entity(o, &patched) else { return Ok(None) };
        self.entities(&orig, &patched, &mut Sink(None), open).map(Some)
    }

    /// The entity of original section `o` that corresponds to `patched`.
    pub fn twin_entity(
        &self,
        o: SectionId<Orig>,
        patched: &Entity<Patched>,
    ) -> Option<Entity<Orig>> {
        let layout = self.orig.layout;
        let index = match patched.symbol {
            // Where the first thing has its place from the start, nothing is in front of it.
            None if layout.entity_count(o) > 1 && layout.entity(o, 0).symbol.is_some() => {
                return None;
            }
            None => 0,
            Some(symbol) => {
                let twin = self.twins.orig_symbol(symbol);
                match twin {
                    Some(twin) => {
                        if layout.object.section_of(twin) != Some(o) {
                            return None;
                        }
                        layout.entity_at(o, layout.object.symbol_value(twin))?
                    }
                    // The section pair stands for a variable that has no twin of its own. Where
                    // the only one has another twin, this one is new beside it.
                    None if layout.entity_count(o) == 1
                        && !self.patched.layout.is_special_static(symbol)
                        && self.may_stand_for(layout.entity(o, 0).symbol, symbol) =>
                    {
                        0
                    }
                    None => return None,
                }
            }
        };
        (index < layout.entity_count(o)).then(|| layout.entity(o, index))
    }

    /// Whether the only thing of an original section may be `p`, although they are no twins.
    fn may_stand_for(&self, o: Option<SymbolId<Orig>>, p: SymbolId<Patched>) -> bool {
        let replaced = self.twins.replaced.was(p).is_some();
        !replaced && o.is_none_or(|o| self.policy.pairs_by_order || self.same_symbol(o, p))
    }

    /// Everything that differs between two entities; `sink` learns the reasons.
    pub(in crate::diff) fn entities(
        &self,
        o: &Entity<Orig>,
        p: &Entity<Patched>,
        sink: &mut Sink<'_>,
        open: &mut OpenQuestions,
    ) -> Result<Verdict> {
        let mut spans = Spans::of(o, p);
        let mut verdict = Verdict::SAME;
        let bodies = self.bodies(o, p);
        if let Some(bodies) = bodies {
            spans = bodies.spans;
            let field = Field {
                o: (o.section, o.start),
                p: (p.section, p.start),
                width: (spans.o_start - o.start).max(spans.p_start - p.start),
            };
            self.forgive_bytes(proofs::ENTRY, field, || "how the function begins".into());
            if let Some(types) = bodies.types {
                verdict |= Verdict::BYTES;
                sink.note(|| types);
            }
        }
        self.trim(&mut spans);
        if verdict.is_same()
            && self.code_differs(&spans)
            && self.same_but_for_padding(o, p, open)?
        {
            return Ok(verdict);
        }
        // The bytes tell more than the relocations, but to judge them these must be known.
        let mut about_relocs = sink.0.is_some().then(Vec::new);
        if !self.relocs(&spans, &mut Sink(about_relocs.as_mut()), open)? {
            verdict |= Verdict::RELOCS;
        }
        if !self.bytes(&spans, verdict.is_same(), sink, open)? {
            verdict |= Verdict::BYTES;
        }
        if let (Some(reasons), Some(more)) = (&mut sink.0, about_relocs) {
            reasons.extend(more);
        }
        if !self.rows(&spans, sink, open)? {
            verdict |= Verdict::ROWS;
        }
        Ok(verdict)
    }

    /// Whether the bytes of two stretches of code differ.
    pub(super) fn code_differs(&self, spans: &Spans) -> bool {
        let (o, p) = (self.orig.layout.object, self.patched.layout.object);
        let a = o.contents(spans.o).get(spans.o_start as usize..spans.o_end as usize);
        let b = p.contents(spans.p).get(spans.p_start as usize..spans.p_end as usize);
        p.is_text(spans.p) && a != b
    }

    fn bytes(
        &self,
        spans: &Spans,
        relocs_same: bool,
        sink: &mut Sink<'_>,
        open: &mut OpenQuestions,
    ) -> Result<bool> {
        let (o, p) = (self.orig.layout.object, self.patched.layout.object);
        let is_text = p.is_text(spans.p);
        let (o_size, p_size) = (spans.o_end - spans.o_start, spans.p_end - spans.p_start);
        let o_empty = o.section_kind(spans.o) == abi::SHT_NOBITS;
        let p_empty = p.section_kind(spans.p) == abi::SHT_NOBITS;
        let equal_kind = o_empty == p_empty;
        if o_empty && p_empty && o_size == p_size {
            return Ok(true);
        }
        let (o_data, p_data) = (o.contents(spans.o), p.contents(spans.p));
        let a = o_data.get(spans.o_start as usize..spans.o_end as usize).unwrap_or(&[]);
        let b = p_data.get(spans.p_start as usize..spans.p_end as usize).unwrap_or(&[]);
        if o_size == p_size && equal_kind && a == b {
            let elsewhere = is_text.then(|| self.leads_elsewhere(spans, open)).flatten();
            let same = elsewhere.is_none();
            if let Some(reason) = elsewhere {
                sink.note(|| reason);
            }
            return Ok(same);
        }
        if is_text
            && o_size == p_size
            && relocs_same
            && equal_kind
            && self.only_lines_differ(spans, a, b, open)?
        {
            return Ok(true);
        }
        if !is_text && equal_kind && self.only_build_versions_differ(spans, a, b) {
            let field = Field {
                o: (spans.o, spans.o_start),
                p: (spans.p, spans.p_start),
                width: o_size.max(p_size),
            };
            self.forgive_bytes(proofs::BUILD_VERSION, field, || "names of one release".into());
            return Ok(true);
        }
        let first = a.iter().zip(b).position(|(x, y)| x != y);
        if let Some(first) = first {
            sink.note(|| self.difference(spans, is_text, a, b, first));
        }
        if o_size != p_size {
            sink.note(|| Reason {
                kind: ReasonKind::Size(Sides::new(o_size, p_size)),
                offset: first.map(|f| f as i64),
            });
        }
        Ok(false)
    }

    /// Compares the relocations of two spans in order of place.
    pub(in crate::diff) fn relocs(
        &self,
        spans: &Spans,
        sink: &mut Sink<'_>,
        open: &mut OpenQuestions,
    ) -> Result<bool> {
        let o_refs = Refs::new(self.orig.layout, spans.o);
        let p_refs = Refs::new(self.patched.layout, spans.p);
        let o_all = self.orig.layout.object.relocs(spans.o);
        let p_all = self.patched.layout.object.relocs(spans.p);
        if o_all.is_empty() && p_all.is_empty() {
            return Ok(true);
        }
        let mut o_relocs = o_all.within(spans.o_start, spans.o_end);
        let mut p_relocs = p_all.within(spans.p_start, spans.p_end);
        let (mut same, mut by_content) = (true, false);
        loop {
            let (o, p) = match (o_relocs.next(), p_relocs.next()) {
                (None, None) if same && by_content => {
                    let torn = self.torn_apart(spans);
                    if let Some((o, p)) = &torn {
                        sink.note(|| self.other_reference(&o_refs, o, &p_refs, p, spans));
                    }
                    return Ok(torn.is_none());
                }
                (None, None) => return Ok(same),
                (Some(o), Some(p)) => (o, p),
                (o, p) => {
                    let at = |offset: u64, start: u64| offset.wrapping_sub(start) as i64;
                    let offset = o.map(|o| at(o.offset, spans.o_start));
                    let offset = offset.or(p.map(|p| at(p.offset, spans.p_start)));
                    sink.note(|| {
                        let before = o.map(|r| Reference::plain(self.meant_orig(&o_refs, &r)));
                        let after = p.map(|r| Reference::plain(self.meant_patched(&p_refs, &r)));
                        Reason { kind: ReasonKind::Relocation(Sides { before, after }), offset }
                    });
                    return Ok(false);
                }
            };
            let aligned = o.offset - spans.o_start == p.offset - spans.p_start;
            let placed = aligned && self.same_kind(&o, &p);
            if placed && self.same_reference(&o_refs, &o, &p_refs, &p, open)? {
                self.forgive_reference(&o_refs, &o, &p_refs, &p);
                by_content |= o.addend != p.addend || !self.twins.are_twins(o.symbol, p.symbol);
                continue;
            }
            same = false;
            let stop = sink.note(|| self.other_reference(&o_refs, &o, &p_refs, &p, spans));
            // Behind a shifted relocation everything differs: one reason is enough.
            if stop || !aligned {
                return Ok(false);
            }
        }
    }

    fn other_reference(
        &self,
        o_refs: &Refs<'a, Orig>,
        o: &Reloc<Orig>,
        p_refs: &Refs<'a, Patched>,
        p: &Reloc<Patched>,
        spans: &Spans,
    ) -> Reason {
        let aligned = o.offset - spans.o_start == p.offset - spans.p_start;
        let placed = aligned && self.same_kind(o, p);
        if placed && let Some(reason) = self.other_constant(o_refs, o, p_refs, p, spans) {
            return reason;
        }
        if placed && let Some(kind) = self.other_row((o_refs, o), (p_refs, p)) {
            return Reason::at((p.offset - spans.p_start) as i64, kind);
        }
        let mut before = Reference::plain(self.meant_orig(o_refs, o));
        let mut after = Reference::plain(self.meant_patched(p_refs, p));
        let strings = matches!((&before.meant, &after.meant), (Meant::String(_), Meant::String(_)));
        // Of content, the names of two equal sections say nothing.
        let content = before.meant == after.meant;
        if !aligned {
            let (o_start, p_start) = self.starts(spans);
            before.at = Some(o.offset.wrapping_sub(o_start) as i64);
            after.at = Some(p.offset.wrapping_sub(p_start) as i64);
        } else if content && let Some(apart) = self.contents_apart((o_refs, o), (p_refs, p)) {
            (before.content, after.content) = (Some(apart.before), Some(apart.after));
        } else if content {
            after.twin = self.other_twin(p_refs, p);
        }
        if o.kind != p.kind {
            let arch = self.patched.layout.arch;
            let name = |kind| Some(arch.reloc(kind).map_or("unknown type", |t| t.name));
            (before.relocation, after.relocation) = (name(o.kind), name(p.kind));
        }
        let kind = match (strings && placed, content && placed) {
            (true, _) => ReasonKind::String(Sides::new(before, after)),
            (_, true) => ReasonKind::Constant(Sides::new(before, after)),
            _ if aligned && self.is_promoted(o_refs, o, p_refs, p) => {
                ReasonKind::Promoted(Sides::new(before, after))
            }
            _ => ReasonKind::Relocation(Sides::new(Some(before), Some(after))),
        };
        Reason::at((p.offset - spans.p_start) as i64, kind)
    }

    /// Whether two relocations have the same type, or types that do the same, one of them for
    /// what only its file can see, the other for what all can.
    #[inline]
    pub(super) fn same_kind(&self, o: &Reloc<Orig>, p: &Reloc<Patched>) -> bool {
        let is_local = || {
            let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
            (
                orig.symbol_bind(o.symbol) == abi::STB_LOCAL,
                patched.symbol_bind(p.symbol) == abi::STB_LOCAL,
            )
        };
        o.kind == p.kind
            || self.policy.proves_noise
                && same_reloc(self.patched.layout.arch, o.kind, p.kind)
                && matches!(is_local(), (true, false) | (false, true))
    }

    /// Whether two references lead to the same place of one thing, but for its promotion.
    fn is_promoted(
        &self,
        o_refs: &Refs<'a, Orig>,
        o: &Reloc<Orig>,
        p_refs: &Refs<'a, Patched>,
        p: &Reloc<Patched>,
    ) -> bool {
        let (Ok(a), Ok(b)) = (o_refs.resolve(o), p_refs.resolve(p)) else { return false };
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        self.same_kind(o, p)
            && a.addend == b.addend
            && is_promotion(orig.symbol_name(a.symbol), patched.symbol_name(b.symbol))
    }

    fn meant_orig(&self, refs: &Refs<'a, Orig>, reloc: &Reloc<Orig>) -> Meant {
        meaning(self.orig.layout, refs, reloc)
    }

    fn meant_patched(&self, refs: &Refs<'a, Patched>, reloc: &Reloc<Patched>) -> Meant {
        meaning(self.patched.layout, refs, reloc)
    }
}

/// Up to eight bytes from `at`, as hex.
pub(in crate::diff) fn hex(bytes: &[u8], at: usize) -> String {
    words::hex(&eight(bytes, at))
}
