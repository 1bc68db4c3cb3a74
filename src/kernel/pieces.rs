//! Data without a name, cut where references point to.
//!
//! Constant pools, jump tables, compound literals, alternative instructions: nothing names
//! them, so they are compared by content. Where one ends is not written down either; the
//! next place that anything refers to is the best bound there is.

use super::layout::{Class, Layout};
use super::names;
use super::refs::Refs;
use super::tables::{RowSize, TABLES};
use crate::elf::abi;
use crate::elf::ids::{Csr, SectionId, Side};
use crate::elf::object::{Home, Object};
use crate::error::Result;

/// The referenced offsets of each section whose data has no names, ascending.
pub struct Pieces<S> {
    starts: Csr<SectionId<S>, u32>,
}

/// Whether references into `section` can only be understood by content. Layouts keep the
/// answer: [`Layout::is_nameless`].
pub(super) fn holds_nameless<S: Side>(
    layout: &Layout<'_, '_, S>,
    section: SectionId<S>,
    name: &str,
) -> bool {
    let object = layout.object;
    let data = match layout.class(section) {
        Class::Data | Class::Text => true,
        // Code that the exception table leads to.
        Class::Table(index) => return TABLES[usize::from(index)].row == RowSize::ByExceptionTable,
        _ => false,
    };
    data && layout.owner(section).is_none()
        && (name.starts_with(".altinstr_")
            || name.starts_with(".rodata")
            || names::is_clang_unnamed(name)
            || object.members(section).is_empty()
                && object.section_flags(section) & abi::SHF_WRITE == 0)
}

/// Constants of one size: where a piece ends follows from where it is.
fn is_pool<S: Side>(object: &Object<'_, S>, section: SectionId<S>) -> bool {
    object.section_flags(section) & abi::SHF_MERGE != 0 && object.section_entsize(section) > 0
}

impl<S: Side> Pieces<S> {
    /// One pass over the relocations that refer to sections with nameless data.
    pub fn new(layout: &Layout<'_, '_, S>) -> Result<Self> {
        let object = layout.object;
        let mut starts: Vec<(SectionId<S>, u32)> = Vec::new();
        for base in object.sections() {
            if object.rela_section(base).is_none()
                || matches!(layout.class(base), Class::Debug | Class::Noise(_))
            {
                continue;
            }
            let refs = Refs::new(layout, base);
            for reloc in object.relocs(base).iter() {
                let Home::Section(target) = object.home(reloc.symbol) else { continue };
                if !layout.is_nameless(target) || is_pool(object, target) {
                    continue;
                }
                let value = object.symbol_value(reloc.symbol) as i64;
                let at = refs.target_offset(&reloc)?.wrapping_add(value);
                if let Ok(at) = u32::try_from(at) {
                    starts.push((target, at));
                }
            }
        }
        starts.sort_unstable();
        starts.dedup();
        Ok(Pieces { starts: Csr::build(object.section_count(), || starts.iter().copied()) })
    }

    /// End of the piece of `section` that byte `at` is in.
    pub fn end(&self, layout: &Layout<'_, '_, S>, section: SectionId<S>, at: u64) -> u64 {
        let object = layout.object;
        let size = object.section_size(section);
        if is_pool(object, section) {
            let entsize = object.section_entsize(section);
            return (at / entsize).saturating_add(1).saturating_mul(entsize).min(size);
        }
        let starts = self.starts.get(section);
        let next = starts.partition_point(|&s| u64::from(s) <= at);
        starts.get(next).map_or(size, |&s| u64::from(s).min(size))
    }
}
