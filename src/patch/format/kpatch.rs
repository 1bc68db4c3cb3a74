//! kpatch's tables. Their rows are structs of C (`kpatch_patch_func`, `kpatch_symbol`,
//! `kpatch_relocation`, `kpatch_arch`) whose pointers are relocations, with nothing in the field;
//! see docs/compatibility.md. Names are in `.kpatch.strings`.

#![expect(clippy::indexing_slicing, reason = "a number has eight bytes, a field no more")]
#![expect(clippy::arithmetic_side_effects, reason = "a field is shorter than a number")]

use std::ops::Range;

use crate::kernel::knowledge::livepatch;

/// A kind of row.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The section that such rows are in.
    pub section: &'static str,
    /// Bytes of a row.
    pub size: u64,
    /// Where it has pointers.
    pub pointers: &'static [u64],
    /// Bytes that mean nothing.
    pub padding: Range<u64>,
}

/// A number at a place of a row.
fn number<const N: usize>(row: &[u8], at: usize, big_endian: bool) -> Option<u64> {
    let bytes = row.get(at..)?.first_chunk::<N>()?;
    let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    Some(match big_endian {
        true => bytes.iter().fold(0, fold),
        false => bytes.iter().rev().fold(0, fold),
    })
}

/// Puts a number of `N` bytes at a place of a row.
fn put<const N: usize>(row: &mut [u8], at: usize, value: u64, big_endian: bool) {
    let bytes = value.to_be_bytes();
    let Some(field) = row.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<N>()) else {
        return;
    };
    field.copy_from_slice(&bytes[bytes.len() - N..]);
    if !big_endian {
        field.reverse();
    }
}

/// A function that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionRow {
    /// Size of the new function.
    pub new_size: u64,
    /// Address of the old one.
    pub old_address: u64,
    /// Its size.
    pub old_size: u64,
    /// Its position among namesakes.
    pub position: u64,
}

impl FunctionRow {
    /// Its layout.
    pub const LAYOUT: Layout = Layout {
        section: livepatch::FUNCS,
        size: 56,
        pointers: &[Self::NEW, Self::NAME, Self::OBJECT],
        padding: 56..56,
    };
    /// Pointer to the new function.
    pub const NEW: u64 = 0;
    /// Pointer to the old one's name.
    pub const NAME: u64 = 40;
    /// Pointer to the name of the object that has it.
    pub const OBJECT: u64 = 48;

    /// Its bytes.
    pub fn encode(&self, big_endian: bool) -> [u8; 56] {
        let mut row = [0; 56];
        put::<8>(&mut row, 8, self.new_size, big_endian);
        put::<8>(&mut row, 16, self.old_address, big_endian);
        put::<8>(&mut row, 24, self.old_size, big_endian);
        put::<8>(&mut row, 32, self.position, big_endian);
        row
    }

    /// What bytes say; `None` when there are too few.
    pub fn decode(row: &[u8], big_endian: bool) -> Option<Self> {
        let number = |at| number::<8>(row, at, big_endian);
        Some(FunctionRow {
            new_size: number(8)?,
            old_address: number(16)?,
            old_size: number(24)?,
            position: number(32)?,
        })
    }
}

/// A symbol that livepatch resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolRow {
    /// Its address in the running kernel.
    pub address: u64,
    /// Its position among namesakes.
    pub position: u64,
    /// Its binding.
    pub bind: u8,
    /// Its type.
    pub kind: u8,
}

impl SymbolRow {
    /// Its layout.
    pub const LAYOUT: Layout = Layout {
        section: livepatch::SYMBOLS,
        size: 40,
        pointers: &[Self::NAME, Self::OBJECT],
        padding: 18..24,
    };
    /// Where it has the binding, with the type behind it.
    pub const BIND: u64 = 16;
    /// Pointer to its name.
    pub const NAME: u64 = 24;
    /// Pointer to the name of the object that has it.
    pub const OBJECT: u64 = 32;

    /// Its bytes.
    pub fn encode(&self, big_endian: bool) -> [u8; 40] {
        let mut row = [0; 40];
        put::<8>(&mut row, 0, self.address, big_endian);
        put::<8>(&mut row, 8, self.position, big_endian);
        [row[16], row[17]] = [self.bind, self.kind];
        row
    }

    /// What bytes say; `None` when there are too few.
    pub fn decode(row: &[u8], big_endian: bool) -> Option<Self> {
        Some(SymbolRow {
            address: number::<8>(row, 0, big_endian)?,
            position: number::<8>(row, 8, big_endian)?,
            bind: *row.get(16)?,
            kind: *row.get(17)?,
        })
    }
}

