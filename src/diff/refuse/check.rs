//! Refuses what cannot be applied to a running kernel.

use std::cell::LazyCell;
use std::ops::Deref;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::toc::unused_changes;
use super::whole::{comdat, grouped, holds_live_data, is_own_thunk, left_unpatched};
use crate::diag::{Code, Error, Finding, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::pair::finding;
use crate::diff::select::boot_code::{BootCode, is_boot_code};
use crate::diff::select::hooks::unhookable;
use crate::diff::select::ignore::Ignored;
use crate::diff::select::lift::Blocked;
use crate::diff::select::lifted::main_of;
use crate::diff::select::status::{Status, Statuses, is_shared};
use crate::diff::selection::Selection;
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, SymbolId};
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::sections;
use crate::kernel::layout::Class;
use crate::kernel::refs::Refs;

/// Fails unless ftrace can redirect every changed function. `blocked` says of some why their
/// callers cannot be patched instead.
pub fn check_entries(
    comparer: &Comparer<'_>,
    statuses: &Statuses,
    boot: BootCode,
    blocked: &Blocked,
) -> Result<()> {
    let orig = comparer.orig.layout;
    let any_hookable =
        LazyCell::new(|| orig.object.symbols().any(|other| orig.has_profiling(other)));
    let unhookable = unhookable(comparer, statuses, boot);
    if unhookable.is_empty() {
        return Ok(());
    }
    let describe = |&id: &SymbolId<Patched>| {
        let why = why_not_hookable(comparer, id, &any_hookable);
        let name = comparer.patched.layout.object.symbol_name(id);
        let text =
            format!("function {name} doesn't have patchable function entry, unable to patch{why}");
        finding(comparer, id, text)
    };
    let mut details: Vec<Finding> = unhookable.iter().map(describe).collect();
    if comparer.policy.tells_more {
        name_callers(comparer, &unhookable, &mut details)?;
    }
    for (finding, &id) in details.iter_mut().zip(&unhookable) {
        if let Some(why) = blocked.get(&main_of(comparer.patched.layout, id)) {
            finding.text += &format!("; they cannot be patched instead: {why}");
        }
    }
    let mains: Vec<_> = unhookable.iter().map(|&id| main_of(comparer.patched.layout, id)).collect();
    let count = details.len();
    for (&id, why) in blocked.iter().filter(|(id, _)| !mains.contains(id)) {
        let name = comparer.output_name(id);
        let text =
            format!("{name}, which calls what cannot be redirected, cannot be either: {why}");
        details.push(finding(comparer, id, text));
    }
    Err(Error::refused(Code::NoFtraceEntry, format!("{count} function(s) can not be patched"))
        .with_findings(details)
        .advise("ftrace cannot redirect these functions (notrace, or built without fentry); patch their callers instead"))
}

/// How many callers a finding names.
const SHOWN_CALLERS: usize = 8;

/// Adds to what is said of functions who calls them in this object: there a patch can begin.
fn name_callers(
    comparer: &Comparer<'_>,
    functions: &[SymbolId<Patched>],
    details: &mut [Finding],
) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let mut callers: IndexMap<SymbolId<Patched>, IndexSet<&str>, RandomState> =
        functions.iter().map(|&f| (f, IndexSet::default())).collect();
    for section in object.sections().filter(|&s| layout.class(s) == Class::Text) {
        let refs = Refs::new(layout, section);
        for reloc in object.relocs(section).iter() {
            let Some(callers) = callers.get_mut(&refs.resolve(&reloc)?.symbol) else { continue };
            let entity = layout.entity_at(section, reloc.offset);
            if let Some(caller) = entity.and_then(|i| layout.entity(section, i).symbol) {
                callers.insert(comparer.output_name(layout.root(caller)));
            }
        }
    }
    for (finding, (function, mut callers)) in details.iter_mut().zip(callers) {
        callers.shift_remove(comparer.output_name(function));
        let more = callers.len().saturating_sub(SHOWN_CALLERS);
        let shown: Vec<&str> = callers.into_iter().take(SHOWN_CALLERS).collect();
        finding.text += &match (shown.is_empty(), more) {
            (true, _) => "; nothing in this object calls it".to_owned(),
            (false, 0) => format!("; it is called by {}", shown.join(", ")),
            (false, _) => format!("; it is called by {} and {more} more", shown.join(", ")),
        };
    }
    Ok(())
}

