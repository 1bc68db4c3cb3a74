//! Sections that the macros for patch authors make.

/// Functions to call around patching and unpatching.
pub const CALLBACKS: [&str; 4] = [
    ".kpatch.callbacks.pre_patch",
    ".kpatch.callbacks.post_patch",
    ".kpatch.callbacks.pre_unpatch",
    ".kpatch.callbacks.post_unpatch",
];

/// Functions to patch although tasks may be running them.
pub const FORCE: &str = ".kpatch.force";

/// Prefix of all sections that the macros and the tools make.
pub const PREFIX: &str = ".kpatch.";

/// Sections that outputs have, and no input may have: kpatch's tables.
pub const OUTPUT: [&str; 5] =
    [".kpatch.funcs", ".kpatch.strings", ".kpatch.symbols", ".kpatch.relocations", ".kpatch.arch"];
