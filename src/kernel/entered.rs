//! Places inside of code that something refers to: what jumps there by a relocation, tables of
//! jumps, exception tables, and tables by which the kernel rewrites code while it runs.

use std::sync::OnceLock;

use super::layout::{Class, Layout};
use super::refs::Refs;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side};

/// The places of an object, which are looked for once somebody asks.
pub struct Entered<'a, S> {
    layout: &'a Layout<'a, S>,
    places: OnceLock<Result<Places<S>>>,
}

/// The places, sorted.
#[derive(Debug)]
pub struct Places<S>(Vec<(SectionId<S>, u64)>);

/// Tables whose references to code neither lead there nor rewrite more than the one call, return,
/// trap or prefix they describe.
const DESCRIBING: [&str; 8] = [
    "__bug_table",
    ".smp_locks",
    ".printk_index",
    ".call_sites",
    ".retpoline_sites",
    ".return_sites",
    ".cfi_sites",
    ".ibt_endbr_seal",
];

impl<'a, S: Side> Entered<'a, S> {
    /// Those of an object.
    pub fn new(layout: &'a Layout<'a, S>) -> Self {
        Entered { layout, places: OnceLock::new() }
    }

    /// All of them.
    pub fn places(&self) -> Result<&Places<S>> {
        self.places.get_or_init(|| Places::new(self.layout)).as_ref().map_err(Clone::clone)
    }
}

impl<S: Side> Places<S> {
    /// Reads all relocations of an object. The starts of functions are left out.
    fn new(layout: &Layout<'_, S>) -> Result<Self> {
        let object = layout.object;
        let mut found = Vec::new();
        for &base in object.relocated() {
            let counts = match layout.class(base) {
                Class::Text | Class::Data | Class::Strings => true,
                Class::Table(_) => !DESCRIBING.contains(&object.section_name(base)),
                _ => false,
            };
            if !counts {
                continue;
            }
            let refs = Refs::new(layout, base);
            for reloc in object.relocs(base).iter() {
                let Some(section) = object.section_of(reloc.symbol) else { continue };
                if !object.is_text(section) {
                    continue;
                }
                let (low, high) = refs.target_range(&reloc)?;
                if high == 0 && object.symbol_kind(reloc.symbol) == abi::STT_FUNC {
                    continue;
                }
                let value = object.symbol_value(reloc.symbol).cast_signed();
                let places =
                    (low..=high).filter_map(|at| u64::try_from(at.checked_add(value)?).ok());
                found.extend(places.map(|at| (section, at)));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(Places(found))
    }

    /// Whether something refers to a byte of `start..end` of a section.
    pub fn any(&self, section: SectionId<S>, start: u64, end: u64) -> bool {
        let from = self.0.partition_point(|&place| place < (section, start));
        self.0.get(from).is_some_and(|&(s, at)| s == section && at < end)
    }
}
