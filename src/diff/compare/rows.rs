//! Compares the rows of the kernel's tables that describe two entities, and those that code
//! refers to.

#![expect(clippy::indexing_slicing, reason = "rows have the number of their table")]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows are within tables and fields within rows, all below 4 GiB"
)]

use super::apart::{contents_apart, starts_of};
use super::comparer::Comparer;
use super::forgive::{forgive_bytes, forgive_reference};
use super::forgiven::{Field, proofs};
use super::meaning::meaning;
use super::pair::Pair;
use super::questions::{OpenQuestions, Question, QuestionKind};
use super::row_pair::{RowPair, row_pair};
use super::spans::{Sink, Spans};
use super::targets::same_reference;
use crate::diag::Result;
use crate::diff::reason::{Reason, ReasonKind, RowChange, Sides};
use crate::elf::ids::{Orig, Patched, SectionId};
use crate::elf::object::{Home, Reloc};
use crate::kernel::refs::{Refs, RelocIn};

/// Where two rows differ.
enum Differ<'r> {
    /// They are of different tables or sizes, or the first byte that differs.
    At(Option<u64>),
    /// These references; one of them may be missing.
    References(Option<&'r Reloc<Orig>>, Option<&'r Reloc<Patched>>),
}

/// Compares the rows of the kernel's tables that describe two spans of code.
pub(super) fn same_rows(
    comparer: &Comparer<'_>,
    spans: &Spans,
    sink: &mut Sink<'_>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let same_place = |o: u64, p: u64| o - spans.o_start == p - spans.p_start;
    same_rows_where(comparer, spans, &same_place, sink, open)
}

/// [`same_rows`] of code in which `same_place` tells which places are the same.
pub(super) fn same_rows_where(
    comparer: &Comparer<'_>,
    spans: &Spans,
    same_place: &dyn Fn(u64, u64) -> bool,
    sink: &mut Sink<'_>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let o_rows = comparer.orig.rows.of(spans.o, spans.o_start, spans.o_end.max(spans.o_start + 1));
    let p_rows =
        comparer.patched.rows.of(spans.p, spans.p_start, spans.p_end.max(spans.p_start + 1));
    let mut o_rows =
        o_rows.iter().filter(|r| comparer.orig.rows.tables[r.table as usize].table.verdict);
    let mut p_rows =
        p_rows.iter().filter(|r| comparer.patched.rows.tables[r.table as usize].table.verdict);
    let mut same = true;
    loop {
        let (o, p) = (o_rows.next(), p_rows.next());
        let (Some(o), Some(p)) = (o, p) else {
            if o.is_none() && p.is_none() {
                return Ok(same);
            }
            let table = o
                .map(|r| comparer.orig.rows.tables[r.table as usize].table)
                .or(p.map(|r| comparer.patched.rows.tables[r.table as usize].table));
            let at = |at: u64, start: u64| at.wrapping_sub(start) as i64;
            let offset = o.map(|r| at(r.at(), spans.o_start));
            let offset = offset.or(p.map(|r| at(r.at(), spans.p_start)));
            let table = table.map_or("", |t| t.section);
            let change = RowChange::Alone { after: p.is_some() };
            sink.note(|| Reason { kind: ReasonKind::Row { table, change }, offset });
            return Ok(false);
        };
        let both = row_pair(comparer, (o.table, o.row), (p.table, p.row));
        let placed =
            both.o_table.table.section == both.p_table.table.section && same_place(o.at(), p.at());
        // That the code field points to the same place is why the rows are compared.
        if placed && equal_rows(comparer, &both, Some(both.p_table.table.code), open)? {
            let Spans { o: o_table, o_start, p: p_table, p_start, p_end, .. } = both.spans;
            if o_start != p_start {
                let (o, width) = ((o_table, o_start), p_end - p_start);
                let field = Field { o, p: (p_table, p_start), width };
                forgive_bytes(comparer, proofs::ROW_PLACE, field, || {
                    format!("of code at {:#x}", p.at()).into()
                });
            }
            continue;
        }
        same = false;
        let reason = || {
            let (o_start, p_start) = starts_of(comparer, spans);
            let shown = (o.at().wrapping_sub(o_start), p.at().wrapping_sub(p_start));
            let kind = row_difference(comparer, &both, (shown.0 as i64, shown.1 as i64));
            Reason::at(p.at().wrapping_sub(spans.p_start) as i64, kind)
        };
        if sink.note(reason) {
            return Ok(false);
        }
    }
}

/// What differs between two rows, at these places of what they describe: the field by its
/// name, with its values.
pub(super) fn row_difference(
    comparer: &Comparer<'_>,
    both: &RowPair<'_>,
    places: (i64, i64),
) -> ReasonKind {
    let table = both.p_table.table;
    let tables = (both.o_table.table.section, table.section);
    let change = if tables.0 != tables.1 {
        RowChange::Tables(Sides::new(tables.0, tables.1))
    } else if places.0 != places.1 {
        RowChange::Places(Sides::new(places.0, places.1))
    } else {
        row_change(comparer, both)
    };
    ReasonKind::Row { table: table.section, change }
}

