//! Sections that a patch can only carry whole: what that would bring along, or lose.

use bumpalo::Bump;
use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use crate::diag::Finding;
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::pair::finding;
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::group::group;
use crate::elf::ids::{Id, Patched, SectionId, Side, SymbolId};
use crate::kernel::knowledge::sections;
use crate::kernel::knowledge::thunks;
use crate::kernel::knowledge::{macros, names};
use crate::kernel::layout::{Class, Entity, Layout};

/// Finds functions that changed in a section of several that comes in whole because another
/// one is new: only functions with a section of their own are redirected.
pub(super) fn left_unpatched(
    comparer: &Comparer<'_>,
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
pub(super) fn holds_live_data(comparer: &Comparer<'_>, section: SectionId<Patched>) -> bool {
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

/// Finds constants that changed in a section that the drop-in carries whole with every patch:
/// that it comes along says nothing about the functions that stay as they are, and may read them.
pub(super) fn changed_constants(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    details: &mut Vec<Finding>,
) {
    let layout = comparer.patched.layout;
    if !comparer.policy.whole_sections {
        return;
    }
    for (id, _) in verdicts.differing() {
        let name = layout.object.section_name(id);
        if layout.class(id) != Class::Data
            || !matches!(name, sections::RODATA | sections::RODATA_STR)
        {
            continue;
        }
        let mut changed = Vec::new();
        for index in 0..layout.entity_count(id) {
            let verdict = verdicts.entity(id, index);
            let symbol = layout.entity(id, index).symbol;
            let paired = symbol.filter(|&s| comparer.twins.orig_symbol(s).is_some());
            let differs = !verdict.is_same() && !verdict.has(Verdict::NEW);
            changed.extend(paired.filter(|_| differs));
        }
        changed.extend(renewed(comparer, id));
        for symbol in changed {
            let text = format!(
                "{} in section {name} changed, and functions that stay as they are may read it",
                comparer.output_name(symbol)
            );
            details.push(finding(comparer, symbol, text));
        }
    }
}

/// Static locals without twins that are others than those of their names in the original: code
/// reaches them through the section as well, by a distance that may be the same.
fn renewed(comparer: &Comparer<'_>, section: SectionId<Patched>) -> Vec<SymbolId<Patched>> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let name = patched.object.section_name(section);
    let arena = Bump::new();
    let mut before = IndexMap::default();
    for id in orig.object.sections().filter(|&id| orig.object.section_name(id) == name) {
        let lonely = |symbol| comparer.twins.patched_symbol(symbol).is_none();
        constants(orig, id, &arena, lonely, &mut before);
    }
    let mut after = IndexMap::default();
    let lonely = |symbol| comparer.twins.orig_symbol(symbol).is_none();
    constants(patched, section, &arena, lonely, &mut after);
    let other = |(name, now): (&str, Vec<Constant<'_, Patched>>)| {
        // What is new may stand between them.
        let mut rest = now.iter().map(|&(_, content)| content);
        let mut same =
            |&(_, old): &(_, Option<&[u8]>)| old.is_some() && rest.any(|content| content == old);
        let kept = before.get(name).is_none_or(|old: &Vec<_>| old.iter().all(&mut same));
        now.first().filter(|_| !kept).map(|&(symbol, _)| symbol)
    };
    after.into_iter().filter_map(other).collect()
}

/// Constants with what they hold, in order, by their normal names.
type Constants<'a, S> = IndexMap<&'a str, Vec<Constant<'a, S>>, RandomState>;

/// A constant, and what it holds where that is known.
type Constant<'a, S> = (SymbolId<S>, Option<&'a [u8]>);

/// Adds the named constants of a section that are wanted.
fn constants<'a: 'a, S: Side>(
    layout: &Layout<'a, S>,
    section: SectionId<S>,
    arena: &'a Bump,
    wanted: impl Fn(SymbolId<S>) -> bool,
    found: &mut Constants<'a, S>,
) {
    for index in 0..layout.entity_count(section) {
        let entity = layout.entity(section, index);
        let Some(symbol) = entity.symbol.filter(|&symbol| wanted(symbol)) else { continue };
        let name = names::normal(layout.object.symbol_name(symbol), arena);
        found.entry(name).or_default().push((symbol, content(layout, &entity)));
    }
}

/// The bytes of a thing; `None` where they do not say what it holds, since it has pointers.
fn content<'a, S: Side>(layout: &Layout<'a, S>, entity: &Entity<S>) -> Option<&'a [u8]> {
    let object = layout.object;
    let mut pointers = object.relocs(entity.section).within(entity.start, entity.end);
    let range = usize::try_from(entity.start).ok()?..usize::try_from(entity.end).ok()?;
    object.contents(entity.section).get(range).filter(|_| pointers.next().is_none())
}

/// Sections that the linker may drop together with others. Groups that it may not drop only
/// keep sections together, such as code and the probes for its profile.
pub(super) fn grouped(comparer: &Comparer<'_>) -> IndexSet<SectionId<Patched>, RandomState> {
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
    layout: &Layout<'_, Patched>,
    id: SectionId<Patched>,
) -> Option<Vec<SectionId<Patched>>> {
    let object = layout.object;
    let group = group(object, id).filter(|group| group.comdat)?;
    let members = group.members.into_iter().filter(|&index| index < object.section_count());
    Some(members.map(SectionId::new).collect())
}

/// Whether a section holds nothing but thunks that each object brings along: no other object,
/// and not the kernel, needs to know of this one.
pub(super) fn is_own_thunk(layout: &Layout<'_, Patched>, section: SectionId<Patched>) -> bool {
    let object = layout.object;
    let named = |&&id: &&SymbolId<Patched>| {
        object.symbol_kind(id) != abi::STT_SECTION && !layout.is_mapping(id)
    };
    let mut symbols = object.members(section).iter().filter(named).peekable();
    symbols.peek().is_some()
        && layout.class(section) == Class::Text
        && symbols.all(|&id| layout.is_label(id) || thunks::is_own(&object.symbol(id)))
}
