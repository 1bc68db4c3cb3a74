//! The header for authors of patches: each macro, compiled against stand-ins for the
//! kernel's headers, and what the comparison makes of it.

#[path = "../../tests/common/suite.rs"]
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use klp_diff::elf::out::{OutHome, OutObject};
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::report::Report;
use klp_diff::{Input, Job, ParentFiles};

/// Kernels before and after static calls came, and the index of printk messages.
const VERSIONS: [[u32; 2]; 6] = [[4, 19], [5, 4], [5, 10], [5, 15], [6, 12], [7, 0]];

const BASE: &str = r#"
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/static_call.h>
#include "kpatch-macros.h"

#ifdef CONFIG_HAVE_STATIC_CALL
int twice(int x);
DECLARE_STATIC_CALL(my_call, twice);
#endif
int changed(int x);
int ignored(int x);
int tunable __attribute__((section(".data.rarely"))) = VALUE;
int changed(int x)
{
#ifdef PATCHED
	KPATCH_PRINTK("klp %d\n", x);
#ifdef CONFIG_HAVE_STATIC_CALL
	x = KPATCH_STATIC_CALL(my_call)(x);
#endif
#endif
	return x + tunable;
}
int ignored(int x) { return x * VALUE; }
#ifdef PATCHED
"#;

const MARKS: &str = "
KPATCH_FORCE_UNSAFE(changed);
KPATCH_IGNORE_FUNCTION(ignored);
KPATCH_IGNORE_SECTION(\".data.rarely\");
";

const CALLBACKS: &str = r#"
static int before(patch_object *obj) { return obj->name ? 0 : 1; }
static void after(patch_object *obj) { KPATCH_PRINTK("%s\n", obj->name); }
static void back(patch_object *obj) { KPATCH_PRINTK("back %s\n", obj->name); }
static void gone(patch_object *obj) { KPATCH_PRINTK("gone %s\n", obj->name); }
KPATCH_PRE_PATCH_CALLBACK(before);
KPATCH_POST_PATCH_CALLBACK(after);
KPATCH_PRE_UNPATCH_CALLBACK(back);
KPATCH_POST_UNPATCH_CALLBACK(gone);
"#;

/// A folder with `orig.o`, `patched.o` and the symbol table of the original.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    /// `None` when the compiler is not there.
    fn new(cc: &str, version: [u32; 2], marks: &str) -> Option<Lab> {
        Lab::of(cc, version, &format!("{BASE}{marks}#endif\n"), &[])
    }

    /// The same with a source of its own.
    fn of(cc: &str, version: [u32; 2], source: &str, flags: &[&str]) -> Option<Lab> {
        if !cfg!(target_arch = "x86_64") || Command::new(cc).arg("--version").output().is_err() {
            return None;
        }
        let lab = Lab { folder: tempfile::tempdir().unwrap() };
        fs::write(lab.path("source.c"), source).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (output, more) in
            [("orig.o", &["-DVALUE=3"][..]), ("patched.o", &["-DVALUE=4", "-DPATCHED"])]
        {
            let [major, minor] = version;
            let compiled = Command::new(cc)
                .current_dir(lab.folder.path())
                .args(["-O2", "-Wall", "-Wextra", "-Werror", "-pg", "-mfentry", "-fno-pic"])
                .args(["-ffunction-sections", "-fdata-sections", "-mcmodel=kernel"])
                .args(["-fcf-protection=none", "-fno-asynchronous-unwind-tables", "-c"])
                .arg(format!("-DLINUX_VERSION_CODE={}", (major << 16) + (minor << 8)))
                .arg("-isystem")
                .arg(root.join("../tests/kernel/include"))
                .arg("-I")
                .arg(root.join("../include"))
                .args(flags)
                .args(more)
                .args(["source.c", "-o", output])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&compiled.stderr).into_owned();
            assert!(compiled.status.success(), "{cc} {version:?}: {said}");
        }
        let mut readelf = Command::new("readelf");
        readelf.current_dir(lab.folder.path()).args(["-s", "--wide", "orig.o"]);
        let symbols = readelf.output().unwrap();
        fs::write(lab.path("symtab"), symbols.stdout).unwrap();
        Some(lab)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What create-diff-object prints, and its exit status.
    fn drop_in(&self) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_create-diff-object"))
            .current_dir(self.folder.path())
            .args(["orig.o", "patched.o", "vmlinux", "symtab", "/dev/null", "klp", "out.o"])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// What klp-diff makes of it.
    fn compare(&self) -> (OutObject, Report) {
        let [orig, patched] = ["orig.o", "patched.o"].map(|f| fs::read(self.path(f)).unwrap());
        let symtab = fs::read_to_string(self.path("symtab")).unwrap();
        let job = Job {
            orig: Input { name: "orig.o", data: &orig },
            patched: Input { name: "patched.o", data: &patched },
            parent: Some(ParentFiles {
                name: "vmlinux",
                symtab: Input { name: "symtab", data: &symtab },
                image: None,
                strict: false,
                symvers: Input { name: "symvers", data: "" },
                pointers: Default::default(),
                known: None,
            }),
            sizes: StructSizes::default(),
            policy: klp_diff::Policy::NATIVE,
            klp_arch: false,
            context: Default::default(),
            wanted: Default::default(),
            progress: Default::default(),
        };
        let run = klp_diff::run(&job);
        (run.outcome.patch().unwrap().expect("a change"), run.report)
    }
}

