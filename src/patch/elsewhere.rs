//! Who in the kernel refers to a function or a constant, beside the object that defines it: the
//! linked image tells. What may be a reference counts as one.

#![expect(clippy::indexing_slicing, reason = "indexes of the list that they were counted from")]
#![expect(clippy::arithmetic_side_effects, reason = "what was found lies at or behind its start")]

use rayon::prelude::*;

use crate::diag::Result;
use crate::elf::abi::{SHF_ALLOC, SHF_EXECINSTR, STT_FUNC};
use crate::elf::ids::{Patched, SymbolId};
use crate::elf::linked::{Linked, LinkedSection, LinkedSymbol};
use crate::kernel::knowledge::{sections, symbols};
use crate::patch::live::Live;
use crate::patch::resolve::lookup::{Lookup, RunningKernel};
use crate::running::image::KernelImage;

/// How far from a function's start a reference of a module's table may seem to lead: fields of
/// instructions count from their ends, and functions have several entries.
const NEAR: u64 = 8;

/// A place in an image: section and address.
type Place = (u32, u64);

/// What refers to a function although it is not in its object, or why that is not known.
pub fn users_elsewhere(
    lookup: Option<&Lookup<'_>>,
    id: SymbolId<Patched>,
) -> Result<Option<String>> {
    let Some((lookup, live)) = lookup.and_then(|l| Some((l, l.running.live.as_ref()?))) else {
        return said("other objects may call it: an --image tells");
    };
    let Some(found) = lookup.find(id)? else { return said(NOT_THERE) };
    if found.exported {
        return said("it is exported, so modules may call it");
    }
    let home = found.index.and_then(|index| live.image.home(index));
    let Some(home) =
        home.filter(|_| found.object.is_none_or(|o| o == lookup.running.parent.name()))
    else {
        return said(NOT_THERE);
    };
    let function = (home, found.addr);
    let elf = &live.image.elf;
    let places = match elf.is_relocatable() {
        true => places_in_module(elf, function),
        false if live.image.arch.whole_fields => places_in_kernel(elf, found.addr),
        false => {
            return said("other objects may call it, and an image of this machine does not tell");
        }
    };
    Ok(first_of_others(lookup.running, live, places))
}

/// What refers to a constant that other objects can name although it is in no function of its
/// object, or why that is not known.
pub fn readers_elsewhere(target: Option<&RunningKernel<'_>>, name: &str) -> Result<Option<String>> {
    let Some((target, live)) = target.and_then(|t| Some((t, t.live.as_ref()?))) else {
        return said("other objects may read it: an --image tells");
    };
    let found = target.parent.lookup(name, None)?;
    let found = found.filter(|f| f.object.is_none_or(|o| o == target.parent.name()));
    let index = found.as_ref().and_then(|f| f.index);
    let entry = index.and_then(|index| target.parent.table().entries().get(index));
    let home = index.and_then(|index| live.image.home(index));
    let (Some(found), Some(entry), Some(home)) = (found, entry, home) else {
        return said(NOT_THERE);
    };
    if found.exported {
        return said("it is exported, so modules may read it");
    }
    let elf = &live.image.elf;
    if !elf.is_relocatable() && !has_relocations(elf) {
        // Code may count from far in front of a table, so that an address names no reader.
        return said(
            "other objects may read it, and only an image with relocations (ld's --emit-relocs) tells",
        );
    }
    let places = relocated(elf, home, (name, entry.addr, entry.size));
    Ok(first_of_others(target, live, places))
}

/// What is said of what the image does not have.
const NOT_THERE: &str = "it is not in the image";

fn said(text: &str) -> Result<Option<String>> {
    Ok(Some(text.to_owned()))
}

/// Whether a linked kernel kept the relocations of its code (ld's `--emit-relocs`).
fn has_relocations(elf: &Linked<'_>) -> bool {
    let is_code = |s: &&LinkedSection<'_>| s.flags & SHF_EXECINSTR != 0;
    elf.sections().iter().filter(is_code).any(|s| !elf.relocs_of(s.name).is_empty())
}

/// Where relocations lead to a variable by its name, or into it.
fn relocated(elf: &Linked<'_>, home: u32, (name, start, size): (&str, u64, u64)) -> Vec<Place> {
    let (from, to) = (start.saturating_sub(NEAR), start.saturating_add(size).saturating_add(NEAR));
    relocations(elf, |symbol, leads_to| {
        symbol.name == name || symbol.section == home && (from..=to).contains(&leads_to)
    })
}

