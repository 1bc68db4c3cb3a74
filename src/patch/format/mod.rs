//! How outputs say what livepatch is to do: one module for each flavour, in which its rows and
//! names are written and read. Builder, converters, checks, the canonical form and the proof all
//! ask here.

pub mod klp;
pub mod kpatch;
