//! What a refusal is about: where in the source it is declared, and how it differs.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use super::declared::Declared;
use super::source::Sections;
use super::values::values;
use super::{Field, Values};
use crate::diag::{Code, Error, Place};
use crate::diff::compare::comparer::Comparer;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Object;
use crate::kernel::layout::Layout;

/// How many differing values are told.
const SHOWN: usize = 4;
/// Longest value that is told.
const LONGEST: usize = 80;

/// What a finding is about.
#[derive(Clone, Copy)]
enum About {
    Patched(SymbolId<Patched>),
    /// Only the original has it.
    Orig(SymbolId<Orig>),
}

/// Adds to the findings of a refusal where that is in the source, as far as the objects have debug
/// information, and to those about data how it differs.
pub fn complete(comparer: &Comparer<'_>, error: Error) -> Error {
    let places = error.places();
    let about: Vec<Option<About>> = places.iter().map(|place| about(comparer, place)).collect();
    if about.iter().all(Option::is_none) {
        return error;
    }
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let (before, after) = rayon::join(|| Sections::new(orig), || Sections::new(patched));
    let of_orig = |a: &Option<About>| match a {
        Some(About::Orig(id)) => home(orig.object, *id),
        _ => None,
    };
    let of_patched = |a: &Option<About>| match a {
        Some(About::Patched(id)) => home(patched.object, *id),
        _ => None,
    };
    let before = declared(&before, about.iter().filter_map(of_orig).collect());
    let after = declared(&after, about.iter().filter_map(of_patched).collect());
    let differs = tells_values(error.code());
    let described = about.iter().map(|about| match *about {
        None => None,
        Some(About::Orig(id)) => {
            let (section, at) = home(orig.object, id)?;
            let place = before.as_ref().and_then(|b| b.place(section, at));
            place.map(|place| format!("{} is at {place}", orig.object.symbol_name(id)))
        }
        Some(About::Patched(id)) => {
            let name = comparer.output_name(id);
            let (section, at) = home(patched.object, id)?;
            let place = after.as_ref().and_then(|a| a.place(section, at));
            let values = values(comparer, id).filter(|v| differs && !v.fields.is_empty());
            let member =
                |offset| after.as_ref().and_then(|after| after.member(section, at, offset));
            let values = values.map(|values| listed(&values, member));
            let described = match (place, values) {
                (None, None) => None,
                (Some(place), None) => Some(format!("{name} is at {place}")),
                (None, Some(values)) => Some(format!("{name} {values}")),
                (Some(place), Some(values)) => Some(format!("{name} (at {place}) {values}")),
            };
            let kept = comparer.twins.replaced.kept(id);
            let kept = kept.map(|why| format!("its readers cannot be patched instead: {why}"));
            match described.into_iter().chain(kept).collect::<Vec<String>>() {
                all if all.is_empty() => None,
                all => Some(all.join("; ")),
            }
        }
    });
    let described = described.collect();
    error.with_more(described)
}

/// Whether it matters for a refusal how data differs.
fn tells_values(code: Code) -> bool {
    matches!(code, Code::UnsupportedSectionChange | Code::LiveStateInitialiser)
}

fn home<S: Side>(object: &Object<'_, S>, id: SymbolId<S>) -> Option<(SectionId<S>, u64)> {
    Some((object.section_of(id)?, object.symbol_value(id)))
}

fn declared<S: Side>(
    sections: &Option<Sections<S>>,
    wanted: Vec<(SectionId<S>, u64)>,
) -> Option<Declared<'_, S>> {
    Declared::new(sections.as_ref().filter(|_| !wanted.is_empty())?, &wanted)
}

/// The symbol that a finding names, or that its section is about.
fn about(comparer: &Comparer<'_>, place: &Place) -> Option<About> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    if let Some(name) = &place.symbol {
        let mut ids = patched.object.symbols().skip(1);
        let is_meant = |&id: &SymbolId<Patched>| {
            patched.object.section_of(id).is_some_and(|section| is_in(patched, section, place))
                && comparer.output_name(id) == name
        };
        if let Some(id) = ids.find(is_meant) {
            return Some(About::Patched(id));
        }
        let mut ids = orig.object.symbols().skip(1);
        let is_meant = |&id: &SymbolId<Orig>| {
            orig.object.section_of(id).is_some() && orig.object.symbol_name(id) == name
        };
        return ids.find(is_meant).map(About::Orig);
    }
    let name = place.section.as_deref()?;
    let name = name.strip_prefix(".rela").unwrap_or(name);
    let mut sections = patched.object.sections();
    let section = sections.find(|&id| patched.object.section_name(id) == name)?;
    patched.owner(section).map(About::Patched)
}

/// Whether a finding may be about what is in a section.
fn is_in(layout: &Layout<'_, Patched>, section: SectionId<Patched>, place: &Place) -> bool {
    let name = place.section.as_deref().filter(|name| !name.is_empty());
    name.is_none_or(|name| layout.object.section_name(section) == name)
}

/// How a variable differs, in words.
fn listed(values: &Values, member: impl Fn(u64) -> Option<String>) -> String {
    let shown = |value: &Option<String>| {
        let value = value.as_deref().unwrap_or("nothing");
        match value.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
            None => value.to_owned(),
        }
    };
    let one = |field: &Field| {
        let called = field.at.and_then(&member).unwrap_or_default();
        let lead = if called.is_empty() { "" } else { " " };
        format!("{}{lead}{called} {} -> {}", field.name, shown(&field.before), shown(&field.after))
    };
    let described: Vec<String> = values.fields.iter().take(SHOWN).map(one).collect();
    let more = values.fields.len().saturating_sub(SHOWN) + values.more;
    match more {
        0 => format!("differs: {}", described.join(", ")),
        _ => format!("differs: {} and {more} more", described.join(", ")),
    }
}
