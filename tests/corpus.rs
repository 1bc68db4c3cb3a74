//! `klp-diff corpus`: layouts, differences of every kind, baselines, shards, comparing with
//! another tool, memory. The objects are compiled here; without a compiler for x86_64 each
//! test says that it is skipped.

#[path = "common/drop_in.rs"]
mod drop_in;
#[path = "common/suite.rs"]
mod suite;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use drop_in::drop_in;
use serde_json::Value;
use tempfile::TempDir;

const CC: [&str; 6] = ["gcc-12", "clang-14", "clang-16", "clang-19", "clang-22", "gcc"];
const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -fno-stack-protector";
const SOURCE: &str = "int out(int);
static int count = 3;
int same(int x) { return out(x) * 3; }
int user(int x) { count += x; return out(count); }
int edit(int x) {
#ifdef PATCHED
	if (x > 5) return 5;
#endif
#ifdef MORE
	x += 11;
#endif
	return out(x + 1); }
#ifdef DATA
int level = DATA;
#else
int level = 1;
#endif
int get(void) { return level; }
";

/// Objects to make cases of.
struct Objects {
    folder: TempDir,
}

impl Objects {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// `None`, and a line that says so, when there is no compiler.
fn objects() -> Option<&'static Objects> {
    // kpatch's cases are looked at by scripts.
    if Command::new("bash").arg("--version").output().is_err() {
        suite::lacks("bash is not installed");
        return None;
    }
    static OBJECTS: OnceLock<Option<Objects>> = OnceLock::new();
    let objects = OBJECTS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("a.c"), SOURCE).expect("source");
        let compile = |cc: &str, defines: &[&str], out: &str| {
            let status = Command::new(cc)
                .args(FLAGS.split_whitespace())
                .args(defines)
                .args(["-c", "a.c", "-o", out])
                .current_dir(folder.path())
                .output();
            cfg!(target_arch = "x86_64") && status.is_ok_and(|o| o.status.success())
        };
        let cc = CC.into_iter().find(|cc| compile(cc, &[], "orig.o"))?;
        for (defines, out) in [
            (&["-DPATCHED"][..], "patched.o"),
            (&["-DPATCHED", "-DMORE"], "more.o"),
            (&["-DDATA=2"], "data.o"),
        ] {
            assert!(compile(cc, defines, out), "{cc} cannot make {out}");
        }
        Some(Objects { folder })
    });
    if objects.is_none() {
        crate::suite::lacks("no compiler for x86_64 is installed");
    }
    objects.as_ref()
}

fn klp_diff(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_klp-diff")).args(args).output().expect("klp-diff runs")
}

