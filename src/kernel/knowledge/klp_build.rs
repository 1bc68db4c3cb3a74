//! What the kernel's own `klp-build` links a livepatch module from (Linux
//! scripts/livepatch/init.c, include/linux/livepatch_external.h).

/// One `struct klp_object_ext` for each object that is patched.
pub const OBJECTS: &str = ".init.klp_objects";
/// Bytes of one: name, functions, four callbacks, a flag, and the number of functions.
pub const OBJECT_ROW: u64 = 64;
/// Where one has its number of functions.
pub const FUNCTION_COUNT: u64 = 56;
/// One `struct klp_func_ext` for each function that is replaced.
pub const FUNCTIONS: &str = ".init.klp_funcs";
/// Bytes of one: the old name, the new function, and the position among namesakes.
pub const FUNCTION_ROW: u64 = 24;
/// The names.
pub const STRINGS: &str = ".rodata.klp.str1.1";
/// Relocations that livepatch applies, with the name of an object behind it.
pub const RELOCATIONS: &str = "__klp_relocs.";
/// Bytes of one: the place, the symbol with the addend, and the type.
pub const RELOCATION_ROW: u64 = 24;
/// What an ordinary relocation of such a place refers to, until the module is linked.
pub const TOMBSTONE: &str = ".klp.tombstone.";
