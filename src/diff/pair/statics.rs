//! Pairs static local variables, and says which of them cannot be followed.
//!
//! How they are paired is in `diff::pair::locals`. State must survive a patch, so a variable that
//! cannot be followed is refused rather than made anew. Constants have none: they are compared
//! by content, and what has no twin is carried.

use bumpalo::Bump;
use foldhash::fast::RandomState;
use indexmap::IndexMap;
use rayon::prelude::*;

use super::files::Files;
use super::keys::Keys;
use super::local_uses::{Handles, User, counts, for_each_target, user_at};
use super::locals::{self, Doubt, is_constant};
use super::twins::Twins;
use crate::diag::{Code, Diagnostic, Error, Result};
use crate::diff::policy::Policy;
use crate::diff::selection::Selection;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::kernel::knowledge::names;
use crate::kernel::layout::{Class, Layout};

/// Both objects and what was paired so far.
pub(super) struct Statics<'a> {
    pub orig: &'a Layout<'a, Orig>,
    pub patched: &'a Layout<'a, Patched>,
    policy: Policy,
}

/// What pairing static locals found wrong.
#[derive(Default)]
pub struct Doubts {
    /// A warning about a new one.
    pub uncorrelated: Option<String>,
    /// Why there can be no patch: the first one that can not be followed. The others are
    /// paired all the same, so that it can be told what changed.
    pub refused: Option<Error>,
    /// Warnings about state that is given up: those variables went away, and nothing is new that
    /// could go on with it.
    pub given_up: Vec<Diagnostic>,
    /// Variables that nothing tells apart.
    pub open: Vec<Doubt>,
}

/// Pairs static locals in `twins`. `alone` says that the patch changes no other object, which
/// could go on with what one of them holds.
pub fn correlate_statics(
    (orig, patched): (&Layout<'_, Orig>, &Layout<'_, Patched>),
    files: &Files,
    policy: Policy,
    alone: bool,
    twins: &mut Twins,
) -> Result<Doubts> {
    let statics = Statics { orig, patched, policy };
    let keys = Keys { orig, patched, files, twins };
    let (found, left) = locals::pair(&keys, policy)?;
    for (o, p) in found.pairs {
        statics.accept(o, p, twins)?;
    }
    for doubt in &found.doubts {
        twins.doubted.extend(doubt.patched.iter().copied());
        twins.doubted_orig.extend(doubt.orig.iter().copied());
    }
    let twins = &*twins;
    let (refused, given_up) = match policy.pairs_by_order {
        true => (statics.verify_all(twins)?, Vec::new()),
        false => {
            let lost: Vec<_> = left.iter().filter(|v| statics.is_lost(v, twins)).collect();
            match lost.first() {
                Some(first) if !alone || statics.has_heir(&lost, twins) => {
                    (Some(statics.removed(first.id, &statics.first_user(first))), Vec::new())
                }
                _ => (None, lost.iter().map(|v| statics.given_up(v)).collect()),
            }
        }
    };
    let uncorrelated = statics.uncorrelated(twins)?;
    Ok(Doubts { uncorrelated, refused, given_up, open: found.doubts })
}

/// Fails when the patch holds a variable that nothing tells from another: it would get the
/// state of that one.
pub fn check_doubts(
    (orig, patched): (&Layout<'_, Orig>, &Layout<'_, Patched>),
    doubts: &[Doubt],
    selection: &Selection,
) -> Result<()> {
    let needed = doubts.iter().find_map(|doubt| {
        let id = doubt.patched.iter().copied().find(|&id| selection.symbols[id])?;
        Some((id, doubt))
    });
    let Some((id, doubt)) = needed else { return Ok(()) };
    let candidate = |which: &str, name: &str| format!("candidate: {name} of the {which} object");
    let before = doubt.orig.iter().map(|&v| candidate("original", orig.object.symbol_name(v)));
    let after = doubt.patched.iter().map(|&v| candidate("patched", patched.object.symbol_name(v)));
    let name = patched.object.symbol_name(id);
    Err(Error::refused(
        Code::AmbiguousSymbol,
        format!("it is unclear which static local variable of the original {name} is, if any"),
    )
    .in_file(patched.object.file())
    .at_symbol(name)
    .with_details(before.chain(after).collect())
    .advise(
        "the same functions use several of this name and size, and they would get each other's state: \
         give the new one another name",
    ))
}

