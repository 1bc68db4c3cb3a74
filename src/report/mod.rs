//! What the user sees of a result.

pub mod canon;
mod sha1;
