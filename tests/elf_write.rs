//! The writer, the verifier and the reader against each other, and against binutils.

#[path = "common/suite.rs"]
mod suite;

#[path = "elf_write/any.rs"]
mod any;

use std::path::Path;
use std::process::Command;

use any::any_object;
use klp_diff::diag::{Class, Code};
use klp_diff::elf::abi;
use klp_diff::elf::ids::Orig;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::{
    OutHome, OutObject, OutReloc, OutRelocs, OutSection, OutSymbol, OutSymbolIndex,
};
use klp_diff::elf::publish::publish;
use klp_diff::elf::verify::verify;
use klp_diff::elf::write::write;
use proptest::collection::vec;
use proptest::prelude::*;

/// e_machine, byte order and the absolute 64-bit relocation type (ELF supplements).
const MACHINES: [(u16, bool, u32); 5] = [
    (abi::EM_X86_64, false, 1),
    (abi::EM_AARCH64, false, 257),
    (abi::EM_PPC64, false, 38),
    (abi::EM_S390, true, 22),
    (abi::EM_LOONGARCH, false, 2),
];

/// What a relocation refers to.
fn at(symbol: usize) -> Option<OutSymbolIndex> {
    Some(OutSymbolIndex::new(symbol))
}

fn section(name: &str, flags: u64, data: &[u8]) -> OutSection {
    OutSection {
        name: name.to_owned(),
        kind: abi::SHT_PROGBITS,
        flags,
        align: 8,
        data: data.to_vec(),
        size: data.len() as u64,
        ..OutSection::default()
    }
}

fn symbol(name: &str, kind: u8, bind: u8, home: OutHome) -> OutSymbol {
    OutSymbol { name: name.to_owned(), kind, bind, other: 0, home, value: 0, size: 0 }
}

fn rela(name: &str, entries: Vec<OutReloc>) -> OutRelocs {
    OutRelocs { name: name.to_owned(), flags: abi::SHF_INFO_LINK, entries }
}

/// A small object with one of everything that the writer treats specially.
fn sample(machine: u16, big_endian: bool, abs64: u32, tag: &str) -> OutObject {
    let mut text = section(".text", abi::SHF_ALLOC | abi::SHF_EXECINSTR, &[0x90; 32]);
    text.align = 16;
    let mut data = section(".data", abi::SHF_ALLOC | abi::SHF_WRITE, &[0; 24]);
    data.relocs = vec![rela(
        ".rela.data",
        vec![
            OutReloc { offset: 0, kind: abs64, symbol: at(0), addend: 4 },
            OutReloc { offset: 8, kind: abs64, symbol: at(5), addend: -1 },
            OutReloc { offset: 16, kind: abs64, symbol: at(2), addend: i64::from(u32::MAX) },
        ],
    )];
    let mut bss = section(".bss", abi::SHF_ALLOC | abi::SHF_WRITE, &[]);
    bss.kind = abi::SHT_NOBITS;
    bss.size = 0x10_0000;
    let mut ordered = section("ordered", abi::SHF_ALLOC | abi::SHF_LINK_ORDER, &[1; 3]);
    ordered.align = 1;
    ordered.link = Some(0);
    let text_home = OutHome::Section(0);
    let mut file = symbol("unit.c", abi::STT_FILE, abi::STB_LOCAL, OutHome::Reserved(abi::SHN_ABS));
    file.size = 7;
    let mut function = symbol("local", abi::STT_FUNC, abi::STB_LOCAL, text_home);
    function.value = 16;
    function.size = 16;
    OutObject {
        big_endian,
        kind: abi::ET_REL,
        machine,
        flags: if machine == abi::EM_PPC64 { 2 } else { 0 },
        sections: vec![text, data, bss, ordered],
        symbols: vec![
            symbol(&format!("global_{tag}"), abi::STT_FUNC, abi::STB_GLOBAL, text_home),
            symbol(".text", abi::STT_SECTION, abi::STB_LOCAL, text_home),
            function,
            symbol("object", abi::STT_OBJECT, abi::STB_LOCAL, OutHome::Section(1)),
            file,
            symbol("outside", abi::STT_NOTYPE, abi::STB_GLOBAL, OutHome::Undefined),
        ],
    }
}

