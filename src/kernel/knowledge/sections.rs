//! Sections by name.

/// The table of addresses of powerpc64's ELF ABI.
pub const TOC: &str = ".toc";
/// Constants, and what the names of sections of constants begin with.
pub const RODATA: &str = ".rodata";
/// Strings of old compilers, all in one section.
pub const RODATA_STR: &str = ".rodata.str";
/// Constants that hold addresses.
pub const RELRO: &str = ".data.rel.ro";
/// What the names of sections of live state begin with.
pub const STATE: [&str; 2] = [".data", ".bss"];
/// Constants that clang has no name for outside of the assembler: values of initialisers
/// (`..L__const.`, `..Lconstinit`, and `..L.str` for strings with a zero in them). They are
/// read in parts, or not at all where the code has the values.
pub const PRIVATE_CONSTANTS: [&str; 3] =
    [".rodata..L__const.", ".rodata..Lconstinit", ".rodata..L.str"];
/// Data that may be copied into a patch although it changed: once-only flags and counters of
/// branches (include/linux/once_lite.h, include/linux/compiler.h).
pub const COPYABLE_DATA: [&str; 4] =
    [".data.unlikely", ".data..unlikely", ".data.once", ".data..once"];

/// Lists that the kernel goes through at boot, before it frees what they refer to
/// (include/asm-generic/vmlinux.lds.h), by the start of their names.
pub const BOOT_LISTS: [&str; 2] = [".initcall", ".con_initcall"];
/// Sections that make symbols known to modules (include/linux/export.h).
pub const EXPORTS: [&str; 5] =
    [".export_symbol", "___ksymtab", "__ksymtab", "___kcrctab", "__kcrctab"];
/// What the macros that change a system call leave out: the running kernel keeps its own.
pub const LEFT_OUT: [&str; 2] = ["_ftrace_events", "__syscalls_metadata"];
/// Tables with two references in each row (include/linux/static_call_types.h, `struct
/// static_call_tramp_key`).
pub const PAIRS: [&str; 1] = [".static_call_tramp_key"];

/// Static keys (include/linux/jump_label.h).
pub const JUMP_TABLE: &str = "__jump_table";
/// The table of WARN and BUG (include/asm-generic/bug.h).
pub const BUG_TABLE: &str = "__bug_table";
/// Alternatives (arch/*/include/asm/alternative.h).
pub const ALTERNATIVES: &str = ".altinstructions";
/// Old paravirtual calls (arch/x86/include/asm/paravirt_types.h, before 6.8).
pub const PARAVIRT: &str = ".parainstructions";
/// What unwind data is for (arch/x86/include/asm/orc_types.h).
pub const ORC_PLACES: &str = ".orc_unwind_ip";
/// Rows of unwind data, and the start of the names of both tables.
pub const ORC: &str = ".orc_unwind";
/// Facts about a module that the kernel and its tools read.
pub const MODINFO: &str = ".modinfo";
/// Calls of the profiling function, which ftrace changes.
pub const MCOUNT: &str = "__mcount_loc";
/// Entries that ftrace changes, where the compiler leaves room for it.
pub const PATCHABLE_ENTRIES: &str = "__patchable_function_entries";
/// Calls through static calls (include/linux/static_call_types.h).
pub const STATIC_CALL_SITES: &str = ".static_call_sites";
/// Calls through thunks that the kernel changes when it boots.
pub const RETPOLINE_SITES: &str = ".retpoline_sites";
/// Jumps to the return thunk.
pub const RETURN_SITES: &str = ".return_sites";
/// Entries whose type check FineIBT rewrites.
pub const CFI_SITES: &str = ".cfi_sites";
/// Traps of kCFI, in objects and in modules (include/linux/cfi.h).
pub const CFI_TRAPS: [&str; 2] = [".kcfi_traps", "__kcfi_traps"];
/// What objtool reads and the link leaves out.
pub const DISCARDED: &str = ".discard.";
/// Alternatives and their replacements.
pub const ALTERNATIVE_PREFIX: &str = ".altinstr";
/// Sites of pr_debug (include/linux/dynamic_debug.h).
pub const DYNAMIC_DEBUG: &str = "__dyndbg";
/// Tracepoints (include/linux/tracepoint-defs.h).
pub const TRACEPOINTS: &str = "__tracepoints";
/// Checksums of what a module imports (CONFIG_MODVERSIONS).
pub const VERSIONS: &str = "__versions";
/// How sections of code are called, up to a function's name.
pub const CODE: [&str; 5] = [".text", ".noinstr.text", ".init.text", ".exit.text", ".altinstr"];
/// The same for names of any length: checksums, and names.
pub const LONG_VERSIONS: [&str; 2] = ["__version_ext_crcs", "__version_ext_names"];
/// The compiler's version.
pub const COMMENT: &str = ".comment";

/// What the names of sections of LLVM's instrumentation begin with.
pub const INSTRUMENTATION: [&str; 2] = ["__llvm_prf_", "__llvm_cov"];

/// Sections that make the kernel do something, without any code that refers to them, and
/// what to do instead in a livepatch.
pub const DUTIES: [(&str, &str); 9] = [
    (
        ".initcall",
        "initcalls ran when the kernel booted: call the function from a pre-patch callback",
    ),
    (".con_initcall", "consoles register at boot: do it in a pre-patch callback"),
    (".init.setup", "the kernel's command line was read at boot: leave the parameter out"),
    ("__param", "a livepatch has no parameters: leave the parameter out"),
    ("__ksymtab", "a livepatch exports nothing: leave EXPORT_SYMBOL out"),
    ("___ksymtab", "a livepatch exports nothing: leave EXPORT_SYMBOL out"),
    (".export_symbol", "a livepatch exports nothing: leave EXPORT_SYMBOL out"),
    ("__tracepoints", "new tracepoints are not supported: leave them out"),
    ("_ftrace_events", "new trace events are not supported: leave them out"),
];

/// Sections that matter only as far as code refers to them, or not at all.
pub const WITHOUT_DUTY: [&str; 14] = [
    ".data",
    ".bss",
    ".rodata",
    ".init",
    ".exit",
    ".eh_frame",
    ".note",
    ".altinstr",
    ".orc_",
    ".modinfo",
    ".discard",
    ".llvm",
    "__mcount_loc",
    "__patchable_function_entries",
];

/// Whether `name` begins with one of `starts`.
pub fn starts_with_any(name: &str, starts: &[&str]) -> bool {
    starts.iter().any(|start| name.starts_with(start))
}

/// Sections of an image, by the start of their names, that describe code and make nothing call it,
/// and those that are freed when the kernel has booted.
pub const PASSIVE: [&str; 7] =
    [ORC, ".init", ".ibt_endbr_seal", CFI_SITES, CFI_TRAPS[0], ".note", MCOUNT];

/// Code and data that a link may leave out of the kernel, by the start of the names: what only
/// runs when a built-in module is unloaded, and what is for tools.
pub const UNLINKED: [&str; 3] = [".exit.", ".discard", MODINFO];
