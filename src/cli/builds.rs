//! Two builds of one kernel, object by object: which are compared with which, and how the
//! outputs of one patch refer to each other.

use std::borrow::Cow;
use std::path::Path;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use rayon::prelude::*;

use super::members::{self, Member};
use super::pair::Against;
use crate::Among;
use crate::diff::check::BootCode;
use crate::diff::identity::{Identity, Overrides, Unit, units};
use crate::diff::overrides::{Contested, Globals};
use crate::elf::globals::globals;
use crate::elf::ids::{Orig, Patched, Side};
use crate::elf::link::{OVERRIDDEN, link};
use crate::elf::object::Object;
use crate::elf::out::OutObject;
use crate::elf::{self, abi};
use crate::error::{Error, Result};
use crate::patch::resolve::Peers;
use crate::report::{FunctionStatus, Report};

/// The objects of two builds, and what to compare.
#[derive(Default)]
pub(super) struct Builds {
    pub(super) orig: Vec<Member>,
    pub(super) patched: Vec<Member>,
    /// What is compared with what: indexes of members.
    pub(super) units: Vec<Unit>,
    /// About files that are not compared, with their paths below the folders.
    pub(super) warnings: Vec<(String, Error)>,
}

/// What comparing one unit gave.
pub(super) struct Outcome {
    /// Paths as given, several joined by ` + `; empty when a side has none.
    pub(super) orig: String,
    pub(super) patched: String,
    /// Path below the folder of the patched object, or of the original where there is none.
    pub(super) path: String,
    pub(super) report: Report,
    pub(super) result: Result<Option<OutObject>>,
}

/// How to compare.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// What to do about changed code that only runs at boot.
    pub(super) boot: BootCode,
    /// Account for what differs and means nothing, too.
    pub(super) explain_noise: bool,
}

impl Builds {
    /// Adds all objects below two folders. Those that are equal byte by byte to one of the
    /// other build need no closer look.
    pub(super) fn add_folders(&mut self, orig: &Path, patched: &Path) -> Result<()> {
        let read = members::read(orig, patched)?;
        let (from_orig, from_patched) = (self.orig.len(), self.patched.len());
        for mut unit in units_of(&read.orig, &read.patched)? {
            unit.orig.iter_mut().for_each(|i| *i += from_orig);
            unit.patched.iter_mut().for_each(|i| *i += from_patched);
            let Overrides { replaced, idle, open } = &mut unit.overrides;
            for (_, from, to) in replaced {
                (*from, *to) = (*from + from_orig, *to + from_patched);
            }
            idle.iter_mut().chain(open).for_each(|d| d.1 += from_patched);
            self.units.push(unit);
        }
        self.orig.extend(read.orig);
        self.patched.extend(read.patched);
        self.warnings.extend(read.warnings);
        Ok(())
    }

    /// Compares one unit. With `peers` the answer is that of all objects of the patch.
    pub(super) fn compare(
        &self,
        unit: &Unit,
        how: How,
        against: Against<'_>,
        peers: Option<&Peers>,
    ) -> Outcome {
        let shown = |members: &[Member], picked: &[usize]| {
            picked.iter().map(|&i| members[i].shown()).collect::<Vec<String>>().join(" + ")
        };
        let below = |members: &[Member], picked: &[usize]| {
            picked.iter().map(|&i| members[i].path.clone()).next()
        };
        let path = below(&self.patched, &unit.patched).or_else(|| below(&self.orig, &unit.orig));
        let mut outcome = Outcome {
            orig: shown(&self.orig, &unit.orig),
            patched: shown(&self.patched, &unit.patched),
            path: path.unwrap_or_default(),
            report: Report { explain_noise: how.explain_noise, ..Report::default() },
            result: Ok(None),
        };
        outcome.result = self.inner(unit, how, against, peers, &mut outcome);
        self.forget_overridden(&mut outcome);
        if outcome.result.is_ok()
            && let Err(error) = self.check_overrides(unit, &outcome.report)
        {
            outcome.result = Err(error);
        }
        outcome
    }

