//! kpatch's tables of what livepatch resolves: `.kpatch.relocations` and `.kpatch.symbols`
//! (spec section 19.4).
//!
//! Where much changed they are most of the output, so they are laid out last, from rows a
//! sixth of their size, when all that the output was made from is given back.

use super::klp::{KlpReloc, KlpSymbol, Resolution};
use super::output::{Output, Table};
use crate::elf::ids::{Patched, SectionId};
use crate::elf::out::{OutObject, OutSectionIndex, OutSymbolIndex};

/// An output whose largest tables are still empty.
pub struct Draft {
    pub(super) object: OutObject,
    pub(super) late: Late,
}

impl Draft {
    /// The output with all of its tables.
    pub fn finish(self) -> OutObject {
        let Draft { mut object, late } = self;
        late.fill(&mut object);
        object
    }
}

/// What the tables are made from.
pub(super) struct Late {
    /// `.kpatch.relocations` and `.kpatch.symbols`.
    sections: [OutSectionIndex; 2],
    /// Section symbols of `.kpatch.symbols` and of `.kpatch.strings`.
    symbols: OutSymbolIndex,
    strings: OutSymbolIndex,
    /// Where the parent's name is in `.kpatch.strings`.
    parent: i64,
    /// Relocation type of a pointer.
    pointer: u32,
    rows: Vec<Row>,
    targets: Vec<Target>,
}

/// A relocation that livepatch applies.
struct Row {
    /// Symbol of the section that holds the field.
    base: OutSymbolIndex,
    /// Place of what it needs in [`Late::targets`].
    target: u32,
    offset: u64,
    addend: i64,
    kind: u32,
}

/// A symbol of the running kernel.
struct Target {
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

impl Target {
    fn new(symbol: &KlpSymbol<'_>) -> Self {
        let &KlpSymbol { addr, sympos, bind, kind, external, .. } = symbol;
        Target { name: UNNAMED, object: UNNAMED, addr, sympos, bind, kind, external }
    }
}

impl Late {
    /// Adds the tables without their contents, and the names that they need. `offset`: where a
    /// byte of a section is in the output.
    pub(super) fn new<'a>(
        output: &mut Output<'a>,
        resolution: Resolution<'a>,
        offset: impl Fn(SectionId<Patched>, u64) -> u64,
    ) -> Late {
        let Resolution { relocs, symbols, .. } = resolution;
        let parent = output.strings.offset(output.parent);
        let mut targets: Vec<Target> = symbols.values().iter().map(Target::new).collect();
        let mut row = |reloc: KlpReloc| {
            let base = output.section(reloc.section)?;
            let target = symbols.place(reloc.meant)?;
            let (symbol, names) = (&symbols.values()[target], &mut targets[target]);
            if names.name == UNNAMED {
                names.name = output.strings.offset(symbol.name) as u32;
                names.object = output.strings.offset(symbol.object) as u32;
            }
            Some(Row {
                base: output.section_symbol(base),
                target: target as u32,
                offset: offset(reloc.section, reloc.offset),
                addend: reloc.addend,
                kind: reloc.kind,
            })
        };
        let rows = relocs.into_iter().filter_map(&mut row).collect();
        let names = [".kpatch.relocations", ".kpatch.symbols"];
        let sections = names.map(|name| output.add_section(name, Vec::new(), 40, Vec::new()));
        Late {
            sections,
            symbols: output.section_symbol(sections[1]),
            strings: output.strings_symbol,
            parent,
            pointer: output.pointer,
            rows,
            targets,
        }
    }

    fn fill(self, object: &mut OutObject) {
        let big = object.big_endian;
        let Late { sections, rows, targets, strings, pointer, .. } = self;
        let mut symbols = Table::with_capacity(rows.len(), 40, 2);
        for target in rows.iter().map(|row| &targets[row.target as usize]) {
            symbols.row(40);
            symbols.u64(0, target.addr, big);
            symbols.u64(8, target.sympos, big);
            symbols.u8(16, target.bind);
            symbols.u8(17, target.kind);
            symbols.pointer(24, strings, target.name.into());
            symbols.pointer(32, strings, target.object.into());
        }
        symbols.fill(object, sections[1], pointer);
        let mut relocations = Table::with_capacity(rows.len(), 40, 3);
        for row in &rows {
            relocations.row(40);
            relocations.u32(8, row.kind, big);
            relocations.u32(12, targets[row.target as usize].external.into(), big);
            relocations.u64(16, row.addend.cast_unsigned(), big);
            relocations.pointer(0, row.base, row.offset.cast_signed());
            relocations.pointer(24, strings, self.parent);
        }
        // The pointers to the symbols come behind all others.
        let count = rows.len() as u64;
        drop((rows, targets));
        for row in 0..count {
            relocations.pointer_at(40 * row + 32, self.symbols, 40 * row.cast_signed());
        }
        relocations.fill(object, sections[0], pointer);
    }
}
