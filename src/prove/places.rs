//! Which bytes of the output are which bytes of the patched object.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "stretches begin before they end, and what was found is within"
)]

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::elf::ids::{Patched, SectionId};

/// Bytes of the output and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// First byte, in a section of the output.
    pub start: u64,
    /// Byte behind the last.
    pub end: u64,
    /// Section of the patched object.
    pub section: SectionId<Patched>,
    /// First byte there.
    pub from: u64,
}

/// Bytes of a section of the patched object, and where they are in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Image {
    pub start: u64,
    pub end: u64,
    pub section: u32,
    pub to: u64,
}

/// Both directions.
#[derive(Default)]
pub(super) struct Places {
    spans: IndexMap<u32, Vec<Span>, RandomState>,
    images: IndexMap<SectionId<Patched>, Vec<Image>, RandomState>,
    sorted: bool,
    count: usize,
}

impl Places {
    /// Notes that `start..start + (end - from)` of `section` is `from..end` of `patched`.
    pub fn add(
        &mut self,
        (section, start): (u32, u64),
        patched: SectionId<Patched>,
        from: u64,
        end: u64,
    ) {
        let len = end.saturating_sub(from);
        let span = Span { start, end: start.saturating_add(len), section: patched, from };
        self.spans.entry(section).or_default().push(span);
        let image = Image { start: from, end, section, to: start };
        self.images.entry(patched).or_default().push(image);
        self.sorted = false;
        self.count += 1;
    }

    /// How many spans were noted.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Orders what was noted; needed before anything is looked up.
    pub fn sort(&mut self) {
        if !self.sorted {
            self.spans.values_mut().for_each(|spans| spans.sort_unstable());
            self.images.values_mut().for_each(|images| images.sort_unstable());
            self.sorted = true;
        }
    }

    /// What is known of a section of the output, by offset.
    pub fn spans(&self, section: u32) -> &[Span] {
        self.spans.get(&section).map_or(&[], |spans| spans)
    }

    /// Where parts of a section of the patched object are, by offset.
    pub fn images(&self, section: SectionId<Patched>) -> &[Image] {
        self.images.get(&section).map_or(&[], |images| images)
    }

    /// The sections of the patched object that are carried in part or as a whole.
    pub fn carried(&self) -> impl Iterator<Item = (SectionId<Patched>, &[Image])> + '_ {
        self.images.iter().map(|(&section, images)| (section, &images[..]))
    }

    /// What a byte of the output is.
    pub fn origin(&self, section: u32, at: u64) -> Option<(SectionId<Patched>, u64)> {
        let spans = self.spans(section);
        let upto = spans.partition_point(|s| s.start <= at);
        let mut near = spans.get(..upto)?.iter().rev().take(NEAR);
        let span = near.find(|s| at < s.end)?;
        Some((span.section, span.from + (at - span.start)))
    }

    /// Whether a place of the patched object, which may be the end of something, is at a place
    /// of the output.
    pub fn agree(&self, patched: SectionId<Patched>, at: u64, section: u32, to: u64) -> bool {
        let images = self.images(patched);
        let upto = images.partition_point(|i| i.start <= at);
        let mut near = images.get(..upto).unwrap_or(&[]).iter().rev();
        near.any(|i| at <= i.end && i.section == section && i.to + (at - i.start) == to)
    }

    /// Whether a byte of the patched object is in the output.
    pub fn has(&self, patched: SectionId<Patched>, at: u64) -> bool {
        let images = self.images(patched);
        let upto = images.partition_point(|i| i.start <= at);
        images.get(..upto).is_some_and(|before| before.iter().rev().take(NEAR).any(|i| at < i.end))
    }
}

/// How many spans that begin before a byte are looked at: several overlap only where nameless
/// data is read in parts.
const NEAR: usize = 128;
