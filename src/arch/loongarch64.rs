//! LoongArch, 64-bit.
//!
//! Sources: "ELF for the LoongArch Architecture" (laelf, LoongArch ABI 2.x) for relocations;
//! "LoongArch Reference Manual" volume 1 for the encodings; Linux arch/loongarch/Makefile and
//! arch/loongarch/kernel/ftrace_dyn.c for what stands at a function's entry.
//!
//! * Relocations: laelf table "ELF Relocation types". The stack machine of ABI 1.0 (MARK and SOP)
//!   is still emitted by old assemblers: a push has no field, a pop fills an instruction.
//!   The dynamic types and the reserved DELETE and CFA are left out.
//! * PC-relative addends are not biased.
//! * The assembler leaves distances between labels to the linker (ADD and SUB pairs), so it
//!   keeps its local labels in the symbol table and refers to them, where other machines
//!   refer to the section.
//! * ftrace entry: `-fpatchable-function-entry=2` leaves two NOPs (`andi $zero, $zero, 0`,
//!   `00 00 40 03`) at the start of the function and an entry in
//!   `__patchable_function_entries` that points to the first.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of an instruction's fields, which have fewer bits, and places within its bytes"
)]

use object::elf as e;
use object::elf::{
    R_LARCH_64, R_LARCH_B26, R_LARCH_PCALA_HI20, R_LARCH_PCALA_LO12, R_LARCH_PCALA64_LO20,
};

use super::{
    Addresses, Arch, Arguments, Bias, Distance, EntryRelocs, FtraceSite, FunctionView, Reach,
    RelocType, Short, SiteTable, four_bytes, four_bytes_at, signed, word_at, word_of_field,
    words_are,
};
use crate::elf::abi;

/// LoongArch, 64-bit.
pub(super) static ARCH: Arch = Arch {
    name: "loongarch64",
    machine: abi::EM_LOONGARCH,
    big_endian: false,
    abs64: R_LARCH_64.0,
    relocs: RELOCS,
    instruction_len: four_bytes,
    instruction_at: four_bytes_at,
    ends_instruction: None,
    padding_pattern: &[0x00, 0x00, 0x40, 0x03],
    padding_bytes: &[],
    never_run: &[&BREAK, &NOP],
    bias: Bias::None,
    whole_fields: false,
    call_distance,
    opcode: word_of_field,
    prefix_symbols: &[],
    uses_pfe: true,
    local_labels: true,
    names_globals: false,
    reads_directly: None,
    mapping_symbols: false,
    toc_relocs: None,
    local_entry: |_| 0,
    indirect_target: &[],
    seals_indirect_targets: false,
    is_branch: None,
    leads,
    type_hash: |_| None,
    checks_type: |_| None,
    site_lead: 0,
    hash_word: 0,
    toc_distance: None,
    padding: |_| 0,
    has_profiling: |f, _| f.patchable_entry,
    ftrace_site,
    site_table: |_| SiteTable::PatchableEntries,
    // Its instructions are not read: no value can be followed.
    effect: |_, _| None,
    arguments: Arguments {
        registers: &[4, 5, 6, 7, 8, 9, 10, 11],
        stack: None,
        preserved: 0,
        addresses: Addresses::Unread,
    },
    is_function_pointer: |_, _| false,
    never_klp: |_, _| false,
    short: &[Short {
        kinds: &[R_LARCH_PCALA_HI20.0, R_LARCH_PCALA_LO12.0],
        completed_by: Some(R_LARCH_PCALA64_LO20.0),
        why: "modules are farther than 2 GiB from the kernel, and the kernel cuts the distance without a word",
        flags: "-mcmodel=extreme (with gcc -fno-plt, too)",
    }],
    never_klp_symbol: None,
    sibling_call: None,
    reach,
    step: None,
    returns: &[b"\x20\0\0\x4c"],
    immediates: None,
    text: None,
    listing: None,
    calls: &[],
    relaxes_got: |_, _| false,
    disabled_jump: |_| None,
    disabled_call: |_| None,
    filled_by_bolt: None,
    conventions: false,
};

