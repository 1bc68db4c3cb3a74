//! Compares what references mean: named things by their twins, nameless ones by content.

use super::comparer::Comparer;
use super::questions::{OpenQuestions, Question, QuestionKind};
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side, SymbolId};
use crate::elf::object::{Home, Reloc};
use crate::kernel::knowledge::symbols;
use crate::kernel::layout::{Class, Layout};
use crate::kernel::names;
use crate::kernel::refs::{Effective, Refs};

impl<'a> Comparer<'a> {
    /// Whether two relocations of the same type at the same place mean the same.
    pub(super) fn same_reference(
        &self,
        o_refs: &Refs<'a, Orig>,
        o: &Reloc<Orig>,
        p_refs: &Refs<'a, Patched>,
        p: &Reloc<Patched>,
        open: &mut OpenQuestions,
    ) -> Result<bool> {
        match (o_refs.effective(o)?, p_refs.effective(p)?) {
            (Effective::Constant(a), Effective::Constant(b)) => Ok(a == b),
            (Effective::Reloc(o_base, o), Effective::Reloc(p_base, p)) => {
                if o_base == o_refs.base() && p_base == p_refs.base() {
                    return self.same_target(o_refs, &o, p_refs, &p, open);
                }
                // The one may be what it refers to, the other a slot that holds it; and the type of
                // a slot's relocation says what the slot holds.
                let both = o_base != o_refs.base() && p_base != p_refs.base();
                if !both || !self.same_kind(&o, &p) {
                    return Ok(false);
                }
                let o_refs = Refs::new(self.orig.layout, o_base);
                let p_refs = Refs::new(self.patched.layout, p_base);
                self.same_target(&o_refs, &o, &p_refs, &p, open)
            }
            _ => Ok(false),
        }
    }

    fn same_target(
        &self,
        o_refs: &Refs<'a, Orig>,
        o: &Reloc<Orig>,
        p_refs: &Refs<'a, Patched>,
        p: &Reloc<Patched>,
        open: &mut OpenQuestions,
    ) -> Result<bool> {
        let (orig, patched) = (self.orig.layout, self.patched.layout);
        // A relocation without effect, such as the NOP form of an ftrace site, still counts
        // by name: it says what the place is.
        if o_refs.leaves_string(o)? || p_refs.leaves_string(p)? {
            return self.same_among_strings((o_refs, o), (p_refs, p));
        }
        if let Some(b) = p_refs.string(p)? {
            return Ok(o_refs.string(o)? == Some(b));
        }
        // The common case needs no look at the code: the same named thing, the same addend.
        if o.addend == p.addend
            && self.twins.are_twins(o.symbol, p.symbol)
            && !self.leads_inside(p.symbol, p.addend)
            && !self.is_in_table(p.symbol)
            && !is_section_of_constants(patched, p.symbol)
        {
            return Ok(self.same_value(o.symbol, p.symbol));
        }
        let a = o_refs.resolve(o)?;
        let b = p_refs.resolve(p)?;
        let (Home::Section(o_section), Home::Section(p_section)) =
            (orig.object.home(a.symbol), patched.object.home(b.symbol))
        else {
            // What this object defines is not what another one does, whatever its name.
            let moved = orig.object.section_of(a.symbol).is_some()
                != patched.object.section_of(b.symbol).is_some();
            let same = match moved {
                true => self.twins.are_twins(a.symbol, b.symbol),
                false => self.same_symbol(a.symbol, b.symbol),
            };
            return Ok(a.addend == b.addend && same && self.same_value(a.symbol, b.symbol));
        };
        if self.is_in_table(b.symbol)
            && let Some(same) = self.same_row((o_refs, o), (p_refs, p), open)?
        {
            return Ok(same);
        }
        if self.twins.are_twins(a.symbol, b.symbol) && !is_section_symbol(patched, b.symbol) {
            return Ok(self.same_place((o_refs, o, a), (p_refs, p, b))?
                && self.same_inside((o_refs, o), (p_refs, p), b, open)?);
        }
        if orig.is_nameless(o_section)
            && patched.is_nameless(p_section)
            && let Some(same) =
                self.same_nameless((o_refs, o, o_section), (p_refs, p, p_section, b.symbol), open)?
        {
            return Ok(same);
        }
        if is_section_symbol(orig, a.symbol) && is_section_symbol(patched, b.symbol) {
            let same_section = self.twins.patched_section(o_section) == Some(p_section)
                || self.twins.orig_section(p_section).is_none()
                    && names::same(
                        orig.object.section_name(o_section),
                        patched.object.section_name(p_section),
                    );
            let places = o_refs.place(o)?.zip(p_refs.place(p)?);
            let realigned = places.and_then(|(from, to)| self.realigned_at(from, to));
            return Ok(a.addend == b.addend && same_section && realigned.is_none());
        }
        let same = a.addend == b.addend
            && self.same_symbol(a.symbol, b.symbol)
            && self.same_label((o_section, a.symbol), (p_section, b.symbol))
            && self.same_constant(a.symbol, b.symbol, open)?;
        if same && !self.twins.are_twins(a.symbol, b.symbol) {
            self.note_state((p_refs.base(), p.offset), a.symbol, b.symbol, open);
        }
        Ok(same || a.addend == b.addend && self.same_copy(a.symbol, b.symbol, open)?)
    }

