//! The machine descriptions on real kernel objects: every relocation type is known, every
//! instruction has a length, and the entry checks agree with a plain reading of the rules.
//!
//! These need the environment variable KLP_DIFF_DATA (folder with `kpatch-objs` and `kernel-*`). And on what
//! compilers make of a source: where ftrace's site is.

#[path = "common/suite.rs"]
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use klp_diff::arch::{Arch, EntryReloc, FtraceSite, FunctionView};
use klp_diff::elf::abi;
use klp_diff::elf::ids::{Orig, SectionId, SymbolId};
use klp_diff::elf::object::{Home, Object};

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

/// Where the tables of an object say that functions can be hooked.
struct Tables {
    /// Sections with patchable entries; `None` where the object has no such table.
    patchable: Option<BTreeSet<SectionId<Orig>>>,
    /// Sites that are listed: section and place.
    listed: Vec<(SectionId<Orig>, u64)>,
}

impl Tables {
    fn of(object: &Object<'_, Orig>) -> Tables {
        let mut tables = Tables { patchable: None, listed: Vec::new() };
        for id in object.sections() {
            let places = object.relocs(id).iter().filter_map(|r| {
                let at = object.symbol_value(r.symbol).wrapping_add_signed(r.addend);
                Some((object.section_of(r.symbol)?, at))
            });
            match object.section_name(id) {
                "__patchable_function_entries" => {
                    tables.patchable.get_or_insert_default().extend(places.map(|p| p.0));
                }
                "__mcount_loc" => tables.listed.extend(places),
                _ => {}
            }
        }
        tables
    }

