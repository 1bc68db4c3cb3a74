//! Refuses pointers that the running kernel would fault on: to functions that indirect
//! branches may not land on (`running::indirect_targets`).

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use crate::arch::RelocClass;
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::Reloc;
use crate::kernel::knowledge::names;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::refs::Refs;
use crate::patch::resolve::decide::{Carried, Resolution};
use crate::patch::resolve::lookup::Lookup;
use crate::running::image::KernelImage;
use crate::running::indirect_targets::{Closed, IndirectTargets, is_never_called};
use crate::running::symtab::ParentTable;

/// What to check pointers against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pointers<'a> {
    /// Functions of the kernel that the user knows are not called through the pointer.
    pub allowed: &'a [String],
    /// The kernel itself, when a module of it is patched.
    pub kernel: Option<&'a KernelImage<'a>>,
}

/// Fails when code or data of the patch takes the address of a function of the kernel that
/// cannot be called through a pointer. Calls and jumps are no pointers; functions that the
/// patch brings along have markers of their own.
pub fn check_pointers(
    lookup: &Lookup<'_>,
    carried: &Carried<'_>,
    resolution: &Resolution<'_>,
    pointers: &Pointers<'_>,
) -> Result<()> {
    let layout = lookup.layout();
    let Some(live) = lookup.running.live.as_ref().filter(|_| layout.arch.is_branch.is_some())
    else {
        return Ok(());
    };
    // Without a pointer there is nothing to read the images for.
    let taken = pointers_taken(layout, carried, resolution)?;
    if taken.is_empty() {
        return Ok(());
    }
    let judge = Judge {
        lookup,
        parent: IndirectTargets::read(live.image)?,
        kernel: match pointers.kernel {
            Some(image) => IndirectTargets::read(image)?.zip(Some(image.table()?)),
            None => None,
        },
    };
    let mut known = None;
    let mut findings: Vec<Pointer<'_>> = Vec::new();
    for (section, offset, target) in taken {
        let name = lookup.name(target);
        let Some(closed) = judge.closed(target)? else { continue };
        if known.is_none() {
            known = Some(taken_before(lookup.pair.orig.layout)?);
        }
        let twin = lookup.pair.twins.orig_symbol(target);
        if twin.is_some_and(|twin| known.as_ref().is_some_and(|known| known.contains(&twin))) {
            continue;
        }
        if pointers.allowed.iter().any(|allowed| names::same(allowed, name)) {
            continue;
        }
        let user = judge.user(section, offset);
        let line = format!("{user} takes the address of '{name}': {}", closed.why());
        if findings.last().is_none_or(|last| last.0 != line) {
            findings.push((line, section, offset, name));
        }
    }
    refuse(layout, findings)
}

/// What is wrong with a pointer, where it is, and the function that it leads to.
type Pointer<'n> = (String, SectionId<Patched>, u64, &'n str);

/// The refusal of what was found.
fn refuse(layout: &Layout<'_, Patched>, mut findings: Vec<Pointer<'_>>) -> Result<()> {
    let Some((_, section, offset, name)) = findings.first() else { return Ok(()) };
    let (section, offset, name) = (layout.object.section_name(*section), *offset, *name);
    let advice = format!(
        "call '{name}' directly, or go through a pointer to it that the kernel already has; \
         if the address is never called, --allow-sealed {name}"
    );
    let error = match findings.len() {
        1 => Error::refused(Code::SealedTarget, findings.swap_remove(0).0),
        n => Error::refused(
            Code::SealedTarget,
            format!("{n} pointers of the patch fault when called"),
        )
        .with_details(findings.into_iter().map(|f| f.0).collect()),
    };
    Err(error
        .in_file(layout.object.file())
        .in_section(section)
        .at_symbol(name)
        .at_offset(offset)
        .advise(advice))
}

/// A place that takes an address: section, offset, and the function.
type Taken = (SectionId<Patched>, u64, SymbolId<Patched>);

