//! `klp-diff ORIG_DIR PATCHED_DIR`: all objects of two builds.

use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::pair::{Kernel, Target};
use super::wait::{Bar, Count};
use super::{Args, Exit, complain, fail};
use crate::diff::identity::{Identity, pair};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, Side};
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::elf::out::OutObject;
use crate::elf::publish::publish;
use crate::error::{Error, Result};
use crate::kernel::tables::StructSizes;
use crate::report::Report;

/// An object of a tree.
struct Member {
    /// Path below the folder.
    path: String,
    image: Image,
}

/// What comparing one pair gave.
struct Outcome {
    path: String,
    report: Report,
    result: Result<Option<OutObject>>,
}

/// Compares two folders of objects.
pub(super) fn run(args: &Args, target: &Target, sizes: &StructSizes) -> Exit {
    match compare(args, target, sizes) {
        Ok(exit) => exit,
        Err(error) => fail(&error),
    }
}

fn compare(args: &Args, target: &Target, sizes: &StructSizes) -> Result<Exit> {
    let kernel = Kernel::open(args, target)?;
    let (orig, patched) = rayon::join(|| members(&args.orig), || members(&args.patched));
    let (orig, patched) = (orig?, patched?);
    let (pairs, added, removed) = changed_pairs(&orig, &patched)?;
    let done = Count::default();
    let bar = Bar::count(pairs.len() as u64, "pairs", &done);
    let mut outcomes: Vec<Outcome> = pairs
        .par_iter()
        .map(|&(o, p)| {
            let mut report = Report::default();
            let images = [&orig[o].image, &patched[p].image];
            let result = kernel.compare(args, images, sizes, &mut report);
            done.inc();
            Outcome { path: patched[p].path.clone(), report, result }
        })
        .collect();
    drop(bar);
    outcomes.sort_by(|a, b| a.path.cmp(&b.path));
    for member in removed {
        complain(&format!("removed object: {}", orig[member].path));
    }
    let mut exit = Exit::Unchanged;
    for outcome in &outcomes {
        exit = worst(exit, show(outcome));
    }
    for member in added {
        println(&format!("new object: {}", patched[member].path));
        exit = worst(exit, Exit::Changed);
        complain(&format!(
            "{}: the original has no such object; link it into the module as it is",
            patched[member].path
        ));
    }
    if let Some(output) = &args.output
        && exit == Exit::Changed
    {
        write(output, &outcomes)?;
    }
    Ok(exit)
}

/// Prints what one pair gave, and says how it counts.
fn show(outcome: &Outcome) -> Exit {
    let report = &outcome.report;
    let told = !report.functions.is_empty() || report.is_changed() || outcome.result.is_err();
    if told {
        println(&format!("{}:", outcome.path));
    }
    super::pair::print(report, false);
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

/// One output for each changed object, in the same folders.
fn write(output: &Path, outcomes: &[Outcome]) -> Result<()> {
    for outcome in outcomes {
        let Ok(Some(object)) = &outcome.result else { continue };
        let path = output.join(&outcome.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| {
                Error::broken("unwritable", format!("cannot make the folder: {e}"))
                    .in_file(folder.display().to_string())
            })?;
        }
        publish(&path, object)?;
    }
    Ok(())
}

type Pairs = (Vec<(usize, usize)>, Vec<usize>, Vec<usize>);

/// The pairs whose bytes differ, and the objects that only one side has. Objects that are
/// equal byte by byte at the same path need no closer look.
fn changed_pairs(orig: &[Member], patched: &[Member]) -> Result<Pairs> {
    let mut by_path: indexmap::IndexMap<&str, usize, foldhash::fast::RandomState> =
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
    let right: Vec<usize> = (0..patched.len()).filter(|&i| !equal[i]).collect();
    let (o, p) =
        rayon::join(|| identities::<Orig>(orig, &left), || identities::<Patched>(patched, &right));
    let pairing = pair(&o?, &p?)?;
    let pairs = pairing.pairs.into_iter().map(|(o, p)| (left[o], right[p]));
    let pairs = pairs.filter(|&(o, p)| orig[o].image.bytes() != patched[p].image.bytes());
    let added = pairing.added.into_iter().map(|i| right[i]).collect();
    let removed = pairing.removed.into_iter().map(|i| left[i]).collect();
    Ok((pairs.collect(), added, removed))
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
    bytes.starts_with(b"\x7fELF") && kind == abi::ET_REL
}

/// Prints a line of the result.
fn println(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
