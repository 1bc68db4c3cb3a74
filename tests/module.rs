//! `klp-diff module` with a stand-in for a kernel tree (tests/kernel), and the C that it
//! brings along with the interfaces of all kernels it is for.

#[path = "common/suite.rs"]
mod suite;
#[path = "common/tree.rs"]
#[allow(dead_code)]
mod tree;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tree::{SYMVERS, can_build, make_tree, root, succeed, text, write};

/// What the tests need.
const TOOLS: [&str; 4] = ["gcc", "ld", "make", "readelf"];

const CFLAGS: [&str; 9] = [
    "-O2",
    "-pg",
    "-mfentry",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-pic",
    "-mcmodel=kernel",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
];

/// A folder with a kernel tree, and objects before and after a patch.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Lab {
        let lab = Lab { folder: tempfile::tempdir().unwrap() };
        make_tree(&lab.path("kdir"), "CONFIG_LIVEPATCH=y\n");
        lab.pair("a", "int alpha(int x) { return x + 1; }", "int alpha(int x) { return x + 2; }");
        lab.pair("b", "int beta(int x) { return x * 3; }", "int beta(int x) { return x * 5; }");
        lab.pair("demo/d", "int demo(int x) { return x - 1; }", "int demo(int x) { return x; }");
        let (a, b, d) = (lab.path("orig/a.o"), lab.path("orig/b.o"), lab.path("orig/demo/d.o"));
        succeed(
            Command::new("ld")
                .args(["-e", "0", "-Ttext=0xffffffff81000000", "--unresolved-symbols=ignore-all"])
                .args(["-o".as_ref(), lab.path("vmlinux").as_os_str()])
                .args([a, b]),
        );
        fs::copy(d, lab.path("demo.ko")).unwrap();
        for object in ["vmlinux", "demo.ko"] {
            let symbols =
                succeed(Command::new("readelf").args(["-s", "--wide"]).arg(lab.path(object)));
            fs::write(lab.path(&format!("{object}.symtab")), symbols.stdout).unwrap();
        }
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    /// Compiles a source to an object of the same name.
    fn object(&self, name: &str, source: &str) {
        // Both sides have the same FILE symbol.
        let (folder, stem) = name.rsplit_once('/').unwrap();
        self.write(&format!("{folder}/{stem}.c"), source);
        succeed(
            Command::new("gcc")
                .current_dir(self.path(folder))
                .args(CFLAGS)
                .args(["-c", &format!("{stem}.c")]),
        );
    }

    fn pair(&self, name: &str, orig: &str, patched: &str) {
        self.object(&format!("orig/{name}"), orig);
        self.object(&format!("patched/{name}"), patched);
    }

    /// Runs `klp-diff module` in the folder with these arguments.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.current_dir(self.folder.path()).args(["module", "--kernel", "kdir"]).args(args);
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// The same, on all objects, with symbols as text.
    fn all(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let known = ["--symtab", "vmlinux.symtab", "--symtab", "demo=demo.ko.symtab"];
        let rest = ["--object", "demo=demo", "-o", "lp.ko", "orig", "patched"];
        self.run(&[&known, args, &rest].concat())
    }
}
fn one_module_is_made_of_many_objects() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let (status, out, err) = lab.all(&["--keep", "kept"]);
    assert_eq!(status, Some(0), "{out}{err}");
    for line in [
        "comparing a.o\nchanged function: alpha",
        "comparing b.o\nchanged function: beta",
        "comparing demo/d.o\nchanged function: demo",
        "building lp.ko for 6.12.0-stub\nbuilt in ",
        "wrote lp.ko for 6.12.0-stub: 3 function(s) replaced, 0 livepatch relocation(s)",
    ] {
        assert!(out.contains(line), "{line}:\n{out}");
    }
    let kbuild = fs::read_to_string(lab.path("kept/Kbuild")).unwrap();
    assert!(kbuild.contains("obj-m := lp.o"), "{kbuild}");
    assert!(kbuild.contains("KLP_GLUE_REPLACE=0"), "{kbuild}");
    assert_eq!(fs::read_to_string(lab.path("kept/tools")).unwrap(), "CC=gcc LD=ld\n");
    let strings = fs::read(lab.path("lp.ko")).unwrap();
    let has = |text: &str| strings.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(has("livepatch=Y") && has("vermagic=6.12.0-stub") && has("demo\0"));

    // The linked objects tell the same.
    let (status, out, err) = lab.run(&[
        "--image=vmlinux",
        "--image=demo=demo.ko",
        "--object=demo=demo",
        "-o",
        "again.ko",
        "--name=lp",
        "orig",
        "patched",
    ]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(fs::read(lab.path("again.ko")).unwrap() == fs::read(lab.path("lp.ko")).unwrap());
}
fn options_reach_the_build() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    lab.write("my-cc", "#!/bin/sh\nexec gcc \"$@\"\n");
    lab.write("my-ld", "#!/bin/sh\nexec ld \"$@\"\n");
    succeed(Command::new("chmod").arg("+x").args([lab.path("my-cc"), lab.path("my-ld")]));
    let (cc, ld) = (lab.path("my-cc"), lab.path("my-ld"));
    let (cc, ld) = (cc.to_str().unwrap(), ld.to_str().unwrap());
    let (status, out, err) =
        lab.all(&["--cc", cc, "--ld", ld, "--replace", "--name", "other-name", "--keep", "kept"]);
    assert_eq!(status, Some(0), "{out}{err}");
    let read = |name: &str| fs::read_to_string(lab.path(name)).unwrap();
    assert_eq!(read("kept/tools"), format!("CC={cc} LD={ld}\n"));
    assert!(read("kept/Kbuild").contains("obj-m := other-name.o"));
    assert!(read("kept/Kbuild").contains("KLP_GLUE_REPLACE=1"));
    assert!(lab.path("lp.ko").exists());

    // The last of the two counts.
    let (status, ..) = lab.all(&["--replace", "--no-replace", "--keep", "kept2"]);
    assert_eq!(status, Some(0));
    assert!(read("kept2/Kbuild").contains("KLP_GLUE_REPLACE=0"));
}
fn what_a_tool_said_last_is_shown() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    lab.write("bad-cc", "#!/bin/sh\nfor i in `seq 100`; do echo \"line $i\"; done; exit 1\n");
    succeed(Command::new("chmod").arg("+x").arg(lab.path("bad-cc")));
    let cc = lab.path("bad-cc");
    let (status, _, err) = lab.all(&["--cc", cc.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(err.contains("the kernel's build of the module failed"), "{err}");
    assert!(err.contains("| line 100\n") && !err.contains("line 10\n"), "{err}");
    assert!(!lab.path("lp.ko").exists());
}
fn what_would_not_load_is_not_written() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    lab.write("symvers", &SYMVERS.replace("strcmp", "memcmp"));
    let (status, _, err) = lab.all(&["--symvers", "symvers"]);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("undefined symbol strcmp: nothing exports it"), "{err}");
    assert!(!lab.path("lp.ko").exists());

    lab.write("kdir/include/config/kernel.release", "6.13.0\n");
    let (status, _, err) = lab.all(&[]);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("vermagic is '6.12.0-stub SMP ', but the kernel is 6.13.0"), "{err}");
}
fn the_patch_may_add_and_remove_source_files() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    fs::remove_file(lab.path("patched/b.o")).unwrap();
    lab.pair(
        "a",
        "int alpha(int x) { return x + 1; }",
        "int extra(int); int alpha(int x) { return extra(x); }",
    );
    let extra = "static int sum = 5; int beta(int);\n\
        static __attribute__((noinline)) int add(int x) { sum += x; return sum; }\n\
        int extra(int x) { return beta(add(x)); }";
    lab.object("patched/extra", extra);
    let (status, out, err) = lab.all(&[]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(err.contains("note: orig/b.o is gone; its code stays in the kernel"), "{err}");
    assert!(out.contains("comparing extra.o\nnew function: add\nnew function: extra"), "{out}");
    // alpha and demo; extra() calls beta() of the kernel.
    assert!(out.contains("2 function(s) replaced, 1 livepatch relocation(s)"), "{out}");

    // The same, file by file.
    let (status, out, err) = lab.run(&[
        "--symtab=vmlinux.symtab",
        "-o=files.ko",
        "orig/a.o",
        "patched/a.o",
        "/dev/null",
        "patched/extra.o",
        "orig/b.o",
        "/dev/null",
    ]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(out.contains("1 function(s) replaced, 1 livepatch relocation(s)"), "{out}");

    // A file that is gone under one name and there under another is the same one.
    lab.object("patched/extra", "int beta(int x) { return x * 4; } int extra(int x) { return x; }");
    let (status, out, err) = lab.all(&[]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(out.contains("comparing extra.o\nchanged function: beta"), "{out}");

    // A new file whose code the kernel has already, or that wants to run at boot.
    fs::copy(lab.path("orig/b.o"), lab.path("patched/b.o")).unwrap();
    lab.object("patched/extra", "int beta(int x) { return x; }");
    let (status, _, err) = lab.all(&[]);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("the kernel has one of its functions"), "{err}");
    lab.object(
        "patched/extra",
        &format!(
            "{extra}\nstatic int start(void) {{ return extra(1); }}\n\
             static void *p __attribute__((used, section(\".initcall6.init\"))) = start;"
        ),
    );
    let (status, _, err) = lab.all(&[]);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains(".initcall6.init: initcalls ran when the kernel booted"), "{err}");
}
fn mistakes_are_told() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let base = ["--symtab=vmlinux.symtab", "-o=lp.ko"];
    let (status, _, err) =
        lab.run(&[&base[..], &["--object=demo=demo", "orig", "patched"]].concat());
    assert_eq!(status, Some(1));
    assert!(err.contains("give them with --image demo=FILE"), "{err}");
    let (status, _, err) = lab.run(&[&base[..], &["orig"]].concat());
    assert_eq!(status, Some(64), "{err}");
    let (status, _, err) = lab.run(&[&base[..], &["--name=a b", "orig", "patched"]].concat());
    assert_eq!(status, Some(64), "{err}");
    let (status, out, _) = lab.run(&[&base[..], &["orig", "orig"]].concat());
    assert_eq!((status, out.as_str()), (Some(3), "nothing changed\n"));
    let (status, _, err) = lab.run(&[&base[..], &["orig", "patched/a.o"]].concat());
    assert_eq!(status, Some(1));
    assert!(err.contains("a folder is paired with a file"), "{err}");
}
fn what_is_at_hand_is_found_and_told() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let (status, _, err) = lab.run(&["-o=lp.ko", "orig/a.o", "patched/a.o"]);
    assert_eq!(status, Some(1), "{err}");
    assert!(
        err.contains("kdir/vmlinux\n") && err.contains("give the kernel with --image"),
        "{err}"
    );
    fs::copy(lab.path("vmlinux"), lab.path("kdir/vmlinux")).unwrap();
    let (status, out, err) = lab.run(&["-o=lp.ko", "orig/a.o", "patched/a.o"]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(err.contains("found vmlinux: kdir/vmlinux\n"), "{err}");
    assert!(err.contains("found exports: kdir/Module.symvers\n"), "{err}");
    // What is given goes before it.
    let (status, _, err) = lab.run(&["--image=vmlinux", "-o=lp.ko", "orig/a.o", "patched/a.o"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(!err.contains("found vmlinux"), "{err}");
    // Modules are found as well, and what belongs to which.
    let (status, _, err) = lab.run(&["-o=lp.ko", "orig", "patched"]);
    assert_ne!(status, Some(0), "{err}");
    fs::create_dir(lab.path("kdir/drivers")).unwrap();
    fs::copy(lab.path("demo.ko"), lab.path("kdir/drivers/demo.ko")).unwrap();
    fs::write(lab.path("kdir/modules.order"), "drivers/demo.o\n").unwrap();
    let (status, out, err) = lab.run(&["-o=lp.ko", "orig", "patched"]);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(err.contains("found modules: kdir (1 files)\n"), "{err}");
    assert!(out.contains("3 function(s) replaced"), "{out}");
    let given = ["--symtab=vmlinux.symtab", "--strict", "-o=lp.ko", "orig/a.o", "patched/a.o"];
    assert_eq!(lab.run(&given).0, Some(64));
}
fn objects_of_one_patch_refer_to_each_other() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    // What the kernel has as a static function, the optimiser made visible to another object.
    let local = "static __attribute__((noinline)) int helper(int x) { return x * 9; }\n\
        int delta(int x) { return helper(x) + 1; }\n";
    let hidden = "int helper(int) __asm__(\"helper.llvm.123\");\n";
    let shown = local.replace("static ", "__attribute__((visibility(\"hidden\"))) ");
    lab.object("p-orig/c", local);
    lab.object("p-orig/e", "int echo(int x) { return x + 1; }\n");
    lab.object("p-patched/c", &format!("{hidden}{}", shown.replace("+ 1", "+ 2")));
    lab.object("p-patched/e", &format!("{hidden}int echo(int x) {{ return helper(x); }}\n"));
    succeed(
        Command::new("ld")
            .args(["-e", "0", "-Ttext=0xffffffff81000000", "--unresolved-symbols=ignore-all"])
            .args(["-o".as_ref(), lab.path("p-vmlinux").as_os_str()])
            .args([lab.path("p-orig/c.o"), lab.path("p-orig/e.o")]),
    );
    let base = ["--image=p-vmlinux", "-o=lp.ko", "--name=lp"];
    let (status, out, err) = lab.run(&[&base[..], &["p-orig", "p-patched"]].concat());
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(out.contains("2 function(s) replaced, 2 livepatch relocation(s)"), "{out}");
    let folders = fs::read(lab.path("lp.ko")).unwrap();
    // The same, file by file, and on any number of threads.
    let files = ["-j1", "p-orig/e.o", "p-patched/e.o", "p-orig/c.o", "p-patched/c.o"];
    let (status, again, err) = lab.run(&[&base[..], &files].concat());
    assert_eq!(status, Some(0), "{again}{err}");
    assert!(fs::read(lab.path("lp.ko")).unwrap() == folders);
    // By itself the object does not tell.
    let (status, _, err) = lab.run(&[&base[..], &["p-orig/e.o", "p-patched/e.o"]].concat());
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("'helper.llvm.123' is not known"), "{err}");
}
fn objects_that_objtool_has_seen_are_refused_where_it_runs_again() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let seen = |body: &str| {
        format!(
            "int alpha(int x) {{ return {body}; }}\n\
             asm(\".section .return_sites,\\\"a\\\"; .long alpha - .; .text\");"
        )
    };
    lab.object("orig/a", &seen("x + 1"));
    lab.object("patched/a", &seen("x + 2"));
    lab.write(
        "kdir/include/config/auto.conf",
        "CONFIG_LIVEPATCH=y\nCONFIG_OBJTOOL=y\nCONFIG_X86_KERNEL_IBT=y\n",
    );
    let args = ["--symtab=vmlinux.symtab", "-o=lp.ko", "orig/a.o", "patched/a.o"];
    let (status, out, err) = lab.run(&args);
    assert_eq!(status, Some(2), "{out}{err}");
    assert!(err.contains("give the objects from before objtool"), "{err}");
    assert!(!out.contains("building"), "{out}");
}

