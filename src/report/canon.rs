//! The canonical form of an output object: sorted lines that say what it means.
//!
//! The order of sections, symbols, strings and table entries is free in a kpatch object,
//! so two of them are compared by these lines. Names are printed instead of indexes, and
//! the `.kpatch.*` tables as their decoded entries. The wording of
//! the lines is fixed: reference outputs are kept in this form.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows are within tables and fields within rows, all below 4 GiB"
)]

mod klp_build;

use std::borrow::Cow;
use std::ops::Range;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use sha1::{Digest as _, Sha1};

use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::{Home, Object, Reloc, Section, read_u32, read_u64};
use crate::kernel::knowledge::livepatch;
use crate::patch::format::kpatch::{FunctionRow, Layout, RelocationRow, SymbolRow};

/// Sections that show in other lines, or are a matter of layout.
const HIDDEN: [&str; 8] = [
    livepatch::STRINGS,
    livepatch::FUNCS,
    livepatch::SYMBOLS,
    livepatch::RELOCATIONS,
    ".symtab",
    ".strtab",
    ".shstrtab",
    ".symtab_shndx",
];

/// Digits of a digest that are printed.
const DIGITS: usize = 12;

/// The lines of `object`, sorted. Fails when a `.kpatch.*` table cannot be decoded.
pub fn canonical<S: Side>(object: &Object<'_, S>) -> Result<Vec<String>> {
    let canon = Canon::new(object);
    let mut lines = canon.lines().map_err(|e| e.in_file(object.file()))?;
    lines.sort_unstable();
    Ok(lines)
}

/// The lines that only one of two canonical forms has: `-` for the first, `+` for the second.
pub fn diff(a: &[String], b: &[String]) -> Vec<String> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut lines = Vec::new();
    loop {
        match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (Some(x), y) if y.is_none_or(|y| x < y) => {
                lines.push(format!("-{x}"));
                a.next();
            }
            (_, Some(y)) => {
                lines.push(format!("+{y}"));
                b.next();
            }
            _ => return lines,
        }
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::broken(Code::KpatchTable, message)
}

fn is_hidden(section: &str) -> bool {
    HIDDEN.contains(&section) || klp_build::is_hidden(section)
}

struct Canon<'a, S> {
    object: &'a Object<'a, S>,
    /// The first section of each name.
    by_name: IndexMap<&'a str, SectionId<S>, RandomState>,
}

impl<'a, S: Side> Canon<'a, S> {
    fn new(object: &'a Object<'a, S>) -> Self {
        let mut by_name = IndexMap::default();
        for id in object.sections() {
            by_name.entry(object.section_name(id)).or_insert(id);
        }
        Canon { object, by_name }
    }

    fn lines(&self) -> Result<Vec<String>> {
        let header = self.object.header();
        let mut lines = vec![format!(
            "machine {} type {} flags {:#x}",
            header.machine, header.kind, header.flags
        )];
        self.funcs(&mut lines)?;
        self.klp_relocs(&mut lines)?;
        self.klp_build(&mut lines)?;
        for id in self.object.sections() {
            self.section(id, &mut lines)?;
        }
        for id in self.object.symbols().skip(1) {
            lines.extend(self.symbol(id));
        }
        Ok(lines)
    }

    fn funcs(&self, lines: &mut Vec<String>) -> Result<()> {
        let Some(table) = self.kpatch(&FunctionRow::LAYOUT)? else { return Ok(()) };
        for entry in table.entries() {
            let name = table.target(&entry, FunctionRow::NAME)?;
            let object = table.target(&entry, FunctionRow::OBJECT)?;
            let new = table.target(&entry, FunctionRow::NEW)?;
            let FunctionRow { new_size, old_address, old_size, position } =
                table.row(&entry, FunctionRow::decode)?;
            lines.push(format!(
                "func name={name} obj={object} new={new} new_size={new_size} old_addr={old_address:#x} old_size={old_size} sympos={position}",
            ));
        }
        Ok(())
    }

