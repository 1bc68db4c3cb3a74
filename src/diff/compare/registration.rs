//! What only tells the runtime of a sanitizer about variables: see `kernel::constructors`.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::Comparer;
use super::forgiven::{Field, Forgiven, Ledger, proofs};
use crate::elf::ids::{Orig, Patched};
use crate::kernel::constructors::only_registers;
use crate::kernel::layout::Entity;

impl Comparer<'_> {
    /// Whether two functions only register variables, or two pieces of data only describe them
    /// to those who do.
    pub(super) fn only_register(&self, o: &Entity<Orig>, p: &Entity<Patched>) -> bool {
        let describe = || {
            self.orig.anonymous.describes(o.section) && self.patched.anonymous.describes(p.section)
        };
        let register = || {
            o.symbol.is_some_and(|o| only_registers(self.orig.layout, o))
                && p.symbol.is_some_and(|p| only_registers(self.patched.layout, p))
        };
        self.policy.proves_noise && (describe() || register())
    }

    /// What is forgiven when they differ: all of it.
    pub(in crate::diff) fn registration(
        &self,
        o: &Entity<Orig>,
        p: &Entity<Patched>,
    ) -> Vec<Forgiven> {
        let asked = Comparer { ledger: Some(Ledger::default()), ..self.asking() };
        let field =
            Field { o: (o.section, o.start), p: (p.section, p.start), width: p.end - p.start };
        let evidence = || "all references lead to the entries for that, or to descriptions".into();
        asked.forgive_bytes(proofs::REGISTERS, field, evidence);
        asked.ledger.map(Ledger::into_entries).unwrap_or_default()
    }
}
