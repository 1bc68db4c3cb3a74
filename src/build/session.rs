//! What is asked of a build, and what its steps share.

use std::path::PathBuf;
use std::time::Instant;

use super::apply::Edits;
use super::config::{Choice, Config};
use super::find::{Found, Given};
use super::kbuild::{Make, Owner};
use super::source::Work;

/// What to build.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The patches, in order.
    pub patches: Vec<PathBuf>,
    /// Where everything is.
    pub given: Given,
    /// The source is that of modules outside of the kernel's, with their own Kbuild.
    pub outside: bool,
    /// `--object`: name of a module, and the path that it is for.
    pub objects: Vec<(String, Option<String>)>,
    /// The work folder.
    pub work: PathBuf,
    /// The compiler.
    pub choice: Choice,
    /// Processes at once.
    pub jobs: usize,
    /// `--fuzz`
    pub fuzz: bool,
    /// `--all`
    pub all: bool,
    /// Keep the numbers of lines.
    pub keep_lines: bool,
    /// `--dry-run`
    pub dry_run: bool,
}

/// An object of the patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its path below the tree.
    pub path: String,
    /// What it is linked into.
    pub owner: Owner,
    /// Why it is built: a file of the patch.
    pub why: String,
    /// It is there before the patch, and after it.
    pub there: [bool; 2],
}

/// A function of an original object that is not as in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Different {
    /// The object.
    pub path: String,
    /// The function.
    pub function: String,
    /// How it differs.
    pub text: String,
    /// It is weak: perhaps another definition counts.
    pub weak: bool,
}

/// Tells the user something.
pub type Say<'s> = &'s dyn Fn(&str);

/// What is built.
pub(super) struct Plan {
    /// Objects by themselves.
    pub(super) objects: Vec<Touched>,
    /// All objects of the kernel, by its link.
    pub(super) whole: bool,
}

/// Whose objects are compared with what runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Those that the patch changes.
    ThePatch,
    /// Those of all of the kernel, most of which do not matter.
    Everything,
}

/// A run in a work folder.
pub(super) struct Session<'r> {
    pub(super) request: &'r Request,
    pub(super) found: &'r Found,
    /// Only the link of the kernel makes its objects.
    pub(super) lto: bool,
    pub(super) edits: Edits,
    pub(super) say: Say<'r>,
    pub(super) work: Work,
    pub(super) make: Make,
    pub(super) config: Config,
    pub(super) fingerprint: String,
    /// Options that the source's own configuration has otherwise.
    pub(super) suspects: Vec<String>,
    pub(super) different: Vec<Different>,
    pub(super) verified: String,
}

/// How long something took, in words.
pub(super) fn seconds(started: Instant) -> String {
    format!("{:.1} s", started.elapsed().as_secs_f64())
}
