//! What those who wait see, and how many threads they wait for.

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::folders::builds::{Builds, CompareOptions, Outcome};
use crate::folders::context::KernelContext;
use crate::patch::resolve::lookup::Peers;
use crate::report::progress::{Count, Progress, STEPS};

/// Work that ends sooner is not worth a bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time between looks at what is watched.
const TICK: Duration = Duration::from_millis(100);

/// A bar on standard error where that is a terminal, from the second second on; it goes away
/// when this is dropped. Everywhere else: nothing.
pub(super) struct Bar(Option<(Sender<()>, JoinHandle<()>)>);

impl Bar {
    /// Shows the steps of one run.
    pub fn steps(progress: &Progress) -> Bar {
        let progress = progress.clone();
        Bar::show(STEPS as u64, move || {
            let step = progress.step();
            (step as u64, step.name())
        })
    }

    /// Shows how many of `total` things are done.
    pub fn count(total: u64, what: &'static str, count: &Count) -> Bar {
        let count = count.clone();
        Bar::show(total, move || (count.done(), what))
    }

    fn show(total: u64, look: impl Fn() -> (u64, &'static str) + Send + 'static) -> Bar {
        if !std::io::stderr().is_terminal() {
            return Bar(None);
        }
        let (done, wait) = channel();
        let thread = std::thread::Builder::new().spawn(move || watch(total, &wait, &look));
        // Without a thread there is no bar, but everything else works.
        Bar(thread.ok().map(|thread| (done, thread)))
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.0.take() {
            drop(done);
            let _ = thread.join();
        }
    }
}

/// Compares all units, while a bar shows how many are done.
pub(super) fn compare_all<'k>(
    builds: &Builds,
    options: CompareOptions<'_>,
    against: &(dyn Fn(usize) -> KernelContext<'k> + Sync),
    peers: Option<&Peers>,
) -> Vec<Outcome> {
    let done = Count::default();
    let _bar = Bar::count(builds.units.len() as u64, "objects", &done);
    builds.compare_all(options, against, peers, &done)
}

/// Draws until the other end of `done` is dropped.
fn watch(total: u64, done: &Receiver<()>, look: &dyn Fn() -> (u64, &'static str)) {
    let more = |time| done.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    if !more(PATIENCE) {
        return;
    }
    let bar = ProgressBar::new(total).with_elapsed(PATIENCE);
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:30}] {pos}/{len} {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    loop {
        let (position, what) = look();
        bar.set_position(position);
        bar.set_message(what);
        bar.tick();
        if !more(TICK) {
            break;
        }
    }
    bar.finish_and_clear();
}
