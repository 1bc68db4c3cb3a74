//! Compares what references to the inside of things lead to.
//!
//! A name without a size, such as a label of assembly, says where something begins and no
//! more: two are the same when they are at the same place of their twins and what is there is
//! equal. The same holds for a reference to a function that leads behind its start.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::Comparer;
use super::entry::{bodies, marker_length};
use super::padding::ends_file;
use super::pair::Pair;
use super::places::is_inside_code;
use super::questions::{OpenQuestions, Question, QuestionKind};
use super::realigned::realigned_at;
use crate::diag::{Code, Error, Result};
use crate::diff::selection::Selection;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::layout::{Class, Entity, Layout};
use crate::kernel::refs::{Ref, Refs, RelocIn};

/// Whether two labels of one name are at the same place of the same thing. Assemblers number
/// labels: the name alone says nothing. Other symbols pass.
pub(super) fn same_label(
    comparer: &Comparer<'_>,
    (o_section, o): (SectionId<Orig>, SymbolId<Orig>),
    (p_section, p): (SectionId<Patched>, SymbolId<Patched>),
) -> bool {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    if !orig.is_label(o) && !patched.is_label(p) {
        return true;
    }
    let (from, to) = (orig.object.symbol_value(o), patched.object.symbol_value(p));
    let (Some(a), Some(b)) = (orig.entity_at(o_section, from), patched.entity_at(p_section, to))
    else {
        return from == to && comparer.twins.patched_section(o_section) == Some(p_section);
    };
    let (a, b) = (orig.entity(o_section, a), patched.entity(p_section, b));
    let one = match (a.symbol, b.symbol) {
        (Some(a), Some(b)) => comparer.twins.are_twins(a, b),
        (None, None) => comparer.twins.patched_section(o_section) == Some(p_section),
        _ => false,
    };
    let same = match realigned_at(comparer, (o_section, from), (p_section, to)) {
        Some(realigned) => realigned.meets(from, to),
        None => from - a.start == to - b.start,
    };
    one && same
}

/// Whether a reference may need a look at what is at the place it leads to, although it
/// names its target.
pub(super) fn leads_inside(pair: &Pair<'_>, symbol: SymbolId<Patched>, addend: i64) -> bool {
    is_inside_code(pair, symbol, addend) || is_bare(pair.patched.layout, symbol)
}

/// Whether what is at the places of two references to twins is the same.
pub(super) fn same_inside(
    comparer: &Comparer<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
    target: Ref<Patched>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    if !leads_inside(comparer, target.symbol, target.addend) {
        return Ok(true);
    }
    let (Some(from), Some(to)) = (o_refs.place(o)?, p_refs.place(p)?) else {
        return Ok(true);
    };
    same_behind(comparer, from, to, target.symbol, (p_refs.base(), p.offset), open)
}

/// Whether what is at two places is the same; `symbol` is what a reference at `base` names.
fn same_behind(
    comparer: &Comparer<'_>,
    from: (SectionId<Orig>, u64),
    to: (SectionId<Patched>, u64),
    symbol: SymbolId<Patched>,
    base: (SectionId<Patched>, u64),
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let start = patched.object.symbol_value(symbol);
    let head = start..=start.saturating_add(marker_length(patched, symbol));
    if head.contains(&to.1) && !is_bare(patched, symbol) {
        return Ok(true);
    }
    if patched.object.is_text(to.0) && orig.object.is_text(from.0) {
        return same_code(comparer, from, to, base, open);
    }
    let constant = |flags: u64| flags & abi::SHF_WRITE == 0;
    let by_content = orig.is_nameless(from.0)
        && patched.is_nameless(to.0)
        && constant(orig.object.section_flags(from.0))
        && constant(patched.object.section_flags(to.0));
    if !by_content {
        return Ok(true);
    }
    let twin = comparer.twins.orig_symbol(symbol);
    if twin.is_some_and(|twin| ends_file(orig, twin, from)) && ends_file(patched, symbol, to) {
        return Ok(true);
    }
    let (o, p) = ((from.0, from.1.cast_signed()), (to.0, to.1.cast_signed()));
    comparer.ask(Question { o, p, kind: QuestionKind::Nameless }, open)
}

