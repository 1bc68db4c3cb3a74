//! What is patched, as the command line of pairs and folders says: symbols as text, images by
//! themselves, and folders of them.

#![expect(clippy::indexing_slicing, reason = "images have the numbers they were given")]

use std::path::{Path, PathBuf};

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::Args;
use super::verify_orig::ImageArg;
use crate::diag::{Code, Error, Result};
use crate::folders::owners::{Owners, Rules, Subject, find};
use crate::running::installed::{Linkage, VMLINUX, linked_files};

/// What is patched, and the file that describes it.
pub(super) struct KernelObject {
    pub(super) object: String,
    pub(super) file: Option<PathBuf>,
    /// Images of other objects of the same kernel.
    pub(super) others: Vec<ImageArg>,
}

/// All that the command line says of what may be patched.
pub(super) struct KernelObjectArgs {
    rules: Rules,
    symtab: Option<PathBuf>,
    /// Given one by one, and then those of folders.
    images: Vec<Linkage>,
    /// How many were given one by one.
    given: usize,
}

/// What is patched by each object of a patch.
pub(super) struct Assigned {
    pub(super) targets: Vec<KernelObject>,
    /// Position of that of each object.
    pub(super) of: Vec<usize>,
}

impl KernelObjectArgs {
    /// The error is a mistake on the command line.
    pub(super) fn of(args: &Args) -> std::result::Result<KernelObjectArgs, String> {
        let rules = Rules::parse(&args.object)?;
        let images: Vec<ImageArg> = args
            .image
            .iter()
            .map(|text| ImageArg::parse(text))
            .collect::<std::result::Result<_, _>>()?;
        if args.symtab.is_some() && !(images.is_empty() && args.images.is_empty()) {
            return Err("--symtab and --image exclude each other".into());
        }
        let mut seen: IndexSet<&str, RandomState> = IndexSet::default();
        if let Some(twice) = images.iter().find(|image| !seen.insert(&image.object)) {
            return Err(format!("several --image are that of {}", twice.object));
        }
        let images: Vec<Linkage> =
            images.into_iter().map(|ImageArg { object, path }| Linkage { object, path }).collect();
        let given = images.len();
        let lacks = |name: &&str| given > 0 && images.iter().all(|image| image.object != *name);
        if let Some(name) = rules.plain().filter(|_| args.images.is_empty()).filter(lacks) {
            return Err(format!("no --image is that of --object {name}: write {name}=FILE"));
        }
        Ok(KernelObjectArgs { rules, symtab: args.symtab.clone(), images, given })
    }

    /// Adds the linked files below folders; those that are given one by one go before them.
    pub(super) fn search(&mut self, folders: &[PathBuf]) -> Result<()> {
        for folder in folders {
            let mut found = linked_files(folder)?;
            let given = self.images.get(..self.given).unwrap_or(&[]);
            found.retain(|linkage| given.iter().all(|image| image.object != linkage.object));
            if found.is_empty() && given.is_empty() {
                return Err(Error::broken(
                    Code::NoParent,
                    "the folder holds neither a vmlinux nor modules",
                )
                .in_file(folder.display().to_string())
                .advise("give the folder that the kernel was built in, or /lib/modules/RELEASE"));
            }
            self.images.extend(found);
        }
        Ok(())
    }

    /// Files that are read.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &PathBuf> {
        self.symtab.iter().chain(self.images.iter().map(|image| &image.path))
    }

    /// Fails when an option says of nothing what object it belongs to.
    pub(super) fn check<'p>(&self, paths: impl Iterator<Item = &'p Path> + Clone) -> Result<()> {
        self.rules.check(paths)
    }

    /// Finds what is patched by each subject.
    pub(super) fn assign(&self, subjects: &[Subject<'_>]) -> Result<Assigned> {
        let mut assigned = Assigned { targets: Vec::new(), of: Vec::new() };
        if self.images.is_empty() {
            for subject in subjects {
                let object = self.rules.of(&subject.paths)?.unwrap_or(VMLINUX);
                let file = self.symtab.clone();
                assigned.push(KernelObject { object: object.to_owned(), file, others: Vec::new() });
            }
            let [first, second, ..] = &assigned.targets[..] else { return Ok(assigned) };
            if self.symtab.is_none() {
                return Ok(assigned);
            }
            let text =
                format!("--symtab describes {} or {}, not both", first.object, second.object);
            return Err(Error::broken(Code::NoParent, text)
                .advise("give an --image for each of them instead"));
        }
        let owners = match &self.images[..] {
            [only] => self.alone(only, subjects)?,
            _ => find(&self.rules, &self.images, subjects)?,
        };
        for owner in &owners.of {
            assigned.push(self.target(*owner, &owners));
        }
        Ok(assigned)
    }

    /// With one image all belongs to it.
    fn alone(&self, only: &Linkage, subjects: &[Subject<'_>]) -> Result<Owners> {
        for subject in subjects {
            let named = self.rules.of(&subject.paths)?.filter(|name| *name != only.object);
            if let Some(name) = named {
                let text = format!("no --image is that of --object {name}");
                return Err(
                    Error::broken(Code::NoParent, text).advise(format!("write {name}=FILE"))
                );
            }
        }
        Ok(Owners { of: vec![0; subjects.len()], used: Vec::new() })
    }

    fn target(&self, owner: usize, owners: &Owners) -> KernelObject {
        let is_needed = |i: usize| {
            i < self.given || owners.used.contains(&i) || self.images[i].object == VMLINUX
        };
        let others = (0..self.images.len()).filter(|&i| i != owner && is_needed(i));
        // Two files of one object would be neighbours of each other.
        let owned = &self.images[owner];
        let mut seen: IndexSet<&str, RandomState> = IndexSet::from_iter([owned.object.as_str()]);
        let others = others.filter(|&i| seen.insert(&self.images[i].object));
        let other = |i: usize| {
            let Linkage { object, path } = self.images[i].clone();
            ImageArg { object, path }
        };
        KernelObject {
            object: owned.object.clone(),
            file: Some(owned.path.clone()),
            others: others.map(other).collect(),
        }
    }
}

impl Assigned {
    /// What is patched by a single object.
    pub(super) fn only(&self) -> Result<&KernelObject> {
        let none = || Error::broken(Code::NoParent, "there is nothing to compare");
        self.targets.first().ok_or_else(none)
    }

    fn push(&mut self, target: KernelObject) {
        let same = |t: &KernelObject| (&t.object, &t.file) == (&target.object, &target.file);
        let at = self.targets.iter().position(same);
        self.of.push(at.unwrap_or(self.targets.len()));
        if at.is_none() {
            self.targets.push(target);
        }
    }
}
