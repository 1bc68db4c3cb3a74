//! Compressed input files: distributions ship `NAME.ko.xz`, `NAME.ko.zst` and the like.
//!
//! The unpacking is left to the tools that every distribution with such files has: they are
//! run once per file, and no library has to be kept up to date for it.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::diag::{Code, Error, Result};
use crate::host::child::{Limits, Running};
use crate::host::files;

/// First bytes of a compressed file, and the tool that unpacks it to its standard output.
const PACKERS: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b", "gzip")];

/// The tool that unpacks a file which starts with these bytes; `None` when it is not packed.
pub fn packer(start: &[u8]) -> Option<&'static str> {
    PACKERS.iter().find(|(magic, _)| start.starts_with(magic)).map(|p| p.1)
}

/// The contents of the compressed file at `path`, at most `limit` bytes. Fails when `tool` is
/// not installed or does not like the file, and when more comes out of it.
pub fn unpack(path: &Path, tool: &'static str, limit: u64) -> Result<Vec<u8>> {
    let shown = path.display().to_string();
    let fail = |what: String| Error::broken(Code::Unreadable, what).in_file(shown.clone());
    let broken = |e: std::io::Error| fail(format!("{tool} cannot be run: {e}"));
    let (file, _) = files::open(path, false)?;
    let mut said = tempfile::tempfile().map_err(broken)?;
    let mut command = Command::new(tool);
    command.arg("-dc").stdin(file).stdout(Stdio::piped());
    command.stderr(said.try_clone().map_err(broken)?);
    let mut running = Running::start(&mut command).map_err(|e| {
        fail(format!("the file is compressed and {tool} cannot be run: {e}"))
            .advise(format!("install {tool}, or unpack the file first"))
    })?;
    let mut bytes = Vec::new();
    if let Some(stdout) = running.take_stdout() {
        stdout.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(broken)?;
    }
    if bytes.len() as u64 > limit {
        return Err(fail(format!(
            "it unpacks to more than {} MiB, which is too much for its size",
            limit >> 20
        ))
        .advise("unpack the file first, if this is meant"));
    }
    let status = running.wait(Limits::default(), &|| false);
    let status = status.map_err(|trouble| fail(format!("{tool}: {trouble}")))?;
    if !status.success() {
        let mut text = Vec::new();
        said.seek(SeekFrom::Start(0)).map_err(broken)?;
        said.take(SHOWN).read_to_end(&mut text).map_err(broken)?;
        let text = String::from_utf8_lossy(&text);
        return Err(fail(format!("{tool} cannot unpack the file: {}", text.trim())));
    }
    Ok(bytes)
}

/// Most of a tool's complaint that is repeated.
const SHOWN: u64 = 4096;

#[cfg(test)]
mod tests {
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
        let write = |bytes: &[u8]| std::fs::write(&path, bytes);
        let unpack = |path, tool| super::unpack(path, tool, 6);
        write(packed).expect("writes");
        assert_eq!(unpack(&path, "gzip").expect("unpacks"), b"hello\n");
        let error = super::unpack(&path, "gzip", 5).expect_err("long");
        assert!(error.message().starts_with("it unpacks to more than "), "{error}");
        write(&packed[..15]).expect("writes");
        let error = unpack(&path, "gzip").expect_err("cut");
        assert!(error.message().starts_with("gzip cannot unpack the file: "), "{error}");
        let error = unpack(&path, "no-such-packer").expect_err("no tool");
        assert_eq!(error.advice(), Some("install no-such-packer, or unpack the file first"));
    }
}
