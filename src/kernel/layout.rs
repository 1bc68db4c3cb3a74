//! Who owns what in one object: bundles, prefixes, children, entities.
//!
//! An *entity* is a piece of a section with one meaning: a function with its prefix, a
//! variable, or, where a section has no symbols, the section. Entities of a section follow
//! each other without gaps, so every byte of the section belongs to exactly one.
//!
//! A layout is made in stages: `Sections`, `Owners`, `Roles`, `Spans`, `Entities`. Each is
//! complete when it exists, owns the one before, and answers for it, too: it is a [`Deref`] to
//! it. A question belongs to the first stage that can answer it. What a stage asks while it is
//! made it can only ask of those before it, so that nothing is asked before it is known.

mod cover;
mod entities;
mod facts;
mod input;
mod owners;
mod parents;
mod prefixes;
mod roles;
mod sections;
mod sites;
mod spans;

use std::ops::Deref;

use self::entities::Entities;
pub use self::entities::Entity;
use self::facts::Facts;
use self::owners::Owners;
use self::parents::Parents;
use self::roles::Roles;
use self::sections::Sections;
use self::spans::Spans;
pub use super::classes::{Class, is_padding};
use crate::diag::Result;
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::Object;

/// What the kernel's conventions say about one object. Borrows the object.
pub struct Layout<'a, S> {
    entities: Entities<'a, S>,
    parents: Parents<S>,
}

impl<'a, S> Deref for Layout<'a, S> {
    type Target = Entities<'a, S>;

    #[inline]
    fn deref(&self) -> &Entities<'a, S> {
        &self.entities
    }
}

impl<'a, S: Side> Layout<'a, S> {
    /// Analyses `object`. Fails on layouts that contradict the conventions of the machine.
    pub fn new(object: &'a Object<'a, S>) -> Result<Self> {
        Self::build(object).map_err(|e| e.in_file(object.file()))
    }

    fn build(object: &'a Object<'a, S>) -> Result<Self> {
        let sections = Sections::new(object)?;
        let facts = Facts::new(object, sections.arch);
        let owners = Owners::new(sections, &facts)?;
        let roles = Roles::new(owners, &facts);
        let parents = Parents::new(&roles, &facts)?;
        drop(facts);
        let entities = Entities::new(Spans::new(roles)?)?;
        Ok(Layout { entities, parents })
    }

    /// The function that `child` was split from.
    pub fn split_from(&self, child: SymbolId<S>) -> Option<SymbolId<S>> {
        self.parents.of(child)
    }

    /// All symbols that were split from another one, in order.
    pub fn parts(&self) -> impl Iterator<Item = SymbolId<S>> + '_ {
        self.parents.parts()
    }

    /// The function at the end of the chain of parents; `id` itself when it has none.
    pub fn root(&self, id: SymbolId<S>) -> SymbolId<S> {
        let mut root = id;
        // A parent's name is a proper prefix of its child's, so the chain ends.
        while let Some(split_from) = self.split_from(root) {
            root = split_from;
        }
        root
    }

    /// The parts split off `split_from`, in symbol order.
    pub fn children(&self, split_from: SymbolId<S>) -> impl Iterator<Item = SymbolId<S>> + '_ {
        self.parents.children(split_from)
    }

    /// The function or variable that byte `at` of a section belongs to: of a part, the function
    /// that it was split from.
    pub fn user_at(&self, section: SectionId<S>, at: u64) -> Option<SymbolId<S>> {
        let index = self.entity_at(section, at)?;
        self.entity(section, index).symbol.map(|symbol| self.root(symbol))
    }
}
