//! A number in the code is a line only when it is proved to reach a line argument: what ends the
//! proof, by instructions that compilers seldom write. Each function is one case; in the second
//! object `N` is another number.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/patch.rs"]
mod common;

use std::collections::BTreeSet;

use common::{compile, outcome};

const COMMON: &str = "-O2 -c -w -fno-stack-protector -fno-asynchronous-unwind-tables \
     -fno-unwind-tables -ffunction-sections -fdata-sections";

/// What the instructions refer to.
const HEAD: &str = r#"
    #ifdef PATCHED
    #define N "1600"
    #else
    #define N "1500"
    #endif
    int number;
    void wait_for(int);
    asm(".pushsection .rodata.str1.1,\"aMS\",@progbits,1\n"
        "name: .string \"file.c\"\n"
        "long_format: .string \"%d %d %d %d %d %s:%d\\n\"\n"
        "last_format: .string \"%d %d %s:%d\\n\"\n"
        "late_format: .string \"%d %d %d %d %s:%d\\n\"\n"
        "format: .string \"%s:%d\\n\"\n"
        ".popsection");
    void calls(void) { __might_sleep(0, 0); _printk(0); }
"#;

struct Machine {
    compiler: &'static str,
    /// Name and instructions of what is a line.
    lines: &'static [(&'static str, &'static str)],
    /// Of what is not.
    others: &'static [(&'static str, &'static str)],
}

