//! Verdicts on builds of several files of our own C: ThinLTO, gcc's LTO, and profiles.
//!
//! A case is a file of `tests/lto`: a header, and the sources of a small program, each behind
//! a line `//@ PATH`, or `//@ PATH orig` and `//@ PATH patched` for what only one build has;
//! `PATCHED` is defined in the patched build. Every compiler builds it twice. The objects of
//! the two builds are compared folder by folder, and linked together with `ld -r`: both ways
//! must say what the header says. Header lines, `//# KEY: VALUE`, or `KEY[clang-14]` for one
//! compiler:
//!
//! * `what`: why the case exists;
//! * `build`: one or more of `thin` (the default), `cache` (the same, with the objects of lld's
//!   cache), `plain` (no LTO), and `gcc` (ltrans objects);
//! * `also`: `gcc-12` when that compiles a `plain` case, too;
//! * `changed`, `new`: the functions; `exit`: 0 unless nothing is named, then 3;
//! * `says`: part of what a refusal says;
//! * `flags`: for the compiler; `link`: for lld;
//! * `order`: `reversed` when the patched build links its files the other way round;
//! * `needs`, `needs-patched`: a symbol that the original, or the patched, objects must have;
//! * `without`: one that the patched objects must not have: without these the case shows
//!   nothing.

#[path = "common/suite.rs"]
mod suite;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use klp_diff::corpus::compilers::of_machine;
use klp_diff::corpus::directives::Directives;
use libtest_mimic::{Arguments, Completion, Failed};

/// What a kernel with ftrace is compiled with, as far as it shapes the objects.
const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic \
     -mcmodel=kernel -fno-asynchronous-unwind-tables -fno-stack-protector -std=gnu11 \
     -mno-red-zone -Werror";

const KEYS: [&str; 13] = [
    "what",
    "build",
    "also",
    "changed",
    "new",
    "exit",
    "says",
    "flags",
    "link",
    "order",
    "needs",
    "needs-patched",
    "without",
];

struct Case {
    name: String,
    header: Directives,
    /// Path, the only build that has it, text.
    files: Vec<(String, Option<String>, String)>,
}

impl Case {
    fn read(path: &Path) -> Result<Case, String> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).map_err(|e| format!("{name}: {e}"))?;
        let header = Directives::parse(path, &text, &KEYS).map_err(|e| e.to_string())?;
        let mut case = Case { name, header, files: Vec::new() };
        for line in text.lines() {
            if let Some(file) = line.strip_prefix("//@ ") {
                let mut words = file.split_whitespace().map(str::to_owned);
                case.files.push((words.next().unwrap_or_default(), words.next(), String::new()));
            } else if let Some(file) = case.files.last_mut() {
                file.2 += line;
                file.2.push('\n');
            }
        }
        if case.get("what", "").is_empty() || case.files.is_empty() {
            return Err(format!("{}: it needs a line `//# what:` and files", case.name));
        }
        Ok(case)
    }

    fn get(&self, key: &str, compiler: &str) -> &str {
        self.header.get(key, &[compiler])
    }

    fn named(&self, key: &str, compiler: &str) -> BTreeSet<&str> {
        self.header.words(key, &[compiler])
    }

    /// The ways to build it.
    fn builds(&self) -> Vec<String> {
        match self.get("build", "") {
            "" => vec!["thin".to_owned()],
            builds => builds.split_whitespace().map(str::to_owned).collect(),
        }
    }

    fn wanted_exit(&self, compiler: &str) -> Result<i32, Failed> {
        let named = |key| !self.get(key, compiler).is_empty();
        match self.get("exit", compiler) {
            "" if named("changed") || named("new") => Ok(0),
            "" => Ok(3),
            text => Ok(text.parse()?),
        }
    }
}

