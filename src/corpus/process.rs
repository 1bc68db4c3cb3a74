//! Runs another program on a case: a create-diff-object to compare with, or the case's own
//! test script.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::case::{Case, Symtab};
use super::ours::symbols;
use crate::diag::{Code, Error, Result};
use crate::elf::image::Image;
use crate::host::child::{self, Limits};
use crate::host::files::{unreadable, unwritable};

/// Longest text of a program that is repeated.
const SHOWN: usize = 4096;

/// A program that ended.
pub(crate) struct Ended {
    pub status: ExitStatus,
    /// The last line it printed to standard error, or to standard output.
    pub last_line: String,
}

/// Another create-diff-object, and what it may do.
pub(crate) struct Other<'a> {
    pub program: &'a Path,
    pub limits: Limits<'a>,
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
        let ended = self.wait(command)?;
        Ok(Some((ended, output)))
    }

    /// Runs the case's own script on an output.
    pub fn test(&self, script: &Path, output: &Path, folder: &Path) -> Result<Ended> {
        let mut command = Command::new("bash");
        command.arg(script).arg(output).current_dir(script.parent().unwrap_or(folder));
        self.wait(command)
    }

    fn wait(&self, mut command: Command) -> Result<Ended> {
        let name = command.get_program().to_string_lossy().into_owned();
        let ended = child::run(&mut command, self.limits)
            .map_err(|trouble| Error::broken(Code::OtherTool, trouble.to_string()).in_file(name))?;
        let mut last = last_line(&ended.stderr);
        if last.is_empty() {
            last = last_line(&ended.stdout);
        }
        Ok(Ended { status: ended.status, last_line: last })
    }
}

/// The program to run: a path is made absolute, a bare name is left to PATH.
pub(crate) fn program(path: &Path) -> Result<PathBuf> {
    let path = if path.components().count() > 1 || path.is_file() {
        path.canonicalize().map_err(|e| unreadable(path, &e))?
    } else {
        path.to_owned()
    };
    if path.file_name() == Some(OsStr::new("klp-diff")) {
        return Err(Error::broken(
            Code::OtherTool,
            "this is klp-diff, which takes other arguments",
        )
        .in_file(path.display().to_string())
        .advise("give a create-diff-object"));
    }
    Ok(path)
}

fn last_line(bytes: &[u8]) -> String {
    let text =
        String::from_utf8_lossy(bytes.get(bytes.len().saturating_sub(SHOWN)..).unwrap_or(bytes));
    text.trim_end().lines().last().unwrap_or("").trim().to_owned()
}
