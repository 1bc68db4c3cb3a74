//! The rows of the table sections of one object, and which code each describes.

use super::layout::{Class, Layout};
use super::tables::{EXCEPTION_TABLE, RowSize, StructSizes, TABLES, Table};
use crate::elf::ids::{Csr, SectionId, Side};
use crate::elf::object::Reloc;
use crate::error::{Error, Result};

/// A table section that is present, cut into rows.
#[derive(Debug)]
pub struct TableRows<S> {
    /// What kind of table.
    pub table: &'static Table,
    /// Its section.
    pub section: SectionId<S>,
    cut: Cut,
    /// The rows as the relocations show them, where they contradict the size that was given:
    /// fields can only be told apart in real rows.
    natural: Option<u64>,
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

    /// Whether the size that was given contradicts the relocations.
    pub fn contradicts(&self) -> bool {
        self.natural.is_some()
    }

    /// Number of real rows, whatever size was given.
    fn natural_len(&self, size: u64) -> usize {
        self.natural.map_or_else(|| self.len(size), |row| size.div_ceil(row) as usize)
    }

    /// First byte and byte behind the last of real row `i`, whatever size was given.
    pub fn natural_span(&self, i: usize, size: u64) -> (u64, u64) {
        match self.natural {
            Some(row) => (i as u64 * row, ((i as u64 + 1) * row).min(size)),
            None => self.span(i, size),
        }
    }

    /// First byte and byte behind the last of row `i` in a table of `size` bytes.
    pub fn span(&self, i: usize, size: u64) -> (u64, u64) {
        match &self.cut {
            Cut::Every(row) => (i as u64 * row, ((i as u64 + 1) * row).min(size)),
            Cut::At(starts) => (starts[i], starts[i + 1]),
        }
    }
}

impl<S: Side> Rows<S> {
    /// Cuts all tables of an object into rows. Fails when the size of a struct is needed and
    /// not known.
    pub fn new(layout: &Layout<'_, '_, S>, sizes: &StructSizes) -> Result<Self> {
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
            // A table without relocations describes no code (spec section 27.28).
            if header.size == 0 || object.relocs(section).is_empty() {
                continue;
            }
            let cut = match table.row {
                RowSize::Fixed(size) => Cut::Every(size),
                RowSize::Struct(name) => Cut::Every(
                    sizes
                        .required(name, table.section, header.entsize)
                        .map_err(|e| e.in_file(object.file()))?,
                ),
                RowSize::ByExceptionTable => cut_fixups(layout, section)?,
            };
            let natural = match cut {
                Cut::Every(given) => natural_size(layout, table, section, given),
                Cut::At(_) => None,
            };
            tables.push(TableRows { table, section, cut, natural });
        }
        let mut rows = Vec::new();
        let mut mentions = Vec::new();
        let mut orphans = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let first = rows.len();
            collect(layout, table, index as TableNumber, &mut rows, &mut mentions);
            if table.table.verdict {
                let size = object.section_size(table.section);
                let mut owned = rows[first..].iter().map(|(_, r): &(_, Row)| r.row).peekable();
                orphans.extend(
                    (0..table.natural_len(size) as u32)
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
        Ok(Rows { tables, rows, mentions, orphans })
    }

    /// Table and number of each row that mentions a section of code in any of its fields.
    pub fn mentioning(&self, code: SectionId<S>) -> impl Iterator<Item = (TableNumber, u32)> + '_ {
        let from = self.mentions.partition_point(|m| m.0 < code);
        self.mentions[from..].iter().take_while(move |m| m.0 == code).map(|m| (m.1, m.2))
    }

    /// The rows that describe bytes `start..end` of a section, by table and code offset.
    #[inline]
    pub fn of(&self, code: SectionId<S>, start: u64, end: u64) -> &[Row] {
        let rows = self.rows.get(code);
        let from = rows.partition_point(|r| r.at() < start);
        let count = rows[from..].partition_point(|r| r.at() < end);
        &rows[from..from + count]
    }
}

