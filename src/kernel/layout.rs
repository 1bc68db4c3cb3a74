//! Who owns what in one object: bundles, prefixes, children, entities.
//!
//! An *entity* is a piece of a section with one meaning: a function with its prefix, a
//! variable, or, where a section has no symbols, the section. Entities of a section follow
//! each other without gaps, so every byte of the section belongs to exactly one.

mod cover;

use std::sync::OnceLock;

use indexmap::IndexMap;
use rayon::prelude::*;

use self::cover::Cover;
use super::classes::{Packed, Traits, classify, is_looked_up};
use super::entered::Entered;
use super::facts::{self, Facts};
use super::panics::Panics;
use super::roles::Roles;
use super::{anonymous_data, children, input, names, tables};

pub use super::classes::{Class, is_padding};
use crate::arch::Arch;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Csr, Id, IdVec, SectionId, Side, Sparse, SymbolId};
use crate::elf::object::Object;

/// A piece of a section with one meaning.
#[derive(Clone, Copy, Debug)]
pub struct Entity<S> {
    /// The section.
    pub section: SectionId<S>,
    /// First byte in the section.
    pub start: u64,
    /// Byte behind the last in the section.
    pub end: u64,
    /// The symbol that names it; `None` for what has no name.
    pub symbol: Option<SymbolId<S>>,
}

/// What the kernel's conventions say about one object. Borrows the object.
pub struct Layout<'a, S> {
    /// The object.
    pub object: &'a Object<'a, S>,
    /// Its machine.
    pub arch: &'static Arch,
    class: IdVec<SectionId<S>, Packed>,
    owner: Sparse<SectionId<S>, SymbolId<S>>,
    /// What else is known of a section.
    pub(super) traits: IdVec<SectionId<S>, Traits>,
    pub(super) roles: IdVec<SymbolId<S>, Roles>,
    /// (function, prefix), sorted.
    pub(super) prefixes: Vec<(SymbolId<S>, SymbolId<S>)>,
    /// (child, parent), sorted.
    split_from: Vec<(SymbolId<S>, SymbolId<S>)>,
    /// (parent, child), sorted.
    children: Vec<(SymbolId<S>, SymbolId<S>)>,
    /// Cut points of the sections that no symbol owns: starts and symbols of the entities.
    cuts: Csr<SectionId<S>, (u32, SymbolId<S>)>,
    /// Sections with entries in `__patchable_function_entries`, sorted.
    pub(super) patchable: Vec<SectionId<S>>,
    /// Places that `__mcount_loc` or `__patchable_function_entries` lists, sorted.
    pub(super) sites: Vec<(SectionId<S>, u64)>,
    /// Which symbol covers which bytes, for sections with many symbols.
    covers: IndexMap<SectionId<S>, Cover<S>, foldhash::fast::RandomState>,
    pub(super) has_pfe: bool,
    /// The FILE symbols, ascending, once they are asked for.
    files: OnceLock<Vec<SymbolId<S>>>,
    /// Places inside of code that something refers to, once they are asked for.
    entered: OnceLock<Result<Entered<S>>>,
    panics: OnceLock<Result<Panics<S>>>,
    replacements: Vec<SectionId<S>>,
    named_sections: IndexMap<&'a str, SectionId<S>, foldhash::fast::RandomState>,
}

/// Sections with fewer symbols are searched in symbol order.
const FEW_SYMBOLS: usize = 16;

/// The sections that have an owner, by section.
fn sparse<S: Side>(owner: &IdVec<SectionId<S>, SymbolId<S>>) -> Sparse<SectionId<S>, SymbolId<S>> {
    let owners = || owner.iter().map(|(s, &o)| (s, o)).filter(|(_, o)| o.index() != 0);
    Sparse::build(owner.len(), owners)
}

/// Start, end and name of what may be an entity.
type CutPoint<S> = (u64, u64, SymbolId<S>);

/// Where an entity begins: its section, the offset, and the symbol that names it.
type Cut<S> = (SectionId<S>, u32, SymbolId<S>);

impl<'a, S: Side> Layout<'a, S> {
    /// Analyses `object`. Fails on layouts that contradict the conventions of the machine.
    pub fn new(object: &'a Object<'a, S>) -> Result<Self> {
        Self::build(object).map_err(|e| e.in_file(object.file()))
    }

