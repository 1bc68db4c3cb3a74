//! Decides who resolves each reference of the patch: the linker, the module loader, or
//! livepatch when the patched object is there.

#![expect(clippy::indexing_slicing, reason = "partition points lie within the list")]

use rayon::prelude::*;

use super::check::{check_listed, check_local, check_table, not_found};
use super::lookup::Lookup;
use crate::diag::Result;
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::entry::type_changed;
use crate::diff::select::status::{Status, Statuses};
use crate::diff::selection::Selection;
use crate::elf::abi;
use crate::elf::ids::{Id, Marks, Patched, SectionId, Sparse, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::livepatch;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::{Effective, Refs};
use crate::patch::entries::{Chunk, Entries, EntryId};
use crate::running::parent::Found;

/// What a patch carries, and what became of it.
#[derive(Clone, Copy)]
pub struct Carried<'c> {
    /// Answers questions about both objects.
    pub comparer: &'c Comparer<'c>,
    /// What became of sections and symbols.
    pub statuses: &'c Statuses,
    /// What is carried.
    pub selection: &'c Selection,
    /// The relocations of that.
    pub entries: &'c Entries,
}

/// A reference that livepatch resolves.
#[derive(Clone, Copy, Debug)]
pub struct KlpReloc {
    /// Section that holds the relocated field.
    pub section: SectionId<Patched>,
    /// The symbol it needs, as the patched object has it; see [`Resolution::symbols`].
    pub meant: SymbolId<Patched>,
    /// Byte offset of the field in the section of the patched object.
    pub offset: u64,
    /// Addend relative to the symbol.
    pub addend: i64,
    /// Machine-specific type.
    pub kind: u32,
}

// Where much changed there are millions.
const _: () = assert!(size_of::<KlpReloc>() <= 32);

/// A symbol of the running kernel.
#[derive(Clone, Copy, Debug)]
pub struct KlpSymbol<'a> {
    /// Its name there.
    pub name: &'a str,
    /// The object it lives in.
    pub object: &'a str,
    /// Address, 0 when unknown.
    pub addr: u64,
    /// Position among its namesakes.
    pub sympos: u64,
    /// STB_*.
    pub bind: u8,
    /// STT_*.
    pub kind: u8,
    /// It is exported, and the parent is a module.
    pub external: bool,
}

/// The decisions for all references of a patch.
pub struct Resolution<'a> {
    /// References that livepatch resolves, in output order.
    pub relocs: Vec<KlpReloc>,
    /// What they need, as the running kernel has it.
    pub symbols: Sparse<SymbolId<Patched>, KlpSymbol<'a>>,
    /// The relocations that became klp relocations.
    moved: Marks<EntryId>,
    /// Symbols that nothing refers to any more.
    stripped: Marks<SymbolId<Patched>>,
}

impl Resolution<'_> {
    /// Whether a relocation became a klp relocation.
    pub fn is_moved(&self, entry: EntryId) -> bool {
        self.moved.has(entry)
    }

    /// Whether livepatch finds a symbol in the running kernel.
    pub fn is_known(&self, symbol: SymbolId<Patched>) -> bool {
        self.symbols.get(symbol).is_some()
    }

    /// Whether nothing refers to a symbol any more.
    pub fn is_stripped(&self, symbol: SymbolId<Patched>) -> bool {
        self.stripped.has(symbol)
    }
}

/// A field that livepatch must relocate when only it can find the symbol.
#[derive(Clone, Copy)]
struct Asked {
    section: SectionId<Patched>,
    symbol: SymbolId<Patched>,
    offset: u64,
}

/// The decisions for the references of some sections.
#[derive(Default)]
struct Part {
    relocs: Vec<KlpReloc>,
    moved: Vec<EntryId>,
    /// Symbols that relocations refer to which do not move.
    used: Vec<SymbolId<Patched>>,
}

