//! Runs the tests of a file. What a test needs and does not find makes it an ignored one, by
//! name: it is told at run time, so that every subset of compilers, linkers, tools and data will do.
//!
//! `KLP_DIFF_MAY_LACK`, parts of reasons separated by `;`, is for machines that should have
//! everything else: any other reason makes the run fail.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::cell::RefCell;
use std::process::ExitCode;
use std::sync::Mutex;

use libtest_mimic::{Arguments, Completion, Trial};

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
    LACKED.with_borrow_mut(|all| all.push(what.clone()));
    ALL.lock().expect("no test panics here").push(what);
}

/// Runs the tests that the command line asks for.
pub fn run(tests: &[(&str, fn())]) -> ExitCode {
    let trials = tests.iter().map(|&(name, test)| {
        Trial::ignorable_test(name, move || {
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
