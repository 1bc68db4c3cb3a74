//! What the pages name: programs with their options, targets of make and cargo, files of the sources. Commands that no
//! test can run, for want of a kernel or of rights, are looked at here like all others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of the sources, and rooms of `src`, which the pages name without it.
const FOLDERS: [&str; 21] = [
    "src",
    "tests",
    "docs",
    "packaging",
    "corpus",
    "examples",
    "benches",
    "fuzz",
    "kpatch-compat",
    ".ci",
    "diag",
    "elf",
    "arch",
    "kernel",
    "running",
    "diff",
    "patch",
    "prove",
    "report",
    "pipeline",
    "cli",
];

/// What a page names that is wrong.
pub struct Named<'a> {
    root: &'a Path,
    programs: &'a Path,
    /// Help of each program and verb that was asked.
    helps: BTreeMap<Vec<String>, String>,
}

impl<'a> Named<'a> {
    pub fn new(root: &'a Path, programs: &'a Path) -> Named<'a> {
        Named { root, programs, helps: BTreeMap::new() }
    }

    /// What is wrong with a command line, or with a piece of text that may be one.
    pub fn wrong(&mut self, text: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for command in simple_commands(text) {
            let Some((program, words)) = command.split_first() else { continue };
            let said = match program.as_str() {
                "klp-diff" | "create-diff-object" | "create-klp-module" => self.options(&command),
                "make" => self.make(words),
                "cargo" => self.cargo(words),
                _ => None,
            };
            wrong.extend(said);
            wrong.extend(command.iter().filter_map(|word| self.file(word)));
        }
        wrong
    }

    fn options(&mut self, command: &[String]) -> Option<String> {
        let mut names = vec![command[0].clone()];
        let mut rest = &command[1..];
        // Verbs come first, and verbs of verbs behind them.
        while let Some(verb) = rest.first().filter(|word| self.is_verb(&names, word)) {
            names.push(verb.clone());
            rest = &rest[1..];
        }
        let help = self.help(&names).to_owned();
        let known = |option: &str| {
            let name = option.split(['=', '[']).next().unwrap_or_default();
            let ends = [' ', ',', '=', '[', '\n'];
            help.match_indices(name).any(|(at, _)| {
                help[..at].ends_with([' ', '\n']) && help[at + name.len()..].starts_with(ends)
            })
        };
        let options = rest.iter().take_while(|word| *word != "--").filter(|w| w.starts_with('-'));
        let unknown = options.filter(|word| *word != "-").find(|word| !known(word))?;
        Some(format!("{} has no option {unknown}", names.join(" ")))
    }

    fn is_verb(&mut self, names: &[String], word: &str) -> bool {
        let names = names.to_vec();
        let help = self.help(&names);
        let listed =
            |line: &&str| line.starts_with("  ") && line.split_whitespace().next() == Some(word);
        let lists =
            help.lines().skip_while(|l| !l.starts_with("Verbs") && !l.starts_with("Commands:"));
        lists.skip(1).take_while(|l| !l.is_empty()).any(|line| listed(&line))
    }

    fn help(&mut self, names: &[String]) -> &str {
        let programs = self.programs;
        self.helps.entry(names.to_vec()).or_insert_with(|| {
            let run =
                Command::new(programs.join(&names[0])).args(&names[1..]).arg("--help").output();
            String::from_utf8(run.expect("the program runs").stdout).expect("text")
        })
    }

    fn make(&self, words: &[String]) -> Option<String> {
        if words
            .iter()
            .any(|word| word.starts_with("-C") || word.contains("CC=") || word.ends_with(".o"))
        {
            // That of another folder.
            return None;
        }
        let makefile = self.read("Makefile");
        let target = |word: &&String| !makefile.contains(&format!("\n{word}:"));
        let variable = |word: &&String| {
            let name = word.split('=').next().unwrap_or_default();
            !makefile.contains(&format!("\n{name} ?="))
        };
        let wrong = words.iter().find(|word| match word.split_once('=') {
            Some((name, _)) => name != "DESTDIR" && variable(word),
            None => target(word),
        })?;
        Some(format!("the Makefile has no {wrong}"))
    }

    fn cargo(&self, words: &[String]) -> Option<String> {
        for pair in words.windows(2) {
            let file = match pair[0].as_str() {
                "--test" => format!("tests/{}", pair[1]),
                "--example" => format!("examples/{}", pair[1]),
                "--path" => pair[1].clone(),
                _ => continue,
            };
            let exists = |end: &str| self.root.join(format!("{file}{end}")).exists();
            if !is_placeholder(&pair[1]) && !exists("") && !exists(".rs") {
                return Some(format!("there is no {file}"));
            }
        }
        None
    }

    /// A file of the sources that is not there.
    fn file(&self, word: &str) -> Option<String> {
        let path = word.strip_prefix("./").unwrap_or(word).trim_end_matches(['/', ',', '.', ':']);
        let first = path.split('/').next()?;
        if is_placeholder(path) || !path.contains('/') || !FOLDERS.contains(&first) {
            return None;
        }
        // What a word goes on with is a name in the file, or in the kernel's tree.
        let candidates: [PathBuf; 2] = [self.root.join(path), self.root.join("src").join(path)];
        let there = candidates.iter().any(|file| file.exists()) || self.is_made(path);
        // The kernel has folders of these names, too.
        let of_kernel = [".c", ".S", ".o", ".h"].iter().any(|end| path.ends_with(end));
        (!there && !of_kernel).then(|| format!("there is no {word}"))
    }

    /// Whether commands make it: what git ignores.
    fn is_made(&self, path: &str) -> bool {
        let Some((folder, rest)) = path.split_once('/') else { return false };
        let ignored = std::fs::read_to_string(self.root.join(folder).join(".gitignore"));
        let listed = |line: &str| rest.starts_with(line.trim_start_matches('/'));
        ignored.is_ok_and(|text| text.lines().any(listed))
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.root.join(name)).expect("a file of the sources")
    }
}

