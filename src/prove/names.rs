//! Names of what the tools add to a patch.

use crate::kernel::knowledge::macros;
use crate::kernel::knowledge::{klp_build, livepatch, sections};

/// What livepatch resolves, in kpatch's flavour.
pub(super) const RESOLVED: [&str; 2] = [livepatch::RELOCATIONS, livepatch::SYMBOLS];
/// The names in kpatch's tables.
pub(super) const STRINGS: &str = livepatch::STRINGS;
pub(super) const FUNCTIONS: &str = livepatch::FUNCS;
/// Sections that old kernels apply by object.
pub(super) const ARCH: &str = livepatch::ARCH;
pub(super) const MODINFO: &str = sections::MODINFO;
pub(super) const CALLS: &str = sections::MCOUNT;
pub(super) const ENTRIES: &str = sections::PATCHABLE_ENTRIES;

/// Alignment of tables.
pub(super) const ROW_ALIGN: u64 = 8;

/// Whether a section is not one of the patched object.
pub(super) fn is_own(name: &str) -> bool {
    RESOLVED.contains(&name)
        || [STRINGS, FUNCTIONS, ARCH, MODINFO, CALLS, ENTRIES].contains(&name)
        || [klp_build::OBJECTS, klp_build::FUNCTIONS, klp_build::STRINGS].contains(&name)
        || name.starts_with(klp_build::RELOCATIONS)
        || name.starts_with(sections::ORC)
}

/// Whether a relocation is added to what a patch author's macro makes: a callback learns which
/// object it is for.
pub(super) fn is_added(section: &str, offset: u64) -> bool {
    macros::CALLBACKS.contains(&section) && offset == 8
}
