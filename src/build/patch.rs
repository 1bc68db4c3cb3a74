//! Unified diffs, as git and diff write them, read strictly: what is cut short or says
//! something else than its headers is an error, and nothing of it is used.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "numbers of lines, which have 32 bits in a patch"
)]

use crate::diag::{Code, Error, Result};

/// What a patch does to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file before, below the source tree; `None` when the patch adds it.
    pub old: Option<String>,
    /// The file after; `None` when the patch removes it.
    pub new: Option<String>,
    /// The patch says that the file is renamed.
    pub renamed: bool,
    /// Its hunks, in order.
    pub hunks: Vec<Hunk>,
    /// Line of the patch where this begins.
    pub at: usize,
}

/// Lines that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// First line before, from 1; 0 in a file that is not there.
    pub start: usize,
    /// The lines.
    pub lines: Vec<Line>,
    /// Line of the patch where it begins.
    pub at: usize,
    /// The last line before has no newline.
    pub old_open: bool,
    /// The last line after has none.
    pub new_open: bool,
}

/// A line of a hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// In both.
    Context(Vec<u8>),
    /// Only before.
    Removed(Vec<u8>),
    /// Only after.
    Added(Vec<u8>),
}

/// Reads a patch; paths lose their first component. `file` is its name in messages.
pub fn parse(file: &str, text: &[u8]) -> Result<Vec<Change>> {
    let mut lines: Vec<&[u8]> = text.split(|&b| b == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    let mut reader = Reader { file, lines, next: 0 };
    let changes = reader.changes()?;
    if changes.is_empty() {
        return Err(reader
            .bad(0, "no change of a file is in it")
            .advise("give a unified diff: `git diff`, `git format-patch`, `diff -uprN OLD NEW`"));
    }
    Ok(changes)
}

struct Reader<'t> {
    file: &'t str,
    lines: Vec<&'t [u8]>,
    next: usize,
}

/// What stands before the hunks of a file.
#[derive(Default)]
struct Header {
    old: Option<String>,
    new: Option<String>,
    renamed: bool,
    added: bool,
    removed: bool,
}

impl<'t> Reader<'t> {
    fn bad(&self, at: usize, what: &str) -> Error {
        Error::broken(Code::BadPatch, format!("not a patch: line {}: {what}", at + 1))
            .in_file(self.file)
    }

