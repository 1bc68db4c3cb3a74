//! AArch64 (little endian).
//!
//! Sources: "ELF for the Arm 64-bit Architecture" (AAELF64) for relocations and mapping symbols;
//! Arm ARM for the encodings; Linux arch/arm64/Makefile, arch/arm64/kernel/ftrace.c and
//! Documentation/arch/arm64 for what stands at a function's entry.
//!
//! * Relocations: AAELF64 "Relocation" (codes 257 and up are ELF64's; 256 is a withdrawn
//!   spelling of NONE). Dynamic types and those of the PAuth ABI extension are left out.
//!   Instruction relocations fill bits of a whole word, so they are four bytes wide although
//!   opcode and registers stay. With RELA the addend is never in the instruction.
//! * PC-relative addends are not biased.
//! * `$x` and `$d` mark code and data.
//! * ftrace entry: `-fpatchable-function-entry=2` leaves two NOPs (`1f 20 03 d5`) at the start of
//!   the function, after a `bti c` (`5f 24 03 d5`) when there is one, and an entry in
//!   `__patchable_function_entries` that points to the first NOP. With
//!   DYNAMIC_FTRACE_WITH_CALL_OPS it is `=4,2`: two more NOPs lie before the symbol, and the
//!   entry points to the first of those. The kernel finds `bti c` itself in that case.
//! * kCFI (clang's -fsanitize=kcfi) puts the hash of the function's type, one word, before
//!   these NOPs, or before the symbol where there are none. No symbol names it.
//! * Alignment is filled with the same NOPs: of two of them before a function only its entry
//!   tells whether they are its own.

use object::elf::{
    R_AARCH64_ABS16, R_AARCH64_ABS32, R_AARCH64_ABS64, R_AARCH64_ADR_PREL_LO21, R_AARCH64_CALL26,
    R_AARCH64_JUMP26, R_AARCH64_LD_PREL_LO19, R_AARCH64_PREL16,
};

use super::{
    Arch, Bias, Distance, EntryRelocs, FtraceSite, FunctionView, Reach, RelocType, Short,
    SiteTable, four_bytes, four_bytes_at, signed, word_at, word_of_field, words_are,
};
use crate::elf::abi;

mod effects;
mod text;

/// AArch64.
pub(super) static ARCH: Arch = Arch {
    name: "aarch64",
    machine: abi::EM_AARCH64,
    big_endian: false,
    abs64: R_AARCH64_ABS64.0,
    relocs: RELOCS,
    instruction_len: four_bytes,
    instruction_at: four_bytes_at,
    ends_instruction: None,
    padding_pattern: &[0x1f, 0x20, 0x03, 0xd5],
    padding_bytes: &[],
    never_run: &[],
    bias: Bias::None,
    whole_fields: false,
    call_distance,
    opcode: word_of_field,
    prefix_symbols: &[],
    uses_pfe: true,
    local_labels: false,
    names_globals: false,
    reads_directly: None,
    mapping_symbols: true,
    toc_relocs: None,
    local_entry: |_| 0,
    indirect_target: &BTI_C,
    seals_indirect_targets: false,
    is_branch: None,
    leads: |_, _, kind| BRANCHES.contains(&kind),
    type_hash,
    checks_type: |_| None,
    site_lead: CALL_OPS,
    hash_word: HASH as u64,
    toc_distance: None,
    padding,
    has_profiling: |f, _| f.patchable_entry,
    ftrace_site,
    site_table: |_| SiteTable::PatchableEntries,
    effect: effects::effect,
    arguments: effects::ARGUMENTS,
    is_function_pointer: |_, _| false,
    never_klp: |_, _| false,
    short: &[Short {
        kinds: &[
            R_AARCH64_ABS32.0,
            R_AARCH64_ABS16.0,
            R_AARCH64_PREL16.0,
            R_AARCH64_LD_PREL_LO19.0,
            R_AARCH64_ADR_PREL_LO21.0,
        ],
        completed_by: None,
        why: "the distance between modules and the kernel is larger than 1 MiB, so the kernel does not load the module",
        flags: "-mcmodel=small, without -mcmodel=tiny",
    }],
    never_klp_symbol: None,
    sibling_call: None,
    reach,
    step: None,
    // `ret`, perhaps with `bti c` in front.
    returns: &[b"\xc0\x03\x5f\xd6", b"\x5f\x24\x03\xd5\xc0\x03\x5f\xd6"],
    immediates: None,
    text: None,
    listing: Some(text::instruction_text),
    calls: &[],
    relaxes_got: |_, _| false,
    disabled_jump: |_| None,
    disabled_call: |_| None,
    filled_by_bolt: None,
    // STO_AARCH64_VARIANT_PCS.
    conventions: true,
};

