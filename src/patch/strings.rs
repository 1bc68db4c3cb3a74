//! `.kpatch.strings`: unique strings in order of first use.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

/// A pool of NUL-terminated strings.
#[derive(Default)]
pub struct Strings<'t> {
    offsets: IndexMap<&'t str, u64, RandomState>,
    bytes: Vec<u8>,
}

impl<'t> Strings<'t> {
    /// Byte offset of `text` in the pool; adds it when it is not there yet.
    pub fn offset(&mut self, text: &'t str) -> i64 {
        let next = self.bytes.len() as u64;
        let offset = *self.offsets.entry(text).or_insert(next);
        if offset == next {
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.push(0);
        }
        offset as i64
    }

    /// The pool's bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