    fn inner(
        &self,
        unit: &Unit,
        how: How,
        against: Against<'_>,
        peers: Option<&Peers>,
        outcome: &mut Outcome,
    ) -> Result<Option<OutObject>> {
        let report = &mut outcome.report;
        if unit.patched.is_empty() {
            for &i in &unit.orig {
                report.removed.extend(functions(&self.orig[i])?);
                let line = "the patched build has no such object; what it holds stays in the running kernel";
                report.warnings.push(
                    Error::refused("removed-object", line).in_file(self.orig[i].path.clone()),
                );
            }
            return Ok(None);
        }
        let orig = match unit.orig.is_empty() {
            true => {
                let line =
                    "the original has no such object; what refers to it brings it into the patch";
                report
                    .warnings
                    .push(Error::refused("new-object", line).in_file(outcome.path.clone()));
                Cow::Owned(nothing_like(&self.patched[unit.patched[0]])?)
            }
            false => bytes::<Orig>(&self.orig, &unit.orig)?,
        };
        for (name, from, to) in &unit.overrides.replaced {
            let line = format!(
                "{name}: the definition in {} counts now, and that in {} before",
                self.patched[*to].path, self.orig[*from].path
            );
            let warning = Error::refused("definition-replaced", line).at_symbol(name.clone());
            report.warnings.push(warning.in_file(outcome.path.clone()));
        }
        let patched = bytes::<Patched>(&self.patched, &unit.patched)?;
        let output = against.compare(
            [(&outcome.orig, &*orig), (&outcome.patched, &*patched)],
            Among { boot: how.boot, peers, complete: true },
            report,
        )?;
        let sides = [(&self.orig, &unit.orig), (&self.patched, &unit.patched)];
        for (members, picked) in sides {
            for &i in picked {
                members[i].image.check_unchanged()?;
            }
        }
        Ok(output)
    }

    /// Takes what was never part of the kernel out of the lists of what came and went.
    fn forget_overridden(&self, outcome: &mut Outcome) {
        let report = &mut outcome.report;
        report.removed.retain(|name| !name.ends_with(OVERRIDDEN));
        report.data.retain(|data| !data.name.ends_with(OVERRIDDEN) || data.status == "changed");
    }

    /// Fails when what changed is a definition that does not count, or may not.
    fn check_overrides(&self, unit: &Unit, report: &Report) -> Result<()> {
        let Overrides { idle, open, .. } = &unit.overrides;
        let of = |list: &[(String, usize)], name: &str| {
            list.iter().find(|d| d.0 == name).map(|d| self.patched[d.1].path.clone())
        };
        let changed = report.functions.iter().filter(|f| f.status == FunctionStatus::Changed);
        let mut details = Vec::new();
        for name in changed.map(|f| f.name.as_str()) {
            if let Some(plain) = name.strip_suffix(OVERRIDDEN) {
                details.push(format!("{plain}: another object has a definition that is not weak"));
            } else if let Some(other) = of(idle, name) {
                details.push(format!("{name}: {other} has a definition that is not weak"));
            } else if let Some(other) = of(open, name) {
                details.push(format!(
                    "{name}: {other} has a weak definition, too; the order of the link decides"
                ));
            }
        }
        if details.is_empty() {
            return Ok(());
        }
        Err(Error::refused(
            "overridden-definition",
            "a function changed that is not, or may not be, the one that runs",
        )
        .with_details(details)
        .advise("leave the change out, or give only objects that are linked with each other"))
    }

