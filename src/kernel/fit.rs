//! Which layout the rows of a table have, proved on all of its rows.
//!
//! A layout fits when every row has a reference of the right width at each field that is one,
//! and nothing but such; when the code field leads to code, and bytes in no field are zero; when
//! the section holds a whole number of rows, its entry size says nothing else, and what marks
//! rows for objtool (`.discard.annotate_data`, Linux include/linux/annotate.h) marks their
//! starts. It must do so in both objects. Where several layouts of one size fit, the rows are
//! the same, and only what all of them call noise is noise.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "sizes of layouts are constants above zero, rows and fields lie within the section"
)]

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::knowledge::forms::{Field, Form, Holds};
use super::knowledge::sections;
use super::knowledge::tables::{ANNOTATED_ROWS, Filter, RowSize, StructSizes, TABLES, Table};
use super::layout::{Class, Layout};
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side};
use crate::elf::object::{Reloc, read_u32};

/// How the rows of a table are read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The layouts that fit, all of one size; none where the rows cannot be read.
    pub forms: Vec<&'static Form>,
    /// What is wrong with the size that was given: kpatch's scripts give sizes for tables that
    /// do not matter, so that it only counts when rows are carried.
    pub wrong: Option<String>,
    /// So many rows go together, where a multiple of the size was given: the C tool keeps them
    /// together, and each of them is a row.
    pub group: u32,
}

/// How the rows of each table are read, by position in [`TABLES`].
#[derive(Debug, Default)]
pub struct Forms(IndexMap<usize, Reading, RandomState>);

impl Forms {
    /// How the rows of a table are read.
    pub fn of(&self, table: usize) -> Reading {
        self.0.get(&table).cloned().unwrap_or_default()
    }
}

/// What speaks against each layout of a table, in their order; `None` where nothing does.
type Objections = Vec<Option<String>>;

/// The tables of an object, by position in [`TABLES`].
type Tried = IndexMap<usize, Objections, RandomState>;

/// The mark of `.discard.annotate_data` for a row (include/linux/objtool_types.h).
const SPECIAL: u32 = 1;

/// Finds the layout of each table that two objects hold. Fails once for all tables whose layout
/// cannot be told, or whose size is given and is another one.
pub fn settle(
    orig: &Layout<'_, Orig>,
    patched: &Layout<'_, Patched>,
    sizes: &StructSizes,
) -> Result<Forms> {
    let (before, after) = rayon::join(|| all(orig), || all(patched));
    let mut tables: Vec<usize> = before.keys().chain(after.keys()).copied().collect();
    tables.sort_unstable();
    tables.dedup();
    let mut forms = Forms::default();
    let mut problems = Vec::new();
    for index in tables {
        let Some(table) = TABLES.get(index) else { continue };
        let sides = Sides([
            (orig.object.file(), before.get(&index)),
            (patched.object.file(), after.get(&index)),
        ]);
        match choose(table, &sides, sizes, orig.arch.name)? {
            Ok(found) => drop(forms.0.insert(index, found)),
            Err(_) if table.optional => {}
            Err(problem) => problems.push(problem),
        }
    }
    if sizes.from_object {
        problems.extend(unwind(orig, sizes)?.or(unwind(patched, sizes)?));
    }
    if problems.is_empty() {
        Ok(forms)
    } else {
        Err(describe(problems, sizes, patched.object.file()))
    }
}

/// What speaks against the layouts of a table in each of the objects that have it, which have these names.
struct Sides<'a>([(&'a str, Option<&'a Objections>); 2]);

impl Sides<'_> {
    /// What speaks against each layout in any of the objects.
    fn both(&self, layouts: usize) -> Objections {
        let against = |layout: usize| {
            self.0.iter().find_map(|(_, against)| against.and_then(|all| all.get(layout)?.clone()))
        };
        (0..layouts).map(against).collect()
    }

    /// The sizes that fit one object each, where the objects contradict each other.
    fn differ(&self, forms: &[Form], machine: &str) -> Option<String> {
        let [one, other] = self.0.map(|(file, against)| {
            let fits = forms.iter().zip(against?).filter(|(f, a)| f.is_of(machine) && a.is_none());
            let fits: Vec<u64> = fits.map(|(form, _)| form.size).collect();
            (!fits.is_empty()).then(|| format!("{} in {file}", listed(fits).1))
        });
        Some(format!("the rows have {} bytes, and {}", one?, other?))
    }
}

