//! What an object of a build is: source file, defined symbols, content.
//!
//! Numbers shift when a file is added, and file names repeat, so neither says which object
//! is which (`--lto-obj-path` numbers its files; `core.c` exists many times in a kernel).

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};
use indexmap::IndexSet;

use crate::diag::{Code, Error};
use crate::elf::abi;
use crate::elf::ids::{Side, SymbolId};
use crate::elf::object::{Home, Object};
use crate::kernel::knowledge::names;

/// What an object is known by.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Path below the folder.
    pub path: String,
    /// Names of its FILE symbols.
    pub(in crate::diff) files: Vec<String>,
    /// Hashes of the normal names of what it defines.
    pub(in crate::diff) defines: IndexSet<u64, RandomState>,
    /// The same with sizes, and how the contents begin.
    pub(in crate::diff) contents: IndexSet<u64, RandomState>,
    /// Names of the functions and variables it defines, and whether other objects see them.
    pub(super) names: Vec<(String, bool)>,
}

impl Identity {
    /// Reads what identifies an object.
    pub fn of<S: Side>(path: &str, object: &Object<'_, S>) -> Identity {
        let hasher = FixedState::default();
        let mut files = Vec::new();
        let (mut defines, mut contents) = (IndexSet::default(), IndexSet::default());
        let mut known = Vec::new();
        for id in object.symbols().skip(1) {
            let name = object.symbol_name(id);
            match object.symbol_kind(id) {
                abi::STT_FILE => files.push(name.to_owned()),
                abi::STT_FUNC | abi::STT_OBJECT
                    if matches!(object.home(id), Home::Section(_))
                        && !names::is_string_name(name) =>
                {
                    let mut state = hasher.build_hasher();
                    names::hash_normal(name, &mut state);
                    let name_hash = state.finish();
                    defines.insert(name_hash);
                    contents.insert(hasher.hash_one((name_hash, beginning(object, id))));
                    known.push((name.to_owned(), object.symbol_bind(id) != abi::STB_LOCAL));
                }
                _ => {}
            }
        }
        Identity { path: path.to_owned(), files, defines, contents, names: known }
    }

    /// Definitions in common, as a share of all, in thousandths. Objects that define nothing
    /// are alike.
    pub(super) fn likeness(&self, other: &Identity) -> usize {
        share(&self.defines, &other.defines)
    }

    /// Whether the file has a number in its name: that of its place in the link, maybe.
    pub(super) fn is_numbered(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.bytes().any(|b| b.is_ascii_digit())
    }
}

pub(in crate::diff) fn share(
    a: &IndexSet<u64, RandomState>,
    b: &IndexSet<u64, RandomState>,
) -> usize {
    let common = a.iter().filter(|d| b.contains(*d)).count();
    (1000 * common).checked_div(a.len() + b.len() - common).unwrap_or(1000)
}

/// Size of what a symbol stands for, and how it begins.
fn beginning<'d, S: Side>(object: &Object<'d, S>, id: SymbolId<S>) -> (u64, &'d [u8]) {
    const ENOUGH: u64 = 256;
    let (start, size) = (object.symbol_value(id), object.symbol_size(id));
    let data = object.section_of(id).map_or(&[][..], |s| object.contents(s));
    let end = start.saturating_add(size.min(ENOUGH));
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    (size, range.and_then(|(start, end)| data.get(start..end)).unwrap_or_default())
}

/// Which objects of two builds are the same one; indexes into the lists given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairing {
    /// (original, patched).
    pub pairs: Vec<(usize, usize)>,
    /// Originals without counterpart.
    pub removed: Vec<usize>,
    /// Patched objects without counterpart.
    pub added: Vec<usize>,
}

/// Objects that have less in common are not the same one.
pub(super) const ALIKE: usize = 300;

/// FILE symbols of objects that the linker makes of many files: what is in which may change
/// with any edit.
pub(super) const ARTIFICIAL: [&str; 2] = ["<artificial>", "ld-temp.o"];

/// Objects that have this much in common are the same one even when the source file has
/// another name now.
pub(super) const RENAMED: usize = 600;

pub(super) fn ambiguous<'i>(
    patched: &Identity,
    candidates: impl Iterator<Item = &'i Identity>,
) -> Error {
    let names: Vec<&str> = candidates.map(|c| c.path.as_str()).collect();
    Error::refused(
        Code::AmbiguousObject,
        format!("it is unclear which object of the other build {} is", patched.path),
    )
    .with_details(names.iter().take(10).map(|n| format!("candidate: {n}")).collect())
    .advise("their source file names and definitions are equal; give the pair by itself")
}
