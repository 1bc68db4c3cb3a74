//! `klp-diff ORIG.o PATCHED.o`.

use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use indexmap::IndexSet;
use rayon::prelude::*;

use super::output::{self, print};
use super::verify_orig::ImageArg;
use super::wait::{Bar, use_threads};
use super::{Args, Exit, Flavor, fail};
use crate::diff::check::BootCode;
use crate::elf::image::Image;
use crate::elf::out::OutObject;
use crate::elf::publish::publish;
use crate::error::{Error, Result};
use crate::kernel::image::KernelImage;
use crate::kernel::symtab::as_text;
use crate::kernel::tables::StructSizes;
use crate::patch::convert::{ConvertOptions, convert};
use crate::patch::sealed::Pointers;
use crate::report::Report;
use crate::report::json;
use crate::{Among, Input, Job, ParentFiles};

/// Compares one pair. The error is a mistake on the command line.
pub(super) fn run(args: &Args) -> std::result::Result<Exit, String> {
    if args.output.is_some() && args.symtab.is_none() && args.image.is_empty() {
        return Err("-o needs --image vmlinux, or --symtab FILE: make it with \
                    `readelf -s --wide vmlinux > FILE`"
            .into());
    }
    let target = Target::of(args)?;
    let sizes = struct_sizes(&args.structs)?;
    use_threads(args.jobs);
    match (args.orig.is_dir(), args.patched.is_dir()) {
        (true, true) => return Ok(super::tree::run(args, &target, &sizes)),
        (false, false) => {}
        _ => return Err("give two objects or two folders".into()),
    }
    let mut report = Report { explain_noise: output::explains_noise(args), ..Report::default() };
    let bar = Bar::steps(&report.progress);
    let mut result = diff(args, &target, sizes, &mut report);
    drop(bar);
    if args.expect_change && matches!(result, Ok(Exit::Unchanged)) {
        result = Err(output::nothing_changed());
    }
    print(&report, output::text_to_stderr(args));
    if args.explain_noise {
        output::explain_noise(&report);
    }
    let exit = match &result {
        Ok(exit) => *exit,
        Err(error) => fail(error),
    };
    let (orig, patched) = (args.orig.display().to_string(), args.patched.display().to_string());
    let object = json::Object::new(&orig, &patched, &report, result.err().as_ref());
    Ok(output::write_json(args, vec![object], exit))
}

/// Sizes from the environment, overridden by those of the command line.
pub(super) fn struct_sizes(given: &[String]) -> std::result::Result<StructSizes, String> {
    let mut sizes: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .filter(|(k, _)| k.ends_with("_STRUCT_SIZE"))
        .collect();
    for pair in given {
        let (name, size) =
            pair.split_once('=').filter(|(name, _)| name.ends_with("_STRUCT_SIZE")).ok_or_else(
                || format!("--struct {pair}: expected NAME=N, such as BUG_STRUCT_SIZE=12"),
            )?;
        sizes.push((name.to_owned(), size.to_owned()));
    }
    Ok(StructSizes::new(sizes, true))
}

/// What is patched, and the file that describes it.
pub(super) struct Target {
    object: String,
    file: Option<PathBuf>,
    /// Images of other objects of the same kernel.
    others: Vec<ImageArg>,
}

impl Target {
    fn of(args: &Args) -> std::result::Result<Target, String> {
        let mut images: Vec<ImageArg> = args
            .image
            .iter()
            .map(|text| ImageArg::parse(text))
            .collect::<std::result::Result<_, _>>()?;
        let object = match (&args.object, &images[..]) {
            (Some(object), _) => object.clone(),
            (None, [only]) => only.object.clone(),
            (None, _) => "vmlinux".to_owned(),
        };
        if args.symtab.is_some() {
            return match images.first() {
                None => Ok(Target { object, file: args.symtab.clone(), others: Vec::new() }),
                Some(_) => Err("--symtab and --image exclude each other".into()),
            };
        }
        let mut seen: IndexSet<&str, RandomState> = IndexSet::default();
        if let Some(twice) = images.iter().find(|image| !seen.insert(&image.object)) {
            return Err(format!("several --image are that of {}", twice.object));
        }
        match images.iter().position(|image| image.object == object) {
            Some(at) => {
                let file = Some(images.swap_remove(at).path);
                Ok(Target { object, file, others: images })
            }
            None if images.is_empty() => Ok(Target { object, file: None, others: images }),
            None => Err(format!("no --image is that of --object {object}: write {object}=FILE")),
        }
    }
}

