//! Why a function is in the patch: compares again, this time noting every difference.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::Comparer;
use super::counterpart::twin_entity;
use super::entities::compare_entities;
use super::inlining::{Question, inlining};
use super::questions::OpenQuestions;
use super::relayout::relayout;
use super::spans::Sink;
use super::uses::Uses;
use crate::diag::Result;
use crate::diff::reason::Reason;
use crate::elf::ids::{Patched, SymbolId};

/// How a function or variable differs from its twin.
#[derive(Debug, Default)]
pub struct Differs {
    /// Every difference, most telling first.
    pub reasons: Vec<Reason>,
    /// What other objects of the build must tell to know whether it was re-inlined.
    pub questions: Vec<Question>,
    /// The live state that it uses, behind what differs first, too.
    pub uses: Uses,
}

/// Every difference between a patched function or variable, with its split-off parts,
/// and its twin; and what other objects of the build must tell to know whether it was
/// re-inlined. Empty for what is new.
pub fn reasons_of(comparer: &Comparer<'_>, id: SymbolId<Patched>) -> Result<Differs> {
    let (mut reasons, mut open) = (Vec::new(), OpenQuestions::new());
    let mut family = vec![id];
    let layout = comparer.patched.layout;
    while let Some(member) = family.pop() {
        family.extend(layout.children(member));
        let Some(section) = layout.object.section_of(member) else { continue };
        let Some(twin) = comparer.twins.orig_symbol(member) else { continue };
        let Some(orig) = comparer.orig.layout.object.section_of(twin) else { continue };
        let value = layout.object.symbol_value(member);
        let Some(index) = layout.entity_at(section, value) else { continue };
        let entity = layout.entity(section, index);
        if let Some(orig) = twin_entity(comparer, orig, &entity) {
            let known = reasons.len();
            compare_entities(comparer, &orig, &entity, &mut Sink(Some(&mut reasons)), &mut open)?;
            let lead = value.wrapping_sub(entity.start) as i64;
            for offset in reasons.iter_mut().skip(known).filter_map(|r| r.offset.as_mut()) {
                *offset -= lead;
            }
        }
    }
    reasons.sort_by_key(|r| r.kind.rank());
    let mut questions = Vec::new();
    if !reasons.is_empty() {
        // These explain the others.
        match relayout(comparer, id, &mut open)? {
            Some(reason) => reasons.insert(0, reason),
            None => {
                let (inlined, asked) = inlining(comparer, id)?;
                reasons.splice(0..0, inlined);
                questions = asked;
            }
        }
    }
    // Most functions have one reason, where a list has room for four at first.
    reasons.shrink_to_fit();
    Ok(Differs { reasons, questions, uses: Uses::new(open.uses) })
}
