//! create-klp-module's conversion, on modules built by hand.

use klp_diff::diag::{Code, Result};
use klp_diff::elf::abi;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::{
    OutHome, OutObject, OutReloc, OutRelocs, OutSection, OutSymbol, OutSymbolIndex,
};
use klp_diff::elf::verify::verify;
use klp_diff::elf::write::write;
use klp_diff::patch::convert::{ConvertOptions, to_klp_module};
use proptest::prelude::*;

const ABS64: u32 = 1;
const KLP_RELA_FLAGS: u64 = 0x0010_0000 | abi::SHF_ALLOC | abi::SHF_INFO_LINK;

/// A module under construction.
struct Module {
    object: OutObject,
    /// Strings so far.
    strings: Vec<u8>,
}

// Places of the fixed sections, each with its section symbol at the same index.
const STRINGS: usize = 0;
const SYMBOLS: usize = 1;
const RELOCATIONS: usize = 2;
const ARCH: usize = 3;
const FUNCS: usize = 4;
const TEXT: usize = 5;

impl Module {
    fn new(big_endian: bool) -> Module {
        let machine = if big_endian { abi::EM_S390 } else { abi::EM_X86_64 };
        let mut module = Module {
            object: OutObject { big_endian, kind: abi::ET_REL, machine, ..OutObject::default() },
            strings: b"vmlinux\0".to_vec(),
        };
        for name in [
            ".kpatch.strings",
            ".kpatch.symbols",
            ".kpatch.relocations",
            ".kpatch.arch",
            ".kpatch.funcs",
        ] {
            module.section(name, &[]);
        }
        module.section(".text.f", &[0x90; 64]);
        module
    }

    /// Adds a section with its section symbol; returns the index of both.
    fn section(&mut self, name: &str, data: &[u8]) -> usize {
        let section = self.object.sections.len();
        self.object.sections.push(OutSection {
            name: name.to_owned(),
            kind: abi::SHT_PROGBITS,
            flags: abi::SHF_ALLOC,
            align: 8,
            data: data.to_vec(),
            size: data.len() as u64,
            ..OutSection::default()
        });
        let home = OutHome::Section(section);
        let symbol = self.symbol(name, abi::STT_SECTION, abi::STB_LOCAL, home);
        assert!(symbol == section, "sections come before other symbols");
        section
    }

    fn symbol(&mut self, name: &str, kind: u8, bind: u8, home: OutHome) -> usize {
        let name = name.to_owned();
        self.object.symbols.push(OutSymbol { name, kind, bind, other: 0, home, value: 0, size: 0 });
        self.object.symbols.len() - 1
    }

    fn string(&mut self, text: &str) -> i64 {
        let at = self.strings.len();
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at as i64
    }

    fn pointer(&mut self, section: usize, offset: u64, kind: u32, symbol: usize, addend: i64) {
        let section = &mut self.object.sections[section];
        if section.relocs.is_empty() {
            section.relocs.push(OutRelocs {
                name: format!(".rela{}", section.name),
                flags: abi::SHF_INFO_LINK,
                entries: Vec::new(),
            });
        }
        let entry = OutReloc { offset, kind, symbol: Some(OutSymbolIndex::new(symbol)), addend };
        section.relocs[0].entries.push(entry);
    }

