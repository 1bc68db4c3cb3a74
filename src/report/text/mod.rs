//! Explanations for people at a terminal.

use std::fmt::Write as _;

use super::explain::blame::{Cause, CauseKind, summary};
use super::explain::{Body, Field, Frame, Mark, Part, RowFact, Values, is_called};
use super::{Data, Function, FunctionStatus, Report};
use crate::diag::{Error, printable};
use crate::running::kallsyms::without_promotion;

mod sides;
pub mod style;
pub mod why;

use style::{Paint, Style};

/// So many reasons are listed of one function.
const REASONS: usize = 12;
/// Of more variables that came or went only the number is told.
const LISTED: usize = 20;
/// So many edited functions are named.
const NAMES: usize = 8;

/// Everything that is known of the differences of one pair; of what is called `only`, or of all.
pub fn explanation(report: &Report, only: &[String], style: &Style) -> String {
    let wants = |name: &str| only.is_empty() || only.iter().any(|asked| is_called(name, asked));
    let mut text = String::new();
    for function in report.functions.iter().filter(|f| wants(&f.name)) {
        of_function(function, style, &mut text);
    }
    if only.is_empty()
        && let Some(described) = blamed(causes(report))
    {
        line(&mut text, &style.paint(Paint::Title, &printable(&described)));
    }
    for name in report.removed.iter().filter(|name| wants(name)) {
        let described = format!("removed function: {}", printable(&without_promotion(name)));
        line(&mut text, &style.paint(Paint::Title, &described));
    }
    for status in ["changed", "new", "removed"] {
        let listed: Vec<&Data> =
            report.data.iter().filter(|d| d.status == status && wants(&d.name)).collect();
        match status != "changed" && only.is_empty() && listed.len() > LISTED {
            true => {
                let described = format!("{status} data: {} variables and constants", listed.len());
                line(&mut text, &style.paint(Paint::Title, &described));
            }
            false => listed.into_iter().for_each(|data| of_data(data, style, &mut text)),
        }
    }
    for (name, noise) in &report.unchanged {
        if only.is_empty() || !wants(name) {
            continue;
        }
        line(&mut text, &style.paint(Paint::Title, &format!("unchanged: {}", printable(name))));
        for noise in noise {
            let described = format!(
                "  at {:#x} of {}: {} -> {}: {} ({}; {})",
                noise.offset,
                noise.section,
                noise.before,
                noise.after,
                noise.rule,
                noise.reason,
                noise.evidence
            );
            line(&mut text, &printable(&described));
        }
    }
    text
}

fn line(text: &mut String, described: &str) {
    text.push_str(described);
    text.push('\n');
}

/// The ways out of a refusal.
pub fn ways_out(report: &Report, error: Option<&Error>, style: &Style) -> String {
    let mut text = String::new();
    for way in report.ways_out(error) {
        line(&mut text, &style.paint(Paint::Title, "a way out:"));
        for described in way.lines() {
            // Tabs are the skeleton's own; names in it are escaped.
            line(&mut text, format!("  {}", described.replace('\t', "        ")).trim_end());
        }
    }
    text
}

/// The line that tells of a function, and its reasons.
fn of_function(function: &Function, style: &Style, text: &mut String) {
    line(text, &style.paint(Paint::Title, &printable(&function.line())));
    for reason in function.reasons.iter().take(REASONS) {
        line(text, &format!("  {}", printable(&reason.to_string())));
    }
    if let Some(more) = function.reasons.len().checked_sub(REASONS).filter(|&more| more > 0) {
        line(text, &format!("  and {more} more"));
    }
    if let Some(described) = in_source(function, style) {
        line(text, &described);
    }
    if let Some(described) = of_cause(function, style) {
        line(text, &described);
    }
    for (symbol, via) in &function.included_because {
        line(text, &format!("  {} refers to {}", printable(via), printable(symbol)));
    }
    if function.status == FunctionStatus::New {
        return;
    }
    if let Some(body) = &function.body {
        of_body(body, &function.name, style, text);
    }
}

fn of_body(body: &Body, name: &str, style: &Style, text: &mut String) {
    for part in &body.parts {
        let lines = match part.lines {
            [a, b] if a == b => format!("{a} instructions"),
            [a, b] => format!("{a} -> {b} instructions"),
        };
        let mut title = format!("  {} ({}, {lines})", part.name, part.section);
        if let Some(was) = &part.was {
            title += &format!(", in the original {was}");
        }
        if part.name != name || body.parts.len() > 1 || part.was.is_some() {
            line(text, &style.paint(Paint::Part, &printable(&title)));
        }
        of_part(part, style, text);
    }
}

fn of_part(part: &Part, style: &Style, text: &mut String) {
    for hunk in &part.hunks {
        for chain in &hunk.source {
            line(text, &format!("  {}", source(chain, style)));
        }
        sides::write(hunk, style, text);
    }
    for row in &part.rows {
        for described in of_row(row) {
            let paint = match row.mark {
                Mark::Removed => Paint::Before,
                Mark::Added => Paint::After,
                _ => Paint::None,
            };
            line(text, &style.paint(paint, &format!("  {}", printable(&described))));
        }
    }
}

