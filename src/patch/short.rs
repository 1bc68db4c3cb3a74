//! Refuses references to the kernel whose field does not hold the distance from a module.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use super::resolve::decide::{Carried, Resolution};
use super::resolve::lookup::Lookup;
use crate::arch::Short;
use crate::diag::{Code, Error, Finding, Result};
use crate::elf::ids::{Id, Patched, SectionId};
use crate::elf::object::Reloc;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;

/// Findings that are listed.
const SHOWN: usize = 20;

/// Fails when a relocation of the patch cannot lead to what it means in the running kernel.
pub fn check_short(
    lookup: &Lookup<'_>,
    carried: &Carried<'_>,
    resolution: &Resolution<'_>,
) -> Result<()> {
    let Carried { selection, entries, .. } = *carried;
    let layout = lookup.layout();
    let object = layout.object;
    let arch = layout.arch;
    if arch.short.is_empty() {
        return Ok(());
    }
    let kept = |class| matches!(class, Class::Text | Class::Data | Class::Strings);
    let (mut findings, mut all, mut flags) = (Vec::new(), 0_usize, "");
    for chunk in entries.chunks().filter(|c| kept(layout.class(c.section()))) {
        let section = chunk.section();
        let refs = Refs::new(layout, section);
        for (entry, reloc) in chunk.relocs(object) {
            let Some(short) = arch.short.iter().find(|s| s.kinds.contains(&reloc.kind)) else {
                continue;
            };
            let symbol = refs.resolve(&reloc)?.symbol;
            let moved = resolution.is_moved(entry);
            if symbol.index() == 0 || !moved && selection.has_symbol(object, symbol) {
                continue;
            }
            let home = match resolution.symbols.get(symbol) {
                Some(klp) => Some(klp.object),
                None => lookup.find(symbol)?.map(|found| lookup.object_of(&found)),
            };
            if home != Some("vmlinux") || is_completed(layout, short, section, &reloc) {
                continue;
            }
            (all, flags) = (all + 1, short.flags);
            if findings.len() < SHOWN {
                let index = layout.entity_at(section, reloc.offset);
                let user = index.and_then(|i| layout.entity(section, i).symbol);
                let name = user.map_or(object.section_name(section), |u| lookup.name(u));
                let kind = arch.reloc(reloc.kind).map_or("relocation", |kind| kind.name);
                let text = format!(
                    "{name} refers to {} of the kernel with {kind}: {}",
                    lookup.name(symbol),
                    short.why
                );
                let found = Finding::in_section(object.section_name(section), text);
                let start = user.map_or(0, |u| object.symbol_value(u));
                findings.push(found.at_symbol(name).at_offset(reloc.offset.wrapping_sub(start)));
            }
        }
    }
    if all == 0 {
        return Ok(());
    }
    Err(Error::refused(
        Code::ShortRelocation,
        format!("{all} reference(s) do not reach the kernel"),
    )
    .in_file(object.file())
    .with_findings(findings)
    .advise(format!("compile both objects with {flags}")))
}

/// Whether the code also takes the rest of the address, at as many places.
fn is_completed(
    layout: &Layout<'_, Patched>,
    short: &Short,
    section: SectionId<Patched>,
    reloc: &Reloc<Patched>,
) -> bool {
    let Some(rest) = short.completed_by else { return false };
    let Some(index) = layout.entity_at(section, reloc.offset) else { return false };
    let entity = layout.entity(section, index);
    let (mut wanted, mut found) = (0_usize, 0_usize);
    for other in layout.object.relocs(section).within(entity.start, entity.end) {
        if (other.symbol, other.addend) == (reloc.symbol, reloc.addend) {
            wanted += usize::from(other.kind == reloc.kind);
            found += usize::from(other.kind == rest);
        }
    }
    found >= wanted
}
