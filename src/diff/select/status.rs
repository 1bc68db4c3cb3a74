//! Section and symbol statuses in the sense of kpatch, derived from the verdicts.
//!
//! The drop-in's output and its refusals are defined in terms of sections. The verdicts know more: they are about functions and variables.

use rayon::prelude::*;

use super::ignore::Ignored;
use super::lift::{Lifted, names_of};
use crate::diag::{Code, Error, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::definition::{are_alike, convention};
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::ids::{Id, IdVec, Orig, Patched, SectionId, SymbolId};
use crate::elf::object::{Home, Symbol};
use crate::kernel::boot::{lifetime, runs_until};
use crate::kernel::knowledge::{sections, symbols};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::macros;
use crate::kernel::names;
use crate::running::kallsyms::is_promoted;

/// How a section or symbol of the patched object relates to its twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// There is no twin.
    New,
    /// It differs from its twin.
    Changed,
    /// It equals its twin.
    Same,
}

/// The statuses of everything in the patched object.
#[derive(Clone)]
pub struct Statuses {
    /// Of sections, relocations excluded.
    pub sections: IdVec<SectionId<Patched>, Status>,
    /// Of the relocations that apply to a section.
    pub relocs: IdVec<SectionId<Patched>, Status>,
    /// Of symbols.
    pub symbols: IdVec<SymbolId<Patched>, Status>,
    /// Lines for the user.
    pub messages: Vec<String>,
    /// Functions that cannot be redirected, and are carried for their callers: new ones of the
    /// patch, although they have twins.
    pub lifted: Lifted,
    /// Sections that functions or variables share are judged by these, not as a whole.
    split: bool,
    /// All definitions of the build are known, so that the one given counts.
    complete: bool,
}

impl Statuses {
    /// Whether a section is shared by several functions or variables, or by strings and
    /// constants, so that it is judged and carried in parts.
    pub fn is_shared(&self, layout: &Layout<'_, '_, Patched>, section: SectionId<Patched>) -> bool {
        self.split
            && layout.owner(section).is_none()
            && matches!(layout.class(section), Class::Text | Class::Data | Class::Strings)
            && layout.object.section_name(section) != sections::TOC
            && !layout.object.section_name(section).starts_with(macros::PREFIX)
    }

    /// Derives all statuses. But for the drop-in, entities of shared sections are judged one
    /// by one. With `complete`, or in objects linked from several, a definition may become weak,
    /// or cease to be. Fails, with class refused, on differences that no patch can express.
    pub fn new(
        comparer: &Comparer<'_, '_, '_, '_>,
        verdicts: &Verdicts,
        ignored: &Ignored,
        complete: bool,
    ) -> Result<Self> {
        let object = comparer.patched.layout.object;
        let mut statuses = Statuses {
            sections: IdVec::filled(Status::Same, object.section_count()),
            relocs: IdVec::filled(Status::Same, object.section_count()),
            symbols: IdVec::filled(Status::Same, object.symbol_count()),
            messages: Vec::new(),
            lifted: Lifted::default(),
            split: !comparer.policy.whole_sections,
            complete,
        };
        // The first error counts, on any number of threads.
        let found = differing(object.section_count(), |id| {
            let [bytes, relocs] = statuses.of_section(comparer, verdicts, id)?;
            let same = [bytes, relocs] == [Status::Same; 2];
            Ok((!same).then_some([bytes, relocs]))
        });
        for found in found {
            let (id, [bytes, relocs]) = found?;
            statuses.sections[id] = bytes;
            statuses.relocs[id] = relocs;
        }
        let found = differing(object.symbol_count(), |id| {
            let status = statuses.symbol(comparer, verdicts, ignored, id)?;
            Ok((status != Status::Same).then_some(status))
        });
        for found in found {
            let (id, status) = found?;
            statuses.symbols[id] = status;
        }
        statuses.spread(comparer);
        statuses.messages = ignored.apply(comparer.patched.layout, &mut statuses);
        Ok(statuses)
    }

