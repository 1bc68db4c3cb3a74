//! Counts what objects below some folders are made of, and how each of it is taken: sections by
//! name, relocation types and objtool's annotations. Prints the tables of docs/met.md.
//!
//!     cargo run --release --example met -- FOLDER...

#[path = "shared/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use files::files;
use klp_diff::elf::abi::SHF_ALLOC;
use klp_diff::elf::ids::Orig;
use klp_diff::elf::object::Object;
use klp_diff::kernel::classes::{Class, is_plain};
use klp_diff::kernel::knowledge::tables::TABLES;
use klp_diff::kernel::layout::Layout;

/// What was met: in how many sections or places.
#[derive(Default)]
struct Met {
    sections: BTreeMap<(&'static str, String, String), usize>,
    relocations: BTreeMap<(&'static str, u32, bool), usize>,
    annotations: BTreeMap<(String, u32), usize>,
    /// Relocation types of a machine that is not in its table make an object unreadable.
    unread: BTreeSet<String>,
}

/// Names of which what follows is the name of a function, a variable or a file.
const FAMILIES: [&str; 22] = [
    ".text.unlikely.",
    ".text.hot.",
    ".text.split.",
    ".text.startup.",
    ".text.",
    ".rodata.",
    ".data.rel.ro.",
    ".data.rel.",
    ".data.",
    ".bss.",
    ".init.rodata.",
    ".init.data.",
    ".init.text.",
    ".static_call.text.",
    ".kcfi_traps.",
    "__patchable_function_entries.",
    ".con_initcall",
    ".initcall",
    "___ksymtab",
    "___kcrctab",
    "runtime_ptr_",
    "runtime_shift_",
];

/// A name without what only one function, variable or file has.
fn family(name: &str) -> String {
    let is_own = |name: &str| name.starts_with(".data..") || name.starts_with(".bss..");
    match FAMILIES.iter().find(|f| name.starts_with(**f) && !is_own(name)) {
        Some(family) => format!("{family}*"),
        None => name.to_owned(),
    }
}

/// How a section is taken.
fn taken(class: Class, name: &str) -> String {
    match class {
        Class::Text => "code".to_owned(),
        Class::Strings => "strings".to_owned(),
        Class::Table(index) => {
            let table = TABLES.get(usize::from(index)).map_or("", |t| t.section);
            format!("rows of `{table}`")
        }
        Class::Noise(rule) => format!("rule `{}`", rule.name),
        Class::Debug => "debug information".to_owned(),
        Class::Unwind => "rule `unwind-follows-code`".to_owned(),
        Class::Data if is_plain(name) => "data".to_owned(),
        Class::Data if name.starts_with("runtime_") => {
            "runtime constant; refused in a patch".to_owned()
        }
        Class::Data => {
            "data by name; what comes, goes or changes and is not used by code is refused"
                .to_owned()
        }
        _ => "of the file format".to_owned(),
    }
}

fn count(data: &[u8], met: &mut Met) -> klp_diff::diag::Result<()> {
    let object = Object::<Orig>::parse("object", data)?;
    let layout = Layout::new(&object)?;
    let machine = layout.arch.name;
    for section in object.sections() {
        let name = object.section_name(section);
        let read = name.starts_with(".discard");
        if object.section_flags(section) & SHF_ALLOC == 0 && !read {
            continue;
        }
        let how = taken(layout.class(section), name);
        *met.sections.entry((machine, family(name), how)).or_default() += 1;
        for reloc in object.relocs(section).iter() {
            let known = layout.arch.reloc(reloc.kind).is_ok();
            *met.relocations.entry((machine, reloc.kind, known)).or_default() += 1;
        }
        if name.starts_with(".discard.annotate") {
            for row in object.contents(section).chunks_exact(8) {
                let kind = row.last_chunk::<4>().map_or(0, |kind| u32::from_le_bytes(*kind));
                *met.annotations.entry((name.to_owned(), kind)).or_default() += 1;
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = Vec::new();
    for folder in std::env::args_os().skip(1) {
        files(Path::new(&folder), &mut paths)?;
    }
    let (mut met, mut read) = (Met::default(), 0);
    for path in &paths {
        match count(&std::fs::read(path)?, &mut met) {
            Ok(()) => read += 1,
            Err(error) => {
                met.unread.insert(format!("{}: {error}", path.display()));
            }
        }
    }
    println!("{read} objects, {} that cannot be read\n", met.unread.len());
    met.unread.iter().for_each(|text| println!("{text}"));
    println!("| section | machine | met | taken as |\n|---|---|---|---|");
    for ((machine, name, how), count) in &met.sections {
        println!("| `{name}` | {machine} | {count} | {how} |");
    }
    println!("\n| machine | relocation type | met | |\n|---|---|---|---|");
    for ((machine, kind, known), count) in &met.relocations {
        let known = if *known { "known" } else { "refused" };
        println!("| {machine} | {kind} | {count} | {known} |");
    }
    println!("\n| annotation | met |\n|---|---|");
    for ((section, kind), count) in &met.annotations {
        println!("| `{section}` {kind} | {count} |");
    }
    Ok(())
}
