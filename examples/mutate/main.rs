//! Mutates objects for as long as wanted, and counts what the comparison misses.
//!
//! `mutate [COUNT [SEED [NAME-PART]]]`: COUNT mutations of every class and object (20), of
//! the objects in the folder that `KLP_DIFF_DATA` names and of this repository's own cases.
//! Exit status 1 when something was missed or noise was reported.
//!
//! `mutate exhaust [--every N] [--kind TEXT] [--jobs N] [--seconds N] [--drop-in] [--keep FOLDER]
//! [NAME-PART]`: every mutant of small objects (see `docs/mutation.md`).

mod exhaust;
mod harness;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use harness::{Outcome, Tally, run_all, subjects};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "exhaust") {
        return run_exhaust(&args[1..]);
    }
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

/// Every mutant; fails when one is silent without a rule, or worse.
fn run_exhaust(args: &[String]) -> ExitCode {
    let mut plan = exhaust::Plan {
        every: 1,
        kind: String::new(),
        options: exhaust::runner::Options {
            jobs: 1,
            policy: klp_diff::Policy::NATIVE,
            limit: Duration::from_secs(10),
            keep: None,
        },
    };
    let mut wanted = "";
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().map_or("", String::as_str);
        match arg.as_str() {
            "--every" => plan.every = value().parse().unwrap_or(1).max(1),
            "--kind" => plan.kind = value().to_owned(),
            "--jobs" => plan.options.jobs = value().parse().unwrap_or(1),
            "--seconds" => {
                plan.options.limit = Duration::from_secs(value().parse().unwrap_or(10));
            }
            "--drop-in" => plan.options.policy = klp_diff::Policy::KPATCH,
            "--keep" => plan.options.keep = Some(value().into()),
            name => wanted = name,
        }
    }
    let start = Instant::now();
    let (subjects, missing) = exhaust::objects::all(wanted);
    missing.iter().for_each(|name| println!("skipped: {name}"));
    let mut tally = exhaust::Tally::default();
    for subject in &subjects {
        let (before, begun) = (tally.all(), Instant::now());
        exhaust::run(subject, &plan, &mut tally);
        let count = tally.all() - before;
        eprintln!("{}: {count} mutants, {:.1} s", subject.name, begun.elapsed().as_secs_f64());
    }
    tally.print();
    println!("{:.0} seconds", start.elapsed().as_secs_f64());
    if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
