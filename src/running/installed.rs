//! Where distributions and builds keep the files of a kernel: the linked kernel with its
//! symbols, the modules, the exports, the configuration.
//!
//! | file | in a folder that the kernel was built in | installed |
//! |---|---|---|
//! | vmlinux | `vmlinux` | `/usr/lib/debug/boot/vmlinux-R` (Debian, Ubuntu; SUSE with `.debug`), `/usr/lib/debug/lib/modules/R/vmlinux` (Fedora and its kind), `/lib/modules/R/build/vmlinux` (Arch), `/lib/modules/R/vmlinux`, `/boot/vmlinux-R` |
//! | modules | all below it | `/lib/modules/R`, `/usr/lib/debug/lib/modules/R` |
//! | exports | `Module.symvers` | that of `/lib/modules/R/build`, `/lib/modules/R/symvers`, `/boot/symvers-R` |
//! | configuration | `.config` | that of `/lib/modules/R/build`, `/boot/config-R`, `/lib/modules/R/config` |
//! | System.map | `System.map` | `/boot/System.map-R`, `/usr/lib/debug/boot/System.map-R`, `/lib/modules/R/System.map` |
//!
//! A file may be compressed. Only what was asked for by a release or a tree is looked at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::image::Image;
use crate::elf::linked::Linked;
use crate::host::files;

/// How compressed files end.
const PACKED: [&str; 4] = ["", ".xz", ".zst", ".gz"];

/// What was found of one kernel.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    /// What `uname -r` says on it.
    pub release: String,
    /// Tree that modules are built in.
    pub tree: Option<PathBuf>,
    /// The linked kernel, with its symbols.
    pub vmlinux: Option<PathBuf>,
    /// Its symbols as text, when there is no linked kernel.
    pub system_map: Option<PathBuf>,
    /// The modules.
    pub modules: Vec<Linkage>,
    /// Module.symvers.
    pub symvers: Option<PathBuf>,
    /// The configuration that it was built with.
    pub config: Option<PathBuf>,
    /// Folder of the modules.
    modules_in: Option<PathBuf>,
    /// Places where vmlinux was looked for, and what was wrong with what was there.
    missed: Vec<String>,
}

/// A linked kernel or a module in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linkage {
    /// `vmlinux` or the module's name, as the kernel writes it.
    pub object: String,
    /// Its file.
    pub path: PathBuf,
}

impl Installed {
    /// The kernel of a tree: what is in the tree, and else what is installed of its release.
    ///
    /// Fails when the tree does not say its release.
    pub fn of_tree(tree: &Path) -> Result<Installed> {
        let release = release_of(tree)?;
        Self::find(Path::new("/"), release, Some(tree.to_owned()))
    }

    /// The kernel of a release, such as `6.12.0-1-amd64`.
    ///
    /// Fails when nothing of it is installed.
    pub fn of_release(release: &str) -> Result<Installed> {
        Self::of_release_in(Path::new("/"), release)
    }

