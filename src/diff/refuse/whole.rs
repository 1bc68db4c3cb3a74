//! Sections that a patch can only carry whole: what that would bring along, or lose.

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use crate::diag::Finding;
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::reasons::finding;
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::group::group;
use crate::elf::ids::{Id, Patched, SectionId, SymbolId};
use crate::kernel::knowledge::sections;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::macros;
use crate::kernel::thunks;

/// Finds functions that changed in a section of several that comes in whole because another
/// one is new: only functions with a section of their own are redirected.
pub(super) fn left_unpatched(
    comparer: &Comparer<'_, '_, '_, '_>,
    verdicts: &Verdicts,
    section: SectionId<Patched>,
    details: &mut Vec<Finding>,
) {
    let layout = comparer.patched.layout;
    if layout.class(section) != Class::Text || layout.owner(section).is_some() {
        return;
    }
    let name = layout.object.section_name(section);
    for index in 0..layout.entity_count(section) {
        let verdict = verdicts.entity(section, index);
        let symbol = layout.entity(section, index).symbol;
        let differs = !verdict.is_same() && !verdict.has(Verdict::NEW);
        let changed = symbol.filter(|&s| differs && comparer.twins.orig_symbol(s).is_some());
        if let Some(symbol) = changed {
            let function = comparer.output_name(symbol);
            let text = format!(
                "changed function {function} in section {name} is not redirected: the section is shared by several functions"
            );
            details.push(finding(comparer, symbol, text));
        }
    }
}

/// Whether a section that comes in whole, whatever it is called, holds a variable that the
/// running kernel has: the patch would use a second one.
pub(super) fn holds_live_data(
    comparer: &Comparer<'_, '_, '_, '_>,
    section: SectionId<Patched>,
) -> bool {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let name = object.section_name(section);
    let is_live = |index| {
        let symbol = layout.entity(section, index).symbol;
        symbol.is_some_and(|symbol| {
            comparer.twins.orig_symbol(symbol).is_some() && !layout.is_special_static(symbol)
        })
    };
    layout.class(section) == Class::Data
        && object.section_flags(section) & abi::SHF_WRITE != 0
        && name != sections::TOC
        // Constants that hold addresses; some compilers make their section writable.
        && !name.starts_with(sections::RODATA)
        && !name.starts_with(macros::PREFIX)
        && (0..layout.entity_count(section)).any(is_live)
}

/// Sections that the linker may drop together with others. Groups that it may not drop only
/// keep sections together, such as code and the probes for its profile.
pub(super) fn grouped(
    comparer: &Comparer<'_, '_, '_, '_>,
) -> IndexSet<SectionId<Patched>, RandomState> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    if comparer.policy.whole_sections {
        let flagged = |&s: &SectionId<_>| object.section_flags(s) & abi::SHF_GROUP != 0;
        return object.sections().filter(flagged).collect();
    }
    let groups = object.sections().filter(|&s| layout.class(s) == Class::Group);
    groups.filter_map(|s| comdat(layout, s)).flatten().collect()
}

/// The members of a group that the linker may drop.
pub(super) fn comdat(
    layout: &Layout<'_, '_, Patched>,
    id: SectionId<Patched>,
) -> Option<Vec<SectionId<Patched>>> {
    let object = layout.object;
    let group = group(object, id).filter(|group| group.comdat)?;
    let members = group.members.into_iter().filter(|&index| index < object.section_count());
    Some(members.map(SectionId::new).collect())
}

/// Whether a section holds nothing but thunks that each object brings along: no other object,
/// and not the kernel, needs to know of this one.
pub(super) fn is_own_thunk(layout: &Layout<'_, '_, Patched>, section: SectionId<Patched>) -> bool {
    let object = layout.object;
    let named = |&&id: &&SymbolId<Patched>| {
        object.symbol_kind(id) != abi::STT_SECTION && !layout.is_mapping(id)
    };
    let mut symbols = object.members(section).iter().filter(named).peekable();
    symbols.peek().is_some()
        && layout.class(section) == Class::Text
        && symbols.all(|&id| layout.is_label(id) || thunks::is_own(&object.symbol(id)))
}
