//! What part a symbol plays: a traceable function, a static local, one of the macros'
//! variables.

use super::layout::Layout;
use super::names;
use crate::arch::{EntryReloc, FunctionView};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::Home;

impl<'d, S: Side> Layout<'_, 'd, S> {
    /// Whether some `__patchable_function_entries` section names the function's section.
    pub fn has_pfe(&self) -> bool {
        self.has_pfe
    }

    /// Whether sections of that name are ordered after the code they describe.
    pub fn pfe_ordered(&self) -> bool {
        self.section_named("__patchable_function_entries")
            .is_some_and(|s| self.object.section_flags(s) & abi::SHF_LINK_ORDER != 0)
    }

    /// A function as the entry checks see it.
    pub fn view(&self, id: SymbolId<S>, section: SectionId<S>) -> FunctionView<'d> {
        let symbol = self.object.symbol(id);
        FunctionView {
            name: symbol.name,
            section: self.object.contents(section),
            value: symbol.value,
            other: symbol.other,
            patchable_entry: self.patchable.binary_search(&section).is_ok(),
            object_has_pfe: self.has_pfe,
        }
    }

    /// Relocations from the start of a function (prefix included) to the end of its section.
    pub fn entry_relocs(
        &self,
        id: SymbolId<S>,
        section: SectionId<S>,
    ) -> impl Iterator<Item = EntryReloc<'d>> + '_ {
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

    /// Whether ftrace can hook function `id` (spec section 4).
    pub fn has_profiling(&self, id: SymbolId<S>) -> bool {
        let Some(section) = self.object.section_of(id) else { return false };
        self.object.symbol_kind(id) == abi::STT_FUNC
            && !self.is_prefix(id)
            && (self.arch.has_profiling)(
                &self.view(id, section),
                &mut self.entry_relocs(id, section),
            )
    }

    /// Whether `id` is a variable the kernel's macros define once per use (spec section
    /// 10.1). A section symbol is judged by the owner of its section.
    pub fn is_special_static(&self, id: SymbolId<S>) -> bool {
        let symbol = self.object.symbol(id);
        let Home::Section(section) = symbol.home else { return false };
        let section_name = self.object.section_name(section);
        if symbol.kind == abi::STT_SECTION {
            return names::is_special_static_section(section_name)
                || names::is_clang_unnamed(section_name)
                || self.owner(section).is_some_and(|owner| self.is_special_static(owner));
        }
        if names::is_clang_unnamed(section_name) {
            return true;
        }
        if symbol.kind != abi::STT_OBJECT {
            return false;
        }
        names::is_special_static_section(section_name)
            || symbol.bind == abi::STB_LOCAL
                && (names::is_once_section(section_name)
                    || names::is_special_static_name(symbol.name))
    }

    /// Whether `id` is a static local variable that keeps state (spec section 10.2).
    pub fn is_static_local(&self, id: SymbolId<S>) -> bool {
        if self.object.symbol_kind(id) != abi::STT_OBJECT {
            return false;
        }
        let symbol = self.object.symbol(id);
        symbol.bind == abi::STB_LOCAL
            && matches!(symbol.home, Home::Section(_))
            && symbol.name.contains('.')
            && !symbol.name.starts_with(".L")
            && !self.is_special_static(id)
    }
}
