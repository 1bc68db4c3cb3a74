//! Command line of `klp-diff`: arguments, exit statuses and where things are printed.

mod args;
mod pair;

use std::ffi::OsString;
use std::io::Write;

pub use args::Args;
use clap::Parser;
use clap::error::ErrorKind;

use crate::error::{Class, Error};

/// Exit statuses of `klp-diff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something changed.
    Changed = 0,
    /// A file cannot be read or written.
    Broken = 1,
    /// The change cannot be applied, or it is ambiguous what it is.
    Refused = 2,
    /// Nothing changed.
    Unchanged = 3,
    /// Wrong command line.
    Usage = 64,
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Exit {
        match error.class() {
            Class::Broken => Exit::Broken,
            Class::Refused => Exit::Refused,
        }
    }
}

/// Runs `klp-diff` with these arguments, the program name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A reader that went away is no reason to fail.
            let _ = error.print();
            return if help { Exit::Changed } else { Exit::Usage };
        }
    };
    match pair::run(&args) {
        Ok(exit) => exit,
        Err(usage) => {
            complain(&format!("error: {usage}\n\nFor more information, try '--help'."));
            Exit::Usage
        }
    }
}

/// Prints a line for the user on standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
