//! What sections and symbols say of themselves: types, flags, bindings, where they are.
//!
//! Contents are compared elsewhere; here is what decides how they are read.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::diag::{Code, Error, Result};
use crate::diff::compare::comparer::Comparer;
use crate::elf::abi;
use crate::elf::ids::{Id, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Home;
use crate::kernel::layout::{Class, Layout};

/// Fails when something has the name of what was there before, and is of another kind: it has
/// no twin, and what does not refer to it does not see the difference.
pub fn check(comparer: &Comparer<'_>) -> Result<()> {
    check_types(comparer)?;
    check_headers(comparer)
}

fn check_types(comparer: &Comparer<'_>) -> Result<()> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let new = patched
        .object
        .symbols()
        .skip(1)
        .filter(|&id| comparer.twins.orig_symbol(id).is_none() && is_seen(patched, id));
    let mut new: IndexMap<&str, Option<SymbolId<Patched>>, RandomState> = only(patched, new);
    if new.is_empty() {
        return Ok(());
    }
    let gone = orig
        .object
        .symbols()
        .skip(1)
        .filter(|&id| comparer.twins.patched_symbol(id).is_none() && is_seen(orig, id));
    for (name, id) in only(orig, gone) {
        let (Some(before), Some(Some(after))) = (id, new.swap_remove(name)) else { continue };
        let (a, b) = (orig.object.symbol(before), patched.object.symbol(after));
        let place = |layout_name: Option<&str>| layout_name.unwrap_or("").to_owned();
        let from = place(orig.object.section_of(before).map(|s| orig.object.section_name(s)));
        let to = place(patched.object.section_of(after).map(|s| patched.object.section_name(s)));
        let undefined = a.home == Home::Undefined && b.home == Home::Undefined;
        // Some tools give the types of what other files define; how a thread-local variable or an
        // indirect function is reached is another matter.
        let special = |kind| matches!(kind, abi::STT_TLS | abi::STT_GNU_IFUNC);
        let known = !undefined || special(a.kind) || special(b.kind);
        if a.kind != b.kind && from == to && known {
            return Err(Error::refused(
                Code::SymbolInfoMismatch,
                format!("symbol info mismatch: {name}"),
            )
            .in_section(to)
            .at_symbol(name)
            .advise(
                "its type changed: what the running kernel has under this name is something else",
            ));
        }
    }
    Ok(())
}

/// Whether a name is one that people gave to something that is loaded.
fn is_seen<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    let object = layout.object;
    let kind = object.symbol_kind(id);
    let loaded = match object.section_of(id) {
        Some(section) => {
            object.section_flags(section) & abi::SHF_ALLOC != 0
                && !matches!(layout.class(section), Class::Noise(_) | Class::Debug)
        }
        None => object.home(id) == Home::Undefined,
    };
    loaded
        && !matches!(kind, abi::STT_SECTION | abi::STT_FILE)
        && !layout.is_label(id)
        && !layout.is_mapping(id)
        && !layout.is_special_static(id)
}

/// Symbols by name; `None` for what several have.
fn only<'a, S: Side>(
    layout: &Layout<'a, S>,
    ids: impl Iterator<Item = SymbolId<S>>,
) -> IndexMap<&'a str, Option<SymbolId<S>>, RandomState> {
    let mut found: IndexMap<&str, Option<SymbolId<S>>, RandomState> = IndexMap::default();
    for id in ids {
        found
            .entry(layout.object.symbol_name(id))
            .and_modify(|first| *first = None)
            .or_insert(Some(id));
    }
    found
}

/// Type and flags of a section, which decide whether it is loaded, written, run or merged.
type Header = (u32, u64);

/// Sections that are compared by content wherever something refers to them have no twin. Those
/// of one name, but for numbers, are of one kind.
fn check_headers(comparer: &Comparer<'_>) -> Result<()> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let mut before: IndexMap<&str, Vec<Header>, RandomState> = IndexMap::default();
    for id in orig.object.sections() {
        if counts(orig, id) && comparer.twins.patched_section(id).is_none() {
            let name = stem(orig.object.section_name(id));
            before.entry(name).or_default().push(header(orig, id));
        }
    }
    if before.is_empty() {
        return Ok(());
    }
    for id in patched.object.sections() {
        if !counts(patched, id) || comparer.twins.orig_section(id).is_some() {
            continue;
        }
        let name = patched.object.section_name(id);
        let now = header(patched, id);
        let Some(all) = before.get(stem(name)).filter(|all| !all.contains(&now)) else { continue };
        let (kind, flags) = all.first().copied().unwrap_or_default();
        return Err(Error::refused(
            Code::SectionHeaderDiffers,
            format!("{name} section header details differ from {name}"),
        )
        .in_section(name)
        .advise(format!("type {kind:#x}/{:#x}, flags {flags:#x}/{:#x}", now.0, now.1)));
    }
    Ok(())
}

fn counts<S: Side>(layout: &Layout<'_, S>, id: SectionId<S>) -> bool {
    id.index() != 0
        && !matches!(
            layout.class(id),
            Class::Meta | Class::Relocations | Class::Group | Class::Noise(_) | Class::Debug
        )
}

fn header<S: Side>(layout: &Layout<'_, S>, id: SectionId<S>) -> Header {
    // Whether the linker may drop it as a copy of another file's is said by its group.
    let flags = layout.object.section_flags(id) & !abi::SHF_GROUP;
    (layout.object.section_kind(id), flags)
}

/// The name of a section without the number at its end.
fn stem(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}
