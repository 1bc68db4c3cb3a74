//! How functions begin, in every form that x86 compilers give them: markers of branch targets,
//! kCFI's hash, padding, calls to fentry or NOPs; with thunks for indirect calls and returns.
//! Verdicts are the same in all of them, and every output has its ftrace sites where they are.

#[path = "common/suite.rs"]
mod suite;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;

/// `helper` is unchanged, but its address escapes in the patched object: it gains a marker,
/// and with kCFI a hash. `typed` changes its type alone. `chain` calls a function that is in
/// the patch, `tail` jumps to one.
const SOURCE: &str = r#"
#ifdef PATCHED
#define P 1
#else
#define P 0
#endif
typedef int (*fn)(int);
extern int sink(int), table(int);
int user(int x);
#ifdef PATCHED
int typed(long x, long y);
#else
int typed(int x);
#endif
extern void keep(fn);
static __attribute__((noinline)) int helper(int x)
{
	if (sink(x) & 4)
		x += table(x);
	return x * 3;
}
__attribute__((noinline)) int user(int x) { return helper(x) + helper(x + 7) + P; }
int chain(int x) { return user(x) * 3 + P; }
int tail(int x) { return user(x + 5 + P); }
void *pick(int x) { return x > P ? (void *)user : (void *)typed; }
int other(int x)
{
#ifdef PATCHED
	keep(helper);
#endif
	return helper(x) * 2;
}
#ifdef PATCHED
int typed(long x, long y) { return sink(x) + 1; }
int indirect(void *f) { return ((int (*)(long, long))f)(1, 2) + 2; }
#else
int typed(int x) { return sink(x) + 1; }
int indirect(void *f) { return ((int (*)(int))f)(1) + 2; }
#endif
"#;

const FLAGS: [&str; 12] = [
    "-O2",
    "-c",
    "-w",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-pic",
    "-mcmodel=kernel",
    "-fno-asynchronous-unwind-tables",
    "-fno-stack-protector",
    "-mno-red-zone",
    // As the kernel: alignment inside of functions would move with a marker.
    "-falign-jumps=1",
    "-falign-loops=1",
];

/// Thunks that the kernel exports.
const SYMVERS: &str = "0x0\t__x86_return_thunk\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x0\t__x86_indirect_thunk_rax\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x0\t__x86_indirect_thunk_rdi\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x0\t__x86_indirect_thunk_r11\tvmlinux\tEXPORT_SYMBOL\t\n";

/// One way to compile.
#[derive(Clone, Debug)]
struct Form {
    compiler: &'static str,
    flags: Vec<&'static str>,
}

impl Form {
    fn has(&self, part: &str) -> bool {
        self.flags.iter().any(|f| f.contains(part))
    }

    fn all(compiler: &'static str) -> Vec<Form> {
        let gcc = compiler.starts_with("gcc");
        let no: &[&str] = &[];
        let branch = [no, &["-fcf-protection=branch"]];
        let padding =
            [no, &["-fpatchable-function-entry=16,16"], &["-fpatchable-function-entry=11,11"]];
        let thunks: [&[&str]; 2] = match gcc {
            true => [
                no,
                &[
                    "-mindirect-branch=thunk-extern",
                    "-mindirect-branch-register",
                    "-mfunction-return=thunk-extern",
                ],
            ],
            false => [no, &["-mretpoline-external-thunk", "-mfunction-return=thunk-extern"]],
        };
        let special: [&[&str]; 2] = match gcc {
            true => [no, &["-mnop-mcount", "-mrecord-mcount"]],
            false => [no, &["-fsanitize=kcfi"]],
        };
        let mut forms = Vec::new();
        for (a, b) in branch.iter().flat_map(|a| padding.iter().map(move |b| (a, b))) {
            for (c, d) in thunks.iter().flat_map(|c| special.iter().map(move |d| (c, d))) {
                let none: &[&str] = if a.is_empty() { &["-fcf-protection=none"] } else { &[] };
                let flags = [&["-pg", "-mfentry"], none, *a, *b, *c, *d].concat();
                forms.push(Form { compiler, flags });
            }
        }
        forms
    }

    fn compile(&self, folder: &Path, name: &str, define: &str) -> PathBuf {
        let output = folder.join(name);
        let mut run = Command::new(self.compiler);
        run.args(FLAGS).args(&self.flags).arg(define).arg("-o").arg(&output);
        let done = run.arg(folder.join("file.c")).output().expect("compiler runs");
        assert!(done.status.success(), "{self:?}: {}", String::from_utf8_lossy(&done.stderr));
        output
    }
}

