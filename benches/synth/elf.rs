//! The least writer of relocatable x86_64 objects a generator needs.
//!
//! Sections are reserved first, so that symbols and relocations can name them
//! by index, and filled afterwards in any order. It shares no code with the
//! library: what the library reads here was written by somebody else.

/// `sh_type` values used by the generator (ELF gABI, "Section Types").
pub const PROGBITS: u32 = 1;
pub const NOBITS: u32 = 8;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const RELA: u32 = 4;
const SYMTAB_SHNDX: u32 = 18;

/// `sh_flags` bits used by the generator (ELF gABI, "Section Attribute Flags").
pub const WRITE: u64 = 1;
pub const ALLOC: u64 = 2;
pub const EXEC: u64 = 4;
pub const MERGE: u64 = 0x10;
pub const STRINGS: u64 = 0x20;
const INFO_LINK: u64 = 0x40;

/// Relocation types (x86-64 psABI, "Relocation Types").
pub const R_64: u32 = 1;
pub const R_PC32: u32 = 2;
pub const R_PLT32: u32 = 4;
pub const R_32S: u32 = 11;
pub const R_PC64: u32 = 24;

/// `st_info` type (low four bits) and binding (high four bits).
pub const OBJECT: u8 = 1;
pub const FUNC: u8 = 2;
pub const SECTION: u8 = 3;
pub const FILE: u8 = 4;
pub const GLOBAL: u8 = 1 << 4;

/// Section index of symbols that are defined nowhere, and of FILE symbols.
pub const UNDEF: u32 = 0;
pub const ABS: u32 = 0xfff1_0000;

/// First `st_shndx` that needs SHT_SYMTAB_SHNDX, and the value that says so.
const LORESERVE: u32 = 0xff00;
const XINDEX: u16 = 0xffff;

#[derive(Clone, Copy, Default)]
struct Header {
    name: u32,
    kind: u32,
    flags: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entsize: u64,
}

/// An object being written.
pub struct Writer {
    file: Vec<u8>,
    headers: Vec<Header>,
    names: Vec<u8>,
    strings: Vec<u8>,
    symbols: Vec<u8>,
    extended: Vec<u8>,
    locals: Option<u32>,
    symtab: u32,
}

impl Writer {
    /// An object with the null section, the null symbol and `.symtab` reserved.
    pub fn new() -> Self {
        let mut writer = Writer {
            file: vec![0; 64],
            headers: vec![Header::default()],
            names: vec![0],
            strings: vec![0],
            symbols: Vec::new(),
            extended: Vec::new(),
            locals: None,
            symtab: 0,
        };
        writer.symtab = writer.section(".symtab", SYMTAB, 0, 8, 24);
        writer.symbol("", 0, UNDEF, 0, 0);
        writer
    }

    /// Reserves a section and returns its index.
    pub fn section(&mut self, name: &str, kind: u32, flags: u64, align: u64, entsize: u64) -> u32 {
        let name = add_string(&mut self.names, name);
        self.push(Header { name, kind, flags, align, entsize, ..Header::default() })
    }

    /// Reserves the relocation section of a section; its name is `.rela` and the base's.
    pub fn rela_section(&mut self, base: u32, base_name: &str) -> u32 {
        let name = add_string(&mut self.names, ".rela");
        self.names.pop();
        self.names.extend_from_slice(base_name.as_bytes());
        self.names.push(0);
        let (link, info) = (self.symtab, base);
        let (flags, align, entsize) = (INFO_LINK, 8, 24);
        self.push(Header {
            name,
            kind: RELA,
            flags,
            link,
            info,
            align,
            entsize,
            ..Header::default()
        })
    }

    fn push(&mut self, header: Header) -> u32 {
        self.headers.push(header);
        self.headers.len() as u32 - 1
    }

    /// Places the bytes of a section.
    pub fn fill(&mut self, section: u32, bytes: &[u8]) {
        let header = &mut self.headers[section as usize];
        let align = header.align.max(1) as usize;
        self.file.resize(self.file.len().next_multiple_of(align), 0);
        header.offset = self.file.len() as u64;
        header.size = bytes.len() as u64;
        self.file.extend_from_slice(bytes);
    }

    /// Gives a NOBITS section its size.
    pub fn set_size(&mut self, section: u32, size: u64) {
        self.headers[section as usize].size = size;
    }

