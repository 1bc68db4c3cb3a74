//! Calls within a section, which assemblers resolve where they can: no relocation tells of them.
//! On objects of the cross compilers; one that is missing is named.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/patch.rs"]
mod common;

use std::path::Path;

use common::{compile, outcome, output, patch};
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;

/// Without sections for functions.
const COMMON: &str = "-O2 -c -w -fno-stack-protector -fno-asynchronous-unwind-tables \
     -fno-unwind-tables -fno-optimize-sibling-calls";

const COMPILERS: [&str; 7] = [
    "gcc -fno-pic -mcmodel=kernel -pg -mfentry -fcf-protection=none",
    "clang-19 --target=x86_64-linux-gnu -fno-pic -mcmodel=kernel -pg -mfentry -mno-red-zone",
    "aarch64-linux-gnu-gcc -fpatchable-function-entry=2 -falign-functions=4",
    "clang-19 --target=aarch64-linux-gnu -fpatchable-function-entry=2",
    "powerpc64le-linux-gnu-gcc -mabi=elfv2 -mprofile-kernel -pg",
    "s390x-linux-gnu-gcc -m64 -march=z13 -fPIE -pg -mfentry -mrecord-mcount -mnop-mcount",
    "clang-19 --target=loongarch64-linux-gnusf -msoft-float -fpatchable-function-entry=2",
];

/// Two objects of one source, the second with `PATCHED` defined; `None` without the compiler.
fn both(command: &str, folder: &Path, source: &str) -> Option<[Vec<u8>; 2]> {
    std::fs::write(folder.join("file.c"), source).expect("written");
    let orig = compile(command, COMMON, folder, "ORIG")?;
    Some([orig, compile(command, COMMON, folder, "PATCHED")?])
}

/// Runs `check` with the canonical patch and the names of its functions, for each compiler.
fn each(source: &str, check: impl Fn(&str, &[String], &[&str])) {
    let folder = tempfile::tempdir().expect("a folder");
    for command in COMPILERS {
        let Some([orig, patched]) = both(command, folder.path(), source) else { continue };
        let at = folder.path().join("ORIG");
        let (lines, report) = patch(command, &at, [&orig, &patched], false);
        let names: Vec<&str> = report.functions.iter().map(|f| f.name.as_str()).collect();
        check(command, &lines, &names);
    }
}
fn a_call_leads_to_the_kernel_s_function() {
    const SOURCE: &str = "
        extern int sink(int);
        static __attribute__((noinline)) int helper(int x) { return sink(x) * 7 + 3; }
        #ifdef PATCHED
        #define MORE 2
        #else
        #define MORE 1
        #endif
        int user(int x) { return helper(x) * 3 + MORE; }
        int other(int x) { return helper(x) + 9; }";
    each(SOURCE, |who, lines, names| {
        assert_eq!(names, ["user"], "{who}");
        let calls = lines.iter().filter(|l| l.starts_with("klprela") && l.contains("\"helper\""));
        assert_eq!(calls.count(), 1, "{who}: {lines:#?}");
    });
}
fn what_only_has_another_distance_is_unchanged() {
    const SOURCE: &str = "
        extern int sink(int);
        static __attribute__((noinline)) int helper(int x) { return sink(x) * 7 + 3; }
        __attribute__((noinline)) int grows(int x) {
        #ifdef PATCHED
            x += sink(x) + sink(x * 5) + sink(x * 7) + sink(x * 9);
        #endif
            return sink(x) - 1;
        }
        int user(int x) { return helper(x) + 1; }
        int late(int x) { return helper(x) + grows(x); }";
    each(SOURCE, |who, _, names| assert_eq!(names, ["grows"], "{who}"));
}
fn the_same_distance_to_another_function_is_a_change() {
    const SOURCE: &str = "
        extern int sink(int);
        #define A static __attribute__((noinline)) int a(int x) { return sink(x) * 7 + 3; }
        #define B static __attribute__((noinline)) int b(int x) { return sink(x) * 7 + 4; }
        #ifdef PATCHED
        B A
        int user(int x) { return b(x) + 1; }
        int users(int x) { return a(x) + 2; }
        #else
        A B
        int user(int x) { return a(x) + 1; }
        int users(int x) { return b(x) + 2; }
        #endif";
    each(SOURCE, |who, _, names| {
        assert!(names.ends_with(&["user", "users"]), "{who}: {names:?}");
        // Where alignment is left to the linker, a function that moves has another one.
        assert!(names.len() == 2 || who.contains("loongarch"), "{who}: {names:?}");
    });
}

