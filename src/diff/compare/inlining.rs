//! Tells what the optimiser did from what somebody wrote: a call that went because the callee
//! is inlined now, or that came because it is not any more.
//!
//! A call alone proves nothing, since source may gain and lose it, too. What a callee refers
//! to moves along with its code; only when all of that is found in the caller, on the side on
//! which there are fewer calls, is the callee taken to be inlined there. Of a callee that
//! refers to nothing, constants that are worth the name must be found.
//!
//! A callee that the object does not define is left as a [`Question`]: when several objects
//! of a build are compared, [`bodies`] of the others may answer it.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "counts, and the lesser of a number and its opposite"
)]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::pair::Pair;
use crate::arch;
use crate::diag::Result;
use crate::diff::reason::{Reason, ReasonKind};
use crate::elf::abi;
use crate::elf::ids::{Patched, Side, SymbolId};
use crate::kernel::layout::Layout;
use crate::kernel::refs::Refs;
use crate::running::kallsyms;

/// How often a function refers to each symbol.
type Counts<S> = IndexMap<SymbolId<S>, usize, RandomState>;

/// Names of what a function refers to.
type Names = IndexSet<String, RandomState>;

/// A callee that another object defines, and that a function calls less often in one build.
#[derive(Clone, Debug)]
pub struct Question {
    /// Name of the callee, where it is called more often.
    callee: String,
    /// It is called less often in the patched build.
    after: bool,
    /// What the function refers to where the callee is called more often.
    calling: Names,
    /// What the function refers to in the other build.
    inlined: Names,
}

/// What functions of one build refer to, by the name of the function without promotion hash:
/// `None` when there are several.
pub type Bodies = IndexMap<String, Option<Names>, RandomState>;

/// The callees of a patched function that are inlined on one side and called on the
/// other, and those of which other objects must tell.
pub(in crate::diff) fn inlining(
    pair: &Pair<'_>,
    id: SymbolId<Patched>,
) -> Result<(Vec<Reason>, Vec<Question>)> {
    let (before, after) = (pair.orig.layout, pair.patched.layout);
    let Some(twin) = pair.twins.orig_symbol(id) else { return Ok((Vec::new(), Vec::new())) };
    let orig = View { layout: before, function: twin, refs: references(before, twin)? };
    let patched = View { layout: after, function: id, refs: references(after, id)? };
    let to_patched = |s| pair.twins.patched_symbol(s);
    let to_orig = |s| pair.twins.orig_symbol(s);
    let mut questions = Vec::new();
    let mut reasons = Vec::new();
    for callee in went(&orig, &patched, &to_patched, &to_orig, true, &mut questions)? {
        let name = match pair.twins.patched_symbol(callee) {
            Some(now) => pair.output_name(now),
            None => before.object.symbol_name(callee),
        };
        reasons.push(reason(name, true));
    }
    for callee in went(&patched, &orig, &to_orig, &to_patched, false, &mut questions)? {
        reasons.push(reason(pair.output_name(callee), false));
    }
    Ok((reasons, questions))
}

impl Question {
    /// Name of the callee without promotion hash.
    pub fn callee(&self) -> &str {
        base(&self.callee)
    }

    /// The reason, when the bodies of functions in the two builds prove it.
    pub fn answer(&self, orig: &Bodies, patched: &Bodies) -> Option<Reason> {
        let (calling, inlining) = if self.after { (orig, patched) } else { (patched, orig) };
        let of = |bodies: &'_ Bodies| bodies.get(self.callee()).cloned().flatten();
        // Within one build names agree to the letter, between two but for the hash.
        let proof = match of(inlining) {
            Some(body) => {
                let known: IndexSet<&str> = self.calling.iter().map(|n| base(n)).collect();
                let own: Vec<_> = body.iter().filter(|n| !known.contains(base(n))).collect();
                !own.is_empty() && own.iter().all(|n| self.inlined.contains(*n))
                    || of(calling).is_some_and(|now| self.calls_inner(&body, &now))
            }
            None => {
                let body = of(calling)?;
                let found: IndexSet<&str> = self.inlined.iter().map(|n| base(n)).collect();
                let own: Vec<_> = body.iter().filter(|n| !self.calling.contains(*n)).collect();
                !own.is_empty() && own.iter().all(|n| found.contains(base(n)))
            }
        };
        proof.then(|| reason(&self.callee, self.after))
    }
}