    /// Adds a symbol and returns its index. `info` is type and binding; all local
    /// symbols come before the first global one.
    pub fn symbol(&mut self, name: &str, info: u8, section: u32, value: u64, size: u64) -> u32 {
        let index = self.symbol_count();
        if info >= GLOBAL {
            self.locals.get_or_insert(index);
        } else {
            assert!(self.locals.is_none(), "local symbol {name} after a global one");
        }
        let name = if name.is_empty() { 0 } else { add_string(&mut self.strings, name) };
        let (short, long) = match section {
            ABS => (0xfff1, 0),
            LORESERVE.. => (XINDEX, section),
            _ => (section as u16, 0),
        };
        self.symbols.extend_from_slice(&name.to_le_bytes());
        self.symbols.extend_from_slice(&[info, 0]);
        self.symbols.extend_from_slice(&short.to_le_bytes());
        self.symbols.extend_from_slice(&value.to_le_bytes());
        self.symbols.extend_from_slice(&size.to_le_bytes());
        self.extended.extend_from_slice(&long.to_le_bytes());
        index
    }

    fn symbol_count(&self) -> u32 {
        (self.symbols.len() / 24) as u32
    }

    /// Writes the tables and headers and returns the file.
    pub fn finish(mut self) -> Vec<u8> {
        let strtab = self.section(".strtab", STRTAB, 0, 1, 0);
        let shndx = (self.headers.len() + 2 > LORESERVE as usize)
            .then(|| self.section(".symtab_shndx", SYMTAB_SHNDX, 0, 4, 4));
        let shstrtab = self.section(".shstrtab", STRTAB, 0, 1, 0);

        let symtab = self.symtab;
        let count = self.symbol_count();
        self.headers[symtab as usize].link = strtab;
        self.headers[symtab as usize].info = self.locals.unwrap_or(count);
        let symbols = std::mem::take(&mut self.symbols);
        self.fill(symtab, &symbols);
        if let Some(shndx) = shndx {
            self.headers[shndx as usize].link = symtab;
            let extended = std::mem::take(&mut self.extended);
            self.fill(shndx, &extended);
        }
        let strings = std::mem::take(&mut self.strings);
        self.fill(strtab, &strings);
        let names = std::mem::take(&mut self.names);
        self.fill(shstrtab, &names);

        self.file.resize(self.file.len().next_multiple_of(8), 0);
        let table = self.file.len() as u64;
        // gABI, "ELF Header": counts that do not fit are kept in section header 0.
        let sections = self.headers.len() as u32;
        let mut e_shnum = sections as u16;
        if sections >= LORESERVE {
            e_shnum = 0;
            self.headers[0].size = u64::from(sections);
        }
        let mut e_shstrndx = shstrtab as u16;
        if shstrtab >= LORESERVE {
            e_shstrndx = XINDEX;
            self.headers[0].link = shstrtab;
        }
        for header in &self.headers {
            self.file.extend_from_slice(&header.name.to_le_bytes());
            self.file.extend_from_slice(&header.kind.to_le_bytes());
            self.file.extend_from_slice(&header.flags.to_le_bytes());
            self.file.extend_from_slice(&0u64.to_le_bytes());
            self.file.extend_from_slice(&header.offset.to_le_bytes());
            self.file.extend_from_slice(&header.size.to_le_bytes());
            self.file.extend_from_slice(&header.link.to_le_bytes());
            self.file.extend_from_slice(&header.info.to_le_bytes());
            self.file.extend_from_slice(&header.align.to_le_bytes());
            self.file.extend_from_slice(&header.entsize.to_le_bytes());
        }
        let mut start = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        start.extend_from_slice(&1u16.to_le_bytes());
        start.extend_from_slice(&62u16.to_le_bytes());
        start.extend_from_slice(&1u32.to_le_bytes());
        start.extend_from_slice(&[0; 16]);
        start.extend_from_slice(&table.to_le_bytes());
        start.extend_from_slice(&0u32.to_le_bytes());
        for half in [64, 0, 0, 64, e_shnum, e_shstrndx] {
            start.extend_from_slice(&half.to_le_bytes());
        }
        self.file[..64].copy_from_slice(&start);
        self.file
    }
}

fn add_string(table: &mut Vec<u8>, text: &str) -> u32 {
    let offset = table.len() as u32;
    table.extend_from_slice(text.as_bytes());
    table.push(0);
    offset
}

/// Appends one Elf64_Rela.
pub fn push_rela(out: &mut Vec<u8>, offset: u64, symbol: u32, kind: u32, addend: i64) {
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&(u64::from(symbol) << 32 | u64::from(kind)).to_le_bytes());
    out.extend_from_slice(&addend.to_le_bytes());
}
