//! Sections that the macros for patch authors make.

use super::klp_build;

/// Functions to call around patching and unpatching.
pub const CALLBACKS: [&str; 4] = [
    ".kpatch.callbacks.pre_patch",
    ".kpatch.callbacks.post_patch",
    ".kpatch.callbacks.pre_unpatch",
    ".kpatch.callbacks.post_unpatch",
];

/// The kernel's own macros for callbacks keep a pointer to each here, in a variable that is named
/// by what it is and by the object (include/linux/livepatch_helpers.h, `KLP_CALLBACK_PTRS`).
pub const POINTERS: &str = ".discard.klp_callback_ptrs";

/// What the names of these variables begin with, in the order of `struct klp_callbacks`
/// (include/linux/livepatch_external.h).
pub const POINTER_NAMES: [&str; 4] = [
    "__klp_pre_patch_callback_",
    "__klp_post_patch_callback_",
    "__klp_pre_unpatch_callback_",
    "__klp_post_unpatch_callback_",
];

/// Functions to patch although tasks may be running them.
pub const FORCE: &str = ".kpatch.force";

/// Prefix of all sections that the macros and the tools make.
pub const PREFIX: &str = ".kpatch.";

/// Sections that outputs have, and no input may have: kpatch's tables, and those of `klp-build`.
pub const OUTPUT: [&str; 8] = [
    ".kpatch.funcs",
    ".kpatch.strings",
    ".kpatch.symbols",
    ".kpatch.relocations",
    ".kpatch.arch",
    klp_build::OBJECTS,
    klp_build::FUNCTIONS,
    klp_build::STRINGS,
];
