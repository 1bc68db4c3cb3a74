//! Who uses which static local variables, and how.
//!
//! A use is a reference in the code of a function, in a row of a table that describes that code
//! (a branch on a static key is only there), or in other data.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use rayon::prelude::*;

use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Id, Marks, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::constructors;
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::sections;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::{Effective, Refs};

/// Whether what a section refers to counts.
pub(in crate::diff) fn counts<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>) -> bool {
    !matches!(layout.class(section), Class::Debug | Class::Noise(_))
}

/// The symbols through which relocations refer to wanted variables: their own, and those that
/// stand for a section in which there are some.
pub(super) struct Handles<S>(Marks<SymbolId<S>>);

impl<S: Side> Handles<S> {
    /// To all static locals.
    pub(in crate::diff) fn new(layout: &Layout<'_, S>) -> Self {
        Self::to(layout, |id| layout.is_static_local(id), |home| layout.holds_statics(home))
    }

    /// To the variables that are `wanted`, which are in some of the sections that are `homes`.
    pub(in crate::diff) fn to(
        layout: &Layout<'_, S>,
        wanted: impl Fn(SymbolId<S>) -> bool + Sync + Send,
        homes: impl Fn(SectionId<S>) -> bool + Sync + Send,
    ) -> Self {
        let object = layout.object;
        let leads = |id: SymbolId<S>| {
            wanted(id)
                || matches!(object.symbol_kind(id), abi::STT_SECTION | abi::STT_NOTYPE)
                    && object.section_of(id).is_some_and(&homes)
        };
        // What is behind a slot of the TOC is not known yet.
        let any = layout.arch.toc_relocs.is_some();
        Handles(Marks::from_fn(object.symbol_count(), |id| any || leads(id)))
    }
}

/// Calls `found` with the data that each relocation of a section means, and the relocation, TOC
/// slots followed; with `handles` only where these lead.
pub(super) fn for_each_target<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    handles: Option<&Handles<S>>,
    mut found: impl FnMut(SymbolId<S>, usize, &Reloc<S>),
) -> Result<()> {
    let object = layout.object;
    let refs = Refs::new(layout, section);
    for (index, reloc) in object.relocs(section).iter().enumerate() {
        if handles.is_some_and(|handles| !handles.0.has(reloc.symbol)) {
            continue;
        }
        // Only data can be a static local: spare the decoding for calls.
        if let Some(target) = object.section_of(reloc.symbol)
            && !matches!(layout.class(target), Class::Data | Class::Strings)
        {
            continue;
        }
        let Effective::Reloc(base, effective) = refs.effective(&reloc)? else { continue };
        let resolved = if base == section {
            refs.resolve(&effective)?
        } else {
            Refs::new(layout, base).resolve(&effective)?
        };
        if resolved.symbol.index() != 0 {
            found(resolved.symbol, index, &reloc);
        }
    }
    Ok(())
}

/// What refers to a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::diff) enum User<S> {
    /// A function (without its parts), or a variable.
    Named(SymbolId<S>),
    /// What has no name in this section.
    Section(SectionId<S>),
}

/// One reference to a variable.
#[derive(Clone, Copy, Debug)]
pub(in crate::diff) struct Use<S> {
    pub variable: SymbolId<S>,
    pub user: User<S>,
    pub section: SectionId<S>,
    /// Which relocation of the section it is.
    pub index: u32,
}

/// How far the fields of a row are apart at most, from the place in the code to the variable.
const ROW: u64 = 32;

/// Sections that are not worth a task of their own.
const SECTIONS_PER_TASK: usize = 64;

/// All uses of wanted variables, by variable, those in code first.
pub(super) fn uses_of<S: Side>(
    layout: &Layout<'_, S>,
    wanted: &Marks<SymbolId<S>>,
) -> Result<Vec<Use<S>>> {
    let object = layout.object;
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let homes = Marks::of(
        object.section_count(),
        wanted.iter().filter_map(|variable| object.section_of(variable)),
    );
    let handles = Handles::to(layout, |id| wanted.has(id), |home| homes.has(home));
    let descriptors = constructors::descriptors(layout);
    let sections = object.relocated().par_iter().with_min_len(SECTIONS_PER_TASK);
    let found: Vec<Result<Vec<Use<S>>>> = sections
        .filter(|&&section| {
            counts(layout, section) && object.section_name(section) != sections::TOC
        })
        .filter(|&section| descriptors.binary_search(section).is_err())
        .map(|&section| uses_in(layout, section, wanted, &handles))
        .filter(|found| found.as_ref().map_or(true, |uses| !uses.is_empty()))
        .collect();
    let mut all = Vec::new();
    for found in found {
        all.extend(found?);
    }
    let is_data = |section| !matches!(layout.class(section), Class::Text);
    all.sort_by_key(|u| (u.variable, is_data(u.section), u.section, u.index));
    Ok(all)
}

