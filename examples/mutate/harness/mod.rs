//! Mutates one thing at a time in a copy of an object, compares the pair and judges the
//! answer: exactly the functions that the mutation reaches must be named. Used by the test
//! `mutation` (a sample) and by the example `mutate` (a long run).

pub mod change;
pub mod map;
pub mod noise;
pub mod subjects;

use std::collections::{BTreeMap, BTreeSet};

use klp_diff::diag::Class as ErrorClass;
use klp_diff::elf::abi;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::{Input, Job, PatchContext, Run};

use map::Reach;

/// What the comparison answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Unchanged,
    Changed(BTreeSet<String>),
    Refused(String),
    Broken(String),
}

/// Compares two objects as `klp-diff ORIG PATCHED` does.
pub fn compare(orig: &[u8], patched: &[u8], sizes: &BTreeMap<String, String>) -> Answer {
    let job = Job {
        sizes: StructSizes::new(sizes.clone(), true),
        // Callers of what cannot be redirected do not change.
        context: PatchContext { no_lift: true, ..PatchContext::default() },
        ..Job::new(Input { name: "orig.o", data: orig }, Input { name: "patched.o", data: patched })
    };
    let Run { report, outcome } = klp_diff::run(&job);
    match outcome {
        klp_diff::Outcome::Refused(e) => {
            let details = e.details().first().map(|d| format!(" [{d}]")).unwrap_or_default();
            let text = format!("{}: {e}{details}", e.code());
            if e.class() == ErrorClass::Refused {
                Answer::Refused(text)
            } else {
                Answer::Broken(text)
            }
        }
        klp_diff::Outcome::Changed { .. } => {
            let functions = report.functions.iter().map(|f| f.name.clone());
            // What only runs at boot stays out of the patch, and is named in a warning.
            let left_out =
                report.warnings.iter().filter(|w| w.code() == klp_diff::diag::Code::BootOnly);
            let left_out = left_out.filter_map(|w| w.place().symbol.clone());
            Answer::Changed(functions.chain(left_out).collect())
        }
        klp_diff::Outcome::Unchanged => Answer::Unchanged,
    }
}

/// Writes a pair that got a wrong answer as `orig.o` and `patched.o` into the folder that
/// `MUTATE_KEEP` names; later pairs replace earlier ones.
pub fn keep(orig: &[u8], patched: &[u8]) {
    let Some(folder) = std::env::var_os("MUTATE_KEEP") else { return };
    for (name, bytes) in [("orig.o", orig), ("patched.o", patched)] {
        let path = std::path::Path::new(&folder).join(name);
        if let Err(error) = std::fs::write(&path, bytes) {
            eprintln!("{}: {error}", path.display());
        }
    }
}

/// How an answer compares with what the mutation reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Exactly the functions were named.
    Reported,
    /// Refused, although a patch could express it.
    Refused,
    /// Refused, and rightly: ftrace cannot hook the function, or it is data.
    RightlyRefused,
    /// Something was not named, or the pair was found unchanged.
    Missed,
    /// Functions were named that it does not reach.
    FalseAlarm,
    /// Noise, or unreachable bytes, and nothing was named.
    Quiet,
}

pub fn judge(reach: &Reach, unpatchable: bool, answer: &Answer) -> Outcome {
    match answer {
        Answer::Changed(named) => {
            if !reach.must.is_subset(named) || named.is_empty() && !reach.loud {
                Outcome::Missed
            } else if reach.loud
                || reach.unknown
                || named.iter().all(|n| reach.must.contains(n) || reach.may.contains(n))
            {
                Outcome::Reported
            } else {
                Outcome::FalseAlarm
            }
        }
        Answer::Unchanged => {
            if !reach.must.is_empty() || reach.loud {
                Outcome::Missed
            } else {
                Outcome::Quiet
            }
        }
        Answer::Refused(_) | Answer::Broken(_) => {
            if reach.must.is_empty() && !reach.loud && !reach.unknown {
                Outcome::FalseAlarm
            } else if reach.loud || reach.unknown || reach.state || unpatchable {
                Outcome::RightlyRefused
            } else {
                Outcome::Refused
            }
        }
    }
}

/// Numbers of outcomes by class of mutation.
#[derive(Default)]
pub struct Tally {
    pub counts: BTreeMap<&'static str, BTreeMap<Outcome, usize>>,
    /// The same of mutated rows, by table; they are counted by class as well.
    pub tables: BTreeMap<&'static str, BTreeMap<Outcome, usize>>,
    pub bad: Vec<String>,
    pub objects: usize,
}

