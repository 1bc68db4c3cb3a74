//! `--flavor klp-build`: what the kernel's klp-build links a livepatch module from, and the
//! wrapper by which it gets it.

#[path = "common/suite.rs"]
mod suite;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

#[path = "common/patch.rs"]
#[allow(dead_code)]
mod patch;

const SOURCE: &str = r#"
extern int ext(int, const char *);
static int counter;
__attribute__((noinline)) static int helper(int a) { counter += a; return ext(counter, "h"); }
int other(int a) { return helper(a + 1) + helper(a + 2); }
int caller(int a)
{
#ifdef PATCHED
	return helper(a) + counter + 5;
#else
	return helper(a) + counter;
#endif
}
#if defined(PATCHED) && defined(CALLBACK)
#define KLP(kind) __klp_##kind##_callback_
#define PASTE(a, b) a##b
#define NAME(a, b) PASTE(a, b)
#define POINTER __attribute__((used, section(".discard.klp_callback_ptrs")))
static int before(void *object) { return counter; }
int (*NAME(KLP(pre_patch), CALLBACK))(void *) POINTER = before;
static void after(void *object) { counter++; }
void (*NAME(KLP(post_unpatch), CALLBACK))(void *) POINTER = after;
#endif
static const char license[] __attribute__((used, section(".modinfo"))) = INFO;
static const char space[] __attribute__((used, section(".modinfo"))) = "import_ns=SPACE";
"#;

const OPTIONS: &str = "-c -O2 -std=gnu11 -w -ffunction-sections -fdata-sections -pg -mfentry \
    -fno-pic -mcmodel=kernel -fno-stack-protector -fno-asynchronous-unwind-tables \
    -fcf-protection=none";

struct Lab(TempDir);

impl Lab {
    /// A folder with `orig/foo-bar.o` and `patched/foo-bar.o`; `None` without a compiler.
    fn new(more: &str) -> Option<Lab> {
        let lab = Lab(tempfile::tempdir().unwrap());
        std::fs::write(lab.path("file.c"), SOURCE).unwrap();
        for (define, folder) in [("ORIG", "orig"), ("PATCHED", "patched")] {
            let info = if more.contains("INFO") { "" } else { "-DINFO=\"license=GPL\"" };
            let options = format!("{OPTIONS} {more} {info}");
            patch::compile("gcc", &options, lab.0.path(), define)?;
            std::fs::create_dir(lab.path(folder)).unwrap();
            std::fs::rename(lab.path(define), lab.path(folder).join("foo-bar.o")).unwrap();
        }
        Some(lab)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Exit status, standard output, standard error.
    fn run(&self, program: &Path, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.0.path());
        command.env("KLP_DIFF", env!("CARGO_BIN_EXE_klp-diff"));
        let output = suite::output(&mut command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn ours(&self, args: &[&str]) -> (i32, String, String) {
        self.run(Path::new(env!("CARGO_BIN_EXE_klp-diff")), args)
    }

    /// What the output means.
    fn lines(&self, name: &str) -> Vec<String> {
        let (exit, text, error) = self.ours(&["dump", name]);
        assert_eq!(exit, 0, "{error}");
        text.lines().map(str::to_owned).collect()
    }
}

const PAIR: [&str; 2] = ["orig/foo-bar.o", "patched/foo-bar.o"];

fn build<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["--flavor", "klp-build", "-o", "out.o"], more, &PAIR].concat()
}

