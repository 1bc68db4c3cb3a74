//! Are the numbers of lines, where a patch does not touch them, those that they had?
//!
//! The markers of [`super::lines`] are put in by a reading of the text that knows little of C. What counts
//! is what the compiler makes of them: so the objects' sources are preprocessed without and with the patch,
//! and each line that the patch leaves is looked for at its number.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use std::collections::{BTreeMap, BTreeSet};

use super::lines::keep;
use super::objects::normal;
use super::session::{Session, Touched};
use super::which::preprocessed;
use crate::diag::Result;
use crate::host::files;

/// Most objects that are preprocessed for it.
const CHECKED: usize = 8;

/// The texts of lines, by file and number.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    of: BTreeMap<(String, usize), Vec<u8>>,
}

impl Lines {
    /// Reads a preprocessed text; only the lines of these files.
    pub fn read(text: &[u8], files: &BTreeSet<String>) -> Lines {
        let mut lines = Lines::default();
        let (mut file, mut number) = (None, 0usize);
        for line in text.split(|&b| b == b'\n') {
            if let Some((at, path)) = marker(line) {
                (file, number) = (files.get(&path).cloned(), at);
                continue;
            }
            let plain = line.trim_ascii();
            if let Some(file) = file.as_ref().filter(|_| !plain.is_empty()) {
                let texts = lines.of.entry((file.clone(), number)).or_default();
                texts.extend(without_number(plain, number));
                texts.push(b'\n');
            }
            number += 1;
        }
        lines
    }

    /// The lines, of those that `left` says are left, that these other lines have at another number:
    /// the file, the number that it was, and the one that it is.
    pub fn moved(
        &self,
        after: &Lines,
        left: &dyn Fn(&str, usize) -> bool,
    ) -> Vec<(String, usize, usize)> {
        let mut places: BTreeMap<(&str, &[u8]), Vec<usize>> = BTreeMap::new();
        let new = after.of.iter().filter(|(at, text)| self.of.get(*at) != Some(*text));
        for ((file, number), text) in new {
            places.entry((file, text)).or_default().push(*number);
        }
        let mut moved = Vec::new();
        for ((file, number), text) in &self.of {
            if after.of.get(&(file.clone(), *number)) == Some(text) || !left(file, *number) {
                continue;
            }
            if let Some(now) = places.get(&(file.as_str(), text.as_slice())).and_then(|n| n.first())
            {
                moved.push((file.clone(), *number, *now));
            }
        }
        moved
    }
}

/// `# 12 "fs/pipe.c" 2`, `#line 12 "fs/pipe.c"`: the number of the line that follows, and its file.
fn marker(line: &[u8]) -> Option<(usize, String)> {
    let text = std::str::from_utf8(line.strip_prefix(b"#")?).ok()?;
    let text = text.strip_prefix("line").unwrap_or(text).trim_start();
    let (number, rest) = text.split_once(' ')?;
    let path = rest.trim_start().strip_prefix('"')?.split('"').next()?;
    Some((number.parse().ok()?, normal(path)))
}

/// A text whose own number, which macros put into it, is a sign.
fn without_number(text: &[u8], number: usize) -> Vec<u8> {
    let own = number.to_string().into_bytes();
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (run, behind) = rest.split_at(digits.max(1));
        let in_name = plain.last().is_some_and(|b: &u8| b.is_ascii_alphabetic());
        match first.is_ascii_digit() && !in_name && run == own {
            true => plain.push(b'@'),
            false => plain.extend_from_slice(run),
        }
        rest = behind;
    }
    plain
}

