//! The names that an object defines for other objects, read without the rest of it.

use object::elf::Sym64;
use object::read::elf::SectionHeader as _;
use object::{Endianness, U32};

use super::abi;
use super::header::{cstr, read_header, read_shndx, string_table};

/// Which of several definitions of one name a linker takes: the strongest (gABI, "Symbol
/// Table": common symbols give way to definitions, weak definitions to both).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// STB_WEAK.
    Weak,
    /// SHN_COMMON.
    Common,
    /// An ordinary definition.
    Strong,
}

impl Strength {
    /// How a symbol of this binding and section index defines its name; `None` when it does
    /// not, or when other objects cannot see it.
    pub fn of(bind: u8, section: u16) -> Option<Strength> {
        match (bind, section) {
            (abi::STB_LOCAL, _) | (_, abi::SHN_UNDEF) => None,
            (abi::STB_GLOBAL, abi::SHN_COMMON) => Some(Strength::Common),
            (abi::STB_GLOBAL, _) => Some(Strength::Strong),
            _ => Some(Strength::Weak),
        }
    }
}

/// Absolute symbols that hold the hash of a function's type (clang, `-fsanitize=kcfi`): each
/// object that takes the address of the function has one, and all are of one value.
const TYPE_HASH: &str = "__kcfi_typeid_";

/// All that `data` defines for other objects, in symbol order. `None` when it is no 64-bit
/// ELF file with a symbol table.
pub fn globals(data: &[u8]) -> Option<Vec<(&str, Strength)>> {
    let found = visible(data)?.filter_map(|(name, bind, section)| {
        let strength = Strength::of(bind, section)?;
        let is_hash = section == abi::SHN_ABS && name.starts_with(TYPE_HASH);
        (!is_hash).then_some((name, strength))
    });
    Some(found.collect())
}

/// All that `data` refers to and other objects define, in symbol order. `None` as of
/// [`globals`].
pub fn undefined(data: &[u8]) -> Option<Vec<&str>> {
    let found = visible(data)?.filter(|&(_, _, section)| section == abi::SHN_UNDEF);
    Some(found.map(|(name, ..)| name).collect())
}

/// Names that are not local, with binding and section index.
fn visible(data: &[u8]) -> Option<impl Iterator<Item = (&str, u8, u16)>> {
    let (endian, _, shdrs, _) = read_header(data).ok()?;
    let mut headers = shdrs.iter().enumerate();
    let (index, table) = headers.find(|(_, s)| s.sh_type.get(endian).0 == abi::SHT_SYMTAB)?;
    let symbols: &[Sym64<Endianness>] = table.data_as_array(endian, data).ok()?;
    let names = shdrs.get(table.sh_link.get(endian) as usize)?;
    let names = string_table(names, endian, data, "symbol names").ok()?;
    let extended: &[U32<Endianness>] =
        read_shndx(shdrs, endian, data, index, symbols.len()).unwrap_or(&[]);
    // Local symbols come first; sh_info says how many there are.
    let first = (table.sh_info.get(endian) as usize).min(symbols.len());
    Some(symbols.iter().enumerate().skip(first).filter_map(move |(i, symbol)| {
        let section = match symbol.st_shndx.get(endian).0 {
            abi::SHN_XINDEX if extended.get(i).is_none_or(|e| e.get(endian) == 0) => abi::SHN_UNDEF,
            section => section,
        };
        let name = cstr(names, symbol.st_name.get(endian) as usize)?;
        (!name.is_empty()).then_some((name, symbol.st_bind().0, section))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::out::{OutHome, OutObject, OutSection, OutSymbol};
    use crate::elf::write::write;

    #[test]
    fn only_what_others_can_use_is_listed() {
        let section = |name: &str| OutSection {
            name: name.to_owned(),
            kind: abi::SHT_PROGBITS,
            align: 1,
            ..OutSection::default()
        };
        let symbol = |name: &str, bind, home| OutSymbol {
            name: name.to_owned(),
            kind: abi::STT_OBJECT,
            bind,
            other: 0,
            home,
            value: 0,
            size: 0,
        };
        let object = OutObject {
            kind: abi::ET_REL,
            machine: abi::EM_X86_64,
            sections: vec![section("a")],
            symbols: vec![
                symbol("own", abi::STB_LOCAL, OutHome::Section(0)),
                symbol("weak", abi::STB_WEAK, OutHome::Section(0)),
                symbol("wanted", abi::STB_GLOBAL, OutHome::Undefined),
                symbol("common", abi::STB_GLOBAL, OutHome::Reserved(abi::SHN_COMMON)),
                symbol("strong", abi::STB_GLOBAL, OutHome::Section(0)),
            ],
            ..OutObject::default()
        };
        let bytes = write(&object).unwrap();
        let wanted =
            [("weak", Strength::Weak), ("common", Strength::Common), ("strong", Strength::Strong)];
        assert_eq!(globals(&bytes).unwrap(), wanted);
        assert_eq!(globals(b"BC\xc0\xde"), None);
        assert!(Strength::Weak < Strength::Common && Strength::Common < Strength::Strong);
    }
}
