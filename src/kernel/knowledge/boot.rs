//! What is there only for a while: code and data that the kernel frees when it has booted, and
//! a module when it is loaded.
//!
//! include/linux/init.h names the sections; include/asm-generic/vmlinux.lds.h says what becomes
//! of them. `.ref.text` and `.ref.data` stay: they hold what may refer to the others. So does
//! `.head.text` on most machines, and modpost lets everything refer to it.

use crate::elf::abi;
use crate::elf::ids::Side;
use crate::elf::object::{Home, Object};
use crate::kernel::knowledge::symbols;

/// When a section is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Its code runs while the kernel boots, and is freed then.
    Boot,
    /// It is left out of the kernel, or freed with what only runs at boot.
    NeverRuns,
    /// Its code runs when the module is loaded, and is freed then.
    Load,
}

impl Lifetime {
    /// What becomes of code and data there, as a relative clause.
    pub fn fate(self) -> &'static str {
        match self {
            Lifetime::Boot => "which is freed when the kernel has booted",
            Lifetime::NeverRuns => "which a kernel leaves out of what is built into it, or frees",
            Lifetime::Load => "which is freed when the module is loaded",
        }
    }

    /// Why a change of a function there has no effect.
    pub fn past(self) -> &'static str {
        match self {
            Lifetime::Boot => "it has run and is gone: it only runs while the kernel boots",
            Lifetime::NeverRuns => "it never runs: what is built into the kernel has no exit",
            Lifetime::Load => {
                "it only runs when the module is loaded: a loaded module has run it, and freed it"
            }
        }
    }
}

/// Prefixes of the names of sections, with what becomes of those of the kernel, and of a module.
const SECTIONS: [(&str, Lifetime, Option<Lifetime>); 4] = [
    (".init.", Lifetime::Boot, Some(Lifetime::Load)),
    (".exit.", Lifetime::NeverRuns, None),
    (".meminit.", Lifetime::Boot, Some(Lifetime::Load)),
    (".memexit.", Lifetime::NeverRuns, None),
];

/// When the code or data of a section is gone; `None` when it stays. `module`: of a module.
pub fn lifetime(section: &str, module: bool) -> Option<Lifetime> {
    let row = SECTIONS.iter().find(|row| section.starts_with(row.0))?;
    if module { row.2 } else { Some(row.1) }
}

/// When code of a section has run for the last time before a patch is applied. What the machine
/// starts with (`.head.text`) stays, but does not run again.
pub fn runs_until(section: &str, module: bool) -> Option<Lifetime> {
    let head = !module && section.starts_with(".head.text");
    lifetime(section, module).or(head.then_some(Lifetime::Boot))
}

/// Symbols of the linker between which a kernel lies that is freed when it has booted
/// (include/asm-generic/sections.h).
pub const FREED: [&str; 2] = ["__init_begin", "__init_end"];

/// Of these, what is between others is only a pattern that the kernel copies for each processor.
pub const PER_CPU: [&str; 2] = ["__per_cpu_start", "__per_cpu_end"];

/// Whether an object says itself that it is of a module: it was compiled with `-DMODULE`, which
/// alone gives it a name for the module that it is in, and other names for what the module begins
/// and ends with.
pub fn is_of_module<S: Side>(object: &Object<'_, S>) -> bool {
    object.symbols().skip(1).any(|id| {
        let symbol = object.symbol(id);
        let ends = || {
            symbol.kind == abi::STT_FUNC
                && object
                    .section_of(id)
                    .is_some_and(|s| lifetime(object.section_name(s), false).is_some())
                && symbols::MODULE_ENDS.contains(&symbol.name)
        };
        symbol.bind == abi::STB_GLOBAL
            && (symbol.home == Home::Undefined && symbol.name == symbols::THIS_MODULE || ends())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_keeps_its_exit() {
        assert_eq!(lifetime(".exit.text", false), Some(Lifetime::NeverRuns));
        assert_eq!(lifetime(".exit.text", true), None);
        assert_eq!(lifetime(".init.rodata", true), Some(Lifetime::Load));
        assert_eq!(lifetime(".ref.text", false), None);
        assert_eq!(lifetime(".initcall6.init", false), None);
        assert_eq!(runs_until(".head.text", false), Some(Lifetime::Boot));
    }
}
