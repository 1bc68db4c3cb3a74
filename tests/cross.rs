//! Verdicts and outputs for all machines, on pairs that cross compilers make of our own C.
//!
//! Each case (see `common`) is compiled by every toolchain below. Beyond the verdict, an
//! output must be one that the machine's own tools accept: readelf reads it without a
//! warning, the linker joins it with another one, and what create-klp-module makes of the
//! result keeps to the kernel's format for livepatch modules. The klp flavour must mean the
//! same. A toolchain that is not installed, and a case a compiler has no use for, are
//! reported as ignored, by name.

#[path = "common/suite.rs"]
mod suite;

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};

use common::{folder, load_cases, names};
use elf::ElfBytes;
use elf::abi;
use elf::endian::AnyEndian;
use klp_diff::corpus::compilers::{COMPILERS, Compiler};
use klp_diff::corpus::header::{Header, STRUCT_SIZES};
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::verify::verify;
use klp_diff::elf::write::write;
use klp_diff::patch::convert::{ConvertOptions, to_klp_module};
use klp_diff::report::canon;
use libtest_mimic::{Arguments, Completion, Failed};

/// A compiler with the tools that belong to it.
struct Toolchain {
    compiler: &'static Compiler,
    /// Layouts of code: name, options. The first one gets all cases, others [`LAYOUT_CASES`]. They
    /// are more than the variants of a corpus, which only needs one that kernels have.
    layouts: &'static [(&'static str, &'static str)],
    readelf: &'static str,
    linker: &'static str,
    /// The kernel can trace what the compiler makes.
    traced: bool,
}

const LLVM_READELF: &str = "llvm-readelf-19";

/// No -mprofile-kernel and no -fpatchable-function-entry before clang 20, so that a corpus has no
/// use for it.
static UNTRACED: Compiler = Compiler {
    name: "clang-19-powerpc64",
    command: "clang-19",
    arch: "powerpc64",
    flags: "--target=powerpc64le-linux-gnu -mabi=elfv2 -msoft-float -fno-pic \
         -fno-optimize-sibling-calls",
    variants: &[],
};

/// On other machines than x86-64, where `clang-19` alone compiles for those.
static CROSS_X86: Compiler = Compiler {
    name: "clang-19-x86_64",
    command: "clang-19",
    arch: "x86_64",
    flags: "--target=x86_64-linux-gnu -mno-red-zone -fno-pic -mcmodel=kernel",
    variants: &[],
};

