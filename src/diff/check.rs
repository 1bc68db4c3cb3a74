//! Refuses what cannot be applied to a running kernel (spec sections 15 and 18).

use super::compare::Comparer;
use super::select::Selection;
use super::status::{Status, Statuses};
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, SymbolId};
use crate::error::{Error, Result};
use crate::kernel::layout::Class;

/// Data sections that may be copied into a patch although they changed: once-only flags and
/// counters of branches.
const COPYABLE_DATA: [&str; 4] = [".data.unlikely", ".data..unlikely", ".data.once", ".data..once"];

/// Fails unless ftrace can redirect every changed function.
pub fn check_entries(comparer: &Comparer<'_, '_, '_, '_>, statuses: &Statuses) -> Result<()> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let object = patched.object;
    let mut details = Vec::new();
    for id in object.symbols().skip(1) {
        if object.symbol_kind(id) != abi::STT_FUNC
            || statuses.symbols[id] != Status::Changed
            || patched.is_prefix(id)
            || patched.parent(id).is_some_and(|p| statuses.symbols[p] == Status::Changed)
        {
            continue;
        }
        let hookable = comparer.twins.orig_symbol(id).is_some_and(|twin| orig.has_profiling(twin));
        if !hookable {
            details.push(format!(
                "function {} doesn't have patchable function entry, unable to patch",
                object.symbol_name(id)
            ));
        }
    }
    if details.is_empty() {
        return Ok(());
    }
    Err(Error::refused("no-ftrace-entry", format!("{} function(s) can not be patched", details.len()))
        .with_details(details)
        .advise("ftrace cannot redirect these functions (notrace, or built without fentry); patch their callers instead"))
}

/// Fails when something changed that the patch does not carry, or carries in a way that
/// would not take effect.
pub fn check_sections(
    comparer: &Comparer<'_, '_, '_, '_>,
    statuses: &Statuses,
    selection: &Selection,
) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let mut details = Vec::new();
    for id in object.sections() {
        let name = object.section_name(id);
        let included = selection.sections[id];
        let rela = object.rela_section(id).map(|r| object.section_name(r));
        let parts = [(Some(name), statuses.sections[id]), (rela, statuses.relocs[id])];
        if layout.class(id) == Class::Group {
            if statuses.sections[id] == Status::New {
                details.push("new/changed group sections are not supported".to_owned());
            }
            continue;
        }
        for (name, status) in parts {
            let Some(name) = name else { continue };
            if status == Status::Changed && !included {
                details.push(format!("changed section {name} not selected for inclusion"));
            }
            if status != Status::Same && is_grouped(comparer, id) {
                details.push(format!("changed section {name} is part of a section group"));
            }
        }
        let data = name.starts_with(".data") || name.starts_with(".bss");
        if included
            && statuses.sections[id] != Status::New
            && data
            && !COPYABLE_DATA.contains(&name)
        {
            details.push(format!("data section {name} selected for inclusion"));
        }
    }
    if details.is_empty() {
        return Ok(());
    }
    Err(Error::refused("unsupported-section-change", format!("{} unsupported section change(s)", details.len()))
        .with_details(details)
        .advise("data that exists in the running kernel cannot be replaced; change it from a callback, or use a shadow variable"))
}

fn is_grouped(comparer: &Comparer<'_, '_, '_, '_>, id: SectionId<Patched>) -> bool {
    comparer.patched.layout.object.section(id).flags & abi::SHF_GROUP != 0
}

/// The functions the patch lists, in symbol order: changed ones with `true`, new ones with
/// `false`. Split-off parts and prefixes belong to their functions.
pub fn functions(
    comparer: &Comparer<'_, '_, '_, '_>,
    statuses: &Statuses,
    selection: &Selection,
) -> Vec<(SymbolId<Patched>, bool)> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    object
        .symbols()
        .skip(1)
        .filter(|&id| {
            object.symbol_kind(id) == abi::STT_FUNC
                && selection.symbols[id]
                && statuses.symbols[id] != Status::Same
                && object.section_of(id).is_some()
                && layout.parent(id).is_none()
                && !layout.is_prefix(id)
        })
        .map(|id| (id, statuses.symbols[id] == Status::Changed))
        .collect()
}