/// Why ftrace cannot hook the original of a function. `any_hookable`: whether it can hook
/// another one of the object.
fn why_not_hookable(
    comparer: &Comparer<'_>,
    id: SymbolId<Patched>,
    any_hookable: &impl Deref<Target = bool>,
) -> String {
    let layout = comparer.orig.layout;
    let object = layout.object;
    let Some(twin) = comparer.twins.orig_symbol(id) else { return String::new() };
    let section = object.section_of(twin).map_or("", |s| object.section_name(s));
    if names::is_untraceable(section) {
        return format!(" (noinstr: {section} must not be traced)");
    }
    match **any_hookable {
        true => " (notrace: other functions of the object have an entry for ftrace)".into(),
        false => " (no function of the object has an entry for ftrace: it was compiled without, \
                  such as -pg -mfentry or -fpatchable-function-entry)"
            .into(),
    }
}

/// Fails when something changed that the patch does not carry, or carries in a way that
/// would not take effect.
pub fn check_sections(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    statuses: &Statuses,
    ignored: &Ignored,
    selection: &Selection,
) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let mut details = Vec::new();
    let grouped = LazyCell::new(|| grouped(comparer));
    let boot: IndexSet<SectionId<Patched>, RandomState> =
        selection.boot_only.iter().filter_map(|&id| object.section_of(id)).collect();
    for id in object.sections() {
        let same = verdicts.section(id).is_same()
            && [statuses.sections[id], statuses.relocs[id]] == [Status::Same; 2];
        if same && !selection.sections[id] || ignored.sections.contains(&id) {
            continue;
        }
        if is_shared(comparer, id) {
            check_shared(comparer, verdicts, ignored, selection, id, &mut details);
        } else if !boot.contains(&id) {
            let in_group = || grouped.contains(&id);
            let found =
                check_whole(comparer, verdicts, statuses, selection.sections[id], id, in_group);
            details.extend(found);
        }
    }
    for id in unused_changes(comparer, statuses, selection)? {
        let name = object.section_name(id);
        details.push(Finding::in_section(
            name,
            format!("changed section {name} is used by code that is not in the patch"),
        ));
    }
    if details.is_empty() {
        return Ok(());
    }
    Err(Error::refused(Code::UnsupportedSectionChange, format!("{} unsupported section change(s)", details.len()))
        .with_findings(details)
        .advise("data that exists in the running kernel cannot be replaced; change it from a callback, or use a shadow variable"))
}

