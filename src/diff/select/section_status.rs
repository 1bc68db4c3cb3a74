//! The statuses of a section and of the relocations that apply to it.

use super::status::{Status, is_past_in, is_shared, size_mismatch};
use crate::diag::{Code, Error, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::verdict::{Verdict, Verdicts};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId};
use crate::kernel::knowledge::names;
use crate::kernel::layout::Class;

/// Of a section and of the relocations that apply to it.
pub(super) fn section_status(
    comparer: &Comparer<'_>,
    verdicts: &Verdicts,
    id: SectionId<Patched>,
) -> Result<[Status; 2]> {
    let in_parts = !comparer.policy.whole_sections;
    const SAME: [Status; 2] = [Status::Same; 2];
    let layout = comparer.patched.layout;
    let class = layout.class(id);
    if matches!(class, Class::Meta | Class::Relocations | Class::Noise(_)) {
        return Ok(SAME);
    }
    let Some(twin) = comparer.twins.orig_section(id) else {
        return Ok([Status::New; 2]);
    };
    let (orig, patched) = (comparer.orig.layout.object, layout.object);
    // How long the rows of a table are was proved for both; the linker merges none that has
    // relocations. What lies in a section of several is compared one by one, and carried so.
    let is_table = in_parts && matches!(class, Class::Table(_));
    let is_shared = is_shared(comparer, id);
    // Where a constant ends that the linker merges with others, the size of entries says.
    let is_merged =
        patched.section_flags(id) & abi::SHF_MERGE != 0 && patched.relocs(id).is_empty();
    let shown = |flags: u64| if is_table { flags & !abi::SHF_MERGE } else { flags };
    let flags = (shown(orig.section_flags(twin)), shown(patched.section_flags(id)));
    // Compilers compress debug information where that makes it smaller.
    let is_debug = class == Class::Debug && (flags.0 | flags.1) & abi::SHF_ALLOC == 0;
    let same_kind = orig.section_kind(twin) == patched.section_kind(id) && flags.0 == flags.1;
    // What is gone when the patch is applied is not in it.
    let is_past = in_parts && is_past_in(layout, id, comparer.in_module);
    let same_entries = orig.section_entsize(twin) == patched.section_entsize(id)
        || is_table
        || is_shared && class != Class::Strings && !is_merged;
    let same_alignment = orig.section_align(twin) == patched.section_align(id)
        || patched.is_text(id)
        || is_shared && is_aligned_for_new(comparer, twin, id)
        || in_parts && class == Class::Data && patched.section_align(id) < orig.section_align(twin);
    let same_header = same_kind && (is_past || same_entries && same_alignment);
    if !is_debug && !same_header {
        if in_parts {
            size_settled(comparer, id)?;
        }
        let (o, p) = (orig.section(twin), patched.section(id));
        return Err(Error::refused(
            Code::SectionHeaderDiffers,
            format!("{} section header details differ from {}", o.name, p.name),
        )
        .in_section(p.name)
        .advise(format!(
            "type {:#x}/{:#x}, flags {:#x}/{:#x}, entry size {}/{}, alignment {}/{}",
            o.kind, p.kind, o.flags, p.flags, o.entsize, p.entsize, o.align, p.align
        )));
    }
    // Descriptors of debug messages hold line numbers; `diff::compare::states` compares the rest.
    if verdicts.section(id).is_same()
        || is_shared
        || names::is_special_static_section(patched.section_name(id))
    {
        return Ok(SAME);
    }
    let verdict = named_verdict(comparer, verdicts, id);
    // A new variable in a section of several is no change of the others: it comes in only
    // when something refers to it.
    let status = |changed| if changed { Status::Changed } else { Status::Same };
    let bytes = verdict.has(Verdict::BYTES) || verdict.has(Verdict::ROWS);
    Ok([status(bytes), status(verdict.has(Verdict::RELOCS))])
}

/// Whether the alignment of a section of several things says nothing about those that the
/// running kernel has: it became less, or something new needs more. Code may rely on the
/// alignment of a variable, for which the kernel's has its place already.
fn is_aligned_for_new(
    comparer: &Comparer<'_>,
    twin: SectionId<Orig>,
    id: SectionId<Patched>,
) -> bool {
    let layout = comparer.patched.layout;
    let align = layout.object.section_align(id);
    let is_new = |index| {
        let entity = layout.entity(id, index);
        let single = entity.symbol.is_some_and(|s| comparer.twins.orig_symbol(s).is_none());
        single && align > 0 && entity.start.is_multiple_of(align)
    };
    align <= comparer.orig.layout.object.section_align(twin)
        || layout.is_pool(id)
        || (0..layout.entity_count(id)).any(is_new)
}

/// What differs in a section as far as it has names. Nameless data is accounted for by
/// everything that refers to it: it is no change by itself.
fn named_verdict(comparer: &Comparer<'_>, verdicts: &Verdicts, id: SectionId<Patched>) -> Verdict {
    let layout = comparer.patched.layout;
    let whole = verdicts.section(id);
    if whole.is_same() || !layout.is_nameless(id) {
        return whole;
    }
    let entities = 0..layout.entity_count(id);
    entities
        .filter(|&i| layout.entity(id, i).symbol.is_some())
        .fold(Verdict::SAME, |verdict, i| verdict | verdicts.entity(id, i))
}

/// Fails when the variable that a section is about has another size: that says more than what
/// follows from it for the section.
fn size_settled(comparer: &Comparer<'_>, id: SectionId<Patched>) -> Result<()> {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let Some(owner) = comparer.patched.layout.owner(id) else { return Ok(()) };
    let Some(twin) = comparer.twins.orig_symbol(owner) else { return Ok(()) };
    let sizes = (orig.symbol_size(twin), patched.symbol_size(owner));
    match patched.symbol_kind(owner) == abi::STT_OBJECT && sizes.0 != sizes.1 {
        true => {
            Err(size_mismatch(comparer.output_name(owner), sizes)
                .in_section(patched.section_name(id)))
        }
        false => Ok(()),
    }
}
