//! Why each thing of the output is there: from what changed along references.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows are within tables and fields within rows, all below 4 GiB"
)]

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use serde::Serialize;

use super::is_called;
use crate::diff::compare::comparer::Comparer;
use crate::diff::selection::Selection;
use crate::elf::abi;
use crate::elf::ids::{Id as _, Patched, SectionId, SymbolId};
use crate::kernel::knowledge::macros;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;

/// What the output is made of, and what it refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Graph {
    /// What changed comes first, then what it brings in, nearest first.
    pub nodes: Vec<Node>,
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Name: the original's where it has one; of data without a name that of its section.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Why it is there.
    pub because: Because,
    /// The node that brought it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<usize>,
    /// The place of that which refers to it: bytes from its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Code of the output.
    Function,
    /// A variable of the output.
    Variable,
    /// Strings and constants without names.
    Data,
    /// Rows of one of the kernel's tables.
    Table,
    /// What the running kernel has, or another object of the patch: it is referred to only.
    Kernel,
}

/// Why a node is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// It differs from the original.
    Changed,
    /// It is new, and other objects can refer to it.
    NewGlobal,
    /// A macro of livepatch's headers put it there.
    Callback,
    /// The node in `via` refers to it.
    Referred,
    /// It was split off from the function in `via`.
    SplitOff,
    /// It describes the code in `via`.
    Describes,
    /// Outputs always have it.
    Always,
}

impl Graph {
    /// The node that somebody calls `asked`: of the output before what is only referred to.
    pub fn find(&self, asked: &str) -> Option<usize> {
        let exact = |n: &Node| n.name == asked;
        let loose = |n: &Node| is_called(&n.name, asked);
        let inside = |n: &&Node| n.kind != Kind::Kernel;
        let at = |fits: &dyn Fn(&Node) -> bool, all: bool| {
            self.nodes.iter().position(|n| (all || inside(&n)) && fits(n))
        };
        at(&exact, false)
            .or_else(|| at(&loose, false))
            .or_else(|| at(&exact, true))
            .or_else(|| at(&loose, true))
    }

    /// A node and those that brought it in, up to one that is there by itself.
    pub fn chain(&self, index: usize) -> Vec<&Node> {
        let mut chain = Vec::new();
        let mut next = Some(index);
        while let Some(node) = next.and_then(|at| self.nodes.get(at)) {
            chain.push(node);
            // What brought something in has a lower number: there are no circles.
            next = node.via.filter(|via| Some(*via) < next);
        }
        chain
    }
}

/// What is told apart: a thing with its place in its section, a section without names, or a
/// symbol that is elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Entity(SectionId<Patched>, usize),
    Section(SectionId<Patched>),
    Kernel(SymbolId<Patched>),
}

/// Follows what is included from what changed.
pub fn graph(
    comparer: &Comparer<'_>,
    selection: &Selection,
    listed: &[(SymbolId<Patched>, bool)],
) -> Graph {
    let layout = comparer.patched.layout;
    let mut walk = Walk {
        comparer,
        layout,
        selection,
        known: IndexMap::default(),
        pending: VecDeque::new(),
        graph: Graph::default(),
    };
    for &(id, _) in listed.iter().filter(|(_, changed)| *changed) {
        if let Some(key) = walk.key_of(id) {
            walk.add(key, Because::Changed, None);
        }
    }
    walk.settle();
    walk.rest();
    walk.tables();
    walk.graph
}

struct Walk<'a> {
    comparer: &'a Comparer<'a>,
    layout: &'a Layout<'a, Patched>,
    selection: &'a Selection,
    known: IndexMap<Key, usize, RandomState>,
    pending: VecDeque<(Key, usize)>,
    graph: Graph,
}

