//! Constants with names: they have no state, so what differs is another constant.
//!
//! A constant that only its own object can name is part of what its readers mean. When it
//! differs, it is no longer the twin of the one in the running kernel: its readers differ, and
//! the patch carries the new one. Pointers to it in data that the kernel has stay as they are;
//! a patch with such a pointer is refused.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::comparer::Comparer;
use super::pair::finding;
use super::questions::{OpenQuestions, Question, QuestionKind};
use crate::diag::{Code, Error, Finding, Result};
use crate::diff::pair::locals::is_constant;
use crate::diff::pair::twins::Twins;
use crate::diff::selection::Selection;
use crate::diff::verdict::Verdicts;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::{Home, Reloc};
use crate::kernel::classes::is_plain;
use crate::kernel::knowledge::boot::runs_until;
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::sections;
use crate::kernel::layout::{Class, Entity, Layout};
use crate::kernel::refs::{Effective, Refs};

/// Longest chain of constants that refer to each other through data without names.
const ROUNDS: usize = 16;

/// Who else may read a constant that other objects can name; `None` where nobody does.
pub type ReadElsewhere<'a> =
    &'a dyn Fn(SymbolId<Orig>, SymbolId<Patched>) -> Result<Option<String>>;

/// Takes constants that differ apart in `twins`, as `compare` finds them. Returns what it found
/// last.
pub fn take_apart<T>(
    (orig, patched): (&Layout<'_, Orig>, &Layout<'_, Patched>),
    twins: &mut Twins,
    elsewhere: ReadElsewhere<'_>,
    compare: impl Fn(&Twins) -> Result<(Verdicts, T)>,
) -> Result<(Verdicts, T)> {
    let mut found = compare(twins)?;
    let mut pointers = None;
    for _ in 0..ROUNDS {
        let differing = differing((orig, patched), twins, &found.0);
        if differing.is_empty() {
            break;
        }
        if pointers.is_none() {
            pointers = Some((pointers_between(patched)?, Names::new(patched)));
        }
        let Some((pointers, names)) = &pointers else { break };
        let (mut open, mut parted) = (differing, false);
        while let Some(place) = open.pop() {
            let entity = patched.entity(place.0, place.1);
            if part((orig, patched), twins, (&names.of(patched, &entity), &entity), elsewhere)? {
                parted = true;
                open.extend(pointers.get(&place).into_iter().flatten());
            }
        }
        // What other objects can name stays as it is.
        if !parted {
            break;
        }
        found = compare(twins)?;
    }
    Ok(found)
}

/// Whether two constants without twins, such as gcc's `CSWTCH.1` or `__func__.2`, have
/// the same content. Other symbols pass.
pub(super) fn same_constant(
    comparer: &Comparer<'_>,
    o: SymbolId<Orig>,
    p: SymbolId<Patched>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let (a, b) = (orig.symbol(o), patched.symbol(p));
    let (Home::Section(o_section), Home::Section(p_section)) = (a.home, b.home) else {
        return Ok(true);
    };
    // Constants with pointers are written while the kernel is relocated, and never again.
    let unwritten = patched.section_flags(p_section) & abi::SHF_WRITE == 0
        || holds_constants(comparer.patched.layout, p_section);
    let constant = b.kind == abi::STT_OBJECT
        && unwritten
        && matches!(comparer.patched.layout.class(p_section), Class::Data | Class::Strings);
    if !constant || comparer.twins.are_twins(o, p) {
        return Ok(true);
    }
    if a.size != b.size {
        return Ok(false);
    }
    let o_data = symbol_bytes(orig.contents(o_section), a.value, a.size);
    if o_data != symbol_bytes(patched.contents(p_section), b.value, b.size) {
        return Ok(false);
    }
    if orig.relocs(o_section).is_empty() && patched.relocs(p_section).is_empty() {
        return Ok(true);
    }
    let (o, p) = ((o_section, a.value as i64), (p_section, b.value as i64));
    comparer.ask(Question { o, p, kind: QuestionKind::Constant(a.size) }, open)
}

