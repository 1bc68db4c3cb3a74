//! Applies changes to the text of files, in memory.
//!
//! A hunk belongs where its lines are. That may be other lines than it says, as long as there
//! is only one such place; anything less is refused.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of lines, which have 32 bits in a patch"
)]

use std::collections::BTreeMap;
use std::path::Path;

use super::patch::{Change, Hunk, Line};
use crate::diag::{Code, Error, Result};
use crate::host::files;

/// A line and the number that it had before all patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Without newline.
    pub text: Vec<u8>,
    /// From 1; `None` for a line of a patch.
    pub origin: Option<usize>,
}

/// The text of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Its lines.
    pub lines: Vec<Numbered>,
    /// The last line has no newline.
    pub open: bool,
}

impl Text {
    /// Takes a file apart.
    pub fn new(bytes: &[u8]) -> Text {
        let mut lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
        let open = lines.last().is_some_and(|last| !last.is_empty());
        if !open {
            lines.pop();
        }
        let numbered =
            |(i, text): (usize, &[u8])| Numbered { text: text.to_vec(), origin: Some(i + 1) };
        Text { lines: lines.into_iter().enumerate().map(numbered).collect(), open }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            bytes.extend_from_slice(&line.text);
            bytes.push(b'\n');
        }
        if self.open {
            bytes.pop();
        }
        bytes
    }
}

/// A file that patches touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// As it is in the source; `None` when it is not there.
    pub before: Option<Text>,
    /// With all patches; `None` when they remove it.
    pub after: Option<Text>,
}

/// The files that patches touch, by path below the source.
#[derive(Debug, Default)]
pub struct Edits {
    /// All files.
    pub files: BTreeMap<String, Edited>,
    /// What is worth telling.
    pub notes: Vec<String>,
}

impl Edits {
    /// Applies one patch, `file`, behind those before it. With `fuzz`, up to two lines at each end of
    /// a hunk may be others.
    pub fn apply(
        &mut self,
        source: &Path,
        file: &str,
        changes: &[Change],
        fuzz: bool,
    ) -> Result<()> {
        for change in changes {
            self.apply_one(source, change, fuzz).map_err(|e| e.in_file(file))?;
        }
        Ok(())
    }

    /// Files whose text is another one in the end.
    pub fn changed(&self) -> impl Iterator<Item = (&str, &Edited)> {
        let bytes = |text: &Option<Text>| text.as_ref().map(Text::bytes);
        let differs = move |e: &Edited| bytes(&e.before) != bytes(&e.after);
        self.files.iter().filter(move |(_, e)| differs(e)).map(|(path, e)| (path.as_str(), e))
    }

    fn load(&mut self, source: &Path, path: &str) -> Result<&mut Edited> {
        if !self.files.contains_key(path) {
            let full = source.join(path);
            let mut folder = source.to_owned();
            for part in path.split('/') {
                folder.push(part);
                if folder.is_symlink() {
                    let what = format!("{path} is, or is behind, a symbolic link of the source");
                    return Err(mismatch(what).advise("make the patch for the file it leads to"));
                }
            }
            let before = match full.exists() {
                true => Some(Text::new(&files::read(&full)?)),
                false => None,
            };
            let edited = Edited { after: before.clone(), before };
            self.files.insert(path.to_owned(), edited);
        }
        Ok(self.files.entry(path.to_owned()).or_default())
    }

    fn apply_one(&mut self, source: &Path, change: &Change, fuzz: bool) -> Result<()> {
        let at = change.at + 1;
        let missing = |path: &str| {
            mismatch(format!("line {at}: {path} is not in the source"))
                .advise("is the patch for this kernel, and for `patch -p1`?")
        };
        let mut notes = Vec::new();
        let shown = change.new.as_deref().or(change.old.as_deref()).unwrap_or_default().to_owned();
        let mut text = match (&change.old, &change.new) {
            (None, Some(new)) => {
                if self.load(source, new)?.after.is_some() {
                    let what = format!("line {at}: {new} is to be added, but it is there");
                    return Err(mismatch(what).advise("does the source have the patch already?"));
                }
                Text::default()
            }
            (Some(old), new) => {
                // Plain diffs may name a backup copy before.
                let known = self.load(source, old)?.after.is_some();
                let name = new.as_ref().filter(|_| !known && !change.renamed).unwrap_or(old);
                let text = self.load(source, name)?.after.clone();
                text.ok_or_else(|| missing(name))?
            }
            (None, None) => return Ok(()),
        };
        let mut shift = 0;
        for hunk in &change.hunks {
            shift = put(&mut text, hunk, shift, fuzz, &shown, &mut notes)?;
        }
        self.notes.append(&mut notes);
        match &change.new {
            Some(new) => {
                if change.renamed
                    && let Some(old) = &change.old
                {
                    if self.load(source, new)?.after.is_some() {
                        return Err(mismatch(format!("line {at}: {new} is there already")));
                    }
                    self.load(source, old)?.after = None;
                }
                self.load(source, new)?.after = Some(text);
            }
            None if text.lines.is_empty() => {
                let old = change.old.as_deref().unwrap_or_default();
                self.load(source, old)?.after = None;
            }
            None => {
                let what = format!("line {at}: {shown} is to be removed, but it has more lines");
                return Err(mismatch(what).advise("make the patch for this source"));
            }
        }
        Ok(())
    }
}

