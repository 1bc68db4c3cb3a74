//! Variables that code reaches by their distance from others.
//!
//! With `-fsection-anchors`, which gcc has for aarch64, powerpc64 and s390x, code takes one
//! address in a section of data and counts from there: no reference names the variable that is
//! meant. A reference to such a section means all of it, as it is laid out, so a patch can only
//! refer to the kernel's when nothing in it moved or changed, and cannot carry a part of it.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use std::collections::BTreeSet;

use super::counted::{Counting, Shared, reached, unit};
use crate::diag::{Code, Error, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::pair::Pair;
use crate::diff::selection::Selection;
use crate::diff::verdict::Verdicts;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::sections;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;

/// Fails when the patch refers to, or carries a part of, data that code reaches by distances and
/// that is laid out in another way than in the running kernel, or when a constant in such data
/// changed. Fails, too, where a function counts to something else than in the original.
pub fn check_anchors(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    selection: &Selection,
) -> Result<()> {
    let layout = comparer.patched.layout;
    if layout.arch.names_globals {
        return Ok(());
    }
    let shared = Shared::new(layout);
    if shared.is_empty() {
        return Ok(());
    }
    let anchored = anchored(layout, &shared)?;
    // Of what was linked from several files, each has anchors of its own: only what functions
    // really count to is looked at.
    if !layout.is_linked() {
        let meant =
            |&id: &SectionId<Patched>| anchored.has(id, None) && !is_whole(comparer, selection, id);
        for section in shared.sections().filter(meant) {
            check_section(comparer, &shared, section, selection)?;
        }
    }
    if anchored.parts.is_empty() && anchored.functions.is_empty() {
        return Ok(());
    }
    check_counting(comparer, verdicts, selection, &shared, &anchored)
}

fn check_section(
    comparer: &Comparer<'_>,
    shared: &Shared<Patched>,
    section: SectionId<Patched>,
    selection: &Selection,
) -> Result<()> {
    let layout = comparer.patched.layout;
    let carried = |base: SectionId<Patched>, at: u64| selection.has(base, at);
    let user = counting_user(layout, shared, section, &carried)?;
    let why = match moved_among(comparer, section) {
        Some(name) if user.is_some() => format!("{name} is not where it is in the original"),
        _ if user.is_some() && selection.sections[section] => {
            "the patch carries a part of it".to_owned()
        }
        _ => match changed_constant(comparer, section) {
            Some(name) if counting_user(layout, shared, section, &|_, _| true)?.is_some() => {
                format!("{name} changed")
            }
            _ => return Ok(()),
        },
    };
    Err(refused(layout, section, user, &why))
}

fn refused(
    layout: &Layout<'_, Patched>,
    section: SectionId<Patched>,
    user: Option<SymbolId<Patched>>,
    why: &str,
) -> Error {
    let object = layout.object;
    let name = object.section_name(section);
    let text = format!("code reaches variables of {name} by their distance, and {why}");
    let error =
        Error::refused(Code::SectionAnchors, text).in_file(object.file()).in_section(name).advise(
            "compile both objects with -fno-section-anchors, or with -fdata-sections, so that \
             each variable is referred to by itself",
        );
    match user {
        Some(user) => error.at_symbol(object.symbol_name(user)),
        None => error,
    }
}

/// Where variables are reached by distances, or may be.
#[derive(Debug, Default)]
struct Anchored {
    /// Sections, with the file whose part of it is meant in linked objects.
    parts: BTreeSet<(SectionId<Patched>, Option<usize>)>,
    /// Functions of which it is known: section and number of the entity.
    functions: BTreeSet<(SectionId<Patched>, usize)>,
}

impl Anchored {
    fn has(&self, section: SectionId<Patched>, file: Option<usize>) -> bool {
        self.parts.contains(&(section, file))
    }
}

/// Sections of several variables that code reaches by distances, or may. One of them, which no
/// other file can name, has no reference: it would not be there if no code reached it otherwise.
/// Or code refers to one that other files can name, but by the section, as nobody writes it. Or
/// it refers to the first of them, from which gcc counts, and adds a number that leads to another.
fn anchored(layout: &Layout<'_, Patched>, shared: &Shared<Patched>) -> Result<Anchored> {
    let object = layout.object;
    let mut found = Anchored::default();
    let mut hit: BTreeSet<SymbolId<Patched>> = BTreeSet::new();
    let mut by_code: BTreeSet<SectionId<Patched>> = BTreeSet::new();
    let by_clang = is_by_clang(layout);
    for &base in object.relocated() {
        if matches!(layout.class(base), Class::Debug | Class::Noise(_)) {
            continue;
        }
        let is_code = layout.class(base) == Class::Text;
        let (refs, mut counting) = (Refs::new(layout, base), Counting::new(layout, base));
        for reloc in object.relocs(base).iter() {
            let Some((section, at, symbol)) = reached(layout, &refs, &reloc)? else { continue };
            if !shared.has(section) {
                continue;
            }
            let meant = shared.covering(section, at);
            hit.extend(meant.iter().copied());
            if !is_code {
                continue;
            }
            by_code.insert(section);
            let unnamed = object.symbol_bind(symbol) == abi::STB_LOCAL && !meant.contains(&symbol);
            if !unnamed {
                continue;
            }
            let global = !meant.is_empty() && !meant.iter().any(|&id| layout.is_local(id));
            if global && !layout.is_linked() {
                found.parts.insert((section, None));
            } else if global && let Some(index) = layout.entity_at(base, reloc.offset) {
                found.functions.insert((base, index));
            }
            let first = |&&id: &&SymbolId<Patched>| {
                !by_clang
                    && shared.is_first(layout, section, id, at)
                    && counting.leads(shared, (section, id), (reloc.offset, at)).next().is_some()
            };
            if let Some(&id) = meant.iter().find(first) {
                found.parts.insert((section, unit(layout, id)));
            }
        }
    }
    for section in shared.sections().filter(|id| by_code.contains(id)) {
        let missed = |id: &SymbolId<Patched>| layout.is_local(*id) && !hit.contains(id);
        let units = shared.variables(section).filter(missed).map(|id| unit(layout, id));
        found.parts.extend(units.map(|unit| (section, unit)));
    }
    Ok(found)
}

/// Whether an object says that LLVM compiled it and nothing else. Where that takes variables
/// together, it refers to none of them by itself.
fn is_by_clang(layout: &Layout<'_, Patched>) -> bool {
    let object = layout.object;
    let comments = object.sections().find(|&id| object.section_name(id) == sections::COMMENT);
    let text = comments.map_or(&[][..], |id| object.contents(id));
    let mut makers = text.split(|&b| b == 0).filter(|maker| !maker.is_empty()).peekable();
    let is_clang = |maker: &[u8]| maker.windows(5).any(|word| word == b"clang");
    makers.peek().is_some() && makers.all(is_clang)
}

/// A function, of those wanted, that refers to a variable of a section and may count from there
/// to another one.
fn counting_user(
    layout: &Layout<'_, Patched>,
    shared: &Shared<Patched>,
    section: SectionId<Patched>,
    wanted: &dyn Fn(SectionId<Patched>, u64) -> bool,
) -> Result<Option<SymbolId<Patched>>> {
    let object = layout.object;
    for &base in object.relocated() {
        if layout.class(base) != Class::Text {
            continue;
        }
        let (refs, mut counting) = (Refs::new(layout, base), Counting::new(layout, base));
        for reloc in object.relocs(base).iter().filter(|r| wanted(base, r.offset)) {
            let Some((_, at, _)) =
                reached(layout, &refs, &reloc)?.filter(|found| found.0 == section)
            else {
                continue;
            };
            let meant = shared.covering(section, at);
            let mut counts = |&id: &SymbolId<Patched>| {
                counting.leads(shared, (section, id), (reloc.offset, at)).next().is_some()
            };
            if meant.is_empty() || meant.iter().any(&mut counts) {
                let user = layout.entity_at(base, reloc.offset);
                return Ok(user.and_then(|i| layout.entity(base, i).symbol));
            }
        }
    }
    Ok(None)
}

/// Fails where a function counts, from a variable that it refers to, to another one that lies
/// elsewhere in the original, that differs, or that the patch has a copy of.
fn check_counting(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    selection: &Selection,
    shared: &Shared<Patched>,
    anchored: &Anchored,
) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let before = Shared::new(comparer.orig.layout);
    for &base in object.relocated() {
        if layout.class(base) != Class::Text {
            continue;
        }
        let (refs, mut counting) = (Refs::new(layout, base), Counting::new(layout, base));
        for reloc in object.relocs(base).iter() {
            let Some((section, at, _)) = reached(layout, &refs, &reloc)? else { continue };
            if !shared.has(section) || is_whole(comparer, selection, section) {
                continue;
            }
            let index = layout.entity_at(base, reloc.offset);
            for from in shared.covering(section, at) {
                let known = index.is_some_and(|i| anchored.functions.contains(&(base, i)));
                if !known && !anchored.has(section, unit(layout, from)) {
                    continue;
                }
                for (to, meant) in counting.leads(shared, (section, from), (reloc.offset, at)) {
                    let carried = selection.has(base, reloc.offset)
                        && [at, to].iter().any(|&at| selection.has(section, at));
                    let name = || object.symbol_name(meant);
                    let why = match () {
                        () if !keeps_distance(
                            comparer,
                            &before,
                            (section, from),
                            at,
                            (to, meant),
                        ) =>
                        {
                            format!("{} is not where it is in the original", name())
                        }
                        () if carried => "the patch carries a part of it".to_owned(),
                        () if is_changed_constant(layout, verdicts, section, to) => {
                            format!("{} changed", name())
                        }
                        () => continue,
                    };
                    let user = index.and_then(|i| layout.entity(base, i).symbol);
                    return Err(refused(layout, section, user, &why));
                }
            }
        }
    }
    Ok(())
}

