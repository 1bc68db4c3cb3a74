//! Our own layout: a folder with `case.toml`. docs/corpus.md describes the file.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::case::{Case, Exits, Expected, Objects, Symtab};
use super::source::Source;
use crate::diag::{Code, Error, Result};
use crate::host::files::{self, save};

/// Name of the file.
const NAME: &str = "case.toml";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Wanted {
    exit: Option<u8>,
    changed: Option<BTreeSet<String>>,
    new: Option<BTreeSet<String>>,
    says: Option<String>,
    functions: Option<usize>,
    golden: Option<PathBuf>,
    golden_differs: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    what: String,
    orig: PathBuf,
    patched: PathBuf,
    compiler: Option<String>,
    flags: Option<String>,
    symtab: Option<PathBuf>,
    #[serde(default)]
    symtab_of_orig: bool,
    symvers: Option<PathBuf>,
    object: Option<String>,
    module: Option<String>,
    #[serde(default)]
    drop_in: bool,
    #[serde(default)]
    klp_arch: bool,
    test: Option<PathBuf>,
    expected: Wanted,
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// Reads the case of `folder`. Fails when the file says what is not known, or names files
/// that are not there.
pub(crate) fn read(folder: &Path, name: &str) -> Result<Case> {
    let path = folder.join(NAME);
    let bad = |what: String| Error::broken(Code::Case, what).in_file(path.display().to_string());
    let text = files::read_text(&path)?;
    let file: File = toml::from_str(&text).map_err(|e: toml::de::Error| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        bad(format!("line {}: {}", before.matches('\n').count() + 1, e.message()))
    })?;
    if file.what.trim().is_empty() {
        return Err(bad("`what` must say why the case exists".to_owned()));
    }
    let Wanted { exit, changed, new, says, functions, golden, golden_differs } = file.expected;
    if golden_differs.as_ref().is_some_and(|why| why.trim().is_empty() || golden.is_none()) {
        return Err(bad("`golden-differs` must say why a `golden` differs".to_owned()));
    }
    let there = |path: PathBuf| {
        let path = folder.join(path);
        if path.is_file() { Ok(path) } else { Err(bad(format!("{} is missing", path.display()))) }
    };
    let maybe = |path: Option<PathBuf>| path.map(there).transpose();
    let (orig, patched) = (there(file.orig)?, there(file.patched)?);
    let is_c = |path: &Path| path.extension().is_some_and(|e| e == "c");
    let objects = match (is_c(&orig) && is_c(&patched), file.compiler) {
        (true, Some(command)) => {
            let flags = file.flags.unwrap_or_default();
            let args = flags.split_whitespace().map(str::to_owned).collect();
            Objects::Source(Source { orig, patched, command, args, needs_symbol: None })
        }
        (true, None) => return Err(bad("sources need a `compiler`".to_owned())),
        (false, Some(_)) => return Err(bad("objects need no `compiler`".to_owned())),
        (false, None) => Objects::Built { orig, patched },
    };
    let symtab = match (maybe(file.symtab)?, file.symtab_of_orig) {
        (Some(_), true) => return Err(bad("`symtab` or `symtab-of-orig`, not both".to_owned())),
        (Some(symtab), false) => Symtab::File(symtab),
        (None, true) => Symtab::OfOrig,
        (None, false) if file.drop_in => {
            return Err(bad("`drop-in` needs `symtab` or `symtab-of-orig`".to_owned()));
        }
        (None, false) => Symtab::None,
    };
    Ok(Case {
        name: name.to_owned(),
        objects,
        parent: file.object.unwrap_or_else(|| "vmlinux".to_owned()),
        symtab,
        symvers: maybe(file.symvers)?,
        module: file.module.unwrap_or_else(|| "corpus".to_owned()),
        env: file.env,
        drop_in: file.drop_in,
        klp_arch: file.klp_arch,
        test: maybe(file.test)?,
        expected: Expected {
            exit: exit.map_or(Exits::Unknown, Exits::Is),
            changed,
            new,
            says,
            functions,
            golden: maybe(golden)?,
            golden_differs,
        },
    })
}

/// Writes the file for `case`, whose objects are `orig.o` and `patched.o` in `folder`.
pub(crate) fn write(folder: &Path, case: &Case, what: &str) -> Result<()> {
    let file = File {
        what: what.to_owned(),
        orig: "orig.o".into(),
        patched: "patched.o".into(),
        compiler: None,
        flags: None,
        symtab: None,
        symtab_of_orig: true,
        symvers: None,
        object: Some(case.parent.clone()),
        module: Some(case.module.clone()),
        drop_in: case.drop_in,
        klp_arch: case.klp_arch,
        test: None,
        expected: Wanted {
            exit: match case.expected.exit {
                Exits::Is(exit) => Some(exit),
                Exits::Unknown | Exits::Failure => None,
            },
            changed: case.expected.changed.clone(),
            new: case.expected.new.clone(),
            says: case.expected.says.clone(),
            functions: None,
            golden: None,
            golden_differs: None,
        },
        env: case.env.clone(),
    };
    let text = toml::to_string(&file)
        .map_err(|e| Error::broken(Code::Unwritable, format!("cannot be put as TOML: {e}")))?;
    save(&folder.join(NAME), text.as_bytes())
}
