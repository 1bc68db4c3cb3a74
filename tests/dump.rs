//! The canonical form of an output, as golden text. Update with `cargo insta review`, or by
//! INSTA_UPDATE=always, and read the difference.

#[path = "../benches/synth/mod.rs"]
#[allow(dead_code)]
mod synth;

use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::write::write;
use klp_diff::kernel::tables::StructSizes;
use klp_diff::report::{Report, canon};
use klp_diff::{Input, Job, ParentFiles, run};
use synth::{Options, STRUCT_SIZES, Side};

#[test]
fn output_of_a_synthetic_pair() {
    let options = Options::new(8, 1);
    let (orig, patched) =
        (synth::object(&options, Side::Original), synth::object(&options, Side::Patched));
    let mut symtab = Vec::new();
    synth::parent_symtab(&options, &mut symtab).unwrap();
    let symtab = String::from_utf8(symtab).unwrap();
    let sizes = STRUCT_SIZES.iter().map(|(name, size)| (name.to_string(), size.to_string()));
    let job = Job {
        orig: Input { name: "orig.o", data: &orig },
        patched: Input { name: "patched.o", data: &patched },
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
        drop_in: false,
        klp_arch: false,
        among: Default::default(),
    };
    let mut report = Report::default();
    let output = run(&job, &mut report).unwrap().unwrap();
    let lines: Vec<String> = report.functions.iter().map(|f| f.line()).collect();
    let bytes = write(&output).unwrap();
    let object = Object::<Patched>::parse("out.o", &bytes).unwrap();
    let text = [lines, canon::canonical(&object).unwrap()].concat().join("\n");
    insta::assert_snapshot!(text);
}
