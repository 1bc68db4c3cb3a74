//! Finds the cases below a folder. Each layout is one function.
//!
//! | a folder with | holds |
//! |---|---|
//! | `index.json` | the cases the index lists: `ARCH/CASE.ORIG.o` and so on, with goldens |
//! | `case.toml` | one case of our own layout |
//! | `*.ORIG.o` | kpatch's unit tests |
//! | `orig/` and `patched/` | one case per object that both have |
//! | `*.c` with a `//#` header | one case per compiler and variant |

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use super::case::{Case, Exits, Expected, Objects, Symtab};
use super::compilers::COMPILERS;
use super::file;
use super::header::Header;
use super::pick::{Pattern, picks};
use super::record::{RECORD, missing, notes};
use crate::diag::{Code, Error, Result};
use crate::host::files::{self, unreadable};

/// What was found below the folders.
#[derive(Default)]
pub(crate) struct Found {
    /// Sorted by name.
    pub cases: Vec<Case>,
    /// Cases that cannot be understood: name and error.
    pub broken: Vec<(String, Error)>,
    /// Remarks, such as objects without a counterpart.
    pub notes: Vec<String>,
}

impl Found {
    /// Names of all cases, also of those that are broken, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.cases.iter().map(|c| c.name.clone()).collect();
        names.extend(self.broken.iter().map(|(name, _)| name.clone()));
        names.sort_unstable();
        names
    }

    /// Keeps the cases of `--filter`. Fails when that leaves none: a mistyped pattern would
    /// pass everything.
    pub fn pick(&mut self, filter: &[Pattern]) -> Result<()> {
        self.cases.retain(|case| picks(filter, &case.name));
        self.broken.retain(|(name, _)| picks(filter, name));
        if self.cases.is_empty() && self.broken.is_empty() {
            return Err(Error::broken(Code::Corpus, "no case has a name that --filter asks for")
                .advise("`klp-diff corpus list DIR` lists the names"));
        }
        Ok(())
    }
}

/// Finds all cases below `folders`. Fails when a folder cannot be read or has no case, when
/// two cases have the same name, and when `stop` is set. With `no_exec`
/// no compiler is asked whether it is there.
pub(crate) fn find(folders: &[PathBuf], stop: &AtomicBool, no_exec: bool) -> Result<Found> {
    let mut found = Found::default();
    for folder in folders {
        let (before, noted) = (found.cases.len() + found.broken.len(), found.notes.len());
        let path = folder.canonicalize().map_err(|e| unreadable(folder, &e))?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut walk =
            Walk { found: &mut found, seen: BTreeSet::new(), links: Vec::new(), stop, no_exec };
        walk.folder(&path, &format!("{name}/"))?;
        while let Some((path, prefix)) = walk.links.pop() {
            walk.folder(&path, &prefix)?;
        }
        if found.cases.len() + found.broken.len() == before {
            if let Some(notes) = found.notes.get(noted..).filter(|notes| !notes.is_empty()) {
                let what = "none of the compilers that the cases are for is installed";
                return Err(Error::broken(Code::Corpus, what)
                    .in_file(folder.display().to_string())
                    .with_details(notes.to_vec())
                    .advise("install one of them"));
            }
            return Err(Error::broken(Code::Corpus, "there is no case below this folder")
                .in_file(folder.display().to_string())
                .advise("docs/corpus.md describes the layouts that are known"));
        }
    }
    found.cases.sort_by(|a, b| a.name.cmp(&b.name));
    let mut names: Vec<&str> = found.broken.iter().map(|(name, _)| name.as_str()).collect();
    names.extend(found.cases.iter().map(|c| c.name.as_str()));
    names.sort_unstable();
    let mut following = names.iter().zip(names.iter().skip(1));
    if let Some((name, _)) = following.find(|(name, next)| name == next) {
        return Err(Error::broken(Code::Corpus, format!("two cases are called {name}"))
            .advise("give folders of different names, or the folder that holds them all"));
    }
    Ok(found)
}

