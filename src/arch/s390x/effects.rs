//! What s390x instructions do to registers.
//!
//! Source: "z/Architecture Principles of Operation", appendix B (lists of instructions by
//! opcode). Of an instruction that writes only part of a register, the register counts as read,
//! too. Register 0 as a base or index means none; that it is said to be read does no harm.
//! Arguments: s390x supplement, "Parameter Passing".

#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of an instruction's fields, which have fewer bits, and places within its bytes"
)]

use super::super::{Addresses, Arguments, Does, Effect, Immediate, Place, Stack};
use super::instruction_len;
use crate::arch::effect::registers;

/// r2 to r6; r6 to r13 are preserved. Arguments on the stack are behind the register save area.
pub(super) const ARGUMENTS: Arguments = Arguments {
    registers: &[2, 3, 4, 5, 6],
    stack: Some(160),
    preserved: 0x3fc0,
    addresses: Addresses::Unread,
};

/// The stack pointer.
const SP: u8 = 15;

/// Holds the return address.
const RETURN: u8 = 14;

/// A jump to where a register says.
fn anywhere(f: &Fields<'_>) -> Option<Effect> {
    Some(Effect::new(f.len, u64::MAX, u64::MAX).does(Does::Anywhere))
}

/// The fields of one instruction.
struct Fields<'c> {
    code: &'c [u8],
    /// The four bits behind the first opcode byte, and the next four.
    r1: u8,
    r2: u8,
    /// The base of the first address, or the third register.
    base: u8,
    len: u64,
}

pub(super) fn effect(code: &[u8], at: u64) -> Option<Effect> {
    let code = code.get(usize::try_from(at).ok()?..)?;
    let code = code.get(..instruction_len(code)?)?;
    let byte = |i: usize| code.get(i).copied().unwrap_or(0);
    let (r1, r2, base) = (byte(1) >> 4, byte(1) & 15, byte(2) >> 4);
    let fields = Fields { code, r1, r2, base, len: code.len() as u64 };
    let found = match byte(0) {
        0xa5 | 0xa7 | 0xc0 | 0xc2 | 0xc4 => by_immediate(&fields),
        0xb9 => by_registers(byte(1), byte(3) >> 4, byte(3) & 15, base),
        0xe3 => indexed_long(&fields),
        0xeb => pair(&fields),
        0xec => fused(&fields),
        0xe5 => storage_immediate(&fields),
        _ => short(&fields),
    }?;
    // Whatever changes the stack pointer, or adds to it what is not known, hides the stack.
    let hides = found.writes & registers(&[SP]) != 0;
    let stack = if hides { Stack::Unknown } else { found.stack };
    Some(Effect { stack, ..found })
}

impl Fields<'_> {
    fn byte(&self, i: usize) -> u8 {
        self.code.get(i).copied().unwrap_or(0)
    }

    fn plain(&self, reads: &[u8], writes: &[u8]) -> Option<Effect> {
        Some(Effect::new(self.len, registers(reads), registers(writes)))
    }

    /// The displacement of the first address; long ones have their high byte behind the low part.
    fn displacement(&self, long: bool) -> i64 {
        let low = i64::from(self.byte(2) & 15) << 8 | i64::from(self.byte(3));
        if long { i64::from(self.byte(4).cast_signed()) << 12 | low } else { low }
    }

    /// An instruction that reads or writes `bytes` at base and displacement, with an index.
    fn memory(&self, effect: Option<Effect>, index: u8, long: bool, bytes: i64) -> Option<Effect> {
        let from = self.displacement(long);
        let stack = match (self.base, index) {
            (SP, 0) => Stack::Touched(from, from + bytes),
            (SP, _) | (_, SP) => Stack::Unknown,
            _ => Stack::Untouched,
        };
        effect.map(|e| Effect { stack, ..e })
    }

    fn constant(&self, place: Place, immediate: Immediate) -> Option<Effect> {
        let writes = match place {
            Place::Register(r) => registers(&[r]),
            Place::Stack(_) => 0,
        };
        let does = Does::Constant { place, immediate, address: false };
        Some(Effect::new(self.len, 0, writes).does(does))
    }

    fn half(&self, at: usize) -> Option<u16> {
        self.code.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.code.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
    }
}

