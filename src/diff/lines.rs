//! Recognises functions in which only line numbers moved (spec section 14).

use std::ops::Range;

use super::compare::{Comparer, Spans};
use super::open::Open;
use crate::elf::ids::{SectionId, Side};
use crate::error::Result;
use crate::kernel::layout::Layout;
use crate::kernel::lines;
use crate::kernel::names;
use crate::kernel::refs::{Effective, Refs};

impl Comparer<'_, '_, '_, '_> {
    /// Whether all differences between two stretches of code of equal length, whose
    /// relocations mean the same, are immediates that hold `__LINE__`, or distances to the same
    /// things.
    pub(super) fn only_lines_differ(
        &self,
        spans: &Spans,
        a: &[u8],
        b: &[u8],
        open: &mut Open,
    ) -> Result<bool> {
        let arch = self.patched.layout.arch;
        let shifted = self.is_shifted(spans);
        // Behind it there may be filler whose end was cut off.
        let differing = a.iter().zip(b).rposition(|(x, y)| x != y).map_or(0, |last| last + 1);
        let mut at = 0;
        while at < differing {
            let (x, y) = (&a[at..], &b[at..]);
            let (Some(length), Some(other)) =
                ((arch.instruction_len)(x), (arch.instruction_len)(y))
            else {
                return Ok(false);
            };
            if length == 0 || length != other || length > x.len() {
                return Ok(false);
            }
            let near = || shifted && self.only_distance_differs(spans, at as u64);
            if x[..length] != y[..length] && !near() {
                let loads = (arch.loads_line)(&x[..length]) && (arch.loads_line)(&y[..length]);
                let behind = spans.p_start + (at + length) as u64;
                let within = spans.p_start..spans.p_end;
                if !loads || !leads_to_line_user(self.patched.layout, spans.p, behind, &within)? {
                    return Ok(false);
                }
            }
            at += length;
        }
        Ok(self.leads_elsewhere(spans, open).is_none())
    }
}

/// How far before the load of a line number the other arguments are loaded, in bytes.
const ARGUMENTS: u64 = 96;

/// Whether the next thing that code from `at` on refers to is a function that takes a line,
/// and whether it also gets the name of a source file or of the function: a number without
/// them may be anything.
fn leads_to_line_user<S: Side>(
    layout: &Layout<'_, '_, S>,
    section: SectionId<S>,
    at: u64,
    within: &Range<u64>,
) -> Result<bool> {
    let refs = Refs::new(layout, section);
    let mut proved = false;
    let before = at.saturating_sub(ARGUMENTS).max(within.start);
    for reloc in layout.object.relocs(section).within(before, within.end) {
        let Effective::Reloc(base, effective) = refs.effective(&reloc)? else { continue };
        let through = (base != section).then(|| Refs::new(layout, base));
        let refs = through.as_ref().unwrap_or(&refs);
        if let Some(string) = refs.string(&effective)? {
            proved |= is_source_file(string) || says_line(string);
            continue;
        }
        let target = refs.resolve(&effective)?;
        let name = layout.object.symbol_name(target.symbol);
        if lines::may_stand_between(name) || names::is_special_static_name(name) {
            proved |= name.contains("__func__");
            continue;
        }
        if reloc.offset >= at {
            return Ok(proved && lines::takes_line(name, layout.arch));
        }
    }
    Ok(false)
}

/// Whether a message says that a line number follows.
fn says_line(string: &[u8]) -> bool {
    string.windows(6).any(|w| w.eq_ignore_ascii_case(b"line %"))
}

/// Whether a string is what `__FILE__` may be.
fn is_source_file(string: &[u8]) -> bool {
    [&b".c"[..], b".h", b".S", b".rs"].iter().any(|end| string.ends_with(end))
}
