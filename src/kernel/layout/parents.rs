//! Finds the functions that others were split from, by their names.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "small multiples of bytes and of the length of a name"
)]

use indexmap::IndexMap;
use rayon::prelude::*;

use super::facts::{self, Facts};
use super::sections::Sections;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Id, Side, SymbolId};
use crate::elf::object::Object;
use crate::kernel::knowledge::names::{self, ChildKind};

/// Which function was split from which.
pub(super) struct Parents<S> {
    /// (child, parent), sorted.
    split_from: Vec<Child<S>>,
    /// (parent, child), sorted.
    children: Vec<(SymbolId<S>, SymbolId<S>)>,
}

impl<S: Side> Parents<S> {
    /// Finds the parents of all that was split off.
    pub(super) fn new(sections: &Sections<'_, S>, facts: &Facts<S>) -> Result<Self> {
        let split_from = find(sections, facts)?;
        let turned = split_from.iter().map(|&(child, parent)| (parent, child));
        let mut children: Vec<_> = turned.collect();
        children.sort_unstable();
        Ok(Parents { split_from, children })
    }

    /// The function that `child` was split from.
    pub(super) fn of(&self, child: SymbolId<S>) -> Option<SymbolId<S>> {
        let found = self.split_from.binary_search_by_key(&child, |p| p.0).ok();
        found.and_then(|i| self.split_from.get(i)).map(|p| p.1)
    }

    /// All that was split off, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = SymbolId<S>> + '_ {
        self.split_from.iter().map(|p| p.0)
    }

    /// The parts split off `parent`, in symbol order.
    pub(super) fn children(&self, parent: SymbolId<S>) -> impl Iterator<Item = SymbolId<S>> + '_ {
        let from = self.children.partition_point(|c| c.0 < parent);
        self.children.iter().skip(from).take_while(move |c| c.0 == parent).map(|c| c.1)
    }
}

/// A function and the one it was split from.
type Child<S> = (SymbolId<S>, SymbolId<S>);

/// All split-off functions, sorted. Of several symbols with the parent's name the one in the
/// same file counts, then a global one, then the first.
fn find<S: Side>(sections: &Sections<'_, S>, facts: &Facts<S>) -> Result<Vec<Child<S>>> {
    let object = sections.object;
    let mut wanted: IndexMap<&str, Vec<SymbolId<S>>, foldhash::fast::RandomState> =
        IndexMap::default();
    let mut found = Vec::new();
    for id in object.symbols().filter(|&id| facts.has(id, facts::DOTTED)) {
        if is_part(object, id)
            && let Some((parent, kind)) = names::split_from(object.symbol_name(id))
        {
            wanted.insert(parent, Vec::new());
            found.push((id, parent, kind));
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let shapes = NameShapes::new(wanted.keys());
    let candidates: Vec<SymbolId<S>> = (0..object.symbol_count())
        .into_par_iter()
        .with_min_len(2048)
        .map(SymbolId::new)
        .filter(|&id| {
            let kind = object.symbol_kind(id);
            if !matches!(kind, abi::STT_FUNC | abi::STT_NOTYPE | abi::STT_GNU_IFUNC) {
                return false;
            }
            let name = object.symbol_name(id);
            shapes.may_have(name) && wanted.contains_key(name)
        })
        .collect();
    for id in candidates {
        if let Some(named) = wanted.get_mut(object.symbol_name(id)) {
            named.push(id);
        }
    }
    let mut split_from = Vec::with_capacity(found.len());
    let file = |id: SymbolId<S>| sections.file_of(id);
    for (child, parent, kind) in found {
        let named = wanted.get(parent).map_or(&[][..], Vec::as_slice);
        let from = named.partition_point(|&id| file(id) < file(child));
        let local = named.get(from).filter(|&&id| file(id) == file(child) && sections.is_local(id));
        let global = || named.iter().find(|&&id| !sections.is_local(id));
        match local.or_else(global).or(named.first()).copied() {
            Some(parent) => split_from.push((child, parent)),
            None if kind == ChildKind::Part => {}
            None => {
                return Err(Error::broken(
                    Code::ChildWithoutParent,
                    format!("failed to find parent function for {}", object.symbol_name(child)),
                ));
            }
        }
    }
    Ok(split_from)
}

/// Whether a symbol may be part of a function: clang gives what it splits off no type.
fn is_part<S: Side>(object: &Object<'_, S>, id: SymbolId<S>) -> bool {
    match object.symbol_kind(id) {
        abi::STT_FUNC => true,
        abi::STT_NOTYPE => {
            object.symbol_size(id) > 0
                && object.symbol_bind(id) == abi::STB_LOCAL
                && object.section_of(id).is_some_and(|s| object.is_text(s))
        }
        _ => false,
    }
}

/// A set of names as a sieve: most names that are not in it are told apart by their lengths
/// and ends, without a hash of the whole.
struct NameShapes(Vec<bool>);

impl NameShapes {
    #[expect(clippy::indexing_slicing, reason = "a shape is below 1 << 16")]
    fn new<'n>(names: impl Iterator<Item = &'n &'n str>) -> Self {
        let mut seen = vec![false; 1 << 16];
        names.for_each(|name| seen[shape(name)] = true);
        NameShapes(seen)
    }

    /// False for names that are not in the set.
    #[expect(clippy::indexing_slicing, reason = "a shape is below 1 << 16")]
    fn may_have(&self, name: &str) -> bool {
        self.0[shape(name)]
    }
}

/// Something of a name, below 1 << 16, that is cheap to tell.
fn shape(name: &str) -> usize {
    let bytes = name.as_bytes();
    let at = |i: usize| bytes.get(i).map_or(0, |&b| usize::from(b));
    let (last, before) = (at(bytes.len().wrapping_sub(1)), at(bytes.len().wrapping_sub(3)));
    (bytes.len() * 2_531 + at(0) * 331 + at(3) * 7_919 + before * 1_327 + last * 13) & 0xffff
}