/// Sizes in order, and as text.
fn listed(mut sizes: Vec<u64>) -> (Vec<u64>, String) {
    sizes.sort_unstable();
    sizes.dedup();
    let text = sizes.iter().map(u64::to_string).collect::<Vec<_>>().join(" or ");
    (sizes, text)
}

/// What is wrong with the size that was given for rows of unwind data, of which there is one for each place.
fn unwind<S: Side>(layout: &Layout<'_, S>, sizes: &StructSizes) -> Result<Option<Problem>> {
    let Some(given) = sizes.given(ORC_SIZE)? else { return Ok(None) };
    let size_of = |name| layout.section_named(name).map(|s| layout.object.section_size(s));
    let (Some(rows), Some(places)) = (size_of(sections::ORC), size_of(sections::ORC_PLACES)) else {
        return Ok(None);
    };
    let count = places / 4;
    if count == 0 || !rows.is_multiple_of(count) || rows == given.saturating_mul(count) {
        return Ok(None);
    }
    let (section, size) = (sections::ORC, rows / count);
    let what =
        Wrong::Given(format!("{ORC_SIZE} is wrong: the rows of {section} have {size} bytes"));
    let text = format!("{section}: the rows have {size} bytes, not {given}");
    Ok(Some(Problem { section, name: ORC_SIZE, what, text }))
}

/// By which the size of rows of unwind data is given.
const ORC_SIZE: &str = "ORC_STRUCT_SIZE";

/// What is wrong with a table.
struct Problem {
    section: &'static str,
    /// By which the size of its rows is given; empty where it is not.
    name: &'static str,
    what: Wrong,
    text: String,
}

/// How.
enum Wrong {
    /// The size that was given is another one.
    Given(String),
    /// No layout fits one of the objects.
    None,
    /// Each object has a layout, and they are not the same.
    Differ,
    /// Several layouts fit.
    Several,
}

/// The layouts of a table that count.
fn choose(
    table: &'static Table,
    sides: &Sides<'_>,
    sizes: &StructSizes,
    machine: &str,
) -> Result<std::result::Result<Reading, Problem>> {
    let RowSize::Forms(name, forms) = table.row else { return Ok(Ok(Reading::default())) };
    let against = sides.both(forms.len());
    let known = || forms.iter().zip(&against).filter(|(form, _)| form.is_of(machine));
    let mut fits: Vec<&'static Form> =
        known().filter(|(_, against)| against.is_none()).map(|(form, _)| form).collect();
    let text = |what: String| {
        let against = known().filter_map(|(form, against)| {
            let against = against.as_ref()?;
            Some(format!("not {} bytes ({}): {against}", form.size, form.kernels))
        });
        let all: Vec<String> = std::iter::once(what).chain(against).collect();
        format!("{}: {}", table.section, all.join("; "))
    };
    let section = table.section;
    let problem = |what, said| Ok(Err(Problem { section, name, what, text: text(said) }));
    if fits.is_empty() {
        return match sides.differ(forms, machine) {
            Some(said) => problem(Wrong::Differ, said),
            None => problem(Wrong::None, "the rows have no layout that is known".to_owned()),
        };
    }
    let (all_sizes, listed) = listed(fits.iter().map(|form| form.size).collect());
    let describe = |e: Error| e.with_details(vec![text(format!("the rows have {listed} bytes"))]);
    let given = if name.is_empty() { None } else { sizes.given(name).map_err(describe)? };
    let (mut wrong, mut group) = (None, 1);
    if let Some(given) = given {
        if !all_sizes.contains(&given) {
            let text =
                format!("{name} is wrong: the rows of {} have {listed} bytes", table.section);
            if sizes.from_object || all_sizes.len() > 1 {
                let said = format!("the rows have {listed} bytes, not {given}");
                return problem(Wrong::Given(text), said);
            }
            let size = all_sizes.first().copied().unwrap_or(given);
            match table.filter == Filter::None && given.is_multiple_of(size) {
                true => group = u32::try_from(given / size).unwrap_or(1),
                false => wrong = Some(text),
            }
        } else {
            fits.retain(|form| form.size == given);
        }
    } else if all_sizes.len() > 1 {
        match sizes.of_image(name).filter(|size| all_sizes.contains(size)) {
            Some(size) => fits.retain(|form| form.size == size),
            None => return problem(Wrong::Several, format!("rows of {listed} bytes fit")),
        }
    }
    let agree = fits.windows(2).all(|pair| match pair {
        [a, b] => a.replacement == b.replacement,
        _ => true,
    });
    if !agree {
        let said = "several layouts fit and mean different things".to_owned();
        return problem(Wrong::Several, said);
    }
    Ok(Ok(Reading { forms: fits, wrong, group }))
}

