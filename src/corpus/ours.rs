//! Runs a case through this library, in this process.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::path::Path;

use super::case::{Case, Symtab};
use super::results::FunctionRecord;
use crate::diag::{Class, Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{IdVec, Patched, SectionId};
use crate::elf::image::Image;
use crate::elf::object::{Home, Object};
use crate::elf::verify::verify;
use crate::elf::write::write;
use crate::kernel::knowledge::tables::StructSizes;
use crate::report::{FunctionStatus, Report, canon};
use crate::running::symtab::as_text;
use crate::{Input, Job, ParentFiles, Policy, Run};

/// An output object.
pub(crate) struct Output {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its canonical form.
    pub lines: Vec<String>,
    /// How many functions kpatch's tests count in it.
    pub functions: usize,
}

/// What a tool made of a case.
pub(crate) struct Outcome {
    /// Exit status.
    pub exit: u8,
    /// The functions of the patch.
    pub functions: Vec<FunctionRecord>,
    /// The error or refusal.
    pub message: Option<String>,
    /// What was written.
    pub output: Option<Output>,
}

/// Compares `orig` and `patched` as the case wants it. `drop_in` overrides the case.
pub(crate) fn run(case: &Case, orig: &Path, patched: &Path, drop_in: bool) -> Outcome {
    let (report, done) = match attempt(case, orig, patched, drop_in) {
        Ok(Run { report, outcome }) => (report, finished(outcome, drop_in)),
        Err(error) => (Report::default(), Err(error)),
    };
    let (exit, message, output) = match done {
        Ok((exit, output)) => (exit, None, output),
        Err(error) => {
            let exit = match error.class() {
                Class::Broken => 1,
                Class::Refused => 2,
            };
            let details = error.details().iter().map(|d| format!("; {d}"));
            (exit, Some(format!("{error}{}", details.collect::<String>())), None)
        }
    };
    let mut functions: Vec<FunctionRecord> = report
        .functions
        .iter()
        .map(|function| FunctionRecord {
            name: function.name.clone(),
            status: match function.status {
                FunctionStatus::Changed => "changed".to_owned(),
                FunctionStatus::New => "new".to_owned(),
            },
            reasons: function.reasons.iter().map(ToString::to_string).collect(),
        })
        .collect();
    functions.sort_by(|a, b| (&a.name, &a.status).cmp(&(&b.name, &b.status)));
    Outcome { exit, functions, message, output }
}

fn attempt(case: &Case, orig_path: &Path, patched_path: &Path, drop_in: bool) -> Result<Run> {
    let shown = |path: &Path| path.display().to_string();
    let (orig, patched) = (Image::open(orig_path)?, Image::open(patched_path)?);
    let (orig_name, patched_name) = (shown(orig_path), shown(patched_path));
    let symvers = case.symvers.as_deref().map(Image::open_any).transpose()?;
    let symvers_text = symvers.as_ref().map(Image::text).unwrap_or_default();
    let symvers_name = case.symvers.as_deref().map(shown).unwrap_or_default();
    let symtab = match &case.symtab {
        Symtab::File(path) => Some((shown(path), Image::open_any(path)?)),
        Symtab::None | Symtab::OfOrig => None,
    };
    let of_orig = match &case.symtab {
        Symtab::OfOrig => Some(symbols(&orig_name, orig.bytes(), !drop_in)?),
        Symtab::None | Symtab::File(_) => None,
    };
    let lossy;
    let symtab = match (&symtab, &of_orig) {
        (Some((name, image)), _) if drop_in => {
            lossy = image.text();
            Some(Input { name, data: &*lossy })
        }
        (Some((name, image)), _) => Some(Input { name, data: as_text(name, image.bytes())? }),
        (None, Some(text)) => Some(Input { name: &orig_name, data: &**text }),
        (None, None) => None,
    };
    let job = Job {
        parent: symtab.map(|symtab| ParentFiles {
            name: &case.parent,
            symtab,
            image: None,
            strict: false,
            pointers: Default::default(),
            known: None,
            symvers: Input { name: &symvers_name, data: &symvers_text },
        }),
        sizes: StructSizes::new(case.env.iter().map(|(k, v)| (k.clone(), v.clone())), !drop_in),
        policy: if drop_in { Policy::KPATCH } else { Policy::NATIVE },
        klp_arch: case.klp_arch,
        ..Job::new(
            Input { name: &orig_name, data: orig.bytes() },
            Input { name: &patched_name, data: patched.bytes() },
        )
    };
    let run = crate::run(&job);
    orig.check_unchanged()?;
    patched.check_unchanged()?;
    Ok(run)
}

/// The exit status that a run ends with, and what was written.
fn finished(outcome: crate::Outcome, drop_in: bool) -> Result<(u8, Option<Output>)> {
    let object = match outcome {
        crate::Outcome::Refused(error) => return Err(error),
        crate::Outcome::Changed { patch: Some(object), .. } => object,
        crate::Outcome::Changed { patch: None, .. } if !drop_in => return Ok((0, None)),
        crate::Outcome::Changed { .. } | crate::Outcome::Unchanged => return Ok((3, None)),
    };
    let bytes = write(&object)?;
    verify(&object, &bytes)?;
    read("our output", bytes).map(|output| (0, Some(output)))
}

/// Reads an output object. Fails when it is none.
pub(crate) fn read(name: &str, bytes: Vec<u8>) -> Result<Output> {
    let object = Object::<Patched>::parse(name, &bytes)?;
    let lines = canon::canonical(&object)?;
    let functions = object
        .symbols()
        .skip(1)
        .filter(|&id| {
            let symbol = object.symbol(id);
            let code = matches!(symbol.home, Home::Section(s)
                if object.section(s).flags & abi::SHF_EXECINSTR != 0);
            let shown = ![abi::STT_SECTION, abi::STT_FILE].contains(&symbol.kind);
            // Mapping symbols of aarch64.
            let special = symbol.name.starts_with('$');
            code && shown && !special && symbol.bind != abi::STB_WEAK
        })
        .count();
    Ok(Output { lines, functions, bytes })
}

/// The symbols of an object, as `readelf -s --wide` prints them. With `placed`, each
/// section gets addresses of its own, as in a linked kernel: two functions at one address
/// would be one function there.
pub(crate) fn symbols(name: &str, bytes: &[u8], placed: bool) -> Result<String> {
    let object = Object::<Patched>::parse(name, bytes)?;
    let mut bases: IdVec<SectionId<Patched>, u64> = IdVec::filled(0, object.sections().len() + 1);
    let mut next: u64 = 0x1000;
    for id in object.sections().filter(|_| placed) {
        bases[id] = next;
        next = next.saturating_add(object.section(id).size).saturating_add(31) & !15;
    }
    let mut text = String::from("\nSymbol table '.symtab' contains ");
    text += &format!(
        "{} entries:\n   Num:    Value          Size Type    Bind   Vis      Ndx Name\n",
        object.symbols().count()
    );
    for (number, id) in object.symbols().enumerate() {
        let symbol = object.symbol(id);
        let kind = match symbol.kind {
            abi::STT_NOTYPE => "NOTYPE",
            abi::STT_OBJECT => "OBJECT",
            abi::STT_FUNC => "FUNC",
            abi::STT_SECTION => "SECTION",
            abi::STT_FILE => "FILE",
            abi::STT_TLS => "TLS",
            abi::STT_COMMON => "COMMON",
            _ => "IFUNC",
        };
        let bind = match symbol.bind {
            abi::STB_LOCAL => "LOCAL",
            abi::STB_GLOBAL => "GLOBAL",
            abi::STB_WEAK => "WEAK",
            _ => "UNIQUE",
        };
        let visibility = match symbol.other & 3 {
            0 => "DEFAULT",
            1 => "INTERNAL",
            2 => "HIDDEN",
            _ => "PROTECTED",
        };
        let home = match symbol.home {
            Home::Undefined => "UND".to_owned(),
            Home::Section(_) => "1".to_owned(),
            Home::Absolute => "ABS".to_owned(),
            Home::Common => "COM".to_owned(),
            Home::Reserved(index) => format!("RSV[{index:#x}]"),
        };
        let base = match symbol.home {
            Home::Section(section) => bases[section],
            _ => 0,
        };
        let address = symbol.value.wrapping_add(base);
        let shown = if symbol.kind == abi::STT_SECTION { "" } else { symbol.name };
        text += &format!(
            "{number:6}: {:016x} {:5} {kind:<7} {bind:<6} {visibility:<8} {home:>4} {shown}\n",
            address, symbol.size,
        );
    }
    if text.contains('\0') {
        return Err(Error::broken(Code::Symbols, "a symbol's name cannot be put into a text"));
    }
    Ok(text)
}
