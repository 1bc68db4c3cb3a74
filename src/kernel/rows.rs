//! The rows of the table sections of one object, and which code each describes.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows are within tables and fields within rows, all below 4 GiB"
)]

use super::fit::{Forms, Reading};
use super::knowledge::forms::{Field, Form, Replacement};
use super::knowledge::tables::{EXCEPTION_TABLE, RowSize, TABLES, Table};
use super::layout::{Class, Layout};
use crate::diag::{Code, Error, Result};
use crate::elf::ids::{Csr, SectionId, Side, Sparse};
use crate::elf::object::Reloc;

/// A table section that is present, cut into rows.
#[derive(Debug)]
pub struct TableRows<S> {
    /// What kind of table.
    pub table: &'static Table,
    /// Its section.
    pub section: SectionId<S>,
    cut: Cut,
    /// The layouts that fit its rows: all that they agree on holds.
    forms: Vec<&'static Form>,
    /// What is wrong with the size that was given for its rows.
    pub wrong: Option<String>,
    /// So many rows are carried together.
    pub group: u32,
}

#[derive(Debug)]
enum Cut {
    /// Equal rows of this size; the last may be shorter.
    Every(u64),
    /// Starts of the rows, and the end of the last.
    At(Vec<u64>),
}

/// Position of a table in [`Rows::tables`]: with link-ordered tables there is one for each
/// section of code.
pub type TableNumber = u32;

/// One row: the code it describes and where to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    at: u32,
    /// Position in [`Rows::tables`].
    pub table: TableNumber,
    /// Number of the row in its table.
    pub row: u32,
}

impl Row {
    /// Offset of the code in its section.
    pub fn at(&self) -> u64 {
        self.at.into()
    }
}

/// All tables of an object and their rows, sorted by the code they describe.
pub struct Rows<S> {
    /// The tables that are present, in the order of [`TABLES`].
    pub tables: Vec<TableRows<S>>,
    rows: Csr<SectionId<S>, Row>,
    /// The number of the table that a section is.
    sections: Sparse<SectionId<S>, TableNumber>,
    /// (section of code, table, row) for every section of code that a row mentions, sorted.
    mentions: Vec<(SectionId<S>, TableNumber, u32)>,
    /// Rows that count but whose code field leads to no code, in order.
    pub orphans: Vec<(TableNumber, u32)>,
}

impl<S: Side> TableRows<S> {
    /// Number of rows.
    pub fn len(&self, size: u64) -> usize {
        match &self.cut {
            Cut::Every(row) => size.div_ceil(*row) as usize,
            Cut::At(starts) => starts.len().saturating_sub(1),
        }
    }

    /// Whether the field at byte `at` of a table of `size` bytes says which code a row describes.
    pub fn describes(&self, at: u64, size: u64) -> bool {
        let row = self.at(at).filter(|&row| row < self.len(size));
        !self.forms.is_empty()
            && row.is_some_and(|row| at == self.span(row, size).0 + self.table.code)
    }

    /// Whether byte `at` of a row may differ without meaning anything.
    pub fn is_noise(&self, at: u64) -> bool {
        !self.forms.is_empty() && self.forms.iter().all(|form| form.is_noise(at))
    }

    /// Where a row says which code may take the place of the code it describes.
    pub fn replacement(&self) -> Option<Replacement> {
        self.forms.first()?.replacement
    }

