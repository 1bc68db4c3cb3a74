//! Which differing bytes were judged noise, and by which rule.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::account::is_runtime_constant;
use super::compare::Comparer;
use super::verdict::Verdicts;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId};
use crate::kernel::layout::Class;
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
const STAMPS: (&str, &str) =
    ("build-version", "when and by whom the kernel was built; the running kernel keeps its own");
const RUNTIME: (&str, &str) =
    ("runtime-constants", "lists places in code; checked for the functions of the patch");
const NOT_LOADED: (&str, &str) = ("not-loaded", "it has no place in the running kernel");

/// Whether a section holds when and by whom the kernel was built.
fn holds_stamp(comparer: &Comparer<'_, '_, '_, '_>, id: SectionId<Patched>) -> bool {
    let members = comparer.patched.layout.object.members(id);
    members.iter().any(|&member| comparer.is_stamp(member))
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
            Class::Data if is_runtime_constant(name) => RUNTIME,
            Class::Data if patched.is_nameless(id) => BY_REFERENCE,
            Class::Data if holds_stamp(comparer, id) => STAMPS,
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
