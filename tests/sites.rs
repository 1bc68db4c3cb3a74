//! Where ftrace hooks a changed function that shares its section with others, of which the
//! patch only carries that one. On objects of the cross compilers; one that is missing is named.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/patch.rs"]
mod common;

use std::process::Command;

use common::{compile, output};
use klp_diff::elf::abi;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::OutObject;
use klp_diff::elf::write::write;

const SOURCE: &str = "
extern int sink(int);
int first(int x) { return sink(x) + sink(x * 3) + 1; }
int second(int x) { return sink(x) * 7 + VALUE; }
int third(int x) { return sink(x) - 9; }
";

/// Without sections for functions.
const COMMON: &str = "-O2 -c -w -fno-stack-protector -fno-asynchronous-unwind-tables \
     -fno-unwind-tables -fno-optimize-sibling-calls";

const X86_64: &str = "gcc -fno-pic -mcmodel=kernel -pg -mfentry -fcf-protection=branch";

/// Compiler and options, and how far behind the function's symbol its site is.
const WAYS: [(&str, u64); 6] = [
    (X86_64, 4),
    ("clang-19 --target=x86_64-linux-gnu -fno-pic -mcmodel=kernel -pg -mfentry -mno-red-zone", 0),
    ("aarch64-linux-gnu-gcc -fpatchable-function-entry=2", 0),
    ("clang-19 --target=aarch64-linux-gnu -fpatchable-function-entry=2", 0),
    ("s390x-linux-gnu-gcc -m64 -march=z13 -fPIE -pg -mfentry -mrecord-mcount -mnop-mcount", 0),
    ("clang-19 --target=loongarch64-linux-gnusf -msoft-float -fpatchable-function-entry=2", 0),
];

/// The object as objtool leaves it: what calls `__fentry__` at boot is an instruction that
/// does nothing.
fn switched_off(bytes: &[u8]) -> Vec<u8> {
    let object = Object::<Patched>::parse("file.o", bytes).expect("well-formed");
    let mut out = OutObject::from_object(&object).expect("plain");
    for section in &mut out.sections {
        for entry in section.relocs.iter_mut().flat_map(|t| &mut t.entries) {
            let symbol = entry.symbol.map(|s| s.index()).expect("a symbol");
            if out.symbols[symbol].name == "__fentry__" {
                entry.kind = 0;
                let at = entry.offset as usize - 1;
                section.data[at..at + 5].copy_from_slice(&[0x0f, 0x1f, 0x44, 0, 0]);
            }
        }
    }
    write(&out).expect("writes")
}

/// The only site of a patch: how far it is behind the symbol of `second`, the bytes there, and
/// the types of the relocations one byte further on.
fn site(who: &str, bytes: &[u8]) -> (u64, [u8; 5], Vec<u32>) {
    let patch = Object::<Patched>::parse("out.o", bytes).expect("well-formed");
    let second = patch.symbols().find(|&s| patch.symbol_name(s) == "second").expect("carried");
    let home = patch.section_of(second).expect("defined");
    let tables = ["__mcount_loc", "__patchable_function_entries"];
    let tables = patch.sections().filter(|&s| tables.contains(&patch.section_name(s)));
    let sites: Vec<_> = tables.flat_map(|s| patch.relocs(s).iter()).collect();
    let [site] = sites[..] else { panic!("{who}: {sites:?}") };
    assert_eq!(patch.section_of(site.symbol), Some(home), "{who}");
    assert_eq!(patch.symbol_kind(second), abi::STT_FUNC);
    let at = patch.symbol_value(site.symbol).wrapping_add_signed(site.addend);
    let code = patch.contents(home).get(at as usize..).and_then(|code| code.first_chunk());
    let code = *code.unwrap_or_else(|| panic!("{who}: the site is at {at:#x}"));
    let field = patch.relocs(home).within(at + 1, at + 2).map(|r| r.kind).collect();
    (at.wrapping_sub(patch.symbol_value(second)), code, field)
}
fn a_site_is_where_the_patch_has_the_function() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file.c"), SOURCE).expect("written");
    let mut seen = 0;
    for (command, distance) in WAYS {
        let pair = ["VALUE=1", "VALUE=2"].map(|d| compile(command, COMMON, folder.path(), d));
        let [Some(orig), Some(patched)] = pair else { continue };
        let orig_at = folder.path().join("VALUE=1");
        let (bytes, _) = output(command, &orig_at, [&orig, &patched], false);
        let (at, code, _) = site(command, &bytes);
        assert_eq!(at, distance, "{command}: {code:02x?}");
        seen += 1;
    }
    assert!(seen > 0 || Command::new("gcc").output().is_err(), "no compiler");
}
fn a_call_that_objtool_switched_off_is_switched_on_where_the_patch_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file.c"), SOURCE).expect("written");
    let pair = ["VALUE=1", "VALUE=2"].map(|d| compile(X86_64, COMMON, folder.path(), d));
    let [Some(orig), Some(patched)] = pair.map(|o| o.map(|bytes| switched_off(&bytes))) else {
        return;
    };
    let (bytes, _) = output(X86_64, &folder.path().join("VALUE=1"), [&orig, &patched], false);
    const PC32: u32 = 2;
    assert_eq!(site(X86_64, &bytes), (4, [0xe8, 0, 0, 0, 0], vec![PC32]));
}

