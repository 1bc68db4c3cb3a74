//! The kernel's table sections: rows that describe one place of the code each.
//!
//! A row belongs to the function its code field points into, and is part of what that
//! function means. Rows of functions that are not in the patch are left out of the output.
//!
//! Checklist for adding a table section: a row in [`TABLES`] with its machines, and the layouts
//! that its rows have had, in `kernel::knowledge::forms`; where a row may not be carried, a [`Filter`]; a
//! pair of objects in the tests that differs only in one field of the new table; a line in
//! docs/design.md when the filter is new.

use indexmap::IndexMap;

use super::forms::{self, Form};
use crate::arch::Arch;
use crate::diag::{Code, Error, Result};

/// How a table is cut into rows.
#[derive(Clone, Copy, Debug)]
pub enum RowSize {
    /// Into equal rows of one of these layouts. The name is that of the variable by which the
    /// size of the struct is given; empty where it is always the same.
    Forms(&'static str, &'static [Form]),
    /// `.fixup`: delimited by the `__ex_table` entries that jump to it.
    ByExceptionTable,
}

impl RowSize {
    /// Whether another table says where its rows begin.
    pub fn is_by_exception_table(&self) -> bool {
        matches!(self, RowSize::ByExceptionTable)
    }
}

/// What decides, beyond the code field, whether a row can be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Nothing.
    None,
    /// Static keys: the key must be in vmlinux.
    JumpLabel,
    /// Static calls: the key must be in vmlinux.
    StaticCall,
}

/// One kind of table section.
#[derive(Debug)]
pub struct Table {
    /// Section name.
    pub section: &'static str,
    /// Machines that have it; empty for all.
    pub machines: &'static [&'static str],
    /// How it is cut into rows.
    pub row: RowSize,
    /// Offset of the field that points into the code.
    pub code: u64,
    /// Extra condition.
    pub filter: Filter,
    /// Rows are part of the verdict of the function they describe. False for tables that
    /// only follow from the code.
    pub verdict: bool,
    /// The drop-in leaves all rows out, as the tables of its outputs do.
    pub dropped_by_drop_in: bool,
    /// What only tools read: left out where its layout is not known.
    pub optional: bool,
    /// Rows may describe rows of other tables as well as code.
    pub of_rows: bool,
    /// A row names the place behind the instruction that it describes.
    pub behind: bool,
}

const X86: &[&str] = &["x86_64"];
const PPC: &[&str] = &["powerpc64"];
const S390: &[&str] = &["s390x"];

const PLAIN: Table = Table {
    section: "",
    machines: &[],
    row: RowSize::Forms("", &forms::SITE),
    code: 0,
    filter: Filter::None,
    verdict: true,
    dropped_by_drop_in: false,
    optional: false,
    of_rows: false,
    behind: false,
};

/// What objtool reads on the linked module, and what the linker drops then (include/linux of
/// Linux: annotate.h, objtool.h, instrumentation.h).
const NOTE: Table = Table {
    row: RowSize::Forms("", &forms::PLACE),
    verdict: false,
    dropped_by_drop_in: true,
    optional: true,
    ..PLAIN
};

/// Marks rows of other tables: `ANNOTATE_DATA_SPECIAL`.
pub const ANNOTATED_ROWS: &str = ".discard.annotate_data";

