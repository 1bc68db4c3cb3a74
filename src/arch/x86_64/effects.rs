//! What x86-64 instructions do to registers.
//!
//! Registers have the numbers of their encoding (Intel SDM, volume 2, 2.2.1); parts of a register
//! count as the register. Arguments: psABI section "Parameter Passing".

#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of an instruction's fields, which have fewer bits, and places within its bytes"
)]

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
    UsedMemory,
};

use super::super::{Addresses, Arguments, Does, Effect, Immediate, Place, Stack};
use super::argument::is_loaded;
use super::{decode, decoder};

/// RDI, RSI, RDX, RCX, R8, R9; RBX, RBP and R12 to R15 are preserved. At the call the first
/// argument on the stack is on its top.
pub(super) const ARGUMENTS: Arguments = Arguments {
    registers: &[7, 6, 2, 1, 8, 9],
    stack: Some(0),
    preserved: 0xf028,
    addresses: Addresses::Field(is_loaded),
};

/// The instructions that do nothing but what their operands say, and to flags.
const PLAIN: [Mnemonic; 78] = {
    use Mnemonic::*;
    [
        Mov, Movzx, Movsx, Movsxd, Lea, Push, Pop, Xor, And, Or, Add, Sub, Adc, Sbb, Inc, Dec, Neg,
        Not, Test, Cmp, Nop, Endbr64, Imul, Shl, Shr, Sar, Rol, Ror, Bt, Bts, Btr, Btc, Bsf, Bsr,
        Tzcnt, Lzcnt, Popcnt, Bswap, Cdqe, Cwde, Cdq, Cqo, Xchg, Xadd, Shld, Shrd, Seta, Setae,
        Setb, Setbe, Sete, Setg, Setge, Setl, Setle, Setne, Setno, Setnp, Setns, Seto, Setp, Sets,
        Cmova, Cmovae, Cmovb, Cmovbe, Cmove, Cmovg, Cmovge, Cmovl, Cmovle, Cmovne, Cmovno, Cmovnp,
        Cmovns, Cmovo, Cmovp, Cmovs,
    ]
};

/// Number of a general register; `None` for others.
fn number(register: Register) -> Option<u8> {
    let register = register.full_register();
    register.is_gpr64().then(|| register.number() as u8)
}

pub(super) fn effect(code: &[u8], at: u64) -> Option<Effect> {
    let mut decoder = decoder(code.get(usize::try_from(at).ok()?..)?, at);
    let instruction = decode(&mut decoder)?;
    let len = instruction.len() as u64;
    match instruction.flow_control() {
        FlowControl::Next if PLAIN.contains(&instruction.mnemonic()) => {}
        FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
            return Some(Effect::new(len, 0, 0).does(Does::Call));
        }
        FlowControl::UnconditionalBranch if instruction.op0_kind() == OpKind::NearBranch64 => {
            return Some(Effect::new(len, 0, 0).does(Does::Jump));
        }
        // Those by RCX may write it.
        FlowControl::ConditionalBranch if instruction.is_jcc_short_or_near() => {
            return Some(Effect::new(len, 0, 0).does(Does::Branch));
        }
        FlowControl::IndirectBranch => {
            return Some(Effect::new(len, u64::MAX, u64::MAX).does(Does::Anywhere));
        }
        _ => return None,
    }
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(&instruction);
    let (mut reads, mut writes) = (0, 0);
    for used in info.used_registers() {
        let bit = number(used.register()).map_or(0, |n| 1 << n);
        let (read, write) = accesses(used.access());
        reads |= if read { bit } else { 0 };
        writes |= if write { bit } else { 0 };
    }
    let (stack, moves) = stack(&instruction, info.used_memory(), (reads | writes) & RSP != 0);
    let places = decoder.get_constant_offsets(&instruction);
    let immediate = |value: i64| {
        Immediate::bytes(places.immediate_offset() as u64, places.immediate_size() as u64, value)
    };
    let does = does(&instruction, immediate);
    Some(Effect { stack, moves, ..Effect::new(len, reads & !RSP, writes & !RSP).does(does) })
}

/// The bit of the stack pointer, which no argument is in.
const RSP: u64 = 1 << 4;

/// Whether an access may read, and whether it may write.
fn accesses(access: OpAccess) -> (bool, bool) {
    match access {
        OpAccess::Read | OpAccess::CondRead => (true, false),
        OpAccess::Write | OpAccess::CondWrite => (false, true),
        OpAccess::None | OpAccess::NoMemAccess => (false, false),
        _ => (true, true),
    }
}

