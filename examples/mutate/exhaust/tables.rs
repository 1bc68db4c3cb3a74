//! What this harness knows of the kernel by itself, from the kernel's headers and linker
//! script: which sections are tables of rows, which never reach the kernel's memory.

use std::collections::BTreeMap;

use super::model::File;

/// Tables of rows: section, variable with the size; `=N` is a fixed size.
const ROWS: &[(&str, &str)] = &[
    ("__bug_table", "BUG_STRUCT_SIZE"),
    ("__ex_table", "EX_STRUCT_SIZE"),
    ("__jump_table", "JUMP_STRUCT_SIZE"),
    (".altinstructions", "ALT_STRUCT_SIZE"),
    (".static_call_sites", "STATIC_CALL_STRUCT_SIZE"),
    (".parainstructions", "PARA_STRUCT_SIZE"),
    (".cfi_sites", "objtool makes it anew"),
    (".ibt_endbr_seal", "objtool makes it anew"),
    (".gnu.attributes", "notes of the toolchain"),
    (".export_symbol", "a list for modpost"),
    (".printk_index", "=8"),
    (".smp_locks", "=4"),
    (".kcfi_traps", "=4"),
    (".return_sites", "=4"),
    (".retpoline_sites", "=4"),
    (".call_sites", "=4"),
    (".cfi_sites", "=4"),
    (".ibt_endbr_seal", "=4"),
    (".orc_unwind_ip", "=4"),
    (".orc_unwind", "=6"),
    ("__mcount_loc", "=8"),
    ("__patchable_function_entries", "=8"),
    ("__ftr_fixup", "FIXUP_STRUCT_SIZE"),
    ("__mmu_ftr_fixup", "FIXUP_STRUCT_SIZE"),
    ("__fw_ftr_fixup", "FIXUP_STRUCT_SIZE"),
    ("__lwsync_fixup", "=8"),
    ("__barrier_nospec_fixup", "=8"),
    (".s390_return_mem", "=4"),
    (".s390_return_reg", "=4"),
    (".s390_indirect_call", "=4"),
    (".s390_indirect_branches", "=4"),
    (".initcall6.init", "=4"),
];

/// The size of the rows of a section that is a table.
pub fn row_size(file: &File, section: usize, sizes: &BTreeMap<String, String>) -> Option<u64> {
    let section = &file.sections[section];
    let (_, size) = ROWS.iter().find(|(name, _)| *name == section.name)?;
    let text = size.strip_prefix('=').or_else(|| sizes.get(*size).map(String::as_str))?;
    let size: u64 = text.parse().ok()?;
    let whole = size > 0 && (section.data.len() as u64).is_multiple_of(size);
    (whole && !section.data.is_empty()).then_some(size)
}

/// Sections that are made anew for a patch, or that nothing in a running kernel reads.
const UNREAD: &[(&str, &str)] = &[
    (".discard", "the linker script discards it"),
    (".comment", "names the compiler"),
    (".modinfo", "text for tools"),
    (".note", "notes of the toolchain"),
    (".orc_", "unwind tables are made anew from the code of the patch"),
    (".eh_frame", "the linker script discards it"),
    ("__mcount_loc", "ftrace sites are made anew from the code of the patch"),
    ("__patchable_function_entries", "ftrace sites are made anew from the code of the patch"),
    (".return_sites", "objtool makes it anew"),
    (".retpoline_sites", "objtool makes it anew"),
    (".call_sites", "objtool makes it anew"),
    (".cfi_sites", "objtool makes it anew"),
    (".ibt_endbr_seal", "objtool makes it anew"),
    (".gnu.attributes", "notes of the toolchain"),
    (".export_symbol", "a list for modpost"),
    (".printk_index", "an index for tools"),
];

/// Why a section does not count, whatever it holds.
pub fn unread(name: &str) -> Option<&'static str> {
    UNREAD.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|found| found.1)
}

/// Tables that the kernel searches or sorts: the order of rows means nothing.
pub fn is_unordered(name: &str) -> bool {
    matches!(
        name,
        "__bug_table"
            | "__ex_table"
            | "__jump_table"
            | ".static_call_sites"
            | ".smp_locks"
            | ".kcfi_traps"
            | ".s390_return_mem"
            | ".s390_return_reg"
            | ".s390_indirect_call"
            | ".s390_indirect_jump"
            | ".s390_indirect_branches"
    )
}

/// Bytes of a row that say in which line and file it was written: (row size, start, end).
pub fn origin_of_bug(size: u64) -> Option<(u64, u64)> {
    [(12, 4, 10), (16, 8, 14), (24, 8, 18)].iter().find(|r| r.0 == size).map(|r| (r.1, r.2))
}

/// The bits that a relocation of so many bytes overwrites, as a mask in the order of the file's
/// integers; `None` where this is not known, or where it adds to what is there.
pub fn overwritten(machine: u16, kind: u32) -> Option<(u64, usize)> {
    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;
    const PPC64: u16 = 21;
    const S390: u16 = 22;
    const LOONGARCH: u16 = 258;
    let word = 0xffff_ffff;
    let found = match (machine, kind) {
        (X86_64, 1 | 24) => (u64::MAX, 8),
        (X86_64, 2 | 4 | 9 | 10 | 11 | 41 | 42) => (word, 4),
        (AARCH64, 257 | 260) => (u64::MAX, 8),
        (AARCH64, 258 | 261) => (word, 4),
        (AARCH64, 282 | 283) => (0x03ff_ffff, 4),
        (AARCH64, 275 | 276) => (0x60ff_ffe0, 4),
        (AARCH64, 277 | 278 | 284 | 285 | 286 | 299) => (0x003f_fc00, 4),
        (AARCH64, 280) => (0x00ff_ffe0, 4),
        (AARCH64, 279) => (0x0007_ffe0, 4),
        (PPC64, 38 | 44) => (u64::MAX, 8),
        (PPC64, 1 | 26) => (word, 4),
        (PPC64, 10) => (0x03ff_fffc, 4),
        (PPC64, 47 | 48 | 50 | 250 | 252) => (0xffff, 2),
        (PPC64, 63 | 64) => (0xfffc, 2),
        (S390, 22 | 23) => (u64::MAX, 8),
        (S390, 4 | 5 | 19 | 20 | 26) => (word, 4),
        (LOONGARCH, 2) => (u64::MAX, 8),
        (LOONGARCH, 1 | 99) => (word, 4),
        (LOONGARCH, 66) => (0x03ff_ffff, 4),
        (LOONGARCH, 71 | 75) => (0x01ff_ffe0, 4),
        (LOONGARCH, 72 | 76) => (0x003f_fc00, 4),
        _ => return None,
    };
    Some(found)
}

/// Types of relocations that write the same bits.
pub fn same_effect(machine: u16, a: u32, b: u32) -> bool {
    let group = |kind| match (machine, kind) {
        // R_X86_64_PC32 and _PLT32; _32 and _32S differ in what overflows alone.
        (62, 2 | 4) => 1,
        // R_390_PC32DBL and _PLT32DBL.
        (22, 19 | 20) => 2,
        // R_AARCH64_JUMP26 and _CALL26.
        (183, 282 | 283) => 3,
        _ => 0,
    };
    a == b || group(a) != 0 && group(a) == group(b)
}

/// Whether the rows of a table have one field only.
pub fn is_narrow(file: &File, section: usize, sizes: &BTreeMap<String, String>) -> bool {
    row_size(file, section, sizes) == Some(4)
}
