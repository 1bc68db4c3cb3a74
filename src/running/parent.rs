//! What the patch will be applied to: the parent's symbols and exports, and the look-up
//! that says where a name lives at run time.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use foldhash::fast::FixedState;
use rayon::prelude::*;

use crate::diag::{Code, Error, Result};
use crate::elf::abi::{STB_LOCAL, STT_FUNC, STT_OBJECT};
use crate::kernel::knowledge::names;
use crate::running::image::Neighbour;
use crate::running::kallsyms::Matching;
use crate::running::symtab::{BlockId, Entry, Order, ParentTable, Rank};
use crate::running::symvers::Symvers;

/// The kernel or module that the patch changes.
#[derive(Debug)]
pub struct Parent<'t> {
    name: String,
    table: ParentTable<'t>,
    symvers: Symvers<'t>,
    neighbours: &'t [Neighbour<'t>],
    /// Functions and variables as (hash of the normal name in halves, place in the table),
    /// sorted; made when first asked for.
    normal: OnceLock<Vec<([u32; 2], u32)>>,
}

/// Where a name lives at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The parent's name for it.
    pub name: &'a str,
    /// The other object that exports it; `None` for the parent itself.
    pub object: Option<&'a str>,
    /// Value in the parent's symbol table; 0 when another object exports it.
    pub addr: u64,
    /// Size in bytes; 0 when another object exports it.
    pub size: u64,
    /// Position among the LOCAL symbols of this name in the whole parent, from 1; 0 when
    /// it is GLOBAL or WEAK there, or exported by another object.
    pub sympos: u64,
    /// Visible beyond its file before the parent was linked, whatever it is there now; or
    /// exported by another object.
    pub global: bool,
    /// Listed in Module.symvers; never set for a LOCAL symbol.
    pub exported: bool,
    /// Position among the parent's symbols of this name, whatever their binding, as the
    /// kernel counts them; `None` when another object exports it.
    pub rank: Option<Rank>,
    /// Its place in [`ParentTable::entries`]; `None` when another object exports it.
    pub index: Option<u32>,
}

impl<'t> Parent<'t> {
    /// The parent called `name`: `vmlinux` or a module's name.
    pub fn new(name: &str, table: ParentTable<'t>, symvers: Symvers<'t>) -> Self {
        Parent { name: name.to_owned(), table, symvers, neighbours: &[], normal: OnceLock::new() }
    }

