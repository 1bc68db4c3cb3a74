//! What symbols, headers of sections and relocations say that no comparison of contents looks
//! at: of each field that differs, the rule that proves that it means nothing.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "entries and fields within sections, which are in memory, and counts"
)]

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::counts::{never_compared, read, used};
use super::found::NoiseFound;
use crate::arch::RelocClass;
use crate::diff::compare::comparer::Comparer;
use crate::diff::compare::forgiven::{Proof, proofs};
use crate::diff::definition::convention;
use crate::diff::verdict::Verdicts;
use crate::diff::words::hex_at;
use crate::elf::abi;
use crate::elf::ids::{Id, Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::{Home, Reloc, Symbol};
use crate::kernel::knowledge::names;
use crate::kernel::layout::{Class, Layout};

/// Bytes of one Elf64_Sym, and of one Elf64_Rela.
const ENTRY: u64 = 24;

/// A field of a symbol (gABI, "Symbol Table").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Type,
    Bind,
    Other,
    Home,
    Value,
    Size,
}

impl Field {
    const ALL: [Field; 7] = [
        Field::Name,
        Field::Type,
        Field::Bind,
        Field::Other,
        Field::Home,
        Field::Value,
        Field::Size,
    ];

    /// Its name, first byte in the entry, and bytes.
    fn place(self) -> (&'static str, u64, u64) {
        match self {
            Field::Name => ("st_name", 0, 4),
            Field::Type => ("type in st_info", 4, 1),
            Field::Bind => ("binding in st_info", 4, 1),
            Field::Other => ("st_other", 5, 1),
            Field::Home => ("st_shndx", 6, 2),
            Field::Value => ("st_value", 8, 8),
            Field::Size => ("st_size", 16, 8),
        }
    }
}

/// What differs in what symbols and sections say of themselves and in relocations, where that
/// is no change.
pub(in crate::diff) fn forgiven(comparer: &Comparer<'_>, verdicts: &Verdicts) -> Vec<NoiseFound> {
    let said = Said {
        comparer,
        verdicts,
        read: read(comparer.patched.layout),
        used: (
            used(comparer.orig.layout, &comparer.orig.rows),
            used(comparer.patched.layout, &comparer.patched.rows),
        ),
    };
    let mut found = said.symbols();
    said.by_number(&mut found);
    said.sections(&mut found);
    found
}

struct Said<'a> {
    comparer: &'a Comparer<'a>,
    verdicts: &'a Verdicts,
    used: (Vec<bool>, Vec<bool>),
    /// What [`read`] gives of the patched object.
    read: Vec<bool>,
}

