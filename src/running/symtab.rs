//! The symbols of the running kernel or module: of the image itself, or of a text such as
//! `readelf -s --wide` prints.
//!
//! The table is read in parallel pieces and indexed by sorting, so a million lines
//! take well under a second, every look-up is O(log n), and no name is copied.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::diag::Result;
use crate::elf::abi::{STB_LOCAL, STT_FUNC};
use crate::elf::ids::{Id, IdVec};
use crate::running::by_name::{ByName, Class};
pub use crate::running::entries::{Entries, Entry};
use crate::running::kallsyms::Matching;
pub use crate::running::readelf::as_text;
use crate::running::readelf::{self, Block, TextSymbols, bad};
use crate::running::sysmap;

const ADVICE: &str = "make it with readelf -s --wide vmlinux";

/// A FILE symbol of the parent and the symbols up to the next one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BlockId(u32);

impl Id for BlockId {
    fn new(index: usize) -> Self {
        debug_assert!(u32::try_from(index).is_ok());
        BlockId(index as u32)
    }
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The place of a symbol among all defined symbols of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// 1 for the first.
    pub position: u32,
    /// How many there are, of any binding.
    pub total: u32,
}

/// What decides which of several symbols of one name is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ascending addresses: how kallsyms lists the kernel's own symbols.
    Address,
    /// The order of the symbol table: how the kernel walks a module's symbols, whose
    /// values before loading are offsets in different sections.
    Table,
}

/// The parent's symbol table, indexed.
#[derive(Debug)]
pub struct ParentTable<'t> {
    file: String,
    entries: Entries<'t>,
    blocks: IdVec<BlockId, Block<'t>>,
    /// Blocks by name, then by position.
    blocks_by_name: Vec<BlockId>,
    by_name: ByName,
    missing_rows: u64,
    matching: Matching,
    /// Entries by (compared name, address, position); empty when names are compared exactly.
    compared: Vec<u32>,
    knows_files: bool,
    /// Entries as (address, position), sorted; made when first asked for.
    addresses: OnceLock<Vec<(u64, u32)>>,
}

impl<'t> ParentTable<'t> {
    /// Reads `text`, which was loaded from `file`.
    ///
    /// Lines that are no symbol rows are passed over, a cut last line among them. Fails
    /// when there is no row at all, and on names that readelf itself cut.
    pub fn parse(file: &str, text: &'t str) -> Result<Self> {
        Self::parse_inner(text)
            .map(|table| ParentTable { file: file.to_owned(), ..table })
            .map_err(|e| e.in_file(file).advise(ADVICE))
    }

    fn parse_inner(text: &'t str) -> Result<Self> {
        if let Some(rows) = sysmap::parse(text) {
            return Ok(ParentTable { knows_files: false, ..Self::from_rows("", rows?) });
        }
        let rows = readelf::parse(text)?;
        let TextSymbols { entries, blocks, skipped, .. } = &rows;
        if entries.is_empty() && blocks.is_empty() {
            let error = bad("no line is a row of a symbol table");
            return Err(if *skipped {
                error.advise(
                    "it lists dynamic symbols only: give the unstripped file to readelf -s --wide",
                )
            } else {
                error
            });
        }
        Ok(Self::from_rows("", rows))
    }

    /// Indexes the symbols of `file`.
    #[expect(clippy::indexing_slicing, reason = "these are the ids of the blocks")]
    pub(super) fn from_rows(file: &str, rows: TextSymbols<'t>) -> Self {
        let TextSymbols { entries, blocks, missing_rows, .. } = rows;
        let mut blocks_by_name: Vec<BlockId> = (0..blocks.len()).map(BlockId::new).collect();
        blocks_by_name.sort_by_key(|b| blocks[b.index()].name);

        let by_name = ByName::new(&entries);
        ParentTable {
            file: file.to_owned(),
            entries,
            blocks: IdVec::from_vec(blocks),
            blocks_by_name,
            by_name,
            missing_rows,
            matching: Matching::Exact,
            compared: Vec::new(),
            knows_files: true,
            addresses: OnceLock::new(),
        }
    }

