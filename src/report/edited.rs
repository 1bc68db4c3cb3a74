//! Finds the function that the patch edited among those that are re-inlined.
//!
//! With a profile, one edit can be the end of a whole chain of inlining: `c` was in `b` and `b` in
//! `a`; after an edit of `b` each is called. That `b` calls `c` now is proved, and yet it is `b` that
//! somebody edited: others gain and lose the code of `b`, and nothing else that changed tells why `b`
//! does so with `c`, which is what it was.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use super::{Function, FunctionStatus};
use crate::diff::compare::inlining::base;
use crate::diff::reason::{Reason, ReasonKind};

/// Puts first, for each such function, the reason that is not the optimiser's. `objects` are the
/// functions of all objects of one build.
pub fn tell_edited(objects: &mut [&mut Vec<Function>]) {
    // Where each name is, and in how many objects.
    let mut places: IndexMap<String, Vec<(usize, usize)>, RandomState> = IndexMap::default();
    for (object, functions) in objects.iter().enumerate() {
        for (at, function) in functions.iter().enumerate() {
            places.entry(base(&function.name).to_owned()).or_default().push((object, at));
        }
    }
    // A name means the function of the same object, or else the only one that there is.
    let meant = |name: &str, object: usize| -> Option<(usize, usize)> {
        let all = places.get(base(name))?;
        let mut here = all.iter().filter(|place| place.0 == object);
        match (here.next(), here.next(), all.as_slice()) {
            (Some(&one), None, _) | (None, _, &[one]) => Some(one),
            _ => None,
        }
    };
    let mut explained: IndexMap<(usize, usize), bool, RandomState> = IndexMap::default();
    for (object, functions) in objects.iter().enumerate() {
        for (at, function) in functions.iter().enumerate() {
            for name in function.reasons.iter().filter_map(callee) {
                let Some(place) = meant(name, object).filter(|&p| p != (object, at)) else {
                    continue;
                };
                // That one is inlined elsewhere, and what happened to it explains this one.
                explained.entry(place).or_insert(false);
                explained.insert((object, at), true);
            }
        }
    }
    let inlined: Vec<(usize, usize)> =
        explained.into_iter().filter(|(_, explained)| !explained).map(|(place, _)| place).collect();
    for (object, at) in inlined {
        let function = objects.get_mut(object).and_then(|functions| functions.get_mut(at));
        let Some(function) = function else { continue };
        if function.status != FunctionStatus::Changed
            || function.reasons.first().and_then(callee).is_none()
        {
            continue;
        }
        let own = function.reasons.iter().position(|reason| !reason.kind.is_optimiser());
        if let Some(reason) = own.map(|own| function.reasons.remove(own)) {
            function.reasons.insert(0, reason);
        }
    }
}

/// The callee that is inlined in one build.
fn callee(reason: &Reason) -> Option<&str> {
    match &reason.kind {
        ReasonKind::Reinlined { callee, .. } => Some(callee),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::reason::Sides;

    fn function(name: &str, callees: &[&str], more: bool) -> Function {
        let inlined = |c: &&str| {
            Reason::of_all(ReasonKind::Reinlined { callee: (*c).to_owned(), after: false })
        };
        let mut reasons: Vec<Reason> = callees.iter().map(inlined).collect();
        reasons.extend(more.then(|| Reason::of_all(ReasonKind::Size(Sides::new(1, 2)))));
        Function {
            name: name.to_owned(),
            status: FunctionStatus::Changed,
            reasons,
            questions: Vec::new(),
            included_because: Vec::new(),
            body: None,
            cause: None,
            source: Vec::new(),
            file: None,
        }
    }

    /// The functions that the patch edited.
    fn edited(mut objects: Vec<Vec<Function>>) -> Vec<String> {
        let mut all: Vec<&mut Vec<Function>> = objects.iter_mut().collect();
        tell_edited(&mut all);
        let functions = objects.into_iter().flatten().filter(|f| f.optimised().is_none());
        functions.map(|f| f.name).collect()
    }

    #[test]
    fn what_others_inline_and_nothing_explains_was_edited() {
        let chain = |first: &str| {
            vec![
                vec![function("a", &["b"], true), function("d.llvm.1", &["b"], true)],
                vec![function("b", &[first], true)],
            ]
        };
        assert_eq!(edited(chain("c.llvm.9")), ["b"]);
        // What it inlines changed itself: that is the one.
        let mut deeper = chain("c.llvm.9");
        deeper[1].push(function("c.llvm.8", &[], true));
        assert_eq!(edited(deeper), ["c.llvm.8"]);
        // A chain of three, in any order.
        let mut reversed = chain("c");
        reversed.insert(0, vec![function("c", &["leaf"], true)]);
        assert_eq!(edited(reversed), ["c"]);
    }

    #[test]
    fn what_is_not_known_stays_as_proved() {
        // Nobody inlines it.
        assert!(edited(vec![vec![function("b", &["c"], true)]]).is_empty());
        // It may be one of two.
        let twice = vec![
            vec![function("a", &["b"], true)],
            vec![function("b", &["c"], true)],
            vec![function("b", &["c"], true)],
        ];
        assert!(edited(twice).is_empty());
        // A local one goes before another object's.
        let local = vec![
            vec![function("a", &["b"], true), function("b", &["c"], true)],
            vec![function("b", &["c"], true)],
        ];
        assert_eq!(edited(local).len(), 1);
        // There is nothing else to tell.
        let bare = vec![vec![function("a", &["b"], true), function("b", &["c"], false)]];
        assert!(edited(bare).is_empty());
    }
}
