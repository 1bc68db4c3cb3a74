//! Corpora: cases that are found below folders, run, judged, and compared with earlier runs.

pub(crate) mod baseline;
pub(crate) mod build;
pub(crate) mod case;
pub mod compilers;
pub mod directives;
pub(crate) mod file;
pub(crate) mod find;
pub mod header;
pub(crate) mod judge;
pub(crate) mod junit;
pub(crate) mod ours;
pub(crate) mod pick;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod results;
pub(crate) mod schedule;
pub(crate) mod show;
pub(crate) mod source;
pub(crate) mod words;
