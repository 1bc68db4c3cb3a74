//! A run as JUnit's XML, which servers of CI read.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::baseline::Changes;
use super::results::{Record, Results, Status};
use crate::diag::{Code, Error, Result};

/// One suite with a test for each case; what changed since the baseline is one more, that failed.
pub(crate) fn junit(results: &Results, changes: &Changes) -> Result<String> {
    let mut suite = TestSuite::new("klp-diff corpus");
    suite.set_time(results.cases.iter().map(time).sum());
    for record in &results.cases {
        let (class, name) = record.case.rsplit_once('/').unwrap_or(("", &record.case));
        let mut case = TestCase::new(shown(name), status(record));
        case.set_classname(shown(class)).set_time(time(record));
        suite.add_test_case(case);
    }
    if !changes.lines.is_empty() {
        let what = format!("{} changes since the baseline", changes.lines.len());
        let mut case = TestCase::new("baseline", failed(&what, &changes.lines));
        case.set_classname("").set_time(Duration::ZERO);
        suite.add_test_case(case);
    }
    let mut report = Report::new("klp-diff corpus");
    report.set_time(results.cases.iter().map(time).sum()).add_test_suite(suite);
    report
        .to_string()
        .map_err(|e| Error::broken(Code::Unwritable, format!("cannot be put as XML: {e}")))
}

fn time(record: &Record) -> Duration {
    Duration::try_from_secs_f64(record.time_ms / 1000.0).unwrap_or_default()
}

fn status(record: &Record) -> TestCaseStatus {
    let first = record.differences.first().map_or("", String::as_str);
    match record.status {
        Status::Ok => TestCaseStatus::success(),
        Status::Differs => failed(first, &record.differences),
        Status::Error => {
            describe(TestCaseStatus::non_success(NonSuccessKind::Error), first, &record.differences)
        }
        Status::Known | Status::Skipped | Status::NotRun => {
            describe(TestCaseStatus::skipped(), first, &record.differences)
        }
    }
}

fn failed(message: &str, lines: &[String]) -> TestCaseStatus {
    describe(TestCaseStatus::non_success(NonSuccessKind::Failure), message, lines)
}

fn describe(mut status: TestCaseStatus, message: &str, lines: &[String]) -> TestCaseStatus {
    status.set_message(shown(message)).set_description(shown(&lines.join("\n")));
    status
}

/// Text with a sign in the place of each character that XML 1.0 has no form for: the crate
/// leaves them out, and two names could become one.
fn shown(text: &str) -> String {
    let has_form = |c: char| c >= ' ' || matches!(c, '\n' | '\t');
    let odd = |c: char| !has_form(c) || matches!(c as u32, 0x7f..0xa0 | 0xfffe | 0xffff);
    text.chars().map(|c| if odd(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_has_no_control_characters() {
        let difference = "a<b>&\"c\"\u{1}\u{1b}[31m\nd".to_owned();
        let record = Record::unrun("d/x\u{7}", "changed".to_owned(), Status::Differs, difference);
        let results = Results::new(None, 1, vec![record], Vec::new());
        let changes = Changes { lines: vec!["x: y".to_owned()], remarks: Vec::new() };
        let xml = junit(&results, &changes).unwrap();
        assert!(xml.contains("a&lt;b&gt;&amp;"), "{xml}");
        assert!(xml.contains("name=\"x\u{fffd}\" classname=\"d\""), "{xml}");
        assert!(xml.contains("<testsuite name=\"klp-diff corpus\" tests=\"2\" skipped=\"0\" errors=\"0\" failures=\"2\""), "{xml}");
        assert!(!xml.contains(['\u{1}', '\u{7}', '\u{1b}']), "{xml}");
    }
}
