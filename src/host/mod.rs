//! What the program has to do with the machine it runs on: files, other programs, signals and
//! threads.
//!
//! | to | use |
//! |---|---|
//! | read or write a file that is no object | [`files`] |
//! | run another program | [`child`] |
//! | make something that must not outlive a signal | [`cleanup`] |
//! | print | `print` |
//! | end in good order after a fault of the program itself | [`fault`] |
//! | show what is longer than a screen | [`pager`] |

pub mod child;
pub mod cleanup;
pub mod fault;
pub mod files;
pub mod pager;
pub mod print;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadBuilder, ThreadPoolBuilder};

/// Starts the threads that everything runs on: `jobs` of them, or one for each processor.
/// Where the system gives fewer, there are fewer, and where it gives none, everything runs on
/// the caller's. To be called before anything runs in parallel; later calls change nothing.
pub fn use_threads(jobs: Option<u16>) {
    let wanted = jobs.map_or_else(default_threads, usize::from).max(1);
    // Rayon cannot be asked a second time after a thread could not be started: they are started
    // before it is asked, and wait for their work.
    let (give, take): (Sender<ThreadBuilder>, Receiver<ThreadBuilder>) = channel();
    let take = Arc::new(Mutex::new(take));
    let start = |_: &usize| {
        let take = Arc::clone(&take);
        let work = move || {
            let given = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
            given.into_iter().for_each(ThreadBuilder::run);
        };
        std::thread::Builder::new().spawn(work).is_ok()
    };
    let pool = match (0..wanted).take_while(start).count() {
        0 => ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global(),
        started => {
            let hand_out =
                |builder| give.send(builder).map_err(|_| std::io::Error::other("no thread waits"));
            ThreadPoolBuilder::new().num_threads(started).spawn_handler(hand_out).build_global()
        }
    };
    // Fails only when there is a pool; the threads that wait end with `give`.
    let _ = pool;
}

/// The number of threads that nobody asked for: as rayon has it.
fn default_threads() -> usize {
    let given = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    given.filter(|&number| number > 0).unwrap_or_else(processors).min(1024)
}