/// Three functions of one section as objtool leaves them: `second` has a prefix of its own, and under the
/// row of that it begins; the row of `first` ends where `ROW` says.
const UNWOUND: &str = r#"
#define STR(x) #x
#define TEXT(x) STR(x)
__asm__(".text\n"
    ".type first,@function\n .globl first\n first: call __fentry__\n ret\n .size first,.-first\n"
    "1: .type " TEXT(PREFIX) "second,@function\n" TEXT(PREFIX) "second: .skip 16,0x90\n .size " TEXT(PREFIX) "second,16\n"
    ".globl second\n .type second,@function\n second: call __fentry__\n mov $" TEXT(VALUE) ",%eax\n ret\n .size second,.-second\n"
    "2: .type third,@function\n .globl third\n third: call __fentry__\n ret\n .size third,.-third\n"
    ".section .orc_unwind_ip,\"a\"\n .long first - .\n .long " TEXT(ROW) " - .\n .long 2b - .\n"
    ".section .orc_unwind,\"a\"\n .rept 3\n .byte 8, 0, 0, 0, 0, 2\n .endr\n"
    ".section __mcount_loc,\"a\"\n .quad first, second, third\n");
"#;

/// The rows of the patch that describe what it carries, by their distances from `second`; the error else.
fn unwound(compiler: &str, prefix: &str, row: &str) -> Option<Result<Vec<i64>, String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let text = UNWOUND.replace("PREFIX", prefix).replace("ROW", row);
    std::fs::write(folder.path().join("file.c"), text).expect("written");
    let pair = ["VALUE=1", "VALUE=2"].map(|d| compile(compiler, "-c -w", folder.path(), d));
    let [Some(orig), Some(patched)] = pair else { return None };
    let output = match common::outcome(&folder.path().join("VALUE=1"), [&orig, &patched], false).0 {
        Ok(output) => write(&output.expect("changes")).expect("writes"),
        Err(error) => return Some(Err(error.to_string())),
    };
    let patch = Object::<Patched>::parse("out.o", &output).expect("well-formed");
    let second = patch.symbols().find(|&s| patch.symbol_name(s) == "second").expect("carried");
    let places = patch.sections().find(|&s| patch.section_name(s) == ".orc_unwind_ip");
    let rows = places.into_iter().flat_map(|s| patch.relocs(s).iter()).map(|reloc| {
        assert_eq!(patch.section_of(reloc.symbol), patch.section_of(second));
        let at = patch.symbol_value(reloc.symbol).wrapping_add_signed(reloc.addend);
        at.wrapping_sub(patch.symbol_value(second)).cast_signed()
    });
    Some(Ok(rows.collect()))
}

fn rows_of_a_prefix_unwind_the_function() {
    for compiler in ["gcc", "clang-19 --target=x86_64-linux-gnu"] {
        for prefix in ["__cfi_", "__pfx_"] {
            let own = format!("{prefix}second");
            let Some(rows) = unwound(compiler, prefix, &own) else { continue };
            assert_eq!(rows, Ok(vec![-16]), "{compiler} {prefix}");
            // The function begins under a row of its own.
            assert_eq!(
                unwound(compiler, prefix, "second"),
                Some(Ok(vec![0])),
                "{compiler} {prefix}"
            );
            // It begins under the row of what lies before, which the patch does not have.
            let shared = unwound(compiler, prefix, "2b").expect("compiled").expect_err("refused");
            assert!(
                shared.contains("symbol second") && shared.contains("the unwind row that holds"),
                "{shared}"
            );
        }
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("rows_of_a_prefix_unwind_the_function", rows_of_a_prefix_unwind_the_function),
        ("a_site_is_where_the_patch_has_the_function", a_site_is_where_the_patch_has_the_function),
        (
            "a_call_that_objtool_switched_off_is_switched_on_where_the_patch_has_it",
            a_call_that_objtool_switched_off_is_switched_on_where_the_patch_has_it,
        ),
    ])
}