/// The line that says where the source has what differs first, or at least in which file.
pub fn in_source(function: &Function, style: &Style) -> Option<String> {
    match (&function.source[..], &function.file) {
        ([], None) => None,
        ([], Some(file)) => Some(format!("  of {}", printable(file))),
        (chain, _) => Some(format!("  {}", source(chain, style))),
    }
}

/// A row of a table, a line for each field.
pub fn of_row(row: &RowFact) -> Vec<String> {
    let lead = format!("{} row for +{:#x}", row.table, row.at);
    match row.mark {
        Mark::Removed => vec![format!("{lead}: only in the original")],
        Mark::Added => vec![format!("{lead}: only in the patched object")],
        _ => row.fields.iter().map(|f| format!("{lead}: {}", of_field(f))).collect(),
    }
}

/// A value before and after.
pub fn of_field(field: &Field) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    format!("{} {} -> {}", field.name, shown(&field.before), shown(&field.after))
}

/// A place of the source, as a link where that is possible.
fn place(frame: &Frame, style: &Style) -> String {
    let shown = format!("{}:{}", frame.file, frame.line);
    let full = match &frame.folder {
        Some(folder) if !frame.file.starts_with('/') => format!("{folder}/{}", frame.file),
        _ => frame.file.clone(),
    };
    style.link(&full, &printable(&shown))
}

/// That a function was not edited itself, and what it changed through.
fn of_cause(function: &Function, style: &Style) -> Option<String> {
    let cause = function.cause.as_ref()?;
    let described = match (cause.kind, &cause.function, &cause.place) {
        (CauseKind::Inlined, Some(name), Some(at)) => {
            format!("changed through {}, inlined at {}", printable(name), place(at, style))
        }
        (CauseKind::Inlined, Some(name), None) => format!("changed through {}", printable(name)),
        _ => return None,
    };
    Some(format!("  {}", style.paint(Paint::Source, &described)))
}

/// Functions by name, with their causes.
fn causes(report: &Report) -> impl Iterator<Item = (&str, Option<&Cause>)> {
    report.functions.iter().map(|f| (f.name.as_str(), f.cause.as_ref()))
}

/// How many functions were edited and how many changed with them; `None` without debug
/// information.
pub fn blamed<'f>(functions: impl Iterator<Item = (&'f str, Option<&'f Cause>)>) -> Option<String> {
    let (edited, fallout) = summary(functions)?;
    let names = match edited.as_slice() {
        few @ [_, ..] if few.len() <= NAMES => format!(" ({})", few.join(", ")),
        _ => String::new(),
    };
    let edited = match edited.len() {
        1 => "1 function".to_owned(),
        count => format!("{count} functions"),
    };
    let fallout = match fallout {
        0 => String::new(),
        count => format!(", {count} re-optimised because of it"),
    };
    Some(format!("{edited} changed in source{names}{fallout}"))
}

/// Where code is in the source, the innermost function first.
fn source(chain: &[Frame], style: &Style) -> String {
    let mut text = String::new();
    for (n, frame) in chain.iter().enumerate() {
        let lead = if n == 0 { "in " } else { ", inlined in " };
        let _ = write!(text, "{lead}{} at {}", printable(&frame.function), place(frame, style));
    }
    style.paint(Paint::Source, &text)
}

fn of_data(data: &Data, style: &Style, text: &mut String) {
    let title = format!("{} data: {}", data.status, without_promotion(&data.name));
    line(text, &style.paint(Paint::Title, &printable(&title)));
    let Some(Values { section, size: [before, after], fields, more }) = &data.values else {
        return;
    };
    let size = match before == after {
        true => format!("  {section}, {after} bytes"),
        false => format!("  {section}, {before} -> {after} bytes"),
    };
    line(text, &style.paint(Paint::Part, &printable(&size)));
    for field in fields {
        line(text, &format!("  {}", printable(&of_field(field))));
    }
    if *more > 0 {
        line(text, &format!("  and {more} more values"));
    }
}

/// One line about a pair: how much of what changed, or that it is refused.
pub fn stat(report: &Report, refused: Option<&str>) -> String {
    let count = |status| report.functions.iter().filter(|f| f.status == status).count();
    let optimised = report.functions.iter().filter(|f| f.optimised().is_some()).count();
    let of_data = |status| report.data.iter().filter(|d| d.status == status).count();
    let mut described = Vec::new();
    let mut add = |count: usize, what: &str| {
        if count > 0 {
            described.push(format!("{count} {what}"));
        }
    };
    add(count(FunctionStatus::Changed).saturating_sub(optimised), "changed");
    add(optimised, "by the optimiser");
    add(count(FunctionStatus::New), "new");
    add(report.removed.len(), "removed");
    add(of_data("changed"), "data changed");
    add(of_data("new"), "data new");
    add(of_data("removed"), "data removed");
    let warnings = report.warnings.len();
    add(warnings, if warnings == 1 { "warning" } else { "warnings" });
    let described =
        if described.is_empty() { "nothing changed".to_owned() } else { described.join(", ") };
    match refused {
        Some(code) => format!("refused ({code}): {described}"),
        None => described,
    }
}
