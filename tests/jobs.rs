//! `-j`: the number of threads changes nothing but the time.

#[path = "common/suite.rs"]
mod suite;

#[path = "../benches/synth/mod.rs"]
mod synth;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use synth::{Options, Side};

struct Pair {
    orig: PathBuf,
    patched: PathBuf,
    symtab: PathBuf,
    env: Vec<(String, String)>,
}

fn run(pair: &Pair, output: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
    command.arg("-o").arg(output).arg("--symtab").args([&pair.symtab, &pair.orig, &pair.patched]);
    command.args(more).envs(pair.env.iter().cloned()).output().expect("klp-diff runs")
}

/// Runs a pair on different numbers of threads and compares all that comes out.
fn same_on_any_number(pair: &Pair, folder: &Path) {
    let runs: Vec<(Output, Vec<u8>)> = ["-j1", "-j2", "--jobs=7"]
        .iter()
        .map(|jobs| {
            let output = folder.join("out.o");
            let run = run(pair, &output, &[jobs]);
            assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
            let bytes = std::fs::read(&output).expect("output");
            std::fs::remove_file(&output).expect("output");
            (run, bytes)
        })
        .collect();
    assert!(!runs[0].0.stdout.is_empty());
    for (run, bytes) in &runs[1..] {
        assert!(*bytes == runs[0].1, "the outputs differ");
        assert_eq!(run.stdout, runs[0].0.stdout);
        assert_eq!(run.stderr, runs[0].0.stderr);
    }
}

fn synthetic(options: &Options, folder: &Path) -> Pair {
    let path = |name: &str| folder.join(name);
    std::fs::write(path("orig.o"), synth::object(options, Side::Original)).expect("orig");
    std::fs::write(path("patched.o"), synth::object(options, Side::Patched)).expect("patched");
    let mut symtab = Vec::new();
    synth::parent_symtab(options, &mut symtab).expect("symtab");
    std::fs::write(path("symtab"), symtab).expect("symtab");
    Pair {
        orig: path("orig.o"),
        patched: path("patched.o"),
        symtab: path("symtab"),
        env: synth::STRUCT_SIZES.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
    }
}
fn the_number_of_threads_changes_nothing() {
    let plain = Options::new(3000, 750);
    let shared = Options { shared_names: true, renumbered: true, ..plain };
    for options in [plain, shared, Options { one_section: true, ..plain }] {
        let folder = tempfile::tempdir().expect("folder");
        same_on_any_number(&synthetic(&options, folder.path()), folder.path());
    }
}
fn nothing_but_the_result_is_printed_without_a_terminal() {
    let folder = tempfile::tempdir().expect("folder");
    let pair = synthetic(&Options::new(100, 3), folder.path());
    let run = run(&pair, &folder.path().join("out.o"), &[]);
    assert_eq!(String::from_utf8_lossy(&run.stderr), "");
    assert_eq!(String::from_utf8_lossy(&run.stdout).matches("changed function: ").count(), 3);
}
fn a_wrong_number_is_wrong_usage() {
    let folder = tempfile::tempdir().expect("folder");
    let pair = synthetic(&Options::new(10, 1), folder.path());
    for jobs in ["-j0", "-jx", "--jobs=-1", "-j"] {
        let run = run(&pair, &folder.path().join("out.o"), &[jobs]);
        assert_eq!(run.status.code(), Some(64), "{jobs}");
    }
}
fn every_verb_that_compares_takes_it() {
    for verb in ["verify-orig", "module", "corpus run"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        let output = command.args(verb.split(' ')).arg("--help").output().expect("klp-diff runs");
        assert!(String::from_utf8_lossy(&output.stdout).contains("-j, --jobs <N>"), "{verb}");
    }
}

/// A whole kernel.
fn a_real_kernel_is_the_same_on_any_number_of_threads() {
    let data = std::env::var_os("KLP_DIFF_DATA").map(PathBuf::from);
    let Some(lto) = data.map(|d| d.join("kernel-lto")).filter(|d| d.exists()) else {
        crate::suite::lacks("KLP_DIFF_DATA names no folder with kernel-lto");
        return;
    };
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    let mut tar = Command::new("tar");
    tar.arg("-xJf").arg(lto.join("vmlinux-o.tar.xz")).arg("-C").arg(folder.path());
    assert!(tar.status().expect("tar runs").success());
    let xz = Command::new("xz").arg("-dc").arg(lto.join("boot/vmlinux.symtab.xz")).output();
    std::fs::write(path("symtab"), xz.expect("xz runs").stdout).expect("symtab");
    let env = std::fs::read_to_string(lto.join("env")).expect("env");
    let own = |line: &str| line.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    let pair = Pair {
        orig: path("orig.vmlinux.o"),
        patched: path("a-meminfo.vmlinux.o"),
        symtab: path("symtab"),
        env: env.lines().filter_map(own).collect(),
    };
    same_on_any_number(&pair, folder.path());
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("the_number_of_threads_changes_nothing", the_number_of_threads_changes_nothing),
        (
            "nothing_but_the_result_is_printed_without_a_terminal",
            nothing_but_the_result_is_printed_without_a_terminal,
        ),
        ("a_wrong_number_is_wrong_usage", a_wrong_number_is_wrong_usage),
        ("every_verb_that_compares_takes_it", every_verb_that_compares_takes_it),
        (
            "a_real_kernel_is_the_same_on_any_number_of_threads",
            a_real_kernel_is_the_same_on_any_number_of_threads,
        ),
    ])
}
