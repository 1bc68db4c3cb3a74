//! Where indirect branches may land in the kernel that runs (indirect branch tracking, IBT).
//!
//! The processor faults when an indirect call ends at anything but a marker: x86's `endbr64`.
//! Compilers put it at the entry of every function whose address may be taken. objtool sees
//! the whole kernel, and lists in `.ibt_endbr_seal` those whose address nothing takes; at boot
//! the kernel overwrites their markers, and the hash before them that kCFI and FineIBT check
//! (arch/x86/kernel/alternative.c). A livepatch that is the first to take such an address gets
//! a pointer that cannot be called.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::image::KernelImage;
use super::symtab::ParentTable;
use crate::diag::{Code, Error, Result};
use crate::elf::abi::{SHT_RELA, STT_FUNC};
use crate::elf::linked::LinkedSection;

/// Section with the sealed entries: one 32-bit distance from the row to the entry each.
const SEALS: &str = ".ibt_endbr_seal";
/// What makes the rows of a module, which is not linked yet.
const SEALS_OF_MODULE: &str = ".rela.ibt_endbr_seal";
const ROW: u64 = 4;
/// One Elf64_Rela.
const RELA: usize = 24;
/// Where the image has no list of seals: one in so many functions has a marker when the
/// kernel was built for tracking. Others have none at all.
const ONE_IN: usize = 8;

/// Lists of functions that are looked addresses up in, and never called through.
const ADDRESS_LISTS: [&str; 1] = ["_kprobe_blacklist"];
/// Trampolines of static calls: the kernel writes direct calls to them.
const TRAMPOLINE: &str = "__SCT__";

/// Whether an address in this section, or of this symbol, is never one to call.
pub fn is_never_called(section: &str, symbol: &str) -> bool {
    ADDRESS_LISTS.contains(&section) || symbol.starts_with(TRAMPOLINE)
}

/// Why a pointer to a function cannot be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Nothing in the kernel takes its address, so the kernel removes its marker at boot.
    Sealed,
    /// It was compiled without a marker.
    NoMarker,
}

impl Closed {
    /// Why the function cannot be called through a pointer, as the end of a sentence.
    pub fn why(self) -> &'static str {
        match self {
            Closed::Sealed => {
                "nothing in the running kernel does, so it removed the marker (ENDBR) that \
                 indirect calls must land on"
            }
            Closed::NoMarker => {
                "in the running kernel it has no marker (ENDBR) that indirect calls may land on"
            }
        }
    }
}

/// Which functions of an image can be called through a pointer.
pub struct IndirectTargets<'a> {
    image: &'a KernelImage<'a>,
    /// Section and address of the sealed entries; the section is 0 in a linked image.
    sealed: IndexSet<(u32, u64), RandomState>,
}

impl<'a> IndirectTargets<'a> {
    /// Reads the seals; `None` when the kernel does not track indirect branches. Fails when
    /// the list cannot be read.
    pub fn read(image: &'a KernelImage<'a>) -> Result<Option<Self>> {
        if !image.arch.seals_indirect_targets {
            return Ok(None);
        }
        let listed = match image.elf.is_relocatable() {
            true => rows_of_module(image)?,
            false => rows_of_kernel(image)?,
        };
        let targets = IndirectTargets { image, sealed: listed.iter().flatten().copied().collect() };
        Ok((listed.is_some() || targets.has_markers()).then_some(targets))
    }

    /// Number of sealed entries.
    pub fn sealed_count(&self) -> usize {
        self.sealed.len()
    }

    /// Why entry `index` of the image's table cannot be called through a pointer; `None` when
    /// it can, or is no function.
    pub fn closed(&self, table: &ParentTable<'_>, index: u32) -> Option<Closed> {
        let entry = table.entries().get(index).filter(|e| e.kind == STT_FUNC)?;
        let home = if self.image.elf.is_relocatable() { self.image.home(index)? } else { 0 };
        if self.sealed.contains(&(home, entry.addr)) {
            return Some(Closed::Sealed);
        }
        let bytes = self.image.bytes_of(table, index).unwrap_or(&[]);
        (!bytes.starts_with(self.image.arch.indirect_target)).then_some(Closed::NoMarker)
    }

    fn has_markers(&self) -> bool {
        let elf = &self.image.elf;
        let functions = elf.symbols().iter().filter(|s| s.kind == STT_FUNC && s.section != 0);
        let (mut all, mut marked) = (0, 0);
        for function in functions {
            let bytes = elf.bytes_from(function.section, function.value).unwrap_or(&[]);
            all += 1;
            marked += usize::from(bytes.starts_with(self.image.arch.indirect_target));
        }
        marked > 0 && marked * ONE_IN >= all
    }
}

type Listed = Option<Vec<(u32, u64)>>;

fn bad(image: &KernelImage<'_>, section: &LinkedSection<'_>, message: &str) -> Error {
    Error::broken(Code::MalformedSeals, message)
        .in_file(image.elf.file())
        .in_section(section.name)
        .advise("the file is damaged: take the vmlinux or the module that the kernel's build made")
}

fn rows_of_kernel(image: &KernelImage<'_>) -> Result<Listed> {
    let Some(section) = image.elf.section_named(SEALS) else { return Ok(None) };
    if section.size != section.data.len() as u64 || !section.size.is_multiple_of(ROW) {
        return Err(bad(image, section, "the list of sealed functions is cut off"));
    }
    let rows = section.data.chunks_exact(ROW as usize).zip((section.addr..).step_by(ROW as usize));
    let target = |(row, place): (&[u8], u64)| {
        let distance = image.elf.integer(row) as u32 as i32;
        (0, place.wrapping_add_signed(i64::from(distance)))
    };
    let rows: Vec<(u32, u64)> = rows.map(target).collect();
    // Where the link left them to relocations, zeros are stored.
    if let Some((_, stray)) = rows
        .iter()
        .find(|(_, at)| image.elf.section_at(*at).is_none_or(|home| std::ptr::eq(home, section)))
    {
        return Err(bad(image, section, "a row of the list of sealed functions leads nowhere")
            .at_offset(*stray));
    }
    Ok(Some(rows))
}

fn rows_of_module(image: &KernelImage<'_>) -> Result<Listed> {
    let elf = &image.elf;
    let relas = elf.sections().iter().filter(|s| s.kind == SHT_RELA && s.name == SEALS_OF_MODULE);
    let mut rows = None;
    for section in relas {
        let rows = rows.get_or_insert_with(Vec::new);
        if !section.data.len().is_multiple_of(RELA) {
            return Err(bad(image, section, "the list of sealed functions is cut off"));
        }
        for rela in section.data.as_chunks::<RELA>().0 {
            // r_offset, then r_info with the symbol in its upper half, then r_addend.
            let (symbol, addend) = (elf.integer(&rela[12..16]), elf.integer(&rela[16..24]));
            let symbol = usize::try_from(symbol).ok().and_then(|i| elf.symbols().get(i));
            let symbol =
                symbol.ok_or_else(|| bad(image, section, "a sealed function has no symbol"))?;
            rows.push((symbol.section, symbol.value.wrapping_add(addend)));
        }
    }
    Ok(rows)
}