fn uses_in<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    wanted: &Marks<SymbolId<S>>,
    handles: &Handles<S>,
) -> Result<Vec<Use<S>>> {
    let object = layout.object;
    let is_table = matches!(layout.class(section), Class::Table(_));
    let mut found = Vec::new();
    for_each_target(layout, section, Some(handles), |variable, index, reloc| {
        if !wanted.has(variable) || object.section_of(variable) == Some(section) && is_table {
            return;
        }
        let user = match is_table {
            true => user_of_row(layout, section, index, reloc.offset),
            false => user_at(layout, section, reloc.offset),
        };
        // What refers to itself, such as the head of a list, is not used by that.
        if user == Some(variable) {
            return;
        }
        let user = user.map_or(User::Section(section), User::Named);
        found.push(Use { variable, user, section, index: index as u32 });
    })?;
    Ok(found)
}

/// The function or variable at a place.
pub(in crate::diff) fn user_at<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    offset: u64,
) -> Option<SymbolId<S>> {
    let entity = layout.entity_at(section, offset)?;
    Some(layout.root(layout.entity(section, entity).symbol?))
}

/// The function whose code a row is about: that of the last place in the code before.
fn user_of_row<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    index: usize,
    offset: u64,
) -> Option<SymbolId<S>> {
    let object = layout.object;
    let (relocs, refs) = (object.relocs(section), Refs::new(layout, section));
    let before = (0..index).rev().map(|i| relocs.get(i));
    let mut row = before.take_while(|r| r.offset.saturating_add(ROW) > offset);
    let code = row.find(|r| object.section_of(r.symbol).is_some_and(|s| object.is_text(s)))?;
    let (home, at) = refs.place(&code).ok()??;
    user_at(layout, home, at)
}

/// How a variable is used at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::diff) struct Place {
    /// Who uses it, the same for twins.
    pub user: u64,
    /// Where in the user.
    pub offset: u64,
    /// Type of relocation.
    pub kind: u32,
    /// Its addend.
    pub addend: i64,
    /// Hash of the bytes before and behind it.
    pub around: u64,
}

/// How many bytes before and behind a reference are looked at.
const AROUND: u64 = 16;

impl<S: Side> Use<S> {
    fn reloc(&self, layout: &Layout<'_, S>) -> Reloc<S> {
        layout.object.relocs(self.section).get(self.index as usize)
    }

    /// Where it is.
    pub(in crate::diff) fn place(&self, layout: &Layout<'_, S>, user: u64) -> Place {
        let reloc = self.reloc(layout);
        let entity = layout.entity_at(self.section, reloc.offset);
        let span = entity.map(|i| layout.entity(self.section, i));
        let (start, end) = span.map_or((0, u64::MAX), |s| (s.start, s.end));
        let from = reloc.offset.saturating_sub(AROUND).max(start);
        let to = reloc.offset.saturating_add(AROUND).min(end);
        let around = layout.object.contents(self.section).get(from as usize..to as usize);
        let around = FixedState::default().hash_one(around);
        // The addend may count from the section, in which the variable may lie elsewhere.
        let value = layout.object.symbol_value(self.variable) as i64;
        let base = layout.object.symbol_value(reloc.symbol) as i64;
        let addend = reloc.addend.wrapping_add(base).wrapping_sub(value);
        Place { user, offset: reloc.offset - start, kind: reloc.kind, addend, around }
    }

    /// A hash of how it is used there: the instruction, and what is referred to by name before
    /// and behind.
    pub(super) fn manner(&self, layout: &Layout<'_, S>, user: u64) -> u64 {
        let object = layout.object;
        let relocs = object.relocs(self.section);
        let reloc = self.reloc(layout);
        let mut state = FixedState::default().build_hasher();
        state.write_u64(user);
        state.write_u32(reloc.kind);
        state.write_i64(self.place(layout, user).addend);
        state.write(self.instruction(layout, &reloc));
        let entity = layout.entity_at(self.section, reloc.offset);
        let span = entity.map(|i| layout.entity(self.section, i));
        let within = |r: &Reloc<S>| span.is_some_and(|s| s.start <= r.offset && r.offset < s.end);
        let index = self.index as usize;
        let before = (0..index).rev().map(|i| relocs.get(i)).take_while(within);
        let behind = (index + 1..relocs.len()).map(|i| relocs.get(i)).take_while(within);
        for name in [named(layout, before), named(layout, behind)] {
            names::hash_normal(name.unwrap_or(""), &mut state);
        }
        state.finish()
    }

    /// The bytes of the instruction that do not depend on where things are.
    fn instruction<'a>(&self, layout: &Layout<'a, S>, reloc: &Reloc<S>) -> &'a [u8] {
        if layout.class(self.section) != Class::Text {
            return &[];
        }
        let (from, to) = (layout.arch.opcode)(reloc.offset);
        let data = layout.object.contents(self.section);
        data.get(from as usize..to as usize).unwrap_or(&[])
    }
}

/// How many references away a name is looked for.
const NEAR: usize = 16;

/// The first thing with a name of its own, no static local, that relocations refer to.
fn named<'a, S: Side>(
    layout: &Layout<'a, S>,
    relocs: impl Iterator<Item = Reloc<S>>,
) -> Option<&'a str> {
    let object = layout.object;
    let tells = |id: SymbolId<S>| {
        matches!(object.symbol_kind(id), abi::STT_FUNC | abi::STT_OBJECT)
            && !layout.is_static_local(id)
            && !layout.is_label(id)
            || object.section_of(id).is_none() && id.index() != 0
    };
    let mut symbols = relocs.take(NEAR).map(|r| r.symbol);
    symbols.find(|&id| tells(id)).map(|id| object.symbol_name(id))
}