/// Whether the patch has a copy of all of a section, so that distances in it are kept.
fn is_whole(comparer: &Comparer<'_>, selection: &Selection, section: SectionId<Patched>) -> bool {
    comparer.policy.whole_sections && selection.sections[section]
}

fn is_changed_constant(
    layout: &Layout<'_, Patched>,
    verdicts: &Verdicts,
    section: SectionId<Patched>,
    at: u64,
) -> bool {
    layout.object.section_flags(section) & abi::SHF_WRITE == 0
        && layout.entity_at(section, at).is_some_and(|i| !verdicts.entity(section, i).is_same())
}

/// The variables of a section.
fn variables<'l, S: Side>(
    layout: &'l Layout<'_, S>,
    section: SectionId<S>,
) -> impl Iterator<Item = SymbolId<S>> + 'l {
    let object = layout.object;
    object
        .members(section)
        .iter()
        .copied()
        .filter(|&id| object.symbol_kind(id) == abi::STT_OBJECT && object.symbol_size(id) > 0)
}

/// Whether what lies at byte `to` of a section, in variable `meant`, is as far from byte
/// `at`, in variable `from`, as the original has it. Of what macros define once per use, one
/// is as good as the other.
fn keeps_distance(
    pair: &Pair<'_>,
    before: &Shared<Orig>,
    (section, from): (SectionId<Patched>, SymbolId<Patched>),
    at: u64,
    (to, meant): (u64, SymbolId<Patched>),
) -> bool {
    let (orig, patched) = (pair.orig.layout.object, pair.patched.layout.object);
    let Some(home) = pair.twins.orig_section(section) else { return false };
    let is_there = |id: SymbolId<Patched>, inside: u64, at: u64| {
        let inside = inside.wrapping_sub(patched.symbol_value(id));
        before.covering(home, at).into_iter().any(|o| {
            let same = match pair.twins.orig_symbol(id) {
                Some(twin) => o == twin,
                None => {
                    pair.twins.patched_symbol(o).is_none()
                        && names::same(orig.symbol_name(o), patched.symbol_name(id))
                }
            };
            same && at - orig.symbol_value(o) == inside
        })
    };
    let o_at = match pair.twins.orig_symbol(from) {
        Some(twin) => {
            orig.symbol_value(twin).wrapping_add(at.wrapping_sub(patched.symbol_value(from)))
        }
        None => at,
    };
    is_there(from, at, o_at) && is_there(meant, to, o_at.wrapping_add(to.wrapping_sub(at)))
}