/// A relocation that livepatch applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelocationRow {
    /// Its type.
    pub kind: u32,
    /// Not zero when the symbol may be one that is exported.
    pub external: u32,
    /// Its addend.
    pub addend: i64,
}

impl RelocationRow {
    /// Its layout.
    pub const LAYOUT: Layout = Layout {
        section: livepatch::RELOCATIONS,
        size: 40,
        pointers: &[Self::PLACE, Self::OBJECT, Self::SYMBOL],
        padding: 40..40,
    };
    /// Pointer to what is relocated.
    pub const PLACE: u64 = 0;
    /// Pointer to the name of the object that is patched.
    pub const OBJECT: u64 = 24;
    /// Pointer to the [`SymbolRow`].
    pub const SYMBOL: u64 = 32;

    /// Its bytes.
    pub fn encode(&self, big_endian: bool) -> [u8; 40] {
        let mut row = [0; 40];
        put::<4>(&mut row, 8, self.kind.into(), big_endian);
        put::<4>(&mut row, 12, self.external.into(), big_endian);
        put::<8>(&mut row, 16, self.addend.cast_unsigned(), big_endian);
        row
    }

    /// What bytes say; `None` when there are too few.
    pub fn decode(row: &[u8], big_endian: bool) -> Option<Self> {
        Some(RelocationRow {
            kind: number::<4>(row, 8, big_endian)? as u32,
            external: number::<4>(row, 12, big_endian)? as u32,
            addend: number::<8>(row, 16, big_endian)?.cast_signed(),
        })
    }
}

/// A section that kernels before 5.8 apply when its object is loaded: two pointers.
pub struct ArchRow;

impl ArchRow {
    /// Its layout.
    pub const LAYOUT: Layout = Layout {
        section: livepatch::ARCH,
        size: 16,
        pointers: &[Self::SECTION, Self::OBJECT],
        padding: 16..16,
    };
    /// Pointer to the section.
    pub const SECTION: u64 = 0;
    /// Pointer to the name of the object.
    pub const OBJECT: u64 = 8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_are_written() {
        for big in [false, true] {
            let function = FunctionRow {
                new_size: 1,
                old_address: 0xffff_ffff_8123_4567,
                old_size: 3,
                position: 4,
            };
            assert_eq!(FunctionRow::decode(&function.encode(big), big), Some(function));
            let symbol = SymbolRow { address: 1 << 40, position: 7, bind: 1, kind: 2 };
            assert_eq!(SymbolRow::decode(&symbol.encode(big), big), Some(symbol));
            let relocation = RelocationRow { kind: 0x102, external: 1, addend: -4 };
            assert_eq!(RelocationRow::decode(&relocation.encode(big), big), Some(relocation));
        }
    }

    #[test]
    fn numbers_have_their_place_and_order() {
        let row = RelocationRow { kind: 0x0102_0304, external: 0, addend: 5 };
        assert_eq!(row.encode(false)[8..12], [4, 3, 2, 1]);
        assert_eq!(row.encode(true)[8..12], [1, 2, 3, 4]);
        assert_eq!(row.encode(true)[16..24], [0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(RelocationRow::decode(&row.encode(true)[..20], true), None);
    }

    #[test]
    fn pointers_and_numbers_do_not_overlap() {
        let full = FunctionRow {
            new_size: u64::MAX,
            old_address: u64::MAX,
            old_size: u64::MAX,
            position: u64::MAX,
        };
        let symbol =
            SymbolRow { address: u64::MAX, position: u64::MAX, bind: u8::MAX, kind: u8::MAX };
        let relocation = RelocationRow { kind: u32::MAX, external: u32::MAX, addend: -1 };
        let rows: [(Layout, &[u8]); 3] = [
            (FunctionRow::LAYOUT, &full.encode(false)),
            (SymbolRow::LAYOUT, &symbol.encode(false)),
            (RelocationRow::LAYOUT, &relocation.encode(false)),
        ];
        for (layout, row) in rows {
            assert_eq!(row.len() as u64, layout.size);
            for (at, &byte) in row.iter().enumerate() {
                let at = at as u64;
                let is_pointer = layout.pointers.iter().any(|p| (*p..p + 8).contains(&at));
                let blank = is_pointer || layout.padding.contains(&at);
                assert_eq!(byte == 0, blank, "{} at {at}", layout.section);
            }
        }
    }
}
