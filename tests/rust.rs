//! Objects of Rust code, compiled as the kernel compiles it: the machine's own rustc, without
//! unstable flags.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const SOURCE: &str = r#"
#![no_std]
use core::panic::PanicInfo;
#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! { loop {} }
extern "C" { fn ext(x: u32) -> u32; }
pub struct Ring<T> { data: [T; 8], at: usize }
impl<T: Copy + core::ops::Add<Output = T>> Ring<T> {
    #[inline(never)]
    pub fn push(&mut self, i: usize, v: T) -> T {
        let old = self.data[i];
        self.data[i] = v;
        self.at += 1;
        old + v
    }
}
#[inline(never)]
fn helper(x: &[u32], i: usize) -> u32 { x[i] + 1 }
#[no_mangle]
pub extern "C" fn entry(p: *mut Ring<u32>, i: usize) -> u32 {
    let r = unsafe { &mut *p };
    let a = r.push(i, 7);
    a + unsafe { ext(helper(&r.data, i)) }
}
#[no_mangle]
pub extern "C" fn other(p: *mut Ring<u64>, i: usize) -> u64 {
    unsafe { &mut *p }.push(i, 9).checked_add(3).expect("room")
}
#[no_mangle]
pub extern "C" fn place() -> u32 { where_from() }
#[inline(never)]
#[track_caller]
fn where_from() -> u32 { core::panic::Location::caller().line() }
"#;

const FLAGS: &str = "--edition 2021 --crate-name unit --crate-type lib --emit=obj -C panic=abort \
    -C code-model=kernel -C relocation-model=static -C opt-level=2 -C codegen-units=1 \
    -C debuginfo=0 -C overflow-checks=on -C target-cpu=x86-64 -C no-redzone=y \
    -C symbol-mangling-version=v0";

struct Lab(TempDir);

impl Lab {
    /// Compiles `source` in a folder of its own; `None` without a compiler.
    fn compile(&self, name: &str, source: &str) -> Option<()> {
        self.compile_as(name, source, "kernel")
    }

    /// The same, as a crate of which the build says `metadata`.
    fn compile_as(&self, name: &str, source: &str, metadata: &str) -> Option<()> {
        let folder = self.0.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("unit.rs"), source).unwrap();
        let mut command = Command::new("rustc");
        command.current_dir(&folder).args(FLAGS.split_whitespace()).args([
            "-C",
            &format!("metadata={metadata}"),
            "unit.rs",
            "-o",
            "unit.o",
        ]);
        let Ok(done) = command.output() else {
            eprintln!("skipped: rustc: not installed");
            return None;
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(())
    }

    /// What another compiler makes of a file, given by its name; `None` without it.
    fn with(&self, name: &str, command: &str, file: &str, source: &str) -> Option<()> {
        let folder = self.0.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), source).unwrap();
        let mut words = command.split_whitespace();
        let mut command = Command::new(words.next().unwrap());
        command.current_dir(&folder).args(words).args(["-c", file, "-o", "unit.o"]);
        let Ok(done) = command.output() else {
            eprintln!("skipped: {command:?}: not installed");
            return None;
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(())
    }

    /// Exit status and all that was printed.
    fn run(&self, name: &str) -> (i32, String) {
        let done = Command::new(env!("CARGO_BIN_EXE_klp-diff"))
            .current_dir(self.0.path())
            .args(["--explain-noise", "orig/unit.o"])
            .arg(Path::new(name).join("unit.o"))
            .output()
            .unwrap();
        let text = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }
}

fn changed(text: &str) -> Vec<&str> {
    text.lines().filter_map(|l| l.strip_prefix("changed function: ")).collect()
}

#[test]
fn lines_of_panics_are_noise_and_lines_that_are_read_are_not() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let lab = Lab(tempfile::tempdir().unwrap());
    // `place` reads the line of a location: it is the last function, and stays where it is.
    let moved =
        SOURCE.replace("#[inline(never)]\nfn helper", "/* a */ #[inline(never)]\nfn helper");
    let columns =
        moved.replace("x[i] + 1", "  x[i] + 1").replace("self.data[i];", " self.data[i];");
    let lines = SOURCE.replace("pub struct Ring", "// a comment\n\n// more\npub struct Ring");
    let quiet =
        |text: &str| text.replace("place() -> u32 { where_from() }", "place() -> u32 { 5 }");
    for (name, source) in [("orig", SOURCE), ("columns", &*columns), ("lines", &*lines)] {
        if lab.compile(name, &quiet(source)).is_none() {
            return;
        }
    }
    for name in ["columns", "lines"] {
        let (exit, text) = lab.run(name);
        assert_eq!((exit, changed(&text).len()), (3, 0), "{name}: {text}");
        assert!(text.contains("panic-location"), "{name}: {text}");
    }
    // The same with a location that is read.
    std::fs::remove_dir_all(lab.0.path().join("orig")).unwrap();
    lab.compile("orig", SOURCE);
    lab.compile("read", &lines);
    let (exit, text) = lab.run("read");
    assert_eq!(exit, 2, "{text}");
    assert_eq!(changed(&text), ["place"], "{text}");
}