fn collect<S: Side>(
    layout: &Layout<'_, '_, S>,
    table: &TableRows<S>,
    index: TableNumber,
    rows: &mut Vec<(SectionId<S>, Row)>,
    mentions: &mut Vec<(SectionId<S>, TableNumber, u32)>,
) {
    let object = layout.object;
    let size = object.section_size(table.section);
    let relocs = object.relocs(table.section);
    let (mut given, mut real) = (0, 0);
    let mut last = None;
    for reloc in relocs.iter() {
        while given < table.len(size) && table.span(given, size).1 <= reloc.offset {
            given += 1;
            last = None;
        }
        while real < table.natural_len(size) && table.natural_span(real, size).1 <= reloc.offset {
            real += 1;
        }
        let Some((code, at)) = code_place(layout, &reloc) else { continue };
        let is_code = matches!(layout.class(code), Class::Text);
        if is_code && reloc.offset == table.natural_span(real, size).0 + table.table.code {
            // Behind the end of any section of code, which are smaller, is behind the end.
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            rows.push((code, Row { at, table: index, row: real as u32 }));
        }
        if is_code && last != Some(code) {
            mentions.push((code, index, given as u32));
            last = Some(code);
        }
    }
}

/// How many of the first relocations of a table may show where its second row starts.
const FIRST_FIELDS: usize = 12;

/// The size of the rows as the code fields show it, where that contradicts the `given` one.
fn natural_size<S: Side>(
    layout: &Layout<'_, '_, S>,
    table: &Table,
    section: SectionId<S>,
    given: u64,
) -> Option<u64> {
    if matches!(table.row, RowSize::Fixed(_)) {
        return None;
    }
    let relocs = layout.object.relocs(section);
    let fields = relocs.iter().take(FIRST_FIELDS).map(|r| r.offset);
    let sizes = fields.filter_map(|f| f.checked_sub(table.code)).filter(|&s| s >= SMALLEST_STRUCT);
    // A field may have two relocations.
    let mut sizes: Vec<u64> = sizes.collect();
    sizes.dedup();
    // The smallest that fits: twice the real size fits as well, where rows are even in number.
    sizes.into_iter().find(|&size| fits(layout, table, section, size)).filter(|&size| size != given)
}

/// No struct in a table is smaller, in bytes.
const SMALLEST_STRUCT: u64 = 8;

/// Whether each row of that size has a code field that leads to code.
fn fits<S: Side>(
    layout: &Layout<'_, '_, S>,
    table: &Table,
    section: SectionId<S>,
    row: u64,
) -> bool {
    let object = layout.object;
    let size = object.section_size(section);
    if row == 0 || !size.is_multiple_of(row) {
        return false;
    }
    let mut wanted = table.code;
    for reloc in object.relocs(section).iter() {
        if reloc.offset < wanted {
            continue;
        }
        let to_code = object
            .section_of(reloc.symbol)
            .is_some_and(|s| layout.class(s) == Class::Text && !layout.keeps_section_symbol(s));
        if reloc.offset > wanted || !to_code {
            return false;
        }
        wanted += row;
    }
    wanted >= size
}

/// The place a field of a table points to.
fn code_place<S: Side>(
    layout: &Layout<'_, '_, S>,
    reloc: &Reloc<S>,
) -> Option<(SectionId<S>, u64)> {
    let section = layout.object.section_of(reloc.symbol)?;
    let value = layout.object.symbol_value(reloc.symbol) as i64;
    Some((section, u64::try_from(reloc.addend.wrapping_add(value)).ok()?))
}

/// The rows of `.fixup` start where an exception table row jumps to (spec section 17.3).
fn cut_fixups<S: Side>(layout: &Layout<'_, '_, S>, fixup: SectionId<S>) -> Result<Cut> {
    let object = layout.object;
    let fail = |message: String| Error::broken("fixup-table", message).in_file(object.file());
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
