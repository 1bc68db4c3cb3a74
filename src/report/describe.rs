//! Describes functions: how they differ and why they are in the patch.

use rayon::prelude::*;

use super::explain::blame::{blame, locate};
use super::explain::values::values;
use super::explain::{Wanted, function, is_called};
use super::{Data, Function, FunctionStatus};
use crate::diag::Result;
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::reasons::Differs;
use crate::diff::compare::reasons::reasons_of;
use crate::diff::explain::clones::Clones;
use crate::diff::explain::found::NoiseFound;
use crate::diff::explain::ignored::noise_of;
use crate::diff::verdict::Verdicts;
use crate::elf::abi;
use crate::elf::ids::{Patched, SymbolId};

/// How functions differ, in their order.
pub fn reasons(
    comparer: &Comparer<'_>,
    functions: Vec<SymbolId<Patched>>,
) -> Vec<(SymbolId<Patched>, Result<Differs>)> {
    // What others asked before must not decide who meets live state first.
    let comparer = &comparer.asking();
    functions.into_par_iter().map(|id| (id, reasons_of(comparer, id))).collect()
}

/// Describes the functions listed, `true` for changed ones, each with why it is there. Both
/// lists are in symbol order; `reasons` are those that are known.
pub fn functions(
    comparer: &Comparer<'_>,
    listed: Vec<(SymbolId<Patched>, bool)>,
    reasons: Vec<(SymbolId<Patched>, Result<Differs>)>,
    because: impl Fn(SymbolId<Patched>) -> Vec<(String, String)> + Sync,
    wanted: &Wanted,
) -> Result<Vec<Function>> {
    let mut reasons = reasons.into_iter().peekable();
    let mut known = |id| {
        while reasons.next_if(|(other, _)| *other < id).is_some() {}
        reasons.next_if(|(other, _)| *other == id).map(|(_, differs)| differs)
    };
    let ids: Vec<SymbolId<Patched>> = listed.iter().map(|(id, _)| *id).collect();
    let news = listed.iter().any(|(_, changed)| !changed);
    let clones = news.then(|| Clones::new(comparer.pair));
    let listed: Vec<_> = listed.into_iter().map(|(id, changed)| (id, changed, known(id))).collect();
    let described: Vec<Result<Function>> = listed
        .into_par_iter()
        .map(|(id, changed, differs)| {
            let Differs { mut reasons, questions, .. } =
                differs.unwrap_or_else(|| reasons_of(comparer, id))?;
            if let (false, Some(clones)) = (changed, &clones) {
                reasons.extend(clones.reason(id));
            }
            let name = comparer.output_name(id);
            let explained = changed && wanted.wants(name);
            Ok(Function {
                name: name.to_owned(),
                status: if changed { FunctionStatus::Changed } else { FunctionStatus::New },
                reasons,
                questions,
                included_because: because(id),
                body: explained.then(|| function::body(comparer, id)),
                cause: None,
                source: Vec::new(),
                file: file_of(comparer, id),
            })
        })
        .collect();
    let mut described: Vec<Function> = described.into_iter().collect::<Result<_>>()?;
    if described.iter().any(|function| function.body.is_some()) {
        blame(comparer, &mut described);
    } else {
        locate(comparer, &ids, &mut described);
    }
    Ok(described)
}

/// The source file of a function that only its file sees, in an object that was linked from several: where visible
/// ones come from their symbols do not tell.
fn file_of(comparer: &Comparer<'_>, id: SymbolId<Patched>) -> Option<String> {
    let layout = comparer.patched.layout;
    layout.source_file(id).filter(|_| layout.is_linked()).map(str::to_owned)
}

/// Describes variables and constants: name, status, and symbol in the patched object.
pub fn describe_data(
    comparer: &Comparer<'_>,
    data: Vec<(String, &'static str, Option<SymbolId<Patched>>)>,
    wanted: &Wanted,
) -> Vec<Data> {
    let described = data.into_par_iter().map(|(name, status, id)| {
        let explained = id.filter(|_| status == "changed" && wanted.wants(&name));
        let values = explained.and_then(|id| values(comparer, id));
        Data { name, status, values }
    });
    described.collect()
}

/// What was asked for by name and means the same in both objects, with what is noise in it.
pub fn unchanged(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    wanted: &Wanted,
) -> Result<Vec<(String, Vec<NoiseFound>)>> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let mut found = Vec::new();
    if wanted.asked.is_empty() {
        return Ok(found);
    }
    for id in object.symbols().skip(1) {
        let name = comparer.output_name(id);
        let kind = object.symbol_kind(id);
        if !matches!(kind, abi::STT_FUNC | abi::STT_OBJECT)
            || layout.is_prefix(id)
            || !wanted.asked.iter().any(|asked| is_called(name, asked))
            || comparer.twins.orig_symbol(id).is_none()
        {
            continue;
        }
        let Some(section) = object.section_of(id) else { continue };
        let Some(index) = layout.entity_at(section, object.symbol_value(id)) else { continue };
        let family = layout.children(id).filter_map(|child| {
            let section = object.section_of(child)?;
            Some((section, layout.entity_at(section, object.symbol_value(child))?))
        });
        let mut family = [(section, index)].into_iter().chain(family);
        if family.all(|(section, index)| verdicts.entity(section, index).is_same()) {
            let entity = layout.entity(section, index);
            found.push((name.to_owned(), noise_of(comparer, &entity)?));
        }
    }
    Ok(found)
}
