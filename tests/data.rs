//! Single parts of the library on the reference data that `KLP_DIFF_DATA` names.

#[path = "common/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use klp_diff::elf::abi;
use klp_diff::elf::ids::{Orig, Patched};
use klp_diff::elf::object::Object;
use klp_diff::report::canon::canonical;
use klp_diff::running::blocks::match_blocks;
use klp_diff::running::parent::Parent;
use klp_diff::running::symtab::ParentTable;
use klp_diff::running::symvers::Symvers;

const MACHINES: [&str; 5] = ["aarch64", "loongarch64", "ppc64le", "s390x", "x86_64"];

/// `None`, with a note, without reference data.
fn data() -> Option<PathBuf> {
    let root = std::env::var_os("KLP_DIFF_DATA").map(PathBuf::from);
    if root.is_none() {
        suite::lacks("KLP_DIFF_DATA is unset");
    }
    root
}

/// The files of kpatch's tests for a machine with this extension, in order.
fn of_kpatch(root: &Path, machine: &str, extension: &str) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root.join("kpatch-objs").join(machine)).expect("folder");
    let paths = folder.map(|entry| entry.expect("entry").path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}

fn lines_equal_those_of_the_reference_script() {
    let Some(root) = data() else { return };
    let script = root.join("tools/canon.py");
    let mut files = vec![
        root.join("kernel-gcc/cases/special-sections/patched/fs/proc/uptime.o"),
        root.join("kernel-gcc/cases/static-local/orig/fs/drop_caches.o"),
    ];
    files.extend(MACHINES.iter().flat_map(|m| of_kpatch(&root, m, "o").into_iter().step_by(9)));
    for file in &files {
        let bytes = std::fs::read(file).expect("readable");
        let object = Object::<Patched>::parse(&file.display().to_string(), &bytes).expect("object");
        let lines = canonical(&object).expect("canonical").join("\n") + "\n";
        let theirs = suite::output(Command::new("python3").arg(&script).arg(file));
        assert!(theirs.status.success(), "{}", String::from_utf8_lossy(&theirs.stderr));
        assert!(lines.as_bytes() == theirs.stdout, "{} differs", file.display());
    }
}

/// Every object finds its blocks in the symbol table that was made of it.
fn objects_match_their_own_tables() {
    let Some(root) = data() else { return };
    let mut cases = 0;
    for file in MACHINES.iter().flat_map(|machine| of_kpatch(&root, machine, "symtab")) {
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(&file).expect("symtab");
        let table = ParentTable::parse(&shown, &text).expect("table");
        assert_eq!(table.missing_rows(), 0, "{shown}");
        let data = std::fs::read(file.with_extension("ORIG.o")).expect("object");
        let object = Object::<Orig>::parse(&shown, &data).expect("object");
        let blocks = match_blocks(&object, &table).expect("blocks");
        let parent = Parent::new("vmlinux", table, Symvers::default());
        for id in object.symbols() {
            let symbol = object.symbol(id);
            let counts = symbol.kind == abi::STT_FUNC || symbol.kind == abi::STT_OBJECT;
            if symbol.bind != abi::STB_LOCAL || !counts {
                continue;
            }
            let found = parent.lookup(symbol.name, blocks.of(id)).expect("unique");
            let found = found.expect("in the table");
            assert_eq!((found.addr, found.size), (symbol.value, symbol.size), "{shown}");
            assert!(!found.global && found.sympos > 0, "{shown} {}", symbol.name);
        }
        cases += 1;
    }
    assert!(cases >= 60, "only {cases} symbol tables in {}", root.display());
}

fn main() -> ExitCode {
    suite::run(&[
        ("lines_equal_those_of_the_reference_script", lines_equal_those_of_the_reference_script),
        ("objects_match_their_own_tables", objects_match_their_own_tables),
    ])
}
