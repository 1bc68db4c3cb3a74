//! Refuses references to what the kernel freed when it had booted, in other files than those that
//! are compared: only its symbol table tells.

use super::resolve::decide::Resolution;
use super::resolve::lookup::Lookup;
use crate::diag::Result;
use crate::diff::refuse::boot::{Dangling, refuse_dangling};
use crate::elf::abi;
use crate::kernel::knowledge::boot::{FREED, Lifetime, PER_CPU};
use crate::running::parent::Parent;

/// Fails when livepatch would resolve a reference that is new to code or data that is gone.
pub fn check_freed(lookup: &Lookup<'_>, resolution: &Resolution<'_>) -> Result<()> {
    let parent = lookup.running.parent;
    let Some(freed) = range(parent, FREED) else { return Ok(()) };
    let per_cpu = range(parent, PER_CPU).unwrap_or((0, 0));
    let within = |(start, end): (u64, u64), addr: u64| start <= addr && addr < end;
    let object = lookup.layout().object;
    let mut found = Vec::new();
    for klp in &resolution.relocs {
        let Some(symbol) = resolution.symbols.get(klp.meant) else { continue };
        let gone = within(freed, symbol.addr) && !within(per_cpu, symbol.addr);
        // What is in the object has a section, which tells more.
        if !gone || symbol.object != "vmlinux" || object.section_of(klp.meant).is_some() {
            continue;
        }
        // Marks of the linker script are no more than addresses.
        let Some(index) = lookup.find(klp.meant)?.and_then(|found| found.index) else {
            continue;
        };
        let kind = parent.table().entries().traits(index).kind();
        if !matches!(kind, abi::STT_FUNC | abi::STT_OBJECT) {
            continue;
        }
        found.push(Dangling {
            base: klp.section,
            at: klp.offset,
            symbol: klp.meant,
            place: format!(
                "the kernel at {:#x} (section .init.text, .init.data or alike)",
                symbol.addr
            ),
            lifetime: Lifetime::Boot,
            carried: false,
        });
    }
    refuse_dangling(lookup.pair, found)
}

/// The addresses of two symbols of the linker script.
fn range(parent: &Parent<'_>, names: [&str; 2]) -> Option<(u64, u64)> {
    if parent.name() != "vmlinux" {
        return None;
    }
    let table = parent.table();
    let [start, end] = names.map(|name| match *table.named(name) {
        [only] => Some(table.entries().addr(only)),
        _ => None,
    });
    start.zip(end)
}
