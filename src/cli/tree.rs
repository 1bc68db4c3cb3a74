//! `klp-diff ORIG_DIR PATCHED_DIR`: all objects of two builds.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use super::output::{
    explain_noise, explains_noise, nothing_changed, print, say, summary, text_to_stderr, write_json,
};
use super::pair::{Against, Kernel, Target, in_flavor, is_folder};
use super::wait::{Bar, Count};
use super::{Args, Exit, Flavor, complain, fail};
use crate::diff::check::BootCode;
use crate::diff::identity::{Identity, Unit, units};
use crate::elf::ids::{Orig, Patched, Side};
use crate::elf::image::Image;
use crate::elf::link::link;
use crate::elf::object::Object;
use crate::elf::out::{OutHome, OutObject};
use crate::elf::publish::publish;
use crate::elf::{self, abi};
use crate::error::{Error, Result};
use crate::kernel::tables::StructSizes;
use crate::patch::resolve::Peers;
use crate::report::{Report, json};
use crate::{Among, ParentFiles};

/// An object of a tree.
struct Member {
    /// Path below the folder.
    path: String,
    image: Image,
}

/// What comparing one unit gave.
struct Outcome {
    /// Paths as given, several joined by ` + `; empty when a side has none.
    orig: String,
    patched: String,
    /// Path below the folder of the patched object, or of the original where there is none.
    path: String,
    report: Report,
    result: Result<Option<OutObject>>,
}

/// Compares two folders of objects.
pub(super) fn run(args: &Args, target: &Target, sizes: &StructSizes) -> Exit {
    let (outcomes, whole) = match compare(args, target, sizes) {
        Ok(outcomes) => (outcomes, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let to_stderr = text_to_stderr(args);
    let mut exit = Exit::Unchanged;
    for outcome in &outcomes {
        exit = worst(exit, show(args, outcome, to_stderr));
    }
    summary(outcomes.iter().map(|o| &o.report));
    let whole = match (whole, exit) {
        (None, Exit::Unchanged) if args.expect_change => Some(nothing_changed()),
        (None, Exit::Changed) => match &args.output {
            Some(output) => write(args, output, &outcomes).err(),
            None => None,
        },
        (whole, _) => whole,
    };
    if let Some(error) = &whole {
        exit = worst(exit, fail(error));
    }
    let mut objects: Vec<json::Object> = outcomes
        .iter()
        .map(|o| json::Object::new(&o.orig, &o.patched, &o.report, o.result.as_ref().err()))
        .collect();
    if let Some(error) = &whole {
        let folders = [&args.orig, &args.patched].map(|f| f.display().to_string());
        objects.push(json::Object::new(&folders[0], &folders[1], &Report::default(), Some(error)));
    }
    write_json(args, objects, exit)
}

fn compare(args: &Args, target: &Target, sizes: &StructSizes) -> Result<Vec<Outcome>> {
    let kernel = Kernel::open(args, target)?;
    let read = kernel.read(args, sizes.clone())?;
    let against = kernel.against(args, &read)?;
    let nothing = Against { parent: None, ..against };
    let (orig, patched) = rayon::join(|| members(&args.orig), || members(&args.patched));
    let (orig, patched) = (orig?, patched?);
    let units = changed_units(&orig, &patched)?;
    let done = Count::default();
    let bar = Bar::count(units.len() as u64, "objects", &done);
    let folders = Folders { args, orig: &orig, patched: &patched };
    let mut found: Vec<(Unit, Outcome)> = units
        .into_par_iter()
        .map(|unit| {
            let outcome = folders.compare(&unit, nothing, None);
            done.inc();
            (unit, outcome)
        })
        .collect();
    drop(bar);
    if let Some(files) = &against.parent {
        let parent = files.read()?;
        let known = ParentFiles { known: Some(&parent), ..*files };
        folders.build(&mut found, Against { parent: Some(known), ..against });
    }
    kernel.check_unchanged()?;
    let mut outcomes: Vec<Outcome> = found.into_iter().map(|(_, outcome)| outcome).collect();
    outcomes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(outcomes)
}

/// What is needed to compare the objects of two folders.
struct Folders<'a> {
    args: &'a Args,
    orig: &'a [Member],
    patched: &'a [Member],
}

impl Folders<'_> {
    /// Builds the outputs of what changed.
    fn build(&self, found: &mut [(Unit, Outcome)], kernel: Against<'_>) {
        let none = Peers::default();
        found
            .par_iter_mut()
            .filter(|(_, o)| o.result.is_ok() && o.report.is_changed())
            .for_each(|(unit, outcome)| *outcome = self.compare(unit, kernel, Some(&none)));
        if found.iter().all(|(_, o)| o.report.needs.is_empty()) {
            return;
        }
        // An object may refer to what was local to another one, which may not have changed.
        let offers: Vec<Vec<(String, u32)>> = found
            .par_iter()
            .map(|(unit, outcome)| match outcome.report.is_changed() {
                true => outcome.report.offers.clone(),
                false => self.compare(unit, kernel, Some(&none)).report.offers,
            })
            .collect();
        let peers: Peers = offers.into_iter().flatten().collect();
        found.par_iter_mut().for_each(|(unit, outcome)| {
            if outcome.report.needs.iter().any(|name| peers.contains_key(name)) {
                *outcome = self.compare(unit, kernel, Some(&peers));
            }
        });
    }

    fn compare(&self, unit: &Unit, against: Against<'_>, peers: Option<&Peers>) -> Outcome {
        let shown = |members: &[Member], picked: &[usize]| {
            let paths = picked.iter().map(|&i| members[i].image.path().display().to_string());
            paths.collect::<Vec<String>>().join(" + ")
        };
        let below = |members: &[Member], picked: &[usize]| {
            picked.iter().map(|&i| members[i].path.clone()).next()
        };
        let path = below(self.patched, &unit.patched).or_else(|| below(self.orig, &unit.orig));
        let mut outcome = Outcome {
            orig: shown(self.orig, &unit.orig),
            patched: shown(self.patched, &unit.patched),
            path: path.unwrap_or_default(),
            report: Report { explain_noise: explains_noise(self.args), ..Report::default() },
            result: Ok(None),
        };
        outcome.result = self.inner(unit, against, peers, &mut outcome);
        outcome
    }

    fn inner(
        &self,
        unit: &Unit,
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
            false => bytes::<Orig>(self.orig, &unit.orig)?,
        };
        let patched = bytes::<Patched>(self.patched, &unit.patched)?;
        let boot = if self.args.strict { BootCode::Refuse } else { BootCode::Warn };
        let output = against.compare(
            [(&outcome.orig, &*orig), (&outcome.patched, &*patched)],
            Among { boot, peers },
            report,
        )?;
        let sides = [(self.orig, &unit.orig), (self.patched, &unit.patched)];
        for (members, picked) in sides {
            for &i in picked {
                members[i].image.check_unchanged()?;
            }
        }
        Ok(output)
    }
}

