//! A sample of the mutation runs: what a mutation reaches is named, and noise is not.
//!
//! `cargo run --release --example mutate 100` runs it for long. Objects compiled from this
//! repository's cases are always mutated; those in the folder that `KLP_DIFF_DATA` names,
//! when it is set.

#[path = "common/suite.rs"]
mod suite;

#[path = "../examples/mutate/exhaust/mod.rs"]
#[allow(dead_code)]
mod exhaust;
#[path = "../examples/mutate/harness/mod.rs"]
#[allow(dead_code)]
mod harness;

use harness::{Outcome, Tally, run_all, subjects};

/// Refusals of what a patch can express, in percent, that are still accepted: mostly rows of
/// alternatives that a mutation leads to other replacements, so that no row reads the old ones.
const REFUSED_PERCENT: usize = 3;

fn check(subjects: &[subjects::Subject], count: usize, seed: u64) {
    let mut tally = Tally::default();
    run_all(subjects, count, seed, &mut tally);
    tally.print();
    let bad: Vec<&String> = tally.bad.iter().filter(|b| !b.starts_with("Refused")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let refused = tally.total(Outcome::Refused);
    assert!(refused * 100 <= tally.all() * REFUSED_PERCENT, "{refused} of {}", tally.all());
    assert!(tally.total(Outcome::Reported) > 0, "nothing was mutated");
}
fn mutations_of_own_cases_are_named() {
    for compiler in ["gcc-12", "clang-19"] {
        let subjects = subjects::corpus(compiler, &harness::CASES);
        if subjects.is_empty() {
            crate::suite::lacks(format!("{compiler} is not installed"));
            continue;
        }
        check(&subjects, 8, 1);
    }
}
fn mutations_of_kernel_objects_are_named() {
    let Some(root) = std::env::var_os("KLP_DIFF_DATA") else {
        crate::suite::lacks("KLP_DIFF_DATA is unset");
        return;
    };
    check(&subjects::data(root.as_ref()), 3, 7);
}

/// One mutant of so many is taken: about 5,000.
const SAMPLE: u64 = 32;
fn no_mutant_passes_without_a_rule_or_a_proof() {
    let (subjects, missing) = exhaust::objects::all("");
    missing.iter().for_each(|name| crate::suite::lacks(name.to_string()));
    let plan = exhaust::Plan {
        every: SAMPLE,
        kind: String::new(),
        options: exhaust::runner::Options {
            jobs: 2,
            policy: klp_diff::Policy::NATIVE,
            limit: std::time::Duration::from_secs(60),
            keep: None,
        },
    };
    let mut tally = exhaust::Tally::default();
    subjects.iter().for_each(|subject| exhaust::run(subject, &plan, &mut tally));
    tally.print();
    assert!(tally.is_good(), "see the classes to look at");
    assert!(subjects.is_empty() || tally.total(exhaust::Outcome::Reported) > 0);
}

/// A change that must be refused and was silent once: what, and how an object is made to have it.
type Refused = (&'static str, fn(&mut exhaust::model::File) -> bool);

const REFUSED: [Refused; 4] = [
    ("an undefined symbol that became an absolute one", |file| {
        use exhaust::model::Home;
        let called = file.symbols.iter_mut().find(|s| s.name == "write_register");
        called.map(|s| s.home = Home::Reserved(elf::abi::SHN_ABS)).is_some()
    }),
    ("the symbol of a section behind its start", |file| {
        let section = file.symbols.iter_mut().find(|s| s.kind == elf::abi::STT_SECTION);
        section.map(|s| s.value = 1).is_some()
    }),
    ("a function that became a variable", |file| {
        let function = file.symbols.iter_mut().find(|s| s.kind == elf::abi::STT_FUNC);
        function.map(|s| s.kind = elf::abi::STT_OBJECT).is_some()
    }),
    ("a function that is entered behind its first instruction", |file| {
        let function = file.symbols.iter_mut().find(|s| s.kind == elf::abi::STT_FUNC);
        function.map(|s| s.value += 4).is_some()
    }),
];
fn symbols_that_say_something_else_are_refused() {
    let (subjects, _) = exhaust::objects::all("/jump-label");
    for subject in &subjects {
        let Some(file) = exhaust::model::File::read(&subject.bytes) else {
            panic!("{}: cannot be read", subject.name)
        };
        let orig = file.write().0;
        for (what, edit) in REFUSED {
            let mut changed = file.clone();
            if !edit(&mut changed) {
                continue;
            }
            let answer = harness::compare(&orig, &changed.write().0, &subject.sizes);
            let refused =
                matches!(answer, harness::Answer::Refused(_) | harness::Answer::Broken(_));
            assert!(refused, "{}: {what}: {answer:?}", subject.name);
        }
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("mutations_of_own_cases_are_named", mutations_of_own_cases_are_named),
        ("mutations_of_kernel_objects_are_named", mutations_of_kernel_objects_are_named),
        ("no_mutant_passes_without_a_rule_or_a_proof", no_mutant_passes_without_a_rule_or_a_proof),
        (
            "symbols_that_say_something_else_are_refused",
            symbols_that_say_something_else_are_refused,
        ),
    ])
}
