//! Mutations that mean something.

use std::collections::BTreeSet;

use klp_diff::arch::Does;
use klp_diff::elf::abi;
use klp_diff::elf::ids::{Id, SymbolId};
use klp_diff::elf::object::{Object, Reloc};
use klp_diff::kernel::knowledge::names;
use klp_diff::kernel::layout::Class;
use klp_diff::kernel::refs::Refs;
use object::Endianness;

use super::Random;
use super::map::{Map, Reach, Section, place};

/// A mutated copy, what was done, and whom it reaches.
pub struct Mutation {
    pub class: &'static str,
    pub bytes: Vec<u8>,
    pub text: String,
    pub reach: Reach,
    /// The table that a row was changed in.
    pub table: Option<&'static str>,
}

pub const CLASSES: [&str; 16] = [
    "code",
    "target",
    "sibling target",
    "addend",
    "type",
    "row byte",
    "row target",
    "row addend",
    "row code",
    "string",
    "constant",
    "table entry",
    "replacement",
    "named constant",
    "named data",
    "any byte",
];

/// Callees before which an immediate may be a line number.
const LINE_CALLEES: [&str; 11] = [
    "__warn_printk",
    "__might_sleep",
    "___might_sleep",
    "__might_fault",
    "printk",
    "_printk",
    "lockdep_rcu_suspicious",
    "__btrfs_abort_transaction",
    "__btrfs_handle_fs_error",
    "__btrfs_panic",
    "warn_slowpath_",
];

pub struct Mutator<'a> {
    pub map: &'a Map<'a>,
    pub bytes: &'a [u8],
    text: Vec<(Section, u64, u64)>,
    rows: Vec<Section>,
    strings: Vec<Section>,
    nameless: Vec<Section>,
    replacements: Vec<Section>,
    constants: Vec<Section>,
    data: Vec<Section>,
    alloc: Vec<Section>,
}

impl<'a> Mutator<'a> {
    pub fn new(map: &'a Map<'a>, bytes: &'a [u8]) -> Self {
        let object = map.object;
        let all = |keep: &dyn Fn(Section) -> bool| -> Vec<Section> {
            object
                .sections()
                .filter(|&s| {
                    let header = object.section(s);
                    header.flags & abi::SHF_ALLOC != 0 && !header.data.is_empty() && keep(s)
                })
                .collect()
        };
        let name = |s| object.section_name(s);
        let flag = |s, flag| object.section(s).flags & flag != 0;
        let has_object = |s| {
            object
                .members(s)
                .iter()
                .any(|&m| object.symbol_kind(m) == abi::STT_OBJECT && object.symbol(m).size > 0)
        };
        let is_data = |s| map.layout.class(s) == Class::Data;
        let used = |s: Section| map.uses.get(&s).is_some_and(|u| u.iter().any(|u| !u.named));
        Mutator {
            map,
            bytes,
            text: map
                .functions()
                .filter(|f| {
                    let name = object.symbol_name(f.3);
                    !name.starts_with("__cfi_") && !name.starts_with("__pfx_") && f.2 > f.1
                })
                .map(|f| (f.0, f.1, f.2))
                .collect(),
            rows: all(&|s| map.row_kind(s).is_some() && !object.relocs(s).is_empty()),
            strings: all(&|s| flag(s, abi::SHF_STRINGS) && map.uses.contains_key(&s)),
            nameless: all(&|s| is_data(s) && !has_object(s) && !flag(s, abi::SHF_WRITE) && used(s)),
            replacements: all(&|s| name(s) == ".altinstr_replacement"),
            constants: all(&|s| is_data(s) && has_object(s) && !flag(s, abi::SHF_WRITE)),
            data: all(&|s| is_data(s) && has_object(s) && flag(s, abi::SHF_WRITE)),
            alloc: all(&|s| !matches!(map.layout.class(s), Class::Noise(_))),
        }
    }

