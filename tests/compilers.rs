//! Verdicts on pairs that the compilers of this machine make of our own C.
//!
//! Each file in `corpus/cases` is one source with `#ifdef PATCHED` parts. It is
//! compiled twice by every compiler and in every variant below; `klp-diff` must
//! then exit as the file's header says and name exactly the functions it says.
//! A header line is `//# KEY: VALUE`, before anything else:
//!
//! | key | value |
//! |---|---|
//! | `what` | one line that says why the case exists (required) |
//! | `changed`, `new` | functions that must be named so, separated by spaces |
//! | `exit` | wanted exit status (0 when absent) |
//! | `arch` | machines the case is for; for this test it says nothing |
//! | `only` | compilers or families (`gcc`, `clang`) the case is for |
//! | `flags` | more options for the compiler |
//! | `needs-symbol` | text a symbol of both objects must contain, or the compiler did not do what the case is about |
//!
//! `changed`, `new` and `exit` may name a compiler or a family: `changed[gcc]`.
//! A compiler that is not installed, and a case its compiler has no use for, are
//! reported as ignored, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

const COMPILERS: [&str; 5] = ["gcc-12", "clang-14", "clang-16", "clang-19", "clang-22"];

/// What a kernel with ftrace is compiled with, as far as it shapes the objects.
const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -fno-stack-protector -fno-strict-aliasing -std=gnu11 \
     -mno-red-zone";

const VARIANTS: [(&str, &str); 3] = [
    ("plain", ""),
    ("branch", "-fcf-protection=branch"),
    ("patchable", "-fpatchable-function-entry=16,16"),
];

/// Sizes of the rows `corpus/cases/kernel.h` writes.
const STRUCT_SIZES: [(&str, &str); 6] = [
    ("ALT_STRUCT_SIZE", "14"),
    ("BUG_STRUCT_SIZE", "12"),
    ("EX_STRUCT_SIZE", "12"),
    ("JUMP_STRUCT_SIZE", "16"),
    ("PRINTK_INDEX_STRUCT_SIZE", "8"),
    ("STATIC_CALL_STRUCT_SIZE", "8"),
];

const KEYS: [&str; 8] = ["what", "changed", "new", "exit", "only", "flags", "needs-symbol", "arch"];

struct Case {
    name: String,
    directives: BTreeMap<String, String>,
}

impl Case {
    fn parse(name: &str, text: &str) -> Result<Case, String> {
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
        if COMPILERS.iter().all(|compiler| !case.is_for(compiler)) {
            return Err(format!("{name}.c: `//# only:` names no compiler known here"));
        }
        for compiler in COMPILERS.iter().filter(|compiler| case.is_for(compiler)) {
            let named =
                case.functions("changed", compiler).len() + case.functions("new", compiler).len();
            if (case.exit(compiler)? == 0) != (named > 0) {
                return Err(format!(
                    "{name}.c: functions are named exactly when the exit status is 0"
                ));
            }
        }
        Ok(case)
    }

    /// The directive for this compiler, its family, or all.
    fn directive(&self, key: &str, compiler: &str) -> &str {
        [format!("{key}[{compiler}]"), format!("{key}[{}]", family(compiler)), key.to_owned()]
            .iter()
            .find_map(|key| self.directives.get(key))
            .map_or("", String::as_str)
    }

    fn functions(&self, key: &str, compiler: &str) -> BTreeSet<&str> {
        self.directive(key, compiler).split_whitespace().collect()
    }

    fn exit(&self, compiler: &str) -> Result<i32, String> {
        match self.directive("exit", compiler) {
            "" => Ok(0),
            text => text.parse().map_err(|_| format!("{}.c: exit status {text}", self.name)),
        }
    }

    fn is_for(&self, compiler: &str) -> bool {
        let only = self.directive("only", compiler);
        only.is_empty()
            || only.split_whitespace().any(|name| name == compiler || name == family(compiler))
    }
}

fn family(compiler: &str) -> &str {
    compiler.split('-').next().unwrap_or(compiler)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/cases")
}

fn load_cases() -> Result<Vec<Case>, String> {
    let folder = folder();
    let entries = folder.read_dir().map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension() == Some(OsStr::new("c")));
    paths.sort();
    let load = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}.c: {error}"))?;
        Case::parse(&name, &text)
    };
    paths.iter().map(load).collect()
}

fn is_installed(compiler: &str) -> bool {
    let mut command = Command::new(compiler);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    cfg!(target_arch = "x86_64") && command.status().is_ok_and(|status| status.success())
}

fn compile(
    case: &Case,
    compiler: &str,
    variant: &str,
    define: &str,
    out: &Path,
) -> Result<(), Failed> {
    let output = Command::new(compiler)
        .args(FLAGS.split_whitespace())
        .args(variant.split_whitespace())
        .args(case.directive("flags", compiler).split_whitespace())
        .args(define.split_whitespace())
        .args(["-Wall", "-Werror", "-c", "-o"])
        .arg(out)
        .arg(format!("{}.c", case.name))
        .current_dir(folder())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{compiler} failed:\n{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Names after `prefix` in the lines that are not indented.
fn names<'a>(stdout: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    stdout.lines().filter_map(|line| line.strip_prefix(prefix)).collect()
}

fn run(case: &Case, compiler: &str, variant: &str) -> Result<Completion, Failed> {
    let folder = tempfile::tempdir()?;
    let (orig, patched) = (folder.path().join("orig.o"), folder.path().join("patched.o"));
    compile(case, compiler, variant, "", &orig)?;
    compile(case, compiler, variant, "-DPATCHED", &patched)?;
    let needed = case.directive("needs-symbol", compiler);
    if !needed.is_empty() {
        for object in [&orig, &patched] {
            let bytes = std::fs::read(object)?;
            if !bytes.windows(needed.len()).any(|window| window == needed.as_bytes()) {
                return Ok(Completion::ignored_with(format!("{compiler} made no {needed}")));
            }
        }
    }

    let output = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
        .args([&orig, &patched])
        .envs(STRUCT_SIZES)
        .output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let said = format!("\nstdout:\n{stdout}stderr:\n{}", String::from_utf8_lossy(&output.stderr));
    let wanted = case.exit(compiler)?;
    if output.status.code() != Some(wanted) {
        return Err(format!("{}, wanted {wanted}{said}", output.status).into());
    }
    if wanted == 2 {
        if output.stderr.is_empty() {
            return Err(format!("refused without a reason{said}").into());
        }
        return Ok(Completion::Completed);
    }
    for (key, prefix) in [("changed", "changed function: "), ("new", "new function: ")] {
        let (found, wanted) = (names(&stdout, prefix), case.functions(key, compiler));
        if found != wanted {
            return Err(format!("{key}: found {found:?}, wanted {wanted:?}{said}").into());
        }
    }
    Ok(Completion::Completed)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases: Vec<Arc<Case>> = match load_cases() {
        Ok(cases) => cases.into_iter().map(Arc::new).collect(),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for compiler in COMPILERS {
        let installed = is_installed(compiler);
        let before = trials.len();
        for case in cases.iter().filter(|case| case.is_for(compiler)) {
            for (variant, flags) in VARIANTS {
                let name = format!("{}::{compiler}::{variant}", case.name);
                let case = Arc::clone(case);
                trials.push(
                    Trial::ignorable_test(name, move || run(&case, compiler, flags))
                        .with_kind(if installed { "" } else { "missing compiler" })
                        .with_ignored_flag(!installed),
                );
            }
        }
        if !installed {
            eprintln!("skipped: {} trials, {compiler} is not installed", trials.len() - before);
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
