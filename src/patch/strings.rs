//! `.kpatch.strings`: unique strings in order of first use.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

/// A pool of NUL-terminated strings.
#[derive(Default)]
pub struct Strings {
    offsets: IndexMap<String, u64, RandomState>,
    bytes: Vec<u8>,
}

impl Strings {
    /// Byte offset of `text` in the pool; adds it when it is not there yet.
    pub fn offset(&mut self, text: &str) -> i64 {
        if let Some(&offset) = self.offsets.get(text) {
            return offset as i64;
        }
        let offset = self.bytes.len() as u64;
        self.offsets.insert(text.to_owned(), offset);
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        offset as i64
    }

    /// The pool's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
