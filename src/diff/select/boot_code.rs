//! Functions that only run while the kernel boots, or a module is loaded, and what to do when
//! they changed.

use crate::diff::compare::comparer::Comparer;
use crate::elf::ids::{Patched, SymbolId};
use crate::kernel::knowledge::boot::{Lifetime, runs_until};

/// What to do about changed code that only runs while the kernel boots. The optimiser changes
/// such code along with other code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BootCode {
    /// Warn when something else changed, too, or the object is linked from several; else refuse.
    #[default]
    AsLinked,
    /// Warn and go on.
    Warn,
    /// Refuse it.
    Refuse,
}

impl BootCode {
    /// Whether it is only warned of in this object, whatever else changed.
    pub(in crate::diff) fn warns(self, comparer: &Comparer<'_>) -> bool {
        match self {
            BootCode::AsLinked => comparer.patched.layout.is_linked(),
            BootCode::Warn => true,
            BootCode::Refuse => false,
        }
    }
}

/// Whether a function has run for the last time before a patch is applied.
pub(in crate::diff) fn is_boot_code(comparer: &Comparer<'_>, id: SymbolId<Patched>) -> bool {
    until(comparer, id).is_some()
}

/// When it has, if it has.
pub(in crate::diff) fn until(comparer: &Comparer<'_>, id: SymbolId<Patched>) -> Option<Lifetime> {
    let object = comparer.patched.layout.object;
    let section = object.section_of(id)?;
    runs_until(object.section_name(section), comparer.in_module)
}
