//! Two builds of one kernel, object by object: which are compared with which, and how the
//! outputs of one patch refer to each other.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]
#![expect(clippy::indexing_slicing, reason = "members and units have the numbers they were given")]

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use super::context::KernelContext;
use super::members::{self, Member};
use super::owners::Subject;
use super::referrers::{Beside, Referrers};
use crate::PatchContext;
use crate::Run;
use crate::arch::Arch;
use crate::diag::{Code, Diagnostic, Error, Result};
use crate::diff::compare::inlining::{Bodies, Question};
use crate::diff::pair::identity::Identity;
use crate::diff::pair::units::{Overrides, Unit, units};
use crate::diff::refuse::overrides::{Contested, Globals};
use crate::diff::select::boot_code::BootCode;
use crate::elf::globals::globals;
use crate::elf::ids::{Orig, Patched, Side};
use crate::elf::image::Image;
use crate::elf::link::{OVERRIDDEN, link};
use crate::elf::object::Object;
use crate::elf::out::{OutHome, OutObject};
use crate::elf::{self, abi};
use crate::kernel::knowledge::{names, noise};
use crate::patch::module::added::nothing;
use crate::patch::resolve::lookup::Peers;
use crate::report::edited::tell_edited;
use crate::report::explain::Wanted;
use crate::report::progress::Count;
use crate::report::{Carriers, Function, FunctionStatus, Report};

/// The objects of two builds, and what to compare.
#[derive(Default)]
pub(crate) struct Builds {
    pub(crate) orig: Vec<Member>,
    pub(crate) patched: Vec<Member>,
    /// What is compared with what: indexes of members.
    pub(crate) units: Vec<Unit>,
    /// The units whose objects were given by themselves.
    alone: IndexSet<usize, RandomState>,
    /// What refers to what others define.
    pub(crate) referrers: OnceLock<Result<Referrers>>,
    /// About files that are not compared, with their paths below the folders.
    warnings: Vec<(String, Diagnostic)>,
}

/// What comparing one unit gave.
pub(crate) struct Outcome {
    /// Paths as given, several joined by ` + `; empty when a side has none.
    pub(crate) orig: String,
    pub(crate) patched: String,
    /// Path below the folder of the patched object, or of the original where there is none.
    pub(crate) path: String,
    /// What it patches; empty where that is not known.
    pub(crate) object: String,
    pub(crate) report: Report,
    pub(crate) result: Result<Option<OutObject>>,
}

/// How to compare.
#[derive(Clone, Copy)]
pub(crate) struct CompareOptions<'w> {
    /// Refuse changed code that only runs at boot, also in folders.
    pub(crate) strict: bool,
    /// Refuse functions that cannot be redirected, instead of patching their callers.
    pub(crate) no_lift: bool,
    /// What is to be explained.
    pub(crate) wanted: &'w Wanted,
    /// objtool sees the linked module, and makes its tables then.
    pub(crate) remade: bool,
}

/// Refusals of what other objects may use.
const IMAGE_TELLS: [Code; 3] =
    [Code::NoFtraceEntry, Code::UnexplainedChange, Code::UnsupportedSectionChange];

