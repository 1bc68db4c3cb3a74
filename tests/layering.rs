//! House rules that the compiler does not check, over all sources of the workspace:
//!
//! * imports follow the flow `diag < host < elf < arch < kernel < running < diff < patch < prove < report <
//!   pipeline < build < folders < corpus < cli`: a module names only its own layer and lower ones, and in a layer with
//!   rooms only its own room and lower ones;
//! * files do not import each other in circles, but for a module and what is below it;
//! * nothing outside tests can panic on purpose;
//! * names that mean something to the kernel are spelled in `kernel` and below only;
//! * machines and types of relocations (`EM_*`, `R_X86_64_*`) are named in `arch` and below only;
//! * files and functions stay short enough to read.
//!
//! Code under `#[cfg(test)]` is exempt from the first two, also when it is in a file of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[path = "layering/tokens.rs"]
mod tokens;

use tokens::{Token, tokens, without_tests};

/// Lowest first.
const LAYERS: [&str; 15] = [
    "diag", "host", "elf", "arch", "kernel", "running", "diff", "patch", "prove", "report",
    "pipeline", "build", "folders", "corpus", "cli",
];

/// Rooms of a layer, lowest first. Files of the layer itself are below all of them.
const ROOMS: [(&str, &[&str]); 1] = [("diff", &["pair", "compare", "select", "refuse", "explain"])];

/// Rooms that know nothing of the rest of their layer: its tables.
const TABLES: [(&str, &str); 1] = [("kernel", "knowledge")];

/// Files have fewer lines than this.
const TOO_LONG: usize = 650;

/// Functions have no more lines than this.
const LONGEST_FUNCTION: usize = 80;

/// Names of the ELF format, which every layer may spell.
const ELF_NAMES: [&str; 5] = [".symtab", ".strtab", ".shstrtab", ".symtab_shndx", ".rela"];

// ---- Rules -----------------------------------------------------------------------------

/// Something that breaks a rule.
#[derive(Debug, PartialEq)]
struct Finding {
    line: usize,
    what: String,
}

fn finding(line: usize, what: impl Into<String>) -> Finding {
    Finding { line, what: what.into() }
}

/// The module path of a file, from its path below `src`: `elf/ids.rs` is `[elf, ids]`.
fn module_path(file: &str) -> Vec<&str> {
    let mut path: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
    if path.last().is_some_and(|last| ["mod", "lib", "main"].contains(last)) {
        path.pop();
    }
    path
}

/// All paths in the path or group that starts at `*i`, with their lines; moves `*i` behind it.
fn paths(tokens: &[Token], i: &mut usize, prefix: &[String], into: &mut Vec<(Vec<String>, usize)>) {
    let mut path = prefix.to_vec();
    let mut line = 0;
    while let Some(token) = tokens.get(*i) {
        line = token.line;
        if token.text == "{" {
            *i += 1;
            while tokens.get(*i).is_some_and(|t| t.text != "}") {
                paths(tokens, i, &path, into);
                // `as name`, and the comma
                while tokens.get(*i).is_some_and(|t| t.text != "," && t.text != "}") {
                    *i += 1;
                }
                if tokens.get(*i).is_some_and(|t| t.text == ",") {
                    *i += 1;
                }
            }
            *i += 1;
            return;
        }
        path.push(token.text.clone());
        *i += 1;
        let colons = |n: usize| tokens.get(*i + n).is_some_and(|t| t.text == ":");
        if !(colons(0) && colons(1)) {
            break;
        }
        *i += 2;
    }
    into.push((path, line));
}

