//! Shows long text through the user's pager, as git does.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use super::cleanup::leave_interrupts;

/// The command to page with: that of KLP_DIFF_PAGER, of PAGER, or `less`; `None` when it is
/// switched off with an empty one or `cat`, or where standard output is no terminal.
fn command() -> Option<OsString> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let given = ["KLP_DIFF_PAGER", "PAGER"].into_iter().find_map(std::env::var_os);
    let pager = given.unwrap_or_else(|| "less".into());
    let is_off = pager.is_empty() || pager == "cat";
    (!is_off).then_some(pager)
}

/// Shows the text in the pager, and waits until it was read; false when there is none, or when
/// it cannot be started.
pub fn page(text: &str) -> bool {
    let Some(pager) = command() else { return false };
    let mut command = Command::new("sh");
    command.arg("-c").arg(pager).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // Quit where one screen is enough, keep colours, and leave the screen as it is.
        command.env("LESS", "FRX");
    }
    if std::env::var_os("LV").is_none() {
        command.env("LV", "-c");
    }
    // An interrupt is for the pager, which is in the same group.
    let _left = leave_interrupts();
    let Ok(mut child) = command.spawn() else { return false };
    let written = match child.stdin.take() {
        Some(mut pipe) => pipe.write_all(text.as_bytes()),
        None => return false,
    };
    let ended = child.wait();
    // The shell says so when it finds no such program: nobody has read anything.
    let missing = ended.is_ok_and(|status| matches!(status.code(), Some(126 | 127)));
    // That somebody quits early is no failure.
    !missing && written.is_ok_or_is(ErrorKind::BrokenPipe)
}

/// What a write gave.
trait Written {
    fn is_ok_or_is(&self, kind: ErrorKind) -> bool;
}

impl Written for std::io::Result<()> {
    fn is_ok_or_is(&self, kind: ErrorKind) -> bool {
        self.as_ref().err().is_none_or(|e| e.kind() == kind)
    }
}

/// Characters of a line of the terminal that standard output is; `None` where it is none.
pub fn width() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let asked = || rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let columns = columns.or_else(|| asked().map(|size| usize::from(size.ws_col)));
    columns.filter(|&columns| columns > 0)
}
