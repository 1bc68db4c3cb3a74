//! Changed functions that cannot be redirected: the callers can.
//!
//! ftrace has no site in some functions (`notrace`, `noinstr`, an `inline` function that was not
//! inlined), and others are one with a function that must stay as it is. The patch then carries
//! a copy of such a function, and replaces all functions that call it, which call the copy. It
//! is only right when *all* callers are known: when nothing takes its address, no other object
//! and no code without a name calls it. Callers that cannot be redirected either are carried for
//! theirs. Those of the original count, since they are what runs.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::boot_code::BootCode;
use super::hooks::unhookable;
use super::lifted::{function_at, main_of, names_of};
use super::spread::spread;
use super::status::{Status, Statuses};
use crate::diag::Result;
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::pair::Pair;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::assembler_resolved::{leaving, meant};
use crate::kernel::knowledge::boot::runs_until;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;
use crate::running::indirect_targets::is_never_called;

/// Most functions that are carried for their callers.
const MOST: usize = 64;

/// Why callers cannot be patched instead, by function.
pub type Blocked = IndexMap<SymbolId<Patched>, String, RandomState>;

/// What is known beyond the objects.
pub struct Outside<'a> {
    /// Functions that ftrace could redirect, and that must not be.
    pub forced: &'a [SymbolId<Patched>],
    /// Who else in the kernel refers to a function that other objects can name, or why this is
    /// not known.
    pub users: &'a dyn Fn(SymbolId<Patched>) -> Result<Option<String>>,
    /// What is done about code that only runs at boot.
    pub boot: BootCode,
}

/// What came of it.
#[derive(Default)]
pub struct Lifting {
    /// The statuses with callers in the patch, where there was something to do, and all of it can
    /// be done.
    pub statuses: Option<Statuses>,
    /// Functions for which it cannot be done.
    pub blocked: Blocked,
}

/// Puts callers of functions that cannot be redirected into the patch instead of these.
pub fn lift(comparer: &Comparer<'_>, before: &Statuses, outside: &Outside<'_>) -> Result<Lifting> {
    let layout = comparer.patched.layout;
    let mut lifted: Option<Statuses> = None;
    loop {
        let statuses = lifted.as_ref().unwrap_or(before);
        let mut open = unhookable(comparer, statuses, outside.boot);
        let is_forced = |id: &&SymbolId<Patched>| statuses.symbols[**id] == Status::Changed;
        open.extend(outside.forced.iter().filter(is_forced));
        let roots: IndexSet<SymbolId<Patched>, RandomState> =
            open.into_iter().map(|id| main_of(layout, id)).collect();
        if roots.is_empty() {
            return Ok(Lifting { statuses: lifted, blocked: Blocked::default() });
        }
        if statuses.lifted.carried.len() + roots.len() > MOST {
            let text = format!("more than {MOST} functions would have to be carried");
            let blocked = roots.into_iter().map(|root| (root, text.clone())).collect();
            return Ok(Lifting { statuses: None, blocked });
        }
        let Found { callers, mut blocked } = users_of(comparer, &roots, outside)?;
        let uncalled = |root: &&SymbolId<Patched>| !callers.contains_key(*root);
        for &root in roots.iter().filter(uncalled) {
            blocked.entry(root).or_insert_with(|| "nothing in this object calls it".to_owned());
        }
        if !blocked.is_empty() {
            return Ok(Lifting { statuses: None, blocked });
        }
        lifted = Some(carrying(comparer, statuses, callers));
    }
}

/// Functions, each with those that call it.
type Callers = IndexMap<SymbolId<Patched>, IndexSet<SymbolId<Patched>, RandomState>, RandomState>;

