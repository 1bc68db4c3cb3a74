//! The text of `readelf -s --wide`, row by row.
//!
//! Rows that cannot matter here (undefined symbols, sections, types and bindings the
//! linker does not give to kernel symbols) are left out; GNU and LLVM readelf are both
//! understood, with or without the `[<localentry>: 8]` column. The text is read in
//! parallel pieces.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use memchr::{memchr, memchr_iter};
use rayon::prelude::*;

use crate::diag::{Code, Error, Result};
use crate::elf::abi::{
    self, STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FILE, STT_FUNC, STT_NOTYPE, STT_OBJECT,
};
use crate::running::entries::{Entries, Entry, Format, Places};

/// Pieces below this size are not worth a task of their own.
const MIN_CHUNK: usize = 256 * 1024;

/// A FILE symbol and the range of entries up to the next one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'t> {
    pub name: &'t str,
    /// The Num column, which is how messages name the block.
    pub number: u64,
    pub first: u32,
    pub end: u32,
}

/// The text of a file that `readelf` or the kernel's build wrote.
pub fn as_text<'t>(file: &str, bytes: &'t [u8]) -> Result<&'t str> {
    std::str::from_utf8(bytes).map_err(|e| {
        let error = bad("not a text file").in_file(file).at_offset(e.valid_up_to() as u64);
        if abi::is_elf(bytes) {
            error.advise("this is an ELF file: give the text that readelf -s --wide prints of it")
        } else if bytes.starts_with(b"\xfd7zXZ") || bytes.starts_with(b"\x1f\x8b") {
            error.advise("the file is compressed: unpack it first")
        } else {
            error
        }
    })
}

/// Reads a whole text.
pub(crate) fn parse(text: &str) -> Result<TextSymbols<'_>> {
    check_size(text)?;
    let pieces = split_at_lines(text).into_par_iter();
    let chunks: Vec<Chunk<'_>> =
        pieces.map(|piece| Chunk::parse(text, piece)).collect::<Result<_>>()?;
    Ok(merge(text, &chunks))
}

/// Fails when places in the text need more than 32 bits.
pub(crate) fn check_size(text: &str) -> Result<()> {
    if u32::try_from(text.len()).is_err() {
        return Err(bad("the text has more than 4 GiB"));
    }
    Ok(())
}

/// Where a part of `text` begins in it.
pub(crate) fn place(text: &str, part: &str) -> u32 {
    (part.as_ptr() as usize - text.as_ptr() as usize) as u32
}

static FORMAT: Format = Format {
    row: |line| match row(line) {
        Ok(TextRow::Entry(entry)) => Some(entry),
        _ => None,
    },
    addr: |line| {
        let mut fields = Fields { line, at: 0 };
        let column = fields.next().and_then(|_| fields.next());
        column.and_then(hex).unwrap_or(0)
    },
    name: |rest| bare(rest.trim_ascii()),
};

pub(crate) fn bad(message: impl Into<String>) -> Error {
    Error::broken(Code::ParentSymtab, message)
}

/// Something between the rows of a chunk; `at` counts the entries before it.
enum Mark<'t> {
    File { at: usize, name: &'t str, number: u64 },
    Heading { at: usize, skip: Option<bool>, announced: u64, rows: u64 },
}

/// What one piece of the text says, before it is known whether it is of the dynamic table.
#[derive(Default)]
struct Chunk<'t> {
    entries: Places,
    marks: Vec<Mark<'t>>,
    rows: u64,
}

impl<'t> Chunk<'t> {
    fn parse(text: &str, piece: &'t str) -> Result<Self> {
        let mut chunk = Chunk::default();
        let ends = memchr_iter(b'\n', piece.as_bytes()).chain([piece.len()]);
        let mut start = 0;
        for end in ends {
            let line = &piece[start..end];
            start = end + 1;
            match row(line)? {
                TextRow::Entry(entry) => chunk.entries.push(place(text, entry.name), &entry),
                TextRow::File { name, number } => {
                    chunk.marks.push(Mark::File { at: chunk.entries.len(), name, number });
                }
                TextRow::Ignored => {}
                TextRow::Other => {
                    if let Some((skip, announced)) = heading(line) {
                        let (at, rows) = (chunk.entries.len(), chunk.rows);
                        chunk.marks.push(Mark::Heading { at, skip, announced, rows });
                    }
                    continue;
                }
            }
            chunk.rows += 1;
        }
        Ok(chunk)
    }
}

