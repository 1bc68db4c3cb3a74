//! Objects of kernels with a sanitizer, with coverage, or of other options that add sections,
//! constructors and counters: an object and itself are without change.
//!
//! A few cases of the corpus are compiled here by each compiler in each way; all of them, and
//! all objects of the reference data, by `cargo test --test sanitizers -- --ignored`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const COMPILERS: [&str; 7] =
    ["gcc-12", "gcc-14", "gcc-15", "clang-14", "clang-16", "clang-19", "clang-22"];

const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -fno-stack-protector -fno-strict-aliasing -std=gnu11 \
     -mno-red-zone -w";

/// What a kernel adds to the flags of gcc (scripts/Makefile.kasan, Makefile.kcsan,
/// Makefile.ubsan, Makefile.kcov, the top Makefile's CFLAGS_GCOV), and what newer ones bring.
const GCC: &[&str] = &[
    "-fsanitize=kernel-address --param=asan-globals=1 --param=asan-stack=1 \
     --param=asan-instrumentation-with-call-threshold=10000",
    "-fsanitize=thread -fno-optimize-sibling-calls",
    "-fsanitize=bounds-strict,shift,integer-divide-by-zero,bool,enum,unreachable,alignment",
    "-fsanitize-coverage=trace-pc,trace-cmp",
    "-fprofile-arcs -ftest-coverage -fno-tree-loop-im",
    "-fzero-init-padding-bits=all -fmin-function-alignment=16",
    "-gctf",
    "-fasynchronous-unwind-tables -Wa,--gsframe",
];

/// The same of clang.
const CLANG: &[&str] = &[
    "-fsanitize=kernel-address -mllvm -asan-mapping-offset=0xdffffc0000000000 \
     -mllvm -asan-globals=1 -mllvm -asan-stack=1 \
     -mllvm -asan-instrumentation-with-call-threshold=10000",
    "-fsanitize=thread -mllvm -tsan-distinguish-volatile=1",
    "-fsanitize=kernel-memory",
    "-fsanitize=array-bounds,shift,integer-divide-by-zero,bool,enum,unreachable,alignment",
    "-fsanitize=array-bounds,shift -fsanitize-trap=undefined",
    "-fsanitize-coverage=trace-pc,trace-cmp",
    "-fprofile-arcs -ftest-coverage",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/cases")
}

/// Cases of the default run.
const SAMPLE: [&str; 2] = ["debug-descriptor-line", "function-name"];

fn is_installed(compiler: &str) -> bool {
    let mut command = Command::new(compiler);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    cfg!(target_arch = "x86_64") && command.status().is_ok_and(|status| status.success())
}

/// Fails unless an object and itself are without change.
fn check(object: &Path, what: &str, bad: &mut Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
    let output = command.args([object, object]).output().expect("klp-diff runs");
    if output.status.code() != Some(3) {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bad.push(format!("{what}: {}, {said}", output.status));
    }
}

fn ways(compiler: &str) -> &'static [&'static str] {
    if compiler.starts_with("gcc") { GCC } else { CLANG }
}

/// Compiles a case; whether the compiler takes it: older ones lack some options, and some cases
/// are for others.
fn compile((compiler, way): (&str, &str), case: &str, define: &str, object: &Path) -> bool {
    let done = Command::new(compiler)
        .args(FLAGS.split_whitespace())
        .args(way.split_whitespace())
        .args([define, "-c", "-o"])
        .arg(object)
        .arg(format!("{case}.c"))
        .current_dir(folder())
        .output();
    done.expect("the compiler runs").status.success()
}

/// Compiles a case in each way that the compiler has.
fn check_case(compiler: &str, (case, defines): (&str, &[&str]), bad: &mut Vec<String>) -> usize {
    let out = tempfile::tempdir().expect("a folder");
    let mut made = 0;
    for way in ways(compiler) {
        for define in defines {
            let object = out.path().join("object.o");
            if compile((compiler, way), case, define, &object) {
                made += 1;
                check(&object, &format!("{compiler} {way} {define} {case}"), bad);
            }
        }
    }
    made
}

fn check_cases(cases: &[String], defines: &[&str]) {
    let (mut bad, mut made) = (Vec::new(), 0);
    let installed: Vec<&str> = COMPILERS.into_iter().filter(|c| is_installed(c)).collect();
    for compiler in &installed {
        for case in cases {
            made += check_case(compiler, (case, defines), &mut bad);
        }
    }
    println!("{made} objects of {installed:?}, {} of them wrong", bad.len());
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(installed.is_empty() || made > 0);
}

#[test]
fn an_object_with_a_sanitizer_is_as_it_is() {
    check_cases(&SAMPLE.map(str::to_owned), &["-DPATCHED"]);
}

/// What registers and describes variables with KASAN is no part of a patch, and reads nothing.
#[test]
fn constructors_of_kasan_are_no_change() {
    const CASES: [(&str, &str); 3] = [
        ("boot-data-beside", "constant kept changed, and only code that has run"),
        ("new-static-data", ""),
        ("data-removed", ""),
    ];
    for compiler in COMPILERS.into_iter().filter(|c| is_installed(c)) {
        for (case, says) in CASES {
            let out = tempfile::tempdir().expect("a folder");
            let objects = ["-DORIGINAL", "-DPATCHED"].map(|define| {
                let object = out.path().join(format!("{define}.o"));
                assert!(compile((compiler, ways(compiler)[0]), case, define, &object), "{case}");
                object
            });
            let output = Command::new(env!("CARGO_BIN_EXE_klp-diff")).args(&objects).output();
            let output = output.expect("klp-diff runs");
            let [told, said] = [output.stdout, output.stderr]
                .map(|text| String::from_utf8_lossy(&text).into_owned());
            assert_eq!(output.status.code(), Some(0), "{compiler} {case}: {said}");
            assert!(said.contains(says), "{compiler} {case}: {said}");
            assert!(!told.contains("asan") && !told.contains("_sub_"), "{compiler}: {told}");
        }
    }
}

#[test]
#[ignore = "takes many minutes"]
fn all_cases_with_sanitizers_are_as_they_are() {
    let names = std::fs::read_dir(folder()).expect("the cases");
    let names = names.map(|entry| entry.expect("a case").path());
    let mut cases: Vec<String> = names
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        // It has callbacks, which are an effect of their own.
        .filter(|case| case != "callback")
        .collect();
    cases.sort();
    check_cases(&cases, &["-DORIGINAL", "-DPATCHED"]);
}

#[test]
#[ignore = "takes many minutes"]
fn all_reference_objects_are_as_they_are() {
    let data = std::env::var_os("KLP_DIFF_DATA").expect("KLP_DIFF_DATA names the reference data");
    let mut folders = vec![PathBuf::from(data)];
    let (mut bad, mut seen) = (Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match std::fs::symlink_metadata(&path) {
                Ok(known) if known.is_dir() => folders.push(path),
                Ok(known) if known.is_file() && is_object(&path) => {
                    seen += 1;
                    check(&path, &path.display().to_string(), &mut bad);
                }
                _ => {}
            }
        }
    }
    println!("{seen} objects, {} of them wrong", bad.len());
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

fn is_object(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let head = std::fs::read(path).unwrap_or_default();
    name.ends_with(".o") && head.starts_with(b"\x7fELF")
}