/// The compiler of a corpus that is called so.
const fn named(name: &str) -> &'static Compiler {
    let mut i = 0;
    while i < COMPILERS.len() {
        if is_same(COMPILERS[i].name, name) {
            return &COMPILERS[i];
        }
        i += 1;
    }
    panic!("no compiler is called so")
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// Options: arch/*/Makefile of Linux 6.1 to 6.12, and what kpatch-build adds.
static TOOLCHAINS: [Toolchain; 8] = [
    Toolchain {
        compiler: named("aarch64-linux-gnu-gcc"),
        layouts: &[
            ("bti", "-fpatchable-function-entry=2 -mbranch-protection=pac-ret+bti"),
            ("plain", "-fpatchable-function-entry=2"),
            ("call-ops", "-fpatchable-function-entry=4,2"),
            ("call-ops-bti", "-fpatchable-function-entry=4,2 -mbranch-protection=pac-ret+bti"),
        ],
        readelf: "aarch64-linux-gnu-readelf",
        linker: "aarch64-linux-gnu-ld",
        traced: true,
    },
    Toolchain {
        compiler: named("clang-19-aarch64"),
        layouts: &[
            ("plain", "-fpatchable-function-entry=2"),
            ("kcfi", "-fpatchable-function-entry=2 -fsanitize=kcfi"),
            (
                "call-ops-kcfi",
                "-fpatchable-function-entry=4,2 -fsanitize=kcfi -mbranch-protection=pac-ret+bti",
            ),
        ],
        readelf: LLVM_READELF,
        linker: "ld.lld-19 -m aarch64linux",
        traced: true,
    },
    Toolchain {
        compiler: named("powerpc64le-linux-gnu-gcc"),
        layouts: &[
            ("large", "-mcmodel=large -mprofile-kernel -pg"),
            ("medium", "-mcmodel=medium -mprofile-kernel -pg"),
        ],
        readelf: "powerpc64le-linux-gnu-readelf",
        linker: "powerpc64le-linux-gnu-ld",
        traced: true,
    },
    Toolchain {
        compiler: &UNTRACED,
        layouts: &[("untraced", "-mcmodel=large")],
        readelf: LLVM_READELF,
        linker: "ld.lld-19 -m elf64lppc",
        traced: false,
    },
    Toolchain {
        compiler: named("s390x-linux-gnu-gcc"),
        layouts: &[
            ("pie", "-fPIE -pg -mfentry -mrecord-mcount -mnop-mcount"),
            (
                "expoline",
                "-fPIE -pg -mfentry -mrecord-mcount -mnop-mcount -mindirect-branch=thunk-extern \
                 -mfunction-return=thunk-extern -mindirect-branch-table",
            ),
            ("no-pie", "-fno-pie -pg -mfentry -mrecord-mcount -mnop-mcount"),
            ("hotpatch", "-fPIE -mhotpatch=0,3"),
        ],
        readelf: "s390x-linux-gnu-readelf",
        linker: "s390x-linux-gnu-ld",
        traced: true,
    },
    Toolchain {
        compiler: named("clang-19-s390x"),
        layouts: &[("pie", "-fPIE -pg -mfentry -mrecord-mcount -mnop-mcount")],
        readelf: LLVM_READELF,
        linker: "ld.lld-19 -m elf64_s390",
        traced: true,
    },
    Toolchain {
        compiler: named("clang-19-loongarch64"),
        layouts: &[
            (
                "pic",
                "-fpatchable-function-entry=2 -mcmodel=extreme -fPIC -fno-direct-access-external-data",
            ),
            ("no-pic", "-fpatchable-function-entry=2 -mcmodel=extreme -fno-pic"),
        ],
        readelf: LLVM_READELF,
        linker: "ld.lld-19 -m elf64loongarch",
        traced: true,
    },
    Toolchain {
        compiler: &CROSS_X86,
        layouts: &[("plain", "-pg -mfentry")],
        readelf: LLVM_READELF,
        linker: "ld.lld-19 -m elf_x86_64",
        traced: true,
    },
];

/// Cases for layouts of code that differ from the usual one.
const LAYOUT_CASES: [&str; 13] = [
    "body",
    "cold-part",
    "extable",
    "function-pointers",
    "jump-label",
    "line-warning",
    "new-global-data",
    "new-static-data",
    "new-static-function",
    "part",
    "static-local",
    "string",
    "trap-row",
];

/// The case whose output is linked with that of every other one.
const PARTNER: &str = "body";

/// One toolchain in one variant.
struct Setup {
    toolchain: &'static Toolchain,
    flags: &'static str,
    /// The output of [`PARTNER`], once it was made.
    partner: Mutex<Option<Vec<u8>>>,
}

impl Setup {
    fn compile(&self, case: &str, flags: &str, define: &str, out: &Path) -> Result<(), Failed> {
        let compiler = self.toolchain.compiler;
        let mut command = Command::new(compiler.command);
        command.args(compiler.args(self.flags, flags)).args(define.split_whitespace());
        command.args(["-c", "-o"]).arg(out).arg(format!("{case}.c")).current_dir(folder());
        quiet(&mut command).map(drop)
    }
}

/// A pair of objects in a folder of its own.
struct Pair {
    folder: tempfile::TempDir,
}