    /// Whether the patch has its own definition of what the kernel has under that name: a changed
    /// function, or one that is carried for its callers.
    pub fn is_own_copy(&self, layout: &Layout<'_, '_, Patched>, id: SymbolId<Patched>) -> bool {
        layout.object.symbol_kind(id) == abi::STT_FUNC
            && (self.symbols[id] == Status::Changed && layout.parent(id).is_none()
                || self.lifted.carries(layout, id))
    }

    /// Makes a function, with its parts and all its names, one that only the patch has.
    pub(in crate::diff) fn carry(
        &mut self,
        comparer: &Comparer<'_, '_, '_, '_>,
        root: SymbolId<Patched>,
    ) {
        for id in names_of(comparer.patched.layout, root) {
            self.symbols[id] = Status::New;
        }
    }

    /// Makes functions changed whose parts are, and parts whose functions are.
    pub(super) fn spread(&mut self, comparer: &Comparer<'_, '_, '_, '_>) {
        self.spread_to_parents(comparer);
        if self.split {
            self.spread_to_parts(comparer);
        }
    }

    /// Of a section and of the relocations that apply to it.
    fn of_section(
        &self,
        comparer: &Comparer<'_, '_, '_, '_>,
        verdicts: &Verdicts,
        id: SectionId<Patched>,
    ) -> Result<[Status; 2]> {
        const SAME: [Status; 2] = [Status::Same; 2];
        let layout = comparer.patched.layout;
        let class = layout.class(id);
        if matches!(class, Class::Meta | Class::Relocations | Class::Noise(_)) {
            return Ok(SAME);
        }
        let Some(twin) = comparer.twins.orig_section(id) else {
            return Ok([Status::New; 2]);
        };
        let (orig, patched) = (comparer.orig.layout.object, layout.object);
        // How long the rows of a table are was proved for both; the linker merges none that has
        // relocations. What lies in a section of several is compared one by one, and carried so.
        let is_table = self.split && matches!(class, Class::Table(_));
        let is_shared = self.is_shared(layout, id);
        // Where a constant ends that the linker merges with others, the size of entries says.
        let is_merged =
            patched.section_flags(id) & abi::SHF_MERGE != 0 && patched.relocs(id).is_empty();
        let shown = |flags: u64| if is_table { flags & !abi::SHF_MERGE } else { flags };
        let flags = (shown(orig.section_flags(twin)), shown(patched.section_flags(id)));
        // Compilers compress debug information where that makes it smaller.
        let is_debug = class == Class::Debug && (flags.0 | flags.1) & abi::SHF_ALLOC == 0;
        let same_kind = orig.section_kind(twin) == patched.section_kind(id) && flags.0 == flags.1;
        // What is gone when the patch is applied is not in it.
        let is_past = self.split && is_past_in(layout, id, comparer.in_module);
        let same_entries = orig.section_entsize(twin) == patched.section_entsize(id)
            || is_table
            || is_shared && class != Class::Strings && !is_merged;
        let same_alignment = orig.section_align(twin) == patched.section_align(id)
            || patched.is_text(id)
            || is_shared && is_aligned_for_new(comparer, twin, id)
            || self.split
                && class == Class::Data
                && patched.section_align(id) < orig.section_align(twin);
        let same_header = same_kind && (is_past || same_entries && same_alignment);
        if !is_debug && !same_header {
            if self.split {
                size_settled(comparer, id)?;
            }
            let (o, p) = (orig.section(twin), patched.section(id));
            return Err(Error::refused(
                Code::SectionHeaderDiffers,
                format!("{} section header details differ from {}", o.name, p.name),
            )
            .in_section(p.name)
            .advise(format!(
                "type {:#x}/{:#x}, flags {:#x}/{:#x}, entry size {}/{}, alignment {}/{}",
                o.kind, p.kind, o.flags, p.flags, o.entsize, p.entsize, o.align, p.align
            )));
        }
        // Descriptors of debug messages hold line numbers; `diff::compare::states` compares the rest.
        if verdicts.section(id).is_same()
            || self.is_shared(layout, id)
            || names::is_special_static_section(patched.section_name(id))
        {
            return Ok(SAME);
        }
        let verdict = named_verdict(comparer, verdicts, id);
        // A new variable in a section of several is no change of the others: it comes in only
        // when something refers to it.
        let status = |changed| if changed { Status::Changed } else { Status::Same };
        let bytes = verdict.has(Verdict::BYTES) || verdict.has(Verdict::ROWS);
        Ok([status(bytes), status(verdict.has(Verdict::RELOCS))])
    }

