//! What compilers and the kernel's macros do to names, and what of it is noise.
//!
//! Two builds of the same source give one thing different names when a counter, a line
//! number or a module hash is part of the name. [`same`] says whether two names can mean
//! the same thing; it never says that they do: several things may share a normal form, and
//! `diff::pair::correlate` settles that by evidence.
//!
//! Checklist for a new habit: a rule in `pieces` with its reason, a line in the tests
//! here, and a pair of objects that shows it.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within a text that is in memory, and counts"
)]

use std::hash::{Hash, Hasher};

use bumpalo::Bump;
use memchr::memchr_iter;

use self::v0::Part;
use crate::elf::abi;
use crate::elf::search::position;

mod v0;

/// Calls `emit` with the parts of `name` that are not noise, in order.
///
/// Dropped:
/// * `.123` at the end, as in `x.123`: gcc's and clang's counter of static locals;
/// * `.123` inside, as in `f.isra.0.cold`: replaced by a mark, so that the presence counts
///   but not the number;
/// * `.llvm.123`: ThinLTO's promotion suffix, a hash of the whole module;
/// * the counter of `__UNIQUE_ID_foo123`;
/// * the counter and line in `__initcall__kmod_mod__618_7408_fn1` and its stub;
/// * the hash of a crate in names of Rust (`_RNvCs2nZCEvFuR12_4unit6helper`).
///
/// Names that contain `.str1.` are kept as they are: there the number is an alignment.
#[inline]
fn pieces(name: &str, emit: &mut impl FnMut(&str)) {
    // Most names have neither a counter nor one of the macros' prefixes.
    let dotted = position(b'.', name.as_bytes()).is_some();
    let rust = name.starts_with("_R");
    if !dotted && !rust && !name.starts_with("__") {
        return emit(name);
    }
    let name = match v0::span(name) {
        Some((start, end)) => {
            without_crates(name, (start, end), emit);
            &name[end..]
        }
        None => name,
    };
    if name.is_empty() {
        return;
    }
    if dotted && find(name, ".str1.", 0).is_some() {
        return emit(name);
    }
    let (head, name) = initcall(name);
    if let Some(head) = head {
        emit(head);
    }
    let name = match find(name, "__UNIQUE_ID_", 2) {
        Some(at) if at == 0 || name[at..].starts_with("__UNIQUE_ID_ddebug") => {
            without_number(without_counter(name))
        }
        _ => name,
    };
    if !dotted {
        if !name.is_empty() {
            emit(name);
        }
        return;
    }
    let mut rest = name;
    let mut pending_mark = false;
    while let Some((before, after)) = split_counter(rest) {
        if pending_mark {
            emit("\0");
        }
        pending_mark = true;
        let promoted = before.strip_suffix(".llvm");
        pending_mark &= promoted.is_none();
        let before = promoted.unwrap_or(before);
        if !before.is_empty() {
            emit(before);
        }
        rest = after;
    }
    if !rest.is_empty() {
        if pending_mark {
            emit("\0");
        }
        emit(rest);
    }
}

/// A name of Rust at `span` of `name`, and what is before it, without hashes of crates.
fn without_crates(name: &str, (start, end): (usize, usize), emit: &mut impl FnMut(&str)) {
    if start > 0 {
        emit(&name[..start]);
    }
    v0::parts(&name[start..end], &mut |part| match part {
        Part::Text(text) if !text.is_empty() => emit(text),
        Part::Text(_) | Part::Crate(_) => {}
        Part::Back(target) => emit(&format!("{target}_")),
    });
}

/// The crates in a name of Rust, each as its hash and its name.
pub fn crates(name: &str) -> Vec<(&str, &str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    let mut hash = None;
    if let Some((start, end)) = v0::span(name) {
        v0::parts(&name[start..end], &mut |part| match part {
            Part::Crate(this) => hash = Some(this),
            Part::Text(text) => found.extend(hash.take().map(|hash| (hash, v0::first(text)))),
            Part::Back(_) => {}
        });
    }
    found
}

/// The first place of `needle` in `name`: where its byte `rare` is rare, this is many times
/// faster than `str::find`.
#[inline]
pub(crate) fn find(name: &str, needle: &str, rare: usize) -> Option<usize> {
    let bytes = name.as_bytes();
    memchr_iter(*needle.as_bytes().get(rare)?, bytes)
        .filter_map(|at| at.checked_sub(rare))
        .find(|&at| bytes.get(at..).is_some_and(|rest| rest.starts_with(needle.as_bytes())))
}

