//! What the patch carries for its callers, and which names a function has.

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use crate::diff::compare::comparer::Comparer;
use crate::diff::reason::{Reason, ReasonKind};
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, Side, SymbolId};
use crate::kernel::layout::Layout;

/// What is carried for whom.
#[derive(Clone, Debug, Default)]
pub struct Lifted {
    /// Functions that are carried, each with its callers, in symbol order.
    pub(super) carried:
        IndexMap<SymbolId<Patched>, IndexSet<SymbolId<Patched>, RandomState>, RandomState>,
    /// Functions that are in the patch only since they call one of these.
    pub(super) callers: IndexMap<SymbolId<Patched>, SymbolId<Patched>, RandomState>,
}

impl Lifted {
    /// Whether a function, or what it is part of, is carried for its callers.
    pub fn carries(&self, layout: &Layout<'_, Patched>, id: SymbolId<Patched>) -> bool {
        !self.carried.is_empty() && self.carried.contains_key(&main_of(layout, id))
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.carried.is_empty()
    }

    /// What there is to say about a function beside how it differs.
    pub fn reason(&self, comparer: &Comparer<'_>, id: SymbolId<Patched>) -> Option<Reason> {
        let name = |id| comparer.output_name(id).to_owned();
        if let Some(callers) = self.carried.get(&id) {
            let callers = callers.iter().map(|&c| name(c)).collect();
            return Some(Reason::of_all(ReasonKind::Carried { callers }));
        }
        let callee = name(*self.callers.get(&id)?);
        Some(Reason::of_all(ReasonKind::CallsCarried { callee }))
    }
}

/// A function, its parts, and other names of these.
pub(crate) fn names_of<S: Side>(layout: &Layout<'_, S>, root: SymbolId<S>) -> Vec<SymbolId<S>> {
    let object = layout.object;
    let mut sections: IndexSet<SectionId<S>, RandomState> = IndexSet::default();
    sections.extend(object.section_of(root));
    sections.extend(
        layout.parts().filter(|&p| layout.root(p) == root).filter_map(|p| object.section_of(p)),
    );
    let is_of = |section: SectionId<S>, id: SymbolId<S>| {
        object.symbol_kind(id) == abi::STT_FUNC
            && !layout.is_prefix(id)
            && function_at(layout, section, object.symbol_value(id)) == Some(root)
    };
    let members = |&section: &SectionId<S>| {
        let of = move |&&id: &&SymbolId<S>| is_of(section, id);
        object.members(section).iter().filter(of).copied().collect::<Vec<_>>()
    };
    sections.iter().flat_map(members).collect()
}

/// The function that a symbol is a name of, or of a part of.
pub(in crate::diff) fn main_of<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> SymbolId<S> {
    let section = layout.object.section_of(id);
    let value = layout.object.symbol_value(id);
    section.and_then(|s| function_at(layout, s, value)).unwrap_or_else(|| layout.root(id))
}

/// The function that byte `at` of a section belongs to.
pub(super) fn function_at<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    at: u64,
) -> Option<SymbolId<S>> {
    let symbol = layout.entity(section, layout.entity_at(section, at)?).symbol?;
    Some(layout.root(symbol))
}
