//! Why functions changed: what the patch says is told from what the optimiser did, and only
//! where that is proven.

#[path = "common/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use klp_diff::corpus::compilers::of_machine;
use klp_diff::corpus::header::STRUCT_SIZES;
use serde_json::Value;

const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -fno-stack-protector -std=gnu11 -mno-red-zone -fno-jump-tables";

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    let there = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success()) && cfg!(target_arch = "x86_64");
    if !there {
        crate::suite::lacks(format!("{program} is not installed"));
    }
    there
}

struct Lab {
    folder: tempfile::TempDir,
}

/// What was said of a pair.
struct Told {
    document: Value,
    stderr: String,
}

impl Lab {
    fn new() -> Lab {
        Lab { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Compiles `source`, a file, into `object`; false when the compiler does not take it.
    fn try_compile(&self, compiler: &str, object: &str, source: &Path, flags: &str) -> bool {
        let mut command = Command::new(compiler);
        command.args(FLAGS.split_whitespace()).args(flags.split_whitespace());
        command.args(["-c", "-o", object]).arg(source);
        let done = command.current_dir(self.folder.path()).output().unwrap();
        done.status.success()
    }

    fn compile(&self, compiler: &str, object: &str, source: &Path, flags: &str) {
        assert!(self.try_compile(compiler, object, source, flags), "{compiler} {flags}");
    }

    fn compare(&self, orig: &str, patched: &str) -> Told {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.args([orig, patched, "--json", "-"]).current_dir(self.folder.path());
        command.args(STRUCT_SIZES.map(|(name, size)| format!("--struct={name}={size}")));
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let document = serde_json::from_slice(&output.stdout).expect(&stderr);
        Told { document, stderr }
    }

    /// Compares `text` with what it is when `PATCHED` is defined.
    fn patched(&self, text: &str) -> Told {
        let source = self.file("source.c", text);
        self.compile("gcc-12", "orig.o", &source, "");
        self.compile("gcc-12", "patched.o", &source, "-DPATCHED");
        self.compare("orig.o", "patched.o")
    }
}

impl Told {
    /// Names of the functions that changed, with their reasons.
    fn changed(&self) -> Vec<(String, Vec<String>)> {
        let objects = self.document["objects"].as_array().unwrap();
        let functions = objects.iter().flat_map(|o| o["functions"].as_array().unwrap());
        let changed = functions.filter(|f| f["status"] == "changed").map(|f| {
            let text = |r: &Value, field: &str| r[field].as_str().unwrap().to_owned();
            let reasons = f["reasons"].as_array().unwrap().iter().map(|r| {
                format!("{}: {} -> {}", text(r, "kind"), text(r, "before"), text(r, "after"))
            });
            (f["name"].as_str().unwrap().to_owned(), reasons.collect())
        });
        changed.collect()
    }

    /// The first reason of a function that must have changed.
    fn first(&self, function: &str) -> String {
        let changed = self.changed();
        let found = changed.iter().find(|(name, _)| name == function);
        let (_, reasons) = found.unwrap_or_else(|| panic!("{function}: {changed:?}"));
        reasons.first().cloned().unwrap_or_default()
    }
}

const DRIFT: &str = "
    void out(const char *, int); extern int level; int check(int);
    int work(int v, int w)
    {
        int r = 0;
        if (v > 1000) {
            out(\"slow\", v);
            if (w) { out(\"slower\", v + 3); r = level; }
            else out(\"other\", w);
        } else {
            r = check(v) ? v * 3 : w * 77;
            out(\"fast\", r);
        }
        for (int i = 0; i < w; i++) { if (check(i) < 0) { out(\"bad\", i); break; } r += check(i + 1); }
        if (r < 0) out(\"neg\", r);
        return r + v;
    }\n";
fn another_profile_moves_blocks() {
    const SLOW: &str = "work:90000:9000\n 3: 9000\n 4: 9000\n 5: 9000\n 6: 10\n 9: 10\n 10: 10\n";
    const FAST: &str = "work:90000:9000\n 3: 9000\n 4: 10\n 5: 10\n 9: 9000\n 10: 9000\n";
    let clangs = of_machine("x86_64").filter(|compiler| compiler.family() == "clang");
    for clang in clangs.map(|compiler| compiler.command).filter(|c| runs(c)) {
        let lab = Lab::new();
        let source = lab.file("source.c", DRIFT);
        for (name, profile) in [("slow", SLOW), ("fast", FAST)] {
            lab.file(&format!("{name}.afdo"), profile);
            let flags =
                format!("-gmlt -fdebug-info-for-profiling -fprofile-sample-use={name}.afdo");
            lab.compile(clang, &format!("{name}.o"), &source, &flags);
        }
        let told = lab.compare("slow.o", "fast.o");
        assert!(told.first("work").starts_with("profile: "), "{clang}: {:?}", told.changed());
        let line = "0 function(s) changed by the patch, 1 by the optimiser (1 profile), 0 new";
        assert!(told.stderr.contains(line), "{}", told.stderr);
    }
}

/// Every case of the corpus, patched and with its blocks in another order: what the patch
/// changes is never taken for a matter of order, and much of the rest is.
fn what_the_patch_changes_is_no_matter_of_order() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/cases");
    let include = format!("-I{}", cases.display());
    let others = [
        ("gcc-12", "-fno-reorder-blocks -fno-reorder-blocks-and-partition"),
        ("clang-19", "-mllvm -disable-block-placement"),
    ];
    for (compiler, other) in others.into_iter().filter(|(compiler, _)| runs(compiler)) {
        let lab = Lab::new();
        let mut moved = 0;
        for entry in cases.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "c") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let header = text.lines().filter(|line| line.starts_with("//# changed"));
            let wanted: Vec<&str> = header.flat_map(str::split_whitespace).collect();
            let patched = format!("{include} {other} -DPATCHED");
            if !lab.try_compile(compiler, "orig.o", &path, &include)
                || !lab.try_compile(compiler, "patched.o", &path, &patched)
            {
                continue;
            }
            for (name, reasons) in lab.compare("orig.o", "patched.o").changed() {
                let is_order = reasons.first().is_some_and(|r| r.starts_with("profile: "));
                let named = wanted.contains(&name.as_str());
                assert!(!is_order || !named, "{}: {name}: {reasons:?}", path.display());
                moved += usize::from(is_order);
            }
        }
        assert!(moved > 10, "{compiler}: {moved}");
    }
}
fn clones_that_came_or_went_are_described_as_such() {
    if !runs("gcc-12") {
        return;
    }
    let source = "int in(int); void tick(void);
         static __attribute__((noinline)) int spin(int a, int b) {
             tick(); for (int i = 0; i < b; i++) a += in(a * b); return a; }
         #ifdef MANY
         #define SECOND v
         #else
         #define SECOND 5
         #endif
         int user(int v) { return spin(v, 5) + 1; }
         int other(int v) { return spin(v + 1, SECOND) + 1; }\n";
    let lab = Lab::new();
    let path = lab.file("copies.c", source);
    assert!(lab.try_compile("gcc-12", "one.o", &path, ""));
    assert!(lab.try_compile("gcc-12", "many.o", &path, "-DMANY"));
    let reason = |orig, patched, function: &str| {
        let document = lab.compare(orig, patched).document;
        let functions = document["objects"][0]["functions"].as_array().unwrap().clone();
        let found = functions.iter().find(|f| f["name"] == function).unwrap();
        assert_eq!(found["status"], "new");
        let [reason] = found["reasons"].as_array().unwrap().as_slice() else {
            panic!("{found}");
        };
        ["kind", "before", "after"].map(|key| reason[key].as_str().unwrap().to_owned())
    };
    let copy = "spin.constprop.0 (a copy for constant arguments)";
    assert_eq!(reason("one.o", "many.o", "spin"), ["clone", copy, "spin"]);
    assert_eq!(reason("many.o", "one.o", "spin.constprop.0"), ["clone", "spin", copy]);
}
fn exchanged_ways_are_an_edit() {
    if !runs("gcc-12") {
        return;
    }
    let told = Lab::new().patched(
        "void yes(int); void no(int);
         #ifdef PATCHED
         #define COND(v) !(v)
         #else
         #define COND(v) (v)
         #endif
         int user(int v) { if (COND(v)) yes(v + 7); else no(v + 9); return v; }\n",
    );
    assert!(told.first("user").starts_with("code: "), "{:?}", told.changed());
    assert!(!told.stderr.contains("by the optimiser"), "{}", told.stderr);
}
fn a_callee_that_refers_to_nothing_is_known_by_its_constants() {
    if !runs("gcc-12") {
        return;
    }
    let source = |expression: &str| {
        format!(
            "#ifdef PATCHED
             #define HOW __attribute__((always_inline)) inline
             #else
             #define HOW __attribute__((noinline))
             #endif
             static HOW unsigned mix(unsigned x) {{ return {expression}; }}
             unsigned user(unsigned x) {{ return mix(x) + (mix(x + 1) >> 3); }}\n"
        )
    };
    let told = Lab::new().patched(&source("(x ^ 0x5bd1e995) + (x >> 2)"));
    assert_eq!(told.first("user"), "re-inlined: calls mix -> mix is inlined");
    // The same without a number that says anything.
    let told = Lab::new().patched(&source("(x ^ 5) + (x >> 2)"));
    assert!(told.first("user").starts_with("code: "), "{:?}", told.changed());
}
fn a_callee_that_is_gone_is_known_by_what_it_referred_to() {
    if !runs("gcc-12") {
        return;
    }
    let told = Lab::new().patched(
        "int mark(int); extern int level;
         #ifdef PATCHED
         #define HOW __attribute__((always_inline)) inline
         #else
         #define HOW __attribute__((noinline))
         #endif
         static HOW int helper(int x) { return mark(x + level) * 3; }
         int user(int x) { return helper(x) + helper(x * 2) + 1; }\n",
    );
    assert_eq!(told.first("user"), "re-inlined: calls helper -> helper is inlined");
}
fn one_call_of_two_may_be_inlined() {
    if !runs("gcc-12") {
        return;
    }
    let told = Lab::new().patched(
        "int mark(int); extern int level;
         static __attribute__((noinline)) int helper(int x) { return mark(x + level) * 3; }
         #ifdef PATCHED
         #define FIRST(x) (mark((x) + level) * 3)
         #else
         #define FIRST(x) helper(x)
         #endif
         int user(int x) { return FIRST(x) + helper(x * 2) + 1; }\n",
    );
    assert_eq!(told.first("user"), "re-inlined: calls helper -> helper is inlined");
}
fn a_call_that_the_patch_takes_out_is_an_edit() {
    if !runs("gcc-12") {
        return;
    }
    let told = Lab::new().patched(
        "int mark(int); extern int level;
         __attribute__((noinline)) int helper(int x) { return mark(x + level) * 3; }
         #ifdef PATCHED
         int user(int x) { return mark(x) + 1; }
         #else
         int user(int x) { return helper(x) + 1; }
         #endif\n",
    );
    assert!(told.first("user").starts_with("relocation: "), "{:?}", told.changed());
}

/// A function that used what another object exports, and uses a copy of its own now.
fn a_copy_instead_of_an_import_is_promotion() {
    if !runs("gcc-12") {
        return;
    }
    let text = |table: &str, more: &str, rest: &str| {
        format!(
            ".file \"b.c\"\n.section .text.user,\"ax\",@progbits\n.globl user\n\
             .type user,@function\nuser: call __fentry__\nmov {table}(,%rdi,4),%eax\n{more}ret\n\
             .size user,.-user\n{rest}"
        )
    };
    let copy = ".section .rodata.tbl.llvm.11,\"a\",@progbits\n.type tbl.llvm.11,@object\n\
                tbl.llvm.11: .long 1,2,3,4\n.size tbl.llvm.11,16\n";
    for (more, kind) in [("", "promoted: "), ("add $1,%eax\n", "code: ")] {
        let lab = Lab::new();
        let orig = lab.file("orig.s", &text("tbl.llvm.22", "", ""));
        let patched = lab.file("patched.s", &text("tbl.llvm.11", more, copy));
        lab.compile("gcc-12", "orig.o", &orig, "");
        lab.compile("gcc-12", "patched.o", &patched, "");
        let told = lab.compare("orig.o", "patched.o");
        assert!(told.first("user").starts_with(kind), "{:?}", told.changed());
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("another_profile_moves_blocks", another_profile_moves_blocks),
        (
            "what_the_patch_changes_is_no_matter_of_order",
            what_the_patch_changes_is_no_matter_of_order,
        ),
        (
            "clones_that_came_or_went_are_described_as_such",
            clones_that_came_or_went_are_described_as_such,
        ),
        ("exchanged_ways_are_an_edit", exchanged_ways_are_an_edit),
        (
            "a_callee_that_refers_to_nothing_is_known_by_its_constants",
            a_callee_that_refers_to_nothing_is_known_by_its_constants,
        ),
        (
            "a_callee_that_is_gone_is_known_by_what_it_referred_to",
            a_callee_that_is_gone_is_known_by_what_it_referred_to,
        ),
        ("one_call_of_two_may_be_inlined", one_call_of_two_may_be_inlined),
        ("a_call_that_the_patch_takes_out_is_an_edit", a_call_that_the_patch_takes_out_is_an_edit),
        ("a_copy_instead_of_an_import_is_promotion", a_copy_instead_of_an_import_is_promotion),
    ])
}
