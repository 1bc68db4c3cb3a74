//! Pairs static local variables by who refers to them.
//!
//! Their names are numbered by the compiler, so the name says little: the variable is the
//! one that the same function uses (spec section 12). State must survive a patch, so a
//! variable that cannot be followed is refused rather than made anew.

use std::collections::VecDeque;

use bumpalo::Bump;
use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use super::twins::Twins;
use crate::elf::abi;
use crate::elf::ids::{Id, Orig, Patched, SectionId, Side, SymbolId};
use crate::error::{Error, Result};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::names;
use crate::kernel::refs::{Effective, Refs};

/// Both objects and what was paired so far.
pub struct Statics<'a, 'o, 'd> {
    orig: &'a Layout<'o, 'd, Orig>,
    patched: &'a Layout<'o, 'd, Patched>,
}

/// Patched variables that a family of sections refers to.
#[derive(Default)]
struct Candidates<'n> {
    all: IndexSet<SymbolId<Patched>, RandomState>,
    /// By normal name and size, in order of use.
    by_name: IndexMap<(&'n str, u64), VecDeque<SymbolId<Patched>>, RandomState>,
}

/// Pairs static locals in `twins`; returns a warning about one that could not be.
pub fn correlate_statics(
    orig: &Layout<'_, '_, Orig>,
    patched: &Layout<'_, '_, Patched>,
    twins: &mut Twins,
) -> Result<Option<String>> {
    let statics = Statics { orig, patched };
    let users = statics.users()?;
    for (user, variables) in &users {
        statics.pair(*user, variables, twins)?;
    }
    let twins = &*twins;
    let verified: Vec<Result<()>> = users
        .par_iter()
        .with_min_len(SECTIONS_PER_TASK)
        .map(|(user, variables)| statics.verify(*user, variables, twins))
        .filter(Result::is_err)
        .collect();
    verified.into_iter().collect::<Result<()>>()?;
    statics.uncorrelated(twins)
}

/// Sections that are not worth a task of their own.
const SECTIONS_PER_TASK: usize = 64;