    /// The same for what is installed below a folder.
    pub fn of_release_in(root: &Path, release: &str) -> Result<Installed> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._+~:-".contains(c);
        if !release.chars().all(plain) || release.trim_matches('.').is_empty() {
            return Err(Error::broken(
                Code::NoKernel,
                format!("'{release}' is no release of a kernel"),
            )
            .advise("give what `uname -r` says, such as 6.12.0-1-amd64"));
        }
        let trees = [
            format!("lib/modules/{release}/build"),
            format!("usr/lib/modules/{release}/build"),
            format!("usr/src/linux-headers-{release}"),
            format!("usr/src/kernels/{release}"),
        ];
        let tree = trees.iter().map(|t| root.join(t)).find(|t| t.is_dir());
        let found = Self::find(root, release.to_owned(), tree)?;
        let any = found.tree.is_some() || found.vmlinux.is_some() || !found.modules.is_empty();
        if any {
            return Ok(found);
        }
        let others = match &releases_in(root)[..] {
            [] => String::new(),
            all => format!("name one that is with --release ({}), or ", all.join(", ")),
        };
        Err(Error::broken(Code::NoKernel, format!("nothing of a kernel {release} is installed"))
            .advise(format!(
                "looked for {}/lib/modules/{release} and a kernel in /usr/lib/debug and /boot; \
                 {others}give the folder that it was built in with --kernel",
                root.display().to_string().trim_end_matches('/')
            )))
    }

    fn find(root: &Path, release: String, tree: Option<PathBuf>) -> Result<Installed> {
        let r = &release;
        let build = root.join(format!("lib/modules/{r}/build"));
        let trees: Vec<&Path> = tree.as_deref().into_iter().chain([build.as_path()]).collect();
        let places = |of_tree: &str, installed: &[String]| -> Vec<PathBuf> {
            let in_trees = trees.iter().map(|tree| tree.join(of_tree));
            in_trees.chain(installed.iter().map(|place| root.join(place))).collect()
        };
        let mut found = Installed::default();
        for place in places(
            "vmlinux",
            &[
                format!("usr/lib/debug/boot/vmlinux-{r}"),
                format!("usr/lib/debug/lib/modules/{r}/vmlinux"),
                format!("usr/lib/debug/usr/lib/modules/{r}/vmlinux"),
                format!("usr/lib/debug/boot/vmlinux-{r}.debug"),
                format!("lib/modules/{r}/vmlinux"),
                format!("boot/vmlinux-{r}"),
            ],
        ) {
            let there = PACKED.iter().map(|end| with_end(&place, end)).find(|p| p.is_file());
            let Some(path) = there else {
                found.missed.push(place.display().to_string());
                continue;
            };
            match has_symbols(&path) {
                Ok(true) => {
                    found.vmlinux = Some(path);
                    break;
                }
                Ok(false) => found.missed.push(format!("{} (has no symbols)", path.display())),
                Err(error) => found.missed.push(error.to_string()),
            }
        }
        let packed = |places: Vec<PathBuf>| {
            let mut all = places.iter().flat_map(|p| PACKED.map(|end| with_end(p, end)));
            all.find(|p| p.is_file())
        };
        found.symvers = packed(places(
            "Module.symvers",
            &[format!("lib/modules/{r}/symvers"), format!("boot/symvers-{r}")],
        ));
        found.config = packed(places(
            ".config",
            &[format!("boot/config-{r}"), format!("lib/modules/{r}/config")],
        ));
        found.system_map = places(
            "System.map",
            &[
                format!("boot/System.map-{r}"),
                format!("usr/lib/debug/boot/System.map-{r}"),
                format!("lib/modules/{r}/System.map"),
            ],
        )
        .into_iter()
        .find(|path| is_map(path));
        // Modules in the tree itself are those of its last build.
        let folders = [
            tree.clone().filter(|tree| tree.join("modules.order").is_file()),
            Some(root.join(format!("lib/modules/{r}"))),
            Some(root.join(format!("usr/lib/modules/{r}"))),
            Some(root.join(format!("usr/lib/debug/lib/modules/{r}"))),
        ];
        for folder in folders.into_iter().flatten().filter(|folder| folder.is_dir()) {
            let mut modules = linked_files(&folder)?;
            modules.retain(|module| module.object != VMLINUX);
            if !modules.is_empty() {
                (found.modules, found.modules_in) = (modules, Some(folder));
                break;
            }
        }
        Ok(Installed { release, tree, ..found })
    }

    /// What was found, one line each.
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = |what: &str, path: &Option<PathBuf>| {
            if let Some(path) = path {
                lines.push(format!("{what}: {}", path.display()));
            }
        };
        line("kernel tree", &self.tree);
        line("vmlinux", &self.vmlinux);
        if self.vmlinux.is_none() {
            line("System.map", &self.system_map);
        }
        line("exports", &self.symvers);
        line("configuration", &self.config);
        if let Some(folder) = &self.modules_in {
            lines.push(format!("modules: {} ({} files)", folder.display(), self.modules.len()));
        }
        lines
    }

    /// The tree that modules are built in. Fails when there is none.
    pub fn tree(&self) -> Result<&Path> {
        self.tree.as_deref().ok_or_else(|| {
            let text = format!("there is no tree to build modules of {} in", self.release);
            Error::broken(Code::KernelTree, text).advise(format!(
                "install the package of its headers (linux-headers-{0}, kernel-devel-{0}), or give \
                 --kernel FOLDER",
                self.release
            ))
        })
    }

    /// The error for a kernel whose symbols are nowhere.
    pub fn no_symbols(&self) -> Error {
        let text = format!("there is no linked kernel {} with symbols", self.release);
        Error::broken(Code::NoParent, text)
            .with_details(self.missed.iter().map(|place| format!("looked at {place}")).collect())
            .advise(format!(
                "install its debug package (linux-image-{0}-dbg or -dbgsym, kernel-debuginfo-{0}), or \
                 give the kernel with --image FILE",
                self.release
            ))
    }
}

/// The object that is the kernel itself.
pub const VMLINUX: &str = "vmlinux";