const NOP: [u8; 4] = [0x00, 0x00, 0x40, 0x03];
/// `break 0`, which compilers put behind what never returns.
const BREAK: [u8; 4] = [0x00, 0x00, 0x2a, 0x00];

// A ULEB128 field is as long as what it holds, at least one byte. ADD6 and SUB6 fill the low six
// bits of theirs. CALL30 and CALL36 fill two instructions.
static RELOCS: &[RelocType] = relocs! {
    R_LARCH_NONE None 0;
    R_LARCH_32 Absolute 4;
    R_LARCH_64 Absolute 8;
    R_LARCH_TLS_DTPREL32 Tls 4;
    R_LARCH_TLS_DTPREL64 Tls 8;
    R_LARCH_MARK_LA None 0;
    R_LARCH_MARK_PCREL None 0;
    R_LARCH_SOP_PUSH_PCREL PcRelative 0;
    R_LARCH_SOP_PUSH_ABSOLUTE Absolute 0;
    R_LARCH_SOP_PUSH_DUP Arithmetic 0;
    R_LARCH_SOP_PUSH_GPREL Got 0;
    R_LARCH_SOP_PUSH_TLS_TPREL Tls 0;
    R_LARCH_SOP_PUSH_TLS_GOT Tls 0;
    R_LARCH_SOP_PUSH_TLS_GD Tls 0;
    R_LARCH_SOP_PUSH_PLT_PCREL PcRelative 0;
    R_LARCH_SOP_ASSERT Arithmetic 0;
    R_LARCH_SOP_NOT Arithmetic 0;
    R_LARCH_SOP_SUB Arithmetic 0;
    R_LARCH_SOP_SL Arithmetic 0;
    R_LARCH_SOP_SR Arithmetic 0;
    R_LARCH_SOP_ADD Arithmetic 0;
    R_LARCH_SOP_AND Arithmetic 0;
    R_LARCH_SOP_IF_ELSE Arithmetic 0;
    R_LARCH_SOP_POP_32_S_10_5 Arithmetic 4;
    R_LARCH_SOP_POP_32_U_10_12 Arithmetic 4;
    R_LARCH_SOP_POP_32_S_10_12 Arithmetic 4;
    R_LARCH_SOP_POP_32_S_10_16 Arithmetic 4;
    R_LARCH_SOP_POP_32_S_10_16_S2 Arithmetic 4;
    R_LARCH_SOP_POP_32_S_5_20 Arithmetic 4;
    R_LARCH_SOP_POP_32_S_0_5_10_16_S2 Arithmetic 4;
    R_LARCH_SOP_POP_32_S_0_10_10_16_S2 Arithmetic 4;
    R_LARCH_SOP_POP_32_U Arithmetic 4;
    R_LARCH_ADD8 Arithmetic 1;
    R_LARCH_ADD16 Arithmetic 2;
    R_LARCH_ADD24 Arithmetic 3;
    R_LARCH_ADD32 Arithmetic 4;
    R_LARCH_ADD64 Arithmetic 8;
    R_LARCH_SUB8 Arithmetic 1;
    R_LARCH_SUB16 Arithmetic 2;
    R_LARCH_SUB24 Arithmetic 3;
    R_LARCH_SUB32 Arithmetic 4;
    R_LARCH_SUB64 Arithmetic 8;
    R_LARCH_GNU_VTINHERIT None 0;
    R_LARCH_GNU_VTENTRY None 0;
    R_LARCH_B16 PcRelative 4;
    R_LARCH_B21 PcRelative 4;
    R_LARCH_B26 PcRelative 4;
    R_LARCH_ABS_HI20 Absolute 4;
    R_LARCH_ABS_LO12 Absolute 4;
    R_LARCH_ABS64_LO20 Absolute 4;
    R_LARCH_ABS64_HI12 Absolute 4;
    R_LARCH_PCALA_HI20 PcRelative 4;
    R_LARCH_PCALA_LO12 PcRelative 4;
    R_LARCH_PCALA64_LO20 PcRelative 4;
    R_LARCH_PCALA64_HI12 PcRelative 4;
    R_LARCH_GOT_PC_HI20 Got 4;
    R_LARCH_GOT_PC_LO12 Got 4;
    R_LARCH_GOT64_PC_LO20 Got 4;
    R_LARCH_GOT64_PC_HI12 Got 4;
    R_LARCH_GOT_HI20 Got 4;
    R_LARCH_GOT_LO12 Got 4;
    R_LARCH_GOT64_LO20 Got 4;
    R_LARCH_GOT64_HI12 Got 4;
    R_LARCH_TLS_LE_HI20 Tls 4;
    R_LARCH_TLS_LE_LO12 Tls 4;
    R_LARCH_TLS_LE64_LO20 Tls 4;
    R_LARCH_TLS_LE64_HI12 Tls 4;
    R_LARCH_TLS_IE_PC_HI20 Tls 4;
    R_LARCH_TLS_IE_PC_LO12 Tls 4;
    R_LARCH_TLS_IE64_PC_LO20 Tls 4;
    R_LARCH_TLS_IE64_PC_HI12 Tls 4;
    R_LARCH_TLS_IE_HI20 Tls 4;
    R_LARCH_TLS_IE_LO12 Tls 4;
    R_LARCH_TLS_IE64_LO20 Tls 4;
    R_LARCH_TLS_IE64_HI12 Tls 4;
    R_LARCH_TLS_LD_PC_HI20 Tls 4;
    R_LARCH_TLS_LD_HI20 Tls 4;
    R_LARCH_TLS_GD_PC_HI20 Tls 4;
    R_LARCH_TLS_GD_HI20 Tls 4;
    R_LARCH_32_PCREL PcRelative 4;
    R_LARCH_RELAX None 0;
    R_LARCH_ALIGN None 0;
    R_LARCH_PCREL20_S2 PcRelative 4;
    R_LARCH_ADD6 Arithmetic 1;
    R_LARCH_SUB6 Arithmetic 1;
    R_LARCH_ADD_ULEB128 Arithmetic 1;
    R_LARCH_SUB_ULEB128 Arithmetic 1;
    R_LARCH_64_PCREL PcRelative 8;
    R_LARCH_CALL36 PcRelative 8;
    R_LARCH_TLS_DESC_PC_HI20 Tls 4;
    R_LARCH_TLS_DESC_PC_LO12 Tls 4;
    R_LARCH_TLS_DESC64_PC_LO20 Tls 4;
    R_LARCH_TLS_DESC64_PC_HI12 Tls 4;
    R_LARCH_TLS_DESC_HI20 Tls 4;
    R_LARCH_TLS_DESC_LO12 Tls 4;
    R_LARCH_TLS_DESC64_LO20 Tls 4;
    R_LARCH_TLS_DESC64_HI12 Tls 4;
    R_LARCH_TLS_DESC_LD Tls 0;
    R_LARCH_TLS_DESC_CALL Tls 0;
    R_LARCH_TLS_LE_HI20_R Tls 4;
    R_LARCH_TLS_LE_ADD_R Tls 0;
    R_LARCH_TLS_LE_LO12_R Tls 4;
    R_LARCH_TLS_LD_PCREL20_S2 Tls 4;
    R_LARCH_TLS_GD_PCREL20_S2 Tls 4;
    R_LARCH_TLS_DESC_PCREL20_S2 Tls 4;
    R_LARCH_CALL30 PcRelative 8;
    R_LARCH_PCADD_HI20 PcRelative 4;
    R_LARCH_PCADD_LO12 PcRelative 4;
    R_LARCH_GOT_PCADD_HI20 Got 4;
    R_LARCH_GOT_PCADD_LO12 Got 4;
    R_LARCH_TLS_IE_PCADD_HI20 Tls 4;
    R_LARCH_TLS_IE_PCADD_LO12 Tls 4;
    R_LARCH_TLS_LD_PCADD_HI20 Tls 4;
    R_LARCH_TLS_LD_PCADD_LO12 Tls 4;
    R_LARCH_TLS_GD_PCADD_HI20 Tls 4;
    R_LARCH_TLS_GD_PCADD_LO12 Tls 4;
    R_LARCH_TLS_DESC_PCADD_HI20 Tls 4;
    R_LARCH_TLS_DESC_PCADD_LO12 Tls 4;
};

