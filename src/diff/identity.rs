//! Pairs the objects of two builds by what they are: source file, defined symbols, content.
//!
//! Numbers shift when a file is added, and file names repeat, so neither says which object
//! is which (`--lto-obj-path` numbers its files; `core.c` exists many times in a kernel).

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};
use indexmap::{IndexMap, IndexSet};

use crate::elf::abi;
use crate::elf::ids::Side;
use crate::elf::object::{Home, Object};
use crate::error::{Error, Result};
use crate::kernel::names;

/// What an object is known by.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Path below the folder.
    pub path: String,
    /// Names of its FILE symbols.
    files: Vec<String>,
    /// Hashes of the normal names of what it defines.
    defines: IndexSet<u64, RandomState>,
}

impl Identity {
    /// Reads what identifies an object.
    pub fn of<S: Side>(path: &str, object: &Object<'_, S>) -> Identity {
        let hasher = FixedState::default();
        let mut files = Vec::new();
        let mut defines = IndexSet::default();
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
                    defines.insert(state.finish());
                }
                _ => {}
            }
        }
        Identity { path: path.to_owned(), files, defines }
    }

    /// Definitions in common, as a share of all, in thousandths. Objects that define nothing
    /// are alike.
    fn likeness(&self, other: &Identity) -> usize {
        let common = self.defines.iter().filter(|d| other.defines.contains(*d)).count();
        let all = self.defines.len() + other.defines.len() - common;
        (1000 * common).checked_div(all).unwrap_or(1000)
    }
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
const ALIKE: usize = 300;

/// Pairs objects. Within the objects of one source file name the closest match wins; two
/// equally close ones are refused.
pub fn pair(orig: &[Identity], patched: &[Identity]) -> Result<Pairing> {
    let mut groups: IndexMap<&[String], (Vec<usize>, Vec<usize>), RandomState> =
        IndexMap::default();
    for (i, identity) in orig.iter().enumerate() {
        groups.entry(&identity.files).or_default().0.push(i);
    }
    for (i, identity) in patched.iter().enumerate() {
        groups.entry(&identity.files).or_default().1.push(i);
    }
    let mut pairing = Pairing::default();
    for (o, p) in groups.into_values() {
        pair_group(orig, patched, o, p, &mut pairing)?;
    }
    pairing.pairs.sort_unstable();
    pairing.removed.sort_unstable();
    pairing.added.sort_unstable();
    Ok(pairing)
}

fn pair_group(
    orig: &[Identity],
    patched: &[Identity],
    mut o: Vec<usize>,
    mut p: Vec<usize>,
    pairing: &mut Pairing,
) -> Result<()> {
    // Equal sets of definitions on one object each settle most groups at once.
    let print = |identity: &Identity| {
        identity.defines.iter().fold(identity.defines.len() as u64, |sum, d| sum.wrapping_add(*d))
    };
    let mut prints: IndexMap<u64, (Vec<usize>, Vec<usize>), RandomState> = IndexMap::default();
    for &i in &o {
        prints.entry(print(&orig[i])).or_default().0.push(i);
    }
    for &i in &p {
        prints.entry(print(&patched[i])).or_default().1.push(i);
    }
    for (a, b) in prints.values() {
        if let ([a], [b]) = (a.as_slice(), b.as_slice()) {
            pairing.pairs.push((*a, *b));
        }
    }
    let taken: IndexSet<(bool, usize), RandomState> =
        pairing.pairs.iter().flat_map(|&(a, b)| [(false, a), (true, b)]).collect();
    o.retain(|&i| !taken.contains(&(false, i)));
    p.retain(|&i| !taken.contains(&(true, i)));
    while let Some(&next) = p.first() {
        let candidates = || o.iter().map(|&i| (closeness(&orig[i], &patched[next]), i));
        let best = candidates().max_by_key(|&(score, i)| (score, std::cmp::Reverse(i)));
        let Some((score, i)) = best.filter(|&((likeness, _), _)| likeness >= ALIKE) else {
            pairing.added.push(next);
            p.remove(0);
            continue;
        };
        let rivals: Vec<usize> = candidates().filter(|c| c.0 == score).map(|c| c.1).collect();
        if rivals.len() > 1 {
            return Err(ambiguous(&patched[next], rivals.iter().map(|&r| &orig[r])));
        }
        // Another patched object may be closer to that original.
        let closer = p.iter().copied().find(|&q| closeness(&orig[i], &patched[q]) > score);
        match closer {
            Some(q) if o.len() == 1 => {
                pairing.pairs.push((i, q));
                p.retain(|&x| x != q);
            }
            _ => {
                pairing.pairs.push((i, next));
                p.remove(0);
            }
        }
        o.retain(|&x| x != i);
    }
    pairing.removed.extend(o);
    Ok(())
}

/// Common definitions first; an equal path settles what they leave open.
fn closeness(orig: &Identity, patched: &Identity) -> (usize, bool) {
    (orig.likeness(patched), orig.path == patched.path)
}

fn ambiguous<'i>(patched: &Identity, candidates: impl Iterator<Item = &'i Identity>) -> Error {
    let names: Vec<&str> = candidates.map(|c| c.path.as_str()).collect();
    Error::refused(
        "ambiguous-object",
        format!("it is unclear which original object {} was built from", patched.path),
    )
    .with_details(names.iter().map(|n| format!("candidate: {n}")).collect())
    .advise("their source file names and definitions are equal; give the pair by itself")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(path: &str, file: &str, defines: &[u64]) -> Identity {
        Identity {
            path: path.to_owned(),
            files: vec![file.to_owned()],
            defines: defines.iter().copied().collect(),
        }
    }

    #[test]
    fn numbers_do_not_count() {
        let orig = [identity("o1", "core.c", &[1, 2]), identity("o2", "core.c", &[3, 4])];
        let patched = [
            identity("o1", "new.c", &[9]),
            identity("o2", "core.c", &[1, 2]),
            identity("o3", "core.c", &[3, 4, 5]),
        ];
        let found = pair(&orig, &patched).unwrap();
        assert_eq!(found.pairs, [(0, 1), (1, 2)]);
        assert_eq!((found.removed, found.added), (vec![], vec![0]));
    }

    #[test]
    fn paths_settle_what_definitions_leave_open() {
        let twins = |path: &str| identity(path, "a.c", &[1]);
        let found = pair(&[twins("x/a.o"), twins("y/a.o")], &[twins("y/a.o"), twins("x/a.o")]);
        assert_eq!(found.unwrap().pairs, [(0, 1), (1, 0)]);
        let error = pair(&[twins("1"), twins("2")], &[twins("3"), twins("4")]).unwrap_err();
        assert_eq!(error.code(), "ambiguous-object");
        assert_eq!(error.details(), ["candidate: 1", "candidate: 2"]);
    }

    #[test]
    fn strangers_are_added_and_removed() {
        let found = pair(&[identity("o", "a.c", &[1, 2, 3])], &[identity("o", "a.c", &[7, 8, 9])]);
        let found = found.unwrap();
        assert_eq!((found.removed, found.added), (vec![0], vec![0]));
    }
}
