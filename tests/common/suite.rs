//! Runs the tests of a file. What a test needs and does not find makes it an ignored one, by
//! name: it is told at run time, so that every subset of compilers, linkers, tools and data will do.
//!
//! `KLP_DIFF_MAY_LACK`, parts of reasons separated by `;`, is for machines that should have
//! everything else: any other reason makes the run fail.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

thread_local! {
    /// What the test of this thread did not find.
    static LACKED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// All that was not found.
static ALL: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes that something is not there that the running test needs, or that trials need.
pub fn lacks(what: impl Into<String>) {
    let what = what.into();
    eprintln!("skipped: {what}");
    LACKED.with_borrow_mut(|all| {
        if !all.contains(&what) {
            all.push(what.clone());
        }
    });
    ALL.lock().expect("no test panics here").push(what);
}

/// Runs the tests that the command line asks for.
pub fn run(tests: &[(&str, fn())]) -> ExitCode {
    let trials = tests.iter().map(|&(name, test)| {
        trial(name, move || {
            LACKED.take();
            test();
            let lacked = LACKED.take();
            Ok(match lacked.is_empty() {
                true => Completion::Completed,
                false => Completion::ignored_with(lacked.join("; ")),
            })
        })
    });
    conclude(&Arguments::from_args(), trials.collect())
}

/// A test that is an ignored one where it fails because a program of the machine lacks another: gcc without an
/// assembler, tar without xz.
pub fn trial(
    name: impl Into<String>,
    test: impl FnOnce() -> Result<Completion, Failed> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let (result, said) = match catch_unwind(AssertUnwindSafe(test)) {
            Ok(Err(failed)) => {
                let said = failed.message().unwrap_or_default().to_owned();
                (Err(failed), said)
            }
            Ok(done) => (done, String::new()),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                let said = text.unwrap_or_default();
                (Err(Failed::from(said.clone())), said)
            }
        };
        let Some(program) = missing(&said) else { return result };
        let what = format!("{program} is not installed");
        lacks(what.clone());
        Ok(Completion::ignored_with(what))
    })
}

/// Runs a program to its end. Where the machine has not got it, the trial is an ignored one.
pub fn output(command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|error| panic!("{program}: cannot run: {error}"))
}

/// The program that another one complains of not having, if the machine has not.
fn missing(said: &str) -> Option<&str> {
    const PHRASES: [(&str, &str); 9] = [
        // gcc and collect2.
        ("cannot execute '", "'"),
        ("cannot execute \u{2018}", "\u{2019}"),
        ("cannot find '", "'"),
        // clang.
        ("Executable \"", "\" doesn't exist"),
        // tar, make, sh and bash: the name comes first.
        ("", ": Cannot exec: No such file"),
        ("", ": No such file or directory"),
        ("", ": not found"),
        ("", ": command not found"),
        // klp-diff.
        ("", ": cannot run: No such file"),
    ];
    let is_name = |word: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        !word.is_empty() && word.chars().all(plain) && !word.ends_with(".o")
    };
    let lines = || said.lines().flat_map(|line| line.split("\\n"));
    let named = PHRASES.iter().flat_map(|(before, behind)| {
        lines().filter_map(move |line| match before.is_empty() {
            true => line.split(behind).next().filter(|part| *part != line)?.split(' ').next_back(),
            false => line.split_once(before)?.1.split_once(behind).map(|(name, _)| name),
        })
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let is_known = |name: &&str| {
        let more = |known: &&str| name.strip_prefix(*known);
        KNOWN.iter().filter_map(more).any(|more| more.is_empty() || more.starts_with(['-', '.']))
    };
    named.filter(is_name).filter(is_known).find(|name| !there(name))
}

/// Beginnings of the names of programs that tests need, or that those need.
const KNOWN: [&str; 24] = [
    "sh", "bash", "as", "ld", "gcc", "cc", "clang", "ar", "llvm", "objcopy", "objdump", "nm",
    "readelf", "strip", "tar", "xz", "zstd", "gzip", "make", "python3", "patch", "diff", "perl",
    "install",
];

/// Runs trials, and fails where something is missing that may not be.
pub fn conclude(arguments: &Arguments, trials: Vec<Trial>) -> ExitCode {
    let conclusion = libtest_mimic::run(arguments, trials);
    let Ok(allowed) = std::env::var("KLP_DIFF_MAY_LACK") else { return conclusion.exit_code() };
    let allowed: Vec<&str> = allowed.split(';').map(str::trim).filter(|a| !a.is_empty()).collect();
    let mut missing = ALL.lock().expect("no test panics here").clone();
    missing.retain(|what| !allowed.iter().any(|allowed| what.contains(allowed)));
    missing.sort();
    missing.dedup();
    for what in &missing {
        eprintln!("not run although it should be: {what}");
    }
    if missing.is_empty() { conclusion.exit_code() } else { ExitCode::FAILURE }
}
