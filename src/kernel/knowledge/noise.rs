//! Sections whose difference never means anything, each with the rule that says so.
//!
//! Checklist for a new rule: a row here with its reason, and a pair of objects in the tests
//! in which only such a section differs. A section that no rule names and that differs is
//! refused by name: a new kernel's new table cannot slip through.

#![expect(clippy::arithmetic_side_effects, reason = "the list is not empty")]

use crate::arch::Arch;

/// Why a section does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable name of the rule.
    pub name: &'static str,
    /// Why a difference there has no effect on the running kernel.
    pub reason: &'static str,
    /// The build that links the livepatch makes the section anew or drops it: it is neither
    /// carried over nor checked.
    pub dropped: bool,
}

/// Variables that say when and by whom the kernel was built (init/version-timestamps.c): the
/// text that the kernel prints first, and `struct uts_namespace`.
pub const BANNER: &str = "linux_banner";
/// See [`BANNER`].
pub const UTS_NAMES: &str = "init_uts_ns";
/// What a banner begins with; the release follows.
pub const BANNER_START: &[u8] = b"Linux version ";
/// Bytes of each text in `struct new_utsname` (include/uapi/linux/utsname.h).
pub const UTS_FIELD: usize = 65;
/// Which of them is the version: the number of the build, its options and its time.
pub const UTS_VERSION: usize = 3;

enum Match {
    Name(&'static str),
    Prefix(&'static str),
}

struct NoiseRow {
    section: Match,
    /// On which machines ([`Arch::name`]); on all when it is empty.
    machines: &'static [&'static str],
    rule: Rule,
}

const fn row(section: Match, name: &'static str, reason: &'static str) -> NoiseRow {
    NoiseRow { section, machines: &[], rule: Rule { name, reason, dropped: true } }
}

static ROWS: [NoiseRow; 22] = [
    row(Match::Prefix(".discard"), "discard", "dropped by the kernel's linker script"),
    row(Match::Prefix(".llvm_addrsig"), "addrsig", "a hint for identical code folding"),
    row(Match::Prefix(".llvm_bb_addr_map"), "bb-addr-map", "a map for profilers"),
    row(
        Match::Prefix(".llvm."),
        "llvm-metadata",
        "call graph profile and other hints for the linker",
    ),
    row(Match::Prefix(".pseudo_probe"), "pseudo-probe", "a map for profilers"),
    row(
        Match::Name(".modinfo"),
        "modinfo",
        "text about the module; namespaces are carried separately",
    ),
    row(Match::Name(".comment"), "comment", "compiler version strings"),
    row(Match::Prefix(".note.GNU-stack"), "gnu-stack", "an empty marker"),
    row(Match::Prefix(".note.gnu.property"), "gnu-property", "a marker for the linker"),
    row(Match::Prefix(".gnu.build.attributes"), "build-attributes", "notes of the compiler"),
    row(
        Match::Name(".BTF_ids"),
        "btf-ids",
        "numbers that the build of the kernel fills in; what they are numbers of was compared",
    ),
    row(Match::Prefix(".BTF"), "btf", "type information, not loaded from a livepatch"),
    row(Match::Name(".symtab_shndx"), "symtab-shndx", "part of the symbol table"),
    NoiseRow {
        section: Match::Name("__patchable_function_entries"),
        machines: &["x86_64"],
        rule: Rule {
            name: "patchable-entries",
            reason: "ftrace sites are made anew for the functions of the patch",
            dropped: true,
        },
    },
    NoiseRow {
        section: Match::Name("__patchable_function_entries"),
        machines: &[],
        rule: Rule {
            name: "ftrace-sites",
            reason: "ftrace sites are made anew for the functions of the patch",
            dropped: false,
        },
    },
    NoiseRow {
        section: Match::Name("__mcount_loc"),
        machines: &[],
        rule: Rule {
            name: "ftrace-sites",
            reason: "ftrace sites are made anew for the functions of the patch",
            dropped: false,
        },
    },
    NoiseRow {
        section: Match::Name(".sframe"),
        machines: &[],
        rule: Rule { name: "sframe", reason: "unwind data follows the code", dropped: false },
    },
    row(Match::Name(".gnu_debuglink"), "debuglink", "a file name for debuggers"),
    row(Match::Name(".gnu.lto_.opts"), "lto-opts", "compiler options"),
    row(
        Match::Name(".no_trim_symbol"),
        "no-trim-symbol",
        "names of exports to keep, read by the build and dropped by the linker script",
    ),
    row(
        Match::Name("__tracepoint_check"),
        "tracepoint-check",
        "names of tracepoints in use, read by the build and dropped by the linker script",
    ),
    row(Match::Name(".deps"), "deps", "a list of file names"),
];

/// Position of a rule in the list.
pub(in crate::kernel) fn index(rule: &'static Rule) -> u8 {
    ROWS.iter().position(|row| std::ptr::eq(&row.rule, rule)).unwrap_or(0) as u8
}

/// The rule at a position of the list.
#[expect(clippy::indexing_slicing, reason = "a remainder is below what divides")]
pub(in crate::kernel) fn at(index: u8) -> &'static Rule {
    &ROWS[usize::from(index) % ROWS.len()].rule
}

/// The names and prefixes of all rules.
#[cfg(test)]
pub(in crate::kernel) fn patterns() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| match row.section {
        Match::Name(name) | Match::Prefix(name) => name,
    })
}

/// The names of the rules.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.rule.name)
}

/// The rule by which `section` does not count, if any.
pub fn rule(section: &str, arch: &Arch) -> Option<&'static Rule> {
    ROWS.iter()
        .find(|row| {
            (row.machines.is_empty() || row.machines.contains(&arch.name))
                && match row.section {
                    Match::Name(name) => section == name,
                    Match::Prefix(prefix) => section.starts_with(prefix),
                }
        })
        .map(|row| &row.rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch;
    use crate::kernel::knowledge::tables::TABLES;

    /// Otherwise a row would hold nowhere.
    #[test]
    fn machines_of_rows_are_known() {
        let rows = ROWS.iter().map(|row| row.machines);
        let machines = rows.chain(TABLES.iter().map(|table| table.machines)).flatten();
        for machine in machines {
            assert!(arch::ALL.iter().any(|arch| arch.name == *machine), "{machine}");
        }
    }
}
