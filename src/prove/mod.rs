//! Proves an output before it is published: the written bytes mean what the patched object
//! means.
//!
//! The file is read with the second reader (`written`), and nothing that the builder noted is
//! asked. Symbols of the output are found in the patched object by name, and from there the
//! references of both are followed in step (`walk`): what is carried has the bytes, the
//! relocations and the table rows that it has in the patched object, and leads to the same
//! things, be they carried, asked of the kernel, or exported (`found`). What the tools add for
//! the kernel, and what no reference leads to, is accounted for at the end.
//!
//! Checklist for something new in the output: say where its meaning in the patched object is
//! (here), and alter it in `tests/proof.rs`, where each kind of thing is altered behind the
//! builder's back.

#![deny(clippy::indexing_slicing)]

mod found;
mod freed;
mod headers;
mod klp;
mod klp_build;
mod linked;
mod names;
mod own;
mod places;
mod rows;
mod symbols;
mod walk;
mod written;

pub use klp::prove_klp;
pub use linked::prove_linked;

use crate::diag::{Code, Error, Result};
use crate::diff::select::status::Statuses;
use crate::elf::ids::{Patched, SectionId};
use crate::kernel::layout::Layout;
use crate::patch::resolve::lookup::Lookup;
use walk::Walk;
use written::Written;

/// Proves outputs of one pair.
pub struct Prover<'a> {
    lookup: Lookup<'a>,
    statuses: &'a Statuses,
    /// objtool makes its tables anew on the linked module.
    remade: bool,
}

impl<'a> Prover<'a> {
    /// Proves against what symbols are looked up for, and where. `remade`: objtool will see the
    /// linked module.
    pub fn new(lookup: Lookup<'a>, statuses: &'a Statuses, remade: bool) -> Self {
        Prover { lookup, statuses, remade }
    }

    /// Fails, with code `unproved-output`, unless the bytes of an object file in either flavour
    /// are the patch that the patched object says.
    pub fn prove(&self, bytes: &[u8]) -> Result<()> {
        let file = self.layout().object.file();
        self.prove_inner(bytes).map_err(|e| e.in_file(file))
    }

    fn prove_inner(&self, bytes: &[u8]) -> Result<()> {
        let written = Written::parse(bytes)?;
        let mut walk = Walk::new(self, &written);
        walk.check_file()?;
        walk.match_symbols()?;
        walk.settle()?;
        walk.check_all_is_there()?;
        walk.check_symbols()?;
        walk.check_own()
    }

    fn layout(&self) -> &'a Layout<'a, Patched> {
        self.lookup.layout()
    }

    fn section_name(&self, section: SectionId<Patched>) -> &'a str {
        self.layout().object.section_name(section)
    }
}

/// The error for an output that does not mean what the patched object means.
fn differs(what: impl Into<String>) -> Error {
    let text = format!("the output is not what the patched object says: {}", what.into());
    Error::broken(Code::UnprovedOutput, text).advise(
        "nothing was written; this is a defect of klp-diff: please report it with the objects",
    )
}
