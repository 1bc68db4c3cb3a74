//! s390x (z/Architecture, big endian).
//!
//! Sources: "ELF Application Binary Interface, s390x Supplement" for relocations; "z/Architecture
//! Principles of Operation" for the encodings; Linux arch/s390/Makefile,
//! arch/s390/kernel/ftrace.c and arch/s390/include/asm/nospec-insn.h for the rest.
//!
//! * Relocations: the supplement's table "Relocation types"; 250 and 251 are the C++ vtable
//!   markers of binutils. A 12-bit field shares its two bytes with the base register; a 20-bit
//!   field (`DL` and `DH` of a long displacement) shares the first of its three.
//!   The dynamic types are left out.
//! * `...DBL` and `...ENT` count halfwords from the start of the instruction, whose field lies
//!   two bytes further (one and three in `bprp`, the only user of the 12- and 24-bit forms), so
//!   their addends are that much too big: [`Bias::InstructionStart`]. In `bpp` a 16-bit field lies
//!   four bytes further and the type does not tell; compilers do not emit it.
//! * The top two bits of the first byte give the instruction's length: 00 is two bytes, 01 and
//!   10 are four, 11 is six.
//! * ftrace entry: `-mhotpatch=0,3`, and `-pg -mfentry -mnop-mcount -mrecord-mcount`, put the
//!   six-byte NOP `brcl 0,.` (jgnop, `c0 04 00 00 00 00`) at the start of the function. ftrace
//!   finds it through `__mcount_loc`, which the kernel's own tool or the compiler fills.
//! * The address of a function is loaded through the GOT (R_390_GOTENT) in the -fPIE code that
//!   kernels are built of before 6.10.
//! * `__s390_indirect_jump_r...` are expoline thunks, of which each object has its own.

use object::elf as e;

use super::{
    Arch, Bias, Distance, EntryRelocs, FtraceSite, FunctionView, Reach, RelocType, Short,
    SiteTable, bytes_at, word_of_field,
};
use crate::elf::abi;

mod effects;