    /// The same table for a kernel that compares names in another way.
    pub(super) fn with_matching(mut self, matching: Matching) -> Self {
        self.matching = matching;
        self.compared.clear();
        if matching != Matching::Exact {
            self.compared = (0..self.entries.len() as u32).collect();
            let key = |&i: &u32| {
                let entry = self.entries.at(i);
                (matching.compared(entry.name), entry.addr, i)
            };
            self.compared.par_sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        }
        self
    }

    /// How the kernel compares names.
    pub fn matching(&self) -> Matching {
        self.matching
    }

    /// Whether the table says which file a local symbol is of.
    pub fn knows_files(&self) -> bool {
        self.knows_files
    }

    /// The place of symbol `index` among all whose names the kernel takes for the same, by
    /// address. Differs from [`ParentTable::rank`] only where names are cut.
    #[expect(clippy::indexing_slicing, reason = "partition points lie within the list")]
    pub fn compared_rank(&self, index: u32) -> Rank {
        let entry = self.entries.at(index);
        let name = self.matching.compared(entry.name);
        let name_of = |i: &u32| self.matching.compared(self.entries.name(*i));
        let from = self.compared.partition_point(|i| name_of(i) < name);
        let group = &self.compared[from..];
        let group = &group[..group.partition_point(|i| name_of(i) == name)];
        let position = group.partition_point(|&i| (self.entries.addr(i), i) <= (entry.addr, index));
        Rank { position: position as u32, total: group.len() as u32 }
    }

