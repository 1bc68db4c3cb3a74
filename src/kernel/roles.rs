//! What part a symbol plays: a traceable function, a static local, one of the macros'
//! variables.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "the places before are sorted, so that differences are none below zero"
)]

use super::classes::Traits;
use super::facts::{self, Facts};
use super::layout::{Class, Layout};
use super::names;
use crate::arch::{EntryReloc, FunctionView};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::{Home, Reloc, Symbol};

impl<'a, S: Side> Layout<'a, S> {
    /// Notes where the object itself says that its functions can be hooked.
    pub(super) fn find_patchable(&mut self) {
        if !self.has_pfe {
            self.find_sites("__mcount_loc");
            return;
        }
        self.find_sites(PATCHABLE);
        for id in self.object.sections() {
            if self.object.section_name(id) == PATCHABLE {
                let referred = self.object.relocs(id).iter();
                self.patchable.extend(referred.filter_map(|r| self.object.section_of(r.symbol)));
            }
        }
        self.patchable.sort_unstable();
        self.patchable.dedup();
    }

    /// Notes the places that sections of that name list.
    fn find_sites(&mut self, table: &str) {
        let object = self.object;
        for id in object.sections().filter(|&id| object.section_name(id) == table) {
            let place = |r: Reloc<S>| {
                let at = r.addend.wrapping_add(object.symbol_value(r.symbol) as i64);
                Some((object.section_of(r.symbol)?, u64::try_from(at).ok()?))
            };
            self.sites.extend(object.relocs(id).iter().filter_map(place));
        }
        self.sites.sort_unstable();
    }

    /// Whether some `__patchable_function_entries` section names the function's section.
    pub fn has_pfe(&self) -> bool {
        self.has_pfe
    }

    /// Whether sections of that name are ordered after the code they describe.
    pub fn pfe_ordered(&self) -> bool {
        self.section_named(PATCHABLE)
            .is_some_and(|s| self.object.section_flags(s) & abi::SHF_LINK_ORDER != 0)
    }