/// The object, or several linked into one.
fn bytes<'m, S: Side>(members: &'m [Member], picked: &[usize]) -> Result<Cow<'m, [u8]>> {
    if let [only] = picked {
        return Ok(Cow::Borrowed(members[*only].image.bytes()));
    }
    let parse = |&i: &usize| {
        let name = members[i].image.path().display().to_string();
        let object = Object::<S>::parse(&name, members[i].image.bytes())?;
        Ok((name.clone(), OutObject::from_object(&object)?))
    };
    let parts = picked.iter().map(parse).collect::<Result<Vec<_>>>()?;
    elf::write::write(&link(parts)?).map(Cow::Owned)
}

/// An object of the same build as `member`, in which there is nothing.
fn nothing_like(member: &Member) -> Result<Vec<u8>> {
    let name = member.image.path().display().to_string();
    let object = Object::<Orig>::parse(&name, member.image.bytes())?;
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
    let name = member.image.path().display().to_string();
    let object = Object::<Orig>::parse(&name, member.image.bytes())?;
    let defined = object
        .symbols()
        .skip(1)
        .filter(|&id| object.symbol_kind(id) == abi::STT_FUNC && object.section_of(id).is_some());
    Ok(defined.map(|id| object.symbol_name(id).to_owned()).collect())
}

/// Prints what one unit gave, and says how it counts.
fn show(args: &Args, outcome: &Outcome, to_stderr: bool) -> Exit {
    let report = &outcome.report;
    if !report.functions.is_empty() || report.is_changed() || outcome.result.is_err() {
        say(&format!("{}:\n", outcome.path), to_stderr);
    } else if !report.warnings.is_empty() || args.explain_noise && !report.ignored.is_empty() {
        complain(&format!("{}:", outcome.path));
    }
    print(report, to_stderr);
    if args.explain_noise {
        explain_noise(report);
    }
    match &outcome.result {
        Err(error) => fail(error),
        Ok(_) if report.is_changed() => Exit::Changed,
        Ok(_) => Exit::Unchanged,
    }
}

/// Of many objects the worst counts: what is broken, then refused, then changed.
fn worst(a: Exit, b: Exit) -> Exit {
    let order = [Exit::Broken, Exit::Refused, Exit::Changed, Exit::Unchanged];
    order.into_iter().find(|e| *e == a || *e == b).unwrap_or(a)
}

/// One output for each changed object, in the same folders; or one for all in a file.
fn write(args: &Args, output: &Path, outcomes: &[Outcome]) -> Result<()> {
    let made: Vec<(&Outcome, &OutObject)> =
        outcomes.iter().filter_map(|o| Some((o, o.result.as_ref().ok()?.as_ref()?))).collect();
    check_needs(args, output, &made)?;
    if !is_folder(output) {
        let all = made.iter().map(|(o, object)| (o.patched.clone(), (*object).clone()));
        return publish(output, &in_flavor(link(all.collect())?, args.flavor)?);
    }
    for (outcome, object) in made {
        let path = output.join(&outcome.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| {
                Error::broken("unwritable", format!("cannot make the folder: {e}"))
                    .in_file(folder.display().to_string())
            })?;
        }
        let object = in_flavor(object.clone(), args.flavor)
            .map_err(|e| e.in_file(outcome.patched.clone()))?;
        publish(&path, &object)?;
    }
    Ok(())
}

