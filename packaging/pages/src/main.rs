//! Writes what is made of the command line: manual pages and completions for shells.
//!
//!     cargo run -p klp-diff-pages -- DIR
//!
//! makes `DIR/man1/*.1` and `DIR/{bash,zsh,fish}/*`, by the names that the shells look for. The
//! same sources make the same files.

mod completions;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Command;
use clap_mangen::Man;

/// Pages that are written by hand: kpatch's two programs have the command line of GNU argp.
const BY_HAND: [&str; 2] = ["create-diff-object.1", "create-klp-module.1"];

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).context("give a folder")?;
    let man = folder.join("man1");
    fs::create_dir_all(&man)?;
    let mut command = klp_diff::cli::command();
    command.build();
    pages(&command, &man)?;
    for page in BY_HAND {
        let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man").join(page);
        fs::copy(&written, man.join(page)).with_context(|| written.display().to_string())?;
    }
    for (shell, name, text) in completions::all(&klp_diff::cli::command())? {
        let folder = folder.join(shell);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), text).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

/// The page of a command and those of its verbs.
fn pages(command: &Command, folder: &Path) -> anyhow::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man = Man::new(command.clone())
        .title(name.clone())
        .date("")
        .source(concat!("klp-diff ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    page.extend(sections(&more).into_bytes());
    page.extend(see_also(&name).into_bytes());
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page).with_context(|| path.display().to_string())?;
    command.get_subcommands().try_for_each(|verb| pages(verb, folder))
}

/// What stands below the options of `--help`, as sections.
fn sections(help: &str) -> String {
    let mut page = String::new();
    for block in help.split("\n\n").map(str::trim_end).filter(|block| !block.is_empty()) {
        if let Some(lines) = block.strip_prefix("Examples:\n") {
            page += &format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", roff(lines));
        } else if let Some(statuses) = block.strip_prefix("Exit status: ") {
            page += &format!(".SH \"EXIT STATUS\"\n{}\n", roff(statuses));
        } else {
            page += &format!(".PP\n{}\n", roff(block));
        }
    }
    page
}

fn see_also(name: &str) -> String {
    let whole = if name == "klp-diff" { "" } else { "klp-diff(1), " };
    format!(".SH \"SEE ALSO\"\n{}\n", roff(&format!("{whole}create-diff-object(1), readelf(1)")))
}

/// Text in which roff finds nothing to do.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = escaped.lines().map(|line| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
