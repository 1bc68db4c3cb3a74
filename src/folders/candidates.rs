//! The files that describe what `klp-diff module` may patch: those that the command line names,
//! and those that were found.

use std::path::PathBuf;

use super::owners::{Rules, Subject, certain, find, named};
use crate::diag::Result;
use crate::elf::image::Image;
use crate::running::installed::{Installed, Linkage, VMLINUX, linked_files};

/// What the command line names.
#[derive(Clone, Copy)]
pub(crate) struct Given<'g> {
    /// Object, file, and whether that may be the linked object itself.
    pub(crate) files: &'g [(String, PathBuf, bool)],
    /// Folders of linked objects.
    pub(crate) folders: &'g [PathBuf],
}

/// All files that may describe what is patched.
pub(crate) struct Candidates {
    all: Vec<Candidate>,
}

/// A file that may describe what is patched.
struct Candidate {
    linkage: Linkage,
    may_be_image: bool,
    /// The command line names it, or a folder that it is in.
    given: bool,
}

/// What describes an object that may be patched.
pub(crate) struct ParentFile {
    /// Its position among the candidates.
    pub(crate) candidate: usize,
    pub(crate) object: String,
    /// The file's name.
    pub(crate) shown: String,
    pub(crate) file: Image,
    pub(crate) may_be_image: bool,
}

impl Candidates {
    /// Files that describe what may be patched: what the command line names, and then what else was
    /// found.
    pub(crate) fn new(named: Given<'_>, found: &Installed) -> Result<Candidates> {
        let mut all: Vec<Candidate> = Vec::new();
        for (object, path, image) in named.files {
            let linkage = Linkage { object: object.clone(), path: path.clone() };
            all.push(Candidate { linkage, may_be_image: *image, given: true });
        }
        let mut more: Vec<(Linkage, bool, bool)> = Vec::new();
        for folder in named.folders {
            more.extend(linked_files(folder)?.into_iter().map(|linkage| (linkage, true, true)));
        }
        let kernel = |path: &PathBuf| Linkage { object: VMLINUX.to_owned(), path: path.clone() };
        more.extend(found.vmlinux.iter().map(|path| (kernel(path), true, false)));
        if found.vmlinux.is_none() {
            more.extend(found.system_map.iter().map(|path| (kernel(path), false, false)));
        }
        if named.files.iter().all(|(_, _, image)| *image) {
            more.extend(found.modules.iter().map(|linkage| (linkage.clone(), true, false)));
        }
        // What is given goes before what is found, one by one before folders.
        for given in [true, false] {
            let known: Vec<String> = all.iter().map(|c| c.linkage.object.clone()).collect();
            let of_kind = more.iter().filter(|m| m.2 == given && !known.contains(&m.0.object));
            all.extend(of_kind.map(|(linkage, may_be_image, given)| Candidate {
                linkage: linkage.clone(),
                may_be_image: *may_be_image,
                given: *given,
            }));
        }
        match all.is_empty() {
            true => Err(found.no_symbols()),
            false => Ok(Candidates { all }),
        }
    }

    /// The position of the candidate that each object belongs to.
    pub(crate) fn owners(&self, rules: &Rules, subjects: &[Subject<'_>]) -> Result<Vec<usize>> {
        let candidates = &self.all;
        let linked: Vec<Linkage> = candidates.iter().map(|c| c.linkage.clone()).collect();
        let given = candidates.iter().filter(|c| c.given).count();
        let texts = candidates.iter().any(|c| !c.may_be_image);
        let kernel = candidates.iter().position(|c| c.linkage.object == VMLINUX);
        let only = <&[Linkage; 1]>::try_from(&linked[..]).ok().map(|[one]| one.object.as_str());
        // Texts of symbols have no code, and one file leaves no choice.
        if texts || only.is_some() {
            let usual = only.unwrap_or(VMLINUX);
            let of = |s: &Subject<'_>| named(&linked, rules.of(&s.paths)?.unwrap_or(usual));
            return subjects
                .iter()
                .map(|s| of(s).map_err(|e| e.in_file(s.shown.clone())))
                .collect();
        }
        // What is installed is many files: they are read when the kernel has not the very code.
        let certain = kernel.map(|i| certain(rules, &linked, i, given, subjects));
        if let Some(true) = certain.transpose()? {
            return Ok(vec![kernel.unwrap_or(0); subjects.len()]);
        }
        find(rules, &linked, subjects).map(|owners| owners.of)
    }

    /// The candidates that are patched, those that the command line names, and the kernel.
    pub(crate) fn open(&self, owners: &[usize]) -> Result<Vec<ParentFile>> {
        let candidates = &self.all;
        let mut parents = Vec::new();
        for (number, candidate) in candidates.iter().enumerate() {
            let Candidate { linkage: Linkage { object, path }, may_be_image, given } = candidate;
            let several = candidates.iter().filter(|c| c.linkage.object == *object).count() > 1;
            if !(owners.contains(&number) || (*given && !several) || object == VMLINUX) {
                continue;
            }
            let open = if *may_be_image { Image::open_unpacked } else { Image::open_any };
            parents.push(ParentFile {
                candidate: number,
                object: object.clone(),
                shown: path.display().to_string(),
                file: open(path)?,
                may_be_image: *may_be_image,
            });
        }
        Ok(parents)
    }
}
