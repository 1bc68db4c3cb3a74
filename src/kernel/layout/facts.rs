//! What the names of symbols tell, each read once: there are hundreds of thousands, and
//! several questions about each.

use crate::arch::Arch;
use crate::elf::abi;
use crate::elf::ids::{IdVec, Side, SymbolId};
use crate::elf::object::Object;
use crate::elf::search::position;
use crate::kernel::knowledge::names;

/// What the name of each symbol tells, as bits.
pub(super) struct Facts<S>(IdVec<SymbolId<S>, u8>);

/// Its section is named after it.
pub(super) const OWNS: u8 = 1;
/// There is a dot in it.
pub(super) const DOTTED: u8 = 2;
/// It begins with a dot or a dollar sign.
pub(super) const MARKED: u8 = 4;
/// It begins as those of prefix symbols do.
pub(super) const PREFIX: u8 = 8;

impl<S: Side> Facts<S> {
    /// Reads the names of functions, variables, and symbols without a type. Of others it says
    /// nothing.
    pub(super) fn new(object: &Object<'_, S>, arch: &Arch) -> Self {
        let facts = |id: SymbolId<S>| {
            let kind = object.symbol_kind(id);
            let typed = matches!(kind, abi::STT_FUNC | abi::STT_OBJECT);
            if !typed && kind != abi::STT_NOTYPE {
                return 0;
            }
            let name = object.symbol_name(id);
            let section = object.section_of(id).filter(|_| typed);
            let owns = |s| names::owns_section(kind, name, object.section_name(s));
            let answers = [
                (OWNS, section.is_some_and(owns)),
                (DOTTED, position(b'.', name.as_bytes()).is_some()),
                (MARKED, name.starts_with(['.', '$'])),
                (PREFIX, kind == abi::STT_FUNC && arch.prefixed(name).is_some()),
            ];
            answers.iter().fold(0, |bits, &(bit, holds)| bits | if holds { bit } else { 0 })
        };
        Facts(IdVec::from_fn(object.symbol_count(), facts))
    }

    #[inline]
    pub(super) fn has(&self, id: SymbolId<S>, fact: u8) -> bool {
        self.0[id] & fact != 0
    }
}
