//! Names of Rust code ("v0" mangling, RFC 2603 and the rustc book, "v0 Symbol Format").
//!
//! The name of a crate has a hash beside it (`Cs2nZCEvFuR12_4unit`), which is of the compiler's version
//! and of what the build says of the crate, and of nothing that somebody wrote. References within a name
//! (`B2_`) count bytes, so that they move with the length of a hash.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

/// A piece of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// As it is written.
    Text(&'a str),
    /// What stands before the name of a crate: the hash.
    Crate(&'a str),
    /// A reference to this byte, counted without hashes.
    Back(u64),
}

/// Where in a name of a symbol or section a name of Rust begins, and the byte behind it.
pub(super) fn span(name: &str) -> Option<(usize, usize)> {
    const PREFIXES: [&str; 3] = ["__cfi_", "__pfx_", "__kcfi_typeid_"];
    let start = match name.as_bytes().first()? {
        b'_' if name.starts_with("_R") => 0,
        b'_' => PREFIXES.iter().find(|p| name.starts_with(**p)).map(|p| p.len())?,
        b'.' => super::find(name, "._R", 2)? + 1,
        _ => return None,
    };
    let rest = name.get(start..)?.strip_prefix("_R")?;
    let is_path = rest.starts_with(['C', 'M', 'X', 'Y', 'N', 'I']);
    let end = rest.find(['.', '$']).unwrap_or(rest.len());
    (is_path && rest.is_ascii()).then_some((start, start + 2 + end))
}

/// Gives the parts of a mangled name, which begins with `_R`. What follows something that this does not
/// know is text.
pub(super) fn parts<'a>(name: &'a str, emit: &mut impl FnMut(Part<'a>)) {
    let Some(rest) = name.strip_prefix("_R") else { return emit(Part::Text(name)) };
    emit(Part::Text("_R"));
    let (mut at, mut written, mut hashes) = (0, 0, Vec::<(usize, usize)>::new());
    while let Some(&byte) = rest.as_bytes().get(at) {
        let behind = rest.get(at + 1..).unwrap_or_default();
        let next = match byte {
            b'0'..=b'9' => at.checked_add(identifier(rest.get(at..).unwrap_or_default())),
            b'C' if behind.starts_with('s') => {
                let Some((length, _)) = number(behind.get(1..).unwrap_or_default()) else { break };
                emit(Part::Text(rest.get(written..=at).unwrap_or_default()));
                let end = at + 2 + length;
                emit(Part::Crate(rest.get(at + 2..end - 1).unwrap_or_default()));
                hashes.push((at + 1, end - at - 1));
                written = end;
                Some(end)
            }
            b'B' => {
                let Some((length, target)) = number(behind) else { break };
                emit(Part::Text(rest.get(written..=at).unwrap_or_default()));
                let before = hashes.iter().filter(|(from, _)| (*from as u64) < target);
                let dropped: usize = before.map(|(_, length)| length).sum();
                emit(Part::Back(target.saturating_sub(dropped as u64)));
                written = at + 1 + length;
                Some(written)
            }
            b'L' | b'G' => number(behind).map(|(length, _)| at + 1 + length),
            // A disambiguator stands before an identifier; `s` alone is a type.
            b's' => {
                let found = number(behind).map(|(length, _)| at + 1 + length);
                let named = |end: &usize| {
                    rest.as_bytes().get(*end).is_some_and(|b| b.is_ascii_digit() || *b == b'u')
                };
                found.filter(named).or(Some(at + 1))
            }
            b'K' => constant(behind).map(|length| at + 1 + length),
            _ => Some(at + 1),
        };
        match next {
            Some(next) if next > at => at = next,
            _ => break,
        }
    }
    emit(Part::Text(rest.get(written..).unwrap_or_default()));
}

/// The identifier that a text begins with.
pub(super) fn first(text: &str) -> &str {
    text.get(..identifier(text)).unwrap_or(text)
}

/// Bytes of an identifier: its length in decimal, `_` where it would begin like a number, and itself.
fn identifier(text: &str) -> usize {
    let digits = match text.starts_with('0') {
        true => 1,
        false => text.bytes().take_while(u8::is_ascii_digit).count(),
    };
    let length: usize = text.get(..digits).and_then(|d| d.parse().ok()).unwrap_or(0);
    let line = usize::from(text.get(digits..).is_some_and(|rest| rest.starts_with('_')));
    digits.saturating_add(line).saturating_add(length)
}

/// A number in base 62 with the `_` that ends it: how many bytes it has, and its value.
fn number(text: &str) -> Option<(usize, u64)> {
    let digits = text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    text.get(digits..).filter(|rest| rest.starts_with('_'))?;
    let value = text.bytes().take(digits).fold(0_u64, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'z' => byte - b'a' + 10,
            _ => byte.wrapping_sub(b'A').wrapping_add(36),
        };
        value.wrapping_mul(62).wrapping_add(u64::from(digit))
    });
    Some((digits + 1, if digits == 0 { 0 } else { value.wrapping_add(1) }))
}