    /// A function as the entry checks see it.
    pub fn view(&self, id: SymbolId<S>, section: SectionId<S>) -> FunctionView<'a> {
        let symbol = self.object.symbol(id);
        let listed_site = self.listed_site(section, &symbol);
        // Of several functions of a section some may have an entry, and others none.
        let patchable_entry = match self.owner(section) {
            Some(_) => self.patchable.binary_search(&section).is_ok(),
            None => listed_site.is_some(),
        };
        FunctionView {
            name: symbol.name,
            section: self.object.contents(section),
            value: symbol.value,
            other: symbol.other,
            listed_site,
            patchable_entry,
            object_has_pfe: self.has_pfe,
        }
    }

    /// The first place that the object lists at a function's start, or behind a marker or what
    /// loads the TOC; else one closely before, where no other function is.
    fn listed_site(&self, section: SectionId<S>, function: &Symbol<'_, S>) -> Option<u64> {
        let value = function.value;
        let from = self.sites.partition_point(|site| *site < (section, value));
        let head =
            (self.arch.indirect_target.len() as u64).max((self.arch.local_entry)(function.other));
        let site = self.sites.get(from).filter(|site| site.0 == section).map(|site| site.1);
        if let Some(site) = site.filter(|&site| site <= value.saturating_add(head)) {
            return Some(site);
        }
        let before = self.sites.get(..from)?.last().filter(|site| site.0 == section)?.1;
        let near = value - before <= self.arch.site_lead && self.is_between(section, before);
        near.then_some(before)
    }

    /// Whether no function or variable of a section reaches to byte `at`.
    fn is_between(&self, section: SectionId<S>, at: u64) -> bool {
        let reaches = |id: SymbolId<S>| {
            let symbol = self.object.symbol(id);
            symbol.kind != abi::STT_SECTION && symbol.value <= at && at - symbol.value < symbol.size
        };
        match self.cover(section) {
            Some(cover) => !cover.at(at).is_some_and(reaches),
            None => !self.object.members(section).iter().any(|&id| reaches(id)),
        }
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

    /// The function or variable that byte `at` of a section belongs to: of a part, the function
    /// that it was split from.
    pub fn user_at(&self, section: SectionId<S>, at: u64) -> Option<SymbolId<S>> {
        let index = self.entity_at(section, at)?;
        self.entity(section, index).symbol.map(|symbol| self.root(symbol))
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

    /// Whether `id` is a variable the kernel's macros define once per use. A section symbol is judged by the owner of its section.
    #[inline]
    pub fn is_special_static(&self, id: SymbolId<S>) -> bool {
        self.roles[id].has(SPECIAL)
    }

    /// Whether `id` is a static local variable that keeps state.
    #[inline]
    pub fn is_static_local(&self, id: SymbolId<S>) -> bool {
        self.roles[id].has(STATIC)
    }

    /// Whether `id` only labels a place: an assembler label (where labels are not resolved at
    /// assembly time, any local symbol without a type is one), or the compiler's name for a
    /// string literal.
    #[inline]
    pub fn is_label(&self, id: SymbolId<S>) -> bool {
        self.roles[id].has(LABEL)
    }

    /// Whether `id` only marks code or data (`$x`, `$d`).
    #[inline]
    pub fn is_mapping(&self, id: SymbolId<S>) -> bool {
        self.roles[id].has(MAPPING)
    }

    /// All of these for one symbol, prefixes aside. The owners of sections are known.
    pub(super) fn judge_symbol(&self, id: SymbolId<S>, facts: &Facts<S>) -> Roles {
        let object = self.object;
        let (kind, home) = (object.symbol_kind(id), object.home(id));
        let local = object.symbol_bind(id) == abi::STB_LOCAL;
        let mut roles = 0;
        let marked = facts.has(id, facts::MARKED);
        if kind == abi::STT_NOTYPE && (marked || self.arch.local_labels) {
            let in_section = matches!(home, Home::Section(_));
            let name = object.symbol_name(id);
            if local && in_section && (self.arch.local_labels || name.starts_with(".L")) {
                roles |= LABEL;
            }
            if local && self.arch.mapping_symbols && name.starts_with('$') {
                roles |= MAPPING;
            }
        }
        let Home::Section(section) = home else { return Roles(roles) };
        if self.judge_special(id, section, facts) {
            roles |= SPECIAL;
        }
        if kind == abi::STT_OBJECT && facts.has(id, facts::DOTTED) {
            let name = object.symbol_name(id);
            // Also `.L__func__.f`, where the machine's clang keeps such names.
            let private = names::is_string_name(name) || local && name.starts_with(".L");
            if private && self.class(section) == Class::Strings {
                roles |= LABEL;
            }
            if local && roles & SPECIAL == 0 && !name.starts_with(".L") {
                roles |= STATIC;
            }
        }
        Roles(roles)
    }

    fn judge_special(&self, id: SymbolId<S>, section: SectionId<S>, facts: &Facts<S>) -> bool {
        let object = self.object;
        let (kind, traits) = (object.symbol_kind(id), self.traits[section]);
        if traits.has(Traits::UNNAMED) {
            return true;
        }
        if kind == abi::STT_SECTION {
            let owner = self.owner(section).filter(|&o| object.symbol_kind(o) != abi::STT_SECTION);
            return traits.has(Traits::SPECIAL)
                || owner.is_some_and(|owner| self.judge_special(owner, section, facts));
        }
        kind == abi::STT_OBJECT
            && (traits.has(Traits::SPECIAL)
                || object.symbol_bind(id) == abi::STB_LOCAL
                    && (traits.has(Traits::ONCE)
                        || facts.has(id, facts::DOTTED)
                            && names::is_special_static_name(object.symbol_name(id))))
    }
}

/// Lists where ftrace can hook functions.
const PATCHABLE: &str = "__patchable_function_entries";

/// The parts a symbol plays, as bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Roles(u8);

const LABEL: u8 = 1;
const MAPPING: u8 = 2;
const PREFIX: u8 = 4;
const SPECIAL: u8 = 8;
const STATIC: u8 = 16;

impl Roles {
    #[inline]
    fn has(self, role: u8) -> bool {
        self.0 & role != 0
    }

    pub(super) fn set_prefix(&mut self) {
        self.0 |= PREFIX;
    }

    #[inline]
    pub(super) fn is_prefix(self) -> bool {
        self.has(PREFIX)
    }
}
