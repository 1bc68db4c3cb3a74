//! PowerPC64 little endian, ELF ABI version 2.
//!
//! Sources: "64-Bit ELF V2 ABI Specification, Power Architecture" for relocations, TOC and entry
//! points; Power ISA for the encodings; Linux arch/powerpc/Makefile,
//! arch/powerpc/kernel/trace/ftrace*.c and arch/powerpc/kernel/module_64.c for the rest.
//!
//! * Relocations: the ABI's table "Relocation Table"; numbers the `object` crate lacks are
//!   those of binutils' include/elf/ppc64.h. Half-word fields (`half16`, r_offset points to the
//!   half-word itself) are two bytes wide, branches and `DX` forms four, prefixed instructions
//!   eight. TLS, TLSGD and TLSLD mark an instruction, PLTSEQ and PLTCALL a call sequence,
//!   ENTRY the entry, TOCSAVE a saved r2, PCREL_OPT a pair: they have no field.
//!   The dynamic types are left out.
//! * PC-relative addends are not biased.
//! * TOC: with -mcmodel=large, which kernel objects for livepatching are built with, data and
//!   function addresses are 8-byte slots of the section `.toc`, loaded by a pair of
//!   instructions with R_PPC64_TOC16_HA and R_PPC64_TOC16_LO_DS. The slot is not
//!   the target; what `.rela.toc` has for it is.
//! * Entry points: a function that uses r2 has two. The global one computes r2 from r12, callers
//!   with the same TOC use the local one behind it. Bits 5-7 of st_other give the
//!   distance. With -mcmodel=large 8 bytes before the global entry hold the TOC's
//!   distance (R_PPC64_REL64), so the symbol's value is 8; references to `.TOC.`
//!   (REL16_HA, REL16_LO, REL64) and ENTRY are always resolved by the linker.
//! * ftrace entry: with `-pg -mprofile-kernel` the local entry starts with `mflr r0`, in older
//!   compilers `std r0,16(r1)`, and `bl _mcount`. With `-fpatchable-function-entry=2`
//!   it starts with NOPs (`00 00 00 60`); gcc before 13.1 puts them at the global entry,
//!   where the kernel cannot use them.
//! * With DYNAMIC_FTRACE_WITH_CALL_OPS two NOPs lie before the global entry and the site is the
//!   first of those; that layout is refused.
//! * The word 48000000 (`b .`) with a relocation is a sibling call. A call into another TOC goes
//!   through a stub that saves r2, and the instruction after the call restores it; after a
//!   sibling call there is no such instruction, so it cannot be livepatched.

use object::elf as e;

use super::{
    Arch, Bias, EntryReloc, EntryRelocs, FtraceSite, FunctionView, Reach, RelocType, Short,
    SiteTable, four_bytes, four_bytes_at, signed, word_at, word_of_field, words_are,
};
use crate::elf::abi;

mod effects;

