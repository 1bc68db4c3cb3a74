//! Different bytes mean a difference until a rule proves that they mean the same. Pairs in
//! which something changed that is easily taken for layout, and their neighbours in which
//! nothing did; of these the list of what was forgiven is looked at, too.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/patch.rs"]
#[allow(dead_code)]
mod common;

use std::path::Path;

use common::compile;
use klp_diff::diff::explain::found::NoiseFound;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::{Input, Job, Outcome, Run, run};

const OPTIONS: &str = "-O2 -c -w -ffunction-sections -fdata-sections -fno-pic -mcmodel=kernel -pg -mfentry \
     -fcf-protection=none -fno-stack-protector -fno-asynchronous-unwind-tables -fshort-wchar";
const GCC: &str = "gcc";
const CLANG: &str = "clang-19 --target=x86_64-linux-gnu";

/// What is said of a pair.
#[derive(Debug)]
struct Said {
    /// `unchanged`, `changed` or the code of the refusal.
    verdict: String,
    names: Vec<String>,
    ignored: Vec<NoiseFound>,
}

fn say(orig: &[u8], patched: &[u8], drop_in: bool) -> Said {
    let job = Job {
        sizes: StructSizes::new([], true),
        policy: if drop_in { klp_diff::Policy::KPATCH } else { klp_diff::Policy::NATIVE },
        wanted: klp_diff::report::explain::Wanted { noise: true, ..Default::default() },
        ..Job::new(Input { name: "orig.o", data: orig }, Input { name: "patched.o", data: patched })
    };
    let Run { report, outcome } = run(&job);
    let verdict = match outcome {
        Outcome::Refused(error) => error.code().name().to_owned(),
        Outcome::Changed { .. } => "changed".to_owned(),
        Outcome::Unchanged => "unchanged".to_owned(),
    };
    let names = report.functions.iter().map(|f| f.name.clone()).collect();
    Said { verdict, names, ignored: report.ignored }
}

/// Compiles `source` without and with `PATCHED` and says what both tools find.
fn pair(compiler: &str, source: &str) -> Option<[Said; 2]> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file.c"), source).expect("written");
    let made = |define| compile(compiler, OPTIONS, Path::new(folder.path()), define);
    let (orig, patched) = (made("ORIG")?, made("PATCHED")?);
    Some([false, true].map(|drop_in| say(&orig, &patched, drop_in)))
}

/// A real change: `name` is among the functions named, or it is refused.
fn is_change(compiler: &str, source: &str, name: &str) {
    for said in pair(compiler, source).into_iter().flatten() {
        let named = said.verdict != "changed" || said.names.iter().any(|n| n == name);
        assert!(said.verdict != "unchanged" && named, "{compiler}: {name}: {said:?}");
    }
}

/// A function of assembly, with what it does.
fn function(name: &str, body: &str) -> String {
    format!(
        "asm(\".globl {name}\\n.type {name},@function\\n{name}:\\n call __fentry__\\n\" {body} \
         \".size {name}, .-{name}\\n\");\n"
    )
}

