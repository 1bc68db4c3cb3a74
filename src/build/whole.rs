//! Kernels whose objects only a link makes: LTO by clang.
//!
//! `.o` files of such a kernel are bitcode; what runs comes out of the link of `vmlinux.o`, after
//! functions went from file to file. So that link is done twice, by the kernel's own target, and
//! lld keeps the native objects (`--lto-obj-path`). With a cache of ThinLTO it would keep empty files, so
//! that link does without. Modules are linked one by one: the object of a module is native.
//!
//! The linker is called through a script of ours in the work folder, by the same name for all that is
//! built: what the Makefiles give it stays as it is, and Kconfig sees no other linker.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::config::Compiler;
use super::kbuild::{Make, Owner};
use super::session::{Session, Touched, seconds};
use super::source::Work;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::Orig;
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::host::files;
use crate::kernel::knowledge::tree::record_of;
use crate::running::image::KernelImage;
use crate::running::kallsyms::PROMOTED;

/// What the link of all objects makes.
pub(super) const LINKED: &str = "vmlinux.o";
/// The archive of all that is linked whatever refers to it.
const WHOLE: &str = "vmlinux.a";
/// The target of the top Makefile that makes it.
const TARGET: &str = "vmlinux_o";
/// Folder of the work folder for the objects that the linker keeps.
const KEPT: &str = "whole/kept";
/// Folder of the work folder for the objects of the unpatched kernel.
pub(super) const ORIGINALS: &str = "whole/orig";
/// Note that these are complete.
pub(super) const COMPLETE: &str = "linked";
/// Gives promoted functions the name of their source file, in place of a hash of all of it.
const STABLE_NAMES: &str = "-use-source-filename-for-promoted-locals";

/// Fails for a source whose link cannot be had.
pub(super) fn check_source(source: &Path, distributed: bool) -> Result<()> {
    let advice = "link the whole kernel without and with the patch, keep the native objects, and give both \
                  folders to `klp-diff module`";
    if distributed {
        let what =
            "the kernel is built with distributed ThinLTO, whose objects Kbuild makes itself";
        return Err(Error::refused(Code::Bitcode, what).advise(advice));
    }
    let makefile = files::read_text(&source.join("Makefile"))?;
    match makefile.lines().any(|l| l.starts_with(&format!("{TARGET}:"))) {
        true => Ok(()),
        false => Err(Error::refused(
            Code::Bitcode,
            format!("the kernel is built with LTO, and its Makefile has no target {TARGET} for the link alone"),
        )
        .in_file(source.join("Makefile").display().to_string())
        .advise(advice)),
    }
}

/// Whether functions of the image that became global have the name of their source file.
pub(super) fn has_stable_names(image: &KernelImage<'_>) -> bool {
    let suffixes = image.elf.symbols().iter().filter_map(|s| s.name.rsplit_once(PROMOTED));
    suffixes.into_iter().any(|(_, end)| !end.is_empty() && !end.bytes().all(|b| b.is_ascii_digit()))
}

/// Writes the script that stands for the linker; gives its path.
pub(super) fn linker(work: &Work, compiler: &Compiler, stable_names: bool) -> Result<PathBuf> {
    let real = compiler.tool("ld.lld");
    let kept = work.root().join(KEPT).join("o");
    let names = match stable_names {
        true => format!(
            "case \" $* \" in *{STABLE_NAMES}*) ;; *) set -- \"$@\" -mllvm {STABLE_NAMES} ;; esac\n  "
        ),
        false => String::new(),
    };
    let text = format!(
        "#!/bin/sh\n\
         # {real}, which keeps the native objects of the link of the whole kernel.\n\
         case \" $* \" in\n\
         *\" -r -o {LINKED} \"*)\n  \
           {names}set -- \"$@\" --thinlto-cache-dir= --lto-obj-path={}\n  ;;\n\
         esac\n\
         exec {real} \"$@\"\n",
        kept.display()
    );
    let path = work.root().join("ld.lld");
    if std::fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return Ok(path);
    }
    std::fs::write(&path, text).map_err(|e| files::unwritable(&path, &e))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).map_err(|e| files::unwritable(&path, &e))?;
    Ok(path)
}