    fn klp_relocs(&self, lines: &mut Vec<String>) -> Result<()> {
        let mut symbols = IndexMap::<i64, String, RandomState>::default();
        if let Some(table) = self.kpatch(&SymbolRow::LAYOUT)? {
            for entry in table.entries() {
                let name = table.target(&entry, SymbolRow::NAME)?;
                let object = table.target(&entry, SymbolRow::OBJECT)?;
                let SymbolRow { address, position, bind, kind } =
                    table.row(&entry, SymbolRow::decode)?;
                let line = format!(
                    "ksym({name},{object},pos={position},src={address:#x},bind={bind},type={kind})",
                );
                symbols.insert(entry.start as i64, line);
            }
        }
        let Some(table) = self.kpatch(&RelocationRow::LAYOUT)? else { return Ok(()) };
        for entry in table.entries() {
            let symbol = table.reloc(&entry, RelocationRow::SYMBOL)?.addend;
            let symbol = symbols.get(&symbol).ok_or_else(|| {
                table.at(
                    &entry,
                    RelocationRow::SYMBOL,
                    format!("{symbol} is not the start of a .kpatch.symbols entry"),
                )
            })?;
            let place = table.target(&entry, RelocationRow::PLACE)?;
            let RelocationRow { kind, external, addend } =
                table.row(&entry, RelocationRow::decode)?;
            let external = external.cast_signed();
            let object = table.target(&entry, RelocationRow::OBJECT)?;
            lines.push(format!(
                "klprela dest={place} type={kind} ext={external} addend={addend} obj={object} {symbol}",
            ));
        }
        Ok(())
    }

    fn section(&self, id: SectionId<S>, lines: &mut Vec<String>) -> Result<()> {
        let section = self.object.section(id);
        let tables = [abi::SHT_SYMTAB, abi::SHT_STRTAB, abi::SHT_SYMTAB_SHNDX];
        if tables.contains(&section.kind) || is_hidden(section.name) {
            return Ok(());
        }
        let name = latin1(section.name);
        let flags = section.flags;
        if let Some(base) = self.object.rela_base(id) {
            let base_name = self.object.section_name(base);
            if is_hidden(base_name) {
                return Ok(());
            }
            for reloc in self.object.table_relocs(id).iter() {
                lines.push(format!(
                    "rela {}+{:#x} type={} {}",
                    latin1(base_name),
                    reloc.offset,
                    reloc.kind,
                    self.target(&reloc)
                        .map_err(|e| e.in_section(section.name).at_offset(reloc.offset))?
                ));
            }
            lines.push(format!("relasec {name} flags={flags:#x}"));
            return Ok(());
        }
        let Section { kind, size, align, entsize, data, .. } = section;
        // It tells accidental differences apart; nothing relies on it against an attacker.
        let digest: String = Sha1::digest(data).iter().map(|b| format!("{b:02x}")).collect();
        lines.push(format!(
            "section {name} type={kind} flags={flags:#x} size={size} align={align} entsize={entsize} {}",
            &digest[..DIGITS]
        ));
        Ok(())
    }

    /// Section symbols show in what refers to them and have no line.
    fn symbol(&self, id: SymbolId<S>) -> Option<String> {
        let symbol = self.object.symbol(id);
        if symbol.kind == abi::STT_SECTION {
            return None;
        }
        let home = match symbol.home {
            Home::Undefined => Cow::Borrowed("UND"),
            Home::Section(section) => latin1(self.object.section_name(section)),
            Home::Absolute => format!("{:#x}", abi::SHN_ABS).into(),
            Home::Common => format!("{:#x}", abi::SHN_COMMON).into(),
            Home::Reserved(index) => format!("{index:#x}").into(),
        };
        Some(format!(
            "symbol {} type={} bind={} other={} value={:#x} size={} in={home}",
            latin1(symbol.name),
            symbol.kind,
            symbol.bind,
            symbol.other,
            symbol.value,
            symbol.size,
        ))
    }

    /// What a relocation refers to: a string of the patch, a section, or a symbol.
    fn target(&self, reloc: &Reloc<S>) -> Result<String> {
        let symbol = self.object.symbol(reloc.symbol);
        match symbol.home {
            Home::Section(section) if symbol.kind == abi::STT_SECTION => {
                let name = self.object.section_name(section);
                if name == livepatch::STRINGS || name == klp_build::STRINGS {
                    let offset = symbol.value.checked_add_signed(reloc.addend);
                    let text = offset.and_then(|offset| self.string(name, offset));
                    let text = text.ok_or_else(|| {
                        bad(format!("a reference into {name} does not lead to a string"))
                    })?;
                    return Ok(format!("str:\"{text}\""));
                }
                Ok(format!("sec:{}{:+}", latin1(name), reloc.addend))
            }
            _ => Ok(format!("{}{:+}", latin1(symbol.name), reloc.addend)),
        }
    }