/// The statuses where functions, with their parts and all their names, are ones that only the patch
/// has, and their callers are changed.
fn carrying(pair: &Pair<'_>, statuses: &Statuses, callers: Callers) -> Statuses {
    let layout = pair.patched.layout;
    let mut next = statuses.clone();
    for (root, callers) in callers {
        for id in names_of(layout, root) {
            next.symbols[id] = Status::New;
        }
        for &caller in &callers {
            if next.symbols[caller] == Status::Same {
                next.symbols[caller] = Status::Changed;
                next.lifted.callers.insert(layout.root(caller), root);
            }
        }
        let callers = callers.into_iter().map(|c| layout.root(c));
        next.lifted.carried.entry(root).or_default().extend(callers);
    }
    next.symbols = spread(pair, |section| statuses.has_changed(section), next.symbols);
    next
}

/// Who uses some functions.
#[derive(Default)]
struct Found {
    callers: Callers,
    blocked: Blocked,
}

fn users_of(
    comparer: &Comparer<'_>,
    roots: &IndexSet<SymbolId<Patched>, RandomState>,
    outside: &Outside<'_>,
) -> Result<Found> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let mut found = Found::default();
    let mut block = |root, why: String| {
        found.blocked.entry(root).or_insert(why);
    };
    for root in roots {
        if let Some(why) = known_elsewhere(comparer, *root, outside)? {
            block(*root, why);
        }
    }
    let now = uses(patched, |id| roots.contains(&id).then_some(id))?;
    let twin = |id: SymbolId<Orig>| {
        comparer.twins.patched_symbol(id).map(|t| main_of(patched, t)).filter(|t| roots.contains(t))
    };
    let before = uses(orig, twin)?;
    for Use { of, user } in now {
        match user {
            User::Function(function) if outlived(comparer, patched, function) => {}
            User::Function(function) => match is_freed(comparer, patched, function) {
                true => block(
                    of,
                    format!("{}, which is freed, calls it", comparer.output_name(function)),
                ),
                false => {
                    found.callers.entry(of).or_default().insert(function);
                }
            },
            User::Other(why) => block(of, why),
        }
    }
    for Use { of, user } in before {
        let function = match user {
            User::Function(function) => function,
            User::Other(why) => {
                block(of, why);
                continue;
            }
        };
        if outlived(comparer, orig, function) {
            continue;
        }
        let name = orig.object.symbol_name(function);
        match comparer.twins.patched_symbol(function) {
            Some(caller) => {
                found.callers.entry(of).or_default().insert(caller);
            }
            None if orig.object.symbol_bind(function) == abi::STB_LOCAL => {}
            None => block(of, format!("{name}, which calls it, is not in the patched object")),
        }
    }
    Ok(found)
}

/// Why not all that use a function are in its object, when other objects can name it.
fn known_elsewhere(
    comparer: &Comparer<'_>,
    root: SymbolId<Patched>,
    outside: &Outside<'_>,
) -> Result<Option<String>> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let visible = |id: SymbolId<Patched>| {
        let twin = comparer.twins.orig_symbol(id);
        patched.object.symbol_bind(id) != abi::STB_LOCAL
            || twin.is_some_and(|t| orig.object.symbol_bind(t) != abi::STB_LOCAL)
    };
    if !names_of(patched, root).into_iter().any(visible) {
        return Ok(None);
    }
    (outside.users)(root)
}

/// A use of a function.
struct Use<S> {
    of: SymbolId<Patched>,
    user: User<S>,
}

enum User<S> {
    /// A function, or a part of one, calls or jumps to it.
    Function(SymbolId<S>),
    /// Something else, in words.
    Other(String),
}

/// What uses the functions that `wanted` says.
fn uses<S: Side>(
    layout: &Layout<'_, S>,
    wanted: impl Fn(SymbolId<S>) -> Option<SymbolId<Patched>>,
) -> Result<Vec<Use<S>>> {
    let object = layout.object;
    let mut found = Vec::new();
    for section in object.sections() {
        // Rows describe the code that they are about.
        if !matches!(layout.class(section), Class::Text | Class::Data | Class::Strings) {
            continue;
        }
        let refs = Refs::new(layout, section);
        for reloc in object.relocs(section).iter() {
            let Some(function) = target_of(layout, &refs, &reloc)? else { continue };
            let Some(of) = wanted(function) else { continue };
            let user = user_at(layout, section, &reloc);
            if is_own(layout, &user, function)
                || is_never_called(object.section_name(section), object.symbol_name(function))
            {
                continue;
            }
            found.push(Use { of, user });
        }
        unrelocated_uses(layout, section, &wanted, &mut found)?;
    }
    Ok(found)
}

