//! The objects below a folder.

use std::path::{Path, PathBuf};

/// Adds all `.o` files below a folder.
pub fn files(folder: &Path, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, into)?;
        } else if path.extension().is_some_and(|end| end == "o") {
            into.push(path);
        }
    }
    Ok(())
}
