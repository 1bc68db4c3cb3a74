//! Compares what references mean: named things by their twins, nameless ones by content.

use super::comparer::Comparer;
use super::constants::{same_constant, same_copy};
use super::counterpart::{same_kind, same_symbol};
use super::labels::{leads_inside, same_inside, same_label};
use super::live_state::note_state;
use super::pair::Pair;
use super::places::same_place;
use super::questions::{OpenQuestions, Question, QuestionKind};
use super::realigned::realigned_at;
use super::row_pair::{is_in_table, same_row};
use super::spans::fixed;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::{Home, Reloc};
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::symbols;
use crate::kernel::layout::Layout;
use crate::kernel::refs::{Effective, Refs, RelocIn};

/// Whether two instructions read the same from constants without names, at places that they
/// give: not more than that many bytes, whatever lies behind these.
fn same_read(
    pair: &Pair<'_>,
    (o_refs, o, (o_section, o_at)): Read<'_, Orig>,
    (p_refs, p, (p_section, p_at)): Read<'_, Patched>,
) -> Result<bool> {
    let (Some(size), Some(p_size)) = (o_refs.direct_read(o)?, p_refs.direct_read(p)?) else {
        return Ok(false);
    };
    let before = constant(pair.orig.layout, o_section, o_at, size);
    let after = constant(pair.patched.layout, p_section, p_at, p_size);
    Ok(before.is_some() && before == after)
}

/// A relocation with who resolves it, and the section and offset that it leads to.
type Read<'a, S> = (&'a Refs<'a, S>, &'a Reloc<S>, (SectionId<S>, i64));

/// Bytes of read-only data that no relocation changes.
fn constant<'a, S: Side>(
    layout: &Layout<'a, S>,
    section: SectionId<S>,
    at: i64,
    size: u64,
) -> Option<&'a [u8]> {
    let start = u64::try_from(at).ok()?;
    let readable = layout.object.section_flags(section) & abi::SHF_WRITE == 0;
    fixed(layout, section, start, start.checked_add(size)?).filter(|_| readable)
}

/// Whether two relocations of the same type at the same place mean the same.
pub(super) fn same_reference(
    comparer: &Comparer<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    match (o_refs.effective(o)?, p_refs.effective(p)?) {
        (Effective::Constant(a), Effective::Constant(b)) => Ok(a == b),
        (Effective::Reloc(o_base, o), Effective::Reloc(p_base, p)) => {
            if o_base == o_refs.base() && p_base == p_refs.base() {
                return same_target(comparer, (o_refs, &o), (p_refs, &p), open);
            }
            // The one may be what it refers to, the other a slot that holds it; and the type of
            // a slot's relocation says what the slot holds.
            let both = o_base != o_refs.base() && p_base != p_refs.base();
            if !both || !same_kind(comparer, &o, &p) {
                return Ok(false);
            }
            let o_refs = Refs::new(comparer.orig.layout, o_base);
            let p_refs = Refs::new(comparer.patched.layout, p_base);
            same_target(comparer, (&o_refs, &o), (&p_refs, &p), open)
        }
        _ => Ok(false),
    }
}

fn same_target(
    comparer: &Comparer<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    // A relocation without effect, such as the NOP form of an ftrace site, still counts
    // by name: it says what the place is.
    if o_refs.leaves_string(o)? || p_refs.leaves_string(p)? {
        return same_among_strings(comparer, (o_refs, o), (p_refs, p));
    }
    if let Some(b) = p_refs.string(p)? {
        return Ok(o_refs.string(o)? == Some(b));
    }
    // The common case needs no look at the code: the same named thing, the same addend.
    if o.addend == p.addend
        && comparer.twins.are_twins(o.symbol, p.symbol)
        && !leads_inside(comparer, p.symbol, p.addend)
        && !is_in_table(comparer, p.symbol)
        && !is_section_of_constants(patched, p.symbol)
    {
        return Ok(same_value(comparer, o.symbol, p.symbol));
    }
    let a = o_refs.resolve(o)?;
    let b = p_refs.resolve(p)?;
    let (Home::Section(o_section), Home::Section(p_section)) =
        (orig.object.home(a.symbol), patched.object.home(b.symbol))
    else {
        // What this object defines is not what another one does, whatever its name.
        let moved = orig.object.section_of(a.symbol).is_some()
            != patched.object.section_of(b.symbol).is_some();
        let same = match moved {
            true => comparer.twins.are_twins(a.symbol, b.symbol),
            false => same_symbol(comparer, a.symbol, b.symbol),
        };
        return Ok(a.addend == b.addend && same && same_value(comparer, a.symbol, b.symbol));
    };
    if is_in_table(comparer, b.symbol)
        && let Some(same) = same_row(comparer, (o_refs, o), (p_refs, p), open)?
    {
        return Ok(same);
    }
    if comparer.twins.are_twins(a.symbol, b.symbol) && !is_section_symbol(patched, b.symbol) {
        return Ok(same_place(comparer, (o_refs, o, a), (p_refs, p, b))?
            && same_inside(comparer, (o_refs, o), (p_refs, p), b, open)?);
    }
    if orig.is_nameless(o_section)
        && patched.is_nameless(p_section)
        && let Some(same) =
            same_nameless(comparer, (o_refs, o, o_section), (p_refs, p, p_section, b.symbol), open)?
    {
        return Ok(same);
    }
    if is_section_symbol(orig, a.symbol) && is_section_symbol(patched, b.symbol) {
        let same_section = comparer.twins.patched_section(o_section) == Some(p_section)
            || comparer.twins.orig_section(p_section).is_none()
                && names::same(
                    orig.object.section_name(o_section),
                    patched.object.section_name(p_section),
                );
        let places = o_refs.place(o)?.zip(p_refs.place(p)?);
        let realigned = places.and_then(|(from, to)| realigned_at(comparer, from, to));
        return Ok(a.addend == b.addend && same_section && realigned.is_none());
    }
    let same = a.addend == b.addend
        && same_symbol(comparer, a.symbol, b.symbol)
        && same_label(comparer, (o_section, a.symbol), (p_section, b.symbol))
        && same_constant(comparer, a.symbol, b.symbol, open)?;
    if same && !comparer.twins.are_twins(a.symbol, b.symbol) {
        note_state(comparer, (p_refs.base(), p.offset), a.symbol, b.symbol, open);
    }
    Ok(same || a.addend == b.addend && same_copy(comparer, a.symbol, b.symbol, open)?)
}

