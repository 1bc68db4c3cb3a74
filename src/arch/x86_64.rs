//! x86-64.
//!
//! Sources: "System V Application Binary Interface, AMD64 Architecture Processor
//! Supplement" (psABI) for relocations; Intel SDM for the encodings; Linux
//! Documentation/trace/ftrace-design.rst, arch/x86/include/asm/{ftrace,ibt,cfi}.h and
//! tools/objtool/Documentation for what stands at a function's entry.
//!
//! * Relocations: psABI table "Relocation Types". Numbers 39 and 40 (MPX) are deprecated there;
//!   250 and 251 are the C++ vtable markers of binutils. Types only a dynamic linker sees
//!   (COPY, GLOB_DAT, JUMP_SLOT, RELATIVE, DTPMOD64, TLSDESC, IRELATIVE) cannot be in a
//!   relocatable object and are left out, so that meeting one is an error.
//! * PC-relative addressing counts from the end of the instruction, so the addend depends on
//!   how many bytes (an immediate) follow the field: [`Bias::InstructionEnd`].
//! * ftrace entry: with `-pg -mfentry` a function starts with `call __fentry__`
//!   (`e8` + R_X86_64_PC32 or PLT32), after `endbr64` (`f3 0f 1e fa`) when it can be the target
//!   of an indirect branch and IBT is on. `objtool --mcount --mnop` turns the call into the
//!   5-byte NOP `0f 1f 44 00 00` and the relocation's type into R_X86_64_NONE; a livepatch
//!   goes through objtool again, which wants the call back.
//! * objtool lists the calls in `__mcount_loc`. `__patchable_function_entries` exists only for
//!   the padding before functions (`-fpatchable-function-entry=N,N`) and says nothing about
//!   ftrace.
//! * Before a function may lie call-thunk padding, which objtool names `__pfx_<name>`, and the
//!   kCFI type hash, which the compiler names `__cfi_<name>`.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use object::elf::{
    R_X86_64_8, R_X86_64_16, R_X86_64_32, R_X86_64_32S, R_X86_64_64, R_X86_64_NONE, R_X86_64_PC8,
    R_X86_64_PC16, R_X86_64_PC32, R_X86_64_PLT32,
};

use super::{
    Arch, Bias, EntryReloc, EntryRelocs, Flow, FtraceSite, FunctionView, Reach, RelocClass,
    RelocType, Short, SiteTable, Step, bytes_at,
};
use crate::elf::abi;

mod argument;
mod effects;
mod linked;
mod text;

