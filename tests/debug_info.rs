//! Objects whose debug information is compressed, as kernels with `CONFIG_DEBUG_INFO_COMPRESSED_*`
//! have it: relocations of such sections are places in what they unpack to.

#[path = "common/patch.rs"]
mod common;
#[path = "common/suite.rs"]
mod suite;

use klp_diff::elf::abi;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::write::write;
use klp_diff::patch::convert::{ConvertOptions, to_klp_module};
use klp_diff::prove::prove_klp;

const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -fcf-protection=none -c";

/// Long enough that compressing pays.
fn source() -> String {
    let members = (0..400).map(|i| format!("\tint member_number_{i};\n")).collect::<String>();
    format!(
        "struct wide {{\n{members}}};\nint out(struct wide *);\n\
         int same(struct wide *w) {{ return out(w) + w->member_number_7; }}\n\
         int edit(struct wide *w)\n{{\n#ifdef PATCHED\n\tif (!w)\n\t\treturn -22;\n#endif\n\
         \treturn out(w) + w->member_number_9;\n}}\n"
    )
}

fn patches_are_made_of_compressed_debug_information() {
    for command in ["gcc-12 -g -gz", "clang-19 -g -gz=zlib", "clang-19 -g -gz=zstd"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file.c"), source()).unwrap();
        let [orig, patched] = ["ORIG", "PATCHED"]
            .map(|define| common::compile(command, FLAGS, folder.path(), define));
        let (Some(orig), Some(patched)) = (orig, patched) else { continue };
        for drop_in in [false, true] {
            let at = folder.path().join("ORIG");
            let (output, report) = common::output(command, &at, [&orig, &patched], drop_in);
            let names: Vec<&str> = report.functions.iter().map(|f| f.name.as_str()).collect();
            assert_eq!(names, ["edit"], "{command}, drop-in {drop_in}");
            let object = Object::<Patched>::parse("out.o", &output).unwrap();
            let info = object.sections().find(|&id| object.section_name(id) == ".debug_info");
            let info = info.expect("debug information comes along");
            assert_ne!(object.section_flags(info) & abi::SHF_COMPRESSED, 0, "{command}");
            assert!(!object.relocs(info).is_empty(), "{command}");
            convert(command, &output);
        }
    }
}

/// `create-klp-module` takes it as it is.
fn convert(command: &str, output: &[u8]) {
    let object = Object::<Patched>::parse("out.o", output).unwrap();
    let options = ConvertOptions { klp_arch_sections: true };
    let module = write(&to_klp_module(&object, &options, None).unwrap()).unwrap();
    prove_klp(output, &module).unwrap_or_else(|e| panic!("{command}: {e}"));
}

fn a_header_that_is_cut_short_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.c"), source()).unwrap();
    let Some(mut bytes) = common::compile("gcc-12 -g -gz", FLAGS, folder.path(), "ORIG") else {
        return;
    };
    let object = Object::<Patched>::parse("a.o", &bytes).unwrap();
    let info = object.sections().find(|&id| object.section_name(id) == ".debug_info").unwrap();
    let number = |at: usize, width: usize| {
        bytes[at..at + width].iter().rev().fold(0_usize, |n, byte| n << 8 | usize::from(*byte))
    };
    // sh_size of its header
    let size = number(0x28, 8) + klp_diff::elf::ids::Id::index(info) * number(0x3a, 2) + 0x20;
    bytes[size..size + 8].copy_from_slice(&12_u64.to_le_bytes());
    let error = Object::<Patched>::parse("a.o", &bytes).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("cut short") && error.contains(".debug_info"), "{error}");
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "patches_are_made_of_compressed_debug_information",
            patches_are_made_of_compressed_debug_information,
        ),
        ("a_header_that_is_cut_short_is_an_error", a_header_that_is_cut_short_is_an_error),
    ])
}
