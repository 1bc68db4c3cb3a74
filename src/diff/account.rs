//! Accounts for every section: it was compared, is carried with what refers to it, or is
//! ignored by a rule with a name. What differs and is none of these is refused by name.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::compare::{Comparer, Spans};
use super::select::Selection;
use super::verdict::Verdicts;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side};
use crate::error::{Error, Result};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::tables::TABLES;

/// Differing bytes that were judged noise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoiseFound {
    /// Name of the rule.
    pub rule: &'static str,
    /// Why it holds.
    pub reason: &'static str,
    /// Where.
    pub section: String,
    /// How many bytes differ.
    pub bytes: u64,
}

const FOLLOWS_CODE: (&str, &str) =
    ("follows-code", "the table is made anew from the code of the patch");
const DEBUG: (&str, &str) = ("debug-information", "debuggers read it, the kernel does not");
const UNWIND: (&str, &str) = ("unwind-follows-code", "unwind entries are carried with their code");
const BY_REFERENCE: (&str, &str) =
    ("by-reference", "its content was compared wherever something refers to it");
const ROW_FIELDS: (&str, &str) =
    ("row-noise-fields", "rows that differ only in line numbers, file names or order");
const LINES: (&str, &str) =
    ("compared-equal", "only line numbers, filler, or the numbering of names and strings differ");
const NOT_LOADED: (&str, &str) = ("not-loaded", "it has no place in the running kernel");

/// Fails when something differs that nothing accounts for. With `drop_in`, new sections are
/// left out in silence, as the C tool does.
pub fn check(
    comparer: &Comparer<'_, '_, '_, '_>,
    verdicts: &Verdicts,
    drop_in: bool,
) -> Result<()> {
    let mut details = Vec::new();
    orphans(comparer, &mut details)?;
    let layout = comparer.patched.layout;
    let object = layout.object;
    let suspects: Vec<SectionId<Patched>> = object
        .sections()
        .filter(|&s| {
            let new = comparer.twins.orig_section(s).is_none();
            needs_reference(layout, s)
                && (!verdicts.section(s).is_same() || new)
                && !(drop_in && new)
        })
        .collect();
    let orig = comparer.orig.layout;
    let gone: Vec<SectionId<Orig>> = orig
        .object
        .sections()
        .filter(|&s| needs_reference(orig, s) && comparer.twins.patched_section(s).is_none())
        .collect();
    if !suspects.is_empty() {
        let first = first_references(layout);
        for id in suspects {
            let start = first.get(&id).copied().unwrap_or(u64::MAX);
            if !lead_is_same(comparer, id, start) {
                unexplained(&mut details, object.section_name(id), "changed");
            }
        }
    }
    if !gone.is_empty() {
        let first = first_references(orig);
        for id in gone {
            if !first.contains_key(&id) {
                unexplained(&mut details, orig.object.section_name(id), "went away");
            }
        }
    }
    tables_without_rows(comparer, &mut details);
    if details.is_empty() {
        return Ok(());
    }
    Err(Error::refused("unexplained-change", format!("{} unexplained change(s)", details.len()))
        .with_details(details)
        .advise("it is not known what this means to the kernel; take it out of the patch, or report it with the objects"))
}

fn unexplained(details: &mut Vec<String>, name: &str, what: &str) {
    details.push(format!("section {name} {what} and nothing explains it"));
}

/// Loaded read-only data that no symbol names.
fn needs_reference<S: Side>(layout: &Layout<'_, '_, S>, id: SectionId<S>) -> bool {
    let object = layout.object;
    object.section_flags(id) & abi::SHF_ALLOC != 0
        && object.section_size(id) > 0
        && layout.class(id) == Class::Data
        && layout.is_nameless(id)
        && (0..layout.entity_count(id)).all(|i| layout.entity(id, i).symbol.is_none())
}

/// The first offset of each section that something refers to.
fn first_references<S: Side>(
    layout: &Layout<'_, '_, S>,
) -> IndexMap<SectionId<S>, u64, RandomState> {
    let object = layout.object;
    let mut first: IndexMap<SectionId<S>, u64, RandomState> = IndexMap::default();
    for base in object.sections() {
        if matches!(layout.class(base), Class::Debug | Class::Noise(_)) {
            continue;
        }
        let refs = crate::kernel::refs::Refs::new(layout, base);
        for reloc in object.relocs(base).iter() {
            let Some(target) = object.section_of(reloc.symbol) else { continue };
            if target == base {
                continue;
            }
            let value = object.symbol_value(reloc.symbol) as i64;
            let offset = refs.target_offset(&reloc).unwrap_or(0).wrapping_add(value);
            let slot = first.entry(target).or_insert(u64::MAX);
            *slot = (*slot).min(u64::try_from(offset).unwrap_or(0));
        }
    }
    first
}

/// Whether what precedes the first reference into a section is as in the original.
fn lead_is_same(comparer: &Comparer<'_, '_, '_, '_>, id: SectionId<Patched>, start: u64) -> bool {
    if start == 0 {
        return true;
    }
    let patched = comparer.patched.layout.object;
    let lead = |data: &[u8]| data[..data.len().min(start as usize)].to_vec();
    let now = lead(patched.contents(id));
    match comparer.twins.orig_section(id) {
        Some(_) if start == u64::MAX => false,
        Some(o) => lead(comparer.orig.layout.object.contents(o)) == now,
        None => start != u64::MAX,
    }
}

