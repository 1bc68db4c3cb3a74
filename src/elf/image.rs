//! The bytes of an input file, mapped read-only.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::Mmap;

use super::unpack::{packer, unpack};
use crate::error::{Error, Result};

/// An input file's bytes: mapped, or read when it is a pipe or a device. Dropping it
/// unmaps them.
pub struct Image {
    path: PathBuf,
    bytes: Bytes,
    len: u64,
    modified: Option<SystemTime>,
}

enum Bytes {
    Mapped(Mmap),
    Read(Vec<u8>),
}

impl Image {
    /// Maps `path`. Fails when it cannot be read or is not a regular file.
    pub fn open(path: &Path) -> Result<Image> {
        Self::open_kind(path, false)
    }

    /// Maps `path`, or reads it when it is a pipe or a device, such as /dev/null.
    pub fn open_any(path: &Path) -> Result<Image> {
        Self::open_kind(path, true)
    }

    /// Maps `path`, or reads and unpacks it when it is compressed.
    pub fn open_unpacked(path: &Path) -> Result<Image> {
        let mut image = Self::open_kind(path, true)?;
        if let Some(tool) = packer(image.bytes()) {
            if matches!(image.bytes, Bytes::Read(_)) {
                return Err(Error::broken("unreadable", "compressed, and not a regular file")
                    .in_file(path.display().to_string())
                    .advise("unpack it on the way"));
            }
            image.bytes = Bytes::Read(unpack(path, tool)?);
        }
        Ok(image)
    }

    fn open_kind(path: &Path, any: bool) -> Result<Image> {
        let shown = path.display().to_string();
        let fail = |what: &str, error: std::io::Error| {
            Error::broken("unreadable", format!("{what}: {error}")).in_file(shown.clone())
        };
        let mut file = File::open(path).map_err(|e| fail("cannot open", e))?;
        let meta = file.metadata().map_err(|e| fail("cannot read", e))?;
        if !meta.is_file() && (!any || meta.is_dir()) {
            return Err(Error::broken("unreadable", "not a regular file").in_file(shown));
        }
        let bytes = if !meta.is_file() || meta.len() == 0 {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(|e| fail("cannot read", e))?;
            Bytes::Read(bytes)
        } else {
            // SAFETY: the map is private and read-only. Another process can still
            // truncate the file under us; `check_unchanged` reports that before any
            // result is published.
            Bytes::Mapped(unsafe { Mmap::map(&file) }.map_err(|e| fail("cannot map", e))?)
        };
        Ok(Image { path: path.to_owned(), bytes, len: meta.len(), modified: meta.modified().ok() })
    }

    /// The path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Read(bytes) => bytes,
        }
    }

    /// The file's bytes as text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes())
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
