//! Builds the module with the kernel's own Kbuild.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::tree::KernelTree;
use crate::diag::{Code, Error, Result};
use crate::elf::out::OutObject;
use crate::elf::publish::publish;
use crate::host::child::{self, Ended, Limits, Trouble};
use crate::host::cleanup::TempFolder;
use crate::kernel::knowledge::sections;

const GLUE: &str = include_str!("glue.c");
const SCRIPT: &str = include_str!("glue.lds");

/// Lines of a failed command's output that are shown.
const SHOWN: usize = 20;

/// Choices of the user.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    /// Compiler; found when it is not given.
    pub cc: Option<String>,
    /// Linker.
    pub ld: Option<String>,
    /// The module replaces all older livepatches.
    pub replace: bool,
    /// What the kernel exports; otherwise what the tree says.
    pub symvers: Option<String>,
}

/// What the kernel's build said.
#[derive(Debug)]
pub struct Built {
    /// The linked module.
    pub path: PathBuf,
    /// Warnings that may matter.
    pub warnings: Vec<String>,
}

/// Writes the sources of module `name` to `folder`: objects to link, glue, Kbuild file.
///
/// `folder` must be empty.
pub fn write_sources(
    folder: &Path,
    name: &str,
    objects: &[OutObject],
    tools: &Tools,
) -> Result<()> {
    let put = |file: &str, text: &str| {
        let path = folder.join(file);
        std::fs::write(&path, text).map_err(|e| {
            Error::broken(Code::Unwritable, format!("cannot write: {e}"))
                .in_file(path.display().to_string())
        })
    };
    let mut parts = String::from("klp-glue.o");
    for (i, object) in objects.iter().enumerate() {
        let part = format!("klp-part{i}.o");
        publish(&folder.join(&part), object)?;
        // modpost looks for the record of each member's build.
        put(&format!(".{part}.cmd"), "")?;
        parts += &format!(" {part}");
    }
    put("klp-glue.c", GLUE)?;
    put("klp-glue.lds", SCRIPT)?;
    put(
        "Kbuild",
        &format!(
            "obj-m := {name}.o\n{name}-y := {parts}\nldflags-y += -T $(src)/klp-glue.lds\n\
             ccflags-y += -DKLP_GLUE_REPLACE={}\n",
            u8::from(tools.replace)
        ),
    )
}

/// Fails when make, or the shells that it runs, would not take the path for what it is: `$(..)`
/// runs commands there, and blanks and colons end a name.
pub fn check_path(path: &Path, advice: &str) -> Result<()> {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@,~".contains(c);
    match text.chars().find(|&c| !plain(c)) {
        None => Ok(()),
        Some(c) => Err(Error::broken(
            Code::BadPath,
            format!("the kernel's build cannot work here: the path has the character '{c}'"),
        )
        .in_file(text)
        .advise(advice)),
    }
}

/// Runs the kernel's build in `folder`, which [`write_sources`] filled.
pub fn build(tree: &KernelTree, folder: &Path, name: &str, tools: &Tools) -> Result<Built> {
    check_path(
        folder,
        "give --keep, or TMPDIR, a path of letters, digits and any of . _ - + @ , ~",
    )?;
    check_path(tree.path(), "move the kernel tree, or give it another name")?;
    let shadow = shadow(tree, tools)?;
    let mut command = make_in(shadow.as_ref().map_or(tree.path(), TempFolder::path));
    command.arg(format!("M={}", folder.display()));
    // Undefined symbols are those of the running kernel; what else is missing is found later.
    // What objtool says is judged here.
    command.args(["KBUILD_MODPOST_WARN=1", "CONFIG_OBJTOOL_WERROR=", "modules"]);
    command.args(compiler_arguments(tree, tools)?);
    if let Some(ld) = &tools.ld {
        command.arg(format!("LD={ld}"));
    }
    let (success, log) = run(&mut command)?;
    if !success {
        return Err(failed("the kernel's build of the module failed", &log));
    }
    let path = folder.join(format!("{name}.ko"));
    if !path.is_file() {
        return Err(failed("the kernel's build made no module", &log));
    }
    let mut warnings = Vec::new();
    for line in log.lines() {
        if line.contains("unannotated intra-function call") {
            return Err(failed("objtool did not understand the module", &log)
                .advise("its tables would be missing, and the module would crash the kernel"));
        }
        if line.to_ascii_lowercase().contains("warning") && !is_expected(line) {
            warnings.push(line.trim().to_owned());
        }
    }
    let about_code: Vec<String> = warnings.iter().filter(|w| is_about_code(w)).cloned().collect();
    if !about_code.is_empty() {
        let text = "objtool did not understand functions of the module";
        return Err(Error::refused(Code::ObjtoolWarning, text).with_details(about_code).advise(
            "their tables may be wrong, and tasks that sleep there may block later livepatches: \
             give the kernel and its modules with --image, whose code tells what never returns; \
             else leave these functions out, or report it with the objects",
        ));
    }
    Ok(Built { path, warnings })
}

