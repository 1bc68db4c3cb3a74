//! Which of the parent's FILE blocks is the original object's.
//!
//! A local name is found through the FILE block its symbol belongs to. [`match_blocks`]
//! pairs each block of the original object with the parent's block that has the same
//! local functions and variables; FILE names alone do not tell blocks apart.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use crate::diag::{Code, Error, Result};
use crate::elf::abi::{STB_LOCAL, STT_FILE, STT_FUNC, STT_OBJECT};
use crate::elf::ids::{Id, Side, SymbolId};
use crate::elf::object::Object;
use crate::kernel::knowledge::names::find;
use crate::running::symtab::{BlockId, ParentTable};

/// How a name tells that the linker may have discarded its symbol.
enum Rule {
    Prefix(&'static str),
    /// With the place of a byte that few other names have.
    Contains(&'static str, usize),
}

/// Names of local functions and variables that an object may have although the linked
/// parent does not.
///
/// Checklist for adding one: the symbol lives in a section that the kernel's linker
/// script discards or that is dropped when unused; a parent that keeps it must still
/// match, so only the object's side becomes lenient; a row here and one in the test.
const MAYBE_DISCARDED: &[Rule] = &[
    Rule::Prefix("__exitcall_"),
    Rule::Prefix("__brk_reservation_fn_"),
    Rule::Prefix("__func_stack_frame_non_standard_"),
    Rule::Prefix("__trace_check"),
    Rule::Prefix(".L.str"),
    Rule::Prefix(".L__const"),
    Rule::Prefix(".data.rel.local..Lubsan_data"),
    Rule::Prefix(".data..Lubsan_type"),
    Rule::Prefix(".Lubsan_data"),
    Rule::Prefix(".data..Lubsan_data"),
    Rule::Prefix(".rela.data..Lubsan_data"),
    Rule::Prefix(".rela.data.rel.local..Lubsan_data"),
    Rule::Contains("__addressable_", 10),
    Rule::Contains("__UNIQUE_ID_", 4),
];

fn maybe_discarded(name: &str) -> bool {
    MAYBE_DISCARDED.iter().any(|rule| match *rule {
        Rule::Prefix(prefix) => {
            name.as_bytes().first() == prefix.as_bytes().first() && name.starts_with(prefix)
        }
        Rule::Contains(part, rare) => find(name, part, rare).is_some(),
    })
}

/// A local function or variable: its STT_* and its name.
type Local<'n> = (u8, &'n str);

fn is_code_or_data(bind: u8, kind: u8) -> bool {
    bind == STB_LOCAL && (kind == STT_FUNC || kind == STT_OBJECT)
}

/// STV_INTERNAL or STV_HIDDEN: in the parent such a LOCAL cannot be told from a global
/// that the link made LOCAL, so it is left out on both sides.
fn is_hidden(other: u8) -> bool {
    matches!(other & 3, 1 | 2)
}

fn show((kind, name): Local<'_>) -> String {
    format!("{} {name}", if kind == STT_FUNC { "FUNC" } else { "OBJECT" })
}

/// The local functions and variables of one block.
struct Locals<'n> {
    /// In the order of the symbol table.
    all: Vec<Local<'n>>,
    /// The distinct ones as (hash, place in `all`), by hash.
    sorted: Vec<(u64, u32)>,
}

impl<'n> Locals<'n> {
    #[expect(clippy::indexing_slicing, reason = "`sorted` has places in `all`")]
    fn new(locals: impl Iterator<Item = Local<'n>>) -> Self {
        let hasher = FixedState::default();
        let all: Vec<Local<'n>> = locals.collect();
        let hash = |(i, local)| (hasher.hash_one(local), i);
        let mut sorted: Vec<(u64, u32)> = (0..).zip(&all).map(|(i, l)| hash((i, l))).collect();
        sorted.sort_unstable();
        sorted.dedup_by(|b, a| a.0 == b.0 && all[a.1 as usize] == all[b.1 as usize]);
        Locals { all, sorted }
    }