/// Decides about every relocation of the output.
pub fn decide<'a>(lookup: &Lookup<'a>, carried: &Carried<'_>) -> Result<Resolution<'a>> {
    let Carried { selection, entries, .. } = *carried;
    let object = lookup.layout().object;
    let asked = entries.each(|chunks| asked(lookup, selection, chunks))?;
    let mut asked = joined(asked);
    let symbols = Marks::of(object.symbol_count(), asked.iter().map(|a| a.symbol));
    let mut symbols = found(lookup, carried, &symbols)?;
    asked.retain(|asked| symbols.get(asked.symbol).is_some());
    // A slot of a table can be in another section than what refers to it.
    asked.par_sort_unstable_by_key(|asked| (asked.section, asked.offset));
    let parts = entries.each(|chunks| {
        let mut part = Part::default();
        for chunk in chunks {
            part.decide(lookup, chunk, &asked)?;
        }
        Ok(part)
    })?;
    drop(asked);
    let needed = parts.iter().flat_map(|part| part.relocs.iter().map(|r| r.meant));
    let needed = Marks::of(object.symbol_count(), needed);
    let is_missing = |id| needed.has(id) && symbols.get(id).is_none();
    let missing = Marks::from_fn(object.symbol_count(), is_missing);
    if !missing.is_empty() {
        // Several relocations of one field, each with another symbol.
        let more = sought(&missing, |id| meant(lookup, carried.statuses, id).map(Some))?;
        let known = object.symbols().filter_map(|id| Some((id, symbols.get(id)?)));
        let all: Vec<_> = known.chain(more).collect();
        symbols = Sparse::build(object.symbol_count(), || all.iter().copied());
    }
    let used = parts.iter().flat_map(|part| part.used.iter().copied());
    let used = Marks::of(object.symbol_count(), used);
    let stripped = |id| needed.has(id) && !used.has(id) && !selection.has_symbol(object, id);
    let moved = parts.iter().flat_map(|part| part.moved.iter().copied());
    let moved = Marks::of(entries.len(), moved);
    Ok(Resolution {
        relocs: joined(parts.into_iter().map(|part| part.relocs).collect()),
        symbols,
        moved,
        stripped: Marks::from_fn(object.symbol_count(), stripped),
    })
}

/// The fields of some sections that livepatch may have to relocate.
fn asked<'e>(
    lookup: &Lookup<'_>,
    selection: &Selection,
    chunks: impl Iterator<Item = Chunk<'e>>,
) -> Result<Vec<Asked>> {
    let layout = lookup.layout();
    let mut asked = Vec::new();
    for chunk in chunks.filter(|c| layout.class(c.section()) != Class::Debug) {
        let refs = Refs::new(layout, chunk.section());
        let name = layout.object.section_name(chunk.section());
        for (_, reloc) in chunk.relocs(layout.object) {
            if !(layout.arch.never_klp)(reloc.kind, name) {
                asked.extend(ask(layout, selection, &refs, &reloc)?);
            }
        }
    }
    Ok(asked)
}

/// The field that livepatch may have to relocate for `reloc`, if it may: that of a TOC slot
/// when the reference goes through one.
fn ask(
    layout: &Layout<'_, Patched>,
    selection: &Selection,
    refs: &Refs<'_, Patched>,
    reloc: &Reloc<Patched>,
) -> Result<Option<Asked>> {
    let Effective::Reloc(section, effective) = refs.effective(reloc)? else { return Ok(None) };
    let target = if section == refs.base() {
        refs.resolve(&effective)?
    } else {
        Refs::new(layout, section).resolve(&effective)?
    };
    let id = target.symbol;
    // A pointer to a function of the patch leads to the kernel's, as all others do.
    let may = id.index() != 0
        && (!selection.has_symbol(layout.object, id)
            || layout.object.symbol_kind(id) == abi::STT_FUNC
                && (layout.arch.is_function_pointer)(reloc.kind, target.addend));
    Ok(may.then_some(Asked { section, symbol: id, offset: effective.offset }))
}

/// What the running kernel has for symbols, of those that only livepatch can find.
fn found<'a>(
    lookup: &Lookup<'a>,
    carried: &Carried<'_>,
    asked: &Marks<SymbolId<Patched>>,
) -> Result<Sparse<SymbolId<Patched>, KlpSymbol<'a>>> {
    let Carried { comparer, statuses, selection, .. } = *carried;
    let layout = lookup.layout();
    let object = layout.object;
    let found = sought(asked, |id| {
        let name = object.symbol_name(id);
        let is_never = |prefix| name.starts_with(prefix);
        if livepatch::SHADOW.contains(&name) || layout.arch.never_klp_symbol.is_some_and(is_never) {
            return Ok(None);
        }
        if selection.has_symbol(object, id) {
            let has_twin = layout.split_from(id).is_none()
                && statuses.symbols[id] != Status::New
                && !lookup.name(id).contains('.')
                // Who calls through this pointer checks for the new type.
                && !type_changed(comparer, id);
            return has_twin.then(|| meant(lookup, statuses, id)).transpose();
        }
        let Some(found) = lives_elsewhere(lookup, id)? else { return Ok(None) };
        klp_symbol(lookup, statuses, id, &found).map(Some)
    })?;
    Ok(Sparse::build(object.symbol_count(), || found.iter().copied()))
}