    /// Tries to make a mutation of a class; `None` when the object has nothing to mutate so.
    pub fn make(&self, class: &'static str, random: &mut Random) -> Option<Mutation> {
        (0..40).find_map(|_| match class {
            "code" => self.code(random),
            "target" | "sibling target" | "addend" | "type" => self.reloc(class, random),
            "row byte" => self.row_byte(random),
            "row target" | "row addend" | "row code" => self.row_reloc(class, random),
            "string" => self.string(random),
            "constant" => self.byte(class, &self.nameless, random),
            "table entry" => self.entry(random),
            "replacement" => self.byte(class, &self.replacements, random),
            "named constant" => self.byte(class, &self.constants, random),
            "named data" => self.byte(class, &self.data, random),
            _ => self.byte("any byte", &self.alloc, random),
        })
    }

    fn object(&self) -> &'a Object<'a, klp_diff::elf::ids::Patched> {
        self.map.object
    }

    /// Where in the file byte `at` of a section is.
    fn file_offset(&self, section: Section, at: u64) -> usize {
        let data = self.object().section(section).data;
        data.as_ptr() as usize - self.bytes.as_ptr() as usize + at as usize
    }

    fn flipped(&self, section: Section, at: u64, value: u8) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        bytes[self.file_offset(section, at)] = value;
        bytes
    }

    fn show(&self, section: Section, at: u64) -> String {
        let function = self.map.function(section, at).unwrap_or_default();
        format!("{}+{at:#x} {function}", self.object().section_name(section))
    }

    fn code(&self, random: &mut Random) -> Option<Mutation> {
        let &(section, start, end) = random.pick(&self.text)?;
        let header = self.object().section(section);
        let at = start + random.below(end - start);
        if !header.is_text() || self.map.is_relocated(section, at) {
            return None;
        }
        let code = header.data.get(start as usize..end as usize)?;
        let old = header.data[at as usize];
        let value = old ^ (random.below(255) as u8 + 1);
        let mut changed = code.to_vec();
        changed[(at - start) as usize] = value;
        let arch = self.map.layout.arch;
        // Only code that still is code: the instruction keeps its length.
        let mut i = 0;
        let mut instruction = 0;
        while i as u64 <= at - start {
            instruction = i;
            i += (arch.instruction_len)(&code[i..])?;
        }
        let length = i - instruction;
        if (arch.instruction_len)(&changed[instruction..])? != length {
            return None;
        }
        let loads = |code: &[u8]| {
            let effect = (arch.effect)(code, instruction as u64);
            effect.is_some_and(|e| matches!(e.does, Does::Constant { .. }))
        };
        if loads(code) && loads(&changed) && self.is_line(section, start + i as u64) {
            return None;
        }
        Some(Mutation {
            class: "code",
            bytes: self.flipped(section, at, value),
            text: format!("{}: {old:02x} -> {value:02x}", self.show(section, at)),
            reach: self.map.byte(section, at),
            table: None,
        })
    }

    /// Whether an immediate before `at` may be a line number.
    fn is_line(&self, section: Section, at: u64) -> bool {
        let mut relocs = self.object().relocs(section).within(at, u64::MAX);
        relocs.any(|r| {
            let name = self.object().symbol_name(r.symbol);
            LINE_CALLEES.iter().any(|c| name.starts_with(c))
        })
    }

    fn raw(&self, section: Section, index: usize) -> usize {
        let rela = self.object().rela_section(section).map_or(section, |r| r);
        self.file_offset(rela, index as u64 * 24)
    }

    /// A copy in which the relocation entry with this offset, type, symbol is another.
    fn with_reloc(&self, section: Section, old: &Reloc<P>, new: &Reloc<P>) -> Option<Vec<u8>> {
        let mut bytes = self.bytes.to_vec();
        let big = self.object().endian() == Endianness::Big;
        let put = |v: u64| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let entry = |r: &Reloc<P>| {
            let info = (r.symbol.index() as u64) << 32 | u64::from(r.kind);
            [put(r.offset), put(info), put(r.addend as u64)].concat()
        };
        let count = self.object().relocs(section).len();
        let wanted = entry(old);
        let at =
            (0..count).map(|i| self.raw(section, i)).find(|&at| bytes[at..at + 24] == wanted)?;
        bytes[at..at + 24].copy_from_slice(&entry(new));
        Some(bytes)
    }

    fn some_reloc(
        &self,
        section: Section,
        start: u64,
        end: u64,
        random: &mut Random,
    ) -> Option<Reloc<P>> {
        let all: Vec<Reloc<P>> = self.object().relocs(section).within(start, end).collect();
        random.pick(&all).copied()
    }

    /// Another target of the same kind of symbol, as some relocation of the object has it.
    fn other_target(&self, old: &Reloc<P>, sibling: bool, random: &mut Random) -> Option<Reloc<P>> {
        let object = self.object();
        let id = klp_diff::elf::ids::SymbolId::new(
            1 + random.below(object.symbol_count() as u64 - 1) as usize,
        );
        let (a, b) = (object.symbol_name(old.symbol), object.symbol_name(id));
        let usable =
            matches!(object.symbol_kind(id), abi::STT_FUNC | abi::STT_OBJECT | abi::STT_NOTYPE)
                && !b.is_empty()
                && !b.starts_with('.')
                && !b.starts_with('$')
                && a != b
                && names::same(a, b) == sibling;
        if sibling {
            // The same name but for its number, and the same content.
            let all: Vec<_> = object
                .symbols()
                .filter(|&s| object.symbol_name(s) != a && names::same(a, object.symbol_name(s)))
                .collect();
            return random.pick(&all).map(|&symbol| Reloc { symbol, ..*old });
        }
        usable.then_some(Reloc { symbol: id, ..*old })
    }

    /// Whether two references of one place mean the same: the same string, or equal bytes.
    fn means_the_same(&self, section: Section, old: &Reloc<P>, new: &Reloc<P>) -> bool {
        let object = self.object();
        let refs = Refs::new(self.map.layout, section);
        if let (Ok(Some(a)), Ok(Some(b))) = (refs.string(old), refs.string(new)) {
            return a == b;
        }
        let into = |r: &Reloc<P>| {
            object.section_of(r.symbol).is_some_and(|s| {
                let name = object.section_name(s);
                object.section(s).flags & abi::SHF_STRINGS != 0 || matches!(name, ".toc" | ".fixup")
            })
        };
        if into(new) && place(object, &refs, new).is_none() {
            return true;
        }
        let (Some(a), Some(b)) = (place(object, &refs, old), place(object, &refs, new)) else {
            return object.section_of(old.symbol).is_some()
                != object.section_of(new.symbol).is_some();
        };
        // Nonsense that no compiler writes: a reference that leaves its section.
        let leaves = |p: (Section, u64)| p.1 >= object.section(p.0).size;
        let content = |s: Section| {
            object.section(s).flags & abi::SHF_STRINGS != 0
                || matches!(object.section_name(s), ".toc" | ".fixup")
        };
        if (content(a.0) || content(b.0))
            && (leaves(a)
                || leaves(b)
                || object.section_name(a.0) == ".toc"
                || object.section_name(b.0) == ".toc")
        {
            return true;
        }
        let byte = |p: (Section, u64)| object.section(p.0).data.get(p.1 as usize).copied();
        let nameless = |p: (Section, u64)| {
            !object.members(p.0).iter().any(|&m| {
                object.symbol_kind(m) == abi::STT_OBJECT || object.symbol_kind(m) == abi::STT_FUNC
            })
        };
        a == b || (nameless(a) && nameless(b) && byte(a) == byte(b))
    }

    fn reloc(&self, class: &'static str, random: &mut Random) -> Option<Mutation> {
        let &(section, start, end) = random.pick(&self.text)?;
        let old = self.some_reloc(section, start, end, random)?;
        let new = self.other_reloc(class, &old, random)?;
        if self.means_the_same(section, &old, &new) {
            return None;
        }
        let mut reach = self.map.byte(section, old.offset);
        if class != "type" && self.are_interchangeable(section, &old, &new) {
            reach = Reach { may: reach.must, noise: true, ..Reach::default() };
        }
        self.neighbours(section, [&old, &new], &mut reach);
        let text = format!("{}: {}", self.show(section, old.offset), self.both(&old, &new));
        reach.state = [&old, &new].iter().any(|r| self.is_state(section, r));
        Some(Mutation {
            class,
            bytes: self.with_reloc(section, &old, &new)?,
            text,
            reach,
            table: None,
        })
    }

    /// Whether a reference leads to a static variable of a function.
    fn is_state(&self, section: Section, reloc: &Reloc<P>) -> bool {
        let refs = Refs::new(self.map.layout, section);
        refs.resolve(reloc).is_ok_and(|r| self.map.layout.is_static_local(r.symbol))
    }

    /// Where nameless data ends is known only from references: neighbours may be named.
    fn neighbours(&self, section: Section, relocs: [&Reloc<P>; 2], reach: &mut Reach) {
        let refs = Refs::new(self.map.layout, section);
        for reloc in relocs {
            let Some((section, at)) = place(self.object(), &refs, reloc) else { continue };
            if self.map.layout.is_nameless(section) {
                let near = self.map.byte(section, at.saturating_sub(1));
                reach.may.extend(near.must);
                reach.may.extend(near.may);
            }
        }
    }

    /// Variables that macros define once per use: the copies are interchangeable by design,
    /// but for their content.
    fn are_interchangeable(&self, section: Section, old: &Reloc<P>, new: &Reloc<P>) -> bool {
        let refs = Refs::new(self.map.layout, section);
        let (Ok(a), Ok(b)) = (refs.resolve(old), refs.resolve(new)) else { return false };
        let name = |r: SymbolId<P>| self.object().symbol_name(r);
        self.map.layout.is_special_static(a.symbol)
            && self.map.layout.is_special_static(b.symbol)
            && names::same(name(a.symbol), name(b.symbol))
    }

    fn both(&self, old: &Reloc<P>, new: &Reloc<P>) -> String {
        let show = |r: &Reloc<P>| {
            format!("{}{:+} type {}", self.object().symbol_name(r.symbol), r.addend, r.kind)
        };
        format!("{} -> {}", show(old), show(new))
    }

    fn other_reloc(&self, class: &str, old: &Reloc<P>, random: &mut Random) -> Option<Reloc<P>> {
        match class {
            "target" | "row target" => self.other_target(old, false, random),
            "sibling target" => self.other_target(old, true, random),
            "type" => {
                let width = self.map.layout.arch.reloc(old.kind).ok()?.width;
                let kinds: Vec<u32> = self
                    .map
                    .layout
                    .arch
                    .relocs
                    .iter()
                    .filter(|r| {
                        r.width == width && r.id != old.kind && !self.map.layout.arch.is_toc(r.id)
                    })
                    .map(|r| r.id)
                    .collect();
                random.pick(&kinds).map(|&kind| Reloc { kind, ..*old })
            }
            _ => {
                let by = random.below(64) as i64 + 1;
                let by = if random.below(2) == 0 { by } else { -by };
                Some(Reloc { addend: old.addend.wrapping_add(by), ..*old })
            }
        }
    }

    fn row_byte(&self, random: &mut Random) -> Option<Mutation> {
        let &section = random.pick(&self.rows)?;
        self.byte_at("row byte", section, random)
    }

    fn row_reloc(&self, class: &'static str, random: &mut Random) -> Option<Mutation> {
        let &section = random.pick(&self.rows)?;
        let (kind, size) = self.map.row_kind(section)?;
        let old = self.some_reloc(section, 0, u64::MAX, random)?;
        let is_code = old.offset % size == kind.code;
        if is_code != (class == "row code") {
            return None;
        }
        let new = self.other_reloc(class, &old, random)?;
        if self.means_the_same(section, &old, &new) {
            return None;
        }
        let mut reach = self.map.byte(section, old.offset);
        // Code of no length is at no place.
        let refs = Refs::new(self.map.layout, section);
        let place = place(self.object(), &refs, &old);
        let empty = place.is_some_and(|(to, _)| {
            self.map.uses[&to]
                .iter()
                .any(|u| u.from == section && u.offset == old.offset && u.end == Some(u.target))
        });
        if reach.noise || empty {
            return None;
        }
        self.neighbours(section, [&old, &new], &mut reach);
        if is_code {
            let at = |r: &Reloc<P>| {
                Some((
                    self.object().section_of(r.symbol)?,
                    u64::try_from(self.object().symbol(r.symbol).value as i64 + r.addend).ok()?,
                ))
            };
            let (section, offset) = at(&new)?;
            match self.map.function(section, offset) {
                Some(other) => {
                    reach.must.insert(other);
                }
                None => reach.unknown = true,
            }
        }
        let text = format!(
            "{}+{:#x}: {}",
            self.object().section_name(section),
            old.offset,
            self.both(&old, &new)
        );
        let bytes = self.with_reloc(section, &old, &new)?;
        Some(Mutation { class, bytes, text, reach, table: Some(kind.section) })
    }

    fn string(&self, random: &mut Random) -> Option<Mutation> {
        let &section = random.pick(&self.strings)?;
        let data = self.object().section(section).data;
        let at = random.below(data.len() as u64);
        let old = data[at as usize];
        if old == 0 {
            return None;
        }
        let value = if random.below(8) == 0 { 0 } else { 0x20 + random.below(0x5e) as u8 };
        if value == old {
            return None;
        }
        let reach = self.map.byte(section, at);
        Some(Mutation {
            class: "string",
            bytes: self.flipped(section, at, value),
            text: format!("{}: {old:02x} -> {value:02x}", self.show(section, at)),
            reach,
            table: None,
        })
    }

    fn byte(
        &self,
        class: &'static str,
        sections: &[Section],
        random: &mut Random,
    ) -> Option<Mutation> {
        let &section = random.pick(sections)?;
        self.byte_at(class, section, random)
    }

    fn byte_at(
        &self,
        class: &'static str,
        section: Section,
        random: &mut Random,
    ) -> Option<Mutation> {
        let object = self.object();
        let data = object.section(section).data;
        let at = random.below(data.len() as u64);
        if self.map.is_relocated(section, at) {
            return None;
        }
        let strings = object.section(section).flags & abi::SHF_STRINGS != 0;
        if strings && data[at as usize] == 0 {
            return None;
        }
        let reach = self.map.byte(section, at);
        // Bytes behind the variables of a section are filler.
        let padding = object.section(section).flags & abi::SHF_WRITE != 0 && !reach.loud;
        if class == "named data" && (padding || reach.unknown) {
            return None;
        }
        let text_like =
            object.section(section).is_text() && self.map.function(section, at).is_some();
        if text_like || reach.noise && class != "any byte" {
            return None;
        }
        if matches!(class, "constant" | "replacement") && reach.unknown {
            return None;
        }
        let old = data[at as usize];
        let value = old ^ (random.below(255) as u8 + 1);
        if object.section(section).is_text() {
            // Replacement code must stay code: change the last byte of what can be decoded.
            let same = (self.map.layout.arch.instruction_len)(&data[at as usize..])
                == (self.map.layout.arch.instruction_len)(
                    &[&[value], &data[at as usize + 1..]].concat(),
                );
            if !same {
                return None;
            }
        }
        Some(Mutation {
            class,
            bytes: self.flipped(section, at, value),
            text: format!("{}: {old:02x} -> {value:02x}", self.show(section, at)),
            reach,
            table: self.map.row_kind(section).map(|(kind, _)| kind.section),
        })
    }

    fn entry(&self, random: &mut Random) -> Option<Mutation> {
        let with: Vec<Section> = self
            .nameless
            .iter()
            .chain(&self.replacements)
            .chain(&self.constants)
            .copied()
            .filter(|&s| !self.object().relocs(s).is_empty())
            .collect();
        let &section = random.pick(&with)?;
        let old = self.some_reloc(section, 0, u64::MAX, random)?;
        let class = *random.pick(&["addend", "target"])?;
        let new = self.other_reloc(class, &old, random)?;
        let reach = self.map.byte(section, old.offset);
        if self.means_the_same(section, &old, &new) || reach.unknown || reach.noise {
            return None;
        }
        let text = format!(
            "{}+{:#x}: {}",
            self.object().section_name(section),
            old.offset,
            self.both(&old, &new)
        );
        Some(Mutation {
            class: "table entry",
            bytes: self.with_reloc(section, &old, &new)?,
            text,
            reach,
            table: None,
        })
    }
}

type P = klp_diff::elf::ids::Patched;

/// Names that must be reported and that ftrace cannot hook.
pub fn has_unpatchable(map: &Map<'_>, must: &BTreeSet<String>) -> bool {
    must.iter().any(|name| !map.is_patchable(name))
}