/// The relocations of what is used at run time that are wanted, by their symbol and the address that they mean.
fn relocations(elf: &Linked<'_>, wanted: impl Fn(&LinkedSymbol<'_>, u64) -> bool) -> Vec<Place> {
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for section in elf.sections().iter().filter(|s| is_active(s)) {
        if seen.contains(&section.name) {
            continue;
        }
        seen.push(section.name);
        for reloc in elf.relocs_of(section.name) {
            let Some(symbol) = elf.symbols().get(reloc.symbol as usize) else { continue };
            if wanted(symbol, symbol.value.wrapping_add_signed(reloc.addend)) {
                found.push((reloc.section, reloc.offset));
            }
        }
    }
    found
}

/// What is at the first place that is in no function of the original object.
fn first_of_others(
    target: &RunningKernel<'_>,
    live: &Live<'_>,
    places: Vec<Place>,
) -> Option<String> {
    let own = own_functions(target, live);
    let is_own = |&(section, at): &Place| {
        own.iter().any(|&(home, start, size)| home == section && at >= start && at - start < size)
    };
    let other = places.into_iter().find(|place| !is_own(place))?;
    Some(format!("{} refers to it", user(live.image, other)))
}

/// Where the functions of the original object are: section, address, size.
fn own_functions(target: &RunningKernel<'_>, live: &Live<'_>) -> Vec<(u32, u64, u64)> {
    let entries = target.parent.table().entries();
    let known = live.matched.functions.iter().filter_map(|checked| {
        let index = checked.entry?;
        let entry = entries.get(index)?;
        Some((live.image.home(index)?, entry.addr, entry.size))
    });
    known.collect()
}

/// What holds a place.
fn user(image: &KernelImage<'_>, (section, at): Place) -> String {
    let holds = |s: &&crate::elf::linked::LinkedSymbol<'_>| {
        s.section == section && at >= s.value && at - s.value < s.size
    };
    let symbols = image.elf.symbols();
    let function = symbols.iter().filter(|s| s.kind == STT_FUNC).find(holds);
    match function.or_else(|| symbols.iter().find(holds)) {
        Some(symbol) => format!("{} of another object", symbol.name),
        None => {
            let name = image.elf.sections().get(section as usize).map_or("", |s| s.name);
            format!("section {name} of the image, at {at:#x},")
        }
    }
}

fn is_active(section: &LinkedSection<'_>) -> bool {
    section.flags & SHF_ALLOC != 0
        && !sections::PASSIVE.iter().any(|name| section.name.starts_with(name))
}

/// Where a linked kernel has the address of a function, or the distance to it, on a machine
/// whose fields are whole.
fn places_in_kernel(elf: &Linked<'_>, addr: u64) -> Vec<Place> {
    let value =
        |name| elf.symbols().iter().find(|s| s.name == name && s.section != 0).map(|s| s.value);
    // Functions that kprobes must not hook: listed, and never called there.
    let listed = value(symbols::NO_KPROBES[0]).zip(value(symbols::NO_KPROBES[1]));
    let is_listed = |at: u64| listed.is_some_and(|(from, to)| (from..to).contains(&at));
    let all = elf.sections();
    let active = (0..all.len() as u32).filter(|&i| is_active(&all[i as usize]));
    let found = active.collect::<Vec<u32>>().into_par_iter().flat_map_iter(|index| {
        let section = &all[index as usize];
        let places = section.data.windows(4).enumerate().filter_map(move |(i, field)| {
            let at = section.addr.wrapping_add(i as u64);
            let field = u32::from_le_bytes(*field.first_chunk()?);
            let distance = addr.wrapping_sub(at) as u32;
            // A distance from the field, or from its end; an address, which the kernel's low
            // 32 bits tell.
            let leads = field == distance
                || field == distance.wrapping_sub(4)
                || field == addr as u32
                    && section.data.get(i..).is_some_and(|d| is_address(d, addr));
            leads.then_some((index, at))
        });
        places.filter(move |&(_, at)| !is_listed(at)).collect::<Vec<Place>>()
    });
    found.collect()
}

/// Whether 32 bits are those of an address: alone, as code has them, or with the upper half.
fn is_address(data: &[u8], addr: u64) -> bool {
    let whole = data.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    whole == Some(addr) || addr as u32 as i32 as u64 == addr
}

/// Where a module refers to one of its functions.
fn places_in_module(elf: &Linked<'_>, (home, value): Place) -> Vec<Place> {
    relocations(elf, |symbol, leads_to| {
        let distance = leads_to.wrapping_sub(value).cast_signed();
        symbol.section == home && distance.unsigned_abs() <= NEAR
    })
}
