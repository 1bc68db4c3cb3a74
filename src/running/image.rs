//! The linked kernel or module that runs: its symbols, its code, and what it says of itself.
//!
//! A text dump knows names and addresses. The image also has the bytes, so that a symbol can
//! be told by what it contains, and its banner, which says how the kernel compares names.

use std::fmt;
use std::sync::OnceLock;

use crate::arch::Arch;
use crate::diag::{Code, Error, Result};
use crate::elf::abi::{
    SHF_ALLOC, STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FILE, STT_FUNC, STT_NOTYPE, STT_OBJECT,
};
use crate::elf::linked::{Linked, LinkedSymbol};
use crate::kernel::{btf, dwarf};
use crate::running::entries::Entry;
use crate::running::kallsyms::{Evidence, Matching, PROMOTED, Version, is_promoted};
use crate::running::readelf::{Block, TextSymbols, bad};
use crate::running::symtab::ParentTable;

/// A linked kernel or a module. Borrows the file's bytes.
pub struct KernelImage<'d> {
    /// The ELF file.
    pub elf: Linked<'d>,
    /// Its machine.
    pub arch: &'static Arch,
    /// The text of `linux_banner`; `None` in a module.
    pub banner: Option<&'d str>,
    /// What BOLT was told to do, when it rewrote the image.
    pub bolt: Option<String>,
    /// Other images of the same kernel: vmlinux beside the module that is patched, and so on.
    pub neighbours: Vec<Neighbour<'d>>,
    /// The section of each entry of [`KernelImage::table`].
    homes: Vec<u32>,
    sites: OnceLock<Vec<u64>>,
}

/// Another image of the kernel: references that the patched object does not resolve may lead
/// there.
#[derive(Debug)]
pub struct Neighbour<'d> {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// Its symbols.
    pub table: ParentTable<'d>,
    /// Whether its table has the entries that exports leave.
    knows_exports: bool,
}

/// What the entry of an exported symbol is called, before its name.
const EXPORT: &str = "__ksymtab_";

impl Neighbour<'_> {
    /// Whether it exports `name`; `None` when its table does not tell.
    pub fn exports(&self, name: &str) -> Option<bool> {
        self.knows_exports.then(|| !self.table.named(&format!("{EXPORT}{name}")).is_empty())
    }

    /// Whether its visible symbol `name` is neither a function nor a variable.
    pub fn is_label(&self, name: &str) -> bool {
        let index = self.global(name).ok().flatten();
        index.is_some_and(|i| self.table.entries().traits(i).kind() == STT_NOTYPE)
    }

    /// The one symbol `name` that is visible beyond its file; `Err` has how many there are.
    pub fn global(&self, name: &str) -> std::result::Result<Option<u32>, usize> {
        match (self.table.globals(name), self.table.demoted(name)) {
            (&[index], _) | (&[], &[index]) => Ok(Some(index)),
            (&[], &[]) => Ok(None),
            (several, demoted) => Err(several.len().max(demoted.len())),
        }
    }
}

/// How far before a function's start an ftrace site may lie, and how far behind: entries may
/// be patched from before the start, and markers of branch targets may open them.
const SITE_BEFORE: u64 = 16;
const SITE_BEHIND: u64 = 16;

/// The FILE symbol of what full LTO generates.
const LTO_FILE: &str = "ld-temp.o";

/// The section in which BOLT leaves its command line.
const BOLT_NOTE: &str = ".note.bolt_info";

impl<'d> KernelImage<'d> {
    /// Reads `data`, which was loaded from `file`.
    pub fn parse(file: &str, data: &'d [u8]) -> Result<Self> {
        let elf = Linked::parse(file, data)?;
        let arch = Arch::from_machine(elf.machine).map_err(|e| e.in_file(file))?;
        let mut image = KernelImage {
            elf,
            arch,
            banner: None,
            bolt: None,
            neighbours: Vec::new(),
            homes: Vec::new(),
            sites: OnceLock::new(),
        };
        image.homes =
            image.elf.symbols().iter().filter(|s| is_entry(s)).map(|s| s.section).collect();
        image.banner = image.elf.symbols().iter().find_map(|s| {
            let wanted = s.name == "linux_banner" && s.section != 0;
            wanted.then(|| image.string(s.section, s.value))?
        });
        image.bolt = image.elf.section_named(BOLT_NOTE).map(|s| printable(s.data));
        Ok(image)
    }

