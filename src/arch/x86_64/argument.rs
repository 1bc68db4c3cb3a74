//! How x86-64 code loads what it passes in registers (Intel SDM, volume 2, for the encodings).

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within code that is in memory, and fields of a few bits"
)]

/// Whether the field at `field` is that of an instruction that loads `register`, and from there
/// to the call whose field is at `call` nothing but loads of other registers.
pub(super) fn is_loaded(code: &[u8], field: u64, call: u64, register: u8) -> bool {
    let starts = [field.checked_sub(3), field.checked_sub(1), field.checked_sub(2)];
    starts.into_iter().flatten().any(|start| {
        let Some(first) = load(code, start).filter(|l| l.register == register) else {
            return false;
        };
        if start + first.field != field {
            return false;
        }
        let mut at = start + first.length;
        while let Some(next) = load(code, at).filter(|l| l.register != register) {
            at += next.length;
        }
        code.get(at as usize) == Some(&0xe8) && at + 1 == call
    })
}

/// An instruction that puts a value into a register, and does nothing else.
struct Load {
    register: u8,
    length: u64,
    /// Where its immediate or its address is.
    field: u64,
}

/// Reads such an instruction: `mov` of an immediate or another register, and `lea` of an
/// address that is relative to the instruction.
fn load(code: &[u8], at: u64) -> Option<Load> {
    let bytes = code.get(at as usize..)?;
    let (rex, rest) = match bytes {
        [rex @ 0x40..=0x4f, rest @ ..] => (*rex, rest),
        _ => (0, bytes),
    };
    let prefix = u64::from(rex != 0);
    let (wide, reg, base) = (rex & 8 != 0, rex & 4, rex & 1);
    let load = |register, length, field| {
        Some(Load { register, length: prefix + length, field: prefix + field })
    };
    match *rest {
        // mov reg, imm32
        [op @ 0xb8..=0xbf, ..] if !wide => load((op & 7) | base << 3, 5, 1),
        // mov reg, sign-extended imm32
        [0xc7, modrm @ 0xc0..=0xc7, ..] => load((modrm & 7) | base << 3, 6, 2),
        // lea reg, [rip + disp32]
        [0x8d, modrm, ..] if wide && modrm & 0xc7 == 5 => load((modrm >> 3 & 7) | reg << 1, 6, 2),
        // mov reg, reg
        [0x89, modrm @ 0xc0..=0xff, ..] => load((modrm & 7) | base << 3, 2, 2),
        [0x8b, modrm @ 0xc0..=0xff, ..] => load((modrm >> 3 & 7) | reg << 1, 2, 2),
        // xor reg, reg, which makes it 0
        [0x31, modrm @ 0xc0..=0xff, ..] if modrm >> 3 & 7 == modrm & 7 && reg >> 2 == base => {
            load((modrm & 7) | base << 3, 2, 2)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loads_lie_between_the_constant_and_the_call() {
        // mov rdx, imm; mov esi, 8; mov rdi, rsi; call
        let code =
            [0x48, 0xc7, 0xc2, 0, 0, 0, 0, 0xbe, 8, 0, 0, 0, 0x48, 0x89, 0xf7, 0xe8, 0, 0, 0, 0];
        assert!(is_loaded(&code, 3, 16, 2));
        assert!(!is_loaded(&code, 3, 16, 6), "another register");
        assert!(!is_loaded(&code, 8, 16, 2), "another field");
        let mut other = code;
        // mov rdx, rsi: the location is gone.
        other[14] = 0xf2;
        assert!(!is_loaded(&other, 3, 16, 2));
        // push rsi: read by something else.
        other[12..15].copy_from_slice(&[0x90, 0x90, 0x56]);
        assert!(!is_loaded(&other, 3, 16, 2));
        // lea rdi, [rip]; call, and with a jump instead
        let code = [0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0];
        assert!(is_loaded(&code, 3, 8, 7));
        let code = [0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0];
        assert!(!is_loaded(&code, 3, 8, 7));
    }
}