/// Finds what the patch cannot have of a section that it carries whole, or not at all.
/// `in_group`: whether the section is a member of a group.
fn check_whole(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    statuses: &Statuses,
    included: bool,
    id: SectionId<Patched>,
    in_group: impl Fn() -> bool,
) -> Vec<Finding> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let name = object.section_name(id);
    let mut details = Vec::new();
    if layout.class(id) == Class::Group {
        let binds = !comparer.policy.own_thunks
            || comdat(layout, id).is_some_and(|members| {
                let kept = |m| !matches!(layout.class(m), Class::Noise(_));
                members.into_iter().any(|m| kept(m) && !is_own_thunk(layout, m))
            });
        if binds && statuses.sections[id] == Status::New {
            let text = "new/changed group sections are not supported";
            details.push(Finding::in_section(name, text));
        }
        return details;
    }
    let rela = object.rela_section(id).map(|r| object.section_name(r));
    for (name, status) in [(Some(name), statuses.sections[id]), (rela, statuses.relocs[id])] {
        let Some(name) = name else { continue };
        if status == Status::Changed && !included {
            let text = format!("changed section {name} not selected for inclusion");
            details.push(Finding::in_section(name, text));
        }
        let own_thunk =
            || comparer.policy.own_thunks && status == Status::New && is_own_thunk(layout, id);
        if status != Status::Same && in_group() && !own_thunk() {
            let text = format!("changed section {name} is part of a section group");
            details.push(match layout.owner(id) {
                Some(owner) => finding(comparer, owner, text),
                None => Finding::in_section(name, text),
            });
        }
    }
    if comparer.policy.whole_sections && included {
        left_unpatched(comparer, verdicts, id, &mut details);
    }
    let data = sections::starts_with_any(name, &sections::STATE);
    if included
        && statuses.sections[id] != Status::New
        && (data || holds_live_data(comparer, id))
        && !sections::COPYABLE_DATA.contains(&name)
    {
        let text = format!("data section {name} selected for inclusion");
        details.push(Finding::in_section(name, text));
    }
    details
}

/// Finds the changes in a shared section that the patch does not carry, or cannot.
fn check_shared(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    ignored: &Ignored,
    selection: &Selection,
    section: SectionId<Patched>,
    details: &mut Vec<Finding>,
) {
    let layout = comparer.patched.layout;
    let object = layout.object;
    if verdicts.section(section).is_same() || comparer.twins.orig_section(section).is_none() {
        return;
    }
    let name = object.section_name(section);
    let writable = object.section_flags(section) & abi::SHF_WRITE != 0;
    for index in 0..layout.entity_count(section) {
        let verdict = verdicts.entity(section, index);
        // What is new comes in when something refers to it.
        if verdict.is_same() || verdict.has(Verdict::NEW) {
            continue;
        }
        let entity = layout.entity(section, index);
        let Some(symbol) = entity.symbol else {
            let counts = !layout.is_nameless(section) && layout.class(section) != Class::Strings;
            if counts && !is_overridden(comparer, section, index) {
                details.push(
                    Finding::in_section(
                        name,
                        format!("changed section {name} not selected for inclusion"),
                    )
                    .at_offset(entity.start),
                );
            }
            continue;
        };
        if ignored.functions.contains(&symbol) {
            continue;
        }
        let symbol_name = comparer.output_name(symbol);
        let included = selection.has(section, entity.start);
        if included && writable && !sections::COPYABLE_DATA.contains(&name) {
            let text = format!("data {symbol_name} in section {name} selected for inclusion");
            details.push(finding(comparer, symbol, text));
        } else if !included && !selection.boot_only.contains(&symbol) {
            let text =
                format!("changed {symbol_name} in section {name} not selected for inclusion");
            details.push(finding(comparer, symbol, text));
        }
    }
}

/// Whether nameless code at the start of a section was, in the original, the function that the
/// section is named after: it was weak, and gave way to a definition of another file, which
/// lies behind it. The linker takes its name, and leaves its code.
fn is_overridden(comparer: &Comparer<'_>, section: SectionId<Patched>, index: usize) -> bool {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let function = comparer.twins.orig_section(section).and_then(|s| orig.entity(s, 0).symbol);
    let twin = function.and_then(|f| comparer.twins.patched_symbol(f));
    index == 0
        && patched.class(section) == Class::Text
        && patched.is_linked()
        && twin.is_some_and(|t| {
            let (kind, name) = (patched.object.symbol_kind(t), patched.object.symbol_name(t));
            patched.object.section_of(t) == Some(section)
                && names::owns_section(kind, name, patched.object.section_name(section))
        })
}