/// Imports and paths of the file that leave its layer upwards, or do not lead to a layer.
fn upward(file: &str, tokens: &[Token]) -> Vec<Finding> {
    let module = module_path(file);
    // lib.rs and main.rs stand above all layers
    let Some(&own) = module.first() else { return Vec::new() };
    let Some(own_rank) = LAYERS.iter().position(|l| *l == own) else {
        return vec![finding(1, format!("module {own} has no place among the layers"))];
    };
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let word = tokens[i].text.as_str();
        let is_path = tokens.get(i + 1).is_some_and(|t| t.text == ":")
            && tokens.get(i + 2).is_some_and(|t| t.text == ":")
            && !(i >= 2 && tokens[i - 1].text == ":" && tokens[i - 2].text == ":");
        if !is_path || !["crate", "super"].contains(&word) {
            i += 1;
            continue;
        }
        let mut all = Vec::new();
        paths(tokens, &mut i, &[], &mut all);
        for (path, line) in all {
            let supers = path.iter().take_while(|p| *p == "super").count();
            let base = &module[..module.len().saturating_sub(supers.max(1))];
            let (base, rest) = match path[0].as_str() {
                "crate" => (&[][..], &path[1..]),
                _ => (base, &path[supers..]),
            };
            let mut absolute = base.iter().copied().chain(rest.iter().map(String::as_str));
            let Some(target) = absolute.next() else { continue };
            match LAYERS.iter().position(|l| *l == target) {
                Some(rank) if rank == own_rank => {
                    let room = absolute.next();
                    found.extend(room.and_then(|room| higher_room(&module, room, line)));
                }
                Some(rank) if rank < own_rank => {}
                Some(_) => found.push(finding(line, format!("{own} uses the higher {target}"))),
                // The pipeline in lib.rs is above all layers but those that run it.
                None if ["folders", "corpus", "cli"].contains(&own) => {}
                None => found.push(finding(line, format!("{target} is not a layer"))),
            }
        }
    }
    found
}

/// Whether a room of the same layer is above that of the module.
fn higher_room(module: &[&str], room: &str, line: usize) -> Option<Finding> {
    let is_table = |name: &&str| TABLES.iter().any(|&t| t == (module[0], *name));
    if let Some(own) = module.get(1).filter(|own| is_table(own) && **own != room) {
        return Some(finding(line, format!("{own} uses {room}, and is for tables alone")));
    }
    let (_, rooms) = ROOMS.iter().find(|(layer, _)| Some(layer) == module.first())?;
    let rank = |name: &str| rooms.iter().position(|r| *r == name);
    // Without a room is below all rooms; the layer's own file declares them.
    let own = module.get(1)?;
    let target = rank(room)?;
    (rank(own) < Some(target)).then(|| finding(line, format!("{own} uses the higher room {room}")))
}

/// The files that a file of a module names, as modules, of those there are.
fn named(module: &[&str], tokens: &[Token], modules: &BTreeSet<String>) -> BTreeSet<String> {
    let mut all = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let starts = ["crate", "super", "self"].contains(&tokens[i].text.as_str())
            && tokens.get(i + 1).is_some_and(|t| t.text == ":")
            && tokens.get(i + 2).is_some_and(|t| t.text == ":");
        match starts {
            true => paths(tokens, &mut i, &[], &mut all),
            false => i += 1,
        }
    }
    let mut found = BTreeSet::new();
    for (path, _) in all {
        let supers = path.iter().take_while(|p| *p == "super").count();
        let (base, rest) = match path[0].as_str() {
            "crate" => (&[][..], &path[1..]),
            "self" => (module, &path[1..]),
            _ => (&module[..module.len().saturating_sub(supers)], &path[supers..]),
        };
        let parts: Vec<&str> =
            base.iter().copied().chain(rest.iter().map(String::as_str)).collect();
        let prefixes = (1..=parts.len()).rev().map(|n| parts[..n].join("/"));
        found.extend(prefixes.into_iter().find(|prefix| modules.contains(prefix)));
    }
    found
}

