//! The canonical form of an output, as golden text. Update with `cargo insta review`, or by
//! INSTA_UPDATE=always, and read the difference.

#[path = "../benches/synth/mod.rs"]
#[allow(dead_code)]
mod synth;

use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::verify::verify;
use klp_diff::elf::write::write;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::report::canon;
use klp_diff::{Input, Job, ParentFiles, Run, draft, run};
use synth::{Options, STRUCT_SIZES, Side};

/// Calls `with` with the job that compares a synthetic pair.
fn synthetic(options: &Options, with: impl FnOnce(&Job<'_>)) {
    let (orig, patched) =
        (synth::object(options, Side::Original), synth::object(options, Side::Patched));
    let mut symtab = Vec::new();
    synth::parent_symtab(options, &mut symtab).unwrap();
    let symtab = String::from_utf8(symtab).unwrap();
    let sizes = STRUCT_SIZES.iter().map(|(name, size)| (name.to_string(), size.to_string()));
    with(&Job {
        parent: Some(ParentFiles {
            name: "vmlinux",
            symtab: Input { name: "vmlinux.symtab", data: &symtab },
            image: None,
            strict: false,
            pointers: Default::default(),
            known: None,
            symvers: Input { name: "Module.symvers", data: "" },
        }),
        sizes: StructSizes::new(sizes, true),
        ..Job::new(
            Input { name: "orig.o", data: &orig },
            Input { name: "patched.o", data: &patched },
        )
    });
}

#[test]
fn output_of_a_synthetic_pair() {
    synthetic(&Options::new(8, 1), |job| {
        let Run { report, outcome } = run(job);
        let output = outcome.patch().unwrap().unwrap();
        let lines: Vec<String> = report.functions.iter().map(|f| f.line()).collect();
        let bytes = write(&output).unwrap();
        let object = Object::<Patched>::parse("out.o", &bytes).unwrap();
        let text = [lines, canon::canonical(&object).unwrap()].concat().join("\n");
        insta::assert_snapshot!(text);
    });
}

/// Its tables are made in several pieces, which are the same whoever asks for them.
#[test]
fn a_draft_is_written_and_checked_as_its_output_is() {
    synthetic(&Options::new(2000, 1000), |job| {
        let draft = draft(job).outcome.patch().unwrap().unwrap();
        let mut bytes = write(&draft).unwrap();
        verify(&draft, &bytes).unwrap();
        let output = run(job).outcome.patch().unwrap().unwrap();
        assert!(write(&output).unwrap() == bytes, "the files differ");
        verify(&output, &bytes).unwrap();

        let object = Object::<Patched>::parse("out.o", &bytes).unwrap();
        let tables = [".kpatch.relocations", ".kpatch.symbols"].map(|table| {
            let named = |suffix| object.sections().find(|&s| object.section_name(s) == suffix);
            let relocs = format!(".rela{table}");
            [table, &relocs].map(|name| object.contents(named(name).unwrap()))
        });
        let places = tables.as_flattened().iter().map(|data| {
            assert!(data.len() > 40 * 4096, "one piece");
            data.as_ptr() as usize - bytes.as_ptr() as usize + data.len() - 20
        });
        for at in places.collect::<Vec<_>>() {
            bytes[at] ^= 1;
            assert_eq!(
                verify(&draft, &bytes).unwrap_err().code(),
                klp_diff::diag::Code::VerifyFailed,
                "{at:#x}"
            );
            bytes[at] ^= 1;
        }
    });
}
