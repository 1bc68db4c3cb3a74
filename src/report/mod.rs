//! What a run found, for people and for programs.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use self::explain::ways::{Known, ways_out};
use crate::diag::{Code, Diagnostic, Error};
use crate::diff::compare::inlining::{Bodies, Question};
use crate::diff::explain::found::NoiseFound;
use crate::diff::reason::{Reason, ReasonKind};
use crate::diff::selection::Effect;
pub use crate::diff::words::OPTIMISER;
use crate::running::kallsyms::{is_promoted, without_promotion};

pub mod canon;
pub mod describe;
pub mod edited;
pub mod explain;
pub mod json;
pub mod page;
pub mod progress;
pub mod text;

/// Whether a function changed or is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionStatus {
    /// It replaces a function of the running kernel.
    Changed,
    /// The original does not have it.
    New,
}

/// A function of the patch.
#[derive(Clone, Debug)]
pub struct Function {
    /// Name of its symbol: the original's where it has one.
    pub name: String,
    /// Whether it changed or is new.
    pub status: FunctionStatus,
    /// How it differs from the original, most telling first; empty for a new function.
    pub reasons: Vec<Reason>,
    /// What other objects of the build may tell of the reasons.
    pub questions: Vec<Question>,
    /// Why a new function is in the patch: (symbol, what refers to it), from the function
    /// itself to one that changed.
    pub included_because: Vec<(String, String)>,
    /// Its differences, when they are wanted.
    pub body: Option<explain::Body>,
    /// Why it changed, as debug information tells; only with its differences.
    pub cause: Option<explain::blame::Cause>,
    /// Where the source has what differs first, as debug information tells: the innermost inlined function first.
    /// Empty with its differences, which have places of their own.
    pub source: Vec<explain::Frame>,
    /// Its source file, in an object that was linked from several.
    pub file: Option<String>,
}

/// Everything a run found out about one pair.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The functions of the patch, in symbol order.
    pub functions: Vec<Function>,
    /// Remarks that go with the result.
    pub messages: Vec<String>,
    /// What the user should look at.
    pub warnings: Vec<Diagnostic>,
    /// Data that changed, is new or went away.
    pub data: Vec<Data>,
    /// Functions that the patched object lacks.
    pub removed: Vec<String>,
    /// What makes the patch worth applying.
    pub effect: Effect,
    /// Names that the output refers to and neither has nor the parent knows: another object of
    /// the patch must define them.
    pub needs: Vec<String>,
    /// What other objects of the patch may call things of this one: their names in the patched
    /// build, and their places in the parent's symbol table.
    pub offers: Vec<(String, u32)>,
    /// Differences that were judged noise, by rule, when they are wanted.
    pub ignored: Vec<NoiseFound>,
    /// What was to be told beside the verdict.
    pub wanted: explain::Wanted,
    /// Why each thing is in the output, when it is wanted.
    pub graph: Option<explain::graph::Graph>,
    /// What livepatch resolves, when it is wanted and there is an output.
    pub klp: Vec<explain::klp::KlpFact>,
    /// Things that were asked for by name, and that mean the same in both objects, each with
    /// what differs and was judged noise.
    pub unchanged: Vec<(String, Vec<NoiseFound>)>,
}

/// A variable or constant that is not as in the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Name: the original's where it has one.
    pub name: String,
    /// `changed`, `new` or `removed`.
    pub status: &'static str,
    /// Its differences, when they are wanted.
    pub values: Option<explain::Values>,
}

impl Report {
    /// Whether there is anything to apply.
    pub fn is_changed(&self) -> bool {
        !self.effect.is_empty()
    }
}

impl Report {
    /// The ways out of a refusal, when differences are wanted.
    pub fn ways_out(&self, error: Option<&Error>) -> Vec<String> {
        let Some(error) = error.filter(|_| self.wanted.differences) else { return Vec::new() };
        let data = self.data.iter().filter(|data| data.status == "changed");
        let known = data.map(|d| Known { name: &d.name, values: d.values.as_ref() });
        let changed = self.functions.iter().filter(|f| f.status == FunctionStatus::Changed);
        let changed: Vec<&str> = changed.map(|f| f.name.as_str()).collect();
        ways_out(error, &known.collect::<Vec<_>>(), &changed)
    }
}

/// The functions that inline a function since the patch, by its name in the original.
pub type Carriers = IndexMap<String, Vec<String>, RandomState>;

impl Report {
    /// Adds to `carriers` the functions that inline others since the patch.
    pub fn carriers(&self, carriers: &mut Carriers) {
        for function in &self.functions {
            for reason in &function.reasons {
                if let ReasonKind::Reinlined { callee, after: true } = &reason.kind {
                    carriers.entry(callee.clone()).or_default().push(function.name.clone());
                }
            }
        }
    }

    /// Warns of functions that have no code of their own any more, and says who carries it:
    /// functions of this object, and of others where `elsewhere` has the names that objects
    /// share (`x.llvm.HASH`). Replaces what it said before.
    pub fn tell_inlined_everywhere(&mut self, elsewhere: &Carriers) {
        self.warnings.retain(|warning| warning.code() != Code::InlinedEverywhere);
        if self.removed.is_empty() {
            return;
        }
        let mut here = Carriers::default();
        self.carriers(&mut here);
        for gone in &self.removed {
            let shared = elsewhere.get(gone).filter(|_| is_promoted(gone));
            let Some(carriers) = shared.or_else(|| here.get(gone)) else { continue };
            let text = format!(
                "function {gone} is inlined in all of its callers now: {}",
                carriers.join(", ")
            );
            self.warnings.push(
                Diagnostic::warning(Code::InlinedEverywhere, text).at_symbol(gone).advise(
                    "the patch replaces these; what has a pointer to it goes on with the kernel's",
                ),
            );
        }
    }
}

impl Function {
    /// The kind of its first reason, when it is one of [`OPTIMISER`]: then it did not change
    /// because the patch says so.
    pub fn optimised(&self) -> Option<&'static str> {
        let kind = &self.reasons.first()?.kind;
        kind.is_optimiser().then(|| kind.name())
    }

    /// Adds the reasons that functions of other objects prove.
    pub fn learn(&mut self, orig: &Bodies, patched: &Bodies) {
        let reasons = self.questions.iter().filter_map(|q| q.answer(orig, patched));
        let reasons: Vec<Reason> = reasons.collect();
        self.reasons.splice(0..0, reasons);
    }

    /// What the source calls it: without the hash that a promotion appends.
    pub fn written(&self) -> Cow<'_, str> {
        without_promotion(&self.name)
    }

    /// The line that tells of it, by the name that the source gave it.
    pub fn line(&self) -> String {
        self.line_of(&self.written())
    }

    /// The line that tells of it, by the name of its symbol.
    pub fn symbol_line(&self) -> String {
        self.line_of(&self.name)
    }

    fn line_of(&self, name: &str) -> String {
        let status = match self.status {
            FunctionStatus::Changed => "changed",
            FunctionStatus::New => "new",
        };
        format!("{status} function: {name}")
    }
}