/// One error for all tables.
fn describe(problems: Vec<Problem>, sizes: &StructSizes, file: &str) -> Error {
    let details: Vec<String> = problems.iter().map(|p| p.text.clone()).collect();
    let wrong = problems.iter().find_map(|p| match &p.what {
        Wrong::Given(said) => Some(said.clone()),
        _ => None,
    });
    let name = problems.iter().map(|p| p.name).find(|name| !name.is_empty());
    let section = problems.first().map_or("", |p| p.section);
    let count = problems.len();
    let error = match (&wrong, name) {
        (Some(wrong), _) => Error::broken(Code::WrongStructSize, wrong.as_str()),
        (None, Some(name)) if !sizes.from_object => {
            Error::broken(Code::StructSizeMissing, format!("{name} not set"))
        }
        _ => Error::broken(
            Code::RowLayout,
            format!("the layout of the rows of {count} table(s) cannot be told"),
        ),
    };
    let has = |wanted: fn(&Wrong) -> bool| problems.iter().any(|p| wanted(&p.what));
    let advice = [
        (wrong.is_some(), "give no size where it is found in the rows"),
        (
            has(|w| matches!(w, Wrong::Several)),
            "where several sizes fit, give the right one in the environment (NAME=N), from the debug \
             information of the kernel that both objects were built for",
        ),
        (
            has(|w| matches!(w, Wrong::Differ)),
            "build both objects for one kernel, with one configuration",
        ),
        (
            has(|w| matches!(w, Wrong::None)),
            "where none fits, an object is damaged, or its kernel is not known here",
        ),
    ];
    let advice: Vec<&str> = advice.iter().filter(|(is, _)| *is).map(|(_, text)| *text).collect();
    error.in_file(file).in_section(section).with_details(details).advise(advice.join("; "))
}

/// A layout tried on a section.
#[derive(Clone, Debug)]
pub struct Attempt<S> {
    /// The section.
    pub section: SectionId<S>,
    /// What it is a part of.
    pub table: &'static Table,
    /// The layout.
    pub form: &'static Form,
    /// What speaks against it; `None` where nothing does.
    pub against: Option<String>,
}

/// Tries every layout that a machine has on every section of an object that has rows, each by itself:
/// for those who look at many objects. A pair is settled by all sections of both.
pub fn attempts<S: Side>(layout: &Layout<'_, S>) -> Vec<Attempt<S>> {
    let marks = marks(layout);
    let of_section = |(section, table, forms): (SectionId<S>, usize, &'static [Form])| {
        let forms = forms.iter().filter(|form| form.is_of(layout.arch.name));
        let marks = &marks;
        forms.filter_map(move |form| {
            let against = Trial { layout, section, form }.run(marked(marks, section)).err();
            Some(Attempt { section, table: TABLES.get(table)?, form, against })
        })
    };
    with_rows(layout).flat_map(of_section).collect()
}

/// The sections that have rows, each with the position of its table and the layouts of that.
fn with_rows<S: Side>(
    layout: &Layout<'_, S>,
) -> impl Iterator<Item = (SectionId<S>, usize, &'static [Form])> {
    let object = layout.object;
    object.sections().filter_map(move |id| {
        let Class::Table(index) = layout.class(id) else { return None };
        let index = usize::from(index);
        let Some(Table { row: RowSize::Forms(_, forms), .. }) = TABLES.get(index) else {
            return None;
        };
        // A table without relocations describes no code.
        let has_rows = object.section_size(id) != 0 && !object.relocs(id).is_empty();
        has_rows.then_some((id, index, *forms))
    })
}

