//! `klp-diff corpus`: runs many cases and says whether anything changed for the worse.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::{Exit, complain, fail, parse};
use crate::corpus::baseline::Changes;
use crate::corpus::judge::Judge;
use crate::corpus::pick::{Known, Pattern};
use crate::corpus::process::Other;
use crate::corpus::results::{Record, Results, Shard, Status};
use crate::corpus::schedule::Limits;
use crate::corpus::{baseline, build, case, find, junit, process, schedule, show};
use crate::diag::Result;
use crate::host::child::Limits as HostLimits;
use crate::host::{cleanup, files, print};

/// Runs corpora of cases: pairs of objects, and what must come of them.
///
/// A corpus runs code, as a Makefile does: compilers that its cases name, with their options, and
/// scripts of its own. Run those you trust, or use `run --no-exec`.
#[derive(Debug, Parser)]
#[command(
    name = "klp-diff corpus",
    bin_name = "klp-diff corpus",
    after_help = "Examples:\n\
                  \x20 klp-diff corpus run cases/\n\
                  \x20 klp-diff corpus list cases/ --filter slub\n\
                  \x20 klp-diff corpus build corpus/cases -o built/\n\
                  \nExit status: 0 everything is as expected; 1 something differs; 2 error, or interrupted; 64 wrong command line."
)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs every case below the folders, and what the cases bring: compilers and scripts
    #[command(after_help = "Examples:\n\
        \x20 klp-diff corpus run cases/ --save-baseline before.json\n\
        \x20 klp-diff corpus run cases/ --baseline before.json --junit result.xml\n\
        \x20 klp-diff corpus run cases/ --against /usr/libexec/kpatch/create-diff-object\n\
        \x20 klp-diff corpus run cases/ --shard 2/8 --json 2.json")]
    Run(RunArgs),
    /// Lists the cases below the folders, each with what is expected of it, and runs none
    #[command(after_help = "Examples:\n\
        \x20 klp-diff corpus list cases/\n\
        \x20 klp-diff corpus list cases/ --filter gcc-12 --filter 'x86_64/*static'")]
    List(ListArgs),
    /// Puts the results of the shards of one run together
    #[command(after_help = "Examples:\n\
        \x20 klp-diff corpus merge 1.json 2.json --junit result.xml")]
    Merge(MergeArgs),
    /// Compiles sources with every compiler installed, into a folder to run
    #[command(after_help = "Examples:\n\
        \x20 klp-diff corpus build corpus/cases -o built/")]
    Build(BuildArgs),
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// Write the results as JSON; - is standard output, which then has nothing else
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the results as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Say what changed since the run that wrote this file
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Write a file for --baseline, unless the run is interrupted
    #[arg(long, value_name = "FILE")]
    save_baseline: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Folders with cases
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,

    /// Cases at once [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,

    /// Memory for all cases that run at once
    #[arg(long, value_name = "MiB", default_value_t = 1024)]
    mem_limit: u64,

    /// Also run this create-diff-object on every case and compare
    #[arg(long, value_name = "BINARY")]
    against: Option<PathBuf>,

    /// Run nothing that a case brings: cases with a compiler or a script of their own are skipped
    #[arg(long, conflicts_with = "against")]
    no_exec: bool,

    /// Seconds after which another program is ended, with all that it started
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    time_limit: u64,

    /// Run the Ith of N equal parts of the cases
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Differences that are no reason to fail, each with why: docs/corpus.md describes the file
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,

    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Only cases with this text in their names, where * stands for any text; may be repeated
    #[arg(long, value_name = "PATTERN")]
    filter: Vec<Pattern>,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Folders with cases
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Ask for no compiler whether it is installed: the cases of all are listed
    #[arg(long)]
    no_exec: bool,
}

#[derive(Debug, clap::Args)]
struct MergeArgs {
    /// Results of all shards, as --json or --save-baseline wrote them
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// Folders with sources
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,

    /// Folder to make; an earlier build there is replaced
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,

    /// Compilations at once [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
}

/// Runs the verb.
pub(super) fn main(args: Vec<OsString>) -> Exit {
    crate::host::use_threads(None);
    let result = match parse::<Args>(&args) {
        Ok(Args { verb: Verb::Run(args) }) => run(&args),
        Ok(Args { verb: Verb::List(args) }) => list(&args),
        Ok(Args { verb: Verb::Merge(args) }) => merge(&args),
        Ok(Args { verb: Verb::Build(args) }) => build(&args),
        Err(exit) => return exit,
    };
    result.unwrap_or_else(|error| {
        fail(&error);
        Exit::Refused
    })
}

impl ReportArgs {
    /// Fails when a report would destroy an input or another one.
    fn check(&self, inputs: &[PathBuf]) -> Result<()> {
        let outputs = [
            ("--json", &self.json),
            ("--junit", &self.junit),
            ("--save-baseline", &self.save_baseline),
        ];
        let outputs = outputs.into_iter().filter_map(|(what, path)| Some((what, path.as_deref()?)));
        // The baseline may be brought up to date.
        let baseline = self.baseline.iter().filter(|b| self.save_baseline.as_ref() != Some(b));
        files::check_outputs(outputs, inputs.iter().chain(baseline).map(PathBuf::as_path))
    }
}

