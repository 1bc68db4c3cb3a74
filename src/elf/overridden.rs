//! Which of several definitions of one name counts when objects are linked.
//!
//! A linker drops the name of a weak definition that gives way, and leaves its bytes. Here
//! the bytes keep a name of their own: so they stay a function or variable that nothing
//! refers to, and are not taken for a part of what lies before them.

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::abi;
use super::globals::Strength;
use super::out::{OutHome, OutObject, OutSymbol, OutSymbolIndex};

pub(super) type Map<K, V> = IndexMap<K, V, foldhash::fast::RandomState>;

/// The visibility bits of `st_other`.
pub(super) const VISIBILITY: u8 = 3;

/// Behind the name of a definition that gave way to a stronger one.
pub const OVERRIDDEN: &str = "@overridden";

/// The definition that counts so far: its strength, and which object's which symbol it is.
type Winner = (Strength, usize, usize);

/// Makes definitions that give way to others static ones, under names with [`OVERRIDDEN`], and
/// common symbols that do undefined ones. Ordinary definitions of one name are left for the
/// linker to complain of. Of weak ones the first counts.
#[expect(clippy::indexing_slicing, reason = "places come from a walk over the same objects")]
#[expect(clippy::arithmetic_side_effects, reason = "counts of symbols, which are in memory")]
pub(super) fn set_aside(objects: &mut [(String, OutObject)]) {
    let mut winners: IndexMap<&str, Winner, RandomState> = IndexMap::default();
    let mut losers: Vec<Winner> = Vec::new();
    // What the largest of several common symbols is like: (object, symbol, size, alignment).
    let mut grown: Vec<(usize, usize, u64, u64)> = Vec::new();
    for (i, (_, object)) in objects.iter().enumerate() {
        for (j, symbol) in object.symbols.iter().enumerate() {
            let section = match symbol.home {
                OutHome::Undefined => abi::SHN_UNDEF,
                OutHome::Section(_) => abi::SHN_ABS,
                OutHome::Reserved(section) => section,
            };
            let Some(strength) = Strength::of(symbol.bind, section) else { continue };
            let this = (strength, i, j);
            let Some(winner) = winners.get_mut(symbol.name.as_str()) else {
                winners.insert(&symbol.name, this);
                continue;
            };
            if strength > winner.0 {
                losers.push(std::mem::replace(winner, this));
            } else if strength < Strength::Strong {
                losers.push(this);
            }
            if winner.0 == Strength::Common && strength == Strength::Common {
                grown.push((winner.1, winner.2, symbol.size, symbol.value));
            }
        }
    }
    drop(winners);
    for (i, j, size, align) in grown {
        let winner = &mut objects[i].1.symbols[j];
        winner.size = winner.size.max(size);
        winner.value = winner.value.max(align);
    }
    losers.sort_unstable_by_key(|&(_, i, j)| (i, j));
    for of_object in losers.chunk_by(|a, b| a.1 == b.1) {
        let object = &mut objects[of_object[0].1].1;
        let mut weak: Map<usize, usize> = Map::default();
        for &(strength, _, j) in of_object {
            if strength == Strength::Weak {
                weak.insert(j, object.symbols.len() + weak.len());
            } else {
                let symbol = &mut object.symbols[j];
                (symbol.home, symbol.value, symbol.size) = (OutHome::Undefined, 0, 0);
            }
        }
        if !weak.is_empty() {
            rename(object, &weak);
        }
    }
}

/// Gives definitions names of their own. What refers to one now refers to an undefined symbol
/// of the old name. `weak`: the index of each, and the one that its undefined symbol gets.
#[expect(clippy::indexing_slicing, reason = "symbols are in sections of their object")]
fn rename(object: &mut OutObject, weak: &Map<usize, usize>) {
    let mut names: IndexSet<String, RandomState> = IndexSet::default();
    for &index in weak.keys() {
        let symbol = &mut object.symbols[index];
        let aside = format!("{}{OVERRIDDEN}", symbol.name);
        let name = std::mem::replace(&mut symbol.name, aside);
        let home = symbol.home;
        symbol.bind = abi::STB_LOCAL;
        symbol.other &= !VISIBILITY;
        if let OutHome::Section(home) = home {
            let section = &mut object.sections[home];
            // A section is found by the name of what it was made for.
            if section.name.ends_with(&format!(".{name}")) {
                section.name.push_str(OVERRIDDEN);
                for table in &mut section.relocs {
                    table.name.push_str(OVERRIDDEN);
                }
            }
        }
        object.symbols.push(OutSymbol::undefined(&*name));
        names.insert(name);
    }
    // Parts that were split off a function are found by its name.
    for part in object.symbols.iter_mut().filter(|s| s.bind == abi::STB_LOCAL) {
        if let Some((name, rest)) = part.name.split_once('.').filter(|n| names.contains(n.0)) {
            part.name = format!("{name}{OVERRIDDEN}.{rest}");
        }
    }
    for entry in object.sections.iter_mut().flat_map(|s| &mut s.relocs).flat_map(|t| &mut t.entries)
    {
        if let Some(&undefined) = entry.symbol.and_then(|old| weak.get(&old.index())) {
            entry.symbol = Some(OutSymbolIndex::new(undefined));
        }
    }
}
