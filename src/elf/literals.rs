//! Strings in the sections of an object: elements of sh_entsize bytes, up to one that is zero
//! (System V gABI, SHF_STRINGS).

use memchr::memchr;

use super::abi;
use super::ids::{SectionId, Side};
use super::object::Object;

impl<'d, S: Side> Object<'d, S> {
    /// Bytes of each element of the strings in a section: sh_entsize of a SHF_STRINGS section,
    /// where compilers also put tables of integers whose last element alone is zero.
    pub fn string_element(&self, section: SectionId<S>) -> u64 {
        let wide = self.section_flags(section) & abi::SHF_STRINGS != 0;
        self.section_entsize(section).max(1).min(if wide { u64::MAX } else { 1 })
    }

    /// The bytes at `offset` of a section up to the first element of
    /// [`Object::string_element`] bytes that is zero; elements are counted from the start of
    /// the section. `None` when the offset is outside or no such element follows.
    #[expect(clippy::arithmetic_side_effects, reason = "places within the section")]
    pub fn string_at(&self, section: SectionId<S>, offset: i64) -> Option<&'d [u8]> {
        let start = usize::try_from(offset).ok()?;
        let data = self.contents(section).get(start..)?;
        let element = usize::try_from(self.string_element(section)).ok()?;
        if element == 1 {
            return memchr(0, data).and_then(|end| data.get(..end));
        }
        let lead = start.next_multiple_of(element) - start;
        let mut elements = data.get(lead..)?.chunks_exact(element);
        let before = elements.position(|element| element.iter().all(|&b| b == 0))?;
        data.get(..lead + before * element)
    }

    /// Whether a string may start at `offset` of a section: at its start, or behind an element
    /// that is zero.
    pub fn starts_string(&self, section: SectionId<S>, offset: i64) -> bool {
        let data = self.contents(section);
        let (Ok(at), Ok(element)) =
            (usize::try_from(offset), usize::try_from(self.string_element(section)))
        else {
            return false;
        };
        let before = at.checked_sub(element).and_then(|start| data.get(start..at));
        at < data.len()
            && at.is_multiple_of(element)
            && (at == 0 || before.is_some_and(|element| element.iter().all(|&b| b == 0)))
    }
}