/// The model as the reader gives it back: symbols in file order, relocations by offset.
fn normal(object: &OutObject) -> OutObject {
    let is_file = |s: &OutSymbol| s.bind == abi::STB_LOCAL && s.kind == abi::STT_FILE;
    let files = |symbols: &[OutSymbol]| symbols.iter().filter(|s| is_file(s)).count();
    let several = files(&object.symbols) > 1;
    // Local symbols stay behind the FILE symbol of their file, when there are several.
    let rank = |i: usize| match &object.symbols[i] {
        s if s.bind != abi::STB_LOCAL => (usize::MAX, 3),
        s => {
            let file = if several { files(&object.symbols[..=i]) } else { 0 };
            (file, if is_file(s) { 0 } else { 1 + u8::from(s.kind != abi::STT_FUNC) })
        }
    };
    let mut order: Vec<usize> = (0..object.symbols.len()).collect();
    order.sort_by_key(|&i| rank(i));
    let mut place = vec![0; order.len()];
    for (new, &old) in order.iter().enumerate() {
        place[old] = new;
    }
    let mut normal = object.clone();
    normal.symbols = order.iter().map(|&i| object.symbols[i].clone()).collect();
    for symbol in &mut normal.symbols {
        // Section symbols are written without a name and read with that of their section.
        if symbol.kind == abi::STT_SECTION {
            symbol.name = match symbol.home {
                OutHome::Section(section) => object.sections[section].name.clone(),
                _ => String::new(),
            };
        }
    }
    for section in &mut normal.sections {
        for table in &mut section.relocs {
            table.entries.sort_by_key(|r| r.offset);
            for entry in &mut table.entries {
                entry.symbol = entry.symbol.map(|s| OutSymbolIndex::new(place[s.index()]));
            }
        }
    }
    normal
}

