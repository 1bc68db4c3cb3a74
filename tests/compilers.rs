//! Verdicts on pairs that the compilers of this machine make of our own C.
//!
//! Each case (see `common`) is compiled twice by every compiler for x86-64 of `corpus run`, in each
//! of its variants; `klp-diff` must then exit as the file's header says and name exactly the
//! functions it says. What is refused is golden text. A compiler that is not installed, and a case its compiler has no use for, are
//! reported as ignored, by name.

#[path = "common/suite.rs"]
mod suite;

mod common;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use common::{folder, load_cases, names};
use klp_diff::corpus::compilers::{Compiler, of_machine};
use klp_diff::corpus::header::{Header, STRUCT_SIZES};
use libtest_mimic::{Arguments, Completion, Failed};

/// What the compilers are of which this is about.
const MACHINE: &str = "x86_64";

/// Compiler, and options of its variant, whose objects' refusals are golden text
/// (`tests/snapshots`). Update with `INSTA_UPDATE=always cargo test --test compilers`.
const GOLDEN: (&str, &str) = ("gcc-12", "");

/// Offsets are the compiler's: its next release may have others.
fn without_offsets(text: &str) -> String {
    let mut found = String::new();
    for (i, part) in text.split("0x").enumerate() {
        let is_offset = found.ends_with('+') || found.ends_with("offset ");
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        match i {
            0 => found += part,
            _ if is_offset => found += &format!("0xN{}", &part[digits..]),
            _ => found += &format!("0x{part}"),
        }
    }
    found
}

fn is_installed(compiler: &Compiler) -> bool {
    let mut command = Command::new(compiler.command);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    cfg!(target_arch = "x86_64") && command.status().is_ok_and(|status| status.success())
}

fn compile(
    case: &Header,
    compiler: &Compiler,
    variant: &str,
    define: &str,
    out: &Path,
) -> Result<(), Failed> {
    let output = Command::new(compiler.command)
        .args(compiler.args(variant, case.directive("flags", compiler)))
        .args(define.split_whitespace())
        .args(["-c", "-o"])
        .arg(out)
        .arg(format!("{}.c", case.name()))
        .current_dir(folder())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{} failed:\n{}", compiler.name, String::from_utf8_lossy(&output.stderr)).into())
}

fn run(case: &Header, compiler: &Compiler, variant: &str) -> Result<Completion, Failed> {
    let folder = tempfile::tempdir()?;
    let (orig, patched) = (folder.path().join("orig.o"), folder.path().join("patched.o"));
    compile(case, compiler, variant, "", &orig)?;
    compile(case, compiler, variant, "-DPATCHED", &patched)?;
    let needed = case.directive("needs-symbol", compiler);
    if !needed.is_empty() {
        for object in [&orig, &patched] {
            let bytes = std::fs::read(object)?;
            if !bytes.windows(needed.len()).any(|window| window == needed.as_bytes()) {
                return Ok(Completion::ignored_with(format!("{} made no {needed}", compiler.name)));
            }
        }
    }

    let output = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
        .args([&orig, &patched])
        .envs(STRUCT_SIZES)
        .output()?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let said = format!("\nstdout:\n{stdout}stderr:\n{}", String::from_utf8_lossy(&output.stderr));
    let wanted = i32::from(case.exit(compiler)?);
    if output.status.code() != Some(wanted) {
        return Err(format!("{}, wanted {wanted}{said}", output.status).into());
    }
    if wanted == 1 || wanted == 2 {
        let reason = case.directive("says", compiler);
        if output.stderr.is_empty() || !said.contains(reason) {
            return Err(format!("wrong reason{said}").into());
        }
        if (compiler.name, variant) == GOLDEN {
            let text = String::from_utf8_lossy(&output.stderr);
            let text = text.replace(&folder.path().display().to_string(), "FOLDER");
            insta::assert_snapshot!(format!("refusal_{}", case.name()), without_offsets(&text));
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
    let cases: Vec<Arc<Header>> = match load_cases(of_machine(MACHINE)) {
        Ok(cases) => cases.into_iter().map(Arc::new).collect(),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for compiler in of_machine(MACHINE) {
        let installed = is_installed(compiler);
        let before = trials.len();
        for case in cases.iter().filter(|case| case.is_for(compiler)) {
            for &(variant, flags) in compiler.variants {
                let name = format!("{}::{}::{variant}", case.name(), compiler.name);
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
                "{} trials, {} is not installed",
                trials.len() - before,
                compiler.name
            ));
        }
    }
    suite::conclude(&arguments, trials)
}