/// RR, RX and SI, and the SS that copy and compare.
fn short(f: &Fields<'_>) -> Option<Effect> {
    let (r1, r2, base) = (f.r1, f.r2, f.base);
    match f.byte(0) {
        // BCR that never branches
        0x07 if r1 == 0 || r2 == 0 => f.plain(&[], &[]),
        // BCR but for a return, and BC
        0x07 if r2 != RETURN => anywhere(f),
        0x47 if r1 == 0 => f.plain(&[], &[]),
        0x47 => anywhere(f),
        // LR, LTR: the upper half stays
        0x18 | 0x12 | 0x1a | 0x1b | 0x14 | 0x16 | 0x17 => f.plain(&[r1, r2], &[r1]),
        // CR, CLR
        0x19 | 0x15 => f.plain(&[r1, r2], &[]),
        // LA
        0x41 => {
            let hides = base == SP || r2 == SP;
            let stack = if hides { Stack::Unknown } else { Stack::Untouched };
            f.plain(&[r2, base], &[r1]).map(|e| Effect { stack, ..e })
        }
        // L, LH, IC, N, O, X, A, S
        0x58 | 0x48 | 0x43 | 0x54 | 0x56 | 0x57 | 0x5a | 0x5b => {
            f.memory(f.plain(&[r1, r2, base], &[r1]), r2, false, 4)
        }
        // ST, STC, STH, C, CL
        0x50 | 0x42 | 0x40 | 0x59 | 0x55 => f.memory(f.plain(&[r1, r2, base], &[]), r2, false, 4),
        // MVI, CLI, TM, NI, OI
        0x92 | 0x95 | 0x91 | 0x94 | 0x96 => f.memory(f.plain(&[base], &[]), 0, false, 1),
        // MVC, CLC, NC, OC, XC
        0xd2 | 0xd5 | 0xd4 | 0xd6 | 0xd7 => {
            let second = f.byte(4) >> 4;
            let hides = base == SP || second == SP;
            let stack = if hides { Stack::Unknown } else { Stack::Untouched };
            f.plain(&[base, second], &[]).map(|e| Effect { stack, ..e })
        }
        _ => None,
    }
}

/// RI and RIL: a register and a constant or a distance.
fn by_immediate(f: &Fields<'_>) -> Option<Effect> {
    let r1 = f.r1;
    let update = || f.plain(&[r1], &[r1]);
    let register = Place::Register(r1);
    let (half, word) = (f.half(2)?, f.word(2).unwrap_or(0));
    let flow = |never: bool, always: bool| {
        let does = match (never, always) {
            (true, _) => Does::Other,
            (_, true) => Does::Jump,
            _ => Does::Branch,
        };
        f.plain(&[], &[]).map(|e| e.does(does))
    };
    match (f.byte(0), f.r2) {
        // LLILL; LLIHH, LLIHL, LLILH; those that change part of the register
        (0xa5, 0xf) => f.constant(register, Immediate::bytes(2, 2, half.into())),
        (0xa5, 0xc..=0xe) => f.plain(&[], &[r1]),
        (0xa5, _) => update(),
        // LGHI; LHI, AHI, AGHI, MHI, MGHI; CHI, CGHI, TM; BRC; BRCT
        (0xa7, 9) => f.constant(register, Immediate::bytes(2, 2, half.cast_signed().into())),
        (0xa7, 8 | 0xa..=0xd) => update(),
        (0xa7, 0xe | 0xf | 0..=3) => f.plain(&[r1], &[]),
        (0xa7, 4) => flow(r1 == 0, r1 == 15),
        (0xa7, 6 | 7) => update().map(|e| e.does(Does::Branch)),
        // LARL; LGFI; BRCL; BRASL; LLIHF; LLILF; those that change part of the register
        (0xc0, 0) => f.plain(&[], &[r1]).map(|e| e.does(Does::Address(r1))),
        (0xc0, 1) => f.constant(register, Immediate::bytes(2, 4, word.cast_signed().into())),
        (0xc0, 4) => flow(r1 == 0, r1 == 15),
        (0xc0, 5) if r1 == RETURN => f.plain(&[], &[]).map(|e| e.does(Does::Call)),
        (0xc0, 0xe) => f.plain(&[], &[r1]),
        (0xc0, 0xf) => f.constant(register, Immediate::bytes(2, 4, word.into())),
        (0xc0, 6..=0xd) => update(),
        // Add, subtract, multiply and compare
        (0xc2, _) => update(),
        // LGRL of a slot holds an address; LHRL and LRL leave the upper half
        (0xc4, 8) => f.plain(&[], &[r1]).map(|e| e.does(Does::Slot(r1, r1))),
        (0xc4, 2 | 4 | 5 | 6 | 0xc | 0xd | 0xe) => update(),
        // STHRL, STGRL, STRL
        (0xc4, 7 | 0xb | 0xf) => f.plain(&[r1], &[]),
        _ => None,
    }
}

