//! Synthetic pairs: an original and a patched x86_64 object of any size.
//!
//! Each function has what a kernel function compiled with `-ffunction-sections
//! -fdata-sections -pg -mfentry` has: a section of its own with the call to
//! `__fentry__` and ten relocations, strings, a variable, zeroed state and a
//! constant in sections of their own, and rows in the shared tables: one
//! `__bug_table` row in two functions, one `__jump_table` and one
//! `.altinstructions` row in four. That makes six sections and about 1.2 KB per
//! function. Everything follows from [`Options`]; there is no randomness.

pub mod elf;

use std::io::{self, Write};

use elf::{
    ABS, ALLOC, EXEC, FILE, FUNC, GLOBAL, MERGE, NOBITS, OBJECT, PROGBITS, R_32S, R_64, R_PC32,
    R_PC64, R_PLT32, SECTION, STRINGS, UNDEF, WRITE, push_rela,
};

/// Functions per FILE symbol.
const FILE_FUNCTIONS: u32 = 50;
/// Size of a row of `.altinstructions`, `__bug_table` and `__jump_table` (Linux 6.12 on x86_64).
pub const STRUCT_SIZES: [(&str, &str); 5] = [
    ("ALT_STRUCT_SIZE", "14"),
    ("BUG_STRUCT_SIZE", "12"),
    ("EX_STRUCT_SIZE", "12"),
    ("JUMP_STRUCT_SIZE", "16"),
    ("PRINTK_INDEX_STRUCT_SIZE", "8"),
];

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Number of functions, named `f0`, `f1`, ...
    pub functions: u32,
    /// How many of them differ, spread evenly (at most all).
    pub changed: u32,
    /// Static locals share their names over all functions and differ only in the
    /// number (`count.N`, `__func__.N`, `_entry.N`, `_entry_ptr.N`); each function
    /// then also has a `.printk_index` row.
    pub shared_names: bool,
    /// Static locals carry a number that is off by one function in the patched
    /// object, as when a static local is added at the top of the file: with
    /// `shared_names` every name then exists on both sides and means another variable.
    pub renumbered: bool,
    /// Unchanged functions live together in `.sched.text` instead of in sections of their own.
    pub one_section: bool,
    /// Lines of unrelated local symbols to add to the parent symbol table.
    pub padding: u32,
}

/// Which object of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the change.
    Original,
    /// After it.
    Patched,
}

impl Options {
    /// `functions` functions of which `changed` differ, and none of the extras.
    pub fn new(functions: u32, changed: u32) -> Self {
        Options {
            functions,
            changed: changed.min(functions),
            shared_names: false,
            renumbered: false,
            one_section: false,
            padding: 0,
        }
    }

    /// Position of a function among the changed ones, if it is one.
    fn change(&self, function: u32) -> Option<u32> {
        if self.changed == 0 {
            return None;
        }
        let (n, count, all) =
            (u64::from(function), u64::from(self.changed), u64::from(self.functions));
        let rank = (n * count).div_ceil(all);
        (rank < count && rank * all / count == n).then_some(rank as u32)
    }

    /// Names of the functions that differ, in symbol order.
    #[allow(dead_code, reason = "not every user of this module asks")]
    pub fn changed_names(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.functions).filter(|&n| self.change(n).is_some()).map(|n| format!("f{n}"))
    }

    /// Name of a static local; `kind` is 0 count, 1 `_entry_ptr`, 2 `_entry`, 3 `__func__`.
    fn static_name(&self, side: Side, function: u32, kind: u32) -> String {
        let shift = u32::from(self.renumbered && side == Side::Patched);
        let number = 4 * (function + shift) + kind;
        match (self.shared_names, self.renumbered) {
            (true, _) => {
                let stem = ["count", "_entry_ptr", "_entry", "__func__"][kind as usize];
                format!("{stem}.{number}")
            }
            (false, true) => format!("{}{function}.{number}", ["b", "", "", "c"][kind as usize]),
            (false, false) => format!("{}{function}", ["b", "", "", "c"][kind as usize]),
        }
    }
}

fn is_global(function: u32) -> bool {
    function % 4 == 3
}

/// What a relocation of a function's code refers to.
#[derive(Clone, Copy)]
enum Target {
    Fentry,
    Printk,
    /// Another function, by its symbol.
    Named(u32),
    /// Another function, by the symbol of its section.
    Placed(u32),
    Text,
    Data,
    Bss,
    Const,
}

/// The code of one function and what hangs on it.
#[derive(Default)]
struct Code {
    bytes: Vec<u8>,
    relocations: Vec<(u32, Target, u32, i64)>,
    /// Offsets of the jump label, its target, the alternative and the trap.
    jump: u32,
    jump_target: u32,
    alternative: u32,
    trap: u32,
}

