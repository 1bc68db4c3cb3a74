//! `klp-diff ORIG.o PATCHED.o`.

use std::path::{Path, PathBuf};

use super::kernel::{Kernel, check_strict, is_folder};
use super::klp_build;
use super::output;
use super::show::Show;
use super::targets::KernelObjectArgs;
use super::wait::Bar;
use super::{Args, Exit, Flavor, fail};
use crate::diag::{Code, Error, Result};
use crate::diff::select::boot_code::BootCode;
use crate::elf::abi;
use crate::elf::ids::Patched;
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::elf::out::Model;
use crate::elf::publish::publish_proved;
use crate::folders::owners::Subject;
use crate::host::{files, use_threads};
use crate::kernel::knowledge::tables::{STRUCT_NAMES, StructSizes, parse_size};
use crate::patch::convert::of_draft;
use crate::report::progress::Progress;
use crate::report::{Report, json};
use crate::running::installed::VMLINUX;
use crate::{Job, Outcome, PatchContext, Run};

/// Compares one pair. The error is a mistake on the command line.
pub(super) fn run(args: &Args) -> std::result::Result<Exit, String> {
    let args = &match klp_build::with_defaults(args) {
        Ok(args) => args,
        Err(error) => return Ok(fail(&error)),
    };
    let described = args.symtab.is_some() || !(args.image.is_empty() && args.images.is_empty());
    if args.output.is_some() && !described {
        return Err("-o needs --image vmlinux, or --symtab FILE: make it with \
                    `readelf -s --wide vmlinux > FILE`"
            .into());
    }
    if !described {
        let given = [("--symvers", args.symvers.is_some()), ("--object", !args.object.is_empty())];
        if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
            return Err(format!("{option} has no effect without --image or --symtab"));
        }
    }
    args.report.check()?;
    let mut targets = KernelObjectArgs::of(args)?;
    let sizes = struct_sizes(&args.structs)?;
    use_threads(args.jobs);
    let found = targets.search(&args.images);
    // A report must not be written over an input.
    if let Err(error) = check_files(args, &targets) {
        return Ok(fail(found.as_ref().err().unwrap_or(&error)));
    }
    if let Err(error) = &found {
        return Ok(fail_with_report(args, error));
    }
    match (args.orig.is_dir(), args.patched.is_dir()) {
        (true, true) => return Ok(super::tree::run(args, &targets, &sizes)),
        (true, false) if args.patched.exists() => return Err(mixed(&args.orig, &args.patched)),
        (false, true) if args.orig.exists() => return Err(mixed(&args.patched, &args.orig)),
        (true, false) => return Ok(fail_with_report(args, &missing(&args.patched))),
        // What is not there is told when it is opened.
        _ => {}
    }
    let progress = Progress::default();
    let bar = Bar::steps(&progress);
    let run = diff(args, &targets, sizes, &progress);
    drop(bar);
    let Run { report, outcome } =
        run.unwrap_or_else(|error| Run::refused(error, args.report.wanted()));
    let mut result = match outcome {
        Outcome::Unchanged => Ok(Exit::Unchanged),
        Outcome::Changed { .. } => Ok(Exit::Changed),
        Outcome::Refused(error) => Err(error),
    };
    if args.report.expect_change && matches!(result, Ok(Exit::Unchanged)) {
        result = Err(output::nothing_changed());
    }
    let (orig, patched) = (args.orig.display().to_string(), args.patched.display().to_string());
    let show = Show::new(&args.report);
    show.pair(None, &patched, &report, result.as_ref().err());
    let missing = show.finish(result.is_ok());
    if show.lists() {
        output::summary(std::iter::once(&report), true);
    }
    let exit = match (&result, &missing) {
        (Err(error), _) | (Ok(_), Some(error)) => fail(error),
        (Ok(exit), None) => *exit,
    };
    let object = json::Object::new(&orig, &patched, &report, result.err().as_ref());
    Ok(output::write_reports(&args.report, vec![object], exit))
}

/// Fails before anything was compared.
fn fail_with_report(args: &Args, error: &Error) -> Exit {
    let [orig, patched] = [&args.orig, &args.patched].map(|path| path.display().to_string());
    let object = json::Object::new(&orig, &patched, &Report::default(), Some(error));
    output::write_reports(&args.report, vec![object], fail(error))
}

fn missing(path: &Path) -> Error {
    match path.metadata() {
        Err(error) => files::unreadable(path, &error),
        Ok(_) => {
            Error::broken(Code::Unreadable, "not a folder").in_file(path.display().to_string())
        }
    }
}

fn mixed(folder: &Path, file: &Path) -> String {
    let (folder, file) = (folder.display(), file.display());
    format!("{folder} is a folder and {file} is none: give two objects or two folders")
}

/// Fails when an output would destroy an input or another output.
fn check_files(args: &Args, targets: &KernelObjectArgs) -> Result<()> {
    let name = args.patched.file_name().filter(|_| !args.patched.is_dir());
    let output = args.output.as_deref().map(|output| match name {
        Some(name) if is_folder(output) => output.join(name),
        _ => output.to_owned(),
    });
    let outputs = output.as_deref().map(|output| ("-o", output)).into_iter();
    let inputs = [&args.orig, &args.patched].into_iter();
    let inputs = inputs.chain(targets.inputs());
    files::check_outputs(
        outputs.chain(args.report.outputs()),
        inputs.chain(&args.symvers).map(PathBuf::as_path),
    )
}

