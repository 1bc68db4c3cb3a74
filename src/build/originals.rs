//! Are original objects those that the running kernel was linked from?
//!
//! What was found about each object, and over all of them; nothing is decided here.

#![expect(clippy::arithmetic_side_effects, reason = "counts of what is in memory")]

use std::collections::BTreeSet;
use std::path::Path;

use crate::diag::{Result, distance};
use crate::elf::abi::STB_GLOBAL;
use crate::elf::ids::{Orig, Patched};
use crate::elf::image::Image;
use crate::elf::object::Object;
use crate::kernel::knowledge::sections;
use crate::kernel::layout::Layout;
use crate::running::image::KernelImage;
use crate::running::image_match::{ImageMatch, Outcome, match_image};
use crate::running::symtab::ParentTable;

/// What was counted over all objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Functions with a size.
    pub functions: u64,
    /// Of these, those with the bytes and references of the image.
    pub same: u64,
    /// Those whose body BOLT changed.
    pub rewritten: u64,
    /// Those that BOLT wrote anew with the same bytes.
    pub relaid: u64,
    /// Those that the image does not have.
    pub absent: u64,
    /// Weak ones that another definition replaced.
    pub overridden: u64,
    /// Weak ones of which that is not known.
    pub unclear: u64,
    /// Those that are something else in the image.
    pub differ: u64,
    /// References whose target could not be checked.
    pub unchecked: u64,
    /// Those that have no ftrace site in the image.
    pub untraced: u64,
}

impl Counts {
    /// Adds what another object gave.
    pub fn add(&mut self, other: &Counts) {
        self.functions += other.functions;
        self.same += other.same;
        self.rewritten += other.rewritten;
        self.relaid += other.relaid;
        self.absent += other.absent;
        self.differ += other.differ;
        self.unchecked += other.unchecked;
        self.untraced += other.untraced;
    }
}

/// What is said about one object.
#[derive(Default)]
pub struct Finding {
    /// How many functions there are of each kind.
    pub counts: Counts,
    /// Functions that differ: the name, and `'foo' differs at +0x1c: ...`
    pub differences: Vec<(String, String)>,
    /// Weak functions that another definition may have replaced, and how they differ.
    pub overridden: Vec<(String, String)>,
    /// Names of functions that the object defines for others.
    pub strong: Vec<String>,
    /// The image is BOLT's work.
    pub rewritten_image: bool,
    /// Functions that were not compared, and why.
    pub notes: Vec<String>,
    /// Why the object cannot be compared at all.
    pub unknown: Option<String>,
}

/// Looks at the object at `path`, against the image that most of its functions are in.
pub fn look_at(path: &Path, images: &[(KernelImage<'_>, ParentTable<'_>)]) -> Result<Finding> {
    let file = Image::open_unpacked(path)?;
    let shown = path.display().to_string();
    let object = Object::<Orig>::parse(&shown, file.bytes())?;
    let layout = Layout::new(&object)?;
    let mut best: Option<(u64, Finding)> = None;
    for (image, table) in images {
        if let Some(difference) = other_compiler(&object, image) {
            let finding = Finding {
                counts: Counts { differ: 1, functions: 1, ..Counts::default() },
                differences: vec![(String::new(), difference)],
                ..Finding::default()
            };
            best.get_or_insert((0, finding));
            continue;
        }
        let matched = match_image(&layout, image, table)?;
        let finding = Finding {
            rewritten_image: image.bolt.is_some(),
            ..describe(&layout, &matched, image, table)
        };
        let present = finding.counts.functions - finding.counts.absent;
        if best.as_ref().is_none_or(|b| b.0 < present) {
            best = Some((present, finding));
        }
    }
    let mut finding = best.map(|b| b.1).unwrap_or_default();
    if finding.counts.functions > 0 && finding.counts.absent == finding.counts.functions {
        finding.unknown = Some("none of its functions is in the image".to_owned());
    }
    file.check_unchanged()?;
    Ok(finding)
}

