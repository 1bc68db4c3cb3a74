//! Which kernel object the objects of a patch belong to, with several images.

#[path = "common/suite.rs"]
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "common/linked.rs"]
mod linked;

use linked::{compile, have, link, run_tool};

const KERNEL: &str = "static __attribute__((noinline)) int helper(int x) { return x * 7 + 3; }\n\
    int core(int x)\n{\n#ifdef PATCHED\n x ^= 5;\n#endif\n return helper(x) + 1; }\n";
const MODULE: &str = "static __attribute__((noinline)) int helper(int x) { return x * 9 + 4; }\n\
    int core(int);\n\
    int ours(int x)\n{\n#ifdef PATCHED\n x ^= 6;\n#endif\n return helper(core(x)) + 2; }\n";
/// Without a name that others see.
const LOCAL: &str = "static __attribute__((noinline)) int helper(int x) { return x * 9 + 4; }\n\
    static int step(int x)\n{\n#ifdef PATCHED\n x ^= 6;\n#endif\n return helper(x) + 2; }\n\
    static void *kept __attribute__((used)) = step;\n";

struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    /// A folder with objects before and after a patch, and what the former were linked into.
    fn new() -> Lab {
        let lab = Lab { folder: tempfile::tempdir().expect("folder") };
        for (name, source) in [("core", KERNEL), ("ours", MODULE), ("local", LOCAL)] {
            lab.object(name, source, &[]);
            lab.object(name, source, &["-DPATCHED"]);
        }
        fs::create_dir_all(lab.path("linked/kernel")).expect("folder");
        link("ld", lab.folder.path(), &[lab.path("orig/core.o")], &[]);
        fs::copy(lab.path("vmlinux"), lab.path("linked/vmlinux")).expect("copied");
        fs::copy(lab.path("orig/ours.o"), lab.path("linked/kernel/my-mod.ko")).expect("copied");
        fs::copy(lab.path("orig/local.o"), lab.path("linked/kernel/one.ko")).expect("copied");
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn object(&self, name: &str, source: &str, defines: &[&str]) {
        let side = if defines.is_empty() { "orig" } else { "patched" };
        let object = compile(self.folder.path(), "build", source, defines);
        fs::create_dir_all(self.path(side)).expect("folder");
        fs::copy(object, self.path(&format!("{side}/{name}.o"))).expect("copied");
    }

    fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        let output = command.current_dir(self.folder.path()).args(args).output().expect("runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The objects that an output is for.
    fn objects(&self, output: &str) -> Vec<String> {
        let (status, text) = self.run(&["dump", output]);
        assert_eq!(status, Some(0), "{text}");
        let functions = text.lines().filter(|line| line.starts_with("func "));
        let object =
            |line: &str| line.split("obj=str:\"").nth(1)?.split('"').next().map(str::to_owned);
        functions.filter_map(object).collect()
    }
}

fn ready() -> bool {
    have(&["gcc", "ld", "xz"])
}
fn the_image_that_has_the_code_is_patched() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    let one_by_one = [
        "--image=linked/vmlinux",
        "--image=linked/kernel/my-mod.ko",
        "--image=linked/kernel/one.ko",
    ];
    run_tool(Command::new("cp").arg("-r").args([lab.path("linked"), lab.path("packed")]));
    run_tool(Command::new("xz").arg("--check=crc32").arg(lab.path("packed/kernel/my-mod.ko")));
    for images in [&one_by_one[..], &["--images=linked"], &["--images=packed"]] {
        for (name, owner) in [("core", "vmlinux"), ("ours", "my_mod"), ("local", "one")] {
            let pair = [format!("orig/{name}.o"), format!("patched/{name}.o")];
            let args = [images, &["-o", "out.o", &pair[0], &pair[1]]].concat();
            let (status, text) = lab.run(&args);
            assert_eq!(status, Some(0), "{args:?}: {text}");
            assert_eq!(lab.objects("out.o"), [owner], "{args:?}");
        }
        let args = [images, &["-o", "out/", "orig", "patched"]].concat();
        let (status, text) = lab.run(&args);
        assert_eq!(status, Some(0), "{args:?}: {text}");
        assert_eq!(lab.objects("out/core.o"), ["vmlinux"]);
        assert_eq!(lab.objects("out/ours.o"), ["my_mod"]);
        assert_eq!(lab.objects("out/local.o"), ["one"]);
    }
}
fn what_may_belong_to_several_is_refused_until_it_is_said() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    fs::copy(lab.path("orig/local.o"), lab.path("linked/kernel/two.ko")).expect("copied");
    let pair = ["-o", "out.o", "orig/local.o", "patched/local.o"];
    let (status, text) = lab.run(&[&["--images=linked"][..], &pair].concat());
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("candidate: one (linked/kernel/one.ko)"), "{text}");
    assert!(text.contains("candidate: two (linked/kernel/two.ko)"), "{text}");
    for object in ["two", "two=orig", "two=patched/local.o", "two=./local.o", "two=local.o"] {
        let object = format!("--object={object}");
        let (status, text) = lab.run(&[&["--images=linked", &object][..], &pair].concat());
        assert_eq!(status, Some(0), "{object}: {text}");
        assert_eq!(lab.objects("out.o"), ["two"], "{object}");
    }
    let (status, text) =
        lab.run(&[&["--images=linked", "--object=two=nowhere"][..], &pair].concat());
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("--object two=nowhere matches nothing"), "{text}");
    let (status, text) = lab.run(&[&["--images=linked", "--object=three"][..], &pair].concat());
    assert_eq!(status, Some(1), "{text}");
    // Some of a folder.
    let args = ["--images=linked", "--object=two=local.o", "-o", "out/", "orig", "patched"];
    let (status, text) = lab.run(&args);
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(lab.objects("out/local.o"), ["two"]);
    assert_eq!(lab.objects("out/ours.o"), ["my_mod"]);
}
fn what_no_image_has_is_refused() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    fs::remove_file(lab.path("linked/kernel/my-mod.ko")).expect("removed");
    let (status, text) =
        lab.run(&["--images=linked", "-o", "out.o", "orig/ours.o", "patched/ours.o"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("none of the images has the functions of this object"), "{text}");
    // All the names are there, with other code.
    lab.object("other", &LOCAL.replace("* 9", "* 11"), &[]);
    lab.object("other", &LOCAL.replace("* 9", "* 11"), &["-DPATCHED"]);
    let (status, text) =
        lab.run(&["--images=linked", "-o", "out.o", "orig/other.o", "patched/other.o"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("no image has its code"), "{text}");
    assert!(!Path::new(&lab.path("out.o")).exists());
    // A file that is called a module, and is none, might have been the one.
    fs::write(lab.path("linked/kernel/text.ko"), "no module").expect("written");
    let (status, text) =
        lab.run(&["--images=linked", "-o", "out.o", "orig/ours.o", "patched/ours.o"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("linked/kernel/text.ko: not an ELF file"), "{text}");
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("the_image_that_has_the_code_is_patched", the_image_that_has_the_code_is_patched),
        (
            "what_may_belong_to_several_is_refused_until_it_is_said",
            what_may_belong_to_several_is_refused_until_it_is_said,
        ),
        ("what_no_image_has_is_refused", what_no_image_has_is_refused),
    ])
}
