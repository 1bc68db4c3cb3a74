//! Compares the rows of the kernel's tables that describe two entities, and those that code
//! refers to.

#![expect(clippy::indexing_slicing, reason = "rows have the number of their table")]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows are within tables and fields within rows, all below 4 GiB"
)]

use super::comparer::{Comparer, Sink, Spans};
use super::forgiven::{Field, proofs};
use super::meaning::{describe, meaning};
use super::questions::{OpenQuestions, Question, QuestionKind};
use crate::diag::Result;
use crate::diff::reason::{Reason, ReasonKind, RowChange, Sides};
use crate::elf::ids::{Orig, Patched, SectionId, SymbolId};
use crate::elf::object::{Home, Reloc};
use crate::kernel::layout::Class;
use crate::kernel::refs::Refs;
use crate::kernel::rows::TableRows;

/// Where two rows differ.
enum Differ<'r> {
    /// They are of different tables or sizes, or the first byte that differs.
    At(Option<u64>),
    /// These references; one of them may be missing.
    References(Option<&'r Reloc<Orig>>, Option<&'r Reloc<Patched>>),
}

/// Two rows of one kind of table.
struct RowPair<'c> {
    spans: Spans,
    o_table: &'c TableRows<Orig>,
    p_table: &'c TableRows<Patched>,
}

impl RowPair<'_> {
    fn is_noise(&self, at: u64) -> bool {
        self.o_table.is_noise(at) && self.p_table.is_noise(at)
    }

    fn o_at(&self, reloc: &Reloc<Orig>) -> u64 {
        reloc.offset - self.spans.o_start
    }

    fn p_at(&self, reloc: &Reloc<Patched>) -> u64 {
        reloc.offset - self.spans.p_start
    }
}

