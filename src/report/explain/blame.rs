//! Which functions the patch's author edited, and which only changed with them: by debug
//! information.
//!
//! A function was edited when its lines in the source are more or fewer than before, or when
//! code that was written in it has another operand that is no register, or jumps on another
//! condition. What has code of an edited function inlined changed through that, and so did a
//! function of which nothing differs that was written in it; where nothing else explains a
//! change, the function itself is taken for edited.

#![expect(clippy::arithmetic_side_effects, reason = "steps of a sorted list, and counts")]

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::source::{Sections, Source};
use super::{Body, Frame, Hunk, Mark, Pair, Part};
use crate::diff::compare::comparer::Comparer;
use crate::elf::ids::{Id as _, Orig, Patched, SectionId, Side, SymbolId};
use crate::report::{Function, FunctionStatus};

/// Places of the source that are told of one hunk.
const PLACES: usize = 6;

/// Why a function changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// What kind of cause.
    pub kind: CauseKind,
    /// The edited function that is inlined in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Where that is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Frame>,
}

/// Kinds of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CauseKind {
    /// It was edited.
    Source,
    /// An edited function is inlined in it.
    Inlined,
    /// The optimiser decided otherwise.
    Optimiser,
}

/// The functions of each file, by line.
type Files = BTreeMap<String, BTreeMap<u64, String>>;

/// Adds places of the source to all that differs, and causes to functions.
pub fn blame(comparer: &Comparer<'_>, functions: &mut [Function]) {
    let (orig, patched) = (comparer.orig.layout, comparer.patched.layout);
    let (o, p) = rayon::join(|| Sections::new(orig), || Sections::new(patched));
    let (Some(o), Some(p)) = (o, p) else { return };
    let (Some(before), Some(after)) = (o.source(), p.source()) else { return };
    let mut edited = resized(&o.functions(), &p.functions());
    let mut seen: Vec<BTreeMap<String, Option<Frame>>> = Vec::new();
    for function in functions.iter_mut() {
        let mut inlined = BTreeMap::new();
        if let Some(body) = &mut function.body {
            place(body, &before, &after, &mut inlined, &mut edited);
        }
        seen.push(inlined);
    }
    for (function, seen) in functions.iter_mut().zip(seen) {
        if function.status == FunctionStatus::Changed && !seen.is_empty() {
            function.cause = Some(cause(function, &seen, &edited));
        }
    }
}

/// Adds to changed functions where the source has what differs first. The debug information of what was linked from
/// many files takes longer than the comparison: there it is only read for those who ask how functions differ.
pub fn locate(comparer: &Comparer<'_>, ids: &[SymbolId<Patched>], functions: &mut [Function]) {
    let layout = comparer.patched.layout;
    let changed = |function: &Function| function.status == FunctionStatus::Changed;
    if layout.is_linked() || !functions.iter().any(changed) {
        return;
    }
    let Some(sections) = Sections::new(layout) else { return };
    let Some(source) = sections.source() else { return };
    for (&id, function) in ids.iter().zip(functions).filter(|(_, function)| changed(function)) {
        let Some(section) = layout.object.section_of(id) else { continue };
        // Offsets of a function with parts elsewhere may be those of a part.
        let whole = layout.children(id).next().is_none();
        let offsets = function.reasons.iter().filter_map(|reason| reason.offset);
        let first = offsets.filter(|_| whole).find_map(|offset| u64::try_from(offset).ok());
        let at = layout.object.symbol_value(id).saturating_add(first.unwrap_or(0));
        function.source = source.frames(section, at);
    }
}

/// The name that the source has for a function.
fn plain(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Functions of which there are more or fewer lines than before, up to the next function.
fn resized(before: &Files, after: &Files) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, o) in before {
        let Some(p) = after.get(file) else { continue };
        let lengths = |all: &BTreeMap<u64, String>| {
            let next = all.iter().zip(all.iter().skip(1));
            next.map(|((from, name), (to, next))| (name.clone(), (to - from, next.clone())))
                .collect::<BTreeMap<_, _>>()
        };
        let p = lengths(p);
        for (name, (length, next)) in lengths(o) {
            // With another function behind it, its end is not known.
            if p.get(&name).is_some_and(|p| p.1 == next && p.0 != length) {
                found.insert(name);
            }
        }
    }
    found
}

