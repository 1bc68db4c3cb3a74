//! Command lines as GNU argp understands and explains them.
//!
//! Scripts depend on its habits: options anywhere between the positionals, `--` to end them,
//! bundled short options, long options cut short as far as they stay unambiguous, `-?`,
//! `--help` and `--usage`, and exit status 64 (EX_USAGE) for a wrong command line. Only
//! options without arguments are needed here.

#![expect(clippy::arithmetic_side_effects, reason = "lengths of lines")]

use std::ffi::{OsStr, OsString};
use std::path::Path;

use klp_diff::host::print;

use crate::finish;

/// Exit status for a wrong command line, EX_USAGE of sysexits.h.
pub const USAGE_STATUS: u8 = 64;

/// Columns of a line; longer ones are broken between words.
const WIDTH: usize = 78;
/// Where continued usage lines and where the option texts start.
const USAGE_INDENT: usize = 12;
const TEXT_INDENT: usize = 29;

/// A flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Name behind `--`, at most 20 characters so that the list of options stays a table.
    pub long: &'static str,
    /// Letter behind `-`.
    pub short: char,
    /// What it does, for `--help`.
    pub help: &'static str,
}

/// A program's command line.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// One line about the program.
    pub doc: &'static str,
    /// Flags by their letters.
    pub flags: &'static [Flag],
    /// Names of the positionals; all are required.
    pub positionals: &'static [&'static str],
}

/// A command line that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Whether each of [`Command::flags`] was given.
    pub flags: Vec<bool>,
    /// As many as [`Command::positionals`].
    pub positionals: Vec<OsString>,
}

/// What to do instead of running: print a text and exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The text, with its last newline. Status 0 wants it on stdout, others on stderr.
    pub text: String,
    /// The exit status.
    pub status: u8,
}

const HELP: Flag = Flag { long: "help", short: '?', help: "Give this help list" };
const USAGE: &str = "usage";

/// What one option means.
enum Found {
    Flag(usize),
    Help,
    Usage,
}

impl Command {
    /// Parses the arguments of the process. On a mistake, or a request for help, prints what
    /// there is to say; the error is the exit status.
    pub fn arguments(&self) -> Result<Parsed, std::process::ExitCode> {
        let posix = std::env::var_os("POSIXLY_CORRECT").is_some();
        self.parse(std::env::args_os(), posix).map_err(|stop| {
            match stop.status {
                0 => print::stdout(&stop.text),
                _ => stop.text.lines().for_each(print::err),
            }
            std::process::ExitCode::from(finish(stop.status))
        })
    }

    /// Reads a command line, the program's name included.
    ///
    /// With `posix` (POSIXLY_CORRECT in the environment) the first positional ends the options.
    pub fn parse(
        &self,
        args: impl IntoIterator<Item = OsString>,
        posix: bool,
    ) -> Result<Parsed, Stop> {
        let mut args = args.into_iter();
        let call = args.next().unwrap_or_default();
        let program = Program { command: self, call: &call };
        let mut flags = vec![false; self.flags.len()];
        let mut positionals = Vec::new();
        let mut options = true;
        for arg in args {
            let text = arg.to_string_lossy().into_owned();
            if !options || !text.starts_with('-') || text == "-" {
                options &= !posix;
                positionals.push(arg);
            } else if text == "--" {
                options = false;
            } else if let Some(long) = text.strip_prefix("--") {
                program.apply(program.long(long)?, &mut flags)?;
            } else {
                for letter in text.chars().skip(1) {
                    program.apply(program.short(letter)?, &mut flags)?;
                }
            }
        }
        if positionals.len() != self.positionals.len() {
            let line = format!("Usage: {} {}", program.name(), self.synopsis());
            return Err(program.wrong(fill(&line, USAGE_INDENT)));
        }
        Ok(Parsed { flags, positionals })
    }

    fn synopsis(&self) -> String {
        std::iter::once("[OPTION...]")
            .chain(self.positionals.iter().copied())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A command under the name it was called by.
struct Program<'c> {
    command: &'c Command,
    call: &'c OsStr,
}

impl Program<'_> {
    fn name(&self) -> String {
        let name = Path::new(self.call).file_name().unwrap_or(self.call);
        name.to_string_lossy().into_owned()
    }

    fn apply(&self, found: Found, flags: &mut [bool]) -> Result<(), Stop> {
        match found {
            Found::Flag(i) => {
                if let Some(flag) = flags.get_mut(i) {
                    *flag = true;
                }
            }
            Found::Help => return Err(Stop { text: self.help(), status: 0 }),
            Found::Usage => return Err(Stop { text: self.usage(), status: 0 }),
        }
        Ok(())
    }