/// PowerPC64 little endian.
pub(super) static ARCH: Arch = Arch {
    name: "powerpc64",
    machine: abi::EM_PPC64,
    big_endian: false,
    abs64: e::R_PPC64_ADDR64.0,
    relocs: RELOCS,
    instruction_len: four_bytes,
    instruction_at: four_bytes_at,
    ends_instruction: None,
    padding_pattern: &[0x00, 0x00, 0x00, 0x60],
    padding_bytes: &[],
    never_run: &[],
    bias: Bias::None,
    whole_fields: false,
    call_distance: |_, _| None,
    opcode: word_of_field,
    prefix_symbols: &[],
    uses_pfe: true,
    local_labels: false,
    names_globals: false,
    reads_directly: None,
    mapping_symbols: false,
    toc_relocs: Some(TOC_RELOCS),
    local_entry,
    indirect_target: &[],
    seals_indirect_targets: false,
    is_branch: None,
    leads: |_, _, kind| BRANCHES.contains(&kind),
    type_hash: |_| None,
    checks_type: |_| None,
    site_lead: 0,
    hash_word: 0,
    toc_distance: Some((e::R_PPC64_REL64.0, TOC_DISTANCE)),
    padding,
    has_profiling: |f, relocs| f.patchable_entry || mcount(f, relocs).is_some(),
    ftrace_site,
    site_table: |object_has_pfe| {
        if object_has_pfe { SiteTable::PatchableEntries } else { SiteTable::McountLoc }
    },
    effect: effects::effect,
    arguments: effects::ARGUMENTS,
    is_function_pointer: |kind, addend| TOC_RELOCS.contains(&kind) && addend == 0,
    never_klp,
    short: &[Short {
        kinds: &[
            e::R_PPC64_TOC16.0,
            e::R_PPC64_TOC16_LO.0,
            e::R_PPC64_TOC16_HI.0,
            e::R_PPC64_TOC16_HA.0,
            e::R_PPC64_TOC16_DS.0,
            e::R_PPC64_TOC16_LO_DS.0,
        ],
        completed_by: None,
        why: "it is farther than 2 GiB from the module's TOC, and the kernel cuts the distance without a word",
        flags: "-mcmodel=large, so that addresses are in the TOC",
    }],
    never_klp_symbol: None,
    sibling_call: Some(0x4800_0000),
    reach,
    step: None,
    returns: &[b"\x20\0\x80\x4e", b"\x4e\x80\0\x20"],
    immediates: None,
    text: None,
    listing: None,
    calls: &[],
    relaxes_got: |_, _| false,
    disabled_jump: |_| None,
    disabled_call: |_| None,
    filled_by_bolt: None,
    // STO_PPC64_LOCAL: where calls within a module enter.
    conventions: true,
};

const TOC_RELOCS: [u32; 2] = [e::R_PPC64_TOC16_HA.0, e::R_PPC64_TOC16_LO_DS.0];
const ENTRY: u32 = 118;
const NOP: [u8; 4] = [0x00, 0x00, 0x00, 0x60];
/// Bytes before the global entry that hold the TOC's distance with -mcmodel=large.
const TOC_DISTANCE: u64 = 8;

