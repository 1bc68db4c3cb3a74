//! Writes a synthetic pair and its parent symbol table into a folder:
//! `cargo run --release --example synth -- FOLDER --functions 4000 --changed 10`.

#[path = "../benches/synth/mod.rs"]
mod synth;

use std::fs;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Parser;
use synth::{Options, Side};

/// Writes orig.o, patched.o, symtab and env into a folder.
#[derive(Parser)]
struct Arguments {
    /// Folder to write to; made when missing
    folder: PathBuf,
    /// Number of functions
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    functions: u32,
    /// How many of them differ
    #[arg(long, default_value_t = 10)]
    changed: u32,
    /// Static locals of all functions share their names
    #[arg(long)]
    shared_names: bool,
    /// Static locals have other numbers in the patched object
    #[arg(long)]
    renumbered: bool,
    /// Unchanged functions live together in .sched.text
    #[arg(long)]
    one_section: bool,
    /// Unrelated lines in the parent symbol table
    #[arg(long, default_value_t = 0)]
    padding: u32,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let options = Options {
        shared_names: arguments.shared_names,
        renumbered: arguments.renumbered,
        one_section: arguments.one_section,
        padding: arguments.padding,
        ..Options::new(arguments.functions, arguments.changed)
    };
    let folder = &arguments.folder;
    fs::create_dir_all(folder)?;
    fs::write(folder.join("orig.o"), synth::object(&options, Side::Original))?;
    fs::write(folder.join("patched.o"), synth::object(&options, Side::Patched))?;
    let mut symtab = BufWriter::new(fs::File::create(folder.join("symtab"))?);
    synth::parent_symtab(&options, &mut symtab)?;
    symtab.flush()?;
    let env = synth::STRUCT_SIZES.map(|(name, size)| format!("{name}={size}\n"));
    fs::write(folder.join("env"), env.concat())?;
    println!("changed: {}", options.changed_names().collect::<Vec<_>>().join(" "));
    Ok(())
}