/// Fails when an output refers to what neither the kernel nor another output has.
fn check_needs(args: &Args, output: &Path, made: &[(&Outcome, &OutObject)]) -> Result<()> {
    let mut defined: IndexSet<&str, RandomState> = IndexSet::default();
    // Objects of the klp flavour cannot be linked with each other.
    if args.flavor == Flavor::Kpatch || !is_folder(output) {
        let symbols = made.iter().flat_map(|(_, object)| &object.symbols);
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
        "unresolved-symbol",
        "the patch refers to what neither it nor the kernel has",
    )
    .with_details(details)
    .advise("give all objects of the build; with --flavor klp, write one file for all objects"))
}

/// The objects to look at. Those that are equal byte by byte to one of the other build need
/// no closer look.
fn changed_units(orig: &[Member], patched: &[Member]) -> Result<Vec<Unit>> {
    let mut by_path: IndexMap<&str, usize, RandomState> =
        orig.iter().enumerate().map(|(i, m)| (m.path.as_str(), i)).collect();
    let equal: Vec<bool> = patched
        .par_iter()
        .map(|p| {
            let twin = by_path.get(p.path.as_str()).map(|&o| &orig[o]);
            twin.is_some_and(|o| o.image.bytes() == p.image.bytes())
        })
        .collect();
    for (p, _) in patched.iter().zip(&equal).filter(|(_, equal)| **equal) {
        by_path.swap_remove(p.path.as_str());
    }
    let mut left: Vec<usize> = by_path.into_values().collect();
    left.sort_unstable();
    let mut right: Vec<usize> = (0..patched.len()).filter(|&i| !equal[i]).collect();
    drop_copies(orig, patched, &mut left, &mut right);
    let (o, p) =
        rayon::join(|| identities::<Orig>(orig, &left), || identities::<Patched>(patched, &right));
    let mut units = units(&o?, &p?)?;
    for unit in &mut units {
        unit.orig.iter_mut().for_each(|i| *i = left[*i]);
        unit.patched.iter_mut().for_each(|i| *i = right[*i]);
    }
    Ok(units)
}

/// Takes objects out that the other build has under another name, byte by byte: when as many
/// of them are on each side, it does not matter which is which.
fn drop_copies(orig: &[Member], patched: &[Member], left: &mut Vec<usize>, right: &mut Vec<usize>) {
    let mut copies: IndexMap<&[u8], (usize, usize), RandomState> = IndexMap::default();
    for &o in left.iter() {
        copies.entry(orig[o].image.bytes()).or_default().0 += 1;
    }
    for &p in right.iter() {
        copies.entry(patched[p].image.bytes()).or_default().1 += 1;
    }
    let differs = |bytes: &[u8]| copies.get(bytes).is_none_or(|(o, p)| o != p);
    left.retain(|&o| differs(orig[o].image.bytes()));
    right.retain(|&p| differs(patched[p].image.bytes()));
}

fn identities<S: Side>(members: &[Member], wanted: &[usize]) -> Result<Vec<Identity>> {
    wanted
        .par_iter()
        .map(|&i| {
            let member = &members[i];
            let name = member.image.path().display().to_string();
            let object = Object::<S>::parse(&name, member.image.bytes())?;
            Ok(Identity::of(&member.path, &object))
        })
        .collect()
}

/// All relocatable objects below a folder, by path.
fn members(folder: &Path) -> Result<Vec<Member>> {
    let mut folders = vec![folder.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(next) = folders.pop() {
        let fail = |e: std::io::Error| {
            Error::broken("unreadable", format!("cannot list the folder: {e}"))
                .in_file(next.display().to_string())
        };
        for entry in std::fs::read_dir(&next).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    let members: Vec<Option<Member>> = files
        .into_par_iter()
        .map(|path| {
            let image = Image::open(&path)?;
            let below = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
            Ok(is_relocatable(image.bytes()).then_some(Member { path: below, image }))
        })
        .collect::<Result<_>>()?;
    let members: Vec<Member> = members.into_iter().flatten().collect();
    if members.is_empty() {
        return Err(Error::broken("no-objects", "the folder holds no relocatable objects")
            .in_file(folder.display().to_string())
            .advise("give the folder that ld.lld --lto-obj-path wrote to, or a build tree"));
    }
    Ok(members)
}

/// Whether a file is an ELF object that a linker would take: other files of a build tree are
/// passed over.
fn is_relocatable(bytes: &[u8]) -> bool {
    let kind = match (bytes.get(5), bytes.get(16..18)) {
        (Some(1), Some(kind)) => u16::from_le_bytes([kind[0], kind[1]]),
        (Some(2), Some(kind)) => u16::from_be_bytes([kind[0], kind[1]]),
        _ => return false,
    };
    abi::is_elf(bytes) && kind == abi::ET_REL
}