struct Walk<'f> {
    found: &'f mut Found,
    /// Folders that were looked at: each counts once, however many links lead to it.
    seen: BTreeSet<PathBuf>,
    /// Links to folders and their prefixes, which are followed last: what is there by itself
    /// has the name that it is known by.
    links: Vec<(PathBuf, String)>,
    stop: &'f AtomicBool,
    no_exec: bool,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let real = folder.canonicalize().map_err(|e| unreadable(folder, &e))?;
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::broken(
                Code::Interrupted,
                "interrupted while cases were looked for",
            ));
        }
        if !self.seen.insert(real) {
            return Ok(());
        }
        let entries = list(folder)?;
        let has = |name: &str| entries.binary_search_by(|e| e.as_str().cmp(name)).is_ok();
        if has("index.json") {
            return self.index(folder, prefix);
        }
        if has("case.toml") {
            let name = prefix.trim_end_matches('/');
            self.keep(name, |_| file::read(folder, name));
            return Ok(());
        }
        if has("orig") && has("patched") {
            return self.pair(folder, prefix, has);
        }
        if has(RECORD) {
            self.found.notes.extend(notes(&folder.join(RECORD))?);
        }
        self.kpatch(folder, prefix, &entries);
        self.sources(folder, prefix, &entries);
        for entry in &entries {
            let path = folder.join(entry);
            let prefix = format!("{prefix}{entry}/");
            if path.is_symlink() {
                if path.is_dir() {
                    self.links.push((path, prefix));
                }
            } else if path.is_dir() {
                self.folder(&path, &prefix)?;
            }
        }
        Ok(())
    }

    /// Adds a case, or the reason why it is none.
    fn keep(&mut self, name: &str, make: impl FnOnce(&mut Found) -> Result<Case>) {
        match make(self.found) {
            Ok(case) => self.found.cases.push(case),
            Err(error) => self.found.broken.push((name.to_owned(), error)),
        }
    }

    fn index(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        #[derive(Deserialize)]
        struct Entry {
            arch: String,
            case: String,
            exit: u8,
            functions: Option<usize>,
            #[serde(default, rename = "golden-differs")]
            golden_differs: Option<String>,
            #[serde(default)]
            env: BTreeMap<String, String>,
        }
        let path = folder.join("index.json");
        let text = files::read(&path)?;
        let entries: Vec<Entry> = serde_json::from_slice(&text).map_err(|e| {
            Error::broken(Code::Case, format!("not a list of cases: {e}"))
                .in_file(path.display().to_string())
        })?;
        for Entry { arch, case, exit, functions, golden_differs, env } in entries {
            let folder = folder.join(&arch);
            let name = format!("{prefix}{arch}/{case}");
            self.keep(&name.clone(), |_| {
                let base = drop_in(&folder, &case, name, Exits::Is(exit))?;
                let golden = folder.join(format!("{case}.golden"));
                let golden = (exit == 0 && golden.is_file()).then_some(golden);
                let functions = functions.filter(|_| exit == 0);
                let golden_differs = golden_differs.filter(|_| golden.is_some());
                let expected = Expected { functions, golden, golden_differs, ..base.expected };
                Ok(Case { env: [base.env, env].into_iter().flatten().collect(), expected, ..base })
            });
        }
        Ok(())
    }

    fn kpatch(&mut self, folder: &Path, prefix: &str, entries: &[String]) {
        for stem in entries.iter().filter_map(|e| e.strip_suffix(".ORIG.o")) {
            let name = format!("{prefix}{stem}");
            self.keep(&name.clone(), |_| {
                let fails = folder.join(format!("{stem}.PATCHED.FAIL.o")).is_file();
                drop_in(folder, stem, name, if fails { Exits::Failure } else { Exits::Is(0) })
            });
        }
        let lone = |e: &&String| e.ends_with(".PATCHED.o") || e.ends_with(".PATCHED.FAIL.o");
        for entry in entries.iter().filter(lone) {
            let stem = entry.trim_end_matches(".o").trim_end_matches(".FAIL");
            let orig = format!("{}.ORIG.o", stem.trim_end_matches(".PATCHED"));
            if entries.binary_search(&orig).is_err() {
                self.found.notes.push(format!("{prefix}{entry}: no case, there is no {orig}"));
            }
        }
    }

    fn pair(&mut self, folder: &Path, prefix: &str, has: impl Fn(&str) -> bool) -> Result<()> {
        let (orig, patched) = (folder.join("orig"), folder.join("patched"));
        let given = |name: &str| has(name).then(|| folder.join(name));
        let env = if has("env") { environment(&folder.join("env"))? } else { BTreeMap::new() };
        let (before, after) = (objects(&orig)?, objects(&patched)?);
        for path in after.union(&before) {
            let shown = path.display();
            if !before.contains(path) || !after.contains(path) {
                let only = if after.contains(path) { "patched" } else { "orig" };
                self.found.notes.push(format!("{prefix}{shown}: no case, it is in {only} alone"));
                continue;
            }
            self.found.cases.push(Case {
                name: format!("{prefix}{}", path.with_extension("").display()),
                objects: Objects::Built { orig: orig.join(path), patched: patched.join(path) },
                parent: "vmlinux".to_owned(),
                symtab: given("symtab").map_or(Symtab::None, Symtab::File),
                symvers: given("Module.symvers"),
                module: "corpus".to_owned(),
                env: [sizes_of_environment(), env.clone()].into_iter().flatten().collect(),
                drop_in: false,
                klp_arch: false,
                test: None,
                expected: Expected::exit(Exits::Unknown),
            });
        }
        Ok(())
    }

    fn sources(&mut self, folder: &Path, prefix: &str, entries: &[String]) {
        let mut headers = Vec::new();
        for entry in entries.iter().filter(|e| e.ends_with(".c")) {
            let path = folder.join(entry);
            let header = files::read_text(&path).and_then(|text| Header::parse(&path, &text));
            match header {
                Ok(Some(header)) => headers.push((path, header)),
                Ok(None) => {}
                Err(error) => self.found.broken.push((format!("{prefix}{entry}"), error)),
            }
        }
        if headers.is_empty() {
            return;
        }
        for compiler in &COMPILERS {
            let mut cases = Vec::new();
            for (path, header) in &headers {
                match header.cases(prefix, compiler) {
                    Ok(more) => cases.extend(more),
                    Err(error) => {
                        let name = format!("{prefix}{}/{}", compiler.name, path.display());
                        self.found.broken.push((name, error));
                    }
                }
            }
            let missing = if self.no_exec { None } else { missing(compiler, cases.len()) };
            match missing {
                None => self.found.cases.extend(cases),
                Some(note) => self.found.notes.push(note),
            }
        }
    }
}

