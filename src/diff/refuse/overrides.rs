//! Which definition of a name the linker takes, when several objects of a build have one.
//!
//! A weak function that no object overrode is what runs; when the patched build adds a strong
//! one to another object, that replaces it, though neither object tells by itself. And a weak
//! definition that is overridden never runs: a change in it has no effect.

#![expect(
    clippy::indexing_slicing,
    reason = "units and members have the numbers of their places in the lists"
)]

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::diff::pair::units::Unit;
use crate::diff::pair::units::join;
use crate::elf::globals::Strength;

/// What an object defines for others.
pub type Globals<'d> = Vec<(&'d str, Strength)>;

/// The strongest definition that a unit has of a name, in the original and in the patched
/// build, with the index of the object that has it.
#[derive(Clone, Copy, Debug)]
struct ContestedName {
    unit: usize,
    orig: Option<(Strength, usize)>,
    patched: Option<(Strength, usize)>,
}

/// What several units define.
#[derive(Debug, Default)]
pub struct Contested<'d> {
    rows: IndexMap<&'d str, Vec<ContestedName>, RandomState>,
}

impl<'d> Contested<'d> {
    /// The names that may have other definitions, of which another one may count than the
    /// units by themselves tell. `orig` and `patched` give what an object defines, by index.
    pub fn of<'g>(
        units: &[Unit],
        orig: impl Fn(usize) -> &'g [(&'d str, Strength)],
        patched: impl Fn(usize) -> &'g [(&'d str, Strength)],
    ) -> Self
    where
        'd: 'g,
    {
        let mut found = Contested::default();
        for (unit, Unit { orig: o, patched: p, .. }) in units.iter().enumerate() {
            let mut rows: IndexMap<&'d str, ContestedName, RandomState> = IndexMap::default();
            let mut row = |name: &'d str, strength, index, is_patched: bool| {
                let row =
                    rows.entry(name).or_insert(ContestedName { unit, orig: None, patched: None });
                let slot = if is_patched { &mut row.patched } else { &mut row.orig };
                if slot.is_none_or(|(known, _)| known < strength) {
                    *slot = Some((strength, index));
                }
            };
            for &i in o {
                orig(i).iter().for_each(|&(name, strength)| row(name, strength, i, false));
            }
            for &i in p {
                patched(i).iter().for_each(|&(name, strength)| row(name, strength, i, true));
            }
            for (name, row) in rows {
                found.rows.entry(name).or_default().push(row);
            }
        }
        // A strong definition on both sides counts, whatever others there are.
        let is_strong = |of: Option<(Strength, usize)>| of.is_some_and(|d| d.0 == Strength::Strong);
        found.rows.retain(|_, rows| {
            rows.len() > 1 || rows.iter().any(|r| !is_strong(r.orig) || !is_strong(r.patched))
        });
        found
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether a name is one of them.
    pub fn has(&self, name: &str) -> bool {
        self.rows.contains_key(name)
    }

    /// Adds what objects define that are equal in both builds: `unit`, and the indexes of the
    /// object.
    pub fn add(&mut self, unit: usize, [orig, patched]: [usize; 2], globals: &Globals<'d>) {
        for &(name, strength) in globals {
            if let Some(rows) = self.rows.get_mut(name) {
                let (orig, patched) = (Some((strength, orig)), Some((strength, patched)));
                rows.push(ContestedName { unit, orig, patched });
            }
        }
    }

    /// Takes units together between which the definition that counts has moved, and notes in
    /// the others which of their definitions do not count.
    pub fn settle(self, units: &mut [Unit]) {
        let mut together = Vec::new();
        for (name, rows) in self.rows {
            let before = counting(&rows, |row| row.orig);
            let after = counting(&rows, |row| row.patched);
            let weak = |row: &ContestedName| {
                [row.orig, row.patched].iter().flatten().any(|d| d.0 != Strength::Strong)
            };
            let ((Some(from), Some(to)), true) =
                ((before.first(), after.first()), rows.iter().any(weak))
            else {
                continue;
            };
            let same = before.iter().map(|d| d.0).eq(after.iter().map(|d| d.0));
            if !same {
                let all = before.iter().chain(&after);
                together.extend(all.map(|d| (from.0, d.0)));
                units[from.0].overrides.replaced.push((name.to_owned(), from.1, to.1));
                continue;
            }
            for row in &rows {
                let overrides = &mut units[row.unit].overrides;
                let counts = before.iter().any(|d| d.0 == row.unit);
                if !counts {
                    overrides.idle.push((name.to_owned(), to.1));
                } else if let Some(other) = after.iter().find(|d| d.0 != row.unit)
                    && row.patched.is_some_and(|d| d.0 == Strength::Weak)
                {
                    overrides.open.push((name.to_owned(), other.1));
                }
            }
        }
        join(units, together);
    }
}

