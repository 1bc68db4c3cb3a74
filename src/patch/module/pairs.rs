//! Which objects to compare with which.

use std::path::{Path, PathBuf};

use indexmap::IndexSet;

use crate::error::{Error, Result};

/// One object before and after the patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Name for people: the path below the folders given, or the patched file's.
    pub path: PathBuf,
    /// Built from the unpatched source.
    pub orig: PathBuf,
    /// Built from the patched source.
    pub patched: PathBuf,
}

/// The pairs that `given` names: files, or folders with the same objects (`*.o`), first the
/// original, then the patched one, and so on. Sorted by path within a folder.
///
/// Fails when only one of two folders has an object.
pub fn find(given: &[PathBuf]) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for pair in given.chunks_exact(2) {
        let [orig, patched] = pair else { continue };
        match (orig.is_dir(), patched.is_dir()) {
            (false, false) => pairs.push(Pair {
                path: patched.clone(),
                orig: orig.clone(),
                patched: patched.clone(),
            }),
            (true, true) => folders(orig, patched, &mut pairs)?,
            _ => {
                return Err(Error::broken("bad-pair", "a folder is paired with a file")
                    .in_file(orig.display().to_string())
                    .advise("give two files or two folders"));
            }
        }
    }
    Ok(pairs)
}

fn folders(orig: &Path, patched: &Path, pairs: &mut Vec<Pair>) -> Result<()> {
    let before: IndexSet<PathBuf> = objects(orig)?.into_iter().collect();
    let after = objects(patched)?;
    let lonely = |folder: &Path, path: &Path, advice: &str| {
        Err(Error::refused("no-partner", "the object is in one of the two folders only")
            .in_file(folder.join(path).display().to_string())
            .advise(advice))
    };
    for path in &after {
        if !before.contains(path) {
            return lonely(
                patched,
                path,
                "new source files are not supported: put the new code into a file that exists",
            );
        }
    }
    let all: IndexSet<&PathBuf> = after.iter().collect();
    for path in &before {
        if !all.contains(path) {
            return lonely(
                orig,
                path,
                "copy it to the other folder if the patch does not touch it",
            );
        }
    }
    pairs.extend(after.into_iter().map(|path| Pair {
        orig: orig.join(&path),
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

    fn find_in(a: &tempfile::TempDir, b: &tempfile::TempDir) -> Result<Vec<Pair>> {
        find(&[a.path().to_owned(), b.path().to_owned()])
    }

    #[test]
    fn folders_are_paired_by_path() {
        let files = ["net/z.o", "fs/proc/a.o", "fs/notes.txt"];
        let (a, b) = (tree(&files), tree(&files[..2]));
        let pairs = find_in(&a, &b).expect("pairs");
        let paths: Vec<String> = pairs.iter().map(|p| p.path.display().to_string()).collect();
        assert_eq!(paths, ["fs/proc/a.o", "net/z.o"]);
        assert_eq!(pairs[1].patched, b.path().join("net/z.o"));
    }

    #[test]
    fn an_object_without_partner_is_refused() {
        let (a, b) = (tree(&["a.o"]), tree(&["a.o", "b.o"]));
        for (first, second) in [(&a, &b), (&b, &a)] {
            let error = find_in(first, second).expect_err("lonely");
            assert_eq!(error.code(), "no-partner");
            assert!(error.place().file.as_ref().is_some_and(|f| f.ends_with("b.o")), "{error}");
        }
        let error = find(&[a.path().to_owned(), a.path().join("a.o")]).expect_err("mixed");
        assert_eq!(error.code(), "bad-pair");
    }
}
