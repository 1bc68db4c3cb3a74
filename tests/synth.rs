//! The synthetic pairs are valid objects and differ where they say.

#[path = "common/suite.rs"]
mod suite;

#[path = "../benches/synth/mod.rs"]
mod synth;

use std::collections::BTreeSet;
use std::process::Command;

use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, elf::FileHeader64};
use synth::{Options, Side};

type Header = FileHeader64<Endianness>;

/// Name, section name and the bytes of each function.
fn functions(file: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let header = Header::parse(file).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, file).unwrap();
    let symbols = sections.symbols(endian, file, object::elf::SHT_SYMTAB).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut list = Vec::new();
    for (index, symbol) in symbols.enumerate() {
        if symbol.st_type() != object::elf::STT_FUNC {
            continue;
        }
        let section = symbols.symbol_section(endian, symbol, index).unwrap().unwrap();
        let section = sections.section(section).unwrap();
        let start = symbol.st_value(endian) as usize;
        let end = start + symbol.st_size(endian) as usize;
        list.push((
            text(symbols.symbol_name(endian, symbol).unwrap()),
            text(sections.section_name(endian, section).unwrap()),
            section.data(endian, file).unwrap()[start..end].to_vec(),
        ));
    }
    list
}
fn readelf_has_no_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Options::new(1000, 250);
    let all = Options { shared_names: true, renumbered: true, one_section: true, ..plain };
    for (name, options) in [("plain", plain), ("all", all)] {
        for side in [Side::Original, Side::Patched] {
            let path = folder.path().join(format!("{name}-{side:?}.o"));
            std::fs::write(&path, synth::object(&options, side)).unwrap();
            let output = match Command::new("readelf").arg("-aW").arg(&path).output() {
                Ok(output) => output,
                Err(error) => {
                    crate::suite::lacks(format!("readelf cannot be run: {error}"));
                    return;
                }
            };
            assert!(output.status.success());
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", path.display());
        }
    }
}
fn code_differs_only_where_said() {
    let options = Options::new(300, 30);
    let original = functions(&synth::object(&options, Side::Original));
    let patched = functions(&synth::object(&options, Side::Patched));
    let said: BTreeSet<String> = options.changed_names().collect();
    assert_eq!(said.len(), 30);
    let found: BTreeSet<String> =
        original.iter().zip(&patched).filter(|(a, b)| a != b).map(|(a, _)| a.0.clone()).collect();
    // Two in three changes are in the code, the third is in a string.
    assert_eq!(found.len(), 20);
    assert!(found.is_subset(&said));
}
fn tables_hold_rows_of_the_stated_sizes() {
    let file = synth::object(&Options::new(100, 1), Side::Original);
    let header = Header::parse(&*file).unwrap();
    let sections = header.sections(Endianness::Little, &*file).unwrap();
    for (table, variable, rows) in [
        ("__jump_table", "JUMP_STRUCT_SIZE", 25),
        ("__bug_table", "BUG_STRUCT_SIZE", 50),
        (".altinstructions", "ALT_STRUCT_SIZE", 25),
    ] {
        let (_, section) = sections.section_by_name(Endianness::Little, table.as_bytes()).unwrap();
        let size = synth::STRUCT_SIZES.iter().find(|(name, _)| *name == variable).unwrap().1;
        assert_eq!(
            section.sh_size(Endianness::Little),
            rows * size.parse::<u64>().unwrap(),
            "{table}"
        );
    }
}
fn more_sections_than_sixteen_bits_hold() {
    let options = Options::new(11_000, 1);
    let functions = functions(&synth::object(&options, Side::Original));
    assert_eq!(functions.len(), 11_000);
    assert!(functions.iter().all(|(name, section, _)| *section == format!(".text.{name}")));
}
fn parent_symbols_hold_every_local_of_the_object() {
    let options = Options { shared_names: true, padding: 500, ..Options::new(100, 1) };
    let mut text = Vec::new();
    synth::parent_symtab(&options, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let names: Vec<&str> = text.lines().skip(4).map(|l| l.rsplit(' ').next().unwrap()).collect();
    assert!(names.contains(&"count.396") && names.contains(&"__func__.399"));
    assert_eq!(names.iter().filter(|name| name.starts_with("filler_")).count(), 469);
    for (name, ..) in functions(&synth::object(&options, Side::Original)) {
        assert!(names.contains(&name.as_str()), "{name}");
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("readelf_has_no_complaint", readelf_has_no_complaint),
        ("code_differs_only_where_said", code_differs_only_where_said),
        ("tables_hold_rows_of_the_stated_sizes", tables_hold_rows_of_the_stated_sizes),
        ("more_sections_than_sixteen_bits_hold", more_sections_than_sixteen_bits_hold),
        (
            "parent_symbols_hold_every_local_of_the_object",
            parent_symbols_hold_every_local_of_the_object,
        ),
    ])
}
