//! Which new functions are what a compiler made of one of the original, or the other way round.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::diff::compare::pair::Pair;
use crate::diff::reason::{Reason, ReasonKind};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, Side, SymbolId};
use crate::kernel::knowledge::names;
use crate::kernel::layout::Layout;

/// What the source calls a function, and the file in which only that file sees it.
type Source<'a> = (&'a str, Option<&'a str>);

/// The functions of the original, by what the source calls them.
pub struct Clones<'a> {
    pair: Pair<'a>,
    by_source: IndexMap<Source<'a>, Vec<SymbolId<Orig>>, RandomState>,
}

impl<'a> Clones<'a> {
    /// Indexes the functions of the original.
    pub fn new(pair: Pair<'a>) -> Self {
        let layout = pair.orig.layout;
        let mut by_source: IndexMap<_, Vec<_>, RandomState> = IndexMap::default();
        for id in layout.object.symbols().skip(1) {
            let is_function = layout.object.symbol_kind(id) == abi::STT_FUNC;
            if is_function && layout.object.section_of(id).is_some() && !layout.is_prefix(id) {
                by_source.entry(source(layout, id)).or_default().push(id);
            }
        }
        Clones { pair, by_source }
    }

    /// How a function without a twin came to be, when the original has it in another form.
    pub fn reason(&self, id: SymbolId<Patched>) -> Option<Reason> {
        let layout = self.pair.patched.layout;
        let name = layout.object.symbol_name(id);
        let forms = self.by_source.get(&source(layout, id))?;
        let orig = self.pair.orig.layout.object;
        let gone = |&id: &SymbolId<Orig>| self.pair.twins.patched_symbol(id).is_none();
        let gone = forms.iter().copied().filter(gone).map(|id| orig.symbol_name(id));
        let gone: Vec<String> = gone.map(str::to_owned).collect();
        let is_clone = |name: &str| names::clone_kinds(name).next().is_some();
        if !is_clone(name) && !gone.iter().any(|name| is_clone(name)) {
            return None;
        }
        Some(Reason::of_all(ReasonKind::Clone {
            of: names::written_name(name).to_owned(),
            gone,
            came: name.to_owned(),
        }))
    }
}

/// By what a copy is known to be of a function. Global ones of the same name are one function, in
/// whatever file.
fn source<'a, S: Side>(layout: &'a Layout<'_, S>, id: SymbolId<S>) -> Source<'a> {
    let file = layout.source_file(id).filter(|_| layout.is_linked());
    (names::written_name(layout.object.symbol_name(id)), file)
}
