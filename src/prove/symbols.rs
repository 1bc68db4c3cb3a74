//! What the symbols of the output are in the patched object.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows and stretches are within sections, which are in memory"
)]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::walk::{Item, Walk};
use super::written::{Home, Symbol};
use super::{Prover, differs};
use crate::diag::Result;
use crate::diff::select::status::Status;
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, SymbolId};
use crate::kernel::knowledge::thunks;
use crate::kernel::layout::Class;

impl<'a> Walk<'a> {
    /// Finds the symbols of the output that only one of the patched object can be, and follows
    /// what they name.
    pub(super) fn match_symbols(&mut self) -> Result<()> {
        let named: IndexSet<&str, RandomState> =
            self.written.symbols.iter().filter(|s| is_defined(s)).map(|s| s.name).collect();
        let object = self.prover.layout().object;
        let mut candidates: IndexMap<&str, Vec<SymbolId<Patched>>, RandomState> =
            IndexMap::default();
        for id in object.symbols().skip(1) {
            if object.symbol_kind(id) == abi::STT_SECTION || object.section_of(id).is_none() {
                continue;
            }
            let name = self.prover.lookup.name(id);
            if let Some((index, _)) = named.get_full(name)
                && let Some(&name) = named.get_index(index)
            {
                candidates.entry(name).or_default().push(id);
            }
        }
        for (index, &symbol) in self.written.symbols.iter().enumerate() {
            if !is_defined(&symbol) {
                continue;
            }
            match candidates.get(symbol.name).map(|c| &c[..]) {
                None => {
                    let what = differs("a symbol is not in the patched object");
                    return Err(what.at_symbol(symbol.name));
                }
                Some(&[only]) => self.is_symbol(index, only)?,
                Some(_) => self.unmatched.push(index),
            }
        }
        self.candidates =
            candidates.into_iter().map(|(name, ids)| (name.to_owned(), ids)).collect();
        Ok(())
    }

