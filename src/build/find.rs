//! The kernel that runs and what belongs to it, where distributions put these.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::config;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::image::Image;
use crate::kernel::image::KernelImage;
use crate::kernel::installed::{Linkage, VMLINUX, linked_files};
use crate::kernel::knowledge::tree;
use crate::patch::module::tree::KernelTree;

/// What the user gave.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--kernel`
    pub kernel: Option<PathBuf>,
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
    let of_tree = given.kernel.as_deref().map(KernelTree::open).transpose()?;
    let known = of_tree.as_ref().map(|tree| tree.release().to_owned()).or_else(running);
    let vmlinux = vmlinux(given, known.as_deref())?;
    let file = Image::open_unpacked(&vmlinux)?;
    let image = KernelImage::parse(&vmlinux.display().to_string(), file.bytes())?;
    let release = image.release().map(str::to_owned).or(known).ok_or_else(|| {
        Error::broken(Code::NoImage, "the image does not say which kernel it is")
            .in_file(vmlinux.display().to_string())
            .advise("give the vmlinux that the kernel was linked to, with its symbols")
    })?;
    let kernel = kernel_tree(given, &release)?;
    let (config, config_from) = configuration(given, &vmlinux, &release, &kernel, file.bytes())?;
    let mut modules: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (object, path) in given.image.iter().filter(|(object, _)| object != "vmlinux") {
        modules.entry(object.clone()).or_default().push(path.clone());
    }
    let usual = ["/usr/lib/debug/lib/modules", "/lib/modules"].map(|f| Path::new(f).join(&release));
    let folders = match given.images.is_empty() {
        true => usual.into_iter().filter(|folder| folder.is_dir()).collect(),
        false => given.images.clone(),
    };
    for folder in &folders {
        let linked = linked_files(folder)?;
        for Linkage { object, path } in linked.into_iter().filter(|file| file.object != VMLINUX) {
            modules.entry(object).or_default().push(path);
        }
    }
    Ok(Found { release, kernel, vmlinux, config, config_from, modules })
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
fn running() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(text.trim().to_owned())
}

fn vmlinux(given: &Given, release: Option<&str>) -> Result<PathBuf> {
    if let Some((_, path)) = given.image.iter().find(|(object, _)| object == "vmlinux") {
        return Ok(path.clone());
    }
    let mut candidates = Vec::new();
    for folder in &given.images {
        let kernels = linked_files(folder)?.into_iter().filter(|file| file.object == VMLINUX);
        candidates.extend(kernels.map(|file| file.path));
    }
    if given.images.is_empty() {
        candidates.extend(given.kernel.iter().map(|k| k.join("vmlinux")));
        candidates.push(given.source.join("vmlinux"));
        if let Some(release) = release {
            candidates.extend([
                format!("/usr/lib/debug/boot/vmlinux-{release}").into(),
                format!("/usr/lib/debug/lib/modules/{release}/vmlinux").into(),
                PathBuf::from(format!("/usr/lib/debug/boot/vmlinux-{release}.debug")),
                format!("/lib/modules/{release}/build/vmlinux").into(),
                format!("/boot/vmlinux-{release}").into(),
            ]);
        }
    }
    let mut fitting = Vec::new();
    for path in candidates.into_iter().filter(|p| p.is_file()) {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        if has_code(&path)? && !fitting.iter().any(|(known, _)| *known == real) {
            fitting.push((real, path));
        }
    }
    // Hard links and copies are the same kernel: the one of the release counts.
    if let [(_, first), others @ ..] = &fitting[..] {
        let wanted = |path: &Path| -> Result<bool> {
            let Some(release) = release.filter(|_| given.kernel.is_some()) else { return Ok(true) };
            let file = Image::open_unpacked(path)?;
            let image = KernelImage::parse(&path.display().to_string(), file.bytes())?;
            Ok(image.release().is_none_or(|of| of == release))
        };
        let mut all = vec![first];
        all.extend(others.iter().map(|(_, path)| path));
        for path in all {
            if wanted(path)? {
                return Ok(path.clone());
            }
        }
    }
    Err(Error::broken(Code::NoImage, "the linked kernel that runs (vmlinux with symbols) is not at hand").advise(
        "install the package with the kernel's debug information (on Debian linux-image-RELEASE-dbg), or give \
         the file with --image FILE, or its folder with --images FOLDER",
    ))
}

fn kernel_tree(given: &Given, release: &str) -> Result<PathBuf> {
    if let Some(kernel) = &given.kernel {
        return Ok(kernel.clone());
    }
    let usual = PathBuf::from(format!("/lib/modules/{release}/build"));
    let built = given.source.join("Module.symvers");
    let candidates = [usual.clone(), given.source.clone()];
    let fits = |p: &&PathBuf| {
        p.join("include/config/auto.conf").is_file() && (**p == usual || built.is_file())
    };
    candidates.iter().find(fits).cloned().ok_or_else(|| {
        Error::broken(Code::KernelTree, format!("there is no tree to build modules for {release} with"))
            .in_file(usual.display().to_string())
            .advise(
                "install the kernel's headers (on Debian linux-headers-RELEASE), or give the folder that the \
                 kernel was built in with --kernel",
            )
    })
}

fn configuration(
    given: &Given,
    vmlinux: &Path,
    release: &str,
    kernel: &Path,
    image: &[u8],
) -> Result<(String, String)> {
    if let Some(path) = &given.config {
        return Ok((config::read(path)?, path.display().to_string()));
    }
    let beside = vmlinux.parent().unwrap_or(Path::new("."));
    let usual = [
        beside.join(format!("config-{release}")),
        beside.join(tree::CONFIG),
        PathBuf::from(format!("/boot/config-{release}")),
    ];
    if let Some(path) = usual.iter().find(|p| p.is_file()) {
        return Ok((config::read(path)?, path.display().to_string()));
    }
    if let Some(packed) = config::embedded(image) {
        let fail =
            |e: std::io::Error| crate::host::files::unwritable(Path::new("(temporary file)"), &e);
        let file = tempfile::NamedTempFile::new().map_err(fail)?;
        std::fs::write(file.path(), packed).map_err(fail)?;
        return Ok((config::read(file.path())?, "the kernel itself".to_owned()));
    }
    let others =
        [kernel.join(tree::CONFIG), PathBuf::from(format!("/lib/modules/{release}/config"))];
    if let Some(path) = others.iter().find(|p| p.is_file()) {
        return Ok((config::read(path)?, path.display().to_string()));
    }
    Err(Error::broken(Code::NoConfig, format!("the configuration of {release} is not at hand"))
        .advise("give it with --config FILE: /boot/config-RELEASE of that machine, or the .config of the build"))
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
    let differences =
        config::Config::parse(&found.config).differences(&config::Config::parse(&text));
    if differences.is_empty() {
        return Ok(());
    }
    let count = differences.len();
    let mut shown: Vec<String> =
        differences.into_iter().take(10).map(|d| format!("  {d}")).collect();
    if count > shown.len() {
        shown.push(format!("  and {} more", count - shown.len()));
    }
    let what = format!(
        "the configuration is another one than that of {}: {count} option(s) differ",
        found.kernel.display()
    );
    Err(Error::refused(Code::ConfigDiffers, what)
        .in_file(found.config_from.clone())
        .with_details(shown)
        .advise("give the configuration of the kernel that runs with --config, and its tree with --kernel"))
}
