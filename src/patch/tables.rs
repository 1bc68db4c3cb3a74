//! kpatch's tables of what livepatch resolves: `.kpatch.relocations` and `.kpatch.symbols`.
//!
//! Where much changed they are most of the output, so only rows a sixth of their size are kept,
//! and what the file holds is made while it is written.

#![expect(
    clippy::indexing_slicing,
    reason = "rows and targets have the numbers of their places in the lists"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows and sections of what was built, which is in memory"
)]

use super::build::output::Output;
use super::format::kpatch::{RelocationRow, SymbolRow};
use super::resolve::decide::{KlpReloc, KlpSymbol, Resolution};
use crate::diag::Result;
use crate::elf::ids::{Patched, SectionId};
use crate::elf::out::{Model, OutHome, OutObject, OutReloc, OutSectionIndex, OutSymbolIndex, Take};

/// Bytes of a row of either table.
const ROW: usize = RelocationRow::LAYOUT.size as usize;
const _: () = assert!(ROW as u64 == SymbolRow::LAYOUT.size);
/// How many rows or pointers are made at once.
const PIECE: usize = 4096;

/// An output whose largest tables are made when it is written.
pub struct Draft {
    pub(super) object: OutObject,
    pub(super) pending: PendingTables,
}

impl Draft {
    /// The output with all of its tables.
    pub fn finish(self) -> OutObject {
        let Draft { mut object, pending } = self;
        for table in [PendingTable::Relocations, PendingTable::Symbols] {
            let section = &mut object.sections[pending.section(table)];
            section.data =
                (0..pending.rows.len()).flat_map(|row| pending.row(table, row)).collect();
            let pointers =
                (0..pending.pointers(table)).map(|i| pending.pointer(table, i)).collect();
            if let Some(relocs) = section.relocs.first_mut() {
                relocs.entries = pointers;
            }
        }
        object
    }
}

impl Model for Draft {
    fn object(&self) -> &OutObject {
        &self.object
    }

    fn stored(&self, section: OutSectionIndex) -> u64 {
        match self.pending.table(section) {
            Some(_) => (self.pending.rows.len() * ROW) as u64,
            None => self.object.stored(section),
        }
    }

    fn contents(&self, section: OutSectionIndex, take: Take<'_, u8>) -> Result<()> {
        match self.pending.table(section) {
            Some(table) => in_pieces(
                self.pending.rows.len(),
                |row| self.pending.row(table, row),
                &mut |rows| take(rows.as_flattened()),
            ),
            None => self.object.contents(section, take),
        }
    }

    fn reloc_count(&self, section: OutSectionIndex, table: usize) -> usize {
        match self.pending.table(section) {
            Some(table) => self.pending.pointers(table),
            None => self.object.reloc_count(section, table),
        }
    }

    fn relocs(
        &self,
        section: OutSectionIndex,
        table: usize,
        take: Take<'_, OutReloc>,
    ) -> Result<()> {
        match self.pending.table(section) {
            Some(table) => {
                in_pieces(self.pending.pointers(table), |i| self.pending.pointer(table, i), take)
            }
            None => self.object.relocs(section, table, take),
        }
    }
}

/// Makes `count` things and hands them over, some at once.
fn in_pieces<T>(count: usize, make: impl Fn(usize) -> T, take: Take<'_, T>) -> Result<()> {
    let mut piece = Vec::with_capacity(PIECE.min(count));
    for start in (0..count).step_by(PIECE) {
        piece.clear();
        piece.extend((start..count.min(start + PIECE)).map(&make));
        take(&piece)?;
    }
    Ok(())
}

impl Draft {
    /// The sections of the tables.
    pub(super) fn tables(&self) -> [OutSectionIndex; 2] {
        self.pending.sections
    }