/// Runs the verb; returns the exit status and what was printed.
fn corpus(args: &[&str]) -> (i32, String) {
    let output = klp_diff(&[&["corpus"], args].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn put(to: &Path, from: &Path) {
    fs::create_dir_all(to.parent().expect("parent")).expect("folder");
    fs::copy(from, to).expect("copy");
}

fn toml(objects: &Objects, folder: &Path, patched: &str, more: &str) {
    put(&folder.join("orig.o"), &objects.path("orig.o"));
    put(&folder.join("patched.o"), &objects.path(patched));
    let text = format!("what = 'a case'\norig = 'orig.o'\npatched = 'patched.o'\n{more}");
    fs::write(folder.join("case.toml"), text).expect("case.toml");
}

const CHANGED: &str = "symtab-of-orig = true\n[expected]\nexit = 0\nchanged = ['edit']\nnew = []\n";

/// A corpus with one case of each kind, all as expected.
fn good(objects: &Objects) -> TempDir {
    let root = tempfile::tempdir().expect("folder");
    let at = |name: &str| root.path().join(name);
    let (orig, patched, data) =
        (objects.path("orig.o"), objects.path("patched.o"), objects.path("data.o"));
    toml(objects, &at("own/edit"), "patched.o", CHANGED);
    toml(objects, &at("own/data"), "data.o", "[expected]\nexit = 2\n");
    toml(objects, &at("own/same"), "orig.o", "[expected]\nexit = 3\n");
    fs::create_dir_all(at("own/c")).expect("folder");
    put(&at("kpatch/edit.ORIG.o"), &orig);
    put(&at("kpatch/edit.PATCHED.o"), &patched);
    put(&at("kpatch/data.ORIG.o"), &orig);
    put(&at("kpatch/data.PATCHED.FAIL.o"), &data);
    fs::write(at("kpatch/edit.test"), "test -s \"$1\"\n").expect("test");
    fs::write(at("kpatch/edit.env"), "BUG_STRUCT_SIZE=12\n").expect("env");
    put(&at("pair/orig/mm/a.o"), &orig);
    put(&at("pair/patched/mm/a.o"), &patched);
    put(&at("pair/patched/mm/lone.o"), &patched);
    put(&at("indexed/x86_64/edit.ORIG.o"), &orig);
    put(&at("indexed/x86_64/edit.PATCHED.o"), &patched);
    fs::write(
        at("indexed/index.json"),
        r#"[{"arch": "x86_64", "case": "edit", "exit": 0, "functions": 1, "env": {}}]"#,
    )
    .expect("index");
    // A golden: what `dump` prints of a right output.
    let (own, golden) = (at("own.json"), at("indexed/x86_64/edit.golden"));
    let (status, said) = corpus(&["run", text(&at("indexed")), "--json", text(&own)]);
    assert_eq!(status, 0, "{said}");
    let lines = load(&own)["cases"][0]["output"].as_array().expect("output").clone();
    let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
    fs::write(golden, lines.join("\n") + "\n").expect("golden");
    root
}

fn load(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("results")).expect("JSON")
}

fn create_diff_object() -> PathBuf {
    drop_in().expect("built").join("create-diff-object")
}

fn every_layout_is_found_and_runs() {
    let Some(objects) = objects() else { return };
    let root = good(objects);
    let (status, said) = corpus(&["run", text(root.path())]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("7 cases: 7 as expected, 0 differ, 0 errors, 0 skipped"), "{said}");
    for name in [
        "own/edit",
        "own/data",
        "own/same",
        "kpatch/edit",
        "kpatch/data",
        "pair/mm/a",
        "x86_64/edit",
    ] {
        assert!(said.contains(name), "{name}: {said}");
    }
    assert!(said.contains("pair/mm/lone.o: no case, it is in patched alone"), "{said}");
}
fn sources_are_compiled_and_missing_compilers_are_named() {
    let Some(_) = objects() else { return };
    let root = tempfile::tempdir().expect("folder");
    let source = format!("//# what: an edit\n//# changed: edit\n//# machines: x86_64\n{SOURCE}");
    fs::write(root.path().join("edit.c"), source).expect("source");
    fs::write(root.path().join("bad.c"), "//# changed: f\nint f;\n").expect("source");
    let (status, said) = corpus(&["run", text(root.path())]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("bad.c: no `//# what:` line says why the case exists"), "{said}");
    fs::remove_file(root.path().join("bad.c")).expect("remove");
    let out = root.path().join("built");
    let (status, said) = corpus(&["build", text(root.path()), "-o", text(&out)]);
    assert_eq!(status, 0, "{said}");
    for compiler in ["gcc-12", "clang-14", "clang-16", "clang-19", "clang-22"] {
        let named = said.contains(&format!("{compiler}: 3 built"))
            || said.contains(&format!("skipped: 3 cases, {compiler} is not installed"));
        assert!(named, "{compiler}: {said}");
    }
    let (status, said) = corpus(&["run", text(&out)]);
    assert!(said.contains("edit") && !said.contains("DIFFERS"), "{said}");
    let any = CC[..5].iter().any(|cc| said.contains(&format!("{cc}/plain/edit")));
    assert_eq!(status, if any { 0 } else { 2 }, "{said}");
    let (status, said) = corpus(&["build", text(root.path()), "-o", text(root.path())]);
    assert_eq!(status, 2, "{said}");
    assert!(said.contains("this exists and is no earlier build"), "{said}");
}
fn each_difference_is_described() {
    let Some(objects) = objects() else { return };
    let root = tempfile::tempdir().expect("folder");
    let case = |name: &str, patched: &str, more: &str, status: i32, wanted: &str| {
        let folder = root.path().join(name);
        toml(objects, &folder, patched, more);
        let (got, said) = corpus(&["run", text(&folder)]);
        assert!(got == status && said.contains(wanted), "{name}: {got}: {said}");
    };
    case("exit", "data.o", "[expected]\nexit = 3\n", 1, "verdict: refused, expected unchanged: ");
    case("lost", "orig.o", "[expected]\nexit = 0\n", 1, "verdict: unchanged, expected changed");
    case(
        "names",
        "patched.o",
        "[expected]\nchanged = ['same']\n",
        1,
        "changed function edit is not expected",
    );
    case(
        "names",
        "patched.o",
        "[expected]\nchanged = ['same']\n",
        1,
        "changed function same is expected and not found",
    );
    case(
        "new",
        "patched.o",
        "[expected]\nnew = ['fresh']\n",
        1,
        "new function fresh is expected and not found",
    );
    case(
        "count",
        "patched.o",
        "symtab-of-orig = true\n[expected]\nfunctions = 7\n",
        1,
        "the output has 1 functions, expected 7",
    );
    let golden = root.path().join("golden");
    fs::create_dir_all(&golden).expect("folder");
    fs::write(golden.join("g"), "symbol edit type=2 bind=0\n").expect("golden");
    case(
        "golden",
        "patched.o",
        "symtab-of-orig = true\n[expected]\ngolden = 'g'\n",
        1,
        "in ours but not in the golden",
    );
    case("typo", "patched.o", "[expected]\nexitt = 0\n", 2, "unknown field `exitt`");
    case("symtab", "patched.o", "symtab = 'x'\n[expected]\nexit = 0\n", 2, "x is missing");
    let test = root.path().join("script");
    fs::create_dir_all(&test).expect("folder");
    fs::write(test.join("t"), "echo wrong bytes >&2; exit 1\n").expect("script");
    case(
        "script",
        "patched.o",
        "test = 't'\nsymtab-of-orig = true\n[expected]\nexit = 0\n",
        1,
        "wrong bytes",
    );
    let empty = root.path().join("empty");
    fs::create_dir_all(&empty).expect("folder");
    let (status, said) = corpus(&["run", text(&empty)]);
    assert!(status == 2 && said.contains("there is no case below this folder"), "{said}");
}
fn changes_since_a_baseline_are_told() {
    let Some(objects) = objects() else { return };
    let root = good(objects);
    let (folder, base) = (text(root.path()), root.path().join("base.json"));
    let (status, said) = corpus(&["run", folder, "--save-baseline", text(&base)]);
    assert_eq!(status, 0, "{said}");
    let (status, said) = corpus(&["run", folder, "--baseline", text(&base)]);
    assert!(status == 0 && said.contains("times the baseline's"), "{said}");
    assert!(!said.contains("CHANGED"), "{said}");
    let mut edited = load(&base);
    for case in edited["cases"].as_array_mut().expect("cases") {
        if case["case"].as_str().is_some_and(|c| c.ends_with("pair/mm/a")) {
            case["functions"][0]["reasons"] = serde_json::json!(["another"]);
        }
    }
    fs::write(&base, edited.to_string()).expect("baseline");
    put(&root.path().join("kpatch/data.PATCHED.FAIL.o"), &objects.path("orig.o"));
    put(&root.path().join("kpatch/edit.PATCHED.o"), &objects.path("more.o"));
    fs::remove_dir_all(root.path().join("own/same")).expect("remove");
    let junit = root.path().join("junit.xml");
    let (status, said) =
        corpus(&["run", folder, "--baseline", text(&base), "--junit", text(&junit)]);
    assert_eq!(status, 1, "{said}");
    for wanted in [
        "pair/mm/a: reason of changed function edit: was another, is ",
        "kpatch/data: verdict: was refused, is unchanged",
        "own/same: the baseline has it, but it is not there any more",
        "kpatch/edit: output: the ",
    ] {
        let line = said.lines().any(|l| l.starts_with("CHANGED ") && l.contains(wanted));
        assert!(line, "{wanted}: {said}");
    }
    let xml = fs::read_to_string(junit).expect("JUnit");
    assert!(xml.contains("<failure message=\"4 changes since the baseline\">"), "{xml}");
    assert_eq!(xml.matches("<testcase").count(), 7, "{xml}");
}
fn cases_are_listed_and_picked_by_name() {
    let Some(objects) = objects() else { return };
    let root = good(objects);
    let (folder, base) = (text(root.path()), root.path().join("base.json"));
    let (status, said) = corpus(&["list", folder]);
    assert_eq!(status, 0, "{said}");
    let names = |said: &str| -> Vec<String> {
        let case = |l: &str| l.split_whitespace().next().unwrap_or("").to_owned();
        said.lines().filter(|l| l.ends_with("  vmlinux")).map(case).collect()
    };
    assert_eq!(names(&said).len(), 7, "{said}");
    assert!(said.contains("refused") && said.contains("not changed"), "{said}");
    let (status, said) = corpus(&["list", folder, "--filter", "own/*dit", "--filter", "pair"]);
    let found = names(&said);
    assert!(status == 0 && found.len() == 2, "{said}");
    assert!(found[0].ends_with("/own/edit") && found[1].ends_with("/pair/mm/a"), "{said}");
    let (status, said) = corpus(&["run", folder, "--filter", "nothing-like-it"]);
    assert!(status == 2 && said.contains("--filter") && said.contains("corpus list"), "{said}");
    // What is not picked is not gone.
    assert_eq!(corpus(&["run", folder, "--save-baseline", text(&base)]).0, 0);
    let (status, said) = corpus(&["run", folder, "--filter", "kpatch/", "--baseline", text(&base)]);
    assert!(status == 0 && said.contains("2 cases: 2 as expected"), "{said}");
}
fn known_differences_are_no_reason_to_fail() {
    let Some(objects) = objects() else { return };
    let root = tempfile::tempdir().expect("folder");
    let at = |name: &str| root.path().join(name);
    toml(objects, &at("cases/edit"), "patched.o", "[expected]\nexit = 3\n");
    toml(objects, &at("cases/same"), "orig.o", "[expected]\nexit = 3\n");
    let (folder, known) = (at("cases"), at("known.toml"));
    let run = |known: &Path, junit: &Path| {
        corpus(&["run", text(&folder), "--known", text(known), "--junit", text(junit)])
    };
    let entry = |case: &str, more: &str| format!("[[known]]\ncase = '{case}'\n{more}\n");
    let good = entry("cases/e*", "says = 'expected unchanged'\nbecause = 'looked at'");
    fs::write(&known, &good).expect("file");
    let (status, said) = run(&known, &at("junit.xml"));
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("known cases/edit: verdict: changed, expected unchanged"), "{said}");
    assert!(said.contains("(known: looked at)") && said.contains("1 differ as known"), "{said}");
    let xml = fs::read_to_string(at("junit.xml")).expect("JUnit");
    assert!(xml.contains("<skipped") && !xml.contains("<failure"), "{xml}");
    for (text, wanted, says) in [
        (entry("cases/e*", "says = 'else'\nbecause = 'x'"), 1, "is not there any more"),
        (good + &entry("cases/same", "because = 'x'"), 0, "cases/same: the known difference"),
        (entry("cases/e*", "because = ' '"), 2, "must say why"),
        (entry("cases/e*", ""), 2, "missing field `because`"),
        (entry("cases/e*", "because = 'x'\nsay = 'x'"), 2, "unknown field `say`"),
    ] {
        fs::write(&known, &text).expect("file");
        let (status, said) = run(&known, &at("junit.xml"));
        assert!(status == wanted && said.contains(says), "{text}: {status} {said}");
    }
}
/// Where kpatch's own cases are at hand, all that differs is what `corpus/kpatch-known.toml` says.
fn cases_of_kpatch_differ_as_known() {
    let data =
        std::env::var_os("KLP_DIFF_DATA").map(|data| PathBuf::from(data).join("kpatch-objs"));
    let Some(cases) = data.filter(|cases| cases.exists()) else {
        crate::suite::lacks("KLP_DIFF_DATA names no folder with kpatch-objs");
        return;
    };
    let known = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/kpatch-known.toml");
    let (status, said) = corpus(&["run", text(&cases), "--known", text(&known)]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(" 0 differ, 0 errors, 0 skipped"), "{said}");
}
fn links_with_thinlto_get_their_verdicts() {
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("cases");
    let made = Command::new("bash")
        .args(["corpus/thinlto-cases.sh", "-o", text(&out)])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let said = match &made {
        Ok(output) => [output.stdout.as_slice(), &output.stderr].concat(),
        Err(_) => b"no cases: bash is needed".to_vec(),
    };
    let said = String::from_utf8_lossy(&said);
    if said.contains("no cases: ") {
        crate::suite::lacks(format!("{said}"));
        return;
    }
    assert!(made.is_ok_and(|output| output.status.success()), "{said}");
    let (status, said) = corpus(&["run", text(&out)]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(" 0 differ, 0 errors, 0 skipped"), "{said}");
}

