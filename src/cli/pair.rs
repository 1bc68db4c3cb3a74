//! `klp-diff ORIG.o PATCHED.o`.

use std::io::Write;
use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use indexmap::IndexSet;
use rayon::prelude::*;

use super::verify_orig::ImageArg;
use super::wait::{Bar, use_threads};
use super::{Args, Exit, Flavor, complain, fail};
use crate::elf::image::Image;
use crate::elf::out::OutObject;
use crate::elf::publish::publish;
use crate::error::{Error, Result};
use crate::kernel::image::KernelImage;
use crate::kernel::symtab::as_text;
use crate::kernel::tables::StructSizes;
use crate::patch::convert::{ConvertOptions, convert};
use crate::report::Report;
use crate::report::json::Document;
use crate::{Input, Job, ParentFiles};

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
    let mut report = Report {
        explain_noise: args.json.is_some() || args.explain_noise || args.expect_change,
        ..Report::default()
    };
    let bar = Bar::steps(&report.progress);
    let mut result = diff(args, &target, sizes, &mut report);
    drop(bar);
    if args.expect_change && matches!(result, Ok(Exit::Unchanged)) {
        result = Err(Error::refused("nothing-changed", "nothing changed, but a change was expected")
            .advise("either the change is not compiled into this object, or all of its differences were judged noise (--explain-noise lists them)"));
    }
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    print(&report, to_stdout);
    if args.explain_noise {
        for noise in &report.ignored {
            complain(&format!(
                "noise: section {}: {} bytes differ: {} ({})",
                noise.section, noise.bytes, noise.rule, noise.reason
            ));
        }
    }
    let exit = match &result {
        Ok(exit) => *exit,
        Err(error) => fail(error),
    };
    match &args.json {
        Some(path) => Ok(json(args, path, &report, result.err().as_ref(), exit)),
        None => Ok(exit),
    }
}

/// Writes the report for programs; that it cannot be written is an error of its own.
fn json(args: &Args, path: &Path, report: &Report, error: Option<&Error>, exit: Exit) -> Exit {
    let (orig, patched) = (args.orig.display().to_string(), args.patched.display().to_string());
    let document = Document::new(&orig, &patched, report, error, exit as i32);
    let written = document.text().and_then(|text| {
        let done = match path == Path::new("-") {
            true => std::io::stdout().write_all(text.as_bytes()),
            false => std::fs::write(path, text),
        };
        done.map_err(|e| {
            Error::broken("unwritable", format!("cannot write the report: {e}"))
                .in_file(path.display().to_string())
        })
    });
    match written {
        Ok(()) => exit,
        Err(error) => fail(&error),
    }
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

pub(super) fn print(report: &Report, to_stderr: bool) {
    let mut text = String::new();
    for function in &report.functions {
        text += &function.line();
        text.push('\n');
        if let Some(reason) = function.reasons.first() {
            text += &format!("  {reason}\n");
        }
    }
    let _ = if to_stderr {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        std::io::stdout().write_all(text.as_bytes())
    };
    for line in
        report.warnings.iter().map(Error::message).chain(report.messages.iter().map(|m| &**m))
    {
        complain(line);
    }
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
    let output = kernel.compare(args, [&orig, &patched], &sizes, report)?;
    if let (Some(path), Some(object)) = (&args.output, output) {
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

    /// Compares a pair and builds its output, in the flavour asked for.
    pub(super) fn compare(
        &self,
        args: &Args,
        [orig, patched]: [&Image; 2],
        sizes: &StructSizes,
        report: &mut Report,
    ) -> Result<Option<OutObject>> {
        let shown = |path: &Path| path.display().to_string();
        let (orig_name, patched_name) = (shown(orig.path()), shown(patched.path()));
        let parent_name = self.target.file.as_deref().map(shown).unwrap_or_default();
        let symvers_name = args.symvers.as_deref().map(shown).unwrap_or_default();
        let symvers_text = self.symvers.as_ref().map(|i| i.text()).unwrap_or_default();
        // An image may also be given as text, such as a System.map, but not a --symtab as ELF.
        let is_elf = |file: &Image| args.symtab.is_none() && file.bytes().starts_with(b"\x7fELF");
        let image = self.parent.as_ref().filter(|file| is_elf(file));
        let image = image.map(|file| KernelImage::parse(&parent_name, file.bytes())).transpose()?;
        let image = image.map(|image| self.with_others(image)).transpose()?;
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
        });
        let job = Job {
            orig: Input { name: &orig_name, data: orig.bytes() },
            patched: Input { name: &patched_name, data: patched.bytes() },
            parent,
            sizes,
            drop_in: false,
            klp_arch: false,
        };
        let output = crate::run(&job, report)?;
        let files = [Some(orig), Some(patched), self.parent.as_ref()].into_iter().flatten();
        for file in files.chain(&self.others) {
            file.check_unchanged()?;
        }
        let flavored = output.map(|object| in_flavor(object, args.flavor));
        flavored.transpose().map_err(|e| e.in_file(&*patched_name))
    }
}

impl<'t> Kernel<'t> {
    /// Adds the other images.
    fn with_others<'i>(&'i self, mut image: KernelImage<'i>) -> Result<KernelImage<'i>> {
        let files: Vec<(&ImageArg, &Image)> = self.target.others.iter().zip(&self.others).collect();
        let parse = |&(arg, file): &(&'i ImageArg, &'i Image)| {
            let shown = arg.path.display().to_string();
            KernelImage::parse(&shown, file.bytes()).map(|parsed| (arg, parsed))
        };
        let others: Vec<_> = files.par_iter().map(parse).collect::<Result<_>>()?;
        for (arg, other) in &others {
            image.add_neighbour(&arg.object, other)?;
        }
        Ok(image)
    }
}

fn in_flavor(object: OutObject, flavor: Flavor) -> Result<OutObject> {
    match flavor {
        Flavor::Kpatch => Ok(object),
        Flavor::Klp => convert(object, &ConvertOptions { klp_arch_sections: false }, None),
    }
}

/// `-o FOLDER` keeps the object's name.
fn output_path(output: &Path, patched: &Path) -> Result<PathBuf> {
    let folder = output.is_dir() || output.to_string_lossy().ends_with('/');
    if !folder {
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
