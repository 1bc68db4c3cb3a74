//! What a run of a corpus found: the file that `--json` and `--save-baseline` write, and
//! that `--baseline` and `corpus merge` read.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::diag::{Code, Error, Result};
use crate::host::files;

/// Version of the file's form.
const FORMAT: u32 = 1;

/// Shards that are missing are named up to this number.
const LISTED: usize = 20;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// As expected.
    Ok,
    /// Not as expected.
    Differs,
    /// Not as expected, and `--known` says so.
    Known,
    /// It could not be run.
    Error,
    /// What it needs is not installed.
    Skipped,
    /// The run was interrupted before it.
    NotRun,
}

/// A function of a patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FunctionRecord {
    pub name: String,
    /// `changed` or `new`.
    pub status: String,
    /// How it differs, most telling first.
    pub reasons: Vec<String>,
}

/// One case's result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub case: String,
    pub status: Status,
    /// Exit status; absent when it was not run.
    pub exit: Option<u8>,
    /// What was expected, in a word.
    pub expected: String,
    /// What is not as expected, or why it was not run; in words.
    pub differences: Vec<String>,
    /// The error or refusal.
    pub message: Option<String>,
    pub functions: Vec<FunctionRecord>,
    /// Canonical form of the output.
    pub output: Option<Vec<String>>,
    /// Milliseconds that comparing and building took.
    pub time_ms: f64,
    /// MiB set aside for it out of `--mem-limit`.
    pub memory_mib: u64,
}

impl Record {
    /// A case that did not run.
    pub fn unrun(case: &str, expected: String, status: Status, why: String) -> Record {
        Record {
            case: case.to_owned(),
            status,
            exit: None,
            expected,
            differences: if why.is_empty() { Vec::new() } else { vec![why] },
            message: None,
            functions: Vec::new(),
            output: None,
            time_ms: 0.0,
            memory_mib: 0,
        }
    }
}

/// Which part of the cases a run was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shard {
    /// From 1.
    pub index: usize,
    pub count: usize,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Shard, String> {
        let parts = text.split_once('/').and_then(|(index, count)| {
            Some(Shard { index: index.parse().ok()?, count: count.parse().ok()? })
        });
        parts
            .filter(|s| s.index >= 1 && s.index <= s.count)
            .ok_or_else(|| format!("'{text}' is not I/N with I from 1 to N, such as 2/8"))
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// A whole run, or one shard of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    format: u32,
    /// Program and version.
    pub tool: String,
    pub shard: Option<Shard>,
    /// Number of cases of all shards.
    pub total: usize,
    /// In order of their names.
    pub cases: Vec<Record>,
    /// Remarks, such as compilers that are not installed.
    pub notes: Vec<String>,
}

impl Results {
    /// Results of this version.
    pub fn new(
        shard: Option<Shard>,
        total: usize,
        mut cases: Vec<Record>,
        notes: Vec<String>,
    ) -> Results {
        cases.sort_by(|a, b| a.case.cmp(&b.case));
        let tool = concat!("klp-diff ", env!("CARGO_PKG_VERSION")).to_owned();
        Results { format: FORMAT, tool, shard, total, cases, notes }
    }

    /// Number of cases that ended so.
    pub fn count(&self, status: Status) -> usize {
        self.cases.iter().filter(|r| r.status == status).count()
    }

    /// Reads what [`Results::save`] wrote.
    pub fn load(path: &Path) -> Result<Results> {
        let bytes = files::read(path)?;
        let bad = |what: String| {
            Error::broken(Code::Results, what)
                .in_file(path.display().to_string())
                .advise("give a file that `klp-diff corpus run --json FILE` wrote")
        };
        let results: Results = serde_json::from_slice(&bytes)
            .map_err(|e| bad(format!("not results of a corpus: {e}")))?;
        if results.format != FORMAT {
            return Err(bad(format!("form {} is unknown here", results.format)));
        }
        Ok(results)
    }

    /// Writes to `path`, or prints when it is `-`.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::broken(Code::Unwritable, format!("cannot be put as JSON: {e}")))?;
        text.push(b'\n');
        files::save(path, &text)
    }

    /// Puts the shards of one run together. Fails when one is missing or given twice.
    pub fn merge(parts: Vec<(String, Results)>) -> Result<Results> {
        let bad = |what: String| Error::broken(Code::Merge, what);
        let mut parts = parts.into_iter();
        let Some((first_name, mut whole)) = parts.next() else {
            return Err(bad("no results are given".to_owned()));
        };
        let count = whole.shard.map_or(1, |s| s.count);
        let mut seen: BTreeMap<usize, String> = BTreeMap::new();
        let mut mark = |name: &str, shard: Option<Shard>| -> Result<()> {
            let index = shard.map_or(1, |s| s.index);
            if !(1..=count).contains(&index) {
                return Err(
                    bad(format!("there is no shard {index} of {count}")).in_file(name.to_owned())
                );
            }
            match seen.insert(index, name.to_owned()) {
                None => Ok(()),
                Some(other) => Err(bad(format!("shard {index}/{count} is also in {other}"))
                    .in_file(name.to_owned())),
            }
        };
        mark(&first_name, whole.shard)?;
        for (name, part) in parts {
            if part.shard.map_or(1, |s| s.count) != count || part.total != whole.total {
                return Err(bad(format!("not a shard of the same run as {first_name}"))
                    .in_file(name)
                    .advise("all shards must be of the same cases and the same number of shards"));
            }
            if part.tool != whole.tool {
                return Err(bad(format!(
                    "made by {}, but {first_name} by {}",
                    part.tool, whole.tool
                ))
                .in_file(name));
            }
            mark(&name, part.shard)?;
            whole.cases.extend(part.cases);
            for note in part.notes {
                if !whole.notes.contains(&note) {
                    whole.notes.push(note);
                }
            }
        }
        // The number of shards is what the file says, and may be anything.
        let missing = (1..=count).filter(|i| !seen.contains_key(i)).take(LISTED);
        let missing: Vec<String> = missing.map(|i| format!("{i}/{count}")).collect();
        if !missing.is_empty() {
            return Err(bad(format!("missing: shard {}", missing.join(", "))));
        }
        whole.cases.sort_by(|a, b| a.case.cmp(&b.case));
        if let Some(pair) = whole
            .cases
            .windows(2)
            .find(|w| matches!(w, [a, b] if a.case == b.case))
            .and_then(<[_]>::first)
        {
            return Err(bad(format!("the case {} is in two of the files", pair.case)));
        }
        if whole.cases.len() != whole.total {
            let (found, total) = (whole.cases.len(), whole.total);
            return Err(bad(format!("there are {found} cases, but {total} were found to run")));
        }
        whole.shard = None;
        Ok(whole)
    }
}