/// x86-64.
pub(super) static ARCH: Arch = Arch {
    name: "x86_64",
    machine: abi::EM_X86_64,
    big_endian: false,
    abs64: R_X86_64_64.0,
    relocs: RELOCS,
    instruction_len,
    instruction_at,
    ends_instruction: Some(ends_instruction),
    padding_pattern: &[NOP],
    padding_bytes: &[NOP, INT3],
    never_run: &[&[INT3], &[NOP], &UD2],
    bias: Bias::InstructionEnd,
    whole_fields: true,
    call_distance: |_, _| None,
    // Prefix, opcode and ModRM of most; of shorter instructions also the end of the one before.
    opcode: |field| (field.saturating_sub(3), field),
    prefix_symbols: &["__pfx_", "__cfi_"],
    uses_pfe: false,
    local_labels: false,
    names_globals: true,
    reads_directly: Some(reads_directly),
    mapping_symbols: false,
    toc_relocs: None,
    local_entry: |_| 0,
    indirect_target: &ENDBR64,
    seals_indirect_targets: true,
    is_branch: Some(is_branch),
    leads: is_branch,
    type_hash,
    checks_type,
    site_lead: 0,
    hash_word: 0,
    toc_distance: None,
    padding: nop_padding,
    has_profiling,
    ftrace_site,
    site_table: |_| SiteTable::McountLoc,
    effect: effects::effect,
    arguments: effects::ARGUMENTS,
    // A pointer in code is an immediate; -mcmodel=kernel makes it sign-extended.
    is_function_pointer: |kind, addend| kind == R_X86_64_32S.0 && addend == 0,
    never_klp: |_, _| false,
    short: &[Short {
        kinds: &[R_X86_64_32.0, R_X86_64_16.0, R_X86_64_8.0, R_X86_64_PC16.0, R_X86_64_PC8.0],
        completed_by: None,
        why: "the kernel's addresses are negative, which an unsigned field of 32 bits cannot hold, so the kernel does not load the module",
        flags: "-mcmodel=kernel -fno-pic",
    }],
    never_klp_symbol: None,
    sibling_call: None,
    reach,
    step: Some(step),
    // `ret` or a jump to the return thunk, perhaps with `int3` (-mharden-sls) behind it, and
    // `endbr64` in front.
    returns: &[
        b"\xc3",
        b"\xc3\xcc",
        b"\xf3\x0f\x1e\xfa\xc3",
        b"\xf3\x0f\x1e\xfa\xc3\xcc",
        b"\xe9\0\0\0\0",
        b"\xe9\0\0\0\0\xcc",
        b"\xf3\x0f\x1e\xfa\xe9\0\0\0\0",
        b"\xf3\x0f\x1e\xfa\xe9\0\0\0\0\xcc",
    ],
    immediates: Some(immediates),
    text: Some(text::instruction_text),
    listing: None,
    calls: &CALLS,
    relaxes_got: linked::relaxes_got,
    disabled_jump: linked::disabled_jump,
    disabled_call: linked::disabled_call,
    filled_by_bolt: Some(linked::filled_by_bolt),
    conventions: false,
};

const FENTRY: &str = "__fentry__";
/// The NOP of one byte, and the trap that linkers of kernels fill gaps with.
const NOP: u8 = 0x90;
const INT3: u8 = 0xcc;
/// What compilers put behind what never returns.
const UD2: [u8; 2] = [0x0f, 0x0b];
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
/// Opcode of `call rel32`.
const CALL: u8 = 0xe8;
/// Opcode of `jmp rel32`.
const JMP: u8 = 0xe9;
/// First byte of the 5-byte NOP.
const NOP5: u8 = 0x0f;
const NOP_BYTES: [u8; 5] = [NOP5, 0x1f, 0x44, 0, 0];
/// `call` with the field still to be relocated.
const CALL_BYTES: &[u8] = &[CALL, 0, 0, 0, 0];

/// Relocations of calls of local and of global functions.
const CALLS: [u32; 2] = [R_X86_64_PC32.0, R_X86_64_PLT32.0];

static RELOCS: &[RelocType] = relocs! {
    R_X86_64_NONE None 0;
    R_X86_64_64 Absolute 8;
    R_X86_64_PC32 PcRelative 4;
    R_X86_64_GOT32 Got 4;
    R_X86_64_PLT32 PcRelative 4;
    R_X86_64_GOTPCREL Got 4;
    R_X86_64_32 Absolute 4;
    R_X86_64_32S Absolute 4;
    R_X86_64_16 Absolute 2;
    R_X86_64_PC16 PcRelative 2;
    R_X86_64_8 Absolute 1;
    R_X86_64_PC8 PcRelative 1;
    R_X86_64_DTPOFF64 Tls 8;
    R_X86_64_TPOFF64 Tls 8;
    R_X86_64_TLSGD Tls 4;
    R_X86_64_TLSLD Tls 4;
    R_X86_64_DTPOFF32 Tls 4;
    R_X86_64_GOTTPOFF Tls 4;
    R_X86_64_TPOFF32 Tls 4;
    R_X86_64_PC64 PcRelative 8;
    R_X86_64_GOTOFF64 Got 8;
    R_X86_64_GOTPC32 Got 4;
    R_X86_64_GOT64 Got 8;
    R_X86_64_GOTPCREL64 Got 8;
    R_X86_64_GOTPC64 Got 8;
    R_X86_64_GOTPLT64 Got 8;
    R_X86_64_PLTOFF64 Got 8;
    R_X86_64_SIZE32 Arithmetic 4;
    R_X86_64_SIZE64 Arithmetic 8;
    R_X86_64_GOTPC32_TLSDESC Tls 4;
    R_X86_64_TLSDESC_CALL Tls 0;
    R_X86_64_PC32_BND = 39 PcRelative 4;
    R_X86_64_PLT32_BND = 40 PcRelative 4;
    R_X86_64_GOTPCRELX Got 4;
    R_X86_64_REX_GOTPCRELX Got 4;
    R_X86_64_CODE_4_GOTPCRELX Got 4;
    R_X86_64_CODE_4_GOTTPOFF Tls 4;
    R_X86_64_CODE_4_GOTPC32_TLSDESC Tls 4;
    R_X86_64_CODE_5_GOTPCRELX Got 4;
    R_X86_64_CODE_5_GOTTPOFF Tls 4;
    R_X86_64_CODE_5_GOTPC32_TLSDESC Tls 4;
    R_X86_64_CODE_6_GOTPCRELX Got 4;
    R_X86_64_CODE_6_GOTTPOFF Tls 4;
    R_X86_64_CODE_6_GOTPC32_TLSDESC Tls 4;
    R_X86_64_GNU_VTINHERIT = 250 None 0;
    R_X86_64_GNU_VTENTRY = 251 None 0;
};

