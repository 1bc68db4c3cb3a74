//! A run as text and as JUnit's XML.

use std::fmt::Write as _;

use super::baseline::Changes;
use super::case::verdict;
use super::results::{Record, Results, Status};

/// Names of cases that were not run are listed up to this number.
const LISTED: usize = 40;

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "",
        Status::Differs => "DIFFERS",
        Status::Error => "ERROR",
        Status::Skipped => "skipped",
        Status::NotRun => "not run",
    }
}

/// The table of all cases, and below it what is wrong and how many there are.
pub(super) fn text(results: &Results, changes: &Changes, peak_mib: Option<u64>) -> String {
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
    let bad = [Status::Differs, Status::Error, Status::Skipped];
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
    let _ = write!(out, "; {seconds:.2} s of work");
    if let Some(peak) = peak_mib {
        let _ = write!(out, ", at most {peak} MiB");
    }
    out.push('\n');
    out
}

/// JUnit's XML, as CI servers read it.
pub(super) fn junit(results: &Results, changes: &Changes) -> String {
    let count = |s| results.count(s);
    let failures = count(Status::Differs) + usize::from(!changes.lines.is_empty());
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let seconds = results.cases.iter().map(|r| r.time_ms).sum::<f64>() / 1000.0;
    let _ = writeln!(
        out,
        "<testsuite name=\"klp-diff corpus\" tests=\"{}\" failures=\"{failures}\" errors=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\">",
        results.cases.len() + usize::from(!changes.lines.is_empty()),
        count(Status::Error),
        count(Status::Skipped) + count(Status::NotRun),
    );
    for r in &results.cases {
        let (class, name) = r.case.rsplit_once('/').unwrap_or(("", &r.case));
        let _ = write!(
            out,
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escape(class),
            escape(name),
            r.time_ms / 1000.0
        );
        match outcome(r) {
            None => out.push_str("/>\n"),
            Some(tag) => {
                let text = escape(&r.differences.join("\n"));
                let first = escape(r.differences.first().map_or("", String::as_str));
                let _ = writeln!(out, "><{tag} message=\"{first}\">{text}</{tag}></testcase>");
            }
        }
    }
    if !changes.lines.is_empty() {
        let text = escape(&changes.lines.join("\n"));
        let _ = writeln!(
            out,
            "  <testcase classname=\"\" name=\"baseline\" time=\"0\"><failure message=\"{} changes since the baseline\">{text}</failure></testcase>",
            changes.lines.len()
        );
    }
    out.push_str("</testsuite>\n");
    out
}

fn outcome(record: &Record) -> Option<&'static str> {
    match record.status {
        Status::Ok => None,
        Status::Differs => Some("failure"),
        Status::Error => Some("error"),
        Status::Skipped | Status::NotRun => Some("skipped"),
    }
}

/// Text for XML 1.0, which has no form at all for most control characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push('\t'),
            c if (c as u32) < 0x20 || matches!(c as u32, 0xfffe | 0xffff) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_has_no_control_characters() {
        assert_eq!(escape("a<b>&\"c\"\u{1}\n"), "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}&#10;");
    }
}
