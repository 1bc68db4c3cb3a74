//! The options of `klp-diff`.

use std::path::PathBuf;

use clap::Parser;

/// Compares two relocatable kernel objects by what their functions mean.
///
/// Prints `changed function: F` and `new function: F`, each with the reason below. With -o,
/// writes the object that a livepatch module is linked from.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "klp-diff",
    version,
    after_help = "Exit status: 0 something changed, 1 a file cannot be read or written, 2 the change cannot be applied, \
                  3 nothing changed, 64 wrong command line."
)]
pub struct Args {
    /// Object built from the unpatched source (.o, with -ffunction-sections -fdata-sections)
    #[arg(value_name = "ORIG")]
    pub orig: PathBuf,

    /// Object built from the patched source, by the same compiler with the same flags
    #[arg(value_name = "PATCHED")]
    pub patched: PathBuf,

    /// Write the link input for a livepatch module here; an existing folder or a trailing / means a folder
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,

    /// Symbol table of the kernel or module that runs, as text: `readelf -s --wide vmlinux > FILE`
    #[arg(long, value_name = "FILE")]
    pub symtab: Option<PathBuf>,

    /// Exported symbols: the Module.symvers of the kernel build
    #[arg(long, value_name = "FILE")]
    pub symvers: Option<PathBuf>,

    /// Object that is patched: vmlinux or the name of a module
    #[arg(long, value_name = "NAME", default_value = "vmlinux")]
    pub object: String,

    /// Write a report for programs here, whatever comes out; `-` is standard output, and the
    /// text then goes to standard error. docs/json.md describes it
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Fail (exit 2) when nothing changed: for those who know that something did
    #[arg(long)]
    pub expect_change: bool,

    /// Say which differing bytes were judged noise, and by which rule
    #[arg(long)]
    pub explain_noise: bool,

    /// Size of a kernel struct in bytes, such as BUG_STRUCT_SIZE=12; may be repeated. The
    /// environment variables of these names count, too
    #[arg(long = "struct", value_name = "NAME=N")]
    pub structs: Vec<String>,
}
