//! Why a function is in the patch: compares again, this time noting every difference.

use super::compare::{Comparer, Sink};
use super::verdict::Reason;
use crate::elf::ids::{Patched, SymbolId};
use crate::error::Result;

impl Comparer<'_, '_, '_, '_> {
    /// Every difference between a patched function or variable, with its split-off parts,
    /// and its twin. Empty for what is new.
    pub fn reasons(&self, id: SymbolId<Patched>) -> Result<Vec<Reason>> {
        let mut reasons = Vec::new();
        let mut family = vec![id];
        let layout = self.patched.layout;
        while let Some(member) = family.pop() {
            family.extend(layout.children(member));
            let Some(section) = layout.object.section_of(member) else { continue };
            let Some(twin) = self.twins.orig_symbol(member) else { continue };
            let Some(orig) = self.orig.layout.object.section_of(twin) else { continue };
            let value = layout.object.symbol(member).value;
            let Some(index) = layout.entity_at(section, value) else { continue };
            let entity = layout.entity(section, index);
            if let Some(orig) = self.twin_entity(orig, &entity) {
                self.entities(&orig, &entity, &mut Sink(Some(&mut reasons)))?;
            }
        }
        Ok(reasons)
    }
}
