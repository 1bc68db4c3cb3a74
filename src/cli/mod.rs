//! Command line of `klp-diff`: verbs, exit statuses and where things are printed.
//!
//! The first word may be a verb of `VERBS`; anything else is a pair to compare. Checklist
//! for a new verb: a module with `main(args) -> Exit`, a row in the table, a line in
//! README.md.

#![deny(clippy::indexing_slicing)]

mod args;
mod build;
mod corpus;
mod dump;
mod explain_error;
mod kernel;
mod klp_build;
mod module;
mod output;
mod pair;
mod show;
mod targets;
mod tree;
mod verify_orig;
mod version;
mod wait;

use std::ffi::OsString;
use std::path::Path;

pub use args::{Args, Flavor};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};

use crate::diag::{Class, Error, is_unprintable};
use crate::host::fault::contained;
use crate::host::print;

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

/// A word that, given first, asks for something else than comparing a pair. It gets all
/// arguments, itself as the program name. A file of such a name is written `./dump`.
struct Verb {
    name: &'static str,
    /// What it does, for `--help`.
    about: &'static str,
    example: &'static str,
    main: fn(Vec<OsString>) -> Exit,
    /// What its command line is.
    command: fn() -> clap::Command,
    /// How it exits when its result cannot be printed.
    failed: Exit,
}

const VERBS: [Verb; 6] = [
    Verb {
        name: "build",
        about: "Builds a livepatch module from a source patch",
        example: "klp-diff build --source linux-6.12 -o fix.ko fix.patch",
        main: build::main,
        command: build::Args::command,
        failed: Exit::Broken,
    },
    Verb {
        name: "module",
        about: "Builds a livepatch module from objects before and after a patch",
        example: "klp-diff module --kernel KDIR --image vmlinux -o fix.ko orig.o patched.o",
        main: module::main,
        command: module::Args::command,
        failed: Exit::Broken,
    },
    Verb {
        name: "verify-orig",
        about: "Tells whether objects are those that the running kernel was linked from",
        example: "klp-diff verify-orig --image vmlinux orig/",
        main: verify_orig::main,
        command: verify_orig::Args::command,
        failed: Exit::Broken,
    },
    Verb {
        name: "dump",
        about: "Prints what an output means, or how the meanings of two differ",
        example: "klp-diff dump out.o other.o",
        main: dump::main,
        command: dump::Args::command,
        failed: Exit::Refused,
    },
    Verb {
        name: "corpus",
        about: "Runs many cases, and says what changed since an earlier run",
        example: "klp-diff corpus run cases/",
        main: corpus::main,
        command: corpus::Args::command,
        failed: Exit::Refused,
    },
    Verb {
        name: "explain-error",
        about: "Says what the code at the end of a message means, and what to do",
        example: "klp-diff explain-error no-ftrace-entry",
        main: explain_error::main,
        command: explain_error::Args::command,
        failed: Exit::Broken,
    },
];

/// Runs `klp-diff` with these arguments, the program name first.
pub fn main(args: impl IntoIterator<Item = OsString>) -> Exit {
    let mut args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|word| word == "help") {
        // `help VERB` is `VERB --help`.
        args.remove(1);
        args.truncate(2);
        args.push("--help".into());
    }
    let first = args.get(1).and_then(|word| word.to_str()).unwrap_or("").to_owned();
    let verb = VERBS.iter().find(|verb| verb.name == first);
    let failed = verb.map_or(Exit::Broken, |verb| verb.failed);
    let exit = contained(|| match verb {
        Some(verb) => (verb.main)(args.split_off(1)),
        None => pair(&args, &first),
    })
    .unwrap_or(failed);
    match print::failure() {
        None => exit,
        Some(_) if exit == Exit::Usage => exit,
        Some(failure) => {
            complain(&format!("klp-diff: {failure}"));
            failed
        }
    }
}

/// The whole command line, verbs as subcommands: for manual pages and completions. The program
/// itself tells by the first word what it is to parse.
pub fn command() -> clap::Command {
    let verbs = VERBS.iter().map(|verb| (verb.command)().name(verb.name));
    Args::command()
        .after_help(after_help())
        .long_version(clap::builder::Resettable::Reset)
        .subcommands(verbs)
        .subcommand_value_name("VERB")
        .subcommand_help_heading("Verbs")
        .disable_help_subcommand(true)
        .subcommand_negates_reqs(true)
}

/// Compares two objects or folders.
fn pair(args: &[OsString], first: &str) -> Exit {
    if let Some(meant) = mistyped(first) {
        return wrong_usage(&format!(
            "'{first}' is neither a verb nor a file; did you mean 'klp-diff {meant}'?"
        ));
    }
    let command = Args::command().after_long_help(overview()).after_help(overview());
    let nothing = !first.is_empty() && !first.starts_with('-') && !Path::new(first).exists();
    let wrong = |error: clap::Error| error.exit_code() != 0;
    if nothing && command.clone().try_get_matches_from(args).is_err_and(wrong) {
        let verbs: Vec<&str> = VERBS.iter().map(|verb| verb.name).collect();
        return wrong_usage(&format!(
            "'{first}' is neither a verb nor a file; the verbs are {}",
            verbs.join(", ")
        ));
    }
    match parse_as::<Args>(command, args) {
        Ok(args) => pair::run(&args).unwrap_or_else(|usage| wrong_usage(&usage)),
        Err(exit) => exit,
    }
}

