//! Compares what has no name: constants, tables and instructions that only references find.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::comparer::Comparer;
use super::forgive::forgive_bytes;
use super::forgiven::{Field, proofs};
use super::pair::{Indexed, Pair};
use super::questions::OpenQuestions;
use super::relocs::same_relocs;
use super::rows::same_rows;
use super::spans::{Sink, Spans};
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::kernel::anonymous_data::MAX_PARTS;
use crate::kernel::knowledge::names;
use crate::kernel::layout::{Entity, Layout};
use crate::kernel::padding::is_padding;
use crate::kernel::panics;

/// Whether the nameless data at two places is equal. A piece goes on to the next place
/// that is referred to, and beyond where a function refers to both: it may read one thing
/// in parts. What precedes the first place in a section belongs to its only reader.
pub(super) fn same_anonymous(
    comparer: &Comparer<'_>,
    (o, o_at): (SectionId<Orig>, i64),
    (p, p_at): (SectionId<Patched>, i64),
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (orig, patched) = (comparer.orig.layout.object, comparer.patched.layout.object);
    let (o_size, p_size) = (orig.section_size(o), patched.section_size(p));
    let (wanted_o, wanted_p) = match (u64::try_from(o_at), u64::try_from(p_at)) {
        (Ok(o_at), Ok(p_at)) => (o_at, p_at),
        // An index from 1 on: what is meant begins behind the place.
        _ if o_at == p_at => (0, 0),
        _ => return Ok(false),
    };
    let leads =
        (comparer.orig.anonymous.leads(o, wanted_o), comparer.patched.anonymous.leads(p, wanted_p));
    let (mut o_at, mut p_at) = match leads {
        (true, true) if wanted_o == wanted_p => (0, 0),
        _ => (wanted_o, wanted_p),
    };
    if o_at > o_size || p_at > p_size {
        return Ok(o_at == p_at && o_size == p_size);
    }
    let kinds = (orig.section_kind(o), patched.section_kind(p));
    let mut same = true;
    for _ in 0..MAX_PARTS {
        let (o_end, o_more) = comparer.orig.anonymous.end(comparer.orig.layout, o, o_at);
        let (p_end, p_more) = comparer.patched.anonymous.end(comparer.patched.layout, p, p_at);
        if kinds.0 == abi::SHT_NOBITS || kinds.1 == abi::SHT_NOBITS {
            same = kinds.0 == kinds.1 && o_end - o_at == p_end - p_at;
            break;
        }
        let equal = o_end - o_at == p_end - p_at;
        let length = (o_end - o_at).min(p_end - p_at);
        let spans = Spans {
            o,
            o_start: o_at,
            o_end: o_at + length,
            p,
            p_start: p_at,
            p_end: p_at + length,
        };
        same = is_padding(comparer.orig.layout, o, spans.o_end, o_end)
            && is_padding(comparer.patched.layout, p, spans.p_end, p_end)
            && same_content(comparer, &spans, open)?;
        if !equal {
            let field = Field {
                o: (o, spans.o_end),
                p: (p, spans.p_end),
                width: (o_end - spans.o_end).max(p_end - spans.p_end),
            };
            forgive_bytes(comparer, proofs::PADDING, field, || {
                "before the next place that anything refers to".into()
            });
        }
        (o_at, p_at) = (o_end, p_end);
        let more = o_more || p_more || o_at <= wanted_o;
        if !same || !equal || !more || o_at >= o_size || p_at >= p_size {
            break;
        }
    }
    Ok(same)
}

/// Whether two places in linked objects are at the same distance behind labels that are
/// twins, and all from there to the next thing with a name is equal. That one is compared by
/// itself; what the linker laid behind it may be of another file.
pub(super) fn same_labelled(
    comparer: &Comparer<'_>,
    (o, o_at): (SectionId<Orig>, i64),
    (p, p_at): (SectionId<Patched>, i64),
    open: &mut OpenQuestions,
) -> Result<bool> {
    let (Ok(o_start), Ok(p_start)) = (u64::try_from(o_at), u64::try_from(p_at)) else {
        return Ok(false);
    };
    if !comparer.orig.layout.is_linked() || !comparer.patched.layout.is_linked() {
        return Ok(false);
    }
    let (Some((a, o_label)), Some((b, p_label))) =
        (labelled(comparer.orig.layout, o, o_start), labelled(comparer.patched.layout, p, p_start))
    else {
        return Ok(false);
    };
    let (o_end, p_end) =
        (reach(comparer.orig, &a, o_label, o_start), reach(comparer.patched, &b, p_label, p_start));
    if !comparer.twins.are_twins(o_label, p_label)
        || o_start - a.start != p_start - b.start
        || o_end - a.start != p_end - b.start
    {
        return Ok(false);
    }
    let spans = Spans { o, o_start, o_end, p, p_start, p_end };
    same_span(comparer, &spans, open)
}