fn compilers() -> impl Iterator<Item = (&'static str, [u32; 2])> {
    ["gcc", "clang-19"].into_iter().flat_map(|cc| VERSIONS.map(|version| (cc, version)))
}
fn callbacks_get_rows_and_helpers_call_the_kernel() {
    for (cc, version) in compilers() {
        let Some(lab) = Lab::new(cc, version, &format!("{MARKS}{CALLBACKS}")) else {
            crate::suite::lacks(format!("{cc} is not installed"));
            continue;
        };
        let (output, _) = lab.compare();
        for (kind, function) in [
            ("pre_patch", "before"),
            ("post_patch", "after"),
            ("pre_unpatch", "back"),
            ("post_unpatch", "gone"),
        ] {
            let name = format!(".kpatch.callbacks.{kind}");
            let row = output.sections.iter().find(|s| s.name == name);
            let row = row.unwrap_or_else(|| panic!("{cc} {version:?}: no {name}"));
            assert_eq!((row.size, row.relocs[0].entries.len()), (16, 2), "{cc} {version:?}");
            let call = row.relocs[0].entries.iter().find(|e| e.offset == 0).unwrap();
            let symbol = output.symbol(call.symbol.unwrap()).unwrap();
            let OutHome::Section(home) = symbol.home else { panic!("{symbol:?}") };
            assert_eq!(output.sections[home].name, format!(".text.{function}"));
        }
        let wanted = |name: &str| output.symbols.iter().any(|s| s.name == name);
        let [index, calls] = [version >= [5, 15], version >= [5, 10]];
        assert_eq!(wanted("_printk"), index, "{cc} {version:?}");
        assert_eq!(wanted("printk"), !index, "{cc} {version:?}");
        assert_eq!(wanted("__SCK__my_call"), calls, "{cc} {version:?}");
        assert!(!wanted("__SCT__my_call"), "the trampoline would get a site of its own");
        assert!(!output.sections.iter().any(|s| s.name == ".printk_index"));
    }
}
fn marks_mean_the_same_to_both_programs() {
    for (cc, version) in compilers() {
        let Some(lab) = Lab::new(cc, version, &format!("{MARKS}{CALLBACKS}")) else { continue };
        let (status, said) = lab.drop_in();
        assert_eq!(status, Some(0), "{cc} {version:?}: {said}");
        let (_, report) = lab.compare();
        let own: Vec<String> = report.messages.iter().map(ToString::to_string).collect();
        for line in [
            "ignoring section: .data.rarely",
            "ignoring function: ignored",
            "function 'changed' marked with KPATCH_FORCE_UNSAFE!",
            "found callback: before",
            "found callback: after",
            "found callback: back",
            "found callback: gone",
        ] {
            assert!(said.contains(&format!("{line}\n")), "{cc} {version:?}: {line}: {said}");
            assert!(own.iter().any(|m| m.contains(line)), "{cc} {version:?}: {line}: {own:?}");
        }
        assert!(said.contains("changed function: changed\n"), "{said}");
        assert!(!said.contains("changed function: ignored\n"), "{said}");
    }
}
fn without_marks_the_same_change_is_refused() {
    let Some(lab) = Lab::new("gcc", [6, 12], CALLBACKS) else { return };
    let (status, said) = lab.drop_in();
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains(".data.rarely"), "{said}");
}

