//! Warns of changed functions that tasks never leave.

use crate::diag::{Code, Diagnostic};
use crate::diff::compare::comparer::Comparer;
use crate::elf::ids::{Patched, SymbolId};
use crate::kernel::knowledge::endless::{Endless, find};

/// A warning for each of the functions that are to be redirected and that tasks never leave.
pub fn warnings(comparer: &Comparer<'_>, redirected: &[SymbolId<Patched>]) -> Vec<Diagnostic> {
    let layout = comparer.patched.layout;
    let mut warnings = Vec::new();
    for &id in redirected {
        let name = layout.object.symbol_name(id);
        let Some(&(function, kind, source)) = find(name, layout.source_file(id)) else { continue };
        let (what, advice) = match kind {
            Endless::Thread => (
                format!(
                    "kernel threads loop in {function} ({source}) and sleep there, so it is always on their stacks: livepatch waits for them for ever, and the transition to the patch does not end"
                ),
                "leave the change out, or change a function that it calls and that returns",
            ),
            Endless::Sleep => (
                format!(
                    "whoever sleeps does so in {function} ({source}), and kernel threads do for ever: livepatch waits for them, and the transition to the patch does not end"
                ),
                "leave the change out, or change the functions that call it",
            ),
            Endless::Idle => (
                format!(
                    "the idle task of each processor is in {function} ({source}) since it started and never returns: the code of the patch is not used"
                ),
                "leave the change out, or change a function that it calls and that returns",
            ),
        };
        warnings.push(Diagnostic::warning(Code::NeverReturns, what).at_symbol(name).advise(advice));
    }
    warnings
}
