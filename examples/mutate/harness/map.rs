//! What a byte of an object means to whom, worked out without the comparison that is tested.
//!
//! Knows only the ELF file, which functions cover which bytes, and what relocations point to.

use std::collections::{BTreeMap, BTreeSet};

use klp_diff::elf::abi;
use klp_diff::elf::ids::{Patched, SectionId, SymbolId};
use klp_diff::elf::object::{Home, Object, Reloc};
use klp_diff::kernel::layout::{Class, Layout};
use klp_diff::kernel::refs::Refs;

pub type Section = SectionId<Patched>;
pub type Symbol = SymbolId<Patched>;

/// What a table of rows looks like: name, variable with the size, offset of the code field,
/// noise (row size, start, end).
pub struct RowKind {
    pub section: &'static str,
    pub size: &'static str,
    pub code: u64,
    pub noise: &'static [(u64, u64, u64)],
}

const fn kind(section: &'static str, size: &'static str, code: u64) -> RowKind {
    RowKind { section, size, code, noise: &[] }
}

/// From the kernel's headers; `=N` is a fixed size.
pub static ROWS: [RowKind; 18] = [
    RowKind {
        section: "__bug_table",
        size: "BUG_STRUCT_SIZE",
        code: 0,
        noise: &[(12, 4, 10), (16, 8, 14), (24, 8, 18)],
    },
    kind("__ex_table", "EX_STRUCT_SIZE", 0),
    kind("__jump_table", "JUMP_STRUCT_SIZE", 0),
    kind(".smp_locks", "=4", 0),
    kind(".parainstructions", "PARA_STRUCT_SIZE", 0),
    kind(".altinstructions", "ALT_STRUCT_SIZE", 0),
    kind(".static_call_sites", "STATIC_CALL_STRUCT_SIZE", 0),
    kind(".kcfi_traps", "=4", 0),
    kind("__ftr_fixup", "FIXUP_STRUCT_SIZE", 16),
    kind("__mmu_ftr_fixup", "FIXUP_STRUCT_SIZE", 16),
    kind("__fw_ftr_fixup", "FIXUP_STRUCT_SIZE", 16),
    kind("__lwsync_fixup", "=8", 0),
    kind("__barrier_nospec_fixup", "=8", 0),
    kind(".s390_return_mem", "=4", 0),
    kind(".s390_return_reg", "=4", 0),
    kind(".s390_indirect_branches", "=4", 0),
    kind(".s390_indirect_call", "=4", 0),
    kind(".s390_indirect_jump", "=4", 0),
];

/// Tables that follow from the code or are made anew, and so never count by themselves.
const FOLLOWS: [&str; 12] = [
    ".call_sites",
    ".retpoline_sites",
    ".return_sites",
    ".cfi_sites",
    ".ibt_endbr_seal",
    ".printk_index",
    "__mcount_loc",
    "__patchable_function_entries",
    ".sframe",
    ".orc_unwind",
    ".orc_unwind_ip",
    ".orc_header",
];

/// Whom a difference reaches.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Functions that must be reported.
    pub must: BTreeSet<String>,
    /// Functions that may be.
    pub may: BTreeSet<String>,
    /// It must not pass silently, but refusing is right: data with a name, rows of nobody.
    pub loud: bool,
    /// Nobody can tell: nothing refers to it.
    pub unknown: bool,
    /// By design it says nothing.
    pub noise: bool,
    /// Refusing is right as well: a function uses another's static variable, which no compiler
    /// writes, and the state of the variable cannot be followed.
    pub state: bool,
}

impl Reach {
    fn of(function: String) -> Reach {
        Reach { must: BTreeSet::from([function]), ..Reach::default() }
    }

    pub fn add(&mut self, other: Reach) {
        self.must.extend(other.must);
        self.may.extend(other.may);
        self.loud |= other.loud;
        self.unknown |= other.unknown;
        self.noise |= other.noise;
        self.state |= other.state;
    }
}

/// A place that a relocation refers to, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub target: u64,
    pub from: Section,
    pub offset: u64,
    /// It goes through a symbol with a name of its own.
    pub named: bool,
    /// Where what is meant ends, if that is written down.
    pub end: Option<u64>,
}