/// A folder that stands for the tree where that has other exports than it should: the build
/// reads those of the folder that it runs in, and no argument makes it read others.
fn shadow(tree: &KernelTree, tools: &Tools) -> Result<Option<TempFolder>> {
    const EXPORTS: &str = "Module.symvers";
    let Some(wanted) = &tools.symvers else { return Ok(None) };
    let own = std::fs::read(tree.path().join(EXPORTS));
    if own.is_ok_and(|own| own == wanted.as_bytes()) {
        return Ok(None);
    }
    let fail = |e: std::io::Error| {
        Error::broken(Code::Unwritable, format!("cannot stand in for the kernel tree: {e}"))
            .in_file(tree.path().display().to_string())
    };
    let usual = std::env::temp_dir();
    let place = if check_path(&usual, "").is_ok() { usual } else { PathBuf::from("/tmp") };
    let folder = TempFolder::new("klp-diff-", Some(&place)).map_err(fail)?;
    for entry in std::fs::read_dir(tree.path()).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if entry.file_name() != EXPORTS {
            std::os::unix::fs::symlink(entry.path(), folder.path().join(entry.file_name()))
                .map_err(fail)?;
        }
    }
    std::fs::write(folder.path().join(EXPORTS), wanted).map_err(fail)?;
    Ok(Some(folder))
}

/// Whether a warning is objtool's about code, which it names by function and offset.
fn is_about_code(line: &str) -> bool {
    let Some((_, what)) = line.split_once("objtool: ") else { return false };
    let name = what.split(['+', '(', ':', ' ']).next().unwrap_or("");
    // Code without a function at that place is named by its section.
    let code = sections::CODE.iter().any(|prefix| name.starts_with(prefix));
    !name.is_empty() && (!name.starts_with('.') || code)
}

/// Whether a warning of the build is about how livepatches are made.
fn is_expected(line: &str) -> bool {
    // Symbols of the running kernel, and tables of relocations that are not loaded.
    let modpost = line.starts_with("WARNING: modpost:")
        && (line.ends_with("undefined!")
            || line.contains("(.kpatch.")
            || line.contains("section '.kpatch.")
            || line.contains("unresolved symbol warnings because there were too many"));
    // ftrace enters the new function by a return, which needs no landing pad.
    let objtool = line.contains("objtool: .kpatch.funcs+") && line.contains("to !ENDBR");
    modpost || objtool
}

