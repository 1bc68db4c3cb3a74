//! What a build of a corpus says of itself.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::compilers::Compiler;
use super::source::is_installed;
use crate::diag::{Code, Error, Result};
use crate::host::files;

/// The file that says what was built; a folder with it is a build.
pub(crate) const RECORD: &str = "build.json";

/// What was made of the sources.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Per compiler, what became of its cases.
    pub compilers: BTreeMap<String, Counts>,
    /// Compilers that are missing, and what could not be compiled.
    pub notes: Vec<String>,
    /// Why each failed.
    pub failures: Vec<String>,
    /// Folders of the cases.
    #[serde(default)]
    pub cases: Vec<String>,
}

/// Numbers of cases.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub built: usize,
    /// The compiler did not do what the case is about.
    pub useless: usize,
    pub failed: usize,
}

/// A remark when `compiler` is not installed and `cases` are skipped for it.
pub(crate) fn missing(compiler: &Compiler, cases: usize) -> Option<String> {
    let variant = compiler.variants.first().map_or("", |(_, flags)| flags);
    let absent = cases > 0 && !is_installed(compiler.command, &compiler.args(variant, ""));
    absent.then(|| format!("skipped: {cases} cases, {} is not installed", compiler.name))
}

/// The remarks of the build that `path` records.
pub(crate) fn notes(path: &Path) -> Result<Vec<String>> {
    let bytes = files::read(path)?;
    let record: Record = serde_json::from_slice(&bytes).map_err(|e| {
        Error::broken(Code::Case, format!("not a record of a build: {e}"))
            .in_file(path.display().to_string())
    })?;
    Ok(record.notes)
}
