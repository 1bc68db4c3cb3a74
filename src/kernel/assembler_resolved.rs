//! References that no relocation tells of: to other code of the same section the assembler
//! knows the distance and writes it into the instruction.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "places within code, which has less than 4 GiB"
)]

use super::layout::Layout;
use super::refs::undecodable;
use crate::arch::Reach;
use crate::diag::{Code, Error, Result};
use crate::elf::ids::{SectionId, Side, SymbolId};
use crate::elf::object::Reloc;

/// An instruction that leads out of a stretch of code without a relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrelocated {
    /// Byte of the section where the instruction is.
    pub at: u64,
    /// Where it leads, and its field, as bytes of the section; it may lead out of that, too.
    pub reach: Reach,
}

/// What leads out of the code in `start..end` of a section without a relocation. Fails with
/// code `undecodable` where there is no instruction.
pub fn leaving<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    start: u64,
    end: u64,
) -> Result<Vec<Unrelocated>> {
    let object = layout.object;
    let mut found = Vec::new();
    // Alone in its section, code has nothing to lead to.
    if layout.entity_count(section) < 2 {
        return Ok(found);
    }
    // The padding behind a function may reach beyond what is known to be its end.
    let code = object.contents(section);
    let mut at = start;
    while at < end.min(code.len() as u64) {
        let Some((len, reach)) = (layout.arch.reach)(code, at).filter(|&(len, _)| len > 0) else {
            return Err(undecodable(layout, section, at));
        };
        if let Some(reach) = reach.filter(|reach| !(start..end).contains(&reach.target))
            && object.relocs(section).within(at, at + len).next().is_none()
        {
            found.push(Unrelocated { at, reach });
        }
        at += len;
    }
    Ok(found)
}

/// The symbol that an instruction leads to, and the distance from its value. `None` where
/// nothing has a name.
pub fn meant<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    unrelocated: &Unrelocated,
) -> Option<(SymbolId<S>, i64)> {
    let target = unrelocated.reach.target;
    if target >= layout.object.section_size(section) {
        return None;
    }
    let symbol = layout.entity(section, layout.entity_at(section, target)?).symbol?;
    Some((symbol, target.wrapping_sub(layout.object.symbol_value(symbol)).cast_signed()))
}

/// The relocation that says where an instruction of a section leads. Fails with code
/// `near-reference` where there is none that reaches everywhere, or nothing to name.
pub fn relocation<S: Side>(
    layout: &Layout<'_, S>,
    section: SectionId<S>,
    unrelocated: &Unrelocated,
) -> Result<Reloc<S>> {
    let object = layout.object;
    let fail = |what: &str| {
        let name = object.section_name(section);
        let user = layout.entity_at(section, unrelocated.at).map(|i| layout.entity(section, i));
        let user = user.and_then(|e| e.symbol).map_or("", |s| object.symbol_name(s));
        Error::refused(Code::NearReference, format!("{user} leads to {what} without a relocation"))
            .in_file(object.file())
            .in_section(name)
            .at_symbol(user)
            .at_offset(unrelocated.at)
            .advise(format!(
                "the assembler resolved it since both are in {name}: give one of them another \
                 section, or compile the file with -fno-optimize-sibling-calls"
            ))
    };
    let Some((symbol, distance)) = meant(layout, section, unrelocated) else {
        return Err(fail("code that has no name"));
    };
    let Some((kind, addend)) = unrelocated.reach.reloc else {
        let name = object.symbol_name(symbol);
        return Err(fail(&format!("{name} by an instruction that only reaches what is near,")));
    };
    Ok(Reloc {
        offset: unrelocated.reach.field,
        kind,
        symbol,
        addend: addend.wrapping_add(distance),
    })
}
