//! One function of an object against the bytes at one address of the image.
//!
//! What the link fills in is not skipped but computed backwards: the value in the image says
//! which address a relocation was resolved to, and that must be an address of the symbol it
//! names. So a wrong byte is found nearly everywhere, and every reference of a function that
//! is known to run tells where the local symbol it names went.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use crate::arch::{RelocClass, RelocType};
use crate::elf::abi;
use crate::elf::ids::{Id, SectionId, Side, SymbolId};
use crate::elf::object::{Home, Reloc};
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;
use crate::running::image::KernelImage;
use crate::running::symtab::ParentTable;

/// A function's bytes in its section: from its prefix to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<S> {
    pub symbol: SymbolId<S>,
    pub section: SectionId<S>,
    /// Start of the prefix.
    pub start: u64,
    /// Where the function itself starts.
    pub value: u64,
    pub end: u64,
}

/// What a comparison found.
#[derive(Debug)]
pub(super) struct Seen<S> {
    /// First difference: distance from the function's start, and what it is.
    pub difference: Option<(i64, String)>,
    /// The addresses that the function's references were resolved to.
    pub implied: Vec<(SymbolId<S>, u64)>,
    /// References whose target could not be checked: they name nothing that is in the table.
    pub unchecked: u32,
}

/// Compares functions of one object with an image.
pub(super) struct Comparison<'a, S> {
    pub layout: &'a Layout<'a, S>,
    pub image: &'a KernelImage<'a>,
    pub table: &'a ParentTable<'a>,
    /// Places of static keys, sorted.
    pub keys: &'a [(SectionId<S>, u64)],
}

/// Calls that objtool turns into NOPs.
fn becomes_nop(callee: &str) -> bool {
    callee == "__fentry__" || callee.starts_with("__sanitizer_cov_")
}

/// Writes a NOP to `expected` if it is in `theirs`; returns whether it is.
fn replace_by_nop(expected: &mut [u8], theirs: &[u8], at: usize, nop: &[u8]) -> bool {
    let is_there = theirs.get(at..at + nop.len()) == Some(nop);
    if is_there && let Some(site) = expected.get_mut(at..at + nop.len()) {
        site.copy_from_slice(nop);
    }
    is_there
}

/// How an address is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    /// Whole; in a module as an offset in this section.
    Full(u32),
    /// Its lower half.
    Lower,
}

/// What is known of the target of a relocation.
enum RelocTarget<S> {
    /// It names this symbol, whose address is this.
    Is(SymbolId<S>, u64),
    /// It is as it must be.
    Right,
    /// It cannot be checked.
    Unknown,
    /// It is not what the object refers to.
    Wrong(String),
}

impl<'a, S: Side> Comparison<'a, S> {
    /// Compares `piece` with the image where entry `index` says that it is.
    pub fn at(&self, piece: &Piece<S>, index: u32) -> Seen<S> {
        let mut seen = Seen { difference: None, implied: Vec::new(), unchecked: 0 };
        let Some(entry) = self.table.entries().get(index) else { return seen };
        let object = self.layout.object;
        let data = object.section(piece.section).data;
        let lead = piece.value - piece.start;
        let ours = data.get(piece.start as usize..piece.end as usize).unwrap_or(&[]);
        let place = entry.addr.wrapping_sub(lead);
        let theirs = self.image.bytes_at(index, place).unwrap_or(&[]);
        let theirs = theirs.get(..ours.len()).unwrap_or(theirs);
        let mut expected = ours.to_vec();
        let refs = Refs::new(self.layout, piece.section);
        let mut wrong: Option<(u64, String)> = None;
        for reloc in object.relocs(piece.section).within(piece.start, piece.end) {
            let at = (reloc.offset - piece.start) as usize;
            let Ok(kind) = self.layout.arch.reloc(reloc.kind) else { continue };
            let callee = object.symbol_name(reloc.symbol);
            if becomes_nop(callee) && at > 0 && self.is_disabled_call(&mut expected, theirs, at - 1)
            {
                continue;
            }
            let width = usize::from(kind.width);
            let Some(field) = theirs.get(at..at + width) else { continue };
            if width == 0 {
                continue;
            }
            self.relaxed(kind.class, theirs, &mut expected, at);
            if let Some(masked) = expected.get_mut(at..at + width) {
                self.fill(kind, masked, field);
            }
            let place = place.wrapping_add(at as u64);
            let target = match self.image.home(index).filter(|_| self.image.elf.is_relocatable()) {
                Some(home) => self.relocated(&refs, &reloc, kind.class, (home, place)),
                None => self.target(&refs, &reloc, kind, field, place),
            };
            match target {
                RelocTarget::Is(symbol, addr) => seen.implied.push((symbol, addr)),
                RelocTarget::Right => {}
                RelocTarget::Unknown => seen.unchecked += 1,
                RelocTarget::Wrong(what) => {
                    if wrong.is_none() {
                        wrong = Some((at as u64, what));
                    }
                }
            }
        }
        self.static_keys(piece, theirs, &mut expected);
        let byte = expected.iter().zip(theirs).position(|(a, b)| a != b);
        let byte = byte.or_else(|| (theirs.len() < expected.len()).then_some(theirs.len()));
        seen.difference = match (byte.map(|b| b as u64), wrong) {
            (Some(b), Some((w, what))) if w < b => Some((w, what)),
            (None, Some((w, what))) => Some((w, what)),
            (Some(b), _) => Some((b, byte_difference(&expected, theirs, b as usize))),
            (None, None) => None,
        }
        .map(|(at, what)| (at as i64 - lead as i64, what));
        let size = object.symbol(piece.symbol).size;
        if seen.difference.is_none() && entry.size != 0 && entry.size != size {
            let what = format!("it is {} bytes long there, but {size} here", entry.size);
            seen.difference = Some((size.min(entry.size) as i64, what));
        }
        seen
    }