    fn build(object: &'a Object<'a, S>) -> Result<Self> {
        let arch = Arch::from_machine(object.header().machine)?;
        arch.check_byte_order(matches!(object.endian(), object::Endianness::Big))?;
        input::check_unfinished(object)?;
        input::check_output_sections(object)?;
        let sections = object.section_count();
        let facts = IdVec::from_fn(sections, |id| classify(object, id, arch));
        let class = IdVec::from_fn(sections, |id: SectionId<S>| facts[id].0);
        input::check_contents(object, &class)?;
        let traits = IdVec::from_fn(sections, |id: SectionId<S>| facts[id].1);
        drop(facts);
        let mut named_sections = IndexMap::default();
        let mut replacements = Vec::new();
        for id in object.sections() {
            let class = class[id].class();
            if !traits[id].has(Traits::LISTED) && class != Class::Group {
                continue;
            }
            let name = object.section_name(id);
            if name == tables::REPLACEMENTS {
                replacements.push(id);
            }
            if matches!(class, Class::Table(_) | Class::Group | Class::Noise(_))
                || is_looked_up(name)
            {
                named_sections.entry(name).or_insert(id);
            }
        }
        let mut layout = Layout {
            object,
            arch,
            class,
            owner: Sparse::build(0, std::iter::empty),
            traits,
            roles: IdVec::filled(Roles::default(), 0),
            prefixes: Vec::new(),
            split_from: Vec::new(),
            children: Vec::new(),
            cuts: Csr::build(0, std::iter::empty),
            patchable: Vec::new(),
            sites: Vec::new(),
            covers: IndexMap::default(),
            replacements,
            files: OnceLock::new(),
            entered: OnceLock::new(),
            panics: OnceLock::new(),
            has_pfe: named_sections.contains_key("__patchable_function_entries") && arch.uses_pfe,
            named_sections,
        };
        layout.find_patchable();
        let facts = Facts::new(object, arch);
        let prefixes = layout.find_prefixes(&facts)?;
        layout.find_owners(&facts)?;
        for id in object.sections() {
            if anonymous_data::holds_nameless(&layout, id) {
                layout.traits[id].add(Traits::NAMELESS);
            }
        }
        layout.roles = IdVec::from_fn(object.symbol_count(), |id| layout.judge_symbol(id, &facts));
        for prefix in prefixes {
            layout.roles[prefix].set_prefix();
        }
        for id in object.symbols() {
            if layout.is_static_local(id)
                && let Some(section) = object.section_of(id)
            {
                layout.traits[section].add(Traits::STATICS);
            }
        }
        layout.split_from = children::find(object, &facts)?;
        drop(facts);
        let turned = layout.split_from.iter().map(|&(child, split_from)| (split_from, child));
        layout.children = turned.collect();
        layout.children.sort_unstable();
        layout.index_covers()?;
        layout.cut_entities()?;
        Ok(layout)
    }

    fn find_owners(&mut self, facts: &Facts<S>) -> Result<()> {
        let object = self.object;
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
        self.owner = sparse(&owner);
        let mut behind = Vec::new();
        for (section, owner) in owner.iter().filter(|(_, o)| o.index() != 0) {
            match self.check_owner(*owner, section) {
                Ok(()) => {}
                // A weak definition that gave way lies before it: without a name, but there.
                Err(_) if self.is_linked() => behind.push(section),
                Err(error) => return Err(error),
            }
        }
        if !behind.is_empty() {
            for section in behind {
                owner[section] = SymbolId::new(0);
            }
            self.owner = sparse(&owner);
        }
        Ok(())
    }

    fn check_owner(&self, owner: SymbolId<S>, section: SectionId<S>) -> Result<()> {
        let value = self.object.symbol_value(owner);
        let expected = self.expected_value(owner, section);
        if value == expected {
            return Ok(());
        }
        let name = self.object.symbol_name(owner);
        Err(Error::broken(
            Code::UnexpectedSymbolOffset,
            format!(
                "symbol {name} at offset {value} within section {}, expected {expected}",
                self.object.section_name(section)
            ),
        )
        .advise("a section named after a symbol must start with it, or with padding the machine's conventions know"))
    }

