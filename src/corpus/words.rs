//! How two canonical forms differ, in words.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use crate::report::canon;

/// The first difference between the outputs of two tools; `None` when they mean the same.
/// `a` and `b` name the two, such as `ours` and `theirs`.
pub(crate) fn first_difference(
    (a, a_lines): (&str, &[String]),
    (b, b_lines): (&str, &[String]),
) -> Option<String> {
    let differences = canon::diff(a_lines, b_lines);
    let (side, line) = split(differences.first()?)?;
    let here = if side == '-' { (a, b) } else { (b, a) };
    let entry = Entry::new(line);
    let twin = differences.iter().skip(1).filter_map(|d| split(d)).find(|&(other, line)| {
        let other_entry = Entry::new(line);
        other != side && (other_entry.kind, other_entry.key) == (entry.kind, entry.key)
    });
    let more = match differences.len() - 1 - usize::from(twin.is_some()) {
        0 => String::new(),
        1 => " (and 1 more line differs)".to_owned(),
        n => format!(" (and {n} more lines differ)"),
    };
    let what = entry.name();
    let Some((_, other)) = twin else {
        return Some(format!("{what} is in {} but not in {}: {line}{more}", here.0, here.1));
    };
    let other = Entry::new(other);
    let fields: Vec<String> = entry
        .fields
        .iter()
        .map(|&(key, value)| (key, value, other.field(key)))
        .filter(|&(_, value, theirs)| Some(value) != theirs)
        .map(|(key, value, theirs)| {
            format!(
                "{key} is {value} in {} and {} in {}",
                here.0,
                theirs.unwrap_or("missing"),
                here.1
            )
        })
        .collect();
    Some(format!("{what}: {}{more}", fields.join(", ")))
}

fn split(difference: &str) -> Option<(char, &str)> {
    let side = difference.chars().next()?;
    Some((side, difference.get(side.len_utf8()..)?))
}

/// A canonical line, taken apart.
struct Entry<'l> {
    kind: &'l str,
    /// What it is about, unique or nearly so.
    key: &'l str,
    fields: Vec<(&'l str, &'l str)>,
}

impl<'l> Entry<'l> {
    fn new(line: &'l str) -> Entry<'l> {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        if kind == "machine" {
            return Entry { kind, key: "", fields: vec![("header", rest)] };
        }
        let (key, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (word, tail) = match rest.split_once(' ') {
                // The symbol that ends the line may have spaces in its text.
                Some((word, tail)) if word.contains('=') && !word.contains('(') => (word, tail),
                _ => (rest, ""),
            };
            fields.push(match word.split_once('=') {
                Some((name, value)) if !name.contains('(') => (name, value),
                _ if kind == "section" => ("the digest of its contents", word),
                _ => ("its target", word),
            });
            rest = tail;
        }
        Entry { kind, key, fields }
    }

    fn field(&self, key: &str) -> Option<&'l str> {
        self.fields.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }

    fn name(&self) -> String {
        let key = self.key.split_once('=').map_or(self.key, |(_, value)| value);
        match self.kind {
            "machine" => "the header".to_owned(),
            "func" => format!("the .kpatch.funcs entry of {key}"),
            "klprela" => format!("the livepatch relocation at {key}"),
            "rela" => format!("the relocation at {key}"),
            "relasec" => format!("the relocation section {key}"),
            "section" => format!("the section {key}"),
            "symbol" => format!("the symbol {key}"),
            _ => format!("the line '{} {}'", self.kind, self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(a: &[&str], b: &[&str]) -> Option<String> {
        let own = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        first_difference(("ours", &own(a)), ("theirs", &own(b)))
    }

    #[test]
    fn equal_forms_have_no_difference() {
        assert_eq!(say(&["symbol a type=2"], &["symbol a type=2"]), None);
    }

    #[test]
    fn a_changed_field_is_named_with_both_values() {
        let (a, b) = ("symbol f type=2 bind=1 in=.text.f", "symbol f type=2 bind=0 in=.text.f");
        assert_eq!(
            say(&[a], &[b]).as_deref(),
            Some("the symbol f: bind is 0 in theirs and 1 in ours"),
        );
        let (a, b) = ("rela .text.f+0x5 type=4 g-4", "rela .text.f+0x5 type=4 h-4");
        assert_eq!(
            say(&[a], &[b]).as_deref(),
            Some("the relocation at .text.f+0x5: its target is g-4 in ours and h-4 in theirs"),
        );
        let (a, b) = ("section .data type=1 size=4 aa", "section .data type=1 size=4 bb");
        assert_eq!(
            say(&[a], &[b]).as_deref(),
            Some("the section .data: the digest of its contents is aa in ours and bb in theirs"),
        );
    }

    #[test]
    fn a_lone_line_is_said_to_be_missing() {
        let described = say(&["func name=str:\"f\" obj=x", "symbol z a=1"], &["symbol z a=1"]);
        assert_eq!(
            described.as_deref(),
            Some(
                "the .kpatch.funcs entry of str:\"f\" is in ours but not in theirs: func name=str:\"f\" obj=x"
            ),
        );
        let described = say(&[], &["symbol a t=1", "symbol b t=1"]).unwrap_or_default();
        assert!(
            described.contains("in theirs but not in ours")
                && described.ends_with("(and 1 more line differs)")
        );
    }
}
