//! `klp-diff`: see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(klp_diff::cli::main(std::env::args_os()) as u8)
}
