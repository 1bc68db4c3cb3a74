//! What there is to say about an input, whether it ends the run or not.

use std::fmt;

use super::text::printable;
use super::{Code, Severity};

/// Where in the input something was found. Unknown parts are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Path of the input file.
    pub file: Option<String>,
    /// Section name.
    pub section: Option<String>,
    /// Symbol name.
    pub symbol: Option<String>,
    /// Byte offset inside the section, or inside the file when no section is given.
    pub offset: Option<u64>,
}

/// A single finding that led to an error or a warning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// What was found, in words.
    pub text: String,
    /// Where.
    pub place: Place,
}

impl Finding {
    /// A finding in a section.
    pub fn in_section(section: impl Into<String>, text: impl Into<String>) -> Self {
        let place = Place { section: Some(section.into()), ..Place::default() };
        Finding { text: text.into(), place }
    }

    /// Adds the symbol.
    pub fn at_symbol(mut self, symbol: impl Into<String>) -> Self {
        self.place.symbol = Some(symbol.into());
        self
    }

    /// Adds the byte offset in the section.
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.place.offset = Some(offset);
        self
    }
}

/// Something to say about an input: what it is, where, and what the user can do. Its text is
/// written here alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    code: Code,
    message: String,
    place: Place,
    advice: Option<String>,
}

impl Diagnostic {
    /// Something to say of that severity, which the code must have.
    pub fn new(severity: Severity, code: Code, message: impl Into<String>) -> Self {
        debug_assert!(code.severities().contains(&severity), "{code} is no {severity:?}");
        let (message, place) = (message.into(), Place::default());
        Diagnostic { severity, code, message, place, advice: None }
    }

    /// Something to look at, while the run goes on.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// A warning of a finding.
    pub fn warning_of(code: Code, finding: Finding) -> Self {
        let Finding { text, place } = finding;
        Diagnostic { place, ..Self::warning(code, text) }
    }

    /// Puts it where a finding is.
    pub fn at_place(self, place: Place) -> Self {
        Diagnostic { place, ..self }
    }

    /// Adds the input file, unless a deeper layer already named one.
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.place.file.get_or_insert_with(|| file.into());
        self
    }

    /// Adds the section, unless a deeper layer already named one.
    pub fn in_section(mut self, section: impl Into<String>) -> Self {
        self.place.section.get_or_insert_with(|| section.into());
        self
    }

    /// Adds the symbol, unless a deeper layer already named one.
    pub fn at_symbol(mut self, symbol: impl Into<String>) -> Self {
        self.place.symbol.get_or_insert_with(|| symbol.into());
        self
    }

    /// Adds the byte offset, unless a deeper layer already named one.
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.place.offset.get_or_insert(offset);
        self
    }

    /// Says what the user can do.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice.get_or_insert_with(|| advice.into());
        self
    }

    /// Adds more to what the user is told to do.
    pub(super) fn advise_more(&mut self, more: String) {
        let said = self.advice.take();
        self.advice = Some(said.map_or(more.clone(), |said| format!("{said}; {more}")));
    }

    /// What it does to the run.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The kind.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The text without place and advice.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The text with the advice, without the place.
    pub fn describe(&self) -> String {
        match self.advice() {
            Some(advice) => format!("{}: {advice}", self.message()),
            None => self.message().to_owned(),
        }
    }

    /// Where it was found.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What the user can do, if known.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { message, place, advice, .. } = self;
        if let Some(file) = &place.file {
            write!(f, "{}: ", printable(file))?;
        }
        f.write_str(&printable(message))?;
        let mut open = false;
        let mut part = |f: &mut fmt::Formatter<'_>, text: String| {
            let lead = if open { ", " } else { " (" };
            open = true;
            write!(f, "{lead}{text}")
        };
        if let Some(section) = &place.section {
            part(f, format!("section {}", printable(section)))?;
        }
        if let Some(symbol) = &place.symbol {
            part(f, format!("symbol {}", printable(symbol)))?;
        }
        if let Some(offset) = place.offset {
            part(f, format!("offset {offset:#x}"))?;
        }
        if open {
            f.write_str(")")?;
        }
        if let Some(advice) = advice {
            write!(f, ": {}", printable(advice))?;
        }
        Ok(())
    }
}
