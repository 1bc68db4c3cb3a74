//! What of the original something of the patched object corresponds to.

use super::pair::Pair;
use crate::arch::same_reloc;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::names;
use crate::kernel::layout::{Class, Entity};

/// The entity of original section `o` that corresponds to `patched`.
pub fn twin_entity(
    pair: &Pair<'_>,
    o: SectionId<Orig>,
    patched: &Entity<Patched>,
) -> Option<Entity<Orig>> {
    let layout = pair.orig.layout;
    let index = match patched.symbol {
        // Where the first thing has its place from the start, nothing is in front of it.
        None if layout.entity_count(o) > 1 && layout.entity(o, 0).symbol.is_some() => {
            return None;
        }
        None => 0,
        Some(symbol) => {
            let twin = pair.twins.orig_symbol(symbol);
            match twin {
                Some(twin) => {
                    if layout.object.section_of(twin) != Some(o) {
                        return None;
                    }
                    layout.entity_at(o, layout.object.symbol_value(twin))?
                }
                // The section pair stands for a variable that has no twin of its own. Where
                // the only one has another twin, this one is new beside it.
                None if layout.entity_count(o) == 1
                    && !pair.patched.layout.is_special_static(symbol)
                    && may_stand_for(pair, layout.entity(o, 0).symbol, symbol) =>
                {
                    0
                }
                None => return None,
            }
        }
    };
    (index < layout.entity_count(o)).then(|| layout.entity(o, index))
}

/// Whether the only thing of an original section may be `p`, although they are no twins.
fn may_stand_for(pair: &Pair<'_>, o: Option<SymbolId<Orig>>, p: SymbolId<Patched>) -> bool {
    let replaced = pair.twins.replaced.was(p).is_some();
    !replaced && o.is_none_or(|o| pair.policy.pairs_by_order || same_symbol(pair, o, p))
}

/// Whether two relocations have the same type, or types that do the same, one of them for
/// what only its file can see, the other for what all can.
#[inline]
pub(super) fn same_kind(pair: &Pair<'_>, o: &Reloc<Orig>, p: &Reloc<Patched>) -> bool {
    let is_local = || {
        let (orig, patched) = (pair.orig.layout.object, pair.patched.layout.object);
        (
            orig.symbol_bind(o.symbol) == abi::STB_LOCAL,
            patched.symbol_bind(p.symbol) == abi::STB_LOCAL,
        )
    };
    o.kind == p.kind
        || pair.policy.proves_noise
            && same_reloc(pair.patched.layout.arch, o.kind, p.kind)
            && matches!(is_local(), (true, false) | (false, true))
}

/// Whether two symbols are one: twins, or both of the kind that never has a twin.
pub(super) fn same_symbol(pair: &Pair<'_>, o: SymbolId<Orig>, p: SymbolId<Patched>) -> bool {
    if pair.twins.are_twins(o, p) {
        return true;
    }
    pair.twins.patched_symbol(o).is_none()
        && pair.twins.orig_symbol(p).is_none()
        && !pair.twins.doubted.contains(&p)
        && pair.twins.replaced.was(p).is_none()
        && names::same(
            pair.orig.layout.object.symbol_name(o),
            pair.patched.layout.object.symbol_name(p),
        )
        && have_alike_homes(pair, o, p)
}

/// Whether two symbols are in sections of one kind: variables, constants, code or a table.
fn have_alike_homes(pair: &Pair<'_>, o: SymbolId<Orig>, p: SymbolId<Patched>) -> bool {
    let (orig, patched) = (pair.orig.layout, pair.patched.layout);
    let homes = (orig.object.section_of(o), patched.object.section_of(p));
    let (Some(before), Some(after)) = homes else {
        return homes.0.is_none() == homes.1.is_none();
    };
    let flags = |flags: u64| flags & (abi::SHF_WRITE | abi::SHF_ALLOC | abi::SHF_EXECINSTR);
    let is_table = |class| matches!(class, Class::Table(_));
    flags(orig.object.section_flags(before)) == flags(patched.object.section_flags(after))
        && is_table(orig.class(before)) == is_table(patched.class(after))
}
