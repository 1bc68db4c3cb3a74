//! Proves a livepatch module against the kpatch module that it was made from.
//!
//! Both are read with the second reader, which brings what livepatch is asked for into one form.
//! So each section of the input must be in the output with the same bytes and references; the
//! tables that only say what livepatch resolves are gone, and those of `.kpatch.arch` are joined.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in contents that are in memory, and counts"
)]

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::written::{Asked, Home, Reference, To, Written};
use super::{differs, names};
use crate::diag::Result;
use crate::elf::abi;
use crate::kernel::knowledge::livepatch;

/// Fails, with code `unproved-output`, unless the module `output` is `input` with its
/// relocations in the kernel's form.
pub fn prove_klp(input: &[u8], output: &[u8]) -> Result<()> {
    let (input, output) = (Written::parse(input)?, Written::parse(output)?);
    let headers = |w: &Written<'_>| (w.kind, w.machine, w.flags, w.big_endian);
    if headers(&input) != headers(&output) {
        return Err(differs("the header of the file"));
    }
    let modules = Modules { places: places(&input, &output)?, input, output };
    modules.check_sections()?;
    modules.check_symbols()
}

/// Where the bytes of a section are: in which of the output's, and behind how many bytes.
type Place = (u32, u64);

struct Modules<'a> {
    input: Written<'a>,
    output: Written<'a>,
    places: IndexMap<u32, Place, RandomState>,
}

/// Sections that are no part of the result, or that the writer makes.
fn is_made(kind: u32, name: &str) -> bool {
    matches!(
        kind,
        abi::SHT_NULL | abi::SHT_RELA | abi::SHT_SYMTAB | abi::SHT_STRTAB | abi::SHT_SYMTAB_SHNDX
    ) || names::RESOLVED.contains(&name)
        || name == names::ARCH
}

/// Finds the sections of the input in the output: those of one name in their order; those of an
/// object's own tables one behind the other.
fn places(input: &Written<'_>, output: &Written<'_>) -> Result<IndexMap<u32, Place, RandomState>> {
    let mut free: IndexMap<&str, Vec<u32>, RandomState> = IndexMap::default();
    for index in (1..output.sections.len() as u32).rev() {
        let section = output.section(index);
        if !is_made(section.kind, section.name) {
            free.entry(section.name).or_default().push(index);
        }
    }
    let mut joined: IndexMap<u32, u64, RandomState> = IndexMap::default();
    let mut places = IndexMap::default();
    for index in 1..input.sections.len() as u32 {
        let section = input.section(index);
        if is_made(section.kind, section.name) {
            continue;
        }
        if let Some(to) = free.get_mut(section.name).and_then(Vec::pop) {
            places.insert(index, (to, 0));
            continue;
        }
        let ends = |name: &str| {
            let rest = name.strip_prefix(livepatch::KLP_ARCH).and_then(|rest| rest.split_once('.'));
            rest.is_some_and(|(_, rest)| Some(rest) == section.name.strip_prefix('.'))
                || name.strip_prefix(livepatch::KLP_ARCH).is_some_and(|n| n.ends_with(section.name))
        };
        let mut all = (1..output.sections.len() as u32).filter(|&to| {
            let there = output.section(to);
            ends(there.name)
                && holds(output, to, joined.get(&to).copied().unwrap_or(0), section.data).is_some()
        });
        let Some(to) = all.next() else {
            return Err(differs("a section is missing").in_section(section.name));
        };
        let behind = joined.get(&to).copied().unwrap_or(0);
        let at = holds(output, to, behind, section.data).unwrap_or(behind);
        joined.insert(to, at.saturating_add(section.size));
        places.insert(index, (to, at));
    }
    match free
        .into_iter()
        .find(|(name, left)| !left.is_empty() && !name.starts_with(livepatch::KLP_ARCH))
    {
        Some((name, _)) => Err(differs("there is a section more").in_section(name)),
        None => Ok(places),
    }
}

/// Where in a joined section, at or behind a byte, some bytes are, with nothing but padding
/// before.
fn holds(output: &Written<'_>, to: u32, behind: u64, bytes: &[u8]) -> Option<u64> {
    let data = output.section(to).data;
    let start = usize::try_from(behind).ok()?;
    let end = bytes.len().checked_add(start)?;
    if data.get(start..end)? == bytes {
        return Some(behind);
    }
    let padding = data.get(start..)?.iter().take_while(|&&b| b == 0).take(64).count();
    (1..=padding).find(|&n| data.get(start + n..end + n) == Some(bytes)).map(|n| behind + n as u64)
}

