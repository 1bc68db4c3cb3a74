//! `klp-diff build` with stand-ins for a kernel source (tests/source) and a kernel tree
//! (tests/kernel): patches, which objects, lines, what is refused, and the work folder.

#[path = "build/lab.rs"]
mod lab;
#[path = "common/suite.rs"]
mod suite;
#[path = "common/tree.rs"]
#[allow(dead_code)]
mod tree;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use lab::{Edit, Lab, SOURCE};
use tree::{RELEASE, can_build, make_tree, root, succeed, text};

/// What the tests need.
const TOOLS: [&str; 4] = ["gcc", "ld", "make", "diff"];

fn has(out: &str, lines: &[&str]) {
    for line in lines {
        assert!(out.contains(line), "{line}:\n{out}");
    }
}

fn a_patch_becomes_a_module() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let before = lab.source();
    lab.patch(
        "1.patch",
        &[(
            "fs/pipe.c",
            "\tnote(\"open\", 1);\n",
            "\tnote(\"opened\", 1);\n\tnote(\"more\", 2);\n",
        )],
    );
    let (status, out) = lab.build(&["1.patch"]);
    assert_eq!(status, Some(0), "{out}");
    has(
        &out,
        &[
            "object fs/pipe.o of vmlinux: the patch changes fs/pipe.c\n",
            "changed function: pipe_open\n",
            "the lines of fs/pipe.c have the numbers that they had, as the compiler counts",
            "vmlinux, fs/pipe.o: replaces pipe_open\n",
            "verified against the running kernel's image: 1 objects, 2 functions: 2 as in the image; ",
            "load it: insmod lp.ko; take it back: echo 0 > /sys/kernel/livepatch/lp/enabled, then rmmod lp\n",
        ],
    );
    // The line of the other function is the one that it had, unless it is asked for otherwise.
    assert!(!out.contains("pipe_close"), "{out}");
    assert!(lab.path("lp.ko").is_file());
    let (status, out) = lab.build(&["--no-keep-lines", "1.patch"]);
    assert_eq!(status, Some(0), "{out}");
    has(&out, &["changed function: pipe_close"]);
    assert!(lab.source() == before);
    // The folder is used again: nothing is prepared or compiled twice.
    assert!(!out.contains("preparing") && !out.contains("without the patch"), "{out}");
    // A source that changed is followed.
    lab.write("source/fs/two.c", "int two(int x)\n{\n\treturn x + 2;\n}\n");
    let (status, out) = lab.build(&["1.patch"]);
    assert_eq!(status, Some(0), "{out}");
    has(&out, &["preparing the source\n", "compiling 1 object(s) without the patch\n"]);
}

fn several_patches_for_the_kernel_and_a_module() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    lab.patch("1.patch", &[("fs/one.c", "* 3", "* 5"), ("fs/demo-mod.c", "x - 1", "x - 7")]);
    lab.write("2.patch", "--- a/fs/one.c\n+++ b/fs/one.c\n@@ -5,3 +5,3 @@\n {\n-\treturn pipe_left(x) * 5;\n+\treturn pipe_left(x) * 7;\n }\n");
    let (status, out) = lab.build(&["1.patch", "2.patch", "--json=report.json", "--keep"]);
    assert_eq!(status, Some(0), "{out}");
    has(&out, &["vmlinux, fs/one.o: replaces one\n", "demo_mod, fs/demo-mod.o: replaces demo\n"]);
    assert!(lab.path("work/module/Kbuild").is_file());
    let json = fs::read_to_string(lab.path("report.json")).unwrap();
    assert!(json.contains("\"exit\": 0") && json.contains("fs/one.o"), "{json}");
    let (status, out) = lab.build(&["2.patch"]);
    assert_eq!(status, Some(2), "{out}");
    has(&out, &["there is '\\treturn pipe_left(x) * 3;'", "[patch-mismatch]"]);
}

