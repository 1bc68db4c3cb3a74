//! The instructions of one side in words, so that those of both can be compared.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use crate::arch::{Reach, disassemble};
use crate::diff::compare::meaning::meaning_as;
use crate::elf::abi;
use crate::elf::ids::{Id as _, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;

/// Stands in a text for the label of what the instruction leads to.
pub const LABEL: char = '\u{1}';
/// Stands in a key for data without a name, of which content alone counts.
const NAMELESS: &str = "\u{2}";

/// One instruction.
#[derive(Clone, Debug)]
pub struct Listed<S> {
    /// Bytes from the start of the function.
    pub at: u64,
    /// In words; [`LABEL`] where a label belongs.
    pub text: String,
    /// The same for all that may mean the same: names are those of the original.
    pub key: String,
    /// The place of the function that it leads to.
    pub target: Option<u64>,
    /// What it refers to, but for places of the function itself.
    pub refs: Vec<Reloc<S>>,
}

impl<S> Listed<S> {
    /// What it does, without operands.
    pub fn mnemonic(&self) -> &str {
        self.text.split(' ').next().unwrap_or(&self.text)
    }
}

/// A stretch of code that is listed.
pub struct Listing<'a, S> {
    layout: &'a Layout<'a, S>,
    refs: Refs<'a, S>,
    section: SectionId<S>,
    start: u64,
    end: u64,
    code: &'a [u8],
    /// The name in the original.
    name_of: &'a (dyn Fn(SymbolId<S>) -> Option<String> + 'a),
}

