//! Accounts for every section: it was compared, is carried with what refers to it, or is
//! ignored by a rule with a name. What differs and is none of these is refused by name.

#![expect(
    clippy::indexing_slicing,
    reason = "rows have the number of their table, a class that of the table's place in the list"
)]
#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use super::unexplained;
use super::unread;
use super::unreferenced;
use super::whole;
use crate::diag::{Code, Diagnostic, Error, Finding, Place, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::content::same_span;
use crate::diff::compare::questions::OpenQuestions;
use crate::diff::compare::reordered;
use crate::diff::compare::rows::whole_row;
use crate::diff::compare::spans::Spans;
use crate::diff::compare::states::anchored_states;
use crate::diff::compare::states::changed_states;
use crate::diff::compare::uses::Uses;
use crate::diff::select::boot_code::BootCode;
use crate::diff::select::ignore::Ignored;
use crate::diff::selection::Selection;
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::ids::{Id, Marks, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::tables::TABLES;
use crate::kernel::knowledge::{sections, symbols};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::{Effective, Refs};

/// Fails when something differs that nothing accounts for. Also returns what to warn of, whether
/// or not it fails.
pub fn check(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    selection: &Selection,
    left_out: (&Ignored, BootCode),
) -> (Vec<Diagnostic>, Result<()>) {
    let mut warnings = Vec::new();
    let result = account(comparer, verdicts, selection, left_out, &mut warnings);
    (warnings, result)
}

fn account(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    selection: &Selection,
    (ignored, boot): (&Ignored, BootCode),
    warnings: &mut Vec<Diagnostic>,
) -> Result<()> {
    if comparer.policy.refuses_unsafe {
        thread_locals(comparer, selection)?;
    }
    let mut details = Vec::new();
    runtime_constants(comparer, selection, &mut details);
    carried_constants(comparer, verdicts, selection, &mut details, warnings)?;
    orphans(comparer, &mut details)?;
    let layout = comparer.patched.layout;
    let object = layout.object;
    unreferenced::find(comparer, verdicts, selection, (ignored, boot), &mut details, warnings)?;
    let is_suspect = |&s: &SectionId<Patched>| {
        comparer.twins.orig_section(s).is_some()
            && needs_reference(layout, s)
            && !verdicts.entity(s, 0).is_same()
    };
    let sections = (1..object.section_count()).into_par_iter().with_min_len(1024);
    let suspects: Vec<SectionId<Patched>> =
        sections.map(SectionId::new).filter(is_suspect).collect();
    if !suspects.is_empty() {
        let first = first_references(layout, &suspects);
        for id in suspects {
            let start = first.get(&id).copied().unwrap_or(u64::MAX);
            if lead_is_same(comparer, id, start)? {
                continue;
            }
            let name = object.section_name(id);
            if reordered::rows(comparer, id)? {
                let text =
                    format!("files are linked in another order, and so are the rows of {name}");
                warnings
                    .push(Diagnostic::warning_of(Code::LinkOrder, Finding::in_section(name, text)));
            } else {
                unexplained(&mut details, name, "changed");
            }
        }
    }
    tables_without_rows(comparer, &mut details);
    unread::replacements(comparer, &mut details)?;
    if comparer.policy.refuses_unsafe
        && type_ids(comparer.orig.layout) != type_ids(comparer.patched.layout)
    {
        unexplained(&mut details, TYPE_IDS, "changed");
    }
    named_like_literals(comparer, verdicts, &mut details);
    whole::changed_constants(comparer, verdicts, &mut details);
    if details.is_empty() {
        return Ok(());
    }
    Err(Error::refused(Code::UnexplainedChange, format!("{} unexplained change(s)", details.len()))
        .with_findings(details)
        .advise("it is not known what this means to the kernel; take it out of the patch, or report it with the objects"))
}

/// Sections that list the places in the code where the kernel writes a constant when it
/// boots (include/asm-generic/runtime-const.h): `runtime_ptr_x`, `runtime_shift_x`, since 7.0
/// `runtime_mask_x`. Nobody writes it in the code of a module, whatever kind comes next.
const RUNTIME_CONSTANTS: &str = "runtime_";

/// The bound of user addresses may stay what the compiler wrote: that is above all of them,
/// and the addresses between the two cannot be accessed.
const HARMLESS_CONSTANT: &str = "runtime_ptr_USER_PTR_MAX";

pub(in crate::diff) fn is_runtime_constant(name: &str) -> bool {
    name.starts_with(RUNTIME_CONSTANTS)
}

fn runtime_constants(comparer: &Comparer<'_>, selection: &Selection, details: &mut Vec<Finding>) {
    let object = comparer.patched.layout.object;
    for id in object.sections().filter(|&s| !comparer.patched.layout.is_ordinary(s)) {
        let name = object.section_name(id);
        if !is_runtime_constant(name) || name == HARMLESS_CONSTANT {
            continue;
        }
        let layout = comparer.patched.layout;
        let carried = |r: &Reloc<Patched>| {
            let section = object.section_of(r.symbol)?;
            let is_carried = layout.class(section) == Class::Text && selection.sections[section];
            is_carried.then_some((section, r.addend))
        };
        let user = object.relocs(id).iter().find_map(|r| carried(&r));
        if let Some((section, at)) = user {
            let function = layout.covering(section, at).or_else(|| layout.owner(section));
            let user = object.section_name(section);
            let text = format!(
                "{user} uses a constant of {name}, which is only known when the kernel boots and is not set in a livepatch"
            );
            details.push(match function {
                Some(function) => Finding::in_section(user, text)
                    .at_symbol(comparer.output_name(layout.root(function))),
                None => Finding::in_section(user, text),
            });
        }
    }
}

/// Loaded read-only data or code that begins without a symbol that names it, and strings that
/// are no literals. [`sections::PRIVATE_CONSTANTS`] are not meant: they have one section each,
/// and stay behind when nothing refers to them.
fn needs_reference<S: Side>(layout: &Layout<'_, S>, id: SectionId<S>) -> bool {
    let object = layout.object;
    let name = object.section_name(id);
    let by_content = match layout.class(id) {
        Class::Data | Class::Text => layout.is_nameless(id),
        Class::Strings => !names::is_string_literal_section(name),
        _ => false,
    };
    by_content
        && object.section_flags(id) & abi::SHF_ALLOC != 0
        && object.section_size(id) > 0
        && !is_runtime_constant(name)
        && !sections::PRIVATE_CONSTANTS.iter().any(|p| name.starts_with(p))
        && layout.entity_count(id) > 0
        && layout.entity(id, 0).symbol.is_none()
}

/// Modules have no thread-local storage: the kernel would not load one with such a reference.
fn thread_locals(comparer: &Comparer<'_>, selection: &Selection) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    if !object.symbols().any(|s| object.symbol_kind(s) == abi::STT_TLS) {
        return Ok(());
    }
    for base in object.sections().filter(|&s| selection.sections[s]) {
        if !matches!(layout.class(base), Class::Text | Class::Data) {
            continue;
        }
        let refs = Refs::new(layout, base);
        for reloc in object.relocs(base).iter().filter(|r| selection.has(base, r.offset)) {
            let Effective::Reloc(_, meant) = refs.effective(&reloc)? else { continue };
            if object.symbol_kind(meant.symbol) == abi::STT_TLS {
                let (section, name) = (object.section_name(base), object.symbol_name(meant.symbol));
                let text = format!("{section} of the patch uses thread-local data: {name}");
                return Err(Error::refused(Code::ThreadLocal, text)
                    .in_section(section)
                    .at_symbol(name)
                    .advise("no kernel module can have it; was this compiled for the kernel?"));
            }
        }
    }
    Ok(())
}

/// The first offset of each of some sections that something elsewhere refers to.
fn first_references<S: Side>(
    layout: &Layout<'_, S>,
    sections: &[SectionId<S>],
) -> IndexMap<SectionId<S>, u64, RandomState> {
    let object = layout.object;
    let wanted = Marks::of(object.section_count(), sections.iter().copied());
    let wanted = Marks::from_fn(object.symbol_count(), |id: SymbolId<S>| {
        object.section_of(id).is_some_and(|section| wanted.has(section))
    });
    type First<S> = IndexMap<SectionId<S>, u64, RandomState>;
    let note = |mut first: First<S>, &base: &SectionId<S>| {
        // What follows from the code says nothing about it.
        let follows = match layout.class(base) {
            Class::Debug | Class::Noise(_) | Class::Unwind => true,
            Class::Table(index) => {
                let table = &TABLES[usize::from(index)];
                !table.verdict && !table.row.is_by_exception_table()
            }
            _ => false,
        };
        if follows {
            return first;
        }
        let refs = Refs::new(layout, base);
        for reloc in object.relocs(base).iter().filter(|r| wanted.has(r.symbol)) {
            let Some(target) = object.section_of(reloc.symbol).filter(|&t| t != base) else {
                continue;
            };
            let place = |offset: Result<i64>| {
                let value = object.symbol_value(reloc.symbol) as i64;
                u64::try_from(offset.unwrap_or(0).wrapping_add(value)).unwrap_or(0)
            };
            let slot = first.entry(target).or_insert(u64::MAX);
            // Most are behind the first one so far: no need to decode the code there.
            if place(refs.lowest_offset(&reloc)) < *slot {
                *slot = (*slot).min(place(refs.target_offset(&reloc)));
            }
        }
        first
    };
    let join = |mut a: First<S>, b: First<S>| {
        for (section, at) in b {
            let slot = a.entry(section).or_insert(u64::MAX);
            *slot = (*slot).min(at);
        }
        a
    };
    let bases = object.relocated().par_iter().with_min_len(1024);
    bases.fold(First::default, note).reduce(First::default, join)
}

/// Whether what precedes the first reference into a section is as in the original.
fn lead_is_same(comparer: &Comparer<'_>, id: SectionId<Patched>, start: u64) -> Result<bool> {
    let Some(o) = comparer.twins.orig_section(id) else { return Ok(true) };
    let end = comparer.patched.layout.entity(id, 0).end;
    if start >= end {
        return Ok(false);
    }
    let lead = Spans { o, o_start: 0, o_end: start, p: id, p_start: 0, p_end: start };
    same_span(comparer, &lead, &mut OpenQuestions::new())
}

/// Rows that describe no code of this object must be as they were.
fn orphans(comparer: &Comparer<'_>, details: &mut Vec<Finding>) -> Result<()> {
    let (o_rows, p_rows) = (&comparer.orig.rows, &comparer.patched.rows);
    if o_rows.orphans.is_empty() && p_rows.orphans.is_empty() {
        return Ok(());
    }
    let mut same = o_rows.orphans.len() == p_rows.orphans.len();
    let mut name = p_rows.orphans.first().map(|r| p_rows.tables[r.0 as usize].table.section);
    for (&o, &p) in o_rows.orphans.iter().zip(&p_rows.orphans) {
        if !whole_row(comparer, o, p)? {
            same = false;
            name = Some(p_rows.tables[p.0 as usize].table.section);
            break;
        }
    }
    if !same {
        let name =
            name.or(o_rows.orphans.first().map(|r| o_rows.tables[r.0 as usize].table.section));
        unexplained(details, name.unwrap_or(""), "has rows that describe no code; they changed");
    }
    Ok(())
}

/// A constant of the running kernel that changed is carried as a copy: only the code of the
/// patch sees it. It must have a user there, and it is said who keeps the old one. That a slot
/// of the TOC names it is no use: all slots are carried, whether the patch reads them or not.
fn carried_constants(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    selection: &Selection,
    details: &mut Vec<Finding>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let mut users = changed_constants(comparer, verdicts, selection);
    if users.is_empty() {
        return Ok(());
    }
    let toc = object.sections().find(|&s| object.section_name(s) == sections::TOC);
    let slots = toc.map(|toc| Refs::new(layout, toc));
    for &base in object.relocated() {
        let class = layout.class(base);
        if !matches!(class, Class::Text | Class::Data) || toc == Some(base) {
            continue;
        }
        let refs = Refs::new(layout, base);
        for reloc in object.relocs(base).iter() {
            let Effective::Reloc(holder, meant) = refs.effective(&reloc)? else { continue };
            let Some(target) = object.section_of(meant.symbol) else { continue };
            if !users.sections.contains(&target) {
                continue;
            }
            let refs = slots.as_ref().filter(|_| toc == Some(holder)).unwrap_or(&refs);
            let index = match object.symbol_kind(meant.symbol) == abi::STT_SECTION
                || layout.is_label(meant.symbol)
            {
                true => refs.place(&meant)?.and_then(|(s, at)| layout.entity_at(s, at)),
                // However far the address is from its symbol, as in `table[i - 8]`.
                false => layout.entity_at(target, object.symbol_value(meant.symbol)),
            };
            let from = layout.entity_at(base, reloc.offset);
            if target == base && index == from {
                continue;
            }
            let Some(found) = index.and_then(|i| users.of.get_mut(&(target, i))) else { continue };
            if selection.has(base, reloc.offset) {
                found.0 += 1;
            } else {
                let symbol = from.and_then(|i| layout.entity(base, i).symbol);
                found.1.push(symbol.map_or(object.section_name(base), |s| comparer.output_name(s)));
            }
        }
    }
    for ((id, index), (inside, mut outside)) in users.of {
        let name = layout.entity(id, index).symbol.map_or("", |o| comparer.output_name(o));
        if inside == 0 {
            let section = object.section_name(id);
            let text = format!(
                "{name} in section {section} changed, but no function of the patch uses it"
            );
            details.push(Finding::in_section(section, text).at_symbol(name));
            continue;
        }
        outside.dedup();
        if let Some(first) = outside.first() {
            let more = match outside.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let text = format!(
                "WARNING: {name} changed; {first}{more}, not in the patch, will go on using the old one"
            );
            let place = Finding::in_section(object.section_name(id), text).at_symbol(name);
            warnings.push(Diagnostic::warning_of(Code::ConstantUsedElsewhere, place));
        }
    }
    Ok(())
}

/// How many users in the patch something has, and the names of others.
type InAndOut<'n> = (usize, Vec<&'n str>);

