//! Constants that only tell a panic of Rust code where it comes from.
//!
//! `core::panic::Location` is the name of a file as pointer and length, a line and a column.
//! Functions of core that panic get a reference to one behind their written arguments
//! (`#[track_caller]`), print it, and never return. A constant is one when it has that form, and
//! each reference to it in the object is the load of that argument of such a call, with nothing
//! but other loads of arguments between the two. On AArch64 two instructions make an address, each with a
//! reference of its own. Other machines are not read so far.
//!
//! Checklist for a new callee: a row in `CALLEES` with the number of its written arguments as
//! the calling convention counts them: a string is two.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places of references, which have 63 bits, and small distances"
)]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::layout::{Class, Layout};
use super::refs::Refs;
use crate::arch::{Does, RelocClass, Stack};
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side};
use crate::elf::object::Reloc;

/// Functions of core by the end of their names in v0 mangling (library/core/src of Rust), and
/// which arguments the location may be: the first is 0.
const CALLEES: [(&str, &[usize]); 14] = [
    ("_4core9panicking5panic", &[2]),
    // The arguments of the format are one pointer, or two, by version.
    ("_4core9panicking9panic_fmt", &[1, 2]),
    ("_4core9panicking18panic_bounds_check", &[2]),
    ("_4core6option13unwrap_failed", &[0]),
    ("_4core6option13expect_failed", &[2]),
    ("_4core6result13unwrap_failed", &[4]),
    ("_4core4cell22panic_already_borrowed", &[0]),
    ("_4core4cell30panic_already_mutably_borrowed", &[0]),
    ("_4core5slice5index16slice_index_fail", &[3]),
    ("_4core5slice5index22slice_index_order_fail", &[2]),
    ("_4core5slice5index24slice_end_index_len_fail", &[2]),
    ("_4core5slice5index26slice_start_index_len_fail", &[2]),
    ("_4core5slice5index29slice_end_index_overflow_fail", &[0]),
    ("_4core3str16slice_error_fail", &[4]),
];

/// Those for checks of arithmetic have only the location.
const CONSTANT_PANICS: &str = "_4core9panicking11panic_const";

/// Bytes of a location, and where its line begins.
pub const SIZE: u64 = 24;
/// See [`SIZE`].
pub const LINE: u64 = 16;

/// Farther before a call its arguments are not looked for.
const REACH: u64 = 48;

/// Which arguments of a function may be where it was called from.
fn location_of(callee: &str) -> Option<&'static [usize]> {
    let rest = callee.strip_prefix("_RNv")?;
    if let Some((_, name)) = rest.split_once(CONSTANT_PANICS) {
        let name = name.trim_start_matches(|c: char| c.is_ascii_digit());
        return name.starts_with("panic_const_").then_some(&[0]);
    }
    CALLEES.iter().find(|(end, _)| rest.ends_with(end)).map(|(_, arguments)| *arguments)
}

/// The places of locations of an object.
#[derive(Debug, Default)]
pub struct Panics<S>(IndexSet<(SectionId<S>, u64), RandomState>);

impl<S: Side> Panics<S> {
    /// Finds them. Without Rust's panics in the object that is a look at its symbols.
    pub fn new(layout: &Layout<'_, S>) -> Result<Self> {
        let object = layout.object;
        let calls = |id| location_of(object.symbol_name(id)).is_some();
        let machines = [abi::EM_X86_64, abi::EM_AARCH64];
        if !machines.contains(&layout.arch.machine) || !object.symbols().skip(1).any(calls) {
            return Ok(Panics(IndexSet::default()));
        }
        // How many references there are to a place, and how many of them are such arguments.
        let mut counts: IndexMap<(SectionId<S>, u64), (usize, usize), RandomState> =
            IndexMap::default();
        for section in object.sections() {
            if matches!(layout.class(section), Class::Debug | Class::Relocations) {
                continue;
            }
            let refs = Refs::new(layout, section);
            let mut before: Vec<(u64, (SectionId<S>, u64))> = Vec::new();
            let mut relocs: Vec<_> = object.relocs(section).iter().collect();
            relocs.sort_by_key(|r| r.offset);
            for reloc in relocs {
                if let Some(place) = refs.place(&reloc)? {
                    counts.entry(place).or_default().0 += 1;
                    before.push((reloc.offset, place));
                }
                let name = object.symbol_name(reloc.symbol);
                let is_code = layout.class(section) == Class::Text;
                let Some(arguments) = location_of(name).filter(|_| is_code) else { continue };
                if layout.arch.machine != abi::EM_X86_64 {
                    if let Some((place, references)) = made(layout, section, &reloc, arguments)? {
                        counts.entry(place).or_default().1 += references;
                    }
                    continue;
                }
                if layout.arch.reloc(reloc.kind)?.class != RelocClass::PcRelative {
                    continue;
                }
                let code = object.contents(section);
                let near = before.iter().rev();
                let near = near.take_while(|(at, _)| reloc.offset.saturating_sub(*at) <= REACH);
                let registers = arguments
                    .iter()
                    .filter_map(|&n| layout.arch.arguments.registers.get(n).copied());
                let registers: Vec<u8> = registers.collect();
                let found = near.clone().find(|(at, _)| {
                    registers.iter().any(|&r| is_loaded(code, *at, reloc.offset, r))
                });
                if let Some((_, place)) = found {
                    counts.entry(*place).or_default().1 += 1;
                }
            }
        }
        let all = counts
            .into_iter()
            .filter(|(place, (all, proved))| all == proved && has_form(layout, *place));
        Ok(Panics(all.map(|(place, _)| place).collect()))
    }

