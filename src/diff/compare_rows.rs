//! Compares the rows of the kernel's tables that describe two entities.

use super::compare::{Comparer, Open, Sink, Spans, hex};
use super::verdict::Reason;
use crate::error::Result;
use crate::kernel::refs::Refs;
use crate::kernel::tables::Table;

impl Comparer<'_, '_, '_, '_> {
    /// Compares the rows of the kernel's tables that describe two spans of code.
    pub(super) fn rows(&self, spans: &Spans, sink: &mut Sink<'_>) -> Result<bool> {
        let o_rows = self.orig.rows.of(spans.o, spans.o_start, spans.o_end.max(spans.o_start + 1));
        let p_rows =
            self.patched.rows.of(spans.p, spans.p_start, spans.p_end.max(spans.p_start + 1));
        let mut o_rows =
            o_rows.iter().filter(|r| self.orig.rows.tables[usize::from(r.table)].table.verdict);
        let mut p_rows =
            p_rows.iter().filter(|r| self.patched.rows.tables[usize::from(r.table)].table.verdict);
        let mut same = true;
        loop {
            let (o, p) = (o_rows.next(), p_rows.next());
            let (Some(o), Some(p)) = (o, p) else {
                if o.is_none() && p.is_none() {
                    return Ok(same);
                }
                let table = o
                    .map(|r| self.orig.rows.tables[usize::from(r.table)].table)
                    .or(p.map(|r| self.patched.rows.tables[usize::from(r.table)].table));
                let offset = o.map(|r| r.at - spans.o_start).or(p.map(|r| r.at - spans.p_start));
                let shown = |some: bool| if some { "a row" } else { "none" }.to_owned();
                sink.note(|| Reason {
                    kind: table.map_or(String::new(), |t| t.section.to_owned()),
                    offset,
                    before: shown(o.is_some()),
                    after: shown(p.is_some()),
                });
                return Ok(false);
            };
            let o_table = &self.orig.rows.tables[usize::from(o.table)];
            let p_table = &self.patched.rows.tables[usize::from(p.table)];
            let o_size = self.orig.layout.object.section_size(o_table.section);
            let p_size = self.patched.layout.object.section_size(p_table.section);
            let (o_start, o_end) = o_table.natural_span(o.row as usize, o_size);
            let (p_start, p_end) = p_table.natural_span(p.row as usize, p_size);
            let row =
                Spans { o: o_table.section, o_start, o_end, p: p_table.section, p_start, p_end };
            let equal = o_table.table.section == p_table.table.section
                && o.at - spans.o_start == p.at - spans.p_start
                && self.row(&row, p_table.table)?;
            if equal {
                continue;
            }
            same = false;
            let data =
                |d: &[u8], a: u64, b: u64| hex(d.get(a as usize..b as usize).unwrap_or(&[]), 0);
            if sink.note(|| Reason {
                kind: p_table.table.section.to_owned(),
                offset: Some(p.at - spans.p_start),
                before: data(self.orig.layout.object.contents(row.o), o_start, o_end),
                after: data(self.patched.layout.object.contents(row.p), p_start, p_end),
            }) {
                return Ok(false);
            }
        }
    }

    /// Whether two rows of one table are equal but for the fields that are noise.
    fn row(&self, row: &Spans, table: &Table) -> Result<bool> {
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
                    if at == table.code {
                        continue;
                    }
                    let extent = table.extents.iter().find(|e| e.row == size && e.field == at);
                    if let Some(extent) = extent {
                        let length = u64::from(a[extent.length as usize]);
                        if !self.same_stretch(&o_refs, &o, &p_refs, &p, length)? {
                            return Ok(false);
                        }
                        continue;
                    }
                    if !self.same_reference(&o_refs, &o, &p_refs, &p, &mut Open::new())? {
                        return Ok(false);
                    }
                }
                _ => return Ok(false),
            }
        }
    }
}