    /// All long options, in the order in which argp lists them.
    fn longs(&self) -> impl Iterator<Item = (&'static str, Found)> {
        let own = self.command.flags.iter().enumerate();
        own.map(|(i, flag)| (flag.long, Found::Flag(i)))
            .chain([(HELP.long, Found::Help), (USAGE, Found::Usage)])
    }

    fn long(&self, text: &str) -> Result<Found, Stop> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let mut found: Vec<_> = self.longs().filter(|(long, _)| long.starts_with(name)).collect();
        if let Some(exact) = found.iter().position(|(long, _)| *long == name) {
            found = vec![found.swap_remove(exact)];
        }
        if found.len() > 1 {
            let names: Vec<_> = found.iter().map(|(long, _)| format!(" '--{long}'")).collect();
            let names = names.concat();
            return Err(
                self.complain(&format!("option '--{text}' is ambiguous; possibilities:{names}"))
            );
        }
        match found.pop() {
            None => Err(self.complain(&format!("unrecognized option '--{text}'"))),
            Some((long, _)) if value.is_some() => {
                Err(self.complain(&format!("option '--{long}' doesn't allow an argument")))
            }
            Some((_, found)) => Ok(found),
        }
    }

    fn short(&self, letter: char) -> Result<Found, Stop> {
        if letter == HELP.short {
            return Ok(Found::Help);
        }
        let flag = self.command.flags.iter().position(|flag| flag.short == letter);
        flag.map(Found::Flag).ok_or_else(|| self.complain(&format!("invalid option -- '{letter}'")))
    }

    /// An error in getopt's form, under the name as called.
    fn complain(&self, message: &str) -> Stop {
        self.wrong(format!("{}: {message}\n", self.call.to_string_lossy()))
    }

    fn wrong(&self, mut text: String) -> Stop {
        let name = self.name();
        text += &fill(&format!("Try `{name} --help' or `{name} --usage' for more information."), 0);
        Stop { text, status: USAGE_STATUS }
    }

    fn usage(&self) -> String {
        let letters: String = self.command.flags.iter().map(|flag| flag.short).collect();
        let longs: Vec<_> = self.longs().map(|(long, _)| format!("[--{long}]")).collect();
        let line = format!(
            "Usage: {} [-{letters}{}] {} {}",
            self.name(),
            HELP.short,
            longs.join(" "),
            self.command.positionals.join(" ")
        );
        fill(&line, USAGE_INDENT)
    }

    fn help(&self) -> String {
        let command = self.command;
        let line = format!("Usage: {} {}", self.name(), command.synopsis());
        let mut text = fill(&line, USAGE_INDENT);
        text += &fill(command.doc, 0);
        text.push('\n');
        for Flag { long, short, help } in command.flags.iter().chain([&HELP]) {
            text += &option_line(&format!("  -{short}, --{long}"), help);
        }
        text += &option_line(&format!("      --{USAGE}"), "Give a short usage message");
        text
    }
}

/// An option and its text as two columns.
fn option_line(option: &str, help: &str) -> String {
    let column = TEXT_INDENT - 1;
    let text = fill(&format!("{:TEXT_INDENT$}{help}", ""), TEXT_INDENT);
    format!("{option:column$} {}", text.trim_start())
}

