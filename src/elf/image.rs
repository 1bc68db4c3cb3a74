//! The bytes of an input file, mapped read-only.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::map::Map;
use super::unpack::{packer, unpack};
use crate::diag::{Code, Error, Result};
use crate::host::files;

/// An input file's bytes: mapped, or read when it is a pipe or /dev/null. Dropping it
/// unmaps them.
pub struct Image {
    path: PathBuf,
    bytes: Bytes,
    len: u64,
    modified: Option<SystemTime>,
}

/// Most bytes that a compressed file of this length may unpack to. Kernels with debug
/// information shrink to a tenth; what unpacks to a hundred times its size is none.
fn most(packed: u64) -> u64 {
    packed.saturating_mul(64).saturating_add(64 << 20)
}

enum Bytes {
    Mapped(Map),
    Read(Vec<u8>),
}

impl Image {
    /// Maps `path`. Fails when it cannot be read or is not a regular file.
    pub fn open(path: &Path) -> Result<Image> {
        Self::open_kind(path, false)
    }

    /// Maps `path`, or reads it when it is a pipe of the shell or /dev/null.
    pub fn open_any(path: &Path) -> Result<Image> {
        Self::open_kind(path, true)
    }

    /// Maps `path`, or reads and unpacks it when it is compressed.
    pub fn open_unpacked(path: &Path) -> Result<Image> {
        let mut image = Self::open_kind(path, true)?;
        if let Some(tool) = packer(image.bytes()) {
            if matches!(image.bytes, Bytes::Read(_)) {
                return Err(Error::broken(Code::Unreadable, "compressed, and not a regular file")
                    .in_file(path.display().to_string())
                    .advise("unpack it on the way"));
            }
            let packed = image.bytes().len() as u64;
            image.bytes = Bytes::Read(unpack(path, tool, most(packed))?);
        }
        Ok(image)
    }

    fn open_kind(path: &Path, any: bool) -> Result<Image> {
        let (file, meta) = files::open(path, any)?;
        let bytes = if !meta.is_file() || meta.len() == 0 {
            Bytes::Read(files::read_all(path, file, files::LONGEST)?)
        } else {
            Bytes::Mapped(Map::new(&file, path).map_err(|e| {
                Error::broken(Code::Unreadable, format!("cannot map: {e}"))
                    .in_file(path.display().to_string())
            })?)
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
            Err(Error::broken(Code::InputChanged, "the file changed while it was read")
                .in_file(self.path.display().to_string())
                .advise("run again when the build is finished"))
        }
    }
}
