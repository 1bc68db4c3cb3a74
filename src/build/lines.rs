//! Keeps the numbers of lines that a patch does not touch.
//!
//! Code knows its line (`WARN`, `lockdep`, `might_sleep`), so that a line more at the top of a
//! file changes many functions below. `#line N` behind an edit gives what follows the number
//! that it had. It cannot stand everywhere: within a comment or the lines of a macro's
//! definition it means nothing, and within the arguments of a macro C leaves its meaning open.
//! So it stands at the next line where none of these is the case. A branch of `#if` that is
//! not compiled passes over it: behind each branch it stands again.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use super::apply::Numbered;

/// The text with its markers, and the lines before the patch whose numbers are other ones now.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept {
    /// Bytes of the file.
    pub text: Vec<u8>,
    /// How many markers there are.
    pub markers: usize,
    /// Ranges of lines that follow an edit before a marker can stand.
    pub moved: Vec<(usize, usize)>,
}

/// Puts markers into a file. `open`: its last line has no newline.
pub fn keep(lines: &[Numbered], open: bool) -> Kept {
    let mut kept = Kept { text: Vec::new(), markers: 0, moved: Vec::new() };
    let mut state = State::default();
    let mut branches: Vec<Branch> = Vec::new();
    // The number that the compiler gives the line, and whether it is so in all branches.
    let (mut number, mut certain) = (1usize, true);
    // Behind the last line that was there before, no number matters.
    let last = lines.iter().rposition(|l| l.origin.is_some() && !blank(&l.text));
    for (i, line) in lines.iter().enumerate() {
        if let Some(origin) = line.origin
            && (number != origin || !certain)
        {
            let needed = last.is_some_and(|last| i <= last);
            if needed && state.may_stand() {
                kept.text.extend_from_slice(format!("#line {origin}\n").as_bytes());
                kept.markers += 1;
                (number, certain) = (origin, true);
                branches.iter_mut().for_each(|b| b.marked = true);
            } else if needed && number != origin && !blank(&line.text) {
                match kept.moved.last_mut() {
                    Some((_, end)) if *end + 1 >= origin => *end = origin,
                    _ => kept.moved.push((origin, origin)),
                }
            }
        }
        match state.read(&line.text) {
            Some(Directive::If) => {
                branches.push(Branch { depth: state.depth, ..Branch::default() })
            }
            Some(Directive::Else) => {
                if let Some(branch) = branches.last_mut() {
                    let depth = branch.depth;
                    branch.after.get_or_insert(state.depth);
                    state.depth = depth;
                    certain &= !branch.marked;
                }
            }
            Some(Directive::End) => {
                if let Some(branch) = branches.pop() {
                    state.depth = branch.after.unwrap_or(state.depth);
                    certain &= !branch.marked;
                }
            }
            None => {}
        }
        kept.text.extend_from_slice(&line.text);
        kept.text.push(b'\n');
        number += 1;
    }
    if open {
        kept.text.pop();
    }
    kept
}

fn blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

/// A conditional that is open.
#[derive(Default)]
struct Branch {
    /// Depth of brackets before it.
    depth: usize,
    /// Depth behind its first branch.
    after: Option<usize>,
    /// A marker stands in one of its branches.
    marked: bool,
}

enum Directive {
    If,
    Else,
    End,
}

/// What a line begins in.
#[derive(Default)]
struct State {
    comment: bool,
    /// The line before ends with a backslash.
    joined: bool,
    /// Within the lines of a directive.
    directive: bool,
    /// Open round and square brackets.
    depth: usize,
}

impl State {
    fn may_stand(&self) -> bool {
        !self.comment && !self.joined && self.depth == 0
    }

