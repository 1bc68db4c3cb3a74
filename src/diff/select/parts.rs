//! Parts that were split off functions (`f.cold`) and are as they were while the function
//! changed. klp-diff carries them, see [`super::status`]; the drop-in does as the C tool does
//! and leaves them to the kernel, where they jump back into the kernel's function.

use super::status::{Status, Statuses};
use crate::diag::{Code, Diagnostic, Finding, Result};
use crate::diff::compare::comparer::Comparer;
use crate::elf::ids::{Patched, SymbolId};
use crate::kernel::refs::Refs;

/// One warning for each unchanged part that jumps into a changed function.
pub fn left_behind(comparer: &Comparer<'_>, statuses: &Statuses) -> Result<Vec<Diagnostic>> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let mut warnings = Vec::new();
    for id in layout.parts() {
        let Some(parent) = layout.split_from(id) else { continue };
        if statuses.symbols[parent] != Status::Changed
            || statuses.symbols[id] != Status::Same
            || layout.has_profiling(id)
        {
            continue;
        }
        let Some(section) = object.section_of(id) else { continue };
        let Some(index) = layout.entity_at(section, object.symbol_value(id)) else { continue };
        let part = layout.entity(section, index);
        let refs = Refs::new(layout, section);
        let root = layout.root(id);
        let family = |symbol: SymbolId<Patched>| symbol != id && layout.root(symbol) == root;
        for reloc in object.relocs(section).within(part.start, part.end) {
            if family(refs.resolve(&reloc)?.symbol) {
                let (part, function) = (object.symbol_name(id), object.symbol_name(parent));
                let text = format!(
                    "WARNING: {part} did not change and is not in the patch; the kernel's goes back into the old {function}"
                );
                let place = Finding::in_section(object.section_name(section), text).at_symbol(part);
                warnings.push(Diagnostic::warning_of(Code::PartLeftBehind, place));
                break;
            }
        }
    }
    Ok(warnings)
}
