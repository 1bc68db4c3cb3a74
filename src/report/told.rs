//! Describes functions: how they differ and why they are in the patch.

use rayon::prelude::*;

use super::{Function, FunctionStatus};
use crate::diag::Result;
use crate::diff::compare::Comparer;
use crate::diff::inlining::Question;
use crate::diff::verdict::Reason;
use crate::elf::ids::{Patched, SymbolId};

/// How a function differs, and what other objects may tell of that.
pub type Differs = Result<(Vec<Reason>, Vec<Question>)>;

/// How functions differ, in their order.
pub fn reasons(
    comparer: &Comparer<'_, '_, '_, '_>,
    functions: Vec<SymbolId<Patched>>,
) -> Vec<(SymbolId<Patched>, Differs)> {
    functions.into_par_iter().map(|id| (id, comparer.reasons(id))).collect()
}

/// Describes the functions listed, `true` for changed ones, each with why it is there. Both
/// lists are in symbol order; `reasons` are those that are known.
pub fn functions(
    comparer: &Comparer<'_, '_, '_, '_>,
    listed: Vec<(SymbolId<Patched>, bool)>,
    reasons: Vec<(SymbolId<Patched>, Differs)>,
    because: impl Fn(SymbolId<Patched>) -> Vec<(String, String)> + Sync,
) -> Result<Vec<Function>> {
    let mut reasons = reasons.into_iter().peekable();
    let mut known = |id| {
        while reasons.next_if(|(other, _)| *other < id).is_some() {}
        reasons.next_if(|(other, _)| *other == id).map(|(_, differs)| differs)
    };
    let listed: Vec<_> = listed.into_iter().map(|(id, changed)| (id, changed, known(id))).collect();
    let told: Vec<Result<Function>> = listed
        .into_par_iter()
        .map(|(id, changed, differs)| {
            let (reasons, questions) = differs.unwrap_or_else(|| comparer.reasons(id))?;
            Ok(Function {
                name: comparer.output_name(id).to_owned(),
                status: if changed { FunctionStatus::Changed } else { FunctionStatus::New },
                reasons,
                questions,
                included_because: because(id),
            })
        })
        .collect();
    told.into_iter().collect()
}