/// What a text says.
pub(crate) struct TextSymbols<'t> {
    pub entries: Entries<'t>,
    pub blocks: Vec<Block<'t>>,
    /// Some rows were of a dynamic symbol table.
    pub skipped: bool,
    /// How many rows fewer there are than the headings announce.
    pub missing_rows: u64,
}

/// Puts the chunks together in order and leaves out the dynamic symbol tables.
fn merge<'t>(text: &'t str, chunks: &[Chunk<'t>]) -> TextSymbols<'t> {
    let total: usize = chunks.iter().map(|c| c.entries.len()).sum();
    let mut entries = Places::with_capacity(total);
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let (mut skip, mut skipped) = (false, false);
    let (mut announced, mut rows) = (0u64, 0u64);
    for chunk in chunks {
        let (mut done, mut counted) = (0, 0);
        let mut keep = |entries: &mut Places, skip, upto: usize| {
            let part = done..upto;
            done = upto;
            if skip { skipped |= !part.is_empty() } else { entries.extend(&chunk.entries, part) }
        };
        for mark in &chunk.marks {
            match *mark {
                Mark::File { at, name, number } => {
                    keep(&mut entries, skip, at);
                    if !skip {
                        let first = entries.len() as u32;
                        blocks.push(Block { name, number, first, end: first });
                    }
                }
                Mark::Heading { at, skip: new, announced: more, rows: upto } => {
                    keep(&mut entries, skip, at);
                    rows += if skip { 0 } else { upto - counted };
                    counted = upto;
                    skip = new.unwrap_or(skip);
                    announced = announced.saturating_add(if skip { 0 } else { more });
                }
            }
        }
        keep(&mut entries, skip, chunk.entries.len());
        rows += if skip { 0 } else { chunk.rows - counted };
    }
    let mut end = entries.len() as u32;
    for block in blocks.iter_mut().rev() {
        block.end = end;
        end = block.first;
    }
    let entries = Entries::of_text(text, &FORMAT, entries);
    TextSymbols { entries, blocks, skipped, missing_rows: announced.saturating_sub(rows) }
}

/// Cuts the text at line ends into pieces for the threads.
pub(super) fn split_at_lines(text: &str) -> Vec<&str> {
    let target = (text.len() / (4 * rayon::current_num_threads())).max(MIN_CHUNK);
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > target {
        // A line end is one byte, so both cuts are at character boundaries.
        let behind = rest.as_bytes().get(target..).unwrap_or_default();
        let at = memchr(b'\n', behind).map(|at| target + at);
        let cut = at.and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?)));
        let Some((piece, tail)) = cut else { break };
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

enum TextRow<'t> {
    /// Not a row of a symbol table.
    Other,
    /// A row that cannot matter.
    Ignored,
    File {
        name: &'t str,
        number: u64,
    },
    Entry(Entry<'t>),
}

/// `Symbol table 'NAME' contains N entries:` as (skip what follows, N).
fn heading(line: &str) -> Option<(Option<bool>, u64)> {
    let rest = line.trim_ascii_start().strip_prefix("Symbol table '")?;
    let (name, rest) = rest.split_once('\'')?;
    let skip = match (name.contains("dynsym"), name.contains(".symtab")) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let mut words = rest.split_ascii_whitespace().skip_while(|w| *w != "contains").skip(1);
    let announced = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Some((skip, announced))
}

/// Columns: Num, Value, Size, Type, Bind, Vis, [other], Ndx, Name.
fn row(line: &str) -> Result<TextRow<'_>> {
    let row = columns(line).unwrap_or(TextRow::Other);
    if let TextRow::Entry(Entry { name, .. }) | TextRow::File { name, .. } = row
        && name.ends_with("[...]")
    {
        return Err(bad("readelf cut a symbol's name").at_symbol(name));
    }
    Ok(row)
}

