//! What comparisons look up, with the answers so far.
//!
//! Two entities are equal when their bytes are, when each relocation is of the same type at
//! the same place and *means* the same, and when the rows of the kernel's tables that
//! describe them are equal. A target with a name means what its twin means; a target without
//! one means its content, recursively. Noise is never subtracted: it is not looked at.

use std::ops::Deref;
use std::sync::Arc;

use super::forgiven::Ledger;
use super::pair::Pair;
use super::questions::{Answers, OpenQuestions, Question, Way};
use super::realignments::Realignments;
use super::uses::Use;
use crate::diag::Result;
use crate::elf::ids::{Marks, Patched, SectionId};

/// Tries one way to answer a question with yes; the list learns the live state that is met.
pub(super) type TryWay = fn(&Comparer<'_>, &Question, usize, &mut Vec<Use>) -> Result<Way>;

/// Two objects, and what is known so far of how they differ. Functions that look nothing of
/// that up take a [`Pair`], as which it can be passed.
pub struct Comparer<'a> {
    /// What is compared.
    pub pair: Pair<'a>,
    /// The sections of code in which things are not where their twins are.
    pub(super) shifted: Arc<Marks<SectionId<Patched>>>,
    /// Which nameless things are equal, as far as it was asked.
    answers: Answers,
    /// Which functions differ in padding, as far as it was asked.
    pub(super) realignments: Arc<Realignments>,
    /// Where to note what is forgiven, when somebody asks.
    pub(super) ledger: Option<Ledger>,
    try_way: TryWay,
}

impl<'a> Deref for Comparer<'a> {
    type Target = Pair<'a>;

    fn deref(&self) -> &Self::Target {
        &self.pair
    }
}

impl<'a> Comparer<'a> {
    pub(super) fn new(pair: Pair<'a>, shifted: Marks<SectionId<Patched>>, try_way: TryWay) -> Self {
        Comparer {
            pair,
            shifted: Arc::new(shifted),
            answers: Answers::default(),
            realignments: Arc::default(),
            ledger: None,
            try_way,
        }
    }

    /// The same comparison, with nothing answered yet.
    pub fn asking(&self) -> Self {
        Comparer {
            shifted: Arc::clone(&self.shifted),
            realignments: Arc::clone(&self.realignments),
            answers: Answers::default(),
            ledger: None,
            ..*self
        }
    }

    /// The same comparison, which notes what it forgives.
    pub(super) fn noting(&self) -> Self {
        Comparer { ledger: Some(Ledger::default()), ..self.asking() }
    }

    /// The answer to a question, or yes when it is left open.
    pub(in crate::diff) fn ask(
        &self,
        question: Question,
        open: &mut OpenQuestions,
    ) -> Result<bool> {
        let mut try_way = |question: &Question, number: usize, uses: &mut Vec<Use>| {
            (self.try_way)(self, question, number, uses)
        };
        open.ask(question, &self.answers, &mut try_way)
    }
}