fn mismatch(what: String) -> Error {
    Error::refused(Code::PatchMismatch, format!("the patch does not apply: {what}"))
}

/// Applies a hunk; gives how far it lies from the line it says.
fn put(
    text: &mut Text,
    hunk: &Hunk,
    shift: isize,
    fuzz: bool,
    path: &str,
    notes: &mut Vec<String>,
) -> Result<isize> {
    let old: Vec<&[u8]> = hunk.lines.iter().filter_map(before).collect();
    let said = if old.is_empty() { hunk.start } else { hunk.start.saturating_sub(1) };
    let wanted = said.saturating_add_signed(shift);
    let at = hunk.at + 1;
    for dropped in 0..=if fuzz { 2 } else { 0 } {
        let (head, tail) = context(hunk);
        let (head, tail) = (head.min(dropped), tail.min(dropped));
        let part = old.get(head..old.len() - tail).unwrap_or_default();
        let found = places(text, part, wanted + head, hunk, tail == 0);
        let place = match found[..] {
            [] => continue,
            [only] => only,
            _ if found.contains(&(wanted + head)) => wanted + head,
            _ => {
                let lines: Vec<String> = found.iter().map(|p| (p + 1).to_string()).collect();
                return Err(mismatch(format!(
                    "line {at}: the hunk fits {path} at several lines: {}",
                    lines.join(", ")
                ))
                .advise("make the patch for this source, or with more context"));
            }
        };
        if dropped > 0 {
            notes.push(format!(
                "{path}: the hunk at line {at} of the patch fits with a fuzz of {dropped} only"
            ));
        } else if place != wanted + head {
            notes.push(format!(
                "{path}: the hunk at line {at} of the patch fits at line {}, not {}",
                place + 1,
                wanted + head + 1
            ));
        }
        exchange(text, hunk, place, (head, tail));
        let grown = hunk.lines.iter().fold(0isize, |sum, line| match line {
            Line::Context(_) => sum,
            Line::Removed(_) => sum - 1,
            Line::Added(_) => sum + 1,
        });
        let moved = place as isize - (said + head) as isize;
        return Ok(moved + grown);
    }
    let error = mismatch(format!("line {at}: the hunk does not fit {path}"));
    Err(error.with_details(vec![nearest(text, &old, wanted, path)]).advise(match fuzz {
        true => "make the patch for this source",
        false => {
            "make the patch for this source; --fuzz lets the outer lines of its context differ"
        }
    }))
}

/// The first line near the place that is not what the patch expects.
fn nearest(text: &Text, old: &[&[u8]], wanted: usize, path: &str) -> String {
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (i, expected) in old.iter().enumerate() {
        match text.lines.get(wanted + i) {
            Some(line) if line.text == *expected => {}
            Some(line) => {
                return format!(
                    "  {path}:{}: there is '{}', not '{}'",
                    wanted + i + 1,
                    show(&line.text),
                    show(expected)
                );
            }
            None => return format!("  {path} has only {} lines", text.lines.len()),
        }
    }
    format!("  {path}: the end of the file is another one")
}

fn before(line: &Line) -> Option<&[u8]> {
    match line {
        Line::Context(text) | Line::Removed(text) => Some(text),
        Line::Added(_) => None,
    }
}

/// How many lines of context begin and end a hunk.
fn context(hunk: &Hunk) -> (usize, usize) {
    let is_context = |l: &&Line| matches!(l, Line::Context(_));
    let head = hunk.lines.iter().take_while(is_context).count();
    let tail = hunk.lines.iter().rev().take_while(is_context).count();
    (head, tail)
}

/// Where these lines are. A hunk that says that its file ends there fits only its end.
fn places(text: &Text, part: &[&[u8]], wanted: usize, hunk: &Hunk, whole: bool) -> Vec<usize> {
    let fits = |at: usize| {
        let Some(end) = at.checked_add(part.len()).filter(|&end| end <= text.lines.len()) else {
            return false;
        };
        let same = text.lines.get(at..end).is_some_and(|lines| {
            lines.iter().zip(part).all(|(line, expected)| line.text == *expected)
        });
        let ends = end == text.lines.len();
        same && (!whole || !part.is_empty()) && (!hunk.old_open || ends && text.open)
            || same && part.is_empty() && at == wanted
    };
    if fits(wanted) && part.is_empty() {
        return vec![wanted];
    }
    (0..=text.lines.len()).filter(|&at| fits(at)).collect()
}

