//! A small kernel to build patches of.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::tree::{RELEASE, make_tree, root, succeed, text, write};

/// The source: a kernel of two objects and a module.
pub const SOURCE: [(&str, &str); 13] = [
    ("Kbuild", "obj-y += fs/\n"),
    ("scripts/Kbuild.include", ""),
    (
        "fs/Makefile",
        "obj-y += pipe.o whole.o\nwhole-y := one.o\nwhole-y += two.o\nobj-m += demo-mod.o\nobj-$(CONFIG_OFF) += off.o\n",
    ),
    ("include/linux/shape.h", "#define SHAPE_SIZE 8\nstruct shape { int a, b; };\n"),
    (
        "include/linux/pipe.h",
        "#define PIPE_LIMIT 16\nstatic inline int pipe_left(int used)\n{\n\treturn PIPE_LIMIT - used;\n}\n",
    ),
    ("include/linux/more.h", "#include <linux/pipe.h>\n"),
    (
        "fs/pipe.c",
        "#include <linux/pipe.h>\n\nextern void note(const char *text, int line);\n\n\
         int pipe_open(int used)\n{\n\tnote(\"open\", 1);\n\treturn pipe_left(used);\n}\n\n\
         int pipe_close(int used)\n{\n\tnote(\"close\", __LINE__);\n\treturn used - 1;\n}\n",
    ),
    (
        "fs/one.c",
        "#include <linux/shape.h>\n#include <linux/more.h>\n\nint one(int x)\n{\n\treturn pipe_left(x) * 3;\n}\n",
    ),
    (
        "fs/two.c",
        "#ifdef NEVER\n#include <linux/pipe.h>\n#endif\n\nint two(int x)\n{\n\treturn x + 2;\n}\n",
    ),
    ("fs/demo-mod.c", "int demo(int x)\n{\n\treturn x - 1;\n}\n"),
    ("fs/off.c", "int off(int x)\n{\n\treturn x;\n}\n"),
    ("fs/Kconfig", "config OFF\n\tbool\n"),
    ("fs/note.txt", "text\n"),
];

/// A file, a text in it, and what that becomes.
pub type Edit<'e> = (&'e str, &'e str, &'e str);

/// A source, the kernel that runs, and what is built of them.
pub struct Lab {
    pub folder: tempfile::TempDir,
}

impl Lab {
    pub fn new() -> Lab {
        let lab = Lab { folder: tempfile::tempdir().unwrap() };
        for (path, contents) in SOURCE {
            lab.write(&format!("source/{path}"), contents);
        }
        fs::copy(root().join("tests/source/Makefile"), lab.path("source/Makefile")).unwrap();
        let said = text(&succeed(Command::new("gcc").arg("--version")).stdout);
        let said = said.lines().next().unwrap();
        let full = text(&succeed(Command::new("gcc").arg("-dumpfullversion")).stdout);
        let numbers: Vec<u32> = full.trim().split('.').map(|n| n.parse().unwrap()).collect();
        let number = numbers[0] * 10_000 + numbers[1] * 100 + numbers[2];
        let config = format!(
            "CONFIG_LIVEPATCH=y\nCONFIG_GCC_VERSION={number}\nCONFIG_CC_VERSION_TEXT=\"{said}\"\n"
        );
        lab.write("config", &config);
        make_tree(&lab.path("kdir"), &config);
        lab.kernel();
        lab
    }

    /// Builds the kernel that runs, from a copy of the source.
    pub fn kernel(&self) {
        succeed(Command::new("cp").arg("-r").args([self.path("source"), self.path("built")]));
        fs::copy(self.path("config"), self.path("built/.config")).unwrap();
        self.write(
            "built/fs/banner.c",
            &format!(
                "const char linux_banner[] = \"Linux version {RELEASE} (x) #1\";\n\
                 void note(const char *text, int line)\n{{\n}}\n"
            ),
        );
        let make = |targets: &[&str]| {
            succeed(Command::new("make").arg("-C").arg(self.path("built")).args(targets));
        };
        make(&["olddefconfig", "prepare"]);
        make(&["fs/pipe.o", "fs/one.o", "fs/two.o", "fs/demo-mod.o", "fs/banner.o"]);
        fs::create_dir(self.path("images")).unwrap();
        succeed(
            Command::new("ld")
                .current_dir(self.path("built/fs"))
                .args(["-e", "0", "-Ttext=0xffffffff81000000", "--unresolved-symbols=ignore-all"])
                .args(["-o", "../../images/vmlinux", "pipe.o", "one.o", "two.o", "banner.o"]),
        );
        fs::copy(self.path("built/fs/demo-mod.o"), self.path("images/demo-mod.ko")).unwrap();
        fs::remove_dir_all(self.path("built")).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }

    /// Writes a patch that replaces texts in files; `from` is empty for a new file.
    pub fn patch(&self, name: &str, edits: &[Edit<'_>]) {
        let _ = fs::remove_dir_all(self.path("a"));
        let _ = fs::remove_dir_all(self.path("b"));
        for (file, from, to) in edits {
            let original = self.path(&format!("source/{file}"));
            let known = self.path(&format!("b/{file}"));
            let before = fs::read_to_string(&original).unwrap_or_default();
            let current = fs::read_to_string(&known).unwrap_or_else(|_| before.clone());
            assert!(current.contains(from), "{file}: {from}");
            let after =
                if from.is_empty() { (*to).to_owned() } else { current.replacen(from, to, 1) };
            self.write(&format!("b/{file}"), &after);
            if original.exists() {
                self.write(&format!("a/{file}"), &before);
            }
        }
        fs::create_dir_all(self.path("a")).unwrap();
        let diff = Command::new("diff")
            .current_dir(self.folder.path())
            .args(["-ruN", "a", "b"])
            .output()
            .unwrap();
        let patch: Vec<String> = text(&diff.stdout)
            .lines()
            .map(|line| match line.starts_with("--- ") && line.contains("1970-01-01") {
                true => "--- /dev/null".to_owned(),
                false => line.to_owned(),
            })
            .collect();
        self.write(name, &(patch.join("\n") + "\n"));
    }

    pub fn run(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.current_dir(self.folder.path()).args(["build", "--source=source", "--kernel=kdir"]);
        command.args(["--images=images", "--work=work", "-o", "lp.ko"]).args(args);
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }

    /// The same with the configuration that the kernel was built with.
    pub fn build(&self, args: &[&str]) -> (Option<i32>, String) {
        self.run(&[&["--config=config"], args].concat())
    }

    /// All files of the source.
    pub fn source(&self) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
        let mut all = BTreeMap::new();
        let mut open = vec![self.path("source")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let time = path.metadata().unwrap().modified().unwrap();
                    all.insert(path.clone(), (fs::read(&path).unwrap(), time));
                }
            }
        }
        all
    }
}