/// What differs first between two rows of one table.
fn row_change(comparer: &Comparer<'_>, both: &RowPair<'_>) -> RowChange {
    let code = Some(both.p_table.table.code);
    let found = first_difference(comparer, both, code, &mut OpenQuestions::new(), |differ| {
        let at = match differ {
            Differ::At(at) => at,
            Differ::References(o, p) => p.map(|p| both.p_at(p)).or(o.map(|o| both.o_at(o))),
        };
        let field = at.and_then(|at| both.p_table.field(at));
        let name = field.map_or("row", |f| f.name);
        match differ {
            Differ::References(o, p) => {
                let o_refs = Refs::new(comparer.orig.layout, both.spans.o);
                let p_refs = Refs::new(comparer.patched.layout, both.spans.p);
                let before = o.map(|o| meaning(comparer.orig.layout, &o_refs, o));
                let after = p.map(|p| meaning(comparer.patched.layout, &p_refs, p));
                let content = || contents_apart(comparer, (&o_refs, o?), (&p_refs, p?));
                let content = (before == after).then(content).flatten();
                let meant = Sides { before, after };
                RowChange::Reference { field: name, meant, content }
            }
            Differ::At(_) => {
                let (from, bytes) = field.map_or((at.unwrap_or(0), 1), |f| (f.at, f.bytes));
                let (o, p) = (comparer.orig.layout.object, comparer.patched.layout.object);
                let o_big = matches!(o.endian(), object::Endianness::Big);
                let of = |data: &[u8], start: u64| number(data, start + from, bytes, o_big);
                let values = Sides {
                    before: of(o.contents(both.spans.o), both.spans.o_start),
                    after: of(p.contents(both.spans.p), both.spans.p_start),
                };
                RowChange::Number { field: name, values }
            }
        }
    });
    found.ok().flatten().unwrap_or(RowChange::Unknown)
}

/// Whether two rows of one table are equal but for the fields that are noise.
/// `code` is the field that need not be compared.
pub(super) fn equal_rows(
    comparer: &Comparer<'_>,
    both: &RowPair<'_>,
    code: Option<u64>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    Ok(first_difference(comparer, both, code, open, |_| ())?.is_none())
}

/// What `tell` makes of the first difference between two rows.
fn first_difference<T>(
    comparer: &Comparer<'_>,
    both: &RowPair<'_>,
    code: Option<u64>,
    open: &mut OpenQuestions,
    tell: impl Fn(Differ<'_>) -> T,
) -> Result<Option<T>> {
    let row = &both.spans;
    let size = row.p_end - row.p_start;
    if size != row.o_end - row.o_start {
        return Ok(Some(tell(Differ::At(None))));
    }
    let a = comparer.orig.layout.object.contents(row.o);
    let b = comparer.patched.layout.object.contents(row.p);
    let a = a.get(row.o_start as usize..row.o_end as usize);
    let b = b.get(row.p_start as usize..row.p_end as usize);
    let (Some(a), Some(b)) = (a, b) else { return Ok(Some(tell(Differ::At(None)))) };
    let differs = |(at, (x, y)): (usize, (&u8, &u8))| x != y && !both.is_noise(at as u64);
    if let Some(at) = a.iter().zip(b).enumerate().position(differs) {
        return Ok(Some(tell(Differ::At(Some(at as u64)))));
    }
    if !same_noise_places(comparer, both) {
        return Ok(Some(tell(Differ::At(None))));
    }
    forgive_row_noise(comparer, both);
    let o_refs = Refs::new(comparer.orig.layout, row.o);
    let p_refs = Refs::new(comparer.patched.layout, row.p);
    let o_relocs = comparer.orig.layout.object.relocs(row.o).within(row.o_start, row.o_end);
    let p_relocs = comparer.patched.layout.object.relocs(row.p).within(row.p_start, row.p_end);
    let mut o_relocs = o_relocs.filter(|r| !both.is_noise(both.o_at(r)));
    let mut p_relocs = p_relocs.filter(|r| !both.is_noise(both.p_at(r)));
    loop {
        let (o, p) = (o_relocs.next(), p_relocs.next());
        let (Some(o), Some(p)) = (&o, &p) else {
            let both = o.is_none() && p.is_none();
            return Ok((!both).then(|| tell(Differ::References(o.as_ref(), p.as_ref()))));
        };
        let at = both.p_at(p);
        let same = if both.o_at(o) != at || o.kind != p.kind {
            false
        } else if Some(at) == code {
            true
        } else {
            match both.p_table.replacement().filter(|r| r.field == at) {
                Some(field) => {
                    let length = b.get(field.length as usize).copied().unwrap_or(0);
                    same_replacement(comparer, (&o_refs, o), (&p_refs, p), length.into(), open)?
                }
                None => same_reference(comparer, (&o_refs, o), (&p_refs, p), open)?,
            }
        };
        if !same {
            return Ok(Some(tell(Differ::References(Some(o), Some(p)))));
        }
        if Some(at) != code {
            forgive_reference(comparer, (&o_refs, o), (&p_refs, p));
        }
    }
}

/// Whether the fields that are noise hold references of the same types at the same places:
/// what these lead to is for people, that they are there is not.
fn same_noise_places(pair: &Pair<'_>, both: &RowPair<'_>) -> bool {
    let row = &both.spans;
    let o = pair.orig.layout.object.relocs(row.o).within(row.o_start, row.o_end);
    let p = pair.patched.layout.object.relocs(row.p).within(row.p_start, row.p_end);
    let o = o.map(|r| (both.o_at(&r), r.kind)).filter(|&(at, _)| both.is_noise(at));
    let p = p.map(|r| (both.p_at(&r), r.kind)).filter(|&(at, _)| both.is_noise(at));
    o.eq(p)
}

/// Notes the fields of a row that differ and are noise, by what is in them or by what
/// they refer to.
fn forgive_row_noise(comparer: &Comparer<'_>, both: &RowPair<'_>) {
    if comparer.ledger.is_none() {
        return;
    }
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let row = &both.spans;
    for field in both.p_table.fields().iter().filter(|field| both.is_noise(field.at)) {
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
            forgive_bytes(comparer, proofs::ROW_NOISE, place, || {
                format!("{} of a row of {} bytes", field.name, row.p_end - row.p_start).into()
            });
        }
    }
}