impl Builds {
    /// Adds all objects below two folders. Those that are equal byte by byte to one of the
    /// other build need no closer look.
    pub(crate) fn add_folders(&mut self, orig: &Path, patched: &Path) -> Result<()> {
        let read = members::read(orig, patched)?;
        let (from_orig, from_patched) = (self.orig.len(), self.patched.len());
        let found = units_of(&read.orig, &read.patched)?;
        let paired = found.iter().any(|u| !u.orig.is_empty() && !u.patched.is_empty());
        let alone = found.iter().map(|u| u.orig.len()).sum::<usize>();
        if !paired && alone == read.orig.len() {
            return Err(nothing_in_common((orig, &read.orig), (patched, &read.patched)));
        }
        for mut unit in found {
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

    /// Adds two objects that are the same one; without an original, the object is new. Those
    /// that are equal byte by byte need no closer look.
    pub(crate) fn add_pair(&mut self, orig: Option<&Path>, patched: &Path) -> Result<()> {
        let open = |path: &Path| {
            Ok(Member { path: path.display().to_string(), image: Image::open(path)? })
        };
        let (orig, patched) = (orig.map(open).transpose()?, open(patched)?);
        if orig.as_ref().is_some_and(|o| o.image.bytes() == patched.image.bytes()) {
            return Ok(());
        }
        let from: &[usize] = if orig.is_some() { &[self.orig.len()] } else { &[] };
        self.alone.insert(self.units.len());
        self.units.push(Unit::of(from, &[self.patched.len()]));
        self.orig.extend(orig);
        self.patched.push(patched);
        Ok(())
    }

    /// Compares one unit, given by its index. With `peers` the answer is that of all objects of the patch.
    pub(crate) fn compare(
        &self,
        index: usize,
        options: CompareOptions<'_>,
        against: KernelContext<'_>,
        peers: Option<&Peers>,
    ) -> Outcome {
        let unit = &self.units[index];
        let complete = !self.alone.contains(&index);
        let boot = match (options.strict, complete) {
            (true, _) => BootCode::Refuse,
            (false, true) => BootCode::Warn,
            (false, false) => BootCode::AsLinked,
        };
        let shown = |members: &[Member], picked: &[usize]| {
            picked.iter().map(|&i| members[i].shown()).collect::<Vec<String>>().join(" + ")
        };
        let mut outcome = Outcome {
            orig: shown(&self.orig, &unit.orig),
            patched: shown(&self.patched, &unit.patched),
            path: self.path(index).to_owned(),
            object: against.parent.map_or("", |files| files.name).to_owned(),
            report: Report::default(),
            result: Ok(None),
        };
        let others = Beside {
            units: &self.units,
            patched: &self.patched,
            known: &self.referrers,
            unit: index,
        };
        let context = PatchContext {
            boot,
            peers,
            complete,
            others: Some(&others),
            no_lift: options.no_lift,
            remade: options.remade,
            ..PatchContext::default()
        };
        let mut warnings = Vec::new();
        let run = self.inner(unit, against, context, &outcome, options.wanted, &mut warnings);
        let run = run.unwrap_or_else(|error| Run::refused(error, options.wanted.clone()));
        outcome.report = run.report;
        outcome.report.warnings.splice(0..0, warnings);
        outcome.result = run.outcome.patch();
        self.forget_overridden(&mut outcome);
        if outcome.result.is_ok()
            && let Err(error) = self.check_overrides(unit, &outcome.report)
        {
            outcome.result = Err(error);
        }
        outcome
    }

    /// Compares what is in a unit. What is to be said of the unit itself goes into `warnings`.
    fn inner(
        &self,
        unit: &Unit,
        against: KernelContext<'_>,
        context: PatchContext<'_>,
        outcome: &Outcome,
        wanted: &Wanted,
        warnings: &mut Vec<Diagnostic>,
    ) -> Result<Run> {
        if unit.patched.is_empty() {
            let mut removed = Vec::new();
            for &i in &unit.orig {
                removed.extend(functions(&self.orig[i])?);
                let line = "the patched build has no such object; what it holds stays in the running kernel";
                warnings.push(
                    Diagnostic::warning(Code::RemovedObject, line)
                        .in_file(self.orig[i].path.clone()),
                );
            }
            let report = Report { removed, wanted: wanted.clone(), ..Report::default() };
            return Ok(Run { report, outcome: crate::Outcome::Unchanged });
        }
        let orig = match unit.orig.is_empty() {
            true => {
                let line =
                    "the original has no such object; what refers to it brings it into the patch";
                warnings
                    .push(Diagnostic::warning(Code::NewObject, line).in_file(outcome.path.clone()));
                let like = &self.patched[unit.patched[0]];
                Cow::Owned(nothing(&Object::parse(&like.shown(), like.image.bytes())?)?)
            }
            false => bytes::<Orig>(&self.orig, &unit.orig)?,
        };
        for (name, from, to) in &unit.overrides.replaced {
            let line = format!(
                "{name}: the definition in {} counts now, and that in {} before",
                self.patched[*to].path, self.orig[*from].path
            );
            let warning =
                Diagnostic::warning(Code::DefinitionReplaced, line).at_symbol(name.clone());
            warnings.push(warning.in_file(outcome.path.clone()));
        }
        let patched = bytes::<Patched>(&self.patched, &unit.patched)?;
        let inputs = [(&*outcome.orig, &*orig), (&*outcome.patched, &*patched)];
        let mut run = against.compare(inputs, context, wanted);
        if !matches!(run.outcome, crate::Outcome::Refused(_)) {
            let sides = [(&self.orig, &unit.orig), (&self.patched, &unit.patched)];
            let mut read =
                sides.into_iter().flat_map(|(all, picked)| picked.iter().map(|&i| &all[i]));
            if let Err(error) = read.try_for_each(|member| member.image.check_unchanged()) {
                run.outcome = crate::Outcome::Refused(error);
            }
        }
        Ok(run)
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
            Code::OverriddenDefinition,
            "a function changed that is not, or may not be, the one that runs",
        )
        .with_details(details)
        .advise("leave the change out, or give only objects that are linked with each other"))
    }

