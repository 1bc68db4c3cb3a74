//! What the code of x86-64 objects becomes on its way into a kernel: the linker, objtool and
//! BOLT write to it.
//!
//! Sources: psABI, "Optimize GOTPCRELX Relocations"; Linux arch/x86/include/asm/jump_label.h,
//! arch/x86/include/asm/nops.h and tools/objtool/Documentation/objtool.txt; for the gaps, Linux
//! arch/x86/kernel/vmlinux.lds.S, and LLVM bolt/lib/Core/BinaryEmitter.cpp.

use super::{CALL, INT3, JMP, NOP, NOP_BYTES};

/// `jmp rel8`.
const SHORT_JMP: u8 = 0xeb;
/// `xchg %ax,%ax`.
const NOP_2: [u8; 2] = [0x66, 0x90];
/// How NOPs of more than one byte start.
const LONG_NOP: [u8; 2] = [0x66, 0x0f];

/// A load becomes one of the address, and an indirect call or jump a direct one.
pub(super) fn relaxes_got(was: &[u8], now: &[u8]) -> bool {
    matches!(
        (was, now),
        ([0x8b, _], [0x8d | 0xc7, _]) | ([0xff, 0x15], [0x67, 0xe8]) | ([0xff, 0x25], [0xe9, _])
    )
}

/// Static keys know jumps of two lengths.
pub(super) fn disabled_jump(code: &[u8]) -> Option<&'static [u8]> {
    match *code.first()? {
        JMP => Some(&NOP_BYTES),
        SHORT_JMP => Some(&NOP_2),
        _ => None,
    }
}

/// `nopl 0(%rax,%rax,1)`.
pub(super) fn disabled_call(code: &[u8]) -> Option<&'static [u8]> {
    (code.first() == Some(&CALL)).then_some(&NOP_BYTES)
}

/// BOLT pads what it writes with long NOPs. The compiler's padding is in the object, and behind
/// the end of a section the linker of a kernel fills with INT3.
pub(super) fn filled_by_bolt(room: usize, there: &[u8], ours: &[u8]) -> bool {
    let expected = ours.iter().copied().chain(std::iter::repeat(INT3));
    // The next function's prefix may be NOPs of one byte, but not without the alignment.
    there.iter().copied().take(room).zip(expected).find(|(there, ours)| there != ours).is_some_and(
        |(byte, ours)| LONG_NOP.contains(&byte) || (byte == NOP && ours == INT3 && room == 1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_from_the_got_become_addresses() {
        // mov foo@GOTPCREL(%rip), %rax; lea foo(%rip), %rax; mov $foo, %rax
        assert!(relaxes_got(&[0x8b, 0x05], &[0x8d, 0x05]));
        assert!(relaxes_got(&[0x8b, 0x05], &[0xc7, 0xc0]));
        assert!(relaxes_got(&[0xff, 0x15], &[0x67, 0xe8]));
        assert!(relaxes_got(&[0xff, 0x25], &[0xe9, 0x00]));
        assert!(!relaxes_got(&[0x8d, 0x05], &[0x8b, 0x05]));
        assert!(!relaxes_got(&[0xff, 0x15], &[0xe9, 0x00]));
        assert!(!relaxes_got(&[0x05], &[0x05]));
    }

    #[test]
    fn disabled_branches_keep_their_length() {
        assert_eq!(disabled_jump(&[0xe9, 1, 2, 3, 4]), Some(&NOP_BYTES[..]));
        assert_eq!(disabled_jump(&[0xeb, 1]), Some(&NOP_2[..]));
        assert_eq!(disabled_jump(&[0xe8, 1, 2, 3, 4]), None);
        assert_eq!(disabled_call(&[0xe8, 1, 2, 3, 4]), Some(&NOP_BYTES[..]));
        assert_eq!(disabled_call(&[0xe9, 1, 2, 3, 4]), None);
        assert_eq!((disabled_jump(&[]), disabled_call(&[])), (None, None));
    }

    #[test]
    fn only_bolt_pads_with_long_nops() {
        let own = [NOP, NOP];
        let filled = |there: &[u8], ours: &[u8]| filled_by_bolt(there.len(), there, ours);
        assert!(!filled(&[NOP, NOP, INT3, INT3], &own));
        assert!(!filled(&[], &own));
        assert!(filled(&[0x66, 0x90], &own));
        assert!(filled(&[NOP, NOP, 0x0f, 0x1f, 0x00], &own));
        assert!(!filled_by_bolt(2, &[NOP, NOP, 0x0f, 0x1f, 0x00], &own), "behind the room");
        // The prefix of the next function.
        assert!(!filled(&[NOP, NOP, NOP, NOP], &own));
        assert!(filled(&[NOP], &[]));
    }
}
