//! What the fuzz targets share: a mutator that knows ELF, and the form of their inputs.

mod elf;

use elf::mutate;

/// Splits an input into two objects: the length of the first as a 32-bit little-endian number,
/// then both. What is too short for that is one object, compared with itself.
pub fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let parts = data.split_first_chunk::<4>().and_then(|(length, rest)| {
        rest.split_at_checked(u32::from_le_bytes(*length) as usize)
    });
    parts.unwrap_or((data, data))
}

/// The input that [`split`] takes apart.
pub fn join(orig: &[u8], patched: &[u8]) -> Vec<u8> {
    let mut joined = (orig.len() as u32).to_le_bytes().to_vec();
    joined.extend_from_slice(orig);
    joined.extend_from_slice(patched);
    joined
}

/// Mutates an input that is one object in place; gives its new size.
pub fn mutate_object(data: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    let mut bytes = data[..size].to_vec();
    mutate(&mut bytes, seed);
    let size = bytes.len().min(max).min(data.len());
    data[..size].copy_from_slice(&bytes[..size]);
    size
}

/// Mutates one of the two objects of an input in place; gives its new size.
pub fn mutate_pair(data: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    let (orig, patched) = split(&data[..size]);
    let (mut orig, mut patched) = (orig.to_vec(), patched.to_vec());
    let changed = if seed & 1 == 0 { &mut patched } else { &mut orig };
    mutate(changed, seed >> 1);
    let joined = join(&orig, &patched);
    if joined.len() > max.min(data.len()) {
        return size;
    }
    data[..joined.len()].copy_from_slice(&joined);
    joined.len()
}
