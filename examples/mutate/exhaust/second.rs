//! A second opinion on mutants that the comparison passes in silence: does the object still
//! mean the same? Works on [`File`] and with iced-x86 alone.

use std::collections::BTreeMap;

use elf::abi;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::model::{File, Home, Reloc, Section};
use super::mutants::{Mutant, RelocEdit, RowEdit, SectionEdit, SymbolEdit};
use super::tables::{
    is_narrow, is_unordered, origin_of_bug, overwritten, row_size, same_effect, unread,
};

/// What the second model says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Second {
    /// The same, and why.
    Same(&'static str),
    /// Something else.
    Differs(&'static str),
    /// It cannot tell.
    Unknown,
}

use Second::{Differs, Same, Unknown};

pub struct Model<'f> {
    pub file: &'f File,
    pub sizes: &'f BTreeMap<String, String>,
}

impl Model<'_> {
    pub fn judge(&self, mutant: &Mutant) -> Second {
        match *mutant {
            Mutant::Byte { section, at, value } => self.byte(section, at, value),
            Mutant::Reloc { section, index, edit } => self.reloc(section, index, edit),
            Mutant::Symbol { index, edit } => self.symbol(index, edit),
            Mutant::Row { section, edit, .. } => self.row(section, edit),
            Mutant::Section { index, edit } => self.section(index, edit),
            Mutant::Flags(_) => Differs("the file's flags say which ABI it is of"),
        }
    }

    fn unloaded(&self, section: &Section) -> Option<Second> {
        if !section.is_alloc() {
            return Some(Same("the section is not loaded"));
        }
        unread(&section.name).map(Same)
    }

    fn byte(&self, index: usize, at: u64, value: u8) -> Second {
        let section = &self.file.sections[index];
        if let Some(same) = self.unloaded(section) {
            return same;
        }
        let old = section.data[at as usize];
        if self.is_overwritten(section, at, old ^ value) {
            return Same("a relocation overwrites the bits");
        }
        if section.name == "__bug_table"
            && let Some(size) = row_size(self.file, index, self.sizes)
            && let Some((start, end)) = origin_of_bug(size)
            && (start..end).contains(&(at % size))
        {
            return Same("file and line of a warning");
        }
        if section.flags & u64::from(abi::SHF_STRINGS) != 0 {
            return self.string_byte(index, at);
        }
        if self.is_location(index, at) {
            return Same("line and column of a check of UBSAN");
        }
        if let Some(symbol) = self.symbol_at(index, at)
            && section.flags & u64::from(abi::SHF_WRITE) == 0
            && self.is_only_indexed(index, symbol)
        {
            return Same("only the index of messages refers to it");
        }
        if section.is_code() && self.file.machine == 62 {
            return self.code_byte(index, at, value);
        }
        if self.is_gap(index, at) {
            return Same("padding: outside of all symbols, and nothing refers to it");
        }
        if section.is_code() && self.symbol_at(index, at).is_some() {
            // Instructions of other machines are not read here.
            let call = section.relocs.iter().any(|r| {
                (at..at + 64).contains(&r.offset) && takes_line(self.file.name(r.symbol), None)
            });
            return if call { Unknown } else { Differs("code of a function") };
        }
        Unknown
    }

    /// Line and column in what UBSAN prints: `struct source_location` begins with the name of
    /// the file, two numbers follow.
    fn is_location(&self, index: usize, at: u64) -> bool {
        let section = &self.file.sections[index];
        let symbol = self.symbol_at(index, at);
        let (name, start) = match symbol {
            Some(symbol) => (self.file.name(symbol), self.file.symbols[symbol].value),
            None => (&*section.name, 0),
        };
        name.contains("Lubsan_data") && (8..16).contains(&(at - start))
    }

    /// Whether two sections are the same but for line and column in what UBSAN prints.
    fn holds_the_same(&self, one: Home, other: Home) -> bool {
        let (Home::Section(a), Home::Section(b)) = (one, other) else { return false };
        let (x, y) = (&self.file.sections[a], &self.file.sections[b]);
        let relocs = |section: &Section| -> Vec<(u64, u32, usize, i64)> {
            section.relocs.iter().map(|r| (r.offset, r.kind, r.symbol, r.addend)).collect()
        };
        let same = |(at, (p, q)): (usize, (&u8, &u8))| p == q || self.is_location(a, at as u64);
        x.data.len() == y.data.len()
            && relocs(x) == relocs(y)
            && x.data.iter().zip(&y.data).enumerate().all(same)
    }

    /// Whether nothing but `.printk_index` refers to a symbol's bytes, directly or through
    /// what only the index refers to.
    fn is_only_indexed(&self, section: usize, symbol: usize) -> bool {
        let symbol = &self.file.symbols[symbol];
        let inside = |to: u64| symbol.value <= to && to - symbol.value < symbol.size.max(1);
        self.users(section, &inside).into_iter().all(|(from, at)| self.counts_not(from, at))
    }

    /// Whether a reference counts for nobody: that of the index of messages, and of where a
    /// warning is.
    fn counts_not(&self, from: usize, at: u64) -> bool {
        let name = &self.file.sections[from].name;
        if unread(name).is_some() {
            return true;
        }
        if name == "__bug_table" {
            let size = row_size(self.file, from, self.sizes);
            let origin = size.and_then(|size| Some((size, origin_of_bug(size)?)));
            return origin.is_some_and(|(size, (start, end))| (start..end).contains(&(at % size)));
        }
        // What the index refers to.
        name.starts_with(".rodata._entry.") || name.starts_with(".data._entry.")
    }

    /// Whether relocations overwrite all bits of byte `at` that are in `bits`.
    fn is_overwritten(&self, section: &Section, at: u64, bits: u8) -> bool {
        section.relocs.iter().any(|r| {
            let Some((mask, width)) = overwritten(self.file.machine, r.kind) else { return false };
            let Some(nth) = at.checked_sub(r.offset).filter(|&n| n < width as u64) else {
                return false;
            };
            let nth = if self.file.is_big() { width as u64 - 1 - nth } else { nth };
            let byte = (mask >> (8 * nth)) as u8;
            byte & bits == bits
        })
    }

    /// The symbol with a size that covers a byte.
    fn symbol_at(&self, section: usize, at: u64) -> Option<usize> {
        self.file.symbols.iter().position(|s| {
            s.home == Home::Section(section)
                && s.kind != abi::STT_SECTION
                && s.value <= at
                && at - s.value < s.size
        })
    }

    /// Places that refer to these bytes of a section: (section, offset).
    fn users(&self, section: usize, inside: &dyn Fn(u64) -> bool) -> Vec<(usize, u64)> {
        let mut found = Vec::new();
        for (index, from) in self.file.sections.iter().enumerate().filter(|(_, s)| s.is_alloc()) {
            for r in &from.relocs {
                let Some(symbol) = self.file.symbols.get(r.symbol) else { continue };
                if symbol.home == Home::Section(section)
                    && inside(self.place(from, r, symbol.value))
                {
                    found.push((index, r.offset));
                }
            }
        }
        found
    }

    /// Whether references that count lead into these bytes of a section.
    fn is_used(&self, section: usize, inside: &dyn Fn(u64) -> bool) -> bool {
        self.users(section, inside).into_iter().any(|(from, at)| !self.counts_not(from, at))
    }

    /// Where a reference leads; on x86 and s390 fields in code are relative to what follows.
    fn place(&self, from: &Section, r: &Reloc, value: u64) -> u64 {
        let bias = match (self.file.machine, r.kind) {
            (62, 2 | 4) if from.is_code() => 4,
            (22, 19 | 20 | 26) => -2,
            _ => 0,
        };
        value.wrapping_add((r.addend + bias) as u64)
    }

    /// A byte between two symbols, where no symbol without a size is and nothing leads to, and
    /// less than what aligns the next one.
    fn is_gap(&self, section: usize, at: u64) -> bool {
        if self.symbol_at(section, at).is_some() {
            return false;
        }
        let here = self
            .file
            .symbols
            .iter()
            .filter(|s| s.home == Home::Section(section) && s.kind != abi::STT_SECTION);
        let start = here.clone().map(|s| s.value + s.size).filter(|&end| end <= at).max();
        let size = self.file.sections[section].size;
        let end = here.map(|s| s.value).filter(|&v| v > at).min().unwrap_or(size);
        let Some(start) = start else { return false };
        let align = self.file.sections[section].align.max(16);
        end - start < align && !self.is_used(section, &|to| start <= to && to < end)
    }

    fn string_byte(&self, section: usize, at: u64) -> Second {
        let data = &self.file.sections[section].data;
        let width = self.file.sections[section].entsize.max(1);
        let reaches = |to: u64| {
            let (to, at) = (to / width, at / width);
            let element = |i: u64| {
                data.get((i * width) as usize..((i + 1) * width) as usize)
                    .is_some_and(|e| e.iter().any(|&b| b != 0))
            };
            to <= at && (to..at).all(element)
        };
        if !self.is_used(section, &reaches) {
            return Same("no reference that counts leads to the string");
        }
        Differs("a string that is used")
    }

    /// Decodes the function around a changed byte before and after.
    fn code_byte(&self, section: usize, at: u64, value: u8) -> Second {
        let Some(symbol) = self.symbol_at(section, at) else {
            return if self.is_gap(section, at) {
                Same("padding: outside of all symbols, and nothing refers to it")
            } else {
                Unknown
            };
        };
        let function = &self.file.symbols[symbol];
        let (start, end) = (function.value as usize, (function.value + function.size) as usize);
        let data = &self.file.sections[section].data;
        let Some(old) = data.get(start..end) else { return Unknown };
        let mut new = old.to_vec();
        new[at as usize - start] = value;
        let (before, after) = (decode(old), decode(&new));
        let nth = before.iter().position(|i| i.next_ip() > at - function.value);
        let Some(nth) = nth else { return Unknown };
        let is_nop = |i: &Instruction| matches!(i.mnemonic(), Mnemonic::Nop | Mnemonic::Int3);
        if is_nop(&before[nth]) && after.get(nth).is_some_and(is_nop) {
            return Same("an instruction that does nothing, before and after");
        }
        let is_load = |i: &Instruction| i.mnemonic() == Mnemonic::Mov && is_immediate(i.op1_kind());
        let same_load = after.get(nth).is_some_and(|a| {
            a.len() == before[nth].len()
                && is_load(a)
                && is_load(&before[nth])
                && a.op0_register() == before[nth].op0_register()
        });
        if same_load && self.is_line(section, function.value, &before[nth..]) {
            return Same("a line number that reaches its argument");
        }
        Differs("an instruction")
    }

    /// Whether the first instruction loads a register that nothing uses before a callee takes a
    /// line in it.
    fn is_line(&self, section: usize, base: u64, code: &[Instruction]) -> bool {
        let register = code[0].op0_register().full_register();
        for instruction in &code[1..] {
            let mut info = iced_x86::InstructionInfoFactory::new();
            let info = info.info(instruction);
            let is_call = matches!(instruction.mnemonic(), Mnemonic::Call | Mnemonic::Jmp);
            if is_call {
                let field = base + instruction.next_ip() - 4;
                let relocs = &self.file.sections[section].relocs;
                let Some(r) = relocs.iter().find(|r| r.offset == field) else { return false };
                return takes_line(self.file.name(r.symbol), Some(register));
            }
            let used = info.used_registers().iter();
            if used.clone().any(|u| u.register().full_register() == register)
                || instruction.flow_control() != iced_x86::FlowControl::Next
            {
                return false;
            }
        }
        false
    }

    fn reloc(&self, index: usize, nth: usize, edit: RelocEdit) -> Second {
        let section = &self.file.sections[index];
        if let Some(same) = self.unloaded(section) {
            return same;
        }
        let old = section.relocs[nth];
        if section.name == "__bug_table"
            && let Some(size) = row_size(self.file, index, self.sizes)
            && let Some((start, end)) = origin_of_bug(size)
            && (start..end).contains(&(old.offset % size))
            && matches!(edit, RelocEdit::Target(_) | RelocEdit::Addend(_))
        {
            return Same("file and line of a warning");
        }
        let own = self.symbol_at(index, old.offset);
        if own.is_some_and(|s| self.is_only_indexed(index, s))
            && section.flags & u64::from(abi::SHF_WRITE | abi::SHF_EXECINSTR) == 0
        {
            return Same("only the index of messages refers to it");
        }
        match edit {
            RelocEdit::Order => {
                let next = section.relocs[nth + 1];
                if next.offset != old.offset {
                    return Same("the order of relocations of different places");
                }
                Differs("the order of relocations of one place")
            }
            RelocEdit::Type(kind) if same_effect(self.file.machine, old.kind, kind) => {
                Same("both types write the same bits")
            }
            RelocEdit::Target(symbol) => self.target(section, &old, &Reloc { symbol, ..old }),
            RelocEdit::Addend(addend) => self.target(section, &old, &Reloc { addend, ..old }),
            RelocEdit::Exchanged => {
                let next = section.relocs[nth + 1];
                // Rows of one field change places.
                let narrow = is_narrow(self.file, index, self.sizes);
                if narrow && is_unordered(&section.name) && old.kind == next.kind {
                    return Same("the kernel searches or sorts the table");
                }
                let first = Reloc { symbol: next.symbol, addend: next.addend, ..old };
                let second = Reloc { symbol: old.symbol, addend: old.addend, ..next };
                match (self.target(section, &old, &first), self.target(section, &next, &second)) {
                    (Same(why), Same(_)) => Same(why),
                    (Differs(why), _) | (_, Differs(why)) => Differs(why),
                    _ => Unknown,
                }
            }
            _ => Differs("another relocation"),
        }
    }

    /// Whether two references lead to the same place or to equal strings.
    fn target(&self, from: &Section, old: &Reloc, new: &Reloc) -> Second {
        let symbols = &self.file.symbols;
        let (Some(a), Some(b)) = (symbols.get(old.symbol), symbols.get(new.symbol)) else {
            return Unknown;
        };
        let (Home::Section(s), Home::Section(t)) = (a.home, b.home) else {
            return if a.home == b.home && a.name == b.name && old.addend == new.addend {
                Same("the same symbol")
            } else {
                Differs("another symbol")
            };
        };
        let (to, and) = (self.place(from, old, a.value), self.place(from, new, b.value));
        if (s, to) == (t, and) {
            return Same("the same place");
        }
        let strings = |s: usize| self.file.sections[s].flags & u64::from(abi::SHF_STRINGS) != 0;
        if strings(s) && strings(t) {
            let text = |s: usize, at: u64| {
                let data = self.file.sections[s].data.get(at as usize..)?;
                let end = data.iter().position(|&b| b == 0)?;
                Some(&data[..end])
            };
            let narrow = |s: usize| self.file.sections[s].entsize <= 1;
            if narrow(s) && narrow(t) && text(s, to).is_some() && text(s, to) == text(t, and) {
                return Same("an equal string");
            }
            return Differs("another string");
        }
        let plain = |s: usize| {
            let section = &self.file.sections[s];
            let flags = u64::from(abi::SHF_WRITE | abi::SHF_EXECINSTR);
            section.flags & flags == 0 && section.relocs.is_empty() && section.flags & 0x10 != 0
        };
        let block = |s: usize, at: u64| {
            let section = &self.file.sections[s];
            let size = section.entsize.max(1);
            section.data.get(at as usize..(at + size) as usize)
        };
        if plain(s) && plain(t) && block(s, to).is_some() && block(s, to) == block(t, and) {
            return Same("an equal constant of a merged section");
        }
        if self.same_read(from, old, (s, to), (t, and)) {
            return Same("the instruction reads equal bytes");
        }
        Differs("another place")
    }

    /// Whether an instruction of x86_64 reads its operand of at most 16 bytes from two places
    /// with equal bytes that no relocation changes.
    fn same_read(&self, from: &Section, r: &Reloc, a: (usize, u64), b: (usize, u64)) -> bool {
        if self.file.machine != 62 || !from.is_code() {
            return false;
        }
        // Instructions with such an operand have two to five bytes before the field.
        let read = (2..=5).filter_map(|back| {
            let start = (r.offset as usize).checked_sub(back)?;
            let code = from.data.get(start..)?;
            let instruction = Decoder::with_ip(64, code, 0, DecoderOptions::NONE).decode();
            let fits = instruction.is_ip_rel_memory_operand()
                && instruction.len() == back + 4
                && matches!(
                    instruction.mnemonic(),
                    Mnemonic::Movups
                        | Mnemonic::Movaps
                        | Mnemonic::Movdqa
                        | Mnemonic::Movdqu
                        | Mnemonic::Xorps
                        | Mnemonic::Mov
                        | Mnemonic::Movss
                        | Mnemonic::Movsd
                        | Mnemonic::Cmp
                        | Mnemonic::Movzx
                );
            fits.then(|| instruction.memory_size().size())
        });
        let Some(size) = read.max().filter(|&size| size > 0 && size <= 16) else { return false };
        let bytes = |(section, at): (usize, u64)| {
            let section = &self.file.sections[section];
            let touched =
                section.relocs.iter().any(|r| r.offset < at + size as u64 && at < r.offset + 8);
            let plain = section.flags & u64::from(abi::SHF_WRITE) == 0 && !touched;
            section.data.get(at as usize..at as usize + size).filter(|_| plain)
        };
        bytes(a).is_some() && bytes(a) == bytes(b)
    }

    fn is_linked(&self) -> bool {
        self.file.symbols.iter().filter(|s| s.kind == abi::STT_FILE).count() > 1
    }

    fn symbol(&self, index: usize, edit: SymbolEdit) -> Second {
        let symbol = &self.file.symbols[index];
        let used = |index: usize| {
            let loaded = self.file.sections.iter().enumerate().filter(|(_, s)| s.is_alloc());
            loaded
                .flat_map(|(from, s)| s.relocs.iter().map(move |r| (from, r)))
                .any(|(from, r)| r.symbol == index && !self.counts_not(from, r.offset))
        };
        let local = symbol.bind == abi::STB_LOCAL;
        if symbol.kind == abi::STT_FILE && !matches!(edit, SymbolEdit::Bind(_)) {
            return Same("a file symbol names a source and no place");
        }
        if symbol.kind == abi::STT_SECTION {
            let unused = !used(index) && local;
            return match edit {
                SymbolEdit::Other(_) | SymbolEdit::Size(_) | SymbolEdit::Name(_) => {
                    Same("a section's symbol has none of it")
                }
                SymbolEdit::Value(_) | SymbolEdit::Home(_) | SymbolEdit::Type(_) if unused => {
                    Same("a section's symbol that nothing refers to")
                }
                SymbolEdit::Type(
                    abi::STT_NOTYPE | abi::STT_OBJECT | abi::STT_FUNC | abi::STT_GNU_IFUNC,
                ) if local => Same("still a local symbol of the same place"),
                SymbolEdit::Home(to) if local && self.holds_the_same(symbol.home, to) => {
                    Same("a section with the same content")
                }
                _ => Differs("no section's symbol looks so"),
            };
        }
        match edit {
            SymbolEdit::Size(_) if symbol.home != Home::Reserved(abi::SHN_COMMON) => {
                Same("neither the linker nor the kernel's loader reads the size")
            }
            SymbolEdit::Name(other) => {
                let partner = &self.file.symbols[other];
                let section = |s: &super::model::Symbol| s.kind == abi::STT_SECTION;
                if (local || section(symbol))
                    && (partner.bind == abi::STB_LOCAL || section(partner))
                {
                    return Same("names of local symbols: no other file sees them");
                }
                let idle = |index: usize| {
                    let symbol = &self.file.symbols[index];
                    symbol.bind == abi::STB_LOCAL || symbol.home == Home::Undefined && !used(index)
                };
                if idle(index) && idle(other) {
                    return Same("an undefined symbol that nothing uses");
                }
                Differs("a name that other files see")
            }
            _ if symbol.home == Home::Undefined && !used(index) => match edit {
                SymbolEdit::Value(_) | SymbolEdit::Type(_) | SymbolEdit::Other(_) => {
                    Same("an undefined symbol that nothing uses")
                }
                _ => Unknown,
            },
            SymbolEdit::Type(kind) => {
                let plain =
                    |kind| matches!(kind, abi::STT_NOTYPE | abi::STT_OBJECT | abi::STT_FUNC);
                // s390, ppc64: a function may get a stub or a descriptor.
                let alike = local || symbol.home == Home::Undefined || self.file.machine != 21;
                if plain(kind) && plain(symbol.kind) && alike {
                    return Same("the loader treats these types alike");
                }
                if local && (!used(index) || kind == abi::STT_SECTION && symbol.value == 0) {
                    return Same("a local symbol of the same place");
                }
                Differs("a type with another meaning")
            }
            // powerpc64 and aarch64 say there how a function is called.
            SymbolEdit::Other(other)
                if other & 3 == symbol.other & 3 && !matches!(self.file.machine, 21 | 183) =>
            {
                Same("bits of st_other without a meaning on the machine")
            }
            SymbolEdit::Other(other) if other & !3 == symbol.other & !3 => {
                Same("the kernel is linked to one file: visibility hides nothing in it")
            }
            SymbolEdit::Other(_) if local && !used(index) => {
                Same("a local symbol that nothing refers to")
            }
            SymbolEdit::Other(_) if !matches!(self.file.machine, 21 | 183) => {
                Same("bits of st_other without a meaning on the machine")
            }
            SymbolEdit::Other(_) if symbol.kind != abi::STT_FUNC => {
                Same("only functions have a calling convention")
            }
            SymbolEdit::Value(_) | SymbolEdit::Home(_) if local && !used(index) => {
                Same("a local symbol that nothing refers to")
            }
            SymbolEdit::Value(_) if symbol.home == Home::Undefined => {
                Same("the value of an undefined symbol")
            }
            SymbolEdit::Value(_) | SymbolEdit::Home(_) => {
                Differs("what refers to it goes elsewhere")
            }
            SymbolEdit::Bind(bind) if local && bind <= abi::STB_WEAK => {
                Same("what was local is defined here alone: others that name it have it of theirs")
            }
            SymbolEdit::Bind(_) if self.is_linked() && symbol.home != Home::Undefined => Same(
                "linked from several files: the definition that is here is the one that counts",
            ),
            SymbolEdit::Bind(_) => Differs("the linker chooses by the binding"),
            _ => Unknown,
        }
    }

    fn row(&self, section: usize, edit: RowEdit) -> Second {
        let section = &self.file.sections[section];
        if let Some(same) = self.unloaded(section) {
            return same;
        }
        match edit {
            RowEdit::Swapped if is_unordered(&section.name) => {
                Same("the kernel searches or sorts the table")
            }
            RowEdit::Removed | RowEdit::Doubled => Differs("a row more or less"),
            RowEdit::Swapped => Unknown,
        }
    }

    fn section(&self, index: usize, edit: SectionEdit) -> Second {
        let section = &self.file.sections[index];
        if let SectionEdit::Flags(flags) = edit
            && (section.flags ^ flags) & u64::from(abi::SHF_ALLOC) != 0
        {
            let unread = unread(&section.name).is_some();
            return if unread { Same("nothing reads it") } else { Differs("it is loaded or not") };
        }
        if let Some(same) = self.unloaded(section) {
            return same;
        }
        match edit {
            SectionEdit::Align(_) => {
                Same("what is not in the patch keeps the alignment that the kernel was linked with")
            }
            SectionEdit::Flags(flags) => {
                let merge = u64::from(abi::SHF_MERGE | abi::SHF_STRINGS);
                let ordinary = u64::from(abi::SHF_WRITE | abi::SHF_EXECINSTR | abi::SHF_TLS);
                match section.flags ^ flags {
                    bits if bits == u64::from(abi::SHF_GROUP) => {
                        Same("whether it is in a group is said by the group")
                    }
                    bits if bits & ordinary != 0 => Differs("how the memory may be used"),
                    bits if bits == u64::from(abi::SHF_MERGE) && !section.relocs.is_empty() => {
                        Same("linkers merge nothing that has relocations")
                    }
                    bits if bits & merge != 0 => Differs("the linker merges it or not"),
                    _ => Differs("a flag with a meaning"),
                }
            }
            SectionEdit::EntrySize(_) => {
                let merge = u64::from(abi::SHF_MERGE | abi::SHF_STRINGS);
                let strings = section.flags & u64::from(abi::SHF_STRINGS) != 0;
                if !section.relocs.is_empty() && !strings {
                    return Same("linkers merge nothing that has relocations");
                }
                if section.flags & merge == 0 {
                    return Same("the size of entries counts in merged sections alone");
                }
                Unknown
            }
            SectionEdit::Type(kind) => {
                if kind == abi::SHT_NOBITS || section.kind == abi::SHT_NOBITS {
                    return Differs("the contents come from the file or are zeros");
                }
                Unknown
            }
        }
    }
}

fn decode(code: &[u8]) -> Vec<Instruction> {
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    decoder.iter().collect()
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(kind, OpKind::Immediate32 | OpKind::Immediate16 | OpKind::Immediate32to64)
}

/// Callees that take a line, and in which register.
fn takes_line(name: &str, register: Option<Register>) -> bool {
    let Some(register) = register else {
        return name.contains("might_sleep") || name.contains("printk");
    };
    match name {
        "__might_sleep" | "___might_sleep" | "__might_fault" => register == Register::RSI,
        // By the format: only a look at it tells, which the first model has to take.
        "__warn_printk" | "_printk" | "printk" => {
            matches!(register, Register::RSI | Register::RDX | Register::RCX | Register::R8)
        }
        _ => false,
    }
}
