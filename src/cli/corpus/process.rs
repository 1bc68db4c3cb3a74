//! Runs another program on a case: a create-diff-object to compare with, or the case's own
//! test script.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::case::{Case, Symtab};
use super::ours::symbols;
use super::source::unreadable;
use crate::elf::image::Image;
use crate::error::{Error, Result};

/// How often a running program is looked at.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest text of a program that is repeated.
const SHOWN: u64 = 4096;

/// A program that ended.
pub(super) struct Ended {
    pub status: ExitStatus,
    /// The last line it printed to standard error, or to standard output.
    pub last_line: String,
}

/// Another create-diff-object, and what it may do.
pub(super) struct Other<'a> {
    pub program: &'a Path,
    pub time_limit: Duration,
    pub stop: &'a AtomicBool,
}

impl Other<'_> {
    /// Runs it on `orig` and `patched`; returns how it ended and the path of its output in
    /// `folder`. `None`: the case has no symbol table and cannot be given to it.
    pub fn run(
        &self,
        case: &Case,
        orig: &Path,
        patched: &Path,
        folder: &Path,
    ) -> Result<Option<(Ended, PathBuf)>> {
        let symtab = match &case.symtab {
            Symtab::None => return Ok(None),
            Symtab::File(path) => path.clone(),
            Symtab::OfOrig => {
                let name = orig.display().to_string();
                let text = symbols(&name, Image::open(orig)?.bytes(), false)?;
                let path = folder.join("parent.symtab");
                std::fs::write(&path, text).map_err(|e| unwritable(&path, &e))?;
                path
            }
        };
        let output = folder.join("output.o");
        let mut command = Command::new(self.program);
        if case.klp_arch {
            command.arg("--klp-arch");
        }
        command
            .args([orig, patched])
            .arg(&case.parent)
            .arg(symtab)
            .arg(case.symvers.as_deref().unwrap_or(Path::new("/dev/null")))
            .arg(&case.module)
            .arg(&output)
            .current_dir(folder);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().ends_with("_STRUCT_SIZE") {
                command.env_remove(name);
            }
        }
        command.envs(&case.env);
        let ended = self.wait(command, folder)?;
        Ok(Some((ended, output)))
    }

    /// Runs the case's own script on an output.
    pub fn test(&self, script: &Path, output: &Path, folder: &Path) -> Result<Ended> {
        let mut command = Command::new("bash");
        command.arg(script).arg(output).current_dir(script.parent().unwrap_or(folder));
        self.wait(command, folder)
    }

    fn wait(&self, mut command: Command, folder: &Path) -> Result<Ended> {
        let name = command.get_program().to_string_lossy().into_owned();
        let fail = |what: &str, e: &std::io::Error| {
            Error::broken("other-tool", format!("{what}: {e}")).in_file(name.clone())
        };
        let (out, err) = (folder.join("stdout"), folder.join("stderr"));
        let create = |path: &Path| File::create(path).map_err(|e| unwritable(path, &e));
        command.stdin(Stdio::null()).stdout(create(&out)?).stderr(create(&err)?);
        let mut child = command.spawn().map_err(|e| fail("cannot run", &e))?;
        let deadline = Instant::now() + self.time_limit;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(|e| fail("cannot wait for it", &e))? {
                break status;
            }
            let stopped = self.stop.load(Ordering::Relaxed);
            if stopped || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                let seconds = self.time_limit.as_secs();
                let why = if stopped {
                    "interrupted".into()
                } else {
                    format!("no end after {seconds} s")
                };
                return Err(Error::broken("other-tool", why).in_file(name));
            }
            std::thread::sleep(PAUSE);
        };
        let mut last_line = last_line(&err)?;
        if last_line.is_empty() {
            last_line = self::last_line(&out)?;
        }
        Ok(Ended { status, last_line })
    }
}

/// The program to run: a path is made absolute, a bare name is left to PATH.
pub(super) fn program(path: &Path) -> Result<PathBuf> {
    let path = if path.components().count() > 1 || path.is_file() {
        path.canonicalize().map_err(|e| unreadable(path, &e))?
    } else {
        path.to_owned()
    };
    if path.file_name() == Some(OsStr::new("klp-diff")) {
        return Err(Error::broken("other-tool", "this is klp-diff, which takes other arguments")
            .in_file(path.display().to_string())
            .advise("give a create-diff-object"));
    }
    Ok(path)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::broken("unwritable", format!("cannot write: {error}"))
        .in_file(path.display().to_string())
}

fn last_line(path: &Path) -> Result<String> {
    let fail = |e: std::io::Error| unreadable(path, &e);
    let mut file = File::open(path).map_err(fail)?;
    let len = file.metadata().map_err(fail)?.len();
    file.seek(std::io::SeekFrom::Start(len.saturating_sub(SHOWN))).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(SHOWN).read_to_end(&mut bytes).map_err(fail)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_end().lines().last().unwrap_or("").trim().to_owned())
}
