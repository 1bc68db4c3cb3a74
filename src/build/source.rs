//! The work folder: a copy of the source that is built in, kept for the next patch.
//!
//! The source is only read. Files that Kbuild never writes are hard-linked where the source is
//! a clean tree; of a tree that was built in, where Kbuild would write through the links, they
//! are copied. What this program changes gets a file of its own first.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::hash::BuildHasher as _;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use foldhash::fast::FixedState;
use rayon::prelude::*;
use rustix::fs::{FlockOperation, flock};

use crate::diag::{Code, Error, Result};
use crate::host::files::{self, unreadable, unwritable};
use crate::kernel::knowledge::tree;

/// A work folder that no other run uses meanwhile.
#[derive(Debug)]
pub struct Work {
    root: PathBuf,
    _lock: File,
}

/// What bringing the copy into step changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// Files of the source.
    pub files: usize,
    /// Of these, the ones that were copied or linked anew.
    pub changed: usize,
    /// Files that the source does not have any more.
    pub removed: usize,
    /// Tells this state of the source from all others: of the names, sizes and times of all files.
    pub fingerprint: u64,
}

impl Work {
    /// Opens the folder for this run alone.
    pub fn open(root: &Path) -> Result<Work> {
        fs::create_dir_all(root).map_err(|e| unwritable(root, &e))?;
        let root = root.canonicalize().map_err(|e| unwritable(root, &e))?;
        crate::patch::module::kbuild::check_path(
            &root,
            "give --work a path of letters, digits and any of . _ - + @ , ~",
        )?;
        let path = root.join("lock");
        let lock = File::options().create(true).append(true).open(&path);
        let lock = lock.map_err(|e| unwritable(&path, &e))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Work { root, _lock: lock }),
            Err(e) if e == rustix::io::Errno::WOULDBLOCK => {
                Err(Error::broken(Code::WorkBusy, "another build uses this work folder")
                    .in_file(root.display().to_string())
                    .advise("wait for it, or give another folder with --work"))
            }
            Err(e) => Err(unwritable(&path, &e.into())),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The copy of the source.
    pub fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }

    /// Reads a note of an earlier run; empty when there is none.
    pub fn note(&self, name: &str) -> String {
        fs::read_to_string(self.root.join(name)).unwrap_or_default()
    }

    /// Leaves a note for later runs.
    pub fn set_note(&self, name: &str, text: &str) -> Result<()> {
        files::save(&self.root.join(name), text.as_bytes())
    }

    /// Makes the copy what the source is.
    pub fn sync(&self, source: &Path) -> Result<Synced> {
        let tree = self.tree();
        check_apart(source, &self.root)?;
        fs::create_dir_all(&tree).map_err(|e| unwritable(&tree, &e))?;
        let listing = list(source)?;
        let built = listing.built;
        for folder in &listing.folders {
            let path = tree.join(folder);
            fs::create_dir_all(&path).map_err(|e| unwritable(&path, &e))?;
        }
        let placed: Vec<(bool, u64)> = listing
            .files
            .par_iter()
            .map(|file| {
                let original = source.join(file);
                let meta =
                    fs::symlink_metadata(&original).map_err(|e| unreadable(&original, &e))?;
                let fingerprint = (file, meta.len(), meta.mtime(), meta.mtime_nsec());
                let changed = place((&original, &meta), &tree.join(file), !built)?;
                Ok((changed, FixedState::default().hash_one(fingerprint)))
            })
            .collect::<Result<_>>()?;
        let fingerprint =
            FixedState::default().hash_one(placed.iter().map(|p| p.1).collect::<Vec<u64>>());
        let now: BTreeSet<&str> = listing.files.iter().map(String::as_str).collect();
        let before = self.note("files");
        let mut removed = 0;
        for gone in before.lines().filter(|f| !now.contains(f)) {
            removed += usize::from(remove(&tree.join(gone))?);
        }
        let text: String = listing.files.iter().flat_map(|f| [f.as_str(), "\n"]).collect();
        if text != before {
            self.set_note("files", &text)?;
        }
        let changed = placed.iter().filter(|p| p.0).count();
        Ok(Synced { files: listing.files.len(), changed, removed, fingerprint })
    }

    /// Gives a file of the copy other contents, or removes it; what it was linked with stays.
    pub fn replace(&self, path: &str, contents: Option<&[u8]>) -> Result<()> {
        let full = self.tree().join(path);
        remove(&full)?;
        let Some(contents) = contents else { return Ok(()) };
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
        }
        fs::write(&full, contents).map_err(|e| unwritable(&full, &e))
    }

    /// Makes an empty folder of this name in the work folder.
    pub fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unwritable(&path, &e)),
            _ => {}
        }
        fs::create_dir_all(&path).map_err(|e| unwritable(&path, &e))?;
        Ok(path)
    }
}

/// Removes a file; says whether there was one.
fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(unwritable(path, &e)),
    }
}

/// Fails when one of the folders is in the other.
fn check_apart(source: &Path, work: &Path) -> Result<()> {
    let source = source.canonicalize().map_err(|e| unreadable(source, &e))?;
    if !source.starts_with(work) && !work.starts_with(&source) {
        return Ok(());
    }
    Err(Error::broken(Code::SameFile, "the source and the work folder are in each other")
        .in_file(work.display().to_string())
        .advise("give another folder with --work"))
}

/// What a source tree holds.
#[derive(Default)]
struct Listing {
    folders: Vec<String>,
    files: Vec<String>,
    /// It was configured or built in.
    built: bool,
}

/// Folders that Kbuild makes or that are no source.
const NOT_SOURCE: [&str; 4] = [tree::GIT, "include/config", "include/generated", "debian/build"];