    fn symbol(
        &self,
        comparer: &Comparer<'_, '_, '_, '_>,
        verdicts: &Verdicts,
        ignored: &Ignored,
        id: SymbolId<Patched>,
    ) -> Result<Status> {
        let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
        let (before, after) = (orig.object, patched.object);
        let kind = after.symbol_kind(id);
        if kind == abi::STT_SECTION {
            let paired =
                after.section_of(id).is_none_or(|s| comparer.twins.orig_section(s).is_some());
            return Ok(if paired { Status::Same } else { Status::New });
        }
        let Some(twin) = comparer.twins.orig_symbol(id) else { return Ok(Status::New) };
        // Names are only read where they decide.
        let name = || after.symbol_name(id);
        let sizes = (before.symbol_size(twin), after.symbol_size(id));
        let sections = match (before.home(twin), after.home(id)) {
            (Home::Section(o), Home::Section(p)) => Some((o, p)),
            (Home::Section(_), _) | (_, Home::Section(_)) => {
                return Err(info_mismatch(name()));
            }
            (Home::Common, Home::Common) if sizes.0 != sizes.1 => {
                return Err(size_mismatch(name(), sizes));
            }
            _ if !are_alike(&before.symbol(twin), &after.symbol(id)) => {
                return Err(info_mismatch(name()));
            }
            _ => None,
        };
        let (bind, now) = (before.symbol_bind(twin), after.symbol_bind(id));
        let may_differ = || {
            let settled = || self.complete || orig.is_linked() && patched.is_linked();
            self.is_exported(&before.symbol(twin), &after.symbol(id))
                || self.split && is_rebound(bind, now) && sections.is_some() && settled()
        };
        if before.symbol_kind(twin) != kind || bind != now && !may_differ() {
            return Err(info_mismatch(name()));
        }
        let [before_call, now_called] = [before.symbol_other(twin), after.symbol_other(id)];
        let convention = convention(before_call) == convention(now_called);
        let Some((o, p)) = sections else {
            let absolute = (before.home(twin), after.home(id)) == (Home::Absolute, Home::Absolute);
            let (o, p) = (before.symbol_value(twin), after.symbol_value(id));
            if absolute && o != p && bind != abi::STB_LOCAL && !name().starts_with(CHECKSUMS) {
                return Err(absolute_changed(name(), (o, p)));
            }
            return if convention { Ok(Status::Same) } else { Err(info_mismatch(name())) };
        };
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
        if self.split && (moved || sizes.0 != sizes.1) && names::is_for_modpost(name()) {
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
            self.check_move(comparer, ignored, id, (o, p))?;
            return Ok(Status::Changed);
        }
        let past = self.split && is_past_in(patched, p, comparer.in_module);
        if kind == abi::STT_OBJECT
            && sizes.0 != sizes.1
            && !past
            && !(comparer.is_stamp(id) && entity_status(comparer, verdicts, id, p) == Status::Same)
        {
            return Err(size_mismatch(name(), sizes));
        }
        if !patched.is_bundled(id) {
            if self.is_shared(patched, p) {
                return Ok(entity_status(comparer, verdicts, id, p));
            }
            return Ok(self.shared_constant(comparer, verdicts, id, p));
        }
        let changed = [self.sections[p], self.relocs[p]].contains(&Status::Changed);
        // The same bytes are entered elsewhere.
        let entry = before.symbol_value(twin) != after.symbol_value(id)
            && before.section_size(o) == after.section_size(p);
        if !changed && (!convention || matches!(kind, abi::STT_FUNC | abi::STT_TLS) && entry) {
            return Err(info_mismatch(name()));
        }
        Ok(if changed { Status::Changed } else { Status::Same })
    }

    /// Whether ThinLTO exported a static function, as it does while another file imports its
    /// users, or made it static again.
    fn is_exported(&self, twin: &Symbol<'_, Orig>, symbol: &Symbol<'_, Patched>) -> bool {
        let named = is_promoted(twin.name) || is_promoted(symbol.name);
        (self.split || named) && is_promotion(twin, symbol)
    }

