//! Writing an object to disk so that either the whole checked file is there, or nothing.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::map::Map;
use super::out::Model;
use super::verify::verify;
use super::write::write_to;
use crate::diag::{Code, Error, Result};
use crate::host::files::{folder_of, temporary_for, without_path};

/// Writes a model to `path`, replacing a file of that name.
///
/// The bytes go to a temporary file in the same folder (mode 0664 less the umask), are read
/// back and compared with the model, and only then get their name; on any error `path` is
/// untouched and nothing else is left behind. A symbolic link is followed. Fails with
/// [`crate::diag::Class::Broken`]: code `unwritable` when the file cannot be made, else the
/// codes of [`write_to`] and [`verify`].
pub fn publish(path: &Path, model: &dyn Model) -> Result<()> {
    publish_proved(path, model, &|_| Ok(()))
}

/// Fails unless the bytes of a file mean what they should.
pub type Proof<'p> = &'p dyn Fn(&[u8]) -> Result<()>;

/// [`publish`], if `proof` accepts what was written.
pub fn publish_proved(path: &Path, model: &dyn Model, proof: Proof<'_>) -> Result<()> {
    let shown = path.display().to_string();
    publish_inner(path, model, proof).map_err(|e| e.in_file(shown))
}

/// Bytes that are handed to the system at once.
const PIECE: usize = 256 * 1024;

fn publish_inner(path: &Path, model: &dyn Model, proof: Proof<'_>) -> Result<()> {
    let target = target(path)?;
    let (file, _registered) = temporary_for(&target).map_err(|e| {
        let folder = folder_of(&target).display();
        unwritable("cannot create a file in the folder", &e).advise(match e.kind() {
            io::ErrorKind::NotFound => format!("create the folder {folder} first"),
            io::ErrorKind::NotADirectory => format!("{folder} is not a folder"),
            _ => format!("is {folder} writable for you?"),
        })
    })?;
    write_to(model, &mut BufWriter::with_capacity(PIECE, file.as_file()))?;
    let stored =
        Map::new(file.as_file(), file.path()).map_err(|e| unwritable("cannot read back", &e))?;
    verify(model, &stored)?;
    proof(&stored)?;
    drop(stored);
    file.persist(&target).map_err(|e| unwritable("cannot replace the file", &e.error))?;
    Ok(())
}

fn unwritable(what: &str, error: &io::Error) -> Error {
    Error::broken(Code::Unwritable, format!("{what}: {}", without_path(error)))
}

/// The file to replace: `path` itself, or what a symbolic link there points to.
fn target(path: &Path) -> Result<PathBuf> {
    let refuse = |what: &str| {
        Err(Error::broken(Code::Unwritable, format!("cannot write: {what}"))
            .advise("give the name of the file to write"))
    };
    if path.file_name().is_none() {
        return refuse("this is not the name of a file");
    }
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => refuse("this is a folder"),
        Ok(meta) if !meta.is_file() => refuse("this is not a regular file"),
        Ok(_) => path.canonicalize().map_err(|e| unwritable("cannot write", &e)),
        Err(_) if path.is_symlink() => refuse("this is a symbolic link that leads nowhere"),
        // Whatever else is wrong shows when the temporary file is made.
        Err(_) => Ok(path.to_owned()),
    }
}
