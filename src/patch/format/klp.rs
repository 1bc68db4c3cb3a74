//! The kernel's own form (Linux Documentation/livepatch/module-elf-format.rst): symbols
//! `.klp.sym.OBJECT.NAME,POSITION` and relocation tables `.klp.rela.OBJECT.SECTION`. The form of
//! `klp-build` has such symbols, too.

use crate::elf::abi;
use crate::kernel::knowledge::livepatch;

/// Flags of a table of relocations that livepatch applies.
pub const TABLE_FLAGS: u64 = abi::SHF_ALLOC | abi::SHF_INFO_LINK | abi::SHF_RELA_LIVEPATCH;

/// What the name of a livepatch symbol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolName<'n> {
    /// The object that has the symbol.
    pub object: &'n str,
    /// Its name there.
    pub name: &'n str,
    /// Its position among those of that name, from 1; 0 when it is the only one.
    pub position: u64,
}

impl<'n> SymbolName<'n> {
    /// The name in full.
    pub fn encode(&self) -> String {
        let SymbolName { object, name, position } = self;
        format!("{}{object}.{name},{position}", livepatch::KLP_SYMBOL)
    }

    /// Reads a name; `None` when it is no such one.
    pub fn decode(full: &'n str) -> Option<Self> {
        let (object, name, position) = Self::parts(full)?;
        Some(SymbolName { object, name, position: position.parse().ok()? })
    }

    /// Object, name and position of a name, whatever these are.
    pub fn parts(full: &'n str) -> Option<(&'n str, &'n str, &'n str)> {
        let (object, rest) = full.strip_prefix(livepatch::KLP_SYMBOL)?.split_once('.')?;
        let (name, position) = rest.rsplit_once(',')?;
        Some((object, name, position))
    }

    /// Whether the kernel can read a name of this kind back: neither empty nor with a comma.
    pub fn is_readable(name: &str) -> bool {
        !name.is_empty() && !name.contains(',')
    }
}

/// The name of the table that is applied to a section when `object` is patched.
pub fn table_name(object: &str, section: &str) -> String {
    format!("{}{object}.{section}", livepatch::KLP_RELA)
}

/// The object and the section that the name of a table says.
pub fn table_parts(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(livepatch::KLP_RELA)?.split_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let name = SymbolName { object: "nf_tables", name: "f.llvm.1", position: 2 };
        assert_eq!(name.encode(), ".klp.sym.nf_tables.f.llvm.1,2");
        assert_eq!(SymbolName::decode(&name.encode()), Some(name));
        for other in ["f", ".klp.sym.vmlinux", ".klp.sym.vmlinux.f", ".klp.sym.vmlinux.f,x"] {
            assert_eq!(SymbolName::decode(other), None, "{other}");
        }
        let table = table_name("vmlinux", ".text.f");
        assert_eq!(table_parts(&table), Some(("vmlinux", ".text.f")));
    }
}
