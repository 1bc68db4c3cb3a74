//! Variables that code reaches by their distance from others.
//!
//! With `-fsection-anchors`, which gcc has for aarch64, powerpc64 and s390x, code takes one
//! address in a section of data and counts from there: no reference names the variable that is
//! meant. A reference to such a section means all of it, as it is laid out, so a patch can only
//! refer to the kernel's when nothing in it moved or changed, and cannot carry a part of it.

use std::collections::BTreeSet;

use super::compare::Comparer;
use super::selection::Selection;
use crate::arch::displacement;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::sections;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::names;
use crate::kernel::refs::Refs;

/// Fails when the patch refers to, or carries a part of, data that code reaches by distances and
/// that is laid out in another way than in the running kernel, or when a constant in such data
/// changed.
pub fn check_anchors(comparer: &Comparer<'_, '_, '_, '_>, selection: &Selection) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    // Of what was linked from several files, each has anchors of its own.
    if layout.arch.names_globals || layout.is_linked() {
        return Ok(());
    }
    for section in anchored(layout)? {
        let carried = |base: SectionId<Patched>, at: u64| selection.has(base, at);
        let user = counting_user(layout, section, &carried)?;
        let why = match comparer.moved_among(section) {
            Some(name) if user.is_some() => format!("{name} is not where it is in the original"),
            _ if user.is_some() && selection.sections[section] => {
                "the patch carries a part of it".to_owned()
            }
            _ => match comparer.changed_constant(section) {
                Some(name) if counting_user(layout, section, &|_, _| true)?.is_some() => {
                    format!("{name} changed")
                }
                _ => continue,
            },
        };
        let name = object.section_name(section);
        let text = format!("code reaches variables of {name} by their distance, and {why}");
        let error = Error::refused(Code::SectionAnchors, text)
            .in_file(object.file())
            .in_section(name)
            .advise(
                "compile both objects with -fno-section-anchors, or with -fdata-sections, so that \
                 each variable is referred to by itself",
            );
        return Err(match user {
            Some(user) => error.at_symbol(object.symbol_name(user)),
            None => error,
        });
    }
    Ok(())
}

/// Sections of several variables that code reaches by distances, or may. One of them, which no
/// other file can name, has no reference: it would not be there if no code reached it otherwise.
/// Or code refers to one that other files can name, but by the section, as nobody writes it. Or
/// it refers to the first of them, from which gcc counts, and adds a number that leads to another.
fn anchored(layout: &Layout<'_, '_, Patched>) -> Result<Vec<SectionId<Patched>>> {
    let object = layout.object;
    let shared = |id: &SectionId<Patched>| {
        layout.class(*id) == Class::Data
            && layout.is_ordinary(*id)
            && object.section_flags(*id) & abi::SHF_ALLOC != 0
            && variables(layout, *id).nth(1).is_some()
    };
    let candidates: Vec<SectionId<Patched>> = object.sections().filter(shared).collect();
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let mut hit: BTreeSet<SymbolId<Patched>> = BTreeSet::new();
    let mut by_code: BTreeSet<SectionId<Patched>> = BTreeSet::new();
    let by_clang = is_by_clang(layout);
    let mut by_section: BTreeSet<SectionId<Patched>> = BTreeSet::new();
    for &base in object.relocated() {
        if matches!(layout.class(base), Class::Debug | Class::Noise(_)) {
            continue;
        }
        let refs = Refs::new(layout, base);
        for reloc in object.relocs(base).iter() {
            let Some((section, at)) = refs.place(&reloc)? else { continue };
            if !candidates.contains(&section) {
                continue;
            }
            let meant: Vec<_> = covering(layout, section, at).collect();
            if layout.class(base) == Class::Text {
                by_code.insert(section);
                let unnamed = object.symbol_bind(reloc.symbol) == abi::STB_LOCAL
                    && !meant.contains(&reloc.symbol);
                let global = !meant.is_empty() && !meant.iter().any(|&id| layout.is_local(id));
                let first = || {
                    !by_clang
                        && variables(layout, section).all(|id| at <= object.symbol_value(id))
                        && meant.iter().any(|&id| counts_beyond(layout, base, &reloc, (id, at)))
                };
                if unnamed && (global || first()) {
                    by_section.insert(section);
                }
            }
            hit.extend(meant);
        }
    }
    let missed = |id: &SectionId<Patched>| {
        variables(layout, *id).any(|v| layout.is_local(v) && !hit.contains(&v))
    };
    let anchored =
        |id: &SectionId<Patched>| by_section.contains(id) || by_code.contains(id) && missed(id);
    Ok(candidates.into_iter().filter(anchored).collect())
}

/// Whether an object says that LLVM compiled it and nothing else. Where that takes variables
/// together, it refers to none of them by itself.
fn is_by_clang(layout: &Layout<'_, '_, Patched>) -> bool {
    let object = layout.object;
    let comments = object.sections().find(|&id| object.section_name(id) == sections::COMMENT);
    let text = comments.map_or(&[][..], |id| object.contents(id));
    let mut makers = text.split(|&b| b == 0).filter(|maker| !maker.is_empty()).peekable();
    let is_clang = |maker: &[u8]| maker.windows(5).any(|word| word == b"clang");
    makers.peek().is_some() && makers.all(is_clang)
}

