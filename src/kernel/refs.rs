//! What a relocation refers to, once the compiler's habits are undone.
//!
//! Compilers and linkers refer to a function or variable through its section's symbol where
//! they can. The same reference then looks different in two objects. [`Refs::resolve`] finds
//! the symbol that is meant.

#![expect(clippy::arithmetic_side_effects, reason = "the machine's constants")]

use std::cell::Cell;

use super::layout::{Class, Layout};
use super::relative;
use crate::arch::{Bias, RelocClass, RelocType};
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::{Home, Reloc, read_u64};

/// A reference: a symbol and a distance from its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ref<S> {
    /// The symbol meant: a section symbol only where nothing better exists.
    pub symbol: SymbolId<S>,
    /// The addend relative to that symbol.
    pub addend: i64,
}

/// What a reference through a TOC slot finds (ppc64).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effective<S> {
    /// The relocation itself, or the one of its TOC slot.
    Reloc(SectionId<S>, Reloc<S>),
    /// The TOC slot holds this constant.
    Constant(u64),
}

/// Resolves the relocations of one section. Remembers decoded instruction ends, so that the
/// relocations of a section cost one pass over its code, however many there are.
pub struct Refs<'a, S> {
    pub(super) layout: &'a Layout<'a, S>,
    pub(super) base: SectionId<S>,
    pub(super) is_text: bool,
    /// Start and end of the instruction decoded last.
    pub(super) decoded: Cell<(u64, u64)>,
    /// The function that a file was looked for last, by its start, and that file.
    pub(super) file: Cell<(u64, Option<usize>)>,
}

/// A relocation, in what tells what it means.
pub type RelocIn<'a, S> = (&'a Refs<'a, S>, &'a Reloc<S>);

/// The error for a byte of a section where no instruction is.
pub(super) fn undecodable<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    at: u64,
) -> Error {
    let name = layout.object.section_name(section);
    let text = format!("can't decode instruction in section {name} at offset {at:#x}");
    Error::broken(Code::Undecodable, text)
        .in_file(layout.object.file())
        .in_section(name)
        .at_offset(at)
}

/// Whether the processor counts from the instruction's end for such a relocation.
#[inline]
fn is_relative(class: RelocClass) -> bool {
    matches!(class, RelocClass::PcRelative | RelocClass::Got | RelocClass::None | RelocClass::Tls)
}

impl<'a, S: Side> Refs<'a, S> {
    /// A resolver for the relocations of `base`.
    #[inline]
    pub fn new(layout: &'a Layout<'a, S>, base: SectionId<S>) -> Self {
        let is_text = layout.object.is_text(base);
        Refs {
            layout,
            base,
            is_text,
            decoded: Cell::new((0, 0)),
            file: Cell::new((u64::MAX, None)),
        }
    }

    /// The section whose relocations it resolves.
    #[inline]
    pub fn base(&self) -> SectionId<S> {
        self.base
    }

    /// The addend without the bias of PC-relative addressing: the distance from the symbol
    /// that the code means.
    pub fn target_offset(&self, reloc: &Reloc<S>) -> Result<i64> {
        let kind = self.layout.arch.reloc(reloc.kind).map_err(|e| self.at(e, reloc))?;
        if !self.is_text && kind.class == RelocClass::PcRelative {
            return relative::target_offset(self.layout, self.base, reloc);
        }
        let bias = match self.layout.arch.bias {
            Bias::None => 0,
            Bias::InstructionStart(biased) => biased
                .binary_search_by_key(&reloc.kind, |b| b.0)
                .ok()
                .and_then(|i| biased.get(i))
                .map_or(0, |&(_, bias)| -i64::from(bias)),
            Bias::InstructionEnd => {
                if let Some(bias) = self.plain_bias(reloc, kind) {
                    bias
                } else if self.is_text && is_relative(kind.class) {
                    self.instruction_end(reloc.offset)?.wrapping_sub(reloc.offset) as i64
                } else {
                    0
                }
            }
        };
        Ok(reloc.addend.wrapping_add(bias))
    }

