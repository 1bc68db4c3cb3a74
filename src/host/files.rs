//! Files that are read and written: regular ones, and what stands for them on purpose.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use super::cleanup::{Leftover, Registered, register};
use crate::diag::{Code, Error, Result};

/// Most bytes that are read of a pipe, and of files that hold text about a corpus.
pub const LONGEST: u64 = 1 << 30;

/// An error about a file that cannot be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::broken(Code::Unreadable, format!("cannot read: {error}"))
        .in_file(path.display().to_string())
}

/// An error about a file that cannot be written.
pub fn unwritable(path: &Path, error: &io::Error) -> Error {
    Error::broken(Code::Unwritable, format!("cannot write: {}", without_path(error)))
        .in_file(path.display().to_string())
}

/// What an error says, without the name of the temporary file that it came from, which is another one each time.
pub fn without_path(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" at path \"") {
        Some((what, _)) => what.to_owned(),
        None => text,
    }
}

/// What a file is, when it is none that can be read to its end.
fn oddity(path: &Path, meta: &Metadata, any: bool) -> Option<&'static str> {
    let kind = meta.file_type();
    if kind.is_file() {
        return None;
    }
    if kind.is_dir() {
        return Some("this is a folder");
    }
    if kind.is_char_device() {
        // Anything else may have no end.
        let null = rustix::fs::makedev(1, 3);
        return (!any || meta.rdev() != null).then_some("this is a device");
    }
    if kind.is_fifo() {
        // One that a shell made, `<(...)`, has a writer and no name: /dev/fd/N leads to it.
        return (!any || path.canonicalize().is_ok()).then_some("this is a named pipe");
    }
    Some(if kind.is_socket() { "this is a socket" } else { "this is a device" })
}

/// Opens a regular file, or with `any` what stands for one: /dev/null, or a pipe of the shell.
/// Never waits for somebody to open the other end of a pipe.
pub fn open(path: &Path, any: bool) -> Result<(File, Metadata)> {
    let shown = || path.display().to_string();
    let fail = |e: io::Error| {
        Error::broken(Code::Unreadable, format!("cannot open: {e}")).in_file(shown())
    };
    let odd = |what: &str| {
        Error::broken(Code::Unreadable, format!("not a regular file: {what}")).in_file(shown())
    };
    let before = std::fs::metadata(path).map_err(fail)?;
    if let Some(what) = oddity(path, &before, any) {
        return Err(odd(what));
    }
    let mut options = OpenOptions::new();
    options.read(true);
    if before.is_file() {
        // Should it be another file by now, it is not waited for either.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    let file = options.open(path).map_err(fail)?;
    let meta = file.metadata().map_err(fail)?;
    match oddity(path, &meta, any) {
        None if meta.is_file() == before.is_file() => Ok((file, meta)),
        what => Err(odd(what.unwrap_or("it was replaced meanwhile"))),
    }
}

/// All bytes of a file, which may be a pipe of the shell. Fails beyond [`LONGEST`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let (file, _) = open(path, true)?;
    read_all(path, file, LONGEST)
}

/// All bytes of a stream, at most `limit`.
pub fn read_all(path: &Path, stream: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| unreadable(path, &e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::broken(Code::Unreadable, format!("longer than {} MiB", limit >> 20))
            .in_file(path.display().to_string()));
    }
    Ok(bytes)
}

/// A file's text. Fails when it is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|e| {
        Error::broken(Code::Unreadable, format!("not UTF-8 text: {}", e.utf8_error()))
            .in_file(path.display().to_string())
    })
}

/// Writes a file as a whole or not at all; `-` is standard output.
pub fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |e: io::Error| unwritable(path, &e);
    if path == Path::new("-") {
        let mut out = io::stdout().lock();
        return out.write_all(bytes).and_then(|()| out.flush()).map_err(fail);
    }
    // A device or a pipe cannot be replaced.
    if path.metadata().is_ok_and(|m| !m.is_file()) {
        let mut file = OpenOptions::new().write(true).open(path).map_err(fail)?;
        return file.write_all(bytes).map_err(fail);
    }
    // What a symbolic link leads to is written, not the link.
    let real = path.canonicalize();
    let real = real.as_deref().unwrap_or(path);
    let (mut file, _registered) = temporary_for(real).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.persist(real).map_err(|e| fail(e.error))?;
    Ok(())
}

/// The folder that a path is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."))
}

/// An empty file in the folder of `target`, whose place it is to take. It is removed when the
/// program ends before that.
pub(crate) fn temporary_for(target: &Path) -> io::Result<(tempfile::NamedTempFile, Registered)> {
    let make = || {
        tempfile::Builder::new()
            .prefix(".klp-")
            .suffix(".tmp")
            .permissions(Permissions::from_mode(0o664))
            .tempfile_in(folder_of(target))
    };
    register(make, |file| Leftover::File(file.path().to_owned()))
}

