//! Which objects a patch concerns, and why.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use super::kbuild::{Lists, Owner, folders_of};
use super::objects::{Includes, made_of, object_of, recorded};
use super::scope::Kind;
use super::session::{Session, Touched, seconds};
use super::whole::LINKED;
use crate::diag::{Code, Error, Result};
use crate::host::files;
use crate::kernel::knowledge::tree::record_of;

/// Objects that may be asked whether they include a header; more are asked on request only.
const ASKED: usize = 400;

impl Session<'_> {
    /// The objects that the patch concerns.
    pub(super) fn objects(&mut self, files: &[(String, Kind)]) -> Result<Vec<Touched>> {
        let sources: BTreeSet<String> = files
            .iter()
            .filter(|(_, kind)| *kind == Kind::Source)
            .map(|(path, _)| path.clone())
            .collect();
        let there = |path: &str, after: bool| {
            let edited = self.edits.files.get(path);
            edited.is_some_and(|e| if after { e.after.is_some() } else { e.before.is_some() })
        };
        let compiled: Vec<(String, String)> =
            sources.iter().filter_map(|s| Some((s.clone(), object_of(s)?))).collect();
        let mut folders: BTreeSet<String> =
            compiled.iter().flat_map(|(_, o)| folders_of(o)).collect();
        let lists = self.lists(&folders)?;
        let mut touched: BTreeMap<String, Touched> = BTreeMap::new();
        let mut unowned = Vec::new();
        for (source, object) in compiled.iter().filter(|(s, _)| there(s, false)) {
            match self.place(&lists, object) {
                Some((owner, path)) => {
                    let stays = there(source, true);
                    let why =
                        format!("the patch {} {source}", if stays { "changes" } else { "removes" });
                    let there = [true, stays || path != *object];
                    touched.insert(path.clone(), Touched { path, owner, why, there });
                }
                None => unowned.push(source.clone()),
            }
        }
        // Files that are included, also those of C.
        let included: BTreeSet<String> =
            sources.iter().filter(|s| there(s, false)).cloned().collect();
        let includers = self.includes()?.includers(&included);
        let mut candidates: Vec<(String, String)> =
            includers.iter().filter_map(|s| Some((s.clone(), object_of(s)?))).collect();
        candidates.retain(|(_, object)| !touched.contains_key(object));
        if !candidates.is_empty() {
            folders = candidates.iter().flat_map(|(_, o)| folders_of(o)).collect();
            let lists = self.lists(&folders)?;
            let mut places: BTreeMap<String, (Owner, String)> = BTreeMap::new();
            places.extend(
                candidates
                    .into_iter()
                    .filter_map(|(_, o)| Some((o.clone(), self.place(&lists, &o)?))),
            );
            if self.lto {
                places.retain(|_, (_, path)| !touched.contains_key(path));
                self.may_include(&mut places, &included, &mut touched);
            }
            let built = places.iter().map(|(object, (owner, _))| (object.clone(), owner.clone()));
            for (object, owner, file) in self.really_include(built.collect(), &included)? {
                let why = format!("it includes {file}");
                let path = places.remove(&object).map_or(object, |place| place.1);
                touched.insert(path.clone(), Touched { path, owner, why, there: [true, true] });
            }
        }
        for source in unowned {
            if !touched.values().any(|t| t.why.ends_with(&source)) {
                (self.say)(&format!("note: {source} is not built in this configuration"));
            }
        }
        self.added(&compiled, &mut touched)?;
        Ok(touched.into_values().collect())
    }

    /// Takes the objects of the kernel out, where its link makes all objects anew: make finds out which
    /// include a file.
    fn may_include(
        &self,
        places: &mut BTreeMap<String, (Owner, String)>,
        files: &BTreeSet<String>,
        touched: &mut BTreeMap<String, Touched>,
    ) {
        let before = places.len();
        places.retain(|_, (owner, _)| *owner != Owner::Kernel);
        let kernel = before - places.len();
        if kernel > 0 {
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let (path, owner) = (LINKED.to_owned(), Owner::Kernel);
            let why = format!("{kernel} of its objects may include {}", files.join(", "));
            touched.insert(path.clone(), Touched { path, owner, why, there: [true, true] });
        }
    }

    /// Adds the objects of files that the patch adds, by the Makefiles with the patch.
    fn added(
        &mut self,
        compiled: &[(String, String)],
        touched: &mut BTreeMap<String, Touched>,
    ) -> Result<()> {
        let is_new = |s: &str| {
            self.edits.files.get(s).is_some_and(|e| e.before.is_none() && e.after.is_some())
        };
        let new: Vec<(String, String)> =
            compiled.iter().filter(|(s, _)| is_new(s)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        self.write_patched(|path| path.ends_with("Makefile") || path.ends_with("Kbuild"))?;
        let folders = new.iter().flat_map(|(_, o)| folders_of(o)).collect();
        let lists = self.lists(&folders);
        self.restore()?;
        let lists = lists?;
        for (source, object) in new {
            match self.place(&lists, &object) {
                Some((owner, path)) => {
                    let why = format!("the patch adds {source}");
                    // A part of a module that is linked as a whole.
                    let there = [path != object, true];
                    touched.entry(path.clone()).or_insert_with(|| Touched {
                        path,
                        owner,
                        why,
                        there,
                    });
                }
                None => (self.say)(&format!("note: {source} is not built in this configuration")),
            }
        }
        Ok(())
    }

    fn lists(&self, folders: &BTreeSet<String>) -> Result<Lists> {
        let folders: Vec<String> = folders.iter().cloned().collect();
        self.make.query(self.work.root(), &folders)
    }

    /// What an object is linked into, by `--object` or else by the Makefiles, and what is built for
    /// it: where the link makes objects, all of its module.
    fn place(&self, lists: &Lists, object: &str) -> Option<(Owner, String)> {
        let lies = |place: &String| {
            object == place || object.starts_with(&format!("{}/", place.trim_end_matches('/')))
        };
        let objects = &self.request.objects;
        let with = objects.iter().find(|(_, place)| place.as_ref().is_some_and(lies));
        let given = with.or_else(|| objects.iter().find(|(_, place)| place.is_none()));
        let known = lists.place(object);
        let whole = known.clone().and_then(|known| known.1).filter(|_| self.lto);
        let owner = match given {
            Some((name, _)) if name == "vmlinux" => Owner::Kernel,
            Some((name, _)) => Owner::Module(name.clone()),
            None => known?.0,
        };
        Some((owner, whole.unwrap_or_else(|| object.to_owned())))
    }

    fn includes(&self) -> Result<Includes> {
        let note = self.work.note("includes");
        if !note.is_empty() {
            return Ok(Includes::parse(&note));
        }
        let started = Instant::now();
        let includes = Includes::read(&self.work.tree(), &self.work.note("files"))?;
        self.work.set_note("includes", &includes.text())?;
        (self.say)(&format!("read which file includes which ({})", seconds(started)));
        Ok(includes)
    }

    /// Of objects that may include one of `files`, those that do, with the file.
    fn really_include(
        &self,
        built: Vec<(String, Owner)>,
        files: &BTreeSet<String>,
    ) -> Result<Vec<(String, Owner, String)>> {
        let started = Instant::now();
        let mut found = Vec::new();
        let mut open = Vec::new();
        for (object, owner) in built {
            let record = self.request.given.source.join(record_of(&object));
            match std::fs::read_to_string(&record) {
                Ok(text) => {
                    let included = recorded(&text);
                    let file = files.iter().find(|f| included.contains(*f)).cloned();
                    found.extend(file.map(|file| (object, owner, file)));
                }
                Err(_) => open.push((object, owner)),
            }
        }
        if open.is_empty() {
            return Ok(found);
        }
        if open.len() > ASKED && !self.request.all {
            let shown: Vec<&str> = files.iter().map(String::as_str).collect();
            return Err(Error::refused(
                Code::UnknownIncluders,
                format!("{} objects may include {}, and it is not known which do", open.len(), shown.join(", ")),
            )
            .advise("give --all to ask the compiler about each of them, which takes a while, or the tree \
                     that the kernel was built in with --source, which has records of it"));
        }
        (self.say)(&format!(
            "asking the compiler about {} objects that may include what is changed",
            open.len()
        ));
        let texts: Vec<String> =
            open.iter().map(|(o, _)| preprocessed(&self.work.tree(), o)).collect();
        self.make.make("preprocessing", &texts, &[])?;
        for ((object, owner), text) in open.into_iter().zip(&texts) {
            let path = self.work.tree().join(text);
            let included = made_of(&files::read(&path)?);
            let _ = std::fs::remove_file(&path);
            let file = files.iter().find(|f| included.contains(*f)).cloned();
            found.extend(file.map(|file| (object, owner, file)));
        }
        (self.say)(&format!("{} objects include it ({})", found.len(), seconds(started)));
        Ok(found)
    }
}

/// The text that an object is compiled from, as Kbuild names it.
pub(super) fn preprocessed(tree: &Path, object: &str) -> String {
    let stem = object.strip_suffix(".o").unwrap_or(object);
    match tree.join(format!("{stem}.c")).exists() {
        true => format!("{stem}.i"),
        false => format!("{stem}.s"),
    }
}