impl Code {
    fn emit(&mut self, bytes: &[u8]) -> u32 {
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        at
    }

    /// An instruction that ends in a 32-bit field the linker fills in.
    fn emit_reloc(&mut self, opcode: &[u8], target: Target, kind: u32, addend: i64) {
        self.emit(opcode);
        let at = self.emit(&[0; 4]);
        self.relocations.push((at, target, kind, addend));
    }

    fn call(&mut self, target: Target) {
        self.emit_reloc(&[0xe8], target, R_PLT32, -4);
    }
}

/// The two strings of a function; the second starts at the returned offset.
fn strings(options: &Options, side: Side, function: u32) -> (Vec<u8>, u64) {
    let word = match options.change(function) {
        Some(rank) if rank % 3 == 2 && side == Side::Patched => "illegal",
        _ => "invalid",
    };
    let mut text = format!("f{function}: {word} state %d\n\0").into_bytes();
    let second = text.len() as u64;
    text.extend_from_slice(format!("unit {function} done\0").as_bytes());
    (text, second)
}

/// Code of one function. `rank % 3` of a changed one says how it differs: an
/// immediate, one more call (another size), or a string.
fn code(options: &Options, side: Side, function: u32) -> Code {
    let all = options.functions;
    let change = options.change(function).filter(|_| side == Side::Patched).map(|rank| rank % 3);
    let second = strings(options, side, function).1;
    let mut code = Code::default();
    code.call(Target::Fentry);
    code.emit(&[0x53]); // push rbx
    code.emit_reloc(&[0x48, 0x8d, 0x3d], Target::Text, R_PC32, -4); // lea rdi, [rip + text]
    code.emit_reloc(&[0x8b, 0x05], Target::Data, R_PC32, -4); // mov eax, [rip + data]
    let step = (function % 100) as u8 + u8::from(change == Some(0));
    code.emit(&[0x83, 0xc0, step]); // add eax, step
    code.emit_reloc(&[0x89, 0x05], Target::Bss, R_PC32, -4); // mov [rip + bss], eax
    code.emit_reloc(&[0x48, 0x8b, 0x1d], Target::Const, R_PC32, -4); // mov rbx, [rip + const]
    code.jump = code.emit(&[0x0f, 0x1f, 0x44, 0x00, 0x00]); // nop of 5 bytes
    code.call(Target::Named((function + 1) % all));
    code.call(Target::Placed((function + 7) % all));
    code.alternative = code.emit(&[0x0f, 0x1f, 0x00]); // nop of 3 bytes
    code.emit_reloc(&[0x48, 0xc7, 0xc7], Target::Text, R_32S, second as i64); // mov rdi, text
    code.call(Target::Printk);
    code.jump_target = code.emit(&[0x85, 0xc0]); // test eax, eax
    code.emit(&[0x74, 0x02]); // je over the trap
    code.trap = code.emit(if function % 2 == 1 { &[0x0f, 0x0b] } else { &[0x66, 0x90] });
    for step in 0..(12 + function % 13) {
        match (function + step) % 5 {
            0 => code.emit(&[0x48, 0x89, 0xc7]), // mov rdi, rax
            1 => code.emit(&[0x48, 0x01, 0xd8]), // add rax, rbx
            2 => code.emit(&[0x48, 0xc1, 0xe0, step as u8 % 31 + 1]), // shl rax, step
            3 => code.emit(&[0x31, 0xc9]),       // xor ecx, ecx
            _ => code.emit(&[0x48, 0x81, 0xf3, step as u8, function as u8, 0, 0]), // xor rbx, imm
        };
    }
    code.call(Target::Named((function / 2 + 17) % all));
    if change == Some(1) {
        code.call(Target::Named((function + 3) % all));
    }
    code.emit(&[0x5b, 0xc3]); // pop rbx; ret
    code
}

/// Section and symbol indices of one function.
#[derive(Clone, Copy, Default)]
struct Function {
    /// Section of the code, its relocations (0 in `.sched.text`) and the code's place in it.
    text: u32,
    rela: u32,
    offset: u64,
    size: u64,
    strings: u32,
    data: u32,
    bss: u32,
    constant: u32,
    entry: u32,
    entry_rela: u32,
    /// Section symbols.
    text_symbol: u32,
    strings_symbol: u32,
    bss_symbol: u32,
    constant_symbol: u32,
    entry_symbol: u32,
    /// Symbols of the function and of its variable.
    symbol: u32,
    data_symbol: u32,
}

