//! `klp-diff build`: from source patches to a livepatch module.

#![expect(clippy::indexing_slicing, reason = "members have the numbers they were given")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Parser, ValueEnum as _};

use super::args::ReportArgs;
use super::output::{nothing_changed, write_reports};
use super::pair::struct_sizes;
use super::verify_orig::ImageArg;
use super::wait::compare_all;
use super::{Exit, complain, fail, module, parse, wrong_usage};
use crate::build::config::Choice;
use crate::build::find::Given;
use crate::build::kbuild::Owner;
use crate::build::originals::referred;
use crate::build::session::{Different, Request, Touched};
use crate::build::steps::{self, Outcome, Ready, not_the_kernel};
use crate::diag::{Code, Error, Result};
use crate::elf::image::Image;
use crate::folders::builds::{self, Builds, CompareOptions};
use crate::folders::context::KernelContext;
use crate::folders::owners::object_and_path;
use crate::host::{print, use_threads};
use crate::report::explain::Wanted;
use crate::report::{Report, json};
use crate::running::installed::VMLINUX;
use crate::{Input, Job};

/// Builds a livepatch module from source patches.
///
/// Compiles what the patches touch without and with them, proves that the first is the kernel
/// that runs, compares, and builds a module from what changed. The source is only read.
#[derive(Debug, Parser)]
#[command(
    name = "klp-diff build",
    bin_name = "klp-diff build",
    after_help = "Examples:\n\
                  \x20 klp-diff build --source linux-source-6.12 -o fix.ko fix.patch\n\
                  \x20 klp-diff build --source linux/ --kernel linux/ --dry-run -o fix.ko fix.patch\n\
                  \nExit status: 0 module written, 1 a file cannot be read or written, or a compilation failed, \
                  2 the change cannot be applied or the source is not that of the kernel, 3 nothing changed, \
                  64 wrong command line. docs/build.md has examples."
)]
pub(super) struct Args {
    /// Patches for `patch -p1`, applied in this order
    #[arg(value_name = "PATCH", required = true)]
    patches: Vec<PathBuf>,

    /// Module to write
    #[arg(short, long, value_name = "NAME.ko", required_unless_present = "dry_run")]
    output: Option<PathBuf>,

    /// Source of the kernel that runs, configured or not
    #[arg(long, value_name = "FOLDER", required_unless_present = "module_source")]
    source: Option<PathBuf>,

    /// Source of modules outside of the kernel's, with their own Kbuild or Makefile, in place of that of
    /// the kernel: the patch is for it, and the modules that run are images
    #[arg(long, value_name = "FOLDER", conflicts_with = "source")]
    module_source: Option<PathBuf>,

    /// Its configuration [default: beside the image, /boot/config-RELEASE, or that in the image]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Prepared tree to build modules with [default: /lib/modules/RELEASE/build, or a source that was built in]
    #[arg(short, long, value_name = "FOLDER")]
    kernel: Option<PathBuf>,

    /// Release of an installed kernel, such as `uname -r` says [default: that of the image, of a source
    /// that was built in, or of this machine]
    #[arg(long, value_name = "RELEASE", conflicts_with = "kernel")]
    release: Option<String>,

    /// Linked kernel (vmlinux) that runs, or a module OBJ of it, also compressed or of a debug package;
    /// may be repeated [default: where distributions put them]
    #[arg(long, value_name = "[OBJ=]FILE")]
    image: Vec<String>,

    /// Folder with the linked kernel and its modules somewhere below; may be repeated
    #[arg(long, value_name = "FOLDER")]
    images: Vec<PathBuf>,

    /// The objects belong to module NAME, with PATH only those; may be repeated [default: as the Makefiles say]
    #[arg(long, value_name = "NAME[=PATH]")]
    object: Vec<String>,

    /// Work in this folder, which is kept for the next patch [default: below ~/.cache/klp-diff]
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,

    /// Processes and threads to use [default: one for each processor]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Compiler [default: the one that the kernel was built with]
    #[arg(long)]
    cc: Option<String>,

    /// Use clang and the tools of LLVM of this version
    #[arg(long, value_name = "-N", num_args = 0..=1, require_equals = true, default_missing_value = "",
          conflicts_with = "cc")]
    llvm: Option<String>,

    /// Keep what the module is built from, in this folder, which must be empty [default folder: module,
    /// in the work folder]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    keep: Option<OsString>,

    /// Say what would be built, and build nothing
    #[arg(long)]
    dry_run: bool,

    /// Ask the compiler about all objects that may include a header, however many they are
    #[arg(long)]
    all: bool,

    /// Let up to two lines at the ends of a hunk be other ones
    #[arg(long)]
    fuzz: bool,

    /// Let lines have other numbers behind an edit; functions that only use their number are left out then
    #[arg(long)]
    no_keep_lines: bool,

    /// Take FUNC although it is not in the image as it was compiled; may be repeated
    #[arg(long, value_name = "FUNC")]
    allow_different: Vec<String>,

    /// Name of the module [default: that of the output file]
    #[arg(long)]
    name: Option<String>,

    /// Replace all older livepatches
    #[arg(long)]
    replace: bool,

    /// Let the patch take the address of FUNC although the running kernel cannot call it
    /// through a pointer; may be repeated
    #[arg(long, value_name = "FUNC")]
    allow_sealed: Vec<String>,

    #[command(flatten)]
    report: ReportArgs,
}