/// Whether the function that has a reference to byte `from` of a section, in a variable, adds a
/// number somewhere that leads from there to something else of the section.
fn counts_beyond(
    layout: &Layout<'_, '_, Patched>,
    base: SectionId<Patched>,
    reloc: &Reloc<Patched>,
    (variable, from): (SymbolId<Patched>, u64),
) -> bool {
    let object = layout.object;
    let size = object.section_of(variable).map_or(0, |home| object.section_size(home));
    let start = object.symbol_value(variable);
    let end = start.saturating_add(object.symbol_size(variable));
    let Some(index) = layout.entity_at(base, reloc.offset) else { return true };
    let entity = layout.entity(base, index);
    let code = object.contents(base);
    let code = code.get(..entity.end as usize).unwrap_or(code);
    let named = entity.symbol.map_or(entity.start, |id| object.symbol_value(id));
    let mut at = named.max(entity.start);
    while at < code.len() as u64 {
        let rest = code.get(at as usize..).unwrap_or(&[]);
        let Some(length) = (layout.arch.instruction_len)(rest).filter(|&length| length > 0) else {
            return true;
        };
        let bare = object.relocs(base).within(at, at + length as u64).next().is_none();
        let added = displacement(layout.arch, code, at).filter(|_| bare);
        let to = added.and_then(|n| from.checked_add_signed(n));
        if to.is_some_and(|to| to < size && !(start..end).contains(&to)) {
            return true;
        }
        at += length as u64;
    }
    false
}

/// The variables of a section.
fn variables<'l, S: Side>(
    layout: &'l Layout<'_, '_, S>,
    section: SectionId<S>,
) -> impl Iterator<Item = SymbolId<S>> + 'l {
    let object = layout.object;
    object
        .members(section)
        .iter()
        .copied()
        .filter(|&id| object.symbol_kind(id) == abi::STT_OBJECT && object.symbol_size(id) > 0)
}

/// A function, of those wanted, that refers to a variable of a section and may count from there
/// to another one.
fn counting_user(
    layout: &Layout<'_, '_, Patched>,
    section: SectionId<Patched>,
    wanted: &dyn Fn(SectionId<Patched>, u64) -> bool,
) -> Result<Option<SymbolId<Patched>>> {
    let object = layout.object;
    for &base in object.relocated() {
        if layout.class(base) != Class::Text {
            continue;
        }
        let refs = Refs::new(layout, base);
        for reloc in object.relocs(base).iter().filter(|r| wanted(base, r.offset)) {
            let Some((_, at)) = refs.place(&reloc)?.filter(|&(home, _)| home == section) else {
                continue;
            };
            let mut meant = covering(layout, section, at).peekable();
            let known = meant.peek().is_some();
            if !known || meant.any(|id| counts_beyond(layout, base, &reloc, (id, at))) {
                let user = layout.entity_at(base, reloc.offset);
                return Ok(user.and_then(|i| layout.entity(base, i).symbol));
            }
        }
    }
    Ok(None)
}

/// The variables of a section that hold a byte.
fn covering<'l>(
    layout: &'l Layout<'_, '_, Patched>,
    section: SectionId<Patched>,
    at: u64,
) -> impl Iterator<Item = SymbolId<Patched>> + 'l {
    variables(layout, section).filter(move |&id| {
        let start = layout.object.symbol_value(id);
        start <= at && at - start < layout.object.symbol_size(id)
    })
}

impl Comparer<'_, '_, '_, '_> {
    /// The first variable of a section that is not at the place, or not of the size, that the
    /// original has for it; also one that is new or gone.
    fn moved_among(&self, section: SectionId<Patched>) -> Option<&str> {
        let (orig, patched) = (self.orig.layout, self.patched.layout);
        let mut before: Vec<SymbolId<Orig>> = self
            .twins
            .orig_section(section)
            .map_or_else(Vec::new, |t| variables(orig, t).collect());
        let mut after: Vec<SymbolId<Patched>> = variables(patched, section).collect();
        before.sort_by_key(|&id| orig.object.symbol_value(id));
        after.sort_by_key(|&id| patched.object.symbol_value(id));
        let same = |o: SymbolId<Orig>, p: SymbolId<Patched>| {
            let names = (orig.object.symbol_name(o), patched.object.symbol_name(p));
            orig.object.symbol_value(o) == patched.object.symbol_value(p)
                && orig.object.symbol_size(o) == patched.object.symbol_size(p)
                && (self.twins.are_twins(o, p) || names::same(names.0, names.1))
        };
        let at = before.iter().zip(&after).position(|(&o, &p)| !same(o, p));
        let at =
            at.or_else(|| (before.len() != after.len()).then_some(before.len().min(after.len())))?;
        let name = after.get(at).map(|&id| patched.object.symbol_name(id));
        name.or_else(|| before.get(at).map(|&id| orig.object.symbol_name(id)))
    }

    /// A constant of a section that differs from that of the original at its place.
    fn changed_constant(&self, section: SectionId<Patched>) -> Option<&str> {
        let (orig, patched) = (self.orig.layout, self.patched.layout);
        if patched.object.section_flags(section) & abi::SHF_WRITE != 0 {
            return None;
        }
        let twin = self.twins.orig_section(section)?;
        let bytes = |data: &[u8], start: u64, size: u64| {
            data.get(start as usize..start.saturating_add(size) as usize).map(<[u8]>::to_vec)
        };
        let differs = |&id: &SymbolId<Patched>| {
            let (start, size) = (patched.object.symbol_value(id), patched.object.symbol_size(id));
            let now = bytes(patched.object.contents(section), start, size);
            now != bytes(orig.object.contents(twin), start, size)
        };
        let mut all = variables(patched, section);
        all.find(differs).map(|id| patched.object.symbol_name(id))
    }
}
