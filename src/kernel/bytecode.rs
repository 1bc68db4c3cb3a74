//! Objects without code of their own, which the linker has yet to compile.

use super::layout::{Class, Layout};
use crate::diag::{Code, Error, Result};
use crate::elf::ids::Side;

/// How the sections of gcc's intermediate code begin (gcc, lto-section-names.h).
const SECTIONS: &str = ".gnu.lto_";

/// Fails on an object that `gcc -flto` made with nothing in it but what the link will compile:
/// what is compared elsewhere is not there.
pub fn check_compiled<S: Side>(layout: &Layout<'_, S>) -> Result<()> {
    let object = layout.object;
    let mut intermediate = false;
    for id in object.sections() {
        if layout.class(id) == Class::Text && object.section_size(id) > 0 {
            return Ok(());
        }
        intermediate = intermediate || object.section_name(id).starts_with(SECTIONS);
    }
    if !intermediate {
        return Ok(());
    }
    Err(Error::broken(
        Code::Bytecode,
        "gcc's intermediate code, and no other: what it becomes is decided by the link",
    )
    .in_file(object.file())
    .advise("give the objects that the link compiles: gcc -flto -save-temps keeps NAME.ltransN.ltrans.o"))
}