/// The sections that all functions share.
struct Shared {
    shared_text: (u32, u32),
    jump_table: (u32, u32),
    bug_table: (u32, u32),
    alternatives: (u32, u32),
    replacement: u32,
    replacement_symbol: u32,
    printk_index: (u32, u32),
}

/// One object of the pair.
pub fn object(options: &Options, side: Side) -> Vec<u8> {
    let mut elf = elf::Writer::new();
    let (functions, shared, undefined) = reserve(options, side, &mut elf);
    fill_functions(options, side, &functions, &shared, undefined, &mut elf);
    fill_tables(options, side, &functions, &shared, &mut elf);
    elf.finish()
}

/// Lays out all sections and symbols. The pair returned last is `__fentry__` and `_printk`.
fn reserve(
    options: &Options,
    side: Side,
    elf: &mut elf::Writer,
) -> (Vec<Function>, Shared, (u32, u32)) {
    let with_rela = |elf: &mut elf::Writer, name: &str, flags, align, entsize| {
        let base = elf.section(name, PROGBITS, flags, align, entsize);
        (base, elf.rela_section(base, name))
    };
    let mut shared_text = (0, 0);
    if options.one_section {
        shared_text = with_rela(elf, ".sched.text", ALLOC | EXEC, 16, 0);
    }
    let mut shared_size = 0u64;
    let mut functions: Vec<Function> = (0..options.functions)
        .map(|n| {
            let mut function = Function { text: shared_text.0, ..Function::default() };
            function.size = code(options, side, n).bytes.len() as u64;
            if options.one_section && options.change(n).is_none() {
                function.offset = shared_size;
                shared_size = (shared_size + function.size).next_multiple_of(16);
            } else {
                (function.text, function.rela) =
                    with_rela(elf, &format!(".text.f{n}"), ALLOC | EXEC, 16, 0);
            }
            let (strings, merge) = (format!(".rodata.f{n}.str1.1"), ALLOC | MERGE | STRINGS);
            function.strings = elf.section(&strings, PROGBITS, merge, 1, 1);
            function.data = elf.section(&format!(".data.v{n}"), PROGBITS, ALLOC | WRITE, 16, 0);
            let bss = format!(".bss.{}", options.static_name(side, n, 0));
            function.bss = elf.section(&bss, NOBITS, ALLOC | WRITE, 8, 0);
            elf.set_size(function.bss, 16);
            let constant = format!(".rodata.{}", options.static_name(side, n, 3));
            function.constant = elf.section(&constant, PROGBITS, ALLOC, 16, 0);
            if options.shared_names {
                let entry = format!(".rodata.{}", options.static_name(side, n, 2));
                (function.entry, function.entry_rela) = with_rela(elf, &entry, ALLOC, 8, 0);
            }
            function
        })
        .collect();

    let mut shared = Shared {
        shared_text,
        jump_table: with_rela(elf, "__jump_table", ALLOC | WRITE, 8, 0),
        bug_table: with_rela(elf, "__bug_table", ALLOC | WRITE, 1, 12),
        alternatives: with_rela(elf, ".altinstructions", ALLOC, 1, 14),
        replacement: elf.section(".altinstr_replacement", PROGBITS, ALLOC | EXEC, 1, 0),
        replacement_symbol: 0,
        printk_index: (0, 0),
    };
    if options.shared_names {
        shared.printk_index = with_rela(elf, ".printk_index", ALLOC | WRITE, 8, 0);
    }

    let mut shared_symbol = 0;
    if options.one_section {
        shared_symbol = elf.symbol("", SECTION, shared_text.0, 0, 0);
    }
    for function in &mut functions {
        function.text_symbol = if function.rela == 0 {
            shared_symbol
        } else {
            elf.symbol("", SECTION, function.text, 0, 0)
        };
        function.strings_symbol = elf.symbol("", SECTION, function.strings, 0, 0);
        function.bss_symbol = elf.symbol("", SECTION, function.bss, 0, 0);
        function.constant_symbol = elf.symbol("", SECTION, function.constant, 0, 0);
        if options.shared_names {
            function.entry_symbol = elf.symbol("", SECTION, function.entry, 0, 0);
        }
    }
    shared.replacement_symbol = elf.symbol("", SECTION, shared.replacement, 0, 0);
    for (n, function) in (0..).zip(&mut functions) {
        if n % FILE_FUNCTIONS == 0 {
            elf.symbol(&format!("file{}.c", n / FILE_FUNCTIONS), FILE, ABS, 0, 0);
        }
        let mut local = |kind, section, value, size| {
            elf.symbol(&options.static_name(side, n, kind), OBJECT, section, value, size);
        };
        local(0, function.bss, 0, 16);
        local(3, function.constant, 0, 32);
        if options.shared_names {
            local(2, function.entry, 0, 24);
            local(1, shared.printk_index.0, 8 * u64::from(n), 8);
        }
        if !is_global(n) {
            function.place(elf, n, 0);
        }
    }
    for (n, function) in (0..).zip(&mut functions) {
        if is_global(n) {
            function.place(elf, n, GLOBAL);
        }
    }
    let fentry = elf.symbol("__fentry__", GLOBAL, UNDEF, 0, 0);
    let printk = elf.symbol("_printk", GLOBAL, UNDEF, 0, 0);
    (functions, shared, (fentry, printk))
}

