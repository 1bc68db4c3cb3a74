//! Where an object itself says that ftrace finds its functions' entries.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "the places before are sorted, so that differences are none below zero"
)]

use crate::arch::Arch;
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side};
use crate::elf::object::{Object, Reloc, Symbol};

/// Lists where ftrace can hook functions.
pub(super) const PATCHABLE: &str = "__patchable_function_entries";

/// The lists of places of one object.
pub(super) struct Sites<S> {
    /// Whether it has `__patchable_function_entries`, and its machine uses them.
    pub(super) patchable_entries: bool,
    /// Sections with entries in those, sorted.
    patchable: Vec<SectionId<S>>,
    /// Places that `__mcount_loc` or `__patchable_function_entries` lists, sorted.
    listed: Vec<(SectionId<S>, u64)>,
}

impl<S: Side> Sites<S> {
    /// Reads the lists that count: those of `__patchable_function_entries`, or `__mcount_loc`.
    pub(super) fn new(object: &Object<'_, S>, patchable_entries: bool) -> Self {
        let table = if patchable_entries { PATCHABLE } else { "__mcount_loc" };
        let (mut patchable, mut listed) = (Vec::new(), Vec::new());
        for id in object.sections().filter(|&id| object.section_name(id) == table) {
            let relocs = object.relocs(id);
            let place = |r: Reloc<S>| {
                let at = r.addend.wrapping_add(object.symbol_value(r.symbol) as i64);
                Some((object.section_of(r.symbol)?, u64::try_from(at).ok()?))
            };
            listed.extend(relocs.iter().filter_map(place));
            if patchable_entries {
                patchable.extend(relocs.iter().filter_map(|r| object.section_of(r.symbol)));
            }
        }
        listed.sort_unstable();
        patchable.sort_unstable();
        patchable.dedup();
        Sites { patchable_entries, patchable, listed }
    }

    /// Whether a section has entries in `__patchable_function_entries`.
    pub(super) fn are_in(&self, section: SectionId<S>) -> bool {
        self.patchable.binary_search(&section).is_ok()
    }

    /// The first place that the object lists at a function's start, or behind a marker or what
    /// loads the TOC; else one closely before, where nothing else is: `is_between` says so.
    pub(super) fn of_function(
        &self,
        arch: &Arch,
        section: SectionId<S>,
        function: &Symbol<'_, S>,
        is_between: impl FnOnce(u64) -> bool,
    ) -> Option<u64> {
        let value = function.value;
        let from = self.listed.partition_point(|site| *site < (section, value));
        let head = (arch.indirect_target.len() as u64).max((arch.local_entry)(function.other));
        let site = self.listed.get(from).filter(|site| site.0 == section).map(|site| site.1);
        if let Some(site) = site.filter(|&site| site <= value.saturating_add(head)) {
            return Some(site);
        }
        let before = self.listed.get(..from)?.last().filter(|site| site.0 == section)?.1;
        let near = value - before <= arch.site_lead && is_between(before);
        near.then_some(before)
    }
}

/// Whether a function or variable reaches to byte `at` of its section.
pub(super) fn reaches<S: Side>(symbol: &Symbol<'_, S>, at: u64) -> bool {
    symbol.kind != abi::STT_SECTION && symbol.value <= at && at - symbol.value < symbol.size
}
