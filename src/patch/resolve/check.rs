//! Whether what was found in the running kernel is what the kernel will find when the patch is
//! applied.

use super::lookup::{Lookup, Sympos};
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Patched, SectionId, SymbolId};
use crate::kernel::layout::Class;
use crate::running::kallsyms;
use crate::running::parent::{Found, Parent};

/// The error for what the kernel must have and does not.
pub(super) fn not_found(parent: &Parent<'_>, name: &str) -> Error {
    Error::broken(Code::SymbolNotFound, format!("can't find symbol '{name}' in symbol table"))
        .in_file(parent.table().file())
        .at_symbol(name)
        .advise("is this the symbol table of the kernel that the original object was built for?")
}

/// Fails for a symbol that livepatch cannot find because kallsyms leaves it out.
pub(super) fn check_listed(lookup: &Lookup<'_>, found: &Found<'_>) -> Result<()> {
    if lookup.running.sympos == Sympos::DropIn || found.exported || kallsyms::lists(found.name) {
        return Ok(());
    }
    Err(Error::refused(
        Code::UnlistedSymbol,
        format!(
            "the kernel does not list '{}' in kallsyms, so livepatch cannot find it",
            found.name
        ),
    )
    .in_file(lookup.running.parent.table().file())
    .at_symbol(found.name)
    .advise("give the symbol a name that kallsyms keeps, or make the code not refer to it"))
}

/// Fails when a static symbol was found to be a global one.
pub(super) fn check_local(
    lookup: &Lookup<'_>,
    id: SymbolId<Patched>,
    found: &Found<'_>,
) -> Result<()> {
    if lookup.original_bind(id) != abi::STB_LOCAL || !found.global {
        return Ok(());
    }
    let name = lookup.name(id);
    Err(Error::broken(
        Code::SymbolNotFound,
        format!("can't find local symbol '{name}' in symbol table"),
    )
    .in_file(lookup.running.parent.table().file())
    .at_symbol(name)
    .advise("the parent only has a global symbol of that name"))
}

/// Fails when the kernel has a definition that is not weak in the place of a weak one: the
/// object given is not where the running function comes from.
pub(super) fn check_weak(
    lookup: &Lookup<'_>,
    id: SymbolId<Patched>,
    found: &Found<'_>,
) -> Result<()> {
    let table = lookup.running.parent.table();
    let entry = found.index.and_then(|i| table.entries().get(i));
    let is_strong = entry.is_some_and(|e| e.bind == abi::STB_GLOBAL);
    if lookup.running.sympos == Sympos::DropIn
        || lookup.original_bind(id) != abi::STB_WEAK
        || !is_strong
    {
        return Ok(());
    }
    let name = lookup.name(id);
    Err(Error::refused(
        Code::OverriddenDefinition,
        format!("'{name}' is weak in the original object, but the kernel has a definition that is not: another object overrides it"),
    )
    .in_file(table.file())
    .at_symbol(name)
    .advise("this function never runs: leave the change out, or patch the one that does"))
}

/// Fails for a row of a module's table: the kernel reads it before livepatch relocates it.
pub(super) fn check_table(
    lookup: &Lookup<'_>,
    (section, offset): (SectionId<Patched>, u64),
    symbol: SymbolId<Patched>,
) -> Result<()> {
    let layout = lookup.layout();
    let is_table = matches!(layout.class(section), Class::Table(_));
    if lookup.running.klp_arch || !lookup.running.patches_module() || !is_table {
        return Ok(());
    }
    let (name, section) = (lookup.name(symbol), layout.object.section_name(section));
    Err(Error::broken(
        Code::KlpRelocInTable,
        format!("unsupported klp relocation reference to symbol '{name}' in module-specific special section '{section}'"),
    )
    .in_section(section)
    .at_offset(offset))
}
