//! The numbers that instructions add to registers, on machines whose compilers count from one
//! address to several variables.
//!
//! Sources: Power ISA book I, 1.6 (D and DS forms); Arm ARM, C4.1 (loads and stores, data
//! processing with an immediate); z/Architecture Principles of Operation, chapter 5.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of an instruction's fields, which have fewer bits, and places within its bytes"
)]

use super::{Arch, aarch64, powerpc64, s390x, signed, word_at};

/// What the instruction at byte `at` may add to the address in a register that is not the stack
/// pointer. `None` when it adds nothing, and on machines where this is not read. It may be a
/// number that is no distance, never the other way round.
pub fn displacement(arch: &Arch, code: &[u8], at: u64) -> Option<i64> {
    match arch.machine {
        m if m == powerpc64::ARCH.machine => of_powerpc64(word_at(code, at)?),
        m if m == aarch64::ARCH.machine => of_aarch64(word_at(code, at)?),
        m if m == s390x::ARCH.machine => of_s390x(code.get(usize::try_from(at).ok()?..)?),
        _ => None,
    }
}

/// ADDI, ADDIS; loads and stores with a displacement. Register 0 stands for no register.
fn of_powerpc64(word: u32) -> Option<i64> {
    let base = word >> 16 & 31;
    let low = match word >> 26 {
        // ADDIS: the upper part of a number.
        15 => return Some(i64::from(word & 0xffff) << 16),
        14 | 32..=55 => word & 0xffff,
        58 | 62 => word & 0xfffc,
        _ => return None,
    };
    (base > 1).then(|| signed(low, 16))
}

/// ADD of an immediate, MOVZ, loads and stores.
fn of_aarch64(word: u32) -> Option<i64> {
    let of_stack = word >> 5 & 31 == 31;
    let number = if word & 0x7f80_0000 == 0x5280_0000 {
        // Smaller ones fit into the instruction that uses them.
        let number = i64::from(word >> 5 & 0xffff) << (16 * (word >> 21 & 3));
        return Some(number).filter(|&number| number >= 1 << 12);
    } else if word & 0x7f80_0000 == 0x1100_0000 {
        i64::from(word >> 10 & 0xfff) << (12 * (word >> 22 & 1))
    } else if word & 0x3b00_0000 == 0x3900_0000 {
        let wide = word & 0x0480_0000 == 0x0480_0000;
        i64::from(word >> 10 & 0xfff) << if wide { 4 } else { word >> 30 }
    } else if word & 0x3b20_0000 == 0x3800_0000 {
        signed(word >> 12 & 0x1ff, 9)
    } else if word & 0x3a00_0000 == 0x2800_0000 {
        // Pairs of up to 16 bytes each.
        signed(word >> 15 & 0x7f, 7) << 4
    } else {
        return None;
    };
    (!of_stack).then_some(number)
}

/// A base and a displacement are in bytes 2 and 3, the rest of a long one in byte 4; AHI and
/// AGHI, and those with four bytes, have a number there.
fn of_s390x(code: &[u8]) -> Option<i64> {
    let (&first, &second) = (code.first()?, code.get(1)?);
    let half = u16::from_be_bytes([*code.get(2)?, *code.get(3)?]);
    if first == 0xa7 {
        let number = i64::from(half.cast_signed());
        return matches!(second & 15, 10 | 11).then_some(number);
    }
    if first == 0xc2 || first == 0xec {
        let low = u16::from_be_bytes([*code.get(4)?, *code.get(5)?]);
        let far = i64::from(u32::from(half) << 16 | u32::from(low));
        return Some(if first == 0xc2 { far } else { i64::from(half.cast_signed()) });
    }
    let base = half >> 12;
    let low = u32::from(half & 0xfff);
    let number = match first {
        0x40..=0x9f | 0xd0..=0xdf | 0xe5 | 0xed => i64::from(low),
        0xe3 | 0xeb => signed(u32::from(*code.get(4)?) << 12 | low, 20),
        _ => return None,
    };
    (base != 0 && base != 15).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let arm = |word: u32| displacement(&aarch64::ARCH, &word.to_le_bytes(), 0);
        // ldrb w0, [x1, #1407]; ldr w3, [sp, #8]; str w2, [x1, #192]; add x2, x1, #160
        assert_eq!(arm(0x3955_fc20), Some(1407));
        assert_eq!(arm(0xb940_0be3), None);
        assert_eq!(arm(0xb900_c022), Some(192));
        assert_eq!(arm(0x9102_8022), Some(160));
        // mov w0, #4; ret
        assert_eq!(arm(0x5280_0080), None);
        assert_eq!(arm(0xd65f_03c0), None);
        let power = |word: u32| displacement(&powerpc64::ARCH, &word.to_le_bytes(), 0);
        // lwz r3, 160(r8); std r0, 16(r1); ld r0, 16(r9); li r3, 4
        assert_eq!(power(0x8068_00a0), Some(160));
        assert_eq!(power(0xf801_0010), None);
        assert_eq!(power(0xe809_0010), Some(16));
        assert_eq!(power(0x3860_0004), None);
        // l %r2, 152(%r11, %r1); asi 184(%r1), 1; lg %r1, 8(%r15); br %r14
        assert_eq!(of_s390x(&[0x58, 0x2b, 0x10, 0x98]), Some(152));
        assert_eq!(of_s390x(&[0xeb, 0x01, 0x10, 0xb8, 0x00, 0x6a]), Some(184));
        assert_eq!(of_s390x(&[0xe3, 0x10, 0xf0, 0x08, 0x00, 0x04]), None);
        assert_eq!(of_s390x(&[0x07, 0xfe]), None);
    }
}
