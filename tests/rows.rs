//! Rows of the kernel's tables: which layout they have is proved on the rows, and what refers
//! to a row means that row. Written in assembly, so that every byte is known.

#[path = "common/suite.rs"]
mod suite;

use std::process::{Command, Stdio};

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    let there = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        crate::suite::lacks(format!("{program} is not installed"));
    }
    there
}

/// A function of x86_64 with `body` between the call of ftrace and the return.
fn function(name: &str, body: &str) -> String {
    format!(
        ".section .text.{name},\"ax\",@progbits\n.globl {name}\n.type {name},@function\n\
         {name}: call __fentry__\n{body}\nret\n.size {name},.-{name}\n"
    )
}

/// A row of `__bug_table` since 6.19, for label 1 before it.
fn bug(label: &str, format: &str, line: u32) -> String {
    format!(
        ".pushsection .rodata.str1.1,\"aMS\",@progbits,1\n91: .string \"{format}\"\n\
         92: .string \"a.c\"\n.popsection\n.pushsection __bug_table,\"aw\"\n{label}:\n\
         .long 1b-.\n.long 91b-.\n.long 92b-.\n.word {line}\n.word 2305\n.popsection\n"
    )
}

/// What the comparison of two assembled sources says, and its exit status.
fn told(assembler: &str, orig: &str, patched: &str, arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let assemble = |name: &str, source: &str| {
        let (path, object) = (folder.path().join(name), folder.path().join(format!("{name}.o")));
        std::fs::write(&path, source).unwrap();
        let done = Command::new(assembler).arg("-o").arg(&object).arg(&path).output().unwrap();
        assert!(done.status.success(), "{}\n{source}", String::from_utf8_lossy(&done.stderr));
        object
    };
    let (orig, patched) = (assemble("orig", orig), assemble("patched", patched));
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().ends_with("_STRUCT_SIZE") {
            command.env_remove(name);
        }
    }
    let done = command.args(arguments).arg(orig).arg(patched).output().unwrap();
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// Assembles with the assembler of x86_64, where that is the machine's own.
fn x86(orig: &str, patched: &str, arguments: &[&str]) -> Option<(i32, String)> {
    (cfg!(target_arch = "x86_64") && runs("as")).then(|| told("as", orig, patched, arguments))
}
fn sizes_are_found_in_the_rows() {
    let with =
        |format: &str, line: u32| function("f", &format!("1: ud2\n{}", bug("2", format, line)));
    let Some((status, text)) = x86(&with("a %d", 5), &with("a %d", 6), &[]) else { return };
    assert_eq!(status, 3, "{text}");
    let (status, text) = x86(&with("a %d", 5), &with("b %d", 5), &[]).unwrap();
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("format \"a %d\" -> format \"b %d\""), "{text}");
    let given = ["--struct", "BUG_STRUCT_SIZE=12"];
    let (status, text) = x86(&with("a %d", 5), &with("b %d", 5), &given).unwrap();
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("the rows of __bug_table have 16 bytes"), "{text}");
    // Rows of 12 bytes on one side, and of 16 on the other.
    let old = function(
        "f",
        "1: ud2\n.pushsection .rodata.str1.1,\"aMS\",@progbits,1\n92: .string \"a.c\"\n.popsection\n\
         .pushsection __bug_table,\"aw\"\n.long 1b-.\n.long 92b-.\n.word 5\n.word 2305\n.popsection\n",
    );
    let (status, text) = x86(&old, &with("a %d", 5), &[]).unwrap();
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("12 in ") && text.contains("16 in "), "{text}");
    for given in ["BUGS_STRUCT_SIZE=12", "BUG_STRUCT_SIZE=0", "BUG_STRUCT_SIZE=x"] {
        let (status, text) = x86(&old, &old, &["--struct", given]).unwrap();
        assert_eq!(status, 64, "{given}: {text}");
    }
    let unwind = format!(
        "{old}.section .orc_unwind,\"a\"\n.skip 6\n.section .orc_unwind_ip,\"a\"\n.long f-.\n"
    );
    for (given, wanted) in [("ORC_STRUCT_SIZE=6", 3), ("ORC_STRUCT_SIZE=8", 1)] {
        let (status, text) = x86(&unwind, &unwind, &["--struct", given]).unwrap();
        assert_eq!(status, wanted, "{given}: {text}");
    }
    let given = ["--struct", "BUGS_STRUCT_SIZE=12"];
    let (status, text) = x86(&with("a %d", 5), &with("b %d", 5), &given).unwrap();
    assert_eq!(status, 64, "{text}");
}
fn layouts_that_no_kernel_had_are_errors() {
    let row =
        ".pushsection __bug_table,\"aw\"\n.long 1b-.\n.long 1b-.\n.long 1b-.\n.quad 7\n.popsection";
    let jump = ".pushsection __jump_table,\"aw\"\n.long 1b-.\n.quad key-.\n.popsection";
    let source = function("f", &format!("1: ud2\n{row}\n{jump}"));
    let Some((status, text)) = x86(&source, &source, &[]) else { return };
    assert_eq!(status, 1, "{text}");
    // All at once.
    assert!(
        text.contains("__bug_table: the rows have no layout") && text.contains("__jump_table: "),
        "{text}"
    );
}

