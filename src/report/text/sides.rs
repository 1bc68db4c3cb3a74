//! Two listings side by side.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use super::style::{Paint, Style};
use crate::diag::printable;
use crate::report::explain::{Hunk, Line, Mark};

/// What stands before the text of a line: its place and its label.
const LEAD: usize = 12;
/// Characters of a column below which nothing is readable.
const NARROW: usize = 30;
/// Characters of a column beyond which lines are broken.
const WIDE: usize = 76;

/// Writes a hunk: the original on the left, the patched object on the right.
pub(super) fn write(hunk: &Hunk, style: &Style, text: &mut String) {
    let first = |side: fn(&crate::report::explain::Pair) -> Option<&Line>| {
        hunk.lines.iter().find_map(side).map_or("none".to_owned(), |l| format!("+{:#x}", l.at))
    };
    let head =
        format!("  @@ {} | {} @@", first(|p| p.before.as_ref()), first(|p| p.after.as_ref()));
    text.push_str(&style.paint(Paint::Hunk, &head));
    text.push('\n');
    let most = (style.width.saturating_sub(5) / 2).clamp(NARROW, WIDE + LEAD);
    let longest =
        hunk.lines.iter().filter_map(|p| p.before.as_ref()).map(|l| cell(l).chars().count());
    let width = longest.max().unwrap_or(0).clamp(NARROW, most);
    for pair in &hunk.lines {
        let (sign, left, right) = match pair.mark {
            Mark::Same => (' ', Paint::None, Paint::None),
            Mark::Changed => ('|', Paint::Before, Paint::After),
            Mark::Removed => ('<', Paint::Before, Paint::None),
            Mark::Added => ('>', Paint::None, Paint::After),
        };
        let broken = |line: &Option<Line>, width| {
            line.as_ref().map_or(Vec::new(), |l| broken(&cell(l), width))
        };
        let (before, after) = (broken(&pair.before, width), broken(&pair.after, most));
        for n in 0..before.len().max(after.len()).max(1) {
            let of = |cells: &[String]| cells.get(n).cloned().unwrap_or_default();
            let (a, b) = (of(&before), of(&after));
            let pad = " ".repeat(width.saturating_sub(a.chars().count()));
            let sign = if n == 0 { sign } else { ' ' };
            let row = format!("  {}{pad} {sign} {}", style.paint(left, &a), style.paint(right, &b));
            text.push_str(row.trim_end());
            text.push('\n');
        }
        if let Some(note) = &pair.note {
            let note = format!("  {:LEAD$}^ {}", "", printable(note));
            text.push_str(&style.paint(Paint::Note, &note));
            text.push('\n');
        }
    }
}

/// A line as text: place, label, instruction.
fn cell(line: &Line) -> String {
    let label = line.label.as_ref().map_or(String::new(), |label| format!("{label}:"));
    format!("{:>5x} {label:>5} {}", line.at, printable(&line.text))
}

/// A text in pieces of at most `width` characters; those behind the first are set in.
fn broken(text: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    let mut rest = chars.as_slice();
    while !rest.is_empty() || pieces.is_empty() {
        let lead = if pieces.is_empty() { 0 } else { LEAD + 2 };
        let fits = width.saturating_sub(lead).max(8).min(rest.len());
        // Rather between words.
        let space = rest.get(..fits).and_then(|r| r.iter().rposition(|&c| c == ' '));
        let cut = match space {
            Some(space) if fits < rest.len() && space > fits / 2 => space + 1,
            _ => fits,
        };
        let (piece, more) = rest.split_at_checked(cut).unwrap_or((rest, &[]));
        pieces.push(" ".repeat(lead) + &piece.iter().collect::<String>());
        rest = more;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(broken("short", 40), ["short"]);
        let pieces = broken("12345 12345 mov rdi, some_long_name_of_a_symbol", 30);
        assert_eq!(
            pieces,
            ["12345 12345 mov rdi, ", "              some_long_name_o", "              f_a_symbol"]
        );
        assert_eq!(broken("", 10), [""]);
    }
}
