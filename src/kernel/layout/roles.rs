//! The third stage: what part each symbol plays - a label, a prefix, a static local, one of the
//! macros' variables - and what sections hold by that.

use std::ops::Deref;

use super::facts::{self, Facts};
use super::owners::Owners;
use crate::elf::abi;
use crate::elf::ids::{IdVec, Marks, SectionId, Side, SymbolId};
use crate::elf::object::Home;
use crate::kernel::classes::{Class, Traits};
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::tables::TABLES;

/// The roles of symbols, and what follows for the sections they are in.
pub struct Roles<'a, S> {
    owners: Owners<'a, S>,
    played: IdVec<SymbolId<S>, Played>,
    /// Sections into which references can only be understood by content.
    nameless: Marks<SectionId<S>>,
    /// Sections with static local variables.
    statics: Marks<SectionId<S>>,
}

impl<'a, S> Deref for Roles<'a, S> {
    type Target = Owners<'a, S>;

    #[inline]
    fn deref(&self) -> &Owners<'a, S> {
        &self.owners
    }
}

impl<'a, S: Side> Roles<'a, S> {
    /// Judges all symbols.
    pub(super) fn new(owners: Owners<'a, S>, facts: &Facts<S>) -> Self {
        let object = owners.object;
        let nameless = Marks::from_fn(object.section_count(), |id| holds_nameless(&owners, id));
        let played = IdVec::from_fn(object.symbol_count(), |id| judge(&owners, id, facts));
        let is_static = |&id: &SymbolId<S>| played[id].has(STATIC);
        let homes = object.symbols().filter(is_static).filter_map(|id| object.section_of(id));
        let statics = Marks::of(object.section_count(), homes);
        Roles { owners, played, nameless, statics }
    }

    /// Whether `id` is a variable the kernel's macros define once per use. A section
    /// symbol is judged by the owner of its section.
    #[inline]
    pub fn is_special_static(&self, id: SymbolId<S>) -> bool {
        self.played[id].has(SPECIAL)
    }

    /// Whether `id` is a static local variable that keeps state.
    #[inline]
    pub fn is_static_local(&self, id: SymbolId<S>) -> bool {
        self.played[id].has(STATIC)
    }

    /// Whether `id` only labels a place: an assembler label (where labels are not resolved at
    /// assembly time, any local symbol without a type is one), or the compiler's name for a
    /// string literal.
    #[inline]
    pub fn is_label(&self, id: SymbolId<S>) -> bool {
        self.played[id].has(LABEL)
    }

    /// Whether `id` only marks code or data (`$x`, `$d`).
    #[inline]
    pub fn is_mapping(&self, id: SymbolId<S>) -> bool {
        self.played[id].has(MAPPING)
    }

    /// Whether `id` is a prefix symbol.
    pub fn is_prefix(&self, id: SymbolId<S>) -> bool {
        self.played[id].has(PREFIX)
    }

    /// Whether references into a section can only be understood by content.
    #[inline]
    pub fn is_nameless(&self, section: SectionId<S>) -> bool {
        self.nameless.has(section)
    }

    /// Whether a section is a pool of strings or constants, only some of which have names.
    #[inline]
    pub fn is_pool(&self, section: SectionId<S>) -> bool {
        self.class(section) == Class::Strings || self.is_nameless(section)
    }

    /// Whether static local variables live in a section.
    #[inline]
    pub fn holds_statics(&self, section: SectionId<S>) -> bool {
        self.statics.has(section)
    }

    /// Bytes that references into a section may take `id` to mean. Assembler labels are
    /// numbered, so they would only make equal things look different; in string sections
    /// they do no harm, since strings are compared by content.
    pub(super) fn span(&self, id: SymbolId<S>) -> Option<(u64, u64)> {
        if self.is_mapping(id) {
            return None;
        }
        if self.is_label(id) {
            let in_strings =
                self.object.section_of(id).is_some_and(|s| self.class(s) == Class::Strings);
            if self.arch.local_labels || !in_strings {
                return None;
            }
        }
        let (value, size) = (self.object.symbol_value(id), self.object.symbol_size(id));
        Some((value, value.saturating_add(size)))
    }