/// Users of constants, by section and entity.
#[derive(Default)]
struct Users<'n> {
    of: IndexMap<(SectionId<Patched>, usize), InAndOut<'n>, RandomState>,
    sections: IndexSet<SectionId<Patched>, RandomState>,
}

impl Users<'_> {
    fn is_empty(&self) -> bool {
        self.of.is_empty()
    }
}

/// Named data that the patch carries although the running kernel has it, in another form.
/// The drop-in carries shared sections as a whole: see [`named_like_literals`].
fn changed_constants<'n>(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    selection: &Selection,
) -> Users<'n> {
    let layout = comparer.patched.layout;
    let mut users = Users::default();
    for (id, _) in verdicts.differing() {
        if layout.class(id) != Class::Data
            || !selection.sections[id]
            || comparer.policy.whole_sections && layout.owner(id).is_none()
        {
            continue;
        }
        for index in 0..layout.entity_count(id) {
            let entity = layout.entity(id, index);
            let verdict = verdicts.entity(id, index);
            if !verdict.is_same()
                && !verdict.has(Verdict::NEW)
                && selection.has(id, entity.start)
                && entity.symbol.is_some_and(|s| comparer.twins.orig_symbol(s).is_some())
            {
                users.of.insert((id, index), Default::default());
                users.sections.insert(id);
            }
        }
    }
    users
}

