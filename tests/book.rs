//! The book in docs/ and the pages beside it: nothing leads to what is not there, and every command
//! line is run, or says what it needs.
//!
//! | fence | |
//! |---|---|
//! | `console,run` | a session: `$ ` a command, `> ` its further lines, then what it prints; a line `...` is any number of lines, and at the end of one it is any text. The commands of a page share a folder |
//! | `console,needs-WHAT` | not run here; [`NEEDS`] says what is missing |
//! | one of [`PLAIN`] | no commands |
//!
//! What a session runs ends with 0, or it says with what (`; echo "status $?"`). All commands, also those in the text,
//! name options, targets and files that there are.

#[path = "book/named.rs"]
mod named;
#[path = "common/suite.rs"]
mod suite;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What commands may need that a test does not have.
const NEEDS: [(&str, &str); 7] = [
    ("kernel", "the objects, the image or the prepared tree of a kernel"),
    ("kpatch", "kpatch-build"),
    ("root", "rights to install, or to load a module"),
    ("packages", "packages of a distribution or of a registry"),
    ("checkout", "a clone of the repository, and time"),
    ("lto", "a kernel tree and clang"),
    ("corpus", "a corpus of one's own"),
];

/// Languages of fences without commands.
const PLAIN: [&str; 7] = ["text", "json", "toml", "yaml", "c", "rust", "diff"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages, as paths from the root.
fn pages() -> Vec<PathBuf> {
    let beside = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    let further = ["fuzz/README.md", "kpatch-compat/README.md"];
    let mut pages: Vec<PathBuf> = beside.into_iter().chain(further).map(PathBuf::from).collect();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name();
        if Path::new(&name).extension().is_some_and(|e| e == "md") {
            pages.push(Path::new("docs").join(name));
        }
    }
    pages.sort();
    pages
}

fn read(page: &Path) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("{}: {e}", page.display()))
}

/// A fenced block: line, language and text.
struct Fence {
    line: usize,
    language: String,
    text: String,
    /// Columns it is set in.
    indent: usize,
}

/// The fences of a page, and what is left without them and without code in lines.
fn take_apart(text: &str) -> (Vec<Fence>, String) {
    let (mut fences, mut rest) = (Vec::<Fence>::new(), String::new());
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            if !open {
                fences.push(Fence {
                    line: index + 1,
                    language: language.to_owned(),
                    text: String::new(),
                    indent: line.len() - line.trim_start().len(),
                });
            }
            open = !open;
        } else if open {
            // A fence in a list is set in like its item.
            let fence = fences.last_mut().unwrap();
            fence.text += line.get(fence.indent..).unwrap_or_default();
            fence.text.push('\n');
        } else {
            let outside = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
            rest += &outside;
        }
        rest.push('\n');
    }
    assert!(!open, "a fence is not closed");
    (fences, rest)
}

/// What a heading is called in links: as GitHub and mdBook do.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let text = read(page);
    let mut open = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        open ^= line.trim_start().starts_with("```");
        if !open && line.starts_with('#') {
            found.insert(anchor(line.trim_start_matches('#').trim()));
        }
    }
    found
}

