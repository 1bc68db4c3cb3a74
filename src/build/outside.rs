//! Modules with a source and a Kbuild of their own, outside of the kernel's.
//!
//! Such a module is small, and its Makefiles may do what they like: so all of it is built, twice, with
//! the tree that the kernel's modules are built with, and the objects are compared. Which module a
//! part belongs to is in the list that Kbuild makes of its parts (`NAME.mod`).

use std::collections::BTreeMap;
use std::time::Instant;

use super::kbuild::Owner;
use super::session::{Plan, Session, Touched, Whose, seconds};
use super::whole::listed;
use crate::diag::{Code, Error, Result};
use crate::host::files;
use crate::kernel::knowledge::tree::MODULE_PARTS;
use crate::running::installed::module_name;

/// Note with the parts of the modules without the patch.
pub(super) const PARTS: &str = "parts";

impl Session<'_> {
    /// Builds the modules without and with the patch; `None` when no object differs.
    pub(super) fn run_outside(&mut self) -> Result<Option<Plan>> {
        if self.request.dry_run {
            let source = self.request.given.source.display();
            (self.say)(&format!(
                "the modules of {source} would be built, without and with the patch"
            ));
            return Ok(Some(Plan { objects: Vec::new(), whole: false }));
        }
        if self.work.note(PARTS).is_empty() {
            let parts = self.build_modules("without the patch", "orig")?;
            let lines: Vec<String> =
                parts.iter().map(|(part, module)| format!("{part}\t{module}\n")).collect();
            self.work.set_note(PARTS, &lines.concat())?;
        }
        let note = self.work.note(PARTS);
        let split = |line: &str| line.split_once('\t').map(|(a, b)| (a.to_owned(), b.to_owned()));
        let before: BTreeMap<String, String> = note.lines().filter_map(split).collect();
        self.write_patched(|_| true)?;
        let after = self.build_modules("with the patch", "run/patched")?;
        let objects = self.differing(&before, &after)?;
        for object in &objects {
            if let Owner::Module(name) = &object.owner {
                (self.say)(&format!("object {} of {name}: {}", object.path, object.why));
            }
        }
        if objects.is_empty() {
            return Ok(None);
        }
        self.verified = self.verify(&objects, "orig", Whose::ThePatch)?;
        Ok(Some(Plan { objects, whole: false }))
    }

    /// Builds the modules as the source is, and puts their parts into a folder; gives these, with the module of
    /// each.
    fn build_modules(&self, what: &str, folder: &str) -> Result<BTreeMap<String, String>> {
        let started = Instant::now();
        (self.say)(&format!("building the modules {what}"));
        let mut arguments = self.flags();
        // What else is in the kernel is not needed for objects.
        arguments.extend(["KBUILD_MODPOST_WARN=1".to_owned(), "modules".to_owned()]);
        self.make.run(&format!("building the modules {what}"), &arguments)?;
        let parts = self.parts()?;
        let to = self.work.fresh(folder)?;
        let paths: Vec<String> = parts.keys().cloned().collect();
        self.keep(&paths, &to)?;
        (self.say)(&format!("built them: {} objects ({})", parts.len(), seconds(started)));
        Ok(parts)
    }

    /// The objects that the built modules consist of, with the module of each.
    fn parts(&self) -> Result<BTreeMap<String, String>> {
        let tree = self.work.tree();
        let mut parts = BTreeMap::new();
        for list in listed(&tree)?.into_iter().filter(|path| path.ends_with(MODULE_PARTS)) {
            let stem = list.strip_suffix(MODULE_PARTS).unwrap_or(&list);
            let module = module_name(stem.rsplit('/').next().unwrap_or(stem));
            let text = files::read_text(&tree.join(&list))?;
            let prefix = format!("{}/", tree.display());
            let named = text.split_whitespace().filter(|word| word.ends_with(".o"));
            let folder =
                stem.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let mut found: Vec<String> = named
                .map(|word| {
                    // Whole, or below the module's folder.
                    let path = word.strip_prefix(&prefix).unwrap_or(word).to_owned();
                    match tree.join(&path).is_file() {
                        true => path,
                        false => format!("{folder}{path}"),
                    }
                })
                .collect();
            if found.is_empty() || self.lto {
                // What the link of an LTO module makes is one object.
                found = vec![format!("{stem}.o")];
            }
            for path in found {
                if !tree.join(&path).is_file() {
                    return Err(Error::broken(
                        Code::BuildFailed,
                        format!("{list} lists {path}, which the build did not make"),
                    ));
                }
                parts.insert(path, module.clone());
            }
        }
        match parts.is_empty() {
            false => Ok(parts),
            true => Err(Error::broken(Code::BuildFailed, "the build made no module")
                .in_file(self.request.given.source.display().to_string())
                .advise("give --module-source the folder whose Kbuild or Makefile lists modules (obj-m)")),
        }
    }

    /// The parts that are not the same in both builds.
    fn differing(
        &self,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) -> Result<Vec<Touched>> {
        let root = self.work.root();
        let mut objects = Vec::new();
        let mut all: BTreeMap<&String, &String> = before.iter().collect();
        all.extend(after);
        for (path, module) in all {
            let there = [before.contains_key(path), after.contains_key(path)];
            let why = match there {
                [true, true] => {
                    let orig = files::read(&root.join("orig").join(path))?;
                    if orig == files::read(&root.join("run/patched").join(path))? {
                        continue;
                    }
                    "it is another one with the patch"
                }
                [false, _] => "only the patched build has it",
                [true, false] => "only the unpatched build has it",
            };
            objects.push(Touched {
                path: path.clone(),
                owner: Owner::Module(module.clone()),
                why: why.to_owned(),
                there,
            });
        }
        Ok(objects)
    }
}