    fn bytes<const N: usize>(&self, little: [u8; N]) -> [u8; N] {
        let mut bytes = little;
        if self.object.big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn row(&mut self, section: usize, fields: &[&[u8]]) -> u64 {
        let data = &mut self.object.sections[section].data;
        let at = data.len() as u64;
        data.extend_from_slice(&fields.concat());
        self.object.sections[section].size = data.len() as u64;
        at
    }

    /// Adds a row to `.kpatch.symbols`; returns its offset.
    fn ksym(&mut self, object: &str, name: &str, position: u64, bind: u8, kind: u8) -> i64 {
        let (name, object) = (self.string(name), self.string(object));
        let position = self.bytes(position.to_le_bytes());
        let row =
            self.row(SYMBOLS, &[&[0; 8], &position, &[bind, kind, 0, 0, 0, 0, 0, 0], &[0; 16]]);
        self.pointer(SYMBOLS, row + 24, ABS64, STRINGS, name);
        self.pointer(SYMBOLS, row + 32, ABS64, STRINGS, object);
        row as i64
    }

    /// Adds a row to `.kpatch.relocations` for the symbol row at `ksym`.
    fn krela(&mut self, dest: (usize, i64), kind: u32, addend: i64, object: &str, ksym: i64) {
        let object = self.string(object);
        let kind = self.bytes(kind.to_le_bytes());
        let addend = self.bytes(addend.to_le_bytes());
        let row = self.row(RELOCATIONS, &[&[0; 8], &kind, &[0; 4], &addend, &[0; 16]]);
        self.pointer(RELOCATIONS, row, ABS64, dest.0, dest.1);
        self.pointer(RELOCATIONS, row + 24, ABS64, STRINGS, object);
        self.pointer(RELOCATIONS, row + 32, ABS64, SYMBOLS, ksym);
    }

    /// Adds a row to `.kpatch.arch`.
    fn karch(&mut self, section: usize, object: &str) {
        let object = self.string(object);
        let row = self.row(ARCH, &[&[0; 16]]);
        self.pointer(ARCH, row, ABS64, section, 0);
        self.pointer(ARCH, row + 8, ABS64, STRINGS, object);
    }

    fn bytes_of_file(&self) -> Vec<u8> {
        let mut object = self.object.clone();
        object.sections[STRINGS].data = self.strings.clone();
        object.sections[STRINGS].size = self.strings.len() as u64;
        write(&object).unwrap()
    }

    /// The conversion of the module as written and read back.
    fn convert(&self, klp_arch_sections: bool, para: Option<u64>) -> Result<OutObject> {
        let bytes = self.bytes_of_file();
        let parsed = Object::<Patched>::parse("in.ko", &bytes).unwrap();
        let result = to_klp_module(&parsed, &ConvertOptions { klp_arch_sections }, para)?;
        verify(&result, &write(&result).unwrap()).unwrap();
        Ok(result)
    }

    fn error(&self, para: Option<u64>) -> String {
        let error = self.convert(true, para).unwrap_err();
        assert_eq!(error.code(), Code::BadKpatchTable);
        assert_eq!(error.place().file.as_deref(), Some("in.ko"));
        error.message().to_owned()
    }
}

fn names(object: &OutObject) -> Vec<&str> {
    object.sections.iter().map(|s| s.name.as_str()).collect()
}

fn find<'o>(object: &'o OutObject, name: &str) -> &'o OutSection {
    object.sections.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no section {name}"))
}

/// The relocations of a table as (offset, type, symbol name, addend).
fn entries<'o>(object: &'o OutObject, table: &OutRelocs) -> Vec<(u64, u32, &'o str, i64)> {
    let name = |r: &OutReloc| object.symbol(r.symbol.unwrap()).unwrap().name.as_str();
    table.entries.iter().map(|r| (r.offset, r.kind, name(r), r.addend)).collect()
}

/// One vmlinux symbol used twice and one of a module.
fn small(big_endian: bool) -> Module {
    let mut module = Module::new(big_endian);
    let function = OutHome::Section(TEXT);
    let f = module.symbol("f", abi::STT_FUNC, abi::STB_LOCAL, function);
    module.symbol("outside", abi::STT_NOTYPE, abi::STB_GLOBAL, OutHome::Undefined);
    module.object.symbols[f].value = 16;
    module.object.sections[FUNCS].data = vec![0; 56];
    module.object.sections[FUNCS].size = 56;
    module.pointer(FUNCS, 0, ABS64, f, 0);
    module.pointer(FUNCS, 40, ABS64, STRINGS, 0);
    let used = module.ksym("vmlinux", "used", 2, abi::STB_LOCAL, abi::STT_OBJECT);
    module.krela((TEXT, 9), 2, -4, "vmlinux", used);
    let again = module.ksym("vmlinux", "used", 2, abi::STB_LOCAL, abi::STT_OBJECT);
    module.krela((f, 1), 11, 0x1_0000_0000, "vmlinux", again);
    let other = module.ksym("ext4", "ext4_fn", 0, abi::STB_GLOBAL, abi::STT_FUNC);
    module.krela((TEXT, 32), 4, 7, "ext4", other);
    module
}

