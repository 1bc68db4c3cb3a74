//! Recognises functions in which only line numbers moved.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::assembler_resolved::{
    distance_evidence, is_shifted, leads_elsewhere, only_distance_differs,
};
use super::comparer::Comparer;
use super::forgive::{forgive, forgive_bytes};
use super::forgiven::{Field, Forgiven, proofs};
use super::pair::{Indexed, Pair};
use super::questions::OpenQuestions;
use super::spans::Spans;
use crate::arch::Arch;
use crate::diag::Result;
use crate::elf::ids::{SectionId, Side};
use crate::kernel::follow::{LineArgument, line_arguments};

/// A number in the code that was proved to be a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvedLine {
    /// First byte that holds it, from the start of the stretch of code.
    pub offset: u64,
    /// Bytes that hold it.
    pub width: u64,
    /// The original line.
    pub before: i64,
    /// The patched line.
    pub after: i64,
    /// What it reaches, as `argument 2 (line) of __might_sleep`.
    pub evidence: String,
}

/// Whether all differences between two stretches of code of equal length, whose
/// relocations mean the same, are line numbers, or distances to the same things.
pub(super) fn only_lines_differ(
    comparer: &Comparer<'_>,
    spans: &Spans,
    a: &[u8],
    b: &[u8],
    open: &mut OpenQuestions,
) -> Result<bool> {
    let Some(lines) = proved_lines(comparer, spans, a, b, open)? else { return Ok(false) };
    for line in lines {
        forgive(comparer, || Forgiven {
            proof: proofs::LINE,
            section: spans.p,
            offset: spans.p_start + line.offset,
            width: line.width,
            before: line.before.to_string(),
            after: line.after.to_string(),
            evidence: line.evidence.into(),
        });
    }
    Ok(true)
}

/// The line numbers in which two stretches of code of equal length, whose relocations mean
/// the same, differ; `None` when something else differs but for distances to the same things,
/// or a number is not proved to be a line.
fn proved_lines(
    comparer: &Comparer<'_>,
    spans: &Spans,
    a: &[u8],
    b: &[u8],
    open: &mut OpenQuestions,
) -> Result<Option<Vec<ProvedLine>>> {
    let arch = comparer.patched.layout.arch;
    let shifted = is_shifted(comparer, spans);
    // Behind it there may be padding whose end was cut off.
    let differing = a.iter().zip(b).rposition(|(x, y)| x != y).map_or(0, |last| last + 1);
    let mut at = 0;
    let mut loads = Vec::new();
    while at < differing {
        let (x, y) = (a.get(at..).unwrap_or(&[]), b.get(at..).unwrap_or(&[]));
        let (Some(length), Some(other)) = ((arch.instruction_len)(x), (arch.instruction_len)(y))
        else {
            return Ok(None);
        };
        if length == 0 || length != other || length > x.len().min(y.len()) {
            return Ok(None);
        }
        let near = || shifted && only_distance_differs(comparer, spans, at as u64);
        if x.get(..length) == y.get(..length) {
            // Nothing to prove.
        } else if near() {
            let instruction = Field {
                o: (spans.o, spans.o_start + at as u64),
                p: (spans.p, spans.p_start + at as u64),
                width: length as u64,
            };
            forgive_bytes(comparer, proofs::DISTANCE, instruction, || {
                distance_evidence(comparer, spans, at as u64).into()
            });
        } else {
            loads.push(at as u64);
        }
        at += length;
    }
    let lines = match loads.is_empty() {
        true => Some(Vec::new()),
        false => lines_of(comparer, spans, a, b, &loads)?,
    };
    Ok(lines.filter(|_| leads_elsewhere(comparer, spans, open).is_none()))
}

/// The line numbers that the differing instructions at `loads` load, when both sides load
/// them in the same way for the same argument.
fn lines_of(
    pair: &Pair<'_>,
    spans: &Spans,
    a: &[u8],
    b: &[u8],
    loads: &[u64],
) -> Result<Option<Vec<ProvedLine>>> {
    let (orig, patched, arch) = (pair.orig, pair.patched, pair.patched.layout.arch);
    let Some(before) = side(orig, spans.o, (spans.o_start, spans.o_end), loads)? else {
        return Ok(None);
    };
    let Some(after) = side(patched, spans.p, (spans.p_start, spans.p_end), loads)? else {
        return Ok(None);
    };
    let mut lines = Vec::new();
    for ((o, p), &at) in before.iter().zip(&after).zip(loads) {
        let alike = o.call - spans.o_start == p.call - spans.p_start
            && (o.callee, o.argument, o.format) == (p.callee, p.argument, p.format)
            && without(arch, a, at, o) == without(arch, b, at, p);
        if !alike {
            return Ok(None);
        }
        lines.push(ProvedLine {
            offset: at + p.immediate.at,
            width: p.immediate.width,
            before: o.immediate.value,
            after: p.immediate.value,
            evidence: evidence(p),
        });
    }
    Ok((lines.len() == loads.len()).then_some(lines))
}

/// What the constants are that one side loads, by the distances of the loads from its start.
fn side<'a, S: Side>(
    object: &'a Indexed<'a, S>,
    section: SectionId<S>,
    span: (u64, u64),
    loads: &[u64],
) -> Result<Option<Vec<LineArgument<'a>>>> {
    let loads = loads.iter().map(|at| span.0 + at).collect();
    line_arguments(object.layout, &object.entered, section, span, loads)
}

/// The instruction that loads a line, without the line.
fn without(arch: &Arch, code: &[u8], at: u64, line: &LineArgument<'_>) -> Option<Vec<u8>> {
    let rest = code.get(at as usize..)?;
    let mut instruction = rest.get(..(arch.instruction_len)(rest)?)?.to_vec();
    line.immediate.clear(&mut instruction);
    Some(instruction)
}

/// What a line reaches, for people.
fn evidence(line: &LineArgument<'_>) -> String {
    let (argument, callee) = (line.argument + 1, line.callee);
    match line.format {
        None => format!("argument {argument} (line) of {callee}"),
        Some(format) => {
            let format = String::from_utf8_lossy(format);
            format!("argument {argument} (line) of {callee}, by its format {format:?}")
        }
    }
}
