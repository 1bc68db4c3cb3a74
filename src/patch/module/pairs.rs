//! Which objects to compare with which.

use std::path::{Path, PathBuf};

use indexmap::IndexSet;

use crate::error::{Error, Result};

/// One object before and after the patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Name for people: the path below the folders given, or the patched file's.
    pub path: PathBuf,
    /// Built from the unpatched source; `None` for a source file that the patch adds.
    pub orig: Option<PathBuf>,
    /// Built from the patched source.
    pub patched: PathBuf,
}

/// What [`find`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Objects that are there after the patch.
    pub pairs: Vec<Pair>,
    /// Objects that are only there before it.
    pub removed: Vec<PathBuf>,
}

/// Stands for an object that is not there, as in patches.
const NOTHING: &str = "/dev/null";

/// The pairs that `given` names: files, or folders of objects (`*.o`) paired by path, first
/// the original, then the patched one, and so on. Sorted by path within a folder. An object
/// that is new, or gone, has `/dev/null` for a partner, or none in the other folder.
pub fn find(given: &[PathBuf]) -> Result<Pairs> {
    let mut found = Pairs::default();
    for pair in given.chunks_exact(2) {
        let [orig, patched] = pair else { continue };
        match (orig.is_dir(), patched.is_dir()) {
            (false, false) if patched.as_os_str() == NOTHING => found.removed.push(orig.clone()),
            (false, false) => found.pairs.push(Pair {
                path: patched.clone(),
                orig: (orig.as_os_str() != NOTHING).then(|| orig.clone()),
                patched: patched.clone(),
            }),
            (true, true) => folders(orig, patched, &mut found)?,
            _ => {
                return Err(Error::broken("bad-pair", "a folder is paired with a file")
                    .in_file(orig.display().to_string())
                    .advise("give two files or two folders"));
            }
        }
    }
    Ok(found)
}

fn folders(orig: &Path, patched: &Path, found: &mut Pairs) -> Result<()> {
    let before: IndexSet<PathBuf> = objects(orig)?.into_iter().collect();
    let after: IndexSet<PathBuf> = objects(patched)?.into_iter().collect();
    found.removed.extend(before.iter().filter(|p| !after.contains(*p)).map(|p| orig.join(p)));
    found.pairs.extend(after.into_iter().map(|path| Pair {
        orig: before.contains(&path).then(|| orig.join(&path)),
        patched: patched.join(&path),
        path,
    }));
    Ok(())
}

/// All `*.o` below a folder, relative to it, sorted. Links to folders are not followed.
fn objects(root: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |path: &Path, error: &std::io::Error| {
        Error::broken("unreadable", format!("cannot read the folder: {error}"))
            .in_file(path.display().to_string())
    };
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(|e| unreadable(&path, &e))? {
            let entry = entry.map_err(|e| unreadable(&path, &e))?;
            let kind = entry.file_type().map_err(|e| unreadable(&path, &e))?;
            let inner = folder.join(entry.file_name());
            if kind.is_dir() {
                folders.push(inner);
            } else if inner.extension().is_some_and(|e| e == "o") {
                found.push(inner);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(path, file).expect("file");
        }
        folder
    }

    fn find_in(a: &tempfile::TempDir, b: &tempfile::TempDir) -> Result<Pairs> {
        find(&[a.path().to_owned(), b.path().to_owned()])
    }

    #[test]
    fn folders_are_paired_by_path() {
        let files = ["net/z.o", "fs/proc/a.o", "fs/notes.txt"];
        let (a, b) = (tree(&files), tree(&files[..2]));
        let pairs = find_in(&a, &b).expect("pairs").pairs;
        let paths: Vec<String> = pairs.iter().map(|p| p.path.display().to_string()).collect();
        assert_eq!(paths, ["fs/proc/a.o", "net/z.o"]);
        assert_eq!(pairs[1].patched, b.path().join("net/z.o"));
    }

    #[test]
    fn an_object_without_partner_is_new_or_gone() {
        let (a, b) = (tree(&["a.o"]), tree(&["a.o", "b.o"]));
        let added = find_in(&a, &b).expect("pairs");
        assert!(added.removed.is_empty());
        let new: Vec<&Pair> = added.pairs.iter().filter(|p| p.orig.is_none()).collect();
        assert_eq!(new[0].patched, b.path().join("b.o"));
        assert_eq!((new.len(), added.pairs.len()), (1, 2));
        let gone = find_in(&b, &a).expect("pairs");
        assert_eq!(gone.removed, [b.path().join("b.o")]);
        assert_eq!(gone.pairs.len(), 1);

        let file = a.path().join("a.o");
        let added = find(&[NOTHING.into(), file.clone()]).expect("pairs");
        assert_eq!((added.pairs[0].orig.clone(), added.pairs.len()), (None, 1));
        let gone = find(&[file.clone(), NOTHING.into()]).expect("pairs");
        assert_eq!((gone.removed, gone.pairs), (vec![file], vec![]));
    }

    #[test]
    fn a_folder_is_no_partner_of_a_file() {
        let a = tree(&["a.o"]);
        let error = find(&[a.path().to_owned(), a.path().join("a.o")]).expect_err("mixed");
        assert_eq!(error.code(), "bad-pair");
    }
}
