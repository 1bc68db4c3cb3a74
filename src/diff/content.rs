//! Compares what has no name: constants, tables and instructions that only references find.

use super::compare::{Comparer, MAX_DEPTH, Open, Sink, Spans};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side};
use crate::error::Result;
use crate::kernel::layout::Layout;
use crate::kernel::names;
use crate::kernel::pieces::MAX_PARTS;

impl Comparer<'_, '_, '_, '_> {
    /// Whether the nameless data at two places is equal. A piece goes on to the next place
    /// that is referred to, and beyond where a function refers to both: it may read one thing
    /// in parts. What precedes the first place in a section belongs to its only reader.
    pub(super) fn same_piece(
        &self,
        (o, o_at): (SectionId<Orig>, i64),
        (p, p_at): (SectionId<Patched>, i64),
        open: &mut Open,
    ) -> Result<bool> {
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        let (o_size, p_size) = (orig.section_size(o), patched.section_size(p));
        let (wanted_o, wanted_p) = match (u64::try_from(o_at), u64::try_from(p_at)) {
            (Ok(o_at), Ok(p_at)) => (o_at, p_at),
            // An index from 1 on: what is meant begins behind the place.
            _ if o_at == p_at => (0, 0),
            _ => return Ok(false),
        };
        let leads = (self.orig.pieces.leads(o, wanted_o), self.patched.pieces.leads(p, wanted_p));
        let (mut o_at, mut p_at) = match leads {
            (true, true) if wanted_o == wanted_p => (0, 0),
            _ => (wanted_o, wanted_p),
        };
        let place = (o, o_at, p, p_at);
        if open.contains(&place) {
            return Ok(true);
        }
        if open.len() >= MAX_DEPTH {
            return Ok(false);
        }
        if o_at > o_size || p_at > p_size {
            return Ok(o_at == p_at && o_size == p_size);
        }
        let kinds = (orig.section_kind(o), patched.section_kind(p));
        open.push(place);
        let mut same = true;
        for _ in 0..MAX_PARTS {
            let (o_end, o_more) = self.orig.pieces.end(self.orig.layout, o, o_at);
            let (p_end, p_more) = self.patched.pieces.end(self.patched.layout, p, p_at);
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
            same = is_filler(orig.contents(o), spans.o_end, o_end)
                && is_filler(patched.contents(p), spans.p_end, p_end)
                && self.same_content(&spans, open)?;
            (o_at, p_at) = (o_end, p_end);
            let more = o_more || p_more || o_at <= wanted_o;
            if !same || !equal || !more || o_at >= o_size || p_at >= p_size {
                break;
            }
        }
        open.pop();
        Ok(same)
    }

    /// Whether two pieces of equal length are equal, but for lines that a sanitizer prints.
    fn same_content(&self, spans: &Spans, open: &mut Open) -> Result<bool> {
        let lines = locations(self.patched.layout, spans.p, spans.p_start);
        if lines.is_empty() {
            return self.same_span(spans, open);
        }
        let a = self.orig.layout.object.contents(spans.o);
        let b = self.patched.layout.object.contents(spans.p);
        let a = a.get(spans.o_start as usize..spans.o_end as usize).unwrap_or(&[]);
        let b = b.get(spans.p_start as usize..spans.p_end as usize).unwrap_or(&[]);
        let differ = |(at, (x, y)): (usize, (&u8, &u8))| {
            x != y && !lines.iter().any(|&start| start <= at && at < start + LOCATION_NUMBERS)
        };
        Ok(a.len() == b.len()
            && !a.iter().zip(b).enumerate().any(differ)
            && self.relocs(spans, &mut Sink(None), open)?)
    }

    /// Whether the bytes, references and rows of two spans of equal length are equal.
    pub(super) fn same_span(&self, spans: &Spans, open: &mut Open) -> Result<bool> {
        let a = self.orig.layout.object.contents(spans.o);
        let b = self.patched.layout.object.contents(spans.p);
        let a = a.get(spans.o_start as usize..spans.o_end as usize);
        let b = b.get(spans.p_start as usize..spans.p_end as usize);
        let (Some(a), Some(b)) = (a, b) else { return Ok(false) };
        Ok(a == b
            && self.relocs(spans, &mut Sink(None), open)?
            && (a.is_empty() || self.rows(spans, &mut Sink(None))?))
    }
}

fn is_filler(data: &[u8], from: u64, to: u64) -> bool {
    let rest = data.get(from as usize..to as usize);
    rest.is_some_and(|rest| rest.iter().all(|&b| b == 0 || b == 0x90))
}

/// Where line and column start in a location (lib/ubsan.h, `struct source_location`), behind
/// the pointer to the name of the file, and how many bytes they have.
const LOCATION_LINE: u64 = 8;
const LOCATION_NUMBERS: usize = 8;

/// Offsets of the lines and columns in what UBSAN gets to print about a failed check: a
/// location, then what is described, which may begin with a second location. Names of files
/// and types count. Empty for anything else.
fn locations<S: Side>(layout: &Layout<'_, '_, S>, section: SectionId<S>, at: u64) -> Vec<usize> {
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
