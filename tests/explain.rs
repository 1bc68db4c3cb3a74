//! What is told of a patch: both disassemblies, values by field, why things are included, one
//! line for each object, and the page for review.

#[path = "common/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -fcf-protection=none -fno-stack-protector -std=gnu11";

const SOURCE: &str = r#"
int kfree(void *), kvfree(void *), printk(const char *, ...);
struct ops { int (*open)(int); int (*close)(void *); const char *name; int limit; };
int my_open(int x)
{
#ifdef PATCHED
	printk("open it %d\n", x);
	return x + 7;
#else
	printk("open %d\n", x);
	return x + 3;
#endif
}
#ifdef PATCHED
__attribute__((noinline)) static int helper(int x) { printk("help %d\n", x); return x * 3; }
#endif
int work(void *p, int n)
{
	if (n > 5)
#ifdef PATCHED
		kvfree(p);
	n = helper(n);
#else
		kfree(p);
#endif
	printk("done %d\n", n);
	return n;
}
int same(int x) { return x + 1; }
"#;

const OPS: &str = r#"
int kfree(void *), kvfree(void *), my_open(int);
struct ops { int (*open)(int); int (*close)(void *); const char *name; int limit; char tail[3]; };
const struct ops my_ops = { my_open,
#ifdef PATCHED
	kvfree, "new", 20
#else
	kfree, "old", 10
#endif
};
"#;

struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    /// `None` without the compiler.
    fn new() -> Option<Lab> {
        let mut gcc = Command::new("gcc-12");
        let there = gcc.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !there.is_ok_and(|s| s.success()) || !cfg!(target_arch = "x86_64") {
            crate::suite::lacks("gcc-12 is not installed");
            return None;
        }
        Some(Lab { folder: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Compiles both sides into `orig/NAME.o` and `patched/NAME.o`.
    fn compile(&self, name: &str, source: &str, more: &str) -> [String; 2] {
        let file = format!("{name}.c");
        std::fs::write(self.path(&file), source).unwrap();
        ["orig", "patched"].map(|side| {
            std::fs::create_dir_all(self.path(side)).unwrap();
            let object = format!("{side}/{name}.o");
            let mut gcc = Command::new("gcc-12");
            gcc.args(FLAGS.split_whitespace()).args(more.split_whitespace());
            gcc.args((side == "patched").then_some("-DPATCHED"));
            gcc.args(["-c", "-o", &object, &file]).current_dir(self.folder.path());
            let done = gcc.output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            object
        })
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.args(args).current_dir(self.folder.path()).env_remove("COLUMNS");
        command.output().unwrap()
    }

    /// What is printed on standard output.
    fn told(&self, args: &[&str], exit: i32) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Blanks at the ends of lines are of no interest.
fn trimmed(text: &str) -> String {
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
fn both_disassemblies_are_side_by_side() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("work", SOURCE, "");
    insta::assert_snapshot!("side-by-side", trimmed(&lab.told(&["--explain", &orig, &patched], 0)));
}
fn only_what_was_asked_for_is_told_and_also_when_it_is_the_same() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("work", SOURCE, "");
    let told = lab.told(&["--explain=my_open", "--explain=same", &orig, &patched], 0);
    assert!(told.starts_with("changed function: my_open\n"), "{told}");
    assert!(told.ends_with("unchanged: same\n"), "{told}");
    assert!(!told.contains("function: work"), "{told}");
    let output = lab.run(&["--explain=nosuch", &orig, &patched]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--explain=nosuch"));
}
fn values_are_told_by_what_they_are() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("ops", OPS, "");
    let told = lab.told(&["--explain", &orig, &patched], 2);
    let values: Vec<&str> = told.lines().filter(|l| l.starts_with("  +")).collect();
    assert_eq!(
        values,
        ["  +0x8 kfree -> kvfree", "  +0x10 \"old\" -> \"new\"", "  +0x18 0xa -> 0x14"]
    );
}
fn why_something_is_included_is_a_chain() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("work", SOURCE, "");
    let told = lab.told(&["--why", "helper", "--why=kvfree", "--why", "same", &orig, &patched], 0);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "helper (function) is in the patch");
    assert!(lines[1].starts_with("  work refers to helper at +0x"), "{told}");
    assert!(lines[2].starts_with("  work changed: "), "{told}");
    assert_eq!(lines[3], "kvfree is not in the patch, which refers to it");
    assert_eq!(
        *lines.last().unwrap(),
        "same is not in the patch: it means the same in both objects"
    );
    assert_eq!(lab.run(&["--why", "nosuch", &orig, &patched]).status.code(), Some(1));
}
fn there_is_one_line_for_each_object_or_none() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("work", SOURCE, "");
    let told = lab.told(&["--stat", &orig, &patched], 0);
    assert_eq!(told, "patched/work.o | 2 changed, 1 new\n");
    let [ops, _] = lab.compile("ops", OPS, "");
    lab.compile("equal", "int equal(void) { return 1; }", "-DPATCHED");
    let output = lab.run(&["--stat", "orig", "patched"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("\nwork.o | 2 changed, 1 new\n"), "{told}");
    assert!(
        told.starts_with("ops.o | refused (unsupported-section-change): 1 data changed\n"),
        "{told}"
    );
    let output = lab.run(&["-q", &orig, &patched]);
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(0), 0, 0));
    // Errors are told nevertheless.
    let output = lab.run(&["--quiet", &ops, "patched/ops.o"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(!output.stderr.is_empty());
}
fn colours_are_for_terminals_and_who_asks() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("work", SOURCE, "");
    let plain = lab.told(&["--explain", &orig, &patched], 0);
    assert!(!plain.contains('\x1b'));
    assert_eq!(lab.told(&["--explain", "--color=never", "--no-pager", &orig, &patched], 0), plain);
    let painted = lab.told(&["--explain", "--color", "always", &orig, &patched], 0);
    assert!(painted.contains("\x1b[31m") && painted.contains("\x1b[32m"));
    let mut stripped = String::new();
    for piece in painted.split('\x1b') {
        stripped += piece.strip_prefix('[').map_or(piece, |p| p.split_once('m').unwrap().1);
    }
    assert_eq!(trimmed(&stripped), trimmed(&plain));
    let usual = lab.told(&[&orig, &patched], 0);
    assert!(usual.starts_with("new function: helper\nchanged function: my_open\n"), "{usual}");
    assert_eq!(lab.told(&["--color=auto", &orig, &patched], 0), usual);
}
fn options_that_cannot_go_together_are_mistakes() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("work", SOURCE, "");
    for options in [
        &["--stat", "-q"][..],
        &["--stat", "--explain"],
        &["-q", "--why", "work"],
        &["-q", "--explain-noise"],
        &["--json", "-", "--html", "-"],
        &["--color", "sometimes"],
    ] {
        let args: Vec<&str> = options.iter().copied().chain([&*orig, &*patched]).collect();
        assert_eq!(lab.run(&args).status.code(), Some(64), "{options:?}");
    }
    let output = lab.run(&["--html", &orig, &orig, &patched]);
    assert_eq!(output.status.code(), Some(1), "the page must not replace an input");
}
fn facts_are_in_the_report_for_programs_only_when_asked_for() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("work", SOURCE, "");
    let plain: Value =
        serde_json::from_str(&lab.told(&["--json", "-", &orig, &patched], 0)).unwrap();
    assert!(plain["objects"][0]["functions"][0].get("body").is_none());
    assert!(plain["objects"][0].get("graph").is_none());
    let args = ["--explain", "--why", "helper", "--json", "-", &orig, &patched];
    let full: Value = serde_json::from_str(&lab.told(&args, 0)).unwrap();
    let object = &full["objects"][0];
    let work =
        object["functions"].as_array().unwrap().iter().find(|f| f["name"] == "work").unwrap();
    let lines = work["body"]["parts"][0]["hunks"][0]["lines"].as_array().unwrap();
    let changed = |l: &&Value| l["mark"] == "changed";
    let call = lines.iter().filter(changed).find(|l| l["before"]["text"] == "call kfree");
    assert_eq!(call.expect("the call")["after"]["text"], "call kvfree");
    let nodes = object["graph"]["nodes"].as_array().unwrap();
    let helper = nodes.iter().find(|n| n["name"] == "helper").unwrap();
    let via = helper["via"].as_u64().unwrap() as usize;
    assert_eq!(nodes[via]["name"], "work");
}