/// Breaks a line between words; continued lines start with `indent` spaces, which the first
/// one may have already.
fn fill(line: &str, indent: usize) -> String {
    let words = line.trim_start();
    let mut text = " ".repeat(line.len() - words.len());
    let mut column = text.len();
    let mut first = true;
    for word in words.split(' ') {
        let width = word.chars().count();
        if first {
            first = false;
        } else if column + 1 + width > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: Command = Command {
        doc: "create-klp-module - convert a kpatch module to a livepatch module with some longer \
              line of documentation that has to wrap somewhere",
        flags: &[
            Flag { long: "debug", short: 'd', help: "Show debug output" },
            Flag {
                long: "no-klp-arch-sections",
                short: 'n',
                help: "Do not make .klp.arch sections for the parts of the patch that belong to \
                       modules which are not loaded yet",
            },
            Flag { long: "dump", short: 'x', help: "Dump" },
        ],
        positionals: &["INPUT.ko", "OUTPUT.ko"],
    };

    fn parse(args: &[&str], posix: bool) -> Result<Parsed, Stop> {
        let all = std::iter::once("./create-klp-module").chain(args.iter().copied());
        COMMAND.parse(all.map(OsString::from), posix)
    }

    /// Letters of the flags given, and the positionals.
    fn good(args: &[&str]) -> (String, Vec<String>) {
        let parsed = parse(args, false).unwrap_or_else(|stop| panic!("{args:?}: {}", stop.text));
        let flags = COMMAND.flags.iter().zip(&parsed.flags);
        let letters = flags.filter(|(_, on)| **on).map(|(flag, _)| flag.short).collect();
        let text = |p: &OsString| p.to_string_lossy().into_owned();
        (letters, parsed.positionals.iter().map(text).collect())
    }

    fn stop(args: &[&str]) -> (u8, String) {
        let stop = parse(args, false).unwrap_err();
        (stop.status, stop.text)
    }

    #[test]
    fn options_mix_with_positionals() {
        for (args, flags, positionals) in [
            (&["a", "b"][..], "", ["a", "b"]),
            (&["a", "-d", "b"], "d", ["a", "b"]),
            (&["a", "b", "-nd"], "dn", ["a", "b"]),
            (&["--", "-d", "b"], "", ["-d", "b"]),
            (&["a", "--", "-n"], "", ["a", "-n"]),
            (&["-", "", "-d"], "d", ["-", ""]),
            (&["--deb", "a", "b"], "d", ["a", "b"]),
            (&["--no", "--du", "a", "b"], "nx", ["a", "b"]),
        ] {
            let wanted = (flags.to_owned(), positionals.map(str::to_owned).to_vec());
            assert_eq!(good(args), wanted, "{args:?}");
        }
    }

    #[test]
    fn a_positional_ends_the_options_in_posix_mode() {
        assert_eq!(parse(&["-d", "a", "-n"], true).unwrap().positionals, ["a", "-n"]);
        assert_eq!(parse(&["a", "-d", "b"], true).unwrap_err().status, 64);
    }

    #[test]
    fn names_that_are_not_utf8_are_kept() {
        use std::os::unix::ffi::OsStringExt as _;
        let odd = OsString::from_vec(vec![b'a', 0xff]);
        let args = ["x".into(), odd.clone(), "b".into()];
        assert_eq!(COMMAND.parse(args, false).unwrap().positionals[0], odd);
    }

    const TRY: &str =
        "Try `create-klp-module --help' or `create-klp-module --usage' for more\ninformation.\n";

    #[test]
    fn a_wrong_number_of_positionals_shows_the_synopsis() {
        let usage = format!("Usage: create-klp-module [OPTION...] INPUT.ko OUTPUT.ko\n{TRY}");
        for args in [&[][..], &["a"], &["a", "b", "c"], &["-d", "--"]] {
            assert_eq!(stop(args), (64, usage.clone()), "{args:?}");
        }
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (args, message) in [
            (&["--foo", "--help"][..], "unrecognized option '--foo'"),
            (&["--foo=1"], "unrecognized option '--foo=1'"),
            (&["-dy", "a", "b"], "invalid option -- 'y'"),
            (&["--debug=1", "a", "b"], "option '--debug' doesn't allow an argument"),
            (&["--no=1", "a", "b"], "option '--no-klp-arch-sections' doesn't allow an argument"),
            (&["--d=3"], "option '--d=3' is ambiguous; possibilities: '--debug' '--dump'"),
        ] {
            let text = format!("./create-klp-module: {message}\n{TRY}");
            assert_eq!(stop(args), (64, text), "{args:?}");
        }
    }

    #[test]
    fn help_is_a_table() {
        let text = "\
Usage: create-klp-module [OPTION...] INPUT.ko OUTPUT.ko
create-klp-module - convert a kpatch module to a livepatch module with some
longer line of documentation that has to wrap somewhere

  -d, --debug                Show debug output
  -n, --no-klp-arch-sections Do not make .klp.arch sections for the parts of
                             the patch that belong to modules which are not
                             loaded yet
  -x, --dump                 Dump
  -?, --help                 Give this help list
      --usage                Give a short usage message
";
        for args in [&["--help"][..], &["-?"], &["-d?"], &["--h"], &["a", "b", "c", "--help"]] {
            assert_eq!(stop(args), (0, text.to_owned()), "{args:?}");
        }
    }

    #[test]
    fn usage_lists_all_options() {
        let text = "\
Usage: create-klp-module [-dnx?] [--debug] [--no-klp-arch-sections] [--dump]
            [--help] [--usage] INPUT.ko OUTPUT.ko
";
        for args in [&["--usage"][..], &["--us", "--foo"]] {
            assert_eq!(stop(args), (0, text.to_owned()), "{args:?}");
        }
    }
}
