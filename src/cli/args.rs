//! The options of `klp-diff`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Compares two relocatable kernel objects by what their functions mean.
///
/// Prints `changed function: F` and `new function: F`, each with the reason below. With -o,
/// writes the object that a livepatch module is linked from.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "klp-diff",
    version,
    override_usage = "klp-diff [OPTIONS] <ORIG> <PATCHED>\n       klp-diff VERB ..."
)]
pub struct Args {
    /// Object built from the unpatched source (.o, with -ffunction-sections -fdata-sections), or a folder of them
    #[arg(value_name = "ORIG")]
    pub orig: PathBuf,

    /// Object built from the patched source, by the same compiler with the same flags, or a folder of them
    #[arg(value_name = "PATCHED")]
    pub patched: PathBuf,

    /// Write the link input for a livepatch module here: one file for all that changed, or, in an existing folder
    /// or one given with a trailing /, a file for each object that changed
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,

    /// Form of OUT
    #[arg(long, value_enum, default_value_t = Flavor::Kpatch, requires = "output")]
    pub flavor: Flavor,

    /// Symbol table of the kernel or module that runs, as text: `readelf -s --wide vmlinux > FILE`, or a System.map
    #[arg(long, value_name = "FILE")]
    pub symtab: Option<PathBuf>,

    /// Linked kernel (vmlinux) or module (NAME.ko) that runs, also compressed or of a debug package: instead of
    /// --symtab; may be repeated: that of --object is patched, the others tell what it refers to
    #[arg(long, value_name = "[OBJ=]FILE")]
    pub image: Vec<String>,

    /// Refuse to patch functions that are not in the image as ORIG has them; and changed code that only runs at
    /// boot, which in folders and linked objects is only worth a warning else
    #[arg(long)]
    pub strict: bool,

    /// Let the patch take the address of FUNC although the running kernel cannot call it
    /// through a pointer; may be repeated
    #[arg(long, value_name = "FUNC", requires = "image")]
    pub allow_sealed: Vec<String>,

    /// Exported symbols: the Module.symvers of the kernel build
    #[arg(long, value_name = "FILE")]
    pub symvers: Option<PathBuf>,

    /// Object that is patched: vmlinux or the name of a module [default: that of the only --image, else vmlinux]
    #[arg(long, value_name = "NAME")]
    pub object: Option<String>,

    #[command(flatten)]
    pub(super) report: ReportArgs,

    /// Threads to use; the result is the same on any number of them [default: one for each
    /// processor]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: Option<u16>,

    /// Size of a kernel struct in bytes, such as BUG_STRUCT_SIZE=12; may be repeated. The
    /// environment variables of these names count, too
    #[arg(long = "struct", value_name = "NAME=N")]
    pub structs: Vec<String>,
}

/// How an output names what only the running kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flavor {
    /// Tables `.kpatch.symbols` and `.kpatch.relocations`: to be linked into a module and then
    /// converted by create-klp-module
    Kpatch,
    /// `.klp.sym.*` symbols and `.klp.rela.*` sections, as the kernel wants them: final,
    /// because a linker would destroy them
    Klp,
}

/// What is told, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// Write a report for programs here, whatever comes out; `-` is standard output, and the
    /// text then goes to standard error. docs/json.md describes it
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,

    /// Fail (exit 2) when nothing changed: for those who know that something did
    #[arg(long)]
    pub(super) expect_change: bool,

    /// Say which differing bytes were judged noise, and by which rule
    #[arg(long)]
    pub(super) explain_noise: bool,
}

impl ReportArgs {
    /// Whether the report for programs takes standard output.
    pub(super) fn text_to_stderr(&self) -> bool {
        self.json.as_deref() == Some(std::path::Path::new("-"))
    }

    /// Whether it is needed what was judged noise.
    pub(super) fn explains_noise(&self) -> bool {
        self.json.is_some() || self.explain_noise || self.expect_change
    }
}