    /// Tells where an instruction starts and ends, for those who read the code themselves.
    pub fn know(&self, start: u64, end: u64) {
        self.decoded.set((start, end));
    }

    /// How far the instruction's end is behind the field, where the bytes before it tell.
    #[inline]
    fn plain_bias(&self, reloc: &Reloc<S>, kind: &RelocType) -> Option<i64> {
        let ends_instruction = self.layout.arch.ends_instruction?;
        let width = usize::from(kind.width);
        let before = self.layout.object.contents(self.base).get(..reloc.offset as usize)?;
        (self.is_text && is_relative(kind.class) && ends_instruction(before, width))
            .then_some(width as i64)
    }

    /// End of the instruction that contains byte `at`. Decoding starts where the last one
    /// ended, or at the function that `at` is in.
    pub(super) fn instruction_end(&self, at: u64) -> Result<u64> {
        let (start, end) = self.decoded.get();
        if start <= at && at < end {
            return Ok(end);
        }
        let entity = self.layout.entity_at(self.base, at);
        let function = entity.map_or(0, |i| self.layout.entity(self.base, i).start);
        let from = if end <= at { end.max(function) } else { function };
        let data = self.layout.object.contents(self.base);
        let found = (self.layout.arch.instruction_at)(data, from as usize, at as usize);
        let (start, end) =
            found.map_err(|offset| undecodable(self.layout, self.base, offset as u64))?;
        self.decoded.set((start as u64, end as u64));
        Ok(end as u64)
    }

    /// The addends that [`Refs::target_offset`] can give, lowest and highest, without a look
    /// at the code: an instruction ends behind the field, or behind an immediate of up to
    /// four bytes that follows.
    pub(super) fn target_range(&self, reloc: &Reloc<S>) -> Result<(i64, i64)> {
        let kind = self.layout.arch.reloc(reloc.kind).map_err(|e| self.at(e, reloc))?;
        let biased = self.layout.arch.bias == Bias::InstructionEnd
            && self.is_text
            && is_relative(kind.class);
        if biased && kind.width == 4 && self.plain_bias(reloc, kind).is_none() {
            let low = reloc.addend.wrapping_add(4);
            return Ok((low, low.wrapping_add(4)));
        }
        let exact = self.target_offset(reloc)?;
        Ok((exact, exact))
    }

    /// No more than what [`Refs::target_offset`] gives, without a look at the code.
    pub fn lowest_offset(&self, reloc: &Reloc<S>) -> Result<i64> {
        self.target_range(reloc).map(|(low, _)| low)
    }

    fn at(&self, error: Error, reloc: &Reloc<S>) -> Error {
        let object = self.layout.object;
        error
            .in_file(object.file())
            .in_section(object.section_name(self.base))
            .at_symbol(object.symbol_name(reloc.symbol))
            .at_offset(reloc.offset)
    }

    /// The symbol that `reloc` means.
    #[inline]
    pub fn resolve(&self, reloc: &Reloc<S>) -> Result<Ref<S>> {
        let object = self.layout.object;
        let plain = Ref { symbol: reloc.symbol, addend: reloc.addend };
        let Home::Section(target) = object.home(reloc.symbol) else { return Ok(plain) };
        let kind = object.symbol_kind(reloc.symbol);
        if kind != abi::STT_SECTION {
            if self.layout.arch.local_labels && kind == abi::STT_NOTYPE {
                return self.resolve_label(reloc, target);
            }
            return Ok(plain);
        }
        self.resolve_section(reloc, target, plain)
    }