    /// What livepatch applies and resolves, in order.
    pub(super) fn resolved(&self) -> impl Iterator<Item = Resolved<'_>> {
        let PendingTables { rows, parent, strings, .. } = &self.pending;
        let strings = match self.object.symbol(*strings).map(|s| &s.home) {
            Some(&OutHome::Section(index)) => self.object.sections.get(index),
            _ => None,
        };
        let strings = strings.map_or(&[][..], |section| &section.data);
        let text = |at: i64| {
            let rest = usize::try_from(at).ok().and_then(|at| strings.get(at..))?;
            std::str::from_utf8(rest.get(..rest.iter().position(|&b| b == 0)?)?).ok()
        };
        rows.iter().filter_map(move |row| {
            let target = self.pending.target(row);
            let &PendingSymbol { addr: address, sympos: position, bind, kind, .. } = target;
            let home = match self.object.symbol(row.base)?.home {
                OutHome::Section(home) => home,
                _ => return None,
            };
            Some(Resolved {
                home,
                offset: row.offset,
                patched: text(*parent)?,
                relocation: RelocationRow {
                    kind: row.kind,
                    external: target.external.into(),
                    addend: row.addend,
                },
                object: text(target.object.into())?,
                name: text(target.name.into())?,
                symbol: SymbolRow { address, position, bind, kind },
            })
        })
    }
}

/// A relocation that livepatch applies, with the symbol that it needs.
pub(super) struct Resolved<'d> {
    /// What it applies to.
    pub home: OutSectionIndex,
    pub offset: u64,
    /// The object that is patched when it is applied.
    pub patched: &'d str,
    pub relocation: RelocationRow,
    /// The object that has the symbol.
    pub object: &'d str,
    pub name: &'d str,
    pub symbol: SymbolRow,
}

#[derive(Clone, Copy)]
enum PendingTable {
    /// `.kpatch.relocations`.
    Relocations,
    /// `.kpatch.symbols`.
    Symbols,
}

/// What the tables are made from: each has one row for each of `rows`.
pub(super) struct PendingTables {
    /// Those of each [`PendingTable`].
    sections: [OutSectionIndex; 2],
    /// Section symbols of `.kpatch.symbols` and of `.kpatch.strings`.
    symbols: OutSymbolIndex,
    strings: OutSymbolIndex,
    /// Where the parent's name is in `.kpatch.strings`.
    parent: i64,
    /// Relocation type of a pointer.
    pointer_kind: u32,
    big_endian: bool,
    rows: Vec<PendingReloc>,
    targets: Vec<PendingSymbol>,
}

/// A relocation that livepatch applies.
struct PendingReloc {
    /// Symbol of the section that holds the field.
    base: OutSymbolIndex,
    /// Place of what it needs in [`PendingTables::targets`].
    target: u32,
    offset: u64,
    addend: i64,
    kind: u32,
}

const _: () = assert!(size_of::<PendingReloc>() == size_of::<KlpReloc>());

/// A symbol of the running kernel.
struct PendingSymbol {
    /// Where the names of the symbol and of its object are in `.kpatch.strings`.
    name: u32,
    object: u32,
    addr: u64,
    sympos: u64,
    bind: u8,
    kind: u8,
    external: bool,
}

/// Not the place of any name: `.kpatch.strings` is shorter.
const UNNAMED: u32 = u32::MAX;

impl PendingSymbol {
    fn new(symbol: &KlpSymbol<'_>) -> Self {
        let &KlpSymbol { addr, sympos, bind, kind, external, .. } = symbol;
        PendingSymbol { name: UNNAMED, object: UNNAMED, addr, sympos, bind, kind, external }
    }
}

