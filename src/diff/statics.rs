//! Pairs static local variables by who refers to them.
//!
//! Their names are numbered by the compiler, so the name says little: the variable is the
//! one that the same function uses (spec section 12), and of the same file. State must survive a patch, so a
//! variable that cannot be followed is refused rather than made anew.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use bumpalo::Bump;
use foldhash::fast::{FixedState, RandomState};
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use super::files::{Files, Scopes};
use super::twins::Twins;
use crate::elf::abi;
use crate::elf::ids::{Id, Marks, Orig, Patched, SectionId, Side, SymbolId};
use crate::error::{Class as Kind, Error, Result};
use crate::kernel::layout::{Class, Layout};
use crate::kernel::names;
use crate::kernel::refs::{Effective, Refs};

/// Both objects and what was paired so far.
pub struct Statics<'a, 'o, 'd> {
    orig: &'a Layout<'o, 'd, Orig>,
    patched: &'a Layout<'o, 'd, Patched>,
    files: &'a Files,
    /// The original was linked from several objects.
    linked: bool,
    /// What leads to static locals in the patched object.
    handles: Handles<Patched>,
    /// Patched static locals by the hash of their normal names, made when first asked for.
    names: OnceLock<IndexMap<u64, Vec<SymbolId<Patched>>, RandomState>>,
}

/// Patched variables that a family of sections refers to, by normal name, size, and either
/// scope or what kind of scope it is, in order of use.
type Candidates<'n> = IndexMap<(&'n str, u64, u64), VecDeque<SymbolId<Patched>>, RandomState>;

/// Instead of a scope: visible beyond the file.
const GLOBAL: u64 = u64::MAX;
/// Any scope that has no twin, and any that has one.
const SINGLE: u64 = u64::MAX - 1;
const PAIRED: u64 = u64::MAX - 2;

/// The scope of a variable, and which kind that is.
fn scope_of<S: Side>(layout: &Layout<'_, '_, S>, scopes: &Scopes<S>, id: SymbolId<S>) -> [u64; 2] {
    if layout.object.symbol_bind(id) != abi::STB_LOCAL {
        return [GLOBAL; 2];
    }
    let scope = scopes.of(id);
    [scope, if Files::is_single(scope) { SINGLE } else { PAIRED }]
}

/// What pairing static locals found wrong.
#[derive(Default)]
pub struct Doubts {
    /// A warning about a new one.
    pub uncorrelated: Option<String>,
    /// Why there can be no patch: the first one that can not be followed. The others are
    /// paired all the same, so that it can be told what changed.
    pub refused: Option<Error>,
}

/// Who uses static locals: all that pairing needs to know before anything is paired.
pub struct Uses {
    /// What leads to static locals in the patched object.
    handles: Handles<Patched>,
    /// Sections of the original, code first: a table that names the same variables says less
    /// about them.
    users: Vec<User>,
}

impl Uses {
    /// Looks at all references. Fails on those that cannot be read.
    pub fn new(orig: &Layout<'_, '_, Orig>, patched: &Layout<'_, '_, Patched>) -> Result<Self> {
        let (leads, handles) = rayon::join(|| Handles::new(orig), || Handles::new(patched));
        let sections = orig.object.relocated().par_iter().with_min_len(SECTIONS_PER_TASK);
        let users: Vec<Result<User>> = sections
            .filter(|&&section| counts(orig, section))
            .map(|&section| Ok((section, variables_of(orig, &leads, section)?)))
            .filter(|user| user.as_ref().map_or(true, |(_, variables)| !variables.is_empty()))
            .collect();
        let mut users: Vec<User> = users.into_iter().collect::<Result<_>>()?;
        users.sort_by_key(|(section, _)| !matches!(orig.class(*section), Class::Text));
        Ok(Uses { handles, users })
    }
}

/// The static locals elsewhere that a section refers to, in order of first use.
fn variables_of(
    orig: &Layout<'_, '_, Orig>,
    handles: &Handles<Orig>,
    section: SectionId<Orig>,
) -> Result<Vec<SymbolId<Orig>>> {
    let object = orig.object;
    if object.section_name(section) == ".toc" {
        return Ok(Vec::new());
    }
    let mut seen: IndexSet<SymbolId<Orig>, RandomState> = IndexSet::default();
    for_each_target(orig, section, Some(handles), |symbol| {
        if orig.is_static_local(symbol) && object.section_of(symbol) != Some(section) {
            seen.insert(symbol);
        }
    })?;
    Ok(seen.into_iter().collect())
}