#[test]
fn tables_become_livepatch_symbols_and_relocations() {
    for big_endian in [false, true] {
        let result = small(big_endian).convert(true, None).unwrap();
        assert_eq!(result.big_endian, big_endian);
        assert_eq!(names(&result), [".kpatch.strings", ".kpatch.funcs", ".text.f"]);

        let text = find(&result, ".text.f");
        let tables: Vec<_> = text.relocs.iter().map(|t| (t.name.as_str(), t.flags)).collect();
        let wanted = [".klp.rela.vmlinux..text.f", ".klp.rela.ext4..text.f"];
        assert_eq!(tables, wanted.map(|name| (name, KLP_RELA_FLAGS)));
        assert_eq!(
            entries(&result, &text.relocs[0]),
            [
                (9, 2, ".klp.sym.vmlinux.used,2", -4),
                (17, 11, ".klp.sym.vmlinux.used,2", 0x1_0000_0000),
            ]
        );
        assert_eq!(entries(&result, &text.relocs[1]), [(32, 4, ".klp.sym.ext4.ext4_fn,0", 7)]);

        let klp: Vec<_> = result.symbols.iter().filter(|s| s.name.starts_with(".klp")).collect();
        let facts = |s: &OutSymbol| (s.home, s.bind, s.kind, s.value, s.size);
        let home = OutHome::Reserved(0xff20);
        assert_eq!(klp.len(), 2);
        assert_eq!(facts(klp[0]), (home, abi::STB_LOCAL, abi::STT_OBJECT, 0, 0));
        assert_eq!(facts(klp[1]), (home, abi::STB_GLOBAL, abi::STT_FUNC, 0, 0));
    }
}

#[test]
fn what_stays_is_renumbered() {
    let mut module = small(false);
    module.object.sections[FUNCS].flags |= abi::SHF_LINK_ORDER;
    module.object.sections[FUNCS].link = Some(TEXT);
    let result = module.convert(true, None).unwrap();
    let funcs = find(&result, ".kpatch.funcs");
    assert_eq!(names(&result)[funcs.link.unwrap()], ".text.f");
    assert_eq!(
        entries(&result, &funcs.relocs[0]),
        [(0, ABS64, "f", 0), (40, ABS64, ".kpatch.strings", 0)]
    );
    let f = result.symbols.iter().find(|s| s.name == "f").unwrap();
    assert_eq!((f.home, f.value), (OutHome::Section(2), 16));
    assert!(result.symbols.iter().any(|s| s.name == "outside" && s.home == OutHome::Undefined));
    assert!(!result.symbols.iter().any(|s| s.name.starts_with(".kpatch.r")));
}

#[test]
fn a_module_without_such_relocations_only_loses_the_tables() {
    let result = Module::new(false).convert(true, None).unwrap();
    assert_eq!(names(&result), [".kpatch.strings", ".kpatch.funcs", ".text.f"]);
    assert!(result.sections.iter().all(|s| s.relocs.is_empty()));
}

#[test]
fn long_names_are_kept_whole() {
    let mut module = Module::new(false);
    let long = "s".repeat(300);
    let section = module.section(&format!(".text.{long}"), &[0; 8]);
    let ksym = module.ksym("vmlinux", &long, 12345, abi::STB_GLOBAL, abi::STT_FUNC);
    module.krela((section, 0), 1, 0, "vmlinux", ksym);
    let result = module.convert(true, None).unwrap();
    let table = &find(&result, &format!(".text.{long}")).relocs[0];
    assert_eq!(table.name, format!(".klp.rela.vmlinux..text.{long}"));
    let wanted = format!(".klp.sym.vmlinux.{long},12345");
    assert_eq!(entries(&result, table), [(0, 1, wanted.as_str(), 0)]);
}

