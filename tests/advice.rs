//! What cannot be patched is said function by function, with what to do about it.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/builds.rs"]
mod common;

use std::path::Path;
use std::process::Command;

use common::{Builds, FLAGS};
use serde_json::Value;

/// The findings of all objects in `field`, after checking that the text has each message.
fn findings(
    lab: &Builds,
    paths: [&str; 2],
    options: &[&str],
    field: &str,
    exit: i32,
) -> Vec<Value> {
    let plain = lab.diff(paths, options);
    let text = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert_eq!(plain.status.code(), Some(exit), "{text}");
    let with_json: Vec<&str> = options.iter().copied().chain(["--json", "-"]).collect();
    let output = lab.diff(paths, &with_json);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let objects = document["objects"].as_array().unwrap().iter();
    let found: Vec<Value> = objects.flat_map(|o| o[field].as_array().unwrap().clone()).collect();
    for finding in &found {
        let message = finding["message"].as_str().unwrap();
        let first = message.split(": ").next().unwrap();
        assert!(text.contains(first), "{first}\n{text}");
    }
    found
}

fn has(findings: &[Value], code: &str, symbol: &str, parts: &[&str]) {
    let found = findings.iter().filter(|f| f["code"] == code && f["symbol"] == symbol);
    let found: Vec<&Value> = found.collect();
    assert_eq!(found.len(), 1, "{code} {symbol}: {findings:#?}");
    let message = found[0]["message"].as_str().unwrap();
    for part in parts {
        assert!(message.contains(part), "{part}: {message}");
    }
}

const BODY: &str = "
    #ifdef PATCHED
    #define N 5
    #else
    #define N 3
    #endif
    extern int use(int);\n";