/// Modules that import each other in circles; what a module has from those below it, and they
/// from it, counts as one thing.
fn circles(files: &[(&str, &[Token])]) -> Vec<String> {
    let module = |file: &str| module_path(file).join("/");
    let modules: BTreeSet<String> = files.iter().map(|(file, _)| module(file)).collect();
    let below = |a: &str, b: &str| a.starts_with(&format!("{b}/"));
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, tokens) in files {
        let from = module(file);
        let mut to = named(&module_path(file), tokens, &modules);
        // The library's outline is above all of them.
        to.retain(|to| !from.is_empty() && *to != from && !below(&from, to));
        edges.insert(from, to);
    }
    fn reach<'e>(
        edges: &'e BTreeMap<String, BTreeSet<String>>,
        start: &'e String,
    ) -> BTreeSet<&'e String> {
        let (mut found, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(next) = open.pop() {
            open.extend(edges.get(next).into_iter().flatten().filter(|to| found.insert(*to)));
        }
        found
    }
    let reached: BTreeMap<&String, _> =
        edges.keys().map(|from| (from, reach(&edges, from))).collect();
    let mut found = BTreeSet::new();
    for (from, all) in &reached {
        let back = |to: &&&String| reached.get(**to).is_some_and(|all| all.contains(from));
        let circle: BTreeSet<&str> = all.iter().filter(back).map(|to| to.as_str()).collect();
        if !circle.is_empty() {
            let list: Vec<&str> = circle.into_iter().collect();
            found.insert(list.join(", "));
        }
    }
    found.into_iter().collect()
}

/// Calls that panic.
fn panics(tokens: &[Token]) -> Vec<Finding> {
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text.as_str());
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let called = i > 0 && [".", ":"].contains(&text(i - 1));
        let hit = match token.text.as_str() {
            "unwrap" | "expect" | "unwrap_err" | "expect_err" => called,
            "panic" | "todo" | "unimplemented" | "unreachable" => text(i + 1) == "!",
            _ => false,
        };
        if hit {
            found.push(finding(token.line, format!("{} outside of tests", token.text)));
        }
    }
    found
}

/// Names of the kernel's sections and symbols in the literals of a layer above `kernel`.
fn kernel_names(file: &str, tokens: &[Token]) -> Vec<Finding> {
    let rank = |layer: &str| LAYERS.iter().position(|l| *l == layer);
    let own = module_path(file).first().and_then(|layer| rank(layer));
    if own <= rank("running") {
        return Vec::new();
    }
    let is_name = |text: &str| {
        let rest = text.strip_prefix("__").or_else(|| text.strip_prefix('.'));
        // Shorter ones are extensions of files.
        rest.is_some_and(|rest| {
            rest.len() > 2 && rest.starts_with(|c: char| c.is_ascii_lowercase())
        }) && text.chars().all(|c| c.is_ascii_alphanumeric() || "._{}".contains(c))
            && !ELF_NAMES.iter().any(|name| text.starts_with(name))
    };
    let named = tokens.iter().filter(|t| is_name(&t.literal));
    named.map(|t| finding(t.line, format!("{} belongs to kernel::knowledge", t.literal))).collect()
}

/// How names of machines and of their relocations begin.
const MACHINES: [&str; 6] = ["EM_", "R_X86_64_", "R_AARCH64_", "R_PPC64_", "R_390_", "R_LARCH_"];

/// Machines and their relocations above `arch`, by name: what is known of one machine is a field of its `Arch`, so that
/// a new machine says it, too.
fn machines(file: &str, tokens: &[Token]) -> Vec<Finding> {
    let rank = |layer: &str| LAYERS.iter().position(|l| *l == layer);
    let own = module_path(file).first().and_then(|layer| rank(layer));
    if own <= rank("arch") {
        return Vec::new();
    }
    let names = tokens.iter().flat_map(|t| [&t.text, &t.literal].map(|name| (t.line, name)));
    let named = names.filter(|(_, name)| MACHINES.iter().any(|m| name.starts_with(m)));
    named.map(|(line, name)| finding(line, format!("{name} belongs to arch"))).collect()
}

