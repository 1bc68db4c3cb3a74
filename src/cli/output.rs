//! What `klp-diff` prints about pairs, and where.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use super::args::ReportArgs;
use super::{Exit, complain, fail};
use crate::diag::{Code, Error};
use crate::host::{files, print};
use crate::report::json::{Document, Object};
use crate::report::page::page;
use crate::report::{FunctionStatus, OPTIMISER, Report};

/// Prints lines of the result, which hold nothing that is to be escaped.
pub(super) fn say(text: &str, to_stderr: bool) {
    match to_stderr {
        true => print::stderr(text),
        false => print::stdout(text),
    }
}

/// Says how many functions changed because the patch says so, and how many because the
/// optimiser did. Of a single pair it is only said when the optimiser changed something.
pub(super) fn summary<'r>(reports: impl Iterator<Item = &'r Report>, single: bool) {
    let (mut edited, mut new, mut optimised) = (0, 0, [0_usize; OPTIMISER.len()]);
    for function in reports.flat_map(|r| &r.functions) {
        let kind = function.optimised().and_then(|k| OPTIMISER.iter().position(|o| *o == k));
        match (function.status, kind) {
            (FunctionStatus::New, _) => new += 1,
            (FunctionStatus::Changed, None) => edited += 1,
            (FunctionStatus::Changed, Some(kind)) => {
                optimised.get_mut(kind).into_iter().for_each(|count| *count += 1);
            }
        }
    }
    let by_optimiser: usize = optimised.iter().sum();
    if edited + by_optimiser + new == 0 || single && by_optimiser == 0 {
        return;
    }
    let kinds = OPTIMISER.iter().zip(optimised).filter(|(_, count)| *count > 0);
    let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = match kinds.is_empty() {
        true => String::new(),
        false => format!(" ({})", kinds.join(", ")),
    };
    complain(&format!(
        "{edited} function(s) changed by the patch, {by_optimiser} by the optimiser{kinds}, {new} new"
    ));
}

/// Says which differences were judged noise.
pub(super) fn explain_noise(report: &Report) {
    for noise in &report.ignored {
        complain(&format!(
            "noise: section {} at {:#x}: {} -> {}: {}: {} ({})",
            noise.section,
            noise.offset,
            noise.before,
            noise.after,
            noise.rule,
            noise.reason,
            noise.evidence
        ));
    }
}

/// The refusal of `--expect-change`.
pub(super) fn nothing_changed() -> Error {
    Error::refused(Code::NothingChanged, "nothing changed, but a change was expected")
        .advise("either the change is not compiled into this object, or all of its differences were judged noise (--explain-noise lists them)")
}

/// Writes the report for programs and the page, when asked to; that one cannot be written is an error of
/// its own. Gives how to exit.
pub(super) fn write_reports(args: &ReportArgs, objects: Vec<Object>, exit: Exit) -> Exit {
    let document = Document::new(objects, exit as i32);
    let mut exit = exit;
    if let Some(path) = &args.json
        && let Err(error) = document.text().and_then(|text| files::save(path, text.as_bytes()))
    {
        exit = fail(&error);
    }
    if let Some(path) = &args.explain.html
        && let Err(error) = files::save(path, page(&document).as_bytes())
    {
        exit = fail(&error);
    }
    exit
}