    /// The same, with other images of the kernel: what they export need not be in
    /// Module.symvers.
    pub fn with_neighbours(self, neighbours: &'t [Neighbour<'t>]) -> Self {
        Parent { neighbours, ..self }
    }

    /// `vmlinux` or the module's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The symbol table.
    pub fn table(&self) -> &ParentTable<'t> {
        &self.table
    }

    /// The exported symbols.
    pub fn symvers(&self) -> &Symvers<'t> {
        &self.symvers
    }

    /// How the kernel counts symbols of one name in this parent: kallsyms sorts the
    /// kernel's own by address, a module's are walked in the order of its table.
    pub fn order(&self) -> Order {
        order_of(&self.name)
    }

    /// Finds `name` among the LOCAL symbols of `block`, then among the parent's globals
    /// (those that the final link made LOCAL come last), then among what other objects
    /// export. Fails where one step finds two.
    pub fn lookup(&self, name: &str, block: Option<BlockId>) -> Result<Option<Found<'_>>> {
        if name.is_empty() {
            return Ok(None);
        }
        let [locals, globals, demoted] = self.table.candidates(name, block);
        // A table that knows no files tells by the name alone, where that is possible.
        let locals = if block.is_none() && self.table.knows_files() { &[] } else { locals };
        let steps = [("local", locals), ("global", globals), ("global", demoted)];
        for (bind, indexes) in steps {
            match *indexes {
                [] => {}
                [index] => return self.found(index, bind == "global").map(Some),
                ref more => return Err(duplicate(&self.table, bind, name, more)),
            }
        }
        self.elsewhere(name)
    }

    /// Finds `name` among what other objects export, and then among the visible symbols of
    /// the other modules.
    fn elsewhere(&self, name: &str) -> Result<Option<Found<'_>>> {
        let export = self.symvers.get(name)?;
        let others = || self.neighbours.iter().filter(|n| n.object != self.name);
        if let Some(export) = export {
            let home = others().find(|n| n.object == export.object);
            return match home {
                Some(home) => self.in_neighbour(home, name, true).map(|found| {
                    // Its position is known only where its symbol is.
                    Some(found.unwrap_or_else(|| exported(export.name, export.object)))
                }),
                None => Ok(Some(exported(export.name, export.object))),
            };
        }
        let mut exporters = others().filter(|n| n.exports(name) == Some(true));
        match (exporters.next(), exporters.next()) {
            (Some(home), None) => return self.in_neighbour(home, name, true),
            (Some(first), Some(second)) => return Err(self.ambiguous(name, first, second)),
            (None, _) => {}
        }
        if self.name == "vmlinux" {
            // The kernel cannot refer to what a module keeps to itself.
            return Ok(None);
        }
        let mut homes = others().filter(|n| n.global(name) != Ok(None));
        match (homes.next(), homes.next()) {
            // A label of the linker script or of assembly, such as `.TOC.`: the linker knows.
            (Some(home), None) if home.is_label(name) => Ok(None),
            (Some(home), None) if home.object == "vmlinux" && home.exports(name).is_some() => {
                Err(Error::refused(
                    Code::NotExported,
                    format!("vmlinux does not export '{name}', and a patch of a module cannot refer to it"),
                )
                .in_file(home.table.file())
                .at_symbol(name)
                .advise("livepatch lets a module's patch use vmlinux symbols only as exports: call something that is exported"))
            }
            (Some(home), None) => self.in_neighbour(home, name, false),
            (Some(first), Some(second)) => Err(self.ambiguous(name, first, second)),
            (None, _) => Ok(None),
        }
    }

    /// The visible symbol `name` of another image.
    fn in_neighbour<'n>(
        &self,
        home: &'n Neighbour<'_>,
        name: &str,
        exported: bool,
    ) -> Result<Option<Found<'n>>> {
        let table = &home.table;
        let index = match home.global(name) {
            Ok(Some(index)) => index,
            Ok(None) if exported && table.named(name).is_empty() => {
                return Err(Error::broken(
                    Code::Contradiction,
                    format!(
                        "'{name}' should be exported by {}, which does not have it",
                        home.object
                    ),
                )
                .in_file(table.file())
                .at_symbol(name)
                .advise("are Module.symvers and all images of one build?"));
            }
            Ok(None) => return Ok(None),
            Err(_) => return Err(duplicate(table, "global", name, table.globals(name))),
        };
        let order = order_of(&home.object);
        let Entry { name, addr, size, .. } = table.entries().at(index);
        let matching = table.matching();
        let rank = match order {
            Order::Address if matching != Matching::Exact => table.compared_rank(index),
            _ => table.rank(index, order),
        };
        let compared = if order == Order::Address { matching.compared(name) } else { name };
        Ok(Some(Found {
            name: compared,
            object: Some(&home.object),
            addr,
            size,
            sympos: 0,
            global: true,
            exported,
            rank: Some(rank),
            index: None,
        }))
    }

    fn ambiguous(&self, name: &str, first: &Neighbour<'_>, second: &Neighbour<'_>) -> Error {
        Error::broken(
            Code::DuplicateSymbol,
            format!("'{name}' is in {} and in {}", first.object, second.object),
        )
        .in_file(first.table.file())
        .at_symbol(name)
        .advise(format!("it is unknown which one '{}' means: give Module.symvers", self.name))
    }

    /// Places in the table of the functions and variables whose names differ from `name` in
    /// counters and promotion hashes only.
    pub fn namesakes(&self, name: &str) -> Vec<u32> {
        let hash = |name: &str| {
            let mut state = FixedState::default().build_hasher();
            names::hash_normal(name, &mut state);
            let hash = state.finish();
            [(hash >> 32) as u32, hash as u32]
        };
        let entries = self.table.entries();
        let by_name = self.normal.get_or_init(|| {
            let named = |&i: &u32| matches!(entries.traits(i).kind(), STT_FUNC | STT_OBJECT);
            let indexes = (0..entries.len() as u32).filter(named);
            let mut by_name: Vec<([u32; 2], u32)> =
                indexes.map(|i| (hash(entries.name(i)), i)).collect();
            by_name.par_sort_unstable();
            by_name
        });
        let wanted = hash(name);
        let found = by_name.iter().skip(by_name.partition_point(|row| row.0 < wanted));
        let found = found.take_while(|row| row.0 == wanted).map(|row| row.1);
        let same = |&i: &u32| names::same(entries.name(i), name);
        found.filter(same).collect()
    }

    /// How many defined symbols of any binding are called `name`, and how many of them lie
    /// at or below `addr`. `None` when there are none.
    pub fn true_rank(&self, name: &str, addr: u64) -> Option<Rank> {
        self.table.rank_of_address(name, addr)
    }

    /// What is known of symbol `index` of the table. `global`: it was visible beyond its
    /// file before the parent was linked.
    ///
    /// Fails when it is unknown how this kernel compares such a name.
    pub fn found(&self, index: u32, global: bool) -> Result<Found<'_>> {
        let Entry { name, addr, size, bind, .. } = self.table.entries().at(index);
        let (locals, rank) = self.table.positions(index, self.order());
        let sympos = if bind == STB_LOCAL { u64::from(locals) } else { 0 };
        let mut found = Found {
            name,
            object: None,
            addr,
            size,
            sympos,
            global,
            exported: global && self.symvers.contains(name),
            rank: Some(rank),
            index: Some(index),
        };
        let matching = self.table.matching();
        if matching != Matching::Exact && self.order() == Order::Address {
            let rank = self.table.compared_rank(index);
            let compared = matching.compared(name);
            if matching == Matching::Unsettled && (compared != name || found.rank != Some(rank)) {
                return Err(self.unsettled(name, compared));
            }
            found.name = compared;
            found.rank = Some(rank);
            if bind == STB_LOCAL {
                found.sympos = u64::from(rank.position);
            }
        }
        Ok(found)
    }

    fn unsettled(&self, name: &str, compared: &str) -> Error {
        Error::refused(
            Code::NameComparison,
            format!("it is unknown by which name the kernel finds '{name}'"),
        )
        .in_file(self.table.file())
        .at_symbol(name)
        .advise(format!(
            "LTO kernels 6.2 to 6.10 compare names without what follows the first dot or '.llvm.', \
                 and the image does not tell its version: '{compared}' could be several symbols; \
                 give the vmlinux file, which has a banner"
        ))
    }
}