/// Whether two constants of one name but for its number, which only their files can see,
/// have the same content: one is as good as the other.
pub(super) fn same_copy(
    comparer: &Comparer<'_>,
    o: SymbolId<Orig>,
    p: SymbolId<Patched>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let home = patched.object.section_of(p);
    let alike = comparer.policy.proves_noise
        && orig.is_local(o)
        && patched.is_local(p)
        && patched.object.symbol_kind(p) == abi::STT_OBJECT
        && orig.object.symbol_kind(o) == abi::STT_OBJECT
        && orig.object.section_of(o).is_some_and(|home| holds_constants(orig, home))
        && home.is_some_and(|home| holds_constants(patched, home))
        && names::same(orig.object.symbol_name(o), patched.object.symbol_name(p));
    Ok(alike && same_constant(comparer, o, p, open)?)
}

fn symbol_bytes(data: &[u8], value: u64, size: u64) -> Option<&[u8]> {
    data.get(value as usize..value.checked_add(size)? as usize)
}

/// A section and the position of an entity in it.
type Place = (SectionId<Patched>, usize);

/// Whether a section holds constants that compilers made of variables, and nothing else.
pub(super) fn holds_constants<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>) -> bool {
    let object = layout.object;
    let name = object.section_name(section);
    layout.class(section) == Class::Data
        && object.section_flags(section) & abi::SHF_ALLOC != 0
        && (name.starts_with(sections::RODATA) || name.starts_with(sections::RELRO))
        && is_plain(name)
}

/// Constants whose twins differ.
fn differing(
    (orig, patched): (&Layout<'_, Orig>, &Layout<'_, Patched>),
    twins: &Twins,
    verdicts: &Verdicts,
) -> Vec<Place> {
    let mut found = Vec::new();
    for section in patched.object.sections().filter(|&s| holds_constants(patched, s)) {
        for index in 0..patched.entity_count(section) {
            let Some(symbol) = patched.entity(section, index).symbol else { continue };
            let Some(twin) = twins.orig_symbol(symbol) else { continue };
            let sizes = (orig.object.symbol_size(twin), patched.object.symbol_size(symbol));
            if (sizes.0 != sizes.1 || !verdicts.entity(section, index).is_same())
                && is_constant(orig, twin)
            {
                found.push((section, index));
            }
        }
    }
    found
}

/// Which constants refer to which.
fn pointers_between(
    patched: &Layout<'_, Patched>,
) -> Result<IndexMap<Place, BTreeSet<Place>, RandomState>> {
    let object = patched.object;
    let mut found: IndexMap<Place, BTreeSet<Place>, RandomState> = IndexMap::default();
    for &base in object.relocated() {
        if !holds_constants(patched, base) {
            continue;
        }
        let refs = Refs::new(patched, base);
        for reloc in object.relocs(base).iter() {
            let Some(from) = patched.entity_at(base, reloc.offset) else { continue };
            if let Some(to) = place_of(patched, &refs, &reloc)?
                && holds_constants(patched, to.0)
            {
                found.entry(to).or_default().insert((base, from));
            }
        }
    }
    Ok(found)
}

/// The entity that a relocation means.
fn place_of(
    patched: &Layout<'_, Patched>,
    refs: &Refs<'_, Patched>,
    reloc: &Reloc<Patched>,
) -> Result<Option<Place>> {
    let object = patched.object;
    let symbol = refs.resolve(reloc)?.symbol;
    let Some(section) = object.section_of(symbol) else { return Ok(None) };
    if object.symbol_kind(symbol) == abi::STT_SECTION {
        let place = refs.place(reloc)?;
        return Ok(place.and_then(|(s, at)| Some((s, patched.entity_at(s, at)?))));
    }
    Ok(patched.entity_at(section, object.symbol_value(symbol)).map(|index| (section, index)))
}