    /// Goes over a line; says which conditional begins or ends with it.
    fn read(&mut self, line: &[u8]) -> Option<Directive> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let first = line.iter().position(|b| !b.is_ascii_whitespace());
        let mut found = None;
        if !self.comment && !self.joined {
            self.directive = first.is_some_and(|at| line.get(at) == Some(&b'#'));
            if self.directive {
                found = directive(line);
            }
        }
        let depth = self.depth;
        self.scan(line);
        self.joined = line.last() == Some(&b'\\');
        if self.directive {
            // Brackets in a macro's definition are its own.
            self.depth = depth;
        }
        if !self.joined {
            self.directive = false;
        }
        found
    }

    fn scan(&mut self, line: &[u8]) {
        let mut i = 0;
        while let Some(&byte) = line.get(i) {
            let next = line.get(i + 1).copied();
            if self.comment {
                if (byte, next) == (b'*', Some(b'/')) {
                    self.comment = false;
                    i += 1;
                }
            } else {
                match (byte, next) {
                    (b'/', Some(b'*')) => {
                        self.comment = true;
                        i += 1;
                    }
                    (b'/', Some(b'/')) => return,
                    (b'"' | b'\'', _) => i = literal_end(line, i),
                    (b'(' | b'[', _) => self.depth += 1,
                    (b')' | b']', _) => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
            i += 1;
        }
    }
}

/// Index of the quote that ends the literal, or of the line's end.
fn literal_end(line: &[u8], start: usize) -> usize {
    let quote = line.get(start).copied();
    let mut i = start + 1;
    while let Some(&byte) = line.get(i) {
        match byte {
            b'\\' => i += 1,
            _ if Some(byte) == quote => return i,
            _ => {}
        }
        i += 1;
    }
    line.len()
}

fn directive(line: &[u8]) -> Option<Directive> {
    let text = String::from_utf8_lossy(line);
    let word = text.trim_start().strip_prefix('#')?.trim_start();
    let end = word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len());
    match word.get(..end)? {
        "if" | "ifdef" | "ifndef" => Some(Directive::If),
        "else" | "elif" | "elifdef" | "elifndef" => Some(Directive::Else),
        "endif" => Some(Directive::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::apply::Text;

    /// A file whose lines that begin with `+` are new, and those with `-` are gone.
    fn kept(diff: &str) -> (String, Vec<(usize, usize)>) {
        let mut lines = Vec::new();
        let mut number = 0;
        for line in diff.lines() {
            let added = line.strip_prefix('+');
            number += usize::from(added.is_none());
            if !line.starts_with('-') {
                let text = added.unwrap_or(line).as_bytes().to_vec();
                lines.push(Numbered { text, origin: added.is_none().then_some(number) });
            }
        }
        let kept = keep(&lines, false);
        (String::from_utf8(kept.text).expect("text"), kept.moved)
    }

    #[test]
    fn a_marker_stands_behind_an_edit() {
        let (text, moved) = kept("a;\n+x;\n+y;\nb;\nc;");
        assert_eq!((&*text, moved), ("a;\nx;\ny;\n#line 2\nb;\nc;\n", vec![]));
        let (text, _) = kept("a;\n-b;\n-c;\n+x;\nd;");
        assert_eq!(text, "a;\nx;\n#line 4\nd;\n");
        // As many lines as before need none, nor does the end of the file.
        assert_eq!(kept("a;\n-b;\n+x;\nc;").0, "a;\nx;\nc;\n");
        assert_eq!(kept("a;\n+x;\n\n").0, "a;\nx;\n\n");
        let unchanged = Text::new(b"a\nb");
        assert_eq!(keep(&unchanged.lines, true).text, b"a\nb");
    }

    #[test]
    fn it_stands_behind_what_it_must_not_be_in() {
        let (text, moved) = kept("WARN(a,\n+  x,\n  b,\n  c);\nd;");
        assert_eq!(text, "WARN(a,\n  x,\n  b,\n  c);\n#line 4\nd;\n");
        assert_eq!(moved, [(2, 3)]);
        let (text, _) = kept("#define f(x) \\\n+  g( \\\n  h(x)\nd;");
        assert_eq!(text, "#define f(x) \\\n  g( \\\n  h(x)\n#line 3\nd;\n");
        let (text, _) = kept("/* a\n+ * x\n * b '\n */\nd;");
        assert_eq!(text, "/* a\n * x\n * b '\n */\n#line 4\nd;\n");
        let (text, _) = kept("s = \"(\";\n+x = '\"'; // (\nd;");
        assert_eq!(text, "s = \"(\";\nx = '\"'; // (\n#line 2\nd;\n");
    }

    #[test]
    fn branches_that_are_not_compiled_are_thought_of() {
        let (text, _) = kept("#ifdef A\n+x;\na;\n#else\nb;\n#endif\nc;\nd;");
        assert_eq!(
            text,
            "#ifdef A\nx;\n#line 2\na;\n#else\n#line 4\nb;\n#endif\n#line 6\nc;\nd;\n"
        );
        // Where both branches open the same bracket, it is open once.
        let (text, _) = kept("#ifdef A\nif (a(\n#else\nif (b(\n#endif\nc))\n+x;\nd;");
        assert_eq!(text, "#ifdef A\nif (a(\n#else\nif (b(\n#endif\nc))\nx;\n#line 7\nd;\n");
    }
}