/// Functions that are too long.
fn long_functions(tokens: &[Token]) -> Vec<Finding> {
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text.as_str());
    let mut found = Vec::new();
    for start in (0..tokens.len()).filter(|&i| text(i) == "fn" && text(i + 1) != "(") {
        let (mut depth, mut i) = (0, start);
        let body = loop {
            match text(i) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                "{" if depth == 0 => break Some(i),
                ";" | "" if depth == 0 => break None,
                _ => {}
            }
            i += 1;
        };
        let Some(mut i) = body else { continue };
        let mut depth = 0;
        while i < tokens.len() {
            match text(i) {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            i += 1;
        }
        let last = tokens.get(i).map_or(0, |t| t.line);
        let lines = last + 1 - tokens[start].line.min(last);
        if lines > LONGEST_FUNCTION {
            let name = text(start + 1);
            let what = format!("{name} has {lines} lines, more than {LONGEST_FUNCTION}: split it");
            found.push(finding(tokens[start].line, what));
        }
    }
    found
}

/// A file with its number of lines against the limit.
fn too_long(lines: usize) -> Option<Finding> {
    let what = format!("{lines} lines, {TOO_LONG} are too many: split it");
    (lines >= TOO_LONG).then(|| finding(lines, what))
}

// ---- The sources -----------------------------------------------------------------------

/// (path below `folder` with `/`, contents) of all `.rs` files, in order.
fn sources(folder: &Path) -> Vec<(String, String)> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                into.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(folder, &mut files);
    files.sort();
    let read = |path: PathBuf| {
        let parts: Vec<_> = path.strip_prefix(folder).unwrap().iter().collect();
        let name = parts.join("/".as_ref()).into_string().unwrap();
        (name, std::fs::read_to_string(path).unwrap())
    };
    files.into_iter().map(read).collect()
}

/// All findings in a set of files as `name:line: what`.
fn check(root: &str, files: &[(String, String)], layered: bool) -> Vec<String> {
    let mut parsed = Vec::new();
    let mut test_files = BTreeSet::new();
    for (name, source) in files {
        let (code, modules) = without_tests(tokens(source));
        let module = module_path(name).join("/");
        for test in modules {
            let path = if module.is_empty() { test } else { format!("{module}/{test}") };
            test_files.insert(path);
        }
        parsed.push((name, source, code));
    }
    let is_test = |name: &str| {
        let path = module_path(name);
        (1..=path.len()).any(|n| test_files.contains(&path[..n].join("/")))
    };
    let mut report = Vec::new();
    if layered {
        let code = parsed.iter().filter(|(name, ..)| !is_test(name));
        let code: Vec<_> = code.map(|(name, _, code)| (name.as_str(), code.as_slice())).collect();
        let told = |c| format!("{root}: imports go round in a circle: {c}");
        report.extend(circles(&code).into_iter().map(told));
    }
    for (name, source, code) in parsed {
        let full = format!("{root}/{name}");
        let mut found = Vec::new();
        if !is_test(name) {
            if layered {
                found.extend(upward(name, &code));
                found.extend(kernel_names(name, &code));
                found.extend(machines(name, &code));
            }
            found.extend(panics(&code));
            found.extend(long_functions(&code));
            // a group may name the same layer twice
            found.dedup();
        }
        found.extend(too_long(source.lines().count()));
        report.extend(found.iter().map(|f| format!("{full}:{}: {}", f.line, f.what)));
    }
    report
}

#[test]
fn sources_keep_the_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = sources(&root.join("src"));
    let mut report = check("src", &library, true);
    // another crate, whose modules are its own; it is above all layers
    let compat = sources(&root.join("kpatch-compat/src"));
    report.extend(check("kpatch-compat/src", &compat, false));
    assert!(report.is_empty(), "\n{}", report.join("\n"));
}

// ---- The scanner itself ----------------------------------------------------------------

fn words(source: &str) -> Vec<String> {
    tokens(source).into_iter().map(|t| t.text).collect()
}

fn scan(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = files.iter().map(|(n, s)| ((*n).to_owned(), (*s).to_owned())).collect();
    check("src", &files, true)
}

