//! Compares two objects as both tools do, and builds the output against a kernel that has what
//! the original has.
#![no_main]

use std::fmt::Write as _;

use klp_diff::elf::abi;
use klp_diff::elf::ids::Orig;
use klp_diff::elf::object::Object;
use klp_diff::elf::write::write;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::{Input, Job, Outcome, ParentFiles, run};
use klp_diff_fuzz::{mutate_pair, split};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
    mutate_pair(data, size, max, seed)
});

/// What `readelf -s --wide` would print of the kernel that the object is linked into.
fn symtab(object: &Object<'_, Orig>) -> String {
    let mut text = String::from("Symbol table '.symtab' contains 1 entries:\n");
    for (n, id) in object.symbols().enumerate() {
        let kind = match object.symbol_kind(id) {
            abi::STT_FUNC => "FUNC",
            abi::STT_OBJECT => "OBJECT",
            abi::STT_FILE => "FILE",
            _ => "NOTYPE",
        };
        let bind = match object.symbol_bind(id) {
            abi::STB_LOCAL => "LOCAL",
            abi::STB_WEAK => "WEAK",
            _ => "GLOBAL",
        };
        let home = if kind == "FILE" { "ABS" } else { "1" };
        let size = object.symbol_size(id);
        let name = object.symbol_name(id);
        let _ = writeln!(text, "{n}: {:016x} {size} {kind} {bind} DEFAULT {home} {name}", n * 64);
    }
    text
}

fuzz_target!(|data: &[u8]| {
    let (orig, patched) = split(data);
    let symtab = Object::<Orig>::parse("orig.o", orig).map(|object| symtab(&object));
    for drop_in in [false, true] {
        let parent = symtab.as_ref().ok().map(|symtab| ParentFiles {
            name: "vmlinux",
            symtab: Input { name: "symtab", data: symtab },
            image: None,
            strict: false,
            symvers: Input { name: "Module.symvers", data: "" },
            pointers: Default::default(),
            known: None,
        });
        let job = Job {
            parent,
            sizes: StructSizes::new([], true),
            policy: if drop_in { klp_diff::Policy::KPATCH } else { klp_diff::Policy::NATIVE },
            wanted: klp_diff::report::explain::Wanted { noise: !drop_in, ..Default::default() },
            ..Job::new(Input { name: "orig.o", data: orig }, Input { name: "patched.o", data: patched })
        };
        if let Outcome::Changed { patch: Some(output), .. } = run(&job).outcome {
            // What was proved can be written.
            write(&output).expect("written");
        }
    }
});
