//! Pairs the symbols and sections of the two objects.
//!
//! Symbols first: a thing is what its name says, within its scope (the FILE block for local
//! symbols, see `diff::pair::files`). Where several share a normal name, evidence decides: the full
//! names of promoted symbols, contents, and who refers to them. What evidence leaves open is
//! paired in order, and refused by `diff::refuse::unsettled` when the patch depends on it. Sections follow their owners, or their names.
//! Static local variables are left to `diff::pair::statics`, special ones have no twin at all.
//!
//! Everything is one sort and one merge over (hash of scope and normal name) keys, so that
//! ten thousand variables called `__func__` cost no more than ten thousand different ones.

#![expect(
    clippy::indexing_slicing,
    reason = "partition points lie within the lists, which are not empty here"
)]
#![expect(clippy::arithmetic_side_effects, reason = "a task has a key at least")]

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use rayon::prelude::*;

use super::files::{Files, Scopes, pair_files};
use super::fingerprint::fingerprint;
use super::referrers::Referrers;
use super::twins::Twins;
use crate::elf::abi;
use crate::elf::ids::{Id, IdVec, Orig, Patched, SectionId, Side, SymbolId};
use crate::kernel::classes::is_plain;
use crate::kernel::knowledge::names;
use crate::kernel::layout::{Class, Layout};
use crate::running::kallsyms::is_promoted;

/// One entry of the sorted lists that are merged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<H, I> {
    hash: H,
    id: I,
}

/// All 64 bits of a hash, in halves: so a key takes 12 bytes.
type Full = [u32; 2];

/// Half of a hash. There is a key for each symbol, so size counts; that unlike names now and
/// then meet is seen in [`merge_names`].
type Short = u32;

impl<I> Key<Full, I> {
    fn new(hash: u64, id: I) -> Self {
        Key { hash: [(hash >> 32) as u32, hash as u32], id }
    }
}

/// Pairs everything that can be paired by name and evidence. Also returns which file of the one
/// object is which of the other.
pub fn correlate(orig: &Layout<'_, Orig>, patched: &Layout<'_, Patched>) -> (Twins, Files) {
    let mut twins = Twins::new(
        (orig.object.symbol_count(), patched.object.symbol_count()),
        (orig.object.section_count(), patched.object.section_count()),
    );
    let files = pair_files(orig, patched);
    let (o, p) = rayon::join(
        || symbol_keys(orig, Some(&files.orig), |l, id| !l.is_static_local(id)),
        || symbol_keys(patched, Some(&files.patched), |_, _| true),
    );
    let mut contests = Vec::new();
    let scopes = (Some(&files.orig), Some(&files.patched));
    merge_symbols((orig, patched), scopes, &mut twins, (o, p), &mut contests);
    settle((orig, patched), &mut twins, contests);
    doubt_guessed(patched, &files, &mut twins);
    // A static function made global, or back, is in another scope but still unique.
    let (o, p) = rayon::join(
        || {
            few_symbol_keys(orig, None, |l, id| {
                !l.is_static_local(id) && twins.patched_symbol(id).is_none()
            })
        },
        || few_symbol_keys(patched, None, |_, id| twins.orig_symbol(id).is_none()),
    );
    merge_names((orig, patched), (None, None), (&o, &p), |o, p| {
        pair_across((orig, patched), &files, &mut twins, o, p);
    });
    pair_sections(orig, patched, &mut twins);
    (twins, files)
}

/// What lies in a file that no evidence paired may be that of another file.
fn doubt_guessed(patched: &Layout<'_, Patched>, files: &Files, twins: &mut Twins) {
    if !files.has_guessed() {
        return;
    }
    let object = patched.object;
    let doubted = object.symbols().skip(1).filter(|&id| {
        object.symbol_bind(id) == abi::STB_LOCAL
            && matches!(object.symbol_kind(id), abi::STT_FUNC | abi::STT_OBJECT)
            && files.is_guessed(files.patched.of(id))
            && !patched.is_label(id)
            && !patched.is_special_static(id)
            && !patched.is_prefix(id)
    });
    twins.unsettled.extend(doubted);
}

