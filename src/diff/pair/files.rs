//! Which FILE block of one object is which of the other, when objects were linked together.
//!
//! A FILE symbol has a base name only (`core.c` many times in a kernel), and counting them
//! goes wrong with the first file that is added. Blocks of one name are told apart by what
//! they define, and by which global functions refer to that. What stays open is not paired,
//! but remembered: see [`Files::rivals`].

#![expect(
    clippy::indexing_slicing,
    reason = "blocks and files have the numbers of their places in the lists"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};
use indexmap::{IndexMap, IndexSet};

use super::fingerprint::fingerprint;
use super::referrers::Referrers;
use crate::elf::abi;
use crate::elf::ids::{Id, Orig, Patched, Side, SymbolId};
use crate::elf::object::Home;
use crate::kernel::knowledge::names;
use crate::kernel::layout::Layout;

/// The FILE blocks of one object: where each begins, and the scope its local symbols have.
/// Twins have equal scopes.
pub(in crate::diff) struct Scopes<S>(Vec<(SymbolId<S>, u64)>);

impl<S: Side> Scopes<S> {
    /// The scope of a local symbol; 0 before the first FILE symbol.
    pub(in crate::diff) fn of(&self, id: SymbolId<S>) -> u64 {
        self.0[..self.0.partition_point(|f| f.0 <= id)].last().map_or(0, |f| f.1)
    }
}

/// The blocks of both objects.
pub struct Files {
    pub(in crate::diff) orig: Scopes<Orig>,
    pub(in crate::diff) patched: Scopes<Patched>,
    /// The number of the FILE name of each scope without twin.
    open: IndexMap<u64, u64, RandomState>,
    /// Scopes that only their order, or the content of what they hold, paired.
    guessed: IndexSet<u64, RandomState>,
}

impl Files {
    /// Whether any scope was paired without evidence.
    pub(super) fn has_guessed(&self) -> bool {
        !self.guessed.is_empty()
    }

    /// Whether a scope was paired without evidence.
    pub(super) fn is_guessed(&self, scope: u64) -> bool {
        self.guessed.contains(&scope)
    }

    /// Whether two scopes without twins may belong together.
    pub(super) fn rivals(&self, orig: u64, patched: u64) -> bool {
        self.open.get(&orig).is_some_and(|name| self.open.get(&patched) == Some(name))
    }

    /// Whether a scope has no twin.
    pub(in crate::diff) fn is_single(scope: u64) -> bool {
        scope & SINGLE != 0
    }
}

/// Bits of scopes without twin, by side.
const SINGLE: u64 = 3 << 62;
const OF_SIDE: [u64; 2] = [1 << 62, 2 << 62];

/// One block: what it is known by.
struct Block<S> {
    file: SymbolId<S>,
    end: SymbolId<S>,
    /// Hashes of the names of its local functions and variables, and, with bit [`REFERRER`],
    /// of the names of global ones that refer to them.
    features: IndexSet<u64, RandomState>,
}

/// Marks a feature that no other file shares: only a file's own code refers to its locals.
const REFERRER: u64 = 1 << 63;

impl<S: Side> Block<S> {
    /// [`Block::print`], and whether there is anything to mistake.
    fn known(&self) -> (u64, bool) {
        (self.print(), !self.features.is_empty())
    }

    /// Equal for blocks with equal features.
    fn print(&self) -> u64 {
        let sum = self.features.iter().fold(0u64, |sum, f| sum.wrapping_add(*f));
        sum ^ (self.features.len() as u64).rotate_left(32)
    }
}

fn blocks<S: Side>(layout: &Layout<'_, S>) -> Vec<Block<S>> {
    let object = layout.object;
    let files = layout.files();
    let end = |i: usize| files.get(i + 1).map_or(object.symbol_count(), |f| f.index());
    let block =
        |(i, &file)| Block { file, end: SymbolId::new(end(i)), features: IndexSet::default() };
    files.iter().enumerate().map(block).collect()
}

fn members<S: Side>(layout: &Layout<'_, S>, block: &Block<S>) -> impl Iterator<Item = SymbolId<S>> {
    let object = layout.object;
    let ids = (block.file.index() + 1..block.end.index()).map(SymbolId::<S>::new);
    ids.filter(move |&id| {
        matches!(object.symbol_kind(id), abi::STT_FUNC | abi::STT_OBJECT)
            && object.symbol_bind(id) == abi::STB_LOCAL
            && matches!(object.home(id), Home::Section(_))
            && !layout.is_label(id)
            && !layout.is_special_static(id)
            && !layout.is_prefix(id)
    })
}