fn read(bytes: &[u8]) -> klp_diff::diag::Result<OutObject> {
    OutObject::from_object(&Object::<Orig>::parse("written", bytes)?)
}
fn every_machine_comes_back_as_written() {
    for (machine, big_endian, abs64) in MACHINES {
        let object = sample(machine, big_endian, abs64, "a");
        let bytes = write(&object).unwrap();
        verify(&object, &bytes).unwrap();
        assert_eq!(read(&bytes).unwrap(), normal(&object), "machine {machine}");
    }
}
fn symbols_are_sorted_stably_and_sh_info_counts_the_locals() {
    let object = sample(abi::EM_X86_64, false, 1, "a");
    let bytes = write(&object).unwrap();
    let parsed = Object::<Orig>::parse("written", &bytes).unwrap();
    let names: Vec<_> = parsed.symbols().map(|id| parsed.symbol_name(id)).collect();
    assert_eq!(names, ["", "unit.c", "local", ".text", "object", "global_a", "outside"]);
    assert_eq!(parsed.section(parsed.symtab()).info, 5);
}
fn nobits_take_no_space_in_the_file() {
    let object = sample(abi::EM_X86_64, false, 1, "a");
    assert!(write(&object).unwrap().len() < 4096);
}
fn several_tables_for_one_section_are_written() {
    let mut object = sample(abi::EM_X86_64, false, 1, "a");
    for name in [".klp.rela.vmlinux..text", ".klp.rela.ext4..text"] {
        object.symbols.push(symbol(
            &format!(".klp.sym{name},1"),
            abi::STT_FUNC,
            abi::STB_GLOBAL,
            OutHome::Reserved(abi::SHN_LIVEPATCH),
        ));
        let target = at(object.symbols.len() - 1);
        object.sections[0].relocs.push(OutRelocs {
            name: name.to_owned(),
            flags: abi::SHF_ALLOC | abi::SHF_INFO_LINK | abi::SHF_RELA_LIVEPATCH,
            entries: vec![OutReloc { offset: 8, kind: 2, symbol: target, addend: -4 }],
        });
    }
    let bytes = write(&object).unwrap();
    verify(&object, &bytes).unwrap();
    readelf_has_no_complaint_about(&bytes);
    // Swapped tables are a difference although their counts agree.
    object.sections[0].relocs.swap(0, 1);
    assert_eq!(verify(&object, &bytes).unwrap_err().code(), Code::VerifyFailed);
}
fn a_long_section_number_needs_the_extended_tables() {
    let count = 70_000;
    let mut object =
        OutObject { kind: abi::ET_REL, machine: abi::EM_X86_64, ..OutObject::default() };
    for i in 0..count {
        let mut new = section(&format!(".data.v{i}"), abi::SHF_ALLOC, &(i as u64).to_le_bytes());
        object.symbols.push(symbol(
            &format!("v{i}"),
            abi::STT_OBJECT,
            if i % 2 == 0 { abi::STB_LOCAL } else { abi::STB_GLOBAL },
            OutHome::Section(i),
        ));
        if i % 1000 == 0 {
            let entry = OutReloc { offset: 0, kind: 1, symbol: at(count - 1 - i), addend: 0 };
            new.relocs.push(rela(&format!(".rela.data.v{i}"), vec![entry]));
        }
        object.sections.push(new);
    }
    let bytes = write(&object).unwrap();
    verify(&object, &bytes).unwrap();
    assert_eq!(read(&bytes).unwrap(), normal(&object));
    let parsed = Object::<Orig>::parse("written", &bytes).unwrap();
    assert!(parsed.sections().any(|id| parsed.section(id).kind == abi::SHT_SYMTAB_SHNDX));
    readelf_has_no_complaint_about(&bytes);
}
fn the_extended_numbering_starts_where_it_must() {
    // With N sections of the model the last header index is N + 3 (or N + 4).
    for count in 0xfef8..0xff04usize {
        let mut object = OutObject {
            kind: abi::ET_REL,
            machine: abi::EM_S390,
            big_endian: true,
            ..OutObject::default()
        };
        object.sections = (0..count).map(|_| section("s", 0, &[])).collect();
        object.symbols =
            vec![symbol("last", abi::STT_OBJECT, abi::STB_GLOBAL, OutHome::Section(count - 1))];
        let bytes = write(&object).unwrap();
        verify(&object, &bytes).unwrap();
        assert_eq!(read(&bytes).unwrap(), object, "{count} sections");
    }
}
fn inconsistent_models_are_refused() {
    type Edit = fn(&mut OutObject);
    let edits: [(&str, Edit); 14] = [
        ("group", |o| o.sections[0].kind = abi::SHT_GROUP),
        ("as contents", |o| o.sections[0].kind = abi::SHT_RELA),
        ("SHF_GROUP", |o| o.sections[0].flags |= abi::SHF_GROUP),
        ("power of two", |o| o.sections[0].align = 12),
        ("bytes of contents", |o| o.sections[0].size = 31),
        ("bytes of contents", |o| o.sections[2].data.push(0)),
        ("sh_link", |o| o.sections[0].link = Some(4)),
        ("nor compressed", |o| o.sections[1].relocs[0].flags |= abi::SHF_COMPRESSED),
        ("symbol that does not exist", |o| o.sections[1].relocs[0].entries[0].symbol = at(6)),
        ("behind the end", |o| o.sections[1].relocs[0].entries[0].offset = 24),
        ("section that does not exist", |o| o.symbols[0].home = OutHome::Section(4)),
        ("reserved", |o| o.symbols[0].home = OutHome::Reserved(abi::SHN_XINDEX)),
        ("below 16", |o| o.symbols[0].kind = 16),
        ("NUL", |o| o.symbols[0].name.push('\0')),
    ];
    for (message, edit) in edits {
        let mut object = sample(abi::EM_X86_64, false, 1, "a");
        edit(&mut object);
        let error = write(&object).unwrap_err();
        assert_eq!((error.class(), error.code().name()), (Class::Broken, "inconsistent-output"));
        assert!(error.message().contains(message), "{error}");
    }
}
fn a_huge_alignment_does_not_make_a_huge_file() {
    let mut object = sample(abi::EM_X86_64, false, 1, "a");
    object.sections[3].align = 1 << 40;
    let bytes = write(&object).unwrap();
    assert!(bytes.len() < 16384);
    verify(&object, &bytes).unwrap();
}
fn verify_names_what_differs() {
    type Edit = fn(&mut OutObject);
    let edits: [(&str, Edit); 15] = [
        ("e_machine", |o| o.machine += 1),
        ("e_flags", |o| o.flags += 1),
        ("number of sections", |o| o.sections.truncate(3)),
        ("number of symbols", |o| o.symbols.truncate(5)),
        ("sh_flags", |o| o.sections[0].flags += 1),
        ("sh_entsize", |o| o.sections[0].entsize += 1),
        ("sh_link", |o| o.sections[3].link = Some(1)),
        ("the contents", |o| o.sections[0].data[31] = 0),
        ("the name", |o| o.sections[0].name.push('x')),
        ("the name", |o| o.symbols[0].name.push('x')),
        ("the section", |o| o.symbols[0].home = OutHome::Section(1)),
        ("st_value", |o| o.symbols[0].value += 1),
        ("st_other", |o| o.symbols[0].other += 1),
        ("a relocation", |o| o.sections[1].relocs[0].entries[0].addend += 1),
        ("a relocation", |o| o.sections[1].relocs[0].entries[0].symbol = at(1)),
    ];
    let bytes = write(&sample(abi::EM_X86_64, false, 1, "a")).unwrap();
    for (message, edit) in edits {
        let mut object = sample(abi::EM_X86_64, false, 1, "a");
        edit(&mut object);
        let error = verify(&object, &bytes).unwrap_err();
        assert_eq!((error.class(), error.code().name()), (Class::Broken, "verify-failed"));
        assert!(error.message().contains(message), "wanted {message}: {error}");
    }
}
fn more_sections_than_in_the_model_are_a_difference() {
    let model = sample(abi::EM_X86_64, false, 1, "a");
    let mut object = model.clone();
    let mut extra = object.sections[1].clone();
    for _ in 0..2 {
        extra.name.push('x');
        object.sections.push(extra.clone());
    }
    let error = verify(&model, &write(&object).unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::VerifyFailed);
}
fn objects_that_the_model_cannot_hold_are_refused() {
    // (wanted message, offset of a 32-bit field in the header of .data, new value)
    for (message, field, value) in
        [("groups of sections", 4, abi::SHT_GROUP), ("sh_info", 44, 1), ("sh_link", 40, 6)]
    {
        let mut object = sample(abi::EM_X86_64, false, 1, "a");
        object.sections[1].relocs.clear();
        let mut bytes = write(&object).unwrap();
        let shoff = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
        let at = shoff + 2 * 64 + field;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let error = read(&bytes).unwrap_err();
        assert_eq!(error.code(), Code::UnsupportedObject);
        assert!(error.message().contains(message), "{error}");
        assert_eq!(error.place().section.as_deref(), Some(".data"));
    }
}
fn overlapping_sections_are_refused() {
    let mut object = sample(abi::EM_X86_64, false, 1, "a");
    object.sections = (0..100).map(|_| section("s", 0, &[0; 1000])).collect();
    object.symbols.clear();
    let mut bytes = write(&object).unwrap();
    let shoff = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    let whole = bytes.len() as u64;
    for i in 1..=100 {
        let place = shoff + i * 64 + 24;
        bytes[place..place + 8].copy_from_slice(&0u64.to_le_bytes());
        bytes[place + 8..place + 16].copy_from_slice(&whole.to_le_bytes());
    }
    let error = read(&bytes).unwrap_err();
    assert_eq!(error.message(), "the contents of sections overlap");
}
fn publish_replaces_the_file_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.o");
    std::fs::write(&path, "old").unwrap();
    let object = sample(abi::EM_X86_64, false, 1, "a");
    publish(&path, &object).unwrap();
    assert_eq!(read(&std::fs::read(&path).unwrap()).unwrap(), normal(&object));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let link = folder.path().join("link.o");
    std::os::unix::fs::symlink("out.o", &link).unwrap();
    std::fs::write(&path, "old").unwrap();
    publish(&link, &object).unwrap();
    assert!(link.is_symlink());
    read(&std::fs::read(&path).unwrap()).unwrap();
}
fn publish_uses_the_mode_of_creat() {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o664).open(&plain).unwrap();
    let path = folder.path().join("out.o");
    publish(&path, &sample(abi::EM_X86_64, false, 1, "a")).unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}