/// Puts the lines of a hunk in place.
fn exchange(text: &mut Text, hunk: &Hunk, place: usize, (head, tail): (usize, usize)) {
    let lines = hunk.lines.get(head..hunk.lines.len() - tail).unwrap_or_default();
    let mut at = place;
    for line in lines {
        match line {
            Line::Context(_) => at += 1,
            Line::Removed(_) if at < text.lines.len() => drop(text.lines.remove(at)),
            Line::Removed(_) => {}
            Line::Added(new) => {
                let at_most = at.min(text.lines.len());
                text.lines.insert(at_most, Numbered { text: new.clone(), origin: None });
                at += 1;
            }
        }
    }
    if at == text.lines.len() && tail == 0 && (hunk.old_open || hunk.new_open || text.open) {
        text.open = hunk.new_open;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::patch::parse;

    const OLD: &str = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";

    fn tried(old: &str, patch: &str, fuzz: bool) -> Result<(String, Vec<String>)> {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("x"), old).expect("written");
        let mut edits = Edits::default();
        let changes = parse("p", format!("--- a/x\n+++ b/x\n{patch}").as_bytes())?;
        edits.apply(folder.path(), "p", &changes, fuzz)?;
        let text = edits.files["x"].after.as_ref().expect("there").bytes();
        Ok((String::from_utf8(text).expect("text"), edits.notes))
    }

    #[test]
    fn hunks_go_where_their_lines_are() {
        let (text, notes) =
            tried(OLD, "@@ -2,3 +2,4 @@\n b\n-c\n+C\n+CC\n d\n", false).expect("fits");
        assert_eq!(text, OLD.replace("c\n", "C\nCC\n"));
        assert!(notes.is_empty());
        let (text, notes) = tried(OLD, "@@ -7,3 +7,3 @@\n b\n-c\n+C\n d\n", false).expect("fits");
        assert_eq!((text, notes.len()), (OLD.replace("c\n", "C\n"), 1));
        let two = "@@ -1,2 +1,3 @@\n a\n+A\n b\n@@ -9,2 +10,2 @@\n i\n-j\n+J\n";
        let (text, notes) = tried(OLD, two, false).expect("fits");
        assert_eq!((&*text, notes.len()), ("a\nA\nb\nc\nd\ne\nf\ng\nh\ni\nJ\n", 0));
        let (text, _) = tried(OLD, "@@ -0,0 +1,1 @@\n+0\n", false).expect("fits");
        assert_eq!(text, format!("0\n{OLD}"));
        let (text, _) =
            tried("a", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n", false).expect("fits");
        assert_eq!(text, "b\n");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (old, patch) in [
            (OLD, "@@ -2,3 +2,3 @@\n B\n-c\n+C\n d\n"),
            // Two places, neither the one it says.
            ("x\na\nb\na\nb\n", "@@ -1,2 +1,2 @@\n a\n-b\n+B\n"),
            ("a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n"),
        ] {
            let error = tried(old, patch, false).expect_err(patch);
            assert_eq!(error.code(), Code::PatchMismatch, "{error}");
        }
        // The place that it says counts.
        let (text, _) =
            tried("a\nb\na\nb\n", "@@ -3,2 +3,2 @@\n a\n-b\n+B\n", false).expect("fits");
        assert_eq!(text, "a\nb\na\nB\n");
        let (text, notes) =
            tried(OLD, "@@ -2,3 +2,3 @@\n B\n-c\n+C\n d\n", true).expect("with fuzz");
        assert_eq!((text, notes.len()), (OLD.replace("c\n", "C\n"), 1));
    }

    #[test]
    fn lines_know_their_numbers() {
        let mut text = Text::new(OLD.as_bytes());
        let changes =
            parse("p", b"--- a/x\n+++ b/x\n@@ -2,3 +2,4 @@\n b\n-c\n+C\n+CC\n d\n").expect("patch");
        put(&mut text, &changes[0].hunks[0], 0, false, "x", &mut Vec::new()).expect("fits");
        let origins: Vec<Option<usize>> = text.lines.iter().map(|l| l.origin).collect();
        assert_eq!(origins[..6], [Some(1), Some(2), None, None, Some(4), Some(5)]);
    }

    #[test]
    fn files_are_added_removed_and_moved() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("x"), "a\n").expect("written");
        let mut edits = Edits::default();
        let patches = [
            "--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+new\n",
            "--- a/n\n+++ b/n\n@@ -1 +1 @@\n-new\n+newer\n",
            "diff --git a/x b/y\nrename from x\nrename to y\n",
        ];
        for patch in patches {
            let changes = parse("p", patch.as_bytes()).expect("patch");
            edits.apply(folder.path(), "p", &changes, false).expect("applies");
        }
        assert_eq!(edits.files["n"].after.as_ref().map(Text::bytes), Some(b"newer\n".to_vec()));
        assert_eq!(edits.files["x"].after, None);
        assert_eq!(edits.changed().count(), 3);
        for patch in [
            "--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+new\n",
            "--- a/z\n+++ b/z\n@@ -1 +1 @@\n-a\n+b\n",
        ] {
            let changes = parse("p", patch.as_bytes()).expect("patch");
            let error = edits.apply(folder.path(), "p", &changes, false).expect_err(patch);
            assert_eq!(error.code(), Code::PatchMismatch);
        }
    }
}