#[test]
fn changes_are_seen_and_what_has_no_entry_is_named() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let lab = Lab(tempfile::tempdir().unwrap());
    let edited = SOURCE.replace("x[i] + 1", "x[i] + 2");
    let text = SOURCE.replace("\"room\"", "\"rooms\"");
    for (name, source) in [("orig", SOURCE), ("edited", &*edited), ("text", &*text)] {
        if lab.compile(name, source).is_none() {
            return;
        }
    }
    let (exit, text) = lab.run("edited");
    assert_eq!(exit, 2, "{text}");
    let [function] = changed(&text)[..] else { panic!("{text}") };
    assert!(function.starts_with("_RNv") && function.ends_with("4unit6helper"), "{text}");
    assert!(text.contains("no-ftrace-entry"), "{text}");
    let (exit, text) = lab.run("text");
    assert_eq!((exit, changed(&text)), (2, vec!["other"]), "{text}");
}

/// The hash of a crate is of the compiler and of what the build says of the crate.
#[test]
fn hashes_of_crates_are_noise() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let lab = Lab(tempfile::tempdir().unwrap());
    let edited = SOURCE.replace("x[i] + 1", "x[i] + 2");
    for (name, source, metadata) in
        [("orig", SOURCE, "one"), ("again", SOURCE, "two"), ("edited", &*edited, "three")]
    {
        if lab.compile_as(name, source, metadata).is_none() {
            return;
        }
    }
    let (exit, text) = lab.run("again");
    assert_eq!((exit, changed(&text).len()), (3, 0), "{text}");
    let (_, text) = lab.run("edited");
    let [function] = changed(&text)[..] else { panic!("{text}") };
    assert!(function.ends_with("4unit6helper") && !text.contains("new function"), "{text}");
}

/// It also tells crates of one name apart: where there are several, no name is taken for another.
#[test]
fn crates_of_one_name_are_told_apart() {
    let lab = Lab(tempfile::tempdir().unwrap());
    let source = |foo: &str, bar: &str| {
        format!(
            "int foo(int) __asm__(\"_RNvCs{foo}_4unit3foo\"); int bar(int) __asm__(\"_RNvCs{bar}_4unit3bar\");
             int user(int x) {{ return foo(x) + bar(x) * 3; }}\n"
        )
    };
    for (orig, patched, exit) in [
        (("1", "1"), ("22", "22"), 3),
        (("1", "2"), ("2", "1"), 2),
        (("1", "2"), ("2", "2"), 2),
        (("1", "1"), ("1", "2"), 2),
    ] {
        for (name, (foo, bar)) in [("orig", orig), ("next", patched)] {
            let command = "gcc -O2 -pg -mfentry -fno-pic -ffunction-sections";
            if !cfg!(target_arch = "x86_64")
                || lab.with(name, command, "unit.c", &source(foo, bar)).is_none()
            {
                return;
            }
        }
        let (found, text) = lab.run("next");
        assert_eq!(found, exit, "{orig:?} {patched:?}: {text}");
        assert_eq!(exit == 2, text.contains("several crates of this name"), "{text}");
    }
}

/// As rustc compiles for AArch64: a page and the rest of an address, with other arguments between.
const AARCH64: &str = "
    .section .rodata.f,\"a\"
    .Lfile: .ascii \"FILE\"
    .section .rodata.l1,\"a\"
    .p2align 3
    .Lloc1: .xword .Lfile, 7
    .word LINE, 5
    .section .rodata.l2,\"a\"
    .p2align 3
    .Lloc2: .xword .Lfile, 7
    .word LINE, 9
    .section .text.one,\"ax\"
    .globl one
    .type one,@function
    one: stp x29, x30, [sp, #-16]!
    mov x0, x1
    adrp x2, .Lloc1
    mov w1, #8
    add x2, x2, :lo12:.Lloc1
    bl _RNvNtCsgEmfK2I1SDS_4core9panicking18panic_bounds_check
    .size one,.-one
    .section .text.two,\"ax\"
    .globl two
    .type two,@function
    two: adrp x8, .Lloc2
    BETWEEN
    add x0, x8, :lo12:.Lloc2
    bl CALLEE
    .size two,.-two\n";

#[test]
fn locations_of_panics_are_proved_on_aarch64() {
    let lab = Lab(tempfile::tempdir().unwrap());
    const UNWRAP: &str = "_RNvNtCsgEmfK2I1SDS_4core6option13unwrap_failed";
    let source = |line: &str, file: &str, between: &str, callee: &str| {
        let text = AARCH64.replace("LINE", line).replace("FILE", file);
        text.replace("BETWEEN", between).replace("CALLEE", callee)
    };
    for (file, between, callee, wanted) in [
        ("unit.rs", "mov x5, #3", UNWRAP, &[][..]),
        // Another file counts.
        ("unix.rs", "mov x5, #3", UNWRAP, &["one", "two"]),
        // The page is read, or kept, by something else.
        ("unit.rs", "ldr x3, [x8]", UNWRAP, &["two"]),
        ("unit.rs", "str x8, [sp]", UNWRAP, &["two"]),
        ("unit.rs", "mov x4, x8", UNWRAP, &["two"]),
        // Nobody knows what this one does with its argument.
        ("unit.rs", "mov x5, #3", "_RNvNtCsgEmfK2I1SDS_4mine6option13unwrap_failed", &["two"]),
    ] {
        for (name, text) in [
            ("orig", source("10", "unit.rs", between, callee)),
            ("next", source("12", file, between, callee)),
        ] {
            if lab.with(name, "clang-19 --target=aarch64-linux-gnu", "unit.s", &text).is_none() {
                return;
            }
        }
        let (exit, text) = lab.run("next");
        assert_eq!(changed(&text), wanted, "{between} {callee}: {text}");
        assert_eq!(exit == 3, wanted.is_empty(), "{text}");
    }
}