impl Session<'_> {
    /// The files that get markers. Others need no check: their lines have the numbers that they had.
    fn marked(&self) -> BTreeSet<String> {
        let has_markers = |(path, edited): &(&str, &super::apply::Edited)| {
            let code = path.ends_with(".c") || path.ends_with(".h");
            let after = edited.after.as_ref().filter(|_| code && edited.before.is_some());
            after.is_some_and(|text| keep(&text.lines, text.open).markers > 0)
        };
        let marked = self.edits.changed().filter(has_markers);
        marked.map(|(path, _)| path.to_owned()).filter(|_| self.request.keep_lines).collect()
    }

    /// The preprocessed texts of objects, by which markers are checked; none when there are no markers.
    pub(super) fn texts(&self, objects: &[Touched]) -> Vec<String> {
        if self.marked().is_empty() {
            return Vec::new();
        }
        let both = objects.iter().filter(|o| o.there == [true, true]);
        let texts = both.map(|o| preprocessed(&self.work.tree(), &o.path));
        // Assembly knows no line.
        texts.filter(|t| t.ends_with(".i")).take(CHECKED).collect()
    }

    /// Says which lines have other numbers with the patch, or that none has, by texts in the folder of the
    /// originals and in the tree.
    pub(super) fn check_lines(&self, texts: &[String]) -> Result<()> {
        let marked = self.marked();
        let mut left: BTreeSet<(&str, usize)> = BTreeSet::new();
        for (path, edited) in self.edits.changed() {
            let lines = edited.after.iter().flat_map(|text| &text.lines);
            left.extend(lines.filter_map(|line| Some((path, line.origin?))));
        }
        let (mut moved, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for text in texts {
            let read = |folder: &str| -> Result<Lines> {
                let path = self.work.root().join(folder).join(text);
                Ok(Lines::read(&files::read(&path)?, &marked))
            };
            let (before, after) = (read("orig")?, read("tree")?);
            moved.extend(before.moved(&after, &|file, number| left.contains(&(file, number))));
            seen.extend(before.of.into_keys().map(|(file, _)| file));
        }
        for file in marked.iter().filter(|file| !seen.contains(*file)) {
            (self.say)(&format!("note: {file}: whether lines kept their numbers was not checked"));
        }
        for (file, was, now) in moved.iter().take(5) {
            (self.say)(&format!(
                "note: {file}: line {was} is line {now} with the patch, as the compiler counts: functions that \
                 only use their line are left out"
            ));
        }
        if moved.is_empty() && !seen.is_empty() {
            let files: Vec<&str> = seen.iter().map(String::as_str).collect();
            (self.say)(&format!(
                "the lines of {} have the numbers that they had, as the compiler counts",
                files.join(", ")
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Lines {
        Lines::read(text.as_bytes(), &BTreeSet::from(["fs/a.c".to_owned()]))
    }

    #[test]
    fn a_line_is_found_at_its_number() {
        let before = read(
            "# 1 \"fs/a.c\"\nint a;\n# 3 \"x.h\"\nint x;\n# 7 \"./fs/a.c\" 2\nwarn(7, a7);\nend();\n",
        );
        let all: Vec<usize> = before.of.keys().map(|(_, number)| *number).collect();
        assert_eq!(all, [1, 7, 8]);
        let after =
            read("# 1 \"fs/a.c\"\nint a;\nint new;\n# 7 \"fs/a.c\"\nwarn(7, a7);\nend();\n");
        assert_eq!(before.moved(&after, &|_, _| true), []);
        // Its own number in a line is no other text; one line more moves both.
        let after =
            read("# 1 \"fs/a.c\"\nint a;\nint new;\n# 8 \"fs/a.c\"\nwarn(8, a7);\nend();\n");
        let file = || "fs/a.c".to_owned();
        assert_eq!(before.moved(&after, &|_, _| true), [(file(), 7, 8), (file(), 8, 9)]);
        assert_eq!(before.moved(&after, &|_, number| number == 8), [(file(), 8, 9)]);
        // What became another text, through a macro, did not move.
        let after = read("# 1 \"fs/a.c\"\nlong a;\n# 7 \"fs/a.c\"\nwarn(7, a7);\nend();\n");
        assert_eq!(before.moved(&after, &|_, _| true), []);
    }
}
