//! How far a run is, for those who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What a run does, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads the objects and what describes the parent.
    Read,
    /// Finds out who is who.
    Correlate,
    /// Compares.
    Compare,
    /// Chooses what the patch carries.
    Select,
    /// Builds the output.
    Build,
}

/// Number of steps.
pub const STEPS: usize = 5;

impl Step {
    /// What to call it while it lasts.
    pub fn name(self) -> &'static str {
        match self {
            Step::Read => "reading",
            Step::Correlate => "correlating",
            Step::Compare => "comparing",
            Step::Select => "selecting",
            Step::Build => "building",
        }
    }
}

/// The step a run is at. Clones watch the same run.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicUsize>);

impl Progress {
    /// Notes that a step begins.
    pub fn enter(&self, step: Step) {
        self.0.store(step as usize, Ordering::Relaxed);
    }

    /// The step that began last; the first one before any did.
    pub fn step(&self) -> Step {
        match self.0.load(Ordering::Relaxed) {
            0 => Step::Read,
            1 => Step::Correlate,
            2 => Step::Compare,
            3 => Step::Select,
            _ => Step::Build,
        }
    }
}

/// How much of some work is done. Clones count the same work.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    /// One more is done.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many are done.
    pub fn done(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_watch_the_same_run() {
        let progress = Progress::default();
        let watcher = progress.clone();
        assert_eq!(watcher.step(), Step::Read);
        for step in [Step::Correlate, Step::Compare, Step::Select, Step::Build] {
            progress.enter(step);
            assert_eq!(watcher.step(), step);
        }
        assert_eq!(Step::Build as usize + 1, STEPS);
    }
}