/// Runs the verb.
pub(super) fn main(args: Vec<OsString>) -> Exit {
    let args = match parse::<Args>(&keep_argument(args)) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    use_threads(args.jobs);
    let started = Instant::now();
    let request = match request(&args) {
        Ok(request) => request,
        Err(usage) => return wrong_usage(&usage),
    };
    let mut objects = Vec::new();
    let exit = match run(&args, &request, &mut objects, started) {
        Ok(exit) => exit,
        Err(error) => {
            let patch = args.patches.first().map(|p| p.display().to_string()).unwrap_or_default();
            objects.push(json::Object::new("", &patch, &Report::default(), Some(&error)));
            fail(&error)
        }
    };
    match exit {
        Exit::Usage => exit,
        _ => write_reports(&args.report, objects, exit),
    }
}

/// `--keep FOLDER` is `--keep=FOLDER`, unless a patch follows.
fn keep_argument(args: Vec<OsString>) -> Vec<OsString> {
    let mut joined = Vec::with_capacity(args.len());
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        let folder = |next: &OsString| {
            !next.to_string_lossy().starts_with('-') && !Path::new(next).is_file()
        };
        match args.next_if(|next| arg == "--keep" && folder(next)) {
            Some(folder) => {
                let mut whole = OsString::from("--keep=");
                whole.push(folder);
                joined.push(whole);
            }
            None => joined.push(arg),
        }
    }
    joined
}

/// Understands the command line. The error is a mistake on it.
fn request(args: &Args) -> std::result::Result<Request, String> {
    let mut image = Vec::new();
    for given in &args.image {
        let ImageArg { object, path } = ImageArg::parse(given)?;
        if image.iter().any(|(known, _)| *known == object) {
            return Err(format!("several --image are that of {object}"));
        }
        image.push((object, path));
    }
    let objects = args.object.iter().map(|given| {
        let (name, path) = object_and_path(given)?;
        Ok::<_, String>((name, path.map(str::to_owned)))
    });
    let llvm = args.llvm.as_ref().map(|suffix| match suffix.parse::<u32>() {
        Ok(version) => format!("-{}", version),
        Err(_) => suffix.clone(),
    });
    let source = args.module_source.clone().or(args.source.clone()).unwrap_or_default();
    let work = match &args.work {
        Some(work) => work.clone(),
        None => usual_work(&source)?,
    };
    args.report.check()?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Request {
        patches: args.patches.clone(),
        given: Given {
            kernel: args.kernel.clone(),
            release: args.release.clone(),
            image,
            images: args.images.clone(),
            config: args.config.clone(),
            source,
        },
        outside: args.module_source.is_some(),
        objects: objects.collect::<std::result::Result<_, _>>()?,
        work,
        choice: Choice { cc: args.cc.clone(), llvm },
        jobs: args.jobs.map_or(jobs, usize::from),
        fuzz: args.fuzz,
        all: args.all,
        keep_lines: !args.no_keep_lines,
        dry_run: args.dry_run,
    })
}

/// The work folder of a source, where none is given.
fn usual_work(source: &Path) -> std::result::Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join("./.cache")));
    let cache = cache.ok_or("there is no home folder: give --work FOLDER")?;
    let source = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String =
        source.to_string_lossy().trim_start_matches('/').chars().map(plain).collect();
    Ok(cache.join("klp-diff").join(name))
}