/// Rows that describe no code of this object must be as they were.
fn orphans(comparer: &Comparer<'_, '_, '_, '_>, details: &mut Vec<String>) -> Result<()> {
    let (o_rows, p_rows) = (&comparer.orig.rows, &comparer.patched.rows);
    if o_rows.orphans.is_empty() && p_rows.orphans.is_empty() {
        return Ok(());
    }
    let mut same = o_rows.orphans.len() == p_rows.orphans.len();
    let mut name = p_rows.orphans.first().map(|r| p_rows.tables[r.0 as usize].table.section);
    for (o, p) in o_rows.orphans.iter().zip(&p_rows.orphans) {
        let (o_table, p_table) = (&o_rows.tables[o.0 as usize], &p_rows.tables[p.0 as usize]);
        let o_size = comparer.orig.layout.object.section_size(o_table.section);
        let p_size = comparer.patched.layout.object.section_size(p_table.section);
        let (o_start, o_end) = o_table.natural_span(o.1 as usize, o_size);
        let (p_start, p_end) = p_table.natural_span(p.1 as usize, p_size);
        let row = Spans { o: o_table.section, o_start, o_end, p: p_table.section, p_start, p_end };
        if o_table.table.section != p_table.table.section
            || !comparer.whole_row(&row, p_table.table)?
        {
            same = false;
            name = Some(p_table.table.section);
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

/// A table in which no field refers to anything must be as it was.
fn tables_without_rows(comparer: &Comparer<'_, '_, '_, '_>, details: &mut Vec<String>) {
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

fn bare_tables<'d, S: Side>(
    layout: &Layout<'_, 'd, S>,
) -> IndexMap<&'d str, Vec<&'d [u8]>, RandomState> {
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

/// What to say of live state whose initialiser changed: refused when nothing else did.
pub fn check_states(
    comparer: &Comparer<'_, '_, '_, '_>,
    selection: &Selection,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let object = comparer.patched.layout.object;
    let layout = comparer.patched.layout;
    let mut details = Vec::new();
    for state in comparer.states.sorted() {
        let user = layout
            .entity_at(state.user, state.at)
            .and_then(|i| layout.entity(state.user, i).symbol)
            .filter(|&u| object.section_of(u) == Some(state.user));
        let carried = selection.sections[state.user]
            && user.is_none_or(|u| selection.symbols[u])
            && layout.class(state.user) == Class::Text;
        if carried {
            continue;
        }
        let name = object.symbol_name(state.variable);
        let user = user.map_or(object.section_name(state.user), |u| comparer.output_name(u));
        details.push(format!(
            "the initial value of {name}, used by {user}, changed: {}",
            state.reason
        ));
    }
    details.dedup();
    if details.is_empty() {
        return Ok(());
    }
    let advice = "the variable exists in the running kernel and keeps its value; change the function that uses it, too, so that it gets a new one, or set it from a callback";
    if selection.effect.is_empty() {
        return Err(Error::refused(
            "live-state-initialiser",
            "only the initial value of live state changed",
        )
        .with_details(details)
        .advise(advice));
    }
    warnings.extend(details.into_iter().map(|d| format!("WARNING: {d}; {advice}")));
    Ok(())
}

/// Differences between sections that were judged noise, by rule.
pub fn noise(comparer: &Comparer<'_, '_, '_, '_>, verdicts: &Verdicts) -> Vec<NoiseFound> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let mut by_name: IndexMap<&str, Vec<SectionId<Orig>>, RandomState> = IndexMap::default();
    for id in orig.object.sections() {
        by_name.entry(orig.object.section_name(id)).or_default().push(id);
    }
    let mut seen: IndexMap<&str, usize, RandomState> = IndexMap::default();
    let mut found: IndexMap<(&str, &str), NoiseFound, RandomState> = IndexMap::default();
    for id in patched.object.sections() {
        let name = patched.object.section_name(id);
        let nth = seen.entry(name).or_insert(0);
        let twin = comparer
            .twins
            .orig_section(id)
            .or_else(|| by_name.get(name).and_then(|all| all.get(*nth)).copied());
        *nth += 1;
        let rule = match patched.class(id) {
            Class::Noise(rule) => (rule.name, rule.reason),
            Class::Debug => DEBUG,
            Class::Unwind => UNWIND,
            Class::Table(index) if !TABLES[usize::from(index)].verdict => FOLLOWS_CODE,
            Class::Table(_) => ROW_FIELDS,
            Class::Strings => BY_REFERENCE,
            Class::Data if patched.is_nameless(id) => BY_REFERENCE,
            Class::Data | Class::Text if verdicts.section(id).is_same() => LINES,
            Class::Meta | Class::Relocations | Class::Group | Class::Data | Class::Text => continue,
        };
        let before = twin.map_or(&[][..], |t| orig.object.contents(t));
        let after = patched.object.contents(id);
        let differing = before.iter().zip(after).filter(|(a, b)| a != b).count()
            + before.len().abs_diff(after.len());
        if differing == 0 {
            continue;
        }
        let loaded = patched.object.section_flags(id) & abi::SHF_ALLOC != 0;
        let rule = if loaded || matches!(patched.class(id), Class::Noise(_) | Class::Debug) {
            rule
        } else {
            NOT_LOADED
        };
        let entry = found.entry((rule.0, name)).or_insert_with(|| NoiseFound {
            rule: rule.0,
            reason: rule.1,
            section: name.to_owned(),
            bytes: 0,
        });
        entry.bytes += differing as u64;
    }
    found.into_values().collect()
}