/// `before` in the original, `after` in the patched object.
fn either(before: &str, after: &str) -> String {
    format!("\n#ifdef PATCHED\n{after}\n#else\n{before}\n#endif\n")
}
fn a_branch_inside_of_a_function_that_moved_counts() {
    let grows = function("grows", &either("\" ret\\n\"", "\" nop\\n nop\\n inc %eax\\n ret\\n\""));
    let jump = |to: &str| format!("\" test %edi,%edi\\n jz {to}\\n\"");
    let victim =
        function("victim", &(either(&jump("1f"), &jump("2f")) + "\"1: inc %eax\\n2: ret\\n\""));
    let source = format!("asm(\".section .sched.text,\\\"ax\\\"\\n\");\n{grows}{victim}");
    is_change(GCC, &source, "victim");
}
fn code_without_a_name_counts_by_what_it_is() {
    let nameless = |value| format!("asm(\"mov ${value},%eax\\n ret\\n mov $7,%eax\\n ret\\n\");\n");
    let jump = |to: &str| function("victim", &format!("\" jmp .sched.text{to}\\n\""));
    let source = |a: &str, b: &str| {
        format!("asm(\".section .sched.text,\\\"ax\\\"\\n\");\n{}", either(a, b))
    };
    let [five, six] = [5, 6].map(nameless);
    let piece = "asm(\".set piece, .sched.text + 6\\n\");\n".to_owned();
    let first = five.clone() + &jump("");
    // Another piece of the same code, and the same piece of other code.
    let second = five.clone() + &piece + &function("victim", "\" jmp piece\\n\"");
    is_change(GCC, &source(&first, &second), "victim");
    is_change(GCC, &source(&first, &(six + &jump(""))), "victim");
}
fn what_leads_to_the_same_place_is_forgiven_by_name() {
    let grows = function("grows", &either("\" ret\\n\"", "\" inc %eax\\n inc %ebx\\n ret\\n\""));
    let target = function("target", "\" ret\\n\"");
    let caller = function("caller", "\" jmp target\\n\"");
    let source = format!("asm(\".section .sched.text,\\\"ax\\\"\\n\");\n{target}{grows}{caller}");
    let Some([klp, _]) = pair(GCC, &source) else { return };
    assert_eq!(klp.names, ["grows"], "{klp:?}");
    let distance: Vec<_> = klp.ignored.iter().filter(|n| n.rule == "distance").collect();
    let [entry] = &distance[..] else { panic!("{klp:?}") };
    assert_eq!((entry.section.as_str(), entry.width), (".sched.text", 2));
    assert_eq!(entry.evidence, "leads to target");
    assert_ne!(entry.before, entry.after);
}
fn strings_end_with_an_element_and_not_with_a_byte() {
    for compiler in [GCC, CLANG] {
        let source = format!(
            "typedef unsigned short wchar; extern void take(const wchar *);\
             void f(void) {{ take({}); }}",
            either("L\"MokList\"", "L\"MokDist\"")
        );
        is_change(compiler, &source, "f");
    }
}
fn tables_among_strings_are_whole() {
    let cases = |last: i32| {
        format!(
            "int f(unsigned x) {{ switch (x) {{ case 0: return 104; case 1: return {last}; \
             case 2: return 77; case 3: return 12; case 4: return 51; case 5: return 0; }} return 3; }}"
        )
    };
    is_change(CLANG, &either(&cases(600), &cases(601)), "f");
    let regs = |value: i32| {
        format!(
            "static const int regs[] = {{ 1, {value}, 3, 0 }};\
             int f(unsigned x) {{ return regs[x & 3]; }}"
        )
    };
    is_change(CLANG, &either(&regs(500), &regs(501)), "f");
}
fn padding_is_outside_of_symbols_and_followed_by_something() {
    // The last byte of a function, at the end of its section and before another one.
    let last = |value: &str| format!("\" .byte 0xeb, {value}\\n\"");
    let changed = function("f", &either(&last("0x90"), &last("0xcc")));
    is_change(GCC, &changed, "f");
    let followed = changed + &function("g", "\" ret\\n\"");
    is_change(GCC, &followed, "f");
    // A constant that grows by zeros.
    let constant = |size: u32| {
        format!(
            "asm(\".section .rodata.cst,\\\"a\\\"\\n .balign 32\\n.Lc: .byte 1,2,3\\n .skip {size}\\n.text\\n\");\
             extern const char c[]; int f(int x) {{ const char *p; asm(\"mov $.Lc,%0\" : \"=r\"(p)); return p[x]; }}"
        )
    };
    is_change(GCC, &either(&constant(5), &constant(85)), "f");
}
fn a_label_counts_by_what_is_there() {
    let mid = |before: &str, after: &str| {
        function("f", &format!("\"{before} .globl mid\\nmid: {after} ret\\n\""))
    };
    let moved = either(&mid("inc %eax\\n", "dec %eax\\n"), &mid("inc %eax\\n dec %eax\\n", ""));
    is_change(GCC, &(moved + "extern int mid(int); int g(int x) { return mid(x) + 1; }"), "g");
    for name in ["tbl2", "tbl2_end"] {
        let table = |value| {
            format!(
                "asm(\".section .rodata,\\\"a\\\"\\n .balign 8\\ntbl: .quad 1,2\\n{name}: .quad 5,{value}\\n.text\\n\");"
            )
        };
        let user = format!("extern long {name}[]; long f(void) {{ return {name}[1]; }}");
        is_change(GCC, &(either(&table(6), &table(7)) + &user), "f");
    }
}

