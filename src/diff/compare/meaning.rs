//! What a relocation means, and whether two names are those of one thing.

use crate::diff::reason::Meant;
use crate::elf::ids::{Id as _, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::names;
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;
use crate::running::kallsyms::is_promoted;

/// A relocation in words: the string it refers to, or its target and the distance from there
/// that is meant.
pub fn describe<S: Side>(layout: &Layout<'_, S>, refs: &Refs<'_, S>, reloc: &Reloc<S>) -> String {
    meaning(layout, refs, reloc).to_string()
}

/// What a relocation means: the string it refers to, or its target and the distance from there.
pub fn meaning<S: Side>(layout: &Layout<'_, S>, refs: &Refs<'_, S>, reloc: &Reloc<S>) -> Meant {
    meaning_as(refs, reloc, &|id| layout.object.symbol_name(id).to_owned())
}

/// [`meaning`] with names of somebody's own.
pub fn meaning_as<S: Side>(
    refs: &Refs<'_, S>,
    reloc: &Reloc<S>,
    name_of: &dyn Fn(SymbolId<S>) -> String,
) -> Meant {
    if let (Ok(false), Ok(Some(string))) = (refs.leaves_string(reloc), refs.string(reloc)) {
        return Meant::String(String::from_utf8_lossy(string).into_owned());
    }
    if reloc.symbol.index() == 0 {
        return Meant::Nothing;
    }
    let Ok(target) = refs.resolve(reloc) else {
        return Meant::Place { name: name_of(reloc.symbol), distance: 0 };
    };
    let name = name_of(target.symbol);
    // What PC-relative addressing adds is no distance from the symbol.
    let bias = refs.target_offset(reloc).map_or(0, |meant| meant.wrapping_sub(reloc.addend));
    Meant::Place { name, distance: target.addend.wrapping_add(bias) }
}

/// Whether two names are those of one thing whose promotion came, went, or has another hash.
pub(in crate::diff) fn is_promotion(a: &str, b: &str) -> bool {
    a != b && (is_promoted(a) || is_promoted(b)) && names::same(a, b)
}
