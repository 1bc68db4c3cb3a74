//! Compressed input files: distributions ship `NAME.ko.xz`, `NAME.ko.zst` and the like.
//!
//! The unpacking is left to the tools that every distribution with such files has: they are
//! run once per file, and no library has to be kept up to date for it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// First bytes of a compressed file, and the tool that unpacks it to its standard output.
const PACKERS: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b", "gzip")];

/// The tool that unpacks a file which starts with these bytes; `None` when it is not packed.
pub fn packer(start: &[u8]) -> Option<&'static str> {
    PACKERS.iter().find(|(magic, _)| start.starts_with(magic)).map(|p| p.1)
}

/// The contents of the compressed file at `path`. Fails when `tool` is not installed or
/// does not like the file.
pub fn unpack(path: &Path, tool: &'static str) -> Result<Vec<u8>> {
    let shown = path.display().to_string();
    let fail = |what: String| Error::broken("unreadable", what).in_file(shown.clone());
    let file = File::open(path).map_err(|e| fail(format!("cannot open: {e}")))?;
    let output =
        Command::new(tool).arg("-dc").stdin(file).stderr(Stdio::piped()).output().map_err(|e| {
            fail(format!("the file is compressed and {tool} cannot be run: {e}"))
                .advise(format!("install {tool}, or unpack the file first"))
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(fail(format!("{tool} cannot unpack the file: {}", said.trim())));
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn recognises_packed_files() {
        assert_eq!(packer(b"\x7fELF"), None);
        assert_eq!(packer(b""), None);
        assert_eq!(packer(b"\xfd7zXZ\0\0"), Some("xz"));
        assert_eq!(packer(b"\x28\xb5\x2f\xfd."), Some("zstd"));
        assert_eq!(packer(b"\x1f\x8b\x08"), Some("gzip"));
    }

    #[test]
    fn unpacks_or_says_why_not() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("hello.gz");
        // `printf 'hello\n' | gzip -n`
        let packed =
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\xc9\xe7\x02\0\x20\x30\x3a\x36\x06\0\0\0";
        let write = |bytes: &[u8]| File::create(&path).and_then(|mut f| f.write_all(bytes));
        write(packed).expect("writes");
        assert_eq!(unpack(&path, "gzip").expect("unpacks"), b"hello\n");
        write(&packed[..15]).expect("writes");
        let error = unpack(&path, "gzip").expect_err("cut");
        assert!(error.message().starts_with("gzip cannot unpack the file: "), "{error}");
        let error = unpack(&path, "no-such-packer").expect_err("no tool");
        assert_eq!(error.advice(), Some("install no-such-packer, or unpack the file first"));
    }
}