fn ftrace_site(f: &FunctionView<'_>, _: EntryRelocs<'_, '_>) -> Result<FtraceSite, String> {
    if words_are(f.section, f.value, &[NOP, NOP]) {
        Ok(FtraceSite { offset: f.value, rewrite: None })
    } else {
        Err(format!("{}: unexpected instruction at the start of the function", f.name))
    }
}

/// Words, counted by 26 bits of which the upper ten come last.
fn call_distance(kind: u32, field: [u8; 4]) -> Option<Distance> {
    let word = u32::from_le_bytes(field);
    let bytes = signed((word >> 10 & 0xffff) | (word & 0x3ff) << 16, 26) * 4;
    (kind == R_LARCH_B26.0).then_some(Distance { bytes, mask: 0x03ff_ffff_u32.to_le_bytes() })
}

/// Types that only branches have.
const BRANCHES: [u32; 4] = [e::R_LARCH_B16.0, e::R_LARCH_B21.0, R_LARCH_B26.0, e::R_LARCH_CALL36.0];

/// Branches, and `pcalau12i` with the `jirl` behind it, which calls what is far.
fn leads(code: &[u8], offset: u64, kind: u32) -> bool {
    let is_jump = |at: u64| word_at(code, at).is_some_and(|word| word >> 26 == 0x13);
    let through = |at: u64| {
        let words = word_at(code, at).zip(word_at(code, at.wrapping_add(4)));
        words.is_some_and(|(high, jump)| high >> 25 == 0x0d && high & 0x1f == jump >> 5 & 0x1f)
    };
    BRANCHES.contains(&kind)
        || kind == R_LARCH_PCALA_LO12.0 && is_jump(offset)
        || kind == R_LARCH_PCALA_HI20.0 && through(offset) && is_jump(offset.wrapping_add(4))
}

