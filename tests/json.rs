//! Holds the output of `--json` to the schema in docs/json.md, for every exit status.

#[path = "common/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use klp_diff::corpus::header::STRUCT_SIZES;
use serde_json::Value;

const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -std=gnu11";

fn schema() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/json.md")).unwrap();
    let block = text.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    serde_json::from_str(block).unwrap()
}

/// The keywords that the schema uses, and no others.
fn validate(value: &Value, schema: &Value, place: &str) {
    for (keyword, wanted) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "type" => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    other => panic!("unknown type {other}"),
                };
                let fits = wanted.as_array().map_or_else(|| is(wanted), |all| all.iter().any(is));
                assert!(fits, "{place}: {value} is no {wanted}");
            }
            "enum" => assert!(wanted.as_array().unwrap().contains(value), "{place}: {value}"),
            // What may be null has neither keys nor items.
            "required" | "properties" | "items" if value.is_null() => {}
            "required" => {
                for key in wanted.as_array().unwrap() {
                    assert!(value.get(key.as_str().unwrap()).is_some(), "{place}: no {key}");
                }
            }
            "properties" => {
                for (key, inner) in value.as_object().unwrap() {
                    let inner_schema = wanted.get(key);
                    let known = inner_schema.unwrap_or_else(|| panic!("{place}: surplus {key}"));
                    validate(inner, known, &format!("{place}.{key}"));
                }
            }
            "items" => {
                for (i, item) in value.as_array().unwrap().iter().enumerate() {
                    validate(item, wanted, &format!("{place}[{i}]"));
                }
            }
            "additionalProperties" => assert_eq!(*wanted, Value::Bool(false)),
            other => panic!("the schema uses {other}, which this test does not know"),
        }
    }
}

