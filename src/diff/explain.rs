//! Why a function is in the patch: compares again, this time noting every difference.

use super::compare::{Comparer, Sink, hex};
use super::inlining::{PROMOTED, Question};
use super::verdict::Reason;
use crate::arch::instruction_text;
use crate::elf::ids::{Patched, SymbolId};
use crate::error::Result;

impl Comparer<'_, '_, '_, '_> {
    /// Every difference between a patched function or variable, with its split-off parts,
    /// and its twin; and what other objects of the build must tell to know whether it was
    /// re-inlined. Empty for what is new.
    pub fn reasons(&self, id: SymbolId<Patched>) -> Result<(Vec<Reason>, Vec<Question>)> {
        let mut reasons = Vec::new();
        let mut family = vec![id];
        let layout = self.patched.layout;
        while let Some(member) = family.pop() {
            family.extend(layout.children(member));
            let Some(section) = layout.object.section_of(member) else { continue };
            let Some(twin) = self.twins.orig_symbol(member) else { continue };
            let Some(orig) = self.orig.layout.object.section_of(twin) else { continue };
            let value = layout.object.symbol_value(member);
            let Some(index) = layout.entity_at(section, value) else { continue };
            let entity = layout.entity(section, index);
            if let Some(orig) = self.twin_entity(orig, &entity) {
                self.entities(&orig, &entity, &mut Sink(Some(&mut reasons)))?;
            }
        }
        reasons.sort_by_key(|r| rank(r.kind));
        if reasons.is_empty() {
            return Ok((reasons, Vec::new()));
        }
        // These explain the others.
        if let Some(reason) = self.relayout(id)? {
            reasons.insert(0, reason);
            return Ok((reasons, Vec::new()));
        }
        let (inlined, questions) = self.inlining(id)?;
        reasons.splice(0..0, inlined);
        // Most functions have one reason, where a list has room for four at first.
        reasons.shrink_to_fit();
        Ok((reasons, questions))
    }

    /// How two contents differ first: instructions where they can be read, else bytes.
    pub(super) fn difference(&self, text: bool, a: &[u8], b: &[u8], first: usize) -> Reason {
        let arch = self.patched.layout.arch;
        let mut kind = if text { "code" } else { "data" };
        let mut start = 0;
        while text && start < first {
            let Some(length) = (arch.instruction_len)(&a[start..]).filter(|&l| l > 0) else {
                break;
            };
            if start + length > first {
                break;
            }
            start += length;
        }
        let checks = |bytes: &[u8]| bytes.get(start..).and_then(arch.checks_type).is_some();
        if text && checks(a) && checks(b) {
            kind = "type";
        }
        let shown = |bytes: &[u8]| instruction_text(arch, bytes.get(start..)?, start as u64);
        if let (true, Some(before), Some(after)) = (text, shown(a), shown(b))
            && before != after
        {
            return Reason { kind, offset: Some(start as u64), before, after };
        }
        Reason { kind, offset: Some(first as u64), before: hex(a, first), after: hex(b, first) }
    }
}

/// The most telling kinds first.
fn rank(kind: &str) -> u8 {
    match kind {
        "string" | "type" => 0,
        "constant" => 1,
        "code" | "data" => 2,
        "relocation" => 4,
        "size" => 5,
        // It explains nothing but itself.
        PROMOTED => 6,
        // The name of a table.
        _ => 3,
    }
}
