//! Every mutant of an object.

use elf::abi;

use super::model::{File, Home, Reloc};
use super::tables::row_size;

/// One change of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutant {
    Byte { section: usize, at: u64, value: u8 },
    Reloc { section: usize, index: usize, edit: RelocEdit },
    Symbol { index: usize, edit: SymbolEdit },
    Row { section: usize, at: u64, size: u64, edit: RowEdit },
    Section { index: usize, edit: SectionEdit },
    Flags(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelocEdit {
    Target(usize),
    Addend(i64),
    Type(u32),
    Place(u64),
    Removed,
    /// The entry and the next one change places in the table.
    Order,
    /// The entry and the next one exchange symbols and addends.
    Exchanged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolEdit {
    Value(u64),
    Size(u64),
    Type(u8),
    Bind(u8),
    Other(u8),
    Home(Home),
    /// Exchanges names with another symbol.
    Name(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowEdit {
    Removed,
    Doubled,
    Swapped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionEdit {
    Flags(u64),
    EntrySize(u64),
    Align(u64),
    Type(u32),
}

impl SymbolEdit {
    /// First byte of the field in the symbol's entry, and bytes.
    pub fn field(self) -> (u64, u64) {
        match self {
            SymbolEdit::Name(_) => (0, 4),
            SymbolEdit::Type(_) | SymbolEdit::Bind(_) => (4, 1),
            SymbolEdit::Other(_) => (5, 1),
            SymbolEdit::Home(_) => (6, 2),
            SymbolEdit::Value(_) => (8, 8),
            SymbolEdit::Size(_) => (16, 8),
        }
    }
}

impl SectionEdit {
    /// Name of the field of the header.
    pub fn field(self) -> &'static str {
        match self {
            SectionEdit::Flags(_) => "sh_flags",
            SectionEdit::EntrySize(_) => "sh_entsize",
            SectionEdit::Align(_) => "sh_addralign",
            SectionEdit::Type(_) => "sh_type",
        }
    }
}

/// Mixes numbers into one that looks random: mutants do not depend on what was before them.
pub fn mixed(parts: [u64; 3]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
    for part in parts {
        hash = (hash ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 29;
    }
    hash
}

impl Mutant {
    /// What is changed: the kind of thing and the field.
    pub fn kind(&self) -> &'static str {
        match self {
            Mutant::Byte { .. } => "byte",
            Mutant::Reloc { edit, .. } => match edit {
                RelocEdit::Target(_) => "relocation target",
                RelocEdit::Addend(_) => "relocation addend",
                RelocEdit::Type(_) => "relocation type",
                RelocEdit::Place(_) => "relocation place",
                RelocEdit::Removed => "relocation removed",
                RelocEdit::Order => "relocation order",
                RelocEdit::Exchanged => "relocations exchanged",
            },
            Mutant::Symbol { edit, .. } => match edit {
                SymbolEdit::Value(_) => "symbol value",
                SymbolEdit::Size(_) => "symbol size",
                SymbolEdit::Type(_) => "symbol type",
                SymbolEdit::Bind(_) => "symbol bind",
                SymbolEdit::Other(_) => "symbol st_other",
                SymbolEdit::Home(_) => "symbol section",
                SymbolEdit::Name(_) => "symbol names",
            },
            Mutant::Row { edit, .. } => match edit {
                RowEdit::Removed => "row removed",
                RowEdit::Doubled => "row doubled",
                RowEdit::Swapped => "rows swapped",
            },
            Mutant::Section { edit, .. } => match edit {
                SectionEdit::Flags(_) => "section flags",
                SectionEdit::EntrySize(_) => "section entry size",
                SectionEdit::Align(_) => "section alignment",
                SectionEdit::Type(_) => "section type",
            },
            Mutant::Flags(_) => "file flags",
        }
    }

    /// The section that it is in, if it is in one.
    pub fn section(&self, file: &File) -> Option<usize> {
        match *self {
            Mutant::Byte { section, .. }
            | Mutant::Reloc { section, .. }
            | Mutant::Row { section, .. }
            | Mutant::Section { index: section, .. } => Some(section),
            Mutant::Symbol { index, .. } => match file.symbols.get(index)?.home {
                Home::Section(section) => Some(section),
                _ => None,
            },
            Mutant::Flags(_) => None,
        }
    }

    /// What was done, for people.
    pub fn show(&self, file: &File) -> String {
        let reloc = |r: &Reloc| {
            format!("{:#x} type {} {}{:+#x}", r.offset, r.kind, file.name(r.symbol), r.addend)
        };
        match self {
            Mutant::Byte { section, at, value } => {
                let section = &file.sections[*section];
                let old = section.data[*at as usize];
                format!("{}+{at:#x}: {old:02x} -> {value:02x}", section.name)
            }
            Mutant::Reloc { section, index, edit } => {
                let section = &file.sections[*section];
                let old = reloc(&section.relocs[*index]);
                match edit {
                    RelocEdit::Target(to) => {
                        format!("{}: {old}: -> {} (#{to})", section.name, file.name(*to))
                    }
                    RelocEdit::Order | RelocEdit::Exchanged => {
                        let other = reloc(&section.relocs[*index + 1]);
                        format!("{}: {old} and {other}: {edit:?}", section.name)
                    }
                    _ => format!("{}: {old}: {edit:x?}", section.name),
                }
            }
            Mutant::Symbol { index, edit } => {
                let symbol = &file.symbols[*index];
                let home = self.section(file).map_or("-", |s| &file.sections[s].name);
                let more = match edit {
                    SymbolEdit::Name(other) => format!(" = {}", file.name(*other)),
                    SymbolEdit::Home(Home::Section(other)) => {
                        format!(" = {}", file.sections[*other].name)
                    }
                    _ => String::new(),
                };
                format!(
                    "#{index} {} (type {} bind {} {home}+{:#x} size {:#x}): {edit:x?}{more}",
                    file.name(*index),
                    symbol.kind,
                    symbol.bind,
                    symbol.value,
                    symbol.size
                )
            }
            Mutant::Row { section, at, size, edit } => {
                format!("{}+{at:#x} ({size} bytes): {edit:?}", file.sections[*section].name)
            }
            Mutant::Section { index, edit } => {
                let section = &file.sections[*index];
                format!(
                    "{} (type {:#x} flags {:#x} align {} entsize {}): {edit:x?}",
                    section.name, section.kind, section.flags, section.align, section.entsize
                )
            }
            Mutant::Flags(flags) => format!("e_flags {:#x} -> {flags:#x}", file.flags),
        }
    }

    /// A copy of the object with the change.
    pub fn apply(&self, file: &File) -> File {
        let mut file = file.clone();
        match *self {
            Mutant::Byte { section, at, value } => {
                file.sections[section].data[at as usize] = value;
            }
            Mutant::Reloc { section, index, edit } => {
                edit_reloc(&mut file.sections[section].relocs, index, edit);
            }
            Mutant::Symbol { index, edit } => {
                let symbol = &mut file.symbols[index];
                match edit {
                    SymbolEdit::Value(value) => symbol.value = value,
                    SymbolEdit::Size(size) => symbol.size = size,
                    SymbolEdit::Type(kind) => symbol.kind = kind,
                    SymbolEdit::Bind(bind) => symbol.bind = bind,
                    SymbolEdit::Other(other) => symbol.other = other,
                    SymbolEdit::Home(home) => symbol.home = home,
                    SymbolEdit::Name(other) => {
                        let name = std::mem::take(&mut symbol.name);
                        let name = std::mem::replace(&mut file.symbols[other].name, name);
                        file.symbols[index].name = name;
                    }
                }
            }
            Mutant::Row { section, at, size, edit } => edit_row(&mut file, section, at, size, edit),
            Mutant::Section { index, edit } => {
                let section = &mut file.sections[index];
                match edit {
                    SectionEdit::Flags(flags) => section.flags = flags,
                    SectionEdit::EntrySize(size) => section.entsize = size,
                    SectionEdit::Align(align) => section.align = align,
                    SectionEdit::Type(kind) => section.kind = kind,
                }
            }
            Mutant::Flags(flags) => file.flags = flags,
        }
        file
    }
}

fn edit_reloc(relocs: &mut Vec<Reloc>, index: usize, edit: RelocEdit) {
    match edit {
        RelocEdit::Target(symbol) => relocs[index].symbol = symbol,
        RelocEdit::Addend(addend) => relocs[index].addend = addend,
        RelocEdit::Type(kind) => relocs[index].kind = kind,
        RelocEdit::Place(offset) => relocs[index].offset = offset,
        RelocEdit::Removed => {
            relocs.remove(index);
        }
        RelocEdit::Order => relocs.swap(index, index + 1),
        RelocEdit::Exchanged => {
            let (a, b) = (relocs[index], relocs[index + 1]);
            relocs[index] = Reloc { symbol: b.symbol, addend: b.addend, ..a };
            relocs[index + 1] = Reloc { symbol: a.symbol, addend: a.addend, ..b };
        }
    }
}

/// Removes, doubles or exchanges rows; what lies behind moves with everything that says so.
fn edit_row(file: &mut File, section: usize, at: u64, size: u64, edit: RowEdit) {
    let table = &mut file.sections[section];
    let end = at + size;
    let (from, to) = (at as usize, end as usize);
    let of_row: Vec<Reloc> =
        table.relocs.iter().filter(|r| at <= r.offset && r.offset < end).copied().collect();
    match edit {
        RowEdit::Swapped => {
            let behind = to + size as usize;
            table.data[from..behind].rotate_left(size as usize);
            for r in &mut table.relocs {
                if at <= r.offset && r.offset < end {
                    r.offset += size;
                } else if end <= r.offset && r.offset < end + size {
                    r.offset -= size;
                }
            }
            table.relocs.sort_by_key(|r| r.offset);
            return;
        }
        RowEdit::Removed => {
            table.data.drain(from..to);
            table.relocs.retain(|r| r.offset < at || end <= r.offset);
            table.relocs.iter_mut().filter(|r| end <= r.offset).for_each(|r| r.offset -= size);
        }
        RowEdit::Doubled => {
            let row = table.data[from..to].to_vec();
            table.data.splice(to..to, row);
            table.relocs.iter_mut().filter(|r| end <= r.offset).for_each(|r| r.offset += size);
            table.relocs.extend(of_row.iter().map(|r| Reloc { offset: r.offset + size, ..*r }));
            table.relocs.sort_by_key(|r| r.offset);
        }
    }
    table.size = table.data.len() as u64;
    let shift = |value: u64| {
        if value < end {
            value
        } else if edit == RowEdit::Removed {
            value - size
        } else {
            value + size
        }
    };
    for symbol in &mut file.symbols {
        if symbol.home == Home::Section(section) && symbol.kind != abi::STT_SECTION {
            symbol.value = shift(symbol.value);
        }
    }
}

/// All mutants of an object, in order.
pub fn all(file: &File, sizes: &std::collections::BTreeMap<String, String>) -> Vec<Mutant> {
    let mut found = Vec::new();
    for (i, section) in file.sections.iter().enumerate() {
        if section.is_alloc() {
            bytes(file, i, &mut found);
        }
        relocs(file, i, &mut found);
        if let Some(size) = row_size(file, i, sizes) {
            let count = section.data.len() as u64 / size;
            for row in 0..count {
                let row_edit = |edit| Mutant::Row { section: i, at: row * size, size, edit };
                found.extend([row_edit(RowEdit::Removed), row_edit(RowEdit::Doubled)]);
                if row + 1 < count {
                    found.push(row_edit(RowEdit::Swapped));
                }
            }
        }
        sections(file, i, &mut found);
    }
    symbols(file, &mut found);
    for bit in [1, 2, 4, 0x40, 0x100] {
        found.push(Mutant::Flags(file.flags ^ bit));
    }
    found
}

fn bytes(file: &File, section: usize, found: &mut Vec<Mutant>) {
    let header = &file.sections[section];
    let strings = header.flags & u64::from(abi::SHF_STRINGS) != 0;
    for (at, &old) in header.data.iter().enumerate() {
        let at = at as u64;
        let other = old ^ (mixed([section as u64, at, 0]) % 254 + 2) as u8;
        let other = if strings && old > 1 { 0 } else { other };
        for value in [old ^ 1, other] {
            found.push(Mutant::Byte { section, at, value });
        }
    }
}

fn relocs(file: &File, section: usize, found: &mut Vec<Mutant>) {
    let table = &file.sections[section].relocs;
    let mut kinds: Vec<u32> =
        file.sections.iter().flat_map(|s| &s.relocs).map(|r| r.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for (index, r) in table.iter().enumerate() {
        let mut edits = Vec::new();
        for to in other_targets(file, r) {
            edits.push(RelocEdit::Target(to));
        }
        for by in [1, -1, 8, 64] {
            edits.push(RelocEdit::Addend(r.addend.wrapping_add(by)));
        }
        let used: Vec<u32> = kinds.iter().copied().filter(|&k| k != r.kind).collect();
        if !used.is_empty() {
            let pick = mixed([section as u64, index as u64, 1]) as usize % used.len();
            edits.push(RelocEdit::Type(used[pick]));
            edits.push(RelocEdit::Type(used[(pick + 1) % used.len()]));
        }
        edits.push(RelocEdit::Type(r.kind + 1));
        edits.push(RelocEdit::Place(r.offset + 1));
        edits.extend(r.offset.checked_sub(1).map(RelocEdit::Place));
        edits.push(RelocEdit::Removed);
        if let Some(next) = table.get(index + 1) {
            edits.push(RelocEdit::Order);
            if (next.symbol, next.addend) != (r.symbol, r.addend) {
                edits.push(RelocEdit::Exchanged);
            }
        }
        found.extend(edits.into_iter().map(|edit| Mutant::Reloc { section, index, edit }));
    }
}

/// Other symbols to refer to: the next one of any kind, the next one of the same kind and home,
/// and one whose name differs in its number alone.
fn other_targets(file: &File, r: &Reloc) -> Vec<usize> {
    let count = file.symbols.len();
    let old = r.symbol;
    let Some(symbol) = file.symbols.get(old) else { return Vec::new() };
    let usable = |&i: &usize| i != 0 && i != old && file.symbols[i].kind != abi::STT_FILE;
    let after = || (1..count).map(|step| (old + step) % count).filter(usable);
    let stem = |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let wanted = stem(&symbol.name);
    let alike = |&i: &usize| {
        let other = &file.symbols[i];
        other.kind == symbol.kind
            && (other.home == Home::Undefined) == (symbol.home == Home::Undefined)
    };
    let mut found: Vec<usize> = after().next().into_iter().collect();
    found.extend(after().find(alike));
    found.extend(after().find(|&i| !wanted.is_empty() && stem(&file.symbols[i].name) == wanted));
    found.sort_unstable();
    found.dedup();
    found
}

fn symbols(file: &File, found: &mut Vec<Mutant>) {
    let count = file.symbols.len();
    for (index, symbol) in file.symbols.iter().enumerate().skip(1) {
        let mut edits = Vec::new();
        for value in [symbol.value + 1, symbol.value + 4, symbol.value.wrapping_sub(1), 0] {
            edits.push(SymbolEdit::Value(value));
        }
        for size in [0, symbol.size + 1, symbol.size.saturating_sub(1), symbol.size + 16] {
            edits.push(SymbolEdit::Size(size));
        }
        edits.extend([0, 1, 2, 3, 4, 5, 6, 10].map(SymbolEdit::Type));
        edits.extend([0, 1, 2, 10].map(SymbolEdit::Bind));
        edits.extend([0, 1, 2, 3, 0x60, 0x80].map(SymbolEdit::Other));
        let here = match symbol.home {
            Home::Section(section) => section,
            _ => 0,
        };
        let sections = file.sections.len();
        for step in [1, mixed([index as u64, 2, 3]) as usize % sections.max(1)] {
            edits.push(SymbolEdit::Home(Home::Section((here + step) % sections)));
        }
        edits.push(SymbolEdit::Home(Home::Undefined));
        edits.push(SymbolEdit::Home(Home::Reserved(abi::SHN_ABS)));
        edits.push(SymbolEdit::Home(Home::Reserved(abi::SHN_COMMON)));
        let others = (1..count).map(|step| (index + step) % count);
        let mut others = others.filter(|&i| i != 0 && file.symbols[i].name != symbol.name);
        edits.extend(others.next().map(SymbolEdit::Name));
        let kind = |&i: &usize| file.symbols[i].kind == symbol.kind;
        edits.extend(others.find(kind).map(SymbolEdit::Name));
        let mut mutants: Vec<Mutant> = Vec::new();
        for edit in edits {
            let unchanged = match edit {
                SymbolEdit::Value(value) => value == symbol.value,
                SymbolEdit::Size(size) => size == symbol.size,
                SymbolEdit::Type(kind) => kind == symbol.kind,
                SymbolEdit::Bind(bind) => bind == symbol.bind,
                SymbolEdit::Other(other) => other == symbol.other,
                SymbolEdit::Home(home) => home == symbol.home,
                SymbolEdit::Name(_) => false,
            };
            let mutant = Mutant::Symbol { index, edit };
            if !unchanged && !mutants.contains(&mutant) {
                mutants.push(mutant);
            }
        }
        found.extend(mutants);
    }
}

fn sections(file: &File, index: usize, found: &mut Vec<Mutant>) {
    let section = &file.sections[index];
    for bit in [1, 2, 4, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x0010_0000] {
        found.push(Mutant::Section { index, edit: SectionEdit::Flags(section.flags ^ bit) });
    }
    for size in [0, 1, 2, 4, 8, 16, 24, 32] {
        if size != section.entsize {
            found.push(Mutant::Section { index, edit: SectionEdit::EntrySize(size) });
        }
    }
    for align in [1, 2, 4, 8, 16, 64, 4096] {
        if align != section.align {
            found.push(Mutant::Section { index, edit: SectionEdit::Align(align) });
        }
    }
    for kind in [abi::SHT_PROGBITS, abi::SHT_NOBITS, abi::SHT_NOTE, abi::SHT_INIT_ARRAY] {
        if kind != section.kind {
            found.push(Mutant::Section { index, edit: SectionEdit::Type(kind) });
        }
    }
}