    /// An assembler label stands for its section (LoongArch).
    fn resolve_label(&self, reloc: &Reloc<S>, target: SectionId<S>) -> Result<Ref<S>> {
        let object = self.layout.object;
        let label = object.symbol(reloc.symbol);
        let plain = Ref { symbol: reloc.symbol, addend: reloc.addend };
        if label.bind != abi::STB_LOCAL {
            return Ok(plain);
        }
        let addend = reloc.addend.wrapping_add(label.value as i64);
        // Without a section symbol the label itself is the only handle on the section.
        let Some(symbol) = object.section_symbol(target) else {
            return self.resolve_section(&Reloc { addend, ..*reloc }, target, plain);
        };
        let through_section = Reloc { symbol, addend, ..*reloc };
        self.resolve_section(&through_section, target, Ref { symbol, addend })
    }

    fn resolve_section(
        &self,
        reloc: &Reloc<S>,
        target: SectionId<S>,
        plain: Ref<S>,
    ) -> Result<Ref<S>> {
        let object = self.layout.object;
        if self.layout.keeps_section_symbol(target) || self.keeps_all() {
            return Ok(plain);
        }
        let relative = |symbol| Ref {
            symbol,
            addend: reloc.addend.wrapping_sub(object.symbol_value(symbol) as i64),
        };
        if let Some(owner) = self.layout.owner(target) {
            return Ok(relative(owner));
        }
        if object.members(target).is_empty() {
            return Ok(plain);
        }
        if let Some(symbol) = self.symbol_at(reloc, target)? {
            return Ok(relative(symbol));
        }
        // Not every reference can be named, and none has to be: one that stays with its
        // section is compared by section and addend.
        Ok(plain)
    }

    fn symbol_at(&self, reloc: &Reloc<S>, target: SectionId<S>) -> Result<Option<SymbolId<S>>> {
        let object = self.layout.object;
        // A loop over an array is bounded by the array's end, which no symbol covers.
        let end_of_data = self.is_text
            && !object.is_text(target)
            && reloc.addend == object.section_size(target) as i64
            && self.layout.arch.reloc(reloc.kind).is_ok_and(|k| k.class == RelocClass::Absolute);
        if end_of_data && let Some(symbol) = self.layout.last_symbol(target) {
            return Ok(Some(symbol));
        }
        let (low, high) = self.target_range(reloc)?;
        let Some(covering) = self.layout.covering_all(target, low, high) else {
            let at = self.target_offset(reloc)?;
            return self.end_address(reloc, target, at, self.layout.covering(target, at));
        };
        if low == high || self.may_be_end(target, low, covering) {
            let at = self.target_offset(reloc)?;
            return self.end_address(reloc, target, at, covering);
        }
        Ok(covering)
    }

    /// Relocations of debug sections and of ftrace tables stay as they are.
    fn keeps_all(&self) -> bool {
        match self.layout.class(self.base) {
            Class::Debug => true,
            Class::Noise(_) => {
                self.layout.object.section_name(self.base) == "__patchable_function_entries"
            }
            _ => false,
        }
    }

    /// The section and offset that `reloc` refers to; `None` when it is not in the object.
    pub fn place(&self, reloc: &Reloc<S>) -> Result<Option<(SectionId<S>, u64)>> {
        let Some(section) = self.layout.object.section_of(reloc.symbol) else { return Ok(None) };
        let value = self.layout.object.symbol_value(reloc.symbol) as i64;
        let at = self.target_offset(reloc)?.wrapping_add(value);
        Ok(u64::try_from(at).ok().map(|at| (section, at)))
    }

