//! `klp-diff module`: from pairs of objects to a livepatch module.

#![expect(clippy::indexing_slicing, reason = "members have the numbers they were given")]

mod parts;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;

use super::args::ReportArgs;
use super::output::{nothing_changed, write_reports};
use super::pair::struct_sizes;
use super::show::Show;
use super::verify_orig::ImageArg;
use super::{Exit, complain, fail, parse, wrong_usage};
use crate::diag::{Code, Error, Result};
use crate::elf::ids::Patched;
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::elf::out::OutObject;
use crate::elf::publish::publish_proved;
use crate::folders::builds::{Builds, Outcome};
use crate::folders::owners::Rules;
use crate::host::cleanup::TempFolder;
use crate::host::{files, print, use_threads};
use crate::kernel::knowledge::tables::StructSizes;
use crate::kernel::objtool;
use crate::patch::module::kbuild::{Tools, build, check_path, write_sources};
use crate::patch::module::link::finish;
use crate::patch::module::tree::{KernelTree, exports};
use crate::patch::module::{added, check::check, check::vermagic};
use crate::prove::prove_linked;
use crate::report::{Report, json};
use crate::running::installed::{Installed, VMLINUX};
use crate::running::parent::Parent;

/// Builds a livepatch module from objects before and after a source patch.
///
/// Compares the pairs, builds a module from what changed with the kernel's own build system,
/// and checks that the kernel can load it.
#[derive(Debug, Parser)]
#[command(
    name = "klp-diff module",
    bin_name = "klp-diff module",
    after_help = "Examples:\n\
                  \x20 klp-diff module --kernel /lib/modules/6.12.0/build --image vmlinux -o fix.ko orig.o patched.o\n\
                  \x20 klp-diff module --kernel KDIR --image vmlinux --image ext4=ext4.ko --object ext4=fs/ext4 -o fix.ko orig/ patched/\n\
                  \nExit status: 0 module written, 1 a file cannot be read or written, or the build failed, \
                  2 the change cannot be applied, 3 nothing changed, 64 wrong command line."
)]
pub(super) struct Args {
    /// Objects: ORIG PATCHED, built from the source without and with the patch; any number of
    /// such pairs of files, or of folders of objects. A source file that the patch adds or
    /// removes has /dev/null for its other object, or none in the other folder
    #[arg(value_name = "ORIG PATCHED", required = true, num_args = 2..)]
    pairs: Vec<PathBuf>,

    /// Prepared kernel tree, such as /lib/modules/RELEASE/build. What it says no --image of (the
    /// linked kernel, its modules) is looked for in it, and where distributions put them
    #[arg(short, long, value_name = "FOLDER", required_unless_present = "release")]
    kernel: Option<PathBuf>,

    /// Release of an installed kernel, such as `uname -r` says: its tree, the linked kernel with
    /// symbols, modules and exports are looked for where distributions put them
    #[arg(long, value_name = "RELEASE", conflicts_with = "kernel")]
    release: Option<String>,

    /// Module to write
    #[arg(short, long, value_name = "NAME.ko")]
    output: PathBuf,

    /// Symbol table of the kernel that runs, or of the module OBJ, as text:
    /// `readelf -s --wide vmlinux > FILE`; may be repeated
    #[arg(long, value_name = "[OBJ=]FILE")]
    symtab: Vec<String>,

    /// Linked kernel (vmlinux) that runs, or the module OBJ, instead of --symtab; also
    /// compressed or of a debug package; may be repeated. Goes before what is found by itself
    #[arg(long, value_name = "[OBJ=]FILE")]
    image: Vec<String>,

    /// Folder with the linked kernel (vmlinux) and its modules (NAME.ko), also compressed: as an --image for each
    /// one below it; may be repeated
    #[arg(long, value_name = "FOLDER")]
    images: Vec<PathBuf>,

    /// Refuse to patch functions that are not in the images as ORIG has them
    #[arg(long)]
    strict: bool,

    /// Refuse changed functions that livepatch cannot redirect, instead of patching their callers
    #[arg(long)]
    no_lift: bool,

    /// Let the patch take the address of FUNC although the running kernel cannot call it
    /// through a pointer; may be repeated
    #[arg(long, value_name = "FUNC")]
    allow_sealed: Vec<String>,

    /// Exported symbols [default: Module.symvers in the kernel tree, or as installed]
    #[arg(long, value_name = "FILE")]
    symvers: Option<PathBuf>,

    /// The objects belong to vmlinux or to module NAME, with PATH (a file, or all below a folder, of either side;
    /// parts of it may be patterns such as `*.o`) only those; may be repeated [default: the image that has their code, or vmlinux]
    #[arg(long, value_name = "NAME[=PATH]")]
    object: Vec<String>,