    /// Where a symbol must lie in the section it owns: behind its prefix or padding.
    fn expected_value(&self, id: SymbolId<S>, section: SectionId<S>) -> u64 {
        if self.object.symbol_kind(id) != abi::STT_FUNC {
            return 0;
        }
        if let Some(prefix) = self.prefix_of(id) {
            let [value, prefix] = [id, prefix].map(|id| self.object.symbol_value(id));
            let lead = self.object.contents(section).get(..prefix as usize);
            if lead.is_some_and(|l| is_padding(self.arch, l)) {
                return value;
            }
            return value.saturating_sub(prefix);
        }
        (self.arch.padding)(&self.view(id, section))
    }

    fn index_covers(&mut self) -> Result<()> {
        let many = |s: &SectionId<S>| self.object.members(*s).len() > FEW_SYMBOLS;
        let sections: Vec<SectionId<S>> = self.object.sections().filter(many).collect();
        sections.iter().try_for_each(|&section| self.check_size(section))?;
        let covers: Vec<(SectionId<S>, Cover<S>)> =
            sections.into_par_iter().map(|s| (s, Cover::new(self, s))).collect();
        self.covers = covers.into_iter().collect();
        Ok(())
    }

    /// Fails for a section whose bytes cannot be counted in four.
    fn check_size(&self, section: SectionId<S>) -> Result<()> {
        if u32::try_from(self.object.section_size(section)).is_ok() {
            return Ok(());
        }
        Err(Error::broken(Code::SectionTooLarge, "a section of 4 GiB or more is not supported")
            .in_section(self.object.section_name(section)))
    }

    fn cut_entities(&mut self) -> Result<()> {
        let object = self.object;
        let mut shared = Vec::new();
        for section in object.sections().filter(|&s| self.is_cut(s)) {
            self.check_size(section)?;
            if self.owner(section).is_none() {
                shared.push(section);
            }
        }
        let tasks = shared.par_chunks(64);
        let found: Vec<Vec<Cut<S>>> = tasks.map(|sections| self.cuts_of(sections)).collect();
        let found = || found.iter().flatten().map(|&(section, at, symbol)| (section, (at, symbol)));
        self.cuts = Csr::build(object.section_count(), found);
        Ok(())
    }