impl Question {
    /// Whether the function calls what the callee calls in the build that calls the callee, and
    /// what is inlined in the callee itself in the other one, as profiles have it: its own body
    /// there says nothing of what it was where it went.
    fn calls_inner(&self, inlining: &Names, calling: &Names) -> bool {
        let bases = |names: &Names| names.iter().map(|n| base(n).to_owned()).collect::<Names>();
        let (body, known) = (bases(inlining), bases(&self.calling));
        let inner = bases(calling).into_iter().filter(|n| !body.contains(n) && !known.contains(n));
        let found = bases(&self.inlined);
        inner.into_iter().any(|n| found.contains(&n))
    }
}

/// Of the functions of an object those that `wanted` names without promotion hash, added to
/// what is known of other objects of the build.
pub fn bodies<S: Side>(
    layout: &Layout<'_, S>,
    wanted: &IndexSet<&str>,
    found: &mut Bodies,
) -> Result<()> {
    for id in layout.object.symbols().skip(1) {
        let name = base(layout.object.symbol_name(id));
        if wanted.contains(name) && is_body(layout, id) {
            let body = names_of(layout, &references(layout, id)?);
            let several = found.contains_key(name);
            found.insert(name.to_owned(), Some(body).filter(|_| !several));
        }
    }
    Ok(())
}

/// A function of one object.
struct View<'a, S> {
    layout: &'a Layout<'a, S>,
    function: SymbolId<S>,
    refs: Counts<S>,
}

/// The callees that function `a` calls more often than its twin `b`, into which their code
/// went. What other objects must tell is added to `questions`.
fn went<A: Side, B: Side>(
    a: &View<'_, A>,
    b: &View<'_, B>,
    to_b: &dyn Fn(SymbolId<A>) -> Option<SymbolId<B>>,
    to_a: &dyn Fn(SymbolId<B>) -> Option<SymbolId<A>>,
    after: bool,
    questions: &mut Vec<Question>,
) -> Result<Vec<SymbolId<A>>> {
    let mut found = Vec::new();
    let mut numbers = None;
    for (&callee, &count) in &a.refs {
        let there = to_b(callee);
        let left = there.and_then(|t| b.refs.get(&t)).copied().unwrap_or(0);
        if left >= count || callee == a.function {
            continue;
        }
        // The code that was inlined is that of the other build, while it has it.
        let body = there.filter(|&t| is_body(b.layout, t));
        let own: Vec<Option<SymbolId<B>>> = match body {
            Some(body) => references(b.layout, body)?
                .into_keys()
                .filter(|&r| r != body && to_a(r).is_none_or(|r| !a.refs.contains_key(&r)))
                .map(Some)
                .collect(),
            None if is_body(a.layout, callee) => references(a.layout, callee)?
                .into_keys()
                .filter(|r| *r != callee && !a.refs.contains_key(r))
                .map(to_b)
                .collect(),
            None => {
                // It may be data as well: what defines it tells.
                if left == 0 && a.layout.object.section_of(callee).is_none() {
                    questions.push(Question {
                        callee: a.layout.object.symbol_name(callee).to_owned(),
                        after,
                        calling: names_of(a.layout, &a.refs),
                        inlined: names_of(b.layout, &b.refs),
                    });
                }
                continue;
            }
        };
        let proven = match own.is_empty() {
            false => own.iter().all(|r| r.is_some_and(|r| b.refs.contains_key(&r))),
            true => {
                let (here, there) = numbers.get_or_insert_with(|| {
                    (constants(a.layout, a.function), constants(b.layout, b.function))
                });
                let mut its = match body {
                    Some(body) => constants(b.layout, body),
                    None => constants(a.layout, callee),
                };
                its.retain(|n| !here.contains(n));
                !its.is_empty() && its.iter().all(|n| there.contains(n))
            }
        };
        if proven {
            found.push(callee);
        }
    }
    Ok(found)
}