/// Whether what two references into nameless data lead to is the same; `None` where the one
/// of the patched object is to something with a name.
fn same_nameless(
    comparer: &Comparer<'_>,
    (o_refs, o, o_section): (&Refs<'_, Orig>, &Reloc<Orig>, SectionId<Orig>),
    (p_refs, p, p_section, target): (
        &Refs<'_, Patched>,
        &Reloc<Patched>,
        SectionId<Patched>,
        SymbolId<Patched>,
    ),
    open: &mut OpenQuestions,
) -> Result<Option<bool>> {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout);
    let (o_at, p_at) = (o_refs.target_offset(o)?, p_refs.target_offset(p)?);
    let o_at = o_at.wrapping_add(orig.symbol_value(o.symbol) as i64);
    let p_at = p_at.wrapping_add(patched.object.symbol_value(p.symbol) as i64);
    let section = patched.object.section_name(p_section);
    if !is_section_symbol(patched, target)
        && !patched.is_label(target)
        && !names::is_clang_unnamed(section)
        && !names::is_ubsan(section)
    {
        return Ok(None);
    }
    let (from, to) = ((o_section, o_at), (p_section, p_at));
    let question = Question { o: from, p: to, kind: QuestionKind::Nameless };
    let same_read = || same_read(comparer, (o_refs, o, from), (p_refs, p, to));
    // What is left open has no other way to a yes.
    let same = match open.is_collecting() {
        true => same_read()? || comparer.ask(question, open)?,
        false => comparer.ask(question, open)? || same_read()?,
    };
    Ok(Some(same))
}

/// Whether two references that lead out of the strings they name are the same: nothing says
/// what is read, so that all strings of the section have to be.
fn same_among_strings(
    pair: &Pair<'_>,
    (o_refs, o): (&Refs<'_, Orig>, &Reloc<Orig>),
    (p_refs, p): (&Refs<'_, Patched>, &Reloc<Patched>),
) -> Result<bool> {
    let (orig, patched) = (pair.orig.layout.object, pair.patched.layout.object);
    let (Home::Section(a), Home::Section(b)) = (orig.home(o.symbol), patched.home(p.symbol)) else {
        return Ok(false);
    };
    let from = o_refs.target_offset(o)?.wrapping_add_unsigned(orig.symbol_value(o.symbol));
    let to = p_refs.target_offset(p)?.wrapping_add_unsigned(patched.symbol_value(p.symbol));
    Ok(from == to && orig.contents(a) == patched.contents(b))
}

/// Whether two symbols that may be absolute are the same number. Checksums of exports are
/// those of the kernel that a module is loaded into.
fn same_value(pair: &Pair<'_>, o: SymbolId<Orig>, p: SymbolId<Patched>) -> bool {
    let (orig, patched) = (pair.orig.layout.object, pair.patched.layout.object);
    let absolute = (orig.home(o), patched.home(p)) == (Home::Absolute, Home::Absolute);
    !absolute
        || orig.symbol_value(o) == patched.symbol_value(p)
        || patched.symbol_name(p).starts_with(symbols::CHECKSUM)
}

/// Whether a reference by this symbol may lead to a label without a size in constants, which is
/// compared by what is there.
fn is_section_of_constants<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    let variable = abi::SHF_WRITE | abi::SHF_EXECINSTR;
    is_section_symbol(layout, id)
        && layout
            .object
            .section_of(id)
            .is_some_and(|section| layout.object.section_flags(section) & variable == 0)
}

fn is_section_symbol<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    layout.object.symbol_kind(id) == abi::STT_SECTION
}
