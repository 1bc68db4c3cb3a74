//! Command line of `klp-diff`: verbs, exit statuses and where things are printed.
//!
//! The first word may be a verb of `VERBS`; anything else is a pair to compare. Checklist
//! for a new verb: a module with `main(args) -> Exit`, a row in the table, a line in
//! README.md.

mod args;
mod builds;
mod corpus;
mod dump;
mod members;
mod module;
mod output;
mod pair;
mod tree;
mod verify_orig;
mod wait;

use std::ffi::OsString;
use std::io::Write;

pub use args::{Args, Flavor};
use clap::Parser;
use clap::error::ErrorKind;

use crate::error::{Class, Error};

/// Exit statuses of `klp-diff`. Verbs give 0 to 3 meanings of their own in their help.
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

/// Words that, given first, ask for something else than comparing a pair. They get all
/// arguments, the verb as the program name. A file of such a name is written `./dump`.
const VERBS: [(&str, Verb); 4] = [
    ("corpus", corpus::main),
    ("dump", dump::main),
    ("module", module::main),
    ("verify-orig", verify_orig::main),
];

/// Runs a verb with its arguments.
type Verb = fn(Vec<OsString>) -> Exit;

/// Runs `klp-diff` with these arguments, the program name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    let verb = VERBS.iter().find(|(verb, _)| args.get(1).is_some_and(|a| a == verb));
    if let Some((_, main)) = verb {
        return main(args[1..].to_vec());
    }
    match parse::<Args>(&args) {
        Ok(args) => pair::run(&args).unwrap_or_else(|usage| wrong_usage(&usage)),
        Err(exit) => exit,
    }
}

/// Parses a command line; on a mistake, or a request for help, prints and says how to exit.
fn parse<A: Parser>(args: &[OsString]) -> Result<A, Exit> {
    A::try_parse_from(args).map_err(|error| {
        let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        // A reader that went away is no reason to fail.
        let _ = error.print();
        if help { Exit::Changed } else { Exit::Usage }
    })
}

/// Reports a mistake on the command line that the parser cannot see.
fn wrong_usage(what: &str) -> Exit {
    complain(&format!("error: {what}\n\nFor more information, try '--help'."));
    Exit::Usage
}

/// Reports an error with its findings, and says how to exit.
fn fail(error: &Error) -> Exit {
    for detail in error.details() {
        complain(detail);
    }
    complain(&error.to_string());
    Exit::from(error)
}

/// Prints a line for the user on standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
