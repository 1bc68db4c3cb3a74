//! Folders of objects that gcc makes of a few lines of C.

// No test uses all of it.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::{Command, Output};

use klp_diff::corpus::header::STRUCT_SIZES;
use serde_json::Value;

pub const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic -mcmodel=kernel \
     -fno-asynchronous-unwind-tables -std=gnu11";

/// Two folders that are compared.
pub struct Builds {
    folder: tempfile::TempDir,
}

impl Builds {
    /// `None` without the compiler.
    pub fn new() -> Option<Builds> {
        if Command::new("gcc-12").arg("--version").output().is_err() {
            crate::suite::lacks("gcc-12 is not installed");
            return None;
        }
        Some(Builds::empty())
    }

    /// For tests that bring their own compiler.
    pub fn empty() -> Builds {
        Builds { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Compiles `source`, called `file` by its FILE symbol, into `object`.
    pub fn compile(&self, object: &str, file: &str, source: &str) {
        self.compile_with(object, file, source, &[]);
    }

    /// The same for both folders, the second time with `PATCHED` defined: `a/NAME.o` and
    /// `b/NAME.o`.
    pub fn compile_both(&self, name: &str, source: &str) {
        let file = format!("{name}.c");
        self.compile_with(&format!("a/{name}.o"), &file, source, &["-DORIG"]);
        self.compile_with(&format!("b/{name}.o"), &file, source, &["-DPATCHED"]);
    }

    fn compile_with(&self, object: &str, file: &str, source: &str, options: &[&str]) {
        let input = self.path("source").join(file);
        let output = self.path(object);
        for path in [&input, &output] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        std::fs::write(&input, source).unwrap();
        let mut command = Command::new("gcc-12");
        command.args(FLAGS.split_whitespace()).args(options);
        command.arg("-c").arg("-o").args([&output, &input]);
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Compares both folders.
    pub fn run(&self, options: &[&str]) -> Output {
        self.diff(["a", "b"], options)
    }

    pub fn diff(&self, paths: [&str; 2], options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_klp-diff"))
            .args(paths.map(|path| self.path(path)))
            .args(options)
            .args(STRUCT_SIZES.map(|(name, size)| format!("--struct={name}={size}")))
            .output()
            .unwrap()
    }

    /// Exit status and standard output.
    pub fn told(&self, options: &[&str]) -> (Option<i32>, String) {
        let output = self.run(options);
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub fn json(&self, options: &[&str], exit: i32) -> Value {
        let options: Vec<&str> = options.iter().copied().chain(["--json", "-"]).collect();
        let (code, text) = self.told(&options);
        assert_eq!(code, Some(exit));
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["exit"], exit);
        document
    }

    /// A symbol table of the kernel: FILE blocks with functions of ascending addresses.
    pub fn symtab(&self, files: &[(&str, &[(&str, &str)])]) -> String {
        let mut lines = vec!["Num: Value Size Type Bind Vis Ndx Name".to_owned()];
        let mut globals = Vec::new();
        let mut address = 0xffff_ffff_8100_0000_u64;
        for (file, symbols) in files {
            lines.push(format!("0: 0000000000000000 0 FILE LOCAL DEFAULT ABS {file}"));
            for (name, bind) in *symbols {
                address += 64;
                let line = format!("0: {address:016x} 16 FUNC {bind} DEFAULT 1 {name}");
                if *bind == "LOCAL" { lines.push(line) } else { globals.push(line) }
            }
        }
        lines.extend(globals);
        let lines: Vec<String> = lines
            .into_iter()
            .enumerate()
            .map(|(i, l)| if i == 0 { l } else { l.replacen("0:", &format!("{i}:"), 1) })
            .collect();
        let path = self.path("symtab");
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        path.display().to_string()
    }
}
