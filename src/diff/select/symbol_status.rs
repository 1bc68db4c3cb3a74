//! The status of a symbol: what its twin and it are, where they are, and what differs there.

use super::ignore::Ignored;
use super::status::{Status, is_past_in, is_shared, size_mismatch};
use crate::diag::{Code, Error, Result};
use crate::diff::compare::build_version::is_build_version;
use crate::diff::compare::comparer::Comparer;
use crate::diff::definition::{are_alike, convention};
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::ids::{IdVec, Orig, Patched, SectionId, SymbolId};
use crate::elf::object::{Home, Symbol};
use crate::kernel::knowledge::names;
use crate::kernel::knowledge::symbols;
use crate::kernel::layout::Class;
use crate::running::kallsyms::is_promoted;

/// A symbol that a section defines, with the section.
type Placed<S> = (SymbolId<S>, SectionId<S>);

/// What became of sections and of the relocations that apply to them.
pub(super) struct Sections {
    pub bytes: IdVec<SectionId<Patched>, Status>,
    pub relocs: IdVec<SectionId<Patched>, Status>,
}

impl Sections {
    /// Whether either of a section changed.
    pub fn has_changed(&self, section: SectionId<Patched>) -> bool {
        [self.bytes[section], self.relocs[section]].contains(&Status::Changed)
    }
}

/// What the statuses of symbols follow from.
pub(super) struct SymbolJudge<'j> {
    pub comparer: &'j Comparer<'j>,
    pub verdicts: &'j Verdicts,
    pub ignored: &'j Ignored,
    pub sections: &'j Sections,
    /// All definitions of the build are known, so that the one given counts.
    pub complete: bool,
}

