//! The addresses that x86 instructions of linked code have in them.

use iced_x86::OpKind;

use super::{decode, decoder};

/// Tells each address that the instructions of `code`, which is at `ip`, have as a displacement
/// or as a constant, with that of the instruction. What is no instruction is passed over.
pub(super) fn addresses(code: &[u8], ip: u64, tell: &mut dyn FnMut(u64, u64)) {
    let mut rest = code;
    let mut at = ip;
    loop {
        let mut decoder = decoder(rest, at);
        let mut known = 0;
        while let Some(instruction) = decode(&mut decoder) {
            known = decoder.position();
            let at = instruction.ip();
            if instruction.is_ip_rel_memory_operand() {
                tell(at, instruction.ip_rel_memory_address());
            } else if instruction.memory_displ_size() >= 4 {
                tell(at, instruction.memory_displacement64());
            }
            for operand in 0..instruction.op_count() {
                let kind = instruction.op_kind(operand);
                if matches!(kind, OpKind::Immediate32to64 | OpKind::Immediate64) {
                    tell(at, instruction.immediate(operand));
                } else if kind == OpKind::Immediate32 {
                    // `mov $address, %eax`, and `push`, of the upper 2 GB of the space.
                    tell(at, i64::from(instruction.immediate32().cast_signed()).cast_unsigned());
                    tell(at, u64::from(instruction.immediate32()));
                }
            }
        }
        // Behind the first byte of what is no instruction, of which the decoder may have read more.
        let read = known + 1;
        match rest.get(read..) {
            Some(more) if !more.is_empty() => {
                rest = more;
                at = at.wrapping_add(read as u64);
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displacements_and_constants_are_told() {
        let code = [
            0x8b, 0x04, 0xbd, 0x00, 0x20, 0x00, 0x81, // mov -0x7effe000(,%rdi,4), %eax
            0x06, // none
            0x48, 0x8d, 0x05, 0x10, 0x00, 0x00, 0x00, // lea 0x10(%rip), %rax
            0x48, 0xc7, 0xc0, 0x00, 0x10, 0x00, 0x81, // mov $-0x7efff000, %rax
        ];
        let mut found = Vec::new();
        let start = 0xffff_ffff_8100_0000;
        addresses(&code, start, &mut |at, address| found.push((at - start, address)));
        let wanted =
            [(0, 0xffff_ffff_8100_2000), (8, start + 15 + 0x10), (15, 0xffff_ffff_8100_1000)];
        assert_eq!(found, wanted);
    }
}