fn is_installed(tool: &str) -> bool {
    let mut run = Command::new(tool);
    run.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

/// Compares and builds; gives the lines of standard output, and the object.
fn run(form: &Form, folder: &Path) -> (String, Vec<u8>) {
    let orig = form.compile(folder, "orig.o", "-DORIG");
    let patched = form.compile(folder, "patched.o", "-DPATCHED");
    let symtab = Command::new("readelf").args(["-s", "--wide"]).arg(&orig).output().expect("runs");
    std::fs::write(folder.join("symtab"), symtab.stdout).expect("symtab");
    std::fs::write(folder.join("symvers"), SYMVERS).expect("symvers");
    let out = folder.join("out.o");
    let _ = std::fs::remove_file(&out);
    let mut diff = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
    diff.arg("--symtab").arg(folder.join("symtab")).arg("--symvers").arg(folder.join("symvers"));
    let done = diff.arg("-o").arg(&out).args([&orig, &patched]).output().expect("klp-diff runs");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{form:?}: {text}{errors}");
    (text, std::fs::read(out).expect("output"))
}

fn check(form: &Form, folder: &Path) {
    let (text, bytes) = run(form, folder);
    let changed: BTreeSet<&str> =
        text.lines().filter_map(|l| l.strip_prefix("changed function: ")).collect();
    let kcfi = form.has("kcfi");
    let mut wanted = BTreeSet::from(["user", "chain", "tail", "other", "indirect", "pick"]);
    if kcfi {
        wanted.insert("typed");
        assert!(text.contains("  type: function type"), "{form:?}: {text}");
    }
    assert_eq!(changed, wanted, "{form:?}: {text}");
    let object = Object::<Patched>::parse("out.o", &bytes).expect("well-formed");
    let section = |name: &str| object.sections().find(|&s| object.section_name(s) == name);
    check_sites(form, &object, &wanted);
    // One check of a type, in `indirect`; its row comes with it, and no other.
    let traps = section(".kcfi_traps").map_or(0, |s| object.section_size(s));
    assert_eq!(traps, if kcfi { 4 } else { 0 }, "{form:?}");
    // What is in the patch is called there, by a call or by a jump.
    for caller in ["chain", "tail"] {
        let code = section(&format!(".text.{caller}")).expect("code");
        let calls = object.relocs(code).iter().filter(|r| {
            let owner = object.section_of(r.symbol);
            owner.is_some_and(|s| object.section_name(s) == ".text.user")
        });
        assert_eq!(calls.count(), 1, "{form:?}: {caller}");
    }
    // A pointer leads to the kernel's function, which ftrace redirects, unless its type is
    // another now: the hash before the kernel's is the old one.
    let code = section(".text.pick").expect("code");
    let own: Vec<&str> = object
        .relocs(code)
        .iter()
        .map(|r| object.symbol_name(r.symbol))
        .filter(|name| ["user", "typed"].contains(name))
        .collect();
    assert_eq!(own, if kcfi { &["typed"][..] } else { &[] }, "{form:?}");
    // The kernel exports the thunks, so the module loader finds them.
    let relocations = section(".kpatch.strings").map(|s| object.contents(s)).unwrap_or_default();
    let klp = String::from_utf8_lossy(relocations);
    assert!(!klp.contains("thunk"), "{form:?}: {klp}");
    let thunk = object.symbols().any(|s| object.symbol_name(s) == "__x86_return_thunk");
    assert_eq!(thunk, form.has("thunk-extern"), "{form:?}");
    assert!(klp.contains("helper"), "{form:?}: only the kernel has it");
}

/// Each function of the patch has one site, at its start or behind the marker.
fn check_sites(form: &Form, object: &Object<'_, Patched>, wanted: &BTreeSet<&str>) {
    let table = object.sections().find(|&s| object.section_name(s) == "__mcount_loc");
    let table = table.expect("sites");
    let mut found = BTreeSet::new();
    for reloc in object.relocs(table).iter() {
        let name = object.symbol_name(reloc.symbol);
        let code = object.section_of(reloc.symbol).expect("a function of the patch");
        let value = object.symbol_value(reloc.symbol);
        let data = object.contents(code);
        let marked = data[value as usize..].starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]);
        assert_eq!(marked, form.has("cf-protection=branch"), "{form:?}: {name}");
        assert_eq!(reloc.addend, if marked { 4 } else { 0 }, "{form:?}: {name}");
        let site = value + reloc.addend as u64;
        let bytes = &data[site as usize..site as usize + 5];
        let call = object.relocs(code).iter().find(|r| r.offset == site + 1);
        let fentry = call.is_some_and(|r| object.symbol_name(r.symbol) == "__fentry__");
        assert_eq!(fentry, !form.has("nop-mcount"), "{form:?}: {name}");
        let nop = [0x0f, 0x1f, 0x44, 0, 0];
        assert!(if fentry { bytes[0] == 0xe8 } else { bytes == nop }, "{form:?}: {name}");
        let lead = match (form.has("kcfi"), form.has("=16,16"), form.has("=11,11")) {
            // clang puts 11 NOPs before the hash where the padding has another size
            (true, true, _) => 32,
            (true, ..) => 16,
            (false, true, _) => 16,
            (false, _, true) => 11,
            (false, ..) => 0,
        };
        assert_eq!(value, lead, "{form:?}: {name}");
        assert!(found.insert(name), "{form:?}: {name} twice");
    }
    assert_eq!(&found, wanted, "{form:?}");
}

