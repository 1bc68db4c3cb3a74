//! Compiling the sources of a case.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::diag::{Code, Error, Result};
use crate::host::child::{self, Limits};
use crate::host::files;

/// What has to be compiled.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The unpatched source.
    pub orig: PathBuf,
    /// The patched source; compiled with `-DPATCHED`, so it may be the same file.
    pub patched: PathBuf,
    /// What is run.
    pub command: String,
    /// Its options.
    pub args: Vec<String>,
    /// Text both objects must contain, or the compiler did not do what the case is about.
    pub needs_symbol: Option<String>,
}

/// What became of compiling.
pub(crate) enum Compiled {
    /// The objects: unpatched and patched.
    Objects(PathBuf, PathBuf),
    /// The compiler has no use for this case.
    Useless(String),
}

impl Source {
    /// Compiles both into `folder`. Fails when the compiler does, or takes too long.
    pub fn compile(&self, folder: &Path, limits: Limits<'_>) -> Result<Compiled> {
        let (orig, patched) = (folder.join("orig.o"), folder.join("patched.o"));
        self.compile_one(&self.orig, &[], &orig, limits)?;
        self.compile_one(&self.patched, &["-DPATCHED"], &patched, limits)?;
        if let Some(needed) = &self.needs_symbol {
            for object in [&orig, &patched] {
                let bytes = files::read(object)?;
                if !bytes.windows(needed.len()).any(|w| w == needed.as_bytes()) {
                    return Ok(Compiled::Useless(format!("{} made no {needed}", self.command)));
                }
            }
        }
        Ok(Compiled::Objects(orig, patched))
    }

    fn compile_one(
        &self,
        source: &Path,
        define: &[&str],
        out: &Path,
        limits: Limits<'_>,
    ) -> Result<()> {
        let fail =
            |what: String| Error::broken(Code::Compile, what).in_file(source.display().to_string());
        let (folder, name) = match (source.parent(), source.file_name()) {
            (Some(folder), Some(name)) if folder != Path::new("") => (folder, name),
            _ => (Path::new("."), source.as_os_str()),
        };
        let mut command = Command::new(&self.command);
        command.args(&self.args).args(define).args(["-c", "-o"]).arg(out).arg(name);
        let output = child::run(command.current_dir(folder), limits)
            .map_err(|trouble| fail(format!("{}: {trouble}", self.command)))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().find(|line| line.contains("error")).unwrap_or(&said);
        Err(fail(format!("{} failed: {}", self.command, first.trim())))
    }
}

/// Whether `command` with `args` compiles at all on this machine.
pub(crate) fn is_installed(command: &str, args: &[String]) -> bool {
    let mut probe = Command::new(command);
    probe.args(args).args(["-x", "c", "-c", "/dev/null", "-o", "/dev/null"]);
    let limits = Limits { time: Some(Duration::from_secs(60)), stop: None };
    child::run(&mut probe, limits).is_ok_and(|ended| ended.status.success())
}