/// A variable in a section that is always carried, because it is named like one of literals:
/// that says nothing about the variable in the running kernel.
fn named_like_literals(comparer: &Comparer<'_>, verdicts: &Verdicts, details: &mut Vec<Finding>) {
    let layout = comparer.patched.layout;
    for (id, verdict) in verdicts.differing() {
        let name = layout.object.section_name(id);
        if layout.class(id) != Class::Data {
            continue;
        }
        let paired = |symbol: &SymbolId<Patched>| comparer.twins.orig_symbol(*symbol).is_some();
        let owner = layout.owner(id).filter(paired);
        if names::is_string_literal_section(name) && owner.is_some() && !verdict.has(Verdict::NEW) {
            unexplained(details, name, "changed");
        }
    }
}

/// A table in which no field refers to anything must be as it was.
fn tables_without_rows(comparer: &Comparer<'_>, details: &mut Vec<Finding>) {
    let (o, p) = (bare_tables(comparer.orig.layout), bare_tables(comparer.patched.layout));
    for (name, data) in &p {
        if o.get(name).is_none_or(|before| before != data) {
            unexplained(details, name, "changed");
        }
    }
    for name in o.keys().filter(|n| !p.contains_key(*n)) {
        unexplained(details, name, "went away");
    }
}

/// Sets of types and functions by which BPF programs are checked. Each is a symbol whose name
/// ends in a counter and a line (include/linux/btf_ids.h).
const TYPE_IDS: &str = ".BTF_ids";

