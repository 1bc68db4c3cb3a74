//! ftrace sites of the functions of a patch.

use super::Builder;
use super::output::Output;
use crate::arch::SiteTable;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::out::OutReloc;

/// Adds the table that tells ftrace where the functions of the patch can be hooked, and
/// turns sites that were switched off back into calls.
pub(super) fn add(output: &mut Output, builder: &Builder<'_>) -> Result<()> {
    let layout = builder.patched();
    let arch = layout.arch;
    let table = (arch.site_table)(layout.has_pfe());
    if builder.remade && layout.section_named(table.section()).is_none() {
        return Ok(());
    }
    let functions: Vec<_> = builder.traced(output).collect();
    let mut sites = Vec::with_capacity(functions.len());
    for (id, section, symbol, home) in functions {
        let view = layout.view(id, section);
        let site = (arch.ftrace_site)(&view, &mut layout.entry_relocs(id, section)).map_err(
            |message| {
                Error::broken(Code::FtraceSite, message)
                    .in_file(layout.object.file())
                    .in_section(layout.object.section_name(section))
                    .at_symbol(view.name)
                    .advise("the function's entry has a form that is not known for this machine")
            },
        )?;
        // Of a section that functions share the output may have a part.
        let offset = builder.offset(section, site.offset);
        if let Some((bytes, kind)) = site.rewrite.filter(|_| !builder.remade) {
            let out = &mut output.object.sections[home];
            let at = offset as usize;
            if let Some(place) = out.data.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
            for table in &mut out.relocs {
                let first = table.entries.partition_point(|e| e.offset <= offset);
                let field = table.entries[first..].iter_mut();
                field.take_while(|e| e.offset == offset + 1).for_each(|e| e.kind = kind);
            }
        }
        sites.push((symbol, home, offset, site.offset.wrapping_sub(view.value)));
    }
    let kind = output.pointer;
    match table {
        SiteTable::McountLoc => {
            let relocs = sites.iter().enumerate().map(|(i, &(symbol, _, _, distance))| OutReloc {
                offset: 8 * i as u64,
                kind,
                symbol: Some(symbol),
                addend: distance.cast_signed(),
            });
            let relocs = relocs.collect();
            output.add_section(table.section(), vec![0; 8 * sites.len()], 8, relocs);
        }
        SiteTable::PatchableEntries => {
            for (_, home, offset, _) in sites {
                let symbol = Some(output.section_symbol(home));
                let entry = OutReloc { offset: 0, kind, symbol, addend: offset.cast_signed() };
                let index = output.add_section(table.section(), vec![0; 8], 8, vec![entry]);
                let section = &mut output.object.sections[index];
                section.flags |= abi::SHF_WRITE;
                if layout.pfe_ordered() {
                    section.flags |= abi::SHF_LINK_ORDER;
                }
                section.link = Some(home);
            }
        }
    }
    Ok(())
}
