//! The order in which files are linked means nothing: objects made of the same files are equal,
//! and a change is found whatever stands beside it.

#[path = "common/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -std=gnu11 -fno-stack-protector -fcf-protection=none";

/// A run over an array that shares its section with those of other files. The address one past
/// its end is that of the next one.
const ROWS: &str = r#"
    struct row { volatile long a, b; };
    #define SHARED __attribute__((section(".data..shared"), aligned(16), used))
    static struct row rows[64] SHARED = { { 1, 2 } };
    long SUM(void)
    {
        long sum = 0;
        for (struct row *r = rows; r != rows + ENDS; r++)
            sum += r->a;
        return sum;
    }
"#;

struct Lab(tempfile::TempDir);

impl Lab {
    /// `None` without the programs; says so.
    fn new(programs: &[&str]) -> Option<Lab> {
        for program in programs {
            if Command::new(program).arg("--version").output().is_err() {
                crate::suite::lacks(format!("{program} is not installed"));
                return None;
            }
        }
        Some(Lab(tempfile::tempdir().unwrap()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Compiles `source` into `name`.o; FILE symbols are called after `name` up to a dash.
    fn compile(&self, compiler: &str, name: &str, source: &str, flags: &[&str]) -> PathBuf {
        let kind = if source.starts_with(".section") { "s" } else { "c" };
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        let file = format!("{}.{kind}", name.split('-').next().unwrap());
        std::fs::write(folder.join(&file), source).unwrap();
        let object = self.path(&format!("{name}.o"));
        let mut command = Command::new(compiler);
        command.current_dir(&folder).args(FLAGS.split_whitespace()).args(flags);
        succeed(command.arg("-c").arg("-o").arg(&object).arg(&file));
        object
    }

    fn link(&self, linker: &str, name: &str, objects: &[&PathBuf]) -> PathBuf {
        let linked = self.path(name);
        succeed(Command::new(linker).arg("-r").arg("-o").arg(&linked).args(objects));
        linked
    }
}

fn succeed(command: &mut Command) {
    let done = suite::output(command);
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Exit status and what is told.
fn compare(orig: &Path, patched: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
    let Output { status, stdout, stderr } = command.args([orig, patched]).output().unwrap();
    let text = [stdout, stderr].map(|t| String::from_utf8_lossy(&t).into_owned()).concat();
    (status.code(), text)
}

const LINKERS: [&str; 2] = ["ld", "ld.lld-19"];
fn the_end_of_an_array_is_not_the_start_of_the_next() {
    for (compiler, linker) in [("gcc-12", "ld"), ("clang-19", "ld.lld-19"), ("clang-16", "ld")] {
        let Some(lab) = Lab::new(&[compiler, linker]) else { continue };
        let rows = |name: &str, ends: u32| {
            let file = name.split('-').next().unwrap();
            let defines = [
                format!("-DSUM=sum_{file}"),
                format!("-DEND=end_{file}"),
                format!("-DENDS={ends}"),
            ];
            let defines: Vec<&str> =
                defines.iter().map(String::as_str).chain(["-pg", "-mfentry"]).collect();
            lab.compile(compiler, name, ROWS, &defines)
        };
        let (a, b, c) = (rows("a", 64), rows("b", 64), rows("c", 64));
        let forth = lab.link(linker, "forth.o", &[&a, &b, &c]);
        for (name, order) in
            [("back.o", [&c, &b, &a]), ("turned.o", [&b, &c, &a]), ("swapped.o", [&a, &c, &b])]
        {
            let other = lab.link(linker, name, &order);
            assert_eq!(compare(&forth, &other), (Some(3), String::new()), "{compiler} {name}");
            assert_eq!(compare(&other, &forth), (Some(3), String::new()), "{compiler} {name}");
        }
        // What runs less far now stands before another one, too.
        let less = rows("b-less", 63);
        let patched = lab.link(linker, "patched.o", &[&c, &less, &a]);
        let (exit, told) = compare(&forth, &patched);
        assert_eq!(exit, Some(0), "{compiler}: {told}");
        let named: Vec<&str> =
            told.lines().filter_map(|l| l.strip_prefix("changed function: ")).collect();
        assert_eq!(named, ["sum_b"], "{compiler}: {told}");
    }
}

/// In one file the neighbours stay. A new one between two is not what was meant before.
fn a_new_neighbour_is_not_overlooked() {
    const SOURCE: &str = r#"
        #define SHARED __attribute__((section(".data..shared"), used))
        static volatile long first[4] SHARED = { 1 };
        #ifdef PATCHED
        static volatile long second[4] SHARED = { 2 };
        #endif
        static volatile long third[4] SHARED = { 3 };
        long use(void) { return first[0]; }
        volatile long *meant(void)
        {
        #ifdef PATCHED
            return second;
        #else
            return third;
        #endif
        }
        volatile long *other(void) { return third; }
    "#;
    for compiler in ["gcc-12", "clang-19"] {
        let Some(lab) = Lab::new(&[compiler]) else { continue };
        // gcc writes the last one first.
        let flags = ["-pg", "-mfentry", "-fno-toplevel-reorder"];
        let flags = if compiler == "gcc-12" { &flags[..] } else { &flags[..2] };
        let orig = lab.compile(compiler, "a", SOURCE, flags);
        let patched = lab.compile(compiler, "a-patched", SOURCE, &[flags, &["-DPATCHED"]].concat());
        let empty = lab.compile(compiler, "b", "int b(void) { return 0; }", flags);
        for (o, p) in [
            (orig.clone(), patched.clone()),
            (lab.link("ld", "o", &[&orig, &empty]), lab.link("ld", "p", &[&patched, &empty])),
        ] {
            let (_, told) = compare(&o, &p);
            assert!(told.contains("changed function: meant"), "{compiler}: {told}");
            assert!(!told.contains("changed function: other"), "{compiler}: {told}");
        }
    }
}

/// What an instruction reads at once ends where it ends, whatever the linker put there.
fn a_constant_ends_with_the_instruction_that_reads_it() {
    let reader = |value: u32| {
        format!(
            ".section .text.f,\"ax\"\n.file \"f.c\"\n.globl f\n.type f,@function\n\
             f: call __fentry__\nmovl .Lc(%rip), %eax\nret\n.size f, . - f\n\
             .section .rodata\n.Lc: .long {value}\n"
        )
    };
    let beside = ".section .text.g,\"ax\"\n.file \"g.c\"\n.globl g\n.type g,@function\n\
         g: call __fentry__\nmovq named(%rip), %rax\nmovl .Ld(%rip), %ecx\nret\n.size g, . - g\n\
         .section .rodata\n.Ld: .long 0x11111111\n.globl named\nnamed: .quad 5\n";
    let before = ".section .text.h,\"ax\"\n.file \"h.c\"\n.globl h\n.type h,@function\n\
         h: call __fentry__\nmovq zero(%rip), %rax\nret\n.size h, . - h\n\
         .section .rodata\n.globl zero\nzero: .quad 0\n";
    let Some(lab) = Lab::new(&["gcc-12", "ld"]) else { return };
    let reads = lab.compile("gcc-12", "a", &reader(7), &[]);
    let beside = lab.compile("gcc-12", "b", beside, &[]);
    let before = lab.compile("gcc-12", "c", before, &[]);
    for linker in LINKERS {
        let Some(_) = Lab::new(&[linker]) else { continue };
        let forth = lab.link(linker, "forth.o", &[&before, &reads, &beside]);
        let back = lab.link(linker, "back.o", &[&before, &beside, &reads]);
        for (orig, patched) in [(&forth, &back), (&back, &forth)] {
            assert_eq!(compare(orig, patched), (Some(3), String::new()), "{linker}");
        }
        let other = lab.compile("gcc-12", "a-other", &reader(8), &[]);
        for order in [[&before, &other, &beside], [&before, &beside, &other]] {
            let patched = lab.link(linker, "patched.o", &order);
            for orig in [&forth, &back] {
                let (exit, told) = compare(orig, &patched);
                assert!(told.contains("changed function: f"), "{linker}: {exit:?}: {told}");
                assert!(!told.contains("changed function: g"), "{linker}: {told}");
            }
        }
    }
}

/// A literal with a zero in it is not mergeable: clang gives it a section, which the linker
/// lays together with those of the same number.
fn literals_of_several_files_are_told_apart() {
    let Some(lab) = Lab::new(&["clang-19", "ld.lld-19"]) else { return };
    let file = |name: &str, text: &str| {
        let source = format!(
            "void take(const char *); void use_{0}(void) {{ take(\"{text}\\0{text}!\"); }}",
            name.split('-').next().unwrap()
        );
        lab.compile("clang-19", name, &source, &["-pg", "-mfentry"])
    };
    let (a, b) = (file("a", "first"), file("b", "the second"));
    // Nothing refers to this one any more.
    let c = lab.compile(
        "clang-19",
        "c",
        ".section .rodata..L.str,\"a\",@progbits\n.ascii \"unused\\0text\\0\"\n",
        &[],
    );
    let forth = lab.link("ld.lld-19", "forth.o", &[&a, &b, &c]);
    for (name, order) in [("back.o", [&c, &b, &a]), ("turned.o", [&b, &c, &a])] {
        let other = lab.link("ld.lld-19", name, &order);
        assert_eq!(compare(&forth, &other), (Some(3), String::new()), "{name}");
    }
    let changed = file("b-changed", "the 2nd");
    for order in [[&a, &changed, &c], [&c, &changed, &a]] {
        let patched = lab.link("ld.lld-19", "patched.o", &order);
        let (_, told) = compare(&forth, &patched);
        assert!(told.contains("changed function: use_b"), "{told}");
    }
    // Two that begin alike and change places.
    let file = |name: &str, text: &str| {
        let function = name.split('-').next().unwrap();
        let source = format!(
            "void take(const char *); void use_{function}(void) {{ take(\"same\\0{text}\"); }}"
        );
        lab.compile("clang-19", name, &source, &["-pg", "-mfentry"])
    };
    let (a, b) = (file("a", "one"), file("b", "two"));
    let orig = lab.link("ld.lld-19", "orig.o", &[&a, &b]);
    let (a, b) = (file("a-swapped", "two"), file("b-swapped", "one"));
    for order in [[&a, &b], [&b, &a]] {
        let patched = lab.link("ld.lld-19", "patched.o", &order);
        let (_, told) = compare(&orig, &patched);
        assert!(told.contains("use_a") && told.contains("use_b"), "{told}");
    }
}

/// What aligns a function in front of which no type is written is no code.
fn filler_in_front_of_functions_is_nothing() {
    const SOURCE: &str = r#"
        extern int (*hook)(int);
        static __attribute__((noinline)) int f(int x) { return x * FACTOR; }
        #ifdef ESCAPES
        void set(void) { hook = f; }
        #else
        int call(int x) { return f(x) + f(x + 1); }
        #endif
    "#;
    let Some(lab) = Lab::new(&["clang-19", "ld.lld-19"]) else { return };
    let kcfi = ["-fsanitize=kcfi", "-fpatchable-function-entry=11,11", "-pg", "-mfentry"];
    let with = |more: &[&'static str]| [&kcfi[..], more].concat();
    let a = lab.compile("clang-19", "a", SOURCE, &with(&["-DFACTOR=3"]));
    let b = lab.compile("clang-19", "b", SOURCE, &with(&["-DFACTOR=5", "-DESCAPES"]));
    let forth = lab.link("ld.lld-19", "forth.o", &[&a, &b]);
    let back = lab.link("ld.lld-19", "back.o", &[&b, &a]);
    assert_eq!(compare(&forth, &back), (Some(3), String::new()));
    assert_eq!(compare(&back, &forth), (Some(3), String::new()));
    let changed = lab.compile("clang-19", "a-changed", SOURCE, &with(&["-DFACTOR=7"]));
    let patched = lab.link("ld.lld-19", "patched.o", &[&b, &changed]);
    let (_, told) = compare(&forth, &patched);
    assert!(told.contains("changed function: "), "{told}");
}

/// An empty variable, such as a lock that is configured out, lies where the next one begins.
fn an_empty_variable_hides_no_other() {
    const SOURCE: &str = r#"
        #define SHARED __attribute__((section(".data..shared"), used))
        struct { } empty SHARED;
        volatile int value SHARED = VALUE;
        volatile int last SHARED = 9;
        int read(void) { return value; }
    "#;
    let Some(lab) = Lab::new(&["clang-19"]) else { return };
    let flags = |value: &'static str| ["-pg", "-mfentry", value];
    let orig = lab.compile("clang-19", "a", SOURCE, &flags("-DVALUE=1"));
    let patched = lab.compile("clang-19", "a-patched", SOURCE, &flags("-DVALUE=2"));
    let (exit, told) = compare(&orig, &patched);
    assert_eq!(exit, Some(2), "{told}");
    assert!(told.contains("changed value in section .data..shared"), "{told}");
}

/// The rows of a table stand in the order of the files. Two that change places in one file may
/// mean something.
fn rows_follow_their_files() {
    let function = |name: &str| {
        format!(
            ".section .text.{name},\"ax\"\n.globl {name}\n.type {name},@function\n\
             {name}: call __fentry__\nret\n.size {name}, . - {name}\n"
        )
    };
    let Some(lab) = Lab::new(&["gcc-12", "ld"]) else { return };
    let file = |name: &str, functions: [&str; 2], rows: [&str; 2]| {
        let functions = functions.map(function).concat();
        let rows = rows.map(|row| format!(".long {row} - .\n")).concat();
        let text = format!("{functions}.section table,\"a\"\n{rows}.text\n");
        // Assembly has no FILE symbol of its own.
        let source = format!("asm(\"{}\");", text.replace('\"', "\\\"").replace('\n', "\\n"));
        lab.compile("gcc-12", name, &source, &[])
    };
    let a = file("a", ["a1", "a2"], ["a1", "a2"]);
    let b = file("b", ["b1", "b2"], ["b2", "b1"]);
    let turned = file("a-turned", ["a1", "a2"], ["a2", "a1"]);
    for linker in LINKERS {
        let Some(_) = Lab::new(&[linker]) else { continue };
        let forth = lab.link(linker, "forth.o", &[&a, &b]);
        let back = lab.link(linker, "back.o", &[&b, &a]);
        let (exit, told) = compare(&forth, &back);
        assert_eq!(exit, Some(3), "{linker}: {told}");
        assert!(told.contains("files are linked in another order"), "{linker}: {told}");
        for order in [[&turned, &b], [&b, &turned]] {
            let patched = lab.link(linker, "patched.o", &order);
            for orig in [&forth, &back] {
                let (exit, told) = compare(orig, &patched);
                assert_eq!(exit, Some(2), "{linker}: {told}");
                assert!(told.contains("section table changed"), "{linker}: {told}");
            }
        }
    }
}

/// What stands behind the last label of a file is of another file.
fn labels_of_assembly_bound_what_is_read() {
    let code = |name: &str, value: u32| {
        let text = format!(
            ".pushsection .rodata\\n{name}_start: .long {value}\\n.byte 1, 2\\n{name}_mid: .long 3\\n\
             {name}_end:\\n.popsection"
        );
        format!(
            "asm(\"{text}\"); extern const char {name}_start[], {name}_mid[], {name}_end[];\n\
             static volatile long state_{name};\n\
             long use_{name}(long i) {{\n\
             return state_{name}++ + i * ({name}_end - {name}_start) + {name}_start[i + 2] + {name}_mid[i + 1]; }}"
        )
    };
    let Some(lab) = Lab::new(&["clang-19", "ld.lld-19"]) else { return };
    let file = |name: &str, value: u32| {
        let base = name.split('-').next().unwrap();
        lab.compile("clang-19", name, &code(base, value), &["-flto=thin", "-pg", "-mfentry"])
    };
    let (a, b, c) = (file("a", 7), file("b", 8), file("c", 9));
    let other = file("b-other", 10);
    let lto = |name: &str, files: &[&PathBuf]| {
        // One object for each file, as ThinLTO makes them: labels become local there.
        let objects: Vec<PathBuf> = files
            .iter()
            .map(|f| lab.link("ld.lld-19", &format!("{name}-{}", file_name(f)), &[f]))
            .collect();
        lab.link("ld.lld-19", name, &objects.iter().collect::<Vec<_>>())
    };
    let forth = lto("forth.o", &[&a, &b, &c]);
    for (name, order) in [("back.o", [&c, &b, &a]), ("turned.o", [&b, &c, &a])] {
        let linked = lto(name, &order);
        assert_eq!(compare(&forth, &linked), (Some(3), String::new()), "{name}");
        assert_eq!(compare(&linked, &forth), (Some(3), String::new()), "{name}");
    }
    for order in [[&a, &other, &c], [&c, &other, &a]] {
        let (exit, told) = compare(&forth, &lto("patched.o", &order));
        assert_ne!(exit, Some(3), "{told}");
        assert!(told.contains("use_b") || told.contains("b_start"), "{told}");
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        (
            "the_end_of_an_array_is_not_the_start_of_the_next",
            the_end_of_an_array_is_not_the_start_of_the_next,
        ),
        ("a_new_neighbour_is_not_overlooked", a_new_neighbour_is_not_overlooked),
        (
            "a_constant_ends_with_the_instruction_that_reads_it",
            a_constant_ends_with_the_instruction_that_reads_it,
        ),
        ("literals_of_several_files_are_told_apart", literals_of_several_files_are_told_apart),
        ("filler_in_front_of_functions_is_nothing", filler_in_front_of_functions_is_nothing),
        ("an_empty_variable_hides_no_other", an_empty_variable_hides_no_other),
        ("rows_follow_their_files", rows_follow_their_files),
        ("labels_of_assembly_bound_what_is_read", labels_of_assembly_bound_what_is_read),
    ])
}
