//! Pairs static local variables by the functions that use them.
//!
//! Their names are numbered by the compiler, and their sections say nothing either: several
//! functions share one. A variable is what the same function uses under the same name and
//! with the same size. Where that leaves several, the way they are used decides, and never their
//! order alone; what nothing decides is a [`Doubt`]: the state of one must not become
//! that of another.
//!
//! A variable that its function no longer uses may have moved with code that was inlined, split
//! or renamed: see `diff::pair::moves`. Constants have no state: any of equal
//! content will do.

#![expect(clippy::indexing_slicing, reason = "pairs are of places in the two lists")]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::{FixedState, RandomState};
use indexmap::IndexMap;

use super::files::Scopes;
use super::fingerprint::fingerprint;
use super::keys::{GLOBAL, Keys};
use super::local_uses::{Place, Use, User, uses_of};
use super::moves::Moves;
use crate::diag::Result;
use crate::diff::policy::Policy;
use crate::elf::abi;
use crate::elf::ids::{Marks, Orig, Patched, Side, SymbolId};
use crate::kernel::knowledge::names;
use crate::kernel::layout::Layout;

/// Variables of the two objects that may be the same, where nothing tells which is which.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// Of the original.
    pub orig: Vec<SymbolId<Orig>>,
    /// Of the patched object.
    pub patched: Vec<SymbolId<Patched>>,
}

/// What pairing found.
#[derive(Default)]
pub(in crate::diff) struct Pairing {
    /// In the order in which they were found.
    pub pairs: Vec<(SymbolId<Orig>, SymbolId<Patched>)>,
    pub doubts: Vec<Doubt>,
}

/// A variable with what is known of its use.
pub(in crate::diff) struct Variable<S> {
    pub id: SymbolId<S>,
    /// Normal name, size, and whether it is a constant.
    name: (u64, u64, bool),
    /// The file it is in.
    scope: u64,
    /// What refers to it, ascending, each once.
    pub users: Vec<u64>,
    uses: Vec<(Use<S>, u64)>,
}

impl<S: Side> Variable<S> {
    /// What refers to it, code first.
    pub fn users(&self) -> impl Iterator<Item = User<S>> + '_ {
        self.uses.iter().map(|u| u.0.user)
    }
}

/// Whether a variable cannot be written: by its section, as compilers choose it. What is
/// relocated while the kernel is loaded is constant afterwards.
pub(in crate::diff) fn is_constant<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    let object = layout.object;
    object.section_of(id).is_some_and(|section| {
        object.section_flags(section) & abi::SHF_WRITE == 0
            || names::is_relocated_constant(object.section_name(section))
    })
}

/// The variables of one object that take part, with their uses.
fn variables<S: Side>(
    layout: &Layout<'_, S>,
    scopes: &Scopes<S>,
    uses: Vec<Use<S>>,
    key: impl Fn(User<S>, u64) -> u64,
) -> Vec<Variable<S>> {
    let object = layout.object;
    let mut found = Vec::new();
    for uses in uses.chunk_by(|a, b| a.variable == b.variable) {
        let Some(id) = uses.first().map(|u| u.variable) else { continue };
        let scope = if layout.is_local(id) { scopes.of(id) } else { GLOBAL };
        let uses: Vec<(Use<S>, u64)> = uses.iter().map(|u| (*u, key(u.user, scope))).collect();
        let mut users: Vec<u64> = uses.iter().map(|u| u.1).collect();
        users.sort_unstable();
        users.dedup();
        let name = (hash_name(object.symbol_name(id)), object.symbol_size(id));
        let name = (name.0, name.1, is_constant(layout, id));
        found.push(Variable { id, name, scope, users, uses });
    }
    found
}

fn hash_name(name: &str) -> u64 {
    let mut state = FixedState::default().build_hasher();
    names::hash_normal(name, &mut state);
    state.finish()
}

/// The name of a variable without that of its function, which clang puts before it, when that
/// function uses it and is on this side only: it may have another name on the other one.
fn moved_name<S: Side>(
    layout: &Layout<'_, S>,
    v: &Variable<S>,
    single: impl Fn(SymbolId<S>) -> bool,
) -> u64 {
    let name = layout.object.symbol_name(v.id);
    let part = names::variable_part(name);
    let function = name.strip_suffix(part).and_then(|f| f.strip_suffix('.'));
    let renamed = function.is_some_and(|function| {
        v.users().any(|user| match user {
            User::Named(id) => {
                single(id) && names::written_name(layout.object.symbol_name(id)) == function
            }
            User::Section(_) => false,
        })
    });
    hash_name(if renamed { part } else { name })
}

