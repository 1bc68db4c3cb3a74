//! What comes from outside: odd names, odd files, full disks, signals, and files that change.

#[path = "common/suite.rs"]
mod suite;

#[path = "../benches/synth/mod.rs"]
#[allow(dead_code)]
mod synth;

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use synth::{Options, STRUCT_SIZES, Side};
use tempfile::TempDir;

const KLP_DIFF: &str = env!("CARGO_BIN_EXE_klp-diff");

/// A folder with a pair of objects `o.o` and `p.o`, and the kernel's symbols `symtab`.
struct Lab(TempDir);

impl Lab {
    fn new() -> Lab {
        Lab::of(&Options::new(8, 1))
    }

    fn of(options: &Options) -> Lab {
        let lab = Lab(tempfile::tempdir().unwrap());
        lab.write("o.o", &synth::object(options, Side::Original));
        lab.write("p.o", &synth::object(options, Side::Patched));
        let mut symtab = Vec::new();
        synth::parent_symtab(options, &mut symtab).unwrap();
        lab.write("symtab", &symtab);
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Everything in the folder, sorted.
    fn names(&self) -> Vec<String> {
        let entries = self.0.path().read_dir().unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(KLP_DIFF);
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("TMPDIR", self.0.path());
        command.envs(STRUCT_SIZES.iter().map(|(name, size)| (name, size.to_string())));
        command
    }

    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (status.code(), text(&stdout), text(&stderr))
    }
}

fn replace(data: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..data.len() - from.len()).filter(|&i| data[i..].starts_with(from)).collect();
    places.iter().for_each(|&i| data[i..i + to.len()].copy_from_slice(to));
    places.len()
}

