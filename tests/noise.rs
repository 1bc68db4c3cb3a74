//! What differs between two builds of the same source: one trial for each class.
//!
//! A class is a file of `tests/noise`, compiled three times: as it is, with `NOISE` and with
//! `REAL` defined. Nothing may be reported between the first and the second, which must
//! differ, and what is nearest to it must be reported between the first and the third. Header
//! lines are `//# KEY: VALUE`; a key may end in `[gcc]` or `[clang]`:
//!
//! * `what`: the class;
//! * `real`: exit status, and part of what is then said;
//! * `rule`: the rule that `--explain-noise` gives, and the section;
//! * `compilers`: all when absent; `flags`: more options for them;
//! * `build`: `thin` for a link of two files with ThinLTO, the second with `SECOND` defined;
//! * `needs`: text that the objects must contain, or the compiler did not do what it is about.
//!
//! Sections that only have to be passed over are in [`PASSED_OVER`].

#[path = "common/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use klp_diff::corpus::compilers::of_machine;
use klp_diff::corpus::directives::Directives;
use klp_diff::corpus::header::STRUCT_SIZES;
use libtest_mimic::{Arguments, Completion, Failed};
use serde_json::Value;

const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -pg -mfentry -fno-pic \
     -mcmodel=kernel -fno-asynchronous-unwind-tables -fno-stack-protector -std=gnu11 \
     -mno-red-zone -Wno-unused-command-line-argument -Icorpus/cases";

const KEYS: [&str; 7] = ["what", "real", "rule", "compilers", "flags", "build", "needs"];

/// Section, its flags, and the rule by which it does not count.
const PASSED_OVER: [(&str, &str, &str); 17] = [
    (".discard.addressable", "aw", "discard"),
    (".discard.reachable", "", "discard"),
    (".llvm_addrsig", "e", "addrsig"),
    (".llvm_bb_addr_map", "", "bb-addr-map"),
    (".llvm.call-graph-profile", "e", "llvm-metadata"),
    (".llvm_stackmaps.pseudo", "", "not-loaded"),
    (".pseudo_probe", "", "pseudo-probe"),
    (".pseudo_probe_desc", "", "pseudo-probe"),
    (".modinfo", "a", "modinfo"),
    (".comment", "MS", "comment"),
    (".note.gnu.property", "a", "gnu-property"),
    (".gnu.build.attributes", "", "build-attributes"),
    (".BTF.ext", "", "btf"),
    (".gnu_debuglink", "", "debuglink"),
    (".gnu.lto_.opts", "e", "lto-opts"),
    (".deps", "", "deps"),
    (".debug_info", "", "debug-information"),
];

struct Class {
    name: String,
    source: PathBuf,
    header: Directives,
}

impl Class {
    fn read(source: PathBuf) -> Class {
        let text = std::fs::read_to_string(&source).unwrap_or_default();
        let header = Directives::parse(&source, &text, &KEYS).unwrap_or_else(|e| panic!("{e}"));
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Class { name, source, header }
    }

    /// The section `section` with other bytes; the same bytes in one that the kernel loads and
    /// nobody knows.
    fn passed_over(folder: &Path, (section, flags, rule): (&str, &str, &str)) -> Class {
        let name = format!("section{}", section.replace('.', "-"));
        let source = folder.join(format!("{name}.S"));
        let entry = if flags.contains('M') { ", 1" } else { "" };
        let text = format!(
            "#ifdef REAL\n\t.section .nobody_knows, \"a\", @progbits\n\t.byte 5, 6\n#endif\n\
             \t.section .text.f, \"ax\", @progbits\n\t.globl f\n\t.type f, @function\n\
             f:\tcall __fentry__\n\tret\n\t.size f, . - f\n\
             \t.section {section}, \"{flags}\", @progbits{entry}\n\
             #ifdef NOISE\n\t.byte 1, 2, 3, 4, 5, 6, 7, 0\n#else\n\t.byte 9, 8, 7, 6, 5, 4, 3, 0\n#endif\n"
        );
        std::fs::write(&source, text).expect("temporary folder");
        // Not in the file: an assembler may know no such comments.
        let header = format!(
            "//# what: a section that is passed over\n//# rule: {rule} {section}\n\
             //# real: 2 section .nobody_knows is new and nothing explains it\n\
             //# compilers: gcc-12\n"
        );
        let header = Directives::parse(&source, &header, &KEYS).expect("well-formed");
        Class { name, source, header }
    }

    fn get(&self, key: &str, compiler: &str) -> &str {
        let family = compiler.split('-').next().unwrap_or(compiler);
        self.header.get(key, &[family])
    }

    fn is_for(&self, compiler: &str) -> bool {
        let named = self.get("compilers", compiler);
        named.is_empty() || named.split_whitespace().any(|c| c == compiler)
    }

    fn compile(&self, compiler: &str, variant: &str, more: &str, to: &Path) -> Result<(), Failed> {
        let mut command = Command::new(compiler);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(FLAGS.split_whitespace());
        command.args(self.get("flags", compiler).split_whitespace());
        command.args(more.split_whitespace()).arg(format!("-D{variant}"));
        succeed(command.arg("-c").arg("-o").arg(to).arg(&self.source))
    }