    fn line(&self, ahead: usize) -> Option<&'t [u8]> {
        self.lines.get(self.next + ahead).copied()
    }

    fn changes(&mut self) -> Result<Vec<Change>> {
        let mut all = Vec::new();
        while let Some(line) = self.line(0) {
            let at = self.next;
            if line.starts_with(b"diff --git ") {
                self.next += 1;
                all.extend(self.git_change(line, at)?);
            } else if self.is_header() {
                let header = self.names(Header::default())?;
                all.push(self.change(header, at)?);
            } else if line.starts_with(b"@@ -") {
                return Err(self.bad(at, "a hunk without a file (`---` and `+++`) before it"));
            } else {
                self.next += 1;
            }
        }
        Ok(all)
    }

    /// Whether `---` and `+++` come next.
    fn is_header(&self) -> bool {
        let starts = |ahead, with| self.line(ahead).is_some_and(|l: &[u8]| l.starts_with(with));
        starts(0, b"--- ") && starts(1, b"+++ ")
    }

    /// Reads the file headers of git and the hunks behind them.
    fn git_change(&mut self, first: &[u8], at: usize) -> Result<Option<Change>> {
        let mut header = Header::default();
        let mut only_mode = false;
        while let Some(line) = self.line(0) {
            let text = String::from_utf8_lossy(line).trim_end().to_owned();
            let word = |prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
            if self.is_header() {
                let header = self.names(header)?;
                return self.change(header, at).map(Some);
            } else if let Some(name) = word("rename from ") {
                (header.renamed, header.old) = (true, Some(self.checked(&name)?));
            } else if let Some(name) = word("rename to ") {
                header.new = Some(self.checked(&name)?);
            } else if text.starts_with("copy from ") || text.starts_with("copy to ") {
                return Err(self
                    .bad(self.next, "a copy, of which only the difference is in it")
                    .advise("make it without copies: `git diff --no-renames`"));
            } else if text.starts_with("GIT binary patch") || text.starts_with("Binary files ") {
                return Err(self.bad(self.next, "a binary file"));
            } else if text.starts_with("new file mode ") {
                header.added = true;
            } else if text.starts_with("deleted file mode ") {
                header.removed = true;
            } else if text.starts_with("old mode ") || text.starts_with("new mode ") {
                only_mode = true;
            } else if !["index ", "similarity index ", "dissimilarity index "]
                .iter()
                .any(|known| text.starts_with(known))
            {
                break;
            }
            self.next += 1;
        }
        if header.added || header.removed {
            return self.empty_file(first, &header, at).map(Some);
        }
        match (header.renamed, &header.old, &header.new) {
            (true, Some(_), Some(_)) => self.change(header, at).map(Some),
            _ if only_mode => Ok(None),
            _ => Err(self.bad(at, "a header without hunks: is it cut short?")),
        }
    }

    /// A file without contents that is added or removed has no hunks, only the first line.
    fn empty_file(&self, first: &[u8], header: &Header, at: usize) -> Result<Change> {
        let text = String::from_utf8_lossy(first);
        let names = text.trim_end().strip_prefix("diff --git a/").unwrap_or_default();
        // Both names are the same here, which tells where a name with blanks ends.
        let half = names.len().checked_sub(3).map(|rest| rest / 2);
        let name = half.and_then(|half| names.get(..half));
        let name = name.filter(|n| names == format!("{n} b/{n}"));
        let name = name.ok_or_else(|| self.bad(at, "the name of the file is not clear"))?;
        let name = self.checked(name)?;
        Ok(Change {
            old: header.removed.then(|| name.clone()),
            new: header.added.then_some(name),
            renamed: false,
            hunks: Vec::new(),
            at,
        })
    }

    /// Reads `--- a/NAME` and `+++ b/NAME`.
    fn names(&mut self, mut header: Header) -> Result<Header> {
        let name = |line: Option<&[u8]>| {
            let text = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
            let name = text.get(4..).unwrap_or_default();
            // Time stamps stand behind a tab.
            name.split('\t').next().unwrap_or_default().trim_end().to_owned()
        };
        let names = [name(self.line(0)), name(self.line(1))];
        let [old, new] = names.map(|name| match name.as_str() {
            "/dev/null" => Ok(None),
            name => self.stripped(name).map(Some),
        });
        let (old, new) = (old?, new?);
        if header.renamed && (old != header.old || new != header.new) {
            return Err(self.bad(self.next, "not the names that the renaming above has"));
        }
        (header.old, header.new) = (old, new);
        if header.old.is_none() && header.new.is_none() {
            return Err(self.bad(self.next, "both files are /dev/null"));
        }
        self.next += 2;
        Ok(header)
    }

    /// The path without its first component.
    fn stripped(&self, name: &str) -> Result<String> {
        let rest = name.split_once('/').map(|(_, rest)| rest.trim_start_matches('/'));
        match rest {
            Some(rest) if !name.starts_with('/') => self.checked(rest),
            _ => Err(self
                .bad(self.next, &format!("'{name}' is not a path of the form a/PATH"))
                .advise("make the patch so that `patch -p1` takes it")),
        }
    }

    /// Fails on a path that would lead out of the tree, or that make could not work with.
    fn checked(&self, name: &str) -> Result<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@,~".contains(c);
        let part = |p: &str| p.is_empty() || p == "." || p == "..";
        if name.split('/').any(part) || !name.chars().all(plain) {
            let what = format!("'{name}' cannot be the path of a source file");
            return Err(self.bad(self.next, &what));
        }
        Ok(name.to_owned())
    }

    fn change(&mut self, header: Header, at: usize) -> Result<Change> {
        let mut hunks = Vec::new();
        while self.line(0).is_some_and(|l| l.starts_with(b"@@ -")) {
            hunks.push(self.hunk()?);
        }
        if hunks.is_empty() && !header.renamed {
            return Err(self.bad(at, "a file without hunks: is the patch cut short?"));
        }
        // What follows a hunk and looks like a part of it was left out by its header.
        if let Some(line) = self.line(0).filter(|_| !hunks.is_empty()) {
            let mail_end = line == b"-- " || line == b"--" || line.starts_with(b"--- ");
            if line.starts_with(b"+") || line.starts_with(b"-") && !mail_end {
                return Err(self.bad(self.next, "the hunk has more lines than its header says"));
            }
        }
        let ordered = hunks.windows(2).all(|w| match w {
            [a, b] => a.start <= b.start,
            _ => true,
        });
        if !ordered {
            return Err(self.bad(at, "the hunks are not in order"));
        }
        Ok(Change { old: header.old, new: header.new, renamed: header.renamed, hunks, at })
    }

    fn hunk(&mut self) -> Result<Hunk> {
        let at = self.next;
        let text = String::from_utf8_lossy(self.line(0).unwrap_or_default()).into_owned();
        let counts = hunk_header(&text).ok_or_else(|| self.bad(at, "a malformed @@ line"))?;
        let (start, mut old_left, mut new_left) = counts;
        let mut hunk = Hunk { start, lines: Vec::new(), at, old_open: false, new_open: false };
        self.next += 1;
        while old_left > 0 || new_left > 0 {
            let Some(line) = self.line(0) else {
                return Err(self.bad(self.next, "the patch ends within a hunk"));
            };
            let rest = || line.get(1..).unwrap_or_default().to_vec();
            let (old, new, made) = match line.first() {
                Some(b' ') => (1, 1, Line::Context(rest())),
                // Mailers cut the blank of empty lines.
                None => (1, 1, Line::Context(Vec::new())),
                Some(b'-') => (1, 0, Line::Removed(rest())),
                Some(b'+') => (0, 1, Line::Added(rest())),
                Some(b'\\') => {
                    self.open_end(&mut hunk)?;
                    continue;
                }
                _ => return Err(self.bad(self.next, "neither context, nor added, nor removed")),
            };
            if old > old_left || new > new_left {
                return Err(self.bad(self.next, "the hunk has other lines than its header says"));
            }
            (old_left, new_left) = (old_left - old, new_left - new);
            hunk.lines.push(made);
            self.next += 1;
        }
        if self.line(0).is_some_and(|l| l.starts_with(b"\\")) {
            self.open_end(&mut hunk)?;
        }
        Ok(hunk)
    }

    /// `\ No newline at end of file`: says so of the line before.
    fn open_end(&mut self, hunk: &mut Hunk) -> Result<()> {
        match hunk.lines.last() {
            Some(Line::Context(_)) => (hunk.old_open, hunk.new_open) = (true, true),
            Some(Line::Removed(_)) => hunk.old_open = true,
            Some(Line::Added(_)) => hunk.new_open = true,
            None => return Err(self.bad(self.next, "there is no line before it")),
        }
        self.next += 1;
        Ok(())
    }
}