static RELOCS: &[RelocType] = relocs! {
    R_PPC64_NONE None 0;
    R_PPC64_ADDR32 Absolute 4;
    R_PPC64_ADDR24 Absolute 4;
    R_PPC64_ADDR16 Absolute 2;
    R_PPC64_ADDR16_LO Absolute 2;
    R_PPC64_ADDR16_HI Absolute 2;
    R_PPC64_ADDR16_HA Absolute 2;
    R_PPC64_ADDR14 Absolute 4;
    R_PPC64_ADDR14_BRTAKEN Absolute 4;
    R_PPC64_ADDR14_BRNTAKEN Absolute 4;
    R_PPC64_REL24 PcRelative 4;
    R_PPC64_REL14 PcRelative 4;
    R_PPC64_REL14_BRTAKEN PcRelative 4;
    R_PPC64_REL14_BRNTAKEN PcRelative 4;
    R_PPC64_GOT16 Got 2;
    R_PPC64_GOT16_LO Got 2;
    R_PPC64_GOT16_HI Got 2;
    R_PPC64_GOT16_HA Got 2;
    R_PPC64_UADDR32 Absolute 4;
    R_PPC64_UADDR16 Absolute 2;
    R_PPC64_REL32 PcRelative 4;
    R_PPC64_PLT32 Absolute 4;
    R_PPC64_PLTREL32 PcRelative 4;
    R_PPC64_PLT16_LO Got 2;
    R_PPC64_PLT16_HI Got 2;
    R_PPC64_PLT16_HA Got 2;
    R_PPC64_SECTOFF Arithmetic 2;
    R_PPC64_SECTOFF_LO Arithmetic 2;
    R_PPC64_SECTOFF_HI Arithmetic 2;
    R_PPC64_SECTOFF_HA Arithmetic 2;
    R_PPC64_ADDR30 PcRelative 4;
    R_PPC64_ADDR64 Absolute 8;
    R_PPC64_ADDR16_HIGHER Absolute 2;
    R_PPC64_ADDR16_HIGHERA Absolute 2;
    R_PPC64_ADDR16_HIGHEST Absolute 2;
    R_PPC64_ADDR16_HIGHESTA Absolute 2;
    R_PPC64_UADDR64 Absolute 8;
    R_PPC64_REL64 PcRelative 8;
    R_PPC64_PLT64 Absolute 8;
    R_PPC64_PLTREL64 PcRelative 8;
    R_PPC64_TOC16 Toc 2;
    R_PPC64_TOC16_LO Toc 2;
    R_PPC64_TOC16_HI Toc 2;
    R_PPC64_TOC16_HA Toc 2;
    R_PPC64_TOC Toc 8;
    R_PPC64_PLTGOT16 Got 2;
    R_PPC64_PLTGOT16_LO Got 2;
    R_PPC64_PLTGOT16_HI Got 2;
    R_PPC64_PLTGOT16_HA Got 2;
    R_PPC64_ADDR16_DS Absolute 2;
    R_PPC64_ADDR16_LO_DS Absolute 2;
    R_PPC64_GOT16_DS Got 2;
    R_PPC64_GOT16_LO_DS Got 2;
    R_PPC64_PLT16_LO_DS Got 2;
    R_PPC64_SECTOFF_DS Arithmetic 2;
    R_PPC64_SECTOFF_LO_DS Arithmetic 2;
    R_PPC64_TOC16_DS Toc 2;
    R_PPC64_TOC16_LO_DS Toc 2;
    R_PPC64_PLTGOT16_DS Got 2;
    R_PPC64_PLTGOT16_LO_DS Got 2;
    R_PPC64_TLS Tls 0;
    R_PPC64_DTPMOD64 Tls 8;
    R_PPC64_TPREL16 Tls 2;
    R_PPC64_TPREL16_LO Tls 2;
    R_PPC64_TPREL16_HI Tls 2;
    R_PPC64_TPREL16_HA Tls 2;
    R_PPC64_TPREL64 Tls 8;
    R_PPC64_DTPREL16 Tls 2;
    R_PPC64_DTPREL16_LO Tls 2;
    R_PPC64_DTPREL16_HI Tls 2;
    R_PPC64_DTPREL16_HA Tls 2;
    R_PPC64_DTPREL64 Tls 8;
    R_PPC64_GOT_TLSGD16 Tls 2;
    R_PPC64_GOT_TLSGD16_LO Tls 2;
    R_PPC64_GOT_TLSGD16_HI Tls 2;
    R_PPC64_GOT_TLSGD16_HA Tls 2;
    R_PPC64_GOT_TLSLD16 Tls 2;
    R_PPC64_GOT_TLSLD16_LO Tls 2;
    R_PPC64_GOT_TLSLD16_HI Tls 2;
    R_PPC64_GOT_TLSLD16_HA Tls 2;
    R_PPC64_GOT_TPREL16_DS Tls 2;
    R_PPC64_GOT_TPREL16_LO_DS Tls 2;
    R_PPC64_GOT_TPREL16_HI Tls 2;
    R_PPC64_GOT_TPREL16_HA Tls 2;
    R_PPC64_GOT_DTPREL16_DS Tls 2;
    R_PPC64_GOT_DTPREL16_LO_DS Tls 2;
    R_PPC64_GOT_DTPREL16_HI Tls 2;
    R_PPC64_GOT_DTPREL16_HA Tls 2;
    R_PPC64_TPREL16_DS Tls 2;
    R_PPC64_TPREL16_LO_DS Tls 2;
    R_PPC64_TPREL16_HIGHER Tls 2;
    R_PPC64_TPREL16_HIGHERA Tls 2;
    R_PPC64_TPREL16_HIGHEST Tls 2;
    R_PPC64_TPREL16_HIGHESTA Tls 2;
    R_PPC64_DTPREL16_DS Tls 2;
    R_PPC64_DTPREL16_LO_DS Tls 2;
    R_PPC64_DTPREL16_HIGHER Tls 2;
    R_PPC64_DTPREL16_HIGHERA Tls 2;
    R_PPC64_DTPREL16_HIGHEST Tls 2;
    R_PPC64_DTPREL16_HIGHESTA Tls 2;
    R_PPC64_TLSGD Tls 0;
    R_PPC64_TLSLD Tls 0;
    R_PPC64_TOCSAVE None 0;
    R_PPC64_ADDR16_HIGH Absolute 2;
    R_PPC64_ADDR16_HIGHA Absolute 2;
    R_PPC64_TPREL16_HIGH Tls 2;
    R_PPC64_TPREL16_HIGHA Tls 2;
    R_PPC64_DTPREL16_HIGH Tls 2;
    R_PPC64_DTPREL16_HIGHA Tls 2;
    R_PPC64_REL24_NOTOC = 116 PcRelative 4;
    R_PPC64_ADDR64_LOCAL = 117 Absolute 8;
    R_PPC64_ENTRY = 118 None 0;
    R_PPC64_PLTSEQ = 119 None 0;
    R_PPC64_PLTCALL = 120 None 0;
    R_PPC64_PLTSEQ_NOTOC = 121 None 0;
    R_PPC64_PLTCALL_NOTOC = 122 None 0;
    R_PPC64_PCREL_OPT = 123 None 0;
    R_PPC64_REL24_P9NOTOC = 124 PcRelative 4;
    R_PPC64_D34 = 128 Absolute 8;
    R_PPC64_D34_LO = 129 Absolute 8;
    R_PPC64_D34_HI30 = 130 Absolute 8;
    R_PPC64_D34_HA30 = 131 Absolute 8;
    R_PPC64_PCREL34 = 132 PcRelative 8;
    R_PPC64_GOT_PCREL34 = 133 Got 8;
    R_PPC64_PLT_PCREL34 = 134 Got 8;
    R_PPC64_PLT_PCREL34_NOTOC = 135 Got 8;
    R_PPC64_ADDR16_HIGHER34 = 136 Absolute 2;
    R_PPC64_ADDR16_HIGHERA34 = 137 Absolute 2;
    R_PPC64_ADDR16_HIGHEST34 = 138 Absolute 2;
    R_PPC64_ADDR16_HIGHESTA34 = 139 Absolute 2;
    R_PPC64_REL16_HIGHER34 = 140 PcRelative 2;
    R_PPC64_REL16_HIGHERA34 = 141 PcRelative 2;
    R_PPC64_REL16_HIGHEST34 = 142 PcRelative 2;
    R_PPC64_REL16_HIGHESTA34 = 143 PcRelative 2;
    R_PPC64_D28 = 144 Absolute 8;
    R_PPC64_PCREL28 = 145 PcRelative 8;
    R_PPC64_TPREL34 = 146 Tls 8;
    R_PPC64_DTPREL34 = 147 Tls 8;
    R_PPC64_GOT_TLSGD_PCREL34 = 148 Tls 8;
    R_PPC64_GOT_TLSLD_PCREL34 = 149 Tls 8;
    R_PPC64_GOT_TPREL_PCREL34 = 150 Tls 8;
    R_PPC64_GOT_DTPREL_PCREL34 = 151 Tls 8;
    R_PPC64_REL16_HIGH = 240 PcRelative 2;
    R_PPC64_REL16_HIGHA = 241 PcRelative 2;
    R_PPC64_REL16_HIGHER = 242 PcRelative 2;
    R_PPC64_REL16_HIGHERA = 243 PcRelative 2;
    R_PPC64_REL16_HIGHEST = 244 PcRelative 2;
    R_PPC64_REL16_HIGHESTA = 245 PcRelative 2;
    R_PPC64_REL16DX_HA = 246 PcRelative 4;
    R_PPC64_REL16 PcRelative 2;
    R_PPC64_REL16_LO PcRelative 2;
    R_PPC64_REL16_HI PcRelative 2;
    R_PPC64_REL16_HA PcRelative 2;
    R_PPC64_GNU_VTINHERIT = 253 None 0;
    R_PPC64_GNU_VTENTRY = 254 None 0;
};

