//! The report for programs. docs/json.md describes it; a test holds the two together.

use serde::Serialize;

use super::explain::blame::Cause;
use super::explain::graph::Graph;
use super::explain::klp::KlpFact;
use super::explain::{Body, Frame, Values};
use super::{FunctionStatus, Report};
use crate::diag::{Class, Code, Diagnostic, Error, Place, is_unprintable};
use crate::diff::explain::found::NoiseFound;
use crate::diff::reason::Sides;
use crate::running::kallsyms::without_promotion;

/// Version of the format: grows when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// The whole document.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// Exit status of the run, 0 to 3.
    pub exit: i32,
    /// One for each pair.
    pub objects: Vec<Object>,
}

/// One pair of objects.
#[derive(Clone, Debug, Serialize)]
pub struct Object {
    /// Path of the original; of several that were taken together, joined by ` + `.
    pub orig: String,
    /// Path of the patched object.
    pub patched: String,
    /// `changed`, `unchanged` or `refused`.
    pub verdict: &'static str,
    /// Functions that differ; listed also when refused.
    pub functions: Vec<FunctionEntry>,
    /// Variables and constants that differ.
    pub data: Vec<DataEntry>,
    /// Why there is no patch.
    pub refusals: Vec<Note>,
    /// What the user should look at.
    pub warnings: Vec<Note>,
    /// What differs and was judged noise, by rule.
    pub ignored: Vec<NoiseFound>,
    /// Why each thing is in the output; only when it is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<Graph>,
    /// What livepatch resolves; only when it is wanted and there is an output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub klp: Vec<KlpFact>,
    /// Skeletons of the ways out of the refusals, with names filled in; only when differences
    /// are wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ways_out: Vec<String>,
}

/// A function.
#[derive(Clone, Debug, Serialize)]
pub struct FunctionEntry {
    /// What the source calls it.
    pub name: String,
    /// Name of its symbol, the original's where it has one, when that is another: of a promoted
    /// function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// `changed`, `new` or `removed`.
    pub status: &'static str,
    /// How it differs, most telling first.
    pub reasons: Vec<ReasonEntry>,
    /// Why a new function is in the patch.
    pub included_because: Vec<Because>,
    /// Its differences; only when they are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// Why it changed, as debug information tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Where the source has what differs first, as debug information tells.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Frame>,
    /// Its source file, in an object that was linked from several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// One difference.
#[derive(Clone, Debug, Serialize)]
pub struct ReasonEntry {
    /// `re-inlined`, `code`, `data`, `size`, `string`, `constant`, `relocation`, or the name of a table.
    pub kind: String,
    /// Bytes from the start of the function, negative for what lies before it.
    pub offset: Option<i64>,
    /// How the original has it.
    pub before: String,
    /// How the patched object has it.
    pub after: String,
}

/// A step from a symbol to what refers to it.
#[derive(Clone, Debug, Serialize)]
pub struct Because {
    /// What is included.
    pub symbol: String,
    /// What refers to it.
    pub via: String,
}

/// A variable or constant.
#[derive(Clone, Debug, Serialize)]
pub struct DataEntry {
    /// What the source calls it.
    pub name: String,
    /// Name of its symbol, the original's where it has one, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// `changed`, `new` or `removed`.
    pub status: &'static str,
    /// Its differences; only when they are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
}

/// A refusal or a warning.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// Stable short name.
    pub code: String,
    /// Section name, where one is meant.
    pub section: Option<String>,
    /// Symbol name, where one is meant.
    pub symbol: Option<String>,
    /// Byte offset in the section.
    pub offset: Option<u64>,
    /// What is wrong, in words.
    pub message: String,
}

impl Object {
    /// The entry of one pair. A path is empty when there is no such object.
    pub fn new(orig: &str, patched: &str, report: &Report, error: Option<&Error>) -> Object {
        let verdict = match (error, report.is_changed()) {
            (Some(_), _) => "refused",
            (None, true) => "changed",
            (None, false) => "unchanged",
        };
        let mut functions: Vec<FunctionEntry> = report.functions.iter().map(function).collect();
        functions.extend(report.removed.iter().map(|name| FunctionEntry {
            name: without_promotion(name).into_owned(),
            symbol: symbol(name),
            status: "removed",
            reasons: Vec::new(),
            included_because: Vec::new(),
            body: None,
            cause: None,
            source: Vec::new(),
            file: None,
        }));
        Object {
            orig: orig.to_owned(),
            patched: patched.to_owned(),
            verdict,
            functions,
            data: report
                .data
                .iter()
                .map(|d| DataEntry {
                    name: without_promotion(&d.name).into_owned(),
                    symbol: symbol(&d.name),
                    status: d.status,
                    values: d.values.clone(),
                })
                .collect(),
            refusals: error.map(refusals).unwrap_or_default(),
            warnings: report.warnings.iter().map(note).collect(),
            ignored: report.ignored.clone(),
            graph: report.graph.clone(),
            klp: report.klp.clone(),
            ways_out: report.ways_out(error),
        }
    }
}

impl Document {
    /// The document of a run that ended with `exit`.
    pub fn new(objects: Vec<Object>, exit: i32) -> Document {
        Document { version: VERSION, exit, objects }
    }

    /// The document as indented text with a line end.
    pub fn text(&self) -> crate::diag::Result<String> {
        serde_json::to_string_pretty(self)
            .map(|text| plain(&text) + "\n")
            .map_err(|e| Error::broken(Code::Json, format!("cannot write the report: {e}")))
    }
}

/// JSON whose strings hold nothing that a terminal would act on: what JSON does not escape by
/// itself is outside of ASCII, and in strings.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push(c),
            c if is_unprintable(c) => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

/// The name of a symbol that the source calls otherwise.
fn symbol(name: &str) -> Option<String> {
    (without_promotion(name) != name).then(|| name.to_owned())
}

fn function(function: &super::Function) -> FunctionEntry {
    FunctionEntry {
        name: function.written().into_owned(),
        symbol: symbol(&function.name),
        status: match function.status {
            FunctionStatus::Changed => "changed",
            FunctionStatus::New => "new",
        },
        reasons: function
            .reasons
            .iter()
            .map(|r| {
                let Sides { before, after } = r.sides();
                ReasonEntry { kind: r.kind.name().to_owned(), offset: r.offset, before, after }
            })
            .collect(),
        included_because: function
            .included_because
            .iter()
            .map(|(symbol, via)| Because { symbol: symbol.clone(), via: via.clone() })
            .collect(),
        body: function.body.clone(),
        cause: function.cause.clone(),
        source: function.source.clone(),
        file: function.file.clone(),
    }
}

/// One note for each finding; without findings the error itself.
fn refusals(error: &Error) -> Vec<Note> {
    let advice = error.advice().map(|a| format!(": {a}")).unwrap_or_default();
    let whole = || note(error.diagnostic());
    let placed = error.detail_place(0).is_some();
    if error.details().is_empty() || error.class() == Class::Broken && !placed {
        return vec![whole()];
    }
    let found = error.details().iter().enumerate();
    found
        .map(|(i, text)| {
            let place = error.detail_place(i).unwrap_or(error.place());
            note_at(error.code(), place, format!("{text}{advice}"))
        })
        .collect()
}

fn note(found: &Diagnostic) -> Note {
    note_at(found.code(), found.place(), found.describe())
}

fn note_at(code: Code, place: &Place, message: String) -> Note {
    Note {
        code: code.name().to_owned(),
        section: place.section.clone(),
        symbol: place.symbol.clone(),
        offset: place.offset,
        message,
    }
}