impl Modules<'_> {
    fn check_sections(&self) -> Result<()> {
        let mut counts: IndexMap<u32, usize, RandomState> = IndexMap::default();
        for (&index, &(to, at)) in &self.places {
            let (ours, theirs) = (self.input.section(index), self.output.section(to));
            let fail = |what: &str| differs(what).in_section(ours.name);
            let headers = |s: super::written::Section<'_>| {
                (s.kind, s.flags, s.align, s.entsize, s.size, s.relocs)
            };
            let moved = ours.name != theirs.name;
            if !moved && headers(ours) != headers(theirs) {
                return Err(fail("its header differs"));
            }
            let end = at as usize + ours.data.len();
            if theirs.data.get(at as usize..end) != Some(ours.data) {
                return Err(fail("its bytes differ"));
            }
            let linked = ours.flags & abi::SHF_LINK_ORDER != 0;
            if linked && self.places.get(&ours.link).map(|p| p.0) != Some(theirs.link) {
                return Err(fail("it is ordered after another section"));
            }
            // Places in what is compressed are of what it unpacks to.
            let end = match ours.flags & abi::SHF_COMPRESSED {
                0 => at.saturating_add(ours.size.max(1)),
                _ => u64::MAX,
            };
            let refs = self.output.within(to, at, end);
            self.check_refs(self.input.refs(index), refs, at)
                .map_err(|e| e.in_section(ours.name))?;
            *counts.entry(to).or_default() += refs.len();
        }
        for to in 1..self.output.sections.len() as u32 {
            let section = self.output.section(to);
            let known = counts.get(&to).copied().unwrap_or(0);
            if self.output.refs(to).len() != known {
                return Err(differs("there are more relocations").in_section(section.name));
            }
        }
        Ok(())
    }

    fn check_refs(&self, ours: &[Reference], theirs: &[Reference], at: u64) -> Result<()> {
        let sorted = |refs: &[Reference], written: &Written<'_>, shift: u64| -> Result<Vec<Key>> {
            let keys = refs.iter().map(|r| {
                let offset = r.offset.wrapping_sub(shift);
                Ok((offset, r.kind, r.addend, self.meaning(written, r.to)?))
            });
            let mut keys: Vec<Key> = keys.collect::<Result<_>>()?;
            keys.sort();
            Ok(keys)
        };
        let ours = sorted(ours, &self.input, 0)?;
        let theirs = sorted(theirs, &self.output, at)?;
        if ours.len() != theirs.len() {
            return Err(differs("the number of relocations differs"));
        }
        match ours.iter().zip(&theirs).find(|(a, b)| a != b) {
            Some(((offset, ..), _)) => Err(differs("a relocation differs").at_offset(*offset)),
            None => Ok(()),
        }
    }

    /// Who a reference is to, in the terms of the output.
    fn meaning(&self, written: &Written<'_>, to: To) -> Result<Meaning> {
        let index = match to {
            To::Asked(place) => {
                let asked = written.asked.get(place as usize);
                let &Asked { patched, object, name, position, bind, kind, .. } =
                    asked.ok_or_else(|| differs("nobody is asked for a symbol"))?;
                let names = [patched, object, name].map(str::to_owned);
                return Ok(Meaning::Asked(names, position, bind, kind));
            }
            To::Symbol(index) => index,
        };
        let symbol = written.symbol(index)?;
        let is_input = std::ptr::eq(written, &self.input);
        let place = match symbol.home {
            Home::Section(section) if is_input => {
                let known = self.places.get(&section).copied();
                let (to, at) = known.ok_or_else(|| differs("a relocation is to what is gone"))?;
                Some((to, symbol.value.wrapping_add(at)))
            }
            Home::Section(section) => Some((section, symbol.value)),
            // No section has such a number here.
            Home::Reserved(home) => Some((u32::MAX - u32::from(home), symbol.value)),
            Home::Undefined => None,
        };
        let name = if symbol.kind == abi::STT_SECTION { "" } else { symbol.name };
        Ok(Meaning::Symbol(name.to_owned(), symbol.kind, place))
    }

    /// The symbols are the same, but for those of tables that are gone and those that livepatch
    /// is asked for.
    fn check_symbols(&self) -> Result<()> {
        let list = |written: &Written<'_>| -> Result<Vec<(Meaning, u8, u8, u64)>> {
            let mut all = Vec::new();
            for (index, symbol) in written.symbols.iter().enumerate().skip(1) {
                let gone = match symbol.home {
                    Home::Section(section) => {
                        let section = written.section(section);
                        is_made(section.kind, section.name)
                            || section.name.starts_with(livepatch::KLP_ARCH)
                    }
                    Home::Reserved(home) => home == abi::SHN_LIVEPATCH,
                    Home::Undefined => false,
                };
                let moved = match symbol.home {
                    Home::Section(section) => {
                        std::ptr::eq(written, &self.input)
                            && self.places.get(&section).is_some_and(|&(to, _)| {
                                self.output.section(to).name != written.section(section).name
                            })
                    }
                    _ => false,
                };
                if !gone && !moved {
                    let meaning = self.meaning(written, To::Symbol(index as u32))?;
                    all.push((meaning, symbol.bind, symbol.other, symbol.size));
                }
            }
            all.sort();
            Ok(all)
        };
        let (ours, theirs) = (list(&self.input)?, list(&self.output)?);
        let other = ours.iter().zip(&theirs).find(|(a, b)| a != b).map(|(a, _)| &a.0);
        if other.is_none() && ours.len() == theirs.len() {
            return Ok(());
        }
        let error = differs("the symbols differ");
        Err(match other {
            Some(Meaning::Symbol(name, ..)) => error.at_symbol(&**name),
            _ => error,
        })
    }
}

/// Offset, type, addend and meaning of a reference.
type Key = (u64, u32, i64, Meaning);

/// Who a reference is to.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    /// Name, type, and place in the output; a value that is no place has no section's number.
    Symbol(String, u8, Option<(u32, u64)>),
    /// Objects and name, position, binding and type.
    Asked([String; 3], u64, u8, u8),
}