impl Pair {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make(setup: &Setup, case: &str, flags: &str) -> Result<Pair, Failed> {
        let pair = Pair { folder: tempfile::tempdir()? };
        setup.compile(case, flags, "", &pair.file("orig.o"))?;
        setup.compile(case, flags, "-DPATCHED", &pair.file("patched.o"))?;
        let mut readelf = program(setup.toolchain.readelf);
        let symtab = quiet(readelf.args(["-s", "--wide"]).arg(pair.file("orig.o")))?;
        std::fs::write(pair.file("symtab"), symtab)?;
        Ok(pair)
    }

    fn diff(&self, output: &str, flavor: &str) -> Result<std::process::Output, Failed> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klp-diff"));
        command.args([self.file("orig.o"), self.file("patched.o")]).envs(STRUCT_SIZES);
        command.arg("-o").arg(self.file(output)).args(["--flavor", flavor]);
        command.arg("--symtab").arg(self.file("symtab"));
        Ok(command.output()?)
    }
}

/// A program with leading options.
fn program(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// Runs a tool that must succeed and have nothing to say on standard error.
fn quiet(command: &mut Command) -> Result<Vec<u8>, Failed> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() && said.is_empty() {
        return Ok(output.stdout);
    }
    Err(format!("{command:?}: {}\n{said}", output.status).into())
}