    /// What to say about files that were not compared.
    pub(super) fn not_compared(&self) -> impl Iterator<Item = Outcome> + '_ {
        self.warnings.iter().map(|(path, warning)| Outcome {
            orig: String::new(),
            patched: path.clone(),
            path: path.clone(),
            report: Report { warnings: vec![warning.clone()], ..Report::default() },
            result: Ok(None),
        })
    }

    /// Builds the outputs of what changed. `against` tells what to build a unit against, and
    /// which of several kernel objects that is.
    pub(super) fn build<'k>(
        &self,
        found: &mut [(usize, Outcome)],
        how: How,
        against: &(dyn Fn(&Unit) -> (usize, Against<'k>) + Sync),
    ) {
        let none = Peers::default();
        let wanted = |i: usize| &self.units[i];
        found.par_iter_mut().filter(|(_, o)| o.result.is_ok() && o.report.is_changed()).for_each(
            |(unit, outcome)| {
                let unit = wanted(*unit);
                *outcome = self.compare(unit, how, against(unit).1, Some(&none));
            },
        );
        if found.iter().all(|(_, o)| o.report.needs.is_empty()) {
            return;
        }
        // An object may refer to what was local to another one, which may not have changed.
        let offers: Vec<(usize, Vec<(String, u32)>)> = found
            .par_iter()
            .map(|(unit, outcome)| {
                let unit = wanted(*unit);
                let (object, kernel) = against(unit);
                let offers = match outcome.report.is_changed() {
                    true => outcome.report.offers.clone(),
                    false => self.compare(unit, how, kernel, Some(&none)).report.offers,
                };
                (object, offers)
            })
            .collect();
        let mut peers: IndexMap<usize, Peers, RandomState> = IndexMap::default();
        for (object, offers) in offers {
            peers.entry(object).or_default().extend(offers);
        }
        found.par_iter_mut().for_each(|(unit, outcome)| {
            let unit = wanted(*unit);
            let (object, kernel) = against(unit);
            let Some(peers) = peers.get(&object) else { return };
            if outcome.report.needs.iter().any(|name| peers.contains_key(name)) {
                *outcome = self.compare(unit, how, kernel, Some(peers));
            }
        });
    }
}

/// The object, or several linked into one.
fn bytes<'m, S: Side>(members: &'m [Member], picked: &[usize]) -> Result<Cow<'m, [u8]>> {
    if let [only] = picked {
        return Ok(Cow::Borrowed(members[*only].image.bytes()));
    }
    let parse = |&i: &usize| {
        let name = members[i].shown();
        let object = Object::<S>::parse(&name, members[i].image.bytes())?;
        Ok((name.clone(), OutObject::from_object(&object)?))
    };
    let parts = picked.iter().map(parse).collect::<Result<Vec<_>>>()?;
    elf::write::write(&link(parts)?).map(Cow::Owned)
}

/// An object of the same build as `member`, in which there is nothing.
fn nothing_like(member: &Member) -> Result<Vec<u8>> {
    let object = Object::<Orig>::parse(&member.shown(), member.image.bytes())?;
    let header = object.header();
    elf::write::write(&OutObject {
        big_endian: object.endian() == object::Endianness::Big,
        kind: header.kind,
        machine: header.machine,
        flags: header.flags,
        ..OutObject::default()
    })
}

/// Names of the functions that an object defines, in symbol order.
fn functions(member: &Member) -> Result<Vec<String>> {
    let object = Object::<Orig>::parse(&member.shown(), member.image.bytes())?;
    let defined = object
        .symbols()
        .skip(1)
        .filter(|&id| object.symbol_kind(id) == abi::STT_FUNC && object.section_of(id).is_some());
    Ok(defined.map(|id| object.symbol_name(id).to_owned()).collect())
}

/// What to compare: the objects that differ, paired.
fn units_of(orig: &[Member], patched: &[Member]) -> Result<Vec<Unit>> {
    let mut by_path: IndexMap<&str, usize, RandomState> =
        orig.iter().enumerate().map(|(i, m)| (m.path.as_str(), i)).collect();
    let equal: Vec<Option<usize>> = patched
        .par_iter()
        .map(|p| {
            let twin = by_path.get(p.path.as_str()).copied();
            twin.filter(|&o| orig[o].image.bytes() == p.image.bytes())
        })
        .collect();
    for (p, _) in patched.iter().zip(&equal).filter(|(_, equal)| equal.is_some()) {
        by_path.swap_remove(p.path.as_str());
    }
    let mut left: Vec<usize> = by_path.into_values().collect();
    left.sort_unstable();
    let mut right: Vec<usize> = (0..patched.len()).filter(|&i| equal[i].is_none()).collect();
    let mut equal: Vec<(usize, usize)> =
        equal.into_iter().enumerate().filter_map(|(p, o)| Some((o?, p))).collect();
    drop_copies(orig, patched, &mut left, &mut right, &mut equal);
    let (o, p) =
        rayon::join(|| identities::<Orig>(orig, &left), || identities::<Patched>(patched, &right));
    let mut units = units(&o?, &p?)?;
    for unit in &mut units {
        unit.orig.iter_mut().for_each(|i| *i = left[*i]);
        unit.patched.iter_mut().for_each(|i| *i = right[*i]);
    }
    settle_definitions(orig, patched, &equal, &mut units);
    Ok(units)
}