    /// Whether a location is at a place.
    pub fn has(&self, section: SectionId<S>, at: u64) -> bool {
        self.0.contains(&(section, at))
    }
}

/// Whether there is a pointer to a text, the length of which follows, and two numbers that no
/// relocation changes, in read-only data.
fn has_form<S: Side>(layout: &Layout<'_, S>, (section, at): (SectionId<S>, u64)) -> bool {
    let object = layout.object;
    let data = object.contents(section);
    let field = |from: u64| data.get((at + from) as usize..)?.first_chunk::<8>().copied();
    let Some(length) = field(8).map(u64::from_le_bytes) else { return false };
    let mut relocs = object.relocs(section).within(at, at + SIZE);
    let (Some(pointer), None) = (relocs.next(), relocs.next()) else { return false };
    let text = Refs::new(layout, section).place(&pointer).ok().flatten();
    let is_text = text.is_some_and(|(text, start)| {
        let end = start.checked_add(length);
        let bytes = end.and_then(|end| object.contents(text).get(start as usize..end as usize));
        object.section_flags(text) & abi::SHF_WRITE == 0
            && bytes.is_some_and(|b| b.ends_with(b".rs") && b.iter().all(u8::is_ascii_graphic))
    });
    object.section_flags(section) & abi::SHF_WRITE == 0
        && pointer.offset == at
        && pointer.kind == layout.arch.abs64
        && field(LINE).is_some()
        && is_text
}

/// An address of which a register holds all, or the upper part; and how many references made it.
#[derive(Clone, Copy)]
struct Address<S> {
    place: (SectionId<S>, u64),
    whole: bool,
    references: usize,
}

/// A place, and how many references made its address.
type Made<S> = ((SectionId<S>, u64), usize);

/// The place that one of the arguments of a call is the address of, and how many references made that: on machines
/// with instructions of four bytes, to which relocations belong as a whole. Nothing but what fills registers
/// lies before the call, and nothing else reads the address.
fn made<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    call: &Reloc<S>,
    arguments: &[usize],
) -> Result<Option<Made<S>>> {
    let object = layout.object;
    let code = object.contents(section);
    let effect = |at: u64| (layout.arch.effect)(code, at);
    if effect(call.offset).is_none_or(|e| e.does != Does::Call) {
        return Ok(None);
    }
    let fills = |at: &u64| {
        effect(*at).is_some_and(|e| {
            e.stack == Stack::Untouched
                && matches!(
                    e.does,
                    Does::Constant { .. }
                        | Does::Address(_)
                        | Does::Upper(_)
                        | Does::Lower(..)
                        | Does::Copy(..)
                )
        })
    };
    let before = (1..=REACH / 4).map_while(|n| call.offset.checked_sub(4 * n));
    let start = before.take_while(fills).last().unwrap_or(call.offset);
    let refs = Refs::new(layout, section);
    let mut registers: [Option<Address<S>>; 32] = [None; 32];
    for at in (start..call.offset).step_by(4) {
        let Some(effect) = effect(at) else { return Ok(None) };
        let reloc = object.relocs(section).within(at, at + 4).next();
        let place = reloc.map(|r| refs.place(&r)).transpose()?.flatten();
        let held = |number: u8| registers.get(usize::from(number)).copied().flatten();
        let new = match (effect.does, place) {
            (Does::Address(to), Some(place)) => {
                Some((to, Address { place, whole: true, references: 1 }))
            }
            (Does::Upper(to), Some(place)) => {
                Some((to, Address { place, whole: false, references: 1 }))
            }
            (Does::Lower(to, from), Some(place)) => held(from)
                .filter(|upper| !upper.whole && upper.place == place)
                .map(|_| (to, Address { place, whole: true, references: 2 })),
            _ => None,
        };
        // What was read or written by anything else is no address of ours any more.
        for (number, register) in registers.iter_mut().enumerate() {
            if (effect.reads | effect.writes) >> number & 1 == 1 {
                *register = None;
            }
        }
        if let Some((to, address)) = new
            && let Some(register) = registers.get_mut(usize::from(to))
        {
            *register = Some(address);
        }
    }
    let passed = arguments.iter().filter_map(|&n| layout.arch.arguments.registers.get(n));
    let mut passed = passed.filter_map(|&n| registers.get(usize::from(n)).copied().flatten());
    Ok(passed.find(|address| address.whole).map(|address| (address.place, address.references)))
}

