//! Which objects of two builds refer to what others define.

use std::fmt;
use std::sync::OnceLock;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use rayon::prelude::*;

use super::members::Member;
use crate::Others;
use crate::diag::{Code, Error, Result};
use crate::diff::pair::units::Unit;
use crate::elf::globals::undefined;

/// The units whose patched objects refer to a name that they do not define, ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Referrers(IndexMap<String, Vec<usize>, RandomState>);

impl Referrers {
    fn read(units: &[Unit], patched: &[Member]) -> Result<Self> {
        let names = |(number, unit): (usize, &Unit)| {
            let members = unit.patched.iter().filter_map(|&i| patched.get(i));
            let read = members.map(|member| {
                undefined(member.image.bytes()).ok_or_else(|| {
                    Error::broken(Code::MalformedElf, "its symbols cannot be read")
                        .in_file(member.shown())
                })
            });
            Ok((number, read.collect::<Result<Vec<_>>>()?.concat()))
        };
        let all = units.par_iter().enumerate().map(names).collect::<Result<Vec<_>>>()?;
        let mut found = Referrers::default();
        for (unit, names) in all {
            for name in names {
                found.0.entry(name.to_owned()).or_default().push(unit);
            }
        }
        Ok(found)
    }
}

/// The units beside one.
pub(crate) struct Beside<'b> {
    /// All units.
    pub(crate) units: &'b [Unit],
    /// The members of the patched build.
    pub(crate) patched: &'b [Member],
    /// What is known of them; read when first asked for.
    pub(crate) known: &'b OnceLock<Result<Referrers>>,
    /// Number of the one.
    pub(crate) unit: usize,
}

impl fmt::Debug for Beside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside").field("unit", &self.unit).finish_non_exhaustive()
    }
}

impl Others for Beside<'_> {
    fn who_refers(&self, name: &str) -> Result<Option<String>> {
        let known = self.known.get_or_init(|| Referrers::read(self.units, self.patched));
        let referrers = known.as_ref().map_err(Clone::clone)?;
        let units = referrers.0.get(name).into_iter().flatten();
        let other = units.copied().find(|&unit| unit != self.unit);
        let path = |unit: usize| {
            let first = self.units.get(unit).and_then(|u| u.patched.first());
            first.and_then(|&i| self.patched.get(i)).map_or("", |m| &m.path).to_owned()
        };
        Ok(other.map(path))
    }

    fn exist(&self) -> bool {
        self.units.len() > 1
    }
}