/// RRE and RRF.
fn by_registers(code: u8, r1: u8, r2: u8, r3: u8) -> Option<Effect> {
    let of =
        |reads: &[u8], writes: &[u8]| Some(Effect::new(4, registers(reads), registers(writes)));
    match code {
        0x04 if r1 != SP && r2 != SP => of(&[r2], &[r1]).map(|e| e.does(Does::Copy(r1, r2))),
        // LGR of the stack pointer
        0x04 => of(&[r2], &[r1]).map(|e| Effect { stack: Stack::Unknown, ..e }),
        // LGFR, LLGFR, LGBR, LGHR, LLGCR, LLGHR, LTGR, LTGFR
        0x14 | 0x16 | 0x06 | 0x07 | 0x84 | 0x85 | 0x02 | 0x12 => of(&[r2], &[r1]),
        // LBR, LHR, LLCR, LLHR, LCGR, LPGR, LNGR, AGR, SGR, ALGR, SLGR, AGFR, SGFR, NGR, OGR, XGR
        0x26
        | 0x27
        | 0x94
        | 0x95
        | 0x03
        | 0x00
        | 0x01
        | 0x08..=0x0b
        | 0x18
        | 0x19
        | 0x80..=0x82 => of(&[r1, r2], &[r1]),
        // CGR, CLGR, CGFR, CLGFR
        0x20 | 0x21 | 0x30 | 0x31 => of(&[r1, r2], &[]),
        // NGRK, OGRK, XGRK, AGRK, SGRK, and those of 32 bits; LOCGR and LOCR keep the old value
        0xe4 | 0xe6..=0xe9 | 0xf4 | 0xf6..=0xf9 | 0xe2 | 0xf2 => of(&[r1, r2, r3], &[r1]),
        _ => None,
    }
}

/// RXY: a register, and memory with an index and a long displacement.
fn indexed_long(f: &Fields<'_>) -> Option<Effect> {
    let (r1, r2, base) = (f.r1, f.r2, f.base);
    let found = match f.byte(5) {
        // LAY
        0x71 => {
            let hides = base == SP || r2 == SP;
            let stack = if hides { Stack::Unknown } else { Stack::Untouched };
            return f.plain(&[r2, base], &[r1]).map(|e| Effect { stack, ..e });
        }
        // LG, LTG, LGF, LGH, LLGF, LLGT, LLGC, LLGH, LGB, LTGF, LRVG
        0x04 | 0x02 | 0x14 | 0x15 | 0x16 | 0x17 | 0x90 | 0x91 | 0x77 | 0x32 | 0x0f => {
            f.plain(&[r2, base], &[r1])
        }
        // LT, LY, LHY, LB, LLC, LLH; AG, SG, AGF, SGF, NG, OG, XG, NY, OY, XY, AY, SY
        0x12
        | 0x58
        | 0x78
        | 0x76
        | 0x94
        | 0x95
        | 0x08
        | 0x09
        | 0x18
        | 0x19
        | 0x80..=0x82
        | 0x54
        | 0x56
        | 0x57
        | 0x5a
        | 0x5b => f.plain(&[r1, r2, base], &[r1]),
        // STG
        0x24 if base == SP && r2 == 0 => {
            let does = Does::Store(f.displacement(true), r1);
            f.plain(&[r1, base], &[]).map(|e| e.does(does))
        }
        // STG, STY, STHY, STCY; CG, CLG, CGF, CLGF, CY, CLY
        0x24 | 0x50 | 0x70 | 0x72 | 0x20 | 0x21 | 0x30 | 0x31 | 0x59 | 0x55 => {
            f.plain(&[r1, r2, base], &[])
        }
        _ => None,
    };
    f.memory(found, r2, true, 8)
}