fn a_header_concerns_those_that_include_it() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    for (from, to) in [("- used", "- used - 1"), ("PIPE_LIMIT 16", "PIPE_LIMIT 32")] {
        lab.patch("h.patch", &[("include/linux/pipe.h", from, to)]);
        let (status, out) = lab.build(&["h.patch"]);
        assert_eq!(status, Some(0), "{out}");
        has(
            &out,
            &[
                "asking the compiler about 3 objects",
                "object fs/one.o of vmlinux: it includes include/linux/pipe.h\n",
                "object fs/pipe.o of vmlinux: it includes include/linux/pipe.h\n",
                "changed function: one\n",
                "changed function: pipe_open\n",
            ],
        );
        assert!(!out.contains("object fs/two.o"), "{out}");
    }
    // What is generated for all objects must stay.
    lab.patch("s.patch", &[("include/linux/shape.h", "SIZE 8", "SIZE 16")]);
    let (status, out) = lab.build(&["s.patch"]);
    assert_eq!(status, Some(2), "{out}");
    has(
        &out,
        &[
            "include/generated/offsets.h would be another one",
            "+#define SHAPE_SIZE 16",
            "[patch-scope]",
        ],
    );
    // And that left nothing behind.
    lab.patch("1.patch", &[("fs/one.c", "* 3", "* 5")]);
    let (status, out) = lab.build(&["1.patch"]);
    assert_eq!(status, Some(0), "{out}");
    let generated = fs::read_to_string(lab.path("work/tree/include/linux/shape.h")).unwrap();
    assert!(generated.contains("SIZE 8"));
}

fn files_are_added() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let makefile = ("fs/Makefile", "whole-y += two.o\n", "whole-y += two.o\nwhole-y += new.o\n");
    let new = ("fs/new.c", "", "int new_one(int x);\nint new_one(int x)\n{\n\treturn x * 11;\n}\n");
    lab.patch(
        "n.patch",
        &[
            makefile,
            new,
            ("fs/two.c", "return x + 2", "extern int new_one(int);\n\treturn new_one(x)"),
        ],
    );
    let (status, out) = lab.build(&["n.patch"]);
    assert_eq!(status, Some(0), "{out}");
    has(
        &out,
        &[
            "object fs/new.o of vmlinux: the patch adds fs/new.c\n",
            "vmlinux, fs/two.o: replaces two\n",
            "vmlinux, fs/new.o: adds new_one\n",
        ],
    );
    assert!(!lab.path("work/tree/fs/new.c").exists());
    lab.patch("m.patch", &[makefile]);
    let (status, out) = lab.build(&["m.patch"]);
    assert_eq!(status, Some(2), "{out}");
    has(&out, &["it adds new.o, but the patch does not add its file"]);
}

/// Patches include the headers by their names, wherever the program is installed.
fn headers_for_authors_of_patches_are_found() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    for entry in std::fs::read_dir(root().join("tests/kernel/include/linux")).unwrap() {
        let header = entry.unwrap().path();
        let to = lab.path("source/include/linux").join(header.file_name().unwrap());
        std::fs::copy(header, to).unwrap();
    }
    let callback = "#include \"kpatch-macros.h\"\n\n\
        static int before(patch_object *obj)\n{\n\treturn 0;\n}\nKPATCH_PRE_PATCH_CALLBACK(before);\n\n\
        int two(int x)";
    lab.patch(
        "c.patch",
        &[("fs/two.c", "int two(int x)", callback), ("fs/two.c", "x + 2", "x + 3")],
    );
    let (status, out) = lab.build(&["c.patch"]);
    assert_eq!(status, Some(0), "{out}");
    has(&out, &["changed function: two\n", "new function: before\n"]);
}

