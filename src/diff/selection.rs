//! What goes into the patch.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::spans::Parts;
use crate::elf::abi;
use crate::elf::ids::{IdVec, Patched, SectionId, SymbolId};
use crate::elf::object::Object;
use crate::kernel::rows::TableNumber;

/// The part of the patched object that goes into the patch.
pub struct Selection {
    /// Sections, each with its section symbol and its relocations.
    pub sections: IdVec<SectionId<Patched>, bool>,
    /// What is included of sections that several functions or variables share.
    pub parts: Parts,
    /// Changed functions that only run while the kernel boots; they are left out.
    pub boot_only: Vec<SymbolId<Patched>>,
    /// Symbols.
    pub symbols: IdVec<SymbolId<Patched>, bool>,
    /// Rows that are kept, by position in [`crate::kernel::rows::Rows::tables`], ascending.
    /// Tables that are included but not here are kept whole.
    pub rows: IndexMap<TableNumber, Vec<u32>, RandomState>,
    /// Unwind entries that are kept.
    pub unwind: Option<Unwind>,
    /// Number of changed functions and of new global symbols; callbacks are there.
    pub effect: Effect,
    /// Lines for the user, in order.
    pub messages: Vec<String>,
    /// Which symbol brought a symbol in first that is not the kernel's.
    pub via: IndexMap<SymbolId<Patched>, SymbolId<Patched>, RandomState>,
}

impl Selection {
    /// Whether byte `at` of a section goes into the patch.
    pub fn has(&self, section: SectionId<Patched>, at: u64) -> bool {
        self.sections[section] && self.parts.contains(section, at).unwrap_or(true)
    }

    /// Whether a symbol goes into the patch together with what it names.
    pub fn has_symbol(&self, object: &Object<'_, Patched>, id: SymbolId<Patched>) -> bool {
        object.section_of(id).is_some_and(|section| {
            let whole = object.symbol_kind(id) == abi::STT_SECTION;
            self.sections[section] && (whole || self.has(section, object.symbol_value(id)))
        })
    }
}

/// What makes a patch worth applying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Functions that changed, split-off parts included.
    pub changed_functions: usize,
    /// Global symbols that are new.
    pub new_globals: usize,
    /// There is a section with callbacks.
    pub callbacks: bool,
}

impl Effect {
    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        *self == Effect::default()
    }
}

/// The ORC entries of included functions.
pub struct Unwind {
    /// `.orc_unwind`.
    pub entries: SectionId<Patched>,
    /// `.orc_unwind_ip`.
    pub places: SectionId<Patched>,
    /// Bytes per entry in `.orc_unwind`.
    pub size: u64,
    /// Entries that are kept, ascending.
    pub kept: Vec<u32>,
}
