//! `klp-diff ORIG.o PATCHED.o`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::klp_build;
use super::output;
use super::owners::Subject;
use super::show::Show;
use super::targets::{Target, Targets};
use super::verify_orig::ImageArg;
use super::wait::Bar;
use super::{Args, Exit, Flavor, fail};
use crate::diag::{Code, Error, Result};
use crate::diff::select::boot_code::BootCode;
use crate::elf::abi;
use crate::elf::ids::Patched;
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::elf::out::{Model, OutObject};
use crate::elf::publish::publish_proved;
use crate::host::{files, use_threads};
use crate::kernel::boot::runs_until;
use crate::kernel::names;
use crate::kernel::tables::{STRUCT_NAMES, StructSizes, parse_size};
use crate::patch::convert::{ConvertOptions, convert, of_draft};
use crate::patch::klp_build::to_klp_build;
use crate::patch::sealed::Pointers;
use crate::report::explain::Wanted;
use crate::report::progress::Progress;
use crate::report::{Report, json};
use crate::running::image::KernelImage;
use crate::running::installed::VMLINUX;
use crate::running::symtab::as_text;
use crate::{Among, Input, Job, Outcome, ParentFiles, Policy, Run};

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
    let mut targets = Targets::of(args)?;
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

/// Fails for `--strict` where it says nothing: no image is given, and nothing of the objects only runs at boot.
pub(super) fn check_strict<'f>(
    args: &Args,
    images: bool,
    mut objects: impl Iterator<Item = &'f Image>,
) -> Result<()> {
    let of_boot = |file: &Image| {
        let shown = file.path().display().to_string();
        let Ok(object) = Object::<Patched>::parse(&shown, file.bytes()) else { return true };
        object.sections().any(|id| runs_until(object.section_name(id), false).is_some())
    };
    if !args.strict || images || objects.any(of_boot) {
        return Ok(());
    }
    let what = "--strict has no effect without --image: no object has code that only runs at boot";
    Err(Error::broken(Code::NoEffect, what)
        .in_file(args.patched.display().to_string())
        .advise("give the linked kernel that the functions must be in, or take the option out"))
}

/// Fails when an output would destroy an input or another output.
fn check_files(args: &Args, targets: &Targets) -> Result<()> {
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
    targets: &Targets,
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
    let among = Among {
        boot,
        module: target.object != VMLINUX,
        no_lift: args.no_lift,
        remade: args.flavor == Flavor::KlpBuild,
        ..Among::default()
    };
    let job = Job {
        wanted: args.report.wanted(),
        progress: progress.clone(),
        ..against.job(inputs, among)
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

/// The files that describe what is patched.
pub(super) struct Kernel<'t> {
    target: &'t Target,
    parent: Option<Image>,
    others: Vec<Image>,
    symvers: Option<Image>,
}

impl<'t> Kernel<'t> {
    /// Opens the files that the command line names.
    pub(super) fn open(args: &Args, target: &'t Target) -> Result<Self> {
        Ok(Kernel {
            target,
            parent: target.file.as_deref().map(Image::open_unpacked).transpose()?,
            others: target
                .others
                .par_iter()
                .map(|other| Image::open_unpacked(&other.path))
                .collect::<Result<_>>()?,
            symvers: args.symvers.as_deref().map(Image::open_any).transpose()?,
        })
    }

    /// Reads the images among the files, and takes the sizes of structs from that of the
    /// parent.
    pub(super) fn read<'k>(&'k self, args: &Args, sizes: StructSizes) -> Result<Read<'k>> {
        let others = self.parse_others()?;
        let image = self.image(args, &others)?;
        let sizes = match &image {
            Some(image) => sizes.with_image(image.struct_sizes()?),
            None => sizes,
        };
        let shown = |path: Option<&Path>| path.map(|p| p.display().to_string()).unwrap_or_default();
        Ok(Read {
            others,
            image,
            sizes,
            names: [self.target.file.as_deref(), args.symvers.as_deref()].map(shown),
            symvers: self.symvers.as_ref().map(Image::text).unwrap_or_default(),
        })
    }

    /// What pairs are compared against.
    pub(super) fn against<'k>(&'k self, args: &'k Args, read: &'k Read<'k>) -> Result<Against<'k>> {
        let vmlinux = read.others.iter().find(|(arg, _)| arg.object == "vmlinux");
        let [name, symvers] = &read.names;
        let shared = Shared {
            strict: args.strict,
            allowed: &args.allow_sealed,
            kernel: vmlinux.map(|(_, image)| image),
            symvers: Input { name: symvers, data: &read.symvers },
        };
        let files = |file| shared.files((&self.target.object, name), file, read.image.as_ref());
        let parent = self.parent.as_ref().map(files).transpose()?;
        let module = self.target.object != VMLINUX;
        Ok(Against { parent, sizes: &read.sizes, module })
    }

    /// Fails when a file was changed meanwhile.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        self.parent.iter().chain(&self.others).try_for_each(Image::check_unchanged)
    }

    fn image<'s>(
        &'s self,
        args: &Args,
        others: &[(&ImageArg, KernelImage<'s>)],
    ) -> Result<Option<KernelImage<'s>>> {
        // An image may also be given as text, such as a System.map, but not a --symtab as ELF.
        let is_elf = |file: &&Image| args.symtab.is_none() && abi::is_elf(file.bytes());
        let Some(file) = self.parent.as_ref().filter(is_elf) else { return Ok(None) };
        let image = KernelImage::parse(&file.path().display().to_string(), file.bytes())?;
        with_others(image, others).map(Some)
    }

    fn parse_others<'s>(&'s self) -> Result<Vec<(&'s ImageArg, KernelImage<'s>)>> {
        let files: Vec<(&ImageArg, &Image)> = self.target.others.iter().zip(&self.others).collect();
        let parse = |&(arg, file): &(&'s ImageArg, &'s Image)| {
            let shown = arg.path.display().to_string();
            KernelImage::parse(&shown, file.bytes()).map(|parsed| (arg, parsed))
        };
        files.par_iter().map(parse).collect()
    }
}

