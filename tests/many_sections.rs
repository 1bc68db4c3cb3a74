//! Objects whose section numbers do not fit into a symbol (SHT_SYMTAB_SHNDX).

#[path = "../benches/synth/mod.rs"]
mod synth;

use std::path::Path;
use std::process::Command;

use klp_diff::elf::abi;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::{Home, Object};
use klp_diff::elf::out::{
    OutHome, OutObject, OutReloc, OutRelocs, OutSection, OutSymbol, OutSymbolIndex,
};
use klp_diff::elf::verify::verify;
use klp_diff::elf::write::write;
use klp_diff::patch::convert::{ConvertOptions, to_klp_module};
use klp_diff::report::canon;
use synth::{Options, Side};

/// The first section number that a symbol cannot hold, 0xff00, and some more.
const MANY: usize = 0xff00 + 300;

/// Every section has a symbol and a relocation to the symbol of the section opposite.
fn object(machine: u16, big_endian: bool) -> OutObject {
    let mut object = OutObject { kind: abi::ET_REL, machine, big_endian, ..OutObject::default() };
    for i in 0..MANY {
        let name = format!(".data.v{i}");
        let entry = OutReloc {
            offset: 0,
            kind: 2,
            symbol: Some(OutSymbolIndex::new(MANY - 1 - i)),
            addend: i as i64,
        };
        let relocs = vec![OutRelocs {
            name: format!(".rela{name}"),
            flags: abi::SHF_INFO_LINK,
            entries: vec![entry],
        }];
        object.sections.push(OutSection {
            name,
            kind: abi::SHT_PROGBITS,
            flags: abi::SHF_ALLOC,
            align: 8,
            data: vec![0; 8],
            size: 8,
            relocs: if i % 64 == 0 { relocs } else { Vec::new() },
            ..OutSection::default()
        });
        object.symbols.push(OutSymbol {
            name: format!("v{i}"),
            kind: abi::STT_OBJECT,
            bind: abi::STB_GLOBAL,
            other: 0,
            home: OutHome::Section(i),
            value: 0,
            size: 8,
        });
    }
    object
}

#[test]
fn all_machines() {
    let machines = [
        (abi::EM_X86_64, false),
        (abi::EM_AARCH64, false),
        (abi::EM_PPC64, false),
        (abi::EM_S390, true),
        (abi::EM_LOONGARCH, false),
    ];
    for (machine, big_endian) in machines {
        let model = object(machine, big_endian);
        let bytes = write(&model).unwrap();
        verify(&model, &bytes).unwrap();
        let parsed = Object::<Patched>::parse("many.o", &bytes).unwrap();
        let tables = parsed.sections().map(|id| parsed.section(id).kind);
        assert_eq!(tables.filter(|&k| k == abi::SHT_SYMTAB_SHNDX).count(), 1);
        for id in parsed.symbols().skip(1) {
            let symbol = parsed.symbol(id);
            let Home::Section(home) = symbol.home else { panic!("{} is nowhere", symbol.name) };
            assert_eq!(parsed.section_name(home), format!(".data.{}", symbol.name));
        }
        assert_eq!(OutObject::from_object(&parsed).unwrap(), model, "machine {machine}");
    }
}

/// Runs `klp-diff` on the pair in `folder`.
fn diff(folder: &Path, output: &str, flavor: &str) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
        .current_dir(folder)
        .args(["orig.o", "patched.o", "--symtab", "symtab", "-o", output, "--flavor", flavor])
        .envs(synth::STRUCT_SIZES)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn a_patch_of_many_functions() {
    let options = Options::new(22_000, 22_000);
    let folder = tempfile::tempdir().unwrap();
    let write_to = |name: &str, bytes: Vec<u8>| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };
    write_to("orig.o", synth::object(&options, Side::Original));
    write_to("patched.o", synth::object(&options, Side::Patched));
    let mut symtab = Vec::new();
    synth::parent_symtab(&options, &mut symtab).unwrap();
    write_to("symtab", symtab);

    let said = diff(folder.path(), "out.o", "kpatch");
    let changed = said.lines().filter(|line| line.starts_with("changed function: "));
    assert_eq!(changed.count(), 22_000);
    let bytes = std::fs::read(folder.path().join("out.o")).unwrap();
    let out = Object::<Patched>::parse("out.o", &bytes).unwrap();
    assert!(out.section_count() > 0xff00, "{} sections are too few", out.section_count());
    let mut functions = 0;
    for id in out.symbols().filter(|&id| out.symbol_kind(id) == abi::STT_FUNC) {
        let symbol = out.symbol(id);
        let Home::Section(home) = symbol.home else { continue };
        assert_eq!(out.section_name(home), format!(".text.{}", symbol.name));
        functions += 1;
    }
    assert_eq!(functions, 22_000);

    diff(folder.path(), "klp.o", "klp");
    let options = ConvertOptions { klp_arch_sections: true };
    let converted = write(&to_klp_module(&out, &options, None).unwrap()).unwrap();
    let klp = std::fs::read(folder.path().join("klp.o")).unwrap();
    let lines =
        |bytes: &[u8]| canon::canonical(&Object::<Patched>::parse("", bytes).unwrap()).unwrap();
    assert_eq!(canon::diff(&lines(&converted), &lines(&klp)), [] as [String; 0]);
}