    /// The units, as those that belong to some kernel object.
    pub(crate) fn subjects(&self) -> Vec<Subject<'_>> {
        let subject = |unit: usize| {
            let Unit { orig, patched, .. } = &self.units[unit];
            let orig = orig.iter().map(|&i| &self.orig[i]);
            let patched = patched.iter().map(|&i| &self.patched[i]);
            let paths = orig.clone().chain(patched.clone()).map(|m| m.image.path());
            Subject {
                shown: self.path(unit).to_owned(),
                paths: paths.chain([Path::new(self.path(unit))]).collect(),
                orig: orig.map(|m| (m.shown(), m.image.bytes())).collect(),
                patched: patched.map(|m| (m.shown(), m.image.bytes())).collect(),
            }
        };
        (0..self.units.len()).map(subject).collect()
    }

    /// Path of a unit below its folder, or as given.
    pub(crate) fn path(&self, unit: usize) -> &str {
        let Unit { orig, patched, .. } = &self.units[unit];
        let patched = patched.first().map(|&i| &self.patched[i]);
        patched.or(orig.first().map(|&i| &self.orig[i])).map_or("", |m| &m.path)
    }

    /// What to say about files that were not compared.
    pub(crate) fn not_compared(&self) -> impl Iterator<Item = Outcome> + '_ {
        self.warnings.iter().map(|(path, warning)| Outcome {
            orig: String::new(),
            patched: path.clone(),
            path: path.clone(),
            object: String::new(),
            report: Report { warnings: vec![warning.clone()], ..Report::default() },
            result: Ok(None),
        })
    }

    /// Compares all units, each against what `against` says, in order. `done` counts them.
    pub(crate) fn compare_all<'k>(
        &self,
        options: CompareOptions<'_>,
        against: &(dyn Fn(usize) -> KernelContext<'k> + Sync),
        peers: Option<&Peers>,
        done: &Count,
    ) -> Vec<Outcome> {
        (0..self.units.len())
            .into_par_iter()
            .map(|unit| {
                let outcome = self.compare(unit, options, against(unit), peers);
                done.inc();
                outcome
            })
            .collect()
    }

    /// Builds the outputs of what changed, and of what was refused for want of an image.
    pub(crate) fn build<'k>(
        &self,
        found: &mut [Outcome],
        options: CompareOptions<'_>,
        against: &(dyn Fn(usize) -> KernelContext<'k> + Sync),
    ) {
        let none = Peers::default();
        let changed = |o: &Outcome| match &o.result {
            Ok(_) => o.report.is_changed(),
            // An image may tell who else uses what is in question.
            Err(error) => IMAGE_TELLS.contains(&error.code()),
        };
        found.par_iter_mut().enumerate().filter(|(_, o)| changed(o)).for_each(|(unit, outcome)| {
            *outcome = self.compare(unit, options, against(unit), Some(&none));
        });
    }

    /// Builds the outputs anew that refer to what other objects tell the names of in the
    /// running kernel. All outputs must have been built with `peers`, without any.
    pub(crate) fn connect<'k>(
        &self,
        found: &mut [Outcome],
        options: CompareOptions<'_>,
        against: &(dyn Fn(usize) -> KernelContext<'k> + Sync),
    ) {
        if found.iter().all(|o| o.report.needs.is_empty()) {
            return;
        }
        let none = Peers::default();
        let object = |unit: usize| against(unit).parent.map_or("", |files| files.name);
        // An object may refer to what was local to another one, which may not have changed.
        let offers: Vec<Vec<(String, u32)>> = found
            .par_iter()
            .enumerate()
            .map(|(unit, outcome)| match outcome.report.is_changed() {
                true => outcome.report.offers.clone(),
                false => self.compare(unit, options, against(unit), Some(&none)).report.offers,
            })
            .collect();
        // A place in the symbol table of one kernel object says nothing about another's.
        let mut peers: IndexMap<&str, Peers, RandomState> = IndexMap::default();
        for (unit, offers) in offers.into_iter().enumerate() {
            peers.entry(object(unit)).or_default().extend(offers);
        }
        found.par_iter_mut().enumerate().for_each(|(unit, outcome)| {
            let Some(peers) = peers.get(object(unit)) else { return };
            if outcome.report.needs.iter().any(|name| peers.contains_key(name)) {
                *outcome = self.compare(unit, options, against(unit), Some(peers));
            }
        });
    }

    /// Lets the objects that differ tell each other what was inlined. `found` are all units.
    pub(crate) fn ask(&self, found: &mut [Outcome]) -> Result<()> {
        let functions = found.iter().flat_map(|o| &o.report.functions);
        let questions = functions.flat_map(|f| &f.questions);
        let wanted: IndexSet<&str> = questions.map(Question::callee).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let (mut orig, mut patched) = (Bodies::default(), Bodies::default());
        for unit in &self.units {
            unit.orig.iter().try_for_each(|&i| self.orig[i].bodies::<Orig>(&wanted, &mut orig))?;
            let mut learn = |&i: &usize| self.patched[i].bodies::<Patched>(&wanted, &mut patched);
            unit.patched.iter().try_for_each(&mut learn)?;
        }
        let functions = found.iter_mut().flat_map(|o| &mut o.report.functions);
        functions.for_each(|f| f.learn(&orig, &patched));
        let mut all: Vec<&mut Vec<Function>> =
            found.iter_mut().map(|o| &mut o.report.functions).collect();
        tell_edited(&mut all);
        let mut carriers = Carriers::default();
        found.iter().for_each(|o| o.report.carriers(&mut carriers));
        found.iter_mut().for_each(|o| o.report.tell_inlined_everywhere(&carriers));
        Ok(())
    }
}