    /// A constant that shares its section may be copied into the patch: nobody can see that
    /// there are two. Code and variables in shared sections stay where they are.
    fn shared_constant(
        &self,
        comparer: &Comparer<'_, '_, '_, '_>,
        verdicts: &Verdicts,
        id: SymbolId<Patched>,
        section: SectionId<Patched>,
    ) -> Status {
        let layout = comparer.patched.layout;
        let header = layout.object.section(section);
        let constant = layout.class(section) == Class::Data && header.flags & abi::SHF_WRITE == 0;
        let entity = layout.entity_at(section, layout.object.symbol_value(id));
        match entity {
            Some(index) if constant && !verdicts.entity(section, index).is_same() => {
                Status::Changed
            }
            _ => Status::Same,
        }
    }

    /// Whether a symbol may have moved between sections.
    fn check_move(
        &self,
        comparer: &Comparer<'_, '_, '_, '_>,
        ignored: &Ignored,
        id: SymbolId<Patched>,
        (o, p): (SectionId<Orig>, SectionId<Patched>),
    ) -> Result<()> {
        let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
        let left_ignored = comparer.twins.patched_section(o).is_some_and(|s| {
            ignored.sections.contains(&s) || matches!(patched.class(s), Class::Noise(_))
        });
        let names = (orig.object.section_name(o), patched.object.section_name(p));
        if left_ignored || names::heat(names.0) != names::heat(names.1) {
            return Ok(());
        }
        Err(changed_sections(comparer, id, (o, p)))
    }

    /// A function whose split-off part changed has changed, unless ftrace can hook the part
    /// by itself.
    fn spread_to_parents(&mut self, comparer: &Comparer<'_, '_, '_, '_>) {
        let layout = comparer.patched.layout;
        let object = layout.object;
        for id in layout.parts() {
            let Some(section) = object.section_of(id) else { continue };
            let changed = [self.sections[section], self.relocs[section]].contains(&Status::Changed)
                || self.split && self.symbols[id] == Status::Changed;
            if !changed {
                continue;
            }
            let mut child = id;
            while let Some(parent) = layout.parent(child) {
                if layout.has_profiling(child) {
                    break;
                }
                if self.symbols[parent] == Status::Same {
                    self.symbols[parent] = Status::Changed;
                }
                child = parent;
            }
        }
    }

    /// A part that was split off goes along with its changed function even when it is as it
    /// was: it jumps back into the function, and the kernel's part would into the kernel's
    /// function. A part that ftrace can hook is called and returns. What only runs at boot
    /// stays out of the patch, and so do its parts.
    fn spread_to_parts(&mut self, comparer: &Comparer<'_, '_, '_, '_>) {
        let layout = comparer.patched.layout;
        let object = layout.object;
        let place = |id| object.section_of(id).map_or("", |s| object.section_name(s));
        for id in layout.parts() {
            let mut child = id;
            while let Some(parent) = layout.parent(child)
                && !layout.has_profiling(child)
            {
                if self.symbols[parent] == Status::Changed {
                    if runs_until(place(parent), comparer.in_module).is_none() {
                        self.symbols[id] = Status::Changed;
                    }
                    break;
                }
                child = parent;
            }
        }
    }
}

/// Whether what is in a section is freed before a patch is applied.
fn is_past_in(layout: &Layout<'_, '_, Patched>, id: SectionId<Patched>, module: bool) -> bool {
    lifetime(layout.object.section_name(id), module).is_some()
}

