//! A part that was split off a function comes with it into the patch, also when it is as it
//! was: it jumps back into the function, and the kernel's part goes back into the kernel's.

#[path = "common/suite.rs"]
mod suite;

#[path = "common/patch.rs"]
mod common;

use std::path::Path;

/// The unlikely part of `work` goes back to where the function is changed.
const SOURCE: &str = r#"
__attribute__((cold)) extern int out(int);
extern int use(int);
#ifdef PATCHED
#define N 5
#else
#define N 3
#endif
int work(int v)
{
	int r = v;
	if (__builtin_expect(v > 1000, 0)) {
		out(v);
		r = use(v + 1);
		out(v);
	}
	return r * N + use(r);
}
"#;

const COMMON: &str = "-O2 -c -w -ffunction-sections -fdata-sections -fno-stack-protector \
     -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-pic";

/// Compiler and options, and a file that they name.
const WAYS: [(&str, &str); 7] = [
    ("gcc-12 -mcmodel=kernel -pg -mfentry -mno-red-zone", ""),
    (
        "clang-14 -mcmodel=kernel -pg -mfentry -mno-red-zone -fbasic-block-sections=list=blocks",
        "!work\n!!0\n!!1\n!!2\n",
    ),
    (
        "clang-19 -mcmodel=kernel -pg -mfentry -mno-red-zone -fbasic-block-sections=list=blocks",
        "v1\nf work\nc 0\nc 1\nc 2\n",
    ),
    (
        "clang-22 -mcmodel=kernel -pg -mfentry -mno-red-zone -fbasic-block-sections=list=blocks",
        "v1\nf work\nc 0 2\n",
    ),
    ("aarch64-linux-gnu-gcc -freorder-blocks-and-partition -fpatchable-function-entry=2", ""),
    (
        "powerpc64le-linux-gnu-gcc -mabi=elfv2 -msoft-float -mno-altivec -mno-vsx -mcmodel=large \
         -mprofile-kernel -pg -freorder-blocks-and-partition",
        "",
    ),
    (
        "s390x-linux-gnu-gcc -m64 -march=z13 -msoft-float -fPIC -pg -mfentry -mrecord-mcount \
         -mnop-mcount -freorder-blocks-and-partition",
        "",
    ),
];

/// `None` without the compiler, or when it does not split the function.
fn compile(way: (&str, &str), folder: &Path, define: &str) -> Option<Vec<u8>> {
    std::fs::write(folder.join("blocks"), way.1).expect("file");
    let object = common::compile(way.0, COMMON, folder, define)?;
    let has = |name: &[u8]| object.windows(name.len()).any(|w| w == name);
    if has(b"work.cold\0") || has(b"work.__part.1\0") {
        return Some(object);
    }
    eprintln!("skipped: {}: does not split the function", way.0);
    None
}

/// The lines of the patch, and the codes of warnings.
fn patch(way: (&str, &str), drop_in: bool) -> Option<(Vec<String>, Vec<String>)> {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("file.c"), SOURCE).expect("source");
    let orig = compile(way, folder.path(), "ORIG")?;
    let patched = compile(way, folder.path(), "PATCHED")?;
    let (lines, report) =
        common::patch(way.0, &folder.path().join("ORIG"), [&orig, &patched], drop_in);
    Some((lines, report.warnings.iter().map(|w| w.code().name().to_owned()).collect()))
}

fn leads_to_kernel(lines: &[String]) -> bool {
    let parts = [".cold\"", ".__part."];
    let klp = lines.iter().filter(|l| l.starts_with("klprela "));
    klp.into_iter().any(|l| parts.iter().any(|p| l.contains(p)))
}
fn parts_come_with_their_function() {
    for way in WAYS {
        let Some((lines, warnings)) = patch(way, false) else { continue };
        assert!(!leads_to_kernel(&lines), "{}: {lines:#?}", way.0);
        let split = |l: &&String| l.contains("work.cold") || l.contains("work.__part.");
        assert!(lines.iter().any(|l| l.starts_with("symbol ") && split(&l)), "{lines:#?}");
        assert!(lines.iter().any(|l| l.starts_with("rela ") && split(&l)), "{lines:#?}");
        assert_eq!(warnings, [""; 0]);
        // Only functions are redirected.
        assert_eq!(lines.iter().filter(|l| l.starts_with("func ")).count(), 1);
    }
}
fn the_drop_in_leaves_them_and_warns() {
    let Some((lines, warnings)) = patch(WAYS[0], true) else { return };
    assert!(leads_to_kernel(&lines), "{lines:#?}");
    assert_eq!(warnings, ["part-left-behind"]);
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("parts_come_with_their_function", parts_come_with_their_function),
        ("the_drop_in_leaves_them_and_warns", the_drop_in_leaves_them_and_warns),
    ])
}