fn columns(line: &str) -> Option<TextRow<'_>> {
    let mut fields = Fields { line, at: 0 };
    let number = decimal(fields.next()?.strip_suffix(b":")?)?;
    let addr = hex(fields.next()?)?;
    let size = size(fields.next()?)?;
    let kind = fields.next()?;
    let bind = fields.next()?;
    let hidden = matches!(fields.next()?, b"HIDDEN" | b"INTERNAL");
    let mut home = fields.next()?;
    if home.starts_with(b"[") {
        while !home.ends_with(b"]") {
            home = fields.next()?;
        }
        home = fields.next()?;
    }
    let defined = home == b"ABS" || home == b"COM" || home.iter().all(u8::is_ascii_digit);
    let name = bare(line[fields.at..].trim_ascii());
    let kind = match kind {
        b"NOTYPE" => STT_NOTYPE,
        b"OBJECT" => STT_OBJECT,
        b"FUNC" => STT_FUNC,
        b"FILE" => STT_FILE,
        _ => return Some(TextRow::Ignored),
    };
    let bind = match bind {
        b"LOCAL" => STB_LOCAL,
        b"GLOBAL" => STB_GLOBAL,
        b"WEAK" => STB_WEAK,
        _ => return Some(TextRow::Ignored),
    };
    Some(if !defined {
        TextRow::Ignored
    } else if kind == STT_FILE {
        TextRow::File { name, number }
    } else {
        TextRow::Entry(Entry { name, addr, size, kind, bind, hidden })
    })
}

/// The fields of a row, one after the other.
struct Fields<'t> {
    line: &'t str,
    /// Where the last one ended. White space is one byte each, so this is a character boundary.
    at: usize,
}

impl<'t> Fields<'t> {
    // Fields are short: a plain loop is as fast as any search.
    #[inline]
    fn next(&mut self) -> Option<&'t [u8]> {
        let bytes = self.line.as_bytes();
        let mut start = self.at;
        while bytes.get(start).is_some_and(u8::is_ascii_whitespace) {
            start += 1;
        }
        self.at = start;
        while bytes.get(self.at).is_some_and(|b| *b > b' ' || !b.is_ascii_whitespace()) {
            self.at += 1;
        }
        bytes.get(start..self.at).filter(|field| !field.is_empty())
    }
}

/// A name without the remark on st_other that some versions of readelf put behind it.
fn bare(name: &str) -> &str {
    if !name.ends_with(']') {
        return name;
    }
    match name.rsplit_once(" [") {
        Some((name, "VARIANT_PCS]")) => name.trim_ascii_end(),
        Some((name, other)) if other.starts_with('<') && other.ends_with(']') => {
            name.trim_ascii_end()
        }
        _ => name,
    }
}

fn hex(field: &[u8]) -> Option<u64> {
    let (zeros, field) = field.split_at_checked(field.len().saturating_sub(16))?;
    if field.is_empty() || zeros.iter().any(|&digit| digit != b'0') {
        return None;
    }
    let (mut value, mut all) = (0, 0);
    for digit in field.iter().map(|&b| digit(b)) {
        value = value << 4 | u64::from(digit);
        all |= digit;
    }
    (all < 16).then_some(value)
}

/// What a byte counts as a hexadecimal digit; more than 15 for all that are none.
#[inline]
#[expect(clippy::indexing_slicing, reason = "the table has a row for each byte")]
fn digit(byte: u8) -> u8 {
    DIGITS[usize::from(byte)]
}