/// Tries all layouts of all tables of an object.
fn all<S: Side>(layout: &Layout<'_, S>) -> Tried {
    let mut tried = Tried::default();
    let marks = marks(layout);
    for (section, index, forms) in with_rows(layout) {
        let against = tried.entry(index).or_insert_with(|| vec![None; forms.len()]);
        for (against, form) in against.iter_mut().zip(forms) {
            if against.is_none() && form.is_of(layout.arch.name) {
                *against = Trial { layout, section, form }.run(marked(&marks, section)).err();
            }
        }
    }
    tried
}

/// The marks of one section.
fn marked<S: Side>(
    marks: &[(SectionId<S>, u64)],
    section: SectionId<S>,
) -> impl Iterator<Item = u64> {
    let from = marks.partition_point(|m| m.0 < section);
    marks.iter().skip(from).take_while(move |m| m.0 == section).map(|m| m.1)
}

/// The places that are marked as starts of rows, sorted.
fn marks<S: Side>(layout: &Layout<'_, S>) -> Vec<(SectionId<S>, u64)> {
    let object = layout.object;
    let mut marks = Vec::new();
    let named = layout.section_named(ANNOTATED_ROWS).into_iter().flat_map(|first| {
        let from = object.sections().skip_while(move |&s| s != first);
        from.filter(|&s| object.section_name(s) == ANNOTATED_ROWS)
    });
    for section in named {
        for reloc in object.relocs(section).iter() {
            let kind = reloc.offset.checked_add(4).and_then(|at| {
                read_u32(object.contents(section), usize::try_from(at).ok()?, object.endian())
            });
            let place = object.section_of(reloc.symbol).zip(place(layout, &reloc));
            marks.extend(place.filter(|_| kind == Some(SPECIAL)));
        }
    }
    marks.sort_unstable();
    marks
}

/// The offset in its section that a field of a table leads to.
fn place<S: Side>(layout: &Layout<'_, S>, reloc: &Reloc<S>) -> Option<u64> {
    let value = layout.object.symbol_value(reloc.symbol) as i64;
    u64::try_from(reloc.addend.wrapping_add(value)).ok()
}

/// One layout on one section.
struct Trial<'a, S> {
    layout: &'a Layout<'a, S>,
    section: SectionId<S>,
    form: &'static Form,
}

