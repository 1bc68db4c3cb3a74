//! Recognises functions in which only line numbers moved (spec section 14).

use super::compare::{Comparer, Spans};
use crate::elf::ids::{SectionId, Side};
use crate::error::Result;
use crate::kernel::layout::Layout;
use crate::kernel::lines;
use crate::kernel::names;
use crate::kernel::refs::{Effective, Refs};

impl Comparer<'_, '_, '_, '_> {
    /// Whether all differences between two stretches of code of equal length, whose
    /// relocations mean the same, are immediates that hold `__LINE__`.
    pub(super) fn only_lines_differ(&self, spans: &Spans, a: &[u8], b: &[u8]) -> Result<bool> {
        let arch = self.patched.layout.arch;
        let mut at = 0;
        while at < a.len() {
            let (x, y) = (&a[at..], &b[at..]);
            let (Some(length), Some(other)) =
                ((arch.instruction_len)(x), (arch.instruction_len)(y))
            else {
                return Ok(false);
            };
            if length == 0 || length != other || length > x.len() {
                return Ok(false);
            }
            if x[..length] != y[..length] {
                let loads = (arch.loads_line)(&x[..length]) && (arch.loads_line)(&y[..length]);
                let behind = spans.p_start + (at + length) as u64;
                if !loads || !leads_to_line_user(self.patched.layout, spans.p, behind)? {
                    return Ok(false);
                }
            }
            at += length;
        }
        Ok(true)
    }
}

/// Whether the next thing that code from `at` on refers to is a function that takes a line.
fn leads_to_line_user<S: Side>(
    layout: &Layout<'_, '_, S>,
    section: SectionId<S>,
    at: u64,
) -> Result<bool> {
    let refs = Refs::new(layout, section);
    let size = layout.object.section_size(section);
    for reloc in layout.object.relocs(section).within(at, size) {
        let Effective::Reloc(base, effective) = refs.effective(&reloc)? else { continue };
        let through = (base != section).then(|| Refs::new(layout, base));
        let refs = through.as_ref().unwrap_or(&refs);
        if refs.string(&effective)?.is_some() {
            continue;
        }
        let target = refs.resolve(&effective)?;
        let name = layout.object.symbol_name(target.symbol);
        if lines::may_stand_between(name) || names::is_special_static_name(name) {
            continue;
        }
        return Ok(lines::takes_line(name, layout.arch));
    }
    Ok(false)
}