#[test]
fn tokens_leave_out_comments_and_literals() {
    assert_eq!(words("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
    assert_eq!(words(r##"f("x \" y", r#"p " q"#, b"z", 'c', '\'', b'\n')"##).len(), 14);
    assert_eq!(words("fn f<'a>(x: &'a str) {}").iter().filter(|w| *w == "a").count(), 2);
    assert_eq!(words("\"panic!()\" r\"todo!()\" '\"' x"), ["\"\"", "\"\"", "\"\"", "x"]);
    let lines: Vec<_> = tokens("a\n\"\n\n\"\nb").iter().map(|t| t.line).collect();
    assert_eq!(lines, [1, 2, 5]);
}

#[test]
fn upward_imports_are_found() {
    let cases = [
        "use crate::diff::twins;",
        "use crate::{diag::Error, diff::{self, twins}};",
        "use crate::{\n diag::Error,\n diff};",
        "fn f() -> crate::diff::Twins { x }",
        "pub(crate) use super::super::diff::Twins;",
        "use super::{super::diff::Twins};",
        "macro_rules! m { () => { $crate::diff::Twins } }",
        "#[cfg(not(test))] use crate::diff::twins;",
        "#[cfg(any(test, feature = \"x\"))] use crate::diff::twins;",
    ];
    for case in cases {
        let found = scan(&[("kernel/names.rs", case)]);
        let line = if case.contains('\n') { 3 } else { 1 };
        let want = format!("src/kernel/names.rs:{line}: kernel uses the higher diff");
        assert_eq!(found, [want], "{case}");
    }
    let found = scan(&[("kernel/knowledge/names.rs", "use crate::kernel::layout::Layout;")]);
    let want = "src/kernel/knowledge/names.rs:1: knowledge uses layout, and is for tables alone";
    assert_eq!(found, [want]);
    let found = scan(&[("elf/mod.rs", "use super::arch::Arch;")]);
    assert_eq!(found, ["src/elf/mod.rs:1: elf uses the higher arch"]);
    let found = scan(&[("diag/error.rs", "\nuse crate::elf::abi;")]);
    assert_eq!(found, ["src/diag/error.rs:2: diag uses the higher elf"]);
    let found = scan(&[("diff/pair/a.rs", "use crate::diff::compare::rows;")]);
    assert_eq!(found, ["src/diff/pair/a.rs:1: pair uses the higher room compare"]);
    let found = scan(&[("diff/a.rs", "use super::pair::twins;")]);
    assert_eq!(found, ["src/diff/a.rs:1: a uses the higher room pair"]);
    let found = scan(&[("diff/select/a.rs", "use crate::diff::{pair::twins, select::b, c};")]);
    assert_eq!(found, [""; 0]);
    let found = scan(&[("diff/a.rs", "use crate::Shortcut;")]);
    assert_eq!(found, ["src/diff/a.rs:1: Shortcut is not a layer"]);
    let found = scan(&[("util.rs", "")]);
    assert_eq!(found, ["src/util.rs:1: module util has no place among the layers"]);
}

#[test]
fn imports_downward_and_sideways_are_fine() {
    let good = "
        //! See [`crate::cli`].
        use crate::elf::{abi, ids::{Id, Side}};
        use crate::kernel::names as n;
        use crate::diag::{Error, Result};
        use super::{tables, super::arch};
        pub(crate) fn f() { let _ = \"crate::diff::x\"; crate::kernel::tables::g(super::diff()) }
    ";
    assert_eq!(scan(&[("kernel/names.rs", good)]), [""; 0]);
    assert_eq!(scan(&[("lib.rs", "pub mod cli; use crate::cli::run;")]), [""; 0]);
    // two levels down, `super::super` is still the same layer
    assert_eq!(scan(&[("kernel/a/b.rs", "use super::super::diff;")]), [""; 0]);
}

#[test]
fn circles_are_found() {
    let found = scan(&[
        ("elf/a.rs", "use super::b::X;"),
        ("elf/b.rs", "use crate::elf::{c, d};"),
        ("elf/c.rs", "use super::a::Y;"),
        ("elf/d.rs", "use crate::diag;"),
        ("elf/e.rs", "use super::a::Y;"),
    ]);
    assert_eq!(found, ["src: imports go round in a circle: elf/a, elf/b, elf/c"]);
    // A module and its parts may name each other.
    let found = scan(&[("elf/a.rs", "mod b; use self::b::X;"), ("elf/a/b.rs", "use super::Y;")]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn panics_are_found() {
    for (call, word) in [
        ("x.unwrap()", "unwrap"),
        ("x\n.expect(\"y\")", "expect"),
        ("x.map(Option::unwrap)", "unwrap"),
        ("x.unwrap_err()", "unwrap_err"),
        ("panic!(\"y\")", "panic"),
        ("todo!()", "todo"),
        ("unimplemented!()", "unimplemented"),
        ("std::unreachable!()", "unreachable"),
    ] {
        let line = if call.contains('\n') { 2 } else { 1 };
        let want = format!("src/elf/a.rs:{line}: {word} outside of tests");
        assert_eq!(scan(&[("elf/a.rs", &format!("fn f() {{ {call} }}"))]), [want], "{call}");
    }
    let harmless = "
        #[expect(dead_code)]
        fn unwrap(x: u8) -> u8 { let panic = x.unwrap_or(0); expect(panic) } // .unwrap()
    ";
    assert_eq!(scan(&[("elf/a.rs", harmless)]), [""; 0]);
}

#[test]
fn machines_are_told_apart_in_arch() {
    let source = "
        use crate::elf::abi::{self, EM_X86_64};
        // EM_386
        fn f(a: u16) -> bool { a == abi::EM_S390 || a == ITEM_SIZE || g(\"R_390_64\") }
        #[cfg(test)]
        mod tests { const X: u16 = abi::EM_AARCH64; }
    ";
    let found = scan(&[("kernel/names.rs", source)]);
    let wanted = [
        "src/kernel/names.rs:2: EM_X86_64 belongs to arch",
        "src/kernel/names.rs:4: EM_S390 belongs to arch",
        "src/kernel/names.rs:4: R_390_64 belongs to arch",
    ];
    assert_eq!(found, wanted);
    assert_eq!(scan(&[("arch/x86_64.rs", source), ("elf/header.rs", source)]), [""; 0]);
}

#[test]
fn test_code_is_exempt() {
    let tests = "
        #[cfg(test)]
        mod fixtures;
        #[cfg(test)]
        #[allow(dead_code)]
        fn helper(x: [u8; 2]) -> u8 { x.first().unwrap() }
        #[cfg(all(test, target_os = \"linux\"))]
        use crate::cli::run;
        #[cfg(test)]
        mod tests { use crate::diff::twins; fn f() { panic!() } }
    ";
    let fixtures = "use crate::cli::run; fn f() { todo!() }";
    assert_eq!(scan(&[("arch/mod.rs", tests), ("arch/fixtures.rs", fixtures)]), [""; 0]);
    // code behind the tests is not
    let behind = format!("{tests}\nfn f() {{ todo!() }}");
    let found = scan(&[("arch/mod.rs", &behind), ("arch/other.rs", fixtures)]);
    assert_eq!(
        found,
        [
            "src/arch/mod.rs:12: todo outside of tests",
            "src/arch/other.rs:1: arch uses the higher cli",
            "src/arch/other.rs:1: todo outside of tests",
        ]
    );
}

#[test]
fn long_files_are_found() {
    let lines = |n: usize| "\n".repeat(n);
    assert_eq!(scan(&[("elf/a.rs", &lines(TOO_LONG - 1))]), [""; 0]);
    let found = scan(&[("elf/a.rs", &lines(TOO_LONG))]);
    assert_eq!(found, ["src/elf/a.rs:650: 650 lines, 650 are too many: split it"]);
}
