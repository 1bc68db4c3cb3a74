//! Mutations that mean nothing.

use std::collections::BTreeMap;

use klp_diff::elf::abi;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::{OutHome, OutObject, OutSymbolIndex};
use klp_diff::elf::write::write;

use super::subjects::Subject;
use super::{Answer, Outcome, Random, Tally, compare, keep};

type Edit = fn(&mut OutObject, &mut Random) -> bool;

const KINDS: [(&str, Edit); 9] = [
    ("noise: rewritten", |_, _| true),
    ("noise: bug lines", bug_lines),
    ("noise: suffixes", suffixes),
    ("noise: strings moved", strings_moved),
    ("noise: section order", section_order),
    ("noise: symbol order", symbol_order),
    ("noise: padding", padding),
    ("noise: alignment", alignment),
    ("noise: several", |o, r| {
        suffixes(o, r) | strings_moved(o, r) | section_order(o, r) | alignment(o, r)
    }),
];

pub fn run(
    subject: &Subject,
    sizes: &BTreeMap<String, String>,
    object: &Object<'_, Patched>,
    random: &mut Random,
    tally: &mut Tally,
) {
    let Ok(model) = OutObject::from_object(object) else { return };
    for (class, edit) in KINDS {
        let mut copy = model.clone();
        if !edit(&mut copy, random) {
            continue;
        }
        let Ok(bytes) = write(&copy) else { continue };
        let answer = compare(&subject.bytes, &bytes, sizes);
        let outcome =
            if answer == Answer::Unchanged { Outcome::Quiet } else { Outcome::FalseAlarm };
        if outcome == Outcome::FalseAlarm {
            keep(&subject.bytes, &bytes);
        }
        tally.add(class, outcome, || format!("{}: {answer:?}", subject.name));
    }
}

fn bug_lines(object: &mut OutObject, random: &mut Random) -> bool {
    let Some(table) = object.sections.iter_mut().find(|s| s.name == "__bug_table") else {
        return false;
    };
    // Only where the layout is known for sure: two relative pointers, line and flags.
    let relative = table.relocs.first().is_some_and(|r| {
        r.entries.len() * 6 == table.data.len() && table.data.len().is_multiple_of(12)
    });
    if relative && object.machine == abi::EM_X86_64 {
        for row in table.data.chunks_mut(12) {
            row[8] = random.below(256) as u8;
            row[9] = random.below(4) as u8;
        }
    }
    relative
}

/// `x.12` becomes `x.57`, all in the same way.
fn suffixes(object: &mut OutObject, random: &mut Random) -> bool {
    let by = 1 + random.below(90);
    let renumber = |name: &str| -> Option<String> {
        let (stem, number) = name.rsplit_once('.')?;
        if stem.is_empty() || stem.ends_with(".str1") || stem.contains(".str1.") {
            return None;
        }
        Some(format!("{stem}.{}", number.parse::<u32>().ok()? as u64 + by))
    };
    let mut any = false;
    let mut renamed = Vec::new();
    for symbol in &mut object.symbols {
        let local = symbol.bind == abi::STB_LOCAL && symbol.kind == abi::STT_OBJECT;
        let Some(new) = local.then(|| renumber(&symbol.name)).flatten() else { continue };
        if let OutHome::Section(section) = symbol.home {
            renamed.push((section, symbol.name.clone(), new.clone()));
        }
        symbol.name = new;
        any = true;
    }
    for (section, old, new) in renamed {
        let section = &mut object.sections[section];
        if let Some(stem) = section.name.strip_suffix(&old) {
            section.name = format!("{stem}{new}");
            if let Some(relocs) = section.relocs.first_mut() {
                relocs.name = format!(".rela{}", section.name);
            }
        }
    }
    any
}