/// Whether a function or variable is a name of what its twin is a name of: an alias may stand
/// for something else, although what it stood for, and stands for now, did not change.
fn is_where_it_was(
    comparer: &Comparer<'_, '_, '_, '_>,
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
    comparer: &Comparer<'_, '_, '_, '_>,
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

/// Whether the alignment of a section of several things says nothing about those that the
/// running kernel has: it became less, or something new needs more. Code may rely on the
/// alignment of a variable, for which the kernel's has its place already.
fn is_aligned_for_new(
    comparer: &Comparer<'_, '_, '_, '_>,
    twin: SectionId<Orig>,
    id: SectionId<Patched>,
) -> bool {
    let layout = comparer.patched.layout;
    let align = layout.object.section_align(id);
    let is_new = |index| {
        let entity = layout.entity(id, index);
        let single = entity.symbol.is_some_and(|s| comparer.twins.orig_symbol(s).is_none());
        single && align > 0 && entity.start.is_multiple_of(align)
    };
    align <= comparer.orig.layout.object.section_align(twin)
        || layout.is_pool(id)
        || (0..layout.entity_count(id)).any(is_new)
}

/// The entries that `status` says something of, and errors, in order.
fn differing<I: Id, T: Send>(
    entries: usize,
    status: impl Fn(I) -> Result<Option<T>> + Sync,
) -> Vec<Result<(I, T)>> {
    let of = |i: usize| Some(status(I::new(i)).transpose()?.map(|found| (I::new(i), found)));
    (1..entries).into_par_iter().with_min_len(1024).filter_map(of).collect()
}

/// What differs in a section as far as it has names. Nameless data is accounted for by
/// everything that refers to it: it is no change by itself.
fn named_verdict(
    comparer: &Comparer<'_, '_, '_, '_>,
    verdicts: &Verdicts,
    id: SectionId<Patched>,
) -> Verdict {
    let layout = comparer.patched.layout;
    let whole = verdicts.section(id);
    if whole.is_same() || !layout.is_nameless(id) {
        return whole;
    }
    let entities = 0..layout.entity_count(id);
    entities
        .filter(|&i| layout.entity(id, i).symbol.is_some())
        .fold(Verdict::SAME, |verdict, i| verdict | verdicts.entity(id, i))
}

/// The status of the symbol that names an entity; aliases have none of their own.
fn entity_status(
    comparer: &Comparer<'_, '_, '_, '_>,
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

/// Fails when the variable that a section is about has another size: that says more than what
/// follows from it for the section.
fn size_settled(comparer: &Comparer<'_, '_, '_, '_>, id: SectionId<Patched>) -> Result<()> {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let Some(owner) = comparer.patched.layout.owner(id) else { return Ok(()) };
    let Some(twin) = comparer.twins.orig_symbol(owner) else { return Ok(()) };
    let sizes = (orig.symbol_size(twin), patched.symbol_size(owner));
    match patched.symbol_kind(owner) == abi::STT_OBJECT && sizes.0 != sizes.1 {
        true => {
            Err(size_mismatch(comparer.output_name(owner), sizes)
                .in_section(patched.section_name(id)))
        }
        false => Ok(()),
    }
}

fn size_mismatch(name: &str, (before, after): (u64, u64)) -> Error {
    Error::refused(Code::ObjectSizeMismatch, format!("object size mismatch: {name}"))
        .at_symbol(name)
        .advise(match after > before {
            true => format!("it has {after} bytes, but {before} in the original: existing data cannot grow; use a shadow variable"),
            false => format!("it has {after} bytes, but {before} in the original: existing data stays as large as it is; keep what was taken out, and leave it unused"),
        })
}

/// Compiler-made labels, which nothing but code next to them refers to.
fn is_label(kind: u8, name: &str) -> bool {
    kind == abi::STT_NOTYPE && name.starts_with(".L")
}

/// Checks that the two objects are of one kind.
pub fn check_headers(
    orig: &crate::elf::object::Header,
    patched: &crate::elf::object::Header,
) -> Result<()> {
    let (o, p) = (orig, patched);
    if o.machine != p.machine {
        return Err(Error::refused(Code::ElfHeadersDiffer, "ELF headers differ").advise(format!(
            "the objects are for different machines ({} and {})",
            o.machine, p.machine
        )));
    }
    let mut comparable = *p;
    comparable.phnum = o.phnum;
    if let Some((field, before, after)) = o.first_difference(&comparable) {
        return Err(Error::refused(Code::ElfHeadersDiffer, "ELF headers differ").advise(format!(
            "{field} is {before} in the original and {after} in the patched object: build both with the same \
             compiler and flags"
        )));
    }
    if o.phnum != 0 || p.phnum != 0 {
        return Err(Error::refused(Code::ProgramHeader, "ELF contains program header")
            .advise("give relocatable objects (.o), not linked files"));
    }
    Ok(())
}
