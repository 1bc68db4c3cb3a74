//! Decides who resolves each reference of the patch: the linker, the module loader, or
//! livepatch when the patched object is there (spec section 19.5).

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};
use rayon::prelude::*;

use crate::diff::compare::Comparer;
use crate::diff::select::Selection;
use crate::diff::status::{Status, Statuses};
use crate::elf::abi;
use crate::elf::ids::{Id, Marks, Patched, SectionId, SymbolId};
use crate::elf::object::{Home, Reloc};
use crate::error::{Error, Result};
use crate::kernel::kallsyms;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::parent::{Found, Parent};
use crate::kernel::refs::{Effective, Refs};
use crate::patch::live::{Blocks, Live};

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
pub struct Target<'p> {
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

/// A reference that livepatch resolves.
#[derive(Clone, Debug)]
pub struct KlpReloc<'a> {
    /// Section that holds the relocated field.
    pub section: SectionId<Patched>,
    /// The relocation, as in the patched object.
    pub reloc: Reloc<Patched>,
    /// Addend relative to the symbol.
    pub addend: i64,
    /// The symbol it needs, as the patched object has it.
    pub meant: SymbolId<Patched>,
    /// The same in the running kernel.
    pub symbol: KlpSymbol<'a>,
    /// The symbol is exported, and the parent is a module.
    pub external: bool,
}

/// A symbol of the running kernel.
#[derive(Clone, Copy, Debug)]
pub struct KlpSymbol<'a> {
    /// Its name there.
    pub name: &'a str,
    /// The object it lives in.
    pub object: &'a str,
    /// Address, 0 when unknown.
    pub addr: u64,
    /// Position among its namesakes.
    pub sympos: u64,
    /// STB_*.
    pub bind: u8,
    /// STT_*.
    pub kind: u8,
}

/// The decisions for the references of some sections.
#[derive(Default)]
struct Part<'a> {
    klp: Vec<KlpReloc<'a>>,
    moved: Vec<(SectionId<Patched>, usize)>,
    /// Symbols that relocations refer to which do not move.
    used: Vec<SymbolId<Patched>>,
    /// Symbols that relocations referred to which do, and that are not in the patch.
    candidates: Vec<SymbolId<Patched>>,
}

/// What is known of symbols that are not in the patch: where only livepatch can find them.
type Decided<'a> = IndexMap<SymbolId<Patched>, Option<Found<'a>>, RandomState>;

/// The decisions for all references of a patch.
pub struct Resolution<'a> {
    /// References that livepatch resolves, in output order.
    pub klp: Vec<KlpReloc<'a>>,
    /// (section, index in its list) of the relocations that became klp relocations, ascending.
    moved: Vec<(SectionId<Patched>, usize)>,
    /// Symbols that nothing refers to any more.
    pub stripped: IndexSet<SymbolId<Patched>, RandomState>,
}

impl Resolution<'_> {
    /// Whether relocation `index` of a section became a klp relocation.
    pub fn is_moved(&self, section: SectionId<Patched>, index: usize) -> bool {
        self.moved.binary_search(&(section, index)).is_ok()
    }
}

/// One relocation of the output: its section, its index there, and how it was in the input.
pub type Entry = (SectionId<Patched>, usize, Reloc<Patched>);

/// The relocations of one section, of those that the output carries.
type Chunk<'e> = &'e [Entry];

