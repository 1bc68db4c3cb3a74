//! Compares every entity of the patched object with its twin.

use rayon::prelude::*;

use super::comparer::Comparer;
use super::constants::holds_constants;
use super::counterpart::twin_entity;
use super::entities::compare_entities;
use super::forgiven::{Forgiven, Ledger};
use super::questions::OpenQuestions;
use super::registration::{only_register, registration};
use super::spans::Sink;
use super::uses::{Use, Uses};
use crate::diag::Result;
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::ids::{Orig, Patched, SectionId};
use crate::kernel::knowledge::names;
use crate::kernel::layout::{Class, Entity};

/// What comparing a section gave.
struct Compared {
    section: SectionId<Patched>,
    /// One for each entity.
    verdicts: Vec<Verdict>,
    uses: Vec<Use>,
}

impl Compared {
    /// Whether it says more than that nothing differs.
    fn tells(&self) -> bool {
        !self.uses.is_empty() || self.verdicts.iter().any(|verdict| !verdict.is_same())
    }
}

/// Compares every entity of the patched object with its twin. Also returns the live state
/// that is used, and that may have changed.
pub fn compare_all(comparer: &Comparer<'_>) -> Result<(Verdicts, Uses)> {
    let object = comparer.patched.layout.object;
    let sections: Vec<SectionId<Patched>> = object
        .sections()
        .filter(|&s| {
            matches!(
                comparer.patched.layout.class(s),
                Class::Text | Class::Data | Class::Strings | Class::Group
            )
        })
        .collect();
    // The first error counts, on any number of threads.
    let compared: Vec<Result<Compared>> = sections
        .into_par_iter()
        .with_min_len(64)
        .map(|section| {
            let mut open = OpenQuestions::new();
            let verdicts = section_verdicts(comparer, section, &mut open)?;
            Ok(Compared { section, verdicts, uses: open.uses })
        })
        .filter(|found: &Result<Compared>| found.as_ref().map_or(true, Compared::tells))
        .collect();
    let (mut found, mut uses) = (Vec::new(), Vec::new());
    for compared in compared {
        let Compared { section, verdicts, uses: more } = compared?;
        found.push((section, verdicts));
        uses.extend(more);
    }
    Ok((Verdicts::new(object.section_count(), found), Uses::new(uses)))
}

/// One verdict for each entity of a section.
fn section_verdicts(
    comparer: &Comparer<'_>,
    p: SectionId<Patched>,
    open: &mut OpenQuestions,
) -> Result<Vec<Verdict>> {
    let layout = comparer.patched.layout;
    let Some(o) = comparer.twins.orig_section(p) else {
        let moved = |i| Ok(moved_verdict(comparer, p, i, open)?.unwrap_or(Verdict::NEW));
        return match layout.entity_count(p) {
            0 => Ok(vec![Verdict::NEW]),
            count => (0..count).map(moved).collect(),
        };
    };
    if matches!(layout.class(p), Class::Group) {
        return Ok(vec![Verdict::SAME]);
    }
    (0..layout.entity_count(p)).map(|i| entity_verdict(comparer, o, p, i, open)).collect()
}

fn entity_verdict(
    comparer: &Comparer<'_>,
    o: SectionId<Orig>,
    p: SectionId<Patched>,
    index: usize,
    open: &mut OpenQuestions,
) -> Result<Verdict> {
    let patched = comparer.patched.layout.entity(p, index);
    let Some(orig) = twin_entity(comparer, o, &patched) else {
        if let Some(verdict) = moved_verdict(comparer, p, index, open)? {
            return Ok(verdict);
        }
        let layout = comparer.patched.layout;
        let padding = patched.symbol.is_none()
            && layout.class(p) == Class::Text
            && layout.is_padding(&patched);
        return Ok(if padding { Verdict::SAME } else { Verdict::NEW });
    };
    let verdict = compare_entities(comparer, &orig, &patched, &mut Sink(None), open)?;
    let registers = !verdict.is_same() && only_register(comparer, &orig, &patched);
    Ok(if registers { Verdict::SAME } else { verdict })
}

/// What the comparison of an entity with its twin forgives.
pub(in crate::diff) fn forgiven_in(
    comparer: &Comparer<'_>,
    patched: &Entity<Patched>,
) -> Result<Vec<Forgiven>> {
    let twin = patched.symbol.and_then(|symbol| comparer.twins.orig_symbol(symbol));
    let home = twin.and_then(|twin| comparer.orig.layout.object.section_of(twin));
    let home = home.or_else(|| comparer.twins.orig_section(patched.section));
    let Some(orig) = home.and_then(|o| twin_entity(comparer, o, patched)) else {
        return Ok(Vec::new());
    };
    let asked = comparer.noting();
    if !compare_entities(&asked, &orig, patched, &mut Sink(None), &mut OpenQuestions::new())?
        .is_same()
    {
        return Ok(registration(comparer, &orig, patched));
    }
    Ok(asked.ledger.map(Ledger::into_entries).unwrap_or_default())
}

/// The verdict on a function whose twin is in another section, when it is a matter of hot and cold
/// which of these it is in; or on a variable that became constant and is equal.
fn moved_verdict(
    comparer: &Comparer<'_>,
    p: SectionId<Patched>,
    index: usize,
    open: &mut OpenQuestions,
) -> Result<Option<Verdict>> {
    if !comparer.policy.proves_noise {
        return Ok(None);
    }
    match comparer.patched.layout.class(p) {
        Class::Text => {}
        Class::Data => return became_constant(comparer, p, index, open),
        _ => return Ok(None),
    }
    let patched = comparer.patched.layout.entity(p, index);
    let orig = comparer.orig.layout.object;
    let twin = patched.symbol.and_then(|s| comparer.twins.orig_symbol(s));
    let Some(o) = twin.and_then(|twin| orig.section_of(twin)) else { return Ok(None) };
    let names = (orig.section_name(o), comparer.patched.layout.object.section_name(p));
    let name = patched.symbol.map_or("", |s| comparer.patched.layout.object.symbol_name(s));
    if !names::differ_in_hot_cold(name, [names.0, names.1]) {
        return Ok(None);
    }
    let Some(orig) = twin_entity(comparer, o, &patched) else { return Ok(None) };
    compare_entities(comparer, &orig, &patched, &mut Sink(None), open).map(Some)
}

/// The verdict on a constant that was a variable with the same content: it is the kernel's,
/// which nothing but code that is no longer there wrote to. `None` when it is not equal.
fn became_constant(
    comparer: &Comparer<'_>,
    p: SectionId<Patched>,
    index: usize,
    open: &mut OpenQuestions,
) -> Result<Option<Verdict>> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let entity = patched.entity(p, index);
    let twin = entity.symbol.and_then(|s| comparer.twins.orig_symbol(s));
    let Some(o) = twin.and_then(|twin| orig.object.section_of(twin)) else { return Ok(None) };
    if !holds_constants(patched, p) || !names::holds_variables(orig.object.section_name(o)) {
        return Ok(None);
    }
    let Some(before) = twin_entity(comparer, o, &entity) else { return Ok(None) };
    let verdict = compare_entities(comparer, &before, &entity, &mut Sink(None), open)?;
    Ok(Some(verdict).filter(|v| v.is_same()))
}
