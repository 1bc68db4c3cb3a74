//! What only runs while the kernel boots, or a module is loaded: changes of it come too late,
//! and what goes on running must not refer to it.

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use crate::diag::{Code, Diagnostic, Error, Finding, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::pair::{Pair, finding};
use crate::diff::select::boot_code::{BootCode, until};
use crate::diff::selection::Selection;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::boot::{Lifetime, lifetime};
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::sections;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::{Effective, Refs};

/// Whether what only matters while the kernel boots is only warned of, beside what the patch
/// carries.
pub(super) fn passes(boot: BootCode, comparer: &Comparer<'_>, selection: &Selection) -> bool {
    let beside = boot == BootCode::AsLinked && !selection.effect.is_empty();
    (beside || boot.warns(comparer)) && comparer.policy.leaves_boot_code
}

/// A warning about what only matters while the kernel boots.
pub(in crate::diff) fn warning(found: Finding) -> Diagnostic {
    Diagnostic::warning_of(Code::BootOnly, found).advise(ADVICE)
}

/// Fails when functions and data changed that only matter while the kernel boots, or returns
/// warnings about them, as `boot` says. `read` are constants that stay, and that only such code
/// reads.
pub fn check_boot_only(
    comparer: &Comparer<'_>,
    selection: &Selection,
    read: &[SymbolId<Patched>],
    boot: BootCode,
) -> Result<Vec<Diagnostic>> {
    let object = comparer.patched.layout.object;
    let is_function = |&&id: &&SymbolId<Patched>| object.symbol_kind(id) == abi::STT_FUNC;
    let line = |&id: &SymbolId<Patched>| {
        let name = comparer.output_name(id);
        let until = until(comparer, id).unwrap_or(Lifetime::Boot);
        let text = match is_function(&&id) {
            true => format!("function {name} changed, but {}", until.past()),
            false => format!("data {name} changed, {}", until.fate()),
        };
        finding(comparer, id, text)
    };
    let of_constant = |&id: &SymbolId<Patched>| {
        let name = comparer.output_name(id);
        let text =
            format!("constant {name} changed, and only code that has run and is gone reads it");
        finding(comparer, id, text)
    };
    let lines = selection.boot_only.iter().map(line).chain(read.iter().map(of_constant));
    let lines: Vec<Finding> = lines.collect();
    if lines.is_empty() || passes(boot, comparer, selection) {
        return Ok(lines.into_iter().map(warning).collect());
    }
    let functions = selection.boot_only.iter().filter(is_function).count() == lines.len();
    let text = match (functions, comparer.in_module) {
        (true, true) => "changed function(s) only run when the module is loaded",
        (true, false) => "changed function(s) only run while the kernel boots",
        (false, true) => "change(s) only matter when the module is loaded",
        (false, false) => "change(s) only matter while the kernel boots",
    };
    Err(Error::refused(Code::BootOnly, format!("{} {text}", lines.len()))
        .with_findings(lines)
        .advise(ADVICE))
}

const ADVICE: &str = "a livepatch cannot change what has already happened; leave the change out, or undo its effect in a callback";

/// A reference of the patch to what may be gone.
pub struct Dangling {
    /// Section of the relocation.
    pub base: SectionId<Patched>,
    /// Where in it.
    pub at: u64,
    /// What is meant.
    pub symbol: SymbolId<Patched>,
    /// The section it is in, or what else it is part of.
    pub place: String,
    /// What becomes of it.
    pub lifetime: Lifetime,
    /// It is in the patch.
    pub carried: bool,
}

/// Fails when the patch refers to what the object says is freed before it is applied.
pub fn check_lifetimes(comparer: &Comparer<'_>, selection: &Selection) -> Result<()> {
    let layout = comparer.patched.layout;
    let object = layout.object;
    let mut found = Vec::new();
    let mut note = |base, reloc: &Reloc<Patched>| {
        let Some(symbol) = meant(layout, base, reloc)? else { return Ok(()) };
        let Some(target) = object.section_of(symbol) else { return Ok(()) };
        let place = object.section_name(target);
        if let Some(lifetime) = lifetime(place, comparer.in_module) {
            let carried = selection.has_symbol(object, symbol);
            let (at, place) = (reloc.offset, format!("section {place}"));
            found.push(Dangling { base, at, symbol, place, lifetime, carried });
        }
        Ok(())
    };
    let is_kept = |s: &SectionId<_>| stays(layout, *s, comparer.in_module);
    for base in object.sections().filter(is_kept) {
        if selection.sections[base] && !matches!(layout.class(base), Class::Table(_)) {
            let mut relocs = object.relocs(base).iter();
            let all = relocs.by_ref().filter(|r| selection.has(base, r.offset));
            for reloc in all {
                note(base, &reloc)?;
            }
        }
    }
    for (&number, rows) in &selection.rows {
        let Some(table) = comparer.patched.rows.tables.get(number as usize) else { continue };
        if !is_kept(&table.section) {
            continue;
        }
        let size = object.section_size(table.section);
        for &row in rows {
            let (start, end) = table.span(row as usize, size);
            for reloc in object.relocs(table.section).within(start, end) {
                note(table.section, &reloc)?;
            }
        }
    }
    refuse_dangling(comparer, found)
}

/// Fails for references to what is gone. What the original refers to from the same place the
/// patch may go on referring to: that was written to know when.
pub fn refuse_dangling(pair: &Pair<'_>, found: Vec<Dangling>) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let layout = pair.patched.layout;
    let object = layout.object;
    let before = existing(pair, &found)?;
    let mut findings: IndexMap<(String, String), Finding, RandomState> = IndexMap::default();
    for Dangling { base, at, symbol, place, lifetime, carried } in found {
        let user = layout.user_at(base, at);
        if !carried && is_known(pair, &before, (base, user), symbol) {
            continue;
        }
        let section = object.section_name(base);
        let named = object.symbol_kind(symbol) != abi::STT_SECTION;
        let name = if named { pair.output_name(symbol) } else { "data without a name" };
        let by = user.map_or_else(
            || format!("data without a name in section {section}"),
            |user| pair.output_name(user).to_owned(),
        );
        let what = format!("{name} in {place}, {}", lifetime.fate());
        let text = match carried {
            true => format!("{by} needs {what}; so would be the copy in the patch"),
            false => format!("{by} now refers to {what}"),
        };
        let finding = Finding::in_section(section, text);
        let offset = user.map_or(0, |user| object.symbol_value(user));
        let finding = match user {
            Some(user) => finding.at_symbol(pair.output_name(user)),
            None => finding,
        };
        findings.entry((by, what)).or_insert(finding.at_offset(at.wrapping_sub(offset)));
    }
    if findings.is_empty() {
        return Ok(());
    }
    let text = format!("{} reference(s) to what is no longer there", findings.len());
    Err(Error::refused(Code::BootOnlyReference, text)
        .with_findings(findings.into_values().collect())
        .advise("the memory is freed and used for something else: take the reference out, or take __init, __initdata, __initconst or __exit from what is new and must stay"))
}

/// Whether a section is loaded, stays, and is read. Of the slots of a TOC those count that
/// something refers to.
fn stays<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, module: bool) -> bool {
    let object = layout.object;
    let name = object.section_name(section);
    matches!(layout.class(section), Class::Text | Class::Data | Class::Strings | Class::Table(_))
        && object.section_flags(section) & abi::SHF_ALLOC != 0
        && !object.relocs(section).is_empty()
        && name != sections::TOC
        && lifetime(name, module).is_none()
        && !sections::starts_with_any(name, &sections::BOOT_LISTS)
}

