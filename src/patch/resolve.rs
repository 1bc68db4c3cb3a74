//! Finds symbols of the patch in what is patched.

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use crate::diag::{Code, Error, Result};
use crate::diff::compare::comparer::Comparer;
use crate::diff::select::status::Statuses;
use crate::diff::selection::Selection;
use crate::elf::abi;
use crate::elf::ids::{Id, Patched, SymbolId};
use crate::elf::object::Home;
use crate::kernel::layout::{Class, Layout};
use crate::patch::entries::Entries;
use crate::patch::klp::Resolution;
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

/// Where symbols of the other objects of a patch are in the parent's symbol table, by their
/// names in the patched build. ThinLTO makes local symbols visible to other objects, under a
/// new name, and back: then the parent has them under another one.
pub type Peers = IndexMap<String, u32, RandomState>;

/// A changed function and what it replaces.
#[derive(Clone, Debug)]
pub struct Replaced<'a> {
    /// The function in the patched object.
    pub symbol: SymbolId<Patched>,
    /// Its name in the running kernel.
    pub name: &'a str,
    /// Address of the original; 0 when unknown.
    pub old_addr: u64,
    /// Size of the original in bytes.
    pub old_size: u64,
    /// Position among its namesakes.
    pub sympos: u64,
    /// Its place in the parent's table, when it is there.
    pub entry: Option<u32>,
}

/// Looks symbols of the patched object up in the parent.
pub struct Resolver<'a> {
    /// The comparison.
    pub comparer: &'a Comparer<'a>,
    /// Statuses of the patched object.
    pub statuses: &'a Statuses,
    /// What to resolve against.
    pub running: &'a RunningKernel<'a>,
}

/// Functions of the shadow variable API: the patch module brings them along.
pub(crate) const SHADOW: [&str; 3] =
    ["kpatch_shadow_alloc", "kpatch_shadow_free", "kpatch_shadow_get"];

