//! Changes every single thing of small objects, one at a time, and sees that no change passes
//! in silence without a rule that names it.
//!
//! A pair is (object, mutant). Right answers: the functions that it reaches, a refusal, an
//! error, or silence when a rule of the comparison names exactly that field. What passes in
//! silence is judged by a second model, too ([`second`]).

pub mod model;
pub mod mutants;
pub mod objects;
pub mod reach;
pub mod runner;
pub mod second;
pub mod tables;

use std::collections::BTreeMap;

use crate::harness::subjects::Subject;
use model::File;
use mutants::{Mutant, mixed};
use reach::Reached;
use runner::{Answer, Options};
use second::{Model, Second};

/// How the answer to one mutant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Reported,
    /// Functions were named that it does not reach, or not those that it does.
    Wrong,
    Refused,
    /// Nothing was named but a warning was given.
    Warned,
    /// Silent, and a rule names the field.
    Ruled,
    /// Silent, and the second model proves that it means the same: what is in no section's
    /// contents is not listed by the comparison.
    Proved,
    /// Silent without a rule or a proof.
    Silent,
    Panicked,
    TooSlow,
}

pub const OUTCOMES: [Outcome; 9] = [
    Outcome::Reported,
    Outcome::Refused,
    Outcome::Ruled,
    Outcome::Proved,
    Outcome::Warned,
    Outcome::Silent,
    Outcome::Wrong,
    Outcome::Panicked,
    Outcome::TooSlow,
];

/// Mutants of one class: kind, where, what the second model or the rule says.
#[derive(Clone, Debug, Default)]
pub struct Group {
    pub count: usize,
    pub example: String,
}

#[derive(Debug, Default)]
pub struct Tally {
    pub objects: usize,
    pub kinds: BTreeMap<&'static str, BTreeMap<Outcome, usize>>,
    pub rules: BTreeMap<String, usize>,
    /// (outcome, kind, class of section, judgement).
    pub groups: BTreeMap<(Outcome, &'static str, String, String), Group>,
}

impl Tally {
    pub fn total(&self, outcome: Outcome) -> usize {
        self.kinds.values().filter_map(|c| c.get(&outcome)).sum()
    }

    pub fn all(&self) -> usize {
        self.kinds.values().flat_map(BTreeMap::values).sum()
    }

    /// Silent mutants of which the second model says that they mean something else.
    pub fn refuted(&self) -> usize {
        let silent = |o: Outcome| matches!(o, Outcome::Silent | Outcome::Ruled);
        let groups = self.groups.iter().filter(|(k, _)| silent(k.0) && k.3.contains("DIFFERS"));
        groups.map(|g| g.1.count).sum()
    }

    /// Whether nothing passed that should not.
    pub fn is_good(&self) -> bool {
        let bad = [Outcome::Silent, Outcome::Wrong, Outcome::Panicked, Outcome::TooSlow];
        self.refuted() == 0 && bad.into_iter().all(|o| self.total(o) == 0)
    }

    pub fn print(&self) {
        print!("{:24}", "kind");
        OUTCOMES.iter().for_each(|o| print!("{:>10}", format!("{o:?}").to_lowercase()));
        println!();
        for (kind, counts) in &self.kinds {
            print!("{kind:24}");
            OUTCOMES.iter().for_each(|o| print!("{:>10}", counts.get(o).unwrap_or(&0)));
            println!();
        }
        print!("{:24}", "all");
        OUTCOMES.iter().for_each(|o| print!("{:>10}", self.total(*o)));
        println!();
        println!("\nsilent by rule:");
        for (rule, count) in &self.rules {
            println!("{count:>8} {rule}");
        }
        println!("\nsilent, and the same by the second model:");
        let mut same: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for ((outcome, kind, _, judgement), group) in &self.groups {
            if *outcome == Outcome::Proved {
                *same.entry((kind, judgement)).or_default() += group.count;
            }
        }
        for ((kind, judgement), count) in same {
            println!("{count:>8} {kind}: {judgement}");
        }
        println!("\nclasses to look at:");
        for ((outcome, kind, section, judgement), group) in &self.groups {
            println!("{outcome:?} {kind} in {section} x{}: {judgement}", group.count);
            println!("        {}", group.example);
        }
        println!(
            "\n{} mutants of {} objects: {} silent without a rule, {} silent though they differ, \
             {} wrong, {} panics, {} too slow",
            self.all(),
            self.objects,
            self.total(Outcome::Silent),
            self.refuted(),
            self.total(Outcome::Wrong),
            self.total(Outcome::Panicked),
            self.total(Outcome::TooSlow)
        );
    }
}

/// A section's name without that of its function or variable.
pub fn class_of(name: &str) -> String {
    let two = [".text", ".data.rel.ro", ".data.rel", ".rodata", ".data", ".bss"];
    for stem in two {
        if name.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.')) {
            let special = [".str", ".cst", ".unlikely", ".hot"];
            let special = special.iter().find(|s| name[stem.len()..].starts_with(**s));
            return format!("{stem}{}.*", special.unwrap_or(&""));
        }
    }
    name.to_owned()
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One mutant of so many is taken.
    pub every: u64,
    /// Only kinds with this in their name.
    pub kind: String,
    pub options: Options,
}

