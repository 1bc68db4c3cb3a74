//! An object as a plain value that can be changed in any way and written again.
//!
//! Read with the `elf` crate and written by hand: nothing here is the product's own code, so
//! what is wrong there is not wrong here in the same way.

use elf::ElfBytes;
use elf::abi;
use elf::endian::AnyEndian;
use elf::endian::EndianParse as _;

/// Where a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    Undefined,
    Section(usize),
    Reserved(u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub kind: u8,
    pub bind: u8,
    pub other: u8,
    pub home: Home,
    pub value: u64,
    pub size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloc {
    pub offset: u64,
    pub kind: u32,
    /// Index in [`File::symbols`].
    pub symbol: usize,
    pub addend: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    pub kind: u32,
    pub flags: u64,
    pub align: u64,
    pub entsize: u64,
    /// sh_link of SHF_LINK_ORDER.
    pub link: Option<usize>,
    /// The symbol and the members of a group: (section, its relocations).
    pub group: Option<(usize, Vec<(usize, bool)>)>,
    pub data: Vec<u8>,
    pub size: u64,
    /// Order as in the file.
    pub relocs: Vec<Reloc>,
}

impl Section {
    pub fn is_alloc(&self) -> bool {
        self.flags & u64::from(abi::SHF_ALLOC) != 0
    }

    pub fn is_code(&self) -> bool {
        self.flags & u64::from(abi::SHF_EXECINSTR) != 0
    }
}

/// An object. Symbol 0 is the null symbol; sections do not have a null section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub ident: [u8; 16],
    pub machine: u16,
    pub flags: u32,
    pub sections: Vec<Section>,
    pub symbols: Vec<Symbol>,
}

/// What is made anew, or read by debuggers alone.
fn is_dropped(name: &str, kind: u32) -> bool {
    matches!(kind, abi::SHT_SYMTAB | abi::SHT_STRTAB | abi::SHT_SYMTAB_SHNDX | abi::SHT_REL)
        || name.starts_with(".debug")
        || name == ".llvm_addrsig"
}

impl File {
    /// Reads an object of less than 0xff00 sections.
    pub fn read(bytes: &[u8]) -> Option<File> {
        let elf = ElfBytes::<AnyEndian>::minimal_parse(bytes).ok()?;
        let (headers, names) = elf.section_headers_with_strtab().ok()?;
        let (headers, names) = (headers?, names?);
        let all: Vec<elf::section::SectionHeader> = headers.iter().collect();
        let named =
            |h: &elf::section::SectionHeader| names.get(h.sh_name as usize).map(str::to_owned).ok();
        let mut place = vec![None; all.len()];
        let mut rela = vec![None; all.len()];
        let mut kept = Vec::new();
        for (i, header) in all.iter().enumerate().skip(1) {
            let name = named(header)?;
            if header.sh_type == abi::SHT_RELA {
                rela[header.sh_info as usize] = Some(i);
            } else if !is_dropped(&name, header.sh_type) {
                place[i] = Some(kept.len());
                kept.push(i);
            }
        }
        let is_rela = |i: usize| rela.iter().position(|&r| r == Some(i));
        let mut sections = Vec::new();
        for &i in &kept {
            let header = &all[i];
            let data = match header.sh_type {
                abi::SHT_NOBITS => Vec::new(),
                _ => elf.section_data(header).ok()?.0.to_vec(),
            };
            let group = (header.sh_type == abi::SHT_GROUP).then(|| {
                let words = data.chunks_exact(4).skip(1);
                let members = words.filter_map(|w| {
                    let mut at = 0;
                    let index = elf.ehdr.endianness.parse_u32_at(&mut at, w).ok()? as usize;
                    let base = is_rela(index);
                    Some((place[base.unwrap_or(index)]?, base.is_some()))
                });
                (header.sh_info as usize, members.collect())
            });
            let mut relocs = Vec::new();
            if let Some(table) = rela[i] {
                for r in elf.section_data_as_relas(&all[table]).ok()? {
                    relocs.push(Reloc {
                        offset: r.r_offset,
                        kind: r.r_type,
                        symbol: r.r_sym as usize,
                        addend: r.r_addend,
                    });
                }
            }
            let ordered = header.sh_flags & u64::from(abi::SHF_LINK_ORDER) != 0;
            sections.push(Section {
                name: named(header)?,
                kind: header.sh_type,
                flags: header.sh_flags,
                align: header.sh_addralign,
                entsize: header.sh_entsize,
                link: if ordered { place[header.sh_link as usize] } else { None },
                group,
                size: header.sh_size,
                data,
                relocs,
            });
        }
        let (table, strings) = elf.symbol_table().ok()??;
        let mut symbols = Vec::new();
        for symbol in table.iter() {
            let home = match symbol.st_shndx {
                0 => Home::Undefined,
                n if n >= abi::SHN_LORESERVE => Home::Reserved(n),
                n => match place[usize::from(n)] {
                    Some(section) => Home::Section(section),
                    None => Home::Undefined,
                },
            };
            symbols.push(Symbol {
                name: strings.get(symbol.st_name as usize).ok()?.to_owned(),
                kind: symbol.st_symtype(),
                bind: symbol.st_bind(),
                other: symbol.st_other,
                home,
                value: symbol.st_value,
                size: symbol.st_size,
            });
        }
        let ident = bytes.get(..16)?.try_into().ok()?;
        let (machine, flags) = (elf.ehdr.e_machine, elf.ehdr.e_flags);
        Some(File { ident, machine, flags, sections, symbols })
    }