/// Finds out which definitions count where several objects define a name; also looks at those
/// that are equal in both builds, and adds them to the units that depend on them.
fn settle_definitions(
    orig: &[Member],
    patched: &[Member],
    equal: &[(usize, usize)],
    units: &mut Vec<Unit>,
) {
    fn all<'m>(
        members: &'m [Member],
        picked: impl Iterator<Item = usize>,
    ) -> IndexMap<usize, Globals<'m>, RandomState> {
        let picked: Vec<usize> = picked.collect();
        let read = |&i: &usize| (i, globals(members[i].image.bytes()).unwrap_or_default());
        let found: Vec<(usize, Globals<'m>)> = picked.par_iter().map(read).collect();
        found.into_iter().collect()
    }
    let before = all(orig, units.iter().flat_map(|u| u.orig.iter().copied()));
    let after = all(patched, units.iter().flat_map(|u| u.patched.iter().copied()));
    let mut contested = Contested::of(
        units,
        |i| before.get(&i).map_or(&[], Vec::as_slice),
        |i| after.get(&i).map_or(&[], Vec::as_slice),
    );
    if contested.is_empty() {
        return;
    }
    let changed = units.len();
    let others: Vec<Globals<'_>> = equal
        .par_iter()
        .map(|&(_, p)| {
            let mut all = globals(patched[p].image.bytes()).unwrap_or_default();
            all.retain(|(name, _)| contested.has(name));
            all
        })
        .collect();
    for (&(o, p), globals) in equal.iter().zip(&others).filter(|(_, g)| !g.is_empty()) {
        contested.add(units.len(), [o, p], globals);
        units.push(Unit::of(&[o], &[p]));
    }
    contested.settle(units);
    // Those that are equal in both builds are compared where something depends on them.
    units.truncate(changed);
    units.retain(|unit| *unit != Unit::default());
}

/// Takes objects out that the other build has under another name, byte by byte: when as many
/// of them are on each side, it does not matter which is which. They join the `equal` ones.
fn drop_copies(
    orig: &[Member],
    patched: &[Member],
    left: &mut Vec<usize>,
    right: &mut Vec<usize>,
    equal: &mut Vec<(usize, usize)>,
) {
    let mut copies: IndexMap<&[u8], (Vec<usize>, Vec<usize>), RandomState> = IndexMap::default();
    for &o in left.iter() {
        copies.entry(orig[o].image.bytes()).or_default().0.push(o);
    }
    for &p in right.iter() {
        copies.entry(patched[p].image.bytes()).or_default().1.push(p);
    }
    let differs = |bytes: &[u8]| copies.get(bytes).is_none_or(|(o, p)| o.len() != p.len());
    left.retain(|&o| differs(orig[o].image.bytes()));
    right.retain(|&p| differs(patched[p].image.bytes()));
    let same = copies.into_values().filter(|(o, p)| o.len() == p.len());
    equal.extend(same.flat_map(|(o, p)| o.into_iter().zip(p)));
}

fn identities<S: Side>(members: &[Member], wanted: &[usize]) -> Result<Vec<Identity>> {
    wanted
        .par_iter()
        .map(|&i| {
            let member = &members[i];
            let object = Object::<S>::parse(&member.shown(), member.image.bytes())?;
            Ok(Identity::of(&member.path, &object))
        })
        .collect()
}