    /// Builds one variant: an object, or a folder of them.
    fn build(&self, compiler: &str, folder: &Path, variant: &str) -> Result<PathBuf, Failed> {
        let object = folder.join(format!("{variant}.o"));
        if self.get("build", compiler) != "thin" {
            self.compile(compiler, variant, "", &object)?;
            return Ok(object);
        }
        let second = folder.join("second.o");
        self.compile(compiler, variant, "-flto=thin", &object)?;
        self.compile(compiler, variant, "-flto=thin -DSECOND", &second)?;
        let dumps = folder.join(variant);
        std::fs::create_dir(&dumps)?;
        let mut link = Command::new(compiler.replace("clang", "ld.lld"));
        link.arg("-r").arg(format!("--lto-obj-path={}", dumps.join("o").display()));
        succeed(link.arg("-o").arg(folder.join("whole.o")).args([&object, &second]))?;
        Ok(dumps)
    }

    fn run(&self, compiler: &str) -> Result<Completion, Failed> {
        let folder = tempfile::tempdir()?;
        let build = |variant| self.build(compiler, folder.path(), variant);
        let (plain, noise, real) = (build("PLAIN")?, build("NOISE")?, build("REAL")?);
        let (before, after) = (contents(&plain)?, contents(&noise)?);
        let needs = self.get("needs", compiler).as_bytes();
        let has_it = |b: &[u8]| needs.is_empty() || b.windows(needs.len()).any(|w| w == needs);
        if !has_it(&before) || before == after {
            return Ok(Completion::ignored_with("the compiler does not make it"));
        }
        self.check_noise(compiler, &compare(&plain, &noise)?)?;
        let (exit, said, _) = compare(&plain, &real)?;
        let (wanted, says) = self.get("real", compiler).split_once(' ').ok_or("no `real:`")?;
        if exit != wanted.parse::<i32>()? || !said.contains(says) {
            return Err(format!("real change: exit {exit}, wanted {wanted}, {says}\n{said}").into());
        }
        Ok(Completion::Completed)
    }

    fn check_noise(
        &self,
        compiler: &str,
        (exit, said, document): &(i32, String, Value),
    ) -> Result<(), Failed> {
        let objects = document["objects"].as_array().ok_or("no objects")?;
        let empty = |field: &str| {
            objects.iter().all(|o| o[field].as_array().is_some_and(|list| list.is_empty()))
        };
        if *exit != 3 || !["functions", "refusals", "warnings"].into_iter().all(empty) {
            return Err(format!("noise: exit {exit}\n{said}\n{document:#}").into());
        }
        let mut words = self.get("rule", compiler).split_whitespace();
        let (rule, section) = (words.next(), words.next());
        let ignored = objects.iter().flat_map(|o| o["ignored"].as_array()).flatten();
        let named = |i: &Value| {
            rule.is_none_or(|r| i["rule"] == r) && section.is_none_or(|s| i["section"] == s)
        };
        let mut ignored = ignored.peekable();
        if rule.is_some() && !ignored.any(named) {
            return Err(format!("rule {rule:?} is not given\n{document:#}").into());
        }
        Ok(())
    }
}

fn succeed(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}:\n{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// All bytes of an object, or of the objects of a folder.
fn contents(path: &Path) -> Result<Vec<u8>, Failed> {
    if !path.is_dir() {
        return Ok(std::fs::read(path)?);
    }
    let mut files: Vec<PathBuf> =
        path.read_dir()?.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend(std::fs::read(file)?);
    }
    Ok(all)
}

/// Exit status, all that was said, and the report.
fn compare(orig: &Path, patched: &Path) -> Result<(i32, String, Value), Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
    command.args([orig, patched]).args(["--json", "-"]);
    let output = command
        .args(STRUCT_SIZES.map(|(name, size)| format!("--struct={name}={size}")))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let document = serde_json::from_slice(&output.stdout)?;
    Ok((output.status.code().unwrap_or(-1), said, document))
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    cfg!(target_arch = "x86_64") && command.status().is_ok_and(|status| status.success())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/noise");
    let made = tempfile::tempdir().expect("temporary folder");
    let mut sources: Vec<PathBuf> =
        folder.read_dir().into_iter().flatten().flatten().map(|e| e.path()).collect();
    sources.sort();
    let mut classes: Vec<Class> = sources.into_iter().map(Class::read).collect();
    classes.extend(PASSED_OVER.map(|row| Class::passed_over(made.path(), row)));
    let classes: Vec<Arc<Class>> = classes.into_iter().map(Arc::new).collect();
    let mut trials = Vec::new();
    for compiler in of_machine("x86_64").map(|compiler| compiler.command) {
        let installed = runs(compiler)
            && (compiler.starts_with("gcc") || runs(&compiler.replace("clang", "ld.lld")));
        for class in classes.iter().filter(|class| class.is_for(compiler)) {
            let class = Arc::clone(class);
            let name = format!("{}::{compiler}", class.name);
            let trial = suite::trial(name, move || class.run(compiler));
            let kind = if installed { "" } else { "missing compiler" };
            trials.push(trial.with_kind(kind).with_ignored_flag(!installed));
        }
        if !installed {
            crate::suite::lacks(format!("{compiler} is not installed"));
        }
    }
    suite::conclude(&arguments, trials)
}
