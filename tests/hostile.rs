//! Objects that lie: nothing in an input may end the program, keep it busy, or leave the user
//! without the name of the file that is at fault.
//!
//! The mutator is that of the fuzz targets (fuzz/), which run for long; this is a sample with
//! the same mutants every time.

#[path = "../fuzz/src/elf.rs"]
mod elf;
#[path = "../examples/mutate/harness/mod.rs"]
#[allow(dead_code)]
mod harness;
#[path = "common/suite.rs"]
mod suite;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

use klp_diff::diag::Class;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::write::write;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::patch::convert::{ConvertOptions, to_klp_module};
use klp_diff::running::image::KernelImage;
use klp_diff::{Input, Job, Outcome};

/// Mutants of each object.
const MUTANTS: u32 = 150;

/// Longest time for one of them, also in a build without optimisation on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn compare(orig: &[u8], patched: &[u8], drop_in: bool) -> Result<(), String> {
    let job = Job {
        sizes: StructSizes::new([], true),
        policy: if drop_in { klp_diff::Policy::KPATCH } else { klp_diff::Policy::NATIVE },
        wanted: klp_diff::report::explain::Wanted { noise: !drop_in, ..Default::default() },
        ..Job::new(Input { name: "orig.o", data: orig }, Input { name: "patched.o", data: patched })
    };
    match klp_diff::run(&job).outcome {
        Outcome::Refused(error) if error.class() == Class::Broken => {
            let told = error.to_string();
            let named = told.contains("orig.o") || told.contains("patched.o");
            if named { Ok(()) } else { Err(format!("no file is named: {told}")) }
        }
        _ => Ok(()),
    }
}

/// Everything that reads objects, on one mutant.
fn read(orig: &[u8], mutant: &[u8]) -> Result<(), String> {
    for drop_in in [false, true] {
        compare(orig, mutant, drop_in)?;
        compare(mutant, orig, drop_in)?;
    }
    if let Ok(image) = KernelImage::parse("vmlinux", mutant) {
        let _ = (image.table(), image.struct_sizes());
    }
    if let Ok(object) = Object::<Patched>::parse("patch.o", mutant)
        && let Ok(module) =
            to_klp_module(&object, &ConvertOptions { klp_arch_sections: true }, Some(16))
    {
        let _ = write(&module);
    }
    Ok(())
}

/// Whose objects are mutated: the first that is there.
const COMPILERS: [&str; 6] = ["gcc", "gcc-12", "clang-19", "clang-16", "clang-14", "clang"];

fn lies_are_told_and_nothing_worse() {
    let objects = |compiler: &&str| harness::subjects::corpus(compiler, &harness::CASES);
    let subjects = COMPILERS.iter().map(objects).find(|subjects| !subjects.is_empty());
    let Some(subjects) = subjects else {
        suite::lacks("no compiler for x86_64 is installed");
        return;
    };
    let mut bad = Vec::new();
    for subject in &subjects {
        for seed in 0..MUTANTS {
            let mut mutant = subject.bytes.clone();
            elf::mutate(&mut mutant, seed);
            let start = Instant::now();
            let told = catch_unwind(AssertUnwindSafe(|| read(&subject.bytes, &mutant)));
            let what = match told {
                Err(_) => "a panic".to_owned(),
                Ok(Err(what)) => what,
                Ok(Ok(())) if start.elapsed() > LIMIT => format!("{:?}", start.elapsed()),
                Ok(Ok(())) => continue,
            };
            bad.push(format!("{}, seed {seed}: {what}", subject.name));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

/// The size that a symbol says it has bounds no loop.
fn the_size_of_a_variable_costs_no_time() {
    let runs =
        |c: &&&str| Command::new(c).arg("--version").output().is_ok_and(|o| o.status.success());
    let mut known = COMPILERS.iter().filter(|_| cfg!(target_arch = "x86_64"));
    let Some(compiler) = known.find(runs) else {
        suite::lacks("no compiler for x86_64 is installed");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    for size in ["0x7000000000000000", "0xffffffffffffffff", "0x100000000"] {
        let object = |value: u32| {
            let (source, object) = (folder.path().join("a.s"), folder.path().join("a.o"));
            let text =
                format!(".data\n.globl v\n.type v,@object\nv: .long {value}\n.size v, {size}\n");
            std::fs::write(&source, text).expect("written");
            let status =
                Command::new(compiler).arg("-c").arg(&source).arg("-o").arg(&object).status();
            assert!(status.expect("the compiler runs").success());
            std::fs::read(object).expect("an object")
        };
        let start = Instant::now();
        compare(&object(1), &object(2), false).expect("told of");
        assert!(start.elapsed() < LIMIT, "{size}: {:?}", start.elapsed());
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("lies_are_told_and_nothing_worse", lies_are_told_and_nothing_worse),
        ("the_size_of_a_variable_costs_no_time", the_size_of_a_variable_costs_no_time),
    ])
}