impl Tally {
    pub fn add(&mut self, class: &'static str, outcome: Outcome, text: impl FnOnce() -> String) {
        *self.counts.entry(class).or_default().entry(outcome).or_default() += 1;
        if matches!(outcome, Outcome::Missed | Outcome::FalseAlarm | Outcome::Refused) {
            self.bad.push(format!("{outcome:?} {class}: {}", text()));
        }
    }

    pub fn total(&self, outcome: Outcome) -> usize {
        self.counts.values().filter_map(|c| c.get(&outcome)).sum()
    }

    pub fn all(&self) -> usize {
        self.counts.values().flat_map(BTreeMap::values).sum()
    }

    pub fn print(&self) {
        use Outcome::*;
        let columns = [Reported, Refused, RightlyRefused, Missed, FalseAlarm, Quiet];
        println!(
            "{:24}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "class", "reported", "refused", "rightly", "missed", "alarms", "quiet"
        );
        for (class, counts) in self.counts.iter().chain(&self.tables) {
            let cells: String =
                columns.iter().map(|c| format!("{:>10}", counts.get(c).unwrap_or(&0))).collect();
            println!("{class:24}{cells}");
        }
        println!(
            "{} mutations of {} objects: {} missed, {} refused, {} false alarms",
            self.all(),
            self.objects,
            self.total(Missed),
            self.total(Refused),
            self.total(FalseAlarm)
        );
    }
}

/// A small generator of numbers, so that a run can be repeated by its seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }
}

/// This repository's cases that have something of every class.
pub const CASES: [&str; 14] = [
    "jump-label",
    "static-call",
    "extable",
    "trap-flags",
    "alternative",
    "alternative-replacement",
    "lock-prefix",
    "switch-lookup",
    "switch-jump-table",
    "constant-table",
    "local-array",
    "string-table",
    "cold-part",
    "several-changes",
];

/// `count` mutations of each class and one run of each kind of noise, for every subject.
pub fn run_all(subjects: &[subjects::Subject], count: usize, seed: u64, tally: &mut Tally) {
    use klp_diff::elf::ids::Patched;
    use klp_diff::elf::object::Object;
    use klp_diff::kernel::layout::Layout;
    for (number, subject) in subjects.iter().enumerate() {
        let mut random = Random(seed.wrapping_mul(0x1_0000_0001).wrapping_add(number as u64));
        let Ok(object) = Object::<Patched>::parse(&subject.name, &subject.bytes) else { continue };
        let Ok(layout) = Layout::new(&object) else { continue };
        // The sizes that go with the reference cases are not always those of their kernels.
        let mut sizes = subject.sizes.clone();
        {
            let map = map::Map::new(&layout, &subject.sizes);
            for section in object.sections() {
                if let Some((kind, size)) = map.row_kind(section)
                    && !kind.size.starts_with('=')
                {
                    sizes.insert(kind.size.to_owned(), size.to_string());
                }
            }
        }
        let own = compare(&subject.bytes, &subject.bytes, &sizes);
        if own != Answer::Unchanged {
            tally.add("itself", Outcome::FalseAlarm, || format!("{}: {own:?}", subject.name));
            continue;
        }
        tally.objects += 1;
        let map = map::Map::new(&layout, &sizes);
        let mutator = change::Mutator::new(&map, &subject.bytes);
        for class in change::CLASSES {
            for _ in 0..count {
                let Some(mutation) = mutator.make(class, &mut random) else { break };
                let answer = compare(&subject.bytes, &mutation.bytes, &sizes);
                let answer = match answer {
                    Answer::Changed(names) => {
                        Answer::Changed(names.iter().map(|n| map.canonical(n).to_owned()).collect())
                    }
                    other => other,
                };
                // Objects for ppc64 that were not compiled for kpatch cannot be patched.
                let sibling_call = object.header().machine == abi::EM_PPC64
                    && matches!(&answer, Answer::Broken(text) if text.starts_with("sibling-call"));
                let unpatchable =
                    sibling_call || change::has_unpatchable(&map, &mutation.reach.must);
                let outcome = judge(&mutation.reach, unpatchable, &answer);
                if matches!(outcome, Outcome::Missed | Outcome::FalseAlarm) {
                    keep(&subject.bytes, &mutation.bytes);
                }
                if let Some(table) = mutation.table {
                    *tally.tables.entry(table).or_default().entry(outcome).or_default() += 1;
                }
                tally.add(mutation.class, outcome, || {
                    format!(
                        "{}: {}: wanted {:?}, got {answer:?}",
                        subject.name, mutation.text, mutation.reach
                    )
                });
            }
        }
        noise::run(subject, &sizes, &object, &mut random, tally);
    }
}
