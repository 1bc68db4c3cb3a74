//! One case of a corpus: two objects, what the tool is told, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use super::source::Source;

/// Where a case's objects come from.
#[derive(Clone, Debug)]
pub(crate) enum Objects {
    /// They are there.
    Built {
        /// Built from the unpatched source.
        orig: PathBuf,
        /// Built from the patched source.
        patched: PathBuf,
    },
    /// They have to be compiled first.
    Source(Source),
}

/// The symbols of the kernel or module that is patched.
#[derive(Clone, Debug)]
pub(crate) enum Symtab {
    /// Not known: no output is built.
    None,
    /// The original object stands for the kernel, as in kpatch's unit tests.
    OfOrig,
    /// Output of `readelf -s --wide`.
    File(PathBuf),
}

/// What the exit status must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exits {
    /// Nothing is known: any but 1, which is an error.
    Unknown,
    /// This one.
    Is(u8),
    /// Anything but 0.
    Failure,
}

/// What must come of a case. `None` is not looked at.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub exit: Exits,
    /// Names of the functions that are changed.
    pub changed: Option<BTreeSet<String>>,
    /// Names of the functions that are new.
    pub new: Option<BTreeSet<String>>,
    /// Text that the error or refusal must have.
    pub says: Option<String>,
    /// Number of functions of the output, as kpatch's tests count them: the `t` and `T` of nm.
    pub functions: Option<usize>,
    /// Canonical form of the output.
    pub golden: Option<PathBuf>,
    /// Why the output is known to differ from it.
    pub golden_differs: Option<String>,
}

impl Expected {
    /// Nothing but an exit status.
    pub fn exit(exit: Exits) -> Expected {
        Expected {
            exit,
            changed: None,
            new: None,
            says: None,
            functions: None,
            golden: None,
            golden_differs: None,
        }
    }
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Unique name: the folder given, the path below it, and the case.
    pub name: String,
    pub objects: Objects,
    /// `vmlinux` or a module's name.
    pub parent: String,
    pub symtab: Symtab,
    /// Module.symvers.
    pub symvers: Option<PathBuf>,
    /// Name of the patch module.
    pub module: String,
    /// What is set in the environment, such as the sizes of structs.
    pub env: BTreeMap<String, String>,
    /// Behave as kpatch's tool.
    pub drop_in: bool,
    /// kpatch's `--klp-arch`.
    pub klp_arch: bool,
    /// Script that is given the output.
    pub test: Option<PathBuf>,
    pub expected: Expected,
}

impl Case {
    /// What running the case starts that the case itself brings; `None` when it is nothing.
    pub fn runs(&self) -> Option<String> {
        match (&self.objects, &self.test) {
            (Objects::Source(source), _) => Some(format!("the compiler {}", source.command)),
            (Objects::Built { .. }, Some(script)) => Some(format!("{}", script.display())),
            (Objects::Built { .. }, None) => None,
        }
    }
}

/// An exit status in a word.
pub(crate) fn verdict(exit: u8) -> &'static str {
    match exit {
        0 => "changed",
        1 => "error",
        2 => "refused",
        3 => "unchanged",
        _ => "unknown",
    }
}

impl Exits {
    /// Whether this is an exit status to be content with.
    pub fn allows(self, exit: u8) -> bool {
        match self {
            Exits::Unknown => exit != 1,
            Exits::Is(wanted) => exit == wanted,
            Exits::Failure => exit != 0,
        }
    }
}

impl fmt::Display for Exits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exits::Unknown => f.write_str("-"),
            Exits::Is(exit) => f.write_str(verdict(exit)),
            Exits::Failure => f.write_str("not changed"),
        }
    }
}
