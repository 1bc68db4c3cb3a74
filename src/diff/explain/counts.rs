//! What of an object anything that counts refers to.

use super::rules::{BY_REFERENCE, RUNTIME, rule_of};
use crate::elf::abi;
use crate::elf::ids::{Id, Patched, SectionId, Side};
use crate::elf::object::Reloc;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::rows::Rows;

/// Which symbols anything that is loaded and compared refers to, by number.
pub(in crate::diff) fn used<S: Side>(layout: &Layout<'_, S>, rows: &Rows<S>) -> Vec<bool> {
    let object = layout.object;
    let mut used = vec![false; object.symbol_count()];
    for &base in object.relocated() {
        let loaded = object.section_flags(base) & abi::SHF_ALLOC != 0;
        if !loaded || matches!(layout.class(base), Class::Noise(_) | Class::Debug) {
            continue;
        }
        let table = rows.number_of(base).and_then(|number| rows.tables.get(number as usize));
        let is_noise = |reloc: &Reloc<S>| {
            table.is_some_and(|table| {
                let start = table.at(reloc.offset).map(|row| {
                    let rows = table.len(object.section_size(base));
                    if row < rows { table.span(row, object.section_size(base)).0 } else { 0 }
                });
                start.is_some_and(|start| {
                    reloc.offset.checked_sub(start).is_some_and(|at| table.is_noise(at))
                })
            })
        };
        for reloc in object.relocs(base).iter().filter(|reloc| !is_noise(reloc)) {
            if let Some(used) = used.get_mut(reloc.symbol.index()) {
                *used = true;
            }
        }
    }
    used
}

/// Which sections are read by something that counts, by number: all but constants that nobody
/// outside of the file can name and that only such constants, or tables that are never compared,
/// refer to.
pub(in crate::diff) fn read(layout: &Layout<'_, Patched>) -> Vec<bool> {
    let object = layout.object;
    let constant = |id: SectionId<Patched>| {
        layout.class(id) == Class::Data
            && layout.is_ordinary(id)
            && object.section_flags(id) & (abi::SHF_ALLOC | abi::SHF_WRITE | abi::SHF_EXECINSTR)
                == abi::SHF_ALLOC
            && object.members(id).iter().all(|&m| object.symbol_bind(m) == abi::STB_LOCAL)
    };
    let mut read = vec![true; object.section_count()];
    let mut pending = Vec::new();
    for id in object.sections() {
        let counts = !constant(id) && never_compared(layout, id).is_none();
        if let Some(read) = read.get_mut(id.index()) {
            *read = counts || never_compared(layout, id).is_some();
        }
        if counts {
            pending.push(id);
        }
    }
    while let Some(id) = pending.pop() {
        for reloc in object.relocs(id).iter() {
            let Some(target) = object.section_of(reloc.symbol) else { continue };
            if let Some(read) = read.get_mut(target.index())
                && !*read
            {
                *read = true;
                pending.push(target);
            }
        }
    }
    read
}

/// The rule by which nothing of a section is compared, wherever something refers to it.
pub(super) fn never_compared(
    layout: &Layout<'_, Patched>,
    p: SectionId<Patched>,
) -> Option<(&'static str, &'static str)> {
    rule_of(layout, p).filter(|&rule| rule != BY_REFERENCE && rule != RUNTIME)
}