#[expect(clippy::arithmetic_side_effects, reason = "shards are numbered from one")]
fn run(args: &RunArgs) -> Result<Exit> {
    let inputs: Vec<PathBuf> = args.folders.iter().chain(&args.known).cloned().collect();
    args.report.check(&inputs)?;
    let stop = cleanup::stop_at_signal();
    let known = args.known.as_deref().map(Known::load).transpose()?.unwrap_or_default();
    let before = args.report.baseline.as_deref().map(Results::load).transpose()?;
    let against = args.against.as_deref().map(process::program).transpose()?;
    let mut found = find::find(&args.folders, &stop, args.no_exec)?;
    // What is not picked is no case that is gone since the baseline.
    let all = found.names();
    found.pick(&args.filter.filter)?;
    let names = found.names();
    let total = names.len();
    let ours = |name: &str| {
        args.shard.is_none_or(|shard| {
            names
                .binary_search_by(|n| n.as_str().cmp(name))
                .is_ok_and(|i| i % shard.count == shard.index - 1)
        })
    };
    let broken = found.broken.into_iter().filter(|(name, _)| ours(name)).map(|(name, error)| {
        Record::unrun(&name, "-".to_owned(), Status::Error, error.to_string())
    });
    let broken: Vec<Record> = broken.collect();
    let mut cases = found.cases;
    cases.retain(|case| ours(&case.name));
    let mut skipped = Vec::new();
    if args.no_exec {
        cases.retain(|case| {
            let Some(what) = case.runs() else { return true };
            let why = format!("--no-exec: it runs {what}");
            let expected = case.expected.exit.to_string();
            skipped.push(Record::unrun(&case.name, expected, Status::Skipped, why));
            false
        });
    }
    let judge = Judge {
        other: Other {
            program: against.as_deref().unwrap_or(Path::new("")),
            limits: HostLimits {
                time: Some(Duration::from_secs(args.time_limit)),
                stop: Some(&stop),
            },
        },
        against: against.is_some(),
    };
    let limits = Limits { jobs: jobs(args.jobs), memory_mib: args.mem_limit };
    let mut records = schedule::run(&cases, limits, &judge, &stop)?;
    records.extend(broken);
    records.extend(skipped);
    let mut notes = found.notes;
    notes.extend(known.apply(&mut records));
    let results = Results::new(args.shard, total, records, notes);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let changes = before.map(|before| baseline::compare(&before, &results, &all));
    report(&results, &changes.unwrap_or_default(), &args.report, peak_mib())
}

fn list(args: &ListArgs) -> Result<Exit> {
    let stop = cleanup::stop_at_signal();
    let mut found = find::find(&args.folders, &stop, args.no_exec)?;
    found.pick(&args.filter.filter)?;
    let wide = found.names().iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let line = |case: &case::Case| {
        format!("{:wide$}  {:11}  {}", case.name, case.expected.exit.to_string(), case.parent)
    };
    print::out_lines(found.cases.iter().map(line));
    found.notes.iter().for_each(|note| complain(note));
    for (name, error) in &found.broken {
        complain(&format!("ERROR {name}: {error}"));
    }
    Ok(if found.broken.is_empty() { Exit::Changed } else { Exit::Refused })
}

fn merge(args: &MergeArgs) -> Result<Exit> {
    args.report.check(&args.files)?;
    let load = |path: &PathBuf| Ok((path.display().to_string(), Results::load(path)?));
    let results = Results::merge(args.files.iter().map(load).collect::<Result<_>>()?)?;
    let before = args.report.baseline.as_deref().map(Results::load).transpose()?;
    let all: Vec<&str> = results.cases.iter().map(|r| r.case.as_str()).collect();
    let changes = before.map(|before| baseline::compare(&before, &results, &all));
    report(&results, &changes.unwrap_or_default(), &args.report, None)
}

fn build(args: &BuildArgs) -> Result<Exit> {
    let stop = cleanup::stop_at_signal();
    let found = find::find(&args.folders, &stop, false)?;
    let record = build::build(found, &args.output, jobs(args.jobs), &stop)?;
    let mut lines = Vec::new();
    for (compiler, counts) in &record.compilers {
        lines.push(format!(
            "{compiler}: {} built, {} of no use to it, {} failed",
            counts.built, counts.useless, counts.failed
        ));
    }
    lines.extend(record.notes.iter().cloned());
    lines.extend(record.failures.iter().map(|failure| format!("FAILED {failure}")));
    print::out_lines(&lines);
    Ok(if record.failures.is_empty() { Exit::Changed } else { Exit::Refused })
}

/// Writes and prints everything, and says how to exit.
fn report(
    results: &Results,
    changes: &Changes,
    args: &ReportArgs,
    peak_mib: Option<u64>,
) -> Result<Exit> {
    let interrupted = results.count(Status::NotRun) > 0;
    if let Some(path) = &args.json {
        results.save(path)?;
    }
    if let Some(path) = &args.junit {
        files::save(path, junit::junit(results, changes)?.as_bytes())?;
    }
    let text = show::text(results, changes, peak_mib);
    if args.json.as_deref() == Some(Path::new("-")) {
        text.lines().for_each(complain);
    } else {
        print::stdout(&text);
    }
    if let Some(path) = &args.save_baseline {
        if interrupted {
            complain(&format!("{}: not written, the run was interrupted", path.display()));
        } else {
            results.save(path)?;
        }
    }
    Ok(if interrupted || results.count(Status::Error) > 0 {
        Exit::Refused
    } else if results.count(Status::Differs) > 0 || !changes.lines.is_empty() {
        Exit::Broken
    } else {
        Exit::Changed
    })
}

fn jobs(given: Option<usize>) -> usize {
    given
        .filter(|&n| n > 0)
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into))
}

/// The most memory this process had, in MiB.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.div_ceil(1024))
}