fn all_forms(compiler: &'static str) {
    let forms = Form::all(compiler);
    if !is_installed(compiler) {
        crate::suite::lacks(format!("{compiler} is not installed: {} forms", forms.len()));
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("file.c"), SOURCE).expect("source");
    for form in &forms {
        check(form, folder.path());
    }
    assert_eq!(forms.len(), 24);
}
fn gcc_12() {
    all_forms("gcc-12");
}
fn clang_19() {
    all_forms("clang-19");
}
fn clang_22() {
    all_forms("clang-22");
}

/// What ftrace cannot reach is refused by name, with the reason.
fn functions_without_an_entry() {
    if !is_installed("gcc-12") {
        crate::suite::lacks("gcc-12 is not installed");
        return;
    }
    let cases = [
        ("__attribute__((no_instrument_function))", "-mfentry", "(notrace: "),
        (
            "__attribute__((section(\".noinstr.text\"), no_instrument_function))",
            "-mfentry",
            "(noinstr: .noinstr.text must not be traced)",
        ),
        ("", "-O2", "(no function of the object has an entry for ftrace"),
    ];
    for (attribute, flag, reason) in cases {
        let folder = tempfile::tempdir().expect("folder");
        let source = format!(
            "extern int sink(int); int traced(int x) {{ return sink(x) + 3; }}\n\
             #ifndef PATCHED\n#define PATCHED 0\n#endif\n\
             {attribute} int hidden(int x) {{ return sink(x) + PATCHED; }}\n"
        );
        std::fs::write(folder.path().join("file.c"), source).expect("source");
        let flags = if flag == "-mfentry" { vec!["-pg", flag] } else { vec![flag] };
        let form = Form { compiler: "gcc-12", flags };
        let paths = ["-DPATCHED=0", "-DPATCHED=7"].map(|d| form.compile(folder.path(), &d[2..], d));
        let done = Command::new(env!("CARGO_BIN_EXE_klp-diff")).args(&paths).output();
        let done = done.expect("klp-diff runs");
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{text}");
        assert!(text.contains("function hidden") && text.contains(reason), "{reason}: {text}");
    }
}

/// objtool adds tables, prefix symbols and NOPs; what changed stays what it was.
fn kernel_objects_after_objtool() {
    let Some(root) = std::env::var_os("KLP_DIFF_DATA").map(PathBuf::from) else {
        crate::suite::lacks("KLP_DIFF_DATA is unset");
        return;
    };
    if !["tar", "xz"].into_iter().all(is_installed) {
        crate::suite::lacks("tar or xz is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(root.join("kernel-lto/kdir-lto.tar.xz")).arg("-C").arg(folder.path());
    let done = tar.args(["--wildcards", "*/tools/objtool/objtool"]).status().expect("tar runs");
    assert!(done.success());
    let objtool = folder.path().join("kdir/tools/objtool/objtool");
    let options = "--hacks=jump_label --hacks=noinstr --hacks=skylake --ibt --cfi --mcount --mnop \
                   --orc --retpoline --rethunk --sls --static-call --uaccess --prefix=11 --link";
    let env = std::fs::read_to_string(root.join("kernel-lto/env")).expect("struct sizes");
    let verdict = |paths: &[PathBuf; 2]| {
        let mut diff = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        diff.envs(env.split_whitespace().filter_map(|l| l.split_once('=')));
        let done = diff.args(paths).output().expect("klp-diff runs");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        let named = text.lines().filter(|l| !l.starts_with(' ')).map(str::to_owned);
        (done.status.code(), named.collect::<Vec<_>>())
    };
    let pairs = [
        ("a-meminfo", "fs/proc/meminfo.o", 0),
        ("b-capable", "kernel/capability.o", 0),
        ("d-newfunc", "fs/proc/uptime.o", 0),
        ("e-syscall", "kernel/reboot.o", 0),
        ("h-data", "fs/pipe.o", 2),
        ("g-comment", "kernel/workqueue.o", 3),
        ("g-comment", "drivers/tty/tty_io.o", 3),
    ];
    for (pair, object, exit) in pairs {
        let side = |s: &str| root.join("kernel-lto/pairs").join(pair).join(s).join(object);
        let before = ["orig", "patched"].map(side);
        let after = ["orig", "patched"].map(|name| folder.path().join(name));
        for (from, to) in before.iter().zip(&after) {
            std::fs::copy(from, to).expect("copies");
            let run = Command::new(&objtool).args(options.split_whitespace()).arg(to).output();
            assert!(run.expect("objtool runs").status.success(), "{pair}");
        }
        let found = verdict(&before);
        assert_eq!(found.0, Some(exit), "{pair}: {found:?}");
        assert_eq!(verdict(&after), found, "{pair}: {object}");
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("gcc_12", gcc_12),
        ("clang_19", clang_19),
        ("clang_22", clang_22),
        ("functions_without_an_entry", functions_without_an_entry),
        ("kernel_objects_after_objtool", kernel_objects_after_objtool),
    ])
}