pub struct Map<'a> {
    pub object: &'a Object<'a, Patched>,
    pub layout: &'a Layout<'a, Patched>,
    sizes: &'a BTreeMap<String, String>,
    functions: BTreeMap<Section, Vec<(u64, u64, Symbol)>>,
    pub uses: BTreeMap<Section, Vec<Use>>,
    names: BTreeSet<&'a str>,
    aliases: BTreeMap<&'a str, &'a str>,
}

impl<'a> Map<'a> {
    pub fn new(layout: &'a Layout<'a, Patched>, sizes: &'a BTreeMap<String, String>) -> Self {
        let object = layout.object;
        let mut functions: BTreeMap<Section, Vec<(u64, u64, Symbol)>> = BTreeMap::new();
        let mut names = BTreeSet::new();
        for id in object.symbols() {
            let symbol = object.symbol(id);
            if let (abi::STT_FUNC, Home::Section(section)) = (symbol.kind, symbol.home) {
                names.insert(symbol.name);
                functions.entry(section).or_default().push((
                    symbol.value,
                    symbol.value + symbol.size,
                    id,
                ));
            }
        }
        functions.values_mut().for_each(|f| f.sort());
        let mut uses: BTreeMap<Section, Vec<Use>> = BTreeMap::new();
        for from in object.sections() {
            let silent = matches!(layout.class(from), Class::Debug | Class::Noise(_));
            if silent || object.rela_section(from).is_none() {
                continue;
            }
            let refs = Refs::new(layout, from);
            for reloc in object.relocs(from).iter() {
                if let Some((section, target)) = place(object, &refs, &reloc) {
                    let named = object.symbol_kind(reloc.symbol) != abi::STT_SECTION
                        && !object.symbol_name(reloc.symbol).starts_with(".L");
                    let used = Use {
                        target,
                        from,
                        offset: reloc.offset,
                        named,
                        end: replacement_length(object, sizes, from, reloc.offset)
                            .map(|l| target + l),
                    };
                    uses.entry(section).or_default().push(used);
                }
            }
        }
        uses.values_mut().for_each(|u| u.sort());
        let mut aliases = BTreeMap::new();
        for found in functions.values() {
            for pair in found.windows(2).filter(|p| p[0].0 == p[1].0) {
                let first = object.symbol_name(pair[0].2);
                let first = aliases.get(first).copied().unwrap_or(first);
                aliases.insert(object.symbol_name(pair[1].2), first);
            }
        }
        Map { object, layout, sizes, functions, uses, names, aliases }
    }

    /// The name by which a function is reported: split-off parts belong to their function.
    fn root(&self, name: &'a str) -> &'a str {
        let mut name = name;
        if let Some(at) = name.find(".cold") {
            name = &name[..at];
        }
        while let Some(at) = name.find(".part.").filter(|&at| self.names.contains(&name[..at])) {
            name = &name[..at];
        }
        ["__pfx_", "__cfi_"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name)
    }

    /// The symbol of the function that covers a byte of code.
    pub fn function_symbol(&self, section: Section, at: u64) -> Option<Symbol> {
        let functions = self.functions.get(&section)?;
        functions.iter().find(|f| f.0 <= at && at < f.1).map(|f| f.2)
    }

    pub fn function(&self, section: Section, at: u64) -> Option<String> {
        let symbol = self.function_symbol(section, at)?;
        Some(self.canonical(self.root(self.object.symbol_name(symbol))).to_owned())
    }

    /// Of several names of one function, always the same one.
    pub fn canonical<'n>(&'n self, name: &'n str) -> &'n str {
        self.aliases.get(name).map_or(name, |s| s)
    }

    pub fn functions(&self) -> impl Iterator<Item = (Section, u64, u64, Symbol)> + '_ {
        self.functions.iter().flat_map(|(&s, f)| f.iter().map(move |f| (s, f.0, f.1, f.2)))
    }

    /// Whether ftrace can hook a function, by its reported name.
    pub fn is_patchable(&self, name: &str) -> bool {
        self.functions().any(|(section, .., id)| {
            self.canonical(self.object.symbol_name(id)) == name
                && self.layout.has_profiling(id)
                // Code that runs at boot, or whose place matters, is in a section of many.
                && self.layout.owner(section).is_some()
        })
    }