/// Splits at the first `.` that is followed by digits up to the end or the next `.`.
fn split_counter(name: &str) -> Option<(&str, &str)> {
    let bytes = name.as_bytes();
    let mut from = 0;
    while let Some(dot) = bytes.get(from..).and_then(|b| position(b'.', b)).map(|i| i + from) {
        let digits = bytes.iter().skip(dot + 1).take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 && matches!(bytes.get(dot + 1 + digits), None | Some(b'.')) {
            return Some((name.get(..dot)?, name.get(dot + 1 + digits..)?));
        }
        from = dot + 1;
    }
    None
}

/// `x` of `x.123`.
fn without_counter(name: &str) -> &str {
    let stem = without_number(name);
    match stem.strip_suffix('.') {
        Some(base) if stem.len() < name.len() => base,
        _ => name,
    }
}

/// `x` of `x123`.
fn without_number(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// Splits `...kmod_MODULE__COUNTER_LINE_REST` into what precedes the counter and what
/// follows the line (include/linux/init.h, `__initcall_id`).
fn initcall(name: &str) -> (Option<&str>, &str) {
    let Some(kmod) = find(name, "kmod_", 0) else { return (None, name) };
    if !(name.contains("init") || name.contains("__addressable_")) {
        return (None, name);
    }
    let mut from = kmod;
    while let Some(at) = name[from..].find("__").map(|i| i + from) {
        let rest = &name[at + 2..];
        let counter = without_leading_number(rest).and_then(|r| r.strip_prefix('_'));
        let line = counter.and_then(without_leading_number).and_then(|r| r.strip_prefix('_'));
        if let Some(rest) = line {
            return (Some(&name[..at]), rest);
        }
        from = at + 1;
    }
    (None, name)
}

fn without_leading_number(name: &str) -> Option<&str> {
    let rest = name.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < name.len()).then_some(rest)
}

/// Feeds the normal form of `name` to a hasher.
#[inline]
pub fn hash_normal(name: &str, state: &mut impl Hasher) {
    pieces(name, &mut |piece| state.write(piece.as_bytes()));
    0xffu8.hash(state);
}

/// The normal form as text, in `arena` unless the name is its own normal form.
pub fn normal<'a>(name: &'a str, arena: &'a Bump) -> &'a str {
    let mut text = bumpalo::collections::String::new_in(arena);
    pieces(name, &mut |piece| text.push_str(if piece == "\0" { ".#" } else { piece }));
    if text == name { name } else { text.into_bump_str() }
}

/// Whether code in a section named so must not be instrumented (include/linux/compiler_types.h
/// and the entry code of the machines).
pub fn is_untraceable(section: &str) -> bool {
    [".noinstr.text", ".entry.text", ".noinstr_cpuidle"].iter().any(|s| section.starts_with(s))
        || section == ".cpuidle.text"
}

/// Whether two names have the same normal form.
pub fn same(a: &str, b: &str) -> bool {
    a == b || {
        let (mut x, mut y) = (Vec::with_capacity(a.len()), Vec::with_capacity(b.len()));
        pieces(a, &mut |piece| x.extend_from_slice(piece.as_bytes()));
        pieces(b, &mut |piece| y.extend_from_slice(piece.as_bytes()));
        x == y
    }
}

/// Whether a function only calls an initcall: its name holds a counter and a line, and nobody
/// wrote it (include/linux/init.h, `__define_initcall_stub`).
pub fn is_init_stub(name: &str) -> bool {
    name.starts_with("__initstub__")
}

/// UBSAN's type and location descriptors: compared through the code that uses them.
#[inline]
pub fn is_ubsan(name: &str) -> bool {
    const PREFIXES: [&str; 6] = [
        ".data.rel.local..Lubsan_data",
        ".data..Lubsan_type",
        ".Lubsan_data",
        ".data..Lubsan_data",
        ".rela.data..Lubsan_data",
        ".rela.data.rel.local..Lubsan_data",
    ];
    name.starts_with('.') && PREFIXES.iter().any(|p| name.starts_with(p))
}

/// clang's sections for data without a name of its own.
pub fn is_clang_unnamed(section: &str) -> bool {
    section.starts_with(".data..L__unnamed_") || section.starts_with(".data.__unnamed_")
}

/// Sections whose names are nothing but numbers: the two above, and what clang tells KASAN about
/// variables and frames.
pub fn is_numbered_section(section: &str) -> bool {
    is_ubsan(section) || is_clang_unnamed(section) || section.starts_with(".rodata..L___asan_gen_")
}

