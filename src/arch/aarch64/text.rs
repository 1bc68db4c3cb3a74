//! AArch64 instructions in words, for people.

use yaxpeax_arch::{Decoder as _, U8Reader};
use yaxpeax_arm::armv8::a64::InstDecoder;

/// The instruction in the syntax of Arm's manual. What the relocation at its start stands for
/// takes the place of the distance, or is told behind it where that is in several fields.
pub(super) fn instruction_text(
    bytes: &[u8],
    _: u64,
    named: &dyn Fn(u64) -> Option<String>,
) -> Option<String> {
    let word = bytes.get(..4)?;
    let instruction = InstDecoder::default().decode(&mut U8Reader::new(word)).ok()?;
    let text = instruction.to_string();
    let Some(name) = named(0) else { return Some(text) };
    // A distance is written as `$+0x10`, and is the last operand.
    Some(match text.split_once('$') {
        Some((before, _)) => before.to_owned() + &name,
        None => format!("{text} <{name}>"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: u32, name: Option<&str>) -> String {
        instruction_text(&word.to_le_bytes(), 0, &|_| name.map(str::to_owned))
            .expect("an instruction")
    }

    #[test]
    fn operands_have_names() {
        assert_eq!(text(0x9400_0000, Some("kfree")), "bl kfree");
        assert_eq!(text(0x9000_0000, Some("ops")), "adrp x0, ops");
        assert_eq!(text(0x9100_0000, Some("ops")), "add x0, x0, #0x0 <ops>");
        assert_eq!(text(0x5400_0040, Some("L1")), "b.eq L1");
        assert_eq!(text(0xd65f_03c0, None), "ret");
        assert_eq!(text(0x5280_0140, None), "mov w0, #0xa");
    }

    #[test]
    fn no_word_ends_the_program() {
        // A linear congruential generator: Numerical Recipes.
        let mut word = 1_u32;
        for _ in 0..2_000_000 {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let _ = instruction_text(&word.to_le_bytes(), 0, &|_| None);
        }
    }
}