/// Sections that are not worth a task of their own.
pub(super) const SECTIONS_PER_TASK: usize = 64;

/// Names that the C tool gives to new static locals: it pairs variables in order first, and
/// keeps the name when it later finds that the pair was none. Harmless,
/// since local names of the patch mean nothing, but part of what its outputs look like.
pub fn borrow_names(orig: &Layout<'_, Orig>, patched: &Layout<'_, Patched>, twins: &mut Twins) {
    let arena = Bump::new();
    type Namesakes = (Vec<SymbolId<Orig>>, Vec<SymbolId<Patched>>);
    let mut by_name: IndexMap<&str, Namesakes, RandomState> = IndexMap::default();
    for id in in_section_order(orig) {
        by_name.entry(names::normal(orig.object.symbol_name(id), &arena)).or_default().0.push(id);
    }
    for id in in_section_order(patched) {
        if let Some(group) = by_name.get_mut(names::normal(patched.object.symbol_name(id), &arena))
        {
            group.1.push(id);
        }
    }
    for (o, p) in by_name.into_values() {
        for (&o, &p) in o.iter().zip(&p) {
            if twins.orig_symbol(p).is_none() {
                twins.borrowed_names.insert(p, o);
            }
        }
    }
}

/// Static locals, and strings with names, in the order of their sections.
fn in_section_order<S: Side>(layout: &Layout<'_, S>) -> Vec<SymbolId<S>> {
    let object = layout.object;
    let named_string = |id| object.symbol_kind(id) == abi::STT_OBJECT && layout.is_label(id);
    let mut found: Vec<_> =
        object.symbols().filter(|&id| layout.is_static_local(id) || named_string(id)).collect();
    found.sort_by_key(|&id| object.section_of(id));
    found
}

