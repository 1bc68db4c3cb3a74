//! Where the code of functions went that came or went with inlining, splitting or renaming.
//!
//! Code that is in a function of its own on one side only is, on the other side, in who called
//! that function, or in another function that the same ones call.

use std::collections::BTreeSet;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::keys::Keys;
use super::local_uses::{User, user_at};
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Marks, Orig, Patched, Side, SymbolId};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;

/// Functions without twins, by who refers to them.
type Callers<S> = IndexMap<SymbolId<S>, BTreeSet<SymbolId<S>>, RandomState>;

/// Who refers to the functions that only one of the objects has.
pub(super) struct Moves {
    orig: Callers<Orig>,
    patched: Callers<Patched>,
}

impl Moves {
    /// Looks at all code, when any of the users has no twin.
    pub fn new(keys: &Keys<'_>, orig: &[User<Orig>], patched: &[User<Patched>]) -> Result<Self> {
        let gone = |id| keys.twins.patched_symbol(id).is_none();
        let new = |id| keys.twins.orig_symbol(id).is_none();
        let is = |user: &User<Orig>| matches!(user, User::Named(id) if gone(*id));
        let is_new = |user: &User<Patched>| matches!(user, User::Named(id) if new(*id));
        Ok(Moves {
            orig: if orig.iter().any(is) { callers(keys.orig, gone)? } else { Callers::default() },
            patched: if patched.iter().any(is_new) {
                callers(keys.patched, new)?
            } else {
                Callers::default()
            },
        })
    }

    /// Who has, or calls, the code of the users of a variable, among what has a twin.
    pub fn anchors_orig(
        &self,
        keys: &Keys<'_>,
        users: impl Iterator<Item = User<Orig>>,
    ) -> Vec<u64> {
        let gone = |id| keys.twins.patched_symbol(id).is_none();
        let found = anchors(&self.orig, users, gone);
        sorted(found.into_iter().map(|id| keys.orig(User::Named(id), 0)))
    }

    /// The same in the patched object.
    pub fn anchors_patched(
        &self,
        keys: &Keys<'_>,
        users: impl Iterator<Item = User<Patched>>,
    ) -> Vec<u64> {
        let new = |id| keys.twins.orig_symbol(id).is_none();
        let found = anchors(&self.patched, users, new);
        sorted(found.into_iter().map(|id| keys.patched(User::Named(id), 0)))
    }
}

fn sorted(keys: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut keys: Vec<u64> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn anchors<S: Side>(
    callers: &Callers<S>,
    users: impl Iterator<Item = User<S>>,
    single: impl Fn(SymbolId<S>) -> bool,
) -> BTreeSet<SymbolId<S>> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<SymbolId<S>> = Vec::new();
    for user in users {
        if let User::Named(id) = user
            && seen.insert(id)
        {
            open.push(id);
        }
    }
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !single(id) {
            found.insert(id);
            continue;
        }
        for &caller in callers.get(&id).into_iter().flatten() {
            if seen.insert(caller) {
                open.push(caller);
            }
        }
    }
    found
}

/// Who refers to functions without twins.
fn callers<S: Side>(
    layout: &Layout<'_, S>,
    single: impl Fn(SymbolId<S>) -> bool + Sync + Send,
) -> Result<Callers<S>> {
    let object = layout.object;
    let wanted = Marks::from_fn(object.symbol_count(), |id| {
        object.symbol_kind(id) == abi::STT_FUNC
            && object.section_of(id).is_some()
            && !layout.is_prefix(id)
            && single(layout.root(id))
    });
    let homes =
        Marks::of(object.section_count(), wanted.iter().filter_map(|id| object.section_of(id)));
    let mut found = Callers::default();
    for &section in object.relocated() {
        if !matches!(layout.class(section), Class::Text | Class::Data) {
            continue;
        }
        let refs = Refs::new(layout, section);
        for reloc in object.relocs(section).iter() {
            let by_section = object.symbol_kind(reloc.symbol) == abi::STT_SECTION
                && object.section_of(reloc.symbol).is_some_and(|home| homes.has(home));
            if !by_section && !wanted.has(reloc.symbol) {
                continue;
            }
            let callee = refs.resolve(&reloc)?.symbol;
            if !wanted.has(callee) {
                continue;
            }
            if let Some(caller) = user_at(layout, section, reloc.offset) {
                found.entry(layout.root(callee)).or_default().insert(caller);
            }
        }
    }
    Ok(found)
}