/// The static locals of the original that have no twin yet, and the variables of the patched
/// object that may be these, by who uses them.
/// Also returns those of the original that nothing was found for. [`Policy::pairs_by_order`] pairs
/// constants of unlike content, too.
pub(in crate::diff) fn pair(
    keys: &Keys<'_>,
    policy: Policy,
) -> Result<(Pairing, Vec<Variable<Orig>>)> {
    let (orig, patched, twins) = (keys.orig, keys.patched, keys.twins);
    let wanted = Marks::from_fn(orig.object.symbol_count(), |id| {
        orig.is_static_local(id) && twins.patched_symbol(id).is_none()
    });
    let hashes = |name| [hash_name(name), hash_name(names::variable_part(name))];
    let mut all: Vec<u64> =
        wanted.iter().flat_map(|id| hashes(orig.object.symbol_name(id))).collect();
    all.sort_unstable();
    all.dedup();
    let candidates = Marks::from_fn(patched.object.symbol_count(), |id| {
        patched.object.symbol_kind(id) == abi::STT_OBJECT
            && twins.orig_symbol(id).is_none()
            && patched.object.section_of(id).is_some()
            && !patched.is_special_static(id)
            && hashes(patched.object.symbol_name(id)).iter().any(|h| all.binary_search(h).is_ok())
    });
    let (o, p) = rayon::join(|| uses_of(orig, &wanted), || uses_of(patched, &candidates));
    let mut o = variables(orig, &keys.files.orig, o?, |user, scope| keys.orig(user, scope));
    let mut p = variables(patched, &keys.files.patched, p?, |u, scope| keys.patched(u, scope));
    let mut pairing = Pairing::default();
    let matcher = Matcher { keys, by_order: policy.pairs_by_order };
    let by_user = |v: &[u64], _: u64| v.to_vec();
    matcher.round(&mut o, &mut p, &mut pairing, true, by_user, by_user);
    matcher.round(&mut o, &mut p, &mut pairing, false, by_user, by_user);
    let is_open = |v: &Variable<Orig>| !v.name.2;
    if o.iter().any(is_open) && !p.is_empty() {
        let from: Vec<_> = o.iter().flat_map(Variable::users).collect();
        let to: Vec<_> = p.iter().flat_map(Variable::users).collect();
        let moves = Moves::new(keys, &from, &to)?;
        for v in &mut o {
            v.users = moves.anchors_orig(keys, v.users());
        }
        for v in &mut p {
            v.users = moves.anchors_patched(keys, v.users());
        }
        let in_file = |users: &[u64], scope: u64| {
            let of_file = |user: &u64| {
                let mut state = FixedState::default().build_hasher();
                state.write_u64(*user);
                state.write_u64(scope);
                state.finish()
            };
            users.iter().map(of_file).collect()
        };
        matcher.round(&mut o, &mut p, &mut pairing, true, in_file, in_file);
        for v in &mut o {
            v.name.0 = moved_name(orig, v, |id| twins.patched_symbol(id).is_none());
        }
        for v in &mut p {
            v.name.0 = moved_name(patched, v, |id| twins.orig_symbol(id).is_none());
        }
        matcher.round(&mut o, &mut p, &mut pairing, true, in_file, in_file);
    }
    Ok((pairing, o))
}

/// Of one component: positions in the lists of variables.
type Group = (Vec<usize>, Vec<usize>);

struct Matcher<'a> {
    keys: &'a Keys<'a>,
    by_order: bool,
}

