//! How names and numbers of the input are written in messages.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use std::borrow::Cow;

/// A distance in bytes as it stands behind a name: `+0x1c`, `-0x10`.
pub fn distance(by: i64) -> String {
    let sign = if by < 0 { '-' } else { '+' };
    format!("{sign}{:#x}", by.unsigned_abs())
}

/// Text for a line of a terminal: characters that would end the line, move the cursor, colour
/// what follows or turn its direction are written as escapes. Names of symbols, sections and
/// files come from the input, and may hold any of them.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if c.is_ascii() && is_unprintable(c) => {
                shown.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c if is_unprintable(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Control characters, line and paragraph separators, and the marks, embeddings, overrides and
/// isolates of Unicode's bidirectional algorithm (UAX #9).
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_forge_lines() {
        assert_eq!(printable("plain name.llvm.1"), "plain name.llvm.1");
        assert_eq!(printable("a\nchanged function: b"), "a\\nchanged function: b");
        assert_eq!(printable("\x1b[31m\u{9b}2J\x7f\r\t"), "\\x1b[31m\\u{9b}2J\\x7f\\r\\t");
        assert_eq!(printable("\u{202e}evil\u{2069}"), "\\u{202e}evil\\u{2069}");
        assert_eq!(printable("Grüße"), "Grüße");
    }

    #[test]
    fn distances_have_their_sign() {
        assert_eq!(
            [0, 28, -16, i64::MIN].map(distance).join(" "),
            "+0x0 +0x1c -0x10 -0x8000000000000000"
        );
    }
}
