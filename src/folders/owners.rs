//! Which kernel object the objects of a patch belong to: what the command line says, or else what
//! the linked files show.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "images and subjects have the numbers they were given"
)]

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use foldhash::fast::RandomState;
use indexmap::IndexSet;
use rayon::prelude::*;

use crate::diag::{Code, Error, Finding, Result};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched};
use crate::elf::image::Image;
use crate::elf::linked::Linked;
use crate::elf::object::Object;
use crate::running::image::KernelImage;
use crate::running::installed::{Linkage, VMLINUX, module_name, object_of_file};
use crate::running::owner::{Defined, Fit, Wanted, same_code};

/// Longest name of a module that livepatch takes (`MODULE_NAME_LEN` in include/linux/moduleparam.h).
const LONGEST_NAME: usize = 55;

/// A kernel object as the command line names it, in the kernel's writing. The error says why none can be called so: the
/// kernel reads the name up to a dot from names of symbols and sections (kernel/livepatch/core.c).
pub(crate) fn object_name(option: &str, given: &str) -> std::result::Result<String, String> {
    let name = module_name(given);
    let fits = |c: char| c.is_ascii_graphic() && !['.', '/', ',', '='].contains(&c);
    match !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(fits) {
        true => Ok(name),
        false => Err(format!(
            "{option}: '{given}' is the name of no kernel object: give vmlinux, or a module's as lsmod prints it"
        )),
    }
}

/// The parts of an `--object` option.
pub(crate) fn object_and_path(given: &str) -> std::result::Result<(String, Option<&str>), String> {
    let option = format!("--object {given}");
    match given.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok((object_name(&option, name)?, Some(path)))
        }
        None if !given.is_empty() => Ok((object_name(&option, given)?, None)),
        _ => Err(format!("{option}: expected NAME or NAME=PATH")),
    }
}

/// `--object NAME` and `--object NAME=PATH`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<(String, Option<PathBuf>)>,
}

impl Rules {
    /// The error is a mistake on the command line.
    pub(crate) fn parse(given: &[String]) -> std::result::Result<Rules, String> {
        let rules = given.iter().map(|given| {
            let (name, path) = object_and_path(given)?;
            Ok((name, path.map(PathBuf::from)))
        });
        let rules = rules.collect::<std::result::Result<Vec<_>, String>>()?;
        let plain: IndexSet<&str, RandomState> =
            rules.iter().filter(|r| r.1.is_none()).map(|r| r.0.as_str()).collect();
        match &plain.iter().collect::<Vec<_>>()[..] {
            [a, b, ..] => Err(format!(
                "--object {a} and --object {b} are both for all objects: say which are those of one \
                 with --object NAME=PATH"
            )),
            _ => Ok(Rules { rules }),
        }
    }

    /// The object that all belong to that no path is given for.
    pub(crate) fn plain(&self) -> Option<&str> {
        let plain = self.rules.iter().find(|(_, place)| place.is_none());
        plain.map(|(name, _)| name.as_str())
    }

    /// The object that the command line names for what has these paths: by the place that lies within all others
    /// that fit. Fails where two fit of which none does.
    pub(crate) fn of(&self, paths: &[&Path]) -> Result<Option<&str>> {
        let lies = |place: &PathBuf| paths.iter().any(|path| lies_at(path, place));
        let mut best: Option<(&str, &Path)> = None;
        for (name, place) in &self.rules {
            let Some(place) = place.as_ref().filter(|place| lies(place)) else { continue };
            let Some((other, at)) = best else {
                best = Some((name, place));
                continue;
            };
            match (lies_at(place, at), lies_at(at, place)) {
                (true, false) => best = Some((name, place)),
                (false, true) => {}
                _ if other == name => {}
                _ => return Err(contradiction([(other, at), (name, place)], paths)),
            }
        }
        Ok(best.map(|(name, _)| name).or_else(|| self.plain()))
    }

    /// Fails when an option is about none of these paths.
    pub(crate) fn check<'p>(&self, paths: impl Iterator<Item = &'p Path> + Clone) -> Result<()> {
        for (name, place) in &self.rules {
            let Some(place) = place else { continue };
            if !paths.clone().any(|path| lies_at(path, place)) {
                let what = format!("--object {name}={} matches nothing", place.display());
                return Err(Error::broken(Code::NoSuchObject, what)
                    .advise("give the path of an object or a folder as it stands in those given"));
            }
        }
        Ok(())
    }
}

