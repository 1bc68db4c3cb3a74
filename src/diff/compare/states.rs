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

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _};

use bumpalo::Bump;
use foldhash::fast::{FixedState, RandomState};
use indexmap::{IndexMap, IndexSet};

use super::comparer::{Comparer, Sink, Spans};
use super::questions::OpenQuestions;
use crate::diag::Result;
use crate::diff::reason::{Reason, ReasonKind, Shown, Sides};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::{Home, Object};
use crate::kernel::constructors::only_registers;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::names;
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

/// A variable without a twin, its counterpart, and code that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Use {
    orig: SymbolId<Orig>,
    variable: SymbolId<Patched>,
    user: SectionId<Patched>,
    at: u64,
}

/// The uses of variables that may have changed, by variable and place. What a variable points to
/// is looked at when all uses are known: such variables can point to each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses(Vec<Use>);

impl Uses {
    /// Those that comparisons found, in any order.
    pub(super) fn new(mut all: Vec<Use>) -> Self {
        all.sort_unstable();
        all.dedup();
        Uses(all)
    }

    /// Together with `others`.
    pub fn with<'u>(&self, others: impl Iterator<Item = &'u Uses>) -> Self {
        let all = others.flat_map(|uses| &uses.0).chain(&self.0);
        Uses::new(all.copied().collect())
    }
}

/// The line number in a descriptor of dynamic debugging (include/linux/dynamic_debug.h):
/// 18 bits behind four pointers.
const DEBUG_LINE: (usize, u32) = (32, (1 << 18) - 1);

impl Comparer<'_> {
    /// Notes a variable without a twin whose content may differ from its counterpart's.
    pub(super) fn note_state(
        &self,
        (user, at): (SectionId<Patched>, u64),
        o: SymbolId<Orig>,
        p: SymbolId<Patched>,
        open: &mut OpenQuestions,
    ) {
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        let (Home::Section(o_section), Home::Section(p_section)) = (orig.home(o), patched.home(p))
        else {
            return;
        };
        if patched.symbol_kind(p) != abi::STT_OBJECT
            || patched.section_flags(p_section) & abi::SHF_WRITE == 0
            // What UBSAN prints: file, line and type of a failed check.
            || names::is_ubsan(patched.section_name(p_section))
        {
            return;
        }
        let (a, b) = (orig.symbol(o), patched.symbol(p));
        let plain = orig.relocs(o_section).is_empty() && patched.relocs(p_section).is_empty();
        if !plain
            || a.size != b.size
            || content(orig, o, o_section) != content(patched, p, p_section)
        {
            open.uses.push(Use { orig: o, variable: p, user, at });
        }
    }

    /// Whether a place is in code that only tells a sanitizer of variables.
    fn is_registration(&self, section: SectionId<Patched>, at: u64) -> bool {
        let layout = self.patched.layout;
        let entity = layout.entity_at(section, at).map(|index| layout.entity(section, index));
        entity.and_then(|e| e.symbol).is_some_and(|user| only_registers(layout, user))
    }

    /// The variables without twins whose content differs from their counterparts', of those that
    /// are used, by variable and place.
    pub(in crate::diff) fn changed_states(&self, uses: &Uses) -> Result<Vec<StateChange>> {
        let asked = self.asking();
        let mut changes = Vec::new();
        let mut reasons: IndexMap<_, Option<Reason>, RandomState> = IndexMap::default();
        let mut seen: IndexSet<Use, RandomState> = uses.0.iter().copied().collect();
        let mut next = 0;
        while let Some(&Use { orig, variable, user, at }) = seen.get_index(next) {
            next += 1;
            if self.is_registration(user, at) {
                continue;
            }
            let pair = (orig, variable);
            let reason = match reasons.get(&pair) {
                Some(known) => known.clone(),
                None => {
                    let mut open = OpenQuestions::new();
                    let found = asked.state_change(orig, variable, &mut open)?;
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
        &self,
        o: SymbolId<Orig>,
        p: SymbolId<Patched>,
        open: &mut OpenQuestions,
    ) -> Result<Option<Reason>> {
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        let (Home::Section(o_section), Home::Section(p_section)) = (orig.home(o), patched.home(p))
        else {
            return Ok(None);
        };
        let (a, b) = (orig.symbol(o), patched.symbol(p));
        let before = content(self.orig.layout.object, o, o_section);
        let after = content(self.patched.layout.object, p, p_section);
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
            self.relocs(&spans, &mut Sink(Some(&mut reasons)), open)?;
        }
        Ok(reasons.into_iter().next())
    }
}

impl Comparer<'_> {
    /// Variables that code reaches only through another's address (section anchors): those
    /// of one name must have the same initial values, in any order.
    pub(in crate::diff) fn anchored_states(&self) -> Result<Vec<String>> {
        let (before, after) = rayon::join(
            || by_name(self.orig.layout, |id| self.twins.patched_symbol(id).is_none()),
            || by_name(self.patched.layout, |id| self.twins.orig_symbol(id).is_none()),
        );
        let mut differing = BTreeSet::new();
        let mut rest = &before[..];
        for group in after.chunk_by(|a, b| a.name == b.name) {
            let from = rest.partition_point(|b| b.name < group[0].name);
            rest = &rest[from..];
            let twins = &rest[..rest.partition_point(|b| b.name == group[0].name)];
            let same = twins.iter().map(|b| b.content).eq(group.iter().map(|a| a.content));
            if twins.len() == group.len() && !same {
                let name = self.patched.layout.object.symbol_name(group[0].variable);
                differing.insert(names::normal(name, &Bump::new()).to_owned());
            }
        }
        if differing.is_empty() {
            return Ok(Vec::new());
        }
        let direct = referenced_names(self.patched.layout)?;
        Ok(differing.into_iter().filter(|n| !direct.contains(n)).collect())
    }
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

/// The bytes of a variable, without what is noise in them.
fn content<'d, S: Side>(
    object: &Object<'d, S>,
    id: SymbolId<S>,
    section: SectionId<S>,
) -> Cow<'d, [u8]> {
    let value = object.symbol_value(id);
    let end = value.saturating_add(object.symbol_size(id)) as usize;
    let bytes = object.contents(section).get(value as usize..end).unwrap_or(&[]);
    let mut bytes = Cow::Borrowed(bytes);
    if names::is_special_static_section(object.section_name(section)) {
        without_line(bytes.to_mut(), object.endian());
    }
    bytes
}

/// Clears the line number of a descriptor.
fn without_line(bytes: &mut [u8], endian: object::Endianness) {
    let (at, mask) = DEBUG_LINE;
    let Some(word) = bytes.get_mut(at..at + 4) else { return };
    let big = endian == object::Endianness::Big;
    let mut raw = [0; 4];
    raw.copy_from_slice(word);
    // Bit fields are filled from the low end on little-endian machines, from the high end on
    // big-endian ones.
    let cleared = if big {
        (u32::from_be_bytes(raw) & !(mask << 14)).to_be_bytes()
    } else {
        (u32::from_le_bytes(raw) & !mask).to_le_bytes()
    };
    word.copy_from_slice(&cleared);
}