/// Rows of 12 bytes with a handler look like rows of 8 without: each third field is a handler.
fn handlers_are_no_code_that_faults() {
    let rows = |handler: &str| {
        let row = |at: &str| format!(".long {at}b-.\n.long 3b-.\n.long ex_handler_{handler}-.\n");
        let rows = format!("{}{}", row("1"), row("2"));
        function(
            "f",
            &format!(
                "1: mov (%rdi),%eax\n2: mov (%rsi),%eax\n3: nop\n.pushsection __ex_table,\"a\"\n{rows}.popsection"
            ),
        )
    };
    let Some((status, text)) = x86(&rows("default"), &rows("default"), &[]) else { return };
    assert_eq!(status, 3, "{text}");
    let (status, text) = x86(&rows("default"), &rows("fault"), &[]).unwrap();
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("handler ex_handler_default -> handler ex_handler_fault"), "{text}");
}
fn a_reference_to_a_row_means_the_row() {
    let one = |name: &str, label: &str, more: &str| {
        let row = bug(label, name, 7);
        function(name, &format!("lea {label}f(%rip),%rdi\n1: ud2\n{more}\n{row}"))
    };
    let more = format!("1: ud2\n{}", bug("9", "more", 3));
    let orig = [one("f", "2", ""), one("g", "3", "")].concat();
    let patched = [one("f", "2", &more), one("g", "3", "")].concat();
    let Some((status, text)) = x86(&orig, &patched, &[]) else { return };
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("function: f\n") && !text.contains("function: g\n"), "{text}");
}

/// As refcounts of 4.14 to 5.4 have it.
fn rows_of_nameless_code_belong_to_what_refers_to_it() {
    let with = |fixup: u32| {
        let cold = ".pushsection .text..refcount,\"ax\"\n4: lea 8(%rsp),%rcx\n5: ud2\n.popsection";
        let row = format!(
            ".pushsection __ex_table,\"a\"\n.long 5b-.\n.long {fixup}b-.\n.long 1\n.popsection"
        );
        function("f", &format!("{cold}\njs 4b\n1: nop\n2: nop\n{row}"))
    };
    let Some((status, text)) = x86(&with(1), &with(1), &[]) else { return };
    assert_eq!(status, 3, "{text}");
    let (status, text) = x86(&with(1), &with(2), &[]).unwrap();
    assert!(status == 0 && text.contains("function: f\n"), "{status} {text}");
}
fn what_no_input_may_be_is_said() {
    let f = function("f", "nop");
    let g = function("f", "nop; nop");
    let cases = [
        (".section __ex_table,\"a\",@nobits\n.skip 12\n", 1, "__ex_table"),
        (".section .kpatch.funcs,\"a\"\n.quad 1\n", 2, ".kpatch.funcs"),
        (".section runtime_new_x,\"a\"\n.long f+5-.\n", 2, "runtime_new_x"),
    ];
    for (more, wanted, name) in cases {
        let more = |f: &str| format!("{f}{more}");
        let Some((status, text)) = x86(&more(&f), &more(&g), &[]) else { return };
        assert!(status == wanted && text.contains(name), "{name}: {status} {text}");
    }
}

/// Since 6.11 an alternative of s390 has 13 bytes, with one length at the end.
fn alternatives_are_those_of_the_machine() {
    if !runs("s390x-linux-gnu-as") {
        return;
    }
    let with = |last: &str, padding: &str| {
        format!(
            ".section .altinstr_replacement,\"ax\"\n2: nop 0\n{last}\n.section .text.f,\"ax\"\n\
             .globl f\n.type f,@function\nf: brcl 0,0\n1: nop 0\nnop 0\nbr %r14\n.size f,.-f\n\
             .section .altinstructions,\"a\"\n.long 1b-.\n.long 2b-.\n.long 7\n.byte 8\n{padding}"
        )
    };
    let told = |orig: &str, patched: &str| told("s390x-linux-gnu-as", orig, patched, &[]);
    let (nop, other) = (with("nop 0", ""), with("nop 1(%r2)", ""));
    assert_eq!(told(&nop, &nop).0, 3);
    let (status, text) = told(&nop, &other);
    assert!(status == 0 || status == 2, "{status} {text}");
    // The size that x86 has since 6.3.
    let foreign = with("nop 0", ".byte 0\n");
    let (status, text) = told(&foreign, &foreign);
    assert!(status == 1 && text.contains(".altinstructions"), "{status} {text}");
}

fn replacements_that_no_row_reads_must_be_as_they_were() {
    let with = |read: &str, unread: &str| {
        let body = format!(
            "771: nop\nnop\n772:\n.pushsection .altinstructions,\"a\"\n.long 771b-.\n.long 773f-.\n\
             .long 5\n.byte 772b-771b\n.byte 774f-773f\n.popsection\n\
             .pushsection .altinstr_replacement,\"ax\"\n773: {read}\n774: {unread}\n.popsection\n"
        );
        function("f", &body)
    };
    let (orig, other) = (with("nop", "inc %eax"), with("nop", "inc %ecx"));
    let Some((status, text)) = x86(&orig, &orig, &[]) else { return };
    assert_eq!(status, 3, "{text}");
    let (status, text) = x86(&orig, &other, &[]).unwrap();
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("no row reads"), "{text}");
    let (status, text) = x86(&orig, &with("clc", "inc %eax"), &[]).unwrap();
    assert_eq!(status, 0, "{text}");
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "replacements_that_no_row_reads_must_be_as_they_were",
            replacements_that_no_row_reads_must_be_as_they_were,
        ),
        ("sizes_are_found_in_the_rows", sizes_are_found_in_the_rows),
        ("layouts_that_no_kernel_had_are_errors", layouts_that_no_kernel_had_are_errors),
        ("handlers_are_no_code_that_faults", handlers_are_no_code_that_faults),
        ("a_reference_to_a_row_means_the_row", a_reference_to_a_row_means_the_row),
        (
            "rows_of_nameless_code_belong_to_what_refers_to_it",
            rows_of_nameless_code_belong_to_what_refers_to_it,
        ),
        ("what_no_input_may_be_is_said", what_no_input_may_be_is_said),
        ("alternatives_are_those_of_the_machine", alternatives_are_those_of_the_machine),
    ])
}