/// See [`Parent::order`].
fn order_of(object: &str) -> Order {
    if object == "vmlinux" { Order::Address } else { Order::Table }
}

/// What Module.symvers alone says of a symbol.
fn exported<'a>(name: &'a str, object: &'a str) -> Found<'a> {
    Found {
        name,
        object: Some(object),
        addr: 0,
        size: 0,
        sympos: 0,
        global: true,
        exported: true,
        rank: None,
        index: None,
    }
}

fn duplicate(table: &ParentTable<'_>, bind: &str, name: &str, indexes: &[u32]) -> Error {
    let entries = table.entries();
    let places: Vec<String> =
        indexes.iter().take(5).map(|&i| format!("{:#x}", entries.addr(i))).collect();
    Error::broken(Code::DuplicateSymbol, format!("duplicate {bind} symbol found for {name}"))
        .in_file(table.file())
        .at_symbol(name)
        .advise(format!(
            "the parent has {} of them, at {}; it is unknown which one is meant",
            indexes.len(),
            places.join(", ")
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Class;

    fn parent<'t>(name: &str, text: &'t str, symvers: &'t str) -> Parent<'t> {
        let table = ParentTable::parse("p.symtab", text).expect("table");
        Parent::new(name, table, Symvers::parse("Module.symvers", symvers).expect("symvers"))
    }

    const TEXT: &str = "1: 0 0 FILE LOCAL DEFAULT ABS a.c\n\
        2: 30 3 FUNC LOCAL DEFAULT 1 x\n\
        3: 0 0 FILE LOCAL DEFAULT ABS b.c\n\
        4: 10 1 FUNC LOCAL DEFAULT 1 x\n\
        5: 40 1 FUNC LOCAL DEFAULT 1 d\n\
        6: 50 1 OBJECT LOCAL DEFAULT 1 d\n\
        7: 20 2 FUNC GLOBAL DEFAULT 1 x\n\
        8: 60 6 FUNC WEAK DEFAULT 1 w\n\
        9: 70 6 FUNC WEAK DEFAULT 1 two\n\
        10: 80 6 FUNC GLOBAL DEFAULT 1 two\n";
    const SYMVERS: &str = "0\tx\tvmlinux\n0\tcfg\tnet/my-mod\n0\ttwice\ta\n0\ttwice\ta\n";

    #[test]
    fn looks_in_the_block_then_among_globals_then_exports() {
        let parent = parent("vmlinux", TEXT, SYMVERS);
        let block = |name: &str| parent.table().blocks_named(name).first().copied();
        let find = |name, block| parent.lookup(name, block).expect("no duplicate");
        let local = find("x", block("a.c")).expect("found");
        assert_eq!(
            local,
            Found {
                name: "x",
                object: None,
                addr: 0x30,
                size: 3,
                sympos: 2,
                global: false,
                exported: false,
                rank: Some(Rank { position: 3, total: 3 }),
                index: Some(0),
            }
        );
        assert_eq!(find("x", block("b.c")).map(|f| (f.addr, f.sympos)), Some((0x10, 1)));
        let global = find("x", None).expect("found");
        assert_eq!(
            (global.addr, global.sympos, global.global, global.exported),
            (0x20, 0, true, true)
        );
        assert_eq!(global.rank, Some(Rank { position: 2, total: 3 }));
        let weak = find("w", block("a.c")).expect("found");
        assert_eq!((weak.size, weak.global, weak.exported), (6, true, false));
        let elsewhere = find("cfg", block("a.c")).expect("found");
        assert_eq!(
            (elsewhere.object, elsewhere.addr, elsewhere.exported),
            (Some("my_mod"), 0, true)
        );
        assert_eq!(find("nothing", block("a.c")), None);
        assert_eq!(find("", block("a.c")), None);
        assert_eq!(find("a.c", block("a.c")), None);
        assert_eq!(parent.true_rank("x", 0x20), Some(Rank { position: 2, total: 3 }));
        assert_eq!(parent.true_rank("nothing", 0x20), None);
    }

    /// lld lists hidden globals as LOCAL behind the last file's own symbols.
    #[test]
    fn globals_that_the_link_made_local_belong_to_no_file() {
        let text = "1: 0 0 FILE LOCAL DEFAULT ABS a.c\n\
            2: 30 3 FUNC LOCAL DEFAULT 1 x\n\
            3: 20 3 FUNC LOCAL HIDDEN 1 x\n\
            4: 40 3 FUNC LOCAL HIDDEN 1 printk\n\
            5: 50 3 FUNC LOCAL HIDDEN 1 two\n\
            6: 60 3 FUNC LOCAL HIDDEN 1 two\n";
        let parent = parent("vmlinux", text, "0\tprintk\tvmlinux\n");
        let block = parent.table().blocks_named("a.c").first().copied();
        let find = |name, block| {
            let found = parent.lookup(name, block).expect("no duplicate").expect("found");
            (found.addr, found.sympos, found.global, found.exported)
        };
        assert_eq!(find("x", block), (0x30, 2, false, false));
        assert_eq!(find("x", None), (0x20, 1, true, false));
        assert_eq!(find("printk", block), (0x40, 1, true, true));
        let error = parent.lookup("two", None).expect_err("duplicate");
        assert_eq!(error.message(), "duplicate global symbol found for two");
    }

    #[test]
    fn duplicates_are_refused() {
        let parent = parent("vmlinux", TEXT, SYMVERS);
        let b = parent.table().blocks_named("b.c").first().copied();
        let message = |name, block| {
            let error = parent.lookup(name, block).expect_err("duplicate");
            assert_eq!(error.class(), Class::Broken);
            error.message().to_owned()
        };
        assert_eq!(message("d", b), "duplicate local symbol found for d");
        assert_eq!(message("two", b), "duplicate global symbol found for two");
        assert_eq!(message("twice", None), "duplicate exported symbol found for twice");
        assert_eq!(parent.lookup("d", None).ok(), Some(None));
    }

    #[test]
    fn a_module_s_symbols_count_in_table_order() {
        let parent = parent("some_module", TEXT, SYMVERS);
        let block = |name: &str| parent.table().blocks_named(name).first().copied();
        let found =
            |name| parent.lookup("x", block(name)).ok().flatten().map(|f| (f.sympos, f.rank));
        assert_eq!(found("a.c"), Some((1, Some(Rank { position: 1, total: 3 }))));
        assert_eq!(found("b.c"), Some((2, Some(Rank { position: 2, total: 3 }))));
    }

    #[test]
    fn names_that_the_kernel_cuts_are_counted_as_it_compares_them() {
        let text = "1: 30 3 FUNC GLOBAL DEFAULT 1 foo.llvm.1\n\
            2: 10 3 FUNC GLOBAL DEFAULT 1 foo.llvm.2\n\
            3: 20 3 OBJECT GLOBAL DEFAULT 1 foo\n\
            4: 50 3 FUNC GLOBAL DEFAULT 1 bar\n\
            5: 60 3 FUNC GLOBAL DEFAULT 1 bar.cold\n";
        let parent = |matching| {
            let table = ParentTable::parse("p.symtab", text).expect("table");
            Parent::new("vmlinux", table.with_matching(matching), Symvers::default())
        };
        let cut = parent(Matching::CutPromoted);
        let found = |name| {
            let found = cut.lookup(name, None).expect("settled").expect("found");
            let rank = found.rank.expect("own");
            (found.name.to_owned(), found.addr, rank.position, rank.total)
        };
        assert_eq!(found("foo.llvm.1"), ("foo".to_owned(), 0x30, 3, 3));
        assert_eq!(found("foo.llvm.2"), ("foo".to_owned(), 0x10, 1, 3));
        assert_eq!(found("foo"), ("foo".to_owned(), 0x20, 2, 3));
        assert_eq!(found("bar.cold"), ("bar.cold".to_owned(), 0x60, 1, 1));
        let dot = parent(Matching::CutAtDot);
        let found = |name| {
            let found = dot.lookup(name, None).expect("settled").expect("found");
            let rank = found.rank.expect("own");
            (found.name.to_owned(), found.addr, rank.position, rank.total)
        };
        assert_eq!(found("foo"), ("foo".to_owned(), 0x20, 2, 3));
        assert_eq!(found("bar"), ("bar".to_owned(), 0x50, 1, 2));
        assert_eq!(found("bar.cold"), ("bar".to_owned(), 0x60, 2, 2));
        let unsettled = parent(Matching::Unsettled);
        for name in ["foo", "foo.llvm.1", "bar", "bar.cold"] {
            let error = unsettled.lookup(name, None).expect_err("depends on the release");
            assert_eq!((error.class(), error.code()), (Class::Refused, Code::NameComparison));
        }
        let text = "1: 30 3 FUNC GLOBAL DEFAULT 1 foo.llvm.1\n4: 50 3 FUNC GLOBAL DEFAULT 1 bar\n";
        let table = ParentTable::parse("p.symtab", text).expect("table");
        let table = table.with_matching(Matching::Unsettled);
        let unsettled = Parent::new("vmlinux", table, Symvers::default());
        assert_eq!(unsettled.lookup("bar", None).expect("no namesake").map(|f| f.addr), Some(0x50));
    }
}