impl Statics<'_> {
    fn accept(&self, o: SymbolId<Orig>, p: SymbolId<Patched>, twins: &mut Twins) -> Result<()> {
        let name = self.orig.object.symbol_name(o);
        let bundled = self.orig.is_bundled(o);
        if bundled != self.patched.is_bundled(p) {
            return Err(Error::broken(
                Code::BundleMismatch,
                format!("bundle mismatch for symbol {name}"),
            )
            .advise("compile both objects with -fdata-sections"));
        }
        let (Some(from), Some(to)) =
            (self.orig.object.section_of(o), self.patched.object.section_of(p))
        else {
            twins.pair_symbols(o, p);
            return Ok(());
        };
        if bundled {
            let names = (self.orig.object.section_name(from), self.patched.object.section_name(to));
            // That of a renamed function may be named after it.
            let own = (name, self.patched.object.symbol_name(p));
            let kinds = (names.0.strip_suffix(own.0), names.1.strip_suffix(own.1));
            let renamed = !self.policy.pairs_by_order && kinds.0.is_some() && kinds.0 == kinds.1;
            if twins.patched_section(from).is_none()
                && twins.orig_section(to).is_none()
                && (names::same(names.0, names.1) || renamed)
            {
                twins.pair_sections(from, to);
            }
        } else if self.policy.pairs_by_order && twins.patched_section(from) != Some(to) {
            return Err(Error::broken(
                Code::SectionsNotCorrelated,
                format!(
                    "sections {} and {} aren't correlated for symbol {name}",
                    self.orig.object.section_name(from),
                    self.patched.object.section_name(to)
                ),
            ));
        }
        twins.pair_symbols(o, p);
        Ok(())
    }

    /// Whether the state of a variable that has no twin is lost, and was not given up.
    fn is_lost(&self, v: &locals::Variable<Orig>, twins: &Twins) -> bool {
        !is_constant(self.orig, v.id) && !self.is_string(v.id) && !self.is_gone(v, twins)
    }

    /// Whether a variable is a string that the linker merged with its copies in other files:
    /// any of their names may be found there, and all references to it are compared by content.
    pub(super) fn is_string(&self, variable: SymbolId<Orig>) -> bool {
        let section = self.orig.object.section_of(variable);
        self.orig.is_linked() && section.is_some_and(|s| self.orig.class(s) == Class::Strings)
    }

    /// Whether a variable went away together with its functions: a whole file was removed from
    /// what was linked. Nothing is left that could be mistaken for it.
    fn is_gone(&self, v: &locals::Variable<Orig>, twins: &Twins) -> bool {
        let remains = |user| match user {
            User::Named(id) => twins.patched_symbol(id).is_some(),
            User::Section(_) => false,
        };
        if !self.orig.is_linked() || v.users().any(remains) {
            return false;
        }
        let object = self.patched.object;
        let name = self.orig.object.symbol_name(v.id);
        !object.symbols().any(|id| {
            self.patched.is_static_local(id)
                && twins.orig_symbol(id).is_none()
                && names::same(object.symbol_name(id), name)
        })
    }

    /// Whether the patched object knows of anything new that could go on with the state of
    /// variables which went away: a variable of its own, or something of another object. New
    /// functions of its own have no state but in variables.
    fn has_heir(&self, lost: &[&locals::Variable<Orig>], twins: &Twins) -> bool {
        let (orig, object) = (self.orig.object, self.patched.object);
        let fits = |id| lost.iter().any(|v| orig.symbol_size(v.id) == object.symbol_size(id));
        object.symbols().skip(1).filter(|&id| twins.orig_symbol(id).is_none()).any(|id| {
            match (object.symbol_kind(id), object.section_of(id)) {
                (abi::STT_FILE | abi::STT_SECTION, _) => false,
                // Undefined, common or absolute.
                (_, None) => true,
                (_, Some(section)) => {
                    self.patched.class(section) == Class::Data
                        && !is_constant(self.patched, id)
                        // What is called as macros call theirs is theirs, unless it may be one of those.
                        && (!self.patched.is_special_static(id) || fits(id))
                }
            }
        })
    }

    /// The warning about state that nothing goes on with.
    fn given_up(&self, v: &locals::Variable<Orig>) -> Diagnostic {
        let object = self.orig.object;
        let name = object.symbol_name(v.id);
        Diagnostic::warning(
            Code::StaticLocalRemoved,
            format!(
                "static local variable {name} of {} went away, and nothing in the patched object is new that could go on with what it holds",
                self.first_user(v)
            ),
        )
        .in_file(object.file())
        .at_symbol(name)
        .advise("if its state matters, a callback of the patch has to hand it on")
    }

    fn first_user(&self, v: &locals::Variable<Orig>) -> String {
        let object = self.orig.object;
        let name = v.users().next().map(|user| match user {
            User::Named(id) => object.symbol_name(id),
            User::Section(section) => object.section_name(section),
        });
        name.unwrap_or_default().to_owned()
    }

    pub(in crate::diff) fn removed(&self, variable: SymbolId<Orig>, user: &str) -> Error {
        let object = self.orig.object;
        let name = object.symbol_name(variable);
        Error::refused(
            Code::StaticLocalRemoved,
            format!("reference to static local variable {name} in {user} was removed"),
        )
        .in_file(object.file())
        .at_symbol(name)
        .advise("keep a use of the variable in that function, so that its state can be followed")
    }

    /// The warning about the first patched static local without a twin.
    fn uncorrelated(&self, twins: &Twins) -> Result<Option<String>> {
        let object = self.patched.object;
        let is_new = |symbol: SymbolId<Patched>| {
            self.patched.is_static_local(symbol)
                && twins.orig_symbol(symbol).is_none()
                && !twins.doubted.contains(&symbol)
                && (self.policy.pairs_by_order || !is_constant(self.patched, symbol))
        };
        if !object.symbols().any(is_new) {
            return Ok(None);
        }
        let handles = Handles::new(self.patched);
        let first_in = |section: SectionId<Patched>| {
            let mut first = None;
            for_each_target(self.patched, section, Some(&handles), |symbol, _, reloc| {
                if first.is_none() && is_new(symbol) {
                    let in_shared = || user_at(self.patched, section, reloc.offset);
                    let shared =
                        !self.policy.whole_sections && self.patched.owner(section).is_none();
                    first = Some((symbol, section, if shared { in_shared() } else { None }));
                }
            })?;
            Ok(first)
        };
        let sections = object.relocated().par_iter().with_min_len(SECTIONS_PER_TASK);
        let first = sections
            .filter(|&&section| counts(self.patched, section))
            .find_map_first(|&section| first_in(section).transpose())
            .transpose()?;
        Ok(first.map(|(symbol, section, user)| {
            let user = user.or_else(|| self.patched.owner(section));
            let user = user.map_or(object.section_name(section), |o| object.symbol_name(o));
            format!(
                "WARNING: unable to correlate static local variable {} used by {user}, assuming variable is new",
                object.symbol_name(symbol)
            )
        }))
    }
}
