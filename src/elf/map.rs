//! Files mapped into memory: the only module with code that the compiler cannot check.
//!
//! A file that another process cuts short takes pages of the map away, and reading them raises
//! SIGBUS. Nothing can be done for the result then; but the program ends in good order, with a
//! message that names the file: see [`watch`].

#![expect(unsafe_code, reason = "maps files, and handles the signal that a map may raise")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use memmap2::Mmap;
use signal_hook::consts::{SIGABRT, SIGBUS};

use crate::host::{cleanup, print};

/// A private, read-only map of a file.
pub struct Map {
    map: Mmap,
    id: u64,
}

/// Files that are mapped, by number: path and length.
static MAPPED: Mutex<BTreeMap<u64, (PathBuf, u64)>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

fn mapped() -> MutexGuard<'static, BTreeMap<u64, (PathBuf, u64)>> {
    MAPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Map {
    /// Maps a file, which is known by `path`.
    pub fn new(file: &File, path: &Path) -> io::Result<Map> {
        let len = file.metadata()?.len();
        // SAFETY: the map is private and read-only. Another process may change the file: what
        // is read is checked each time it is read, `Image::check_unchanged` reports the change
        // before a result is published, and a file that shrinks ends the program.
        let map = unsafe { Mmap::map(file) }?;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        mapped().insert(id, (path.to_owned(), len));
        Ok(Map { map, id })
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        mapped().remove(&self.id);
    }
}

/// From now on, when a mapped file is cut short while it is read, says so and ends the program
/// with exit status 1; so where there is no memory. `program` is who says it.
pub fn watch(program: &'static str) {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: the signal is raised where a map is read, so the thread that it interrupts
        // is neither in the allocator nor does it hold one of the locks taken here; other
        // threads go on and release theirs. It does not return.
        let _ = unsafe { signal_hook::low_level::register(SIGBUS, move || ended_by(program)) };
        // SAFETY: the standard library raises it, when memory is refused, from outside of the
        // allocator; the handler waits for no lock without end, and does not return.
        let _ =
            unsafe { signal_hook::low_level::register(SIGABRT, move || out_of_memory(program)) };
    });
}

/// The standard library has said how much was asked for.
fn out_of_memory(program: &str) {
    for text in [program, ": the system gives no more memory: raise the limit (ulimit -v)\n"] {
        let _ = io::stderr().write_all(text.as_bytes());
    }
    cleanup::abandon(1)
}

fn ended_by(program: &str) {
    let shrank = |(path, len): &(PathBuf, u64)| {
        let now = std::fs::metadata(path).map_or(0, |meta| meta.len());
        (now < *len).then(|| path.display().to_string())
    };
    let Some(path) = mapped().values().find_map(shrank) else {
        // Somebody sent the signal, or a disk failed.
        let _ = signal_hook::low_level::emulate_default_handler(SIGBUS);
        return;
    };
    print::err(&format!(
        "{program}: {path}: the file was cut short while it was read: run again when the build is finished"
    ));
    cleanup::end(1)
}
