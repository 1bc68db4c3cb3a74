//! The compilers our own sources are built with, and with which options: one row each.

/// A compiler, for one machine.
#[derive(Debug)]
pub struct Compiler {
    /// Name in directives and in the names of cases.
    pub name: &'static str,
    /// What is run.
    pub command: &'static str,
    /// Machine it compiles for.
    pub arch: &'static str,
    /// Options that shape its objects as a kernel has them.
    pub flags: &'static str,
    /// More options, by name, with which ftrace can hook functions: each case is built with each
    /// of them.
    pub variants: &'static [(&'static str, &'static str)],
}

/// Options for all compilers and machines.
pub const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections \
     -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-stack-protector \
     -fno-strict-aliasing -std=gnu11 -Wall -Werror";

// Options: arch/*/Makefile of Linux 6.1 to 6.12, and what kpatch-build adds.
const X86: &str = "-pg -mfentry -mcmodel=kernel -mno-red-zone -fno-pic";
const X86_VARIANTS: &[(&str, &str)] = &[
    ("plain", ""),
    ("branch", "-fcf-protection=branch"),
    ("patchable", "-fpatchable-function-entry=16,16"),
];
const POWERPC64: &str = "-mabi=elfv2 -msoft-float -mno-altivec -mno-vsx -fno-pic \
     -fno-optimize-sibling-calls";

const fn x86(name: &'static str) -> Compiler {
    Compiler { name, command: name, arch: "x86_64", flags: X86, variants: X86_VARIANTS }
}

/// All that are known here. A compiler that is not installed is skipped, counted and named.
pub static COMPILERS: [Compiler; 11] = [
    x86("gcc-12"),
    x86("clang-14"),
    x86("clang-16"),
    x86("clang-19"),
    x86("clang-22"),
    Compiler {
        name: "aarch64-linux-gnu-gcc",
        command: "aarch64-linux-gnu-gcc",
        arch: "aarch64",
        flags: "-mgeneral-regs-only -fno-pic",
        variants: &[("plain", "-fpatchable-function-entry=2")],
    },
    Compiler {
        name: "powerpc64le-linux-gnu-gcc",
        command: "powerpc64le-linux-gnu-gcc",
        arch: "powerpc64",
        flags: POWERPC64,
        variants: &[("plain", "-mcmodel=large -mprofile-kernel -pg")],
    },
    Compiler {
        name: "s390x-linux-gnu-gcc",
        command: "s390x-linux-gnu-gcc",
        arch: "s390x",
        flags: "-m64 -march=z13 -msoft-float -fno-section-anchors",
        variants: &[("plain", "-fPIE -pg -mfentry -mrecord-mcount -mnop-mcount")],
    },
    Compiler {
        name: "clang-19-aarch64",
        command: "clang-19",
        arch: "aarch64",
        flags: "--target=aarch64-linux-gnu -mgeneral-regs-only -fno-pic",
        variants: &[("plain", "-fpatchable-function-entry=2")],
    },
    Compiler {
        name: "clang-19-s390x",
        command: "clang-19",
        arch: "s390x",
        flags: "--target=s390x-linux-gnu -m64 -march=z13 -msoft-float",
        variants: &[("plain", "-fPIE -pg -mfentry -mrecord-mcount -mnop-mcount")],
    },
    Compiler {
        name: "clang-19-loongarch64",
        command: "clang-19",
        arch: "loongarch64",
        flags: "--target=loongarch64-linux-gnusf -msoft-float",
        variants: &[(
            "plain",
            "-fpatchable-function-entry=2 -mcmodel=extreme -fPIC -fno-direct-access-external-data",
        )],
    },
];

/// Those that compile for a machine.
pub fn of_machine(arch: &str) -> impl Iterator<Item = &'static Compiler> + Clone {
    COMPILERS.iter().filter(move |compiler| compiler.arch == arch)
}

impl Compiler {
    /// `gcc` or `clang`.
    pub fn family(&self) -> &'static str {
        if self.command.contains("clang") { "clang" } else { "gcc" }
    }

    /// All options: those of a variant, and those that a source asks for.
    pub fn args(&self, variant: &str, of_source: &str) -> Vec<String> {
        let all = [FLAGS, self.flags, variant, of_source];
        all.iter().flat_map(|flags| flags.split_whitespace()).map(str::to_owned).collect()
    }
}
