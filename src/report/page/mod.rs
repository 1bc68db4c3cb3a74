//! A page for review: one file that needs nothing else.
//!
//! All that is told is in the page as text, folded where it is long; the script only searches
//! and folds. Names come from objects that somebody else made: they go through `Text`, and a
//! policy in the page forbids everything but its own style and script.

use std::fmt::Write as _;

use super::explain::blame::CauseKind;
use super::explain::{Body, Frame, Hunk, Line, Mark, Part, Values};
use super::json::{DataEntry, Document, FunctionEntry, Note, Object, ReasonEntry};
use super::text::{of_field, of_row};
use crate::diag::distance;

mod html;
mod summary;
mod svg;

use html::Text;

const STYLE: &str = include_str!("style.css");
/// Of more variables that came or went there are only names.
const LISTED: usize = 40;
const SCRIPT: &str = include_str!("script.js");

/// The page.
pub fn page(document: &Document) -> String {
    let mut out = String::new();
    summary::head(document, &mut out);
    let many = document.objects.len() > 1;
    for (n, object) in document.objects.iter().enumerate() {
        let _ = write!(out, "<section data-section id=\"object-{n}\">");
        if many {
            let verdict = Text(object.verdict);
            let _ = write!(
                out,
                "<h2><code>{}</code> <span class=\"verdict {verdict}\">{verdict}</span></h2>",
                Text(name_of(object))
            );
        }
        of_object(object, n, &mut out);
        out += "</section>\n";
    }
    let _ = write!(out, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    out
}

/// What a pair is called.
fn name_of(object: &Object) -> &str {
    if object.patched.is_empty() { &object.orig } else { &object.patched }
}

fn of_object(object: &Object, number: usize, out: &mut String) {
    for note in &object.refusals {
        of_note(note, "refusal", out);
    }
    for way in &object.ways_out {
        let _ = writeln!(
            out,
            "<details class=\"thing\"><summary>A way out</summary><div class=\"scroll\"><pre>{}</pre></div></details>",
            html::Lines(way)
        );
    }
    for note in &object.warnings {
        of_note(note, "warning", out);
    }
    if !object.functions.is_empty() {
        let _ = writeln!(out, "<div data-section><h3>Functions ({})</h3>", object.functions.len());
        for function in &object.functions {
            of_function(function, number, out);
        }
        out.push_str("</div>\n");
    }
    if !object.data.is_empty() {
        let _ = writeln!(
            out,
            "<div data-section><h3>Variables and constants ({})</h3>",
            object.data.len()
        );
        for status in ["changed", "new", "removed"] {
            of_status(object, status, out);
        }
        out.push_str("</div>\n");
    }
    if let Some(graph) = &object.graph {
        if let Some(picture) = svg::picture(graph) {
            let _ = writeln!(
                out,
                "<div class=\"picture\"><h3>Inclusion graph</h3>\n<p class=\"dim\">What changed on the left, what it brings \
                 into the patch to the right.</p>\n<div class=\"graph\">{picture}</div></div>"
            );
        }
        summary::included(graph, out);
    }
    summary::klp(&object.klp, out);
}

fn of_note(note: &Note, class: &str, out: &mut String) {
    let find = format!("{} {} {}", note.code, note.symbol.as_deref().unwrap_or(""), note.message);
    let _ = write!(
        out,
        "<div class=\"note {class}\" data-find=\"{}\"><b>{}</b>: {}",
        Text(&find),
        Text(&note.code),
        Text(&note.message)
    );
    let place = [note.section.as_deref(), note.symbol.as_deref()];
    let place: Vec<&str> = place.into_iter().flatten().collect();
    if !place.is_empty() {
        let offset = note.offset.map(|at| format!(" +{at:#x}")).unwrap_or_default();
        let _ = write!(out, " <span class=\"dim\">({}{offset})</span>", Text(&place.join(", ")));
    }
    out.push_str("</div>\n");
}

fn reason_text(reason: &ReasonEntry) -> String {
    let at = reason.offset.map(|at| format!(" at {}", distance(at))).unwrap_or_default();
    format!("{}{at}: {} → {}", reason.kind, reason.before, reason.after)
}

fn of_function(function: &FunctionEntry, number: usize, out: &mut String) {
    let parts = function.body.as_ref().map_or(&[][..], |body| &body.parts);
    let empty =
        function.reasons.is_empty() && function.included_because.is_empty() && parts.is_empty();
    let mut find = format!("{} {}", function.name, function.status);
    if let Some(symbol) = &function.symbol {
        let _ = write!(find, " {symbol}");
    }
    for reason in &function.reasons {
        let _ = write!(find, " {} {} {}", reason.kind, reason.before, reason.after);
    }
    if let Some(through) = function.cause.as_ref().and_then(|cause| cause.function.as_ref()) {
        let _ = write!(find, " {through}");
    }
    let tag = Text(function.status);
    let (name, find) = (Text(&function.name), Text(&find));
    let head = format!("<code class=\"name\">{name}</code><span class=\"tag\">{tag}</span>");
    if empty {
        let _ = writeln!(out, "<div class=\"plain\" data-find=\"{find}\">{head}</div>");
        return;
    }
    let _ = write!(
        out,
        "<details class=\"thing\" id=\"{number}-{name}\" data-find=\"{find}\"><summary>{head}"
    );
    let first = function.reasons.first().map(reason_text).or_else(|| {
        let via = function.included_because.first()?;
        Some(format!("{} refers to it", via.via))
    });
    if let Some(first) = first {
        let _ = write!(out, "<span class=\"first mono\">{}</span>", Text(&first));
    }
    out.push_str("</summary><div>\n");
    if function.reasons.len() > 1 {
        out.push_str("<ul class=\"reasons mono\">");
        for reason in &function.reasons {
            let _ = write!(out, "<li>{}</li>", Text(&reason_text(reason)));
        }
        out.push_str("</ul>\n");
    }
    of_cause(function, out);
    if !function.included_because.is_empty() {
        out.push_str("<ul class=\"reasons mono\">");
        for step in &function.included_because {
            let _ = write!(out, "<li>{} refers to {}</li>", Text(&step.via), Text(&step.symbol));
        }
        out.push_str("</ul>\n");
    }
    if let Some(body) = &function.body {
        of_body(body, out);
    }
    out.push_str("</div></details>\n");
}

/// What a function changed through, as debug information tells.
fn of_cause(function: &FunctionEntry, out: &mut String) {
    let Some(cause) = &function.cause else { return };
    if let (CauseKind::Inlined, Some(name)) = (cause.kind, &cause.function) {
        let at = cause.place.as_ref().map(|f| format!(", inlined at {}:{}", f.file, f.line));
        let described = format!("changed through {name}{}", at.unwrap_or_default());
        let _ = writeln!(out, "<div class=\"at\">{}</div>", Text(&described));
    }
}

fn of_body(body: &Body, out: &mut String) {
    for part in &body.parts {
        let was =
            part.was.as_ref().map(|was| format!(", in the original {was}")).unwrap_or_default();
        let title = format!(
            "{} in {}{was}: {} → {} instructions",
            part.name, part.section, part.lines[0], part.lines[1]
        );
        let _ = writeln!(out, "<div class=\"at\">{}</div>", Text(&title));
        for hunk in &part.hunks {
            of_hunk(hunk, out);
        }
        of_rows(part, out);
    }
}

fn of_rows(part: &Part, out: &mut String) {
    if part.rows.is_empty() {
        return;
    }
    out.push_str("<ul class=\"reasons mono\">");
    for described in part.rows.iter().flat_map(of_row) {
        let _ = write!(out, "<li>{}</li>", Text(&described));
    }
    out.push_str("</ul>\n");
}

/// Where a hunk is in the source.
fn of_source(chain: &[Frame]) -> String {
    let mut text = String::new();
    for (n, frame) in chain.iter().enumerate() {
        let lead = if n == 0 { "in " } else { ", inlined in " };
        let _ = write!(text, "{lead}{} at {}:{}", frame.function, frame.file, frame.line);
    }
    text
}

fn of_hunk(hunk: &Hunk, out: &mut String) {
    for chain in &hunk.source {
        let _ = writeln!(out, "<div class=\"at\">{}</div>", Text(&of_source(chain)));
    }
    out.push_str("<div class=\"hunk\">");
    for before in [true, false] {
        out.push_str("<pre>");
        for pair in &hunk.lines {
            let line = if before { &pair.before } else { &pair.after };
            let class = match (pair.mark, line, before) {
                (Mark::Same, ..) => "",
                (_, None, _) => " class=\"v\"",
                (_, Some(_), true) => " class=\"d\"",
                (_, Some(_), false) => " class=\"a\"",
            };
            let _ = write!(out, "<span{class}>");
            if let Some(line) = line {
                of_line(line, out);
            }
            out.push_str("</span>");
            if let Some(note) = &pair.note {
                let shown = if before { "" } else { note };
                let _ = write!(out, "<span class=\"n\">{}</span>", Text(shown));
            }
        }
        out.push_str("</pre>");
    }
    out.push_str("</div>\n");
}

fn of_line(line: &Line, out: &mut String) {
    let label = line.label.as_ref().map_or(String::new(), |label| format!("{label}:"));
    let _ = write!(out, "{:>5x} {:>5} {}", line.at, Text(&label).to_string(), Text(&line.text));
}

fn of_data(data: &DataEntry, out: &mut String) {
    let find = format!("{} {}", data.name, data.status);
    let head = format!(
        "<code class=\"name\">{}</code><span class=\"tag\">{}</span>",
        Text(&data.name),
        Text(data.status)
    );
    let Some(values) =
        data.values.as_ref().filter(|v| !v.fields.is_empty() || v.size[0] != v.size[1])
    else {
        let _ = writeln!(out, "<div class=\"plain\" data-find=\"{}\">{head}</div>", Text(&find));
        return;
    };
    let first = values.fields.first().map(of_field).unwrap_or_default();
    let _ = write!(
        out,
        "<details class=\"thing\" data-find=\"{}\"><summary>{head}<span class=\"first mono\">{}</span></summary><div>",
        Text(&format!("{find} {first}")),
        Text(&first)
    );
    of_values(values, out);
    out.push_str("</div></details>\n");
}

/// The variables and constants with one status; of many that came or went only names, folded.
fn of_status(object: &Object, status: &str, out: &mut String) {
    let listed: Vec<&DataEntry> = object.data.iter().filter(|d| d.status == status).collect();
    if status == "changed" || listed.len() <= LISTED {
        listed.into_iter().for_each(|data| of_data(data, out));
        return;
    }
    let names: Vec<&str> = listed.iter().map(|d| d.name.as_str()).collect();
    let _ = writeln!(
        out,
        "<details class=\"thing\" data-find=\"{}\"><summary>{} variables and constants<span class=\"tag\">{}</span>\
         </summary><div class=\"mono\">{}</div></details>",
        Text(&names.join(" ")),
        names.len(),
        Text(status),
        Text(&names.join(", "))
    );
}

fn of_values(values: &Values, out: &mut String) {
    let _ = writeln!(
        out,
        "<div class=\"at\">{}, {} → {} bytes</div><table class=\"mono\"><tr><th>at</th><th>before</th><th>after</th></tr>",
        Text(&values.section),
        values.size[0],
        values.size[1]
    );
    for field in &values.fields {
        let shown = |value: &Option<String>| Text(value.as_deref().unwrap_or("")).to_string();
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            Text(&field.name),
            shown(&field.before),
            shown(&field.after)
        );
    }
    out.push_str("</table>\n");
    if values.more > 0 {
        let _ = writeln!(out, "<p class=\"dim\">and {} more values</p>", values.more);
    }
}
