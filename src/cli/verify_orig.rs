//! `klp-diff verify-orig --image vmlinux ORIG...`: is the original build what runs?

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;
use foldhash::fast::RandomState;
use indexmap::IndexSet;
use rayon::prelude::*;

use super::wait::Bar;
use super::{Exit, fail, parse, wrong_usage};
use crate::build::originals::{Counts, Finding, look_at, summary};
use crate::diag::{Code, Result};
use crate::elf::image::Image;
use crate::folders::owners::object_name;
use crate::host::{print, use_threads};
use crate::report::progress::Count;
use crate::running::image::KernelImage;
use crate::running::installed::{VMLINUX, module_name};
use crate::running::symtab::ParentTable;

/// Compares original objects with the linked kernel that runs.
///
/// Every function must have the bytes it has in the image, and every reference must lead to
/// what it names; what the link and objtool write is taken into account.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "klp-diff verify-orig",
    bin_name = "klp-diff verify-orig",
    after_help = "Examples:\n\
                  \x20 klp-diff verify-orig --image vmlinux orig/mm/slub.o\n\
                  \x20 klp-diff verify-orig --image ext4=ext4.ko.xz -v orig/fs/ext4/\n\
                  \nExit status: 0 the objects are those of the image, 2 they are not, 1 it cannot be told, \
                  64 wrong command line."
)]
pub(super) struct Args {
    /// Linked kernel (vmlinux, also of a debug package) or module (NAME.ko); may be compressed, may be repeated
    #[arg(long, value_name = "[OBJ=]FILE", required = true)]
    image: Vec<String>,

    /// Also name the functions that the image does not have and those that BOLT rewrote
    #[arg(short, long)]
    verbose: bool,

    /// Threads to use; the result is the same on any number of them [default: one for each
    /// processor]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Objects of the original build; a folder stands for all .o files below it
    #[arg(value_name = "ORIG", required = true)]
    originals: Vec<PathBuf>,
}

/// An image as the command line names it.
pub(super) struct ImageArg {
    /// The object that the image is: vmlinux or the name of a module.
    pub object: String,
    /// Its file.
    pub path: PathBuf,
}

impl ImageArg {
    /// `[OBJ=]FILE`; without OBJ the file's name tells: `my-mod.ko.xz` is `my_mod`.
    pub fn parse(text: &str) -> std::result::Result<ImageArg, String> {
        if let Some((object, path)) = text.split_once('=')
            && !object.contains('/')
            && !Path::new(text).exists()
        {
            if object.is_empty() || path.is_empty() {
                return Err(format!("--image {text}: expected FILE or OBJ=FILE"));
            }
            let object = object_name(&format!("--image {text}"), object)?;
            return Ok(ImageArg { object, path: path.into() });
        }
        let path = PathBuf::from(text);
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // Whatever is not called as a module is, is the kernel.
        let object = match name.split_once(".ko") {
            Some((module, end)) if end.is_empty() || end.starts_with('.') => module_name(module),
            _ => VMLINUX.to_owned(),
        };
        Ok(ImageArg { object, path })
    }
}

pub(super) fn main(args: Vec<OsString>) -> Exit {
    let args: Args = match parse(&args) {
        Ok(args) => args,
        Err(exit) => return exit,
    };
    use_threads(args.jobs);
    let images: std::result::Result<Vec<ImageArg>, String> =
        args.image.iter().map(|text| ImageArg::parse(text)).collect();
    match images {
        Ok(images) => run(&args, &images).unwrap_or_else(|error| {
            fail(&error);
            Exit::Broken
        }),
        Err(usage) => wrong_usage(&usage),
    }
}

fn run(args: &Args, images: &[ImageArg]) -> Result<Exit> {
    let files: Vec<Image> =
        images.iter().map(|i| Image::open_unpacked(&i.path)).collect::<Result<_>>()?;
    let loaded = images.iter().zip(&files).map(|(arg, file)| load(&arg.path, file));
    let loaded: Vec<_> = loaded.collect::<Result<_>>()?;
    let originals = objects(&args.originals)?;
    let done = Count::default();
    let bar = Bar::count(originals.len() as u64, "objects", &done);
    let findings: Vec<Result<Finding>> = originals
        .par_iter()
        .map(|path| {
            let finding = look_at(path, &loaded);
            done.inc();
            finding
        })
        .collect();
    drop(bar);
    let mut described = Tally {
        strong: findings.iter().flatten().flat_map(|f| &f.strong).map(String::as_str).collect(),
        verbose: args.verbose,
        total: Counts::default(),
        differences: 0,
        unknown: 0,
        text: Vec::new(),
    };
    for (path, finding) in originals.iter().zip(&findings) {
        described.add(path, finding);
    }
    let Counts { same, rewritten, relaid, overridden, .. } = described.total;
    if described.differences + described.unknown == 0 && same + rewritten + relaid + overridden == 0
    {
        described.unknown += 1;
        let text = "Nothing was compared: what is given has no objects with functions";
        described.text.push(text.to_owned());
    }
    described.text.push(summary(originals.len(), &described.total));
    print::out_lines(&described.text);
    for file in &files {
        file.check_unchanged()?;
    }
    Ok(match (described.differences, described.unknown) {
        (0, 0) => Exit::Changed,
        (0, _) => Exit::Broken,
        _ => Exit::Refused,
    })
}

