//! The files of a folder that take part in a comparison.

use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use crate::diag::{Code, Diagnostic, Error, Result};
use crate::diff::compare::inlining::{Bodies, base, bodies};
use crate::elf::abi;
use crate::elf::ids::Side;
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::kernel::layout::Layout;

mod native;

/// An object of a tree.
pub(crate) struct Member {
    /// Path below the folder.
    pub(crate) path: String,
    /// Its bytes.
    pub(crate) image: Image,
}

impl Member {
    /// The path as given, for messages.
    pub(crate) fn shown(&self) -> String {
        self.image.path().display().to_string()
    }

    /// Adds what those of its functions refer to that are wanted.
    pub(crate) fn bodies<S: Side>(
        &self,
        wanted: &IndexSet<&str>,
        found: &mut Bodies,
    ) -> Result<()> {
        let object = Object::<S>::parse(&self.shown(), self.image.bytes())?;
        let defines =
            |id| object.section_of(id).is_some() && wanted.contains(base(object.symbol_name(id)));
        match object.symbols().skip(1).any(defines) {
            true => bodies(&Layout::new(&object)?, wanted, found),
            false => Ok(()),
        }
    }
}

/// The objects of two folders, by path, and what to say about other files.
pub(crate) struct Members {
    pub(crate) orig: Vec<Member>,
    pub(crate) patched: Vec<Member>,
    /// With the path below the folder, sorted by it.
    pub(crate) warnings: Vec<(String, Diagnostic)>,
}

/// What a file is to a differ of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A relocatable 64-bit object, which a linker would take.
    Object,
    /// Nothing in it.
    Empty,
    /// LLVM bitcode: what the linker compiles.
    Bitcode,
    /// A library of objects, or of their names.
    Archive,
    /// A relocatable 32-bit object.
    Narrow,
    /// Any other file of a build tree: passed over.
    Other,
}

impl Kind {
    fn of(bytes: &[u8]) -> Kind {
        if bytes.is_empty() {
            return Kind::Empty;
        }
        if bytes.starts_with(b"BC\xc0\xde") || bytes.starts_with(b"\xde\xc0\x17\x0b") {
            return Kind::Bitcode;
        }
        // Those of names only (`!<thin>`) say nothing about contents.
        if bytes.starts_with(b"!<arch>\n") {
            return Kind::Archive;
        }
        let kind = match (bytes.get(5), bytes.get(16..18)) {
            (Some(1), Some(&[low, high])) => u16::from_le_bytes([low, high]),
            (Some(2), Some(&[high, low])) => u16::from_be_bytes([high, low]),
            _ => return Kind::Other,
        };
        match (abi::is_elf(bytes) && kind == abi::ET_REL, bytes.get(4)) {
            (true, Some(1)) => Kind::Narrow,
            (true, _) => Kind::Object,
            (false, _) => Kind::Other,
        }
    }
}

/// Reads two folders.
///
/// Fails with [`crate::diag::Class::Broken`]: code `unreadable` on a file or folder that
/// cannot be read, `no-objects` when one of them has none, `bitcode` when objects that the
/// linker has yet to compile differ, or only one folder has the native objects of them, `empty-object` when a file is empty that is an object in
/// the other folder.
pub(crate) fn read(orig: &Path, patched: &Path) -> Result<Members> {
    let all = |root| files(root).and_then(native::take);
    let (o, p) = rayon::join(|| all(orig), || all(patched));
    let (o, p) = (o?, p?);
    let mut warnings = Vec::new();
    native::check(&o, &p)?;
    check_others(&o, &p, &mut warnings)?;
    for (folder, all) in [(orig, &o), (patched, &p)] {
        check_any(folder, all)?;
    }
    let objects = |all: Vec<(Member, Kind)>| {
        all.into_iter().filter(|f| f.1 == Kind::Object).map(|f| f.0).collect()
    };
    Ok(Members { orig: objects(o), patched: objects(p), warnings })
}

