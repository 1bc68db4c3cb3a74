//! Which cases a run is for, by their names, and which differences are known.

use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

use super::results::{Record, Status};
use crate::diag::{Code, Error, Result};
use crate::host::files;

/// Text of which each `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern(Vec<String>);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Pattern, String> {
        if text.is_empty() {
            return Err("an empty pattern names no case".to_owned());
        }
        Ok(Pattern(text.split('*').map(str::to_owned).collect()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Pattern, String> {
        text.parse()
    }
}

impl Pattern {
    /// Whether `text` is as the pattern from its start to its end.
    fn is(&self, text: &str) -> bool {
        let [first, between @ .., last] = &self.0[..] else {
            return self.0.first().is_some_and(|whole| whole == text);
        };
        let rest = text.strip_prefix(first.as_str()).and_then(|t| t.strip_suffix(last.as_str()));
        // Taking each part where it is first found leaves most for the others.
        between
            .iter()
            .try_fold(rest, |rest, part| {
                rest.map(|rest| rest.split_once(part.as_str()).map(|(_, behind)| behind))
            })
            .flatten()
            .is_some()
    }

    /// Whether some part of `text` is as the pattern.
    fn is_in(&self, text: &str) -> bool {
        let open = [vec![String::new()], self.0.clone(), vec![String::new()]].concat();
        Pattern(open).is(text)
    }
}

/// Whether `--filter` has the case: no pattern has all.
pub(crate) fn picks(filter: &[Pattern], case: &str) -> bool {
    filter.is_empty() || filter.iter().any(|pattern| pattern.is_in(case))
}

/// The file of `--known`: differences that are no news.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    #[serde(default)]
    known: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The whole name of the case.
    case: Pattern,
    /// What a difference must have to be the known one.
    says: Option<Pattern>,
    /// Why it is left as it is.
    because: String,
}

impl Known {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Known> {
        let bad = |what: String| {
            Error::broken(Code::Corpus, what)
                .in_file(path.display().to_string())
                .advise("docs/corpus.md describes the file of --known")
        };
        let text = files::read_text(path)?;
        let known: Known = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        match known.known.iter().find(|entry| entry.because.trim().is_empty()) {
            Some(_) => Err(bad("'because' must say why the difference is left".to_owned())),
            None => Ok(known),
        }
    }

    /// Takes cases that differ only in what is known for known. Returns a remark for each entry
    /// that fits nothing of what was run, so that the file does not outlive what it is for.
    pub fn apply(&self, records: &mut [Record]) -> Vec<String> {
        let mut used = vec![false; self.known.len()];
        for record in records.iter_mut().filter(|r| r.status == Status::Differs) {
            let mut whys = Vec::new();
            for difference in &record.differences {
                let mut fitting = self.known.iter().zip(&mut used).filter(|(entry, _)| {
                    entry.case.is(&record.case)
                        && entry.says.as_ref().is_none_or(|says| says.is_in(difference))
                });
                whys.push(fitting.next().map(|(entry, used)| {
                    *used = true;
                    format!("{difference} (known: {})", entry.because.trim())
                }));
            }
            if let Some(whys) = whys.into_iter().collect::<Option<Vec<_>>>() {
                (record.status, record.differences) = (Status::Known, whys);
            }
        }
        let mut remarks = Vec::new();
        for (entry, _) in self.known.iter().zip(used).filter(|(_, used)| !used) {
            if records.iter().any(|r| r.exit.is_some() && entry.case.is(&r.case)) {
                let case = entry.case.0.join("*");
                remarks.push(format!("{case}: the known difference is not there any more"));
            }
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (text, whole, part) in [
            ("a/b", true, true),
            ("b", false, true),
            ("a*b", true, true),
            ("*", true, true),
            ("a/*/b", false, false),
            ("a*", true, true),
            ("*a", false, true),
            ("a/b*a/b", false, false),
            ("/*", false, true),
            ("A", false, false),
        ] {
            assert_eq!(
                (pattern(text).is("a/b"), pattern(text).is_in("a/b")),
                (whole, part),
                "{text}"
            );
        }
        assert!(pattern("a*b*c").is("abbc") && !pattern("a*b*b*c").is("abc"));
        assert!(picks(&[], "x") && !picks(&[pattern("y")], "x"));
        assert!("".parse::<Pattern>().is_err());
    }

    #[test]
    fn only_what_is_known_is_no_news() {
        let known: Known =
            toml::from_str("[[known]]\ncase = \"c/*\"\nsays = \"exit\"\nbecause = \"why\"\n")
                .unwrap();
        let record = |case: &str, differences: &[&str]| {
            let mut record =
                Record::unrun(case, "changed".to_owned(), Status::Differs, String::new());
            record.exit = Some(0);
            record.differences = differences.iter().map(|d| (*d).to_owned()).collect();
            record
        };
        let mut records = [record("c/a", &["exit 3"]), record("c/b", &["exit 3", "more"])];
        assert_eq!(known.apply(&mut records), [""; 0]);
        assert_eq!(records.each_ref().map(|r| r.status), [Status::Known, Status::Differs]);
        assert_eq!(records[0].differences, ["exit 3 (known: why)"]);
        let mut records = [record("c/a", &["other"])];
        assert_eq!(known.apply(&mut records).len(), 1);
        assert_eq!(records[0].status, Status::Differs);
        // Nothing is said of cases that were not run.
        assert_eq!(known.apply(&mut []), [""; 0]);
    }
}