/// Runs an object's mutants.
pub fn run(subject: &Subject, plan: &Plan, tally: &mut Tally) {
    let Some(file) = File::read(&subject.bytes) else {
        println!("{}: cannot be read", subject.name);
        return;
    };
    let mut mutants = mutants::all(&file, &subject.sizes);
    mutants.retain(|m| m.kind().contains(&plan.kind));
    // Equal rows may change places: that is no mutant.
    let written = file.write().0;
    mutants.retain(|m| !matches!(m, Mutant::Row { .. }) || m.apply(&file).write().0 != written);
    let mut nth = 0;
    mutants.retain(|_| {
        nth += 1;
        mixed([nth, 7, 7]).is_multiple_of(plan.every)
    });
    tally.objects += 1;
    let answers = runner::answers(&file, &subject.sizes, &mutants, &plan.options);
    let model = Model { file: &file, sizes: &subject.sizes };
    let reached = Reached::new(&file);
    for (mutant, answer) in mutants.iter().zip(answers) {
        let (outcome, judgement) = judge(&file, &model, &reached, mutant, &answer);
        *tally.kinds.entry(mutant.kind()).or_default().entry(outcome).or_default() += 1;
        if outcome == Outcome::Ruled {
            *tally.rules.entry(judgement.clone()).or_default() += 1;
        }
        if matches!(outcome, Outcome::Reported | Outcome::Refused)
            || outcome == Outcome::Ruled && !judgement.contains("DIFFERS")
        {
            continue;
        }
        let section = mutant.section(&file).map(|s| class_of(&file.sections[s].name));
        let section = section.unwrap_or_else(|| "no section".to_owned());
        let group = tally.groups.entry((outcome, mutant.kind(), section, judgement)).or_default();
        if group.count == 0 {
            group.example = format!("{}: {}", subject.name, mutant.show(&file));
            if !matches!(outcome, Outcome::Warned | Outcome::Proved) {
                runner::keep(&plan.options, &file, mutant, &group.example);
            }
        }
        group.count += 1;
    }
}

fn judge(
    file: &File,
    model: &Model<'_>,
    reached: &Reached<'_>,
    mutant: &Mutant,
    answer: &Answer,
) -> (Outcome, String) {
    match answer {
        Answer::Refused(_) => (Outcome::Refused, String::new()),
        Answer::Named(names) => match reached.objection(file, mutant, names) {
            None => (Outcome::Reported, String::new()),
            Some(objection) => (Outcome::Wrong, objection),
        },
        Answer::Panicked(text) => (Outcome::Panicked, text.clone()),
        Answer::TooSlow => (Outcome::TooSlow, String::new()),
        Answer::Warned(text) => (Outcome::Warned, text.clone()),
        Answer::Silent(ignored) => {
            let second = match model.judge(mutant) {
                Second::Same(why) => format!("same: {why}"),
                Second::Differs(why) => format!("DIFFERS: {why}"),
                Second::Unknown => "cannot tell".to_owned(),
            };
            match ignored.rule(file, mutant) {
                Some(rule) => (Outcome::Ruled, format!("{rule} ({second})")),
                None if second.starts_with("same") => (Outcome::Proved, second),
                None => (Outcome::Silent, second),
            }
        }
    }
}
