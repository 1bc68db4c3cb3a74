//! Which symbols the kernel lists at run time, and how it compares their names.
//!
//! livepatch finds a function by its name in kallsyms and, where several have it, by its
//! position among them in ascending address order (Documentation/livepatch/livepatch.rst,
//! `old_sympos`). What is not listed cannot be found. Which names are left out was observed
//! in the tables inside linked kernels; a test recomputes it from those.

use std::borrow::Cow;
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
pub const PROMOTED: &str = ".llvm.";

/// Whether ThinLTO made the symbol visible to other files.
pub fn is_promoted(name: &str) -> bool {
    name.contains(PROMOTED)
}

/// A name without the hash, or the name of a file, that promotion appends: what the source has.
pub fn without_promotion(name: &str) -> Cow<'_, str> {
    let mut written = Cow::Borrowed(name);
    while let Some((before, after)) = written.split_once(PROMOTED) {
        let rest = after.find('.').map_or("", |dot| after.get(dot..).unwrap_or_default());
        if before.is_empty() || after.len() == rest.len() {
            break;
        }
        written = Cow::Owned(format!("{before}{rest}"));
    }
    written
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

/// What an image says about how its kernel compares names. The releases backported the
/// changes, so the code that is there tells more than the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The version, when it is known.
    pub version: Option<Version>,
    /// The kernel was linked with LTO: only then names are cut.
    pub lto: bool,
    /// It has `kallsyms_on_each_match_symbol`, which came with livepatch's use of it in 6.2.
    /// Before, livepatch walked over all names and compared them whole.
    pub matches: bool,
    /// Its code has the text `.llvm.`: what is behind is cut (6.5 to 6.10, and stable releases
    /// of 6.4). Without, 6.2 to 6.4 cut behind the first dot, and 6.11 and later nothing.
    pub names_suffix: bool,
}

/// How livepatch compares the name it looks for with those of kallsyms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// As they are.
    Exact,
    /// Behind a `.llvm.` suffix is cut: `foo` finds `foo.llvm.1`, and nothing else does.
    CutPromoted,
    /// All from the first dot on is cut: `foo` finds `foo`, `foo.llvm.1` and `foo.cold`.
    CutAtDot,
    /// Unknown: only names for which it makes no difference are safe.
    Unsettled,
}

impl Matching {
    /// What follows from the evidence.
    pub fn of(evidence: &Evidence) -> Matching {
        let at = |major, minor| Version { major, minor };
        match *evidence {
            Evidence { lto: false, .. } | Evidence { matches: false, .. } => Matching::Exact,
            Evidence { names_suffix: true, .. } => Matching::CutPromoted,
            Evidence { version: None, .. } => Matching::Unsettled,
            Evidence { version: Some(v), .. } if v < at(6, 5) => Matching::CutAtDot,
            // A release of 6.5 to 6.10 without the text has what 6.11 has: 6.10.7 is one.
            Evidence { .. } => Matching::Exact,
        }
    }

    /// The part of a name that is compared.
    pub fn compared(self, name: &str) -> &str {
        let cut = match self {
            Matching::Exact => None,
            Matching::CutPromoted => name.find(PROMOTED),
            // Unsettled: the shortest that any of them compares.
            Matching::CutAtDot | Matching::Unsettled => name.find('.'),
        };
        cut.map_or(name, |at| &name[..at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_leaves_what_was_written() {
        for (name, written) in [
            ("foo.llvm.123", "foo"),
            ("foo.llvm.kernel_workqueue_c", "foo"),
            ("foo.llvm.123.cold", "foo.cold"),
            ("foo.isra.0.llvm.12", "foo.isra.0"),
            ("foo.llvm.1.llvm.2", "foo"),
            ("foo", "foo"),
            (".llvm.call-graph-profile", ".llvm.call-graph-profile"),
            ("foo.llvm.", "foo.llvm."),
        ] {
            assert_eq!(without_promotion(name), written, "{name}");
        }
    }

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
    fn cutting_depends_on_the_kernel() {
        let of = |version: Option<(u32, u32)>, lto, matches, names_suffix| {
            let version = version.map(|(major, minor)| Version { major, minor });
            Matching::of(&Evidence { version, lto, matches, names_suffix })
        };
        // Up to 6.1 livepatch walks over all names; without LTO none is cut.
        assert_eq!(of(Some((5, 15)), true, false, false), Matching::Exact);
        assert_eq!(of(Some((6, 1)), true, false, true), Matching::Exact);
        assert_eq!(of(Some((6, 3)), false, true, false), Matching::Exact);
        assert_eq!(of(Some((6, 2)), true, true, false), Matching::CutAtDot);
        assert_eq!(of(Some((6, 4)), true, true, false), Matching::CutAtDot);
        assert_eq!(of(Some((6, 4)), true, true, true), Matching::CutPromoted);
        assert_eq!(of(Some((6, 6)), true, true, true), Matching::CutPromoted);
        assert_eq!(of(Some((6, 10)), true, true, true), Matching::CutPromoted);
        assert_eq!(of(Some((6, 10)), true, true, false), Matching::Exact);
        assert_eq!(of(Some((6, 12)), true, true, false), Matching::Exact);
        assert_eq!(of(None, true, true, false), Matching::Unsettled);
        assert_eq!(of(None, true, true, true), Matching::CutPromoted);
        assert_eq!(Matching::CutPromoted.compared("foo.isra.0.llvm.12"), "foo.isra.0");
        assert_eq!(Matching::CutPromoted.compared("foo.cold"), "foo.cold");
        assert_eq!(Matching::CutAtDot.compared("foo.isra.0.llvm.12"), "foo");
        assert_eq!(Matching::Unsettled.compared("foo.isra.0.llvm.12"), "foo");
        assert_eq!(Matching::Exact.compared("foo.llvm.12"), "foo.llvm.12");
    }
}
