//! Live state that the kernel's macros define once per use: rate limits (`_rs`), once-only
//! flags, lock classes (`__key`), descriptors of debug messages.
//!
//! Such a variable has no twin: a patched function gets a copy of its own. A function that
//! stays as it is keeps the running kernel's variable, whose value no patch can set anew.
//! That its initialiser changed is no difference of the function, but it is never dropped.

#![expect(
    clippy::indexing_slicing,
    reason = "groups are not empty, and partition points lie within the list"
)]
#![expect(clippy::arithmetic_side_effects, reason = "a constant place")]

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _};

use bumpalo::Bump;
use foldhash::fast::{FixedState, RandomState};
use indexmap::{IndexMap, IndexSet};

use super::comparer::Comparer;
use super::live_state::content;
use super::pair::Pair;
use super::questions::OpenQuestions;
use super::relocs::same_relocs;
use super::spans::{Sink, Spans};
use super::uses::{Use, Uses};
use crate::diag::Result;
use crate::diff::reason::{Reason, ReasonKind, Shown, Sides};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Home;
use crate::kernel::constructors::only_registers;
use crate::kernel::knowledge::names;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;

/// A variable whose initialiser changed, and code that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The section the reference is in.
    pub user: SectionId<Patched>,
    /// Where in it.
    pub at: u64,
    /// The variable.
    pub variable: SymbolId<Patched>,
    /// What differs first.
    pub reason: Reason,
}

/// Whether a place is in code that only tells a sanitizer of variables.
fn is_registration(pair: &Pair<'_>, section: SectionId<Patched>, at: u64) -> bool {
    let layout = pair.patched.layout;
    let entity = layout.entity_at(section, at).map(|index| layout.entity(section, index));
    entity.and_then(|e| e.symbol).is_some_and(|user| only_registers(layout, user))
}

/// The variables without twins whose content differs from their counterparts', of those that
/// are used, by variable and place.
pub(in crate::diff) fn changed_states(
    comparer: &Comparer<'_>,
    uses: &Uses,
) -> Result<Vec<StateChange>> {
    let asked = comparer.asking();
    let mut changes = Vec::new();
    let mut reasons: IndexMap<_, Option<Reason>, RandomState> = IndexMap::default();
    let mut seen: IndexSet<Use, RandomState> = uses.iter().copied().collect();
    let mut next = 0;
    while let Some(&Use { orig, variable, user, at }) = seen.get_index(next) {
        next += 1;
        if is_registration(comparer, user, at) {
            continue;
        }
        let pair = (orig, variable);
        let reason = match reasons.get(&pair) {
            Some(known) => known.clone(),
            None => {
                let mut open = OpenQuestions::new();
                let found = state_change(&asked, orig, variable, &mut open)?;
                seen.extend(open.uses);
                reasons.insert(pair, found.clone());
                found
            }
        };
        changes.extend(reason.map(|reason| StateChange { user, at, variable, reason }));
    }
    changes.sort_by_key(|s| (s.variable, s.user, s.at));
    changes.dedup();
    Ok(changes)
}

/// What differs first between the contents of a variable and its counterpart. `open` learns
/// the use of those that it points to.
fn state_change(
    comparer: &Comparer<'_>,
    o: SymbolId<Orig>,
    p: SymbolId<Patched>,
    open: &mut OpenQuestions,
) -> Result<Option<Reason>> {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let (Home::Section(o_section), Home::Section(p_section)) = (orig.home(o), patched.home(p))
    else {
        return Ok(None);
    };
    let (a, b) = (orig.symbol(o), patched.symbol(p));
    let before = content(comparer.orig.layout.object, o, o_section);
    let after = content(comparer.patched.layout.object, p, p_section);
    let spans = Spans {
        o: o_section,
        o_start: a.value,
        o_end: a.value.saturating_add(a.size),
        p: p_section,
        p_start: b.value,
        p_end: b.value.saturating_add(b.size),
    };
    let first = before.iter().zip(after.iter()).position(|(x, y)| x != y);
    let mut reasons = Vec::new();
    if a.size != b.size {
        reasons.push(Reason::of_all(ReasonKind::Size(Sides::new(a.size, b.size))));
    } else if let Some(first) = first {
        let sides = Sides::new(Shown::bytes(&before, first), Shown::bytes(&after, first));
        reasons.push(Reason::at(first as i64, ReasonKind::Data(sides)));
    } else {
        same_relocs(comparer, &spans, &mut Sink(Some(&mut reasons)), open)?;
    }
    Ok(reasons.into_iter().next())
}