/// Releases of which something is installed, in order.
fn releases_in(root: &Path) -> Vec<String> {
    let folders = ["lib/modules", "usr/lib/modules"].map(|folder| root.join(folder).read_dir());
    let entries = folders.into_iter().flatten().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.collect::<BTreeSet<String>>().into_iter().collect()
}

/// What `uname -r` says on the kernel that a tree is of: what modules are built for, which in
/// Debian's trees is not what the build was told.
pub fn release_of(tree: &Path) -> Result<String> {
    let header = tree.join("include/generated/utsrelease.h");
    if let Ok(text) = std::fs::read_to_string(header)
        && let Some(release) = uts_release(&text)
    {
        return Ok(release.to_owned());
    }
    let image = Image::open(&tree.join("include/config/kernel.release"))
        .map_err(|e| e.advise("the tree is not prepared: run `make modules_prepare` in it"))?;
    Ok(image.text().trim().to_owned())
}

/// The string of `#define UTS_RELEASE "6.12.0-1"`.
fn uts_release(header: &str) -> Option<&str> {
    let line = header.lines().find_map(|l| l.trim().strip_prefix("#define UTS_RELEASE"))?;
    line.trim().strip_prefix('"')?.strip_suffix('"').filter(|release| !release.is_empty())
}

/// The name of a module as the kernel writes it.
pub fn module_name(given: &str) -> String {
    given.strip_suffix(".ko").unwrap_or(given).replace('-', "_")
}

/// What a file is by its name, and whether it holds debug information alone: `vmlinux`,
/// `vmlinux-6.1.0`, `my-mod.ko.xz`, `my-mod.ko.debug`.
pub fn object_of_file(name: &str) -> Option<(String, bool)> {
    let plain = PACKED[1..].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let (plain, debug) = match plain.strip_suffix(".debug") {
        Some(plain) => (plain, true),
        None => (plain, false),
    };
    if let Some(module) = plain.strip_suffix(".ko") {
        return (!module.is_empty()).then(|| (module_name(module), debug));
    }
    // A release begins with a digit: `vmlinux-gdb.py` has none.
    let release = plain.strip_prefix("vmlinux-");
    let is_kernel = plain == VMLINUX
        || release.is_some_and(|release| release.starts_with(|c: char| c.is_ascii_digit()));
    is_kernel.then(|| (VMLINUX.to_owned(), debug))
}

/// Whether a file belongs to what unpacks and starts the kernel, such as
/// `arch/x86/boot/compressed/vmlinux`, which is no kernel.
fn is_loader(path: &Path) -> bool {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str()).collect();
    parts.windows(3).any(|three| matches!(three, [a, _, c] if *a == "arch" && *c == "boot"))
}

/// Takes out files that have the bytes of an earlier one: `a.ko` beside `a.ko.xz`.
fn drop_copies(files: &mut Vec<(bool, PathBuf)>) {
    let mut kept: Vec<Image> = Vec::new();
    files.sort_by_cached_key(|(debug, path)| (*debug, path.components().count(), path.clone()));
    files.retain(|(_, path)| {
        // What cannot be read is told by who needs it.
        let Ok(image) = Image::open_unpacked(path) else { return true };
        let copy = kept.iter().any(|other| other.bytes() == image.bytes());
        kept.push(image);
        !copy
    });
}

/// The linked kernel and the modules below a folder, by name and then by path. A file of debug
/// information counts where there is no other one of its object, and of equal files one does.
pub fn linked_files(folder: &Path) -> Result<Vec<Linkage>> {
    let mut seen: IndexSet<PathBuf, RandomState> = IndexSet::default();
    let mut open = vec![folder.to_owned()];
    let mut found: IndexMap<String, Vec<(bool, PathBuf)>, RandomState> = IndexMap::default();
    while let Some(next) = open.pop() {
        let fail = |e: std::io::Error| files::unreadable(&next, &e);
        if !seen.insert(next.canonicalize().map_err(fail)?) {
            continue;
        }
        for entry in std::fs::read_dir(&next).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(fail)?);
            // Links to folders, `build` among them, lead out of what was asked for.
            if kind.is_dir() {
                open.push(path);
                continue;
            }
            if let Some((object, debug)) = object_of_file(&entry.file_name().to_string_lossy())
                && path.is_file()
                && !is_loader(path.strip_prefix(folder).unwrap_or(&path))
            {
                found.entry(object).or_default().push((debug, path));
            }
        }
    }
    let mut all = Vec::new();
    for (object, mut files) in found {
        let plain = files.iter().any(|(debug, _)| !debug);
        files.retain(|(debug, _)| !debug || !plain);
        if files.len() > 1 {
            drop_copies(&mut files);
        }
        all.extend(files.into_iter().map(|(_, path)| Linkage { object: object.clone(), path }));
    }
    all.sort_by(|a, b| (&a.object, &a.path).cmp(&(&b.object, &b.path)));
    Ok(all)
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Whether a file is a linked kernel that has its symbols.
fn has_symbols(path: &Path) -> Result<bool> {
    let image = Image::open_unpacked(path)?;
    if !abi::is_elf(image.bytes()) {
        let text = "no ELF file, but what boots";
        return Err(Error::broken(Code::MalformedElf, text).in_file(path.display().to_string()));
    }
    match Linked::parse(&path.display().to_string(), image.bytes()) {
        Ok(linked) => Ok(linked.symbols().len() > 1),
        Err(_) => Ok(false),
    }
}