    /// The string at `offset` of the first section called `section`.
    fn string(&self, section: &str, offset: u64) -> Option<&'a str> {
        let strings = self.object.section(*self.by_name.get(section)?).data;
        let tail = strings.get(usize::try_from(offset).ok()?..)?;
        let len = tail.iter().position(|&b| b == 0)?;
        std::str::from_utf8(tail.get(..len)?).ok()
    }

    fn kpatch(&self, layout: &Layout) -> Result<Option<CanonTable<'_, S>>> {
        self.table(layout.section, layout.size)
    }

    fn table(&self, name: &str, entry_size: u64) -> Result<Option<CanonTable<'_, S>>> {
        let Some((&name, &id)) = self.by_name.get_key_value(name) else { return Ok(None) };
        let data = self.object.section(id).data;
        if !(data.len() as u64).is_multiple_of(entry_size) {
            return Err(bad(format!(
                "the size {} is no multiple of the entry size {entry_size}",
                data.len()
            ))
            .in_section(name));
        }
        Ok(Some(CanonTable { canon: self, id, name, data, entry_size }))
    }
}

/// One of the `.kpatch.*` tables. Entries are byte ranges of it.
struct CanonTable<'a, S> {
    canon: &'a Canon<'a, S>,
    id: SectionId<S>,
    name: &'a str,
    data: &'a [u8],
    entry_size: u64,
}

impl<S: Side> CanonTable<'_, S> {
    fn entries(&self) -> impl Iterator<Item = Range<u64>> + use<S> {
        let size = self.entry_size;
        (0..self.data.len() as u64 / size).map(move |i| i * size..(i + 1) * size)
    }

    fn at(&self, entry: &Range<u64>, field: u64, message: String) -> Error {
        bad(message).in_section(self.name).at_offset(entry.start + field)
    }

    /// The relocation of a field; the last one where there are several.
    fn reloc(&self, entry: &Range<u64>, field: u64) -> Result<Reloc<S>> {
        let offset = entry.start + field;
        let relocs = self.canon.object.relocs(self.id);
        relocs.within(offset, offset + 1).last().ok_or_else(|| {
            self.at(entry, field, "a field that must be relocated has no relocation".to_owned())
        })
    }

    fn has_reloc(&self, entry: &Range<u64>, field: u64) -> bool {
        let offset = entry.start + field;
        self.canon.object.relocs(self.id).within(offset, offset + 1).next().is_some()
    }

    fn target(&self, entry: &Range<u64>, field: u64) -> Result<String> {
        let reloc = self.reloc(entry, field)?;
        self.canon
            .target(&reloc)
            .map_err(|e| e.in_section(self.name).at_offset(entry.start + field))
    }

    /// What a row of kpatch's says beside its pointers.
    fn row<T>(&self, entry: &Range<u64>, decode: fn(&[u8], bool) -> Option<T>) -> Result<T> {
        let big_endian = matches!(self.canon.object.endian(), object::Endianness::Big);
        self.read(entry, 0, |data, at| decode(data.get(at..)?, big_endian))
    }

    fn u32(&self, entry: &Range<u64>, field: u64) -> Result<u32> {
        self.read(entry, field, |data, at| read_u32(data, at, self.canon.object.endian()))
    }

    fn u64(&self, entry: &Range<u64>, field: u64) -> Result<u64> {
        self.read(entry, field, |data, at| read_u64(data, at, self.canon.object.endian()))
    }

    fn read<T>(
        &self,
        entry: &Range<u64>,
        field: u64,
        get: impl Fn(&[u8], usize) -> Option<T>,
    ) -> Result<T> {
        get(self.data, (entry.start + field) as usize)
            .ok_or_else(|| self.at(entry, field, "the entry is cut off".to_owned()))
    }
}