/// Two options that name different objects for one.
fn contradiction(given: [(&str, &Path); 2], paths: &[&Path]) -> Error {
    let [one, other] = given.map(|(name, place)| format!("--object {name}={}", place.display()));
    let error = Error::refused(
        Code::AmbiguousOwner,
        format!("it is unclear which kernel object this one belongs to: {one} and {other} fit"),
    );
    let file = paths.last().map(|path| path.display().to_string()).unwrap_or_default();
    error.in_file(file).advise("give paths of which one lies within the other, or take one out")
}

/// Whether a file has the parts of `place` in a row, or is that file or below that folder. In a part of `place`
/// `*` stands for any text and `?` for a character, and a part `**` for any folders.
fn lies_at(path: &Path, place: &Path) -> bool {
    let parts = |path: &Path| -> Vec<OsString> {
        let plain = path.components().filter(|c| *c != Component::CurDir);
        plain.map(|c| c.as_os_str().to_owned()).collect()
    };
    let (whole, wanted) = (parts(path), parts(place));
    if !wanted.is_empty() && has_in_a_row(&whole, &wanted) {
        return true;
    }
    let Ok(real) = path.canonicalize() else { return false };
    match place.canonicalize() {
        Ok(place) => real.starts_with(place),
        Err(_) => place.is_absolute() && has_in_a_row(&parts(&real), &wanted),
    }
}

fn has_in_a_row(parts: &[OsString], wanted: &[OsString]) -> bool {
    (0..parts.len()).any(|from| parts.get(from..).is_some_and(|rest| begins(rest, wanted)))
}

fn begins(parts: &[OsString], wanted: &[OsString]) -> bool {
    match (parts, wanted) {
        (_, []) => true,
        (_, [any, rest @ ..]) if any == "**" => {
            begins(parts, rest) || parts.split_first().is_some_and(|(_, more)| begins(more, wanted))
        }
        ([part, more @ ..], [first, rest @ ..]) => is_like(part, first) && begins(more, rest),
        ([], _) => false,
    }
}