/// The targets of links `[text](target)`.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                found.push((index + 1, target));
            }
        }
    }
    found
}
fn no_link_is_dead() {
    let mut dead = Vec::new();
    for page in pages() {
        let (_, text) = take_apart(&read(&page));
        for (line, link) in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let place = format!("{}:{line}: {link}", page.display());
            if !root().join(&target).exists() {
                dead.push(place);
            } else if !fragment.is_empty() && !anchors(&target).contains(fragment) {
                dead.push(format!("{place}: no such heading"));
            }
            // What is not of the book has no place in it.
            let inside = |p: &Path| p.starts_with("docs") && !p.to_string_lossy().contains("..");
            if inside(&page) && !inside(&target) {
                dead.push(format!("{}:{line}: {link} leads out of the book", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}
fn every_page_has_its_place_in_the_book() {
    let summary = read(Path::new("docs/SUMMARY.md"));
    let listed: Vec<&str> = links(&summary).into_iter().map(|(_, link)| link).collect();
    let of_book = |page: &PathBuf| page.strip_prefix("docs").map(Path::to_owned).ok();
    let mut lost: Vec<PathBuf> = pages().iter().filter_map(of_book).collect();
    lost.retain(|name| {
        name != Path::new("SUMMARY.md") && !listed.iter().any(|l| Path::new(l) == name)
    });
    assert!(lost.is_empty(), "not in docs/SUMMARY.md: {lost:?}");
}
fn every_command_is_run_or_says_what_it_needs() {
    let mut wrong = Vec::new();
    for page in pages() {
        let (fences, rest) = take_apart(&read(&page));
        let mut say = |line: usize, what: &str| {
            wrong.push(format!("{}:{line}: {what}", page.display()));
        };
        for Fence { line, language, text, .. } in &fences {
            let commands = text.lines().any(|l| l.starts_with("$ "));
            match language.split_once(',') {
                Some(("console", "run")) => {}
                Some(("console", needs)) => {
                    let name = needs.strip_prefix("needs-");
                    if !NEEDS.iter().any(|(known, _)| Some(*known) == name) {
                        say(*line, &format!("'{needs}' says nothing that tests/book.rs knows"));
                    }
                }
                _ if language == "console" => say(*line, "a session must say run or needs-WHAT"),
                _ if language.is_empty() => say(*line, "a fence without a language"),
                _ if commands => say(*line, "commands belong into a fence of console"),
                _ if PLAIN.contains(&language.as_str()) => {}
                _ => say(*line, &format!("'{language}' is no language that tests/book.rs knows")),
            }
            if language.starts_with("console") && !text.starts_with("$ ") {
                say(*line, "a session begins with a command");
            }
        }
        let lines: Vec<&str> = rest.lines().collect();
        for (index, pair) in lines.windows(2).enumerate() {
            if pair[0].trim().is_empty()
                && pair[1].starts_with("    ")
                && !pair[1].trim().is_empty()
            {
                say(index + 2, "indented code: use a fence, which says what it is");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Pieces of code in lines.
fn spans(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate();
    lines
        .flat_map(|(n, line)| line.split('`').skip(1).step_by(2).map(move |s| (n + 1, s)))
        .collect()
}

fn what_commands_name_is_there() {
    let Some(programs) = programs() else {
        crate::suite::lacks("create-diff-object is not built");
        return;
    };
    let mut named = named::Named::new(root(), &programs);
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in pages() {
        let text = read(&page);
        let (fences, _) = take_apart(&text);
        let mut commands: Vec<(usize, String)> = Vec::new();
        // What is run is seen to be right or wrong.
        for fence in fences.iter().filter(|f| f.language.starts_with("console,needs")) {
            commands.extend(session(&fence.text).into_iter().map(|s| (fence.line, s.command)));
        }
        let mut open = false;
        let outside = text.lines().map(|line| {
            let fence = line.trim_start().starts_with("```");
            open ^= fence;
            if open || fence { "" } else { line }
        });
        let outside = outside.collect::<Vec<_>>().join("\n");
        commands.extend(spans(&outside).into_iter().map(|(line, s)| (line, s.to_owned())));
        for (line, command) in commands {
            count += 1;
            for what in named.wrong(&command) {
                wrong.push(format!("{}:{line}: `{command}`: {what}", page.display()));
            }
        }
    }
    assert!(count > 1000, "only {count} were looked at");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A command and what it prints.
struct Step {
    command: String,
    prints: Vec<String>,
}

fn session(text: &str) -> Vec<Step> {
    let mut steps = Vec::<Step>::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), prints: Vec::new() });
        } else if let Some(more) = line.strip_prefix("> ").or((line == ">").then_some("")) {
            let step = steps.last_mut().unwrap();
            step.command.push('\n');
            step.command += more;
        } else {
            steps.last_mut().unwrap().prints.push(line.to_owned());
        }
    }
    steps
}

/// Whether `lines` are as the book has them, where `...` is any number of lines.
fn fits(wanted: &[String], lines: &[&str]) -> bool {
    match wanted {
        [] => lines.is_empty(),
        [first, rest @ ..] if first.trim() == "..." => {
            (0..=lines.len()).any(|n| fits(rest, &lines[n..]))
        }
        [first, rest @ ..] => {
            let same = |line: &&str| match first.strip_suffix("...") {
                Some(start) => line.starts_with(start),
                None => line == first,
            };
            lines.first().is_some_and(same) && fits(rest, &lines[1..])
        }
    }
}

/// The folders of our programs and of kpatch's, which only a build of the workspace has.
fn programs() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_BIN_EXE_klp-diff")).parent()?.to_owned();
    folder.join("create-diff-object").exists().then_some(folder)
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}
fn sessions_print_what_the_book_says() {
    let Some(programs) = programs() else {
        crate::suite::lacks("create-diff-object is not built");
        return;
    };
    if !cfg!(target_arch = "x86_64") || ["gcc", "readelf", "bash"].iter().any(|p| !has(p)) {
        crate::suite::lacks("needs gcc for x86_64, readelf and bash");
        return;
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut count = 0;
    for page in pages() {
        let (fences, _) = take_apart(&read(&page));
        let folder = tempfile::tempdir().unwrap();
        for fence in fences.iter().filter(|f| f.language == "console,run") {
            for Step { command, prints } in session(&fence.text) {
                let output = Command::new("bash")
                    .args(["-c", &format!("exec 2>&1; {command}")])
                    .current_dir(folder.path())
                    .env("PATH", &path)
                    .env("LC_ALL", "C")
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let lines: Vec<&str> = said.lines().collect();
                assert!(
                    fits(&prints, &lines),
                    "{}:{}: `{command}` printed\n{said}and the page says\n{}",
                    page.display(),
                    fence.line,
                    prints.join("\n")
                );
                assert!(
                    output.status.success() || command.contains("$?"),
                    "{}:{}: `{command}` ends with {} and the page does not say so: {said}",
                    page.display(),
                    fence.line,
                    output.status
                );
                count += 1;
            }
        }
    }
    assert!(count > 20, "only {count} commands were run");
}

/// Where a test goes is looked up on one page.
fn every_suite_is_listed() {
    let text = read(&root().join("CONTRIBUTING.md"));
    let (_, section) = text.split_once("## Where does a test go?").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let named: BTreeSet<&str> = section.split('`').skip(1).step_by(2).collect();
    let names = fs::read_dir(root().join("tests")).unwrap().map(|entry| entry.unwrap().path());
    let suites = names.filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let suites: Vec<String> =
        suites.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let missing: Vec<_> = suites.iter().filter(|name| !named.contains(name.as_str())).collect();
    assert!(suites.len() > 50 && missing.is_empty(), "CONTRIBUTING.md does not list {missing:?}");
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("every_suite_is_listed", every_suite_is_listed),
        ("no_link_is_dead", no_link_is_dead),
        ("every_page_has_its_place_in_the_book", every_page_has_its_place_in_the_book),
        ("every_command_is_run_or_says_what_it_needs", every_command_is_run_or_says_what_it_needs),
        ("what_commands_name_is_there", what_commands_name_is_there),
        ("sessions_print_what_the_book_says", sessions_print_what_the_book_says),
    ])
}