/// Adds places to the hunks of a function. `inlined` learns whose code differs, with where that
/// is called; `edited` which of these have another operand.
fn place(
    body: &mut Body,
    before: &Source<'_, Orig>,
    after: &Source<'_, Patched>,
    inlined: &mut BTreeMap<String, Option<Frame>>,
    edited: &mut BTreeSet<String>,
) {
    for Part { hunks, places, .. } in &mut body.parts {
        for Hunk { source, lines } in hunks {
            for pair in lines.iter().filter(|pair| pair.mark != Mark::Same) {
                let chain = chain(pair, *places, before, after);
                let Some(innermost) = chain.first() else { continue };
                if is_edit(pair) {
                    edited.insert(innermost.function.clone());
                }
                inlined.entry(innermost.function.clone()).or_insert_with(|| chain.get(1).cloned());
                let same = |known: &Vec<Frame>| {
                    known.iter().map(|f| &f.function).eq(chain.iter().map(|f| &f.function))
                };
                if source.len() < PLACES && !source.iter().any(same) {
                    source.push(chain);
                }
            }
        }
    }
}

/// Where a line is in the source; of both sides that of the patched object.
fn chain(
    pair: &Pair,
    places: [Option<(usize, u64)>; 2],
    before: &Source<'_, Orig>,
    after: &Source<'_, Patched>,
) -> Vec<Frame> {
    fn of<S: Side>(source: &Source<'_, S>, place: Option<(usize, u64)>, at: u64) -> Vec<Frame> {
        place.map_or(Vec::new(), |(section, start)| {
            source.frames(SectionId::new(section), start.saturating_add(at))
        })
    }
    match (&pair.before, &pair.after) {
        (_, Some(line)) => of(after, places[1], line.at),
        (Some(line), None) => of(before, places[0], line.at),
        (None, None) => Vec::new(),
    }
}

/// Whether a line does the same with another operand that is no register and no place of the
/// stack.
fn is_edit(pair: &Pair) -> bool {
    let (Some(before), Some(after)) = (&pair.before, &pair.after) else { return false };
    let mnemonic = |text: &str| text.split(' ').next().unwrap_or("").to_owned();
    let (a, b) = (mnemonic(&before.text), mnemonic(&after.text));
    if before.target && after.target {
        // The same place under another condition; which place it is depends on the layout.
        let place = |text: &str| text.split(' ').nth(1).map(str::to_owned);
        return a != b && place(&before.text) == place(&after.text);
    }
    if a != b || before.target || after.target || a.starts_with("nop") {
        return false;
    }
    if a.starts_with('.') {
        // Registers are among the bytes: only what they refer to tells.
        let refers = |text: &str| text.split(' ').skip(2).collect::<Vec<_>>().join(" ");
        return pair.note.is_some() || refers(&before.text) != refers(&after.text);
    }
    let about_stack = |text: &str| words(text).any(|w| matches!(w, "rsp" | "rbp" | "sp" | "esp"));
    if about_stack(&before.text) || about_stack(&after.text) {
        return false;
    }
    let rest =
        |text: &str| words(text).filter(|w| !is_register(w)).map(str::to_owned).collect::<Vec<_>>();
    pair.note.is_some() || rest(&before.text) != rest(&after.text)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').filter(|w| !w.is_empty())
}

/// Whether a word names a register.
fn is_register(word: &str) -> bool {
    let numbered = |lead: &str| {
        let rest = word.strip_prefix(lead).map(|rest| rest.trim_end_matches(['d', 'w', 'b']));
        rest.is_some_and(|r| (1..=2).contains(&r.len()) && r.bytes().all(|b| b.is_ascii_digit()))
    };
    let named = |names: &[&str]| names.contains(&word);
    let of_x86 = word.trim_start_matches(['r', 'e']);
    ["r", "x", "w", "xmm", "ymm"].into_iter().any(numbered)
        || matches!(of_x86, "ax" | "bx" | "cx" | "dx" | "si" | "di" | "bp" | "sp")
        || named(&["al", "ah", "bl", "bh", "cl", "ch", "dl", "dh", "sil", "dil", "bpl", "spl"])
        || named(&["byte", "word", "dword", "qword", "ptr"])
}