    pub fn is_big(&self) -> bool {
        self.ident[5] == 2
    }

    /// The name of a symbol; that of its section where it has none.
    pub fn name(&self, symbol: usize) -> &str {
        let Some(found) = self.symbols.get(symbol) else { return "?" };
        match found.home {
            Home::Section(section) if found.kind == abi::STT_SECTION => {
                self.sections.get(section).map_or("?", |s| &s.name)
            }
            _ => &found.name,
        }
    }

    /// The bytes of the file, and where each section's contents are in it.
    pub fn write(&self) -> (Vec<u8>, Vec<usize>) {
        Writer::new(self).write()
    }

    /// The symbols in the order in which they are written: local ones come first.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.symbols.len()).collect();
        order.sort_by_key(|&i| i > 0 && self.symbols[i].bind != abi::STB_LOCAL);
        order
    }

    /// The number of a symbol in the table that is written.
    pub fn place_of(&self, symbol: usize) -> usize {
        self.order().iter().position(|&i| i == symbol).unwrap_or(symbol)
    }
}

struct Writer<'f> {
    file: &'f File,
    out: Vec<u8>,
    headers: Vec<[u64; 10]>,
    names: Vec<u8>,
}

const NAME: usize = 0;

impl<'f> Writer<'f> {
    fn new(file: &'f File) -> Self {
        Writer { file, out: vec![0; 64], headers: vec![[0; 10]], names: vec![0] }
    }

    fn int(&self, value: u64, width: usize) -> Vec<u8> {
        if self.file.is_big() {
            value.to_be_bytes()[8 - width..].to_vec()
        } else {
            value.to_le_bytes()[..width].to_vec()
        }
    }

    /// Adds a section: type, flags, link, info, alignment, size of an entry, contents, size.
    fn add(&mut self, name: &str, fields: [u64; 6], data: &[u8], size: u64) -> usize {
        let [kind, flags, link, info, align, entsize] = fields;
        let step = align.clamp(1, 64).next_power_of_two() as usize;
        self.out.resize(self.out.len().next_multiple_of(step), 0);
        let at = self.out.len();
        self.out.extend_from_slice(data);
        let place = self.names.len() as u64;
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(0);
        self.headers.push([place, kind, flags, 0, at as u64, size, link, info, align, entsize]);
        at
    }