impl Matcher<'_> {
    /// Pairs what is alike and has a user in common, and takes it out of the lists, along with
    /// what stays in doubt. With `exact`, constants are only alike constants.
    fn round(
        &self,
        o: &mut Vec<Variable<Orig>>,
        p: &mut Vec<Variable<Patched>>,
        pairing: &mut Pairing,
        exact: bool,
        of_orig: impl Fn(&[u64], u64) -> Vec<u64>,
        of_patched: impl Fn(&[u64], u64) -> Vec<u64>,
    ) {
        let o_links = o.iter().map(|v| (v.name, of_orig(&v.users, v.scope)));
        let p_links = p.iter().map(|v| (v.name, of_patched(&v.users, v.scope)));
        let (mut o_done, mut p_done) = (vec![false; o.len()], vec![false; p.len()]);
        for group in components(o_links, p_links, exact) {
            let (from, to): Group = group;
            if from.is_empty() || to.is_empty() {
                continue;
            }
            let (a, b) = (pick(o, &from), pick(p, &to));
            let pairs = match self.settle(&a, &b, exact) {
                Some(pairs) => pairs,
                // That a variable became constant is no doubt about others.
                None if !exact => continue,
                None => {
                    pairing.doubts.push(Doubt {
                        orig: a.iter().map(|v| v.id).collect(),
                        patched: b.iter().map(|v| v.id).collect(),
                    });
                    from.iter().for_each(|&i| o_done[i] = true);
                    to.iter().for_each(|&i| p_done[i] = true);
                    continue;
                }
            };
            for (i, j) in pairs {
                pairing.pairs.push((a[i].id, b[j].id));
                o_done[from[i]] = true;
                p_done[to[j]] = true;
            }
        }
        let mut done = o_done.into_iter();
        o.retain(|_| !done.next().unwrap_or(false));
        let mut done = p_done.into_iter();
        p.retain(|_| !done.next().unwrap_or(false));
    }

    /// Which of `o` is which of `p`; `None` when nothing tells.
    fn settle(
        &self,
        o: &[&Variable<Orig>],
        p: &[&Variable<Patched>],
        exact: bool,
    ) -> Option<Vec<(usize, usize)>> {
        if exact && o.iter().all(|v| v.name.2) {
            return Some(self.by_content(o, p));
        }
        if let (&[v], &[twin]) = (o, p) {
            // A variable that became constant is what it was while nobody wrote it. Of a
            // constant nothing is left when it becomes a variable.
            let same = || {
                let content = fingerprint(self.keys.orig, v.id);
                !v.name.2 && content == fingerprint(self.keys.patched, twin.id)
            };
            return (exact || same()).then(|| vec![(0, 0)]);
        }
        if !exact || o.len() != p.len() {
            return None;
        }
        // Those that other functions use as well are told apart by these.
        let (a, b) = (by_users(o), by_users(p));
        let mut pairs = Vec::new();
        for (users, from) in a {
            let to = b.get(users).filter(|to| to.len() == from.len())?;
            match (from.as_slice(), to.as_slice()) {
                (&[i], &[j]) => pairs.push((i, j)),
                _ => pairs.extend(self.by_use(o, &from, p, to)?),
            }
        }
        Some(pairs)
    }

    /// Constants of equal content, in order; which of these is which means nothing.
    fn by_content(&self, o: &[&Variable<Orig>], p: &[&Variable<Patched>]) -> Vec<(usize, usize)> {
        let mut open: IndexMap<(u64, &[u64]), Vec<usize>, RandomState> = IndexMap::default();
        for (j, v) in p.iter().enumerate().rev() {
            let content = fingerprint(self.keys.patched, v.id);
            open.entry((content, &v.users)).or_default().push(j);
        }
        let mut pairs = Vec::new();
        for (i, v) in o.iter().enumerate() {
            let key = (fingerprint(self.keys.orig, v.id), v.users.as_slice());
            if let Some(j) = open.get_mut(&key).and_then(Vec::pop) {
                pairs.push((i, j));
            }
        }
        if self.by_order {
            let open =
                |count: usize, taken: Vec<usize>| (0..count).filter(move |i| !taken.contains(i));
            let left = open(o.len(), pairs.iter().map(|pair| pair.0).collect());
            let right = open(p.len(), pairs.iter().map(|pair| pair.1).collect());
            pairs.extend(left.zip(right).collect::<Vec<_>>());
        }
        pairs
    }

    /// Pairs by how they are used variables that the same functions use: each in a manner of its
    /// own, or all at the same places, with the same code around them.
    fn by_use(
        &self,
        o: &[&Variable<Orig>],
        from: &[usize],
        p: &[&Variable<Patched>],
        to: &[usize],
    ) -> Option<Vec<(usize, usize)>> {
        let (orig, patched) = (self.keys.orig, self.keys.patched);
        let (a, b) = (pick_ref(o, from), pick_ref(p, to));
        let before: Vec<_> = a.iter().map(|v| manners(orig, v)).collect();
        let after: Vec<_> = b.iter().map(|v| manners(patched, v)).collect();
        let mut chosen = same(
            a.iter().map(|v| places(orig, v)).collect(),
            b.iter().map(|v| places(patched, v)).collect(),
        );
        let agree = chosen.iter().all(|&(i, j)| before.get(i) == after.get(j));
        complete(&mut chosen, from.len());
        if chosen.len() != from.len() || !agree {
            chosen = same(before, after);
            complete(&mut chosen, from.len());
        }
        if chosen.len() != from.len() {
            return None;
        }
        Some(chosen.into_iter().map(|(i, j)| (from[i], to[j])).collect())
    }
}