#[expect(clippy::arithmetic_side_effects, reason = "places within code that is in memory")]
fn instruction_at(code: &[u8], from: usize, at: usize) -> Result<(usize, usize), usize> {
    let mut decoder = decoder(code.get(from..).unwrap_or(&[]), 0);
    loop {
        let start = from + decoder.position();
        let end = start + decode(&mut decoder).ok_or(start)?.len();
        if end > at {
            return Ok((start, end));
        }
    }
}

/// Decodes code that is at `ip`.
pub(super) fn decoder(code: &[u8], ip: u64) -> Decoder<'_> {
    Decoder::with_ip(64, code, ip, DecoderOptions::NONE)
}

/// The next instruction; `None` when there is none.
pub(super) fn decode(decoder: &mut Decoder<'_>) -> Option<Instruction> {
    if !decoder.can_decode() {
        return None;
    }
    let mut instruction = Instruction::default();
    decoder.decode_out(&mut instruction);
    (!instruction.is_invalid()).then_some(instruction)
}

fn reads_directly(code: &[u8], field: usize) -> Option<u64> {
    let mut decoder = decoder(code, 0);
    let instruction = decode(&mut decoder)?;
    let direct = instruction.is_ip_rel_memory_operand()
        || instruction.memory_base() == Register::None && instruction.memory_displ_size() > 0;
    if !direct
        || instruction.memory_index() != Register::None
        || instruction.mnemonic() == Mnemonic::Lea
        || decoder.get_constant_offsets(&instruction).displacement_offset() != field
    {
        return None;
    }
    // 0 for what has no fixed size, such as XSAVE.
    Some(instruction.memory_size().size() as u64).filter(|&size| size > 0)
}

/// See [`Arch::ends_instruction`]. A relative field of four bytes is the target of a branch,
/// which is the last field, or the displacement of a RIP-relative operand. Then the ModRM byte
/// (mod 00, r/m 101) is right before it, and an immediate may follow, but not with these
/// opcodes, in any opcode map (Intel SDM, volume 2, 2.1 and appendix A).
fn ends_instruction(before: &[u8], width: usize) -> bool {
    /// `mov` in its four forms, and `lea`.
    const WITHOUT_IMMEDIATE: [u8; 5] = [0x8b, 0x8d, 0x89, 0x8a, 0x88];
    let Some((modrm, before)) = before.split_last() else { return false };
    let plain = before.last().is_some_and(|opcode| WITHOUT_IMMEDIATE.contains(opcode));
    width == 4 && (modrm & 0xc7 != 0x05 || plain)
}

fn instruction_len(bytes: &[u8]) -> Option<usize> {
    decode(&mut decoder(bytes, 0)).map(|instruction| instruction.len())
}