    fn write(mut self) -> (Vec<u8>, Vec<usize>) {
        let file = self.file;
        // Indexes in the file: each section is followed by its relocations.
        let mut index = Vec::new();
        let mut next = 1;
        for section in &file.sections {
            index.push(next);
            next += 1 + usize::from(!section.relocs.is_empty());
        }
        let symtab = next as u64;
        let order = file.order();
        let mut moved = vec![0_u64; order.len()];
        order.iter().enumerate().for_each(|(new, &old)| moved[old] = new as u64);
        let symbol_at = |i: usize| moved.get(i).copied().unwrap_or(i as u64);
        let mut offsets = Vec::new();
        for (i, section) in file.sections.iter().enumerate() {
            let (mut link, mut info, mut data) = (0, 0, section.data.clone());
            if let Some(to) = section.link {
                link = index[to] as u64;
            }
            if let Some((symbol, members)) = &section.group {
                (link, info) = (symtab, symbol_at(*symbol));
                data.truncate(4);
                for &(member, rela) in members {
                    if rela && file.sections[member].relocs.is_empty() {
                        continue;
                    }
                    data.extend(self.int(index[member] as u64 + u64::from(rela), 4));
                }
            }
            let size = if section.group.is_some() { data.len() as u64 } else { section.size };
            let kind = u64::from(section.kind);
            let fields = [kind, section.flags, link, info, section.align, section.entsize];
            offsets.push(self.add(&section.name, fields, &data, size));
            if section.relocs.is_empty() {
                continue;
            }
            let mut table = Vec::new();
            for r in &section.relocs {
                table.extend(self.int(r.offset, 8));
                table.extend(self.int(symbol_at(r.symbol) << 32 | u64::from(r.kind), 8));
                table.extend(self.int(r.addend as u64, 8));
            }
            let in_group = section.flags & u64::from(abi::SHF_GROUP);
            let flags = u64::from(abi::SHF_INFO_LINK) | in_group;
            let fields = [u64::from(abi::SHT_RELA), flags, symtab, index[i] as u64, 8, 24];
            let size = table.len() as u64;
            self.add(&format!(".rela{}", section.name), fields, &table, size);
        }
        self.tables(&order, &index, symtab);
        self.finish(offsets)
    }

    fn tables(&mut self, order: &[usize], index: &[usize], symtab: u64) {
        let file = self.file;
        let mut strings = vec![0];
        let mut table = Vec::new();
        for &i in order {
            let symbol = &file.symbols[i];
            let mut place = 0;
            if !symbol.name.is_empty() {
                place = strings.len() as u64;
                strings.extend_from_slice(symbol.name.as_bytes());
                strings.push(0);
            }
            let home = match symbol.home {
                Home::Undefined => 0,
                Home::Section(section) => index.get(section).map_or(0xfeff, |&i| i as u64),
                Home::Reserved(n) => u64::from(n),
            };
            table.extend(self.int(place, 4));
            table.extend([symbol.bind << 4 | symbol.kind & 15, symbol.other]);
            table.extend(self.int(home, 2));
            table.extend(self.int(symbol.value, 8));
            table.extend(self.int(symbol.size, 8));
        }
        let locals = order.iter().filter(|&&i| i == 0 || file.symbols[i].bind == abi::STB_LOCAL);
        let locals = locals.count() as u64;
        let size = table.len() as u64;
        let kind = |kind: u32| u64::from(kind);
        let fields = [kind(abi::SHT_SYMTAB), 0, symtab + 1, locals, 8, 24];
        self.add(".symtab", fields, &table, size);
        let size = strings.len() as u64;
        self.add(".strtab", [kind(abi::SHT_STRTAB), 0, 0, 0, 1, 0], &strings, size);
        self.add(".shstrtab", [kind(abi::SHT_STRTAB), 0, 0, 0, 1, 0], &[], 0);
        let names = self.names.clone();
        if let Some(last) = self.headers.last_mut() {
            last[4] = self.out.len() as u64;
            last[5] = names.len() as u64;
        }
        self.out.extend(names);
    }

    fn finish(mut self, offsets: Vec<usize>) -> (Vec<u8>, Vec<usize>) {
        self.out.resize(self.out.len().next_multiple_of(8), 0);
        let at = self.out.len() as u64;
        for header in std::mem::take(&mut self.headers) {
            let widths = [4, 4, 8, 8, 8, 8, 4, 4, 8, 8];
            for (field, width) in header.into_iter().zip(widths) {
                let bytes = self.int(field, width);
                self.out.extend(bytes);
            }
        }
        let count = (self.out.len() as u64 - at) / 64;
        let mut header = self.file.ident.to_vec();
        for (value, width) in [
            (u64::from(abi::ET_REL), 2),
            (u64::from(self.file.machine), 2),
            (1, 4),
            (0, 8),
            (0, 8),
            (at, 8),
            (u64::from(self.file.flags), 4),
            (64, 2),
            (NAME as u64, 2),
            (0, 2),
            (64, 2),
            (count, 2),
            (count - 1, 2),
        ] {
            header.extend(self.int(value, width));
        }
        self.out[..64].copy_from_slice(&header);
        (self.out, offsets)
    }
}
