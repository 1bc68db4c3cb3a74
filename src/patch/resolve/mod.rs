//! Who finds each reference of a patch at run time, in three parts: what the running kernel has
//! for a symbol ([`lookup`]), whether it will find that when the patch is applied ([`check`]), and
//! who has to find it: the linker, the module loader, or livepatch ([`decide`]). The first of them is a
//! value that everybody may have; it knows nothing of what the patch carries.

pub mod check;
pub mod decide;
pub mod lookup;
pub mod objects;
pub mod replaced;
