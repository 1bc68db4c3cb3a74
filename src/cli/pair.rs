//! `klp-diff ORIG.o PATCHED.o`.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Args, Exit, complain, fail};
use crate::elf::image::Image;
use crate::elf::publish::publish;
use crate::error::{Error, Result};
use crate::kernel::symtab::as_text;
use crate::kernel::tables::StructSizes;
use crate::report::Report;
use crate::report::json::Document;
use crate::{Input, Job, ParentFiles};

/// Compares one pair. The error is a mistake on the command line.
pub(super) fn run(args: &Args) -> std::result::Result<Exit, String> {
    if args.output.is_some() && args.symtab.is_none() {
        return Err(
            "-o needs --symtab FILE: make it with `readelf -s --wide vmlinux > FILE`".into()
        );
    }
    let sizes = struct_sizes(&args.structs)?;
    let mut report = Report {
        explain_noise: args.json.is_some() || args.explain_noise || args.expect_change,
        ..Report::default()
    };
    let mut result = diff(args, sizes, &mut report);
    if args.expect_change && matches!(result, Ok(Exit::Unchanged)) {
        result = Err(Error::refused("nothing-changed", "nothing changed, but a change was expected")
            .advise("either the change is not compiled into this object, or all of its differences were judged noise (--explain-noise lists them)"));
    }
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    print(&report, to_stdout);
    if args.explain_noise {
        for noise in &report.ignored {
            complain(&format!(
                "noise: section {}: {} bytes differ: {} ({})",
                noise.section, noise.bytes, noise.rule, noise.reason
            ));
        }
    }
    let exit = match &result {
        Ok(exit) => *exit,
        Err(error) => fail(error),
    };
    match &args.json {
        Some(path) => Ok(json(args, path, &report, result.err().as_ref(), exit)),
        None => Ok(exit),
    }
}

/// Writes the report for programs; that it cannot be written is an error of its own.
fn json(args: &Args, path: &Path, report: &Report, error: Option<&Error>, exit: Exit) -> Exit {
    let (orig, patched) = (args.orig.display().to_string(), args.patched.display().to_string());
    let document = Document::new(&orig, &patched, report, error, exit as i32);
    let written = document.text().and_then(|text| {
        let done = match path == Path::new("-") {
            true => std::io::stdout().write_all(text.as_bytes()),
            false => std::fs::write(path, text),
        };
        done.map_err(|e| {
            Error::broken("unwritable", format!("cannot write the report: {e}"))
                .in_file(path.display().to_string())
        })
    });
    match written {
        Ok(()) => exit,
        Err(error) => fail(&error),
    }
}

/// Sizes from the environment, overridden by those of the command line.
fn struct_sizes(given: &[String]) -> std::result::Result<StructSizes, String> {
    let mut sizes: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .filter(|(k, _)| k.ends_with("_STRUCT_SIZE"))
        .collect();
    for pair in given {
        let (name, size) =
            pair.split_once('=').filter(|(name, _)| name.ends_with("_STRUCT_SIZE")).ok_or_else(
                || format!("--struct {pair}: expected NAME=N, such as BUG_STRUCT_SIZE=12"),
            )?;
        sizes.push((name.to_owned(), size.to_owned()));
    }
    Ok(StructSizes::new(sizes, true))
}

fn print(report: &Report, to_stderr: bool) {
    let mut text = String::new();
    for function in &report.functions {
        text += &function.line();
        text.push('\n');
        if let Some(reason) = function.reasons.first() {
            text += &format!("  {reason}\n");
        }
    }
    let _ = if to_stderr {
        std::io::stderr().write_all(text.as_bytes())
    } else {
        std::io::stdout().write_all(text.as_bytes())
    };
    for line in
        report.warnings.iter().map(Error::message).chain(report.messages.iter().map(|m| &**m))
    {
        complain(line);
    }
}

fn diff(args: &Args, sizes: StructSizes, report: &mut Report) -> Result<Exit> {
    let orig = Image::open(&args.orig)?;
    let patched = Image::open(&args.patched)?;
    let symtab = args.symtab.as_deref().map(Image::open_any).transpose()?;
    let symvers = args.symvers.as_deref().map(Image::open_any).transpose()?;
    let shown = |path: &Path| path.display().to_string();
    let (orig_name, patched_name) = (shown(&args.orig), shown(&args.patched));
    let symtab_name = args.symtab.as_deref().map(shown).unwrap_or_default();
    let symvers_name = args.symvers.as_deref().map(shown).unwrap_or_default();
    let symvers_text = symvers.as_ref().map(|i| i.text()).unwrap_or_default();
    let parent = match &symtab {
        None => None,
        Some(image) => Some(ParentFiles {
            name: &args.object,
            symtab: Input { name: &symtab_name, data: as_text(&symtab_name, image.bytes())? },
            symvers: Input { name: &symvers_name, data: &symvers_text },
        }),
    };
    let job = Job {
        orig: Input { name: &orig_name, data: orig.bytes() },
        patched: Input { name: &patched_name, data: patched.bytes() },
        parent,
        sizes,
        drop_in: false,
        klp_arch: false,
    };
    let output = crate::run(&job, report)?;
    orig.check_unchanged()?;
    patched.check_unchanged()?;
    if let (Some(path), Some(object)) = (&args.output, &output) {
        publish(&output_path(path, &args.patched)?, object)?;
    }
    Ok(if report.is_changed() { Exit::Changed } else { Exit::Unchanged })
}

/// `-o FOLDER` keeps the object's name.
fn output_path(output: &Path, patched: &Path) -> Result<PathBuf> {
    let folder = output.is_dir() || output.to_string_lossy().ends_with('/');
    if !folder {
        return Ok(output.to_owned());
    }
    std::fs::create_dir_all(output).map_err(|e| {
        Error::broken("unwritable", format!("cannot make the folder: {e}"))
            .in_file(output.display().to_string())
    })?;
    let name = patched.file_name().ok_or_else(|| {
        Error::broken("unwritable", "the patched object has no file name")
            .in_file(patched.display().to_string())
    })?;
    Ok(output.join(name))
}