/// The functions the patch lists, in symbol order: changed ones with `true`, new ones with
/// `false`. Split-off parts and prefixes belong to their functions.
pub fn functions(
    comparer: &Comparer<'_>,
    statuses: &Statuses,
    selection: &Selection,
) -> Vec<(SymbolId<Patched>, bool)> {
    let layout = comparer.patched.layout;
    let mut listed: IndexMap<SymbolId<Patched>, bool, RandomState> = IndexMap::default();
    for id in patch_functions(comparer, statuses, selection) {
        let changed =
            statuses.symbols[id] == Status::Changed || statuses.lifted.carries(layout, id);
        let root = layout.root(id);
        if names::is_init_stub(layout.object.symbol_name(root)) {
            continue;
        }
        // A part that is new or changed changes what its function does.
        if root == id {
            listed.insert(id, changed);
        } else if changed && statuses.symbols[root] != Status::New {
            listed.entry(root).or_insert(true);
        }
    }
    listed.sort_unstable_keys();
    listed.into_iter().collect()
}

/// The functions that changed, in symbol order: most of what [`functions`] will list.
pub fn changed_functions(comparer: &Comparer<'_>, statuses: &Statuses) -> Vec<SymbolId<Patched>> {
    let layout = comparer.patched.layout;
    let changed = |&id: &SymbolId<Patched>| {
        statuses.symbols[id] == Status::Changed
            && layout.object.symbol_kind(id) == abi::STT_FUNC
            && !layout.is_prefix(id)
            && layout.root(id) == id
    };
    layout.object.symbols().filter(changed).collect()
}

/// The functions that differ from their twins or have none, as far as the comparison alone
/// tells: for runs that end before anything is selected. Without code that only runs at boot,
/// where it is only warned of.
pub fn differing_functions(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    boot: BootCode,
) -> Vec<(SymbolId<Patched>, bool)> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let boot_warns = boot.warns(comparer);
    let mut listed: IndexMap<SymbolId<Patched>, bool, RandomState> = IndexMap::default();
    for (section, _) in verdicts.differing() {
        if layout.class(section) != Class::Text {
            continue;
        }
        for index in 0..layout.entity_count(section) {
            let verdict = verdicts.entity(section, index);
            let Some(id) = layout.entity(section, index).symbol else { continue };
            if verdict.is_same()
                || object.symbol_kind(id) != abi::STT_FUNC
                || boot_warns && is_boot_code(comparer, id)
            {
                continue;
            }
            let root = layout.root(id);
            if names::is_init_stub(object.symbol_name(root)) {
                continue;
            }
            let changed = comparer.twins.orig_symbol(root).is_some();
            listed.entry(root).or_insert(changed);
        }
    }
    listed.sort_unstable_keys();
    listed.into_iter().collect()
}

/// Why a function is in the patch: (symbol, what refers to it), up to one that changed.
pub fn included_because(
    comparer: &Comparer<'_>,
    selection: &Selection,
    id: SymbolId<Patched>,
) -> Vec<(String, String)> {
    const LONGEST: usize = 64;
    let name = |id| comparer.output_name(id).to_owned();
    let mut chain = Vec::new();
    let mut id = id;
    while let Some(&via) = selection.via.get(&id) {
        if via == id || chain.len() >= LONGEST {
            break;
        }
        chain.push((name(id), name(via)));
        id = via;
    }
    chain
}

/// Variables and constants that changed, are new or went away: name, status, and symbol in the
/// patched object; patched ones first. What macros define once per use is new everywhere and
/// not listed.
pub fn data(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
) -> Vec<(String, &'static str, Option<SymbolId<Patched>>)> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let mut found = Vec::new();
    for id in patched.object.symbols().skip(1) {
        if patched.object.symbol_kind(id) != abi::STT_OBJECT || patched.is_special_static(id) {
            continue;
        }
        let Some(section) = patched.object.section_of(id) else { continue };
        let status = if comparer.twins.replaced.was(id).is_some() {
            "changed"
        } else if comparer.twins.orig_symbol(id).is_none() {
            "new"
        } else {
            let value = patched.object.symbol_value(id);
            let index = patched.entity_at(section, value);
            let same = verdicts.section(section).is_same()
                || index.is_none_or(|i| {
                    patched.entity(section, i).symbol != Some(id)
                        || verdicts.entity(section, i).is_same()
                });
            if same {
                continue;
            }
            "changed"
        };
        found.push((comparer.output_name(id).to_owned(), status, Some(id)));
    }
    for id in orig.object.symbols().skip(1) {
        if orig.object.symbol_kind(id) == abi::STT_OBJECT
            && comparer.twins.patched_symbol(id).is_none()
            && orig.object.section_of(id).is_some()
            && !orig.is_special_static(id)
            && !comparer.twins.replaced.holds(id)
        {
            found.push((orig.object.symbol_name(id).to_owned(), "removed", None));
        }
    }
    found
}

