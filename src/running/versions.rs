//! Versions of symbols (CONFIG_MODVERSIONS): the checksum of a symbol's type, which the kernel
//! has for what it exports, and a module for what it uses (Linux
//! Documentation/kbuild/modules.rst).

use super::image::KernelImage;
use crate::kernel::knowledge::{sections, symbols};

/// Section index of symbols that are values.
const ABSOLUTE: u32 = 0xfff1;

/// A row of `__versions`: a checksum in eight bytes, and a name.
const ROW: usize = 64;

/// What an image exports, with the versions that it has.
pub fn exported<'d>(image: &KernelImage<'d>) -> Vec<(&'d str, u32)> {
    let symbols = image.elf.symbols().iter();
    let versions = symbols.filter_map(|symbol| {
        let name = symbol.name.strip_prefix(symbols::CHECKSUM)?;
        let version = match symbol.section {
            0 => return None,
            ABSOLUTE => symbol.value,
            section => image.elf.integer(image.elf.bytes_from(section, symbol.value)?.get(..4)?),
        };
        Some((name, version as u32))
    });
    versions.collect()
}

/// What a module uses, with the versions that it was built for.
pub fn used(image: &KernelImage<'_>) -> Vec<(String, u32)> {
    let data = |name| image.elf.section_named(name).map_or(&[][..], |section| section.data);
    let [crcs, names] = sections::LONG_VERSIONS;
    used_in([data(sections::VERSIONS), data(crcs), data(names)], image.elf.little_endian)
}

/// The same from the contents of `__versions`, `__version_ext_crcs` and `__version_ext_names`.
pub fn used_in([versions, crcs, names]: [&[u8]; 3], little_endian: bool) -> Vec<(String, u32)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let number = |bytes: &[u8]| {
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        match little_endian {
            true => bytes.iter().rev().fold(0, fold),
            false => bytes.iter().fold(0, fold),
        }
    };
    let rows = versions.chunks_exact(ROW).filter_map(|row| {
        let (version, name) = row.split_at_checked(8)?;
        let name = name.split(|&b| b == 0).next()?;
        Some((text(name), number(version) as u32))
    });
    // Names of any length: a checksum of four bytes for each.
    let long = crcs.chunks_exact(4).zip(names.split(|&b| b == 0));
    let long = long.map(|(version, name)| (text(name), number(version) as u32));
    rows.chain(long).filter(|(name, _)| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let mut rows = vec![0; 2 * ROW];
        rows[0] = 9;
        rows[8..14].copy_from_slice(b"printk");
        let found = used_in([&rows, &[1, 0, 0, 0, 0, 0, 0, 2], b"kfree\0long\0"], true);
        let found: Vec<(&str, u32)> = found.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        assert_eq!(found, [("printk", 9), ("kfree", 1), ("long", 0x0200_0000)]);
        assert_eq!(used_in([&rows[..8], &[], &[]], false), []);
    }
}