/// Reads an image with its symbols; says what is peculiar about it.
fn load<'a>(path: &Path, file: &'a Image) -> Result<(KernelImage<'a>, ParentTable<'a>)> {
    let image = KernelImage::parse(&path.display().to_string(), file.bytes())?;
    let table = image.table()?;
    if let Some(described) = &image.bolt {
        println_text(&format!("{}: rewritten by BOLT: {described}", path.display()));
    }
    if !image.elf.is_relocatable() {
        for (first, second) in table.overlapping() {
            let [first, second] = [first, second].map(|i| table.entries().name(i));
            println_text(&format!("{}: '{first}' reaches into '{second}'", path.display()));
        }
    }
    Ok((image, table))
}

/// What was found of all objects, summed up and in words.
struct Tally<'f> {
    /// Functions that some object defines, and not weakly.
    strong: IndexSet<&'f str, RandomState>,
    verbose: bool,
    total: Counts,
    differences: u64,
    /// What could not be told.
    unknown: u64,
    text: Vec<String>,
}

impl Tally<'_> {
    /// Adds what was found of one object.
    fn add(&mut self, path: &Path, finding: &Result<Finding>) {
        let shown = path.display();
        let finding = match finding {
            Ok(finding) => finding,
            Err(error) => {
                self.unknown += 1;
                fail(error);
                return;
            }
        };
        self.total.add(&finding.counts);
        for (_, difference) in &finding.differences {
            if self.differences == 0 {
                self.text.push("Your original build is not the running kernel:".to_owned());
            }
            self.differences += 1;
            self.text.push(format!("{shown}: {difference}"));
        }
        if let Some(why) = &finding.unknown {
            self.unknown += 1;
            self.text.push(format!("{shown}: {why}"));
        }
        for (name, difference) in &finding.overridden {
            if self.strong.contains(name.as_str()) {
                self.total.overridden += 1;
                if self.verbose {
                    self.text.push(format!("{shown}: '{name}' is weak and was overridden"));
                }
            } else if finding.rewritten_image {
                // Then it is the only definition, or so far as is known.
                self.total.rewritten += 1;
            } else {
                self.total.unclear += 1;
                self.unknown += 1;
                self.text.push(format!(
                    "{shown}: {difference}; was it overridden? Give the object that defines it, too"
                ));
            }
        }
        if self.verbose {
            self.text.extend(finding.notes.iter().map(|note| format!("{shown}: {note}")));
        }
    }
}

fn println_text(text: &str) {
    print::out(text);
}

/// The files that the arguments name, in order; those of folders sorted.
fn objects(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in given {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let mut folders = vec![path.clone()];
        let mut inside = Vec::new();
        while let Some(folder) = folders.pop() {
            let unreadable = |e: std::io::Error| {
                crate::diag::Error::broken(Code::Unreadable, format!("cannot list: {e}"))
                    .in_file(folder.display().to_string())
            };
            for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let kind = entry.file_type().map_err(unreadable)?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if entry.path().extension().is_some_and(|e| e == "o") {
                    inside.push(entry.path());
                }
            }
        }
        inside.sort();
        found.append(&mut inside);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_arguments() {
        let parse = |text| ImageArg::parse(text).map(|i| (i.object, i.path.display().to_string()));
        let ok = |object: &str, path: &str| Ok((object.to_owned(), path.to_owned()));
        assert_eq!(parse("vmlinux"), ok("vmlinux", "vmlinux"));
        assert_eq!(parse("a/my-mod.ko.xz"), ok("my_mod", "a/my-mod.ko.xz"));
        assert_eq!(parse("my-mod=x.ko"), ok("my_mod", "x.ko"));
        assert_eq!(parse("vmlinux-6.1.kosher"), ok("vmlinux", "vmlinux-6.1.kosher"));
        assert_eq!(parse("ext4=x/y=z"), ok("ext4", "x/y=z"));
        assert_eq!(parse("./a=b/vmlinux"), ok("vmlinux", "./a=b/vmlinux"));
        assert!(parse("=x").is_err());
        assert!(parse("a\tb=x").is_err() && parse("a.b=x").is_err());
    }
}