const NOP: [u8; 4] = [0x1f, 0x20, 0x03, 0xd5];
const BTI_C: [u8; 4] = [0x5f, 0x24, 0x03, 0xd5];
/// Bytes of the NOPs before the symbol with CALL_OPS.
const CALL_OPS: u64 = 8;
/// Bytes of kCFI's hash.
const HASH: usize = 4;

static RELOCS: &[RelocType] = relocs! {
    R_AARCH64_NONE None 0;
    R_AARCH64_NULL = 256 None 0;
    R_AARCH64_ABS64 Absolute 8;
    R_AARCH64_ABS32 Absolute 4;
    R_AARCH64_ABS16 Absolute 2;
    R_AARCH64_PREL64 PcRelative 8;
    R_AARCH64_PREL32 PcRelative 4;
    R_AARCH64_PREL16 PcRelative 2;
    R_AARCH64_MOVW_UABS_G0 Absolute 4;
    R_AARCH64_MOVW_UABS_G0_NC Absolute 4;
    R_AARCH64_MOVW_UABS_G1 Absolute 4;
    R_AARCH64_MOVW_UABS_G1_NC Absolute 4;
    R_AARCH64_MOVW_UABS_G2 Absolute 4;
    R_AARCH64_MOVW_UABS_G2_NC Absolute 4;
    R_AARCH64_MOVW_UABS_G3 Absolute 4;
    R_AARCH64_MOVW_SABS_G0 Absolute 4;
    R_AARCH64_MOVW_SABS_G1 Absolute 4;
    R_AARCH64_MOVW_SABS_G2 Absolute 4;
    R_AARCH64_LD_PREL_LO19 PcRelative 4;
    R_AARCH64_ADR_PREL_LO21 PcRelative 4;
    R_AARCH64_ADR_PREL_PG_HI21 PcRelative 4;
    R_AARCH64_ADR_PREL_PG_HI21_NC PcRelative 4;
    R_AARCH64_ADD_ABS_LO12_NC Absolute 4;
    R_AARCH64_LDST8_ABS_LO12_NC Absolute 4;
    R_AARCH64_TSTBR14 PcRelative 4;
    R_AARCH64_CONDBR19 PcRelative 4;
    R_AARCH64_JUMP26 PcRelative 4;
    R_AARCH64_CALL26 PcRelative 4;
    R_AARCH64_LDST16_ABS_LO12_NC Absolute 4;
    R_AARCH64_LDST32_ABS_LO12_NC Absolute 4;
    R_AARCH64_LDST64_ABS_LO12_NC Absolute 4;
    R_AARCH64_MOVW_PREL_G0 PcRelative 4;
    R_AARCH64_MOVW_PREL_G0_NC PcRelative 4;
    R_AARCH64_MOVW_PREL_G1 PcRelative 4;
    R_AARCH64_MOVW_PREL_G1_NC PcRelative 4;
    R_AARCH64_MOVW_PREL_G2 PcRelative 4;
    R_AARCH64_MOVW_PREL_G2_NC PcRelative 4;
    R_AARCH64_MOVW_PREL_G3 PcRelative 4;
    R_AARCH64_LDST128_ABS_LO12_NC Absolute 4;
    R_AARCH64_MOVW_GOTOFF_G0 Got 4;
    R_AARCH64_MOVW_GOTOFF_G0_NC Got 4;
    R_AARCH64_MOVW_GOTOFF_G1 Got 4;
    R_AARCH64_MOVW_GOTOFF_G1_NC Got 4;
    R_AARCH64_MOVW_GOTOFF_G2 Got 4;
    R_AARCH64_MOVW_GOTOFF_G2_NC Got 4;
    R_AARCH64_MOVW_GOTOFF_G3 Got 4;
    R_AARCH64_GOTREL64 Got 8;
    R_AARCH64_GOTREL32 Got 4;
    R_AARCH64_GOT_LD_PREL19 Got 4;
    R_AARCH64_LD64_GOTOFF_LO15 Got 4;
    R_AARCH64_ADR_GOT_PAGE Got 4;
    R_AARCH64_LD64_GOT_LO12_NC Got 4;
    R_AARCH64_LD64_GOTPAGE_LO15 Got 4;
    R_AARCH64_PLT32 PcRelative 4;
    R_AARCH64_GOTPCREL32 Got 4;
    R_AARCH64_TLSGD_ADR_PREL21 Tls 4;
    R_AARCH64_TLSGD_ADR_PAGE21 Tls 4;
    R_AARCH64_TLSGD_ADD_LO12_NC Tls 4;
    R_AARCH64_TLSGD_MOVW_G1 Tls 4;
    R_AARCH64_TLSGD_MOVW_G0_NC Tls 4;
    R_AARCH64_TLSLD_ADR_PREL21 Tls 4;
    R_AARCH64_TLSLD_ADR_PAGE21 Tls 4;
    R_AARCH64_TLSLD_ADD_LO12_NC Tls 4;
    R_AARCH64_TLSLD_MOVW_G1 Tls 4;
    R_AARCH64_TLSLD_MOVW_G0_NC Tls 4;
    R_AARCH64_TLSLD_LD_PREL19 Tls 4;
    R_AARCH64_TLSLD_MOVW_DTPREL_G2 Tls 4;
    R_AARCH64_TLSLD_MOVW_DTPREL_G1 Tls 4;
    R_AARCH64_TLSLD_MOVW_DTPREL_G1_NC Tls 4;
    R_AARCH64_TLSLD_MOVW_DTPREL_G0 Tls 4;
    R_AARCH64_TLSLD_MOVW_DTPREL_G0_NC Tls 4;
    R_AARCH64_TLSLD_ADD_DTPREL_HI12 Tls 4;
    R_AARCH64_TLSLD_ADD_DTPREL_LO12 Tls 4;
    R_AARCH64_TLSLD_ADD_DTPREL_LO12_NC Tls 4;
    R_AARCH64_TLSLD_LDST8_DTPREL_LO12 Tls 4;
    R_AARCH64_TLSLD_LDST8_DTPREL_LO12_NC Tls 4;
    R_AARCH64_TLSLD_LDST16_DTPREL_LO12 Tls 4;
    R_AARCH64_TLSLD_LDST16_DTPREL_LO12_NC Tls 4;
    R_AARCH64_TLSLD_LDST32_DTPREL_LO12 Tls 4;
    R_AARCH64_TLSLD_LDST32_DTPREL_LO12_NC Tls 4;
    R_AARCH64_TLSLD_LDST64_DTPREL_LO12 Tls 4;
    R_AARCH64_TLSLD_LDST64_DTPREL_LO12_NC Tls 4;
    R_AARCH64_TLSIE_MOVW_GOTTPREL_G1 Tls 4;
    R_AARCH64_TLSIE_MOVW_GOTTPREL_G0_NC Tls 4;
    R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21 Tls 4;
    R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC Tls 4;
    R_AARCH64_TLSIE_LD_GOTTPREL_PREL19 Tls 4;
    R_AARCH64_TLSLE_MOVW_TPREL_G2 Tls 4;
    R_AARCH64_TLSLE_MOVW_TPREL_G1 Tls 4;
    R_AARCH64_TLSLE_MOVW_TPREL_G1_NC Tls 4;
    R_AARCH64_TLSLE_MOVW_TPREL_G0 Tls 4;
    R_AARCH64_TLSLE_MOVW_TPREL_G0_NC Tls 4;
    R_AARCH64_TLSLE_ADD_TPREL_HI12 Tls 4;
    R_AARCH64_TLSLE_ADD_TPREL_LO12 Tls 4;
    R_AARCH64_TLSLE_ADD_TPREL_LO12_NC Tls 4;
    R_AARCH64_TLSLE_LDST8_TPREL_LO12 Tls 4;
    R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC Tls 4;
    R_AARCH64_TLSLE_LDST16_TPREL_LO12 Tls 4;
    R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC Tls 4;
    R_AARCH64_TLSLE_LDST32_TPREL_LO12 Tls 4;
    R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC Tls 4;
    R_AARCH64_TLSLE_LDST64_TPREL_LO12 Tls 4;
    R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC Tls 4;
    R_AARCH64_TLSDESC_LD_PREL19 Tls 4;
    R_AARCH64_TLSDESC_ADR_PREL21 Tls 4;
    R_AARCH64_TLSDESC_ADR_PAGE21 Tls 4;
    R_AARCH64_TLSDESC_LD64_LO12 Tls 4;
    R_AARCH64_TLSDESC_ADD_LO12 Tls 4;
    R_AARCH64_TLSDESC_OFF_G1 Tls 4;
    R_AARCH64_TLSDESC_OFF_G0_NC Tls 4;
    R_AARCH64_TLSDESC_LDR Tls 0;
    R_AARCH64_TLSDESC_ADD Tls 0;
    R_AARCH64_TLSDESC_CALL Tls 0;
    R_AARCH64_TLSLE_LDST128_TPREL_LO12 Tls 4;
    R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC Tls 4;
    R_AARCH64_TLSLD_LDST128_DTPREL_LO12 Tls 4;
    R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC Tls 4;
    R_AARCH64_TLS_DTPREL Tls 8;
};

