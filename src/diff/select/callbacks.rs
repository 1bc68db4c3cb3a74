//! Callbacks that a patch makes with the kernel's own macros.
//!
//! `KLP_PRE_PATCH_CALLBACK(f)` and the like keep a pointer to `f` in a variable of their own
//! (include/linux/livepatch_helpers.h). Whoever makes the module finds it by its name.

use super::selector::Selector;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Patched, SymbolId};
use crate::kernel::knowledge::macros::{POINTER_NAMES, POINTERS};
use crate::kernel::refs::Refs;

impl Selector<'_> {
    /// Includes the callbacks that the kernel's macros point to. The drop-in does not know them.
    pub(super) fn pointers_to_callbacks(&mut self) -> Result<()> {
        let object = self.layout.object;
        let is_pointers = |&s: &_| object.section_name(s) == POINTERS;
        if !self.comparer.policy.reads_callbacks {
            return Ok(());
        }
        let sections: Vec<_> = object.sections().filter(is_pointers).collect();
        for section in sections {
            let refs = Refs::new(self.layout, section);
            for &pointer in object.members(section) {
                if object.symbol_kind(pointer) != abi::STT_OBJECT {
                    continue;
                }
                self.check_pointer(pointer).map_err(|e| e.in_section(POINTERS))?;
                let at = object.symbol_value(pointer);
                for reloc in object.relocs(section).within(at, at.saturating_add(8)) {
                    let callback = refs.resolve(&reloc)?.symbol;
                    let name = object.symbol_name(callback);
                    self.selection.messages.push(format!("found callback: {name}"));
                    self.include_symbol(callback, None);
                }
                self.selection.symbols[pointer] = true;
            }
            self.selection.effect.callbacks = true;
            self.include_section(section);
            self.settle()?;
        }
        Ok(())
    }

    /// Fails for a callback that would not be called.
    fn check_pointer(&self, pointer: SymbolId<Patched>) -> Result<()> {
        let name = self.layout.object.symbol_name(pointer);
        let meant = POINTER_NAMES.iter().find_map(|prefix| name.strip_prefix(prefix));
        let fail = |what: String, advice: &str| {
            Err(Error::refused(Code::UnknownCallback, what).at_symbol(name).advise(advice))
        };
        match (meant, self.destination.object) {
            (None, _) => fail(
                format!("{name} is no callback that the kernel knows"),
                "use the macros of linux/livepatch_helpers.h",
            ),
            (Some(_), None) => Ok(()),
            (Some(_), Some(_)) if !self.destination.remade => fail(
                format!(
                    "{name} is a callback of the kernel's macros, which this output cannot hold"
                ),
                "write the output with --flavor klp-build, or use the macros of kpatch-macros.h",
            ),
            (Some(meant), Some(object)) if meant != object.replace('-', "_") => fail(
                format!("{name} is a callback for {meant}, but {object} is patched"),
                "KLP_OBJNAME is the object that the file is part of: give the callback in a file of that object, or its name with --object",
            ),
            _ => Ok(()),
        }
    }
}