/// Adds the last pair: when all others are known, it is the only one left.
fn complete(pairs: &mut Vec<(usize, usize)>, count: usize) {
    if pairs.len() + 1 != count {
        return;
    }
    let free = |taken: &dyn Fn(usize) -> bool| (0..count).find(|&i| !taken(i));
    let i = free(&|i| pairs.iter().any(|pair| pair.0 == i));
    let j = free(&|j| pairs.iter().any(|pair| pair.1 == j));
    pairs.extend(i.zip(j));
}

/// Positions of what is equal, and there once on each side.
fn same<T: std::hash::Hash + Eq>(a: Vec<T>, b: Vec<T>) -> Vec<(usize, usize)> {
    let mut found: IndexMap<T, (Vec<usize>, Vec<usize>), RandomState> = IndexMap::default();
    for (i, evidence) in a.into_iter().enumerate() {
        found.entry(evidence).or_default().0.push(i);
    }
    for (j, evidence) in b.into_iter().enumerate() {
        found.entry(evidence).or_default().1.push(j);
    }
    let one_each = found.into_values().filter_map(|both| match (&both.0[..], &both.1[..]) {
        (&[i], &[j]) => Some((i, j)),
        _ => None,
    });
    one_each.collect()
}

fn places<S: Side>(layout: &Layout<'_, S>, v: &Variable<S>) -> Vec<Place> {
    let mut places: Vec<Place> = v.uses.iter().map(|(u, key)| u.place(layout, *key)).collect();
    places.sort_unstable();
    places
}

/// In the order of the code: that of its functions means nothing.
fn manners<S: Side>(layout: &Layout<'_, S>, v: &Variable<S>) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> =
        v.uses.iter().map(|(u, key)| (*key, u.manner(layout, *key))).collect();
    found.sort_by_key(|m| m.0);
    found
}

fn by_users<'v, S>(variables: &[&'v Variable<S>]) -> IndexMap<&'v [u64], Vec<usize>, RandomState> {
    let mut found: IndexMap<&[u64], Vec<usize>, RandomState> = IndexMap::default();
    for (i, v) in variables.iter().enumerate() {
        found.entry(&v.users).or_default().push(i);
    }
    found
}

fn pick<'v, T>(all: &'v [T], which: &[usize]) -> Vec<&'v T> {
    which.iter().filter_map(|&i| all.get(i)).collect()
}

fn pick_ref<'v, T>(all: &[&'v T], which: &[usize]) -> Vec<&'v T> {
    which.iter().filter_map(|&i| all.get(i).copied()).collect()
}

/// A variable's name, size and kind, and what links it to others.
type Links = ((u64, u64, bool), Vec<u64>);

/// The variables of both objects that are linked by name and users, in order.
fn components(
    o: impl ExactSizeIterator<Item = Links>,
    p: impl ExactSizeIterator<Item = Links>,
    exact: bool,
) -> Vec<Group> {
    let first_patched = o.len();
    let mut sets: Vec<usize> = (0..first_patched + p.len()).collect();
    let mut known: IndexMap<(u64, u64, bool, u64), usize, RandomState> = IndexMap::default();
    for (node, (name, users)) in o.chain(p).enumerate() {
        for user in users {
            let key = (name.0, name.1, exact && name.2, user);
            let other = *known.entry(key).or_insert(node);
            let (a, b) = (find(&mut sets, node), find(&mut sets, other));
            let (low, high) = (a.min(b), a.max(b));
            if let Some(parent) = sets.get_mut(high) {
                *parent = low;
            }
        }
    }
    let mut groups: IndexMap<usize, Group, RandomState> = IndexMap::default();
    for node in 0..sets.len() {
        let group = groups.entry(find(&mut sets, node)).or_default();
        match node.checked_sub(first_patched) {
            None => group.0.push(node),
            Some(position) => group.1.push(position),
        }
    }
    groups.into_values().collect()
}

/// The representative of a set; shortens the way to it.
fn find(sets: &mut [usize], node: usize) -> usize {
    let mut root = node;
    while let Some(&parent) = sets.get(root).filter(|&&p| p != root) {
        root = parent;
    }
    let mut at = node;
    while let Some(slot) = sets.get_mut(at).filter(|p| **p != root) {
        at = std::mem::replace(slot, root);
    }
    root
}
