//! `klp-diff dump`: the canonical meaning of an output object.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::{Exit, fail, parse};
use crate::diag::Result;
use crate::elf::ids::Patched;
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::host::print;
use crate::report::canon;

/// Prints what an output object means, free of the order of its sections, symbols and
/// strings; with two objects, how their meanings differ.
#[derive(Debug, Parser)]
#[command(
    name = "klp-diff dump",
    bin_name = "klp-diff dump",
    after_help = "Examples:\n\
                  \x20 klp-diff dump out.o\n\
                  \x20 klp-diff dump out.o other.o\n\
                  \nExit status: 0 printed, or equal; 1 different; 2 error; 64 wrong command line."
)]
pub(super) struct Args {
    /// An object that create-diff-object or klp-diff wrote
    #[arg(value_name = "FILE")]
    first: PathBuf,

    /// Another one to compare with
    #[arg(value_name = "OTHER")]
    second: Option<PathBuf>,
}

/// Runs the verb.
pub(super) fn main(args: Vec<OsString>) -> Exit {
    crate::host::use_threads(None);
    match parse::<Args>(&args) {
        Ok(args) => run(&args).unwrap_or_else(|error| {
            fail(&error);
            Exit::Refused
        }),
        Err(exit) => exit,
    }
}

fn run(args: &Args) -> Result<Exit> {
    let first = lines(&args.first)?;
    let Some(second) = &args.second else {
        print::out_lines(&first);
        return Ok(Exit::Changed);
    };
    let differences = canon::diff(&first, &lines(second)?);
    print::out_lines(&differences);
    Ok(if differences.is_empty() { Exit::Changed } else { Exit::Broken })
}

fn lines(path: &Path) -> Result<Vec<String>> {
    let image = Image::open(path)?;
    let name = path.display().to_string();
    canon::canonical(&Object::<Patched>::parse(&name, image.bytes())?).map_err(|e| e.in_file(name))
}
