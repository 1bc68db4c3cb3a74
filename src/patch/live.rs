//! What the image that runs says about a patch: which symbols its names are, whether the
//! original object is what runs, and what else a redirected function would take along.

#![expect(clippy::indexing_slicing, reason = "places that a search of the same list found")]

use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use crate::diag::{Code, Diagnostic, Error, Finding, Place, Result, Severity, distance};
use crate::diff::compare::comparer::Comparer;
use crate::elf::abi::{STB_LOCAL, STT_FUNC};
use crate::elf::ids::{Orig, Patched, Side, SymbolId};
use crate::elf::object::Object;
use crate::patch::resolve::Replaced;
use crate::running::image::KernelImage;
use crate::running::image_match::{Checked, ImageMatch, Outcome};
use crate::running::parent::{Found, Parent};
use crate::running::symtab::{BlockId, Order};

/// The original object in the light of the image.
pub struct Live<'a> {
    /// The image.
    pub image: &'a KernelImage<'a>,
    /// What the original's functions are there.
    pub matched: ImageMatch<Orig>,
    /// Why FILE symbols do not tell which file's symbols are the object's, when they do not.
    pub no_blocks: Option<Error>,
}

impl Live<'_> {
    /// Finds `name`, which symbol `id` of the original object has: where the running code
    /// proves it, there, else as [`Parent::lookup`]. Fails when the proof and the FILE
    /// symbols contradict each other, and when neither tells local symbols apart.
    pub fn lookup<'p>(
        &self,
        parent: &'p Parent<'_>,
        object: &Object<'_, Orig>,
        id: SymbolId<Orig>,
        name: &str,
        block: Option<BlockId>,
    ) -> Result<Option<Found<'p>>> {
        let plain = parent.lookup(name, block);
        let table = parent.table();
        let Some(index) = self.matched.entries[id] else {
            let Some(error) = &self.no_blocks else { return plain };
            if object.symbol(id).bind != STB_LOCAL {
                return plain;
            }
            return match *table.locals(name) {
                [] => plain,
                [index] => parent.found(index, false).map(Some),
                _ => Err(error.clone()),
            };
        };
        let Some(entry) = table.entries().get(index).filter(|e| e.name == name) else {
            return plain;
        };
        let global = entry.bind != STB_LOCAL || entry.is_demoted();
        let proven = parent.found(index, global)?;
        match plain {
            Ok(Some(Found { index: Some(other), .. })) if other != index => {
                let places = [index, other].map(|i| table.entries().addr(i));
                Err(Error::broken(
                    Code::Contradiction,
                    format!(
                        "by its code '{name}' is the one at {:#x}, by the FILE symbols the one at {:#x}",
                        places[0], places[1]
                    ),
                )
                .in_file(table.file())
                .at_symbol(name)
                .advise("was the original object built from what runs? klp-diff verify-orig tells"))
            }
            _ => Ok(Some(proven)),
        }
    }

    /// What is wrong with the original functions that the patch replaces or refers to, one
    /// warning each. `strict` makes the first a refusal.
    pub fn check_original(
        &self,
        object: &Object<'_, Orig>,
        touched: impl Iterator<Item = SymbolId<Orig>>,
        strict: bool,
    ) -> Result<Vec<Diagnostic>> {
        let mut touched: Vec<SymbolId<Orig>> = touched.collect();
        touched.sort_unstable();
        touched.dedup();
        let mut warnings = Vec::new();
        for id in touched {
            let functions = &self.matched.functions;
            let Ok(at) = functions.binary_search_by_key(&id, |c| c.function) else { continue };
            let Some(warning) = sentence(object.symbol_name(id), &functions[at]) else { continue };
            let rewritten = matches!(functions[at].outcome, Outcome::Rewritten);
            let refused = strict && !rewritten;
            let severity = if refused { Severity::Refusal } else { Severity::Warning };
            let found = Diagnostic::new(severity, Code::OriginalDiffers, warning)
                .at_symbol(object.symbol_name(id));
            let found = match rewritten {
                true => found,
                false => found.advise("build the original object from the source and with the tools of the running kernel"),
            };
            if refused {
                return Err(Error::of(found.in_file(object.file())));
            }
            warnings.push(found);
        }
        Ok(warnings)
    }
}

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

/// What to say about a function that is not as the object has it.
fn sentence<S: Side>(name: &str, checked: &Checked<S>) -> Option<String> {
    match &checked.outcome {
        // A weak function that another object overrides is so in each build of that kernel.
        Outcome::Same | Outcome::Relaid | Outcome::Absent | Outcome::Overridden { .. } => None,
        Outcome::Differs { at, what } => Some(format!(
            "Your original build is not the running kernel: '{name}' differs at {}: {what}",
            distance(*at)
        )),
        Outcome::Rewritten => {
            Some(format!("'{name}' was rewritten by BOLT; its entry is as in the original build"))
        }
    }
}

/// Linked kernels have their code above this; offsets in sections are below.
const LOWEST_ADDRESS: u64 = 1 << 20;

/// Functions that the running kernel cannot redirect, or not without others, although the object
/// says that ftrace can hook them.
pub fn fixed(
    comparer: &Comparer<'_>,
    parent: &Parent<'_>,
    image: &KernelImage<'_>,
    replaced: &[Replaced<'_>],
) -> Vec<SymbolId<Patched>> {
    let untraced = replaced.iter().filter(|r| image.is_traced(r.old_addr) == Some(false));
    let mut found: Vec<SymbolId<Patched>> = untraced.map(|r| r.symbol).collect();
    found.extend(folded(comparer, parent, Some(image), replaced).into_iter().map(|f| f.function));
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
    comparer: &Comparer<'_>,
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
            let known = aliases.get_or_insert_with(|| Aliases::of(comparer, function.symbol));
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
    comparer: &Comparer<'_>,
    parent: &Parent<'_>,
    image: Option<&KernelImage<'_>>,
    replaced: &[Replaced<'_>],
) -> Result<()> {
    let mut found = folded(comparer, parent, image, replaced);
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
    fn of(comparer: &Comparer<'a>, id: SymbolId<Patched>) -> Self {
        let patched = names_at(comparer.patched.layout.object, id);
        let twin = comparer.twins.orig_symbol(id);
        let orig = twin.map(|twin| names_at(comparer.orig.layout.object, twin));
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

/// The block of each symbol of the original object.
pub type Blocks = crate::running::blocks::Blocks<Orig>;