    pub fn row_kind(&self, section: Section) -> Option<(&'static RowKind, u64)> {
        let name = self.object.section_name(section);
        let kind = ROWS.iter().find(|r| r.section == name)?;
        let size = kind.size.strip_prefix('=').map(str::to_owned);
        let given: u64 = size.or_else(|| self.sizes.get(kind.size).cloned())?.parse().ok()?;
        // The size that was given may be another kernel's.
        let offsets: BTreeSet<u64> = self.object.relocs(section).iter().map(|r| r.offset).collect();
        let total = self.object.section(section).size;
        let fits = |size: &u64| {
            total.is_multiple_of(*size)
                && (0..total / size).all(|row| {
                    let code = row * size + kind.code;
                    let mut here = self.object.relocs(section).within(code, code + 1);
                    here.any(|r| {
                        self.object
                            .section_of(r.symbol)
                            .is_some_and(|s| self.object.section(s).is_text())
                    })
                })
        };
        let others = offsets
            .iter()
            .take(12)
            .map(|o| o.wrapping_sub(kind.code))
            .filter(|s| (8..64).contains(s));
        // Only the bug table is known to have one field that leads to code in each row.
        let smallest = (kind.section == "__bug_table").then(|| others.clone().find(fits)).flatten();
        smallest
            .into_iter()
            .chain(std::iter::once(given))
            .chain(others.filter(|_| !kind.size.starts_with('=')))
            .find(|size| *size > 0 && fits(size))
            .map(|size| (kind, size))
    }

    /// The function that the row with byte `at` describes.
    pub fn row_function(&self, section: Section, at: u64) -> Option<String> {
        let (kind, size) = self.row_kind(section)?;
        let field = at / size * size + kind.code;
        let reloc = self.object.relocs(section).iter().find(|r| r.offset == field)?;
        let (code, at) = plain_place(self.object, &reloc)?;
        self.function(code, at)
    }

    pub fn is_relocated(&self, section: Section, at: u64) -> bool {
        self.object.relocs(section).within(at.saturating_sub(7), at + 1).any(|r| {
            let width = self.layout.arch.reloc(r.kind).map_or(8, |k| u64::from(k.width));
            r.offset <= at && at < r.offset + width
        })
    }

    /// Whom a difference in byte `at` of a section reaches.
    pub fn byte(&self, section: Section, at: u64) -> Reach {
        self.reach(section, at, &mut BTreeSet::new())
    }

