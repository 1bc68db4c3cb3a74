//! What the image that runs says about the original object: which symbols its names are, and
//! whether it is what runs.

#![expect(clippy::indexing_slicing, reason = "places that a search of the same list found")]

use crate::diag::{Code, Diagnostic, Error, Result, Severity, distance};
use crate::elf::abi::STB_LOCAL;
use crate::elf::ids::{Orig, Side, SymbolId};
use crate::elf::object::Object;
use crate::running::image::KernelImage;
use crate::running::image_match::{Checked, ImageMatch, Outcome};
use crate::running::parent::{Found, Parent};
use crate::running::symtab::BlockId;

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

/// The block of each symbol of the original object.
pub type Blocks = crate::running::blocks::Blocks<Orig>;
