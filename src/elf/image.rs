//! The bytes of an input file, mapped read-only.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// A mapped input file. Dropping it unmaps the bytes.
pub struct Image {
    path: PathBuf,
    map: Option<Mmap>,
    len: u64,
    modified: Option<SystemTime>,
}

impl Image {
    /// Maps `path`. Fails when it cannot be read or is not a regular file.
    pub fn open(path: &Path) -> Result<Image> {
        let shown = path.display().to_string();
        let fail = |what: &str, error: std::io::Error| {
            Error::broken("unreadable", format!("{what}: {error}")).in_file(shown.clone())
        };
        let file = File::open(path).map_err(|e| fail("cannot open", e))?;
        let meta = file.metadata().map_err(|e| fail("cannot read", e))?;
        if !meta.is_file() {
            return Err(Error::broken("unreadable", "not a regular file").in_file(shown));
        }
        let map = if meta.len() == 0 {
            None
        } else {
            // SAFETY: the map is private and read-only. Another process can still
            // truncate the file under us; `check_unchanged` reports that before any
            // result is published.
            Some(unsafe { Mmap::map(&file) }.map_err(|e| fail("cannot map", e))?)
        };
        Ok(Image { path: path.to_owned(), map, len: meta.len(), modified: meta.modified().ok() })
    }

    /// The path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or(&[])
    }

    /// Fails when the file was changed since it was opened: what was derived from
    /// it may then mix two versions.
    pub fn check_unchanged(&self) -> Result<()> {
        let meta = std::fs::metadata(&self.path).ok();
        let same = meta
            .as_ref()
            .is_some_and(|m| m.len() == self.len && m.modified().ok() == self.modified);
        if same {
            Ok(())
        } else {
            Err(Error::broken("input-changed", "the file changed while it was read")
                .in_file(self.path.display().to_string())
                .advise("run again when the build is finished"))
        }
    }
}