/// Sections of string literals made by -fdata-sections.
pub fn is_string_literal_section(section: &str) -> bool {
    section.starts_with(".rodata.") && section.contains(".str")
}

/// Whether assembly marks the end of something by such a label: what follows is not its own.
pub fn is_end_label(symbol: &str) -> bool {
    ["_end", "_stop", "_tail"].iter().any(|mark| symbol.ends_with(mark))
}

/// clang's names for string literals, which ThinLTO exports as `.str.7.llvm.123`.
pub fn is_string_name(symbol: &str) -> bool {
    symbol.starts_with(".str") || symbol.starts_with(".L.str")
}

/// Debug information: carried, never compared.
pub fn is_debug_section(section: &str) -> bool {
    section.starts_with(".debug_") || section.starts_with(".eh_frame")
}

/// Variables that the kernel's macros define once per use: a copy of their own for the
/// patched code is harmless, and their numbering is noise.
const SPECIAL_STATICS: [&str; 8] =
    ["__key", "__warned", "__func__", "__FUNCTION__", "_rs", "CSWTCH", "_entry", "_entry_ptr"];

/// Of these, the names of functions: clang appends the function's own (`__func__.f`).
const FUNCTION_NAMES: [&str; 2] = ["__func__", "__FUNCTION__"];

/// What compilers put between a name and a number of theirs: ThinLTO's promotion, gcc's
/// partitions, and the hash of clang's `-funique-internal-linkage-names`.
const NUMBERED: [&str; 3] = ["llvm", "lto_priv", "__uniq"];

/// Whether a LOCAL OBJECT with this name is one of the `SPECIAL_STATICS`: gcc's `_rs.12`, or
/// clang's `f._rs` and `f._rs.12`. Nothing may follow but numbers, and what belongs to them: a
/// variable `f._rs_count` is one that somebody wrote, and so is `_rs.count` in a function `_rs`.
pub fn is_special_static_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let Some(first) = position(b'.', bytes) else { return false };
    let (head, rest) = (&name[..first], &name[first + 1..]);
    if SPECIAL_STATICS.contains(&head) && (are_numbers(rest) || FUNCTION_NAMES.contains(&head)) {
        return true;
    }
    memchr_iter(b'.', bytes).any(|dot| {
        let part = &name[dot + 1..];
        let special = |v: &str| {
            let after = part.strip_prefix(v);
            after.is_some_and(|a| a.is_empty() || a.strip_prefix('.').is_some_and(are_numbers))
        };
        part.starts_with(['_', 'C'])
            && (SPECIAL_STATICS.iter().any(|v| special(v))
                || part.strip_prefix("__already_done.").is_some_and(are_numbers))
    })
}

/// Whether all parts of `rest` are numbers, or say what the next number is.
fn are_numbers(rest: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut numbered = false;
    for part in rest.split('.') {
        numbered = number(part);
        if !numbered && !NUMBERED.contains(&part) {
            return false;
        }
    }
    numbered
}

/// Sections whose objects are special statics whatever their name.
pub fn is_special_static_section(section: &str) -> bool {
    matches!(section, "__verbose" | "__dyndbg")
}

/// Sections of once-only flags: local objects there are special statics.
pub fn is_once_section(section: &str) -> bool {
    matches!(section, ".data.once" | ".data..once")
}

/// What a function is called in the source: `f` of `f.isra.0`, `f.constprop.0.cold`, `f.part.3`
/// and `f.llvm.123`. C has no dots in names.
pub fn written_name(function: &str) -> &str {
    match position(b'.', function.as_bytes()) {
        Some(dot) if dot > 0 => &function[..dot],
        _ => function,
    }
}

/// Clones and parts that compilers make of functions, by what they add to the name, and what they are for
/// (gcc's -fipa-cp, -fipa-sra and -fpartial-inlining).
const CLONES: [(&str, &str); 3] = [
    ("constprop", "a copy for constant arguments"),
    ("isra", "a copy with other parameters"),
    ("part", "a part split off"),
];

/// What compilers made the clone of a function for that has this name, part by part of the name.
pub fn clone_kinds(function: &str) -> impl Iterator<Item = &'static str> + '_ {
    let parts = function.split('.').skip(1);
    parts.filter_map(|part| CLONES.iter().find(|(name, _)| *name == part).map(|(_, what)| *what))
}

