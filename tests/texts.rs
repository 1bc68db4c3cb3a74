//! Golden text of what people read: help, and a pair in each form of report. Update with
//! `INSTA_UPDATE=always cargo test --test texts`, and read the difference.

#[path = "../benches/synth/mod.rs"]
#[allow(dead_code)]
mod synth;

use std::process::Command;

use synth::{Options, STRUCT_SIZES, Side};
use tempfile::TempDir;

/// A folder with a pair of objects `o.o` and `p.o`, and the kernel's symbols `symtab`.
fn lab() -> TempDir {
    let (lab, options) = (tempfile::tempdir().unwrap(), Options::new(8, 1));
    let mut symtab = Vec::new();
    synth::parent_symtab(&options, &mut symtab).unwrap();
    let (orig, patched) =
        (synth::object(&options, Side::Original), synth::object(&options, Side::Patched));
    for (name, bytes) in [("o.o", orig), ("p.o", patched), ("symtab", symtab)] {
        std::fs::write(lab.path().join(name), bytes).unwrap();
    }
    lab
}

/// Exit status and all that is printed.
fn told(lab: &TempDir, args: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
        .args(args.split_whitespace())
        .current_dir(lab.path())
        .envs(STRUCT_SIZES.iter().map(|(name, size)| (name, size.to_string())))
        .output()
        .unwrap();
    let mut text = format!("$ klp-diff {args}\n{}", String::from_utf8_lossy(&output.stdout));
    if !output.stderr.is_empty() {
        text += &format!("--- standard error\n{}", String::from_utf8_lossy(&output.stderr));
    }
    text + &format!("--- exit {}\n", output.status.code().unwrap())
}

#[test]
fn help() {
    let lab = lab();
    insta::assert_snapshot!("help", told(&lab, "--help"));
    insta::assert_snapshot!("help_short", told(&lab, "-h"));
    for verb in ["build", "module", "verify-orig", "dump", "explain-error", "corpus"] {
        insta::assert_snapshot!(format!("help_{verb}"), told(&lab, &format!("{verb} --help")));
    }
    for verb in ["build", "list", "merge", "run"] {
        let text = told(&lab, &format!("corpus {verb} --help"));
        insta::assert_snapshot!(format!("help_corpus_{verb}"), text);
    }
}

#[test]
fn forms_of_a_report() {
    let lab = lab();
    let pair = "--symtab symtab o.o p.o";
    for (name, options) in [
        ("text", ""),
        ("output", "-o out.o"),
        ("stat", "--stat"),
        ("explain", "--explain"),
        ("explain_noise", "--explain-noise"),
        ("why", "--why f0 --why v0"),
        ("why_unknown", "--why no_such_name"),
        ("json", "--json -"),
    ] {
        let args = format!("{options} {pair}");
        insta::assert_snapshot!(format!("form_{name}"), told(&lab, args.trim_start()));
    }
    insta::assert_snapshot!("form_nothing_changed", told(&lab, "--expect-change o.o o.o"));
    // Its style and script are files of their own.
    let mut page = told(&lab, &format!("--html - {pair}"));
    for (from, to) in [("<style>", "</style>"), ("<script>", "</script>")] {
        let start = page.find(from).unwrap() + from.len();
        let end = start + page[start..].find(to).unwrap();
        page.replace_range(start..end, "");
    }
    insta::assert_snapshot!("form_page", page);
}

#[test]
fn code_explained() {
    let lab = lab();
    insta::assert_snapshot!("explain_error", told(&lab, "explain-error no-ftrace-entry"));
    insta::assert_snapshot!("explain_error_list", told(&lab, "explain-error"));
}
