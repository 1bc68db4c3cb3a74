//! Compares what two entities mean: what is left of their bytes, their relocations, and the rows of
//! the kernel's tables that describe them.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::apart::bytes_apart;
use super::assembler_resolved::leads_elsewhere;
use super::build_version::only_build_versions_differ;
use super::comparer::Comparer;
use super::entry::bodies;
use super::forgive::forgive_bytes;
use super::forgiven::{Field, proofs};
use super::lines::only_lines_differ;
use super::padding::trim;
use super::questions::OpenQuestions;
use super::relocs::same_relocs;
use super::rows::same_rows;
use super::same_but_for_padding::same_but_for_padding;
use super::spans::{Sink, Spans, code_differs};
use crate::diag::Result;
use crate::diff::reason::{Reason, ReasonKind, Sides};
use crate::diff::verdict::Verdict;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched};
use crate::kernel::layout::Entity;

/// Everything that differs between two entities; `sink` learns the reasons.
pub(super) fn compare_entities(
    comparer: &Comparer<'_>,
    o: &Entity<Orig>,
    p: &Entity<Patched>,
    sink: &mut Sink<'_>,
    open: &mut OpenQuestions,
) -> Result<Verdict> {
    let mut spans = Spans::of(o, p);
    let mut verdict = Verdict::SAME;
    let bodies = bodies(comparer, o, p);
    if let Some(bodies) = bodies {
        spans = bodies.spans;
        let field = Field {
            o: (o.section, o.start),
            p: (p.section, p.start),
            width: (spans.o_start - o.start).max(spans.p_start - p.start),
        };
        forgive_bytes(comparer, proofs::ENTRY, field, || "how the function begins".into());
        if let Some(types) = bodies.types {
            verdict |= Verdict::BYTES;
            sink.note(|| types);
        }
    }
    trim(comparer, &mut spans);
    if verdict.is_same()
        && code_differs(comparer, &spans)
        && same_but_for_padding(comparer, o, p, open)?
    {
        return Ok(verdict);
    }
    // The bytes tell more than the relocations, but to judge them these must be known.
    let mut about_relocs = sink.0.is_some().then(Vec::new);
    if !same_relocs(comparer, &spans, &mut Sink(about_relocs.as_mut()), open)? {
        verdict |= Verdict::RELOCS;
    }
    if !same_bytes(comparer, &spans, verdict.is_same(), sink, open)? {
        verdict |= Verdict::BYTES;
    }
    if let (Some(reasons), Some(more)) = (&mut sink.0, about_relocs) {
        reasons.extend(more);
    }
    if !same_rows(comparer, &spans, sink, open)? {
        verdict |= Verdict::ROWS;
    }
    Ok(verdict)
}

fn same_bytes(
    comparer: &Comparer<'_>,
    spans: &Spans,
    relocs_same: bool,
    sink: &mut Sink<'_>,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (o, p) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let is_text = p.is_text(spans.p);
    let (o_size, p_size) = (spans.o_end - spans.o_start, spans.p_end - spans.p_start);
    let o_empty = o.section_kind(spans.o) == abi::SHT_NOBITS;
    let p_empty = p.section_kind(spans.p) == abi::SHT_NOBITS;
    let equal_kind = o_empty == p_empty;
    if o_empty && p_empty && o_size == p_size {
        return Ok(true);
    }
    let (o_data, p_data) = (o.contents(spans.o), p.contents(spans.p));
    let a = o_data.get(spans.o_start as usize..spans.o_end as usize).unwrap_or(&[]);
    let b = p_data.get(spans.p_start as usize..spans.p_end as usize).unwrap_or(&[]);
    if o_size == p_size && equal_kind && a == b {
        let elsewhere = is_text.then(|| leads_elsewhere(comparer, spans, open)).flatten();
        let same = elsewhere.is_none();
        if let Some(reason) = elsewhere {
            sink.note(|| reason);
        }
        return Ok(same);
    }
    if is_text
        && o_size == p_size
        && relocs_same
        && equal_kind
        && only_lines_differ(comparer, spans, a, b, open)?
    {
        return Ok(true);
    }
    if !is_text && equal_kind && only_build_versions_differ(comparer, spans, a, b) {
        let field = Field {
            o: (spans.o, spans.o_start),
            p: (spans.p, spans.p_start),
            width: o_size.max(p_size),
        };
        forgive_bytes(comparer, proofs::BUILD_VERSION, field, || "names of one release".into());
        return Ok(true);
    }
    let first = a.iter().zip(b).position(|(x, y)| x != y);
    if let Some(first) = first {
        sink.note(|| bytes_apart(comparer, spans, is_text, a, b, first));
    }
    if o_size != p_size {
        sink.note(|| Reason {
            kind: ReasonKind::Size(Sides::new(o_size, p_size)),
            offset: first.map(|f| f as i64),
        });
    }
    Ok(false)
}
