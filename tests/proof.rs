//! Outputs are proved before they are published: whatever is altered in one behind the
//! builder's back, the proof alone must notice.
//!
//! Everything is altered that the model of an output has: each header of a section, each byte,
//! each field of each relocation and of each symbol; rows of tables are dropped and doubled. The
//! few things that mean nothing are listed in [`means_nothing`].

#[path = "common/suite.rs"]
mod suite;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use klp_diff::diag::{Code, Result};
use klp_diff::elf::abi;
use klp_diff::elf::ids::Patched;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::{OutHome, OutObject, OutSymbolIndex};
use klp_diff::elf::write::write;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::patch::convert::{ConvertOptions, convert};
use klp_diff::patch::klp_build::to_klp_build;
use klp_diff::patch::module::link::{Prepare, finish, prepare};
use klp_diff::prove::{prove_klp, prove_linked};
use klp_diff::{Input, Job, ParentFiles, proved};

#[path = "common/patch.rs"]
mod patch;

const OPTIONS: &str = "-c -O2 -std=gnu11 -w -ffunction-sections -fdata-sections -pg -mfentry \
    -fno-pic -mcmodel=kernel -mno-red-zone -fno-stack-protector -fno-asynchronous-unwind-tables \
    -fcf-protection=none -fno-builtin -mgeneral-regs-only";

const SOURCE: &str = r#"
extern int ext(int, const char *, ...);
extern int exported(int), weak(int) __attribute__((weak));
extern int key;
static int state;
int global_state;
static const int odd[] = { 3, 1, 4, 1, 5, 9, 2, 6 };

__attribute__((noinline)) static int untouched(int x) { return ext(x, "same") + state; }
int caller(int x) { return untouched(x + 1) + global_state++; }

#ifdef PATCHED
int fresh_state = 7;
__attribute__((noinline)) int fresh(int x) { return ext(x, "new", &fresh_state) ^ 5; }
#endif

int changed(int x)
{
	asm volatile("1: ud2\n.pushsection __bug_table,\"aw\"\n.long 1b - .\n.long %c0 - .\n"
		     ".word 5\n.word 6\n.popsection" :: "i"(__FILE__));
	asm volatile("1: mov (%0), %%eax\n2:\n.pushsection __ex_table,\"a\"\n.long 1b - .\n"
		     ".long 2b - .\n.long 3\n.popsection" :: "r"(&global_state) : "eax");
	asm volatile("1: lock incl %0\n.pushsection .smp_locks,\"a\"\n.long 1b - .\n.popsection"
		     : "+m"(global_state));
	asm volatile("661: nop; nop; nop; nop; nop\n.pushsection .altinstructions,\"a\"\n"
		     ".long 661b - .\n.long 663f - .\n.long 11\n.byte 5, 5\n.popsection\n"
		     ".pushsection .altinstr_replacement,\"ax\"\n663: call ext\n.popsection");
	asm goto("1: .byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n.pushsection __jump_table,\"aw\"\n"
		 ".long 1b - .\n.long %l[out] - .\n.quad key - .\n.popsection" :::: out);
	switch (x) {
	case 0: return ext(1, "one");
	case 1: return caller(2);
	case 2: return weak(3);
	case 3: return exported(odd[x] + state);
	case 4: return ext(5, "five %d", &changed);
	case 5: return untouched(state++);
#ifdef PATCHED
	case 6: return fresh(x) + odd[x & 7];
#endif
	}
out:
	return global_state;
}
"#;

