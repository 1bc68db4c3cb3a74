//! A run as text.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::fmt::Write as _;

use super::baseline::Changes;
use super::case::verdict;
use super::results::{Results, Status};

/// Names of cases that were not run are listed up to this number.
const LISTED: usize = 40;

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "",
        Status::Differs => "DIFFERS",
        Status::Error => "ERROR",
        Status::Known => "known",
        Status::Skipped => "skipped",
        Status::NotRun => "not run",
    }
}

/// The table of all cases, and below it what is wrong and how many there are.
pub(crate) fn text(results: &Results, changes: &Changes, peak_mib: Option<u64>) -> String {
    let mut out = String::new();
    let wide = results.cases.iter().map(|r| r.case.chars().count()).max().unwrap_or(0).max(4);
    let _ = writeln!(
        out,
        "{:wide$}  {:9}  {:11}  {:>8}  {:>9}",
        "case", "verdict", "expected", "ms", "MiB aside"
    );
    for r in results.cases.iter().filter(|r| r.status != Status::NotRun) {
        let found = r.exit.map_or("-", verdict);
        let _ = writeln!(
            out,
            "{:wide$}  {found:9}  {:11}  {:8.1}  {:9}  {}",
            r.case,
            r.expected,
            r.time_ms,
            r.memory_mib,
            word(r.status)
        );
        let end = out.trim_end().len();
        out.replace_range(end.., "\n");
    }
    let bad = [Status::Differs, Status::Error, Status::Known, Status::Skipped];
    for r in results.cases.iter().filter(|r| bad.contains(&r.status)) {
        for difference in &r.differences {
            let _ = writeln!(out, "{} {}: {difference}", word(r.status), r.case);
        }
    }
    // Where nothing is expected, the reason of a refusal is news.
    for r in results.cases.iter().filter(|r| r.status == Status::Ok && r.expected == "-") {
        if let (Some(exit), Some(message)) = (r.exit, &r.message) {
            let _ = writeln!(out, "{} {}: {message}", verdict(exit), r.case);
        }
    }
    for line in &changes.lines {
        let _ = writeln!(out, "CHANGED {line}");
    }
    for line in changes.remarks.iter().chain(&results.notes) {
        let _ = writeln!(out, "{line}");
    }
    let unrun: Vec<&str> = results
        .cases
        .iter()
        .filter(|r| r.status == Status::NotRun)
        .map(|r| r.case.as_str())
        .collect();
    if !unrun.is_empty() {
        let _ = writeln!(out, "interrupted: {} cases were not run:", unrun.len());
        for case in unrun.iter().take(LISTED) {
            let _ = writeln!(out, "  {case}");
        }
        if unrun.len() > LISTED {
            let _ = writeln!(out, "  and {} more; --json FILE lists all", unrun.len() - LISTED);
        }
    }
    let shard = results.shard.map(|s| format!("shard {s}, ")).unwrap_or_default();
    let seconds = results.cases.iter().map(|r| r.time_ms).sum::<f64>() / 1000.0;
    let _ = write!(
        out,
        "{shard}{} cases: {} as expected, {} differ, {} errors, {} skipped",
        results.cases.len(),
        results.count(Status::Ok),
        results.count(Status::Differs),
        results.count(Status::Error),
        results.count(Status::Skipped),
    );
    match results.count(Status::Known) {
        0 => {}
        known => {
            let _ = write!(out, ", {known} differ as known");
        }
    }
    let _ = write!(out, "; {seconds:.2} s of work");
    if let Some(peak) = peak_mib {
        let _ = write!(out, ", at most {peak} MiB");
    }
    out.push('\n');
    out
}
