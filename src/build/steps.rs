//! All steps from patches to pairs of objects.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::apply::Edits;
use super::config::{self, Config};
use super::find::{self, Found};
use super::kbuild::{Make, Owner};
use super::lines::keep;
use super::scope::{self, Kind};
use super::session::{Different, Plan, Request, Say, Session, Touched, Whose, seconds};
use super::source::{Synced, Work};
use super::{headers, originals, outside, patch, whole};
use crate::diag::{Code, Error, Result};
use crate::elf::image::Image;
use crate::host::files;
use crate::kernel::knowledge::tree::CONFIG;
use crate::running::image::KernelImage;

/// What the module is built from.
#[derive(Debug)]
pub struct Ready {
    /// Folder of the objects before the patch.
    pub orig: PathBuf,
    /// Folder of those after it.
    pub patched: PathBuf,
    /// The objects that were compiled one by one.
    pub objects: Vec<Touched>,
    /// The folders also hold all objects of the kernel, which its link made.
    pub whole: bool,
    /// Tree to build the module with.
    pub kernel: PathBuf,
    /// What `uname -r` says.
    pub release: String,
    /// Images, by object.
    pub images: Vec<(String, PathBuf)>,
    /// Functions that are not those of the images.
    pub different: Vec<Different>,
    /// How the originals compare with the images, in words.
    pub verified: String,
    /// What may be the reason when they are not the same.
    pub suspects: Vec<String>,
    /// The work folder, which must stay locked until the objects were read.
    pub work: Work,
}

/// How it went.
#[derive(Debug)]
pub enum Outcome {
    /// No object of the kernel is touched.
    Nothing,
    /// `--dry-run`: nothing was compiled.
    Planned,
    /// There are objects.
    Ready(Box<Ready>),
}

/// Section flags: each function and variable gets a section of its own.
const FLAGS: &str = "KCFLAGS=-ffunction-sections -fdata-sections";
/// Runs all steps.
pub fn run(request: &Request, say: Say<'_>) -> Result<Outcome> {
    let edits = read_patches(request, say)?;
    let files = scope::check(&edits, request.outside)?;
    scope::check_entries(&edits)?;
    if files.iter().all(|(_, kind)| *kind == Kind::Other) {
        say("the patch touches nothing that the kernel is made of");
        return Ok(Outcome::Nothing);
    }
    let version = match request.outside {
        true => None,
        false => Some(config::source_version(&request.given.source)?),
    };
    let found = find::find(&request.given)?;
    say(&format!(
        "kernel {}: {}, modules are built with {}",
        found.release,
        found.vmlinux.display(),
        found.kernel.display()
    ));
    version.map_or(Ok(()), |version| config::check_version(version, &found.release))?;
    find::check_config(&found)?;
    let config = Config::parse(&found.config);
    if config.has("LTO_CLANG") && !request.outside {
        whole::check_source(&request.given.source, config.has("LTO_CLANG_THIN_DIST"))?;
    }
    let mut session = Session::start(request, &found, edits, say)?;
    let result = session.run(&files);
    // Whatever happened, the copy is what the source is.
    session.restore()?;
    match result? {
        None => Ok(Outcome::Nothing),
        Some(_) if request.dry_run => Ok(Outcome::Planned),
        Some(plan) => session.finish(plan).map(|ready| Outcome::Ready(Box::new(ready))),
    }
}

fn read_patches(request: &Request, say: Say<'_>) -> Result<Edits> {
    let mut edits = Edits::default();
    for path in &request.patches {
        let shown = path.display().to_string();
        let changes = patch::parse(&shown, &files::read(path)?)?;
        edits.apply(&request.given.source, &shown, &changes, request.fuzz)?;
    }
    edits.notes.iter().for_each(|note| say(&format!("note: {note}")));
    Ok(edits)
}

/// Note with the files that are not what the source is.
const PATCHED: &str = "patched";