impl Said<'_> {
    /// Pairs of symbols: twins, else those of one name and type, in order.
    fn pairs(&self) -> Vec<(SymbolId<Orig>, SymbolId<Patched>)> {
        let (orig, patched) = (self.comparer.orig.layout, self.comparer.patched.layout);
        let twins = self.comparer.twins;
        let mut alone: IndexMap<(&str, u8), Vec<SymbolId<Orig>>, RandomState> = IndexMap::default();
        for id in orig.object.symbols().skip(1) {
            if twins.patched_symbol(id).is_none() {
                let key = (orig.object.symbol_name(id), orig.object.symbol_kind(id));
                alone.entry(key).or_default().push(id);
            }
        }
        let as_many = orig.object.symbol_count() == patched.object.symbol_count();
        let mut next: IndexMap<(&str, u8), usize, RandomState> = IndexMap::default();
        let mut pairs = Vec::new();
        for id in patched.object.symbols().skip(1) {
            let key = (patched.object.symbol_name(id), patched.object.symbol_kind(id));
            let twin = twins.orig_symbol(id).or_else(|| {
                let next = next.entry(key).or_insert(0);
                let found = alone.get(&key).and_then(|all| all.get(*next)).copied();
                *next += 1;
                let same = SymbolId::new(id.index());
                found.or_else(|| (as_many && twins.patched_symbol(same).is_none()).then_some(same))
            });
            pairs.extend(twin.map(|twin| (twin, id)));
        }
        pairs
    }

    fn symbols(&self) -> Vec<NoiseFound> {
        let mut found = Vec::new();
        for (o, p) in self.pairs() {
            if self.is_same(p) {
                self.fields(o, p, |_| true, &mut found);
            }
        }
        found
    }

    /// What differs between the symbols of one number and means nothing whichever of the
    /// original's it is.
    fn by_number(&self, found: &mut Vec<NoiseFound>) {
        let (orig, patched) =
            (self.comparer.orig.layout.object, self.comparer.patched.layout.object);
        if orig.symbol_count() != patched.symbol_count() {
            return;
        }
        let known: IndexSet<u64, RandomState> = found.iter().map(|entry| entry.offset).collect();
        let mut more = Vec::new();
        for p in patched.symbols().skip(1) {
            // What refers to a section's symbol was compared by what is there.
            let idle = |proof: Proof| {
                [proofs::UNUSED, proofs::FILE_SYMBOL, proofs::SECTION_SYMBOL].contains(&proof)
            };
            self.fields(SymbolId::new(p.index()), p, idle, &mut more);
        }
        found.extend(more.into_iter().filter(|entry| !known.contains(&entry.offset)));
    }

    /// The fields in which two symbols differ, by rules that are wanted.
    fn fields(
        &self,
        o: SymbolId<Orig>,
        p: SymbolId<Patched>,
        wanted: impl Fn(Proof) -> bool,
        found: &mut Vec<NoiseFound>,
    ) {
        let (orig, patched) =
            (self.comparer.orig.layout.object, self.comparer.patched.layout.object);
        let (a, b) = (orig.symbol(o), patched.symbol(p));
        for field in Field::ALL {
            let (before, after) = self.shown(field, &a, &b);
            if before == after {
                continue;
            }
            let rule = self.symbol_rule(field, (o, &a), (p, &b)).filter(|&proof| wanted(proof));
            let Some(proof) = rule else { continue };
            let (name, at, width) = field.place();
            found.push(NoiseFound {
                rule: proof.name,
                reason: proof.reason,
                section: patched.section_name(patched.symtab()).to_owned(),
                offset: p.index() as u64 * ENTRY + at,
                width,
                bytes: width,
                before,
                after,
                evidence: format!("{name} of {}", named(&b, p)),
            });
        }
    }

    /// Whether the thing that a symbol stands for was found to be the same. What macros and
    /// compilers define once per use has no twin: it was compared where it is used.
    fn is_same(&self, p: SymbolId<Patched>) -> bool {
        let layout = self.comparer.patched.layout;
        let Some(section) = layout.object.section_of(p) else { return true };
        if self.comparer.twins.orig_symbol(p).is_none()
            || layout.object.symbol_kind(p) == abi::STT_SECTION
        {
            return true;
        }
        match layout.entity_at(section, layout.object.symbol_value(p)) {
            Some(index) => self.verdicts.entity(section, index).is_same(),
            None => self.verdicts.section(section).is_same(),
        }
    }

    /// A field of both, for people; equal where it means the same.
    fn shown(
        &self,
        field: Field,
        o: &Symbol<'_, Orig>,
        p: &Symbol<'_, Patched>,
    ) -> (String, String) {
        let number = |a: u64, b: u64| (format!("{a:#x}"), format!("{b:#x}"));
        match field {
            Field::Name => (o.name.to_owned(), p.name.to_owned()),
            Field::Type => number(o.kind.into(), p.kind.into()),
            Field::Bind => number(o.bind.into(), p.bind.into()),
            Field::Other => number(o.other.into(), p.other.into()),
            Field::Value => number(o.value, p.value),
            Field::Size => number(o.size, p.size),
            Field::Home => match (o.home, p.home) {
                (Home::Section(a), Home::Section(b))
                    if self.comparer.twins.orig_section(b) == Some(a) =>
                {
                    Default::default()
                }
                _ => (
                    home(self.comparer.orig.layout, &o.home),
                    home(self.comparer.patched.layout, &p.home),
                ),
            },
        }
    }

    /// The rule by which a field of two symbols may differ.
    fn symbol_rule(
        &self,
        field: Field,
        (o, a): (SymbolId<Orig>, &Symbol<'_, Orig>),
        (p, b): (SymbolId<Patched>, &Symbol<'_, Patched>),
    ) -> Option<Proof> {
        let used = |all: &[bool], index: usize| all.get(index).copied().unwrap_or(true);
        let used = used(&self.used.0, o.index()) || used(&self.used.1, p.index());
        let local = a.bind == abi::STB_LOCAL && b.bind == abi::STB_LOCAL;
        let both = |kind: u8| a.kind == kind && b.kind == kind;
        if both(abi::STT_FILE) {
            return Some(proofs::FILE_SYMBOL);
        }
        if field != Field::Bind && local && !used {
            return Some(proofs::UNUSED);
        }
        if a.kind == abi::STT_SECTION {
            // What refers to it was compared by what is there.
            let own = matches!(field, Field::Other | Field::Size | Field::Name | Field::Home)
                || field == Field::Type
                    && local
                    && (is_plain(b.kind) || b.kind == abi::STT_GNU_IFUNC);
            return own.then_some(proofs::SECTION_SYMBOL);
        }
        let undefined = a.home == Home::Undefined && b.home == Home::Undefined;
        if undefined && (field == Field::Value || !used && field != Field::Bind) {
            return Some(proofs::UNDEFINED);
        }
        match field {
            Field::Size if a.home != Home::Common => Some(proofs::SYMBOL_SIZE),
            Field::Name if local => Some(proofs::SYMBOL_NAME),
            Field::Name if self.comparer.twins.are_twins(o, p) && names::same(a.name, b.name) => {
                Some(proofs::TWIN)
            }
            Field::Type => self.type_rule(local || undefined, a.kind, b.kind),
            Field::Other => self.other_rule(a, b),
            Field::Bind => self.bind_rule(a, b),
            Field::Value | Field::Home
                if self.comparer.twins.are_twins(o, p)
                    && matches!((a.home, b.home), (Home::Section(_), Home::Section(_))) =>
            {
                Some(proofs::SYMBOL_PLACE)
            }
            _ => None,
        }
    }

    /// Functions of powerpc64 that other files see may get a stub.
    fn type_rule(&self, hidden: bool, before: u8, after: u8) -> Option<Proof> {
        let plain = is_plain(before) && is_plain(after);
        let alike = hidden || self.comparer.patched.layout.arch.toc_relocs.is_none();
        (plain && alike).then_some(proofs::SYMBOL_TYPE)
    }

    fn other_rule(&self, a: &Symbol<'_, Orig>, b: &Symbol<'_, Patched>) -> Option<Proof> {
        if convention(a.other) == convention(b.other) {
            return Some(proofs::VISIBILITY);
        }
        let called = self.comparer.patched.layout.arch.conventions;
        let function = a.kind == abi::STT_FUNC || b.kind == abi::STT_FUNC;
        (!called || !function).then_some(proofs::OTHER)
    }

    /// What is defined here is the definition that the kernel has, whoever else may name it.
    fn bind_rule(&self, a: &Symbol<'_, Orig>, b: &Symbol<'_, Patched>) -> Option<Proof> {
        let defined = a.home != Home::Undefined && b.home != Home::Undefined;
        let known = matches!(b.bind, abi::STB_LOCAL | abi::STB_GLOBAL | abi::STB_WEAK);
        let escapes = a.bind == abi::STB_LOCAL && known;
        let linked = self.comparer.patched.layout.is_linked() && defined;
        (escapes || linked || a.kind == abi::STT_FILE).then_some(proofs::SYMBOL_BIND)
    }

    /// Headers and relocations of sections that are paired.
    fn sections(&self, found: &mut Vec<NoiseFound>) {
        let (orig, patched) = (self.comparer.orig.layout, self.comparer.patched.layout);
        let mut by_name: IndexMap<&str, Vec<SectionId<Orig>>, RandomState> = IndexMap::default();
        for id in orig.object.sections() {
            by_name.entry(orig.object.section_name(id)).or_default().push(id);
        }
        let mut seen: IndexMap<&str, usize, RandomState> = IndexMap::default();
        for p in patched.object.sections() {
            let name = patched.object.section_name(p);
            let nth = seen.entry(name).or_insert(0);
            let same = by_name.get(name).and_then(|all| all.get(*nth)).copied();
            *nth += 1;
            let meta = matches!(patched.class(p), Class::Meta | Class::Relocations | Class::Group);
            let twin = self.comparer.twins.orig_section(p).or(same);
            if let Some(o) = twin.filter(|_| !meta) {
                self.header(o, p, found);
                self.relocations(o, p, found);
                self.relocated(o, p, found);
                self.unread(o, p, found);
            }
        }
    }

    fn header(&self, o: SectionId<Orig>, p: SectionId<Patched>, found: &mut Vec<NoiseFound>) {
        let (orig, patched) =
            (self.comparer.orig.layout.object, self.comparer.patched.layout.object);
        let (a, b) = (orig.section(o), patched.section(p));
        let never = never_compared(self.comparer.patched.layout, p);
        let fields = [
            ("sh_type", u64::from(a.kind), u64::from(b.kind), None),
            ("sh_flags", a.flags, b.flags, flags_rule(a.flags ^ b.flags, has_relocs(self, o, p))),
            ("sh_addralign", a.align, b.align, Some(proofs::SECTION_ALIGNMENT)),
            (
                "sh_entsize",
                orig.section_entsize(o),
                patched.section_entsize(p),
                entries_rule(b.flags | a.flags, has_relocs(self, o, p)),
            ),
        ];
        for (field, before, after, proof) in fields {
            let own = proof.map(|proof: Proof| (proof.name, proof.reason));
            // What is loaded, and what is not, is told from what is compared in both.
            let unread = a.flags & b.flags & abi::SHF_ALLOC == 0 || never.is_some();
            let rule = never.or(own);
            let Some(rule) = rule.filter(|_| before != after && (own.is_some() || unread)) else {
                continue;
            };
            found.push(NoiseFound {
                rule: rule.0,
                reason: rule.1,
                section: patched.section_name(p).to_owned(),
                offset: 0,
                width: 0,
                bytes: 0,
                before: format!("{before:#x}"),
                after: format!("{after:#x}"),
                evidence: format!("{field} in the header of the section"),
            });
        }
    }

    /// A constant that differs, and that nothing but tables which are never compared refers to.
    fn unread(&self, o: SectionId<Orig>, p: SectionId<Patched>, found: &mut Vec<NoiseFound>) {
        if self.read.get(p.index()).is_none_or(|&read| read) {
            return;
        }
        let (orig, patched) = (self.comparer.orig.layout, self.comparer.patched.layout);
        let (a, b) = (orig.object.contents(o), patched.object.contents(p));
        let before = orig.object.relocs(o).iter().map(|r| describe(orig, &r));
        let after = patched.object.relocs(p).iter().map(|r| describe(patched, &r));
        if a == b && before.eq(after) {
            return;
        }
        found.push(NoiseFound {
            rule: proofs::UNREAD.name,
            reason: proofs::UNREAD.reason,
            section: patched.object.section_name(p).to_owned(),
            offset: 0,
            width: a.len().max(b.len()) as u64,
            bytes: a.iter().zip(b).filter(|(x, y)| x != y).count() as u64,
            before: hex_at(a, 0),
            after: hex_at(b, 0),
            evidence: "no code, variable or table that counts leads to it".to_owned(),
        });
    }

    /// Fields whose bytes differ, although a relocation writes them.
    fn relocated(&self, o: SectionId<Orig>, p: SectionId<Patched>, found: &mut Vec<NoiseFound>) {
        let (orig, patched) = (self.comparer.orig.layout, self.comparer.patched.layout);
        let (a, b) = (orig.object.contents(o), patched.object.contents(p));
        if a == b || a.len() != b.len() {
            return;
        }
        let before = orig.object.relocs(o);
        let mut fields = Vec::new();
        for reloc in patched.object.relocs(p).iter() {
            let Ok(kind) = patched.arch.reloc(reloc.kind) else { continue };
            let end = reloc.offset.saturating_add(kind.width.into());
            let field = reloc.offset as usize..end as usize;
            let (Some(x), Some(y)) = (a.get(field.clone()), b.get(field)) else { continue };
            let own = before.within(reloc.offset, reloc.offset + 1).any(|r| r.kind == reloc.kind);
            if x != y && own && kind.class == RelocClass::Absolute {
                fields.push(NoiseFound {
                    rule: proofs::RELOCATED.name,
                    reason: proofs::RELOCATED.reason,
                    section: patched.object.section_name(p).to_owned(),
                    offset: reloc.offset,
                    width: kind.width.into(),
                    bytes: kind.width.into(),
                    before: hex_at(x, 0),
                    after: hex_at(y, 0),
                    evidence: describe(patched, &reloc),
                });
            }
        }
        let holds = |at: u64| {
            let behind = fields.partition_point(|field: &NoiseFound| field.offset <= at);
            let field = behind.checked_sub(1).and_then(|last| fields.get(last));
            field.is_some_and(|field| at - field.offset < field.width)
        };
        let mut differing = a.iter().zip(b).enumerate().filter(|(_, (x, y))| x != y);
        if differing.all(|(at, _)| holds(at as u64)) {
            found.extend(fields);
        }
    }

    /// Relocations of sections that are never compared, and the order of those that are.
    fn relocations(&self, o: SectionId<Orig>, p: SectionId<Patched>, found: &mut Vec<NoiseFound>) {
        let (orig, patched) = (self.comparer.orig.layout, self.comparer.patched.layout);
        let Some(table) = patched.object.rela_section(p).or_else(|| {
            // All of them may be gone.
            orig.object.rela_section(o).map(|_| p)
        }) else {
            return;
        };
        let never = never_compared(patched, p);
        let a = orig.object.relocs(o).in_file_order();
        let b = patched.object.relocs(p).in_file_order();
        let text_o = |r: &Reloc<Orig>| describe(orig, r);
        let text_p = |r: &Reloc<Patched>| describe(patched, r);
        let (a, b): (Vec<_>, Vec<_>) = (a.collect(), b.collect());
        let same = |(x, y): (&Reloc<Orig>, &Reloc<Patched>)| match never {
            Some(_) => text_o(x) == text_p(y),
            None => x.offset == y.offset,
        };
        let Some(first) = a
            .iter()
            .zip(&b)
            .position(|pair| !same(pair))
            .or_else(|| (a.len() != b.len()).then_some(a.len().min(b.len())))
        else {
            return;
        };
        let rule = match never {
            Some(rule) => rule,
            // The comparison read both by place, and of one place in the order they have.
            None if is_permuted(&a, &b) => {
                (proofs::RELOCATION_ORDER.name, proofs::RELOCATION_ORDER.reason)
            }
            None => return,
        };
        let last = match a.len() == b.len() {
            true => a.iter().zip(&b).rposition(|pair| !same(pair)).unwrap_or(first),
            false => a.len().max(b.len()).saturating_sub(1),
        };
        found.push(NoiseFound {
            rule: rule.0,
            reason: rule.1,
            section: patched.object.section_name(table).to_owned(),
            offset: first as u64 * ENTRY,
            width: (last + 1 - first) as u64 * ENTRY,
            bytes: (last + 1 - first) as u64 * ENTRY,
            before: a.get(first).map_or_else(String::new, text_o),
            after: b.get(first).map_or_else(String::new, text_p),
            evidence: format!("relocations of {}", patched.object.section_name(p)),
        });
    }
}

fn has_relocs(said: &Said<'_>, o: SectionId<Orig>, p: SectionId<Patched>) -> bool {
    !said.comparer.orig.layout.object.relocs(o).is_empty()
        && !said.comparer.patched.layout.object.relocs(p).is_empty()
}

/// Whether flags may differ in these bits: whether a section is in a group is said by the group,
/// and linkers merge nothing that has relocations.
fn flags_rule(differing: u64, relocated: bool) -> Option<Proof> {
    match differing {
        abi::SHF_GROUP => Some(proofs::GROUP_FLAG),
        abi::SHF_MERGE if relocated => Some(proofs::NOT_MERGED),
        _ => None,
    }
}

/// Whether the size of entries may differ: it counts in sections that linkers merge alone.
fn entries_rule(flags: u64, relocated: bool) -> Option<Proof> {
    let merged = flags & (abi::SHF_MERGE | abi::SHF_STRINGS) != 0;
    let strings = flags & abi::SHF_STRINGS != 0;
    (!merged || relocated && !strings).then_some(proofs::NOT_MERGED)
}

/// Whether two tables have as many entries at each place.
fn is_permuted(a: &[Reloc<Orig>], b: &[Reloc<Patched>]) -> bool {
    let mut before: Vec<u64> = a.iter().map(|r| r.offset).collect();
    let mut after: Vec<u64> = b.iter().map(|r| r.offset).collect();
    before.sort_unstable();
    after.sort_unstable();
    before == after
}

fn is_plain(kind: u8) -> bool {
    matches!(kind, abi::STT_NOTYPE | abi::STT_OBJECT | abi::STT_FUNC)
}

/// Where a symbol is defined, for people.
fn home<S: Side>(layout: &Layout<'_, S>, home: &Home<S>) -> String {
    match home {
        Home::Section(section) => layout.object.section_name(*section).to_owned(),
        Home::Undefined => "undefined".to_owned(),
        Home::Absolute => "absolute".to_owned(),
        Home::Common => "common".to_owned(),
        Home::Reserved(number) => format!("{number:#x}"),
    }
}

/// A symbol, for people.
fn named(symbol: &Symbol<'_, Patched>, id: SymbolId<Patched>) -> String {
    match symbol.name {
        "" => format!("symbol {}", id.index()),
        name => name.to_owned(),
    }
}

/// A relocation, for people.
fn describe<S: Side>(layout: &Layout<'_, S>, reloc: &Reloc<S>) -> String {
    let kind = layout.arch.reloc(reloc.kind).map_or("unknown type", |t| t.name);
    let name = layout.object.symbol_name(reloc.symbol);
    format!("{:#x} {kind} {name}{:+#x}", reloc.offset, reloc.addend)
}
