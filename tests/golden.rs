//! Runs the drop-in `create-diff-object` over reference cases: the exit status must be
//! right and the output must mean the same as the reference output.
//!
//! The cases are not part of the repository. `KLP_DIFF_DATA` names the folder that holds
//! them (`kpatch-objs/` with `index.json`, `kernel-gcc/` with `cases/`); without it each
//! group is one ignored trial. Cases that differ on purpose are listed with their reason
//! in `tests/golden-differences.txt`, as `NAME REASON` with the name of the trial; such a
//! case must run to an end and must still differ.

#[path = "common/drop_in.rs"]
mod drop_in;
#[path = "common/suite.rs"]
mod suite;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use drop_in::drop_in;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::report::canon;
use libtest_mimic::{Arguments, Failed, Trial};

const DATA: &str = "KLP_DIFF_DATA";
const ARCHES: [&str; 5] = ["aarch64", "loongarch64", "ppc64le", "s390x", "x86_64"];
const KERNEL: &str = "kernel-gcc";
const DIFFERENCES: &str = include_str!("golden-differences.txt");
/// No case takes a second; this is for a machine that is busy otherwise.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Differing lines shown per case.
const SHOWN: usize = 40;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let trials = match std::env::var_os(DATA) {
        Some(root) => collect(Path::new(&root)),
        None => Ok(skipped()),
    };
    match trials {
        Ok(trials) => suite::conclude(&args, trials),
        Err(error) => {
            eprintln!("cannot read the cases in {DATA}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One ignored trial per group, so that what did not run is counted and named.
fn skipped() -> Vec<Trial> {
    let groups = ARCHES.into_iter().chain([KERNEL]).map(|group| {
        crate::suite::lacks(format!("golden::{group}: {DATA} is unset"));
        Trial::test(format!("golden::{group}"), || Err(format!("{DATA} is unset").into()))
            .with_ignored_flag(true)
    });
    groups.collect()
}

/// One run of the tool.
struct Case {
    name: String,
    /// Working folder.
    folder: PathBuf,
    /// The six arguments before the output file.
    args: Vec<String>,
    env: BTreeMap<String, String>,
    exit: i32,
    /// Reference output in canonical form; needed when `exit` is 0.
    golden: PathBuf,
}

fn collect(root: &Path) -> Fallible<Vec<Trial>> {
    let root = root.canonicalize()?;
    let tool = Arc::new(Tool::default());
    let mut allowed = differences()?;
    let mut trials = Vec::new();
    for case in peer_cases(&root)?.into_iter().chain(kernel_cases(&root)?) {
        let reason = allowed.remove(&case.name);
        let tool = Arc::clone(&tool);
        trials.push(Trial::test(case.name.clone(), move || match reason {
            None => case.check(&tool).map_err(Failed::from),
            Some(reason) => case.check_differs(&tool, &reason),
        }));
    }
    for (name, _) in allowed {
        trials.push(Trial::test(format!("golden::differences::{name}"), || {
            Err("golden-differences.txt names a case that does not exist".into())
        }));
    }
    Ok(trials)
}

/// The cases that differ on purpose, with the reason.
fn differences() -> Fallible<BTreeMap<String, String>> {
    let mut allowed = BTreeMap::new();
    let lines = DIFFERENCES.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, reason) =
            line.split_once(char::is_whitespace).ok_or_else(|| format!("no reason: {line}"))?;
        if allowed.insert(name.to_owned(), reason.trim().to_owned()).is_some() {
            return Err(format!("listed twice: {name}").into());
        }
    }
    Ok(allowed)
}

#[derive(serde::Deserialize)]
struct PeerCase {
    arch: String,
    case: String,
    exit: i32,
    env: BTreeMap<String, String>,
}

fn peer_cases(root: &Path) -> Fallible<Vec<Case>> {
    let root = root.join("kpatch-objs");
    let index: Vec<PeerCase> = serde_json::from_slice(&fs::read(root.join("index.json"))?)?;
    for arch in ARCHES {
        if !index.iter().any(|c| c.arch == arch) {
            return Err(format!("index.json has no case for {arch}").into());
        }
    }
    let cases = index.into_iter().map(|PeerCase { arch, case, exit, env }| {
        let folder = root.join(&arch);
        Case {
            name: format!("golden::{arch}::{case}"),
            args: vec![
                format!("{case}.ORIG.o"),
                format!("{case}.PATCHED.o"),
                "vmlinux".to_owned(),
                format!("{case}.symtab"),
                "/dev/null".to_owned(),
                format!("test_{case}"),
            ],
            env,
            exit,
            golden: folder.join(format!("{case}.golden")),
            folder,
        }
    });
    Ok(cases.collect())
}

fn kernel_cases(root: &Path) -> Fallible<Vec<Case>> {
    let root = root.join(KERNEL);
    let mut folders: Vec<PathBuf> = fs::read_dir(root.join("cases"))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    folders.sort();
    let mut cases = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let env: BTreeMap<String, String> = fs::read_to_string(folder.join("env"))?
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
            .collect();
        for line in fs::read_to_string(folder.join("objects.tsv"))?.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [object, parent, symtab, symvers, module, exit] = fields[..] else {
                return Err(format!("{name}/objects.tsv: not six columns: {line}").into());
            };
            cases.push(Case {
                name: format!("golden::{KERNEL}::{name}::{object}"),
                folder: root.clone(),
                args: vec![
                    format!("cases/{name}/orig/{object}"),
                    format!("cases/{name}/patched/{object}"),
                    parent.to_owned(),
                    symtab.to_owned(),
                    symvers.to_owned(),
                    module.to_owned(),
                ],
                env: env.clone(),
                exit: exit.trim().parse()?,
                golden: folder.join("golden").join(object).with_extension("golden"),
            });
        }
    }
    Ok(cases)
}

