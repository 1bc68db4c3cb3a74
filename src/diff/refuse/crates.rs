//! Refuses names of Rust that may be those of two crates.
//!
//! The hash of a crate in a name is of the compiler and the build, and taken for noise. But it also tells
//! crates of one name apart: where an object knows two of these, which is which must be seen.

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use crate::diag::{Code, Error, Result};
use crate::diff::compare::comparer::Comparer;
use crate::elf::ids::Side;
use crate::elf::object::Object;
use crate::kernel::knowledge::names;

/// The hashes of crates by name.
type Hashes<'d> = IndexMap<&'d str, IndexSet<&'d str, RandomState>, RandomState>;

/// Fails where symbols were paired whose names have other hashes of a crate, and where the object has several
/// crates of that name, or both hashes on one side.
pub fn check_crates(comparer: &Comparer<'_>) -> Result<()> {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let mut renamed = Vec::new();
    for id in patched.symbols().skip(1) {
        let name = patched.symbol_name(id);
        let Some(twin) = comparer.twins.orig_symbol(id).filter(|_| name.contains("_R")) else {
            continue;
        };
        let before = names::crates(orig.symbol_name(twin));
        let pairs = before.into_iter().zip(names::crates(name));
        renamed.extend(pairs.filter(|(a, b)| a.0 != b.0).map(|(a, b)| (id, a.0, b.0, b.1)));
    }
    if renamed.is_empty() {
        return Ok(());
    }
    let (known, now) = (hashes(orig), hashes(patched));
    for (id, before, after, name) in renamed {
        let only = |all: &Hashes<'_>, hash: &str| {
            all.get(name).is_some_and(|found| found.len() == 1 && found.contains(hash))
        };
        if !only(&known, before) || !only(&now, after) {
            let text = format!(
                "the name is of a crate with the hash {after}, and before with {before}, and there are several crates of \
                 this name"
            );
            return Err(Error::refused(Code::AmbiguousSymbol, text)
                .in_file(patched.file())
                .at_symbol(patched.symbol_name(id))
                .advise("compile both with the same compiler and -C metadata, so that the hashes are equal"));
        }
    }
    Ok(())
}

/// All crates that names of an object tell of.
fn hashes<'d, S: Side>(object: &Object<'d, S>) -> Hashes<'d> {
    let mut found = Hashes::default();
    for id in object.symbols().skip(1) {
        for (hash, name) in names::crates(object.symbol_name(id)) {
            found.entry(name).or_default().insert(hash);
        }
    }
    found
}
