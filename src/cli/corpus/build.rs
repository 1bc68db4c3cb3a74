//! `corpus build`: compiles the sources once, into a tree that `corpus run` reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::case::{Case, Objects};
use super::compilers::{Compiler, FLAGS};
use super::find::Found;
use super::source::{Compiled, Header, Source, is_installed, unreadable};
use super::{file, results};
use crate::error::{Error, Result};

/// The file that says what was built; a folder with it is a build.
pub(super) const RECORD: &str = "build.json";

/// What was made of the sources.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// Per compiler, what became of its cases.
    pub compilers: BTreeMap<String, Counts>,
    /// Compilers that are missing, and what could not be compiled.
    pub notes: Vec<String>,
    /// Why each failed.
    pub failures: Vec<String>,
}

/// Numbers of cases.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    pub built: usize,
    /// The compiler did not do what the case is about.
    pub useless: usize,
    pub failed: usize,
}

/// A remark when `compiler` is not installed and `cases` are skipped for it.
pub(super) fn missing(compiler: &Compiler, cases: usize) -> Option<String> {
    let flags = FLAGS.split_whitespace().chain(compiler.flags.split_whitespace());
    let args: Vec<String> = flags.map(str::to_owned).collect();
    let absent = cases > 0 && !is_installed(compiler.command, &args);
    absent.then(|| format!("skipped: {cases} cases, {} is not installed", compiler.name))
}

/// The remarks of the build that `path` records.
pub(super) fn notes(path: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    let record: Record = serde_json::from_slice(&bytes).map_err(|e| {
        Error::broken("case", format!("not a record of a build: {e}"))
            .in_file(path.display().to_string())
    })?;
    Ok(record.notes)
}

/// Compiles what `found` has of sources into `out`, which must not exist or be an earlier
/// build. It appears as a whole or not at all.
pub(super) fn build(found: Found, out: &Path, jobs: usize, stop: &AtomicBool) -> Result<Record> {
    let shown = out.display().to_string();
    let fail = |what: &str, e: std::io::Error| {
        Error::broken("unwritable", format!("{what}: {e}")).in_file(shown.clone())
    };
    if let Some((_, error)) = found.broken.into_iter().next() {
        return Err(error);
    }
    if out.exists() && !out.join(RECORD).is_file() {
        return Err(Error::broken("unwritable", "this exists and is no earlier build")
            .in_file(shown)
            .advise("give the name of a new folder"));
    }
    let parent = out.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    let whole = tempfile::Builder::new()
        .prefix(".klp-build-")
        .tempdir_in(parent)
        .map_err(|e| fail("cannot make a folder beside it", e))?;
    let record = Mutex::new(Record { notes: found.notes, ..Record::default() });
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|e| Error::broken("threads", format!("cannot start a thread: {e}")))?;
    pool.install(|| {
        found.cases.par_iter().try_for_each(|case| {
            let Objects::Source(source) = &case.objects else { return Ok(()) };
            if stop.load(Ordering::Relaxed) {
                return Err(Error::broken("interrupted", "interrupted: nothing was written")
                    .in_file(shown.clone()));
            }
            let result = one(case, source, whole.path());
            let compiler = case.name.split('/').nth_back(2).unwrap_or("");
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            let counts = record.compilers.entry(compiler.to_owned()).or_default();
            match result {
                Ok(true) => counts.built += 1,
                Ok(false) => counts.useless += 1,
                Err(error) => {
                    counts.failed += 1;
                    record.failures.push(format!("{}: {error}", case.name));
                }
            }
            Ok(())
        })
    })?;
    let mut record = record.into_inner().unwrap_or_else(PoisonError::into_inner);
    record.failures.sort_unstable();
    let text = serde_json::to_vec_pretty(&record)
        .map_err(|e| Error::broken("unwritable", format!("cannot be put as JSON: {e}")))?;
    results::save(&whole.path().join(RECORD), &text)?;
    if stop.load(Ordering::Relaxed) {
        return Err(Error::broken("interrupted", "interrupted: nothing was written").in_file(shown));
    }
    let old = whole.path().with_extension("old");
    if out.exists() {
        std::fs::rename(out, &old).map_err(|e| fail("cannot replace the earlier build", e))?;
    }
    let path = whole.keep();
    std::fs::rename(&path, out).map_err(|e| fail("cannot give the build its name", e))?;
    if old.exists() {
        std::fs::remove_dir_all(&old).map_err(|e| fail("cannot remove the earlier build", e))?;
    }
    Ok(record)
}

/// Compiles one case into its folder; false when the compiler has no use for it.
fn one(case: &Case, source: &Source, root: &Path) -> Result<bool> {
    // COMPILER/VARIANT/CASE, without the folder the sources are in.
    let mut parts: Vec<&str> = case.name.rsplit('/').take(3).collect();
    parts.reverse();
    let folder: PathBuf = parts.iter().fold(root.to_owned(), |path, part| path.join(part));
    std::fs::create_dir_all(&folder).map_err(|e| unreadable(&folder, &e))?;
    let useless = matches!(source.compile(&folder)?, Compiled::Useless(_));
    if useless {
        std::fs::remove_dir_all(&folder).map_err(|e| unreadable(&folder, &e))?;
        return Ok(false);
    }
    let text = std::fs::read_to_string(&source.orig).map_err(|e| unreadable(&source.orig, &e))?;
    let header = Header::parse(&source.orig, &text)?;
    let what = header.as_ref().map_or("", Header::what);
    file::write(&folder, case, what)?;
    Ok(true)
}