impl<'a> Resolver<'a> {
    fn layout(&self) -> &Layout<'_, Patched> {
        self.comparer.patched.layout
    }

    /// The name a symbol has in the output: the original's, since that is what runs.
    pub fn name(&self, id: SymbolId<Patched>) -> &str {
        self.comparer.output_name(id)
    }

    /// Looks a symbol up in the parent.
    pub fn lookup(&self, id: SymbolId<Patched>) -> Result<Option<Found<'a>>> {
        let parent = self.running.parent;
        if let Some(index) = self.peer(id) {
            return parent.found(index, true).map(Some);
        }
        let twin = self.comparer.twins.orig_symbol(id);
        let block = twin.and_then(|twin| self.running.blocks.of(twin));
        match (&self.running.live, twin) {
            (Some(live), Some(twin)) => {
                let object = self.comparer.orig.layout.object;
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

    /// What other objects of the patch may know under names that the parent does not have:
    /// (name in the patched build, place in the parent's symbol table).
    pub fn offers(&self) -> Vec<(String, u32)> {
        let (orig, object) = (self.comparer.orig.layout.object, self.layout().object);
        let mut offers = Vec::new();
        for id in object.symbols().skip(1) {
            let symbol = object.symbol(id);
            if symbol.bind == abi::STB_LOCAL || !matches!(symbol.home, Home::Section(_)) {
                continue;
            }
            let Some(twin) = self.comparer.twins.orig_symbol(id) else { continue };
            let before = orig.symbol(twin);
            if before.bind != abi::STB_LOCAL && before.name == symbol.name {
                continue;
            }
            // Who needs one that cannot be told is refused for that.
            if let Ok(Some(Found { index: Some(index), .. })) = self.lookup(id) {
                offers.push((symbol.name.to_owned(), index));
            }
        }
        offers
    }

    /// Names of what the patch refers to, does not have, and the parent does not know.
    pub fn unknown(
        &self,
        selection: &Selection,
        entries: &Entries,
        resolution: &Resolution<'_>,
    ) -> Result<Vec<String>> {
        let object = self.layout().object;
        let mut seen: IndexSet<SymbolId<Patched>, RandomState> = IndexSet::default();
        let mut unknown = Vec::new();
        let chunks = entries.chunks().filter(|c| self.layout().class(c.section()) != Class::Debug);
        for (_, reloc) in chunks.flat_map(|chunk| chunk.relocs(object)) {
            let is_undefined = object.home(reloc.symbol) == Home::Undefined;
            if !is_undefined || reloc.symbol.index() == 0 || resolution.is_known(reloc.symbol) {
                continue;
            }
            if seen.insert(reloc.symbol)
                && !SHADOW.contains(&object.symbol_name(reloc.symbol))
                && !selection.has_symbol(object, reloc.symbol)
                && self.lookup(reloc.symbol)?.is_none()
            {
                unknown.push(self.name(reloc.symbol).to_owned());
            }
        }
        Ok(unknown)
    }

    /// Whether a key is defined in another object than vmlinux.
    pub fn in_module(&self, id: SymbolId<Patched>) -> Result<bool> {
        Ok(self.lookup(id)?.is_some_and(|found| self.object_of(&found) != "vmlinux"))
    }

    pub(super) fn object_of(&self, found: &Found<'a>) -> &'a str {
        found.object.unwrap_or(self.running.parent.name())
    }

    pub(super) fn sympos(&self, found: &Found<'_>) -> u64 {
        let Some(rank) = found.rank else { return 0 };
        match self.running.sympos {
            // The kernel takes 0 as "unique" and then refuses a global with static namesakes.
            Sympos::DropIn if found.global && rank.total > 1 => u64::from(rank.position),
            Sympos::DropIn => found.sympos,
            Sympos::Kernel if rank.total == 1 => 0,
            Sympos::Kernel => u64::from(rank.position),
        }
    }

    pub(super) fn not_found(&self, name: &str) -> Error {
        Error::broken(Code::SymbolNotFound, format!("can't find symbol '{name}' in symbol table"))
            .in_file(self.running.parent.table().file())
            .at_symbol(name)
            .advise(
                "is this the symbol table of the kernel that the original object was built for?",
            )
    }

    /// What the changed functions replace, in symbol order.
    pub fn replaced(&self, functions: &[SymbolId<Patched>]) -> Result<Vec<Replaced<'a>>> {
        let replaced: Vec<Result<Replaced<'a>>> =
            functions.par_iter().with_min_len(64).map(|&symbol| self.replaces(symbol)).collect();
        replaced.into_iter().collect()
    }

    fn replaces(&self, symbol: SymbolId<Patched>) -> Result<Replaced<'a>> {
        let found = self.lookup(symbol)?.ok_or_else(|| self.not_found(self.name(symbol)))?;
        self.check_local(symbol, &found)?;
        self.check_weak(symbol, &found)?;
        self.check_listed(&found)?;
        Ok(Replaced {
            symbol,
            name: found.name,
            old_addr: found.addr,
            old_size: found.size,
            sympos: self.sympos(&found),
            entry: found.index,
        })
    }

    /// Fails for a symbol that livepatch cannot find because kallsyms leaves it out.
    pub(super) fn check_listed(&self, found: &Found<'_>) -> Result<()> {
        if self.running.sympos == Sympos::DropIn || found.exported || kallsyms::lists(found.name) {
            return Ok(());
        }
        Err(Error::refused(
            Code::UnlistedSymbol,
            format!(
                "the kernel does not list '{}' in kallsyms, so livepatch cannot find it",
                found.name
            ),
        )
        .in_file(self.running.parent.table().file())
        .at_symbol(found.name)
        .advise("give the symbol a name that kallsyms keeps, or make the code not refer to it"))
    }

    /// The binding in the original: that is what runs, and promotion changes it.
    pub(super) fn original_bind(&self, id: SymbolId<Patched>) -> u8 {
        match self.comparer.twins.orig_symbol(id) {
            Some(twin) => self.comparer.orig.layout.object.symbol_bind(twin),
            None => self.layout().object.symbol_bind(id),
        }
    }

    pub(super) fn check_local(&self, id: SymbolId<Patched>, found: &Found<'_>) -> Result<()> {
        if self.original_bind(id) == abi::STB_LOCAL && found.global {
            let name = self.name(id);
            return Err(Error::broken(
                Code::SymbolNotFound,
                format!("can't find local symbol '{name}' in symbol table"),
            )
            .in_file(self.running.parent.table().file())
            .at_symbol(name)
            .advise("the parent only has a global symbol of that name"));
        }
        Ok(())
    }

    /// Fails when the kernel has a definition that is not weak in the place of a weak one: the
    /// object given is not where the running function comes from.
    fn check_weak(&self, id: SymbolId<Patched>, found: &Found<'_>) -> Result<()> {
        let entry = found.index.and_then(|i| self.running.parent.table().entries().get(i));
        let is_strong = entry.is_some_and(|e| e.bind == abi::STB_GLOBAL);
        if self.running.sympos == Sympos::DropIn
            || self.original_bind(id) != abi::STB_WEAK
            || !is_strong
        {
            return Ok(());
        }
        let name = self.name(id);
        Err(Error::refused(
            Code::OverriddenDefinition,
            format!("'{name}' is weak in the original object, but the kernel has a definition that is not: another object overrides it"),
        )
        .in_file(self.running.parent.table().file())
        .at_symbol(name)
        .advise("this function never runs: leave the change out, or patch the one that does"))
    }
}
