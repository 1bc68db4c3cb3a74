//! What a place between two things means: the end of the one, or the start of the other.
//!
//! Code that runs over an array compares with the address one past its end. Where the array
//! shares its section with others (per-CPU data, what `ld -r` merged), the same address is that
//! of a neighbour, and the neighbour is another one as soon as files are linked in another
//! order. The reference itself says only the section and the offset. What decides:
//!
//! * a global symbol is named where it is meant ([`Arch::names_globals`](crate::arch::Arch));
//! * a local one can only be meant by its own file, so the file of the function tells two
//!   neighbours of different files apart. The file of a global function, which no FILE block
//!   holds, is that of the local symbols it refers to;
//! * where none of the neighbours is of that file, a constant without a name is meant.
//!
//! Labels of assembly are empty: an end label of one file is where the next file begins.
//! Neighbours of one file keep their places however files are linked: what starts there is
//! taken, as it is where nothing decides.

use super::layout::Class;
use super::refs::Refs;
use crate::diag::Result;
use crate::elf::abi;
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::{Home, Reloc};

impl<S: Side> Refs<'_, S> {
    /// Whether byte `at` of `target`, where `covering` begins or nothing is, may be meant as
    /// the end of another thing, or as a place without a name.
    pub(super) fn may_be_end(
        &self,
        target: SectionId<S>,
        at: i64,
        covering: Option<SymbolId<S>>,
    ) -> bool {
        let object = self.layout.object;
        if !self.compiled(target) || covering.is_some_and(|c| object.symbol_value(c) as i64 != at) {
            return false;
        }
        let place = u64::try_from(at).ok();
        place.is_some_and(|at| self.layout.ending(target, at, |m| Some(m) != covering).is_some())
            || covering.is_some_and(|c| self.marks(target, c))
    }

    /// The symbol that byte `at` of `target` belongs to, when `covering` is there, or nothing.
    pub(super) fn end_address(
        &self,
        reloc: &Reloc<S>,
        target: SectionId<S>,
        at: i64,
        covering: Option<SymbolId<S>>,
    ) -> Result<Option<SymbolId<S>>> {
        if !self.may_be_end(target, at, covering) {
            return Ok(covering);
        }
        let layout = self.layout;
        let nameless = layout.is_nameless(target);
        let place = u64::try_from(at).ok();
        let ending = |wanted: &dyn Fn(SymbolId<S>) -> bool| layout.ending(target, place?, wanted);
        let Some(start) = covering else {
            // What follows the last named constant may be one without a name.
            return Ok(if nameless { None } else { ending(&|_| true) });
        };
        let global = !layout.is_local(start);
        if global && !layout.arch.names_globals {
            return Ok(covering);
        }
        if global && self.marks(target, start) {
            return Ok(None);
        }
        let Some(file) = self.file_at(reloc.offset)? else {
            return Ok(if global { ending(&|_| true).or(covering) } else { covering });
        };
        if !global && layout.file_of(start) == file {
            return Ok(covering);
        }
        let own = ending(&|m| layout.file_of(m) == file);
        Ok(own.or(covering.filter(|&c| !self.marks(target, c))))
    }

    /// Whether references from here into `target` are those that compilers make. Tables of
    /// objtool, and labels in code, follow other rules.
    fn compiled(&self, target: SectionId<S>) -> bool {
        (self.is_text || self.layout.class(self.base) == Class::Data)
            && self.layout.class(target) == Class::Data
    }

    /// Whether `symbol` marks a place in a section of constants without names, and is no thing.
    fn marks(&self, target: SectionId<S>, symbol: SymbolId<S>) -> bool {
        self.layout.is_nameless(target) && self.layout.object.symbol_size(symbol) == 0
    }

    /// The FILE block of the function or variable that holds byte `at`, as far as known.
    fn file_at(&self, at: u64) -> Result<Option<usize>> {
        let Some(index) = self.layout.entity_at(self.base, at) else { return Ok(None) };
        let entity = self.layout.entity(self.base, index);
        let Some(symbol) = entity.symbol else { return Ok(None) };
        if self.layout.is_local(symbol) {
            return Ok(Some(self.layout.file_of(symbol)));
        }
        let (known, file) = self.file.get();
        if known == entity.start {
            return Ok(file);
        }
        let file = self.file_referred(entity.start, entity.end)?;
        self.file.set((entity.start, file));
        Ok(file)
    }

    /// The one file whose local symbols the references in a span can mean.
    fn file_referred(&self, start: u64, end: u64) -> Result<Option<usize>> {
        let object = self.layout.object;
        // One or two files that it may be, as far as was seen.
        let mut files: Option<(usize, usize)> = None;
        for reloc in object.relocs(self.base).within(start, end) {
            let Home::Section(target) = object.home(reloc.symbol) else { continue };
            let found = if object.symbol_kind(reloc.symbol) != abi::STT_SECTION {
                Some(reloc.symbol).filter(|&s| self.layout.is_local(s)).map(|s| (s, s))
            } else if let Some(owner) = self.layout.owner(target) {
                Some(owner).filter(|&s| self.layout.is_local(s)).map(|s| (s, s))
            } else if self.compiled(target) && !self.layout.is_nameless(target) {
                let at = self.target_offset(&reloc)?;
                let covering = self.layout.covering(target, at);
                let begins = |c| object.symbol_value(c) as i64 == at;
                let place = u64::try_from(at).ok().filter(|_| covering.is_none_or(begins));
                let ending =
                    place.and_then(|at| self.layout.ending(target, at, |m| Some(m) != covering));
                let start = covering.filter(|&c| self.layout.is_local(c));
                start.or(ending).map(|first| (first, ending.unwrap_or(first)))
            } else {
                None
            };
            let Some((a, b)) = found else { continue };
            let found = (self.layout.file_of(a), self.layout.file_of(b));
            let known = files.unwrap_or(found);
            let common = |file: usize| file == known.0 || file == known.1;
            files = match (common(found.0), common(found.1)) {
                (true, true) => Some(found),
                (true, false) => Some((found.0, found.0)),
                (false, true) => Some((found.1, found.1)),
                // Not what compilers do: nothing can be said.
                (false, false) => return Ok(None),
            };
            if let Some((file, other)) = files
                && file == other
            {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// How many bytes of its target the instruction of `reloc` touches, when it does so at
    /// once and not through a register.
    pub fn direct_read(&self, reloc: &Reloc<S>) -> Result<Option<u64>> {
        let Some(reads) = self.layout.arch.reads_directly.filter(|_| self.is_text) else {
            return Ok(None);
        };
        let end = self.instruction_end(reloc.offset)? as usize;
        let start = self.decoded.get().0 as usize;
        let code = self.layout.object.contents(self.base).get(start..end);
        let field = (reloc.offset as usize).checked_sub(start);
        Ok(code.zip(field).and_then(|(code, field)| reads(code, field)))
    }
}