/// What is altered, and how: the kind of thing, where, and the altered object.
type Mutant = (&'static str, String, OutObject);

/// All ways to alter an object.
fn mutants(object: &OutObject) -> Vec<Mutant> {
    let mut all = Vec::new();
    let mut add = |kind, at: String, alter: &dyn Fn(&mut OutObject)| {
        let mut mutant = object.clone();
        alter(&mut mutant);
        if mutant != *object {
            all.push((kind, at, mutant));
        }
    };
    add("flags of the file", String::new(), &|o| o.flags ^= 1);
    add("kind of file", String::new(), &|o| o.kind = 2);
    for (i, section) in object.sections.iter().enumerate() {
        let name = section.name.clone();
        add("name of a section", name.clone(), &|o| o.sections[i].name.push('x'));
        add("type of a section", name.clone(), &|o| o.sections[i].kind = abi::SHT_NOTE);
        for bit in [
            abi::SHF_WRITE,
            abi::SHF_ALLOC,
            abi::SHF_EXECINSTR,
            abi::SHF_MERGE,
            abi::SHF_STRINGS,
            abi::SHF_GROUP,
        ] {
            add("flag of a section", format!("{name} {bit:#x}"), &|o| o.sections[i].flags ^= bit);
        }
        add("alignment", name.clone(), &|o| o.sections[i].align *= 2);
        add("alignment", name.clone(), &|o| o.sections[i].align /= 2);
        add("size of entries", name.clone(), &|o| o.sections[i].entsize += 1);
        for at in 0..section.data.len() {
            add("byte", format!("{name}+{at:#x}"), &|o| o.sections[i].data[at] ^= 0x10);
        }
        add("last byte", name.clone(), &|o| {
            o.sections[i].data.pop();
            o.sections[i].size = o.sections[i].data.len() as u64;
        });
        for (t, table) in section.relocs.iter().enumerate() {
            add("flag of a relocation table", name.clone(), &|o| {
                o.sections[i].relocs[t].flags ^= abi::SHF_ALLOC
            });
            for (e, entry) in table.entries.iter().enumerate() {
                let at = format!("{name}+{:#x}", entry.offset);
                add("relocation dropped", at.clone(), &|o| {
                    o.sections[i].relocs[t].entries.remove(e);
                });
                add("relocation doubled", at.clone(), &|o| {
                    o.sections[i].relocs[t].entries.insert(e, *entry);
                });
                let with = |alter: &dyn Fn(&mut klp_diff::elf::out::OutReloc)| {
                    let mut o = object.clone();
                    alter(&mut o.sections[i].relocs[t].entries[e]);
                    o
                };
                for (kind, mutant) in [
                    ("place of a relocation", with(&|r| r.offset += 1)),
                    ("type of a relocation", with(&|r| r.kind = if r.kind == 1 { 10 } else { 1 })),
                    ("addend", with(&|r| r.addend += 4)),
                    ("target: none", with(&|r| r.symbol = None)),
                    (
                        "target: another",
                        with(&|r| {
                            let index = r.symbol.map_or(0, |s| s.index() + 1);
                            r.symbol = Some(OutSymbolIndex::new(index % object.symbols.len()));
                        }),
                    ),
                ] {
                    add(kind, at.clone(), &|o| *o = mutant.clone());
                }
            }
        }
        for row in rows(&section.name, section.size) {
            let at = format!("{name} {row:?}");
            add("row dropped", at.clone(), &|o| drop_row(o, i, row));
            add("row doubled", at.clone(), &|o| double_row(o, i, row));
        }
    }
    for (i, symbol) in object.symbols.iter().enumerate() {
        let name = format!("{} {:?}", symbol.name, symbol.kind);
        add("name of a symbol", name.clone(), &|o| o.symbols[i].name.push('x'));
        for bind in [abi::STB_LOCAL, abi::STB_GLOBAL, abi::STB_WEAK] {
            add("binding of a symbol", format!("{name} {bind}"), &|o| o.symbols[i].bind = bind);
        }
        add("type of a symbol", name.clone(), &|o| {
            o.symbols[i].kind =
                if symbol.kind == abi::STT_FUNC { abi::STT_OBJECT } else { abi::STT_FUNC };
        });
        add("visibility of a symbol", name.clone(), &|o| o.symbols[i].other ^= 2);
        add("size of a symbol", name.clone(), &|o| o.symbols[i].size += 1);
        add("value of a symbol", name.clone(), &|o| o.symbols[i].value += 1);
        add("section of a symbol", name.clone(), &|o| {
            o.symbols[i].home = match symbol.home {
                OutHome::Section(s) => OutHome::Section((s + 1) % object.sections.len()),
                _ => OutHome::Section(0),
            };
        });
        add("symbol made undefined", name.clone(), &|o| o.symbols[i].home = OutHome::Undefined);
        add("symbol with a value only", name, &|o| {
            o.symbols[i].home = OutHome::Reserved(abi::SHN_ABS)
        });
    }
    all
}

/// The rows of a table.
fn rows(name: &str, size: u64) -> Vec<(u64, u64)> {
    let row = match name {
        "__bug_table" | "__ex_table" => 12,
        ".altinstructions" => 14,
        ".smp_locks" => 4,
        "__jump_table" => 16,
        ".kpatch.funcs" => 56,
        "__mcount_loc" => 8,
        ".init.klp_funcs" => 24,
        ".init.klp_objects" => 64,
        "__klp_relocs.vmlinux" => 24,
        _ => return Vec::new(),
    };
    (0..size).step_by(row).map(|at| (at, at + row as u64)).collect()
}

fn drop_row(object: &mut OutObject, section: usize, (start, end): (u64, u64)) {
    let section = &mut object.sections[section];
    section.data.drain(start as usize..end as usize);
    section.size = section.data.len() as u64;
    for table in &mut section.relocs {
        table.entries.retain(|e| !(start..end).contains(&e.offset));
        table.entries.iter_mut().filter(|e| e.offset >= end).for_each(|e| e.offset -= end - start);
    }
}

fn double_row(object: &mut OutObject, section: usize, (start, end): (u64, u64)) {
    let section = &mut object.sections[section];
    let row = section.data[start as usize..end as usize].to_vec();
    let shift = section.size - start;
    section.data.extend(row);
    section.size = section.data.len() as u64;
    for table in &mut section.relocs {
        let more: Vec<_> =
            table.entries.iter().filter(|e| (start..end).contains(&e.offset)).copied().collect();
        table.entries.extend(more.into_iter().map(|mut e| {
            e.offset += shift;
            e
        }));
    }
}

/// What may be altered, since nobody reads it: names of files, values and sizes of what another
/// object defines, and symbols that no relocation uses; where in the pool of names one is not read;
/// flags of a section that no program looks at in a module.
fn means_nothing(object: &OutObject, kind: &str, at: &str) -> bool {
    // The drop-in carries the strings of all functions; nothing of the patch refers to these.
    if kind == "flag of a section" && at.starts_with(".rodata.untouched.") {
        return true;
    }
    let symbol =
        |s: &&klp_diff::elf::out::OutSymbol| at.starts_with(&format!("{} {:?}", s.name, s.kind));
    // Of the names in kpatch's tables that livepatch resolves the kernel's flavour keeps the text.
    let is_klp = !object.sections.iter().any(|s| s.name == ".kpatch.symbols");
    if is_klp && at.starts_with(".kpatch.strings") && ["byte", "last byte"].contains(&kind) {
        return true;
    }
    let of_symbol = kind.contains("symbol");
    let found = object.symbols.iter().find(symbol);
    if let (true, Some(symbol)) = (of_symbol, found) {
        let outside = symbol.home == OutHome::Undefined;
        let file = symbol.kind == abi::STT_FILE;
        let section = symbol.kind == abi::STT_SECTION;
        return file
            || section
            || outside
                && [
                    "value of a symbol",
                    "size of a symbol",
                    "type of a symbol",
                    "visibility of a symbol",
                ]
                .contains(&kind);
    }
    false
}

/// Alters everything, and says what was not noticed.
fn judge(
    object: &OutObject,
    proof: &dyn Fn(&[u8]) -> Result<()>,
) -> (BTreeMap<&'static str, usize>, String) {
    proof(&write(object).expect("writes")).expect("what was built is proved");
    let (mut caught, mut missed) = (BTreeMap::new(), String::new());
    for (kind, at, mutant) in mutants(object) {
        // What cannot be written cannot be published.
        let Ok(bytes) = write(&mutant) else { continue };
        match proof(&bytes) {
            Err(error) => {
                assert_eq!(error.code(), Code::UnprovedOutput, "{kind} {at}: {error}");
                *caught.entry(kind).or_default() += 1;
            }
            Ok(()) if means_nothing(object, kind, &at) => {}
            Ok(()) => writeln!(missed, "{kind}: {at}").expect("writes"),
        }
    }
    (caught, missed)
}
/// What is left without that which the link of a module may change: how sections are called and
/// merged, how far they are aligned, and what no relocation refers to.
fn by_the_link(missed: &str) -> String {
    let may_change = |line: &&str| {
        let Some((kind, at)) = line.split_once(": ") else { return false };
        let merged = [abi::SHF_WRITE, abi::SHF_MERGE, abi::SHF_STRINGS, abi::SHF_GROUP];
        // Labels are no functions, and a strong reference elsewhere makes a weak one strong.
        let symbol = kind.contains("symbol") && (at.starts_with(".L") || at == "weak 0 1");
        symbol
            || ["name of a section", "size of entries", "alignment"].contains(&kind)
            || kind == "flag of a section"
                && merged.iter().any(|f| at.ends_with(&format!(" {f:#x}")))
    };
    missed.lines().filter(|line| !may_change(line)).map(|line| format!("{line}\n")).collect()
}

fn whatever_is_altered_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file.c"), SOURCE).expect("writes");
    let build = |define| patch::compile("gcc", OPTIONS, folder.path(), define);
    let (Some(orig), Some(patched)) = (build("ORIG"), build("PATCHED")) else { return };
    let table =
        std::process::Command::new("readelf").arg("-sW").arg(folder.path().join("ORIG")).output();
    let mut table = String::from_utf8_lossy(&table.expect("readelf runs").stdout).into_owned();
    // Of a name that is there twice the position counts.
    table +=
        "  90: 0 0 FILE LOCAL DEFAULT ABS other.c\n  91: ffff0000 4 OBJECT LOCAL DEFAULT 1 state\n";
    table += "  92: ffff0010 4 OBJECT GLOBAL DEFAULT 1 key\n  93: ffff0020 4 FUNC GLOBAL DEFAULT 1 ext\n";
    table += "  94: ffff0030 4 FUNC GLOBAL DEFAULT 1 exported\n";
    let sizes = [("BUG", 12), ("EX", 12), ("ALT", 14), ("JUMP", 16)];
    let sizes = sizes.map(|(name, size)| (format!("{name}_STRUCT_SIZE"), size.to_string()));
    for (drop_in, remade) in [(false, false), (true, false), (false, true)] {
        let job = Job {
            parent: Some(ParentFiles {
                name: "vmlinux",
                symtab: Input { name: "symtab", data: &table },
                symvers: Input { name: "symvers", data: "0x0\texported\tvmlinux\tEXPORT_SYMBOL\n" },
                image: None,
                strict: false,
                pointers: Default::default(),
                known: None,
            }),
            sizes: StructSizes::new(sizes.clone(), false),
            policy: if drop_in { klp_diff::Policy::KPATCH } else { klp_diff::Policy::NATIVE },
            context: klp_diff::PatchContext { remade, ..Default::default() },
            ..Job::new(
                Input { name: "orig.o", data: &orig },
                Input { name: "patched.o", data: &patched },
            )
        };
        let done = proved(&job, |draft, proof| {
            let object = draft.finish();
            if remade {
                let object = to_klp_build(object, "vmlinux")?;
                let (caught, missed) = judge(&object, proof);
                assert!(missed.is_empty(), "not noticed, klp-build:\n{missed:.3000}");
                println!("klp-build: {caught:?}");
                return Ok(());
            }
            let (caught, missed) = judge(&object, proof);
            assert!(missed.is_empty(), "not noticed, drop-in {drop_in}:\n{missed:.3000}");
            for kind in ["row dropped", "row doubled", "byte", "addend", "binding of a symbol"] {
                assert!(caught.contains_key(kind), "{kind}: nothing was altered");
            }
            println!("kpatch flavour, drop-in {drop_in}: {caught:?}");
            let options = ConvertOptions { klp_arch_sections: false };
            let klp = convert(object.clone(), &options, None)?;
            let (caught, missed) = judge(&klp, proof);
            assert!(missed.is_empty(), "not noticed, drop-in {drop_in}:\n{missed:.3000}");
            println!("klp flavour, drop-in {drop_in}: {caught:?}");
            if !drop_in {
                let module = finish(prepare(object.clone(), Prepare::default())?)?;
                let parts = std::slice::from_ref(&object);
                let (caught, missed) = judge(&module, &|bytes| prove_linked(bytes, parts, false));
                let missed = by_the_link(&missed);
                assert!(missed.is_empty(), "not noticed, linked module:\n{missed:.3000}");
                println!("linked module: {caught:?}");
            }
            let input = write(&object)?;
            let (caught, missed) = judge(&klp, &|bytes| prove_klp(&input, bytes));
            assert!(missed.is_empty(), "not noticed, create-klp-module:\n{missed:.3000}");
            println!("create-klp-module: {caught:?}");
            Ok(())
        });
        done.outcome.patch().expect("builds").expect("changes");
    }
}

