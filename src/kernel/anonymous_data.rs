//! Data without a name, cut where references point to.
//!
//! Constant pools, jump tables, compound literals, alternative instructions: nothing names
//! them, so they are compared by content. Where one ends is not written down either; the
//! next place that anything refers to is the best bound there is, unless one function refers
//! to both: it may read one thing in parts that another function reads as a whole.

#![expect(clippy::arithmetic_side_effects, reason = "a pool has an entry size")]

use super::constructors;
use super::layout::{Class, Layout};
use super::refs::Refs;
use super::rows::Rows;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Csr, Marks, SectionId, Side};
use crate::elf::object::{Home, Object};

/// The referenced offsets of each section whose data has no names, ascending.
pub struct AnonymousData<S> {
    /// With each: whether a function that refers to it also refers to the one before.
    starts: Csr<SectionId<S>, (u32, bool)>,
    /// Sections that a single function or variable refers to.
    whole: Vec<SectionId<S>>,
    /// What only sanitizers read, and no code: see [`constructors::descriptors`].
    descriptors: Vec<SectionId<S>>,
}

/// In so many parts at most a function reads one nameless thing.
pub const MAX_PARTS: usize = 64;

/// A place that is read: its section, and its offset with whether one reader of it also reads
/// the place before.
type Start<S> = (SectionId<S>, (u32, bool));

/// A reference to nameless data: section and offset, and the entity it is in.
type Read<S> = (SectionId<S>, u32, Option<(SectionId<S>, u32)>);

/// Constants of one size: where a piece ends follows from where it is.
fn is_pool<S: Side>(object: &Object<'_, S>, section: SectionId<S>) -> bool {
    object.section_flags(section) & abi::SHF_MERGE != 0 && object.section_entsize(section) > 0
}

impl<S: Side> AnonymousData<S> {
    /// One pass over the relocations that refer to sections with nameless data. That a row of
    /// a table describes code is no reason for the code to begin there.
    pub fn new(layout: &Layout<'_, S>, rows: &Rows<S>) -> Result<Self> {
        let object = layout.object;
        let mut reads: Vec<Read<S>> = Vec::new();
        let nameless = Marks::from_fn(object.symbol_count(), |id| {
            object.section_of(id).is_some_and(|s| layout.is_nameless(s) && !is_pool(object, s))
        });
        let descriptors = constructors::descriptors(layout);
        for &base in object.relocated() {
            if matches!(layout.class(base), Class::Debug | Class::Noise(_))
                || descriptors.binary_search(&base).is_ok()
            {
                continue;
            }
            let refs = Refs::new(layout, base);
            let table = rows.table_of(base);
            let size = object.section_size(base);
            for reloc in object.relocs(base).iter() {
                if !nameless.has(reloc.symbol)
                    || table.is_some_and(|table| table.describes(reloc.offset, size))
                {
                    continue;
                }
                let Home::Section(target) = object.home(reloc.symbol) else { continue };
                let value = object.symbol_value(reloc.symbol) as i64;
                let at = refs.target_offset(&reloc)?.wrapping_add(value);
                if let Ok(at) = u32::try_from(at) {
                    let reader = layout.entity_at(base, reloc.offset).map(|i| (base, i as u32));
                    reads.push((target, at, reader));
                }
            }
        }
        reads.sort_unstable();
        reads.dedup();
        let (starts, whole) = cut(&reads);
        let starts = Csr::build(object.section_count(), || starts.iter().copied());
        Ok(AnonymousData { starts, whole, descriptors })
    }

    /// Whether a section only describes variables to a sanitizer.
    pub fn describes(&self, section: SectionId<S>) -> bool {
        self.descriptors.binary_search(&section).is_ok()
    }

    /// Whether what precedes byte `at` of a section belongs to the piece that begins there:
    /// it is the first, and the section has a single reader.
    pub fn leads(&self, section: SectionId<S>, at: u64) -> bool {
        self.whole.binary_search(&section).is_ok()
            && self.starts.get(section).first().is_some_and(|&(first, _)| at <= u64::from(first))
    }

    /// Start and end of all that a reader of byte `at` of `section` may mean.
    pub fn extent(&self, layout: &Layout<'_, S>, section: SectionId<S>, at: u64) -> (u64, u64) {
        let (mut end, mut more) = self.end(layout, section, at);
        for _ in 1..MAX_PARTS {
            if !more {
                break;
            }
            (end, more) = self.end(layout, section, end);
        }
        (if self.leads(section, at) { 0 } else { at }, end)
    }

    /// End of the piece of `section` that byte `at` is in, and whether what is meant may go
    /// on behind it.
    pub fn end(&self, layout: &Layout<'_, S>, section: SectionId<S>, at: u64) -> (u64, bool) {
        let object = layout.object;
        let size = object.section_size(section);
        if is_pool(object, section) {
            let entsize = object.section_entsize(section);
            return ((at / entsize).saturating_add(1).saturating_mul(entsize).min(size), false);
        }
        let starts = self.starts.get(section);
        let next = starts.partition_point(|&(start, _)| u64::from(start) <= at);
        starts.get(next).map_or((size, false), |&(start, more)| (u64::from(start).min(size), more))
    }
}

/// The places that are read, each with whether one reader of it also reads the place before,
/// and the sections that have a single reader. `reads` is sorted.
fn cut<S: Side>(reads: &[Read<S>]) -> (Vec<Start<S>>, Vec<SectionId<S>>) {
    let (mut starts, mut whole) = (Vec::new(), Vec::new());
    for of_section in reads.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(section, _, first)) = of_section.first() else { continue };
        if first.is_some() && of_section.iter().all(|r| r.2 == first) {
            whole.push(section);
        }
        let mut before: &[Read<S>] = &[];
        for readers in of_section.chunk_by(|a, b| a.1 == b.1) {
            let more = readers
                .iter()
                .filter(|r| r.2.is_some())
                .any(|r| before.binary_search_by(|b| b.2.cmp(&r.2)).is_ok());
            starts.extend(readers.first().map(|r| (r.0, (r.1, more))));
            before = readers;
        }
    }
    (starts, whole)
}
