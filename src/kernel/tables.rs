//! The kernel's table sections: rows that describe one place of the code each.
//!
//! A row belongs to the function its code field points into, and is part of what that
//! function means. Rows of functions that are not in the patch are left out of the output.
//!
//! Checklist for adding a table section: a row in [`TABLES`] with its machines, the size of
//! a row and the fields whose bytes are noise; where a row may not be carried, a [`Filter`];
//! a pair of objects in the tests that differs only in one field of the new table; a line in
//! docs/design.md when the filter is new. Layouts: the kernel headers named beside each.

use indexmap::IndexMap;

use crate::arch::Arch;
use crate::error::{Error, Result};

/// How long a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSize {
    /// Always this many bytes.
    Fixed(u64),
    /// `sizeof` of a struct of the kernel being patched: name of the environment variable
    /// that gives it.
    Struct(&'static str),
    /// `.fixup`: delimited by the `__ex_table` entries that jump to it.
    ByExceptionTable,
}

/// What decides, beyond the code field, whether a row can be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Nothing.
    None,
    /// Static keys: the key must be in vmlinux (spec section 17.4).
    JumpLabel,
    /// Static calls: the key must be in vmlinux (spec section 17.5).
    StaticCall,
}

/// Bytes of a row that may differ without meaning anything.
#[derive(Clone, Copy, Debug)]
pub struct NoiseField {
    /// Applies to rows of this size.
    pub row: u64,
    /// First byte.
    pub start: u64,
    /// Byte behind the last.
    pub end: u64,
}

/// Where a row says which code may take the place of the code it describes.
#[derive(Clone, Copy, Debug)]
pub struct Replacement {
    /// Applies to rows of this size.
    pub row: u64,
    /// Offset of the field that points to the code.
    pub field: u64,
    /// Offset of the byte that holds the length of that code.
    pub length: u64,
}

/// One kind of table section.
#[derive(Debug)]
pub struct Table {
    /// Section name.
    pub section: &'static str,
    /// Machines that have it; empty for all.
    pub machines: &'static [&'static str],
    /// Size of a row.
    pub row: RowSize,
    /// Offset of the field that points into the code.
    pub code: u64,
    /// Extra condition.
    pub filter: Filter,
    /// Noise in a row.
    pub noise: &'static [NoiseField],
    /// Fields that lead to alternative code.
    pub replacement: &'static [Replacement],
    /// Rows are part of the verdict of the function they describe. False for tables that
    /// only follow from the code.
    pub verdict: bool,
    /// The drop-in leaves all rows out, as the tables of its outputs do.
    pub dropped_by_drop_in: bool,
}

const X86: &[&str] = &["x86_64"];
const PPC: &[&str] = &["powerpc64"];
const S390: &[&str] = &["s390x"];

const PLAIN: Table = Table {
    section: "",
    machines: &[],
    row: RowSize::Fixed(4),
    code: 0,
    filter: Filter::None,
    noise: &[],
    replacement: &[],
    verdict: true,
    dropped_by_drop_in: false,
};

/// All table sections, in the order in which they are processed (spec section 17).
pub static TABLES: [Table; 25] = [
    // include/asm-generic/bug.h: bug address, [format,] file, line, flags. File and line are noise.
    Table {
        section: "__bug_table",
        row: RowSize::Struct("BUG_STRUCT_SIZE"),
        noise: &[
            NoiseField { row: 12, start: 4, end: 10 },
            NoiseField { row: 16, start: 8, end: 14 },
            NoiseField { row: 24, start: 8, end: 18 },
        ],
        ..PLAIN
    },
    Table { section: ".fixup", row: RowSize::ByExceptionTable, verdict: false, ..PLAIN },
    // arch/*/include/asm/extable.h: instruction, fixup, type and data.
    Table { section: "__ex_table", row: RowSize::Struct("EX_STRUCT_SIZE"), ..PLAIN },
    // include/linux/jump_label.h: code, target, key with flags in its low bits.
    Table {
        section: "__jump_table",
        row: RowSize::Struct("JUMP_STRUCT_SIZE"),
        filter: Filter::JumpLabel,
        ..PLAIN
    },
    // kernel/printk/index.c: pointers to `_entry` objects, which are reached through the code.
    Table {
        section: ".printk_index",
        machines: &["x86_64", "aarch64", "powerpc64", "s390x"],
        row: RowSize::Struct("PRINTK_INDEX_STRUCT_SIZE"),
        verdict: false,
        dropped_by_drop_in: true,
        ..PLAIN
    },
    Table { section: ".smp_locks", machines: X86, ..PLAIN },
    Table {
        section: ".parainstructions",
        machines: X86,
        row: RowSize::Struct("PARA_STRUCT_SIZE"),
        ..PLAIN
    },
    // arch/*/include/asm/alternative.h: instruction, replacement, feature, lengths.
    Table {
        section: ".altinstructions",
        machines: &["x86_64", "aarch64", "s390x", "loongarch64"],
        row: RowSize::Struct("ALT_STRUCT_SIZE"),
        replacement: &[
            Replacement { row: 12, field: 4, length: 11 },
            Replacement { row: 13, field: 4, length: 11 },
            Replacement { row: 14, field: 4, length: 13 },
        ],
        ..PLAIN
    },
    // include/linux/static_call_types.h: call site, key with flags in its low bits.
    Table {
        section: ".static_call_sites",
        machines: X86,
        row: RowSize::Struct("STATIC_CALL_STRUCT_SIZE"),
        filter: Filter::StaticCall,
        ..PLAIN
    },
    Table { section: ".call_sites", machines: X86, verdict: false, ..PLAIN },
    Table { section: ".retpoline_sites", machines: X86, verdict: false, ..PLAIN },
    Table { section: ".return_sites", machines: X86, verdict: false, ..PLAIN },
    Table { section: ".kcfi_traps", ..PLAIN },
    Table { section: ".cfi_sites", machines: X86, verdict: false, ..PLAIN },
    Table { section: ".ibt_endbr_seal", machines: X86, verdict: false, ..PLAIN },
    // arch/powerpc/include/asm/feature-fixups.h: mask, value, then the code as an offset.
    Table {
        section: "__ftr_fixup",
        machines: PPC,
        row: RowSize::Struct("FIXUP_STRUCT_SIZE"),
        code: 16,
        ..PLAIN
    },
    Table {
        section: "__mmu_ftr_fixup",
        machines: PPC,
        row: RowSize::Struct("FIXUP_STRUCT_SIZE"),
        code: 16,
        ..PLAIN
    },
    Table {
        section: "__fw_ftr_fixup",
        machines: PPC,
        row: RowSize::Struct("FIXUP_STRUCT_SIZE"),
        code: 16,
        ..PLAIN
    },
    Table { section: "__lwsync_fixup", machines: PPC, row: RowSize::Fixed(8), ..PLAIN },
    Table { section: "__barrier_nospec_fixup", machines: PPC, row: RowSize::Fixed(8), ..PLAIN },
    // arch/s390/include/asm/nospec-insn.h: one relative pointer each.
    Table { section: ".s390_return_mem", machines: S390, ..PLAIN },
    Table { section: ".s390_return_reg", machines: S390, ..PLAIN },
    Table { section: ".s390_indirect_call", machines: S390, ..PLAIN },
    Table { section: ".s390_indirect_branches", machines: S390, ..PLAIN },
    Table { section: ".s390_indirect_jump", machines: S390, ..PLAIN },
];