fn publish_explains_why_it_cannot_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let good = sample(abi::EM_X86_64, false, 1, "a");
    let mut bad = good.clone();
    bad.sections[0].align = 3;
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "keep me").unwrap();
    let entries = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = entries();
    for (path, object, code) in [
        (folder.path().to_owned(), &good, "unwritable"),
        (folder.path().join("missing/out.o"), &good, "unwritable"),
        (plain.join("out.o"), &good, "unwritable"),
        ("/dev/null".into(), &good, "unwritable"),
        (plain.clone(), &bad, "inconsistent-output"),
    ] {
        let error = publish(&path, object).unwrap_err();
        assert_eq!(error.code().name(), code, "{error}");
        assert_eq!(error.place().file.as_deref(), path.to_str());
        assert!(code != "unwritable" || error.advice().is_some(), "{error}");
        assert_eq!(entries(), before);
    }
    assert_eq!(std::fs::read(&plain).unwrap(), b"keep me");
}

/// Runs a tool; `None` when it is not installed.
fn run(tool: &str, args: &[&str]) -> Option<(bool, String)> {
    let output = match Command::new(tool).args(args).env("LC_ALL", "C").output() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            crate::suite::lacks(format!("{tool} is not installed"));
            return None;
        }
        output => output.unwrap(),
    };
    let text = [output.stdout, output.stderr].map(|t| String::from_utf8_lossy(&t).into_owned());
    Some((output.status.success(), text.concat()))
}

