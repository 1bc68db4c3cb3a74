//! Data that gcc's code reaches by distances from one address of a section (-fsection-anchors).

#[path = "common/suite.rs"]
mod suite;

#[path = "common/patch.rs"]
#[allow(dead_code)]
mod common;

use common::compile;
use klp_diff::{Outcome, Run, run};

const COMMON: &str = "-O2 -c -w -fno-asynchronous-unwind-tables -fno-stack-protector";

const COMPILERS: [&str; 4] = [
    "aarch64-linux-gnu-gcc -fpatchable-function-entry=2",
    "powerpc64le-linux-gnu-gcc -mabi=elfv2 -mprofile-kernel -pg",
    "powerpc64le-linux-gnu-gcc -mabi=elfv2 -mcmodel=large -mprofile-kernel -pg \
     -fno-optimize-sibling-calls",
    "s390x-linux-gnu-gcc -m64 -march=z13 -pg -mfentry -mrecord-mcount -mnop-mcount",
];

/// The code of the result, or the names of what changed.
fn say(orig: &[u8], patched: &[u8]) -> String {
    let job = common::job(orig, patched);
    let Run { report, outcome } = run(&job);
    match outcome {
        Outcome::Refused(error) => error.code().name().to_owned(),
        Outcome::Unchanged | Outcome::Changed { .. } => {
            let names: Vec<&str> = report.functions.iter().map(|f| f.name.as_str()).collect();
            names.join(" ")
        }
    }
}

/// What is said of `source` without and with `PATCHED`, compiled with these options.
fn each(source: &str, options: &str, right: impl Fn(&str) -> bool) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file.c"), source).expect("written");
    for command in COMPILERS {
        let made = |define| compile(command, &format!("{COMMON} {options}"), folder.path(), define);
        let (Some(orig), Some(patched)) = (made("ORIG"), made("PATCHED")) else { continue };
        let said = say(&orig, &patched);
        assert!(right(&said), "{command} {options}: {said}");
    }
}

/// The same of objects that are linked from `source` and another file.
fn each_linked(source: &str, options: &str, right: impl Fn(&str) -> bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for command in COMPILERS {
        let options = format!("{COMMON} {options}");
        let linker = command.split_whitespace().next().unwrap_or("").replace("gcc", "ld");
        let made = |define: &str| {
            let mut parts = Vec::new();
            for (name, text) in [("before", BESIDE), ("file", source)] {
                std::fs::write(at("file.c"), text).expect("written");
                parts.push(at(&format!("{name}.o")));
                std::fs::write(
                    at(&format!("{name}.o")),
                    compile(command, &options, folder.path(), define)?,
                )
                .expect("written");
            }
            let mut link = std::process::Command::new(&linker);
            let done = link.arg("-r").arg("-o").arg(at("linked")).args(parts).status();
            assert!(done.is_ok_and(|status| status.success()), "{linker}");
            Some(std::fs::read(at("linked")).expect("object"))
        };
        let (Some(orig), Some(patched)) = (made("ORIG"), made("PATCHED")) else { continue };
        let said = say(&orig, &patched);
        assert!(right(&said), "{command} {options}: {said}");
    }
}

/// A file with variables and constants of its own, which grow.
const BESIDE: &str = "
    extern void put(const void *);
    static int own[3] = {1, 2}, more = 7;
    static const int list[] = {4, 5, 6}, last[] = {7, 8};
    int beside(int at) { own[at] += more; more = at; put(own); put(list); return last[at]; }";

/// A constant that no reference names.
const CONSTANT: &str = "
    extern void put(const void *);
    #ifdef PATCHED
    #define VALUE 9
    #else
    #define VALUE 8
    #endif
    static const int first[30] = {1, 2, 3};
    static const int table[] = {5, 7, VALUE, 77};
    void show(void) { put(first); }
    int look(long at) { return first[at] + table[at]; }";

/// A variable more, in front of one that no reference names.
const VARIABLE: &str = "
    extern void put(const void *);
    extern int sink(int);
    STORAGE int first[30] = {1, 2, 3};
    #ifdef PATCHED
    STORAGE int between[7] = {7, 7};
    #else
    #define between first
    #endif
    STORAGE int table[] = {5, 7, 6, 77};
    void show(void) { put(first); put(between); put(table); }
    int look(long at) { return first[at] + table[at] + sink(between[1]); }";
/// Two variables of one size that change places while a function, whose bytes stay, takes the
/// one for the other.
const EXCHANGED: &str = "
    extern void put(const void *);
    static int first[30] = {1};
    #ifdef PATCHED
    static int right = 1, left = 1;
    #define USED right
    #else
    static int left = 1, right = 1;
    #define USED left
    #endif
    void see(int a) { first[2] = a; left = a; put(first); }
    int look(long at) { return first[at] + USED; }
    void set(int a, int b) { left = a; right = b; }";
fn variables_that_a_function_takes_for_one_another_are_not_missed() {
    let right = |said: &str| said == "section-anchors" || said.split(' ').any(|f| f == "look");
    each(EXCHANGED, "-fsection-anchors", right);
    each_linked(EXCHANGED, "-fsection-anchors", right);
}
fn of_linked_objects_each_file_has_its_own() {
    each_linked(CONSTANT, "-fsection-anchors", |said| ["section-anchors", "look"].contains(&said));
    let moved = VARIABLE.replace("STORAGE", "static");
    each_linked(&moved, "-fsection-anchors", |said| said == "section-anchors");
    each_linked(CONSTANT, "-fdata-sections", |said| said == "look");
    // What other files have is none of theirs.
    let same = CONSTANT.replace("VALUE, 77", "6, 77");
    each_linked(&same, "-fsection-anchors", |said| said.is_empty());
}
fn a_changed_constant_without_a_reference_is_refused() {
    // Where it has one all the same, the reader is found.
    each(CONSTANT, "-fsection-anchors", |said| ["section-anchors", "look"].contains(&said));
}
fn with_references_its_readers_are_named() {
    for options in ["-fno-section-anchors", "-fdata-sections"] {
        each(CONSTANT, options, |said| said == "look");
    }
}
fn moved_variables_without_references_are_refused() {
    for storage in ["static", ""] {
        let source = VARIABLE.replace("STORAGE", storage);
        each(&source, "-fsection-anchors -fno-common", |said| said == "section-anchors");
    }
}
fn moved_variables_with_references_are_not() {
    for options in ["-fno-section-anchors", "-fdata-sections"] {
        let source = VARIABLE.replace("STORAGE", "static");
        each(&source, options, |said| said == "show look");
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "variables_that_a_function_takes_for_one_another_are_not_missed",
            variables_that_a_function_takes_for_one_another_are_not_missed,
        ),
        ("of_linked_objects_each_file_has_its_own", of_linked_objects_each_file_has_its_own),
        (
            "a_changed_constant_without_a_reference_is_refused",
            a_changed_constant_without_a_reference_is_refused,
        ),
        ("with_references_its_readers_are_named", with_references_its_readers_are_named),
        (
            "moved_variables_without_references_are_refused",
            moved_variables_without_references_are_refused,
        ),
        ("moved_variables_with_references_are_not", moved_variables_with_references_are_not),
    ])
}