/// ABI section "Symbol Table", st_other: 0 and 1 mean one entry point, 2 to 6 a distance of
/// 2^n bytes. 7 is reserved; it is read like the others, so that no padding matches it.
fn local_entry(other: u8) -> u64 {
    match other >> 5 {
        0 | 1 => 0,
        n => 1 << n,
    }
}

fn padding(f: &FunctionView<'_>) -> u64 {
    if local_entry(f.other) != 0 && f.value == TOC_DISTANCE { TOC_DISTANCE } else { 0 }
}

/// Where callers with the same TOC enter.
fn entry(f: &FunctionView<'_>) -> u64 {
    f.value.saturating_add(local_entry(f.other))
}

/// The call of `_mcount`, the second or third instruction. The place matters: behind an
/// untraced function follows the next one, whose call is not ours.
fn mcount<'a>(f: &FunctionView<'_>, relocs: EntryRelocs<'_, 'a>) -> Option<EntryReloc<'a>> {
    let entry = entry(f);
    let (second, third) = (entry.saturating_add(4), entry.saturating_add(8));
    let mut near = relocs.skip_while(|r| r.offset < second).take_while(|r| r.offset <= third);
    near.find(|r| (r.offset == second || r.offset == third) && r.symbol == "_mcount")
}

fn ftrace_site(f: &FunctionView<'_>, relocs: EntryRelocs<'_, '_>) -> Result<FtraceSite, String> {
    let offset = if f.object_has_pfe {
        if f.value == 8 && words_are(f.section, 0, &[NOP, NOP]) {
            return Err(format!("{}: NOPs before the function are not supported", f.name));
        }
        let entry = entry(f);
        if !words_are(f.section, entry, &[NOP]) {
            return Err(format!("{}: unexpected instruction in patch section of function", f.name));
        }
        entry
    } else {
        mcount(f, relocs).ok_or("unexpected missing call to _mcount()")?.offset
    };
    Ok(FtraceSite { offset, rewrite: None })
}