    /// Takes a symbol of the output for one of the patched object.
    #[expect(
        clippy::indexing_slicing,
        reason = "`unmatched` and the table of symbols are of what was read"
    )]
    fn is_symbol(&mut self, index: usize, id: SymbolId<Patched>) -> Result<()> {
        let symbol = self.written.symbols[index];
        let Home::Section(home) = symbol.home else { return Ok(()) };
        self.symbols[index] = Some(id);
        self.taken.insert(id);
        let layout = self.prover.layout();
        let Some(section) = layout.object.section_of(id) else { return Ok(()) };
        let value = layout.object.symbol_value(id);
        let cut = matches!(layout.class(section), Class::Text | Class::Data | Class::Strings);
        let entity = layout.entity_at(section, value).filter(|_| cut);
        let Some(entity) = entity.map(|i| layout.entity(section, i)) else {
            self.later.push((section, value, home, symbol.value));
            return Ok(());
        };
        let names_all = entity.symbol == Some(id) || layout.owner(section).is_some();
        let labels = layout.is_label(id) || layout.is_mapping(id) || entity.symbol.is_none();
        let lead = value - entity.start;
        let Some(to) = symbol.value.checked_sub(lead).filter(|_| names_all || !labels) else {
            self.later.push((section, value, home, symbol.value));
            return Ok(());
        };
        if value >= entity.end {
            self.later.push((section, value, home, symbol.value));
            return Ok(());
        }
        self.want(Item { section, start: entity.start, end: entity.end, to: (home, to) })
            .map_err(|e| e.at_symbol(symbol.name))
    }

    /// Of several symbols that one of the output may be: that which is at its place, as far as it
    /// is known what that is; else the first that looks like it. Whether something is new.
    #[expect(
        clippy::indexing_slicing,
        reason = "`unmatched` and the table of symbols are of what was read"
    )]
    pub(super) fn match_more_symbols(&mut self) -> Result<bool> {
        self.places.sort();
        let unmatched = std::mem::take(&mut self.unmatched);
        let mut progress = false;
        for index in unmatched {
            let symbol = self.written.symbols[index];
            let Home::Section(home) = symbol.home else { continue };
            let ids = self.candidates.get(symbol.name).cloned().unwrap_or_default();
            let here = |&&id: &&SymbolId<Patched>| self.is_here(id, (home, symbol.value));
            match ids.iter().find(here) {
                Some(&id) => {
                    self.symbols[index] = Some(id);
                    self.taken.insert(id);
                    progress = true;
                }
                None => self.unmatched.push(index),
            }
        }
        if progress {
            return Ok(true);
        }
        let Some(&index) = self.unmatched.first() else { return Ok(false) };
        let symbol = self.written.symbols[index];
        let ids = self.candidates.get(symbol.name).cloned().unwrap_or_default();
        let Some(&id) = ids.iter().find(|&&id| self.resembles(&symbol, id)) else {
            return Err(differs("a symbol is not in the patched object").at_symbol(symbol.name));
        };
        self.unmatched.remove(0);
        self.is_symbol(index, id)?;
        Ok(true)
    }

    fn is_here(&self, id: SymbolId<Patched>, (home, at): (u32, u64)) -> bool {
        let object = self.prover.layout().object;
        let Some(section) = object.section_of(id) else { return false };
        !self.taken.contains(&id) && self.places.agree(section, object.symbol_value(id), home, at)
    }

    /// Whether a symbol may be one of the patched object: its section, type and size, and the
    /// bytes that it names.
    fn resembles(&self, symbol: &Symbol<'_>, id: SymbolId<Patched>) -> bool {
        let object = self.prover.layout().object;
        let (Some(section), Home::Section(home)) = (object.section_of(id), symbol.home) else {
            return false;
        };
        let written = self.written.section(home);
        let name = self.prover.lookup.pair.output_section_name(section);
        let value = object.symbol_value(id);
        let bytes = |data: &'_ [u8], at: u64| {
            data.get(at as usize..at.saturating_add(symbol.size) as usize).map(<[u8]>::to_vec)
        };
        (symbol.kind, symbol.size) == (object.symbol_kind(id), object.symbol_size(id))
            && written.name == name
            && !self.taken.contains(&id)
            && !self.places.has(section, value)
            && bytes(written.data, symbol.value) == bytes(object.contents(section), value)
    }

    /// Compares the symbols of the output with those they are.
    pub(super) fn check_symbols(&mut self) -> Result<()> {
        let object = self.prover.layout().object;
        for (index, &symbol) in self.written.symbols.iter().enumerate().skip(1) {
            let Some(&Some(id)) = self.symbols.get(index) else { continue };
            // Of thunks several objects of a patch may bring the same along.
            let policy = self.prover.lookup.pair.policy;
            let own = policy.own_thunks && thunks::is_own(&object.symbol(id));
            let lifted = &self.prover.statuses.lifted;
            let is_local = own
                || self.is_replaced(id)
                || object.symbol_kind(id) == abi::STT_FUNC
                    && lifted.carries(self.prover.layout(), id);
            let bind = if is_local { abi::STB_LOCAL } else { object.symbol_bind(id) };
            let ours =
                (object.symbol_kind(id), object.symbol_size(id), object.symbol_other(id), bind);
            let theirs = (symbol.kind, symbol.size, symbol.other, symbol.bind);
            if ours != theirs {
                return Err(differs(format!(
                    "type, size, visibility and binding of a symbol are {theirs:?} instead of {ours:?}"
                ))
                .at_symbol(symbol.name));
            }
            let (Some(section), Home::Section(home)) = (object.section_of(id), symbol.home) else {
                continue;
            };
            if !self.places.agree(section, object.symbol_value(id), home, symbol.value) {
                return Err(differs("a symbol is at another place").at_symbol(symbol.name));
            }
        }
        let there: IndexSet<SymbolId<Patched>, RandomState> =
            self.symbols.iter().flatten().copied().collect();
        for (section, images) in self.places.carried() {
            for image in images {
                if let Some(id) = self.unnamed(section, image.start, &there) {
                    return Err(self
                        .at(differs("its symbol is missing"), section, image.start)
                        .at_symbol(object.symbol_name(id)));
                }
            }
        }
        Ok(())
    }

    /// The symbol that should be there since what it names is carried, or the one before a
    /// function by which it is told where that begins, where it is missing.
    fn unnamed(
        &self,
        section: SectionId<Patched>,
        start: u64,
        there: &IndexSet<SymbolId<Patched>, RandomState>,
    ) -> Option<SymbolId<Patched>> {
        let layout = self.prover.layout();
        if !matches!(layout.class(section), Class::Text | Class::Data) {
            return None;
        }
        let entity = layout.entity(section, layout.entity_at(section, start)?);
        let id = entity.symbol.filter(|_| entity.start == start)?;
        // Local data is referred to by its place as well.
        if layout.class(section) == Class::Data && layout.is_local(id) {
            return None;
        }
        // With whole sections, the drop-in's way, the output names of them what changed.
        let Prover { lookup, statuses, .. } = self.prover;
        if lookup.pair.policy.whole_sections && statuses.symbols[id] == Status::Same {
            return None;
        }
        if !there.contains(&id) {
            return Some(id);
        }
        let prefix = layout.prefix_of(id).filter(|_| self.is_replaced(id));
        prefix.filter(|prefix| !there.contains(prefix))
    }
}

/// Whether a symbol names something of the output.
fn is_defined(symbol: &Symbol<'_>) -> bool {
    matches!(symbol.home, Home::Section(_))
        && ![abi::STT_SECTION, abi::STT_FILE].contains(&symbol.kind)
}
