//! How references and fields of rows differ that read the same.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "spans begin before they end, and lie within sections of less than 4 GiB"
)]

use super::apart::{contents_apart, other_twin};
use super::comparer::Comparer;
use super::counterpart::same_kind;
use super::meaning::describe;
use super::questions::OpenQuestions;
use super::row_pair::{RowPair, row_pair};
use super::rows::{equal_rows, number, other_row, row_difference};
use super::targets::same_reference;
use crate::diff::reason::{Reason, Sides};
use crate::diff::words::placed;
use crate::elf::ids::{Orig, Patched, SectionId};
use crate::elf::object::Reloc;
use crate::kernel::refs::Refs;

/// How two references differ that read the same; `None` when they mean the same.
pub fn references_apart(
    comparer: &Comparer<'_>,
    (o_section, o): (SectionId<Orig>, &Reloc<Orig>),
    (p_section, p): (SectionId<Patched>, &Reloc<Patched>),
) -> Option<String> {
    let o_refs = Refs::new(comparer.orig.layout, o_section);
    let p_refs = Refs::new(comparer.patched.layout, p_section);
    if !same_kind(comparer, o, p) {
        let name = |kind| comparer.patched.layout.arch.reloc(kind).map_or("unknown", |t| t.name);
        return Some(format!("{} -> {}", name(o.kind), name(p.kind)));
    }
    match same_reference(comparer, (&o_refs, o), (&p_refs, p), &mut OpenQuestions::new()) {
        Ok(true) => return None,
        Ok(false) => {}
        Err(error) => return Some(error.message().to_owned()),
    }
    let reason = other_row(comparer, (&o_refs, o), (&p_refs, p));
    let rows = reason.map(|kind| {
        let Sides { before, after } = kind.sides();
        format!("{}: {before} -> {after}", kind.name())
    });
    let content = || {
        let apart = contents_apart(comparer, (&o_refs, o), (&p_refs, p))?;
        Some(format!("{} -> {}", placed(&apart.before), placed(&apart.after)))
    };
    let twin = || other_twin(comparer, &p_refs, p).map(|twin| twin.to_string());
    Some(rows.or_else(content).or_else(twin).unwrap_or_else(|| "not the same one".to_owned()))
}

/// The fields in which two rows, by table and number, differ, with how the original and the
/// patched object have them; without noise and without the code that they describe. Empty
/// where they mean the same.
pub fn fields_apart(
    comparer: &Comparer<'_>,
    o: (u32, u32),
    p: (u32, u32),
) -> Vec<(&'static str, String, String)> {
    let both = row_pair(comparer, o, p);
    let code = both.p_table.table.code;
    if both.o_table.table.section != both.p_table.table.section
        || matches!(equal_rows(comparer, &both, Some(code), &mut OpenQuestions::new()), Ok(true))
    {
        return Vec::new();
    }
    let fields = both.p_table.fields().iter();
    let fields = fields.filter(|f| f.at != code && !both.is_noise(f.at));
    let mut found: Vec<_> = fields.filter_map(|f| field_apart(comparer, &both, f.at)).collect();
    if found.is_empty() {
        let sides = Reason::of_all(row_difference(comparer, &both, (0, 0))).sides();
        found.push(("row", sides.before, sides.after));
    }
    found
}

/// How the field at byte `at` differs; `None` when it does not.
fn field_apart(
    comparer: &Comparer<'_>,
    both: &RowPair<'_>,
    at: u64,
) -> Option<(&'static str, String, String)> {
    let field = both.p_table.field(at)?;
    let row = &both.spans;
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let place = |start: u64| (start + field.at, start + field.at + field.bytes);
    let (o_place, p_place) = (place(row.o_start), place(row.p_start));
    let o = orig.object.relocs(row.o).within(o_place.0, o_place.1).next();
    let p = patched.object.relocs(row.p).within(p_place.0, p_place.1).next();
    let big = matches!(orig.object.endian(), object::Endianness::Big);
    let number = |data, at| format!("{:#x}", number(data, at, field.bytes, big));
    let before = match &o {
        Some(o) => describe(orig, &Refs::new(orig, row.o), o),
        None => number(orig.object.contents(row.o), o_place.0),
    };
    let after = match &p {
        Some(p) => describe(patched, &Refs::new(patched, row.p), p),
        None => number(patched.object.contents(row.p), p_place.0),
    };
    let apart = match (&o, &p) {
        (Some(o), Some(p)) => references_apart(comparer, (row.o, o), (row.p, p))?,
        _ if before == after => return None,
        _ => String::new(),
    };
    let after = if before == after { format!("{after} ({apart})") } else { after };
    Some((field.name, before, after))
}