/// The function into which a reference leads.
fn target_of<S: Side>(
    layout: &Layout<'_, S>,
    refs: &Refs<'_, S>,
    reloc: &Reloc<S>,
) -> Result<Option<SymbolId<S>>> {
    let object = layout.object;
    let Some(home) = object.section_of(reloc.symbol).filter(|&home| object.is_text(home)) else {
        return Ok(None);
    };
    let value = object.symbol_value(reloc.symbol);
    // What is named is meant, whatever the distance.
    if object.symbol_kind(reloc.symbol) == abi::STT_FUNC {
        return Ok(function_at(layout, home, value));
    }
    let at = value.wrapping_add_signed(refs.target_offset(reloc)?);
    Ok(function_at(layout, home, at))
}

fn user_at<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, reloc: &Reloc<S>) -> User<S> {
    let object = layout.object;
    let entity = layout.entity_at(section, reloc.offset).map(|i| layout.entity(section, i));
    let symbol = entity.and_then(|e| e.symbol);
    let calls = object.is_text(section)
        && (layout.arch.leads)(object.contents(section), reloc.offset, reloc.kind);
    match symbol {
        Some(id) if calls && object.symbol_kind(id) == abi::STT_FUNC => User::Function(id),
        Some(id) if calls => {
            User::Other(format!("{}, code of assembly, calls it", object.symbol_name(id)))
        }
        Some(id) => User::Other(format!("{} takes its address", object.symbol_name(id))),
        None if calls => {
            User::Other(format!("code without a name in {} calls it", object.section_name(section)))
        }
        None => User::Other(format!("{} has its address", object.section_name(section))),
    }
}

/// Whether a function, or a part of it, refers to itself by a call or jump.
fn is_own<S: Side>(layout: &Layout<'_, S>, user: &User<S>, function: SymbolId<S>) -> bool {
    matches!(user, User::Function(id) if layout.root(*id) == function)
}

/// Adds the calls whose distance the assembler knew.
fn unrelocated_uses<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    wanted: &impl Fn(SymbolId<S>) -> Option<SymbolId<Patched>>,
    found: &mut Vec<Use<S>>,
) -> Result<()> {
    if layout.class(section) != Class::Text || layout.entity_count(section) < 2 {
        return Ok(());
    }
    let entities = || (0..layout.entity_count(section)).map(|i| layout.entity(section, i));
    let mut symbols = entities().filter_map(|e| e.symbol);
    if !symbols.any(|s| wanted(layout.root(s)).is_some()) {
        return Ok(());
    }
    for entity in entities() {
        for unrelocated in leaving(layout, section, entity.start, entity.end)? {
            let Some((function, _)) = meant(layout, section, &unrelocated) else { continue };
            let function = layout.root(function);
            let Some(of) = wanted(function) else { continue };
            let kind = unrelocated.reach.reloc.map_or(u32::MAX, |(kind, _)| kind);
            let reloc =
                Reloc { offset: unrelocated.reach.field, kind, symbol: function, addend: 0 };
            let user = user_at(layout, section, &reloc);
            if !is_own(layout, &user, function) {
                found.push(Use { of, user });
            }
        }
    }
    Ok(())
}

/// Whether code has run for the last time when a patch of the kernel is applied.
fn outlived<S: Side>(
    comparer: &Comparer<'_>,
    layout: &Layout<'_, S>,
    function: SymbolId<S>,
) -> bool {
    !comparer.in_module && is_freed(comparer, layout, function)
}

fn is_freed<S: Side>(
    comparer: &Comparer<'_>,
    layout: &Layout<'_, S>,
    function: SymbolId<S>,
) -> bool {
    let section = layout.object.section_of(function);
    let name = section.map_or("", |s| layout.object.section_name(s));
    runs_until(name, comparer.in_module).is_some()
}