/// The units, with an object of each, that have the strongest definition.
fn counting(
    rows: &[ContestedName],
    side: impl Fn(&ContestedName) -> Option<(Strength, usize)>,
) -> Vec<(usize, usize)> {
    let strongest = rows.iter().filter_map(|row| side(row).map(|d| d.0)).max();
    let of =
        |row: &ContestedName| side(row).filter(|d| Some(d.0) == strongest).map(|d| (row.unit, d.1));
    rows.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::pair::units::Overrides;
    use Strength::{Common, Strong, Weak};

    /// Settles what objects `[original, patched]` define, one unit for each; the last
    /// `equal` of them are equal in both builds.
    fn settle(objects: &[[&[(&'static str, Strength)]; 2]], equal: usize) -> Vec<Unit> {
        let mut units: Vec<Unit> = (0..objects.len()).map(|i| Unit::of(&[i], &[i])).collect();
        let changed = objects.len() - equal;
        let mut contested = Contested::of(&units[..changed], |i| objects[i][0], |i| objects[i][1]);
        for (i, object) in objects.iter().enumerate().skip(changed) {
            contested.add(i, [i, i], &object[0].to_vec());
        }
        contested.settle(&mut units);
        units
    }

    fn replaced(name: &str, from: usize, to: usize) -> Overrides {
        Overrides { replaced: vec![(name.to_owned(), from, to)], ..Overrides::default() }
    }

    #[test]
    fn a_stronger_definition_joins_the_objects() {
        let (none, weak, strong) = (&[][..], &[("f", Weak)][..], &[("f", Strong)][..]);
        let common = &[("f", Common)][..];
        for (adding, old) in [(strong, weak), (common, weak), (strong, common)] {
            // It came, and it went; the other object is equal in both builds.
            let came = settle(&[[none, adding], [old, old]], 1);
            assert_eq!(came[0].orig, [0, 1]);
            assert_eq!(came[0].overrides, replaced("f", 1, 0));
            assert_eq!(came[1], Unit::default());
            let went = settle(&[[adding, none], [old, old]], 1);
            assert_eq!(
                (&went[0].patched[..], &went[0].overrides),
                (&[0, 1][..], &replaced("f", 0, 1))
            );
        }
        let both = settle(&[[weak, none], [none, strong]], 0);
        assert_eq!((&both[0].orig[..], both[1].orig.len()), (&[0, 1][..], 0));
    }

    #[test]
    fn what_does_not_count_is_noted() {
        let (weak, strong) = (&[("f", Weak)][..], &[("f", Strong)][..]);
        let idle = settle(&[[weak, weak], [strong, strong]], 1);
        assert_eq!(idle[0].overrides.idle, [("f".to_owned(), 1)]);
        assert_eq!(idle[1], Unit::of(&[1], &[1]));
        let open = settle(&[[weak, weak], [weak, weak]], 1);
        assert_eq!(open[0].overrides.open, [("f".to_owned(), 1)]);
        let live = settle(&[[strong, strong], [weak, weak]], 1);
        assert_eq!(live[0].overrides, Overrides::default());
    }

    #[test]
    fn what_came_went_or_moved_by_itself_is_no_override() {
        let (none, weak, strong) = (&[][..], &[("f", Weak)][..], &[("f", Strong)][..]);
        for objects in [[[none, strong], [none, none]], [[strong, none], [none, strong]]] {
            let units = settle(&objects, 0);
            assert!(units.iter().all(|u| u.overrides == Overrides::default() && u.orig.len() == 1));
        }
        // Several strong ones belong to several programs.
        let units = settle(&[[strong, strong], [strong, strong]], 1);
        assert_eq!(units[0].overrides, Overrides::default());
        let units = settle(&[[weak, strong]], 0);
        assert_eq!(units[0].overrides, Overrides::default());
    }
}
