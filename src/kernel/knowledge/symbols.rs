//! Symbols by name.

/// Tracepoints (include/linux/tracepoint.h).
pub const TRACEPOINT: &str = "__tracepoint_";
/// Static calls of tracepoints: keys.
pub const TRACEPOINT_CALL_KEY: &str = "__SCK__tp_func_";
/// Trampolines of static calls (include/linux/static_call_types.h).
pub const STATIC_CALL_TRAMPOLINE: &str = "__SCT__";
/// Checksums of exports (CONFIG_MODVERSIONS), which the kernel reads when it loads a module
/// that was built with them.
pub const CHECKSUM: &str = "__crc_";
/// Names of BTF types that the link fills in (include/linux/btf_ids.h).
pub const BTF_ID: &str = "__BTF_ID__";
/// Thunks of indirect calls and jumps, by any name (arch/x86/lib/retpoline.S).
pub const X86_INDIRECT: &str = "__x86_indirect_";
/// Thunks of indirect calls.
pub const X86_INDIRECT_THUNK: &str = "__x86_indirect_thunk_";
/// Where functions return through on CPUs that need it.
pub const X86_RETURN_THUNK: &str = "__x86_return_thunk";
/// Type checks before functions (kCFI, FineIBT).
pub const CFI: &str = "__cfi_";
/// What a module has of itself (include/linux/export.h).
pub const THIS_MODULE: &str = "__this_module";
/// Other names of what a module begins and ends with (include/linux/module.h); what is built
/// into the kernel has rows of tables in their place.
pub const MODULE_ENDS: [&str; 2] = ["init_module", "cleanup_module"];
/// ftrace's entry on x86.
pub const FENTRY: &str = "__fentry__";

/// What the names of counters, and of what counts, begin with: in LLVM, gcc's -fprofile-arcs
/// and -fprofile-generate, and LLVM's gcov.
pub const COUNTERS: [&str; 6] =
    ["__profc_", "__profd_", "__llvm_profile_", "__gcov", "__llvm_gcov", "__llvm_internal_gcov"];

/// Start and end of the list of functions that kprobes must not hook
/// (include/asm-generic/vmlinux.lds.h).
pub const NO_KPROBES: [&str; 2] = ["__start_kprobe_blacklist", "__stop_kprobe_blacklist"];
