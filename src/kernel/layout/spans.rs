//! The fourth stage: which symbol covers which bytes, and by that how functions begin.

use std::ops::Deref;

use indexmap::IndexMap;
use rayon::prelude::*;

use super::cover::Cover;
use super::roles::Roles;
use super::sites::reaches;
use crate::arch::{EntryReloc, FunctionView};
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::Symbol;

/// What symbols cover.
pub struct Spans<'a, S> {
    roles: Roles<'a, S>,
    /// For sections with many symbols.
    covers: IndexMap<SectionId<S>, Cover<S>, foldhash::fast::RandomState>,
}

impl<'a, S> Deref for Spans<'a, S> {
    type Target = Roles<'a, S>;

    #[inline]
    fn deref(&self) -> &Roles<'a, S> {
        &self.roles
    }
}

/// Sections with fewer symbols are searched in symbol order.
const FEW_SYMBOLS: usize = 16;

impl<'a, S: Side> Spans<'a, S> {
    /// Indexes the sections with many symbols. Fails for those whose bytes cannot be counted.
    pub(super) fn new(roles: Roles<'a, S>) -> Result<Self> {
        let object = roles.object;
        let many = |s: &SectionId<S>| object.members(*s).len() > FEW_SYMBOLS;
        let sections: Vec<SectionId<S>> = object.sections().filter(many).collect();
        sections.iter().try_for_each(|&section| check_size(&roles, section))?;
        let covers: Vec<(SectionId<S>, Cover<S>)> =
            sections.into_par_iter().map(|s| (s, Cover::new(&roles, s))).collect();
        let covers = covers.into_iter().collect();
        Ok(Spans { roles, covers })
    }

    /// The first local symbol, in symbol order, that ends at byte `at` and is wanted. An empty
    /// one ends where it starts.
    pub(in crate::kernel) fn ending(
        &self,
        section: SectionId<S>,
        at: u64,
        wanted: impl Fn(SymbolId<S>) -> bool,
    ) -> Option<SymbolId<S>> {
        if let Some(cover) = self.covers.get(&section) {
            return cover.ending(at).find(|&m| wanted(m));
        }
        let mut members = self.object.members(section).iter().copied();
        members.find(|&m| self.span(m).is_some_and(|s| s.1 == at) && self.is_local(m) && wanted(m))
    }

    /// The first symbol, in symbol order, that covers byte `at` of a section: an empty one
    /// exactly there, or one with `value <= at < value + size`.
    #[inline]
    pub fn covering(&self, section: SectionId<S>, at: i64) -> Option<SymbolId<S>> {
        let at = u64::try_from(at).ok()?;
        if let Some(cover) = self.covers.get(&section) {
            return cover.at(at);
        }
        self.object.members(section).iter().copied().find(|&m| {
            let Some((start, end)) = self.span(m) else { return false };
            if start == end { at == start } else { start <= at && at < end }
        })
    }

    /// What [`Spans::covering`] says of all of `low..=high`, when it is the same for each;
    /// otherwise `None`.
    pub fn covering_all(
        &self,
        section: SectionId<S>,
        low: i64,
        high: i64,
    ) -> Option<Option<SymbolId<S>>> {
        if low == high {
            return Some(self.covering(section, low));
        }
        let (low, high) = (u64::try_from(low).ok()?, u64::try_from(high).ok()?);
        if let Some(cover) = self.covers.get(&section) {
            return cover.over(low, high);
        }
        let edge = |at: u64| low < at && at <= high;
        let uniform = self.object.members(section).iter().all(|&m| {
            self.span(m).is_none_or(|(start, end)| {
                !edge(start) && !edge(end) && (start != end || !(low..=high).contains(&start))
            })
        });
        uniform.then(|| self.covering(section, low as i64))
    }

    /// The first symbol, in symbol order, that ends where the section ends.
    pub fn last_symbol(&self, section: SectionId<S>) -> Option<SymbolId<S>> {
        if let Some(cover) = self.covers.get(&section) {
            return cover.last;
        }
        let size = self.object.section_size(section);
        let members = self.object.members(section);
        members.iter().copied().find(|&m| self.ends_at(m, size))
    }