fn reason(callee: &str, after: bool) -> Reason {
    Reason::of_all(ReasonKind::Reinlined { callee: callee.to_owned(), after })
}

/// A name without promotion hash.
pub fn base(name: &str) -> &str {
    name.split_once(kallsyms::PROMOTED).map_or(name, |(base, _)| base)
}

/// Whether a symbol names a function that can be called.
fn is_body<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    let object = layout.object;
    object.symbol_kind(id) == abi::STT_FUNC
        && object.section_of(id).is_some()
        && layout.root(id) == id
        && !layout.is_prefix(id)
}

/// Names that mean the same in other objects of the build.
fn names_of<S: Side>(layout: &Layout<'_, S>, refs: &Counts<S>) -> Names {
    let object = layout.object;
    let shared = refs.keys().filter(|&&id| object.symbol_bind(id) != abi::STB_LOCAL);
    shared.map(|&id| object.symbol_name(id).to_owned()).collect()
}

/// A function and the parts split off it: section, first byte, byte behind the last.
fn parts<'a, S: Side>(
    layout: &'a Layout<'_, S>,
    id: SymbolId<S>,
) -> impl Iterator<Item = crate::kernel::layout::Entity<S>> + 'a {
    let mut family = vec![id];
    std::iter::from_fn(move || {
        let member = family.pop()?;
        family.extend(layout.children(member));
        let section = layout.object.section_of(member);
        let index = section
            .and_then(|s| Some((s, layout.entity_at(s, layout.object.symbol_value(member))?)));
        Some(index.map(|(section, index)| layout.entity(section, index)))
    })
    .flatten()
}

/// How often a function and its parts refer to each function, variable and undefined symbol.
fn references<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> Result<Counts<S>> {
    let object = layout.object;
    let mut found = Counts::default();
    for part in parts(layout, id) {
        let refs = Refs::new(layout, part.section);
        for reloc in object.relocs(part.section).within(part.start, part.end) {
            let target = refs.resolve(&reloc)?.symbol;
            let symbol = object.symbol(target);
            if symbol.kind != abi::STT_SECTION && !symbol.name.is_empty() {
                *found.entry(target).or_insert(0) += 1;
            }
        }
    }
    Ok(found)
}

/// The constants in the code of a function by which it can be told from others: no small
/// numbers, and none of those that masks and sizes are made of.
fn constants<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> IndexSet<u64, RandomState> {
    let is_telling = |&n: &u64| {
        let magnitude = n.min(n.wrapping_neg());
        magnitude > 0xff
            && !magnitude.is_power_of_two()
            && !(magnitude + 1).is_power_of_two()
            && !(n as u32).wrapping_add(1).is_power_of_two()
    };
    let mut found = IndexSet::default();
    for part in parts(layout, id) {
        let data = layout.object.contents(part.section);
        let start = part.symbol.map_or(part.start, |s| layout.object.symbol_value(s));
        if let Some(code) = data.get(start as usize..part.end as usize) {
            found.extend(arch::immediates(layout.arch, code).into_iter().filter(is_telling));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Names {
        all.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn what_a_profile_inlined_in_the_callee_is_found_where_the_callee_went() {
        let question = Question {
            callee: "set_timer".to_owned(),
            after: false,
            calling: names(&["jiffies", "set_timer"]),
            inlined: names(&["jiffies", "set_timer_at.llvm.1"]),
        };
        let one = |body: &[&str]| Bodies::from_iter([("set_timer".to_owned(), Some(names(body)))]);
        let now = one(&["jiffies", "set_timer_at.llvm.2", "_printk"]);
        let before = one(&["jiffies", "lock", "unlock"]);
        assert!(question.answer(&before, &now).is_some());
        // What the callee never called tells nothing.
        assert!(question.answer(&before, &one(&["jiffies", "_printk"])).is_none());
        // Nor does what it calls in both.
        let both = one(&["jiffies", "lock", "set_timer_at.llvm.1"]);
        assert!(question.answer(&both, &now).is_none());
    }
}
