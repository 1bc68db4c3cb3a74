//! A string table under construction: strings that end with NUL, each stored once, in the order
//! of first use.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use memchr::memchr;

/// Strings by their offsets. Of each string the table keeps only that.
#[derive(Default)]
pub struct Strings {
    bytes: Vec<u8>,
    offsets: HashTable<u32>,
    state: RandomState,
    is_full: bool,
}

impl Strings {
    /// A string table of an ELF file, where the empty string is first.
    pub fn of_elf() -> Self {
        let mut strings = Strings::default();
        strings.offset("");
        strings
    }

    /// Byte offset of `text`, which is added when it is new.
    pub fn offset(&mut self, text: &str) -> u32 {
        let Strings { bytes, offsets, state, is_full } = self;
        let wanted = text.as_bytes();
        let hash = state.hash_one(wanted);
        if let Some(&offset) = offsets.find(hash, |&at| string(bytes, at) == wanted) {
            return offset;
        }
        let Ok(offset) = u32::try_from(bytes.len()) else {
            *is_full = true;
            return 0;
        };
        offsets.insert_unique(hash, offset, |&at| state.hash_one(string(bytes, at)));
        bytes.extend_from_slice(wanted);
        bytes.push(0);
        offset
    }

    /// The table; `None` when there was no room for some string.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        (!self.is_full).then_some(self.bytes)
    }
}

/// The string at byte `at`.
fn string(bytes: &[u8], at: u32) -> &[u8] {
    let rest = bytes.get(at as usize..).unwrap_or_default();
    memchr(0, rest).and_then(|end| rest.get(..end)).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_stored_once() {
        let mut strings = Strings::of_elf();
        let texts = ["a", "", "bc", "a", "c", "bc"];
        assert_eq!(texts.map(|text| strings.offset(text)), [1, 0, 3, 1, 6, 3]);
        for i in 0..1000 {
            strings.offset(&i.to_string());
        }
        assert_eq!(strings.offset("c"), 6);
        let bytes = strings.into_bytes().unwrap();
        assert_eq!(bytes[..8], *b"\0a\0bc\0c\0");
        assert_eq!(bytes.len(), 8 + 10 * 2 + 90 * 3 + 900 * 4);
    }
}
