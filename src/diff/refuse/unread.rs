//! Code that takes the place of other code, as far as no row of a table reads it.
//!
//! A row says how many bytes of `.altinstr_replacement` it means, and exactly these are compared
//! with it. What lies between them runs nowhere, as far as the rows tell: it must be as it was.

use super::unexplained;
use crate::diag::{Finding, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::pair::Indexed;
use crate::elf::ids::{SectionId, Side};
use crate::kernel::padding::is_padding;
use crate::kernel::refs::Refs;
use crate::kernel::rows::TableRows;

/// Notes sections of replacements in which something differs that no row reads.
pub(super) fn replacements(comparer: &Comparer<'_>, details: &mut Vec<Finding>) -> Result<()> {
    let object = comparer.patched.layout.object;
    for section in comparer.patched.layout.replacements() {
        let Some(twin) = comparer.twins.orig_section(section) else { continue };
        if unread(comparer.orig, twin)? != unread(comparer.patched, section)? {
            let name = object.section_name(section);
            unexplained(details, name, "has code that no row reads; it changed");
        }
    }
    Ok(())
}

/// The bytes of a section that no row reads and that are no padding, with what is relocated there.
fn unread<S: Side>(side: &Indexed<'_, S>, section: SectionId<S>) -> Result<Vec<u8>> {
    let layout = side.layout;
    let object = layout.object;
    let mut read = Vec::new();
    for table in &side.rows.tables {
        read_by(side, table, section, &mut read)?;
    }
    read.sort_unstable();
    let size = object.section_size(section);
    read.push((size, size));
    let mut found = Vec::new();
    let mut at = 0;
    for (from, to) in read {
        if at < from && !is_padding(layout, section, at, from) {
            found.extend(object.contents(section).get(at as usize..from as usize).unwrap_or(&[]));
            for reloc in object.relocs(section).within(at, from) {
                found.extend(object.symbol_name(reloc.symbol).bytes());
                found.extend(reloc.addend.to_le_bytes());
            }
        }
        at = at.max(to);
    }
    Ok(found)
}

/// Adds what the rows of a table read of a section.
fn read_by<S: Side>(
    side: &Indexed<'_, S>,
    table: &TableRows<S>,
    section: SectionId<S>,
    read: &mut Vec<(u64, u64)>,
) -> Result<()> {
    let Some(field) = table.replacement() else { return Ok(()) };
    let object = side.layout.object;
    let size = object.section_size(table.section);
    let refs = Refs::new(side.layout, table.section);
    for row in 0..table.len(size) {
        let (start, end) = table.span(row, size);
        let place = start.saturating_add(field.field);
        let Some(reloc) = object.relocs(table.section).within(place, end).next() else { continue };
        if reloc.offset != place {
            continue;
        }
        let length = start.saturating_add(field.length);
        let length = object.contents(table.section).get(length as usize).copied().unwrap_or(0);
        if let Some((_, at)) = refs.place(&reloc)?.filter(|found| found.0 == section) {
            read.push((at, at.saturating_add(length.into())));
        }
    }
    Ok(())
}