    /// Path the text was read from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// All symbols in table order.
    pub fn entries(&self) -> &Entries<'t> {
        &self.entries
    }

    /// How many rows fewer there are than the headings announce. A caller that was not
    /// given a filtered text on purpose should warn: positions among symbols of one
    /// name are wrong when the file is cut.
    pub fn missing_rows(&self) -> u64 {
        self.missing_rows
    }

    /// Name of the FILE symbol that opens `block`.
    pub fn block_name(&self, block: BlockId) -> &'t str {
        self.blocks[block].name
    }

    /// The Num column of the FILE symbol that opens `block`.
    pub fn block_number(&self, block: BlockId) -> u64 {
        self.blocks[block].number
    }

    /// Indexes of the symbols of `block`. Globals follow the last block and count as part of it.
    pub fn block_entries(&self, block: BlockId) -> Range<u32> {
        let Block { first, end, .. } = self.blocks[block];
        first..end
    }

    /// The blocks whose FILE symbol is called `name`, in table order.
    #[expect(clippy::indexing_slicing, reason = "partition points lie within the list")]
    pub fn blocks_named(&self, name: &str) -> &[BlockId] {
        let key = |b: &BlockId| self.blocks[*b].name;
        let from = self.blocks_by_name.partition_point(|b| key(b) < name);
        let tail = &self.blocks_by_name[from..];
        &tail[..tail.partition_point(|b| key(b) == name)]
    }

    /// Indexes of the LOCAL symbols called `name` that belong to the file of `block`, in
    /// table order.
    pub fn locals_in_block(&self, name: &str, block: BlockId) -> &[u32] {
        self.within(self.of_class(name, Class::Local), block)
    }

    /// All entries as (address, position), sorted.
    fn by_address(&self) -> &[(u64, u32)] {
        self.addresses.get_or_init(|| {
            let mut order: Vec<(u64, u32)> =
                (0u32..).zip(self.entries.iter()).map(|(i, entry)| (entry.addr, i)).collect();
            order.par_sort_unstable();
            order
        })
    }

    /// Functions that reach into the next one: (function, next), by address. Offsets in
    /// different sections of a module cannot be compared, so this is for a linked kernel.
    pub fn overlapping(&self) -> Vec<(u32, u32)> {
        let all = self.by_address().iter().map(|&(_, i)| (self.entries.at(i), i));
        let functions: Vec<(Entry<'_>, u32)> =
            all.filter(|(entry, _)| entry.kind == STT_FUNC && entry.size > 0).collect();
        let reaches = |first: &Entry<'_>, second: &Entry<'_>| {
            first.addr < second.addr && first.addr.saturating_add(first.size) > second.addr
        };
        let pairs = functions.iter().zip(functions.iter().skip(1));
        pairs.filter(|(a, b)| reaches(&a.0, &b.0)).map(|(a, b)| (a.1, b.1)).collect()
    }

    /// Address of the first function behind `addr`.
    pub fn next_function(&self, addr: u64) -> Option<u64> {
        let order = self.by_address();
        let mut behind = order.iter().skip(order.partition_point(|row| row.0 <= addr));
        behind.find(|row| self.entries.traits(row.1).kind() == STT_FUNC).map(|row| row.0)
    }

    /// Indexes of all symbols called `name`, by address.
    pub fn named(&self, name: &str) -> &[u32] {
        self.by_name.group(&self.entries, name).by_addr()
    }

    /// The symbol at exactly `addr`; of several the first in the table, functions first.
    pub fn at_address(&self, addr: u64) -> Option<u32> {
        self.at_addresses(addr).min_by_key(|&i| (self.entries.traits(i).kind() != STT_FUNC, i))
    }

    /// Indexes of all symbols at exactly `addr`, in table order.
    pub fn at_addresses(&self, addr: u64) -> impl Iterator<Item = u32> + '_ {
        let order = self.by_address();
        let tail = order.iter().skip(order.partition_point(|row| row.0 < addr));
        tail.take_while(move |row| row.0 == addr).map(|row| row.1)
    }

    /// Indexes of the LOCAL symbols called `name`, of any file, in table order.
    pub fn locals(&self, name: &str) -> &[u32] {
        self.of_class(name, Class::Local)
    }

    /// Indexes of the GLOBAL and WEAK symbols called `name`, in table order.
    pub fn globals(&self, name: &str) -> &[u32] {
        self.of_class(name, Class::Global)
    }

    /// Indexes of the LOCAL symbols called `name` that were global until the final link.
    pub fn demoted(&self, name: &str) -> &[u32] {
        self.of_class(name, Class::Demoted)
    }

    /// How many LOCAL symbols, demoted ones included, have the name of symbol `index` and
    /// come no later than it.
    pub fn local_position(&self, index: u32, order: Order) -> u32 {
        self.positions(index, order).0
    }

    /// The place of symbol `index` among all symbols of its name, whatever their binding.
    pub fn rank(&self, index: u32, order: Order) -> Rank {
        self.positions(index, order).1
    }

    /// [`ParentTable::local_position`] and [`ParentTable::rank`], for the price of one.
    pub fn positions(&self, index: u32, order: Order) -> (u32, Rank) {
        let entries = &self.entries;
        let group = self.by_name.group(entries, entries.name(index));
        let total = group.len() as u32;
        if total == 1 {
            let is_local = entries.traits(index).bind() == STB_LOCAL;
            return (u32::from(is_local), Rank { position: 1, total });
        }
        let (locals, position) = match order {
            Order::Address => {
                let own = entries.addr(index);
                let rows = group.by_addr();
                let upto = rows.partition_point(|&i| entries.addr(i) <= own);
                let position = rows.partition_point(|&i| (entries.addr(i), i) <= (own, index));
                (group.locals_among(upto), position as u32)
            }
            Order::Table => {
                let [local, demoted, global] = [Class::Local, Class::Demoted, Class::Global]
                    .map(|c| group.of_class(entries, c).partition_point(|&i| i <= index) as u32);
                (local + demoted, local + demoted + global)
            }
        };
        (locals, Rank { position, total })
    }

    /// How many symbols called `name` there are, and how many of them lie at or below `addr`.
    /// `None` when there are none.
    pub fn rank_of_address(&self, name: &str, addr: u64) -> Option<Rank> {
        let group = self.named(name);
        let position = group.partition_point(|&i| self.entries.addr(i) <= addr);
        (!group.is_empty()).then_some(Rank { position: position as u32, total: group.len() as u32 })
    }

    /// The symbols called `name` of one class, in table order.
    fn of_class(&self, name: &str, class: Class) -> &[u32] {
        self.by_name.group(&self.entries, name).of_class(&self.entries, class)
    }

    /// All symbols called `name` as [`ParentTable::locals_in_block`] (or, without a block,
    /// [`ParentTable::locals`]), [`ParentTable::globals`] and [`ParentTable::demoted`].
    pub(crate) fn candidates(&self, name: &str, block: Option<BlockId>) -> [&[u32]; 3] {
        let group = self.by_name.group(&self.entries, name);
        let of_class = |class| group.of_class(&self.entries, class);
        let mut locals = of_class(Class::Local);
        if let Some(block) = block {
            locals = self.within(locals, block);
        }
        [locals, of_class(Class::Global), of_class(Class::Demoted)]
    }

    /// Those of some indexes in table order that belong to `block`.
    #[expect(clippy::indexing_slicing, reason = "partition points lie within the list")]
    fn within<'g>(&self, indexes: &'g [u32], block: BlockId) -> &'g [u32] {
        let Block { first, end, .. } = self.blocks[block];
        let tail = &indexes[indexes.partition_point(|&i| i < first)..];
        &tail[..tail.partition_point(|&i| i < end)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "\nSymbol table '.symtab' contains 9 entries:\n   \
        Num:    Value          Size Type    Bind   Vis      Ndx Name\n";

    fn parse(text: &str) -> ParentTable<'_> {
        ParentTable::parse("vmlinux.symtab", text).expect("parses")
    }

    #[test]
    fn dynamic_tables_are_skipped() {
        let text = "Symbol table '.dynsym' contains 2 entries:\n\
            0: 1 0 FILE LOCAL DEFAULT ABS d.c\n1: 1 0 FUNC GLOBAL DEFAULT 1 a\n\
            Symbol table '.symtab' contains 2 entries:\n\
            0: 2 0 FILE LOCAL DEFAULT ABS s.c\n1: 2 0 FUNC GLOBAL DEFAULT 1 a\n";
        let table = parse(text);
        assert_eq!(table.globals("a").len(), 1);
        assert_eq!(table.entries().addr(0), 2);
        assert!(table.blocks_named("d.c").is_empty());
        assert_eq!(table.blocks_named("s.c").len(), 1);
        assert_eq!(table.missing_rows(), 0);
        let (dynamic, _) = text.split_at(text.find("Symbol table '.symtab").expect("is there"));
        let error = ParentTable::parse("p", dynamic).expect_err("dynamic only");
        assert!(error.advice().is_some_and(|a| a.contains("unstripped")), "{error}");
    }

    #[test]
    fn a_cut_last_line_is_passed_over_and_noticed() {
        let text = format!(
            "{}0: 0 0 NOTYPE LOCAL DEFAULT UND \n1: 1 0 FUNC LOCAL DEFAULT 1 a\n2: 00000",
            HEAD.replace('9', "3")
        );
        let table = parse(&text);
        assert_eq!(table.entries().len(), 1);
        assert_eq!(table.missing_rows(), 1);
    }

    #[test]
    fn texts_without_a_row_are_refused() {
        let long = "x".repeat(3_000_000);
        let words = "1: 2 3 ".repeat(300_000);
        for text in ["", "\n\n\n", HEAD, "\u{0}\u{1}garbage\u{7f}", &long, &words] {
            let error = ParentTable::parse("vmlinux.symtab", text).expect_err("no rows");
            assert_eq!(error.place().file.as_deref(), Some("vmlinux.symtab"));
            assert_eq!(error.advice(), Some("make it with readelf -s --wide vmlinux"));
        }
    }

    #[test]
    fn blocks_run_to_the_next_file() {
        let text = "1: 5 0 FUNC LOCAL DEFAULT 1 early\n\
            2: 0 0 FILE LOCAL DEFAULT ABS a.c\n\
            3: 1 0 FUNC LOCAL DEFAULT 1 x\n\
            4: 0 0 FILE LOCAL DEFAULT ABS b.c\n\
            5: 0 0 FILE LOCAL DEFAULT ABS a.c\n\
            6: 2 0 FUNC LOCAL DEFAULT 1 x\n\
            7: 3 0 FUNC LOCAL DEFAULT 1 x\n\
            8: 4 0 FUNC GLOBAL DEFAULT 1 x\n";
        let table = parse(text);
        let &[first, second] = table.blocks_named("a.c") else { panic!("two blocks") };
        let &[empty] = table.blocks_named("b.c") else { panic!("one block") };
        assert_eq!(table.block_entries(first).len(), 1);
        assert_eq!(table.block_entries(empty).len(), 0);
        assert_eq!(table.block_entries(second).len(), 3);
        assert_eq!((table.block_name(second), table.block_number(second)), ("a.c", 5));
        assert!(table.blocks_named("c.c").is_empty());
        let addrs = |indexes: &[u32]| -> Vec<u64> {
            indexes.iter().map(|&i| table.entries().addr(i)).collect()
        };
        assert_eq!(addrs(table.locals_in_block("x", first)), [1]);
        assert_eq!(addrs(table.locals_in_block("x", empty)), [0; 0]);
        assert_eq!(addrs(table.locals_in_block("x", second)), [2, 3]);
        assert_eq!(addrs(table.locals_in_block("early", first)), [0; 0]);
        assert_eq!(addrs(table.globals("x")), [4]);
    }

    #[test]
    fn positions_follow_the_wanted_order() {
        let text = "1: 30 0 FUNC LOCAL DEFAULT 1 x\n\
            2: 10 0 OBJECT LOCAL DEFAULT 1 x\n\
            3: 20 0 NOTYPE LOCAL DEFAULT 1 x\n\
            4: 0 0 FILE LOCAL DEFAULT ABS x\n\
            5: 15 0 FUNC WEAK DEFAULT 1 x\n\
            6: 15 0 FUNC GLOBAL DEFAULT UND x\n\
            7: 20 0 FUNC GLOBAL DEFAULT 1 y\n";
        let table = parse(text);
        let locals: Vec<u32> = (0..3).map(|i| table.local_position(i, Order::Address)).collect();
        assert_eq!(locals, [3, 1, 2]);
        let locals: Vec<u32> = (0..3).map(|i| table.local_position(i, Order::Table)).collect();
        assert_eq!(locals, [1, 2, 3]);
        let ranks = |order| -> Vec<u32> { (0..4).map(|i| table.rank(i, order).position).collect() };
        assert_eq!(ranks(Order::Address), [4, 1, 3, 2]);
        assert_eq!(ranks(Order::Table), [1, 2, 3, 4]);
        assert_eq!(table.rank(3, Order::Address).total, 4);
        assert_eq!(table.rank_of_address("x", 0x15), Some(Rank { position: 2, total: 4 }));
        assert_eq!(table.rank_of_address("x", 0), Some(Rank { position: 0, total: 4 }));
        assert_eq!(table.rank_of_address("z", 0x15), None);
    }

    #[test]
    fn equal_addresses_count_as_one_position() {
        let text = "1: 10 0 FUNC LOCAL DEFAULT 1 x\n2: 10 0 FUNC LOCAL DEFAULT 1 x\n";
        let table = parse(text);
        assert_eq!(table.local_position(0, Order::Address), 2);
        assert_eq!(table.rank(0, Order::Address), Rank { position: 1, total: 2 });
    }

    /// Enough text for several chunks, with headings and blocks across their borders.
    #[test]
    fn pieces_join_as_one_table() {
        use std::fmt::Write as _;
        let mut text = String::new();
        let mut want = Vec::new();
        for i in 0..60_000u64 {
            let _ = match i % 1000 {
                0 if i % 2000 == 0 => {
                    writeln!(text, "Symbol table '.symtab' contains 999 entries:")
                }
                0 => writeln!(text, "Symbol table '.dynsym' contains 999 entries:"),
                1 => writeln!(text, "{i}: 0 0 FILE LOCAL DEFAULT ABS f{i}.c"),
                _ => writeln!(
                    text,
                    "{i}: {i:016x} 0x10 FUNC LOCAL DEFAULT 1 same_name_for_all_{}",
                    i % 7
                ),
            };
            if i % 2000 > 1 && i % 2000 < 1000 {
                want.push(i);
            }
        }
        assert!(readelf::split_at_lines(&text).len() > 4);
        let table = parse(&text);
        assert_eq!(table.entries().iter().map(|e| e.addr).collect::<Vec<_>>(), want);
        assert_eq!(table.missing_rows(), 0);
        let &[block] = table.blocks_named("f4001.c") else { panic!("one block") };
        assert_eq!(table.block_entries(block).len(), 998);
        assert!(table.blocks_named("f5001.c").is_empty());
        for (i, entry) in table.entries().iter().enumerate().step_by(977) {
            let before =
                want.iter().filter(|&&a| a % 7 == entry.addr % 7 && a <= entry.addr).count();
            assert_eq!(table.local_position(i as u32, Order::Address) as usize, before);
        }
    }

    #[test]
    fn names_that_readelf_cut_are_refused() {
        let error = ParentTable::parse("p", "1: 1 0 FUNC LOCAL DEFAULT 1 very_long_na[...]\n")
            .expect_err("cut");
        assert!(error.to_string().contains("--wide"), "{error}");
        assert_eq!(error.place().symbol.as_deref(), Some("very_long_na[...]"));
    }

    #[test]
    fn very_long_names_survive() {
        let name = "n".repeat(1_000_000);
        let text = format!("1: 1 0 FUNC LOCAL DEFAULT 1 {name}\n2: 1 0 FUNC GLOBAL DEFAULT 1 g\n");
        assert_eq!(parse(&text).rank_of_address(&name, 1).map(|r| r.total), Some(1));
    }

    proptest::proptest! {
        /// Words of the format in any order, so that many lines are rows and many nearly.
        #[test]
        fn no_text_panics(words in proptest::collection::vec(proptest::sample::select(vec![
            "1:", "2:", "0", "10", "0x20", "ffffffff81000000", "FUNC", "OBJECT", "FILE", "NOTYPE",
            "LOCAL", "GLOBAL", "WEAK", "DEFAULT", "HIDDEN", "[<localentry>: 8]", "[", "UND", "ABS",
            "x", "y", "ä", "\u{0}", "\n", "\r\n", "\t", "Symbol table '.symtab' contains",
            "Symbol table '.dynsym' contains", "\n1: 10 0 FUNC LOCAL DEFAULT 1 x\n",
            "\n1: 20 0 FUNC GLOBAL DEFAULT 1 x\n", "\n1: 0 0 FILE LOCAL DEFAULT ABS x\n",
        ]), 0..60)) {
            let text = words.join(" ");
            if let Ok(table) = ParentTable::parse("p", &text) {
                for (i, entry) in table.entries().iter().enumerate() {
                    for order in [Order::Address, Order::Table] {
                        let rank = table.rank(i as u32, order);
                        assert!(1 <= rank.position && rank.position <= rank.total);
                        let local = table.local_position(i as u32, order);
                        assert!(entry.bind != STB_LOCAL || (1..=rank.total).contains(&local));
                    }
                }
                for &block in table.blocks_named("x") {
                    assert!(table.locals_in_block("x", block).len() <= table.block_entries(block).len());
                }
            }
        }
    }
}
