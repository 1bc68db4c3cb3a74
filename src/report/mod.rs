//! What a run found, for people and for programs.

use std::fmt;

use crate::diff::account::NoiseFound;
use crate::diff::select::Effect;
use crate::diff::verdict::Reason;
use crate::error::Error;

pub mod canon;
pub mod json;
pub mod progress;
mod sha1;

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
    /// Name: the original's where it has one.
    pub name: String,
    /// Whether it changed or is new.
    pub status: FunctionStatus,
    /// How it differs from the original, most telling first; empty for a new function.
    pub reasons: Vec<Reason>,
    /// Why a new function is in the patch: (symbol, what refers to it), from the function
    /// itself to one that changed.
    pub included_because: Vec<(String, String)>,
}

/// Everything a run found out about one pair.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The functions of the patch, in symbol order.
    pub functions: Vec<Function>,
    /// Remarks that go with the result.
    pub messages: Vec<String>,
    /// What the user should look at.
    pub warnings: Vec<Error>,
    /// Data that changed, is new or went away.
    pub data: Vec<Data>,
    /// Functions that the patched object lacks.
    pub removed: Vec<String>,
    /// What makes the patch worth applying.
    pub effect: Effect,
    /// Find out what was judged noise; set it before the run.
    pub explain_noise: bool,
    /// Names that the output refers to and neither has nor the parent knows: another object of
    /// the patch must define them.
    pub needs: Vec<String>,
    /// What other objects of the patch may call things of this one: their names in the patched
    /// build, and their places in the parent's symbol table.
    pub offers: Vec<(String, u32)>,
    /// Differences that were judged noise, by rule.
    pub ignored: Vec<NoiseFound>,
    /// How far the run is; others may watch it.
    pub progress: progress::Progress,
}

/// A variable or constant that is not as in the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Name: the original's where it has one.
    pub name: String,
    /// `changed`, `new` or `removed`.
    pub status: &'static str,
}

impl Report {
    /// Whether there is anything to apply.
    pub fn is_changed(&self) -> bool {
        !self.effect.is_empty()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(offset) = self.offset {
            write!(f, " at +{offset:#x}")?;
        }
        write!(f, ": {} -> {}", self.before, self.after)
    }
}

impl Function {
    /// The line that tells of it.
    pub fn line(&self) -> String {
        let status = match self.status {
            FunctionStatus::Changed => "changed",
            FunctionStatus::New => "new",
        };
        format!("{status} function: {}", self.name)
    }
}
