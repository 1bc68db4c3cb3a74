//! Where variables and functions are declared, and what the members of variables are called, by
//! the debug information of one object (DWARF 5, chapters 4 and 5).
//!
//! Things are known by their addresses, not by their names: many have the same name.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "the member holds the byte; the size of an element is not zero"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use gimli::{AttributeValue, DebuggingInformationEntry, Dwarf, Operation, Unit, UnitOffset};

use super::source::{Sections, Slice, path};
use crate::elf::ids::{SectionId, Side};

type Entry<'s> = DebuggingInformationEntry<Slice<'s>>;
type Read<T> = Result<T, gimli::Error>;

/// Deepest nesting of types that is followed.
const DEEPEST: usize = 32;

/// What debug information says of some things.
pub struct Declared<'s, S> {
    sections: &'s Sections<S>,
    dwarf: Dwarf<Slice<'s>>,
    units: Vec<Unit<Slice<'s>>>,
    things: BTreeMap<u64, Thing>,
}

/// A variable or function.
struct Thing {
    unit: usize,
    of: Option<UnitOffset>,
    place: Option<String>,
}

impl<'s, S: Side> Declared<'s, S> {
    /// Reads what is known of the things at these bytes of sections. Units of which anything
    /// cannot be read are left out.
    pub fn new(sections: &'s Sections<S>, wanted: &[(SectionId<S>, u64)]) -> Option<Self> {
        let wanted: BTreeSet<u64> =
            wanted.iter().map(|&(section, at)| sections.address(section, at)).collect();
        let dwarf = sections.dwarf()?;
        let (mut units, mut things) = (Vec::new(), BTreeMap::new());
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let Ok(unit) = dwarf.unit(header) else { continue };
            let Ok(found) = things_of(&dwarf, &unit, &wanted) else { continue };
            if found.is_empty() {
                continue;
            }
            for (address, (of, place)) in found {
                things.entry(address).or_insert(Thing { unit: units.len(), of, place });
            }
            units.push(unit);
        }
        Some(Declared { sections, dwarf, units, things })
    }

    /// File and line of the declaration of the thing at a byte of a section.
    pub fn place(&self, section: SectionId<S>, at: u64) -> Option<&str> {
        self.things.get(&self.sections.address(section, at))?.place.as_deref()
    }

    /// What the byte `offset` of the variable at a byte of a section is called in C, behind the
    /// name of the variable.
    pub fn member(&self, section: SectionId<S>, at: u64, offset: u64) -> Option<String> {
        let thing = self.things.get(&self.sections.address(section, at))?;
        let unit = self.units.get(thing.unit)?;
        let name = member(&self.dwarf, unit, thing.of?, offset).ok()?;
        Some(name).filter(|name| !name.is_empty())
    }
}

type Found = BTreeMap<u64, (Option<UnitOffset>, Option<String>)>;

/// The variables and functions of a unit at some addresses: their types and places.
fn things_of(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    wanted: &BTreeSet<u64>,
) -> Read<Found> {
    let mut found = Found::new();
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs()? {
        let address = match entry.tag() {
            gimli::DW_TAG_variable => variable(dwarf, unit, entry)?,
            gimli::DW_TAG_subprogram => match entry.attr_value(gimli::DW_AT_low_pc) {
                Some(value) => dwarf.attr_address(unit, value)?,
                None => None,
            },
            _ => continue,
        };
        let Some(address) = address.filter(|address| wanted.contains(address)) else { continue };
        let own = described(dwarf, unit, entry)?;
        let known = match origin(entry) {
            Some(at) => {
                let (of, place) = described(dwarf, unit, &unit.entry(at)?)?;
                (own.0.or(of), own.1.or(place))
            }
            None => own,
        };
        found.entry(address).or_insert(known);
    }
    Ok(found)
}

/// Where a variable is, when that is one place.
fn variable(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    entry: &Entry<'_>,
) -> Read<Option<u64>> {
    let Some(AttributeValue::Exprloc(place)) = entry.attr_value(gimli::DW_AT_location) else {
        return Ok(None);
    };
    let mut operations = place.operations(unit.encoding());
    let address = match operations.next()? {
        Some(Operation::Address { address }) => address,
        Some(Operation::AddressIndex { index }) => dwarf.address(unit, index)?,
        _ => return Ok(None),
    };
    Ok(operations.next()?.is_none().then_some(address))
}

/// The entry that says what is the same for all of a kind.
fn origin(entry: &Entry<'_>) -> Option<UnitOffset> {
    [gimli::DW_AT_specification, gimli::DW_AT_abstract_origin]
        .into_iter()
        .find_map(|name| reference(entry, name))
}

fn reference(entry: &Entry<'_>, name: gimli::DwAt) -> Option<UnitOffset> {
    match entry.attr_value(name) {
        Some(AttributeValue::UnitRef(at)) => Some(at),
        _ => None,
    }
}

fn number(entry: &Entry<'_>, name: gimli::DwAt) -> Option<u64> {
    entry.attr(name).and_then(|a| a.udata_value())
}

