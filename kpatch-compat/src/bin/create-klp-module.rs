//! Drop-in for kpatch's create-klp-module: turns a linked kpatch module into a livepatch
//! module. Exit status: 0 done, 1 error, 64 wrong command line.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use klp_diff::diag::{Code, Error, Result};
use klp_diff::elf::ids::Patched;
use klp_diff::elf::image::Image;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::{OutHome, OutObject};
use klp_diff::elf::publish::publish_proved;
use klp_diff::host::fault::contained;
use klp_diff::host::{files, print, use_threads};
use klp_diff::patch::convert::{ConvertOptions, to_klp_module};
use klp_diff::prove::prove_klp;
use kpatch_compat::argp::{Command, Flag, Parsed};
use kpatch_compat::finish;

const COMMAND: Command = Command {
    doc: "create-klp-module - turn a kpatch module into a livepatch module",
    flags: &[
        Flag { long: "debug", short: 'd', help: "Show debug output" },
        Flag { long: "no-klp-arch-sections", short: 'n', help: "Do not make .klp.arch.* sections" },
    ],
    positionals: &["INPUT.ko", "OUTPUT.ko"],
};

fn main() -> ExitCode {
    klp_diff::prepare("create-klp-module");
    contained(command).unwrap_or(ExitCode::from(1))
}

fn command() -> ExitCode {
    let parsed = match COMMAND.arguments() {
        Ok(parsed) => parsed,
        Err(exit) => return exit,
    };
    use_threads(None);
    let status = match run(&parsed) {
        Ok(()) => 0,
        Err(error) => {
            print::err(&format!("create-klp-module: ERROR: {error}"));
            1
        }
    };
    ExitCode::from(finish(status))
}

fn run(Parsed { flags, positionals }: &Parsed) -> Result<()> {
    let ([debug, no_arch], [input, output]) = (&flags[..], &positionals[..]) else {
        return Err(Error::broken(Code::Usage, "two file names are needed"));
    };
    files::check_outputs([("the output", Path::new(output))], [Path::new(input)])?;
    let image = Image::open(Path::new(input))?;
    let object = Object::<Patched>::parse(&image.path().display().to_string(), image.bytes())?;
    let options = ConvertOptions { klp_arch_sections: !no_arch };
    // Kernels without such tables leave the variable unset or empty.
    let has_para = object.sections().any(|id| object.section_name(id) == ".parainstructions");
    let para = if has_para && options.klp_arch_sections {
        struct_size("PARA_STRUCT_SIZE", std::env::var_os("PARA_STRUCT_SIZE"))?
    } else {
        None
    };
    let result = to_klp_module(&object, &options, para)?;
    if *debug {
        print::out_lines(dump(&result));
    }
    image.check_unchanged()?;
    publish_proved(Path::new(output), &result, &|output| prove_klp(image.bytes(), output))
}

/// A size from the environment, `None` when it is not set.
fn struct_size(name: &str, value: Option<OsString>) -> Result<Option<u64>> {
    let Some(value) = value else { return Ok(None) };
    match value.to_str().and_then(|text| text.trim().parse().ok()) {
        Some(size) if size > 0 => Ok(Some(size)),
        _ => Err(Error::broken(Code::BadEnvironment, format!("bad {name} '{}'", value.display()))
            .advise("give a number of bytes")),
    }
}

/// The livepatch parts of a module.
fn dump(object: &OutObject) -> Vec<String> {
    let mut lines = Vec::new();
    for section in &object.sections {
        for table in section.relocs.iter().filter(|t| t.name.starts_with(".klp.rela.")) {
            lines.push(format!("{} ({} entries)", table.name, table.entries.len()));
            for entry in &table.entries {
                let symbol = entry.symbol.and_then(|s| object.symbol(s)).map_or("", |s| &*s.name);
                lines.push(format!(
                    "  {:#x} type {} {symbol} {:+}",
                    entry.offset, entry.kind, entry.addend
                ));
            }
        }
    }
    let livepatch = OutHome::Reserved(klp_diff::elf::abi::SHN_LIVEPATCH);
    for symbol in object.symbols.iter().filter(|symbol| symbol.home == livepatch) {
        lines.push(format!("{} type {} bind {}", symbol.name, symbol.kind, symbol.bind));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_positive_numbers() {
        let size = |text: &str| struct_size("PARA_STRUCT_SIZE", Some(text.into()));
        assert_eq!(size("16").unwrap(), Some(16));
        assert_eq!(struct_size("PARA_STRUCT_SIZE", None).unwrap(), None);
        for text in ["", "0", "-1", "16x", "99999999999999999999"] {
            let error = size(text).unwrap_err();
            assert_eq!(error.message(), format!("bad PARA_STRUCT_SIZE '{text}'"));
        }
    }
}