/// A short jump cannot be relocated.
fn what_reaches_near_code_only_is_refused() {
    const SOURCE: &str = "
        extern int sink(int);
        int user(int x);
        asm(\".globl user\\n.type user,@function\\nuser:\\n call __fentry__\\n\"
        #ifdef PATCHED
            \"inc %edi\\n\"
        #else
            \"dec %edi\\n\"
        #endif
            \"jmp near\\n.size user,.-user\\n\"
            \".type near,@function\\nnear: xor %eax,%eax\\n ret\\n .size near,.-near\");";
    let folder = tempfile::tempdir().expect("a folder");
    let Some([orig, patched]) = both(COMPILERS[0], folder.path(), SOURCE) else { return };
    let (output, _) = outcome(&folder.path().join("ORIG"), [&orig, &patched], false);
    let error = output.expect_err("refused");
    assert_eq!(error.code(), klp_diff::diag::Code::NearReference);
    let place = error.place();
    assert_eq!((place.section.as_deref(), place.symbol.as_deref()), (Some(".text"), Some("user")));
    assert_eq!(place.offset, Some(7));
}

/// What a function of powerpc64 reads in front of itself where the TOC may be far away.
const LARGE: &str = "powerpc64le-linux-gnu-gcc -mabi=elfv2 -mcmodel=large -mprofile-kernel -pg -fno-toplevel-reorder";
fn the_distance_of_the_toc_comes_with_its_function() {
    const SOURCE: &str = "
        extern int sink(int);
        extern int state;
        #ifdef PATCHED
        #define MORE 2
        #else
        #define MORE 1
        #endif
        int first(int x) { return sink(x) + state; }
        int user(int x) { return sink(x) * 3 + state + MORE; }
        int last(int x) { return sink(x) - state; }";
    let folder = tempfile::tempdir().expect("a folder");
    let Some([orig, patched]) = both(LARGE, folder.path(), SOURCE) else { return };
    let (bytes, report) = output(LARGE, &folder.path().join("ORIG"), [&orig, &patched], false);
    let names: Vec<&str> = report.functions.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["user"]);
    let object = Object::<Patched>::parse("out.o", &bytes).expect("well-formed");
    let user = object.symbols().find(|&id| object.symbol_name(id) == "user").expect("is there");
    let section = object.section_of(user).expect("is defined");
    let at = object.symbol_value(user);
    let before = object.relocs(section).within(at - 8, at);
    let before: Vec<_> = before.map(|r| (r.offset, object.symbol_name(r.symbol))).collect();
    assert_eq!(before, [(at - 8, ".TOC.")]);
    let others = object.relocs(section).iter().filter(|r| object.symbol_name(r.symbol) == ".TOC.");
    assert_eq!(others.count(), 1);
}
fn functions_with_a_distance_of_the_toc_may_change_places() {
    const SOURCE: &str = "
        extern int sink(int);
        extern int state;
        #define USER int user(int x) { return sink(x) * 3 + state; }
        #define OTHER int other(int x) { sink(x + 1); return sink(x) - state; }
        #ifdef PATCHED
        OTHER USER
        #else
        USER OTHER
        #endif
        int last(int x) { return sink(x) + 9; }";
    let folder = tempfile::tempdir().expect("a folder");
    let Some([orig, patched]) = both(LARGE, folder.path(), SOURCE) else { return };
    let (_, report) = outcome(&folder.path().join("ORIG"), [&orig, &patched], false);
    let names: Vec<&str> = report.functions.iter().map(|f| f.name.as_str()).collect();
    assert!(names.is_empty(), "{names:?}");
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "the_distance_of_the_toc_comes_with_its_function",
            the_distance_of_the_toc_comes_with_its_function,
        ),
        (
            "functions_with_a_distance_of_the_toc_may_change_places",
            functions_with_a_distance_of_the_toc_may_change_places,
        ),
        ("a_call_leads_to_the_kernel_s_function", a_call_leads_to_the_kernel_s_function),
        (
            "what_only_has_another_distance_is_unchanged",
            what_only_has_another_distance_is_unchanged,
        ),
        (
            "the_same_distance_to_another_function_is_a_change",
            the_same_distance_to_another_function_is_a_change,
        ),
        ("what_reaches_near_code_only_is_refused", what_reaches_near_code_only_is_refused),
    ])
}
