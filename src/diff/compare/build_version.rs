//! When and by whom a kernel was built differs in every build (init/version-timestamps.c). The
//! running kernel keeps its own; that is no change unless the release differs, too.

#![expect(clippy::indexing_slicing, reason = "a window has the field's length")]
#![expect(clippy::arithmetic_side_effects, reason = "places within a struct whose bytes are there")]

use super::pair::Pair;
use super::spans::Spans;
use crate::elf::ids::{Patched, SymbolId};
use crate::kernel::knowledge::noise::{BANNER, BANNER_START, UTS_FIELD, UTS_NAMES, UTS_VERSION};

/// Whether a variable holds when and by whom the kernel was built.
pub(in crate::diff) fn is_build_version(pair: &Pair<'_>, id: SymbolId<Patched>) -> bool {
    pair.policy.proves_noise
        && [BANNER, UTS_NAMES].contains(&pair.patched.layout.object.symbol_name(id))
}

/// Whether two variables only differ in when and by whom the kernel was built.
pub(super) fn only_build_versions_differ(
    pair: &Pair<'_>,
    spans: &Spans,
    a: &[u8],
    b: &[u8],
) -> bool {
    let layout = pair.patched.layout;
    let symbol = layout
        .entity_at(spans.p, spans.p_start)
        .and_then(|index| layout.entity(spans.p, index).symbol)
        .filter(|&id| is_build_version(pair, id));
    match symbol.map(|id| layout.object.symbol_name(id)) {
        Some(BANNER) => release(a).is_some() && release(a) == release(b),
        Some(_) => same_names(a, b),
        None => false,
    }
}

/// The release that a banner names.
fn release(banner: &[u8]) -> Option<&[u8]> {
    let rest = banner.strip_prefix(BANNER_START)?;
    rest.split(|&b| b == b' ').next().filter(|release| !release.is_empty())
}

/// Whether two `struct uts_namespace` are equal but for the version, the field that begins
/// three fields behind the name of the system.
fn same_names(a: &[u8], b: &[u8]) -> bool {
    let is_name = |w: &[u8]| w.starts_with(b"Linux\0") && w[5..].iter().all(|&b| b == 0);
    let Some(names) = a.windows(UTS_FIELD).position(is_name) else { return false };
    let version = names + UTS_VERSION * UTS_FIELD;
    let within = version..version + UTS_FIELD;
    let differ = |(at, (x, y)): (usize, (&u8, &u8))| x != y && !within.contains(&at);
    a.len() == b.len() && within.end <= a.len() && !a.iter().zip(b).enumerate().any(differ)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(release: &str, version: &str, machine: &str) -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0];
        for field in ["Linux", "(none)", release, version, machine, "(none)"] {
            let mut field = field.as_bytes().to_vec();
            field.resize(UTS_FIELD, 0);
            bytes.extend(field);
        }
        bytes
    }

    #[test]
    fn only_the_version_differs_by_build() {
        let built = names("6.12.1", "#1 SMP Fri Nov 20", "x86_64");
        assert!(same_names(&built, &names("6.12.1", "#2 SMP Sat Nov 21 14:00", "x86_64")));
        assert!(!same_names(&built, &names("6.12.1+", "#1 SMP Fri Nov 20", "x86_64")));
        assert!(!same_names(&built, &names("6.12.1", "#2 SMP", "i686")));
        assert!(!same_names(&[0; 8], &[1; 8]));
    }

    #[test]
    fn the_release_counts() {
        let of = |text: &'static str| release(text.as_bytes());
        let built = of("Linux version 6.12.1 (a@b) (gcc) #1 SMP\n");
        assert_eq!(built, of("Linux version 6.12.1 (c@d) (gcc) #22 SMP\n"));
        assert_ne!(built, of("Linux version 6.12.1+ (a@b) (gcc) #1 SMP\n"));
        assert_eq!(of("6.12.1"), None);
    }
}
