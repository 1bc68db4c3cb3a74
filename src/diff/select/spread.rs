//! Functions and the parts that were split off them (`f.cold`) change together.

use super::status::Status;
use crate::diff::compare::pair::Pair;
use crate::elf::ids::{IdVec, Patched, SectionId, SymbolId};
use crate::kernel::knowledge::boot::runs_until;

/// The statuses of symbols where functions are changed whose parts are, and parts whose functions
/// are. `has_changed` says it of sections.
pub(super) fn spread(
    pair: &Pair<'_>,
    has_changed: impl Fn(SectionId<Patched>) -> bool,
    mut symbols: IdVec<SymbolId<Patched>, Status>,
) -> IdVec<SymbolId<Patched>, Status> {
    to_parents(pair, has_changed, &mut symbols);
    if !pair.policy.whole_sections {
        to_parts(pair, &mut symbols);
    }
    symbols
}

/// A function whose split-off part changed has changed, unless ftrace can hook the part
/// by itself.
fn to_parents(
    pair: &Pair<'_>,
    has_changed: impl Fn(SectionId<Patched>) -> bool,
    symbols: &mut IdVec<SymbolId<Patched>, Status>,
) {
    let in_parts = !pair.policy.whole_sections;
    let layout = pair.patched.layout;
    let object = layout.object;
    for id in layout.parts() {
        let Some(section) = object.section_of(id) else { continue };
        if !(has_changed(section) || in_parts && symbols[id] == Status::Changed) {
            continue;
        }
        let mut child = id;
        while let Some(parent) = layout.split_from(child) {
            if layout.has_profiling(child) {
                break;
            }
            if symbols[parent] == Status::Same {
                symbols[parent] = Status::Changed;
            }
            child = parent;
        }
    }
}

/// A part that was split off goes along with its changed function even when it is as it
/// was: it jumps back into the function, and the kernel's part would into the kernel's
/// function. A part that ftrace can hook is called and returns. What only runs at boot
/// stays out of the patch, and so do its parts.
fn to_parts(pair: &Pair<'_>, symbols: &mut IdVec<SymbolId<Patched>, Status>) {
    let layout = pair.patched.layout;
    let object = layout.object;
    let place = |id| object.section_of(id).map_or("", |s| object.section_name(s));
    for id in layout.parts() {
        let mut child = id;
        while let Some(parent) = layout.split_from(child)
            && !layout.has_profiling(child)
        {
            if symbols[parent] == Status::Changed {
                if runs_until(place(parent), pair.in_module).is_none() {
                    symbols[id] = Status::Changed;
                }
                break;
            }
            child = parent;
        }
    }
}
