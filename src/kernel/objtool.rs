//! Whether objtool has seen an object.
//!
//! Linux runs objtool on each object, or, with link-time optimization or indirect branch
//! tracking, on the linked kernel or module (scripts/Makefile.lib, `delay-objtool`). It turns
//! calls of `__fentry__` into padding and adds tables: an object from before and one from after
//! differ everywhere, and mean the same.

use super::layout::{Class, Layout};
use crate::diag::{Code, Error, Result};
use crate::elf::abi;
use crate::elf::ids::{Orig, Patched, SectionId, Side};
use crate::elf::object::Object;

/// Tables that only objtool makes (Linux tools/objtool/check.c, orc_gen.c).
const MARKS: [&str; 6] = [
    ".orc_unwind_ip",
    ".return_sites",
    ".call_sites",
    ".cfi_sites",
    ".retpoline_sites",
    ".ibt_endbr_seal",
];

/// What functions jump to at their ends, where the kernel patches that: objtool lists each
/// place in [`MARKS`]' `.return_sites`.
const RETURN_THUNK: &str = "__x86_return_thunk";

fn is_mark(name: &str) -> bool {
    MARKS.contains(&name)
}

/// Whether objtool makes a section when it sees a linked module.
pub fn is_remade(name: &str) -> bool {
    is_mark(name) || name == ".orc_unwind"
}

/// The name of a table of objtool's that the object has.
pub fn mark<'a, S: Side>(object: &Object<'a, S>) -> Option<&'a str> {
    let found = object
        .sections()
        .find(|&id| object.section_size(id) > 0 && is_mark(object.section_name(id)));
    found.map(|id| object.section_name(id))
}

/// What objtool has left in an object, and whether it would have left something.
struct Traces<'a> {
    marks: Vec<&'a str>,
    has_functions: bool,
}

fn traces<'a, S: Side>(layout: &Layout<'a, S>) -> Traces<'a> {
    let object = layout.object;
    let mut found = Traces { marks: Vec::new(), has_functions: false };
    for id in object.sections() {
        match layout.class(id) {
            Class::Unwind | Class::Table(_) => {
                let name = object.section_name(id);
                if object.section_size(id) > 0 && is_mark(name) {
                    found.marks.push(name);
                }
            }
            Class::Text => {
                found.has_functions = found.has_functions
                    || object.members(id).iter().any(|&m| object.symbol_kind(m) == abi::STT_FUNC);
            }
            _ => {}
        }
    }
    found
}

/// Whether objtool would list something of an object that it has not seen in `table`.
fn would_list<S: Side>(layout: &Layout<'_, S>, table: &str) -> bool {
    let object = layout.object;
    match table {
        // Each function has entries.
        ".orc_unwind_ip" => true,
        ".return_sites" => {
            let is_code = |&id: &SectionId<S>| layout.class(id) == Class::Text;
            let thunk =
                |id| object.relocs(id).iter().any(|r| object.symbol_name(r.symbol) == RETURN_THUNK);
            object.sections().filter(is_code).any(thunk)
        }
        _ => false,
    }
}

/// The first of some tables in which objtool would list something of an object.
fn listed<'t, S: Side>(tables: &[&'t str], layout: &Layout<'_, S>) -> Option<&'t str> {
    tables.iter().copied().find(|table| would_list(layout, table))
}

/// Fails when objtool has seen one of the objects, and not the other.
pub fn check_same(orig: &Layout<'_, Orig>, patched: &Layout<'_, Patched>) -> Result<()> {
    let (o, p) = (traces(orig), traces(patched));
    if !o.has_functions || !p.has_functions {
        return Ok(());
    }
    // Any of the tables will do: which of them an object has depends on its code.
    let (seen, other, table) = match (o.marks.as_slice(), p.marks.as_slice()) {
        (tables @ [_, ..], []) => ("original", "patched", listed(tables, patched)),
        ([], tables @ [_, ..]) => ("patched", "original", listed(tables, orig)),
        _ => return Ok(()),
    };
    let Some(table) = table else { return Ok(()) };
    Err(Error::refused(
        Code::MixedObjtool,
        format!("objtool has seen the {seen} object ({table}), but not the {other} one"),
    )
    .advise("give both from before objtool, or both from after it"))
}