fn succeed(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Builds one side: the folder of objects, and the one linked from them.
fn build(
    case: &Case,
    kind: &str,
    compiler: &str,
    root: &Path,
    side: &str,
) -> Result<(PathBuf, PathBuf), Failed> {
    // Both sides are built at the same path, as kernels are, which hash it into names.
    let sources = root.join("src");
    let _ = std::fs::remove_dir_all(&sources);
    let mut objects = Vec::new();
    for (path, only, text) in &case.files {
        if only.as_deref().is_some_and(|only| only != side) {
            continue;
        }
        let source = sources.join(path);
        std::fs::create_dir_all(source.parent().unwrap_or(&sources))?;
        std::fs::write(&source, text)?;
        if source.extension().is_some_and(|e| e == "proftext") {
            succeed(
                Command::new(compiler.replace("clang", "llvm-profdata"))
                    .args(["merge", "-o"])
                    .arg(source.with_extension("profdata"))
                    .arg(&source),
            )?;
        }
    }
    for (path, _, _) in case.files.iter().filter(|f| f.0.ends_with(".c")) {
        if !sources.join(path).exists() {
            continue;
        }
        let object = path.replace(".c", ".o");
        let mut command = Command::new(compiler);
        command.args(FLAGS.split_whitespace()).current_dir(&sources);
        match kind {
            "thin" | "cache" => drop(command.arg("-flto=thin")),
            "gcc" => drop(command.args(["-flto", "-fno-fat-lto-objects"])),
            _ => {}
        }
        if side == "patched" {
            command.arg("-DPATCHED");
        }
        command.args(case.get("flags", compiler).split_whitespace());
        succeed(command.args(["-c", "-o", &object, path]))?;
        objects.push(object);
    }
    if side == "patched" && case.get("order", compiler) == "reversed" {
        objects.reverse();
    }
    let folder = root.join(side);
    std::fs::create_dir_all(&folder)?;
    let whole = root.join(format!("{side}.o"));
    let lld = compiler.replace("clang", "ld.lld");
    match kind {
        "thin" | "cache" => succeed(
            Command::new(lld)
                .current_dir(&sources)
                .arg("-r")
                .args(case.get("link", compiler).split_whitespace())
                .arg(match kind {
                    "cache" => format!("--thinlto-cache-dir={}", folder.display()),
                    _ => format!("--lto-obj-path={}", folder.join("o").display()),
                })
                .arg("-o")
                .arg(&whole)
                .args(&objects),
        )?,
        "gcc" => {
            succeed(
                Command::new(compiler)
                    .current_dir(&sources)
                    .args(FLAGS.split_whitespace())
                    .args(["-flto", "-flto-partition=1to1", "-r", "-save-temps", "-nostdlib"])
                    .args(["-flinker-output=nolto-rel", "-o", "whole.o"])
                    .args(&objects),
            )?;
            for entry in sources.read_dir()? {
                let path = entry?.path();
                if path.to_string_lossy().ends_with(".ltrans.o") {
                    std::fs::copy(&path, folder.join(path.file_name().unwrap_or_default()))?;
                }
            }
            std::fs::copy(sources.join("whole.o"), &whole)?;
        }
        _ => {
            for object in &objects {
                let to = folder.join(object);
                std::fs::create_dir_all(to.parent().unwrap_or(&folder))?;
                std::fs::copy(sources.join(object), to)?;
            }
            let linker = if compiler.starts_with("clang") { lld } else { "ld".to_owned() };
            succeed(
                Command::new(linker)
                    .current_dir(&sources)
                    .args(["-r", "-o"])
                    .arg(&whole)
                    .args(&objects),
            )?;
        }
    }
    Ok((folder, whole))
}

fn contains(object: &Path, symbol: &str) -> Result<bool, Failed> {
    let bytes = std::fs::read(object)?;
    Ok(bytes.windows(symbol.len()).any(|window| window == symbol.as_bytes()))
}

fn check(case: &Case, compiler: &str, orig: &Path, patched: &Path) -> Result<(), Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_klp-diff")).args([orig, patched]).output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let said = format!("\nstdout:\n{stdout}stderr:\n{}", String::from_utf8_lossy(&output.stderr));
    let place = orig.file_name().unwrap_or_default().to_string_lossy();
    let wanted = case.wanted_exit(compiler)?;
    if output.status.code() != Some(wanted) {
        return Err(format!("{place}: {}, wanted {wanted}{said}", output.status).into());
    }
    if !said.contains(case.get("says", compiler)) {
        return Err(format!("{place}: wrong reason{said}").into());
    }
    if wanted == 2 {
        return Ok(());
    }
    for (key, prefix) in [("changed", "changed function: "), ("new", "new function: ")] {
        let found: BTreeSet<&str> =
            stdout.lines().filter_map(|line| line.strip_prefix(prefix)).collect();
        let found: BTreeSet<&str> =
            found.iter().map(|name| name.split(".llvm.").next().unwrap_or(name)).collect();
        let wanted = case.named(key, compiler);
        if found != wanted {
            return Err(format!("{place}: {key}: {found:?}, wanted {wanted:?}{said}").into());
        }
    }
    Ok(())
}