/// Fails on a linked file, which is probably meant for another option.
fn check_object(file: &Image) -> Result<()> {
    let bytes = file.bytes();
    let kind = match (bytes.get(5), bytes.get(16..18)) {
        (Some(1), Some(&[a, b])) => u16::from_le_bytes([a, b]),
        (_, Some(&[a, b])) => u16::from_be_bytes([a, b]),
        _ => abi::ET_REL,
    };
    if !abi::is_elf(bytes) || kind == abi::ET_REL {
        return Ok(());
    }
    let shown = file.path().display().to_string();
    let linked = Object::<Patched>::parse(&shown, bytes).map(drop);
    linked.map_err(|error| match error.code() {
        Code::LinkedFile => Error::broken(error.code(), error.message()).in_file(shown).advise(
            "give the objects (.o) that the compiler or ld -r wrote; the kernel that runs is given \
             with --image",
        ),
        _ => error,
    })
}

/// Sizes from the environment, overridden by those of the command line.
pub(super) fn struct_sizes(given: &[String]) -> std::result::Result<StructSizes, String> {
    let mut sizes: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .filter(|(k, _)| k.ends_with("_STRUCT_SIZE"))
        .collect();
    let inherited = sizes.len();
    for pair in given {
        let (name, size) =
            pair.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                format!("--struct {pair}: expected NAME=N, such as BUG_STRUCT_SIZE=12")
            })?;
        if !STRUCT_NAMES.contains(&name) {
            let known = STRUCT_NAMES.join(", ");
            return Err(format!("--struct {pair}: there is no such size; known are {known}"));
        }
        if parse_size(size).is_none() {
            return Err(format!("--struct {pair}: '{size}' is no size in bytes"));
        }
        if let Some((_, other)) = sizes.iter().skip(inherited).find(|(known, _)| known == name)
            && other != size
        {
            return Err(format!("--struct {name} is given twice, as {other} and as {size}"));
        }
        sizes.push((name.to_owned(), size.to_owned()));
    }
    Ok(StructSizes::new(sizes, true))
}

/// Compares the pair and writes its output.
fn diff(
    args: &Args,
    targets: &KernelObjectArgs,
    sizes: StructSizes,
    progress: &Progress,
) -> Result<Run<()>> {
    let orig = Image::open(&args.orig)?;
    let patched = Image::open(&args.patched)?;
    let names = [&orig, &patched].map(|i| i.path().display().to_string());
    let boot = if args.strict { BootCode::Refuse } else { BootCode::AsLinked };
    let inputs = [(&*names[0], orig.bytes()), (&*names[1], patched.bytes())];
    for file in [&orig, &patched] {
        check_object(file)?;
    }
    let subject = Subject {
        shown: names[1].clone(),
        paths: vec![&args.orig, &args.patched],
        orig: vec![(names[0].clone(), orig.bytes())],
        patched: vec![(names[1].clone(), patched.bytes())],
    };
    targets.check(subject.paths.iter().copied())?;
    let assigned = targets.assign(&[subject])?;
    let target = assigned.only()?;
    let kernel = Kernel::open(args, target)?;
    let read = kernel.read(args, sizes)?;
    read.check_allowed(args)?;
    check_strict(args, read.has_image(), [&orig, &patched].into_iter())?;
    let against = kernel.against(args, &read)?;
    let context = PatchContext {
        boot,
        module: target.object != VMLINUX,
        no_lift: args.no_lift,
        remade: args.flavor == Flavor::KlpBuild,
        ..PatchContext::default()
    };
    let job = Job {
        wanted: args.report.wanted(),
        progress: progress.clone(),
        ..against.job(inputs, context)
    };
    let unchanged = || {
        orig.check_unchanged()?;
        patched.check_unchanged()?;
        kernel.check_unchanged()
    };
    let mut run = crate::proved(&job, |draft, proof| {
        unchanged()?;
        let Some(path) = &args.output else { return Ok(()) };
        let model: Box<dyn Model> = match args.flavor {
            Flavor::Kpatch => Box::new(draft),
            Flavor::Klp | Flavor::KlpBuild => {
                let object = match args.flavor {
                    Flavor::KlpBuild => crate::patch::klp_build::of_draft(draft, &target.object),
                    _ => of_draft(draft),
                };
                Box::new(object.map_err(|e| e.in_file(&*names[1]))?)
            }
        };
        publish_proved(&output_path(path, &args.patched)?, &*model, proof)?;
        // The process ends next, which frees a large patch faster than piece by piece.
        std::mem::forget(model);
        Ok(())
    });
    run.outcome = match run.outcome {
        // What is wrong with the pair as a whole is told of the patched object.
        Outcome::Refused(error) => Outcome::Refused(error.in_file(&*names[1])),
        outcome @ (Outcome::Unchanged | Outcome::Changed { patch: None, .. }) => {
            unchanged().map_or_else(Outcome::Refused, |()| outcome)
        }
        outcome @ Outcome::Changed { .. } => outcome,
    };
    Ok(run)
}

/// `-o FOLDER` keeps the object's name.
fn output_path(output: &Path, patched: &Path) -> Result<PathBuf> {
    if !is_folder(output) {
        return Ok(output.to_owned());
    }
    std::fs::create_dir_all(output).map_err(|e| {
        Error::broken(Code::Unwritable, format!("cannot make the folder: {e}"))
            .in_file(output.display().to_string())
    })?;
    let name = patched.file_name().ok_or_else(|| {
        Error::broken(Code::Unwritable, "the patched object has no file name")
            .in_file(patched.display().to_string())
    })?;
    Ok(output.join(name))
}