impl Function {
    /// Adds the symbols of function `n` and of its variable.
    fn place(&mut self, elf: &mut elf::Writer, n: u32, bind: u8) {
        self.symbol = elf.symbol(&format!("f{n}"), FUNC | bind, self.text, self.offset, self.size);
        self.data_symbol = elf.symbol(&format!("v{n}"), OBJECT | bind, self.data, 0, 32);
    }
}

fn fill_functions(
    options: &Options,
    side: Side,
    functions: &[Function],
    shared: &Shared,
    (fentry, printk): (u32, u32),
    elf: &mut elf::Writer,
) {
    let mut together = Vec::new();
    let mut shared_rela = Vec::new();
    let mut rela = Vec::new();
    for (n, function) in (0..).zip(functions) {
        let code = code(options, side, n);
        rela.clear();
        let list = if function.rela == 0 { &mut shared_rela } else { &mut rela };
        for (at, target, kind, addend) in code.relocations {
            let (symbol, place) = match target {
                Target::Fentry => (fentry, 0),
                Target::Printk => (printk, 0),
                Target::Named(n) => (functions[n as usize].symbol, 0),
                Target::Placed(n) => {
                    let callee = &functions[n as usize];
                    (callee.text_symbol, callee.offset as i64)
                }
                Target::Text => (function.strings_symbol, 0),
                Target::Data => (function.data_symbol, 0),
                Target::Bss => (function.bss_symbol, 0),
                Target::Const => (function.constant_symbol, 0),
            };
            push_rela(list, function.offset + u64::from(at), symbol, kind, place + addend);
        }
        if function.rela == 0 {
            together.resize(function.offset as usize, 0xcc);
            together.extend_from_slice(&code.bytes);
        } else {
            elf.fill(function.text, &code.bytes);
            elf.fill(function.rela, &rela);
        }
        elf.fill(function.strings, &strings(options, side, n).0);
        let mut data = [0u8; 32];
        data[..4].copy_from_slice(&n.to_le_bytes());
        elf.fill(function.data, &data);
        let mut constant = [0u8; 32];
        let name = format!("f{n}");
        constant[..name.len()].copy_from_slice(name.as_bytes());
        elf.fill(function.constant, &constant);
        if options.shared_names {
            let mut entry = [0u8; 24];
            entry[16..20].copy_from_slice(&(10 * n).to_le_bytes());
            elf.fill(function.entry, &entry);
            rela.clear();
            push_rela(&mut rela, 0, function.strings_symbol, R_64, 0);
            push_rela(&mut rela, 8, function.constant_symbol, R_64, 0);
            elf.fill(function.entry_rela, &rela);
        }
    }
    if options.one_section {
        elf.fill(shared.shared_text.0, &together);
        elf.fill(shared.shared_text.1, &shared_rela);
    }
}

/// Bytes and relocations of one table.
#[derive(Default)]
struct Table {
    bytes: Vec<u8>,
    rela: Vec<u8>,
}

impl Table {
    /// Appends a field of `size` bytes that the linker fills in.
    fn reference(&mut self, size: usize, kind: u32, symbol: u32, addend: u64) {
        push_rela(&mut self.rela, self.bytes.len() as u64, symbol, kind, addend as i64);
        self.bytes.resize(self.bytes.len() + size, 0);
    }

    fn finish(&self, elf: &mut elf::Writer, sections: (u32, u32)) {
        elf.fill(sections.0, &self.bytes);
        elf.fill(sections.1, &self.rela);
    }
}

