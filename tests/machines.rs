//! What each machine treats in its own way, on small objects made by hand.

use klp_diff::diag::{Code, Result};
use klp_diff::elf::abi;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::{
    OutHome, OutObject, OutReloc, OutRelocs, OutSection, OutSymbol, OutSymbolIndex,
};
use klp_diff::elf::write::write;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::report::canon;
use klp_diff::{Input, Job, ParentFiles, run};

/// A machine with the entry of a function that ftrace can hook.
struct Machine {
    number: u16,
    big_endian: bool,
    entry: &'static [u8],
    /// The relocation of the entry: offset, type, symbol.
    hook: Option<(u64, u32, &'static str)>,
    /// Type of pointers in `__patchable_function_entries`, if that says what can be hooked.
    pointer: Option<u32>,
}

const X86_64: Machine = Machine {
    number: abi::EM_X86_64,
    big_endian: false,
    entry: &[0xe8, 0, 0, 0, 0],
    hook: Some((1, 4, "__fentry__")),
    pointer: None,
};
const AARCH64: Machine = Machine {
    number: abi::EM_AARCH64,
    big_endian: false,
    entry: &[0x1f, 0x20, 0x03, 0xd5, 0x1f, 0x20, 0x03, 0xd5],
    hook: None,
    pointer: Some(257),
};
const POWERPC64: Machine = Machine {
    number: abi::EM_PPC64,
    big_endian: false,
    entry: &[0xa6, 0x02, 0x08, 0x7c, 0x01, 0, 0, 0x48],
    hook: Some((4, 10, "_mcount")),
    pointer: None,
};
const S390X: Machine = Machine {
    number: abi::EM_S390,
    big_endian: true,
    entry: &[0xc0, 0x04, 0, 0, 0, 0],
    hook: None,
    pointer: None,
};
const LOONGARCH64: Machine = Machine {
    number: abi::EM_LOONGARCH,
    big_endian: false,
    entry: &[0, 0, 0x40, 0x03, 0, 0, 0x40, 0x03],
    hook: None,
    pointer: Some(2),
};
const MACHINES: [Machine; 5] = [X86_64, AARCH64, POWERPC64, S390X, LOONGARCH64];

/// An object under construction.
struct Build<'m> {
    machine: &'m Machine,
    object: OutObject,
}

impl<'m> Build<'m> {
    fn new(machine: &'m Machine) -> Self {
        let object = OutObject {
            big_endian: machine.big_endian,
            kind: abi::ET_REL,
            machine: machine.number,
            ..OutObject::default()
        };
        let mut build = Build { machine, object };
        build.symbol("a.c", abi::STT_FILE, abi::STB_LOCAL, OutHome::Reserved(abi::SHN_ABS));
        build
    }

    fn symbol(&mut self, name: &str, kind: u8, bind: u8, home: OutHome) -> usize {
        let name = name.to_owned();
        self.object.symbols.push(OutSymbol { name, kind, bind, other: 0, home, value: 0, size: 0 });
        self.object.symbols.len() - 1
    }

    /// The symbol called `name`; an undefined global one is made where there is none.
    fn find(&mut self, name: &str) -> usize {
        let found = self.object.symbols.iter().position(|s| s.name == name);
        found.unwrap_or_else(|| {
            self.symbol(name, abi::STT_NOTYPE, abi::STB_GLOBAL, OutHome::Undefined)
        })
    }

    fn section(&mut self, name: &str, flags: u64, data: &[u8]) -> usize {
        self.object.sections.push(OutSection {
            name: name.to_owned(),
            kind: abi::SHT_PROGBITS,
            flags: abi::SHF_ALLOC | flags,
            align: 8,
            data: data.to_vec(),
            size: data.len() as u64,
            ..OutSection::default()
        });
        self.object.sections.len() - 1
    }

    fn section_symbol(&mut self, section: usize) -> usize {
        let home = OutHome::Section(section);
        let found =
            self.object.symbols.iter().position(|s| s.kind == abi::STT_SECTION && s.home == home);
        found.unwrap_or_else(|| self.symbol("", abi::STT_SECTION, abi::STB_LOCAL, home))
    }