impl SymbolJudge<'_> {
    /// The status of a symbol. Fails on differences that no patch can express.
    pub(super) fn status(&self, id: SymbolId<Patched>) -> Result<Status> {
        let comparer = self.comparer;
        let after = comparer.patched.layout.object;
        if after.symbol_kind(id) == abi::STT_SECTION {
            let paired =
                after.section_of(id).is_none_or(|s| comparer.twins.orig_section(s).is_some());
            return Ok(if paired { Status::Same } else { Status::New });
        }
        let Some(twin) = comparer.twins.orig_symbol(id) else { return Ok(Status::New) };
        let sections = homes(comparer, twin, id)?;
        self.check_info((twin, id), sections.is_some())?;
        match sections {
            Some((o, p)) => self.defined((twin, o), (id, p)),
            None => outside(comparer, twin, id),
        }
    }

    /// Whether what shares a section is judged by itself.
    fn in_parts(&self) -> bool {
        !self.comparer.policy.whole_sections
    }

    /// Fails when the types of two symbols differ, or who can see them and it matters.
    fn check_info(
        &self,
        (twin, id): (SymbolId<Orig>, SymbolId<Patched>),
        defined: bool,
    ) -> Result<()> {
        let comparer = self.comparer;
        let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
        let (before, after) = (orig.object, patched.object);
        let (bind, now) = (before.symbol_bind(twin), after.symbol_bind(id));
        let may_differ = || {
            let settled = || self.complete || orig.is_linked() && patched.is_linked();
            self.is_exported(&before.symbol(twin), &after.symbol(id))
                || self.in_parts() && is_rebound(bind, now) && defined && settled()
        };
        if before.symbol_kind(twin) != after.symbol_kind(id) || bind != now && !may_differ() {
            return Err(info_mismatch(after.symbol_name(id)));
        }
        Ok(())
    }

    /// The status of what both objects define.
    fn defined(&self, (twin, o): Placed<Orig>, (id, p): Placed<Patched>) -> Result<Status> {
        let SymbolJudge { comparer, verdicts, .. } = *self;
        let patched = comparer.patched.layout;
        let (before, after) = (comparer.orig.layout.object, patched.object);
        let kind = after.symbol_kind(id);
        // Names are only read where they decide.
        let name = || after.symbol_name(id);
        let sizes = (before.symbol_size(twin), after.symbol_size(id));
        let is_behind = |value: u64, size, end| value.saturating_add(size) > end;
        // Thread-local variables are reached by their place alone.
        let own = |size: u64| if kind == abi::STT_TLS { size } else { 0 };
        if is_behind(after.symbol_value(id), own(sizes.1), after.section_size(p))
            && !is_behind(before.symbol_value(twin), own(sizes.0), before.section_size(o))
        {
            return Err(info_mismatch(name()));
        }
        // clang numbers its string literals (`.L.str.3`); each is compared where it is used.
        if patched.class(p) == Class::Strings && name().starts_with(".L") {
            return Ok(Status::Same);
        }
        let moved = comparer.twins.orig_section(p) != Some(o) && !is_label(kind, name());
        // Nobody reads these names in the running kernel.
        if self.in_parts() && (moved || sizes.0 != sizes.1) && names::is_for_modpost(name()) {
            return Ok(Status::Same);
        }
        if !is_where_it_was(comparer, verdicts, (twin, o), (id, p)) {
            return Err(if moved {
                changed_sections(comparer, id, (o, p))
            } else {
                alias_moved(name())
            });
        }
        if moved {
            let entity = patched.entity_at(p, after.symbol_value(id));
            let verdict = entity.map(|index| verdicts.entity(p, index));
            if comparer.policy.proves_noise && verdict.is_some_and(|v| !v.has(Verdict::NEW)) {
                let same = verdict.is_some_and(Verdict::is_same);
                return Ok(if same { Status::Same } else { Status::Changed });
            }
            self.check_move(id, (o, p))?;
            return Ok(Status::Changed);
        }
        let past = self.in_parts() && is_past_in(patched, p, comparer.in_module);
        if kind == abi::STT_OBJECT
            && sizes.0 != sizes.1
            && !past
            && !(is_build_version(comparer, id)
                && entity_status(comparer, verdicts, id, p) == Status::Same)
        {
            return Err(size_mismatch(name(), sizes));
        }
        if patched.is_bundled(id) {
            return self.bundled((twin, o), (id, p));
        }
        if is_shared(comparer, p) {
            return Ok(entity_status(comparer, verdicts, id, p));
        }
        Ok(self.shared_constant(id, p))
    }

    /// The status of what has its section for itself.
    fn bundled(&self, (twin, o): Placed<Orig>, (id, p): Placed<Patched>) -> Result<Status> {
        let comparer = self.comparer;
        let (before, after) = (comparer.orig.layout.object, comparer.patched.layout.object);
        let changed = self.sections.has_changed(p);
        // The same bytes are entered elsewhere.
        let entry = before.symbol_value(twin) != after.symbol_value(id)
            && before.section_size(o) == after.section_size(p);
        let entered = matches!(after.symbol_kind(id), abi::STT_FUNC | abi::STT_TLS) && entry;
        if !changed && (!same_convention(comparer, twin, id) || entered) {
            return Err(info_mismatch(after.symbol_name(id)));
        }
        Ok(if changed { Status::Changed } else { Status::Same })
    }

    /// Whether ThinLTO exported a static function, as it does while another file imports its
    /// users, or made it static again.
    fn is_exported(&self, twin: &Symbol<'_, Orig>, symbol: &Symbol<'_, Patched>) -> bool {
        let named = is_promoted(twin.name) || is_promoted(symbol.name);
        (self.in_parts() || named) && is_promotion(twin, symbol)
    }

    /// A constant that shares its section may be copied into the patch: nobody can see that
    /// there are two. Code and variables in shared sections stay where they are.
    fn shared_constant(&self, id: SymbolId<Patched>, section: SectionId<Patched>) -> Status {
        let layout = self.comparer.patched.layout;
        let header = layout.object.section(section);
        let constant = layout.class(section) == Class::Data && header.flags & abi::SHF_WRITE == 0;
        let entity = layout.entity_at(section, layout.object.symbol_value(id));
        match entity {
            Some(index) if constant && !self.verdicts.entity(section, index).is_same() => {
                Status::Changed
            }
            _ => Status::Same,
        }
    }

    /// Whether a symbol may have moved between sections.
    fn check_move(
        &self,
        id: SymbolId<Patched>,
        (o, p): (SectionId<Orig>, SectionId<Patched>),
    ) -> Result<()> {
        let SymbolJudge { comparer, ignored, .. } = *self;
        let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
        let left_ignored = comparer.twins.patched_section(o).is_some_and(|s| {
            ignored.sections.contains(&s) || matches!(patched.class(s), Class::Noise(_))
        });
        let names = (orig.object.section_name(o), patched.object.section_name(p));
        if left_ignored || names::hot_cold(names.0) != names::hot_cold(names.1) {
            return Ok(());
        }
        Err(changed_sections(comparer, id, (o, p)))
    }
}