/// Why a function changed in which code of `seen` differs.
fn cause(
    function: &Function,
    seen: &BTreeMap<String, Option<Frame>>,
    edited: &BTreeSet<String>,
) -> Cause {
    let own = plain(&function.name);
    let mut others = seen.iter().filter(|(name, _)| *name != own && edited.contains(*name));
    let (kind, through) = match (edited.contains(own), others.next()) {
        (true, _) => (CauseKind::Source, None),
        (false, Some(through)) => (CauseKind::Inlined, Some(through)),
        (false, None) if function.optimised().is_some() => (CauseKind::Optimiser, None),
        // Nothing that was written in the function itself differs.
        (false, None) if !seen.contains_key(own) => (CauseKind::Inlined, seen.iter().next()),
        (false, None) => (CauseKind::Source, None),
    };
    let (name, place) = through.unzip();
    Cause { kind, function: name.cloned(), place: place.cloned().flatten() }
}

/// The functions that were edited, and the number of those that only changed with them, of
/// functions with their causes; `None` where nothing is known.
pub fn summary<'f>(
    functions: impl Iterator<Item = (&'f str, Option<&'f Cause>)>,
) -> Option<(Vec<String>, usize)> {
    let mut edited = BTreeSet::new();
    let mut fallout = 0;
    let mut known = false;
    for (name, cause) in functions.filter_map(|(name, cause)| Some((name, cause?))) {
        known = true;
        match cause.kind {
            CauseKind::Source => {
                edited.insert(plain(name).to_owned());
            }
            CauseKind::Inlined | CauseKind::Optimiser => {
                fallout += 1;
                edited.extend(cause.function.clone());
            }
        }
    }
    known.then(|| (edited.into_iter().collect(), fallout))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::explain::Line;

    fn edit(before: &str, after: &str) -> bool {
        let line = |text: &str| {
            let target = text.starts_with('j');
            Some(Line { at: 0, label: None, text: text.to_owned(), target })
        };
        is_edit(&Pair { mark: Mark::Changed, before: line(before), after: line(after), note: None })
    }

    #[test]
    fn registers_are_no_edits() {
        for (before, after) in [
            ("mov ebx, esi", "mov r12d, esi"),
            ("cmp ebx, 3", "cmp r12d, 3"),
            ("mov [rsp+8], rax", "mov [rsp+0x10], rax"),
            ("je L1 (+0x10)", "je L2 (+0x20)"),
            ("nop [rax]", "nop [rax+rax]"),
        ] {
            assert!(!edit(before, after), "{before} {after}");
        }
        for (before, after) in [
            ("mov eax, 0xa", "mov eax, 0x14"),
            ("call kfree", "call kvfree"),
            ("mov rdi, \"old\"", "mov rdi, \"new\""),
            ("jge L1 (+0x10)", "jg L1 (+0x12)"),
        ] {
            assert!(edit(before, after), "{before} {after}");
        }
    }

    #[test]
    fn lengths_tell_of_edits() {
        let files = |lines: &[(u64, &str)]| {
            let lines = lines.iter().map(|(line, name)| (*line, (*name).to_owned())).collect();
            BTreeMap::from([("a.c".to_owned(), lines)])
        };
        let before = files(&[(1, "a"), (10, "b"), (20, "c")]);
        let longer = files(&[(1, "a"), (10, "b"), (21, "c")]);
        assert_eq!(resized(&before, &longer), BTreeSet::from(["b".to_owned()]));
        let inserted = files(&[(1, "a"), (10, "b"), (20, "new"), (30, "c")]);
        assert_eq!(resized(&before, &inserted), BTreeSet::new());
    }
}
