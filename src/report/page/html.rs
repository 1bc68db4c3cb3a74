//! Text that is safe in a page, whatever the objects call their things.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use std::fmt;

use crate::diag::printable;

/// A text between tags or in an attribute: everything that means something to a browser, or
/// that would turn the direction of what follows, is escaped.
pub(super) struct Text<'t>(pub &'t str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in printable(self.0).chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// [`Text`] of several lines, with tabs.
pub(super) struct Lines<'t>(pub &'t str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.lines() {
            let tabs = line.len() - line.trim_start_matches('\t').len();
            let rest = line.trim_start_matches('\t');
            writeln!(f, "{:1$}{2}", "", tabs * 8, Text(rest))?;
        }
        Ok(())
    }
}

/// Shortens a name for a place that is small.
pub(super) fn short(name: &str, longest: usize) -> String {
    match name.char_indices().nth(longest) {
        Some((cut, _)) => format!("{}…", name.get(..cut).unwrap_or(name)),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_inert() {
        let text = |name| Text(name).to_string();
        assert_eq!(text("<script>alert(1)</script>"), "&lt;script&gt;alert(1)&lt;/script&gt;");
        assert_eq!(text("a\" onload='x'&"), "a&quot; onload=&#39;x&#39;&amp;");
        assert_eq!(text("a\nb\u{202e}\0"), "a\\nb\\u{202e}\\x00");
        assert_eq!(short("äöüß", 2), "äö…");
        assert_eq!(short("ab", 2), "ab");
    }
}
