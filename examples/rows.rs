//! Tries the layouts of the kernel's tables on all objects below some folders, without being given any size, and prints
//! a table of what was found: docs/rows.md.
//!
//!     cargo run --release --example rows -- FOLDER...

#[path = "shared/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use files::files;
use klp_diff::elf::ids::Orig;
use klp_diff::elf::object::Object;
use klp_diff::kernel::fit::attempts;
use klp_diff::kernel::knowledge::tables::TABLES;
use klp_diff::kernel::layout::Layout;

/// What was found of a table on one machine.
#[derive(Default)]
struct Found {
    /// Sections with rows.
    sections: usize,
    /// Sections whose layouts that fit have one size and mean the same.
    found: usize,
    /// Sections that several sizes fit.
    several: usize,
    /// Sections that no layout fits.
    none: usize,
    /// Of each layout, by its place in the list: how many sections it was tried on, and fits.
    layouts: BTreeMap<usize, Layouts>,
}

struct Layouts {
    told: String,
    tried: usize,
    fits: usize,
}

fn count(
    data: &[u8],
    all: &mut BTreeMap<(usize, &'static str), Found>,
) -> klp_diff::diag::Result<()> {
    let object = Object::<Orig>::parse("object", data)?;
    let layout = Layout::new(&object)?;
    let attempts = attempts(&layout);
    for of_section in attempts.chunk_by(|a, b| a.section == b.section) {
        let Some(first) = of_section.first() else { continue };
        let table = TABLES.iter().position(|t| std::ptr::eq(t, first.table)).unwrap_or(0);
        let found = all.entry((table, layout.arch.name)).or_default();
        found.sections += 1;
        let mut fitting = BTreeSet::new();
        for (place, attempt) in of_section.iter().enumerate() {
            let told = || format!("{} bytes, {}", attempt.form.size, attempt.form.kernels);
            let new = || Layouts { told: told(), tried: 0, fits: 0 };
            let layout = found.layouts.entry(place).or_insert_with(new);
            layout.tried += 1;
            if attempt.against.is_none() {
                layout.fits += 1;
                let replaces = attempt.form.replacement.map(|r| (r.field, r.length));
                fitting.insert((attempt.form.size, replaces));
            }
        }
        match fitting.len() {
            0 => found.none += 1,
            1 => found.found += 1,
            _ => found.several += 1,
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = Vec::new();
    for folder in std::env::args_os().skip(1) {
        files(Path::new(&folder), &mut paths)?;
    }
    let (mut all, mut read, mut unread) = (BTreeMap::new(), 0, 0);
    for path in &paths {
        match count(&std::fs::read(path)?, &mut all) {
            Ok(()) => read += 1,
            Err(_) => unread += 1,
        }
    }
    println!("{read} objects, {unread} that cannot be read\n");
    println!(
        "| table | machine | sections | found | several sizes fit | none fits | layouts: fits of tried |"
    );
    println!("|---|---|---|---|---|---|---|");
    for ((table, machine), found) in &all {
        let section = TABLES.get(*table).map_or("", |t| t.section);
        let layouts = found.layouts.values();
        let layouts: Vec<String> =
            layouts.map(|l| format!("{}: {} of {}", l.told, l.fits, l.tried)).collect();
        println!(
            "| `{section}` | {machine} | {} | {} | {} | {} | {} |",
            found.sections,
            found.found,
            found.several,
            found.none,
            layouts.join("; ")
        );
    }
    let seen: BTreeSet<usize> = all.keys().map(|(table, _)| *table).collect();
    let unseen = TABLES.iter().enumerate().filter(|(i, _)| !seen.contains(i));
    let unseen: Vec<String> = unseen.map(|(_, table)| format!("`{}`", table.section)).collect();
    println!("\nIn none of the objects: {}.", unseen.join(", "));
    Ok(())
}