fn fill_tables(
    options: &Options,
    side: Side,
    functions: &[Function],
    shared: &Shared,
    elf: &mut elf::Writer,
) {
    let (mut jumps, mut bugs, mut alternatives, mut index) =
        (Table::default(), Table::default(), Table::default(), Table::default());
    let mut replacement = Vec::new();
    for (n, function) in (0..).zip(functions) {
        let code = code(options, side, n);
        let text = function.text_symbol;
        let place = |offset: u32| function.offset + u64::from(offset);
        if n % 4 == 0 {
            jumps.reference(4, R_PC32, text, place(code.jump));
            jumps.reference(4, R_PC32, text, place(code.jump_target));
            jumps.reference(8, R_PC64, function.data_symbol, u64::from(n / 4 % 2));
        }
        if n % 2 == 1 {
            bugs.reference(4, R_PC32, text, place(code.trap));
            bugs.reference(4, R_PC32, function.strings_symbol, 0);
            bugs.bytes.extend_from_slice(&(n as u16).to_le_bytes());
            bugs.bytes.extend_from_slice(&(n as u16 % 3).to_le_bytes());
        }
        if n % 4 == 2 {
            alternatives.reference(4, R_PC32, text, place(code.alternative));
            let at = replacement.len() as u64;
            replacement.extend_from_slice(&[0x0f, 0xae, 0xe8]); // lfence
            alternatives.reference(4, R_PC32, shared.replacement_symbol, at);
            alternatives.bytes.extend_from_slice(&(3 * 32 + n % 32).to_le_bytes());
            alternatives.bytes.extend_from_slice(&[3, 3]);
        }
        if options.shared_names {
            index.reference(8, R_64, function.entry_symbol, 0);
        }
    }
    jumps.finish(elf, shared.jump_table);
    bugs.finish(elf, shared.bug_table);
    alternatives.finish(elf, shared.alternatives);
    elf.fill(shared.replacement, &replacement);
    if options.shared_names {
        index.finish(elf, shared.printk_index);
    }
}

/// Writes the symbol table of the running kernel the pair would belong to, as
/// `readelf -s --wide` prints it: the symbols of the original object, file by
/// file, between [`Options::padding`] symbols of other files. Every sixteenth of
/// those has the name of a function of the object.
pub fn parent_symtab(options: &Options, out: &mut impl Write) -> io::Result<()> {
    let mut lines = Lines { out, count: 0, address: 0xffff_ffff_8100_0000 };
    writeln!(lines.out, "\nSymbol table '.symtab' contains several entries:")?;
    writeln!(lines.out, "   Num:    Value          Size Type    Bind   Vis      Ndx Name")?;
    lines.line("NOTYPE", "LOCAL", "UND", "")?;
    let files = options.functions.div_ceil(FILE_FUNCTIONS);
    let mut padding = 0;
    for file in 0..files {
        let due = u64::from(options.padding) * u64::from(file + 1) / u64::from(files);
        if padding < due as u32 {
            lines.line("FILE", "LOCAL", "ABS", &format!("filler{file}.c"))?;
        }
        while padding < due as u32 {
            let name = match padding % 16 {
                7 => format!("f{}", padding % options.functions),
                _ => format!("filler_{padding}"),
            };
            lines.line("FUNC", "LOCAL", "1", &name)?;
            padding += 1;
        }
        lines.line("FILE", "LOCAL", "ABS", &format!("file{file}.c"))?;
        let first = file * FILE_FUNCTIONS;
        for n in first..(first + FILE_FUNCTIONS).min(options.functions) {
            let mut local = |kind| {
                let name = options.static_name(Side::Original, n, kind);
                lines.line("OBJECT", "LOCAL", "2", &name)
            };
            local(0)?;
            local(3)?;
            if options.shared_names {
                local(2)?;
                local(1)?;
            }
            if !is_global(n) {
                lines.line("FUNC", "LOCAL", "1", &format!("f{n}"))?;
                lines.line("OBJECT", "LOCAL", "2", &format!("v{n}"))?;
            }
        }
    }
    for n in (0..options.functions).filter(|&n| is_global(n)) {
        lines.line("FUNC", "GLOBAL", "1", &format!("f{n}"))?;
        lines.line("OBJECT", "GLOBAL", "2", &format!("v{n}"))?;
    }
    lines.line("FUNC", "GLOBAL", "1", "__fentry__")?;
    lines.line("FUNC", "GLOBAL", "1", "_printk")
}

struct Lines<'a, W> {
    out: &'a mut W,
    count: u32,
    address: u64,
}

impl<W: Write> Lines<'_, W> {
    fn line(&mut self, kind: &str, bind: &str, section: &str, name: &str) -> io::Result<()> {
        let (address, size) =
            if matches!(section, "ABS" | "UND") { (0, 0) } else { (self.address, 64) };
        self.address += size;
        let number = self.count;
        self.count += 1;
        writeln!(
            self.out,
            "{number:>6}: {address:016x} {size:>5} {kind:<7} {bind:<6} DEFAULT {section:>4} {name}"
        )
    }
}
