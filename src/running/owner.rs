//! Which of several linked files an object was linked into: the one that has all that it defines,
//! with the same code.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::image::KernelImage;
use super::image_match::{Outcome, match_image};
use crate::arch::Arch;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, Side};
use crate::elf::linked::Linked;
use crate::elf::object::{Home, Object};
use crate::kernel::knowledge::sections::UNLINKED;
use crate::kernel::knowledge::thunks;
use crate::kernel::layout::Layout;

type Names = IndexSet<String, RandomState>;

/// What an object, or several that are one, have in common with the file they were linked into.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Functions, and the variables that other objects can name.
    all: Names,
    /// The functions among them that other objects can name.
    global: Names,
    /// What it refers to and does not define.
    refers: Names,
}

/// How much of what an object defines is in a linked file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// All of it.
    pub all: bool,
    /// How many functions that other objects can name.
    pub global: usize,
    /// It defines for others what the object refers to.
    pub used: bool,
}

impl Wanted {
    /// Adds what the original object defines, and what it refers to. Weak definitions, and what
    /// the linker may drop, say nothing.
    pub fn add_original(&mut self, object: &Object<'_, Orig>) -> Result<()> {
        let arch = Arch::from_machine(object.header().machine)?;
        for id in object.symbols().skip(1) {
            let symbol = object.symbol(id);
            let Home::Section(section) = symbol.home else { continue };
            let named = symbol.kind == abi::STT_FUNC
                || symbol.kind == abi::STT_OBJECT && symbol.bind == abi::STB_GLOBAL;
            let dropped = object.section_flags(section) & abi::SHF_ALLOC == 0
                || UNLINKED.iter().any(|start| object.section_name(section).starts_with(start));
            if !named
                || dropped
                || symbol.bind == abi::STB_WEAK
                || arch.prefixed(symbol.name).is_some()
                || thunks::is_own(&symbol)
            {
                continue;
            }
            self.all.insert(symbol.name.to_owned());
            if symbol.kind == abi::STT_FUNC && symbol.bind == abi::STB_GLOBAL {
                self.global.insert(symbol.name.to_owned());
            }
        }
        self.add_references(object);
        Ok(())
    }

    /// Adds what the patched object refers to.
    pub fn add_patched(&mut self, object: &Object<'_, Patched>) {
        self.add_references(object);
    }

    fn add_references<S: Side>(&mut self, object: &Object<'_, S>) {
        let undefined = object.symbols().skip(1).filter(|&id| object.home(id) == Home::Undefined);
        self.refers.extend(undefined.map(|id| object.symbol_name(id).to_owned()));
    }

    /// Whether there is nothing by which its file could be told.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Looks for all that among what a linked file defines.
    pub fn fit(&self, defined: &Defined<'_>) -> Fit {
        let has = |name: &String| defined.all.contains(name.as_str());
        let global = |name: &&String| defined.global.contains(name.as_str());
        Fit {
            all: !self.all.is_empty() && self.all.iter().all(has),
            global: self.global.iter().filter(global).count(),
            used: self.refers.iter().any(|name| defined.global.contains(name.as_str())),
        }
    }
}

/// The names that a linked file defines.
#[derive(Debug, Default)]
pub struct Defined<'d> {
    all: IndexSet<&'d str, RandomState>,
    /// Those that others can name, or could before the link.
    global: IndexSet<&'d str, RandomState>,
}

impl<'d> Defined<'d> {
    /// Those of a linked kernel or a module.
    pub fn of(linked: &Linked<'d>) -> Self {
        let mut defined = Defined::default();
        let symbols = linked.symbols().iter().filter(|s| s.section != 0 && !s.name.is_empty());
        for symbol in symbols {
            if ![abi::STT_FUNC, abi::STT_OBJECT, abi::STT_NOTYPE].contains(&symbol.kind) {
                continue;
            }
            defined.all.insert(symbol.name);
            let hidden = matches!(symbol.visibility, 1 | 2);
            if symbol.bind != abi::STB_LOCAL || hidden {
                defined.global.insert(symbol.name);
            }
        }
        defined
    }
}

/// How many functions of an original object are in an image as they are in the object, and how
/// many are something else there.
pub fn same_code(object: &Object<'_, Orig>, image: &KernelImage<'_>) -> Result<(usize, usize)> {
    let layout = Layout::new(object)?;
    if image.check_machine(layout.arch).is_err() {
        return Ok((0, 0));
    }
    let matched = match_image(&layout, image, &image.table()?)?;
    let is = |outcome: &Outcome| match outcome {
        Outcome::Same | Outcome::Relaid | Outcome::Rewritten => (1, 0),
        Outcome::Differs { .. } => (0, 1),
        Outcome::Absent | Outcome::Overridden { .. } => (0, 0),
    };
    let counts = matched.functions.iter().map(|checked| is(&checked.outcome));
    Ok(counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)))
}