    /// Whether BOLT filled the room behind a function that is otherwise as in the object.
    ///
    /// A function that fills its room leaves no trace.
    pub fn is_relaid(&self, piece: &Piece<S>, index: u32) -> bool {
        let (image, layout) = (self.image, self.layout);
        let Some(filled_by_bolt) = image.arch.filled_by_bolt.filter(|_| image.bolt.is_some())
        else {
            return false;
        };
        let Some(entry) = self.table.entries().get(index) else { return false };
        let Some(end) = entry.addr.checked_add(piece.end - piece.value) else { return false };
        let room = self.table.next_function(entry.addr).and_then(|next| next.checked_sub(end));
        let there = image.bytes_at(index, end).unwrap_or(&[]);
        let room = room.and_then(|room| usize::try_from(room).ok()).unwrap_or(0);
        let ours = layout.object.section(piece.section).data.get(piece.end as usize..);
        filled_by_bolt(room, there, ours.unwrap_or(&[]))
    }

    /// A load from the GOT becomes an address in a linked kernel: its opcode changes with it.
    fn relaxed(&self, class: RelocClass, theirs: &[u8], expected: &mut [u8], at: usize) {
        if class != RelocClass::Got || at < 2 {
            return;
        }
        let (Some(was), Some(is)) = (expected.get_mut(at - 2..at), theirs.get(at - 2..at)) else {
            return;
        };
        if (self.image.arch.relaxes_got)(was, is) {
            was.copy_from_slice(is);
        }
    }

    /// A static key that the compiler wrote as a jump may be a NOP, by objtool's doing.
    fn static_keys(&self, piece: &Piece<S>, theirs: &[u8], expected: &mut [u8]) {
        let from = self.keys.partition_point(|&k| k < (piece.section, piece.start));
        for &(section, at) in self.keys.iter().skip(from) {
            if section != piece.section || at >= piece.end {
                break;
            }
            let at = (at - piece.start) as usize;
            let nop = expected.get(at..).and_then(self.image.arch.disabled_jump);
            if let Some(nop) = nop {
                replace_by_nop(expected, theirs, at, nop);
            }
        }
    }

    /// Makes of `ours`, the field in an object, what the link makes of it when its value is that
    /// of `theirs`: of a call's instruction everything but the distance stays.
    fn fill(&self, kind: &RelocType, ours: &mut [u8], theirs: &[u8]) {
        let call_distance = self.image.arch.call_distance;
        let field = theirs.first_chunk().filter(|_| ours.len() == 4);
        match field.and_then(|&field| call_distance(kind.id, field)) {
            Some(distance) => {
                for ((byte, theirs), mask) in ours.iter_mut().zip(theirs).zip(distance.mask) {
                    *byte = *byte & !mask | theirs & mask;
                }
            }
            None => ours.copy_from_slice(theirs),
        }
    }

