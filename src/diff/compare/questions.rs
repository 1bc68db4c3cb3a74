//! Whether nameless things are equal: questions that depend on each other.
//!
//! A nameless thing is equal to another when its content is, and that refers to further
//! nameless things, in chains as long as the input likes, shared by many, or in circles.
//! Asking one question within another would need as much stack as a chain is long, and as much
//! time as there are paths. So a comparison only notes what it would have to ask
//! (`OpenQuestions::collecting`), as if the answers were yes, and `Answers::settle` finds these
//! afterwards, each once.
//!
//! A question has several ways to a yes, each of which needs some other questions answered with
//! yes. The answers are the greatest solution of these equations, which is unique: all are taken
//! as yes; a no takes away the ways that need it, and who has no way left is a no. Circles in
//! which nothing differs are equal. Every no is final, since nothing is ever equal because
//! something else differs; every yes that is left has a way that only needs others.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::sync::{PoisonError, RwLock};

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::spans::Spans;
use super::uses::Use;
use crate::diag::Result;
use crate::elf::ids::{Orig, Patched, SectionId};
use crate::kernel::layout::Entity;

/// What is asked about two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::diff) enum QuestionKind {
    /// Whether what a reference to them means is equal.
    Nameless,
    /// Whether constants of that size are.
    Constant(u64),
    /// Whether code of that length is, with its rows.
    Code(u64),
    /// Whether the rows of tables that begin there are.
    Row,
    /// Whether the functions or variables that begin there are.
    Entities,
}

/// Whether two places of the two objects are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::diff) struct Question {
    pub o: (SectionId<Orig>, i64),
    pub p: (SectionId<Patched>, i64),
    pub kind: QuestionKind,
}

impl Question {
    /// Whether two functions or variables, or code between them, are equal.
    pub fn entities(o: &Entity<Orig>, p: &Entity<Patched>) -> Self {
        let (o, p) = ((o.section, o.start as i64), (p.section, p.start as i64));
        Question { o, p, kind: QuestionKind::Entities }
    }

    /// The constants or the code meant; `None` when they are not in a section.
    pub(super) fn spans(&self, length: u64) -> Option<Spans> {
        let (o_start, p_start) = (u64::try_from(self.o.1).ok()?, u64::try_from(self.p.1).ok()?);
        let (o_end, p_end) = (o_start.saturating_add(length), p_start.saturating_add(length));
        Some(Spans { o: self.o.0, o_start, o_end, p: self.p.0, p_start, p_end })
    }
}

/// What a comparison leaves open.
#[derive(Debug, Default)]
pub(in crate::diff) struct OpenQuestions {
    /// Questions that are noted, and taken as answered with yes.
    asked: Option<Vec<Question>>,
    /// Uses of live state that may have changed: no difference of what is compared.
    pub(super) uses: Vec<Use>,
}

impl OpenQuestions {
    /// Every question is answered at once.
    pub fn new() -> Self {
        OpenQuestions::default()
    }

    /// Questions are noted, and taken as answered with yes.
    pub(super) fn collecting() -> Self {
        OpenQuestions { asked: Some(Vec::new()), uses: Vec::new() }
    }

    /// What is left open, and the live state that was used.
    pub(super) fn into_parts(self) -> (Vec<Question>, Vec<Use>) {
        (self.asked.unwrap_or_default(), self.uses)
    }

    /// Whether questions are only noted.
    pub fn is_collecting(&self) -> bool {
        self.asked.is_some()
    }

    /// Answers at once all that is asked within a comparison that only notes questions.
    pub fn at_once<T>(&mut self, compare: impl FnOnce(&mut OpenQuestions) -> T) -> T {
        let mut now = OpenQuestions::new();
        let found = compare(&mut now);
        self.uses.append(&mut now.uses);
        found
    }
}

/// Answers to questions that depend on others. They are the same on any number of threads.
#[derive(Debug, Default)]
pub struct Answers(RwLock<IndexMap<Question, bool, RandomState>>);

impl Answers {
    fn get(&self, question: &Question) -> Option<bool> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(question).copied()
    }
}

/// A question that is looked into, and how far that has come.
struct Node {
    question: Question,
    /// The ways that were tried.
    tried: usize,
    /// Those who need it, each with the number of its way that does.
    needed_by: Vec<(usize, usize)>,
    /// Its last way has failed, or none was tried.
    blocked: bool,
    /// It has no way left.
    refuted: bool,
}

