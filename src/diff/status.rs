//! Section and symbol statuses in the sense of kpatch, derived from the verdicts.
//!
//! The drop-in's output and its refusals are defined in terms of sections (spec section
//! 14). The verdicts know more: they are about functions and variables.

use super::compare::Comparer;
use super::ignore::Ignored;
use super::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::ids::{IdVec, Orig, Patched, SectionId, SymbolId};
use crate::elf::object::{Home, Symbol};
use crate::error::{Error, Result};
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
pub struct Statuses {
    /// Of sections, relocations excluded.
    pub sections: IdVec<SectionId<Patched>, Status>,
    /// Of the relocations that apply to a section.
    pub relocs: IdVec<SectionId<Patched>, Status>,
    /// Of symbols.
    pub symbols: IdVec<SymbolId<Patched>, Status>,
    /// Lines for the user.
    pub messages: Vec<String>,
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
            && !names::is_special_static_section(layout.object.section_name(section))
            && layout.object.section_name(section) != ".toc"
            && !layout.object.section_name(section).starts_with(macros::PREFIX)
    }

    /// Derives all statuses. With `split`, entities of shared sections are judged one by
    /// one. With `complete`, or in objects linked from several, a definition may become weak,
    /// or cease to be. Fails, with class refused, on differences that no patch can express.
    pub fn new(
        comparer: &Comparer<'_, '_, '_, '_>,
        verdicts: &Verdicts,
        ignored: &Ignored,
        split: bool,
        complete: bool,
    ) -> Result<Self> {
        let object = comparer.patched.layout.object;
        let mut statuses = Statuses {
            sections: IdVec::filled(Status::Same, object.section_count()),
            relocs: IdVec::filled(Status::Same, object.section_count()),
            symbols: IdVec::filled(Status::Same, object.symbol_count()),
            messages: Vec::new(),
            split,
            complete,
        };
        for id in object.sections() {
            statuses.derive_section(comparer, verdicts, id)?;
        }
        for id in object.symbols().skip(1) {
            statuses.symbols[id] = statuses.symbol(comparer, verdicts, ignored, id)?;
        }
        statuses.spread_to_parents(comparer);
        statuses.messages = ignored.apply(comparer.patched.layout, &mut statuses);
        Ok(statuses)
    }

    fn derive_section(
        &mut self,
        comparer: &Comparer<'_, '_, '_, '_>,
        verdicts: &Verdicts,
        id: SectionId<Patched>,
    ) -> Result<()> {
        let layout = comparer.patched.layout;
        let class = layout.class(id);
        if matches!(class, Class::Meta | Class::Relocations | Class::Noise(_)) {
            return Ok(());
        }
        let Some(twin) = comparer.twins.orig_section(id) else {
            self.sections[id] = Status::New;
            self.relocs[id] = Status::New;
            return Ok(());
        };
        let (orig, patched) = (comparer.orig.layout.object, layout.object);
        let header = orig.section_kind(twin) == patched.section_kind(id)
            && orig.section_flags(twin) == patched.section_flags(id)
            && orig.section_entsize(twin) == patched.section_entsize(id)
            && (orig.section_align(twin) == patched.section_align(id) || patched.is_text(id));
        if !header {
            let (o, p) = (orig.section(twin), patched.section(id));
            return Err(Error::refused(
                "section-header-differs",
                format!("{} section header details differ from {}", o.name, p.name),
            )
            .in_section(p.name)
            .advise(format!(
                "type {:#x}/{:#x}, flags {:#x}/{:#x}, entry size {}/{}, alignment {}/{}",
                o.kind, p.kind, o.flags, p.flags, o.entsize, p.entsize, o.align, p.align
            )));
        }
        // Descriptors of debug messages hold line numbers; `diff::states` compares the rest.
        if self.is_shared(layout, id) || names::is_special_static_section(patched.section_name(id))
        {
            return Ok(());
        }
        let verdict = named_verdict(comparer, verdicts, id);
        // A new variable in a section of several is no change of the others: it comes in only
        // when something refers to it.
        if verdict.has(Verdict::BYTES) || verdict.has(Verdict::ROWS) {
            self.sections[id] = Status::Changed;
        }
        if verdict.has(Verdict::RELOCS) {
            self.relocs[id] = Status::Changed;
        }
        Ok(())
    }

    fn symbol(
        &self,
        comparer: &Comparer<'_, '_, '_, '_>,
        verdicts: &Verdicts,
        ignored: &Ignored,
        id: SymbolId<Patched>,
    ) -> Result<Status> {
        let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
        let symbol = patched.object.symbol(id);
        if symbol.kind == abi::STT_SECTION {
            let paired = patched
                .object
                .section_of(id)
                .is_none_or(|s| comparer.twins.orig_section(s).is_some());
            return Ok(if paired { Status::Same } else { Status::New });
        }
        let Some(twin_id) = comparer.twins.orig_symbol(id) else { return Ok(Status::New) };
        let twin = orig.object.symbol(twin_id);
        let sections = match (twin.home, symbol.home) {
            (Home::Section(o), Home::Section(p)) => Some((o, p)),
            (Home::Section(_), _) | (_, Home::Section(_)) => {
                return Err(info_mismatch(symbol.name));
            }
            (Home::Common, Home::Common) if symbol.size != twin.size => {
                return Err(size_mismatch(symbol.name, twin.size, symbol.size));
            }
            _ => None,
        };
        // ThinLTO exports a static function while another file imports its users.
        let named = twin.name.contains(".llvm.") || symbol.name.contains(".llvm.");
        let exported = (self.split || named) && is_promotion(&twin, &symbol);
        let settled = || self.complete || orig.is_linked() && patched.is_linked();
        let exported =
            exported || self.split && is_rebound(&twin, &symbol) && sections.is_some() && settled();
        if twin.kind != symbol.kind || twin.bind != symbol.bind && !exported {
            return Err(info_mismatch(symbol.name));
        }
        let Some((o, p)) = sections else { return Ok(Status::Same) };
        // clang numbers its string literals (`.L.str.3`); each is compared where it is used.
        if symbol.name.starts_with(".L") && patched.class(p) == Class::Strings {
            return Ok(Status::Same);
        }
        if comparer.twins.orig_section(p) != Some(o) && !is_label(symbol.kind, symbol.name) {
            self.check_move(comparer, ignored, id, (o, p))?;
            return Ok(Status::Changed);
        }
        if symbol.kind == abi::STT_OBJECT && symbol.size != twin.size {
            return Err(size_mismatch(symbol.name, twin.size, symbol.size));
        }
        if !patched.is_bundled(id) {
            if self.is_shared(patched, p) {
                return Ok(entity_status(comparer, verdicts, id, p));
            }
            return Ok(self.shared_constant(comparer, verdicts, id, p));
        }
        let changed = [self.sections[p], self.relocs[p]].contains(&Status::Changed);
        Ok(if changed { Status::Changed } else { Status::Same })
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
        Err(Error::refused(
            "symbol-changed-sections",
            format!("symbol changed sections: {}", patched.object.symbol_name(id)),
        )
        .in_section(names.1)
        .at_symbol(patched.object.symbol_name(id))
        .advise(format!("it moved from {} to {}", names.0, names.1)))
    }

    /// A function whose split-off part changed has changed, unless ftrace can hook the part
    /// by itself.
    fn spread_to_parents(&mut self, comparer: &Comparer<'_, '_, '_, '_>) {
        let layout = comparer.patched.layout;
        let object = layout.object;
        for id in object.symbols().skip(1) {
            if layout.parent(id).is_none() {
                continue;
            }
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
fn is_rebound<O, P>(orig: &Symbol<'_, O>, patched: &Symbol<'_, P>) -> bool {
    let visible = |bind| matches!(bind, abi::STB_GLOBAL | abi::STB_WEAK);
    orig.bind != patched.bind && visible(orig.bind) && visible(patched.bind)
}

fn info_mismatch(name: &str) -> Error {
    Error::refused("symbol-info-mismatch", format!("symbol info mismatch: {name}"))
        .at_symbol(name)
        .advise("its binding, its type, or whether it is defined here changed")
}

fn size_mismatch(name: &str, before: u64, after: u64) -> Error {
    Error::refused("object-size-mismatch", format!("object size mismatch: {name}"))
        .at_symbol(name)
        .advise(format!("it has {after} bytes, but {before} in the original: existing data cannot grow; use a shadow variable"))
}

/// Compiler-made labels, which nothing but code next to them refers to.
fn is_label(kind: u8, name: &str) -> bool {
    kind == abi::STT_NOTYPE && name.starts_with(".L")
}

/// Checks that the two objects are of one kind (spec section 5).
pub fn check_headers(
    orig: &crate::elf::object::Header,
    patched: &crate::elf::object::Header,
) -> Result<()> {
    let (o, p) = (orig, patched);
    if o.machine != p.machine {
        return Err(Error::refused("elf-headers-differ", "ELF headers differ").advise(format!(
            "the objects are for different machines ({} and {})",
            o.machine, p.machine
        )));
    }
    let mut comparable = *p;
    comparable.phnum = o.phnum;
    if *o != comparable {
        return Err(Error::refused("elf-headers-differ", "ELF headers differ")
            .advise("build both objects with the same compiler and flags"));
    }
    if o.phnum != 0 || p.phnum != 0 {
        return Err(Error::refused("program-header", "ELF contains program header")
            .advise("give relocatable objects (.o), not linked files"));
    }
    Ok(())
}