/// Pairs static locals in `twins`.
pub fn correlate_statics(
    orig: &Layout<'_, '_, Orig>,
    patched: &Layout<'_, '_, Patched>,
    files: &Files,
    Uses { handles, users }: Uses,
    twins: &mut Twins,
) -> Result<Doubts> {
    let linked = orig.is_linked();
    let statics = Statics { orig, patched, files, linked, handles, names: OnceLock::new() };
    let mut refused = None;
    for (user, variables) in &users {
        statics.pair(*user, variables, twins, &mut refused)?;
    }
    let twins = &*twins;
    let verified: Vec<Result<()>> = users
        .par_iter()
        .with_min_len(SECTIONS_PER_TASK)
        .map(|(user, variables)| statics.verify(*user, variables, twins))
        .filter(Result::is_err)
        .collect();
    for error in verified.into_iter().filter_map(Result::err) {
        if error.class() != Kind::Refused {
            return Err(error);
        }
        refused.get_or_insert(error);
    }
    Ok(Doubts { uncorrelated: statics.uncorrelated(twins)?, refused })
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

    /// Calls `found` with each variable that `section` and the functions split from its owner
    /// refer to.
    fn for_each_variable(
        &self,
        section: SectionId<Patched>,
        mut found: impl FnMut(SymbolId<Patched>),
    ) -> Result<()> {
        let object = self.patched.object;
        let mut family = vec![section];
        let mut next = 0;
        while let Some(&section) = family.get(next) {
            next += 1;
            for_each_target(self.patched, section, None, |symbol| {
                if object.symbol_kind(symbol) == abi::STT_OBJECT {
                    found(symbol);
                }
            })?;
            let children =
                self.patched.owner(section).into_iter().flat_map(|o| self.patched.children(o));
            family.extend(children.filter_map(|c| object.section_of(c)).filter(|&s| s != section));
        }
        Ok(())
    }

    /// The variables that take the place of those that `section` of the original refers to.
    fn candidates<'n>(
        &'n self,
        section: SectionId<Patched>,
        arena: &'n Bump,
    ) -> Result<Candidates<'n>> {
        let object = self.patched.object;
        let mut all: IndexSet<SymbolId<Patched>, RandomState> = IndexSet::default();
        self.for_each_variable(section, |symbol| {
            all.insert(symbol);
        })?;
        let mut candidates = Candidates::default();
        for symbol in all {
            let view = object.symbol(symbol);
            let name = names::normal(view.name, arena);
            for scope in scope_of(self.patched, &self.files.patched, symbol) {
                let key = (name, view.size, scope);
                candidates.entry(key).or_default().push_back(symbol);
            }
        }
        Ok(candidates)
    }

    fn pair(
        &self,
        user: SectionId<Orig>,
        variables: &[SymbolId<Orig>],
        twins: &mut Twins,
        refused: &mut Option<Error>,
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
        // A function is found by its name, wherever it moved. What several share says nothing
        // of what one file had there and another one has now.
        let of_one = self.orig.owner(user).is_some();
        let mut left = Vec::new();
        for variable in missing {
            let [scope, kind] = scope_of(self.orig, &self.files.orig, variable);
            match self.free(variable, scope, &mut candidates, &arena, twins) {
                Some(twin) => self.accept(variable, twin, twins)?,
                None => left.push((variable, kind)),
            }
        }
        for (variable, kind) in left {
            let kinds: &[u64] = match kind {
                PAIRED if !of_one => &[GLOBAL],
                SINGLE if !of_one => &[SINGLE, GLOBAL],
                _ => &[PAIRED, SINGLE, GLOBAL],
            };
            let mut found = kinds
                .iter()
                .filter_map(|&k| self.free(variable, k, &mut candidates, &arena, twins));
            let Some(twin) = found.next() else {
                if self.is_string(variable) || self.is_gone(user, variable, twins) {
                    continue;
                }
                refused.get_or_insert_with(|| self.removed(user, variable));
                continue;
            };
            self.accept(variable, twin, twins)?;
        }
        Ok(())
    }

    /// The next candidate that is called like `variable` and has no twin yet.
    fn free<'n>(
        &'n self,
        variable: SymbolId<Orig>,
        scope: u64,
        candidates: &mut Candidates<'n>,
        arena: &'n Bump,
        twins: &Twins,
    ) -> Option<SymbolId<Patched>> {
        let symbol = self.orig.object.symbol(variable);
        let key = (names::normal(symbol.name, arena), symbol.size, scope);
        let queue = candidates.get_mut(&key)?;
        std::iter::from_fn(|| queue.pop_front()).find(|&c| twins.orig_symbol(c).is_none())
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

    /// Whether a variable is a string that the linker merged with its copies in other files:
    /// any of their names may be found there, and all references to it are compared by content.
    fn is_string(&self, variable: SymbolId<Orig>) -> bool {
        let section = self.orig.object.section_of(variable);
        self.linked && section.is_some_and(|s| self.orig.class(s) == Class::Strings)
    }

    /// Whether a variable went away together with its function: a whole file was removed from
    /// what was linked. Nothing is left that could be mistaken for it.
    fn is_gone(&self, user: SectionId<Orig>, variable: SymbolId<Orig>, twins: &Twins) -> bool {
        let owner = self.orig.owner(user);
        if !self.linked || owner.is_some_and(|owner| twins.patched_symbol(owner).is_some()) {
            return false;
        }
        let hash = |name: &str| {
            let mut state = FixedState::default().build_hasher();
            names::hash_normal(name, &mut state);
            state.finish()
        };
        let object = self.patched.object;
        let by_name = self.names.get_or_init(|| {
            let mut by_name: IndexMap<u64, Vec<_>, RandomState> = IndexMap::default();
            for id in object.symbols().filter(|&id| self.patched.is_static_local(id)) {
                by_name.entry(hash(object.symbol_name(id))).or_default().push(id);
            }
            by_name
        });
        let named = by_name.get(&hash(self.orig.object.symbol_name(variable)));
        named.is_none_or(|named| named.iter().all(|&id| twins.orig_symbol(id).is_some()))
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
            let gone = |&&v: &&SymbolId<Orig>| self.is_string(v) || self.is_gone(user, v, twins);
            return match variables.iter().find(|v| !gone(v)) {
                Some(&variable) => Err(self.removed(user, variable)),
                None => Ok(()),
            };
        };
        let mut expected: Vec<SymbolId<Patched>> =
            variables.iter().filter_map(|&v| twins.patched_symbol(v)).collect();
        expected.sort_unstable();
        let mut found = vec![false; expected.len()];
        self.for_each_variable(counterpart, |symbol| {
            if let Ok(at) = expected.binary_search(&symbol) {
                found[at] = true;
            }
        })?;
        let is_used = |twin| expected.binary_search(&twin).is_ok_and(|at| found[at]);
        for &variable in variables {
            let Some(twin) = twins.patched_symbol(variable) else {
                if self.is_string(variable) || self.is_gone(user, variable, twins) {
                    continue;
                }
                return Err(self.removed(user, variable));
            };
            if !is_used(twin) && !self.is_string(variable) {
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
            for_each_target(self.patched, section, Some(&self.handles), |symbol| {
                if first.is_none() && is_new(symbol) {
                    first = Some((symbol, section));
                }
            })?;
            Ok(first)
        };
        let sections = object.relocated().par_iter().with_min_len(SECTIONS_PER_TASK);
        let first = sections
            .filter(|&&section| counts(self.patched, section))
            .find_map_first(|&section| first_in(section).transpose())
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

/// Whether what a section refers to counts.
fn counts<S: Side>(layout: &Layout<'_, '_, S>, section: SectionId<S>) -> bool {
    !matches!(layout.class(section), Class::Debug | Class::Noise(_))
}

/// The symbols through which relocations refer to static locals: their own, and those that
/// stand for a section in which there are some.
struct Handles<S>(Marks<SymbolId<S>>);

impl<S: Side> Handles<S> {
    fn new(layout: &Layout<'_, '_, S>) -> Self {
        let object = layout.object;
        let leads = |id: SymbolId<S>| {
            layout.is_static_local(id)
                || matches!(object.symbol_kind(id), abi::STT_SECTION | abi::STT_NOTYPE)
                    && object.section_of(id).is_some_and(|home| layout.holds_statics(home))
        };
        // What is behind a slot of the TOC is not known yet.
        let any = layout.arch.toc_relocs.is_some();
        Handles(Marks::from_fn(object.symbol_count(), |id| any || leads(id)))
    }
}

/// Calls `found` with the data that each relocation of a section means, TOC slots followed;
/// with `handles` only where these lead.
fn for_each_target<S: Side>(
    layout: &Layout<'_, '_, S>,
    section: SectionId<S>,
    handles: Option<&Handles<S>>,
    mut found: impl FnMut(SymbolId<S>),
) -> Result<()> {
    let object = layout.object;
    let refs = Refs::new(layout, section);
    for reloc in object.relocs(section).iter() {
        if handles.is_some_and(|handles| !handles.0.has(reloc.symbol)) {
            continue;
        }
        // Only data can be a static local: spare the decoding for calls.
        if let Some(target) = object.section_of(reloc.symbol)
            && !matches!(layout.class(target), Class::Data | Class::Strings)
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
