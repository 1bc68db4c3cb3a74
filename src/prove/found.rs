//! What the kernel finds for a name and a position, and whether that is what is meant.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use super::differs;
use super::walk::Walk;
use super::written::{Asked, Home, Reference, Symbol};
use crate::diag::Result;
use crate::diff::select::status::Status;
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, SymbolId};
use crate::kernel::knowledge::livepatch;
use crate::kernel::layout::Class;
use crate::kernel::refs::Ref;
use crate::running::kallsyms::Matching;
use crate::running::parent::Found;
use crate::running::symtab::Order;

impl<'a> Walk<'a> {
    /// What the parent has for a symbol; looked up once.
    pub(super) fn lookup(&mut self, id: SymbolId<Patched>) -> Result<Option<Found<'a>>> {
        if let Some(&known) = self.found.get(&id) {
            return Ok(known);
        }
        let found = self.prover.lookup.find(id)?;
        self.found.insert(id, found);
        Ok(found)
    }

    /// Checks that the kernel finds at `object`, `name` and `position` what was found.
    /// kallsyms lists the kernel's own symbols by address, a module's are in the order of its
    /// table; position 0 stands for a name that is there once (Linux
    /// Documentation/livepatch/module-elf-format.rst).
    pub(super) fn check_position(
        &self,
        found: &Found<'a>,
        (object, name, position): (&str, &str, u64),
    ) -> Result<()> {
        if object != self.prover.lookup.object_of(found) || name != found.name {
            let wanted = format!("{}:{}", self.prover.lookup.object_of(found), found.name);
            return Err(differs(format!("{object}:{name} is asked for instead of {wanted}")));
        }
        let Some((rank, total)) = self.rank(found) else {
            return match position {
                0 => Ok(()),
                _ => Err(differs(format!("'{name}' of {object} is asked for by a position"))),
            };
        };
        if position == rank || position == 0 && total == 1 {
            return Ok(());
        }
        Err(differs(format!(
            "the kernel would find another '{name}': position {position} is asked for, {rank} of {total} is meant"
        )))
    }

    /// The position of a symbol among all of its name in its object, and how many there are.
    fn rank(&self, found: &Found<'a>) -> Option<(u64, u64)> {
        let parent = self.prover.lookup.running.parent;
        let (Some(index), None) = (found.index, found.object) else {
            return found.rank.map(|rank| (rank.position.into(), rank.total.into()));
        };
        let table = parent.table();
        let by_address = parent.order() == Order::Address;
        if by_address && table.matching() != Matching::Exact {
            let rank = table.compared_rank(index);
            return Some((rank.position.into(), rank.total.into()));
        }
        let key = |i: u32| (if by_address { table.entries().addr(i) } else { 0 }, i);
        let all = table.named(found.name);
        let before = all.iter().filter(|&&i| key(i) < key(index)).count();
        Some((before as u64 + 1, all.len() as u64))
    }

    /// Checks a reference that livepatch resolves, at a byte of a section.
    pub(super) fn check_asked(
        &mut self,
        place: (SectionId<Patched>, u64),
        meant: Ref<Patched>,
        asked: &Asked<'_>,
        addend: i64,
    ) -> Result<()> {
        let layout = self.prover.layout();
        let object = layout.object;
        let parent = self.prover.lookup.running.parent.name();
        let id = meant.symbol;
        let name = self.prover.lookup.name(id);
        let at = |what: &str| Err(differs(what).at_symbol(name));
        // What the kernel itself has is there when the module is loaded.
        let klp_build = self.written.is_klp_build;
        let patched = if klp_build && asked.object == "vmlinux" { "vmlinux" } else { parent };
        if asked.patched != patched {
            return at("livepatch applies a relocation when another object is patched");
        }
        if addend != meant.addend {
            return at(&format!("the addend is {addend:#x} instead of {:#x}", meant.addend));
        }
        let Some(found) = self.lookup(id)? else {
            return at("the kernel is asked for what it does not have");
        };
        self.check_position(&found, (asked.object, asked.name, asked.position))
            .map_err(|e| e.at_symbol(name))?;
        self.check_stays(place, id, &found)?;
        let function = object.symbol_kind(id) == abi::STT_FUNC;
        let changed = function
            && self.prover.statuses.symbols[id] == Status::Changed
            && layout.split_from(id).is_none();
        let bind = match (klp_build, changed) {
            (true, _) => abi::STB_WEAK,
            (false, true) => abi::STB_LOCAL,
            (false, false) => object.symbol_bind(id),
        };
        if (asked.kind, asked.bind) != (object.symbol_kind(id), bind) {
            return at("the type or the binding of what the kernel is asked for is another");
        }
        let module = parent != "vmlinux";
        let addr = if module { 0 } else { found.addr };
        if asked.more.is_some_and(|more| more != (addr, module && found.exported)) {
            return at("the address of what the kernel is asked for is another");
        }
        if !function {
            // What is carried, and asked for as well, would be there twice.
            self.foreign.push((id, layout.object.section_of(id)));
        }
        Ok(())
    }

    /// Checks a reference that the linker or the loader resolves by its name.
    pub(super) fn check_undefined(
        &mut self,
        base: SectionId<Patched>,
        meant: Ref<Patched>,
        symbol: &Symbol<'_>,
        reference: &Reference,
    ) -> Result<()> {
        let layout = self.prover.layout();
        let object = layout.object;
        let id = meant.symbol;
        let name = self.prover.lookup.name(id);
        let at = |what: &str| Err(differs(what).at_symbol(symbol.name));
        debug_assert_eq!(symbol.home, Home::Undefined);
        if object.symbol_kind(id) == abi::STT_SECTION || symbol.name != name {
            return at(&format!("a reference is to it instead of {name}"));
        }
        if reference.addend != meant.addend {
            let wanted = meant.addend;
            return at(&format!("the addend is {:#x} instead of {wanted:#x}", reference.addend));
        }
        if symbol.bind == abi::STB_LOCAL {
            return at("nothing defines this local symbol");
        }
        if symbol.bind != object.symbol_bind(id) {
            return at("the binding is another");
        }
        let never = (layout.arch.never_klp)(reference.kind, object.section_name(base))
            || layout.arch.never_klp_symbol.is_some_and(|prefix| symbol.name.starts_with(prefix))
            || livepatch::SHADOW.contains(&symbol.name)
            || matches!(layout.class(base), Class::Debug);
        if never {
            return Ok(());
        }
        // What is unknown another object of the patch may have.
        let Some(found) = self.lookup(id)? else {
            return match object.section_of(id) {
                Some(_) => at("nothing defines this symbol"),
                None => Ok(()),
            };
        };
        if !found.exported {
            return at("the loader cannot find what the kernel does not export");
        }
        if self.prover.lookup.object_of(&found) != "vmlinux" {
            return at("the loader would need the module that is patched");
        }
        Ok(())
    }
}
