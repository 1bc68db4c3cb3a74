//! Standard output and standard error.
//!
//! What cannot be printed is remembered: a result that nobody could read is no success. That a
//! reader went away is no failure.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use crate::diag::printable;

static FAILED: Mutex<Option<(&'static str, String)>> = Mutex::new(None);

fn put(name: &'static str, mut stream: impl Write, bytes: &[u8]) {
    if let Err(error) = stream.write_all(bytes).and_then(|()| stream.flush()) {
        note(name, &error);
    }
}

/// Remembers that a stream could not be written.
pub fn note(name: &'static str, error: &io::Error) {
    if error.kind() != ErrorKind::BrokenPipe {
        let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert_with(|| (name, error.to_string()));
    }
}

/// Prints to standard output, as it is.
pub fn stdout(text: &str) {
    put("standard output", io::stdout().lock(), text.as_bytes());
}

/// Prints to standard error, as it is.
pub fn stderr(text: &str) {
    put("standard error", io::stderr().lock(), text.as_bytes());
}

/// What could not be printed first, and why.
pub fn failure() -> Option<String> {
    let failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    failed.as_ref().map(|(name, why)| format!("{name}: cannot write: {why}"))
}

/// Prints a line to standard output; what would not stay on it is escaped.
pub fn out(line: &str) {
    stdout(&format!("{}\n", printable(line)));
}

/// Prints a line to standard error; what would not stay on it is escaped.
pub fn err(line: &str) {
    stderr(&format!("{}\n", printable(line)));
}

/// Prints lines to standard output; what would not stay on them is escaped.
pub fn out_lines<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) {
    let mut text = String::new();
    for line in lines {
        text += &printable(line.as_ref());
        text.push('\n');
    }
    stdout(&text);
}
