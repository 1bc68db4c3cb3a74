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

use std::sync::OnceLock;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::layout::{Class, Layout};
use super::refs::Refs;
use crate::arch::{Addresses, Does, IsLoaded, RelocClass, Stack};
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

/// The locations of an object, which are looked for once somebody asks.
pub struct Panics<'a, S> {
    layout: &'a Layout<'a, S>,
    places: OnceLock<Result<Places<S>>>,
}

/// Where they are.
#[derive(Debug, Default)]
struct Places<S>(IndexSet<(SectionId<S>, u64), RandomState>);

impl<'a, S: Side> Panics<'a, S> {
    /// Those of an object.
    pub fn new(layout: &'a Layout<'a, S>) -> Self {
        Panics { layout, places: OnceLock::new() }
    }

    /// Whether a location is at a place.
    pub fn has(&self, section: SectionId<S>, at: u64) -> Result<bool> {
        let places = self.places.get_or_init(|| Places::new(self.layout));
        places.as_ref().map(|places| places.0.contains(&(section, at))).map_err(Clone::clone)
    }
}

impl<S: Side> Places<S> {
    /// Finds them. Without Rust's panics in the object that is a look at its symbols.
    fn new(layout: &Layout<'_, S>) -> Result<Self> {
        let object = layout.object;
        let calls = |id| location_of(object.symbol_name(id)).is_some();
        let addresses = layout.arch.arguments.addresses;
        if matches!(addresses, Addresses::Unread) || !object.symbols().skip(1).any(calls) {
            return Ok(Places(IndexSet::default()));
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
                let found = match addresses {
                    Addresses::Field(is_loaded) => {
                        loaded(layout, section, &reloc, arguments, &before, is_loaded)?
                    }
                    Addresses::Words => made(layout, section, &reloc, arguments)?,
                    Addresses::Unread => None,
                };
                if let Some((place, references)) = found {
                    counts.entry(place).or_default().1 += references;
                }
            }
        }
        let all = counts
            .into_iter()
            .filter(|(place, (all, proved))| all == proved && has_form(layout, *place));
        Ok(Places(all.map(|(place, _)| place).collect()))
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

/// The same as [`made`] on machines where one instruction loads an address: the last of the
/// references `before` the call, with their places, that is the load of an argument.
fn loaded<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    call: &Reloc<S>,
    arguments: &[usize],
    before: &[(u64, (SectionId<S>, u64))],
    is_loaded: IsLoaded,
) -> Result<Option<Made<S>>> {
    if layout.arch.reloc(call.kind)?.class != RelocClass::PcRelative {
        return Ok(None);
    }
    let code = layout.object.contents(section);
    let passed = arguments.iter().filter_map(|&n| layout.arch.arguments.registers.get(n).copied());
    let mut near =
        before.iter().rev().take_while(|(at, _)| call.offset.saturating_sub(*at) <= REACH);
    let found = near.find(|(at, _)| passed.clone().any(|r| is_loaded(code, *at, call.offset, r)));
    Ok(found.map(|&(_, place)| (place, 1)))
}

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
}
