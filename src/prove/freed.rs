//! References of a patch to what the kernel freed when it had booted.

use super::differs;
use super::walk::Walk;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, SymbolId};
use crate::kernel::knowledge::boot::{FREED, PER_CPU, lifetime};
use crate::kernel::knowledge::sections;
use crate::kernel::layout::Class;
use crate::kernel::refs::Refs;
use crate::running::parent::Found;

impl Walk<'_> {
    /// Checks that a reference that livepatch resolves does not lead to what is gone, unless the
    /// same function or variable of the original had one there. `at` is a byte of section `base`.
    pub(super) fn check_stays(
        &self,
        (base, at): (SectionId<Patched>, u64),
        id: SymbolId<Patched>,
        found: &Found<'_>,
    ) -> Result<()> {
        let comparer = self.prover.lookup.pair;
        let layout = self.prover.layout();
        let name = layout.object.section_name(base);
        let live = matches!(layout.class(base), Class::Text | Class::Data | Class::Strings)
            && lifetime(name, comparer.in_module).is_none()
            && !sections::starts_with_any(name, &sections::BOOT_LISTS);
        if !comparer.policy.refuses_unsafe || !live || !self.is_gone(id, found) {
            return Ok(());
        }
        let target = self.prover.lookup.name(id);
        let user = layout.user_at(base, at);
        let twin = user.map(|user| comparer.twins.orig_symbol(user));
        let orig = comparer.orig.layout;
        for &section in orig.object.relocated() {
            let same_home = || orig.object.section_name(section) == name;
            let refs = Refs::new(orig, section);
            for reloc in orig.object.relocs(section).iter() {
                let by = orig.user_at(section, reloc.offset);
                let same_user = match twin {
                    Some(twin) => twin.is_some() && by == twin,
                    None => by.is_none() && same_home(),
                };
                if same_user && orig.object.symbol_name(refs.resolve(&reloc)?.symbol) == target {
                    return Ok(());
                }
            }
        }
        let text = "it now refers to what was freed when the kernel had booted";
        Err(differs(text).at_symbol(target))
    }

    /// Whether the kernel has freed a symbol: its section says so, or its address.
    fn is_gone(&self, id: SymbolId<Patched>, found: &Found<'_>) -> bool {
        let layout = self.prover.layout();
        let module = self.prover.lookup.pair.in_module;
        if let Some(section) = layout.object.section_of(id) {
            return lifetime(layout.object.section_name(section), module).is_some();
        }
        let parent = self.prover.lookup.running.parent;
        let (Some(index), None, "vmlinux") = (found.index, found.object, parent.name()) else {
            return false;
        };
        let table = parent.table();
        let kind = table.entries().traits(index).kind();
        let within = |names: [&str; 2]| {
            let [start, end] = names.map(|name| match *table.named(name) {
                [only] => Some(table.entries().addr(only)),
                _ => None,
            });
            start.zip(end).is_some_and(|(start, end)| (start..end).contains(&found.addr))
        };
        matches!(kind, abi::STT_FUNC | abi::STT_OBJECT) && within(FREED) && !within(PER_CPU)
    }
}
