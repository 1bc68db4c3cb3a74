//! Notes what a comparison forgives, when somebody asks.

use std::borrow::Cow;

use super::comparer::Comparer;
use super::forgiven::{Field, Forgiven, Proof, proofs};
use crate::diff::words::hex_at;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched};
use crate::kernel::refs::RelocIn;

/// Notes what is forgiven, when somebody asks.
pub(super) fn forgive(comparer: &Comparer<'_>, forgiven: impl FnOnce() -> Forgiven) {
    if let Some(ledger) = &comparer.ledger {
        ledger.note(forgiven());
    }
}

/// Notes bytes that differ.
pub(super) fn forgive_bytes(
    comparer: &Comparer<'_>,
    proof: Proof,
    field: Field,
    evidence: impl FnOnce() -> Cow<'static, str>,
) {
    forgive(comparer, || Forgiven {
        proof,
        section: field.p.0,
        offset: field.p.1,
        width: field.width,
        before: shown(comparer.orig.layout.object.contents(field.o.0), field.o.1, field.width),
        after: shown(comparer.patched.layout.object.contents(field.p.0), field.p.1, field.width),
        evidence: evidence(),
    });
}

/// Notes two relocations that name their target differently, or are of other types, and
/// mean the same.
pub(super) fn forgive_reference(
    comparer: &Comparer<'_>,
    (o_refs, o): RelocIn<'_, Orig>,
    (p_refs, p): RelocIn<'_, Patched>,
) {
    if comparer.ledger.is_none() {
        return;
    }
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let (before, after) = (orig.symbol_name(o.symbol), patched.symbol_name(p.symbol));
    if before == after && o.addend == p.addend && o.kind == p.kind {
        return;
    }
    let arch = comparer.patched.layout.arch;
    let name = |kind| arch.reloc(kind).map_or("unknown type", |t| t.name);
    let (proof, evidence) = match (p_refs.string(p), o_refs.resolve(o), p_refs.resolve(p)) {
        (Ok(Some(string)), ..) => {
            (proofs::STRING, format!("{:?}", String::from_utf8_lossy(string)))
        }
        (_, Ok(a), Ok(b)) if comparer.twins.are_twins(a.symbol, b.symbol) => {
            let is_section = patched.symbol_kind(b.symbol) == abi::STT_SECTION;
            let what = if is_section { "section" } else { "" };
            let named = patched.symbol_name(b.symbol);
            (proofs::TWIN, format!("{what} {named}{:+}", b.addend).trim_start().to_owned())
        }
        _ => (proofs::CONTENT, format!("content of {after}{:+}", p.addend)),
    };
    let proof = match before == after && o.addend == p.addend {
        true => proofs::CALL_TYPE,
        false => proof,
    };
    forgive(comparer, || Forgiven {
        proof,
        section: p_refs.base(),
        offset: p.offset,
        width: arch.reloc(p.kind).map_or(0, |kind| u64::from(kind.width)),
        before: format!("{} {before}{:+}", name(o.kind), o.addend),
        after: format!("{} {after}{:+}", name(p.kind), p.addend),
        evidence: evidence.into(),
    });
}

/// Up to eight bytes of a section, as hex.
fn shown(data: &[u8], at: u64, width: u64) -> String {
    let end = at.saturating_add(width).min(data.len() as u64);
    hex_at(data.get(at as usize..end as usize).unwrap_or_default(), 0)
}
