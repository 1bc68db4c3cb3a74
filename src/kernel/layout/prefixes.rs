//! Prefix symbols: `__cfi_f` and `__pfx_f` name what lies before function `f`.

use super::facts::{self, Facts};
use crate::arch::Arch;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::Object;
use crate::kernel::classes::is_padding;

/// (function, prefix), sorted, of several prefixes of one function the one that counts last.
pub(super) struct Prefixes<S>(Vec<(SymbolId<S>, SymbolId<S>)>);

impl<S: Side> Prefixes<S> {
    /// Links each prefix symbol with the functions that start where it, and the NOPs that
    /// may follow it, end (clang's kCFI layout has 11 NOPs).
    pub(super) fn new(object: &Object<'_, S>, arch: &Arch, facts: &Facts<S>) -> Result<Self> {
        let mut linked = Vec::new();
        if arch.prefix_symbols.is_empty() {
            return Ok(Prefixes(linked));
        }
        let mut found = Vec::new();
        for prefix in object.symbols().filter(|&id| facts.has(id, facts::PREFIX)) {
            if let Some(section) = object.section_of(prefix) {
                found.push((section, prefix));
            }
        }
        found.sort_unstable();
        for group in found.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(section, _)) = group.first() else { continue };
            link(object, arch, section, group, &mut linked)?;
        }
        // Of several prefixes (`__cfi_f`, and objtool's `__pfx_f` behind it) the one that lies
        // farthest before the function counts: `of` takes the last.
        linked.shrink_to_fit();
        linked.sort_unstable_by_key(|&(function, prefix)| {
            (function, std::cmp::Reverse(object.symbol_value(prefix)), prefix)
        });
        Ok(Prefixes(linked))
    }

    /// The prefix symbol of a function; of several, the one that lies farthest before it.
    pub(super) fn of(&self, function: SymbolId<S>) -> Option<SymbolId<S>> {
        let behind = self.0.partition_point(|p| p.0 <= function);
        behind.checked_sub(1).and_then(|i| self.0.get(i)).filter(|p| p.0 == function).map(|p| p.1)
    }
}

/// Links the prefix symbols `found` in one section.
fn link<S: Side>(
    object: &Object<'_, S>,
    arch: &Arch,
    section: SectionId<S>,
    found: &[(SectionId<S>, SymbolId<S>)],
    linked: &mut Vec<(SymbolId<S>, SymbolId<S>)>,
) -> Result<()> {
    let mut functions: Vec<(u64, SymbolId<S>)> = object
        .members(section)
        .iter()
        .filter(|&&m| {
            object.symbol_kind(m) == abi::STT_FUNC && found.binary_search(&(section, m)).is_err()
        })
        .map(|&m| (object.symbol_value(m), m))
        .collect();
    functions.sort_unstable();
    let start = |&(_, prefix): &(_, SymbolId<S>)| object.symbol(prefix);
    let mut starts: Vec<(u64, &str)> =
        found.iter().map(start).map(|prefix| (prefix.value, prefix.name)).collect();
    starts.sort_unstable();
    for &(_, prefix) in found {
        let symbol = object.symbol(prefix);
        let end = symbol.value.saturating_add(symbol.size);
        let fail = |why: &str| {
            Error::broken(Code::PrefixWithoutFunction, format!("missing func for {}", symbol.name))
                .in_section(object.section_name(section))
                .at_symbol(symbol.name)
                .at_offset(end)
                .advise(why)
        };
        // objtool's `__pfx___cfi_f` is the padding before `__cfi_f`.
        let inner = arch.prefixed(symbol.name).filter(|i| arch.prefixed(i).is_some());
        if inner.is_some_and(|inner| starts.binary_search(&(end, inner)).is_ok()) {
            continue;
        }
        let next = functions.partition_point(|f| f.0 < end);
        let next = functions.get(next..).unwrap_or_default();
        let Some(&(start, _)) = next.first() else {
            return Err(fail("a prefix symbol must be followed by its function"));
        };
        let gap = object.contents(section).get(end as usize..start as usize);
        if !gap.is_some_and(|g| is_padding(arch, g)) {
            return Err(fail("the bytes between the prefix and the next function are no padding"));
        }
        let starting_there = next.iter().take_while(|f| f.0 == start);
        linked.extend(starting_there.map(|f| (f.1, prefix)));
    }
    Ok(())
}
