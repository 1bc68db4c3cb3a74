//! Tells what the optimiser did from what somebody wrote: a call that went because the callee
//! is inlined now, or that came because it is not any more.
//!
//! A call alone proves nothing, since source may gain and lose it, too. What a callee refers
//! to moves along with its code; only when all of that is found in the caller, on the side on
//! which there is no call, is the callee taken to be inlined there.

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::compare::Comparer;
use super::verdict::Reason;
use crate::elf::abi;
use crate::elf::ids::{Patched, Side, SymbolId};
use crate::error::Result;
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;

/// Kind of the reasons found here.
pub const REINLINED: &str = "re-inlined";

type Set<S> = IndexSet<SymbolId<S>, RandomState>;

impl Comparer<'_, '_, '_, '_> {
    /// The callees of a patched function that are inlined on one side and called on the other.
    pub(super) fn inlining(&self, id: SymbolId<Patched>) -> Result<Vec<Reason>> {
        let (before, after) = (self.orig.layout, self.patched.layout);
        let Some(twin) = self.twins.orig_symbol(id) else { return Ok(Vec::new()) };
        let orig = named_refs(before, twin)?;
        let patched = named_refs(after, id)?;
        let mut reasons = Vec::new();
        for &callee in orig.iter().filter(|&&c| is_function(before, c)) {
            let Some(now) = self.twins.patched_symbol(callee) else { continue };
            if patched.contains(&now) || callee == twin {
                continue;
            }
            let own = named_refs(before, callee)?;
            let own: Vec<_> = own.iter().filter(|&r| !orig.contains(r)).collect();
            let moved = |&&r: &&SymbolId<_>| {
                self.twins.patched_symbol(r).is_some_and(|now| patched.contains(&now))
            };
            if !own.is_empty() && own.iter().all(moved) {
                let name = self.output_name(now);
                reasons.push(reason(format!("calls {name}"), format!("{name} is inlined")));
            }
        }
        for &callee in patched.iter().filter(|&&c| is_function(after, c)) {
            let Some(then) = self.twins.orig_symbol(callee) else { continue };
            if orig.contains(&then) || callee == id {
                continue;
            }
            let own = named_refs(after, callee)?;
            let own: Vec<_> = own.iter().filter(|&r| !patched.contains(r)).collect();
            let moved = |&&r: &&SymbolId<_>| {
                self.twins.orig_symbol(r).is_some_and(|then| orig.contains(&then))
            };
            if !own.is_empty() && own.iter().all(moved) {
                let name = self.output_name(callee);
                reasons.push(reason(format!("{name} is inlined"), format!("calls {name}")));
            }
        }
        Ok(reasons)
    }
}

fn reason(before: String, after: String) -> Reason {
    Reason { kind: REINLINED.to_owned(), offset: None, before, after }
}

fn is_function<S: Side>(layout: &Layout<'_, '_, S>, id: SymbolId<S>) -> bool {
    let object = layout.object;
    object.symbol_kind(id) == abi::STT_FUNC
        && object.section_of(id).is_some()
        && layout.root(id) == id
}

/// The functions, variables and undefined symbols that a function and its parts refer to.
fn named_refs<S: Side>(layout: &Layout<'_, '_, S>, id: SymbolId<S>) -> Result<Set<S>> {
    let object = layout.object;
    let mut found = Set::default();
    let mut family = vec![id];
    while let Some(member) = family.pop() {
        family.extend(layout.children(member));
        let Some(section) = object.section_of(member) else { continue };
        let Some(index) = layout.entity_at(section, object.symbol_value(member)) else { continue };
        let entity = layout.entity(section, index);
        let refs = Refs::new(layout, section);
        for reloc in object.relocs(section).within(entity.start, entity.end) {
            let target = refs.resolve(&reloc)?.symbol;
            let symbol = object.symbol(target);
            if symbol.kind != abi::STT_SECTION && !symbol.name.is_empty() {
                found.insert(target);
            }
        }
    }
    Ok(found)
}