/// A case of kpatch's form: `STEM.ORIG.o` and what else has that stem.
fn drop_in(folder: &Path, stem: &str, name: String, exit: Exits) -> Result<Case> {
    let file = |extension: &str| folder.join(format!("{stem}.{extension}"));
    let given = |extension: &str| Some(file(extension)).filter(|path| path.is_file());
    let orig = given("ORIG.o");
    let patched = given("PATCHED.o").or_else(|| given("PATCHED.FAIL.o"));
    let (Some(orig), Some(patched)) = (orig, patched) else {
        return Err(Error::broken(
            Code::Case,
            format!("{stem}.ORIG.o or {stem}.PATCHED.o is missing"),
        )
        .in_file(folder.display().to_string()));
    };
    let env = given("env").map(|path| environment(&path)).transpose()?.unwrap_or_default();
    Ok(Case {
        name,
        objects: Objects::Built { orig, patched },
        parent: "vmlinux".to_owned(),
        symtab: given("symtab").map_or(Symtab::OfOrig, Symtab::File),
        symvers: given("symvers"),
        module: format!("test_{stem}"),
        env: [sizes_of_environment(), env].into_iter().flatten().collect(),
        drop_in: true,
        klp_arch: false,
        test: given("test"),
        expected: Expected::exit(exit),
    })
}

/// Names in a folder, sorted. What starts with a dot is nobody's case.
fn list(folder: &Path) -> Result<Vec<String>> {
    let fail = |e: std::io::Error| unreadable(folder, &e);
    let mut names = Vec::new();
    for entry in folder.read_dir().map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let name = name.into_string().map_err(|name| {
            Error::broken(Code::Corpus, "a file's name is not UTF-8")
                .in_file(folder.join(name).display().to_string())
        })?;
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Paths of the objects below `root`, relative to it.
fn objects(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for name in list(&root.join(&folder))? {
            let path = folder.join(&name);
            let whole = root.join(&path);
            if whole.is_dir() && !whole.is_symlink() {
                folders.push(path);
            } else if name.ends_with(".o") {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

/// `NAME=VALUE` words of a file, as in `env $(cat FILE)`; `#` starts a comment.
fn environment(path: &Path) -> Result<BTreeMap<String, String>> {
    let text = files::read_text(path)?;
    let words =
        text.lines().map(|l| l.split('#').next().unwrap_or(l)).flat_map(str::split_whitespace);
    words
        .filter(|&word| word != "export")
        .map(|word| match word.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(Error::broken(Code::Case, format!("'{word}' is not NAME=VALUE"))
                .in_file(path.display().to_string())),
        })
        .collect()
}

/// Sizes of structs that the caller set; a case's own win.
fn sizes_of_environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        .filter(|(k, _)| k.ends_with("_STRUCT_SIZE"))
        .collect()
}