#[test]
fn sections_of_equal_name_get_their_own_tables() {
    let mut module = Module::new(false);
    let twin = module.section(".text.f", &[0; 64]);
    let ksym = module.ksym("vmlinux", "a", 1, abi::STB_GLOBAL, abi::STT_FUNC);
    module.krela((TEXT, 4), 1, 0, "vmlinux", ksym);
    let ksym = module.ksym("vmlinux", "b", 1, abi::STB_GLOBAL, abi::STT_FUNC);
    module.krela((twin, 8), 1, 0, "vmlinux", ksym);
    let result = module.convert(true, None).unwrap();
    let found: Vec<_> = result
        .sections
        .iter()
        .filter(|s| s.name == ".text.f")
        .map(|s| (s.relocs.len(), entries(&result, &s.relocs[0])))
        .collect();
    let wanted = [
        (1, vec![(4, 1, ".klp.sym.vmlinux.a,1", 0)]),
        (1, vec![(8, 1, ".klp.sym.vmlinux.b,1", 0)]),
    ];
    assert_eq!(found, wanted);
}

/// Two objects with alternatives, one of them in two sections, and a paravirt table.
fn with_arch() -> Module {
    let mut module = Module::new(false);
    let first = module.section(".altinstructions", &[1; 13]);
    let second = module.section(".altinstructions", &[2; 13]);
    let other = module.section(".altinstructions", &[3; 13]);
    let para = module.section(".parainstructions", &[4; 12]);
    let para2 = module.section(".parainstructions", &[5; 12]);
    for (section, offset) in [(first, 4), (second, 0), (other, 0), (para, 0), (para2, 8)] {
        module.pointer(
            section,
            offset,
            2,
            TEXT,
            i64::from(module.object.sections[section].data[0]),
        );
    }
    for (section, object) in [
        (first, "vmlinux"),
        (other, "ext4"),
        (para, "vmlinux"),
        (second, "vmlinux"),
        (para2, "vmlinux"),
    ] {
        module.karch(section, object);
    }
    module
}

#[test]
fn arch_sections_are_joined_by_object() {
    let result = with_arch().convert(true, Some(16)).unwrap();
    assert_eq!(
        names(&result),
        [
            ".kpatch.strings",
            ".kpatch.funcs",
            ".text.f",
            ".klp.arch.vmlinux..altinstructions",
            ".klp.arch.ext4..altinstructions",
            ".klp.arch.vmlinux..parainstructions",
        ]
    );
    let alt = find(&result, ".klp.arch.vmlinux..altinstructions");
    assert_eq!(alt.data, [[1; 13], [2; 13]].concat());
    assert_eq!((alt.kind, alt.flags), (abi::SHT_PROGBITS, abi::SHF_ALLOC));
    assert_eq!((alt.align, alt.entsize), (8, 1));
    assert_eq!(alt.relocs[0].name, ".rela.klp.arch.vmlinux..altinstructions");
    assert_eq!(alt.relocs[0].flags, abi::SHF_INFO_LINK);
    assert_eq!(entries(&result, &alt.relocs[0]), [(4, 2, ".text.f", 1), (13, 2, ".text.f", 2)]);

    let other = find(&result, ".klp.arch.ext4..altinstructions");
    assert_eq!(other.data, [3; 13]);
    assert_eq!(entries(&result, &other.relocs[0]), [(0, 2, ".text.f", 3)]);

    // The second table starts at a multiple of the row size.
    let para = find(&result, ".klp.arch.vmlinux..parainstructions");
    assert_eq!(para.data, [&[4; 12][..], &[0; 4], &[5; 12]].concat());
    assert_eq!(entries(&result, &para.relocs[0]), [(0, 2, ".text.f", 4), (24, 2, ".text.f", 5)]);
}

