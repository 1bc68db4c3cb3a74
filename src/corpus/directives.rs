//! What a source says of itself before all else: lines `//# KEY: VALUE`. A key may name who it
//! is for, `KEY[WHO]`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::diag::{Code, Error, Result};

/// The lines of one source.
#[derive(Clone, Debug, Default)]
pub struct Directives(BTreeMap<String, String>);

impl Directives {
    /// Reads the lines that `text` begins with. Fails, for the file `path`, where one has no
    /// colon, is given twice, or has a key that is not among `keys`.
    pub fn parse(path: &Path, text: &str, keys: &[&str]) -> Result<Directives> {
        let mut directives = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let Some(directive) = line.strip_prefix("//#") else { break };
            let fail = |what: &str| {
                Err(Error::broken(Code::Case, format!("line {number}: {what}: {line}"))
                    .in_file(path.display().to_string()))
            };
            let Some((key, value)) = directive.split_once(':') else {
                return fail("no colon");
            };
            let (key, value) = (key.trim(), value.trim());
            if !keys.contains(&key.split('[').next().unwrap_or(key)) {
                return fail("unknown key");
            }
            if directives.insert(key.to_owned(), value.to_owned()).is_some() {
                return fail("given twice");
            }
        }
        Ok(Directives(directives))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the key is given, for all.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The value for the first of `who` that has one, or else for all; empty when there is none.
    pub fn get(&self, key: &str, who: &[&str]) -> &str {
        who.iter()
            .find_map(|who| self.0.get(&format!("{key}[{who}]")))
            .or_else(|| self.0.get(key))
            .map_or("", String::as_str)
    }

    /// The words of that value.
    pub fn words(&self, key: &str, who: &[&str]) -> BTreeSet<&str> {
        self.get(key, who).split_whitespace().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Directives> {
        Directives::parse(Path::new("a.c"), text, &["what", "exit"])
    }

    #[test]
    fn the_first_who_counts() {
        let found = parse("//# what: a b\n//#exit: 3\n//# exit[gcc]: 2\nint x;\n//# exit: 1\n");
        let found = found.expect("a header");
        assert_eq!(found.get("exit", &["s390x", "gcc"]), "2");
        assert_eq!(found.get("exit", &["s390x", "clang"]), "3");
        assert_eq!(found.get("changed", &[]), "");
        assert_eq!(found.words("what", &[]), BTreeSet::from(["a", "b"]));
        assert!(parse("int x;\n//# what: a\n").expect("no header").is_empty());
    }

    #[test]
    fn what_cannot_be_meant_fails() {
        for (text, wanted) in [
            ("//# what\n", "a.c: line 1: no colon: //# what"),
            ("//# what: a\n//# waht: b\n", "a.c: line 2: unknown key: //# waht: b"),
            ("//# what: a\n//# what: b\n", "a.c: line 2: given twice: //# what: b"),
        ] {
            assert_eq!(parse(text).expect_err("bad").to_string(), wanted);
        }
    }
}