    fn reloc(&mut self, section: usize, offset: u64, kind: u32, symbol: usize, addend: i64) {
        let section = &mut self.object.sections[section];
        if section.relocs.is_empty() {
            section.relocs.push(OutRelocs {
                name: format!(".rela{}", section.name),
                flags: abi::SHF_INFO_LINK,
                entries: Vec::new(),
            });
        }
        let entry = OutReloc { offset, kind, symbol: Some(OutSymbolIndex::new(symbol)), addend };
        section.relocs[0].entries.push(entry);
    }

    /// A global function that can be hooked: its entry, then `code`. `references` have
    /// offsets from the start of `code`. Returns its section.
    fn function(&mut self, name: &str, code: &[u8], references: &[(u64, u32, &str, i64)]) -> usize {
        let entry = self.machine.entry;
        let data = [entry, code].concat();
        let section = self.section(&format!(".text.{name}"), abi::SHF_EXECINSTR, &data);
        let symbol = self.symbol(name, abi::STT_FUNC, abi::STB_GLOBAL, OutHome::Section(section));
        self.object.symbols[symbol].size = data.len() as u64;
        if let Some((offset, kind, callee)) = self.machine.hook {
            let callee = self.find(callee);
            self.reloc(section, offset, kind, callee, 0);
        }
        for &(offset, kind, target, addend) in references {
            let target = self.find(target);
            self.reloc(section, entry.len() as u64 + offset, kind, target, addend);
        }
        if let Some(pointer) = self.machine.pointer {
            let table = self.section("__patchable_function_entries", abi::SHF_WRITE, &[0; 8]);
            self.reloc(table, 0, pointer, symbol, 0);
        }
        section
    }

    fn bytes(&self) -> Vec<u8> {
        write(&self.object).unwrap()
    }
}

/// Global symbols of vmlinux.
fn symtab(names: &[&str]) -> String {
    let mut text = String::from(
        "Symbol table '.symtab' contains 9 entries:\n   Num:    Value          Size Type    Bind   Vis      Ndx Name\n     1: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS a.c\n",
    );
    for (i, name) in names.iter().enumerate() {
        text += &format!(
            "{:6}: {:016x}    64 FUNC    GLOBAL DEFAULT    1 {name}\n",
            i + 2,
            4096 * (i + 1)
        );
    }
    text
}

struct Pair {
    orig: Vec<u8>,
    patched: Vec<u8>,
    symtab: String,
    symvers: &'static str,
    sizes: &'static [(&'static str, &'static str)],
    klp_arch: bool,
}

impl Pair {
    /// A pair of objects that `make` builds, the patched one with `true`.
    fn new<'m>(machine: &'m Machine, names: &[&str], make: impl Fn(&mut Build<'m>, bool)) -> Pair {
        let [orig, patched] = [false, true].map(|patched| {
            let mut build = Build::new(machine);
            make(&mut build, patched);
            build.bytes()
        });
        Pair { orig, patched, symtab: symtab(names), symvers: "", sizes: &[], klp_arch: false }
    }

    /// The canonical lines of the output; none when nothing changed.
    fn diff(&self) -> Result<Vec<String>> {
        let sizes = self.sizes.iter().map(|&(name, size)| (name.to_owned(), size.to_owned()));
        let job = Job {
            orig: Input { name: "orig.o", data: &self.orig },
            patched: Input { name: "patched.o", data: &self.patched },
            parent: Some(ParentFiles {
                name: "vmlinux",
                symtab: Input { name: "symtab", data: &self.symtab },
                symvers: Input { name: "symvers", data: self.symvers },
                image: None,
                strict: false,
                pointers: Default::default(),
                known: None,
            }),
            sizes: StructSizes::new(sizes, false),
            policy: klp_diff::Policy::KPATCH,
            klp_arch: self.klp_arch,
            context: Default::default(),
            wanted: Default::default(),
            progress: Default::default(),
        };
        let Some(output) = run(&job).outcome.patch()? else { return Ok(Vec::new()) };
        let bytes = write(&output)?;
        canon::canonical(&Object::<Patched>::parse("out.o", &bytes)?)
    }
}

