//! Runs the kernel's own build in the copy of the source.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::config::{Compiler, Config};
use super::objects::normal;
use crate::diag::{Code, Error, Result};
use crate::kernel::knowledge::tree::record_of;
use crate::patch::module::kbuild::{end, failed, make_in};

/// Asks a folder's Makefile what it builds.
const QUERY: &str = include_str!("query.mk");
/// Runs the above with all that the top Makefile sets.
const ASK: &str = include_str!("ask.mk");

/// Most bytes of arguments that are handed to one make.
const ARGUMENTS: usize = 64 << 10;

/// How to run make.
#[derive(Clone, Debug)]
pub struct Make {
    tree: PathBuf,
    fixed: Vec<String>,
    archiver: String,
    /// Processes at once.
    pub jobs: usize,
}

impl Make {
    /// For the tree at `tree`, whose release is to be `release`.
    pub fn new(
        tree: &Path,
        config: &Config,
        compiler: &Compiler,
        release: &str,
        jobs: usize,
    ) -> Make {
        let mut fixed = compiler.arguments.clone();
        fixed.extend(config.arch().map(|arch| format!("ARCH={arch}")));
        fixed.push(format!("KERNELRELEASE={release}"));
        Make { tree: tree.to_owned(), fixed, archiver: compiler.tool("llvm-ar"), jobs }
    }

    /// For modules whose source is at `source`, with the tree that modules of the kernel are built
    /// with.
    pub fn outside(
        tree: &Path,
        source: &Path,
        config: &Config,
        compiler: &Compiler,
        jobs: usize,
    ) -> Make {
        let mut make = Make::new(tree, config, compiler, "", jobs);
        // What that tree is a tree of is its own matter.
        make.fixed.retain(|argument| !argument.starts_with("KERNELRELEASE="));
        make.fixed.push(format!("M={}", source.display()));
        make
    }

    /// The same with another linker.
    pub fn with_linker(mut self, linker: &Path) -> Make {
        self.fixed.push(format!("LD={}", linker.display()));
        self
    }

    /// The objects of an archive of LLVM, with their paths below the tree.
    pub fn members(&self, archive: &str) -> Result<Vec<String>> {
        let mut command = Command::new(&self.archiver);
        let ended = end(command.current_dir(&self.tree).args(["t", archive]))?;
        match ended.status.success() {
            true => Ok(String::from_utf8_lossy(&ended.stdout).lines().map(normal).collect()),
            false => Err(failed(&format!("listing {archive} failed"), &ended.log())),
        }
    }

    /// Runs make for these targets; fails with the last lines of what it printed.
    pub fn run(&self, what: &str, arguments: &[String]) -> Result<String> {
        let mut command = make_in(&self.tree);
        command.arg(format!("-j{}", self.jobs)).arg("--no-print-directory");
        let ended = end(command.args(&self.fixed).args(arguments))?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        Err(failed(&format!("{what} failed"), &ended.log()))
    }

    /// Configures the tree and makes what all compilations need.
    pub fn prepare(&self) -> Result<()> {
        let targets =
            |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<String>>();
        self.run("configuring the source", &targets(&["olddefconfig"]))?;
        self.run("preparing the source", &targets(&["prepare", "modules_prepare"]))?;
        Ok(())
    }

