//! Compares mutants in this process: on few threads, with a limit of time, and through panics.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use klp_diff::diag::Class;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::report::Report;
use klp_diff::{Input, Job, Outcome, Policy, Run};

use super::model::File;
use super::mutants::{Mutant, RelocEdit, SymbolEdit};

/// Bytes of an entry of a symbol table, and of one of relocations.
const ENTRY: u64 = 24;

/// How mutants are compared.
#[derive(Clone, Debug)]
pub struct Options {
    pub jobs: usize,
    /// How to decide where kpatch's tool and this one differ.
    pub policy: Policy,
    pub limit: Duration,
    /// Folder for the first pair of each class that is to be looked at.
    pub keep: Option<PathBuf>,
}

/// What was ignored, as the comparison lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    pub fields: Vec<Field>,
}

/// One entry of the list: a rule and the bytes of a section that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub rule: &'static str,
    pub section: String,
    pub start: u64,
    pub end: u64,
    /// What shows that the rule holds; begins with the field's name where that is in no contents.
    pub evidence: String,
}

impl Silence {
    fn new(report: &Report) -> Silence {
        let fields = report.ignored.iter().map(|noise| Field {
            rule: noise.rule,
            section: noise.section.clone(),
            start: noise.offset,
            end: noise.offset.saturating_add(noise.width),
            evidence: noise.evidence.clone(),
        });
        Silence { fields: fields.collect() }
    }

    /// The rule that names what a mutant changed.
    pub fn rule(&self, file: &File, mutant: &Mutant) -> Option<&'static str> {
        match *mutant {
            Mutant::Symbol { index, edit } => {
                let place = mutant.apply(file).place_of(index) as u64 * ENTRY;
                // With another name it may be what the other one was.
                let ((at, width), other) = match edit {
                    SymbolEdit::Name(other) => {
                        ((0, ENTRY), mutant.apply(file).place_of(other) as u64 * ENTRY)
                    }
                    _ => (edit.field(), place),
                };
                let of = |place: u64| self.within(".symtab", (place + at, place + at + width));
                of(place).or_else(|| of(other))
            }
            Mutant::Section { index, edit } => {
                let name = &file.sections[index].name;
                let mut fields = self.fields.iter().filter(|f| f.section == *name);
                fields.find(|f| f.evidence.starts_with(edit.field())).map(|f| f.rule)
            }
            Mutant::Reloc { section, index, edit } => {
                let name = &file.sections[section].name;
                let relocs = &file.sections[section].relocs;
                let old = relocs[index].offset;
                let other = match edit {
                    RelocEdit::Order | RelocEdit::Exchanged => relocs[index + 1].offset,
                    RelocEdit::Place(new) => new,
                    _ => old,
                };
                let from = index as u64 * ENTRY;
                self.within(name, (old.min(other), old.max(other) + 1)).or_else(|| {
                    let table = format!(".rela{name}");
                    // The last one of a table may be gone with it.
                    self.within(&table, (from, from + 2 * ENTRY))
                        .or_else(|| self.within(name, (from, from + 2 * ENTRY)))
                })
            }
            Mutant::Byte { section, at, .. } => {
                self.within(&file.sections[section].name, (at, at + 1))
            }
            Mutant::Row { section, at, size, .. } => {
                let name = &file.sections[section].name;
                let table = format!(".rela{name}");
                self.within(name, (at, at + 2 * size))
                    .or_else(|| self.within(name, (file.sections[section].size - size, u64::MAX)))
                    .or_else(|| self.within(&table, (0, u64::MAX)))
            }
            Mutant::Flags(_) => None,
        }
    }

    /// The rule of an entry about any byte of a range of a section.
    fn within(&self, section: &str, (start, end): (u64, u64)) -> Option<&'static str> {
        let mut fields = self.fields.iter().filter(|f| f.section == section);
        fields.find(|f| f.start < end && start < f.end).map(|f| f.rule)
    }
}

/// What the comparison says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Named(BTreeSet<String>),
    Refused(String),
    Warned(String),
    Silent(Silence),
    Panicked(String),
    TooSlow,
}

thread_local! {
    static PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Keeps the text of a panic instead of printing it.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
            PANIC.with_borrow_mut(|text| *text = place.unwrap_or_default());
        }));
    });
}