/// What an instruction does to the top of the stack, and how far it moves the stack pointer.
fn stack(instruction: &Instruction, memory: &[UsedMemory], uses_rsp: bool) -> (Stack, i64) {
    let moves = match (instruction.mnemonic(), instruction.op0_kind(), instruction.op0_register()) {
        (Mnemonic::Push | Mnemonic::Pop, ..) => i64::from(instruction.stack_pointer_increment()),
        (Mnemonic::Add, OpKind::Register, Register::RSP) => distance(instruction).unwrap_or(0),
        (Mnemonic::Sub, OpKind::Register, Register::RSP) => -distance(instruction).unwrap_or(0),
        _ => 0,
    };
    let by_rsp = |m: &&UsedMemory| {
        m.base().full_register() == Register::RSP || m.index().full_register() == Register::RSP
    };
    let mut touched = memory.iter().filter(by_rsp);
    match (touched.next(), touched.next()) {
        (None, _) if !uses_rsp => (Stack::Untouched, 0),
        (None, _) if moves != 0 => (Stack::Untouched, moves),
        (Some(one), None) if one.index() == Register::None && is_memory_only(instruction) => {
            let from = one.displacement().cast_signed();
            let size = one.memory_size().size() as i64;
            // 0 for what has no fixed size.
            match size {
                0 => (Stack::Unknown, moves),
                _ => (Stack::Touched(from, from.saturating_add(size)), moves),
            }
        }
        _ => (Stack::Unknown, moves),
    }
}

/// Whether the stack pointer is no operand itself: only memory is addressed by it.
fn is_memory_only(instruction: &Instruction) -> bool {
    instruction.mnemonic() != Mnemonic::Lea
        && (0..instruction.op_count()).all(|i| {
            instruction.op_kind(i) != OpKind::Register
                || instruction.op_register(i).full_register() != Register::RSP
        })
}

/// The constant that is added to the first operand, or subtracted from it.
fn distance(instruction: &Instruction) -> Option<i64> {
    instruction.try_immediate(1).ok().map(u64::cast_signed)
}