/// Variables that code reaches only through another's address (section anchors): those
/// of one name must have the same initial values, in any order.
pub(in crate::diff) fn anchored_states(pair: &Pair<'_>) -> Result<Vec<String>> {
    let (before, after) = rayon::join(
        || by_name(pair.orig.layout, |id| pair.twins.patched_symbol(id).is_none()),
        || by_name(pair.patched.layout, |id| pair.twins.orig_symbol(id).is_none()),
    );
    let mut differing = BTreeSet::new();
    let mut rest = &before[..];
    for group in after.chunk_by(|a, b| a.name == b.name) {
        let from = rest.partition_point(|b| b.name < group[0].name);
        rest = &rest[from..];
        let twins = &rest[..rest.partition_point(|b| b.name == group[0].name)];
        let same = twins.iter().map(|b| b.content).eq(group.iter().map(|a| a.content));
        if twins.len() == group.len() && !same {
            let name = pair.patched.layout.object.symbol_name(group[0].variable);
            differing.insert(names::normal(name, &Bump::new()).to_owned());
        }
    }
    if differing.is_empty() {
        return Ok(Vec::new());
    }
    let direct = referenced_names(pair.patched.layout)?;
    Ok(differing.into_iter().filter(|n| !direct.contains(n)).collect())
}

/// What a variable is called and begins with.
struct Print<S> {
    /// Hash of the normal name.
    name: u64,
    /// Hash of the initial value.
    content: u64,
    variable: SymbolId<S>,
}

/// The static local variables without twins, in data that can be written, by normal name and
/// initial value.
fn by_name<S: Side>(
    layout: &Layout<'_, S>,
    is_single: impl Fn(SymbolId<S>) -> bool,
) -> Vec<Print<S>> {
    let object = layout.object;
    let hasher = FixedState::default();
    let mut found = Vec::new();
    for id in object.symbols().skip(1) {
        if !is_single(id) || !(layout.is_special_static(id) || layout.is_static_local(id)) {
            continue;
        }
        let Some(section) = object.section_of(id) else { continue };
        if object.symbol_kind(id) == abi::STT_OBJECT
            && object.section_flags(section) & abi::SHF_WRITE != 0
            && !names::is_ubsan(object.section_name(section))
        {
            let mut name = hasher.build_hasher();
            names::hash_normal(object.symbol_name(id), &mut name);
            let content = hasher.hash_one(content(object, id, section));
            found.push(Print { name: name.finish(), content, variable: id });
        }
    }
    found.sort_unstable_by_key(|print| (print.name, print.content, print.variable));
    found
}

/// Normal names of the static local variables that relocations refer to.
fn referenced_names<S: Side>(layout: &Layout<'_, S>) -> Result<BTreeSet<String>> {
    let object = layout.object;
    let mut found = BTreeSet::new();
    let mut arena = Bump::new();
    for base in object.sections() {
        if matches!(layout.class(base), Class::Debug | Class::Noise(_)) {
            continue;
        }
        let refs = Refs::new(layout, base);
        arena.reset();
        for reloc in object.relocs(base).iter() {
            let target = object.section_of(reloc.symbol);
            if target.is_some_and(|t| object.section_flags(t) & abi::SHF_WRITE != 0) {
                let symbol = refs.resolve(&reloc)?.symbol;
                // The first of a section may stand for all of them.
                let anchor = object.symbol_value(symbol) == 0
                    && layout.owner(target.unwrap_or(base)).is_none();
                let local = layout.is_special_static(symbol) || layout.is_static_local(symbol);
                if local && !anchor {
                    found.insert(names::normal(object.symbol_name(symbol), &arena).to_owned());
                }
            }
        }
    }
    Ok(found)
}
