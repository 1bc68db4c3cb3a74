//! Refuses a patch that depends on a guess about which symbol is which.

use crate::diag::{Code, Error, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::selection::Selection;
use crate::elf::abi;
use crate::elf::ids::Id;
use crate::kernel::knowledge::names;

/// How many candidates an error lists.
const SHOWN: usize = 10;

/// Fails when the patch holds or refers to a symbol of which it is unknown what it was in
/// the original: a reference would reach the wrong function or variable.
pub fn check_unsettled(comparer: &Comparer<'_>, selection: &Selection) -> Result<()> {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let mut needed: Vec<_> =
        comparer.twins.unsettled.iter().copied().filter(|&id| selection.symbols[id]).collect();
    needed.sort_unstable();
    let Some(&id) = needed.first() else { return Ok(()) };
    let (name, kind) = (patched.symbol_name(id), patched.symbol_kind(id));
    let mut file = None;
    let mut details = Vec::new();
    for candidate in orig.symbols().skip(1) {
        let its_name = orig.symbol_name(candidate);
        if orig.symbol_kind(candidate) == abi::STT_FILE {
            file = Some(its_name);
        } else if orig.symbol_kind(candidate) == kind && names::same(its_name, name) {
            let local = orig.symbol_bind(candidate) == abi::STB_LOCAL;
            let place = match (file, orig.section_of(candidate)) {
                (Some(file), _) if local => format!("in {file}"),
                (_, Some(section)) => format!("in section {}", orig.section_name(section)),
                _ => "not defined here".to_owned(),
            };
            details.push(format!("candidate: {its_name} (symbol {}, {place})", candidate.index()));
        }
    }
    let more = details.len().saturating_sub(SHOWN);
    details.truncate(SHOWN);
    if more > 0 {
        details.push(format!("and {more} more candidates"));
    }
    Err(Error::refused(
        Code::AmbiguousSymbol,
        format!("it is unclear which symbol of the original {name} is"),
    )
    .in_file(patched.file())
    .at_symbol(name)
    .with_details(details)
    .advise(
        "several have this name, and neither content nor who refers to them tells them apart: \
         give them different names, or compare the objects one by one",
    ))
}
