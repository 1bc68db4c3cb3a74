//! The fields that a link fills in which are parts of instructions: where in the instruction
//! they are, and which address they mean. Only those of calls and jumps, which are whole
//! addresses (AArch64, s390x and LoongArch ELF ABIs, relocation tables).

#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of an instruction's fields, which have fewer bits, and places within its bytes"
)]

use crate::arch::{RelocType, signed};

/// Bits of the instruction that hold the address, lowest first in the target's byte order.
fn mask(kind: &RelocType) -> Option<u32> {
    Some(match kind.name {
        "R_AARCH64_CALL26" | "R_AARCH64_JUMP26" => 0x03ff_ffff,
        "R_LARCH_B26" => 0x03ff_ffff,
        _ => return None,
    })
}

/// Makes of `ours`, the field in an object, what the link makes of it when its value is that
/// of `theirs`: everything but the address stays.
pub(crate) fn fill(kind: &RelocType, ours: &mut [u8], theirs: &[u8]) {
    let pair = ours.first_chunk::<4>().zip(theirs.first_chunk::<4>());
    let (Some(mask), Some((&here, &there)), 4) = (mask(kind), pair, ours.len()) else {
        ours.copy_from_slice(theirs);
        return;
    };
    let [here, there] = [here, there].map(u32::from_le_bytes);
    ours.copy_from_slice(&(here & !mask | there & mask).to_le_bytes());
}

/// The address that the field of a call or jump at `place` leads to, before the addend is
/// taken off; `None` for other fields.
pub(crate) fn branch(kind: &RelocType, field: &[u8], place: u64) -> Option<u64> {
    let field = *field.first_chunk::<4>()?;
    let distance = match kind.name {
        "R_AARCH64_CALL26" | "R_AARCH64_JUMP26" => signed(u32::from_le_bytes(field), 26) * 4,
        // The upper ten bits of the distance come last.
        "R_LARCH_B26" => {
            let word = u32::from_le_bytes(field);
            signed((word >> 10 & 0xffff) | (word & 0x3ff) << 16, 26) * 4
        }
        "R_390_PC32DBL" | "R_390_PLT32DBL" => i64::from(i32::from_be_bytes(field)) * 2,
        _ => return None,
    };
    Some(place.wrapping_add_signed(distance))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::RelocClass;

    fn kind(name: &'static str) -> RelocType {
        RelocType { id: 0, name, class: RelocClass::PcRelative, width: 4 }
    }

    #[test]
    fn addresses_of_calls() {
        let branch = |name, field: u32| branch(&kind(name), &field.to_le_bytes(), 0x1000);
        // bl .+8; bl .-4
        assert_eq!(branch("R_AARCH64_CALL26", 0x9400_0002), Some(0x1008));
        assert_eq!(branch("R_AARCH64_CALL26", 0x97ff_ffff), Some(0xffc));
        // bl 8; bl -4
        assert_eq!(branch("R_LARCH_B26", 0x5400_0800), Some(0x1008));
        assert_eq!(branch("R_LARCH_B26", 0x57ff_ffff), Some(0xffc));
        // brasl %r14,.+8 has 4 halfwords.
        assert_eq!(branch("R_390_PLT32DBL", 4u32.swap_bytes()), Some(0x1008));
        assert_eq!(branch("R_AARCH64_ADR_PREL_PG_HI21", 0), None);
    }

    #[test]
    fn the_rest_of_an_instruction_counts() {
        let mut ours = 0x9400_0000u32.to_le_bytes();
        fill(&kind("R_AARCH64_CALL26"), &mut ours, &0x1400_0002u32.to_le_bytes());
        assert_eq!(u32::from_le_bytes(ours), 0x9400_0002);
        fill(&kind("R_AARCH64_ADD_ABS_LO12_NC"), &mut ours, &[1, 2, 3, 4]);
        assert_eq!(ours, [1, 2, 3, 4]);
    }
}
