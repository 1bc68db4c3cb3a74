//! The headers of the file and of its sections, and bytes that no reference leads to.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "rows and stretches are within sections, which are in memory"
)]

use super::places::Span;
use super::walk::{Item, Walk};
use super::{differs, names};
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Id, Patched, SectionId};
use crate::kernel::knowledge::sections;
use crate::kernel::layout::{Class, is_padding};
use crate::kernel::objtool;

impl<'a> Walk<'a> {
    pub(super) fn check_file(&self) -> Result<()> {
        let object = self.prover.layout().object;
        let header = object.header();
        let big = matches!(object.endian(), object::Endianness::Big);
        let ours = (header.kind, header.machine, header.flags, big);
        let written = self.written;
        if ours != (written.kind, written.machine, written.flags, written.big_endian) {
            return Err(differs(
                "the file is of another kind, for another machine or its flags differ",
            ));
        }
        Ok(())
    }

    /// Compares the headers of a section of the output with that whose bytes it has.
    pub(super) fn check_section(&self, home: u32, section: SectionId<Patched>) -> Result<()> {
        let written = self.written.section(home);
        let input = self.prover.layout().object.section(section);
        let name = self.prover.lookup.pair.output_section_name(section);
        if written.name != name {
            return Err(differs(format!("it is in section {} instead of {name}", written.name)));
        }
        let object = self.prover.layout().object;
        let plain = abi::SHF_INFO_LINK;
        let relocs =
            object.rela_section(section).map_or(plain, |r| object.section_flags(r) | plain);
        if written.relocs.is_some_and(|flags| flags != relocs & !abi::SHF_GROUP) {
            return Err(differs("its relocation table has other flags"));
        }
        let ours = (input.kind, input.flags & !abi::SHF_GROUP, input.align, input.entsize);
        let theirs = (written.kind, written.flags, written.align, written.entsize);
        if ours != theirs {
            return Err(differs(format!(
                "type, flags, alignment and size of entries are {theirs:x?} instead of {ours:x?}"
            )));
        }
        Ok(())
    }

    /// Compares which sections are ordered after which.
    fn check_orders(&mut self) -> Result<()> {
        self.places.sort();
        for &(home, section) in &self.paired {
            let object = self.prover.layout().object;
            let (written, input) = (self.written.section(home), object.section(section));
            if input.flags & abi::SHF_LINK_ORDER == 0 {
                continue;
            }
            let after = SectionId::new(input.link as usize);
            let known = (input.link as usize) < object.section_count()
                && self.paired.contains(&(written.link, after));
            if !known {
                let error = differs("it is ordered after another section");
                return Err(error.in_section(input.name));
            }
        }
        Ok(())
    }

    /// Follows everything until nothing new is found.
    pub(super) fn settle(&mut self) -> Result<()> {
        loop {
            self.drain()?;
            if self.match_more_symbols()? || self.match_rows()? || self.fill()? {
                continue;
            }
            break;
        }
        self.places.sort();
        for &(section, at, home, to) in &self.later {
            if !self.places.agree(section, at, home, to) {
                let name = self.written.section(home).name;
                let what = differs(format!("a reference to it is to {name}+{to:#x}"));
                return Err(self.at(what, section, at));
            }
        }
        Ok(())
    }

    /// Looks at what no reference leads to: whether it is what lies there in the patched object.
    fn fill(&mut self) -> Result<bool> {
        // What is found in other sections refers to strings, which lie in no order of their own.
        Ok(self.fill_sections(false)? || self.fill_sections(true)?)
    }

    fn fill_sections(&mut self, of_strings: bool) -> Result<bool> {
        self.places.sort();
        let before = self.places.count();
        for home in 1..self.written.sections.len() as u32 {
            let section = self.written.section(home);
            let is_strings = section.flags & abi::SHF_STRINGS != 0;
            if !self.is_input(home) || section.size == 0 || is_strings != of_strings {
                continue;
            }
            let spans = self.places.spans(home).to_vec();
            let Some(&first) = spans.first() else {
                if let Some(whole) = self.whole(home) {
                    let size = section.size;
                    self.want(Item { section: whole, start: 0, end: size, to: (home, 0) })?;
                }
                continue;
            };
            let (mut end, mut last) = (0, first);
            for span in
                spans.into_iter().chain([Span { start: section.size, end: section.size, ..first }])
            {
                if span.start > end {
                    self.fill_gap(home, (end, span.start), &last)?;
                }
                if span.end > end {
                    (end, last) = (span.end, span);
                }
            }
        }
        Ok(self.places.count() > before)
    }