fn run(case: &Case, kind: &str, compiler: &str) -> Result<Completion, Failed> {
    let profdata = compiler.replace("clang", "llvm-profdata");
    if case.files.iter().any(|f| f.0.ends_with(".proftext")) && !exists(&profdata) {
        crate::suite::lacks(format!("{}, {profdata} is not installed", case.name));
        return Ok(Completion::ignored_with(format!("{profdata} is not installed")));
    }
    let folder = tempfile::tempdir()?;
    let orig = build(case, kind, compiler, folder.path(), "orig")?;
    let patched = build(case, kind, compiler, folder.path(), "patched")?;
    for (key, object, there) in [
        ("needs", &orig.1, true),
        ("needs-patched", &patched.1, true),
        ("without", &patched.1, false),
    ] {
        let symbol = case.get(key, compiler);
        if !symbol.is_empty() && contains(object, symbol)? != there {
            return Ok(Completion::ignored_with(format!("{compiler}: {key} {symbol} is not so")));
        }
    }
    check(case, compiler, &orig.0, &patched.0)?;
    check(case, compiler, &orig.1, &patched.1)?;
    Ok(Completion::Completed)
}

/// Whether a program that knows no `--version` can be started.
fn exists(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lto");
    let mut cases = Vec::new();
    let mut paths: Vec<PathBuf> =
        folder.read_dir().into_iter().flatten().flatten().map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        match Case::read(&path) {
            Ok(case) => cases.push(Arc::new(case)),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let mut trials = Vec::new();
    for compiler in of_machine("x86_64").map(|compiler| compiler.command) {
        let is_gcc = compiler.starts_with("gcc");
        let installed = cfg!(target_arch = "x86_64")
            && runs(compiler)
            && (is_gcc || runs(&compiler.replace("clang", "ld.lld")));
        let before = trials.len();
        let builds =
            cases.iter().flat_map(|case| case.builds().into_iter().map(move |k| (case, k)));
        let by_this = |(case, kind): &(&Arc<Case>, String)| match kind.as_str() {
            "gcc" => is_gcc,
            "plain" => !is_gcc || case.get("also", "") == compiler,
            _ => !is_gcc,
        };
        for (case, kind) in builds.filter(by_this) {
            let (case, compiler) = (Arc::clone(case), compiler.to_owned());
            trials.push(
                suite::trial(format!("{}::{kind}::{compiler}", case.name), move || {
                    run(&case, &kind, &compiler)
                })
                .with_kind(if installed { "" } else { "missing compiler" })
                .with_ignored_flag(!installed),
            );
        }
        if !installed {
            crate::suite::lacks(format!(
                "{} trials, {compiler} is not installed",
                trials.len() - before
            ));
        }
    }
    suite::conclude(&arguments, trials)
}
