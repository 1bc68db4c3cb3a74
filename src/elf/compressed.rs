//! The header of a compressed section (System V gABI, chapter 4, "Section compression").

/// Bytes of an Elf64_Chdr: type, reserved, size, alignment.
pub(super) const HEADER: usize = 24;

/// Bytes that a compressed section holds, as its header claims: places in it are of these.
/// `None` where it is cut short.
pub(super) fn claimed_size(data: &[u8], big_endian: bool) -> Option<u64> {
    Some(integer(data.get(8..16).filter(|_| data.len() >= HEADER)?, big_endian))
}

/// A number in the file's byte order.
pub(super) fn integer(bytes: &[u8], big_endian: bool) -> u64 {
    let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
}
