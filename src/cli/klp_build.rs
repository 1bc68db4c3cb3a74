//! `--flavor klp-build` without a description of the kernel: the files lie where the kernel's
//! klp-build puts them.
//!
//! It runs its tool in the folder of the original objects: `vmlinux.o` has the linked `vmlinux`
//! beside it, a module's object lists the symbols that the module will have, and Module.symvers
//! is above.

use std::path::{Path, PathBuf};

use super::{Args, Flavor};
use crate::diag::{Code, Error, Result};
use crate::elf::ids::Orig;
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::kernel::knowledge::sections;

/// The arguments, with what is not given and lies where it belongs.
pub(super) fn with_defaults(args: &Args) -> Result<Args> {
    let mut args = args.clone();
    let given = args.symtab.is_some() || !args.image.is_empty() || !args.images.is_empty();
    if args.flavor != Flavor::KlpBuild || given || args.orig.is_dir() {
        return Ok(args);
    }
    let is_kernel = args.orig.file_name().is_some_and(|name| name == "vmlinux.o");
    let (object, file) = if is_kernel {
        let linked = args.orig.with_file_name("vmlinux");
        if !linked.exists() {
            return Err(no_image(&args.orig, "there is no vmlinux beside it"));
        }
        ("vmlinux".to_owned(), linked)
    } else {
        (module(&args.orig)?, args.orig.clone())
    };
    let named = args.object.iter().find(|object| !object.contains('='));
    let object = named.cloned().unwrap_or(object);
    args.image = vec![format!("{object}={}", file.display())];
    args.symvers = args.symvers.or_else(symvers);
    Ok(args)
}

fn no_image(orig: &Path, why: &str) -> Error {
    Error::broken(
        Code::UnknownObject,
        format!("it is unknown which kernel object is patched: {why}"),
    )
    .in_file(orig.display().to_string())
    .advise("give the linked kernel or module that runs with --image, and its name with --object")
}

/// The name of the module that an object is, as its `.modinfo` or its file says. Code of the
/// kernel itself has each text of `.modinfo` under a module's name (include/linux/moduleparam.h).
fn module(path: &Path) -> Result<String> {
    let image = Image::open(path)?;
    let shown = path.display().to_string();
    let object = Object::<Orig>::parse(&shown, image.bytes())?;
    let is_info = |&s: &_| object.section_name(s) == sections::MODINFO;
    let sections = object.sections().filter(is_info);
    let texts = sections.flat_map(|s| object.contents(s).split(|&b| b == 0));
    let mut is_module = false;
    for text in texts {
        if let Some(name) = text.strip_prefix(b"name=".as_slice()) {
            return Ok(String::from_utf8_lossy(name).into_owned());
        }
        is_module |= text.starts_with(b"license=");
    }
    let name = path.file_stem().map(|stem| stem.to_string_lossy().replace('-', "_"));
    let name = name.filter(|_| is_module);
    name.ok_or_else(|| no_image(path, "it is neither vmlinux.o nor the object of a module"))
}

/// Module.symvers in the current folder, or above it.
fn symvers() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join("Module.symvers")).find(|path| path.is_file())
}