fn run(
    args: &Args,
    request: &Request,
    objects: &mut Vec<json::Object>,
    started: Instant,
) -> Result<Exit> {
    let to_stderr = args.report.text_to_stderr();
    let say = |text: &str| match (args.report.explain.quiet, to_stderr) {
        (true, _) => {}
        (false, true) => complain(text),
        (false, false) => print::out(text),
    };
    let ready = match steps::run(request, &say)? {
        Outcome::Planned => return Ok(Exit::Changed),
        Outcome::Nothing if args.report.expect_change => return Err(nothing_changed()),
        Outcome::Nothing => {
            say("nothing changed");
            return Ok(Exit::Unchanged);
        }
        Outcome::Ready(ready) => ready,
    };
    check_different(args, &ready, &say)?;
    let output = args.output.as_deref().unwrap_or(Path::new(""));
    let (exit, described) = module::make(&module_arguments(args, request, &ready, output)?);
    let replaced = replaced(&ready, &described);
    objects.extend(described);
    if exit == Exit::Changed {
        let name = output.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name = args.name.clone().unwrap_or(name);
        replaced.iter().for_each(|line| say(line));
        say(&format!("verified against the running kernel's image: {}", ready.verified));
        let place = output.display();
        say(&format!(
            "load it: insmod {place}; take it back: echo 0 > /sys/kernel/livepatch/{0}/enabled, then rmmod {0}",
            name.replace('-', "_")
        ));
        say(&format!("all of it took {:.1} s", started.elapsed().as_secs_f64()));
    }
    Ok(exit)
}