/// The value of each hexadecimal digit; more than 15 for all other bytes.
#[expect(clippy::indexing_slicing, reason = "the compiler does it")]
const DIGITS: [u8; 256] = {
    let mut digits = [0xf0; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// A number with a base prefix as in C: readelf writes large sizes in hexadecimal.
fn size(field: &[u8]) -> Option<u64> {
    match field {
        [b'0', b'x' | b'X', digits @ ..] => hex(digits),
        [b'0', digits @ .., last] => digits.iter().chain([last]).try_fold(0u64, |value, b| {
            let digit = b.checked_sub(b'0').filter(|&digit| digit < 8)?;
            value.checked_mul(8)?.checked_add(u64::from(digit))
        }),
        _ => decimal(field),
    }
}

fn decimal(field: &[u8]) -> Option<u64> {
    let digit = |value: u64, b: &u8| {
        let digit = b.checked_sub(b'0').filter(|&digit| digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    };
    if field.is_empty() { None } else { field.iter().try_fold(0, digit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Option<Entry<'_>> {
        match row(line).expect("no cut name") {
            TextRow::Entry(entry) => Some(entry),
            _ => None,
        }
    }

    #[test]
    fn reads_the_columns() {
        let line = " 7: ffffffff81000040   112 FUNC    LOCAL  DEFAULT    1 f";
        let f = Entry {
            name: "f",
            addr: 0xffff_ffff_8100_0040,
            size: 112,
            kind: STT_FUNC,
            bind: STB_LOCAL,
            hidden: false,
        };
        assert_eq!(one(line), Some(f));
        assert_eq!(
            one(" 7: 10 4 OBJECT WEAK HIDDEN ABS w\r").map(|e| (e.name, e.bind)),
            Some(("w", STB_WEAK))
        );
        assert_eq!(one("1: 10 4 NOTYPE GLOBAL DEFAULT COM c").map(|e| e.kind), Some(STT_NOTYPE));
        assert_eq!(one("1: 10 4 NOTYPE LOCAL DEFAULT 3").map(|e| e.name), Some(""));
        assert_eq!(one("1: 10 4 NOTYPE LOCAL DEFAULT 3 a b").map(|e| e.name), Some("a b"));
    }

    #[test]
    fn hidden_locals_were_globals() {
        let demoted = |line| one(line).map(|e| e.is_demoted());
        assert_eq!(demoted("1: 10 4 FUNC LOCAL HIDDEN 3 a"), Some(true));
        assert_eq!(demoted("1: 10 4 FUNC LOCAL INTERNAL 3 a"), Some(true));
        assert_eq!(demoted("1: 10 4 FUNC LOCAL DEFAULT 3 a"), Some(false));
        assert_eq!(demoted("1: 10 4 FUNC LOCAL PROTECTED 3 a"), Some(false));
        assert_eq!(demoted("1: 10 4 FUNC GLOBAL HIDDEN 3 a"), Some(false));
    }

    #[test]
    fn sizes_have_the_bases_of_c() {
        for (text, value) in
            [("0x2dc6c0", 3_000_000), ("99999", 99_999), ("010", 8), ("0", 0), ("0X1f", 31)]
        {
            let line = format!("1: 10 {text} OBJECT LOCAL DEFAULT 4 big");
            assert_eq!(one(&line).map(|e| e.size), Some(value), "{text}");
        }
        for text in ["0x", "1f", "-1", "+1", "0x10000000000000000", "08"] {
            assert_eq!(one(&format!("1: 10 {text} OBJECT LOCAL DEFAULT 4 big")), None, "{text}");
        }
    }

    #[test]
    fn understands_the_st_other_column_of_both_readelfs() {
        for line in [
            "7: 10 112 FUNC LOCAL DEFAULT [<localentry>: 8]     1 f",
            "7: 10 112 FUNC LOCAL DEFAULT [<other: 0x60>]   1 f",
            "7: 10 112 FUNC LOCAL DEFAULT [VARIANT_PCS]     1 f",
            "7: 10 112 FUNC LOCAL DEFAULT     1 f [<localentry>: 8]",
            "7: 10 112 FUNC LOCAL DEFAULT     1 f [VARIANT_PCS]",
            "7: 10 112 FUNC LOCAL DEFAULT     1 f",
        ] {
            assert_eq!(one(line).map(|e| e.name), Some("f"), "{line}");
        }
        assert_eq!(one("7: 10 112 FUNC LOCAL DEFAULT [<localentry>: 8"), None);
    }

    #[test]
    fn rows_that_cannot_matter_are_left_out() {
        for line in [
            "1: 0 0 NOTYPE GLOBAL DEFAULT UND printk",
            "1: 0 0 SECTION LOCAL DEFAULT 1 .text",
            "1: 0 4 TLS GLOBAL DEFAULT 4 t",
            "1: 0 11 IFUNC GLOBAL DEFAULT 1 i",
            "1: 0 4 COMMON GLOBAL DEFAULT COM c",
            "1: 0 4 OBJECT UNIQUE DEFAULT 1 u",
            "1: 0 4 OBJECT LOCAL DEFAULT PRC[0xff20] p",
            "1: 0 4 <OS specific>: 11 LOCAL DEFAULT 1 p",
            "Num: Value Size Type Bind Vis Ndx Name",
            "1: xyz 4 OBJECT LOCAL DEFAULT 1 p",
            "1 0 4 OBJECT LOCAL DEFAULT 1 p",
            "1: 0 4 OBJECT LOCAL",
            "",
        ] {
            assert_eq!(one(line), None, "{line}");
        }
        let text = "1: 0 4 IFUNC GLOBAL DEFAULT 1 i\n2: 1 4 FUNC GLOBAL DEFAULT 1 f\n";
        assert_eq!(parse(text).expect("one row").entries.len(), 1);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert_eq!(as_text("p", b"abc").ok(), Some("abc"));
        let advice = |bytes: &[u8]| {
            as_text("p", bytes).expect_err("no text").advice().unwrap_or_default().to_owned()
        };
        assert!(advice(b"\x7fELF\x02\xff").contains("ELF file"));
        assert!(advice(b"\xfd7zXZ\x00").contains("unpack"));
        assert!(advice(b"ab\xff").is_empty());
    }
}