impl PendingTables {
    /// Adds the tables without their contents, and the names that they need. `offset`: where a
    /// byte of a section is in the output.
    pub(super) fn new(
        output: &mut Output,
        resolution: Resolution<'_>,
        offset: impl Fn(SectionId<Patched>, u64) -> u64,
    ) -> PendingTables {
        let Resolution { relocs, symbols, .. } = resolution;
        let mut targets: Vec<PendingSymbol> =
            symbols.values().iter().map(PendingSymbol::new).collect();
        let mut last: Option<(SectionId<Patched>, OutSymbolIndex)> = None;
        let row = |KlpReloc { section, meant, offset: at, addend, kind }: KlpReloc| {
            let base = match last {
                Some((known, base)) if known == section => base,
                _ => output.section_symbol(output.section(section)?),
            };
            last = Some((section, base));
            let target = symbols.place(meant)?;
            let (symbol, names) = (&symbols.values()[target], &mut targets[target]);
            if names.name == UNNAMED {
                names.name = output.strings.offset(symbol.name);
                names.object = output.strings.offset(symbol.object);
            }
            let offset = offset(section, at);
            Some(PendingReloc { base, target: target as u32, offset, addend, kind })
        };
        // Of one size, so the rows take the place of what they are made from.
        let rows: Vec<PendingReloc> = relocs.into_iter().filter_map(row).collect();
        let names = [RelocationRow::LAYOUT.section, SymbolRow::LAYOUT.section];
        let sections =
            names.map(|name| output.add_section(name, Vec::new(), ROW as u64, Vec::new()));
        for section in sections {
            output.object.sections[section].size = (rows.len() * ROW) as u64;
        }
        PendingTables {
            sections,
            symbols: output.section_symbol(sections[PendingTable::Symbols as usize]),
            strings: output.strings_symbol,
            parent: output.parent,
            pointer_kind: output.pointer,
            big_endian: output.object.big_endian,
            rows,
            targets,
        }
    }

    fn section(&self, table: PendingTable) -> OutSectionIndex {
        self.sections[table as usize]
    }

    fn table(&self, section: OutSectionIndex) -> Option<PendingTable> {
        [PendingTable::Relocations, PendingTable::Symbols]
            .into_iter()
            .find(|&t| self.section(t) == section)
    }

    fn target(&self, row: &PendingReloc) -> &PendingSymbol {
        &self.targets[row.target as usize]
    }

    /// Row `row` of a table, with nothing where its pointers are.
    fn row(&self, table: PendingTable, row: usize) -> [u8; ROW] {
        let row = &self.rows[row];
        let target = self.target(row);
        match table {
            PendingTable::Relocations => {
                let &PendingReloc { kind, addend, .. } = row;
                let external = target.external.into();
                RelocationRow { kind, external, addend }.encode(self.big_endian)
            }
            PendingTable::Symbols => {
                let &PendingSymbol { addr: address, sympos: position, bind, kind, .. } = target;
                SymbolRow { address, position, bind, kind }.encode(self.big_endian)
            }
        }
    }

    /// How many pointers a table has.
    fn pointers(&self, table: PendingTable) -> usize {
        match table {
            PendingTable::Relocations => RelocationRow::LAYOUT.pointers.len() * self.rows.len(),
            PendingTable::Symbols => SymbolRow::LAYOUT.pointers.len() * self.rows.len(),
        }
    }

    /// Pointer `place` of a table: two of each row, and behind all of them those from
    /// `.kpatch.relocations` to `.kpatch.symbols`.
    fn pointer(&self, table: PendingTable, place: usize) -> OutReloc {
        let (row, second) = (place / 2, place % 2 == 1);
        let (row, at, symbol, addend) = match (self.rows.get(row), table, second) {
            (Some(of), PendingTable::Relocations, false) => {
                (row, RelocationRow::PLACE, of.base, of.offset.cast_signed())
            }
            (Some(_), PendingTable::Relocations, true) => {
                (row, RelocationRow::OBJECT, self.strings, self.parent)
            }
            (Some(of), PendingTable::Symbols, false) => {
                (row, SymbolRow::NAME, self.strings, self.target(of).name.into())
            }
            (Some(of), PendingTable::Symbols, true) => {
                (row, SymbolRow::OBJECT, self.strings, self.target(of).object.into())
            }
            (None, ..) => {
                let row = place - 2 * self.rows.len();
                (row, RelocationRow::SYMBOL, self.symbols, (ROW * row) as i64)
            }
        };
        let offset = (ROW * row) as u64 + at;
        OutReloc { offset, kind: self.pointer_kind, symbol: Some(symbol), addend }
    }
}