    /// Name of the module [default: that of the output file]
    #[arg(long)]
    name: Option<String>,

    /// Replace all older livepatches
    #[arg(long, overrides_with = "no_replace")]
    replace: bool,

    /// Leave older livepatches as they are (default)
    #[arg(long)]
    no_replace: bool,

    /// Compiler [default: the one that the kernel was built with]
    #[arg(long)]
    cc: Option<String>,

    /// Linker
    #[arg(long)]
    ld: Option<String>,

    /// Size of a kernel struct in bytes, such as BUG_STRUCT_SIZE=12; may be repeated. The
    /// environment variables of these names count, too
    #[arg(long = "struct", value_name = "NAME=N")]
    structs: Vec<String>,

    #[command(flatten)]
    report: ReportArgs,

    /// Threads to use; the result is the same on any number of them [default: one for each
    /// processor]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Build in this folder, which must be empty, and keep it
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

impl Args {
    /// The option that is about linked objects, when there are only texts of symbols.
    fn without_image(&self) -> Option<&'static str> {
        let given = [("--strict", self.strict), ("--allow-sealed", !self.allow_sealed.is_empty())];
        let images = !self.image.is_empty() || !self.images.is_empty();
        let none = !images && !self.symtab.is_empty();
        given.iter().find(|(_, given)| none && *given).map(|(option, _)| *option)
    }
}

/// Runs the verb.
pub(super) fn main(args: Vec<OsString>) -> Exit {
    let args = match parse::<Args>(&args) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    let (exit, objects) = run(&args);
    match exit {
        Exit::Usage => exit,
        _ => write_reports(&args.report, objects, exit),
    }
}

/// Does the work, and gives what there is to tell of each pair: for verbs that end in this one.
pub(super) fn make(args: &[OsString]) -> (Exit, Vec<json::Object>) {
    match parse::<Args>(args) {
        Ok(args) => run(&args),
        Err(exit) => (exit, Vec::new()),
    }
}

fn run(args: &Args) -> (Exit, Vec<json::Object>) {
    use_threads(args.jobs);
    match Request::new(args) {
        Ok(request) => request.run(),
        Err(usage) => (wrong_usage(&usage), Vec::new()),
    }
}

/// The command line, understood.
struct Request<'a> {
    args: &'a Args,
    name: String,
    /// Object name, file with its symbols, and whether that may be the linked object itself.
    parents: Vec<(String, PathBuf, bool)>,
    /// What belongs to which of them.
    rules: Rules,
    sizes: StructSizes,
    show: Show<'a>,
}