fn the_schema_is_a_file_too() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(root.join("docs/report.schema.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), schema());
}

fn results_of_a_corpus_fit_their_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read_to_string(root.join("docs/results.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut objects = Vec::new();
    for case in ["immediate", "trap-row"] {
        let Some(found) = pair(case, folder.path()) else { return };
        objects.push((format!("{case}.o"), found));
    }
    let cases = folder.path().join("cases");
    for (i, side) in ["orig", "patched"].iter().enumerate() {
        std::fs::create_dir_all(cases.join(side)).unwrap();
        for (name, pair) in &objects {
            std::fs::copy(&pair[i], cases.join(side).join(name)).unwrap();
        }
        std::fs::write(cases.join(side).join("cut-short.o"), b"\x7fELF").unwrap();
    }
    for more in [&[][..], &["--shard", "1/2"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
            .args(["corpus", "run", "--json", "-"])
            .args(more)
            .arg(&cases)
            .output()
            .unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        validate(&document, &schema, "document");
        assert_eq!(document["total"], 3);
        assert_eq!(document["shard"].is_null(), more.is_empty());
        let found = document["cases"].as_array().unwrap();
        let has = |status: &str| found.iter().any(|case| case["status"] == status);
        assert!(!more.is_empty() || has("ok") && !has("skipped"), "{document}");
    }
}

fn explanations_fit_the_schema() {
    let folder = tempfile::tempdir().unwrap();
    for case in
        ["immediate", "string", "trap-row", "static-local-new", "data-value", "several-changes"]
    {
        let Some(objects) = pair(case, folder.path()) else { return };
        let mut options = vec!["--explain", "--why", "nothing-is-called-so", "--json", "-"];
        let output = run(&objects, &options);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        validate(&document, &schema(), "document");
        let page = folder.path().join("page.html");
        options = vec!["--html", page.to_str().unwrap(), "--json", "-"];
        let document: Value = serde_json::from_slice(&run(&objects, &options).stdout).unwrap();
        validate(&document, &schema(), "document");
    }
}

/// Compiles a case both ways; `None` without the compiler.
fn pair(case: &str, folder: &Path) -> Option<[PathBuf; 2]> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/cases/{case}.c"));
    let made = ["", "-DPATCHED"].map(|define| {
        let object = folder.join(format!("{case}{define}.o"));
        let mut command = Command::new("gcc-12");
        command.args(FLAGS.split_whitespace()).args(define.split_whitespace());
        let done = command.arg("-c").arg("-o").args([&object, &source]).output();
        done.is_ok_and(|d| d.status.success()).then_some(object)
    });
    let [Some(orig), Some(patched)] = made else {
        crate::suite::lacks("gcc-12 is not installed");
        return None;
    };
    Some([orig, patched])
}

fn run(objects: &[PathBuf; 2], options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_klp-diff"))
        .args(objects)
        .args(options)
        .args(STRUCT_SIZES.map(|(name, size)| format!("--struct={name}={size}")))
        .output()
        .unwrap()
}

/// Runs with `--json -`, checks exit status and schema.
fn document(objects: &[PathBuf; 2], options: &[&str], exit: i32) -> Value {
    let options: Vec<&str> = options.iter().copied().chain(["--json", "-"]).collect();
    let output = run(objects, &options);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    validate(&document, &schema(), "document");
    assert_eq!(document["exit"], exit);
    document
}
fn a_changed_immediate_is_told_in_instructions() {
    let folder = tempfile::tempdir().unwrap();
    let Some(objects) = pair("immediate", folder.path()) else { return };
    let document = document(&objects, &[], 0);
    let object = &document["objects"][0];
    assert_eq!(object["verdict"], "changed");
    let reason = &object["functions"][0]["reasons"][0];
    assert_eq!(reason["kind"], "code", "{reason}");
    assert!(reason["before"].as_str().unwrap().contains(", "), "{reason}");
}
fn the_text_goes_to_standard_error_and_files_hold_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let Some(objects) = pair("immediate", folder.path()) else { return };
    let both = run(&objects, &["--json", "-"]);
    assert!(String::from_utf8_lossy(&both.stderr).starts_with("changed function: "));
    let file = folder.path().join("report.json");
    let output = run(&objects, &["--json", file.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("changed function: "));
    assert_eq!(std::fs::read(file).unwrap(), both.stdout);
}
fn included_functions_say_because_of_what() {
    let folder = tempfile::tempdir().unwrap();
    let Some(objects) = pair("new-function-chain", folder.path()) else { return };
    let document = document(&objects, &[], 0);
    let functions = document["objects"][0]["functions"].as_array().unwrap();
    let new = functions.iter().find(|f| f["status"] == "new").unwrap();
    assert!(new["included_because"][0]["via"].is_string(), "{new}");
}
fn noise_is_listed_by_rule_and_can_be_unwelcome() {
    let folder = tempfile::tempdir().unwrap();
    let Some(objects) = pair("trap-line", folder.path()) else { return };
    let found = document(&objects, &[], 3);
    let ignored = found["objects"][0]["ignored"].as_array().unwrap();
    assert!(ignored.iter().any(|i| i["rule"] == "row-noise-fields"), "{ignored:?}");
    let found = document(&objects, &["--expect-change"], 2);
    assert_eq!(found["objects"][0]["refusals"][0]["code"], "nothing-changed");
    let output = run(&objects, &["--explain-noise"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("noise: section __bug_table"), "{said}");
}
fn refusals_have_codes_and_functions() {
    let folder = tempfile::tempdir().unwrap();
    let Some(objects) = pair("ratelimit-alone", folder.path()) else { return };
    let found = document(&objects, &[], 2);
    assert_eq!(found["objects"][0]["verdict"], "refused");
    assert_eq!(found["objects"][0]["refusals"][0]["code"], "live-state-initialiser");
    let Some(objects) = pair("untraced", folder.path()) else { return };
    let found = document(&objects, &[], 2);
    assert_eq!(found["objects"][0]["functions"][0]["status"], "changed");
}
fn refusals_and_warnings_have_places() {
    let folder = tempfile::tempdir().unwrap();
    let Some(objects) = pair("row-new", folder.path()) else { return };
    let refusal = &document(&objects, &[], 2)["objects"][0]["refusals"][0];
    assert_eq!(refusal["section"], "step_table", "{refusal}");
    assert_eq!(refusal["symbol"], "step_row", "{refusal}");
    assert_eq!(refusal["offset"], 0, "{refusal}");
    let Some(objects) = pair("export-and-change", folder.path()) else { return };
    let warning = &document(&objects, &[], 0)["objects"][0]["warnings"][0];
    assert_eq!(warning["code"], "export-changed", "{warning}");
    assert_eq!(warning["section"], ".export_symbol", "{warning}");
    let Some(objects) = pair("ratelimit-and-change", folder.path()) else { return };
    let warning = &document(&objects, &[], 0)["objects"][0]["warnings"][0];
    assert_eq!(warning["code"], "live-state-initialiser", "{warning}");
    assert!(warning["symbol"].is_string() && warning["offset"].is_u64(), "{warning}");
}
fn the_drop_in_refuses_what_nothing_explains() {
    let folder = tempfile::tempdir().unwrap();
    let refused = [
        ("unknown-table", "unexplained-change"),
        ("unknown-table-new", "unexplained-change"),
        ("row-new", "unexplained-change"),
        ("row-removed", "unexplained-change"),
        ("initcall-new", "unexplained-change"),
        ("assembly-code", "unexplained-change"),
        ("ratelimit-alone", "live-state-initialiser"),
    ];
    for (case, code) in refused {
        let Some([orig, patched]) = pair(case, folder.path()) else { return };
        let (orig, patched) = (std::fs::read(orig).unwrap(), std::fs::read(patched).unwrap());
        let job = klp_diff::Job {
            sizes: klp_diff::kernel::knowledge::tables::StructSizes::new(Vec::new(), false),
            policy: klp_diff::Policy::KPATCH,
            ..klp_diff::Job::new(
                klp_diff::Input { name: "orig.o", data: &orig },
                klp_diff::Input { name: "patched.o", data: &patched },
            )
        };
        let error = klp_diff::run(&job).outcome.patch().unwrap_err();
        assert_eq!(error.code().name(), code, "{case}: {error}");
        assert_eq!(error.class(), klp_diff::diag::Class::Refused, "{case}: {error}");
    }
}
fn what_fails_before_anything_is_compared_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().to_owned();
    for missing in [[there.clone(), there.join("no")], [there.join("no"), there.clone()]] {
        let found = document(&missing, &[], 1);
        assert_eq!(found["objects"][0]["refusals"][0]["code"], "unreadable");
    }
    // An input is never written over.
    let file = there.join("precious");
    std::fs::write(&file, "contents").unwrap();
    let name = file.to_str().unwrap();
    let output = run(&[there.clone(), there.clone()], &["--image", name, "--json", name]);
    assert_ne!(output.status.code(), Some(0));
    let output = run(
        &[file.clone(), file.clone()],
        &["--images", there.join("no").to_str().unwrap(), "--json", name],
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(&file).unwrap(), b"contents");
}
fn a_broken_file_is_a_refusal_with_exit_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.o");
    std::fs::write(&file, "no object").unwrap();
    let found = document(&[file.clone(), file], &[], 1);
    assert_eq!(found["objects"][0]["verdict"], "refused");
    assert_eq!(found["objects"][0]["refusals"].as_array().unwrap().len(), 1);
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "a_changed_immediate_is_told_in_instructions",
            a_changed_immediate_is_told_in_instructions,
        ),
        (
            "the_text_goes_to_standard_error_and_files_hold_the_same",
            the_text_goes_to_standard_error_and_files_hold_the_same,
        ),
        ("included_functions_say_because_of_what", included_functions_say_because_of_what),
        (
            "noise_is_listed_by_rule_and_can_be_unwelcome",
            noise_is_listed_by_rule_and_can_be_unwelcome,
        ),
        ("refusals_have_codes_and_functions", refusals_have_codes_and_functions),
        ("refusals_and_warnings_have_places", refusals_and_warnings_have_places),
        ("the_drop_in_refuses_what_nothing_explains", the_drop_in_refuses_what_nothing_explains),
        ("a_broken_file_is_a_refusal_with_exit_1", a_broken_file_is_a_refusal_with_exit_1),
        (
            "what_fails_before_anything_is_compared_is_reported",
            what_fails_before_anything_is_compared_is_reported,
        ),
        ("the_schema_is_a_file_too", the_schema_is_a_file_too),
        ("explanations_fit_the_schema", explanations_fit_the_schema),
        ("results_of_a_corpus_fit_their_schema", results_of_a_corpus_fit_their_schema),
    ])
}
