//! What only tells the runtime of a sanitizer about variables: see `kernel::constructors`.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::Comparer;
use super::forgive::forgive_bytes;
use super::forgiven::{Field, Forgiven, Ledger, proofs};
use super::pair::Pair;
use crate::elf::ids::{Orig, Patched};
use crate::kernel::constructors::only_registers;
use crate::kernel::layout::Entity;

/// Whether two functions only register variables, or two pieces of data only describe them
/// to those who do.
pub(super) fn only_register(pair: &Pair<'_>, o: &Entity<Orig>, p: &Entity<Patched>) -> bool {
    let describe =
        || pair.orig.anonymous.describes(o.section) && pair.patched.anonymous.describes(p.section);
    let register = || {
        o.symbol.is_some_and(|o| only_registers(pair.orig.layout, o))
            && p.symbol.is_some_and(|p| only_registers(pair.patched.layout, p))
    };
    pair.policy.proves_noise && (describe() || register())
}

/// What is forgiven when they differ: all of it.
pub(in crate::diff) fn registration(
    comparer: &Comparer<'_>,
    o: &Entity<Orig>,
    p: &Entity<Patched>,
) -> Vec<Forgiven> {
    let asked = comparer.noting();
    let field = Field { o: (o.section, o.start), p: (p.section, p.start), width: p.end - p.start };
    let evidence = || "all references lead to the entries for that, or to descriptions".into();
    forgive_bytes(&asked, proofs::REGISTERS, field, evidence);
    asked.ledger.map(Ledger::into_entries).unwrap_or_default()
}