/// What an object lists there, with flags: in order, which means something within a set, but
/// sorted where several files were linked.
fn type_ids<'a, S: Side>(layout: &Layout<'a, S>) -> Vec<(&'a str, &'a [u8])> {
    let object = layout.object;
    let mut found = Vec::new();
    let Some(first) = layout.section_named(TYPE_IDS) else { return found };
    for id in object.sections().skip_while(|&s| s != first) {
        if object.section_name(id) != TYPE_IDS {
            continue;
        }
        let mut members: Vec<SymbolId<S>> = object.members(id).to_vec();
        members.sort_by_key(|&m| object.symbol_value(m));
        let ends = members.iter().skip(1).map(|&m| object.symbol_value(m));
        let ends = ends.chain([object.section_size(id)]);
        for (&member, end) in members.iter().zip(ends) {
            let mut name = object.symbol_name(member);
            if name.starts_with(symbols::BTF_ID) {
                name = name.trim_end_matches(|c: char| c.is_ascii_digit());
            }
            let bytes = object.contents(id).get(object.symbol_value(member) as usize..end as usize);
            found.push((name, bytes.unwrap_or_default()));
        }
    }
    if layout.is_linked() {
        found.sort_unstable();
    }
    found
}

fn bare_tables<'a, S: Side>(
    layout: &Layout<'a, S>,
) -> IndexMap<&'a str, Vec<&'a [u8]>, RandomState> {
    let object = layout.object;
    let mut found: IndexMap<&str, Vec<&[u8]>, RandomState> = IndexMap::default();
    for id in object.sections() {
        if let Class::Table(index) = layout.class(id)
            && TABLES[usize::from(index)].verdict
            && object.relocs(id).is_empty()
            && object.section_size(id) > 0
        {
            found.entry(object.section_name(id)).or_default().push(object.contents(id));
        }
    }
    found
}