    fn of_block(table: &ParentTable<'n>, block: BlockId) -> Self {
        let entries = table.entries();
        let traits = table.block_entries(block).map(|i| (i, entries.traits(i)));
        let locals = traits.filter(|(_, t)| is_code_or_data(t.bind(), t.kind()) && !t.is_demoted());
        Locals::new(locals.map(|(i, t)| (t.kind(), entries.name(i))))
    }

    /// Those that a parent must have: places in `sorted`.
    #[expect(clippy::indexing_slicing, reason = "`sorted` has places in `all`")]
    fn required(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.sorted.iter().copied().filter(|l| !maybe_discarded(self.all[l.1 as usize].1))
    }

    /// Equal for blocks that have the same required locals, whatever their order; all
    /// others are told apart but for chance, so that few blocks need a closer look.
    fn fingerprint(&self) -> u64 {
        let mut state = FixedState::default().build_hasher();
        self.required().for_each(|(hash, _)| state.write_u64(hash));
        state.finish()
    }

    #[expect(clippy::indexing_slicing, reason = "`sorted` has places in `all`")]
    fn has(&self, hash: u64, local: Local<'_>) -> bool {
        let from = self.sorted.partition_point(|l| l.0 < hash);
        let alike = self.sorted.iter().skip(from).take_while(|l| l.0 == hash);
        alike.into_iter().any(|l| self.all[l.1 as usize] == local)
    }

    /// Those of the parent's block that the object lacks, in order.
    fn lacks(&self, parent: &Locals<'n>) -> Vec<Local<'n>> {
        parent.missing_from(self, parent.sorted.iter().copied())
    }

    /// Those that the parent's block lacks although it must have them, in order.
    fn misses(&self, parent: &Locals<'n>) -> Vec<Local<'n>> {
        self.missing_from(parent, self.required())
    }

    #[expect(clippy::indexing_slicing, reason = "`sorted` has places in `all`")]
    fn missing_from(
        &self,
        other: &Locals<'_>,
        asked: impl Iterator<Item = (u64, u32)>,
    ) -> Vec<Local<'n>> {
        let missing = asked.filter(|&(hash, i)| !other.has(hash, self.all[i as usize]));
        let mut missing: Vec<u32> = missing.map(|l| l.1).collect();
        missing.sort_unstable();
        missing.into_iter().map(|i| self.all[i as usize]).collect()
    }
}

/// The parent's block of each symbol of the original object: the one whose FILE symbol has
/// the same name and whose local functions and variables are the same, save those that the
/// linker may have discarded. `None` for symbols before the first FILE symbol and for FILE
/// symbols themselves.
///
/// A table that knows no files gives `None` for all.
///
/// Fails when a FILE symbol has no such block, or several; one without any local function
/// or variable takes the first that fits.
#[expect(clippy::indexing_slicing, reason = "`i` is the place of one of the files")]
pub fn match_blocks<'d, S: Side>(
    object: &Object<'d, S>,
    table: &ParentTable<'_>,
) -> Result<Blocks<S>> {
    let mut blocks = Blocks::default();
    if !table.knows_files() {
        return Ok(blocks);
    }
    let files: Vec<SymbolId<S>> =
        object.symbols().filter(|&s| object.symbol_kind(s) == STT_FILE).collect();
    let prints = prints(table, files.iter().map(|&file| object.symbol_name(file)));
    let found: Vec<Result<Option<BlockId>>> = (0..files.len())
        .into_par_iter()
        .map(|i| {
            let wanted = members(object, &files, i).filter(|&id| {
                is_code_or_data(object.symbol_bind(id), object.symbol_kind(id))
                    && !is_hidden(object.symbol_other(id))
            });
            let locals = wanted.map(|id| (object.symbol_kind(id), object.symbol_name(id)));
            let (name, locals) = (object.symbol_name(files[i]), Locals::new(locals));
            // Of several files that were linked, one may have no local symbols that stay: then
            // the linker drops its FILE symbol, too.
            let gone = files.len() > 1 && table.blocks_named(name).is_empty();
            if gone && locals.required().next().is_none() {
                return Ok(None);
            }
            find_block(table, &prints, name, &locals).map(Some)
        })
        .collect();
    for (file, block) in files.into_iter().zip(found) {
        blocks.0.push((file, block.map_err(|e| e.in_file(object.file()))?));
    }
    Ok(blocks)
}

