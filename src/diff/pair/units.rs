//! Pairs the objects of two builds by what they are, and joins those that traded functions.

#![expect(
    clippy::indexing_slicing,
    reason = "units and members have the numbers of their places in the lists"
)]
#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::closest::{Group, is_shifted};
use super::identity::{ARTIFICIAL, Identity, Pairing, RENAMED, ambiguous};
use crate::diag::Result;

/// Objects of two builds that are compared with each other: usually one of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Originals.
    pub orig: Vec<usize>,
    /// Patched objects.
    pub patched: Vec<usize>,
    /// What `diff::refuse::overrides` found out about their definitions.
    pub overrides: Overrides,
}

/// What definitions of several objects have to do with each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Names that another definition counts for now than in the original, and the objects of
    /// the two, as indexes.
    pub replaced: Vec<(String, usize, usize)>,
    /// Weak definitions that have no effect, since another object (its index among the
    /// patched) has a stronger one.
    pub idle: Vec<(String, usize)>,
    /// Weak definitions that another object has as well, as weak: which one counts depends on
    /// their order. With the index of that object.
    pub open: Vec<(String, usize)>,
}

/// Pairs objects, and takes together those between which something moved: when a file is
/// split, or the linker parts its code in another way, a function is in another object than
/// before, and no single pair tells whether it changed. Fails as [`pair`].
pub fn units(orig: &[Identity], patched: &[Identity]) -> Result<Vec<Unit>> {
    let pairing = pair(orig, patched)?;
    let mut units: Vec<Unit> = pairing.pairs.iter().map(|&(o, p)| Unit::of(&[o], &[p])).collect();
    units.extend(pairing.removed.iter().map(|&o| Unit::of(&[o], &[])));
    units.extend(pairing.added.iter().map(|&p| Unit::of(&[], &[p])));
    let moved = moves(&units, orig, patched);
    join(&mut units, moved);
    units.retain(|u| *u != Unit::default());
    Ok(units)
}

impl Unit {
    /// These objects.
    pub fn of(orig: &[usize], patched: &[usize]) -> Unit {
        Unit { orig: orig.to_vec(), patched: patched.to_vec(), overrides: Overrides::default() }
    }
}

/// Makes one of units that belong together, by index, in the place of the first. The others
/// are left empty.
pub(in crate::diff) fn join(
    units: &mut [Unit],
    together: impl IntoIterator<Item = (usize, usize)>,
) {
    let mut leader: Vec<usize> = (0..units.len()).collect();
    let find = |leader: &mut [usize], mut i: usize| {
        while leader[i] != i {
            // Shorter the next time.
            leader[i] = leader[leader[i]];
            i = leader[i];
        }
        i
    };
    for (from, to) in together {
        let (a, b) = (find(&mut leader, from), find(&mut leader, to));
        leader[a.max(b)] = a.min(b);
    }
    for i in (0..units.len()).rev() {
        let home = find(&mut leader, i);
        if home != i {
            let Unit { orig, patched, overrides } = std::mem::take(&mut units[i]);
            let home = &mut units[home];
            home.orig.extend(orig);
            home.patched.extend(patched);
            home.overrides.replaced.extend(overrides.replaced);
            home.overrides.idle.extend(overrides.idle);
            home.overrides.open.extend(overrides.open);
        }
    }
    for unit in units {
        unit.orig.sort_unstable();
        unit.patched.sort_unstable();
    }
}

