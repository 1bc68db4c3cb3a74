//! Pairs the objects of one source file name: the closest first.
//!
//! Candidates are found by the names that they define, through an index, so that thousands of
//! objects of one name cost what they define.

#![expect(
    clippy::indexing_slicing,
    reason = "units and members have the numbers of their places in the lists"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "counts of what is in memory; one of the two defines something"
)]

use std::hash::BuildHasher;

use foldhash::fast::{FixedState, RandomState};
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use super::identity::{ALIKE, Identity, Pairing, RENAMED, ambiguous, share};
use crate::diag::Result;

/// Whether numbers in the names of files stand for other objects than before: one that has
/// the same path in both builds was made of another source file.
pub(in crate::diff) fn is_shifted(orig: &[Identity], patched: &[Identity]) -> bool {
    let by_path: IndexMap<&str, &Identity, RandomState> =
        orig.iter().map(|o| (o.path.as_str(), o)).collect();
    patched
        .iter()
        .filter(|p| p.is_numbered())
        .any(|p| by_path.get(p.path.as_str()).is_some_and(|o| o.files != p.files))
}

/// How close two objects are, the most telling first: common definitions; an equal path that
/// says more than a number; what else tells, if numbers have shifted the contents, else the
/// number.
type Closeness = (usize, bool, usize);

/// A name that more objects have says little about which is which, and looking at all of them
/// would cost much.
const COMMON: usize = 64;

/// The objects of one source file name in both builds.
pub(in crate::diff) struct Group<'i> {
    pub(in crate::diff) orig: &'i [Identity],
    pub(in crate::diff) patched: &'i [Identity],
    /// Objects of one number are of different files in the two builds.
    pub(in crate::diff) shifted: bool,
    /// What is not paired yet.
    pub(in crate::diff) left: [IndexSet<usize, RandomState>; 2],
}