/// The parent's block of each file of an object.
#[derive(Clone, Debug)]
pub struct Blocks<S>(
    /// FILE symbols, ascending, and the blocks of what follows each of them; `None` where the parent
    /// lacks the file.
    Vec<(SymbolId<S>, Option<BlockId>)>,
);

// Not derived: that would ask it of the side.
impl<S> Default for Blocks<S> {
    fn default() -> Self {
        Blocks(Vec::new())
    }
}

impl<S: Side> Blocks<S> {
    /// The block of the file that symbol `id` follows; `None` for FILE symbols themselves, and
    /// where blocks are unknown.
    pub fn of(&self, id: SymbolId<S>) -> Option<BlockId> {
        let upto = self.0.partition_point(|&(file, _)| file <= id);
        let last = upto.checked_sub(1).and_then(|i| self.0.get(i));
        last.filter(|&&(file, _)| file != id).and_then(|&(_, block)| block)
    }
}

/// The symbols behind FILE symbol `i` up to the next one.
#[expect(clippy::indexing_slicing, reason = "`i` is the place of one of the files")]
fn members<S: Side>(
    object: &Object<'_, S>,
    files: &[SymbolId<S>],
    i: usize,
) -> impl Iterator<Item = SymbolId<S>> + use<S> {
    let end = files.get(i + 1).map_or(object.symbol_count(), |next| next.index());
    (files[i].index() + 1..end).map(SymbolId::new)
}

/// The parent's blocks by name and fingerprint.
type Prints<'d> = IndexMap<(&'d str, u64), Vec<BlockId>, RandomState>;

/// The blocks of all `files`.
fn prints<'d>(table: &ParentTable<'_>, files: impl Iterator<Item = &'d str>) -> Prints<'d> {
    let files: IndexSet<&str, RandomState> = files.collect();
    let blocks: Vec<(&str, BlockId)> = files
        .iter()
        .flat_map(|&file| table.blocks_named(file).iter().map(move |&block| (file, block)))
        .collect();
    let prints: Vec<u64> =
        blocks.par_iter().map(|&(_, block)| Locals::of_block(table, block).fingerprint()).collect();
    let mut found = Prints::default();
    for ((file, block), print) in blocks.into_iter().zip(prints) {
        found.entry((file, print)).or_default().push(block);
    }
    found
}

fn find_block(
    table: &ParentTable<'_>,
    prints: &Prints<'_>,
    file: &str,
    locals: &Locals<'_>,
) -> Result<BlockId> {
    let alike = prints.get(&(file, locals.fingerprint())).map_or(&[][..], Vec::as_slice);
    let mut fitting = alike.iter().copied().filter(|&block| {
        let parent = Locals::of_block(table, block);
        locals.lacks(&parent).is_empty() && locals.misses(&parent).is_empty()
    });
    let Some(block) = fitting.next() else {
        return Err(not_found(file, locals, table));
    };
    if locals.required().next().is_some()
        && let Some(other) = fitting.next()
    {
        return Err(two_found(file, [block, other], table));
    }
    Ok(block)
}

/// How many candidates an error lists.
const SHOWN: usize = 10;

fn not_found(file: &str, locals: &Locals<'_>, table: &ParentTable<'_>) -> Error {
    let path = table.file();
    let error = Error::broken(
        Code::FileBlock,
        format!("couldn't find matching {file} local symbols in {path} symbol table"),
    );
    let blocks = table.blocks_named(file);
    let mut nearest: Vec<Misfit> =
        blocks.iter().map(|&block| Misfit::new(block, locals, table)).collect();
    // The sort is stable: the position settles ties.
    nearest.sort_by_key(|m| m.differences);
    let Some(best) = nearest.first() else {
        return error.advise(format!(
            "{path} has no FILE symbol {file}: was it made from the build of the original object?"
        ));
    };
    let error = error.at_symbol(best.symbol.clone()).advise(format!(
        "the nearest of {} candidates is {}; was {path} made from the build of the original object?",
        blocks.len(),
        best.text
    ));
    let mut details: Vec<String> =
        nearest.iter().take(SHOWN).map(|m| format!("candidate: {}", m.text)).collect();
    if nearest.len() > SHOWN {
        details.push(format!("and {} more candidates", nearest.len() - SHOWN));
    }
    error.with_details(details)
}

