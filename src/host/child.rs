//! Runs other programs: compilers, unpackers, the kernel's build, scripts of corpora.
//!
//! Each runs in a process group of its own, which ends with it, at its time limit, or when
//! this program is told to end: what it started does not survive it.

#![expect(clippy::arithmetic_side_effects, reason = "times that are bounded, and texts")]

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::cleanup::{Leftover, Registered, TempFolder, register};

/// Most that a program may print.
const PRINTED: u64 = 64 << 20;

/// What a program may do.
#[derive(Clone, Copy, Default)]
pub struct Limits<'a> {
    /// Time until it is ended.
    pub time: Option<Duration>,
    /// Ends it when set.
    pub stop: Option<&'a AtomicBool>,
}

/// A program that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it printed to standard output.
    pub stdout: Vec<u8>,
    /// What it printed to standard error.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// All that it printed, standard output first.
    pub fn log(&self) -> String {
        let mut log = String::from_utf8_lossy(&self.stdout).into_owned();
        log += &String::from_utf8_lossy(&self.stderr);
        log
    }
}

/// Why there is no result.
#[derive(Debug)]
pub enum Trouble {
    /// It could not be run.
    Start(io::Error),
    /// It did not end in time.
    TimedOut(Duration),
    /// It printed too much.
    Talkative,
    /// This program was asked to stop.
    Stopped,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Start(error) => write!(f, "cannot run: {error}"),
            Trouble::TimedOut(limit) => write!(f, "no end after {} s", limit.as_secs()),
            Trouble::Talkative => write!(f, "it printed more than {} MiB", PRINTED >> 20),
            Trouble::Stopped => f.write_str("interrupted"),
        }
    }
}

/// A running program; dropping it ends its whole group.
pub struct Running {
    child: Child,
    group: Option<Pid>,
    ended: Option<ExitStatus>,
    _registered: Registered,
}

impl Running {
    /// Starts a program in a group of its own.
    pub fn start(command: &mut Command) -> io::Result<Running> {
        command.process_group(0);
        let group = |child: &Child| i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let (child, registered) = register(
            || command.spawn(),
            |child| match group(child) {
                Some(group) => Leftover::Group(group),
                None => Leftover::File("".into()),
            },
        )?;
        let group = group(&child);
        Ok(Running { child, group, ended: None, _registered: registered })
    }

    /// Its standard output, when that is a pipe.
    pub fn take_stdout(&mut self) -> Option<impl Read + use<>> {
        self.child.stdout.take()
    }

    /// How it ended, if it did; then its group is gone.
    fn poll(&mut self) -> io::Result<Option<ExitStatus>> {
        if let (None, Some(pid)) = (self.ended, self.group) {
            // Its number stays taken until the group is ended.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if waitid(WaitId::Pid(pid), options)?.is_none() {
                return Ok(None);
            }
        }
        self.end().map(Some)
    }

    /// Ends the group.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }

    /// Waits until it ends by itself, or its limits are reached; `more` is looked at meanwhile.
    pub fn wait(
        &mut self,
        limits: Limits<'_>,
        more: &dyn Fn() -> bool,
    ) -> Result<ExitStatus, Trouble> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.poll().map_err(Trouble::Start)? {
                return Ok(status);
            }
            let trouble = if limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                Some(Trouble::Stopped)
            } else if let Some(limit) = limits.time.filter(|&limit| start.elapsed() > limit) {
                Some(Trouble::TimedOut(limit))
            } else {
                more().then_some(Trouble::Talkative)
            };
            if let Some(trouble) = trouble {
                let _ = self.end();
                return Err(trouble);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Runs a program to its end, without input, and gives what it printed. What it leaves among its
/// temporary files when it is ended goes with their folder.
pub fn run(command: &mut Command, limits: Limits<'_>) -> Result<Ended, Trouble> {
    let scratch = TempFolder::new("klp-run-", None).map_err(Trouble::Start)?;
    command.env("TMPDIR", scratch.path());
    let file = || tempfile::tempfile().map_err(Trouble::Start);
    let (mut out, mut err) = (file()?, file()?);
    let copy = |file: &File| file.try_clone().map(Stdio::from).map_err(Trouble::Start);
    command.stdin(Stdio::null()).stdout(copy(&out)?).stderr(copy(&err)?);
    let mut running = Running::start(command).map_err(Trouble::Start)?;
    let len = |file: &File| file.metadata().map_or(0, |meta| meta.len());
    let status = running.wait(limits, &|| len(&out).saturating_add(len(&err)) > PRINTED)?;
    let read = |file: &mut File| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(PRINTED).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let stdout = read(&mut out).map_err(Trouble::Start)?;
    let stderr = read(&mut err).map_err(Trouble::Start)?;
    Ok(Ended { status, stdout, stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_programs_print_is_kept() {
        let ended = run(&mut sh("echo out; echo err >&2; exit 3"), Limits::default()).expect("ran");
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!((&ended.stdout[..], &ended.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
        let trouble = run(&mut Command::new("/nonexistent/tool"), Limits::default());
        assert!(matches!(trouble, Err(Trouble::Start(_))));
    }

    #[test]
    fn temporary_files_of_programs_go_with_them() {
        let script = "mktemp -d; mktemp; kill -KILL $$";
        let ended = run(&mut sh(script), Limits::default()).expect("ran");
        let made = String::from_utf8(ended.stdout).expect("text");
        assert!(!ended.status.success() && made.contains("/klp-run-"), "{made}");
        assert!(made.lines().all(|path| !std::path::Path::new(path).exists()), "{made}");
    }

    /// Neither the time limit nor the end of the program leaves what it started behind.
    #[test]
    fn the_whole_group_ends() {
        let folder = tempfile::tempdir().expect("folder");
        let pid = folder.path().join("pid");
        let script = |rest: &str| format!("sleep 100 & echo $! > {}; {rest}", pid.display());
        let gone = || {
            let text = std::fs::read_to_string(&pid).expect("pid");
            let stat = format!("/proc/{}/stat", text.trim());
            let alive = || std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z "));
            (0..200).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                !alive()
            })
        };
        let limits = Limits { time: Some(Duration::from_millis(300)), stop: None };
        let trouble = run(&mut sh(&script("sleep 100; true")), limits);
        assert!(matches!(trouble, Err(Trouble::TimedOut(_))), "{trouble:?}");
        assert!(gone());
        run(&mut sh(&script("exit 0")), Limits::default()).expect("ran");
        assert!(gone());
    }

    #[test]
    fn endless_output_ends_a_program() {
        let trouble = run(&mut sh("exec yes"), Limits::default());
        assert!(matches!(trouble, Err(Trouble::Talkative)), "{trouble:?}");
    }
}
