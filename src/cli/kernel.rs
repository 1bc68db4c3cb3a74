//! The kernel that pairs are compared against and built for, as the command line names it.

use std::borrow::Cow;
use std::path::Path;

use rayon::prelude::*;

use super::targets::KernelObject;
use super::verify_orig::ImageArg;
use super::{Args, Flavor};
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::Patched;
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::elf::out::OutObject;
use crate::folders::context::KernelContext;
use crate::kernel::knowledge::boot::runs_until;
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::tables::StructSizes;
use crate::patch::convert::{ConvertOptions, convert};
use crate::patch::klp_build::to_klp_build;
use crate::patch::sealed::Pointers;
use crate::running::image::KernelImage;
use crate::running::installed::VMLINUX;
use crate::running::symtab::as_text;
use crate::{Input, ParentFiles};

/// The files that describe what is patched.
pub(super) struct Kernel<'t> {
    target: &'t KernelObject,
    parent: Option<Image>,
    others: Vec<Image>,
    symvers: Option<Image>,
}

impl<'t> Kernel<'t> {
    /// Opens the files that the command line names.
    pub(super) fn open(args: &Args, target: &'t KernelObject) -> Result<Self> {
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
    pub(super) fn against<'k>(
        &'k self,
        args: &'k Args,
        read: &'k Read<'k>,
    ) -> Result<KernelContext<'k>> {
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
        Ok(KernelContext { parent, sizes: &read.sizes, module })
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