/// How a run that came to an end differs from the reference.
enum Verdict {
    Equal,
    Differs(String),
}

impl Case {
    fn check(&self, tool: &Tool) -> Result<(), String> {
        match self.run(tool)? {
            Verdict::Equal => Ok(()),
            Verdict::Differs(how) => Err(how),
        }
    }

    fn check_differs(&self, tool: &Tool, reason: &str) -> Result<(), Failed> {
        match self.run(tool)? {
            Verdict::Differs(_) => Ok(()),
            Verdict::Equal => Err(format!(
                "equals the reference although golden-differences.txt says it differs: {reason}"
            )
            .into()),
        }
    }

    /// `Err` is a run that no difference on purpose excuses: a crash, a hang, a half-written
    /// output, or a broken test set-up.
    fn run(&self, tool: &Tool) -> Result<Verdict, String> {
        let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
        let output = scratch.path().join("output.o");
        let mut command = Command::new(tool.path()?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().ends_with("_STRUCT_SIZE") {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.folder).envs(&self.env);
        for arg in &self.args {
            command.arg(tool.unpacked(&self.folder, arg)?);
        }
        command.arg(&output);
        let (status, said) = run_limited(&mut command, scratch.path())?;
        let Some(code) = status.code().filter(|&code| code != 101) else {
            return Err(format!("crashed: {status}\n{said}"));
        };
        if code != 0 && output.exists() {
            return Err(format!("exit status {code}, but there is an output file\n{said}"));
        }
        if code != self.exit {
            let want = self.exit;
            return Ok(Verdict::Differs(format!("exit status {code} instead of {want}\n{said}")));
        }
        if code != 0 {
            return Ok(Verdict::Equal);
        }
        let want = fs::read_to_string(&self.golden)
            .map_err(|e| format!("{}: {e}", self.golden.display()))?;
        let mut want: Vec<String> = want.lines().map(str::to_owned).collect();
        want.sort_unstable();
        let bytes = fs::read(&output).map_err(|e| format!("exit status 0, but no output: {e}"))?;
        let got = Object::<Patched>::parse("output.o", &bytes)
            .and_then(|object| canon::canonical(&object))
            .map_err(|e| format!("the output is not well-formed: {e}"))?;
        let lines = canon::diff(&want, &got);
        if lines.is_empty() {
            return Ok(Verdict::Equal);
        }
        let mut text = format!("{} lines differ (- reference, + output)\n", lines.len());
        text += &lines[..lines.len().min(SHOWN)].join("\n");
        Ok(Verdict::Differs(format!("{text}\n{said}")))
    }
}

/// Runs to the end, or kills after [`TIMEOUT`]. Returns what was printed.
fn run_limited(command: &mut Command, scratch: &Path) -> Result<(ExitStatus, String), String> {
    let log = scratch.join("log");
    let file = File::create(&log).map_err(|e| e.to_string())?;
    let copy = file.try_clone().map_err(|e| e.to_string())?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(copy)
        .spawn()
        .map_err(|e| format!("cannot run: {e}"))?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break Some(status),
            None if start.elapsed() > TIMEOUT => {
                child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let said = fs::read(&log).map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&said).into_owned();
    match status {
        Some(status) => Ok((status, said)),
        None => Err(format!("still running after {} s\n{said}", TIMEOUT.as_secs())),
    }
}

/// The program under test and the unpacked inputs, both made when first needed.
#[derive(Default)]
struct Tool {
    path: OnceLock<Result<PathBuf, String>>,
    unpacked: Mutex<Unpacked>,
}

#[derive(Default)]
struct Unpacked {
    folder: Option<tempfile::TempDir>,
    files: BTreeMap<PathBuf, PathBuf>,
}

impl Tool {
    fn path(&self) -> Result<&Path, String> {
        self.path
            .get_or_init(|| Ok(drop_in()?.join("create-diff-object")))
            .as_deref()
            .map_err(Clone::clone)
    }

    /// The argument, or the path of its unpacked copy when only `ARG.xz` exists.
    fn unpacked(&self, folder: &Path, arg: &str) -> Result<PathBuf, String> {
        let packed = folder.join(format!("{arg}.xz"));
        if folder.join(arg).exists() || !packed.exists() {
            return Ok(PathBuf::from(arg));
        }
        let mut unpacked = self.unpacked.lock().map_err(|e| e.to_string())?;
        let Unpacked { folder, files } = &mut *unpacked;
        if let Some(file) = files.get(&packed) {
            return Ok(file.clone());
        }
        let folder = match folder {
            Some(folder) => folder,
            None => folder.insert(tempfile::tempdir().map_err(|e| e.to_string())?),
        };
        let file = folder.path().join(files.len().to_string());
        let output = File::create(&file).map_err(|e| e.to_string())?;
        let status = Command::new("xz")
            .arg("-dc")
            .arg(&packed)
            .stdout(output)
            .status()
            .map_err(|e| format!("cannot run xz: {e}"))?;
        if !status.success() {
            return Err(format!("xz -dc {}: {status}", packed.display()));
        }
        files.insert(packed, file.clone());
        Ok(file)
    }
}