/// The first variable of a section that is not at the place, or not of the size, that the
/// original has for it; also one that is new or gone.
fn moved_among<'a>(pair: &Pair<'a>, section: SectionId<Patched>) -> Option<&'a str> {
    let (orig, patched) = (pair.orig.layout, pair.patched.layout);
    let mut before: Vec<SymbolId<Orig>> =
        pair.twins.orig_section(section).map_or_else(Vec::new, |t| variables(orig, t).collect());
    let mut after: Vec<SymbolId<Patched>> = variables(patched, section).collect();
    before.sort_by_key(|&id| orig.object.symbol_value(id));
    after.sort_by_key(|&id| patched.object.symbol_value(id));
    let same = |o: SymbolId<Orig>, p: SymbolId<Patched>| {
        let names = (orig.object.symbol_name(o), patched.object.symbol_name(p));
        orig.object.symbol_value(o) == patched.object.symbol_value(p)
            && orig.object.symbol_size(o) == patched.object.symbol_size(p)
            && (pair.twins.are_twins(o, p) || names::same(names.0, names.1))
    };
    let at = before.iter().zip(&after).position(|(&o, &p)| !same(o, p));
    let at =
        at.or_else(|| (before.len() != after.len()).then_some(before.len().min(after.len())))?;
    let name = after.get(at).map(|&id| patched.object.symbol_name(id));
    name.or_else(|| before.get(at).map(|&id| orig.object.symbol_name(id)))
}

/// A constant of a section that differs from that of the original at its place.
fn changed_constant<'a>(pair: &Pair<'a>, section: SectionId<Patched>) -> Option<&'a str> {
    let (orig, patched) = (pair.orig.layout, pair.patched.layout);
    if patched.object.section_flags(section) & abi::SHF_WRITE != 0 {
        return None;
    }
    let twin = pair.twins.orig_section(section)?;
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