/// Gives blocks the names that they define as features.
fn describe<S: Side>(layout: &Layout<'_, S>, blocks: &mut [Block<S>], contested: &[usize]) {
    let hasher = FixedState::default();
    for &i in contested {
        let name = |id| {
            let mut state = hasher.build_hasher();
            names::hash_normal(layout.object.symbol_name(id), &mut state);
            state.finish() & !REFERRER
        };
        blocks[i].features = members(layout, &blocks[i]).map(name).collect();
    }
}

/// Adds who refers to what they define.
fn describe_users<S: Side>(layout: &Layout<'_, S>, blocks: &mut [Block<S>], contested: &[usize]) {
    let mut wanted = IndexSet::default();
    for &i in contested {
        wanted.extend(members(layout, &blocks[i]));
    }
    let referrers = Referrers::of_globals(layout, &wanted);
    for &i in contested {
        let users: Vec<u64> = members(layout, &blocks[i])
            .flat_map(|id| referrers.of(id).iter().map(|&by| by | REFERRER))
            .collect();
        blocks[i].features.extend(users);
    }
}

/// Whether the features tell all blocks of one FILE name apart, and are those of as many
/// blocks of the other object: then nothing was added or removed.
fn told_apart(orig: &[Block<Orig>], patched: &[Block<Patched>], group: &Group) -> bool {
    let sorted = |mut prints: Vec<(u64, bool)>| {
        prints.sort_unstable();
        prints
    };
    let a = sorted(group.0.iter().map(|&i| orig[i].known()).collect());
    let b = sorted(group.1.iter().map(|&i| patched[i].known()).collect());
    a == b && a.windows(2).all(|pair| pair[0] != pair[1] || !pair[0].1)
}

/// The blocks of one FILE name in both objects.
type Group = (Vec<usize>, Vec<usize>);

/// Pairs the blocks of two objects.
pub(super) fn pair_files(orig: &Layout<'_, Orig>, patched: &Layout<'_, Patched>) -> Files {
    let (mut o, mut p) = rayon::join(|| blocks(orig), || blocks(patched));
    let mut groups: IndexMap<&str, Group, RandomState> = IndexMap::default();
    for (i, block) in o.iter().enumerate() {
        groups.entry(orig.object.symbol_name(block.file)).or_default().0.push(i);
    }
    for (i, block) in p.iter().enumerate() {
        groups.entry(patched.object.symbol_name(block.file)).or_default().1.push(i);
    }
    let several = |group: &&Group| group.0.len() + group.1.len() > 2;
    let all = |groups: &mut dyn Iterator<Item = &Group>| -> Group {
        groups.fold(Group::default(), |mut all, group| {
            all.0.extend(&group.0);
            all.1.extend(&group.1);
            all
        })
    };
    let contested = all(&mut groups.values().filter(several));
    rayon::join(
        || describe(orig, &mut o, &contested.0),
        || describe(patched, &mut p, &contested.1),
    );
    let open = |group: &&Group| several(group) && !told_apart(&o, &p, group);
    let open = all(&mut groups.values().filter(open));
    rayon::join(
        || describe_users(orig, &mut o, &open.0),
        || describe_users(patched, &mut p, &open.1),
    );
    let mut twin_of_orig: Vec<Option<usize>> = vec![None; o.len()];
    let mut guessed = Vec::new();
    for (a, b) in groups.values() {
        match (a.as_slice(), b.as_slice()) {
            (&[a], &[b]) => twin_of_orig[a] = Some(b),
            _ => {
                let alike = pair_group((&o, a), (&p, b), &mut twin_of_orig);
                for (a, b) in alike {
                    let content_of =
                        (|i: usize| content(orig, &o[i]), |i: usize| content(patched, &p[i]));
                    guessed.extend(pair_alike((&a, &b), content_of, &mut twin_of_orig));
                }
            }
        }
    }
    let guessed = guessed.into_iter().map(|i| i as u64 + 1).collect();
    Files { guessed, ..scopes(&o, &p, &groups, &twin_of_orig) }
}

/// A hash of all that a block defines.
fn content<S: Side>(layout: &Layout<'_, S>, block: &Block<S>) -> u64 {
    members(layout, block).fold(0, |sum, id| fingerprint(layout, id).wrapping_add(sum))
}