/// A path with a word for others in it: `src/arch/NAME.rs`, `target/*.o`.
fn is_placeholder(path: &str) -> bool {
    let capitals =
        |part: &str| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    path.contains(['*', '$', '<', '[', '(', '|']) || path.split(['/', '.', '-']).any(capitals)
}

/// The simple commands of a line for the shell, as words: what operators and `$(` part. Enough for how the pages write.
fn simple_commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut document: Option<String> = None;
    for line in text.lines() {
        if let Some(end) = &document {
            if line == end.as_str() {
                document = None;
            }
            continue;
        }
        for word in words(line) {
            match word.as_str() {
                "&&" | "||" | ";" | "|" | "$(" | ")" | "do" | "done" | "then" => {
                    commands.push(Vec::new())
                }
                "sudo" => {}
                _ => {
                    let document_end = word.strip_prefix("<<").map(|end| end.trim_matches('\''));
                    document = document.take().or(document_end.map(str::to_owned));
                    commands.last_mut().expect("begun with one").push(word);
                }
            }
        }
        if !line.ends_with('\\') {
            commands.push(Vec::new());
        }
    }
    for command in &mut commands {
        // Settings for one command, and the folder that a program is given with.
        let settings = command.iter().take_while(|word| is_setting(word)).count();
        command.drain(..settings);
    }
    commands.retain(|command| !command.is_empty());
    commands
}

fn is_setting(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    })
}

/// Words of a line without its comment. Operators are words; quotes keep together what they hold.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => word.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if word.is_empty() => break,
            (None, '$') if chars.peek() == Some(&'(') => {
                chars.next();
                words.extend([std::mem::take(&mut word), "$(".to_owned()]);
            }
            (None, ')' | ';') => words.extend([std::mem::take(&mut word), c.to_string()]),
            (None, _) if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            (None, _) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty() && word != "\\");
    words
}