/// Functions of the original that the patched object lacks.
pub fn removed_functions(comparer: &Comparer<'_>) -> Vec<String> {
    let orig = comparer.orig.layout;
    let gone = orig.object.symbols().skip(1).filter(|&id| {
        orig.object.symbol_kind(id) == abi::STT_FUNC
            && orig.object.section_of(id).is_some()
            && !orig.is_prefix(id)
            && comparer.twins.patched_symbol(id).is_none()
            && !names::is_init_stub(orig.object.symbol_name(id))
    });
    gone.map(|id| orig.object.symbol_name(id).to_owned()).collect()
}

/// The functions of the running kernel that the patch redirects, in symbol order: all that
/// changed and are called by themselves. A part that ftrace can hook is called so when its
/// function stays as it is, or when another one inlined the rest of that function.
pub fn redirected(
    comparer: &Comparer<'_>,
    statuses: &Statuses,
    selection: &Selection,
) -> Vec<SymbolId<Patched>> {
    let layout = comparer.patched.layout;
    let changed = patch_functions(comparer, statuses, selection)
        .filter(|&id| statuses.symbols[id] == Status::Changed)
        .filter(|&id| layout.split_from(id).is_none() || layout.has_profiling(id));
    let changed: Vec<_> = changed.collect();
    let covered = |&&id: &&SymbolId<Patched>| {
        let root = layout.root(id);
        root != id && statuses.symbols[root] == Status::Changed
    };
    let parts: Vec<_> = changed.iter().filter(covered).copied().collect();
    let called = called_from_elsewhere(comparer, &parts);
    changed
        .into_iter()
        .filter(|id| parts.binary_search(id).is_err() || called.contains(id))
        .collect()
}

/// Which of the split-off `parts`, each alone in its section, code outside their families
/// refers to.
fn called_from_elsewhere(
    comparer: &Comparer<'_>,
    parts: &[SymbolId<Patched>],
) -> IndexSet<SymbolId<Patched>, RandomState> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let mut called = IndexSet::default();
    let homes: IndexMap<SectionId<Patched>, SymbolId<Patched>, RandomState> =
        parts.iter().filter_map(|&p| Some((object.section_of(p)?, p))).collect();
    if homes.is_empty() {
        return called;
    }
    for base in object.sections().filter(|&s| layout.class(s) == Class::Text) {
        let user = layout.owner(base).map(|o| layout.root(o));
        for reloc in object.relocs(base).iter() {
            let part = object.section_of(reloc.symbol).and_then(|home| homes.get(&home));
            called.extend(part.filter(|&&p| user != Some(layout.root(p))));
        }
    }
    called
}

/// Functions of the patch that are not as in the original, prefixes aside.
fn patch_functions<'a>(
    comparer: &'a Comparer<'_>,
    statuses: &'a Statuses,
    selection: &'a Selection,
) -> impl Iterator<Item = SymbolId<Patched>> + 'a {
    let layout = comparer.patched.layout;
    let object = layout.object;
    object.symbols().skip(1).filter(move |&id| {
        object.symbol_kind(id) == abi::STT_FUNC
            && selection.symbols[id]
            && statuses.symbols[id] != Status::Same
            && object.section_of(id).is_some()
            && !layout.is_prefix(id)
    })
}