fn has(lines: &[String], parts: &[&str]) -> bool {
    lines.iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

fn check(lines: &[String], parts: &[&str], wanted: bool) {
    assert_eq!(has(lines, parts), wanted, "{parts:?} in {lines:#?}");
}

#[test]
fn other_byte_orders_are_refused() {
    for machine in MACHINES {
        let other = Machine { big_endian: !machine.big_endian, ..machine };
        let error = Pair::new(&other, &["f"], |b, _| {
            b.function("f", &[0; 8], &[]);
        })
        .diff()
        .unwrap_err();
        assert!(error.message().contains("-endian"), "{error}");
        assert_eq!(error.code(), Code::UnsupportedMachine);
        assert_eq!(error.place().file.as_deref(), Some("orig.o"));
    }
}

#[test]
fn a_finished_livepatch_is_no_input() {
    let pair = Pair::new(&X86_64, &["f"], |build, _| {
        let section = build.function("f", &[0x90; 8], &[]);
        build.object.sections[section].relocs.push(OutRelocs {
            name: ".klp.rela.vmlinux..text.f".to_owned(),
            flags: abi::SHF_ALLOC | abi::SHF_INFO_LINK | abi::SHF_RELA_LIVEPATCH,
            entries: vec![OutReloc {
                offset: 6,
                kind: 2,
                symbol: Some(OutSymbolIndex::new(0)),
                addend: 0,
            }],
        });
    });
    assert_eq!(pair.diff().unwrap_err().code(), Code::FinishedLivepatch);
}

/// Every machine: a call of a function that only vmlinux has is resolved by livepatch, in the
/// tables' byte order; what vmlinux exports, and what it does not have, by others.
#[test]
fn calls() {
    for (machine, kind) in
        [(X86_64, 4), (AARCH64, 283), (POWERPC64, 10), (S390X, 20), (LOONGARCH64, 66)]
    {
        let mut pair = Pair::new(&machine, &["f", "hidden", "exported"], |build, patched| {
            let code: &[u8] = if patched { &[0; 32] } else { &[0; 24] };
            let calls =
                [(8, kind, "hidden", 0), (12, kind, "exported", 0), (16, kind, "unknown", 0)];
            build.function("f", code, &calls);
        });
        pair.symvers = "0x0\texported\tvmlinux\tEXPORT_SYMBOL\t\n";
        let lines = pair.diff().unwrap();
        let entry = machine.entry.len() as i64;
        check(
            &lines,
            &[
                &format!("klprela dest=sec:.text.f{:+} type={kind} ext=0 addend=0", entry + 8),
                "ksym(str:\"hidden\",str:\"vmlinux\",pos=0,src=0x2000,",
            ],
            true,
        );
        check(&lines, &["klprela", "exported"], false);
        check(&lines, &["klprela", "unknown"], false);
        let new = format!("new_size={} old_addr=0x1000 old_size=64", entry + 32);
        check(&lines, &["func name=str:\"f\" obj=str:\"vmlinux\" new=f+0", &new], true);
    }
}

/// Each module has its own copies of the expoline thunks (arch/s390/lib/expoline.S).
#[test]
fn expolines_stay_with_the_linker() {
    let lines =
        Pair::new(&S390X, &["f", "__s390_indirect_jump_r14", "helper"], |build, patched| {
            let code: &[u8] = if patched { &[7; 24] } else { &[7; 18] };
            let calls = [(2, 20, "__s390_indirect_jump_r14", 2), (8, 20, "helper", 2)];
            build.function("f", code, &calls);
        })
        .diff()
        .unwrap();
    check(&lines, &["klprela", "str:\"helper\""], true);
    check(&lines, &["klprela", "__s390_indirect_jump_r14"], false);
    check(&lines, &["rela .text.f+0x8 type=20 __s390_indirect_jump_r14+2"], true);
}

/// Types that are about the module's own TOC or its own place (powerpc64 ELF ABI, 3.5.4).
#[test]
fn toc_arithmetic_stays_with_the_linker() {
    let names = ["f", "target"];
    for (kind, moves) in [(252, false), (250, false), (118, false), (44, false), (10, true)] {
        let lines = Pair::new(&POWERPC64, &names, |build, patched| {
            let code: &[u8] = if patched { &[0; 24] } else { &[0; 16] };
            build.function("f", code, &[(8, kind, "target", 0)]);
        })
        .diff()
        .unwrap();
        check(&lines, &["klprela", "str:\"target\""], moves);
        check(&lines, &["rela .text.f+0x10", "target+0"], !moves);
    }
}

/// Rows of `__jump_table` are the exception: the kernel itself reads the distance to the key
/// (include/linux/jump_label.h).
#[test]
fn keys_of_jump_labels_move() {
    let mut pair = Pair::new(&POWERPC64, &["f", "key"], |build, patched| {
        let code: &[u8] = if patched { &[0; 24] } else { &[0; 16] };
        let text = build.function("f", code, &[]);
        let table = build.section("__jump_table", abi::SHF_WRITE, &[0; 16]);
        let (code, key) = (build.section_symbol(text), build.find("key"));
        build.reloc(table, 0, 26, code, 8);
        build.reloc(table, 4, 26, code, 12);
        build.reloc(table, 8, 44, key, 0);
    });
    pair.sizes = &[("JUMP_STRUCT_SIZE", "16")];
    let lines = pair.diff().unwrap();
    check(&lines, &["klprela dest=sec:__jump_table+8 type=44", "str:\"key\""], true);

    // -a: such kernels cannot handle the table.
    pair.klp_arch = true;
    let error = pair.diff().unwrap_err();
    assert_eq!(
        error.message(),
        "Found 1 unsupported jump label(s) in the patched code. Use static_key_enabled() instead."
    );
    assert!(error.details()[0].contains("Jump labels aren't supported with this kernel."));
}

/// Of a callee with a local entry point (powerpc64 ELF ABI, st_other), the linker cannot know that
/// its TOC is another one.
#[test]
fn local_entries() {
    for (other, moves) in [(0x60, true), (0, false)] {
        let mut pair = Pair::new(&POWERPC64, &["f", "callee"], |build, patched| {
            let toc = [0; 8];
            let body = [POWERPC64.entry, &[0; 16]].concat();
            let data = if other == 0 { body } else { [&toc[..], &[0; 8], &body].concat() };
            let section = build.section(".text.callee", abi::SHF_EXECINSTR, &data);
            let callee =
                build.symbol("callee", abi::STT_FUNC, abi::STB_GLOBAL, OutHome::Section(section));
            let symbol = &mut build.object.symbols[callee];
            symbol.other = other;
            symbol.value = if other == 0 { 0 } else { 8 };
            symbol.size = data.len() as u64 - symbol.value;
            let value = symbol.value as i64;
            let code: &[u8] = if patched { &[0; 24] } else { &[0; 16] };
            let text = build.function("f", code, &[]);
            let through_section = build.section_symbol(section);
            build.reloc(text, 16, 10, through_section, value);
        });
        pair.symvers = "0x0\tcallee\tvmlinux\tEXPORT_SYMBOL\t\n";
        let lines = pair.diff().unwrap();
        check(&lines, &["klprela dest=sec:.text.f+16 type=10 ext=0 addend=0", "callee"], moves);
        check(&lines, &["rela .text.f+0x10 type=10 callee+0"], !moves);
        check(&lines, &["symbol callee", "in=UND"], !moves);
    }
}

/// A pointer to a changed function must lead to the original, which
/// ftrace redirects, where the machine tells pointers from calls.
#[test]
fn pointers_to_changed_functions() {
    for (machine, kind, addend, moves) in [
        (X86_64, 11, 0, true),
        (X86_64, 2, 0, false),
        (S390X, 26, 2, true),
        (S390X, 19, 2, false),
        (AARCH64, 275, 0, false),
        (LOONGARCH64, 71, 0, false),
    ] {
        let lines = Pair::new(&machine, &["f", "g"], |build, patched| {
            let code: &[u8] = if patched { &[0; 24] } else { &[0; 16] };
            build.function("g", code, &[]);
            build.function("f", code, &[(8, kind, "g", addend)]);
        })
        .diff()
        .unwrap();
        check(&lines, &["klprela", &format!("type={kind}"), "str:\"g\""], moves);
        check(&lines, &["rela .text.f+", &format!("type={kind} g{addend:+}")], !moves);
    }
}

/// On powerpc64 the pointer is in a TOC slot.
#[test]
fn pointers_in_the_toc() {
    let lines = Pair::new(&POWERPC64, &["f", "g"], |build, patched| {
        let code: &[u8] = if patched { &[0; 24] } else { &[0; 16] };
        build.function("g", code, &[]);
        let toc = build.section(".toc", abi::SHF_WRITE, &[0; 8]);
        let slot = build.section_symbol(toc);
        build.object.symbols[slot].name = ".toc".to_owned();
        let g = build.find("g");
        build.reloc(toc, 0, 38, g, 0);
        let f = build.function("f", code, &[]);
        build.reloc(f, 16, 50, slot, 0);
        build.reloc(f, 20, 64, slot, 0);
    })
    .diff()
    .unwrap();
    check(&lines, &["klprela dest=sec:.toc+0 type=38", "str:\"g\""], true);
    check(&lines, &["rela .text.f+0x10 type=50 sec:.toc+0"], true);
}

/// On LoongArch the places of unwind entries are not compared, since
/// linker relaxation may move them; what goes with the patch is still chosen.
#[test]
fn unwind_entries() {
    let make = |build: &mut Build<'_>, patched: bool, changed: bool| {
        let code: &[u8] = if patched && changed { &[0; 24] } else { &[0; 16] };
        let texts = [build.function("f", code, &[]), build.function("g", &[0; 16], &[])];
        build.section(".orc_unwind", 0, if patched { &[2; 12] } else { &[1; 12] });
        let places = build.section(".orc_unwind_ip", 0, &[0; 8]);
        for (i, text) in texts.into_iter().enumerate() {
            let symbol = build.section_symbol(text);
            let moved = if patched { 4 } else { 0 };
            build.reloc(places, 4 * i as u64, 99, symbol, moved);
        }
    };
    let pair = |changed: bool| {
        let mut pair =
            Pair::new(&LOONGARCH64, &["f", "g"], |build, patched| make(build, patched, changed));
        pair.sizes = &[("ORC_STRUCT_SIZE", "6")];
        pair.diff().unwrap()
    };
    assert_eq!(pair(false), [] as [String; 0]);
    let lines = pair(true);
    check(&lines, &["section .orc_unwind ", "size=6 "], true);
    check(&lines, &["section .orc_unwind_ip ", "size=4 "], true);
    check(&lines, &["rela .orc_unwind_ip+0x0 type=99 f+4"], true);
    check(&lines, &["rela .orc_unwind_ip+0x4"], false);
}

