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
pub(super) const FLAGS: &str = "-O2 -ffunction-sections -fdata-sections -fno-pic \
     -fno-asynchronous-unwind-tables -fno-stack-protector -fno-strict-aliasing -std=gnu11 \
     -Wall -Werror";

const X86: &str = "-pg -mfentry -mcmodel=kernel -mno-red-zone";
const X86_VARIANTS: &[(&str, &str)] = &[
    ("plain", ""),
    ("branch", "-fcf-protection=branch"),
    ("patchable", "-fpatchable-function-entry=16,16"),
];
const PLAIN: &[(&str, &str)] = &[("plain", "")];
const AARCH64: &str = "-mgeneral-regs-only -fpatchable-function-entry=2";
const PPC64LE: &str = "-pg -mprofile-kernel -mabi=elfv2 -mcmodel=medium -msoft-float";
const PPC64LE_CLANG: &str =
    "--target=powerpc64le-linux-gnu -fpatchable-function-entry=2 -msoft-float";
const S390X: &str = "-pg -mfentry -mrecord-mcount -mnop-mcount -msoft-float -march=z13";
const S390X_CLANG: &str =
    "--target=s390x-linux-gnu -pg -mfentry -mnop-mcount -mrecord-mcount -msoft-float -march=z13";

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
pub(super) const COMPILERS: [Compiler; 12] = [
    x86("gcc-12"),
    x86("clang-14"),
    x86("clang-16"),
    x86("clang-19"),
    x86("clang-22"),
    other("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-gcc", "aarch64", AARCH64),
    other("powerpc64le-linux-gnu-gcc", "powerpc64le-linux-gnu-gcc", "powerpc64le", PPC64LE),
    other("s390x-linux-gnu-gcc", "s390x-linux-gnu-gcc", "s390x", S390X),
    other(
        "clang-19-aarch64",
        "clang-19",
        "aarch64",
        "--target=aarch64-linux-gnu -mgeneral-regs-only -fpatchable-function-entry=2",
    ),
    other("clang-22-powerpc64le", "clang-22", "powerpc64le", PPC64LE_CLANG),
    other("clang-19-s390x", "clang-19", "s390x", S390X_CLANG),
    other(
        "clang-19-loongarch64",
        "clang-19",
        "loongarch64",
        "--target=loongarch64-linux-gnu -fpatchable-function-entry=2",
    ),
];

impl Compiler {
    /// `gcc` or `clang`.
    pub fn family(&self) -> &'static str {
        if self.command.contains("clang") { "clang" } else { "gcc" }
    }
}