/// The NOPs in front of a function that ftrace calls through (arch/arm64/Kconfig,
/// `DYNAMIC_FTRACE_WITH_CALL_OPS`), counted from the start of the section; before them the hash of
/// kCFI.
fn padding(f: &FunctionView<'_>) -> u64 {
    let nops = |code: &[u8]| code.chunks_exact(4).take_while(|word| *word == NOP).count();
    let before = bytes_before(f);
    match (before.split_at_checked(HASH), nops(before)) {
        (_, 2) => CALL_OPS,
        (Some((_, [])), 0) => HASH as u64,
        (Some((_, rest)), 0) if rest.len() as u64 == CALL_OPS && nops(rest) == 2 => f.value,
        _ => 0,
    }
}

/// The word among the NOPs.
fn type_hash(head: &[u8]) -> Option<&[u8]> {
    let mut words = head.chunks(HASH).filter(|word| *word != NOP);
    words.next().filter(|word| word.len() == HASH && words.next().is_none())
}

/// The section's contents before the function.
fn bytes_before<'a>(f: &FunctionView<'a>) -> &'a [u8] {
    usize::try_from(f.value).ok().and_then(|value| f.section.get(..value)).unwrap_or_default()
}

fn ftrace_site(f: &FunctionView<'_>, _: EntryRelocs<'_, '_>) -> Result<FtraceSite, String> {
    let has_bti = words_are(f.section, f.value, &[BTI_C]);
    let nops = f.value.saturating_add(if has_bti { 4 } else { 0 });
    if !words_are(f.section, nops, &[NOP, NOP]) {
        return Err(format!("{}: unexpected instruction in patch section of function", f.name));
    }
    if let Some(offset) = f.listed_site {
        let at_entry = offset == nops || offset == f.value;
        let before = offset.checked_add(CALL_OPS) == Some(f.value);
        return match before && words_are(f.section, offset, &[NOP, NOP]) || at_entry {
            true => Ok(FtraceSite { offset, rewrite: None }),
            false => Err(format!("{}: no NOPs where its entry for ftrace says", f.name)),
        };
    }
    let padded = bytes_before(f).ends_with(&[NOP, NOP].concat());
    let offset = match f.value.checked_sub(CALL_OPS) {
        Some(start) if padded && f.value == padding(f) => start,
        Some(_) if padded => {
            return Err(format!(
                "{}: cannot tell the function's NOPs from the padding before it",
                f.name
            ));
        }
        _ => nops,
    };
    Ok(FtraceSite { offset, rewrite: None })
}