/// s390x.
pub(super) static ARCH: Arch = Arch {
    name: "s390x",
    machine: abi::EM_S390,
    big_endian: true,
    abs64: e::R_390_64.0,
    relocs: RELOCS,
    instruction_len,
    instruction_at,
    ends_instruction: None,
    padding_pattern: &[0x07, 0x07],
    padding_bytes: &[],
    never_run: &[],
    bias: Bias::InstructionStart(FROM_INSTRUCTION),
    whole_fields: false,
    call_distance,
    opcode: word_of_field,
    prefix_symbols: &[],
    uses_pfe: true,
    local_labels: false,
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
    has_profiling: |f, _| starts_with_jgnop(f),
    ftrace_site,
    site_table: |object_has_pfe| {
        if object_has_pfe { SiteTable::PatchableEntries } else { SiteTable::McountLoc }
    },
    effect: effects::effect,
    arguments: effects::ARGUMENTS,
    // The addend of a GOT reference selects nothing inside the function.
    is_function_pointer: |kind, _| kind == e::R_390_GOTENT.0,
    never_klp: |_, _| false,
    short: &[Short {
        kinds: &[e::R_390_PC16.0, e::R_390_PC16DBL.0, e::R_390_PLT16DBL.0, PC12DBL, PLT12DBL],
        completed_by: None,
        why: "modules are farther than 64 KiB from the kernel, so it does not load the module",
        flags: "-fno-optimize-sibling-calls, and assembly without short branches",
    }],
    never_klp_symbol: Some("__s390_indirect_jump_r"),
    sibling_call: None,
    reach,
    step: None,
    returns: &[b"\x07\xfe"],
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

const JGNOP: [u8; 6] = [0xc0, 0x04, 0, 0, 0, 0];

const PC12DBL: u32 = 62;
const PLT12DBL: u32 = 63;
const PC24DBL: u32 = 64;
const PLT24DBL: u32 = 65;

static FROM_INSTRUCTION: &[(u32, u8)] = &[
    (e::R_390_PC16DBL.0, 2),
    (e::R_390_PLT16DBL.0, 2),
    (e::R_390_PC32DBL.0, 2),
    (e::R_390_PLT32DBL.0, 2),
    (e::R_390_GOTPCDBL.0, 2),
    (e::R_390_GOTENT.0, 2),
    (e::R_390_GOTPLTENT.0, 2),
    (e::R_390_TLS_IEENT.0, 2),
    (PC12DBL, 1),
    (PLT12DBL, 1),
    (PC24DBL, 3),
    (PLT24DBL, 3),
];

static RELOCS: &[RelocType] = relocs! {
    R_390_NONE None 0;
    R_390_8 Absolute 1;
    R_390_12 Absolute 2;
    R_390_16 Absolute 2;
    R_390_32 Absolute 4;
    R_390_PC32 PcRelative 4;
    R_390_GOT12 Got 2;
    R_390_GOT32 Got 4;
    R_390_PLT32 PcRelative 4;
    R_390_GOTOFF32 Got 4;
    R_390_GOTPC Got 4;
    R_390_GOT16 Got 2;
    R_390_PC16 PcRelative 2;
    R_390_PC16DBL PcRelative 2;
    R_390_PLT16DBL PcRelative 2;
    R_390_PC32DBL PcRelative 4;
    R_390_PLT32DBL PcRelative 4;
    R_390_GOTPCDBL Got 4;
    R_390_64 Absolute 8;
    R_390_PC64 PcRelative 8;
    R_390_GOT64 Got 8;
    R_390_PLT64 PcRelative 8;
    R_390_GOTENT Got 4;
    R_390_GOTOFF16 Got 2;
    R_390_GOTOFF64 Got 8;
    R_390_GOTPLT12 Got 2;
    R_390_GOTPLT16 Got 2;
    R_390_GOTPLT32 Got 4;
    R_390_GOTPLT64 Got 8;
    R_390_GOTPLTENT Got 4;
    R_390_PLTOFF16 Got 2;
    R_390_PLTOFF32 Got 4;
    R_390_PLTOFF64 Got 8;
    R_390_TLS_LOAD Tls 0;
    R_390_TLS_GDCALL Tls 0;
    R_390_TLS_LDCALL Tls 0;
    R_390_TLS_GD32 Tls 4;
    R_390_TLS_GD64 Tls 8;
    R_390_TLS_GOTIE12 Tls 2;
    R_390_TLS_GOTIE32 Tls 4;
    R_390_TLS_GOTIE64 Tls 8;
    R_390_TLS_LDM32 Tls 4;
    R_390_TLS_LDM64 Tls 8;
    R_390_TLS_IE32 Tls 4;
    R_390_TLS_IE64 Tls 8;
    R_390_TLS_IEENT Tls 4;
    R_390_TLS_LE32 Tls 4;
    R_390_TLS_LE64 Tls 8;
    R_390_TLS_LDO32 Tls 4;
    R_390_TLS_LDO64 Tls 8;
    R_390_TLS_DTPOFF Tls 8;
    R_390_20 Absolute 3;
    R_390_GOT20 Got 3;
    R_390_GOTPLT20 Got 3;
    R_390_TLS_GOTIE20 Tls 3;
    R_390_PC12DBL = 62 PcRelative 2;
    R_390_PLT12DBL = 63 PcRelative 2;
    R_390_PC24DBL = 64 PcRelative 3;
    R_390_PLT24DBL = 65 PcRelative 3;
    R_390_GNU_VTINHERIT = 250 None 0;
    R_390_GNU_VTENTRY = 251 None 0;
};

#[expect(clippy::arithmetic_side_effects, reason = "places within code that is in memory")]
fn instruction_at(code: &[u8], from: usize, at: usize) -> Result<(usize, usize), usize> {
    let mut start = from;
    loop {
        let length = code.get(start..).and_then(instruction_len).ok_or(start)?;
        if start + length > at {
            return Ok((start, start + length));
        }
        start += length;
    }
}

fn instruction_len(bytes: &[u8]) -> Option<usize> {
    let len = match bytes.first()? >> 6 {
        0 => 2,
        1 | 2 => 4,
        _ => 6,
    };
    (bytes.len() >= len).then_some(len)
}

fn starts_with_jgnop(f: &FunctionView<'_>) -> bool {
    bytes_at(f.section, f.value, JGNOP.len()) == Some(&JGNOP)
}

fn ftrace_site(f: &FunctionView<'_>, _: EntryRelocs<'_, '_>) -> Result<FtraceSite, String> {
    if starts_with_jgnop(f) {
        Ok(FtraceSite { offset: f.value, rewrite: None })
    } else {
        Err(format!("{}: unexpected instruction at the start of the function", f.name))
    }
}

/// Halfwords, which fill the field.
#[expect(clippy::arithmetic_side_effects, reason = "a field has fewer bits than the number")]
fn call_distance(kind: u32, field: [u8; 4]) -> Option<Distance> {
    let bytes = i64::from(i32::from_be_bytes(field)) * 2;
    let is_known = [e::R_390_PC32DBL.0, e::R_390_PLT32DBL.0].contains(&kind);
    is_known.then_some(Distance { bytes, mask: [0xff; 4] })
}

/// BRCL and BRASL; BRC, BRAS, BRCT.
fn leads(code: &[u8], offset: u64, _: u32) -> bool {
    let before = usize::try_from(offset).ok().and_then(|at| code.get(..at)).unwrap_or(&[]);
    match *before {
        [.., 0xc0, second] => matches!(second & 0xf, 4 | 5),
        [.., 0xa7, second] => matches!(second & 0xf, 4..=7),
        _ => false,
    }
}

#[expect(clippy::arithmetic_side_effects, reason = "a field has fewer bits than the number")]
fn reach(code: &[u8], at: u64) -> Option<(u64, Option<Reach>)> {
    let instruction = code.get(usize::try_from(at).ok()?..)?;
    let len = instruction_len(instruction)? as u64;
    let far = || {
        let halves = i32::from_be_bytes(*instruction.get(2..)?.first_chunk()?);
        Some(at.wrapping_add_signed(2 * i64::from(halves)))
    };
    let near = || {
        let halves = i16::from_be_bytes(*instruction.get(2..)?.first_chunk()?);
        Some(at.wrapping_add_signed(2 * i64::from(halves)))
    };
    let of = |target, width: u8, reloc| {
        let mask = [0, 1, 2, 3].map(|i| if i < width { 0xff } else { 0 });
        Reach { target, field: at + 2, mask, reloc }
    };
    let reach = match *instruction {
        // LARL, BRCL, BRASL.
        [0xc0, second, ..] if second & 0xf == 0 => {
            far().map(|target| of(target, 4, Some((e::R_390_PC32DBL.0, 2))))
        }
        [0xc0, second, ..] if matches!(second & 0xf, 4 | 5) => {
            far().map(|target| of(target, 4, Some((e::R_390_PLT32DBL.0, 2))))
        }
        // Those that load, store, compare and execute.
        [0xc4 | 0xc6, ..] => far().map(|target| of(target, 4, None)),
        // BRC, BRAS, BRCT.
        [0xa7, second, ..] if matches!(second & 0xf, 4..=7) => {
            near().map(|target| of(target, 2, None))
        }
        // Those that compare and branch.
        [0xec, _, _, _, _, 0x44 | 0x45 | 0x64 | 0x65 | 0x76 | 0x77 | 0x7c..=0x7f, ..] => {
            near().map(|target| of(target, 2, None))
        }
        _ => None,
    };
    Some((len, reach))
}

#[cfg(test)]
mod tests {
    use super::super::{RelocClass, fixtures};
    use super::*;

    #[test]
    fn distances_in_instructions() {
        let far = |target, reloc| Reach { target, field: 18, mask: [0xff; 4], reloc: Some(reloc) };
        let near = |target| Reach { target, field: 18, mask: [0xff, 0xff, 0, 0], reloc: None };
        for (bytes, wanted) in [
            // brasl, brcl, larl, exrl, brc, cgij
            (&[0xc0, 0xe5, 0xff, 0xff, 0xff, 0xf8][..], (6, Some(far(0, (20, 2))))),
            (&[0xc0, 0x84, 0, 0, 0, 8], (6, Some(far(32, (20, 2))))),
            (&[0xc0, 0x20, 0, 0, 0, 8], (6, Some(far(32, (19, 2))))),
            (&[0xc6, 0x10, 0, 0, 0, 8], (6, Some(Reach { reloc: None, ..far(32, (0, 0)) }))),
            (&[0xa7, 0x84, 0xff, 0xff], (4, Some(near(14)))),
            (&[0xec, 0x18, 0, 6, 7, 0x7c], (6, Some(near(28)))),
            (&[0x07, 0xfe], (2, None)),
        ] {
            let code = [&[7; 16][..], bytes].concat();
            assert_eq!(reach(&code, 16), Some(wanted), "{bytes:02x?}");
        }
    }

    fn site(section: &[u8], value: u64) -> Result<FtraceSite, String> {
        ftrace_site(&fixtures::view(section, value), &mut fixtures::relocs(&[]))
    }

    #[test]
    fn distances_of_calls() {
        // The field of brasl %r14,.+6
        let wanted = Some(Distance { bytes: 8, mask: [0xff; 4] });
        assert_eq!(call_distance(e::R_390_PLT32DBL.0, [0, 0, 0, 4]), wanted);
        assert_eq!(call_distance(e::R_390_PC32DBL.0, [0, 0, 0, 4]), wanted);
        assert_eq!(call_distance(e::R_390_PC16DBL.0, [0, 0, 0, 4]), None);
    }

    #[test]
    fn table() {
        fixtures::check_table(&ARCH, "R_390_");
        let row = |kind| {
            let r = ARCH.reloc(kind).unwrap();
            (r.name, r.class, r.width)
        };
        assert_eq!(row(5), ("R_390_PC32", RelocClass::PcRelative, 4));
        assert_eq!(row(19), ("R_390_PC32DBL", RelocClass::PcRelative, 4));
        assert_eq!(row(22), ("R_390_64", RelocClass::Absolute, 8));
        assert_eq!(row(26), ("R_390_GOTENT", RelocClass::Got, 4));
        assert_eq!(row(57), ("R_390_20", RelocClass::Absolute, 3));
        assert_eq!(row(62), ("R_390_PC12DBL", RelocClass::PcRelative, 2));
        assert_eq!(row(64), ("R_390_PC24DBL", RelocClass::PcRelative, 3));
        for unknown in [9, 10, 11, 12, 54, 56, 61, 66] {
            assert!(ARCH.reloc(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn bias() {
        let Bias::InstructionStart(list) = ARCH.bias else { panic!("{:?}", ARCH.bias) };
        assert!(list.is_sorted_by(|a, b| a.0 < b.0));
        let names: Vec<_> = list.iter().map(|(kind, _)| ARCH.reloc(*kind).unwrap().name).collect();
        let want: Vec<_> = ARCH
            .relocs
            .iter()
            .map(|r| r.name)
            .filter(|name| name.ends_with("DBL") || name.ends_with("ENT"))
            .collect();
        assert_eq!(names, want);
        assert!(list.contains(&(19, 2)) && list.contains(&(26, 2)) && list.contains(&(64, 3)));
        assert!(list.iter().all(|(kind, _)| ![5, 23].contains(kind)), "PC32 and PC64 are data");
    }

    #[test]
    fn instruction_lengths() {
        let cases: [(&[u8], Option<usize>); 8] = [
            // br %r14
            (&[0x07, 0xfe], Some(2)),
            // la %r1,0(%r2), lghi %r3,1
            (&[0x41, 0x10, 0x20, 0x00], Some(4)),
            (&[0xa7, 0x39, 0x00, 0x01], Some(4)),
            // brasl
            (&[0xc0, 0xe5, 0, 0, 0, 0, 0x07, 0xfe], Some(6)),
            (&[0xc0, 0xe5, 0, 0, 0], None),
            (&[0xa7, 0x39, 0x00], None),
            (&[0x07], None),
            (&[], None),
        ];
        for (bytes, want) in cases {
            assert_eq!(instruction_len(bytes), want, "{bytes:02x?}");
        }
    }

    #[test]
    fn entry() {
        let at = |offset| Ok(FtraceSite { offset, rewrite: None });
        let text = [&[0x07, 0xfe][..], &JGNOP, &[0x07, 0xfe]].concat();
        assert!((ARCH.has_profiling)(&fixtures::view(&text, 2), &mut fixtures::relocs(&[])));
        assert!(!(ARCH.has_profiling)(&fixtures::view(&text, 0), &mut fixtures::relocs(&[])));
        assert_eq!(site(&text, 2), at(2));
        assert_eq!(site(&JGNOP, 0), at(0));
        let want = Err("f: unexpected instruction at the start of the function".to_owned());
        assert_eq!(site(&text, 0), want);
        // brasl %r0: an entry that is still a call
        assert_eq!(site(&[0xc0, 0x05, 0, 0, 0, 0], 0), want);
        assert_eq!(site(&JGNOP[..5], 0), want);
        assert_eq!(site(&JGNOP, u64::MAX), want);
    }

    #[test]
    fn hooks() {
        assert!((ARCH.is_function_pointer)(26, 0));
        assert!(!(ARCH.is_function_pointer)(20, 0));
        assert_eq!((ARCH.site_table)(false), SiteTable::McountLoc);
        assert_eq!((ARCH.site_table)(true), SiteTable::PatchableEntries);
        assert_eq!(ARCH.never_klp_symbol, Some("__s390_indirect_jump_r"));
    }
}