/// The sections that define two symbols; `None` when neither has one. Fails when they are not
/// defined alike.
fn homes(
    comparer: &Comparer<'_>,
    twin: SymbolId<Orig>,
    id: SymbolId<Patched>,
) -> Result<Option<(SectionId<Orig>, SectionId<Patched>)>> {
    let (before, after) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let sizes = (before.symbol_size(twin), after.symbol_size(id));
    match (before.home(twin), after.home(id)) {
        (Home::Section(o), Home::Section(p)) => Ok(Some((o, p))),
        (Home::Section(_), _) | (_, Home::Section(_)) => Err(info_mismatch(after.symbol_name(id))),
        (Home::Common, Home::Common) if sizes.0 != sizes.1 => {
            Err(size_mismatch(after.symbol_name(id), sizes))
        }
        _ if !are_alike(&before.symbol(twin), &after.symbol(id)) => {
            Err(info_mismatch(after.symbol_name(id)))
        }
        _ => Ok(None),
    }
}

/// The status of what no section defines.
fn outside(comparer: &Comparer<'_>, twin: SymbolId<Orig>, id: SymbolId<Patched>) -> Result<Status> {
    let (before, after) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let name = || after.symbol_name(id);
    let absolute = (before.home(twin), after.home(id)) == (Home::Absolute, Home::Absolute);
    let values = (before.symbol_value(twin), after.symbol_value(id));
    let is_local = before.symbol_bind(twin) == abi::STB_LOCAL;
    if absolute && values.0 != values.1 && !is_local && !name().starts_with(CHECKSUMS) {
        return Err(absolute_changed(name(), values));
    }
    match same_convention(comparer, twin, id) {
        true => Ok(Status::Same),
        false => Err(info_mismatch(name())),
    }
}

/// Whether both are called in the same way.
fn same_convention(comparer: &Comparer<'_>, twin: SymbolId<Orig>, id: SymbolId<Patched>) -> bool {
    let (before, after) = (comparer.orig.layout.object, comparer.patched.layout.object);
    convention(before.symbol_other(twin)) == convention(after.symbol_other(id))
}

/// Whether a function or variable is a name of what its twin is a name of: an alias may stand
/// for something else, although what it stood for, and stands for now, did not change.
fn is_where_it_was(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    (twin, o): (SymbolId<Orig>, SectionId<Orig>),
    (id, p): (SymbolId<Patched>, SectionId<Patched>),
) -> bool {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let (before, after) = (orig.object, patched.object);
    // Where only this file knows a name without a size, its users tell what it stands for.
    let is_seen = match after.symbol_kind(id) {
        abi::STT_FUNC | abi::STT_OBJECT if after.symbol_size(id) > 0 => true,
        abi::STT_FUNC | abi::STT_OBJECT | abi::STT_NOTYPE => !patched.is_local(id),
        _ => false,
    };
    if !is_seen || patched.owner(p) == Some(id) || patched.is_prefix(id) {
        return true;
    }
    let value = after.symbol_value(id);
    let Some(index) = patched.entity_at(p, value) else { return true };
    let Some(main) = patched.entity(p, index).symbol.filter(|&main| main != id) else {
        return true;
    };
    // What is new, or not known to be anything else, is judged as a whole.
    let Some(main_twin) = comparer.twins.orig_symbol(main) else { return true };
    let Some(home) = before.section_of(main_twin) else { return true };
    let (value_before, main_before) = (before.symbol_value(twin), before.symbol_value(main_twin));
    let placed =
        value.wrapping_sub(after.symbol_value(main)) == value_before.wrapping_sub(main_before);
    // A name at the end of a thing is in none, or in what was linked behind it.
    let at_end = placed && after.symbol_size(id) == 0;
    home == o
        && (at_end || orig.entity_at(o, value_before) == orig.entity_at(o, main_before))
        && (placed || !verdicts.entity(p, index).is_same())
}