fn what_is_not_the_kernel_is_refused() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    lab.patch("1.patch", &[("fs/pipe.c", "\"open\"", "\"opened\"")]);
    // Another function of the same file is not the one that runs.
    let original = fs::read_to_string(lab.path("source/fs/pipe.c")).unwrap();
    lab.write("source/fs/pipe.c", &original.replace("used - 1", "used - 2"));
    let (status, out) = lab.build(&["1.patch"]);
    assert_eq!(status, Some(0), "{out}");
    has(&out, &["'pipe_close' differs at", "the patch has nothing to do with it"]);
    fs::remove_file(lab.path("lp.ko")).unwrap();
    lab.write("source/fs/pipe.c", &original);
    // The one that is patched.
    let header = fs::read_to_string(lab.path("source/include/linux/pipe.h")).unwrap();
    lab.write("source/include/linux/pipe.h", &header.replace("LIMIT 16", "LIMIT 17"));
    let (status, out) = lab.build(&["1.patch"]);
    assert_eq!(status, Some(2), "{out}");
    has(&out, &["'pipe_open' differs at", "[not-the-kernel]"]);
    assert!(!lab.path("lp.ko").exists());
    let (status, out) = lab.build(&["1.patch", "--allow-different=pipe_open"]);
    assert_eq!(status, Some(0), "{out}");
    lab.write("source/include/linux/pipe.h", &header);

    let config = fs::read_to_string(lab.path("config")).unwrap();
    lab.write("other", &format!("{config}CONFIG_NUMA=y\n"));
    let (status, out) = lab.run(&["--config=other", "1.patch"]);
    assert_eq!(status, Some(2), "{out}");
    has(&out, &["CONFIG_NUMA: y here, not set there", "[config-differs]"]);

    let makefile = fs::read_to_string(lab.path("source/Makefile")).unwrap();
    lab.write("source/Makefile", &makefile.replace("PATCHLEVEL = 12", "PATCHLEVEL = 11"));
    let (status, out) = lab.build(&["1.patch"]);
    assert_eq!(status, Some(2), "{out}");
    has(
        &out,
        &[
            "the source is of Linux 6.11.0, but the kernel that runs is 6.12.0-stub",
            "[source-differs]",
        ],
    );
    lab.write("source/Makefile", &makefile);

    lab.write("cc", "#!/bin/sh\necho 'gcc (Other) 1.2.3'\n");
    succeed(Command::new("chmod").arg("+x").arg(lab.path("cc")));
    let cc = format!("--cc={}", lab.path("cc").display());
    let (status, out) = lab.build(&[&cc, "1.patch"]);
    assert_eq!(status, Some(2), "{out}");
    has(&out, &["is gcc (Other) 1.2.3", "[compiler-differs]"]);
}

fn what_cannot_be_done_says_why() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let cases: [(&[Edit<'_>], i32, &str); 6] = [
        (
            &[("fs/Kconfig", "bool", "tristate")],
            2,
            "fs/Kconfig: another configuration is another kernel",
        ),
        (&[("fs/one.c", "pipe_left(x)", "nosuch(")], 1, "compiling the patched source failed"),
        (&[("fs/one.c", "int one", "/* a remark */\nint one")], 3, "nothing changed"),
        (
            &[("fs/note.txt", "text", "other")],
            3,
            "the patch touches nothing that the kernel is made of",
        ),
        (
            &[("fs/off.c", "return x", "return x + 1")],
            3,
            "fs/off.c is not built in this configuration",
        ),
        (&[("fs/Makefile", "obj-y", "ccflags-y := -O1\nobj-y")], 2, "is no entry of an object"),
    ];
    for (edits, wanted, what) in cases {
        lab.patch("x.patch", edits);
        let (status, out) = lab.build(&["x.patch"]);
        assert_eq!(status, Some(wanted), "{what}: {out}");
        has(&out, &[what]);
        assert!(!lab.path("lp.ko").exists());
    }
    lab.write("x.patch", "no patch\n");
    assert_eq!(lab.build(&["x.patch"]).0, Some(1));
    assert_eq!(lab.build(&["nosuch.patch"]).0, Some(1));
    assert_eq!(lab.build(&[]).0, Some(64));
    assert_eq!(lab.build(&["--nosuch", "x.patch"]).0, Some(64));
    lab.patch("x.patch", &[("fs/one.c", "* 3", "* 5")]);
    let (status, out) = lab.build(&["--dry-run", "x.patch"]);
    assert_eq!(status, Some(0), "{out}");
    has(&out, &["object fs/one.o of vmlinux"]);
    assert!(!out.contains("compiling") && !lab.path("lp.ko").exists(), "{out}");
}

fn what_an_interrupted_run_left_is_undone() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    lab.patch("1.patch", &[("fs/one.c", "* 3", "* 5")]);
    assert_eq!(lab.build(&["--dry-run", "1.patch"]).0, Some(0));
    // As when the program ends while the patched objects are compiled.
    lab.write("work/patched", "fs/pipe.c\nfs/left.c");
    for file in ["fs/pipe.c", "fs/left.c"] {
        let _ = fs::remove_file(lab.path(&format!("work/tree/{file}")));
        lab.write(&format!("work/tree/{file}"), "int wrong;\n");
    }
    let (status, out) = lab.build(&["1.patch"]);
    assert_eq!(status, Some(0), "{out}");
    assert!(!lab.path("work/tree/fs/left.c").exists());
    let same = |file: &str| {
        fs::read(lab.path(&format!("work/tree/{file}"))).unwrap()
            == fs::read(lab.path(&format!("source/{file}"))).unwrap()
    };
    assert!(same("fs/pipe.c") && same("fs/one.c"));
}