/// What a static local variable is called in its function: `count.1` of gcc's `count.1` and
/// of clang's `f.count.1`.
pub fn variable_part(name: &str) -> &str {
    match position(b'.', name.as_bytes()) {
        Some(dot)
            if dot > 0
                && name[dot + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && !NUMBERED.iter().any(|n| name[dot + 1..].starts_with(n)) =>
        {
            &name[dot + 1..]
        }
        _ => name,
    }
}

/// Sections of constants that hold addresses, as compilers name them: the loader writes these
/// and nobody else does, although the header says that the section can be written.
pub fn is_relocated_constant(section: &str) -> bool {
    section
        .strip_prefix(".data.rel.ro")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Sections of ordinary variables, among them those that only the boot writes. Those of each
/// processor are none: what is found there is not the variable.
pub fn holds_variables(section: &str) -> bool {
    [".data", ".bss"].iter().any(|p| {
        section.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }) && !section.starts_with(".data..percpu")
}

/// Other names of a driver's table of devices, which only the build of a module reads
/// (include/linux/module.h, `MODULE_DEVICE_TABLE`).
pub fn is_for_modpost(symbol: &str) -> bool {
    symbol.starts_with("__mod_device_table__")
        || symbol.starts_with("__mod_") && symbol.ends_with("_device_table")
}

/// Name of the function that a split-off part belongs to: `f` of `f.cold`,
/// `f.part.0` of `f.part.0.cold`, `f` of `f.part.0`, `f` of `f.__part.1`.
pub fn split_from(name: &str) -> Option<(&str, ChildKind)> {
    if let Some(at) = find(name, ".cold", 0) {
        return Some((&name[..at], ChildKind::Cold));
    }
    // Propeller's clusters of basic blocks.
    if let Some(at) = find(name, ".__part.", 0) {
        return Some((&name[..at], ChildKind::Cold));
    }
    find(name, ".part.", 0).map(|at| (&name[..at], ChildKind::Part))
}

/// How a function was split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildKind {
    /// The unlikely half; it cannot exist without its parent.
    Cold,
    /// An outlined part; the rest may have been inlined everywhere.
    Part,
}

/// Text sections a function may move between when only its expected hotness changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotCold {
    /// `.text.unlikely.*`
    Unlikely,
    /// `.text.hot.*`
    Hot,
    /// Anything else.
    Plain,
}

/// What a section name says of how hot its code is.
pub fn hot_cold(section: &str) -> HotCold {
    if section.starts_with(".text.unlikely.") {
        HotCold::Unlikely
    } else if section.starts_with(".text.hot.") {
        HotCold::Hot
    } else {
        HotCold::Plain
    }
}

/// Whether it only matters for speed in which of two sections a function of this name is:
/// the kernel links all of them into its text (include/asm-generic/vmlinux.lds.h,
/// `TEXT_TEXT`). `.text.startup` and `.text.exit` as such are linked with code that only runs
/// at boot, or never; `.text..` has a meaning of its own, as `.noinstr.text` and the like have.
/// A section that is named after something else is another's.
pub fn differ_in_hot_cold(function: &str, sections: [&str; 2]) -> bool {
    let owners = sections.map(|section| {
        if section.starts_with(".text..") || matches!(section, ".text.startup" | ".text.exit") {
            return None;
        }
        // `.text.` comes last: all others begin with it.
        FUNCTION_SECTIONS.iter().rev().find_map(|prefix| {
            let shared = section == prefix.trim_end_matches('.');
            if shared { Some("") } else { section.strip_prefix(prefix) }
        })
    });
    let fits = |owner: &str| owner.is_empty() || same(owner, function);
    match owners {
        [Some(before), Some(after)] => same(before, after) || fits(before) && fits(after),
        _ => false,
    }
}

/// Section name prefixes after which the name of the only function follows.
const FUNCTION_SECTIONS: [&str; 6] =
    [".text.", ".text.hot.", ".text.unlikely.", ".text.split.", ".text.unknown.", ".text.startup."];
/// Section name prefixes after which the name of the only object follows.
const OBJECT_SECTIONS: [&str; 7] = [
    ".data.",
    ".data.rel.",
    ".data.rel.ro.",
    ".data.rel.local.",
    ".data.rel.ro.local.",
    ".rodata.",
    ".bss.",
];

