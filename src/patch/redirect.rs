//! What redirecting functions of the running kernel takes along, and which of them it cannot
//! redirect.

#![expect(clippy::indexing_slicing, reason = "each address was put in before it is looked up")]

use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use super::resolve::replaced::Replaced;
use crate::diag::{Code, Diagnostic, Error, Finding, Place, Result};
use crate::diff::compare::pair::Pair;
use crate::elf::abi::STT_FUNC;
use crate::elf::ids::{Patched, Side, SymbolId};
use crate::elf::object::Object;
use crate::running::image::KernelImage;
use crate::running::parent::Parent;
use crate::running::symtab::Order;

/// Says which of the replaced functions the kernel's ftrace does not know: livepatch needs
/// a site at the entry.
pub fn untraced(image: &KernelImage<'_>, replaced: &[Replaced<'_>]) -> Vec<Diagnostic> {
    let unknown = replaced.iter().filter(|r| image.is_traced(r.old_addr) == Some(false));
    unknown
        .map(|r| {
            let text = format!(
                "'{}' has no ftrace site in the running kernel, so livepatch cannot redirect it",
                r.name
            );
            Diagnostic::warning(Code::NoFtraceEntry, text)
                .at_symbol(r.name)
                .advise("patch its callers instead")
        })
        .collect()
}

/// Linked kernels have their code above this; offsets in sections are below.
const LOWEST_ADDRESS: u64 = 1 << 20;

/// Functions that the running kernel cannot redirect, or not without others, although the object
/// says that ftrace can hook them.
pub fn fixed(
    pair: &Pair<'_>,
    parent: &Parent<'_>,
    image: &KernelImage<'_>,
    replaced: &[Replaced<'_>],
) -> Vec<SymbolId<Patched>> {
    let untraced = replaced.iter().filter(|r| image.is_traced(r.old_addr) == Some(false));
    let mut found: Vec<SymbolId<Patched>> = untraced.map(|r| r.symbol).collect();
    found.extend(folded(pair, parent, Some(image), replaced).into_iter().map(|f| f.function));
    found.sort_unstable();
    found.dedup();
    found
}

/// A function that the linker folded with another one.
struct Folded<'a> {
    function: SymbolId<Patched>,
    /// The other one.
    name: &'a str,
    finding: Finding,
}

/// The functions with which the linker folded others, once for each of those: kernel functions
/// are redirected by address.
fn folded<'a>(
    pair: &Pair<'_>,
    parent: &'a Parent<'_>,
    image: Option<&KernelImage<'_>>,
    replaced: &[Replaced<'_>],
) -> Vec<Folded<'a>> {
    // Offsets in the text table of a module, or of an object that was not linked, do not tell
    // which section they are in.
    let linked = |r: &Replaced| r.old_addr >= LOWEST_ADDRESS;
    if image.is_none() && (parent.order() == Order::Table || !replaced.iter().all(linked)) {
        return Vec::new();
    }
    let table = parent.table();
    let entries = table.entries();
    let patched: IndexSet<u32, foldhash::fast::RandomState> =
        replaced.iter().filter_map(|r| r.entry).collect();
    let mut found = Vec::new();
    let mut at: IndexMap<u64, Vec<u32>, foldhash::fast::RandomState> =
        replaced.iter().map(|r| (r.old_addr, Vec::new())).collect();
    // Usually few: one look at each entry costs less than all by address.
    let places = (0..entries.len() as u32).into_par_iter().with_min_len(4096).filter_map(|i| {
        let addr = Some(i).filter(|&i| entries.traits(i).kind() == STT_FUNC);
        let addr = addr.map(|i| entries.addr(i)).filter(|addr| at.contains_key(addr))?;
        (entries.at(i).size > 0).then_some((addr, i))
    });
    for (addr, i) in places.collect::<Vec<_>>() {
        at.entry(addr).or_default().push(i);
    }
    for function in replaced {
        let Some(index) = function.entry else { continue };
        let home = |i: u32| image.and_then(|image| image.home(i));
        let others = at[&function.old_addr].iter().copied();
        let others = others.filter(|&i| i != index && home(i) == home(index));
        let mut aliases = None;
        for other in others {
            let name = entries.name(other);
            let known = aliases.get_or_insert_with(|| Aliases::of(pair, function.symbol));
            if patched.contains(&other) || known.has(name) {
                continue;
            }
            let text =
                format!("'{name}' and '{}' are one function in the running kernel", function.name);
            let place = Place {
                file: Some(table.file().to_owned()),
                section: None,
                symbol: Some(function.name.to_string()),
                offset: Some(function.old_addr),
            };
            let finding = Finding { text, place };
            found.push(Folded { function: function.symbol, name, finding });
        }
    }
    found
}

/// Fails when redirecting a function would also redirect another one that the linker folded
/// into it.
pub fn check_folded(
    pair: &Pair<'_>,
    parent: &Parent<'_>,
    image: Option<&KernelImage<'_>>,
    replaced: &[Replaced<'_>],
) -> Result<()> {
    let mut found = folded(pair, parent, image, replaced);
    let advice = |what: &str| {
        format!(
            "the linker folded identical code, so the patch would change {what} too: patch both in the same way, or neither"
        )
    };
    if let [Folded { name, .. }] = found[..] {
        let advice = advice(&format!("'{name}'"));
        let Finding { text, place } = found.swap_remove(0).finding;
        return Err(Error::refused(Code::FoldedFunction, text).at_place(place).advise(advice));
    }
    if found.is_empty() {
        return Ok(());
    }
    let text = format!("{} functions of the patch are others as well", found.len());
    let findings = found.into_iter().map(|f| f.finding).collect();
    Err(Error::refused(Code::FoldedFunction, text)
        .in_file(parent.table().file())
        .with_findings(findings)
        .advise(advice("the other ones")))
}

/// Names that a function has in both objects.
struct Aliases<'a> {
    orig: Vec<&'a str>,
    patched: Vec<&'a str>,
}

impl<'a> Aliases<'a> {
    fn of(pair: &Pair<'a>, id: SymbolId<Patched>) -> Self {
        let patched = names_at(pair.patched.layout.object, id);
        let twin = pair.twins.orig_symbol(id);
        let orig = twin.map(|twin| names_at(pair.orig.layout.object, twin));
        Aliases { orig: orig.unwrap_or_default(), patched }
    }

    fn has(&self, name: &str) -> bool {
        self.orig.contains(&name) && self.patched.contains(&name)
    }
}

fn names_at<'a, S: Side>(object: &Object<'a, S>, id: SymbolId<S>) -> Vec<&'a str> {
    let Some(section) = object.section_of(id) else { return Vec::new() };
    let value = object.symbol(id).value;
    let members = object.members(section).iter();
    members.filter(|&&m| object.symbol(m).value == value).map(|&m| object.symbol_name(m)).collect()
}