#[expect(clippy::arithmetic_side_effects, reason = "places within code that is in memory")]
fn reach(code: &[u8], at: u64) -> Option<(u64, Option<Reach>)> {
    let mut decoder = decoder(code.get(usize::try_from(at).ok()?..)?, at);
    let instruction = decode(&mut decoder)?;
    let len = instruction.len();
    let places = decoder.get_constant_offsets(&instruction);
    let is_near = |kind| matches!(kind, OpKind::NearBranch32 | OpKind::NearBranch64);
    let (target, field, width, kind) = if instruction.op_kinds().any(is_near) {
        let (field, width) = (places.immediate_offset(), places.immediate_size());
        (instruction.near_branch_target(), field, width, R_X86_64_PLT32)
    } else if instruction.is_ip_rel_memory_operand() {
        let (field, width) = (places.displacement_offset(), places.displacement_size());
        (instruction.ip_rel_memory_address(), field, width, R_X86_64_PC32)
    } else {
        return Some((len as u64, None));
    };
    let mask = [0, 1, 2, 3].map(|i| if i < width { 0xff } else { 0 });
    let reloc = (width == 4).then(|| (kind.0, field as i64 - len as i64));
    Some((len as u64, Some(Reach { target, field: at + field as u64, mask, reloc })))
}

/// The instruction at byte `at`, with branch targets as bytes of `code`.
fn step(code: &[u8], at: u64) -> Option<Step> {
    let bytes = usize::try_from(at).ok().and_then(|at| code.get(at..))?;
    let instruction = decode(&mut decoder(bytes, at))?;
    let target = instruction.near_branch_target();
    let flow = match instruction.flow_control() {
        FlowControl::Next if is_padding(&instruction) => Flow::Padding,
        FlowControl::Next | FlowControl::IndirectCall => Flow::Next,
        FlowControl::UnconditionalBranch => Flow::Jump { target },
        // The condition is in the low bits of the opcode, and bit 0 of it negates.
        FlowControl::ConditionalBranch => match bytes {
            [opcode @ 0x70..=0x7f, ..] | [0x0f, opcode @ 0x80..=0x8f, ..] => {
                Flow::Branch { condition: opcode & 0xf, target }
            }
            _ => Flow::Unknown,
        },
        FlowControl::Call => Flow::Call { target },
        FlowControl::Return => Flow::Stop,
        FlowControl::Interrupt if instruction.mnemonic() == Mnemonic::Int3 => Flow::Trap,
        FlowControl::Exception => Flow::Trap,
        FlowControl::Interrupt => Flow::Next,
        FlowControl::IndirectBranch | FlowControl::XbeginXabortXend => Flow::Unknown,
    };
    let is_relative = instruction.is_ip_rel_memory_operand();
    Some(Step { len: instruction.len() as u64, flow, is_relative })
}

/// The instructions with which assemblers align code.
fn is_padding(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Nop
}

/// The immediate operands of the instructions in `code`, as far as they can be read. An
/// operand that is relocated is zero.
fn immediates(code: &[u8]) -> Vec<u64> {
    let mut found = Vec::new();
    let mut decoder = decoder(code, 0);
    while let Some(instruction) = decode(&mut decoder) {
        let operands =
            (0..instruction.op_count()).filter_map(|i| instruction.try_immediate(i).ok());
        found.extend(operands);
    }
    found
}

/// The relocation of the entry's fentry call: the first one of the function, at the place
/// where the compiler puts it. The place matters: behind a function without relocations
/// follows the next function, whose fentry call is not ours.
#[expect(clippy::arithmetic_side_effects, reason = "those before were passed over")]
fn fentry<'a>(f: &FunctionView<'_>, relocs: EntryRelocs<'_, 'a>) -> Option<EntryReloc<'a>> {
    let mut own = relocs.skip_while(|r| r.offset < f.value);
    let first = own.next()?;
    let call_or_nop = [R_X86_64_NONE.0, R_X86_64_PC32.0, R_X86_64_PLT32.0].contains(&first.kind);
    let place = match first.offset - f.value {
        1 => true,
        5 => bytes_at(f.section, f.value, 4) == Some(&ENDBR64),
        _ => false,
    };
    (first.symbol == FENTRY && call_or_nop && place).then_some(first)
}