/// What to warn of live state whose initialiser changed: refused when nothing else did.
pub fn check_states(
    comparer: &Comparer<'_>,
    uses: &Uses,
    selection: &Selection,
) -> Result<Vec<Diagnostic>> {
    let object = comparer.patched.layout.object;
    let layout = comparer.patched.layout;
    let mut details = Vec::new();
    for state in changed_states(comparer, uses)? {
        let user = layout
            .entity_at(state.user, state.at)
            .and_then(|i| layout.entity(state.user, i).symbol)
            .filter(|&u| object.section_of(u) == Some(state.user));
        let in_row = comparer.patched.rows.number_of(state.user).is_some_and(|table| {
            let row = comparer.patched.rows.row_at(layout, table, state.at);
            row.zip(selection.rows.get(&table))
                .is_some_and(|(row, kept)| kept.binary_search(&row).is_ok())
        });
        let carried = in_row
            || selection.sections[state.user]
                && user.is_none_or(|u| selection.symbols[u])
                && layout.class(state.user) == Class::Text;
        if carried {
            continue;
        }
        let name = object.symbol_name(state.variable);
        let user = user.map_or(object.section_name(state.user), |u| comparer.output_name(u));
        let text =
            format!("the initial value of {name}, used by {user}, changed: {}", state.reason);
        let section = object.section_of(state.variable).map_or("", |s| object.section_name(s));
        let offset = object
            .symbol_value(state.variable)
            .wrapping_add_signed(state.reason.offset.unwrap_or(0));
        details.push(Finding::in_section(section, text).at_symbol(name).at_offset(offset));
    }
    for name in anchored_states(comparer)? {
        let text = format!("the initial value of a variable {name} changed");
        let place = Place { symbol: Some(name), ..Place::default() };
        details.push(Finding { text, place });
    }
    details.dedup();
    if details.is_empty() {
        return Ok(Vec::new());
    }
    let advice = "the variable exists in the running kernel and keeps its value; change the function that uses it, too, so that it gets a new one, or set it from a callback";
    if selection.effect.is_empty() {
        return Err(Error::refused(
            Code::LiveStateInitialiser,
            "only the initial value of live state changed",
        )
        .with_findings(details)
        .advise(advice));
    }
    let warning = |found: Finding| {
        let text = format!("WARNING: {}; {advice}", found.text);
        Diagnostic::warning_of(Code::LiveStateInitialiser, Finding { text, ..found })
    };
    Ok(details.into_iter().map(warning).collect())
}