fn compare(
    orig: &[u8],
    patched: &[u8],
    sizes: &BTreeMap<String, String>,
    options: &Options,
) -> Answer {
    let job = Job {
        sizes: StructSizes::new(sizes.clone(), true),
        policy: options.policy,
        wanted: klp_diff::report::explain::Wanted { noise: true, ..Default::default() },
        ..Job::new(Input { name: "orig.o", data: orig }, Input { name: "patched.o", data: patched })
    };
    let run = catch_unwind(AssertUnwindSafe(|| klp_diff::run(&job)));
    let Ok(Run { report, outcome }) = run else {
        return Answer::Panicked(PANIC.with_borrow(|text| text.clone()));
    };
    match outcome {
        Outcome::Refused(error) => {
            let class = if error.class() == Class::Refused { "refused" } else { "broken" };
            Answer::Refused(format!("{class}: {}", error.code()))
        }
        Outcome::Changed { .. } => {
            Answer::Named(report.functions.iter().map(|f| f.name.clone()).collect())
        }
        Outcome::Unchanged => match report.warnings.first() {
            Some(warning) => Answer::Warned(warning.code().name().to_owned()),
            None => Answer::Silent(Silence::new(&report)),
        },
    }
}

/// What all threads of a run share.
struct Shared {
    file: File,
    orig: Vec<u8>,
    /// Where each section's contents are in `orig`.
    places: Vec<usize>,
    sizes: BTreeMap<String, String>,
    mutants: Vec<Mutant>,
    options: Options,
    next: AtomicUsize,
    /// What each thread is at.
    current: Mutex<BTreeMap<usize, usize>>,
}

impl Shared {
    fn bytes(&self, mutant: &Mutant) -> Vec<u8> {
        if let Mutant::Byte { section, at, value } = *mutant {
            let mut bytes = self.orig.clone();
            bytes[self.places[section] + at as usize] = value;
            return bytes;
        }
        mutant.apply(&self.file).write().0
    }
}

/// The answers to all mutants, in order.
pub fn answers(
    file: &File,
    sizes: &BTreeMap<String, String>,
    mutants: &[Mutant],
    options: &Options,
) -> Vec<Answer> {
    quiet_panics();
    let (orig, places) = file.write();
    let shared = Arc::new(Shared {
        file: file.clone(),
        orig,
        places,
        sizes: sizes.clone(),
        mutants: mutants.to_vec(),
        options: options.clone(),
        next: AtomicUsize::new(0),
        current: Mutex::default(),
    });
    let (sender, receiver) = channel();
    let mut threads = 0;
    let start = |name: usize| {
        let (shared, sender) = (Arc::clone(&shared), sender.clone());
        std::thread::spawn(move || {
            // A pool of one thread, on which everything of a comparison runs.
            let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return };
            loop {
                let i = shared.next.fetch_add(1, Ordering::Relaxed);
                let Some(mutant) = shared.mutants.get(i) else { break };
                let bytes = shared.bytes(mutant);
                if let Ok(mut current) = shared.current.lock() {
                    current.insert(name, i);
                }
                let answer =
                    pool.install(|| compare(&shared.orig, &bytes, &shared.sizes, &shared.options));
                if sender.send((name, i, answer)).is_err() {
                    break;
                }
            }
        });
    };
    while threads < options.jobs.max(1) {
        start(threads);
        threads += 1;
    }
    let mut found: Vec<Option<Answer>> = vec![None; mutants.len()];
    let mut lost: BTreeSet<usize> = BTreeSet::new();
    let mut last = vec![std::time::Instant::now(); threads];
    while found.iter().any(Option::is_none) {
        match receiver.recv_timeout(options.limit / 4) {
            Ok((name, i, answer)) => {
                last[name] = std::time::Instant::now();
                if found[i].is_none() {
                    found[i] = Some(answer);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let mut replacements = 0;
        for (name, since) in last.iter().enumerate() {
            if lost.contains(&name) || since.elapsed() < options.limit {
                continue;
            }
            let at = shared.current.lock().ok().and_then(|c| c.get(&name).copied());
            let Some(at) = at.filter(|&i| found[i].is_none()) else { continue };
            // The thread cannot be stopped: another takes its place.
            found[at] = Some(Answer::TooSlow);
            lost.insert(name);
            replacements += 1;
        }
        for _ in 0..replacements {
            start(threads);
            threads += 1;
            last.push(std::time::Instant::now());
        }
    }
    found.into_iter().map(|a| a.unwrap_or(Answer::TooSlow)).collect()
}

/// Writes a pair that is to be looked at.
pub fn keep(options: &Options, file: &File, mutant: &Mutant, text: &str) {
    let Some(folder) = &options.keep else { return };
    let count = std::fs::read_dir(folder).map_or(0, Iterator::count);
    let folder = folder.join(format!("{:04}-{}", count, mutant.kind().replace(' ', "-")));
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join("orig.o"), file.write().0))
        .and_then(|()| std::fs::write(folder.join("patched.o"), mutant.apply(file).write().0))
        .and_then(|()| std::fs::write(folder.join("what"), text));
    if let Err(error) = written {
        eprintln!("{}: {error}", folder.display());
    }
}