/// Names that the C tool gives to new static locals: it pairs variables in order first, and
/// keeps the name when it later finds that the pair was none (spec section 27.11). Harmless,
/// since local names of the patch mean nothing, but part of what its outputs look like.
pub fn borrow_names(
    orig: &Layout<'_, '_, Orig>,
    patched: &Layout<'_, '_, Patched>,
    twins: &mut Twins,
) {
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
fn in_section_order<S: Side>(layout: &Layout<'_, '_, S>) -> Vec<SymbolId<S>> {
    let object = layout.object;
    let named_string = |id| object.symbol_kind(id) == abi::STT_OBJECT && layout.is_label(id);
    let mut found: Vec<_> =
        object.symbols().filter(|&id| layout.is_static_local(id) || named_string(id)).collect();
    found.sort_by_key(|&id| object.section_of(id));
    found
}

/// A section and the static locals it refers to, in order of first use.
type User = (SectionId<Orig>, Vec<SymbolId<Orig>>);

impl Statics<'_, '_, '_> {
    /// The original sections that refer to static locals, with the variables in order of
    /// first use.
    fn users(&self) -> Result<Vec<User>> {
        let sections = referring(self.orig);
        let users: Vec<Result<User>> = sections
            .into_par_iter()
            .with_min_len(SECTIONS_PER_TASK)
            .map(|section| Ok((section, self.variables_of(section)?)))
            .filter(|user| user.as_ref().map_or(true, |(_, variables)| !variables.is_empty()))
            .collect();
        let mut users: Vec<User> = users.into_iter().collect::<Result<_>>()?;
        // Code first: a table that names the same variables says less about them.
        users.sort_by_key(|(section, _)| !matches!(self.orig.class(*section), Class::Text));
        Ok(users)
    }

    /// The static locals elsewhere that a section refers to, in order of first use.
    fn variables_of(&self, section: SectionId<Orig>) -> Result<Vec<SymbolId<Orig>>> {
        let object = self.orig.object;
        if object.section_name(section) == ".toc" {
            return Ok(Vec::new());
        }
        let mut seen: IndexSet<SymbolId<Orig>, RandomState> = IndexSet::default();
        for_each_target(self.orig, section, Wanted::Statics, |symbol| {
            if self.orig.is_static_local(symbol) && object.section_of(symbol) != Some(section) {
                seen.insert(symbol);
            }
        })?;
        Ok(seen.into_iter().collect())
    }

    /// The patched section that does the job of `section`: its twin, or that of the nearest
    /// function it was split from.
    fn counterpart(&self, section: SectionId<Orig>, twins: &Twins) -> Option<SectionId<Patched>> {
        let mut current = section;
        loop {
            if let Some(twin) = twins.patched_section(current) {
                return Some(twin);
            }
            let owner = self.orig.owner(current)?;
            // A function that moved to another section is still the same function.
            if let Some(twin) = twins.patched_symbol(owner)
                && let Some(section) = self.patched.object.section_of(twin)
            {
                return Some(section);
            }
            current = self.orig.object.section_of(self.orig.parent(owner)?)?;
        }
    }

    /// Variables that `section` and the functions split from its owner refer to.
    fn candidates<'n>(
        &'n self,
        section: SectionId<Patched>,
        arena: &'n Bump,
    ) -> Result<Candidates<'n>> {
        let object = self.patched.object;
        let mut candidates = Candidates::default();
        let mut family = vec![section];
        let mut next = 0;
        while let Some(&section) = family.get(next) {
            next += 1;
            for_each_target(self.patched, section, Wanted::Data, |symbol| {
                if object.symbol_kind(symbol) == abi::STT_OBJECT {
                    candidates.all.insert(symbol);
                }
            })?;
            let children =
                self.patched.owner(section).into_iter().flat_map(|o| self.patched.children(o));
            family.extend(children.filter_map(|c| object.section_of(c)).filter(|&s| s != section));
        }
        for &symbol in &candidates.all {
            let view = object.symbol(symbol);
            let key = (names::normal(view.name, arena), view.size);
            candidates.by_name.entry(key).or_default().push_back(symbol);
        }
        Ok(candidates)
    }

    fn pair(
        &self,
        user: SectionId<Orig>,
        variables: &[SymbolId<Orig>],
        twins: &mut Twins,
    ) -> Result<()> {
        let missing: Vec<_> =
            variables.iter().copied().filter(|&v| twins.patched_symbol(v).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let arena = Bump::new();
        let mut candidates = match self.counterpart(user, twins) {
            Some(counterpart) => self.candidates(counterpart, &arena)?,
            None => Candidates::default(),
        };
        for variable in missing {
            let symbol = self.orig.object.symbol(variable);
            let named =
                candidates.by_name.get_mut(&(names::normal(symbol.name, &arena), symbol.size));
            let free = named.and_then(|queue| {
                std::iter::from_fn(|| queue.pop_front()).find(|&c| twins.orig_symbol(c).is_none())
            });
            let Some(twin) = free else { return Err(self.removed(user, variable)) };
            self.accept(variable, twin, twins)?;
        }
        Ok(())
    }

    fn accept(&self, o: SymbolId<Orig>, p: SymbolId<Patched>, twins: &mut Twins) -> Result<()> {
        let name = self.orig.object.symbol_name(o);
        let bundled = self.orig.is_bundled(o);
        if bundled != self.patched.is_bundled(p) {
            return Err(Error::broken(
                "bundle-mismatch",
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
            if twins.patched_section(from).is_none()
                && twins.orig_section(to).is_none()
                && names::same(names.0, names.1)
            {
                twins.pair_sections(from, to);
            }
        } else if twins.patched_section(from) != Some(to) {
            return Err(Error::broken(
                "sections-not-correlated",
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

    fn removed(&self, user: SectionId<Orig>, variable: SymbolId<Orig>) -> Error {
        let object = self.orig.object;
        let name = object.symbol_name(variable);
        let user = self.user_name(user);
        Error::refused(
            "static-local-removed",
            format!("reference to static local variable {name} in {user} was removed"),
        )
        .in_file(object.file())
        .at_symbol(name)
        .advise("keep a use of the variable in that function, so that its state can be followed")
    }

    fn user_name(&self, section: SectionId<Orig>) -> &str {
        let object = self.orig.object;
        self.orig.owner(section).map_or(object.section_name(section), |o| object.symbol_name(o))
    }

    fn verify(
        &self,
        user: SectionId<Orig>,
        variables: &[SymbolId<Orig>],
        twins: &Twins,
    ) -> Result<()> {
        let Some(counterpart) = self.counterpart(user, twins) else {
            return match variables.first() {
                Some(&variable) => Err(self.removed(user, variable)),
                None => Ok(()),
            };
        };
        let arena = Bump::new();
        let candidates = self.candidates(counterpart, &arena)?;
        for &variable in variables {
            let Some(twin) = twins.patched_symbol(variable) else {
                return Err(self.removed(user, variable));
            };
            if !candidates.all.contains(&twin) {
                let variable = self.orig.object.symbol_name(variable);
                let user = self.user_name(user);
                return Err(Error::refused(
                    "static-local-reference-missing",
                    format!(
                        "static local {variable} has been correlated with {variable}, but patched {user} is missing a reference to it"
                    ),
                )
                .in_file(self.patched.object.file())
                .at_symbol(variable));
            }
        }
        Ok(())
    }

    /// The warning about the first patched static local without a twin.
    fn uncorrelated(&self, twins: &Twins) -> Result<Option<String>> {
        let object = self.patched.object;
        let is_new = |symbol: SymbolId<Patched>| {
            self.patched.is_static_local(symbol) && twins.orig_symbol(symbol).is_none()
        };
        if !object.symbols().any(is_new) {
            return Ok(None);
        }
        let first_in = |section: SectionId<Patched>| {
            let mut first = None;
            for_each_target(self.patched, section, Wanted::Statics, |symbol| {
                if first.is_none() && is_new(symbol) {
                    first = Some((symbol, section));
                }
            })?;
            Ok(first)
        };
        let sections = referring(self.patched);
        let first = sections
            .into_par_iter()
            .with_min_len(SECTIONS_PER_TASK)
            .find_map_first(|section| first_in(section).transpose())
            .transpose()?;
        Ok(first.map(|(symbol, section)| {
            let user = self.patched.owner(section).map_or(object.section_name(section), |o| object.symbol_name(o));
            format!(
                "WARNING: unable to correlate static local variable {} used by {user}, assuming variable is new",
                object.symbol_name(symbol)
            )
        }))
    }
}

/// The sections with relocations that count.
fn referring<S: Side>(layout: &Layout<'_, '_, S>) -> Vec<SectionId<S>> {
    let object = layout.object;
    let counts = |&s: &SectionId<S>| {
        object.rela_section(s).is_some()
            && !matches!(layout.class(s), Class::Debug | Class::Noise(_))
    };
    object.sections().filter(counts).collect()
}

/// Which references are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Those to data and strings.
    Data,
    /// Those to sections that hold static locals.
    Statics,
}

/// Calls `found` with the symbol each relocation of a section means, TOC slots followed.
fn for_each_target<S: Side>(
    layout: &Layout<'_, '_, S>,
    section: SectionId<S>,
    wanted: Wanted,
    mut found: impl FnMut(SymbolId<S>),
) -> Result<()> {
    let object = layout.object;
    let through_toc = layout.arch.toc_relocs.is_some();
    let refs = Refs::new(layout, section);
    for reloc in object.relocs(section).iter() {
        // Only data can be a static local: spare the decoding for calls.
        if let Some(target) = object.section_of(reloc.symbol)
            && (wanted == Wanted::Statics && !through_toc && !layout.holds_statics(target)
                || !matches!(layout.class(target), Class::Data | Class::Strings))
        {
            continue;
        }
        let Effective::Reloc(base, effective) = refs.effective(&reloc)? else { continue };
        let resolved = if base == section {
            refs.resolve(&effective)?
        } else {
            Refs::new(layout, base).resolve(&effective)?
        };
        if resolved.symbol.index() != 0 {
            found(resolved.symbol);
        }
    }
    Ok(())
}