/// The type of something, and where it is declared.
fn described(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    entry: &Entry<'_>,
) -> Read<(Option<UnitOffset>, Option<String>)> {
    let line = number(entry, gimli::DW_AT_decl_line);
    let place = match (entry.attr_value(gimli::DW_AT_decl_file), line) {
        (Some(AttributeValue::FileIndex(file)), Some(line)) => {
            path(dwarf, unit, file)?.map(|path| format!("{path}:{line}"))
        }
        _ => None,
    };
    Ok((reference(entry, gimli::DW_AT_type), place))
}

/// What a byte of a type is called; as far as it has only one name.
fn member(
    dwarf: &Dwarf<Slice<'_>>,
    unit: &Unit<Slice<'_>>,
    mut of: UnitOffset,
    mut offset: u64,
) -> Read<String> {
    let mut name = String::new();
    for _ in 0..DEEPEST {
        let Some((at, entry)) = plain(unit, of)? else { break };
        match entry.tag() {
            gimli::DW_TAG_structure_type => {
                let Some(found) = member_at(unit, at, offset)? else { break };
                if let Some(called) = found.name {
                    let called = dwarf.attr_string(unit, called)?;
                    let _ = write!(name, ".{}", called.to_string_lossy());
                }
                (of, offset) = (found.of, offset - found.start);
            }
            gimli::DW_TAG_array_type => {
                let Some(element) = reference(&entry, gimli::DW_AT_type) else { break };
                let size = size(unit, element, 0)?.filter(|&size| size > 0);
                // Of several dimensions the inner ones would have to be counted.
                let (Some(size), 1) = (size, dimensions(unit, at)?.len()) else { break };
                let _ = write!(name, "[{}]", offset / size);
                (of, offset) = (element, offset % size);
            }
            _ => break,
        }
    }
    Ok(name)
}

/// A type without what only qualifies it.
fn plain<'s>(unit: &Unit<Slice<'s>>, mut of: UnitOffset) -> Read<Option<(UnitOffset, Entry<'s>)>> {
    for _ in 0..DEEPEST {
        let entry = unit.entry(of)?;
        match entry.tag() {
            gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_atomic_type => {
                let Some(next) = reference(&entry, gimli::DW_AT_type) else { return Ok(None) };
                of = next;
            }
            _ => return Ok(Some((of, entry))),
        }
    }
    Ok(None)
}

/// A member of a struct.
struct Member<'s> {
    name: Option<AttributeValue<Slice<'s>>>,
    of: UnitOffset,
    start: u64,
}

/// The member that holds a byte of the struct at `at`, when it is one of whole bytes.
fn member_at<'s>(unit: &Unit<Slice<'s>>, at: UnitOffset, offset: u64) -> Read<Option<Member<'s>>> {
    let mut tree = unit.entries_tree(Some(at))?;
    let mut children = tree.root()?.children();
    while let Some(child) = children.next()? {
        let entry = child.entry();
        if entry.tag() != gimli::DW_TAG_member || number(entry, gimli::DW_AT_bit_size).is_some() {
            continue;
        }
        let Some(of) = reference(entry, gimli::DW_AT_type) else { continue };
        let start = number(entry, gimli::DW_AT_data_member_location).unwrap_or(0);
        let end = start.saturating_add(size(unit, of, 0)?.unwrap_or(0));
        if (start..end).contains(&offset) {
            return Ok(Some(Member { name: entry.attr_value(gimli::DW_AT_name), of, start }));
        }
    }
    Ok(None)
}

/// The bytes of a type.
fn size(unit: &Unit<Slice<'_>>, of: UnitOffset, depth: usize) -> Read<Option<u64>> {
    let Some((at, entry)) = plain(unit, of)?.filter(|_| depth < DEEPEST) else { return Ok(None) };
    if let Some(size) = number(&entry, gimli::DW_AT_byte_size) {
        return Ok(Some(size));
    }
    if entry.tag() == gimli::DW_TAG_pointer_type {
        return Ok(Some(unit.encoding().address_size.into()));
    }
    let element = reference(&entry, gimli::DW_AT_type);
    let (gimli::DW_TAG_array_type, Some(element)) = (entry.tag(), element) else { return Ok(None) };
    let Some(element) = size(unit, element, depth + 1)? else { return Ok(None) };
    let counts = dimensions(unit, at)?;
    Ok(counts.into_iter().try_fold(element, |all, count| all.checked_mul(count?)))
}

/// How many elements an array has in each dimension.
fn dimensions(unit: &Unit<Slice<'_>>, at: UnitOffset) -> Read<Vec<Option<u64>>> {
    let mut tree = unit.entries_tree(Some(at))?;
    let mut children = tree.root()?.children();
    let mut found = Vec::new();
    while let Some(child) = children.next()? {
        let entry = child.entry();
        if entry.tag() == gimli::DW_TAG_subrange_type {
            let last = number(entry, gimli::DW_AT_upper_bound).and_then(|last| last.checked_add(1));
            found.push(number(entry, gimli::DW_AT_count).or(last));
        }
    }
    Ok(found)
}