fn assert_has(lines: &[String], wanted: &[&str]) {
    for wanted in wanted {
        assert!(lines.iter().any(|l| l == wanted), "no line {wanted:?} in {lines:#?}");
    }
}
fn a_module_is_described_by_its_own_object() {
    let Some(lab) = Lab::new("-DCALLBACK=foo_bar") else { return };
    let (exit, _, error) = lab.ours(&build(&[]));
    assert_eq!(exit, 0, "{error}");
    let lines = lab.lines("out.o");
    assert_has(
        &lines,
        &[
            "klpobject name=str:\"foo_bar\" funcs=sec:.init.klp_funcs+0 pre_patch=before+0 \
             post_unpatch=after+0 nr_funcs=1",
            "klpfunc old=str:\"caller\" new=caller+0 sympos=0",
            "symbol .klp.tombstone.counter type=1 bind=2 other=0 value=0x0 size=0 in=UND",
            "symbol .klp.sym.foo_bar.helper,0 type=2 bind=2 other=0 value=0x0 size=0 in=UND",
        ],
    );
    let count = |start: &str| lines.iter().filter(|l| l.starts_with(start)).count();
    assert_eq!(count("klpreloc obj=foo_bar "), 4, "{lines:#?}");
    assert_eq!(count("section .modinfo "), 1);
    // objtool makes the list of entries on the linked module.
    assert_eq!(count("section __mcount_loc"), 0);
    assert!(!lines.iter().any(|l| l.contains(".kpatch.")), "{lines:#?}");
}
fn the_kernel_lies_beside_its_object() {
    let Some(lab) = Lab::new("") else { return };
    for folder in ["orig", "patched"] {
        std::fs::rename(lab.path(folder).join("foo-bar.o"), lab.path(folder).join("vmlinux.o"))
            .unwrap();
    }
    let pair = ["orig/vmlinux.o", "patched/vmlinux.o"];
    let args = [&["--flavor", "klp-build", "-o", "out.o"][..], &pair].concat();
    let (exit, _, error) = lab.ours(&args);
    assert_eq!(exit, 1, "{error}");
    assert!(error.contains("[unknown-object]"), "{error}");
    let mut ld = Command::new("ld");
    ld.args(["-e", "0", "--unresolved-symbols=ignore-all", "-Ttext=0xffffffff81000000"])
        .args(["-o", "orig/vmlinux", "orig/vmlinux.o"])
        .current_dir(lab.0.path());
    let linked = suite::output(&mut ld);
    assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
    let (exit, _, error) = lab.ours(&args);
    assert_eq!(exit, 0, "{error}");
    let lines = lab.lines("out.o");
    let object = lines.iter().find(|l| l.starts_with("klpobject")).unwrap();
    assert_eq!(object, "klpobject funcs=sec:.init.klp_funcs+0 nr_funcs=1");
    assert!(lines.iter().any(|l| l.starts_with("klpreloc obj=vmlinux ")), "{lines:#?}");
}
fn sites_that_the_compiler_listed_are_listed() {
    let Some(lab) = Lab::new("-mrecord-mcount") else { return };
    let (exit, _, error) = lab.ours(&build(&[]));
    assert_eq!(exit, 0, "{error}");
    assert_has(&lab.lines("out.o"), &["rela __mcount_loc+0x0 type=1 caller+0"]);
}
fn it_must_be_known_what_is_patched() {
    // Code of the kernel itself names the module in front.
    let Some(lab) = Lab::new("-DINFO=\"foo.license=GPL\"") else { return };
    let (exit, _, error) = lab.ours(&build(&[]));
    assert_eq!(exit, 1, "{error}");
    assert!(error.contains("neither vmlinux.o nor the object of a module"), "{error}");
    assert!(!lab.path("out.o").exists());
    let Some(lab) = Lab::new("-DINFO=\"name=given\"") else { return };
    let (exit, _, error) = lab.ours(&build(&[]));
    assert_eq!(exit, 0, "{error}");
    assert!(lab.lines("out.o").iter().any(|l| l.starts_with("klpobject name=str:\"given\" ")));
}
fn callbacks_that_nobody_would_call_are_refused() {
    let Some(lab) = Lab::new("-DCALLBACK=other") else { return };
    let (exit, _, error) = lab.ours(&build(&[]));
    assert_eq!(exit, 2, "{error}");
    assert!(error.contains("is a callback for other, but foo_bar is patched"), "{error}");
    let Some(lab) = Lab::new("-DCALLBACK=foo_bar") else { return };
    for flavor in ["kpatch", "klp"] {
        let args = [
            "--flavor",
            flavor,
            "-o",
            "out.o",
            "--image",
            "foo_bar=orig/foo-bar.o",
            PAIR[0],
            PAIR[1],
        ];
        let (exit, _, error) = lab.ours(&args);
        assert_eq!(exit, 2, "{error}");
        assert!(error.contains("[unknown-callback]"), "{error}");
    }
}
fn the_wrapper_answers_diff_and_passes_the_rest_on() {
    let Some(lab) = Lab::new("") else { return };
    let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/klp-build/objtool");
    let (exit, text, error) =
        lab.run(&wrapper, &["klp", "diff", "--debug", PAIR[0], PAIR[1], "out.o"]);
    assert_eq!(exit, 0, "{error}");
    assert!(text.contains("orig/foo-bar.o: changed function: caller\n"), "{text}");
    assert!(lab.path("out.o").exists());
    let (exit, text, error) = lab.run(&wrapper, &["klp", "diff", PAIR[0], PAIR[0], "none.o"]);
    assert_eq!((exit, &*text), (0, ""), "{error}");
    assert!(!lab.path("none.o").exists(), "nothing changed: no file");
    let (exit, _, error) = lab.run(&wrapper, &["klp", "diff", PAIR[0], "missing.o", "none.o"]);
    assert_eq!(exit, 255, "{error}");
    // The kernel's own, in a tree above the current folder.
    let real = lab.path("tools/objtool/objtool");
    std::fs::create_dir_all(real.parent().unwrap()).unwrap();
    std::fs::write(&real, "#!/bin/sh\necho \"real: $*\"\nexit 7\n").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (exit, text, _) = lab.run(&wrapper, &["klp", "post-link", "a b.ko"]);
    assert_eq!((exit, &*text), (7, "real: klp post-link a b.ko\n"));
    let (exit, text, _) = lab.run(&wrapper, &["--ibt", "--link", "vmlinux.o"]);
    assert_eq!((exit, &*text), (7, "real: --ibt --link vmlinux.o\n"));
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("a_module_is_described_by_its_own_object", a_module_is_described_by_its_own_object),
        ("the_kernel_lies_beside_its_object", the_kernel_lies_beside_its_object),
        ("sites_that_the_compiler_listed_are_listed", sites_that_the_compiler_listed_are_listed),
        ("it_must_be_known_what_is_patched", it_must_be_known_what_is_patched),
        (
            "callbacks_that_nobody_would_call_are_refused",
            callbacks_that_nobody_would_call_are_refused,
        ),
        (
            "the_wrapper_answers_diff_and_passes_the_rest_on",
            the_wrapper_answers_diff_and_passes_the_rest_on,
        ),
    ])
}