fn never_klp(kind: u32, section: &str) -> bool {
    [e::R_PPC64_REL16_HA.0, e::R_PPC64_REL16_LO.0, ENTRY].contains(&kind)
        || (kind == e::R_PPC64_REL64.0 && section != "__jump_table")
}

/// A call without a relocation does not restore the TOC, so that none can stand for it.
/// Types that only branches have.
const BRANCHES: [u32; 4] = [
    e::R_PPC64_REL24.0,
    e::R_PPC64_REL14.0,
    // R_PPC64_REL24_NOTOC, R_PPC64_REL24_P9NOTOC.
    116,
    124,
];

fn reach(code: &[u8], at: u64) -> Option<(u64, Option<Reach>)> {
    let word = word_at(code, at)?;
    let absolute = word & 2 != 0;
    let (distance, mask) = match word >> 26 {
        18 if !absolute => (signed(word & 0x03ff_fffc, 26), 0x03ff_fffc),
        16 if !absolute => (signed(word & 0xfffc, 16), 0xfffc),
        _ => return Some((4, None)),
    };
    Some((4, Some(Reach::of_word(at, distance, mask, None))))
}

#[cfg(test)]
mod tests {
    use super::super::{RelocClass, fixtures};
    use super::*;

    #[test]
    fn distances_in_instructions() {
        // bl .-8; b .+16; beq .+8
        for (word, distance, mask) in [
            (0x4bff_fff9_u32, -8, 0x03ff_fffc_u32),
            (0x4800_0010, 16, 0x03ff_fffc),
            (0x4182_0008, 8, 0xfffc),
        ] {
            let code = [&[0; 64][..], &word.to_le_bytes()].concat();
            let wanted = Reach::of_word(64, distance, mask, None);
            assert_eq!(reach(&code, 64), Some((4, Some(wanted))), "{word:#x}");
        }
        // ba, blr
        for word in [0x4800_0012_u32, 0x4e80_0020] {
            assert_eq!(reach(&word.to_le_bytes(), 0), Some((4, None)), "{word:#x}");
        }
    }

