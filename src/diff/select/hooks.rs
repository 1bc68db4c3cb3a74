//! Which changed functions ftrace cannot redirect.

use super::boot_code::{BootCode, is_boot_code};
use super::status::{Status, Statuses};
use crate::diff::compare::comparer::Comparer;
use crate::elf::abi;
use crate::elf::ids::{Patched, SymbolId};

/// Changed functions that ftrace cannot redirect, in symbol order. Code that only runs at boot is
/// left to [`crate::diff::refuse::boot`].
pub(in crate::diff) fn unhookable(
    comparer: &Comparer<'_>,
    statuses: &Statuses,
    boot: BootCode,
) -> Vec<SymbolId<Patched>> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let object = patched.object;
    let boot_warns = comparer.policy.leaves_boot_code || boot.warns(comparer);
    let carries = |parent: SymbolId<Patched>| {
        statuses.symbols[parent] == Status::Changed || statuses.lifted.carries(patched, parent)
    };
    let is_unhookable = |&id: &SymbolId<Patched>| {
        object.symbol_kind(id) == abi::STT_FUNC
            && statuses.symbols[id] == Status::Changed
            && !patched.is_prefix(id)
            && !(boot_warns && is_boot_code(comparer, id))
            && !patched.split_from(id).is_some_and(carries)
            && comparer.twins.orig_symbol(id).is_none_or(|twin| !orig.has_profiling(twin))
    };
    object.symbols().skip(1).filter(is_unhookable).collect()
}