fn describe(
    layout: &Layout<'_, Orig>,
    matched: &ImageMatch<Orig>,
    image: &KernelImage<'_>,
    table: &ParentTable<'_>,
) -> Finding {
    let mut finding = Finding::default();
    let object = layout.object;
    let functions = matched.functions.iter().map(|c| object.symbol(c.function));
    finding.strong =
        functions.filter(|s| s.bind == STB_GLOBAL).map(|s| s.name.to_owned()).collect();
    let counts = &mut finding.counts;
    counts.unchecked = matched.unchecked;
    for checked in &matched.functions {
        let name = layout.object.symbol_name(checked.function);
        counts.functions += 1;
        let entry = checked.entry.and_then(|i| table.entries().get(i));
        if layout.has_profiling(checked.function)
            && entry.is_some_and(|e| image.is_traced(e.addr) == Some(false))
        {
            counts.untraced += 1;
            finding.notes.push(format!("'{name}' has no ftrace site in the image"));
        }
        match &checked.outcome {
            Outcome::Same => counts.same += 1,
            Outcome::Rewritten => {
                counts.rewritten += 1;
                finding.notes.push(format!("'{name}' was rewritten by BOLT"));
            }
            Outcome::Relaid => {
                counts.relaid += 1;
                finding.notes.push(format!("'{name}' was rewritten by BOLT, with the same bytes"));
            }
            Outcome::Absent => {
                counts.absent += 1;
                finding.notes.push(format!("'{name}' is not in the image"));
            }
            Outcome::Overridden { at, what } => {
                let difference = format!("weak '{name}' differs at {}: {what}", distance(*at));
                finding.overridden.push((name.to_owned(), difference));
            }
            Outcome::Differs { at, what } => {
                counts.differ += 1;
                let text = format!("'{name}' differs at {}: {what}", distance(*at));
                finding.differences.push((name.to_owned(), text));
            }
        }
    }
    finding
}

/// Says so when the object names a compiler that the image does not.
fn other_compiler(object: &Object<'_, Orig>, image: &KernelImage<'_>) -> Option<String> {
    let comment = object.sections().find(|&s| object.section_name(s) == sections::COMMENT)?;
    let theirs = image.elf.section_named(sections::COMMENT)?;
    let split = |data: &[u8]| -> Vec<Vec<u8>> {
        data.split(|&b| b == 0).filter(|s| !s.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let known = split(theirs.data);
    let ours = split(object.section(comment).data);
    let unknown = ours.iter().find(|s| !known.contains(s)).filter(|_| !known.is_empty())?;
    let text = |s: &[u8]| String::from_utf8_lossy(s).into_owned();
    Some(format!(
        "it was compiled by {}, but the image by {}",
        text(unknown),
        known.iter().map(|s| text(s)).collect::<Vec<_>>().join(" and ")
    ))
}

/// The counts in words.
pub fn summary(objects: usize, total: &Counts) -> String {
    let Counts {
        functions,
        same,
        rewritten,
        relaid,
        absent,
        overridden,
        unclear,
        differ,
        unchecked,
        untraced,
    } = *total;
    let mut text = format!("{objects} objects, {functions} functions: {same} as in the image");
    if rewritten + relaid > 0 {
        text += &format!(
            ", {} rewritten by BOLT ({rewritten} with other bytes, {relaid} with the same)",
            rewritten + relaid
        );
    }
    for (count, what) in [
        (overridden, "weak and overridden"),
        (unclear, "weak and perhaps overridden"),
        (absent, "not in the image"),
        (differ, "different"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    if untraced > 0 {
        text += &format!("; {untraced} lost their ftrace site");
    }
    if unchecked > 0 {
        text += &format!("; {unchecked} references to unnamed places not checked");
    }
    text
}

/// The names that the code of these functions of a patched object refers to.
pub fn referred(path: &Path, functions: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let file = Image::open_unpacked(path)?;
    let shown = path.display().to_string();
    let object = Object::<Patched>::parse(&shown, file.bytes())?;
    let wanted = object.symbols().filter(|&s| functions.contains(object.symbol_name(s)));
    let sections: Vec<_> = wanted.filter_map(|s| object.section_of(s)).collect();
    let mut names = BTreeSet::new();
    for section in sections {
        for reloc in object.relocs(section).iter() {
            let name = object.symbol_name(reloc.symbol);
            if !name.is_empty() {
                names.insert(name.to_owned());
                continue;
            }
            // Through the section: what is in it.
            let Some(target) = object.section_of(reloc.symbol) else { continue };
            let inside = object.symbols().filter(|&s| object.section_of(s) == Some(target));
            names.extend(inside.map(|s| object.symbol_name(s).to_owned()));
        }
    }
    Ok(names)
}