/// Pairs what has no twin in its own file: it was made global, or static, or its file has no
/// twin. What is static on both sides, in files that others are the twins of, only has the
/// name in common.
fn pair_across(
    (orig, patched): Both<'_>,
    files: &Files,
    twins: &mut Twins,
    o: &[SymbolId<Orig>],
    p: &[SymbolId<Patched>],
) {
    let local = |id| orig.object.symbol_bind(id) == abi::STB_LOCAL;
    let local_patched = |id| patched.object.symbol_bind(id) == abi::STB_LOCAL;
    let scopes = |o, p| (files.orig.of(o), files.patched.of(p));
    let settled_elsewhere = |o, p| {
        let (from, to) = scopes(o, p);
        local(o)
            && local_patched(p)
            && from != to
            && !(Files::is_single(from) && Files::is_single(to))
    };
    if let (&[o], &[p]) = (o, p) {
        if !compatible(orig, patched, o, p) {
            return;
        }
        if !settled_elsewhere(o, p) || same_code(orig, patched, o, p) {
            twins.pair_symbols(o, p);
        } else if patched.object.symbol_kind(p) == abi::STT_OBJECT {
            // A variable that moved to another file, or a new one with an old name: the
            // state of the one must not become that of the other.
            twins.unsettled.insert(p);
        }
        return;
    }
    for &p in p {
        let scope = files.patched.of(p);
        let doubted = o
            .iter()
            .any(|&o| !local(o) || !local_patched(p) || files.rivals(files.orig.of(o), scope));
        if doubted && patched.object.section_of(p).is_some() {
            twins.unsettled.insert(p);
        }
    }
}

/// Whether two symbols are functions with the same code, which makes them interchangeable.
fn same_code(
    orig: &Layout<'_, Orig>,
    patched: &Layout<'_, Patched>,
    o: SymbolId<Orig>,
    p: SymbolId<Patched>,
) -> bool {
    orig.object.symbol_kind(o) == abi::STT_FUNC
        && orig.object.section_of(o).is_some()
        && fingerprint(orig, o) == fingerprint(patched, p)
}

/// Pairs the static locals that nothing refers to, such as parameters and strings of
/// tracepoints that a function defines: their section finds them, so their users say nothing.
pub fn correlate_rows(
    orig: &Layout<'_, Orig>,
    patched: &Layout<'_, Patched>,
    files: &Files,
    twins: &mut Twins,
) {
    fn is_row<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
        let section = layout.object.section_of(id);
        layout.is_static_local(id)
            && section.is_some_and(|s| !is_plain(layout.object.section_name(s)))
    }
    let scopes = (Some(&files.orig), Some(&files.patched));
    let (o, p) = (
        few_symbol_keys(orig, scopes.0, |l, id| {
            is_row(l, id) && twins.patched_symbol(id).is_none()
        }),
        few_symbol_keys(patched, scopes.1, |l, id| {
            is_row(l, id) && twins.orig_symbol(id).is_none()
        }),
    );
    let mut contests = Vec::new();
    merge_symbols((orig, patched), scopes, twins, (o, p), &mut contests);
    settle((orig, patched), twins, contests);
}

/// A hash of what a symbol is called; `None` for those that have no twin by name. With
/// `scopes`, local symbols of different files differ.
fn name_hash<S: Side>(
    layout: &Layout<'_, S>,
    scopes: Option<&Scopes<S>>,
    id: SymbolId<S>,
) -> Option<u64> {
    let object = layout.object;
    let kind = object.symbol_kind(id);
    if kind == abi::STT_SECTION
        || layout.is_label(id)
        || layout.is_mapping(id)
        || layout.is_special_static(id)
    {
        return None;
    }
    let name = object.symbol_name(id);
    if names::is_ubsan(name) {
        return None;
    }
    let mut state = FixedState::default().build_hasher();
    if let Some(scope) = scope(layout, scopes, id) {
        state.write_u64(scope);
    }
    state.write_u8(kind);
    names::hash_normal(name, &mut state);
    Some(state.finish())
}

/// What tells the file of a local symbol; the same for all others.
fn scope<S: Side>(
    layout: &Layout<'_, S>,
    scopes: Option<&Scopes<S>>,
    id: SymbolId<S>,
) -> Option<u64> {
    let local = layout.object.symbol_bind(id) == abi::STB_LOCAL;
    scopes.map(|scopes| if local { scopes.of(id) } else { u64::MAX })
}