/// Sections that `.altinstructions` rows point into: they come with the table.
pub const REPLACEMENTS: &str = ".altinstr_replacement";

/// The exception table, whose rows delimit those of `.fixup`.
pub const EXCEPTION_TABLE: &str = "__ex_table";

/// Tables that refer to others which kernels before 5.8 handle per object (`.klp.arch.*`).
pub const KLP_ARCH_SECTIONS: [&str; 2] = [".parainstructions", ".altinstructions"];

/// Sections that such kernels cannot handle in a livepatch at all.
pub const NOT_WITH_KLP_ARCH: [&str; 4] =
    ["__jump_table", "__tracepoints", "__tracepoints_ptrs", "__tracepoints_strings"];

/// Position in [`TABLES`] of the table called `section` on this machine.
pub fn find(section: &str, arch: &Arch) -> Option<usize> {
    TABLES.iter().position(|t| {
        t.section == section && (t.machines.is_empty() || t.machines.contains(&arch.name))
    })
}

/// Sizes of kernel structs that tables consist of, in bytes.
#[derive(Clone, Debug, Default)]
pub struct StructSizes {
    given: IndexMap<String, String>,
    /// What the kernel's own type information says.
    image: Vec<(&'static str, u64)>,
    /// Ask the object (sh_entsize) when nothing is given. The drop-in does not.
    pub from_object: bool,
}

impl StructSizes {
    /// Sizes as given, by variable name (`BUG_STRUCT_SIZE`); later ones win. They are parsed
    /// when needed, so that a size nobody needs can be anything.
    pub fn new(given: impl IntoIterator<Item = (String, String)>, from_object: bool) -> Self {
        StructSizes { given: given.into_iter().collect(), image: Vec::new(), from_object }
    }

    /// The same with sizes from the kernel's image, which count where nothing else tells.
    pub fn with_image(mut self, sizes: Vec<(&'static str, u64)>) -> Self {
        self.image = sizes;
        self
    }

    /// The size called `name`, if it is given. Fails when it is no positive number.
    pub fn given(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.given.get(name) else { return Ok(None) };
        match text.trim().parse() {
            Ok(size) if (1..=1 << 16).contains(&size) => Ok(Some(size)),
            _ => Err(Error::broken("bad-struct-size", format!("bad {name}")).advise(format!(
                "it is '{text}', but must be the size of the kernel's struct in bytes"
            ))),
        }
    }

    /// The size called `name`, which rows of `section` need.
    pub fn required(&self, name: &str, section: &str, entsize: u64) -> Result<u64> {
        if let Some(size) = self.given(name)? {
            return Ok(size);
        }
        if self.from_object && entsize > 1 {
            return Ok(entsize);
        }
        if let Some(&(_, size)) = self.image.iter().find(|(known, _)| *known == name) {
            return Ok(size);
        }
        Err(Error::broken("struct-size-missing", format!("{name} not set"))
            .in_section(section)
            .advise(format!("set {name} in the environment (or with --struct {name}=N) to the size of the struct in the kernel's debug information; --image reads it from there, unless it is compressed (objcopy --decompress-debug-sections)")))
    }
}