fn readelf_has_no_complaint_about(bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let Some((ok, text)) = run("readelf", &["-aW", file.path().to_str().unwrap()]) else { return };
    let complaints: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("readelf:") || line.contains("<corrupt"))
        .collect();
    assert!(ok && complaints.is_empty(), "{complaints:#?}");
}
fn readelf_has_no_complaint() {
    for (machine, big_endian, abs64) in MACHINES {
        readelf_has_no_complaint_about(&write(&sample(machine, big_endian, abs64, "a")).unwrap());
    }
}
fn ld_links_two_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.o", "b.o", "both.o"].map(|n| folder.path().join(n));
    for (path, tag) in paths.iter().zip(["a", "b"]) {
        publish(path, &sample(abi::EM_X86_64, false, 1, tag)).unwrap();
    }
    let [a, b, both] = paths.each_ref().map(|p| p.to_str().unwrap());
    let args = ["-m", "elf_x86_64", "-r", "-o", both, a, b];
    let Some((ok, text)) = run("x86_64-linux-gnu-ld", &args) else { return };
    assert!(ok && text.is_empty(), "{text}");
    let bytes = std::fs::read(both).unwrap();
    let linked = read(&bytes).unwrap();
    let data = linked.sections.iter().find(|s| s.name == ".data").unwrap();
    assert_eq!(data.relocs[0].entries.len(), 6);
    for name in ["global_a", "global_b", "outside"] {
        assert_eq!(linked.symbols.iter().filter(|s| s.name == name).count(), 1, "{name}");
    }
}

proptest! {
    fn any_object_comes_back_as_written(object in any_object(1)) {
        let bytes = write(&object).unwrap();
        verify(&object, &bytes).unwrap();
        prop_assert_eq!(read(&bytes).unwrap(), normal(&object));
    }
    fn any_object_is_verified(object in any_object(3)) {
        verify(&object, &write(&object).unwrap()).unwrap();
    }

    /// Damaged files are refused or understood; what is understood can be written again.
    fn damaged_input_is_no_trouble(
        object in any_object(1),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = write(&object).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(copy) = read(&bytes)
            && let Ok(again) = write(&copy)
        {
            verify(&copy, &again).unwrap();
            prop_assert_eq!(read(&again).unwrap(), normal(&copy));
        }
        let _ = verify(&object, &bytes);
    }

    /// A damaged byte is found unless the file still means the same to the reader.
    fn a_damaged_byte_is_found(
        object in any_object(1),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let mut bytes = write(&object).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if verify(&object, &bytes).is_ok() {
            let again = read(&bytes);
            prop_assert!(again.is_ok(), "byte {at}: {}", again.unwrap_err());
            prop_assert_eq!(again.unwrap(), normal(&object), "byte {}", at);
        }
    }
}

