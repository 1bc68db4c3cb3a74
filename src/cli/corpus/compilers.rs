//! The compilers our own sources are built with, and with which options: one row each.

/// A compiler, for one machine.
#[derive(Debug)]
pub(super) struct Compiler {
    /// Name in directives and in the names of cases.
    pub name: &'static str,
    /// What is run.
    pub command: &'static str,
    /// Machine it compiles for.
    pub arch: &'static str,
    /// Options that shape its objects as a kernel with ftrace has them.
    pub flags: &'static str,
    /// More options, by name: each case is built with each of them.
    pub variants: &'static [(&'static str, &'static str)],
}

/// Options for all compilers and machines.
pub(super) const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections \
     -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-stack-protector \
     -fno-strict-aliasing -std=gnu11 -Wall -Werror";

// Options: arch/*/Makefile of Linux 6.1 to 6.12, and what kpatch-build adds.
const X86: &str = "-pg -mfentry -mcmodel=kernel -mno-red-zone -fno-pic";
const X86_VARIANTS: &[(&str, &str)] = &[
    ("plain", ""),
    ("branch", "-fcf-protection=branch"),
    ("patchable", "-fpatchable-function-entry=16,16"),
];
const PLAIN: &[(&str, &str)] = &[("plain", "")];
const AARCH64: &str = "-mgeneral-regs-only -fno-pic -fpatchable-function-entry=2";
const POWERPC64: &str = "-mabi=elfv2 -msoft-float -mno-altivec -mno-vsx -fno-pic \
     -fno-optimize-sibling-calls -mcmodel=large -mprofile-kernel -pg";
const S390X: &str = "-m64 -march=z13 -msoft-float -fno-section-anchors -fPIE -pg -mfentry \
     -mrecord-mcount -mnop-mcount";

const S390X_CLANG: &str = "--target=s390x-linux-gnu -m64 -march=z13 -msoft-float -fPIE -pg \
     -mfentry -mrecord-mcount -mnop-mcount";
const LOONGARCH64: &str = "--target=loongarch64-linux-gnusf -msoft-float \
     -fpatchable-function-entry=2 -mcmodel=extreme -fPIC -fno-direct-access-external-data";

const fn x86(name: &'static str) -> Compiler {
    Compiler { name, command: name, arch: "x86_64", flags: X86, variants: X86_VARIANTS }
}

const fn other(
    name: &'static str,
    command: &'static str,
    arch: &'static str,
    flags: &'static str,
) -> Compiler {
    Compiler { name, command, arch, flags, variants: PLAIN }
}

/// All that are known here. A compiler that is not installed is skipped, counted and named.
pub(super) const COMPILERS: [Compiler; 11] = [
    x86("gcc-12"),
    x86("clang-14"),
    x86("clang-16"),
    x86("clang-19"),
    x86("clang-22"),
    other("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-gcc", "aarch64", AARCH64),
    other("powerpc64le-linux-gnu-gcc", "powerpc64le-linux-gnu-gcc", "powerpc64", POWERPC64),
    other("s390x-linux-gnu-gcc", "s390x-linux-gnu-gcc", "s390x", S390X),
    other(
        "clang-19-aarch64",
        "clang-19",
        "aarch64",
        "--target=aarch64-linux-gnu -mgeneral-regs-only -fno-pic -fpatchable-function-entry=2",
    ),
    other("clang-19-s390x", "clang-19", "s390x", S390X_CLANG),
    other("clang-19-loongarch64", "clang-19", "loongarch64", LOONGARCH64),
];

impl Compiler {
    /// `gcc` or `clang`.
    pub fn family(&self) -> &'static str {
        if self.command.contains("clang") { "clang" } else { "gcc" }
    }
}