impl<S: Side> Trial<'_, S> {
    /// Fails with what speaks against it.
    fn run(&self, marked: impl Iterator<Item = u64>) -> std::result::Result<(), String> {
        let object = self.layout.object;
        let size = object.section_size(self.section);
        let rows = size.div_ceil(self.form.size);
        if rows.saturating_mul(self.form.size) - size > self.form.short {
            return Err(format!("{size} bytes are no whole number of rows"));
        }
        let entsize = object.section_entsize(self.section);
        if entsize > 1 && entsize != self.form.size {
            return Err(format!("the entry size is {entsize}"));
        }
        for at in marked {
            if !at.is_multiple_of(self.form.size) {
                return Err(format!("a row is marked at {at:#x}"));
            }
        }
        let mut relocs = object.relocs(self.section).iter().peekable();
        // Without references no row is left: their number is bounded by these.
        for row in 0..rows {
            let start = row * self.form.size;
            for field in self.form.fields {
                self.field(start, field, &mut relocs)?;
            }
            self.padding(start)?;
        }
        match relocs.next() {
            Some(reloc) => Err(unexpected(&reloc)),
            None => Ok(()),
        }
    }

    /// Checks a field of the row that begins at `start`.
    fn field(
        &self,
        start: u64,
        field: &Field,
        relocs: &mut std::iter::Peekable<impl Iterator<Item = Reloc<S>>>,
    ) -> std::result::Result<(), String> {
        let at = start + field.at;
        if let Some(reloc) = relocs.next_if(|r| r.offset < at) {
            return Err(unexpected(&reloc));
        }
        let Some(reloc) = relocs.next_if(|r| r.offset == at) else {
            return self.plain(at, field);
        };
        if matches!(field.holds, Holds::Number | Holds::BugFlags) {
            return Err(unexpected(&reloc));
        }
        let arch = self.layout.arch;
        let fits = |reloc: &Reloc<S>| {
            arch.reloc(reloc.kind).is_ok_and(|kind| u64::from(kind.width) == field.bytes)
        };
        // A difference takes two where relocations cannot be relative.
        let second = relocs.next_if(|r| r.offset == at);
        if let Some(second) = &second
            && !(arch.local_labels && fits(second))
        {
            return Err(format!("two references at {at:#x}"));
        }
        if !fits(&reloc) {
            return Err(format!("a reference of another width at {at:#x}"));
        }
        if self.leads(field, &reloc) {
            return Ok(());
        }
        Err(format!("what is at {at:#x} is no {}", field.name))
    }

    /// Checks a field without a reference.
    fn plain(&self, at: u64, field: &Field) -> std::result::Result<(), String> {
        let object = self.layout.object;
        let bytes = self.bytes(at, field.bytes);
        let fits = match field.holds {
            Holds::Number => true,
            Holds::Maybe => bytes.iter().all(|&b| b == 0),
            Holds::BugFlags => {
                let flags = match (bytes, object.endian()) {
                    (&[a, b], object::Endianness::Little) => u16::from_le_bytes([a, b]),
                    (&[a, b], object::Endianness::Big) => u16::from_be_bytes([a, b]),
                    _ => 0,
                };
                flags == 0 || flags & WARNING != 0 && flags & NO_FLAGS == 0
            }
            _ => return Err(format!("no reference at {at:#x}")),
        };
        if fits { Ok(()) } else { Err(format!("what is at {at:#x} is no {}", field.name)) }
    }

    /// Whether a reference leads to what a field holds.
    fn leads(&self, field: &Field, reloc: &Reloc<S>) -> bool {
        let object = self.layout.object;
        let named = || match object.symbol_kind(reloc.symbol) {
            abi::STT_SECTION => "",
            _ => object.symbol_name(reloc.symbol),
        };
        let home = object.section_of(reloc.symbol);
        match field.holds {
            Holds::Code => {
                home.is_some_and(|s| object.is_text(s)) && !named().starts_with(HANDLERS)
            }
            Holds::Handler(prefix) => named().starts_with(prefix),
            Holds::Name => home.is_none_or(|s| {
                let strings = object.section_flags(s) & abi::SHF_STRINGS != 0;
                let value = object.symbol_value(reloc.symbol) as i64;
                let at = reloc.addend.wrapping_add(value);
                !strings || object.string_at(s, at).is_some_and(|name| !name.is_empty())
            }),
            _ => true,
        }
    }

    /// Checks the bytes of a row that are in no field.
    fn padding(&self, start: u64) -> std::result::Result<(), String> {
        let mut from = 0;
        let ends = self.form.fields.iter().map(|f| (f.at, f.at + f.bytes));
        for (at, end) in ends.chain([(self.form.size, self.form.size)]) {
            let gap = self.bytes(start + from, at.saturating_sub(from));
            if let Some(i) = gap.iter().position(|&b| b != 0) {
                return Err(format!("no zero at {:#x}", start + from + i as u64));
            }
            from = end;
        }
        Ok(())
    }

    /// Bytes of the section, as far as it has them.
    fn bytes(&self, at: u64, count: u64) -> &[u8] {
        let data = self.layout.object.contents(self.section);
        let end = at.saturating_add(count).min(data.len() as u64);
        data.get(at as usize..end as usize).unwrap_or(&[])
    }
}

/// Functions that handle exceptions are not where exceptions are listed for.
const HANDLERS: &str = "ex_handler_";
/// BUGFLAG_WARNING (include/asm-generic/bug.h).
const WARNING: u16 = 1;
/// Bits between the flags and the taint.
const NO_FLAGS: u16 = 0xe0;

fn unexpected<S: Side>(reloc: &Reloc<S>) -> String {
    format!("a reference at {:#x}, where a row has none", reloc.offset)
}