/// The verbs and examples, for `--help`.
fn overview() -> String {
    let mut text = String::from("Verbs, given first (`klp-diff VERB --help` tells more):\n");
    for Verb { name, about, .. } in &VERBS {
        text += &format!("  {name:<15}{about}\n");
    }
    text + "\n" + &after_help()
}

/// Examples and exit statuses.
fn after_help() -> String {
    let mut text = String::from(
        "Examples:\n  klp-diff orig/mm/slub.o patched/mm/slub.o\n  \
             klp-diff --image vmlinux -o out/ orig/ patched/\n",
    );
    for Verb { example, .. } in &VERBS {
        text += &format!("  {example}\n");
    }
    text + "\nExit status: 0 something changed, 1 a file cannot be read or written, 2 the change \
            cannot be applied, 3 nothing changed, 64 wrong command line."
}

/// The verb that a word is probably meant to be, when it names no file.
fn mistyped(word: &str) -> Option<&'static str> {
    if word.len() < 3 || word.starts_with('-') || Path::new(word).exists() {
        return None;
    }
    closest(word, VERBS.iter().map(|verb| verb.name))
}

/// The one of `known` that `word` is probably meant to be.
fn closest<'n>(word: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let near = known.map(|name| (distance(word, name), name));
    let near = near.filter(|(far, name)| *far <= 2 || name.starts_with(word));
    near.min().map(|(_, name)| name)
}

/// How many letters must be put in, taken out or exchanged to make one word of the other.
#[expect(clippy::arithmetic_side_effects, reason = "lengths of words")]
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, &above) in b.iter().zip(row.iter().skip(1)) {
            left = (corner + usize::from(x != *y)).min(left + 1).min(above + 1);
            corner = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Parses a command line; on a mistake, or a request for help, prints and says how to exit.
fn parse<A: Parser>(args: &[OsString]) -> Result<A, Exit> {
    parse_as(A::command(), args)
}

/// [`parse`] with a command that says more in its help.
fn parse_as<A: Parser>(command: clap::Command, args: &[OsString]) -> Result<A, Exit> {
    let matches = command.try_get_matches_from(args);
    matches.and_then(|matches| A::from_arg_matches(&matches)).map_err(|error| {
        let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        // What clap repeats of the arguments could move the cursor.
        let odd = args.iter().any(|arg| arg.to_string_lossy().contains(is_unprintable));
        if odd && !help {
            let text = error.render().to_string();
            text.lines().for_each(print::err);
        } else if let Err(e) = error.print() {
            print::note(if help { "standard output" } else { "standard error" }, &e);
        }
        if help { Exit::Changed } else { Exit::Usage }
    })
}

/// Reports a mistake on the command line that the parser cannot see.
fn wrong_usage(what: &str) -> Exit {
    complain(&format!("error: {what}"));
    print::stderr("\nFor more information, try '--help'.\n");
    Exit::Usage
}

/// Reports an error with its findings and its code, and says how to exit.
fn fail(error: &Error) -> Exit {
    for detail in error.details() {
        complain(detail);
    }
    complain(&format!("{error} [{}]", error.code()));
    Exit::from(error)
}

/// Prints a line for the user on standard error.
fn complain(text: &str) {
    print::err(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_known_by_what_is_close() {
        for (word, verb) in [
            ("modul", Some("module")),
            ("moduel", Some("module")),
            ("verify", Some("verify-orig")),
            ("verify_orig", Some("verify-orig")),
            ("dmup", Some("dump")),
            ("corpsu", Some("corpus")),
            ("orig", None),
            ("a.o", None),
            ("--help", None),
        ] {
            assert_eq!(mistyped(word), verb, "{word}");
        }
    }

    #[test]
    fn help_has_a_line_for_each_verb() {
        for verb in &VERBS {
            let line = format!("\n  {:<15}{}\n", verb.name, verb.about);
            assert!(overview().contains(&line));
            assert!(verb.example.starts_with(&format!("klp-diff {} ", verb.name)));
        }
    }

    /// Examples that the help gives, of the command and of its verbs.
    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let block = help.split("\n\n").find_map(|block| block.strip_prefix("Examples:\n"));
        let name = command.get_name();
        let block = block.unwrap_or_else(|| panic!("no examples in the help of {name}"));
        found.extend(block.lines().map(|line| line.trim().to_owned()));
        command.get_subcommands().for_each(|verb| examples(verb, found));
    }

    #[test]
    fn examples_of_the_help_are_right_command_lines() {
        let mut lines = Vec::new();
        examples(&command(), &mut lines);
        assert!(lines.len() > 15, "{lines:?}");
        for line in &lines {
            let words = line.split_whitespace().map(|word| word.trim_matches('\''));
            command().try_get_matches_from(words).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn the_command_line_of_pages_has_no_mistake() {
        command().debug_assert();
    }

    #[test]
    fn the_version_says_of_what_it_is_built() {
        let long = version::long();
        assert!(long.starts_with(version::SHORT), "{long}");
        assert!(long.contains("\nfeatures: cli\nmachines: x86_64, "), "{long}");
    }
}