/// A pointer to a function that the kernel sealed stops the build before it begins.
fn pointers_to_sealed_functions_are_refused() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let build = |name: &str, source: &str| {
        let path = lab.path(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("s.c"), source).unwrap();
        let mut gcc = Command::new("gcc");
        gcc.current_dir(&path).args(CFLAGS).arg("-fcf-protection=branch");
        succeed(gcc.args(["-c", "s.c"]));
        path.join("s.o")
    };
    let rest = "int sealed(int x) { return x + 1; } int open(int x) { return x + 2; }\n\
        __attribute__((noinline)) int run(int (*f)(int)) { return f(1) + 1; }\n\
        asm(\".pushsection .ibt_endbr_seal,\\\"a\\\"; .long sealed - .; .popsection\");";
    let source = |body: &str| {
        format!(
            "extern int sealed(int), open(int), run(int (*)(int));\n\
             int gamma(int x) {{ return {body}; }}"
        )
    };
    let orig = build("s-orig", &source("sealed(x) + open(x) + 1"));
    let rest = build("s-rest", rest);
    succeed(
        Command::new("ld")
            .args(["-e", "0", "-Ttext=0xffffffff81000000", "--unresolved-symbols=ignore-all"])
            .args(["-o".as_ref(), lab.path("s-vmlinux").as_os_str()])
            .args([orig, rest]),
    );
    let base = ["--image=s-vmlinux", "-o=lp.ko", "s-orig", "s-patched"];
    build("s-patched", &source("sealed(x) + run(sealed)"));
    let (status, out, err) = lab.run(&base);
    assert_eq!(status, Some(2), "{out}{err}");
    assert!(err.contains("'gamma' takes the address of 'sealed'"), "{err}");
    assert!(!out.contains("building") && !lab.path("lp.ko").exists(), "{out}");
    let (status, out, err) = lab.run(&[&base[..], &["--allow-sealed=sealed"]].concat());
    assert_eq!(status, Some(0), "{out}{err}");
    fs::remove_file(lab.path("lp.ko")).unwrap();
    build("s-patched", &source("sealed(x) + run(open)"));
    let (status, out, err) = lab.run(&base);
    assert_eq!(status, Some(0), "{out}{err}");
    assert!(lab.path("lp.ko").exists());
}

