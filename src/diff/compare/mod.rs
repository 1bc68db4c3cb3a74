//! Compares what twins mean: code, data, references, rows of tables.

pub(super) mod address_parts;
pub mod assembler_resolved;
pub(super) mod build_version;
pub mod comparer;
pub mod constants;
pub(super) mod content;
pub(super) mod entry;
pub mod forgiven;
pub mod inlining;
pub mod instrumented;
pub mod labels;
pub(super) mod lines;
pub mod meaning;
pub(super) mod padding;
pub mod pair;
pub mod questions;
pub(super) mod realigned;
pub mod reasons;
pub(super) mod registration;
pub mod relayout;
pub(super) mod reordered;
pub(super) mod rows;
pub mod states;
pub(super) mod targets;