impl Node {
    fn new(question: Question) -> Self {
        Node { question, tried: 0, needed_by: Vec::new(), blocked: true, refuted: false }
    }
}

/// What trying one way gave.
pub(super) enum Way {
    /// There is no such way.
    None,
    /// Something differs.
    Differs,
    /// Equal if these are.
    Needs(Vec<Question>),
}

/// Tries one way, by its number, to answer a question with yes; the list learns the live state
/// that is met.
type TryWay<'t> = &'t mut dyn FnMut(&Question, usize, &mut Vec<Use>) -> Result<Way>;

impl OpenQuestions {
    /// The answer to a question, or yes when it is left open.
    pub(super) fn ask(
        &mut self,
        question: Question,
        answers: &Answers,
        try_way: TryWay<'_>,
    ) -> Result<bool> {
        match &mut self.asked {
            Some(asked) => {
                asked.push(question);
                Ok(true)
            }
            None => answers.settle(question, &mut self.uses, try_way),
        }
    }
}

impl Answers {
    fn settle(&self, question: Question, uses: &mut Vec<Use>, try_way: TryWay<'_>) -> Result<bool> {
        // Most content refers to nothing that is nameless.
        let mut ways = 0;
        let needs = loop {
            match try_way(&question, ways, uses)? {
                Way::None => return Ok(false),
                Way::Differs => ways += 1,
                Way::Needs(needs) if needs.is_empty() => return Ok(true),
                Way::Needs(_) if let Some(known) = self.get(&question) => return Ok(known),
                Way::Needs(needs) => break needs,
            }
        };
        let root = Node { tried: ways + 1, blocked: false, ..Node::new(question) };
        let mut search =
            Search { nodes: Vec::new(), places: IndexMap::default(), pending: Vec::new() };
        search.places.insert(question, 0);
        search.nodes.push(root);
        if !search.needs(0, &needs, self) {
            search.block(0);
        }
        search.run(self, uses, try_way)?;
        let same = search.nodes.first().is_some_and(|root| !root.refuted);
        let mut answers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        answers.extend(search.nodes.iter().map(|node| (node.question, !node.refuted)));
        Ok(same)
    }
}

/// All questions that one depends on.
struct Search {
    nodes: Vec<Node>,
    /// Where each question is in `nodes`.
    places: IndexMap<Question, usize, RandomState>,
    /// Those that are blocked.
    pending: Vec<usize>,
}

impl Search {
    /// Notes that the way of `nodes[of]` tried last needs some questions answered with yes.
    /// False when one of them is a no.
    fn needs(&mut self, of: usize, needs: &[Question], answers: &Answers) -> bool {
        let Some(way) = self.nodes.get(of).map(|node| node.tried) else { return false };
        for &need in needs {
            let place = match self.places.get(&need) {
                Some(&place) => place,
                None => match answers.get(&need) {
                    Some(true) => continue,
                    Some(false) => return false,
                    None => {
                        let place = self.nodes.len();
                        self.places.insert(need, place);
                        self.nodes.push(Node::new(need));
                        self.pending.push(place);
                        place
                    }
                },
            };
            match self.nodes.get_mut(place) {
                Some(node) if !node.refuted => node.needed_by.push((of, way)),
                _ => return false,
            }
        }
        true
    }

    /// Notes that the way of a node tried last leads to no yes.
    fn block(&mut self, of: usize) {
        if let Some(node) = self.nodes.get_mut(of)
            && !node.blocked
        {
            node.blocked = true;
            self.pending.push(of);
        }
    }

    /// Takes ways away until nothing is left that needs what differs.
    fn run(&mut self, answers: &Answers, uses: &mut Vec<Use>, try_way: TryWay<'_>) -> Result<()> {
        while let Some(of) = self.pending.pop() {
            while let Some(node) = self.nodes.get_mut(of) {
                let found = try_way(&node.question, node.tried, uses)?;
                node.tried += 1;
                match found {
                    Way::Differs => {}
                    Way::Needs(needs) => {
                        if self.needs(of, &needs, answers) {
                            if let Some(node) = self.nodes.get_mut(of) {
                                node.blocked = false;
                            }
                            break;
                        }
                    }
                    Way::None => {
                        node.refuted = true;
                        for (by, way) in std::mem::take(&mut node.needed_by) {
                            if self.nodes.get(by).is_some_and(|node| node.tried == way) {
                                self.block(by);
                            }
                        }
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}
