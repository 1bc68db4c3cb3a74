//! The configuration of the kernel that runs, and the compiler that built it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::diag::{Code, Error, Result};
use crate::elf::image::Image;
use crate::host::child::{self, Limits};
use crate::patch::module::kbuild::version_in;

/// Options of a configuration, without `CONFIG_`; those that are not set, or empty, are
/// not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    options: BTreeMap<String, String>,
}

/// Options that say what the tools are, or how the build signs and names itself, and not what
/// functions are made of. Packages leave some of these out.
const ABOUT_TOOLS: [&str; 19] = [
    "BUILD_SALT",
    "LOCALVERSION",
    "MODULE_SIG_ALL",
    "MODULE_SIG_KEY",
    "SYSTEM_TRUSTED_KEYS",
    "SYSTEM_REVOCATION_KEYS",
    "CC_VERSION_TEXT",
    "GCC_VERSION",
    "CLANG_VERSION",
    "AS_VERSION",
    "LD_VERSION",
    "LLD_VERSION",
    "PAHOLE_VERSION",
    "RUSTC_VERSION",
    "RUSTC_VERSION_TEXT",
    "RUSTC_LLVM_VERSION",
    "BINDGEN_VERSION_TEXT",
    "RUST_IS_AVAILABLE",
    "GCC_ASM_FLAG_OUTPUT_BROKEN",
];

/// Bytes that a configuration has at most.
const LONGEST: u64 = 16 << 20;

impl Config {
    /// Reads `.config` or `auto.conf`.
    pub fn parse(text: &str) -> Config {
        let options = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            // auto.conf has strings without quotes, and empty ones as nothing.
            let value = value.trim();
            let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            Some((name.to_owned(), inner.unwrap_or(value).to_owned()))
        });
        Config { options: options.filter(|(_, value)| value != "n" && !value.is_empty()).collect() }
    }

    /// The value of an option, strings without quotes.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// Whether an option is `y`.
    pub fn has(&self, name: &str) -> bool {
        self.value(name) == Some("y")
    }

    /// Options that differ, but those about tools: `NAME: VALUE here, VALUE there`.
    pub fn differences(&self, other: &Config) -> Vec<String> {
        let names = self.options.keys().chain(other.options.keys());
        let mut names: Vec<&String> = names.collect();
        names.sort_unstable();
        names.dedup();
        let shown = |config: &Config, name: &str| {
            config.options.get(name).cloned().unwrap_or_else(|| "not set".to_owned())
        };
        let about_tools = |name: &str| {
            ABOUT_TOOLS.contains(&name)
                || [
                    "CC_HAS_",
                    "AS_HAS_",
                    "LD_HAS_",
                    "RUSTC_HAS_",
                    "PAHOLE_HAS_",
                    "CC_CAN_",
                    "LD_CAN_",
                    "TOOLS_SUPPORT_",
                ]
                .iter()
                .any(|p| name.starts_with(p))
        };
        names
            .into_iter()
            .filter(|name| {
                self.options.get(*name) != other.options.get(*name) && !about_tools(name)
            })
            .map(|name| {
                format!("CONFIG_{name}: {} here, {} there", shown(self, name), shown(other, name))
            })
            .collect()
    }

    /// Kbuild's name of the machine.
    pub fn arch(&self) -> Option<&'static str> {
        [
            ("X86", "x86"),
            ("ARM64", "arm64"),
            ("PPC64", "powerpc"),
            ("S390", "s390"),
            ("LOONGARCH", "loongarch"),
        ]
        .into_iter()
        .find(|(option, _)| self.has(option))
        .map(|(_, arch)| arch)
    }

    /// The first line of what the compiler says of itself, and its version.
    pub fn compiler(&self) -> Option<(&str, bool, [u32; 3])> {
        let clang = self.has("CC_IS_CLANG");
        let number = self.value(if clang { "CLANG_VERSION" } else { "GCC_VERSION" })?;
        let number: u32 = number.parse().ok()?;
        let version = [number / 10_000, number / 100 % 100, number % 100];
        Some((self.value("CC_VERSION_TEXT")?, clang, version))
    }
}

/// Reads a configuration file, which may be compressed.
pub fn read(path: &Path) -> Result<String> {
    let text = Image::open_unpacked(path)?.text().into_owned();
    match text.lines().any(|l| l.starts_with("CONFIG_")) {
        true => Ok(text),
        false => Err(Error::broken(Code::NoConfig, "the file is no configuration of a kernel")
            .in_file(path.display().to_string())
            .advise("give the .config of the kernel that runs, such as /boot/config-RELEASE")),
    }
}