/// Whether two places in code are the same place of the same code. A reference of a
/// function to itself, or to a part of itself, is compared with that function.
fn same_code(
    comparer: &Comparer<'_>,
    (o, o_at): (SectionId<Orig>, u64),
    (p, p_at): (SectionId<Patched>, u64),
    (base, offset): (SectionId<Patched>, u64),
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let (Some(before), Some(after)) = (entity_of(orig, o, o_at), entity_of(patched, p, p_at))
    else {
        return Ok(o_at.wrapping_sub(orig.object.section_size(o))
            == p_at.wrapping_sub(patched.object.section_size(p)));
    };
    let from = entity_of(patched, base, offset);
    let root = |entity: &Entity<Patched>| entity.symbol.map(|id| patched.root(id));
    let own = from.as_ref().is_some_and(|from| {
        (from.section, from.start) == (after.section, after.start)
            || root(from).is_some() && root(from) == root(&after)
    });
    // What only references find belongs to the function that it jumps back to.
    let nameless = from.is_none_or(|from| from.symbol.is_none())
        && (patched.class(base) != Class::Text || patched.keeps_section_symbol(base));
    if own || nameless {
        return Ok(true);
    }
    let starts = bodies(comparer, &before, &after)
        .map_or((before.start, after.start), |bodies| (bodies.spans.o_start, bodies.spans.p_start));
    let same = match realigned_at(comparer, (o, o_at), (p, p_at)) {
        Some(realigned) => realigned.meets(o_at, p_at),
        None => o_at.wrapping_sub(starts.0) == p_at.wrapping_sub(starts.1),
    };
    if !same {
        return Ok(false);
    }
    comparer.ask(Question::entities(&before, &after), open)
}

/// Fails when the patch refers to a label of the running kernel, behind which the kernel has
/// something else than the patched object, or carries only a part of what is behind one.
pub fn check_labels(comparer: &Comparer<'_>, selection: &Selection) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    for &base in object.relocated().iter().filter(|&&base| selection.sections[base]) {
        if !matches!(layout.class(base), Class::Text | Class::Data) {
            continue;
        }
        let refs = Refs::new(layout, base);
        for reloc in object.relocs(base).iter().filter(|r| selection.has(base, r.offset)) {
            let target = refs.resolve(&reloc)?;
            if !leads_inside(comparer, target.symbol, target.addend) {
                continue;
            }
            let Some(what) = misses(comparer, selection, &refs, &reloc, target.symbol)? else {
                continue;
            };
            let (section, label) = (object.section_name(base), object.symbol_name(target.symbol));
            let text = format!("{section} of the patch needs what follows {label}: {what}");
            return Err(Error::refused(Code::LabelContent, text)
                .in_file(object.file())
                .in_section(section)
                .at_symbol(label)
                .at_offset(reloc.offset)
                .advise(
                    "define it with a type and a size (in assembly .type and .size), or give \
                     the patched code a table of its own under another name",
                ));
        }
    }
    Ok(())
}

/// Why a reference of the patch does not lead to what the patched object has there; `None`
/// when all of it is carried, or the running kernel has the same.
fn misses(
    comparer: &Comparer<'_>,
    selection: &Selection,
    refs: &Refs<'_, Patched>,
    reloc: &Reloc<Patched>,
    symbol: SymbolId<Patched>,
) -> Result<Option<&'static str>> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let Some(to) = refs.place(reloc)? else { return Ok(None) };
    let twin = comparer.twins.orig_symbol(symbol);
    if selection.has_symbol(patched.object, symbol) {
        if !is_bare(patched, symbol) || !patched.is_nameless(to.0) {
            return Ok(None);
        }
        if twin.is_some() && !patched.is_local(symbol) {
            return Ok(Some("other objects go on with what the kernel has under that name"));
        }
        let (_, end) = comparer.patched.anonymous.extent(patched, to.0, to.1);
        let whole = end <= to.1 || selection.has(to.0, end - 1);
        return Ok((!whole).then_some("it is carried in part, and nothing says where it ends"));
    }
    let Some((home, twin)) = twin.and_then(|t| Some((orig.object.section_of(t)?, t))) else {
        return Ok(None);
    };
    let ahead = to.1.wrapping_sub(patched.object.symbol_value(symbol));
    let from = (home, orig.object.symbol_value(twin).wrapping_add(ahead));
    let base = (refs.base(), reloc.offset);
    let same = same_behind(comparer, from, to, symbol, base, &mut OpenQuestions::new())?;
    Ok((!same).then_some("the running kernel has something else there"))
}

/// Whether a symbol that is defined here says nothing but where something begins.
fn is_bare<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    let object = layout.object;
    object.symbol_kind(id) == abi::STT_NOTYPE
        && object.symbol_size(id) == 0
        && object.section_of(id).is_some()
        && !layout.is_label(id)
}

/// The entity that holds byte `at` of a section.
fn entity_of<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, at: u64) -> Option<Entity<S>> {
    let entity = layout.entity(section, layout.entity_at(section, at)?);
    (entity.start..entity.end).contains(&at).then_some(entity)
}