    /// The string literal that `reloc` refers to, without what ends it; `None` when it does not
    /// refer to one. What has a symbol with a size reaches to the end of that, and a reference
    /// that leaves it means the symbol. Fails when the reference leaves the string section.
    #[inline]
    pub fn string(&self, reloc: &Reloc<S>) -> Result<Option<&'a [u8]>> {
        let object = self.layout.object;
        let Home::Section(target) = object.home(reloc.symbol) else { return Ok(None) };
        if object.section_flags(target) & abi::SHF_STRINGS == 0 || self.keeps_all() {
            return Ok(None);
        }
        let value = object.symbol_value(reloc.symbol) as i64;
        let at = self.target_offset(reloc)?.wrapping_add(value);
        if object.symbol_kind(reloc.symbol) == abi::STT_OBJECT
            && object.symbol_size(reloc.symbol) > 0
        {
            return Ok(self.sized_string(reloc.symbol, target, at));
        }
        object.string_at(target, at).map(Some).ok_or_else(|| {
            let error = Error::broken(
                Code::BadStringReference,
                "a reference leaves its string section",
            )
            .advise(
                "the object is damaged, or its compiler uses string sections in an unknown way",
            );
            self.at(error, reloc)
        })
    }

    /// Whether `reloc` names a label among strings and leads out of the string that begins there:
    /// code counts from such a place, as in a table whose first index is not 0, and what it
    /// reads is not what lies at the place.
    pub fn leaves_string(&self, reloc: &Reloc<S>) -> Result<bool> {
        let object = self.layout.object;
        let Home::Section(target) = object.home(reloc.symbol) else { return Ok(false) };
        if object.section_flags(target) & abi::SHF_STRINGS == 0
            || object.symbol_kind(reloc.symbol) == abi::STT_SECTION
            || object.symbol_kind(reloc.symbol) == abi::STT_OBJECT
                && object.symbol_size(reloc.symbol) > 0
            || self.keeps_all()
        {
            return Ok(false);
        }
        let at = self.target_offset(reloc)?;
        if at == 0 {
            return Ok(false);
        }
        let begins = i64::try_from(object.symbol_value(reloc.symbol)).ok();
        let string = begins.and_then(|begins| object.string_at(target, begins));
        let length = string.map_or(0, |string| string.len() as i64);
        Ok(!(0..=length).contains(&at))
    }

    /// What a symbol with a size holds from byte `at` of its section on, without an element
    /// that ends it; `None` when the byte is not its own.
    fn sized_string(
        &self,
        symbol: SymbolId<S>,
        section: SectionId<S>,
        at: i64,
    ) -> Option<&'a [u8]> {
        let object = self.layout.object;
        let value = object.symbol_value(symbol);
        let end = value.checked_add(object.symbol_size(symbol))?;
        let at = u64::try_from(at).ok().filter(|at| (value..end).contains(at))?;
        let bytes = object.contents(section).get(at as usize..end as usize)?;
        let element = usize::try_from(object.string_element(section)).ok()?;
        let last = bytes.len().checked_sub(element);
        Some(match last.and_then(|last| bytes.split_at_checked(last)) {
            Some((rest, last)) if last.iter().all(|&b| b == 0) => rest,
            _ => bytes,
        })
    }

    /// Follows a TOC slot. On other machines `reloc` itself.
    #[inline]
    pub fn effective(&self, reloc: &Reloc<S>) -> Result<Effective<S>> {
        let object = self.layout.object;
        if !self.layout.arch.is_toc(reloc.kind) || object.symbol_name(reloc.symbol) != ".toc" {
            return Ok(Effective::Reloc(self.base, *reloc));
        }
        let Some(toc) = object.section_of(reloc.symbol) else {
            return Ok(Effective::Reloc(self.base, *reloc));
        };
        let slot = u64::try_from(reloc.addend).ok();
        let relocs = object.relocs(toc);
        if let Some(slot) = slot {
            let i = relocs.lower_bound(slot);
            if i < relocs.len() && relocs.get(i).offset == slot {
                return Ok(Effective::Reloc(toc, relocs.get(i)));
            }
        }
        let data = object.contents(toc);
        let value =
            slot.and_then(|s| read_u64(data, s as usize, object.endian())).filter(|&v| v != 0);
        value.map(Effective::Constant).ok_or_else(|| {
            self.at(
                Error::broken(
                    Code::TocEntryMissing,
                    format!(
                        ".toc entry not found {} + {:x}",
                        object.symbol_name(reloc.symbol),
                        reloc.addend
                    ),
                ),
                reloc,
            )
        })
    }
}