/// `call`, `jmp` and `jcc` to a relative field, and `call` and `jmp` through a slot. No other
/// instruction has these bytes before a field that counts from the instruction's end.
fn is_branch(code: &[u8], offset: u64, kind: u32) -> bool {
    let relative =
        ARCH.reloc(kind).is_ok_and(|r| matches!(r.class, RelocClass::PcRelative | RelocClass::Got));
    let before = usize::try_from(offset).ok().and_then(|at| code.get(..at)).unwrap_or(&[]);
    relative
        && matches!(before, [.., CALL | JMP] | [.., 0x0f, 0x80..=0x8f] | [.., 0xff, 0x15 | 0x25])
}

/// Padding that no prefix symbol names: `-fpatchable-function-entry=N,N` puts N NOPs first.
fn nop_padding(view: &FunctionView<'_>) -> u64 {
    let lead = usize::try_from(view.value).ok().and_then(|v| view.section.get(..v));
    if lead.is_some_and(|l| l.iter().all(|&b| b == 0x90)) { view.value } else { 0 }
}

/// `mov $hash, %eax` among NOPs; the newer compilers' register tells the number of arguments.
fn type_hash(head: &[u8]) -> Option<&[u8]> {
    let opcode = head.iter().position(|&b| b != 0x90)?;
    let ([code, hash @ ..], behind) = head.get(opcode..)?.split_first_chunk::<5>()?;
    let mov = matches!(code, 0xb8..=0xbf);
    (mov && behind.iter().all(|&b| b == 0x90)).then_some(hash)
}

/// clang's check: `mov $-hash, %r10d; add -N(%reg), %r10d`, with the pointer in a register.
fn checks_type(code: &[u8]) -> Option<u32> {
    let (hash, add) = code.strip_prefix(&[0x41, 0xba])?.split_first_chunk::<4>()?;
    let adds = matches!(add, [0x44 | 0x45, 0x03, modrm, ..] if modrm & 0xf8 == 0x50);
    adds.then(|| u32::from_le_bytes(*hash).wrapping_neg())
}

/// The NOP that `-mnop-mcount` puts where the call would be; no relocation tells of it, but
/// `-mrecord-mcount` lists it.
fn listed_nop(f: &FunctionView<'_>) -> Option<u64> {
    let site = f.listed_site?;
    let at_entry = match site.checked_sub(f.value)? {
        0 => true,
        4 => bytes_at(f.section, f.value, 4) == Some(&ENDBR64),
        _ => false,
    };
    (at_entry && bytes_at(f.section, site, 5) == Some(&NOP_BYTES)).then_some(site)
}

fn has_profiling(f: &FunctionView<'_>, relocs: EntryRelocs<'_, '_>) -> bool {
    fentry(f, relocs).is_some() || listed_nop(f).is_some()
}