/// What `seek` finds for symbols, by their order in the table, which is often that of the
/// parent's table, too.
fn sought<'a>(
    ids: &Marks<SymbolId<Patched>>,
    seek: impl Fn(SymbolId<Patched>) -> Result<Option<KlpSymbol<'a>>> + Sync,
) -> Result<Vec<(SymbolId<Patched>, KlpSymbol<'a>)>> {
    let ids: Vec<SymbolId<Patched>> = ids.iter().collect();
    let seek = |&id: &SymbolId<Patched>| seek(id).map(|found| Some((id, found?)));
    let groups = ids.par_chunks(1024);
    let found: Vec<Result<Vec<_>>> =
        groups.map(|ids| ids.iter().map(seek).filter_map(Result::transpose).collect()).collect();
    Ok(joined(found.into_iter().collect::<Result<_>>()?))
}

/// The symbol of the running kernel that stands for one of the patch.
fn meant<'a>(
    lookup: &Lookup<'a>,
    statuses: &Statuses,
    id: SymbolId<Patched>,
) -> Result<KlpSymbol<'a>> {
    let found = lookup.find(id)?;
    let found = found.ok_or_else(|| not_found(lookup.running.parent, lookup.name(id)))?;
    klp_symbol(lookup, statuses, id, &found)
}

fn klp_symbol<'a>(
    lookup: &Lookup<'a>,
    statuses: &Statuses,
    id: SymbolId<Patched>,
    found: &Found<'a>,
) -> Result<KlpSymbol<'a>> {
    check_listed(lookup, found)?;
    let layout = lookup.layout();
    let (kind, bind) = (layout.object.symbol_kind(id), layout.object.symbol_bind(id));
    let changed_function = kind == abi::STT_FUNC
        && statuses.symbols[id] == Status::Changed
        && layout.split_from(id).is_none();
    let in_module = lookup.running.patches_module();
    Ok(KlpSymbol {
        name: found.name,
        object: lookup.object_of(found),
        addr: if in_module { 0 } else { found.addr },
        sympos: lookup.position(found),
        // The patch's own copy of a changed function is local to the patch.
        bind: if changed_function { abi::STB_LOCAL } else { bind },
        kind,
        external: in_module && found.exported,
    })
}

/// What only livepatch can find, of a symbol that is not in the patch.
fn lives_elsewhere<'a>(lookup: &Lookup<'a>, id: SymbolId<Patched>) -> Result<Option<Found<'a>>> {
    let layout = lookup.layout();
    let Some(found) = lookup.find(id)? else {
        // Another object of the same patch supplies what the parent does not have. What this
        // one defines, and the patch does not carry, nobody does.
        let names = matches!(layout.object.symbol_kind(id), abi::STT_FUNC | abi::STT_OBJECT);
        return match layout.object.section_of(id) {
            Some(_) if names => Err(not_found(lookup.running.parent, lookup.name(id))),
            _ => Ok(None),
        };
    };
    let elsewhere = if lookup.original_bind(id) == abi::STB_LOCAL {
        check_local(lookup, id, &found)?;
        true
    } else if found.exported {
        let other = layout.object.symbol(id).other;
        let local_entry = layout.is_bundled(id) && (layout.arch.local_entry)(other) != 0;
        local_entry || lookup.object_of(&found) != "vmlinux"
    } else {
        found.global || found.object.is_none()
    };
    Ok(elsewhere.then_some(found))
}

impl Part {
    /// Decides about the relocations of one section. `asked`: the fields that livepatch
    /// relocates, ascending.
    fn decide(&mut self, lookup: &Lookup<'_>, chunk: Chunk<'_>, asked: &[Asked]) -> Result<()> {
        let layout = lookup.layout();
        let section = chunk.section();
        let place = |asked: &Asked| asked.section;
        let fields = &asked[asked.partition_point(|asked| place(asked) < section)..];
        let mut fields = &fields[..fields.partition_point(|asked| place(asked) == section)];
        let refs = Refs::new(layout, section);
        for (entry, reloc) in chunk.relocs(layout.object) {
            let target = refs.resolve(&reloc)?;
            while fields.first().is_some_and(|field| field.offset < reloc.offset) {
                fields = &fields[1..];
            }
            // Of several relocations of one field only one with a symbol can move.
            let moves = reloc.symbol.index() != 0
                && fields.first().is_some_and(|field| field.offset == reloc.offset);
            if !moves {
                self.used.push(target.symbol);
                continue;
            }
            check_table(lookup, (section, reloc.offset), target.symbol)?;
            self.moved.push(entry);
            self.relocs.push(KlpReloc {
                section,
                meant: target.symbol,
                offset: reloc.offset,
                addend: target.addend,
                kind: reloc.kind,
            });
        }
        Ok(())
    }
}

/// All of some lists; each is given back as soon as it is copied.
fn joined<T>(parts: Vec<Vec<T>>) -> Vec<T> {
    let mut all = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    parts.into_iter().for_each(|part| all.extend(part));
    all
}