/// RSY and SIY.
fn pair(f: &Fields<'_>) -> Option<Effect> {
    let (r1, r3, base) = (f.r1, f.r2, f.base);
    let count = (r3.wrapping_sub(r1) & 15) + 1;
    let between: Vec<u8> = (0..count).map(|i| r1.wrapping_add(i) & 15).collect();
    let many = 8 * i64::from(count);
    match f.byte(5) {
        // LMG, STMG
        0x04 => f.memory(f.plain(&[base], &between), 0, true, many),
        0x24 => {
            let reads = [&between[..], &[base]].concat();
            f.memory(f.plain(&reads, &[]), 0, true, many)
        }
        // SLLG, SRLG, SRAG, SLAG, SLLK, SRLK, SRAK: no memory
        0x0d | 0x0c | 0x0a | 0x0b | 0xdf | 0xde | 0xdc => f.plain(&[r1, r3, base], &[r1]),
        // TMY, MVIY, NIY, CLIY, OIY, ASI, AGSI
        0x51 | 0x52 | 0x54 | 0x55 | 0x56 | 0x6a | 0x7a => {
            f.memory(f.plain(&[base], &[]), 0, true, 8)
        }
        // LAA, LAAG, LAN, LANG, LAO, LAOG
        0xf8 | 0xe8 | 0xf4 | 0xe4 | 0xf6 | 0xe6 => {
            f.memory(f.plain(&[r1, r3, base], &[r1]), 0, true, 8)
        }
        _ => None,
    }
}

/// RIE and RIF.
fn fused(f: &Fields<'_>) -> Option<Effect> {
    let (r1, r2) = (f.r1, f.r2);
    match f.byte(5) {
        // AHIK, AGHIK; RISBG and its like; LOCHI, LOCGHI
        0xd8 | 0xd9 | 0x55 | 0x59 | 0x54 | 0x56 | 0x57 | 0x51 | 0x5d | 0x42 | 0x46 => {
            f.plain(&[r1, r2], &[r1])
        }
        // Compare and branch
        0x64 | 0x65 | 0x76 | 0x77 | 0x7c..=0x7f => {
            f.plain(&[r1, r2], &[]).map(|e| e.does(Does::Branch))
        }
        _ => None,
    }
}