/// Results without what differs from run to run.
fn timeless(path: &Path) -> Value {
    let mut results = load(path);
    for case in results["cases"].as_array_mut().expect("cases") {
        case["time_ms"] = Value::Null;
    }
    results
}
fn merged_shards_equal_the_whole() {
    let Some(objects) = objects() else { return };
    let root = good(objects);
    let folder = text(root.path());
    let files = tempfile::tempdir().expect("folder");
    let at = |name: &str| files.path().join(name);
    assert_eq!(corpus(&["run", folder, "--json", text(&at("whole"))]).0, 0);
    for i in 1..=3 {
        let (shard, file) = (format!("{i}/3"), at(&i.to_string()));
        let (status, said) = corpus(&["run", folder, "--shard", &shard, "--json", text(&file)]);
        assert_eq!(status, 0, "{said}");
        assert!(load(&file)["cases"].as_array().expect("cases").len() >= 2);
    }
    let [one, two, three] = ["1", "2", "3"].map(at);
    let merged = at("merged");
    let (status, said) =
        corpus(&["merge", text(&three), text(&one), text(&two), "--json", text(&merged)]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(timeless(&merged), timeless(&at("whole")));
    let (status, said) = corpus(&["merge", text(&one), text(&three)]);
    assert!(status == 2 && said.contains("missing: shard 2/3"), "{said}");
    let (status, said) = corpus(&["merge", text(&one), text(&one), text(&three)]);
    assert!(status == 2 && said.contains("shard 1/3 is also in"), "{said}");
    assert_eq!(corpus(&["run", folder, "--shard", "4/3"]).0, 64);
}
fn another_tool_is_compared_and_each_break_is_described() {
    let Some(objects) = objects() else { return };
    let root = good(objects);
    let tool = create_diff_object();
    let folder = root.path().join("kpatch");
    let (status, said) = corpus(&["run", text(&folder), "--against", text(&tool)]);
    assert_eq!(status, 0, "{said}");
    let wrapper = root.path().join("wrapper");
    let tool = tool.display();
    for (script, wanted) in [
        (
            "exit 0".to_owned(),
            "kpatch/data: exit status: ours is 2 (refused), theirs is 0 (changed)",
        ),
        (format!("{tool} \"$@\"; exit 0"), "exit status: ours is 2"),
        (
            format!("{tool} \"$@\"; s=$?; rm -f \"$7\"; exit $s"),
            "kpatch/edit: theirs wrote no output",
        ),
        (
            format!("{tool} \"$@\" || {{ s=$?; echo >\"$7\"; exit $s; }}"),
            "kpatch/data: theirs left an output behind although it failed",
        ),
        (
            format!(
                "{tool} \"$@\" || exit; objcopy --globalize-symbol=edit --weaken-symbol=edit \"$7\""
            ),
            "kpatch/edit: the symbol edit: bind is ",
        ),
        (
            format!("{tool} \"$@\" || exit; objcopy --remove-section=.kpatch.funcs \"$7\""),
            "kpatch/edit: the .kpatch.funcs entry of str:\"edit\" is in ours but not in theirs",
        ),
        (format!("{tool} \"$@\" || exit; echo junk >\"$7\""), "their output cannot be read"),
        ("kill -SEGV $$".to_owned(), "theirs was killed by signal 11"),
        ("exec sleep 60".to_owned(), "no end after 1 s"),
    ] {
        fs::write(&wrapper, format!("#!/bin/bash\n{script}\n")).expect("wrapper");
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).expect("mode");
        let args = ["run", text(&folder), "--against", text(&wrapper), "--time-limit", "1"];
        let (status, said) = corpus(&args);
        assert!(
            (status == 1 || status == 2) && said.contains(wanted),
            "{script}: {status}: {said}"
        );
    }
}
fn many_cases_stay_within_the_memory() {
    let Some(objects) = objects() else { return };
    let root = tempfile::tempdir().expect("folder");
    for i in 0..1000 {
        for (name, from) in [("ORIG.o", "orig.o"), ("PATCHED.o", "patched.o")] {
            let link = root.path().join(format!("copy-{i}.{name}"));
            std::os::unix::fs::symlink(objects.path(from), link).expect("link");
        }
    }
    let (status, said) = corpus(&["run", text(root.path()), "-j", "2", "--mem-limit", "64"]);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("1000 cases: 1000 as expected"), "{said}");
    let peak = said.rsplit("at most ").next().and_then(|s| s.split(' ').next());
    let peak: u64 = peak.expect("peak").parse().expect("number");
    assert!(peak <= 64, "{peak} MiB");
    let (status, said) =
        corpus(&["run", text(root.path()), "--mem-limit", "4", "--shard", "1/999"]);
    assert!(status == 2 && said.contains("raise --mem-limit (4)"), "{said}");
}
fn an_interrupted_run_says_what_was_not_run() {
    let Some(objects) = objects() else { return };
    let root = tempfile::tempdir().expect("folder");
    for name in ["a", "b", "c"] {
        put(&root.path().join(format!("{name}.ORIG.o")), &objects.path("orig.o"));
        put(&root.path().join(format!("{name}.PATCHED.o")), &objects.path("patched.o"));
    }
    fs::write(root.path().join("a.test"), "touch started; exec sleep 60\n").expect("test");
    let files = tempfile::tempdir().expect("folder");
    let (json, base) = (files.path().join("json"), files.path().join("base"));
    let child = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
        .args(["corpus", "run", text(root.path()), "-j", "1", "--json", text(&json)])
        .args(["--save-baseline", text(&base)])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("klp-diff runs");
    let started = root.path().join("started");
    for _ in 0..1000 {
        if started.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("sh")
            .args(["-c", &format!("kill -INT {pid}")])
            .status()
            .expect("sh")
            .success()
    );
    let output = child.wait_with_output().expect("end");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("interrupted: 3 cases were not run:"), "{said}");
    let left: Vec<_> = fs::read_dir(files.path()).expect("folder").collect();
    assert_eq!(left.len(), 1, "only the JSON is written: {left:?}");
    let results = load(&json);
    assert!(results["cases"].as_array().expect("cases").iter().all(|c| c["status"] == "not-run"));
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("every_layout_is_found_and_runs", every_layout_is_found_and_runs),
        (
            "sources_are_compiled_and_missing_compilers_are_named",
            sources_are_compiled_and_missing_compilers_are_named,
        ),
        ("each_difference_is_described", each_difference_is_described),
        ("changes_since_a_baseline_are_told", changes_since_a_baseline_are_told),
        ("cases_are_listed_and_picked_by_name", cases_are_listed_and_picked_by_name),
        ("known_differences_are_no_reason_to_fail", known_differences_are_no_reason_to_fail),
        ("cases_of_kpatch_differ_as_known", cases_of_kpatch_differ_as_known),
        ("links_with_thinlto_get_their_verdicts", links_with_thinlto_get_their_verdicts),
        ("merged_shards_equal_the_whole", merged_shards_equal_the_whole),
        (
            "another_tool_is_compared_and_each_break_is_described",
            another_tool_is_compared_and_each_break_is_described,
        ),
        ("many_cases_stay_within_the_memory", many_cases_stay_within_the_memory),
        ("an_interrupted_run_says_what_was_not_run", an_interrupted_run_says_what_was_not_run),
    ])
}
