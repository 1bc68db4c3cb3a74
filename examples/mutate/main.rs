//! Mutates objects for as long as wanted, and counts what the comparison misses.
//!
//! `mutate [COUNT [SEED [NAME-PART]]]`: COUNT mutations of every class and object (20), of
//! the objects in the folder that `KLP_DIFF_DATA` names and of this repository's own cases.
//! Exit status 1 when something was missed or noise was reported.

mod harness;

use std::process::ExitCode;

use harness::{Outcome, Tally, run_all, subjects};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |i: usize, default: u64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (count, seed) = (number(0, 20), number(1, 1));
    let wanted = args.get(2).map_or("", String::as_str);
    let mut all = Vec::new();
    if let Some(root) = std::env::var_os("KLP_DIFF_DATA") {
        all.extend(subjects::data(root.as_ref()));
    }
    for compiler in ["gcc-12", "clang-19"] {
        all.extend(subjects::corpus(compiler, &harness::CASES));
    }
    all.retain(|s| s.name.contains(wanted));
    let mut tally = Tally::default();
    run_all(&all, count as usize, seed, &mut tally);
    for line in &tally.bad {
        println!("{line}");
    }
    tally.print();
    let bad = tally.total(Outcome::Missed) + tally.total(Outcome::FalseAlarm);
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
