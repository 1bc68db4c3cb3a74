//! Names in the objects that become livepatch modules: kpatch's sections, and the form that
//! the kernel's livepatch core reads (Documentation/livepatch/module-elf-format.rst).

/// Rows of what livepatch replaces: `struct kpatch_patch_func`.
pub const FUNCS: &str = ".kpatch.funcs";
/// The names that the other tables refer to.
pub const STRINGS: &str = ".kpatch.strings";
/// What the kernel or a module has: rows of what relocations lead to.
pub const SYMBOLS: &str = ".kpatch.symbols";
/// Places that livepatch relocates.
pub const RELOCATIONS: &str = ".kpatch.relocations";
/// Sections that kernels before 5.8 apply by object.
pub const ARCH: &str = ".kpatch.arch";

/// Callbacks of patch authors, one section for each kind.
pub const CALLBACK_PREFIX: &str = ".kpatch.callbacks.";
/// Names of sections that KPATCH_IGNORE_SECTION leaves.
pub const IGNORED_SECTIONS: &str = ".kpatch.ignore.sections";
/// Functions that KPATCH_IGNORE_FUNCTION leaves.
pub const IGNORED_FUNCTIONS: &str = ".kpatch.ignore.functions";
/// Starts of the names of what these macros define.
pub const IGNORE_MARKS: [&str; 2] = ["__kpatch_ignore_func_", "__UNIQUE_ID_kpatch_ignore_section_"];

/// Functions of kpatch's shadow variable API: the patch module brings them along.
pub const SHADOW: [&str; 3] = ["kpatch_shadow_alloc", "kpatch_shadow_free", "kpatch_shadow_get"];

/// `.klp.sym.OBJECT.NAME,POSITION`: a symbol that livepatch resolves.
pub const KLP_SYMBOL: &str = ".klp.sym.";
/// `.klp.rela.OBJECT.SECTION`: relocations that livepatch applies.
pub const KLP_RELA: &str = ".klp.rela.";
/// `.klp.arch.OBJECT.SECTION`: a table that livepatch applies when the object is loaded.
pub const KLP_ARCH: &str = ".klp.arch.";
/// Start of the names of symbols that stand for those of the running kernel while a module is
/// linked.
pub const STAND_IN: &str = ".klp_late.";
