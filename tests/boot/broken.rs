//! Outputs that are broken on purpose. Something must notice: the tools, or the guest.

use std::fs;

use klp_diff::elf::ids::Patched;
use klp_diff::elf::image::Image;
use klp_diff::elf::object::Object;
use klp_diff::elf::out::{OutHome, OutObject, OutSymbolIndex};
use klp_diff::elf::publish::publish;
use klp_diff::kernel::knowledge::tables::StructSizes;
use klp_diff::patch::module::check::check;
use klp_diff::patch::module::kbuild::{Tools, build, write_sources};
use klp_diff::patch::module::link::{Prepare, finish, prepare};
use klp_diff::patch::module::tree::{KernelTree, exports};
use klp_diff::running::symtab::as_text;
use klp_diff::{Input, Job, ParentFiles};

use crate::Boot;
use crate::lab::{Fallible, Lab, Overlay};

/// One way to break an output.
pub struct Breakage {
    pub name: &'static str,
    how: How,
}

enum How {
    /// Nothing is broken: all must be well.
    Intact,
    /// The output of the comparison lacks these sections.
    Drop(&'static [&'static str]),
    /// The first row of `.kpatch.funcs` has this position.
    Position(u64),
    /// The first row of `.kpatch.symbols` has this position.
    SymbolPosition(u64),
    /// The linked module lacks, in turn, each of [`TABLES`].
    LoseEach,
}

const fn drop(name: &'static str, sections: &'static [&'static str]) -> Breakage {
    Breakage { name, how: How::Drop(sections) }
}

pub static ALL: [Breakage; 18] = [
    Breakage { name: "not-at-all", how: How::Intact },
    drop("without-funcs", &[".kpatch.funcs"]),
    drop("without-strings", &[".kpatch.strings"]),
    drop("without-symbols", &[".kpatch.symbols"]),
    drop("without-relocations", &[".kpatch.relocations"]),
    drop("without-ftrace-sites", &["__mcount_loc"]),
    drop("without-bug-table", &["__bug_table"]),
    drop("without-exception-table", &["__ex_table"]),
    drop("without-jump-table", &["__jump_table"]),
    drop("without-alternatives", &[".altinstructions"]),
    drop("without-static-call-sites", &[".static_call_sites"]),
    drop("without-call-sites", &[".call_sites"]),
    drop("without-return-sites", &[".return_sites"]),
    drop("without-unwind-tables", &[".orc_unwind", ".orc_unwind_ip"]),
    drop("without-debug-messages", &["__dyndbg"]),
    Breakage { name: "wrong-position", how: How::Position(7) },
    Breakage { name: "wrong-symbol-position", how: How::SymbolPosition(7) },
    Breakage { name: "table-lost-in-the-link", how: How::LoseEach },
];

/// Tables that the link must not lose.
const TABLES: [&str; 14] = [
    ".kpatch.funcs",
    ".kpatch.strings",
    "__mcount_loc",
    "__bug_table",
    "__jump_table",
    "__ex_table",
    ".altinstructions",
    ".altinstr_replacement",
    ".static_call_sites",
    ".call_sites",
    ".return_sites",
    ".orc_unwind_ip",
    "__dyndbg",
    ".modinfo",
];

/// Tables and the size of a row, whose rows the guest does not miss: calls of a trampoline and
/// of functions work without being rewritten. What the case's source has is in them.
const UNMISSED: [(&str, u64, u64); 2] = [(".static_call_sites", 8, 1), (".call_sites", 4, 12)];

const CASE: &str = "special-sections";
const OBJECT: &str = "fs/proc/uptime.o";

fn noticed(lab: &Lab, breakage: &Breakage) -> Fallible<std::result::Result<(), String>> {
    let case = lab.case(CASE);
    let output = compare(lab)?;
    let mut output = output;
    match breakage.how {
        How::Intact | How::LoseEach => {}
        How::Drop(names) => output = without(output, names)?,
        How::Position(position) => set(&mut output, ".kpatch.funcs", 32, position)?,
        How::SymbolPosition(position) => set(&mut output, ".kpatch.symbols", 8, position)?,
    }
    let tree = KernelTree::open(&lab.folder.join("kdir"))?;
    let options = Prepare {
        drop_sites: tree.objtool_makes_sites(),
        by_section: tree.objtool_is_late(),
        dead_end: None,
    };
    let rows: Vec<u64> = UNMISSED.iter().map(|&(t, row, _)| size_of(&output, t) / row).collect();
    let prepared = match prepare(output, options) {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Err(format!("before the link: {error}"))),
    };
    let folder = lab.fresh()?;
    let name = "livepatch_special_sections";
    let tools = Tools::default();
    let parts = [prepared];
    write_sources(&folder, name, &parts, &tools)?;
    let built = match build(&tree, &folder, name, &tools) {
        Ok(built) => built,
        Err(error) => return Ok(Err(format!("link: {error}"))),
    };
    let image = Image::open(&built.path)?;
    let linked = Object::<Patched>::parse("linked", image.bytes())?;
    let module = match OutObject::from_object(&linked).and_then(finish) {
        Ok(module) => module,
        Err(error) => return Ok(Err(format!("conversion: {error}"))),
    };
    let symvers = fs::read_to_string(lab.folder.join("boot/Module.symvers"))?;
    let exports = exports(&symvers);
    if matches!(breakage.how, How::LoseEach) {
        let mut noticed = Vec::new();
        for table in TABLES {
            match check(&without(module.clone(), &[table])?, &parts, &tree, &exports) {
                Ok(_) => return Err(format!("nobody noticed that {table} is gone").into()),
                Err(error) => {
                    noticed.push(format!("\n  {table}: check: {}", error.details().join("; ")));
                }
            }
        }
        return Ok(Err(noticed.concat()));
    }
    if let Err(error) = check(&module, &parts, &tree, &exports) {
        return Ok(Err(format!("check: {}", error.details().join("; "))));
    }
    let path = folder.join("livepatch.ko");
    publish(&path, &module)?;
    let test = fs::read_to_string(case.join("test.sh"))?;
    match lab.boot(&Overlay::new(&path, &test), &Boot::default()) {
        Ok(()) => {
            let short = UNMISSED.iter().zip(&rows).find(|((_, _, wanted), rows)| *rows < wanted);
            Ok(short.map_or(Ok(()), |((table, _, wanted), rows)| {
                Err(format!("count of rows: {table} has {rows}, the source has {wanted} or more"))
            }))
        }
        Err(error) => {
            let text = error.to_string();
            let result = text.lines().find(|l| l.contains("RESULT FAIL"));
            let reason =
                result.or_else(|| text.lines().find(|l| l.contains("BUG:") || l.contains("Oops")));
            Ok(Err(format!("guest: {}", reason.unwrap_or("it died"))))
        }
    }
}

