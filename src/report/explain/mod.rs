//! What there is to tell of a patch, as facts: differing instructions, rows and values, why a
//! thing is included, who resolves a reference. Text, JSON and pages are made of these and of
//! nothing else: none of them reads what another one wrote.

use serde::Serialize;

use crate::diff::compare::inlining::base;
use crate::running::kallsyms::without_promotion;

pub mod align;
pub mod blame;
pub mod declared;
pub mod function;
pub mod graph;
pub mod klp;
pub mod listing;
pub mod refusal;
pub mod source;
pub mod values;
pub mod ways;

/// What somebody wants to be told beside the verdict.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The differences of functions and variables.
    pub differences: bool,
    /// Only those of these; of all when empty.
    pub only: Vec<String>,
    /// Things to be told of also when they are as they were.
    pub asked: Vec<String>,
    /// Why each thing is included.
    pub graph: bool,
    /// Who resolves what the patch refers to.
    pub klp: bool,
    /// What was judged noise, by rule.
    pub noise: bool,
}

impl Wanted {
    /// Whether the differences of the thing called `name` are wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.differences && (self.only.is_empty() || self.only.iter().any(|o| is_called(name, o)))
    }
}

/// Whether somebody who says `asked` means the thing called `name`: by its whole name, or
/// without the hash of its promotion.
pub fn is_called(name: &str, asked: &str) -> bool {
    name == asked || base(name) == asked || without_promotion(name) == asked
}

/// How a line, a row or a value compares with the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Both sides have it.
    Same,
    /// Both sides have it, and it differs.
    Changed,
    /// Only the original has it.
    Removed,
    /// Only the patched object has it.
    Added,
}

/// How a function differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Body {
    /// It, then what was split off from it; only what differs.
    pub parts: Vec<Part>,
}

/// A function or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Name in the patched object.
    pub name: String,
    /// Name in the original, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// Section of the patched object.
    pub section: String,
    /// Number of instructions before and after.
    pub lines: [usize; 2],
    /// What differs, with some lines around it.
    pub hunks: Vec<Hunk>,
    /// Rows of tables that describe it and differ.
    pub rows: Vec<RowFact>,
    /// Where its code begins, before and after: number of the section, and byte.
    #[serde(skip)]
    pub places: [Option<(usize, u64)>; 2],
}

/// Lines of both sides next to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hunk {
    /// Where it is in the source, innermost function first; one chain for each place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Vec<Frame>>,
    /// In order.
    pub lines: Vec<Pair>,
}

/// A place of the source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Frame {
    /// The function that the code was written in.
    pub function: String,
    /// Source file, from the folder that the compiler ran in where it is below that.
    pub file: String,
    /// The folder that the compiler ran in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Line, from 1.
    pub line: u64,
}

/// One line of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// How they compare.
    pub mark: Mark,
    /// That of the original.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Line>,
    /// That of the patched object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Line>,
    /// What the two do not show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Bytes from the start of the function.
    pub at: u64,
    /// What jumps to it call it; the same name on both sides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// In words.
    pub text: String,
    /// It leads to a place of the function.
    #[serde(skip)]
    pub target: bool,
}

/// A row of one of the kernel's tables that describes code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowFact {
    /// Section name.
    pub table: String,
    /// How it compares.
    pub mark: Mark,
    /// The code that it describes: bytes from the start of the function.
    pub at: u64,
    /// What differs, or what the row says.
    pub fields: Vec<Field>,
}

/// A value with a name, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// What it is called.
    pub name: String,
    /// Where it is in a variable.
    #[serde(skip)]
    pub at: Option<u64>,
    /// How the original has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How the patched object has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// How a variable or constant differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Values {
    /// Section of the patched object.
    pub section: String,
    /// Bytes before and after.
    pub size: [u64; 2],
    /// What differs, by place.
    pub fields: Vec<Field>,
    /// So many differing values are not listed.
    pub more: usize,
}
