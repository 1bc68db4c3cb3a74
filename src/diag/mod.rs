//! What there is to say about an input: kinds of findings, diagnostics, and the error
//! that carries one.

mod codes;
mod diagnostic;
mod error;
mod text;

pub use codes::Code;
pub use diagnostic::{Diagnostic, Finding, Place};
pub use error::{Class, Error, Result};
pub use text::{distance, is_unprintable, printable};

/// What a finding does to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something cannot be read, understood or written: exit status 1.
    Error,
    /// Everything is understood, and cannot be applied: exit status 2.
    Refusal,
    /// Something to look at: the run goes on.
    Warning,
}

impl Severity {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Refusal => "Refusal",
            Self::Warning => "Warning",
        }
    }
}