fn size_of(object: &OutObject, table: &str) -> u64 {
    object.sections.iter().filter(|s| s.name == table).map(|s| s.size).sum()
}

pub fn run(lab: &Lab, breakage: &Breakage) -> Fallible<()> {
    let outcome = noticed(lab, breakage)?;
    match (&breakage.how, outcome) {
        (How::Intact, Ok(())) => Ok(()),
        (How::Intact, Err(why)) => Err(why.into()),
        (_, Ok(())) => Err("nobody noticed".into()),
        (_, Err(why)) => {
            eprintln!("broken::{}: noticed by {why}", breakage.name);
            Ok(())
        }
    }
}

fn compare(lab: &Lab) -> Fallible<OutObject> {
    let case = lab.case(CASE);
    let orig = fs::read(case.join("orig").join(OBJECT))?;
    let patched = fs::read(case.join("patched").join(OBJECT))?;
    let symtab = fs::read(lab.folder.join("vmlinux.symtab"))?;
    let symvers = fs::read_to_string(lab.folder.join("boot/Module.symvers"))?;
    let job = Job {
        parent: Some(ParentFiles {
            name: "vmlinux",
            symtab: Input { name: "symtab", data: as_text("symtab", &symtab)? },
            image: None,
            strict: false,
            pointers: Default::default(),
            known: None,
            symvers: Input { name: "symvers", data: &symvers },
        }),
        sizes: StructSizes::new(lab.env.clone(), true),
        ..Job::new(Input { name: "orig", data: &orig }, Input { name: "patched", data: &patched })
    };
    Ok(klp_diff::run(&job).outcome.patch()?.ok_or("nothing changed")?)
}

/// The object without some sections; what was defined there becomes undefined and unused.
pub fn without(mut object: OutObject, names: &[&str]) -> Fallible<OutObject> {
    for name in names {
        let Some(at) = object.sections.iter().position(|s| s.name == *name) else {
            return Err(format!("the output has no {name}").into());
        };
        object.sections.remove(at);
        let shift = |index: usize| (index != at).then(|| index - usize::from(index > at));
        for section in &mut object.sections {
            section.link = section.link.and_then(shift);
        }
        let gone: Vec<bool> =
            object.symbols.iter().map(|s| s.home == OutHome::Section(at)).collect();
        let places: Vec<Option<usize>> = gone
            .iter()
            .scan(0, |next, &gone| {
                let place = (!gone).then_some(*next);
                *next += usize::from(!gone);
                Some(place)
            })
            .collect();
        for table in object.sections.iter_mut().flat_map(|s| &mut s.relocs) {
            table.entries.retain(|e| e.symbol.is_none_or(|s| !gone[s.index()]));
            for entry in &mut table.entries {
                entry.symbol =
                    entry.symbol.and_then(|s| places[s.index()]).map(OutSymbolIndex::new);
            }
        }
        let mut kept = gone.iter().map(|gone| !gone);
        object.symbols.retain(|_| kept.next().unwrap_or(true));
        for symbol in &mut object.symbols {
            if let OutHome::Section(home) = symbol.home {
                symbol.home = shift(home).map_or(OutHome::Undefined, OutHome::Section);
            }
        }
    }
    Ok(object)
}

fn set(object: &mut OutObject, table: &str, at: usize, value: u64) -> Fallible<()> {
    let section = object.sections.iter_mut().find(|s| s.name == table).ok_or("no such table")?;
    let place = section.data.get_mut(at..at + 8).ok_or("the table is empty")?;
    place.copy_from_slice(&value.to_le_bytes());
    Ok(())
}