/// Pairs of units between which a name moved. What only its own object sees has moved when
/// the file is the same one, and one side has no counterpart or is made by the linker.
fn moves(units: &[Unit], orig: &[Identity], patched: &[Identity]) -> Vec<(usize, usize)> {
    let file = |of: &Identity, global: bool| (!global).then(|| of.files.clone());
    /// Where a name went from: its unit, and whether local names may move from there. By its
    /// files, for what only its own object sees, and its name.
    type Gone<'i> = IndexMap<(Option<Vec<String>>, &'i str), (usize, bool), RandomState>;
    let mut gone = Gone::default();
    let sides = |unit: &Unit| {
        (unit.orig.first().map(|&i| &orig[i]), unit.patched.first().map(|&i| &patched[i]))
    };
    let lacks = |of: &Identity, other: Option<&Identity>| -> Vec<usize> {
        let others: IndexSet<&str, RandomState> =
            other.into_iter().flat_map(|o| o.names.iter().map(|n| n.0.as_str())).collect();
        (0..of.names.len()).filter(|&n| !others.contains(of.names[n].0.as_str())).collect()
    };
    let free = |of: &Identity, other: Option<&Identity>| {
        other.is_none() || of.files.iter().any(|f| ARTIFICIAL.contains(&f.as_str()))
    };
    for (i, unit) in units.iter().enumerate() {
        let (Some(o), p) = sides(unit) else { continue };
        for n in lacks(o, p) {
            let (name, global) = &o.names[n];
            gone.insert((file(o, *global), name), (i, free(o, p)));
        }
    }
    let mut moves = Vec::new();
    for (i, unit) in units.iter().enumerate() {
        let (o, Some(p)) = sides(unit) else { continue };
        for n in lacks(p, o) {
            let (name, global) = &p.names[n];
            let from = gone.get(&(file(p, *global), name.as_str()));
            moves.extend(
                from.filter(|(_, loose)| *global || *loose || free(p, o))
                    .map(|&(from, _)| (from, i)),
            );
        }
    }
    moves
}

/// Pairs objects. Within the objects of one source file name the closest match wins; two
/// equally close ones are refused.
pub fn pair(orig: &[Identity], patched: &[Identity]) -> Result<Pairing> {
    let mut groups: IndexMap<&[String], (Vec<usize>, Vec<usize>), RandomState> =
        IndexMap::default();
    for (i, identity) in orig.iter().enumerate() {
        groups.entry(&identity.files).or_default().0.push(i);
    }
    for (i, identity) in patched.iter().enumerate() {
        groups.entry(&identity.files).or_default().1.push(i);
    }
    let mut pairing = Pairing::default();
    let shifted = is_shifted(orig, patched);
    for (o, p) in groups.into_values() {
        let left = [o.into_iter().collect(), p.into_iter().collect()];
        Group { orig, patched, shifted, left }.settle(&mut pairing)?;
    }
    renamed(orig, patched, &mut pairing)?;
    pairing.pairs.sort_unstable();
    pairing.removed.sort_unstable();
    pairing.added.sort_unstable();
    Ok(pairing)
}