/// The symbol that a relocation means, behind a slot of the TOC as well.
fn meant<S: Side>(
    layout: &Layout<'_, S>,
    base: SectionId<S>,
    reloc: &Reloc<S>,
) -> Result<Option<SymbolId<S>>> {
    let refs = Refs::new(layout, base);
    let Effective::Reloc(holder, effective) = refs.effective(reloc)? else { return Ok(None) };
    let meant = match holder == base {
        true => refs.resolve(&effective)?.symbol,
        false => Refs::new(layout, holder).resolve(&effective)?.symbol,
    };
    Ok(Some(meant))
}

/// Who refers to what is freed: functions and variables as such, what has no name by section.
#[derive(Default)]
struct Existing<'a> {
    by_symbol: IndexSet<(SymbolId<Orig>, SymbolId<Orig>), RandomState>,
    by_section: IndexSet<(&'a str, SymbolId<Orig>), RandomState>,
}

/// Who refers to what the targets of some references were.
fn existing<'a>(pair: &Pair<'a>, found: &[Dangling]) -> Result<Existing<'a>> {
    let layout = pair.orig.layout;
    let object = layout.object;
    let wanted: IndexSet<SymbolId<Orig>, RandomState> =
        found.iter().filter_map(|d| twin(pair, d.symbol)).collect();
    let mut before = Existing::default();
    if wanted.is_empty() {
        return Ok(before);
    }
    for base in object.sections().filter(|&s| stays(layout, s, pair.in_module)) {
        for reloc in object.relocs(base).iter() {
            let Some(symbol) = meant(layout, base, &reloc)?.filter(|s| wanted.contains(s)) else {
                continue;
            };
            match layout.user_at(base, reloc.offset) {
                Some(user) => before.by_symbol.insert((user, symbol)),
                None => before.by_section.insert((object.section_name(base), symbol)),
            };
        }
    }
    Ok(before)
}

/// What stands for a symbol in the original.
fn twin(pair: &Pair<'_>, symbol: SymbolId<Patched>) -> Option<SymbolId<Orig>> {
    let (orig, patched) = (pair.orig.layout.object, pair.patched.layout.object);
    if patched.symbol_kind(symbol) != abi::STT_SECTION {
        return pair.twins.orig_symbol(symbol);
    }
    let section = pair.twins.orig_section(patched.section_of(symbol)?)?;
    orig.section_symbol(section)
}

/// Whether the original refers to the twin of a target from the twin of a user.
fn is_known(
    pair: &Pair<'_>,
    before: &Existing<'_>,
    (base, user): (SectionId<Patched>, Option<SymbolId<Patched>>),
    symbol: SymbolId<Patched>,
) -> bool {
    let Some(target) = twin(pair, symbol) else { return false };
    let name = pair.patched.layout.object.section_name(base);
    match user {
        Some(user) => {
            let user = pair.twins.orig_symbol(user);
            user.is_some_and(|user| before.by_symbol.contains(&(user, target)))
        }
        None => before.by_section.iter().any(|b| b.1 == target && names::same(b.0, name)),
    }
}