/// The kernel of a distribution: its source is unpacked where KLP_DIFF_SOURCE says, its headers
/// and debug information are installed; KLP_DIFF_WORK keeps what is prepared for the next run.
fn the_kernel_of_a_distribution() {
    let Some(source) = std::env::var_os("KLP_DIFF_SOURCE").map(PathBuf::from) else {
        return suite::lacks("KLP_DIFF_SOURCE names no kernel source with its kernel installed");
    };
    let folder = tempfile::tempdir().unwrap();
    let work = std::env::var_os("KLP_DIFF_WORK").map_or(folder.path().join("work"), PathBuf::from);
    let text_before = fs::read_to_string(source.join("fs/proc/uptime.c")).unwrap();
    let line = text_before.lines().position(|l| l.contains("%lu.%02lu %lu.%02lu")).unwrap();
    let original = text_before.lines().nth(line).unwrap();
    let patch = format!(
        "--- a/fs/proc/uptime.c\n+++ b/fs/proc/uptime.c\n@@ -{0},1 +{0},1 @@\n-{original}\n+{1}\n",
        line + 1,
        original.replace("%lu.%02lu\\n", "%lu.%02lu patched\\n")
    );
    fs::write(folder.path().join("up.patch"), patch).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
    command.current_dir(folder.path()).arg("build").arg("--source").arg(&source);
    command.arg("--work").arg(&work).args(["-o", "up.ko", "up.patch"]);
    for (option, variable) in [("--images", "KLP_DIFF_IMAGES"), ("--kernel", "KLP_DIFF_KDIR")] {
        if let Some(value) = std::env::var_os(variable) {
            command.arg(option).arg(value);
        }
    }
    let output = command.output().unwrap();
    let out = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{out}");
    has(
        &out,
        &[
            "vmlinux, fs/proc/uptime.o: replaces uptime_proc_show\n",
            "2 functions: 2 as in the image",
        ],
    );
}

/// Clang with its linker, by the suffix of their names.
fn clang() -> Option<&'static str> {
    let there = |tool: String| Command::new(tool).arg("--version").output().is_ok();
    let all = |s: &&&str| ["clang", "ld.lld", "llvm-ar"].iter().all(|t| there(format!("{t}{s}")));
    let found = ["", "-22", "-19", "-16"].iter().find(all).copied();
    if found.is_none() || !cfg!(target_arch = "x86_64") {
        suite::lacks("needs clang, ld.lld and llvm-ar for x86_64");
        return None;
    }
    found.filter(|_| can_build(&TOOLS))
}

