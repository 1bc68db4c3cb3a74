//! What tells who uses a variable, in both objects.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use super::files::{Files, Scopes};
use super::local_uses::User;
use super::twins::Twins;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::kernel::knowledge::names;
use crate::kernel::layout::Layout;

/// Visible beyond the file.
pub(super) const GLOBAL: u64 = u64::MAX;

/// What tells users of both objects apart: the same number for a function, the parts that were
/// split off it, and what a compiler made of it under another name.
pub(in crate::diff) struct Keys<'a> {
    pub orig: &'a Layout<'a, Orig>,
    pub patched: &'a Layout<'a, Patched>,
    pub files: &'a Files,
    pub twins: &'a Twins,
}

impl Keys<'_> {
    /// Of a user in the original.
    pub fn orig(&self, user: User<Orig>, scope: u64) -> u64 {
        let id = match user {
            User::Section(section) => return section_key(self.orig, section, scope),
            User::Named(id) => id,
        };
        match self.twins.patched_symbol(id) {
            Some(twin) => self.patched_symbol(self.patched.root(twin)),
            None => symbol_key(self.orig, &self.files.orig, id),
        }
    }

    /// Of a user in the patched object.
    pub fn patched(&self, user: User<Patched>, scope: u64) -> u64 {
        match user {
            User::Section(section) => section_key(self.patched, section, scope),
            User::Named(id) => self.patched_symbol(id),
        }
    }

    fn patched_symbol(&self, id: SymbolId<Patched>) -> u64 {
        symbol_key(self.patched, &self.files.patched, id)
    }
}

fn symbol_key<S: Side>(layout: &Layout<'_, S>, scopes: &Scopes<S>, id: SymbolId<S>) -> u64 {
    let object = layout.object;
    let mut state = FixedState::default().build_hasher();
    let scope = if layout.is_local(id) { scopes.of(id) } else { GLOBAL };
    state.write_u64(scope);
    let (name, kind) = (object.symbol_name(id), object.symbol_kind(id));
    state.write_u8(kind);
    match kind {
        abi::STT_FUNC => state.write(names::written_name(name).as_bytes()),
        _ => names::hash_normal(name, &mut state),
    }
    state.finish()
}

fn section_key<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, scope: u64) -> u64 {
    let mut state = FixedState::default().build_hasher();
    state.write_u64(scope);
    names::hash_normal(layout.object.section_name(section), &mut state);
    state.finish()
}
