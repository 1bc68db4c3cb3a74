//! What the author of a patch asked to leave out: `KPATCH_IGNORE_SECTION` and
//! `KPATCH_IGNORE_FUNCTION`.

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::status::Status;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{IdVec, Patched, SectionId, SymbolId};
use crate::elf::object::{Object, Reloc};
use crate::kernel::knowledge::{livepatch, sections};
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;

/// Section that lists the names of sections to ignore.
const SECTIONS: &str = livepatch::IGNORED_SECTIONS;
/// Section that lists functions to ignore.
const FUNCTIONS: &str = livepatch::IGNORED_FUNCTIONS;

/// What to leave out, and what to say about it.
#[derive(Default)]
pub struct Ignored {
    /// Sections that do not count.
    pub sections: IndexSet<SectionId<Patched>, RandomState>,
    /// Functions that do not count.
    pub functions: IndexSet<SymbolId<Patched>, RandomState>,
    /// Sections that hold the names given to the macros; they go into the output.
    pub name_sections: IndexSet<SectionId<Patched>, RandomState>,
    /// Lines for the user.
    pub messages: Vec<String>,
    /// All that is the same, whatever differs in it.
    pub(super) left: Left,
}

/// What does not count.
#[derive(Default)]
pub(super) struct Left {
    pub sections: IndexSet<SectionId<Patched>, RandomState>,
    pub symbols: IndexSet<SymbolId<Patched>, RandomState>,
}

impl Ignored {
    /// Reads the macros' sections.
    pub fn new(layout: &Layout<'_, Patched>) -> Result<Self> {
        let mut ignored = Ignored::default();
        ignored.read_sections(layout)?;
        ignored.read_functions(layout)?;
        ignored.left = Left::of(&ignored, layout);
        Ok(ignored)
    }

    /// Lines about functions that are ignored, by the statuses of what is in the object.
    pub(super) fn notices(
        &self,
        object: &Object<'_, Patched>,
        symbols: &IdVec<SymbolId<Patched>, Status>,
    ) -> Vec<String> {
        let mut messages = Vec::new();
        for &function in &self.functions {
            let name = object.symbol_name(function);
            messages.push(format!("ignoring function: {name}"));
            if symbols[function] != Status::Changed {
                messages.push(format!("NOTICE: no change detected in function {name}, unnecessary KPATCH_IGNORE_FUNCTION()?"));
            }
        }
        messages
    }

    fn read_sections(&mut self, layout: &Layout<'_, Patched>) -> Result<()> {
        let object = layout.object;
        let Some(list) = layout.section_named(SECTIONS) else { return Ok(()) };
        if object.relocs(list).is_empty() {
            return Ok(());
        }
        let mut by_name: IndexMap<&str, SectionId<Patched>, RandomState> = IndexMap::default();
        for id in object.sections() {
            by_name.entry(object.section_name(id)).or_insert(id);
        }
        for reloc in object.relocs(list).iter() {
            let (holder, name) = named(layout, &reloc)?;
            self.name_sections.insert(holder);
            let found = by_name.get(name).copied().ok_or_else(|| {
                Error::broken(
                    Code::IgnoreSectionMissing,
                    format!("KPATCH_IGNORE_SECTION: can't find {name}"),
                )
                .advise("the patched object has no section of that name")
            })?;
            self.messages.push(format!("ignoring section: {name}"));
            self.sections.insert(object.rela_base(found).unwrap_or(found));
        }
        Ok(())
    }

    fn read_functions(&mut self, layout: &Layout<'_, Patched>) -> Result<()> {
        let object = layout.object;
        let Some(list) = layout.section_named(FUNCTIONS) else { return Ok(()) };
        let refs = Refs::new(layout, list);
        for reloc in object.relocs(list).iter() {
            let symbol = refs.resolve(&reloc)?.symbol;
            let name = object.symbol_name(symbol);
            let fail = |what: &str| {
                Error::broken(Code::IgnoreFunction, what)
                    .in_section(FUNCTIONS)
                    .at_symbol(name)
                    .at_offset(reloc.offset)
                    .advise("KPATCH_IGNORE_FUNCTION takes a function of this object")
            };
            if object.section_of(symbol).is_none() {
                return Err(fail("expected bundled symbol"));
            }
            if object.symbol_kind(symbol) != abi::STT_FUNC {
                return Err(fail("expected function symbol"));
            }
            self.functions.insert(symbol);
        }
        Ok(())
    }
}

impl Left {
    /// Functions with their parts and sections, sections with what is in them, and what the macros
    /// themselves define.
    fn of(ignored: &Ignored, layout: &Layout<'_, Patched>) -> Self {
        let object = layout.object;
        let mut left = Left::default();
        let mut functions: Vec<SymbolId<Patched>> = ignored.functions.iter().copied().collect();
        while let Some(function) = functions.pop() {
            left.symbols.insert(function);
            left.sections.extend(object.section_of(function));
            functions.extend(layout.children(function));
        }
        for &section in &ignored.sections {
            left.sections.insert(section);
            left.symbols.extend(object.members(section));
        }
        if !ignored.sections.is_empty() || !ignored.functions.is_empty() {
            let is_mark = |&id: &SymbolId<Patched>| {
                sections::starts_with_any(object.symbol_name(id), &livepatch::IGNORE_MARKS)
            };
            left.symbols.extend(object.symbols().filter(is_mark));
        }
        left
    }
}

/// The string that a relocation of `.kpatch.ignore.sections` points to, and its section.
fn named<'a>(
    layout: &Layout<'a, Patched>,
    reloc: &Reloc<Patched>,
) -> Result<(SectionId<Patched>, &'a str)> {
    let object = layout.object;
    let fail = || {
        Error::broken(Code::IgnoreSection, "KPATCH_IGNORE_SECTION does not point to a string")
            .in_section(SECTIONS)
            .at_offset(reloc.offset)
    };
    let holder = object.section_of(reloc.symbol).ok_or_else(fail)?;
    let at = reloc.addend.wrapping_add(object.symbol_value(reloc.symbol) as i64);
    let bytes = object.string_at(holder, at).ok_or_else(fail)?;
    Ok((holder, std::str::from_utf8(bytes).map_err(|_| fail())?))
}