/// Whether the field at `field` is that of an instruction that loads `register`, and from there
/// to the call whose field is at `call` nothing but loads of other registers.
fn is_loaded(code: &[u8], field: u64, call: u64, register: u8) -> bool {
    let starts = [field.checked_sub(3), field.checked_sub(1), field.checked_sub(2)];
    starts.into_iter().flatten().any(|start| {
        let Some(first) = load(code, start).filter(|l| l.register == register) else {
            return false;
        };
        if start + first.field != field {
            return false;
        }
        let mut at = start + first.length;
        while let Some(next) = load(code, at).filter(|l| l.register != register) {
            at += next.length;
        }
        code.get(at as usize) == Some(&0xe8) && at + 1 == call
    })
}

/// An instruction that puts a value into a register, and does nothing else.
struct Load {
    register: u8,
    length: u64,
    /// Where its immediate or its address is.
    field: u64,
}

/// Reads such an instruction: `mov` of an immediate or another register, and `lea` of an
/// address that is relative to the instruction.
fn load(code: &[u8], at: u64) -> Option<Load> {
    let bytes = code.get(at as usize..)?;
    let (rex, rest) = match bytes {
        [rex @ 0x40..=0x4f, rest @ ..] => (*rex, rest),
        _ => (0, bytes),
    };
    let prefix = u64::from(rex != 0);
    let (wide, reg, base) = (rex & 8 != 0, rex & 4, rex & 1);
    let load = |register, length, field| {
        Some(Load { register, length: prefix + length, field: prefix + field })
    };
    match *rest {
        // mov reg, imm32
        [op @ 0xb8..=0xbf, ..] if !wide => load((op & 7) | base << 3, 5, 1),
        // mov reg, sign-extended imm32
        [0xc7, modrm @ 0xc0..=0xc7, ..] => load((modrm & 7) | base << 3, 6, 2),
        // lea reg, [rip + disp32]
        [0x8d, modrm, ..] if wide && modrm & 0xc7 == 5 => load((modrm >> 3 & 7) | reg << 1, 6, 2),
        // mov reg, reg
        [0x89, modrm @ 0xc0..=0xff, ..] => load((modrm & 7) | base << 3, 2, 2),
        [0x8b, modrm @ 0xc0..=0xff, ..] => load((modrm >> 3 & 7) | reg << 1, 2, 2),
        // xor reg, reg, which makes it 0
        [0x31, modrm @ 0xc0..=0xff, ..] if modrm >> 3 & 7 == modrm & 7 && reg >> 2 == base => {
            load((modrm & 7) | base << 3, 2, 2)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callees_are_core_s() {
        let of = |name: &str| location_of(name).map(<[usize]>::to_vec);
        let core = "_RNvNtCsgEmfK2I1SDS_4core";
        assert_eq!(of(&format!("{core}9panicking18panic_bounds_check")), Some(vec![2]));
        assert_eq!(of(&format!("{core}6option13unwrap_failed")), Some(vec![0]));
        let constant =
            "_RNvNtNtCsgEmfK2I1SDS_4core9panicking11panic_const24panic_const_add_overflow";
        assert_eq!(of(constant), Some(vec![0]));
        for other in
            ["panic_bounds_check", "_RNvNtCsgE_4mine9panicking5panic", "_RNvCs1_4core5panic"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn only_loads_lie_between_the_constant_and_the_call() {
        // mov rdx, imm; mov esi, 8; mov rdi, rsi; call
        let code =
            [0x48, 0xc7, 0xc2, 0, 0, 0, 0, 0xbe, 8, 0, 0, 0, 0x48, 0x89, 0xf7, 0xe8, 0, 0, 0, 0];
        assert!(is_loaded(&code, 3, 16, 2));
        assert!(!is_loaded(&code, 3, 16, 6), "another register");
        assert!(!is_loaded(&code, 8, 16, 2), "another field");
        let mut other = code;
        // mov rdx, rsi: the location is gone.
        other[14] = 0xf2;
        assert!(!is_loaded(&other, 3, 16, 2));
        // push rsi: read by something else.
        other[12..15].copy_from_slice(&[0x90, 0x90, 0x56]);
        assert!(!is_loaded(&other, 3, 16, 2));
        // lea rdi, [rip]; call, and with a jump instead
        let code = [0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0];
        assert!(is_loaded(&code, 3, 8, 7));
        let code = [0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0];
        assert!(!is_loaded(&code, 3, 8, 7));
    }
}