    fn reach(&self, section: Section, at: u64, seen: &mut BTreeSet<(Section, u64)>) -> Reach {
        if !seen.insert((section, at)) {
            return Reach::default();
        }
        let object = self.object;
        let header = object.section(section);
        if header.flags & abi::SHF_ALLOC == 0
            || matches!(self.layout.class(section), Class::Noise(_) | Class::Debug)
            || FOLLOWS.contains(&header.name)
            // Line and column of a failed check.
            || header.name.contains("Lubsan_data") && (8..16).contains(&at)
        {
            return Reach { noise: true, ..Reach::default() };
        }
        if header.name.contains("Lubsan_data") && (24..32).contains(&at) {
            // Line and column of an attribute, or something else.
            return Reach { unknown: true, ..Reach::default() };
        }
        if let Some(function) = self.function(section, at) {
            return Reach::of(function);
        }
        if let Some((kind, size)) = self.row_kind(section) {
            let in_row = at % size;
            if kind.noise.iter().any(|n| n.0 == size && n.1 <= in_row && in_row < n.2) {
                return Reach { noise: true, ..Reach::default() };
            }
            return self
                .row_function(section, at)
                .map_or(Reach { loud: true, ..Reach::default() }, Reach::of);
        }
        if header.is_text() && self.functions.contains_key(&section) {
            return Reach { unknown: true, ..Reach::default() };
        }
        let uses = self.uses.get(&section).map_or(&[][..], Vec::as_slice);
        let named = object.members(section).iter().copied().find(|&m| {
            let symbol = object.symbol(m);
            symbol.kind == abi::STT_OBJECT && symbol.value <= at && at < symbol.value + symbol.size
        });
        let owned = self.layout.owner(section).map(|o| object.symbol(o));
        if named.is_none() && owned.is_some_and(|o| o.value + o.size <= at) {
            // Behind the only variable of its section.
            return Reach { unknown: true, ..Reach::default() };
        }
        let variables = object
            .members(section)
            .iter()
            .any(|&m| object.symbol_kind(m) == abi::STT_OBJECT && object.symbol(m).size > 0);
        if named.is_none() && variables && header.flags & abi::SHF_WRITE != 0 {
            // Filler between variables.
            return Reach { unknown: true, ..Reach::default() };
        }
        let (reaching, mut reach): (Vec<&Use>, Reach) = if header.flags & abi::SHF_STRINGS != 0 {
            let whole = |u: &&Use| {
                let before = header.data.get(u.target as usize..at as usize);
                before.is_some_and(|b| !b.contains(&0))
            };
            (uses.iter().filter(whole).collect(), Reach::default())
        } else if let Some(named) = named {
            let symbol = object.symbol(named);
            let inside =
                |u: &&Use| symbol.value <= u.target && u.target < symbol.value + symbol.size;
            let constant = ["CSWTCH.", "__func__.", "__FUNCTION__."]
                .iter()
                .any(|p| symbol.name.starts_with(p))
                || symbol.name.contains(".__func__");
            let uses = uses.iter().filter(inside).collect();
            if header.name == "__dyndbg" && (32..36).contains(&(at - symbol.value)) {
                // The line number, and bits beside it.
                return Reach { unknown: true, ..Reach::default() };
            }
            if symbol.name.contains("_entry") && self.layout.is_special_static(named) {
                // Only the index of messages refers to it.
                return Reach { noise: true, ..Reach::default() };
            }
            if !(constant && header.flags & abi::SHF_WRITE == 0) {
                let mut reach = Reach { loud: true, ..Reach::default() };
                for used in uses as Vec<&Use> {
                    let other = self.reach(used.from, used.offset, seen);
                    reach.may.extend(other.must);
                    reach.may.extend(other.may);
                }
                return reach;
            }
            (uses, Reach::default())
        } else {
            let block = header.entsize.max(1);
            let merged = header.flags & abi::SHF_MERGE != 0;
            let before = uses.iter().filter(|u| {
                u.target <= at
                    && u.end.is_none_or(|end| at < end)
                    && (!merged || u.target / block == at / block)
            });
            let before: Vec<&Use> = before.collect();
            let nearest = before.iter().map(|u| u.target).max();
            let (near, far): (Vec<&Use>, Vec<&Use>) =
                before.into_iter().partition(|u| Some(u.target) == nearest);
            let mut reach = Reach::default();
            for used in far {
                let other = self.reach(used.from, used.offset, seen);
                reach.may.extend(other.must);
                reach.may.extend(other.may);
            }
            (near, reach)
        };
        reach.unknown |= reaching.is_empty();
        let mut noise = !reaching.is_empty();
        for used in reaching {
            let other = self.reach(used.from, used.offset, seen);
            noise &= other.noise;
            // Line and file fields of rows, for one, do not make it noise for all.
            reach.add(Reach { noise: false, ..other });
        }
        reach.noise = noise && reach.must.is_empty() && !reach.loud;
        reach.unknown |= reach.must.is_empty() && !reach.loud && !reach.noise;
        reach
    }
}

/// The length of the code that a field of `.altinstructions` leads to.
fn replacement_length(
    object: &Object<'_, Patched>,
    sizes: &BTreeMap<String, String>,
    section: Section,
    at: u64,
) -> Option<u64> {
    if object.section_name(section) != ".altinstructions" {
        return None;
    }
    let size: u64 = sizes.get("ALT_STRUCT_SIZE")?.parse().ok()?;
    let length = match size {
        12 | 13 => 11,
        14 => 13,
        _ => return None,
    };
    let data = object.section(section).data;
    (at % size == 4).then(|| data.get((at - 4 + length) as usize).map(|&l| u64::from(l)))?
}

/// Where a reference leads: section and offset.
pub fn place<'a>(
    object: &Object<'_, Patched>,
    refs: &Refs<'a, Patched>,
    reloc: &Reloc<Patched>,
) -> Option<(Section, u64)> {
    let section = object.section_of(reloc.symbol)?;
    let value = object.symbol(reloc.symbol).value as i64;
    let at = refs.target_offset(reloc).ok()?.wrapping_add(value);
    Some((section, u64::try_from(at).ok()?))
}

fn plain_place(object: &Object<'_, Patched>, reloc: &Reloc<Patched>) -> Option<(Section, u64)> {
    let section = object.section_of(reloc.symbol)?;
    let value = object.symbol(reloc.symbol).value as i64;
    Some((section, u64::try_from(value.wrapping_add(reloc.addend)).ok()?))
}
