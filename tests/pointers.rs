//! Where a pointer to a function of the patch leads, on each machine and with what lies
//! before functions (docs/meaning.md): the running kernel's function, which ftrace redirects,
//! or the patch's. On objects of the cross compilers; one that is missing is named.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/patch.rs"]
mod common;

use std::process::{Command, Stdio};

use common::{compile, patch};

/// `pick`, `pick_new` and `pick_static` return pointers: to a changed function that others can
/// see, to a new one, to a changed one of the file.
const SOURCE: &str = r#"
extern int sink(int), slow(int);
#ifdef PATCHED
#define P 1
int new_one(int x) { return sink(x + 9); }
#else
#define P 0
#endif
int changed(int x) { return sink(x + P) * 3; }
static __attribute__((noinline)) int hidden(int x) { return slow(x + P) * 5; }
int uses(int x) { return hidden(x) + P; }
void *pick(int x) { return x > P ? (void *)changed : (void *)0; }
void *pick_static(int x) { return x > P ? (void *)hidden : (void *)0; }
#ifdef PATCHED
int pick_new(int x) { return ((long)new_one ^ x) != 0; }
int starts(int x) { return pick_new(x) + 1; }
#else
int starts(int x) { return x; }
#endif
"#;

const COMMON: &str = "-O2 -c -w -ffunction-sections -fdata-sections -fno-stack-protector \
     -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-optimize-sibling-calls";

/// Compiler and options, and whether a pointer to a changed function leads to the kernel's:
/// to a global one, to one of the file.
struct Way {
    command: &'static str,
    global: bool,
    local: bool,
}

const fn way(command: &'static str, global: bool, local: bool) -> Way {
    Way { command, global, local }
}

const WAYS: [Way; 14] = [
    way("gcc -fno-pic -mcmodel=kernel -pg -mfentry -mno-red-zone -fcf-protection=none", true, true),
    way(
        "gcc -fno-pic -mcmodel=kernel -pg -mfentry -mno-red-zone -fcf-protection=branch \
         -fpatchable-function-entry=16,16",
        true,
        true,
    ),
    way(
        "clang-19 --target=x86_64-linux-gnu -fno-pic -mcmodel=kernel -pg -mfentry -mno-red-zone \
         -fcf-protection=branch -fsanitize=kcfi -fpatchable-function-entry=11,11",
        true,
        true,
    ),
    way("aarch64-linux-gnu-gcc -fno-pic -fpatchable-function-entry=2", false, false),
    way(
        "aarch64-linux-gnu-gcc -fno-pic -fpatchable-function-entry=4,2 \
         -mbranch-protection=pac-ret+bti",
        false,
        false,
    ),
    way(
        "clang-19 --target=aarch64-linux-gnu -fno-pic -fpatchable-function-entry=4,2 \
         -fsanitize=kcfi -mbranch-protection=pac-ret+bti",
        false,
        false,
    ),
    way(
        "powerpc64le-linux-gnu-gcc -mabi=elfv2 -msoft-float -mno-altivec -mno-vsx -fno-pic \
         -mcmodel=large -mprofile-kernel -pg",
        true,
        true,
    ),
    way(
        "powerpc64le-linux-gnu-gcc -mabi=elfv2 -msoft-float -mno-altivec -mno-vsx -fno-pic \
         -mcmodel=medium -mprofile-kernel -pg",
        true,
        true,
    ),
    way(
        "s390x-linux-gnu-gcc -m64 -march=z13 -msoft-float -fPIE -pg -mfentry -mrecord-mcount \
         -mnop-mcount",
        false,
        false,
    ),
    way(
        "s390x-linux-gnu-gcc -m64 -march=z13 -msoft-float -fPIC -pg -mfentry -mrecord-mcount \
         -mnop-mcount",
        true,
        false,
    ),
    way(
        "s390x-linux-gnu-gcc -m64 -march=z13 -msoft-float -fno-pie -pg -mfentry \
         -mrecord-mcount -mnop-mcount",
        false,
        false,
    ),
    way(
        "clang-19 --target=s390x-linux-gnu -m64 -march=z13 -msoft-float -fPIC -pg -mfentry \
         -mrecord-mcount -mnop-mcount",
        true,
        false,
    ),
    way(
        "clang-19 --target=loongarch64-linux-gnusf -msoft-float -fno-pic \
         -fpatchable-function-entry=2",
        false,
        false,
    ),
    way(
        "clang-19 --target=loongarch64-linux-gnusf -msoft-float -fPIC \
         -fno-direct-access-external-data -fpatchable-function-entry=2",
        false,
        false,
    ),
];

/// Whether a livepatch relocation leads to the running kernel's `target`.
fn leads_to_kernel(lines: &[String], target: &str) -> bool {
    let name = format!("str:\"{target}\"");
    lines.iter().any(|line| line.starts_with("klprela ") && line.contains(&name))
}
fn pointers_lead_where_the_documentation_says() {
    if Command::new("readelf").arg("--version").stdout(Stdio::null()).status().is_err() {
        crate::suite::lacks("readelf is not installed");
        return;
    }
    for way in &WAYS {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("file.c"), SOURCE).expect("source");
        let pair = ["ORIG", "PATCHED"].map(|d| compile(way.command, COMMON, folder.path(), d));
        let [Some(orig), Some(patched)] = pair else { continue };
        let (lines, _) = patch(way.command, &folder.path().join("ORIG"), [&orig, &patched], false);
        for (target, wanted) in [("changed", way.global), ("hidden", way.local), ("new_one", false)]
        {
            assert_eq!(
                leads_to_kernel(&lines, target),
                wanted,
                "{}: {target}: {lines:#?}",
                way.command
            );
            // A pointer that stays in the patch needs the function there, as does its caller.
            assert!(lines.iter().any(|l| l.starts_with("rela ") && l.contains(target)));
        }
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[(
        "pointers_lead_where_the_documentation_says",
        pointers_lead_where_the_documentation_says,
    )])
}
