//! The ways in which questions can be answered with yes.

use super::assembler_resolved::shifted;
use super::comparer::Comparer;
use super::content::{same_anonymous, same_labelled, same_literal, same_span};
use super::entities::compare_entities;
use super::pair::Pair;
use super::questions::{OpenQuestions, Question, QuestionKind, Way};
use super::relocs::same_relocs;
use super::rows::row_at;
use super::spans::Sink;
use super::uses::Use;
use crate::diag::Result;
use crate::elf::ids::{SectionId, Side};
use crate::kernel::layout::{Entity, Layout};

/// Two objects, with nothing compared yet.
pub fn comparer(pair: Pair<'_>) -> Comparer<'_> {
    let shifted = shifted(pair.orig.layout, pair.patched.layout, pair.twins);
    Comparer::new(pair, shifted, try_way)
}

/// Tries one way to answer a question with yes. `uses` learns the live state that is met.
fn try_way(
    comparer: &Comparer<'_>,
    question: &Question,
    number: usize,
    uses: &mut Vec<Use>,
) -> Result<Way> {
    let mut open = OpenQuestions::collecting();
    let (from, to) = (question.o, question.p);
    let same = match (question.kind, number) {
        (QuestionKind::Nameless, 0) => same_anonymous(comparer, from, to, &mut open)?,
        (QuestionKind::Nameless, 1) => same_labelled(comparer, from, to, &mut open)?,
        (QuestionKind::Nameless, 2) => same_literal(comparer, from, to),
        (QuestionKind::Constant(size), 0) => match question.spans(size) {
            Some(spans) => same_relocs(comparer, &spans, &mut Sink(None), &mut open)?,
            None => false,
        },
        (QuestionKind::Code(length), 0) => match question.spans(length) {
            Some(spans) => same_span(comparer, &spans, &mut open)?,
            None => false,
        },
        (QuestionKind::Row, 0) => row_at(comparer, from, to, &mut open)?,
        (QuestionKind::Entities, 0) => {
            let (before, after) =
                (entity_at(comparer.orig.layout, from), entity_at(comparer.patched.layout, to));
            match before.zip(after) {
                Some((o, p)) => {
                    compare_entities(comparer, &o, &p, &mut Sink(None), &mut open)?.is_same()
                }
                None => false,
            }
        }
        _ => return Ok(Way::None),
    };
    let (asked, mut met) = open.into_parts();
    uses.append(&mut met);
    Ok(if same { Way::Needs(asked) } else { Way::Differs })
}

fn entity_at<S: Side>(
    layout: &Layout<'_, S>,
    (section, at): (SectionId<S>, i64),
) -> Option<Entity<S>> {
    let index = layout.entity_at(section, u64::try_from(at).ok()?)?;
    Some(layout.entity(section, index))
}
