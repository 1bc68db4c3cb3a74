//! The options of `klp-diff`.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};

use crate::report::explain::Wanted;

/// Compares two relocatable kernel objects by what their functions mean.
///
/// Prints `changed function: F` and `new function: F`, each with the reason below. With -o,
/// writes the object that a livepatch module is linked from.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "klp-diff",
    version = super::version::SHORT,
    long_version = super::version::long(),
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
    /// --symtab; may be repeated: the one that the objects were linked into is patched, the others tell what it refers to
    #[arg(long, value_name = "[OBJ=]FILE")]
    pub image: Vec<String>,

    /// Folder with the linked kernel (vmlinux) and its modules (NAME.ko), also compressed: as an --image for each
    /// one below it; may be repeated
    #[arg(long, value_name = "FOLDER")]
    pub images: Vec<PathBuf>,

    /// Refuse to patch functions that are not in the image as ORIG has them; and changed code that only runs at
    /// boot, which beside other changes, in folders and in linked objects is only worth a warning else
    #[arg(long)]
    pub strict: bool,

    /// Refuse changed functions that livepatch cannot redirect, instead of patching their callers
    #[arg(long)]
    pub no_lift: bool,

    /// Let the patch take the address of FUNC although the running kernel cannot call it
    /// through a pointer; may be repeated
    #[arg(long, value_name = "FUNC", requires = "image")]
    pub allow_sealed: Vec<String>,

    /// Exported symbols: the Module.symvers of the kernel build
    #[arg(long, value_name = "FILE")]
    pub symvers: Option<PathBuf>,

    /// The objects belong to vmlinux or to module NAME, with PATH (a file, or all below a folder, of either side;
    /// parts of it may be patterns such as `*.o`) only those; may be repeated [default: the only --image, the one of several that has their code, or vmlinux]
    #[arg(long, value_name = "NAME[=PATH]")]
    pub object: Vec<String>,

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
    /// What `objtool klp diff` writes for the kernel's own klp-build, which links and finishes it.
    /// Without --image and --symtab ORIG is vmlinux.o, beside vmlinux, or a module's object
    KlpBuild,
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

    #[command(flatten)]
    pub(super) explain: ExplainArgs,
}

/// What is explained, and how it is shown.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// Show how each changed function and variable differs: all reasons, and the two disassemblies side by side;
    /// with FUNC only of that one, also when it is as it was; may be repeated. docs/explain.md describes it
    #[arg(long, value_name = "FUNC", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) explain: Vec<String>,

    /// Say why SYMBOL is in the output, or is not: what refers to it, up to what changed; may be repeated
    #[arg(long, value_name = "SYMBOL")]
    pub(super) why: Vec<String>,

    /// Write a page for review here, whatever comes out: one file for a browser, without network; `-` is standard
    /// output, and the text then goes to standard error
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,

    /// Print one line for each object
    #[arg(long, conflicts_with_all = ["explain", "why", "explain_noise"])]
    pub(super) stat: bool,

    /// Print nothing but errors
    #[arg(short, long, conflicts_with_all = ["explain", "why", "explain_noise", "stat"])]
    pub(super) quiet: bool,

    /// Colours: `auto` is on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto)]
    pub(super) color: When,

    /// Do not show explanations through a pager ($KLP_DIFF_PAGER, $PAGER or less) on a terminal
    #[arg(long)]
    pub(super) no_pager: bool,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// On a terminal that takes them.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ReportArgs {
    /// Whether the report for programs takes standard output.
    pub(super) fn text_to_stderr(&self) -> bool {
        let is_stdout = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new("-"));
        is_stdout(&self.json) || is_stdout(&self.explain.html)
    }

    /// What the command line says that it cannot mean; the parser sees the rest.
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.json, &self.explain.html) {
            (Some(json), Some(html)) if json == html => {
                Err("--json and --html cannot write to the same place".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The files that it names.
    pub(super) fn outputs(&self) -> impl Iterator<Item = (&str, &Path)> {
        let named = [("--json", &self.json), ("--html", &self.explain.html)];
        named.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)))
    }

    /// What is to be explained.
    pub(super) fn wanted(&self) -> Wanted {
        let ExplainArgs { explain, why, html, .. } = &self.explain;
        let all = html.is_some() || explain.iter().any(String::is_empty);
        let named = explain.iter().filter(|name| !name.is_empty());
        Wanted {
            differences: html.is_some() || !explain.is_empty(),
            only: if all { Vec::new() } else { named.clone().cloned().collect() },
            asked: named.chain(why).cloned().collect(),
            graph: html.is_some() || !why.is_empty(),
            klp: html.is_some() || !why.is_empty(),
            noise: self.json.is_some() || self.explain_noise || self.expect_change,
        }
    }
}
