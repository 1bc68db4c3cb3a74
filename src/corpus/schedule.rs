//! Runs cases in parallel within a memory budget, and stops in good order.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "estimates of memory in MiB, of files that are there, and counts"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::case::{Case, Objects, Symtab};
use super::judge::Judge;
use super::results::{Record, Status};
use crate::diag::{Code, Error, Result};

/// What a case takes at least, in MiB.
const LEAST: u64 = 8;
/// Bytes of memory per byte of the objects, their mapping included. The output and its
/// canonical form are parts of it.
const PER_OBJECT_BYTE: u64 = 4;
/// Bytes of memory per byte of a symbol table: its text, and an entry per row.
const PER_SYMTAB_BYTE: u64 = 3;
const MIB: u64 = 1 << 20;

/// How many at once, and how much memory for all of them together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub jobs: usize,
    pub memory_mib: u64,
}

/// MiB that a case needs, judged from the sizes of its files. What cannot be read counts
/// nothing: the case itself will tell.
pub(crate) fn estimate(case: &Case) -> u64 {
    let size = |path: &Path| path.metadata().map_or(0, |m| m.len());
    let objects = match &case.objects {
        Objects::Built { orig, patched } => size(orig).saturating_add(size(patched)),
        Objects::Source(source) => size(&source.orig).saturating_add(size(&source.patched)),
    };
    let mut symtab = case.symvers.as_deref().map_or(0, size);
    symtab = symtab.saturating_add(match &case.symtab {
        Symtab::File(path) => size(path),
        Symtab::OfOrig => objects / 2,
        Symtab::None => 0,
    });
    let bytes = objects
        .saturating_mul(PER_OBJECT_BYTE)
        .saturating_add(symtab.saturating_mul(PER_SYMTAB_BYTE));
    LEAST + bytes / MIB
}

#[derive(Default)]
struct State {
    next: usize,
    used_mib: u64,
    records: Vec<Record>,
}

/// Runs all cases; the results are in no order. After `stop` no further case is begun, and
/// those that were not run are [`Status::NotRun`].
pub(crate) fn run(
    cases: &[Case],
    limits: Limits,
    judge: &Judge<'_>,
    stop: &AtomicBool,
) -> Result<Vec<Record>> {
    let progress = progress(cases.len());
    let (state, freed) = (Mutex::new(State::default()), Condvar::new());
    // One thread for each: the number of cases at once is what is asked for.
    let pools = (0..limits.jobs.clamp(1, cases.len().max(1)))
        .map(|_| ThreadPoolBuilder::new().num_threads(1).build())
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| Error::broken(Code::Threads, format!("cannot start a thread: {e}")))?;
    let work = |pool: &ThreadPool| {
        while let Some((case, memory)) = take(cases, limits, &state, &freed, stop) {
            // A crash is a result of this case, not the end of the others.
            let run = AssertUnwindSafe(|| pool.install(|| judge.run(case, memory)));
            let record = catch_unwind(run).unwrap_or_else(|_| crashed(case));
            let mut state = lock(&state);
            state.used_mib -= memory;
            state.records.push(record);
            drop(state);
            freed.notify_all();
            progress.inc(1);
        }
    };
    std::thread::scope(|scope| {
        let Some((first, others)) = pools.split_first() else { return };
        for pool in others {
            // Where there is no thread for it, the others do its work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, || work(pool));
        }
        work(first);
    });
    progress.finish_and_clear();
    let State { next, mut records, .. } =
        state.into_inner().unwrap_or_else(PoisonError::into_inner);
    records.extend(cases.iter().skip(next).map(|case| {
        let expected = case.expected.exit.to_string();
        Record::unrun(&case.name, expected, Status::NotRun, "interrupted".to_owned())
    }));
    Ok(records)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next case, as soon as there is memory for it.
fn take<'c>(
    cases: &'c [Case],
    limits: Limits,
    state: &Mutex<State>,
    freed: &Condvar,
    stop: &AtomicBool,
) -> Option<(&'c Case, u64)> {
    let mut guard = lock(state);
    loop {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let case = cases.get(guard.next)?;
        let memory = estimate(case);
        if memory > limits.memory_mib {
            guard.next += 1;
            guard.records.push(Record::unrun(
                &case.name,
                case.expected.exit.to_string(),
                Status::Error,
                format!("it needs about {memory} MiB: raise --mem-limit ({})", limits.memory_mib),
            ));
            continue;
        }
        if guard.used_mib + memory <= limits.memory_mib {
            guard.next += 1;
            guard.used_mib += memory;
            return Some((case, memory));
        }
        guard = freed.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
}

fn crashed(case: &Case) -> Record {
    let why = "klp-diff crashed on this case, which is a bug: please report it with the objects";
    Record::unrun(&case.name, case.expected.exit.to_string(), Status::Error, why.to_owned())
}

/// Shown on terminals only.
fn progress(len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} cases, {eta} to go");
    let bar = ProgressBar::new(len as u64);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::case::{Exits, Expected};

    #[test]
    fn an_estimate_grows_with_the_files_and_has_a_floor() {
        let folder = tempfile::tempdir().expect("folder");
        let file = |name: &str, len: usize| {
            let path = folder.path().join(name);
            std::fs::write(&path, vec![0; len]).expect("file");
            path
        };
        let case = |len: usize, symtab| Case {
            name: String::new(),
            objects: Objects::Built { orig: file("a", len), patched: file("b", len) },
            parent: String::new(),
            symtab,
            symvers: None,
            module: String::new(),
            env: Default::default(),
            drop_in: false,
            klp_arch: false,
            test: None,
            expected: Expected::exit(Exits::Unknown),
        };
        assert_eq!(estimate(&case(10, Symtab::None)), LEAST);
        assert_eq!(estimate(&case(MIB as usize, Symtab::None)), LEAST + 8);
        let symtab = Symtab::File(file("s", 2 * MIB as usize));
        assert_eq!(estimate(&case(MIB as usize, symtab)), LEAST + 8 + 6);
    }
}