/// A name with each byte as one character: reference outputs have names in this form.
fn latin1(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.bytes().map(char::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use object::write::{
        Object as Writer, Relocation, SectionId as OutSection, Symbol, SymbolId as OutSymbol,
        SymbolSection,
    };
    use object::{
        Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind,
        SymbolFlags, SymbolKind, SymbolScope, elf as e,
    };

    use super::*;
    use crate::elf::ids::Patched;

    const STRINGS: &[u8] = b"vmlinux\0f\0x\0";

    /// A small kpatch object: one changed function, one klp relocation.
    struct Patch {
        writer: Writer<'static>,
        function: OutSymbol,
        strings: OutSection,
        funcs: OutSection,
        symbols: OutSection,
        relocations: OutSection,
    }

    impl Patch {
        fn new(big: bool) -> Self {
            let (arch, endian) = match big {
                true => (Architecture::S390x, Endianness::Big),
                false => (Architecture::X86_64, Endianness::Little),
            };
            let mut writer = Writer::new(BinaryFormat::Elf, arch, endian);
            let mut section = |name: &str, data: &[u8], align: u64| {
                let id = writer.add_section(vec![], name.as_bytes().to_vec(), SectionKind::Other);
                writer.section_mut(id).flags =
                    SectionFlags::Elf { sh_type: e::SHT_PROGBITS, sh_flags: e::SHF_ALLOC };
                writer.append_section_data(id, data, align);
                id
            };
            let text = section(".text.f", b"\x90\x90\x90\x90\x90\x90\x90\x90", 16);
            let strings = section(".kpatch.strings", STRINGS, 1);
            let quad = |n: u64| if big { n.to_be_bytes() } else { n.to_le_bytes() };
            let word = |n: i32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
            let entry: Vec<u8> = [0, 7, 0xffff_ffff_8100_0000, 9, 2, 0, 0].map(quad).concat();
            let funcs = section(".kpatch.funcs", &entry, 8);
            let mut entry: Vec<u8> = [0xffff_ffff_8200_0000, 3].map(quad).concat();
            entry.extend([1, 2, 0, 0, 0, 0, 0, 0]);
            entry.extend([0; 16]);
            let symbols = section(".kpatch.symbols", &[[0; 40].as_slice(), &entry].concat(), 8);
            let mut entry = quad(0).to_vec();
            entry.extend([word(4), word(-1)].concat());
            entry.extend([quad(-4i64 as u64), quad(0), quad(0)].concat());
            let relocations = section(".kpatch.relocations", &entry, 8);
            let function = writer.add_symbol(Symbol {
                name: b"f".to_vec(),
                value: 0,
                size: 7,
                kind: SymbolKind::Text,
                scope: SymbolScope::Compilation,
                weak: false,
                section: SymbolSection::Section(text),
                flags: SymbolFlags::None,
            });
            let mut patch = Patch { writer, function, strings, funcs, symbols, relocations };
            patch.reloc(funcs, 0, patch.function, 0);
            patch.string(funcs, 40, 8);
            patch.string(funcs, 48, 0);
            for start in [0, 40] {
                patch.string(symbols, start + 24, 10);
                patch.string(symbols, start + 32, 0);
            }
            let dest = patch.writer.section_symbol(text);
            patch.reloc(relocations, 0, dest, 5);
            patch.string(relocations, 24, 0);
            let table = patch.writer.section_symbol(symbols);
            patch.reloc(relocations, 32, table, 40);
            patch
        }

        fn reloc(&mut self, section: OutSection, offset: u64, symbol: OutSymbol, addend: i64) {
            let flags = RelocationFlags::Elf { r_type: e::RelocationType(1) };
            let reloc = Relocation { offset, symbol, addend, flags };
            self.writer.add_relocation(section, reloc).expect("plain relocation");
        }

        fn string(&mut self, section: OutSection, offset: u64, addend: i64) {
            let symbol = self.writer.section_symbol(self.strings);
            self.reloc(section, offset, symbol, addend);
        }

        fn bytes(&self) -> Vec<u8> {
            self.writer.write().expect("small object")
        }

        fn lines(&self) -> Result<Vec<String>> {
            let bytes = self.bytes();
            canonical(&Object::<Patched>::parse("patch.o", &bytes)?)
        }
    }

    fn assert_has(lines: &[String], want: &str) {
        assert!(lines.iter().any(|l| l == want), "no line {want:?} in {lines:#?}");
    }

    #[test]
    fn tables_are_printed_decoded_in_both_byte_orders() {
        for big in [false, true] {
            let lines = Patch::new(big).lines().expect("well-formed");
            assert!(lines.is_sorted());
            assert_has(
                &lines,
                "func name=str:\"f\" obj=str:\"vmlinux\" new=f+0 new_size=7 \
                 old_addr=0xffffffff81000000 old_size=9 sympos=2",
            );
            assert_has(
                &lines,
                "klprela dest=sec:.text.f+5 type=4 ext=-1 addend=-4 obj=str:\"vmlinux\" \
                 ksym(str:\"x\",str:\"vmlinux\",pos=3,src=0xffffffff82000000,bind=1,type=2)",
            );
            let machine = if big { "machine 22" } else { "machine 62" };
            assert_has(&lines, &format!("{machine} type 1 flags 0x0"));
            assert_has(&lines, "symbol f type=2 bind=0 other=0 value=0x0 size=7 in=.text.f");
            let text = "section .text.f type=1 flags=0x2 size=8 align=16 entsize=0 ";
            assert!(lines.iter().any(|l| l.starts_with(text)), "{lines:#?}");
            assert!(!lines.iter().any(|l| l.contains(".kpatch.")), "{lines:#?}");
        }
    }

    #[test]
    fn symbols_say_where_they_are() {
        let mut patch = Patch::new(false);
        for (name, section) in [
            ("undef", SymbolSection::Undefined),
            ("abs", SymbolSection::Absolute),
            ("common", SymbolSection::Common),
            ("näme", SymbolSection::Undefined),
        ] {
            patch.writer.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value: 16,
                size: 0,
                kind: SymbolKind::Data,
                scope: SymbolScope::Dynamic,
                weak: false,
                section,
                flags: SymbolFlags::None,
            });
        }
        let symbol = patch.function;
        let text = patch.writer.section_id(object::write::StandardSection::Data);
        patch.writer.append_section_data(text, &[0; 8], 8);
        patch.reloc(text, 0, symbol, -4);
        let lines = patch.lines().expect("well-formed");
        for (name, home) in
            [("undef", "UND"), ("abs", "0xfff1"), ("common", "0xfff2"), ("n\u{c3}\u{a4}me", "UND")]
        {
            let found = lines.iter().find(|l| l.starts_with(&format!("symbol {name} ")));
            assert!(found.is_some_and(|l| l.ends_with(&format!(" in={home}"))), "{lines:#?}");
        }
        assert_has(&lines, "rela .data+0x0 type=1 f-4");
        assert_has(&lines, "relasec .rela.data flags=0x40");
    }

    #[test]
    fn the_last_relocation_of_a_field_counts() {
        let mut patch = Patch::new(false);
        patch.string(patch.funcs, 40, 10);
        let lines = patch.lines().expect("well-formed");
        assert!(lines.iter().any(|l| l.starts_with("func name=str:\"x\" ")), "{lines:#?}");
    }

    #[test]
    fn malformed_tables_are_errors() {
        let refused = |change: fn(&mut Patch), offset: Option<u64>| {
            let mut patch = Patch::new(false);
            change(&mut patch);
            let error = patch.lines().expect_err("malformed");
            assert_eq!(error.code(), Code::KpatchTable, "{error}");
            assert_eq!(error.place().file.as_deref(), Some("patch.o"));
            assert_eq!(error.place().offset, offset, "{error}");
        };
        fn odd(patch: &mut Patch) {
            patch.writer.append_section_data(patch.funcs, &[0; 8], 1);
        }
        fn bare(patch: &mut Patch) {
            patch.writer.append_section_data(patch.funcs, &[0; 56], 1);
        }
        fn between(patch: &mut Patch) {
            let symbol = patch.writer.section_symbol(patch.symbols);
            patch.reloc(patch.relocations, 32, symbol, 8);
        }
        fn behind(patch: &mut Patch) {
            patch.string(patch.symbols, 24, STRINGS.len() as i64);
        }
        fn before(patch: &mut Patch) {
            patch.string(patch.symbols, 24, i64::MIN);
        }
        fn endless(patch: &mut Patch) {
            patch.writer.append_section_data(patch.strings, b"x", 1);
            patch.string(patch.symbols, 24, STRINGS.len() as i64);
        }
        refused(odd, None);
        refused(bare, Some(56 + 40));
        refused(between, Some(32));
        refused(behind, Some(24));
        refused(before, Some(24));
        refused(endless, Some(24));
    }

    #[test]
    fn differences_are_those_of_two_multisets() {
        let list = |text: &str| -> Vec<String> { text.chars().map(String::from).collect() };
        let diff = |a, b| diff(&list(a), &list(b)).concat();
        assert_eq!(diff("", ""), "");
        assert_eq!(diff("abc", "abc"), "");
        assert_eq!(diff("abc", ""), "-a-b-c");
        assert_eq!(diff("", "abc"), "+a+b+c");
        assert_eq!(diff("abd", "bcd"), "-a+c");
        assert_eq!(diff("aab", "abb"), "-a+b");
        assert_eq!(diff("ab", "c"), "-a-b+c");
    }
}