impl Group<'_> {
    fn closeness(&self, o: usize, p: usize, likeness: usize) -> Closeness {
        let (o, p) = (&self.orig[o], &self.patched[p]);
        let same_path = o.path == p.path;
        let rest = match (self.shifted, same_path) {
            (true, _) => share(&o.contents, &p.contents),
            (false, same) => usize::from(same),
        };
        (likeness, same_path && !p.is_numbered(), rest)
    }

    fn pair(&mut self, o: usize, p: usize, pairing: &mut Pairing) {
        self.left[0].swap_remove(&o);
        self.left[1].swap_remove(&p);
        pairing.pairs.push((o, p));
    }

    /// Equal sets of definitions on one object each settle most at once.
    fn equal_sets(&mut self, pairing: &mut Pairing) {
        let print = |of: &Identity| {
            of.defines.iter().fold(of.defines.len() as u64, |sum, d| sum.wrapping_add(*d))
        };
        let mut prints: IndexMap<u64, [Vec<usize>; 2], RandomState> = IndexMap::default();
        for (side, all) in [self.orig, self.patched].into_iter().enumerate() {
            for &i in &self.left[side] {
                prints.entry(print(&all[i])).or_default()[side].push(i);
            }
        }
        for sides in prints.values() {
            if let [[o], [p]] = sides.each_ref().map(Vec::as_slice) {
                self.pair(*o, *p, pairing);
            }
        }
    }

    /// Pairs that are alike enough, with how close they are.
    fn candidates(&self) -> Vec<(Closeness, usize, usize)> {
        let mut homes: IndexMap<u64, Vec<usize>, RandomState> = IndexMap::default();
        let mut by_path: IndexMap<&str, usize, RandomState> = IndexMap::default();
        // Objects that define nothing are alike.
        const NOTHING: u64 = 0;
        let names = |of: &Identity| -> Vec<u64> {
            match of.defines.is_empty() {
                true => vec![NOTHING],
                false => of.defines.iter().copied().collect(),
            }
        };
        for &o in &self.left[0] {
            by_path.insert(&self.orig[o].path, o);
            for name in names(&self.orig[o]) {
                homes.entry(name).or_default().push(o);
            }
        }
        let candidates = |&p: &usize| {
            let patched = &self.patched[p];
            let mut common: IndexMap<usize, usize, RandomState> = IndexMap::default();
            let mut all = true;
            for home in names(patched).iter().filter_map(|name| homes.get(name)) {
                if home.len() > COMMON {
                    all = false;
                    continue;
                }
                home.iter().for_each(|&o| *common.entry(o).or_default() += 1);
            }
            let same_path = by_path.get(patched.path.as_str()).copied();
            if let Some(o) = same_path {
                common.entry(o).or_default();
            }
            let close = common.into_iter().filter_map(|(o, count)| {
                let orig = &self.orig[o];
                let likeness = match all && !patched.defines.is_empty() {
                    true => 1000 * count / (orig.defines.len() + patched.defines.len() - count),
                    false => orig.likeness(patched),
                };
                (likeness >= ALIKE).then(|| (self.closeness(o, p, likeness), o, p))
            });
            close.collect::<Vec<_>>()
        };
        let left: Vec<usize> = self.left[1].iter().copied().collect();
        let found: Vec<Vec<_>> = left.par_iter().map(candidates).collect();
        let mut found: Vec<_> = found.into_iter().flatten().collect();
        found.sort_unstable_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        found
    }

    /// Pairs what is closest first.
    fn closest(&mut self, pairing: &mut Pairing) -> Result<()> {
        for equal in self.candidates().chunk_by(|a, b| a.0 == b.0) {
            let free = |&&(_, o, p): &&(Closeness, usize, usize)| {
                self.left[0].contains(&o) && self.left[1].contains(&p)
            };
            let equal: Vec<_> = equal.iter().filter(free).collect();
            let mut rivals: [IndexMap<usize, Vec<usize>, RandomState>; 2] = Default::default();
            for &&(_, o, p) in &equal {
                rivals[0].entry(p).or_default().push(o);
                rivals[1].entry(o).or_default().push(p);
            }
            if let Some((&p, rivals)) = rivals[0].iter().find(|r| r.1.len() > 1) {
                return Err(ambiguous(&self.patched[p], rivals.iter().map(|&o| &self.orig[o])));
            }
            // Halves of an object that was split are equally close; neither has what the other has.
            let split = equal.first().is_some_and(|c| c.0.0 < RENAMED);
            if let Some((&o, rivals)) = rivals[1].iter().find(|r| r.1.len() > 1 && !split) {
                return Err(ambiguous(&self.orig[o], rivals.iter().map(|&p| &self.patched[p])));
            }
            for &&(_, o, p) in &equal {
                if self.left[0].contains(&o) {
                    self.pair(o, p, pairing);
                }
            }
        }
        Ok(())
    }

    /// What nothing told apart has no counterpart, unless sets of definitions are left that
    /// many objects have: then it is unclear which is which.
    fn check_left(&mut self, pairing: &mut Pairing) -> Result<()> {
        let hasher = FixedState::default();
        let print = |of: &Identity| {
            let mut all: Vec<u64> = of.defines.iter().copied().collect();
            all.sort_unstable();
            hasher.hash_one(all)
        };
        let by_set = |side: usize, all: &[Identity]| {
            let mut sets: IndexMap<u64, Vec<usize>, RandomState> = IndexMap::default();
            for &i in &self.left[side] {
                sets.entry(print(&all[i])).or_default().push(i);
            }
            sets
        };
        let before = by_set(0, self.orig);
        for (set, after) in by_set(1, self.patched) {
            match (before.get(&set).map(Vec::as_slice), after.as_slice()) {
                (None, _) => {}
                (Some([o]), [p]) => self.pair(*o, *p, pairing),
                (Some(rivals), _) => {
                    let rivals = rivals.iter().map(|&o| &self.orig[o]);
                    return Err(ambiguous(&self.patched[after[0]], rivals));
                }
            }
        }
        Ok(())
    }

    /// Pairs all that can be paired. Fails when it is unclear which object is which.
    pub(in crate::diff) fn settle(mut self, pairing: &mut Pairing) -> Result<()> {
        self.equal_sets(pairing);
        self.closest(pairing)?;
        self.check_left(pairing)?;
        let [o, p] = self.left;
        pairing.removed.extend(o);
        pairing.added.extend(p);
        Ok(())
    }
}