    /// Whether a section consists of entities.
    #[inline]
    fn is_cut(&self, section: SectionId<S>) -> bool {
        matches!(self.class(section), Class::Text | Class::Data | Class::Strings)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "a section has less than 4 GiB")]
    fn cuts_of(&self, sections: &[SectionId<S>]) -> Vec<Cut<S>> {
        let mut cuts = Vec::new();
        let mut points: Vec<CutPoint<S>> = Vec::new();
        for &section in sections {
            points.clear();
            let members = self.object.members(section).iter();
            points.extend(members.filter_map(|&m| self.cut_point(m)));
            points.sort_unstable();
            points.dedup_by(|next, empty| {
                let hides = self.yields(empty, next);
                if hides {
                    *empty = *next;
                }
                hides
            });
            let mut covered = 0;
            if points.first().is_none_or(|p| p.0 > 0) {
                cuts.push((section, 0, SymbolId::new(0)));
            }
            for &(start, end, symbol) in &points {
                // Aliases and symbols inside another belong to the entity that is open.
                if start >= covered {
                    cuts.push((section, start as u32, symbol));
                }
                covered = covered.max(end).max(start + 1);
            }
        }
        cuts
    }

    /// Whether a cut point names nothing, since another one is at the same place: an empty
    /// variable takes no place from what begins where it is, nor does a label at the end of a
    /// file from the file that was linked behind it.
    fn yields(&self, empty: &CutPoint<S>, next: &CutPoint<S>) -> bool {
        let &(at, end, symbol) = empty;
        let is_variable = |id| self.object.symbol_kind(id) == abi::STT_OBJECT;
        let both_local = || self.is_local(symbol) && self.is_local(next.2);
        at == end
            && next.0 == at
            && (next.1 > at && is_variable(symbol)
                || names::is_end_label(self.object.symbol_name(symbol))
                || both_local() && self.file_of(next.2) > self.file_of(symbol))
    }

    /// The cut points of a section that no symbol owns.
    #[inline]
    fn cuts(&self, section: SectionId<S>) -> &[(u32, SymbolId<S>)] {
        self.cuts.get(section)
    }

    /// Start (prefix included) and end of the entity that `id` would open.
    fn cut_point(&self, id: SymbolId<S>) -> Option<CutPoint<S>> {
        let (value, size) = (self.object.symbol_value(id), self.object.symbol_size(id));
        let section = self.object.section_of(id)?;
        let named = match self.object.symbol_kind(id) {
            abi::STT_FUNC | abi::STT_OBJECT | abi::STT_TLS | abi::STT_GNU_IFUNC => true,
            // What assembly defines has a name, but often no size.
            abi::STT_NOTYPE => {
                size > 0 || self.class(section) == Class::Data && !self.is_mapping(id)
            }
            _ => false,
        };
        if !named
            || self.is_label(id)
            || self.is_prefix(id)
            || value >= self.object.section_size(section).max(1)
        {
            return None;
        }
        let head = || self.head_of(id, section);
        let start = self.prefix_of(id).map_or_else(head, |p| self.object.symbol_value(p));
        Some((start, value.saturating_add(size), id))
    }

    /// What section `id` is.
    #[inline]
    pub fn class(&self, id: SectionId<S>) -> Class {
        self.class[id].class()
    }

    /// Whether the name of a section begins as those of functions and variables do, so that
    /// it is in no list of special names.
    #[inline]
    pub fn is_ordinary(&self, section: SectionId<S>) -> bool {
        !self.traits[section].has(Traits::LISTED)
    }

    /// The first section called `name`, for tables, groups, noise and sections of the
    /// livepatch macros.
    pub fn section_named(&self, name: &str) -> Option<SectionId<S>> {
        self.named_sections.get(name).copied()
    }

    /// Whether the object was linked from several: it has several FILE symbols.
    pub fn is_linked(&self) -> bool {
        self.files().len() > 1
    }

    /// The FILE symbols, ascending.
    pub fn files(&self) -> &[SymbolId<S>] {
        self.files.get_or_init(|| {
            let kind = |id: &SymbolId<S>| self.object.symbol_kind(*id) == abi::STT_FILE;
            self.object.symbols().filter(kind).collect()
        })
    }

    /// Places inside of code that something refers to.
    pub fn entered(&self) -> Result<&Entered<S>> {
        self.entered.get_or_init(|| Entered::new(self)).as_ref().map_err(Clone::clone)
    }

    /// Constants that tell Rust's panics where they come from.
    pub fn panics(&self) -> Result<&Panics<S>> {
        self.panics.get_or_init(|| Panics::new(self)).as_ref().map_err(Clone::clone)
    }

    /// Number of the FILE block that a local symbol is in; 0 before the first one.
    pub fn file_of(&self, id: SymbolId<S>) -> usize {
        self.files().partition_point(|&file| file <= id)
    }

    /// The first local symbol, in symbol order, that ends at byte `at` and is wanted. An empty
    /// one ends where it starts.
    pub(super) fn ending(
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

    /// Whether a symbol is LOCAL.
    pub fn is_local(&self, id: SymbolId<S>) -> bool {
        self.object.symbol_bind(id) == abi::STB_LOCAL
    }

    /// Sections of alternative instructions.
    pub fn replacements(&self) -> impl Iterator<Item = SectionId<S>> + '_ {
        self.replacements.iter().copied()
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

    /// The function that `child` was split from.
    pub fn split_from(&self, child: SymbolId<S>) -> Option<SymbolId<S>> {
        let found = self.split_from.binary_search_by_key(&child, |p| p.0).ok();
        found.and_then(|i| self.split_from.get(i)).map(|p| p.1)
    }

    /// All symbols that were split from another one, in order.
    pub fn parts(&self) -> impl Iterator<Item = SymbolId<S>> + '_ {
        self.split_from.iter().map(|p| p.0)
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
        let from = self.children.partition_point(|c| c.0 < split_from);
        self.children.iter().skip(from).take_while(move |c| c.0 == split_from).map(|c| c.1)
    }

    /// Number of entities of a section.
    #[inline]
    pub fn entity_count(&self, section: SectionId<S>) -> usize {
        match self.owner(section) {
            Some(_) => usize::from(self.is_cut(section)),
            None => self.cuts(section).len(),
        }
    }

    /// Entity `index` of a section.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "callers ask for entities below `entity_count`")]
    #[expect(clippy::arithmetic_side_effects, reason = "places in a list that is in memory")]
    pub fn entity(&self, section: SectionId<S>, index: usize) -> Entity<S> {
        if let Some(owner) = self.owner(section) {
            let end = self.object.section_size(section);
            return Entity { section, start: 0, end, symbol: Some(owner) };
        }
        let cuts = self.cuts(section);
        let (start, symbol) = cuts[index];
        let end = cuts
            .get(index + 1)
            .map_or_else(|| self.object.section_size(section), |next| u64::from(next.0));
        Entity {
            section,
            start: u64::from(start),
            end,
            symbol: Some(symbol).filter(|s| s.index() != 0),
        }
    }

    /// Whether a section is a pool of strings or constants, only some of which have names.
    #[inline]
    pub fn is_pool(&self, section: SectionId<S>) -> bool {
        self.class(section) == Class::Strings || self.is_nameless(section)
    }

    /// Where the symbol that opens the entity at `start` ends.
    pub fn named_end(&self, section: SectionId<S>, start: u64) -> Option<u64> {
        let symbol = self.entity(section, self.entity_at(section, start)?).symbol?;
        let (value, size) = (self.object.symbol_value(symbol), self.object.symbol_size(symbol));
        Some(value.saturating_add(size).min(self.object.section_size(section)))
    }

    /// The label without a size that names the entity at `start` of a section of data.
    pub fn unsized_at(&self, section: SectionId<S>, start: u64) -> Option<SymbolId<S>> {
        let symbol = self.entity(section, self.entity_at(section, start)?).symbol?;
        let unsized_label = self.object.symbol_kind(symbol) == abi::STT_NOTYPE
            && self.object.symbol_size(symbol) == 0
            && self.class(section) == Class::Data;
        unsized_label.then_some(symbol)
    }

    /// Whether an entity is nothing but what aligns the next one.
    pub fn is_padding(&self, entity: &Entity<S>) -> bool {
        let object = self.object;
        let data = object.contents(entity.section);
        let bytes = data.get(entity.start as usize..entity.end as usize);
        let text = object.is_text(entity.section);
        object.relocs(entity.section).within(entity.start, entity.end).next().is_none()
            && bytes
                .is_some_and(|b| b.iter().all(|&b| b == 0 || text && is_padding(self.arch, &[b])))
    }

    /// Index of the entity that holds byte `offset` of a section.
    #[inline]
    pub fn entity_at(&self, section: SectionId<S>, offset: u64) -> Option<usize> {
        if self.owner(section).is_some() {
            return self.is_cut(section).then_some(0);
        }
        let cuts = self.cuts(section);
        cuts.partition_point(|c| u64::from(c.0) <= offset).checked_sub(1)
    }

    /// What covers which bytes of a section with many symbols, once that is indexed.
    pub(super) fn cover(&self, section: SectionId<S>) -> Option<&Cover<S>> {
        self.covers.get(&section)
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

    /// [`Layout::covering`] for all of `low..=high`, when it is the same for each; otherwise
    /// `None`.
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

    /// Whether references to a section keep naming it: nothing in it has a better name.
    #[inline]
    pub fn keeps_section_symbol(&self, section: SectionId<S>) -> bool {
        self.traits[section].has(Traits::KEEPS)
    }

    /// Whether references into a section can only be understood by content.
    #[inline]
    pub fn is_nameless(&self, section: SectionId<S>) -> bool {
        self.traits[section].has(Traits::NAMELESS)
    }

    /// Whether static local variables live in a section.
    #[inline]
    pub fn holds_statics(&self, section: SectionId<S>) -> bool {
        self.traits[section].has(Traits::STATICS)
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

    pub(super) fn ends_at(&self, id: SymbolId<S>, at: u64) -> bool {
        self.span(id).is_some_and(|(start, end)| start < end && end == at)
    }

    /// Bytes that references into a section may take `id` to mean. Assembler labels are
    /// numbered, so they would only make equal things look different; in string sections
    /// they do no harm, since strings are compared by content.
    pub(super) fn span(&self, id: SymbolId<S>) -> Option<(u64, u64)> {
        if self.is_mapping(id) {
            return None;
        }
        if self.is_label(id) {
            let in_strings =
                self.object.section_of(id).is_some_and(|s| self.class(s) == Class::Strings);
            if self.arch.local_labels || !in_strings {
                return None;
            }
        }
        let (value, size) = (self.object.symbol_value(id), self.object.symbol_size(id));
        Some((value, value.saturating_add(size)))
    }
}
