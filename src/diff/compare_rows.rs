//! Compares the rows of the kernel's tables that describe two entities.

use super::compare::{Comparer, Sink, Spans, hex};
use super::explain::describe;
use super::forgiven::{Field, proofs};
use super::open::{How, Open, Question};
use super::verdict::Reason;
use crate::elf::ids::{Orig, Patched};
use crate::elf::object::{Home, Reloc};
use crate::error::Result;
use crate::kernel::refs::Refs;
use crate::kernel::tables::Table;

impl Comparer<'_, '_, '_, '_> {
    /// Compares the rows of the kernel's tables that describe two spans of code.
    pub(super) fn rows(&self, spans: &Spans, sink: &mut Sink<'_>, open: &mut Open) -> Result<bool> {
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
                let offset =
                    o.map(|r| r.at() - spans.o_start).or(p.map(|r| r.at() - spans.p_start));
                let shown = |some: bool| if some { "a row" } else { "none" }.to_owned();
                sink.note(|| Reason {
                    kind: table.map_or("", |t| t.section),
                    offset,
                    before: shown(o.is_some()),
                    after: shown(p.is_some()),
                });
                return Ok(false);
            };
            let o_table = &self.orig.rows.tables[o.table as usize];
            let p_table = &self.patched.rows.tables[p.table as usize];
            let o_size = self.orig.layout.object.section_size(o_table.section);
            let p_size = self.patched.layout.object.section_size(p_table.section);
            let (o_start, o_end) = o_table.natural_span(o.row as usize, o_size);
            let (p_start, p_end) = p_table.natural_span(p.row as usize, p_size);
            let row =
                Spans { o: o_table.section, o_start, o_end, p: p_table.section, p_start, p_end };
            let equal = o_table.table.section == p_table.table.section
                && o.at() - spans.o_start == p.at() - spans.p_start
                && self.row(&row, p_table.table, Some(p_table.table.code), open)?;
            if equal {
                if o_start != p_start {
                    let field =
                        Field { o: (row.o, o_start), p: (row.p, p_start), width: p_end - p_start };
                    self.forgive_bytes(proofs::ROW_PLACE, field, || {
                        format!("of code at {:#x}", p.at()).into()
                    });
                }
                continue;
            }
            same = false;
            if sink.note(|| {
                let (before, after) = self.rows_apart(&row, p_table.table);
                let offset = Some(p.at() - spans.p_start);
                Reason { kind: p_table.table.section, offset, before, after }
            }) {
                return Ok(false);
            }
        }
    }

    /// What differs between two rows: the first field whose bytes, or else whose reference,
    /// are not the same.
    fn rows_apart(&self, row: &Spans, table: &Table) -> (String, String) {
        fn data(d: &[u8], start: u64, end: u64) -> &[u8] {
            d.get(start as usize..end as usize).unwrap_or(&[])
        }
        let (orig, patched) = (self.orig.layout, self.patched.layout);
        let a = data(orig.object.contents(row.o), row.o_start, row.o_end);
        let b = data(patched.object.contents(row.p), row.p_start, row.p_end);
        let size = row.p_end - row.p_start;
        let is_noise =
            |at: u64| table.noise.iter().any(|n| n.row == size && n.start <= at && at < n.end);
        if a.len() != b.len() {
            return (format!("a row of {} bytes", a.len()), format!("a row of {} bytes", b.len()));
        }
        let differs = |(at, (x, y)): &(usize, (&u8, &u8))| x != y && !is_noise(*at as u64);
        if let Some((at, _)) = a.iter().zip(b).enumerate().find(differs) {
            let field = at & !3;
            let shown = |bytes: &[u8]| format!("{} at +{field:#x}", hex(bytes, field));
            return (shown(a), shown(b));
        }
        let (o_refs, p_refs) = (Refs::new(orig, row.o), Refs::new(patched, row.p));
        let o_relocs = orig.object.relocs(row.o).within(row.o_start, row.o_end);
        let p_relocs = patched.object.relocs(row.p).within(row.p_start, row.p_end);
        for (o, p) in o_relocs.zip(p_relocs) {
            let (o_at, p_at) = (o.offset - row.o_start, p.offset - row.p_start);
            if p_at == table.code || is_noise(p_at) {
                continue;
            }
            let before = format!("{} at +{o_at:#x}", describe(orig, &o_refs, &o));
            let after = format!("{} at +{p_at:#x}", describe(patched, &p_refs, &p));
            if before != after {
                return (before, after);
            }
            if let Some((x, y)) = self.contents_apart((&o_refs, &o), (&p_refs, &p)) {
                return (format!("{before}: {x}"), format!("{after}: {y}"));
            }
        }
        (hex(a, 0), hex(b, 0))
    }

    /// Whether two rows of one table are equal but for the fields that are noise.
    /// `code` is the field that need not be compared.
    fn row(&self, row: &Spans, table: &Table, code: Option<u64>, open: &mut Open) -> Result<bool> {
        let size = row.p_end - row.p_start;
        if size != row.o_end - row.o_start {
            return Ok(false);
        }
        let is_noise =
            |at: u64| table.noise.iter().any(|n| n.row == size && n.start <= at && at < n.end);
        let a = &self.orig.layout.object.contents(row.o)[row.o_start as usize..row.o_end as usize];
        let b =
            &self.patched.layout.object.contents(row.p)[row.p_start as usize..row.p_end as usize];
        if a.iter().zip(b).enumerate().any(|(at, (x, y))| x != y && !is_noise(at as u64)) {
            return Ok(false);
        }
        self.forgive_row_noise(row, table);
        let o_refs = Refs::new(self.orig.layout, row.o);
        let p_refs = Refs::new(self.patched.layout, row.p);
        let mut o_relocs = self
            .orig
            .layout
            .object
            .relocs(row.o)
            .within(row.o_start, row.o_end)
            .filter(|r| !is_noise(r.offset - row.o_start));
        let mut p_relocs = self
            .patched
            .layout
            .object
            .relocs(row.p)
            .within(row.p_start, row.p_end)
            .filter(|r| !is_noise(r.offset - row.p_start));
        loop {
            match (o_relocs.next(), p_relocs.next()) {
                (None, None) => return Ok(true),
                (Some(o), Some(p)) => {
                    let at = p.offset - row.p_start;
                    if o.offset - row.o_start != at || o.kind != p.kind {
                        return Ok(false);
                    }
                    // That the code field points to the same place is why the rows are compared.
                    if Some(at) == code {
                        continue;
                    }
                    let same =
                        match table.replacement.iter().find(|r| r.row == size && r.field == at) {
                            Some(field) => {
                                let length = b.get(field.length as usize).copied().unwrap_or(0);
                                self.same_replacement(
                                    (&o_refs, &o),
                                    (&p_refs, &p),
                                    u64::from(length),
                                    open,
                                )?
                            }
                            None => self.same_reference(&o_refs, &o, &p_refs, &p, open)?,
                        };
                    if !same {
                        return Ok(false);
                    }
                    self.forgive_reference(&o_refs, &o, &p_refs, &p);
                }
                _ => return Ok(false),
            }
        }
    }

    /// Notes the fields of a row that differ and are noise, by what is in them or by what
    /// they refer to.
    fn forgive_row_noise(&self, row: &Spans, table: &Table) {
        if self.ledger.is_none() {
            return;
        }
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        let size = row.p_end - row.p_start;
        for field in table.noise.iter().filter(|field| field.row == size) {
            let place = |start: u64| (start + field.start, start + field.end.min(size));
            let (o, p) = (place(row.o_start), place(row.p_start));
            let bytes = |data: &[u8], (start, end)| {
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
                    format!("bytes {}..{} of a row of {size}", field.start, field.end).into()
                });
            }
        }
    }

    /// Whether two rows are equal, the code field included.
    pub(super) fn whole_row(&self, row: &Spans, table: &Table) -> Result<bool> {
        self.row(row, table, None, &mut Open::new())
    }

    /// Whether two fields lead to equal code of that length.
    fn same_replacement(
        &self,
        (o_refs, o): (&Refs<'_, '_, '_, Orig>, &Reloc<Orig>),
        (p_refs, p): (&Refs<'_, '_, '_, Patched>, &Reloc<Patched>),
        length: u64,
        open: &mut Open,
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
        self.ask(Question { o, p, how: How::Code(length) }, open)
    }
}
