//! Source files that a patch adds: all their functions are new.
//!
//! Such an object is compared with one that has nothing in it. What the kernel's own link
//! would have done with it besides, such as calling its initcalls, a livepatch cannot do.

use foldhash::fast::RandomState;
use indexmap::IndexSet;
use object::Endianness;

use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::Patched;
use crate::elf::object::{Home, Object};
use crate::elf::out::{OutObject, OutSymbol};
use crate::elf::write::write;
use crate::kernel::knowledge::tables::TABLES;
use crate::kernel::knowledge::{sections, symbols};
use crate::running::symtab::ParentTable;

/// The bytes of an object for the same machine as `like`, with nothing in it.
pub fn nothing(like: &Object<'_, Patched>) -> Result<Vec<u8>> {
    let header = like.header();
    write(&OutObject {
        big_endian: like.endian() == Endianness::Big,
        kind: abi::ET_REL,
        machine: header.machine,
        flags: header.flags,
        sections: Vec::new(),
        symbols: vec![OutSymbol::undefined(symbols::FENTRY)],
    })
}

/// Checks that `object` is new to the kernel, whose symbols are `table`, and that `output`,
/// if there is one, has all that makes up its behaviour.
///
/// Fails with [`crate::diag::Class::Refused`]: code `already-there` when the kernel has one
/// of its global functions, `new-object` with one detail for each section that would have no
/// effect.
pub fn check(
    object: &Object<'_, Patched>,
    output: Option<&OutObject>,
    table: &ParentTable<'_>,
) -> Result<()> {
    for id in object.symbols() {
        let defined = matches!(object.home(id), Home::Section(_));
        let name = object.symbol_name(id);
        if defined
            && object.symbol_kind(id) == abi::STT_FUNC
            && object.symbol_bind(id) == abi::STB_GLOBAL
            && !table.globals(name).is_empty()
        {
            return Err(Error::refused(
                Code::AlreadyThere,
                "the object has no original, but the kernel has one of its functions",
            )
            .in_file(object.file())
            .at_symbol(name)
            .advise("give the object of the unpatched build, too"));
        }
    }
    let carried: IndexSet<&str, RandomState> =
        output.iter().flat_map(|o| &o.sections).map(|s| s.name.as_str()).collect();
    let mut details = Vec::new();
    for id in object.sections() {
        let name = object.section_name(id);
        if object.section_size(id) == 0 || carried.contains(name) {
            continue;
        }
        if let Some((_, why)) = sections::DUTIES.iter().find(|(duty, _)| name.starts_with(duty)) {
            details.push(format!("{name}: {why}"));
            continue;
        }
        let flags = object.section_flags(id);
        let loaded = flags & abi::SHF_ALLOC != 0;
        let code = flags & abi::SHF_EXECINSTR != 0;
        let plain = sections::WITHOUT_DUTY.iter().any(|p| name.starts_with(p));
        let table = TABLES.iter().any(|t| t.section == name);
        if loaded && !code && !plain && !table {
            details.push(format!("{name}: it is not known what the kernel does with it"));
        }
    }
    if details.is_empty() {
        return Ok(());
    }
    Err(Error::refused(Code::NewObject, "parts of the new source file would have no effect")
        .in_file(object.file())
        .with_details(details))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::out::{OutHome, OutSection};

    const TEXT: usize = 0;

    /// An object with the function `f`, and these sections.
    fn object(sections: &[(&str, u64)]) -> Vec<u8> {
        let mut object =
            OutObject { kind: abi::ET_REL, machine: abi::EM_X86_64, ..OutObject::default() };
        let text = [(".text.f", abi::SHF_ALLOC | abi::SHF_EXECINSTR)];
        for (name, flags) in text.iter().chain(sections) {
            object.sections.push(OutSection {
                name: (*name).to_owned(),
                kind: abi::SHT_PROGBITS,
                flags: *flags,
                align: 1,
                data: vec![0x90; 8],
                size: 8,
                ..OutSection::default()
            });
        }
        object.symbols.push(OutSymbol {
            name: "f".to_owned(),
            kind: abi::STT_FUNC,
            bind: abi::STB_GLOBAL,
            other: 0,
            home: OutHome::Section(TEXT),
            value: 0,
            size: 8,
        });
        write(&object).expect("written")
    }

    fn checked(sections: &[(&str, u64)], carried: &[&str], symtab: &str) -> Result<()> {
        let bytes = object(sections);
        let object = Object::<Patched>::parse("new.o", &bytes).expect("object");
        let section =
            |name: &&str| OutSection { name: (*name).to_owned(), ..OutSection::default() };
        let output =
            OutObject { sections: carried.iter().map(section).collect(), ..OutObject::default() };
        let table = ParentTable::parse("symtab", symtab).expect("table");
        check(&object, Some(&output), &table)
    }

    const SYMTAB: &str = "Symbol table '.symtab' contains 2 entries:\n\
        1: ffffffff81000000 16 FUNC GLOBAL DEFAULT 1 g\n";

    #[test]
    fn nothing_is_an_object_of_the_same_kind() {
        let bytes = object(&[]);
        let patched = Object::<Patched>::parse("new.o", &bytes).expect("object");
        let empty = nothing(&patched).expect("written");
        let empty = Object::<Patched>::parse("nothing", &empty).expect("object");
        assert_eq!(empty.header().machine, abi::EM_X86_64);
        assert_eq!(empty.symbol_count(), 2);
    }

    #[test]
    fn code_and_data_are_all_that_a_new_object_may_have() {
        let plain = [(".data.x", abi::SHF_ALLOC), (".comment", 0), ("__bug_table", abi::SHF_ALLOC)];
        checked(&plain, &[".text.f"], SYMTAB).expect("passes");
        let duties = [
            (".initcall6.init", abi::SHF_ALLOC),
            (".export_symbol", 0),
            ("__strange", abi::SHF_ALLOC),
        ];
        let error = checked(&duties, &[".text.f"], SYMTAB).expect_err("refused");
        assert_eq!((error.code(), error.details().len()), (Code::NewObject, 3));
        assert!(error.details()[0].contains("callback"), "{:?}", error.details());
        checked(&duties, &[".initcall6.init", ".export_symbol", "__strange"], SYMTAB)
            .expect("all is carried");
    }

    #[test]
    fn what_the_kernel_has_is_not_new() {
        let error = checked(&[], &[], &SYMTAB.replace(" g\n", " f\n")).expect_err("refused");
        assert_eq!(error.code(), Code::AlreadyThere);
        assert_eq!(error.place().symbol.as_deref(), Some("f"));
    }
}