impl Session<'_> {
    /// Links the unpatched kernel, unless that was done; says whether it had to be.
    pub(super) fn link_originals(&mut self) -> Result<bool> {
        if self.work.note(COMPLETE) == self.fingerprint {
            return Ok(false);
        }
        self.work.set_note(COMPLETE, "")?;
        self.link("without the patch", ORIGINALS)?;
        self.work.set_note(COMPLETE, &self.fingerprint)?;
        Ok(true)
    }

    /// Links the whole kernel as the tree is, and puts its native objects into a folder.
    pub(super) fn link(&self, what: &str, folder: &str) -> Result<()> {
        let started = Instant::now();
        (self.say)(&format!(
            "building the whole kernel {what}, up to the link that makes its objects"
        ));
        self.work.fresh(KEPT)?;
        let tree = self.work.tree();
        // Without it, a build that was ended after the link would not do it again.
        let _ = std::fs::remove_file(tree.join(LINKED));
        let mut arguments = self.flags();
        arguments.push(TARGET.to_owned());
        self.make.run(&format!("building the kernel {what}"), &arguments)?;
        let to = self.work.fresh(folder)?;
        let members = members(&tree, &self.make)?;
        let counted = collect(&tree, &members, &self.work.root().join(KEPT), &to)?;
        if self.config.has("LTO_CLANG_THIN") && counted.kept < counted.bitcode {
            let text = format!(
                "the linker kept {} native objects of {} files of bitcode",
                counted.kept, counted.bitcode
            );
            return Err(Error::broken(Code::BuildFailed, text)
                .advise("report it with the version of the linker"));
        }
        (self.say)(&format!(
            "built it: {} objects of the link and {} others ({})",
            counted.kept,
            counted.native,
            seconds(started)
        ));
        Ok(())
    }

    /// The original objects of the kernel that are not also objects of the patched one.
    pub(super) fn changed_by_link(&self) -> Result<Vec<Touched>> {
        let before = self.work.root().join(ORIGINALS);
        let after = self.work.root().join("run/patched");
        let read = |path: &String| files::read(&after.join(path));
        let patched = listed(&after)?.par_iter().map(read).collect::<Result<Vec<_>>>()?;
        let patched: std::collections::BTreeSet<Vec<u8>> = patched.into_iter().collect();
        let paths = listed(&before)?;
        let differs =
            paths.par_iter().map(|p| Ok(!patched.contains(&files::read(&before.join(p))?)));
        let differs = differs.collect::<Result<Vec<bool>>>()?;
        let changed = paths.into_iter().zip(differs).filter(|(_, differs)| *differs);
        Ok(changed.map(|(path, _)| of_kernel(path)).collect())
    }

    /// All original objects of the kernel.
    pub(super) fn all_of_link(&self) -> Result<Vec<Touched>> {
        Ok(listed(&self.work.root().join(ORIGINALS))?.into_iter().map(of_kernel).collect())
    }
}

fn of_kernel(path: String) -> Touched {
    Touched { path, owner: Owner::Kernel, why: String::new(), there: [true, true] }
}

/// The files below a folder, sorted.
pub(super) fn listed(folder: &Path) -> Result<Vec<String>> {
    let (mut all, mut open) = (Vec::new(), vec![String::new()]);
    while let Some(inner) = open.pop() {
        let full = folder.join(&inner);
        let fail = |e: std::io::Error| files::unreadable(&full, &e);
        for entry in std::fs::read_dir(&full).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if inner.is_empty() { name } else { format!("{inner}/{name}") };
            match entry.file_type().map_err(fail)?.is_dir() {
                true => open.push(path),
                false => all.push(path),
            }
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// Gives a file another place too, in one file system or not.
pub(super) fn put(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|e| files::unwritable(parent, &e))?;
    }
    match std::fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(_) => std::fs::copy(from, to).map(|_| ()).map_err(|e| files::unwritable(to, &e)),
    }
}

/// The objects that were linked, in order: those of `vmlinux.a`, and of the libraries of which the linker
/// takes what is needed.
#[derive(Debug, Default)]
struct Members {
    whole: Vec<String>,
    needed: Vec<String>,
}