/// All table sections, in the order in which they are processed.
pub static TABLES: [Table; 35] = [
    // include/asm-generic/bug.h.
    Table { section: "__bug_table", row: RowSize::Forms("BUG_STRUCT_SIZE", &forms::BUG), ..PLAIN },
    Table { section: ".fixup", row: RowSize::ByExceptionTable, verdict: false, ..PLAIN },
    // arch/*/include/asm/extable.h.
    Table {
        section: "__ex_table",
        row: RowSize::Forms("EX_STRUCT_SIZE", &forms::EXTABLE),
        ..PLAIN
    },
    // include/linux/jump_label.h.
    Table {
        section: "__jump_table",
        row: RowSize::Forms("JUMP_STRUCT_SIZE", &forms::JUMP),
        filter: Filter::JumpLabel,
        ..PLAIN
    },
    // kernel/printk/index.c: pointers to `_entry` objects, which are reached through the code.
    Table {
        section: ".printk_index",
        machines: &["x86_64", "aarch64", "powerpc64", "s390x"],
        row: RowSize::Forms("", &forms::PRINTK_INDEX),
        verdict: false,
        dropped_by_drop_in: true,
        ..PLAIN
    },
    Table { section: ".smp_locks", machines: X86, ..PLAIN },
    Table {
        section: ".parainstructions",
        machines: X86,
        row: RowSize::Forms("PARA_STRUCT_SIZE", &forms::PARAVIRT),
        ..PLAIN
    },
    // arch/*/include/asm/alternative.h.
    Table {
        section: ".altinstructions",
        machines: &["x86_64", "aarch64", "s390x", "loongarch64"],
        row: RowSize::Forms("ALT_STRUCT_SIZE", &forms::ALTERNATIVE),
        ..PLAIN
    },
    // include/linux/static_call_types.h.
    Table {
        section: ".static_call_sites",
        machines: X86,
        row: RowSize::Forms("STATIC_CALL_STRUCT_SIZE", &forms::STATIC_CALL),
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
    Table { section: "__ftr_fixup", ..FEATURE },
    Table { section: "__mmu_ftr_fixup", ..FEATURE },
    Table { section: "__fw_ftr_fixup", ..FEATURE },
    Table { section: "__lwsync_fixup", ..WIDE },
    Table { section: "__barrier_nospec_fixup", ..WIDE },
    // arch/s390/include/asm/nospec-insn.h: one relative pointer each.
    Table { section: ".s390_return_mem", machines: S390, ..PLAIN },
    Table { section: ".s390_return_reg", machines: S390, ..PLAIN },
    Table { section: ".s390_indirect_call", machines: S390, ..PLAIN },
    Table { section: ".s390_indirect_branches", machines: S390, ..PLAIN },
    Table { section: ".s390_indirect_jump", machines: S390, ..PLAIN },
    Table {
        section: ".discard.annotate_insn",
        row: RowSize::Forms("", &forms::ANNOTATION),
        ..NOTE
    },
    Table {
        section: ANNOTATED_ROWS,
        row: RowSize::Forms("", &forms::ANNOTATION),
        of_rows: true,
        ..NOTE
    },
    Table { section: ".discard.reachable", behind: true, ..NOTE },
    Table { section: ".discard.unreachable", behind: true, ..NOTE },
    Table { section: ".discard.retpoline_safe", ..NOTE },
    Table { section: ".discard.noendbr", ..NOTE },
    Table { section: ".discard.instr_begin", ..NOTE },
    Table { section: ".discard.instr_end", ..NOTE },
    Table { section: ".discard.intra_function_calls", ..NOTE },
    Table { section: ".discard.ignore_alts", ..NOTE },
];

/// arch/powerpc/include/asm/feature-fixups.h: mask, value, then the code as an offset.
const FEATURE: Table = Table {
    machines: PPC,
    row: RowSize::Forms("FIXUP_STRUCT_SIZE", &forms::FEATURE),
    code: 16,
    ..PLAIN
};

const WIDE: Table = Table { machines: PPC, row: RowSize::Forms("", &forms::WIDE_SITE), ..PLAIN };

/// The names by which sizes can be given. That of `.printk_index` is taken and not used: its
/// rows are pointers, and what is given is the size of what they point to.
pub const STRUCT_NAMES: [&str; 9] = [
    "ALT_STRUCT_SIZE",
    "BUG_STRUCT_SIZE",
    "EX_STRUCT_SIZE",
    "FIXUP_STRUCT_SIZE",
    "JUMP_STRUCT_SIZE",
    "ORC_STRUCT_SIZE",
    "PARA_STRUCT_SIZE",
    "PRINTK_INDEX_STRUCT_SIZE",
    "STATIC_CALL_STRUCT_SIZE",
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

/// A size of a struct as it is given. `None` for what is none.
pub fn parse_size(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|size| (1..=1 << 16).contains(size))
}

/// Sizes of kernel structs that tables consist of, in bytes.
#[derive(Clone, Debug, Default)]
pub struct StructSizes {
    given: IndexMap<String, String>,
    /// What the kernel's own type information says.
    image: Vec<(&'static str, u64)>,
    /// Messages name the options of the native binary. The drop-in has none.
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
        match parse_size(text) {
            Some(size) => Ok(Some(size)),
            None => Err(Error::broken(Code::BadStructSize, format!("bad {name}")).advise(format!(
                "it is '{text}', but must be the size of the kernel's struct in bytes"
            ))),
        }
    }

    /// The size called `name` that the kernel's image says.
    pub fn of_image(&self, name: &str) -> Option<u64> {
        self.image.iter().find(|(known, _)| *known == name).map(|&(_, size)| size)
    }
}
