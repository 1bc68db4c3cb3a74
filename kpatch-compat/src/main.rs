//! Drop-in for kpatch's create-diff-object: command line, environment, exit status and
//! wording of the C tool around the library.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use klp_diff::diag::{Class, Code, Error, Result, printable};
use klp_diff::elf::image::Image;
use klp_diff::elf::publish::publish_proved;
use klp_diff::host::fault::contained;
use klp_diff::host::{files, print, use_threads};
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::report::Report;
use klp_diff::{Input, Job, Outcome, ParentFiles, Policy, Run, proved};
use kpatch_compat::argp::{Command, Flag, Parsed};
use kpatch_compat::finish;

const COMMAND: Command = Command {
    doc: "create-diff-object - make an object with the functions that a patch changed",
    flags: &[
        Flag { long: "debug", short: 'd', help: "Show debug output" },
        Flag { long: "klp-arch", short: 'a', help: "Kernel supports .klp.arch section" },
    ],
    positionals: &[
        "original.o",
        "patched.o",
        "parent-name",
        "parent-symtab",
        "Module.symvers",
        "patch-module-name",
        "output.o",
    ],
};

fn main() -> ExitCode {
    klp_diff::prepare("create-diff-object");
    contained(run).unwrap_or(ExitCode::from(1))
}

fn run() -> ExitCode {
    let parsed = match COMMAND.arguments() {
        Ok(parsed) => parsed,
        Err(exit) => return exit,
    };
    use_threads(None);
    let child = parsed.positionals.first().map(child_name).unwrap_or_default();
    let Run { report, outcome } =
        diff(&parsed, &child).unwrap_or_else(|error| Run::refused(error, Default::default()));
    show(&report, &child);
    ExitCode::from(finish(match outcome {
        Outcome::Changed { patch: Some(()), .. } => 0,
        Outcome::Changed { patch: None, .. } | Outcome::Unchanged => 3,
        Outcome::Refused(error) => {
            show_error(&error, &child);
            match error.class() {
                Class::Broken => 1,
                Class::Refused => 2,
            }
        }
    }))
}

/// The object's path without its first component.
fn child_name(path: &OsString) -> String {
    let path = path.to_string_lossy();
    match path.split_once('/') {
        Some((_, rest)) => rest.to_owned(),
        None => path.into_owned(),
    }
}

fn show(report: &Report, child: &str) {
    let functions = report.functions.iter().map(|f| f.symbol_line());
    let lines = report
        .warnings
        .iter()
        .map(|w| w.message().to_owned())
        .chain(report.messages.iter().cloned())
        .chain(functions);
    print::out_lines(lines.map(|line| format!("{child}: {line}")));
}

fn show_error(error: &Error, child: &str) {
    let mut lines: Vec<String> = error.details().iter().map(|d| format!("ERROR: {d}")).collect();
    let message = error.message();
    match error.class() {
        Class::Broken => lines
            .push(format!("create-diff-object: ERROR: {child}: {}: 0: {message}", error.code())),
        Class::Refused => {
            lines.push(format!("ERROR: {child}: {message}"));
            lines.push("create-diff-object: unreconcilable difference".to_owned());
        }
    }
    let full = error.to_string();
    if full != printable(message) {
        lines.push(full);
    }
    lines.iter().for_each(|line| print::err(line));
}

fn diff(Parsed { flags, positionals }: &Parsed, child: &str) -> Result<Run<()>> {
    let ([debug, klp_arch], [orig, patched, parent, symtab, symvers, _, output]) =
        (&flags[..], &positionals[..])
    else {
        return Err(Error::broken(Code::Usage, "seven arguments are needed"));
    };
    let inputs = [orig, patched, symtab, symvers].map(Path::new);
    files::check_outputs([("the output", Path::new(output))], inputs)?;
    let open = |path: &OsString| Image::open(Path::new(path));
    let (orig, patched) = (open(orig)?, open(patched)?);
    let (symtab, symvers) =
        (Image::open_any(Path::new(symtab))?, Image::open_any(Path::new(symvers))?);
    let name = |image: &Image| image.path().display().to_string();
    let names = [&orig, &patched, &symtab, &symvers].map(name);
    let (symtab_text, symvers_text) = (symtab.text(), symvers.text());
    let parent = parent.to_string_lossy();
    let environment = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.to_string_lossy().into_owned())));
    let job = Job {
        parent: Some(ParentFiles {
            name: &parent,
            symtab: Input { name: &names[2], data: &symtab_text },
            symvers: Input { name: &names[3], data: &symvers_text },
            image: None,
            strict: false,
            pointers: Default::default(),
            known: None,
        }),
        sizes: StructSizes::new(environment.filter(|(k, _)| k.ends_with("_STRUCT_SIZE")), false),
        policy: Policy::KPATCH,
        klp_arch: *klp_arch,
        ..Job::new(
            Input { name: &names[0], data: orig.bytes() },
            Input { name: &names[1], data: patched.bytes() },
        )
    };
    let run = proved(&job, |made, proof| {
        orig.check_unchanged()?;
        patched.check_unchanged()?;
        publish_proved(Path::new(output), &made, proof)
    });
    if *debug && !matches!(run.outcome, Outcome::Refused(_)) {
        let size = |image: &Image| image.bytes().len();
        print::out(&format!("{child}: compared {} and {} bytes", size(&orig), size(&patched)));
    }
    Ok(run)
}