    const REL24: u32 = e::R_PPC64_REL24.0;
    /// st_other of a function whose local entry is 8 bytes behind the global one.
    const LOCAL_8: u8 = 3 << 5;
    const MFLR: [u8; 4] = [0xa6, 0x02, 0x08, 0x7c];
    const BL: [u8; 4] = [0x01, 0x00, 0x00, 0x48];
    const LD_R2: [u8; 4] = [0xf8, 0xff, 0x4c, 0xe8];
    const ADD_R2: [u8; 4] = [0x14, 0x62, 0x42, 0x7c];

    struct Case<'a> {
        words: &'a [[u8; 4]],
        value: u64,
        other: u8,
        pfe: bool,
        relocs: &'a [(u64, u32, &'a str)],
    }

    fn run(case: Case<'_>) -> (bool, Result<u64, String>) {
        let section = case.words.concat();
        let f = FunctionView {
            other: case.other,
            patchable_entry: case.pfe,
            listed_site: None,
            object_has_pfe: case.pfe,
            ..fixtures::view(&section, case.value)
        };
        let profiled = (ARCH.has_profiling)(&f, &mut fixtures::relocs(case.relocs));
        let site = ftrace_site(&f, &mut fixtures::relocs(case.relocs)).map(|site| {
            assert_eq!(site.rewrite, None);
            site.offset
        });
        (profiled, site)
    }

    #[test]
    fn table() {
        fixtures::check_table(&ARCH, "R_PPC64_");
        let row = |kind| {
            let r = ARCH.reloc(kind).unwrap();
            (r.name, r.class, r.width)
        };
        assert_eq!(row(10), ("R_PPC64_REL24", RelocClass::PcRelative, 4));
        assert_eq!(row(38), ("R_PPC64_ADDR64", RelocClass::Absolute, 8));
        assert_eq!(row(44), ("R_PPC64_REL64", RelocClass::PcRelative, 8));
        assert_eq!(row(50), ("R_PPC64_TOC16_HA", RelocClass::Toc, 2));
        assert_eq!(row(64), ("R_PPC64_TOC16_LO_DS", RelocClass::Toc, 2));
        assert_eq!(row(109), ("R_PPC64_TOCSAVE", RelocClass::None, 0));
        assert_eq!(row(118), ("R_PPC64_ENTRY", RelocClass::None, 0));
        assert_eq!(row(132), ("R_PPC64_PCREL34", RelocClass::PcRelative, 8));
        assert_eq!(row(250), ("R_PPC64_REL16_LO", RelocClass::PcRelative, 2));
        assert_eq!(row(252), ("R_PPC64_REL16_HA", RelocClass::PcRelative, 2));
        for unknown in [19, 20, 21, 22, 125, 247, 248, 255] {
            assert!(ARCH.reloc(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn instruction_lengths() {
        assert_eq!((ARCH.instruction_len)(&NOP), Some(4));
        assert_eq!((ARCH.instruction_len)(&NOP[..3]), None);
        assert_eq!((ARCH.instruction_len)(&[]), None);
    }

    #[test]
    fn entry_points() {
        let want = [0, 0, 4, 8, 16, 32, 64, 128];
        for (n, want) in want.into_iter().enumerate() {
            // visibility is in the low bits and does not matter
            assert_eq!(local_entry((n as u8) << 5 | 2), want);
        }
        let view = |value, other| FunctionView { other, ..fixtures::view(&[], value) };
        assert_eq!(padding(&view(8, LOCAL_8)), 8);
        assert_eq!(padding(&view(0, LOCAL_8)), 0);
        assert_eq!(padding(&view(8, 0)), 0);
        assert_eq!(padding(&view(16, LOCAL_8)), 0);
    }

    #[test]
    fn mcount_call() {
        // a leaf: one entry point
        let leaf = Case {
            words: &[MFLR, BL],
            value: 0,
            other: 0,
            pfe: false,
            relocs: &[(4, REL24, "_mcount"), (40, REL24, "g")],
        };
        assert_eq!(run(leaf), (true, Ok(4)));
        // -mcmodel=large, older compiler with a store before the call
        let large = Case {
            words: &[[0; 4], [0; 4], LD_R2, ADD_R2, MFLR, [0x10, 0, 1, 0xf8], BL],
            value: 8,
            other: LOCAL_8,
            pfe: false,
            relocs: &[
                (0, e::R_PPC64_REL64.0, ".TOC."),
                (8, ENTRY, ""),
                (24, REL24, "_mcount"),
                (36, REL24, "g"),
            ],
        };
        assert_eq!(run(large), (true, Ok(24)));
    }

    #[test]
    fn missing_mcount_call() {
        let want = (false, Err("unexpected missing call to _mcount()".to_owned()));
        let lists: [&[(u64, u32, &str)]; 4] = [
            &[],
            &[(4, REL24, "g")],
            // behind the prologue (no -mprofile-kernel), or the next function's
            &[(0x14, REL24, "_mcount")],
            &[(6, REL24, "_mcount")],
        ];
        for relocs in lists {
            let case = Case { words: &[MFLR, BL], value: 0, other: 0, pfe: false, relocs };
            assert_eq!(run(case), want);
        }
    }

    #[test]
    fn patchable_entries() {
        let case = |words, value, other| run(Case { words, value, other, pfe: true, relocs: &[] });
        let good = [[0; 4], [0; 4], LD_R2, ADD_R2, NOP, NOP, MFLR];
        assert_eq!(case(&good, 8, LOCAL_8), (true, Ok(16)));
        assert_eq!(case(&[NOP, NOP, MFLR], 0, 0), (true, Ok(0)));
        let bad = (true, Err("f: unexpected instruction in patch section of function".to_owned()));
        // gcc before 13.1: the NOPs are at the global entry
        let early = [[0; 4], [0; 4], NOP, NOP, LD_R2, ADD_R2, MFLR];
        assert_eq!(case(&early, 8, 4 << 5), bad);
        assert_eq!(case(&[NOP], 4, 0), bad);
        assert_eq!(case(&[NOP], u64::MAX, LOCAL_8), bad);
        let call_ops = [NOP, NOP, LD_R2, ADD_R2, NOP, NOP, MFLR];
        let want = Err("f: NOPs before the function are not supported".to_owned());
        assert_eq!(case(&call_ops, 8, LOCAL_8), (true, want));
    }

    #[test]
    fn hooks() {
        assert!(ARCH.is_toc(50) && ARCH.is_toc(64) && !ARCH.is_toc(47));
        assert!((ARCH.is_function_pointer)(50, 0));
        assert!((ARCH.is_function_pointer)(64, 0));
        assert!(!(ARCH.is_function_pointer)(64, 8));
        assert!(!(ARCH.is_function_pointer)(38, 0));
        for kind in [118, 250, 252] {
            assert!(never_klp(kind, ".text.f") && never_klp(kind, "__jump_table"));
        }
        assert!(never_klp(44, ".text.f"));
        assert!(!never_klp(44, "__jump_table"));
        assert!(!never_klp(10, ".text.f"));
        assert_eq!(ARCH.sibling_call, Some(u32::from_le_bytes([0, 0, 0, 0x48])));
        assert_eq!((ARCH.site_table)(false), SiteTable::McountLoc);
        assert_eq!((ARCH.site_table)(true), SiteTable::PatchableEntries);
    }
}