/// The lab with a kernel that is built with ThinLTO.
fn lto_lab(suffix: &str) -> Lab {
    let lab = Lab { folder: tempfile::tempdir().unwrap() };
    for (path, contents) in SOURCE {
        lab.write(&format!("source/{path}"), contents);
    }
    fs::copy(root().join("tests/source/Makefile.lto"), lab.path("source/Makefile")).unwrap();
    lab.write(
        "source/fs/Makefile",
        "obj-y += pipe.o whole.o plain.o\nwhole-y := one.o\nwhole-y += two.o\nobj-m += demo-mod.o\n",
    );
    lab.write("source/fs/one.c", "int two(int x);\nint one(int x)\n{\n\treturn two(x) * 3;\n}\n");
    lab.write("source/fs/plain.c", "int plain(int x)\n{\n\treturn x ^ 5;\n}\n");
    let said = text(&succeed(Command::new(format!("clang{suffix}")).arg("--version")).stdout);
    let said = said.lines().next().unwrap();
    let version = said.split("version ").nth(1).unwrap();
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let numbers: Vec<u32> = version[..end].split('.').map(|n| n.parse().unwrap()).collect();
    let number = numbers[0] * 10_000 + numbers[1] * 100 + numbers[2];
    let config = format!(
        "CONFIG_LIVEPATCH=y\nCONFIG_CC_IS_CLANG=y\nCONFIG_CLANG_VERSION={number}\n\
         CONFIG_CC_VERSION_TEXT=\"{said}\"\nCONFIG_LTO_CLANG=y\nCONFIG_LTO_CLANG_THIN=y\n"
    );
    lab.write("config", &config);
    make_tree(&lab.path("kdir"), &config);
    succeed(Command::new("cp").arg("-r").args([lab.path("source"), lab.path("built")]));
    fs::copy(lab.path("config"), lab.path("built/.config")).unwrap();
    let llvm = format!("LLVM={}", if suffix.is_empty() { "1" } else { suffix });
    let make = |target: &str| {
        let mut command = Command::new("make");
        succeed(command.arg("-C").arg(lab.path("built")).arg(&llvm).arg(target));
    };
    ["olddefconfig", "prepare", "vmlinux_o", "fs/demo-mod.o"].into_iter().for_each(make);
    lab.write(
        "built/banner.c",
        &format!(
            "const char linux_banner[] = \"Linux version {RELEASE} (x) #1\";\n\
             void note(const char *text, int line)\n{{\n}}\n"
        ),
    );
    let built = lab.path("built");
    let mut compile = Command::new(format!("clang{suffix}"));
    let flags = ["-O2", "-fno-pic", "-mcmodel=kernel", "-c", "banner.c", "-o", "banner.o"];
    succeed(compile.current_dir(&built).args(flags));
    fs::create_dir(lab.path("images")).unwrap();
    succeed(
        Command::new(format!("ld.lld{suffix}"))
            .current_dir(&built)
            .args(["-e", "0", "-Ttext=0xffffffff81000000", "--unresolved-symbols=ignore-all"])
            .args(["-o", "../images/vmlinux", "vmlinux.o", "banner.o"]),
    );
    fs::copy(built.join("fs/demo-mod.o"), lab.path("images/demo-mod.ko")).unwrap();
    fs::remove_dir_all(built).unwrap();
    lab
}

fn a_kernel_of_thin_lto_is_linked_twice() {
    let Some(suffix) = clang() else { return };
    let lab = lto_lab(suffix);
    let before = lab.source();
    lab.patch("1.patch", &[("fs/two.c", "x + 2", "x + 7")]);
    let (status, out) = lab.build(&["1.patch"]);
    assert_eq!(status, Some(0), "{out}");
    // What the edit does to the object that inlines the function is seen, too.
    has(
        &out,
        &[
            "building the whole kernel without the patch",
            "3 objects of the link and 1 others",
            "vmlinux, fs/one.o: replaces one\n",
            "vmlinux, fs/two.o: replaces two\n",
            "verified against the running kernel's image: 2 objects, 2 functions: 2 as in the image",
        ],
    );
    assert!(lab.source() == before);
    // The unpatched kernel is linked once; a module has a link of its own; what LTO leaves out is compared, too.
    lab.patch("2.patch", &[("fs/demo-mod.c", "x - 1", "x - 7"), ("fs/plain.c", "x ^ 5", "x ^ 6")]);
    let (status, out) = lab.build(&["2.patch"]);
    assert_eq!(status, Some(0), "{out}");
    assert!(!out.contains("building the whole kernel without"), "{out}");
    has(
        &out,
        &["demo_mod, fs/demo-mod.o: replaces demo\n", "vmlinux, fs/plain.o: replaces plain\n"],
    );
    assert_eq!(fs::read_to_string(lab.path("work/linked.log")).unwrap().lines().count(), 3);
    lab.patch("3.patch", &[("fs/demo-mod.c", "x - 1", "x - 8")]);
    let (status, out) = lab.build(&["3.patch"]);
    assert_eq!(status, Some(0), "{out}");
    assert!(!out.contains("building the whole kernel"), "{out}");
    // Another source is noticed before the second link.
    let two = fs::read_to_string(lab.path("source/fs/two.c")).unwrap();
    for (file, text) in [
        ("fs/two.c", two.replace("x + 2", "x + 4")),
        ("fs/plain.c", "int plain(int x)\n{\n\treturn x ^ 9;\n}\n".to_owned()),
    ] {
        lab.write(&format!("source/{file}"), &text);
    }
    lab.patch("1.patch", &[("fs/two.c", "x + 4", "x + 7")]);
    let (status, out) = lab.build(&["1.patch"]);
    assert_eq!(status, Some(2), "{out}");
    has(&out, &["'two' differs at", "[not-the-kernel]"]);
    assert!(!out.contains("building the whole kernel with the patch"), "{out}");
}

