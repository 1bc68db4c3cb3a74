//! Live state that the kernel's macros define once per use: rate limits (`_rs`), once-only
//! flags, lock classes (`__key`), descriptors of debug messages.
//!
//! Such a variable has no twin: a patched function gets a copy of its own. A function that
//! stays as it is keeps the running kernel's variable, whose value no patch can set anew.
//! That its initialiser changed is no difference of the function, but it is never dropped.

use std::sync::{Mutex, PoisonError};

use super::compare::{Comparer, Open, Sink, Spans, hex};
use super::verdict::Reason;
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, SymbolId};
use crate::elf::object::Home;
use crate::error::Result;
use crate::kernel::names;

/// A variable whose initialiser changed, and code that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// The section the reference is in.
    pub user: SectionId<Patched>,
    /// Where in it.
    pub at: u64,
    /// The variable.
    pub variable: SymbolId<Patched>,
    /// What differs first.
    pub reason: Reason,
}

/// What was found; comparisons run in parallel.
#[derive(Debug, Default)]
pub struct States(Mutex<Vec<StateChange>>);

impl States {
    /// What was found, by variable and place.
    pub fn sorted(&self) -> Vec<StateChange> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by_key(|s| (s.variable, s.user, s.at));
        all.dedup();
        all
    }
}

/// The line number in a descriptor of dynamic debugging (include/linux/dynamic_debug.h):
/// 18 bits behind four pointers.
const DEBUG_LINE: (usize, u32) = (32, (1 << 18) - 1);

impl Comparer<'_, '_, '_, '_> {
    /// Notes a variable without a twin whose content differs from its counterpart's.
    pub(super) fn note_state(
        &self,
        user: SectionId<Patched>,
        at: u64,
        o: SymbolId<Orig>,
        p: SymbolId<Patched>,
    ) -> Result<()> {
        let (orig, patched) = (self.orig.layout.object, self.patched.layout.object);
        let (Home::Section(o_section), Home::Section(p_section)) = (orig.home(o), patched.home(p))
        else {
            return Ok(());
        };
        if patched.symbol_kind(p) != abi::STT_OBJECT
            || patched.section_flags(p_section) & abi::SHF_WRITE == 0
        {
            return Ok(());
        }
        let (a, b) = (orig.symbol(o), patched.symbol(p));
        let slice = |data: &[u8], value: u64, size: u64| -> Vec<u8> {
            let end = value.saturating_add(size) as usize;
            data.get(value as usize..end).map(<[u8]>::to_vec).unwrap_or_default()
        };
        let mut before = slice(orig.contents(o_section), a.value, a.size);
        let mut after = slice(patched.contents(p_section), b.value, b.size);
        if names::is_special_static_section(patched.section_name(p_section)) {
            for bytes in [&mut before, &mut after] {
                without_line(bytes, patched.endian());
            }
        }
        let spans = Spans {
            o: o_section,
            o_start: a.value,
            o_end: a.value.saturating_add(a.size),
            p: p_section,
            p_start: b.value,
            p_end: b.value.saturating_add(b.size),
        };
        let first = before.iter().zip(&after).position(|(x, y)| x != y);
        let mut reasons = Vec::new();
        if a.size != b.size {
            reasons.push(Reason {
                kind: "size".into(),
                offset: None,
                before: format!("{} bytes", a.size),
                after: format!("{} bytes", b.size),
            });
        } else if let Some(first) = first {
            reasons.push(Reason {
                kind: "data".into(),
                offset: Some(first as u64),
                before: hex(&before, first),
                after: hex(&after, first),
            });
        } else {
            self.relocs(&spans, &mut Sink(Some(&mut reasons)), &mut Open::new())?;
        }
        if let Some(reason) = reasons.into_iter().next() {
            let change = StateChange { user, at, variable: p, reason };
            self.states.0.lock().unwrap_or_else(PoisonError::into_inner).push(change);
        }
        Ok(())
    }
}

/// Clears the line number of a descriptor.
fn without_line(bytes: &mut [u8], endian: object::Endianness) {
    let (at, mask) = DEBUG_LINE;
    let Some(word) = bytes.get_mut(at..at + 4) else { return };
    let big = endian == object::Endianness::Big;
    let mut raw = [0; 4];
    raw.copy_from_slice(word);
    // Bit fields are filled from the low end on little-endian machines, from the high end on
    // big-endian ones.
    let cleared = if big {
        (u32::from_be_bytes(raw) & !(mask << 14)).to_be_bytes()
    } else {
        (u32::from_le_bytes(raw) & !mask).to_le_bytes()
    };
    word.copy_from_slice(&cleared);
}
