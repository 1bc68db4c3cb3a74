//! x86 instructions in words, for people.

use iced_x86::{
    ConstantOffsets, Formatter, Instruction, IntelFormatter, OpKind, SymbolResolver, SymbolResult,
};

use super::{decode, decoder};

/// The names of what an instruction's fields stand for.
struct Operands {
    displacement: Option<String>,
    immediate: Option<String>,
}

impl SymbolResolver for Operands {
    fn symbol(
        &mut self,
        instruction: &Instruction,
        _operand: u32,
        operand: Option<u32>,
        address: u64,
        _size: u32,
    ) -> Option<SymbolResult<'_>> {
        let name = match instruction.op_kind(operand?) {
            OpKind::Memory => self.displacement.clone()?,
            // Targets are counted from the start of the function.
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                let at = address.cast_signed();
                self.immediate.clone().unwrap_or_else(|| {
                    let sign = if at < 0 { '-' } else { '+' };
                    format!("{sign}{:#x}", at.unsigned_abs())
                })
            }
            _ => self.immediate.clone()?,
        };
        Some(SymbolResult::with_string(address, name))
    }
}

/// The instruction in Intel's syntax; `at` is its place in the function. A field that a
/// relocation fills has the name that `named` gives, by its distance from the first byte.
pub(super) fn instruction_text(
    bytes: &[u8],
    at: u64,
    named: &dyn Fn(u64) -> Option<String>,
) -> Option<String> {
    let mut decoder = decoder(bytes, at);
    let instruction = decode(&mut decoder)?;
    let places: ConstantOffsets = decoder.get_constant_offsets(&instruction);
    let name = |has: bool, at: usize| if has { named(at as u64) } else { None };
    let operands = Operands {
        displacement: name(places.has_displacement(), places.displacement_offset()),
        immediate: name(places.has_immediate(), places.immediate_offset()),
    };
    let mut text = String::new();
    let mut formatter = IntelFormatter::with_options(Some(Box::new(operands)), None);
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_small_hex_numbers_in_decimal(true);
    options.set_uppercase_hex(false);
    options.set_signed_immediate_operands(true);
    options.set_show_branch_size(false);
    formatter.format(&instruction, &mut text);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], at: u64, names: &[(u64, &str)]) -> String {
        let named = |at| names.iter().find(|n| n.0 == at).map(|n| n.1.to_owned());
        instruction_text(bytes, at, &named).expect("an instruction")
    }

    #[test]
    fn operands_have_names() {
        assert_eq!(text(&[0xe8, 0, 0, 0, 0], 0x10, &[(1, "kfree")]), "call kfree");
        assert_eq!(text(&[0x48, 0xc7, 0xc7, 0, 0, 0, 0], 0, &[(3, "ops+8")]), "mov rdi, ops+8");
        let load = [0x48, 0x8b, 0x05, 0, 0, 0, 0];
        assert_eq!(text(&load, 4, &[(3, "jiffies")]), "mov rax, [jiffies]");
        let store = [0xc7, 0x05, 0, 0, 0, 0, 5, 0, 0, 0];
        assert_eq!(text(&store, 4, &[(2, "limit")]), "mov dword ptr [limit], 5");
        let indexed = [0x48, 0x8b, 0x04, 0xc5, 0, 0, 0, 0];
        assert_eq!(text(&indexed, 0, &[(4, "table")]), "mov rax, [rax*8+table]");
    }

    #[test]
    fn targets_are_places_of_the_function() {
        assert_eq!(text(&[0x74, 0x10], 0x1c4, &[]), "je +0x1d6");
        assert_eq!(text(&[0xeb, 0x80], 0x10, &[]), "jmp -0x6e");
    }

    #[test]
    fn negative_numbers_are_negative() {
        assert_eq!(text(&[0x48, 0x8b, 0x43, 0xf8], 0, &[]), "mov rax, [rbx-8]");
        assert_eq!(text(&[0xb8, 0xea, 0xff, 0xff, 0xff], 0, &[]), "mov eax, -0x16");
        assert_eq!(text(&[0x48, 0x83, 0xc4, 0xf0], 0, &[]), "add rsp, -0x10");
    }
}
