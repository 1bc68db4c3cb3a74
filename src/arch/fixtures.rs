//! What the tests of the machine files share.

use std::collections::BTreeMap;
use std::process::Command;

use super::{Arch, EntryReloc, FtraceSite, FunctionView};
use crate::elf::abi;
use crate::elf::ids::Orig;
use crate::elf::object::{Home, Object, Reloc};

/// A function `f` at `value` in `section`.
pub fn view(section: &[u8], value: u64) -> FunctionView<'_> {
    FunctionView {
        name: "f",
        section,
        value,
        other: 0,
        patchable_entry: false,
        listed_site: None,
        object_has_pfe: false,
    }
}

/// Relocations from (offset, type, symbol).
pub fn relocs<'a>(list: &'a [(u64, u32, &'a str)]) -> impl Iterator<Item = EntryReloc<'a>> {
    list.iter().map(|&(offset, kind, symbol)| EntryReloc { offset, kind, symbol })
}

/// The invariants of a relocation table.
pub fn check_table(arch: &Arch, prefix: &str) {
    assert!(arch.relocs.is_sorted_by(|a, b| a.id < b.id), "sorted and unique");
    let mut names: Vec<_> = arch.relocs.iter().map(|r| r.name).collect();
    assert!(names.iter().all(|n| n.starts_with(prefix)));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), arch.relocs.len(), "names are unique");
    for r in arch.relocs {
        assert!(r.width <= 16, "{}", r.name);
        if r.class == super::RelocClass::None {
            assert_eq!(r.width, 0, "{} touches nothing", r.name);
        }
        assert!(std::ptr::eq(arch.reloc(r.id).unwrap(), r));
    }
    let pointer = arch.reloc(arch.abs64).unwrap();
    assert_eq!((pointer.class, pointer.width), (super::RelocClass::Absolute, 8));
}

const SOURCE: &str = "
int sink(int);
__attribute__((noinline)) static int hidden(int x) { return sink(x + 1) + 1; }
int visible(int x) { return hidden(x) + sink(x) + 1; }
__attribute__((no_instrument_function, patchable_function_entry(0)))
int untraced(int x) { return sink(x) + 1; }
";

/// The machine's gcc for `target`; `None`, with a note, when it has none.
pub fn gcc(target: &str) -> Option<Command> {
    let cross = format!("{target}-gcc");
    let found = [cross.as_str(), "gcc"].into_iter().find(|gcc| {
        let machine = Command::new(gcc).arg("-dumpmachine").output();
        machine.is_ok_and(|o| o.status.success() && o.stdout.trim_ascii() == target.as_bytes())
    });
    if found.is_none() {
        eprintln!("skipped: no gcc for {target}");
    }
    found.map(Command::new)
}

/// The machine's clang, which must know `target`; `None`, with a note, when it has none.
pub fn clang(target: &str) -> Option<Command> {
    let target_flag = format!("--target={target}");
    let found = ["clang-19", "clang"].into_iter().find(|clang| {
        let empty = Command::new(clang)
            .args([target_flag.as_str(), "-c", "-x", "c", "/dev/null", "-o", "/dev/null"])
            .output();
        empty.is_ok_and(|o| o.status.success())
    });
    let Some(clang) = found else {
        eprintln!("skipped: no clang for {target}");
        return None;
    };
    let mut command = Command::new(clang);
    command.args([target_flag.as_str(), "-Wno-unknown-attributes"]);
    Some(command)
}

/// Compiles a traced global function `visible`, to which an indirect call is possible, a
/// traced static one `hidden`, and one that is not traced, `untraced`.
pub fn compile(mut compiler: Command, flags: &[&str]) -> Vec<u8> {
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
pub fn inspect(arch: &Arch, object: &[u8]) -> BTreeMap<String, (bool, Option<FtraceSite>)> {
    const PFE: &str = "__patchable_function_entries";
    let object = Object::<Orig>::parse("a.o", object).unwrap();
    assert_eq!(object.header().machine, arch.machine);
    let mut patchable = Vec::new();
    let mut object_has_pfe = false;
    for id in object.sections().filter(|id| object.section_name(*id) == PFE) {
        object_has_pfe = true;
        patchable.extend(object.relocs(id).iter().map(|r| object.home(r.symbol)));
    }
    let mut listed = Vec::new();
    for id in object.sections().filter(|id| object.section_name(*id) == "__mcount_loc") {
        let place = |r: Reloc<Orig>| {
            (object.home(r.symbol), object.symbol_value(r.symbol) + r.addend as u64)
        };
        listed.extend(object.relocs(id).iter().map(place));
    }
    let mut found = BTreeMap::new();
    for id in object.symbols() {
        let symbol = object.symbol(id);
        let Home::Section(section) = symbol.home else { continue };
        if symbol.kind != abi::STT_FUNC {
            continue;
        }
        let f = FunctionView {
            name: symbol.name,
            section: object.section(section).data,
            value: symbol.value,
            other: symbol.other,
            listed_site: listed
                .iter()
                .find(|l| l.0 == symbol.home && (symbol.value..symbol.value + 8).contains(&l.1))
                .map(|l| l.1),
            patchable_entry: patchable.contains(&symbol.home),
            object_has_pfe,
        };
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
        found.insert(symbol.name.to_owned(), (profiled, site));
    }
    found
}