/// First version with each change of the interface, and some in between.
const VERSIONS: [[u32; 2]; 12] = [
    [4, 19],
    [5, 0],
    [5, 1],
    [5, 4],
    [5, 10],
    [5, 15],
    [6, 1],
    [6, 6],
    [6, 12],
    [6, 18],
    [7, 0],
    [7, 5],
];

/// Links the kernel with what it says of itself.
fn kernel_says(lab: &Lab, says: &str) {
    lab.object("orig-kernel/k", &format!("{says}\nint of_the_kernel;"));
    succeed(
        Command::new("ld")
            .args(["-e", "0", "-Ttext=0xffffffff81000000", "--unresolved-symbols=ignore-all"])
            .args(["-o".as_ref(), lab.path("vmlinux").as_os_str()])
            .args([lab.path("orig/a.o"), lab.path("orig/b.o"), lab.path("orig-kernel/k.o")]),
    );
}

fn tree_image_and_exports_are_of_one_kernel() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let banner = |release: &str| {
        format!("const char linux_banner[] = \"Linux version {release} (lab) #1 SMP\";")
    };
    let right = banner("6.12.0-stub");
    let ends_as = |says: &str, wanted: Option<i32>, texts: &[&str]| {
        kernel_says(&lab, says);
        let (status, out, err) =
            lab.run(&["--image=vmlinux", "-o=lp.ko", "orig/a.o", "patched/a.o"]);
        assert_eq!(status, wanted, "{says}: {out}{err}");
        for text in ["vmlinux:"].iter().filter(|_| wanted != Some(0)).chain(texts) {
            assert!(err.contains(text), "{says}: no '{text}' in {err}");
        }
        assert_eq!(fs::remove_file(lab.path("lp.ko")).is_ok(), wanted == Some(0), "{says}");
    };
    ends_as(&right, Some(0), &[]);
    ends_as(&banner("6.12.0-other"), Some(1), &["is of 6.12.0-other", "/kdir is of 6.12.0-stub"]);

    let magic = |flags: &str| format!("{right} const char vermagic[] = \"6.12.0-stub {flags}\";");
    ends_as(&magic("SMP "), Some(0), &[]);
    let texts = ["'6.12.0-stub SMP preempt'", "/kdir have '6.12.0-stub SMP'"];
    ends_as(&magic("SMP preempt "), Some(1), &texts);

    let config = |text: &str| {
        lab.write("config", text);
        let packed = succeed(Command::new("gzip").args(["-nc"]).arg(lab.path("config"))).stdout;
        fs::write(lab.path("config.gz"), packed).unwrap();
        let file = lab.path("config.gz").display().to_string();
        format!(
            "{right} asm(\".section .rodata\\n.ascii \\\"IKCFG_ST\\\"\\n.incbin \\\"{file}\\\"\\n.ascii \\\"IKCFG_ED\\\"\\n.text\");"
        )
    };
    ends_as(&config("CONFIG_LIVEPATCH=y\n# CONFIG_SMP is not set\n"), Some(0), &[]);
    let texts = ["another configuration than the kernel tree", "CONFIG_SMP: y here, not set there"];
    ends_as(&config("CONFIG_LIVEPATCH=y\nCONFIG_SMP=y\n"), Some(1), &texts);

    let version = format!("{right} asm(\".globl __crc_kfree\\n.set __crc_kfree, 0x1234\");");
    ends_as(&version, Some(0), &[]);
    let auto = lab.path("kdir/include/config/auto.conf");
    fs::write(auto, "CONFIG_LIVEPATCH=y\nCONFIG_MODVERSIONS=y\n").unwrap();
    let texts = ["kdir/Module.symvers", "kfree: 0x00001234 here, 0x00000000 there"];
    ends_as(&version, Some(1), &texts);
}

