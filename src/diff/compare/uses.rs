//! Uses of live state whose initial value may have changed: see [`states`](super::states).

use crate::elf::ids::{Orig, Patched, SectionId, SymbolId};

/// A variable without a twin, its counterpart, and code that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Use {
    pub(super) orig: SymbolId<Orig>,
    pub(super) variable: SymbolId<Patched>,
    pub(super) user: SectionId<Patched>,
    pub(super) at: u64,
}

/// The uses of variables that may have changed, by variable and place. What a variable points to
/// is looked at when all uses are known: such variables can point to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses(Vec<Use>);

impl Uses {
    /// Those that comparisons found, in any order.
    pub(super) fn new(mut all: Vec<Use>) -> Self {
        all.sort_unstable();
        all.dedup();
        Uses(all)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Use> {
        self.0.iter()
    }

    /// Together with `others`.
    pub fn with<'u>(&self, others: impl Iterator<Item = &'u Uses>) -> Self {
        let all = others.flat_map(|uses| &uses.0).chain(&self.0);
        Uses::new(all.copied().collect())
    }
}
