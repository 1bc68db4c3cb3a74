//! Which differences were judged noise, by which rule and on what evidence.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "entries and fields within sections, which are in memory, and counts"
)]

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use rayon::prelude::*;

use super::fields;
use super::found::NoiseFound;
use super::rules::rule_of;
use crate::diag::Result;
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::forgiven::Forgiven;
use crate::diff::compare::verdicts::forgiven_in;
use crate::diff::verdict::Verdicts;
use crate::diff::words::hex_at;
use crate::elf::ids::{Orig, Patched, SectionId};
use crate::kernel::layout::Entity;

/// What differs and was judged noise: sections that are never compared as such, then what the
/// comparison of everything else forgave, by place.
pub fn noise(comparer: &Comparer<'_>, verdicts: &Verdicts) -> Result<Vec<NoiseFound>> {
    let mut found = not_compared(comparer);
    found.extend(fields::forgiven(comparer, verdicts));
    found.extend(entries(comparer, forgiven(comparer, verdicts)?));
    Ok(few_of_each(found))
}

/// Sections that differ and that no comparison looks at as such.
fn not_compared(comparer: &Comparer<'_>) -> Vec<NoiseFound> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let mut by_name: IndexMap<&str, Vec<SectionId<Orig>>, RandomState> = IndexMap::default();
    for id in orig.object.sections() {
        by_name.entry(orig.object.section_name(id)).or_default().push(id);
    }
    let mut seen: IndexMap<&str, usize, RandomState> = IndexMap::default();
    let mut found = Vec::new();
    for id in patched.object.sections() {
        let name = patched.object.section_name(id);
        let nth = seen.entry(name).or_insert(0);
        let twin = comparer
            .twins
            .orig_section(id)
            .or_else(|| by_name.get(name).and_then(|all| all.get(*nth)).copied());
        *nth += 1;
        let Some(rule) = rule_of(patched, id) else { continue };
        let before = twin.map_or(&[][..], |t| orig.object.contents(t));
        let after = patched.object.contents(id);
        let differ = |(a, b): (&u8, &u8)| a != b;
        let bytes = before.iter().zip(after).filter(|&pair| differ(pair)).count()
            + before.len().abs_diff(after.len());
        if bytes == 0 {
            continue;
        }
        let shared = before.len().min(after.len());
        let first = before.iter().zip(after).position(differ).unwrap_or(shared);
        let same_length = before.len() == after.len();
        let last = before.iter().zip(after).rposition(differ).filter(|_| same_length);
        let end = last.map_or(before.len().max(after.len()), |last| last + 1);
        found.push(NoiseFound {
            rule: rule.0,
            reason: rule.1,
            section: name.to_owned(),
            offset: first as u64,
            width: (end - first) as u64,
            bytes: bytes as u64,
            before: hex_at(before, first),
            after: hex_at(after, first),
            evidence: format!("all of {name} is of this kind"),
        });
    }
    found
}

/// What the comparisons of what is equal forgave, by place.
fn forgiven(comparer: &Comparer<'_>, verdicts: &Verdicts) -> Result<Vec<Forgiven>> {
    let layout = comparer.patched.layout;
    let sections: Vec<_> = layout.object.sections().collect();
    let of_section = |&id: &SectionId<Patched>| -> Result<Vec<Forgiven>> {
        let mut found = Vec::new();
        for index in 0..layout.entity_count(id) {
            if verdicts.entity(id, index).is_same() {
                found.extend(forgiven_in(comparer, &layout.entity(id, index))?);
            }
        }
        Ok(found)
    };
    let found: Vec<Result<Vec<Forgiven>>> =
        sections.par_iter().with_min_len(64).map(of_section).collect();
    let mut all = Vec::new();
    for of_section in found {
        all.extend(of_section?);
    }
    all.sort_by_key(|f| (f.section, f.offset, f.proof.name));
    all.dedup();
    Ok(all)
}

/// What the comparison of one thing with its twin forgave.
pub fn noise_of(comparer: &Comparer<'_>, entity: &Entity<Patched>) -> Result<Vec<NoiseFound>> {
    Ok(few_of_each(entries(comparer, forgiven_in(comparer, entity)?)))
}

fn entries(comparer: &Comparer<'_>, all: Vec<Forgiven>) -> Vec<NoiseFound> {
    let object = comparer.patched.layout.object;
    let entry = |field: Forgiven| {
        let section = object.section_name(field.section);
        NoiseFound::of(field, section)
    };
    all.into_iter().map(entry).collect()
}

/// So many differences of one kind in one section are listed one by one.
const FEW: usize = 1000;

/// Of many entries of one rule in one section, those behind the first [`FEW`] become one.
fn few_of_each(all: Vec<NoiseFound>) -> Vec<NoiseFound> {
    let mut found: Vec<NoiseFound> = Vec::new();
    let mut counts: IndexMap<(String, &str), (usize, usize), RandomState> = IndexMap::default();
    for entry in all {
        let (count, last) = counts.entry((entry.section.clone(), entry.rule)).or_default();
        *count += 1;
        if *count > FEW + 1
            && let Some(rest) = found.get_mut(*last)
        {
            rest.width = (entry.offset + entry.width).saturating_sub(rest.offset).max(rest.width);
            rest.bytes += entry.bytes;
            rest.evidence = format!("{} like the one before", *count - FEW);
            continue;
        }
        *last = found.len();
        found.push(entry);
    }
    found
}
