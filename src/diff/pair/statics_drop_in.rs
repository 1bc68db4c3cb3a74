//! The C tool's check of static local variables: each section that refers to one must refer to
//! its twin, or have a twin at all.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places in lists that are in memory, and counts of them"
)]

use foldhash::fast::RandomState;
use indexmap::IndexSet;
use rayon::prelude::*;

use super::local_uses::{Handles, counts, for_each_target};
use super::statics::{SECTIONS_PER_TASK, Statics};
use super::twins::Twins;
use crate::diag::{Class as Kind, Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, SymbolId};
use crate::kernel::knowledge::sections;
use crate::kernel::layout::{Class, Layout};

/// A section and the static locals it refers to, in order of first use.
type User = (SectionId<Orig>, Vec<SymbolId<Orig>>);

/// Sections of the original with the static locals elsewhere that they refer to, code first.
fn users(orig: &Layout<'_, Orig>) -> Result<Vec<User>> {
    let leads = Handles::new(orig);
    let sections = orig.object.relocated().par_iter().with_min_len(SECTIONS_PER_TASK);
    let users: Vec<Result<User>> = sections
        .filter(|&&section| counts(orig, section))
        .map(|&section| Ok((section, variables_of(orig, &leads, section)?)))
        .filter(|user| user.as_ref().map_or(true, |(_, variables)| !variables.is_empty()))
        .collect();
    let mut users: Vec<User> = users.into_iter().collect::<Result<_>>()?;
    users.sort_by_key(|(section, _)| !matches!(orig.class(*section), Class::Text));
    Ok(users)
}

/// The static locals elsewhere that a section refers to, in order of first use.
fn variables_of(
    orig: &Layout<'_, Orig>,
    handles: &Handles<Orig>,
    section: SectionId<Orig>,
) -> Result<Vec<SymbolId<Orig>>> {
    let object = orig.object;
    if object.section_name(section) == sections::TOC {
        return Ok(Vec::new());
    }
    let mut seen: IndexSet<SymbolId<Orig>, RandomState> = IndexSet::default();
    for_each_target(orig, section, Some(handles), |symbol, _, _| {
        if orig.is_static_local(symbol) && object.section_of(symbol) != Some(section) {
            seen.insert(symbol);
        }
    })?;
    Ok(seen.into_iter().collect())
}

impl Statics<'_> {
    /// The first reference that is missing.
    pub(super) fn verify_all(&self, twins: &Twins) -> Result<Option<Error>> {
        let users = users(self.orig)?;
        let verified: Vec<Result<()>> = users
            .par_iter()
            .with_min_len(SECTIONS_PER_TASK)
            .map(|(user, variables)| self.verify(*user, variables, twins))
            .filter(Result::is_err)
            .collect();
        let mut refused = None;
        for error in verified.into_iter().filter_map(Result::err) {
            if error.class() != Kind::Refused {
                return Err(error);
            }
            refused.get_or_insert(error);
        }
        Ok(refused)
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
            current = self.orig.object.section_of(self.orig.split_from(owner)?)?;
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
            for_each_target(self.patched, section, None, |symbol, _, _| {
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
        let removed = |variable| self.removed(variable, self.user_name(user));
        let in_doubt = |variable| twins.doubted_orig.contains(&variable);
        let counts = |&&v: &&SymbolId<Orig>| !self.is_string(v) && !in_doubt(v);
        let Some(counterpart) = self.counterpart(user, twins) else {
            return variables.iter().find(counts).map_or(Ok(()), |&v| Err(removed(v)));
        };
        let mut expected: Vec<SymbolId<Patched>> =
            variables.iter().filter_map(|&v| twins.patched_symbol(v)).collect();
        expected.sort_unstable();
        let mut found: IndexSet<SymbolId<Patched>, RandomState> = IndexSet::default();
        self.for_each_variable(counterpart, |symbol| {
            if expected.binary_search(&symbol).is_ok() {
                found.insert(symbol);
            }
        })?;
        for &variable in variables.iter().filter(counts) {
            let Some(twin) = twins.patched_symbol(variable) else {
                return Err(removed(variable));
            };
            if !found.contains(&twin) {
                let variable = self.orig.object.symbol_name(variable);
                let user = self.user_name(user);
                return Err(Error::refused(
                    Code::StaticLocalReferenceMissing,
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
}
