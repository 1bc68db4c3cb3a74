//! Which symbols of the image an original object became, and whether it is what runs.
//!
//! A name that several files use says nothing, and FILE symbols are ambiguous or missing
//! after some links. So a function is looked for by its content: of all symbols with its
//! name, those count whose bytes agree with the object's. Functions that only one symbol can
//! be come first; what they refer to tells the addresses of further local symbols.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within functions, which lie within sections, and counts"
)]

use std::collections::VecDeque;

use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{IdVec, SectionId, Side, SymbolId};
use crate::kernel::layout::{Class, Layout};
use crate::running::image::KernelImage;
use crate::running::image_place::{Comparison, Piece, Seen};
use crate::running::kallsyms;
use crate::running::symtab::ParentTable;

/// How a function of the original object relates to the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its bytes and references are those of the image.
    Same,
    /// It is something else there.
    Differs {
        /// Distance of the first difference from the start of the function; negative in its
        /// prefix.
        at: i64,
        /// What is different, in words.
        what: String,
    },
    /// BOLT changed its body; its entry is as it was.
    Rewritten,
    /// BOLT wrote it anew, with the same bytes and references: only what pads it is BOLT's.
    Relaid,
    /// The image has no symbol of that name.
    Absent,
    /// A weak function that is something else there, so that another definition was linked
    /// in its place, or so it seems: [`Outcome::Differs`] says what the fields are.
    Overridden {
        /// As in [`Outcome::Differs`].
        at: i64,
        /// As in [`Outcome::Differs`].
        what: String,
    },
}

/// One function and what was found.
#[derive(Clone, Debug)]
pub struct Checked<S> {
    /// The function.
    pub function: SymbolId<S>,
    /// How it relates to the image.
    pub outcome: Outcome,
    /// The table's entry it became, when there is only one that it can be.
    pub entry: Option<u32>,
}

/// An original object against an image.
#[derive(Debug)]
pub struct ImageMatch<S> {
    /// All functions with a size, in symbol order.
    pub functions: Vec<Checked<S>>,
    /// For local symbols and functions: the table's entry they became, where the image's
    /// code proves it.
    pub entries: IdVec<SymbolId<S>, Option<u32>>,
    /// References whose target could not be checked.
    pub unchecked: u64,
}

/// Matches the functions of an object with `image`, whose symbols are `table`.
///
/// Fails when the two are of different machines.
pub fn match_image<S: Side>(
    layout: &Layout<'_, S>,
    image: &KernelImage<'_>,
    table: &ParentTable<'_>,
) -> Result<ImageMatch<S>> {
    image.check_machine(layout.arch)?;
    let keys = static_keys(layout);
    let comparison = Comparison { layout, image, table, keys: &keys };
    let mut matcher = Matcher {
        comparison,
        result: IdVec::filled(None, layout.object.symbol_count()),
        implied: IdVec::filled(None, layout.object.symbol_count()),
        waiting: IdVec::filled(false, layout.object.symbol_count()),
        queue: VecDeque::new(),
        unchecked: 0,
    };
    Ok(matcher.run())
}

/// The places that `__jump_table` describes: each row refers to the code, the target and
/// the key, in this order.
fn static_keys<S: Side>(layout: &Layout<'_, S>) -> Vec<(SectionId<S>, u64)> {
    let object = layout.object;
    let tables = object.sections().filter(|&s| object.section_name(s) == "__jump_table");
    let mut keys: Vec<(SectionId<S>, u64)> = tables
        .flat_map(|table| object.relocs(table).iter().step_by(3))
        .filter_map(|reloc| {
            let section = object.section_of(reloc.symbol)?;
            let value = object.symbol(reloc.symbol).value as i64;
            Some((section, u64::try_from(reloc.addend.wrapping_add(value)).ok()?))
        })
        .collect();
    keys.sort_unstable();
    keys
}

