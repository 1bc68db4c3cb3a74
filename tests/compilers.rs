//! Verdicts on pairs that the compilers of this machine make of our own C.
//!
//! Each case (see `common`) is compiled twice by every compiler and in every variant below;
//! `klp-diff` must then exit as the file's header says and name exactly the functions it
//! says. A compiler that is not installed, and a case its compiler has no use for, are
//! reported as ignored, by name.

#[path = "common/suite.rs"]
mod suite;

mod common;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use common::{Build, Case, STRUCT_SIZES, folder, load_cases, names};
use libtest_mimic::{Arguments, Completion, Failed};

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

/// This machine's compiler, as the cases know it.
fn build(compiler: &str) -> Build<'_> {
    Build { compiler, machine: "x86_64" }
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
        .args(case.directive("flags", build(compiler)).split_whitespace())
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

fn run(case: &Case, compiler: &str, variant: &str) -> Result<Completion, Failed> {
    let folder = tempfile::tempdir()?;
    let (orig, patched) = (folder.path().join("orig.o"), folder.path().join("patched.o"));
    compile(case, compiler, variant, "", &orig)?;
    compile(case, compiler, variant, "-DPATCHED", &patched)?;
    let needed = case.directive("needs-symbol", build(compiler));
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
    let wanted = case.exit(build(compiler))?;
    if output.status.code() != Some(wanted) {
        return Err(format!("{}, wanted {wanted}{said}", output.status).into());
    }
    if wanted == 1 || wanted == 2 {
        let reason = case.directive("says", build(compiler));
        if output.stderr.is_empty() || !said.contains(reason) {
            return Err(format!("wrong reason{said}").into());
        }
        return Ok(Completion::Completed);
    }
    for (key, prefix) in [("changed", "changed function: "), ("new", "new function: ")] {
        let (found, wanted) = (names(&stdout, prefix), case.functions(key, build(compiler)));
        if found != wanted {
            return Err(format!("{key}: found {found:?}, wanted {wanted:?}{said}").into());
        }
    }
    Ok(Completion::Completed)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases: Vec<Arc<Case>> = match load_cases(&COMPILERS) {
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
        for case in cases.iter().filter(|case| case.is_for(build(compiler))) {
            for (variant, flags) in VARIANTS {
                let name = format!("{}::{compiler}::{variant}", case.name);
                let case = Arc::clone(case);
                trials.push(
                    suite::trial(name, move || run(&case, compiler, flags))
                        .with_kind(if installed { "" } else { "missing compiler" })
                        .with_ignored_flag(!installed),
                );
            }
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