/// Whether two string literals that the linker laid together with those of other files are
/// equal. With a zero in it, a literal is no mergeable string, and nothing says where it
/// ends: not behind the next place that is referred to. All to there must be equal, as far
/// as both have it, and the section must hold the same strings, in any order.
pub(super) fn same_literal(
    pair: &Pair<'_>,
    (o, o_at): (SectionId<Orig>, i64),
    (p, p_at): (SectionId<Patched>, i64),
) -> bool {
    let (Ok(o_start), Ok(p_start)) = (u64::try_from(o_at), u64::try_from(p_at)) else {
        return false;
    };
    let (Some(before), Some(after)) =
        (literals(pair.orig.layout, o), literals(pair.patched.layout, p))
    else {
        return false;
    };
    let o_end = pair.orig.anonymous.extent(pair.orig.layout, o, o_start).1;
    let p_end = pair.patched.anonymous.extent(pair.patched.layout, p, p_start).1;
    let a = before.get(o_start as usize..o_end as usize).unwrap_or(&[]);
    let b = after.get(p_start as usize..p_end as usize).unwrap_or(&[]);
    let length = a.len().min(b.len());
    length > 0 && a.get(..length) == b.get(..length) && strings(before) == strings(after)
}

/// Whether two pieces of equal length are equal, but for lines that a sanitizer prints.
fn same_content(comparer: &Comparer<'_>, spans: &Spans, open: &mut OpenQuestions) -> Result<bool> {
    if only_panics_from_elsewhere(comparer, spans)? {
        return same_relocs(comparer, spans, &mut Sink(None), open);
    }
    let lines = locations(comparer.patched.layout, spans.p, spans.p_start);
    if lines.is_empty() {
        return same_span(comparer, spans, open);
    }
    let a = comparer.orig.layout.object.contents(spans.o);
    let b = comparer.patched.layout.object.contents(spans.p);
    let a = a.get(spans.o_start as usize..spans.o_end as usize).unwrap_or(&[]);
    let b = b.get(spans.p_start as usize..spans.p_end as usize).unwrap_or(&[]);
    let differ = |(at, (x, y)): (usize, (&u8, &u8))| {
        x != y && !lines.iter().any(|&start| start <= at && at < start + LOCATION_NUMBERS)
    };
    for &start in &lines {
        let at = start..start + LOCATION_NUMBERS;
        if a.get(at.clone()) != b.get(at) {
            let field = Field {
                o: (spans.o, spans.o_start + start as u64),
                p: (spans.p, spans.p_start + start as u64),
                width: LOCATION_NUMBERS as u64,
            };
            forgive_bytes(comparer, proofs::LOCATION, field, || {
                "behind a pointer to the name of a file".into()
            });
        }
    }
    Ok(a.len() == b.len()
        && !a.iter().zip(b).enumerate().any(differ)
        && same_relocs(comparer, spans, &mut Sink(None), open)?)
}

/// Whether two constants differ in nothing but the line and column that a panic of Rust code
/// prints, and the text's place.
fn only_panics_from_elsewhere(comparer: &Comparer<'_>, spans: &Spans) -> Result<bool> {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let (a, b) = (orig.object.contents(spans.o), patched.object.contents(spans.p));
    let a = a.get(spans.o_start as usize..spans.o_end as usize).unwrap_or(&[]);
    let b = b.get(spans.p_start as usize..spans.p_end as usize).unwrap_or(&[]);
    let line = panics::LINE as usize;
    let lengths = [a.len() as u64, b.len() as u64];
    if !comparer.policy.proves_noise
        || a == b
        || lengths != [panics::SIZE; 2]
        || a.get(..line) != b.get(..line)
        || !comparer.orig.panics.has(spans.o, spans.o_start)?
        || !comparer.patched.panics.has(spans.p, spans.p_start)?
    {
        return Ok(false);
    }
    let field = Field {
        o: (spans.o, spans.o_start + panics::LINE),
        p: (spans.p, spans.p_start + panics::LINE),
        width: panics::SIZE - panics::LINE,
    };
    forgive_bytes(comparer, proofs::PANIC, field, || {
        "all that refers to it is the last argument of a call that panics".into()
    });
    Ok(true)
}