/// No line may claim a difference that it does not show.
fn no_difference_reads_the_same_on_both_sides() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("work", SOURCE, "");
    let text = lab.told(&["--explain", "--json", "-", &orig, &patched], 0);
    fn walk(value: &Value) {
        if let (Some(before), Some(after)) = (value.get("before"), value.get("after"))
            && value.get("mark").is_none_or(|m| m == "changed")
            && value.get("note").is_none()
        {
            let text = |v: &Value| v.get("text").unwrap_or(v).clone();
            assert_ne!(text(before), text(after), "{value}");
        }
        match value {
            Value::Array(all) => all.iter().for_each(walk),
            Value::Object(all) => all.values().for_each(walk),
            _ => {}
        }
    }
    walk(&serde_json::from_str(&text).unwrap());
}
fn names_of_objects_are_inert_in_the_page() {
    let Some(lab) = Lab::new() else { return };
    // An assembler takes no such names: they are written over others.
    let evil = "evil<script>alert(1)</script>\"'onload=x";
    let plain = format!("evil{}", "x".repeat(evil.len() - 4));
    let hostile = format!(
        "int printk(const char *, ...);
        int {plain}(void)
        {{
        #ifdef PATCHED
        \tprintk(\"</pre><script>alert(2)</script>\");
        #endif
        \treturn 1;
        }}\n"
    );
    let [orig, patched] = lab.compile("evil", &hostile, "");
    for object in [&orig, &patched] {
        let mut bytes = std::fs::read(lab.path(object)).unwrap();
        for at in 0..bytes.len().saturating_sub(plain.len()) {
            if bytes[at..].starts_with(plain.as_bytes()) {
                bytes[at..at + plain.len()].copy_from_slice(evil.as_bytes());
            }
        }
        std::fs::write(lab.path(object), bytes).unwrap();
    }
    lab.told(&["--html", "page.html", &orig, &patched], 0);
    let page = std::fs::read_to_string(lab.path("page.html")).unwrap();
    assert!(page.contains("evil&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;onload=x"));
    assert!(page.contains("&lt;/pre&gt;&lt;script&gt;alert(2)"));
    assert_eq!(page.matches("<script").count(), 1, "its own");
    assert!(!page.contains("'onload"));
    // Nothing is fetched.
    for word in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
}
fn the_page_is_the_same_on_any_number_of_threads_and_goes_to_standard_output() {
    let Some(lab) = Lab::new() else { return };
    let [orig, patched] = lab.compile("work", SOURCE, "");
    let one = lab.told(&["--html", "-", "-j1", &orig, &patched], 0);
    assert!(one.starts_with("<!DOCTYPE html>") && one.trim_end().ends_with("</html>"));
    assert_eq!(lab.told(&["--html", "-", "-j3", &orig, &patched], 0), one);
    assert!(Path::new(&lab.path(&orig)).exists());
}

fn debug_information_tells_what_was_edited_and_what_changed_with_it() {
    let Some(lab) = Lab::new() else { return };
    let source = r#"
int kfree(void *), printk(const char *, ...);
static inline __attribute__((always_inline)) void show_val(int x)
{
#ifdef PATCHED
	printk("v %d\n", x * 2);
#else
	printk("v %d\n", x * 3);
#endif
}
void one(int x) { show_val(x); show_val(x + 1); }
void two(int *p)
{
	for (int i = 0; p[i]; i++)
		show_val(p[i]);
	kfree(p);
}
int three(int x)
{
#ifdef PATCHED
	x++;
#endif
	return x;
}
int four(int x) { return x; }
"#;
    for debug in ["-g", "-gdwarf-4", "-g -gz", "-g -gsplit-dwarf"] {
        let [orig, patched] = lab.compile("blame", source, debug);
        let told = lab.told(&["--explain", &orig, &patched], 0);
        if debug.contains("split") {
            assert!(!told.contains("in source"), "what is in another file is not known: {told}");
            continue;
        }
        let through = "  changed through show_val, inlined at blame.c:11\n";
        assert!(told.contains(through), "{debug}: {told}");
        assert!(
            told.contains("  in show_val at blame.c:6, inlined in two at blame.c:15\n"),
            "{told}"
        );
        let all = "2 functions changed in source (show_val, three), 2 re-optimised because of it\n";
        assert!(told.contains(all), "{debug}: {told}");
        let plain = lab.told(&[&orig, &patched], 0);
        let place = "  in show_val at blame.c:6, inlined in one at blame.c:11\n";
        assert!(plain.contains(place), "{debug}: {plain}");
    }
    // Without debug information nothing is said.
    let [orig, patched] = lab.compile("blame", source, "");
    assert!(!lab.told(&["--explain", &orig, &patched], 0).contains("in source"));
}

fn a_refusal_comes_with_a_way_out() {
    let Some(lab) = Lab::new() else { return };
    let source =
        "int limit =\n#ifdef PATCHED\n20\n#else\n10\n#endif\n;\nint get(void) { return limit; }\n";
    let [orig, patched] = lab.compile("limit", source, "");
    let told = lab.told(&["--explain", &orig, &patched], 2);
    assert!(told.contains("\n          limit = 0x14;\n"), "{told}");
    assert!(told.contains("  KPATCH_PRE_PATCH_CALLBACK(set_limit);\n"), "{told}");
    assert!(!lab.told(&[&orig, &patched], 2).contains("way out"));
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("both_disassemblies_are_side_by_side", both_disassemblies_are_side_by_side),
        (
            "only_what_was_asked_for_is_told_and_also_when_it_is_the_same",
            only_what_was_asked_for_is_told_and_also_when_it_is_the_same,
        ),
        ("values_are_told_by_what_they_are", values_are_told_by_what_they_are),
        ("why_something_is_included_is_a_chain", why_something_is_included_is_a_chain),
        ("there_is_one_line_for_each_object_or_none", there_is_one_line_for_each_object_or_none),
        ("colours_are_for_terminals_and_who_asks", colours_are_for_terminals_and_who_asks),
        (
            "options_that_cannot_go_together_are_mistakes",
            options_that_cannot_go_together_are_mistakes,
        ),
        (
            "facts_are_in_the_report_for_programs_only_when_asked_for",
            facts_are_in_the_report_for_programs_only_when_asked_for,
        ),
        ("no_difference_reads_the_same_on_both_sides", no_difference_reads_the_same_on_both_sides),
        ("names_of_objects_are_inert_in_the_page", names_of_objects_are_inert_in_the_page),
        (
            "the_page_is_the_same_on_any_number_of_threads_and_goes_to_standard_output",
            the_page_is_the_same_on_any_number_of_threads_and_goes_to_standard_output,
        ),
        (
            "debug_information_tells_what_was_edited_and_what_changed_with_it",
            debug_information_tells_what_was_edited_and_what_changed_with_it,
        ),
        ("a_refusal_comes_with_a_way_out", a_refusal_comes_with_a_way_out),
    ])
}
