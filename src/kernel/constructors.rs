//! Functions that sanitizers make of a file, which only tell the runtime about its variables.
//!
//! KASAN's compilers add a constructor to each file with variables, and a destructor: they give
//! the sanitizer an array of descriptors. The kernel calls the one when it boots or when the
//! module is loaded, the other when the module is unloaded (kernel/module/main.c,
//! `do_mod_ctors`). A new string or variable changes the array and its length. The running
//! kernel goes on with what it registered; what a patch brings along has no red zones then,
//! which hides no behaviour of the code.
//!
//! A name is no proof: every reference of such a function must lead to the runtime's entries
//! for that, or to data. What clang makes of a file without variables returns at once.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use super::layout::{Class, Layout};
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::Reloc;

/// Prefixes of their names: clang's, gcc's with the priority, and gcc's for a whole file.
const NAMES: [&str; 4] = ["asan.module_ctor", "asan.module_dtor", "_sub_I_", "_sub_D_"];

/// What they may call: mm/kasan/generic.c, and what compilers put into every function
/// (profiling, returns).
const CALLS: [&str; 7] = [
    "__asan_register_globals",
    "__asan_unregister_globals",
    "__fentry__",
    "_mcount",
    "mcount",
    "__x86_return_thunk",
    "__sanitizer_cov_trace_pc",
];
/// One of which they must call.
const REGISTERS: usize = 2;

/// No more than the arguments of that call.
const LONGEST: u64 = 128;

/// Whether function `id` does nothing but (un)register the variables of its file.
pub fn only_registers<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    let object = layout.object;
    if object.symbol_kind(id) != abi::STT_FUNC || !layout.is_local(id) {
        return false;
    }
    let name = object.symbol_name(id);
    if !NAMES.iter().any(|n| name.starts_with(n)) {
        return false;
    }
    let Some(section) = object.section_of(id) else { return false };
    let Some(index) = layout.entity_at(section, object.symbol_value(id)) else { return false };
    let entity = layout.entity(section, index);
    let mut registers = 0;
    for reloc in object.relocs(section).within(entity.start, entity.end) {
        match object.section_of(reloc.symbol) {
            Some(target) if layout.class(target) == Class::Data => {}
            Some(_) => return false,
            None => match CALLS.iter().position(|c| *c == object.symbol_name(reloc.symbol)) {
                Some(call) => registers += usize::from(call < REGISTERS),
                None => return false,
            },
        }
    }
    match registers {
        // Of a file without variables.
        0 => does_nothing(layout, id),
        1 => object.symbol_size(id) <= LONGEST,
        _ => false,
    }
}

/// Whether all of function `id` is a return.
fn does_nothing<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    let object = layout.object;
    let Some(section) = object.section_of(id) else { return false };
    let (from, size) = (object.symbol_value(id), object.symbol_size(id));
    let code = object.contents(section);
    let code = usize::try_from(from).ok().and_then(|from| code.get(from..));
    let code = code.zip(usize::try_from(size).ok()).and_then(|(code, size)| code.get(..size));
    let Some(code) = code.filter(|code| layout.arch.returns.contains(code)) else { return false };
    // A jump without a relocation goes to what comes next.
    let jumps = code.ends_with(&[0; 4]) || code.ends_with(&[0, 0xcc]);
    let leaves = object.relocs(section).within(from, from.saturating_add(size)).next().is_some();
    jumps == leaves
}

/// Whether a section only lists functions that are called when the object is loaded or unloaded.
pub fn lists_constructors(section: &str) -> bool {
    [".init_array", ".fini_array", ".ctors", ".dtors"].iter().any(|p| {
        section.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Whether all that such a section lists only registers variables.
pub fn only_lists_registrations<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>) -> bool {
    let object = layout.object;
    lists_constructors(object.section_name(section))
        && object
            .relocs(section)
            .iter()
            .all(|reloc| listed(layout, &reloc).is_some_and(|f| only_registers(layout, f)))
}

/// Sections that hold nothing but what such functions pass on, ascending. Who is described
/// there is not used by that.
pub fn descriptors<S: Side>(layout: &Layout<'_, S>) -> Vec<SectionId<S>> {
    let object = layout.object;
    let mut found = Vec::new();
    for list in object.sections().filter(|&s| layout.class(s) == Class::Data) {
        if !lists_constructors(object.section_name(list)) {
            continue;
        }
        let functions = object.relocs(list).iter().filter_map(|r| listed(layout, &r));
        for function in functions.filter(|&f| only_registers(layout, f)) {
            let Some(home) = object.section_of(function) else { continue };
            let from = object.symbol_value(function);
            let end = from.saturating_add(object.symbol_size(function));
            let relocs = object.relocs(home).within(from, end);
            let arrays = relocs.filter_map(|r| object.section_of(r.symbol));
            found.extend(arrays.filter(|&s| layout.owner(s).is_some() || has_no_names(layout, s)));
        }
    }
    // gcc writes the place of each definition apart.
    let places: Vec<_> = found.iter().flat_map(|&s| object.relocs(s).iter()).collect();
    let places = places.into_iter().filter_map(|r| object.section_of(r.symbol));
    found.extend(places.filter(|&s| has_no_names(layout, s)));
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a section holds data that can be written, and none that has a name.
fn has_no_names<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>) -> bool {
    let object = layout.object;
    let is_named = |&m: &SymbolId<S>| object.symbol_kind(m) == abi::STT_OBJECT;
    layout.class(section) == Class::Data
        && object.section_flags(section) & abi::SHF_WRITE != 0
        && !object.members(section).iter().any(is_named)
}

/// The function that a row of such a list leads to.
fn listed<S: Side>(layout: &Layout<'_, S>, reloc: &Reloc<S>) -> Option<SymbolId<S>> {
    let object = layout.object;
    if object.symbol_kind(reloc.symbol) != abi::STT_SECTION {
        return Some(reloc.symbol);
    }
    let home = object.section_of(reloc.symbol)?;
    let index = layout.entity_at(home, u64::try_from(reloc.addend).ok()?)?;
    layout.entity(home, index).symbol
}
