//! The objects that are mutated.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use klp_diff::corpus::header::STRUCT_SIZES;

/// An object and the sizes of the structs in its tables.
pub struct Subject {
    pub name: String,
    pub bytes: Vec<u8>,
    pub sizes: BTreeMap<String, String>,
}

/// Sizes of the rows that the cases of the corpus write.
pub fn sizes_of_cases() -> BTreeMap<String, String> {
    STRUCT_SIZES.map(|(name, size)| (name.to_owned(), size.to_owned())).into()
}

const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -fno-stack-protector -fno-strict-aliasing -std=gnu11 -mno-red-zone";

/// Objects compiled from this repository's own cases; empty without the compiler.
pub fn corpus(compiler: &str, cases: &[&str]) -> Vec<Subject> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/cases");
    let Ok(out) = tempfile::tempdir() else { return Vec::new() };
    let mut subjects = Vec::new();
    for case in cases {
        let object = out.path().join("o.o");
        let done = Command::new(compiler)
            .args(FLAGS.split_whitespace())
            .args(["-c", "-o"])
            .args([&object, &folder.join(format!("{case}.c"))])
            .output();
        let compiled = done.is_ok_and(|d| d.status.success());
        if let (true, Ok(bytes)) = (compiled, std::fs::read(&object)) {
            let name = format!("{compiler}/{case}");
            subjects.push(Subject { name, bytes, sizes: sizes_of_cases() });
        }
    }
    subjects
}

/// The objects in the folder that `KLP_DIFF_DATA` names.
pub fn data(root: &Path) -> Vec<Subject> {
    let mut subjects = Vec::new();
    let mut add = |path: PathBuf, sizes: &BTreeMap<String, String>| {
        if let Ok(bytes) = std::fs::read(&path) {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            subjects.push(Subject { name, bytes, sizes: sizes.clone() });
        }
    };
    for case in folders(&root.join("kernel-gcc/cases")) {
        let sizes = environment(&case.join("env"));
        objects(&case.join("orig")).into_iter().for_each(|o| add(o, &sizes));
    }
    let sizes = environment(&root.join("kernel-lto/env"));
    for pair in folders(&root.join("kernel-lto/pairs")) {
        objects(&pair.join("orig")).into_iter().for_each(|o| add(o, &sizes));
    }
    let peers = root.join("kpatch-objs");
    let index = std::fs::read_to_string(peers.join("index.json")).unwrap_or_default();
    let index: Vec<serde_json::Value> = serde_json::from_str(&index).unwrap_or_default();
    for case in index {
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let sizes: BTreeMap<String, String> =
            serde_json::from_value(case["env"].clone()).unwrap_or_default();
        add(peers.join(text("arch")).join(format!("{}.ORIG.o", text("case"))), &sizes);
    }
    subjects
}

fn environment(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let pairs = text.lines().filter_map(|l| l.trim().split_once('='));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_dir()).collect();
    all.sort();
    all
}

/// All `.o` files below a folder, in order.
pub fn objects(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut entries: Vec<PathBuf> = entries.map(|e| e.path()).collect();
    entries.sort();
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() {
            found.extend(objects(&path));
        } else if path.extension().is_some_and(|e| e == "o") {
            found.push(path);
        }
    }
    found
}
