//! A sample of the mutation runs: what a mutation reaches is named, and noise is not.
//!
//! `cargo run --release --example mutate 100` runs it for long. Objects compiled from this
//! repository's cases are always mutated; those in the folder that `KLP_DIFF_DATA` names,
//! when it is set.

#[path = "../examples/mutate/harness/mod.rs"]
#[allow(dead_code)]
mod harness;

use harness::{Outcome, Tally, run_all, subjects};

/// Refusals of what a patch can express, in percent, that are still accepted.
const REFUSED_PERCENT: usize = 2;

fn check(subjects: &[subjects::Subject], count: usize, seed: u64) {
    let mut tally = Tally::default();
    run_all(subjects, count, seed, &mut tally);
    tally.print();
    let bad: Vec<&String> = tally.bad.iter().filter(|b| !b.starts_with("Refused")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let refused = tally.total(Outcome::Refused);
    assert!(refused * 100 <= tally.all() * REFUSED_PERCENT, "{refused} of {}", tally.all());
    assert!(tally.total(Outcome::Reported) > 0, "nothing was mutated");
}

#[test]
fn mutations_of_own_cases_are_named() {
    for compiler in ["gcc-12", "clang-19"] {
        let subjects = subjects::corpus(compiler, &harness::CASES);
        if subjects.is_empty() {
            eprintln!("skipped: {compiler} is not installed");
            continue;
        }
        check(&subjects, 8, 1);
    }
}

#[test]
fn mutations_of_kernel_objects_are_named() {
    let Some(root) = std::env::var_os("KLP_DIFF_DATA") else {
        eprintln!("skipped: KLP_DIFF_DATA is unset");
        return;
    };
    check(&subjects::data(root.as_ref()), 3, 7);
}