impl Comparer<'_> {
    /// Compares the rows of the kernel's tables that describe two spans of code.
    pub(in crate::diff) fn rows(
        &self,
        spans: &Spans,
        sink: &mut Sink<'_>,
        open: &mut OpenQuestions,
    ) -> Result<bool> {
        let same_place = |o: u64, p: u64| o - spans.o_start == p - spans.p_start;
        self.rows_where(spans, &same_place, sink, open)
    }

    /// [`Comparer::rows`] of code in which `same_place` tells which places are the same.
    pub(super) fn rows_where(
        &self,
        spans: &Spans,
        same_place: &dyn Fn(u64, u64) -> bool,
        sink: &mut Sink<'_>,
        open: &mut OpenQuestions,
    ) -> Result<bool> {
        let o_rows = self.orig.rows.of(spans.o, spans.o_start, spans.o_end.max(spans.o_start + 1));
        let p_rows =
            self.patched.rows.of(spans.p, spans.p_start, spans.p_end.max(spans.p_start + 1));
        let mut o_rows =
            o_rows.iter().filter(|r| self.orig.rows.tables[r.table as usize].table.verdict);
        let mut p_rows =
            p_rows.iter().filter(|r| self.patched.rows.tables[r.table as usize].table.verdict);
        let mut same = true;
        loop {
            let (o, p) = (o_rows.next(), p_rows.next());
            let (Some(o), Some(p)) = (o, p) else {
                if o.is_none() && p.is_none() {
                    return Ok(same);
                }
                let table = o
                    .map(|r| self.orig.rows.tables[r.table as usize].table)
                    .or(p.map(|r| self.patched.rows.tables[r.table as usize].table));
                let at = |at: u64, start: u64| at.wrapping_sub(start) as i64;
                let offset = o.map(|r| at(r.at(), spans.o_start));
                let offset = offset.or(p.map(|r| at(r.at(), spans.p_start)));
                let table = table.map_or("", |t| t.section);
                let change = RowChange::Alone { after: p.is_some() };
                sink.note(|| Reason { kind: ReasonKind::Row { table, change }, offset });
                return Ok(false);
            };
            let pair = self.pair((o.table, o.row), (p.table, p.row));
            let placed = pair.o_table.table.section == pair.p_table.table.section
                && same_place(o.at(), p.at());
            // That the code field points to the same place is why the rows are compared.
            if placed && self.row(&pair, Some(pair.p_table.table.code), open)? {
                let Spans { o: o_table, o_start, p: p_table, p_start, p_end, .. } = pair.spans;
                if o_start != p_start {
                    let (o, width) = ((o_table, o_start), p_end - p_start);
                    let field = Field { o, p: (p_table, p_start), width };
                    self.forgive_bytes(proofs::ROW_PLACE, field, || {
                        format!("of code at {:#x}", p.at()).into()
                    });
                }
                continue;
            }
            same = false;
            let reason = || {
                let (o_start, p_start) = self.starts(spans);
                let shown = (o.at().wrapping_sub(o_start), p.at().wrapping_sub(p_start));
                let kind = self.differing(&pair, (shown.0 as i64, shown.1 as i64));
                Reason::at(p.at().wrapping_sub(spans.p_start) as i64, kind)
            };
            if sink.note(reason) {
                return Ok(false);
            }
        }
    }

    fn pair(&self, o: (u32, u32), p: (u32, u32)) -> RowPair<'_> {
        let o_table = &self.orig.rows.tables[o.0 as usize];
        let p_table = &self.patched.rows.tables[p.0 as usize];
        let o_size = self.orig.layout.object.section_size(o_table.section);
        let p_size = self.patched.layout.object.section_size(p_table.section);
        let (o_start, o_end) = o_table.span(o.1 as usize, o_size);
        let (p_start, p_end) = p_table.span(p.1 as usize, p_size);
        let spans =
            Spans { o: o_table.section, o_start, o_end, p: p_table.section, p_start, p_end };
        RowPair { spans, o_table, p_table }
    }

    /// What differs between two rows, at these places of what they describe: the field by its
    /// name, with its values.
    fn differing(&self, pair: &RowPair<'_>, places: (i64, i64)) -> ReasonKind {
        let table = pair.p_table.table;
        let tables = (pair.o_table.table.section, table.section);
        let change = if tables.0 != tables.1 {
            RowChange::Tables(Sides::new(tables.0, tables.1))
        } else if places.0 != places.1 {
            RowChange::Places(Sides::new(places.0, places.1))
        } else {
            self.change(pair)
        };
        ReasonKind::Row { table: table.section, change }
    }

    /// What differs first between two rows of one table.
    fn change(&self, pair: &RowPair<'_>) -> RowChange {
        let code = Some(pair.p_table.table.code);
        let found = self.first_difference(pair, code, &mut OpenQuestions::new(), |differ| {
            let at = match differ {
                Differ::At(at) => at,
                Differ::References(o, p) => p.map(|p| pair.p_at(p)).or(o.map(|o| pair.o_at(o))),
            };
            let field = at.and_then(|at| pair.p_table.field(at));
            let name = field.map_or("row", |f| f.name);
            match differ {
                Differ::References(o, p) => {
                    let o_refs = Refs::new(self.orig.layout, pair.spans.o);
                    let p_refs = Refs::new(self.patched.layout, pair.spans.p);
                    let before = o.map(|o| meaning(self.orig.layout, &o_refs, o));
                    let after = p.map(|p| meaning(self.patched.layout, &p_refs, p));
                    let content = || self.contents_apart((&o_refs, o?), (&p_refs, p?));
                    let content = (before == after).then(content).flatten();
                    let meant = Sides { before, after };
                    RowChange::Reference { field: name, meant, content }
                }
                Differ::At(_) => {
                    let (from, bytes) = field.map_or((at.unwrap_or(0), 1), |f| (f.at, f.bytes));
                    let (o, p) = (self.orig.layout.object, self.patched.layout.object);
                    let o_big = matches!(o.endian(), object::Endianness::Big);
                    let of = |data: &[u8], start: u64| number(data, start + from, bytes, o_big);
                    let values = Sides {
                        before: of(o.contents(pair.spans.o), pair.spans.o_start),
                        after: of(p.contents(pair.spans.p), pair.spans.p_start),
                    };
                    RowChange::Number { field: name, values }
                }
            }
        });
        found.ok().flatten().unwrap_or(RowChange::Unknown)
    }

    /// The fields in which two rows, by table and number, differ, with how the original and the
    /// patched object have them; without noise and without the code that they describe. Empty
    /// where they mean the same.
    pub fn fields_apart(
        &self,
        o: (u32, u32),
        p: (u32, u32),
    ) -> Vec<(&'static str, String, String)> {
        let pair = self.pair(o, p);
        let code = pair.p_table.table.code;
        if pair.o_table.table.section != pair.p_table.table.section
            || matches!(self.row(&pair, Some(code), &mut OpenQuestions::new()), Ok(true))
        {
            return Vec::new();
        }
        let fields = pair.p_table.fields().iter();
        let fields = fields.filter(|f| f.at != code && !pair.is_noise(f.at));
        let mut found: Vec<_> = fields.filter_map(|f| self.field_apart(&pair, f.at)).collect();
        if found.is_empty() {
            let sides = Reason::of_all(self.differing(&pair, (0, 0))).sides();
            found.push(("row", sides.before, sides.after));
        }
        found
    }

    /// How the field at byte `at` differs; `None` when it does not.
    fn field_apart(&self, pair: &RowPair<'_>, at: u64) -> Option<(&'static str, String, String)> {
        let field = pair.p_table.field(at)?;
        let row = &pair.spans;
        let (orig, patched) = (self.orig.layout, self.patched.layout);
        let place = |start: u64| (start + field.at, start + field.at + field.bytes);
        let (o_place, p_place) = (place(row.o_start), place(row.p_start));
        let o = orig.object.relocs(row.o).within(o_place.0, o_place.1).next();
        let p = patched.object.relocs(row.p).within(p_place.0, p_place.1).next();
        let big = matches!(orig.object.endian(), object::Endianness::Big);
        let number = |data, at| format!("{:#x}", number(data, at, field.bytes, big));
        let before = match &o {
            Some(o) => describe(orig, &Refs::new(orig, row.o), o),
            None => number(orig.object.contents(row.o), o_place.0),
        };
        let after = match &p {
            Some(p) => describe(patched, &Refs::new(patched, row.p), p),
            None => number(patched.object.contents(row.p), p_place.0),
        };
        let apart = match (&o, &p) {
            (Some(o), Some(p)) => self.references_apart((row.o, o), (row.p, p))?,
            _ if before == after => return None,
            _ => String::new(),
        };
        let after = if before == after { format!("{after} ({apart})") } else { after };
        Some((field.name, before, after))
    }

    /// Whether two rows of one table are equal but for the fields that are noise.
    /// `code` is the field that need not be compared.
    fn row(&self, pair: &RowPair<'_>, code: Option<u64>, open: &mut OpenQuestions) -> Result<bool> {
        Ok(self.first_difference(pair, code, open, |_| ())?.is_none())
    }

    /// What `tell` makes of the first difference between two rows.
    fn first_difference<T>(
        &self,
        pair: &RowPair<'_>,
        code: Option<u64>,
        open: &mut OpenQuestions,
        tell: impl Fn(Differ<'_>) -> T,
    ) -> Result<Option<T>> {
        let row = &pair.spans;
        let size = row.p_end - row.p_start;
        if size != row.o_end - row.o_start {
            return Ok(Some(tell(Differ::At(None))));
        }
        let a = self.orig.layout.object.contents(row.o);
        let b = self.patched.layout.object.contents(row.p);
        let a = a.get(row.o_start as usize..row.o_end as usize);
        let b = b.get(row.p_start as usize..row.p_end as usize);
        let (Some(a), Some(b)) = (a, b) else { return Ok(Some(tell(Differ::At(None)))) };
        let differs = |(at, (x, y)): (usize, (&u8, &u8))| x != y && !pair.is_noise(at as u64);
        if let Some(at) = a.iter().zip(b).enumerate().position(differs) {
            return Ok(Some(tell(Differ::At(Some(at as u64)))));
        }
        if !self.same_noise_places(pair) {
            return Ok(Some(tell(Differ::At(None))));
        }
        self.forgive_row_noise(pair);
        let o_refs = Refs::new(self.orig.layout, row.o);
        let p_refs = Refs::new(self.patched.layout, row.p);
        let o_relocs = self.orig.layout.object.relocs(row.o).within(row.o_start, row.o_end);
        let p_relocs = self.patched.layout.object.relocs(row.p).within(row.p_start, row.p_end);
        let mut o_relocs = o_relocs.filter(|r| !pair.is_noise(pair.o_at(r)));
        let mut p_relocs = p_relocs.filter(|r| !pair.is_noise(pair.p_at(r)));
        loop {
            let (o, p) = (o_relocs.next(), p_relocs.next());
            let (Some(o), Some(p)) = (&o, &p) else {
                let both = o.is_none() && p.is_none();
                return Ok((!both).then(|| tell(Differ::References(o.as_ref(), p.as_ref()))));
            };
            let at = pair.p_at(p);
            let same = if pair.o_at(o) != at || o.kind != p.kind {
                false
            } else if Some(at) == code {
                true
            } else {
                match pair.p_table.replacement().filter(|r| r.field == at) {
                    Some(field) => {
                        let length = b.get(field.length as usize).copied().unwrap_or(0);
                        self.same_replacement((&o_refs, o), (&p_refs, p), length.into(), open)?
                    }
                    None => self.same_reference(&o_refs, o, &p_refs, p, open)?,
                }
            };
            if !same {
                return Ok(Some(tell(Differ::References(Some(o), Some(p)))));
            }
            if Some(at) != code {
                self.forgive_reference(&o_refs, o, &p_refs, p);
            }
        }
    }

    /// Whether the fields that are noise hold references of the same types at the same places:
    /// what these lead to is for people, that they are there is not.
    fn same_noise_places(&self, pair: &RowPair<'_>) -> bool {
        let row = &pair.spans;
        let o = self.orig.layout.object.relocs(row.o).within(row.o_start, row.o_end);
        let p = self.patched.layout.object.relocs(row.p).within(row.p_start, row.p_end);
        let o = o.map(|r| (pair.o_at(&r), r.kind)).filter(|&(at, _)| pair.is_noise(at));
        let p = p.map(|r| (pair.p_at(&r), r.kind)).filter(|&(at, _)| pair.is_noise(at));
        o.eq(p)
    }

    /// Notes the fields of a row that differ and are noise, by what is in them or by what
    /// they refer to.
    fn forgive_row_noise(&self, pair: &RowPair<'_>) {
        if self.ledger.is_none() {
            return;
        }
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        let row = &pair.spans;
        for field in pair.p_table.fields().iter().filter(|field| pair.is_noise(field.at)) {
            let place = |start: u64| (start + field.at, start + field.at + field.bytes);
            let (o, p) = (place(row.o_start), place(row.p_start));
            let bytes = |data: &[u8], (start, end): (u64, u64)| {
                data.get(start as usize..end as usize).map(<[u8]>::to_vec)
            };
            let targets = (
                orig.relocs(row.o).within(o.0, o.1).map(|r| (orig.symbol_name(r.symbol), r.addend)),
                patched
                    .relocs(row.p)
                    .within(p.0, p.1)
                    .map(|r| (patched.symbol_name(r.symbol), r.addend)),
            );
            let same = bytes(orig.contents(row.o), o) == bytes(patched.contents(row.p), p)
                && targets.0.eq(targets.1);
            if !same {
                let place = Field { o: (row.o, o.0), p: (row.p, p.0), width: p.1 - p.0 };
                self.forgive_bytes(proofs::ROW_NOISE, place, || {
                    format!("{} of a row of {} bytes", field.name, row.p_end - row.p_start).into()
                });
            }
        }
    }

    /// Whether two rows, by table and number, are equal, the code field included.
    pub(in crate::diff) fn whole_row(&self, o: (u32, u32), p: (u32, u32)) -> Result<bool> {
        let pair = self.pair(o, p);
        Ok(pair.o_table.table.section == pair.p_table.table.section
            && self.row(&pair, None, &mut OpenQuestions::new())?)
    }

    /// Whether a symbol leads into a table, where what an offset means depends on the rows.
    pub(super) fn is_in_table(&self, id: SymbolId<Patched>) -> bool {
        let layout = self.patched.layout;
        let home = layout.object.section_of(id);
        home.is_some_and(|section| matches!(layout.class(section), Class::Table(_)))
    }

    /// Whether two references into tables lead to the same place of rows that say the same of
    /// the same code; `None` where one of them is not to a row.
    pub(super) fn same_row(
        &self,
        (o_refs, o): (&Refs<'_, Orig>, &Reloc<Orig>),
        (p_refs, p): (&Refs<'_, Patched>, &Reloc<Patched>),
        open: &mut OpenQuestions,
    ) -> Result<Option<bool>> {
        let (Some((o, o_at)), Some((p, p_at))) = (o_refs.place(o)?, p_refs.place(p)?) else {
            return Ok(None);
        };
        let (orig, patched) = (&self.orig.rows, &self.patched.rows);
        let (Some(o_number), Some(p_number)) = (orig.number_of(o), patched.number_of(p)) else {
            return Ok(None);
        };
        let o_row = orig.row_at(self.orig.layout, o_number, o_at);
        let p_row = patched.row_at(self.patched.layout, p_number, p_at);
        let (Some(o_row), Some(p_row)) = (o_row, p_row) else { return Ok(None) };
        let pair = self.pair((o_number, o_row), (p_number, p_row));
        if pair.p_table.table.row.is_by_exception_table() {
            return Ok(None);
        }
        let (o_start, p_start) = (pair.spans.o_start, pair.spans.p_start);
        if pair.o_table.table.section != pair.p_table.table.section
            || o_at - o_start != p_at - p_start
        {
            return Ok(Some(false));
        }
        let (o, p) = ((o, o_start as i64), (p, p_start as i64));
        self.ask(Question { o, p, kind: QuestionKind::Row }, open).map(Some)
    }

    /// Whether the rows that begin at two places in tables are equal, the code field included.
    pub(in crate::diff) fn row_at(
        &self,
        (o, o_at): (SectionId<Orig>, i64),
        (p, p_at): (SectionId<Patched>, i64),
        open: &mut OpenQuestions,
    ) -> Result<bool> {
        let (orig, patched) = (&self.orig.rows, &self.patched.rows);
        let (o_at, p_at) = (o_at.cast_unsigned(), p_at.cast_unsigned());
        let o = orig.number_of(o).and_then(|t| Some((t, orig.row_at(self.orig.layout, t, o_at)?)));
        let p = patched
            .number_of(p)
            .and_then(|t| Some((t, patched.row_at(self.patched.layout, t, p_at)?)));
        let Some((o, p)) = o.zip(p) else { return Ok(false) };
        self.row(&self.pair(o, p), None, open)
    }

    /// How the rows differ that two references lead to.
    pub(super) fn other_row(
        &self,
        (o_refs, o): (&Refs<'_, Orig>, &Reloc<Orig>),
        (p_refs, p): (&Refs<'_, Patched>, &Reloc<Patched>),
    ) -> Option<ReasonKind> {
        let (orig, patched) = (&self.orig.rows, &self.patched.rows);
        let (o, p) = (o_refs.place(o).ok()??, p_refs.place(p).ok()??);
        let (o_table, p_table) = (orig.number_of(o.0)?, patched.number_of(p.0)?);
        let o_row = orig.row_at(self.orig.layout, o_table, o.1)?;
        let p_row = patched.row_at(self.patched.layout, p_table, p.1)?;
        Some(self.differing(&self.pair((o_table, o_row), (p_table, p_row)), (0, 0)))
    }

    /// Whether two fields lead to equal code of that length.
    fn same_replacement(
        &self,
        (o_refs, o): (&Refs<'_, Orig>, &Reloc<Orig>),
        (p_refs, p): (&Refs<'_, Patched>, &Reloc<Patched>),
        length: u64,
        open: &mut OpenQuestions,
    ) -> Result<bool> {
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        let (Home::Section(o_section), Home::Section(p_section)) =
            (orig.home(o.symbol), patched.home(p.symbol))
        else {
            return self.same_reference(o_refs, o, p_refs, p, open);
        };
        let start = |value: u64, offset: i64| u64::try_from(offset.wrapping_add(value as i64)).ok();
        let o_start = start(orig.symbol_value(o.symbol), o_refs.target_offset(o)?);
        let p_start = start(patched.symbol_value(p.symbol), p_refs.target_offset(p)?);
        let (Some(o_start), Some(p_start)) = (o_start, p_start) else { return Ok(false) };
        let nameless =
            self.orig.layout.is_nameless(o_section) && self.patched.layout.is_nameless(p_section);
        if !nameless {
            return self.same_reference(o_refs, o, p_refs, p, open);
        }
        let (o, p) = ((o_section, o_start as i64), (p_section, p_start as i64));
        self.ask(Question { o, p, kind: QuestionKind::Code(length) }, open)
    }
}

/// A field as a number.
fn number(data: &[u8], at: u64, bytes: u64, big_endian: bool) -> u64 {
    let bytes = data.get(at as usize..at.saturating_add(bytes) as usize).unwrap_or(&[]);
    let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    match big_endian {
        true => bytes.iter().take(8).fold(0, fold),
        false => bytes.iter().take(8).rev().fold(0, fold),
    }
}