fn members(tree: &Path, make: &Make) -> Result<Members> {
    let path = tree.join(record_of(LINKED));
    let record = files::read_text(&path)?;
    let mut members = Members::default();
    for archive in archives(&record) {
        let listed = make.members(&archive)?;
        match archive == WHOLE {
            true => members.whole = listed,
            false => members.needed.extend(listed),
        }
    }
    match members.whole.is_empty() {
        false => Ok(members),
        true => Err(Error::broken(Code::BuildFailed, "the record of the link names no objects")
            .in_file(path.display().to_string())),
    }
}

/// The archives that the link's record says it was given.
fn archives(record: &str) -> Vec<String> {
    let command = record.lines().find(|l| l.starts_with("savedcmd_") || l.starts_with("cmd_"));
    let words = command.unwrap_or_default().split_whitespace();
    // What follows the link in one line are other commands.
    let words = words.take_while(|w| *w != ";");
    let mut found: Vec<String> = Vec::new();
    for word in words.filter(|w| w.ends_with(".a")) {
        if !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// What a link gave.
#[derive(Debug, Default)]
struct Counted {
    /// Files of bitcode that are linked whatever refers to them.
    bitcode: usize,
    /// Native objects that the linker made.
    kept: usize,
    /// Objects that the compiler made.
    native: usize,
}

/// Puts all native objects into a folder: those that the linker kept, by the path of their bitcode, and
/// those that were linked as they are.
fn collect(tree: &Path, members: &Members, kept: &Path, to: &Path) -> Result<Counted> {
    let mut counted = Counted::default();
    let (mut bitcode, mut perhaps) = (Vec::new(), Vec::new());
    for (i, path) in members.whole.iter().chain(&members.needed).enumerate() {
        let from = tree.join(path);
        let file = Image::open(&from)?;
        if abi::is_elf(file.bytes()) {
            counted.native += 1;
            // Not as a link: the next compilation may write through it.
            let target = below(to, path);
            if let Some(parent) = target.parent() {
                std::fs::create_dir_all(parent).map_err(|e| files::unwritable(parent, &e))?;
            }
            std::fs::copy(&from, &target).map_err(|e| files::unwritable(&target, &e))?;
        } else if i < members.whole.len() {
            bitcode.push(path.clone());
        } else {
            perhaps.push(path.clone());
        }
    }
    counted.bitcode = bitcode.len();
    let made = numbered(kept)?;
    // The first is of all that is not ThinLTO, in one.
    let whole = made.iter().filter(|(number, _)| *number == 0);
    whole.clone().try_for_each(|(_, from)| put(from, &to.join("lto/0.o")))?;
    let made: Vec<&(u32, PathBuf)> = made.iter().skip(whole.count()).collect();
    counted.kept = made.len();
    let sources = made.par_iter().map(|(_, path)| source_of(path)).collect::<Result<Vec<_>>>()?;
    let names = names(&sources, &bitcode, &perhaps);
    for ((number, from), name) in made.into_iter().zip(names) {
        let name = name.unwrap_or_else(|| format!("lto/{number}.o"));
        put(from, &below(to, &name))?;
    }
    Ok(counted)
}

/// The place of a file below a folder, wherever it lies itself.
fn below(folder: &Path, path: &str) -> PathBuf {
    let plain = Path::new(path).components().filter(|c| matches!(c, Component::Normal(_)));
    plain.fold(folder.to_owned(), |place, part| place.join(part))
}

/// The files that the linker kept, by their numbers. The first one, which has none, is of what is not ThinLTO,
/// and empty where all is.
fn numbered(kept: &Path) -> Result<Vec<(u32, PathBuf)>> {
    let mut all = Vec::new();
    for name in listed(kept)? {
        let digits = name.strip_prefix('o').unwrap_or_default();
        let number = if digits.is_empty() { Some(0) } else { digits.parse::<u32>().ok() };
        let (Some(number), path) = (number, kept.join(&name)) else { continue };
        let bytes = std::fs::metadata(&path).map_err(|e| files::unreadable(&path, &e))?.len();
        match (bytes, number) {
            (0, 0) => {}
            (0, _) => {
                return Err(Error::broken(Code::BuildFailed, "the linker kept an empty object")
                    .in_file(path.display().to_string())
                    .advise("a cache of ThinLTO must not be used: take --thinlto-cache-dir out of the linker's flags"));
            }
            _ => all.push((number, path)),
        }
    }
    all.sort_unstable();
    Ok(all)
}

/// The name of the source file that an object says it is made of, without its folder.
fn source_of(path: &Path) -> Result<Option<String>> {
    let file = Image::open(path)?;
    let object = Object::<Orig>::parse(&path.display().to_string(), file.bytes())?;
    let mut symbols = object.symbols();
    let found = symbols.find(|&s| object.symbol_kind(s) == abi::STT_FILE);
    Ok(found.map(|s| object.symbol_name(s).to_owned()))
}

/// Names for the objects that the linker made: it goes through its files in order, and of libraries takes
/// what it needs when it needs it. A name only helps people, and pairing objects: where the sources do
/// not agree all the way, none is given.
fn names(
    sources: &[Option<String>],
    bitcode: &[String],
    perhaps: &[String],
) -> Vec<Option<String>> {
    let fits = |source: &Option<String>, path: &String| {
        let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned();
        let name = path.rsplit('/').next().unwrap_or(path);
        source.as_deref().is_some_and(|source| stem(source) == stem(name))
    };
    let agree = sources.len() >= bitcode.len()
        && sources.iter().zip(bitcode).all(|(source, path)| fits(source, path));
    if !agree {
        return vec![None; sources.len()];
    }
    let rest = sources.get(bitcode.len()..).unwrap_or_default();
    let of_library = rest.iter().map(|source| {
        let twice = rest.iter().filter(|s| *s == source).count() > 1;
        let mut found = perhaps.iter().filter(|path| fits(source, path));
        found.next().filter(|_| found.next().is_none() && !twice).cloned()
    });
    bitcode.iter().cloned().map(Some).chain(of_library).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_where_all_agree() {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<String>>();
        let sources = |names: &[&str]| own(names).into_iter().map(Some).collect::<Vec<_>>();
        let shown = |names: Vec<Option<String>>| -> Vec<String> {
            names.into_iter().map(Option::unwrap_or_default).collect()
        };
        let bitcode = own(&["fs/core.o", "mm/core.o"]);
        let perhaps = own(&["lib/a.o", "lib/b.o", "arch/x86/lib/b.o"]);
        let found = names(&sources(&["core.c", "core.c", "a.c", "b.c"]), &bitcode, &perhaps);
        assert_eq!(shown(found), ["fs/core.o", "mm/core.o", "lib/a.o", ""]);
        let found = names(&sources(&["core.c", "other.c"]), &bitcode, &perhaps);
        assert_eq!(shown(found), ["", ""]);
        let found = names(&sources(&["core.c"]), &bitcode, &perhaps);
        assert_eq!(shown(found), [""]);
    }

    #[test]
    fn nothing_is_written_beside_the_folder() {
        for path in ["fs/a.o", "/fs/a.o", "../fs/./a.o"] {
            assert_eq!(below(Path::new("/to"), path), Path::new("/to/fs/a.o"));
        }
    }

    #[test]
    fn the_record_says_what_was_linked() {
        let record = "savedcmd_vmlinux.o := ld -r -o vmlinux.o  --whole-archive vmlinux.a --no-whole-archive \
                      --start-group arch/x86/lib/lib.a lib/lib.a lib/lib.a --end-group  ; objtool x.a\n\nx.a\n";
        assert_eq!(archives(record), ["vmlinux.a", "arch/x86/lib/lib.a", "lib/lib.a"]);
    }

    #[test]
    fn an_empty_object_is_no_object() {
        let folder = tempfile::tempdir().expect("folder");
        for (name, text) in [("o", ""), ("o1", "x"), ("o10", "x"), ("o2", "x")] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let numbers = |found: Vec<(u32, PathBuf)>| found.iter().map(|f| f.0).collect::<Vec<_>>();
        assert_eq!(numbers(numbered(folder.path()).expect("read")), [1, 2, 10]);
        std::fs::write(folder.path().join("o2"), "").expect("written");
        assert_eq!(numbered(folder.path()).expect_err("empty").code(), Code::BuildFailed);
    }
}