/// What the module replaces, a line for each object.
fn replaced(ready: &Ready, described: &[json::Object]) -> Vec<String> {
    let mut lines = Vec::new();
    for object in described {
        let path = object.patched.strip_prefix(&*ready.patched.display().to_string());
        let path = path.unwrap_or(&object.patched).trim_start_matches('/');
        let owner = ready.objects.iter().find(|o| o.path == path).map(|o| &o.owner);
        let names = |status: &str| -> Vec<&str> {
            object
                .functions
                .iter()
                .filter(|f| f.status == status)
                .map(|f| f.name.as_str())
                .collect()
        };
        let (changed, new) = (names("changed"), names("new"));
        if changed.is_empty() && new.is_empty() {
            continue;
        }
        let owner = match owner {
            Some(Owner::Module(name)) => name,
            _ => "vmlinux",
        };
        let part = |what: &str, names: &[&str]| match names.is_empty() {
            true => None,
            false => Some(format!("{what} {}", names.join(", "))),
        };
        let parts = [part("replaces", &changed), part("adds", &new)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let line = format!("{owner}, {path}: {}", parts.join("; "));
        lines.push(line);
    }
    lines
}

/// Fails when the patch touches, or refers to, a function that is not as in the image.
fn check_different(args: &Args, ready: &Ready, say: &dyn Fn(&str)) -> Result<()> {
    let allowed = |d: &Different| args.allow_different.contains(&d.function);
    for name in &args.allow_different {
        let known = ready.different.iter().any(|d| d.function == *name);
        if !known && !args.report.explain.quiet {
            complain(&format!("note: --allow-different {name}: no such function differs"));
        }
    }
    let mut by_object: BTreeMap<&str, Vec<&Different>> = BTreeMap::new();
    for different in ready.different.iter().filter(|d| !allowed(d)) {
        by_object.entry(&different.path).or_default().push(different);
    }
    let linked = match ready.whole && !by_object.is_empty() {
        true => Some(Linked::compare(ready)?),
        false => None,
    };
    let mut wrong = Vec::new();
    for (path, here) in by_object {
        // Of all that differs, only what the patch has to do with counts.
        let known = ready.objects.iter().find(|o| o.path == path);
        let (names, referred) = match (known, &linked) {
            (Some(object), _) => involved(ready, object)?,
            (None, Some(linked)) => linked.involved(path)?,
            (None, None) => continue,
        };
        for different in here {
            let name = different.function.as_str();
            let touched = names.contains(name) || referred.contains(name) && !different.weak;
            match touched || name.is_empty() {
                true => wrong.push(format!("  {}", different.text)),
                false if different.weak => {}
                false => {
                    say(&format!("note: {}; the patch has nothing to do with it", different.text))
                }
            }
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(not_the_kernel(wrong, &ready.suspects)),
    }
}

/// Functions that a patch changes, and what these refer to.
type Involved = (BTreeSet<String>, BTreeSet<String>);

/// The same of an object that was compiled by itself.
fn involved(ready: &Ready, object: &Touched) -> Result<Involved> {
    let patched = ready.patched.join(&object.path);
    if !object.there[1] {
        return Ok(Involved::default());
    }
    let report = compare(&[ready.orig.join(&object.path), patched.clone()])?;
    let names: BTreeSet<String> = report.functions.into_iter().map(|f| f.name).collect();
    let referred = referred(&patched, &names)?;
    Ok((names, referred))
}

/// The objects of two links, paired.
struct Linked {
    builds: Builds,
    outcomes: Vec<builds::Outcome>,
}

impl Linked {
    fn compare(ready: &Ready) -> Result<Linked> {
        let mut builds = Builds::default();
        builds.add_folders(&ready.orig, &ready.patched)?;
        let sizes = struct_sizes(&[]).map_err(|e| Error::broken(Code::BadEnvironment, e))?;
        let wanted = Wanted::default();
        let options =
            CompareOptions { strict: false, no_lift: false, wanted: &wanted, remade: false };
        let against = |_: usize| KernelContext { parent: None, sizes: &sizes, module: false };
        // What is refused here is refused again when the module is made.
        let outcomes = compare_all(&builds, options, &against, None);
        Ok(Linked { builds, outcomes })
    }

    /// What the patch has to do with in the unit of an original.
    fn involved(&self, path: &str) -> Result<Involved> {
        let mut found = Involved::default();
        for (unit, outcome) in self.builds.units.iter().zip(&self.outcomes) {
            if !unit.orig.iter().any(|&i| self.builds.orig[i].path == path) {
                continue;
            }
            found.0.extend(outcome.report.functions.iter().map(|f| f.name.clone()));
            for &i in &unit.patched {
                found.1.extend(referred(self.builds.patched[i].image.path(), &found.0)?);
            }
        }
        Ok(found)
    }
}

/// What a pair is found to be by itself; what is refused here is refused again, with all that is known,
/// when the module is made.
fn compare(files: &[PathBuf; 2]) -> Result<Report> {
    let [orig, patched] = files;
    let names = [orig, patched].map(|p| p.display().to_string());
    let (orig, patched) = (Image::open(orig)?, Image::open(patched)?);
    let sizes = struct_sizes(&[]).map_err(|e| Error::broken(Code::BadEnvironment, e))?;
    let orig = Input { name: &names[0], data: orig.bytes() };
    let patched = Input { name: &names[1], data: patched.bytes() };
    let job = Job { sizes, ..Job::new(orig, patched) };
    Ok(crate::run(&job).report)
}

/// The command line of `klp-diff module` for what was compiled.
fn module_arguments(
    args: &Args,
    request: &Request,
    ready: &Ready,
    output: &Path,
) -> Result<Vec<OsString>> {
    let mut all: Vec<OsString> = vec!["klp-diff module".into()];
    let mut option = |name: &str, value: OsString| all.extend([OsString::from(name), value]);
    option("--kernel", ready.kernel.clone().into());
    option("--output", output.into());
    for (object, path) in &ready.images {
        let mut image = OsString::from(format!("{object}="));
        image.push(path);
        option("--image", image);
    }
    for object in &ready.objects {
        if let Owner::Module(name) = &object.owner {
            option("--object", format!("{name}={}", object.path).into());
        }
    }
    if ready.whole {
        option("--object", VMLINUX.into());
    }
    args.allow_sealed.iter().for_each(|value| option("--allow-sealed", value.into()));
    for (name, value) in [("--name", &args.name), ("--cc", &args.cc)] {
        value.iter().for_each(|value| option(name, value.into()));
    }
    if let Some(suffix) = &request.choice.llvm {
        option("--cc", format!("clang{suffix}").into());
    }
    args.report.outputs().for_each(|(name, path)| option(name, path.into()));
    args.report.explain.why.iter().for_each(|symbol| option("--why", symbol.into()));
    if let Some(color) = args.report.explain.color.to_possible_value() {
        option("--color", color.get_name().into());
    }
    if let Some(jobs) = args.jobs {
        option("--jobs", jobs.to_string().into());
    }
    match &args.keep {
        Some(folder) if folder.is_empty() => {
            option("--keep", ready.work.fresh("module")?.into());
        }
        folder => folder.iter().for_each(|folder| option("--keep", folder.into())),
    }
    let flags = [
        ("--replace", args.replace),
        ("--expect-change", args.report.expect_change),
        ("--explain-noise", args.report.explain_noise),
        ("--stat", args.report.explain.stat),
        ("--quiet", args.report.explain.quiet),
        ("--no-pager", args.report.explain.no_pager),
    ];
    all.extend(flags.iter().filter(|(_, given)| *given).map(|(name, _)| OsString::from(name)));
    all.extend(args.report.explain.explain.iter().map(|f| match f.is_empty() {
        true => OsString::from("--explain"),
        false => OsString::from(format!("--explain={f}")),
    }));
    all.extend([ready.orig.clone().into(), ready.patched.clone().into()]);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_takes_a_folder_and_no_patch() {
        let patch = tempfile::NamedTempFile::new().expect("file");
        let patch = patch.path().display().to_string();
        let joined = |args: &[&str]| -> Vec<String> {
            let args = keep_argument(args.iter().map(OsString::from).collect());
            args.into_iter().map(|a| a.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(joined(&["build", "--keep", &patch]), ["build", "--keep", &patch]);
        assert_eq!(joined(&["--keep", "x/y", &patch]), ["--keep=x/y", &patch]);
        assert_eq!(joined(&["--keep", "--all"]), ["--keep", "--all"]);
        assert_eq!(joined(&["--keep"]), ["--keep"]);
    }
}