/// Whether `section` exists for symbol `name` of type `kind` alone, by its name.
pub fn owns_section(kind: u8, name: &str, section: &str) -> bool {
    let prefixes: &[&str] = match kind {
        abi::STT_FUNC => &FUNCTION_SECTIONS,
        abi::STT_OBJECT => &OBJECT_SECTIONS,
        _ => return false,
    };
    if let Some(prefix) = section.strip_suffix(name)
        && prefixes.contains(&prefix)
    {
        return true;
    }
    kind == abi::STT_FUNC
        && section.starts_with(".text.unlikely.")
        && name.contains(".cold")
        && section.strip_prefix(".text.unlikely.").is_some_and(|x| name.starts_with(x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_noise() {
        for (a, b) in [
            ("x.123", "x.7"),
            ("x.123", "x"),
            ("f.isra.0", "f.isra.3"),
            ("f.isra.0.cold", "f.isra.2.cold"),
            ("_RNvCs2nZCEvFuR12_4unit6helper", "_RNvCs5mkB9LSsYYR_4unit6helper"),
            ("_RNvCs2nZCEvFuR12_4unit6helper", "_RNvCs5m_4unit6helper.llvm.12"),
            (".text._RNvCs1_4unit6helper", ".text._RNvCs22_4unit6helper"),
            ("_RINvNtCs1_1a1bReBd_E", "_RINvNtCs123_1a1bReBf_E"),
            ("f.llvm.1234", "f"),
            ("f.llvm.1234", "f.llvm.99"),
            ("f.llvm.1234.cold", "f.cold"),
            (".text.f.llvm.1234", ".text.f"),
            ("__UNIQUE_ID_license12", "__UNIQUE_ID_license345"),
            ("__UNIQUE_ID_ddebug12.3", "__UNIQUE_ID_ddebug45"),
            ("g.__UNIQUE_ID_ddebug12", "g.__UNIQUE_ID_ddebug45"),
            ("__initcall__kmod_wq__618_7408_init1", "__initcall__kmod_wq__618_7412_init1"),
            (".initcall1.init..kmod_wq__618_7408_init", ".initcall1.init..kmod_wq__619_7412_init"),
        ] {
            assert!(same(a, b), "{a} {b}");
            let arena = Bump::new();
            assert_eq!(normal(a, &arena), normal(b, &arena));
        }
    }

    #[test]
    fn what_is_not_a_counter_counts() {
        for (a, b) in [
            ("f.constprop.0", "f.1.constprop.0"),
            ("f.isra.0", "f.constprop.0"),
            ("f.isra.0", "f.isra.0.cold"),
            ("v4", "v6"),
            ("t.v4", "t.v6"),
            (".rodata.f.str1.1", ".rodata.f.str1.8"),
            ("x.1a", "x.2a"),
            ("__initcall__kmod_wq__618_7408_init1", "__initcall__kmod_wq__618_7408_exit1"),
            ("f.cold", "f"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn special_statics() {
        for name in [
            "__key.1",
            "f.__key",
            "__func__.23",
            "g.__func__",
            "CSWTCH.12",
            "f._rs",
            "f._entry.26",
            "f.__already_done.1",
        ] {
            assert!(is_special_static_name(name), "{name}");
        }
        for name in ["_rs.1.llvm.77", "f._rs.llvm.77", "_rs.3.lto_priv.0", "__func__.f"] {
            assert!(is_special_static_name(name), "{name}");
        }
        for name in [
            "x.1",
            "my__key.1",
            "__key",
            "monkey.__keys_",
            "f._rs_count",
            "f._rs_count.3",
            "f.__func__state",
            "f.CSWTCHER",
            "f.CSWTCH2.1",
            "_rs.count",
            "f._entry_list",
            "__key.f",
            "f.__already_done",
            "f._rs.",
            "f._rs.llvm",
        ] {
            assert!(!is_special_static_name(name), "{name}");
        }
    }

    #[test]
    fn ownership() {
        assert!(owns_section(abi::STT_FUNC, "f", ".text.f"));
        assert!(owns_section(abi::STT_FUNC, "f", ".text.unlikely.f"));
        assert!(owns_section(abi::STT_FUNC, "f.isra.0.cold.1", ".text.unlikely.f.isra.0"));
        assert!(!owns_section(abi::STT_FUNC, "g", ".text.f"));
        assert!(!owns_section(abi::STT_FUNC, "f", ".text"));
        assert!(owns_section(abi::STT_OBJECT, "x.1", ".data.rel.ro.x.1"));
        assert!(!owns_section(abi::STT_OBJECT, "x", ".data..ro_after_init"));
    }
}