/// What the descriptions of all kernel objects that a patch is for have in common.
#[derive(Clone, Copy)]
pub(super) struct Shared<'k> {
    /// `--strict`.
    pub(super) strict: bool,
    /// `--allow-sealed`.
    pub(super) allowed: &'k [String],
    /// The image of vmlinux, when it is not what is patched.
    pub(super) kernel: Option<&'k KernelImage<'k>>,
    /// Module.symvers; may be empty.
    pub(super) symvers: Input<'k, &'k str>,
}

impl<'k> Shared<'k> {
    /// The description of a kernel object: its name, the name of the file that describes it,
    /// that file, and the image that this is, if it is one.
    pub(super) fn files(
        &self,
        (object, shown): (&'k str, &'k str),
        file: &'k Image,
        image: Option<&'k KernelImage<'k>>,
    ) -> Result<ParentFiles<'k>> {
        let symtab = match image {
            Some(_) => "",
            None => as_text(shown, file.bytes())?,
        };
        Ok(ParentFiles {
            name: object,
            symtab: Input { name: shown, data: symtab },
            symvers: self.symvers,
            image,
            strict: self.strict,
            pointers: Pointers { allowed: self.allowed, kernel: self.kernel },
            known: None,
        })
    }
}

/// What was read of the files that describe what is patched.
pub(super) struct Read<'k> {
    others: Vec<(&'k ImageArg, KernelImage<'k>)>,
    image: Option<KernelImage<'k>>,
    sizes: StructSizes,
    /// Of the parent's file and of Module.symvers.
    names: [String; 2],
    symvers: Cow<'k, str>,
}

impl Read<'_> {
    /// Whether what runs is known by its code, and not only by its symbols.
    pub(super) fn has_image(&self) -> bool {
        self.image.is_some()
    }

    /// Fails when `--allow-sealed` names what no image has.
    pub(super) fn check_allowed(&self, args: &Args) -> Result<()> {
        let images = self.image.iter().chain(self.others.iter().map(|(_, image)| image));
        check_allowed(&args.allow_sealed, images)
    }
}

/// Fails when one of the functions that `--allow-sealed` names is in none of the images.
pub(super) fn check_allowed<'k>(
    allowed: &[String],
    images: impl Iterator<Item = &'k KernelImage<'k>>,
) -> Result<()> {
    if allowed.is_empty() {
        return Ok(());
    }
    let tables = images.map(KernelImage::table).collect::<Result<Vec<_>>>()?;
    for name in allowed {
        let known = tables.iter().any(|table| {
            let entries = table.entries();
            (0..entries.len()).any(|i| names::same(entries.name(i as u32), name))
        });
        if !known {
            let what = format!("--allow-sealed {name}: no image has a function of this name");
            return Err(Error::broken(Code::NoEffect, what)
                .advise("give the name of a function that the patch takes the address of"));
        }
    }
    Ok(())
}

/// What pairs are compared against.
#[derive(Clone, Copy)]
pub(super) struct Against<'k> {
    /// Without it nothing is built.
    pub(super) parent: Option<ParentFiles<'k>>,
    pub(super) sizes: &'k StructSizes,
    /// It is a module.
    pub(super) module: bool,
}

impl Against<'_> {
    /// Compares a pair, names and contents, and builds its output in kpatch's flavour.
    pub(super) fn compare(
        &self,
        inputs: [(&str, &[u8]); 2],
        among: Among<'_>,
        wanted: &Wanted,
    ) -> Run {
        let among = Among { module: self.module, ..among };
        crate::run(&Job { wanted: wanted.clone(), ..self.job(inputs, among) })
    }

    /// What is compared, names and contents, and what to build the output against.
    fn job<'j>(&'j self, [orig, patched]: [(&'j str, &'j [u8]); 2], among: Among<'j>) -> Job<'j> {
        Job {
            orig: Input { name: orig.0, data: orig.1 },
            patched: Input { name: patched.0, data: patched.1 },
            parent: self.parent,
            sizes: self.sizes.clone(),
            policy: Policy::NATIVE,
            klp_arch: false,
            among,
            wanted: Default::default(),
            progress: Default::default(),
        }
    }
}

/// Adds the other images.
fn with_others<'i>(
    mut image: KernelImage<'i>,
    others: &[(&ImageArg, KernelImage<'i>)],
) -> Result<KernelImage<'i>> {
    for (arg, other) in others {
        image.add_neighbour(&arg.object, other)?;
    }
    Ok(image)
}

/// An output in the form asked for. `parent` is what is patched.
pub(super) fn in_flavor(object: OutObject, flavor: Flavor, parent: &str) -> Result<OutObject> {
    match flavor {
        Flavor::KlpBuild => to_klp_build(object, parent),
        Flavor::Kpatch => Ok(object),
        Flavor::Klp => convert(object, &ConvertOptions { klp_arch_sections: false }, None),
    }
}

/// Whether `-o` names a folder.
pub(super) fn is_folder(output: &Path) -> bool {
    output.is_dir() || output.to_string_lossy().ends_with('/')
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