/// Words of an instruction, which its low bits count.
#[expect(clippy::arithmetic_side_effects, reason = "a field has fewer bits than the number")]
fn call_distance(kind: u32, field: [u8; 4]) -> Option<Distance> {
    let bytes = signed(u32::from_le_bytes(field), 26) * 4;
    let is_known = [R_AARCH64_CALL26.0, R_AARCH64_JUMP26.0].contains(&kind);
    is_known.then_some(Distance { bytes, mask: 0x03ff_ffff_u32.to_le_bytes() })
}

/// Types that only branches have.
const BRANCHES: [u32; 4] = [
    object::elf::R_AARCH64_TSTBR14.0,
    object::elf::R_AARCH64_CONDBR19.0,
    R_AARCH64_JUMP26.0,
    R_AARCH64_CALL26.0,
];

#[expect(clippy::arithmetic_side_effects, reason = "a field has fewer bits than the number")]
fn reach(code: &[u8], at: u64) -> Option<(u64, Option<Reach>)> {
    let word = word_at(code, at)?;
    let (bits, low, mask, kind) = match word >> 24 {
        0x94..=0x97 => (26, 0, 0x03ff_ffff, Some(R_AARCH64_CALL26.0)),
        0x14..=0x17 => (26, 0, 0x03ff_ffff, Some(R_AARCH64_JUMP26.0)),
        // B.cond, CBZ, CBNZ; LDR and PRFM of a literal.
        0x54 | 0x34 | 0x35 | 0xb4 | 0xb5 => (19, 5, 0x00ff_ffe0, None),
        0x18 | 0x58 | 0x98 | 0xd8 | 0x1c | 0x5c | 0x9c => (19, 5, 0x00ff_ffe0, None),
        // TBZ, TBNZ.
        0x36 | 0x37 | 0xb6 | 0xb7 => (14, 5, 0x0007_ffe0, None),
        // ADR: bytes, the lowest two bits elsewhere.
        0x10 | 0x30 | 0x50 | 0x70 => {
            let distance = signed(word >> 5 << 2 | word >> 29 & 3, 21);
            return Some((4, Some(Reach::of_word(at, distance, 0x60ff_ffe0, None))));
        }
        _ => return Some((4, None)),
    };
    Some((4, Some(Reach::of_word(at, signed(word >> low, bits) * 4, mask, kind))))
}