/// Pairs blocks with the same features, as many on both sides: those with the same content,
/// then in their order. Returns the originals of those that only their order paired.
fn pair_alike(
    (orig, patched): (&[usize], &[usize]),
    content: (impl Fn(usize) -> u64, impl Fn(usize) -> u64),
    twin_of_orig: &mut [Option<usize>],
) -> Vec<usize> {
    let mut by_content: IndexMap<u64, VecDeque<usize>, RandomState> = IndexMap::default();
    for &i in patched {
        by_content.entry(content.1(i)).or_default().push_back(i);
    }
    let mut left = Vec::new();
    for &i in orig {
        match by_content.get_mut(&content.0(i)).and_then(VecDeque::pop_front) {
            Some(twin) => twin_of_orig[i] = Some(twin),
            None => left.push(i),
        }
    }
    let mut rest: Vec<usize> = by_content.into_values().flatten().collect();
    rest.sort_unstable();
    for (&i, twin) in left.iter().zip(rest) {
        twin_of_orig[i] = Some(twin);
    }
    // The last one left is what it is because all others are something else.
    if left.len() > 1 { left } else { Vec::new() }
}

/// Numbers the pairs, and gives each block without twin a number of its own.
fn scopes(
    o: &[Block<Orig>],
    p: &[Block<Patched>],
    groups: &IndexMap<&str, Group, RandomState>,
    twin_of_orig: &[Option<usize>],
) -> Files {
    let single = |side: usize, i: usize| OF_SIDE[side] | (i as u64 + 1);
    let mut of_patched: Vec<u64> = (0..p.len()).map(|i| single(1, i)).collect();
    let mut of_orig = Vec::with_capacity(o.len());
    for (i, twin) in twin_of_orig.iter().enumerate() {
        match twin {
            Some(twin) => {
                of_patched[*twin] = i as u64 + 1;
                of_orig.push(i as u64 + 1);
            }
            None => of_orig.push(single(0, i)),
        }
    }
    let mut open = IndexMap::default();
    for (name, (a, b)) in (0u64..).zip(groups.values()) {
        let scopes = a.iter().map(|&i| of_orig[i]).chain(b.iter().map(|&i| of_patched[i]));
        open.extend(scopes.filter(|&s| Files::is_single(s)).map(|s| (s, name)));
    }
    Files {
        orig: Scopes(o.iter().map(|b| b.file).zip(of_orig).collect()),
        patched: Scopes(p.iter().map(|b| b.file).zip(of_patched).collect()),
        open,
        guessed: IndexSet::default(),
    }
}

/// How often the closest blocks are looked for.
const ROUNDS: usize = 16;

/// Pairs blocks of one FILE name: first those whose features are equal and like no other's,
/// then those that have most features in common that no other block has. Returns groups of
/// equal size that have the same features.
fn pair_group(
    (orig, o): (&[Block<Orig>], &[usize]),
    (patched, p): (&[Block<Patched>], &[usize]),
    twin_of_orig: &mut [Option<usize>],
) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut alike = Vec::new();
    let mut prints: IndexMap<u64, (Vec<usize>, Vec<usize>), RandomState> = IndexMap::default();
    for &i in o {
        prints.entry(orig[i].print()).or_default().0.push(i);
    }
    for &i in p {
        prints.entry(patched[i].print()).or_default().1.push(i);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (a, b) in prints.values() {
        match (a.as_slice(), b.as_slice()) {
            (&[a], &[b]) => twin_of_orig[a] = Some(b),
            // Nothing local to mistake: any pairing will do.
            (a, b)
                if a.iter().all(|&i| orig[i].features.is_empty())
                    && b.iter().all(|&i| patched[i].features.is_empty()) =>
            {
                a.iter().zip(b).for_each(|(&a, &b)| twin_of_orig[a] = Some(b));
            }
            (a, b) if a.len() == b.len() => alike.push((a.to_vec(), b.to_vec())),
            (a, b) => {
                left.extend(a);
                right.extend(b);
            }
        }
    }
    left.sort_unstable();
    right.sort_unstable();
    // Each round may make features rare that were not.
    for _ in 0..ROUNDS {
        let found = closest((orig, &left), (patched, &right));
        if found.is_empty() {
            break;
        }
        for &(a, b) in &found {
            twin_of_orig[a] = Some(b);
        }
        let (a, b): (IndexSet<_, RandomState>, IndexSet<_, RandomState>) =
            found.into_iter().unzip();
        left.retain(|i| !a.contains(i));
        right.retain(|i| !b.contains(i));
    }
    alike
}