/// Whether a part of a path is as a pattern says.
fn is_like(part: &OsStr, pattern: &OsStr) -> bool {
    if part == pattern {
        return true;
    }
    let (text, pattern) = (part.as_bytes(), pattern.as_bytes());
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last `*` stands, and up to where the text goes that it stands for.
    let mut star = None;
    while let Some(byte) = text.get(at) {
        match (pattern.get(in_pattern), star) {
            (Some(b'*'), _) => {
                in_pattern += 1;
                star = Some((in_pattern, at));
            }
            (Some(wanted), _) if wanted == byte || *wanted == b'?' => {
                at += 1;
                in_pattern += 1;
            }
            (_, Some((behind, upto))) => {
                (at, in_pattern) = (upto + 1, behind);
                star = Some((behind, upto + 1));
            }
            (_, None) => return false,
        }
    }
    pattern.get(in_pattern..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// An object of a patch, or several that are compared as one.
#[derive(Default)]
pub(crate) struct Subject<'b> {
    /// For messages.
    pub(crate) shown: String,
    /// Paths by which it may be named.
    pub(crate) paths: Vec<&'b Path>,
    /// Names and bytes; without any it is new.
    pub(crate) orig: Vec<(String, &'b [u8])>,
    pub(crate) patched: Vec<(String, &'b [u8])>,
}

impl Subject<'_> {
    fn wanted(&self) -> Result<Wanted> {
        let mut wanted = Wanted::default();
        for (name, bytes) in &self.orig {
            wanted.add_original(&Object::<Orig>::parse(name, bytes)?)?;
        }
        for (name, bytes) in &self.patched {
            wanted.add_patched(&Object::<Patched>::parse(name, bytes)?);
        }
        Ok(wanted)
    }
}

/// What belongs to what.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// Position of the file that each subject was linked into.
    pub(crate) of: Vec<usize>,
    /// Files that define what the subjects refer to.
    pub(crate) used: Vec<usize>,
}

/// Finds the file among `images` that each subject was linked into. What the rules name is taken
/// as it is. Fails, with class refused, where several files may be it, or none.
pub(crate) fn find(rules: &Rules, images: &[Linkage], subjects: &[Subject<'_>]) -> Result<Owners> {
    let wanted = subjects.par_iter().map(Subject::wanted).collect::<Result<Vec<_>>>()?;
    let fits: Vec<Vec<Fit>> =
        images.par_iter().map(|image| fits_in(image, &wanted)).collect::<Result<_>>()?;
    let used = (0..images.len()).filter(|&i| fits[i].iter().any(|fit| fit.used));
    let mut owners = Owners { of: Vec::new(), used: used.collect() };
    for (number, subject) in subjects.iter().enumerate() {
        let of_image = |i: usize| fits[i].get(number).copied().unwrap_or_default();
        let owner = match rules.of(&subject.paths)? {
            Some(name) => named(images, name)?,
            None => decide(images, &of_image, subject, &wanted[number])?,
        };
        owners.of.push(owner);
    }
    Ok(owners)
}

/// What of each subject is in a file.
fn fits_in(linkage: &Linkage, wanted: &[Wanted]) -> Result<Vec<Fit>> {
    let image = Image::open_unpacked(&linkage.path)?;
    // A System.map does not tell enough; a module is not described by a text.
    let name = linkage.path.file_name().unwrap_or_default().to_string_lossy();
    let of_module = object_of_file(&name).is_some_and(|(object, _)| object != VMLINUX);
    if !of_module && !abi::is_elf(image.bytes()) {
        return Ok(vec![Fit::default(); wanted.len()]);
    }
    let linked = Linked::parse(&linkage.path.display().to_string(), image.bytes())?;
    let defined = Defined::of(&linked);
    Ok(wanted.iter().map(|wanted| wanted.fit(&defined)).collect())
}

/// Whether all subjects are of the kernel, file number `kernel`: no other file was given, the rules
/// say nothing else, and it has all their functions with the same code.
pub(crate) fn certain(
    rules: &Rules,
    images: &[Linkage],
    kernel: usize,
    given: usize,
    subjects: &[Subject<'_>],
) -> Result<bool> {
    let linkage = &images[kernel];
    if given > 1 || given == 1 && kernel != 0 {
        return Ok(false);
    }
    for subject in subjects {
        match rules.of(&subject.paths)? {
            Some(name) if name == linkage.object => continue,
            Some(_) => return Ok(false),
            None if subject.orig.is_empty() => continue,
            None => {}
        }
        let (same, other) = code_of(linkage, subject)?;
        let fit = fits_in(linkage, &[subject.wanted()?])?;
        if same == 0 || other > 0 || !fit.first().is_some_and(|fit| fit.all) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The only file of an object that the command line names.
pub(crate) fn named(images: &[Linkage], name: &str) -> Result<usize> {
    let of: Vec<usize> = (0..images.len()).filter(|&i| images[i].object == name).collect();
    match of[..] {
        [only] => Ok(only),
        [] => Err(Error::broken(Code::NoParent, format!("the symbols of {name} are not known"))
            .advise(format!("give them with --image {name}=FILE"))),
        _ => Err(Error::refused(Code::AmbiguousOwner, format!("several files are that of {name}"))
            .with_findings(candidates(images, &of))
            .advise(format!("say which one with --image {name}=FILE"))),
    }
}

fn candidates(images: &[Linkage], of: &[usize]) -> Vec<Finding> {
    let describe = |&i: &usize| {
        let text = format!("candidate: {} ({})", images[i].object, images[i].path.display());
        Finding { text, ..Finding::default() }
    };
    of.iter().map(describe).collect()
}

fn decide(
    images: &[Linkage],
    fit: &dyn Fn(usize) -> Fit,
    subject: &Subject<'_>,
    wanted: &Wanted,
) -> Result<usize> {
    // What is new belongs to the kernel unless somebody says otherwise, and so does what could not
    // be told from anything else.
    if subject.orig.is_empty() || wanted.is_empty() {
        return named(images, VMLINUX);
    }
    let all = |is: &dyn Fn(Fit) -> bool| -> Vec<usize> {
        (0..images.len()).filter(|&i| is(fit(i))).collect()
    };
    let whole = all(&|fit| fit.all);
    let partly = all(&|fit| fit.global > 0);
    let open = match (&whole[..], &partly[..]) {
        ([only], _) if fit(*only).global > 0 => return Ok(*only),
        // The file was built a little differently; no other one has anything of it.
        ([], [only]) => return Ok(*only),
        ([], _) => partly,
        _ => whole,
    };
    let same =
        open.par_iter().map(|&i| code_of(&images[i], subject)).collect::<Result<Vec<_>>>()?;
    let agrees = open.iter().zip(&same).filter(|(_, (same, other))| *same > 0 && *other == 0);
    let agrees: Vec<usize> = agrees.map(|(&i, _)| i).collect();
    match (&agrees[..], &open[..]) {
        ([only], _) => Ok(*only),
        ([], []) => Err(Error::refused(
            Code::NoOwner,
            "none of the images has the functions of this object",
        )
        .in_file(&*subject.shown)
        .advise("give the image that it was linked into, or say which one it is with --object")),
        ([], open) => Err(unclear("no image has its code", images, open, subject)),
        (several, _) => Err(unclear("several images have its code", images, several, subject)),
    }
}

fn unclear(what: &str, images: &[Linkage], of: &[usize], subject: &Subject<'_>) -> Error {
    let text = format!("it is unclear which kernel object this one belongs to: {what}");
    let first = of.first().map_or("", |&i| images[i].object.as_str());
    let advice = match of.iter().all(|&i| images[i].object == first) {
        true => {
            format!("several files are that of {first}: say which one with --image {first}=FILE")
        }
        false => {
            "say which one with --object NAME, or --object NAME=PATH for some objects".to_owned()
        }
    };
    Error::refused(Code::AmbiguousOwner, text)
        .in_file(&*subject.shown)
        .with_findings(candidates(images, of))
        .advise(advice)
}

/// How many functions of a subject a file has as they are, and how many are something else there.
fn code_of(linkage: &Linkage, subject: &Subject<'_>) -> Result<(usize, usize)> {
    let file = Image::open_unpacked(&linkage.path)?;
    let image = KernelImage::parse(&linkage.path.display().to_string(), file.bytes())?;
    let mut sum = (0, 0);
    for (name, bytes) in &subject.orig {
        let (same, other) = same_code(&Object::<Orig>::parse(name, bytes)?, &image)?;
        sum = (sum.0 + same, sum.1 + other);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_for_all_or_for_paths() {
        let rules =
            |given: &[&str]| Rules::parse(&given.iter().map(|&g| g.to_owned()).collect::<Vec<_>>());
        let some = rules(&["my-mod=drivers/x", "vmlinux"]).expect("fine");
        let of = |rules: &Rules, path: &str| {
            rules.of(&[Path::new(path)]).expect("clear").map(str::to_owned)
        };
        assert_eq!(of(&some, "orig/drivers/x/a.o").as_deref(), Some("my_mod"));
        assert_eq!(of(&some, "orig/drivers/xy/a.o").as_deref(), Some("vmlinux"));
        assert_eq!(of(&rules(&["m=./a.o"]).expect("fine"), "b/a.o").as_deref(), Some("m"));
        assert_eq!(of(&rules(&["m=a.o"]).expect("fine"), "b/c.o"), None);
        assert!(rules(&["a", "b"]).is_err() && rules(&["=x"]).is_err() && rules(&["a="]).is_err());
        assert!(some.check([Path::new("drivers/x/a.o")].into_iter()).is_ok());
        let error = some.check([Path::new("b.o")].into_iter()).expect_err("nothing");
        assert_eq!(error.code(), Code::NoSuchObject);
        // The exact one counts, in any order; of two that are as exact none does.
        for given in [["ext4=fs", "jbd2=fs/jbd2"], ["jbd2=fs/jbd2", "ext4=fs"]] {
            let nested = rules(&given).expect("fine");
            assert_eq!(of(&nested, "a/fs/jbd2/x.o").as_deref(), Some("jbd2"));
            assert_eq!(of(&nested, "a/fs/ext4/x.o").as_deref(), Some("ext4"));
        }
        let both = rules(&["a=x.o", "b=x.o"]).expect("fine");
        let error = both.of(&[Path::new("d/x.o")]).expect_err("two");
        assert_eq!(error.code(), Code::AmbiguousOwner);
    }

    #[test]
    fn places_may_be_patterns() {
        for (path, place, lies) in [
            ("orig/fs/ext4/inode.o", "fs/*/inode.o", true),
            ("orig/fs/ext4/inode.o", "*.o", true),
            ("orig/fs/ext4/inode.o", "fs/*", true),
            ("orig/fs/ext4/inode.o", "fs/ext?", true),
            ("orig/fs/ext4/inode.o", "orig/**/inode.o", true),
            ("orig/fs/ext4/inode.o", "**/i*e.o", true),
            ("orig/fs/ext4/inode.o", "*/inode.o", true),
            ("orig/fs/ext4/inode.o", "ext", false),
            ("orig/fs/ext4/inode.o", "ext4?", false),
            ("orig/fs/ext4/inode.o", "fs/*.o", false),
            ("orig/fs/ext4/inode.o", "/**/inode.o", false),
            ("a*b.o", "a*b.o", true),
            ("aab.o", "*a*b*.o*", true),
        ] {
            assert_eq!(lies_at(Path::new(path), Path::new(place)), lies, "{path} {place}");
        }
    }
}
