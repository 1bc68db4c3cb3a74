//! The machine descriptions on real kernel objects: every relocation type is known, every
//! instruction has a length, and the entry checks agree with a plain reading of the rules.
//!
//! Needs the environment variable KLP_DIFF_DATA (folder with `kpatch-objs` and `kernel-*`).

#[path = "common/suite.rs"]
mod suite;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use klp_diff::arch::{Arch, EntryReloc, FunctionView};
use klp_diff::elf::abi;
use klp_diff::elf::ids::{Orig, SectionId};
use klp_diff::elf::object::{Home, Object};

const PFE: &str = "__patchable_function_entries";

fn objects(folder: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            objects(&path, into);
        } else if path.extension().is_some_and(|e| e == "o") {
            into.push(path);
        }
    }
}

#[derive(Default, Debug)]
struct Counts {
    relocs: u64,
    instructions: u64,
    functions: u64,
    profiled: u64,
}

fn check(path: &Path, counts: &mut Counts) {
    let data = std::fs::read(path).unwrap();
    let name = path.display().to_string();
    let object = &Object::<Orig>::parse(&name, &data).unwrap();
    let arch = Arch::from_machine(object.header().machine).unwrap();

    let mut patchable = BTreeSet::new();
    let mut object_has_pfe = false;
    for id in object.sections().filter(|id| object.section_name(*id) == PFE) {
        object_has_pfe = true;
        for r in object.relocs(id).iter() {
            patchable.extend(object.section_of(r.symbol));
        }
    }

    for id in object.sections() {
        let section = object.section(id);
        for r in object.relocs(id).iter() {
            let kind = arch.reloc(r.kind).unwrap_or_else(|e| panic!("{name}: {e}"));
            let end = r.offset + u64::from(kind.width);
            assert!(end <= section.size, "{name}: {} {:#x} {}", section.name, r.offset, kind.name);
            counts.relocs += 1;
        }
        // ppc64 keeps the TOC's distance and traceback tables among the code; any word will do
        if section.is_text() {
            let mut at = 0;
            while at < section.data.len() {
                let len = (arch.instruction_len)(&section.data[at..]).unwrap_or_else(|| {
                    panic!("{name}: {}+{at:#x}: {:02x?}", section.name, &section.data[at..])
                });
                at += len;
                counts.instructions += 1;
            }
            assert_eq!(at, section.data.len());
        }
    }

    for id in object.symbols() {
        let symbol = object.symbol(id);
        let Home::Section(section) = symbol.home else { continue };
        if symbol.kind != abi::STT_FUNC || arch.prefixed(symbol.name).is_some() {
            continue;
        }
        let f = FunctionView {
            name: symbol.name,
            section: object.section(section).data,
            value: symbol.value,
            other: symbol.other,
            patchable_entry: patchable.contains(&section),
            listed_site: None,
            object_has_pfe,
        };
        let relocs = |from: usize| {
            let all = object.relocs(section);
            (from..all.len()).map(move |i| {
                let r = all.get(i);
                let symbol = object.symbol_name(r.symbol);
                EntryReloc { offset: r.offset, kind: r.kind, symbol }
            })
        };
        let start = object.relocs(section).lower_bound(symbol.value);
        let profiled = (arch.has_profiling)(&f, &mut relocs(start));
        counts.functions += 1;
        counts.profiled += u64::from(profiled);
        if profiled && let Err(e) = (arch.ftrace_site)(&f, &mut relocs(start)) {
            panic!("{name}: {e}");
        }
        let alone = object.members(section).iter().all(|other| {
            let other = object.symbol(*other);
            other.kind != abi::STT_FUNC
                || other.name == symbol.name && other.value == symbol.value
                || arch.prefixed(other.name).is_some()
        });
        if alone && object.section_name(section).strip_prefix(".text.") == Some(symbol.name) {
            let plain = plain_rule(arch, &f, object, section);
            assert_eq!(profiled, plain, "{name}: {}", symbol.name);
            let wants = (arch.padding)(&f);
            assert!(
                wants == symbol.value || arch.name == "x86_64",
                "{name}: {} has padding {wants} before {}",
                symbol.name,
                symbol.value
            );
        }
    }
}

/// The profiling entry that ftrace needs, of a function alone in its section.
fn plain_rule(
    arch: &Arch,
    f: &FunctionView<'_>,
    object: &Object<'_, Orig>,
    section: SectionId<Orig>,
) -> bool {
    let mut relocs = object.relocs(section).iter().map(|r| (r.kind, object.symbol_name(r.symbol)));
    match arch.name {
        "x86_64" => relocs
            .next()
            .is_some_and(|(kind, symbol)| [0, 2, 4].contains(&kind) && symbol == "__fentry__"),
        "powerpc64" => f.patchable_entry || relocs.any(|(_, symbol)| symbol == "_mcount"),
        "s390x" => f.section.starts_with(&[0xc0, 4, 0, 0, 0, 0]),
        _ => f.patchable_entry,
    }
}
fn real_objects() {
    let Some(data) = std::env::var_os("KLP_DIFF_DATA").map(PathBuf::from) else {
        crate::suite::lacks("KLP_DIFF_DATA is not set");
        return;
    };
    let mut paths = Vec::new();
    for folder in ["kpatch-objs", "kernel-gcc/cases", "kernel-lto/pairs"] {
        objects(&data.join(folder), &mut paths);
    }
    assert!(paths.len() > 100, "only {} objects", paths.len());
    let mut counts = Counts::default();
    for path in &paths {
        check(path, &mut counts);
    }
    assert!(counts.profiled > 1000 && counts.profiled < counts.functions, "{counts:?}");
    eprintln!("{} objects, {counts:?}", paths.len());
}

fn main() -> std::process::ExitCode {
    suite::run(&[("real_objects", real_objects)])
}