#[expect(clippy::arithmetic_side_effects, reason = "the call's field is behind its first byte")]
fn ftrace_site(f: &FunctionView<'_>, relocs: EntryRelocs<'_, '_>) -> Result<FtraceSite, String> {
    let Some(entry) = fentry(f, relocs) else {
        if let Some(offset) = listed_nop(f) {
            return Ok(FtraceSite { offset, rewrite: None });
        }
        return Err(format!("{}: no call of {FENTRY} at the start of the function", f.name));
    };
    let offset = entry.offset - 1;
    let (opcode, rewrite) = if entry.kind == R_X86_64_NONE.0 {
        (NOP5, Some((CALL_BYTES, R_X86_64_PC32.0)))
    } else {
        (CALL, None)
    };
    match bytes_at(f.section, offset, CALL_BYTES.len()) {
        Some([first, ..]) if *first == opcode => Ok(FtraceSite { offset, rewrite }),
        _ => Err(format!("{}: unexpected instruction at the start of the function", f.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RelocClass, fixtures};
    use super::*;

    #[test]
    fn distances_in_instructions() {
        let far = |target, field, reloc| {
            Some(Reach { target, field, mask: [0xff; 4], reloc: Some(reloc) })
        };
        let short = |target| Some(Reach { target, field: 17, mask: [0xff, 0, 0, 0], reloc: None });
        let none = |len| Some((len, None));
        for (bytes, wanted) in [
            (&[0xe8, 0xeb, 0xff, 0xff, 0xff][..], Some((5, far(0, 17, (4, -4))))),
            (&[0x2e, 0xe9, 4, 0, 0, 0], Some((6, far(26, 18, (4, -4))))),
            (&[0x0f, 0x85, 0, 1, 0, 0], Some((6, far(278, 18, (4, -4))))),
            (&[0xeb, 0x10], Some((2, short(34)))),
            (&[0x75, 0xfe], Some((2, short(16)))),
            // cmpl $1, 8(%rip): an immediate is behind the distance
            (&[0x83, 0x3d, 8, 0, 0, 0, 1], Some((7, far(31, 18, (2, -5))))),
            (&[0xc3], none(1)),
            (&[0xff, 0xd0], none(2)),
            (&[0xe8, 0, 0], None),
        ] {
            let code = [&[0x90; 16][..], bytes].concat();
            assert_eq!(reach(&code, 16), wanted, "{bytes:02x?}");
        }
    }

    const NONE: u32 = R_X86_64_NONE.0;
    const PC32: u32 = R_X86_64_PC32.0;
    const PLT32: u32 = R_X86_64_PLT32.0;
    const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0, 0];

    fn profiled(section: &[u8], value: u64, relocs: &[(u64, u32, &str)]) -> bool {
        has_profiling(&fixtures::view(section, value), &mut fixtures::relocs(relocs))
    }

    fn site(section: &[u8], value: u64, relocs: &[(u64, u32, &str)]) -> Result<FtraceSite, String> {
        ftrace_site(&fixtures::view(section, value), &mut fixtures::relocs(relocs))
    }

    #[test]
    fn table() {
        fixtures::check_table(&ARCH, "R_X86_64_");
        let row = |kind| {
            let r = ARCH.reloc(kind).unwrap();
            (r.name, r.class, r.width)
        };
        assert_eq!(row(0), ("R_X86_64_NONE", RelocClass::None, 0));
        assert_eq!(row(1), ("R_X86_64_64", RelocClass::Absolute, 8));
        assert_eq!(row(11), ("R_X86_64_32S", RelocClass::Absolute, 4));
        assert_eq!(row(24), ("R_X86_64_PC64", RelocClass::PcRelative, 8));
        assert_eq!(row(42), ("R_X86_64_REX_GOTPCRELX", RelocClass::Got, 4));
        for dynamic in [5, 6, 7, 8, 16, 36, 37, 38] {
            assert!(ARCH.reloc(dynamic).is_err(), "{dynamic} is for dynamic linking");
        }
        assert_eq!(ARCH.reloc(99).unwrap_err().message(), "unhandled rela type 99");
    }

    #[test]
    fn instruction_lengths() {
        let cases: [(&[u8], Option<usize>); 10] = [
            (&[0x90, 0x90], Some(1)),
            (&NOP, Some(5)),
            (&ENDBR64, Some(4)),
            (&[0x0f, 0x0b], Some(2)),
            // movq $imm32, disp32(%rip): the field of the displacement is not at the end
            (&[0x48, 0xc7, 0x05, 0, 0, 0, 0, 1, 0, 0, 0], Some(11)),
            // movabs
            (&[0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0], Some(10)),
            // the trap of clang's UBSAN: ud1 0x0(%eax),%eax
            (&[0x67, 0x0f, 0xb9, 0x40, 0x00], Some(5)),
            // cut off
            (&[0xe8, 0, 0], None),
            // push %es does not exist in 64-bit mode
            (&[0x06], None),
            (&[], None),
        ];
        for (bytes, want) in cases {
            assert_eq!(instruction_len(bytes), want, "{bytes:02x?}");
        }
    }

    #[test]
    fn call_at_the_entry() {
        let text = [0xe8, 0, 0, 0, 0, 0xc3];
        for kind in [PC32, PLT32] {
            let relocs = [(1, kind, FENTRY), (7, PC32, "other")];
            assert!(profiled(&text, 0, &relocs));
            assert_eq!(site(&text, 0, &relocs), Ok(FtraceSite { offset: 0, rewrite: None }));
        }
    }

    #[test]
    fn call_behind_endbr_and_prefix() {
        let text = [&[0x90; 16][..], &ENDBR64, &[0xe8, 0, 0, 0, 0, 0xc3]].concat();
        let relocs = [(21, PLT32, FENTRY)];
        assert!(profiled(&text, 16, &relocs));
        assert_eq!(site(&text, 16, &relocs), Ok(FtraceSite { offset: 20, rewrite: None }));
        // a relocation inside the prefix is not the function's first
        let relocs = [(2, PC32, "thunk"), (21, PLT32, FENTRY)];
        assert!(profiled(&text, 16, &relocs));
    }

    #[test]
    fn nop_left_by_objtool_becomes_a_call() {
        let text = [&ENDBR64[..], &NOP, &[0xc3]].concat();
        let relocs = [(5, NONE, FENTRY)];
        assert!(profiled(&text, 0, &relocs));
        let want = FtraceSite { offset: 4, rewrite: Some((&[0xe8, 0, 0, 0, 0], PC32)) };
        assert_eq!(site(&text, 0, &relocs), Ok(want));
    }

    #[test]
    fn unprofiled() {
        let text = [0xe8, 0, 0, 0, 0, 0xc3];
        assert!(!profiled(&text, 0, &[]));
        assert!(!profiled(&text, 0, &[(1, PC32, "__fentry")]));
        assert!(!profiled(&text, 0, &[(1, R_X86_64_32S.0, FENTRY)]));
        assert!(!profiled(&text, 0, &[(1, PC32, "f"), (7, PC32, FENTRY)]));
        // the next function's call
        let two = [&[0xc3][..], &text].concat();
        assert!(!profiled(&two, 0, &[(2, PC32, FENTRY)]));
        // four bytes before the call that are not endbr64
        let other = [&[0x90; 4][..], &text].concat();
        assert!(!profiled(&other, 0, &[(5, PC32, FENTRY)]));
        assert_eq!(
            site(&text, 0, &[]),
            Err("f: no call of __fentry__ at the start of the function".to_owned())
        );
    }

    #[test]
    fn wrong_bytes_at_the_entry() {
        let want = Err("f: unexpected instruction at the start of the function".to_owned());
        // relocation says NOP, bytes say call, and the other way round
        assert_eq!(site(&[0xe8, 0, 0, 0, 0], 0, &[(1, NONE, FENTRY)]), want);
        assert_eq!(site(&NOP, 0, &[(1, PC32, FENTRY)]), want);
        // cut off, and far outside
        assert_eq!(site(&[0xe8, 0, 0], 0, &[(1, PC32, FENTRY)]), want);
        assert_eq!(site(&[], u64::MAX - 1, &[(u64::MAX, PC32, FENTRY)]), want);
    }

    #[test]
    fn nop_of_the_compiler() {
        let text = [&ENDBR64[..], &NOP, &[0xc3]].concat();
        let listed =
            |listed_site, value| FunctionView { listed_site, ..fixtures::view(&text, value) };
        let at = |f: &FunctionView<'_>| {
            let relocs = &mut fixtures::relocs(&[]);
            has_profiling(f, relocs).then(|| ftrace_site(f, &mut fixtures::relocs(&[])))
        };
        let site = Ok(FtraceSite { offset: 4, rewrite: None });
        assert_eq!(at(&listed(Some(4), 0)), Some(site.clone()));
        assert_eq!(at(&listed(Some(4), 4)), Some(site));
        // not listed, another place, no NOP
        assert_eq!(at(&listed(None, 0)), None);
        assert_eq!(at(&listed(Some(4), 1)), None);
        assert_eq!(at(&listed(Some(0), 0)), None);
    }

    #[test]
    fn types_of_functions() {
        let hash = [0xb8, 0x94, 0x07, 0x05, 0x90];
        let nops = [0x90; 11];
        let head = [&hash[..], &nops].concat();
        assert_eq!(type_hash(&head), Some(&hash[1..]));
        assert_eq!(type_hash(&[&nops[..], &hash].concat()), Some(&hash[1..]));
        assert_eq!(type_hash(&nops), None);
        assert_eq!(type_hash(&[&hash[..], &[0xc3]].concat()), None);
        assert_eq!(type_hash(&hash[..4]), None);
        let check = [0x41, 0xba, 0x6c, 0xf8, 0xfa, 0xff, 0x45, 0x03, 0x53, 0xf1];
        assert_eq!(checks_type(&check), Some(0x50794));
        assert_eq!(checks_type(&check[..6]), None);
        assert_eq!(checks_type(&hash), None);
    }

    /// (instruction, place of its relative field, whether the bytes before tell its end)
    #[test]
    fn fields_at_the_end_of_instructions() {
        let cases: [(&[u8], usize, bool); 9] = [
            (&[0xe8, 0, 0, 0, 0], 1, true),
            (&[0x0f, 0x8d, 0, 0, 0, 0], 2, true),
            (&[0x48, 0x8d, 0x3d, 0, 0, 0, 0], 3, true),
            (&[0x44, 0x8b, 0x05, 0, 0, 0, 0], 3, true),
            // `call *x(%rip)`, `add`: not in the list.
            (&[0xff, 0x15, 0, 0, 0, 0], 2, false),
            (&[0x48, 0x03, 0x05, 0, 0, 0, 0], 3, false),
            // `cmpb $1, x(%rip)`, `movl $1, x(%rip)`, `pcmpistri $1, x(%rip), %xmm0`
            (&[0x80, 0x3d, 0, 0, 0, 0, 1], 2, false),
            (&[0xc7, 0x05, 0, 0, 0, 0, 1, 0, 0, 0], 2, false),
            (&[0x66, 0x0f, 0x3a, 0x63, 0x05, 0, 0, 0, 0, 1], 5, false),
        ];
        for (code, field, described) in cases {
            assert_eq!(ends_instruction(&code[..field], 4), described, "{code:x?}");
            let end = instruction_at(code, 0, field).unwrap().1;
            assert_eq!(end, code.len());
            assert!(!described || end == field + 4, "{code:x?}");
        }
    }

    #[test]
    fn branches() {
        let branch = |code: &[u8], kind| is_branch(code, code.len() as u64, kind);
        for code in [&[0xe8][..], &[0xe9], &[0x0f, 0x84], &[0x0f, 0x8f]] {
            assert!(branch(code, PLT32) && branch(code, PC32), "{code:x?}");
        }
        assert!(branch(&[0xff, 0x15], 41) && branch(&[0xff, 0x25], 9));
        // lea, mov of an immediate that looks like a call, and a pointer in data
        assert!(!branch(&[0x48, 0x8d, 0x05], PC32));
        assert!(!branch(&[0xbf, 0xe8], R_X86_64_32S.0));
        assert!(!is_branch(&[], u64::MAX, PC32));
    }

    #[test]
    fn hooks() {
        assert_eq!(ARCH.prefixed("__pfx_f"), Some("f"));
        assert_eq!(ARCH.prefixed("__cfi_f"), Some("f"));
        assert_eq!(ARCH.prefixed("f"), None);
        assert!((ARCH.is_function_pointer)(R_X86_64_32S.0, 0));
        assert!(!(ARCH.is_function_pointer)(R_X86_64_32S.0, 16));
        assert!(!(ARCH.is_function_pointer)(R_X86_64_64.0, 0));
        assert!(!(ARCH.never_klp)(44, ".text"));
        assert!(!ARCH.is_toc(50));
        assert_eq!((ARCH.site_table)(true), SiteTable::McountLoc);
    }
}