/// Pairs of blocks each of which shares most rare features with the other, and with no third
/// one as many.
fn closest(
    (orig, left): (&[Block<Orig>], &[usize]),
    (patched, right): (&[Block<Patched>], &[usize]),
) -> Vec<(usize, usize)> {
    /// How often a feature is there on each side, and in which blocks.
    type Seen = (u32, u32, usize, usize);
    let mut seen: IndexMap<u64, Seen, RandomState> = IndexMap::default();
    for &i in left {
        for &feature in &orig[i].features {
            let entry = seen.entry(feature).or_default();
            (entry.0, entry.2) = (entry.0 + 1, i);
        }
    }
    for &i in right {
        for &feature in &patched[i].features {
            let entry = seen.entry(feature).or_default();
            (entry.1, entry.3) = (entry.1 + 1, i);
        }
    }
    let mut shared: IndexMap<(usize, usize), u32, RandomState> = IndexMap::default();
    for (&feature, &(of_orig, of_patched, a, b)) in &seen {
        if (of_orig, of_patched) == (1, 1) {
            *shared.entry((a, b)).or_default() += 1 + (feature >> 63) as u32;
        }
    }
    /// The highest count, and whether only one has it.
    type Best = IndexMap<usize, (u32, bool), RandomState>;
    fn note(best: &mut Best, key: usize, count: u32) {
        let entry = best.entry(key).or_insert((0, true));
        *entry = match count.cmp(&entry.0) {
            std::cmp::Ordering::Greater => (count, true),
            std::cmp::Ordering::Equal => (count, false),
            std::cmp::Ordering::Less => *entry,
        };
    }
    let (mut of_orig, mut of_patched) = (Best::default(), Best::default());
    for (&(a, b), &count) in &shared {
        note(&mut of_orig, a, count);
        note(&mut of_patched, b, count);
    }
    let agree = |&(&(a, b), &count): &(&(usize, usize), &u32)| {
        of_orig.get(&a) == Some(&(count, true)) && of_patched.get(&b) == Some(&(count, true))
    };
    shared.iter().filter(agree).map(|(&pair, _)| pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: u64 = REFERRER;

    fn block<S: Side>(at: usize, features: &[u64]) -> Block<S> {
        Block {
            file: SymbolId::new(10 * at + 1),
            end: SymbolId::new(10 * at + 11),
            features: features.iter().copied().collect(),
        }
    }

    fn paired(orig: &[&[u64]], patched: &[&[u64]]) -> Vec<Option<usize>> {
        let o: Vec<_> = orig.iter().enumerate().map(|(i, f)| block(i, f)).collect();
        let p: Vec<_> = patched.iter().enumerate().map(|(i, f)| block(i, f)).collect();
        let mut twins = vec![None; o.len()];
        let all: (Vec<_>, Vec<_>) = ((0..o.len()).collect(), (0..p.len()).collect());
        pair_group((&o, &all.0), (&p, &all.1), &mut twins);
        twins
    }

    #[test]
    fn blocks_are_known_by_what_they_define_wherever_they_are() {
        // One is added in front, one removed, two are the other way round.
        let found = paired(&[&[1, 2], &[3, 4], &[5, 6]], &[&[8, 9], &[5, 6], &[1, 2]]);
        assert_eq!(found, [Some(2), None, Some(1)]);
        // A changed one is the one with which it shares what no other has.
        let found = paired(&[&[1, 2, 7], &[1, 3, 8]], &[&[1, 3, 8, 9], &[1, 7]]);
        assert_eq!(found, [Some(1), Some(0)]);
    }

    #[test]
    fn what_a_block_gains_does_not_make_it_another() {
        // 1: a name in both files; 2 and 3: by whom it is used; 4 moves from one to the other.
        let found = paired(&[&[1, R | 2], &[1, R | 3, 4]], &[&[1, R | 2, 4], &[1, R | 3]]);
        assert_eq!(found[0], Some(0));
        assert_eq!(found[1], Some(1));
    }

    #[test]
    fn blocks_with_equal_names_are_paired_by_content_or_else_doubted() {
        let pair = |orig: &[u64], patched: &[u64]| {
            let mut twins = vec![None; orig.len()];
            let all: Vec<usize> = (0..orig.len()).collect();
            let content = (|i: usize| orig[i], |i: usize| patched[i]);
            let doubted = pair_alike((&all, &all), content, &mut twins);
            (twins, doubted)
        };
        assert_eq!(pair(&[7, 8], &[8, 7]), (vec![Some(1), Some(0)], vec![]));
        assert_eq!(pair(&[7, 8, 9], &[9, 5, 8]).0, [Some(1), Some(2), Some(0)]);
        assert_eq!(pair(&[7, 8], &[5, 6]), (vec![Some(0), Some(1)], vec![0, 1]));
    }

    #[test]
    fn equal_blocks_stay_unpaired() {
        assert_eq!(paired(&[&[1], &[1]], &[&[1]]), [None, None]);
        assert_eq!(paired(&[&[], &[]], &[&[]]), [Some(0), None]);
    }
}