fn constants_of_one_section_count_behind_each_other() {
    let chain = |depth: usize, last: u32| {
        let place = "__attribute__((section(\".rodata\")))";
        let mut text = format!(
            "struct n {{ const struct n *next; long v; }};\nstatic const struct n n0 {place} = {{ 0, {last} }};\n"
        );
        for i in 1..depth {
            let before = i - 1;
            text += &format!("static const struct n n{i} {place} = {{ &n{before}, 1 }};\n");
        }
        text + &format!(
            "extern long look(const struct n *); long f(void) {{ return look(&n{}) + 1; }}\n",
            depth - 1
        )
    };
    for (depth, compiler) in [1, 2, 3, 7].into_iter().flat_map(|d| [(d, GCC), (d, CLANG)]) {
        is_change(compiler, &either(&chain(depth, 3), &chain(depth, 4)), "f");
    }
}

fn a_label_of_one_file_in_constants_counts_by_content() {
    for (compiler, before) in
        [GCC, CLANG].into_iter().flat_map(|c| [(c, ""), (c, "head: .quad 9\\n")])
    {
        let table = |value| {
            format!(
                "asm(\".section .rodata.steps,\\\"a\\\"\\n .balign 8\\n{before}steps: .quad 5,{value}\\n.text\\n\");"
            )
        };
        let user = "extern long steps[]; extern long look(long *); long f(void) { return look(steps) + 1; }";
        is_change(compiler, &(either(&table(6), &table(7)) + user), "f");
    }
}

fn an_absolute_symbol_counts_by_its_value() {
    let number = |value| format!("asm(\".set limit, {value}\\n\");");
    let user =
        "extern char limit[]; extern long look(char *); long f(void) { return look(limit) + 1; }";
    for compiler in [GCC, CLANG] {
        for options in ["", " -fPIC -mcmodel=small"] {
            let compiler = format!("{compiler}{options}");
            is_change(&compiler, &(either(&number(6), &number(7)) + user), "f");
        }
    }
}

fn static_constants_of_one_section_count_by_distance() {
    let pair = |second: [u32; 2]| {
        let table = |name: &str, value| {
            format!(
                "static const int {name}[] __attribute__((section(\".rodata\"))) = {{ 1, 2, {value} }};"
            )
        };
        let [a, b] = second;
        let tables = table("early", a) + &table("late", b);
        format!(
            "extern long look(const int *); long f(int x) {{ {tables} return look(x ? early : late) + 1; }}"
        )
    };
    for compiler in [GCC, CLANG] {
        for (before, after) in [([3, 3], [3, 4]), ([3, 4], [4, 3])] {
            is_change(compiler, &either(&pair(before), &pair(after)), "f");
        }
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "static_constants_of_one_section_count_by_distance",
            static_constants_of_one_section_count_by_distance,
        ),
        (
            "a_label_of_one_file_in_constants_counts_by_content",
            a_label_of_one_file_in_constants_counts_by_content,
        ),
        ("an_absolute_symbol_counts_by_its_value", an_absolute_symbol_counts_by_its_value),
        (
            "constants_of_one_section_count_behind_each_other",
            constants_of_one_section_count_behind_each_other,
        ),
        (
            "a_branch_inside_of_a_function_that_moved_counts",
            a_branch_inside_of_a_function_that_moved_counts,
        ),
        ("code_without_a_name_counts_by_what_it_is", code_without_a_name_counts_by_what_it_is),
        (
            "what_leads_to_the_same_place_is_forgiven_by_name",
            what_leads_to_the_same_place_is_forgiven_by_name,
        ),
        (
            "strings_end_with_an_element_and_not_with_a_byte",
            strings_end_with_an_element_and_not_with_a_byte,
        ),
        ("tables_among_strings_are_whole", tables_among_strings_are_whole),
        (
            "padding_is_outside_of_symbols_and_followed_by_something",
            padding_is_outside_of_symbols_and_followed_by_something,
        ),
        ("a_label_counts_by_what_is_there", a_label_counts_by_what_is_there),
    ])
}
