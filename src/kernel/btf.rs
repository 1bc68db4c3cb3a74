//! Sizes of structs from a kernel's BTF section (Documentation/bpf/btf.rst).

#![expect(
    clippy::arithmetic_side_effects,
    reason = "sums of numbers of 32 bits in one of 64; what is larger is checked"
)]

use crate::diag::{Code, Error, Result};

/// The structs that table sections consist of, and the names their sizes go by. Rows of
/// `.printk_index` are pointers, so no struct gives their size.
pub(super) const STRUCTS: [(&str, &str); 8] = [
    ("alt_instr", "ALT_STRUCT_SIZE"),
    ("bug_entry", "BUG_STRUCT_SIZE"),
    ("exception_table_entry", "EX_STRUCT_SIZE"),
    ("fixup_entry", "FIXUP_STRUCT_SIZE"),
    ("jump_entry", "JUMP_STRUCT_SIZE"),
    ("orc_entry", "ORC_STRUCT_SIZE"),
    ("paravirt_patch_site", "PARA_STRUCT_SIZE"),
    ("static_call_site", "STATIC_CALL_STRUCT_SIZE"),
];

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;

/// Bytes that follow the 12 of a type of this kind with this number of members.
fn extra(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        // Pointers, forwards, typedefs, qualifiers, functions, floats and type tags.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables and declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structs, unions, sections of data and 64-bit enumerations.
        4 | 5 | 15 | 19 => members * 12,
        // Enumerations and prototypes.
        6 | 13 => members * 8,
        _ => return None,
    })
}

/// The sizes in bytes of the structs of the kernel's tables that `data` describes, by the
/// names of [`crate::kernel::knowledge::tables::StructSizes`]. Fails on what is no BTF of version 1.
pub fn struct_sizes(data: &[u8], little_endian: bool) -> Result<Vec<(&'static str, u64)>> {
    parse(data, little_endian).ok_or_else(|| {
        Error::broken(Code::MalformedBtf, "the type information cannot be read").in_section(".BTF")
    })
}

fn parse(data: &[u8], little_endian: bool) -> Option<Vec<(&'static str, u64)>> {
    let word = |data: &[u8], at: usize| {
        let bytes = data.get(at..)?.first_chunk::<4>()?;
        Some(if little_endian { u32::from_le_bytes(*bytes) } else { u32::from_be_bytes(*bytes) })
    };
    let start = word(data, 0)?;
    let (magic, version) = if little_endian {
        (start as u16, start >> 16 & 0xff)
    } else {
        ((start >> 16) as u16, start >> 8 & 0xff)
    };
    if magic != MAGIC || version != 1 {
        return None;
    }
    let part = |at: usize| {
        let from = (word(data, 4)? as usize).checked_add(word(data, at)? as usize)?;
        data.get(from..from.checked_add(word(data, at + 4)? as usize)?)
    };
    let (types, strings) = (part(8)?, part(16)?);
    let mut sizes = Vec::new();
    let mut at = 0;
    while at < types.len() {
        let (name, info, size) = (word(types, at)?, word(types, at + 4)?, word(types, at + 8)?);
        let kind = info >> 24 & 0x1f;
        if kind == KIND_STRUCT && name != 0 {
            let text = strings.get(name as usize..)?;
            let text = text.split(|&b| b == 0).next().filter(|t| t.len() < text.len())?;
            let known = STRUCTS.iter().find(|(wanted, _)| wanted.as_bytes() == text);
            if let Some(&(_, variable)) = known
                && size > 0
                && !sizes.iter().any(|&(v, _)| v == variable)
            {
                sizes.push((variable, u64::from(size)));
            }
        }
        at = at.checked_add(12 + extra(kind, (info & 0xffff) as usize)?)?;
    }
    Some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `int`, then `struct bug_entry { int a; }`.
    fn sample(little: bool) -> Vec<u8> {
        let word = |w: u32| if little { w.to_le_bytes() } else { w.to_be_bytes() };
        let mut data = if little { vec![0x9f, 0xeb, 1, 0] } else { vec![0xeb, 0x9f, 1, 0] };
        let strings = b"\0int\0bug_entry\0a\0";
        let types = [1, 1 << 24, 4, 0x20, 5, 4 << 24 | 1, 12, 15, 1, 0];
        for w in [24, 0, 40, 40, strings.len() as u32] {
            data.extend(word(w));
        }
        types.iter().for_each(|&w| data.extend(word(w)));
        data.extend(strings);
        data
    }

    #[test]
    fn finds_the_sizes() {
        for little in [true, false] {
            let sizes = struct_sizes(&sample(little), little).expect("parses");
            assert_eq!(sizes, [("BUG_STRUCT_SIZE", 12)]);
        }
    }

    #[test]
    fn broken_data_is_an_error() {
        let whole = sample(true);
        for cut in 0..whole.len() - 3 {
            let result = struct_sizes(&whole[..cut], true);
            assert!(result.is_err(), "cut to {cut}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let _ = struct_sizes(&bytes, true);
        }
    }
}
