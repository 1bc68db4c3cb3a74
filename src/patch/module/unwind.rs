//! Whether the stack of a task that sleeps in the module can be unwound: where it cannot, each
//! later livepatch waits for that task forever.
//!
//! What counts is coverage. A row of `.orc_unwind_ip` holds until the next one, so that a
//! function which never moves the stack pointer may be covered by the row of what lies before
//! it; and a function with rows may have code that none describes, since objtool took it for
//! unreachable (Linux tools/objtool/Documentation/objtool.txt; arch/*/include/asm/orc_types.h).

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::arch::{Arch, Flow, step};
use crate::elf::abi;
use crate::elf::out::{OutHome, OutObject, OutSectionIndex, OutSymbol};
use crate::kernel::knowledge::sections;

const PLACES: &str = sections::ORC_PLACES;
const ENTRIES: &str = sections::ORC;

/// A row: its place in a section, and whether it says how to unwind.
type OrcRow = (u64, bool);

/// What is wrong with the unwind entries of a module, one line for each function.
pub(super) fn uncovered(module: &OutObject) -> Vec<String> {
    let rows = rows(module);
    let Ok(arch) = Arch::from_machine(module.machine) else { return Vec::new() };
    let mut problems = Vec::new();
    for symbol in module.symbols.iter().filter(|s| s.kind == abi::STT_FUNC) {
        let OutHome::Section(home) = symbol.home else { continue };
        let Some(section) = module.sections.get(home) else { continue };
        let code = section.flags & (abi::SHF_EXECINSTR | abi::SHF_ALLOC);
        if code != abi::SHF_EXECINSTR | abi::SHF_ALLOC || arch.prefixed(&symbol.name).is_some() {
            continue;
        }
        let of_section = rows.get(&home).map_or(&[][..], |rows| rows);
        if let Some(at) = first_uncovered(arch, symbol, &section.data, of_section) {
            let name = &symbol.name;
            problems.push(format!(
                "{name} cannot be unwound at {at:+#x}: no row of {PLACES} says how, and later \
                 livepatches would wait forever for a task that sleeps there"
            ));
        }
    }
    problems
}

/// The rows of each section, by place.
fn rows(module: &OutObject) -> IndexMap<OutSectionIndex, Vec<OrcRow>, RandomState> {
    let mut rows: IndexMap<OutSectionIndex, Vec<OrcRow>, RandomState> = IndexMap::default();
    let named = |name: &str| module.sections.iter().find(|s| s.name == name);
    let (Some(places), Some(entries)) = (named(PLACES), named(ENTRIES)) else { return rows };
    let Some(size) = entries.size.checked_div(places.size / 4).filter(|&size| size > 0) else {
        return rows;
    };
    for entry in places.relocs.iter().flat_map(|t| &t.entries) {
        let symbol = entry.symbol.and_then(|s| module.symbol(s));
        let Some(&OutSymbol { home: OutHome::Section(home), value, .. }) = symbol else { continue };
        let from = (entry.offset / 4).saturating_mul(size);
        let to = from.saturating_add(size);
        let bytes = entries.data.get(from as usize..to as usize).unwrap_or(&[]);
        let place = value.wrapping_add_signed(entry.addend);
        rows.entry(home).or_default().push((place, is_defined(bytes)));
    }
    rows.values_mut().for_each(|rows| rows.sort_unstable());
    rows
}

/// Whether an entry says how to unwind. Its last two bytes are the registers and the type: on
/// x86 four bits each for two registers, on LoongArch for three; where nothing is known, the first
/// register and the type are 0.
fn is_defined(entry: &[u8]) -> bool {
    let Some(flags) = entry.last_chunk::<2>().map(|&bytes| u16::from_le_bytes(bytes)) else {
        return false;
    };
    match entry.len() {
        6 => flags & 0xff0f != 0,
        8 => flags & 0xf00f != 0,
        _ => true,
    }
}

/// The first byte of a function, counted from its start, that no row says how to unwind from,
/// and that is no padding behind what never returns.
fn first_uncovered(arch: &Arch, symbol: &OutSymbol, code: &[u8], rows: &[OrcRow]) -> Option<u64> {
    let (start, end) = (symbol.value, symbol.value.saturating_add(symbol.size));
    let mut at = start;
    while at < end {
        let upto = rows.partition_point(|r| r.0 <= at);
        let defined = upto.checked_sub(1).and_then(|i| rows.get(i)).is_some_and(|r| r.1);
        let next = rows.get(upto).map_or(end, |r| r.0).min(end);
        let bytes = code.get(at as usize..next as usize).unwrap_or(&[]);
        if !defined && !never_runs(arch, bytes) {
            return Some(at - start);
        }
        at = next;
    }
    None
}

/// Whether code is nothing but padding and traps.
fn never_runs(arch: &Arch, mut code: &[u8]) -> bool {
    while !code.is_empty() {
        let padding = step(arch, code, 0).filter(|step| step.flow == Flow::Padding);
        let rest = match padding {
            Some(step) => code.get(step.len as usize..),
            None => arch.never_run.iter().find_map(|t| code.strip_prefix(*t)),
        };
        let Some(rest) = rest else { break };
        code = rest;
    }
    code.iter().all(|&b| b == 0) && (code.is_empty() || code.len() < 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINED: bool = true;

    fn first(size: u64, code: &[u8], rows: &[OrcRow]) -> Option<u64> {
        let symbol = OutSymbol { value: 16, size, ..OutSymbol::undefined("f") };
        let code = [&[0x90; 16][..], code].concat();
        first_uncovered(Arch::from_machine(abi::EM_X86_64).expect("known"), &symbol, &code, rows)
    }

    #[test]
    fn every_byte_of_a_function_is_covered() {
        let code = [0x55; 32];
        assert_eq!(first(32, &code, &[(16, DEFINED)]), None);
        // A row holds until the next one: that of the prefix covers the function.
        assert_eq!(first(32, &code, &[(0, DEFINED)]), None);
        assert_eq!(first(32, &code, &[]), Some(0));
        assert_eq!(first(32, &code, &[(20, DEFINED)]), Some(0));
        assert_eq!(first(32, &code, &[(0, DEFINED), (24, !DEFINED), (40, DEFINED)]), Some(8));
        // What follows is not the function's.
        assert_eq!(first(32, &code, &[(16, DEFINED), (48, !DEFINED)]), None);
    }

    #[test]
    fn padding_behind_a_trap_needs_no_row() {
        let code = [0x55, 0x0f, 0x0b, 0xcc, 0x90, 0x90];
        let rows = [(16, DEFINED), (17, !DEFINED)];
        assert_eq!(first(6, &code, &rows), None);
        // nopl (%rax), behind a jump.
        assert_eq!(first(4, &[0x55, 0x0f, 0x1f, 0x00], &rows), None);
        assert_eq!(first(6, &[0x55, 0x0f, 0x0b, 0x55, 0x90, 0x90], &rows), Some(1));
    }

    #[test]
    fn entries_that_say_nothing() {
        assert!(is_defined(&[8, 0, 0xf8, 0xff, 0x15, 0x02]));
        // End of the stack.
        assert!(is_defined(&[0, 0, 0, 0, 0, 1]));
        assert!(!is_defined(&[0, 0, 0, 0, 0, 0]));
        assert!(!is_defined(&[]));
    }
}
