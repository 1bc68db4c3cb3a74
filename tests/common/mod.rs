//! The sources in `corpus/cases`: what each is for, and the verdict it must get.
//!
//! Each file is one source with `#ifdef PATCHED` parts. Header lines are `//# KEY: VALUE`,
//! before anything else:
//!
//! | key | value |
//! |---|---|
//! | `what` | one line that says why the case exists (required) |
//! | `changed`, `new` | functions that must be named so, separated by spaces |
//! | `exit` | wanted exit status (0 when absent) |
//! | `says` | text that the reason of a refusal must contain |
//! | `only` | compilers or families (`gcc`, `clang`) the case is for |
//! | `machines` | machines the case is for (all when absent) |
//! | `flags` | more options for the compiler |
//! | `needs-symbol` | text a symbol of both objects must contain, or the compiler did not do what the case is about |
//!
//! Keys but the first may name a machine with a family, a machine, a compiler or a family:
//! `exit[s390x-gcc]`, `changed[gcc]`; the first of these that is given counts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// All machines.
pub const MACHINES: [&str; 5] = ["x86_64", "aarch64", "powerpc64", "s390x", "loongarch64"];

/// Sizes of the rows `corpus/cases/kernel.h` writes.
pub const STRUCT_SIZES: [(&str, &str); 6] = [
    ("ALT_STRUCT_SIZE", "14"),
    ("BUG_STRUCT_SIZE", "12"),
    ("EX_STRUCT_SIZE", "12"),
    ("JUMP_STRUCT_SIZE", "16"),
    ("PRINTK_INDEX_STRUCT_SIZE", "8"),
    ("STATIC_CALL_STRUCT_SIZE", "8"),
];

const KEYS: [&str; 9] =
    ["what", "changed", "new", "exit", "says", "only", "machines", "flags", "needs-symbol"];

/// A source with its verdict.
pub struct Case {
    /// File name without `.c`.
    pub name: String,
    directives: BTreeMap<String, String>,
}

/// Who compiles a case, and for what.
#[derive(Clone, Copy)]
pub struct Build<'a> {
    /// Compiler's name: `gcc-12`, `clang`.
    pub compiler: &'a str,
    /// Machine.
    pub machine: &'a str,
}

impl Case {
    /// Reads the header lines. The error says what is wrong with them.
    pub fn parse(name: &str, text: &str, compilers: &[&str]) -> Result<Case, String> {
        let mut directives = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some(directive) = line.strip_prefix("//#") else { break };
            let at = |what: &str| format!("{name}.c:{number}: {what}: {line}");
            let (key, value) = directive.split_once(':').ok_or_else(|| at("no colon"))?;
            let (key, value) = (key.trim(), value.trim());
            let plain = key.split('[').next().unwrap_or(key);
            if !KEYS.contains(&plain) {
                return Err(at("unknown key"));
            }
            if directives.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(at("given twice"));
            }
        }
        let case = Case { name: name.to_owned(), directives };
        if !case.directives.contains_key("what") {
            return Err(format!("{name}.c: no `//# what:` line says why the case exists"));
        }
        let builds = compilers
            .iter()
            .flat_map(|&compiler| MACHINES.map(|machine| Build { compiler, machine }))
            .filter(|&build| case.is_for(build));
        let builds: Vec<_> = builds.collect();
        if builds.is_empty() {
            return Err(format!("{name}.c: it is for no compiler or machine known here"));
        }
        for build in builds {
            let named = case.functions("changed", build).len() + case.functions("new", build).len();
            if (case.exit(build)? == 0) != (named > 0) {
                return Err(format!(
                    "{name}.c: functions are named exactly when the exit status is 0"
                ));
            }
        }
        Ok(case)
    }

    /// The directive for this machine, compiler, its family, or all.
    pub fn directive(&self, key: &str, build: Build<'_>) -> &str {
        let family = family(build.compiler);
        [&format!("{}-{family}", build.machine), build.machine, build.compiler, family]
            .iter()
            .find_map(|who| self.directives.get(&format!("{key}[{who}]")))
            .or_else(|| self.directives.get(key))
            .map_or("", String::as_str)
    }

    /// Functions that must be named `changed` or `new`.
    pub fn functions(&self, key: &str, build: Build<'_>) -> BTreeSet<&str> {
        self.directive(key, build).split_whitespace().collect()
    }

    /// Wanted exit status.
    pub fn exit(&self, build: Build<'_>) -> Result<i32, String> {
        match self.directive("exit", build) {
            "" => Ok(0),
            text => text.parse().map_err(|_| format!("{}.c: exit status {text}", self.name)),
        }
    }

    /// Whether the case says something about this compiler and machine.
    pub fn is_for(&self, build: Build<'_>) -> bool {
        let has = |key: &str, names: &[&str]| {
            let wanted = self.directive(key, build);
            wanted.is_empty() || wanted.split_whitespace().any(|name| names.contains(&name))
        };
        has("only", &[build.compiler, family(build.compiler)]) && has("machines", &[build.machine])
    }
}

fn family(compiler: &str) -> &str {
    compiler.split('-').next().unwrap_or(compiler)
}

/// Where the sources are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/cases")
}

/// All cases, by name, checked for these compilers.
pub fn load_cases(compilers: &[&str]) -> Result<Vec<Case>, String> {
    let folder = folder();
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension() == Some(OsStr::new("c")));
    paths.sort();
    let load = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}.c: {error}"))?;
        Case::parse(&name, &text, compilers)
    };
    paths.iter().map(load).collect()
}

/// Names after `prefix` in the lines that are not indented.
pub fn names<'a>(stdout: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    stdout.lines().filter_map(|line| line.strip_prefix(prefix)).collect()
}