    /// Whether a call at `at` is a NOP in the image; it is one in `expected`, too, then.
    fn is_disabled_call(&self, expected: &mut [u8], theirs: &[u8], at: usize) -> bool {
        let nop = expected.get(at..).and_then(self.image.arch.disabled_call);
        nop.is_some_and(|nop| replace_by_nop(expected, theirs, at, nop))
    }

    /// Whether a module refers to what the object refers to: it keeps its relocations.
    fn relocated(
        &self,
        refs: &Refs<'a, S>,
        reloc: &Reloc<S>,
        class: RelocClass,
        place: (u32, u64),
    ) -> RelocTarget<S> {
        let (elf, object) = (&self.image.elf, self.layout.object);
        let same_class = |kind: u32| self.image.arch.reloc(kind).is_ok_and(|k| k.class == class);
        let mut theirs = elf.relocs_at(place.0, place.1).iter().filter(|r| same_class(r.kind));
        let (Some(theirs), None) = (theirs.next(), theirs.next()) else {
            return RelocTarget::Unknown;
        };
        let Some(there) = elf.symbols().get(theirs.symbol as usize) else {
            return RelocTarget::Unknown;
        };
        let here = object.symbol(reloc.symbol);
        let sections = [here.kind, there.kind].map(|kind| kind == abi::STT_SECTION);
        match sections {
            [false, false] if here.name != there.name => RelocTarget::Wrong(format!(
                "it refers to '{}' here, but to '{}' there",
                here.name, there.name
            )),
            [false, false] if reloc.addend != theirs.addend => RelocTarget::Wrong(format!(
                "it refers to '{}'{:+} here, but {:+} there",
                here.name, reloc.addend, theirs.addend
            )),
            [false, false] if there.section == 0 => RelocTarget::Right,
            [false, false] => RelocTarget::Is(reloc.symbol, there.value),
            [true, true] => {
                let target = there.value.wrapping_add_signed(theirs.addend);
                self.leads_to(refs, reloc, target, Width::Full(there.section))
            }
            _ => RelocTarget::Unknown,
        }
    }

    /// Whether the value that the link wrote leads to what the relocation refers to.
    fn target(
        &self,
        refs: &Refs<'a, S>,
        reloc: &Reloc<S>,
        kind: &RelocType,
        field: &[u8],
        place: u64,
    ) -> RelocTarget<S> {
        if self.in_percpu(place) {
            return RelocTarget::Unknown;
        }
        if !self.image.arch.whole_fields {
            // Most fields are parts of instructions; those of calls are whole addresses.
            let call_distance = self.image.arch.call_distance;
            return match field.first_chunk().and_then(|&field| call_distance(kind.id, field)) {
                Some(distance) => {
                    let target = place.wrapping_add_signed(distance.bytes);
                    self.leads_to(refs, reloc, target, Width::Full(0))
                }
                None => RelocTarget::Unknown,
            };
        }
        let raw = self.image.elf.integer(field);
        let signed = match field.len() {
            4 => raw as u32 as i32 as i64 as u64,
            8 => raw,
            _ => return RelocTarget::Unknown,
        };
        let base = match kind.class {
            RelocClass::PcRelative => place,
            RelocClass::Absolute => 0,
            _ => return RelocTarget::Unknown,
        };
        // Offsets of 32 bits are kept where addresses of 64 bits are meant.
        let width = if field.len() == 4 && base == 0 { Width::Lower } else { Width::Full(0) };
        self.leads_to(refs, reloc, signed.wrapping_add(base), width)
    }

    /// Whether `target`, to which the image refers, is what the relocation refers to.
    fn leads_to(
        &self,
        refs: &Refs<'a, S>,
        reloc: &Reloc<S>,
        target: u64,
        width: Width,
    ) -> RelocTarget<S> {
        let Ok(meant) = refs.resolve(reloc) else { return RelocTarget::Unknown };
        let addr = target.wrapping_sub(meant.addend as u64);
        let home = if let Width::Full(home) = width { home } else { 0 };
        let object = self.layout.object;
        let symbol = object.symbol(meant.symbol);
        if symbol.kind == abi::STT_SECTION || meant.symbol.index() == 0 {
            return self.content(refs, reloc, (home, target));
        }
        let indexes = self.table.named(symbol.name);
        if indexes.is_empty() {
            return self.nameless(refs, reloc, meant.symbol, (home, target, addr));
        }
        let entries = self.table.entries();
        let same = |a: u64| a == addr || (width == Width::Lower && a as u32 == addr as u32);
        let inside = |i: u32| home == 0 || self.image.home(i) == Some(home);
        match indexes.iter().find(|&&i| same(entries.addr(i)) && inside(i)) {
            Some(&i) => RelocTarget::Is(meant.symbol, entries.addr(i)),
            // BOLT gives some symbols of the linker script new values, not the code.
            None if self.image.bolt.is_some()
                && indexes.iter().all(|&i| entries.traits(i).kind() == abi::STT_NOTYPE) =>
            {
                RelocTarget::Unknown
            }
            None => {
                let there = self.table.at_addresses(addr).filter(|&i| inside(i));
                // A function rather than a label of the same place.
                let there = there.min_by_key(|&i| entries.traits(i).kind() != abi::STT_FUNC);
                let there = there.map(|i| entries.name(i));
                let there = there.map_or_else(|| format!("{addr:#x}"), |n| format!("'{n}'"));
                RelocTarget::Wrong(format!(
                    "it refers to '{}' here, but to {there} there",
                    symbol.name
                ))
            }
        }
    }