/// clang ends `__cfi_f` with the hash of the type; objtool lets it reach up to the function.
fn a_prefix_may_grow_up_to_its_function() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "__asm__(\".section .text.f,\\\"ax\\\"\\n .type __cfi_f,@function\\n .globl __cfi_f\\n __cfi_f: .skip 16, 0x90\\n\"
        \".size __cfi_f, 5\\n .type f,@function\\n .globl f\\n f: mov $1,%eax\\n ret\\n .size f,.-f\\n\");\n";
    std::fs::write(folder.path().join("file.c"), text).expect("written");
    let Some(bytes) = patch::compile("gcc", "-c -w", folder.path(), "NOTHING") else { return };
    let object = Object::<Patched>::parse("file.o", &bytes).expect("well-formed");
    let part = OutObject::from_object(&object).expect("plain");
    let proved = |name: &str, size: u64| {
        let mut module = part.clone();
        let mut symbols = module.symbols.iter_mut();
        symbols.find(|s| s.name == name).expect("a symbol").size = size;
        prove_linked(&write(&module).expect("writes"), std::slice::from_ref(&part), false)
    };
    proved("__cfi_f", 5).expect("as it was");
    proved("__cfi_f", 16).expect("up to the function");
    for size in [0, 4, 6, 15, 17, 22] {
        proved("__cfi_f", size).expect_err("no other size");
    }
    proved("f", 16).expect_err("a function does not grow");
}

fn main() -> std::process::ExitCode {
    suite::run(&[
        ("a_prefix_may_grow_up_to_its_function", a_prefix_may_grow_up_to_its_function),
        ("whatever_is_altered_is_noticed", whatever_is_altered_is_noticed),
    ])
}