fn does(instruction: &Instruction, immediate: impl Fn(i64) -> Immediate) -> Does {
    let register = |i| number(instruction.op_register(i));
    let on_stack = instruction.segment_prefix() == Register::None
        && instruction.memory_base() == Register::RSP
        && instruction.memory_index() == Register::None;
    let top = instruction.memory_displacement64().cast_signed();
    let constant = |place, address| {
        let operand = instruction.op_count().saturating_sub(1);
        let value = instruction.try_immediate(operand).unwrap_or(0).cast_signed();
        Does::Constant { place, immediate: immediate(value), address }
    };
    match (instruction.code(), instruction.op0_kind()) {
        (Code::Mov_r32_imm32, _)
        | (Code::Mov_rm32_imm32 | Code::Mov_rm64_imm32, OpKind::Register) => {
            register(0).map_or(Does::Other, |r| constant(Place::Register(r), true))
        }
        // Four bytes are the whole of an int, and not of an address.
        (Code::Mov_rm32_imm32, OpKind::Memory) if on_stack => constant(Place::Stack(top), false),
        (Code::Mov_rm64_imm32, OpKind::Memory) if on_stack => constant(Place::Stack(top), true),
        (Code::Pushq_imm8 | Code::Pushq_imm32, _) => constant(Place::Stack(-8), true),
        (Code::Mov_rm64_r64, OpKind::Memory) if on_stack => {
            number(instruction.op1_register()).map_or(Does::Other, |r| Does::Store(top, r))
        }
        (Code::Push_r64, _) => register(0).map_or(Does::Other, |r| Does::Store(-8, r)),
        (Code::Lea_r64_m, _) if instruction.is_ip_rel_memory_operand() => {
            register(0).map_or(Does::Other, Does::Address)
        }
        (Code::Mov_r64_rm64 | Code::Mov_rm64_r64, OpKind::Register)
            if instruction.op1_kind() == OpKind::Register =>
        {
            match (register(0), register(1)) {
                (Some(to), Some(from)) => Does::Copy(to, from),
                _ => Does::Other,
            }
        }
        _ => Does::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<Effect> {
        effect(bytes, 0)
    }

    #[test]
    fn constants() {
        let constant = |place, at, width, value, address| Does::Constant {
            place,
            immediate: Immediate::bytes(at, width, value),
            address,
        };
        for (bytes, does, moves) in [
            // mov $0x102, %edx; mov $0x102, %r9d; mov $-2, %rsi
            (&[0xba, 2, 1, 0, 0][..], constant(Place::Register(2), 1, 4, 0x102, true), 0),
            (&[0x41, 0xb9, 2, 1, 0, 0], constant(Place::Register(9), 2, 4, 0x102, true), 0),
            (
                &[0x48, 0xc7, 0xc6, 0xfe, 0xff, 0xff, 0xff],
                constant(Place::Register(6), 3, 4, -2, true),
                0,
            ),
            // push $0x102; push $5; movl $0x102, 8(%rsp); movq $0x102, (%rsp)
            (&[0x68, 2, 1, 0, 0], constant(Place::Stack(-8), 1, 4, 0x102, true), -8),
            (&[0x6a, 5], constant(Place::Stack(-8), 1, 1, 5, true), -8),
            (&[0xc7, 0x44, 0x24, 8, 2, 1, 0, 0], constant(Place::Stack(8), 4, 4, 0x102, false), 0),
            (
                &[0x48, 0xc7, 0x04, 0x24, 2, 1, 0, 0],
                constant(Place::Stack(0), 4, 4, 0x102, true),
                0,
            ),
        ] {
            let found = of(bytes).unwrap();
            assert_eq!((found.does, found.moves, found.reads), (does, moves, 0), "{bytes:02x?}");
        }
        // movl $0x102, 8(%rbp) is no argument.
        let local = of(&[0xc7, 0x45, 8, 2, 1, 0, 0]).unwrap();
        assert_eq!((local.does, local.stack, local.reads), (Does::Other, Stack::Untouched, 1 << 5));
    }

    #[test]
    fn uses() {
        for (bytes, reads, writes, stack) in [
            // mov %dl, %al; add %rcx, %rdx; xor %edx, %edx; mov %edx, 8(%rsp)
            (&[0x88, 0xd0][..], 1 << 2, 1, Stack::Untouched),
            (&[0x48, 0x01, 0xca], 1 << 1 | 1 << 2, 1 << 2, Stack::Untouched),
            (&[0x31, 0xd2], 0, 1 << 2, Stack::Untouched),
            (&[0x89, 0x54, 0x24, 8], 1 << 2, 0, Stack::Touched(8, 12)),
            // push %rbx; pop %rcx; lea 8(%rsp), %rdi; mov %rsp, %rbp; sub $8, %rsp
            (&[0x53], 1 << 3, 0, Stack::Touched(-8, 0)),
            (&[0x59], 0, 1 << 1, Stack::Touched(0, 8)),
            (&[0x48, 0x8d, 0x7c, 0x24, 8], 0, 1 << 7, Stack::Unknown),
            (&[0x48, 0x89, 0xe5], 0, 1 << 5, Stack::Unknown),
            (&[0x48, 0x83, 0xec, 8], 0, 0, Stack::Untouched),
            // mov (%rsp,%rax,8), %rcx
            (&[0x48, 0x8b, 0x0c, 0xc4], 1, 1 << 1, Stack::Unknown),
            // cmove %edx, %eax: the old value may stay
            (&[0x0f, 0x44, 0xc2], 1 | 1 << 2, 1, Stack::Untouched),
        ] {
            let found = of(bytes).unwrap();
            assert_eq!((found.writes, found.stack), (writes, stack), "{bytes:02x?}");
            assert_eq!(found.reads & reads, reads, "{bytes:02x?}");
        }
        assert_eq!(of(&[0x48, 0x83, 0xec, 8]).unwrap().moves, -8);
        assert_eq!(of(&[0x53]).unwrap().moves, -8);
    }

    #[test]
    fn flow_and_what_is_not_known() {
        assert_eq!(of(&[0xe8, 0, 0, 0, 0]).unwrap().does, Does::Call);
        assert_eq!(of(&[0xe9, 0, 0, 0, 0]).unwrap().does, Does::Jump);
        assert_eq!(of(&[0x75, 0]).unwrap().does, Does::Branch);
        assert_eq!(of(&[0x48, 0x8d, 0x3d, 0, 0, 0, 0]).unwrap().does, Does::Address(7));
        assert_eq!(of(&[0x48, 0x89, 0xdf]).unwrap().does, Does::Copy(7, 3));
        // mov %rbx, 8(%rsp); push %rbx
        assert_eq!(of(&[0x48, 0x89, 0x5c, 0x24, 8]).unwrap().does, Does::Store(8, 3));
        assert_eq!(of(&[0x53]).unwrap().does, Does::Store(-8, 3));
        assert_eq!(of(&[0xff, 0xe0]).unwrap().does, Does::Anywhere);
        // wrmsr, ret, ud2, call *%rax, loop, syscall, rep movsb, int3, cpuid, vmcall
        for bytes in [
            &[0x0f, 0x30][..],
            &[0xc3],
            &[0x0f, 0x0b],
            &[0xff, 0xd0],
            &[0xe2, 0],
            &[0x0f, 0x05],
            &[0xf3, 0xa4],
            &[0xcc],
            &[0x0f, 0xa2],
            &[0x0f, 0x01, 0xc1],
        ] {
            assert_eq!(of(bytes), None, "{bytes:02x?}");
        }
    }
}
