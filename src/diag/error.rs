//! The one error type of the library.
//!
//! Every message says what is wrong, where (file, section, symbol, offset),
//! and, where the user can do something about it, what. The wording of
//! `message` alone is the drop-in tools' interface; the place and the advice
//! are added by [`std::fmt::Display`].

use std::borrow::Cow;
use std::fmt;

use super::{Code, Severity};

/// What an error means for the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The input cannot be read or understood, or the output not written (exit 1).
    Broken,
    /// The inputs are understood, but the change cannot be applied (exit 2).
    Refused,
}

/// Where in the input an error was found. Unknown parts are `None`.
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

/// A single finding that led to an error.
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

/// A refusal or a failure.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    class: Class,
    code: Code,
    message: String,
    place: Place,
    advice: Option<String>,
    details: Vec<String>,
    /// Where the details are, as far as it is known: as many, or none.
    places: Vec<Place>,
}

/// Result with the library's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of class [`Class::Broken`].
    pub fn broken(code: Code, message: impl Into<String>) -> Self {
        Self::new(Class::Broken, code, message.into())
    }

    /// An error of class [`Class::Refused`].
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::new(Class::Refused, code, message.into())
    }

    fn new(class: Class, code: Code, message: String) -> Self {
        debug_assert!(
            code.severities().iter().any(|&known| match class {
                Class::Broken => known == Severity::Error,
                Class::Refused => known != Severity::Error,
            }),
            "{code} is no {class:?}"
        );
        Error(Box::new(Inner {
            class,
            code,
            message,
            place: Place::default(),
            advice: None,
            details: Vec::new(),
            places: Vec::new(),
        }))
    }

    /// Adds the input file, unless a deeper layer already named one.
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.0.place.file.get_or_insert_with(|| file.into());
        self
    }

    /// Adds the section, unless a deeper layer already named one.
    pub fn in_section(mut self, section: impl Into<String>) -> Self {
        self.0.place.section.get_or_insert_with(|| section.into());
        self
    }

    /// Adds the symbol, unless a deeper layer already named one.
    pub fn at_symbol(mut self, symbol: impl Into<String>) -> Self {
        self.0.place.symbol.get_or_insert_with(|| symbol.into());
        self
    }

    /// Adds the byte offset, unless a deeper layer already named one.
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.0.place.offset.get_or_insert(offset);
        self
    }

    /// Says what the user can do.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.0.advice.get_or_insert_with(|| advice.into());
        self
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

    /// A warning of one finding.
    pub fn warning(code: Code, finding: Finding) -> Self {
        let mut error = Self::refused(code, finding.text);
        error.0.place = finding.place;
        error
    }

    /// What the error means for the exit status.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The kind of error.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The text without place and advice.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The text with the advice, without the place.
    pub fn told(&self) -> String {
        match self.advice() {
            Some(advice) => format!("{}: {advice}", self.message()),
            None => self.message().to_owned(),
        }
    }

    /// Where it was found.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// What the user can do, if known.
    pub fn advice(&self) -> Option<&str> {
        self.0.advice.as_deref()
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
            true => vec![self.0.place.clone()],
            false => self.0.places.clone(),
        }
    }

    /// Adds more to what is said at each of [`Error::places`].
    pub fn with_more(mut self, more: Vec<Option<String>>) -> Self {
        let inner = &mut *self.0;
        if inner.places.is_empty() {
            if let Some(more) = more.into_iter().next().flatten() {
                let said = inner.advice.take();
                inner.advice = Some(said.map_or(more.clone(), |said| format!("{said}; {more}")));
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
        let Inner { message, place, advice, .. } = &*self.0;
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

impl std::error::Error for Error {}

/// A distance in bytes as it stands behind a name: `+0x1c`, `-0x10`.
pub fn distance(by: i64) -> String {
    let sign = if by < 0 { '-' } else { '+' };
    format!("{sign}{:#x}", by.unsigned_abs())
}

/// Text for a line of a terminal: characters that would end the line, move the cursor, colour
/// what follows or turn its direction are written as escapes. Names of symbols, sections and
/// files come from the input, and may hold any of them.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if c.is_ascii() && is_unprintable(c) => {
                shown.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c if is_unprintable(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Control characters, line and paragraph separators, and the marks, embeddings, overrides and
/// isolates of Unicode's bidirectional algorithm (UAX #9).
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_forge_lines() {
        assert_eq!(printable("plain name.llvm.1"), "plain name.llvm.1");
        assert_eq!(printable("a\nchanged function: b"), "a\\nchanged function: b");
        assert_eq!(printable("\x1b[31m\u{9b}2J\x7f\r\t"), "\\x1b[31m\\u{9b}2J\\x7f\\r\\t");
        assert_eq!(printable("\u{202e}evil\u{2069}"), "\\u{202e}evil\\u{2069}");
        assert_eq!(printable("Grüße"), "Grüße");
    }

    #[test]
    fn distances_have_their_sign() {
        assert_eq!(
            [0, 28, -16, i64::MIN].map(distance).join(" "),
            "+0x0 +0x1c -0x10 -0x8000000000000000"
        );
    }

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
