//! How symbols are defined, and how functions are called.

use crate::elf::object::{Home, Symbol};

/// The bits of st_other that are visibility. The others say how a function is called.
const VISIBILITY: u8 = 3;

/// Bits of st_other that are no visibility: on powerpc64 they say where calls inside a module
/// enter a function, on aarch64 that it keeps to another calling convention.
pub(super) fn convention(other: u8) -> u8 {
    other & !VISIBILITY
}

/// Whether two symbols are defined in the same way: undefined, absolute, common, or in a
/// section.
pub(super) fn are_alike<O: PartialEq, P: PartialEq>(
    orig: &Symbol<'_, O>,
    patched: &Symbol<'_, P>,
) -> bool {
    match (&orig.home, &patched.home) {
        (Home::Undefined, Home::Undefined)
        | (Home::Section(_), Home::Section(_))
        | (Home::Common, Home::Common)
        | (Home::Absolute, Home::Absolute) => true,
        (Home::Reserved(a), Home::Reserved(b)) => a == b,
        _ => false,
    }
}
