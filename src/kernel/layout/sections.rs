//! The first stage: what each section is by its header and name, and what the object itself
//! lists about its files and functions.

use indexmap::IndexMap;

use super::input;
use super::sites::{PATCHABLE, Sites, reaches};
use crate::arch::{Arch, FunctionView};
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{IdVec, SectionId, Side, SymbolId};
use crate::elf::object::{Object, Symbol};
use crate::kernel::classes::{Class, Packed, Traits, classify, is_looked_up};
use crate::kernel::knowledge::tables;

/// What is known without a look at the symbols' names. Borrows the object.
pub struct Sections<'a, S> {
    /// The object.
    pub object: &'a Object<'a, S>,
    /// Its machine.
    pub arch: &'static Arch,
    class: IdVec<SectionId<S>, Packed>,
    traits: IdVec<SectionId<S>, Traits>,
    replacements: Vec<SectionId<S>>,
    named: IndexMap<&'a str, SectionId<S>, foldhash::fast::RandomState>,
    /// The FILE symbols, ascending.
    files: Vec<SymbolId<S>>,
    pub(super) sites: Sites<S>,
}

impl<'a, S: Side> Sections<'a, S> {
    /// Looks at the headers. Fails for what no input may be.
    pub(super) fn new(object: &'a Object<'a, S>) -> Result<Self> {
        let arch = Arch::from_machine(object.header().machine)?;
        arch.check_byte_order(matches!(object.endian(), object::Endianness::Big))?;
        input::check_unfinished(object)?;
        input::check_output_sections(object)?;
        let sections = object.section_count();
        let both = IdVec::from_fn(sections, |id| classify(object, id, arch));
        let class = IdVec::from_fn(sections, |id: SectionId<S>| both[id].0);
        input::check_contents(object, &class)?;
        let traits = IdVec::from_fn(sections, |id: SectionId<S>| both[id].1);
        drop(both);
        let mut named = IndexMap::default();
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
                named.entry(name).or_insert(id);
            }
        }
        let is_file = |id: &SymbolId<S>| object.symbol_kind(*id) == abi::STT_FILE;
        let files = object.symbols().filter(is_file).collect();
        let sites = Sites::new(object, named.contains_key(PATCHABLE) && arch.uses_pfe);
        Ok(Sections { object, arch, class, traits, replacements, named, files, sites })
    }

    /// What section `id` is.
    #[inline]
    pub fn class(&self, id: SectionId<S>) -> Class {
        self.class[id].class()
    }

    /// What else its name tells of a section.
    #[inline]
    pub(super) fn traits(&self, id: SectionId<S>) -> Traits {
        self.traits[id]
    }

    /// Whether the name of a section begins as those of functions and variables do, so that
    /// it is in no list of special names.
    #[inline]
    pub fn is_ordinary(&self, section: SectionId<S>) -> bool {
        !self.traits[section].has(Traits::LISTED)
    }

    /// Whether references to a section keep naming it: nothing in it has a better name.
    #[inline]
    pub fn keeps_section_symbol(&self, section: SectionId<S>) -> bool {
        self.traits[section].has(Traits::KEEPS)
    }

    /// The first section called `name`, for tables, groups, noise and sections of the
    /// livepatch macros.
    pub fn section_named(&self, name: &str) -> Option<SectionId<S>> {
        self.named.get(name).copied()
    }

    /// Sections of alternative instructions.
    pub fn replacements(&self) -> impl Iterator<Item = SectionId<S>> + '_ {
        self.replacements.iter().copied()
    }

    /// Whether the object was linked from several: it has several FILE symbols.
    pub fn is_linked(&self) -> bool {
        self.files.len() > 1
    }

    /// The FILE symbols, ascending.
    pub fn files(&self) -> &[SymbolId<S>] {
        &self.files
    }

    /// Number of the FILE block that a local symbol is in; 0 before the first one.
    pub fn file_of(&self, id: SymbolId<S>) -> usize {
        self.files.partition_point(|&file| file <= id)
    }

    /// The source file of a symbol, where only that file sees it: what its FILE symbol says.
    /// Where visible ones come from is not known.
    pub fn source_file(&self, id: SymbolId<S>) -> Option<&'a str> {
        let block = self.file_of(id).checked_sub(1).filter(|_| self.is_local(id))?;
        self.files.get(block).map(|&file| self.object.symbol_name(file))
    }

    /// Whether a symbol is LOCAL.
    pub fn is_local(&self, id: SymbolId<S>) -> bool {
        self.object.symbol_bind(id) == abi::STB_LOCAL
    }

    /// Whether no function or variable of a section reaches to byte `at`, by a look at each.
    pub(super) fn is_between_members(&self, section: SectionId<S>, at: u64) -> bool {
        let object = self.object;
        !object.members(section).iter().any(|&id| reaches(&object.symbol(id), at))
    }

    /// A function as the entry checks see it: with the site that is listed for it, and alone in
    /// its section or not.
    pub(super) fn view_of(
        &self,
        function: &Symbol<'a, S>,
        section: SectionId<S>,
        listed_site: Option<u64>,
        is_owner: bool,
    ) -> FunctionView<'a> {
        FunctionView {
            name: function.name,
            section: self.object.contents(section),
            value: function.value,
            other: function.other,
            listed_site,
            // Of several functions of a section some may have an entry, and others none.
            patchable_entry: match is_owner {
                true => self.sites.are_in(section),
                false => listed_site.is_some(),
            },
            object_has_pfe: self.has_pfe(),
        }
    }

    /// Whether some `__patchable_function_entries` section names the function's section.
    pub fn has_pfe(&self) -> bool {
        self.sites.patchable_entries
    }

    /// Whether sections of that name are ordered after the code they describe.
    pub fn pfe_ordered(&self) -> bool {
        self.section_named(PATCHABLE)
            .is_some_and(|s| self.object.section_flags(s) & abi::SHF_LINK_ORDER != 0)
    }
}