    /// Whether a section of the output is one of the patched object, and loaded.
    fn is_input(&self, home: u32) -> bool {
        let section = self.written.section(home);
        section.flags & abi::SHF_ALLOC != 0
            && section.kind != abi::SHT_RELA
            && !names::is_own(section.name)
    }

    /// The section of the patched object of the same name and size that nothing is known of.
    fn whole(&self, home: u32) -> Option<SectionId<Patched>> {
        let written = self.written.section(home);
        let object = self.prover.layout().object;
        let comparer = self.prover.lookup.pair;
        let mut all = object.sections();
        all.find(|&s| {
            object.section_size(s) == written.size
                && comparer.output_section_name(s) == written.name
                && self.places.images(s).is_empty()
        })
    }

    /// A stretch between two that are known, or before the first: padding, or what is beside
    /// `known` in the patched object.
    fn fill_gap(&mut self, home: u32, (start, end): (u64, u64), known: &Span) -> Result<()> {
        if self.is_padding(home, start, end) {
            return Ok(());
        }
        let shift = known.from.wrapping_sub(known.start);
        let (from, to) = (start.wrapping_add(shift), end.wrapping_add(shift));
        let section = known.section;
        let size = self.prover.layout().object.section_size(section);
        if from >= to || to > size {
            let name = self.written.section(home).name;
            return Err(differs("it has bytes that are not in the patched object")
                .in_section(name)
                .at_offset(start));
        }
        self.want(Item { section, start: from, end: to, to: (home, start) })
    }

    fn is_padding(&self, home: u32, start: u64, end: u64) -> bool {
        let section = self.written.section(home);
        if !self.written.within(home, start, end).is_empty() {
            return false;
        }
        let bytes = section.data.get(start as usize..end as usize).unwrap_or(&[]);
        let text = section.flags & abi::SHF_EXECINSTR != 0;
        match text {
            true => self.is_code_padding(bytes, start),
            false => bytes.iter().all(|&b| b == 0),
        }
    }

    fn is_code_padding(&self, bytes: &[u8], start: u64) -> bool {
        let arch = self.prover.layout().arch;
        let pattern = arch
            .padding_pattern
            .iter()
            .cycle()
            .skip(start as usize % arch.padding_pattern.len().max(1));
        is_padding(arch, bytes) || bytes.iter().zip(pattern).all(|(a, b)| a == b)
    }

    /// Fails unless all that is carried is there as a whole.
    pub(super) fn check_all_is_there(&mut self) -> Result<()> {
        self.check_orders()?;
        self.check_overlaps()?;
        self.check_rows()?;
        self.check_unwind()?;
        for (id, section) in &self.foreign {
            let at = self.prover.layout().object.symbol_value(*id);
            if let Some(section) = *section
                && self.places.has(section, at)
            {
                let error = differs("the kernel's is used, and the patch has a second one");
                return Err(self.at(error, section, at));
            }
        }
        self.check_coverage()
    }

    /// Fails where bytes of the output are two different things, or a byte is there twice.
    fn check_overlaps(&self) -> Result<()> {
        for home in 1..self.written.sections.len() as u32 {
            let spans = self.places.spans(home);
            for pair in spans.windows(2) {
                let [a, b] = pair else { continue };
                let shift = |s: &Span| s.from.wrapping_sub(s.start);
                if b.start < a.end && (a.section != b.section || shift(a) != shift(b)) {
                    return Err(self.at(
                        differs("something else is at its place"),
                        b.section,
                        b.from,
                    ));
                }
            }
        }
        for (section, images) in self.places.carried() {
            for pair in images.windows(2) {
                let [a, b] = pair else { continue };
                let shift = |i: &super::places::Image| (i.section, i.to.wrapping_sub(i.start));
                if b.start < a.end && shift(a) != shift(b) {
                    return Err(self.at(differs("it is there twice"), section, b.start));
                }
            }
        }
        Ok(())
    }