    /// The NUL-terminated text at an address.
    fn string(&self, section: u32, addr: u64) -> Option<&'d str> {
        let bytes = self.elf.bytes_from(section, addr)?;
        let end = bytes.iter().position(|&b| b == 0)?;
        std::str::from_utf8(bytes.get(..end)?).ok()
    }

    /// The kernel's version, from its banner, or a module's from `vermagic=`.
    pub fn version(&self) -> Option<Version> {
        Version::parse(self.version_text()?)
    }

    fn version_text(&self) -> Option<&'d str> {
        if let Some(banner) = self.banner {
            return banner.strip_prefix("Linux version ");
        }
        let info = self.elf.section_named(".modinfo")?.data;
        let entry = info.split(|&b| b == 0).find_map(|e| e.strip_prefix(b"vermagic="))?;
        std::str::from_utf8(entry).ok()
    }

    /// Sizes of the structs that tables consist of, from the image's BTF or else its DWARF;
    /// none where it has neither.
    pub fn struct_sizes(&self) -> Result<Vec<(&'static str, u64)>> {
        let sizes = match self.elf.section_named(".BTF") {
            Some(section) => btf::struct_sizes(section.data, self.elf.little_endian),
            None => dwarf::struct_sizes(&self.elf, self.arch),
        };
        sizes.map_err(|e| e.in_file(self.elf.file()))
    }

    /// Whether ftrace can hook the function at `addr`: the kernel's `__mcount_loc` lists a
    /// place near its start. `None` where the image does not tell.
    pub fn is_traced(&self, addr: u64) -> Option<bool> {
        let sites = self.sites.get_or_init(|| self.ftrace_sites());
        let (from, to) = (addr.saturating_sub(SITE_BEFORE), addr.saturating_add(SITE_BEHIND));
        let first = sites.partition_point(|&s| s < from);
        (!sites.is_empty()).then(|| sites.get(first).is_some_and(|&s| s < to))
    }

    /// The places in `__mcount_loc`, ascending; empty where they are not stored.
    fn ftrace_sites(&self) -> Vec<u64> {
        let symbols = self.elf.symbols();
        let named = |name| symbols.iter().find(|s| s.name == name && s.section != 0);
        let range = named("__start_mcount_loc").zip(named("__stop_mcount_loc"));
        let bytes = range.and_then(|(start, stop)| {
            let length = usize::try_from(stop.value.checked_sub(start.value)?).ok()?;
            self.elf.bytes_from(start.section, start.value)?.get(..length)
        });
        let words = bytes.unwrap_or(&[]).chunks_exact(8);
        let mut sites: Vec<u64> = words.map(|word| self.elf.integer(word)).collect();
        sites.sort_unstable();
        // Where the link leaves them to relocations, zeros are stored.
        if sites.iter().any(|&s| self.elf.section_at(s).is_none()) { Vec::new() } else { sites }
    }

    /// The release as the kernel's and its modules' files name it, such as `6.12.117-lab`.
    pub fn release(&self) -> Option<&'d str> {
        self.version_text()?.split_ascii_whitespace().next()
    }

    /// What the kernel compares with what modules say of themselves, and a module says of itself.
    pub fn vermagic(&self) -> Option<&'d str> {
        if self.elf.is_relocatable() {
            return self.version_text();
        }
        let release = self.release()?;
        let named = self.elf.symbols().iter().filter(|s| s.name == "vermagic" && s.section != 0);
        let mut texts = named.filter_map(|s| self.string(s.section, s.value));
        texts.find(|text| text.split(' ').next() == Some(release))
    }

    /// Adds another image of the same kernel, which is `object`.
    ///
    /// Fails when the two are of different machines or releases.
    pub fn add_neighbour(&mut self, object: &str, other: &KernelImage<'d>) -> Result<()> {
        other.check_machine(self.arch)?;
        if let (Some(ours), Some(theirs)) = (self.release(), other.release())
            && ours != theirs
        {
            let other = other.elf.file();
            return Err(Error::broken(
                Code::OtherRelease,
                format!(
                    "the images are of different kernels: this one of {ours}, {other} of {theirs}"
                ),
            )
            .in_file(self.elf.file())
            .advise("give the vmlinux and the modules of one build"));
        }
        let table = other.table()?;
        let knows_exports = table.entries().iter().any(|e| e.name.starts_with(EXPORT));
        self.neighbours.push(Neighbour { object: object.to_owned(), table, knows_exports });
        Ok(())
    }

    /// How livepatch compares names in this kernel.
    pub fn matching(&self) -> Matching {
        let symbols = self.elf.symbols();
        // Full LTO leaves one FILE symbol of the linker instead of promoted names.
        let lto = |s: &LinkedSymbol<'_>| {
            is_promoted(s.name) || (s.kind == STT_FILE && s.name == LTO_FILE)
        };
        let mut evidence = Evidence {
            version: self.version(),
            lto: symbols.iter().any(lto),
            matches: false,
            names_suffix: false,
        };
        if evidence.lto {
            evidence.matches = symbols.iter().any(|s| s.name == "kallsyms_on_each_match_symbol");
            let text = format!("{PROMOTED}\0");
            let constants = self.elf.sections().iter().filter(|s| s.name.starts_with(".rodata"));
            evidence.names_suffix = constants
                .into_iter()
                .any(|s| memchr::memmem::find(s.data, text.as_bytes()).is_some());
        }
        Matching::of(&evidence)
    }

    /// The symbols, indexed: the same table that the output of readelf gives.
    pub fn table(&self) -> Result<ParentTable<'d>> {
        let (mut entries, mut blocks) = (Vec::with_capacity(self.homes.len()), Vec::new());
        for (number, symbol) in self.elf.symbols().iter().enumerate() {
            let first = entries.len() as u32;
            if symbol.kind == STT_FILE {
                blocks.push(Block { name: symbol.name, number: number as u64, first, end: first });
            } else if is_entry(symbol) {
                entries.push(Entry {
                    name: symbol.name,
                    addr: symbol.value,
                    size: symbol.size,
                    kind: symbol.kind,
                    bind: symbol.bind,
                    hidden: matches!(symbol.visibility, 1 | 2),
                });
            }
        }
        let mut end = entries.len() as u32;
        for block in blocks.iter_mut().rev() {
            block.end = end;
            end = block.first;
        }
        if entries.is_empty() {
            return Err(bad("the symbol table is empty").in_file(self.elf.file()));
        }
        let table = ParentTable::from_rows(
            self.elf.file(),
            TextSymbols { entries: entries.into(), blocks, skipped: false, missing_rows: 0 },
        );
        Ok(table.with_matching(self.matching()))
    }

    /// The stored bytes from entry `index` of the table to the end of its section.
    pub fn bytes_of(&self, table: &ParentTable<'_>, index: u32) -> Option<&'d [u8]> {
        let entry = table.entries().get(index)?;
        self.bytes_at(index, entry.addr)
    }

    /// The same from an address near that entry, such as that of its prefix.
    pub fn bytes_at(&self, index: u32, addr: u64) -> Option<&'d [u8]> {
        self.elf.bytes_from(*self.homes.get(index as usize)?, addr)
    }

    /// Whether entry `index` lies in a section that is loaded.
    pub fn is_loaded(&self, index: u32) -> bool {
        let home = self.homes.get(index as usize).copied().unwrap_or(0);
        self.elf.sections().get(home as usize).is_some_and(|s| s.flags & SHF_ALLOC != 0)
    }

    /// Section index of entry `index`.
    pub fn home(&self, index: u32) -> Option<u32> {
        self.homes.get(index as usize).copied()
    }

    /// Fails unless the image is of machine `machine`.
    pub fn check_machine(&self, arch: &Arch) -> Result<()> {
        if self.arch.machine == arch.machine {
            return Ok(());
        }
        Err(Error::broken(
            Code::OtherMachine,
            format!("the image is for {}, the object for {}", self.arch.name, arch.name),
        )
        .in_file(self.elf.file()))
    }
}

/// Whether a symbol becomes an entry of the table: the rows that `running::readelf` keeps, but
/// for absolute ones. The kernel lists none of them, so they are nobody's namesakes.
fn is_entry(symbol: &LinkedSymbol<'_>) -> bool {
    let reserved = (0xff00..=0xffff).contains(&symbol.section);
    symbol.section != 0
        && !reserved
        && matches!(symbol.kind, STT_NOTYPE | STT_OBJECT | STT_FUNC)
        && matches!(symbol.bind, STB_LOCAL | STB_GLOBAL | STB_WEAK)
}

/// The readable part of a note: the longest run of text in it.
fn printable(note: &[u8]) -> String {
    let runs = note.split(|b| !(0x20..0x7f).contains(b));
    let longest = runs.max_by_key(|run| run.len()).unwrap_or(&[]);
    String::from_utf8_lossy(longest).into_owned()
}

impl fmt::Debug for KernelImage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelImage").field("file", &self.elf.file()).finish_non_exhaustive()
    }
}