/// Pairs what is left over though the names of the source files differ.
fn renamed(orig: &[Identity], patched: &[Identity], pairing: &mut Pairing) -> Result<()> {
    let mut homes: IndexMap<u64, Vec<usize>, RandomState> = IndexMap::default();
    for &o in &pairing.removed {
        for &name in &orig[o].defines {
            homes.entry(name).or_default().push(o);
        }
    }
    let mut found: Vec<(usize, usize)> = Vec::new();
    for &p in &pairing.added {
        let mut common: IndexMap<usize, usize, RandomState> = IndexMap::default();
        // A name that many objects have says little, and looking at all of them costs much.
        for home in patched[p].defines.iter().filter_map(|d| homes.get(d)).filter(|h| h.len() < 8) {
            for &o in home {
                *common.entry(o).or_default() += 1;
            }
        }
        let mut likely: Vec<usize> =
            common.into_keys().filter(|&o| orig[o].likeness(&patched[p]) >= RENAMED).collect();
        likely.sort_unstable();
        match likely[..] {
            [] => {}
            [o] => found.push((o, p)),
            _ => return Err(ambiguous(&patched[p], likely.iter().map(|&o| &orig[o]))),
        }
    }
    let mut rivals: IndexMap<usize, Vec<usize>, RandomState> = IndexMap::default();
    for &(o, p) in &found {
        rivals.entry(o).or_default().push(p);
    }
    if let Some((&o, rivals)) = rivals.iter().find(|r| r.1.len() > 1) {
        return Err(ambiguous(&orig[o], rivals.iter().map(|&p| &patched[p])));
    }
    let taken: [IndexSet<usize, RandomState>; 2] =
        [found.iter().map(|f| f.0).collect(), found.iter().map(|f| f.1).collect()];
    pairing.removed.retain(|o| !taken[0].contains(o));
    pairing.added.retain(|p| !taken[1].contains(p));
    pairing.pairs.extend(found);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    fn identity(path: &str, file: &str, defines: &[u64]) -> Identity {
        Identity {
            path: path.to_owned(),
            files: vec![file.to_owned()],
            defines: defines.iter().copied().collect(),
            contents: defines.iter().copied().collect(),
            names: defines.iter().map(|d| (format!("f{d}"), true)).collect(),
        }
    }

    fn unit(orig: &[usize], patched: &[usize]) -> Unit {
        Unit::of(orig, patched)
    }

    #[test]
    fn a_split_object_is_compared_as_a_whole() {
        let orig = [identity("a.o", "a.c", &[1, 2, 3, 4]), identity("z.o", "z.c", &[20])];
        let patched = [
            identity("a.o", "a.c", &[1, 2]),
            identity("b.o", "b.c", &[3, 4, 5]),
            identity("z.o", "z.c", &[20]),
        ];
        let found = units(&orig, &patched).unwrap();
        assert_eq!(found, [unit(&[0], &[0, 1]), unit(&[1], &[2])]);
    }

    #[test]
    fn a_function_that_moved_joins_both_objects() {
        let orig = [identity("a.o", "a.c", &[1, 2, 3]), identity("b.o", "b.c", &[4, 5, 6])];
        let patched = [identity("a.o", "a.c", &[1, 2]), identity("b.o", "b.c", &[3, 4, 5, 6])];
        assert_eq!(units(&orig, &patched).unwrap(), [unit(&[0, 1], &[0, 1])]);
    }

    #[test]
    fn local_names_move_only_where_the_linker_deals_them_out() {
        let build = |file: &str| {
            let mut orig = [identity("1", file, &[1, 2]), identity("2", file, &[4, 5, 6, 7])];
            let mut patched = [identity("1", file, &[1]), identity("2", file, &[2, 4, 5, 6, 7])];
            for name in orig.iter_mut().chain(&mut patched).flat_map(|i| &mut i.names) {
                name.1 = false;
            }
            units(&orig, &patched).unwrap()
        };
        assert_eq!(build("core.c"), [unit(&[0], &[0]), unit(&[1], &[1])]);
        assert_eq!(build("ld-temp.o"), [unit(&[0, 1], &[0, 1])]);
    }

    #[test]
    fn a_renamed_source_file_is_the_same_object() {
        let orig = [identity("a.o", "a.c", &[1, 2, 3])];
        let found = pair(&orig, &[identity("b.o", "b.c", &[1, 2, 3, 4])]).unwrap();
        assert_eq!(found.pairs, [(0, 0)]);
        let two = [identity("b.o", "b.c", &[1, 2, 3, 4]), identity("c.o", "c.c", &[1, 2, 3, 5])];
        let error = pair(&orig, &two).unwrap_err();
        assert_eq!((error.code(), error.details().len()), (Code::AmbiguousObject, 2));
    }

    #[test]
    fn numbers_do_not_count() {
        let orig = [identity("o1", "core.c", &[1, 2]), identity("o2", "core.c", &[3, 4])];
        let patched = [
            identity("o1", "new.c", &[9]),
            identity("o2", "core.c", &[1, 2]),
            identity("o3", "core.c", &[3, 4, 5]),
        ];
        let found = pair(&orig, &patched).unwrap();
        assert_eq!(found.pairs, [(0, 1), (1, 2)]);
        assert_eq!((found.removed, found.added), (vec![], vec![0]));
    }

    #[test]
    fn paths_settle_what_definitions_leave_open() {
        let twins = |path: &str| identity(path, "a.c", &[1]);
        let found = pair(&[twins("x/a.o"), twins("y/a.o")], &[twins("y/a.o"), twins("x/a.o")]);
        assert_eq!(found.unwrap().pairs, [(0, 1), (1, 0)]);
        let error = pair(&[twins("1"), twins("2")], &[twins("3"), twins("4")]).unwrap_err();
        assert_eq!(error.code(), Code::AmbiguousObject);
        assert_eq!(error.details(), ["candidate: 1", "candidate: 2"]);
    }

    #[test]
    fn strangers_are_added_and_removed() {
        let found = pair(&[identity("o", "a.c", &[1, 2, 3])], &[identity("o", "a.c", &[7, 8, 9])]);
        let found = found.unwrap();
        assert_eq!((found.removed, found.added), (vec![0], vec![0]));
    }

    #[test]
    fn a_new_object_does_not_take_the_place_of_a_closer_one() {
        let orig = [identity("o1", "a.c", &[1, 2, 3, 4]), identity("o2", "a.c", &[7, 8])];
        let patched = [
            identity("o1", "a.c", &[1, 2, 9]),
            identity("o2", "a.c", &[1, 2, 3, 4, 5]),
            identity("o3", "a.c", &[7, 8]),
        ];
        let found = pair(&orig, &patched).unwrap();
        assert_eq!((found.pairs, found.added), (vec![(0, 1), (1, 2)], vec![0]));
    }

    #[test]
    fn contents_decide_when_numbers_shifted() {
        let one = |path: &str, content: u64| {
            let mut one = identity(path, "core.c", &[1]);
            one.contents = [content].into_iter().collect();
            one
        };
        let orig = [one("o1", 10), one("o2", 20)];
        // Numbers mean what they did: both changed.
        let found = pair(&orig, &[one("o1", 20), one("o2", 30)]).unwrap();
        assert_eq!(found.pairs, [(0, 0), (1, 1)]);
        let mut orig = orig.to_vec();
        orig.push(identity("o3", "z.c", &[5]));
        let patched = [
            identity("o1", "new.c", &[9]),
            one("o2", 10),
            one("o3", 20),
            identity("o4", "z.c", &[5]),
        ];
        assert_eq!(pair(&orig, &patched).unwrap().pairs, [(0, 1), (1, 2), (2, 3)]);
        let both_changed = [patched[0].clone(), one("o2", 11), one("o3", 21), patched[3].clone()];
        assert_eq!(pair(&orig, &both_changed).unwrap_err().code(), Code::AmbiguousObject);
    }

    /// With a comparison of each with each this takes minutes.
    #[test]
    fn many_objects_of_one_file_name_are_paired_in_time() {
        const MANY: u64 = 20_000;
        let build = |first: &str, more: u64| -> Vec<Identity> {
            let one = |i: u64| {
                let names = [1, 2, i % 97 + 10, 3 * i + 1000, 3 * i + 1001, 1_000_000 * more + i];
                identity(&format!("{first}{i}"), "core.c", &names)
            };
            (0..MANY).map(one).collect()
        };
        let (orig, mut patched) = (build("a", 1), build("b", 2));
        patched.reverse();
        let started = std::time::Instant::now();
        let found = pair(&orig, &patched).unwrap();
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        assert_eq!(found.pairs.len(), MANY as usize);
        assert!(found.pairs.iter().all(|&(o, p)| o + p == MANY as usize - 1));
        // Those that nothing tells apart are still refused.
        let same = |first: &str| -> Vec<Identity> {
            (0..MANY).map(|i| identity(&format!("{first}{i}"), "core.c", &[1, 2])).collect()
        };
        let error = pair(&same("a"), &same("b")).unwrap_err();
        assert_eq!((error.code(), error.details().len()), (Code::AmbiguousObject, 10));
        let found = pair(&same("a"), &same("a")).unwrap();
        assert_eq!(found.pairs.len(), MANY as usize);
    }
}
