//! What AArch64 instructions do to registers.
//!
//! Source: Arm ARM, "A64 instruction set encoding": whole groups are read, with all registers
//! that the fields of the group may name. Register 31 is the zero register or the stack pointer,
//! neither of which holds an argument. Arguments: "Procedure Call Standard for the Arm 64-bit
//! Architecture" (AAPCS64).

use super::super::{Addresses, Arguments, Does, Effect, Immediate, Place, word_at};
use crate::arch::effect::registers;

/// X0 to X7; X19 to X28 are preserved.
pub(super) const ARGUMENTS: Arguments = Arguments {
    registers: &[0, 1, 2, 3, 4, 5, 6, 7],
    stack: None,
    preserved: 0x1ff8_0000,
    addresses: Addresses::Words,
};

/// `mov Xd, Xm`: ORR of the zero register.
const MOV: u32 = 0xaa00_03e0;
/// NOP, and `bti` with and without its kinds.
const HINTS: [u32; 5] = [0xd503_201f, 0xd503_241f, 0xd503_245f, 0xd503_249f, 0xd503_24df];

pub(super) fn effect(code: &[u8], at: u64) -> Option<Effect> {
    let word = word_at(code, at)?;
    match word >> 25 & 0xf {
        0b1000 | 0b1001 => immediate(word),
        0b1010 | 0b1011 => flow(word),
        0b0100 | 0b0110 | 0b1100 | 0b1110 => memory(word),
        0b0101 | 0b1101 => Some(by_registers(word)),
        _ => None,
    }
}

/// The register in the five bits from `low`, as a set.
fn field(word: u32, low: u32) -> u64 {
    match word >> low & 31 {
        31 => 0,
        n => registers(&[n as u8]),
    }
}

/// "Data Processing -- Immediate".
fn immediate(word: u32) -> Option<Effect> {
    let (rd, rn, rm) = (field(word, 0), field(word, 5), field(word, 16));
    let number = (word & 31) as u8;
    let base = (word >> 5 & 31) as u8;
    let plain = |reads| Some(Effect::new(4, reads, rd));
    match word >> 23 & 7 {
        0 | 1 if number == 31 => plain(0),
        // ADRP, ADR
        0 | 1 if word >> 31 == 1 => plain(0).map(|e| e.does(Does::Upper(number))),
        0 | 1 => plain(0).map(|e| e.does(Does::Address(number))),
        // ADD, 64 bits, without shift
        2 if word >> 22 == 0x244 && number != 31 && base != 31 => {
            plain(rn).map(|e| e.does(Does::Lower(number, base)))
        }
        2 | 4 => plain(rn),
        5 => match word >> 29 & 3 {
            // MOVZ without shift
            2 if word >> 21 & 3 == 0 && number != 31 => {
                let immediate = Immediate {
                    at: 0,
                    width: 4,
                    mask: 0x001f_ffe0_u32.to_le_bytes(),
                    value: i64::from(word >> 5 & 0xffff),
                };
                let place = Place::Register(number);
                plain(0).map(|e| e.does(Does::Constant { place, immediate, address: false }))
            }
            0 | 2 => plain(0),
            // MOVK
            3 => plain(rd),
            _ => None,
        },
        // BFM keeps part of what was there; EXTR
        6 => plain(rd | rn),
        7 => plain(rn | rm),
        _ => None,
    }
}

/// "Branches, Exception Generating and System instructions".
fn flow(word: u32) -> Option<Effect> {
    let of = |does| Some(Effect::new(4, 0, 0).does(does));
    match word >> 24 {
        0x94..=0x97 => of(Does::Call),
        0x14..=0x17 => of(Does::Jump),
        // B.cond, CBZ, CBNZ, TBZ, TBNZ
        0x54 | 0x34..=0x37 | 0xb4..=0xb7 => of(Does::Branch),
        // BR, BRAA and its like
        0xd6 | 0xd7 if word >> 21 & 7 == 0 => {
            Some(Effect::new(4, u64::MAX, u64::MAX).does(Does::Anywhere))
        }
        _ if HINTS.contains(&word) => of(Does::Other),
        _ => None,
    }
}

/// "Loads and Stores" of general registers.
fn memory(word: u32) -> Option<Effect> {
    let (rt, rn, rm) = (field(word, 0), field(word, 5), field(word, 16));
    let second = field(word, 10);
    // SIMD and floating point
    if word >> 26 & 1 == 1 {
        return None;
    }
    match word >> 28 & 3 {
        // Exclusive and ordered ones, compare and swap: any register named may be either.
        0 if word >> 24 & 1 == 0 => Some(Effect::new(4, rt | rn | rm | second, rt | rm | second)),
        // LDR of a literal
        1 if word >> 24 & 1 == 0 => Some(Effect::new(4, 0, rt)),
        // LDP, STP; without an index the base stays
        2 => {
            let loads = word >> 22 & 1 == 1;
            let base = if word >> 23 & 1 == 1 { rn } else { 0 };
            let (reads, writes) = if loads { (0, rt | second) } else { (rt | second, 0) };
            Some(Effect::new(4, reads | rn, writes | base))
        }
        3 => single(word),
        _ => None,
    }
}

