//! Functions that differ only in what aligns their loops are the same; what else differs beside
//! that is a change. Own assembly, and C by the compilers that are there.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/patch.rs"]
#[allow(dead_code)]
mod common;

use std::path::Path;

use common::compile;
use klp_diff::report::explain::Wanted;
use klp_diff::{Job, Outcome, Run, run};

/// What both sides are made from: a function with a table of jumps, two aligned loops, rows of
/// tables, and a neighbour. What the patched one has otherwise is replaced in the text.
const ASSEMBLY: &str = r#"
    .text
    .p2align 4
    .globl f
    .type f, @function
f:  endbr64
    call __fentry__
    push %rbx
    mov %edi, %ebx
    cmp $4, %ebx
    ja 9f
    mov %ebx, %eax
    jmp *.Ltable(, %rax, 8)
.Lb: call one
.Lc: call two
    jmp 2f
    .p2align 4
2:  call three
.Lx: mov (%rdi), %rax
3:  dec %ebx
    jne 2b
.Lw: ud2
.Lfix: xor %eax, %eax
    .p2align 3
4:  call four
    dec %ebx
    jne 4b
9:  pop %rbx
    ret
    .size f, . - f
    .p2align 4
    .globl g
    .type g, @function
g:  call __fentry__
    jmp .Lfix
    .size g, . - g
    .section .rodata, "a"
    .p2align 3
.Ltable: .quad .Lb, .Lc, .Lx, 4b, 2b
    .section __ex_table, "a"
    .long .Lx - .
    .long .Lfix - .
    .long 3
    .section __bug_table, "aw"
    .long .Lw - .
    .long .Lname - .
    .word 7
    .word 0x907
    .section .rodata.str1.1, "aMS", @progbits, 1
.Lname: .string "file.c"
"#;

const GCC: &str = "gcc -x assembler-with-cpp";

/// The code of the result, or the names of what changed, and what was forgiven by which rule.
fn say(orig: &[u8], patched: &[u8]) -> (String, Vec<&'static str>) {
    let wanted = Wanted { noise: true, ..Wanted::default() };
    let Run { report, outcome } = run(&Job { wanted, ..common::job(orig, patched) });
    let names: Vec<&str> = report.functions.iter().map(|f| f.name.as_str()).collect();
    let said = match (outcome, names.is_empty()) {
        (_, false) => names.join(" "),
        (Outcome::Refused(error), true) => error.code().name().to_owned(),
        (_, true) => "unchanged".to_owned(),
    };
    (said, report.ignored.iter().map(|entry| entry.rule).collect())
}

fn assemble(folder: &Path, text: &str) -> Option<Vec<u8>> {
    std::fs::write(folder.join("file.c"), text).expect("written");
    compile(GCC, "-c", folder, "BOTH")
}
fn what_aligns_is_told_from_what_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    // What is replaced in the patched object, and what is right.
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "unchanged"),
        (&[(".word 7", ".word 9")], "unchanged"),
        (&[("jmp 2f", "jmp 3f")], "f"),
        // The same distance, which is another instruction now.
        (&[("jmp .Lfix", "jmp .Lfix + 2")], "g"),
        (&[("jmp .Lfix", "jmp 4b")], "g"),
        // Nothing moved what it follows.
        (&[("3:  dec %ebx", "3:  dec %ebx; nop")], "f g"),
        (&[("9:  pop", "9:  nop; pop")], "f"),
        (&[("3:  dec", "3:  inc")], "f"),
        (&[("jne 4b", "je 4b")], "f"),
        (&[("call four", "call five")], "f"),
        (&[(".Lb, .Lc, .Lx", ".Lb, .Lb, .Lx")], "f"),
        (&[(".Lb, .Lc, .Lx", ".Lb, 2b - 1, .Lx")], "f"),
        (&[(".long .Lfix - .", ".long 3b - .")], "f"),
        (&[(".long .Lx - .", ".long 3b - .")], "f"),
        (&[("0x907", "0x905")], "f"),
    ];
    for (changes, right) in cases {
        let Some(orig) = assemble(folder.path(), ASSEMBLY) else { return };
        let mut text = ASSEMBLY.replace("f:  endbr64", "f:");
        for (from, to) in *changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let patched = assemble(folder.path(), &text).expect("assembled");
        assert_eq!(say(&orig, &patched).0, *right, "{changes:?}");
        assert_eq!(say(&patched, &orig).0, *right, "{changes:?}, the other way round");
    }
}
fn every_filler_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(orig) = assemble(folder.path(), ASSEMBLY) else { return };
    let patched = assemble(folder.path(), &ASSEMBLY.replace("f:  endbr64", "f:"));
    let (_, rules) = say(&orig, &patched.expect("assembled"));
    let count = |rule: &str| rules.iter().filter(|&&r| r == rule).count();
    assert_eq!((count("alignment"), count("entry")), (1, 1), "{rules:?}");
    assert!(count("distance") >= 2, "{rules:?}");
}
fn an_address_of_its_own_ends_the_proof() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = ASSEMBLY.replace("jmp 2f", "lea 2f(%rip), %rax; jmp *%rax");
    let Some(orig) = assemble(folder.path(), &text) else { return };
    let patched = assemble(folder.path(), &text.replace("f:  endbr64", "f:")).expect("assembled");
    assert_eq!(say(&orig, &patched).0, "f");
}