    /// The fields of a row.
    pub fn fields(&self) -> &'static [Field] {
        self.forms.first().map_or(&[], |form| form.fields)
    }

    /// The field that holds byte `at` of a row.
    pub fn field(&self, at: u64) -> Option<&'static Field> {
        self.forms.first()?.holding(at)
    }

    /// The field called `name` of all layouts.
    pub fn named_field(&self, name: &str) -> Option<&'static Field> {
        let mut fields = self.forms.iter().map(|form| form.named(name));
        let first = fields.next()??;
        fields.all(|f| f.is_some_and(|f| f.at == first.at)).then_some(first)
    }

    /// The row that holds byte `at` of the table.
    pub fn at(&self, at: u64) -> Option<usize> {
        match &self.cut {
            Cut::Every(row) => usize::try_from(at / row).ok(),
            Cut::At(starts) => starts.partition_point(|&start| start <= at).checked_sub(1),
        }
    }

    /// First byte and byte behind the last of row `i` in a table of `size` bytes.
    #[expect(clippy::indexing_slicing, reason = "there is one more start than there are rows")]
    pub fn span(&self, i: usize, size: u64) -> (u64, u64) {
        match &self.cut {
            Cut::Every(row) => (i as u64 * row, ((i as u64 + 1) * row).min(size)),
            Cut::At(starts) => (starts[i], starts[i + 1]),
        }
    }
}

impl<S: Side> Rows<S> {
    /// Cuts all tables of an object into rows of the layouts that fit.
    #[expect(clippy::indexing_slicing, reason = "a class names a table by its place in the list")]
    pub fn new(layout: &Layout<'_, S>, forms: &Forms) -> Result<Self> {
        let object = layout.object;
        let mut tables = Vec::new();
        // In the order of TABLES, and of the file where a table is in several sections.
        let mut sections: Vec<(usize, SectionId<S>)> = object
            .sections()
            .filter_map(|s| match layout.class(s) {
                Class::Table(index) => Some((usize::from(index), s)),
                _ => None,
            })
            .collect();
        sections.sort_unstable();
        for (index, section) in sections {
            let table = &TABLES[index];
            let header = object.section(section);
            // A table without relocations describes no code.
            if header.size == 0 || object.relocs(section).is_empty() {
                continue;
            }
            let forms: Reading = forms.of(index);
            let cut = match (table.row, forms.forms.as_slice()) {
                (RowSize::Forms(..), [form, ..]) => Cut::Every(form.size),
                (RowSize::Forms(..), []) => continue,
                (RowSize::ByExceptionTable, _) => cut_fixups(layout, section)?,
            };
            let Reading { forms, wrong, group } = forms;
            let group = group.max(1);
            tables.push(TableRows { table, section, cut, forms, wrong, group });
        }
        let mut rows = Vec::new();
        let mut mentions = Vec::new();
        let mut orphans = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let first = rows.len();
            collect(layout, table, index as TableNumber, &mut rows, &mut mentions);
            if table.table.verdict {
                let size = object.section_size(table.section);
                let mut owned = rows.iter().skip(first).map(|(_, r): &(_, Row)| r.row).peekable();
                orphans.extend(
                    (0..table.len(size) as u32)
                        .filter(|&row| owned.next_if_eq(&row).is_none())
                        .map(|row| (index as TableNumber, row)),
                );
            }
        }
        rows.sort_unstable();
        mentions.sort_unstable();
        mentions.dedup();
        mentions.shrink_to_fit();
        let rows = Csr::build(object.section_count(), || rows.iter().copied());
        let numbers = tables.iter().enumerate().map(|(i, t)| (t.section, i as TableNumber));
        let numbers: Vec<(SectionId<S>, TableNumber)> = numbers.collect();
        let sections = Sparse::build(object.section_count(), || numbers.iter().copied());
        Ok(Rows { tables, rows, sections, mentions, orphans })
    }

    /// The table that a section is.
    pub fn table_of(&self, section: SectionId<S>) -> Option<&TableRows<S>> {
        self.number_of(section).and_then(|number| self.tables.get(number as usize))
    }

    /// The number of the table that a section is.
    pub fn number_of(&self, section: SectionId<S>) -> Option<TableNumber> {
        self.sections.get(section)
    }

    /// The number of the row of a table that holds byte `at` of it.
    pub fn row_at(&self, layout: &Layout<'_, S>, table: TableNumber, at: u64) -> Option<u32> {
        let table = self.tables.get(table as usize)?;
        let size = layout.object.section_size(table.section);
        let row = table.at(at).filter(|&row| at < size && row < table.len(size))?;
        u32::try_from(row).ok()
    }

    /// Table and number of each row that mentions a section of code in any of its fields.
    pub fn mentioning(&self, code: SectionId<S>) -> impl Iterator<Item = (TableNumber, u32)> + '_ {
        let from = self.mentions.partition_point(|m| m.0 < code);
        self.mentions.iter().skip(from).take_while(move |m| m.0 == code).map(|m| (m.1, m.2))
    }

    /// The rows that describe bytes `start..end` of a section, by table and code offset.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "partition points lie within the list")]
    pub fn of(&self, code: SectionId<S>, start: u64, end: u64) -> &[Row] {
        let rows = self.rows.get(code);
        let from = rows.partition_point(|r| r.at() < start);
        let count = rows[from..].partition_point(|r| r.at() < end);
        &rows[from..from + count]
    }
}