#[cfg(test)]
mod tests {
    use super::super::{RelocClass, fixtures};
    use super::*;

    #[test]
    fn distances_in_instructions() {
        for (word, distance, mask, kind) in [
            (0x97ff_ffe7_u32, -100, 0x03ff_ffff_u32, Some(283)),
            (0x1400_0004, 16, 0x03ff_ffff, Some(282)),
            (0x5400_0061, 12, 0x00ff_ffe0, None),
            (0xb5ff_ffe0, -4, 0x00ff_ffe0, None),
            (0x3607_ffc3, -8, 0x0007_ffe0, None),
            (0x5800_0081, 16, 0x00ff_ffe0, None),
            (0x7000_0020, 7, 0x60ff_ffe0, None),
        ] {
            let code = [&[0; 128][..], &word.to_le_bytes()].concat();
            let wanted = Reach::of_word(128, distance, mask, kind);
            assert_eq!(reach(&code, 128), Some((4, Some(wanted))), "{word:#x}");
            let mut cleared = code.clone();
            wanted.clear(&mut cleared);
            assert_eq!(cleared[128..], (word & !mask).to_le_bytes());
        }
        // ADRP, RET; half an instruction.
        for word in [0x9000_0000_u32, 0xd65f_03c0] {
            assert_eq!(reach(&word.to_le_bytes(), 0), Some((4, None)), "{word:#x}");
        }
        assert_eq!(reach(&[0, 0], 0), None);
    }

    const RET: [u8; 4] = [0xc0, 0x03, 0x5f, 0xd6];
    const HASHED: [u8; 4] = [0x94, 0x07, 0x05, 0x00];

    fn site(words: &[[u8; 4]], value: u64) -> Result<u64, String> {
        let section = words.concat();
        let site = ftrace_site(&fixtures::view(&section, value), &mut fixtures::relocs(&[]))?;
        assert_eq!(site.rewrite, None);
        Ok(site.offset)
    }

    #[test]
    fn distances_of_calls() {
        let distance = |kind, word: u32| call_distance(kind, word.to_le_bytes());
        let wanted = |bytes| Some(Distance { bytes, mask: [0xff, 0xff, 0xff, 0x03] });
        // bl .+8; b .-4
        assert_eq!(distance(R_AARCH64_CALL26.0, 0x9400_0002), wanted(8));
        assert_eq!(distance(R_AARCH64_JUMP26.0, 0x17ff_ffff), wanted(-4));
        assert_eq!(distance(object::elf::R_AARCH64_ADR_PREL_PG_HI21.0, 0x9000_0002), None);
    }