/// A symbol's name must not end its line, or reach the terminal.
fn names_are_printed_without_control_characters() {
    let lab = Lab::new();
    for name in ["o.o", "p.o"] {
        let mut data = lab.read(name);
        assert!(replace(&mut data, b"\0f0\0", b"\0\n\x1b\0") > 0);
        lab.write(name, &data);
    }
    lab.write("sym\x1btab\nchanged function: innocent", &lab.read("symtab"));
    let (status, out, err) = lab.run(&["o.o", "p.o", "--explain-noise"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.starts_with("changed function: \\n\\x1b\n"), "{out}");
    let (_, json, _) = lab.run(&["o.o", "p.o", "--json", "-"]);
    for text in [&out, &err, &json] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
    // So do those of files, in errors too.
    let (status, out, err) = lab.run(&["no\nchanged function: innocent\x1b[2J", "p.o"]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("no\\nchanged function: innocent\\x1b[2J: cannot open"), "{err}");
    let (status, _, err) = lab.run(&["--no-such\x1b[2J"]);
    assert_eq!(status, Some(64));
    assert!(!err.contains('\x1b'), "{err:?}");
}
fn what_cannot_be_printed_is_an_error() {
    let lab = Lab::new();
    lab.run(&["o.o", "p.o", "--symtab", "symtab", "-o", "out.o"]);
    for (args, wanted) in [
        (&["o.o", "p.o"][..], 1),
        (&["o.o", "p.o", "--json", "-"], 1),
        (&["--help"], 1),
        (&["--version"], 1),
        (&["module", "--help"], 1),
        (&["dump", "out.o"], 2),
        (&["corpus", "--help"], 2),
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = lab.command(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(wanted), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("cannot write"), "{args:?}: {said}");
    }
    // A reader that had enough is no error.
    let mut child = lab.command(&["dump", "out.o"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
fn inputs_are_never_overwritten() {
    let lab = Lab::new();
    symlink("p.o", lab.path("soft")).unwrap();
    std::fs::hard_link(lab.path("p.o"), lab.path("hard")).unwrap();
    let before = ["o.o", "p.o", "symtab"].map(|name| lab.read(name));
    for more in [
        &["-o", "p.o"][..],
        &["-o", "soft"],
        &["-o", "hard"],
        &["-o", "./"],
        &["-o", "symtab"],
        &["--json", "o.o"],
        &["--json", "symtab"],
        &["-o", "new", "--json", "./new"],
    ] {
        let args = [&["o.o", "p.o", "--symtab", "symtab"], more].concat();
        let (status, out, err) = lab.run(&args);
        assert_eq!((status, out.as_str()), (Some(1), ""), "{more:?}");
        assert!(err.contains("would overwrite"), "{more:?}: {err}");
    }
    // The same of folders.
    for folder in ["a", "b"] {
        std::fs::create_dir(lab.path(folder)).unwrap();
    }
    std::fs::copy(lab.path("o.o"), lab.path("a/x.o")).unwrap();
    std::fs::copy(lab.path("p.o"), lab.path("b/x.o")).unwrap();
    for output in ["b/", "a/", "b/x.o"] {
        let (status, _, err) = lab.run(&["a", "b", "--symtab", "symtab", "-o", output]);
        assert_eq!(status, Some(1), "{err}");
        assert!(err.contains("would overwrite"), "{output}: {err}");
    }
    assert_eq!(["o.o", "p.o", "symtab"].map(|name| lab.read(name)), before);
    assert_eq!(lab.names(), ["a", "b", "hard", "o.o", "p.o", "soft", "symtab"]);
}

/// Neither waits for a writer nor reads without end.
fn files_without_an_end_are_refused() {
    let lab = Lab::new();
    let mut odd = vec![("/dev/zero", "this is a device"), (".", "this is a folder")];
    if Command::new("mkfifo").arg(lab.path("fifo")).status().is_ok_and(|s| s.success()) {
        odd.push(("fifo", "this is a named pipe"));
    } else {
        crate::suite::lacks("mkfifo is not installed");
    }
    for (file, what) in odd {
        for (args, status) in [
            (&["--symtab", file, "o.o", "p.o", "-o", "x"][..], 1),
            (&["--image", &format!("vmlinux={file}"), "o.o", "p.o", "-o", "x"], 1),
            (&["dump", file], 2),
            (&["corpus", "merge", file], 2),
            (&["corpus", "run", "--baseline", file, "."], 2),
        ] {
            let (code, _, err) = lab.run(args);
            assert_eq!(code, Some(status), "{args:?}: {err}");
            assert!(err.contains(what) && err.contains(file), "{args:?}: {err}");
        }
    }
    let (code, _, err) = lab.run(&["/dev/zero", "p.o"]);
    assert!(code == Some(1) && err.contains("/dev/zero: not a regular file"), "{err}");
    // What a shell makes of `<(command)` has an end.
    let mut child = lab
        .command(&["o.o", "p.o", "--symtab", "/dev/stdin", "-o", "out.o"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&lab.read("symtab")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A small file that unpacks to a large one is told from a compressed kernel.
fn bombs_are_not_unpacked() {
    let lab = Lab::new();
    let script = "head -c 1500000000 /dev/zero | gzip -1 > bomb.gz";
    let made = Command::new("sh").args(["-c", script]).current_dir(lab.0.path()).status();
    if !made.is_ok_and(|s| s.success()) || lab.read("bomb.gz").len() < 1000 {
        crate::suite::lacks("gzip is not installed");
        return;
    }
    let start = Instant::now();
    let (code, _, err) = lab.run(&["o.o", "p.o", "--image", "vmlinux=bomb.gz", "-o", "x"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("bomb.gz: it unpacks to more than "), "{err}");
    assert!(start.elapsed() < Duration::from_secs(300));
}

fn alive(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

/// A folder whose case runs a compiler that never ends; `false` where there is nothing to make one of.
fn endless(lab: &Lab) -> bool {
    let runs = |program: &str, args: &[&str]| {
        Command::new(program).args(args).status().is_ok_and(|s| s.success())
    };
    if !runs("sleep", &["0"]) || !runs("sh", &["-c", "exit 0"]) {
        crate::suite::lacks("sh or sleep is not installed");
        return false;
    }
    std::fs::create_dir(lab.path("cases")).unwrap();
    lab.write("cc.sh", b"#!/bin/sh\necho $$ >> pids\nsleep 300 & echo $! >> pids\nwait\n");
    std::fs::set_permissions(lab.path("cc.sh"), Permissions::from_mode(0o755)).unwrap();
    lab.write("cases/a.c", b"int a;\n");
    let text = format!(
        "what = \"x\"\norig = \"a.c\"\npatched = \"a.c\"\ncompiler = \"{}\"\n[expected]\n",
        lab.path("cc.sh").display()
    );
    lab.write("cases/case.toml", text.as_bytes());
    true
}

/// Whether all processes that the compiler noted end.
fn all_end(pids: &Path) -> bool {
    let pids = std::fs::read_to_string(pids).unwrap();
    let ended = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_err() || stat.is_ok_and(|s| s.contains(") Z "))
    };
    assert!(pids.lines().count() >= 2, "{pids}");
    (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        pids.lines().all(ended)
    })
}
fn compilers_end_with_their_time() {
    let lab = Lab::new();
    if !endless(&lab) {
        return;
    }
    let (code, out, _) = lab.run(&["corpus", "run", "--time-limit", "1", "cases"]);
    assert_eq!(code, Some(2), "{out}");
    assert!(out.contains("no end after 1 s"), "{out}");
    assert!(all_end(&lab.path("cases/pids")));
}

/// One signal ends a corpus run in good order, two at once, and nothing stays behind.
fn signals_leave_nothing_behind() {
    for signals in [&["-INT"][..], &["-TERM", "-TERM"]] {
        let lab = Lab::new();
        if !endless(&lab) {
            return;
        }
        let mut child = lab
            .command(&["corpus", "run", "cases"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pids = lab.path("cases/pids");
        while std::fs::read_to_string(&pids).is_ok_and(|p| p.lines().count() < 2) || !pids.exists()
        {
            assert!(alive(&mut child));
            std::thread::sleep(Duration::from_millis(10));
        }
        for signal in signals {
            let pid = child.id().to_string();
            // The shell's own: `kill` as a program is in a package that may be missing.
            let kill = format!("kill {signal} {pid}");
            assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
            std::thread::sleep(Duration::from_millis(50));
        }
        let status = child.wait().unwrap();
        assert!(status.code() == Some(2) || status.signal() == Some(15), "{status}");
        assert!(all_end(&pids));
        let left: Vec<String> = lab
            .names()
            .into_iter()
            .filter(|n| n.starts_with("klp-") || n.starts_with('.'))
            .collect();
        assert_eq!(left, [""; 0]);
    }
}

/// Folders that link to each other have as many ways through them as there are orders.
fn each_folder_of_a_corpus_is_searched_once() {
    let lab = Lab::new();
    for i in 0..12 {
        std::fs::create_dir_all(lab.path(&format!("tree/{i}"))).unwrap();
        for j in 0..12 {
            symlink(format!("../{j}"), lab.path(&format!("tree/{i}/to{j}"))).unwrap();
        }
    }
    let start = Instant::now();
    let (code, _, err) = lab.run(&["corpus", "run", "tree"]);
    assert!(code == Some(2) && err.contains("no case below"), "{err}");
    // Far from what all ways would take, also on a busy machine.
    assert!(start.elapsed() < Duration::from_secs(120));
}

/// A number of shards is what a file says.
fn a_huge_number_of_shards_is_no_memory() {
    let lab = Lab::new();
    let shard = r#"{"index":1,"count":18446744073709551615}"#;
    let text = format!(
        r#"{{"format":1,"tool":"klp-diff {}","shard":{shard},"total":1,"cases":[],"notes":[]}}"#,
        env!("CARGO_PKG_VERSION")
    );
    lab.write("r.json", text.as_bytes());
    let (code, _, err) = lab.run(&["corpus", "merge", "r.json"]);
    assert!(code == Some(2) && err.contains("missing: shard 2/"), "{err}");
}
fn a_build_replaces_nothing_but_a_build() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("src")).unwrap();
    let source = "//# what: x\n//# changed: f\n\
                  int f(void)\n{\n#ifdef PATCHED\nreturn 1;\n#else\nreturn 2;\n#endif\n}\n";
    lab.write("src/a.c", source.as_bytes());
    std::fs::create_dir(lab.path("mine")).unwrap();
    lab.write("mine/thesis", b"x");
    for record in ["{}", "junk", r#"{"compilers":{},"notes":[],"failures":[],"cases":[".."]}"#] {
        lab.write("mine/build.json", record.as_bytes());
        let (code, _, err) = lab.run(&["corpus", "build", "src", "-o", "mine"]);
        assert_eq!(code, Some(2), "{record}: {err}");
        if err.contains("none of the compilers") {
            crate::suite::lacks("no compiler for the corpus is installed");
            return;
        }
        assert_eq!(lab.read("mine/thesis"), b"x");
    }
    for _ in 0..2 {
        let (code, _, err) = lab.run(&["corpus", "build", "src", "-o", "out"]);
        assert_eq!(code, Some(0), "{err}");
        assert!(lab.path("out/build.json").exists());
    }
    lab.write("out/notes.txt", b"x");
    let (code, _, err) = lab.run(&["corpus", "build", "src", "-o", "out"]);
    assert!(code == Some(2) && err.contains("notes.txt is not part of"), "{err}");
    assert_eq!(lab.names(), ["mine", "o.o", "out", "p.o", "src", "symtab"]);
}

/// What is written with an alignment takes as much room.
fn alignments_are_those_of_kernels() {
    let lab = Lab::new();
    let whole = lab.read("p.o");
    let number = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().unwrap()) as usize;
    let headers = number(40);
    for align in [3, 1 << 25, 1 << 63, u64::MAX] {
        let mut data = whole.clone();
        // sh_addralign of the second section.
        data[headers + 64 + 48..][..8].copy_from_slice(&u64::to_le_bytes(align));
        lab.write("p.o", &data);
        let (code, out, err) = lab.run(&["o.o", "p.o", "--symtab", "symtab", "-o", "out.o"]);
        assert_eq!((code, &*out), (Some(1), ""), "{align:#x}: {err}");
        assert!(err.starts_with("p.o: ") && err.contains("is no power of two"), "{err}");
    }
    assert_eq!(lab.names(), ["o.o", "p.o", "symtab"]);
}

/// A thread whose stack would be larger than all memory cannot be started.
fn threads_that_cannot_be_started_are_not_needed() {
    let lab = Lab::new();
    lab.run(&["o.o", "p.o", "--symtab", "symtab", "-o", "out.o"]);
    for args in [&["o.o", "p.o", "--symtab", "symtab", "-o", "again.o"][..], &["dump", "out.o"]] {
        let wanted = lab.run(args);
        let mut command = lab.command(args);
        let output = command.env("RUST_MIN_STACK", (1_u64 << 46).to_string()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), &*said), (wanted.0, &*wanted.2), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted.1);
    }
    assert_eq!(lab.read("again.o"), lab.read("out.o"));
}

/// Runs the program in a shell that has set a limit first.
fn limited(lab: &Lab, limit: &str, args: &str) -> (Option<i32>, String) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit}; exec {KLP_DIFF} {args}")]).current_dir(lab.0.path());
    command.envs(STRUCT_SIZES.iter().map(|(name, size)| (name, size.to_string())));
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// However little memory there is, a run that does not end well says so and leaves nothing.
fn memory_that_is_refused_ends_the_run() {
    let lab = Lab::of(&Options::new(1000, 500));
    let limit = |mib: u32| format!("ulimit -v {}", mib * 1024);
    // Below that there is not even room for the program itself.
    let Some(least) = (4..400).find(|&mib| limited(&lab, &limit(mib), "--version").0 == Some(0))
    else {
        crate::suite::lacks("a shell that limits memory");
        return;
    };
    let (mut refused, mut mib) = (0, least + 1);
    loop {
        let args = "o.o p.o --symtab symtab -o out.o --json report.json";
        let (code, said) = limited(&lab, &limit(mib), args);
        if code == Some(0) {
            break;
        }
        assert_eq!(code, Some(1), "{mib} MiB: {said}");
        assert!(said.contains("memory") || said.contains("thread"), "{mib} MiB: {said}");
        // A run that fails by itself reports that.
        if std::fs::remove_file(lab.path("report.json")).is_ok() {
            assert!(!said.contains("gives no more memory"), "{mib} MiB: {said}");
        }
        assert_eq!(lab.names(), ["o.o", "p.o", "symtab"], "{mib} MiB");
        (refused, mib) = (refused + 1, mib + mib / 4);
        assert!(mib < 4000, "{said}");
    }
    assert!(refused > 0, "{least} MiB are enough");
}

/// Output and report that cannot be written whole are what they were before.
fn what_does_not_fit_leaves_what_was_there() {
    let lab = Lab::new();
    let old = ["out.o", "report.json"];
    old.iter().for_each(|name| lab.write(name, b"old"));
    for blocks in [0, 1] {
        let args = "o.o p.o --symtab symtab -o out.o --json report.json";
        let (code, said) = limited(&lab, &format!("trap '' XFSZ; ulimit -f {blocks}"), args);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("out.o: cannot write"), "{said}");
        assert_eq!(old.map(|name| lab.read(name)), [b"old", b"old"]);
    }
    assert_eq!(lab.names(), ["o.o", "out.o", "p.o", "report.json", "symtab"]);
}

/// Whichever comes last: the file is that of one of them.
fn runs_with_the_same_output_leave_a_whole_one() {
    let lab = Lab::new();
    let args = ["o.o", "p.o", "--symtab", "symtab", "-o"];
    lab.run(&[&args[..], &["wanted.o"]].concat());
    let run = |_| {
        let mut command = lab.command(&[&args[..], &["out.o"]].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for mut child in (0..8).map(run).collect::<Vec<Child>>() {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(lab.read("out.o"), lab.read("wanted.o"));
    assert_eq!(lab.names(), ["o.o", "out.o", "p.o", "symtab", "wanted.o"]);
}

/// Where an input is cut short, the program says so and leaves no output.
fn an_input_that_shrinks_ends_the_run() {
    let lab = Lab::of(&Options::new(4000, 2000));
    let whole = lab.read("p.o");
    let mut hit = false;
    for delay in (0..60).map(|i| i * 3) {
        let child = lab
            .command(&["o.o", "p.o", "--symtab", "symtab", "-o", "out.o"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let file = std::fs::File::options().write(true).open(lab.path("p.o")).unwrap();
        file.set_len(4096).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Cut before it was opened, or after all was done, it is another matter.
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 1)), "{}: {said}", output.status);
        assert!(code == Some(0) || said.contains("p.o"), "{said}");
        assert_eq!(code == Some(0), lab.path("out.o").exists(), "{said}");
        hit |= said.contains("cut short");
        let _ = std::fs::remove_file(lab.path("out.o"));
        std::fs::remove_file(lab.path("p.o")).unwrap();
        lab.write("p.o", &whole);
        assert_eq!(lab.names(), ["o.o", "p.o", "symtab"]);
        if hit {
            return;
        }
    }
    eprintln!("skipped: the file was never cut while it was read");
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "names_are_printed_without_control_characters",
            names_are_printed_without_control_characters,
        ),
        ("what_cannot_be_printed_is_an_error", what_cannot_be_printed_is_an_error),
        ("inputs_are_never_overwritten", inputs_are_never_overwritten),
        ("files_without_an_end_are_refused", files_without_an_end_are_refused),
        ("bombs_are_not_unpacked", bombs_are_not_unpacked),
        ("compilers_end_with_their_time", compilers_end_with_their_time),
        ("signals_leave_nothing_behind", signals_leave_nothing_behind),
        ("each_folder_of_a_corpus_is_searched_once", each_folder_of_a_corpus_is_searched_once),
        ("a_huge_number_of_shards_is_no_memory", a_huge_number_of_shards_is_no_memory),
        ("a_build_replaces_nothing_but_a_build", a_build_replaces_nothing_but_a_build),
        ("an_input_that_shrinks_ends_the_run", an_input_that_shrinks_ends_the_run),
        (
            "threads_that_cannot_be_started_are_not_needed",
            threads_that_cannot_be_started_are_not_needed,
        ),
        ("alignments_are_those_of_kernels", alignments_are_those_of_kernels),
        ("memory_that_is_refused_ends_the_run", memory_that_is_refused_ends_the_run),
        ("what_does_not_fit_leaves_what_was_there", what_does_not_fit_leaves_what_was_there),
        (
            "runs_with_the_same_output_leave_a_whole_one",
            runs_with_the_same_output_leave_a_whole_one,
        ),
    ])
}