fn diff(args: &Args, target: &Target, sizes: StructSizes, report: &mut Report) -> Result<Exit> {
    let kernel = Kernel::open(args, target)?;
    let orig = Image::open(&args.orig)?;
    let patched = Image::open(&args.patched)?;
    let names = [&orig, &patched].map(|i| i.path().display().to_string());
    let boot = if args.strict { BootCode::Refuse } else { BootCode::AsLinked };
    let inputs = [(&*names[0], orig.bytes()), (&*names[1], patched.bytes())];
    let output = kernel.compare(args, inputs, &sizes, Among { boot, peers: None }, report)?;
    for file in [&orig, &patched] {
        file.check_unchanged()?;
    }
    if let (Some(path), Some(object)) = (&args.output, output) {
        let object = in_flavor(object, args.flavor).map_err(|e| e.in_file(&*names[1]))?;
        publish(&output_path(path, &args.patched)?, &object)?;
    }
    Ok(if report.is_changed() { Exit::Changed } else { Exit::Unchanged })
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

    /// Compares a pair, names and contents, and builds its output in kpatch's flavour.
    pub(super) fn compare(
        &self,
        args: &Args,
        [orig, patched]: [(&str, &[u8]); 2],
        sizes: &StructSizes,
        among: Among<'_>,
        report: &mut Report,
    ) -> Result<Option<OutObject>> {
        let shown = |path: &Path| path.display().to_string();
        let parent_name = self.target.file.as_deref().map(shown).unwrap_or_default();
        let symvers_name = args.symvers.as_deref().map(shown).unwrap_or_default();
        let symvers_text = self.symvers.as_ref().map(|i| i.text()).unwrap_or_default();
        // An image may also be given as text, such as a System.map, but not a --symtab as ELF.
        let is_elf = |file: &Image| args.symtab.is_none() && file.bytes().starts_with(b"\x7fELF");
        let image = self.parent.as_ref().filter(|file| is_elf(file));
        let image = image.map(|file| KernelImage::parse(&parent_name, file.bytes())).transpose()?;
        let others = self.parse_others()?;
        let image = image.map(|image| with_others(image, &others)).transpose()?;
        let kernel = others.iter().find(|(arg, _)| arg.object == "vmlinux").map(|(_, image)| image);
        let sizes = match &image {
            Some(image) => sizes.clone().with_image(image.struct_sizes()?),
            None => sizes.clone(),
        };
        let text = match &self.parent {
            Some(file) if image.is_none() => as_text(&parent_name, file.bytes())?,
            _ => "",
        };
        let parent = self.parent.as_ref().map(|_| ParentFiles {
            name: &self.target.object,
            symtab: Input { name: &parent_name, data: text },
            symvers: Input { name: &symvers_name, data: &symvers_text },
            image: image.as_ref(),
            strict: args.strict,
            pointers: Pointers { allowed: &args.allow_sealed, kernel },
        });
        let job = Job {
            orig: Input { name: orig.0, data: orig.1 },
            patched: Input { name: patched.0, data: patched.1 },
            parent,
            sizes,
            drop_in: false,
            klp_arch: false,
            among,
        };
        let output = crate::run(&job, report)?;
        for file in self.parent.iter().chain(&self.others) {
            file.check_unchanged()?;
        }
        Ok(output)
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

/// An output in the form asked for.
pub(super) fn in_flavor(object: OutObject, flavor: Flavor) -> Result<OutObject> {
    match flavor {
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
        Error::broken("unwritable", format!("cannot make the folder: {e}"))
            .in_file(output.display().to_string())
    })?;
    let name = patched.file_name().ok_or_else(|| {
        Error::broken("unwritable", "the patched object has no file name")
            .in_file(patched.display().to_string())
    })?;
    Ok(output.join(name))
}
