//! Which objects are made of a file.
//!
//! A file that is compiled is known to its Makefile. One that is included concerns every object
//! that includes it. Which these can be is found in the text of the tree: who includes a file
//! of that name, and who includes those. That says too much (`#if` is not looked at), and the
//! compiler tells then which of them do. Debug information lists only files of which it
//! describes something, so that a header of macros is missing there: it adds objects, and never
//! takes one away.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use memchr::memmem;
use rayon::prelude::*;

use crate::diag::Result;
use crate::host::files::unreadable;
use crate::kernel::knowledge::tree::CODE;

/// Who includes what, as far as the text says.
#[derive(Debug, Default)]
pub struct Includes {
    /// Files whose text has an `#include`, with what is included as it is written.
    of: Vec<(String, Vec<String>)>,
}

impl Includes {
    /// Reads all files of C and assembly below `tree`. `files` are those of the source; what
    /// the build generated is looked for.
    pub fn read(tree: &Path, files: &str) -> Result<Includes> {
        let elsewhere = ["tools/", "Documentation/", "samples/", "scripts/"];
        let is_code = |f: &str| CODE.iter().any(|e| f.ends_with(e));
        let wanted = |f: &&str| is_code(f) && !elsewhere.iter().any(|e| f.starts_with(e));
        let mut all: Vec<String> = files.lines().filter(wanted).map(str::to_owned).collect();
        generated(tree, &mut all);
        let read = |file: String| {
            let path = tree.join(&file);
            let text = match std::fs::read(&path) {
                Ok(text) => text,
                // A link of the source that leads nowhere.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(e) => return Err(unreadable(&path, &e)),
            };
            Ok((file, included(&text)))
        };
        let of = all.into_par_iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Includes { of: of.into_iter().filter(|(_, included)| !included.is_empty()).collect() })
    }

    /// The text form, for [`Includes::parse`].
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (file, included) in &self.of {
            text += &format!("{file}\t{}\n", included.join("\t"));
        }
        text
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Includes {
        let of = text.lines().map(|line| {
            let mut words = line.split('\t').map(str::to_owned);
            (words.next().unwrap_or_default(), words.collect())
        });
        Includes { of: of.collect() }
    }

    /// All files that may include one of `files`, directly or through others. The `files` are not
    /// among them, unless one may include another.
    pub fn includers(&self, files: &BTreeSet<String>) -> BTreeSet<String> {
        // By the last component: who includes something of that name.
        let mut by_name: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
        for (i, (_, included)) in self.of.iter().enumerate() {
            for path in included {
                let name = path.rsplit('/').next().unwrap_or(path);
                by_name.entry(name).or_default().push((i, path));
            }
        }
        let mut open: Vec<&str> = files.iter().map(String::as_str).collect();
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut seen: BTreeSet<&str> = open.iter().copied().collect();
        while let Some(file) = open.pop() {
            let name = file.rsplit('/').next().unwrap_or(file);
            for (i, path) in by_name.get(name).into_iter().flatten() {
                let Some((by, _)) = self.of.get(*i) else { continue };
                if may_mean(path, file, by) {
                    found.insert(by.clone());
                    if seen.insert(by) {
                        open.push(by);
                    }
                }
            }
        }
        found
    }
}

/// Whether `#include` of `path` in file `by` may mean `file`.
fn may_mean(path: &str, file: &str, by: &str) -> bool {
    // What leads upwards is known only by what follows.
    let plain = path.rsplit("../").next().unwrap_or(path).trim_start_matches("./");
    if !file.ends_with(plain) {
        return false;
    }
    let before = file.strip_suffix(plain).unwrap_or_default();
    if !(before.is_empty() || before.ends_with('/')) {
        return false;
    }
    // What is below an include folder has the rest of its path as name; other files are found
    // from beside the one that includes them, or where a Makefile says.
    let whole = file.split_once("include/").map(|(_, rest)| rest);
    let machine = |f: &str| {
        f.strip_prefix("arch/").and_then(|rest| rest.split('/').next().map(str::to_owned))
    };
    let machines = (machine(file), machine(by));
    if let (Some(a), Some(b)) = &machines
        && a != b
    {
        return false;
    }
    whole.is_none_or(|whole| whole.ends_with(plain))
}

