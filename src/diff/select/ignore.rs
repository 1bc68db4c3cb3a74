//! What the author of a patch asked to leave out: `KPATCH_IGNORE_SECTION` and
//! `KPATCH_IGNORE_FUNCTION`.

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::livepatch;
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
}

impl Ignored {
    /// Reads the macros' sections.
    pub fn new(layout: &Layout<'_, Patched>) -> Result<Self> {
        let mut ignored = Ignored::default();
        ignored.read_sections(layout)?;
        ignored.read_functions(layout)?;
        Ok(ignored)
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