fn two_found(file: &str, blocks: [BlockId; 2], table: &ParentTable<'_>) -> Error {
    let path = table.file();
    let [first, second] = blocks.map(|block| table.block_number(block));
    Error::broken(
        Code::FileBlock,
        format!("found duplicate matches for {file} local symbols in {path} symbol table"),
    )
    .advise(format!(
        "the blocks at rows {first} and {second} have the same local functions and variables as \
         the object, so it is unknown which one the object became"
    ))
}

/// Why a block of the parent is not the object's.
struct Misfit {
    differences: usize,
    /// The first symbol that only one side has.
    symbol: String,
    text: String,
}

impl Misfit {
    fn new(block: BlockId, locals: &Locals<'_>, table: &ParentTable<'_>) -> Self {
        let parent = Locals::of_block(table, block);
        let only_object: Vec<Local<'_>> = locals.misses(&parent);
        let only_parent: Vec<Local<'_>> = locals.lacks(&parent);
        let mut text = format!("the block at row {}", table.block_number(block));
        for (names, what) in
            [(&only_object, "it lacks the object's"), (&only_parent, "the object lacks its")]
        {
            let Some((first, rest)) = names.split_first() else { continue };
            text += &format!(", {what} {}", show(*first));
            if !rest.is_empty() {
                text += &format!(" and {} more", rest.len());
            }
        }
        let symbol = only_object.first().or(only_parent.first()).map_or("", |l| l.1);
        Misfit {
            differences: only_object.len() + only_parent.len(),
            symbol: symbol.to_owned(),
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use object::write::{Object as Writer, StandardSegment, Symbol, SymbolSection};
    use object::{
        Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    };

    use super::*;
    use crate::diag::Class;
    use crate::elf::ids::Orig;

    /// An object with the given symbols in order: (type, bind, name), types and bindings
    /// as readelf writes them.
    fn object(symbols: &[(&str, &str, &str)]) -> Vec<u8> {
        let mut writer = Writer::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let text = writer.add_section(
            writer.segment_name(StandardSegment::Text).to_vec(),
            b".text".to_vec(),
            SectionKind::Text,
        );
        writer.append_section_data(text, &[0; 16], 1);
        for (i, &(kind, bind, name)) in symbols.iter().enumerate() {
            let file = kind == "FILE";
            writer.add_symbol(Symbol {
                name: name.as_bytes().to_vec(),
                value: i as u64,
                size: 0,
                kind: match kind {
                    "FILE" => SymbolKind::File,
                    "FUNC" => SymbolKind::Text,
                    "OBJECT" => SymbolKind::Data,
                    _ => SymbolKind::Label,
                },
                scope: match bind {
                    "LOCAL" => SymbolScope::Compilation,
                    _ => SymbolScope::Dynamic,
                },
                weak: false,
                section: if file { SymbolSection::None } else { SymbolSection::Section(text) },
                flags: SymbolFlags::None,
            });
        }
        writer.write().expect("small object")
    }

    /// The same in readelf's words; row numbers count from 0.
    fn table_text(symbols: &[(&str, &str, &str)]) -> String {
        let mut text = String::new();
        for (i, (kind, bind, name)) in symbols.iter().enumerate() {
            let home = if *kind == "FILE" { "ABS" } else { "1" };
            let _ = writeln!(text, "{i}: {i:016x} 16 {kind} {bind} DEFAULT {home} {name}");
        }
        text
    }

    /// The row number of the block each symbol of the object is matched with.
    fn matched(
        ours: &[(&str, &str, &str)],
        theirs: &[(&str, &str, &str)],
    ) -> Result<Vec<(String, Option<u64>)>> {
        let data = object(ours);
        let object = Object::<Orig>::parse("orig.o", &data)?;
        let text = table_text(theirs);
        let table = ParentTable::parse("vmlinux.symtab", &text)?;
        let blocks = match_blocks(&object, &table)?;
        Ok(object
            .symbols()
            .filter(|&s| matches!(object.symbol_kind(s), STT_FUNC | STT_OBJECT))
            .map(|s| {
                let number = blocks.of(s).map(|b| table.block_number(b));
                (object.symbol_name(s).to_owned(), number)
            })
            .collect())
    }

    fn rows(result: Result<Vec<(String, Option<u64>)>>) -> Vec<Option<u64>> {
        result.expect("matches").into_iter().map(|(_, row)| row).collect()
    }

    const A: (&str, &str, &str) = ("FILE", "LOCAL", "a.c");
    const F: (&str, &str, &str) = ("FUNC", "LOCAL", "f");
    const G: (&str, &str, &str) = ("FUNC", "LOCAL", "g");
    const V: (&str, &str, &str) = ("OBJECT", "LOCAL", "v");
    const GLOBAL: (&str, &str, &str) = ("FUNC", "GLOBAL", "global");
    const DROPPED: (&str, &str, &str) = ("OBJECT", "LOCAL", "__UNIQUE_ID_x1");

    #[test]
    fn blocks_match_by_their_locals() {
        let theirs = [A, F, A, F, V, ("FILE", "LOCAL", "b.c"), F, V];
        assert_eq!(rows(matched(&[A, F, V, GLOBAL], &theirs)), [Some(2), Some(2), Some(2)]);
        assert_eq!(rows(matched(&[A, V, F], &theirs)), [Some(2), Some(2)], "order is free");
        assert_eq!(rows(matched(&[F, A, F], &theirs)), [None, Some(0)], "before the first FILE");
        assert_eq!(
            rows(matched(&[A, F, ("FILE", "LOCAL", "b.c"), V, F], &theirs)),
            [Some(0), Some(5), Some(5)]
        );
    }

    #[test]
    fn a_file_without_locals_may_be_gone() {
        let empty = ("FILE", "LOCAL", "ld-temp.o");
        assert_eq!(rows(matched(&[empty, A, F], &[A, F])), [Some(0)]);
        assert_eq!(rows(matched(&[empty, DROPPED, A, F], &[A, F])), [None, Some(0)]);
        assert!(matched(&[empty, V, A, F], &[A, F]).is_err(), "its variable is not there");
        assert!(matched(&[empty, GLOBAL], &[A, F]).is_err(), "not linked: another kernel");
    }

    #[test]
    fn types_are_part_of_the_match() {
        let error = matched(&[A, ("OBJECT", "LOCAL", "f")], &[A, F]).expect_err("differ");
        assert_eq!(
            error.message(),
            "couldn't find matching a.c local symbols in vmlinux.symtab symbol table"
        );
        assert_eq!(error.class(), Class::Broken);
        assert_eq!(error.place().file.as_deref(), Some("orig.o"));
    }

    #[test]
    fn other_symbols_do_not_count() {
        let label = ("NOTYPE", "LOCAL", "label");
        let theirs = [A, label, F, ("FUNC", "GLOBAL", "other")];
        assert_eq!(rows(matched(&[A, F, GLOBAL], &theirs)), [Some(0), Some(0)]);
    }

    #[test]
    fn the_parent_may_lack_what_the_linker_discards_but_not_have_more() {
        for name in [
            "__exitcall_x",
            "__brk_reservation_fn_x",
            "__func_stack_frame_non_standard_x",
            "__trace_check",
            ".L.str.5",
            ".L__const.f.x",
            ".data.rel.local..Lubsan_data1",
            ".data..Lubsan_type1",
            ".Lubsan_data1",
            ".data..Lubsan_data1",
            ".rela.data..Lubsan_data1",
            ".rela.data.rel.local..Lubsan_data1",
            "x__addressable_y",
            "x__UNIQUE_ID_y",
        ] {
            let local = ("OBJECT", "LOCAL", name);
            assert_eq!(rows(matched(&[A, F, local], &[A, F])).len(), 2, "{name}");
            assert!(matched(&[A, F], &[A, F, local]).is_err(), "{name}");
            assert_eq!(rows(matched(&[A, F, local], &[A, F, local])).len(), 2, "{name}");
        }
        for name in ["exitcall_", "x__exitcall_", "L.str", "x__trace_check", "UNIQUE_ID"] {
            assert!(matched(&[A, F, ("OBJECT", "LOCAL", name)], &[A, F]).is_err(), "{name}");
        }
        assert_eq!(rows(matched(&[A, F, DROPPED], &[A, F, G, A, F])), [Some(3), Some(3)]);
    }

    #[test]
    fn two_equal_blocks_are_refused_unless_they_are_empty() {
        let error = matched(&[A, F], &[A, F, A, F]).expect_err("ambiguous");
        assert_eq!(
            error.message(),
            "found duplicate matches for a.c local symbols in vmlinux.symtab symbol table"
        );
        assert!(error.advice().is_some_and(|a| a.contains("rows 0 and 2")), "{error}");
        assert_eq!(rows(matched(&[A, GLOBAL], &[A, A, F, A])), [Some(0)]);
        assert_eq!(rows(matched(&[A, DROPPED], &[A, F, A, A])), [Some(2)]);
        assert_eq!(rows(matched(&[A, GLOBAL], &[A, DROPPED, A])), [Some(2)]);
        // The parent's discardable names tell blocks apart as well.
        assert_eq!(rows(matched(&[A, F], &[A, F, DROPPED, A, F])), [Some(3)]);
    }

    #[test]
    fn the_error_names_the_nearest_candidate_and_the_first_symbol() {
        let theirs = [A, G, V, A, F, G, V, ("FILE", "LOCAL", "b.c"), F];
        let error = matched(&[A, F, V], &theirs).expect_err("no match");
        assert_eq!(error.place().symbol.as_deref(), Some("g"));
        let advice = error.advice().unwrap_or_default();
        assert!(
            advice.contains(
                "nearest of 2 candidates is the block at row 3, the object lacks its FUNC g"
            ),
            "{advice}"
        );
        assert_eq!(error.details().len(), 2);
        assert_eq!(
            error.details()[1],
            "candidate: the block at row 0, it lacks the object's FUNC f, the object lacks its FUNC g"
        );
        let error = matched(&[("FILE", "LOCAL", "z.c"), F], &theirs).expect_err("no match");
        assert!(error.advice().is_some_and(|a| a.contains("no FILE symbol z.c")), "{error}");
    }

    #[test]
    fn globals_that_the_link_made_local_do_not_count() {
        let text = "0: 0 0 FILE LOCAL DEFAULT ABS a.c\n\
            1: 10 3 FUNC LOCAL DEFAULT 1 f\n\
            2: 20 3 FUNC LOCAL HIDDEN 1 other\n";
        let table = ParentTable::parse("vmlinux.symtab", text).expect("parses");
        let data = object(&[A, F]);
        let object = Object::<Orig>::parse("orig.o", &data).expect("parses");
        assert!(match_blocks(&object, &table).is_ok());
    }

    #[test]
    fn thousands_of_equal_file_names_stay_cheap() {
        let names: Vec<String> = (0..4000).map(|i| format!("f{i}")).collect();
        let ours: Vec<_> = names.iter().flat_map(|n| [A, ("FUNC", "LOCAL", n.as_str())]).collect();
        let theirs: Vec<_> = ours.chunks(2).rev().flatten().copied().collect();
        let start = std::time::Instant::now();
        let found = rows(matched(&ours, &theirs));
        assert_eq!(found.first(), Some(&Some(2 * 3999)));
        assert_eq!(found.last(), Some(&Some(0)));
        assert!(start.elapsed().as_secs() < 10, "quadratic: {:?}", start.elapsed());
    }
}