#[test]
fn arch_sections_stay_on_request_or_when_they_are_not_listed() {
    let before = with_arch();
    let kept = [
        ".kpatch.strings",
        ".kpatch.funcs",
        ".text.f",
        ".altinstructions",
        ".altinstructions",
        ".altinstructions",
        ".parainstructions",
        ".parainstructions",
    ];
    let result = before.convert(false, None).unwrap();
    assert_eq!(names(&result), kept);
    assert_eq!(find(&result, ".parainstructions").relocs[0].entries.len(), 1);

    let mut unlisted = with_arch();
    unlisted.object.sections[ARCH].data.clear();
    unlisted.object.sections[ARCH].size = 0;
    unlisted.object.sections[ARCH].relocs.clear();
    assert_eq!(names(&unlisted.convert(true, None).unwrap()), kept);
}

#[test]
fn livepatch_relocations_follow_a_moved_section() {
    let mut module = with_arch();
    let second = module.object.sections.iter().rposition(|s| s.data == [2; 13]).unwrap();
    let ksym = module.ksym("vmlinux", "a", 1, abi::STB_GLOBAL, abi::STT_FUNC);
    module.krela((second, 4), 2, 0, "vmlinux", ksym);
    let result = module.convert(true, Some(16)).unwrap();
    let alt = find(&result, ".klp.arch.vmlinux..altinstructions");
    assert_eq!(alt.relocs[1].name, ".klp.rela.vmlinux..klp.arch.vmlinux..altinstructions");
    assert_eq!(entries(&result, &alt.relocs[1]), [(17, 2, ".klp.sym.vmlinux.a,1", 0)]);
}

#[test]
fn one_section_for_two_objects_is_refused_and_twice_for_one_is_not() {
    let mut module = Module::new(false);
    let alt = module.section(".altinstructions", &[1; 13]);
    module.karch(alt, "vmlinux");
    module.karch(alt, "vmlinux");
    let result = module.convert(true, None).unwrap();
    assert_eq!(find(&result, ".klp.arch.vmlinux..altinstructions").size, 13);
    module.karch(alt, "ext4");
    assert_eq!(module.error(None), "the section belongs to ext4 and to another object");
}

#[test]
fn the_paravirt_row_size_is_needed_and_checked() {
    assert_eq!(with_arch().error(None), "PARA_STRUCT_SIZE not set");
    assert_eq!(with_arch().error(Some(12)), "PARA_STRUCT_SIZE 12 is no power of two");
    assert_eq!(with_arch().error(Some(0)), "PARA_STRUCT_SIZE 0 is no power of two");
}

#[test]
fn missing_tables_are_named() {
    for (section, name) in [
        (STRINGS, ".kpatch.strings"),
        (SYMBOLS, ".kpatch.symbols"),
        (RELOCATIONS, ".kpatch.relocations"),
    ] {
        let mut module = small(false);
        module.object.sections[section].name = ".other".to_owned();
        assert_eq!(module.error(None), format!("missing {name}"));
    }
}