/// make in a kernel's tree, with nothing that another make or a build left in the environment.
pub fn make_in(tree: &Path) -> Command {
    let mut command = Command::new("make");
    command.arg("-C").arg(tree);
    for variable in [
        "MAKEFLAGS",
        "GNUMAKEFLAGS",
        "MAKEFILES",
        "MAKELEVEL",
        "MFLAGS",
        "KBUILD_OUTPUT",
        "KBUILD_EXTMOD",
        "O",
        "M",
        "KCFLAGS",
        "KCPPFLAGS",
        "KAFLAGS",
        "V",
        "W",
        "LOCALVERSION",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command to its end, with messages in English.
pub fn end(command: &mut Command) -> Result<Ended> {
    let program = command.get_program().to_string_lossy().into_owned();
    child::run(command.env("LC_ALL", "C"), Limits::default()).map_err(|trouble| {
        let error = Error::broken(Code::NoTool, format!("{program}: {trouble}"));
        match trouble {
            Trouble::Start(_) => error.advise(format!("install {program}")),
            _ => error,
        }
    })
}

/// Runs a command; gives whether it succeeded, and all that it printed.
fn run(command: &mut Command) -> Result<(bool, String)> {
    let ended = end(command)?;
    Ok((ended.status.success(), ended.log()))
}

/// The error of a build, with the last lines of what it printed.
pub fn failed(what: &str, log: &str) -> Error {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.iter().skip(lines.len().saturating_sub(SHOWN));
    Error::broken(Code::BuildFailed, what).with_details(last.map(|l| format!("  | {l}")).collect())
}

/// Arguments of make that choose the compiler: the given one, or the one of the kernel.
fn compiler_arguments(tree: &KernelTree, tools: &Tools) -> Result<Vec<String>> {
    let Some((clang, version)) = tree.compiler() else {
        return Ok(tools.cc.iter().map(|cc| format!("CC={cc}")).collect());
    };
    if let Some(cc) = &tools.cc {
        return Ok(arguments(clang, cc));
    }
    let base = if clang { "clang" } else { "gcc" };
    let cross = std::env::var("CROSS_COMPILE").unwrap_or_default();
    let cross = if clang { "" } else { &cross };
    let candidates = [format!("{cross}{base}"), format!("{cross}{base}-{}", version[0])];
    for candidate in &candidates {
        if version_of(candidate) == Some(version) {
            return Ok(arguments(clang, candidate));
        }
    }
    let [major, minor, patch] = version;
    Err(Error::broken(
        Code::CompilerDiffers,
        format!("the kernel was built with {base} {major}.{minor}.{patch}, which is not here"),
    )
    .in_file(tree.path().display().to_string())
    .advise("install that compiler, or choose another one with --cc at your own risk"))
}

fn arguments(clang: bool, cc: &str) -> Vec<String> {
    if !clang {
        return vec![format!("CC={cc}")];
    }
    // LLVM= chooses all tools: a suffix such as -19, or the folder they are in.
    let (folder, file) = cc.rsplit_once('/').map_or(("", cc), |(folder, file)| (folder, file));
    let suffix = file.strip_prefix("clang").unwrap_or("");
    let llvm = match (folder, suffix) {
        ("", "") => "1".to_owned(),
        ("", suffix) => suffix.to_owned(),
        (folder, "") => format!("{folder}/"),
        _ => return vec!["LLVM=1".to_owned(), format!("CC={cc}")],
    };
    vec![format!("LLVM={llvm}")]
}

/// Version that a compiler reports; `None` when it does not run or says nothing like one.
fn version_of(compiler: &str) -> Option<[u32; 3]> {
    let (success, log) = run(Command::new(compiler).arg("--version")).ok()?;
    if success { version_in(log.lines().next()?) } else { None }
}

/// The last word of a line that is a version of three numbers.
pub fn version_in(line: &str) -> Option<[u32; 3]> {
    line.split_ascii_whitespace().rev().find_map(|word| {
        let mut parts = word.splitn(3, '.');
        let mut next = || {
            let part = parts.next()?;
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part.get(..end)?.parse().ok()
        };
        Some([next()?, next()?, next()?])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_compilers_print_them() {
        let version = |line| version_in(line);
        assert_eq!(version("gcc (Debian 12.2.0-14+deb12u1) 12.2.0"), Some([12, 2, 0]));
        assert_eq!(version("Debian clang version 19.1.7 (3~deb12u1)"), Some([19, 1, 7]));
        assert_eq!(version("clang version 16.0.6"), Some([16, 0, 6]));
        assert_eq!(version("tcc 0.9"), None);
    }

    #[test]
    fn paths_that_make_would_expand_are_refused() {
        for path in ["/tmp/a-b_c.1+2@x", "rel/ative~"] {
            check_path(Path::new(path), "").expect(path);
        }
        for path in ["/tmp/$(touch x)", "/t/a b", "/t/a:b", "/t/`x`", "/t/a#b", "/t/a\nb", "/t/ü"]
        {
            assert_eq!(check_path(Path::new(path), "").expect_err(path).code(), Code::BadPath);
        }
    }

    #[test]
    fn clang_brings_all_its_tools() {
        assert_eq!(arguments(false, "gcc-12"), ["CC=gcc-12"]);
        assert_eq!(arguments(true, "clang"), ["LLVM=1"]);
        assert_eq!(arguments(true, "clang-19"), ["LLVM=-19"]);
        assert_eq!(arguments(true, "/opt/llvm/bin/clang"), ["LLVM=/opt/llvm/bin/"]);
    }

    #[test]
    fn what_objtool_says_about_functions_counts() {
        for (about_code, line) in [
            (true, "lp.o: warning: objtool: show+0x39: unreachable instruction"),
            (true, "lp.o: warning: objtool: show() falls through to next function f()"),
            (true, "lp.o: warning: objtool: .text.show: unexpected end of section"),
            (false, "lp.o: warning: objtool: .data.ops+0x8: data relocation to !ENDBR: f+0x0"),
            (false, "WARNING: modpost: missing MODULE_DESCRIPTION() in lp.o"),
        ] {
            assert_eq!(is_about_code(line), about_code, "{line}");
        }
    }

    #[test]
    fn warnings_that_every_livepatch_causes_are_left_out() {
        for (expected, line) in [
            (true, "WARNING: modpost: \"do_exit\" [/t/lp.ko] undefined!"),
            (
                true,
                "WARNING: modpost: /t/lp (.kpatch.symbols): unexpected non-allocatable section.",
            ),
            (
                true,
                "WARNING: modpost: lp.ko: unexpected non-allocatable section '.kpatch.symbols'.",
            ),
            (true, "lp.o: warning: objtool: .kpatch.funcs+0x38: data relocation to !ENDBR: f+0x0"),
            (false, "lp.o: warning: objtool: .data.ops+0x8: data relocation to !ENDBR: f+0x0"),
            (false, "WARNING: modpost: lp: section mismatch in reference: f (section: .text)"),
        ] {
            assert_eq!(is_expected(line), expected, "{line}");
        }
    }

    #[test]
    fn failures_show_the_last_lines() {
        let log: String = (0..50).map(|i| format!("line {i}\n")).collect();
        let error = failed("it failed", &log);
        assert_eq!(error.details().len(), SHOWN);
        assert_eq!(error.details()[SHOWN - 1], "  | line 49");
        let (success, log) =
            run(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).expect("runs");
        assert!(!success);
        assert_eq!(log, "no\n");
        let error = run(&mut Command::new("/nonexistent/tool")).expect_err("not there");
        assert!(error.message().contains("/nonexistent/tool"), "{error}");
    }
}