struct Matcher<'a, S> {
    comparison: Comparison<'a, S>,
    result: IdVec<SymbolId<S>, Option<Checked<S>>>,
    /// Entries that references prove.
    implied: IdVec<SymbolId<S>, Option<u32>>,
    /// Functions of which several symbols have the content.
    waiting: IdVec<SymbolId<S>, bool>,
    /// Of these, the ones whose place a reference told meanwhile.
    queue: VecDeque<SymbolId<S>>,
    unchecked: u64,
}

impl<S: Side> Matcher<'_, S> {
    fn run(&mut self) -> ImageMatch<S> {
        let object = self.comparison.layout.object;
        let functions: Vec<SymbolId<S>> =
            object.symbols().filter(|&id| self.piece(id).is_some()).collect();
        for &id in &functions {
            self.check(id);
        }
        while let Some(id) = self.queue.pop_front() {
            let (Some(piece), Some(index)) = (self.piece(id), self.implied[id]) else { continue };
            let seen = self.comparison.at(&piece, index);
            self.accept(id, index, seen);
        }
        let entries = IdVec::from_vec(
            object
                .symbols()
                .map(|id| self.result[id].as_ref().and_then(|c| c.entry).or(self.implied[id]))
                .collect(),
        );
        ImageMatch {
            functions: functions.iter().filter_map(|&id| self.result[id].take()).collect(),
            entries,
            unchecked: self.unchecked,
        }
    }

    /// The bytes of a function; `None` for anything else.
    fn piece(&self, id: SymbolId<S>) -> Option<Piece<S>> {
        let layout = self.comparison.layout;
        let object = layout.object;
        let kind = object.symbol_kind(id);
        if kind != abi::STT_FUNC && kind != abi::STT_NOTYPE {
            return None;
        }
        let symbol = object.symbol(id);
        let section = object.section_of(id).filter(|&s| layout.class(s) == Class::Text)?;
        let end = symbol.value.checked_add(symbol.size)?;
        let inside = end <= object.section(section).data.len() as u64;
        if symbol.size == 0 || !inside || layout.is_prefix(id) || !kallsyms::lists(symbol.name) {
            return None;
        }
        let start = layout.prefix_of(id).map_or(symbol.value, |p| object.symbol(p).value);
        let start = start.min(symbol.value);
        Some(Piece { symbol: id, section, start, value: symbol.value, end })
    }

    fn finish(&mut self, function: SymbolId<S>, outcome: Outcome, entry: Option<u32>) {
        self.result[function] = Some(Checked { function, outcome, entry });
    }

    /// The entries that a symbol of the object can have become.
    fn candidates(&self, id: SymbolId<S>) -> Vec<u32> {
        let symbol = self.comparison.layout.object.symbol(id);
        let table = self.comparison.table;
        let entries = table.entries();
        let all = table.named(symbol.name).iter().copied();
        let fits = |&i: &u32| {
            let entry = entries.at(i);
            // Assembly may leave out the type.
            let kind = entry.kind == symbol.kind || entry.kind == abi::STT_NOTYPE;
            // A global may be LOCAL in the image, but no local becomes GLOBAL.
            let bind = symbol.bind != abi::STB_LOCAL || entry.bind == abi::STB_LOCAL;
            kind && bind && self.comparison.image.is_loaded(i)
        };
        let found: Vec<u32> = all.filter(fits).collect();
        let global = |&i: &u32| entries.traits(i).bind() != abi::STB_LOCAL;
        if symbol.bind != abi::STB_LOCAL && found.iter().any(global) {
            return found.into_iter().filter(global).collect();
        }
        let demoted = |&i: &u32| entries.traits(i).is_demoted();
        if symbol.bind != abi::STB_LOCAL && found.iter().any(demoted) {
            return found.into_iter().filter(demoted).collect();
        }
        found
    }

    fn check(&mut self, id: SymbolId<S>) {
        let Some(piece) = self.piece(id) else { return };
        let candidates = self.candidates(id);
        match *candidates {
            [] => self.finish(id, Outcome::Absent, None),
            [index] => {
                let seen = self.comparison.at(&piece, index);
                self.accept(id, index, seen);
            }
            _ => {
                let seen = candidates.iter().map(|&i| (i, self.comparison.at(&piece, i)));
                let mut seen: Vec<(u32, Seen<S>)> = seen.collect();
                let same: Vec<usize> = (0..)
                    .zip(&seen)
                    .filter(|(_, s)| s.1.difference.is_none())
                    .map(|(i, _)| i)
                    .collect();
                match *same {
                    [only] => {
                        let (index, seen) = seen.swap_remove(only);
                        self.accept(id, index, seen);
                    }
                    // The nearest is the one that agrees longest.
                    [] => {
                        let far = |s: &Seen<S>| s.difference.as_ref().map_or(i64::MAX, |d| d.0);
                        let all = seen.iter().enumerate().rev();
                        if let Some((best, _)) = all.max_by_key(|(_, s)| far(&s.1)) {
                            let (index, seen) = seen.swap_remove(best);
                            self.accept(id, index, seen);
                            if let Some(checked) = &mut self.result[id] {
                                checked.entry = None;
                            }
                        }
                    }
                    _ => {
                        self.waiting[id] = true;
                        self.finish(id, Outcome::Same, None);
                        if self.implied[id].is_some() {
                            self.queue.push_back(id);
                        }
                    }
                }
            }
        }
    }

    /// Takes `index` for what the function became.
    fn accept(&mut self, id: SymbolId<S>, index: u32, seen: Seen<S>) {
        self.waiting[id] = false;
        self.unchecked += u64::from(seen.unchecked);
        match seen.difference {
            None => {
                let relaid = self.piece(id).is_some_and(|p| self.comparison.is_relaid(&p, index));
                let outcome = if relaid { Outcome::Relaid } else { Outcome::Same };
                self.finish(id, outcome, Some(index));
                for (symbol, addr) in seen.implied {
                    self.imply(symbol, addr);
                }
            }
            Some((at, what)) => {
                let object = self.comparison.layout.object;
                let entry = self.comparison.table.entries().at(index);
                let weak = object.symbol(id).bind == abi::STB_WEAK;
                let outcome = if weak && entry.bind != abi::STB_WEAK {
                    Outcome::Overridden { at, what }
                } else if self.comparison.image.bolt.is_some() && at >= self.entry_end(id) {
                    Outcome::Rewritten
                } else {
                    Outcome::Differs { at, what }
                };
                let entry = Some(index).filter(|_| !matches!(outcome, Outcome::Overridden { .. }));
                self.finish(id, outcome, entry);
            }
        }
    }

    /// The byte behind the function's entry: its ftrace site or its first instruction.
    fn entry_end(&self, id: SymbolId<S>) -> i64 {
        let layout = self.comparison.layout;
        let Some(piece) = self.piece(id) else { return 0 };
        let view = layout.view(id, piece.section);
        let site = (layout.arch.ftrace_site)(&view, &mut layout.entry_relocs(id, piece.section));
        let code = view.section.get(piece.value as usize..).unwrap_or(&[]);
        let from = match site {
            Ok(site) if site.offset >= piece.value => (site.offset - piece.value) as usize,
            _ => 0,
        };
        let length = code.get(from..).and_then(|c| (layout.arch.instruction_len)(c)).unwrap_or(0);
        (from + length) as i64
    }

    /// Notes that a reference of the running code to `symbol` leads to `addr`.
    fn imply(&mut self, symbol: SymbolId<S>, addr: u64) {
        let view = self.comparison.layout.object.symbol(symbol);
        if self.implied[symbol].is_some()
            || self.comparison.layout.object.section_of(symbol).is_none()
        {
            return;
        }
        let table = self.comparison.table;
        let entries = table.entries();
        let mut at_addr = table
            .named(view.name)
            .iter()
            .copied()
            .filter(|&i| entries.addr(i) == addr && entries.traits(i).kind() == view.kind);
        if let (Some(index), None) = (at_addr.next(), at_addr.next()) {
            self.implied[symbol] = Some(index);
            if self.waiting[symbol] {
                self.queue.push_back(symbol);
            }
        }
    }
}
