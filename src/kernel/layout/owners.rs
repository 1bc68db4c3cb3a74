//! The second stage: for which symbol a section exists.

use std::ops::Deref;

use super::facts::{self, Facts};
use super::prefixes::Prefixes;
use super::sections::Sections;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Id, IdVec, SectionId, Side, Sparse, SymbolId};
use crate::kernel::classes::is_padding;

/// The owners of sections, and what lies before functions.
pub struct Owners<'a, S> {
    sections: Sections<'a, S>,
    prefixes: Prefixes<S>,
    owner: Sparse<SectionId<S>, SymbolId<S>>,
}

impl<'a, S> Deref for Owners<'a, S> {
    type Target = Sections<'a, S>;

    #[inline]
    fn deref(&self) -> &Sections<'a, S> {
        &self.sections
    }
}

/// The owner of each section; the null symbol where there is none.
type OwnerOf<S> = IdVec<SectionId<S>, SymbolId<S>>;

/// The sections that have an owner, by section.
fn sparse<S: Side>(owner: &OwnerOf<S>) -> Sparse<SectionId<S>, SymbolId<S>> {
    let owners = || owner.iter().map(|(s, &o)| (s, o)).filter(|(_, o)| o.index() != 0);
    Sparse::build(owner.len(), owners)
}

/// The sections that are named after a symbol, each with that.
fn named_after<S: Side>(sections: &Sections<'_, S>, facts: &Facts<S>) -> OwnerOf<S> {
    let object = sections.object;
    let mut contested = Vec::new();
    let mut owner = IdVec::filled(SymbolId::new(0), object.section_count());
    for id in object.symbols().filter(|&id| facts.has(id, facts::OWNS)) {
        let Some(section) = object.section_of(id) else { continue };
        let rival = owner[section];
        if rival.index() != 0 && object.symbol_value(rival) != object.symbol_value(id) {
            contested.push(section);
        }
        owner[section] = id;
    }
    // `ld -r` merges sections of one name: what several own, nobody owns.
    for section in contested {
        owner[section] = SymbolId::new(0);
    }
    owner
}

impl<'a, S: Side> Owners<'a, S> {
    /// Finds the owners. Fails where a section does not begin as its owner's should.
    pub(super) fn new(sections: Sections<'a, S>, facts: &Facts<S>) -> Result<Self> {
        let prefixes = Prefixes::new(sections.object, sections.arch, facts)?;
        let mut owner = named_after(&sections, facts);
        let mut behind = Vec::new();
        for (section, &id) in owner.iter().filter(|(_, o)| o.index() != 0) {
            match check_owner(&sections, &prefixes, id, section) {
                Ok(()) => {}
                // A weak definition that gave way lies before it: without a name, but there.
                Err(_) if sections.is_linked() => behind.push(section),
                Err(error) => return Err(error),
            }
        }
        for section in behind {
            owner[section] = SymbolId::new(0);
        }
        let owner = sparse(&owner);
        Ok(Owners { sections, prefixes, owner })
    }

    /// The symbol for which a section exists.
    #[inline]
    pub fn owner(&self, section: SectionId<S>) -> Option<SymbolId<S>> {
        self.owner.get(section)
    }

    /// Whether `id` owns the section it is in.
    #[inline]
    pub fn is_bundled(&self, id: SymbolId<S>) -> bool {
        self.object.section_of(id).is_some_and(|s| self.owner.get(s) == Some(id))
    }

    /// The prefix symbol of a function; of several, the one that lies farthest before it.
    pub fn prefix_of(&self, function: SymbolId<S>) -> Option<SymbolId<S>> {
        self.prefixes.of(function)
    }
}

/// Fails where the owner of a section does not lie where it must.
fn check_owner<S: Side>(
    sections: &Sections<'_, S>,
    prefixes: &Prefixes<S>,
    owner: SymbolId<S>,
    section: SectionId<S>,
) -> Result<()> {
    let object = sections.object;
    let value = object.symbol_value(owner);
    let expected = expected_value(sections, prefixes, owner, section);
    if value == expected {
        return Ok(());
    }
    let name = object.symbol_name(owner);
    Err(Error::broken(
        Code::UnexpectedSymbolOffset,
        format!(
            "symbol {name} at offset {value} within section {}, expected {expected}",
            object.section_name(section)
        ),
    )
    .advise("a section named after a symbol must start with it, or with padding the machine's conventions know"))
}

/// Where a symbol must lie in the section it owns: behind its prefix or padding.
fn expected_value<S: Side>(
    sections: &Sections<'_, S>,
    prefixes: &Prefixes<S>,
    id: SymbolId<S>,
    section: SectionId<S>,
) -> u64 {
    let (object, arch) = (sections.object, sections.arch);
    if object.symbol_kind(id) != abi::STT_FUNC {
        return 0;
    }
    if let Some(prefix) = prefixes.of(id) {
        let [value, prefix] = [id, prefix].map(|id| object.symbol_value(id));
        let lead = object.contents(section).get(..prefix as usize);
        if lead.is_some_and(|l| is_padding(arch, l)) {
            return value;
        }
        return value.saturating_sub(prefix);
    }
    let symbol = object.symbol(id);
    let is_between = |at| sections.is_between_members(section, at);
    let site = sections.sites.of_function(arch, section, &symbol, is_between);
    (arch.padding)(&sections.view_of(&symbol, section, site, true))
}
