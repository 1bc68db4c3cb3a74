//! What PowerPC64 instructions do to registers.
//!
//! Source: Power ISA, book I, "Fixed-Point Facility" and the appendix of opcodes. Of forms in
//! which the target may be either field, both count as read and written. Arguments: ELF V2 ABI,
//! "Parameter Passing in Registers".

use super::super::{Addresses, Arguments, Does, Effect, Immediate, Place, word_at};
use crate::arch::effect::registers;

/// r3 to r10; r14 to r31 are preserved.
pub(super) const ARGUMENTS: Arguments = Arguments {
    registers: &[3, 4, 5, 6, 7, 8, 9, 10],
    stack: None,
    preserved: 0xffff_c000,
    addresses: Addresses::Unread,
};

const NOP: u32 = 0x6000_0000;

/// Extended opcodes of primary opcode 31 whose target is RA: and, andc, nor, eqv, xor, orc, or,
/// nand, slw, sld, srw, srd, sraw, srad, srawi, sradi, cntlzw, cntlzd, extsb, extsh, extsw.
const TO_RA: [u32; 22] = [
    28, 60, 124, 284, 316, 412, 444, 476, 24, 27, 536, 539, 792, 794, 824, 826, 827, 26, 58, 954,
    922, 986,
];
/// Those whose target is RT: add, addc, adde, addze, subf, subfc, subfe, neg, mullw, mulld, and
/// ldx, lwzx, lbzx, lhzx, lhax, lwax.
const TO_RT: [u32; 16] = [266, 10, 138, 202, 40, 8, 136, 104, 235, 233, 21, 23, 87, 279, 343, 341];
/// Those that write no register: stdx, stwx, stbx, sthx, cmp, cmpl.
const TO_NONE: [u32; 6] = [149, 151, 215, 407, 0, 32];
/// The link register as a special one; its halves are swapped in the instruction.
const LINK: u32 = 8 << 16;

pub(super) fn effect(code: &[u8], at: u64) -> Option<Effect> {
    let word = word_at(code, at)?;
    let (rt, ra, rb) = (word >> 21 & 31, word >> 16 & 31, word >> 11 & 31);
    let set = |n: u32| registers(&[n as u8]);
    // Where RA is 0 there is no base; that it is said to be read does no harm.
    let plain = |reads, writes| Some(Effect::new(4, reads, writes));
    match word >> 26 {
        14 if ra == 0 => plain(0, set(rt)).map(|e| e.does(constant(word, rt))),
        14 => plain(set(ra), set(rt)).map(|e| e.does(Does::Lower(rt as u8, ra as u8))),
        15 => plain(set(ra), set(rt)).map(|e| e.does(Does::Upper(rt as u8))),
        _ if word == NOP => plain(0, 0),
        // ori, oris, xori, xoris, andi., andis.
        24..=29 => plain(set(rt), set(ra)),
        // rlwimi, rlwinm, rlwnm, and those of doublewords
        20 | 21 | 23 | 30 => plain(set(rt) | set(ra) | set(rb), set(ra)),
        // mulli, subfic, addic, addic.
        7 | 8 | 12 | 13 => plain(set(ra), set(rt)),
        // cmpli, cmpi
        10 | 11 => plain(set(ra), 0),
        // lwz, lbz, lhz, lha; the same with update
        32 | 34 | 40 | 42 => plain(set(ra), set(rt)),
        33 | 35 | 41 | 43 => plain(set(ra), set(rt) | set(ra)),
        // stw, stb, sth; the same with update
        36 | 38 | 44 => plain(set(rt) | set(ra), 0),
        37 | 39 | 45 => plain(set(rt) | set(ra), set(ra)),
        58 => match word & 3 {
            0 => plain(set(ra), set(rt)).map(|e| e.does(Does::Slot(rt as u8, ra as u8))),
            1 => plain(set(ra), set(rt) | set(ra)),
            2 => plain(set(ra), set(rt)),
            _ => None,
        },
        62 => match word & 3 {
            0 => plain(set(rt) | set(ra), 0),
            1 => plain(set(rt) | set(ra), set(ra)),
            _ => None,
        },
        31 => by_registers(word),
        // b, bl; bc
        18 if word & 2 == 0 => {
            let does = if word & 1 == 1 { Does::Call } else { Does::Jump };
            plain(0, 0).map(|e| e.does(does))
        }
        // bcctr
        19 if word >> 1 & 0x3ff == 528 && word & 1 == 0 => {
            plain(u64::MAX, u64::MAX).map(|e| e.does(Does::Anywhere))
        }
        16 if word & 1 == 0 => plain(0, 0).map(|e| e.does(Does::Branch)),
        _ => None,
    }
}

