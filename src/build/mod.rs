//! From a source patch to what `klp-diff module` takes: pairs of objects.
//!
//! | step | file |
//! |---|---|
//! | read patches, apply them in memory | `patch`, `apply` |
//! | refuse what no livepatch can do | `scope` |
//! | find the kernel that runs, and what belongs to it | `find` |
//! | copy the source to the work folder, keep it in step | `source` |
//! | configure it, choose the compiler | `config` |
//! | run the kernel's build | `kbuild` |
//! | headers for authors of patches | `headers` |
//! | which objects a file is compiled into | `objects`, `which` |
//! | keep the numbers of lines, and see that they were kept | `lines`, `numbers` |
//! | objects that only a link makes | `whole` |
//! | modules with a source of their own | `outside` |
//! | are the objects those of the kernel that runs | `originals` |
//!
//! `steps` puts them together. Nothing here prints: what is worth telling goes to a callback.

#![deny(clippy::indexing_slicing)]

pub mod apply;
pub mod config;
pub mod find;
mod headers;
pub mod kbuild;
pub mod lines;
pub mod numbers;
pub mod objects;
pub mod originals;
mod outside;
pub mod patch;
pub mod scope;
pub mod session;
pub mod source;
pub mod steps;
mod which;
mod whole;
