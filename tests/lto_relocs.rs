//! What the patches for a real ThinLTO kernel ask livepatch for is there: each name and
//! position is one symbol of the kernel that runs, and that of the right file.

#[path = "common/suite.rs"]
mod suite;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// One symbol of the kernel: address, and the FILE symbol before it when it is local.
type Symbol = (u64, Option<String>);

/// Symbols by name, in the order in which kallsyms has them.
fn kernel(symtab: &str) -> BTreeMap<String, Vec<Symbol>> {
    let mut found: BTreeMap<String, Vec<Symbol>> = BTreeMap::new();
    let mut file = None;
    for line in symtab.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, value, _, kind, bind, _, index, name, ..] = fields[..] else { continue };
        match kind {
            "FILE" => file = Some(name.to_owned()),
            "SECTION" => {}
            _ if index == "UND" => {}
            _ => {
                let Ok(address) = u64::from_str_radix(value, 16) else { continue };
                let home = (bind == "LOCAL").then(|| file.clone()).flatten();
                found.entry(name.to_owned()).or_default().push((address, home));
            }
        }
    }
    for symbols in found.values_mut() {
        symbols.sort();
        symbols.dedup_by_key(|s| s.0);
    }
    found
}

/// The text between `before` and `after`.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text.split_once(before).map(|s| s.1);
    rest.and_then(|r| r.split_once(after))
        .map(|s| s.0)
        .unwrap_or_else(|| panic!("{before} in {text}"))
}

/// Names of the local functions and variables of an object, with the file they are from.
fn locals(object: &Path) -> BTreeMap<String, String> {
    let output = Command::new("readelf").args(["-s", "--wide"]).arg(object).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    kernel(&text)
        .into_iter()
        .filter_map(|(name, symbols)| Some((name, symbols.into_iter().find_map(|s| s.1)?)))
        .collect()
}
fn every_relocation_is_one_symbol_of_the_right_file() {
    let Some(data) = std::env::var_os("KLP_DIFF_DATA") else {
        crate::suite::lacks("KLP_DIFF_DATA is not set");
        return;
    };
    let data = Path::new(&data).join("kernel-lto");
    let folder = tempfile::tempdir().unwrap();
    let unpacked = Command::new("xz").arg("-dc").arg(data.join("boot/vmlinux.symtab.xz")).output();
    let text = String::from_utf8(unpacked.unwrap().stdout).unwrap();
    let symtab = folder.path().join("symtab");
    std::fs::write(&symtab, &text).unwrap();
    let kernel = kernel(&text);
    let sizes = std::fs::read_to_string(data.join("env")).unwrap();
    let mut asked = 0;
    for (pair, object) in [
        ("a-meminfo", "fs/proc/meminfo.o"),
        ("b-capable", "kernel/capability.o"),
        ("d-newfunc", "fs/proc/uptime.o"),
        ("e-syscall", "kernel/reboot.o"),
    ] {
        let output = folder.path().join(format!("{pair}.o"));
        let pair = data.join("pairs").join(pair);
        let done = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
            .args([pair.join("orig"), pair.join("patched")])
            .arg("--symtab")
            .arg(&symtab)
            .arg("--symvers")
            .arg(data.join("boot/Module.symvers"))
            .arg("-o")
            .arg(&output)
            .envs(sizes.split_whitespace().filter_map(|s| s.split_once('=')))
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        let dump =
            Command::new(env!("CARGO_BIN_EXE_klp-diff")).arg("dump").arg(&output).output().unwrap();
        let dump = String::from_utf8(dump.stdout).unwrap();
        let locals = locals(&pair.join("orig").join(object));
        let mut seen = BTreeSet::new();
        for line in dump.lines().filter(|l| l.starts_with("klprela ")) {
            let symbol = between(line, "ksym(", ")");
            let name = between(symbol, "str:\"", "\"");
            let position: usize = between(symbol, "pos=", ",").parse().unwrap();
            let address = u64::from_str_radix(between(symbol, "src=0x", ","), 16).unwrap();
            let all = kernel.get(name).unwrap_or_else(|| panic!("no {name}"));
            let (there, file) = match position {
                0 => {
                    assert_eq!(all.len(), 1, "{name} is not unique");
                    &all[0]
                }
                n => &all[n - 1],
            };
            assert_eq!(*there, address, "{name},{position}");
            if let Some(wanted) = locals.get(name) {
                assert_eq!(file.as_ref(), Some(wanted), "{name} of another file");
            }
            seen.insert(name.to_owned());
        }
        asked += seen.len();
    }
    // The patches name this many symbols of the kernel that are not exported.
    assert!(asked >= 10, "only {asked}");
}

fn main() -> std::process::ExitCode {
    suite::run(&[(
        "every_relocation_is_one_symbol_of_the_right_file",
        every_relocation_is_one_symbol_of_the_right_file,
    )])
}