/// Whether the bytes, references and rows of two spans of equal length are equal.
pub(in crate::diff) fn same_span(
    comparer: &Comparer<'_>,
    spans: &Spans,
    open: &mut OpenQuestions,
) -> Result<bool> {
    let a = comparer.orig.layout.object.contents(spans.o);
    let b = comparer.patched.layout.object.contents(spans.p);
    let a = a.get(spans.o_start as usize..spans.o_end as usize);
    let b = b.get(spans.p_start as usize..spans.p_end as usize);
    let (Some(a), Some(b)) = (a, b) else { return Ok(false) };
    Ok(a == b
        && same_relocs(comparer, spans, &mut Sink(None), open)?
        && (a.is_empty() || same_rows(comparer, spans, &mut Sink(None), open)?))
}

/// In larger sections of string literals, ends are not looked for.
const MAX_LITERALS: usize = 1 << 12;

/// The bytes of a section of string literals that several files share.
fn literals<'a, S: Side>(layout: &Layout<'a, S>, section: SectionId<S>) -> Option<&'a [u8]> {
    let object = layout.object;
    let data = object.contents(section);
    let shared = layout.is_linked()
        && data.len() <= MAX_LITERALS
        && names::is_string_literal_section(object.section_name(section))
        && object.section_flags(section) & abi::SHF_WRITE == 0
        && object.relocs(section).is_empty();
    shared.then_some(data)
}

/// All strings of a section, sorted.
fn strings(data: &[u8]) -> Vec<&[u8]> {
    let mut all: Vec<&[u8]> = data.split(|&b| b == 0).filter(|s| !s.is_empty()).collect();
    all.sort_unstable();
    all
}

/// The thing that holds byte `at`, and its name, where that is a label without a size.
fn labelled<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    at: u64,
) -> Option<(Entity<S>, SymbolId<S>)> {
    let entity = layout.entity(section, layout.entity_at(section, at)?);
    let label = layout.unsized_at(section, entity.start)?;
    (entity.start..entity.end).contains(&at).then_some((entity, label))
}

/// Where what a label names may end, from byte `at` of it on: at the next label that something
/// refers to, or at what is another file's or has a size. That a label follows which nothing
/// refers to says nothing.
fn reach<S: Side>(side: &Indexed<'_, S>, entity: &Entity<S>, label: SymbolId<S>, at: u64) -> u64 {
    let layout = side.layout;
    let (next, _) = side.anonymous.end(layout, entity.section, at);
    let mut end = entity.end;
    while end < next {
        let follows = layout
            .entity_at(entity.section, end)
            .map(|index| layout.entity(entity.section, index))
            .filter(|follows| follows.start == end && follows.end > end);
        let Some(follows) = follows else { break };
        let own = layout.unsized_at(entity.section, end).is_some_and(|id| {
            layout.is_local(id)
                && layout.is_local(label)
                && layout.file_of(id) == layout.file_of(label)
        });
        if !own {
            break;
        }
        end = follows.end;
    }
    end
}

/// Where line and column start in a location (lib/ubsan.h, `struct source_location`), behind
/// the pointer to the name of the file, and how many bytes they have.
const LOCATION_LINE: u64 = 8;

const LOCATION_NUMBERS: usize = 8;

/// Offsets of the lines and columns in what UBSAN gets to print about a failed check: a
/// location, then what is described, which may begin with a second location. Names of files
/// and types count. Empty for anything else.
fn locations<S: Side>(layout: &Layout<'_, S>, section: SectionId<S>, at: u64) -> Vec<usize> {
    let object = layout.object;
    let name = object.section_name(section);
    let writable = object.section_flags(section) & abi::SHF_WRITE != 0;
    if !writable || !(names::is_ubsan(name) || names::is_clang_unnamed(name)) {
        return Vec::new();
    }
    let names_file = |start: u64| {
        let mut here = object.relocs(section).within(start, start + 1);
        here.any(|r| {
            let target = object.section_of(r.symbol);
            target.is_some_and(|t| object.section_flags(t) & abi::SHF_STRINGS != 0)
        })
    };
    let starts = [0, 16].into_iter().take_while(|&start| names_file(at + start));
    starts.map(|start| (start + LOCATION_LINE) as usize).collect()
}
