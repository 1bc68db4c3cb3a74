//! Addresses that instructions take in two parts.
//!
//! Each part has a relocation, and each is compared by what it leads to. Where several things
//! have the same content, both parts must still lead to the same one of them.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::pair::Pair;
use super::spans::Spans;
use crate::arch::Arch;
use crate::elf::ids::{Orig, Patched, SymbolId};
use crate::elf::object::Reloc;

/// What a relocation names: a symbol and the addend.
type SymbolAddend<S> = (SymbolId<S>, i64);

/// What the upper parts that were read last lead to: of each place of the original the patched
/// one.
#[derive(Debug, Default)]
pub(super) struct AddressParts {
    upper: IndexMap<SymbolAddend<Orig>, SymbolAddend<Patched>, RandomState>,
}

/// Which part of an address a relocation is for: by the names that the ABIs give the types.
fn is_lower(arch: &Arch, kind: u32) -> Option<bool> {
    let name = arch.reloc(kind).ok()?.name;
    if name.contains("_LO") {
        return Some(true);
    }
    (name.contains("_HI") || name.contains("_HA")).then_some(false)
}

impl AddressParts {
    /// Whether a lower part leads to the thing that the upper part before it does, when it is
    /// so in the original.
    pub fn agree(&mut self, arch: &Arch, o: &Reloc<Orig>, p: &Reloc<Patched>) -> bool {
        let (from, to) = ((o.symbol, o.addend), (p.symbol, p.addend));
        match is_lower(arch, o.kind) {
            Some(false) => {
                self.upper.insert(from, to);
                true
            }
            Some(true) => self.upper.get(&from).is_none_or(|&upper| upper == to),
            None => true,
        }
    }
}

/// The first relocations of two spans, with as many at the same places, whose parts of an
/// address do not agree.
pub(super) fn torn_apart(pair: &Pair<'_>, spans: &Spans) -> Option<(Reloc<Orig>, Reloc<Patched>)> {
    let (orig, patched) = (pair.orig.layout.object, pair.patched.layout.object);
    let o = orig.relocs(spans.o).within(spans.o_start, spans.o_end);
    let p = patched.relocs(spans.p).within(spans.p_start, spans.p_end);
    let mut parts = AddressParts::default();
    o.zip(p).find(|(o, p)| !parts.agree(pair.patched.layout.arch, o, p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::Arch;
    use crate::elf::ids::{Id, Side};

    fn reloc<S: Side>(kind: u32, symbol: usize, addend: i64) -> Reloc<S> {
        Reloc { offset: 0, kind, symbol: SymbolId::new(symbol), addend }
    }

    #[test]
    fn parts_of_an_address() {
        // Machine; the types of the upper and of the lower part.
        for (machine, upper, lower) in [(183, 275, 277), (258, 71, 72), (21, 50, 48)] {
            let arch = Arch::from_machine(machine).expect("a machine");
            let mut parts = AddressParts::default();
            assert!(parts.agree(arch, &reloc(upper, 1, 0), &reloc(upper, 7, 4)));
            assert!(parts.agree(arch, &reloc(lower, 1, 0), &reloc(lower, 7, 4)));
            assert!(!parts.agree(arch, &reloc(lower, 1, 0), &reloc(lower, 7, 0)));
            assert!(!parts.agree(arch, &reloc(lower, 1, 0), &reloc(lower, 8, 4)));
            assert!(parts.agree(arch, &reloc(lower, 2, 0), &reloc(lower, 8, 4)));
            assert!(parts.agree(arch, &reloc(upper, 1, 0), &reloc(upper, 8, 4)));
            assert!(parts.agree(arch, &reloc(lower, 1, 0), &reloc(lower, 8, 4)));
        }
    }
}
