//! What the tests of the machine files share.

use super::{Arch, EntryReloc, FunctionView};

/// A function `f` at `value` in `section`.
pub fn view(section: &[u8], value: u64) -> FunctionView<'_> {
    FunctionView {
        name: "f",
        section,
        value,
        other: 0,
        patchable_entry: false,
        listed_site: None,
        object_has_pfe: false,
    }
}

/// Relocations from (offset, type, symbol).
pub fn relocs<'a>(list: &'a [(u64, u32, &'a str)]) -> impl Iterator<Item = EntryReloc<'a>> {
    list.iter().map(|&(offset, kind, symbol)| EntryReloc { offset, kind, symbol })
}

/// The invariants of a relocation table.
pub fn check_table(arch: &Arch, prefix: &str) {
    assert!(arch.relocs.is_sorted_by(|a, b| a.id < b.id), "sorted and unique");
    let mut names: Vec<_> = arch.relocs.iter().map(|r| r.name).collect();
    assert!(names.iter().all(|n| n.starts_with(prefix)));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), arch.relocs.len(), "names are unique");
    for r in arch.relocs {
        assert!(r.width <= 16, "{}", r.name);
        if r.class == super::RelocClass::None {
            assert_eq!(r.width, 0, "{} touches nothing", r.name);
        }
        assert!(std::ptr::eq(arch.reloc(r.id).unwrap(), r));
    }
    let pointer = arch.reloc(arch.abs64).unwrap();
    assert_eq!((pointer.class, pointer.width), (super::RelocClass::Absolute, 8));
}