/// Whether a file is a System.map. Debian's in /boot says in one line where the real one is.
fn is_map(path: &Path) -> bool {
    let Ok(text) = files::read_text(path) else { return false };
    text.lines().take(2).count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(path, text).expect("written");
    }

    #[test]
    fn names_say_what_a_file_is() {
        let of = |name| object_of_file(name).map(|(object, debug)| format!("{object} {debug}"));
        assert_eq!(of("vmlinux").as_deref(), Some("vmlinux false"));
        assert_eq!(of("vmlinux-6.1.0-1-amd64").as_deref(), Some("vmlinux false"));
        assert_eq!(of("vmlinux-6.4.0-1-default.debug").as_deref(), Some("vmlinux true"));
        assert_eq!(of("snd-hda.ko.xz").as_deref(), Some("snd_hda false"));
        assert_eq!(of("snd-hda.ko.debug").as_deref(), Some("snd_hda true"));
        assert_eq!(of("snd-hda.ko.debug.zst").as_deref(), Some("snd_hda true"));
        for other in
            ["vmlinuz-6.1", "vmlinux.o", "vmlinux-gdb.py", "x.o", "x.mod.c", ".ko", "x.korn"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_folder_is_searched_for_what_was_linked() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        for path in ["a/x.ko.xz", "debug/x.ko.debug", "debug/y-z.ko.debug", "vmlinux", "a/x.o"] {
            write(root, path, path);
        }
        // Neither a copy nor what unpacks the kernel is a second one.
        write(root, "copy/vmlinux", "vmlinux");
        write(root, "arch/x86/boot/compressed/vmlinux", "loader");
        let found = linked_files(root).expect("read");
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|l| (&*l.object, l.path.strip_prefix(root).unwrap().to_str().unwrap()))
            .collect();
        let wanted = [("vmlinux", "vmlinux"), ("x", "a/x.ko.xz"), ("y_z", "debug/y-z.ko.debug")];
        assert_eq!(found, wanted);
    }

    #[test]
    fn an_installed_kernel_is_found() {
        let folder = tempfile::tempdir().expect("folder");
        let root = folder.path();
        let release = "6.1.0-9-amd64";
        write(root, "lib/modules/6.1.0-8-amd64/build/Module.symvers", "");
        let error = Installed::of_release_in(root, release).expect_err("nothing");
        assert_eq!(error.code(), Code::NoKernel);
        assert!(error.to_string().contains("--release (6.1.0-8-amd64)"), "{error}");
        assert!(Installed::of_release_in(root, "../x").is_err());
        let modules = format!("lib/modules/{release}");
        write(root, &format!("{modules}/build/Module.symvers"), "");
        write(root, &format!("{modules}/kernel/fs/ext4.ko.xz"), "");
        write(root, &format!("boot/config-{release}"), "CONFIG_X=y\n");
        // Debian's says where the real one is.
        write(root, &format!("boot/System.map-{release}"), "ffffffffffffffff B The real one is\n");
        write(root, &format!("usr/lib/debug/boot/System.map-{release}"), "0 T a\n1 T b\n");
        write(root, &format!("boot/vmlinux-{release}"), "no ELF");
        let found = Installed::of_release_in(root, release).expect("found");
        let described = found.describe().join("\n").replace(&root.display().to_string(), "");
        assert_eq!(
            described,
            format!(
                "kernel tree: /{modules}/build\n\
                 System.map: /usr/lib/debug/boot/System.map-{release}\n\
                 exports: /{modules}/build/Module.symvers\n\
                 configuration: /boot/config-{release}\n\
                 modules: /{modules} (1 files)"
            )
        );
        assert!(found.vmlinux.is_none());
        let error = found.no_symbols();
        assert!(error.details().iter().any(|d| d.contains("what boots")), "{:?}", error.details());
        assert!(found.tree().is_ok());
    }
}
