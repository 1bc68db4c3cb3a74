//! What the running kernel has: finds symbols of the patched object there, and their positions.

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::diag::{Code, Error, Result};
use crate::diff::compare::pair::Pair;
use crate::elf::ids::{Patched, SymbolId};
use crate::elf::object::Home;
use crate::kernel::layout::Layout;
use crate::patch::live::{Blocks, Live};
use crate::running::kallsyms;
use crate::running::parent::{Found, Parent};

/// How a symbol's position among its namesakes is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sympos {
    /// As the C tool: 1 for a unique local symbol, 0 for globals, except where the kernel
    /// would find another symbol.
    DropIn,
    /// As the kernel documents it: 0 for unique names.
    Kernel,
}

/// What to resolve against.
pub struct RunningKernel<'p> {
    /// The object that is patched.
    pub parent: &'p Parent<'p>,
    /// The parent's FILE block of each original symbol.
    pub blocks: Blocks,
    /// What the image says, when it was given.
    pub live: Option<Live<'p>>,
    /// How positions are written.
    pub sympos: Sympos,
    /// kpatch's `--klp-arch`.
    pub klp_arch: bool,
    /// Symbols of the other objects of the patch.
    pub peers: Option<&'p Peers>,
}

impl RunningKernel<'_> {
    /// Whether what is patched is a module.
    pub fn patches_module(&self) -> bool {
        self.parent.name() != "vmlinux"
    }
}

/// Where symbols of the other objects of a patch are in the parent's symbol table, by their
/// names in the patched build. ThinLTO makes local symbols visible to other objects, under a
/// new name, and back: then the parent has them under another one.
pub type Peers = IndexMap<String, u32, RandomState>;

/// Looks symbols of the patched object up in the running kernel.
#[derive(Clone, Copy)]
pub struct Lookup<'a> {
    /// Both objects, and who is who.
    pub pair: &'a Pair<'a>,
    /// Where to look.
    pub running: &'a RunningKernel<'a>,
}

impl<'a> Lookup<'a> {
    /// The layout of the patched object.
    pub fn layout(&self) -> &'a Layout<'a, Patched> {
        self.pair.patched.layout
    }

    /// The name a symbol has in the output: the original's, since that is what runs.
    pub fn name(&self, id: SymbolId<Patched>) -> &'a str {
        self.pair.output_name(id)
    }

    /// What the kernel has for a symbol. Fails where it is unclear which of several is meant.
    pub fn find(&self, id: SymbolId<Patched>) -> Result<Option<Found<'a>>> {
        let parent = self.running.parent;
        if let Some(index) = self.peer(id) {
            return parent.found(index, true).map(Some);
        }
        let twin = self.pair.twins.orig_symbol(id);
        let block = twin.and_then(|twin| self.running.blocks.of(twin));
        match (&self.running.live, twin) {
            (Some(live), Some(twin)) => {
                let object = self.pair.orig.layout.object;
                live.lookup(parent, object, twin, self.name(id), block)
            }
            (_, Some(_)) => parent.lookup(self.name(id), block),
            (_, None) => match parent.lookup(self.name(id), block)? {
                Some(found) => Ok(Some(found)),
                None => self.promoted(id),
            },
        }
    }

    /// What a promoted name that only the patched object has is called in the parent: the
    /// hash in it is that of the patched module. What was not promoted there only has the name
    /// in common, and may be another file's.
    fn promoted(&self, id: SymbolId<Patched>) -> Result<Option<Found<'a>>> {
        let name = self.name(id);
        if self.layout().object.home(id) != Home::Undefined || !kallsyms::is_promoted(name) {
            return Ok(None);
        }
        let parent = self.running.parent;
        let candidates = parent.namesakes(name);
        let promoted =
            candidates.iter().filter(|&&i| kallsyms::is_promoted(parent.table().entries().name(i)));
        match (&candidates[..], promoted.count()) {
            (&[], _) => Ok(None),
            (&[index], 1) => parent.found(index, true).map(Some),
            // The object that has it tells, when it is one of the patch.
            (_, 0) if self.running.peers.is_some() => Ok(None),
            (more, _) => {
                let entries = parent.table().entries();
                let shown = more.iter().take(10).filter_map(|&i| entries.get(i));
                let details = shown.map(|e| format!("candidate: {} at {:#x}", e.name, e.addr));
                Err(Error::refused(
                    Code::AmbiguousSymbol,
                    format!("it is unclear which symbol of the running kernel {name} is"),
                )
                .in_file(parent.table().file())
                .at_symbol(name)
                .with_details(details.collect())
                .advise(
                    "the original object does not refer to it, and its hash is that of the \
                     patched module: several functions or variables of the kernel may be meant",
                ))
            }
        }
    }

    /// Where another object of the patch says that an undefined symbol is.
    fn peer(&self, id: SymbolId<Patched>) -> Option<u32> {
        let symbol = self.layout().object.symbol(id);
        let peers = self.running.peers.filter(|_| symbol.home == Home::Undefined)?;
        peers.get(symbol.name).copied()
    }

    /// The object that has what was found: `vmlinux` or a module.
    pub fn object_of(&self, found: &Found<'a>) -> &'a str {
        found.object.unwrap_or(self.running.parent.name())
    }

    /// Whether a key is defined in another object than vmlinux.
    pub fn in_module(&self, id: SymbolId<Patched>) -> Result<bool> {
        Ok(self.find(id)?.is_some_and(|found| self.object_of(&found) != "vmlinux"))
    }

    /// The position, as it is written, of what was found.
    pub fn position(&self, found: &Found<'_>) -> u64 {
        let Some(rank) = found.rank else { return 0 };
        match self.running.sympos {
            // The kernel takes 0 as "unique" and then refuses a global with static namesakes.
            Sympos::DropIn if found.global && rank.total > 1 => u64::from(rank.position),
            Sympos::DropIn => found.sympos,
            Sympos::Kernel if rank.total == 1 => 0,
            Sympos::Kernel => u64::from(rank.position),
        }
    }

    /// The binding in the original: that is what runs, and promotion changes it.
    pub fn original_bind(&self, id: SymbolId<Patched>) -> u8 {
        match self.pair.twins.orig_symbol(id) {
            Some(twin) => self.pair.orig.layout.object.symbol_bind(twin),
            None => self.layout().object.symbol_bind(id),
        }
    }
}