/// The key of a symbol that has a twin by name.
fn key<S: Side>(
    layout: &Layout<'_, S>,
    scopes: Option<&Scopes<S>>,
    id: SymbolId<S>,
) -> Option<Key<Short, SymbolId<S>>> {
    Some(Key { hash: name_hash(layout, scopes, id)? as Short, id })
}

/// Sorted keys of the symbols that take part, which are most. With `scopes`, local symbols of
/// different files differ.
fn symbol_keys<S: Side>(
    layout: &Layout<'_, S>,
    scopes: Option<&Scopes<S>>,
    takes_part: impl Fn(&Layout<'_, S>, SymbolId<S>) -> bool + Sync,
) -> SymbolKeys<S> {
    // In place, with the null symbol for what takes no part.
    let none = Key { hash: 0, id: SymbolId::new(0) };
    let taken = |i| Some(SymbolId::new(i)).filter(|&id| takes_part(layout, id));
    let symbols = (1..layout.object.symbol_count()).into_par_iter().with_min_len(1024);
    let keys = symbols.map(|i| taken(i).and_then(|id| key(layout, scopes, id)).unwrap_or(none));
    let mut keys: Vec<_> = keys.collect();
    keys.retain(|key| key.id.index() != 0);
    keys.shrink_to_fit();
    keys.par_sort_unstable();
    keys
}

/// The same of few symbols.
fn few_symbol_keys<S: Side>(
    layout: &Layout<'_, S>,
    scopes: Option<&Scopes<S>>,
    takes_part: impl Fn(&Layout<'_, S>, SymbolId<S>) -> bool + Sync,
) -> SymbolKeys<S> {
    let symbols = (1..layout.object.symbol_count()).into_par_iter().with_min_len(1024);
    let taken = symbols.map(SymbolId::new).filter(|&id| takes_part(layout, id));
    let mut keys: Vec<_> = taken.filter_map(|id| key(layout, scopes, id)).collect();
    keys.par_sort_unstable();
    keys
}

/// Calls `found` for each hash that both sorted lists have, with the entries of both.
fn merge<'k, H: Copy + Ord, O, P>(
    mut orig: &'k [Key<H, O>],
    mut patched: &'k [Key<H, P>],
    mut found: impl FnMut(&'k [Key<H, O>], &'k [Key<H, P>]),
) {
    while let (Some(o), Some(p)) = (orig.first(), patched.first()) {
        match o.hash.cmp(&p.hash) {
            std::cmp::Ordering::Less => orig = &orig[1..],
            std::cmp::Ordering::Greater => patched = &patched[1..],
            std::cmp::Ordering::Equal => {
                let (o, p) = (run(orig, o.hash), run(patched, p.hash));
                found(&orig[..o], &patched[..p]);
                (orig, patched) = (&orig[o..], &patched[p..]);
            }
        }
    }
}

/// Sorted keys of symbols, and some of them.
type SymbolKeys<S> = Vec<Key<Short, SymbolId<S>>>;
type Keys<'k, S> = &'k [Key<Short, SymbolId<S>>];

/// The files of both objects' local symbols, where these matter.
type BothScopes<'a> = (Option<&'a Scopes<Orig>>, Option<&'a Scopes<Patched>>);

/// Calls `found` for the symbols of each name, in each scope, that both lists have.
fn merge_names(
    (orig, patched): Both<'_>,
    scopes: BothScopes<'_>,
    (o, p): (Keys<'_, Orig>, Keys<'_, Patched>),
    mut found: impl FnMut(&[SymbolId<Orig>], &[SymbolId<Patched>]),
) {
    let hash = |id| name_hash(orig, scopes.0, id).unwrap_or(0);
    let hash_patched = |id| name_hash(patched, scopes.1, id).unwrap_or(0);
    merge(o, p, |o, p| {
        if let ([o], [p]) = (o, p) {
            // Callers compare the names of those that are single anyway.
            if scope(orig, scopes.0, o.id) == scope(patched, scopes.1, p.id) {
                found(&[o.id], &[p.id]);
            }
            return;
        }
        let mut o: Vec<_> = o.iter().map(|k| Key::new(hash(k.id), k.id)).collect();
        let mut p: Vec<_> = p.iter().map(|k| Key::new(hash_patched(k.id), k.id)).collect();
        o.sort_unstable();
        p.sort_unstable();
        merge(&o, &p, |o, p| found(&ids(o), &ids(p)));
    });
}

fn ids<H, I: Copy>(keys: &[Key<H, I>]) -> Vec<I> {
    keys.iter().map(|key| key.id).collect()
}

/// Keys that are not worth a task of their own.
const KEYS_PER_TASK: usize = 4096;

/// Pairs the symbols of both sorted lists, as [`pair_symbols`] does, in parallel where a name
/// is there once on each side.
fn merge_symbols(
    (orig, patched): Both<'_>,
    scopes: BothScopes<'_>,
    twins: &mut Twins,
    (o, p): (SymbolKeys<Orig>, SymbolKeys<Patched>),
    contests: &mut Vec<Contest>,
) {
    // No hash is in two tasks.
    let mut tasks = Vec::new();
    let (mut o_rest, mut p_rest) = (&*o, &*p);
    while !o_rest.is_empty() {
        let last = o_rest[o_rest.len().min(KEYS_PER_TASK) - 1].hash;
        let (o, p) = (
            o_rest.split_at(o_rest.partition_point(|k| k.hash <= last)),
            p_rest.split_at(p_rest.partition_point(|k| k.hash <= last)),
        );
        tasks.push((o.0, p.0));
        (o_rest, p_rest) = (o.1, p.1);
    }
    let found: Vec<(Vec<_>, Vec<Contest>)> = tasks
        .into_par_iter()
        .map(|both| {
            let (mut single, mut several) = (Vec::new(), Vec::new());
            merge_names((orig, patched), scopes, both, |o, p| match (o, p) {
                (&[o], &[p]) => single.push((p, o)),
                _ => several.push((o.to_vec(), p.to_vec())),
            });
            (single, several)
        })
        .collect();
    drop((o, p));
    let mut singles = Vec::with_capacity(found.iter().map(|(single, _)| single.len()).sum());
    let mut contested = Vec::new();
    for (single, several) in found {
        singles.extend(single);
        contested.extend(several);
    }
    // Names lie in the order of their symbols, and those of one hash after another anywhere.
    singles.par_sort_unstable();
    let fits = |&(p, o): &(_, _)| compatible(orig, patched, o, p);
    let fits: Vec<bool> = singles.par_iter().with_min_len(1024).map(fits).collect();
    for ((p, o), _) in singles.into_iter().zip(fits).filter(|(_, fits)| *fits) {
        twins.pair_symbols(o, p);
    }
    for contest in contested {
        pair_symbols((orig, patched), twins, contest, contests);
    }
}

fn run<H: PartialEq, I>(keys: &[Key<H, I>], hash: H) -> usize {
    keys.iter().take_while(|k| k.hash == hash).count()
}

/// Whether two symbols with equal keys may be one: the hash is no proof.
fn compatible(
    orig: &Layout<'_, Orig>,
    patched: &Layout<'_, Patched>,
    o: SymbolId<Orig>,
    p: SymbolId<Patched>,
) -> bool {
    orig.object.symbol_kind(o) == patched.object.symbol_kind(p)
        && names::same(orig.object.symbol_name(o), patched.object.symbol_name(p))
}

/// Both objects.
type Both<'a> = (&'a Layout<'a, Orig>, &'a Layout<'a, Patched>);

/// Symbols of one scope and normal name.
type Contest = (Vec<SymbolId<Orig>>, Vec<SymbolId<Patched>>);

/// Pairs several symbols of one name, as far as they are alike in all or one of a kind. What is
/// left becomes a contest.
fn pair_symbols(
    (orig, patched): Both<'_>,
    twins: &mut Twins,
    mut contest: Contest,
    contests: &mut Vec<Contest>,
) {
    let hasher = FixedState::default();
    let name = |name: &str, content: u64| Some(hasher.hash_one((name, content)));
    let both = (
        |s| name(orig.object.symbol_name(s), fingerprint(orig, s)),
        |s| name(patched.object.symbol_name(s), fingerprint(patched, s)),
    );
    round((orig, patched), twins, &mut contest, both, true);
    // The hash in a promoted name is that of its whole module: no other has it.
    let promoted = |n: &str| is_promoted(n).then(|| hasher.hash_one(n));
    let whole =
        (|s| promoted(orig.object.symbol_name(s)), |s| promoted(patched.object.symbol_name(s)));
    round((orig, patched), twins, &mut contest, whole, false);
    if !contest.0.is_empty() && !contest.1.is_empty() {
        contests.push(contest);
    }
}

/// Pairs by what refers to the contestants, and by their content.
fn settle((orig, patched): Both<'_>, twins: &mut Twins, contests: Vec<Contest>) {
    if contests.is_empty() {
        return;
    }
    let wanted_orig = contests.iter().flat_map(|c| c.0.iter().copied()).collect();
    let wanted_patched = contests.iter().flat_map(|c| c.1.iter().copied()).collect();
    let (by_orig, by_patched) = rayon::join(
        || Referrers::of_all(orig, &wanted_orig),
        || Referrers::of_all(patched, &wanted_patched),
    );
    let hasher = FixedState::default();
    for mut contest in contests {
        let is_code = contest.0.iter().all(|&s| {
            orig.object.symbol_kind(s) == abi::STT_FUNC && orig.object.section_of(s).is_some()
        });
        let content = (|s| Some(fingerprint(orig, s)), |s| Some(fingerprint(patched, s)));
        let users = (|s| by_orig.print(s), |s| by_patched.print(s));
        let all = (
            |s| Some(hasher.hash_one((by_orig.print(s)?, fingerprint(orig, s)))),
            |s| Some(hasher.hash_one((by_patched.print(s)?, fingerprint(patched, s)))),
        );
        round((orig, patched), twins, &mut contest, all, is_code);
        // Functions are what they do: equal ones are interchangeable, whoever calls them.
        // Variables are who uses them: most are zero.
        if is_code {
            round((orig, patched), twins, &mut contest, content, true);
            round((orig, patched), twins, &mut contest, users, false);
        } else {
            round((orig, patched), twins, &mut contest, users, false);
            round((orig, patched), twins, &mut contest, content, false);
        }
        guess((orig, patched), twins, contest);
    }
}

/// Pairs what no evidence told apart by full name and order, and remembers that.
fn guess((orig, patched): Both<'_>, twins: &mut Twins, mut contest: Contest) {
    if contest.0.is_empty() || contest.1.is_empty() {
        return;
    }
    if contest.0.len() > 1 || contest.1.len() > 1 {
        twins.unsettled.extend(contest.1.iter().copied());
    }
    let hasher = FixedState::default();
    let name = (
        |s| Some(hasher.hash_one(orig.object.symbol_name(s))),
        |s| Some(hasher.hash_one(patched.object.symbol_name(s))),
    );
    round((orig, patched), twins, &mut contest, name, true);
    for (&a, &b) in contest.0.iter().zip(&contest.1) {
        if compatible(orig, patched, a, b) {
            twins.pair_symbols(a, b);
        }
    }
}

/// Pairs contestants with equal evidence: one on each side, or also `several` where there
/// are as many on both sides. Those without evidence are passed over.
fn round(
    (orig, patched): Both<'_>,
    twins: &mut Twins,
    contest: &mut Contest,
    evidence: (impl Fn(SymbolId<Orig>) -> Option<u64>, impl Fn(SymbolId<Patched>) -> Option<u64>),
    several: bool,
) {
    if contest.0.is_empty() || contest.1.is_empty() {
        return;
    }
    let key = |&id: &SymbolId<Orig>| Some(Key::new(evidence.0(id)?, id));
    let mut a: Vec<_> = contest.0.iter().filter_map(key).collect();
    let key = |&id: &SymbolId<Patched>| Some(Key::new(evidence.1(id)?, id));
    let mut b: Vec<_> = contest.1.iter().filter_map(key).collect();
    a.sort_unstable();
    b.sort_unstable();
    merge(&a, &b, |a, b| {
        if a.len() == b.len() && (several || a.len() == 1) {
            for (a, b) in a.iter().zip(b) {
                if compatible(orig, patched, a.id, b.id) {
                    twins.pair_symbols(a.id, b.id);
                }
            }
        }
    });
    contest.0.retain(|&id| twins.patched_symbol(id).is_none());
    contest.1.retain(|&id| twins.orig_symbol(id).is_none());
}

fn pair_sections(orig: &Layout<'_, Orig>, patched: &Layout<'_, Patched>, twins: &mut Twins) {
    // No two sections have one owner, so no pair is in another's way.
    let pair = |p: SectionId<Patched>| {
        let twin = twins.orig_symbol(patched.owner(p)?)?;
        let o = orig.object.section_of(twin).filter(|&o| orig.owner(o) == Some(twin))?;
        names::same(orig.object.section_name(o), patched.object.section_name(p)).then_some(o)
    };
    let none = SectionId::new(0);
    let found = IdVec::from_fn(patched.object.section_count(), |p| pair(p).unwrap_or(none));
    for p in patched.object.sections().filter(|&p| found[p] != none) {
        twins.pair_sections(found[p], p);
    }
    pair_by_members(orig, patched, twins);
    let (o, p) = rayon::join(
        || section_keys(orig, |id| twins.patched_section(id).is_none()),
        || section_keys(patched, |id| twins.orig_section(id).is_none()),
    );
    merge(&o, &p, |o, p| {
        for (o, p) in o.iter().zip(p) {
            let same_name =
                names::same(orig.object.section_name(o.id), patched.object.section_name(p.id));
            if same_name && same_group(orig, patched, o.id, p.id) {
                twins.pair_sections(o.id, p.id);
            }
        }
    });
}

/// Of several sections of one name, those that hold the same variable or function belong
/// together.
fn pair_by_members(orig: &Layout<'_, Orig>, patched: &Layout<'_, Patched>, twins: &mut Twins) {
    for p in patched.object.sections() {
        if patched.owner(p).is_some() || twins.orig_section(p).is_some() {
            continue;
        }
        let class = patched.class(p);
        if !matches!(class, Class::Data | Class::Text | Class::Strings) {
            continue;
        }
        let home = patched.object.members(p).iter().find_map(|&member| {
            let o = orig.object.section_of(twins.orig_symbol(member)?)?;
            (orig.owner(o).is_none() && twins.patched_section(o).is_none()).then_some(o)
        });
        if let Some(o) = home
            && names::same(orig.object.section_name(o), patched.object.section_name(p))
        {
            twins.pair_sections(o, p);
        }
    }
}

fn section_keys<S: Side>(
    layout: &Layout<'_, S>,
    takes_part: impl Fn(SectionId<S>) -> bool + Sync,
) -> Vec<Key<Full, SectionId<S>>> {
    let object = layout.object;
    let hasher = FixedState::default();
    let mut keys = Vec::new();
    for id in object.sections() {
        if matches!(layout.class(id), Class::Meta | Class::Relocations) || !takes_part(id) {
            continue;
        }
        let name = object.section_name(id);
        // A section that belongs to one variable has a twin only if the variable has.
        let follows_owner = layout
            .owner(id)
            .is_some_and(|owner| layout.is_special_static(owner) || layout.is_static_local(owner));
        if names::is_numbered_section(name) || follows_owner {
            continue;
        }
        let mut state = hasher.build_hasher();
        names::hash_normal(name, &mut state);
        keys.push(Key::new(state.finish(), id));
    }
    keys.par_sort_unstable();
    keys
}

/// Section groups are the same when flags and members are: the members by name, since
/// their numbers change with every added section.
fn same_group(
    orig: &Layout<'_, Orig>,
    patched: &Layout<'_, Patched>,
    o: SectionId<Orig>,
    p: SectionId<Patched>,
) -> bool {
    if !matches!(orig.class(o), Class::Group) {
        return true;
    }
    group_words(orig, o) == group_words(patched, p)
}

/// The flag word of a group and the names of its members.
fn group_words<'a, S: Side>(
    layout: &Layout<'a, S>,
    id: SectionId<S>,
) -> (Option<u32>, Vec<Option<&'a str>>) {
    let object = layout.object;
    let data = object.contents(id);
    let word = |at: usize| crate::elf::object::read_u32(data, at, object.endian());
    let members = (4..data.len()).step_by(4).map(|at| {
        let index = word(at)? as usize;
        (index < object.section_count()).then(|| object.section_name(SectionId::new(index)))
    });
    (word(0), members.collect())
}