fn reach(code: &[u8], at: u64) -> Option<(u64, Option<Reach>)> {
    let word = word_at(code, at)?;
    let low = word >> 10 & 0xffff;
    let (distance, mask, kind) = match word >> 26 {
        // B, BL.
        0x14 | 0x15 => (signed((word & 0x3ff) << 16 | low, 26), 0x03ff_ffff, Some(R_LARCH_B26.0)),
        // BEQZ, BNEZ.
        0x10 | 0x11 => (signed((word & 0x1f) << 16 | low, 21), 0x03ff_fc1f, None),
        // BEQ to BGEU.
        0x16..=0x1b => (signed(low, 16), 0x03ff_fc00, None),
        _ => return Some((4, None)),
    };
    Some((4, Some(Reach::of_word(at, distance * 4, mask, kind))))
}

#[cfg(test)]
mod tests {
    use super::super::{RelocClass, fixtures};
    use super::*;

    #[test]
    fn distances_in_instructions() {
        for (word, distance, mask, kind) in [
            // bl 24, b -4, bnez $a0, 8, beq $a0, $a1, -8
            (0x5400_1800_u32, 24, 0x03ff_ffff_u32, Some(66)),
            (0x53ff_ffff, -4, 0x03ff_ffff, Some(66)),
            (0x4400_0880, 8, 0x03ff_fc1f, None),
            (0x5bff_f885, -8, 0x03ff_fc00, None),
        ] {
            let code = [&[0; 64][..], &word.to_le_bytes()].concat();
            let wanted = Reach::of_word(64, distance, mask, kind);
            assert_eq!(reach(&code, 64), Some((4, Some(wanted))), "{word:#x}");
        }
        // jirl
        assert_eq!(reach(&0x4c00_0020_u32.to_le_bytes(), 0), Some((4, None)));
    }

