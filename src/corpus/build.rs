//! `corpus build`: compiles the sources once, into a tree that `corpus run` reads.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rayon::prelude::*;
use rustix::fs::{CWD, RenameFlags};

use super::case::{Case, Objects};
use super::file;
use super::find::Found;
use super::header::Header;
use super::record::{RECORD, Record};
use super::source::{Compiled, Source};
use crate::diag::{Code, Error, Result};
use crate::host::child::Limits;
use crate::host::cleanup::TempFolder;
use crate::host::files::{self, unreadable, unwritable};

/// The files of a case.
const FILES: [&str; 3] = ["orig.o", "patched.o", "case.toml"];
/// Time for one compilation.
const TIME: Duration = Duration::from_secs(300);

/// Compiles what `found` has of sources into `out`, which must not exist or be an earlier
/// build. It appears as a whole or not at all.
pub(crate) fn build(found: Found, out: &Path, jobs: usize, stop: &AtomicBool) -> Result<Record> {
    let shown = out.display().to_string();
    let fail = |what: &str, e: std::io::Error| {
        Error::broken(Code::Unwritable, format!("{what}: {e}")).in_file(shown.clone())
    };
    if let Some((_, error)) = found.broken.into_iter().next() {
        return Err(error);
    }
    let out = &out.canonicalize().unwrap_or_else(|_| out.to_owned());
    let earlier = out.symlink_metadata().is_ok();
    if earlier {
        check_replaceable(out)?;
    }
    let parent = out.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    let whole = TempFolder::new(".klp-build-", Some(parent))
        .map_err(|e| fail("cannot make a folder beside it", e))?;
    let record = Mutex::new(Record { notes: found.notes, ..Record::default() });
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|e| Error::broken(Code::Threads, format!("cannot start a thread: {e}")))?;
    pool.install(|| {
        found.cases.par_iter().try_for_each(|case| {
            let Objects::Source(source) = &case.objects else { return Ok(()) };
            if stop.load(Ordering::Relaxed) {
                return Err(Error::broken(Code::Interrupted, "interrupted: nothing was written")
                    .in_file(shown.clone()));
            }
            let parts: Vec<&str> = case.name.rsplit('/').take(3).collect();
            // COMPILER/VARIANT/CASE, without the folder the sources are in.
            let place = parts.into_iter().rev().collect::<Vec<_>>().join("/");
            let limits = Limits { time: Some(TIME), stop: Some(stop) };
            let result = one(case, source, &whole.path().join(&place), limits);
            let compiler = case.name.split('/').nth_back(2).unwrap_or("");
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            let counts = record.compilers.entry(compiler.to_owned()).or_default();
            match result {
                Ok(true) => {
                    counts.built += 1;
                    record.cases.push(place);
                }
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
    record.cases.sort_unstable();
    let text = serde_json::to_vec_pretty(&record)
        .map_err(|e| Error::broken(Code::Unwritable, format!("cannot be put as JSON: {e}")))?;
    files::save(&whole.path().join(RECORD), &text)?;
    if stop.load(Ordering::Relaxed) {
        return Err(
            Error::broken(Code::Interrupted, "interrupted: nothing was written").in_file(shown)
        );
    }
    if earlier {
        // Then the earlier build is the temporary folder, which goes away.
        rustix::fs::renameat_with(CWD, whole.path(), CWD, out, RenameFlags::EXCHANGE)
            .map_err(|e| fail("cannot replace the earlier build", e.into()))?;
    } else {
        std::fs::rename(whole.path(), out)
            .map_err(|e| fail("cannot give the build its name", e))?;
        whole.keep();
    }
    Ok(record)
}

/// Fails when `out` has anything that no build has made: it would be lost.
fn check_replaceable(out: &Path) -> Result<()> {
    let refuse = |what: String| {
        Error::broken(Code::Unwritable, what)
            .in_file(out.display().to_string())
            .advise("give the name of a new folder, or remove this one first")
    };
    if !out.join(RECORD).is_file() {
        return Err(refuse("this exists and is no earlier build".to_owned()));
    }
    let record: Record = serde_json::from_slice(&files::read(&out.join(RECORD))?)
        .map_err(|e| refuse(format!("this exists, and its {RECORD} is that of no build: {e}")))?;
    let mut known: BTreeSet<PathBuf> = BTreeSet::from([out.join(RECORD)]);
    for case in &record.cases {
        known.extend(FILES.map(|file| out.join(case).join(file)));
    }
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().map_err(|e| unreadable(&folder, &e))? {
            let entry = entry.map_err(|e| unreadable(&folder, &e))?;
            let kind = entry.file_type().map_err(|e| unreadable(&folder, &e))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if !kind.is_file() || !known.contains(&entry.path()) {
                let what = format!("{} is not part of an earlier build", entry.path().display());
                return Err(refuse(what));
            }
        }
    }
    Ok(())
}

/// Compiles one case into its folder; false when the compiler has no use for it.
fn one(case: &Case, source: &Source, folder: &Path, limits: Limits<'_>) -> Result<bool> {
    std::fs::create_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
    let useless = matches!(source.compile(folder, limits)?, Compiled::Useless(_));
    if useless {
        std::fs::remove_dir_all(folder).map_err(|e| unwritable(folder, &e))?;
        return Ok(false);
    }
    let text = files::read_text(&source.orig)?;
    let header = Header::parse(&source.orig, &text)?;
    let what = header.as_ref().map_or("", Header::what);
    file::write(folder, case, what)?;
    Ok(true)
}