impl<'a> Request<'a> {
    /// The error is a mistake on the command line.
    fn new(args: &'a Args) -> std::result::Result<Request<'a>, String> {
        args.report.check()?;
        if !args.pairs.len().is_multiple_of(2) {
            return Err("ORIG and PATCHED come in pairs".to_owned());
        }
        let stem = args.output.file_stem().map(|s| s.to_string_lossy().into_owned());
        let name = args.name.clone().or(stem).unwrap_or_default();
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        // The kernel keeps 55 bytes of a module's name.
        if name.is_empty() || name.len() > 55 || !name.chars().all(fits) {
            return Err(format!(
                "'{name}' cannot be the name of a module: give one of letters, digits, _ and -, \
                 at most 55, with --name"
            ));
        }
        let mut parents = Vec::new();
        for (given, image) in
            args.symtab.iter().map(|g| (g, false)).chain(args.image.iter().map(|g| (g, true)))
        {
            let ImageArg { object, path } = ImageArg::parse(given)?;
            if parents.iter().any(|(known, _, _)| *known == object) {
                return Err(format!("the symbols of {object} are given twice"));
            }
            parents.push((object, path, image));
        }
        if let Some(option) = args.without_image() {
            return Err(format!("{option} has no effect without --image"));
        }
        Ok(Request {
            args,
            name,
            parents,
            rules: Rules::parse(&args.object)?,
            sizes: struct_sizes(&args.structs)?,
            show: Show::new(&args.report),
        })
    }

    fn run(&self) -> (Exit, Vec<json::Object>) {
        let mut objects = Vec::new();
        let result = self.make(&mut objects);
        // What was found out before an error is shown before it.
        let _ = self.show.finish(false);
        let exit = match &result {
            Ok(exit) => *exit,
            Err(error) => fail(error),
        };
        if let (Err(error), Some([orig, patched])) = (&result, self.args.pairs.get(..2)) {
            let shown = [orig, patched].map(|path| path.display().to_string());
            let report = Report::default();
            objects.push(json::Object::new(&shown[0], &shown[1], &report, Some(error)));
        }
        (exit, objects)
    }

    /// Makes the module; adds what there is to tell of each pair.
    fn make(&self, objects: &mut Vec<json::Object>) -> Result<Exit> {
        let found = self.look()?;
        let tree = KernelTree::open(found.tree()?)?;
        if let Some(keep) = &self.args.keep {
            check_path(keep, "give a path of letters, digits and any of . _ - + @ , ~")?;
        }
        let default = tree.path().join("Module.symvers");
        let symvers = self.args.symvers.as_ref().or(found.symvers.as_ref()).unwrap_or(&default);
        let inputs = self.args.pairs.iter().chain(self.parents.iter().map(|p| &p.1));
        let inputs = inputs.map(PathBuf::as_path).chain([symvers.as_path()]);
        let outputs = self.args.report.outputs();
        files::check_outputs(outputs.chain([("-o", self.args.output.as_path())]), inputs)?;
        let symvers = Image::open_unpacked(symvers)?;
        let parts = self.parts(&found, &symvers, &tree, objects)?;
        if parts.outputs.is_empty() {
            if self.args.report.expect_change {
                return Err(nothing_changed());
            }
            self.say("nothing changed");
            return Ok(Exit::Unchanged);
        }
        let tools = Tools {
            cc: self.args.cc.clone(),
            ld: self.args.ld.clone(),
            replace: self.args.replace,
            symvers: Some(symvers.text().into_owned()),
        };
        let module = self.build(&tree, &parts.prepared, &tools)?;
        let magic = vermagic(&module);
        parts.magics.iter().try_for_each(|ours| ours.check(magic, &tree))?;
        let checked = check(&module, &parts.prepared, &tree, &exports(&symvers.text()))?;
        for note in &checked.notes {
            self.remark(&format!("note: {note}"));
        }
        if !checked.needs.is_empty() {
            self.say(&format!("needs modules: {}", checked.needs.join(", ")));
        }
        publish_proved(&self.args.output, &module, &|bytes| {
            prove_linked(bytes, &parts.outputs, tree.objtool_makes_sites())
        })?;
        self.say(&format!(
            "wrote {} for {}: {} function(s) replaced, {} livepatch relocation(s)",
            self.args.output.display(),
            tree.release(),
            checked.functions,
            checked.relocations
        ));
        Ok(Exit::Changed)
    }

    /// Prints a line of progress.
    fn say(&self, text: &str) {
        match self.args.report.text_to_stderr() {
            _ if self.args.report.explain.quiet => {}
            true => complain(text),
            false => print::out(text),
        }
    }

    /// Says something beside the result.
    fn remark(&self, text: &str) {
        if !self.args.report.explain.quiet {
            complain(text);
        }
    }

    /// Finds what is at hand of the kernel, and says so; what the command line names goes before it.
    fn look(&self) -> Result<Installed> {
        let mut found = match (&self.args.kernel, &self.args.release) {
            (Some(tree), _) => {
                KernelTree::open(tree)?;
                Installed::of_tree(tree)?
            }
            (None, release) => Installed::of_release(release.as_deref().unwrap_or_default())?,
        };
        found.symvers = found.symvers.filter(|_| self.args.symvers.is_none());
        let has_kernel = self.parents.iter().any(|(object, _, _)| object == VMLINUX);
        // Who describes the kernel by texts has no linked objects.
        let texts = !self.args.symtab.is_empty();
        found.vmlinux = found.vmlinux.filter(|_| !has_kernel && !texts);
        found.system_map = found.system_map.filter(|_| !has_kernel && self.parents.is_empty());
        found.describe().iter().for_each(|line| self.remark(&format!("found {line}")));
        Ok(found)
    }

    /// Reads the objects, and finds out what to compare with what.
    fn builds(&self) -> Result<Builds> {
        let mut builds = Builds::default();
        for pair in self.args.pairs.chunks_exact(2) {
            let [orig, patched] = pair else { continue };
            match (orig.is_dir(), patched.is_dir()) {
                (true, true) => builds.add_folders(orig, patched)?,
                (false, false) if patched.as_os_str() == NOTHING => {
                    self.gone(&orig.display().to_string());
                }
                (false, false) => {
                    let orig = (orig.as_os_str() != NOTHING).then_some(orig.as_path());
                    builds.add_pair(orig, patched)?;
                }
                _ => {
                    return Err(Error::broken(Code::BadPair, "a folder is paired with a file")
                        .in_file(orig.display().to_string())
                        .advise("give two files or two folders"));
                }
            }
        }
        Ok(builds)
    }

    fn gone(&self, path: &str) {
        self.remark(&format!("note: {path} is gone; its code stays in the kernel"));
    }

    /// Prints what one comparison gave; fails when the module cannot have it.
    fn judge(
        &self,
        builds: &Builds,
        index: usize,
        outcome: &Outcome,
        parent: Option<&Parent<'_>>,
        tree: &KernelTree,
    ) -> Result<()> {
        let unit = &builds.units[index];
        if unit.patched.is_empty() {
            unit.orig.iter().for_each(|&i| self.gone(&builds.orig[i].shown()));
            return Ok(());
        }
        if self.show.lists() {
            self.say(&format!("comparing {}", outcome.path));
        }
        let mut report = outcome.report.clone();
        report.warnings.retain(|w| w.code() != Code::NewObject);
        self.show.pair(None, &outcome.path, &report, outcome.result.as_ref().err());
        let parse = |&i: &usize| {
            let member = &builds.patched[i];
            Object::<Patched>::parse(&member.shown(), member.image.bytes())
        };
        if tree.objtool_is_late() {
            for object in unit.patched.iter().map(parse) {
                check_before_objtool(&object?)?;
            }
        }
        let added = unit.patched.first().filter(|_| unit.orig.is_empty()).map(parse).transpose()?;
        match (&outcome.result, added.zip(parent)) {
            // What a new file wants of the kernel says more than that nothing refers to it.
            (Err(e), Some((object, parent))) if e.code() == Code::UnexplainedChange => {
                added::check(&object, None, parent.table())?;
                Err(e.clone())
            }
            (Err(e), _) => Err(e.clone()),
            (Ok(output), Some((object, parent))) => {
                added::check(&object, output.as_ref(), parent.table())
            }
            (Ok(_), None) => Ok(()),
        }
    }

    /// Fails when an option says of nothing what object it belongs to.
    fn check_objects(&self, builds: &Builds) -> Result<()> {
        // Objects that are equal on both sides may be no members.
        let members = builds.orig.iter().chain(&builds.patched).map(|m| m.image.path());
        self.rules.check(members.chain(self.args.pairs.iter().map(PathBuf::as_path)))
    }

    fn build(&self, tree: &KernelTree, parts: &[OutObject], tools: &Tools) -> Result<OutObject> {
        let temporary;
        let folder = match &self.args.keep {
            Some(folder) => empty_folder(folder)?,
            None => {
                let usual = std::env::temp_dir();
                // Where make takes no such path for what it is, there is another place.
                let plain = check_path(&usual, "").is_ok();
                let place = if plain { usual } else { PathBuf::from("/tmp") };
                temporary = TempFolder::new("klp-diff-", Some(&place))
                    .map_err(|e| unwritable(&place, &e))?;
                temporary.path().to_owned()
            }
        };
        let started = Instant::now();
        self.say(&format!("building {}.ko for {}", self.name, tree.release()));
        write_sources(&folder, &self.name, parts, tools)?;
        let built = build(tree, &folder, &self.name, tools)?;
        for warning in &built.warnings {
            self.remark(warning);
        }
        self.say(&format!("built in {:.1} s", started.elapsed().as_secs_f64()));
        let image = Image::open(&built.path)?;
        let shown = built.path.display().to_string();
        let linked = Object::<Patched>::parse(&shown, image.bytes())?;
        OutObject::from_object(&linked).and_then(finish).map_err(|e| e.in_file(shown))
    }
}

/// Stands for an object that is not there, as in patches.
const NOTHING: &str = "/dev/null";

/// Fails on an object that objtool has seen, when the kernel's build runs objtool on the
/// module: it would find its own tables, and not make those of the module.
fn check_before_objtool(object: &Object<'_, Patched>) -> Result<()> {
    let Some(section) = objtool::mark(object) else { return Ok(()) };
    Err(Error::refused(
        Code::AfterObjtool,
        "objtool has seen the object, and this kernel's build runs it on the module",
    )
    .in_file(object.file())
    .in_section(section)
    .advise(
        "give the objects from before objtool: those that the compiler or ld.lld --lto-obj-path \
         wrote, or vmlinux.o as it was before the build ran objtool on it",
    ))
}

fn empty_folder(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
    let mut entries = std::fs::read_dir(folder).map_err(|e| unwritable(folder, &e))?;
    if entries.next().is_some() {
        return Err(Error::broken(Code::Unwritable, "the folder is not empty")
            .in_file(folder.display().to_string())
            .advise("give an empty folder, or one that does not exist yet"));
    }
    folder.canonicalize().map_err(|e| unwritable(folder, &e))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::broken(Code::Unwritable, format!("cannot use the folder: {error}"))
        .in_file(path.display().to_string())
}