    /// Fails where a section of the output has bytes that were not accounted for.
    fn check_coverage(&self) -> Result<()> {
        for home in 1..self.written.sections.len() as u32 {
            let section = self.written.section(home);
            if !self.is_input(home) {
                continue;
            }
            let mut end = 0;
            let fail = |at| {
                let what = differs("it has bytes that are not in the patched object");
                Err(what.in_section(section.name).at_offset(at))
            };
            for span in self.places.spans(home) {
                if span.start > end && !self.is_padding(home, end, span.start) {
                    return fail(end);
                }
                end = end.max(span.end);
            }
            if end < section.size && !self.is_padding(home, end, section.size) {
                return fail(end);
            }
        }
        Ok(())
    }

    /// What a byte of the output is, or the end of a section.
    fn origin(&self, home: u32, at: u64) -> Option<(SectionId<Patched>, u64)> {
        let ends = at == self.written.section(home).size;
        let before = || self.places.origin(home, at.checked_sub(1)?);
        let end = || before().filter(|_| ends).map(|(section, at)| (section, at + 1));
        self.places.origin(home, at).or_else(end)
    }

    /// Fails unless the unwind entries of carried functions are there, and no others.
    fn check_unwind(&self) -> Result<()> {
        let layout = self.prover.layout();
        let object = layout.object;
        let names = [sections::ORC, sections::ORC_PLACES];
        let [entries, places] = names.map(|n| layout.section_named(n));
        let (Some(entries), Some(places)) = (entries, places) else { return Ok(()) };
        if self.prover.remade {
            let there = self.written.sections.iter().find(|s| objtool::is_remade(s.name));
            return match there {
                Some(section) => Err(differs("objtool could not make it").in_section(section.name)),
                None => Ok(()),
            };
        }
        let [home, ips] = [self.written.only(names[0])?, self.written.only(names[1])?];
        let count = object.section_size(places) / 4;
        let Some(size) = object.section_size(entries).checked_div(count).filter(|&s| s > 0) else {
            return Ok(());
        };
        let mut wanted = Vec::new();
        for reloc in object.relocs(places).iter() {
            let Some(section) = object.section_of(reloc.symbol) else { continue };
            let value = object.symbol_value(reloc.symbol).cast_signed();
            let Ok(at) = u64::try_from(value.wrapping_add(reloc.addend)) else { continue };
            let ends = || at == object.section_size(section) && self.places.has(section, at - 1);
            let described = at > 0 && ends() || self.places.has(section, at);
            if layout.class(section) == Class::Text && described {
                let from = (reloc.offset / 4 * size) as usize;
                let bytes = object.contents(entries).get(from..from + size as usize);
                wanted.push((section, at, bytes.unwrap_or(&[])));
            }
        }
        let mut there = Vec::new();
        if let (Some(home), Some(ips)) = (home, ips) {
            for reference in self.written.refs(ips) {
                let super::written::To::Symbol(index) = reference.to else { continue };
                let place = self.written.place(index, reference.addend)?;
                let origin = place.and_then(|(s, at)| self.origin(s, u64::try_from(at).ok()?));
                let Some((section, at)) = origin else {
                    let what = differs("an unwind entry describes nothing that is carried");
                    return Err(what.in_section(names[1]).at_offset(reference.offset));
                };
                let from = (reference.offset / 4 * size) as usize;
                let data = self.written.section(home).data;
                there.push((section, at, data.get(from..from + size as usize).unwrap_or(&[])));
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        there.sort_unstable();
        there.dedup();
        // What is between functions never runs.
        let runs = |w: &&(SectionId<Patched>, u64, &[u8])| {
            layout.covering(w.0, w.1.cast_signed()).is_some()
        };
        let mut lost = wanted.iter().filter(|w| there.binary_search(w).is_err());
        match lost.find(runs) {
            Some(&(section, at, _)) => {
                Err(self.at(differs("its unwind entry is missing or another"), section, at))
            }
            None if there.iter().all(|t| wanted.binary_search(t).is_ok()) => Ok(()),
            None => Err(differs("there are more unwind entries").in_section(names[1])),
        }
    }
}