fn exports_that_are_given_are_what_the_module_is_built_with() {
    if !can_build(&TOOLS) {
        return;
    }
    let lab = Lab::new();
    let given = format!("{SYMVERS}0x00000000\tonly_here\tvmlinux\tEXPORT_SYMBOL\t\n");
    lab.write("given", &given);
    let seen = |kept: &str| {
        let (status, out, err) = lab.all(&["--keep", kept, "--symvers=given"]);
        assert_eq!(status, Some(0), "{out}{err}");
        fs::read_to_string(lab.path(kept).join("exports")).unwrap()
    };
    assert_eq!(seen("with"), given);
    assert_eq!(fs::read_to_string(lab.path("kdir/Module.symvers")).unwrap(), SYMVERS);
    fs::remove_file(lab.path("kdir/Module.symvers")).unwrap();
    assert_eq!(seen("without"), given);
    assert!(!lab.path("kdir/Module.symvers").exists());
}

/// Compilers that are there.
fn compilers() -> impl Iterator<Item = &'static str> {
    let all = ["gcc", "clang-14", "clang-16", "clang-19"];
    all.into_iter().filter(|cc| Command::new(cc).arg("--version").output().is_ok())
}
fn the_glue_fits_every_kernel() {
    if !can_build(&TOOLS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let object = folder.path().join("glue.o");
    for (cc, [major, minor]) in compilers().flat_map(|cc| VERSIONS.map(|v| (cc, v))) {
        let compile = |replace: u32, more: &[&str]| {
            let output = Command::new(cc)
                .args(["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-c"])
                .args(["-fno-pic", "-mcmodel=kernel", "-isystem"])
                .arg(root().join("tests/kernel/include"))
                .arg(format!("-DLINUX_VERSION_CODE={}", (major << 16) + (minor << 8)))
                .arg(format!("-DKLP_GLUE_REPLACE={replace}"))
                .args(more)
                .arg(root().join("src/patch/module/glue.c"))
                .arg("-o")
                .arg(&object)
                .output()
                .unwrap();
            (output.status.success(), text(&output.stderr))
        };
        let (success, said) = compile(0, &[]);
        assert!(success, "{cc} {major}.{minor}: {said}");
        let symbols = text(&succeed(Command::new("nm").arg(&object)).stdout);
        let registers = symbols.contains(" U klp_register_patch");
        assert!(symbols.contains(" U klp_enable_patch"));
        assert_eq!(registers, [major, minor] < [5, 1], "{cc} {major}.{minor}");
        let (success, said) = compile(1, &[]);
        assert_eq!(success, [major, minor] >= [5, 1], "{cc} {major}.{minor}: {said}");
        assert!(success || said.contains("cannot replace older livepatches"), "{said}");
    }
}

/// A whole module with each kernel tree that the machine has installed.
fn installed_kernels_build_modules() {
    let trees = fs::read_dir("/usr/src").into_iter().flatten().flatten().map(|e| e.path());
    let installed = |p: &PathBuf| {
        let options = fs::read_to_string(p.join("include/config/auto.conf")).unwrap_or_default();
        // Where objtool works on the linked module, objects of the tree's own build are no input.
        let late = ["CONFIG_X86_KERNEL_IBT=y", "CONFIG_LTO_CLANG=y"];
        let late = late.iter().any(|option| options.contains(option));
        let fits = options.contains("CONFIG_LIVEPATCH=y") && options.contains("CONFIG_X86_64=y");
        if fits && late {
            eprintln!("skipped: {}: objtool works on the linked module", p.display());
        }
        fits && !late
    };
    let mut trees: Vec<PathBuf> = trees.filter(installed).collect();
    trees.sort();
    if trees.is_empty() || !can_build(&TOOLS) {
        crate::suite::lacks("no kernel headers that objects alone are enough for in /usr/src");
        return;
    }
    let lab = Lab::new();
    for (i, tree) in trees.iter().enumerate() {
        // objtool makes the tables for the unwinder, so the tree compiles the objects.
        for (side, more) in [("orig", 1), ("patched", 2)] {
            let source = format!("int alpha(int x);\nint alpha(int x) {{ return x + {more}; }}\n");
            lab.write(&format!("{i}/{side}/alpha.c"), &source);
            lab.write(
                &format!("{i}/{side}/Kbuild"),
                "obj-m := alpha.o\nccflags-y := -ffunction-sections\n",
            );
            let folder = lab.path(&format!("{i}/{side}"));
            succeed(
                Command::new("make")
                    .arg("-C")
                    .arg(tree)
                    .arg(format!("M={}", folder.display()))
                    .arg("alpha.o")
                    .env_remove("MAKEFLAGS"),
            );
        }
        let symbols = succeed(
            Command::new("readelf")
                .args(["-s", "--wide"])
                .arg(lab.path(&format!("{i}/orig/alpha.o"))),
        );
        fs::write(lab.path("alpha.symtab"), symbols.stdout).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.current_dir(lab.folder.path()).args(["module", "--kernel"]).arg(tree);
        command.args(["--symtab=alpha.symtab", "--struct=ORC_STRUCT_SIZE=6", "-o=real.ko"]);
        command.args(["orig", "patched"].map(|side| format!("{i}/{side}/alpha.o")));
        let output = command.output().unwrap();
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{}: {said}", tree.display());
        assert!(said.contains("1 function(s) replaced"), "{said}");
        eprintln!("built a module with {}", tree.display());
    }
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("one_module_is_made_of_many_objects", one_module_is_made_of_many_objects),
        ("options_reach_the_build", options_reach_the_build),
        ("what_a_tool_said_last_is_shown", what_a_tool_said_last_is_shown),
        ("what_would_not_load_is_not_written", what_would_not_load_is_not_written),
        ("the_patch_may_add_and_remove_source_files", the_patch_may_add_and_remove_source_files),
        ("mistakes_are_told", mistakes_are_told),
        ("what_is_at_hand_is_found_and_told", what_is_at_hand_is_found_and_told),
        ("objects_of_one_patch_refer_to_each_other", objects_of_one_patch_refer_to_each_other),
        (
            "objects_that_objtool_has_seen_are_refused_where_it_runs_again",
            objects_that_objtool_has_seen_are_refused_where_it_runs_again,
        ),
        ("pointers_to_sealed_functions_are_refused", pointers_to_sealed_functions_are_refused),
        ("tree_image_and_exports_are_of_one_kernel", tree_image_and_exports_are_of_one_kernel),
        (
            "exports_that_are_given_are_what_the_module_is_built_with",
            exports_that_are_given_are_what_the_module_is_built_with,
        ),
        ("the_glue_fits_every_kernel", the_glue_fits_every_kernel),
        ("installed_kernels_build_modules", installed_kernels_build_modules),
    ])
}
