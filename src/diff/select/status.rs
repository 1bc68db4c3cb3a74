//! Section and symbol statuses in the sense of kpatch, derived from the verdicts.
//!
//! The drop-in's output and its refusals are defined in terms of sections. The verdicts know more: they are about functions and variables.

use rayon::prelude::*;

use super::ignore::Ignored;
use super::lifted::{Lifted, names_of};
use crate::diag::{Code, Error, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::ids::{Id, IdVec, Orig, Patched, SectionId, SymbolId};
use crate::kernel::boot::{lifetime, runs_until};
use crate::kernel::knowledge::{livepatch, sections};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::macros;
use crate::kernel::names;

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
    pub(super) split: bool,
    /// All definitions of the build are known, so that the one given counts.
    pub(super) complete: bool,
}

impl Statuses {
    /// Whether a section is shared by several functions or variables, or by strings and
    /// constants, so that it is judged and carried in parts.
    pub fn is_shared(&self, layout: &Layout<'_, Patched>, section: SectionId<Patched>) -> bool {
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
        comparer: &Comparer<'_>,
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
        statuses.messages = statuses.ignore(comparer.patched.layout, ignored);
        Ok(statuses)
    }

    /// Declares the same what was asked to be ignored; returns lines for the user.
    fn ignore(&mut self, layout: &Layout<'_, Patched>, ignored: &Ignored) -> Vec<String> {
        let object = layout.object;
        let mut messages = Vec::new();
        for &function in &ignored.functions {
            let name = object.symbol_name(function);
            messages.push(format!("ignoring function: {name}"));
            if self.symbols[function] != Status::Changed {
                messages.push(format!("NOTICE: no change detected in function {name}, unnecessary KPATCH_IGNORE_FUNCTION()?"));
            }
        }
        let mut functions: Vec<SymbolId<Patched>> = ignored.functions.iter().copied().collect();
        while let Some(function) = functions.pop() {
            self.symbols[function] = Status::Same;
            functions.extend(layout.children(function));
            if let Some(section) = object.section_of(function) {
                self.sections[section] = Status::Same;
                self.relocs[section] = Status::Same;
            }
        }
        for &section in &ignored.sections {
            self.sections[section] = Status::Same;
            self.relocs[section] = Status::Same;
            for &member in object.members(section) {
                self.symbols[member] = Status::Same;
            }
        }
        if ignored.sections.is_empty() && ignored.functions.is_empty() {
            return messages;
        }
        for id in object.symbols() {
            let name = object.symbol_name(id);
            if sections::starts_with_any(name, &livepatch::IGNORE_MARKS) {
                self.symbols[id] = Status::Same;
            }
        }
        messages
    }

    /// Whether the patch has its own definition of what the kernel has under that name: a changed
    /// function, or one that is carried for its callers.
    pub fn is_own_copy(&self, layout: &Layout<'_, Patched>, id: SymbolId<Patched>) -> bool {
        layout.object.symbol_kind(id) == abi::STT_FUNC
            && (self.symbols[id] == Status::Changed && layout.split_from(id).is_none()
                || self.lifted.carries(layout, id))
    }

    /// Makes a function, with its parts and all its names, one that only the patch has.
    pub(in crate::diff) fn carry(&mut self, comparer: &Comparer<'_>, root: SymbolId<Patched>) {
        for id in names_of(comparer.patched.layout, root) {
            self.symbols[id] = Status::New;
        }
    }

    /// Makes functions changed whose parts are, and parts whose functions are.
    pub(super) fn spread(&mut self, comparer: &Comparer<'_>) {
        self.spread_to_parents(comparer);
        if self.split {
            self.spread_to_parts(comparer);
        }
    }

    /// Of a section and of the relocations that apply to it.
    fn of_section(
        &self,
        comparer: &Comparer<'_>,
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

    /// A function whose split-off part changed has changed, unless ftrace can hook the part
    /// by itself.
    fn spread_to_parents(&mut self, comparer: &Comparer<'_>) {
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
            while let Some(parent) = layout.split_from(child) {
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
    fn spread_to_parts(&mut self, comparer: &Comparer<'_>) {
        let layout = comparer.patched.layout;
        let object = layout.object;
        let place = |id| object.section_of(id).map_or("", |s| object.section_name(s));
        for id in layout.parts() {
            let mut child = id;
            while let Some(parent) = layout.split_from(child)
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
pub(super) fn is_past_in(
    layout: &Layout<'_, Patched>,
    id: SectionId<Patched>,
    module: bool,
) -> bool {
    lifetime(layout.object.section_name(id), module).is_some()
}

/// Whether the alignment of a section of several things says nothing about those that the
/// running kernel has: it became less, or something new needs more. Code may rely on the
/// alignment of a variable, for which the kernel's has its place already.
fn is_aligned_for_new(
    comparer: &Comparer<'_>,
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
fn named_verdict(comparer: &Comparer<'_>, verdicts: &Verdicts, id: SectionId<Patched>) -> Verdict {
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

/// Fails when the variable that a section is about has another size: that says more than what
/// follows from it for the section.
fn size_settled(comparer: &Comparer<'_>, id: SectionId<Patched>) -> Result<()> {
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

pub(super) fn size_mismatch(name: &str, (before, after): (u64, u64)) -> Error {
    Error::refused(Code::ObjectSizeMismatch, format!("object size mismatch: {name}"))
        .at_symbol(name)
        .advise(match after > before {
            true => format!("it has {after} bytes, but {before} in the original: existing data cannot grow; use a shadow variable"),
            false => format!("it has {after} bytes, but {before} in the original: existing data stays as large as it is; keep what was taken out, and leave it unused"),
        })
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
