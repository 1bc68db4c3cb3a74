//! `klp-diff ORIG_DIR PATCHED_DIR`: all objects of two builds.

#![expect(clippy::indexing_slicing, reason = "units and images have the numbers they were given")]

use std::path::{Path, PathBuf};

use super::kernel::{Kernel, Read, check_strict, in_flavor, is_folder};
use super::output::{nothing_changed, summary, write_reports};
use super::show::Show;
use super::targets::KernelObjectArgs;
use super::wait::compare_all;
use super::{Args, Exit, Flavor, fail};
use crate::ParentFiles;
use crate::diag::{Code, Error, Result};
use crate::elf::link::link;
use crate::elf::out::OutObject;
use crate::elf::publish::publish;
use crate::folders::builds::{Builds, CompareOptions, Outcome, check_needs};
use crate::folders::context::KernelContext;
use crate::host::files;
use crate::kernel::knowledge::tables::StructSizes;
use crate::report::{Report, json};

/// Compares two folders of objects.
pub(super) fn run(args: &Args, targets: &KernelObjectArgs, sizes: &StructSizes) -> Exit {
    let (outcomes, whole) = match compare(args, targets, sizes) {
        Ok(outcomes) => (outcomes, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let show = Show::new(&args.report);
    let mut exit = Exit::Unchanged;
    for outcome in &outcomes {
        show.pair(
            Some(&outcome.path),
            &outcome.path,
            &outcome.report,
            outcome.result.as_ref().err(),
        );
        exit = worst(exit, judge(outcome));
    }
    let missing = show.finish(whole.is_none());
    if show.lists() {
        summary(outcomes.iter().map(|o| &o.report), false);
    }
    let whole = match (whole, exit) {
        (None, Exit::Unchanged) if args.report.expect_change => Some(nothing_changed()),
        (None, Exit::Changed) => match &args.output {
            Some(output) => write(args, output, &outcomes).err(),
            None => None,
        },
        (whole, _) => whole,
    };
    for error in whole.iter().chain(&missing) {
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
    write_reports(&args.report, objects, exit)
}

fn compare(args: &Args, targets: &KernelObjectArgs, sizes: &StructSizes) -> Result<Vec<Outcome>> {
    let mut builds = Builds::default();
    builds.add_folders(&args.orig, &args.patched)?;
    check_files(args, &builds)?;
    let mut subjects = builds.subjects();
    // Options about objects that are equal on both sides are right, too.
    let equal = vec![Path::new(&args.orig), Path::new(&args.patched)];
    let everything = builds.orig.iter().chain(&builds.patched).map(|m| m.image.path());
    targets.check(equal.into_iter().chain(everything))?;
    let assigned = targets.assign(&subjects)?;
    subjects.clear();
    let kernels = assigned.targets.iter().map(|target| Kernel::open(args, target));
    let kernels = kernels.collect::<Result<Vec<_>>>()?;
    let read = kernels.iter().map(|kernel| kernel.read(args, sizes.clone()));
    let read = read.collect::<Result<Vec<_>>>()?;
    let mut known = Vec::new();
    for (kernel, read) in kernels.iter().zip(&read) {
        read.check_allowed(args)?;
        known.push(kernel.against(args, read)?);
    }
    let members = builds.orig.iter().chain(&builds.patched);
    check_strict(args, read.iter().any(Read::has_image), members.map(|m| &m.image))?;
    let against = |unit: usize| known[assigned.of[unit]];
    let nothing = |unit: usize| KernelContext { parent: None, ..against(unit) };
    let wanted = args.report.wanted();
    let options = CompareOptions {
        strict: args.strict,
        no_lift: args.no_lift,
        wanted: &wanted,
        remade: args.flavor == Flavor::KlpBuild,
    };
    let mut outcomes = compare_all(&builds, options, &nothing, None);
    let parents = known.iter().map(|against| against.parent.as_ref().map(ParentFiles::read));
    let parents = parents.map(Option::transpose).collect::<Result<Vec<_>>>()?;
    if parents.iter().any(Option::is_some) {
        let against = |unit: usize| {
            let (against, parent) = (against(unit), parents[assigned.of[unit]].as_ref());
            let files = against.parent.map(|files| ParentFiles { known: parent, ..files });
            KernelContext { parent: files, ..against }
        };
        builds.build(&mut outcomes, options, &against);
        builds.connect(&mut outcomes, options, &against);
    }
    builds.ask(&mut outcomes)?;
    kernels.iter().try_for_each(Kernel::check_unchanged)?;
    outcomes.extend(builds.not_compared());
    outcomes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(outcomes)
}

/// Fails when an output would destroy an object.
fn check_files(args: &Args, builds: &Builds) -> Result<()> {
    let mut outputs: Vec<(&str, PathBuf)> = Vec::new();
    outputs.extend(args.report.outputs().map(|(what, path)| (what, path.to_owned())));
    match &args.output {
        Some(folder) if is_folder(folder) => {
            outputs.extend(builds.patched.iter().map(|m| ("-o", folder.join(&m.path))));
        }
        file => outputs.extend(file.iter().map(|file| ("-o", file.clone()))),
    }
    let members = builds.orig.iter().chain(&builds.patched);
    files::check_outputs(
        outputs.iter().map(|(what, path)| (*what, path.as_path())),
        members.map(|m| m.image.path()),
    )
}

/// Says what is wrong with one unit, and how it counts.
fn judge(outcome: &Outcome) -> Exit {
    match &outcome.result {
        Err(error) => fail(error),
        Ok(_) if outcome.report.is_changed() => Exit::Changed,
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
    // Objects of the klp flavour cannot be linked with each other.
    let linked = args.flavor == Flavor::Kpatch || !is_folder(output);
    check_needs(made.iter().copied(), linked)?;
    let object = made.first().map_or("", |(outcome, _)| &outcome.object);
    if let Some((other, _)) = made.iter().find(|(outcome, _)| outcome.object != object)
        && args.flavor == Flavor::KlpBuild
    {
        let text =
            format!("the patch is for {object} and for {}, and this form is for one", other.object);
        return Err(Error::broken(Code::Unwritable, text)
            .in_file(output.display().to_string())
            .advise("compare the objects of each of them by themselves"));
    }
    if args.flavor == Flavor::KlpBuild && is_folder(output) && made.len() > 1 {
        return Err(Error::broken(
            Code::Unwritable,
            "a module with several objects of this form would patch one object several times",
        )
        .in_file(output.display().to_string())
        .advise("give the name of a file: one object is written for all that changed"));
    }
    if !is_folder(output) {
        let all = made.iter().map(|(o, object)| (o.patched.clone(), (*object).clone()));
        return publish(output, &in_flavor(link(all.collect())?, args.flavor, object)?);
    }
    for (outcome, object) in made {
        let path = output.join(&outcome.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| {
                Error::broken(Code::Unwritable, format!("cannot make the folder: {e}"))
                    .in_file(folder.display().to_string())
            })?;
        }
        let object = in_flavor(object.clone(), args.flavor, &outcome.object)
            .map_err(|e| e.in_file(outcome.patched.clone()))?;
        publish(&path, &object)?;
    }
    Ok(())
}