/// `li`.
fn constant(word: u32, register: u32) -> Does {
    let value = i64::from((word & 0xffff) as u16 as i16);
    Does::Constant {
        place: Place::Register(register as u8),
        immediate: Immediate::bytes(0, 2, value),
        address: false,
    }
}

fn by_registers(word: u32) -> Option<Effect> {
    let (rt, ra, rb) = (word >> 21 & 31, word >> 16 & 31, word >> 11 & 31);
    let set = |n: u32| registers(&[n as u8]);
    let all = set(rt) | set(ra) | set(rb);
    match word >> 1 & 0x3ff {
        // mr
        444 if rt == rb && word & 1 == 0 => {
            Some(Effect::new(4, set(rt), set(ra)).does(Does::Copy(ra as u8, rt as u8)))
        }
        code if TO_RA.contains(&code) => Some(Effect::new(4, set(rt) | set(rb), set(ra))),
        code if TO_RT.contains(&code) => Some(Effect::new(4, set(ra) | set(rb), set(rt))),
        code if TO_NONE.contains(&code) => Some(Effect::new(4, all, 0)),
        // isel
        code if code & 31 == 15 => Some(Effect::new(4, set(ra) | set(rb), set(rt))),
        // mflr, mtlr
        339 if word & 0x1f_f800 == LINK => Some(Effect::new(4, 0, set(rt))),
        467 if word & 0x1f_f800 == LINK => Some(Effect::new(4, set(rt), 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(word: u32) -> Option<Effect> {
        effect(&word.to_le_bytes(), 0)
    }

    #[test]
    fn constants_and_addresses() {
        let does = |word| of(word).unwrap().does;
        // li r5,1234; li r5,-2
        for (word, wanted) in [(0x38a0_04d2, 1234), (0x38a0_fffe, -2)] {
            let Does::Constant { place, immediate, address } = does(word) else { panic!() };
            assert_eq!((place, immediate.value, address), (Place::Register(5), wanted, false));
            let mut code = word.to_le_bytes();
            immediate.clear(&mut code);
            assert_eq!(u32::from_le_bytes(code), 0x38a0_0000);
        }
        // addis r9,r2,0; addi r4,r9,0; ld r4,0(r9); mr r3,r28
        assert_eq!(does(0x3d22_0000), Does::Upper(9));
        assert_eq!(does(0x3889_0000), Does::Lower(4, 9));
        assert_eq!(does(0xe889_0000), Does::Slot(4, 9));
        assert_eq!(does(0x7f83_e378), Does::Copy(3, 28));
    }

    #[test]
    fn uses() {
        for (word, reads, writes) in [
            // ori r5,r5,1; stw r5,8(r1); lwz r5,8(r1); std r5,8(r1); stdu r1,-112(r1)
            (0x60a5_0001_u32, 1 << 5, 1 << 5),
            (0x90a1_0008, 1 << 5 | 1 << 1, 0),
            (0x80a1_0008, 1 << 1, 1 << 5),
            (0xf8a1_0008, 1 << 5 | 1 << 1, 0),
            (0xf821_ff91, 1 << 1, 1 << 1),
            // add r3,r4,r5; cmpwi r5,3; extsw r6,r5; mtlr r0; rldicl r4,r5,0,32
            (0x7c64_2a14, 1 << 4 | 1 << 5, 1 << 3),
            (0x2c05_0003, 1 << 5, 0),
            (0x7ca6_07b4, 1 << 5, 1 << 6),
            (0x7c08_03a6, 1, 0),
            (0x78a4_0020, 1 << 5, 1 << 4),
        ] {
            let found = of(word).unwrap();
            assert_eq!(found.reads & reads, reads, "{word:#x}");
            assert_eq!(found.writes & writes, writes, "{word:#x}");
        }
        assert_eq!(of(NOP), Some(Effect::new(4, 0, 0)));
    }

    #[test]
    fn flow_and_what_is_not_known() {
        assert_eq!(of(0x4800_0001).unwrap().does, Does::Call);
        assert_eq!(of(0x4800_0000).unwrap().does, Does::Jump);
        assert_eq!(of(0x4182_0008).unwrap().does, Does::Branch);
        // bctr
        assert_eq!(of(0x4e80_0420).unwrap().does, Does::Anywhere);
        // blr, bctrl, ba, sc, twui, mtctr, mtspr of another, mtmsrd, lfd, prefix
        for word in [
            0x4e80_0020,
            0x4e80_0421,
            0x4800_0002,
            0x4400_0002,
            0x0fe0_0000,
            0x7ca9_03a6,
            0x7cb0_43a6,
            0x7ca0_0164,
            0xc8a1_0008,
            0x0610_0000,
        ] {
            assert_eq!(of(word), None, "{word:#x}");
        }
    }
}
