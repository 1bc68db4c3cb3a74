//! The layouts that rows of the kernel's tables have had, on each machine.
//!
//! A closed list, from the kernel's headers. `kernel::fit` tries the layouts of a table on all
//! of its rows; what no row contradicts is how the rows are read. A layout that is not here is
//! an error, never another machine's layout.
//!
//! Checklist for a new layout: a row in the list of its table, with the header, the versions and
//! the machines; every byte of it in a field or, where it is always zero, in none; a pair of
//! objects in the tests that differs in one field of it.

#![expect(clippy::arithmetic_side_effects, reason = "sums of constants")]

/// What a field of a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The place in the code that the row describes: always a reference.
    Code,
    /// Always a reference.
    Target,
    /// Always a reference, to a function whose name begins so.
    Handler(&'static str),
    /// Always a reference; to a string, where it is one, that is not empty.
    Name,
    /// A reference or nothing, which is zero.
    Maybe,
    /// A number.
    Number,
    /// Flags of a WARN (include/asm-generic/bug.h): none in the row of a BUG.
    BugFlags,
}

/// A field of a row.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// What to call it.
    pub name: &'static str,
    /// First byte.
    pub at: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What it holds.
    pub holds: Holds,
    /// It may differ without meaning anything.
    pub noise: bool,
}

const fn field(name: &'static str, at: u64, bytes: u64, holds: Holds) -> Field {
    Field { name, at, bytes, holds, noise: false }
}

const fn noise(name: &'static str, at: u64, bytes: u64, holds: Holds) -> Field {
    Field { name, at, bytes, holds, noise: true }
}

/// Where a row says which code may take the place of the code it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Offset of the field that points to the code.
    pub field: u64,
    /// Offset of the byte that holds the length of that code.
    pub length: u64,
}

/// A layout of the rows of one table.
#[derive(Debug)]
pub struct Form {
    /// Machines that have it; empty for all.
    pub machines: &'static [&'static str],
    /// Bytes of a row.
    pub size: u64,
    /// So many bytes may be missing of the last row: what aligns the next one.
    pub short: u64,
    /// The fields in order; bytes in none are zero.
    pub fields: &'static [Field],
    /// What leads to alternative code.
    pub replacement: Option<Replacement>,
    /// The kernels that have it.
    pub kernels: &'static str,
}

impl Form {
    /// Whether a machine has it.
    pub fn is_of(&self, machine: &str) -> bool {
        self.machines.is_empty() || self.machines.contains(&machine)
    }

    /// The field that begins at a byte of a row.
    pub fn field_at(&self, at: u64) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.at == at)
    }

    /// The field that holds a byte of a row.
    pub fn holding(&self, at: u64) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.at <= at && at < f.at + f.bytes)
    }

    /// The field of some name.
    pub fn named(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// Whether a byte of a row says nothing.
    pub fn is_noise(&self, at: u64) -> bool {
        self.holding(at).is_some_and(|f| f.noise)
    }
}

const X86: &[&str] = &["x86_64"];
const PPC: &[&str] = &["powerpc64"];
const S390: &[&str] = &["s390x"];

const ROW: Form =
    Form { machines: &[], size: 4, short: 0, fields: &[], replacement: None, kernels: "all" };

use Holds::{BugFlags, Code, Handler, Maybe, Name, Number, Target};

/// One relative pointer to code.
pub static SITE: [Form; 1] = [Form { fields: &[field("address", 0, 4, Code)], ..ROW }];

/// arch/powerpc/include/asm/feature-fixups.h: one relative pointer of eight bytes.
pub static WIDE_SITE: [Form; 1] =
    [Form { size: 8, fields: &[field("address", 0, 8, Code)], ..ROW }];

/// kernel/printk/index.c: pointers to `struct pi_entry`.
pub static PRINTK_INDEX: [Form; 1] =
    [Form { size: 8, fields: &[field("entry", 0, 8, Target)], kernels: "5.15 and later", ..ROW }];