/// Places of the patch that take the address of a function that it does not bring along.
fn pointers_taken(
    layout: &Layout<'_, Patched>,
    carried: &Carried<'_>,
    resolution: &Resolution<'_>,
) -> Result<Vec<Taken>> {
    let mut taken = Vec::new();
    for chunk in carried.entries.chunks() {
        let section = chunk.section();
        if !matches!(layout.class(section), Class::Text | Class::Data) {
            continue;
        }
        let refs = Refs::new(layout, section);
        for (entry, reloc) in chunk.relocs(layout.object) {
            let Some(target) = address_taken(layout, &refs, &reloc)? else { continue };
            // What the patch brings along is linked to, unless livepatch is asked for it.
            let brought = carried.selection.has_symbol(layout.object, target);
            if !brought || resolution.is_moved(entry) {
                taken.push((section, reloc.offset, target));
            }
        }
    }
    Ok(taken)
}

/// The function whose address code or data takes with `reloc`, if it is one or may be: what
/// the object does not define has no type there.
pub fn address_taken<S: Side>(
    layout: &Layout<'_, S>,
    refs: &Refs<'_, S>,
    reloc: &Reloc<S>,
) -> Result<Option<SymbolId<S>>> {
    let base = layout.object.section(refs.base());
    let branch = layout.arch.is_branch.filter(|_| base.is_text());
    let class = layout.arch.reloc(reloc.kind)?.class;
    if branch.is_some_and(|is_branch| is_branch(base.data, reloc.offset, reloc.kind))
        || !matches!(class, RelocClass::Absolute | RelocClass::PcRelative | RelocClass::Got)
    {
        return Ok(None);
    }
    let target = refs.resolve(reloc)?;
    if !matches!(layout.object.symbol_kind(target.symbol), abi::STT_FUNC | abi::STT_NOTYPE) {
        return Ok(None);
    }
    if is_never_called(base.name, layout.object.symbol_name(target.symbol)) {
        return Ok(None);
    }
    let at = refs.target_offset(&Reloc { addend: target.addend, ..*reloc })?;
    Ok((at == 0).then_some(target.symbol))
}

/// Functions whose address code or data of the original takes. objtool saw these pointers;
/// when it sealed their targets all the same, or they need no marker, then because they are
/// not called: return addresses, targets of calls that the kernel writes itself.
fn taken_before(layout: &Layout<'_, Orig>) -> Result<IndexSet<SymbolId<Orig>, RandomState>> {
    let mut taken = IndexSet::default();
    for section in layout.object.sections() {
        if !matches!(layout.class(section), Class::Text | Class::Data) {
            continue;
        }
        let refs = Refs::new(layout, section);
        for reloc in layout.object.relocs(section).iter() {
            taken.extend(address_taken(layout, &refs, &reloc)?);
        }
    }
    Ok(taken)
}

/// Judges single pointers.
struct Judge<'a> {
    lookup: &'a Lookup<'a>,
    /// What is patched.
    parent: Option<IndirectTargets<'a>>,
    /// The kernel, when that is another.
    kernel: Option<(IndirectTargets<'a>, ParentTable<'a>)>,
}

impl Judge<'_> {
    fn closed(&self, target: SymbolId<Patched>) -> Result<Option<Closed>> {
        let Some(found) = self.lookup.find(target)? else { return Ok(None) };
        if let Some(index) = found.index {
            let table = self.lookup.running.parent.table();
            return Ok(self.parent.as_ref().and_then(|targets| targets.closed(table, index)));
        }
        let Some((targets, table)) = &self.kernel else { return Ok(None) };
        match *table.globals(found.name) {
            [index] if found.object == Some("vmlinux") => Ok(targets.closed(table, index)),
            _ => Ok(None),
        }
    }

    /// What of the patch holds byte `offset` of a section.
    fn user(&self, section: SectionId<Patched>, offset: u64) -> String {
        let layout = self.lookup.layout();
        let entity = layout.entity_at(section, offset).map(|i| layout.entity(section, i));
        match entity.and_then(|e| e.symbol) {
            Some(id) => format!("'{}'", self.lookup.name(layout.root(id))),
            None => format!("section {}", layout.object.section_name(section)),
        }
    }
}