#[test]
fn damaged_tables_are_refused() {
    type Edit = fn(&mut Module);
    let edits: [(&str, Edit); 16] = [
        ("number of krelas and ksyms do not match", |m| {
            m.ksym("vmlinux", "x", 1, 1, 2);
        }),
        ("two sections of this name", |m| m.object.sections[TEXT].name = ".kpatch.arch".to_owned()),
        ("no multiple of 40", |m| {
            m.row(SYMBOLS, &[&[0; 8]]);
        }),
        ("no multiple of 16", |m| {
            m.row(ARCH, &[&[0; 8]]);
        }),
        ("a pointer has no relocation", |m| {
            m.object.sections[SYMBOLS].relocs[0].entries.remove(3);
        }),
        ("a pointer has two relocations", |m| m.pointer(SYMBOLS, 24, ABS64, STRINGS, 0)),
        ("a pointer refers to nothing", |m| {
            m.object.sections[SYMBOLS].relocs[0].entries[0].symbol = None;
        }),
        ("a pointer refers to nothing", |m| {
            m.object.sections[SYMBOLS].relocs[0].entries[0].symbol = Some(OutSymbolIndex::new(7));
        }),
        ("leads out of its section", |m| {
            m.object.sections[SYMBOLS].relocs[0].entries[0].addend = -1;
        }),
        ("a name is not in .kpatch.strings", |m| {
            m.object.sections[SYMBOLS].relocs[0].entries[0].symbol =
                Some(OutSymbolIndex::new(TEXT));
        }),
        ("a name lies outside", |m| {
            m.object.sections[SYMBOLS].relocs[0].entries[0].addend = 100_000;
        }),
        ("a name lies outside", |m| {
            m.strings.pop();
        }),
        ("a name is not UTF-8", |m| m.strings[8] = 0xff),
        ("no row of .kpatch.symbols", |m| {
            m.object.sections[RELOCATIONS].relocs[0].entries[2].addend = 120;
        }),
        ("no row of .kpatch.symbols", |m| {
            m.object.sections[RELOCATIONS].relocs[0].entries[2].addend = 41;
        }),
        ("binding of a symbol is out of range", |m| m.object.sections[SYMBOLS].data[16] = 16),
    ];
    for (message, edit) in edits {
        let mut module = small(false);
        edit(&mut module);
        let error = module.error(None);
        assert!(error.contains(message), "wanted {message}: {error}");
    }
}

#[test]
fn what_the_kernel_could_not_apply_is_refused() {
    type Edit = fn(&mut Module);
    let edits: [(&str, Edit); 7] = [
        ("destination lies behind the end", |m| {
            m.object.sections[RELOCATIONS].relocs[0].entries[0].addend = 64
        }),
        ("applies to a section that is removed", |m| {
            m.object.sections[RELOCATIONS].relocs[0].entries[0].symbol =
                Some(OutSymbolIndex::new(SYMBOLS));
        }),
        ("a relocation refers to a section that is removed", |m| {
            m.pointer(TEXT, 0, ABS64, SYMBOLS, 0)
        }),
        ("sh_link refers to a section that is removed", |m| {
            m.object.sections[TEXT].link = Some(ARCH)
        }),
        ("could not find a symbol", |m| {
            let ksym = m.ksym("vmlinux", "a,b", 1, 1, 2);
            m.krela((TEXT, 0), 1, 0, "vmlinux", ksym);
        }),
        ("object name a.b contains a dot", |m| {
            let ksym = m.ksym("a.b", "c", 1, 1, 2);
            m.krela((TEXT, 0), 1, 0, "vmlinux", ksym);
        }),
        ("name of an object is empty", |m| {
            let ksym = m.ksym("vmlinux", "c", 1, 1, 2);
            m.krela((TEXT, 0), 1, 0, "", ksym);
        }),
    ];
    for (message, edit) in edits {
        let mut module = small(false);
        edit(&mut module);
        let error = module.error(None);
        assert!(error.contains(message), "wanted {message}: {error}");
    }
}

proptest! {
    /// Damaged modules are refused, or converted to something that can be written.
    #[test]
    fn damaged_modules_are_no_trouble(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        big_endian in any::<bool>(),
    ) {
        let module = if big_endian { small(true) } else { with_arch() };
        let mut bytes = module.bytes_of_file();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let Ok(parsed) = Object::<Patched>::parse("in.ko", &bytes) else { return Ok(()) };
        let options = ConvertOptions { klp_arch_sections: true };
        if let Ok(result) = to_klp_module(&parsed, &options, Some(16))
            && let Ok(bytes) = write(&result)
        {
            verify(&result, &bytes).unwrap();
        }
    }
}