/// The configuration that CONFIG_IKCONFIG put into a kernel, as it is stored there: packed by gzip.
pub fn embedded(image: &[u8]) -> Option<&[u8]> {
    let start = memchr::memmem::find(image, b"IKCFG_ST\x1f\x8b")?.checked_add(8)?;
    let rest = image.get(start..)?;
    rest.get(..memchr::memmem::find(rest, b"IKCFG_ED")?)
}

/// The same as text; `None` also where it cannot be unpacked.
pub fn embedded_text(image: &[u8]) -> Option<String> {
    let mut text = String::new();
    let unpacked = flate2::read::GzDecoder::new(embedded(image)?);
    unpacked.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Tools of the user's choice.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// `--cc`
    pub cc: Option<String>,
    /// `--llvm`: nothing, or a suffix such as `-19`.
    pub llvm: Option<String>,
}

/// What make is told about the compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// Its command.
    pub command: String,
    /// Arguments of make.
    pub arguments: Vec<String>,
    /// The first line of what it says of itself.
    pub text: String,
}

impl Compiler {
    /// The command of a tool of LLVM that belongs to it: `ld.lld` may be `ld.lld-19`.
    pub fn tool(&self, name: &str) -> String {
        let llvm = self.arguments.iter().find_map(|a| a.strip_prefix("LLVM=")).unwrap_or_default();
        match llvm {
            "" | "1" => name.to_owned(),
            folder if folder.ends_with('/') => format!("{folder}{name}"),
            suffix => format!("{name}{suffix}"),
        }
    }
}

/// Finds the compiler that built a kernel of this configuration.
pub fn compiler(config: &Config, choice: &Choice) -> Result<Compiler> {
    let Some((text, clang, version)) = config.compiler() else {
        return Err(Error::broken(
            Code::NoConfig,
            "the configuration does not say which compiler built the kernel",
        )
        .advise("give the .config that the kernel's build left, with CONFIG_CC_VERSION_TEXT"));
    };
    let [major, minor, patch] = version;
    let base = if clang { "clang" } else { "gcc" };
    let cross = std::env::var("CROSS_COMPILE").unwrap_or_default();
    let cross = if clang { "" } else { cross.as_str() };
    let named = text.split_whitespace().next().unwrap_or(base).to_owned();
    let candidates = match (&choice.cc, &choice.llvm) {
        (Some(cc), _) => vec![cc.clone()],
        (None, Some(suffix)) => vec![format!("clang{suffix}")],
        (None, None) => vec![named, format!("{cross}{base}-{major}"), format!("{cross}{base}")],
    };
    let mut seen = Vec::new();
    for command in &candidates {
        let Some(said) = version_text(command) else { continue };
        if version_in(&said) == Some(version) && said.to_lowercase().contains("clang") == clang {
            return Ok(Compiler {
                command: command.clone(),
                arguments: arguments(clang, command),
                text: said,
            });
        }
        seen.push(format!("  {command} is {said}"));
    }
    let chosen = choice.cc.is_some() || choice.llvm.is_some();
    let error = match chosen {
        true => {
            Error::refused(Code::CompilerDiffers, "this is not the compiler that built the kernel")
        }
        false => {
            Error::broken(Code::CompilerDiffers, "the compiler that built the kernel is not here")
        }
    };
    seen.insert(0, format!("  the kernel was built by {text}"));
    if seen.len() == 1 {
        seen.push(format!("  there is no {}", candidates.join(", no ")));
    }
    Err(error.with_details(seen).advise(format!(
        "install {base} {major}.{minor}.{patch} (on Debian the package {base}-{major}), and name it with --cc \
         where it has another name"
    )))
}

/// Arguments of make for a compiler.
fn arguments(clang: bool, cc: &str) -> Vec<String> {
    if !clang {
        return vec![format!("CC={cc}")];
    }
    let (folder, file) = cc.rsplit_once('/').map_or(("", cc), |(folder, file)| (folder, file));
    let suffix = file.strip_prefix("clang").unwrap_or("");
    match (folder, suffix) {
        ("", "") => vec!["LLVM=1".to_owned()],
        ("", suffix) => vec![format!("LLVM={suffix}")],
        (folder, "") => vec![format!("LLVM={folder}/")],
        _ => vec!["LLVM=1".to_owned(), format!("CC={cc}")],
    }
}

