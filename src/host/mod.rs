//! What the program has to do with the machine it runs on: files, other programs, signals and
//! threads.
//!
//! | to | use |
//! |---|---|
//! | read or write a file that is no object | [`files`] |
//! | run another program | [`child`] |
//! | make something that must not outlive a signal | [`cleanup`] |
//! | print | `print` |
//! | show what is longer than a screen | [`pager`] |

pub mod child;
pub mod cleanup;
pub mod files;
pub mod pager;
pub mod print;

use rayon::ThreadPoolBuilder;

/// Starts the threads that everything runs on: `jobs` of them, or one for each processor.
/// Where the system gives none, everything runs on the caller's. To be called before anything
/// runs in parallel.
pub fn use_threads(jobs: Option<u16>) {
    let wanted = jobs.map_or(0, usize::from);
    if ThreadPoolBuilder::new().num_threads(wanted).build_global().is_ok() {
        return;
    }
    // Fails only when the threads run already.
    let _ = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global();
}
