//! From outputs of comparisons to one module that a kernel loads.
//!
//! The kernel's build must see ordinary relocations: on kernels with link-time optimization
//! or indirect branch tracking it runs objtool on the linked module, which does not
//! understand a call without one, gives up on the file *and succeeds*; the tables it did not
//! make then crash the kernel. So [`link::prepare`] gives every livepatch relocation back its
//! ordinary form, the kernel builds the module ([`kbuild`]), [`link::finish`] moves them to
//! the form that livepatch understands, and [`check`] looks for all that can go wrong
//! without a word.

pub mod added;
pub mod check;
pub mod kbuild;
pub mod link;
pub mod tree;
mod unwind;