    /// A function as the entry checks see it.
    pub fn view(&self, id: SymbolId<S>, section: SectionId<S>) -> FunctionView<'a> {
        let symbol = self.object.symbol(id);
        let site = self.listed_site(section, &symbol);
        self.view_of(&symbol, section, site, self.owner(section).is_some())
    }

    /// The place that the object lists for a function's entry.
    fn listed_site(&self, section: SectionId<S>, function: &Symbol<'_, S>) -> Option<u64> {
        let is_between = |at| self.is_between(section, at);
        self.sites.of_function(self.arch, section, function, is_between)
    }

    /// Whether no function or variable of a section reaches to byte `at`.
    fn is_between(&self, section: SectionId<S>, at: u64) -> bool {
        match self.covers.get(&section) {
            Some(cover) => !cover.at(at).is_some_and(|id| reaches(&self.object.symbol(id), at)),
            None => self.is_between_members(section, at),
        }
    }

    /// Relocations from the start of a function (prefix included) to the end of its section.
    pub fn entry_relocs(
        &self,
        id: SymbolId<S>,
        section: SectionId<S>,
    ) -> impl Iterator<Item = EntryReloc<'a>> + '_ {
        let start = if self.is_bundled(id) { 0 } else { self.object.symbol_value(id) };
        let relocs = self.object.relocs(section);
        (relocs.lower_bound(start)..relocs.len()).map(move |i| {
            let reloc = relocs.get(i);
            EntryReloc {
                offset: reloc.offset,
                kind: reloc.kind,
                symbol: self.object.symbol_name(reloc.symbol),
            }
        })
    }

    /// Whether ftrace can hook function `id`.
    pub fn has_profiling(&self, id: SymbolId<S>) -> bool {
        let Some(section) = self.object.section_of(id) else { return false };
        self.object.symbol_kind(id) == abi::STT_FUNC
            && !self.is_prefix(id)
            && (self.arch.has_profiling)(
                &self.view(id, section),
                &mut self.entry_relocs(id, section),
            )
    }

    /// Where a function begins that shares its section: with the NOPs before its symbol that
    /// its entry for ftrace names, and the hash of its type before these. The hash is what is
    /// neither of another function nor padding. On powerpc64 with the distance of its TOC.
    pub(super) fn head_of(&self, id: SymbolId<S>, section: SectionId<S>) -> u64 {
        let function = self.object.symbol(id);
        let (width, value) = (self.arch.hash_word, function.value);
        if let Some((kind, width)) = self.arch.toc_distance
            && function.kind == abi::STT_FUNC
            && let Some(start) = value.checked_sub(width)
        {
            let mut there = self.object.relocs(section).within(start, value);
            let is_distance = there.next().is_some_and(|r| r.offset == start && r.kind == kind);
            return if is_distance && there.next().is_none() { start } else { value };
        }
        if width == 0 || function.kind != abi::STT_FUNC || !self.object.is_text(section) {
            return value;
        }
        let site = self.listed_site(section, &function).filter(|&site| site < value);
        let start = site.unwrap_or(value);
        let Some(hash) = start.checked_sub(width) else { return start };
        let bytes = self.object.contents(section).get(hash as usize..start as usize);
        let is_hash = bytes.is_some_and(|bytes| bytes != self.arch.padding_pattern)
            && self.is_between(section, hash)
            && self.object.relocs(section).within(hash, start).next().is_none();
        if is_hash { hash } else { start }
    }
}

/// Fails for a section whose bytes cannot be counted in four.
pub(super) fn check_size<S: Side>(roles: &Roles<'_, S>, section: SectionId<S>) -> Result<()> {
    if u32::try_from(roles.object.section_size(section)).is_ok() {
        return Ok(());
    }
    Err(Error::broken(Code::SectionTooLarge, "a section of 4 GiB or more is not supported")
        .in_section(roles.object.section_name(section)))
}
