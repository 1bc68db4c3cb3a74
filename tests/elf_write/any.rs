//! Any small object.

use klp_diff::elf::abi;
use klp_diff::elf::out::{OutHome, OutObject, OutReloc, OutSection, OutSymbol, OutSymbolIndex};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{MACHINES, rela};

prop_compose! {
    fn any_section(count: usize, symbols: usize)(
        name in "[.a-c]{0,3}",
        kind in prop_oneof![
            4 => Just(abi::SHT_PROGBITS), 1 => Just(abi::SHT_NOBITS), 1 => Just(abi::SHT_NOTE),
            1 => Just(abi::SHT_STRTAB),
        ],
        flags in prop_oneof![Just(0), Just(abi::SHF_ALLOC), Just(abi::SHF_LINK_ORDER)],
        align in (0..7u32).prop_map(|n| if n == 6 { 0 } else { 1 << n }),
        entsize in 0..9u64,
        data in vec(any::<u8>(), 0..20),
        link in proptest::option::of(0..count),
        relocs in vec((any::<prop::sample::Index>(), 0..400u32, proptest::option::of(0..symbols.max(1)), any::<i64>()), 0..4),
        tables in 0..3usize,
    ) -> OutSection {
        let nobits = kind == abi::SHT_NOBITS;
        let size = data.len() as u64;
        let entries: Vec<_> = relocs.iter().filter(|_| size != 0).map(|(at, kind, symbol, addend)| OutReloc {
            offset: at.index(size as usize) as u64,
            kind: *kind,
            symbol: symbol.filter(|_| symbols != 0).map(OutSymbolIndex::new),
            addend: *addend,
        }).collect();
        OutSection {
            // The reader accepts one table for a section; the others are for `verify`.
            relocs: (0..tables).map(|i| rela(&format!(".rela{i}{name}"), entries.clone())).collect(),
            name, kind, flags, align, entsize, link, size,
            data: if nobits { Vec::new() } else { data },
        }
    }
}

fn any_home(sections: usize) -> impl Strategy<Value = OutHome> {
    let reserved = prop_oneof![
        Just(OutHome::Undefined),
        Just(OutHome::Reserved(abi::SHN_ABS)),
        Just(OutHome::Reserved(abi::SHN_COMMON)),
        Just(OutHome::Reserved(abi::SHN_LIVEPATCH)),
    ];
    prop_oneof![
        reserved,
        (0..sections.max(1)).prop_map(move |i| {
            if sections == 0 { OutHome::Undefined } else { OutHome::Section(i) }
        }),
    ]
}

prop_compose! {
    fn any_symbol(sections: usize)(
        name in "[a-c]{0,3}",
        kind in prop_oneof![Just(abi::STT_NOTYPE), Just(abi::STT_OBJECT), Just(abi::STT_FUNC), Just(abi::STT_FILE)],
        bind in 0..3u8,
        other in any::<u8>(),
        home in any_home(sections),
        value in any::<u64>(),
        size in any::<u64>(),
    ) -> OutSymbol {
        // The name of a file is LOCAL and absolute.
        let (bind, home) = match kind {
            abi::STT_FILE => (abi::STB_LOCAL, OutHome::Reserved(abi::SHN_ABS)),
            _ => (bind, home),
        };
        OutSymbol { name, kind, bind, other, home, value, size }
    }
}

/// Any small object; `tables` bounds the relocation tables of one section.
pub fn any_object(tables: usize) -> impl Strategy<Value = OutObject> {
    (0..5usize, 0..6usize)
        .prop_flat_map(|(sections, symbols)| {
            (
                vec(any_section(sections.max(1), symbols), sections),
                vec(any_symbol(sections), symbols),
                prop::sample::select(MACHINES.to_vec()),
                any::<u32>(),
            )
        })
        .prop_map(move |(mut sections, symbols, (machine, big_endian, _), flags)| {
            for section in &mut sections {
                section.relocs.truncate(tables);
            }
            OutObject { big_endian, kind: abi::ET_REL, machine, flags, sections, symbols }
        })
}
