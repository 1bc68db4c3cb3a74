//! What changed since an earlier run.

use std::collections::BTreeMap;

use super::case::verdict;
use super::results::{FunctionRecord, Record, Results, Status};
use super::words::first_difference;

/// A case is slower or faster when its time changed by this factor and by more than
/// [`NOISE_MS`].
const FACTOR: f64 = 1.5;
const NOISE_MS: f64 = 50.0;

/// How a run differs from an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Verdicts, functions, reasons, meanings of outputs, lost cases: `CASE: what`.
    pub lines: Vec<String>,
    /// New cases and times, which are no reason to fail.
    pub remarks: Vec<String>,
}

/// Compares a run with an earlier one. A shard is compared with its own cases only; `all`
/// has the names of the cases of all shards.
pub(crate) fn compare(before: &Results, now: &Results, all: &[&str]) -> Changes {
    let mut changes = Changes::default();
    let old: BTreeMap<&str, &Record> = before.cases.iter().map(|r| (r.case.as_str(), r)).collect();
    let (mut old_ms, mut new_ms) = (0.0, 0.0);
    for record in &now.cases {
        let Some(was) = old.get(record.case.as_str()) else {
            changes.remarks.push(format!("{}: new, the baseline does not have it", record.case));
            continue;
        };
        if record.status == Status::NotRun {
            continue;
        }
        for what in one(was, record) {
            changes.lines.push(format!("{}: {what}", record.case));
        }
        if record.exit.is_none() || was.exit.is_none() {
            continue;
        }
        old_ms += was.time_ms;
        new_ms += record.time_ms;
        let ratio = record.time_ms / was.time_ms.max(0.001);
        let differs = (record.time_ms - was.time_ms).abs() > NOISE_MS;
        if differs && !(1.0 / FACTOR..=FACTOR).contains(&ratio) {
            changes.remarks.push(format!(
                "{}: time {ratio:.2} times the baseline's ({:.0} ms, was {:.0} ms)",
                record.case, record.time_ms, was.time_ms
            ));
        }
    }
    for case in old.keys().filter(|case| all.binary_search(case).is_err()) {
        changes.lines.push(format!("{case}: the baseline has it, but it is not there any more"));
    }
    if old_ms > 0.0 {
        changes
            .remarks
            .push(format!("time of all cases: {:.2} times the baseline's", new_ms / old_ms));
    }
    changes
}

fn one(was: &Record, now: &Record) -> Vec<String> {
    let name = |record: &Record| match (record.exit, record.status) {
        (Some(exit), _) => verdict(exit),
        (None, Status::Skipped) => "skipped",
        (None, _) => "not run",
    };
    if was.exit != now.exit || (now.exit.is_none() && was.status != now.status) {
        let message = now.message.as_ref().or(now.differences.first());
        let message = message.map(|m| format!(": {m}")).unwrap_or_default();
        return vec![format!("verdict: was {}, is {}{message}", name(was), name(now))];
    }
    let mut lines = Vec::new();
    if was.message != now.message {
        let text = |r: &Record| r.message.clone().unwrap_or_default();
        lines.push(format!("message: was '{}', is '{}'", text(was), text(now)));
    }
    let key = |f: &FunctionRecord| format!("{} function {}", f.status, f.name);
    let find = |list: &[FunctionRecord]| -> BTreeMap<String, Vec<String>> {
        list.iter().map(|f| (key(f), f.reasons.clone())).collect()
    };
    let (old, new) = (find(&was.functions), find(&now.functions));
    for function in old.keys().filter(|f| !new.contains_key(*f)) {
        lines.push(format!("{function} is not found any more"));
    }
    for (function, reasons) in &new {
        match old.get(function) {
            None => lines.push(format!("{function} was not found before")),
            Some(before) if before != reasons => {
                let text = |r: &[String]| if r.is_empty() { "none".into() } else { r.join("; ") };
                lines.push(format!(
                    "reason of {function}: was {}, is {}",
                    text(before),
                    text(reasons)
                ));
            }
            Some(_) => {}
        }
    }
    match (&was.output, &now.output) {
        (Some(before), Some(after)) => {
            let described = first_difference(("the baseline", before), ("this run", after));
            lines.extend(described.map(|described| format!("output: {described}")));
        }
        (Some(_), None) => lines.push("output: there is none any more".to_owned()),
        (None, Some(_)) => lines.push("output: there was none before".to_owned()),
        (None, None) => {}
    }
    lines
}