    /// A function, with its section.
    fn view<'d>(
        &self,
        object: &Object<'d, Orig>,
        id: SymbolId<Orig>,
    ) -> Option<(SectionId<Orig>, FunctionView<'d>)> {
        let symbol = object.symbol(id);
        let Home::Section(section) = symbol.home else { return None };
        let site =
            |l: &&(_, u64)| l.0 == section && (symbol.value..symbol.value + 8).contains(&l.1);
        let view = FunctionView {
            name: symbol.name,
            section: object.section(section).data,
            value: symbol.value,
            other: symbol.other,
            listed_site: self.listed.iter().find(site).map(|l| l.1),
            patchable_entry: self.patchable.as_ref().is_some_and(|p| p.contains(&section)),
            object_has_pfe: self.patchable.is_some(),
        };
        (symbol.kind == abi::STT_FUNC).then_some((section, view))
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

    let tables = Tables::of(object);

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
        let Some((section, f)) = tables.view(object, id) else { continue };
        if arch.prefixed(f.name).is_some() {
            continue;
        }
        // The plain reading knows the table of the other compilers alone.
        let f = FunctionView { listed_site: None, ..f };
        let relocs = |from: usize| {
            let all = object.relocs(section);
            (from..all.len()).map(move |i| {
                let r = all.get(i);
                let symbol = object.symbol_name(r.symbol);
                EntryReloc { offset: r.offset, kind: r.kind, symbol }
            })
        };
        let start = object.relocs(section).lower_bound(f.value);
        let profiled = (arch.has_profiling)(&f, &mut relocs(start));
        counts.functions += 1;
        counts.profiled += u64::from(profiled);
        if profiled && let Err(e) = (arch.ftrace_site)(&f, &mut relocs(start)) {
            panic!("{name}: {e}");
        }
        let alone = object.members(section).iter().all(|other| {
            let other = object.symbol(*other);
            other.kind != abi::STT_FUNC
                || other.name == f.name && other.value == f.value
                || arch.prefixed(other.name).is_some()
        });
        if alone && object.section_name(section).strip_prefix(".text.") == Some(f.name) {
            let plain = plain_rule(arch, &f, object, section);
            assert_eq!(profiled, plain, "{name}: {}", f.name);
            let wants = (arch.padding)(&f);
            assert!(
                wants == f.value || arch.name == "x86_64",
                "{name}: {} has padding {wants} before {}",
                f.name,
                f.value
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

const SOURCE: &str = "
int sink(int);
__attribute__((noinline)) static int hidden(int x) { return sink(x + 1) + 1; }
int visible(int x) { return hidden(x) + sink(x) + 1; }
__attribute__((no_instrument_function, patchable_function_entry(0)))
int untraced(int x) { return sink(x) + 1; }
";

/// The machine's gcc for `target`.
fn gcc(target: &str) -> Option<Command> {
    let cross = [format!("{target}-gcc"), format!("{target}-gcc-12"), "gcc".to_owned()];
    let found = cross.iter().find(|gcc| {
        let machine = Command::new(gcc).arg("-dumpmachine").output();
        machine.is_ok_and(|o| o.status.success() && o.stdout.trim_ascii() == target.as_bytes())
    });
    if found.is_none() {
        crate::suite::lacks(format!("no gcc for {target}"));
    }
    found.map(Command::new)
}

/// The machine's clang, which must know `target`.
fn clang(target: &str) -> Option<Command> {
    let target_flag = format!("--target={target}");
    let found = ["clang-19", "clang"].into_iter().find(|clang| {
        let empty = Command::new(clang)
            .args([target_flag.as_str(), "-c", "-x", "c", "/dev/null", "-o", "/dev/null"])
            .output();
        empty.is_ok_and(|o| o.status.success())
    });
    if found.is_none() {
        crate::suite::lacks(format!("no clang for {target}"));
    }
    let mut command = Command::new(found?);
    command.args([target_flag.as_str(), "-Wno-unknown-attributes"]);
    Some(command)
}

/// Compiles a traced global function `visible`, to which an indirect call is possible, a
/// traced static one `hidden`, and one that is not traced, `untraced`.
fn compile(mut compiler: Command, flags: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (source, object) = (folder.path().join("a.c"), folder.path().join("a.o"));
    std::fs::write(&source, SOURCE).unwrap();
    let done = compiler
        .args(["-O2", "-fno-pic", "-ffunction-sections", "-c", "-o"])
        .arg(&object)
        .args(flags)
        .arg(&source)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(object).unwrap()
}

/// For each function of the object whether it has profiling, and its ftrace site.
fn inspect(arch: &Arch, object: &[u8]) -> BTreeMap<String, (bool, Option<FtraceSite>)> {
    let object = Object::<Orig>::parse("a.o", object).unwrap();
    assert_eq!(object.header().machine, arch.machine);
    let tables = Tables::of(&object);
    let mut found = BTreeMap::new();
    for id in object.symbols() {
        let Some((section, f)) = tables.view(&object, id) else { continue };
        let relocs = || {
            object.relocs(section).iter().map(|r| {
                let symbol = object.symbol_name(r.symbol);
                EntryReloc { offset: r.offset, kind: r.kind, symbol }
            })
        };
        for r in object.relocs(section).iter() {
            arch.reloc(r.kind).unwrap();
        }
        let profiled = (arch.has_profiling)(&f, &mut relocs());
        let site = profiled.then(|| (arch.ftrace_site)(&f, &mut relocs()).unwrap());
        let padding = (arch.padding)(&f);
        if padding != 0 {
            assert_eq!(padding, f.value, "{} is alone in its section", f.name);
        }
        found.insert(f.name.to_owned(), (profiled, site));
    }
    found
}

/// What `way` of a compiler made of the functions: name, whether it has profiling, and its site.
type Sites = BTreeMap<String, (bool, Option<FtraceSite>)>;

fn sites(machine: &str, compiler: Option<Command>, flags: &[&str]) -> Option<Sites> {
    let arch = klp_diff::arch::ALL.into_iter().find(|arch| arch.name == machine);
    Some(inspect(arch.expect("a known machine"), &compile(compiler?, flags)))
}

fn at(offset: u64) -> (bool, Option<FtraceSite>) {
    (true, Some(FtraceSite { offset, rewrite: None }))
}

const NONE: (bool, Option<FtraceSite>) = (false, None);

fn gcc_for_x86_64() {
    let flags = ["-pg", "-mfentry", "-mrecord-mcount", "-fcf-protection=branch"];
    let Some(found) = sites("x86_64", gcc("x86_64-linux-gnu"), &flags) else { return };
    // `hidden` is only called, so it gets no endbr64
    assert_eq!([&found["visible"], &found["hidden"], &found["untraced"]], [&at(4), &at(0), &NONE]);
    let flags = ["-pg", "-mfentry", "-mrecord-mcount", "-mnop-mcount"];
    let found = sites("x86_64", gcc("x86_64-linux-gnu"), &flags).expect("as above");
    assert!(found["visible"].0 && found["hidden"].0 && !found["untraced"].0);
}

fn clang_for_x86_64() {
    let flags = ["-pg", "-mfentry", "-fcf-protection=branch", "-fsanitize=kcfi"];
    let Some(found) = sites("x86_64", clang("x86_64-linux-gnu"), &flags) else { return };
    assert_eq!(found["visible"], at(20), "behind 16 bytes of __cfi_visible");
    assert_eq!(found["__cfi_visible"], NONE);
    assert_eq!(found["untraced"], NONE);
}

fn gcc_for_aarch64() {
    let cases = [
        (&["-fpatchable-function-entry=2"][..], 0),
        (&["-fpatchable-function-entry=2", "-mbranch-protection=pac-ret+bti"], 4),
        (&["-fpatchable-function-entry=4,2"], 0),
        (&["-fpatchable-function-entry=4,2", "-mbranch-protection=standard"], 0),
    ];
    for (flags, offset) in cases {
        let Some(found) = sites("aarch64", gcc("aarch64-linux-gnu"), flags) else { return };
        assert_eq!(found["visible"], at(offset), "{flags:?}");
        // only called, so no bti
        assert_eq!(found["hidden"], at(0), "{flags:?}");
        assert_eq!(found["untraced"], NONE, "{flags:?}");
    }
}

fn clang_for_aarch64() {
    let cases = [
        (&["-fpatchable-function-entry=2"][..], 4, 0),
        (&["-fpatchable-function-entry=4,2"], 4, 0),
        (&["-fpatchable-function-entry=4,2", "-mbranch-protection=standard"], 4, 0),
        (&["-fpatchable-function-entry=2", "-mbranch-protection=standard"], 8, 4),
    ];
    for (flags, visible, hidden) in cases {
        let flags = [flags, &["-fsanitize=kcfi"]].concat();
        let Some(found) = sites("aarch64", clang("aarch64-linux-gnu"), &flags) else { return };
        assert_eq!(found["visible"], at(visible), "{flags:?}");
        // only called, so without a hash; BTI all the same
        assert_eq!(found["hidden"], at(hidden), "{flags:?}");
        assert_eq!(found["untraced"], NONE, "{flags:?}");
    }
}

fn gcc_for_powerpc64() {
    for (model, offset) in [("-mcmodel=large", 0x14), ("-mcmodel=medium", 0xc)] {
        let flags = ["-pg", "-mprofile-kernel", model];
        let Some(found) = sites("powerpc64", gcc("powerpc64le-linux-gnu"), &flags) else { return };
        assert_eq!(found["visible"], at(offset), "{model}");
        assert_eq!(found["hidden"], at(offset), "{model}");
        assert_eq!(found["untraced"], NONE, "{model}");
    }
}

fn gcc_for_s390x() {
    for flags in [&["-mhotpatch=0,3"][..], &["-pg", "-mfentry", "-mrecord-mcount", "-mnop-mcount"]]
    {
        let Some(found) = sites("s390x", gcc("s390x-linux-gnu"), flags) else { return };
        assert_eq!(found["visible"], at(0), "{flags:?}");
        assert_eq!(found["hidden"], at(0), "{flags:?}");
        // -mhotpatch has no per-function switch here
        if flags.contains(&"-pg") {
            assert_eq!(found["untraced"], NONE);
        }
    }
}

fn clang_for_loongarch64() {
    let flags = ["-fpatchable-function-entry=2"];
    let Some(found) = sites("loongarch64", clang("loongarch64-linux-gnu"), &flags) else { return };
    assert_eq!([&found["visible"], &found["hidden"], &found["untraced"]], [&at(0), &at(0), &NONE]);
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("real_objects", real_objects),
        ("gcc_for_x86_64", gcc_for_x86_64),
        ("clang_for_x86_64", clang_for_x86_64),
        ("gcc_for_aarch64", gcc_for_aarch64),
        ("clang_for_aarch64", clang_for_aarch64),
        ("gcc_for_powerpc64", gcc_for_powerpc64),
        ("gcc_for_s390x", gcc_for_s390x),
        ("clang_for_loongarch64", clang_for_loongarch64),
    ])
}