/// The names of places in sections of constants that several share: (section, place, name),
/// ascending.
struct Names(Vec<(SectionId<Patched>, u64, SymbolId<Patched>)>);

impl Names {
    fn new(patched: &Layout<'_, Patched>) -> Self {
        let object = patched.object;
        let shared =
            |&s: &SectionId<Patched>| patched.owner(s).is_none() && holds_constants(patched, s);
        let place = |s, &id: &SymbolId<Patched>| (s, object.symbol_value(id), id);
        let of = |s| object.members(s).iter().map(move |id| place(s, id));
        let mut all: Vec<_> = object.sections().filter(shared).flat_map(of).collect();
        all.sort_unstable();
        Names(all)
    }

    /// All names of an entity that mean something to the kernel.
    fn of(
        &self,
        patched: &Layout<'_, Patched>,
        entity: &Entity<Patched>,
    ) -> Vec<SymbolId<Patched>> {
        let object = patched.object;
        let counts = |id: &SymbolId<Patched>| {
            matches!(object.symbol_kind(*id), abi::STT_OBJECT | abi::STT_NOTYPE)
                && !names::is_for_modpost(object.symbol_name(*id))
        };
        if patched.owner(entity.section).is_some() {
            return object.members(entity.section).iter().copied().filter(counts).collect();
        }
        let at = |at: u64| self.0.partition_point(|n| (n.0, n.1) < (entity.section, at));
        let within = self.0.get(at(entity.start)..at(entity.end)).unwrap_or(&[]);
        within.iter().map(|n| n.2).filter(counts).collect()
    }
}

/// Takes a constant and its other names apart, unless other objects may read it.
fn part(
    (orig, patched): (&Layout<'_, Orig>, &Layout<'_, Patched>),
    twins: &mut Twins,
    (names, entity): (&[SymbolId<Patched>], &Entity<Patched>),
    elsewhere: ReadElsewhere<'_>,
) -> Result<bool> {
    let twin_of = |&id: &SymbolId<Patched>| Some((id, twins.orig_symbol(id)?));
    let pairs: Vec<_> = names.iter().filter_map(twin_of).collect();
    let is_new = |id: &SymbolId<Patched>| !pairs.iter().any(|(paired, _)| paired == id);
    if pairs.is_empty()
        || pairs
            .iter()
            .any(|&(id, o)| !is_constant(orig, o) || twins.replaced.kept.contains_key(&id))
        || names.iter().any(|&id| is_new(&id) && !patched.is_local(id))
    {
        return Ok(false);
    }
    for &(id, o) in &pairs {
        if orig.is_local(o) && patched.is_local(id) {
            continue;
        }
        if let Some(why) = elsewhere(o, id)? {
            twins.replaced.kept.insert(id, why);
            return Ok(false);
        }
    }
    for (id, o) in pairs {
        twins.part_symbols(o, id);
        twins.replaced.was.insert(id, o);
        twins.replaced.gone.insert(o);
    }
    if patched.owner(entity.section).is_some()
        && let Some(o) = twins.orig_section(entity.section)
    {
        twins.part_sections(o, entity.section);
    }
    Ok(true)
}

/// A reference to a constant that was replaced.
struct Reader {
    section: SectionId<Patched>,
    constant: SymbolId<Patched>,
    /// The data that holds it, and where in it; `None` for code.
    holder: Option<(SymbolId<Patched>, u64)>,
}

