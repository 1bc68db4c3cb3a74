//! Two rows of the kernel's tables, and references that lead into tables.

#![expect(clippy::indexing_slicing, reason = "rows have the number of their table")]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows are within tables and fields within rows, all below 4 GiB"
)]

use super::comparer::Comparer;
use super::pair::Pair;
use super::questions::{OpenQuestions, Question, QuestionKind};
use super::spans::Spans;
use crate::diag::Result;
use crate::elf::ids::{Orig, Patched, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::layout::Class;
use crate::kernel::refs::RelocIn;
use crate::kernel::rows::TableRows;

/// Two rows of one kind of table.
pub(super) struct RowPair<'c> {
    pub(super) spans: Spans,
    pub(super) o_table: &'c TableRows<Orig>,
    pub(super) p_table: &'c TableRows<Patched>,
}

impl RowPair<'_> {
    pub(super) fn is_noise(&self, at: u64) -> bool {
        self.o_table.is_noise(at) && self.p_table.is_noise(at)
    }

    pub(super) fn o_at(&self, reloc: &Reloc<Orig>) -> u64 {
        reloc.offset - self.spans.o_start
    }

    pub(super) fn p_at(&self, reloc: &Reloc<Patched>) -> u64 {
        reloc.offset - self.spans.p_start
    }
}

pub(super) fn row_pair<'a>(pair: &Pair<'a>, o: (u32, u32), p: (u32, u32)) -> RowPair<'a> {
    let o_table = &pair.orig.rows.tables[o.0 as usize];
    let p_table = &pair.patched.rows.tables[p.0 as usize];
    let o_size = pair.orig.layout.object.section_size(o_table.section);
    let p_size = pair.patched.layout.object.section_size(p_table.section);
    let (o_start, o_end) = o_table.span(o.1 as usize, o_size);
    let (p_start, p_end) = p_table.span(p.1 as usize, p_size);
    let spans = Spans { o: o_table.section, o_start, o_end, p: p_table.section, p_start, p_end };
    RowPair { spans, o_table, p_table }
}

/// Whether a symbol leads into a table, where what an offset means depends on the rows.
pub(super) fn is_in_table(pair: &Pair<'_>, id: SymbolId<Patched>) -> bool {
    let layout = pair.patched.layout;
    let home = layout.object.section_of(id);
    home.is_some_and(|section| matches!(layout.class(section), Class::Table(_)))
}

/// Whether two references into tables lead to the same place of rows that say the same of
/// the same code; `None` where one of them is not to a row.
pub(super) fn same_row(
    comparer: &Comparer<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
    open: &mut OpenQuestions,
) -> Result<Option<bool>> {
    let (Some((o, o_at)), Some((p, p_at))) = (o_refs.place(o)?, p_refs.place(p)?) else {
        return Ok(None);
    };
    let (orig, patched) = (&comparer.orig.rows, &comparer.patched.rows);
    let (Some(o_number), Some(p_number)) = (orig.number_of(o), patched.number_of(p)) else {
        return Ok(None);
    };
    let o_row = orig.row_at(comparer.orig.layout, o_number, o_at);
    let p_row = patched.row_at(comparer.patched.layout, p_number, p_at);
    let (Some(o_row), Some(p_row)) = (o_row, p_row) else { return Ok(None) };
    let both = row_pair(comparer, (o_number, o_row), (p_number, p_row));
    if both.p_table.table.row.is_by_exception_table() {
        return Ok(None);
    }
    let (o_start, p_start) = (both.spans.o_start, both.spans.p_start);
    if both.o_table.table.section != both.p_table.table.section || o_at - o_start != p_at - p_start
    {
        return Ok(Some(false));
    }
    let (o, p) = ((o, o_start as i64), (p, p_start as i64));
    comparer.ask(Question { o, p, kind: QuestionKind::Row }, open).map(Some)
}