/// Calls `decide` for groups of sections in parallel, and returns what it says in their order.
/// Of several errors it is the first.
pub(super) fn each<T: Send>(
    entries: Chunk<'_>,
    decide: impl Fn(&[Chunk<'_>]) -> Result<T> + Sync + Send,
) -> Result<Vec<T>> {
    let chunks: Vec<Chunk<'_>> = entries.chunk_by(|a, b| a.0 == b.0).collect();
    // What a group learns of a symbol it remembers, so a group should not be small.
    let group = (chunks.len() / (4 * rayon::current_num_threads())).max(64);
    let found: Vec<Result<T>> = chunks.par_chunks(group).map(decide).collect();
    found.into_iter().collect()
}

/// A changed function and what it replaces.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// The function in the patched object.
    pub symbol: SymbolId<Patched>,
    /// Its name in the running kernel.
    pub name: String,
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
pub struct Resolver<'a, 'l, 'o, 'd> {
    /// The comparison.
    pub comparer: &'a Comparer<'a, 'l, 'o, 'd>,
    /// Statuses of the patched object.
    pub statuses: &'a Statuses,
    /// What to resolve against.
    pub target: &'a Target<'a>,
}

/// Functions of the shadow variable API: the patch module brings them along.
const SHADOW: [&str; 3] = ["kpatch_shadow_alloc", "kpatch_shadow_free", "kpatch_shadow_get"];

impl<'a> Resolver<'a, '_, '_, '_> {
    fn layout(&self) -> &Layout<'_, '_, Patched> {
        self.comparer.patched.layout
    }

    /// The name a symbol has in the output: the original's, since that is what runs.
    pub fn name(&self, id: SymbolId<Patched>) -> &str {
        self.comparer.output_name(id)
    }

    /// Looks a symbol up in the parent.
    pub fn lookup(&self, id: SymbolId<Patched>) -> Result<Option<Found<'a>>> {
        let parent = self.target.parent;
        if let Some(index) = self.peer(id) {
            return parent.found(index, true).map(Some);
        }
        let twin = self.comparer.twins.orig_symbol(id);
        let block = twin.and_then(|twin| self.target.blocks.of(twin));
        match (&self.target.live, twin) {
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
        let parent = self.target.parent;
        let candidates = parent.namesakes(name);
        let promoted =
            candidates.iter().filter(|&&i| kallsyms::is_promoted(parent.table().entries().name(i)));
        match (&candidates[..], promoted.count()) {
            (&[], _) => Ok(None),
            (&[index], 1) => parent.found(index, true).map(Some),
            // The object that has it tells, when it is one of the patch.
            (_, 0) if self.target.peers.is_some() => Ok(None),
            (more, _) => {
                let entries = parent.table().entries();
                let shown = more.iter().take(10).filter_map(|&i| entries.get(i));
                let details = shown.map(|e| format!("candidate: {} at {:#x}", e.name, e.addr));
                Err(Error::refused(
                    "ambiguous-symbol",
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
        let peers = self.target.peers.filter(|_| symbol.home == Home::Undefined)?;
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
    pub fn unknown(&self, selection: &Selection, entries: &[Entry]) -> Result<Vec<String>> {
        let object = self.layout().object;
        let mut seen: IndexSet<SymbolId<Patched>, RandomState> = IndexSet::default();
        let mut unknown = Vec::new();
        for &(section, _, reloc) in entries {
            let symbol = object.symbol(reloc.symbol);
            let debug = self.layout().class(section) == Class::Debug;
            if debug || reloc.symbol.index() == 0 || symbol.home != Home::Undefined {
                continue;
            }
            if seen.insert(reloc.symbol)
                && !SHADOW.contains(&symbol.name)
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

    fn object_of(&self, found: &Found<'a>) -> &'a str {
        found.object.unwrap_or(self.target.parent.name())
    }

    fn sympos(&self, found: &Found<'_>) -> u64 {
        let Some(rank) = found.rank else { return 0 };
        match self.target.sympos {
            // The kernel takes 0 as "unique" and then refuses a global with static namesakes.
            Sympos::DropIn if found.global && rank.total > 1 => u64::from(rank.position),
            Sympos::DropIn => found.sympos,
            Sympos::Kernel if rank.total == 1 => 0,
            Sympos::Kernel => u64::from(rank.position),
        }
    }

    fn not_found(&self, name: &str) -> Error {
        Error::broken("symbol-not-found", format!("can't find symbol '{name}' in symbol table"))
            .in_file(self.target.parent.table().file())
            .at_symbol(name)
            .advise(
                "is this the symbol table of the kernel that the original object was built for?",
            )
    }

    /// What the changed functions replace, in symbol order.
    pub fn replaced(&self, functions: &[SymbolId<Patched>]) -> Result<Vec<Replaced>> {
        functions
            .iter()
            .map(|&symbol| {
                let name = self.name(symbol);
                let found = self.lookup(symbol)?.ok_or_else(|| self.not_found(name))?;
                self.check_local(symbol, &found)?;
                self.check_weak(symbol, &found)?;
                self.check_listed(&found)?;
                Ok(Replaced {
                    symbol,
                    name: found.name.to_owned(),
                    old_addr: found.addr,
                    old_size: found.size,
                    sympos: self.sympos(&found),
                    entry: found.index,
                })
            })
            .collect()
    }

    /// Fails for a symbol that livepatch cannot find because kallsyms leaves it out.
    fn check_listed(&self, found: &Found<'_>) -> Result<()> {
        if self.target.sympos == Sympos::DropIn || found.exported || kallsyms::lists(found.name) {
            return Ok(());
        }
        Err(Error::refused(
            "unlisted-symbol",
            format!(
                "the kernel does not list '{}' in kallsyms, so livepatch cannot find it",
                found.name
            ),
        )
        .in_file(self.target.parent.table().file())
        .at_symbol(found.name)
        .advise("give the symbol a name that kallsyms keeps, or make the code not refer to it"))
    }

    /// The binding in the original: that is what runs, and promotion changes it.
    fn original_bind(&self, id: SymbolId<Patched>) -> u8 {
        match self.comparer.twins.orig_symbol(id) {
            Some(twin) => self.comparer.orig.layout.object.symbol_bind(twin),
            None => self.layout().object.symbol_bind(id),
        }
    }

    fn check_local(&self, id: SymbolId<Patched>, found: &Found<'_>) -> Result<()> {
        if self.original_bind(id) == abi::STB_LOCAL && found.global {
            let name = self.name(id);
            return Err(Error::broken(
                "symbol-not-found",
                format!("can't find local symbol '{name}' in symbol table"),
            )
            .in_file(self.target.parent.table().file())
            .at_symbol(name)
            .advise("the parent only has a global symbol of that name"));
        }
        Ok(())
    }

    /// Fails when the kernel has a definition that is not weak in the place of a weak one: the
    /// object given is not where the running function comes from.
    fn check_weak(&self, id: SymbolId<Patched>, found: &Found<'_>) -> Result<()> {
        let entry = found.index.and_then(|i| self.target.parent.table().entries().get(i));
        let is_strong = entry.is_some_and(|e| e.bind == abi::STB_GLOBAL);
        if self.target.sympos == Sympos::DropIn
            || self.original_bind(id) != abi::STB_WEAK
            || !is_strong
        {
            return Ok(());
        }
        let name = self.name(id);
        Err(Error::refused(
            "overridden-definition",
            format!("'{name}' is weak in the original object, but the kernel has a definition that is not: another object overrides it"),
        )
        .in_file(self.target.parent.table().file())
        .at_symbol(name)
        .advise("this function never runs: leave the change out, or patch the one that does"))
    }

    /// Decides about every relocation that `entries` lists: (section, index, relocation).
    pub fn resolve(&self, selection: &Selection, entries: &[Entry]) -> Result<Resolution<'a>> {
        let object = self.layout().object;
        let found = each(entries, |chunks| {
            let mut decided = Decided::default();
            let mut flagged = Vec::new();
            for chunk in chunks {
                let refs = Refs::new(self.layout(), chunk[0].0);
                for (_, _, reloc) in *chunk {
                    flagged.extend(self.needs_klp(selection, &refs, reloc, &mut decided)?);
                }
            }
            Ok((flagged, decided))
        })?;
        let mut flagged = Vec::new();
        let mut known: IndexMap<SymbolId<Patched>, Found<'a>, RandomState> = IndexMap::default();
        for (places, decided) in found {
            flagged.extend(places);
            known.extend(decided.into_iter().filter_map(|(id, found)| Some((id, found?))));
        }
        flagged.sort_unstable();
        known.values().try_for_each(|found| self.check_listed(found))?;
        let parts = each(entries, |chunks| {
            let mut part = Part::default();
            for chunk in chunks {
                let refs = Refs::new(self.layout(), chunk[0].0);
                for &(section, index, reloc) in *chunk {
                    let target = refs.resolve(&reloc)?;
                    // Of several relocations at one place only one with a symbol can move.
                    let moves = reloc.symbol.index() != 0
                        && flagged.binary_search(&(section, reloc.offset)).is_ok();
                    if !moves {
                        part.used.push(target.symbol);
                        continue;
                    }
                    let (symbol, addend) = (target.symbol, target.addend);
                    part.klp.push(self.klp_reloc(section, &reloc, symbol, addend, &known)?);
                    part.moved.push((section, index));
                    if !selection.has_symbol(object, symbol) {
                        part.candidates.push(symbol);
                    }
                }
            }
            Ok(part)
        })?;
        let used = parts.iter().flat_map(|part| part.used.iter().copied());
        let used = Marks::of(object.symbol_count(), used);
        let mut resolution =
            Resolution { klp: Vec::new(), moved: Vec::new(), stripped: IndexSet::default() };
        for part in parts {
            resolution.klp.extend(part.klp);
            resolution.moved.extend(part.moved);
            resolution.stripped.extend(part.candidates.into_iter().filter(|&s| !used.has(s)));
        }
        Ok(resolution)
    }

    fn klp_reloc(
        &self,
        section: SectionId<Patched>,
        reloc: &Reloc<Patched>,
        symbol: SymbolId<Patched>,
        addend: i64,
        known: &IndexMap<SymbolId<Patched>, Found<'a>, RandomState>,
    ) -> Result<KlpReloc<'a>> {
        let layout = self.layout();
        let section_name = layout.object.section_name(section);
        let name = self.name(symbol);
        let in_module = self.target.parent.name() != "vmlinux";
        if !self.target.klp_arch && in_module && matches!(layout.class(section), Class::Table(_)) {
            return Err(Error::broken(
                "klp-reloc-in-table",
                format!("unsupported klp relocation reference to symbol '{name}' in module-specific special section '{section_name}'"),
            )
            .in_section(section_name)
            .at_offset(reloc.offset));
        }
        let found = match known.get(&symbol) {
            Some(found) => *found,
            None => {
                let found = self.lookup(symbol)?.ok_or_else(|| self.not_found(name))?;
                self.check_listed(&found)?;
                found
            }
        };
        let view = layout.object.symbol(symbol);
        let changed_function = view.kind == abi::STT_FUNC
            && self.statuses.symbols[symbol] == Status::Changed
            && layout.parent(symbol).is_none();
        Ok(KlpReloc {
            section,
            reloc: *reloc,
            addend,
            meant: symbol,
            external: in_module && found.exported,
            symbol: KlpSymbol {
                name: found.name,
                object: self.object_of(&found),
                addr: if in_module { 0 } else { found.addr },
                sympos: self.sympos(&found),
                // The patch's own copy of a changed function is local to the patch.
                bind: if changed_function { abi::STB_LOCAL } else { view.bind },
                kind: view.kind,
            },
        })
    }

    /// Where the field is that livepatch must relocate for `reloc`, if it must: its section
    /// and offset, which are those of a TOC slot when the reference goes through one.
    fn needs_klp(
        &self,
        selection: &Selection,
        refs: &Refs<'_, '_, '_, Patched>,
        reloc: &Reloc<Patched>,
        decided: &mut Decided<'a>,
    ) -> Result<Option<(SectionId<Patched>, u64)>> {
        let layout = self.layout();
        let object = layout.object;
        let arch = layout.arch;
        let section = refs.base();
        if layout.class(section) == Class::Debug
            || (arch.never_klp)(reloc.kind, object.section_name(section))
        {
            return Ok(None);
        }
        let Effective::Reloc(base, effective) = refs.effective(reloc)? else { return Ok(None) };
        let target = if base == section {
            refs.resolve(&effective)?
        } else {
            Refs::new(layout, base).resolve(&effective)?
        };
        let symbol = object.symbol(target.symbol);
        if target.symbol.index() == 0
            || SHADOW.contains(&symbol.name)
            || arch.never_klp_symbol.is_some_and(|p| symbol.name.starts_with(p))
        {
            return Ok(None);
        }
        let needed = if selection.has_symbol(object, target.symbol) {
            symbol.kind == abi::STT_FUNC
                && layout.parent(target.symbol).is_none()
                && (arch.is_function_pointer)(reloc.kind, target.addend)
                && self.statuses.symbols[target.symbol] != Status::New
                && !self.name(target.symbol).contains('.')
                // Who calls through this pointer checks for the new type.
                && !self.comparer.type_changed(target.symbol)
        } else {
            match decided.get(&target.symbol) {
                Some(known) => known.is_some(),
                None => {
                    let found = self.lives_elsewhere(target.symbol)?;
                    decided.insert(target.symbol, found);
                    found.is_some()
                }
            }
        };
        Ok(needed.then_some((base, effective.offset)))
    }

    /// What only livepatch can find, of a symbol that is not in the patch.
    fn lives_elsewhere(&self, id: SymbolId<Patched>) -> Result<Option<Found<'a>>> {
        let layout = self.layout();
        let symbol = layout.object.symbol(id);
        // Another object of the same patch supplies what the parent does not have.
        let Some(found) = self.lookup(id)? else { return Ok(None) };
        let elsewhere = if self.original_bind(id) == abi::STB_LOCAL {
            self.check_local(id, &found)?;
            true
        } else if found.exported {
            let local_entry = layout.is_bundled(id) && (layout.arch.local_entry)(symbol.other) != 0;
            local_entry || self.object_of(&found) != "vmlinux"
        } else {
            found.global || found.object.is_none()
        };
        Ok(elsewhere.then_some(found))
    }
}
