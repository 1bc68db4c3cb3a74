//! Refuses objects of kernels that collect a profile: their code counts where it goes, so
//! that it says little about the kernel that is built with the profile.

use super::comparer::Comparer;
use crate::diag::{Code, Error, Result};
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, SymbolId};
use crate::kernel::knowledge::{sections, symbols};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;

/// Fails when something differs in an object that counts its own execution. Of an object of
/// many files that may be some of them: there, code that differs must count.
pub fn check_instrumented(comparer: &Comparer<'_>, verdicts: &Verdicts) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    // What is only new is looked at where something refers to it.
    let differs = |(section, whole): (SectionId<Patched>, Verdict)| {
        let verdicts = (0..layout.entity_count(section)).map(|i| verdicts.entity(section, i));
        let mut verdicts = verdicts.chain((layout.entity_count(section) == 0).then_some(whole));
        verdicts.any(|v| !v.is_same() && !v.has(Verdict::NEW))
    };
    if !verdicts.differing().any(differs) {
        return Ok(());
    }
    let found = match layout.is_linked() {
        true => counting(comparer, verdicts)?,
        false => {
            let mut sections = object.sections().map(|id| object.section_name(id));
            let section = sections.find(|name| is_section(name));
            let counter = || object.symbols().find(|&id| is_counter(layout, id));
            let trace = section.or_else(|| counter().map(|id| object.symbol_name(id)));
            trace.map(|trace| (format!("the object holds {trace}"), None))
        }
    };
    let Some((text, symbol)) = found else { return Ok(()) };
    let error =
        Error::refused(Code::Instrumented, format!("this was built to collect a profile: {text}"))
            .in_file(object.file())
            .advise(
                "build both objects as the running kernel was built: with the profile \
                 (-fprofile-use, -fprofile-sample-use), not with -fprofile-generate, \
                 -fprofile-arcs or GCOV_PROFILE",
            );
    Err(match symbol {
        Some(symbol) => error.at_symbol(symbol),
        None => error,
    })
}

/// The first function that differs and counts, with what tells so.
fn counting<'a>(
    comparer: &Comparer<'a>,
    verdicts: &Verdicts,
) -> Result<Option<(String, Option<&'a str>)>> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    for (section, _) in verdicts.differing().filter(|(s, _)| layout.class(*s) == Class::Text) {
        let refs = Refs::new(layout, section);
        for index in 0..layout.entity_count(section) {
            if verdicts.entity(section, index).is_same() {
                continue;
            }
            let entity = layout.entity(section, index);
            for reloc in object.relocs(section).within(entity.start, entity.end) {
                let target = refs.resolve(&reloc)?.symbol;
                let place = object.section_of(target).map(|s| object.section_name(s));
                let trace = match place.filter(|name| is_section(name)) {
                    None if !is_counter(layout, target) => continue,
                    None => object.symbol_name(target),
                    Some(place) => place,
                };
                let symbol = entity.symbol.map(|s| object.symbol_name(layout.root(s)));
                let function = symbol.unwrap_or(object.section_name(section));
                return Ok(Some((format!("{function} refers to {trace}"), symbol)));
            }
        }
    }
    Ok(None)
}

fn is_section(name: &str) -> bool {
    sections::INSTRUMENTATION.iter().any(|s| name.starts_with(s))
}

/// Whether a symbol is a counter or something of the library that counts; the kernel may have
/// functions of that library.
fn is_counter(layout: &Layout<'_, Patched>, id: SymbolId<Patched>) -> bool {
    let object = layout.object;
    let name = object.symbol_name(id);
    symbols::COUNTERS.iter().any(|c| name.starts_with(c))
        && (object.symbol_kind(id) == abi::STT_OBJECT || object.section_of(id).is_none())
}