impl Walk<'_> {
    /// Notes a thing unless it is known.
    fn add(&mut self, key: Key, because: Because, via: Option<(usize, u64)>) {
        if self.known.contains_key(&key) {
            return;
        }
        let index = self.graph.nodes.len();
        self.known.insert(key, index);
        let (name, kind) = self.describe(key);
        let (via, at) = via.unzip();
        let at = at.filter(|_| because == Because::Referred);
        self.graph.nodes.push(Node { name, kind, because, via, at });
        if !matches!(key, Key::Kernel(_)) {
            self.pending.push_back((key, index));
        }
    }

    fn describe(&self, key: Key) -> (String, Kind) {
        let object = self.layout.object;
        match key {
            Key::Kernel(id) => (self.comparer.output_name(id).to_owned(), Kind::Kernel),
            Key::Section(section) => (object.section_name(section).to_owned(), Kind::Data),
            Key::Entity(section, index) => {
                let symbol = self.layout.entity(section, index).symbol;
                let name =
                    symbol.map_or(object.section_name(section), |s| self.comparer.output_name(s));
                let kind = match (self.layout.class(section), symbol) {
                    (Class::Text, _) => Kind::Function,
                    (_, Some(_)) => Kind::Variable,
                    (_, None) => Kind::Data,
                };
                (name.to_owned(), kind)
            }
        }
    }

    fn key_of(&self, id: SymbolId<Patched>) -> Option<Key> {
        let section = self.layout.object.section_of(id)?;
        self.key_at(section, self.layout.object.symbol_value(id))
    }

    fn key_at(&self, section: SectionId<Patched>, at: u64) -> Option<Key> {
        if self.layout.is_pool(section) || self.layout.entity_count(section) == 0 {
            return Some(Key::Section(section));
        }
        self.layout.entity_at(section, at).map(|index| Key::Entity(section, index))
    }

    fn is_included(&self, key: Key) -> bool {
        match key {
            Key::Entity(section, index) => {
                self.selection.has(section, self.layout.entity(section, index).start)
            }
            Key::Section(section) => self.selection.sections[section],
            Key::Kernel(_) => false,
        }
    }

    /// Follows the references of all that is known.
    fn settle(&mut self) {
        while let Some((key, index)) = self.pending.pop_front() {
            let (section, start, end) = match key {
                Key::Entity(section, entity) => {
                    let entity = self.layout.entity(section, entity);
                    if let Some(symbol) = entity.symbol {
                        self.parts(symbol, index);
                    }
                    (section, entity.start, entity.end)
                }
                Key::Section(section) => (section, 0, u64::MAX),
                Key::Kernel(_) => continue,
            };
            self.follow(section, (start, end), index);
        }
    }

    fn parts(&mut self, symbol: SymbolId<Patched>, index: usize) {
        let layout = self.layout;
        for child in layout.children(symbol) {
            if let Some(key) = self.key_of(child).filter(|&key| self.is_included(key)) {
                self.add(key, Because::SplitOff, Some((index, 0)));
            }
        }
    }

    fn follow(&mut self, section: SectionId<Patched>, (start, end): (u64, u64), index: usize) {
        let layout = self.layout;
        let object = layout.object;
        let refs = Refs::new(layout, section);
        for reloc in object.relocs(section).within(start, end) {
            if reloc.symbol.index() == 0 {
                continue;
            }
            let place = refs.place(&reloc).ok().flatten();
            let key = place.and_then(|(section, at)| self.key_at(section, at));
            let meant = refs.resolve(&reloc).map_or(reloc.symbol, |r| r.symbol);
            let table = place.is_some_and(|(s, _)| matches!(layout.class(s), Class::Table(_)));
            let key = match key.filter(|&key| self.is_included(key)) {
                Some(_) if table => continue,
                Some(key) => key,
                None if object.symbol_kind(meant) == abi::STT_SECTION => continue,
                None => Key::Kernel(meant),
            };
            self.add(key, Because::Referred, Some((index, reloc.offset - start)));
        }
    }

    /// What is included and nothing that changed leads to.
    fn rest(&mut self) {
        let layout = self.layout;
        let object = layout.object;
        for section in object.sections() {
            let counts = self.selection.sections[section]
                && object.section_flags(section) & abi::SHF_ALLOC != 0
                && matches!(layout.class(section), Class::Text | Class::Data | Class::Strings);
            if !counts {
                continue;
            }
            let pool = layout.is_pool(section) || layout.entity_count(section) == 0;
            let keys: Vec<Key> = match pool {
                true => vec![Key::Section(section)],
                false => {
                    (0..layout.entity_count(section)).map(|i| Key::Entity(section, i)).collect()
                }
            };
            for key in keys {
                if !self.is_included(key) {
                    continue;
                }
                let because = self.by_itself(key, object.section_name(section));
                self.add(key, because, None);
                self.settle();
            }
        }
    }

    fn by_itself(&self, key: Key, section: &str) -> Because {
        let symbol = match key {
            Key::Entity(section, index) => self.layout.entity(section, index).symbol,
            _ => None,
        };
        let is_global =
            |id: SymbolId<Patched>| self.layout.object.symbol_bind(id) != abi::STB_LOCAL;
        match symbol {
            _ if section.starts_with(macros::PREFIX) => Because::Callback,
            Some(id) if self.comparer.twins.orig_symbol(id).is_some() => Because::Changed,
            Some(id) if is_global(id) => Because::NewGlobal,
            _ => Because::Always,
        }
    }

    /// Tables, each by the first function that one of its rows describes.
    fn tables(&mut self) {
        let layout = self.layout;
        for (&number, rows) in &self.selection.rows {
            let Some(table) = self.comparer.patched.rows.tables.get(number as usize) else {
                continue;
            };
            let size = layout.object.section_size(table.section);
            let relocs = layout.object.relocs(table.section);
            let refs = Refs::new(layout, table.section);
            let via = rows.iter().find_map(|&row| {
                let at = table.span(row as usize, size).0 + table.table.code;
                let reloc = relocs.within(at, at + 1).next()?;
                let (section, place) = refs.place(&reloc).ok()??;
                self.known.get(&self.key_at(section, place)?).copied()
            });
            if rows.is_empty() {
                continue;
            }
            let name = layout.object.section_name(table.section).to_owned();
            let because = if via.is_some() { Because::Describes } else { Because::Always };
            self.graph.nodes.push(Node { name, kind: Kind::Table, because, via, at: None });
        }
    }
}
