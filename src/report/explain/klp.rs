//! Who finds in the running kernel what the patch refers to.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use serde::Serialize;

use crate::diff::compare::comparer::Comparer;
use crate::elf::ids::{Patched, SymbolId};
use crate::patch::resolve::decide::Resolution;

/// A symbol that livepatch resolves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KlpFact {
    /// Its name in the running kernel.
    pub symbol: String,
    /// The object it lives in: `vmlinux` or a module.
    pub object: String,
    /// Position among its namesakes, 0 when the name is unique.
    pub sympos: u64,
    /// Its address before the kernel is moved; null when it is not known.
    pub address: Option<u64>,
    /// It is exported, by another module.
    pub exported: bool,
    /// Relocations that need it.
    pub relocations: usize,
    /// The first thing that refers to it.
    pub first: String,
}

/// The symbols that livepatch resolves, in the order in which the output needs them.
pub fn facts(comparer: &Comparer<'_>, resolution: &Resolution<'_>) -> Vec<KlpFact> {
    let layout = comparer.patched.layout;
    let mut found: IndexMap<SymbolId<Patched>, KlpFact, RandomState> = IndexMap::default();
    for reloc in &resolution.relocs {
        if let Some(fact) = found.get_mut(&reloc.meant) {
            fact.relocations += 1;
            continue;
        }
        let Some(symbol) = resolution.symbols.get(reloc.meant) else { continue };
        let entity = layout.entity_at(reloc.section, reloc.offset);
        let user = entity.and_then(|i| layout.entity(reloc.section, i).symbol);
        let section = layout.object.section_name(reloc.section);
        found.insert(
            reloc.meant,
            KlpFact {
                symbol: symbol.name.to_owned(),
                object: symbol.object.to_owned(),
                sympos: symbol.sympos,
                address: Some(symbol.addr).filter(|&addr| addr != 0),
                exported: symbol.external,
                relocations: 1,
                first: user.map_or(section, |user| comparer.output_name(user)).to_owned(),
            },
        );
    }
    found.into_values().collect()
}