/// `@@ -START[,COUNT] +START[,COUNT] @@`: first line before, number of lines before and after.
fn hunk_header(text: &str) -> Option<(usize, usize, usize)> {
    let inner = text.strip_prefix("@@ -")?;
    let (inner, _) = inner.split_once(" @@")?;
    let (old, new) = inner.split_once(" +")?;
    // No file has more lines, and sums of such numbers are numbers.
    let number = |text: &str| text.parse().ok().map(|n: u32| n as usize);
    let range = |text: &str| -> Option<(usize, usize)> {
        match text.split_once(',') {
            Some((start, count)) => Some((number(start)?, number(count)?)),
            None => Some((number(text)?, 1)),
        }
    };
    let ((start, old), (_, new)) = (range(old)?, range(new)?);
    Some((start, old, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIT: &str = "From: somebody\n---\n fs/a.c | 2 +-\n\ndiff --git a/fs/a.c b/fs/a.c\n\
        index 1..2 100644\n--- a/fs/a.c\n+++ b/fs/a.c\n@@ -1,3 +1,3 @@ int f(void)\n one\n\
        -two\n+TWO\n three\n-- \n2.39\n";

    fn first(text: &str) -> Change {
        parse("p", text.as_bytes()).expect(text).remove(0)
    }

    #[test]
    fn patches_of_git_are_read() {
        let change = first(GIT);
        assert_eq!(change.old.as_deref(), Some("fs/a.c"));
        assert_eq!(change.new, change.old);
        let [hunk] = &change.hunks[..] else { panic!("{change:?}") };
        assert_eq!((hunk.start, hunk.lines.len()), (1, 4));
        assert_eq!(hunk.lines[2], Line::Added(b"TWO".to_vec()));
    }

    #[test]
    fn files_come_and_go_and_get_other_names() {
        let added = first("--- /dev/null\n+++ b/x/new.c\t2024-01-01\n@@ -0,0 +1 @@\n+int x;\n");
        assert_eq!((added.old, added.new.as_deref()), (None, Some("x/new.c")));
        let gone = first(
            "diff --git a/x.c b/x.c\ndeleted file mode 100644\n--- a/x.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-int x;\n\\ No newline at end of file\n",
        );
        assert_eq!((gone.old.as_deref(), gone.new), (Some("x.c"), None));
        assert!(gone.hunks[0].old_open);
        let moved = first(
            "diff --git a/x.c b/y.c\nsimilarity index 100%\nrename from x.c\nrename to y.c\n",
        );
        assert!(moved.renamed && moved.hunks.is_empty());
        let empty = first("diff --git a/a/b b/a/b\nnew file mode 100644\nindex 0..e69\n");
        assert_eq!((empty.old, empty.new.as_deref()), (None, Some("a/b")));
    }

    #[test]
    fn what_is_cut_or_does_not_add_up_is_no_patch() {
        for (text, what) in [
            ("", "no change"),
            ("--- a/x\n+++ b/x\n", "without hunks"),
            ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n", "ends within a hunk"),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n+c\n", "more lines"),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n-b\n", "other lines"),
            ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n*a\n", "neither context"),
            ("--- a/x\n+++ b/x\n@@ 1 @@\n", "without hunks"),
            ("--- a/x\n+++ b/x\n@@ -18446744073709551615 +1 @@\n-a\n+b\n", "a malformed @@"),
            ("@@ -1 +1 @@\n-a\n+b\n", "without a file"),
            ("--- a/../x\n+++ b/../x\n@@ -1 +1 @@\n-a\n+b\n", "cannot be the path"),
            ("--- /etc/x\n+++ /etc/x\n@@ -1 +1 @@\n-a\n+b\n", "of the form"),
            ("--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n", "of the form"),
            ("--- a/$(x)\n+++ b/$(x)\n@@ -1 +1 @@\n-a\n+b\n", "cannot be the path"),
            ("diff --git a/x b/x\nGIT binary patch\n", "binary"),
        ] {
            let error = parse("p", text.as_bytes()).expect_err(text);
            assert_eq!(error.code(), Code::BadPatch);
            assert!(error.message().contains(what), "{text:?}: {error}");
        }
        for end in 1..GIT.len() - 10 {
            // Never more than an error.
            let _ = parse("p", &GIT.as_bytes()[..end]);
        }
    }
}
