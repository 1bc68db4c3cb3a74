//! What must be gone when the program is: temporary files and folders, and running programs.
//!
//! Values that are dropped tidy up behind themselves; a signal ends the program without that.
//! So everything that must not stay is registered here, and a thread that waits for SIGINT,
//! SIGTERM and SIGHUP removes it before the signal does what it does by default.

#![expect(clippy::arithmetic_side_effects, reason = "counts from one")]

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Something that must not outlive the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A file.
    File(PathBuf),
    /// A folder with all that is in it.
    Folder(PathBuf),
    /// The processes of a group.
    Group(Pid),
}

struct Registry {
    next: u64,
    leftovers: Vec<(u64, Leftover)>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { next: 0, leftovers: Vec::new() });

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a leftover from the list when it is dropped: its owner has seen to it.
#[derive(Debug)]
#[must_use]
pub struct Registered(u64);

impl Drop for Registered {
    fn drop(&mut self) {
        registry().leftovers.retain(|(id, _)| *id != self.0);
    }
}

/// Makes something and registers what it leaves behind; a signal comes before both or after.
pub fn register<T>(
    make: impl FnOnce() -> io::Result<T>,
    what: impl FnOnce(&T) -> Leftover,
) -> io::Result<(T, Registered)> {
    let mut registry = registry();
    let made = make()?;
    let id = registry.next;
    registry.next += 1;
    registry.leftovers.push((id, what(&made)));
    Ok((made, Registered(id)))
}

/// A temporary folder that neither an error nor a signal leaves behind.
#[derive(Debug)]
pub struct TempFolder {
    folder: tempfile::TempDir,
    _registered: Registered,
}

impl TempFolder {
    /// Makes one in `parent`, or where temporary files go.
    pub fn new(prefix: &str, parent: Option<&std::path::Path>) -> io::Result<TempFolder> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(prefix);
        let make = || match parent {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        };
        let (folder, registered) = register(make, |made| Leftover::Folder(made.path().to_owned()))?;
        Ok(TempFolder { folder, _registered: registered })
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Keeps the folder.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }
}

/// Removes all that is registered. Nothing can be registered before the program ends when
/// the lock is kept.
fn remove_all() -> MutexGuard<'static, Registry> {
    let registry = registry();
    // Programs first: they write into the folders.
    for (_, leftover) in &registry.leftovers {
        if let Leftover::Group(group) = leftover {
            let _ = kill_process_group(*group, Signal::KILL);
        }
    }
    for (_, leftover) in &registry.leftovers {
        match leftover {
            Leftover::File(path) => drop(std::fs::remove_file(path)),
            Leftover::Folder(path) => {
                // A program that is being killed may still write.
                for _ in 0..50 {
                    match std::fs::remove_dir_all(path) {
                        Err(e) if e.kind() != io::ErrorKind::NotFound => {
                            std::thread::sleep(std::time::Duration::from_millis(10));
                        }
                        _ => break,
                    }
                }
            }
            Leftover::Group(_) => {}
        }
    }
    registry
}

/// Ends the program at once, with nothing left behind.
pub fn end(status: i32) -> ! {
    let _registry = remove_all();
    signal_hook::low_level::exit(status)
}

/// [`end`] for a thread that may hold any lock: what another one registers meanwhile may stay.
pub fn abandon(status: i32) -> ! {
    // Whoever holds it for longer is the caller, or waits for memory that there is not.
    let free = (0..50).any(|_| {
        let free = REGISTRY.try_lock().is_ok();
        if !free {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        free
    });
    match free {
        true => end(status),
        false => signal_hook::low_level::exit(status),
    }
}

/// What the first signal sets instead of ending the program.
static STOP: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

/// Watches for the signals that ask the program to end. Where there is no thread for it,
/// signals do what they do by default.
pub fn watch_signals() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let handle = signals.handle();
    let watch = move || {
        for signal in signals.forever() {
            let stop = STOP.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if stop.is_some_and(|stop| !stop.swap(true, Ordering::Relaxed)) {
                continue;
            }
            if signal == SIGINT && LEFT.load(Ordering::Relaxed) {
                continue;
            }
            let _registry = remove_all();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    let started = std::thread::Builder::new().name("signals".to_owned()).spawn(watch);
    started.map(drop).inspect_err(|_| handle.close())
}

/// Interrupts are for somebody else.
static LEFT: AtomicBool = AtomicBool::new(false);

/// Interrupts end the program again when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Interrupts(());

/// From now on interrupts of the terminal are left to a program that runs in the foreground.
pub fn leave_interrupts() -> Interrupts {
    LEFT.store(true, Ordering::Relaxed);
    Interrupts(())
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        LEFT.store(false, Ordering::Relaxed);
    }
}

/// From now on the first signal only sets the flag that this gives; the second one ends the
/// program.
pub fn stop_at_signal() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    *STOP.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&stop));
    stop
}