/// All references to constants that were replaced.
fn readers(comparer: &Comparer<'_>) -> Result<Vec<Reader>> {
    let replaced = &comparer.twins.replaced;
    let layout = comparer.patched.layout;
    let object = layout.object;
    let mut found = Vec::new();
    if replaced.was.is_empty() {
        return Ok(found);
    }
    for &base in object.relocated() {
        if !matches!(layout.class(base), Class::Text | Class::Data | Class::Strings)
            || object.section_name(base) == sections::TOC
            // What describes variables to a sanitizer reads none of them.
            || comparer.patched.anonymous.describes(base)
        {
            continue;
        }
        let refs = Refs::new(layout, base);
        for reloc in object.relocs(base).iter() {
            let Effective::Reloc(holder, meant) = refs.effective(&reloc)? else { continue };
            let constant = match holder == base {
                true => refs.resolve(&meant)?.symbol,
                false => Refs::new(layout, holder).resolve(&meant)?.symbol,
            };
            if replaced.was(constant).is_none() {
                continue;
            }
            let user = layout.entity_at(base, reloc.offset).map(|i| layout.entity(base, i));
            let user = user.filter(|_| layout.class(base) != Class::Text);
            let holder = user.and_then(|u| Some((u.symbol?, reloc.offset - u.start)));
            found.push(Reader { section: base, constant, holder });
        }
    }
    Ok(found)
}

/// Fails when data of the running kernel points to a constant that was replaced.
pub fn check_pointers(comparer: &Comparer<'_>) -> Result<()> {
    let is_live = |&(id, _): &(SymbolId<Patched>, u64)| comparer.twins.orig_symbol(id).is_some();
    let readers = readers(comparer)?;
    let live = readers.iter().filter_map(|r| Some((r.holder.filter(is_live)?, r.constant)));
    let pointers: Vec<Finding> =
        live.map(|((holder, at), constant)| pointer(comparer, holder, at, constant)).collect();
    if pointers.is_empty() {
        return Ok(());
    }
    let count = pointers.len();
    Err(Error::refused(
        Code::ConstantInLiveData,
        format!("{count} pointer(s) in data of the running kernel lead to a constant that changed"),
    )
    .with_findings(pointers)
    .advise("the kernel goes on with the constant that it has: change the code that follows the pointer, or set the pointer from a callback"))
}

/// Fails when only code that is not in the patch reads a constant that was replaced. Returns
/// those that nothing but code which has run reads.
pub fn check_readers(
    comparer: &Comparer<'_>,
    selection: &Selection,
) -> Result<Vec<SymbolId<Patched>>> {
    let object = comparer.patched.layout.object;
    let mut unread: BTreeMap<SymbolId<Patched>, bool> = BTreeMap::new();
    for reader in readers(comparer)?.iter().filter(|r| !selection.symbols[r.constant]) {
        let gone = runs_until(object.section_name(reader.section), comparer.in_module).is_some();
        *unread.entry(reader.constant).or_insert(true) &= gone;
    }
    let past = |gone: bool| unread.iter().filter(move |u| *u.1 == gone).map(|u| *u.0).collect();
    let (past, unread): (Vec<_>, Vec<_>) = (past(true), past(false));
    if unread.is_empty() {
        return Ok(past);
    }
    let text = |&id: &SymbolId<Patched>| {
        let name = comparer.output_name(id);
        let section = object.section_of(id).map_or("", |s| object.section_name(s));
        let text =
            format!("{name} in section {section} changed, but no function of the patch uses it");
        finding(comparer, id, text)
    };
    let details: Vec<Finding> = unread.iter().map(text).collect();
    Err(Error::refused(
        Code::UnexplainedChange,
        format!("{} unexplained change(s)", details.len()),
    )
    .with_findings(details)
    .advise("only code that is not part of the patch reads it, such as code that runs at boot: the kernel goes on with the constant that it has"))
}

fn pointer(
    comparer: &Comparer<'_>,
    holder: SymbolId<Patched>,
    at: u64,
    target: SymbolId<Patched>,
) -> Finding {
    let (name, constant) = (comparer.output_name(holder), comparer.output_name(target));
    finding(comparer, holder, format!("{name}+{at:#x} points to {constant}, which changed"))
}