/// System calls of one to six arguments.
fn system_calls(prefix: &str) -> String {
    let mut source = String::from(
        "#include <linux/syscalls.h>\n#include \"kpatch-syscall.h\"\nlong seen(long x);\n\
         #ifdef PATCHED\n#define DEFINE(n) PREFIX(n)\n#else\n#define DEFINE(n) SYSCALL_DEFINE##n\n\
         #endif\n#define PREFIX(n) ",
    );
    source += &format!("{prefix}SYSCALL_DEFINE##n\n");
    let arguments = ["a", "b", "c", "d", "e", "f"];
    for count in 1..=arguments.len() {
        let arguments = &arguments[..count];
        let list: String = arguments.iter().map(|a| format!(", int, {a}")).collect();
        source += &format!(
            "DEFINE({count})(call{count}{list}) {{ return seen({} + VALUE); }}\n",
            arguments.join(" + ")
        );
    }
    source + "SYSCALL_DEFINE1(other, int, a) { return seen(a); }\n"
}
fn system_calls_are_patched_at_their_entries() {
    for (cc, version) in compilers() {
        let Some(lab) = Lab::of(cc, version, &system_calls("KPATCH_"), &["-fno-inline"]) else {
            continue;
        };
        let (status, said) = lab.drop_in();
        assert_eq!(status, Some(0), "{cc} {version:?}: {said}");
        for count in 1..=6 {
            for line in [
                format!("changed function: __x64_sys_call{count}\n"),
                format!("changed function: __ia32_sys_call{count}\n"),
                format!("new function: __kpatch_do_sys_call{count}\n"),
            ] {
                assert!(said.contains(&line), "{cc} {version:?}: {line}: {said}");
            }
        }
        assert!(!said.contains("other"), "{said}");
        let (output, _) = lab.compare();
        assert!(!output.sections.iter().any(|s| s.name == "__syscalls_metadata"));
    }
}

/// What the macros are for: the kernel's own leave the change where ftrace has no entry.
fn without_the_macro_the_body_of_a_system_call_cannot_be_redirected() {
    let Some(lab) = Lab::of("gcc", [6, 12], &system_calls(""), &["-fno-inline"]) else { return };
    let (status, said) = lab.drop_in();
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("__do_sys_call1 doesn't have patchable function entry"), "{said}");
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "callbacks_get_rows_and_helpers_call_the_kernel",
            callbacks_get_rows_and_helpers_call_the_kernel,
        ),
        ("marks_mean_the_same_to_both_programs", marks_mean_the_same_to_both_programs),
        ("without_marks_the_same_change_is_refused", without_marks_the_same_change_is_refused),
        ("system_calls_are_patched_at_their_entries", system_calls_are_patched_at_their_entries),
        (
            "without_the_macro_the_body_of_a_system_call_cannot_be_redirected",
            without_the_macro_the_body_of_a_system_call_cannot_be_redirected,
        ),
    ])
}
