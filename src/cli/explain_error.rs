//! `klp-diff explain-error`: what a code of a message means.

use std::ffi::OsString;

use clap::Parser;

use super::{Exit, closest, parse, wrong_usage};
use crate::diag::Code;
use crate::host::print;

/// Prints what the code of a message means, why it happens and what to do; without a code,
/// lists all of them.
#[derive(Debug, Parser)]
#[command(
    name = "klp-diff explain-error",
    bin_name = "klp-diff explain-error",
    after_help = "Examples:\n\
                  \x20 klp-diff explain-error\n\
                  \x20 klp-diff explain-error no-ftrace-entry\n\
                  \nExit status: 0 printed; 64 wrong command line, or no such code."
)]
pub(super) struct Args {
    /// The word in brackets at the end of a message, `code` in JSON: such as no-ftrace-entry
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Runs the verb.
pub(super) fn main(args: Vec<OsString>) -> Exit {
    match parse::<Args>(&args) {
        Ok(Args { code: None }) => list(),
        Ok(Args { code: Some(name) }) => explain(name.trim_matches(['[', ']'])),
        Err(exit) => exit,
    }
}

fn list() -> Exit {
    let lines: Vec<String> =
        Code::ALL.iter().map(|code| format!("{:<32}{}", code.name(), code.summary())).collect();
    print::out_lines(&lines);
    Exit::Changed
}

fn explain(name: &str) -> Exit {
    if let Some(code) = Code::named(name) {
        let lines: Vec<String> = [code.name(), ""]
            .into_iter()
            .chain(code.page().lines())
            .map(|line| line.replace("**", "").replace('*', ""))
            .collect();
        print::out_lines(&lines);
        return Exit::Changed;
    }
    let meant = closest(name, Code::ALL.iter().map(|code| code.name()));
    let meant = meant.map_or(String::new(), |meant| format!("; did you mean '{meant}'?"));
    wrong_usage(&format!("there is no code '{name}'{meant}"))
}