    fn in_percpu(&self, place: u64) -> bool {
        self.image.elf.section_at(place).is_some_and(|s| s.flags & abi::SHF_EXECINSTR == 0)
    }

    /// A symbol that the table lacks: a label, a constant, or a weak symbol that nothing
    /// defines.
    fn nameless(
        &self,
        refs: &Refs<'a, S>,
        reloc: &Reloc<S>,
        symbol: SymbolId<S>,
        (home, target, addr): (u32, u64, u64),
    ) -> RelocTarget<S> {
        let view = self.layout.object.symbol(symbol);
        match view.home {
            Home::Undefined if view.bind == abi::STB_WEAK && addr == 0 => RelocTarget::Right,
            Home::Section(_) => self.content(refs, reloc, (home, target)),
            _ => RelocTarget::Unknown,
        }
    }

    /// What has no name is told by its content: strings and constants that the linker may
    /// have merged with others.
    fn content(
        &self,
        refs: &Refs<'a, S>,
        reloc: &Reloc<S>,
        (home, target): (u32, u64),
    ) -> RelocTarget<S> {
        let object = self.layout.object;
        let Some(section) = object.section_of(reloc.symbol) else { return RelocTarget::Unknown };
        let view = object.section(section);
        if view.flags & abi::SHF_MERGE == 0 || !object.relocs(section).is_empty() {
            return RelocTarget::Unknown;
        }
        let Ok(offset) = refs.target_offset(reloc) else { return RelocTarget::Unknown };
        let bias = offset.wrapping_sub(reloc.addend);
        let Some(offset) = offset
            .checked_add_unsigned(object.symbol(reloc.symbol).value)
            .and_then(|offset| usize::try_from(offset).ok())
        else {
            return RelocTarget::Unknown;
        };
        // What lies outside of the image agrees with nothing.
        let there = self.image.elf.bytes_from(home, target.wrapping_add(bias as u64));
        let there = there.unwrap_or(&[]);
        let rest = view.data.get(offset..).unwrap_or(&[]);
        let ours = if view.flags & abi::SHF_STRINGS != 0 {
            // With the NUL, so that a prefix is no match.
            rest.iter().position(|&b| b == 0).and_then(|end| rest.get(..=end))
        } else {
            usize::try_from(view.entsize).ok().and_then(|size| rest.get(..size))
        };
        match ours {
            Some(ours) if !ours.is_empty() && there.starts_with(ours) => RelocTarget::Right,
            Some(ours) if !ours.is_empty() => RelocTarget::Wrong(format!(
                "it uses {} here, but another constant there",
                shown(ours)
            )),
            _ => RelocTarget::Unknown,
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    match bytes {
        [text @ .., 0] if text.iter().all(|b| (0x20..0x7f).contains(b)) => {
            format!("the string {:?}", String::from_utf8_lossy(text))
        }
        _ => {
            let hex: Vec<String> = bytes.iter().take(16).map(|b| format!("{b:02x}")).collect();
            format!("the constant {}", hex.join(" "))
        }
    }
}

/// A few bytes of both sides from the first that differs.
fn byte_difference(ours: &[u8], theirs: &[u8], at: usize) -> String {
    let few = |bytes: &[u8]| {
        let bytes = bytes.get(at..).unwrap_or(&[]);
        let hex: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
        hex.join(" ")
    };
    if at >= theirs.len() {
        return "the image stores no bytes there".to_owned();
    }
    format!("the object has {} there, the image {}", few(ours), few(theirs))
}