    /// jirl $zero, $ra, 0
    const RET: [u8; 4] = [0x20, 0x00, 0x00, 0x4c];

    fn site(words: &[[u8; 4]], value: u64) -> Result<FtraceSite, String> {
        ftrace_site(&fixtures::view(&words.concat(), value), &mut fixtures::relocs(&[]))
    }

    #[test]
    fn distances_of_calls() {
        let distance = |kind, word: u32| call_distance(kind, word.to_le_bytes());
        let wanted = |bytes| Some(Distance { bytes, mask: [0xff, 0xff, 0xff, 0x03] });
        // bl 8; bl -4
        assert_eq!(distance(R_LARCH_B26.0, 0x5400_0800), wanted(8));
        assert_eq!(distance(R_LARCH_B26.0, 0x57ff_ffff), wanted(-4));
        assert_eq!(distance(e::R_LARCH_B16.0, 0x5400_0800), None);
    }

    #[test]
    fn table() {
        fixtures::check_table(&ARCH, "R_LARCH_");
        let row = |kind| {
            let r = ARCH.reloc(kind).unwrap();
            (r.name, r.class, r.width)
        };
        assert_eq!(row(1), ("R_LARCH_32", RelocClass::Absolute, 4));
        assert_eq!(row(22), ("R_LARCH_SOP_PUSH_PCREL", RelocClass::PcRelative, 0));
        assert_eq!(row(50), ("R_LARCH_ADD32", RelocClass::Arithmetic, 4));
        assert_eq!(row(54), ("R_LARCH_SUB24", RelocClass::Arithmetic, 3));
        assert_eq!(row(66), ("R_LARCH_B26", RelocClass::PcRelative, 4));
        assert_eq!(row(71), ("R_LARCH_PCALA_HI20", RelocClass::PcRelative, 4));
        assert_eq!(row(75), ("R_LARCH_GOT_PC_HI20", RelocClass::Got, 4));
        assert_eq!(row(100), ("R_LARCH_RELAX", RelocClass::None, 0));
        assert_eq!(row(105), ("R_LARCH_ADD6", RelocClass::Arithmetic, 1));
        assert_eq!(row(109), ("R_LARCH_64_PCREL", RelocClass::PcRelative, 8));
        assert_eq!(row(110), ("R_LARCH_CALL36", RelocClass::PcRelative, 8));
        for unknown in [3, 4, 5, 12, 59, 101, 104, 140] {
            assert!(ARCH.reloc(unknown).is_err(), "{unknown}");
        }
        // TOC16_HA and TOC16_LO_DS of ppc64 have the numbers of ADD32 and B16
        assert!(!ARCH.is_toc(50) && !ARCH.is_toc(64));
        assert!(!(ARCH.never_klp)(44, ".text"));
    }

    #[test]
    fn instruction_lengths() {
        assert_eq!((ARCH.instruction_len)(&RET), Some(4));
        assert_eq!((ARCH.instruction_len)(&RET[..2]), None);
        assert_eq!((ARCH.instruction_len)(&[]), None);
    }

    #[test]
    fn entry() {
        let at = |offset| Ok(FtraceSite { offset, rewrite: None });
        assert_eq!(site(&[NOP, NOP, RET], 0), at(0));
        assert_eq!(site(&[RET, NOP, NOP, RET], 4), at(4));
        let want = Err("f: unexpected instruction at the start of the function".to_owned());
        assert_eq!(site(&[NOP, RET], 0), want);
        assert_eq!(site(&[RET, NOP, NOP], 0), want);
        assert_eq!(site(&[NOP], 0), want);
        assert_eq!(site(&[NOP, NOP], u64::MAX), want);
    }

    #[test]
    fn profiling() {
        let mut f = fixtures::view(&[], 0);
        assert!(!(ARCH.has_profiling)(&f, &mut fixtures::relocs(&[])));
        f.patchable_entry = true;
        assert!((ARCH.has_profiling)(&f, &mut fixtures::relocs(&[])));
        assert_eq!((ARCH.effect)(&NOP, 0), None);
    }
}
