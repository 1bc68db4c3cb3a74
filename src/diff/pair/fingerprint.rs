//! What tells symbols of one name apart: what they stand for.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use crate::elf::ids::{Side, SymbolId};
use crate::elf::object::Home;
use crate::kernel::knowledge::names;
use crate::kernel::layout::Layout;

/// A hash of what a symbol stands for: its bytes, and its relocations with normal names.
/// Undefined symbols have nothing but their full name.
pub(super) fn fingerprint<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> u64 {
    let object = layout.object;
    let symbol = object.symbol(id);
    let mut state = FixedState::default().build_hasher();
    state.write_u64(symbol.size);
    // Of what is imported the name is all there is: other files' `.str.1.llvm.7` and
    // `.str.4.llvm.9` have the same normal form, but nothing else in common.
    let Home::Section(section) = symbol.home else {
        state.write(symbol.name.as_bytes());
        return state.finish();
    };
    let bundled = layout.is_bundled(id);
    let (start, end) = if bundled {
        (0, object.section_size(section))
    } else {
        (symbol.value, symbol.value.saturating_add(symbol.size))
    };
    let data = object.contents(section);
    state.write(data.get(start as usize..(end as usize).min(data.len())).unwrap_or(&[]));
    for reloc in object.relocs(section).within(start, end) {
        state.write_u64(reloc.offset - start);
        state.write_u32(reloc.kind);
        names::hash_normal(object.symbol_name(reloc.symbol), &mut state);
    }
    state.finish()
}