/// include/asm-generic/bug.h, `struct bug_entry`. Which of its members there are depends on
/// CONFIG_DEBUG_BUGVERBOSE and, since 6.19, on the machine (HAVE_ARCH_BUG_FORMAT); they are
/// relative with CONFIG_GENERIC_BUG_RELATIVE_POINTERS.
pub static BUG: [Form; 6] = [
    Form {
        size: 12,
        fields: &[
            field("address", 0, 4, Code),
            noise("file", 4, 4, Name),
            noise("line", 8, 2, Number),
            field("flags", 10, 2, Number),
        ],
        kernels: "relative, with file and line",
        ..ROW
    },
    Form {
        size: 16,
        fields: &[
            field("address", 0, 4, Code),
            field("format", 4, 4, Maybe),
            noise("file", 8, 4, Name),
            noise("line", 12, 2, Number),
            field("flags", 14, 2, Number),
        ],
        kernels: "6.19 and later, relative, with format, file and line",
        ..ROW
    },
    Form {
        size: 12,
        fields: &[
            field("address", 0, 4, Code),
            field("format", 4, 4, Maybe),
            field("flags", 8, 2, BugFlags),
        ],
        kernels: "6.19 and later, relative, with format only",
        ..ROW
    },
    Form {
        size: 8,
        fields: &[field("address", 0, 4, Code), field("flags", 4, 2, Number)],
        kernels: "relative, without file and line",
        ..ROW
    },
    Form {
        machines: PPC,
        size: 24,
        fields: &[
            field("address", 0, 8, Code),
            noise("file", 8, 8, Name),
            noise("line", 16, 2, Number),
            field("flags", 18, 2, Number),
        ],
        kernels: "before 6.0, with file and line",
        ..ROW
    },
    Form {
        machines: PPC,
        size: 16,
        fields: &[field("address", 0, 8, Code), field("flags", 8, 2, Number)],
        kernels: "before 6.0, without file and line",
        ..ROW
    },
];

/// Functions that handle exceptions (arch/x86/mm/extable.c).
const HANDLERS: &str = "ex_handler_";

/// arch/*/include/asm/extable.h, `struct exception_table_entry`.
pub static EXTABLE: [Form; 7] = [
    Form {
        machines: X86,
        size: 12,
        fields: &[
            field("address", 0, 4, Code),
            field("fixup", 4, 4, Target),
            field("type", 8, 4, Number),
        ],
        kernels: "5.17 and later",
        ..ROW
    },
    Form {
        machines: X86,
        size: 12,
        fields: &[
            field("address", 0, 4, Code),
            field("fixup", 4, 4, Target),
            field("handler", 8, 4, Handler(HANDLERS)),
        ],
        kernels: "4.6 to 5.16",
        ..ROW
    },
    Form {
        machines: &["aarch64", "s390x", "loongarch64"],
        size: 12,
        fields: &[
            field("address", 0, 4, Code),
            field("fixup", 4, 4, Target),
            field("type", 8, 2, Number),
            field("data", 10, 2, Number),
        ],
        kernels: "5.16 and later (s390: 5.19, loongarch: 6.1)",
        ..ROW
    },
    Form {
        machines: S390,
        size: 16,
        fields: &[
            field("address", 0, 4, Code),
            field("fixup", 4, 4, Target),
            field("handler", 8, 8, Maybe),
        ],
        kernels: "5.9 to 5.18",
        ..ROW
    },
    Form {
        machines: X86,
        size: 8,
        fields: &[field("address", 0, 4, Code), field("fixup", 4, 4, Code)],
        kernels: "before 4.6",
        ..ROW
    },
    Form {
        machines: &["aarch64", "powerpc64", "s390x", "loongarch64"],
        size: 8,
        fields: &[field("address", 0, 4, Code), field("fixup", 4, 4, Target)],
        kernels: "relative, without a type",
        ..ROW
    },
    Form {
        machines: &["powerpc64", "loongarch64"],
        size: 16,
        fields: &[field("address", 0, 8, Code), field("fixup", 8, 8, Target)],
        kernels: "absolute (powerpc: before 4.10)",
        ..ROW
    },
];

/// include/linux/jump_label.h, `struct jump_entry`: the key has flags in its low bits.
pub static JUMP: [Form; 2] = [
    Form {
        size: 16,
        fields: &[
            field("code", 0, 4, Code),
            field("target", 4, 4, Target),
            field("key", 8, 8, Target),
        ],
        kernels: "4.20 and later (powerpc: 5.14), relative",
        ..ROW
    },
    Form {
        size: 24,
        fields: &[
            field("code", 0, 8, Code),
            field("target", 8, 8, Target),
            field("key", 16, 8, Target),
        ],
        kernels: "absolute",
        ..ROW
    },
];

/// include/linux/static_call_types.h, `struct static_call_site`: the key has flags in its low
/// bits.
pub static STATIC_CALL: [Form; 1] = [Form {
    size: 8,
    fields: &[field("address", 0, 4, Code), field("key", 4, 4, Target)],
    kernels: "5.10 and later",
    ..ROW
}];

/// arch/x86/include/asm/paravirt_types.h, `struct paravirt_patch_site`: the assembler aligns
/// each row, and not what follows the last one.
pub static PARAVIRT: [Form; 1] = [Form {
    size: 16,
    short: 6,
    fields: &[
        field("instruction", 0, 8, Code),
        field("type", 8, 1, Number),
        field("length", 9, 1, Number),
        field("clobbers", 10, 2, Number),
    ],
    kernels: "before 6.8",
    ..ROW
}];