    pub(super) fn ends_at(&self, id: SymbolId<S>, at: u64) -> bool {
        self.span(id).is_some_and(|(start, end)| start < end && end == at)
    }
}

/// Whether references into `section` can only be understood by content.
fn holds_nameless<S: Side>(owners: &Owners<'_, S>, section: SectionId<S>) -> bool {
    let object = owners.object;
    let data = match owners.class(section) {
        Class::Data | Class::Text => true,
        // Code that the exception table leads to.
        Class::Table(index) => {
            return TABLES
                .get(usize::from(index))
                .is_some_and(|table| table.row.is_by_exception_table());
        }
        _ => false,
    };
    let writable = object.section_flags(section) & abi::SHF_WRITE != 0;
    let traits = owners.traits(section);
    let constants = traits.has(Traits::CONSTANTS);
    // Where labels have types, what UBSAN prints has a name, which is only a number.
    let is_numbered = || constants && writable && names::is_ubsan(object.section_name(section));
    data && (owners.owner(section).is_none() || is_numbered())
        && (constants
            || traits.has(Traits::UNNAMED)
            || object.members(section).is_empty() && !writable)
}

/// All of these for one symbol.
fn judge<S: Side>(owners: &Owners<'_, S>, id: SymbolId<S>, facts: &Facts<S>) -> Played {
    let (object, arch) = (owners.object, owners.arch);
    let (kind, home) = (object.symbol_kind(id), object.home(id));
    let local = object.symbol_bind(id) == abi::STB_LOCAL;
    let mut roles = 0;
    let marked = facts.has(id, facts::MARKED);
    if kind == abi::STT_NOTYPE && (marked || arch.local_labels) {
        let in_section = matches!(home, Home::Section(_));
        let name = object.symbol_name(id);
        if local && in_section && (arch.local_labels || name.starts_with(".L")) {
            roles |= LABEL;
        }
        if local && arch.mapping_symbols && name.starts_with('$') {
            roles |= MAPPING;
        }
    }
    let Home::Section(section) = home else { return Played(roles) };
    if facts.has(id, facts::PREFIX) {
        roles |= PREFIX;
    }
    if is_special(owners, id, section, facts) {
        roles |= SPECIAL;
    }
    if kind == abi::STT_OBJECT && facts.has(id, facts::DOTTED) {
        let name = object.symbol_name(id);
        // Also `.L__func__.f`, where the machine's clang keeps such names.
        let private = names::is_string_name(name) || local && name.starts_with(".L");
        if private && owners.class(section) == Class::Strings {
            roles |= LABEL;
        }
        if local && roles & SPECIAL == 0 && !name.starts_with(".L") {
            roles |= STATIC;
        }
    }
    Played(roles)
}

/// Whether a symbol is one that the kernel's macros define once per use.
fn is_special<S: Side>(
    owners: &Owners<'_, S>,
    id: SymbolId<S>,
    section: SectionId<S>,
    facts: &Facts<S>,
) -> bool {
    let object = owners.object;
    let (kind, traits) = (object.symbol_kind(id), owners.traits(section));
    if traits.has(Traits::UNNAMED) {
        return true;
    }
    if kind == abi::STT_SECTION {
        let owner = owners.owner(section).filter(|&o| object.symbol_kind(o) != abi::STT_SECTION);
        return traits.has(Traits::SPECIAL)
            || owner.is_some_and(|owner| is_special(owners, owner, section, facts));
    }
    kind == abi::STT_OBJECT
        && (traits.has(Traits::SPECIAL)
            || object.symbol_bind(id) == abi::STB_LOCAL
                && (traits.has(Traits::ONCE)
                    || facts.has(id, facts::DOTTED)
                        && names::is_special_static_name(object.symbol_name(id))))
}

/// The parts a symbol plays, as bits.
#[derive(Clone, Copy, Debug, Default)]
struct Played(u8);

const LABEL: u8 = 1;
const MAPPING: u8 = 2;
const PREFIX: u8 = 4;
const SPECIAL: u8 = 8;
const STATIC: u8 = 16;

impl Played {
    #[inline]
    fn has(self, role: u8) -> bool {
        self.0 & role != 0
    }
}