/// Lists the sources of a kernel tree, in order, without what a build leaves in it.
fn list(source: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let full = source.join(&folder);
        let entries = fs::read_dir(&full).map_err(|e| unreadable(&full, &e))?;
        let mut names = BTreeSet::new();
        let mut inner = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| unreadable(&full, &e))?;
            let kind = entry.file_type().map_err(|e| unreadable(&full, &e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_file() || kind.is_symlink() || kind.is_dir() {
                names.insert(name.clone());
                inner.push((name, kind.is_dir()));
            }
        }
        for (name, is_folder) in inner {
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let generated = path.starts_with("arch/") && path.ends_with("include/generated");
            if is_folder {
                listing.built |= path == "include/config";
                if !generated && !NOT_SOURCE.contains(&path.as_str()) {
                    folders.push(path.clone());
                    listing.folders.push(path);
                }
            } else if is_built(&name, &names) {
                listing.built = true;
            } else {
                listing.files.push(path);
            }
        }
    }
    listing.folders.sort_unstable();
    listing.files.sort_unstable();
    Ok(listing)
}

/// Whether Kbuild made a file: by the endings that it gives, or because it noted how.
fn is_built(name: &str, names: &BTreeSet<String>) -> bool {
    tree::BUILT.iter().any(|e| name.ends_with(e))
        || tree::BUILT_NAMES.contains(&name)
        || name.starts_with(tree::TEMPORARY)
        || names.contains(&tree::record_of(name))
}

/// Makes `copy` what `original` is; says whether it was something else.
fn place((original, meta): (&Path, &Metadata), copy: &Path, link: bool) -> Result<bool> {
    let there = fs::symlink_metadata(copy).ok();
    if meta.is_symlink() {
        let target = fs::read_link(original).map_err(|e| unreadable(original, &e))?;
        if there.is_some() && fs::read_link(copy).is_ok_and(|known| known == target) {
            return Ok(false);
        }
        remove(copy)?;
        std::os::unix::fs::symlink(target, copy).map_err(|e| unwritable(copy, &e))?;
        return Ok(true);
    }
    let mut fresh = true;
    if let Some(there) = there {
        let same_file = (there.dev(), there.ino()) == (meta.dev(), meta.ino());
        let same_stamp = there.is_file()
            && there.len() == meta.len()
            && (there.mtime(), there.mtime_nsec()) == (meta.mtime(), meta.mtime_nsec());
        // One that Kbuild could write through must not be a link.
        if same_file && link || same_stamp && !same_file {
            return Ok(false);
        }
        if !same_file && there.is_file() && there.len() == meta.len() && same(original, copy)? {
            return Ok(false);
        }
        remove(copy)?;
        fresh = false;
    }
    // What replaces something must be newer than what was made of that.
    if link && fresh && fs::hard_link(original, copy).is_ok() {
        return Ok(true);
    }
    fs::copy(original, copy).map_err(|e| unwritable(copy, &e))?;
    if fresh
        && let (Ok(file), Ok(time)) = (File::options().append(true).open(copy), meta.modified())
    {
        let _ = file.set_modified(time);
    }
    Ok(true)
}

fn same(a: &Path, b: &Path) -> Result<bool> {
    let read = |path: &Path| fs::read(path).map_err(|e| unreadable(path, &e));
    Ok(read(a)? == read(b)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("written");
        }
        folder
    }

    #[test]
    fn the_copy_follows_the_source_and_never_changes_it() {
        let source = tree(&[("Makefile", "m"), ("fs/a.c", "a"), ("fs/b.c", "b")]);
        let folder = tempfile::tempdir().expect("folder");
        let work = Work::open(folder.path()).expect("opens");
        assert_eq!(Work::open(folder.path()).expect_err("locked").code(), Code::WorkBusy);
        let synced = work.sync(source.path()).expect("copies");
        assert_eq!((synced.files, synced.changed, synced.removed), (3, 3, 0));
        assert_eq!(work.sync(source.path()).expect("copies").changed, 0);
        work.replace("fs/a.c", Some(b"patched")).expect("replaced");
        work.replace("fs/new.c", Some(b"new")).expect("added");
        assert_eq!(fs::read(source.path().join("fs/a.c")).expect("reads"), b"a");
        fs::remove_file(source.path().join("fs/b.c")).expect("removed");
        let synced = work.sync(source.path()).expect("copies");
        assert_eq!((synced.files, synced.changed, synced.removed), (2, 1, 1));
        assert_eq!(fs::read(work.tree().join("fs/a.c")).expect("reads"), b"a");
        assert!(!work.tree().join("fs/b.c").exists());
    }

    #[test]
    fn of_a_tree_that_was_built_in_only_the_sources_are_copied() {
        let source = tree(&[
            ("Makefile", "m"),
            (".config", "c"),
            ("include/config/auto.conf", "x"),
            ("arch/x86/include/generated/asm/x.h", "x"),
            ("fs/a.c", "a"),
            ("fs/a.o", "o"),
            ("fs/lex.c", "made"),
            ("fs/.lex.c.cmd", "how"),
        ]);
        let folder = tempfile::tempdir().expect("folder");
        let work = Work::open(folder.path()).expect("opens");
        assert_eq!(work.sync(source.path()).expect("copies").files, 2);
        let ino = |path: &Path| fs::metadata(path).expect("there").ino();
        assert_ne!(ino(&source.path().join("fs/a.c")), ino(&work.tree().join("fs/a.c")));
        let inside = Work::open(&source.path().join("work")).expect("opens");
        assert_eq!(inside.sync(source.path()).expect_err("inside").code(), Code::SameFile);
    }
}