/// arch/powerpc/include/asm/feature-fixups.h, `struct fixup_entry`.
pub static FEATURE: [Form; 1] = [Form {
    size: 48,
    fields: &[
        field("mask", 0, 8, Number),
        field("value", 8, 8, Number),
        field("start", 16, 8, Code),
        field("end", 24, 8, Target),
        field("alternative start", 32, 8, Target),
        field("alternative end", 40, 8, Target),
    ],
    ..ROW
}];

/// arch/*/include/asm/alternative.h, `struct alt_instr`. Before 5.x a row without a replacement
/// has no reference to it.
pub static ALTERNATIVE: [Form; 7] = [
    Form {
        machines: X86,
        size: 14,
        fields: &[
            field("instruction", 0, 4, Code),
            field("replacement", 4, 4, Maybe),
            field("feature", 8, 2, Number),
            field("flags", 10, 2, Number),
            field("length", 12, 1, Number),
            field("replacement length", 13, 1, Number),
        ],
        replacement: Some(Replacement { field: 4, length: 13 }),
        kernels: "6.3 and later",
        ..ROW
    },
    Form {
        machines: X86,
        size: 13,
        fields: &[
            field("instruction", 0, 4, Code),
            field("replacement", 4, 4, Maybe),
            field("feature", 8, 2, Number),
            field("length", 10, 1, Number),
            field("replacement length", 11, 1, Number),
            field("padding", 12, 1, Number),
        ],
        replacement: Some(Replacement { field: 4, length: 11 }),
        kernels: "4.1 to 5.12",
        ..ROW
    },
    Form {
        machines: X86,
        size: 12,
        fields: SHORT_ALTERNATIVE,
        replacement: Some(Replacement { field: 4, length: 11 }),
        kernels: "before 4.1, and 5.13 to 6.2",
        ..ROW
    },
    Form {
        machines: &["aarch64", "loongarch64"],
        size: 12,
        fields: SHORT_ALTERNATIVE,
        replacement: Some(Replacement { field: 4, length: 11 }),
        ..ROW
    },
    Form {
        machines: S390,
        size: 13,
        fields: &[
            field("instruction", 0, 4, Code),
            field("replacement", 4, 4, Maybe),
            field("feature", 8, 4, Number),
            field("length", 12, 1, Number),
        ],
        replacement: Some(Replacement { field: 4, length: 12 }),
        kernels: "6.11 and later",
        ..ROW
    },
    Form {
        machines: S390,
        size: 11,
        fields: &[
            field("instruction", 0, 4, Code),
            field("replacement", 4, 4, Maybe),
            field("facility", 8, 2, Number),
            field("length", 10, 1, Number),
        ],
        replacement: Some(Replacement { field: 4, length: 10 }),
        kernels: "6.2 to 6.10",
        ..ROW
    },
    Form {
        machines: S390,
        size: 12,
        fields: SHORT_ALTERNATIVE,
        replacement: Some(Replacement { field: 4, length: 11 }),
        kernels: "4.16 to 6.1",
        ..ROW
    },
];

/// With 16 bits for the feature and lengths of a byte each.
const SHORT_ALTERNATIVE: &[Field] = &[
    field("instruction", 0, 4, Code),
    field("replacement", 4, 4, Maybe),
    field("feature", 8, 2, Number),
    field("length", 10, 1, Number),
    field("replacement length", 11, 1, Number),
];

/// include/linux/annotate.h: what objtool is told about an instruction.
pub static ANNOTATION: [Form; 1] = [Form {
    size: 8,
    fields: &[field("address", 0, 4, Target), field("type", 4, 4, Number)],
    kernels: "6.14 and later",
    ..ROW
}];

/// Places that objtool is told about: include/linux/objtool.h and compiler.h.
pub static PLACE: [Form; 2] = [
    Form { fields: &[field("address", 0, 4, Target)], kernels: "relative", ..ROW },
    Form { size: 8, fields: &[field("address", 0, 8, Target)], kernels: "absolute", ..ROW },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields follow each other without overlap, inside the row; each row describes code.
    #[test]
    fn fields_are_in_order() {
        let lists: [&[Form]; 12] = [
            &SITE,
            &WIDE_SITE,
            &PRINTK_INDEX,
            &BUG,
            &EXTABLE,
            &JUMP,
            &STATIC_CALL,
            &PARAVIRT,
            &FEATURE,
            &ALTERNATIVE,
            &ANNOTATION,
            &PLACE,
        ];
        for form in lists.into_iter().flatten() {
            let mut end = 0;
            for field in form.fields {
                assert!(field.at >= end && field.bytes > 0, "{form:?}");
                end = field.at + field.bytes;
            }
            assert!(end <= form.size && form.size - end <= 6, "{form:?}");
            assert!(form.short <= form.size - end.min(form.size - form.short), "{form:?}");
            if let Some(replacement) = form.replacement {
                assert_eq!(form.field_at(replacement.field).map(|f| f.holds), Some(Maybe));
                assert_eq!(form.field_at(replacement.length).map(|f| f.bytes), Some(1));
            }
        }
    }
}