/// The address of `work` escapes in one, and not in the other: the marker goes.
const SOURCE: &str = "
    extern int sink(int); extern void fill(int *, int); extern void take(void *);
    int other(int x) { return sink(x) + 5; }
    static __attribute__((noinline)) int work(int *a, int n)
    {
        int sum = 0;
        for (int i = 0; i < n; i++) {
            sum += a[i] * 3 + sink(i);
            if (a[i] == 7)
                goto out;
        }
        while (sum > 100)
            sum -= sink(sum) + ADDED;
        for (int i = n; i > 0; i--) {
            fill(a, i);
            sum ^= a[i];
            if (sum == 99)
                return sink(sum);
        }
    out:
        if (__builtin_expect(sum < 0, 0)) { fill(a, 3); return -1; }
        return sum;
    }
    int user(int *a) { return work(a, sink(4)) + 1; }
    int users(int *a) { return work(a, sink(5)) + 2; }
    void taker(void) { take(ESCAPES ? (void *)work : (void *)other); }";
fn a_lost_marker_in_compiled_code() {
    const COMMON: &str = "-O2 -c -w -fno-pic -fno-asynchronous-unwind-tables -fno-stack-protector";
    let folder = tempfile::tempdir().expect("a folder");
    for command in [
        "gcc -mcmodel=kernel -fcf-protection=branch -pg -mfentry",
        "clang-19 --target=x86_64-linux-gnu -mcmodel=kernel -fcf-protection=branch -pg -mfentry",
        "aarch64-linux-gnu-gcc -mbranch-protection=bti -fpatchable-function-entry=2",
        "clang-19 --target=aarch64-linux-gnu -mbranch-protection=bti -fpatchable-function-entry=2",
    ] {
        for loops in ["-falign-loops=16", "-falign-loops=32 -ffunction-sections"] {
            let made = |escapes: bool, added: u32| {
                let source = SOURCE.replace("ESCAPES", if escapes { "1" } else { "0" });
                let source = source.replace("ADDED", &added.to_string());
                std::fs::write(folder.path().join("file.c"), source).expect("written");
                compile(command, &format!("{COMMON} {loops}"), folder.path(), "BOTH")
            };
            let Some(orig) = made(true, 1) else { continue };
            let (same, other) = (made(false, 1), made(false, 2));
            let said = |patched: Option<Vec<u8>>| say(&orig, &patched.expect("compiled")).0;
            assert_eq!(said(same), "taker", "{command} {loops}");
            assert_eq!(said(other), "work taker", "{command} {loops}");
        }
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("what_aligns_is_told_from_what_runs", what_aligns_is_told_from_what_runs),
        ("every_filler_is_told", every_filler_is_told),
        ("an_address_of_its_own_ends_the_proof", an_address_of_its_own_ends_the_proof),
        ("a_lost_marker_in_compiled_code", a_lost_marker_in_compiled_code),
    ])
}