    /// Makes these files, each of them anew.
    pub fn make(&self, what: &str, files: &[String], arguments: &[String]) -> Result<()> {
        for file in files {
            let path = self.tree.join(file);
            let record = record_of(file);
            for stale in [path, self.tree.join(record)] {
                match std::fs::remove_file(&stale) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(crate::host::files::unwritable(&stale, &e));
                    }
                    _ => {}
                }
            }
        }
        for part in parts(files) {
            let all: Vec<String> = arguments.iter().chain(part).cloned().collect();
            self.run(what, &all)?;
            for file in part {
                if !self.tree.join(file).is_file() {
                    return Err(Error::broken(
                        Code::BuildFailed,
                        format!("{what}: the build made no {file}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// What the Makefiles of these folders build, and the folders that the top Makefile starts with.
    pub fn query(&self, work: &Path, folders: &[String]) -> Result<Lists> {
        let (query, ask) = (work.join("query.mk"), work.join("ask.mk"));
        for (path, text) in [(&query, QUERY), (&ask, ASK)] {
            std::fs::write(path, text).map_err(|e| crate::host::files::unwritable(path, &e))?;
        }
        let mut lists = Lists::default();
        for part in parts(folders) {
            let arguments = [
                "-s".to_owned(),
                "-f".to_owned(),
                "Makefile".to_owned(),
                "-f".to_owned(),
                ask.display().to_string(),
                format!("KLP_QUERY={}", query.display()),
                format!("KLP_FOLDERS={}", part.join(" ")),
                "klp-ask".to_owned(),
            ];
            lists.read(&self.run("asking the Makefiles what is built", &arguments)?);
        }
        Ok(lists)
    }
}

/// Splits a list so that each part fits on a command line.
fn parts(all: &[String]) -> Vec<&[String]> {
    let mut parts = Vec::new();
    let (mut start, mut length) = (0, 0);
    for (i, word) in all.iter().enumerate() {
        if length + word.len() > ARGUMENTS && i > start {
            parts.extend(all.get(start..i));
            (start, length) = (i, 0);
        }
        length += word.len() + 1;
    }
    parts.extend(all.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

/// What Makefiles build.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// `obj-y`, `obj-m`, `lib-y` and so on of each folder.
    lists: BTreeMap<(String, String), Vec<String>>,
    /// Parts of an object of a folder.
    parts: BTreeMap<(String, String), Vec<String>>,
    /// Folders that the top Makefile names.
    roots: Vec<String>,
}

/// Where an object goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The kernel itself.
    Kernel,
    /// A module, by the name that it has when it is loaded.
    Module(String),
}

impl Lists {
    fn read(&mut self, text: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let owned =
                |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<String>>();
            match words[..] {
                ["KLP-ROOTS", ref roots @ ..] => {
                    self.roots.extend(roots.iter().map(|r| r.trim_end_matches('/').to_owned()));
                }
                ["KLP-LIST", folder, name, ref objects @ ..] => {
                    self.lists.insert((folder.to_owned(), name.to_owned()), owned(objects));
                }
                ["KLP-PARTS", folder, name, ref objects @ ..] => {
                    self.parts.insert((folder.to_owned(), name.to_owned()), owned(objects));
                }
                _ => {}
            }
        }
    }

    fn list(&self, folder: &str, name: &str) -> &[String] {
        self.lists.get(&(folder.to_owned(), name.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// What an object is linked into; `None` when this configuration does not build it.
    pub fn owner(&self, object: &str) -> Option<Owner> {
        self.place(object).map(|place| place.0)
    }

    /// The same, with the object that all parts of a module are linked into.
    pub fn place(&self, object: &str) -> Option<(Owner, Option<String>)> {
        let mut at = object;
        while let Some((folder, _)) = at.rsplit_once('/') {
            let name = object.get(folder.len() + 1..)?;
            if let Some((owner, whole)) = self.place_in(folder, name) {
                return match self.visited(folder)? {
                    // Only the modules of a folder are built that is itself one of modules.
                    true if owner == Owner::Kernel => None,
                    _ => Some((owner, whole)),
                };
            }
            at = folder;
        }
        None
    }

    fn place_in(&self, folder: &str, name: &str) -> Option<(Owner, Option<String>)> {
        let stem =
            |o: &str| o.rsplit('/').next().unwrap_or(o).trim_end_matches(".o").replace('-', "_");
        let inside = |whole: &String| {
            let mut open = vec![whole.clone()];
            let mut seen = Vec::new();
            while let Some(object) = open.pop() {
                if object == name {
                    return true;
                }
                if !seen.contains(&object) {
                    let parts = self.parts.get(&(folder.to_owned(), object.clone()));
                    open.extend(parts.into_iter().flatten().cloned());
                    seen.push(object);
                }
            }
            false
        };
        let built = ["obj-y", "lib-y"].iter().flat_map(|l| self.list(folder, l));
        if built.into_iter().any(inside) {
            return Some((Owner::Kernel, None));
        }
        let modules = ["obj-m", "lib-m"].iter().flat_map(|l| self.list(folder, l));
        let module = modules.into_iter().find(|m| inside(m))?;
        Some((Owner::Module(stem(module)), Some(format!("{folder}/{module}"))))
    }

    /// Whether the build comes to a folder, and then whether for modules only.
    fn visited(&self, folder: &str) -> Option<bool> {
        if self.roots.iter().any(|r| r == folder) {
            return Some(false);
        }
        let mut at = folder;
        while let Some((parent, _)) = at.rsplit_once('/').or((!at.is_empty()).then_some(("", at))) {
            let rest = folder.get(if parent.is_empty() { 0 } else { parent.len() + 1 }..)?;
            let key = if parent.is_empty() { "." } else { parent };
            let lists = |name: &str| {
                self.list(key, name)
                    .iter()
                    .any(|o| o.trim_end_matches('/') == rest && o.ends_with('/'))
            };
            if lists("obj-y") || lists("lib-y") {
                return if parent.is_empty() { Some(false) } else { self.visited(parent) };
            }
            if lists("obj-m") {
                return Some(true);
            }
            at = parent;
        }
        None
    }
}

/// Folders whose Makefiles decide about an object.
pub fn folders_of(object: &str) -> Vec<String> {
    let mut folders = vec![".".to_owned()];
    let mut at = object;
    while let Some((folder, _)) = at.rsplit_once('/') {
        folders.push(folder.to_owned());
        at = folder;
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        let mut lists = Lists::default();
        lists.read(
            "KLP-ROOTS arch/x86/lib/\n\
             KLP-LIST . obj-y fs/ drivers/\n\
             KLP-LIST fs obj-y pipe.o built.o ext/ \n\
             KLP-LIST fs obj-m xfs/ m/\n\
             KLP-PARTS fs built.o one.o deep/two.o\n\
             KLP-LIST fs/xfs obj-m xfs-fs.o\n\
             KLP-PARTS fs/xfs xfs-fs.o a.o lib/b.o\n\
             KLP-LIST fs/m obj-y lost.o\n\
             KLP-LIST fs/off obj-y x.o\n\
             KLP-LIST arch/x86/lib lib-y copy.o\n",
        );
        lists
    }

    #[test]
    fn objects_have_the_owners_that_makefiles_say() {
        let lists = lists();
        let module = |name: &str| Some(Owner::Module(name.to_owned()));
        for (object, owner) in [
            ("fs/pipe.o", Some(Owner::Kernel)),
            ("fs/one.o", Some(Owner::Kernel)),
            ("fs/deep/two.o", Some(Owner::Kernel)),
            ("fs/xfs/a.o", module("xfs_fs")),
            ("fs/xfs/lib/b.o", module("xfs_fs")),
            ("fs/m/lost.o", None),
            ("fs/off/x.o", None),
            ("fs/nosuch.o", None),
            ("arch/x86/lib/copy.o", Some(Owner::Kernel)),
        ] {
            assert_eq!(lists.owner(object), owner, "{object}");
        }
        let whole = lists.place("fs/xfs/lib/b.o").and_then(|place| place.1);
        assert_eq!(whole.as_deref(), Some("fs/xfs/xfs-fs.o"));
        assert_eq!(folders_of("fs/xfs/lib/b.o"), [".", "fs/xfs/lib", "fs/xfs", "fs"]);
    }

    #[test]
    fn long_lists_are_split() {
        let words: Vec<String> = (0..30_000).map(|i| format!("file{i}.o")).collect();
        let split = parts(&words);
        assert!(split.len() > 1);
        assert_eq!(split.concat(), words);
        assert!(parts(&[]).is_empty());
    }
}
