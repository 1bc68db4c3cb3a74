//! Measures a command as a process: wall clock, processor time, memory.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// One finished run.
pub struct Run {
    /// From start to exit.
    pub wall: Duration,
    /// User and system time, in steps of 10 ms.
    pub cpu: Duration,
    /// Exit status, -1 after a signal.
    pub status: i32,
    /// What it printed, both streams.
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command once and waits for it. Nothing watches it meanwhile.
pub fn time(command: &mut Command) -> io::Result<Run> {
    let before = children_cpu()?;
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let wall = start.elapsed();
    Ok(Run {
        wall,
        cpu: children_cpu()?.saturating_sub(before),
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Highest anonymous memory (RssAnon) seen while a command runs, in bytes,
/// looked at every millisecond. Mapped input files do not count.
pub fn peak_anonymous(command: &mut Command) -> io::Result<u64> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child: Child = command.spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = peak.max(fs::read_to_string(&status).map_or(0, |text| rss_anon(&text)));
        thread::sleep(Duration::from_millis(1));
    }
    Ok(peak)
}

/// The RssAnon line of proc_pid_status(5), in bytes; 0 when there is none.
fn rss_anon(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Processor time of all children waited for: cutime and cstime of
/// proc_pid_stat(5), in ticks of 1/100 s.
fn children_cpu() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The second field is the command in parentheses and may hold spaces.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        fields.split_whitespace().skip(13).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// The middle value; the mean of the two middle ones of an even number. 0 for none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}