/// SIL: memory and a constant.
fn storage_immediate(f: &Fields<'_>) -> Option<Effect> {
    let at = f.displacement(false);
    let value = f.half(4)?.cast_signed().into();
    let found = match f.byte(1) {
        // MVGHI; an int in a slot of eight bytes is extended
        0x48 if f.base == SP => f.constant(Place::Stack(at), Immediate::bytes(4, 2, value)),
        // MVHI of the lower half of a slot, which is all of an int
        0x4c if f.base == SP && at % 8 == 4 => {
            f.constant(Place::Stack(at - 4), Immediate::bytes(4, 2, value))
        }
        // MVHHI, MVHI, MVGHI, and those that compare
        0x44 | 0x4c | 0x48 | 0x54 | 0x55 | 0x58 | 0x59 | 0x5c | 0x5d => f.plain(&[f.base], &[]),
        _ => None,
    };
    f.memory(found, 0, false, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<Effect> {
        effect(bytes, 0)
    }

    #[test]
    fn constants_and_addresses() {
        for (bytes, place, at, width, value) in [
            // lghi %r4,1234; lgfi %r4,-2; llilf %r4,70000; llill %r4,40000
            (&[0xa7, 0x49, 0x04, 0xd2][..], Place::Register(4), 2, 2, 1234),
            (&[0xc0, 0x41, 0xff, 0xff, 0xff, 0xfe], Place::Register(4), 2, 4, -2),
            (&[0xc0, 0x4f, 0, 1, 0x11, 0x70], Place::Register(4), 2, 4, 70000),
            (&[0xa5, 0x4f, 0x9c, 0x40], Place::Register(4), 2, 2, 40000),
            // mvghi 160(%r15),5; mvhi 164(%r15),5
            (&[0xe5, 0x48, 0xf0, 0xa0, 0, 5], Place::Stack(160), 4, 2, 5),
            (&[0xe5, 0x4c, 0xf0, 0xa4, 0, 5], Place::Stack(160), 4, 2, 5),
        ] {
            let immediate = Immediate::bytes(at, width, value);
            let wanted = Does::Constant { place, immediate, address: false };
            assert_eq!(of(bytes).unwrap().does, wanted, "{bytes:02x?}");
        }
        // lhi leaves the upper half; mvhi to another place
        assert_eq!(of(&[0xa7, 0x48, 4, 0xd2]).unwrap().does, Does::Other);
        assert_eq!(of(&[0xe5, 0x4c, 0xb0, 0xa4, 0, 5]).unwrap().does, Does::Other);
        assert_eq!(of(&[0xc0, 0x30, 0, 0, 0, 0]).unwrap().does, Does::Address(3));
        assert_eq!(of(&[0xc4, 0x38, 0, 0, 0, 0]).unwrap().does, Does::Slot(3, 3));
        assert_eq!(of(&[0xb9, 0x04, 0, 0x39]).unwrap().does, Does::Copy(3, 9));
        assert_eq!(of(&[0xe3, 0x10, 0xf0, 0xa0, 0, 0x24]).unwrap().does, Does::Store(160, 1));
    }

    #[test]
    fn uses() {
        for (bytes, reads, writes, stack) in [
            // lg %r3,8(%r4); stg %r4,160(%r15); st %r4,0(%r1); mvi 0(%r1),1
            (&[0xe3, 0x30, 0x40, 0x08, 0, 0x04][..], 1 << 4, 1 << 3, Stack::Untouched),
            (&[0xe3, 0x40, 0xf0, 0xa0, 0, 0x24], 1 << 4, 0, Stack::Touched(160, 168)),
            (&[0x50, 0x40, 0x10, 0], 1 << 4 | 2, 0, Stack::Untouched),
            (&[0x92, 1, 0x10, 0], 2, 0, Stack::Untouched),
            // stmg %r14,%r1,112(%r15); lmg %r6,%r15,208(%r15); aghi %r15,-160; la %r2,160(%r15)
            (&[0xeb, 0xe1, 0xf0, 0x70, 0, 0x24], 0xc003, 0, Stack::Touched(112, 144)),
            (&[0xeb, 0x6f, 0xf0, 0xd0, 0, 0x04], 0, 0xffc0, Stack::Unknown),
            (&[0xa7, 0xfb, 0xff, 0x60], 0, 1 << 15, Stack::Unknown),
            (&[0x41, 0x20, 0xf0, 0xa0], 0, 1 << 2, Stack::Unknown),
            // ahi %r4,1; agrk %r2,%r3,%r4; risbgn %r1,%r4,...; chi %r4,5
            (&[0xa7, 0x4a, 0, 1], 1 << 4, 1 << 4, Stack::Untouched),
            (&[0xb9, 0xe8, 0x40, 0x23], 1 << 3 | 1 << 4, 1 << 2, Stack::Untouched),
            (&[0xec, 0x14, 0x35, 0xbc, 3, 0x59], 1 << 4, 1 << 1, Stack::Untouched),
            (&[0xa7, 0x4e, 0, 5], 1 << 4, 0, Stack::Untouched),
        ] {
            let found = of(bytes).unwrap();
            assert_eq!(found.reads & reads, reads, "{bytes:02x?}");
            assert_eq!((found.writes, found.stack), (writes, stack), "{bytes:02x?}");
        }
    }

    #[test]
    fn flow_and_what_is_not_known() {
        for (bytes, does) in [
            (&[0xc0, 0xe5, 0, 0, 0, 0][..], Does::Call),
            (&[0xc0, 0xf4, 0, 0, 0, 0], Does::Jump),
            (&[0xa7, 0xf4, 0, 8], Does::Jump),
            (&[0xc0, 0x84, 0, 0, 0, 0], Does::Branch),
            (&[0xa7, 0x84, 0, 8], Does::Branch),
            (&[0xec, 0x18, 0, 6, 7, 0x7c], Does::Branch),
            (&[0xc0, 0x04, 0, 0, 0, 0], Does::Other),
            (&[0x07, 0x07], Does::Other),
        ] {
            assert_eq!(of(bytes).map(|e| e.does), Some(does), "{bytes:02x?}");
        }
        // br %r1, b 0(%r1)
        for bytes in [&[0x07, 0xf1][..], &[0x47, 0xf0, 0x10, 0]] {
            assert_eq!(of(bytes).unwrap().does, Does::Anywhere, "{bytes:02x?}");
        }
        // br %r14, basr, svc, mc, ex, lpswe, lctlg, another register for the return address
        for bytes in [
            &[0x07, 0xfe][..],
            &[0x0d, 0xe1],
            &[0x0a, 1],
            &[0xaf, 0, 0, 0],
            &[0x44, 0, 0x10, 0],
            &[0xb2, 0xb2, 0x10, 0],
            &[0xeb, 0x11, 0x10, 0, 0, 0x2f],
            &[0xc0, 0x05, 0, 0, 0, 0],
            &[0xc0, 0xe5, 0],
        ] {
            assert_eq!(of(bytes), None, "{bytes:02x?}");
        }
    }
}