/// Looks at the files that are no objects: a change in one must not pass unseen.
#[expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]
fn check_others(
    orig: &[(Member, Kind)],
    patched: &[(Member, Kind)],
    warnings: &mut Vec<(String, Diagnostic)>,
) -> Result<()> {
    let by_path: IndexMap<&str, &(Member, Kind), RandomState> =
        orig.iter().map(|f| (f.0.path.as_str(), f)).collect();
    let mut bitcode: Option<(&Member, usize)> = None;
    for (member, kind) in patched {
        let twin = by_path.get(member.path.as_str());
        let same = twin.is_some_and(|t| t.0.image.bytes() == member.image.bytes());
        let before = twin.map_or(Kind::Other, |t| t.1);
        if same {
            continue;
        }
        let empty = match (before, *kind) {
            (Kind::Empty, Kind::Object) => twin.map(|t| &t.0),
            (Kind::Object, Kind::Empty) => Some(member),
            _ => None,
        };
        if let Some(empty) = empty {
            return Err(Error::broken(
                Code::EmptyObject,
                "the file is empty, and an object in the other folder",
            )
            .in_file(empty.shown())
            .advise(EMPTY));
        }
        let warned = match kind {
            _ if before == Kind::Bitcode || *kind == Kind::Bitcode => {
                let count = bitcode.map_or(0, |b| b.1);
                bitcode = Some((bitcode.map_or(member, |b| b.0), count + 1));
                continue;
            }
            Kind::Archive => {
                "the archive differs; what is in it is compared only as far as it is in the folders, too"
            }
            Kind::Narrow => {
                "the 32-bit object differs; it is not compared, and no part of a 64-bit kernel"
            }
            _ => continue,
        };
        let found = Diagnostic::warning(Code::NotCompared, warned).in_file(member.path.clone());
        warnings.push((member.path.clone(), found));
    }
    match bitcode {
        None => Ok(()),
        Some((first, count)) => {
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            Err(Error::broken(
                Code::Bitcode,
                format!("LLVM bitcode that differs{more}: what it becomes is decided by the link"),
            )
            .in_file(first.shown())
            .advise(BITCODE))
        }
    }
}

const BITCODE: &str =
    "give the native objects that ld.lld --lto-obj-path=FOLDER/o writes, or those of its cache";
const EMPTY: &str = "was the compiler interrupted? ld.lld writes empty files for --lto-obj-path when it has a \
     cache (--thinlto-cache-dir): then link without it, or give the folder of the cache";

/// Fails when a folder has no objects.
fn check_any(folder: &Path, all: &[(Member, Kind)]) -> Result<()> {
    if all.iter().any(|f| f.1 == Kind::Object) {
        return Ok(());
    }
    let count = |kind: Kind| all.iter().filter(|f| f.1 == kind).count();
    let (what, advice) = if count(Kind::Bitcode) > 0 {
        (": its objects are LLVM bitcode", BITCODE)
    } else if count(Kind::Archive) > 0 {
        (", only archives", "unpack them: `ar x LIBRARY.a` in a folder of its own")
    } else if count(Kind::Empty) > 0 {
        (": its files are empty", EMPTY)
    } else if count(Kind::Narrow) > 0 {
        (" of 64 bits", "32-bit objects are not supported")
    } else {
        ("", "give the folder that ld.lld --lto-obj-path wrote to, or a build tree")
    };
    Err(Error::broken(Code::NoObjects, format!("the folder holds no relocatable objects{what}"))
        .in_file(folder.display().to_string())
        .advise(advice))
}

/// All files below a folder but those that say nothing, by path. A folder that links lead to
/// counts once, where it is not below itself.
fn files(root: &Path) -> Result<Vec<(Member, Kind)>> {
    let mut seen: IndexSet<PathBuf, RandomState> = IndexSet::default();
    let mut folders = vec![root.to_owned()];
    // Behind all others, so that what is there by itself has the path that it is known by.
    let mut links: Vec<PathBuf> = Vec::new();
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(next) = folders.pop().or_else(|| links.pop()) {
        let shown = || next.display().to_string();
        let fail = |e: std::io::Error| {
            Error::broken(Code::Unreadable, format!("cannot list the folder: {e}")).in_file(shown())
        };
        if !seen.insert(next.canonicalize().map_err(fail)?) {
            continue;
        }
        let mut inner = Vec::new();
        for entry in std::fs::read_dir(&next).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            inner.push((entry.path(), entry.file_type().map_err(fail)?));
        }
        inner.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        for (path, kind) in inner {
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path);
            } else if kind.is_symlink() {
                match path.metadata() {
                    Ok(meta) if meta.is_dir() => links.push(path),
                    Ok(meta) if meta.is_file() => found.push(path),
                    Err(e) if path.extension().is_some_and(|x| x == "o") => {
                        return Err(Error::broken(
                            Code::Unreadable,
                            format!("cannot follow the link: {e}"),
                        )
                        .in_file(path.display().to_string()));
                    }
                    _ => {}
                }
            }
        }
        links.sort_unstable_by(|a, b| b.cmp(a));
    }
    found.sort_unstable();
    let all = found
        .into_par_iter()
        .map(|path| {
            let image = Image::open(&path)?;
            let below = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let kind = Kind::of(image.bytes());
            Ok((kind != Kind::Other).then_some((Member { path: below, image }, kind)))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(all.into_iter().flatten().collect())
}