fn collect<S: Side>(
    layout: &Layout<'_, S>,
    table: &TableRows<S>,
    index: TableNumber,
    rows: &mut Vec<(SectionId<S>, Row)>,
    mentions: &mut Vec<(SectionId<S>, TableNumber, u32)>,
) {
    let object = layout.object;
    let size = object.section_size(table.section);
    let relocs = object.relocs(table.section);
    let mut row = 0;
    let mut last = None;
    let bias = u64::from(table.table.behind);
    for reloc in relocs.iter() {
        while row < table.len(size) && table.span(row, size).1 <= reloc.offset {
            row += 1;
            last = None;
        }
        let Some((code, at)) = code_place(layout, &reloc) else { continue };
        let class = layout.class(code);
        let is_code = class == Class::Text;
        let described = is_code || table.table.of_rows && matches!(class, Class::Table(_));
        if described && reloc.offset == table.span(row, size).0 + table.table.code {
            // Behind the end of any section of code, which are smaller, is behind the end.
            let at = u32::try_from(at.saturating_sub(bias)).unwrap_or(u32::MAX);
            rows.push((code, Row { at, table: index, row: row as u32 }));
        }
        if is_code && last != Some(code) {
            mentions.push((code, index, row as u32));
            last = Some(code);
        }
    }
}

/// The place a field of a table points to.
fn code_place<S: Side>(layout: &Layout<'_, S>, reloc: &Reloc<S>) -> Option<(SectionId<S>, u64)> {
    let section = layout.object.section_of(reloc.symbol)?;
    let value = layout.object.symbol_value(reloc.symbol) as i64;
    Some((section, u64::try_from(reloc.addend.wrapping_add(value)).ok()?))
}

/// The rows of `.fixup` start where an exception table row jumps to.
fn cut_fixups<S: Side>(layout: &Layout<'_, S>, fixup: SectionId<S>) -> Result<Cut> {
    let object = layout.object;
    let fail = |message: String| Error::broken(Code::FixupTable, message).in_file(object.file());
    let table = layout
        .section_named(EXCEPTION_TABLE)
        .filter(|&t| object.rela_section(t).is_some())
        .ok_or_else(|| fail("missing .rela__ex_table section".into()))?;
    let mut starts: Vec<u64> = object
        .relocs(table)
        .iter()
        .filter_map(|r| code_place(layout, &r))
        .filter(|&(section, _)| section == fixup)
        .map(|(_, at)| at)
        .collect();
    starts.sort_unstable();
    starts.dedup();
    let size = object.section_size(fixup);
    if starts.first() != Some(&0) || starts.last().is_some_and(|&l| l >= size) {
        let at = starts.first().map_or(0, |_| 0);
        return Err(fail(format!("can't find .fixup rela group at offset {at}")));
    }
    starts.push(size);
    Ok(Cut::At(starts))
}