fn a_module_with_a_source_of_its_own() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    fs::rename(lab.path("source"), lab.path("kernel-source")).unwrap();
    for (path, text) in [
        ("Kbuild", "obj-m := own-mod.o\nown-mod-y := a.o tools/b.o\n"),
        (
            "a.c",
            "int a(int x)\n{\n\treturn x + 1;\n}\n\nint line(void)\n{\n\treturn __LINE__;\n}\n",
        ),
        ("tools/b.c", "int b(int x)\n{\n\treturn x + 2;\n}\n"),
    ] {
        lab.write(&format!("source/{path}"), text);
    }
    succeed(Command::new("cp").arg("-r").args([lab.path("source"), lab.path("built")]));
    let built = format!("M={}", lab.path("built").display());
    succeed(Command::new("make").arg("-C").arg(lab.path("kdir")).args([&built, "modules"]));
    fs::copy(lab.path("built/own-mod.ko"), lab.path("images/own-mod.ko")).unwrap();
    let before = lab.source();
    lab.patch("1.patch", &[("a.c", "{\n\treturn x + 1", "{\n\tx *= 2;\n\treturn x + 3")]);
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.current_dir(lab.folder.path()).args(["build", "--module-source=source"]);
        command.args(["--kernel=kdir", "--images=images", "--config=config", "--work=own"]);
        let output = command.args(["-o", "lp.ko"]).args(args).output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (status, out) = run(&["1.patch"]);
    assert_eq!(status, Some(0), "{out}");
    has(
        &out,
        &[
            "object a.o of own_mod: it is another one with the patch\n",
            "own_mod, a.o: replaces a\n",
            "1 objects, 2 functions: 2 as in the image",
        ],
    );
    assert!(!out.contains("changed function: line") && lab.source() == before, "{out}");
    // In a folder whose name means something in the kernel's source only; nothing is built twice.
    lab.patch("2.patch", &[("tools/b.c", "x + 2", "x + 7")]);
    let (status, out) = run(&["2.patch"]);
    assert_eq!(status, Some(0), "{out}");
    has(&out, &["own_mod, tools/b.o: replaces b\n"]);
    assert!(!out.contains("building the modules without"), "{out}");
    // A source that is not that of the module which runs.
    lab.write("source/tools/b.c", "int b(int x)\n{\n\treturn x - 2;\n}\n");
    lab.patch("2.patch", &[("tools/b.c", "x - 2", "x + 7")]);
    let (status, out) = run(&["2.patch"]);
    assert_eq!(status, Some(2), "{out}");
    has(&out, &["'b' differs at", "[not-the-kernel]"]);
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("a_kernel_of_thin_lto_is_linked_twice", a_kernel_of_thin_lto_is_linked_twice),
        ("a_module_with_a_source_of_its_own", a_module_with_a_source_of_its_own),
        ("a_patch_becomes_a_module", a_patch_becomes_a_module),
        (
            "several_patches_for_the_kernel_and_a_module",
            several_patches_for_the_kernel_and_a_module,
        ),
        ("a_header_concerns_those_that_include_it", a_header_concerns_those_that_include_it),
        ("files_are_added", files_are_added),
        ("headers_for_authors_of_patches_are_found", headers_for_authors_of_patches_are_found),
        ("what_is_not_the_kernel_is_refused", what_is_not_the_kernel_is_refused),
        ("what_cannot_be_done_says_why", what_cannot_be_done_says_why),
        ("what_an_interrupted_run_left_is_undone", what_an_interrupted_run_left_is_undone),
        ("the_kernel_of_a_distribution", the_kernel_of_a_distribution),
    ])
}