/// Compiles all cases of a machine, and compares them.
fn check(machine: &Machine) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut source = HEAD.to_owned();
    for (name, code) in machine.lines.iter().chain(machine.others) {
        let code = code.replace('\n', "\\n").replace('"', "\\\"").replace("{N}", "\" N \"");
        source += &format!("void {name}(void) {{ asm volatile(\"{code}\"); wait_for(1); }}\n");
    }
    std::fs::write(folder.path().join("file.c"), source).expect("written");
    let Some(orig) = compile(machine.compiler, COMMON, folder.path(), "ORIG") else { return };
    let Some(patched) = compile(machine.compiler, COMMON, folder.path(), "PATCHED") else { return };
    for drop_in in [false, true] {
        let at = folder.path().join("ORIG");
        let (output, report) = outcome(&at, [&orig, &patched], drop_in);
        output.unwrap_or_else(|e| panic!("{}: {e}", machine.compiler));
        let found: BTreeSet<&str> = report.functions.iter().map(|f| f.name.as_str()).collect();
        let wanted: BTreeSet<&str> = machine.others.iter().map(|o| o.0).collect();
        assert_eq!(found, wanted, "{}, drop-in {drop_in}", machine.compiler);
    }
}
fn x86_64() {
    check(&Machine {
        compiler: "gcc -fno-pic -mcmodel=kernel -mno-red-zone -pg -mfentry -fcf-protection=none",
        lines: &[
            ("plain", "mov ${N}, %esi\nmov $name, %rdi\ncall __might_sleep"),
            (
                "written_between",
                "mov ${N}, %esi\nmov %eax, number(%rip)\nmov 8(%rax), %rcx\npush %rbx\n\
                 sub $8, %rsp\nmovb $1, 3(%rsp)\ncall __might_sleep",
            ),
            ("printed", "mov $format, %rdi\nmov $name, %rsi\nmov ${N}, %edx\ncall _printk"),
            (
                "copied_text",
                "mov $name, %rbx\ncall wait_for\nmov ${N}, %edx\nmov %rbx, %rsi\n\
                 mov $format, %rdi\ncall _printk",
            ),
            ("called_last", "mov ${N}, %esi\njmp __might_sleep"),
            (
                "on_the_stack",
                "sub $16, %rsp\nmov $long_format, %rdi\nmovl ${N}, 8(%rsp)\n\
                 movq $name, (%rsp)\nmov 24(%rsp), %rcx\ncall _printk\nadd $16, %rsp",
            ),
            (
                "pushed_as_argument",
                "mov $late_format, %rdi\nmov $name, %r9\npush ${N}\nxor %eax, %eax\n\
                 call _printk\npop %rax",
            ),
        ],
        others: &[
            ("branch", "mov ${N}, %esi\njne 1f\ncall __might_sleep\n1:"),
            ("joined", "je 1f\nmov ${N}, %esi\n1: call __might_sleep"),
            ("joined_inside", "je 1f - 2\nmov ${N}, %esi\n1: call __might_sleep"),
            (
                "key",
                "mov ${N}, %esi\n1: .byte 0x0f, 0x1f, 0x44, 0, 0\ncall __might_sleep\n2:\n\
                 .pushsection __jump_table,\"aw\"\n.long 1b - ., 2b - .\n.quad number - .\n\
                 .popsection",
            ),
            (
                "faults",
                "mov ${N}, %esi\n1: mov (%rax), %rcx\ncall __might_sleep\n2:\n\
                 .pushsection __ex_table,\"a\"\n.long 1b - ., 2b - ., 3\n.popsection",
            ),
            ("copied", "mov ${N}, %esi\nmov %esi, %ecx\ncall __might_sleep"),
            ("stored", "mov ${N}, %esi\nmov %esi, number(%rip)\ncall __might_sleep"),
            ("pushed", "mov ${N}, %esi\npush %rsi\ncall __might_sleep"),
            ("popped", "push ${N}\npop %rsi\ncall __might_sleep"),
            ("addressed", "mov ${N}, %esi\nlea 4(%rsi), %eax\ncall __might_sleep"),
            ("compared", "mov ${N}, %esi\ncmp %esi, %eax\ncall __might_sleep"),
            ("set_again", "mov ${N}, %esi\nmov $7, %esi\ncall __might_sleep"),
            ("set_in_part", "mov ${N}, %esi\nmovb $7, %sil\ncall __might_sleep"),
            ("moved_there_or_not", "mov ${N}, %esi\ncmove %eax, %esi\ncall __might_sleep"),
            ("another_call", "mov ${N}, %esi\ncall wait_for\ncall __might_sleep"),
            (
                "read_from_the_stack",
                "mov $late_format, %rdi\nmov $name, %r9\npush ${N}\nmov 4(%rsp), %eax\n\
                 call _printk\npop %rax",
            ),
            (
                "stack_addressed",
                "mov $late_format, %rdi\nmov $name, %r9\npush ${N}\nlea (%rsp), %rsi\n\
                 call _printk\npop %rax",
            ),
            (
                "elsewhere_on_the_stack",
                "mov $late_format, %rdi\nmov $name, %r9\npush ${N}\npush $5\n\
                 call _printk\npop %rax\npop %rax",
            ),
            ("wrmsr", "mov ${N}, %edx\nwrmsr\nmov $5, %esi\ncall __might_sleep"),
            ("wrmsr_of_others", "mov ${N}, %esi\nwrmsr\ncall __might_sleep"),
            ("string_copy", "mov ${N}, %esi\nrep movsb\ncall __might_sleep"),
            ("trap", "mov ${N}, %esi\nud2\ncall __might_sleep"),
            ("by_pointer", "mov ${N}, %esi\ncall *%rax\ncall __might_sleep"),
            ("left", "mov ${N}, %esi\njmp *%rax\ncall __might_sleep"),
            ("third", "mov ${N}, %edx\ncall __might_sleep"),
            ("inside_callee", "mov ${N}, %esi\ncall __might_sleep + 4"),
            (
                "text_from_elsewhere",
                "mov $name, %rsi\nmov $format, %rdi\n1: mov ${N}, %edx\ncall _printk\n\
                 mov (%rax), %rdi\nmov (%rcx), %rsi\njmp 1b",
            ),
            (
                "text_before_with_a_thunk",
                "mov $name, %rsi\nmov $format, %rdi\nmov ${N}, %edx\ncall _printk\n\
                 jmp __x86_indirect_thunk_rax",
            ),
            (
                "text_before_with_a_table",
                "mov $name, %rsi\nmov $format, %rdi\nmov ${N}, %edx\ncall _printk\njmp *%rax",
            ),
            (
                "text_lost",
                "mov $name, %rsi\nmov $format, %rdi\nmov ${N}, %edx\nxor %esi, %edi\ncall _printk",
            ),
            (
                "text_of_a_byte",
                "mov $name + 1, %rsi\nmov $format, %rdi\nmov ${N}, %edx\ncall _printk",
            ),
            ("in_a_message", "mov $name, %rsi\nmov $format, %rdi\nmov ${N}, %ecx\ncall _printk"),
        ],
    });
}
fn aarch64() {
    check(&Machine {
        compiler: "aarch64-linux-gnu-gcc -fpatchable-function-entry=2",
        lines: &[
            ("plain", "mov w1, #{N}\nbl __might_sleep"),
            ("written_between", "mov w1, #{N}\nstr w2, [x0]\nldr x3, [x0, #8]!\nbl __might_sleep"),
            (
                "printed",
                "mov w2, #{N}\nadrp x0, format\nadd x0, x0, :lo12:format\nadrp x1, name\n\
                 add x1, x1, :lo12:name\nbl _printk",
            ),
            ("called_last", "mov w1, #{N}\nb __might_sleep"),
            (
                "text_behind_with_a_table",
                "mov w2, #{N}\nadrp x0, format\nadd x0, x0, :lo12:format\nadrp x1, name\n\
                 add x1, x1, :lo12:name\nbl _printk\nbr x5",
            ),
        ],
        others: &[
            ("branch", "mov w1, #{N}\ncbz w0, 1f\nbl __might_sleep\n1:"),
            ("joined", "cbz w0, 1f\nmov w1, #{N}\n1: bl __might_sleep"),
            ("copied", "mov w1, #{N}\nmov w2, w1\nbl __might_sleep"),
            ("stored", "mov w1, #{N}\nstr w1, [x0]\nbl __might_sleep"),
            ("stored_as_second", "mov w1, #{N}\nstp x2, x1, [x0]\nbl __might_sleep"),
            ("added", "mov w1, #{N}\nadd w1, w1, #1\nbl __might_sleep"),
            ("set_in_part", "mov w1, #{N}\nmovk w1, #1, lsl #16\nbl __might_sleep"),
            ("system_register", "mov w1, #{N}\nmsr tpidr_el0, x1\nbl __might_sleep"),
            ("atomic", "mov w1, #{N}\nstxr w3, w1, [x0]\nbl __might_sleep"),
            (
                "text_before_with_a_table",
                "adrp x0, format\nadd x0, x0, :lo12:format\nadrp x1, name\n\
                 add x1, x1, :lo12:name\nmov w2, #{N}\nbl _printk\nbr x5",
            ),
            ("another_call", "mov w1, #{N}\nbl wait_for\nbl __might_sleep"),
            ("third", "mov w2, #{N}\nbl __might_sleep"),
            (
                "half_a_text",
                "mov w2, #{N}\nadrp x0, format\nadd x0, x0, :lo12:name\nadrp x1, name\n\
                 add x1, x1, :lo12:name\nbl _printk",
            ),
        ],
    });
}
fn powerpc64() {
    check(&Machine {
        compiler: "powerpc64le-linux-gnu-gcc -mabi=elfv2 -mcmodel=medium -mprofile-kernel -pg",
        lines: &[
            ("plain", "li 4, {N}\nbl __might_sleep\nnop"),
            (
                "written_between",
                "li 4, {N}\nstw 5, 0(3)\nld 6, 8(3)\nmr 7, 6\nbl __might_sleep\nnop",
            ),
            (
                "printed",
                "li 5, {N}\naddis 3, 2, format@toc@ha\naddi 3, 3, format@toc@l\n\
                 addis 4, 2, name@toc@ha\naddi 4, 4, name@toc@l\nbl _printk\nnop",
            ),
        ],
        others: &[
            ("branch", "li 4, {N}\nbeq 1f\nbl __might_sleep\nnop\n1:"),
            ("joined", "beq 1f\nli 4, {N}\n1: bl __might_sleep\nnop"),
            ("copied", "li 4, {N}\nmr 5, 4\nbl __might_sleep\nnop"),
            ("stored", "li 4, {N}\nstw 4, 0(3)\nbl __might_sleep\nnop"),
            ("changed", "li 4, {N}\nori 4, 4, 1\nbl __might_sleep\nnop"),
            ("upper", "li 4, {N}\noris 4, 4, 1\nbl __might_sleep\nnop"),
            ("special_register", "li 4, {N}\nmtctr 4\nbl __might_sleep\nnop"),
            ("another_call", "li 4, {N}\nbl wait_for\nnop\nbl __might_sleep\nnop"),
            ("third", "li 5, {N}\nbl __might_sleep\nnop"),
        ],
    });
}
fn s390x() {
    check(&Machine {
        compiler: "s390x-linux-gnu-gcc -m64 -march=z13 -pg -mfentry -mrecord-mcount -mnop-mcount",
        lines: &[
            ("plain", "lghi %r3, {N}\nbrasl %r14, __might_sleep"),
            (
                "written_between",
                "lghi %r3, {N}\nst %r4, 0(%r2)\nlg %r5, 8(%r2)\nmvi 0(%r2), 1\n\
                 brasl %r14, __might_sleep",
            ),
            ("printed", "lghi %r4, {N}\nlarl %r2, format\nlarl %r3, name\nbrasl %r14, _printk"),
            (
                "preserved",
                "lghi %r6, {N}\nlarl %r2, last_format\nlarl %r5, name\nbrasl %r14, _printk\n\
                 lghi %r6, 5",
            ),
        ],
        others: &[
            ("branch", "lghi %r3, {N}\nje 1f\nbrasl %r14, __might_sleep\n1:"),
            ("joined", "je 1f\nlghi %r3, {N}\n1: brasl %r14, __might_sleep"),
            ("copied", "lghi %r3, {N}\nlgr %r4, %r3\nbrasl %r14, __might_sleep"),
            ("stored", "lghi %r3, {N}\nst %r3, 0(%r2)\nbrasl %r14, __might_sleep"),
            ("stored_among", "lghi %r3, {N}\nstmg %r2, %r4, 0(%r5)\nbrasl %r14, __might_sleep"),
            ("added", "lghi %r3, {N}\naghi %r3, 1\nbrasl %r14, __might_sleep"),
            ("indexed", "lghi %r3, {N}\nlg %r1, 0(%r3, %r2)\nbrasl %r14, __might_sleep"),
            ("control_register", "lghi %r3, {N}\nsske %r3, %r1\nbrasl %r14, __might_sleep"),
            ("another_call", "lghi %r3, {N}\nbrasl %r14, wait_for\nbrasl %r14, __might_sleep"),
            ("third", "lghi %r4, {N}\nbrasl %r14, __might_sleep"),
            // The callee gives r6 back: its number can be used later.
            (
                "still_there",
                "lghi %r6, {N}\nlarl %r2, last_format\nlarl %r5, name\nbrasl %r14, _printk\n\
                 lgr %r2, %r6",
            ),
        ],
    });
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("x86_64", x86_64),
        ("aarch64", aarch64),
        ("powerpc64", powerpc64),
        ("s390x", s390x),
    ])
}