/// LoongArch's labels are places in sections.
#[test]
fn labels() {
    let pair = |name: &'static str| {
        Pair::new(&LOONGARCH64, &["f", "g"], |build, patched| {
            let f = build.function("f", &[0; 16], &[]);
            let label = if patched { name } else { ".LBB0_1" };
            let label = build.symbol(label, abi::STT_NOTYPE, abi::STB_LOCAL, OutHome::Section(f));
            build.object.symbols[label].value = 12;
            build.reloc(f, 8, 66, label, if patched && name == "elsewhere" { 4 } else { 0 });
        })
        .diff()
        .unwrap()
    };
    assert_eq!(pair(".LBB0_7"), [] as [String; 0]);
    check(&pair("elsewhere"), &["func name=str:\"f\""], true);
}

/// Kernels before 5.8 apply these sections per object (Documentation/livepatch/module-elf-format.rst
/// of 5.7).
#[test]
fn sections_of_klp_arch() {
    let mut pair = Pair::new(&X86_64, &["f"], |build, patched| {
        let code: &[u8] = if patched { &[0x90; 24] } else { &[0x90; 16] };
        let text = build.function("f", code, &[]);
        let symbol = build.section_symbol(text);
        let rows = build.section(".parainstructions", 0, &[0; 16]);
        build.reloc(rows, 0, 1, symbol, 8);
        let replacement = build.section(".altinstr_replacement", abi::SHF_EXECINSTR, &[0x90; 4]);
        let replacement = build.section_symbol(replacement);
        let rows =
            build.section(".altinstructions", 0, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 2]);
        build.reloc(rows, 0, 2, symbol, 8);
        build.reloc(rows, 4, 2, replacement, 0);
    });
    pair.sizes = &[("PARA_STRUCT_SIZE", "16"), ("ALT_STRUCT_SIZE", "14")];
    check(&pair.diff().unwrap(), &[".kpatch.arch"], false);
    pair.klp_arch = true;
    let lines = pair.diff().unwrap();
    for (row, section) in [(0, ".parainstructions"), (16, ".altinstructions")] {
        let place = format!("rela .kpatch.arch+{row:#x} type=1 sec:{section}+0");
        check(&lines, &[&place], true);
        let owner = format!("rela .kpatch.arch+{:#x} type=1 str:\"vmlinux\"", row + 8);
        check(&lines, &[&owner], true);
    }
}