impl<'r> Session<'r> {
    fn start(
        request: &'r Request,
        found: &'r Found,
        edits: Edits,
        say: Say<'r>,
    ) -> Result<Session<'r>> {
        let given = Config::parse(&found.config);
        let compiler = config::compiler(&given, &request.choice)?;
        say(&format!("configuration: {}; compiler: {}", found.config_from, compiler.text));
        let work = Work::open(&request.work)?;
        headers::lay(&work)?;
        let started = Instant::now();
        for left in work.note(PATCHED).lines().filter(|l| !request.given.source.join(l).exists()) {
            work.replace(left, None)?;
        }
        let Synced { files, changed, removed, fingerprint } = work.sync(&request.given.source)?;
        work.set_note(PATCHED, "")?;
        if changed + removed > 0 {
            say(&format!(
                "copied the source to {}: {changed} of {files} files ({})",
                work.tree().display(),
                seconds(started)
            ));
        }
        let (tree, jobs) = (work.tree(), request.jobs);
        let mut make = match request.outside {
            true => Make::outside(&found.kernel, &tree, &given, &compiler, jobs),
            false => Make::new(&tree, &given, &compiler, &found.release, jobs),
        };
        let lto = given.has("LTO_CLANG");
        if lto && !request.outside {
            let file = Image::open_unpacked(&found.vmlinux)?;
            let image = KernelImage::parse(&found.vmlinux.display().to_string(), file.bytes())?;
            let linker = whole::linker(&work, &compiler, whole::has_stable_names(&image))?;
            make = make.with_linker(&linker);
        }
        let fingerprint =
            format!("{fingerprint:016x} {} {}\n{}", compiler.text, found.release, found.config);
        let mut session = Session {
            request,
            found,
            lto,
            edits,
            say,
            work,
            make,
            config: given,
            fingerprint,
            suspects: Vec::new(),
            different: Vec::new(),
            verified: String::new(),
        };
        session.prepare()?;
        Ok(session)
    }

    fn prepare(&mut self) -> Result<()> {
        let started = Instant::now();
        if self.request.outside {
            if self.work.note("prepared") != self.fingerprint {
                self.work.set_note(outside::PARTS, "")?;
                self.work.set_note("prepared", &self.fingerprint.clone())?;
            }
            return Ok(());
        }
        let config = self.work.tree().join(CONFIG);
        if self.work.note("prepared") != self.fingerprint {
            (self.say)("preparing the source");
            self.work.set_note("prepared", "")?;
            self.work.fresh("orig")?;
            self.work.set_note(whole::COMPLETE, "")?;
            self.work.set_note("includes", "")?;
            self.work.replace(CONFIG, Some(self.found.config.as_bytes()))?;
            self.make.prepare()?;
            self.work.set_note("prepared", &self.fingerprint.clone())?;
            (self.say)(&format!("prepared it ({})", seconds(started)));
        }
        let now = Config::parse(&files::read_text(&config)?);
        self.suspects = self.config.differences(&now);
        Ok(())
    }

    /// Finds out what to build and builds it; `None` when there is nothing.
    fn run(&mut self, files: &[(String, Kind)]) -> Result<Option<Plan>> {
        if self.request.outside {
            return self.run_outside();
        }
        let mut objects = self.objects(files)?;
        if objects.is_empty() {
            return Ok(None);
        }
        for object in objects.iter().take(30) {
            let into = match &object.owner {
                Owner::Kernel => "vmlinux",
                Owner::Module(name) => name,
            };
            (self.say)(&format!("object {} of {into}: {}", object.path, object.why));
        }
        if objects.len() > 30 {
            (self.say)(&format!("and {} more objects", objects.len() - 30));
        }
        let texts = self.texts(&objects);
        let whole = self.lto && objects.iter().any(|o| o.owner == Owner::Kernel);
        objects.retain(|o| !(whole && o.owner == Owner::Kernel));
        let plan = Plan { objects, whole };
        if self.request.dry_run {
            return Ok(Some(plan));
        }
        if whole && self.link_originals()? {
            // Early, and once: nobody shall wait for the second link to hear of another source.
            self.verify(&self.all_of_link()?, whole::ORIGINALS, Whose::Everything)?;
            self.different.clear();
        }
        self.build_originals(&plan.objects, &texts)?;
        let mut verified = Vec::new();
        if !plan.objects.is_empty() {
            verified.push(self.verify(&plan.objects, "orig", Whose::ThePatch)?);
        }
        self.build_patched(&plan, files, &texts)?;
        self.check_lines(&texts)?;
        if whole {
            let changed = self.changed_by_link()?;
            verified.push(self.verify(&changed, whole::ORIGINALS, Whose::ThePatch)?);
        }
        self.verified = verified.join("; ");
        Ok(Some(plan))
    }

    /// Arguments of make for objects.
    pub(super) fn flags(&self) -> Vec<String> {
        let mut flags = vec![format!("{FLAGS} -I{}", headers::folder(&self.work).display())];
        // Where the build runs objtool on the linked module, it must not have seen the objects:
        // those of modules of one file it looks at one by one.
        if self.config.has("OBJTOOL")
            && (self.config.has("LTO_CLANG") || self.config.has("X86_KERNEL_IBT"))
        {
            flags.push("objtool-enabled=".to_owned());
        }
        flags
    }

    fn build_originals(&self, objects: &[Touched], texts: &[String]) -> Result<()> {
        let started = Instant::now();
        let kept = self.work.root().join("orig");
        let missing = |path: &&String| !kept.join(path).is_file();
        let there = objects.iter().filter(|o| o.there[0]).map(|o| &o.path);
        let mut wanted: Vec<String> = there.filter(missing).cloned().collect();
        let objects = wanted.len();
        wanted.extend(texts.iter().filter(missing).cloned());
        if wanted.is_empty() {
            return Ok(());
        }
        let [doing, done] = worked_on(objects, wanted.len());
        (self.say)(&format!("{doing} without the patch"));
        self.make.make("compiling the unpatched source", &wanted, &self.flags())?;
        self.keep(&wanted, &kept)?;
        (self.say)(&format!("{done} ({})", seconds(started)));
        Ok(())
    }

    /// Copies objects out of the tree.
    pub(super) fn keep(&self, objects: &[String], folder: &Path) -> Result<()> {
        for object in objects {
            let to = folder.join(object);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent).map_err(|e| files::unwritable(parent, &e))?;
            }
            let part = to.with_extension("o.part");
            std::fs::copy(self.work.tree().join(object), &part)
                .map_err(|e| files::unwritable(&part, &e))?;
            std::fs::rename(&part, &to).map_err(|e| files::unwritable(&to, &e))?;
        }
        Ok(())
    }

    /// Compares originals, which lie in this folder of the work folder, with what runs; gives the
    /// result in words.
    pub(super) fn verify(
        &mut self,
        objects: &[Touched],
        folder: &str,
        whose: Whose,
    ) -> Result<String> {
        let started = Instant::now();
        let mut owners: BTreeMap<&Owner, Vec<&Touched>> = BTreeMap::new();
        for object in objects.iter().filter(|o| o.there[0]) {
            owners.entry(&object.owner).or_default().push(object);
        }
        let (mut counts, mut number) = (originals::Counts::default(), 0);
        let (mut wrong, mut weak) = (Vec::new(), 0);
        for (owner, objects) in owners {
            let path = self.image(owner)?;
            let file = Image::open_unpacked(&path)?;
            let image = KernelImage::parse(&path.display().to_string(), file.bytes())?;
            let table = image.table()?;
            let images = [(image, table)];
            let folder = self.work.root().join(folder);
            let look = |o: &&Touched| originals::look_at(&folder.join(&o.path), &images);
            let all = objects.par_iter().map(look).collect::<Result<Vec<_>>>()?;
            for (object, found) in objects.into_iter().zip(all) {
                counts.add(&found.counts);
                number += 1;
                let of = |(function, text): &(String, String), weak| Different {
                    path: object.path.clone(),
                    function: function.clone(),
                    text: format!("{}: {text}", object.path),
                    weak,
                };
                self.different.extend(found.differences.iter().map(|d| of(d, false)));
                self.different.extend(found.overridden.iter().map(|d| of(d, true)));
                weak += found.overridden.len() as u64;
                if let Some(unknown) = &found.unknown {
                    wrong.push(format!("  {}: {unknown}", object.path));
                } else if found.counts.differ * 2 > found.counts.functions {
                    let texts = found.differences.iter().take(5);
                    wrong.extend(texts.map(|(_, text)| format!("  {}: {text}", object.path)));
                }
            }
        }
        counts.overridden = weak;
        let verified = originals::summary(number, &counts);
        (self.say)(&format!("verified: {verified} ({})", seconds(started)));
        let is_other = match whose {
            Whose::ThePatch => !wrong.is_empty(),
            Whose::Everything => counts.differ * 2 > counts.functions,
        };
        match is_other {
            true => Err(not_the_kernel(wrong, &self.suspects)),
            false => Ok(verified),
        }
    }

    fn image(&self, owner: &Owner) -> Result<PathBuf> {
        match owner {
            Owner::Kernel => Ok(self.found.vmlinux.clone()),
            Owner::Module(name) => self.found.module(name),
        }
    }

    /// Puts patched files into the copy.
    pub(super) fn write_patched(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let changed: Vec<&str> = self.edits.changed().map(|(path, _)| path).collect();
        self.work.set_note(PATCHED, &changed.join("\n"))?;
        for (path, edited) in self.edits.changed().filter(|(path, _)| wanted(path)) {
            let Some(text) = &edited.after else {
                self.work.replace(path, None)?;
                continue;
            };
            let code = path.ends_with(".c") || path.ends_with(".h");
            if code && self.request.keep_lines && edited.before.is_some() {
                let kept = keep(&text.lines, text.open);
                for (from, to) in &kept.moved {
                    (self.say)(&format!(
                        "note: {path}: lines {from} to {to} have other numbers: they follow an edit in one statement"
                    ));
                }
                self.work.replace(path, Some(&kept.text))?;
            } else {
                self.work.replace(path, Some(&text.bytes()))?;
            }
        }
        Ok(())
    }

    /// Makes the copy what the source is.
    pub(super) fn restore(&self) -> Result<()> {
        for path in self.work.note(PATCHED).lines() {
            let original = self.request.given.source.join(path);
            let contents = original.is_file().then(|| files::read(&original)).transpose()?;
            self.work.replace(path, contents.as_deref())?;
        }
        self.work.set_note(PATCHED, "")
    }

    fn build_patched(
        &self,
        plan: &Plan,
        sources: &[(String, Kind)],
        texts: &[String],
    ) -> Result<()> {
        let headers = sources.iter().any(|(path, _)| path.ends_with(".h"));
        let before = headers.then(|| self.generated()).transpose()?;
        self.write_patched(|_| true)?;
        if let Some(before) = before {
            check_generated(&before, &self.generated()?)?;
        }
        let folder = "run/patched";
        self.work.fresh(folder)?;
        if plan.whole {
            self.link("with the patch", folder)?;
        }
        let there = plan.objects.iter().filter(|o| o.there[1]);
        let objects: Vec<String> = there.map(|o| o.path.clone()).collect();
        let wanted = [&objects, texts].concat();
        if wanted.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let [doing, done] = worked_on(objects.len(), wanted.len());
        (self.say)(&format!("{doing} with the patch"));
        self.make.make("compiling the patched source", &wanted, &self.flags())?;
        self.keep(&objects, &self.work.root().join(folder))?;
        (self.say)(&format!("{done} ({})", seconds(started)));
        Ok(())
    }

    /// What the build generates of the source for all objects: by path, the contents.
    fn generated(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let script = self.config.arch().map(|arch| format!("arch/{arch}/kernel/vmlinux.lds"));
        let mut targets = vec!["prepare".to_owned(), "modules_prepare".to_owned()];
        targets.extend(
            script.iter().filter(|s| self.work.tree().join(format!("{s}.S")).is_file()).cloned(),
        );
        // A target of one file makes the others be forgotten.
        for target in &targets {
            self.make.run("generating headers", std::slice::from_ref(target))?;
        }
        let mut all = BTreeMap::new();
        let mut open = vec!["include/generated".to_owned()];
        open.extend(self.config.arch().map(|arch| format!("arch/{arch}/include/generated")));
        while let Some(folder) = open.pop() {
            for entry in
                std::fs::read_dir(self.work.tree().join(&folder)).into_iter().flatten().flatten()
            {
                let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() {
                    open.push(path);
                } else {
                    all.insert(path, files::read(&entry.path())?);
                }
            }
        }
        for script in script.into_iter().chain(["scripts/module.lds".to_owned()]) {
            let path = self.work.tree().join(&script);
            if path.is_file() {
                all.insert(script, files::read(&path)?);
            }
        }
        Ok(all)
    }

    fn finish(self, plan: Plan) -> Result<Ready> {
        let Plan { objects, whole } = plan;
        let orig = self.work.fresh("run/orig")?;
        let kept = self.work.root().join("orig");
        for object in objects.iter().filter(|o| o.there[0]) {
            whole::put(&kept.join(&object.path), &orig.join(&object.path))?;
        }
        if whole {
            let kept = self.work.root().join(whole::ORIGINALS);
            for path in whole::listed(&kept)? {
                whole::put(&kept.join(&path), &orig.join(&path))?;
            }
        }
        let mut images = vec![("vmlinux".to_owned(), self.found.vmlinux.clone())];
        let owners: BTreeSet<&Owner> = objects.iter().map(|o| &o.owner).collect();
        for owner in owners {
            if let Owner::Module(name) = owner {
                images.push((name.clone(), self.found.module(name)?));
            }
        }
        Ok(Ready {
            orig,
            patched: self.work.root().join("run/patched"),
            objects,
            whole,
            kernel: self.found.kernel.clone(),
            release: self.found.release.clone(),
            images,
            different: self.different,
            verified: self.verified,
            suspects: self.suspects,
            work: self.work,
        })
    }
}