/// Loads and stores of one register.
fn single(word: u32) -> Option<Effect> {
    let (rt, rn, rm) = (field(word, 0), field(word, 5), field(word, 16));
    let (reads, writes) = match (word >> 30, word >> 22 & 3) {
        (_, 0) => (rt, 0),
        // PRFM
        (3, 2) => (0, 0),
        _ => (0, rt),
    };
    if word >> 24 & 1 == 1 {
        return Some(Effect::new(4, reads | rn, writes));
    }
    match (word >> 21 & 1, word >> 10 & 3) {
        // Unscaled and unprivileged
        (0, 0 | 2) => Some(Effect::new(4, reads | rn, writes)),
        // Before and behind it the base moves.
        (0, _) => Some(Effect::new(4, reads | rn, writes | rn)),
        // A register is added to the base.
        (_, 2) => Some(Effect::new(4, reads | rn | rm, writes)),
        // Atomic ones
        (_, 0) => Some(Effect::new(4, rt | rn | rm, rt | rm)),
        _ => None,
    }
}

/// "Data Processing -- Register".
fn by_registers(word: u32) -> Effect {
    let (rd, rn, rm) = (field(word, 0), field(word, 5), field(word, 16));
    let (number, from) = ((word & 31) as u8, (word >> 16 & 31) as u8);
    if word & 0xffe0_ffe0 == MOV && number != 31 && from != 31 {
        return Effect::new(4, rm, rd).does(Does::Copy(number, from));
    }
    // Three sources: MADD and its like.
    let third = if word >> 28 & 1 == 1 && word >> 24 & 1 == 1 { field(word, 10) } else { 0 };
    Effect::new(4, rn | rm | third, rd)
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
        // mov w2, #1234
        let Does::Constant { place, immediate, address } = does(0x5280_9a42) else { panic!() };
        assert_eq!((place, immediate.value, address), (Place::Register(2), 1234, false));
        let mut code = 0x5280_9a42_u32.to_le_bytes();
        immediate.clear(&mut code);
        assert_eq!(u32::from_le_bytes(code), 0x5280_0002);
        // adrp x1; add x1, x1, #0; adr x1; mov x1, x19
        assert_eq!(does(0x9000_0001), Does::Upper(1));
        assert_eq!(does(0x9100_0021), Does::Lower(1, 1));
        assert_eq!(does(0x1000_0001), Does::Address(1));
        assert_eq!(does(0xaa13_03e1), Does::Copy(1, 19));
        // mov w2, #0x10000; mov w2, #-2; movk w2, #1; add w1, w1, #0; mov w1, w19
        for word in [0x52a0_0022, 0x1280_0022, 0x7280_0022, 0x1100_0021, 0x2a13_03e1] {
            assert_eq!(does(word), Does::Other, "{word:#x}");
        }
        assert_eq!(of(0x7280_0022).unwrap().reads, 1 << 2);
    }

    #[test]
    fn uses() {
        for (word, reads, writes) in [
            // add x0, x1, x2; cmp w2, #5; csel w0, w1, w2, eq; madd x0, x1, x2, x3
            (0x8b02_0020_u32, 0b110, 1),
            (0x7100_145f, 0b100, 0),
            (0x1a82_0020, 0b110, 1),
            (0x9b02_0c20, 0b1110, 1),
            // str w2, [x0]; ldr w2, [x0]; stp x1, x2, [sp, #-16]!; ldp x1, x2, [x3], #16
            (0xb900_0002, 0b101, 0),
            (0xb940_0002, 1, 0b100),
            (0xa9bf_0be1, 0b110, 0),
            (0xa8c1_0861, 0b1000, 0b1110),
            // ldrb w2, [x0, x1]; ldadd w1, w2, [x0]; ldxr w2, [x0]; bfi w2, w1, #0, #8
            (0x3861_6802, 0b11, 0b100),
            (0xb821_0002, 0b111, 0b110),
            (0x885f_7c02, 0b101, 0b100),
            (0x3300_1c22, 0b110, 0b100),
        ] {
            let found = of(word).unwrap();
            assert_eq!(found.reads & reads, reads, "{word:#x}");
            assert_eq!(found.writes & writes, writes, "{word:#x}");
        }
    }

    #[test]
    fn flow_and_what_is_not_known() {
        assert_eq!(of(0x9400_0000).unwrap().does, Does::Call);
        assert_eq!(of(0x1400_0000).unwrap().does, Does::Jump);
        for word in [0x5400_0040, 0x3400_0040, 0x3600_0040] {
            assert_eq!(of(word).unwrap().does, Does::Branch, "{word:#x}");
        }
        assert_eq!(of(0xd503_201f).unwrap().does, Does::Other);
        // br x1, braa x1, x2
        for word in [0xd61f_0020, 0xd71f_0822] {
            assert_eq!(of(word).unwrap().does, Does::Anywhere, "{word:#x}");
        }
        // ret, blr x1, svc, brk, msr, mrs, ldr d0, add v0, half an instruction
        for word in [
            0xd65f_03c0,
            0xd63f_0020,
            0xd400_0001,
            0xd421_0000,
            0xd518_4000,
            0xd538_4000,
            0xfd40_0000,
            0x4ea2_8420,
        ] {
            assert_eq!(of(word), None, "{word:#x}");
        }
        assert_eq!(effect(&[0, 0], 0), None);
    }
}
