//! Whether the tree, the images and the exports that a module is made with are of one kernel: a
//! module that was compared with one and built for another patches the wrong place, or does
//! not load.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::build::config::{Config, embedded_text};
use crate::diag::{Code, Error, Result};
use crate::patch::module::tree::{Export, KernelTree};
use crate::running::image::KernelImage;
use crate::running::versions;

/// Differences that are shown.
const SHOWN: usize = 10;

/// Module.symvers: its file, and what it says.
pub(crate) type Exports<'e> = (&'e str, &'e IndexMap<&'e str, Export, RandomState>);

/// Fails for an image of another kernel than the tree is of, by what is known before anything
/// is built.
pub(crate) fn check_image(
    image: &KernelImage<'_>,
    data: &[u8],
    tree: &KernelTree,
    exports: Exports<'_>,
) -> Result<()> {
    let shown = tree.path().display();
    if let Some(release) = image.release().filter(|&r| r != tree.release()) {
        let text = format!(
            "the image is of {release}, but the kernel tree {shown} is of {}",
            tree.release()
        );
        return Err(other(image.elf.file(), text));
    }
    if let Some(text) = embedded_text(data) {
        let differences = Config::parse(&text).differences(&Config::parse(&tree.configuration()?));
        if !differences.is_empty() {
            let count = differences.len();
            let text = format!(
                "the image has another configuration than the kernel tree {shown}: {count} \
                 option(s) differ"
            );
            return Err(other(image.elf.file(), text).with_details(few(differences)));
        }
    }
    if tree.has("MODVERSIONS") {
        check_versions(image, exports)?;
    }
    Ok(())
}

/// Fails when the image and Module.symvers have different versions of a symbol.
fn check_versions(image: &KernelImage<'_>, (file, exports): Exports<'_>) -> Result<()> {
    let ours = versions::exported(image).into_iter().map(|(name, crc)| (name.to_owned(), crc));
    let differences: Vec<String> = ours
        .chain(versions::used(image))
        .filter_map(|(name, crc)| {
            let theirs = exports.get(name.as_str()).map(|e| e.crc).filter(|&c| c != crc)?;
            Some(format!("{name}: {crc:#010x} here, {theirs:#010x} there"))
        })
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    let count = differences.len();
    let text = format!("{count} symbol(s) have other versions in the image than in {file}");
    Err(other(image.elf.file(), text).with_details(few(differences)))
}

/// What the kernel of an image takes, or the module has, as vermagic.
#[derive(Debug)]
pub(crate) struct Magic {
    file: String,
    text: String,
}

impl Magic {
    pub(crate) fn of(image: &KernelImage<'_>) -> Option<Magic> {
        let text = image.vermagic()?.trim_end().to_owned();
        Some(Magic { file: image.elf.file().to_owned(), text })
    }

    /// Fails unless a module that says `theirs` of itself is of the same kernel.
    pub(crate) fn check(&self, theirs: Option<&str>, tree: &KernelTree) -> Result<()> {
        let Some(theirs) = theirs.map(str::trim_end).filter(|&t| t != self.text) else {
            return Ok(());
        };
        let (ours, shown) = (&self.text, tree.path().display());
        let text = format!(
            "the image is of a kernel with vermagic '{ours}', but modules built with the kernel \
             tree {shown} have '{theirs}'"
        );
        Err(other(&self.file, text))
    }
}

fn few(mut differences: Vec<String>) -> Vec<String> {
    let count = differences.len();
    differences.truncate(SHOWN);
    if count > SHOWN {
        differences.push(format!("and {} more", count - SHOWN));
    }
    differences.iter().map(|line| format!("  {line}")).collect()
}

fn other(file: &str, text: String) -> Error {
    Error::broken(Code::OtherRelease, text)
        .in_file(file)
        .advise("give --kernel, --image and --symvers of one build")
}
