//! Which symbols the kernel lists at run time, and how it compares their names.
//!
//! livepatch finds a function by its name in kallsyms and, where several have it, by its
//! position among them in ascending address order (Documentation/livepatch/livepatch.rst,
//! `old_sympos`). What is not listed cannot be found. Which names are left out was observed
//! in the tables inside linked kernels; a test recomputes it from those.

use std::fmt;

/// Prefixes of names that are not listed.
const UNLISTED_PREFIXES: [&str; 6] = [
    // Assembler labels and mapping symbols.
    ".L",
    "$",
    // What modules are linked with: names, namespaces and checksums of exports.
    "__kstrtab_",
    "__kstrtabns_",
    "__crc_",
    // Type hashes of functions that are only declared.
    "__kcfi_typeid_",
];

/// Whether a kernel with CONFIG_KALLSYMS_ALL, which livepatch needs, lists `name`.
pub fn lists(name: &str) -> bool {
    !name.is_empty() && !UNLISTED_PREFIXES.iter().any(|p| name.starts_with(p))
}

/// What clang appends to a local symbol that another file of the link refers to.
const PROMOTED: &str = ".llvm.";

/// Whether ThinLTO made the symbol visible to other files.
pub fn is_promoted(name: &str) -> bool {
    name.contains(PROMOTED)
}

/// A kernel version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 6 of 6.12.
    pub major: u32,
    /// 12 of 6.12.
    pub minor: u32,
}

impl Version {
    /// Reads `6.12.117-lab ...`.
    pub fn parse(text: &str) -> Option<Version> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().ok());
        Some(Version { major: numbers.next()??, minor: numbers.next()?? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// How livepatch compares the name it looks for with those of kallsyms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// As they are.
    Exact,
    /// Behind a `.llvm.` suffix is cut: `foo` finds `foo.llvm.1`, and nothing else does.
    /// Kernels 6.6 to 6.10 with CONFIG_LTO_CLANG.
    CutPromoted,
    /// 5.12 to 6.5 with CONFIG_LTO_CLANG compared as they are, without anything behind the
    /// first dot, or without `.llvm.`, depending on the stable release: only names for which
    /// this makes no difference are safe.
    Unsettled,
}

impl Matching {
    /// `promoted`: the image has symbols with `.llvm.` suffixes, so it was linked with LTO.
    /// An unknown version of such a kernel is unsettled.
    pub fn of(version: Option<Version>, promoted: bool) -> Matching {
        let at = |major, minor| Version { major, minor };
        match version {
            _ if !promoted => Matching::Exact,
            None => Matching::Unsettled,
            Some(v) if v < at(5, 12) || v >= at(6, 11) => Matching::Exact,
            Some(v) if v >= at(6, 6) => Matching::CutPromoted,
            Some(_) => Matching::Unsettled,
        }
    }

    /// The part of a name that is compared.
    pub fn compared(self, name: &str) -> &str {
        let cut = match self {
            Matching::Exact => None,
            Matching::CutPromoted => name.find(PROMOTED),
            // The shortest that any of them compares.
            Matching::Unsettled => name.find('.'),
        };
        cut.map_or(name, |at| &name[..at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_listed() {
        for name in
            ["", ".L.str", ".Ltmp3", "$x", "__crc_foo", "__kstrtab_foo", "__kcfi_typeid_foo"]
        {
            assert!(!lists(name), "{name}");
        }
        for name in
            ["foo", "foo.llvm.1", "__cfi_foo", "kallsyms_names", "__ksymtab_foo", "_text", "Lx"]
        {
            assert!(lists(name), "{name}");
        }
    }

    #[test]
    fn versions() {
        let v = |text| Version::parse(text).map(|v| (v.major, v.minor));
        assert_eq!(v("6.12.117-lab (x@y)"), Some((6, 12)));
        assert_eq!(v("5.10-rc1+"), Some((5, 10)));
        assert_eq!(v("next"), None);
        assert_eq!(v("99999999999.1"), None);
    }

    #[test]
    fn cutting_depends_on_the_version() {
        let of = |major, minor| Matching::of(Some(Version { major, minor }), true);
        assert_eq!(of(5, 11), Matching::Exact);
        assert_eq!(of(5, 12), Matching::Unsettled);
        assert_eq!(of(6, 5), Matching::Unsettled);
        assert_eq!(of(6, 6), Matching::CutPromoted);
        assert_eq!(of(6, 10), Matching::CutPromoted);
        assert_eq!(of(6, 11), Matching::Exact);
        assert_eq!(Matching::of(None, true), Matching::Unsettled);
        assert_eq!(Matching::of(None, false), Matching::Exact);
        assert_eq!(Matching::CutPromoted.compared("foo.isra.0.llvm.12"), "foo.isra.0");
        assert_eq!(Matching::CutPromoted.compared("foo.cold"), "foo.cold");
        assert_eq!(Matching::Unsettled.compared("foo.isra.0.llvm.12"), "foo");
        assert_eq!(Matching::Exact.compared("foo.llvm.12"), "foo.llvm.12");
    }
}