fn is_installed(toolchain: &Toolchain) -> bool {
    [toolchain.compiler.command, toolchain.readelf, toolchain.linker].iter().all(|tool| {
        let mut command = program(tool);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

fn run(case: &Header, setup: &Setup) -> Result<Completion, Failed> {
    let compiler = setup.toolchain.compiler;
    let pair = Pair::make(setup, case.name(), case.directive("flags", compiler))?;
    let needed = case.directive("needs-symbol", compiler);
    for object in ["orig.o", "patched.o"] {
        let bytes = std::fs::read(pair.file(object))?;
        let names_it = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        if !needed.is_empty() && !names_it(needed) {
            return Ok(Completion::ignored_with(format!("the compiler made no {needed}")));
        }
    }

    let output = pair.diff("out.o", "kpatch")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = format!("\nstdout:\n{stdout}stderr:\n{stderr}");
    let mut wanted = i32::from(case.exit(compiler)?);
    let untraceable =
        wanted == 0 && !setup.toolchain.traced && !case.functions("changed", compiler).is_empty();
    if untraceable {
        wanted = 2;
    }
    if output.status.code() != Some(wanted) {
        return Err(format!("{}, wanted {wanted}{said}", output.status).into());
    }
    if pair.file("out.o").exists() != (wanted == 0) {
        return Err(format!("there is an output exactly when the exit status is 0{said}").into());
    }
    if wanted == 1 || wanted == 2 {
        let reason = match untraceable {
            true => "doesn't have patchable function entry",
            false => case.directive("says", compiler),
        };
        if stderr.is_empty() || !stderr.contains(reason) {
            return Err(format!("wrong reason{said}").into());
        }
        return Ok(Completion::Completed);
    }
    for (key, prefix) in [("changed", "changed function: "), ("new", "new function: ")] {
        let (found, wanted) = (names(&stdout, prefix), case.functions(key, compiler));
        if found != wanted {
            return Err(format!("{key}: found {found:?}, wanted {wanted:?}{said}").into());
        }
    }
    if wanted == 0 {
        check_output(&pair, setup)?;
    }
    Ok(Completion::Completed)
}

/// What the machine's tools think of an output.
fn check_output(pair: &Pair, setup: &Setup) -> Result<(), Failed> {
    let out = pair.file("out.o");
    check_readable(setup, &out)?;

    let flavored = pair.diff("klp.o", "klp")?;
    if !flavored.status.success() {
        return Err(String::from_utf8_lossy(&flavored.stderr).into_owned().into());
    }
    let klp = pair.file("klp.o");
    check_readable(setup, &klp)?;
    convert(&out, &pair.file("converted.o"))?;
    let differences = canon::diff(&lines(&pair.file("converted.o"))?, &lines(&klp)?);
    if !differences.is_empty() {
        return Err(format!("the klp flavour differs:\n{}", differences.join("\n")).into());
    }
    check_livepatch(&std::fs::read(&klp)?)?;

    if !setup.toolchain.traced {
        return Ok(());
    }
    let partner = pair.file("partner.o");
    std::fs::write(&partner, partner_output(setup)?)?;
    let (linked, module) = (pair.file("linked.o"), pair.file("module.ko"));
    quiet(program(setup.toolchain.linker).arg("-r").arg("-o").args([&linked, &out, &partner]))?;
    convert(&linked, &module)?;
    check_readable(setup, &module)?;
    check_livepatch(&std::fs::read(&module)?)
}

fn partner_output(setup: &Setup) -> Result<Vec<u8>, Failed> {
    let mut made = setup.partner.lock().map_err(|_| "the partner could not be made")?;
    if let Some(bytes) = &*made {
        return Ok(bytes.clone());
    }
    let pair = Pair::make(setup, PARTNER, "")?;
    let output = pair.diff("out.o", "kpatch")?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let bytes = std::fs::read(pair.file("out.o"))?;
    Ok(made.insert(bytes).clone())
}

/// readelf, asked for everything it can check, has nothing to complain about.
fn check_readable(setup: &Setup, file: &Path) -> Result<(), Failed> {
    let mut readelf = program(setup.toolchain.readelf);
    let text = quiet(readelf.args(["-h", "-S", "-s", "-r", "-n", "-g", "--wide"]).arg(file))?;
    let text = String::from_utf8_lossy(&text);
    let odd = |line: &&str| {
        ["arning: ", "<corrupt", "<unknown", "unrecognized", "Unknown"]
            .iter()
            .any(|w| line.contains(w))
    };
    match text.lines().find(odd) {
        None => Ok(()),
        Some(line) => Err(format!("{}: {line}", file.display()).into()),
    }
}

/// create-klp-module.
fn convert(input: &Path, output: &Path) -> Result<(), Failed> {
    let bytes = std::fs::read(input)?;
    let object = Object::<Patched>::parse(&input.display().to_string(), &bytes)?;
    let model = to_klp_module(&object, &ConvertOptions { klp_arch_sections: true }, None)?;
    let bytes = write(&model)?;
    verify(&model, &bytes)?;
    Ok(std::fs::write(output, bytes)?)
}

fn lines(file: &Path) -> Result<Vec<String>, Failed> {
    let bytes = std::fs::read(file)?;
    Ok(canon::canonical(&Object::<Patched>::parse(&file.display().to_string(), &bytes)?)?)
}

const SHN_LIVEPATCH: u16 = 0xff20;
const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;

/// Linux Documentation/livepatch/module-elf-format.rst, read with a reader of its own.
fn check_livepatch(bytes: &[u8]) -> Result<(), Failed> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes)?;
    let (shdrs, strings) = file.section_headers_with_strtab()?;
    let (shdrs, strings) = (shdrs.ok_or("no sections")?, strings.ok_or("no section names")?);
    let (symbols, symbol_names) = file.symbol_table()?.ok_or("no symbols")?;
    let symtab = shdrs.iter().position(|s| s.sh_type == abi::SHT_SYMTAB).ok_or("no symtab")?;
    for symbol in symbols.iter() {
        let name = symbol_names.get(symbol.st_name as usize)?;
        if name.starts_with(".klp.sym.") != (symbol.st_shndx == SHN_LIVEPATCH) {
            return Err(format!("{name}: st_shndx {:#x}", symbol.st_shndx).into());
        }
        if symbol.st_shndx == SHN_LIVEPATCH && !is_symbol_name(name) {
            return Err(format!("{name}: not .klp.sym.OBJECT.NAME,POSITION").into());
        }
    }
    for shdr in shdrs.iter() {
        let name = strings.get(shdr.sh_name as usize)?;
        let bad = |what: &str| Err(Failed::from(format!("{name}: {what}")));
        if [".kpatch.symbols", ".kpatch.relocations", ".kpatch.arch"].contains(&name) {
            return bad("still there");
        }
        let livepatch = name.starts_with(".klp.rela.");
        if livepatch != (shdr.sh_flags & SHF_RELA_LIVEPATCH != 0) {
            return bad("SHF_RELA_LIVEPATCH belongs to .klp.rela sections");
        }
        if shdr.sh_type != abi::SHT_RELA {
            if livepatch {
                return bad("not SHT_RELA");
            }
            continue;
        }
        for rela in file.section_data_as_relas(&shdr)? {
            let symbol = symbols.get(rela.r_sym as usize)?;
            if livepatch != (symbol.st_shndx == SHN_LIVEPATCH) {
                return bad("livepatch symbols belong into livepatch relocations");
            }
        }
        if !livepatch {
            continue;
        }
        let flags = u64::from(abi::SHF_ALLOC) | u64::from(abi::SHF_INFO_LINK) | SHF_RELA_LIVEPATCH;
        if shdr.sh_flags != flags || shdr.sh_entsize != 24 || shdr.sh_link as usize != symtab {
            return bad("wrong flags, sh_entsize or sh_link");
        }
        let base = shdrs.get(shdr.sh_info as usize)?;
        let base = strings.get(base.sh_name as usize)?;
        let rest = name.trim_start_matches(".klp.rela.");
        if rest.split_once('.').map(|(_, section)| format!(".{section}")) != Some(base.to_owned())
            && rest.split_once('.').is_none_or(|(_, section)| section != base)
        {
            return bad(&format!("sh_info refers to {base}"));
        }
    }
    Ok(())
}

/// `.klp.sym.OBJECT.NAME,POSITION`
fn is_symbol_name(name: &str) -> bool {
    let parts = name
        .strip_prefix(".klp.sym.")
        .and_then(|rest| rest.split_once('.'))
        .and_then(|(object, rest)| Some((object, rest.rsplit_once(',')?)));
    parts.is_some_and(|(object, (name, position))| {
        !object.is_empty()
            && !name.is_empty()
            && !position.is_empty()
            && position.bytes().all(|b| b.is_ascii_digit())
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let cases: Vec<Arc<Header>> = match load_cases(TOOLCHAINS.iter().map(|t| t.compiler)) {
        Ok(cases) => cases.into_iter().map(Arc::new).collect(),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for toolchain in &TOOLCHAINS {
        let installed = is_installed(toolchain);
        let before = trials.len();
        for (i, &(variant, flags)) in toolchain.layouts.iter().enumerate() {
            let setup = Arc::new(Setup { toolchain, flags, partner: Mutex::new(None) });
            let wanted = |case: &&Arc<Header>| {
                case.is_for(toolchain.compiler) && (i == 0 || LAYOUT_CASES.contains(&case.name()))
            };
            for case in cases.iter().filter(wanted) {
                let Compiler { arch, .. } = toolchain.compiler;
                let family = toolchain.compiler.family();
                let name = format!("{}::{arch}::{family}::{variant}", case.name());
                let (case, setup) = (Arc::clone(case), Arc::clone(&setup));
                trials.push(
                    suite::trial(name, move || run(&case, &setup))
                        .with_kind(if installed { "" } else { "missing toolchain" })
                        .with_ignored_flag(!installed),
                );
            }
        }
        if !installed {
            let (count, command) = (trials.len() - before, toolchain.compiler.name);
            crate::suite::lacks(format!(
                "{count} trials, not all tools are installed for {command}"
            ));
        }
    }
    suite::conclude(&arguments, trials)
}