/// Whether two rows, by table and number, are equal, the code field included.
pub(in crate::diff) fn whole_row(
    comparer: &Comparer<'_>,
    o: (u32, u32),
    p: (u32, u32),
) -> Result<bool> {
    let both = row_pair(comparer, o, p);
    Ok(both.o_table.table.section == both.p_table.table.section
        && equal_rows(comparer, &both, None, &mut OpenQuestions::new())?)
}

/// Whether the rows that begin at two places in tables are equal, the code field included.
pub(in crate::diff) fn row_at(
    comparer: &Comparer<'_>,
    (o, o_at): (SectionId<Orig>, i64),
    (p, p_at): (SectionId<Patched>, i64),
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (orig, patched) = (&comparer.orig.rows, &comparer.patched.rows);
    let (o_at, p_at) = (o_at.cast_unsigned(), p_at.cast_unsigned());
    let o = orig.number_of(o).and_then(|t| Some((t, orig.row_at(comparer.orig.layout, t, o_at)?)));
    let p = patched
        .number_of(p)
        .and_then(|t| Some((t, patched.row_at(comparer.patched.layout, t, p_at)?)));
    let Some((o, p)) = o.zip(p) else { return Ok(false) };
    equal_rows(comparer, &row_pair(comparer, o, p), None, open)
}

/// How the rows differ that two references lead to.
pub(super) fn other_row(
    comparer: &Comparer<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
) -> Option<ReasonKind> {
    let (orig, patched) = (&comparer.orig.rows, &comparer.patched.rows);
    let (o, p) = (o_refs.place(o).ok()??, p_refs.place(p).ok()??);
    let (o_table, p_table) = (orig.number_of(o.0)?, patched.number_of(p.0)?);
    let o_row = orig.row_at(comparer.orig.layout, o_table, o.1)?;
    let p_row = patched.row_at(comparer.patched.layout, p_table, p.1)?;
    Some(row_difference(comparer, &row_pair(comparer, (o_table, o_row), (p_table, p_row)), (0, 0)))
}

/// Whether two fields lead to equal code of that length.
fn same_replacement(
    comparer: &Comparer<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
    length: u64,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let (Home::Section(o_section), Home::Section(p_section)) =
        (orig.home(o.symbol), patched.home(p.symbol))
    else {
        return same_reference(comparer, (o_refs, o), (p_refs, p), open);
    };
    let start = |value: u64, offset: i64| u64::try_from(offset.wrapping_add(value as i64)).ok();
    let o_start = start(orig.symbol_value(o.symbol), o_refs.target_offset(o)?);
    let p_start = start(patched.symbol_value(p.symbol), p_refs.target_offset(p)?);
    let (Some(o_start), Some(p_start)) = (o_start, p_start) else { return Ok(false) };
    let nameless = comparer.orig.layout.is_nameless(o_section)
        && comparer.patched.layout.is_nameless(p_section);
    if !nameless {
        return same_reference(comparer, (o_refs, o), (p_refs, p), open);
    }
    let (o, p) = ((o_section, o_start as i64), (p_section, p_start as i64));
    comparer.ask(Question { o, p, kind: QuestionKind::Code(length) }, open)
}

/// A field as a number.
pub(super) fn number(data: &[u8], at: u64, bytes: u64, big_endian: bool) -> u64 {
    let bytes = data.get(at as usize..at.saturating_add(bytes) as usize).unwrap_or(&[]);
    let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    match big_endian {
        true => bytes.iter().take(8).fold(0, fold),
        false => bytes.iter().take(8).rev().fold(0, fold),
    }
}