fn of_functions_that_ftrace_cannot_reach_the_callers_are_named() {
    let Some(lab) = Builds::new() else { return };
    let notrace = "__attribute__((no_instrument_function, noinline))";
    lab.compile_both(
        "one",
        &format!(
            "{BODY}
             {notrace} int low(int v) {{ return use(v) + N; }}
             {notrace} int lone(int v) {{ return use(v) * N; }}
             __attribute__((section(\".noinstr.text\"), no_instrument_function, noinline))
             int entry(int v) {{ return use(v) - N; }}
             int high(int v) {{ return low(v) + 1; }}
             int higher(int v) {{ return low(v) + entry(v); }}\n"
        ),
    );
    let found = findings(&lab, ["a/one.o", "b/one.o"], &[], "refusals", 2);
    assert_eq!(found.len(), 3, "{found:#?}");
    let advice = "patch their callers instead";
    has(&found, "no-ftrace-entry", "low", &["notrace", "called by high, higher", advice]);
    has(&found, "no-ftrace-entry", "lone", &["nothing in this object calls it"]);
    has(&found, "no-ftrace-entry", "entry", &["noinstr", "called by higher"]);
}
fn what_has_run_is_gone() {
    let Some(lab) = Builds::new() else { return };
    let init = "__attribute__((section(\".init.text\"), noinline))";
    lab.compile_both(
        "one",
        &format!(
            "{BODY}
             {init} int setup(int v) {{ return use(v) + N; }}
             {init} int probe(int v) {{ return use(v) * N; }}
             int other(int v) {{ return use(v) - N; }}\n"
        ),
    );
    lab.compile_both("two", "extern int use(int); int two(int v) { return use(v) + 2; }\n");
    for side in ["a", "b"] {
        let files = ["whole.o", "one.o", "two.o"].map(|file| lab.path(side).join(file));
        let linked = suite::output(Command::new("ld").arg("-r").arg("-o").args(&files)).status;
        assert!(linked.success());
        std::fs::create_dir(lab.path(&format!("whole-{side}"))).unwrap();
        std::fs::rename(&files[0], lab.path(&format!("whole-{side}/vmlinux.o"))).unwrap();
    }
    let whole = ["whole-a/vmlinux.o", "whole-b/vmlinux.o"];
    let advice = "undo its effect in a callback";
    for (paths, options, field, exit) in [
        (["a/one.o", "b/one.o"], &[][..], "warnings", 0),
        (["a/one.o", "b/one.o"], &["--strict"], "refusals", 2),
        (["a", "b"], &[], "warnings", 0),
        (["a", "b"], &["--strict"], "refusals", 2),
        (whole, &[], "warnings", 0),
        (whole, &["--strict"], "refusals", 2),
    ] {
        let found = findings(&lab, paths, options, field, exit);
        assert_eq!(found.len(), 2, "{found:#?}");
        has(&found, "boot-only", "setup", &["it has run and is gone", advice]);
        has(&found, "boot-only", "probe", &["it has run and is gone", advice]);
        // What changed is listed in any case, and what the patch leaves out as well.
        let output = lab.diff(paths, &[options, &["--json", "-"]].concat());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let functions = document["objects"][0]["functions"].as_array().unwrap();
        assert!(functions.iter().any(|f| f["name"] == "other" && f["status"] == "changed"));
    }
}
fn a_helper_that_is_inlined_everywhere_names_who_carries_it() {
    let Some(lab) = Builds::new() else { return };
    lab.compile_both(
        "one",
        "int mark(int); extern int level;
         #ifdef PATCHED
         #define HOW __attribute__((always_inline)) inline
         #define N 5
         #else
         #define HOW __attribute__((noinline))
         #define N 3
         #endif
         static HOW int helper(int x) { return mark(x + level) * N; }
         int first(int x) { return helper(x) + 1; }
         int second(int x) { return helper(x) * 2 - helper(x + 1); }
         int third(int x) { return x + level; }\n",
    );
    let found = findings(&lab, ["a/one.o", "b/one.o"], &[], "warnings", 0);
    assert_eq!(found.len(), 1, "{found:#?}");
    has(&found, "inlined-everywhere", "helper", &["first, second", "the patch replaces these"]);
}
fn a_section_that_means_something_is_to_be_kept() {
    let Some(lab) = Builds::new() else { return };
    lab.compile_both(
        "one",
        "extern int use(int);
         #ifdef PATCHED
         __attribute__((section(\".noinstr.text\")))
         #endif
         int quiet(int v) { return use(v) + 3; }\n",
    );
    let found = findings(&lab, ["a/one.o", "b/one.o"], &[], "refusals", 2);
    let places = ["moved from .text.quiet to .noinstr.text", "keep it where it was"];
    has(&found, "symbol-changed-sections", "quiet", &places);
}
fn stubs_of_initcalls_are_no_functions() {
    let Some(lab) = Builds::new() else { return };
    lab.compile_both("same", "int same(int v) { return v; }\n");
    lab.compile_both(
        "one",
        "extern int use(int);
         __attribute__((section(\".init.text\"), no_instrument_function))
         int __initstub__kmod_one__618_74_setup6(void) { return use(1); }
         int stays(int v) { return use(v) + 3; }\n",
    );
    std::fs::remove_file(lab.path("b/one.o")).unwrap();
    let output = lab.diff(["a", "b"], &["--json", "-"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let functions = document["objects"][0]["functions"].as_array().unwrap();
    let names: Vec<&str> = functions.iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["stays"]);
    assert!(Path::new(&lab.path("a/one.o")).exists());
}
fn a_stub_that_goes_away_is_not_listed() {
    let Some(lab) = Builds::new() else { return };
    lab.compile_both(
        "one",
        &format!(
            "{BODY}
             #ifdef PATCHED
             #define STUB __initstub__kmod_one__618_74_late6
             #else
             #define STUB __initstub__kmod_one__618_74_setup6
             #endif
             __attribute__((section(\".init.text\"), no_instrument_function))
             int STUB(void) {{ return use(1); }}
             int stays(int v) {{ return use(v) + N; }}\n"
        ),
    );
    let output = lab.diff(["a/one.o", "b/one.o"], &["--json", "-"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let functions = document["objects"][0]["functions"].as_array().unwrap();
    let names: Vec<&str> = functions.iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["stays"], "{document:#}");
}

/// What ThinLTO exports to the objects that import its callers has these in other objects.
fn who_carries_a_helper_is_known_across_objects() {
    for version in ["14", "16", "19", "22"] {
        let (clang, lld) = (format!("clang-{version}"), format!("ld.lld-{version}"));
        let missing = [&clang, &lld]
            .into_iter()
            .find(|tool| Command::new(tool).arg("--version").output().is_err());
        if let Some(missing) = missing {
            crate::suite::lacks(format!("{missing} is not installed"));
            continue;
        }
        let lab = Builds::empty();
        let sources = [
            "int mark(int); extern int level;
             #ifdef PATCHED
             #define HOW __attribute__((always_inline)) inline
             #else
             #define HOW __attribute__((noinline))
             #endif
             static HOW int helper(int x) { return mark(x + level) * 3; }
             int api(int x) { return helper(x) + 1; }\n",
            "int api(int);
             int user(int x) { return api(x) * 2; }\n",
        ];
        for (side, define) in [("a", "-DORIG"), ("b", "-DPATCHED")] {
            std::fs::create_dir(lab.path(side)).unwrap();
            for (file, source) in ["one.c", "two.c"].iter().zip(sources) {
                std::fs::write(lab.path(file), source).unwrap();
                let mut command = Command::new(&clang);
                command.current_dir(lab.path("")).args(FLAGS.split_whitespace());
                command.args(["-flto=thin", define, "-c", file]);
                assert!(command.status().unwrap().success());
            }
            let mut link = Command::new(&lld);
            link.current_dir(lab.path("")).arg(format!("--lto-obj-path={side}/o"));
            link.args(["-r", "-o", "whole.o", "one.o", "two.o"]);
            assert!(link.status().unwrap().success());
        }
        let found = findings(&lab, ["a", "b"], &[], "warnings", 0);
        assert_eq!(found.len(), 1, "{clang}: {found:#?}");
        let message = found[0]["message"].as_str().unwrap();
        assert!(message.contains("now: api, user"), "{clang}: {message}");
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "of_functions_that_ftrace_cannot_reach_the_callers_are_named",
            of_functions_that_ftrace_cannot_reach_the_callers_are_named,
        ),
        ("what_has_run_is_gone", what_has_run_is_gone),
        (
            "a_helper_that_is_inlined_everywhere_names_who_carries_it",
            a_helper_that_is_inlined_everywhere_names_who_carries_it,
        ),
        (
            "a_section_that_means_something_is_to_be_kept",
            a_section_that_means_something_is_to_be_kept,
        ),
        ("stubs_of_initcalls_are_no_functions", stubs_of_initcalls_are_no_functions),
        ("a_stub_that_goes_away_is_not_listed", a_stub_that_goes_away_is_not_listed),
        (
            "who_carries_a_helper_is_known_across_objects",
            who_carries_a_helper_is_known_across_objects,
        ),
    ])
}
