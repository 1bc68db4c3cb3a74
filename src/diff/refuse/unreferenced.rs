//! Finds what came or went that nothing refers to: rows of tables that the linker collects.
//!
//! A variable, a row or a stretch of bytes that is new comes into a patch with the code that
//! refers to it. What nothing refers to is found by the kernel in another way, through the
//! section it is in: an initcall, a parameter, a hook of a subsystem. No patch brings that
//! about, so it must not pass in silence. The same holds for what went away.

#![expect(clippy::indexing_slicing, reason = "a class names a table by its place in the list")]

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::boot::{passes, warning};
use crate::diag::{Code, Diagnostic, Finding, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::select::boot_code::BootCode;
use crate::diff::select::ignore::Ignored;
use crate::diff::selection::Selection;
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::ids::{Marks, SectionId, Side, SymbolId};
use crate::kernel::classes::is_plain;
use crate::kernel::constructors;
use crate::kernel::knowledge::boot::lifetime;
use crate::kernel::knowledge::macros;
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::sections;
use crate::kernel::knowledge::tables::TABLES;
use crate::kernel::layout::{Class, Entity, Layout};
use crate::kernel::refs::Refs;

/// Entities that nobody was found to refer to yet: (section, index of the entity).
type Suspects<S> = IndexMap<(SectionId<S>, usize), (), RandomState>;

/// Notes what came or went and that nothing refers to.
pub(in crate::diff) fn find(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    selection: &Selection,
    (ignored, boot): (&Ignored, BootCode),
    details: &mut Vec<Finding>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<()> {
    let mut exports = Vec::new();
    let known = details.len();
    left_out(comparer, ignored, warnings);
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let new = || {
        let new = suspects(patched, |entity, index| {
            let unpaired = comparer.twins.orig_section(entity.section).is_none();
            if ignored.sections.contains(&entity.section) {
                return false;
            }
            (unpaired || verdicts.entity(entity.section, index).has(Verdict::NEW))
                && !selection.has(entity.section, entity.start)
        });
        unreferenced(patched, new)
    };
    let gone = || {
        let gone = suspects(orig, |entity, _| match entity.symbol {
            _ if sections::LEFT_OUT.contains(&orig.object.section_name(entity.section)) => false,
            Some(symbol) => comparer.twins.patched_symbol(symbol).is_none(),
            None => comparer.twins.patched_section(entity.section).is_none_or(|twin| {
                patched.entity_count(twin) > 0 && patched.entity(twin, 0).symbol.is_some()
            }),
        });
        unreferenced(orig, gone)
    };
    let (new, gone) = rayon::join(new, gone);
    for (section, index) in new? {
        note(patched, patched.entity(section, index), "is new", &mut exports, details);
    }
    for (section, index) in gone? {
        note(orig, orig.entity(section, index), "went away", &mut exports, details);
    }
    // What only the kernel reads while it boots has been read.
    if passes(boot, comparer, selection) {
        let is_past = |found: &mut Finding| {
            let section = found.place.section.as_deref().unwrap_or("");
            lifetime(section, comparer.in_module).is_some()
        };
        let past: Vec<Finding> = details.extract_if(known.., is_past).collect();
        warnings.extend(past.into_iter().map(warning));
    }
    if selection.effect.is_empty() {
        details.extend(exports);
    } else {
        warnings.extend(exports.into_iter().map(|found| {
            let text = format!("WARNING: {}; a livepatch does not change exports", found.text);
            Diagnostic::warning_of(Code::ExportChanged, Finding { text, ..found })
        }));
    }
    Ok(())
}

/// The entities that `differs` is true of and that can only be found through their section.
fn suspects<S: Side>(
    layout: &Layout<'_, S>,
    differs: impl Fn(&Entity<S>, usize) -> bool,
) -> Suspects<S> {
    let object = layout.object;
    let mut found = Suspects::default();
    for section in object.sections() {
        let class = layout.class(section);
        if !matches!(class, Class::Data | Class::Text | Class::Strings)
            || object.section_flags(section) & abi::SHF_ALLOC == 0
            || object.section_size(section) == 0
            || is_by_reference(object.section_name(section))
            || constructors::only_lists_registrations(layout, section)
        {
            continue;
        }
        for index in 0..layout.entity_count(section) {
            let entity = layout.entity(section, index);
            // What aligns the first function is no code.
            let aligns = || class == Class::Text && layout.is_padding(&entity);
            if entity.symbol.map_or_else(|| !aligns(), |symbol| counts(layout, symbol))
                && differs(&entity, index)
            {
                found.insert((section, index), ());
            }
        }
    }
    found
}

/// Sections for what only references find: those that compilers make of variables, literals,
/// and what the macros for patch authors make.
fn is_by_reference(section: &str) -> bool {
    is_plain(section)
        || names::is_special_static_section(section)
        || section.starts_with(macros::PREFIX)
        || section.starts_with("runtime_")
        || section == sections::TOC
}

/// Says what it means that the author of a patch has new rows ignored.
fn left_out(comparer: &Comparer<'_>, ignored: &Ignored, warnings: &mut Vec<Diagnostic>) {
    let object = comparer.patched.layout.object;
    for &section in &ignored.sections {
        if comparer.twins.orig_section(section).is_none() && object.section_size(section) > 0 {
            let name = object.section_name(section);
            let text = format!(
                "WARNING: what is new in {name} is left out, as the patch asks: the running kernel does not learn of it"
            );
            warnings
                .push(Diagnostic::warning_of(Code::IgnoredRows, Finding::in_section(name, text)));
        }
    }
}

/// Whether a symbol names something that can do anything without being referred to here.
fn counts<S: Side>(layout: &Layout<'_, S>, symbol: SymbolId<S>) -> bool {
    match layout.object.symbol_kind(symbol) {
        // Code that nothing here calls: called from other objects, or not at all.
        abi::STT_FUNC | abi::STT_GNU_IFUNC => false,
        _ => !layout.is_special_static(symbol),
    }
}

/// Those of the suspects that nothing in code, data or tables refers to.
fn unreferenced<S: Side>(
    layout: &Layout<'_, S>,
    mut suspects: Suspects<S>,
) -> Result<Vec<(SectionId<S>, usize)>> {
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let object = layout.object;
    let homes = Marks::of(object.section_count(), suspects.keys().map(|s| s.0));
    let wanted = Marks::from_fn(object.symbol_count(), |id: SymbolId<S>| {
        object.section_of(id).is_some_and(|home| homes.has(home))
    });
    for &base in object.relocated() {
        let is_table = match layout.class(base) {
            Class::Table(index) => {
                let table = &TABLES[usize::from(index)];
                if !table.verdict && !table.row.is_by_exception_table() {
                    continue;
                }
                true
            }
            Class::Data | Class::Text | Class::Strings => false,
            _ => continue,
        };
        let refs = Refs::new(layout, base);
        for reloc in object.relocs(base).iter().filter(|r| wanted.has(r.symbol)) {
            let Some((section, at)) = refs.place(&reloc)? else { continue };
            let from = (section == base).then(|| layout.entity_at(base, reloc.offset)).flatten();
            // An end of a thing may be the start of the next: both count.
            let to =
                [layout.entity_at(section, at), layout.entity_at(section, at.saturating_sub(1))];
            // A table says of code that it has the code, not that anything leads there.
            if is_table && layout.class(section) == Class::Text && !layout.is_nameless(section) {
                continue;
            }
            for index in to.into_iter().flatten().filter(|&i| Some(i) != from) {
                suspects.swap_remove(&(section, index));
            }
        }
    }
    let mut left: Vec<_> = suspects.into_keys().collect();
    left.sort_unstable();
    Ok(left)
}

fn note<S: Side>(
    layout: &Layout<'_, S>,
    entity: Entity<S>,
    what: &str,
    exports: &mut Vec<Finding>,
    details: &mut Vec<Finding>,
) {
    let section = layout.object.section_name(entity.section);
    let mut found = Finding::in_section(section, "").at_offset(entity.start);
    found.text = match entity.symbol.map(|s| layout.object.symbol_name(s)) {
        Some(name) => {
            found = found.at_symbol(name);
            format!("{name} in section {section} {what} and nothing refers to it")
        }
        None => format!("section {section} {what} and nothing explains it"),
    };
    if sections::EXPORTS.iter().any(|e| section.starts_with(e)) {
        exports.push(found);
    } else {
        details.push(found);
    }
}
