//! What the objects of one patch have to tell each other of their symbols.

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::decide::{Carried, Resolution};
use super::lookup::Lookup;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Id, Patched, SymbolId};
use crate::elf::object::Home;
use crate::kernel::knowledge::livepatch;
use crate::kernel::layout::Class;
use crate::running::parent::Found;

/// What other objects of the patch may know under names that the parent does not have:
/// (name in the patched build, place in the parent's symbol table).
pub fn offers(lookup: &Lookup<'_>) -> Vec<(String, u32)> {
    let (orig, object) = (lookup.pair.orig.layout.object, lookup.layout().object);
    let mut offers = Vec::new();
    for id in object.symbols().skip(1) {
        let symbol = object.symbol(id);
        if symbol.bind == abi::STB_LOCAL || !matches!(symbol.home, Home::Section(_)) {
            continue;
        }
        let Some(twin) = lookup.pair.twins.orig_symbol(id) else { continue };
        let before = orig.symbol(twin);
        if before.bind != abi::STB_LOCAL && before.name == symbol.name {
            continue;
        }
        // Who needs one that cannot be told is refused for that.
        if let Ok(Some(Found { index: Some(index), .. })) = lookup.find(id) {
            offers.push((symbol.name.to_owned(), index));
        }
    }
    offers
}

/// Names of what the patch refers to, does not have, and the parent does not know.
pub fn unknown(
    lookup: &Lookup<'_>,
    carried: &Carried<'_>,
    resolution: &Resolution<'_>,
) -> Result<Vec<String>> {
    let layout = lookup.layout();
    let object = layout.object;
    let mut seen: IndexSet<SymbolId<Patched>, RandomState> = IndexSet::default();
    let mut unknown = Vec::new();
    let chunks = carried.entries.chunks().filter(|c| layout.class(c.section()) != Class::Debug);
    for (_, reloc) in chunks.flat_map(|chunk| chunk.relocs(object)) {
        let is_undefined = object.home(reloc.symbol) == Home::Undefined;
        if !is_undefined || reloc.symbol.index() == 0 || resolution.is_known(reloc.symbol) {
            continue;
        }
        if seen.insert(reloc.symbol)
            && !livepatch::SHADOW.contains(&object.symbol_name(reloc.symbol))
            && !carried.selection.has_symbol(object, reloc.symbol)
            && lookup.find(reloc.symbol)?.is_none()
        {
            unknown.push(lookup.name(reloc.symbol).to_owned());
        }
    }
    Ok(unknown)
}