fn version_text(compiler: &str) -> Option<String> {
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next()?);
    command.args(words).arg("--version").env("LC_ALL", "C");
    let ended = child::run(&mut command, Limits::default()).ok()?;
    let text = String::from_utf8_lossy(&ended.stdout).lines().next()?.trim().to_owned();
    ended.status.success().then_some(text)
}

/// VERSION, PATCHLEVEL and SUBLEVEL of a kernel source.
pub fn source_version(source: &Path) -> Result<[u32; 3]> {
    let path: PathBuf = source.join("Makefile");
    let text = crate::host::files::read_text(&path).map_err(|e| {
        e.advise("give --source the folder of a kernel source, unpacked: the one with arch, fs and kernel in it")
    })?;
    let number = |name: &str| {
        let line =
            text.lines().take(20).find_map(|l| l.strip_prefix(name)?.trim().strip_prefix('='));
        line.and_then(|value| value.trim().parse().ok())
    };
    match (number("VERSION"), number("PATCHLEVEL"), number("SUBLEVEL")) {
        (Some(a), Some(b), Some(c)) => Ok([a, b, c]),
        _ => Err(Error::broken(Code::NoSource, "the Makefile is not that of a kernel source")
            .in_file(path.display().to_string())
            .advise("give --source the folder of a kernel source, unpacked")),
    }
}

/// Fails when the source is of another version than the kernel of this release. Distributions
/// that count on in names of their own leave the last number at 0.
pub fn check_version(source: [u32; 3], release: &str) -> Result<()> {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    let mut numbers = release.get(..end).unwrap_or_default().split('.').map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(std::result::Result::ok);
    let (Some(a), Some(b)) = (next(), next()) else { return Ok(()) };
    let c = next().unwrap_or(0);
    let [x, y, z] = source;
    if (a, b) == (x, y) && (c == 0 || c == z) {
        return Ok(());
    }
    Err(Error::refused(
        Code::SourceDiffers,
        format!("the source is of Linux {x}.{y}.{z}, but the kernel that runs is {release}"),
    )
    .advise("give the source of that very kernel: distributions have a package of each release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_compared_without_tools() {
        let ours = Config::parse(
            "CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_GCC_VERSION=120200\nCONFIG_S=\"x\"\n",
        );
        let theirs =
            Config::parse("CONFIG_A=y\nCONFIG_C=y\nCONFIG_GCC_VERSION=130200\nCONFIG_S=\"x\"\n");
        assert_eq!(ours.value("S"), Some("x"));
        assert_eq!(
            ours.differences(&theirs),
            ["CONFIG_B: m here, not set there", "CONFIG_C: not set here, y there"]
        );
    }

    #[test]
    fn other_releases_are_told_apart() {
        for (release, fits) in [
            ("6.12.117+deb12-cloud-amd64", true),
            ("6.12.0-55-generic", true),
            ("6.12-rc1", true),
            ("6.12.115+deb12-cloud-amd64", false),
            ("6.13.117", false),
            ("odd", true),
        ] {
            assert_eq!(check_version([6, 12, 117], release).is_ok(), fits, "{release}");
        }
    }

    #[test]
    fn the_configuration_in_a_kernel_is_found() {
        let mut image = b"xxIKCFG_ST\x1f\x8bdataIKCFG_EDyy".to_vec();
        assert_eq!(embedded(&image), Some(&b"\x1f\x8bdata"[..]));
        image.truncate(14);
        assert_eq!(embedded(&image), None);
    }

    #[test]
    fn tools_are_named_as_the_compiler_is() {
        let tool = |cc: &str| {
            let arguments = arguments(true, cc);
            Compiler { command: cc.to_owned(), arguments, text: String::new() }.tool("ld.lld")
        };
        assert_eq!(tool("clang"), "ld.lld");
        assert_eq!(tool("clang-19"), "ld.lld-19");
        assert_eq!(tool("/opt/llvm/bin/clang"), "/opt/llvm/bin/ld.lld");
        assert_eq!(tool("/opt/llvm/bin/clang-19"), "ld.lld");
    }

    #[test]
    fn the_wrong_compiler_is_refused() {
        let config = Config::parse(
            "CONFIG_CC_VERSION_TEXT=\"nosuch-gcc (X) 1.2.3\"\nCONFIG_GCC_VERSION=10203\n",
        );
        let error = compiler(&config, &Choice::default()).expect_err("not here");
        assert_eq!(error.code(), Code::CompilerDiffers);
        let choice = Choice { cc: Some("true".to_owned()), llvm: None };
        let error = compiler(&config, &choice).expect_err("another");
        assert_eq!(error.class(), crate::diag::Class::Refused);
    }
}
