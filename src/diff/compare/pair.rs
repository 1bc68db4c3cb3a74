//! Two objects whose things are paired: what comparisons, and those who tell of them, look up.

use crate::diag::{Finding, Result};
use crate::diff::pair::twins::Twins;
use crate::diff::policy::Policy;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::kernel::anonymous_data::AnonymousData;
use crate::kernel::entered::Entered;
use crate::kernel::fit::Forms;
use crate::kernel::layout::Layout;
use crate::kernel::panics::Panics;
use crate::kernel::rows::Rows;

/// One of them, with what is found in it.
pub struct Indexed<'a, S> {
    /// Its layout.
    pub layout: &'a Layout<'a, S>,
    /// Its tables.
    pub rows: Rows<S>,
    /// Its nameless data.
    pub anonymous: AnonymousData<S>,
    /// Where code is entered besides its functions.
    pub entered: Entered<'a, S>,
    /// Where Rust's panics say that they come from.
    pub panics: Panics<'a, S>,
}

impl<'a, S: Side> Indexed<'a, S> {
    /// Indexes the tables and the nameless data of an object.
    pub fn new(layout: &'a Layout<'a, S>, forms: &Forms) -> Result<Self> {
        let rows = Rows::new(layout, forms)?;
        let anonymous = AnonymousData::new(layout, &rows)?;
        let (entered, panics) = (Entered::new(layout), Panics::new(layout));
        Ok(Indexed { layout, rows, anonymous, entered, panics })
    }
}

/// Both, and who is who. Nothing of it changes while things are compared.
#[derive(Clone, Copy)]
pub struct Pair<'a> {
    /// The original.
    pub orig: &'a Indexed<'a, Orig>,
    /// The patched object.
    pub patched: &'a Indexed<'a, Patched>,
    /// Who is who.
    pub twins: &'a Twins,
    /// How to decide where kpatch's tool and this one differ.
    pub policy: Policy,
    /// The objects are those of a module.
    pub in_module: bool,
}

impl<'a> Pair<'a> {
    /// The name a patched symbol has in the running kernel, or will have in the patch.
    pub fn output_name(&self, id: SymbolId<Patched>) -> &'a str {
        match self.twins.namesake(id) {
            Some(twin) => self.orig.layout.object.symbol_name(twin),
            None => self.patched.layout.object.symbol_name(id),
        }
    }

    /// The name a patched section has in the output.
    pub fn output_section_name(&self, id: SectionId<Patched>) -> &'a str {
        let orig = self.orig.layout.object;
        let borrowed = || {
            let owner = self.patched.layout.owner(id)?;
            orig.section_of(*self.twins.borrowed_names.get(&owner)?)
        };
        match self.twins.orig_section(id).or_else(borrowed) {
            Some(twin) => orig.section_name(twin),
            None => self.patched.layout.object.section_name(id),
        }
    }
}

/// A finding about a symbol, with its place.
pub(in crate::diff) fn finding(pair: &Pair<'_>, id: SymbolId<Patched>, text: String) -> Finding {
    let object = pair.patched.layout.object;
    let section = object.section_of(id).map_or("", |s| object.section_name(s));
    Finding::in_section(section, text)
        .at_symbol(pair.output_name(id))
        .at_offset(object.symbol_value(id))
}