/// Every single bit of one object, so that no header field depends on luck.
fn every_damaged_bit_is_found() {
    let object = sample(abi::EM_S390, true, 22, "a");
    let good = write(&object).unwrap();
    let mut unnoticed = 0;
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if verify(&object, &bytes).is_ok() {
            unnoticed += 1;
            assert_eq!(read(&bytes).unwrap(), normal(&object), "bit {bit}");
        }
    }
    // Alignment gaps, names with an equal tail and places of empty contents.
    assert!(unnoticed < good.len() / 2, "{unnoticed} bits do not matter");
}

/// Real compiler output, when the folder with it is given.
fn real_objects_come_back_as_copied() {
    let Some(data) = std::env::var_os("KLP_DIFF_DATA") else {
        crate::suite::lacks("KLP_DIFF_DATA is not set");
        return;
    };
    let mut copied = 0;
    for folder in std::fs::read_dir(Path::new(&data).join("kpatch-objs")).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "o") {
                continue;
            }
            let input = std::fs::read(&path).unwrap();
            let object = match read(&input) {
                Ok(object) => object,
                Err(error) => {
                    assert_eq!(
                        error.code(),
                        Code::UnsupportedObject,
                        "{}: {error}",
                        path.display()
                    );
                    continue;
                }
            };
            let bytes = write(&object).unwrap();
            verify(&object, &bytes).unwrap();
            assert_eq!(read(&bytes).unwrap(), normal(&object), "{}", path.display());
            readelf_has_no_complaint_about(&bytes);
            copied += 1;
        }
    }
    assert!(copied > 100, "only {copied} objects could be copied");
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("every_machine_comes_back_as_written", every_machine_comes_back_as_written),
        (
            "symbols_are_sorted_stably_and_sh_info_counts_the_locals",
            symbols_are_sorted_stably_and_sh_info_counts_the_locals,
        ),
        ("nobits_take_no_space_in_the_file", nobits_take_no_space_in_the_file),
        ("several_tables_for_one_section_are_written", several_tables_for_one_section_are_written),
        (
            "a_long_section_number_needs_the_extended_tables",
            a_long_section_number_needs_the_extended_tables,
        ),
        (
            "the_extended_numbering_starts_where_it_must",
            the_extended_numbering_starts_where_it_must,
        ),
        ("inconsistent_models_are_refused", inconsistent_models_are_refused),
        ("a_huge_alignment_does_not_make_a_huge_file", a_huge_alignment_does_not_make_a_huge_file),
        ("verify_names_what_differs", verify_names_what_differs),
        (
            "more_sections_than_in_the_model_are_a_difference",
            more_sections_than_in_the_model_are_a_difference,
        ),
        (
            "objects_that_the_model_cannot_hold_are_refused",
            objects_that_the_model_cannot_hold_are_refused,
        ),
        ("overlapping_sections_are_refused", overlapping_sections_are_refused),
        (
            "publish_replaces_the_file_and_leaves_nothing_else",
            publish_replaces_the_file_and_leaves_nothing_else,
        ),
        ("publish_uses_the_mode_of_creat", publish_uses_the_mode_of_creat),
        (
            "publish_explains_why_it_cannot_and_leaves_nothing",
            publish_explains_why_it_cannot_and_leaves_nothing,
        ),
        ("readelf_has_no_complaint", readelf_has_no_complaint),
        ("ld_links_two_outputs", ld_links_two_outputs),
        ("any_object_comes_back_as_written", any_object_comes_back_as_written),
        ("any_object_is_verified", any_object_is_verified),
        ("damaged_input_is_no_trouble", damaged_input_is_no_trouble),
        ("a_damaged_byte_is_found", a_damaged_byte_is_found),
        ("every_damaged_bit_is_found", every_damaged_bit_is_found),
        ("real_objects_come_back_as_copied", real_objects_come_back_as_copied),
    ])
}
