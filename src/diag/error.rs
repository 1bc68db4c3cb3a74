//! The one error type of the library.
//!
//! Every message says what is wrong, where (file, section, symbol, offset),
//! and, where the user can do something about it, what. The wording of
//! `message` alone is the drop-in tools' interface; the place and the advice
//! are added by [`std::fmt::Display`].

use std::fmt;

use super::{Code, Diagnostic, Finding, Place, Severity};

/// What an error means for the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The input cannot be read or understood, or the output not written (exit 1).
    Broken,
    /// The inputs are understood, but the change cannot be applied (exit 2).
    Refused,
}

/// A refusal or a failure.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    diagnostic: Diagnostic,
    details: Vec<String>,
    /// Where the details are, as far as it is known: as many, or none.
    places: Vec<Place>,
}

/// Result with the library's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of class [`Class::Broken`].
    pub fn broken(code: Code, message: impl Into<String>) -> Self {
        Self::of(Diagnostic::new(Severity::Error, code, message))
    }

    /// An error of class [`Class::Refused`].
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::of(Diagnostic::new(Severity::Refusal, code, message))
    }

    /// What ends the run with something to say.
    pub fn of(diagnostic: Diagnostic) -> Self {
        Error(Box::new(Inner { diagnostic, details: Vec::new(), places: Vec::new() }))
    }

    fn map(mut self, change: impl FnOnce(Diagnostic) -> Diagnostic) -> Self {
        self.0.diagnostic = change(self.0.diagnostic);
        self
    }

    /// What is said, without the single findings.
    pub fn diagnostic(&self) -> &Diagnostic {
        &self.0.diagnostic
    }

    /// Adds the input file, unless a deeper layer already named one.
    pub fn in_file(self, file: impl Into<String>) -> Self {
        self.map(|d| d.in_file(file))
    }

    /// Adds the section, unless a deeper layer already named one.
    pub fn in_section(self, section: impl Into<String>) -> Self {
        self.map(|d| d.in_section(section))
    }

    /// Adds the symbol, unless a deeper layer already named one.
    pub fn at_symbol(self, symbol: impl Into<String>) -> Self {
        self.map(|d| d.at_symbol(symbol))
    }

    /// Adds the byte offset, unless a deeper layer already named one.
    pub fn at_offset(self, offset: u64) -> Self {
        self.map(|d| d.at_offset(offset))
    }

    /// Says what the user can do.
    pub fn advise(self, advice: impl Into<String>) -> Self {
        self.map(|d| d.advise(advice))
    }

    /// Adds the single findings that led to this error, one line each.
    pub fn with_details(mut self, details: Vec<String>) -> Self {
        self.0.details = details;
        self
    }

    /// Adds the single findings that led to this error, with their places.
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        (self.0.details, self.0.places) =
            findings.into_iter().map(|found| (found.text, found.place)).unzip();
        self
    }

    /// Puts it where a finding is.
    pub fn at_place(self, place: Place) -> Self {
        self.map(|d| d.at_place(place))
    }

    /// What the error means for the exit status.
    pub fn class(&self) -> Class {
        match self.0.diagnostic.severity() {
            Severity::Error => Class::Broken,
            Severity::Refusal | Severity::Warning => Class::Refused,
        }
    }

    /// The kind of error.
    pub fn code(&self) -> Code {
        self.0.diagnostic.code()
    }

    /// The text without place and advice.
    pub fn message(&self) -> &str {
        self.0.diagnostic.message()
    }

    /// The text with the advice, without the place.
    pub fn describe(&self) -> String {
        self.0.diagnostic.describe()
    }

    /// Where it was found.
    pub fn place(&self) -> &Place {
        self.0.diagnostic.place()
    }

    /// What the user can do, if known.
    pub fn advice(&self) -> Option<&str> {
        self.0.diagnostic.advice()
    }

    /// The single findings that led to this error.
    pub fn details(&self) -> &[String] {
        &self.0.details
    }

    /// Where finding `index` of the details is, as far as it is known.
    pub fn detail_place(&self, index: usize) -> Option<&Place> {
        self.0.places.get(index)
    }
}

impl Error {
    /// Where its findings are; where it is, when it has none.
    pub fn places(&self) -> Vec<Place> {
        match self.0.places.is_empty() {
            true => vec![self.place().clone()],
            false => self.0.places.clone(),
        }
    }

    /// Adds more to what is said at each of [`Error::places`].
    pub fn with_more(mut self, more: Vec<Option<String>>) -> Self {
        let inner = &mut *self.0;
        if inner.places.is_empty() {
            if let Some(more) = more.into_iter().next().flatten() {
                inner.diagnostic.advise_more(more);
            }
            return self;
        }
        for (text, more) in inner.details.iter_mut().zip(more) {
            if let Some(more) = more {
                *text += &format!("; {more}");
            }
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.diagnostic.fmt(f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line() {
        let error = Error::broken(Code::Usage, "bad\nname")
            .in_file("a\nb")
            .in_section("s\x1b")
            .at_symbol("f\ng")
            .advise("try\rthis");
        assert_eq!(
            error.to_string(),
            "a\\nb: bad\\nname (section s\\x1b, symbol f\\ng): try\\rthis"
        );
    }
}