    /// Whether what two references into nameless data lead to is the same; `None` where the one
    /// of the patched object is to something with a name.
    fn same_nameless(
        &self,
        (o_refs, o, o_section): (&Refs<'a, Orig>, &Reloc<Orig>, SectionId<Orig>),
        (p_refs, p, p_section, target): (
            &Refs<'a, Patched>,
            &Reloc<Patched>,
            SectionId<Patched>,
            SymbolId<Patched>,
        ),
        open: &mut OpenQuestions,
    ) -> Result<Option<bool>> {
        let (orig, patched) = (self.orig.layout.object, self.patched.layout);
        let (o_at, p_at) = (o_refs.target_offset(o)?, p_refs.target_offset(p)?);
        let o_at = o_at.wrapping_add(orig.symbol_value(o.symbol) as i64);
        let p_at = p_at.wrapping_add(patched.object.symbol_value(p.symbol) as i64);
        let section = patched.object.section_name(p_section);
        if !is_section_symbol(patched, target)
            && !patched.is_label(target)
            && !names::is_clang_unnamed(section)
            && !names::is_ubsan(section)
        {
            return Ok(None);
        }
        let (from, to) = ((o_section, o_at), (p_section, p_at));
        let question = Question { o: from, p: to, kind: QuestionKind::Nameless };
        let same_read = || self.same_read((o_refs, o, from), (p_refs, p, to));
        // What is left open has no other way to a yes.
        let same = match open.is_collecting() {
            true => same_read()? || self.ask(question, open)?,
            false => self.ask(question, open)? || same_read()?,
        };
        Ok(Some(same))
    }

    /// Whether two references that lead out of the strings they name are the same: nothing says
    /// what is read, so that all strings of the section have to be.
    fn same_among_strings(
        &self,
        (o_refs, o): (&Refs<'a, Orig>, &Reloc<Orig>),
        (p_refs, p): (&Refs<'a, Patched>, &Reloc<Patched>),
    ) -> Result<bool> {
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        let (Home::Section(a), Home::Section(b)) = (orig.home(o.symbol), patched.home(p.symbol))
        else {
            return Ok(false);
        };
        let from = o_refs.target_offset(o)?.wrapping_add_unsigned(orig.symbol_value(o.symbol));
        let to = p_refs.target_offset(p)?.wrapping_add_unsigned(patched.symbol_value(p.symbol));
        Ok(from == to && orig.contents(a) == patched.contents(b))
    }

    /// Whether two symbols are one: twins, or both of the kind that never has a twin.
    pub(super) fn same_symbol(&self, o: SymbolId<Orig>, p: SymbolId<Patched>) -> bool {
        if self.twins.are_twins(o, p) {
            return true;
        }
        self.twins.patched_symbol(o).is_none()
            && self.twins.orig_symbol(p).is_none()
            && !self.twins.doubted.contains(&p)
            && self.twins.replaced.was(p).is_none()
            && names::same(
                self.orig.layout.object.symbol_name(o),
                self.patched.layout.object.symbol_name(p),
            )
            && self.have_alike_homes(o, p)
    }

    /// Whether two symbols that may be absolute are the same number. Checksums of exports are
    /// those of the kernel that a module is loaded into.
    fn same_value(&self, o: SymbolId<Orig>, p: SymbolId<Patched>) -> bool {
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        let absolute = (orig.home(o), patched.home(p)) == (Home::Absolute, Home::Absolute);
        !absolute
            || orig.symbol_value(o) == patched.symbol_value(p)
            || patched.symbol_name(p).starts_with(symbols::CHECKSUM)
    }

    /// Whether two symbols are in sections of one kind: variables, constants, code or a table.
    fn have_alike_homes(&self, o: SymbolId<Orig>, p: SymbolId<Patched>) -> bool {
        let (orig, patched) = (self.orig.layout, self.patched.layout);
        let homes = (orig.object.section_of(o), patched.object.section_of(p));
        let (Some(before), Some(after)) = homes else {
            return homes.0.is_none() == homes.1.is_none();
        };
        let flags = |flags: u64| flags & (abi::SHF_WRITE | abi::SHF_ALLOC | abi::SHF_EXECINSTR);
        let is_table = |class| matches!(class, Class::Table(_));
        flags(orig.object.section_flags(before)) == flags(patched.object.section_flags(after))
            && is_table(orig.class(before)) == is_table(patched.class(after))
    }
}

/// Whether a reference by this symbol may lead to a label without a size in constants, which is
/// compared by what is there.
fn is_section_of_constants<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    let variable = abi::SHF_WRITE | abi::SHF_EXECINSTR;
    is_section_symbol(layout, id)
        && layout
            .object
            .section_of(id)
            .is_some_and(|section| layout.object.section_flags(section) & variable == 0)
}

fn is_section_symbol<S: Side>(layout: &Layout<'_, S>, id: SymbolId<S>) -> bool {
    layout.object.symbol_kind(id) == abi::STT_SECTION
}