/// Bytes of a constant among the arguments of a generic thing, behind its `K`: a type of numbers and the value.
fn constant(text: &str) -> Option<usize> {
    let rest = match text.as_bytes().first()? {
        b'p' => return Some(1),
        b'a' | b'b' | b'c' | b'h' | b'i' | b'j' | b'l' | b'm' | b'n' | b'o' | b's' | b't'
        | b'x' | b'y' => text.get(1..)?,
        _ => return None,
    };
    let value = rest.strip_prefix('n').unwrap_or(rest);
    let digits = value.bytes().take_while(u8::is_ascii_hexdigit).count();
    value.get(digits..).filter(|rest| rest.starts_with('_'))?;
    Some(text.len() - value.len() + digits + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(name: &str) -> String {
        let mut text = String::new();
        parts(name, &mut |part| match part {
            Part::Text(part) => text += part,
            Part::Crate(hash) => text += &format!("<{hash}>"),
            Part::Back(to) => text += &format!("<{to}>"),
        });
        text
    }

    #[test]
    fn hashes_and_references_are_found() {
        for (name, wanted) in [
            ("_RNvCs2nZCEvFuR12_4unit6helper", "_RNvC<2nZCEvFuR12>4unit6helper"),
            (
                "_RNvMCs2nZCEvFuR12_4unitINtB2_4RingmE4pushB2_",
                "_RNvMC<2nZCEvFuR12>4unitINtB<3>4RingmE4pushB<3>",
            ),
            // References behind a hash move with its length.
            ("_RINvNtCs1_1a1bReBd_E", "_RINvNtC<1>1a1bReB<11>E"),
            ("_RINvNtCs123_1a1bReBf_E", "_RINvNtC<123>1a1bReB<11>E"),
            // Identifiers are no grammar, whatever they look like.
            ("_RNvC1a8_Cs12_3ab", "_RNvC1a8_Cs12_3ab"),
            // A closure, a constant, a lifetime.
            ("_RNCNvCs1_1a4mains_0B4_", "_RNCNvC<1>1a4mains_0B<5>"),
            ("_RINvCs1_1a1fKj20_E", "_RINvC<1>1a1fKj20_E"),
            ("_RINvCs1_1a1fKlnff_E", "_RINvC<1>1a1fKlnff_E"),
            ("_RNvXs0_Cs1_1aNtB5_1TNtB5_1U1f", "_RNvXs0_C<1>1aNtB<6>1TNtB<6>1U1f"),
            // Cut short.
            ("_RNvCs12", "_RNvCs12"),
            ("_RNvC99a", "_RNvC99a"),
            ("_R", "_R"),
        ] {
            assert_eq!(describe(name), wanted, "{name}");
        }
    }

    #[test]
    fn names_of_rust_are_known() {
        for (name, wanted) in [
            ("_RNvC1a1b", Some((0, 9))),
            (".text._RNvC1a1b", Some((6, 15))),
            (".text.unlikely._RNvC1a1b", Some((15, 24))),
            ("__cfi__RNvC1a1b", Some((6, 15))),
            ("_RNvC1a1b.llvm.12", Some((0, 9))),
            ("_Read", None),
            ("_R", None),
            ("__Rx", None),
            ("main", None),
            ("", None),
        ] {
            assert_eq!(span(name), wanted, "{name}");
        }
    }
}
