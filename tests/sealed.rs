//! Pointers to functions of the kernel that indirect branches may not land on: refused, with
//! both functions named; calls, and pointers that can be called, are not.
//!
//! The small kernels are our own C; a test whose tools are missing says `skipped`. Those on
//! the real kernel need `KLP_DIFF_DATA`.

#[path = "common/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::running::image::KernelImage;
use klp_diff::running::indirect_targets::{Closed, IndirectTargets};

const FLAGS: [&str; 11] = [
    "-O2",
    "-c",
    "-ffunction-sections",
    "-fdata-sections",
    "-pg",
    "-mfentry",
    "-fno-pic",
    "-mcmodel=kernel",
    "-fcf-protection=branch",
    "-fno-asynchronous-unwind-tables",
    "-mno-red-zone",
];

fn have(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| {
        let run = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
        !run.is_ok_and(|status| status.success())
    });
    if let Some(tool) = missing {
        crate::suite::lacks(format!("{tool} is not installed"));
    }
    missing.is_none()
}

fn succeeds(command: &mut Command) {
    let output = suite::output(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn compile(folder: &Path, name: &str, text: &str) -> PathBuf {
    std::fs::create_dir_all(folder).expect("folder");
    std::fs::write(folder.join(format!("{name}.c")), text).expect("source");
    let mut gcc = Command::new("gcc");
    gcc.current_dir(folder).args(FLAGS).args(["-o", &format!("{name}.o"), &format!("{name}.c")]);
    succeeds(&mut gcc);
    folder.join(format!("{name}.o"))
}

/// Runs `klp-diff`; gives exit status and standard error.
fn klp_diff(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
        .args(arguments)
        .output()
        .expect("klp-diff runs");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

/// The rest of the kernel: functions that can and cannot be called through a pointer.
const KERNEL: &str = r#"
int sealed(int x) { return x + 1; }
int open(int x) { return x + 2; }
__attribute__((nocf_check)) int unmarked(int x) { return x + 3; }
asm(".pushsection .ibt_endbr_seal,\"a\"; .long sealed - ., padding - .; .popsection");
int padding(void) { return 0; }
asm(".pushsection .static_call.text,\"ax\"; .globl __SCT__hook; .type __SCT__hook, @function;"
	"__SCT__hook: jmp open; .size __SCT__hook, . - __SCT__hook; .popsection");
void update(int (*hook)(int)) {}
__attribute__((no_instrument_function)) void __fentry__(void) {}
"#;

/// A function whose body is to be filled in.
fn source(body: &str) -> String {
    format!(
        "extern int sealed(int), open(int), padding(void), __SCT__hook(int);\n\
         extern void update(int (*)(int));\n\
         extern __attribute__((nocf_check)) int unmarked(int);\n\
         typedef int (*fn)(int);\nextern int run(fn);\n\
         int caller(int x) {{ {body} }}\n"
    )
}

/// A small kernel made from the original object, in a folder of its own.
struct Small {
    folder: tempfile::TempDir,
    orig: PathBuf,
    image: PathBuf,
}

impl Small {
    fn new(orig_body: &str) -> Option<Small> {
        if !have(&["gcc", "ld"]) {
            return None;
        }
        let folder = tempfile::tempdir().expect("folder");
        let orig = compile(&folder.path().join("orig"), "file", &source(orig_body));
        let run = "typedef int (*fn)(int); __attribute__((noinline)) int run(fn f) { return f(1) + 1; }\n";
        let rest = compile(folder.path(), "rest", &format!("{KERNEL}{run}"));
        let image = folder.path().join("vmlinux");
        let mut ld = Command::new("ld");
        ld.args(["-e", "0", "-Ttext=0xffffffff81000000", "-o"]).arg(&image).arg(&orig).arg(rest);
        succeeds(&mut ld);
        Some(Small { folder, orig, image })
    }

    /// Compares the original with a patched body.
    fn diff(&self, body: &str, more: &[&str]) -> (Option<i32>, String) {
        let patched = compile(&self.folder.path().join("patched"), "file", &source(body));
        let image = self.image.display().to_string();
        let paths = [&self.orig, &patched].map(|p| p.display().to_string());
        klp_diff(&[&["--image", &image, &paths[0], &paths[1]], more].concat())
    }
}

const CALLS: &str = "return sealed(x) + unmarked(x) + open(x) + padding();";
fn pointers_to_closed_functions_are_refused() {
    let Some(small) = Small::new(CALLS) else { return };
    // Immediate, member of static data, argument in a register: all are pointers.
    let pointers = [
        "return run(TARGET) + 1;",
        "static fn ops[] = { open, TARGET }; return ops[x & 1](x) + 1;",
        "static fn last; fn old = last; last = TARGET; return old ? old(x) : 2;",
    ];
    for body in pointers {
        for (target, why) in [("sealed", "it removed the marker"), ("unmarked", "it has no marker")]
        {
            let (exit, text) = small.diff(&body.replace("TARGET", target), &[]);
            assert_eq!(exit, Some(2), "{body} {target}: {text}");
            assert!(text.contains(why) && text.contains(&format!("'{target}'")), "{text}");
            assert!(text.contains("call") && text.contains("--allow-sealed"), "{text}");
            let user = if body.contains("ops") { "'ops" } else { "'caller'" };
            assert!(text.contains(user), "{text}");
        }
        let (exit, text) = small.diff(&body.replace("TARGET", "open"), &[]);
        assert_eq!(exit, Some(0), "{body}: {text}");
    }
}
fn calls_and_jumps_are_no_pointers() {
    let Some(small) = Small::new("return open(x) + 1;") else { return };
    for body in [CALLS, "return sealed(x + 5);", "if (x > 7) return unmarked(x); return 3;"] {
        let (exit, text) = small.diff(body, &[]);
        assert_eq!(exit, Some(0), "{body}: {text}");
    }
}
fn what_the_original_takes_is_not_new() {
    // objtool sealed it although it saw this: it is not called through it.
    let Some(small) = Small::new("return x == (int)(long)sealed;") else { return };
    let (exit, text) = small.diff("return x == (int)(long)sealed + 1 || run(sealed);", &[]);
    assert_eq!(exit, Some(0), "{text}");
    assert_eq!(small.diff("return run(unmarked) + 1;", &[]).0, Some(2));
}
fn the_user_may_know_better() {
    let Some(small) = Small::new(CALLS) else { return };
    let both = "return run(sealed) + run(unmarked);";
    let (exit, text) = small.diff(both, &[]);
    assert_eq!(exit, Some(2));
    assert!(
        text.contains("2 pointers") && text.contains("'sealed'") && text.contains("'unmarked'")
    );
    let (exit, text) = small.diff(both, &["--allow-sealed", "sealed"]);
    assert_eq!(exit, Some(2));
    assert!(!text.contains("'sealed'"), "{text}");
    let allowed = ["--allow-sealed", "sealed", "--allow-sealed=unmarked"];
    assert_eq!(small.diff(both, &allowed).0, Some(0));
}

/// `static_call_update` takes the address of a trampoline, which is never called through it.
fn trampolines_of_static_calls_are_no_targets() {
    let Some(small) = Small::new("return __SCT__hook(x);") else { return };
    let image = std::fs::read(&small.image).expect("image");
    let image = KernelImage::parse("vmlinux", &image).expect("image");
    let table = image.table().expect("table");
    let targets = IndirectTargets::read(&image).expect("seals").expect("tracked");
    let trampoline = table.named("__SCT__hook")[0];
    assert_eq!(targets.closed(&table, trampoline), Some(Closed::NoMarker));
    let symvers = small.folder.path().join("symvers");
    std::fs::write(&symvers, "0x0\t__SCT__hook\tvmlinux\tEXPORT_SYMBOL\t\n").expect("writes");
    let out = small.folder.path().join("out.o").display().to_string();
    let more = ["--symvers", &symvers.display().to_string(), "-o", &out];
    for body in [
        "update(__SCT__hook); return 0;",
        "return __SCT__hook(x) + 1;",
        "if (x) update(__SCT__hook); return __SCT__hook(x);",
    ] {
        let (exit, text) = small.diff(body, &more);
        assert_eq!(exit, Some(0), "{body}: {text}");
        // Exported: the module loader finds it by its name.
        let data = std::fs::read(&out).expect("output");
        let object = Object::<Patched>::parse("out.o", &data).expect("well-formed");
        let named = |name: &str| object.symbols().find(|&s| object.symbol_name(s) == name);
        let plain = named("__SCT__hook").expect("is referenced");
        assert!(object.section_of(plain).is_none(), "{body}: is undefined");
        let strings = object.sections().find(|&s| object.section_name(s) == ".kpatch.strings");
        let strings = String::from_utf8_lossy(object.contents(strings.expect("strings")));
        assert!(!strings.contains("__SCT__"), "{body}: {strings}");
    }
}
fn with_outputs_reports_and_folders() {
    let Some(small) = Small::new(CALLS) else { return };
    let out = small.folder.path().join("out.o");
    let json = small.folder.path().join("out.json");
    let shown = |p: &Path| p.display().to_string();
    let body = "return run(sealed) + 1;";
    let (exit, _) = small.diff(body, &["-o", &shown(&out), "--json", &shown(&json)]);
    assert_eq!(exit, Some(2));
    assert!(!out.exists(), "nothing is written");
    let report = std::fs::read_to_string(json).expect("report");
    assert!(report.contains("\"sealed-target\""), "{report}");
    let folders = ["orig", "patched"].map(|f| shown(&small.folder.path().join(f)));
    let image = shown(&small.image);
    let tree = ["--image", &image, &folders[0], &folders[1]];
    assert_eq!(klp_diff(&tree).0, Some(2));
    assert_eq!(klp_diff(&[&tree[..], &["--allow-sealed", "sealed"]].concat()).0, Some(0));
    // Without an image nothing is known about the kernel's functions.
    assert_eq!(klp_diff(&tree[2..]).0, Some(0));
}
fn kernels_without_tracking_have_no_closed_functions() {
    if !have(&["gcc", "ld"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let text = "int f(void) { return 1; } int g(void) { return 2; } void __fentry__(void) {}";
    let object = compile(folder.path(), "plain", text);
    let image = folder.path().join("vmlinux");
    for (flag, tracks) in [("-fcf-protection=none", false), ("-fcf-protection=branch", true)] {
        let mut gcc = Command::new("gcc");
        gcc.current_dir(folder.path()).args(FLAGS).args([flag, "-o", "plain.o", "plain.c"]);
        succeeds(&mut gcc);
        succeeds(Command::new("ld").args(["-e", "0", "-o"]).arg(&image).arg(&object));
        let data = std::fs::read(&image).expect("image");
        let image = KernelImage::parse("vmlinux", &data).expect("image");
        assert_eq!(IndirectTargets::read(&image).expect("no seals").is_some(), tracks, "{flag}");
    }
}
fn modules_list_theirs_by_relocations() {
    if !have(&["gcc"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let path = compile(folder.path(), "module", KERNEL);
    let data = std::fs::read(path).expect("object");
    let image = KernelImage::parse("module.ko", &data).expect("image");
    let table = image.table().expect("table");
    let targets = IndirectTargets::read(&image).expect("seals").expect("tracked");
    assert_eq!(targets.sealed_count(), 2);
    let closed = |name: &str| targets.closed(&table, table.named(name)[0]);
    assert_eq!(closed("sealed"), Some(Closed::Sealed));
    assert_eq!(closed("padding"), Some(Closed::Sealed));
    assert_eq!(closed("unmarked"), Some(Closed::NoMarker));
    assert_eq!(closed("open"), None);
}
fn a_list_that_is_damaged_is_an_error() {
    let Some(small) = Small::new(CALLS) else { return };
    let data = std::fs::read(&small.image).expect("image");
    let place = {
        let image = KernelImage::parse("vmlinux", &data).expect("image");
        let seals = image.elf.section_named(".ibt_endbr_seal").expect("seals");
        seals.data.as_ptr() as usize - data.as_ptr() as usize
    };
    let mut damaged = data.clone();
    damaged[place..place + 4].fill(0);
    let image = KernelImage::parse("vmlinux", &damaged).expect("image");
    let Err(error) = IndirectTargets::read(&image) else { panic!("accepted") };
    assert_eq!(error.code(), klp_diff::diag::Code::MalformedSeals);
}

/// A kernel with 7,878 sealed functions. Which of these is sealed was worked out from the
/// image's bytes by other means.
fn a_real_kernel() {
    let Some(root) = std::env::var_os("KLP_DIFF_DATA").map(PathBuf::from) else {
        crate::suite::lacks("KLP_DIFF_DATA is unset");
        return;
    };
    if !have(&["tar", "xz", "gcc"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let archive = root.join("kernel-lto/boot/vmlinux-images.tar.xz");
    succeeds(Command::new("tar").arg("xf").arg(archive).arg("-C").arg(folder.path()));
    for name in ["vmlinux", "vmlinux.bolt"] {
        let path = folder.path().join(name);
        let data = std::fs::read(&path).expect("image");
        let image = KernelImage::parse(name, &data).expect("image");
        let targets = IndirectTargets::read(&image).expect("seals").expect("tracked");
        assert_eq!(targets.sealed_count(), 7878, "{name}");
        let text = |body: &str| {
            format!(
                "typedef void (*fn)(void); extern void notify_die(void), xas_destroy(void), \
                 kfree(void), single_open(void);\nvoid get_avenrun(fn *to) {{ {body} }}\n"
            )
        };
        let orig = compile(&folder.path().join("o"), "f", &text("notify_die(); xas_destroy();"));
        for (target, exit) in
            [("notify_die", 2), ("xas_destroy", 2), ("kfree", 0), ("single_open", 0)]
        {
            let body = text(&format!("*to = {target}; notify_die();"));
            let patched = compile(&folder.path().join("p"), "f", &body);
            let paths = [&path, &orig, &patched].map(|p| p.display().to_string());
            let arguments = ["--image", &paths[0], &paths[1], &paths[2]];
            let (found, text) = klp_diff(&arguments);
            assert_eq!(found, Some(exit), "{name} {target}: {text}");
            if exit == 2 {
                assert!(text.contains("'get_avenrun'") && text.contains(&format!("'{target}'")));
                let allowed = [&arguments[..], &["--allow-sealed", target]].concat();
                assert_eq!(klp_diff(&allowed).0, Some(0));
            }
        }
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("pointers_to_closed_functions_are_refused", pointers_to_closed_functions_are_refused),
        ("calls_and_jumps_are_no_pointers", calls_and_jumps_are_no_pointers),
        ("what_the_original_takes_is_not_new", what_the_original_takes_is_not_new),
        ("the_user_may_know_better", the_user_may_know_better),
        ("trampolines_of_static_calls_are_no_targets", trampolines_of_static_calls_are_no_targets),
        ("with_outputs_reports_and_folders", with_outputs_reports_and_folders),
        (
            "kernels_without_tracking_have_no_closed_functions",
            kernels_without_tracking_have_no_closed_functions,
        ),
        ("modules_list_theirs_by_relocations", modules_list_theirs_by_relocations),
        ("a_list_that_is_damaged_is_an_error", a_list_that_is_damaged_is_an_error),
        ("a_real_kernel", a_real_kernel),
    ])
}
