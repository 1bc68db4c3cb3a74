//! Runs one case and says what is not as expected.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::case::{Case, Objects, verdict};
use super::ours::{self, Outcome};
use super::process::Other;
use super::results::{Record, Status};
use super::source::Compiled;
use super::words::first_difference;
use crate::diag::{Code, Error, Result};
use crate::host::cleanup::TempFolder;
use crate::host::files::{self, unreadable, unwritable};

/// What to do with a case.
pub(crate) struct Judge<'a> {
    /// For the case's own scripts, and to compare with when `against`.
    pub other: Other<'a>,
    /// Whether to compare with the other tool.
    pub against: bool,
}

impl Judge<'_> {
    /// Runs `case`, for which `memory_mib` is set aside.
    pub fn run(&self, case: &Case, memory_mib: u64) -> Record {
        let expected = case.expected.exit.to_string();
        let unrun = |status, why| Record::unrun(&case.name, expected.clone(), status, why);
        match self.attempt(case) {
            Ok(Ok(record)) => Record { memory_mib, ..record },
            Ok(Err(useless)) => unrun(Status::Skipped, useless),
            Err(_) if self.other.limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) => {
                unrun(Status::NotRun, "interrupted".to_owned())
            }
            Err(error) => unrun(Status::Error, error.to_string()),
        }
    }

    fn attempt(&self, case: &Case) -> Result<std::result::Result<Record, String>> {
        let folder = TempFolder::new("klp-corpus-", None).map_err(|e| {
            Error::broken(Code::Unwritable, format!("cannot make a folder for the case: {e}"))
        })?;
        let (orig, patched) = match &case.objects {
            Objects::Built { orig, patched } => (orig.clone(), patched.clone()),
            Objects::Source(source) => match source.compile(folder.path(), self.other.limits)? {
                Compiled::Objects(orig, patched) => (orig, patched),
                Compiled::Useless(why) => return Ok(Err(why)),
            },
        };
        let start = Instant::now();
        let outcome = ours::run(case, &orig, &patched, case.drop_in);
        let time_ms = start.elapsed().as_secs_f64() * 1000.0;
        let mut differences = Vec::new();
        expectations(case, &outcome, &mut differences)?;
        if let (Some(script), Some(output)) = (&case.test, &outcome.output) {
            let path = folder.path().join("ours.o");
            std::fs::write(&path, &output.bytes).map_err(|e| unwritable(&path, &e))?;
            let ended = self.other.test(script, &path, folder.path())?;
            if !ended.status.success() {
                let said = ended.last_line;
                differences.push(format!(
                    "{} ended with {}: {said}",
                    script.display(),
                    ended.status
                ));
            }
        }
        if self.against {
            let theirs = if case.drop_in {
                self.compare(case, &orig, &patched, &outcome, folder.path())?
            } else {
                let drop_in = ours::run(case, &orig, &patched, true);
                self.compare(case, &orig, &patched, &drop_in, folder.path())?
            };
            differences.extend(theirs);
        }
        let broken = outcome.exit == 1 && !case.expected.exit.allows(1);
        let unknown = case.expected.exit == super::case::Exits::Unknown;
        let status = match differences.is_empty() {
            true => Status::Ok,
            false if broken && unknown => Status::Error,
            false => Status::Differs,
        };
        Ok(Ok(Record {
            case: case.name.clone(),
            status,
            exit: Some(outcome.exit),
            expected: case.expected.exit.to_string(),
            differences,
            message: outcome.message,
            functions: outcome.functions,
            output: outcome.output.map(|o| o.lines),
            time_ms,
            memory_mib: 0,
        }))
    }

    /// How the other tool differs from our drop-in.
    fn compare(
        &self,
        case: &Case,
        orig: &Path,
        patched: &Path,
        ours: &Outcome,
        folder: &Path,
    ) -> Result<Option<String>> {
        let Some((ended, path)) = self.other.run(case, orig, patched, folder)? else {
            return Ok(Some(
                "the other tool cannot be run: the case has no symbol table".to_owned(),
            ));
        };
        let said = if ended.last_line.is_empty() {
            String::new()
        } else {
            format!(": {}", ended.last_line)
        };
        if let Some(signal) = ended.status.signal() {
            return Ok(Some(format!("theirs was killed by signal {signal}{said}")));
        }
        if ended.status.code() != Some(i32::from(ours.exit)) {
            let theirs = ended.status.code().unwrap_or(-1);
            let meaning = u8::try_from(theirs).map_or("unknown", verdict);
            return Ok(Some(format!(
                "exit status: ours is {} ({}), theirs is {theirs} ({meaning}){}",
                ours.exit,
                verdict(ours.exit),
                if ours.exit == 0 { &said } else { "" },
            )));
        }
        let theirs = match std::fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(unreadable(&path, &e)),
        };
        let (ours, theirs) = match (&ours.output, theirs) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Ok(Some("theirs wrote no output".to_owned())),
            (None, Some(_)) => {
                return Ok(Some("theirs left an output behind although it failed".to_owned()));
            }
            (Some(ours), Some(theirs)) => (ours, theirs),
        };
        Ok(match ours::read("their output", theirs) {
            Err(error) => Some(format!("their output cannot be read: {error}")),
            Ok(theirs) => first_difference(("ours", &ours.lines), ("theirs", &theirs.lines)),
        })
    }
}

fn expectations(case: &Case, outcome: &Outcome, differences: &mut Vec<String>) -> Result<()> {
    let expected = &case.expected;
    let message = outcome.message.as_ref().map(|m| format!(": {m}")).unwrap_or_default();
    if !expected.exit.allows(outcome.exit) {
        differences.push(format!(
            "verdict: {}, expected {}{message}",
            verdict(outcome.exit),
            expected.exit
        ));
        return Ok(());
    }
    if outcome.exit != 0 && outcome.exit != 3 && outcome.message.as_deref().unwrap_or("").is_empty()
    {
        differences.push(format!("{} without a reason", verdict(outcome.exit)));
    }
    // What is no refusal of this compiler's objects has nothing to say.
    let silent = expected.exit == super::case::Exits::Is(0);
    if let Some(says) = expected.says.as_ref().filter(|_| !silent)
        && !outcome.message.as_deref().unwrap_or("").contains(says.as_str())
    {
        differences.push(format!("the message does not say '{says}'{message}"));
    }
    for (status, wanted) in [("changed", &expected.changed), ("new", &expected.new)] {
        let Some(wanted) = wanted else { continue };
        let found: BTreeSet<&str> = outcome
            .functions
            .iter()
            .filter(|f| f.status == status)
            .map(|f| f.name.as_str())
            .collect();
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        for name in found.difference(&wanted) {
            differences.push(format!("{status} function {name} is not expected"));
        }
        for name in wanted.difference(&found) {
            differences.push(format!("{status} function {name} is expected and not found"));
        }
    }
    let Some(output) = &outcome.output else {
        if expected.golden.is_some() || expected.functions.is_some_and(|n| n > 0) {
            differences.push("there is no output to compare".to_owned());
        }
        return Ok(());
    };
    if let Some(wanted) = expected.functions.filter(|&n| n != output.functions) {
        differences
            .push(format!("the output has {} functions, expected {wanted}", output.functions));
    }
    if let Some(golden) = &expected.golden {
        let text = files::read_text(golden)?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        let found = first_difference(("ours", &output.lines), ("the golden", &lines));
        match &expected.golden_differs {
            None => differences.extend(found),
            Some(why) if found.is_none() => differences
                .push(format!("the golden does not differ any more (golden-differs: {why})")),
            Some(_) => {}
        }
    }
    Ok(())
}