/// Puts a string in front of all others.
fn strings_moved(object: &mut OutObject, _: &mut Random) -> bool {
    const NEW: &[u8] = b"a string that nobody uses but the linker\0\0\0\0\0\0\0\0";
    let mut any = false;
    for at in 0..object.sections.len() {
        let section = &mut object.sections[at];
        let strings = section.flags & abi::SHF_STRINGS != 0 && section.flags & abi::SHF_ALLOC != 0;
        if !strings
            || section.name == "__ksymtab_strings"
            || section.kind != abi::SHT_PROGBITS
            || !section.relocs.is_empty()
        {
            continue;
        }
        section.data.splice(0..0, NEW.iter().copied());
        section.size += NEW.len() as u64;
        any = true;
        let mut of_section = Vec::new();
        for (i, symbol) in object.symbols.iter_mut().enumerate() {
            if symbol.home == OutHome::Section(at) {
                if symbol.kind == abi::STT_SECTION {
                    of_section.push(i);
                } else {
                    symbol.value += NEW.len() as u64;
                }
            }
        }
        let entries =
            object.sections.iter_mut().flat_map(|s| &mut s.relocs).flat_map(|r| &mut r.entries);
        for reloc in entries.filter(|r| r.symbol.is_some_and(|s| of_section.contains(&s.index()))) {
            reloc.addend += NEW.len() as i64;
        }
    }
    any
}

/// A random order of `n` things.
fn shuffled(n: usize, random: &mut Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    order
}

fn section_order(object: &mut OutObject, random: &mut Random) -> bool {
    let order = shuffled(object.sections.len(), random);
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
    let old = std::mem::take(&mut object.sections);
    let mut slots: Vec<_> = old.into_iter().map(Some).collect();
    object.sections = order.iter().filter_map(|&i| slots[i].take()).collect();
    object.sections.iter_mut().for_each(|s| s.link = s.link.map(|l| place[l]));
    for symbol in &mut object.symbols {
        if let OutHome::Section(section) = &mut symbol.home {
            *section = place[*section];
        }
    }
    true
}

/// Shuffles the symbols of each file among themselves.
fn symbol_order(object: &mut OutObject, random: &mut Random) -> bool {
    let count = object.symbols.len();
    let mut order: Vec<usize> = Vec::with_capacity(count);
    let mut start = 0;
    for end in 1..=count {
        let apart = end == count || {
            let (a, b) = (&object.symbols[end - 1], &object.symbols[end]);
            let file = a.kind == abi::STT_FILE || b.kind == abi::STT_FILE;
            file || (a.bind == abi::STB_LOCAL) != (b.bind == abi::STB_LOCAL)
        };
        if apart {
            order.extend(shuffled(end - start, random).into_iter().map(|i| start + i));
            start = end;
        }
    }
    let mut place = vec![0; count];
    order.iter().enumerate().for_each(|(new, &old)| place[old] = new);
    object.symbols = order.iter().map(|&i| object.symbols[i].clone()).collect();
    let entries =
        object.sections.iter_mut().flat_map(|s| &mut s.relocs).flat_map(|r| &mut r.entries);
    for reloc in entries {
        reloc.symbol = reloc.symbol.map(|s| OutSymbolIndex::new(place[s.index()]));
    }
    true
}

/// Changes the filler between functions that share a section.
fn padding(object: &mut OutObject, _: &mut Random) -> bool {
    if object.machine != abi::EM_X86_64 {
        return false;
    }
    let mut any = false;
    for (at, section) in object.sections.iter_mut().enumerate() {
        let mut spans: Vec<(u64, u64)> = object
            .symbols
            .iter()
            .filter(|s| s.home == OutHome::Section(at) && s.kind == abi::STT_FUNC)
            // What follows a prefix symbol belongs to its function.
            .map(|s| {
                let prefix = s.name.starts_with("__cfi_") || s.name.starts_with("__pfx_");
                (s.value, s.value + s.size + if prefix { 1 << 20 } else { 0 })
            })
            .collect();
        if spans.len() < 2 {
            continue;
        }
        spans.sort_unstable();
        for pair in spans.windows(2) {
            let Some(gap) = section.data.get_mut(pair[0].1 as usize..pair[1].0 as usize) else {
                continue;
            };
            if !gap.is_empty() && gap.iter().all(|&b| b == 0xcc || b == 0x90) {
                let other = if gap[0] == 0xcc { 0x90 } else { 0xcc };
                gap.fill(other);
                any = true;
            }
        }
    }
    any
}

fn alignment(object: &mut OutObject, _: &mut Random) -> bool {
    let mut any = false;
    for section in &mut object.sections {
        if section.flags & abi::SHF_EXECINSTR != 0
            && section.kind == abi::SHT_PROGBITS
            && section.align > 0
        {
            section.align *= 2;
            any = true;
        }
    }
    any
}