impl<'a, S: Side> Listing<'a, S> {
    /// Of bytes `start..end` of a section. `name_of` gives the name that a symbol has in the
    /// original.
    pub fn new(
        layout: &'a Layout<'a, S>,
        section: SectionId<S>,
        (start, end): (u64, u64),
        name_of: &'a (dyn Fn(SymbolId<S>) -> Option<String> + 'a),
    ) -> Self {
        let code = layout.object.contents(section);
        let end = end.min(code.len() as u64);
        let code = code.get(start as usize..end as usize).unwrap_or(&[]);
        let refs = Refs::new(layout, section);
        Listing { layout, refs, section, start, end, code, name_of }
    }

    /// All instructions.
    pub fn lines(&self) -> Vec<Listed<S>> {
        let arch = self.layout.arch;
        let mut lines = Vec::new();
        let mut at = 0;
        while let Some(rest) = self.code.get(at..).filter(|rest| !rest.is_empty()) {
            let known = (arch.instruction_len)(rest).filter(|len| (1..=rest.len()).contains(len));
            let len = known.unwrap_or(1);
            let bytes = rest.get(..len).unwrap_or(rest);
            lines.push(self.line(at as u64, bytes, known.is_some()));
            at += len;
        }
        lines
    }

    fn line(&self, at: u64, bytes: &[u8], is_code: bool) -> Listed<S> {
        let from = self.start + at;
        let relocs = self.layout.object.relocs(self.section);
        let relocs: Vec<Reloc<S>> = relocs.within(from, from + bytes.len() as u64).collect();
        let reach = if is_code { self.reach(at, &relocs) } else { None };
        let mut target = reach.and_then(|reach| self.inside(reach.target));
        target = target.or_else(|| relocs.iter().find_map(|reloc| self.own_place(reloc)));
        let outside = reach.filter(|_| target.is_none()).and_then(|reach| self.beside(&reach));
        let text = |own: bool| {
            let named = |field: u64| {
                let place = from + field;
                let reloc = relocs.iter().find(|r| r.offset == place);
                match (reloc, reach) {
                    (Some(reloc), _) if self.own_place(reloc).is_some() => Some(LABEL.into()),
                    (Some(reloc), _) => Some(self.operand(reloc, own)),
                    (None, Some(reach)) if reach.field == at + field => match &outside {
                        Some(name) => Some(name.clone()),
                        None => target.map(|_| LABEL.into()),
                    },
                    _ => None,
                }
            };
            let known =
                if is_code { disassemble(self.layout.arch, bytes, at, &named) } else { None };
            known.unwrap_or_else(|| {
                let leads = (reach.as_ref(), target, outside.as_deref());
                self.words((at, bytes), leads, &relocs, own)
            })
        };
        let (text, key) = (text(true), text(false));
        let refs = relocs.iter().filter(|r| r.symbol.index() != 0 && self.own_place(r).is_none());
        Listed { at, text, key, target, refs: refs.copied().collect() }
    }

    /// Where the distance leads that the instruction at `at` holds itself.
    fn reach(&self, at: u64, relocs: &[Reloc<S>]) -> Option<Reach> {
        let (_, reach) = (self.layout.arch.reach)(self.code, at)?;
        let field = |reach: &Reach| self.start + reach.field;
        reach.filter(|r| {
            !relocs.iter().any(|reloc| (field(r)..field(r) + 4).contains(&reloc.offset))
        })
    }

    fn inside(&self, place: u64) -> Option<u64> {
        (place < self.code.len() as u64).then_some(place)
    }

    /// The place of the function itself that a relocation leads to; its start is what its name
    /// is for.
    fn own_place(&self, reloc: &Reloc<S>) -> Option<u64> {
        let (section, place) = self.refs.place(reloc).ok()??;
        (section == self.section && place > self.start && place < self.end)
            .then(|| place - self.start)
    }

    /// The name of what is in the same section, where a distance leads.
    fn beside(&self, reach: &Reach) -> Option<String> {
        let at = self.start.checked_add_signed(reach.target.cast_signed())?;
        let symbol = self.layout.covering(self.section, at.cast_signed())?;
        let object = self.layout.object;
        let name = (self.name_of)(symbol).unwrap_or_else(|| object.symbol_name(symbol).to_owned());
        match at - object.symbol_value(symbol) {
            0 => Some(name),
            distance => Some(format!("{name}+{distance:#x}")),
        }
    }

    /// A relocation as an operand: `own` for people, else for keys.
    fn operand(&self, reloc: &Reloc<S>, own: bool) -> String {
        if let Some(value) = self.constant(reloc) {
            return if own { value } else { NAMELESS.to_owned() };
        }
        let object = self.layout.object;
        let plain = |id: SymbolId<S>| object.symbol_name(id).to_owned();
        if own {
            return meaning_as(&self.refs, reloc, &plain).to_string();
        }
        let nameless = object.section_of(reloc.symbol).is_some_and(|s| self.layout.is_nameless(s));
        if nameless && !matches!(self.refs.string(reloc), Ok(Some(_))) {
            return NAMELESS.to_owned();
        }
        let name = |id| (self.name_of)(id).unwrap_or_else(|| plain(id));
        meaning_as(&self.refs, reloc, &name).to_string()
    }

    /// A constant of a pool, as a number.
    fn constant(&self, reloc: &Reloc<S>) -> Option<String> {
        let object = self.layout.object;
        let (section, at) = self.refs.place(reloc).ok()??;
        let flags = object.section_flags(section);
        let size = object.section_entsize(section);
        let is_pool = flags & abi::SHF_MERGE != 0 && flags & abi::SHF_STRINGS == 0;
        if !is_pool || !matches!(size, 4 | 8 | 16 | 32) || !self.layout.is_nameless(section) {
            return None;
        }
        let bytes = object.contents(section).get(at as usize..(at + size) as usize)?;
        let little = matches!(object.endian(), object::Endianness::Little);
        let digit = |b: &u8| format!("{b:02x}");
        let digits: String = match little {
            true => bytes.iter().rev().map(digit).collect(),
            false => bytes.iter().map(digit).collect(),
        };
        let short = digits.trim_start_matches('0');
        Some(format!(
            "{} {{0x{}}}",
            object.section_name(section),
            if short.is_empty() { "0" } else { short }
        ))
    }

    /// An instruction that nobody reads here: its bytes, without what is in the text anyway.
    fn words(
        &self,
        (at, bytes): (u64, &[u8]),
        (reach, target, outside): (Option<&Reach>, Option<u64>, Option<&str>),
        relocs: &[Reloc<S>],
        own: bool,
    ) -> String {
        let mut shown = bytes.to_vec();
        if let Some(reach) = reach {
            let field = reach.field.checked_sub(at).map_or(usize::MAX, |field| field as usize);
            let field = shown.iter_mut().skip(field);
            field.zip(reach.mask).for_each(|(byte, mask)| *byte &= !mask);
        }
        let little = matches!(self.layout.object.endian(), object::Endianness::Little);
        if little && matches!(shown.len(), 2 | 4 | 8) {
            shown.reverse();
        }
        let lead = if shown.len() == 1 { ".byte 0x" } else { ".insn 0x" };
        let mut text = String::from(lead);
        text.extend(shown.iter().map(|b| format!("{b:02x}")));
        for reloc in relocs.iter().filter(|r| r.symbol.index() != 0) {
            let kind = self.layout.arch.reloc(reloc.kind).map_or("?", |kind| kind.name);
            let operand = match self.own_place(reloc) {
                Some(_) => LABEL.into(),
                None => self.operand(reloc, own),
            };
            text += &format!(" {kind} {operand}");
        }
        match (reach, target, outside) {
            (Some(_), Some(_), _) => text + &format!(" -> {LABEL}"),
            (Some(_), None, Some(name)) => text + &format!(" -> {name}"),
            _ => text,
        }
    }
}