fn alias_moved(name: &str) -> Error {
    Error::refused(Code::AliasMoved, format!("{name} stands for another function or variable now"))
        .at_symbol(name)
        .advise("who uses this name in the running kernel goes on with the old one: keep it, and change what it stands for")
}

fn changed_sections(
    comparer: &Comparer<'_>,
    id: SymbolId<Patched>,
    (o, p): (SectionId<Orig>, SectionId<Patched>),
) -> Error {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let name = patched.symbol_name(id);
    let sizes = comparer.twins.orig_symbol(id).map(|twin| orig.symbol_size(twin));
    let sizes = sizes.map(|before| (before, patched.symbol_size(id)));
    let is_data = patched.symbol_kind(id) == abi::STT_OBJECT;
    let advice = match sizes.filter(|(before, after)| is_data && before != after) {
        Some((before, after)) => format!(
            "it was moved from {} to {} and has another type, of {after} bytes instead of {before}: \
             what the running kernel keeps of it has the old one. Leave such a variable as it is, \
             or, where only code that runs at boot uses it, leave the file out of the patch",
            orig.section_name(o),
            patched.section_name(p)
        ),
        None => format!(
            "it moved from {} to {}, which means something to the kernel: keep it where it was",
            orig.section_name(o),
            patched.section_name(p)
        ),
    };
    Error::refused(Code::SymbolChangedSections, format!("symbol changed sections: {name}"))
        .in_section(patched.section_name(p))
        .at_symbol(name)
        .advise(advice)
}

/// The status of the symbol that names an entity; aliases have none of their own.
fn entity_status(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    id: SymbolId<Patched>,
    section: SectionId<Patched>,
) -> Status {
    let layout = comparer.patched.layout;
    let index = layout.entity_at(section, layout.object.symbol_value(id));
    let named = index.filter(|&i| layout.entity(section, i).symbol == Some(id));
    match named.map(|i| verdicts.entity(section, i)) {
        Some(verdict) if !verdict.is_same() => Status::Changed,
        _ => Status::Same,
    }
}

/// STV_HIDDEN.
const HIDDEN: u8 = 2;

/// Whether one is static, and the other what only its own link unit can see.
fn is_promotion<O, P>(orig: &Symbol<'_, O>, patched: &Symbol<'_, P>) -> bool {
    let exported = |bind, other: u8| bind == abi::STB_GLOBAL && other & 3 == HIDDEN;
    orig.bind == abi::STB_LOCAL && exported(patched.bind, patched.other)
        || patched.bind == abi::STB_LOCAL && exported(orig.bind, orig.other)
}

/// Whether one is weak, and the other not.
fn is_rebound(orig: u8, patched: u8) -> bool {
    let visible = |bind| matches!(bind, abi::STB_GLOBAL | abi::STB_WEAK);
    orig != patched && visible(orig) && visible(patched)
}

fn info_mismatch(name: &str) -> Error {
    Error::refused(Code::SymbolInfoMismatch, format!("symbol info mismatch: {name}"))
        .at_symbol(name)
        .advise("its binding, its type, or whether it is defined here changed")
}

/// Checksums of exports, which the kernel reads when it loads a module that was built with them.
const CHECKSUMS: &str = symbols::CHECKSUM;

fn absolute_changed(name: &str, (before, after): (u64, u64)) -> Error {
    Error::refused(
        Code::AbsoluteSymbolChanged,
        format!("the value of {name} changed from {before:#x} to {after:#x}"),
    )
    .at_symbol(name)
    .advise("the running kernel's code has the old value built in")
}

/// Compiler-made labels, which nothing but code next to them refers to.
fn is_label(kind: u8, name: &str) -> bool {
    kind == abi::STT_NOTYPE && name.starts_with(".L")
}