/// The error about two folders of which no object is in the other.
fn nothing_in_common(orig: (&Path, &[Member]), patched: (&Path, &[Member])) -> Error {
    let seen = |(folder, members): (&Path, &[Member])| {
        let first = members.first().map_or("", |m| &m.path);
        format!("{}: {} object(s), such as {first}", folder.display(), members.len())
    };
    Error::broken(Code::NothingInCommon, "the folders have no object in common")
        .in_file(patched.0.display().to_string())
        .with_details(vec![seen(orig), seen(patched)])
        .advise("give the same folder of two builds of one kernel")
}

/// Fails when an output refers to what neither the kernel nor another output has. `linked`:
/// the outputs are linked with each other.
pub(crate) fn check_needs<'o>(
    made: impl Iterator<Item = (&'o Outcome, &'o OutObject)> + Clone,
    linked: bool,
) -> Result<()> {
    let mut defined: IndexSet<&str, RandomState> = IndexSet::default();
    if linked {
        let symbols = made.clone().flat_map(|(_, object)| &object.symbols);
        let global = symbols.filter(|s| s.bind != abi::STB_LOCAL && s.home != OutHome::Undefined);
        defined.extend(global.map(|s| s.name.as_str()));
    }
    let mut details = Vec::new();
    for (outcome, _) in made {
        for name in outcome.report.needs.iter().filter(|n| !defined.contains(n.as_str())) {
            details.push(format!("{}: '{name}' is not known", outcome.path));
        }
    }
    if details.is_empty() {
        return Ok(());
    }
    Err(Error::refused(
        Code::UnresolvedSymbol,
        "the patch refers to what neither it nor the kernel has",
    )
    .with_details(details)
    .advise("give all objects of the build; with --flavor klp, write one file for all objects"))
}

/// The object, or several linked into one.
fn bytes<'m, S: Side>(members: &'m [Member], picked: &[usize]) -> Result<Cow<'m, [u8]>> {
    if let [only] = picked {
        return Ok(Cow::Borrowed(members[*only].image.bytes()));
    }
    let parse = |&i: &usize| {
        let name = members[i].shown();
        let object = Object::<S>::parse(&name, members[i].image.bytes())?;
        let arch = Arch::from_machine(object.header().machine)?;
        let droppable = |section: &str| noise::rule(section, arch).is_some_and(|r| r.dropped);
        Ok((name, OutObject::without(&object, droppable)?))
    };
    let parts = picked.iter().map(parse).collect::<Result<Vec<_>>>()?;
    elf::write::write(&link(parts)?).map(Cow::Owned)
}

/// Names of the functions that an object defines, in symbol order.
fn functions(member: &Member) -> Result<Vec<String>> {
    let object = Object::<Orig>::parse(&member.shown(), member.image.bytes())?;
    let arch = Arch::from_machine(object.header().machine)?;
    let defined = object.symbols().skip(1).filter(|&id| {
        let name = object.symbol_name(id);
        object.symbol_kind(id) == abi::STT_FUNC
            && object.section_of(id).is_some()
            && arch.prefixed(name).is_none()
            && !names::is_init_stub(name)
    });
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