    #[test]
    fn table() {
        fixtures::check_table(&ARCH, "R_AARCH64_");
        let row = |kind| {
            let r = ARCH.reloc(kind).unwrap();
            (r.name, r.class, r.width)
        };
        assert_eq!(row(256), ("R_AARCH64_NULL", RelocClass::None, 0));
        assert_eq!(row(259), ("R_AARCH64_ABS16", RelocClass::Absolute, 2));
        assert_eq!(row(260), ("R_AARCH64_PREL64", RelocClass::PcRelative, 8));
        assert_eq!(row(275), ("R_AARCH64_ADR_PREL_PG_HI21", RelocClass::PcRelative, 4));
        assert_eq!(row(277), ("R_AARCH64_ADD_ABS_LO12_NC", RelocClass::Absolute, 4));
        assert_eq!(row(283), ("R_AARCH64_CALL26", RelocClass::PcRelative, 4));
        assert_eq!(row(311), ("R_AARCH64_ADR_GOT_PAGE", RelocClass::Got, 4));
        assert_eq!(row(541), ("R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21", RelocClass::Tls, 4));
        for unknown in [1, 281, 1024, 1025, 1026, 1027, 1032] {
            assert!(ARCH.reloc(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn instruction_lengths() {
        assert_eq!((ARCH.instruction_len)(&RET), Some(4));
        assert_eq!((ARCH.instruction_len)(&[NOP, RET].concat()), Some(4));
        assert_eq!((ARCH.instruction_len)(&RET[..3]), None);
        assert_eq!((ARCH.instruction_len)(&[]), None);
    }

    #[test]
    fn nops_at_the_entry() {
        assert_eq!(site(&[NOP, NOP, RET], 0), Ok(0));
        assert_eq!(site(&[BTI_C, NOP, NOP, RET], 0), Ok(4));
        // the second function of a section is judged by its own bytes
        assert_eq!(site(&[NOP, NOP, RET, BTI_C, NOP, NOP, RET], 12), Ok(16));
        assert_eq!(site(&[RET, NOP, NOP, NOP, RET], 8), Ok(8));
    }

    #[test]
    fn call_ops() {
        assert_eq!(site(&[NOP, NOP, NOP, NOP, RET], 8), Ok(0));
        assert_eq!(site(&[NOP, NOP, BTI_C, NOP, NOP, RET], 8), Ok(0));
        assert_eq!(site(&[HASHED, NOP, NOP, BTI_C, NOP, NOP, RET], 12), Ok(4));
        assert_eq!(site(&[HASHED, NOP, NOP, RET], 4), Ok(4));
        let want = Err("f: cannot tell the function's NOPs from the padding before it".to_owned());
        assert_eq!(site(&[NOP, NOP, RET, NOP, NOP, NOP, NOP, RET], 20), want);
    }

    #[test]
    fn wrong_entry() {
        let want = Err("f: unexpected instruction in patch section of function".to_owned());
        assert_eq!(site(&[RET], 0), want);
        assert_eq!(site(&[NOP, RET], 0), want);
        assert_eq!(site(&[NOP], 0), want);
        assert_eq!(site(&[BTI_C, NOP, RET], 0), want);
        assert_eq!(site(&[NOP, NOP, RET], 8), want);
        assert_eq!(site(&[NOP, NOP], u64::MAX), want);
    }

    #[test]
    fn padding_is_counted_from_the_section_start() {
        let padding = |words: &[[u8; 4]], value| padding(&fixtures::view(&words.concat(), value));
        assert_eq!(padding(&[NOP, NOP, NOP, NOP, RET], 8), 8);
        // these NOPs belong to the function
        assert_eq!(padding(&[NOP, NOP, RET], 0), 0);
        assert_eq!(padding(&[NOP, NOP, NOP, RET], 4), 0);
        assert_eq!(padding(&[NOP, NOP, NOP, RET], 12), 0);
        assert_eq!(padding(&[NOP], u64::MAX), 0);
        // kCFI's hash
        assert_eq!(padding(&[HASHED, NOP, NOP], 4), 4);
        assert_eq!(padding(&[HASHED, NOP, NOP, NOP, NOP], 12), 12);
        assert_eq!(padding(&[HASHED, HASHED], 8), 0);
        assert_eq!(padding(&[HASHED, NOP, RET], 12), 0);
        assert_eq!(padding(&[HASHED, NOP, NOP, NOP], 16), 0);
    }

    #[test]
    fn hooks() {
        let mut f = fixtures::view(&[], 0);
        assert!(!(ARCH.has_profiling)(&f, &mut fixtures::relocs(&[])));
        f.patchable_entry = true;
        assert!((ARCH.has_profiling)(&f, &mut fixtures::relocs(&[])));
        assert!(!(ARCH.is_function_pointer)(277, 0));
        assert_eq!((ARCH.site_table)(true), SiteTable::PatchableEntries);
    }
}
