//! Data that the patch would carry only because the TOC names it.
//!
//! `.toc` is carried whole, and with it whatever its slots refer to. A changed constant that
//! no code of the patch uses is then in the patch, but the running kernel goes on using its
//! own: the change would be lost silently.

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use crate::diag::Result;
use crate::diff::compare::comparer::Comparer;
use crate::diff::select::status::Statuses;
use crate::diff::selection::Selection;
use crate::elf::ids::{Patched, SectionId};
use crate::kernel::knowledge::sections;
use crate::kernel::layout::Class;
use crate::kernel::refs::{Effective, Refs};

/// Changed data that only slots which the patch does not use bring in, in section order.
pub fn unused_changes(
    comparer: &Comparer<'_>,
    statuses: &Statuses,
    selection: &Selection,
) -> Result<Vec<SectionId<Patched>>> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    if layout.arch.toc_relocs.is_none() {
        return Ok(Vec::new());
    }
    let mut suspects: IndexSet<SectionId<Patched>, RandomState> = object
        .sections()
        .filter(|&s| {
            selection.sections[s]
                && layout.class(s) == Class::Data
                && layout.owner(s).is_some()
                && statuses.has_changed(s)
        })
        .collect();
    for section in object.sections() {
        if suspects.is_empty() {
            break;
        }
        if !selection.sections[section] || object.section_name(section) == sections::TOC {
            continue;
        }
        let refs = Refs::new(layout, section);
        for reloc in object.relocs(section).iter() {
            if let Effective::Reloc(_, used) = refs.effective(&reloc)?
                && let Some(home) = object.section_of(used.symbol)
                && home != section
            {
                suspects.swap_remove(&home);
            }
        }
    }
    suspects.sort_unstable();
    Ok(suspects.into_iter().collect())
}
