//! The kernel that is patched and what belongs to it: what the command line names, and else what is
//! in a built tree or installed.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::config;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::image::Image;
use crate::kernel::knowledge::tree;
use crate::patch::module::tree::KernelTree;
use crate::running::image::KernelImage;
use crate::running::installed::{Installed, Linkage, VMLINUX, linked_files, release_of};

/// What the user gave.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--kernel`
    pub kernel: Option<PathBuf>,
    /// `--release`
    pub release: Option<String>,
    /// `--image`, with the object that each is.
    pub image: Vec<(String, PathBuf)>,
    /// `--images`
    pub images: Vec<PathBuf>,
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--source`
    pub source: PathBuf,
}

/// The kernel that is patched.
#[derive(Debug)]
pub struct Found {
    /// What `uname -r` says there.
    pub release: String,
    /// Tree that modules are built with.
    pub kernel: PathBuf,
    /// Linked kernel with symbols.
    pub vmlinux: PathBuf,
    /// Text of its configuration.
    pub config: String,
    /// Where that is from.
    pub config_from: String,
    /// Images of modules, by name: those given first.
    modules: BTreeMap<String, Vec<PathBuf>>,
}

/// Finds all of it.
pub fn find(given: &Given) -> Result<Found> {
    let named = named_vmlinux(given)?;
    let installed = installed(given, named.as_deref())?;
    let vmlinux = match named {
        Some(path) => path,
        None => vmlinux(&installed)?,
    };
    let file = Image::open_unpacked(&vmlinux)?;
    let image = KernelImage::parse(&vmlinux.display().to_string(), file.bytes())?;
    let release = image.release().unwrap_or(&installed.release).to_owned();
    let kernel = KernelTree::open(installed.tree()?)?.path().to_owned();
    let (config, config_from) = configuration(given, &vmlinux, &installed, file.bytes())?;
    let mut modules: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (object, path) in given.image.iter().filter(|(object, _)| object != VMLINUX) {
        modules.entry(object.clone()).or_default().push(path.clone());
    }
    let mut linked = Vec::new();
    for folder in &given.images {
        linked.extend(linked_files(folder)?);
    }
    if given.images.is_empty() {
        linked = installed.modules;
    }
    for Linkage { object, path } in linked.into_iter().filter(|file| file.object != VMLINUX) {
        modules.entry(object).or_default().push(path);
    }
    Ok(Found { release, kernel, vmlinux, config, config_from, modules })
}

/// The linked kernel that the command line names, or the folder that it is in.
fn named_vmlinux(given: &Given) -> Result<Option<PathBuf>> {
    if let Some((_, path)) = given.image.iter().find(|(object, _)| object == VMLINUX) {
        return Ok(Some(path.clone()));
    }
    for folder in &given.images {
        let kernels = linked_files(folder)?.into_iter().filter(|file| file.object == VMLINUX);
        for kernel in kernels {
            if has_code(&kernel.path)? {
                return Ok(Some(kernel.path));
            }
        }
    }
    match given.images.is_empty() {
        true => Ok(None),
        false => Err(no_vmlinux().with_details(
            given.images.iter().map(|f| format!("  there is none in {}", f.display())).collect(),
        )),
    }
}

/// What is at hand of the kernel: of the tree or the release that is named, of the image, of a source
/// that was built in, or of the kernel that this program runs on.
fn installed(given: &Given, vmlinux: Option<&Path>) -> Result<Installed> {
    if let Some(kernel) = &given.kernel {
        KernelTree::open(kernel)?;
        return Installed::of_tree(kernel);
    }
    let is_built = ["include/config/auto.conf", "Module.symvers"]
        .iter()
        .all(|file| given.source.join(file).is_file());
    let built = is_built.then(|| release_of(&given.source)).transpose()?;
    let of_image = |path: &Path| -> Result<Option<String>> {
        let file = Image::open_unpacked(path)?;
        let image = KernelImage::parse(&path.display().to_string(), file.bytes())?;
        Ok(image.release().map(str::to_owned))
    };
    let wanted = match &given.release {
        Some(release) => Some(release.clone()),
        None => vmlinux.map(of_image).transpose()?.flatten(),
    };
    match (wanted, built) {
        (None, Some(_)) => Installed::of_tree(&given.source),
        (Some(wanted), Some(built)) if wanted == built => Installed::of_tree(&given.source),
        (Some(wanted), _) => Installed::of_release(&wanted),
        (None, None) => Installed::of_release(&running()?),
    }
}

/// The linked kernel that is at hand.
fn vmlinux(installed: &Installed) -> Result<PathBuf> {
    match &installed.vmlinux {
        Some(path) if has_code(path)? => Ok(path.clone()),
        Some(path) => Err(no_vmlinux()
            .with_details(vec![format!("  {} has debug information alone", path.display())])),
        None => Err(no_vmlinux().with_details(installed.no_symbols().details().to_vec())),
    }
}

fn no_vmlinux() -> Error {
    Error::broken(Code::NoImage, "the linked kernel that runs (vmlinux with symbols) is not at hand").advise(
        "install the package with the kernel's debug information (on Debian linux-image-RELEASE-dbg), or give \
         the file with --image FILE, or its folder with --images FOLDER",
    )
}

impl Found {
    /// The image of a module.
    pub fn module(&self, name: &str) -> Result<PathBuf> {
        let candidates = self.modules.get(name).map_or(&[][..], Vec::as_slice);
        for path in candidates {
            if has_code(path)? {
                return Ok(path.clone());
            }
        }
        Err(Error::broken(Code::NoImage, format!("the module {name} as it runs is not at hand"))
            .advise(format!(
                "give it with --image {name}=FILE, or the folder that it is in with --images"
            )))
    }

    /// All modules that are at hand.
    pub fn modules(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.modules
            .iter()
            .filter_map(|(name, paths)| Some((name.as_str(), paths.first()?.as_path())))
    }
}

/// The release of the kernel that this program runs on.
fn running() -> Result<String> {
    let text = crate::host::files::read_text(Path::new("/proc/sys/kernel/osrelease"));
    let text =
        text.map_err(|e| e.advise("say which kernel is patched with --kernel or --release"))?;
    Ok(text.trim().to_owned())
}

/// The configuration: the one that is named, beside the image, in the tree or installed, or the one in
/// the kernel. That one must say the same wherever it is.
fn configuration(
    given: &Given,
    vmlinux: &Path,
    installed: &Installed,
    image: &[u8],
) -> Result<(String, String)> {
    let beside = vmlinux.parent().unwrap_or(Path::new("."));
    let name = format!("config-{}", installed.release);
    let places = [beside.join(&name), beside.join(tree::CONFIG), Path::new("/boot").join(&name)];
    let beside = places.into_iter().find(|p| p.is_file());
    let file = given.config.clone().or(beside).or(installed.config.clone());
    let inside = config::embedded(image).map(unpacked).transpose()?;
    match (file, inside) {
        (Some(path), inside) => {
            let (text, from) = (config::read(&path)?, path.display().to_string());
            if let Some(inside) = inside {
                same_config((&text, &from), &inside, "the kernel itself")?;
            }
            Ok((text, from))
        }
        (None, Some(inside)) => Ok((inside, "the kernel itself".to_owned())),
        (None, None) => Err(Error::broken(
            Code::NoConfig,
            format!("the configuration of {} is not at hand", installed.release),
        )
        .advise(
            "give it with --config FILE: /boot/config-RELEASE of that machine, or the .config of the build",
        )),
    }
}

fn unpacked(packed: &[u8]) -> Result<String> {
    let fail =
        |e: std::io::Error| crate::host::files::unwritable(Path::new("(temporary file)"), &e);
    let file = tempfile::NamedTempFile::new().map_err(fail)?;
    std::fs::write(file.path(), packed).map_err(fail)?;
    config::read(file.path())
}

/// Whether a linked file holds its code, and not only what debuggers want.
fn has_code(path: &Path) -> Result<bool> {
    let file = Image::open_unpacked(path)?;
    if !abi::is_elf(file.bytes()) {
        return Ok(false);
    }
    let Ok(image) = KernelImage::parse(&path.display().to_string(), file.bytes()) else {
        return Ok(false);
    };
    let mut sections = image.elf.sections().iter();
    Ok(sections.any(|s| s.flags & abi::SHF_EXECINSTR != 0 && !s.data.is_empty())
        && !image.elf.symbols().is_empty())
}

/// Fails when the configuration is not that of the tree that the module is built with.
pub fn check_config(found: &Found) -> Result<()> {
    let path = found.kernel.join("include/config/auto.conf");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
    same_config((&found.config, &found.config_from), &text, &found.kernel.display().to_string())
}

/// Fails when two configurations differ. The first is with its file.
fn same_config((ours, from): (&str, &str), theirs: &str, of: &str) -> Result<()> {
    let differences = config::Config::parse(ours).differences(&config::Config::parse(theirs));
    if differences.is_empty() {
        return Ok(());
    }
    let count = differences.len();
    let mut shown: Vec<String> =
        differences.into_iter().take(10).map(|d| format!("  {d}")).collect();
    if count > shown.len() {
        shown.push(format!("  and {} more", count - shown.len()));
    }
    let what =
        format!("the configuration is another one than that of {of}: {count} option(s) differ");
    Err(Error::refused(Code::ConfigDiffers, what).in_file(from).with_details(shown).advise(
        "give the configuration of the kernel that runs with --config, and its tree with --kernel",
    ))
}
