//! `System.map` and `/proc/kallsyms`: an address, a letter and a name on each line.
//!
//! The letters are those of nm(1). Sizes, files and visibility are not known from such a
//! text; positions among symbols of one name are.

use rayon::prelude::*;

use crate::diag::Result;
use crate::elf::abi::{STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FUNC, STT_NOTYPE, STT_OBJECT};
use crate::running::entries::{Entries, Entry, Format, Places};
use crate::running::readelf::{TextSymbols, bad, check_size, place, split_at_lines};

/// The rows of `text`, in its order; `None` when it is another kind of text: its first line
/// tells. Rows of modules in a kallsyms text are left out.
pub(crate) fn parse(text: &str) -> Option<Result<TextSymbols<'_>>> {
    let first = text.lines().find(|line| !line.trim_ascii().is_empty())?;
    row(first)?;
    Some(rows(text))
}

fn rows(text: &str) -> Result<TextSymbols<'_>> {
    check_size(text)?;
    let pieces: Vec<Places> = split_at_lines(text)
        .into_par_iter()
        .map(|piece| {
            let mut places = Places::default();
            for line in piece.split('\n').filter(|line| !line.trim_ascii().is_empty()) {
                let found = row(line)
                    .ok_or_else(|| bad("a line is no row of a System.map").at_symbol(line))?;
                if let Some(entry) = found {
                    places.push(place(text, entry.name), &entry);
                }
            }
            Ok(places)
        })
        .collect::<Result<_>>()?;
    let mut places = Places::with_capacity(pieces.iter().map(Places::len).sum());
    for piece in &pieces {
        places.extend(piece, 0..piece.len());
    }
    let entries = Entries::of_text(text, &FORMAT, places);
    if entries.iter().all(|e| e.addr == 0) {
        return Err(bad("all addresses are 0").advise(
            "the kernel hides them: read /proc/kallsyms as root, with kernel.kptr_restrict at most 1",
        ));
    }
    Ok(TextSymbols { entries, blocks: Vec::new(), skipped: false, missing_rows: 0 })
}

static FORMAT: Format = Format {
    row: |line| row(line).flatten(),
    addr: |line| row(line).flatten().map_or(0, |entry| entry.addr),
    name: |rest| rest.split_ascii_whitespace().next().unwrap_or(""),
};

/// One line: `None` for something else, `Some(None)` for a row that is left out.
#[expect(clippy::option_option, reason = "two different ways of not being an entry")]
fn row(line: &str) -> Option<Option<Entry<'_>>> {
    let mut words = line.split_ascii_whitespace();
    let addr = words.next().filter(|a| a.len() >= 8)?;
    let addr = addr.bytes().all(|b| b.is_ascii_hexdigit()).then_some(addr)?;
    let addr = u64::from_str_radix(addr, 16).ok()?;
    let &[letter] = words.next()?.as_bytes() else { return None };
    let name = words.next()?;
    let in_module = match (words.next(), words.next()) {
        (None, _) => false,
        (Some(module), None) if module.starts_with('[') && module.ends_with(']') => true,
        _ => return None,
    };
    if !letter.is_ascii_alphabetic() && letter != b'?' {
        return None;
    }
    let kind = match letter.to_ascii_lowercase() {
        b't' => STT_FUNC,
        b'd' | b'b' | b'r' | b'g' | b's' | b'c' | b'v' => STT_OBJECT,
        _ => STT_NOTYPE,
    };
    let bind = match letter {
        b'W' | b'w' | b'V' | b'v' => STB_WEAK,
        _ if letter.is_ascii_uppercase() => STB_GLOBAL,
        _ => STB_LOCAL,
    };
    let listed = !in_module && !matches!(letter, b'U');
    Some(listed.then_some(Entry { name, addr, size: 0, kind, bind, hidden: false }))
}

#[cfg(test)]
mod tests {
    use crate::elf::abi::{STB_LOCAL, STB_WEAK, STT_FUNC, STT_OBJECT};
    use crate::running::symtab::ParentTable;

    const TEXT: &str = "ffffffff81000000 T _text\n\
        ffffffff81000010 t helper\n\
        ffffffff81000020 W maybe\n\
        ffffffff81000030 t helper\n\
        ffffffff81a00000 d counter\n";

    #[test]
    fn reads_system_map_and_kallsyms() {
        let table = ParentTable::parse("System.map", TEXT).expect("parses");
        let entries = table.entries();
        assert_eq!(entries.len(), 5);
        assert_eq!((entries.at(1).kind, entries.at(1).bind), (STT_FUNC, STB_LOCAL));
        assert_eq!(entries.at(2).bind, STB_WEAK);
        assert_eq!((entries.at(4).kind, entries.at(4).addr), (STT_OBJECT, 0xffff_ffff_81a0_0000));
        assert!(!table.knows_files());
        let text = format!("{TEXT}ffffffffc0000000 t helper\t[dummy]\n");
        let table = ParentTable::parse("kallsyms", &text).expect("parses");
        assert_eq!(table.entries().len(), 5, "symbols of modules are left out");
        assert_eq!(
            table.rank_of_address("helper", 0xffff_ffff_8100_0030).map(|r| (r.position, r.total)),
            Some((2, 2))
        );
    }

    #[test]
    fn hidden_addresses_and_garbage_are_refused() {
        let zero = "0000000000000000 T a\n0000000000000000 t b\n";
        let error = ParentTable::parse("kallsyms", zero).expect_err("hidden");
        assert!(error.message().contains("all addresses are 0"), "{error}");
        let text = format!("{TEXT}nonsense here\n");
        let error = ParentTable::parse("System.map", &text);
        assert!(error.expect_err("garbage").message().contains("no row of a System.map"));
    }
}