/// What tells a file apart from all others: its device and number, or, while it is not there,
/// its folder's and its name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    There(u64, u64),
    Missing(PathBuf),
}

impl Identity {
    fn of(path: &Path) -> Option<Identity> {
        match path.metadata() {
            Ok(meta) if meta.is_file() => Some(Identity::There(meta.dev(), meta.ino())),
            // Devices, pipes and folders are not replaced.
            Ok(_) => None,
            Err(_) => {
                let folder = folder_of(path);
                let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
                Some(Identity::Missing(folder.join(path.file_name()?)))
            }
        }
    }
}

/// Fails when writing the outputs would destroy an input, also through a link, or an earlier
/// output. Each path has the name of what it was given as.
pub fn check_outputs<'p>(
    outputs: impl IntoIterator<Item = (&'p str, &'p Path)>,
    inputs: impl IntoIterator<Item = &'p Path>,
) -> Result<()> {
    let mut known: BTreeMap<Identity, String> = BTreeMap::new();
    let outputs: Vec<_> = outputs.into_iter().filter(|(_, path)| *path != Path::new("-")).collect();
    if outputs.is_empty() {
        return Ok(());
    }
    for input in inputs {
        if let Some(identity) = Identity::of(input) {
            known.insert(identity, format!("the input {}", input.display()));
        }
    }
    for (what, path) in outputs {
        let Some(identity) = Identity::of(path) else { continue };
        if let Some(other) = known.get(&identity) {
            return Err(Error::broken(
                Code::SameFile,
                format!("{what} would overwrite {other}, which is the same file"),
            )
            .in_file(path.display().to_string())
            .advise("give each output a name of its own"));
        }
        known.insert(identity, what.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_an_end_is_read() {
        let folder = tempfile::tempdir().expect("folder");
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        for any in [false, true] {
            let refused = |path: &Path| open(path, any).expect_err("odd").message().to_owned();
            assert_eq!(refused(folder.path()), "not a regular file: this is a folder");
            assert_eq!(refused(Path::new("/dev/zero")), "not a regular file: this is a device");
            if made.as_ref().is_ok_and(|status| status.success()) {
                assert_eq!(refused(&fifo), "not a regular file: this is a named pipe");
            }
        }
        assert!(open(Path::new("/dev/null"), false).is_err());
        assert_eq!(read(Path::new("/dev/null")).expect("reads"), b"");
        let file = folder.path().join("file");
        std::fs::write(&file, [b'x'; 10]).expect("written");
        assert_eq!(read(&file).expect("reads"), [b'x'; 10]);
        assert!(read_all(&file, &[0; 10][..], 9).is_err());
    }

    #[test]
    fn files_are_saved_whole_and_through_links() {
        let folder = tempfile::tempdir().expect("folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::os::unix::fs::symlink(&file, &link).expect("link");
        for text in ["one", "two"] {
            std::fs::write(&file, "old").expect("written");
            save(&link, text.as_bytes()).expect("saves");
            assert_eq!(std::fs::read_to_string(&file).expect("reads"), text);
            assert!(link.is_symlink());
        }
        assert!(save(Path::new("/dev/full"), b"x").is_err());
        assert!(save(&folder.path().join("no/such"), b"x").is_err());
        assert_eq!(folder.path().read_dir().expect("lists").count(), 2);
    }

    #[test]
    fn outputs_that_are_inputs_are_found() {
        let folder = tempfile::tempdir().expect("folder");
        let path = |name: &str| folder.path().join(name);
        let (input, hard, soft, new) = (path("in"), path("hard"), path("soft"), path("new"));
        std::fs::write(&input, "x").expect("written");
        std::fs::hard_link(&input, &hard).expect("link");
        std::os::unix::fs::symlink(&input, &soft).expect("link");
        let dotted = folder.path().join(".").join("new");
        let check = |outputs: &[&Path]| {
            check_outputs(outputs.iter().map(|p| ("-o", *p)), [&*input, Path::new("/dev/null")])
        };
        for output in [&input, &hard, &soft] {
            let error = check(&[output]).expect_err("same file");
            assert!(error.message().starts_with("-o would overwrite the input "), "{error}");
        }
        assert!(check(&[&new]).is_ok());
        assert!(check(&[&new, &dotted]).is_err());
        assert!(check(&[Path::new("/dev/null"), Path::new("/dev/null"), Path::new("-")]).is_ok());
    }
}