/// What a text includes, as it is written.
fn included(text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for at in memmem::find_iter(text, b"include") {
        let start = memchr::memrchr(b'\n', text.get(..at).unwrap_or_default()).map_or(0, |n| n + 1);
        let before = text.get(start..at).unwrap_or_default();
        let directive = before.iter().filter(|b| !b.is_ascii_whitespace()).eq([&b'#']);
        if !directive {
            continue;
        }
        let rest = text.get(at + 7..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let rest = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
        let rest = rest.trim_start_matches("_next").trim_start();
        let close = match rest.chars().next() {
            Some('<') => '>',
            Some('"') => '"',
            _ => continue,
        };
        if let Some((path, _)) = rest.get(1..).and_then(|r| r.split_once(close))
            && !path.contains('\t')
        {
            found.push(path.to_owned());
        }
    }
    found
}

/// Adds the headers that the build generated.
fn generated(tree: &Path, into: &mut Vec<String>) {
    let mut open = vec!["include/generated".to_owned()];
    if let Ok(machines) = std::fs::read_dir(tree.join("arch")) {
        let names = machines.flatten().map(|m| m.file_name().to_string_lossy().into_owned());
        open.extend(names.map(|m| format!("arch/{m}/include/generated")));
    }
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(tree.join(&folder)) else { continue };
        for entry in entries.flatten() {
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                open.push(path);
            } else if path.ends_with(".h") {
                into.push(path);
            }
        }
    }
    into.sort_unstable();
}

/// The files that a preprocessed text says it is made of, below the tree.
pub fn made_of(preprocessed: &[u8]) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for line in preprocessed.split(|&b| b == b'\n').filter(|l| l.starts_with(b"# ")) {
        let text = String::from_utf8_lossy(line);
        let mut words = text.splitn(3, '"');
        if let (Some(_), Some(path)) = (words.next(), words.next()) {
            files.insert(normal(path));
        }
    }
    files
}

/// The files of the record that Kbuild keeps of a compilation, below the tree.
pub fn recorded(record: &str) -> BTreeSet<String> {
    let joined = record.replace("\\\n", " ");
    let lines = joined.lines().filter(|l| l.starts_with("source_") || l.starts_with("deps_"));
    let values = lines
        .filter_map(|l| l.split_once(":="))
        .flat_map(|(_, v)| v.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    values.filter(|v| !v.starts_with("$(") && !v.ends_with(')')).map(|v| normal(&v)).collect()
}

/// A path without `.` and `..`.
pub fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if path.starts_with('/') { format!("/{joined}") } else { joined }
}

/// The object that a file is compiled into.
pub fn object_of(source: &str) -> Option<String> {
    let stem = source.strip_suffix(".c").or_else(|| source.strip_suffix(".S"))?;
    Some(format!("{stem}.o"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includers_are_found_through_others() {
        let of = |list: &[(&str, &[&str])]| {
            let owned = |(f, i): &(&str, &[&str])| {
                ((*f).to_owned(), i.iter().map(|s| (*s).to_owned()).collect())
            };
            Includes { of: list.iter().map(owned).collect() }
        };
        let includes = of(&[
            ("fs/pipe.c", &["linux/pipe.h", "internal.h"]),
            ("fs/other.c", &["linux/splice.h"]),
            ("include/linux/splice.h", &["linux/pipe.h"]),
            ("fs/x/x.c", &["../internal.h"]),
            ("net/y.c", &["net/pipe.h"]),
            ("arch/arm/z.c", &["asm/m.h"]),
            ("arch/x86/z.c", &["asm/m.h"]),
            ("kernel/build.c", &["part.c"]),
        ]);
        let found = |file: &str| -> Vec<String> {
            includes.includers(&BTreeSet::from([file.to_owned()])).into_iter().collect()
        };
        assert_eq!(
            found("include/linux/pipe.h"),
            ["fs/other.c", "fs/pipe.c", "include/linux/splice.h"]
        );
        assert_eq!(found("fs/internal.h"), ["fs/pipe.c", "fs/x/x.c"]);
        assert_eq!(found("arch/x86/include/asm/m.h"), ["arch/x86/z.c"]);
        assert_eq!(found("kernel/part.c"), ["kernel/build.c"]);
        assert_eq!(Includes::parse(&includes.text()).of, includes.of);
    }

    #[test]
    fn includes_are_read() {
        let text = b"#include <a/b.h>\n  # include \"c.h\" // x\n/* include */\n#include_next <d.h>\n#include X(y)\nint include;";
        assert_eq!(included(text), ["a/b.h", "c.h", "d.h"]);
    }

    #[test]
    fn files_of_compilations_are_read() {
        let text = b"# 1 \"fs/a.c\"\n# 1 \"./include/linux/x.h\" 1\nint x;\n#line 3\n# 4 \"fs/../lib/b.h\" 2\n";
        let files: Vec<String> = made_of(text).into_iter().collect();
        assert_eq!(files, ["fs/a.c", "include/linux/x.h", "lib/b.h"]);
        let record = "savedcmd_fs/a.o := gcc -c\nsource_fs/a.o := fs/a.c\ndeps_fs/a.o := \\\n  $(wildcard include/config/X) \\\n  include/linux/x.h \\\n";
        let files: Vec<String> = recorded(record).into_iter().collect();
        assert_eq!(files, ["fs/a.c", "include/linux/x.h"]);
    }
}
