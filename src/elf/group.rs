//! Section groups (gABI, "Section Groups").

use super::ids::{SectionId, Side};
use super::object::{Object, read_u32};

/// What a section of type SHT_GROUP says.
pub struct Group {
    /// GRP_COMDAT: the linker keeps one of all groups of this name.
    pub comdat: bool,
    /// Header indexes as they are there; the file may be malformed.
    pub members: Vec<usize>,
}

/// Reads a section group; `None` when it does not even hold its flags.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "the index of a word times its size lies within the section"
)]
pub fn group<S: Side>(object: &Object<'_, S>, id: SectionId<S>) -> Option<Group> {
    const GRP_COMDAT: u32 = 1;
    let data = object.contents(id);
    let mut words = (0..data.len() / 4).filter_map(|i| read_u32(data, 4 * i, object.endian()));
    let comdat = words.next()? & GRP_COMDAT != 0;
    Some(Group { comdat, members: words.map(|word| word as usize).collect() })
}