/// Fails when the patch changes what the build generates for all objects.
fn check_generated(
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let about_time = |name: &str| name.ends_with("/compile.h") || name.ends_with("/utsversion.h");
    let mut details = Vec::new();
    for name in names.into_iter().filter(|n| before.get(*n) != after.get(*n) && !about_time(n)) {
        let lines = |all: &BTreeMap<String, Vec<u8>>| -> Vec<String> {
            let text =
                all.get(name).map(|t| String::from_utf8_lossy(t).into_owned()).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        let (old, new) = (lines(before), lines(after));
        details.push(format!("  {name} would be another one:"));
        details.extend(old.iter().filter(|l| !new.contains(l)).take(3).map(|l| format!("  -{l}")));
        details.extend(new.iter().filter(|l| !old.contains(l)).take(3).map(|l| format!("  +{l}")));
    }
    match details.is_empty() {
        true => Ok(()),
        false => Err(Error::refused(Code::PatchScope, "the patch changes what all objects are built with")
            .with_details(details)
            .advise("offsets of structures and addresses are built into the running kernel: leave their layout as it is")),
    }
}

/// The refusal of originals that are not what runs.
pub fn not_the_kernel(mut details: Vec<String>, suspects: &[String]) -> Error {
    details.truncate(20);
    if !suspects.is_empty() {
        details.push(
            "options that the source does not have as the configuration says (here and there):"
                .to_owned(),
        );
        details.extend(suspects.iter().take(10).map(|s| format!("  {s}")));
    }
    Error::refused(Code::NotTheKernel, "what was compiled is not the kernel that runs")
        .with_details(details)
        .advise(
            "most often the source is of another release or lacks the distribution's patches, the configuration is \
             another one, or the compiler is another build; --allow-different FUNC takes a function as it is",
        )
}

/// What is done, and was done, in words: objects are compiled, or sources are only preprocessed, where
/// the link of the kernel compiles.
fn worked_on(objects: usize, all: usize) -> [String; 2] {
    match objects {
        0 => [format!("counting lines of {all} source(s)"), format!("counted {all}")],
        _ => [format!("compiling {objects} object(s)"), format!("compiled {objects}")],
    }
}
